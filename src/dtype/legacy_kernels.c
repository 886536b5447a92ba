/* SPDX-License-Identifier: MIT */
/* legacy_kernels.c: Q4_0, Q4_1, Q5_0 and Q5_1 at one level. */
#include "dtype/legacy_lanes.h"

const qn_encoder QN_AT_LEVEL(qn_legacy_encoders)[] = {
    {QN_Q4_0, QN_EFFORT_NORMAL, encode_q4_0}, {QN_Q4_0, QN_EFFORT_BEST, encode_q4_0_best},
    {QN_Q4_1, QN_EFFORT_NORMAL, encode_q4_1}, {QN_Q4_1, QN_EFFORT_BEST, encode_q4_1_best},
    {QN_Q5_0, QN_EFFORT_NORMAL, encode_q5_0}, {QN_Q5_0, QN_EFFORT_BEST, encode_q5_0_best},
    {QN_Q5_1, QN_EFFORT_NORMAL, encode_q5_1}, {QN_Q5_1, QN_EFFORT_BEST, encode_q5_1_best},
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};
