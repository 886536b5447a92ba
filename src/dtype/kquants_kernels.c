/* SPDX-License-Identifier: MIT */
/* kquants_kernels.c: Q2_K to Q6_K at one level, normal effort. */
#include "dtype/kquants_lanes.h"

const qn_encoder QN_AT_LEVEL(qn_kquant_encoders)[] = {
    {QN_Q2_K, QN_EFFORT_NORMAL, encode_q2_k}, {QN_Q3_K, QN_EFFORT_NORMAL, encode_q3_k},
    {QN_Q4_K, QN_EFFORT_NORMAL, encode_q4_k}, {QN_Q5_K, QN_EFFORT_NORMAL, encode_q5_k},
    {QN_Q6_K, QN_EFFORT_NORMAL, encode_q6_k}, {QN_F32, QN_EFFORT_NORMAL, NULL},
};
