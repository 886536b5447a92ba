/* SPDX-License-Identifier: MIT */
/* low_rank_kernel.h: rows += scale * (left x right), the inner loop of every merge. */
#ifndef QUERN_RECIPE_LOW_RANK_KERNEL_H
#define QUERN_RECIPE_LOW_RANK_KERNEL_H

#include "base/cpu.h"

#include <stdbool.h>
#include <stdint.h>

/** Columns a tile. */
enum { QN_TILE_COLS = 16 };

/**
 * One call's operands. The right factor lies in tiles of 16 columns, [n_tiles, rank, 16], padded with zeros
 * behind n_cols: a tile is read from end to end, where rows of a wide matrix would fight over the same cache lines.
 */
typedef struct qn_low_rank_args {
    float *dst;         /**< [n_rows, n_cols], updated */
    const float *left;  /**< [n_rows, rank] */
    const float *tiles; /**< [ceil(n_cols / 16), rank, 16] */
    uint64_t n_rows;
    uint64_t n_cols;
    uint64_t rank;
    float scale;
} qn_low_rank_args;

/**
 * dst[i][j] += scale * sum, sum = 0 + left[i][0]*right[0][j] + left[i][1]*right[1][j] + … in that order, float32,
 * no fused multiply-add. The same bits for every level and any ranging of rows.
 */
void qn_low_rank_add(qn_cpu_level level, const qn_low_rank_args *args);

/** All rows times the tiles [first_tile, end_tile): one cache-sized panel. */
typedef void qn_low_rank_panel_fn(const qn_low_rank_args *args, uint64_t first_tile, uint64_t end_tile);

/** Portable variant. */
void qn_low_rank_panel(const qn_low_rank_args *args, uint64_t first_tile, uint64_t end_tile);
/** AVX2 variant; only full tiles. Exists on x86-64. */
void qn_low_rank_panel_avx2(const qn_low_rank_args *args, uint64_t first_tile, uint64_t end_tile);

#endif
