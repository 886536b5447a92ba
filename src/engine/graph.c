/* SPDX-License-Identifier: MIT */
/* graph.c: the table of families' traits, and the graph of one file from it and from its metadata. */
/*
 * One row a family; a new family that is made of known traits is a new row. Keys that a file leaves out stand for what
 * the row says. Source: facts/architectures.md 0.3, 0.7, 0.8, 1 to 11, 13, 20, 32, 42, and GPT-2's section.
 */
#include "engine/graph.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
static const double pi = 3.14159265358979323846;

enum { MAX_LAYERS = 4096, MAX_EXPERTS = 4096, MAX_SIZE = 1 << 24, MAX_CTX = 1 << 28 };

/* What the name of an architecture stands for. */
typedef struct traits {
    const char *arch;
    qn_norm_kind norm;
    qn_rope_kind rope;
    qn_mlp_kind mlp;
    qn_activation act;
    bool has_qk_norm;
    bool has_post_norms;
    bool has_positions;
    bool is_tied;
    bool may_lack_qk_norm;
    bool norms_after_rope;
    bool norms_whole_qk; /* q and k have norms over all their heads at once */
    bool has_norm_bias;  /* norms have a bias although their mean stays */
    bool has_scales;     /* may have the keys embedding_scale, residual_scale and logit_scale */
    bool has_sinks;
    const char *ffn_norm;     /* NULL: "ffn_norm" */
    qn_gating gating;         /* where the key is not there; 0: softmax */
    bool may_mix;             /* layers are mixtures where the key expert_count is there */
    bool has_norm_key;        /* the key expert_weights_norm says that; without it they are not divided */
    bool keeps_expert_sums;   /* weights of the chosen experts are not divided by their sum */
    qn_shared_kind shared;    /* beside the experts, where its width is not 0 */
    bool scales_embedding;    /* by the root of n_embd */
    bool has_attn_scale;      /* may have the key attention.scale */
    uint64_t layers_by_width; /* with so many layers scores are scaled by n_embd / n_head, not by the head size */
    uint64_t window;          /* default; 0: only where the key is there */
    uint64_t sliding_pattern; /* every n-th layer is full; 0: windows are ignored */
    double base_swa;          /* default rope base of sliding layers; 0: that of the others */
    bool scales_swa;          /* linear scaling holds for sliding layers, too */
    bool has_attn_softcap;    /* may have the key attn_logit_softcapping */
    bool has_final_softcap;
    double attn_softcap; /* without it; 0: none */
    double final_softcap;
} traits;

static const traits families[] = {
    {.arch = "llama", .rope = QN_ROPE_NORM, .may_mix = true, .has_attn_scale = true},
    {.arch = "qwen2moe", .rope = QN_ROPE_NEOX, .may_mix = true, .keeps_expert_sums = true, .shared = QN_SHARED_GATED},
    {.arch = "qwen3moe", .rope = QN_ROPE_NEOX, .may_mix = true, .has_qk_norm = true},
    {.arch = "olmoe", .rope = QN_ROPE_NEOX, .may_mix = true, .keeps_expert_sums = true, .norms_whole_qk = true},
    {.arch = "gpt-oss",
     .rope = QN_ROPE_NEOX,
     .act = QN_ACT_SILU_LIMITED,
     .may_mix = true,
     .gating = QN_GATING_SOFTMAX_CHOSEN,
     .keeps_expert_sums = true,
     .has_sinks = true,
     .ffn_norm = "post_attention_norm",
     .window = 128,
     .sliding_pattern = 2,
     .scales_swa = true},
    {.arch = "deepseek", .rope = QN_ROPE_NORM, .may_mix = true, .keeps_expert_sums = true, .shared = QN_SHARED_ADDED},
    {.arch = "dots1",
     .rope = QN_ROPE_NEOX,
     .may_mix = true,
     .has_norm_key = true,
     .shared = QN_SHARED_ADDED,
     .has_qk_norm = true},
    {.arch = "glm4moe",
     .rope = QN_ROPE_NEOX,
     .may_mix = true,
     .has_norm_key = true,
     .gating = QN_GATING_SIGMOID,
     .shared = QN_SHARED_ADDED,
     .has_qk_norm = true,
     .may_lack_qk_norm = true,
     .ffn_norm = "post_attention_norm"},
    {.arch = "hunyuan-dense", .rope = QN_ROPE_NEOX, .has_qk_norm = true, .norms_after_rope = true},
    {.arch = "hunyuan-moe",
     .rope = QN_ROPE_NEOX,
     .may_mix = true,
     .shared = QN_SHARED_ADDED,
     .has_qk_norm = true,
     .norms_after_rope = true},
    {.arch = "ernie4_5", .rope = QN_ROPE_NORM},
    {.arch = "ernie4_5-moe", .rope = QN_ROPE_NORM, .may_mix = true, .shared = QN_SHARED_ADDED},
    {.arch = "phimoe", .rope = QN_ROPE_NEOX, .may_mix = true, .has_norm_bias = true},
    {.arch = "granite", .rope = QN_ROPE_NORM, .has_attn_scale = true, .has_scales = true},
    {.arch = "granitemoe",
     .rope = QN_ROPE_NORM,
     .may_mix = true,
     .shared = QN_SHARED_ADDED,
     .has_attn_scale = true,
     .has_scales = true},
    {.arch = "qwen2", .rope = QN_ROPE_NEOX},
    {.arch = "qwen3", .rope = QN_ROPE_NEOX, .has_qk_norm = true},
    {.arch = "gemma", .rope = QN_ROPE_NEOX, .act = QN_ACT_GELU, .scales_embedding = true, .is_tied = true},
    {.arch = "gemma2",
     .rope = QN_ROPE_NEOX,
     .act = QN_ACT_GELU,
     .scales_embedding = true,
     .is_tied = true,
     .has_post_norms = true,
     .layers_by_width = 46,
     .window = 4096,
     .sliding_pattern = 2,
     .scales_swa = true,
     .has_attn_softcap = true,
     .attn_softcap = 50,
     .has_final_softcap = true,
     .final_softcap = 30},
    {.arch = "gemma3",
     .rope = QN_ROPE_NEOX,
     .act = QN_ACT_GELU,
     .scales_embedding = true,
     .has_post_norms = true,
     .has_qk_norm = true,
     .layers_by_width = 62,
     .sliding_pattern = 6,
     .base_swa = 10000,
     .has_final_softcap = true},
    {.arch = "phi3", .rope = QN_ROPE_NEOX, .mlp = QN_MLP_GATED_FUSED},
    {.arch = "gpt2",
     .norm = QN_NORM_LAYER,
     .rope = QN_ROPE_ABSENT,
     .mlp = QN_MLP_PLAIN,
     .act = QN_ACT_GELU,
     .has_positions = true},
};

/* Reads "ARCH.suffix". */
typedef struct reader {
    const char *where;
    const char *arch;
    const qn_meta *meta;
    char key[160];
} reader;

static const qn_meta_value *find(reader *r, const char *suffix) {
    (void)snprintf(r->key, sizeof r->key, "%s.%s", r->arch, suffix);
    return qn_meta_find(r->meta, r->key);
}

/* Element i of an array of integers. */
static bool item_of(const qn_meta_value *v, uint64_t i, uint64_t *out) {
    const void *items = v->as.array.items;
    switch (v->as.array.type) {
    case QN_META_U32: *out = ((const uint32_t *)items)[i]; return true;
    case QN_META_I32: *out = (uint64_t)((const int32_t *)items)[i]; return true;
    case QN_META_U64: *out = ((const uint64_t *)items)[i]; return true;
    case QN_META_I64: *out = (uint64_t)((const int64_t *)items)[i]; return true;
    case QN_META_BOOL: *out = ((const uint8_t *)items)[i]; return true;
    default: return false;
    }
}

/* An integer, or one a layer, all the same. *out stays where the key is absent. */
static qn_status read_count(reader *r, const char *suffix, uint64_t min, uint64_t max, bool is_needed, uint64_t *out,
                            qn_error *err) {
    const qn_meta_value *v = find(r, suffix);
    uint64_t n = 0;
    if (v == NULL && is_needed) {
        return qn_fail(err, QN_E_FORMAT, "%s: metadata key '%s' is missing: a model of architecture '%s' has it",
                       r->where, r->key, r->arch);
    }
    if (v == NULL) {
        return QN_OK;
    }
    bool is_count = false;
    if (v->type == QN_META_ARRAY) {
        is_count = v->as.array.n > 0 && item_of(v, 0, &n);
        for (uint64_t i = 1; is_count && i < v->as.array.n; i++) {
            uint64_t other = 0;
            (void)item_of(v, i, &other);
            if (other != n) {
                return qn_fail(err, QN_E_UNSUPPORTED,
                               "%s: metadata key '%s': layers differ (%" PRIu64 " in layer 0, %" PRIu64
                               " in layer %" PRIu64 "); such a model cannot be run",
                               r->where, r->key, n, other, i);
            }
        }
    } else {
        is_count = qn_meta_u64(r->meta, r->key, &n);
    }
    if (!is_count || n < min || n > max) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: metadata key '%s' is %s%" PRIu64 "; an integer from %" PRIu64 " to %" PRIu64 " is expected",
                       r->where, r->key, is_count ? "" : "no integer, read as ", n, min, max);
    }
    *out = n;
    return QN_OK;
}

/* A number. *out stays where the key is absent. */
static qn_status read_number(reader *r, const char *suffix, double min, double max, double *out, qn_error *err) {
    const qn_meta_value *v = find(r, suffix);
    double x = NAN;
    if (v == NULL) {
        return QN_OK;
    }
    if (!qn_meta_f64(r->meta, r->key, &x) || !(x >= min && x <= max)) {
        return qn_fail(err, QN_E_FORMAT, "%s: metadata key '%s' is %g; a number from %g to %g is expected", r->where,
                       r->key, x, min, max);
    }
    *out = x;
    return QN_OK;
}

static qn_status read_sizes(reader *r, qn_graph *g, qn_error *err) {
    uint64_t n_beyond = 0; /* layers that guess further tokens: they are no part of the forward pass */
    QN_TRY(read_count(r, "block_count", 1, MAX_LAYERS, true, &g->n_layer, err));
    QN_TRY(read_count(r, "nextn_predict_layers", 0, g->n_layer - 1, false, &n_beyond, err));
    g->n_layer -= n_beyond;
    QN_TRY(read_count(r, "context_length", 1, MAX_CTX, true, &g->n_ctx, err));
    QN_TRY(read_count(r, "embedding_length", 1, MAX_SIZE, true, &g->n_embd, err));
    QN_TRY(read_count(r, "feed_forward_length", 1, MAX_SIZE, true, &g->n_ff, err));
    QN_TRY(read_count(r, "attention.head_count", 1, MAX_SIZE, true, &g->n_head, err));
    g->n_head_kv = g->n_head;
    QN_TRY(read_count(r, "attention.head_count_kv", 1, MAX_SIZE, false, &g->n_head_kv, err));
    if (g->n_head % g->n_head_kv != 0) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: metadata says %" PRIu64 " heads and %" PRIu64
                       " key/value heads; the second must divide the first",
                       r->where, g->n_head, g->n_head_kv);
    }
    g->head_dim = g->n_embd / g->n_head;
    QN_TRY(read_count(r, "attention.key_length", 1, MAX_SIZE, false, &g->head_dim, err));
    uint64_t value_dim = g->head_dim;
    QN_TRY(read_count(r, "attention.value_length", 1, MAX_SIZE, false, &value_dim, err));
    if (value_dim != g->head_dim) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: keys of %" PRIu64 " and values of %" PRIu64 " dimensions; heads of one size can be run",
                       r->where, g->head_dim, value_dim);
    }
    if (g->head_dim == 0 || g->n_head > MAX_SIZE / g->head_dim) {
        return qn_fail(err, QN_E_FORMAT, "%s: metadata says %" PRIu64 " heads of %" PRIu64 " dimensions", r->where,
                       g->n_head, g->head_dim);
    }
    return QN_OK;
}

/* How experts are chosen, where it is not as the row says. */
static qn_status read_gating(reader *r, const traits *t, qn_mixture *m, qn_error *err) {
    uint64_t gating = 0;
    uint64_t n_groups = 0;
    double scale = 1;
    QN_TRY(read_count(r, "expert_gating_func", 0, 255, false, &gating, err));
    QN_TRY(read_number(r, "expert_weights_scale", -1e9, 1e9, &scale, err));
    QN_TRY(read_count(r, "expert_group_count", 0, MAX_EXPERTS, false, &n_groups, err));
    if (gating > QN_GATING_SOFTMAX_CHOSEN || n_groups > 1) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: experts in %" PRIu64 " groups and chosen by function %" PRIu64
                       "; one group, and functions 1 (softmax), 2 (sigmoid) and 3 (softmax of the chosen) can be run",
                       r->where, n_groups, gating);
    }
    m->gating = gating != 0 ? (qn_gating)gating : t->gating != 0 ? t->gating : QN_GATING_SOFTMAX;
    m->normalizes = !t->keeps_expert_sums;
    if (t->has_norm_key) {
        const qn_meta_value *v = find(r, "expert_weights_norm");
        m->normalizes = v != NULL && v->type == QN_META_BOOL && v->as.b;
    }
    m->scale = scale == 0 ? 1 : (float)scale;
    return QN_OK;
}

static qn_status read_mixture(reader *r, const traits *t, qn_graph *g, qn_error *err) {
    qn_mixture *m = &g->mixture;
    uint64_t n_shared = 0;
    QN_TRY(read_count(r, "expert_count", 0, MAX_EXPERTS, false, &m->n_expert, err));
    if (m->n_expert == 0) {
        return QN_OK;
    }
    if (!t->may_mix) {
        return qn_fail(err, QN_E_UNSUPPORTED, "%s: a mixture of %" PRIu64 " experts, which no %s is", r->where,
                       m->n_expert, r->arch);
    }
    m->n_ff = g->n_ff;
    QN_TRY(read_count(r, "expert_used_count", 1, m->n_expert, true, &m->n_used, err));
    QN_TRY(read_count(r, "expert_feed_forward_length", 1, MAX_SIZE, false, &m->n_ff, err));
    QN_TRY(read_count(r, "leading_dense_block_count", 0, MAX_LAYERS, false, &m->n_dense_lead, err));
    m->step = 1;
    QN_TRY(read_count(r, "interleave_moe_layer_step", 1, MAX_LAYERS, false, &m->step, err));
    QN_TRY(read_count(r, "expert_shared_count", 0, MAX_EXPERTS, false, &n_shared, err));
    m->n_ff_shared = n_shared * m->n_ff;
    QN_TRY(read_count(r, "expert_shared_feed_forward_length", 0, MAX_SIZE, false, &m->n_ff_shared, err));
    m->n_ff_shared = t->shared == QN_SHARED_NONE ? 0 : m->n_ff_shared; /* no tensor would hold it to account */
    m->shared = m->n_ff_shared > 0 ? t->shared : QN_SHARED_NONE;
    return read_gating(r, t, m, err);
}

bool qn_graph_is_mixture(const qn_graph *graph, uint64_t layer) {
    const qn_mixture *m = &graph->mixture;
    return m->n_expert > 0 && layer >= m->n_dense_lead && (layer + 1) % m->step == 0;
}

uint64_t qn_graph_widest_mlp(const qn_graph *graph) {
    uint64_t widest = graph->mixture.n_ff_shared;
    for (uint64_t i = 0; i < graph->n_layer; i++) {
        widest = qn_graph_is_mixture(graph, i) || graph->n_ff < widest ? widest : graph->n_ff;
    }
    return widest;
}

/* Factors of scaling, as the runtime understands keys that may be absent. */
static qn_status read_scaling(reader *r, qn_rope *rope, qn_error *err) {
    const qn_meta_value *v = find(r, "rope.scaling.type");
    const char *type = v == NULL ? "linear" : qn_meta_string(r->meta, r->key);
    double factor = 0;
    double log_mul = 0;
    double attn_factor = 1;
    if (type == NULL ||
        (strcmp(type, "none") != 0 && strcmp(type, "linear") != 0 && strcmp(type, "yarn") != 0 &&
         strcmp(type, "longrope") != 0)) {
        return qn_fail(err, QN_E_UNSUPPORTED, "%s: metadata key '%s': rope scaling '%.60s' is not known", r->where,
                       r->key, type == NULL ? "(no text)" : type);
    }
    const bool is_yarn = strcmp(type, "yarn") == 0;
    QN_TRY(read_number(r, "rope.scaling.factor", 0, 1e6, &factor, err));
    QN_TRY(read_number(r, "rope.scaling.attn_factor", -1e6, 1e6, &attn_factor, err));
    factor = factor == 0 || strcmp(type, "none") == 0 ? 1 : factor;
    rope->ext_factor = is_yarn ? 1 : 0;
    rope->beta_fast = 32;
    rope->beta_slow = 1;
    if (is_yarn) {
        double ext_factor = -1;
        QN_TRY(read_number(r, "rope.scaling.yarn_ext_factor", -1e6, 1e6, &ext_factor, err));
        QN_TRY(read_number(r, "rope.scaling.yarn_beta_fast", 1e-6, 1e6, &rope->beta_fast, err));
        QN_TRY(read_number(r, "rope.scaling.yarn_beta_slow", 1e-6, 1e6, &rope->beta_slow, err));
        QN_TRY(read_number(r, "rope.scaling.yarn_log_multiplier", -1e6, 1e6, &log_mul, err));
        rope->ext_factor = ext_factor < 0 ? 1 : ext_factor;
    }
    rope->freq_scale = 1 / factor;
    rope->magnitude = attn_factor;
    if (rope->ext_factor != 0 && factor > 1) {
        const double grown = 1 + 0.1 * log(factor);
        rope->magnitude *= log_mul == 0 ? grown : grown / (1 + 0.1 * log_mul * log(factor));
    }
    return QN_OK;
}

static qn_status read_rope(reader *r, const traits *t, qn_graph *g, qn_error *err) {
    qn_rope *full = &g->rope[0];
    g->n_rot = g->head_dim;
    g->n_ctx_orig = g->n_ctx;
    *full = (qn_rope){.base = 10000};
    const qn_meta_value *v = t->has_scales ? find(r, "rope.scaling.finetuned") : NULL;
    if (v != NULL && v->type == QN_META_BOOL && !v->as.b) { /* so a Granite without rotation says it */
        g->rope_kind = QN_ROPE_ABSENT;
    }
    if (g->rope_kind == QN_ROPE_ABSENT) {
        g->n_rot = 0;
        return QN_OK;
    }
    QN_TRY(read_count(r, "rope.dimension_count", 2, MAX_SIZE, false, &g->n_rot, err));
    QN_TRY(read_count(r, "rope.scaling.original_context_length", 0, MAX_CTX, false, &g->n_ctx_orig, err));
    QN_TRY(read_number(r, "rope.freq_base", 1e-3, 1e15, &full->base, err));
    QN_TRY(read_scaling(r, full, err));
    if (g->n_rot > g->head_dim || g->n_rot % 2 != 0) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: %" PRIu64 " of the %" PRIu64
                       " dimensions of a head are rotary: an even number within the head is expected",
                       r->where, g->n_rot, g->head_dim);
    }
    g->rope[1] = *full;
    g->rope[1].base = t->base_swa > 0 ? t->base_swa : full->base;
    g->rope[1].freq_scale = t->scales_swa ? full->freq_scale : 1;
    return read_number(r, "rope.freq_base_swa", 1e-3, 1e15, &g->rope[1].base, err);
}

/* Which layers see a window only. */
static qn_status read_windows(reader *r, const traits *t, qn_arena *arena, qn_graph *g, qn_error *err) {
    uint64_t pattern = t->sliding_pattern;
    g->is_sliding = qn_arena_array(arena, g->n_layer, sizeof *g->is_sliding);
    if (g->is_sliding == NULL) {
        return qn_fail_nomem(err, "layers", (size_t)g->n_layer);
    }
    if (pattern == 0) {
        return QN_OK;
    }
    g->window = t->window;
    QN_TRY(read_count(r, "attention.sliding_window", 0, MAX_CTX, false, &g->window, err));
    const qn_meta_value *v = find(r, "attention.sliding_window_pattern");
    if (v != NULL && v->type == QN_META_ARRAY) {
        if (v->as.array.n != g->n_layer || v->as.array.type != QN_META_BOOL) {
            return qn_fail(err, QN_E_FORMAT, "%s: metadata key '%s': one truth value a layer is expected", r->where,
                           r->key);
        }
        for (uint64_t i = 0; i < g->n_layer; i++) {
            g->is_sliding[i] = g->window > 0 && ((const uint8_t *)v->as.array.items)[i] != 0;
        }
        return QN_OK;
    }
    QN_TRY(read_count(r, "attention.sliding_window_pattern", 1, MAX_LAYERS, false, &pattern, err));
    for (uint64_t i = 0; i < g->n_layer; i++) {
        g->is_sliding[i] = g->window > 0 && i % pattern < pattern - 1;
    }
    return QN_OK;
}

/* Where a key is absent or 0, nothing is scaled. */
static qn_status read_granite_scales(reader *r, qn_graph *g, qn_error *err) {
    double embedding = 0;
    double residual = 0;
    double logit = 0;
    QN_TRY(read_number(r, "embedding_scale", -1e9, 1e9, &embedding, err));
    QN_TRY(read_number(r, "residual_scale", -1e9, 1e9, &residual, err));
    QN_TRY(read_number(r, "logit_scale", -1e9, 1e9, &logit, err));
    g->embd_scale = embedding == 0 ? 1 : (float)embedding;
    g->residual_scale = residual == 0 ? 1 : (float)residual;
    g->logit_scale = logit == 0 ? 1 : 1 / (float)logit;
    return QN_OK;
}

static qn_status read_scales(reader *r, const traits *t, qn_graph *g, qn_error *err) {
    const bool by_width = t->layers_by_width != 0 && g->n_layer == t->layers_by_width;
    double scale = 0;
    double attn_cap = t->attn_softcap;
    double final_cap = t->final_softcap;
    double eps = NAN;
    const char *eps_key = t->norm == QN_NORM_RMS ? "attention.layer_norm_rms_epsilon" : "attention.layer_norm_epsilon";
    QN_TRY(read_number(r, eps_key, 0, 1, &eps, err));
    if (isnan(eps)) {
        return qn_fail(err, QN_E_FORMAT, "%s: metadata key '%s' is missing: a model of architecture '%s' has it",
                       r->where, r->key, r->arch);
    }
    if (t->has_attn_scale) {
        QN_TRY(read_number(r, "attention.scale", 0, 1e6, &scale, err));
    }
    if (t->has_attn_softcap) {
        QN_TRY(read_number(r, "attn_logit_softcapping", 0, 1e9, &attn_cap, err));
    }
    if (t->has_final_softcap) {
        QN_TRY(read_number(r, "final_logit_softcapping", 0, 1e9, &final_cap, err));
    }
    if (scale == 0) {
        scale = 1 / sqrt(by_width ? (double)g->n_embd / (double)g->n_head : (double)g->head_dim);
    }
    g->eps = (float)eps;
    g->attn_scale = (float)scale;
    g->attn_softcap = attn_cap > 0 ? (float)attn_cap : 0;
    g->final_softcap = final_cap > 0 ? (float)final_cap : 0;
    g->embd_scale = t->scales_embedding ? (float)sqrt((double)g->n_embd) : 1;
    g->residual_scale = 1;
    g->logit_scale = 1;
    return t->has_scales ? read_granite_scales(r, g, err) : QN_OK;
}

static const traits *find_family(const char *arch) {
    for (size_t i = 0; arch != NULL && i < COUNT(families); i++) {
        if (strcmp(families[i].arch, arch) == 0) {
            return &families[i];
        }
    }
    return NULL;
}

static qn_status refuse_family(const char *where, const char *arch, qn_error *err) {
    char known[512] = "";
    size_t used = 0;
    for (size_t i = 0; i < COUNT(families) && used < sizeof known; i++) {
        const int n = snprintf(known + used, sizeof known - used, "%s%s", i == 0 ? "" : ", ", families[i].arch);
        used += n < 0 ? 0 : (size_t)n;
    }
    if (arch == NULL) {
        return qn_fail(err, QN_E_FORMAT, "%s: metadata key 'general.architecture' is missing", where);
    }
    return qn_fail(err, QN_E_UNSUPPORTED, "%s: architecture '%.60s' cannot be run; these can: %s", where, arch, known);
}

qn_status qn_graph_read(const char *where, const qn_meta *meta, qn_arena *arena, qn_graph *out, qn_error *err) {
    const char *arch = qn_meta_string(meta, "general.architecture");
    const traits *t = find_family(arch);
    if (t == NULL) {
        return refuse_family(where, arch, err);
    }
    reader r = {.where = where, .arch = t->arch, .meta = meta};
    qn_graph g = {.arch = t->arch,
                  .norm = t->norm,
                  .mlp = t->mlp,
                  .act = t->act,
                  .has_qk_norm = t->has_qk_norm || t->norms_whole_qk,
                  .may_lack_qk_norm = t->may_lack_qk_norm,
                  .norms_after_rope = t->norms_after_rope,
                  .norms_whole_qk = t->norms_whole_qk,
                  .has_norm_bias = t->has_norm_bias || t->norm == QN_NORM_LAYER,
                  .has_post_norms = t->has_post_norms,
                  .has_sinks = t->has_sinks,
                  .ffn_norm = t->ffn_norm != NULL ? t->ffn_norm : "ffn_norm",
                  .has_positions = t->has_positions,
                  .is_tied = t->is_tied,
                  .rope_kind = t->rope};
    QN_TRY(read_sizes(&r, &g, err));
    QN_TRY(read_mixture(&r, t, &g, err));
    QN_TRY(read_rope(&r, t, &g, err));
    QN_TRY(read_windows(&r, t, arena, &g, err));
    QN_TRY(read_scales(&r, t, &g, err));
    *out = g;
    return QN_OK;
}

void qn_rope_frequencies(const qn_graph *graph, const qn_rope *rope, const float *divisors, double *out) {
    const double n_rot = (double)graph->n_rot;
    const double per_turn = (double)graph->n_ctx_orig / (2 * pi);
    const double unit = n_rot / (2 * log(rope->base));
    const double low = fmax(0, floor(unit * log(per_turn / rope->beta_fast)));
    const double high = fmin(n_rot - 1, ceil(unit * log(per_turn / rope->beta_slow)));
    for (uint64_t i = 0; i < graph->n_rot / 2; i++) {
        const double plain = pow(rope->base, -2.0 * (double)i / n_rot) / (divisors == NULL ? 1 : divisors[i]);
        const double along = ((double)i - low) / fmax(0.001, high - low);
        const double kept = rope->ext_factor == 0 ? 0 : (1 - fmin(1, fmax(0, along))) * rope->ext_factor;
        out[i] = plain * (rope->freq_scale * (1 - kept) + kept);
    }
}
