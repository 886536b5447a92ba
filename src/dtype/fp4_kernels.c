/* SPDX-License-Identifier: MIT */
/* fp4_kernels.c: MXFP4 and NVFP4 at one level. */
#include "dtype/fp4_lanes.h"

const qn_encoder QN_AT_LEVEL(qn_fp4_encoders)[] = {
    {QN_MXFP4, QN_EFFORT_NORMAL, encode_mxfp4}, {QN_MXFP4, QN_EFFORT_BEST, encode_mxfp4_best},
    {QN_NVFP4, QN_EFFORT_NORMAL, encode_nvfp4}, {QN_NVFP4, QN_EFFORT_BEST, encode_nvfp4_best},
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};
