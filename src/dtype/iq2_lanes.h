/* SPDX-License-Identifier: MIT */
/*
 * iq2_lanes.h: encoders of IQ2_XXS, IQ2_XS and IQ2_S, N_LANES superblocks of 256 at a time, one superblock a lane.
 *
 * What is made small is the sum of w·(decoded - x)², w being the importance, or 1. Each group's scale is first guessed
 * as if its elements were free to take any level (free_scale()), then fitted to the codewords that are best under the
 * guess (refit_scales()). The superblock's d is the one whose codes come nearest to those scales (choose_d()). Last,
 * codewords are chosen once more under the scales as they will be decoded, and d is fitted to them (choose_words()).
 * Codewords are always the best of the whole grid (grid_search.h). Fast effort leaves out the second step. Best effort
 * goes on from several d, trying codes around the nearest together with their codewords (choose_codes()), as long as
 * rounds are left. In IQ2_XXS and IQ2_XS an octet has an even number of minus signs: where x has not, one sign is
 * coded wrong, which costs 4·w·|x|·level·scale, and codeword and sign are chosen together. Source: facts/quants.md §3.
 */
#ifndef QUERN_DTYPE_IQ2_LANES_H
#define QUERN_DTYPE_IQ2_LANES_H

#include "dtype/blocks.h"
#include "dtype/grid_search.h"

enum { N_OCTETS = QN_SUPERBLOCK_LEN / 8, MAX_GROUPS = 16, TOP_CODE = 15 };

#define LEVEL_0 8.0F
#define LEVEL_1 25.0F
#define LEVEL_2 43.0F

struct iq2_blocks;

/** What tells the types apart. */
typedef struct iq2_type {
    const uint16_t *words;
    uint32_t n_words;
    int n_octets; /**< of a group, which has a scale code of its own */
    bool is_even; /**< an octet has an even number of minus signs */
    size_t block_bytes;
    void (*pack)(const struct iq2_blocks *s, size_t lane, unsigned char *dst); /**< all but d */
} iq2_type;

/** How a batch is coded: by these the decoder gives element values. */
typedef struct iq2_solution {
    int_lanes words[N_OCTETS]; /**< codewords */
    lanes codes[MAX_GROUPS];   /**< scale codes, integers */
    lanes d;                   /**< as decoded, in units */
    int_lanes d_bits;
    lanes error; /**< sum of w·(decoded - x)²; only where solutions are compared */
} iq2_solution;

/** A batch of superblocks on its way, in units in which the largest magnitude of each is 1 to 2. */
typedef struct iq2_blocks {
    _Alignas(64) lane_row x[QN_SUPERBLOCK_LEN]; /**< magnitudes; minus where the sign coded is not the element's */
    _Alignas(64) lane_row w[QN_SUPERBLOCK_LEN];
    int_lanes signs[N_OCTETS];    /**< as coded; bit t: element t is negative */
    lanes scales[MAX_GROUPS];     /**< of each group, by least squares */
    lanes precisions[MAX_GROUPS]; /**< what the square of an error of that scale costs */
    lanes unit;                   /**< powers of two: x is the element times unit */
    lanes inverse_unit;
    const iq2_type *type;
    const octet_walk *walk;
    iq2_solution now;
} iq2_blocks;

/* ---- Elements, weights, signs ---- */

/* Powers of two, so that nothing is rounded: units that bring a largest magnitude to 1..2 where there are any. */
LANE_FN void choose_units(lanes largest, lanes *unit, lanes *inverse) {
    int_lanes exponent = (int_lanes)largest >> 23;
    exponent = (exponent & (exponent > 1)) | (~(exponent > 1) & 1);
    exponent = (exponent & (exponent < 253)) | (~(exponent < 253) & 253);
    *unit = (lanes)((254 - exponent) << 23);
    *inverse = (lanes)(exponent << 23);
}

/* Weights: importance, or 1; a little for columns of none, so that they come back near where that costs nothing. */
static void gather_weights(const lane_batch *batch, iq2_blocks *s) {
    lanes largest = all(0.0F);
    lanes unit;
    lanes inverse;
    if (!batch->has_importance) {
        for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
            store(s->w[e], all(1.0F));
        }
        return;
    }
    gather(batch->importance, 0, QN_SUPERBLOCK_LEN, s->w);
    for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
        largest = greatest(load(s->w[e]), largest);
    }
    choose_units(largest, &unit, &inverse);
    for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
        store(s->w[e], load(s->w[e]) * unit + 0x1p-40F);
    }
}

/* Of an octet with an odd number of minus signs, one magnitude turns negative: that of the least weight. */
static int_lanes make_even(iq2_blocks *s, int octet, int_lanes signs) {
    int_lanes parity = signs ^ signs >> 4;
    lanes least_cost = all(INFINITY);
    int_lanes flipped = {0};
    parity ^= parity >> 2;
    const int_lanes is_odd = -((parity ^ parity >> 1) & 1);
    for (int t = 0; t < 8; t++) {
        const lanes cost = load(s->w[8 * octet + t]) * load(s->x[8 * octet + t]);
        const int_lanes is_less = cost < least_cost;
        least_cost = least(cost, least_cost);
        flipped = blend_ints(is_less, (int_lanes){0} + (1 << t), flipped);
    }
    flipped &= is_odd;
    for (int t = 0; t < 8; t++) {
        const int_lanes sign = (flipped << (31 - t)) & INT32_MIN;
        store(s->x[8 * octet + t], (lanes)((int_lanes)load(s->x[8 * octet + t]) ^ sign));
    }
    return signs ^ flipped;
}

static void gather_blocks(const lane_batch *batch, iq2_blocks *s) {
    lanes largest = all(0.0F);
    gather(batch->x, 0, QN_SUPERBLOCK_LEN, s->x);
    gather_weights(batch, s);
    for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
        largest = greatest(magnitude(load(s->x[e])), largest);
    }
    choose_units(largest, &s->unit, &s->inverse_unit);
    for (int octet = 0; octet < N_OCTETS; octet++) {
        int_lanes signs = {0};
        for (int t = 0; t < 8; t++) {
            const lanes v = load(s->x[8 * octet + t]);
            signs |= (v < 0.0F) & (1 << t);
            store(s->x[8 * octet + t], magnitude(v) * s->unit);
        }
        s->signs[octet] = s->type->is_even ? make_even(s, octet, signs) : signs;
    }
}

/* ---- Scales ---- */

/* Sum of w·(x - scale·level)² / scale², every element at the level nearest to it. */
LANE_FN lanes free_error(int n, const lane_row *x, const lane_row *w, lanes inverse) {
    lanes error = all(0.0F);
    for (int e = 0; e < n; e++) {
        const lanes v = inverse * load(x[e]);
        const lanes diff = least(magnitude(v - LEVEL_0), least(magnitude(v - LEVEL_1), magnitude(v - LEVEL_2)));
        error += load(w[e]) * diff * diff;
    }
    return error;
}

/* The magnitude of a level: 8, 25, 43. */
LANE_FN lanes level_value(int_lanes level) {
    return __builtin_convertvector(8 + 17 * level + (level >> 1), lanes);
}

/* Least squares for a scale, every element at the level nearest to it under another scale. */
static void refit_free_scale(int n, const lane_row *x, const lane_row *w, lanes *scale, lanes *precision) {
    const lanes inverse = 1.0F / *scale;
    lanes a = all(0.0F);
    lanes b = all(0.0F);
    for (int e = 0; e < n; e++) {
        const lanes v = inverse * load(x[e]);
        const lanes low = blend(v > 0.5F * (LEVEL_0 + LEVEL_1), all(LEVEL_1), all(LEVEL_0));
        const lanes level = blend(v > 0.5F * (LEVEL_1 + LEVEL_2), all(LEVEL_2), low);
        a += load(w[e]) * level * load(x[e]);
        b += load(w[e]) * level * level;
    }
    *precision = b;
    *scale = greatest(a / b, all(0.0F));
}

/* Scales tried, over the root of the mean square: from FIRST_TRY on, each TRY_STEP times the one before. */
enum { N_TRIES = 8 };
#define FIRST_TRY 0.03F
#define TRY_STEP 1.13F

/* The scale with the least error when every element is free to take any level: the best of a row, then refitted. */
static lanes free_scale(int n, const lane_row *x, const lane_row *w, lanes *precision) {
    lanes squares = all(0.0F);
    lanes weights = all(0.0F);
    lanes best = all(0.0F);
    lanes least_error = all(INFINITY);
    for (int e = 0; e < n; e++) {
        squares += load(w[e]) * load(x[e]) * load(x[e]);
        weights += load(w[e]);
    }
    lanes scale = square_root(squares / weights) * FIRST_TRY;
    for (int i = 0; i < N_TRIES; i++) {
        const lanes error = free_error(n, x, w, 1.0F / scale) * scale * scale;
        const int_lanes is_less = error < least_error;
        least_error = least(error, least_error);
        best = blend(is_less, scale, best);
        scale *= TRY_STEP;
    }
    refit_free_scale(n, x, w, &best, precision);
    return best;
}

/* Free scales of all groups. */
static void free_scales(iq2_blocks *s) {
    const int n = 8 * s->type->n_octets;
    for (int g = 0; g < QN_SUPERBLOCK_LEN / n; g++) {
        s->scales[g] = free_scale(n, s->x + g * n, s->w + g * n, &s->precisions[g]);
    }
}

/* ---- Codewords ---- */

/* Costs of the levels of an octet under a scale. Returns the cost of the codeword of zeros. */
LANE_FN lanes cost_levels(const lane_row *x, const lane_row *w, lanes scale, octet_costs *costs) {
    lanes base = all(0.0F);
    for (int t = 0; t < 8; t++) {
        const lanes twice = 2.0F * load(x[t]);
        const lanes weight = load(w[t]) * scale;
        const lanes diff = load(x[t]) - LEVEL_0 * scale;
        base += load(w[t]) * diff * diff;
        costs->over[t][0] = (LEVEL_1 - LEVEL_0) * weight * ((LEVEL_1 + LEVEL_0) * scale - twice);
        costs->over[t][1] = (LEVEL_2 - LEVEL_0) * weight * ((LEVEL_2 + LEVEL_0) * scale - twice);
    }
    return base;
}

/* As cost_levels() with all signs right, and what it costs to change one, where one must change. */
LANE_FN lanes cost_flips(const lane_row *signed_x, const lane_row *w, lanes scale, octet_costs *costs) {
    _Alignas(64) lane_row x[8];
    int_lanes changed = {0};
    for (int t = 0; t < 8; t++) {
        changed |= (int_lanes)load(signed_x[t]);
        store(x[t], magnitude(load(signed_x[t])));
    }
    const int_lanes is_odd = changed < 0;
    for (int t = 0; t < 8; t++) {
        const lanes step = (lanes)((int_lanes)(4.0F * load(w[t]) * scale * load(x[t])) & is_odd);
        costs->flip[t][0] = LEVEL_0 * step;
        costs->flip[t][1] = LEVEL_1 * step;
        costs->flip[t][2] = LEVEL_2 * step;
    }
    return cost_levels((const lane_row *)x, w, scale, costs);
}

/* Best codewords of octets [first, first + SIDE_BY_SIDE) under their scales; costs are sums of w·(decoded - x)². */
static void find_words(const iq2_blocks *s, bool has_flips, int first, const lanes scales[SIDE_BY_SIDE],
                       octet_choice choices[SIDE_BY_SIDE]) {
    octet_costs costs[SIDE_BY_SIDE];
    lanes base[SIDE_BY_SIDE];
    for (int o = 0; o < SIDE_BY_SIDE; o++) {
        const lane_row *x = s->x + 8 * (first + o);
        const lane_row *w = s->w + 8 * (first + o);
        base[o] = has_flips ? cost_flips(x, w, scales[o], &costs[o]) : cost_levels(x, w, scales[o], &costs[o]);
    }
    if (has_flips) {
        search_flipped_grid(s->walk, costs, choices);
    } else {
        search_grid(s->walk, costs, choices);
    }
    for (int o = 0; o < SIDE_BY_SIDE; o++) {
        choices[o].cost += base[o];
    }
}

/* Of an octet that must have a sign changed, the change that costs least under the levels chosen. */
static void choose_flip(iq2_blocks *s, int octet) {
    lane_row *x = s->x + 8 * octet;
    int_lanes was_changed = {0};
    int_lanes change = {0};
    lanes least_cost = all(INFINITY);
    for (int t = 0; t < 8; t++) {
        const lanes v = load(x[t]);
        const lanes level = level_value((s->now.words[octet] >> (2 * t)) & 3);
        const lanes cost = load(s->w[8 * octet + t]) * magnitude(v) * level;
        was_changed |= ((int_lanes)v < 0) & (1 << t);
        change = blend_ints(cost < least_cost, (int_lanes){0} + (1 << t), change);
        least_cost = least(cost, least_cost);
    }
    change &= was_changed != 0;
    s->signs[octet] ^= was_changed ^ change;
    for (int t = 0; t < 8; t++) {
        const int_lanes sign = (change << (31 - t)) & INT32_MIN;
        store(x[t], (lanes)((int_lanes)magnitude(load(x[t])) | sign));
    }
}

/* Takes codewords, with the signs that suit them. */
static void take_words(iq2_blocks *s, int first, const octet_choice choices[SIDE_BY_SIDE]) {
    for (int o = 0; o < SIDE_BY_SIDE; o++) {
        s->now.words[first + o] = choices[o].word;
        if (s->type->is_even) {
            choose_flip(s, first + o);
        }
    }
}

/* a = sum of w·x·level, b = sum of w·level² over n octets. */
static void sum_levels(const iq2_blocks *s, int first, int n, lanes *a, lanes *b) {
    *a = all(0.0F);
    *b = all(0.0F);
    for (int o = first; o < first + n; o++) {
        for (int t = 0; t < 8; t++) {
            const lanes level = level_value((s->now.words[o] >> (2 * t)) & 3);
            const lanes weighted = load(s->w[8 * o + t]) * level;
            *a += weighted * load(s->x[8 * o + t]);
            *b += weighted * level;
        }
    }
}

/* Chooses codewords for the groups' scales, and by them the scales anew. */
static void refit_scales(iq2_blocks *s, bool has_flips) {
    for (int first = 0; first < N_OCTETS; first += SIDE_BY_SIDE) {
        lanes scales[SIDE_BY_SIDE];
        octet_choice choices[SIDE_BY_SIDE];
        for (int o = 0; o < SIDE_BY_SIDE; o++) {
            scales[o] = s->scales[(first + o) / s->type->n_octets];
        }
        find_words(s, has_flips, first, scales, choices);
        take_words(s, first, choices);
        for (int o = first; o < first + SIDE_BY_SIDE; o += s->type->n_octets) {
            lanes a;
            const int g = o / s->type->n_octets;
            sum_levels(s, o, s->type->n_octets, &a, &s->precisions[g]);
            s->scales[g] = greatest(a / s->precisions[g], all(0.0F));
        }
    }
}

/* ---- The superblock's scale ---- */

/* The scale by which a group with a code decodes, over d. */
LANE_FN lanes decoded_scale(lanes code) {
    return (0.5F + code) * 0.25F;
}

/* The code whose scale is nearest. */
LANE_FN lanes nearest_code(lanes scale, lanes d) {
    return nearest_within(4.0F * scale / d - 0.5F, 0.0F, (float)TOP_CODE);
}

/* Rounds the superblock's scale to f16, finite. */
LANE_FN void round_d(iq2_blocks *s, lanes d) {
    s->now.d_bits = half_bits(least(d * s->inverse_unit, all(65504.0F)));
    s->now.d = half_values(s->now.d_bits) * s->unit;
}

/* A d and the codes next to the groups' scales under it. */
static void code_scales(iq2_blocks *s, lanes d) {
    round_d(s, d);
    for (int g = 0; g < N_OCTETS / s->type->n_octets; g++) {
        s->now.codes[g] = nearest_code(s->scales[g], s->now.d);
    }
}

enum { N_D_TRIES = 16 };

/* The d under which the scales are off by least when they are rounded to codes: the largest has code 12 to 15. */
static lanes choose_d(const iq2_blocks *s) {
    const int n_groups = N_OCTETS / s->type->n_octets;
    lanes largest = all(0.0F);
    lanes best = all(0.0F);
    lanes least_error = all(INFINITY);
    for (int g = 0; g < n_groups; g++) {
        largest = greatest(s->scales[g], largest);
    }
    for (int i = 0; i < N_D_TRIES; i++) {
        const lanes d = largest / ((15.75F - 0.25F * (float)i) * 0.25F);
        lanes error = all(0.0F);
        for (int g = 0; g < n_groups; g++) {
            const lanes diff = s->scales[g] - d * decoded_scale(nearest_code(s->scales[g], d));
            error += s->precisions[g] * diff * diff;
        }
        const int_lanes is_less = error < least_error;
        least_error = least(error, least_error);
        best = blend(is_less, d, best);
    }
    return best;
}

/* d by least squares, codewords and codes as they are; with that, the error. */
static void refit_d(iq2_blocks *s) {
    lanes sum_a = all(0.0F);
    lanes sum_b = all(0.0F);
    lanes squares = all(0.0F);
    for (int g = 0; g < N_OCTETS / s->type->n_octets; g++) {
        lanes a;
        lanes b;
        const lanes scale = decoded_scale(s->now.codes[g]);
        sum_levels(s, g * s->type->n_octets, s->type->n_octets, &a, &b);
        sum_a += scale * a;
        sum_b += scale * scale * b;
    }
    for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
        squares += load(s->w[e]) * load(s->x[e]) * load(s->x[e]);
    }
    round_d(s, greatest(sum_a / sum_b, all(0.0F)));
    s->now.error = squares - s->now.d * (2.0F * sum_a - s->now.d * sum_b);
}

/* ---- The searches ---- */

/* Chooses codewords with the scales as they are decoded, and d by them. */
static void choose_words(iq2_blocks *s, bool has_flips) {
    for (int first = 0; first < N_OCTETS; first += SIDE_BY_SIDE) {
        lanes scales[SIDE_BY_SIDE];
        octet_choice choices[SIDE_BY_SIDE];
        for (int o = 0; o < SIDE_BY_SIDE; o++) {
            scales[o] = s->now.d * decoded_scale(s->now.codes[(first + o) / s->type->n_octets]);
        }
        find_words(s, has_flips, first, scales, choices);
        take_words(s, first, choices);
    }
    refit_d(s);
}

/* Chooses codes, of those up to radius away, together with codewords; for octets [first, first + SIDE_BY_SIDE). */
static void choose_codes(iq2_blocks *s, int radius, int first) {
    const int n_groups = SIDE_BY_SIDE / s->type->n_octets;
    lanes *codes = s->now.codes + first / s->type->n_octets;
    octet_choice best[SIDE_BY_SIDE];
    lanes old[SIDE_BY_SIDE];
    lanes least_error[SIDE_BY_SIDE];
    for (int g = 0; g < n_groups; g++) {
        old[g] = codes[g];
        least_error[g] = all(INFINITY);
    }
    for (int o = 0; o < SIDE_BY_SIDE; o++) {
        best[o].word = s->now.words[first + o];
    }
    for (int step = -radius; step <= radius; step++) {
        lanes tried[SIDE_BY_SIDE];
        lanes scales[SIDE_BY_SIDE];
        octet_choice choices[SIDE_BY_SIDE];
        for (int o = 0; o < SIDE_BY_SIDE; o++) {
            const int g = o / s->type->n_octets;
            tried[g] = least(greatest(old[g] + (float)step, all(0.0F)), all((float)TOP_CODE));
            scales[o] = s->now.d * decoded_scale(tried[g]);
        }
        find_words(s, s->type->is_even, first, scales, choices);
        for (int g = 0; g < n_groups; g++) {
            lanes error = all(0.0F);
            for (int k = g * s->type->n_octets; k < (g + 1) * s->type->n_octets; k++) {
                error += choices[k].cost;
            }
            const int_lanes is_less = error < least_error[g];
            least_error[g] = least(error, least_error[g]);
            codes[g] = blend(is_less, tried[g], codes[g]);
            for (int k = g * s->type->n_octets; k < (g + 1) * s->type->n_octets; k++) {
                best[k].word = blend_ints(is_less, choices[k].word, best[k].word);
            }
        }
    }
    take_words(s, first, best);
}

/* Keeps the better of two solutions in each lane. */
static void keep_better(const iq2_solution *now, iq2_solution *best) {
    const int_lanes is_less = now->error < best->error;
    for (int o = 0; o < N_OCTETS; o++) {
        best->words[o] = blend_ints(is_less, now->words[o], best->words[o]);
    }
    for (int g = 0; g < MAX_GROUPS; g++) {
        best->codes[g] = blend(is_less, now->codes[g], best->codes[g]);
    }
    best->d = blend(is_less, now->d, best->d);
    best->d_bits = blend_ints(is_less, now->d_bits, best->d_bits);
    best->error = least(now->error, best->error);
}

/* One round of the best effort. */
static void improve(iq2_blocks *s, int radius, iq2_solution *best) {
    for (int first = 0; first < N_OCTETS; first += SIDE_BY_SIDE) {
        choose_codes(s, radius, first);
    }
    refit_d(s);
    keep_better(&s->now, best);
}

static void search_fast(iq2_blocks *s) {
    free_scales(s);
    code_scales(s, choose_d(s));
    choose_words(s, false);
}

static void search_normal(iq2_blocks *s) {
    free_scales(s);
    refit_scales(s, false);
    code_scales(s, choose_d(s));
    choose_words(s, s->type->is_even);
}

static void search_best(iq2_blocks *s) {
    static const float starts[] = {1.0F, 0.97F, 1.03F};
    static const int radii[] = {2, 2, 1};
    iq2_solution best;
    search_normal(s);
    best = s->now;
    refit_scales(s, s->type->is_even);
    const lanes d = choose_d(s);
    for (size_t i = 0; i < sizeof starts / sizeof starts[0]; i++) {
        code_scales(s, d * starts[i]);
        improve(s, 3, &best);
    }
    for (size_t i = 0; i < sizeof radii / sizeof radii[0]; i++) {
        s->now = best;
        improve(s, radii[i], &best);
    }
    s->now = best;
    for (int o = 0; s->type->is_even && o < N_OCTETS; o++) {
        choose_flip(s, o);
    }
}

/* ---- Packing ---- */

/* Words of four indices and of four 7-bit sign masks with a code on top. */
static void pack_iq2_xxs(const iq2_blocks *s, size_t lane, unsigned char *dst) {
    for (size_t g = 0; g < N_OCTETS / 4; g++) {
        uint32_t words[2] = {0, (uint32_t)s->now.codes[g][lane] << 28};
        for (size_t o = 0; o < 4; o++) {
            words[0] |= index_of(s->walk, (uint32_t)s->now.words[4 * g + o][lane]) << (8 * o);
            words[1] |= ((uint32_t)s->signs[4 * g + o][lane] & 127U) << (7 * o);
        }
        memcpy(dst + offsetof(qn_block_iq2_xxs, qs) + 8 * g, words, sizeof words);
    }
}

/* 8 bytes of two scale codes each. */
static void pack_codes(const iq2_blocks *s, size_t lane, unsigned char *dst) {
    for (size_t i = 0; i < MAX_GROUPS / 2; i++) {
        dst[i] = (unsigned char)((unsigned)s->now.codes[2 * i][lane] | (unsigned)s->now.codes[2 * i + 1][lane] << 4);
    }
}

/* 16 bits an octet: 9 of an index, 7 of signs. */
static void pack_iq2_xs(const iq2_blocks *s, size_t lane, unsigned char *dst) {
    for (size_t o = 0; o < N_OCTETS; o++) {
        const uint32_t index = index_of(s->walk, (uint32_t)s->now.words[o][lane]);
        const uint16_t q = (uint16_t)(index | ((uint32_t)s->signs[o][lane] & 127U) << 9);
        memcpy(dst + offsetof(qn_block_iq2_xs, qs) + 2 * o, &q, sizeof q);
    }
    pack_codes(s, lane, dst + offsetof(qn_block_iq2_xs, scales));
}

/* Low 8 bits of indices, signs, high 2 bits of four indices a byte. */
static void pack_iq2_s(const iq2_blocks *s, size_t lane, unsigned char *dst) {
    unsigned char *high = dst + offsetof(qn_block_iq2_s, qh);
    memset(high, 0, N_OCTETS / 4);
    for (size_t o = 0; o < N_OCTETS; o++) {
        const uint32_t index = index_of(s->walk, (uint32_t)s->now.words[o][lane]);
        dst[offsetof(qn_block_iq2_s, qs) + o] = (unsigned char)(index & 0xFF);
        dst[offsetof(qn_block_iq2_s, signs) + o] = (unsigned char)s->signs[o][lane];
        high[o / 4] |= (unsigned char)(index >> 8 << (2 * (o % 4)));
    }
    pack_codes(s, lane, dst + offsetof(qn_block_iq2_s, scales));
}

static const iq2_type iq2_xxs = {qn_grid_iq2_xxs, 256, 4, true, sizeof(qn_block_iq2_xxs), pack_iq2_xxs};
static const iq2_type iq2_xs = {qn_grid_iq2_xs, 512, 2, true, sizeof(qn_block_iq2_xs), pack_iq2_xs};
static const iq2_type iq2_s = {qn_grid_iq2_s, 1024, 2, false, sizeof(qn_block_iq2_s), pack_iq2_s};

/* ---- Tasks ---- */

/* What the batches of a task have in common. */
typedef struct iq2_job {
    const iq2_type *type;
    void (*search)(iq2_blocks *s);
    octet_walk walk;
} iq2_job;

static void iq2_batch(const lane_batch *batch) {
    const iq2_job *job = batch->context;
    iq2_blocks s;
    s.type = job->type;
    s.walk = &job->walk;
    memset(&s.now, 0, sizeof s.now);
    gather_blocks(batch, &s);
    job->search(&s);
    for (size_t lane = 0; lane < N_LANES; lane++) {
        const uint16_t d = (uint16_t)s.now.d_bits[lane];
        if (d == 0) {
            memset(batch->dst[lane], 0, s.type->block_bytes);
        } else {
            memcpy(batch->dst[lane], &d, sizeof d);
            s.type->pack(&s, lane, batch->dst[lane]);
        }
    }
}

static void run_iq2(const qn_encode_task *task, const iq2_type *type, void (*search)(iq2_blocks *s)) {
    iq2_job job = {.type = type, .search = search};
    plan_walk(type->words, type->n_words, &job.walk);
    run_batches_with(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, type->block_bytes, NULL, &job, iq2_batch);
}

static void encode_iq2_xxs_fast(const qn_encode_task *task) {
    run_iq2(task, &iq2_xxs, search_fast);
}

static void encode_iq2_xxs_normal(const qn_encode_task *task) {
    run_iq2(task, &iq2_xxs, search_normal);
}

static void encode_iq2_xxs_best(const qn_encode_task *task) {
    run_iq2(task, &iq2_xxs, search_best);
}

static void encode_iq2_xs_fast(const qn_encode_task *task) {
    run_iq2(task, &iq2_xs, search_fast);
}

static void encode_iq2_xs_normal(const qn_encode_task *task) {
    run_iq2(task, &iq2_xs, search_normal);
}

static void encode_iq2_xs_best(const qn_encode_task *task) {
    run_iq2(task, &iq2_xs, search_best);
}

static void encode_iq2_s_fast(const qn_encode_task *task) {
    run_iq2(task, &iq2_s, search_fast);
}

static void encode_iq2_s_normal(const qn_encode_task *task) {
    run_iq2(task, &iq2_s, search_normal);
}

static void encode_iq2_s_best(const qn_encode_task *task) {
    run_iq2(task, &iq2_s, search_best);
}

#endif
