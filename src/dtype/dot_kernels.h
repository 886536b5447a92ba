/* SPDX-License-Identifier: MIT */
/*
 * dot_kernels.h: what the variants of matrix products offer to matmul.c. Private to src/dtype.
 *
 * A packed vector is a plane for each field of its format (facts/quants.md §8), each plane on a 64-byte boundary:
 *     Q8_0, Q8_1   codes int8[n_cols] | d float[n_cols / 32] | s float[n_cols / 32], d times the sum of 32 codes
 *     Q8_K         codes int8[n_cols] | d float[n_cols / 256] | sums int16[n_cols / 16]
 *     floats       float[n_cols], zeros to a multiple of 16
 * d and s have the values that the blocks would store (of a Q8_0 block, s is exact to float32).
 */
#ifndef QUERN_DTYPE_DOT_KERNELS_H
#define QUERN_DTYPE_DOT_KERNELS_H

#include "dtype/kernels.h"

/** What activations become for a type of weights. */
typedef enum qn_partner {
    QN_PARTNER_FLOATS,
    QN_PARTNER_Q8_0,
    QN_PARTNER_Q8_1,
    QN_PARTNER_Q8_K,
    QN_PARTNER_Q8_0_FLOATS /**< rounded to Q8_0 and back: for types without a product of codes */
} qn_partner;

/** Where the planes of a packed vector lie, in bytes from its start. */
typedef struct qn_planes {
    uint64_t d;
    uint64_t sums; /**< s or int16 sums */
    uint64_t size; /**< of the vector */
} qn_planes;

static inline uint64_t qn_round_up_64(uint64_t bytes) {
    return (bytes + 63U) & ~(uint64_t)63U;
}

/** The planes of n_cols elements. */
static inline qn_planes qn_planes_of(qn_partner partner, uint64_t n_cols) {
    qn_planes p = {0, 0, qn_round_up_64(n_cols * sizeof(float))};
    if (partner == QN_PARTNER_Q8_0 || partner == QN_PARTNER_Q8_1) {
        p.d = qn_round_up_64(n_cols);
        p.sums = p.d + qn_round_up_64(n_cols / 32 * sizeof(float));
        p.size = p.sums + qn_round_up_64(n_cols / 32 * sizeof(float));
    } else if (partner == QN_PARTNER_Q8_K) {
        p.d = qn_round_up_64(n_cols);
        p.sums = p.d + qn_round_up_64(n_cols / 256 * sizeof(float));
        p.size = p.sums + qn_round_up_64(n_cols / 16 * sizeof(int16_t));
    }
    return p;
}

/** One product: as qn_matmul(), with what follows from the shape. */
typedef struct qn_dot_task {
    const unsigned char *weights;
    uint64_t n_rows;
    uint64_t n_cols;
    uint64_t row_bytes;
    const unsigned char *vectors;
    qn_planes planes;
    uint64_t n_vectors;
    float *dst;
    uint64_t dst_stride;
    qn_decode_fn *decode; /**< the weights' decoder, for products of floats */
    uint32_t block_len;
    uint32_t block_bytes;
} qn_dot_task;

/** Multiplies all rows of a task by all its vectors. */
typedef void qn_dot_fn(const qn_dot_task *task);

/** Brings one vector into its planes. */
typedef void qn_pack_fn(const float *src, uint64_t n_cols, const qn_planes *planes, unsigned char *dst);

/** Products of one level. */
typedef struct qn_dot_kernels {
    qn_dot_fn *dot[QN_DTYPE_LIMIT]; /**< NULL: by way of decoded floats */
    qn_dot_fn *dot_decoded;         /**< any type that task->decode decodes, with a partner of floats */
    qn_pack_fn *pack_q8_0;
    qn_pack_fn *pack_q8_1;
    qn_pack_fn *pack_q8_k;
    qn_pack_fn *pack_q8_0_floats;
} qn_dot_kernels;

#endif
