/* SPDX-License-Identifier: MIT */
/*
 * legacy_lanes.h: encoders of Q4_0, Q4_1, Q5_0 and Q5_1, N_LANES blocks of 32 at a time.
 *
 * Plain rows are rounded to a grid laid through the extremes (by legacy_rows.h where it can); with importance the grid
 * is searched for (fit_lanes.h).
 * At best effort scales and minima are fitted finely (free_fit_lanes.h) for the values as decoded, and the normal
 * result stays where nothing is better.
 * Source: facts/quants.md §5.
 */
#ifndef QUERN_DTYPE_LEGACY_LANES_H
#define QUERN_DTYPE_LEGACY_LANES_H

#include "dtype/blocks.h"
#include "dtype/fit_lanes.h"
#include "dtype/free_fit_lanes.h"
#include "dtype/legacy_rows.h"

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

/* Scale and codes of Q4_0 (high = 8) and Q5_0 (high = 16). */
LANE_FN lanes fit_symmetric_block(const lane_batch *batch, float high, const lane_row *x, int_lanes *codes) {
    lanes d;
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
    return d;
}

/* The same at best effort: both signs of the scale, fine steps, least squares again for the f16 scale's codes. */
LANE_FN lanes refine_symmetric_block(const lane_batch *batch, float high, const lane_row *x, lanes d,
                                     int_lanes *codes) {
    const rate_row rates = {0.75F, 1.0125F, 64};
    _Alignas(64) lane_row w[QN_BLOCK_LEN];
    lanes largest;
    const lanes inverse = -high / extreme(QN_BLOCK_LEN, x, &largest);
    error_weights(batch, QN_BLOCK_LEN, w);
    d = half_rounded(d);
    lanes best = cost_of(QN_BLOCK_LEN, -high, high - 1.0F, x, w, d, all(0.0F));
    for (int i = 0; i < 4; i++) {
        lanes trial;
        if (i < 2) {
            trial = fit_free_signed(QN_BLOCK_LEN, high, &rates, x, w, i == 0 ? inverse : -inverse);
        } else {
            const code_sums sums = sums_at(QN_BLOCK_LEN, -high, high - 1.0F, x, w, inverse_of(d), all(0.0F));
            trial = sums.qx / sums.qq;
        }
        trial = half_rounded(trial);
        const lanes error = cost_of(QN_BLOCK_LEN, -high, high - 1.0F, x, w, trial, all(0.0F));
        d = select_lanes(error < best, trial, d);
        best = select_lanes(error < best, error, best);
    }
    const lanes by_d = inverse_of(d);
    for (int e = 0; e < QN_BLOCK_LEN; e++) {
        codes[e] = truncate_lanes(nearest_within(load(x[e]) * by_d, -high, high - 1.0F) + high);
    }
    return d;
}

/* Q4_0 and Q5_0. */
LANE_FN void encode_symmetric(const lane_batch *batch, bool is_five, bool is_best) {
    const float high = is_five ? 16.0F : 8.0F;
    _Alignas(64) lane_row x[QN_BLOCK_LEN];
    int_lanes codes[QN_BLOCK_LEN];
    gather(batch->x, 0, QN_BLOCK_LEN, x);
    lanes d = fit_symmetric_block(batch, high, x, codes);
    if (is_best) {
        d = refine_symmetric_block(batch, high, x, d, codes);
    }
    scatter_half(batch, offsetof(qn_block_q4_0, d), half_bits(d));
    write_codes(batch, codes, is_five, offsetof(qn_block_q5_0, qh),
                is_five ? offsetof(qn_block_q5_0, qs) : offsetof(qn_block_q4_0, qs));
}

/* Scale, minimum and codes of Q4_1 (top = 15) and Q5_1 (top = 31). */
LANE_FN lanes fit_affine_block(const lane_batch *batch, float top, const lane_row *x, int_lanes *codes,
                               lanes *least_value) {
    lanes d;
    lanes minimum;
    if (batch->has_importance) {
        const affine_search how = {QN_BLOCK_LEN, top, -0.9F, 0.05F, 36, false};
        _Alignas(64) lane_row w[QN_BLOCK_LEN];
        _Alignas(64) lane_row q[QN_BLOCK_LEN];
        lane_row depth;
        lane_row scale;
        row_weights(batch, x, w);
        fit_affine(&how, 1, x, w, q, &depth, &scale);
        d = load(scale);
        minimum = -load(depth);
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
    *least_value = minimum;
    return d;
}

/* The same at best effort. */
LANE_FN lanes refine_affine_block(const lane_batch *batch, float top, const lane_row *x, lanes d, int_lanes *codes,
                                  lanes *minimum) {
    const affine_grid grid = {QN_BLOCK_LEN, top, {0.88F, 1.02F, 40}, 7, false};
    _Alignas(64) lane_row w[QN_BLOCK_LEN];
    lanes sum_w = all(0.0F);
    lanes mean = all(0.0F);
    error_weights(batch, QN_BLOCK_LEN, w);
    for (int e = 0; e < QN_BLOCK_LEN; e++) {
        sum_w += load(w[e]);
        mean += load(w[e]) * load(x[e]);
    }
    mean /= sum_w;
    d = half_rounded(d);
    lanes m = half_rounded(*minimum);
    lanes best = cost_of(QN_BLOCK_LEN, 0.0F, top, x, w, d, m);
    for (int i = 0; i < 4; i++) {
        lanes trial;
        lanes trial_m;
        if (i == 0) {
            trial = fit_free_affine(&grid, x, w, sum_w, mean, &trial_m);
        } else {
            const lanes inverse = inverse_of(d);
            const code_sums sums = sums_at(QN_BLOCK_LEN, 0.0F, top, x, w, inverse, -(m * inverse));
            trial = (sums.qx - sums.q * mean) / (sums.qq - sums.q * sums.q / sum_w);
            trial_m = mean - trial * sums.q / sum_w;
        }
        trial = half_rounded(trial);
        trial_m = half_rounded(trial_m);
        const lanes error = cost_of(QN_BLOCK_LEN, 0.0F, top, x, w, trial, trial_m);
        d = select_lanes(error < best, trial, d);
        m = select_lanes(error < best, trial_m, m);
        best = select_lanes(error < best, error, best);
    }
    const lanes by_d = inverse_of(d);
    for (int e = 0; e < QN_BLOCK_LEN; e++) {
        codes[e] = truncate_lanes(nearest_within((load(x[e]) - m) * by_d, 0.0F, top));
    }
    *minimum = m;
    return d;
}

/* Q4_1 and Q5_1. */
LANE_FN void encode_affine(const lane_batch *batch, bool is_five, bool is_best) {
    const float top = is_five ? 31.0F : 15.0F;
    _Alignas(64) lane_row x[QN_BLOCK_LEN];
    int_lanes codes[QN_BLOCK_LEN];
    lanes minimum;
    gather(batch->x, 0, QN_BLOCK_LEN, x);
    lanes d = fit_affine_block(batch, top, x, codes, &minimum);
    if (is_best) {
        d = refine_affine_block(batch, top, x, d, codes, &minimum);
    }
    scatter_half(batch, offsetof(qn_block_q4_1, d), half_bits(d));
    scatter_half(batch, offsetof(qn_block_q4_1, m), half_bits(minimum));
    write_codes(batch, codes, is_five, offsetof(qn_block_q5_1, qh),
                is_five ? offsetof(qn_block_q5_1, qs) : offsetof(qn_block_q4_1, qs));
}

static void q4_0_batch(const lane_batch *batch) {
    encode_symmetric(batch, false, false);
}

static void q4_0_best(const lane_batch *batch) {
    encode_symmetric(batch, false, true);
}

static void q5_0_batch(const lane_batch *batch) {
    encode_symmetric(batch, true, false);
}

static void q5_0_best(const lane_batch *batch) {
    encode_symmetric(batch, true, true);
}

static void q4_1_batch(const lane_batch *batch) {
    encode_affine(batch, false, false);
}

static void q4_1_best(const lane_batch *batch) {
    encode_affine(batch, false, true);
}

static void q5_1_batch(const lane_batch *batch) {
    encode_affine(batch, true, false);
}

static void q5_1_best(const lane_batch *batch) {
    encode_affine(batch, true, true);
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
    if (task->importance == NULL && encode_symmetric_rows(task, 15, sizeof(qn_block_q4_0))) {
        return;
    }
    encode_legacy(task, sizeof(qn_block_q4_0), q4_0_batch);
}

static void encode_q4_0_best(const qn_encode_task *task) {
    encode_legacy(task, sizeof(qn_block_q4_0), q4_0_best);
}

static void encode_q4_1(const qn_encode_task *task) {
    if (task->importance == NULL && encode_affine_rows(task, 15, sizeof(qn_block_q4_1))) {
        return;
    }
    encode_legacy(task, sizeof(qn_block_q4_1), q4_1_batch);
}

static void encode_q4_1_best(const qn_encode_task *task) {
    encode_legacy(task, sizeof(qn_block_q4_1), q4_1_best);
}

static void encode_q5_0(const qn_encode_task *task) {
    if (task->importance == NULL && encode_symmetric_rows(task, 31, sizeof(qn_block_q5_0))) {
        return;
    }
    encode_legacy(task, sizeof(qn_block_q5_0), q5_0_batch);
}

static void encode_q5_0_best(const qn_encode_task *task) {
    encode_legacy(task, sizeof(qn_block_q5_0), q5_0_best);
}

static void encode_q5_1(const qn_encode_task *task) {
    if (task->importance == NULL && encode_affine_rows(task, 31, sizeof(qn_block_q5_1))) {
        return;
    }
    encode_legacy(task, sizeof(qn_block_q5_1), q5_1_batch);
}

static void encode_q5_1_best(const qn_encode_task *task) {
    encode_legacy(task, sizeof(qn_block_q5_1), q5_1_best);
}

#endif
