/* SPDX-License-Identifier: MIT */
/*
 * quad_lanes.h: the best codeword of a quad, over the whole grid, N_LANES quads at a time. For IQ3_XXS and IQ3_S.
 *
 * The 64 errors that a quad's first two elements can have together, one for each pair of levels, are computed once.
 * Grids are sorted, so that codewords which differ in that pair alone are neighbours: of such a run only the pair with
 * the least error matters, and only to it are the errors of the third and the fourth element added. The search is thus
 * one minimum a codeword. Codewords are constants of the loop, which unrolls into instructions without an index.
 */
#ifndef QUERN_DTYPE_QUAD_LANES_H
#define QUERN_DTYPE_QUAD_LANES_H

#include "dtype/lanes.h"
#include "dtype/quad_codewords.h"

#include <math.h>

enum {
    QUAD_LEN = 4,
    N_QUAD_LEVELS = 8,
    N_PAIRS = N_QUAD_LEVELS * N_QUAD_LEVELS,
    /* of a packed codeword: */
    LEVEL_BITS = 3,
    PAIR_BITS = 2 * LEVEL_BITS,
    TRIPLE_BITS = 3 * LEVEL_BITS,
    QUAD_BITS = 4 * LEVEL_BITS
};

/* Instrumented, unrolled loops take minutes to compile. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define UNROLL_ALL
#elif defined(__clang__)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define UNROLL_ALL
#else
#define UNROLL_ALL _Pragma("clang loop unroll(full)")
#endif
#else
#define UNROLL_ALL _Pragma("GCC unroll 512")
#endif

/** A grid. Level l stands for 2l + 1 times the scale of a group, but the highest. */
typedef struct quad_grid {
    const uint16_t *codewords; /**< packed, ascending */
    int n;
    float top_level;
} quad_grid;

/** The errors w·(y - level)² of one element. */
LANE_FN void level_errors(const lane_row y, const lane_row w, const lanes *levels, lanes *errors) {
    for (int l = 0; l < N_QUAD_LEVELS; l++) {
        const lanes diff = load(y) - levels[l];
        errors[l] = load(w) * diff * diff;
    }
}

LANE_FN int_lanes all_ints(int value) {
    return value - (int_lanes){0};
}

/* Puts a number into the lowest bits of an error, so that a minimum of errors brings it along. */
LANE_FN lanes numbered(lanes error, int_lanes number, int n_bits) {
    return (lanes)(((int_lanes)error & all_ints(-(1 << n_bits))) | number);
}

/* As numbered(): the number of another error, of n_bits, with one more level above it. */
LANE_FN lanes renumbered(lanes error, lanes from, int n_bits, int level) {
    const int_lanes number = ((int_lanes)from & all_ints((1 << n_bits) - 1)) | all_ints(level << n_bits);
    return numbered(error, number, n_bits + LEVEL_BITS);
}

/* Whether codeword i is the first of those that agree from a bit on, and whether it is the last. */
LANE_FN bool begins_run(const quad_grid *grid, int i, int bit) {
    return i == 0 || grid->codewords[i - 1] >> bit != grid->codewords[i] >> bit;
}

LANE_FN bool ends_run(const quad_grid *grid, int i, int bit) {
    return i == grid->n - 1 || begins_run(grid, i + 1, bit);
}

/*
 * The least error of a quad at these levels. Numbered, it has the packed codeword in its lowest 12 bits, and of two
 * codewords whose errors agree to 2^-11 either may be found.
 */
LANE_FN lanes search_quad(const quad_grid *grid, const lane_row *y, const lane_row *w, const lanes *levels,
                          bool is_numbered) {
    _Alignas(64) lane_row pairs[N_PAIRS];
    lanes errors[QUAD_LEN][N_QUAD_LEVELS];
    for (int t = 0; t < QUAD_LEN; t++) {
        level_errors(y[t], w[t], levels, errors[t]);
    }
    for (int second = 0; second < N_QUAD_LEVELS; second++) {
        for (int first = 0; first < N_QUAD_LEVELS; first++) {
            const int pair = N_QUAD_LEVELS * second + first;
            const lanes error = errors[0][first] + errors[1][second];
            store(pairs[pair], is_numbered ? numbered(error, all_ints(pair), PAIR_BITS) : error);
        }
    }
    lanes best = all(INFINITY);
    lanes of_triple = best;
    lanes of_pair = best;
    UNROLL_ALL
    for (int i = 0; i < grid->n; i++) {
        const int codeword = grid->codewords[i];
        const lanes pair = load(pairs[codeword & (N_PAIRS - 1)]);
        of_pair = begins_run(grid, i, PAIR_BITS) ? pair : least(of_pair, pair);
        if (ends_run(grid, i, PAIR_BITS)) {
            const int third = (codeword >> PAIR_BITS) & (N_QUAD_LEVELS - 1);
            const lanes error = of_pair + errors[2][third];
            const lanes triple = is_numbered ? renumbered(error, of_pair, PAIR_BITS, third) : error;
            of_triple = least(triple, of_triple);
        }
        if (ends_run(grid, i, TRIPLE_BITS)) {
            const int fourth = codeword >> TRIPLE_BITS;
            const lanes error = of_triple + errors[3][fourth];
            best = least(is_numbered ? renumbered(error, of_triple, TRIPLE_BITS, fourth) : error, best);
            of_triple = all(INFINITY);
        }
    }
    return best;
}

LANE_FN void scaled_levels(const quad_grid *grid, lanes scale, lanes *levels) {
    for (int l = 0; l < N_QUAD_LEVELS; l++) {
        levels[l] = scale * (l < N_QUAD_LEVELS - 1 ? (float)(2 * l + 1) : grid->top_level);
    }
}

/** The least error that n_quads quads can have, together. */
LANE_FN lanes least_quad_errors(const quad_grid *grid, const lane_row *y, const lane_row *w, lanes scale, int n_quads) {
    lanes levels[N_QUAD_LEVELS];
    lanes sum = all(0.0F);
    scaled_levels(grid, scale, levels);
    for (int q = 0; q < n_quads; q++) {
        sum += search_quad(grid, y + QUAD_LEN * q, w + QUAD_LEN * q, levels, false);
    }
    return sum;
}

/** The packed codewords of n_quads quads. */
LANE_FN void best_codewords(const quad_grid *grid, const lane_row *y, const lane_row *w, lanes scale, int n_quads,
                            int_lanes *found) {
    lanes levels[N_QUAD_LEVELS];
    scaled_levels(grid, scale, levels);
    for (int q = 0; q < n_quads; q++) {
        const lanes best = search_quad(grid, y + QUAD_LEN * q, w + QUAD_LEN * q, levels, true);
        found[q] = (int_lanes)best & all_ints((1 << QUAD_BITS) - 1);
    }
}

/** What element t of a quad with this codeword stands for, in units of its scale. */
LANE_FN lanes quad_value(const quad_grid *grid, int_lanes codeword, int t) {
    const int_lanes level = (codeword >> (3 * t)) & (N_QUAD_LEVELS - 1);
    const lanes odd = __builtin_convertvector(2 * level + 1, lanes);
    return select_lanes(level == N_QUAD_LEVELS - 1, all(grid->top_level), odd);
}

#endif
