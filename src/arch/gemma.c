/* SPDX-License-Identifier: MIT */
/* gemma.c: Gemma 1, 2 and 3 (text): norms stored less one, tied embeddings. Source: facts/architectures.md 5, 6, 7. */
#include "arch/families.h"

static const char *const gemma_classes[] = {"GemmaForCausalLM", NULL};
static const char *const gemma2_classes[] = {"Gemma2ForCausalLM", NULL};
static const char *const gemma3_classes[] = {"Gemma3ForCausalLM", "Gemma3ForConditionalGeneration", NULL};

static const qn_hp_default gemma_defaults[] = {
    {QN_HP_N_VOCAB, 256000}, {QN_HP_N_EMBD, 3072},  {QN_HP_N_FF, 24576}, {QN_HP_N_LAYER, 28},   {QN_HP_N_HEAD, 16},
    {QN_HP_N_HEAD_KV, 16},   {QN_HP_HEAD_DIM, 256}, {QN_HP_N_CTX, 8192}, {QN_HP_RMS_EPS, 1e-6},
};
static const qn_hp_default gemma2_defaults[] = {
    {QN_HP_N_VOCAB, 256000}, {QN_HP_N_EMBD, 2304},     {QN_HP_N_FF, 9216},        {QN_HP_N_LAYER, 26},
    {QN_HP_N_HEAD, 8},       {QN_HP_N_HEAD_KV, 4},     {QN_HP_HEAD_DIM, 256},     {QN_HP_N_CTX, 8192},
    {QN_HP_RMS_EPS, 1e-6},   {QN_HP_ATTN_SOFTCAP, 50}, {QN_HP_FINAL_SOFTCAP, 30}, {QN_HP_SLIDING_WINDOW, 4096},
};
static const qn_hp_default gemma3_defaults[] = {
    {QN_HP_N_VOCAB, 262208}, {QN_HP_N_EMBD, 2304},   {QN_HP_N_FF, 9216},         {QN_HP_N_LAYER, 26},
    {QN_HP_N_HEAD, 8},       {QN_HP_N_HEAD_KV, 4},   {QN_HP_HEAD_DIM, 256},      {QN_HP_N_CTX, 131072},
    {QN_HP_RMS_EPS, 1e-6},   {QN_HP_ROPE_BASE, 1e6}, {QN_HP_ROPE_BASE_SWA, 1e4}, {QN_HP_SLIDING_WINDOW, 4096},
};

/* Gemma 1 and 2 write no rope base: the runtime's 10000 is theirs. */
#define GEMMA_KEYS                                                                                                    \
    {"context_length", QN_KEY_U32, QN_HP_N_CTX}, {"embedding_length", QN_KEY_U32, QN_HP_N_EMBD},                      \
        {"block_count", QN_KEY_U32, QN_HP_N_LAYER}, {"feed_forward_length", QN_KEY_U32, QN_HP_N_FF},                  \
        {"attention.head_count", QN_KEY_U32, QN_HP_N_HEAD}, {"attention.head_count_kv", QN_KEY_U32, QN_HP_N_HEAD_KV}, \
        {"attention.layer_norm_rms_epsilon", QN_KEY_F32, QN_HP_RMS_EPS},                                              \
        {"attention.key_length", QN_KEY_U32, QN_HP_HEAD_DIM}, {                                                       \
        "attention.value_length", QN_KEY_U32, QN_HP_HEAD_DIM                                                          \
    }

static const qn_key_rule gemma_keys[] = {GEMMA_KEYS};
static const qn_key_rule gemma2_keys[] = {
    GEMMA_KEYS,
    {"attn_logit_softcapping", QN_KEY_F32, QN_HP_ATTN_SOFTCAP},
    {"final_logit_softcapping", QN_KEY_F32, QN_HP_FINAL_SOFTCAP},
    {"attention.sliding_window", QN_KEY_U32, QN_HP_SLIDING_WINDOW},
};
static const qn_key_rule gemma3_keys[] = {
    {"final_logit_softcapping", QN_KEY_F32, QN_HP_FINAL_SOFTCAP},
    {"attention.sliding_window", QN_KEY_U32, QN_HP_SLIDING_WINDOW},
};

/* The output matrix is always the embedding; a copy in the checkpoint is left out. */
#define GEMMA_TIED_OUTPUT \
    { "lm_head.weight", NULL, QN_DIM_NONE, QN_DIM_NONE, QN_AS_IS, QN_DROPPED }
#define GEMMA_MATRIX_RULES                                                                                       \
    QN_RULE_MATRIX("model.layers.%.self_attn.q_proj", "blk.%.attn_q", QN_DIM_Q, QN_DIM_EMBD, QN_AS_IS),          \
        QN_RULE_MATRIX("model.layers.%.self_attn.k_proj", "blk.%.attn_k", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),     \
        QN_RULE_MATRIX("model.layers.%.self_attn.v_proj", "blk.%.attn_v", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),     \
        QN_RULE_MATRIX("model.layers.%.self_attn.o_proj", "blk.%.attn_output", QN_DIM_EMBD, QN_DIM_Q, QN_AS_IS), \
        QN_RULE_MATRIX("model.layers.%.mlp.gate_proj", "blk.%.ffn_gate", QN_DIM_FF, QN_DIM_EMBD, QN_AS_IS),      \
        QN_RULE_MATRIX("model.layers.%.mlp.up_proj", "blk.%.ffn_up", QN_DIM_FF, QN_DIM_EMBD, QN_AS_IS),          \
        QN_RULE_MATRIX("model.layers.%.mlp.down_proj", "blk.%.ffn_down", QN_DIM_EMBD, QN_DIM_FF, QN_AS_IS),      \
        QN_RULE_INV_FREQ
#define GEMMA_SANDWICH_NORMS                                                                                        \
    QN_RULE_NORM("model.layers.%.post_attention_layernorm", "blk.%.post_attention_norm", QN_DIM_EMBD, QN_PLUS_ONE), \
        QN_RULE_NORM("model.layers.%.pre_feedforward_layernorm", "blk.%.ffn_norm", QN_DIM_EMBD, QN_PLUS_ONE),       \
        QN_RULE_NORM("model.layers.%.post_feedforward_layernorm", "blk.%.post_ffw_norm", QN_DIM_EMBD, QN_PLUS_ONE)
#define GEMMA_INPUT_NORM QN_RULE_NORM("model.layers.%.input_layernorm", "blk.%.attn_norm", QN_DIM_EMBD, QN_PLUS_ONE)
#define GEMMA_FINAL_NORM QN_RULE_NORM("model.norm", "output_norm", QN_DIM_EMBD, QN_PLUS_ONE)

static const qn_tensor_rule gemma_tensors[] = {
    QN_RULE_EMBED,
    GEMMA_INPUT_NORM,
    QN_RULE_NORM("model.layers.%.post_attention_layernorm", "blk.%.ffn_norm", QN_DIM_EMBD, QN_PLUS_ONE),
    GEMMA_MATRIX_RULES,
    GEMMA_FINAL_NORM,
    GEMMA_TIED_OUTPUT,
};

static const qn_tensor_rule gemma2_tensors[] = {
    QN_RULE_EMBED, GEMMA_INPUT_NORM, GEMMA_SANDWICH_NORMS, GEMMA_MATRIX_RULES, GEMMA_FINAL_NORM, GEMMA_TIED_OUTPUT,
};

static const qn_tensor_rule gemma3_tensors[] = {
    QN_RULE_EMBED,
    GEMMA_INPUT_NORM,
    QN_RULE_NORM("model.layers.%.self_attn.q_norm", "blk.%.attn_q_norm", QN_DIM_HEAD, QN_PLUS_ONE),
    QN_RULE_NORM("model.layers.%.self_attn.k_norm", "blk.%.attn_k_norm", QN_DIM_HEAD, QN_PLUS_ONE),
    GEMMA_SANDWICH_NORMS,
    GEMMA_MATRIX_RULES,
    GEMMA_FINAL_NORM,
    QN_RULE_OUTPUT,
};

static const char *const gemma3_cut[] = {"language_model.", NULL};
static const char *const gemma3_dropped[] = {"vision_tower.", "multi_modal_projector.", NULL};

static qn_status gemma3_derive(const char *where, const json_t *config, qn_hparams *h, qn_error *err) {
    (void)config;
    if (h->has[QN_HP_ATTN_SOFTCAP]) {
        return qn_fail(err, QN_E_UNSUPPORTED, "%s: 'attn_logit_softcapping' is %g; Gemma 3 in GGUF has none", where,
                       h->value[QN_HP_ATTN_SOFTCAP]);
    }
    if (qn_hp_count(h, QN_HP_SLIDING_PATTERN) == 1) {
        h->has[QN_HP_SLIDING_WINDOW] = false; /* every layer is full */
    }
    return QN_OK;
}

#define GELU "\"hidden_act\":\"gelu_pytorch_tanh\",\"hidden_activation\":\"gelu_pytorch_tanh\""

/*
 * Queries are scaled by the head size, and in the 27B models, which programs tell by their number of layers, by what
 * each head's share of the hidden size is. Source: facts/architectures.md 6, 7.
 */
static bool put_query_scale(const qn_hparams *h, uint64_t layers_of_27b, json_t *config) {
    const uint64_t share = qn_hp_count(h, QN_HP_N_EMBD) / qn_hp_count(h, QN_HP_N_HEAD);
    const uint64_t n = qn_hp_count(h, QN_HP_N_LAYER) == layers_of_27b ? share : qn_hp_head_dim(h);
    return json_object_set_new(config, "query_pre_attn_scalar", json_integer((json_int_t)n)) == 0;
}

static bool gemma2_describe(const qn_hparams *h, json_t *config) {
    return put_query_scale(h, 46, config);
}

/* Kinds of layers are written out: releases of transformers differ in how they read the pattern. */
static bool gemma3_describe(const qn_hparams *h, json_t *config) {
    const uint64_t pattern = qn_hp_count(h, QN_HP_SLIDING_PATTERN) == 0 ? 6 : qn_hp_count(h, QN_HP_SLIDING_PATTERN);
    json_t *kinds = json_array();
    bool fits = true;
    for (uint64_t i = 0; i < qn_hp_count(h, QN_HP_N_LAYER) && fits; i++) {
        const char *kind = (i + 1) % pattern == 0 ? "full_attention" : "sliding_attention";
        fits = json_array_append_new(kinds, json_string(kind)) == 0;
    }
    return json_object_set_new(config, "layer_types", kinds) == 0 && fits && put_query_scale(h, 62, config);
}

/* Keys that a file leaves out stand for these. Source: facts/architectures.md 6. */
static qn_status gemma2_recover(const qn_generated *found, size_t n, qn_arena *arena, qn_hparams *h, qn_error *err) {
    static const qn_hp_default meant[] = {
        {QN_HP_ATTN_SOFTCAP, 50}, {QN_HP_FINAL_SOFTCAP, 30}, {QN_HP_SLIDING_WINDOW, 4096}};
    (void)found;
    (void)n;
    (void)arena;
    (void)err;
    for (size_t i = 0; i < QN_COUNT(meant); i++) {
        if (!h->has[meant[i].hp]) {
            qn_hp_set(h, meant[i].hp, meant[i].value);
        }
    }
    return QN_OK;
}

/* Programs know the pattern of layers and the local base; a file without a window has full layers only. */
static qn_status gemma3_recover(const qn_generated *found, size_t n, qn_arena *arena, qn_hparams *h, qn_error *err) {
    (void)found;
    (void)n;
    (void)arena;
    (void)err;
    qn_hp_set(h, QN_HP_SLIDING_PATTERN, qn_hp_count(h, QN_HP_SLIDING_WINDOW) > 0 ? 6 : 1);
    if (!h->has[QN_HP_ROPE_BASE_SWA]) {
        qn_hp_set(h, QN_HP_ROPE_BASE_SWA, 10000);
    }
    return QN_OK;
}

const qn_arch qn_arch_gemma = {
    .name = "gemma",
    .label = "Gemma 1",
    .model_type = "gemma",
    .config_constants = "{" GELU "}",
    .classes = gemma_classes,
    .defaults = gemma_defaults,
    .n_defaults = QN_COUNT(gemma_defaults),
    .tied_by_default = true,
    .keys = gemma_keys,
    .n_keys = QN_COUNT(gemma_keys),
    .tensors = gemma_tensors,
    .n_tensors = QN_COUNT(gemma_tensors),
    .base_prefixes = qn_prefix_model,
    .rope = QN_ROPE_NEOX,
    .vocab = {.prefers_spm = true, .add_space_prefix = 0, .gemma1_fim = true},
};

const qn_arch qn_arch_gemma2 = {
    .name = "gemma2",
    .label = "Gemma 2",
    .model_type = "gemma2",
    .config_constants = "{" GELU "}",
    .classes = gemma2_classes,
    .defaults = gemma2_defaults,
    .n_defaults = QN_COUNT(gemma2_defaults),
    .tied_by_default = true,
    .keys = gemma2_keys,
    .n_keys = QN_COUNT(gemma2_keys),
    .tensors = gemma2_tensors,
    .n_tensors = QN_COUNT(gemma2_tensors),
    .base_prefixes = qn_prefix_model,
    .rope = QN_ROPE_NEOX,
    .vocab = {.prefers_spm = true, .add_space_prefix = 0},
    .describe = gemma2_describe,
    .recover = gemma2_recover,
};

const qn_arch qn_arch_gemma3 = {
    .name = "gemma3",
    .label = "Gemma 3 (text)",
    .model_type = "gemma3_text",
    .config_constants = "{" GELU ",\"attn_logit_softcapping\":null,\"final_logit_softcapping\":null}",
    .classes = gemma3_classes,
    .defaults = gemma3_defaults,
    .n_defaults = QN_COUNT(gemma3_defaults),
    .tied_by_default = true,
    .has_generic_keys = true,
    .keys = gemma3_keys,
    .n_keys = QN_COUNT(gemma3_keys),
    .tensors = gemma3_tensors,
    .n_tensors = QN_COUNT(gemma3_tensors),
    .base_prefixes = qn_prefix_model,
    .cut_parts = gemma3_cut,
    .dropped_parts = gemma3_dropped,
    .rope = QN_ROPE_NEOX,
    .cuts_vocab = true,
    .vocab = {.prefers_spm = true, .add_space_prefix = 0},
    .derive = gemma3_derive,
    .describe = gemma3_describe,
    .recover = gemma3_recover,
};
