/* SPDX-License-Identifier: MIT */
/* iq2_kernels.c: IQ2_XXS, IQ2_XS and IQ2_S at one level. */
#include "dtype/iq2_lanes.h"

const qn_encoder QN_AT_LEVEL(qn_iq2_encoders)[] = {
    {QN_IQ2_XXS, QN_EFFORT_NORMAL, encode_iq2_xxs_normal}, {QN_IQ2_XXS, QN_EFFORT_FAST, encode_iq2_xxs_fast},
    {QN_IQ2_XXS, QN_EFFORT_BEST, encode_iq2_xxs_best},     {QN_IQ2_XS, QN_EFFORT_NORMAL, encode_iq2_xs_normal},
    {QN_IQ2_XS, QN_EFFORT_FAST, encode_iq2_xs_fast},       {QN_IQ2_XS, QN_EFFORT_BEST, encode_iq2_xs_best},
    {QN_IQ2_S, QN_EFFORT_NORMAL, encode_iq2_s_normal},     {QN_IQ2_S, QN_EFFORT_FAST, encode_iq2_s_fast},
    {QN_IQ2_S, QN_EFFORT_BEST, encode_iq2_s_best},         {QN_F32, QN_EFFORT_NORMAL, NULL},
};
