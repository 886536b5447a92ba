/* SPDX-License-Identifier: MIT */
/* olmo.c: OLMoE, with norms over all heads of q and k at once. Source: facts/architectures.md 32. */
#include "arch/families.h"

static const char *const classes[] = {"OlmoeForCausalLM", "OlmoeModel", NULL};

static const qn_hp_default defaults[] = {
    {QN_HP_N_VOCAB, 50304}, {QN_HP_N_EMBD, 2048},     {QN_HP_N_FF, 2048},    {QN_HP_N_LAYER, 16},
    {QN_HP_N_HEAD, 16},     {QN_HP_N_CTX, 4096},      {QN_HP_RMS_EPS, 1e-5}, {QN_HP_ROPE_BASE, 10000},
    {QN_HP_N_EXPERT, 64},   {QN_HP_N_EXPERT_USED, 8},
};

static const qn_hp_name names[] = {{QN_HP_N_EXPERT, "num_experts"}};
static const qn_key_rule keys[] = {QN_KEYS_EXPERTS};

#define LAYER "model.layers.%."

static const qn_tensor_rule tensors[] = {
    QN_RULE_EMBED,
    QN_RULE_NORM(LAYER "input_layernorm", "blk.%.attn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX(LAYER "self_attn.q_proj", "blk.%.attn_q", QN_DIM_Q, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_NORM(LAYER "self_attn.q_norm", "blk.%.attn_q_norm", QN_DIM_Q, QN_AS_IS),
    QN_RULE_MATRIX(LAYER "self_attn.k_proj", "blk.%.attn_k", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_NORM(LAYER "self_attn.k_norm", "blk.%.attn_k_norm", QN_DIM_KV, QN_AS_IS),
    QN_RULE_MATRIX(LAYER "self_attn.v_proj", "blk.%.attn_v", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX(LAYER "self_attn.o_proj", "blk.%.attn_output", QN_DIM_EMBD, QN_DIM_Q, QN_AS_IS),
    QN_RULE_NORM(LAYER "post_attention_layernorm", "blk.%.ffn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULES_EXPERTS(LAYER "mlp.gate", LAYER "mlp.experts.#.gate_proj", LAYER "mlp.experts.#.up_proj",
                     LAYER "mlp.experts.#.down_proj", QN_DIM_FF),
    QN_RULE_INV_FREQ,
    QN_RULE_NORM("model.norm", "output_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_OUTPUT,
};

static qn_status derive(const char *where, const json_t *config, qn_hparams *h, qn_error *err) {
    const json_t *clip = json_object_get(config, "clip_qkv");
    if (clip != NULL && !json_is_null(clip)) {
        return qn_fail(err, QN_E_UNSUPPORTED, "%s: 'clip_qkv' is set: GGUF's programs do not clip in this family",
                       where);
    }
    QN_TRY(qn_arch_check_untied(where, h, err));
    return qn_arch_check_mixture(where, config, h, false, err);
}

const qn_arch qn_arch_olmoe = {
    .name = "olmoe",
    .label = "OLMoE",
    .model_type = "olmoe",
    .config_constants = "{\"hidden_act\":\"silu\",\"norm_topk_prob\":false,\"attention_bias\":false}",
    .classes = classes,
    .defaults = defaults,
    .n_defaults = QN_COUNT(defaults),
    .hp_names = names,
    .n_hp_names = QN_COUNT(names),
    .has_generic_keys = true,
    .keys = keys,
    .n_keys = QN_COUNT(keys),
    .tensors = tensors,
    .n_tensors = QN_COUNT(tensors),
    .is_mixture = true,
    .base_prefixes = qn_prefix_model,
    .rope = QN_ROPE_NEOX,
    .vocab = {.prefers_spm = true, .add_space_prefix = -1},
    .derive = derive,
};
