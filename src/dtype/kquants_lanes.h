/* SPDX-License-Identifier: MIT */
/*
 * kquants_lanes.h: encoders of Q2_K to Q6_K, N_LANES superblocks of 256 at a time, one superblock a lane.
 *
 * Each encoder goes the same way: weights and a search for each group (fit_lanes.h), codes for the groups' scales, the
 * superblock's f16 scales, all codes once more with the scales as they will be decoded, words of four codes, out.
 * Groups whose decoded scale is 0 keep the codes of their search. Source: facts/quants.md §5.
 */
#ifndef QUERN_DTYPE_KQUANTS_LANES_H
#define QUERN_DTYPE_KQUANTS_LANES_H

#include "dtype/blocks.h"
#include "dtype/fit_lanes.h"

enum { MAX_GROUPS = 16, SCALE_WORDS = QN_SCALE_BYTES / 4 };

/** A batch of superblocks on its way. Groups are n_groups runs of group_len elements. */
typedef struct superblocks {
    _Alignas(64) lane_row x[QN_SUPERBLOCK_LEN];
    _Alignas(64) lane_row q[QN_SUPERBLOCK_LEN];    /**< codes, as floats */
    _Alignas(64) lane_row scales[MAX_GROUPS];      /**< of each group, from its search */
    _Alignas(64) lane_row depths[MAX_GROUPS];      /**< minus its minimum, for the affine types */
    _Alignas(64) lane_row weights[MAX_GROUPS];     /**< sum of the weights of its elements */
    _Alignas(64) lane_row scale_codes[MAX_GROUPS]; /**< integers, as floats */
    _Alignas(64) lane_row depth_codes[MAX_GROUPS];
    lanes mean_square; /**< of the 256 elements */
} superblocks;

LANE_FN void gather_superblocks(const lane_batch *batch, superblocks *s) {
    lanes sum = all(0.0F);
    gather(batch->x, 0, QN_SUPERBLOCK_LEN, s->x);
    for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
        sum += load(s->x[e]) * load(s->x[e]);
    }
    s->mean_square = sum / (float)QN_SUPERBLOCK_LEN;
}

/* w = v·sqrt(spread + x²) for group g; the sum of the weights is kept for the search over scales. */
LANE_FN void importance_weights(const lane_batch *batch, superblocks *s, int g, int n, lanes spread, lane_row *w) {
    lanes sum = all(0.0F);
    gather(batch->importance, (size_t)(g * n), (size_t)n, w);
    for (int e = 0; e < n; e++) {
        const lanes v = load(s->x[g * n + e]);
        const lanes weight = load(w[e]) * square_root(spread + v * v);
        store(w[e], weight);
        sum += weight;
    }
    store(s->weights[g], sum);
}

/* Of the groups' signed scales the one with the largest magnitude. */
LANE_FN lanes extreme_scale(const superblocks *s, lanes *largest) {
    return extreme(MAX_GROUPS, s->scales, largest);
}

/* Codes 0..top for values by their largest: the plain way. Returns largest / top. */
LANE_FN lanes code_by_largest(int n_groups, float top, const lane_row *values, lane_row *codes) {
    lanes largest = all(0.0F);
    for (int g = 0; g < n_groups; g++) {
        largest = greatest(load(values[g]), largest);
    }
    const lanes inverse = select_lanes(largest > 0.0F, top / largest, all(0.0F));
    for (int g = 0; g < n_groups; g++) {
        store(codes[g], nearest_within(inverse * load(values[g]), 0.0F, top));
    }
    return largest / top;
}

/* Codes again with the decoded scale dl and minimum ml of group g; low..high. */
LANE_FN void recode_group(superblocks *s, int g, int n, lanes dl, lanes ml, float low, float high) {
    const int_lanes has_scale = dl != 0.0F;
    for (int e = g * n; e < (g + 1) * n; e++) {
        const lanes code = nearest_within((load(s->x[e]) + ml) / dl, low, high);
        store(s->q[e], select_lanes(has_scale, code, load(s->q[e])));
    }
}

/* The code of element e, moved up by offset. */
LANE_FN int_lanes code_at(const superblocks *s, int e, float offset) {
    return truncate_lanes(load(s->q[e]) + offset);
}

LANE_FN int_lanes scale_code(const superblocks *s, int g) {
    return truncate_lanes(load(s->scale_codes[g]));
}

LANE_FN int_lanes depth_code(const superblocks *s, int g) {
    return truncate_lanes(load(s->depth_codes[g]));
}

/* ---- Q2_K, Q4_K, Q5_K: scale and minimum for each group ---- */

/** What tells the affine types apart. */
typedef struct affine_type {
    affine_search plain;
    affine_search weighted;
    float scale_top; /**< scale and depth codes are 0..scale_top */
    float spread;    /**< σ² is spread times the mean square */
} affine_type;

static const affine_type q2_k_type = {
    {16, 3.0F, -0.5F, 0.1F, 15, true}, {16, 3.0F, -0.9F, 0.05F, 36, false}, 15.0F, 1.0F};
static const affine_type q4_k_type = {
    {32, 15.0F, -1.0F, 0.1F, 20, false}, {32, 15.0F, -0.9F, 0.05F, 36, false}, 63.0F, 2.0F};
static const affine_type q5_k_type = {
    {32, 31.0F, -0.5F, 0.1F, 15, false}, {32, 31.0F, -0.9F, 0.05F, 36, false}, 63.0F, 2.0F};

/* Weights when there is no importance: |x|, in groups of 32 lifted by their root mean square. */
LANE_FN void affine_plain_weights(const affine_search *how, const lane_row *x, lane_row *w) {
    lanes lift = all(0.0F);
    if (!how->is_abs) {
        lanes sum = all(0.0F);
        for (int e = 0; e < how->n; e++) {
            sum += load(x[e]) * load(x[e]);
        }
        lift = square_root(sum / (float)how->n);
    }
    for (int e = 0; e < how->n; e++) {
        const lanes size = magnitude(load(x[e]));
        store(w[e], how->is_abs ? size : lift + size);
    }
}

/* Fits all groups, codes their scales, and the elements with those. Gives the f16 scales as bits. */
LANE_FN void encode_affine_superblocks(const lane_batch *batch, const affine_type *type, superblocks *s,
                                       int_lanes *d_bits, int_lanes *dmin_bits) {
    _Alignas(64) lane_row w[MAX_AFFINE * QN_BLOCK_LEN];
    const int n = type->plain.n;
    const int n_groups = QN_SUPERBLOCK_LEN / n;
    lanes d;
    lanes dmin;
    gather_superblocks(batch, s);
    for (int g = 0; g < n_groups; g += MAX_AFFINE) {
        const lane_row *x = s->x + g * n;
        for (int k = 0; k < MAX_AFFINE; k++) {
            if (batch->has_importance) {
                importance_weights(batch, s, g + k, n, type->spread * s->mean_square, w + k * n);
            } else {
                affine_plain_weights(&type->plain, x + k * n, w + k * n);
            }
        }
        if (batch->has_importance) {
            fit_affine(&type->weighted, MAX_AFFINE, x, w, s->q + g * n, s->depths + g, s->scales + g);
        } else {
            fit_affine(&type->plain, MAX_AFFINE, x, w, s->q + g * n, s->depths + g, s->scales + g);
        }
    }
    if (batch->has_importance) {
        d = fit_positive(n_groups, type->scale_top, s->scales, s->weights, s->scale_codes);
        dmin = fit_positive(n_groups, type->scale_top, s->depths, s->weights, s->depth_codes);
    } else {
        d = code_by_largest(n_groups, type->scale_top, s->scales, s->scale_codes);
        dmin = code_by_largest(n_groups, type->scale_top, s->depths, s->depth_codes);
    }
    *d_bits = half_bits(d);
    *dmin_bits = half_bits(dmin);
    d = half_values(*d_bits);
    dmin = half_values(*dmin_bits);
    for (int g = 0; g < n_groups; g++) {
        recode_group(s, g, n, d * load(s->scale_codes[g]), dmin * load(s->depth_codes[g]), 0.0F, type->plain.top);
    }
}

/* The 12 bytes of 6-bit scales and minima of Q4_K and Q5_K. */
LANE_FN void pack_scale_min(const superblocks *s, int_lanes *words) {
    int_lanes bytes[QN_SCALE_BYTES];
    for (int j = 0; j < 4; j++) {
        bytes[j] = scale_code(s, j) | (scale_code(s, j + 4) >> 4) << 6;
        bytes[j + 4] = depth_code(s, j) | (depth_code(s, j + 4) >> 4) << 6;
        bytes[j + 8] = (scale_code(s, j + 4) & 15) | (depth_code(s, j + 4) & 15) << 4;
    }
    for (int i = 0; i < SCALE_WORDS; i++) {
        words[i] = word_of(bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]);
    }
}

/* 32 words of nibbles of Q4_K and Q5_K: byte i of quarter h holds elements 64h + i and 64h + 32 + i. */
LANE_FN void pack_nibbles(const superblocks *s, int_lanes *words) {
    for (int i = 0; i < 32; i++) {
        int_lanes bytes[4];
        for (int k = 0; k < 4; k++) {
            const int e = 64 * (i / 8) + 4 * (i % 8) + k;
            bytes[k] = (code_at(s, e, 0.0F) & 15) | (code_at(s, e + 32, 0.0F) & 15) << 4;
        }
        words[i] = word_of(bytes[0], bytes[1], bytes[2], bytes[3]);
    }
}

/* 16 words of the low two bits of all codes, Q2_K and Q3_K: byte i of half h holds elements 128h + 32k + i. */
LANE_FN void pack_pairs(const superblocks *s, float offset, int_lanes *words) {
    for (int i = 0; i < 16; i++) {
        int_lanes bytes[4];
        for (int k = 0; k < 4; k++) {
            const int e = 128 * (i / 8) + 4 * (i % 8) + k;
            bytes[k] = (code_at(s, e, offset) & 3) | (code_at(s, e + 32, offset) & 3) << 2 |
                (code_at(s, e + 64, offset) & 3) << 4 | (code_at(s, e + 96, offset) & 3) << 6;
        }
        words[i] = word_of(bytes[0], bytes[1], bytes[2], bytes[3]);
    }
}

/* 8 words of bit `bit` of all codes, Q3_K and Q5_K: bit k of byte i is of element 32k + i. */
LANE_FN void pack_bits(const superblocks *s, float offset, int bit, int_lanes *words) {
    for (int i = 0; i < 8; i++) {
        int_lanes bytes[4] = {{0}, {0}, {0}, {0}};
        for (int k = 0; k < 4; k++) {
            for (int j = 0; j < 8; j++) {
                bytes[k] |= ((code_at(s, 32 * j + 4 * i + k, offset) >> bit) & 1) << j;
            }
        }
        words[i] = word_of(bytes[0], bytes[1], bytes[2], bytes[3]);
    }
}

LANE_FN void write_q2_k(const lane_batch *batch, const superblocks *s, int_lanes d, int_lanes dmin) {
    int_lanes words[21];
    for (int i = 0; i < 4; i++) {
        int_lanes bytes[4];
        for (int k = 0; k < 4; k++) {
            bytes[k] = scale_code(s, 4 * i + k) | depth_code(s, 4 * i + k) << 4;
        }
        words[i] = word_of(bytes[0], bytes[1], bytes[2], bytes[3]);
    }
    pack_pairs(s, 0.0F, words + 4);
    words[20] = d | dmin << 16;
    scatter_words(batch, 0, words, 21);
}

LANE_FN void write_q4_k(const lane_batch *batch, const superblocks *s, int_lanes d, int_lanes dmin) {
    int_lanes words[36];
    words[0] = d | dmin << 16;
    pack_scale_min(s, words + 1);
    pack_nibbles(s, words + 4);
    scatter_words(batch, 0, words, 36);
}

LANE_FN void write_q5_k(const lane_batch *batch, const superblocks *s, int_lanes d, int_lanes dmin) {
    int_lanes words[44];
    words[0] = d | dmin << 16;
    pack_scale_min(s, words + 1);
    pack_bits(s, 0.0F, 4, words + 4);
    pack_nibbles(s, words + 12);
    scatter_words(batch, 0, words, 44);
}

/* ---- Q3_K, Q6_K: a signed scale for each group of 16 ---- */

/* Codes low..high for the groups' signed scales, the extreme one becoming low; gives the superblock's scale. */
LANE_FN lanes code_by_extreme(superblocks *s, float low, float high) {
    lanes largest;
    const lanes peak = extreme_scale(s, &largest);
    const lanes inverse = low / peak;
    for (int g = 0; g < MAX_GROUPS; g++) {
        store(s->scale_codes[g], nearest_within(inverse * load(s->scales[g]), low, high));
    }
    return select_lanes(largest > 0.0F, 1.0F / inverse, all(0.0F));
}

/* Fits all groups of Q3_K and codes their scales; gives the superblock's scale. */
LANE_FN lanes fit_q3_k(const lane_batch *batch, superblocks *s) {
    _Alignas(64) lane_row w[16];
    if (batch->has_importance) {
        for (int g = 0; g < MAX_GROUPS; g++) {
            importance_weights(batch, s, g, 16, 2.0F * s->mean_square, w);
            store(s->scales[g], fit_symmetric(16, 4.0F, s->x + 16 * g, w, s->q + 16 * g));
        }
        return fit_symmetric(MAX_GROUPS, 32.0F, s->scales, s->weights, s->scale_codes);
    }
    for (int g = 0; g < MAX_GROUPS; g++) {
        store(s->scales[g], fit_three_bits(16, s->x + 16 * g));
        for (int e = 16 * g; e < 16 * (g + 1); e++) {
            store(s->q[e], all(-4.0F));
        }
    }
    return code_by_extreme(s, -32.0F, 31.0F);
}

/* The 12 bytes of 6-bit scales of Q3_K: low nibbles of two in 8 bytes, then high pairs of four in 4. */
LANE_FN void pack_signed_scales(const superblocks *s, int_lanes *words) {
    int_lanes codes[MAX_GROUPS];
    int_lanes bytes[QN_SCALE_BYTES];
    for (int g = 0; g < MAX_GROUPS; g++) {
        codes[g] = scale_code(s, g) + 32;
    }
    for (int j = 0; j < 8; j++) {
        bytes[j] = (codes[j] & 15) | (codes[j + 8] & 15) << 4;
    }
    for (int j = 0; j < 4; j++) {
        bytes[8 + j] = codes[j] >> 4 | (codes[j + 4] >> 4) << 2 | (codes[j + 8] >> 4) << 4 | (codes[j + 12] >> 4) << 6;
    }
    for (int i = 0; i < SCALE_WORDS; i++) {
        words[i] = word_of(bytes[4 * i], bytes[4 * i + 1], bytes[4 * i + 2], bytes[4 * i + 3]);
    }
}

/* Codes for the elements of Q3_K and Q6_K with the scales as they will be decoded. */
LANE_FN void recode_signed(superblocks *s, int_lanes d_bits, float low, float high) {
    const lanes d = half_values(d_bits);
    for (int g = 0; g < MAX_GROUPS; g++) {
        recode_group(s, g, 16, d * load(s->scale_codes[g]), all(0.0F), low, high);
    }
}

LANE_FN void write_q3_k(const lane_batch *batch, const superblocks *s, int_lanes d_bits) {
    int_lanes words[27];
    pack_bits(s, 4.0F, 2, words);
    pack_pairs(s, 4.0F, words + 8);
    pack_signed_scales(s, words + 24);
    scatter_words(batch, 0, words, 27);
    scatter_half(batch, offsetof(qn_block_q3_k, d), d_bits);
}

/* Low nibbles (32 words) and high pairs (16 words) of Q6_K's codes, by the inverse of the formulas in decode.c. */
LANE_FN void pack_six_bits(const superblocks *s, int_lanes *low_words, int_lanes *high_words) {
    for (int i = 0; i < 32; i++) {
        int_lanes bytes[4];
        for (int k = 0; k < 4; k++) {
            const int e = 128 * (i / 16) + 4 * (i % 16) + k;
            bytes[k] = (code_at(s, e, 32.0F) & 15) | (code_at(s, e + 64, 32.0F) & 15) << 4;
        }
        low_words[i] = word_of(bytes[0], bytes[1], bytes[2], bytes[3]);
    }
    for (int i = 0; i < 16; i++) {
        int_lanes bytes[4];
        for (int k = 0; k < 4; k++) {
            const int e = 128 * (i / 8) + 4 * (i % 8) + k;
            bytes[k] = code_at(s, e, 32.0F) >> 4 | (code_at(s, e + 32, 32.0F) >> 4) << 2 |
                (code_at(s, e + 64, 32.0F) >> 4) << 4 | (code_at(s, e + 96, 32.0F) >> 4) << 6;
        }
        high_words[i] = word_of(bytes[0], bytes[1], bytes[2], bytes[3]);
    }
}

/* Weights of group g: v·sqrt(spread + x²) for Q3_K, v for Q6_K; x² without importance. */
LANE_FN void signed_weights(const lane_batch *batch, superblocks *s, int g, lanes spread, bool is_spread, lane_row *w) {
    if (batch->has_importance && is_spread) {
        importance_weights(batch, s, g, 16, spread, w);
    } else if (batch->has_importance) {
        gather(batch->importance, (size_t)(16 * g), 16, w);
    } else {
        for (int e = 0; e < 16; e++) {
            const lanes v = load(s->x[16 * g + e]);
            store(w[e], v * v);
        }
    }
}

/* Fits all groups of Q6_K and codes their scales; gives the superblock's, 0 where a superblock is zero. */
LANE_FN int_lanes fit_q6_k(const lane_batch *batch, superblocks *s, int_lanes *is_live) {
    _Alignas(64) lane_row w[16];
    lanes largest;
    for (int g = 0; g < MAX_GROUPS; g++) {
        signed_weights(batch, s, g, all(0.0F), false, w);
        store(s->scales[g], fit_symmetric(16, 32.0F, s->x + 16 * g, w, s->q + 16 * g));
    }
    (void)extreme_scale(s, &largest);
    *is_live = largest >= ZERO_GROUP;
    return half_bits(code_by_extreme(s, -128.0F, 127.0F)) & *is_live;
}

/* A superblock without a scale is all zero bytes. */
LANE_FN void write_q6_k(const lane_batch *batch, const superblocks *s, int_lanes d_bits, int_lanes is_live) {
    int_lanes words[52];
    pack_six_bits(s, words, words + 32);
    for (int i = 0; i < 4; i++) {
        words[48 + i] = word_of(scale_code(s, 4 * i) & 255, scale_code(s, 4 * i + 1) & 255,
                                scale_code(s, 4 * i + 2) & 255, scale_code(s, 4 * i + 3) & 255);
    }
    for (int i = 0; i < 52; i++) {
        words[i] &= is_live;
    }
    scatter_words(batch, 0, words, 52);
    scatter_half(batch, offsetof(qn_block_q6_k, d), d_bits);
}

#endif
