/* SPDX-License-Identifier: MIT */
/* kernel_table.h: all kernels of one level and their table; each kernels_*.c includes it once. */
#ifndef QUERN_DTYPE_KERNEL_TABLE_H
#define QUERN_DTYPE_KERNEL_TABLE_H

#include "dtype/kquants_lanes.h"
#include "dtype/legacy_lanes.h"
#include "dtype/plain_loops.h"

/** Defines the table of a level. */
#define DEFINE_KERNELS(table)             \
    const qn_kernels table = {            \
        .encode =                         \
            {                             \
                [QN_F32] = encode_f32,    \
                [QN_F16] = encode_f16,    \
                [QN_BF16] = encode_bf16,  \
                [QN_Q4_0] = encode_q4_0,  \
                [QN_Q4_1] = encode_q4_1,  \
                [QN_Q5_0] = encode_q5_0,  \
                [QN_Q5_1] = encode_q5_1,  \
                [QN_Q8_0] = encode_q8_0,  \
                [QN_Q2_K] = encode_q2_k,  \
                [QN_Q3_K] = encode_q3_k,  \
                [QN_Q4_K] = encode_q4_k,  \
                [QN_Q5_K] = encode_q5_k,  \
                [QN_Q6_K] = encode_q6_k,  \
            },                            \
        .decode_f16 = decode_f16,         \
        .decode_bf16 = decode_bf16,       \
        .find_nonfinite = find_nonfinite, \
    }

#endif
