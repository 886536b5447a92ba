/* SPDX-License-Identifier: MIT */
/* floor.h: the least error a type could have if each group's scale and offset were free real numbers. */
#ifndef QUERN_BENCH_FLOOR_H
#define QUERN_BENCH_FLOOR_H

#include "quern/dtype.h"

/**
 * The least sum of v * (decoded - x)² over rows, each group taking the best scale (and offset, where the type has one)
 * of all real numbers and the best codes, codewords and signs the type can write. Slow.
 *
 * @param x          [n_rows, n_cols], n_cols a multiple of the type's block; borrowed
 * @param importance [n_cols], or NULL for 1
 * @param error      relative to the sum of v * x²
 * @return false for types that have no groups (F16, BF16 and other plain ones)
 */
bool qn_floor_error(qn_dtype type, const float *x, uint64_t n_rows, uint64_t n_cols, const float *importance,
                    double *error);

/** Rows a set may have so that qn_floor_error() takes about a second. */
uint64_t qn_floor_rows(qn_dtype type);

#endif
