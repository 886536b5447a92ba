/* SPDX-License-Identifier: MIT */
/* engine.c: opens a model for running, and cuts what is to be decoded into batches. */
#include "engine/engine.h"

#include "base/checked.h"
#include "base/residence.h"
#include "dtype/codec.h"
#include "dtype/matmul.h"
#include "engine/engine_parts.h"
#include "engine/lora.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CTX = 4096, DEFAULT_BATCH = 512, MAX_BATCH = 1 << 16 };

/* ---- opening ---- */

qn_status qn_engine_check_options(const char *where, const qn_graph *graph, const qn_engine_options *options,
                                  qn_error *err) {
    const qn_dtype_info *kv = qn_dtype_get(options->is_kv_typed ? options->kv_type : QN_F16);
    if (options->n_ctx > graph->n_ctx) {
        return qn_fail(err, QN_E_RANGE,
                       "%s: a context of %" PRIu64 " tokens is asked for; the model is made for at most %" PRIu64,
                       where, options->n_ctx, graph->n_ctx);
    }
    if (kv == NULL || !kv->has_encoder || !kv->has_decoder) {
        return qn_fail(err, QN_E_UNSUPPORTED, "keys and values cannot be kept as %s; F16, Q8_0 and F32 can",
                       kv == NULL ? "a type of that number" : kv->name);
    }
    if (graph->head_dim % kv->block_len != 0) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: keys and values of heads of %" PRIu64
                       " cannot be kept as %s, whose blocks have %u; F16 can",
                       where, graph->head_dim, kv->name, kv->block_len);
    }
    return QN_OK;
}

static qn_status set_options(qn_engine *e, const qn_engine_options *o, qn_error *err) {
    const qn_graph *g = &e->graph;
    const uint64_t usual = g->n_ctx < DEFAULT_CTX ? g->n_ctx : DEFAULT_CTX;
    uint64_t usual_batch = DEFAULT_BATCH;
    e->n_ctx = o->n_ctx == 0 ? usual : o->n_ctx;
    usual_batch = usual_batch < e->n_ctx ? usual_batch : e->n_ctx;
    e->n_batch = o->n_batch == 0 ? usual_batch : o->n_batch;
    e->n_batch = e->n_batch < MAX_BATCH ? e->n_batch : MAX_BATCH;
    e->kv_type = o->is_kv_typed ? o->kv_type : QN_F16;
    QN_TRY(qn_engine_check_options(e->provider.where, g, o, err));
    e->n_slots = (e->n_ctx + QN_KV_TILE - 1) / QN_KV_TILE * QN_KV_TILE;
    return qn_row_size(e->kv_type, g->head_dim, &e->kv_row_bytes, err);
}

static uint64_t max_u64(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static uint64_t packed_bytes_of(const qn_weight *w) {
    return w->bytes == NULL ? 0 : qn_activation_bytes(w->type, w->n_cols);
}

/* Bytes of the activations that a row brings to one product, in the largest partner format. */
static uint64_t largest_packed(const qn_engine *e) {
    uint64_t most = max_u64(packed_bytes_of(&e->weights.output), e->graph.n_embd * sizeof(float));
    for (uint64_t i = 0; i < e->graph.n_layer; i++) {
        const qn_layer *l = &e->weights.layers[i];
        const qn_weight *all[] = {&l->qkv,       &l->q,           &l->k,          &l->v,      &l->output,
                                  &l->mlp.gate,  &l->mlp.up,      &l->mlp.down,   &l->router, &l->shared.gate,
                                  &l->shared.up, &l->shared.down, &l->shared_gate};
        const qn_weight *experts[] = {&l->experts.gate, &l->experts.up, &l->experts.down};
        for (size_t k = 0; k < sizeof all / sizeof all[0]; k++) {
            most = max_u64(most, packed_bytes_of(all[k]));
        }
        for (size_t k = 0; k < sizeof experts / sizeof experts[0]; k++) {
            most = max_u64(most, e->graph.mixture.n_used * packed_bytes_of(experts[k]));
        }
    }
    return most;
}

/* Bytes of the activations that are packed at once: those of a batch, or of some rows for adapters. */
static uint64_t most_packed(const qn_engine *e) {
    uint64_t rank = 0;
    uint64_t width = 0;
    uint64_t n_cols = 0;
    qn_engine_delta_sizes(e, &rank, &width, &n_cols);
    const uint64_t of_deltas = QN_DELTA_ROWS * qn_activation_bytes(QN_F32, max_u64(n_cols, rank));
    return max_u64(e->n_batch * largest_packed(e), rank == 0 ? 0 : of_deltas);
}

/* [n_batch, n] floats of the back end; a failure leaves NULL. */
static float *batch_of(qn_engine *e, uint64_t n) {
    uint64_t bytes = 0;
    if (!qn_mul_u64(n, e->n_batch * sizeof(float), &bytes)) {
        return NULL;
    }
    e->buffer_bytes += bytes;
    return e->backend->alloc(e->backend, bytes);
}

/* What adapters need beside; nothing without them. */
static qn_status make_delta_buffers(qn_engine *e, qn_error *err) {
    uint64_t rank = 0;
    uint64_t width = 0;
    uint64_t n_cols = 0;
    qn_engine_delta_sizes(e, &rank, &width, &n_cols);
    if (rank == 0) {
        return QN_OK;
    }
    const uint64_t low = QN_DELTA_ROWS * rank * sizeof(float);
    const uint64_t delta = QN_DELTA_ROWS * width * sizeof(float);
    e->buffers.low = e->backend->alloc(e->backend, low);
    e->buffers.delta = e->backend->alloc(e->backend, delta);
    e->buffer_bytes += low + delta;
    return e->buffers.low == NULL || e->buffers.delta == NULL
        ? qn_fail_nomem(err, "activations of adapters", (size_t)(low + delta))
        : QN_OK;
}

static qn_status make_buffers(qn_engine *e, qn_error *err) {
    const qn_graph *g = &e->graph;
    qn_buffers *b = &e->buffers;
    b->x = batch_of(e, g->n_embd);
    b->normed = batch_of(e, g->n_embd);
    b->qkv = batch_of(e, (g->n_head + 2 * g->n_head_kv) * g->head_dim);
    b->mixed = batch_of(e, g->n_head * g->head_dim);
    b->hidden = batch_of(e, 2 * qn_graph_widest_mlp(g));
    b->out = batch_of(e, g->n_embd);
    b->turns = batch_of(e, 2 * g->n_rot);
    b->scores = batch_of(e, g->mixture.n_expert);
    b->expert_hidden = batch_of(e, 2 * g->mixture.n_used * g->mixture.n_ff);
    b->expert_out = batch_of(e, g->mixture.n_used * g->n_embd);
    QN_TRY(make_delta_buffers(e, err));
    e->ids = qn_arena_array(e->arena, e->n_batch, sizeof *e->ids);
    e->positions = qn_arena_array(e->arena, e->n_batch, sizeof *e->positions);
    e->wanted = qn_arena_array(e->arena, e->n_batch, sizeof *e->wanted);
    e->runs = qn_arena_array(e->arena, e->n_batch, sizeof *e->runs);
    if (b->x == NULL || b->normed == NULL || b->qkv == NULL || b->mixed == NULL || b->hidden == NULL ||
        b->out == NULL || b->turns == NULL || b->scores == NULL || b->expert_hidden == NULL || b->expert_out == NULL ||
        e->ids == NULL || e->positions == NULL || e->wanted == NULL || e->runs == NULL) {
        return qn_fail_nomem(err, "activations of a batch", (size_t)e->buffer_bytes);
    }
    return QN_OK;
}

/* Which factors divide the angles: those for any context, else by the length of this one. */
static qn_status make_frequencies(qn_engine *e, qn_error *err) {
    const qn_weights *w = &e->weights;
    const float *by_length = e->n_ctx > e->graph.n_ctx_orig ? w->rope_factors_long : w->rope_factors_short;
    for (unsigned i = 0; i < 2 && e->graph.rope_kind != QN_ROPE_ABSENT; i++) {
        e->frequencies[i] = qn_arena_array(e->arena, e->graph.n_rot / 2, sizeof *e->frequencies[i]);
        if (e->frequencies[i] == NULL) {
            return qn_fail_nomem(err, "rope", (size_t)e->graph.n_rot);
        }
        qn_rope_frequencies(&e->graph, &e->graph.rope[i], w->rope_factors != NULL ? w->rope_factors : by_length,
                            e->frequencies[i]);
    }
    return QN_OK;
}

static unsigned threads_of(const qn_engine_options *o, const qn_job *job) {
    unsigned n = o->n_threads;
    if (n == 0 && job != NULL) {
        n = qn_job_threads(job);
    }
    if (n == 0) {
        qn_job *own = qn_job_new(0, NULL, NULL);
        n = own == NULL ? 1 : qn_job_threads(own);
        qn_job_free(own);
    }
    return n;
}

static qn_status fill_engine(qn_engine *e, const qn_engine_options *o, qn_error *err) {
    e->arena = qn_arena_new();
    if (e->arena == NULL) {
        return qn_fail_nomem(err, "engine", 0);
    }
    QN_TRY(qn_graph_read(e->provider.where, e->provider.meta, e->arena, &e->graph, err));
    QN_TRY(set_options(e, o, err));
    QN_TRY(qn_weights_find(&e->provider, &e->graph, o->loras, o->n_loras, &e->weights, err));
    e->loras = o->loras;
    e->n_loras = o->n_loras;
    const qn_backend_limits limits = {.n_threads = threads_of(o, e->job),
                                      .n_batch = e->n_batch,
                                      .packed_bytes = most_packed(e),
                                      .n_head_ratio = e->graph.n_head / e->graph.n_head_kv,
                                      .head_dim = e->graph.head_dim};
    e->backend = qn_cpu_backend_new(&limits);
    if (e->backend == NULL) {
        return qn_fail_nomem(err, "back end", (size_t)limits.packed_bytes);
    }
    QN_TRY(make_buffers(e, err));
    QN_TRY(qn_engine_make_places(e, err));
    return make_frequencies(e, err);
}

qn_status qn_engine_open_provider(const qn_provider *provider, const qn_engine_options *options, qn_job *job,
                                  qn_engine **out, qn_error *err) {
    const qn_engine_options defaults = {0};
    qn_engine *e = qn_new_array(1, sizeof *e);
    if (e == NULL) {
        provider->close(provider->self);
        return qn_fail_nomem(err, "engine", sizeof *e);
    }
    e->provider = *provider;
    e->job = job;
    const qn_status status = fill_engine(e, options == NULL ? &defaults : options, err);
    if (status != QN_OK) {
        qn_engine_free(e);
        return status;
    }
    *out = e;
    return QN_OK;
}

qn_status qn_engine_open(const char *path, const qn_engine_options *options, qn_job *job, qn_engine **out,
                         qn_error *err) {
    qn_provider provider;
    QN_TRY(qn_provider_open(path, &provider, err));
    return qn_engine_open_provider(&provider, options, job, out, err);
}

void qn_engine_free(qn_engine *engine) {
    if (engine == NULL) {
        return;
    }
    if (engine->backend != NULL) {
        const qn_buffers *b = &engine->buffers;
        float *all[] = {b->x,     b->normed, b->qkv,           b->mixed,      b->hidden, b->out,
                        b->turns, b->scores, b->expert_hidden, b->expert_out, b->low,    b->delta};
        for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
            engine->backend->release(engine->backend, all[i]);
        }
        engine->backend->free(engine->backend);
    }
    qn_weights_clear(&engine->weights);
    qn_arena_free(engine->arena);
    engine->provider.close(engine->provider.self);
    free(engine);
}

/* ---- facts ---- */

const qn_graph *qn_engine_graph(const qn_engine *engine) {
    return &engine->graph;
}

const qn_meta *qn_engine_meta(const qn_engine *engine) {
    return engine->provider.meta;
}

uint64_t qn_engine_n_vocab(const qn_engine *engine) {
    return engine->weights.n_vocab;
}

uint64_t qn_engine_n_ctx(const qn_engine *engine) {
    return engine->n_ctx;
}

uint64_t qn_engine_kv_bytes(const qn_engine *engine) {
    const qn_graph *g = &engine->graph;
    uint64_t bytes = 0;
    return qn_mul_u64(2 * g->n_layer * g->n_head_kv * engine->kv_row_bytes, engine->n_slots, &bytes) ? bytes
                                                                                                     : UINT64_MAX;
}

/* Of one matrix of a stack. */
static uint64_t bytes_of(const qn_weight *w) {
    uint64_t row_bytes = 0;
    return w->bytes == NULL || qn_row_size(w->type, w->n_cols, &row_bytes, NULL) != QN_OK ? 0 : w->n_rows * row_bytes;
}

/* Bytes of a layer's experts that a token does not meet. */
static uint64_t idle_bytes(const qn_mixture *m, const qn_layer *layer) {
    const qn_mlp *experts = &layer->experts;
    return (m->n_expert - m->n_used) * (bytes_of(&experts->gate) + bytes_of(&experts->up) + bytes_of(&experts->down));
}

/* All matrices but experts that are not chosen and the tables that one row is taken from. */
uint64_t qn_engine_token_bytes(const qn_engine *engine) {
    const qn_weights *w = &engine->weights;
    const bool is_tied = w->output.bytes == w->embd.bytes;
    uint64_t bytes = w->size_bytes - (is_tied ? 0 : bytes_of(&w->embd)) - bytes_of(&w->positions);
    for (uint64_t i = 0; i < engine->graph.n_layer; i++) {
        bytes -= idle_bytes(&engine->graph.mixture, &w->layers[i]);
    }
    return bytes;
}

static uint64_t resident_weights(const qn_engine *engine) {
    uint64_t bytes = 0;
    for (const qn_weight_range *r = engine->weights.ranges; r != NULL; r = r->next) {
        bytes += qn_resident_within(r->bytes, r->size_bytes);
    }
    return bytes;
}

qn_engine_memory qn_engine_memory_of(const qn_engine *engine) {
    uint64_t adapters = 0;
    for (uint64_t i = 0; i < engine->n_loras; i++) {
        adapters += engine->loras[i]->size_bytes;
    }
    return (qn_engine_memory){.weights = engine->weights.size_bytes,
                              .weights_resident = resident_weights(engine),
                              .encoded = engine->provider.memory_bytes,
                              .adapters = adapters,
                              .as_f16 = 2 * engine->weights.n_elements,
                              .vectors = engine->weights.vector_bytes,
                              .kv = engine->kv_bytes_in_use,
                              .compute = engine->buffer_bytes + engine->backend->scratch_bytes(engine->backend)};
}

void qn_engine_observe(qn_engine *engine, qn_input_fn *fn, void *user) {
    engine->observe = fn;
    engine->observe_user = user;
}

void qn_engine_watch(qn_engine *engine, qn_decode_fn *fn, void *user) {
    engine->watch = fn;
    engine->watch_user = user;
}

/* ---- decoding ---- */

static qn_status check_span(const qn_engine *e, const qn_span *span, qn_error *err) {
    const uint64_t n_past = span->sequence->n_past;
    if (span->n == 0) {
        return qn_fail(err, QN_E_USAGE, "no tokens to decode");
    }
    if (span->n > e->n_ctx - n_past) {
        return qn_fail(err, QN_E_RANGE,
                       "the context is full: it holds %" PRIu64 " tokens, %" PRIu64 " are in it, and %" PRIu64
                       " more do not fit",
                       e->n_ctx, n_past, span->n);
    }
    for (uint64_t i = 0; i < span->n; i++) {
        if (span->tokens[i] < 0 || (uint64_t)span->tokens[i] >= e->weights.n_vocab) {
            return qn_fail(err, QN_E_RANGE, "token %" PRIu64 " has id %" PRId32 "; the model has %" PRIu64 " tokens", i,
                           span->tokens[i], e->weights.n_vocab);
        }
    }
    return QN_OK;
}

/* Where decoding has come to. */
typedef struct progress {
    uint64_t span;
    uint64_t done; /* tokens of that span */
} progress;

/* Fills a batch from where decoding has come to, and goes on. */
static qn_batch next_batch(qn_engine *e, const qn_span *spans, uint64_t n_spans, bool has_logits, progress *at) {
    qn_batch batch = {0};
    while (at->span < n_spans && batch.n < e->n_batch) {
        const qn_span *s = &spans[at->span];
        const uint64_t left = s->n - at->done;
        const uint64_t n = left < e->n_batch - batch.n ? left : e->n_batch - batch.n;
        e->runs[batch.n_runs++] = (qn_run){
            .kv = &s->sequence->kv, .first_row = batch.n, .n_rows = n, .first_pos = s->sequence->n_past};
        for (uint64_t i = 0; i < n; i++) {
            e->ids[batch.n] = s->tokens[at->done + i];
            e->positions[batch.n] = (int32_t)(s->sequence->n_past + i);
            if (has_logits && (s->all_logits || at->done + i + 1 == s->n)) {
                e->wanted[batch.n_wanted++] = batch.n;
            }
            batch.n++;
        }
        s->sequence->n_past += n;
        at->done += n;
        if (at->done == s->n) {
            *at = (progress){.span = at->span + 1};
        }
    }
    return batch;
}

/* Takes back what was appended to sequences so far. */
static void undo(const qn_span *spans, const progress *at) {
    for (uint64_t i = 0; i < at->span; i++) {
        spans[i].sequence->n_past -= spans[i].n;
    }
    if (at->done > 0) {
        spans[at->span].sequence->n_past -= at->done;
    }
}

qn_status qn_engine_decode_spans(qn_engine *engine, const qn_span *spans, uint64_t n_spans, float *logits,
                                 qn_error *err) {
    progress at = {0};
    uint64_t n_before = 0;
    uint64_t n_call = 0;
    float *to = logits;
    for (uint64_t i = 0; i < n_spans; i++) {
        QN_TRY(check_span(engine, &spans[i], err));
        n_call += spans[i].n;
    }
    while (at.span < n_spans) {
        qn_batch batch = next_batch(engine, spans, n_spans, logits != NULL, &at);
        batch.n_before = n_before;
        batch.n_call = n_call;
        n_before += batch.n;
        const qn_status status = qn_engine_forward(engine, &batch, to, err);
        if (status != QN_OK) {
            undo(spans, &at);
            return status;
        }
        to = to == NULL ? NULL : to + batch.n_wanted * engine->weights.n_vocab;
    }
    return QN_OK;
}

qn_status qn_engine_decode(qn_engine *engine, qn_sequence *sequence, const int32_t *tokens, uint64_t n, bool all_logits,
                           float *logits, qn_error *err) {
    const qn_span span = {.sequence = sequence, .tokens = tokens, .n = n, .all_logits = all_logits};
    return qn_engine_decode_spans(engine, &span, 1, logits, err);
}
