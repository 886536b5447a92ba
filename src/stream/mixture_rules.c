/* SPDX-License-Identifier: MIT */
/*
 * mixture_rules.c: targets, roles, names that are never quantised, and the rules, as tables.
 * Rules stand in the order in which they are tried. Source: facts/mixes.md 1 to 6.
 */
#include "stream/mixture_rules.h"

#include "stream/mixture.h"

#include <ctype.h>
#include <string.h>

/* clang-format off */
static const qn_target targets[QN_N_TARGETS] = {
    [QN_T_F32] = {"F32", 0, QN_F32},               [QN_T_F16] = {"F16", 1, QN_F16},
    [QN_T_BF16] = {"BF16", 32, QN_BF16},           [QN_T_Q4_0] = {"Q4_0", 2, QN_Q4_0},
    [QN_T_Q4_1] = {"Q4_1", 3, QN_Q4_1},            [QN_T_Q5_0] = {"Q5_0", 8, QN_Q5_0},
    [QN_T_Q5_1] = {"Q5_1", 9, QN_Q5_1},            [QN_T_Q8_0] = {"Q8_0", 7, QN_Q8_0},
    [QN_T_Q2_K] = {"Q2_K", 10, QN_Q2_K},           [QN_T_Q2_K_S] = {"Q2_K_S", 21, QN_Q2_K},
    [QN_T_Q3_K_S] = {"Q3_K_S", 11, QN_Q3_K},       [QN_T_Q3_K_M] = {"Q3_K_M", 12, QN_Q3_K},
    [QN_T_Q3_K_L] = {"Q3_K_L", 13, QN_Q3_K},       [QN_T_Q4_K_S] = {"Q4_K_S", 14, QN_Q4_K},
    [QN_T_Q4_K_M] = {"Q4_K_M", 15, QN_Q4_K},       [QN_T_Q5_K_S] = {"Q5_K_S", 16, QN_Q5_K},
    [QN_T_Q5_K_M] = {"Q5_K_M", 17, QN_Q5_K},       [QN_T_Q6_K] = {"Q6_K", 18, QN_Q6_K},
    [QN_T_IQ1_S] = {"IQ1_S", 24, QN_IQ1_S},        [QN_T_IQ1_M] = {"IQ1_M", 31, QN_IQ1_M},
    [QN_T_IQ2_XXS] = {"IQ2_XXS", 19, QN_IQ2_XXS},  [QN_T_IQ2_XS] = {"IQ2_XS", 20, QN_IQ2_XS},
    [QN_T_IQ2_S] = {"IQ2_S", 28, QN_IQ2_XS},       [QN_T_IQ2_M] = {"IQ2_M", 29, QN_IQ2_S},
    [QN_T_IQ3_XXS] = {"IQ3_XXS", 23, QN_IQ3_XXS},  [QN_T_IQ3_XS] = {"IQ3_XS", 22, QN_IQ3_S},
    [QN_T_IQ3_S] = {"IQ3_S", 26, QN_IQ3_S},        [QN_T_IQ3_M] = {"IQ3_M", 27, QN_IQ3_S},
    [QN_T_IQ4_NL] = {"IQ4_NL", 25, QN_IQ4_NL},     [QN_T_IQ4_XS] = {"IQ4_XS", 30, QN_IQ4_XS},
    [QN_T_TQ1_0] = {"TQ1_0", 36, QN_TQ1_0},        [QN_T_TQ2_0] = {"TQ2_0", 37, QN_TQ2_0},
    [QN_T_MXFP4_MOE] = {"MXFP4_MOE", 38, QN_MXFP4}, [QN_T_Q1_0] = {"Q1_0", 40, QN_Q1_0},
    [QN_T_Q2_0] = {"Q2_0", 41, QN_Q2_0},
};

static const struct {
    const char *alias;
    qn_target_index target;
} aliases[] = {{"Q3_K", QN_T_Q3_K_M}, {"Q4_K", QN_T_Q4_K_M}, {"Q5_K", QN_T_Q5_K_M}};

#define T(name) (1ULL << QN_T_##name)
#define R(name) (1U << QN_ROLE_##name)
#define IF(name) ((uint32_t)QN_IF_##name)
#define ANY_ROLE ((1U << QN_N_ROLES) - 1)
#define ANY_TARGET ((1ULL << QN_N_TARGETS) - 1)
#define LOW_XS (T(IQ1_S) | T(IQ1_M) | T(IQ2_XXS) | T(IQ2_XS)) /* the low-bit targets below 2.5 bits */
#define LOW_S (T(IQ2_S) | T(IQ2_M))
#define LOW (LOW_XS | LOW_S)
#define IQ4 (T(IQ4_NL) | T(IQ4_XS))

const uint64_t qn_low_bit_targets = LOW;

const qn_mixture_rule qn_mixture_rules[] = {
    /* 4. output, or the embedding that stands in for it */
    {R(OUT), T(MXFP4_MOE), 0, QN_Q8_0},
    {R(OUT), ANY_TARGET, IF(FALCON), QN_Q8_0},
    {R(OUT), ANY_TARGET, IF(UNEVEN), QN_Q8_0},
    {R(OUT), LOW | T(IQ3_XXS), 0, QN_Q5_K},
    {R(OUT), T(Q8_0), 0, QN_Q8_0},
    {R(OUT), ANY_TARGET, 0, QN_Q6_K},
    {ANY_ROLE, T(MXFP4_MOE), IF(STACKED), QN_MXFP4},
    {ANY_ROLE, T(MXFP4_MOE), 0, QN_Q8_0},
    {R(EMB), LOW_XS, 0, QN_Q2_K},
    {R(EMB), LOW_S | T(IQ3_XXS), 0, QN_IQ3_S},
    {R(EMB), T(TQ1_0) | T(TQ2_0) | T(Q2_0), 0, QN_Q4_K},

    /* 5. low-bit targets */
    {R(V), LOW, IF(GQA4), QN_Q4_K},
    {R(V), LOW, IF(EXPERTS4), QN_Q4_K},
    {R(V), LOW_S, 0, QN_IQ3_S},
    {R(V), LOW_XS, 0, QN_Q2_K},
    {R(K), LOW, IF(EXPERTS8), QN_Q4_K},
    {R(DOWN), LOW_S, IF(RUNNING_EIGHTH), QN_IQ3_S},
    {R(DOWN), LOW_XS, IF(RUNNING_EIGHTH), QN_Q2_K},
    {R(O), LOW, IF(EXPERTS8), QN_Q5_K},
    {R(O), T(IQ1_S) | T(IQ1_M), 0, QN_IQ2_XXS},
    {R(O), LOW_S, 0, QN_IQ3_S},

    /* 6. all other targets; what follows never meets a low-bit one except by its own bits */
    {R(V), T(Q2_K) | T(Q2_K_S) | T(IQ3_XXS) | T(IQ3_XS) | T(IQ3_S), IF(GQA4), QN_Q4_K},
    {R(V), T(Q2_K), 0, QN_Q3_K},
    {R(V), T(IQ3_XXS), IF(NO_IMATRIX), QN_IQ3_S},
    {R(V), T(IQ3_M), 0, QN_Q4_K},
    {R(V), T(Q3_K_M), IF(FIRST_2), QN_Q5_K},
    {R(V), T(Q3_K_M), 0, QN_Q4_K},
    {R(V), T(Q3_K_L), 0, QN_Q5_K},
    {R(V), IQ4, IF(GQA4), QN_Q5_K},
    {R(V), T(Q4_K_M) | T(Q5_K_M), IF(MORE), QN_Q6_K},
    {R(V), T(Q4_K_S), IF(FIRST_4), QN_Q5_K},

    {R(K), ANY_TARGET & ~LOW, IF(EXPERTS8), QN_Q8_0},
    {R(K) | R(Q), T(IQ3_XS), 0, QN_IQ3_XXS},
    {R(K) | R(Q), T(IQ3_XXS), 0, QN_IQ2_S},

    {R(DOWN), T(Q2_K), 0, QN_Q3_K},
    {R(DOWN), T(Q2_K_S), IF(EIGHTH), QN_Q4_K},
    {R(DOWN), T(IQ3_XXS), IF(NO_IMATRIX) | IF(EIGHTH), QN_Q4_K},
    {R(DOWN), T(IQ3_XXS), IF(NO_IMATRIX), QN_Q3_K},
    {R(DOWN), T(Q3_K_M), IF(SIXTEENTH), QN_Q5_K},
    {R(DOWN), T(Q3_K_M), IF(NOT_FALCON), QN_Q4_K},
    {R(DOWN), T(Q3_K_M), IF(MORE), QN_Q4_K},
    {R(DOWN), T(IQ3_M), IF(EIGHTH), QN_Q4_K},
    {R(DOWN), T(IQ3_M), IF(EXPERTS8) | IF(MORE), QN_Q4_K},
    {R(DOWN), T(Q3_K_L), IF(FALCON), QN_Q4_K},
    {R(DOWN), T(Q3_K_L), 0, QN_Q5_K},
    {R(DOWN), T(Q4_K_M), IF(NOT_FALCON) | IF(MORE), QN_Q6_K},
    {R(DOWN), T(Q4_K_M), IF(FALCON) | IF(SIXTEENTH), QN_Q6_K},
    {R(DOWN), T(Q4_K_M), IF(FALCON) | IF(MORE), QN_Q5_K},
    {R(DOWN), IQ4, IF(NO_IMATRIX) | IF(EIGHTH), QN_Q5_K},
    {R(DOWN), T(Q5_K_M), IF(MORE), QN_Q6_K},
    {R(DOWN), T(Q4_K_S), IF(NOT_FALCON) | IF(EIGHTH), QN_Q5_K},
    {R(DOWN), T(Q4_0), IF(IMATRIX) | IF(EIGHTH), QN_Q4_1},
    {R(DOWN), T(Q5_0), IF(IMATRIX) | IF(EIGHTH), QN_Q5_1},

    {R(O), T(Q3_K_L), IF(FALCON), QN_Q4_K},
    {R(O), T(Q2_K) | T(IQ3_XS) | T(IQ3_XXS) | T(Q3_K_S) | T(Q3_K_M) | IQ4 | T(Q4_K_S) | T(Q4_K_M) | T(IQ3_S) | T(IQ3_M),
     IF(NOT_FALCON) | IF(EXPERTS8), QN_Q5_K},
    {R(O), T(Q2_K), IF(NOT_FALCON) | IF(NOT_EXPERTS8), QN_Q3_K},
    {R(O), T(IQ3_XXS), IF(NOT_FALCON) | IF(NOT_EXPERTS8), QN_IQ3_S},
    {R(O), T(Q3_K_M) | T(IQ3_M), IF(NOT_FALCON) | IF(NOT_EXPERTS8), QN_Q4_K},
    {R(O), T(Q3_K_L), IF(NOT_FALCON) | IF(NOT_EXPERTS8), QN_Q5_K},

    {R(GATE) | R(UP), T(IQ3_XS), IF(MIDDLE), QN_IQ3_XXS},
};
/* clang-format on */

const uint64_t qn_n_mixture_rules = sizeof qn_mixture_rules / sizeof qn_mixture_rules[0];

const qn_target *qn_target_at(uint64_t i) {
    return i < QN_N_TARGETS ? &targets[i] : NULL;
}

/** Upper or lower case, one alphabet. */
static bool is_same_name(const char *a, const char *b) {
    while (*a != '\0' && toupper((unsigned char)*a) == toupper((unsigned char)*b)) {
        a++;
        b++;
    }
    return *a == '\0' && *b == '\0';
}

const qn_target *qn_target_find(const char *name) {
    for (uint64_t i = 0; i < QN_N_TARGETS; i++) {
        if (is_same_name(targets[i].name, name)) {
            return &targets[i];
        }
    }
    for (uint64_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++) {
        if (is_same_name(aliases[i].alias, name)) {
            return &targets[aliases[i].target];
        }
    }
    return NULL;
}

qn_role qn_role_of(const char *name) {
    static const struct {
        const char *text;
        bool is_whole; /* the whole name, not a part of it */
        qn_role role;
    } roles[] = {
        {"output.weight", true, QN_ROLE_OUT},
        {"token_embd.weight", true, QN_ROLE_EMB},
        {"per_layer_token_embd.weight", true, QN_ROLE_EMB},
        {"attn_qkv.weight", false, QN_ROLE_V},
        {"attn_kv_b.weight", false, QN_ROLE_V},
        {"attn_v.weight", false, QN_ROLE_V},
        {"attn_k.weight", false, QN_ROLE_K},
        {"attn_q.weight", false, QN_ROLE_Q},
        {"attn_output.weight", false, QN_ROLE_O},
        {"ffn_up", false, QN_ROLE_UP},
        {"ffn_gate", false, QN_ROLE_GATE},
        {"ffn_down", false, QN_ROLE_DOWN},
    };
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        if (roles[i].is_whole ? strcmp(name, roles[i].text) == 0 : strstr(name, roles[i].text) != NULL) {
            return roles[i].role;
        }
    }
    return QN_ROLE_NONE;
}

bool qn_name_is_kept(const char *name) {
    static const char *const parts[] = {
        "_norm.weight",
        "ffn_gate_inp.weight",
        "ffn_gate_tid2eid.weight",
        "altup",
        "laurel",
        "per_layer_model_proj",
        "ssm_conv1d",
        "shortconv.conv.weight",
        "indexer.k_proj.weight",
        "indexer.q_proj.weight",
        "attn_rel_b.weight",
        "time_mix_first.weight",
        "time_mix_w0.weight",
        "time_mix_w1.weight",
        "time_mix_w2.weight",
        "time_mix_v0.weight",
        "time_mix_v1.weight",
        "time_mix_v2.weight",
        "time_mix_a0.weight",
        "time_mix_a1.weight",
        "time_mix_a2.weight",
        "time_mix_g1.weight",
        "time_mix_g2.weight",
        "time_mix_decay_w1.weight",
        "time_mix_decay_w2.weight",
        "time_mix_lerp_fused.weight",
        ".position_embd",
        "sam.pos_embd",
        "sam.neck.",
        "sam.net_",
        ".rel_pos",
        ".patch_embd",
        ".patch_merger",
        "a.rvq.codebook",
        "mm.a.code_embd",
    };
    const size_t len = strlen(name);
    if (len < 6 || strcmp(name + len - 6, "weight") != 0 || strcmp(name, "position_embd.weight") == 0 ||
        strcmp(name, "token_types.weight") == 0) {
        return true;
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strstr(name, parts[i]) != NULL) {
            return true;
        }
    }
    return false;
}
