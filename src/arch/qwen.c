/* SPDX-License-Identifier: MIT */
/* qwen.c: Qwen2 and 2.5 (biases on q, k, v) and Qwen3 (norms on q and k). Source: facts/architectures.md 3, 4. */
#include "arch/families.h"

static const char *const qwen2_classes[] = {"Qwen2ForCausalLM", "Qwen2Model", NULL};
static const char *const qwen3_classes[] = {"Qwen3ForCausalLM", "Qwen3Model", NULL};

static const qn_hp_default qwen2_defaults[] = {
    {QN_HP_N_VOCAB, 151936}, {QN_HP_N_EMBD, 4096}, {QN_HP_N_FF, 22016},   {QN_HP_N_LAYER, 32},      {QN_HP_N_HEAD, 32},
    {QN_HP_N_HEAD_KV, 32},   {QN_HP_N_CTX, 32768}, {QN_HP_RMS_EPS, 1e-6}, {QN_HP_ROPE_BASE, 10000},
};
static const qn_hp_default qwen3_defaults[] = {
    {QN_HP_N_VOCAB, 151936},  {QN_HP_N_EMBD, 4096},  {QN_HP_N_FF, 22016},  {QN_HP_N_LAYER, 32},
    {QN_HP_N_HEAD, 32},       {QN_HP_N_HEAD_KV, 32}, {QN_HP_N_CTX, 32768}, {QN_HP_RMS_EPS, 1e-6},
    {QN_HP_ROPE_BASE, 10000}, {QN_HP_HEAD_DIM, 128},
};

#define QWEN_FFN_RULES                                                                                      \
    QN_RULE_NORM("model.layers.%.post_attention_layernorm", "blk.%.ffn_norm", QN_DIM_EMBD, QN_AS_IS),       \
        QN_RULE_MATRIX("model.layers.%.mlp.gate_proj", "blk.%.ffn_gate", QN_DIM_FF, QN_DIM_EMBD, QN_AS_IS), \
        QN_RULE_MATRIX("model.layers.%.mlp.up_proj", "blk.%.ffn_up", QN_DIM_FF, QN_DIM_EMBD, QN_AS_IS),     \
        QN_RULE_MATRIX("model.layers.%.mlp.down_proj", "blk.%.ffn_down", QN_DIM_EMBD, QN_DIM_FF, QN_AS_IS), \
        QN_RULE_INV_FREQ, QN_RULE_NORM("model.norm", "output_norm", QN_DIM_EMBD, QN_AS_IS), QN_RULE_OUTPUT

static const qn_tensor_rule qwen2_tensors[] = {
    QN_RULE_EMBED,
    QN_RULE_NORM("model.layers.%.input_layernorm", "blk.%.attn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX("model.layers.%.self_attn.q_proj", "blk.%.attn_q", QN_DIM_Q, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_BIAS("model.layers.%.self_attn.q_proj", "blk.%.attn_q", QN_DIM_Q, QN_AS_IS, QN_REQUIRED),
    QN_RULE_MATRIX("model.layers.%.self_attn.k_proj", "blk.%.attn_k", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_BIAS("model.layers.%.self_attn.k_proj", "blk.%.attn_k", QN_DIM_KV, QN_AS_IS, QN_REQUIRED),
    QN_RULE_MATRIX("model.layers.%.self_attn.v_proj", "blk.%.attn_v", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_BIAS("model.layers.%.self_attn.v_proj", "blk.%.attn_v", QN_DIM_KV, QN_AS_IS, QN_REQUIRED),
    QN_RULE_MATRIX("model.layers.%.self_attn.o_proj", "blk.%.attn_output", QN_DIM_EMBD, QN_DIM_Q, QN_AS_IS),
    QWEN_FFN_RULES,
};

static const qn_tensor_rule qwen3_tensors[] = {
    QN_RULE_EMBED,
    QN_RULE_NORM("model.layers.%.input_layernorm", "blk.%.attn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX("model.layers.%.self_attn.q_proj", "blk.%.attn_q", QN_DIM_Q, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_NORM("model.layers.%.self_attn.q_norm", "blk.%.attn_q_norm", QN_DIM_HEAD, QN_AS_IS),
    QN_RULE_MATRIX("model.layers.%.self_attn.k_proj", "blk.%.attn_k", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_NORM("model.layers.%.self_attn.k_norm", "blk.%.attn_k_norm", QN_DIM_HEAD, QN_AS_IS),
    QN_RULE_MATRIX("model.layers.%.self_attn.v_proj", "blk.%.attn_v", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX("model.layers.%.self_attn.o_proj", "blk.%.attn_output", QN_DIM_EMBD, QN_DIM_Q, QN_AS_IS),
    QWEN_FFN_RULES,
};

const qn_arch qn_arch_qwen2 = {
    .name = "qwen2",
    .label = "Qwen2, Qwen2.5",
    .model_type = "qwen2",
    .config_constants = "{\"hidden_act\":\"silu\",\"use_sliding_window\":false}",
    .classes = qwen2_classes,
    .defaults = qwen2_defaults,
    .n_defaults = QN_COUNT(qwen2_defaults),
    .has_generic_keys = true,
    .tensors = qwen2_tensors,
    .n_tensors = QN_COUNT(qwen2_tensors),
    .base_prefixes = qn_prefix_model,
    .rope = QN_ROPE_NEOX,
    .vocab = {.prefers_spm = true, .add_space_prefix = -1},
};

const qn_arch qn_arch_qwen3 = {
    .name = "qwen3",
    .label = "Qwen3",
    .model_type = "qwen3",
    .config_constants = "{\"hidden_act\":\"silu\",\"use_sliding_window\":false,\"attention_bias\":false}",
    .classes = qwen3_classes,
    .defaults = qwen3_defaults,
    .n_defaults = QN_COUNT(qwen3_defaults),
    .has_generic_keys = true,
    .tensors = qwen3_tensors,
    .n_tensors = QN_COUNT(qwen3_tensors),
    .base_prefixes = qn_prefix_model,
    .rope = QN_ROPE_NEOX,
    .vocab = {.prefers_spm = true, .add_space_prefix = -1},
};
