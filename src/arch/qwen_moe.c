/* SPDX-License-Identifier: MIT */
/* qwen_moe.c: Qwen2-MoE (a gated shared expert) and Qwen3-MoE. Source: facts/architectures.md 11, 13. */
#include "arch/families.h"
#include "arch/hparams_rows.h"

static const char *const qwen2moe_classes[] = {"Qwen2MoeForCausalLM", "Qwen2MoeModel", NULL};
static const char *const qwen3moe_classes[] = {"Qwen3MoeForCausalLM", "Qwen3MoeModel", NULL};

static const qn_hp_default qwen2moe_defaults[] = {
    {QN_HP_N_VOCAB, 151936},  {QN_HP_N_EMBD, 2048},     {QN_HP_N_FF, 5632},     {QN_HP_N_LAYER, 24},
    {QN_HP_N_HEAD, 16},       {QN_HP_N_HEAD_KV, 16},    {QN_HP_N_CTX, 32768},   {QN_HP_RMS_EPS, 1e-6},
    {QN_HP_N_EXPERT, 60},     {QN_HP_N_EXPERT_USED, 4}, {QN_HP_N_FF_EXP, 1408}, {QN_HP_N_FF_SHARED, 5632},
    {QN_HP_ROPE_BASE, 10000},
};

static const qn_hp_default qwen3moe_defaults[] = {
    {QN_HP_N_VOCAB, 151936}, {QN_HP_N_EMBD, 2048},     {QN_HP_N_FF, 6144},    {QN_HP_N_LAYER, 24},
    {QN_HP_N_HEAD, 32},      {QN_HP_N_HEAD_KV, 4},     {QN_HP_N_CTX, 32768},  {QN_HP_RMS_EPS, 1e-6},
    {QN_HP_N_EXPERT, 128},   {QN_HP_N_EXPERT_USED, 8}, {QN_HP_N_FF_EXP, 768}, {QN_HP_ROPE_BASE, 10000},
};

static const qn_hp_name names[] = {{QN_HP_N_EXPERT, "num_experts"}};

static const qn_key_rule keys[] = {
    QN_KEYS_EXPERTS,
    {"expert_feed_forward_length", QN_KEY_U32, QN_HP_N_FF_EXP},
    {"expert_shared_feed_forward_length", QN_KEY_U32, QN_HP_N_FF_SHARED},
};

#define LAYER "model.layers.%."
#define QWEN_EXPERTS                                                                                   \
    QN_RULES_EXPERTS(LAYER "mlp.gate", LAYER "mlp.experts.#.gate_proj", LAYER "mlp.experts.#.up_proj", \
                     LAYER "mlp.experts.#.down_proj", QN_DIM_FF_EXP)

static const qn_tensor_rule qwen2moe_tensors[] = {
    QN_RULE_EMBED,
    QN_RULE_NORM(LAYER "input_layernorm", "blk.%.attn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX(LAYER "self_attn.q_proj", "blk.%.attn_q", QN_DIM_Q, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_BIAS(LAYER "self_attn.q_proj", "blk.%.attn_q", QN_DIM_Q, QN_AS_IS, QN_REQUIRED),
    QN_RULE_MATRIX(LAYER "self_attn.k_proj", "blk.%.attn_k", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_BIAS(LAYER "self_attn.k_proj", "blk.%.attn_k", QN_DIM_KV, QN_AS_IS, QN_REQUIRED),
    QN_RULE_MATRIX(LAYER "self_attn.v_proj", "blk.%.attn_v", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_BIAS(LAYER "self_attn.v_proj", "blk.%.attn_v", QN_DIM_KV, QN_AS_IS, QN_REQUIRED),
    QN_RULE_MATRIX(LAYER "self_attn.o_proj", "blk.%.attn_output", QN_DIM_EMBD, QN_DIM_Q, QN_AS_IS),
    QN_RULE_NORM(LAYER "post_attention_layernorm", "blk.%.ffn_norm", QN_DIM_EMBD, QN_AS_IS),
    QWEN_EXPERTS,
    QN_RULE_MATRIX(LAYER "mlp.shared_expert_gate", "blk.%.ffn_gate_inp_shexp", QN_DIM_ONE, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX(LAYER "mlp.shared_expert.gate_proj", "blk.%.ffn_gate_shexp", QN_DIM_FF_SHARED, QN_DIM_EMBD,
                   QN_AS_IS),
    QN_RULE_MATRIX(LAYER "mlp.shared_expert.up_proj", "blk.%.ffn_up_shexp", QN_DIM_FF_SHARED, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX(LAYER "mlp.shared_expert.down_proj", "blk.%.ffn_down_shexp", QN_DIM_EMBD, QN_DIM_FF_SHARED,
                   QN_AS_IS),
    QN_RULE_INV_FREQ,
    QN_RULE_NORM("model.norm", "output_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_OUTPUT,
};

static const qn_tensor_rule qwen3moe_tensors[] = {
    QN_RULE_EMBED,
    QN_RULE_NORM(LAYER "input_layernorm", "blk.%.attn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX(LAYER "self_attn.q_proj", "blk.%.attn_q", QN_DIM_Q, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_NORM(LAYER "self_attn.q_norm", "blk.%.attn_q_norm", QN_DIM_HEAD, QN_AS_IS),
    QN_RULE_MATRIX(LAYER "self_attn.k_proj", "blk.%.attn_k", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_NORM(LAYER "self_attn.k_norm", "blk.%.attn_k_norm", QN_DIM_HEAD, QN_AS_IS),
    QN_RULE_MATRIX(LAYER "self_attn.v_proj", "blk.%.attn_v", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX(LAYER "self_attn.o_proj", "blk.%.attn_output", QN_DIM_EMBD, QN_DIM_Q, QN_AS_IS),
    QN_RULE_NORM(LAYER "post_attention_layernorm", "blk.%.ffn_norm", QN_DIM_EMBD, QN_AS_IS),
    QWEN_EXPERTS,
    QN_RULE_INV_FREQ,
    QN_RULE_NORM("model.norm", "output_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_OUTPUT,
};

static const qn_fused_rule fused[] = {
    {LAYER "mlp.experts.gate_up_proj", {"blk.%.ffn_gate_exps.weight", "blk.%.ffn_up_exps.weight"}, false},
    {LAYER "mlp.experts.down_proj", {"blk.%.ffn_down_exps.weight"}, false},
};

static qn_status derive_qwen2moe(const char *where, const json_t *config, qn_hparams *h, qn_error *err) {
    QN_TRY(qn_arch_check_untied(where, h, err));
    return qn_arch_check_mixture(where, config, h, false, err);
}

static qn_status derive_qwen3moe(const char *where, const json_t *config, qn_hparams *h, qn_error *err) {
    return qn_arch_check_mixture(where, config, h, true, err);
}

#define QWEN_MOE_SHAPE                                                                        \
    .hp_names = names, .n_hp_names = QN_COUNT(names), .has_generic_keys = true, .keys = keys, \
    .n_keys = QN_COUNT(keys), .fused = fused, .n_fused = QN_COUNT(fused), .is_mixture = true, \
    .base_prefixes = qn_prefix_model, .rope = QN_ROPE_NEOX, .vocab = {.prefers_spm = true, .add_space_prefix = -1}

const qn_arch qn_arch_qwen2moe = {
    QWEN_MOE_SHAPE,
    .name = "qwen2moe",
    .label = "Qwen1.5-MoE, Qwen2-MoE",
    .model_type = "qwen2_moe",
    .config_constants = "{\"hidden_act\":\"silu\",\"use_sliding_window\":false,\"norm_topk_prob\":false,"
                        "\"decoder_sparse_step\":1,\"mlp_only_layers\":[]}",
    .classes = qwen2moe_classes,
    .defaults = qwen2moe_defaults,
    .n_defaults = QN_COUNT(qwen2moe_defaults),
    .tensors = qwen2moe_tensors,
    .n_tensors = QN_COUNT(qwen2moe_tensors),
    .derive = derive_qwen2moe,
};

const qn_arch qn_arch_qwen3moe = {
    QWEN_MOE_SHAPE,
    .name = "qwen3moe",
    .label = "Qwen3-MoE",
    .model_type = "qwen3_moe",
    .config_constants = "{\"hidden_act\":\"silu\",\"use_sliding_window\":false,\"attention_bias\":false,"
                        "\"norm_topk_prob\":true,\"decoder_sparse_step\":1,\"mlp_only_layers\":[]}",
    .classes = qwen3moe_classes,
    .defaults = qwen3moe_defaults,
    .n_defaults = QN_COUNT(qwen3moe_defaults),
    .tensors = qwen3moe_tensors,
    .n_tensors = QN_COUNT(qwen3moe_tensors),
    .derive = derive_qwen3moe,
};
