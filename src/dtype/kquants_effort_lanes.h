/* SPDX-License-Identifier: MIT */
/*
 * kquants_effort_lanes.h: encoders of Q2_K to Q6_K at best effort, one superblock a lane.
 *
 * What is made small is the sum of v·(decoded - x)² over the superblock, with every number as the decoder will have it.
 * Codes of elements follow from their group's decoded scale and minimum, so that the search is over these integers and
 * the superblock's f16 scales. It starts from the normal encoder's result and from groups fitted by free numbers, tries
 * a row of superblock scales (which decide how well the groups' integer scales can fit), and for each the neighbouring
 * integers of each group; then it alternates between least squares for the superblock's scales and the neighbours.
 * A change is taken only when the error gets smaller: no result is worse than the normal one, and what is not finite
 * is never taken. Source: the mathematics; layouts facts/quants.md §2.
 */
#ifndef QUERN_DTYPE_KQUANTS_EFFORT_LANES_H
#define QUERN_DTYPE_KQUANTS_EFFORT_LANES_H

#include "dtype/kquants_lanes.h"

/** The largest f16: no scale is allowed to become infinite. */
#define MAX_HALF 65504.0F

/** A batch of superblocks in search. */
typedef struct search {
    superblocks s;                            /**< scales and depths: where the next scan looks, as real numbers */
    _Alignas(64) lane_row w[QN_SUPERBLOCK_LEN]; /**< weights of the squared errors, > 0 */
    _Alignas(64) lane_row means[MAX_GROUPS];  /**< of x, weighted */
    _Alignas(64) lane_row others[MAX_GROUPS]; /**< symmetric types: the scale of the other sign */
    _Alignas(64) lane_row best_scale_codes[MAX_GROUPS];
    _Alignas(64) lane_row best_depth_codes[MAX_GROUPS];
    lanes best_d;
    lanes best_dmin;
    lanes best_error;
} search;

/* Rounded to f16 and back, without infinities. */
LANE_FN lanes half_rounded(lanes v) {
    return half_values(half_bits(greatest(least(v, all(MAX_HALF)), all(-MAX_HALF))));
}

/*
 * Weights: the importance in parts of its mean, and a little, so that columns of no importance still get sensible
 * values where that costs the others nothing; 1 without importance. Sets the groups' sums of weights and means.
 */
LANE_FN void effort_weights(const lane_batch *batch, search *f, int n) {
    if (batch->has_importance) {
        lanes sum = all(0.0F);
        gather(batch->importance, 0, QN_SUPERBLOCK_LEN, f->w);
        for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
            sum += load(f->w[e]);
        }
        const lanes scale = select_lanes(sum > 0.0F, (float)QN_SUPERBLOCK_LEN / sum, all(0.0F));
        for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
            store(f->w[e], load(f->w[e]) * scale + 1e-6F);
        }
    } else {
        for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
            store(f->w[e], all(1.0F));
        }
    }
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

/* The error of a group with decoded scale s and minimum m, each element taking its best code. */
LANE_FN lanes affine_cost(int n, float top, const lane_row *x, const lane_row *w, lanes s, lanes m) {
    const lanes inverse = select_lanes(s > 0.0F, 1.0F / s, all(0.0F));
    lanes error = all(0.0F);
    for (int e = 0; e < n; e++) {
        const lanes v = load(x[e]);
        const lanes code = nearest_within((v - m) * inverse, 0.0F, top);
        const lanes diff = s * code + m - v;
        error += load(w[e]) * diff * diff;
    }
    return error;
}

/* How the free fit of a group goes over inverse scales and over where code 0 lies. */
enum { N_RATES = 20, N_PHASES = 5 };

/*
 * Fits group g by free numbers: a grid over the inverse scale and over the place of the codes, least squares at each
 * point. Sets its scale and depth, where the scans will look.
 */
LANE_FN void fit_free_affine(search *f, int g, int n, float top) {
    const lane_row *x = f->s.x + g * n;
    const lane_row *w = f->w + g * n;
    const lanes sum_w = load(f->s.weights[g]);
    const lanes mean = load(f->means[g]);
    lanes low = all(0.0F);
    lanes high = load(x[0]);
    lanes best_gain = all(0.0F);
    lanes scale = all(0.0F);
    lanes depth = all(0.0F);
    float rate = 0.88F;
    for (int e = 0; e < n; e++) {
        low = least(load(x[e]), low);
        high = greatest(load(x[e]), high);
    }
    const lanes middle = 0.5F * (low + high);
    const lanes base = top / (high - low);
    for (int i = 0; i < N_RATES; i++, rate *= 1.04F) {
        for (int p = 0; p < N_PHASES; p++) {
            const lanes inverse = base * rate;
            const lanes offset = 0.5F * (top + (float)p - 0.5F * (float)(N_PHASES - 1)) - (middle - mean) * inverse;
            lanes q = all(0.0F);
            lanes qq = all(0.0F);
            lanes qx = all(0.0F);
            for (int e = 0; e < n; e++) {
                const lanes v = load(x[e]) - mean;
                const lanes code = nearest_within(v * inverse + offset, 0.0F, top);
                const lanes wq = load(w[e]) * code;
                q += wq;
                qq += wq * code;
                qx += wq * v;
            }
            const lanes spread = qq - q * q / sum_w;
            const lanes s = qx / spread;
            const int_lanes is_better = (spread > 0.0F) & (qx > 0.0F) & (qx * s > best_gain);
            best_gain = select_lanes(is_better, qx * s, best_gain);
            scale = select_lanes(is_better, s, scale);
            depth = select_lanes(is_better, greatest(s * q / sum_w - mean, all(0.0F)), depth);
        }
    }
    store(f->s.scales[g], scale);
    store(f->s.depths[g], depth);
}

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
    const lanes by_d = select_lanes(d > 0.0F, 1.0F / d, all(0.0F));
    const lanes by_dmin = select_lanes(dmin > 0.0F, 1.0F / dmin, all(0.0F));
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
            const lanes error = affine_cost(n, type->plain.top, f->s.x + g * n, f->w + g * n, s, -(dmin * depth_code));
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
    const int_lanes is_better = error < f->best_error;
    f->best_error = select_lanes(is_better, error, f->best_error);
    f->best_d = select_lanes(is_better, d, f->best_d);
    f->best_dmin = select_lanes(is_better, dmin, f->best_dmin);
    for (int g = 0; g < MAX_GROUPS; g++) {
        store(f->best_scale_codes[g],
              select_lanes(is_better, load(f->s.scale_codes[g]), load(f->best_scale_codes[g])));
        store(f->best_depth_codes[g],
              select_lanes(is_better, load(f->s.depth_codes[g]), load(f->best_depth_codes[g])));
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
        const lanes inverse = select_lanes(s > 0.0F, 1.0F / s, all(0.0F));
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
        f->best_error += affine_cost(n, type->plain.top, f->s.x + g * n, f->w + g * n,
                                     f->best_d * load(f->best_scale_codes[g]), m);
    }
}

/* Superblock scales tried, in parts of the largest group's over the largest code. */
enum { N_TRIALS = 12 };

/* The whole search; leaves the codes in f->s and gives the f16 scales. */
LANE_FN void search_affine(const lane_batch *batch, const affine_type *type, search *f, int_lanes *d_bits,
                           int_lanes *dmin_bits) {
    const int n = type->plain.n;
    lanes d;
    lanes dmin;
    memset(f->s.scale_codes, 0, sizeof f->s.scale_codes);
    memset(f->s.depth_codes, 0, sizeof f->s.depth_codes);
    memset(f->s.scales, 0, sizeof f->s.scales);
    memset(f->s.depths, 0, sizeof f->s.depths);
    encode_affine_superblocks(batch, type, &f->s, d_bits, dmin_bits);
    effort_weights(batch, f, n);
    begin_affine(f, type, *d_bits, *dmin_bits);
    for (int g = 0; g < QN_SUPERBLOCK_LEN / n; g++) {
        fit_free_affine(f, g, n, type->plain.top);
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
        const lanes inverse = select_lanes(s > 0.0F, 1.0F / s, all(0.0F));
        for (int e = g * n; e < (g + 1) * n; e++) {
            store(f->s.q[e], nearest_within((load(f->s.x[e]) + m) * inverse, 0.0F, type->plain.top));
        }
    }
}

/* ---- Q3_K, Q6_K ---- */

/** What tells the symmetric types apart: codes of elements and of scales. */
typedef struct signed_type {
    float low;       /**< codes of elements are low..-low-1 */
    float scale_low; /**< codes of scales are scale_low..-scale_low-1 */
    int reach;       /**< neighbours of a group's scale tried for each superblock scale */
    int wide_reach;  /**< and once, for the best of those */
} signed_type;

static const signed_type q3_k_signed = {-4.0F, -32.0F, 1, 8};
static const signed_type q6_k_signed = {-32.0F, -128.0F, 2, 10};

/* The error of a group with decoded scale s, each element taking its best code. */
LANE_FN lanes signed_cost(float low, const lane_row *x, const lane_row *w, lanes s) {
    const lanes inverse = select_lanes(s != 0.0F, 1.0F / s, all(0.0F));
    lanes error = all(0.0F);
    for (int e = 0; e < 16; e++) {
        const lanes v = load(x[e]);
        const lanes diff = s * nearest_within(v * inverse, low, -low - 1.0F) - v;
        error += load(w[e]) * diff * diff;
    }
    return error;
}

/* The best free scale of a sign: a row of inverse scales, least squares at each. */
LANE_FN lanes fit_free_signed(float low, const lane_row *x, const lane_row *w, lanes first_inverse) {
    lanes best_gain = all(0.0F);
    lanes scale = all(0.0F);
    float rate = 0.8F;
    for (int i = 0; i < 24; i++, rate *= 1.03F) {
        const lanes inverse = first_inverse * rate;
        lanes a = all(0.0F);
        lanes b = all(0.0F);
        for (int e = 0; e < 16; e++) {
            const lanes v = load(x[e]);
            const lanes code = nearest_within(v * inverse, low, -low - 1.0F);
            const lanes wq = load(w[e]) * code;
            a += wq * v;
            b += wq * code;
        }
        const lanes s = a / b;
        const int_lanes is_better = (b > 0.0F) & (a * s > best_gain);
        best_gain = select_lanes(is_better, a * s, best_gain);
        scale = select_lanes(is_better, s, scale);
    }
    return scale;
}

/* The best integer of group g near its two scales. */
LANE_FN lanes scan_signed(search *f, int g, const signed_type *type, lanes d, int reach) {
    const lanes by_d = select_lanes(d != 0.0F, 1.0F / d, all(0.0F));
    lanes best = all(0.0F);
    lanes best_code = all(0.0F);
    for (int side = 0; side < 2; side++) {
        const lanes from = load(side == 0 ? f->s.scales[g] : f->others[g]);
        const lanes middle = nearest_within(from * by_d, type->scale_low, -type->scale_low - 1.0F);
        for (int i = -reach; i <= reach; i++) {
            const lanes code =
                least(greatest(middle + (float)i, all(type->scale_low)), all(-type->scale_low - 1.0F));
            const lanes error = signed_cost(type->low, f->s.x + 16 * g, f->w + 16 * g, d * code);
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
        const lanes inverse = select_lanes(s != 0.0F, 1.0F / s, all(0.0F));
        for (int e = 16 * g; e < 16 * (g + 1); e++) {
            const lanes v = load(f->s.x[e]);
            const lanes y = scale_code * nearest_within(v * inverse, type->low, -type->low - 1.0F);
            const lanes wy = load(f->w[e]) * y;
            a += wy * v;
            b += wy * y;
        }
    }
    return select_lanes(b > 0.0F, a / b, f->best_d);
}

/* The whole search from the normal result in f->s; leaves the codes there and gives d. */
LANE_FN int_lanes search_signed(const lane_batch *batch, const signed_type *type, search *f, int_lanes d_bits) {
    lanes largest = all(0.0F);
    effort_weights(batch, f, 16);
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
        f->best_error += signed_cost(type->low, x, w, f->best_d * load(f->best_scale_codes[g]));
        const lanes inverse = type->low / extreme(16, x, &size);
        store(f->s.scales[g], fit_free_signed(type->low, x, w, inverse));
        store(f->others[g], fit_free_signed(type->low, x, w, -inverse));
        largest = greatest(magnitude(load(f->s.scales[g])), largest);
    }
    for (int k = 0; k < N_TRIALS; k++) {
        try_signed(f, type, largest * (0.97F + 0.02F * (float)k) / type->scale_low, type->reach);
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
        const lanes inverse = select_lanes(s != 0.0F, 1.0F / s, all(0.0F));
        for (int e = 16 * g; e < 16 * (g + 1); e++) {
            store(f->s.q[e], nearest_within(load(f->s.x[e]) * inverse, type->low, -type->low - 1.0F));
        }
    }
    return half_bits(f->best_d);
}

#endif
