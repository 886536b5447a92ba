/* SPDX-License-Identifier: MIT */
/*
 * dot_rows.h: four rows at a time times a few vectors: everything at the level without vectors.
 *
 * Sums of codes are integers, so that only the order of the floats matters: block after block, by the expressions of
 * add_k() and add_32(), which dot_quick.h and dot_panels.h repeat lane by lane. All four rows of a group are computed;
 * rows beyond the last are the last again and are not stored.
 */
#ifndef QUERN_DTYPE_DOT_ROWS_H
#define QUERN_DTYPE_DOT_ROWS_H

#include "dtype/dot_parts.h"

#if !defined(__AVX2__)

enum { DOT_MANY = 8 }; /* vectors that share unpacked rows */

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
#endif
