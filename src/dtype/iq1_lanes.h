/* SPDX-License-Identifier: MIT */
/*
 * iq1_lanes.h: encoders of IQ1_S and IQ1_M, N_LANES superblocks of 256 at a time, one superblock a lane.
 *
 * A superblock has one scale d. Each group of it (32 elements of IQ1_S, 16 of IQ1_M) multiplies d by 1, 3, ..., 15;
 * each octet is a codeword, levels -1, 0, 1 moved by +1/8 or -1/8, the same way in a whole group of IQ1_S. What is made
 * small is the sum of importance * (decoded - x)², with the values as they will be decoded. For some d, guessed from
 * the loudest group, a survey rounds all elements to the nearest level for every multiplier and both shifts, as if all
 * octets were codewords; the d whose groups do best together is kept. In each group the best of the survey are then
 * tried in earnest: an octet that is no codeword takes the cheapest step of one level that leads to one, or two steps,
 * one of them among the cheapest of all (ternary_map.h tells where codewords are). Then d is fitted by least squares to
 * what was chosen. Best effort goes this way to the end from every d and its negative, twice, the second time with the
 * fitted d, keeps the best of all, and ends with the choice among all 2048 codewords for each octet.
 *
 * Elements are kept as y = root·x, root being the square root of the importance, so that costs are plain squares.
 */
#ifndef QUERN_DTYPE_IQ1_LANES_H
#define QUERN_DTYPE_IQ1_LANES_H

#include "dtype/blocks.h"
#include "dtype/lanes.h"
#include "dtype/ternary_map.h"

#include <float.h>

enum {
    OCTET_LEN = 8,
    N_OCTETS = QN_SUPERBLOCK_LEN / OCTET_LEN,
    MAX_GROUPS = 16,
    MAX_GROUP_OCTETS = 4,
    N_CANDIDATES = 2, /**< kept by a survey */
    SURVEYED = 4,     /**< multipliers surveyed at once, as many as registers hold */
    MAX_STARTS = 4,
};

/** Levels are moved by this, up or down. */
#define SHIFT 0.125F
/** The largest multiplier. */
#define TOP_MULTIPLIER 15.0F
#define HALF_MAX 65504.0F

/** Room for one integer a lane. */
typedef int32_t int_row[N_LANES];

/** What tells the two types apart. */
typedef struct iq1_layout {
    int group_octets;
    bool has_octet_shifts; /**< each octet has a shift of its own, not each group */
} iq1_layout;

/** How hard to search. */
typedef struct iq1_search {
    float starts[MAX_STARTS]; /**< d's to begin with, times the loudest group's root mean square / TOP_MULTIPLIER */
    int n_starts;
    int n_tries;  /**< of a survey's candidates, for each group */
    int n_bases;  /**< an octet's candidates are one step from it, and one from its n_bases - 1 cheapest neighbours */
    int n_rounds; /**< choices for each start, one with the d fitted to the other; 0: only the best survey's, once */
    int n_exact;  /**< final choices among all codewords */
} iq1_search;

/** What a batch of superblocks is encoded as. */
typedef struct iq1_choice {
    _Alignas(64) lane_row multipliers[MAX_GROUPS];
    _Alignas(64) lane_row shifts[N_OCTETS];
    _Alignas(64) int_row points[N_OCTETS]; /**< as ternary_map.h numbers them; a codeword, or stands for its nearest */
    lanes d;                               /**< the scale fitted to them; any f16, in the superblock's unit */
    lanes gain;                            /**< by how much they make the cost smaller than zeros would */
} iq1_choice;

/** A batch of superblocks on its way. */
typedef struct iq1_blocks {
    const qn_ternary_map *map;
    _Alignas(64) lane_row y[QN_SUPERBLOCK_LEN];    /**< root · x · unit */
    _Alignas(64) lane_row root[QN_SUPERBLOCK_LEN]; /**< square root of the importance, whose mean is made 1 */
    lanes unit;                                    /**< the power of two that brings the largest |x| near 1 */
    iq1_choice best;
} iq1_blocks;

/* ---- lanes of integers ---- */

LANE_FN int_lanes load_ints(const int32_t *row) {
    int_lanes v;
    memcpy(&v, row, sizeof v);
    return v;
}

LANE_FN void store_ints(int32_t *row, int_lanes v) {
    memcpy(row, &v, sizeof v);
}

LANE_FN int_lanes all_ints(int value) {
    return value - (int_lanes){0};
}

LANE_FN int_lanes select_ints(int_lanes mask, int_lanes if_set, int_lanes if_clear) {
    return (mask & if_set) | (~mask & if_clear);
}

LANE_FN int_lanes look_up(const uint32_t *table, int_lanes index) {
#if defined(__AVX512F__)
    return (int_lanes)_mm512_i32gather_epi32((__m512i)index, table, 4);
#elif defined(__AVX2__)
    return (int_lanes)_mm256_i32gather_epi32((const int *)table, (__m256i)index, 4);
#else
    int_lanes found = {0};
    for (int l = 0; l < N_LANES; l++) {
        found[l] = (int32_t)table[index[l]];
    }
    return found;
#endif
}

/* ---- octets ---- */

/** An octet that was made a codeword; its cost is in units of the square of its scale. */
typedef struct octet_fit {
    int_lanes point;
    lanes cost;
} octet_fit;

/** An octet's nearest levels, and for each element the cheapest step to another. */
typedef struct octet_steps {
    octet_fit nearest;
    lanes cost[OCTET_LEN];     /**< what the step adds */
    int_lanes step[OCTET_LEN]; /**< what it adds to the point */
    int_lanes bit[OCTET_LEN];  /**< of a map's entry: whether it leads to a codeword */
    lanes far;                 /**< more than any step from a level costs that is worth it */
} octet_steps;

/* A level's step is towards the value where that lies inside, and inwards where it lies outside. */
LANE_FN void round_octet(const lane_row *y, const lane_row *root, lanes inverse, lanes shift, octet_steps *o) {
    static const int powers[OCTET_LEN] = {1, 3, 9, 27, 81, 243, 729, 2187};
    o->nearest.point = all_ints(QN_TERNARY_CENTRE);
    o->nearest.cost = all(0.0F);
    o->far = all(0.0F);
    for (int t = 0; t < OCTET_LEN; t++) {
        const lanes r = load(root[t]);
        const lanes v = inverse * load(y[t]) - shift * r;
        const lanes size = magnitude(v);
        const int_lanes is_negative = (int_lanes)v >> 31;
        const int_lanes is_one = size > 0.5F * r;
        const lanes left = size - (lanes)((int_lanes)r & is_one);
        const int_lanes is_down = is_negative ^ is_one;
        const int32_t lowered = 1 << (2 * t);
        o->nearest.point += ((powers[t] & is_one) ^ is_negative) - is_negative;
        o->nearest.cost += left * left;
        o->cost[t] = r * (r + 2.0F * select_lanes(is_one, left, -left));
        o->step[t] = (powers[t] ^ is_down) - is_down;
        o->bit[t] = lowered + (~is_down & lowered);
        o->far += r * r;
    }
}

/* The cheapest step, which is then taken out. */
LANE_FN int_lanes take_cheapest(octet_steps *o, lanes *cost) {
    int_lanes step = {0};
    *cost = all(FLT_MAX);
    for (int t = 0; t < OCTET_LEN; t++) {
        const int_lanes is_cheaper = o->cost[t] < *cost;
        *cost = select_lanes(is_cheaper, o->cost[t], *cost);
        step = select_ints(is_cheaper, o->step[t], step);
    }
    for (int t = 0; t < OCTET_LEN; t++) {
        o->cost[t] = select_lanes(o->cost[t] <= *cost, all(FLT_MAX), o->cost[t]);
    }
    return step;
}

/**
 * An octet by steps from its nearest levels: none where they are a codeword, else the cheapest one, or two of which
 * one is among the n_bases - 1 cheapest. Where none leads to a codeword, the point stands for the map's nearest.
 */
static __attribute__((noinline)) octet_fit snap_octet(const qn_ternary_map *map, const lane_row *y,
                                                      const lane_row *root, lanes inverse, lanes shift, int n_bases) {
    octet_steps steps;
    round_octet(y, root, inverse, shift, &steps);
    octet_fit fit = steps.nearest;
    int_lanes base = fit.point;
    int_lanes around = look_up(map->at, base);
    lanes base_cost = all(0.0F);
    lanes added = (lanes)((int_lanes)steps.far & ((around & QN_TERNARY_ON_GRID) == 0));
    for (int b = 1;; b++) {
        for (int t = 0; t < OCTET_LEN; t++) {
            const lanes cost = base_cost + steps.cost[t];
            const int_lanes is_better = ((around & steps.bit[t]) != 0) & (cost < added);
            added = select_lanes(is_better, cost, added);
            fit.point = select_ints(is_better, base + steps.step[t], fit.point);
        }
        if (b == n_bases) {
            break;
        }
        base = steps.nearest.point + take_cheapest(&steps, &base_cost);
        around = look_up(map->at, base);
    }
    fit.cost += added;
    return fit;
}

/* Costs of the 81 ways to give four elements levels. */
LANE_FN void quad_costs(const lane_row *y, const lane_row *root, lanes inverse, lanes shift, lane_row *costs) {
    for (int p = 0; p < QN_TERNARY_QUADS; p++) {
        store(costs[p], all(0.0F));
    }
    for (int t = 0, power = 1; t < 4; t++, power *= 3) {
        for (int p = 0; p < QN_TERNARY_QUADS; p++) {
            const float level = (float)(p / power % 3 - 1);
            const lanes left = inverse * load(y[t]) - (level + shift) * load(root[t]);
            store(costs[p], load(costs[p]) + left * left);
        }
    }
}

/** An octet as the best of all codewords, the first on ties. */
static __attribute__((noinline)) octet_fit best_octet(const qn_ternary_map *map, const lane_row *y,
                                                      const lane_row *root, lanes inverse, lanes shift) {
    _Alignas(64) lane_row low[QN_TERNARY_QUADS];
    _Alignas(64) lane_row high[QN_TERNARY_QUADS];
    int_lanes best = {0};
    octet_fit fit = {{0}, all(FLT_MAX)};
    quad_costs(y, root, inverse, shift, low);
    quad_costs(y + 4, root + 4, inverse, shift, high);
    for (int i = 0; i < QN_TERNARY_CODEWORDS; i++) {
        const uint32_t quads = map->codewords[i] >> 16;
        const lanes cost = load(low[quads & 255]) + load(high[quads >> 8]);
        const int_lanes is_better = cost < fit.cost;
        fit.cost = least(cost, fit.cost);
        best = select_ints(is_better, all_ints((int)quads), best);
    }
    fit.point = (best & 255) + QN_TERNARY_QUADS * (best >> 8);
    return fit;
}

/* ---- groups ---- */

/** A way to encode a group. */
typedef struct group_fit {
    lanes cost; /**< the sum of the squares left in y */
    lanes multiplier;
    lanes shift[MAX_GROUP_OCTETS];
    int_lanes point[MAX_GROUP_OCTETS];
} group_fit;

/* An octet with a shift; n_bases = 0 stands for all codewords. */
LANE_FN octet_fit fit_octet(const iq1_blocks *s, int o, lanes inverse, lanes shift, int n_bases) {
    const lane_row *y = s->y + OCTET_LEN * o;
    const lane_row *root = s->root + OCTET_LEN * o;
    return n_bases == 0 ? best_octet(s->map, y, root, inverse, shift)
                        : snap_octet(s->map, y, root, inverse, shift, n_bases);
}

/** Group g with a multiplier and a shift; where octets have their own, each with the better of the two. */
LANE_FN void fit_group(const iq1_blocks *s, const iq1_layout *layout, int g, lanes d, lanes multiplier, lanes shift,
                       int n_bases, group_fit *fit) {
    const lanes scale = d * multiplier;
    const lanes inverse = 1.0F / scale;
    fit->cost = all(0.0F);
    fit->multiplier = multiplier;
    for (int i = 0; i < layout->group_octets; i++) {
        const int o = g * layout->group_octets + i;
        octet_fit octet = fit_octet(s, o, inverse, shift, n_bases);
        fit->shift[i] = shift;
        if (layout->has_octet_shifts) {
            const octet_fit other = fit_octet(s, o, inverse, -shift, n_bases);
            const int_lanes is_better = other.cost < octet.cost;
            octet.cost = least(other.cost, octet.cost);
            octet.point = select_ints(is_better, other.point, octet.point);
            fit->shift[i] = select_lanes(is_better, -shift, shift);
        }
        fit->cost += octet.cost;
        fit->point[i] = octet.point;
    }
    fit->cost = fit->cost * scale * scale;
}

LANE_FN void keep_better_group(const iq1_layout *layout, group_fit *best, const group_fit *other) {
    const int_lanes is_better = other->cost < best->cost;
    best->cost = select_lanes(is_better, other->cost, best->cost);
    best->multiplier = select_lanes(is_better, other->multiplier, best->multiplier);
    for (int i = 0; i < layout->group_octets; i++) {
        best->shift[i] = select_lanes(is_better, other->shift[i], best->shift[i]);
        best->point[i] = select_ints(is_better, other->point[i], best->point[i]);
    }
}

LANE_FN void store_group(const iq1_layout *layout, int g, const group_fit *fit, iq1_choice *choice) {
    store(choice->multipliers[g], fit->multiplier);
    for (int i = 0; i < layout->group_octets; i++) {
        store(choice->shifts[g * layout->group_octets + i], fit->shift[i]);
        store_ints(choice->points[g * layout->group_octets + i], fit->point[i]);
    }
}

/* ---- surveys ---- */

/** A multiplier and a shift for a group. */
typedef struct candidate {
    lanes cost;
    lanes multiplier;
    lanes shift;
} candidate;

/** What a survey found: of each group the best candidates, the better first, and the sum of the best ones' costs. */
typedef struct survey {
    candidate found[MAX_GROUPS][N_CANDIDATES];
    lanes cost;
} survey;

/* Squares left in octets [first, first + n) for SURVEYED multipliers and both shifts (up, down), and in up the sums of
 * each octet's lesser one where they have shifts of their own. */
LANE_FN void survey_octets(const iq1_blocks *s, const iq1_layout *layout, int g, const lanes *inverse, lanes *up,
                           lanes *down) {
    lanes lesser[SURVEYED];
    for (int k = 0; k < SURVEYED; k++) {
        up[k] = down[k] = lesser[k] = all(0.0F);
    }
    for (int o = g * layout->group_octets; o < (g + 1) * layout->group_octets; o++) {
        for (int e = OCTET_LEN * o; e < OCTET_LEN * (o + 1); e++) {
            const lanes y = load(s->y[e]);
            const lanes r = load(s->root[e]);
            const lanes moved = SHIFT * r;
            for (int k = 0; k < SURVEYED; k++) {
                const lanes size_up = magnitude(y * inverse[k] - moved);
                const lanes size_down = magnitude(y * inverse[k] + moved);
                const lanes left_up = least(size_up, magnitude(size_up - r));
                const lanes left_down = least(size_down, magnitude(size_down - r));
                up[k] += left_up * left_up;
                down[k] += left_down * left_down;
            }
        }
        for (int k = 0; layout->has_octet_shifts && k < SURVEYED; k++) {
            lesser[k] += least(up[k], down[k]);
            up[k] = down[k] = all(0.0F);
        }
    }
    for (int k = 0; layout->has_octet_shifts && k < SURVEYED; k++) {
        up[k] = lesser[k];
    }
}

LANE_FN void select_candidate(int_lanes mask, candidate *if_set, const candidate *other) {
    if_set->cost = select_lanes(mask, other->cost, if_set->cost);
    if_set->multiplier = select_lanes(mask, other->multiplier, if_set->multiplier);
    if_set->shift = select_lanes(mask, other->shift, if_set->shift);
}

/* The two best where octets have shifts of their own; else the best with each shift. */
LANE_FN void survey_group(const iq1_blocks *s, const iq1_layout *layout, int g, lanes d, candidate *found) {
    found[0] = (candidate){all(FLT_MAX), all(TOP_MULTIPLIER), all(SHIFT)};
    found[1] = (candidate){all(FLT_MAX), all(TOP_MULTIPLIER), all(-SHIFT)};
    for (int first = 1; first <= (int)TOP_MULTIPLIER; first += 2 * SURVEYED) {
        lanes scale[SURVEYED];
        lanes inverse[SURVEYED];
        lanes up[SURVEYED];
        lanes down[SURVEYED];
        for (int k = 0; k < SURVEYED; k++) {
            scale[k] = d * (float)(first + 2 * k);
            inverse[k] = 1.0F / scale[k];
        }
        survey_octets(s, layout, g, inverse, up, down);
        for (int k = 0; k < SURVEYED; k++) {
            const lanes area = scale[k] * scale[k];
            const lanes multiplier = all((float)(first + 2 * k));
            const candidate with_up = {area * up[k], multiplier, all(SHIFT)};
            const candidate with_down = {area * down[k], multiplier, all(-SHIFT)};
            if (layout->has_octet_shifts) {
                const int_lanes is_best = with_up.cost < found[0].cost;
                select_candidate(with_up.cost < found[1].cost, &found[1], &with_up);
                select_candidate(is_best, &found[1], &found[0]);
                select_candidate(is_best, &found[0], &with_up);
            } else {
                select_candidate(with_up.cost < found[0].cost, &found[0], &with_up);
                select_candidate(with_down.cost < found[1].cost, &found[1], &with_down);
            }
        }
    }
    const candidate first_found = found[0];
    const int_lanes is_swapped = found[1].cost < found[0].cost;
    select_candidate(is_swapped, &found[0], &found[1]);
    select_candidate(is_swapped, &found[1], &first_found);
}

static __attribute__((noinline)) void survey_blocks(const iq1_blocks *s, const iq1_layout *layout, lanes d,
                                                    survey *result) {
    result->cost = all(0.0F);
    for (int g = 0; g < N_OCTETS / layout->group_octets; g++) {
        survey_group(s, layout, g, d, result->found[g]);
        result->cost += result->found[g][0].cost;
    }
}

/* ---- superblocks ---- */

/** Loads x and the importance. Without importance, or where all of it is 0, every element counts 1; where only some
 * is, it is made 1e-6 of the mean, so that those elements still come out near. */
LANE_FN void load_blocks(const lane_batch *batch, iq1_blocks *s) {
    lanes largest = all(0.0F);
    lanes inverse_mean = all(0.0F);
    lanes floor = all(1.0F);
    gather(batch->x, 0, QN_SUPERBLOCK_LEN, s->y);
    for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
        largest = greatest(magnitude(load(s->y[e])), largest);
    }
    /* 2^-exponent; the greatest exponent's would be subnormal. */
    const int_lanes unit = 0x7F000000 - ((int_lanes)largest & 0x7F800000);
    s->unit = (lanes)select_ints(unit == 0, all_ints(0x00800000), unit);
    if (batch->has_importance) {
        lanes sum = all(0.0F);
        gather(batch->importance, 0, QN_SUPERBLOCK_LEN, s->root);
        for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
            sum += load(s->root[e]) * (1.0F / (float)QN_SUPERBLOCK_LEN);
        }
        const int_lanes has_mean = (sum > FLT_MIN) & (sum < 1.0F / FLT_MIN);
        inverse_mean = select_lanes(has_mean, 1.0F / sum, inverse_mean);
        floor = select_lanes(has_mean, all(1e-6F), floor);
    } else {
        memset(s->root, 0, sizeof s->root);
    }
    for (int e = 0; e < QN_SUPERBLOCK_LEN; e++) {
        const lanes root = square_root(load(s->root[e]) * inverse_mean + floor);
        store(s->root[e], root);
        store(s->y[e], load(s->y[e]) * s->unit * root);
    }
}

/* d as an f16 holds it; larger ones than there are become the largest. */
LANE_FN int_lanes d_bits_of(const iq1_blocks *s, lanes d) {
    return half_bits(greatest(least(d / s->unit, all(HALF_MAX)), all(-HALF_MAX)));
}

LANE_FN lanes settle_d(const iq1_blocks *s, lanes d) {
    return half_values(d_bits_of(s, d)) * s->unit;
}

/** The root mean square of the loudest group. */
LANE_FN lanes loudest_group(const iq1_blocks *s, const iq1_layout *layout) {
    const int n = OCTET_LEN * layout->group_octets;
    lanes largest = all(0.0F);
    for (int g = 0; g < QN_SUPERBLOCK_LEN / n; g++) {
        lanes squares = all(0.0F);
        lanes weights = all(0.0F);
        for (int e = g * n; e < (g + 1) * n; e++) {
            squares += load(s->y[e]) * load(s->y[e]);
            weights += load(s->root[e]) * load(s->root[e]);
        }
        largest = greatest(squares / weights, largest);
    }
    return square_root(largest);
}

/** Fits d to a choice by least squares. */
static __attribute__((noinline)) void refit_d(const iq1_blocks *s, const iq1_layout *layout, iq1_choice *choice) {
    lanes a = all(0.0F);
    lanes b = all(0.0F);
    for (int o = 0; o < N_OCTETS; o++) {
        const int_lanes index = look_up(s->map->at, load_ints(choice->points[o])) >> QN_TERNARY_INDEX_SHIFT;
        const int_lanes codeword = look_up(s->map->codewords, index);
        const lanes offset = load(choice->shifts[o]) - 1.0F;
        const lanes multiplier = load(choice->multipliers[o / layout->group_octets]);
        for (int t = 0; t < OCTET_LEN; t++) {
            const lanes level = __builtin_convertvector((codeword >> (2 * t)) & 3, lanes);
            const lanes q = (level + offset) * multiplier * load(s->root[OCTET_LEN * o + t]);
            a += q * load(s->y[OCTET_LEN * o + t]);
            b += q * q;
        }
    }
    choice->d = settle_d(s, a / b);
    choice->gain = (2.0F * a - b * choice->d) * choice->d;
}

static void keep_better_choice(iq1_choice *best, const iq1_choice *other) {
    const int_lanes is_better = other->gain > best->gain;
    best->gain = select_lanes(is_better, other->gain, best->gain);
    best->d = select_lanes(is_better, other->d, best->d);
    for (int g = 0; g < MAX_GROUPS; g++) {
        store(best->multipliers[g], select_lanes(is_better, load(other->multipliers[g]), load(best->multipliers[g])));
    }
    for (int o = 0; o < N_OCTETS; o++) {
        store(best->shifts[o], select_lanes(is_better, load(other->shifts[o]), load(best->shifts[o])));
        store_ints(best->points[o], select_ints(is_better, load_ints(other->points[o]), load_ints(best->points[o])));
    }
}

/** Chooses for each group the best of the survey's first n_tries candidates, and fits d to that. */
static __attribute__((noinline)) void choose_surveyed(const iq1_blocks *s, const iq1_layout *layout, const survey *from,
                                                      int n_tries, int n_bases, lanes d, iq1_choice *choice) {
    for (int g = 0; g < N_OCTETS / layout->group_octets; g++) {
        group_fit best;
        for (int i = 0; i < n_tries; i++) {
            const candidate *c = &from->found[g][i];
            group_fit fit;
            fit_group(s, layout, g, d, c->multiplier, c->shift, n_bases, &fit);
            if (i == 0) {
                best = fit;
            } else {
                keep_better_group(layout, &best, &fit);
            }
        }
        store_group(layout, g, &best, choice);
    }
    refit_d(s, layout, choice);
}

/** Surveys all starts, and chooses with what the best of them found. */
LANE_FN void search_once(iq1_blocks *s, const iq1_layout *layout, const iq1_search *how) {
    const lanes unit_d = loudest_group(s, layout) / TOP_MULTIPLIER;
    survey best;
    lanes d = settle_d(s, unit_d * how->starts[0]);
    survey_blocks(s, layout, d, &best);
    for (int i = 1; i < how->n_starts; i++) {
        survey other;
        const lanes other_d = settle_d(s, unit_d * how->starts[i]);
        survey_blocks(s, layout, other_d, &other);
        const int_lanes is_better = other.cost < best.cost;
        best.cost = select_lanes(is_better, other.cost, best.cost);
        d = select_lanes(is_better, other_d, d);
        for (int g = 0; g < N_OCTETS / layout->group_octets; g++) {
            for (int k = 0; k < how->n_tries; k++) {
                select_candidate(is_better, &best.found[g][k], &other.found[g][k]);
            }
        }
    }
    choose_surveyed(s, layout, &best, how->n_tries, how->n_bases, d, &s->best);
}

/** Chooses each octet anew from all codewords, with the multipliers, shifts and d that are best so far. */
static __attribute__((noinline)) void choose_codewords(iq1_blocks *s, const iq1_layout *layout) {
    iq1_choice choice;
    for (int g = 0; g < N_OCTETS / layout->group_octets; g++) {
        group_fit fit;
        fit_group(s, layout, g, s->best.d, load(s->best.multipliers[g]), load(s->best.shifts[g * layout->group_octets]),
                  0, &fit);
        store_group(layout, g, &fit, &choice);
    }
    refit_d(s, layout, &choice);
    keep_better_choice(&s->best, &choice);
}

/** From each start and its negative, the grid not being symmetric, goes through rounds of survey, choice and fit. */
LANE_FN void search_long(iq1_blocks *s, const iq1_layout *layout, const iq1_search *how) {
    const lanes unit_d = loudest_group(s, layout) / TOP_MULTIPLIER;
    s->best.gain = all(-FLT_MAX);
    for (int i = 0; i < 2 * how->n_starts; i++) {
        const float start = i % 2 == 0 ? how->starts[i / 2] : -how->starts[i / 2];
        lanes d = settle_d(s, unit_d * start);
        for (int round = 0; round < how->n_rounds; round++) {
            survey found;
            iq1_choice choice;
            survey_blocks(s, layout, d, &found);
            choose_surveyed(s, layout, &found, how->n_tries, how->n_bases, d, &choice);
            keep_better_choice(&s->best, &choice);
            d = choice.d;
        }
    }
    for (int i = 0; i < how->n_exact; i++) {
        choose_codewords(s, layout);
    }
}

/* ---- bytes ---- */

/* The octets' indices, and their low bytes as words. A superblock whose d is 0 is all zero bytes. */
LANE_FN void load_indices(const iq1_blocks *s, int_lanes is_live, int_lanes *index, int_lanes *low_words) {
    for (int o = 0; o < N_OCTETS; o++) {
        const int_lanes entry = look_up(s->map->at, load_ints(s->best.points[o])) & is_live;
        index[o] = entry >> QN_TERNARY_INDEX_SHIFT;
    }
    for (int i = 0; i < N_OCTETS / 4; i++) {
        low_words[i] = word_of(index[4 * i] & 255, index[4 * i + 1] & 255, index[4 * i + 2] & 255,
                               index[4 * i + 3] & 255);
    }
}

LANE_FN int_lanes scale_code(const iq1_blocks *s, int g) {
    return truncate_lanes(load(s->best.multipliers[g])) >> 1;
}

/* All ones where octet o is moved down. */
LANE_FN int_lanes is_moved_down(const iq1_blocks *s, int o) {
    return load(s->best.shifts[o]) < 0.0F;
}

static void write_iq1_s(const lane_batch *batch, const iq1_blocks *s) {
    enum { LOW_WORDS = 8, HIGH_WORDS = 4 };
    const int_lanes d_bits = d_bits_of(s, s->best.d);
    const int_lanes is_live = (d_bits & 0x7FFF) != 0;
    int_lanes index[N_OCTETS];
    int_lanes words[LOW_WORDS + HIGH_WORDS];
    load_indices(s, is_live, index, words);
    for (int i = 0; i < HIGH_WORDS; i++) {
        words[LOW_WORDS + i] = (int_lanes){0};
        for (int k = 0; k < 2; k++) {
            const int g = 2 * i + k;
            int_lanes high = (scale_code(s, g) << 12 | (is_moved_down(s, 4 * g) & 0x8000)) & is_live;
            for (int o = 0; o < 4; o++) {
                high |= (index[4 * g + o] >> 8) << (3 * o);
            }
            words[LOW_WORDS + i] |= high << (16 * k);
        }
    }
    scatter_half(batch, offsetof(qn_block_iq1_s, d), d_bits & is_live);
    scatter_words(batch, offsetof(qn_block_iq1_s, qs), words, LOW_WORDS + HIGH_WORDS);
}

static void write_iq1_m(const lane_batch *batch, const iq1_blocks *s) {
    enum { LOW_WORDS = 8, HIGH_WORDS = 4, SCALE_WORDS = 2, N_WORDS = LOW_WORDS + HIGH_WORDS + SCALE_WORDS };
    const int_lanes d_bits = d_bits_of(s, s->best.d);
    const int_lanes is_live = (d_bits & 0x7FFF) != 0;
    int_lanes index[N_OCTETS];
    int_lanes words[N_WORDS];
    load_indices(s, is_live, index, words);
    for (int i = 0; i < HIGH_WORDS; i++) {
        words[LOW_WORDS + i] = (int_lanes){0};
        for (int k = 0; k < 8; k++) {
            const int o = 8 * i + k;
            words[LOW_WORDS + i] |= (index[o] >> 8 | (is_moved_down(s, o) & is_live & 8)) << (4 * k);
        }
    }
    /* Each of the four 16-bit words has three bits for each of four groups, then four bits of d. */
    for (int i = 0; i < SCALE_WORDS; i++) {
        int_lanes word = {0};
        for (int k = 0; k < 8; k++) {
            word |= scale_code(s, 8 * i + k) << (16 * (k / 4) + 3 * (k % 4));
        }
        word |= ((d_bits >> (8 * i)) & 15) << 12 | ((d_bits >> (8 * i + 4)) & 15) << 28;
        words[LOW_WORDS + HIGH_WORDS + i] = word & is_live;
    }
    scatter_words(batch, 0, words, N_WORDS);
}

typedef void iq1_write_fn(const lane_batch *batch, const iq1_blocks *s);

/* As run_batches(), with a map that lasts for all of them. */
LANE_FN void encode_iq1(const qn_encode_task *task, const iq1_layout *layout, const iq1_search *how,
                        uint64_t block_bytes, iq1_write_fn *write) {
    const uint64_t row_blocks = task->n_cols / QN_SUPERBLOCK_LEN;
    const uint64_t end = task->n_rows * row_blocks;
    qn_ternary_map map;
    iq1_blocks s;
    qn_ternary_map_fill(&map);
    s.map = &map;
    for (uint64_t first = 0; first < end; first += N_LANES) {
        lane_batch batch = {.has_importance = task->importance != NULL};
        for (uint64_t l = 0; l < N_LANES; l++) {
            const uint64_t block = first + l < end ? first + l : end - 1;
            batch.x[l] = task->src + block * QN_SUPERBLOCK_LEN;
            batch.dst[l] = task->dst + block * block_bytes;
            if (batch.has_importance) {
                batch.importance[l] = task->importance + (block % row_blocks) * QN_SUPERBLOCK_LEN;
            }
        }
        load_blocks(&batch, &s);
        if (how->n_rounds > 0) {
            search_long(&s, layout, how);
        } else {
            search_once(&s, layout, how);
        }
        write(&batch, &s);
    }
}

static const iq1_layout iq1_s_layout = {.group_octets = 4, .has_octet_shifts = false};
static const iq1_layout iq1_m_layout = {.group_octets = 2, .has_octet_shifts = true};

/* IQ1_M has twice the octets to snap, one for each shift, and less time beside the reference. */
static const iq1_search iq1_s_search = {.starts = {1.4F, 1.7F, 2.0F, 2.3F}, .n_starts = 4, .n_tries = 2, .n_bases = 3};
static const iq1_search iq1_m_search = {.starts = {1.6F, 2.2F}, .n_starts = 2, .n_tries = 2, .n_bases = 2};
static const iq1_search iq1_fast_search = {.starts = {1.9F}, .n_starts = 1, .n_tries = 1, .n_bases = 2};
static const iq1_search iq1_best_search = {
    .starts = {1.4F, 1.7F, 2.0F, 2.3F}, .n_starts = 4, .n_tries = 2, .n_bases = 3, .n_rounds = 2, .n_exact = 1};

static void encode_iq1_s(const qn_encode_task *task) {
    encode_iq1(task, &iq1_s_layout, &iq1_s_search, sizeof(qn_block_iq1_s), write_iq1_s);
}

static void encode_iq1_s_fast(const qn_encode_task *task) {
    encode_iq1(task, &iq1_s_layout, &iq1_fast_search, sizeof(qn_block_iq1_s), write_iq1_s);
}

static void encode_iq1_s_best(const qn_encode_task *task) {
    encode_iq1(task, &iq1_s_layout, &iq1_best_search, sizeof(qn_block_iq1_s), write_iq1_s);
}

static void encode_iq1_m(const qn_encode_task *task) {
    encode_iq1(task, &iq1_m_layout, &iq1_m_search, sizeof(qn_block_iq1_m), write_iq1_m);
}

static void encode_iq1_m_fast(const qn_encode_task *task) {
    encode_iq1(task, &iq1_m_layout, &iq1_fast_search, sizeof(qn_block_iq1_m), write_iq1_m);
}

static void encode_iq1_m_best(const qn_encode_task *task) {
    encode_iq1(task, &iq1_m_layout, &iq1_best_search, sizeof(qn_block_iq1_m), write_iq1_m);
}

#endif
