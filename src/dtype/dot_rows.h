/* SPDX-License-Identifier: MIT */
/*
 * dot_rows.h: four rows at a time times a few vectors: generation, and everything at the level without vectors.
 *
 * Sums of codes are integers, so that only the order of the floats matters: block after block, by the expressions of
 * add_k() and add_32(), which dot_panels.h repeats lane by lane. All four rows of a group are computed; rows beyond the
 * last are the last again and are not stored.
 */
#ifndef QUERN_DTYPE_DOT_ROWS_H
#define QUERN_DTYPE_DOT_ROWS_H

#include "dtype/dot_flat.h"
#include "dtype/dot_kernels.h"

#if defined(__GNUC__)
#define DOT_INLINE static inline __attribute__((always_inline))
#else
#define DOT_INLINE static inline
#endif

enum {
    DOT_ROWS = 4,   /* rows in flight */
    DOT_MANY = 8,   /* vectors that share unpacked rows */
    DOT_GROUP = 32, /* elements of a flat_32's group */
    DOT_BLOCK = 256 /* elements of a flat_k, at most of a flat_32 */
};

typedef void flat_k_fn(const unsigned char *src, flat_k *f);
typedef void flat_32_fn(const unsigned char *src, unsigned n_groups, flat_32 *f);

/* Sums of four rows, and the float expressions on them. */
#if defined(__AVX2__)

/*
 * Makes the compiler finish a sum before it goes on: left alone, it collects the terms of many sums first, and spills
 * them.
 */
#define FINISH(sum) __asm__("" : "+v"(sum))

typedef __m128i quad_i32;

/* Sums of the eight lanes of each row. */
DOT_INLINE quad_i32 sums_of_rows(const __m256i rows[DOT_ROWS]) {
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

DOT_INLINE quad_i32 code_sums_k(code_size size, const flat_k f[DOT_ROWS], const int8_t *x) {
    __m256i sums[DOT_ROWS];
    for (unsigned r = 0; r < DOT_ROWS; r++) {
        const __m256i scales = load_256(f[r].scale);
        const __m256i halves[2] = {_mm256_permute4x64_epi64(scales, 0x44), _mm256_permute4x64_epi64(scales, 0xEE)};
        sums[r] = _mm256_setzero_si256();
#pragma GCC unroll 8
        for (unsigned j = 0; j < 8; j++) {
            const __m256i pairs = pairs_of(size, load_256(f[r].codes + 32 * j), load_256(x + 32 * j));
            sums[r] = add_words(sums[r], pairs, scales_of_16(halves[j / 4], j % 4));
        }
    }
    return sums_of_rows(sums);
}

DOT_INLINE quad_i32 minimum_sums_k(const flat_k f[DOT_ROWS], const int16_t *x_sums) {
    __m256i sums[DOT_ROWS];
    for (unsigned r = 0; r < DOT_ROWS; r++) {
        sums[r] = _mm256_madd_epi16(load_256(f[r].minimum), load_256(x_sums));
    }
    return sums_of_rows(sums);
}

DOT_INLINE quad_i32 code_sums_32(code_size size, const flat_32 f[DOT_ROWS], unsigned g, const int8_t *x) {
    const __m256i values = load_256(x);
    __m256i sums[DOT_ROWS];
    for (unsigned r = 0; r < DOT_ROWS; r++) {
        sums[r] = quads_of(size, load_256(f[r].codes + 32 * g), values);
    }
    return sums_of_rows(sums);
}

DOT_INLINE void add_k(code_size size, float acc[DOT_ROWS], quad_i32 codes, quad_i32 minima, const float d[DOT_ROWS],
                      const float dmin[DOT_ROWS], float x_d) {
    __m128 value = _mm_mul_ps(_mm_loadu_ps(d), _mm_cvtepi32_ps(codes));
    if (size != CODES_SIGNED) {
        value = _mm_fnmadd_ps(_mm_loadu_ps(dmin), _mm_cvtepi32_ps(minima), value);
    }
    _mm_storeu_ps(acc, _mm_fmadd_ps(_mm_set1_ps(x_d), value, _mm_loadu_ps(acc)));
}

DOT_INLINE void add_32(code_size size, float acc[DOT_ROWS], quad_i32 codes, const float d[DOT_ROWS],
                       const float m[DOT_ROWS], float x_d, float x_s) {
    const __m128 scale = _mm_mul_ps(_mm_loadu_ps(d), _mm_set1_ps(x_d));
    __m128 sum = _mm_fmadd_ps(scale, _mm_cvtepi32_ps(codes), _mm_loadu_ps(acc));
    if (size != CODES_SIGNED) {
        sum = _mm_fmadd_ps(_mm_loadu_ps(m), _mm_set1_ps(x_s), sum);
    }
    _mm_storeu_ps(acc, sum);
}

#else

typedef struct quad_i32 {
    int32_t of[DOT_ROWS];
} quad_i32;

/* A code's value; n counts from the first code. */
DOT_INLINE int32_t code_value(code_size size, uint8_t code) {
    return size == CODES_SIGNED ? (int32_t)(int8_t)code : (int32_t)code;
}

DOT_INLINE quad_i32 code_sums_k(code_size size, const flat_k f[DOT_ROWS], const int8_t *x) {
    quad_i32 sums;
    for (unsigned r = 0; r < DOT_ROWS; r++) {
        sums.of[r] = 0;
        for (unsigned g = 0; g < 16; g++) {
            int32_t sum = 0;
            for (unsigned e = 0; e < 16; e++) {
                sum += code_value(size, f[r].codes[16 * g + e]) * x[16 * g + e];
            }
            sums.of[r] += sum * f[r].scale[g];
        }
    }
    return sums;
}

DOT_INLINE quad_i32 minimum_sums_k(const flat_k f[DOT_ROWS], const int16_t *x_sums) {
    quad_i32 sums;
    for (unsigned r = 0; r < DOT_ROWS; r++) {
        sums.of[r] = 0;
        for (unsigned g = 0; g < 16; g++) {
            sums.of[r] += f[r].minimum[g] * x_sums[g];
        }
    }
    return sums;
}

DOT_INLINE quad_i32 code_sums_32(code_size size, const flat_32 f[DOT_ROWS], unsigned g, const int8_t *x) {
    quad_i32 sums;
    for (unsigned r = 0; r < DOT_ROWS; r++) {
        sums.of[r] = 0;
        for (unsigned e = 0; e < 32; e++) {
            sums.of[r] += code_value(size, f[r].codes[32 * g + e]) * x[e];
        }
    }
    return sums;
}

DOT_INLINE void add_k(code_size size, float acc[DOT_ROWS], quad_i32 codes, quad_i32 minima, const float d[DOT_ROWS],
                      const float dmin[DOT_ROWS], float x_d) {
    for (unsigned r = 0; r < DOT_ROWS; r++) {
        const float minimum = size == CODES_SIGNED ? 0.0F : dmin[r] * (float)minima.of[r];
        acc[r] += x_d * (d[r] * (float)codes.of[r] - minimum);
    }
}

DOT_INLINE void add_32(code_size size, float acc[DOT_ROWS], quad_i32 codes, const float d[DOT_ROWS],
                       const float m[DOT_ROWS], float x_d, float x_s) {
    for (unsigned r = 0; r < DOT_ROWS; r++) {
        acc[r] += d[r] * x_d * (float)codes.of[r];
        if (size != CODES_SIGNED) {
            acc[r] += m[r] * x_s;
        }
    }
}

#endif

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

/* Four rows from r on times n vectors from v on. */
DOT_INLINE void four_rows_k(const qn_dot_task *task, uint64_t r, uint64_t v, unsigned n, flat_k_fn *flat,
                            uint64_t block_bytes, code_size size) {
    const unsigned char *rows[DOT_ROWS];
    float acc[DOT_MANY][DOT_ROWS] = {{0.0F}};
    choose_rows(task, r, rows);
    for (uint64_t b = 0; b < task->n_cols / DOT_BLOCK; b++) {
        flat_k f[DOT_ROWS];
        float d[DOT_ROWS];
        float dmin[DOT_ROWS];
        for (unsigned i = 0; i < DOT_ROWS; i++) {
            flat(rows[i] + b * block_bytes, &f[i]);
            d[i] = f[i].d;
            dmin[i] = f[i].dmin;
        }
        for (unsigned i = 0; i < n; i++) {
            const unsigned char *x = task->vectors + (v + i) * task->planes.size;
            const float *x_d = (const float *)(const void *)(x + task->planes.d);
            const int16_t *x_sums = (const int16_t *)(const void *)(x + task->planes.sums) + 16 * b;
            const quad_i32 codes = code_sums_k(size, f, (const int8_t *)x + b * DOT_BLOCK);
            add_k(size, acc[i], codes, minimum_sums_k(f, x_sums), d, dmin, x_d[b]);
        }
    }
    for (unsigned i = 0; i < n; i++) {
        store_rows(task, r, v + i, acc[i]);
    }
}

DOT_INLINE void four_rows_32(const qn_dot_task *task, uint64_t r, uint64_t v, unsigned n, flat_32_fn *flat,
                             uint64_t chunk_bytes, code_size size) {
    const unsigned char *rows[DOT_ROWS];
    float acc[DOT_MANY][DOT_ROWS] = {{0.0F}};
    choose_rows(task, r, rows);
    for (uint64_t b = 0; b * DOT_BLOCK < task->n_cols; b++) {
        const uint64_t left = (task->n_cols - b * DOT_BLOCK) / DOT_GROUP;
        const unsigned n_groups = left < 8 ? (unsigned)left : 8;
        flat_32 f[DOT_ROWS];
        float d[8][DOT_ROWS];
        float m[8][DOT_ROWS];
        for (unsigned i = 0; i < DOT_ROWS; i++) {
            flat(rows[i] + b * chunk_bytes, n_groups, &f[i]);
            for (unsigned g = 0; g < n_groups; g++) {
                d[g][i] = f[i].d[g];
                m[g][i] = f[i].m[g];
            }
        }
        for (unsigned i = 0; i < n; i++) {
            const unsigned char *x = task->vectors + (v + i) * task->planes.size;
            const float *x_d = (const float *)(const void *)(x + task->planes.d) + 8 * b;
            const float *x_s = (const float *)(const void *)(x + task->planes.sums) + 8 * b;
            for (unsigned g = 0; g < n_groups; g++) {
                const quad_i32 codes = code_sums_32(size, f, g, (const int8_t *)x + b * DOT_BLOCK + 32 * g);
                add_32(size, acc[i], codes, d[g], m[g], x_d[g], x_s[g]);
            }
        }
    }
    for (unsigned i = 0; i < n; i++) {
        store_rows(task, r, v + i, acc[i]);
    }
}

/* All rows times all vectors, in groups of vectors that share unpacked rows. */
#define DEFINE_ROWS(kind, name, size)                                                   \
    static void name(const qn_dot_task *task, flat_##kind##_fn *flat, uint64_t bytes) { \
        for (uint64_t v = 0; v < task->n_vectors; v += DOT_MANY) {                      \
            const uint64_t left = task->n_vectors - v;                                  \
            const unsigned n = left < DOT_MANY ? (unsigned)left : DOT_MANY;             \
            for (uint64_t r = 0; r < task->n_rows; r += DOT_ROWS) {                     \
                four_rows_##kind(task, r, v, n, flat, bytes, size);                     \
            }                                                                           \
        }                                                                               \
    }

DEFINE_ROWS(k, rows_k, CODES_7_BIT)
DEFINE_ROWS(k, rows_k_signed, CODES_SIGNED)
DEFINE_ROWS(32, rows_32, CODES_7_BIT)
DEFINE_ROWS(32, rows_32_signed, CODES_SIGNED)

#endif
