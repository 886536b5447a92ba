/* SPDX-License-Identifier: MIT */
/*
 * dot_floats.h: products of floats: F32, F16 and BF16 rows, and rows that are decoded first.
 *
 * A product is eight partial sums, one for each column modulo 8, which are added up at the end: always in this order,
 * whatever rows and vectors are taken together. Tiles of 3 rows and 4 vectors fill the registers; columns are taken in
 * runs that stay in the first cache, with the partial sums kept aside in between.
 */
#ifndef QUERN_DTYPE_DOT_FLOATS_H
#define QUERN_DTYPE_DOT_FLOATS_H

#include "dtype/dot_kernels.h"
#include "dtype/dot_parts.h"
#include "dtype/half.h"

#include <string.h>

enum {
    FLOAT_LANES = 8,
    FLOAT_RUN = 1024,  /* columns of a run */
    FLOAT_VECTORS = 4, /* of a tile */
    FLOAT_ROWS = 3,    /* of a tile */
    FLOAT_CHUNK = 24,  /* rows whose partial sums are kept */
    DECODED_RUN = 256  /* columns decoded at a time: whole blocks of every type */
};

#if defined(__AVX2__)

typedef __m256 lanes_f32;

DOT_INLINE lanes_f32 lanes_load(const float *x) {
    return _mm256_loadu_ps(x);
}

DOT_INLINE void lanes_store(float *x, lanes_f32 v) {
    _mm256_storeu_ps(x, v);
}

DOT_INLINE lanes_f32 lanes_add_product(lanes_f32 a, lanes_f32 b, lanes_f32 sum) {
    return _mm256_fmadd_ps(a, b, sum);
}

DOT_INLINE lanes_f32 lanes_of_f16(const unsigned char *w) {
    return _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)w));
}

DOT_INLINE lanes_f32 lanes_of_bf16(const unsigned char *w) {
    const __m128i half = _mm_loadu_si128((const __m128i *)(const void *)w);
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16));
}

#else

typedef struct lanes_f32 {
    float of[FLOAT_LANES];
} lanes_f32;

DOT_INLINE lanes_f32 lanes_load(const float *x) {
    lanes_f32 v;
    memcpy(&v, x, sizeof v);
    return v;
}

DOT_INLINE void lanes_store(float *x, lanes_f32 v) {
    memcpy(x, &v, sizeof v);
}

DOT_INLINE lanes_f32 lanes_add_product(lanes_f32 a, lanes_f32 b, lanes_f32 sum) {
    for (unsigned t = 0; t < FLOAT_LANES; t++) {
        sum.of[t] += a.of[t] * b.of[t];
    }
    return sum;
}

DOT_INLINE lanes_f32 lanes_of_f16(const unsigned char *w) {
    lanes_f32 v;
    for (unsigned t = 0; t < FLOAT_LANES; t++) {
        v.of[t] = half_at(w + 2 * t);
    }
    return v;
}

DOT_INLINE lanes_f32 lanes_of_bf16(const unsigned char *w) {
    lanes_f32 v;
    for (unsigned t = 0; t < FLOAT_LANES; t++) {
        v.of[t] = bfloat_to_f32((uint16_t)(w[2 * t] | w[2 * t + 1] << 8));
    }
    return v;
}

#endif

DOT_INLINE lanes_f32 lanes_of_f32(const unsigned char *w) {
    lanes_f32 v;
    memcpy(&v, w, sizeof v);
    return v;
}

typedef lanes_f32 lanes_of_fn(const unsigned char *w);

/* Adds a run of n columns to a tile's partial sums: sums[v][r] at sums + (v * sum_stride + r) * FLOAT_LANES. */
DOT_INLINE void add_tile(unsigned n_rows, unsigned n_vectors, const unsigned char *w, uint64_t w_stride,
                         unsigned w_bytes, const float *x, uint64_t x_stride, uint64_t n, lanes_of_fn *lanes_of,
                         float *sums, uint64_t sum_stride) {
    lanes_f32 acc[FLOAT_VECTORS][DOT_ROWS];
    for (unsigned v = 0; v < n_vectors; v++) {
        for (unsigned r = 0; r < n_rows; r++) {
            acc[v][r] = lanes_load(sums + (v * sum_stride + r) * FLOAT_LANES);
        }
    }
    for (uint64_t c = 0; c + FLOAT_LANES <= n; c += FLOAT_LANES) {
        lanes_f32 weights[DOT_ROWS];
        for (unsigned r = 0; r < n_rows; r++) {
            weights[r] = lanes_of(w + r * w_stride + c * w_bytes);
        }
        for (unsigned v = 0; v < n_vectors; v++) {
            const lanes_f32 values = lanes_load(x + v * x_stride + c);
            for (unsigned r = 0; r < n_rows; r++) {
                acc[v][r] = lanes_add_product(weights[r], values, acc[v][r]);
            }
        }
    }
    for (uint64_t c = n & ~(uint64_t)(FLOAT_LANES - 1); c < n; c = n) {
        /* The last columns of a row, which may end where the memory ends; the vectors have zeros there. */
        for (unsigned r = 0; r < n_rows; r++) {
            unsigned char padded[FLOAT_LANES * sizeof(float)] = {0};
            memcpy(padded, w + r * w_stride + c * w_bytes, (size_t)(n - c) * w_bytes);
            const lanes_f32 weights = lanes_of(padded);
            for (unsigned v = 0; v < n_vectors; v++) {
                acc[v][r] = lanes_add_product(weights, lanes_load(x + v * x_stride + c), acc[v][r]);
            }
        }
    }
    for (unsigned v = 0; v < n_vectors; v++) {
        for (unsigned r = 0; r < n_rows; r++) {
            lanes_store(sums + (v * sum_stride + r) * FLOAT_LANES, acc[v][r]);
        }
    }
}

DOT_INLINE float total_of_lanes(const float *s) {
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

/* Adds a run to the partial sums of n_rows rows, FLOAT_CHUNK at most, and n_vectors vectors, FLOAT_VECTORS at most. */
DOT_INLINE void add_run(uint64_t n_rows, uint64_t n_vectors, const unsigned char *w, uint64_t w_stride,
                        unsigned w_bytes, const float *x, uint64_t x_stride, uint64_t n, lanes_of_fn *lanes_of,
                        float sums[FLOAT_VECTORS * FLOAT_CHUNK * FLOAT_LANES]) {
    uint64_t r = 0;
    if (n_vectors == FLOAT_VECTORS) {
        for (; r + FLOAT_ROWS <= n_rows; r += FLOAT_ROWS) {
            add_tile(FLOAT_ROWS, FLOAT_VECTORS, w + r * w_stride, w_stride, w_bytes, x, x_stride, n, lanes_of,
                     sums + r * FLOAT_LANES, FLOAT_CHUNK);
        }
        for (; r < n_rows; r++) {
            add_tile(1, FLOAT_VECTORS, w + r * w_stride, w_stride, w_bytes, x, x_stride, n, lanes_of,
                     sums + r * FLOAT_LANES, FLOAT_CHUNK);
        }
        return;
    }
    for (uint64_t v = 0; v < n_vectors; v++) {
        for (r = 0; r + DOT_ROWS <= n_rows; r += DOT_ROWS) {
            add_tile(DOT_ROWS, 1, w + r * w_stride, w_stride, w_bytes, x + v * x_stride, x_stride, n, lanes_of,
                     sums + (v * FLOAT_CHUNK + r) * FLOAT_LANES, FLOAT_CHUNK);
        }
        for (; r < n_rows; r++) {
            add_tile(1, 1, w + r * w_stride, w_stride, w_bytes, x + v * x_stride, x_stride, n, lanes_of,
                     sums + (v * FLOAT_CHUNK + r) * FLOAT_LANES, FLOAT_CHUNK);
        }
    }
}

DOT_INLINE void store_totals(const qn_dot_task *task, uint64_t r, uint64_t n_rows, uint64_t v, uint64_t n_vectors,
                             const float *sums) {
    for (uint64_t i = 0; i < n_vectors; i++) {
        for (uint64_t k = 0; k < n_rows; k++) {
            task->dst[(v + i) * task->dst_stride + r + k] = total_of_lanes(sums + (i * FLOAT_CHUNK + k) * FLOAT_LANES);
        }
    }
}

/* Rows whose numbers become lanes as they are read. */
DOT_INLINE void dot_numbers(const qn_dot_task *task, unsigned w_bytes, lanes_of_fn *lanes_of) {
    const uint64_t x_stride = task->planes.size / sizeof(float);
    /* One vector: a row in one go, as memory gives it. */
    const uint64_t run = task->n_vectors == 1 ? task->n_cols : FLOAT_RUN;
    for (uint64_t r = 0; r < task->n_rows; r += FLOAT_CHUNK) {
        const uint64_t n_rows = task->n_rows - r < FLOAT_CHUNK ? task->n_rows - r : FLOAT_CHUNK;
        for (uint64_t v = 0; v < task->n_vectors; v += FLOAT_VECTORS) {
            const uint64_t n_vectors = task->n_vectors - v < FLOAT_VECTORS ? task->n_vectors - v : FLOAT_VECTORS;
            const float *x = (const float *)(const void *)(task->vectors + v * task->planes.size);
            float sums[FLOAT_VECTORS * FLOAT_CHUNK * FLOAT_LANES] = {0.0F};
            for (uint64_t c = 0; c < task->n_cols; c += run) {
                add_run(n_rows, n_vectors, task->weights + r * task->row_bytes + c * w_bytes, task->row_bytes, w_bytes,
                        x + c, x_stride, task->n_cols - c < run ? task->n_cols - c : run, lanes_of, sums);
            }
            store_totals(task, r, n_rows, v, n_vectors, sums);
        }
    }
}

static void dot_f32(const qn_dot_task *task) {
    dot_numbers(task, sizeof(float), lanes_of_f32);
}

static void dot_f16(const qn_dot_task *task) {
    dot_numbers(task, sizeof(uint16_t), lanes_of_f16);
}

static void dot_bf16(const qn_dot_task *task) {
    dot_numbers(task, sizeof(uint16_t), lanes_of_bf16);
}

/* Rows that are decoded a run at a time, for a few vectors each. */
static void dot_decoded(const qn_dot_task *task) {
    enum { N_ROWS = 12 };
    const uint64_t x_stride = task->planes.size / sizeof(float);
    for (uint64_t v = 0; v < task->n_vectors; v += FLOAT_VECTORS) {
        const uint64_t n_vectors = task->n_vectors - v < FLOAT_VECTORS ? task->n_vectors - v : FLOAT_VECTORS;
        const float *x = (const float *)(const void *)(task->vectors + v * task->planes.size);
        for (uint64_t r = 0; r < task->n_rows; r += N_ROWS) {
            const uint64_t n_rows = task->n_rows - r < N_ROWS ? task->n_rows - r : N_ROWS;
            float sums[FLOAT_VECTORS * FLOAT_CHUNK * FLOAT_LANES] = {0.0F};
            for (uint64_t c = 0; c < task->n_cols; c += DECODED_RUN) {
                const uint64_t n = task->n_cols - c < DECODED_RUN ? task->n_cols - c : DECODED_RUN;
                float w[N_ROWS][DECODED_RUN];
                for (uint64_t i = 0; i < n_rows; i++) {
                    task->decode(task->weights + (r + i) * task->row_bytes + c / task->block_len * task->block_bytes, n,
                                 w[i]);
                }
                add_run(n_rows, n_vectors, (const unsigned char *)w, sizeof w[0], sizeof(float), x + c, x_stride, n,
                        lanes_of_f32, sums);
            }
            store_totals(task, r, n_rows, v, n_vectors, sums);
        }
    }
}

#endif
