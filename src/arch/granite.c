/* SPDX-License-Identifier: MIT */
/* granite.c: Granite, a Llama with scales, and Granite-MoE. Source: facts/architectures.md 20. */
#include "arch/families.h"
#include "arch/hparams_rows.h"

static const char *const classes[] = {"GraniteForCausalLM", "GraniteModel", NULL};
static const char *const moe_classes[] = {"GraniteMoeForCausalLM", "GraniteMoeSharedForCausalLM", NULL};

#define DEFAULT_SCALES                                                         \
    {QN_HP_ATTN_SCALE, 1}, {QN_HP_EMBD_SCALE, 1}, {QN_HP_RESIDUAL_SCALE, 1}, { \
        QN_HP_LOGIT_SCALE, 1                                                   \
    }

static const qn_hp_default defaults[] = {
    {QN_HP_N_VOCAB, 32000}, {QN_HP_N_EMBD, 4096},  {QN_HP_N_FF, 11008},      {QN_HP_N_LAYER, 32}, {QN_HP_N_HEAD, 32},
    {QN_HP_N_CTX, 2048},    {QN_HP_RMS_EPS, 1e-6}, {QN_HP_ROPE_BASE, 10000}, DEFAULT_SCALES,
};

static const qn_hp_default moe_defaults[] = {
    {QN_HP_N_VOCAB, 32000}, {QN_HP_N_EMBD, 4096},     {QN_HP_N_FF, 11008},   {QN_HP_N_LAYER, 32},
    {QN_HP_N_HEAD, 32},     {QN_HP_N_CTX, 2048},      {QN_HP_RMS_EPS, 1e-6}, {QN_HP_ROPE_BASE, 10000},
    {QN_HP_N_EXPERT, 8},    {QN_HP_N_EXPERT_USED, 2}, DEFAULT_SCALES,
};

static const qn_hp_name names[] = {{QN_HP_N_FF_SHARED, "shared_intermediate_size"}};

#define KEYS                                                                                                  \
    {"vocab_size", QN_KEY_U32, QN_HP_N_VOCAB}, {"rope.dimension_count", QN_KEY_U32, QN_HP_ROPE_DIM},          \
        {"attention.scale", QN_KEY_F32, QN_HP_ATTN_SCALE}, {"embedding_scale", QN_KEY_F32, QN_HP_EMBD_SCALE}, \
        {"residual_scale", QN_KEY_F32, QN_HP_RESIDUAL_SCALE}, {                                               \
        "logit_scale", QN_KEY_F32, QN_HP_LOGIT_SCALE                                                          \
    }

static const qn_key_rule keys[] = {KEYS};

static const qn_key_rule moe_keys[] = {
    QN_KEYS_EXPERTS,
    KEYS,
    {"expert_shared_feed_forward_length", QN_KEY_U32, QN_HP_N_FF_SHARED},
};

#define LAYER "model.layers.%."

static const qn_tensor_rule tensors[] = {
    QN_RULE_EMBED,
    QN_RULE_NORM(LAYER "input_layernorm", "blk.%.attn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULES_ROPE_ATTENTION,
    QN_RULE_NORM(LAYER "post_attention_layernorm", "blk.%.ffn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULES_MLP,
    QN_RULE_INV_FREQ,
    QN_RULE_NORM("model.norm", "output_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_OUTPUT,
};

/* Names of what only fused tensors hold stand for places in them: no checkpoint has them. */
static const qn_tensor_rule moe_tensors[] = {
    QN_RULE_EMBED,
    QN_RULE_NORM(LAYER "input_layernorm", "blk.%.attn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULES_ROPE_ATTENTION,
    QN_RULE_NORM(LAYER "post_attention_layernorm", "blk.%.ffn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULES_EXPERTS(LAYER "block_sparse_moe.router.layer", LAYER "block_sparse_moe.input_linear.#.gate",
                     LAYER "block_sparse_moe.input_linear.#.up", LAYER "block_sparse_moe.output_linear.#", QN_DIM_FF),
    {LAYER "shared_mlp.input_linear.gate.weight", "blk.%.ffn_gate_shexp.weight", QN_DIM_FF_SHARED, QN_DIM_EMBD,
     QN_AS_IS, QN_OPTIONAL},
    {LAYER "shared_mlp.input_linear.up.weight", "blk.%.ffn_up_shexp.weight", QN_DIM_FF_SHARED, QN_DIM_EMBD, QN_AS_IS,
     QN_OPTIONAL},
    {LAYER "shared_mlp.output_linear.weight", "blk.%.ffn_down_shexp.weight", QN_DIM_EMBD, QN_DIM_FF_SHARED, QN_AS_IS,
     QN_OPTIONAL},
    QN_RULE_INV_FREQ,
    QN_RULE_NORM("model.norm", "output_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_OUTPUT,
};

static const qn_fused_rule moe_fused[] = {
    {LAYER "block_sparse_moe.input_linear.weight", {"blk.%.ffn_gate_exps.weight", "blk.%.ffn_up_exps.weight"}, true},
    {LAYER "block_sparse_moe.output_linear.weight", {"blk.%.ffn_down_exps.weight"}, true},
    {LAYER "shared_mlp.input_linear.weight", {"blk.%.ffn_gate_shexp.weight", "blk.%.ffn_up_shexp.weight"}, true},
};

/* A scale of 0, and a shared expert of no width, are none. */
static qn_status derive(const char *where, const json_t *config, qn_hparams *h, qn_error *err) {
    static const qn_hp may_be_zero[] = {QN_HP_ATTN_SCALE, QN_HP_EMBD_SCALE, QN_HP_RESIDUAL_SCALE, QN_HP_LOGIT_SCALE,
                                        QN_HP_N_FF_SHARED};
    const uint64_t head_dim = qn_hp_head_dim(h);
    (void)config;
    if (head_dim % 2 != 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: rotary heads of an odd size (%llu) cannot be paired", where,
                       (unsigned long long)head_dim);
    }
    for (size_t i = 0; i < QN_COUNT(may_be_zero); i++) {
        h->has[may_be_zero[i]] = h->has[may_be_zero[i]] && h->value[may_be_zero[i]] != 0;
    }
    qn_hp_set(h, QN_HP_ROPE_DIM, (double)head_dim);
    return QN_OK;
}

static qn_status derive_moe(const char *where, const json_t *config, qn_hparams *h, qn_error *err) {
    QN_TRY(qn_hparams_check_experts(where, h, err));
    return derive(where, config, h, err);
}

/* With a shared expert the class is another. */
static bool describe_moe(const qn_hparams *h, json_t *config) {
    return !h->has[QN_HP_N_FF_SHARED] ||
        (json_object_set_new(config, "architectures", json_pack("[s]", moe_classes[1])) == 0 &&
         json_object_set_new(config, "model_type", json_string("granitemoeshared")) == 0);
}

#define GRANITE_SHAPE                                                                                            \
    .config_constants = "{\"hidden_act\":\"silu\"}", .has_generic_keys = true, .base_prefixes = qn_prefix_model, \
    .rope = QN_ROPE_NORM, .vocab = {.prefers_spm = true, .add_space_prefix = -1}

const qn_arch qn_arch_granite = {
    GRANITE_SHAPE,        .name = "granite",        .label = "Granite",   .model_type = "granite",
    .names_biases = true, .classes = classes,       .defaults = defaults, .n_defaults = QN_COUNT(defaults),
    .keys = keys,         .n_keys = QN_COUNT(keys), .tensors = tensors,   .n_tensors = QN_COUNT(tensors),
    .derive = derive,
};

const qn_arch qn_arch_granitemoe = {
    GRANITE_SHAPE,
    .name = "granitemoe",
    .label = "Granite-MoE",
    .model_type = "granitemoe",
    .classes = moe_classes,
    .defaults = moe_defaults,
    .n_defaults = QN_COUNT(moe_defaults),
    .hp_names = names,
    .n_hp_names = QN_COUNT(names),
    .keys = moe_keys,
    .n_keys = QN_COUNT(moe_keys),
    .tensors = moe_tensors,
    .n_tensors = QN_COUNT(moe_tensors),
    .fused = moe_fused,
    .n_fused = QN_COUNT(moe_fused),
    .is_mixture = true,
    .derive = derive_moe,
    .describe = describe_moe,
};
