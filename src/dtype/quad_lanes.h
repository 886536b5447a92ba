/* SPDX-License-Identifier: MIT */
/*
 * quad_lanes.h: the best codeword of a quad, over the whole grid, N_LANES quads at a time. For IQ3_XXS and IQ3_S.
 *
 * A quad's error at a scale is a sum of two halves: 64 errors that its first two elements can have, one for each pair
 * of levels, and 64 of the last two. Grids are sorted, so that codewords with the same second half are neighbours, a
 * row: of a row only the least first half matters. The search is thus one minimum a codeword and one addition a row.
 * Codewords are constants of the loops, which unroll into instructions without an index.
 */
#ifndef QUERN_DTYPE_QUAD_LANES_H
#define QUERN_DTYPE_QUAD_LANES_H

#include "dtype/lanes.h"
#include "dtype/quad_codewords.h"

#include <math.h>

enum { QUAD_LEN = 4, N_QUAD_LEVELS = 8, N_PAIRS = N_QUAD_LEVELS * N_QUAD_LEVELS };

/** A pair of levels is the low or the high half of a packed codeword. */
enum { PAIR_BITS = 6, PAIR_MASK = N_PAIRS - 1, CODEWORD_MASK = N_PAIRS * N_PAIRS - 1 };

#if defined(__clang__)
#define UNROLL_ALL _Pragma("clang loop unroll(full)")
#else
#define UNROLL_ALL _Pragma("GCC unroll 512")
#endif

/** A grid. Level l stands for 2l + 1 times the scale of a group, but the highest. */
typedef struct quad_grid {
    const uint16_t *codewords; /**< packed, ascending */
    int n;
    float top_level;
} quad_grid;

/** The errors of a quad's halves, by their pair of levels. */
typedef struct half_errors {
    _Alignas(64) lane_row first[N_PAIRS];
    _Alignas(64) lane_row second[N_PAIRS];
} half_errors;

LANE_FN void scaled_levels(const quad_grid *grid, lanes scale, lanes *levels) {
    for (int l = 0; l < N_QUAD_LEVELS; l++) {
        levels[l] = scale * (l < N_QUAD_LEVELS - 1 ? (float)(2 * l + 1) : grid->top_level);
    }
}

/** Errors w·(y - level)² of two elements together, for all pairs of levels. */
LANE_FN void pair_errors(const lane_row *y, const lane_row *w, const lanes *levels, lane_row *errors) {
    lanes low[N_QUAD_LEVELS];
    for (int l = 0; l < N_QUAD_LEVELS; l++) {
        const lanes diff = load(y[0]) - levels[l];
        low[l] = load(w[0]) * diff * diff;
    }
    for (int h = 0; h < N_QUAD_LEVELS; h++) {
        const lanes diff = load(y[1]) - levels[h];
        const lanes high = load(w[1]) * diff * diff;
        for (int l = 0; l < N_QUAD_LEVELS; l++) {
            store(errors[N_QUAD_LEVELS * h + l], low[l] + high);
        }
    }
}

LANE_FN void quad_errors(const lane_row *y, const lane_row *w, const lanes *levels, half_errors *errors) {
    pair_errors(y, w, levels, errors->first);
    pair_errors(y + 2, w + 2, levels, errors->second);
}

/* Whether codeword i is the first, or the last, of its row. */
LANE_FN bool begins_row(const quad_grid *grid, int i) {
    return i == 0 || grid->codewords[i - 1] >> PAIR_BITS != grid->codewords[i] >> PAIR_BITS;
}

LANE_FN bool ends_row(const quad_grid *grid, int i) {
    return i == grid->n - 1 || begins_row(grid, i + 1);
}

/** The least error that n_quads quads can have, together. */
LANE_FN lanes least_quad_errors(const quad_grid *grid, const lane_row *y, const lane_row *w, lanes scale, int n_quads) {
    half_errors errors;
    lanes levels[N_QUAD_LEVELS];
    lanes sum = all(0.0F);
    scaled_levels(grid, scale, levels);
    for (int q = 0; q < n_quads; q++) {
        lanes best = all(INFINITY);
        lanes row = best;
        quad_errors(y + QUAD_LEN * q, w + QUAD_LEN * q, levels, &errors);
        UNROLL_ALL
        for (int i = 0; i < grid->n; i++) {
            const lanes first = load(errors.first[grid->codewords[i] & PAIR_MASK]);
            row = begins_row(grid, i) ? first : least(first, row);
            if (ends_row(grid, i)) {
                best = least(row + load(errors.second[grid->codewords[i] >> PAIR_BITS]), best);
            }
        }
        sum += best;
    }
    return sum;
}

/*
 * Puts each first half's number into the lowest bits of its error, so that a minimum of errors brings it along. What is
 * lost is less than 2^-17 of it.
 */
LANE_FN void number_first_halves(half_errors *errors) {
    for (int h = 0; h < N_PAIRS; h++) {
        store(errors->first[h], (lanes)(((int_lanes)load(errors->first[h]) & ~PAIR_MASK) | h));
    }
}

/** The packed codewords of n_quads quads. Two whose errors agree to 2^-11 may stand for each other. */
LANE_FN void best_codewords(const quad_grid *grid, const lane_row *y, const lane_row *w, lanes scale, int n_quads,
                            int_lanes *found) {
    half_errors errors;
    lanes levels[N_QUAD_LEVELS];
    scaled_levels(grid, scale, levels);
    for (int q = 0; q < n_quads; q++) {
        lanes best = all(INFINITY);
        lanes row = best;
        quad_errors(y + QUAD_LEN * q, w + QUAD_LEN * q, levels, &errors);
        number_first_halves(&errors);
        UNROLL_ALL
        for (int i = 0; i < grid->n; i++) {
            const lanes first = load(errors.first[grid->codewords[i] & PAIR_MASK]);
            row = begins_row(grid, i) ? first : least(first, row);
            if (ends_row(grid, i)) {
                const int second = grid->codewords[i] >> PAIR_BITS;
                const int_lanes error = (int_lanes)(row + load(errors.second[second])) & ~CODEWORD_MASK;
                const int_lanes codeword = ((int_lanes)row & PAIR_MASK) | second << PAIR_BITS;
                best = least((lanes)(error | codeword), best);
            }
        }
        found[q] = (int_lanes)best & CODEWORD_MASK;
    }
}

/** What element t of a quad with this codeword stands for, in units of its scale. */
LANE_FN lanes quad_value(const quad_grid *grid, int_lanes codeword, int t) {
    const int_lanes level = (codeword >> (3 * t)) & (N_QUAD_LEVELS - 1);
    const lanes odd = __builtin_convertvector(2 * level + 1, lanes);
    return select_lanes(level == N_QUAD_LEVELS - 1, all(grid->top_level), odd);
}

#endif
