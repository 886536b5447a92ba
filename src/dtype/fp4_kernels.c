/* SPDX-License-Identifier: MIT */
/* fp4_kernels.c: MXFP4 and NVFP4 at one level. */
#include "dtype/kernels.h"

const qn_encoder QN_AT_LEVEL(qn_fp4_encoders)[] = {
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};
