/* SPDX-License-Identifier: MIT */
/*
 * legacy_rows.h: Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0 without a search, one block of 32 after the other, with AVX2.
 *
 * Such a block is its extremes and one rounding for each element: no sum whose order would matter, so that a register
 * may run over the elements of one block and nothing needs transposing. The bytes are those of legacy_lanes.h and
 * plain_loops.h, to the signs of zeros. Each function does nothing and gives false where there is no AVX2.
 */
#ifndef QUERN_DTYPE_LEGACY_ROWS_H
#define QUERN_DTYPE_LEGACY_ROWS_H

#include "dtype/blocks.h"
#include "dtype/lanes.h"

#if defined(__AVX2__) && defined(__F16C__)

/** A block of 32 in four registers. */
typedef struct block_row {
    __m256 v[4];
} block_row;

LANE_FN block_row load_block(const float *x) {
    block_row row;
    for (int i = 0; i < 4; i++) {
        row.v[i] = _mm256_loadu_ps(x + 8 * i);
    }
    return row;
}

LANE_FN float largest_in(__m256 v) {
    const __m128 four = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

LANE_FN float least_in(__m256 v) {
    const __m128 four = _mm_min_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_min_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_min_ss(two, _mm_movehdup_ps(two)));
}

LANE_FN float block_high(const block_row *row) {
    return largest_in(_mm256_max_ps(_mm256_max_ps(row->v[0], row->v[1]), _mm256_max_ps(row->v[2], row->v[3])));
}

LANE_FN float block_low(const block_row *row) {
    return least_in(_mm256_min_ps(_mm256_min_ps(row->v[0], row->v[1]), _mm256_min_ps(row->v[2], row->v[3])));
}

/* Low bytes of 32 integers, in order. */
LANE_FN __m256i low_bytes(const __m256i v[4]) {
    const __m256i byte = _mm256_set1_epi32(255);
    const __m256i first = _mm256_packus_epi32(_mm256_and_si256(v[0], byte), _mm256_and_si256(v[1], byte));
    const __m256i second = _mm256_packus_epi32(_mm256_and_si256(v[2], byte), _mm256_and_si256(v[3], byte));
    /* Packing works within halves: groups of four come out as 0 2 4 6 1 3 5 7. */
    return _mm256_permutevar8x32_epi32(_mm256_packus_epi16(first, second), _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
}

/* As half_from_f32(); the processor would keep a NaN's payload. */
LANE_FN uint16_t rounded_half(float value) {
    return value == value ? (uint16_t)_cvtss_sh(value, _MM_FROUND_TO_NEAREST_INT) : half_from_f32(value);
}

LANE_FN void write_half(unsigned char *dst, float value) {
    const uint16_t half = rounded_half(value);
    memcpy(dst, &half, sizeof half);
}

/* Codes 0..top of (x - low)·inverse + lift, as bytes; a register of top's bits cuts what no code can be. */
LANE_FN __m256i round_block(const block_row *row, float low, float inverse, float lift, int32_t top) {
    __m256i codes[4];
    for (int i = 0; i < 4; i++) {
        const __m256 scaled = _mm256_mul_ps(_mm256_sub_ps(row->v[i], _mm256_set1_ps(low)), _mm256_set1_ps(inverse));
        const __m256i code = _mm256_cvttps_epi32(_mm256_add_ps(scaled, _mm256_set1_ps(lift)));
        codes[i] = _mm256_and_si256(_mm256_min_epi32(code, _mm256_set1_epi32(top)), _mm256_set1_epi32(top));
    }
    return low_bytes(codes);
}

/* Codes as nibbles at qs and, for five bits, their fifth bits at qh. */
LANE_FN void write_code_bytes(__m256i codes, bool is_five, unsigned char *qh, unsigned char *qs) {
    const __m256i nibbles = _mm256_and_si256(codes, _mm256_set1_epi8(15));
    const __m128i high = _mm_slli_epi16(_mm256_extracti128_si256(nibbles, 1), 4);
    _mm_storeu_si128((__m128i *)(void *)qs, _mm_or_si128(_mm256_castsi256_si128(nibbles), high));
    if (is_five) {
        const int32_t bits = _mm256_movemask_epi8(_mm256_slli_epi16(codes, 3));
        memcpy(qh, &bits, sizeof bits);
    }
}

/* The value with the largest magnitude, the first on ties, +0 where all are zero. */
LANE_FN float block_extreme(const block_row *row, const float *x) {
    const float high = block_high(row);
    const float low = block_low(row);
    if (high > -low) {
        return high;
    }
    if (high < -low) {
        return low;
    }
    for (int e = 0; e < QN_BLOCK_LEN; e++) {
        if ((x[e] == high || x[e] == low) && x[e] != 0.0F) {
            return x[e];
        }
    }
    return 0.0F;
}

/* Q4_0 (top = 15) and Q5_0 (top = 31). */
LANE_FN bool encode_symmetric_rows(const qn_encode_task *task, int32_t top, uint64_t block_bytes) {
    const uint64_t n_blocks = task->n_rows * task->n_cols / QN_BLOCK_LEN;
    const float high = (float)(top + 1) / 2.0F;
    for (uint64_t b = 0; b < n_blocks; b++) {
        const float *x = task->src + b * QN_BLOCK_LEN;
        unsigned char *block = task->dst + b * block_bytes;
        const block_row row = load_block(x);
        const float d = block_extreme(&row, x) / -high;
        const float inverse = d != 0.0F ? 1.0F / d : 0.0F;
        write_half(block + offsetof(qn_block_q4_0, d), d);
        write_code_bytes(round_block(&row, 0.0F, inverse, high + 0.5F, top), top == 31,
                         block + offsetof(qn_block_q5_0, qh),
                         block + (top == 31 ? offsetof(qn_block_q5_0, qs) : offsetof(qn_block_q4_0, qs)));
    }
    return true;
}

/* The least and the greatest value of a block, the first among equals: zeros keep their sign. */
LANE_FN float block_range(const block_row *row, const float *x, float *high) {
    float low = block_low(row);
    *high = block_high(row);
    if (low == 0.0F) {
        low = x[0];
        *high = x[0];
        for (int e = 1; e < QN_BLOCK_LEN; e++) {
            low = x[e] < low ? x[e] : low;
            *high = x[e] > *high ? x[e] : *high;
        }
    }
    return low;
}

/* Q4_1 (top = 15) and Q5_1 (top = 31). */
LANE_FN bool encode_affine_rows(const qn_encode_task *task, int32_t top, uint64_t block_bytes) {
    const uint64_t n_blocks = task->n_rows * task->n_cols / QN_BLOCK_LEN;
    for (uint64_t b = 0; b < n_blocks; b++) {
        const float *x = task->src + b * QN_BLOCK_LEN;
        unsigned char *block = task->dst + b * block_bytes;
        const block_row row = load_block(x);
        float high;
        const float low = block_range(&row, x, &high);
        const float d = (high - low) / (float)top;
        const float inverse = d != 0.0F ? 1.0F / d : 0.0F;
        write_half(block + offsetof(qn_block_q4_1, d), d);
        write_half(block + offsetof(qn_block_q4_1, m), low);
        write_code_bytes(round_block(&row, low, inverse, 0.5F, top), top == 31, block + offsetof(qn_block_q5_1, qh),
                         block + (top == 31 ? offsetof(qn_block_q5_1, qs) : offsetof(qn_block_q4_1, qs)));
    }
    return true;
}

LANE_FN bool encode_q8_0_rows(const qn_encode_task *task) {
    const uint64_t n_blocks = task->n_rows * task->n_cols / QN_BLOCK_LEN;
    const __m256 sign = _mm256_set1_ps(-0.0F);
    for (uint64_t b = 0; b < n_blocks; b++) {
        const block_row row = load_block(task->src + b * QN_BLOCK_LEN);
        unsigned char *block = task->dst + b * sizeof(qn_block_q8_0);
        block_row size;
        __m256i codes[4];
        for (int i = 0; i < 4; i++) {
            size.v[i] = _mm256_andnot_ps(sign, row.v[i]);
        }
        const float d = block_high(&size) / 127.0F;
        const float inverse = d >= 0x1p-126F ? 1.0F / d : 0.0F;
        for (int i = 0; i < 4; i++) {
            const __m256 scaled = _mm256_mul_ps(row.v[i], _mm256_set1_ps(inverse));
            const __m256 carry = _mm256_or_ps(_mm256_and_ps(scaled, sign), _mm256_set1_ps(0x1.FFFFFEp-2F));
            codes[i] = _mm256_cvttps_epi32(_mm256_add_ps(scaled, carry));
        }
        write_half(block + offsetof(qn_block_q8_0, d), d);
        _mm256_storeu_si256((__m256i *)(void *)(block + offsetof(qn_block_q8_0, qs)), low_bytes(codes));
    }
    return true;
}

#else

LANE_FN bool encode_symmetric_rows(const qn_encode_task *task, int32_t top, uint64_t block_bytes) {
    (void)task;
    (void)top;
    (void)block_bytes;
    return false;
}

LANE_FN bool encode_affine_rows(const qn_encode_task *task, int32_t top, uint64_t block_bytes) {
    (void)task;
    (void)top;
    (void)block_bytes;
    return false;
}

LANE_FN bool encode_q8_0_rows(const qn_encode_task *task) {
    (void)task;
    return false;
}

#endif
#endif
