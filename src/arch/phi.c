/* SPDX-License-Identifier: MIT */
/* phi.c: Phi-3, 3.5 and Phi-4: fused qkv and gate-up, long and short rope factors. Source: facts/architectures.md 9. */
#include "arch/families.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const classes[] = {"Phi3ForCausalLM", NULL};

static const qn_hp_default defaults[] = {
    {QN_HP_N_VOCAB, 32064},   {QN_HP_N_EMBD, 3072},      {QN_HP_N_FF, 8192},    {QN_HP_N_LAYER, 32},
    {QN_HP_N_HEAD, 32},       {QN_HP_N_CTX, 4096},       {QN_HP_RMS_EPS, 1e-5}, {QN_HP_ROPE_ORIG_CTX, 4096},
    {QN_HP_ROPE_BASE, 10000}, {QN_HP_PARTIAL_ROTARY, 1},
};

static const qn_key_rule keys[] = {
    {"context_length", QN_KEY_U32, QN_HP_N_CTX},
    {"rope.scaling.original_context_length", QN_KEY_U32, QN_HP_ROPE_ORIG_CTX},
    {"embedding_length", QN_KEY_U32, QN_HP_N_EMBD},
    {"feed_forward_length", QN_KEY_U32, QN_HP_N_FF},
    {"block_count", QN_KEY_U32, QN_HP_N_LAYER},
    {"attention.head_count", QN_KEY_U32, QN_HP_N_HEAD},
    {"attention.head_count_kv", QN_KEY_U32, QN_HP_N_HEAD_KV},
    {"attention.layer_norm_rms_epsilon", QN_KEY_F32, QN_HP_RMS_EPS},
    {"rope.dimension_count", QN_KEY_U32, QN_HP_ROPE_DIM},
    {"rope.freq_base", QN_KEY_F32, QN_HP_ROPE_BASE},
    {"attention.sliding_window", QN_KEY_U32, QN_HP_SLIDING_WINDOW},
    {"rope.scaling.attn_factor", QN_KEY_F32, QN_HP_ROPE_ATTN_FACTOR},
};

static const qn_tensor_rule tensors[] = {
    QN_RULE_EMBED,
    QN_RULE_NORM("model.layers.%.input_layernorm", "blk.%.attn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX("model.layers.%.self_attn.qkv_proj", "blk.%.attn_qkv", QN_DIM_QKV, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX("model.layers.%.self_attn.o_proj", "blk.%.attn_output", QN_DIM_EMBD, QN_DIM_Q, QN_AS_IS),
    QN_RULE_NORM("model.layers.%.post_attention_layernorm", "blk.%.ffn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX("model.layers.%.mlp.gate_up_proj", "blk.%.ffn_up", QN_DIM_FF_TWICE, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX("model.layers.%.mlp.down_proj", "blk.%.ffn_down", QN_DIM_EMBD, QN_DIM_FF, QN_AS_IS),
    QN_RULE_INV_FREQ,
    QN_RULE_NORM("model.norm", "output_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_OUTPUT,
};

/* How much attention is strengthened when positions are stretched s = n_ctx / original times. */
static double attn_factor(const qn_hparams *h) {
    const double original = h->value[QN_HP_ROPE_ORIG_CTX];
    const double s = h->value[QN_HP_N_CTX] / original;
    if (s <= 1.0) {
        return 1.0;
    }
    return h->rope_scaling == QN_ROPE_SCALING_YARN ? 0.1 * log(s) + 1.0 : sqrt(1.0 + log(s) / log(original));
}

static qn_status derive(const char *where, const json_t *config, qn_hparams *h, qn_error *err) {
    const uint64_t n_head = qn_hp_count(h, QN_HP_N_HEAD);
    const double rotated = floor(h->value[QN_HP_PARTIAL_ROTARY] * h->value[QN_HP_N_EMBD]);
    const uint64_t n_rot = (uint64_t)rotated / n_head;
    (void)config;
    qn_hp_set(h, QN_HP_ROPE_DIM, (double)n_rot);
    if (!h->has[QN_HP_SLIDING_WINDOW]) {
        qn_hp_set(h, QN_HP_SLIDING_WINDOW, 0);
    }
    if (h->rope_long_factors == NULL) {
        return QN_OK;
    }
    if (h->n_rope_factors != n_rot / 2) {
        return qn_fail(err, QN_E_FORMAT, "%s: %llu rope factors for %llu rotary dimensions a head: %llu are expected",
                       where, (unsigned long long)h->n_rope_factors, (unsigned long long)n_rot,
                       (unsigned long long)(n_rot / 2));
    }
    qn_hp_set(h, QN_HP_ROPE_ATTN_FACTOR, attn_factor(h));
    if (!isfinite(h->value[QN_HP_ROPE_ATTN_FACTOR])) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: 'original_max_position_embeddings' is %g: the attention factor would be infinite", where,
                       h->value[QN_HP_ROPE_ORIG_CTX]);
    }
    return QN_OK;
}

static qn_status generate(const qn_hparams *h, qn_arena *arena, qn_generated *out, size_t *n, qn_error *err) {
    (void)arena;
    (void)err;
    *n = 0;
    if (h->rope_long_factors != NULL) {
        out[(*n)++] = (qn_generated){"rope_factors_long.weight", h->rope_long_factors, h->n_rope_factors};
        out[(*n)++] = (qn_generated){"rope_factors_short.weight", h->rope_short_factors, h->n_rope_factors};
    }
    return QN_OK;
}

/* The share of the hidden size, in few digits, that gives n_rot dimensions a head: the ratio where it is short. */
static double share_of(uint64_t n_rot, const qn_hparams *h) {
    const uint64_t n_head = qn_hp_count(h, QN_HP_N_HEAD);
    const double n_embd = h->value[QN_HP_N_EMBD];
    const double ratio = (double)(n_rot * n_head) / n_embd;
    double first = 0;
    for (int digits = 1; digits < 10; digits++) {
        char text[32];
        (void)snprintf(text, sizeof text, "%.*g", digits, ratio);
        const double share = strtod(text, NULL);
        if (share == ratio) {
            return share;
        }
        if (first == 0 && (uint64_t)floor(share * n_embd) / n_head == n_rot) {
            first = share;
        }
    }
    return first == 0 ? ratio : first;
}

/* The class has its window at "sliding_window", null for none, and the trained context at the root. */
static const qn_hp_name names[] = {{QN_HP_SLIDING_WINDOW, NULL}};

static bool describe(const qn_hparams *h, json_t *config) {
    const uint64_t window = qn_hp_count(h, QN_HP_SLIDING_WINDOW);
    const uint64_t original = qn_hp_count(h, h->has[QN_HP_ROPE_ORIG_CTX] ? QN_HP_ROPE_ORIG_CTX : QN_HP_N_CTX);
    const double share = h->has[QN_HP_PARTIAL_ROTARY] ? h->value[QN_HP_PARTIAL_ROTARY] : 1;
    return json_object_set_new(config, "sliding_window",
                               window == 0 ? json_null() : json_integer((json_int_t)window)) == 0 &&
        json_object_set_new(config, "original_max_position_embeddings", json_integer((json_int_t)original)) == 0 &&
        json_object_set_new(config, "partial_rotary_factor", json_real(share)) == 0;
}

static qn_status recover(const qn_generated *found, size_t n, qn_arena *arena, qn_hparams *h, qn_error *err) {
    (void)arena;
    const uint64_t n_rot = h->has[QN_HP_ROPE_DIM] ? qn_hp_count(h, QN_HP_ROPE_DIM) : qn_hp_head_dim(h);
    qn_hp_set(h, QN_HP_ROPE_DIM, (double)n_rot);
    qn_hp_set(h, QN_HP_PARTIAL_ROTARY, share_of(n_rot, h));
    for (size_t i = 0; i < n; i++) {
        const bool is_long = strcmp(found[i].name, "rope_factors_long.weight") == 0;
        if (!is_long && strcmp(found[i].name, "rope_factors_short.weight") != 0) {
            return qn_fail(err, QN_E_UNSUPPORTED, "tensor '%s' has no place in a Phi-3 model", found[i].name);
        }
        if (found[i].n != n_rot / 2) {
            return qn_fail(err, QN_E_SHAPE, "tensor '%s' has %llu factors for %llu rotary dimensions a head",
                           found[i].name, (unsigned long long)found[i].n, (unsigned long long)n_rot);
        }
        *(is_long ? &h->rope_long_factors : &h->rope_short_factors) = found[i].values;
        h->n_rope_factors = found[i].n;
    }
    if ((h->rope_long_factors == NULL) != (h->rope_short_factors == NULL)) {
        return qn_fail(err, QN_E_FORMAT, "rope factors come in two lists, long and short; one is missing");
    }
    h->rope_scaling = n == 0 ? QN_ROPE_SCALING_NONE : QN_ROPE_SCALING_LONGROPE;
    return QN_OK;
}

const qn_arch qn_arch_phi3 = {
    .name = "phi3",
    .label = "Phi-3, Phi-3.5, Phi-4",
    .model_type = "phi3",
    .config_constants = "{\"hidden_act\":\"silu\"}",
    .hp_names = names,
    .n_hp_names = QN_COUNT(names),
    .classes = classes,
    .defaults = defaults,
    .n_defaults = QN_COUNT(defaults),
    .keys = keys,
    .n_keys = QN_COUNT(keys),
    .tensors = tensors,
    .n_tensors = QN_COUNT(tensors),
    .base_prefixes = qn_prefix_model,
    .rope = QN_ROPE_NEOX,
    .vocab = {.prefers_spm = true, .add_space_prefix = -1, .json_added_override = true},
    .derive = derive,
    .generate = generate,
    .describe = describe,
    .recover = recover,
};
