/* SPDX-License-Identifier: MIT */
/* iq2_kernels.c: IQ2_XXS, IQ2_XS and IQ2_S at one level. */
#include "dtype/kernels.h"

const qn_encoder QN_AT_LEVEL(qn_iq2_encoders)[] = {
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};
