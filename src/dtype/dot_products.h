/* SPDX-License-Identifier: MIT */
/* dot_products.h: every type's product at one level: few vectors one by one, many by panels; by rows without AVX2. */
#ifndef QUERN_DTYPE_DOT_PRODUCTS_H
#define QUERN_DTYPE_DOT_PRODUCTS_H

#include "dtype/dot_floats.h"
#include "dtype/dot_pack.h"
#include "dtype/dot_panels.h"
#include "dtype/dot_quick.h"
#include "dtype/dot_quick_grids.h"
#include "dtype/dot_rows.h"

/* Unpackers are called by address: one copy of each loop serves all types whose codes have the same size. */
#if defined(__AVX2__)
#define DEFINE_DOT(type, kind, bytes, rows, tiles)          \
    static void dot_##type(const qn_dot_task *task) {       \
        all_panels_##kind(task, flat_##type, bytes, tiles); \
    }
/* With a product of its own for one vector, which serves fewer than least. */
#define DEFINE_QUICK_DOT(type, kind, bytes, rows, tiles, least) \
    static void dot_##type(const qn_dot_task *task) {           \
        if (task->n_vectors < least) {                          \
            one_by_one(task, quick_rows_##type);                \
        } else {                                                \
            all_panels_##kind(task, flat_##type, bytes, tiles); \
        }                                                       \
    }
#else
#define DEFINE_DOT(type, kind, bytes, rows, tiles)    \
    static void dot_##type(const qn_dot_task *task) { \
        rows(task, flat_##type, bytes);               \
    }
#define DEFINE_QUICK_DOT(type, kind, bytes, rows, tiles, least) DEFINE_DOT(type, kind, bytes, rows, tiles)
#endif

DEFINE_QUICK_DOT(q2_k, k, sizeof(qn_block_q2_k), rows_k, tiles_k_5_bit, PANEL_LEAST)
DEFINE_QUICK_DOT(q3_k, k, sizeof(qn_block_q3_k), rows_k, tiles_k_5_bit, PANEL_LEAST)
DEFINE_QUICK_DOT(q4_k, k, sizeof(qn_block_q4_k), rows_k, tiles_k_4_bit, PANEL_LEAST)
DEFINE_QUICK_DOT(q5_k, k, sizeof(qn_block_q5_k), rows_k, tiles_k_5_bit, PANEL_LEAST)
DEFINE_QUICK_DOT(q6_k, k, sizeof(qn_block_q6_k), rows_k, tiles_k_6_bit, PANEL_LEAST)
DEFINE_QUICK_DOT(iq4_xs, k, sizeof(qn_block_iq4_xs), rows_k_signed, tiles_k_signed, PANEL_LEAST)
DEFINE_QUICK_DOT(iq2_xxs, k, sizeof(qn_block_iq2_xxs), rows_k, tiles_k_7_bit, PANEL_LEAST_OCTETS)
DEFINE_QUICK_DOT(iq2_xs, k, sizeof(qn_block_iq2_xs), rows_k, tiles_k_7_bit, PANEL_LEAST_OCTETS)
DEFINE_QUICK_DOT(iq2_s, k, sizeof(qn_block_iq2_s), rows_k, tiles_k_7_bit, PANEL_LEAST_OCTETS)
DEFINE_QUICK_DOT(iq3_xxs, k, sizeof(qn_block_iq3_xxs), rows_k, tiles_k_7_bit, PANEL_LEAST_QUADS)
DEFINE_QUICK_DOT(iq3_s, k, sizeof(qn_block_iq3_s), rows_k, tiles_k_5_bit, PANEL_LEAST_QUADS)
DEFINE_QUICK_DOT(iq1_s, k, sizeof(qn_block_iq1_s), rows_k, tiles_k_5_bit, PANEL_LEAST)
DEFINE_QUICK_DOT(iq1_m, k, sizeof(qn_block_iq1_m), rows_k, tiles_k_5_bit, PANEL_LEAST)
DEFINE_QUICK_DOT(tq1_0, k, sizeof(qn_block_tq1_0), rows_k, tiles_k_5_bit, PANEL_LEAST)
DEFINE_QUICK_DOT(tq2_0, k, sizeof(qn_block_tq2_0), rows_k, tiles_k_5_bit, PANEL_LEAST)

DEFINE_QUICK_DOT(q4_0, 32, 8 * sizeof(qn_block_q4_0), rows_32, tiles_32_4_bit, PANEL_LEAST)
DEFINE_QUICK_DOT(q4_1, 32, 8 * sizeof(qn_block_q4_1), rows_32, tiles_32_4_bit, PANEL_LEAST)
DEFINE_QUICK_DOT(q5_0, 32, 8 * sizeof(qn_block_q5_0), rows_32, tiles_32_5_bit, PANEL_LEAST)
DEFINE_QUICK_DOT(q5_1, 32, 8 * sizeof(qn_block_q5_1), rows_32, tiles_32_5_bit, PANEL_LEAST)
DEFINE_QUICK_DOT(q8_0, 32, 8 * sizeof(qn_block_q8_0), rows_32_signed, tiles_32_signed, PANEL_LEAST)
DEFINE_QUICK_DOT(iq4_nl, 32, 8 * sizeof(qn_block_iq4_nl), rows_32_signed, tiles_32_signed, PANEL_LEAST)
DEFINE_QUICK_DOT(mxfp4, 32, 8 * sizeof(qn_block_mxfp4), rows_32, tiles_32_5_bit, PANEL_LEAST)
DEFINE_DOT(q1_0, 32, 2 * sizeof(qn_block_q1_0), rows_32, tiles_32_4_bit)
DEFINE_DOT(q2_0, 32, 4 * sizeof(qn_block_q2_0), rows_32, tiles_32_4_bit)

/* The table of a level. */
#define DOT_KERNELS                                                                                         \
    {                                                                                                       \
        .dot =                                                                                              \
            {                                                                                               \
                [QN_F32] = dot_f32,         [QN_F16] = dot_f16,       [QN_BF16] = dot_bf16,                 \
                [QN_Q4_0] = dot_q4_0,       [QN_Q4_1] = dot_q4_1,     [QN_Q5_0] = dot_q5_0,                 \
                [QN_Q5_1] = dot_q5_1,       [QN_Q8_0] = dot_q8_0,     [QN_IQ4_NL] = dot_iq4_nl,             \
                [QN_MXFP4] = dot_mxfp4,     [QN_Q1_0] = dot_q1_0,     [QN_Q2_0] = dot_q2_0,                 \
                [QN_Q2_K] = dot_q2_k,       [QN_Q3_K] = dot_q3_k,     [QN_Q4_K] = dot_q4_k,                 \
                [QN_Q5_K] = dot_q5_k,       [QN_Q6_K] = dot_q6_k,     [QN_IQ4_XS] = dot_iq4_xs,             \
                [QN_IQ2_XXS] = dot_iq2_xxs, [QN_IQ2_XS] = dot_iq2_xs, [QN_IQ2_S] = dot_iq2_s,               \
                [QN_IQ3_XXS] = dot_iq3_xxs, [QN_IQ3_S] = dot_iq3_s,   [QN_IQ1_S] = dot_iq1_s,               \
                [QN_IQ1_M] = dot_iq1_m,     [QN_TQ1_0] = dot_tq1_0,   [QN_TQ2_0] = dot_tq2_0,               \
            },                                                                                              \
        .dot_decoded = dot_decoded, .pack_q8_0 = pack_q8_0, .pack_q8_1 = pack_q8_1, .pack_q8_k = pack_q8_k, \
        .pack_q8_0_floats = pack_q8_0_floats,                                                               \
    }

#endif
