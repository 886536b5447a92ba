/* SPDX-License-Identifier: MIT */
/*
 * ternary_map.h: all 3^8 octets of levels -1, 0, 1, each with the codewords of IQ1 it is or lies beside.
 *
 * A point numbers an octet in base 3: the sum of (level_t + 1)·3^t. The map is made from the grid in microseconds, so
 * an encoder makes one on its stack for each call, and the program carries no second copy of the grid.
 */
#ifndef QUERN_DTYPE_TERNARY_MAP_H
#define QUERN_DTYPE_TERNARY_MAP_H

#include <stdint.h>

enum {
    QN_TERNARY_POINTS = 6561,
    QN_TERNARY_CENTRE = 3280,     /**< the point of eight zeros */
    QN_TERNARY_ON_GRID = 1 << 16, /**< the point is a codeword */
    QN_TERNARY_INDEX_SHIFT = 17,  /**< from here on: its index, or that of a codeword one or two steps away */
    QN_TERNARY_QUADS = 81,        /**< points of four levels */
    QN_TERNARY_CODEWORDS = 2048,
};

typedef struct qn_ternary_map {
    uint32_t at[QN_TERNARY_POINTS]; /**< bit 2t: lowering level t by one makes it a codeword; 2t + 1: raising */
    uint32_t codewords[QN_TERNARY_CODEWORDS]; /**< level t + 1 at bit 2t; its point % 81 at bit 16, / 81 at bit 24 */
} qn_ternary_map;

/** Fills a map. */
void qn_ternary_map_fill(qn_ternary_map *map);

#endif
