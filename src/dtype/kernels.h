/* SPDX-License-Identifier: MIT */
/* kernels.h: what the SIMD variants offer to codec.c: one table of functions a level. Private to src/dtype. */
#ifndef QUERN_DTYPE_KERNELS_H
#define QUERN_DTYPE_KERNELS_H

#include "quern/dtype.h"

/** Rows to be encoded. Shapes are checked: n_cols is a multiple of the block, products fit in 64 bits. */
typedef struct qn_encode_task {
    const float *src; /**< [n_rows, n_cols] */
    uint64_t n_rows;
    uint64_t n_cols;
    const float *importance; /**< [n_cols] or NULL */
    unsigned char *dst;
} qn_encode_task;

/** Encodes all rows of a task, n_rows and n_cols > 0. */
typedef void qn_encode_fn(const qn_encode_task *task);

/** Decodes n elements (whole blocks) at any address. */
typedef void qn_decode_fn(const unsigned char *src, uint64_t n, float *dst);

/** The functions of one level. */
typedef struct qn_kernels {
    qn_encode_fn *encode[QN_DTYPE_LIMIT]; /**< NULL where the type has no encoder */
    qn_decode_fn *decode_f16;
    qn_decode_fn *decode_bf16;
    uint64_t (*find_nonfinite)(const float *src, uint64_t n); /**< as qn_find_nonfinite() */
} qn_kernels;

extern const qn_kernels qn_kernels_baseline; /**< the compiler's baseline: SSE2, NEON */
#if defined(__x86_64__)
extern const qn_kernels qn_kernels_avx2;   /**< AVX2 and F16C */
extern const qn_kernels qn_kernels_avx512; /**< AVX-512 F, BW, DQ, VL */
#endif

/** The decoder of a type other than F16 and BF16, the same for every level; NULL when it has none. */
qn_decode_fn *qn_block_decoder(qn_dtype type);

#endif
