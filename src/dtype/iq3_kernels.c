/* SPDX-License-Identifier: MIT */
/* iq3_kernels.c: IQ3_XXS and IQ3_S at one level. */
#include "dtype/kernels.h"

const qn_encoder QN_AT_LEVEL(qn_iq3_encoders)[] = {
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};
