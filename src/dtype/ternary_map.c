/* SPDX-License-Identifier: MIT */
/* ternary_map.c: the map of octets around the grid of IQ1. */
#include "dtype/ternary_map.h"

#include "dtype/grids.h"

#include <string.h>

static const uint32_t powers[8] = {1, 3, 9, 27, 81, 243, 729, 2187};

static uint32_t lowered_bit(unsigned t) {
    return 1U << (2 * t);
}

static uint32_t raised_bit(unsigned t) {
    return 2U << (2 * t);
}

/* Adds a bit to a point, and the index of a codeword in the place of another's. */
static void mark(qn_ternary_map *map, uint32_t point, uint32_t bit, uint32_t index) {
    enum { KEPT = (1 << QN_TERNARY_INDEX_SHIFT) - 1 };
    map->at[point] = (map->at[point] & KEPT) | bit | index << QN_TERNARY_INDEX_SHIFT;
}

static uint32_t point_of(uint16_t codeword) {
    uint32_t point = 0;
    for (unsigned t = 0; t < 8; t++) {
        point += qn_octet_level(codeword, t) * powers[t];
    }
    return point;
}

/* Enters a codeword at the points around its own. Where the level has no lower or higher one, its own is marked with
 * no bit: a branch would cost more, levels being as good as random. */
static void mark_neighbours(qn_ternary_map *map, uint32_t index) {
    const uint16_t codeword = qn_grid_iq1_s[index];
    const uint32_t point = point_of(codeword);
    for (unsigned t = 0; t < 8; t++) {
        const uint32_t has_lower = qn_octet_level(codeword, t) > 0;
        const uint32_t has_higher = qn_octet_level(codeword, t) < 2;
        mark(map, point - has_lower * powers[t], has_lower * raised_bit(t), index);
        mark(map, point + has_higher * powers[t], has_higher * lowered_bit(t), index);
    }
}

/* The index of a codeword two steps from a point that has none beside it; the grid leaves none farther. */
static uint32_t index_near(const qn_ternary_map *map, uint32_t point) {
    enum { ANY_BESIDE = 0xFFFF };
    for (unsigned t = 0; t < 8; t++) {
        const uint32_t level = point / powers[t] % 3;
        const uint32_t beside = map->at[level > 0 ? point - powers[t] : point + powers[t]];
        if ((beside & ANY_BESIDE) != 0) {
            return beside >> QN_TERNARY_INDEX_SHIFT;
        }
    }
    return 0;
}

void qn_ternary_map_fill(qn_ternary_map *map) {
    memset(map->at, 0, sizeof map->at);
    for (uint32_t i = 0; i < QN_TERNARY_CODEWORDS; i++) {
        mark_neighbours(map, i);
    }
    for (uint32_t i = 0; i < QN_TERNARY_CODEWORDS; i++) {
        const uint32_t point = point_of(qn_grid_iq1_s[i]);
        mark(map, point, QN_TERNARY_ON_GRID, i);
        map->codewords[i] = qn_grid_iq1_s[i] | point % QN_TERNARY_QUADS << 16 | point / QN_TERNARY_QUADS << 24;
    }
    for (uint32_t point = 0; point < QN_TERNARY_POINTS; point++) {
        if ((map->at[point] & (2 * QN_TERNARY_ON_GRID - 1)) == 0) {
            mark(map, point, 0, index_near(map, point));
        }
    }
}
