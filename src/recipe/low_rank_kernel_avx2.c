/* SPDX-License-Identifier: MIT */
/* low_rank_kernel_avx2.c: the merge's inner loop for x86-64 with AVX2; four rows share each load of the factor. */
#include "recipe/low_rank_kernel.h"

#if defined(__AVX2__)
#include <immintrin.h>

static void store_tile(float *dst, __m256 low, __m256 high, __m256 scale) {
    _mm256_storeu_ps(dst, _mm256_add_ps(_mm256_loadu_ps(dst), _mm256_mul_ps(scale, low)));
    _mm256_storeu_ps(dst + 8, _mm256_add_ps(_mm256_loadu_ps(dst + 8), _mm256_mul_ps(scale, high)));
}

/** Four rows from dst on, n_cols apart. */
static void add_four(float *dst, uint64_t n_cols, const float *left, const float *tile, uint64_t rank, float scale) {
    __m256 a0 = _mm256_setzero_ps(), a1 = a0, b0 = a0, b1 = a0, c0 = a0, c1 = a0, d0 = a0, d1 = a0;
    for (uint64_t k = 0; k < rank; k++) {
        const __m256 low = _mm256_loadu_ps(tile + k * QN_TILE_COLS);
        const __m256 high = _mm256_loadu_ps(tile + k * QN_TILE_COLS + 8);
        const __m256 a = _mm256_broadcast_ss(left + k);
        const __m256 b = _mm256_broadcast_ss(left + rank + k);
        const __m256 c = _mm256_broadcast_ss(left + 2 * rank + k);
        const __m256 d = _mm256_broadcast_ss(left + 3 * rank + k);
        a0 = _mm256_add_ps(a0, _mm256_mul_ps(a, low));
        a1 = _mm256_add_ps(a1, _mm256_mul_ps(a, high));
        b0 = _mm256_add_ps(b0, _mm256_mul_ps(b, low));
        b1 = _mm256_add_ps(b1, _mm256_mul_ps(b, high));
        c0 = _mm256_add_ps(c0, _mm256_mul_ps(c, low));
        c1 = _mm256_add_ps(c1, _mm256_mul_ps(c, high));
        d0 = _mm256_add_ps(d0, _mm256_mul_ps(d, low));
        d1 = _mm256_add_ps(d1, _mm256_mul_ps(d, high));
    }
    const __m256 s = _mm256_set1_ps(scale);
    store_tile(dst, a0, a1, s);
    store_tile(dst + n_cols, b0, b1, s);
    store_tile(dst + 2 * n_cols, c0, c1, s);
    store_tile(dst + 3 * n_cols, d0, d1, s);
}

static void add_one(float *dst, const float *left, const float *tile, uint64_t rank, float scale) {
    __m256 low = _mm256_setzero_ps(), high = low;
    for (uint64_t k = 0; k < rank; k++) {
        const __m256 a = _mm256_broadcast_ss(left + k);
        low = _mm256_add_ps(low, _mm256_mul_ps(a, _mm256_loadu_ps(tile + k * QN_TILE_COLS)));
        high = _mm256_add_ps(high, _mm256_mul_ps(a, _mm256_loadu_ps(tile + k * QN_TILE_COLS + 8)));
    }
    store_tile(dst, low, high, _mm256_set1_ps(scale));
}

void qn_low_rank_panel_avx2(const qn_low_rank_args *args, uint64_t first_tile, uint64_t end_tile) {
    const uint64_t rank = args->rank;
    const uint64_t n_cols = args->n_cols;
    for (uint64_t i = 0; i < args->n_rows;) {
        const bool has_four = args->n_rows - i >= 4;
        for (uint64_t t = first_tile; t < end_tile; t++) {
            float *dst = args->dst + i * n_cols + t * QN_TILE_COLS;
            const float *tile = args->tiles + t * rank * QN_TILE_COLS;
            if (has_four) {
                add_four(dst, n_cols, args->left + i * rank, tile, rank, args->scale);
            } else {
                add_one(dst, args->left + i * rank, tile, rank, args->scale);
            }
        }
        i += has_four ? 4 : 1;
    }
}

#elif defined(__x86_64__)
#error "low_rank_kernel_avx2.c is compiled with -mavx2 (src/recipe/CMakeLists.txt)"
#else
typedef int qn_low_rank_kernel_avx2_is_empty; /* ISO C wants a declaration */
#endif
