/* SPDX-License-Identifier: MIT */
/*
 * fit_lanes.h: the searches for scales, each lane its own group: routines A to C of facts/quants.md §4, and one for
 * Q3_K that takes the place of D.
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
        *largest = greatest(magnitude(load(x[e])), *largest);
    }
    for (int e = n - 1; e >= 0; e--) {
        const lanes v = load(x[e]);
        value = select_lanes(magnitude(v) == *largest, v, value);
    }
    return select_lanes(*largest > 0.0F, value, all(0.0F));
}

/** Which ends of -high..high-1 the codes of an inverse scale can pass. */
typedef enum code_ends { WITHIN_ENDS, BEYOND_TOP, BEYOND_BOTH } code_ends;

LANE_FN lanes code_within(lanes v, float high, code_ends ends) {
    lanes code = nearest(v);
    code = ends == BEYOND_BOTH ? greatest(code, all(-high)) : code;
    return ends != WITHIN_ENDS ? least(code, all(high - 1.0F)) : code;
}

/* a = sum of w·x·q and b = sum of w·q² for two inverse scales at once: their sums do not wait for each other. */
LANE_FN void symmetric_sums(int n, float high, code_ends ends, const lane_row *x, const lane_row *w,
                            const lanes *inverse, lanes *a, lanes *b) {
    a[0] = a[1] = b[0] = b[1] = all(0.0F);
    for (int e = 0; e < n; e++) {
        const lanes v = load(x[e]);
        const lanes weight = load(w[e]);
        for (int k = 0; k < 2; k++) {
            const lanes code = code_within(inverse[k] * v, high, ends);
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

/** One group in routine A. */
typedef struct symmetric_fit {
    int n;
    float high;
    const lane_row *x;
    const lane_row *w;
    lanes peak;
} symmetric_fit;

/* The candidates [from, to), two at a time: 0 is -high / peak, then come the steps -9..-1, 1..9, and 9 once more, which
 * is never better than itself. */
LANE_FN void try_inverses(const symmetric_fit *fit, int from, int to, code_ends ends, symmetric_best *best) {
    for (int i = from; i < to; i += 2) {
        lanes inverse[2];
        lanes a[2];
        lanes b[2];
        for (int k = 0; k < 2; k++) {
            const int tried = i + k < 19 ? i + k : 18;
            const int step = tried == 0 ? 0 : tried - 10 + (tried > 9);
            inverse[k] = -(fit->high + 0.1F * (float)step) / fit->peak;
        }
        symmetric_sums(fit->n, fit->high, ends, fit->x, fit->w, inverse, a, b);
        keep_better(best, inverse[0], a[0], b[0], i == 0);
        keep_better(best, inverse[1], a[1], b[1], false);
    }
}

/**
 * Routine A. Fits x by scale times codes -high..high-1: tries 19 inverse scales around -high / extreme and keeps the
 * one with the largest a²/b. At step s the extreme's own code is before rounding -(high + s/10), and nothing is
 * further from zero on either side: -8 to -6 need no ends, those up to 4 none below.
 * @return the scale, 0 for a zero group, whose codes are -high (stored as 0)
 */
LANE_FN lanes fit_symmetric(int n, float high, const lane_row *x, const lane_row *w, lane_row *q) {
    lanes largest;
    const symmetric_fit fit = {n, high, x, w, extreme(n, x, &largest)};
    const int_lanes is_zero = largest < ZERO_GROUP;
    symmetric_best best = {all(0.0F), all(0.0F), all(0.0F)};
    try_inverses(&fit, 0, 2, BEYOND_TOP, &best);
    try_inverses(&fit, 2, 4, WITHIN_ENDS, &best);
    try_inverses(&fit, 4, 14, BEYOND_TOP, &best);
    try_inverses(&fit, 14, 20, BEYOND_BOTH, &best);
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

/** One group in routine B: the sums that stay, and the best so far. */
typedef struct affine_fit {
    affine_sums sums;
    lanes high;
    lanes inverse, from; /**< what the best codes were rounded with */
    lanes error, scale, minimum;
} affine_fit;

/* The group's range, and its codes if they filled it. */
LANE_FN void start_affine(const affine_search *how, const lane_row *x, const lane_row *w, lane_row *q,
                          affine_fit *fit) {
    lanes low = load(x[0]);
    fit->high = low;
    fit->sums.w = load(w[0]);
    fit->sums.x = fit->sums.w * low;
    for (int e = 1; e < how->n; e++) {
        const lanes v = load(x[e]);
        low = least(v, low);
        fit->high = greatest(v, fit->high);
        fit->sums.w += load(w[e]);
        fit->sums.x += load(w[e]) * v;
    }
    low = least(all(0.0F), low);
    /* A flat group has an infinite inverse: its scale is 0, its error too, and inf * 0 = NaN becomes code 0. */
    fit->inverse = how->top / (fit->high - low);
    fit->from = low;
    fit->scale = 1.0F / fit->inverse;
    fit->minimum = low;
    affine_codes(how, x, w, fit->inverse, low, q, &fit->sums);
    fit->error = affine_error(how, x, w, q, fit->scale, low);
}

/* Scale and minimum for the codes of an inverse scale, kept where they are better. */
LANE_FN void step_affine(const affine_search *how, const lane_row *x, const lane_row *w, float numerator, lane_row *q,
                        affine_fit *fit) {
    const lanes inverse = numerator / (fit->high - fit->minimum);
    affine_sums *sums = &fit->sums;
    affine_codes(how, x, w, inverse, fit->minimum, q, sums);
    const lanes det = sums->w * sums->qq - sums->q * sums->q;
    const lanes free_s = (sums->w * sums->qx - sums->x * sums->q) / det;
    const lanes free_m = (sums->qq * sums->x - sums->q * sums->qx) / det;
    const int_lanes is_above = free_m > 0.0F;
    const lanes s = select_lanes(is_above, sums->qx / sums->qq, free_s);
    const lanes m = select_lanes(is_above, all(0.0F), free_m);
    const lanes error = affine_error(how, x, w, q, s, m);
    const int_lanes is_better = (det > 0.0F) & (error < fit->error);
    fit->inverse = select_lanes(is_better, inverse, fit->inverse);
    fit->from = select_lanes(is_better, fit->minimum, fit->from);
    fit->error = select_lanes(is_better, error, fit->error);
    fit->scale = select_lanes(is_better, s, fit->scale);
    fit->minimum = select_lanes(is_better, m, fit->minimum);
}

enum { MAX_AFFINE = 2 };

/**
 * Routine B for n_groups groups that follow each other in x, w and q. Fits x by scale·q + minimum, q in 0..top,
 * minimum <= 0: for a row of inverse scales solves the weighted least squares for both and keeps the pair with the
 * least error. Each try waits for the one before it: two groups side by side keep the processor busy.
 * @param depths minus each minimum, >= 0
 * @param scales 0, with codes 0, for a flat group
 */
LANE_FN void fit_affine(const affine_search *how, int n_groups, const lane_row *x, const lane_row *w, lane_row *q,
                        lane_row *depths, lane_row *scales) {
    affine_fit fits[MAX_AFFINE];
    for (int g = 0; g < n_groups; g++) {
        start_affine(how, x + g * how->n, w + g * how->n, q + g * how->n, &fits[g]);
    }
    for (int i = 0; i <= how->n_steps; i++) {
        const float numerator = how->first + how->step * (float)i + how->top;
        for (int g = 0; g < n_groups; g++) {
            step_affine(how, x + g * how->n, w + g * how->n, numerator, q + g * how->n, &fits[g]);
        }
    }
    for (int g = 0; g < n_groups; g++) {
        affine_codes(how, x + g * how->n, w + g * how->n, fits[g].inverse, fits[g].from, q + g * how->n,
                     &fits[g].sums);
        store(depths[g], -fits[g].minimum);
        store(scales[g], fits[g].scale);
    }
}

/* Quotients here can leave the range of nearest(); the low 23 bits of the sum are kept, as the reference keeps them. */
LANE_FN lanes nearest_wrapped(lanes v) {
    return __builtin_convertvector((((int_lanes)(v + 12582912.0F)) & 0x7FFFFF) - 0x400000, lanes);
}

/** A group in descent: sums over its elements, a of w·x·q and b of w·q². */
typedef struct descent_sums {
    lanes a, b;
} descent_sums;

/* Tries a better code 0..high for one element; gives the mask of the lanes where it was taken. */
LANE_FN int_lanes descend_one(float high, const float *x, const float *w, float *q, descent_sums *sums) {
    const lanes v = load(x);
    const lanes weight = load(w);
    const lanes old = load(q);
    const lanes rest_a = sums->a - weight * v * old;
    const lanes rest_b = sums->b - weight * old * old;
    const lanes wanted = nearest_wrapped(v * rest_b / rest_a);
    const lanes code = least(greatest(wanted, all(0.0F)), all(high));
    const lanes new_a = rest_a + weight * v * code;
    const lanes new_b = rest_b + weight * code * code;
    const int_lanes is_sound = (rest_a > 0.0F) & (rest_b > 0.0F);
    const int_lanes is_better = (code != old) & (new_a * new_a * sums->b > sums->a * sums->a * new_b);
    const int_lanes accept = is_sound & is_better;
    store(q, select_lanes(accept, code, old));
    sums->a = select_lanes(accept, new_a, sums->a);
    sums->b = select_lanes(accept, new_b, sums->b);
    return accept;
}

/*
 * Up to five sweeps of coordinate descent on a²/b. A group that a sweep leaves as it is would stay so, so lanes that
 * are done may go on with the others. Gives a/b.
 */
LANE_FN lanes descend(int n, float high, const lane_row *x, const lane_row *w, lane_row *q) {
    descent_sums sums = {all(0.0F), all(0.0F)};
    for (int e = 0; e < n; e++) {
        sums.a += load(w[e]) * load(x[e]) * load(q[e]);
        sums.b += load(w[e]) * load(q[e]) * load(q[e]);
    }
    for (int sweep = 0; sweep < 5; sweep++) {
        int_lanes changed = {0};
        for (int e = 0; e < n; e++) {
            changed |= descend_one(high, x[e], w[e], q[e], &sums);
        }
        if (!is_any_set(changed)) {
            break;
        }
    }
    return select_lanes(sums.b > 0.0F, sums.a / sums.b, all(0.0F));
}

/**
 * Routine C. Fits values that are not negative (scales, minima) by scale times codes 0..high.
 * @return the scale; 0, with codes 0, when all values are zero
 */
LANE_FN lanes fit_positive(int n, float high, const lane_row *x, const lane_row *w, lane_row *q) {
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
    return select_lanes(is_zero, all(0.0F), descend(n, high, x, w, q));
}

/* a = sum of x·q and b = sum of q² for two inverse scales at once. */
LANE_FN void even_sums(int n, float high, code_ends ends, const lane_row *x, const lanes *inverse, lanes *a,
                       lanes *b) {
    a[0] = a[1] = b[0] = b[1] = all(0.0F);
    for (int e = 0; e < n; e++) {
        const lanes v = load(x[e]);
        for (int k = 0; k < 2; k++) {
            const lanes code = code_within(inverse[k] * v, high, ends);
            a[k] += v * code;
            b[k] += code * code;
        }
    }
}

/**
 * Fits x by scale times codes -4..3 with all weights 1: least squares for the codes of four inverse scales, in place
 * of routine D, whose weights x² and sweeps leave a larger error and take longer. The extreme becomes -4.2, -3.8,
 * -4.6 or 3.2 before rounding: the set that a greedy choice among 17 finds on Gaussian and heavy-tailed groups of 16,
 * within 0.3 % of the error of all 17.
 * @return the scale, 0 for a zero group
 */
LANE_FN lanes fit_three_bits(int n, const lane_row *x) {
    lanes largest;
    lanes inverse[2];
    lanes a[2];
    lanes b[2];
    const lanes unit = 1.0F / extreme(n, x, &largest);
    symmetric_best best = {all(0.0F), all(0.0F), all(0.0F)};
    inverse[0] = -4.2F * unit;
    inverse[1] = -3.8F * unit;
    even_sums(n, 4.0F, BEYOND_TOP, x, inverse, a, b);
    keep_better(&best, inverse[0], a[0], b[0], true);
    keep_better(&best, inverse[1], a[1], b[1], false);
    inverse[0] = -4.6F * unit;
    inverse[1] = 3.2F * unit;
    even_sums(n, 4.0F, BEYOND_BOTH, x, inverse, a, b);
    keep_better(&best, inverse[0], a[0], b[0], false);
    keep_better(&best, inverse[1], a[1], b[1], false);
    return select_lanes(largest < ZERO_GROUP, all(0.0F), best.scale);
}

#endif
