/* SPDX-License-Identifier: MIT */
/* iq3_kernels.c: IQ3_XXS and IQ3_S at one level. */
#include "dtype/iq3_lanes.h"

const qn_encoder QN_AT_LEVEL(qn_iq3_encoders)[] = {
    {QN_IQ3_XXS, QN_EFFORT_NORMAL, encode_iq3_xxs_normal},
    {QN_IQ3_XXS, QN_EFFORT_FAST, encode_iq3_xxs_fast},
    {QN_IQ3_XXS, QN_EFFORT_BEST, encode_iq3_xxs_best},
    {QN_IQ3_S, QN_EFFORT_NORMAL, encode_iq3_s_normal},
    {QN_IQ3_S, QN_EFFORT_FAST, encode_iq3_s_fast},
    {QN_IQ3_S, QN_EFFORT_BEST, encode_iq3_s_best},
    {QN_F32, QN_EFFORT_NORMAL, NULL},
};
