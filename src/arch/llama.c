/* SPDX-License-Identifier: MIT */
/* llama.c: Llama 1 to 3, and what rides on it: Mistral, Mixtral, Yi, SmolLM. Source: facts/architectures.md 1, 2, 8. */
#include "arch/families.h"

#include "arch/hparams_rows.h"

#include <math.h>
#include <string.h>

static const char *const classes[] = {"LlamaForCausalLM", "LLaMAForCausalLM", "LlamaModel", NULL};
static const char *const mistral_classes[] = {"MistralForCausalLM", "MistralModel", NULL};
static const char *const mixtral_classes[] = {"MixtralForCausalLM", "MixtralModel", NULL};

static const qn_hp_default defaults[] = {
    {QN_HP_N_VOCAB, 32000}, {QN_HP_N_EMBD, 4096}, {QN_HP_N_FF, 11008},   {QN_HP_N_LAYER, 32},
    {QN_HP_N_HEAD, 32},     {QN_HP_N_CTX, 2048},  {QN_HP_RMS_EPS, 1e-6}, {QN_HP_ROPE_BASE, 10000},
};

static const qn_hp_default mistral_defaults[] = {
    {QN_HP_N_VOCAB, 32000}, {QN_HP_N_EMBD, 4096},  {QN_HP_N_FF, 14336},   {QN_HP_N_LAYER, 32},      {QN_HP_N_HEAD, 32},
    {QN_HP_N_HEAD_KV, 8},   {QN_HP_N_CTX, 131072}, {QN_HP_RMS_EPS, 1e-6}, {QN_HP_ROPE_BASE, 10000},
};

static const qn_hp_default mixtral_defaults[] = {
    {QN_HP_N_VOCAB, 32000}, {QN_HP_N_EMBD, 4096}, {QN_HP_N_FF, 14336},      {QN_HP_N_LAYER, 32},
    {QN_HP_N_HEAD, 32},     {QN_HP_N_HEAD_KV, 8}, {QN_HP_N_CTX, 131072},    {QN_HP_RMS_EPS, 1e-5},
    {QN_HP_ROPE_BASE, 1e6}, {QN_HP_N_EXPERT, 8},  {QN_HP_N_EXPERT_USED, 2},
};

static const qn_key_rule keys[] = {
    {"vocab_size", QN_KEY_U32, QN_HP_N_VOCAB},
    {"rope.dimension_count", QN_KEY_U32, QN_HP_ROPE_DIM},
};

static const qn_key_rule mixtral_keys[] = {
    QN_KEYS_EXPERTS,
    {"vocab_size", QN_KEY_U32, QN_HP_N_VOCAB},
    {"rope.dimension_count", QN_KEY_U32, QN_HP_ROPE_DIM},
};

static const qn_tensor_rule mixtral_tensors[] = {
    QN_RULE_EMBED,
    QN_RULE_NORM("model.layers.%.input_layernorm", "blk.%.attn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX("model.layers.%.self_attn.q_proj", "blk.%.attn_q", QN_DIM_Q, QN_DIM_EMBD, QN_ROPE_Q),
    QN_RULE_MATRIX("model.layers.%.self_attn.k_proj", "blk.%.attn_k", QN_DIM_KV, QN_DIM_EMBD, QN_ROPE_K),
    QN_RULE_MATRIX("model.layers.%.self_attn.v_proj", "blk.%.attn_v", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_MATRIX("model.layers.%.self_attn.o_proj", "blk.%.attn_output", QN_DIM_EMBD, QN_DIM_Q, QN_AS_IS),
    QN_RULE_NORM("model.layers.%.post_attention_layernorm", "blk.%.ffn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULES_EXPERTS("model.layers.%.block_sparse_moe.gate", "model.layers.%.block_sparse_moe.experts.#.w1",
                     "model.layers.%.block_sparse_moe.experts.#.w3", "model.layers.%.block_sparse_moe.experts.#.w2",
                     QN_DIM_FF),
    QN_RULE_INV_FREQ,
    QN_RULE_NORM("model.norm", "output_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULE_OUTPUT,
};

static const qn_tensor_rule tensors[] = {
    QN_RULE_EMBED,
    QN_RULE_NORM("model.layers.%.input_layernorm", "blk.%.attn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULES_ROPE_ATTENTION,
    QN_RULE_NORM("model.layers.%.post_attention_layernorm", "blk.%.ffn_norm", QN_DIM_EMBD, QN_AS_IS),
    QN_RULES_MLP,
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

static qn_status derive_mixtral(const char *where, const json_t *config, qn_hparams *h, qn_error *err) {
    QN_TRY(qn_hparams_check_experts(where, h, err));
    return derive(where, config, h, err);
}

/* How much slower Llama 3 turns at a wavelength. */
typedef struct slowing {
    double factor, low, high, ctx;
} slowing;

static double divisor_at(const slowing *s, double wavelength) {
    if (wavelength < s->ctx / s->high) {
        return 1;
    }
    if (wavelength > s->ctx / s->low) {
        return s->factor;
    }
    const double smooth = (s->ctx / wavelength - s->low) / (s->high - s->low);
    return 1.0 / ((1.0 - smooth) / s->factor + smooth);
}

static double wavelength_at(const qn_hparams *h, uint64_t i) {
    const double n_rot = h->value[QN_HP_ROPE_DIM];
    return 2.0 * 3.14159265358979323846 * pow(h->value[QN_HP_ROPE_BASE], 2.0 * (double)i / n_rot);
}

/* Llama 3's divisors of the rotary angles: long wavelengths slowed by factor, short ones kept, a ramp between. */
static qn_status generate(const qn_hparams *h, qn_arena *arena, qn_generated *out, size_t *n, qn_error *err) {
    const uint64_t n_rot = qn_hp_count(h, QN_HP_ROPE_DIM);
    const slowing s = {.factor = h->has[QN_HP_ROPE_FACTOR] ? h->value[QN_HP_ROPE_FACTOR] : 8,
                       .low = h->has[QN_HP_ROPE_LOW_FREQ] ? h->value[QN_HP_ROPE_LOW_FREQ] : 1,
                       .high = h->has[QN_HP_ROPE_HIGH_FREQ] ? h->value[QN_HP_ROPE_HIGH_FREQ] : 4,
                       .ctx = h->has[QN_HP_ROPE_ORIG_CTX] ? h->value[QN_HP_ROPE_ORIG_CTX] : 8192};
    *n = 0;
    if (h->rope_scaling != QN_ROPE_SCALING_LLAMA3) {
        return QN_OK;
    }
    float *values = qn_arena_array(arena, n_rot / 2, sizeof *values);
    if (values == NULL) {
        return qn_fail_nomem(err, "rope_freqs.weight", (size_t)n_rot * sizeof *values / 2);
    }
    for (uint64_t i = 0; i < n_rot / 2; i++) {
        values[i] = (float)divisor_at(&s, wavelength_at(h, i));
    }
    out[(*n)++] = (qn_generated){"rope_freqs.weight", values, n_rot / 2};
    return QN_OK;
}

/* Whether a slowing gives the divisors, up to what other programs' float32 arithmetic makes of them. */
static bool gives(const slowing *s, const qn_hparams *h, const qn_generated *found) {
    bool does = s->low > 0 && s->high > s->low && s->ctx >= 1 && s->factor > 0;
    for (uint64_t i = 0; does && i < found->n; i++) {
        does = fabs(divisor_at(s, wavelength_at(h, i)) - found->values[i]) <= 1e-4 * fabs((double)found->values[i]);
    }
    return does;
}

/* Number k of the guesses with two divisors within the ramp: straight there against the frequency, each tells a point
 * of the line. Only ratios show, so the lower end is taken as 1, and numbers are rounded to what people write. */
static slowing guess_of_line(const qn_hparams *h, const qn_generated *found, double factor, const uint64_t *in_ramp,
                             uint64_t n_in_ramp, unsigned k) {
    double x[2] = {0};
    double y[2] = {0};
    for (uint64_t i = 0; i < 2 && i < n_in_ramp; i++) {
        const uint64_t at = in_ramp[i == 0 ? 0 : n_in_ramp - 1];
        x[i] = 1 / wavelength_at(h, at);
        y[i] = (1 / (double)found->values[at] - 1 / factor) / (1 - 1 / factor);
    }
    if (n_in_ramp < 2) { /* one point: the usual ratio of 4 */
        return (slowing){factor, 1, 4, round((3 * y[0] + 1) / x[0])};
    }
    const double slope = (y[0] - y[1]) / (x[0] - x[1]);
    const double start = slope * x[0] - y[0]; /* low / (high - low) */
    const double high = 1 + 1 / start;
    const double step = k == 0 ? 1 : k == 1 ? 100 : 0;
    const double rounded = step == 0 ? high : round(high * step) / step;
    return (slowing){factor, 1, rounded, round(slope * (rounded - 1))};
}

/* Llama 3's scaling from the divisors that a file holds. */
static qn_status recover(const qn_generated *found, size_t n, qn_arena *arena, qn_hparams *h, qn_error *err) {
    const uint64_t head_dim = qn_hp_head_dim(h);
    if (!h->has[QN_HP_ROPE_DIM]) {
        qn_hp_set(h, QN_HP_ROPE_DIM, (double)head_dim);
    }
    if (qn_hp_count(h, QN_HP_ROPE_DIM) != head_dim || head_dim % 2 != 0) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%llu of the %llu dimensions of a head are rotary; a Llama has all, in pairs",
                       (unsigned long long)qn_hp_count(h, QN_HP_ROPE_DIM), (unsigned long long)head_dim);
    }
    if (n == 0) {
        return QN_OK;
    }
    uint64_t *in_ramp = qn_arena_array(arena, found->n, sizeof *in_ramp);
    uint64_t n_in_ramp = 0;
    double factor = 1;
    if (in_ramp == NULL) {
        return qn_fail_nomem(err, found->name, 0);
    }
    for (uint64_t i = 0; i < found->n; i++) {
        factor = fmax(factor, found->values[i]);
    }
    for (uint64_t i = 0; i < found->n; i++) {
        const double v = found->values[i];
        if (v > 1 && v < factor) {
            in_ramp[n_in_ramp++] = i;
        }
    }
    slowing s = {factor, 1, 4, 8192};
    bool fits = n == 1 && strcmp(found->name, "rope_freqs.weight") == 0 &&
        found->n == qn_hp_count(h, QN_HP_ROPE_DIM) / 2;
    if (fits && !gives(&s, h, found)) {
        for (unsigned k = 0; k < 3 && n_in_ramp > 0 && !gives(&s, h, found); k++) {
            s = guess_of_line(h, found, factor, in_ramp, n_in_ramp, k);
        }
        for (double ctx = 1; n_in_ramp == 0 && ctx <= 1 << 24 && !gives(&s, h, found); ctx *= 2) {
            s.ctx = ctx; /* nothing within the ramp: many contexts give the same */
        }
        fits = gives(&s, h, found);
    }
    if (!fits) {
        return qn_fail(err, QN_E_UNSUPPORTED, "tensor '%s' holds rope factors that Llama 3's scaling does not give",
                       found->name);
    }
    h->rope_scaling = QN_ROPE_SCALING_LLAMA3;
    qn_hp_set(h, QN_HP_ROPE_FACTOR, s.factor);
    qn_hp_set(h, QN_HP_ROPE_LOW_FREQ, s.low);
    qn_hp_set(h, QN_HP_ROPE_HIGH_FREQ, s.high);
    qn_hp_set(h, QN_HP_ROPE_ORIG_CTX, s.ctx);
    return QN_OK;
}

/* What all classes share. */
#define LLAMA_SHAPE                                                                                                 \
    .name = "llama", .config_constants = "{\"hidden_act\":\"silu\"}", .has_generic_keys = true,                     \
    .base_prefixes = qn_prefix_model, .rope = QN_ROPE_NORM, .vocab = {.prefers_spm = true, .add_space_prefix = -1}, \
    .generate = generate, .recover = recover

#define LLAMA_TABLES \
    .keys = keys, .n_keys = QN_COUNT(keys), .tensors = tensors, .n_tensors = QN_COUNT(tensors), .derive = derive

const qn_arch qn_arch_llama = {
    LLAMA_SHAPE,
    LLAMA_TABLES,
    .label = "Llama (also Yi, SmolLM, TinyLlama)",
    .model_type = "llama",
    .names_biases = true,
    .classes = classes,
    .defaults = defaults,
    .n_defaults = QN_COUNT(defaults),
};

/* In GGUF a Mistral is a Llama: what differs is what its config.json may leave out. */
const qn_arch qn_arch_mistral = {
    LLAMA_SHAPE,
    LLAMA_TABLES,
    .label = "Mistral",
    .model_type = "mistral",
    .classes = mistral_classes,
    .defaults = mistral_defaults,
    .n_defaults = QN_COUNT(mistral_defaults),
};

/* A Mixtral is one, too; its feed-forwards are mixtures. */
const qn_arch qn_arch_mixtral = {
    LLAMA_SHAPE,
    .label = "Mixtral",
    .model_type = "mixtral",
    .classes = mixtral_classes,
    .defaults = mixtral_defaults,
    .n_defaults = QN_COUNT(mixtral_defaults),
    .keys = mixtral_keys,
    .n_keys = QN_COUNT(mixtral_keys),
    .tensors = mixtral_tensors,
    .n_tensors = QN_COUNT(mixtral_tensors),
    .is_mixture = true,
    .derive = derive_mixtral,
};
