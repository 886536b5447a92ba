/* SPDX-License-Identifier: MIT */
/*
 * matmul.h: packed weight rows times activation vectors. Activations are brought into the weights' partner format once
 * (Q8_0, Q8_1, Q8_K or floats, facts/quants.md §8) and then meet any number of rows.
 */
#ifndef QUERN_DTYPE_MATMUL_H
#define QUERN_DTYPE_MATMUL_H

#include "base/cpu.h"
#include "quern/dtype.h"

/** Whether rows of a type can be multiplied: every type with a decoder that GGUF stores. */
bool qn_matmul_has(qn_dtype type);

/** Bytes of one activation vector of n_cols elements in the partner format of a weight type. */
uint64_t qn_activation_bytes(qn_dtype type, uint64_t n_cols);

/**
 * Brings activations into the partner format of a weight type.
 * @param src [n_vectors, n_cols] float32, rows src_stride floats apart; n_cols a multiple of the type's block
 * @param dst n_vectors * qn_activation_bytes(type, n_cols) bytes, 64-byte aligned; the caller's
 */
void qn_activations_pack(qn_cpu_level level, qn_dtype type, const float *src, uint64_t n_vectors, uint64_t src_stride,
                         uint64_t n_cols, void *dst);

/**
 * dst[v * dst_stride + r] = sum over c of W[r][c] * x[v][c], float32. Levels agree within 1e-4 of the product of the
 * norms; one level gives the same bits for any split of rows and vectors into calls.
 * @param weights     n_rows packed rows, qn_row_size(type, n_cols) bytes each, any alignment
 * @param activations as qn_activations_pack() left them
 */
void qn_matmul(qn_cpu_level level, qn_dtype type, const void *weights, uint64_t n_rows, uint64_t n_cols,
               const void *activations, uint64_t n_vectors, float *dst, uint64_t dst_stride);

#endif
