/* SPDX-License-Identifier: MIT */
/*
 * lanes.h: what encoders do with vectors of float32, one block a lane.
 *
 * An encoder's search is a chain of sums over the elements of one block, whose order fixes the last bit. So lanes run
 * over blocks, never over the elements of one: every level adds in the same order and gives the same bytes.
 */
#ifndef QUERN_DTYPE_LANES_H
#define QUERN_DTYPE_LANES_H

#include "dtype/float_lanes.h"
#include "dtype/half.h"
#include "dtype/kernels.h"

#include <stdbool.h>
#include <stddef.h>

#if defined(__x86_64__)
#include <immintrin.h>
#else
#include <math.h>
#endif

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "blocks are built from little-endian words");

/** Room for one float a lane; arrays of rows are how groups are stored: row[e] holds element e of each block. */
typedef float lane_row[N_LANES];

LANE_FN lanes magnitude(lanes v) {
    return (lanes)((int_lanes)v & 0x7FFFFFFF);
}

/** a < b ? a : b, thus b where either is NaN. */
LANE_FN lanes least(lanes a, lanes b) {
#if defined(__AVX512F__)
    return (lanes)_mm512_min_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (lanes)_mm256_min_ps((__m256)a, (__m256)b);
#elif defined(__x86_64__)
    return (lanes)_mm_min_ps((__m128)a, (__m128)b);
#else
    return select_lanes(a < b, a, b);
#endif
}

/** a > b ? a : b, thus b where either is NaN. */
LANE_FN lanes greatest(lanes a, lanes b) {
#if defined(__AVX512F__)
    return (lanes)_mm512_max_ps((__m512)a, (__m512)b);
#elif defined(__AVX2__)
    return (lanes)_mm256_max_ps((__m256)a, (__m256)b);
#elif defined(__x86_64__)
    return (lanes)_mm_max_ps((__m128)a, (__m128)b);
#else
    return select_lanes(a > b, a, b);
#endif
}

LANE_FN lanes square_root(lanes v) {
#if defined(__AVX512F__)
    return (lanes)_mm512_sqrt_ps((__m512)v);
#elif defined(__AVX2__)
    return (lanes)_mm256_sqrt_ps((__m256)v);
#elif defined(__x86_64__)
    return (lanes)_mm_sqrt_ps((__m128)v);
#else
    for (int l = 0; l < N_LANES; l++) {
        v[l] = sqrtf(v[l]);
    }
    return v;
#endif
}

/** Towards zero. What no int32 can hold becomes INT32_MIN, whose low bits are a code of 0. */
LANE_FN int_lanes truncate_lanes(lanes v) {
#if defined(__AVX512F__)
    return (int_lanes)_mm512_cvttps_epi32((__m512)v);
#elif defined(__AVX2__)
    return (int_lanes)_mm256_cvttps_epi32((__m256)v);
#elif defined(__x86_64__)
    return (int_lanes)_mm_cvttps_epi32((__m128)v);
#else
    const int_lanes fits = magnitude(v) < 0x1p31F;
    return (__builtin_convertvector(select_lanes(fits, v, (lanes){0}), int_lanes) & fits) | (~fits & INT32_MIN);
#endif
}

/**
 * To the nearest integer, ties to even, for |v| < 2^22: added to 1.5 * 2^23 a number loses its fraction.
 * Callers clamp what is larger, or NaN, afterwards.
 */
LANE_FN lanes nearest(lanes v) {
    return (v + 12582912.0F) - 12582912.0F;
}

/** nearest(), held to low..high; low for a NaN. */
LANE_FN lanes nearest_within(lanes v, float low, float high) {
    return least(greatest(nearest(v), all(low)), all(high));
}

LANE_FN bool is_any_set(int_lanes mask) {
    int32_t any = 0;
    for (int l = 0; l < N_LANES; l++) {
        any |= mask[l];
    }
    return any != 0;
}

/** Each lane rounded to f16, as the low 16 bits of an int. */
LANE_FN int_lanes half_bits(lanes v) {
    int_lanes bits;
    lane_row row;
    int32_t out[N_LANES];
    store(row, v);
    for (int l = 0; l < N_LANES; l++) {
        out[l] = half_from_f32(row[l]);
    }
    memcpy(&bits, out, sizeof bits);
    return bits;
}

/** The float32 values of half_bits(). */
LANE_FN lanes half_values(int_lanes bits) {
    int32_t in[N_LANES];
    lane_row row;
    memcpy(in, &bits, sizeof in);
    for (int l = 0; l < N_LANES; l++) {
        row[l] = half_to_f32((uint16_t)in[l]);
    }
    return load(row);
}

/** Four codes of 0..255 as the bytes of a little-endian word. */
LANE_FN int_lanes word_of(int_lanes b0, int_lanes b1, int_lanes b2, int_lanes b3) {
    return b0 | b1 << 8 | b2 << 16 | b3 << 24;
}

/** N_LANES blocks that are encoded together. */
typedef struct lane_batch {
    const float *x[N_LANES];          /**< the elements of each lane's block */
    const float *importance[N_LANES]; /**< of its columns; NULL when has_importance is false */
    unsigned char *dst[N_LANES];
    lane_row row_mean_square; /**< mean of x² over the block's whole row; set for the legacy types only */
    bool has_importance;
    const void *context; /**< what a kernel prepared for all batches of its task, or NULL */
} lane_batch;

/** Encodes one batch. */
typedef void batch_fn(const lane_batch *batch);

#if N_LANES == 8
/** Transposes n elements, a multiple of 4, from each lane's place into rows: 4 elements of all lanes at a time. */
LANE_FN void gather(const float *const from[N_LANES], size_t first, size_t n, lane_row *rows) {
    for (size_t e = 0; e < n; e += 4) {
        lanes pair[4]; /* four elements of lane k, and of lane k + 4 */
        for (size_t k = 0; k < 4; k++) {
            const __m128 low = _mm_loadu_ps(from[k] + first + e);
            const __m128 high = _mm_loadu_ps(from[k + 4] + first + e);
            pair[k] = (lanes)_mm256_insertf128_ps(_mm256_castps128_ps256(low), high, 1);
        }
        const lanes even_low = (lanes)_mm256_unpacklo_ps((__m256)pair[0], (__m256)pair[2]);
        const lanes even_high = (lanes)_mm256_unpackhi_ps((__m256)pair[0], (__m256)pair[2]);
        const lanes odd_low = (lanes)_mm256_unpacklo_ps((__m256)pair[1], (__m256)pair[3]);
        const lanes odd_high = (lanes)_mm256_unpackhi_ps((__m256)pair[1], (__m256)pair[3]);
        store(rows[e], (lanes)_mm256_unpacklo_ps((__m256)even_low, (__m256)odd_low));
        store(rows[e + 1], (lanes)_mm256_unpackhi_ps((__m256)even_low, (__m256)odd_low));
        store(rows[e + 2], (lanes)_mm256_unpacklo_ps((__m256)even_high, (__m256)odd_high));
        store(rows[e + 3], (lanes)_mm256_unpackhi_ps((__m256)even_high, (__m256)odd_high));
    }
}
#else
/** Transposes n elements, a multiple of 4, from each lane's place into rows: 4 elements of 4 lanes at a time. */
LANE_FN void gather(const float *const from[N_LANES], size_t first, size_t n, lane_row *rows) {
    typedef float quad __attribute__((vector_size(16)));
    for (size_t l = 0; l < N_LANES; l += 4) {
        for (size_t e = 0; e < n; e += 4) {
            quad lane[4];
            for (size_t k = 0; k < 4; k++) {
                memcpy(&lane[k], from[l + k] + first + e, sizeof lane[k]);
            }
            const quad even_low = __builtin_shufflevector(lane[0], lane[2], 0, 4, 1, 5);
            const quad even_high = __builtin_shufflevector(lane[0], lane[2], 2, 6, 3, 7);
            const quad odd_low = __builtin_shufflevector(lane[1], lane[3], 0, 4, 1, 5);
            const quad odd_high = __builtin_shufflevector(lane[1], lane[3], 2, 6, 3, 7);
            const quad element[4] = {__builtin_shufflevector(even_low, odd_low, 0, 4, 1, 5),
                                     __builtin_shufflevector(even_low, odd_low, 2, 6, 3, 7),
                                     __builtin_shufflevector(even_high, odd_high, 0, 4, 1, 5),
                                     __builtin_shufflevector(even_high, odd_high, 2, 6, 3, 7)};
            for (size_t k = 0; k < 4; k++) {
                memcpy(rows[e + k] + l, &element[k], sizeof element[k]);
            }
        }
    }
}
#endif

/** Writes n words of each lane behind offset bytes of its block. */
LANE_FN void scatter_words(const lane_batch *batch, size_t offset, const int_lanes *words, size_t n) {
    for (size_t l = 0; l < N_LANES; l++) {
        for (size_t i = 0; i < n; i++) {
            const int32_t word = words[i][l];
            memcpy(batch->dst[l] + offset + 4 * i, &word, sizeof word);
        }
    }
}

/** Writes the low 16 bits of each lane at offset bytes of its block. */
LANE_FN void scatter_half(const lane_batch *batch, size_t offset, int_lanes bits) {
    for (size_t l = 0; l < N_LANES; l++) {
        const uint16_t half = (uint16_t)bits[l];
        memcpy(batch->dst[l] + offset, &half, sizeof half);
    }
}

/**
 * Cuts rows [first_row, end_row) of a task into batches. Blocks follow each other across rows; where fewer are left
 * than there are lanes, the last block fills the others, which write the same bytes once more.
 *
 * @param mean_squares one for each row of the range, or NULL
 * @param context      handed to each batch
 */
LANE_FN void run_batches_with(const qn_encode_task *task, uint64_t first_row, uint64_t end_row, uint64_t block_len,
                              uint64_t block_bytes, const float *mean_squares, const void *context, batch_fn *encode) {
    const uint64_t row_blocks = task->n_cols / block_len;
    const uint64_t end = end_row * row_blocks;
    for (uint64_t first = first_row * row_blocks; first < end; first += N_LANES) {
        lane_batch batch;
        batch.has_importance = task->importance != NULL;
        batch.context = context;
        for (uint64_t l = 0; l < N_LANES; l++) {
            const uint64_t block = first + l < end ? first + l : end - 1;
            batch.x[l] = task->src + block * block_len;
            batch.dst[l] = task->dst + block * block_bytes;
            batch.importance[l] = batch.has_importance ? task->importance + (block % row_blocks) * block_len : NULL;
            batch.row_mean_square[l] = mean_squares != NULL ? mean_squares[block / row_blocks - first_row] : 0.0F;
        }
        encode(&batch);
    }
}

/** run_batches_with() no context. */
LANE_FN void run_batches(const qn_encode_task *task, uint64_t first_row, uint64_t end_row, uint64_t block_len,
                         uint64_t block_bytes, const float *mean_squares, batch_fn *encode) {
    run_batches_with(task, first_row, end_row, block_len, block_bytes, mean_squares, NULL, encode);
}

#endif
