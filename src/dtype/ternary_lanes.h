/* SPDX-License-Identifier: MIT */
/*
 * ternary_lanes.h: encoders of Q1_0, Q2_0, TQ1_0 and TQ2_0, one block a lane. There is nothing to search for.
 *
 * Q1_0 keeps signs, the others a trit each: -1, 0 or 1 times the largest magnitude. Source: facts/quants.md §5.
 */
#ifndef QUERN_DTYPE_TERNARY_LANES_H
#define QUERN_DTYPE_TERNARY_LANES_H

#include "dtype/blocks.h"
#include "dtype/lanes.h"

enum { Q1_0_LEN = 128, Q2_0_LEN = 64 };

static void q1_0_batch(const lane_batch *batch) {
    _Alignas(64) lane_row x[Q1_0_LEN];
    int_lanes words[Q1_0_LEN / 32];
    lanes sum = all(0.0F);
    gather(batch->x, 0, Q1_0_LEN, x);
    for (int i = 0; i < Q1_0_LEN / 32; i++) {
        words[i] = (int_lanes){0};
        for (int k = 0; k < 32; k++) {
            const lanes v = load(x[32 * i + k]);
            sum += magnitude(v);
            words[i] |= (v >= 0.0F) & (int32_t)(1U << k);
        }
    }
    scatter_half(batch, offsetof(qn_block_q1_0, d), half_bits(sum / (float)Q1_0_LEN));
    scatter_words(batch, offsetof(qn_block_q1_0, bits), words, Q1_0_LEN / 32);
}

/* Gathers n elements; gives the largest magnitude. */
LANE_FN lanes gather_largest(const lane_batch *batch, int n, lane_row *x) {
    lanes largest = all(0.0F);
    gather(batch->x, 0, (size_t)n, x);
    for (int e = 0; e < n; e++) {
        largest = greatest(magnitude(load(x[e])), largest);
    }
    return largest;
}

/* 0, 1 or 2 for a multiple of the scale next to -1, 0 or 1; halves go away from zero. */
LANE_FN int_lanes trit(const lane_row x, lanes inverse) {
    const lanes v = load(x) * inverse;
    return 1 - (v >= 0.5F) + (v <= -0.5F);
}

LANE_FN lanes inverse_scale(lanes d) {
    return select_lanes(d != 0.0F, 1.0F / d, all(0.0F));
}

static void q2_0_batch(const lane_batch *batch) {
    _Alignas(64) lane_row x[Q2_0_LEN];
    int_lanes words[Q2_0_LEN / 16];
    const lanes d = gather_largest(batch, Q2_0_LEN, x);
    const lanes inverse = inverse_scale(d);
    for (int i = 0; i < Q2_0_LEN / 16; i++) {
        words[i] = (int_lanes){0};
        for (int k = 0; k < 16; k++) {
            words[i] |= trit(x[16 * i + k], inverse) << (2 * k);
        }
    }
    scatter_half(batch, offsetof(qn_block_q2_0, d), half_bits(d));
    scatter_words(batch, offsetof(qn_block_q2_0, qs), words, Q2_0_LEN / 16);
}

static void tq2_0_batch(const lane_batch *batch) {
    _Alignas(64) lane_row x[QN_SUPERBLOCK_LEN];
    int_lanes words[16];
    const lanes d = gather_largest(batch, QN_SUPERBLOCK_LEN, x);
    const lanes inverse = inverse_scale(d);
    for (int i = 0; i < 16; i++) {
        words[i] = (int_lanes){0};
        for (int k = 0; k < 16; k++) {
            /* Byte k/4 of the word, pair k%4 of the byte. */
            const int e = 128 * (i / 8) + 4 * (i % 8) + k / 4 + 32 * (k % 4);
            words[i] |= trit(x[e], inverse) << (2 * k);
        }
    }
    scatter_words(batch, offsetof(qn_block_tq2_0, qs), words, 16);
    scatter_half(batch, offsetof(qn_block_tq2_0, d), half_bits(d));
}

/* The byte of n trits, `apart` elements apart, the first the most significant of five: 256·V/243, rounded up. */
LANE_FN int_lanes trit_byte(const lane_row *x, int n, int apart, lanes inverse) {
    int_lanes value = {0};
    for (int i = 0; i < 5; i++) {
        value *= 3;
        if (i < n) {
            value += trit(x[i * apart], inverse);
        }
    }
    /* V + ceil(13·V/243); the quotient by multiplication, exact for all V < 243. */
    return value + (((value * 13 + 242) * 1079) >> 18);
}

static void tq1_0_batch(const lane_batch *batch) {
    _Alignas(64) lane_row x[QN_SUPERBLOCK_LEN];
    int_lanes words[13];
    const lanes d = gather_largest(batch, QN_SUPERBLOCK_LEN, x);
    const lanes inverse = inverse_scale(d);
    for (int i = 0; i < 13; i++) {
        int_lanes bytes[4];
        for (int k = 0; k < 4; k++) {
            const int b = 4 * i + k;
            bytes[k] = b < 32 ? trit_byte(x + b, 5, 32, inverse)
                : b < 48      ? trit_byte(x + 160 + b - 32, 5, 16, inverse)
                              : trit_byte(x + 240 + b - 48, 4, 4, inverse);
        }
        words[i] = word_of(bytes[0], bytes[1], bytes[2], bytes[3]);
    }
    scatter_words(batch, offsetof(qn_block_tq1_0, qs), words, 13);
    scatter_half(batch, offsetof(qn_block_tq1_0, d), half_bits(d));
}

static void encode_q1_0(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, Q1_0_LEN, sizeof(qn_block_q1_0), NULL, q1_0_batch);
}

static void encode_q2_0(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, Q2_0_LEN, sizeof(qn_block_q2_0), NULL, q2_0_batch);
}

static void encode_tq1_0(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_tq1_0), NULL, tq1_0_batch);
}

static void encode_tq2_0(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_tq2_0), NULL, tq2_0_batch);
}

#endif
