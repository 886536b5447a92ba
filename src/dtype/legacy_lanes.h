/* SPDX-License-Identifier: MIT */
/*
 * legacy_lanes.h: encoders of Q4_0, Q4_1, Q5_0, Q5_1 and Q8_0, N_LANES blocks of 32 at a time.
 *
 * Plain rows are rounded to a grid laid through the extremes; with importance the grid is searched for (fit_lanes.h).
 * Source: facts/quants.md §5.
 */
#ifndef QUERN_DTYPE_LEGACY_LANES_H
#define QUERN_DTYPE_LEGACY_LANES_H

#include "dtype/blocks.h"
#include "dtype/fit_lanes.h"

/* 1/d, or 0 for d = 0. */
LANE_FN lanes reciprocal(lanes d) {
    return select_lanes(d != 0.0F, 1.0F / d, all(0.0F));
}

LANE_FN int_lanes at_most(int_lanes v, int32_t high) {
    const int_lanes is_less = v < high;
    return (is_less & v) | (~is_less & high);
}

/* Writes codes 0..31 as nibbles at qs_off and, for five bits, their fifth bits at qh_off. */
LANE_FN void write_codes(const lane_batch *batch, const int_lanes *codes, bool is_five, size_t qh_off, size_t qs_off) {
    int_lanes words[4];
    for (int i = 0; i < 4; i++) {
        int_lanes bytes[4];
        for (int k = 0; k < 4; k++) {
            bytes[k] = (codes[4 * i + k] & 15) | (codes[4 * i + k + 16] & 15) << 4;
        }
        words[i] = word_of(bytes[0], bytes[1], bytes[2], bytes[3]);
    }
    scatter_words(batch, qs_off, words, 4);
    if (is_five) {
        int_lanes high = {0};
        for (int e = 0; e < QN_BLOCK_LEN; e++) {
            high |= ((codes[e] >> 4) & 1) << e;
        }
        scatter_words(batch, qh_off, &high, 1);
    }
}

/* w = v·sqrt(mean square of the row + x²). */
LANE_FN void row_weights(const lane_batch *batch, const lane_row *x, lane_row *w) {
    const lanes mean_square = load(batch->row_mean_square);
    gather(batch->importance, 0, QN_BLOCK_LEN, w);
    for (int e = 0; e < QN_BLOCK_LEN; e++) {
        const lanes v = load(x[e]);
        store(w[e], load(w[e]) * square_root(mean_square + v * v));
    }
}

/* Q4_0 (high = 8) and Q5_0 (high = 16). */
LANE_FN void encode_symmetric(const lane_batch *batch, bool is_five) {
    const float high = is_five ? 16.0F : 8.0F;
    _Alignas(64) lane_row x[QN_BLOCK_LEN];
    int_lanes codes[QN_BLOCK_LEN];
    lanes d;
    gather(batch->x, 0, QN_BLOCK_LEN, x);
    if (batch->has_importance) {
        _Alignas(64) lane_row w[QN_BLOCK_LEN];
        _Alignas(64) lane_row q[QN_BLOCK_LEN];
        row_weights(batch, x, w);
        d = fit_symmetric(QN_BLOCK_LEN, high, x, w, q);
        for (int e = 0; e < QN_BLOCK_LEN; e++) {
            codes[e] = truncate_lanes(load(q[e]) + high);
        }
    } else {
        lanes largest;
        d = extreme(QN_BLOCK_LEN, x, &largest) / -high;
        const lanes inverse = reciprocal(d);
        for (int e = 0; e < QN_BLOCK_LEN; e++) {
            codes[e] = at_most(truncate_lanes(load(x[e]) * inverse + (high + 0.5F)), 2 * (int32_t)high - 1);
        }
    }
    scatter_half(batch, offsetof(qn_block_q4_0, d), half_bits(d));
    write_codes(batch, codes, is_five, offsetof(qn_block_q5_0, qh),
                is_five ? offsetof(qn_block_q5_0, qs) : offsetof(qn_block_q4_0, qs));
}

/* Q4_1 (top = 15) and Q5_1 (top = 31). */
LANE_FN void encode_affine(const lane_batch *batch, bool is_five) {
    const float top = is_five ? 31.0F : 15.0F;
    _Alignas(64) lane_row x[QN_BLOCK_LEN];
    int_lanes codes[QN_BLOCK_LEN];
    lanes d;
    lanes minimum;
    gather(batch->x, 0, QN_BLOCK_LEN, x);
    if (batch->has_importance) {
        const affine_search how = {QN_BLOCK_LEN, top, -0.9F, 0.05F, 36, false};
        _Alignas(64) lane_row w[QN_BLOCK_LEN];
        _Alignas(64) lane_row q[QN_BLOCK_LEN];
        lanes depth;
        row_weights(batch, x, w);
        d = fit_affine(&how, x, w, q, &depth);
        minimum = -depth;
        for (int e = 0; e < QN_BLOCK_LEN; e++) {
            codes[e] = truncate_lanes(load(q[e]));
        }
    } else {
        lanes high = load(x[0]);
        minimum = high;
        for (int e = 1; e < QN_BLOCK_LEN; e++) {
            minimum = least(load(x[e]), minimum);
            high = greatest(load(x[e]), high);
        }
        d = (high - minimum) / top;
        const lanes inverse = reciprocal(d);
        for (int e = 0; e < QN_BLOCK_LEN; e++) {
            codes[e] = at_most(truncate_lanes((load(x[e]) - minimum) * inverse + 0.5F), (int32_t)top);
        }
    }
    scatter_half(batch, offsetof(qn_block_q4_1, d), half_bits(d));
    scatter_half(batch, offsetof(qn_block_q4_1, m), half_bits(minimum));
    write_codes(batch, codes, is_five, offsetof(qn_block_q5_1, qh),
                is_five ? offsetof(qn_block_q5_1, qs) : offsetof(qn_block_q4_1, qs));
}

static void q4_0_batch(const lane_batch *batch) {
    encode_symmetric(batch, false);
}

static void q5_0_batch(const lane_batch *batch) {
    encode_symmetric(batch, true);
}

static void q4_1_batch(const lane_batch *batch) {
    encode_affine(batch, false);
}

static void q5_1_batch(const lane_batch *batch) {
    encode_affine(batch, true);
}

/* Mean of x² of n_rows <= N_LANES rows, one row a lane; each sum is one chain over its whole row. */
static void row_mean_squares(const qn_encode_task *task, uint64_t first_row, uint64_t n_rows, float *means) {
    _Alignas(64) lane_row x[QN_BLOCK_LEN];
    const float *rows[N_LANES];
    lanes sum = all(0.0F);
    for (uint64_t l = 0; l < N_LANES; l++) {
        rows[l] = task->src + (first_row + (l < n_rows ? l : n_rows - 1)) * task->n_cols;
    }
    for (uint64_t col = 0; col < task->n_cols; col += QN_BLOCK_LEN) {
        gather(rows, (size_t)col, QN_BLOCK_LEN, x);
        for (int e = 0; e < QN_BLOCK_LEN; e++) {
            sum += load(x[e]) * load(x[e]);
        }
    }
    store(means, sum / (float)task->n_cols);
}

static void encode_legacy(const qn_encode_task *task, uint64_t block_bytes, batch_fn *encode) {
    if (task->importance == NULL) {
        run_batches(task, 0, task->n_rows, QN_BLOCK_LEN, block_bytes, NULL, encode);
        return;
    }
    for (uint64_t row = 0; row < task->n_rows; row += N_LANES) {
        const uint64_t n_rows = task->n_rows - row < N_LANES ? task->n_rows - row : N_LANES;
        lane_row means;
        row_mean_squares(task, row, n_rows, means);
        run_batches(task, row, row + n_rows, QN_BLOCK_LEN, block_bytes, means, encode);
    }
}

static void encode_q4_0(const qn_encode_task *task) {
    encode_legacy(task, sizeof(qn_block_q4_0), q4_0_batch);
}

static void encode_q4_1(const qn_encode_task *task) {
    encode_legacy(task, sizeof(qn_block_q4_1), q4_1_batch);
}

static void encode_q5_0(const qn_encode_task *task) {
    encode_legacy(task, sizeof(qn_block_q5_0), q5_0_batch);
}

static void encode_q5_1(const qn_encode_task *task) {
    encode_legacy(task, sizeof(qn_block_q5_1), q5_1_batch);
}

#endif
