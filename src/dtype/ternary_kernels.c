/* SPDX-License-Identifier: MIT */
/* ternary_kernels.c: TQ1_0, TQ2_0, Q1_0 and Q2_0 at one level. */
#include "dtype/kernels.h"

const qn_encoder QN_AT_LEVEL(qn_ternary_encoders)[] = {
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};
