/* SPDX-License-Identifier: MIT */
/*
 * fp4_lanes.h: encoders of MXFP4 and NVFP4, one block a lane: E2M1 codes with a scale of 8 bits for each group.
 *
 * Scales here are halves, and the levels of E2M1 doubled: 0, 1, 2, 3, 4, 6, 8, 12, with a sign bit above. Midpoints
 * between levels times a scale are exact, and what lies on one belongs to the level nearer to zero.
 * Source: facts/quants.md §1, §5.
 */
#ifndef QUERN_DTYPE_FP4_LANES_H
#define QUERN_DTYPE_FP4_LANES_H

#include "dtype/blocks.h"
#include "dtype/lanes.h"

enum {
    NVFP4_LEN = 64,
    NVFP4_GROUP = 16,
    MXFP4_REACH = 1, /**< best effort tries exponents so far from the normal one */
    NVFP4_REACH = 8  /**< and bytes of UE4M3: an octave to either side, or 8·2^-9 */
};

/* The midpoints between levels. */
static const float e2m1_middles[7] = {0.5F, 1.5F, 2.5F, 3.5F, 5.0F, 7.0F, 10.0F};

/* The code of x, 0..15; never -0. */
LANE_FN int_lanes e2m1_code(lanes x, lanes half_scale) {
    const lanes size = magnitude(x);
    int_lanes code = {0};
    for (int i = 0; i < 7; i++) {
        code -= size > e2m1_middles[i] * half_scale;
    }
    return code | ((x < 0.0F) & (code > 0) & 8);
}

/* n codes as nibbles: words of four bytes, in each byte an element of the first half and its partner of the second. */
LANE_FN void e2m1_words(int n, const lane_row *x, lanes half_scale, int_lanes *words) {
    for (int i = 0; i < n / 8; i++) {
        int_lanes bytes[4];
        for (int k = 0; k < 4; k++) {
            const int e = 4 * i + k;
            bytes[k] = e2m1_code(load(x[e]), half_scale) | e2m1_code(load(x[e + n / 2]), half_scale) << 4;
        }
        words[i] = word_of(bytes[0], bytes[1], bytes[2], bytes[3]);
    }
}

LANE_FN lanes largest_of(int n, const lane_row *x) {
    lanes largest = all(0.0F);
    for (int e = 0; e < n; e++) {
        largest = greatest(magnitude(load(x[e])), largest);
    }
    return largest;
}

LANE_FN int_lanes int_within(int_lanes v, int32_t low, int32_t high) {
    const int_lanes is_low = v < low;
    const int_lanes is_high = v > high;
    return (is_low & low) | (is_high & high) | (~is_low & ~is_high & v);
}

/* 2^(e - 128), half of E8M0's value, e in 0..254. */
LANE_FN lanes e8m0_half_lanes(int_lanes e) {
    const int_lanes is_normal = e >= 2;
    return (lanes)((is_normal & ((e - 1) << 23)) | (~is_normal & (0x00200000 << (e & 1))));
}

/* The exponent that gives the largest value the top binade of E2M1, 4..6; 0 for a zero block. */
LANE_FN int_lanes e8m0_of(lanes largest) {
    return int_within(((int_lanes)largest >> 23) - 2, 0, 254);
}

LANE_FN void write_mxfp4(const lane_batch *batch, const lane_row *x, int_lanes e) {
    int_lanes words[4];
    e2m1_words(QN_BLOCK_LEN, x, e8m0_half_lanes(e), words);
    for (size_t l = 0; l < N_LANES; l++) {
        batch->dst[l][offsetof(qn_block_mxfp4, e)] = (unsigned char)e[l];
    }
    scatter_words(batch, offsetof(qn_block_mxfp4, qs), words, 4);
}

static void mxfp4_batch(const lane_batch *batch) {
    _Alignas(64) lane_row x[QN_BLOCK_LEN];
    gather(batch->x, 0, QN_BLOCK_LEN, x);
    write_mxfp4(batch, x, e8m0_of(largest_of(QN_BLOCK_LEN, x)));
}

/* Half of UE4M3's value, byte in 0..126. */
LANE_FN lanes ue4m3_half_lanes(int_lanes byte) {
    const lanes subnormal = __builtin_convertvector(byte, lanes) * 0x1p-10F;
    /* The byte's exponent and mantissa are those of a float32 whose exponent is rebiased, from 7 + 1 to 127. */
    const lanes normal = (lanes)((byte + (119 << 3)) << 20);
    return select_lanes(byte < 8, subnormal, normal);
}

/*
 * The UE4M3 byte of a scale >= 0, halves upwards. Below 2^-6 the byte is a multiple of 2^-9, at most 7 of them; the
 * largest is 126 for 448.
 */
LANE_FN int_lanes ue4m3_of(lanes scale) {
    const int_lanes small = int_within(truncate_lanes(512.0F * scale + 0.5F), 0, 7);
    const int_lanes rounded = (((int_lanes)scale + (1 << 19)) >> 20) - (120 << 3);
    const int_lanes is_small = scale < 0x1p-6F;
    return (is_small & small) | (~is_small & int_within(rounded, 0, 126));
}

LANE_FN void write_nvfp4(const lane_batch *batch, const lane_row *x, const int_lanes bytes[4]) {
    int_lanes words[9];
    words[0] = word_of(bytes[0], bytes[1], bytes[2], bytes[3]);
    for (int s = 0; s < 4; s++) {
        e2m1_words(NVFP4_GROUP, x + s * NVFP4_GROUP, ue4m3_half_lanes(bytes[s]), words + 1 + 2 * s);
        /* A scale of 0 has one level only. */
        const int_lanes has_scale = bytes[s] != 0;
        words[1 + 2 * s] &= has_scale;
        words[2 + 2 * s] &= has_scale;
    }
    scatter_words(batch, 0, words, 9);
}

static void nvfp4_batch(const lane_batch *batch) {
    _Alignas(64) lane_row x[NVFP4_LEN];
    int_lanes bytes[4];
    gather(batch->x, 0, NVFP4_LEN, x);
    for (int s = 0; s < 4; s++) {
        bytes[s] = ue4m3_of(largest_of(NVFP4_GROUP, x + s * NVFP4_GROUP) / 6.0F);
    }
    write_nvfp4(batch, x, bytes);
}

/*
 * Best effort: of the scales around the normal one that with the least sum of w·(decoded - x)²; the normal one where
 * it is as good.
 */

/* Gathers n weights: the importance, or 1 without. */
LANE_FN void e2m1_weights(const lane_batch *batch, int n, lane_row *w) {
    if (batch->has_importance) {
        gather(batch->importance, 0, (size_t)n, w);
        return;
    }
    for (int e = 0; e < n; e++) {
        store(w[e], all(1.0F));
    }
}

LANE_FN lanes e2m1_error(int n, const lane_row *x, const lane_row *w, lanes half_scale) {
    static const float gaps[7] = {1.0F, 1.0F, 1.0F, 1.0F, 2.0F, 2.0F, 4.0F};
    lanes error = all(0.0F);
    for (int e = 0; e < n; e++) {
        const lanes size = magnitude(load(x[e]));
        lanes level = all(0.0F);
        for (int i = 0; i < 7; i++) {
            level += (lanes)((size > e2m1_middles[i] * half_scale) & (int_lanes)all(gaps[i]));
        }
        const lanes diff = level * half_scale - size;
        error += load(w[e]) * diff * diff;
    }
    return error;
}

LANE_FN void take_smaller(lanes error, int_lanes tried, lanes *best_error, int_lanes *best) {
    const int_lanes is_better = error < *best_error;
    *best_error = select_lanes(is_better, error, *best_error);
    *best = (is_better & tried) | (~is_better & *best);
}

static void mxfp4_best_batch(const lane_batch *batch) {
    _Alignas(64) lane_row x[QN_BLOCK_LEN];
    _Alignas(64) lane_row w[QN_BLOCK_LEN];
    gather(batch->x, 0, QN_BLOCK_LEN, x);
    e2m1_weights(batch, QN_BLOCK_LEN, w);
    const int_lanes normal = e8m0_of(largest_of(QN_BLOCK_LEN, x));
    int_lanes best = normal;
    lanes best_error = e2m1_error(QN_BLOCK_LEN, x, w, e8m0_half_lanes(normal));
    for (int step = -MXFP4_REACH; step <= MXFP4_REACH; step++) {
        const int_lanes tried = int_within(normal + step, 0, 254);
        take_smaller(e2m1_error(QN_BLOCK_LEN, x, w, e8m0_half_lanes(tried)), tried, &best_error, &best);
    }
    write_mxfp4(batch, x, best);
}

static void nvfp4_best_batch(const lane_batch *batch) {
    _Alignas(64) lane_row x[NVFP4_LEN];
    _Alignas(64) lane_row w[NVFP4_LEN];
    int_lanes bytes[4];
    gather(batch->x, 0, NVFP4_LEN, x);
    e2m1_weights(batch, NVFP4_LEN, w);
    for (int s = 0; s < 4; s++) {
        const lane_row *group = x + s * NVFP4_GROUP;
        const int_lanes normal = ue4m3_of(largest_of(NVFP4_GROUP, group) / 6.0F);
        lanes best_error = e2m1_error(NVFP4_GROUP, group, w + s * NVFP4_GROUP, ue4m3_half_lanes(normal));
        bytes[s] = normal;
        for (int step = -NVFP4_REACH; step <= NVFP4_REACH; step++) {
            const int_lanes tried = int_within(normal + step, 1, 126);
            const lanes error = e2m1_error(NVFP4_GROUP, group, w + s * NVFP4_GROUP, ue4m3_half_lanes(tried));
            take_smaller(error, tried, &best_error, &bytes[s]);
        }
    }
    write_nvfp4(batch, x, bytes);
}

static void encode_mxfp4(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_BLOCK_LEN, sizeof(qn_block_mxfp4), NULL, mxfp4_batch);
}

static void encode_nvfp4(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, NVFP4_LEN, sizeof(qn_block_nvfp4), NULL, nvfp4_batch);
}

static void encode_mxfp4_best(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_BLOCK_LEN, sizeof(qn_block_mxfp4), NULL, mxfp4_best_batch);
}

static void encode_nvfp4_best(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, NVFP4_LEN, sizeof(qn_block_nvfp4), NULL, nvfp4_best_batch);
}

#endif
