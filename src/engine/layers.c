/* SPDX-License-Identifier: MIT */
/* layers.c: the forward pass of a batch, from the graph's traits. */
/*
 * One decoder for all families: what a family does otherwise is a trait, or a tensor that is there or not. The names of
 * sub-layers follow facts/architectures.md 0.1 ("block A"); Gemma's norms behind sub-layers come before the residual is
 * added.
 */
#include "engine/engine_parts.h"

#include <math.h>

/* Inputs are shown side by side: where rows lie further apart, one by one. */
static void show_inputs(const qn_engine *e, const qn_weight *weight, const float *src, uint64_t stride,
                        uint64_t n_rows) {
    const uint64_t step = stride == weight->n_cols ? n_rows : 1;
    for (uint64_t row = 0; row < n_rows; row += step) {
        e->observe(e->observe_user, weight->name, 0, 1, src + row * stride, step, weight->n_cols);
    }
}

void qn_engine_multiply(qn_engine *e, const qn_product *products, uint64_t n, const float *src, uint64_t stride,
                        uint64_t n_rows) {
    for (uint64_t i = 0; e->observe != NULL && i < n; i++) {
        show_inputs(e, products[i].weight, src, stride, n_rows);
    }
    if (n_rows > 0) {
        e->backend->multiply(e->backend, products, n, src, stride, n_rows);
    }
    for (uint64_t i = 0; i < n; i++) {
        qn_engine_add_deltas(e, &products[i], src, stride, n_rows);
    }
}

static void norm_rows(qn_engine *e, const qn_norm *norm, const float *src, float *dst, uint64_t n) {
    const uint64_t width = e->graph.n_embd;
    const qn_norm_call call = {.kind = e->graph.norm,
                               .norm = norm,
                               .eps = e->graph.eps,
                               .src = src,
                               .src_stride = width,
                               .dst = dst,
                               .dst_stride = width,
                               .n_rows = n,
                               .n_groups = 1,
                               .n_cols = width};
    e->backend->norm(e->backend, &call);
}

static void norm_heads(qn_engine *e, const qn_norm *norm, float *x, uint64_t n_heads, uint64_t stride, uint64_t n) {
    const qn_graph *g = &e->graph;
    const qn_norm_call call = {.kind = QN_NORM_RMS,
                               .norm = norm,
                               .eps = g->eps,
                               .src = x,
                               .src_stride = stride,
                               .dst = x,
                               .dst_stride = stride,
                               .n_rows = n,
                               .n_groups = g->norms_whole_qk ? 1 : n_heads,
                               .n_cols = g->norms_whole_qk ? n_heads * g->head_dim : g->head_dim};
    if (norm->weight != NULL) {
        e->backend->norm(e->backend, &call);
    }
}

/* Norm and rotation of the heads of q or k. */
static void prepare_heads(qn_engine *e, const qn_norm *norm, float *x, uint64_t n_heads, uint64_t stride, uint64_t n,
                          const float *turns) {
    const qn_graph *g = &e->graph;
    if (!g->norms_after_rope) {
        norm_heads(e, norm, x, n_heads, stride, n);
    }
    if (g->rope_kind != QN_ROPE_ABSENT) {
        const qn_rotation call = {.kind = g->rope_kind,
                                  .x = x,
                                  .stride = stride,
                                  .n_rows = n,
                                  .n_heads = n_heads,
                                  .head_dim = g->head_dim,
                                  .n_rot = g->n_rot,
                                  .turns = turns};
        e->backend->rotate(e->backend, &call);
    }
    if (g->norms_after_rope) {
        norm_heads(e, norm, x, n_heads, stride, n);
    }
}

/* Leaves of the residual stream, and of another buffer, the rows whose logits are asked for: how many. */
static uint64_t keep_wanted(qn_engine *e, const qn_batch *batch, float *beside, uint64_t width_beside) {
    e->backend->gather(e->backend, e->buffers.x, e->wanted, batch->n_wanted, e->graph.n_embd, e->buffers.x);
    e->backend->gather(e->backend, beside, e->wanted, batch->n_wanted, width_beside, beside);
    return batch->n_wanted;
}

/* @return rows that go on: in the last layer, those whose logits are asked for, unless somebody looks at inputs */
static uint64_t attention(qn_engine *e, uint64_t il, const qn_batch *batch) {
    const qn_graph *g = &e->graph;
    const qn_layer *layer = &e->weights.layers[il];
    const uint64_t n_q = g->n_head * g->head_dim;
    const uint64_t n_kv = g->n_head_kv * g->head_dim;
    const uint64_t stride = n_q + 2 * n_kv;
    const bool is_sliding = g->is_sliding[il];
    const float *turns = e->buffers.turns + (is_sliding ? e->n_batch * g->n_rot : 0);
    float *q = e->buffers.qkv;
    float *k = q + n_q;
    float *v = k + n_kv;
    if (layer->qkv.bytes != NULL) {
        const qn_product fused = {&layer->qkv, q, stride};
        qn_engine_multiply(e, &fused, 1, e->buffers.normed, g->n_embd, batch->n);
    } else {
        const qn_product parts[] = {{&layer->q, q, stride}, {&layer->k, k, stride}, {&layer->v, v, stride}};
        qn_engine_multiply(e, parts, 3, e->buffers.normed, g->n_embd, batch->n);
    }
    prepare_heads(e, &layer->q_norm, q, g->n_head, stride, batch->n, turns);
    prepare_heads(e, &layer->k_norm, k, g->n_head_kv, stride, batch->n, turns);
    const qn_attention call = {.runs = e->runs,
                               .n_runs = batch->n_runs,
                               .layer = il,
                               .q = q,
                               .k = k,
                               .v = v,
                               .stride = stride,
                               .dst = e->buffers.mixed,
                               .dst_stride = n_q,
                               .n_head = g->n_head,
                               .n_head_kv = g->n_head_kv,
                               .head_dim = g->head_dim,
                               .sinks = layer->sinks,
                               .window = is_sliding ? g->window : 0,
                               .scale = g->attn_scale,
                               .softcap = g->attn_softcap};
    e->backend->store(e->backend, &call);
    e->backend->attend(e->backend, &call);
    const bool is_last = il + 1 == g->n_layer;
    const uint64_t n = is_last && e->observe == NULL ? keep_wanted(e, batch, e->buffers.mixed, n_q) : batch->n;
    const qn_product product = {&layer->output, e->buffers.out, g->n_embd};
    qn_engine_multiply(e, &product, 1, e->buffers.mixed, n_q, n);
    return n;
}

void qn_engine_feed_forward(qn_engine *e, const qn_mlp *mlp, uint64_t n_ff, uint64_t n, float *dst) {
    const qn_graph *g = &e->graph;
    float *hidden = e->buffers.hidden;
    const uint64_t stride = g->mlp == QN_MLP_PLAIN ? n_ff : 2 * n_ff;
    if (g->mlp == QN_MLP_GATED) {
        const qn_product parts[] = {{&mlp->gate, hidden, stride}, {&mlp->up, hidden + n_ff, stride}};
        qn_engine_multiply(e, parts, 2, e->buffers.normed, g->n_embd, n);
    } else {
        const qn_product up = {&mlp->up, hidden, stride};
        qn_engine_multiply(e, &up, 1, e->buffers.normed, g->n_embd, n);
    }
    const qn_activation_call call = {.kind = g->act,
                                     .gate = hidden,
                                     .up = g->mlp == QN_MLP_PLAIN ? NULL : hidden + n_ff,
                                     .stride = stride,
                                     .dst = hidden,
                                     .dst_stride = stride,
                                     .n_rows = n,
                                     .n_cols = n_ff};
    e->backend->activate(e->backend, &call);
    const qn_product down = {&mlp->down, dst, g->n_embd};
    qn_engine_multiply(e, &down, 1, hidden, stride, n);
}

/* x += what a sub-layer made, behind a norm or scaled where the family does that. */
static void add_residual(qn_engine *e, const qn_norm *norm, uint64_t n) {
    if (norm->weight != NULL) {
        norm_rows(e, norm, e->buffers.out, e->buffers.out, n);
    }
    if (e->graph.residual_scale != 1) {
        e->backend->scale(e->backend, e->buffers.out, n * e->graph.n_embd, e->graph.residual_scale);
    }
    e->backend->add(e->backend, e->buffers.x, e->buffers.out, n * e->graph.n_embd);
}

/* Cosines and sines of a batch's positions, for one kind of layer. */
static void fill_turns(qn_engine *e, uint64_t kind, uint64_t n) {
    const uint64_t half = e->graph.n_rot / 2;
    const double magnitude = e->graph.rope[kind].magnitude;
    float *turns = e->buffers.turns + kind * e->n_batch * e->graph.n_rot;
    for (uint64_t row = 0; row < n; row++, turns += 2 * half) {
        for (uint64_t i = 0; i < half; i++) {
            const double angle = (double)e->positions[row] * e->frequencies[kind][i];
            turns[i] = (float)(magnitude * cos(angle));
            turns[half + i] = (float)(magnitude * sin(angle));
        }
    }
}

static void start(qn_engine *e, uint64_t n) {
    const qn_graph *g = &e->graph;
    e->backend->embed(e->backend, &e->weights.embd, e->ids, n, g->embd_scale, false, e->buffers.x);
    qn_engine_add_embedding_deltas(e, e->ids, n, g->embd_scale, e->buffers.x);
    if (g->has_positions) {
        e->backend->embed(e->backend, &e->weights.positions, e->positions, n, 1, true, e->buffers.x);
    }
    if (g->rope_kind != QN_ROPE_ABSENT) {
        fill_turns(e, 0, n);
    }
    if (g->rope_kind != QN_ROPE_ABSENT && g->window > 0) {
        fill_turns(e, 1, n);
    }
}

/* Logits of what is left of the residual stream. */
static void finish_rows(qn_engine *e, uint64_t n, float *logits) {
    norm_rows(e, &e->weights.output_norm, e->buffers.x, e->buffers.normed, n);
    const qn_product output = {&e->weights.output, logits, e->weights.n_vocab};
    qn_engine_multiply(e, &output, 1, e->buffers.normed, e->graph.n_embd, n);
    if (e->graph.logit_scale != 1) {
        e->backend->scale(e->backend, logits, n * e->weights.n_vocab, e->graph.logit_scale);
    }
    if (e->graph.final_softcap > 0) {
        e->backend->cap(e->backend, logits, n * e->weights.n_vocab, e->graph.final_softcap);
    }
}

/* Has the weights of a part in memory. What was computed of the one before must be over by then. */
static qn_status enter(qn_engine *e, qn_part part, uint64_t layer, qn_error *err) {
    if (e->provider.enter == NULL) {
        return QN_OK;
    }
    QN_TRY(e->backend->finish(e->backend, err));
    return e->provider.enter(e->provider.self, part, layer, err);
}

/* Tells who watches how far the call has come. */
static qn_status check_stop(const qn_engine *e, const qn_batch *batch, uint64_t n_layers_done, qn_error *err) {
    const double of_batch = (double)n_layers_done / (double)e->graph.n_layer;
    const double share = ((double)batch->n_before + (double)batch->n * of_batch) / (double)batch->n_call;
    const bool is_stopped = e->watch != NULL && !e->watch(e->watch_user, share);
    return is_stopped || qn_job_is_cancelled(e->job) ? qn_fail(err, QN_E_INTERRUPTED, "interrupted") : QN_OK;
}

qn_status qn_engine_forward(qn_engine *engine, const qn_batch *batch, float *logits, qn_error *err) {
    uint64_t n = batch->n;
    QN_TRY(enter(engine, QN_PART_EMBEDDING, 0, err));
    start(engine, n);
    for (uint64_t il = 0; il < engine->graph.n_layer && n > 0; il++) {
        const qn_layer *layer = &engine->weights.layers[il];
        QN_TRY(check_stop(engine, batch, il, err));
        QN_TRY(enter(engine, QN_PART_LAYER, il, err));
        norm_rows(engine, &layer->attn_norm, engine->buffers.x, engine->buffers.normed, n);
        n = attention(engine, il, batch);
        add_residual(engine, &layer->post_attn_norm, n);
        norm_rows(engine, &layer->ffn_norm, engine->buffers.x, engine->buffers.normed, n);
        if (qn_graph_is_mixture(&engine->graph, il)) {
            qn_engine_mix_experts(engine, layer, n);
        } else {
            qn_engine_feed_forward(engine, &layer->mlp, engine->graph.n_ff, n, engine->buffers.out);
        }
        add_residual(engine, &layer->post_ffn_norm, n);
    }
    if (n != batch->n_wanted) {
        n = keep_wanted(engine, batch, engine->buffers.out, engine->graph.n_embd);
    }
    if (logits != NULL && n > 0) {
        const bool is_embedding = engine->weights.output.name == engine->weights.embd.name;
        QN_TRY(enter(engine, is_embedding ? QN_PART_EMBEDDING : QN_PART_OUTPUT, 0, err));
        finish_rows(engine, n, logits);
    }
    return engine->backend->finish(engine->backend, err);
}
