/* SPDX-License-Identifier: MIT */
/*
 * grid_search.h: the best codeword of a grid of octets, by trying all of them, each lane its own octet.
 *
 * The cost of a codeword is a sum over its elements. So the costs of the 81 quads that the low half of a codeword can
 * be are summed up once; a grid is sorted, so codewords that share their high half follow each other, and a codeword
 * costs one minimum over a quad's row, each high half one comparison more. No table but the grid is needed, and no
 * lane looks anything up by its own index, which makes the search exact and as quick as one among neighbours.
 */
#ifndef QUERN_DTYPE_GRID_SEARCH_H
#define QUERN_DTYPE_GRID_SEARCH_H

#include "dtype/grids.h"
#include "dtype/lanes.h"

#include <math.h>

enum {
    SIDE_BY_SIDE = 4, /**< octets that go through the grid together */
    N_PAIRS = 9,      /**< of 3 levels; a pair is numbered low + 3·high, a quad low + 9·high */
    N_QUADS = 81,
    MAX_OCTET_WORDS = 2048,
    QUAD_MASK = 0xFF /**< low bits of a quad's cost, which hold its levels instead */
};

/** Codewords that share their high quad. */
typedef struct octet_run {
    uint8_t high;    /**< that quad, packed */
    uint8_t pair[2]; /**< numbers of its pairs */
    uint8_t length;
} octet_run;

/** A sorted grid of octets with levels 0..2, as a search goes through it: runs of codewords with one high quad. */
typedef struct octet_walk {
    const uint16_t *words;
    uint32_t n_words;
    uint32_t n_runs;
    octet_run runs[N_QUADS];      /**< shorter ones first, so that a processor foresees where they end */
    uint8_t low[MAX_OCTET_WORDS]; /**< numbers of the low quads, run by run */
} octet_walk;

/** What the levels of an octet's elements cost: of element t, level l more than level 0: over[t][l - 1]. */
typedef struct octet_costs {
    lanes over[8][2];
    lanes flip[8][3]; /**< what the other sign costs more, at each level; 0 in lanes that keep their signs */
} octet_costs;

/** The codeword found, and its cost over that of the codeword of zeros. */
typedef struct octet_choice {
    lanes cost;
    int_lanes word;
} octet_choice;

/** Costs of parts of an octet: of its four pairs, and of its low quad with its levels as the lowest bits. */
typedef struct octet_parts {
    _Alignas(64) lane_row pair[SIDE_BY_SIDE][4][N_PAIRS];
    _Alignas(64) lane_row quad[N_QUADS][SIDE_BY_SIDE];
} octet_parts;

/** Pairs as they are packed, by their numbers. */
static const uint8_t pair_levels[N_PAIRS] = {0x0, 0x1, 0x2, 0x4, 0x5, 0x6, 0x8, 0x9, 0xA};

/** As select_lanes(), for masks that a comparison gave. */
LANE_FN int_lanes blend_ints(int_lanes mask, int_lanes if_set, int_lanes if_clear) {
#if defined(__AVX2__) && !defined(__AVX512F__)
    return (int_lanes)_mm256_blendv_epi8((__m256i)if_clear, (__m256i)if_set, (__m256i)mask);
#else
    return (mask & if_set) | (~mask & if_clear);
#endif
}

LANE_FN lanes blend(int_lanes mask, lanes if_set, lanes if_clear) {
    return (lanes)blend_ints(mask, (int_lanes)if_set, (int_lanes)if_clear);
}

/* The number of a pair whose levels are the low bits of a codeword. */
static inline uint8_t pair_number(uint32_t word) {
    return (uint8_t)((word & 3U) + 3U * ((word >> 2) & 3U));
}

/* Appends the run of codewords [first, end) to the walk. */
static inline void add_run(octet_walk *walk, uint32_t first, uint32_t end, uint32_t *n_low) {
    const uint32_t high = walk->words[first] >> 8;
    walk->runs[walk->n_runs++] = (octet_run){
        (uint8_t)high, {pair_number(high), pair_number(high >> 4)}, (uint8_t)(end - first)};
    for (uint32_t i = first; i < end; i++) {
        const uint32_t word = walk->words[i];
        walk->low[(*n_low)++] = (uint8_t)(pair_number(word) + N_PAIRS * pair_number(word >> 4));
    }
}

/** Prepares the walk through a sorted grid of at most MAX_OCTET_WORDS codewords. */
static inline void plan_walk(const uint16_t *words, uint32_t n_words, octet_walk *walk) {
    uint32_t firsts[N_QUADS + 1];
    uint32_t n_runs = 0;
    uint32_t n_low = 0;
    for (uint32_t i = 0; i < n_words; i++) {
        if (i == 0 || words[i] >> 8 != words[i - 1] >> 8) {
            firsts[n_runs++] = i;
        }
    }
    firsts[n_runs] = n_words;
    *walk = (octet_walk){.words = words, .n_words = n_words};
    for (uint32_t length = 1; n_low < n_words; length++) {
        for (uint32_t r = 0; r < n_runs; r++) {
            if (firsts[r + 1] - firsts[r] == length) {
                add_run(walk, firsts[r], firsts[r + 1], &n_low);
            }
        }
    }
}

/** Where a codeword of the grid stands in it. The number of codewords is a power of two. */
static inline uint32_t index_of(const octet_walk *walk, uint32_t word) {
    uint32_t first = 0;
    for (uint32_t half = walk->n_words / 2; half > 0; half /= 2) {
        first += walk->words[first + half] <= word ? half : 0;
    }
    return first;
}

LANE_FN void sum_pairs(const octet_costs *costs, lane_row pair[4][N_PAIRS]) {
    for (int p = 0; p < 4; p++) {
        const lanes low[3] = {all(0.0F), costs->over[2 * p][0], costs->over[2 * p][1]};
        const lanes high[3] = {all(0.0F), costs->over[2 * p + 1][0], costs->over[2 * p + 1][1]};
        for (int i = 0; i < N_PAIRS; i++) {
            store(pair[p][i], low[i % 3] + high[i / 3]);
        }
    }
}

/* The pairs once more, with the sign changed of whichever element of each that costs less for. */
LANE_FN void sum_flipped_pairs(const octet_costs *costs, lane_row kept[4][N_PAIRS], lane_row flipped[4][N_PAIRS]) {
    for (int p = 0; p < 4; p++) {
        for (int i = 0; i < N_PAIRS; i++) {
            const lanes flip = least(costs->flip[2 * p][i % 3], costs->flip[2 * p + 1][i / 3]);
            store(flipped[p][i], load(kept[p][i]) + flip);
        }
    }
}

/* A quad's cost, right to 16 bits, with its levels as the 8 lowest. */
LANE_FN lanes mark(lanes cost, int_lanes levels) {
    return (lanes)(((int_lanes)cost & ~QUAD_MASK) | levels);
}

/* Costs of the low quads; of flipped ones too where parts has two members. */
LANE_FN void sum_quads(octet_parts *parts, bool has_flips) {
    for (int j = 0; j < N_PAIRS; j++) {
        for (int i = 0; i < N_PAIRS; i++) {
            const int_lanes levels = (int_lanes){0} + (pair_levels[i] | pair_levels[j] << 4);
            for (int o = 0; o < SIDE_BY_SIDE; o++) {
                const lanes low = load(parts->pair[o][0][i]);
                const lanes high = load(parts->pair[o][1][j]);
                store(parts->quad[i + N_PAIRS * j][o], mark(low + high, levels));
                if (has_flips) {
                    const lanes flipped = least(low + load(parts[1].pair[o][1][j]),
                                                load(parts[1].pair[o][0][i]) + high);
                    store(parts[1].quad[i + N_PAIRS * j][o], mark(flipped, levels));
                }
            }
        }
    }
}

/* The cheapest of a run's codewords, and of those found before it. */
LANE_FN void end_run(const octet_parts *parts, int o, const octet_run *run, lanes low, lanes flipped_low,
                     bool has_flips, octet_choice *choice) {
    const lanes third = load(parts->pair[o][2][run->pair[0]]);
    const lanes fourth = load(parts->pair[o][3][run->pair[1]]);
    lanes cost = low + (third + fourth);
    if (has_flips) {
        const lanes flipped = least(load(parts[1].pair[o][2][run->pair[0]]) + fourth,
                                    third + load(parts[1].pair[o][3][run->pair[1]]));
        const lanes high_cost = low + flipped;
        const lanes low_cost = flipped_low + (third + fourth);
        low = blend(high_cost < low_cost, low, flipped_low);
        cost = least(high_cost, low_cost);
    }
    const int_lanes is_less = cost < choice->cost;
    choice->cost = least(cost, choice->cost);
    choice->word = blend_ints(is_less, (int_lanes)low << 8 | (int32_t)run->high, choice->word);
}

/* Goes through the grid; parts are one, or two with flips. */
LANE_FN void walk_grid(const octet_walk *walk, const octet_parts *parts, bool has_flips,
                       octet_choice choices[SIDE_BY_SIDE]) {
    const uint8_t *next = walk->low;
    octet_choice best[SIDE_BY_SIDE];
    for (int o = 0; o < SIDE_BY_SIDE; o++) {
        best[o] = (octet_choice){all(INFINITY), {0}};
    }
    for (uint32_t r = 0; r < walk->n_runs; r++) {
        const uint8_t *const end = next + walk->runs[r].length;
        lanes low[SIDE_BY_SIDE];
        lanes flipped[SIDE_BY_SIDE];
        for (int o = 0; o < SIDE_BY_SIDE; o++) {
            low[o] = load(parts->quad[*next][o]);
            flipped[o] = has_flips ? load(parts[1].quad[*next][o]) : low[o];
        }
        while (++next < end) {
            for (int o = 0; o < SIDE_BY_SIDE; o++) {
                low[o] = least(low[o], load(parts->quad[*next][o]));
                flipped[o] = has_flips ? least(flipped[o], load(parts[1].quad[*next][o])) : low[o];
            }
        }
        for (int o = 0; o < SIDE_BY_SIDE; o++) {
            end_run(parts, o, &walk->runs[r], low[o], flipped[o], has_flips, &best[o]);
        }
    }
    for (int o = 0; o < SIDE_BY_SIDE; o++) {
        choices[o].cost = best[o].cost;
        choices[o].word = (best[o].word & QUAD_MASK) << 8 | ((best[o].word >> 8) & QUAD_MASK);
    }
}

/** The cheapest codeword of each octet; low quads within 2^-15 of each other count as alike. Flips are not read. */
static __attribute__((noinline)) void search_grid(const octet_walk *walk, const octet_costs costs[SIDE_BY_SIDE],
                                                  octet_choice choices[SIDE_BY_SIDE]) {
    octet_parts parts;
    for (int o = 0; o < SIDE_BY_SIDE; o++) {
        sum_pairs(&costs[o], parts.pair[o]);
    }
    sum_quads(&parts, false);
    walk_grid(walk, &parts, false, choices);
}

/** The cheapest codeword of each octet of which one element changes its sign: whichever costs least with the levels. */
static __attribute__((noinline)) void search_flipped_grid(const octet_walk *walk, const octet_costs costs[SIDE_BY_SIDE],
                                                          octet_choice choices[SIDE_BY_SIDE]) {
    octet_parts parts[2];
    for (int o = 0; o < SIDE_BY_SIDE; o++) {
        sum_pairs(&costs[o], parts[0].pair[o]);
        sum_flipped_pairs(&costs[o], parts[0].pair[o], parts[1].pair[o]);
    }
    sum_quads(parts, true);
    walk_grid(walk, parts, true, choices);
}

#endif
