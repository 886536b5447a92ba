/* SPDX-License-Identifier: MIT */
/* dot_parts.h: what the loops over rows and those over panels share. */
#ifndef QUERN_DTYPE_DOT_PARTS_H
#define QUERN_DTYPE_DOT_PARTS_H

#include "dtype/dot_flat.h"
#include "dtype/dot_kernels.h"

#if defined(__GNUC__)
#define DOT_INLINE static inline __attribute__((always_inline))
#else
#define DOT_INLINE static inline
#endif

enum {
    DOT_ROWS = 4,   /* rows in flight */
    DOT_GROUP = 32, /* elements of a flat_32's group */
    DOT_BLOCK = 256 /* elements of a flat_k, at most of a flat_32 */
};

typedef void flat_k_fn(const unsigned char *src, flat_k *f);
typedef void flat_32_fn(const unsigned char *src, unsigned n_groups, flat_32 *f);

/* The rows from r on. */
DOT_INLINE void choose_rows(const qn_dot_task *task, uint64_t r, const unsigned char *rows[DOT_ROWS]) {
    for (uint64_t i = 0; i < DOT_ROWS; i++) {
        const uint64_t row = r + i < task->n_rows ? r + i : task->n_rows - 1;
        rows[i] = task->weights + row * task->row_bytes;
    }
}

DOT_INLINE void store_rows(const qn_dot_task *task, uint64_t r, uint64_t v, const float acc[DOT_ROWS]) {
    for (uint64_t i = 0; i < DOT_ROWS && r + i < task->n_rows; i++) {
        task->dst[v * task->dst_stride + r + i] = acc[i];
    }
}

#if defined(__AVX2__)

/*
 * Makes the compiler finish a sum before it goes on: left alone, it collects the terms of many sums first, and spills
 * them.
 */
#define FINISH(sum) __asm__("" : "+v"(sum))

/* Sums of the eight lanes of each row. */
DOT_INLINE __m128i sums_of_rows(const __m256i rows[DOT_ROWS]) {
    const __m256i first = _mm256_hadd_epi32(rows[0], rows[1]);
    const __m256i second = _mm256_hadd_epi32(rows[2], rows[3]);
    const __m256i both = _mm256_hadd_epi32(first, second);
    return _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
}

/* Sums of pairs of products of 32 codes. */
DOT_INLINE __m256i pairs_of(code_size size, __m256i codes, __m256i x) {
    if (size == CODES_SIGNED) {
        return _mm256_maddubs_epi16(_mm256_abs_epi8(codes), _mm256_sign_epi8(x, codes));
    }
    return _mm256_maddubs_epi16(codes, x);
}

/* sum + pairs times scale, two words to a lane. */
DOT_INLINE __m256i add_words(__m256i sum, __m256i pairs, __m256i scale) {
#if defined(__AVX512VNNI__)
    return _mm256_dpwssd_epi32(sum, pairs, scale);
#else
    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, scale));
#endif
}

/* Sums of fours of products of 32 codes. */
DOT_INLINE __m256i quads_of(code_size size, __m256i codes, __m256i x) {
#if defined(__AVX512VNNI__)
    const bool is_signed = size == CODES_SIGNED;
    return _mm256_dpbusd_epi32(_mm256_setzero_si256(), is_signed ? _mm256_abs_epi8(codes) : codes,
                               is_signed ? _mm256_sign_epi8(x, codes) : x);
#else
    return _mm256_madd_epi16(pairs_of(size, codes, x), _mm256_set1_epi16(1));
#endif
}

DOT_INLINE __m256i load_256(const void *from) {
    return _mm256_loadu_si256((const __m256i *)from);
}

/* The scales of 16 and 16 codes: word 2i of each half in the lower half's lanes, 2i + 1 in the upper's. */
DOT_INLINE __m256i scales_of_16(__m256i scales, unsigned i) {
    const short first = (short)(0x0100U + 0x0404U * i);
    const short second = (short)(0x0302U + 0x0404U * i);
    return _mm256_shuffle_epi8(scales,
                               _mm256_setr_epi16(first, first, first, first, first, first, first, first, second, second,
                                                 second, second, second, second, second, second));
}

#endif
#endif
