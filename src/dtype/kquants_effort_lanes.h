/* SPDX-License-Identifier: MIT */
/*
 * kquants_effort_lanes.h: encoders of Q2_K to Q6_K at fast and best effort, one superblock a lane.
 *
 * Fast effort goes the normal encoder's way with fewer steps. At best effort, what is made small is the sum of
 * v·(decoded - x)² over the superblock, with every number as the decoder will have it. Codes of elements follow from
 * their group's decoded scale and minimum, so that the search is over these integers and the superblock's f16 scales.
 * It starts from the normal encoder's result and from groups fitted by free numbers, tries a row of superblock scales
 * (which decide how well the groups' integer scales can fit), and for each the neighbouring integers of each group;
 * then it alternates between least squares for the superblock's scales and the neighbours. A change is taken only when
 * the error gets smaller: no result is worse than the normal one, and what is not finite is never taken. Source: the
 * mathematics; layouts facts/quants.md §2.
 */
#ifndef QUERN_DTYPE_KQUANTS_EFFORT_LANES_H
#define QUERN_DTYPE_KQUANTS_EFFORT_LANES_H

#include "dtype/free_fit_lanes.h"
#include "dtype/kquants_lanes.h"

/* ---- Fast effort ---- */

static const affine_type q2_k_fast_type = {
    {16, 3.0F, -0.5F, 0.3F, 5, true}, {16, 3.0F, -0.9F, 0.15F, 10, false}, 15.0F, 1.0F};
static const affine_type q4_k_fast_type = {
    {32, 15.0F, -1.0F, 0.3F, 6, false}, {32, 15.0F, -0.9F, 0.15F, 10, false}, 63.0F, 2.0F};
static const affine_type q5_k_fast_type = {
    {32, 31.0F, -0.5F, 0.3F, 4, false}, {32, 31.0F, -0.9F, 0.2F, 8, false}, 63.0F, 2.0F};

/* Routine A with 5 inverse scales instead of 19. Codes are left to recode_signed(). */
LANE_FN lanes fit_coarse(int n, float high, const lane_row *x, const lane_row *w) {
    lanes largest;
    const lanes peak = extreme(n, x, &largest);
    lanes best_gain = all(0.0F);
    lanes scale = all(0.0F);
    for (int i = 0; i < 5; i++) {
        const lanes inverse = -(high + 0.35F * (float)(i - 2)) / peak;
        lanes a = all(0.0F);
        lanes b = all(0.0F);
        for (int e = 0; e < n; e++) {
            const lanes v = load(x[e]);
            const lanes code = nearest_within(inverse * v, -high, high - 1.0F);
            const lanes wq = load(w[e]) * code;
            a += wq * v;
            b += wq * code;
        }
        const lanes fitted = a / b;
        const int_lanes is_better = (b > 0.0F) & (a * fitted > best_gain);
        best_gain = select_lanes(is_better, a * fitted, best_gain);
        scale = select_lanes(is_better, fitted, scale);
    }
    return select_lanes(largest < ZERO_GROUP, all(0.0F), scale);
}

/* Fits and codes a superblock's groups of Q3_K or Q6_K; gives the f16 scale. */
LANE_FN int_lanes fit_fast(const lane_batch *batch, superblocks *s, bool is_six) {
    _Alignas(64) lane_row w[16];
    const float high = is_six ? 32.0F : 4.0F;
    gather_superblocks(batch, s);
    for (int g = 0; g < MAX_GROUPS; g++) {
        if (is_six || batch->has_importance) {
            signed_weights(batch, s, g, 2.0F * s->mean_square, !is_six, w);
            store(s->scales[g], fit_coarse(16, high, s->x + 16 * g, w));
        } else {
            store(s->scales[g], fit_three_bits(16, s->x + 16 * g));
        }
        for (int e = 16 * g; e < 16 * (g + 1); e++) {
            store(s->q[e], all(-high));
        }
    }
    const int_lanes d = half_bits(code_by_extreme(s, is_six ? -128.0F : -32.0F, is_six ? 127.0F : 31.0F));
    recode_signed(s, d, -high, high - 1.0F);
    return d;
}

/* ---- Best effort ---- */

/** A batch of superblocks in search. */
typedef struct search {
    superblocks s;                              /**< scales and depths: where the next scan looks, as real numbers */
    _Alignas(64) lane_row w[QN_SUPERBLOCK_LEN]; /**< weights of the squared errors, > 0 */
    _Alignas(64) lane_row means[MAX_GROUPS];    /**< of x, weighted */
    _Alignas(64) lane_row others[MAX_GROUPS];   /**< symmetric types: the scale of the other sign */
    _Alignas(64) lane_row best_scale_codes[MAX_GROUPS];
    _Alignas(64) lane_row best_depth_codes[MAX_GROUPS];
    lanes best_d;
    lanes best_dmin;
    lanes best_error;
} search;

/* Weights, and the groups' sums of them and weighted means. */
LANE_FN void weigh_groups(const lane_batch *batch, search *f, int n) {
    error_weights(batch, QN_SUPERBLOCK_LEN, f->w);
    for (int g = 0; g < QN_SUPERBLOCK_LEN / n; g++) {
        lanes sum_w = all(0.0F);
        lanes sum_x = all(0.0F);
        for (int e = g * n; e < (g + 1) * n; e++) {
            sum_w += load(f->w[e]);
            sum_x += load(f->w[e]) * load(f->s.x[e]);
        }
        store(f->s.weights[g], sum_w);
        store(f->means[g], sum_x / sum_w);
    }
}

/* ---- Q2_K, Q4_K, Q5_K ---- */

/*
 * The best integers of group g near its scale and depth, for the superblock's d and dmin. Where the scale moves, the
 * minima tried move with it so that the group's mean keeps its place among the codes.
 */
LANE_FN lanes scan_affine(search *f, int g, const affine_type *type, lanes d, lanes dmin, int reach_s, int reach_m) {
    const int n = type->plain.n;
    const lanes scale = load(f->s.scales[g]);
    const lanes depth = load(f->s.depths[g]);
    const lanes mean = load(f->means[g]);
    const lanes mean_code = select_lanes(scale > 0.0F, (mean + depth) / scale, all(0.0F));
    const lanes by_d = inverse_of(d);
    const lanes by_dmin = inverse_of(dmin);
    const lanes middle = nearest_within(scale * by_d, 0.0F, type->scale_top);
    lanes best = all(0.0F);
    lanes best_scale = middle;
    lanes best_depth = all(0.0F);
    for (int i = -reach_s; i <= reach_s; i++) {
        const lanes scale_code = least(greatest(middle + (float)i, all(0.0F)), all(type->scale_top));
        const lanes s = d * scale_code;
        const lanes wanted = nearest_within((mean_code * s - mean) * by_dmin, 0.0F, type->scale_top);
        for (int j = -reach_m; j <= reach_m; j++) {
            const lanes depth_code = least(greatest(wanted + (float)j, all(0.0F)), all(type->scale_top));
            const lanes error = cost_of(n, 0.0F, type->plain.top, f->s.x + g * n, f->w + g * n, s,
                                        -(dmin * depth_code));
            const bool is_first = i == -reach_s && j == -reach_m;
            const int_lanes is_better = is_first ? error == error : error < best;
            best = is_first ? error : select_lanes(is_better, error, best);
            best_scale = select_lanes(is_better, scale_code, best_scale);
            best_depth = select_lanes(is_better, depth_code, best_depth);
        }
    }
    store(f->s.scale_codes[g], best_scale);
    store(f->s.depth_codes[g], best_depth);
    return best;
}

/* Makes the codes of a trial the best ones in the lanes where its error is less. */
LANE_FN void keep_if_better(search *f, lanes error, lanes d, lanes dmin) {
    /* A normal result for weights of nothing may not be a number. */
    const int_lanes is_better = (error < f->best_error) | ((f->best_error != f->best_error) & (error == error));
    f->best_error = select_lanes(is_better, error, f->best_error);
    f->best_d = select_lanes(is_better, d, f->best_d);
    f->best_dmin = select_lanes(is_better, dmin, f->best_dmin);
    for (int g = 0; g < MAX_GROUPS; g++) {
        store(f->best_scale_codes[g], select_lanes(is_better, load(f->s.scale_codes[g]), load(f->best_scale_codes[g])));
        store(f->best_depth_codes[g], select_lanes(is_better, load(f->s.depth_codes[g]), load(f->best_depth_codes[g])));
    }
}

/* Tries a pair of superblock scales. */
LANE_FN void try_affine(search *f, const affine_type *type, lanes d, lanes dmin, int reach_s, int reach_m) {
    lanes error = all(0.0F);
    d = half_rounded(d);
    dmin = half_rounded(dmin);
    for (int g = 0; g < QN_SUPERBLOCK_LEN / type->plain.n; g++) {
        error += scan_affine(f, g, type, d, dmin, reach_s, reach_m);
    }
    keep_if_better(f, error, d, dmin);
}

/* The next scans look around the best result. */
LANE_FN void look_at_best(search *f) {
    for (int g = 0; g < MAX_GROUPS; g++) {
        store(f->s.scales[g], f->best_d * load(f->best_scale_codes[g]));
        store(f->s.depths[g], f->best_dmin * load(f->best_depth_codes[g]));
    }
}

/* Least squares for d and dmin over the superblock with the best result's codes. */
LANE_FN void refit_affine(const search *f, const affine_type *type, lanes *d, lanes *dmin) {
    const int n = type->plain.n;
    lanes aa = all(0.0F);
    lanes ab = all(0.0F);
    lanes bb = all(0.0F);
    lanes ax = all(0.0F);
    lanes bx = all(0.0F);
    for (int g = 0; g < QN_SUPERBLOCK_LEN / n; g++) {
        const lanes scale_code = load(f->best_scale_codes[g]);
        const lanes depth_code = load(f->best_depth_codes[g]);
        const lanes s = f->best_d * scale_code;
        const lanes m = f->best_dmin * depth_code;
        const lanes inverse = inverse_of(s);
        lanes q = all(0.0F);
        lanes qq = all(0.0F);
        lanes qx = all(0.0F);
        for (int e = g * n; e < (g + 1) * n; e++) {
            const lanes v = load(f->s.x[e]);
            const lanes code = nearest_within((v + m) * inverse, 0.0F, type->plain.top);
            const lanes wq = load(f->w[e]) * code;
            q += wq;
            qq += wq * code;
            qx += wq * v;
        }
        const lanes sum_w = load(f->s.weights[g]);
        aa += scale_code * scale_code * qq;
        ab -= scale_code * depth_code * q;
        bb += depth_code * depth_code * sum_w;
        ax += scale_code * qx;
        bx -= depth_code * (sum_w * load(f->means[g]));
    }
    const lanes det = aa * bb - ab * ab;
    const lanes free_d = (ax * bb - bx * ab) / det;
    const lanes free_dmin = (bx * aa - ax * ab) / det;
    const int_lanes is_sound = (det > 1e-6F * aa * bb) & (free_d > 0.0F) & (free_dmin >= 0.0F);
    *d = select_lanes(is_sound, free_d, select_lanes((aa > 0.0F) & (bb == 0.0F), ax / aa, f->best_d));
    *dmin = select_lanes(is_sound, free_dmin, f->best_dmin);
}

LANE_FN lanes largest_of(const lane_row *values) {
    lanes largest = all(0.0F);
    for (int g = 0; g < MAX_GROUPS; g++) {
        largest = greatest(load(values[g]), largest);
    }
    return largest;
}

/* The normal result, with its error in this objective, is the one to beat. */
LANE_FN void begin_affine(search *f, const affine_type *type, int_lanes d_bits, int_lanes dmin_bits) {
    const int n = type->plain.n;
    f->best_d = half_rounded(half_values(d_bits));
    f->best_dmin = half_rounded(half_values(dmin_bits));
    f->best_error = all(0.0F);
    memcpy(f->best_scale_codes, f->s.scale_codes, sizeof f->best_scale_codes);
    memcpy(f->best_depth_codes, f->s.depth_codes, sizeof f->best_depth_codes);
    for (int g = 0; g < QN_SUPERBLOCK_LEN / n; g++) {
        const lanes m = -(f->best_dmin * load(f->best_depth_codes[g]));
        f->best_error += cost_of(n, 0.0F, type->plain.top, f->s.x + g * n, f->w + g * n,
                                 f->best_d * load(f->best_scale_codes[g]), m);
    }
}

/* Superblock scales tried, in parts of the largest group's over the largest code. */
enum { N_TRIALS = 12 };

/* The whole search; leaves the codes in f->s and gives the f16 scales. */
LANE_FN void search_affine(const lane_batch *batch, const affine_type *type, search *f, int_lanes *d_bits,
                           int_lanes *dmin_bits) {
    const int n = type->plain.n;
    const affine_grid grid = {n, type->plain.top, {0.88F, 1.04F, 20}, 5, true};
    lanes d;
    lanes dmin;
    memset(f->s.scale_codes, 0, sizeof f->s.scale_codes);
    memset(f->s.depth_codes, 0, sizeof f->s.depth_codes);
    memset(f->s.scales, 0, sizeof f->s.scales);
    memset(f->s.depths, 0, sizeof f->s.depths);
    encode_affine_superblocks(batch, type, &f->s, d_bits, dmin_bits);
    weigh_groups(batch, f, n);
    begin_affine(f, type, *d_bits, *dmin_bits);
    for (int g = 0; g < QN_SUPERBLOCK_LEN / n; g++) {
        lanes minimum;
        store(f->s.scales[g],
              fit_free_affine(&grid, f->s.x + g * n, f->w + g * n, load(f->s.weights[g]), load(f->means[g]), &minimum));
        store(f->s.depths[g], greatest(-minimum, all(0.0F)));
    }
    const lanes base_d = largest_of(f->s.scales) / type->scale_top;
    const lanes base_dmin = largest_of(f->s.depths) / type->scale_top;
    for (int k = 0; k < N_TRIALS; k++) {
        /* Both go through the same range, dmin in another order. */
        const float at = (float)k / (float)N_TRIALS;
        const float other = (float)(k * 5 % N_TRIALS) / (float)N_TRIALS;
        try_affine(f, type, base_d * (0.96F + 0.3F * at), base_dmin * (0.96F + 0.3F * other), 1, 1);
    }
    for (int round = 0; round < 4; round++) {
        const int reach = round == 1 ? 3 : 1;
        look_at_best(f);
        refit_affine(f, type, &d, &dmin);
        try_affine(f, type, d, dmin, reach, reach);
    }
    *d_bits = half_bits(f->best_d);
    *dmin_bits = half_bits(f->best_dmin);
    memcpy(f->s.scale_codes, f->best_scale_codes, sizeof f->best_scale_codes);
    memcpy(f->s.depth_codes, f->best_depth_codes, sizeof f->best_depth_codes);
    for (int g = 0; g < QN_SUPERBLOCK_LEN / n; g++) {
        const lanes s = f->best_d * load(f->best_scale_codes[g]);
        const lanes m = f->best_dmin * load(f->best_depth_codes[g]);
        const lanes inverse = inverse_of(s);
        for (int e = g * n; e < (g + 1) * n; e++) {
            store(f->s.q[e], nearest_within((load(f->s.x[e]) + m) * inverse, 0.0F, type->plain.top));
        }
    }
}

/* ---- Q3_K, Q6_K ---- */

/** What tells the symmetric types apart: codes of elements and of scales. */
typedef struct signed_type {
    float high;       /**< codes of elements are -high..high-1 */
    float scale_high; /**< codes of scales are -scale_high..scale_high-1 */
    int n_trials;     /**< superblock scales tried */
    int reach;        /**< neighbours of a group's scale tried for each of those */
    int wide_reach;   /**< and once, for the best of those */
} signed_type;

static const signed_type q3_k_signed = {4.0F, 32.0F, 8, 1, 6};
static const signed_type q6_k_signed = {32.0F, 128.0F, 12, 2, 10};

LANE_FN lanes signed_cost(const signed_type *type, const lane_row *x, const lane_row *w, lanes s) {
    return cost_of(16, -type->high, type->high - 1.0F, x, w, s, all(0.0F));
}

/* The best integer of group g near its two scales. */
LANE_FN lanes scan_signed(search *f, int g, const signed_type *type, lanes d, int reach) {
    const lanes by_d = inverse_of(d);
    lanes best = all(0.0F);
    lanes best_code = all(0.0F);
    for (int side = 0; side < 2; side++) {
        const lanes from = load(side == 0 ? f->s.scales[g] : f->others[g]);
        const lanes middle = nearest_within(from * by_d, -type->scale_high, type->scale_high - 1.0F);
        for (int i = -reach; i <= reach; i++) {
            const lanes code = least(greatest(middle + (float)i, all(-type->scale_high)), all(type->scale_high - 1.0F));
            const lanes error = signed_cost(type, f->s.x + 16 * g, f->w + 16 * g, d * code);
            const bool is_first = side == 0 && i == -reach;
            const int_lanes is_better = is_first ? error == error : error < best;
            best = is_first ? error : select_lanes(is_better, error, best);
            best_code = select_lanes(is_better, code, best_code);
        }
    }
    store(f->s.scale_codes[g], best_code);
    return best;
}

LANE_FN void try_signed(search *f, const signed_type *type, lanes d, int reach) {
    lanes error = all(0.0F);
    d = half_rounded(d);
    for (int g = 0; g < MAX_GROUPS; g++) {
        error += scan_signed(f, g, type, d, reach);
    }
    keep_if_better(f, error, d, all(0.0F));
}

/* Least squares for d with the best result's codes. */
LANE_FN lanes refit_signed(const search *f, const signed_type *type) {
    lanes a = all(0.0F);
    lanes b = all(0.0F);
    for (int g = 0; g < MAX_GROUPS; g++) {
        const lanes scale_code = load(f->best_scale_codes[g]);
        const lanes s = f->best_d * scale_code;
        const lanes inverse = inverse_of(s);
        for (int e = 16 * g; e < 16 * (g + 1); e++) {
            const lanes v = load(f->s.x[e]);
            const lanes y = scale_code * nearest_within(v * inverse, -type->high, type->high - 1.0F);
            const lanes wy = load(f->w[e]) * y;
            a += wy * v;
            b += wy * y;
        }
    }
    return select_lanes(b > 0.0F, a / b, f->best_d);
}

/* The whole search from the normal result in f->s; leaves the codes there and gives d. */
LANE_FN int_lanes search_signed(const lane_batch *batch, const signed_type *type, search *f, int_lanes d_bits) {
    const rate_row rates = {0.8F, 1.03F, 24};
    lanes largest = all(0.0F);
    weigh_groups(batch, f, 16);
    memset(f->s.depth_codes, 0, sizeof f->s.depth_codes);
    memset(f->best_depth_codes, 0, sizeof f->best_depth_codes);
    memcpy(f->best_scale_codes, f->s.scale_codes, sizeof f->best_scale_codes);
    f->best_d = half_rounded(half_values(d_bits));
    f->best_dmin = all(0.0F);
    f->best_error = all(0.0F);
    for (int g = 0; g < MAX_GROUPS; g++) {
        const lane_row *x = f->s.x + 16 * g;
        const lane_row *w = f->w + 16 * g;
        lanes size;
        f->best_error += signed_cost(type, x, w, f->best_d * load(f->best_scale_codes[g]));
        const lanes inverse = -type->high / extreme(16, x, &size);
        store(f->s.scales[g], fit_free_signed(16, type->high, &rates, x, w, inverse));
        store(f->others[g], fit_free_signed(16, type->high, &rates, x, w, -inverse));
        largest = greatest(magnitude(load(f->s.scales[g])), largest);
    }
    for (int k = 0; k < type->n_trials; k++) {
        try_signed(f, type, largest * (0.97F + 0.02F * (float)k) / -type->scale_high, type->reach);
    }
    for (int round = 0; round < 4; round++) {
        for (int g = 0; g < MAX_GROUPS; g++) {
            const lanes s = f->best_d * load(f->best_scale_codes[g]);
            store(f->s.scales[g], s);
            store(f->others[g], -s);
        }
        try_signed(f, type, refit_signed(f, type), round == 1 ? type->wide_reach : type->reach);
    }
    memcpy(f->s.scale_codes, f->best_scale_codes, sizeof f->best_scale_codes);
    for (int g = 0; g < MAX_GROUPS; g++) {
        const lanes s = f->best_d * load(f->best_scale_codes[g]);
        const lanes inverse = inverse_of(s);
        for (int e = 16 * g; e < 16 * (g + 1); e++) {
            store(f->s.q[e], nearest_within(load(f->s.x[e]) * inverse, -type->high, type->high - 1.0F));
        }
    }
    return half_bits(f->best_d);
}

#endif
