/* SPDX-License-Identifier: MIT */
/* iq1_kernels.c: IQ1_S and IQ1_M at one level. */
#include "dtype/kernels.h"

const qn_encoder QN_AT_LEVEL(qn_iq1_encoders)[] = {
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};
