/* SPDX-License-Identifier: MIT */
/* iq1_kernels.c: IQ1_S and IQ1_M at one level. */
#include "dtype/iq1_lanes.h"

const qn_encoder QN_AT_LEVEL(qn_iq1_encoders)[] = {
    {QN_IQ1_S, QN_EFFORT_NORMAL, encode_iq1_s},
    {QN_IQ1_S, QN_EFFORT_FAST, encode_iq1_s_fast},
    {QN_IQ1_S, QN_EFFORT_BEST, encode_iq1_s_best},
    {QN_IQ1_M, QN_EFFORT_NORMAL, encode_iq1_m},
    {QN_IQ1_M, QN_EFFORT_FAST, encode_iq1_m_fast},
    {QN_IQ1_M, QN_EFFORT_BEST, encode_iq1_m_best},
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};
