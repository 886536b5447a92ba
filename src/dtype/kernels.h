/* SPDX-License-Identifier: MIT */
/* kernels.h: what the SIMD variants offer to codec.c: lists of functions, one of each a level. Private to src/dtype. */
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

/** One encoder of a family's list; the list ends with a row whose encode is NULL. */
typedef struct qn_encoder {
    qn_dtype type;
    qn_effort effort; /**< a type always has a row for QN_EFFORT_NORMAL, which stands in for those it lacks */
    qn_encode_fn *encode;
} qn_encoder;

/** What plain types have a variant for at each level besides encoders. */
typedef struct qn_plain_kernels {
    qn_decode_fn *decode_f16;
    qn_decode_fn *decode_bf16;
    uint64_t (*find_nonfinite)(const float *src, uint64_t n); /**< as qn_find_nonfinite() */
} qn_plain_kernels;

/*
 * Each *_kernels.c is compiled once a level, with QN_LEVEL saying which: baseline (SSE2, NEON), avx2 (AVX2 and F16C)
 * and avx512 (F, BW, DQ, VL). Its one visible name carries the level.
 */
#define QN_PASTE(a, b) a##_##b
#define QN_PASTE_VALUES(a, b) QN_PASTE(a, b)
#define QN_AT_LEVEL(name) QN_PASTE_VALUES(name, QN_LEVEL)

/** The decoder of a type other than F16 and BF16, the same for every level; NULL when it has none. */
qn_decode_fn *qn_block_decoder(qn_dtype type);

#endif
