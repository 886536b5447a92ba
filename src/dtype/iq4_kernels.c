/* SPDX-License-Identifier: MIT */
/* iq4_kernels.c: IQ4_NL and IQ4_XS at one level. */
#include "dtype/iq4_best_lanes.h"

const qn_encoder QN_AT_LEVEL(qn_iq4_encoders)[] = {
    {QN_IQ4_NL, QN_EFFORT_NORMAL, encode_iq4_nl},
    {QN_IQ4_NL, QN_EFFORT_FAST, encode_iq4_nl_fast},
    {QN_IQ4_NL, QN_EFFORT_BEST, encode_iq4_nl_best},
    {QN_IQ4_XS, QN_EFFORT_NORMAL, encode_iq4_xs},
    {QN_IQ4_XS, QN_EFFORT_FAST, encode_iq4_xs_fast},
    {QN_IQ4_XS, QN_EFFORT_BEST, encode_iq4_xs_best},
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};
