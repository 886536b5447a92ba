/* SPDX-License-Identifier: MIT */
/* mixture_rules.h: the mixture rules as data, for mixture.c; roles of names. Source: facts/mixes.md. */
#ifndef QUERN_STREAM_MIXTURE_RULES_H
#define QUERN_STREAM_MIXTURE_RULES_H

#include "quern/dtype.h"

/** Targets in the order of the table in mixture_rules.c; a rule names a set of them as bits. */
typedef enum qn_target_index {
    QN_T_F32,
    QN_T_F16,
    QN_T_BF16,
    QN_T_Q4_0,
    QN_T_Q4_1,
    QN_T_Q5_0,
    QN_T_Q5_1,
    QN_T_Q8_0,
    QN_T_Q2_K,
    QN_T_Q2_K_S,
    QN_T_Q3_K_S,
    QN_T_Q3_K_M,
    QN_T_Q3_K_L,
    QN_T_Q4_K_S,
    QN_T_Q4_K_M,
    QN_T_Q5_K_S,
    QN_T_Q5_K_M,
    QN_T_Q6_K,
    QN_T_IQ1_S,
    QN_T_IQ1_M,
    QN_T_IQ2_XXS,
    QN_T_IQ2_XS,
    QN_T_IQ2_S,
    QN_T_IQ2_M,
    QN_T_IQ3_XXS,
    QN_T_IQ3_XS,
    QN_T_IQ3_S,
    QN_T_IQ3_M,
    QN_T_IQ4_NL,
    QN_T_IQ4_XS,
    QN_T_TQ1_0,
    QN_T_TQ2_0,
    QN_T_MXFP4_MOE,
    QN_T_Q1_0,
    QN_T_Q2_0,
    QN_N_TARGETS
} qn_target_index;

/** What a tensor is to the rules, by its name. */
typedef enum qn_role {
    QN_ROLE_NONE,
    QN_ROLE_OUT,
    QN_ROLE_EMB,
    QN_ROLE_V,
    QN_ROLE_K,
    QN_ROLE_Q,
    QN_ROLE_O,
    QN_ROLE_UP,
    QN_ROLE_GATE,
    QN_ROLE_DOWN,
    QN_N_ROLES
} qn_role;

/** Conditions; a rule holds when all of its bits do. i and n are the tensor's index and its limit (mixes.md 3). */
enum {
    QN_IF_GQA4 = 1 << 0,     /* at least 4 query heads a key head */
    QN_IF_EXPERTS4 = 1 << 1, /* at least 4 experts */
    QN_IF_EXPERTS8 = 1 << 2, /* exactly 8 experts */
    QN_IF_NOT_EXPERTS8 = 1 << 3,
    QN_IF_FALCON = 1 << 4,
    QN_IF_NOT_FALCON = 1 << 5,
    QN_IF_IMATRIX = 1 << 6,
    QN_IF_NO_IMATRIX = 1 << 7,
    QN_IF_FIRST_2 = 1 << 8,         /* i < 2 */
    QN_IF_FIRST_4 = 1 << 9,         /* i < 4 */
    QN_IF_EIGHTH = 1 << 10,         /* i < n/8 */
    QN_IF_SIXTEENTH = 1 << 11,      /* i < n/16 */
    QN_IF_MIDDLE = 1 << 12,         /* n/8 <= i < 7n/8 */
    QN_IF_MORE = 1 << 13,           /* i < n/8, or i >= 7n/8, or every third between */
    QN_IF_RUNNING_EIGHTH = 1 << 14, /* as EIGHTH with the running index, also in models with experts */
    QN_IF_UNEVEN = 1 << 15,         /* rows are not whole blocks of the target's base type */
    QN_IF_STACKED = 1 << 16         /* a stack of experts */
};

/** The first rule that names the tensor's role and the target, and whose conditions hold, gives the type. */
typedef struct qn_mixture_rule {
    uint32_t roles;      /**< 1 << qn_role, … */
    uint64_t targets;    /**< 1 << qn_target_index, … */
    uint32_t conditions; /**< QN_IF_… */
    qn_dtype type;
} qn_mixture_rule;

extern const qn_mixture_rule qn_mixture_rules[];
extern const uint64_t qn_n_mixture_rules;

/** Targets whose rules are those for the lowest bit widths. */
extern const uint64_t qn_low_bit_targets;

/** The role of a name, by the first match. */
qn_role qn_role_of(const char *name);
/** Whether the reference never quantises a tensor of this name. */
bool qn_name_is_kept(const char *name);

#endif
