/* SPDX-License-Identifier: MIT */
/*
 * iq4_best_lanes.h: IQ4_NL and IQ4_XS at best effort, which makes the sum of importance * (decoded - x)² small.
 *
 * A group's own scale is searched for in equal proportions, on both signs, far enough for its extreme to be cut off.
 * The groups of a superblock then seek a common unit together: of many units the one is taken whose whole multiples
 * serve the groups best; then multiples and unit are improved in turns. Errors are those of the decoded values.
 */
#ifndef QUERN_DTYPE_IQ4_BEST_LANES_H
#define QUERN_DTYPE_IQ4_BEST_LANES_H

#include "dtype/iq4_lanes.h"

#include <math.h>

enum {
    N_SCALES = 40, /**< scales tried for a group, on either sign */
    N_REFITS = 2,  /**< least squares after the search */
    N_UNITS = 24,  /**< units tried for a superblock */
    N_ROUNDS = 4   /**< of improvement in turns */
};

/* The extreme value is tried at FIRST_PEAK, FIRST_PEAK * PEAK_GROWTH, … levels: up to 300. */
#define FIRST_PEAK 80.0F
#define PEAK_GROWTH 1.035F
/* The extreme group's multiple of the unit goes down from FIRST_MULTIPLE. */
#define FIRST_MULTIPLE 32.5F
#define MULTIPLE_STEP 0.5F

/* Weights of 32 values: their importance; 1 without, or where a group's importance is all zero. */
LANE_FN void best_weights(const lane_batch *batch, size_t first, lane_row *w) {
    lanes sum = all(0.0F);
    if (batch->has_importance) {
        gather(batch->importance, first, QN_BLOCK_LEN, w);
        for (int e = 0; e < QN_BLOCK_LEN; e++) {
            sum += load(w[e]);
        }
    }
    const int_lanes has_weight = sum > 0.0F;
    for (int e = 0; e < QN_BLOCK_LEN; e++) {
        store(w[e], batch->has_importance ? select_lanes(has_weight, load(w[e]), all(1.0F)) : all(1.0F));
    }
}

/* The real scale that fits 32 values best, or nearly so; 0 for a zero group. */
LANE_FN lanes best_scale(const lane_row *x, const lane_row *w) {
    lanes largest;
    const lanes peak = extreme(QN_BLOCK_LEN, x, &largest);
    const int_lanes is_zero = largest < ZERO_GROUP;
    lanes scale = -peak / LOWEST_LEVEL;
    lanes best = all(0.0F);
    float at_peak = FIRST_PEAK;
    for (int i = 0; i < 2 * N_SCALES + N_REFITS; i++) {
        lanes a;
        lanes b;
        const lanes inverse = i >= 2 * N_SCALES ? 1.0F / scale : (i % 2 == 0 ? at_peak : -at_peak) / peak;
        level_sums(x, w, inverse, &a, &b);
        const lanes fitted = a / b;
        const int_lanes is_better = (b > 0.0F) & (a * a > best * b) & (magnitude(fitted) <= FLT_MAX);
        scale = select_lanes(is_better, fitted, scale);
        best = select_lanes(is_better, fitted * a, best);
        at_peak = i % 2 == 0 ? at_peak : at_peak * PEAK_GROWTH;
    }
    return select_lanes(is_zero, all(0.0F), scale);
}

/** What a scale makes of a group. */
typedef struct level_fit {
    lanes error; /**< sum of w·(scale·level - x)² */
    lanes a, b;  /**< sums of w·x·level and w·level² */
} level_fit;

LANE_FN level_fit fit_of_scale(const lane_row *x, const lane_row *w, lanes scale) {
    const lanes inverse = inverse_of(scale);
    level_fit fit = {all(0.0F), all(0.0F), all(0.0F)};
    for (int e = 0; e < QN_BLOCK_LEN; e++) {
        int_lanes code;
        const lanes v = load(x[e]);
        const lanes weight = load(w[e]);
        const lanes level = nearest_level(inverse * v, &code);
        const lanes diff = scale * level - v;
        const lanes weighted = weight * level;
        fit.error += weight * diff * diff;
        fit.a += weighted * v;
        fit.b += weighted * level;
    }
    return fit;
}

/* Of an f16 and its two neighbours the one with the least error. Zero and what is not finite has none. */
LANE_FN int_lanes best_half(const lane_row *x, const lane_row *w, int_lanes bits) {
    const int_lanes size = bits & 0x7FFF;
    const int_lanes has_neighbours = (size > 0) & (size < 0x7BFF);
    int_lanes best_bits = bits;
    lanes best = fit_of_scale(x, w, half_values(bits)).error;
    for (int step = -1; step <= 1; step += 2) {
        const int_lanes near = bits + (has_neighbours & step);
        const lanes error = fit_of_scale(x, w, half_values(near)).error;
        const int_lanes is_better = error < best;
        best_bits = (is_better & near) | (~is_better & best_bits);
        best = select_lanes(is_better, error, best);
    }
    return best_bits;
}

static void iq4_nl_best_batch(const lane_batch *batch) {
    _Alignas(64) lane_row x[QN_BLOCK_LEN];
    _Alignas(64) lane_row w[QN_BLOCK_LEN];
    int_lanes words[4];
    gather(batch->x, 0, QN_BLOCK_LEN, x);
    best_weights(batch, 0, w);
    const int_lanes d_bits = best_half(x, w, half_bits(best_scale(x, w)));
    level_words(x, inverse_of(half_values(d_bits)), words);
    scatter_half(batch, offsetof(qn_block_iq4_nl, d), d_bits);
    scatter_words(batch, offsetof(qn_block_iq4_nl, qs), words, 4);
}

/** A batch of superblocks of IQ4_XS on its way. */
typedef struct level_blocks {
    _Alignas(64) lane_row x[QN_SUPERBLOCK_LEN];
    _Alignas(64) lane_row w[QN_SUPERBLOCK_LEN];
    _Alignas(64) lane_row scales[IQ4_GROUPS]; /**< each group's own */
} level_blocks;

/** A unit, each group's multiple of it (integers, as floats), and their error. */
typedef struct unit_choice {
    lanes unit;
    lanes error;
    _Alignas(64) lane_row multiples[IQ4_GROUPS];
} unit_choice;

LANE_FN void take_better(const unit_choice *tried, unit_choice *best) {
    const int_lanes is_better = tried->error < best->error;
    best->unit = select_lanes(is_better, tried->unit, best->unit);
    best->error = select_lanes(is_better, tried->error, best->error);
    for (int g = 0; g < IQ4_GROUPS; g++) {
        store(best->multiples[g], select_lanes(is_better, load(tried->multiples[g]), load(best->multiples[g])));
    }
}

/* Gives each group the multiple next to its own scale. */
LANE_FN void round_multiples(const level_blocks *s, unit_choice *choice) {
    const lanes inverse = inverse_of(choice->unit);
    choice->error = all(0.0F);
    for (int g = 0; g < IQ4_GROUPS; g++) {
        const lane_row *x = s->x + g * QN_BLOCK_LEN;
        const lanes multiple = nearest_within(inverse * load(s->scales[g]), -32.0F, 31.0F);
        store(choice->multiples[g], multiple);
        choice->error += fit_of_scale(x, s->w + g * QN_BLOCK_LEN, choice->unit * multiple).error;
    }
}

/* Moves each group's multiple by one or turns its sign, where that is better; gives the unit that then fits best. */
LANE_FN lanes improve_multiples(const level_blocks *s, unit_choice *choice) {
    lanes sum_a = all(0.0F);
    lanes sum_b = all(0.0F);
    choice->error = all(0.0F);
    for (int g = 0; g < IQ4_GROUPS; g++) {
        const lanes start = load(choice->multiples[g]);
        lanes best = start;
        level_fit fit = {all(INFINITY), all(0.0F), all(0.0F)};
        for (int i = 0; i < 4; i++) {
            const lanes wanted = i == 3 ? -start : start + (float)(i == 2 ? -1 : i);
            const lanes multiple = nearest_within(wanted, -32.0F, 31.0F);
            const level_fit tried = fit_of_scale(s->x + g * QN_BLOCK_LEN, s->w + g * QN_BLOCK_LEN,
                                                 choice->unit * multiple);
            const int_lanes is_better = tried.error < fit.error;
            best = select_lanes(is_better, multiple, best);
            fit.error = select_lanes(is_better, tried.error, fit.error);
            fit.a = select_lanes(is_better, tried.a, fit.a);
            fit.b = select_lanes(is_better, tried.b, fit.b);
        }
        store(choice->multiples[g], best);
        choice->error += fit.error;
        sum_a += best * fit.a;
        sum_b += best * best * fit.b;
    }
    return select_lanes(sum_b > 0.0F, sum_a / sum_b, choice->unit);
}

/* The unit and the multiples for all groups. */
LANE_FN void choose_unit(const level_blocks *s, unit_choice *best) {
    lanes largest;
    const lanes peak = extreme(IQ4_GROUPS, s->scales, &largest);
    unit_choice tried;
    best->unit = half_values(half_bits(-peak / 32.0F));
    round_multiples(s, best);
    for (int i = 0; i < N_UNITS; i++) {
        tried.unit = half_values(half_bits(-peak / (FIRST_MULTIPLE - MULTIPLE_STEP * (float)i)));
        round_multiples(s, &tried);
        take_better(&tried, best);
    }
    tried = *best;
    for (int i = 0; i < N_ROUNDS; i++) {
        const lanes next = improve_multiples(s, &tried);
        take_better(&tried, best);
        tried.unit = half_values(half_bits(next));
    }
}

static void iq4_xs_best_batch(const lane_batch *batch) {
    level_blocks s;
    unit_choice best;
    int_lanes codes[IQ4_GROUPS];
    int_lanes words[2 + 4 * IQ4_GROUPS];
    gather(batch->x, 0, QN_SUPERBLOCK_LEN, s.x);
    for (int g = 0; g < IQ4_GROUPS; g++) {
        best_weights(batch, (size_t)g * QN_BLOCK_LEN, s.w + g * QN_BLOCK_LEN);
        store(s.scales[g], best_scale(s.x + g * QN_BLOCK_LEN, s.w + g * QN_BLOCK_LEN));
    }
    choose_unit(&s, &best);
    for (int g = 0; g < IQ4_GROUPS; g++) {
        const lanes multiple = load(best.multiples[g]);
        codes[g] = truncate_lanes(multiple);
        level_words(s.x + g * QN_BLOCK_LEN, inverse_of(best.unit * multiple), words + 2 + 4 * g);
    }
    iq4_xs_head(best.unit, codes, words);
    scatter_words(batch, 0, words, 2 + 4 * IQ4_GROUPS);
}

static void encode_iq4_nl_best(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_BLOCK_LEN, sizeof(qn_block_iq4_nl), NULL, iq4_nl_best_batch);
}

static void encode_iq4_xs_best(const qn_encode_task *task) {
    run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_iq4_xs), NULL, iq4_xs_best_batch);
}

#endif
