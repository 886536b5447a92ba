/* SPDX-License-Identifier: MIT */
/* plain_kernels.c: F32, F16, BF16 and Q8_0 at one level. */
#include "dtype/plain_loops.h"

const qn_encoder QN_AT_LEVEL(qn_plain_encoders)[] = {
    {QN_F32, QN_EFFORT_NORMAL, encode_f32},   {QN_F16, QN_EFFORT_NORMAL, encode_f16},
    {QN_BF16, QN_EFFORT_NORMAL, encode_bf16}, {QN_Q8_0, QN_EFFORT_NORMAL, encode_q8_0},
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};

const qn_plain_kernels QN_AT_LEVEL(qn_plain_kernels) = {
    .decode_f16 = decode_f16,
    .decode_bf16 = decode_bf16,
    .find_nonfinite = find_nonfinite,
};
