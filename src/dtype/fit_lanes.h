/* SPDX-License-Identifier: MIT */
/*
 * fit_lanes.h: the searches for scales, each lane its own group: routines A to D of facts/quants.md §4.
 *
 * Groups are rows x[0..n) and weights w[0..n); codes are left in q[0..n) as floats. A lane whose sums degenerate
 * (zero group, zero weights) may hold NaN on the way and is masked out at the end. Sums run in element order.
 */
#ifndef QUERN_DTYPE_FIT_LANES_H
#define QUERN_DTYPE_FIT_LANES_H

#include "dtype/lanes.h"

/** A group whose largest magnitude is below this is zero. */
#define ZERO_GROUP 1e-15F

/** Of each lane the value with the largest magnitude, with its sign, the first on ties. */
LANE_FN lanes extreme(int n, const lane_row *x, lanes *largest) {
    lanes value = all(0.0F);
    *largest = all(0.0F);
    for (int e = 0; e < n; e++) {
        const lanes v = load(x[e]);
        const lanes size = magnitude(v);
        const int_lanes is_larger = size > *largest;
        value = select_lanes(is_larger, v, value);
        *largest = select_lanes(is_larger, size, *largest);
    }
    return value;
}

/* a = sum of w·x·q and b = sum of w·q² for two inverse scales at once: their sums do not wait for each other. */
LANE_FN void symmetric_sums(int n, float high, const lane_row *x, const lane_row *w, const lanes *inverse, lanes *a,
                            lanes *b) {
    a[0] = a[1] = b[0] = b[1] = all(0.0F);
    for (int e = 0; e < n; e++) {
        const lanes v = load(x[e]);
        const lanes weight = load(w[e]);
        for (int k = 0; k < 2; k++) {
            const lanes code = nearest_within(inverse[k] * v, -high, high - 1.0F);
            a[k] += weight * v * code;
            b[k] += weight * code * code;
        }
    }
}

/** The best scale of routine A so far. */
typedef struct symmetric_best {
    lanes inverse, scale, score;
} symmetric_best;

LANE_FN void keep_better(symmetric_best *best, lanes inverse, lanes a, lanes b, bool is_first) {
    const lanes fitted = select_lanes(b != 0.0F, a / b, all(0.0F));
    const int_lanes is_better = is_first ? b == b : (b > 0.0F) & (a * a > best->score * b);
    best->inverse = select_lanes(is_better, inverse, best->inverse);
    best->scale = select_lanes(is_better, fitted, best->scale);
    best->score = select_lanes(is_better, fitted * a, best->score);
}

/**
 * Routine A. Fits x by scale times codes -high..high-1: tries 19 inverse scales around -high / extreme and keeps the
 * one with the largest a²/b.
 * @return the scale, 0 for a zero group, whose codes are -high (stored as 0)
 */
LANE_FN lanes fit_symmetric(int n, float high, const lane_row *x, const lane_row *w, lane_row *q) {
    lanes largest;
    const lanes peak = extreme(n, x, &largest);
    const int_lanes is_zero = largest < ZERO_GROUP;
    symmetric_best best = {all(0.0F), all(0.0F), all(0.0F)};
    for (int i = 0; i < 20; i += 2) {
        lanes inverse[2];
        lanes a[2];
        lanes b[2];
        for (int k = 0; k < 2; k++) {
            /* 0 first, then -9..-1, 1..9, and 9 once more, which is never better than itself. */
            const int tried = i + k < 19 ? i + k : 18;
            const int step = tried == 0 ? 0 : tried - 10 + (tried > 9);
            inverse[k] = -(high + 0.1F * (float)step) / peak;
        }
        symmetric_sums(n, high, x, w, inverse, a, b);
        keep_better(&best, inverse[0], a[0], b[0], i == 0);
        keep_better(&best, inverse[1], a[1], b[1], false);
    }
    for (int e = 0; e < n; e++) {
        const lanes code = nearest_within(best.inverse * load(x[e]), -high, high - 1.0F);
        store(q[e], select_lanes(is_zero, all(-high), code));
    }
    return select_lanes(is_zero, all(0.0F), best.scale);
}

/** How routine B searches. */
typedef struct affine_search {
    int n;       /**< elements of a group */
    float top;   /**< codes are 0..top */
    float first; /**< inverse scales tried: (first + step * i + top) / range, */
    float step;  /**< i = 0..n_steps */
    int n_steps;
    bool is_abs; /**< errors weigh |difference|, not its square */
} affine_search;

/* Sum of w·|s·q + m - x|^p. */
LANE_FN lanes affine_error(const affine_search *how, const lane_row *x, const lane_row *w, const lane_row *q, lanes s,
                           lanes m) {
    lanes error = all(0.0F);
    for (int e = 0; e < how->n; e++) {
        const lanes diff = s * load(q[e]) + m - load(x[e]);
        error += load(w[e]) * (how->is_abs ? magnitude(diff) : diff * diff);
    }
    return error;
}

/** The lanes of one least-squares problem of routine B. */
typedef struct affine_sums {
    lanes w, x, q, qq, qx;
} affine_sums;

/* Codes for an inverse scale and a minimum, and the sums over them. */
LANE_FN void affine_codes(const affine_search *how, const lane_row *x, const lane_row *w, lanes inverse, lanes minimum,
                          lane_row *q, affine_sums *sums) {
    sums->q = all(0.0F);
    sums->qq = all(0.0F);
    sums->qx = all(0.0F);
    for (int e = 0; e < how->n; e++) {
        const lanes v = load(x[e]);
        const lanes code = nearest_within(inverse * (v - minimum), 0.0F, how->top);
        const lanes wq = load(w[e]) * code;
        store(q[e], code);
        sums->q += wq;
        sums->qq += wq * code;
        sums->qx += wq * v;
    }
}

/**
 * Routine B. Fits x by scale·q + minimum, q in 0..top, minimum <= 0: for a row of inverse scales solves the weighted
 * least squares for both and keeps the pair with the least error.
 * @param depth minus the minimum, >= 0
 * @return the scale; 0, with codes 0, for a flat group
 */
LANE_FN lanes fit_affine(const affine_search *how, const lane_row *x, const lane_row *w, lane_row *q, lanes *depth) {
    affine_sums sums;
    lanes low = load(x[0]);
    lanes high = low;
    sums.w = load(w[0]);
    sums.x = sums.w * low;
    for (int e = 1; e < how->n; e++) {
        const lanes v = load(x[e]);
        low = least(v, low);
        high = greatest(v, high);
        sums.w += load(w[e]);
        sums.x += load(w[e]) * v;
    }
    low = least(all(0.0F), low);
    /* A flat group has an infinite inverse: its scale is 0, its error too, and inf * 0 = NaN becomes code 0. */
    lanes best_inverse = how->top / (high - low);
    lanes best_from = low;
    lanes scale = 1.0F / best_inverse;
    lanes minimum = low;
    affine_codes(how, x, w, best_inverse, low, q, &sums);
    lanes best_error = affine_error(how, x, w, q, scale, minimum);
    for (int i = 0; i <= how->n_steps; i++) {
        const lanes inverse = (how->first + how->step * (float)i + how->top) / (high - minimum);
        affine_codes(how, x, w, inverse, minimum, q, &sums);
        const lanes det = sums.w * sums.qq - sums.q * sums.q;
        const lanes free_s = (sums.w * sums.qx - sums.x * sums.q) / det;
        const lanes free_m = (sums.qq * sums.x - sums.q * sums.qx) / det;
        const int_lanes is_above = free_m > 0.0F;
        const lanes s = select_lanes(is_above, sums.qx / sums.qq, free_s);
        const lanes m = select_lanes(is_above, all(0.0F), free_m);
        const lanes error = affine_error(how, x, w, q, s, m);
        const int_lanes is_better = (det > 0.0F) & (error < best_error);
        best_inverse = select_lanes(is_better, inverse, best_inverse);
        best_from = select_lanes(is_better, minimum, best_from);
        best_error = select_lanes(is_better, error, best_error);
        scale = select_lanes(is_better, s, scale);
        minimum = select_lanes(is_better, m, minimum);
    }
    affine_codes(how, x, w, best_inverse, best_from, q, &sums);
    *depth = -minimum;
    return scale;
}

/* Quotients here can leave the range of nearest(); the low 23 bits of the sum are kept, as the reference keeps them. */
LANE_FN lanes nearest_wrapped(lanes v) {
    return __builtin_convertvector((((int_lanes)(v + 12582912.0F)) & 0x7FFFFF) - 0x400000, lanes);
}

/** How routines C and D refine codes. */
typedef struct descent {
    int n;
    float low; /**< codes are low..high */
    float high;
    bool is_signed; /**< routine D: the sum of squares is held to be positive after the change, not before */
} descent;

/** A group in descent: sums over its elements, a of w·x·q and b of w·q². */
typedef struct descent_sums {
    lanes a, b;
} descent_sums;

/* Tries a better code for one element; gives the mask of the lanes where it was taken. */
LANE_FN int_lanes descend_one(const descent *how, const float *x, const float *w, float *q, descent_sums *sums) {
    const lanes v = load(x);
    const lanes weight = load(w);
    const lanes old = load(q);
    const lanes rest_a = sums->a - weight * v * old;
    const lanes rest_b = sums->b - weight * old * old;
    const lanes wanted = nearest_wrapped(v * rest_b / rest_a);
    const lanes code = least(greatest(wanted, all(how->low)), all(how->high));
    const lanes new_a = rest_a + weight * v * code;
    const lanes new_b = rest_b + weight * code * code;
    const int_lanes is_sound = (rest_a > 0.0F) & ((how->is_signed ? new_b : rest_b) > 0.0F);
    const int_lanes is_better = (code != old) & (new_a * new_a * sums->b > sums->a * sums->a * new_b);
    const int_lanes accept = is_sound & is_better;
    store(q, select_lanes(accept, code, old));
    sums->a = select_lanes(accept, new_a, sums->a);
    sums->b = select_lanes(accept, new_b, sums->b);
    return accept;
}

enum { MAX_DESCENTS = 4 };

/*
 * Up to five sweeps of coordinate descent on a²/b, over n_groups groups that follow each other in x, w and q. A group
 * that a sweep leaves as it is would stay so, so lanes and groups that are done may go on with the others. An element
 * waits for the one before it: several groups side by side keep the processor busy. Gives a/b.
 */
LANE_FN void descend(const descent *how, int n_groups, const lane_row *x, const lane_row *w, lane_row *q,
                     lanes *scales) {
    descent_sums sums[MAX_DESCENTS];
    for (int g = 0; g < n_groups; g++) {
        sums[g].a = all(0.0F);
        sums[g].b = all(0.0F);
        for (int e = g * how->n; e < (g + 1) * how->n; e++) {
            sums[g].a += load(w[e]) * load(x[e]) * load(q[e]);
            sums[g].b += load(w[e]) * load(q[e]) * load(q[e]);
        }
    }
    for (int sweep = 0; sweep < 5; sweep++) {
        int_lanes changed = {0};
        for (int e = 0; e < how->n; e++) {
            for (int g = 0; g < n_groups; g++) {
                const int at = g * how->n + e;
                changed |= descend_one(how, x[at], w[at], q[at], &sums[g]);
            }
        }
        if (!is_any_set(changed)) {
            break;
        }
    }
    for (int g = 0; g < n_groups; g++) {
        scales[g] = select_lanes(sums[g].b > 0.0F, sums[g].a / sums[g].b, all(0.0F));
    }
}

/**
 * Routine C. Fits values that are not negative (scales, minima) by scale times codes 0..high.
 * @return the scale; 0, with codes 0, when all values are zero
 */
LANE_FN lanes fit_positive(int n, float high, const lane_row *x, const lane_row *w, lane_row *q) {
    const descent how = {n, 0.0F, high, false};
    lanes largest = all(0.0F);
    lanes best_inverse = all(0.0F);
    lanes best_error = all(0.0F);
    for (int e = 0; e < n; e++) {
        largest = greatest(load(x[e]), largest);
    }
    const int_lanes is_zero = largest < ZERO_GROUP;
    for (int i = 0; i < 9; i++) {
        /* 0 first, then -4..-1, 1..4. */
        const int step = i == 0 ? 0 : i - 5 + (i > 4);
        const lanes inverse = (0.1F * (float)step + high) / largest;
        const lanes scale = 1.0F / inverse;
        lanes error = all(0.0F);
        for (int e = 0; e < n; e++) {
            const lanes code = nearest_within(inverse * load(x[e]), 0.0F, high);
            const lanes diff = load(x[e]) - scale * code;
            error += load(w[e]) * diff * diff;
        }
        const int_lanes is_better = i == 0 ? error == error : error < best_error;
        best_inverse = select_lanes(is_better, inverse, best_inverse);
        best_error = select_lanes(is_better, error, best_error);
    }
    for (int e = 0; e < n; e++) {
        store(q[e], select_lanes(is_zero, all(0.0F), nearest_within(best_inverse * load(x[e]), 0.0F, high)));
    }
    lanes scale;
    descend(&how, 1, x, w, q, &scale);
    return select_lanes(is_zero, all(0.0F), scale);
}

/**
 * Routine D for MAX_DESCENTS groups of n that follow each other. Fits x by scale times codes -high..high-1 with
 * weights x², refining codes one at a time.
 * @param w      room for the weights
 * @param scales one for each group; 0 for a zero group, whose codes are -high
 */
LANE_FN void fit_sweeping(int n, float high, const lane_row *x, lane_row *w, lane_row *q, lane_row *scales) {
    const descent how = {n, -high, high - 1.0F, true};
    int_lanes is_zero[MAX_DESCENTS];
    lanes found[MAX_DESCENTS];
    for (int g = 0; g < MAX_DESCENTS; g++) {
        lanes largest;
        const lanes inverse = -high / extreme(n, x + g * n, &largest);
        is_zero[g] = largest < ZERO_GROUP;
        for (int e = g * n; e < (g + 1) * n; e++) {
            const lanes v = load(x[e]);
            store(w[e], v * v);
            store(q[e], nearest_within(inverse * v, -high, high - 1.0F));
        }
    }
    descend(&how, MAX_DESCENTS, x, w, q, found);
    for (int g = 0; g < MAX_DESCENTS; g++) {
        for (int e = g * n; e < (g + 1) * n; e++) {
            store(q[e], select_lanes(is_zero[g], all(-high), load(q[e])));
        }
        store(scales[g], select_lanes(is_zero[g], all(0.0F), found[g]));
    }
}

#endif
