/* SPDX-License-Identifier: MIT */
/* ternary_kernels.c: TQ1_0, TQ2_0, Q1_0 and Q2_0 at one level. */
#include "dtype/ternary_lanes.h"

const qn_encoder QN_AT_LEVEL(qn_ternary_encoders)[] = {
    {QN_Q1_0, QN_EFFORT_NORMAL, encode_q1_0},   {QN_Q2_0, QN_EFFORT_NORMAL, encode_q2_0},
    {QN_TQ1_0, QN_EFFORT_NORMAL, encode_tq1_0}, {QN_TQ2_0, QN_EFFORT_NORMAL, encode_tq2_0},
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};
