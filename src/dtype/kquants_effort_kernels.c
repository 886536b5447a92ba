/* SPDX-License-Identifier: MIT */
/* kquants_effort_kernels.c: Q2_K to Q6_K at one level, fast and best effort. */
#include "dtype/kernels.h"

const qn_encoder QN_AT_LEVEL(qn_kquant_efforts)[] = {
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};
