/* SPDX-License-Identifier: MIT */
/*
 * iq3_lanes.h: encoders of IQ3_XXS and IQ3_S, N_LANES superblocks of 256 at a time, one superblock a lane.
 *
 * Both decode to ±d·(2s + 1)·level, with s = 0..15 for each group of 32, levels 1, 3, ..., 13 and 15 (IQ3_XXS: 15.5),
 * quads of levels from a grid, and in IQ3_XXS an even number of minus signs an octet. The error made small is the sum
 * of importance·(decoded - x)². The search: from the size of its elements a scale is guessed for each group, and by
 * the largest guess the unit d. Around the guess a few codes s are tried, each with the best codeword of the whole grid
 * for every quad (quad_lanes.h); the least error stays. Then d is fitted to the codewords by least squares and rounded
 * to f16, and the codewords are chosen again. Where an octet of IQ3_XXS has an odd number of minus signs, the element
 * that costs least is fitted as if its sign were the other. The best effort starts from several units, tries more
 * codes, and finds the cheapest sign by trying all eight.
 *
 * Elements are divided by the superblock's largest, importance too: sums neither overflow nor vanish.
 */
#ifndef QUERN_DTYPE_IQ3_LANES_H
#define QUERN_DTYPE_IQ3_LANES_H

#include "dtype/blocks.h"
#include "dtype/quad_lanes.h"

enum {
    GROUP_LEN = 32,
    GROUP_QUADS = GROUP_LEN / QUAD_LEN,
    N_GROUPS = QN_SUPERBLOCK_LEN / GROUP_LEN,
    N_QUADS = QN_SUPERBLOCK_LEN / QUAD_LEN,
    OCTET_LEN = 8,
    MAX_TRIES = 16,
    SIGN_BIT = INT32_MIN
};

#define MAX_SCALE_CODE 15.0F
#define MAX_HALF 65504.0F

/** The search over codewords is one function a type, which all efforts share. */
#define LANE_CALL static __attribute__((noinline))

typedef lanes quad_error_fn(const lane_row *y, const lane_row *w, lanes scale, int n_quads);
typedef void quad_choice_fn(const lane_row *y, const lane_row *w, lanes scale, int_lanes *codewords);

/** What tells the two types apart. */
typedef struct quad_type {
    quad_grid grid;
    quad_error_fn *error;   /**< least_quad_errors() */
    quad_choice_fn *choose; /**< best_codewords() of a group */
    bool has_parity;        /**< octets have an even number of minus signs */
    float flat_level;       /**< a level that the grid has four times over */
} quad_type;

/** How long to search. */
typedef struct quad_search {
    int n_starts;  /**< units to start from: starts[k] times the one by which the largest guess is the highest code */
    int n_rounds;  /**< times that scale codes are chosen and d is fitted, from each start */
    int n_tries;   /**< codes for each group: those nearest to tries[k] times what was guessed, then found */
    bool is_exact; /**< an octet's wrong sign is found by trying all, and the best d of all rounds is kept */
    bool is_rechosen; /**< codewords are chosen once more after the last d */
    float starts[MAX_TRIES];
    float tries[MAX_TRIES];
} quad_search;

/** A batch of superblocks on its way. */
typedef struct quad_blocks {
    _Alignas(64) lane_row x[QN_SUPERBLOCK_LEN];
    _Alignas(64) lane_row y[QN_SUPERBLOCK_LEN]; /**< |x| / largest, with a sign bit where parity flips x */
    _Alignas(64) lane_row w[QN_SUPERBLOCK_LEN];
    _Alignas(64) lane_row guesses[N_GROUPS];
    _Alignas(64) lane_row scale_codes[N_GROUPS]; /**< integers, as floats */
    int_lanes codewords[N_QUADS];
    lanes largest;       /**< of |x|; 1 where all are 0 */
    lanes unit;          /**< d / largest as it will be decoded */
    int_lanes unit_bits; /**< the f16 scale */
} quad_blocks;

/* ---- The superblocks' elements and weights ---- */

/* Importance relative to its largest; never quite 0, so that columns without any still come near. */
LANE_FN void load_weights(const lane_batch *batch, lane_row *w) {
    lanes largest = all(0.0F);
    if (!batch->has_importance) {
        for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
            store(w[e], all(1.0F));
        }
        return;
    }
    gather(batch->importance, 0, QN_SUPERBLOCK_LEN, w);
    for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
        largest = greatest(load(w[e]), largest);
    }
    largest = select_lanes(largest > 0.0F, largest, all(1.0F));
    for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
        store(w[e], load(w[e]) / largest + 1e-8F);
    }
}

LANE_FN void load_blocks(const lane_batch *batch, quad_blocks *s) {
    gather(batch->x, 0, QN_SUPERBLOCK_LEN, s->x);
    s->largest = all(0.0F);
    for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
        s->largest = greatest(magnitude(load(s->x[e])), s->largest);
    }
    s->largest = select_lanes(s->largest > 0.0F, s->largest, all(1.0F));
    for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
        store(s->y[e], magnitude(load(s->x[e])) / s->largest);
    }
    load_weights(batch, s->w);
}

/* Where x is negative. */
LANE_FN int_lanes minus_mask(const quad_blocks *s, int e) {
    return load(s->x[e]) < 0.0F;
}

/* ---- Signs of IQ3_XXS ---- */

/* In each octet with an odd number of minus signs the cheapest element, and no other, has the sign bit of y. */
LANE_FN void flip_cheapest(quad_blocks *s, int octet, const lanes *costs) {
    lanes least_cost = all(INFINITY);
    int_lanes cheapest = {0};
    int_lanes is_odd = {0};
    for (int t = 0; t < OCTET_LEN; t++) {
        const int_lanes is_less = costs[t] < least_cost;
        least_cost = select_lanes(is_less, costs[t], least_cost);
        cheapest = (is_less & t) | (~is_less & cheapest);
        is_odd ^= minus_mask(s, OCTET_LEN * octet + t);
    }
    for (int t = 0; t < OCTET_LEN; t++) {
        float *y = s->y[OCTET_LEN * octet + t];
        store(y, (lanes)((int_lanes)magnitude(load(y)) | ((cheapest == t) & is_odd & SIGN_BIT)));
    }
}

/* Before there are codewords: what is lost between the lowest level, with the wrong sign, and the nearest. */
LANE_FN void guess_signs(quad_blocks *s, int group) {
    const lanes scale = load(s->guesses[group]);
    for (int octet = 4 * group; octet < 4 * group + 4; octet++) {
        lanes costs[OCTET_LEN];
        for (int t = 0; t < OCTET_LEN; t++) {
            const lanes y = load(s->y[OCTET_LEN * octet + t]);
            costs[t] = load(s->w[OCTET_LEN * octet + t]) * y * greatest(4.0F * scale, y + 2.0F * scale);
        }
        flip_cheapest(s, octet, costs);
    }
}

/* With the codewords chosen: a wrong sign costs 4·w·y·scale·level. */
LANE_FN void improve_signs(const quad_type *type, quad_blocks *s, int group) {
    for (int octet = 4 * group; octet < 4 * group + 4; octet++) {
        lanes costs[OCTET_LEN];
        for (int t = 0; t < OCTET_LEN; t++) {
            const int e = OCTET_LEN * octet + t;
            const lanes level = quad_value(&type->grid, s->codewords[e / QUAD_LEN], t % QUAD_LEN);
            costs[t] = load(s->w[e]) * magnitude(load(s->y[e])) * level;
        }
        flip_cheapest(s, octet, costs);
    }
}

/* The error of the quad of each element of an octet as it is with that element's sign wrong, against without. */
LANE_FN void try_signs(const quad_type *type, quad_blocks *s, int group, lanes scale) {
    for (int octet = 4 * group; octet < 4 * group + 4; octet++) {
        lanes costs[OCTET_LEN];
        for (int q = 2 * octet; q < 2 * octet + 2; q++) {
            lane_row *y = s->y + QUAD_LEN * q;
            const lane_row *w = s->w + QUAD_LEN * q;
            for (int t = 0; t < QUAD_LEN; t++) {
                store(y[t], magnitude(load(y[t])));
            }
            const lanes right = type->error(y, w, scale, 1);
            for (int t = 0; t < QUAD_LEN; t++) {
                store(y[t], -load(y[t]));
                costs[QUAD_LEN * (q % 2) + t] = type->error(y, w, scale, 1) - right;
                store(y[t], -load(y[t]));
            }
        }
        flip_cheapest(s, octet, costs);
    }
}

/* ---- Scales ---- */

LANE_FN lanes group_scale(const quad_blocks *s, int group) {
    return s->unit * (2.0F * load(s->scale_codes[group]) + 1.0F);
}

/* Sets d as the f16 nearest to a wish in units of the largest element. */
LANE_FN void round_unit(quad_blocks *s, lanes wish) {
    s->unit_bits = half_bits(least(wish * s->largest, all(MAX_HALF)));
    s->unit = half_values(s->unit_bits) / s->largest;
}

/*
 * The scale a group of bell-shaped weights comes out with, within some 13%: by its largest element and by the fourth
 * root of the mean of w·y⁴. Superblocks of one size throughout are not: few codewords have four equal levels. Returns
 * the largest.
 */
LANE_FN lanes guess_scales(const quad_type *type, quad_blocks *s) {
    lanes top = all(0.0F);
    lanes smallest = all(1.0F);
    for (int g = 0; g < N_GROUPS; g++) {
        lanes largest = all(0.0F);
        lanes sum = all(0.0F);
        lanes weights = all(0.0F);
        for (int e = GROUP_LEN * g; e < GROUP_LEN * (g + 1); e++) {
            const lanes y = load(s->y[e]);
            largest = greatest(y, largest);
            smallest = least(y, smallest);
            sum += load(s->w[e]) * (y * y) * (y * y);
            weights += load(s->w[e]);
        }
        const lanes guess = 0.045F * largest + 0.033F * square_root(square_root(sum / weights));
        store(s->guesses[g], guess);
        top = greatest(guess, top);
    }
    const int_lanes is_flat = smallest > 0.75F;
    const lanes flat_guess = (0.5F * smallest + 0.5F) / type->flat_level;
    for (int g = 0; g < N_GROUPS; g++) {
        store(s->guesses[g], select_lanes(is_flat, flat_guess, load(s->guesses[g])));
    }
    return select_lanes(is_flat, flat_guess, top);
}

/* For each group the code, of those near its guess, that has the least error. Returns the sum of the errors. */
LANE_FN lanes choose_scales(const quad_type *type, const quad_search *how, quad_blocks *s) {
    lanes sum = all(0.0F);
    for (int g = 0; g < N_GROUPS; g++) {
        lanes least_error = all(INFINITY);
        lanes chosen = all(0.0F);
        for (int k = 0; k < how->n_tries; k++) {
            const lanes ratio = how->tries[k] * load(s->guesses[g]) / s->unit;
            const lanes code = nearest_within(0.5F * (ratio - 1.0F), 0.0F, MAX_SCALE_CODE);
            const lanes scale = s->unit * (2.0F * code + 1.0F);
            const lanes error = type->error(s->y + GROUP_LEN * g, s->w + GROUP_LEN * g, scale, GROUP_QUADS);
            const int_lanes is_less = error < least_error;
            least_error = select_lanes(is_less, error, least_error);
            chosen = select_lanes(is_less, code, chosen);
        }
        store(s->scale_codes[g], chosen);
        sum += least_error;
    }
    return sum;
}

LANE_FN void choose_group_codewords(const quad_type *type, const quad_search *how, quad_blocks *s, int group) {
    const int first = GROUP_LEN * group;
    const lanes scale = group_scale(s, group);
    if (type->has_parity && how->is_exact) {
        try_signs(type, s, group, scale);
    }
    type->choose(s->y + first, s->w + first, scale, s->codewords + GROUP_QUADS * group);
}

/* Chooses all codewords and, where it matters, signs; fits d to them. */
LANE_FN void fit_unit(const quad_type *type, const quad_search *how, quad_blocks *s) {
    lanes a = all(0.0F);
    lanes b = all(0.0F);
    for (int g = 0; g < N_GROUPS; g++) {
        const lanes steps = 2.0F * load(s->scale_codes[g]) + 1.0F;
        choose_group_codewords(type, how, s, g);
        if (type->has_parity && !how->is_exact) {
            improve_signs(type, s, g);
        }
        for (int e = GROUP_LEN * g; e < GROUP_LEN * (g + 1); e++) {
            const lanes value = steps * quad_value(&type->grid, s->codewords[e / QUAD_LEN], e % QUAD_LEN);
            const lanes weighted = load(s->w[e]) * value;
            a += weighted * load(s->y[e]);
            b += weighted * value;
        }
        store(s->guesses[g], group_scale(s, g));
    }
    round_unit(s, greatest(a / b, all(0.0F)));
}

/* ---- The search ---- */

/** The best d and scale codes of all rounds so far. */
typedef struct quad_record {
    lanes error;
    lanes unit;
    int_lanes unit_bits;
    lanes scale_codes[N_GROUPS];
} quad_record;

LANE_FN void keep_if_better(const quad_blocks *s, lanes error, quad_record *best) {
    const int_lanes is_better = error < best->error;
    best->error = select_lanes(is_better, error, best->error);
    best->unit = select_lanes(is_better, s->unit, best->unit);
    best->unit_bits = (is_better & s->unit_bits) | (~is_better & best->unit_bits);
    for (int g = 0; g < N_GROUPS; g++) {
        best->scale_codes[g] = select_lanes(is_better, load(s->scale_codes[g]), best->scale_codes[g]);
    }
}

LANE_FN void restore(const quad_record *best, quad_blocks *s) {
    s->unit = best->unit;
    s->unit_bits = best->unit_bits;
    for (int g = 0; g < N_GROUPS; g++) {
        store(s->scale_codes[g], best->scale_codes[g]);
    }
}

LANE_FN void encode_quads(const quad_type *type, const quad_search *how, quad_blocks *s) {
    const lanes top = guess_scales(type, s) / (2.0F * MAX_SCALE_CODE + 1.0F);
    quad_record best = {.error = all(INFINITY)};
    for (int g = 0; type->has_parity && g < N_GROUPS; g++) {
        guess_signs(s, g);
    }
    for (int start = 0; start < how->n_starts; start++) {
        round_unit(s, how->starts[start] * top);
        for (int round = 0; round < how->n_rounds; round++) {
            const lanes error = choose_scales(type, how, s);
            if (how->is_exact) {
                keep_if_better(s, error, &best);
            }
            fit_unit(type, how, s);
        }
    }
    if (how->is_exact) {
        restore(&best, s);
    }
    for (int g = 0; how->is_rechosen && g < N_GROUPS; g++) {
        choose_group_codewords(type, how, s, g);
    }
}

/* ---- Out ---- */

/* Numbers of all codewords in their grid. */
LANE_FN void number_codewords(const quad_type *type, const quad_blocks *s, int_lanes *numbers) {
    uint16_t number_of[1 << QUAD_BITS];
    for (int i = 0; i < type->grid.n; i++) {
        number_of[type->grid.codewords[i]] = (uint16_t)i;
    }
    for (int q = 0; q < N_QUADS; q++) {
        for (int l = 0; l < N_LANES; l++) {
            numbers[q][l] = number_of[s->codewords[q][l]];
        }
    }
}

LANE_FN int_lanes scale_code(const quad_blocks *s, int group) {
    return truncate_lanes(load(s->scale_codes[group]));
}

/* n signs from element e on as bits, 1 for minus. A flipped 0 is -0. */
LANE_FN int_lanes sign_bits(const quad_blocks *s, int e, int n) {
    int_lanes bits = {0};
    for (int t = 0; t < n; t++) {
        const int_lanes is_flipped = (int_lanes)load(s->y[e + t]) < 0;
        bits |= (minus_mask(s, e + t) ^ is_flipped) & (int32_t)(1U << t);
    }
    return bits;
}

/* Words 0..15: the low bytes of the numbers of all quads. */
LANE_FN void pack_numbers(const int_lanes *numbers, int_lanes *words) {
    for (int i = 0; i < N_QUADS / 4; i++) {
        words[i] = word_of(numbers[4 * i] & 255, numbers[4 * i + 1] & 255, numbers[4 * i + 2] & 255,
                           numbers[4 * i + 3] & 255);
    }
}

LANE_FN void write_iq3_xxs(const lane_batch *batch, const quad_type *type, const quad_blocks *s) {
    int_lanes numbers[N_QUADS];
    int_lanes words[N_QUADS / 4 + N_GROUPS];
    number_codewords(type, s, numbers);
    pack_numbers(numbers, words);
    for (int g = 0; g < N_GROUPS; g++) {
        int_lanes word = scale_code(s, g) << 28;
        for (int o = 0; o < 4; o++) {
            word |= sign_bits(s, GROUP_LEN * g + OCTET_LEN * o, OCTET_LEN - 1) << (7 * o);
        }
        words[N_QUADS / 4 + g] = word;
    }
    scatter_half(batch, offsetof(qn_block_iq3_xxs, d), s->unit_bits);
    scatter_words(batch, offsetof(qn_block_iq3_xxs, qs), words, N_QUADS / 4 + N_GROUPS);
}

LANE_FN void write_iq3_s(const lane_batch *batch, const quad_type *type, const quad_blocks *s) {
    enum { HIGH = N_QUADS / 4, SIGNS = HIGH + 2, SCALES = SIGNS + N_GROUPS, N_WORDS };
    int_lanes numbers[N_QUADS];
    int_lanes words[N_WORDS] = {{0}};
    number_codewords(type, s, numbers);
    pack_numbers(numbers, words);
    for (int q = 0; q < N_QUADS; q++) {
        words[HIGH + q / 32] |= (numbers[q] >> 8) << (q % 32);
    }
    for (int g = 0; g < N_GROUPS; g++) {
        words[SIGNS + g] = sign_bits(s, GROUP_LEN * g, GROUP_LEN);
        words[SCALES] |= scale_code(s, g) << (4 * g);
    }
    scatter_half(batch, offsetof(qn_block_iq3_s, d), s->unit_bits);
    scatter_words(batch, offsetof(qn_block_iq3_s, qs), words, N_WORDS);
}

/* ---- Types and efforts ---- */

static const uint16_t iq3_xxs_codewords[] = {QN_CODEWORDS_IQ3_XXS(QN_CODEWORD)};
static const uint16_t iq3_s_codewords[] = {QN_CODEWORDS_IQ3_S(QN_CODEWORD)};

#define IQ3_XXS_GRID \
    { iq3_xxs_codewords, 256, 15.5F }
#define IQ3_S_GRID \
    { iq3_s_codewords, 512, 15.0F }

LANE_CALL lanes iq3_xxs_error(const lane_row *y, const lane_row *w, lanes scale, int n_quads) {
    static const quad_grid grid = IQ3_XXS_GRID;
    return least_quad_errors(&grid, y, w, scale, n_quads);
}

LANE_CALL lanes iq3_s_error(const lane_row *y, const lane_row *w, lanes scale, int n_quads) {
    static const quad_grid grid = IQ3_S_GRID;
    return least_quad_errors(&grid, y, w, scale, n_quads);
}

LANE_CALL void iq3_xxs_choose(const lane_row *y, const lane_row *w, lanes scale, int_lanes *codewords) {
    static const quad_grid grid = IQ3_XXS_GRID;
    best_codewords(&grid, y, w, scale, GROUP_QUADS, codewords);
}

LANE_CALL void iq3_s_choose(const lane_row *y, const lane_row *w, lanes scale, int_lanes *codewords) {
    static const quad_grid grid = IQ3_S_GRID;
    best_codewords(&grid, y, w, scale, GROUP_QUADS, codewords);
}

static const quad_type iq3_xxs_type = {IQ3_XXS_GRID, iq3_xxs_error, iq3_xxs_choose, true, 7.0F};
static const quad_type iq3_s_type = {IQ3_S_GRID, iq3_s_error, iq3_s_choose, false, 1.0F};

/* The grid of IQ3_S takes twice as long to search: where time counts, it is searched less often. */
static const quad_search iq3_fast = {1, 1, 2, false, false, {1.12F}, {0.93F, 1.07F}};
static const quad_search iq3_xxs_normal = {1, 1, 4, false, true, {1.12F}, {0.83F, 0.94F, 1.06F, 1.18F}};
static const quad_search iq3_s_normal = {1, 1, 3, false, true, {1.12F}, {0.86F, 1.0F, 1.15F}};
static const quad_search iq3_best = {
    .n_starts = 4,
    .n_rounds = 2,
    .n_tries = 13,
    .is_exact = true,
    .is_rechosen = true,
    .starts = {1.12F, 1.0F, 1.06F, 1.19F},
    .tries = {0.7F, 0.75F, 0.8F, 0.85F, 0.9F, 0.95F, 1.0F, 1.06F, 1.12F, 1.19F, 1.26F, 1.33F, 1.4F},
};

/* Defines encode_<name>, which encodes a task as one type with one search. */
#define DEFINE_QUAD_ENCODER(name, type, search)                                                             \
    static void name##_batch(const lane_batch *batch) {                                                     \
        quad_blocks s;                                                                                      \
        load_blocks(batch, &s);                                                                             \
        encode_quads(&type##_type, &(search), &s);                                                          \
        write_##type(batch, &type##_type, &s);                                                              \
    }                                                                                                       \
    static void encode_##name(const qn_encode_task *task) {                                                 \
        run_batches(task, 0, task->n_rows, QN_SUPERBLOCK_LEN, sizeof(qn_block_##type), NULL, name##_batch); \
    }

DEFINE_QUAD_ENCODER(iq3_xxs_fast, iq3_xxs, iq3_fast)
DEFINE_QUAD_ENCODER(iq3_xxs_normal, iq3_xxs, iq3_xxs_normal)
DEFINE_QUAD_ENCODER(iq3_xxs_best, iq3_xxs, iq3_best)
DEFINE_QUAD_ENCODER(iq3_s_fast, iq3_s, iq3_fast)
DEFINE_QUAD_ENCODER(iq3_s_normal, iq3_s, iq3_s_normal)
DEFINE_QUAD_ENCODER(iq3_s_best, iq3_s, iq3_best)

#endif
