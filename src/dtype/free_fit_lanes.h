/* SPDX-License-Identifier: MIT */
/*
 * free_fit_lanes.h: what best effort makes small, and fits of groups by free real numbers, each lane its own group.
 *
 * The error is the sum of w·(decoded - x)² with scales and minima as the decoder will have them. Fits go over a row of
 * inverse scales (and of places for code 0), take the codes each gives and solve least squares for those. Nothing that
 * is not finite is ever better than what it is compared with.
 */
#ifndef QUERN_DTYPE_FREE_FIT_LANES_H
#define QUERN_DTYPE_FREE_FIT_LANES_H

#include "dtype/lanes.h"

/** The largest f16. */
#define MAX_HALF 65504.0F

/** Each lane as f16 will hold it; what would be infinite becomes the largest f16. */
LANE_FN lanes half_rounded(lanes v) {
    return half_values(half_bits(greatest(least(v, all(MAX_HALF)), all(-MAX_HALF))));
}

/** 1/v, 0 where v is 0. */
LANE_FN lanes inverse_of(lanes v) {
    return select_lanes(v != 0.0F, 1.0F / v, all(0.0F));
}

/**
 * Weights of the squared errors of n elements: the importance in parts of its mean, and a little, so that columns of no
 * importance still get sensible values where that costs the others nothing; 1 without importance.
 */
LANE_FN void error_weights(const lane_batch *batch, size_t n, lane_row *w) {
    if (!batch->has_importance) {
        for (size_t e = 0; e < n; e++) {
            store(w[e], all(1.0F));
        }
        return;
    }
    lanes sum = all(0.0F);
    gather(batch->importance, 0, n, w);
    for (size_t e = 0; e < n; e++) {
        sum += load(w[e]);
    }
    const lanes scale = select_lanes(sum > 0.0F, (float)n / sum, all(0.0F));
    for (size_t e = 0; e < n; e++) {
        store(w[e], load(w[e]) * scale + 1e-6F);
    }
}

/** The error of a group decoded as s·q + m, each element taking its best code q in low..high. */
LANE_FN lanes cost_of(int n, float low, float high, const lane_row *x, const lane_row *w, lanes s, lanes m) {
    const lanes inverse = inverse_of(s);
    lanes error = all(0.0F);
    for (int e = 0; e < n; e++) {
        const lanes v = load(x[e]);
        const lanes code = nearest_within((v - m) * inverse, low, high);
        const lanes diff = s * code + m - v;
        error += load(w[e]) * diff * diff;
    }
    return error;
}

/** Weighted sums over a group with codes; w and wx are the caller's. */
typedef struct code_sums {
    lanes q, qq, qx;
} code_sums;

/** The sums for the best codes low..high at the inverse scale; code 0 stands for minus offset times the scale. */
LANE_FN code_sums sums_at(int n, float low, float high, const lane_row *x, const lane_row *w, lanes inverse,
                          lanes offset) {
    code_sums sums = {all(0.0F), all(0.0F), all(0.0F)};
    for (int e = 0; e < n; e++) {
        const lanes v = load(x[e]);
        const lanes code = nearest_within(v * inverse + offset, low, high);
        const lanes wq = load(w[e]) * code;
        sums.q += wq;
        sums.qq += wq * code;
        sums.qx += wq * v;
    }
    return sums;
}

/** A row of inverse scales, in parts of the one at which the group just fits: first, first * step, ... */
typedef struct rate_row {
    float first;
    float step;
    int n;
} rate_row;

/**
 * The best free scale for codes -high..high-1.
 * @param first_inverse the inverse scale at rate 1; its sign is the result's
 * @return the scale, 0 when none lessens the error
 */
LANE_FN lanes fit_free_signed(int n, float high, const rate_row *rates, const lane_row *x, const lane_row *w,
                              lanes first_inverse) {
    lanes best_gain = all(0.0F);
    lanes scale = all(0.0F);
    float rate = rates->first;
    for (int i = 0; i < rates->n; i++, rate *= rates->step) {
        const code_sums sums = sums_at(n, -high, high - 1.0F, x, w, first_inverse * rate, all(0.0F));
        const lanes s = sums.qx / sums.qq;
        const int_lanes is_better = (sums.qq > 0.0F) & (sums.qx * s > best_gain);
        best_gain = select_lanes(is_better, sums.qx * s, best_gain);
        scale = select_lanes(is_better, s, scale);
    }
    return scale;
}

/** Where free affine fits look: codes 0..top, n_phases places for code 0 half a code apart. */
typedef struct affine_grid {
    int n;
    float top;
    rate_row rates;
    int n_phases;
    bool has_zero; /**< the range that the codes span has 0 in it */
} affine_grid;

/**
 * The best free scale and minimum for codes 0..top.
 * @param minimum the value of code 0
 * @return the scale, > 0; where nothing is gained, as in a flat group, the one that spans the group
 */
LANE_FN lanes fit_free_affine(const affine_grid *grid, const lane_row *x, const lane_row *w, lanes sum_w, lanes mean,
                              lanes *minimum) {
    lanes low = grid->has_zero ? all(0.0F) : load(x[0]);
    lanes high = load(x[0]);
    lanes best_gain = all(0.0F);
    float rate = grid->rates.first;
    for (int e = 0; e < grid->n; e++) {
        low = least(load(x[e]), low);
        high = greatest(load(x[e]), high);
    }
    const lanes middle = 0.5F * (low + high);
    lanes scale = (high - low) / grid->top;
    *minimum = low;
    for (int i = 0; i < grid->rates.n; i++, rate *= grid->rates.step) {
        const lanes inverse = grid->top / (high - low) * rate;
        for (int p = 0; p < grid->n_phases; p++) {
            const float phase = 0.5F * ((float)p - 0.5F * (float)(grid->n_phases - 1));
            const lanes offset = 0.5F * grid->top + phase - middle * inverse;
            const code_sums sums = sums_at(grid->n, 0.0F, grid->top, x, w, inverse, offset);
            const lanes qx = sums.qx - sums.q * mean;
            const lanes spread = sums.qq - sums.q * sums.q / sum_w;
            const lanes s = qx / spread;
            /* Less spread is the noise of sums over equal codes. */
            const int_lanes is_better = (spread > 1e-5F * sums.qq) & (qx > 0.0F) & (qx * s > best_gain);
            best_gain = select_lanes(is_better, qx * s, best_gain);
            scale = select_lanes(is_better, s, scale);
            *minimum = select_lanes(is_better, mean - s * sums.q / sum_w, *minimum);
        }
    }
    return scale;
}

#endif
