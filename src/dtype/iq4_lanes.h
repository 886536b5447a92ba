/* SPDX-License-Identifier: MIT */
/*
 * iq4_lanes.h: encoders of IQ4_NL and IQ4_XS, one block or superblock a lane: 16 levels that are not evenly spaced.
 *
 * A group's scale is searched for with routine E of facts/quants.md §4. The nearest level is found without branches:
 * three comparisons with midpoints narrow the 16 levels to a pair, the fourth chooses in it.
 */
#ifndef QUERN_DTYPE_IQ4_LANES_H
#define QUERN_DTYPE_IQ4_LANES_H

#include "dtype/blocks.h"
#include "dtype/fit_lanes.h"

#include <float.h>

enum { IQ4_GROUPS = QN_SUPERBLOCK_LEN / QN_BLOCK_LEN };

/** The lowest level. */
#define LOWEST_LEVEL (-127.0F)

/* qn_levels_iq4 in pairs, and the midpoints that lead to them. What lies on a midpoint belongs to the upper level. */
static const float pair_lower[8] = {-127.0F, -83.0F, -49.0F, -22.0F, 1.0F, 25.0F, 53.0F, 89.0F};
static const float pair_gap[8] = {23.0F, 18.0F, 14.0F, 12.0F, 12.0F, 13.0F, 16.0F, 24.0F};
static const float pair_middle[8] = {-115.5F, -74.0F, -42.0F, -16.0F, 7.0F, 31.5F, 61.0F, 101.0F};

#if defined(__AVX2__)
/* The entry of a table for each lane; entries 0..7. */
LANE_FN lanes pick(const float table[8], int_lanes entry) {
#if defined(__AVX512F__)
    return (lanes)_mm512_permutexvar_ps((__m512i)entry, _mm512_broadcast_f32x8(_mm256_loadu_ps(table)));
#else
    return (lanes)_mm256_permutevar8x32_ps(_mm256_loadu_ps(table), (__m256i)entry);
#endif
}

/** The level nearest to v, and its code 0..15. */
LANE_FN lanes nearest_level(lanes v, int_lanes *code) {
    static const float quarter_middle[8] = {-93.5F, -28.5F, 19.0F, 79.0F, 0.0F, 0.0F, 0.0F, 0.0F};
    const int_lanes is_high = v >= -4.5F;
    /* 45.5 in the upper half, -57 in the lower one. */
    const int_lanes is_outer = v >= -57.0F + (lanes)(is_high & (int_lanes)all(102.5F));
    const int_lanes quarter = (is_high & 2) - is_outer;
    const int_lanes pair = quarter + quarter - (v >= pick(quarter_middle, quarter));
    const int_lanes is_upper = v >= pick(pair_middle, pair);
    *code = pair + pair - is_upper;
    return pick(pair_lower, pair) + (lanes)(is_upper & (int_lanes)pick(pair_gap, pair));
}
#else
/** The level nearest to v, and its code 0..15. */
LANE_FN lanes nearest_level(lanes v, int_lanes *code) {
    static const float between[7] = {-93.5F, -57.0F, -28.5F, -4.5F, 19.0F, 45.5F, 79.0F};
    lanes level = all(LOWEST_LEVEL);
    int_lanes n_below = {0};
    for (int i = 0; i < 15; i++) {
        const int_lanes is_above = v >= (i % 2 == 0 ? pair_middle[i / 2] : between[i / 2]);
        const float next = i % 2 == 0 ? pair_lower[i / 2] + pair_gap[i / 2] : pair_lower[i / 2 + 1];
        const float old = i % 2 == 0 ? pair_lower[i / 2] : pair_lower[i / 2] + pair_gap[i / 2];
        level += (lanes)(is_above & (int_lanes)all(next - old));
        n_below -= is_above;
    }
    *code = n_below;
    return level;
}
#endif

/** 1/d, or 0 for d = 0. */
LANE_FN lanes inverse_of(lanes d) {
    return select_lanes(d != 0.0F, 1.0F / d, all(0.0F));
}

/* With the nearest levels to inverse·x: a = sum of w·x·level, b = sum of w·level². */
LANE_FN void level_sums(const lane_row *x, const lane_row *w, lanes inverse, lanes *a, lanes *b) {
    *a = all(0.0F);
    *b = all(0.0F);
    for (int e = 0; e < QN_BLOCK_LEN; e++) {
        const lanes v = load(x[e]);
        int_lanes code;
        const lanes level = nearest_level(inverse * v, &code);
        const lanes weighted = load(w[e]) * level;
        *a += weighted * v;
        *b += weighted * level;
    }
}

/**
 * Routine E. Fits 32 values by scale times levels: tries inverse scales that bring the extreme value to the lowest
 * level or near it, n_each to either side, one or more apart, and keeps the one with the largest a²/b.
 * @return the scale, 0 for a zero group; where all weights are zero that of the extreme value
 */
LANE_FN lanes fit_levels(const lane_row *x, const lane_row *w, int n_each, float apart) {
    lanes largest;
    lanes a;
    lanes b;
    const lanes peak = extreme(QN_BLOCK_LEN, x, &largest);
    const int_lanes is_zero = largest < ZERO_GROUP;
    const lanes first = -peak / LOWEST_LEVEL;
    level_sums(x, w, 1.0F / first, &a, &b);
    lanes scale = a / b;
    const int_lanes has_weight = (b > 0.0F) & (magnitude(scale) <= FLT_MAX);
    scale = select_lanes(has_weight, scale, first);
    lanes best = scale * a;
    for (int i = -n_each; i <= n_each; i++) {
        level_sums(x, w, ((float)i * apart + LOWEST_LEVEL) / peak, &a, &b);
        const int_lanes is_better = (b > 0.0F) & (a * a > best * b);
        scale = select_lanes(is_better, a / b, scale);
        best = select_lanes(is_better, scale * a, best);
    }
    return select_lanes(is_zero, all(0.0F), scale);
}

/* Weights of 32 values from column `first` on: x², or v·sqrt(spread + x²). */
LANE_FN void level_weights(const lane_batch *batch, size_t first, const lane_row *x, lanes spread, lane_row *w) {
    if (batch->has_importance) {
        gather(batch->importance, first, QN_BLOCK_LEN, w);
    }
    for (int e = 0; e < QN_BLOCK_LEN; e++) {
        const lanes v = load(x[e]);
        store(w[e], batch->has_importance ? load(w[e]) * square_root(spread + v * v) : v * v);
    }
}

/* Twice the mean square. */
LANE_FN lanes level_spread(int n, const lane_row *x) {
    lanes sum = all(0.0F);
    for (int e = 0; e < n; e++) {
        sum += load(x[e]) * load(x[e]);
    }
    return 2.0F * sum / (float)n;
}

/* Four words of codes, elements 0..15 in the low nibbles. */
LANE_FN void level_words(const lane_row *x, lanes inverse, int_lanes *words) {
    for (int i = 0; i < 4; i++) {
        int_lanes bytes[4];
        for (int k = 0; k < 4; k++) {
            int_lanes low;
            int_lanes high;
            (void)nearest_level(inverse * load(x[4 * i + k]), &low);
            (void)nearest_level(inverse * load(x[4 * i + k + 16]), &high);
            bytes[k] = low | high << 4;
        }
        words[i] = word_of(bytes[0], bytes[1], bytes[2], bytes[3]);
    }
}

LANE_FN void encode_iq4_nl_block(const lane_batch *batch, int n_each, float apart) {
    _Alignas(64) lane_row x[QN_BLOCK_LEN];
    _Alignas(64) lane_row w[QN_BLOCK_LEN];
    int_lanes words[4];
    gather(batch->x, 0, QN_BLOCK_LEN, x);
    level_weights(batch, 0, x, level_spread(QN_BLOCK_LEN, x), w);
    const lanes d = fit_levels(x, w, n_each, apart);
    level_words(x, inverse_of(d), words);
    scatter_half(batch, offsetof(qn_block_iq4_nl, d), half_bits(d));
    scatter_words(batch, offsetof(qn_block_iq4_nl, qs), words, 4);
}

/* The two words before the codes: d, and the 6-bit scales of 8 groups, codes of -32..31. */
LANE_FN void iq4_xs_head(lanes d, const int_lanes codes[IQ4_GROUPS], int_lanes words[2]) {
    int_lanes high = {0};
    words[1] = (int_lanes){0};
    for (int g = 0; g < IQ4_GROUPS; g++) {
        const int_lanes code = codes[g] + 32;
        words[1] |= (code & 15) << (4 * g);
        high |= (code >> 4) << (2 * g);
    }
    words[0] = half_bits(d) | high << 16;
}

LANE_FN void encode_iq4_xs_block(const lane_batch *batch, int n_each, float apart) {
    _Alignas(64) lane_row x[QN_SUPERBLOCK_LEN];
    _Alignas(64) lane_row w[QN_BLOCK_LEN];
    _Alignas(64) lane_row scales[IQ4_GROUPS];
    int_lanes codes[IQ4_GROUPS];
    int_lanes words[2 + 4 * IQ4_GROUPS];
    lanes largest;
    gather(batch->x, 0, QN_SUPERBLOCK_LEN, x);
    const lanes spread = level_spread(QN_SUPERBLOCK_LEN, x);
    for (int g = 0; g < IQ4_GROUPS; g++) {
        level_weights(batch, (size_t)g * QN_BLOCK_LEN, x + g * QN_BLOCK_LEN, spread, w);
        store(scales[g], fit_levels(x + g * QN_BLOCK_LEN, w, n_each, apart));
    }
    const lanes d = -extreme(IQ4_GROUPS, scales, &largest) / 32.0F;
    const lanes inverse = inverse_of(d);
    for (int g = 0; g < IQ4_GROUPS; g++) {
        const lanes code = nearest_within(inverse * load(scales[g]), -32.0F, 31.0F);
        codes[g] = truncate_lanes(code);
        level_words(x + g * QN_BLOCK_LEN, inverse_of(d * code), words + 2 + 4 * g);
    }
    iq4_xs_head(d, codes, words);
    scatter_words(batch, 0, words, 2 + 4 * IQ4_GROUPS);
}

static void iq4_nl_batch(const lane_batch *batch) {
    encode_iq4_nl_block(batch, 7, 1.0F);
}

static void iq4_nl_fast_batch(const lane_batch *batch) {
    encode_iq4_nl_block(batch, 2, 3.0F);
}

static void iq4_xs_batch(const lane_batch *batch) {
    encode_iq4_xs_block(batch, 7, 1.0F);
}

static void iq4_xs_fast_batch(const lane_batch *batch) {
    encode_iq4_xs_block(batch, 2, 3.0F);
}

static void encode_iq4_nl(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_BLOCK_LEN, sizeof(qn_block_iq4_nl), NULL, iq4_nl_batch);
}

static void encode_iq4_nl_fast(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_BLOCK_LEN, sizeof(qn_block_iq4_nl), NULL, iq4_nl_fast_batch);
}

static void encode_iq4_xs(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_iq4_xs), NULL, iq4_xs_batch);
}

static void encode_iq4_xs_fast(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_iq4_xs), NULL, iq4_xs_fast_batch);
}

#endif
