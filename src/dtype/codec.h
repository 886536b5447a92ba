/* SPDX-License-Identifier: MIT */
/* codec.h: rows of float32 to packed rows of any type, and back. Pure functions over the caller's buffers. */
#ifndef QUERN_DTYPE_CODEC_H
#define QUERN_DTYPE_CODEC_H

#include "base/cpu.h"
#include "quern/dtype.h"

/**
 * Decodes packed rows to float32. Bit-identical for every level.
 *
 * @param level  at most qn_cpu_detect(); a level this build has no variant for runs the baseline
 * @param src    n_rows * qn_row_size(type, n_cols) bytes, any alignment; borrowed
 * @param dst    [n_rows, n_cols] float32, row-major; the caller's
 * @return QN_OK; QN_E_SHAPE when n_cols is not a multiple of the block; QN_E_UNSUPPORTED when the type
 *         has no decoder
 * Integer types give the nearest float32. Threads: reentrant.
 */
QN_NODISCARD qn_status qn_decode_rows(qn_cpu_level level, qn_dtype type, const void *src, uint64_t n_rows,
                                      uint64_t n_cols, float *dst, qn_error *err);

/**
 * Encodes rows of finite float32. Same bytes for every level. At normal effort the legacy and K types have the bytes
 * of ggml's encoders (facts/quants.md §5), and no type a larger error than theirs. At best effort the error that is
 * made small is the sum of importance * (decoded - x)², importance being 1 where there is none.
 * A row's bytes depend on that row, the importance and the effort alone. Values that no f16 scale reaches (from about
 * 65504 times the largest code on) come out as infinite scales.
 *
 * @param level      as qn_decode_rows()
 * @param effort     types without a search, or without a slower one, take all efforts alike
 * @param src        [n_rows, n_cols] float32, row-major, finite; borrowed
 * @param importance [n_cols] float32 >= 0, the weight of each column's error, or NULL for none
 * @param dst        n_rows * qn_row_size(type, n_cols) bytes; the caller's
 * @return QN_OK; QN_E_SHAPE; QN_E_UNSUPPORTED when the type has no encoder
 * Threads: reentrant; never allocates. Source: facts/quants.md.
 */
QN_NODISCARD qn_status qn_encode_rows(qn_cpu_level level, qn_effort effort, qn_dtype type, const float *src,
                                      uint64_t n_rows, uint64_t n_cols, const float *importance, void *dst,
                                      qn_error *err);

/**
 * Finds the first element that is NaN or infinite.
 * @param src n elements
 * @return its index, or n when all are finite
 */
uint64_t qn_find_nonfinite(qn_cpu_level level, const float *src, uint64_t n);

/** float32 to IEEE binary16, round to nearest even, overflow to infinity, NaN to sign | 0x7E00. */
uint16_t qn_f32_to_f16(float value);
/** IEEE binary16 to float32, exact; a NaN becomes quiet. */
float qn_f16_to_f32(uint16_t bits);
/** float32 to bfloat16, round to nearest even; a NaN keeps its upper half with bit 6 set. */
uint16_t qn_f32_to_bf16(float value);
/** bfloat16 to float32, exact. */
float qn_bf16_to_f32(uint16_t bits);

#endif
