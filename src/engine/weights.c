/* SPDX-License-Identifier: MIT */
/* weights.c: finds a model's tensors under their GGUF names and holds their shapes against the graph. */
/*
 * Matrices stay where the provider has them, in their own types. Vectors (norms, biases, rope factors) are turned into
 * float32 once: they are small, and then need no alignment. After this every size that the forward pass uses is one
 * that a tensor has: metadata that lies is refused here.
 */
#include "engine/weights.h"

#include "container/gguf.h"
#include "dtype/codec.h"
#include "dtype/matmul.h"
#include "engine/lora.h"
#include "model/model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- a GGUF file as a provider ---- */

static qn_status find_in_archive(void *self, const char *name, qn_shape *shape, qn_dtype *type, const void **bytes,
                                 qn_error *err) {
    qn_archive *archive = self;
    const qn_archive_tensor *t = qn_archive_find(archive, name);
    const unsigned char *map = NULL;
    if (t == NULL) {
        return QN_OK;
    }
    QN_TRY(qn_archive_map(archive, t, &map, err));
    *shape = t->shape;
    *type = t->type;
    *bytes = map;
    return QN_OK;
}

static void close_archive(void *self) {
    qn_archive_close(self);
}

static qn_provider provider_of(qn_archive *archive) {
    return (qn_provider){.self = archive,
                         .where = qn_file_path(qn_archive_file_at(archive, 0)),
                         .meta = qn_archive_meta(archive),
                         .find = find_in_archive,
                         .close = close_archive};
}

qn_status qn_provider_open(const char *path, qn_provider *out, qn_error *err) {
    qn_archive *archive = NULL;
    QN_TRY(qn_model_open_file(&(qn_model_request){.dir = path}, &archive, err));
    *out = provider_of(archive);
    return QN_OK;
}

qn_status qn_provider_open_files(const char *const *paths, uint64_t n, qn_provider *out, qn_error *err) {
    qn_archive *archive = NULL;
    QN_TRY(qn_gguf_open_files(paths, n, &archive, err));
    *out = provider_of(archive);
    return QN_OK;
}

/* ---- tensors ---- */

typedef struct finder {
    const qn_provider *provider;
    const qn_graph *graph;
    qn_weights *weights;
    const qn_lora *const *loras;
    uint64_t n_loras;
    uint64_t n_attached; /* pairs of adapters that found their matrix */
    char name[96];
} finder;

/* What a model does without, a tensor may be absent. */
typedef enum presence { NEEDED, OPTIONAL } presence;

static const char *name_in_layer(finder *f, uint64_t layer, const char *part, const char *tail) {
    (void)snprintf(f->name, sizeof f->name, "blk.%" PRIu64 ".%s.%s", layer, part, tail);
    return f->name;
}

/* @param rows 0: any */
static qn_status check_shape(const finder *f, const char *name, const qn_shape *shape, uint64_t rows, uint64_t cols,
                             qn_error *err) {
    char found[128];
    const uint64_t found_rows = qn_shape_rows(shape);
    if (qn_shape_cols(shape) == cols && found_rows > 0 && (rows == 0 || found_rows == rows) && shape->n_dims <= 2) {
        return QN_OK;
    }
    (void)qn_shape_text(shape, found, sizeof found);
    if (rows == 0) {
        return qn_fail(err, QN_E_SHAPE, "%s: tensor '%s' has shape %s; metadata of the file asks for rows of %" PRIu64,
                       f->provider->where, name, found, cols);
    }
    if (rows == 1) {
        return qn_fail(err, QN_E_SHAPE, "%s: tensor '%s' has shape %s; metadata of the file asks for [%" PRIu64 "]",
                       f->provider->where, name, found, cols);
    }
    return qn_fail(err, QN_E_SHAPE,
                   "%s: tensor '%s' has shape %s; metadata of the file asks for [%" PRIu64 ", %" PRIu64 "]",
                   f->provider->where, name, found, rows, cols);
}

static qn_status check_stack(const finder *f, const char *name, const qn_shape *shape, uint64_t n_experts,
                             uint64_t rows, uint64_t cols, qn_error *err) {
    char found[128];
    if (shape->n_dims == 3 && shape->dims[0] == n_experts && shape->dims[1] == rows && shape->dims[2] == cols) {
        return QN_OK;
    }
    return qn_fail(err, QN_E_SHAPE,
                   "%s: tensor '%s' has shape %s; metadata of the file asks for [%" PRIu64 ", %" PRIu64 ", %" PRIu64
                   "]",
                   f->provider->where, name, qn_shape_text(shape, found, sizeof found), n_experts, rows, cols);
}

/* A tensor as the provider has it; bytes stay NULL where an optional one is absent. */
static qn_status find_bytes(const finder *f, const char *name, presence wanted, qn_shape *shape, qn_dtype *type,
                            const void **bytes, qn_error *err) {
    QN_TRY(f->provider->find(f->provider->self, name, shape, type, bytes, err));
    return *bytes != NULL || wanted == OPTIONAL
        ? QN_OK
        : qn_fail(err, QN_E_NOT_FOUND, "%s: tensor '%s' is missing: a model of architecture '%s' has it",
                  f->provider->where, name, f->graph->arch);
}

/* A small tensor in float32, [n_rows, n]; a vector where n_rows is 1. */
static qn_status find_values(finder *f, const char *name, uint64_t n_rows, uint64_t n, presence wanted,
                             const float **out, qn_error *err) {
    qn_shape shape = {0};
    qn_dtype type = QN_F32;
    const void *bytes = NULL;
    *out = NULL;
    QN_TRY(find_bytes(f, name, wanted, &shape, &type, &bytes, err));
    if (bytes == NULL) {
        return QN_OK;
    }
    QN_TRY(check_shape(f, name, &shape, n_rows, n, err));
    float *values = qn_arena_array(f->weights->arena, n_rows * n, sizeof *values);
    if (values == NULL) {
        return qn_fail_nomem(err, name, (size_t)(n_rows * n) * sizeof *values);
    }
    const qn_status status = qn_decode_rows(QN_CPU_SCALAR, type, bytes, n_rows, n, values, err);
    if (status != QN_OK) {
        return qn_fail_at(err, status, "%s: tensor '%s'", f->provider->where, name);
    }
    f->weights->vector_bytes += n_rows * n * sizeof *values;
    *out = values;
    return QN_OK;
}

static qn_status find_vector(finder *f, const char *name, uint64_t n, presence wanted, const float **out,
                             qn_error *err) {
    return find_values(f, name, 1, n, wanted, out, err);
}

/* @param n_experts 0: no stack; rows: see check_shape() */
static qn_status find_matrices(finder *f, const char *name, uint64_t n_experts, uint64_t rows, uint64_t cols,
                               presence wanted, qn_weight *out, qn_error *err) {
    qn_shape shape = {0};
    qn_dtype type = QN_F32;
    const void *bytes = NULL;
    uint64_t row_bytes = 0;
    *out = (qn_weight){0};
    QN_TRY(find_bytes(f, name, wanted, &shape, &type, &bytes, err));
    if (bytes == NULL) {
        return QN_OK;
    }
    if (n_experts == 0) {
        QN_TRY(check_shape(f, name, &shape, rows, cols, err));
    } else {
        QN_TRY(check_stack(f, name, &shape, n_experts, rows, cols, err));
    }
    if (!qn_matmul_has(type)) {
        return qn_fail(err, QN_E_UNSUPPORTED, "%s: tensor '%s' is of type %s, which cannot be multiplied",
                       f->provider->where, name, qn_dtype_get(type)->name);
    }
    QN_TRY(qn_row_size(type, cols, &row_bytes, err));
    char *kept = qn_arena_string(f->weights->arena, name);
    qn_weight_range *range = qn_arena_array(f->weights->arena, 1, sizeof *range);
    if (kept == NULL || range == NULL) {
        return qn_fail_nomem(err, "names", sizeof f->name);
    }
    *out = (qn_weight){.name = kept,
                       .type = type,
                       .n_experts = n_experts == 0 ? 1 : n_experts,
                       .n_rows = n_experts == 0 ? qn_shape_rows(&shape) : rows,
                       .n_cols = cols,
                       .bytes = bytes};
    *range = (qn_weight_range){f->weights->ranges, bytes, qn_shape_rows(&shape) * row_bytes};
    f->weights->ranges = range;
    f->weights->size_bytes += range->size_bytes;
    f->weights->n_elements += qn_shape_rows(&shape) * cols;
    return QN_OK;
}

static qn_status find_matrix(finder *f, const char *name, uint64_t rows, uint64_t cols, presence wanted, qn_weight *out,
                             qn_error *err) {
    return find_matrices(f, name, 0, rows, cols, wanted, out, err);
}

/* A matrix that vectors are multiplied with, which adapters may change. */
static qn_status find_factor(finder *f, const char *name, uint64_t rows, uint64_t cols, presence wanted, qn_weight *out,
                             qn_error *err) {
    QN_TRY(find_matrix(f, name, rows, cols, wanted, out, err));
    return out->bytes == NULL ? QN_OK
                              : qn_lora_attach(f->loras, f->n_loras, f->weights->arena, out, &f->n_attached, err);
}

/* A matrix of a layer with its bias. */
static qn_status find_linear(finder *f, uint64_t layer, const char *part, uint64_t rows, uint64_t cols, presence wanted,
                             qn_weight *out, qn_error *err) {
    const presence bias = f->graph->norm == QN_NORM_LAYER ? NEEDED : OPTIONAL;
    QN_TRY(find_factor(f, name_in_layer(f, layer, part, "weight"), rows, cols, wanted, out, err));
    return out->bytes == NULL ? QN_OK
                              : find_vector(f, name_in_layer(f, layer, part, "bias"), rows, bias, &out->bias, err);
}

static qn_status find_norm(finder *f, uint64_t layer, const char *part, uint64_t n, presence wanted, qn_norm *out,
                           qn_error *err) {
    QN_TRY(find_vector(f, name_in_layer(f, layer, part, "weight"), n, wanted, &out->weight, err));
    return f->graph->has_norm_bias ? find_vector(f, name_in_layer(f, layer, part, "bias"), n, NEEDED, &out->bias, err)
                                   : QN_OK;
}

static qn_status find_attention(finder *f, uint64_t i, qn_layer *layer, qn_error *err) {
    const qn_graph *g = f->graph;
    const uint64_t q = g->n_head * g->head_dim;
    const uint64_t kv = g->n_head_kv * g->head_dim;
    QN_TRY(find_norm(f, i, "attn_norm", g->n_embd, NEEDED, &layer->attn_norm, err));
    QN_TRY(find_linear(f, i, "attn_qkv", q + 2 * kv, g->n_embd, OPTIONAL, &layer->qkv, err));
    if (layer->qkv.bytes == NULL) {
        QN_TRY(find_linear(f, i, "attn_q", q, g->n_embd, NEEDED, &layer->q, err));
        QN_TRY(find_linear(f, i, "attn_k", kv, g->n_embd, NEEDED, &layer->k, err));
        QN_TRY(find_linear(f, i, "attn_v", kv, g->n_embd, NEEDED, &layer->v, err));
    }
    if (g->has_qk_norm) {
        const presence wanted = g->may_lack_qk_norm ? OPTIONAL : NEEDED;
        QN_TRY(find_norm(f, i, "attn_q_norm", g->norms_whole_qk ? q : g->head_dim, wanted, &layer->q_norm, err));
        QN_TRY(find_norm(f, i, "attn_k_norm", g->norms_whole_qk ? kv : g->head_dim, wanted, &layer->k_norm, err));
    }
    if (g->has_post_norms) {
        QN_TRY(find_norm(f, i, "post_attention_norm", g->n_embd, NEEDED, &layer->post_attn_norm, err));
    }
    if (g->has_sinks) {
        QN_TRY(find_vector(f, name_in_layer(f, i, "attn_sinks", "weight"), g->n_head, NEEDED, &layer->sinks, err));
    }
    return find_linear(f, i, "attn_output", g->n_embd, q, NEEDED, &layer->output, err);
}

/* A feed-forward of n_ff under names with a tail: "", "_shexp". */
static qn_status find_mlp(finder *f, uint64_t i, const char *tail, uint64_t n_ff, qn_mlp *out, qn_error *err) {
    const qn_graph *g = f->graph;
    const uint64_t n_up = g->mlp == QN_MLP_GATED_FUSED ? 2 * n_ff : n_ff;
    char part[32];
    if (g->mlp == QN_MLP_GATED) {
        (void)snprintf(part, sizeof part, "ffn_gate%s", tail);
        QN_TRY(find_linear(f, i, part, n_ff, g->n_embd, NEEDED, &out->gate, err));
    }
    (void)snprintf(part, sizeof part, "ffn_up%s", tail);
    QN_TRY(find_linear(f, i, part, n_up, g->n_embd, NEEDED, &out->up, err));
    (void)snprintf(part, sizeof part, "ffn_down%s", tail);
    return find_linear(f, i, part, g->n_embd, n_ff, NEEDED, &out->down, err);
}

static qn_status find_stack(finder *f, uint64_t i, const char *part, uint64_t rows, uint64_t cols, presence wanted,
                            qn_weight *out, qn_error *err) {
    const uint64_t n_expert = f->graph->mixture.n_expert;
    QN_TRY(find_matrices(f, name_in_layer(f, i, part, "weight"), n_expert, rows, cols, wanted, out, err));
    return out->bytes == NULL
        ? QN_OK
        : find_values(f, name_in_layer(f, i, part, "bias"), n_expert, rows, OPTIONAL, &out->bias, err);
}

static qn_status find_mixture(finder *f, uint64_t i, qn_layer *layer, qn_error *err) {
    const qn_graph *g = f->graph;
    const qn_mixture *m = &g->mixture;
    QN_TRY(find_linear(f, i, "ffn_gate_inp", m->n_expert, g->n_embd, NEEDED, &layer->router, err));
    QN_TRY(find_vector(f, name_in_layer(f, i, "exp_probs_b", "bias"), m->n_expert, OPTIONAL, &layer->choice_bias, err));
    QN_TRY(find_stack(f, i, "ffn_gate_up_exps", 2 * m->n_ff, g->n_embd, OPTIONAL, &layer->experts.up, err));
    if (layer->experts.up.bytes == NULL) {
        QN_TRY(find_stack(f, i, "ffn_gate_exps", m->n_ff, g->n_embd, NEEDED, &layer->experts.gate, err));
        QN_TRY(find_stack(f, i, "ffn_up_exps", m->n_ff, g->n_embd, NEEDED, &layer->experts.up, err));
    }
    QN_TRY(find_stack(f, i, "ffn_down_exps", g->n_embd, m->n_ff, NEEDED, &layer->experts.down, err));
    if (m->shared != QN_SHARED_NONE) {
        QN_TRY(find_mlp(f, i, "_shexp", m->n_ff_shared, &layer->shared, err));
    }
    return m->shared == QN_SHARED_GATED ? find_matrix(f, name_in_layer(f, i, "ffn_gate_inp_shexp", "weight"), 1,
                                                      g->n_embd, NEEDED, &layer->shared_gate, err)
                                        : QN_OK;
}

static qn_status find_feed_forward(finder *f, uint64_t i, qn_layer *layer, qn_error *err) {
    const qn_graph *g = f->graph;
    QN_TRY(find_norm(f, i, g->ffn_norm, g->n_embd, NEEDED, &layer->ffn_norm, err));
    QN_TRY(qn_graph_is_mixture(g, i) ? find_mixture(f, i, layer, err) : find_mlp(f, i, "", g->n_ff, &layer->mlp, err));
    return g->has_post_norms ? find_norm(f, i, "post_ffw_norm", g->n_embd, NEEDED, &layer->post_ffn_norm, err) : QN_OK;
}

static qn_status find_ends(finder *f, qn_error *err) {
    const qn_graph *g = f->graph;
    qn_weights *w = f->weights;
    const presence norm_bias = g->has_norm_bias ? NEEDED : OPTIONAL;
    QN_TRY(find_factor(f, "token_embd.weight", 0, g->n_embd, NEEDED, &w->embd, err));
    w->n_vocab = w->embd.n_rows;
    if (w->n_vocab > INT32_MAX) {
        return qn_fail(err, QN_E_SHAPE, "%s: %" PRIu64 " tokens", f->provider->where, w->n_vocab);
    }
    if (g->has_positions) {
        QN_TRY(find_matrix(f, "position_embd.weight", g->n_ctx, g->n_embd, NEEDED, &w->positions, err));
    }
    QN_TRY(find_vector(f, "output_norm.weight", g->n_embd, NEEDED, &w->output_norm.weight, err));
    QN_TRY(find_vector(f, "output_norm.bias", g->n_embd, norm_bias, &w->output_norm.bias, err));
    if (!g->is_tied) {
        QN_TRY(find_factor(f, "output.weight", w->n_vocab, g->n_embd, OPTIONAL, &w->output, err));
    }
    if (w->output.bytes == NULL) {
        w->output = w->embd;
    }
    return find_vector(f, "output.bias", w->n_vocab, OPTIONAL, &w->output.bias, err);
}

static qn_status find_all(finder *f, qn_error *err) {
    const qn_graph *g = f->graph;
    qn_weights *w = f->weights;
    w->layers = qn_arena_array(w->arena, g->n_layer, sizeof *w->layers);
    if (w->layers == NULL) {
        return qn_fail_nomem(err, "layers", (size_t)g->n_layer * sizeof *w->layers);
    }
    QN_TRY(find_ends(f, err));
    for (uint64_t i = 0; i < g->n_layer; i++) {
        QN_TRY(find_attention(f, i, &w->layers[i], err));
        QN_TRY(find_feed_forward(f, i, &w->layers[i], err));
    }
    if (g->rope_kind == QN_ROPE_ABSENT) {
        return QN_OK;
    }
    QN_TRY(find_vector(f, "rope_freqs.weight", g->n_rot / 2, OPTIONAL, &w->rope_factors, err));
    QN_TRY(find_vector(f, "rope_factors_long.weight", g->n_rot / 2, OPTIONAL, &w->rope_factors_long, err));
    return find_vector(f, "rope_factors_short.weight", g->n_rot / 2, OPTIONAL, &w->rope_factors_short, err);
}

qn_status qn_weights_find(const qn_provider *provider, const qn_graph *graph, const qn_lora *const *loras,
                          uint64_t n_loras, qn_weights *out, qn_error *err) {
    finder f = {.provider = provider, .graph = graph, .weights = out, .loras = loras, .n_loras = n_loras};
    *out = (qn_weights){.arena = qn_arena_new()};
    if (out->arena == NULL) {
        return qn_fail_nomem(err, "tensors", 0);
    }
    qn_status status = find_all(&f, err);
    if (status == QN_OK) {
        status = qn_lora_check_attached(loras, n_loras, f.n_attached, provider, err);
    }
    if (status != QN_OK) {
        qn_weights_clear(out);
    }
    return status;
}

void qn_weights_clear(qn_weights *weights) {
    qn_arena_free(weights->arena);
    *weights = (qn_weights){0};
}
