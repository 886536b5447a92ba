/* SPDX-License-Identifier: MIT */
/* llama.c: Llama 1 to 3, and what rides on it: Mistral, Yi, SmolLM, TinyLlama. Source: facts/architectures.md 1, 2. */
#include "arch/families.h"

#include <math.h>

static const char *const classes[] = {"LlamaForCausalLM", "LLaMAForCausalLM", "LlamaModel", NULL};
static const char *const mistral_classes[] = {"MistralForCausalLM", "MistralModel", NULL};

static const qn_hp_default defaults[] = {
    {QN_HP_N_VOCAB, 32000}, {QN_HP_N_EMBD, 4096}, {QN_HP_N_FF, 11008},   {QN_HP_N_LAYER, 32},
    {QN_HP_N_HEAD, 32},     {QN_HP_N_CTX, 2048},  {QN_HP_RMS_EPS, 1e-6}, {QN_HP_ROPE_BASE, 10000},
};

static const qn_hp_default mistral_defaults[] = {
    {QN_HP_N_VOCAB, 32000}, {QN_HP_N_EMBD, 4096},  {QN_HP_N_FF, 14336},   {QN_HP_N_LAYER, 32},      {QN_HP_N_HEAD, 32},
    {QN_HP_N_HEAD_KV, 8},   {QN_HP_N_CTX, 131072}, {QN_HP_RMS_EPS, 1e-6}, {QN_HP_ROPE_BASE, 10000},
};

static const qn_key_rule keys[] = {
    {"vocab_size", QN_KEY_U32, QN_HP_N_VOCAB},
    {"rope.dimension_count", QN_KEY_U32, QN_HP_ROPE_DIM},
};

static const qn_tensor_rule tensors[] = {
    QN_RULE_EMBED,
    QN_RULE_NORM("model.layers.%.input_layernorm", "blk.%.attn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX("model.layers.%.self_attn.q_proj", "blk.%.attn_q", QN_DIM_Q, QN_DIM_EMBD, QN_ROPE_Q),
    QN_RULE_BIAS("model.layers.%.self_attn.q_proj", "blk.%.attn_q", QN_DIM_Q, QN_ROPE_Q, QN_OPTIONAL),
    QN_RULE_MATRIX("model.layers.%.self_attn.k_proj", "blk.%.attn_k", QN_DIM_KV, QN_DIM_EMBD, QN_ROPE_K),
    QN_RULE_BIAS("model.layers.%.self_attn.k_proj", "blk.%.attn_k", QN_DIM_KV, QN_ROPE_K, QN_OPTIONAL),
    QN_RULE_MATRIX("model.layers.%.self_attn.v_proj", "blk.%.attn_v", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_BIAS("model.layers.%.self_attn.v_proj", "blk.%.attn_v", QN_DIM_KV, QN_AS_IS, QN_OPTIONAL),
    QN_RULE_MATRIX("model.layers.%.self_attn.o_proj", "blk.%.attn_output", QN_DIM_EMBD, QN_DIM_Q, QN_AS_IS),
    QN_RULE_BIAS("model.layers.%.self_attn.o_proj", "blk.%.attn_output", QN_DIM_EMBD, QN_AS_IS, QN_OPTIONAL),
    QN_RULE_NORM("model.layers.%.post_attention_layernorm", "blk.%.ffn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX("model.layers.%.mlp.gate_proj", "blk.%.ffn_gate", QN_DIM_FF, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_BIAS("model.layers.%.mlp.gate_proj", "blk.%.ffn_gate", QN_DIM_FF, QN_AS_IS, QN_OPTIONAL),
    QN_RULE_MATRIX("model.layers.%.mlp.up_proj", "blk.%.ffn_up", QN_DIM_FF, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_BIAS("model.layers.%.mlp.up_proj", "blk.%.ffn_up", QN_DIM_FF, QN_AS_IS, QN_OPTIONAL),
    QN_RULE_MATRIX("model.layers.%.mlp.down_proj", "blk.%.ffn_down", QN_DIM_EMBD, QN_DIM_FF, QN_AS_IS),
    QN_RULE_BIAS("model.layers.%.mlp.down_proj", "blk.%.ffn_down", QN_DIM_EMBD, QN_AS_IS, QN_OPTIONAL),
    QN_RULE_INV_FREQ,
    QN_RULE_NORM("model.norm", "output_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_OUTPUT,
};

static qn_status derive(const char *where, const json_t *config, qn_hparams *h, qn_error *err) {
    const uint64_t head_dim = qn_hp_head_dim(h);
    (void)config;
    if (head_dim % 2 != 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: rotary heads of an odd size (%llu) cannot be paired", where,
                       (unsigned long long)head_dim);
    }
    qn_hp_set(h, QN_HP_ROPE_DIM, (double)head_dim);
    return QN_OK;
}

/* Llama 3's divisors of the rotary angles: long wavelengths slowed by factor, short ones kept, a ramp between. */
static qn_status generate(const qn_hparams *h, qn_arena *arena, qn_generated *out, size_t *n, qn_error *err) {
    const uint64_t n_rot = qn_hp_count(h, QN_HP_ROPE_DIM);
    const double base = h->value[QN_HP_ROPE_BASE];
    const double factor = h->has[QN_HP_ROPE_FACTOR] ? h->value[QN_HP_ROPE_FACTOR] : 8;
    const double low = h->has[QN_HP_ROPE_LOW_FREQ] ? h->value[QN_HP_ROPE_LOW_FREQ] : 1;
    const double high = h->has[QN_HP_ROPE_HIGH_FREQ] ? h->value[QN_HP_ROPE_HIGH_FREQ] : 4;
    const double ctx = h->has[QN_HP_ROPE_ORIG_CTX] ? h->value[QN_HP_ROPE_ORIG_CTX] : 8192;
    *n = 0;
    if (h->rope_scaling != QN_ROPE_SCALING_LLAMA3) {
        return QN_OK;
    }
    float *values = qn_arena_array(arena, n_rot / 2, sizeof *values);
    if (values == NULL) {
        return qn_fail_nomem(err, "rope_freqs.weight", (size_t)n_rot * sizeof *values / 2);
    }
    for (uint64_t i = 0; i < n_rot / 2; i++) {
        const double wavelength = 2.0 * 3.14159265358979323846 * pow(base, 2.0 * (double)i / (double)n_rot);
        const double smooth = (ctx / wavelength - low) / (high - low);
        if (wavelength < ctx / high) {
            values[i] = 1.0F;
        } else if (wavelength > ctx / low) {
            values[i] = (float)factor;
        } else {
            values[i] = (float)(1.0 / ((1.0 - smooth) / factor + smooth));
        }
    }
    out[(*n)++] = (qn_generated){"rope_freqs.weight", values, n_rot / 2};
    return QN_OK;
}

/* What both classes share. */
#define LLAMA_SHAPE                                                                                        \
    .name = "llama", .has_generic_keys = true, .keys = keys, .n_keys = QN_COUNT(keys), .tensors = tensors, \
    .n_tensors = QN_COUNT(tensors), .base_prefixes = qn_prefix_model, .rope = QN_ROPE_NORM,                \
    .vocab = {.prefers_spm = true, .add_space_prefix = -1}, .derive = derive, .generate = generate

const qn_arch qn_arch_llama = {
    LLAMA_SHAPE,
    .label = "Llama (also Yi, SmolLM, TinyLlama)",
    .classes = classes,
    .defaults = defaults,
    .n_defaults = QN_COUNT(defaults),
};

/* In GGUF a Mistral is a Llama: what differs is what its config.json may leave out. */
const qn_arch qn_arch_mistral = {
    LLAMA_SHAPE,
    .label = "Mistral",
    .classes = mistral_classes,
    .defaults = mistral_defaults,
    .n_defaults = QN_COUNT(mistral_defaults),
};
