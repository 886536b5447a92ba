/* SPDX-License-Identifier: MIT */
/* iq4_kernels.c: IQ4_NL and IQ4_XS at one level. */
#include "dtype/kernels.h"

const qn_encoder QN_AT_LEVEL(qn_iq4_encoders)[] = {
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};
