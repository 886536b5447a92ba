/* SPDX-License-Identifier: MIT */
/* gpt2.c: GPT-2: transposed matrices, biases everywhere, learned positions. Source: facts/architectures.md 17. */
#include "arch/families.h"

static const char *const classes[] = {"GPT2LMHeadModel", "GPT2Model", NULL};
static const char *const prefixes[] = {"transformer.", NULL};

static const qn_hp_default defaults[] = {
    {QN_HP_N_VOCAB, 50257}, {QN_HP_N_CTX, 1024}, {QN_HP_N_EMBD, 768},
    {QN_HP_N_LAYER, 12},    {QN_HP_N_HEAD, 12},  {QN_HP_NORM_EPS, 1e-5},
};

static const qn_hp_name names[] = {
    {QN_HP_N_LAYER, "n_layer"},
    {QN_HP_N_EMBD, "n_embd"},
    {QN_HP_N_CTX, "n_positions"},
    {QN_HP_N_FF, "n_inner"},
    {QN_HP_N_HEAD, "n_head"},
    {QN_HP_N_HEAD_KV, NULL},
    {QN_HP_NORM_EPS, "layer_norm_epsilon"},
};

static const qn_key_rule keys[] = {
    {"block_count", QN_KEY_U32, QN_HP_N_LAYER},         {"context_length", QN_KEY_U32, QN_HP_N_CTX},
    {"embedding_length", QN_KEY_U32, QN_HP_N_EMBD},     {"feed_forward_length", QN_KEY_U32, QN_HP_N_FF},
    {"attention.head_count", QN_KEY_U32, QN_HP_N_HEAD}, {"attention.layer_norm_epsilon", QN_KEY_F32, QN_HP_NORM_EPS},
};

#define H "transformer.h.%."

static const qn_tensor_rule tensors[] = {
    {"transformer.wte.weight", "token_embd.weight", QN_DIM_VOCAB, QN_DIM_EMBD, QN_AS_IS, QN_REQUIRED},
    {"transformer.wpe.weight", "position_embd.weight", QN_DIM_CTX, QN_DIM_EMBD, QN_AS_IS, QN_REQUIRED},
    QN_RULE_NORM(H "ln_1", "blk.%.attn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_BIAS(H "ln_1", "blk.%.attn_norm", QN_DIM_EMBD, QN_AS_IS, QN_REQUIRED),
    QN_RULE_MATRIX(H "attn.c_attn", "blk.%.attn_qkv", QN_DIM_QKV, QN_DIM_EMBD, QN_TRANSPOSE),
    QN_RULE_BIAS(H "attn.c_attn", "blk.%.attn_qkv", QN_DIM_QKV, QN_AS_IS, QN_REQUIRED),
    QN_RULE_MATRIX(H "attn.c_proj", "blk.%.attn_output", QN_DIM_EMBD, QN_DIM_Q, QN_TRANSPOSE),
    QN_RULE_BIAS(H "attn.c_proj", "blk.%.attn_output", QN_DIM_EMBD, QN_AS_IS, QN_REQUIRED),
    QN_RULE_NORM(H "ln_2", "blk.%.ffn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_BIAS(H "ln_2", "blk.%.ffn_norm", QN_DIM_EMBD, QN_AS_IS, QN_REQUIRED),
    QN_RULE_MATRIX(H "mlp.c_fc", "blk.%.ffn_up", QN_DIM_FF, QN_DIM_EMBD, QN_TRANSPOSE),
    QN_RULE_BIAS(H "mlp.c_fc", "blk.%.ffn_up", QN_DIM_FF, QN_AS_IS, QN_REQUIRED),
    QN_RULE_MATRIX(H "mlp.c_proj", "blk.%.ffn_down", QN_DIM_EMBD, QN_DIM_FF, QN_TRANSPOSE),
    QN_RULE_BIAS(H "mlp.c_proj", "blk.%.ffn_down", QN_DIM_EMBD, QN_AS_IS, QN_REQUIRED),
    /* Causal masks that old checkpoints carry as if they were weights. */
    {H "attn.bias", NULL, QN_DIM_NONE, QN_DIM_NONE, QN_AS_IS, QN_DROPPED},
    {H "attn.masked_bias", NULL, QN_DIM_NONE, QN_DIM_NONE, QN_AS_IS, QN_DROPPED},
    QN_RULE_NORM("transformer.ln_f", "output_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_BIAS("transformer.ln_f", "output_norm", QN_DIM_EMBD, QN_AS_IS, QN_REQUIRED),
    QN_RULE_OUTPUT,
};

/* The context has two names, and programs look for either. */
static bool describe(const qn_hparams *h, json_t *config) {
    return json_object_set_new(config, "n_ctx", json_integer((json_int_t)qn_hp_count(h, QN_HP_N_CTX))) == 0;
}

static qn_status derive(const char *where, const json_t *config, qn_hparams *h, qn_error *err) {
    (void)where;
    (void)config;
    (void)err;
    if (!h->has[QN_HP_N_FF]) {
        qn_hp_set(h, QN_HP_N_FF, 4 * h->value[QN_HP_N_EMBD]);
    }
    return QN_OK;
}

const qn_arch qn_arch_gpt2 = {
    .name = "gpt2",
    .label = "GPT-2",
    .model_type = "gpt2",
    .config_constants = "{\"activation_function\":\"gelu_new\"}",
    .hp_names = names,
    .n_hp_names = QN_COUNT(names),
    .classes = classes,
    .defaults = defaults,
    .n_defaults = QN_COUNT(defaults),
    .tied_by_default = true,
    .keys = keys,
    .n_keys = QN_COUNT(keys),
    .tensors = tensors,
    .n_tensors = QN_COUNT(tensors),
    .base_prefixes = prefixes,
    .rope = QN_ROPE_ABSENT,
    .vocab = {.add_space_prefix = -1},
    .derive = derive,
    .describe = describe,
};
