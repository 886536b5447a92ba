/* SPDX-License-Identifier: MIT */
/* experts.c: the feed-forward of layers that are mixtures of experts. Source: facts/architectures.md 0.8. */
#include "base/checked.h"
#include "engine/engine_parts.h"

/* Inputs of experts' products, one by one. */
static void show_inputs(const qn_engine *e, const qn_weight *weight, const float *src, uint64_t stride, bool by_row) {
    const qn_places *p = &e->places;
    for (uint64_t expert = 0; expert < p->n_experts; expert++) {
        for (uint64_t place = p->first[expert]; place < p->first[expert + 1]; place++) {
            const uint64_t row = by_row ? p->row_of[place] : place;
            e->observe(e->observe_user, weight->name, expert, p->n_experts, src + row * stride, 1, weight->n_cols);
        }
    }
}

static void multiply_experts(qn_engine *e, const qn_product *products, uint64_t n, const float *src, uint64_t stride,
                             bool by_row) {
    for (uint64_t i = 0; e->observe != NULL && i < n; i++) {
        show_inputs(e, products[i].weight, src, stride, by_row);
    }
    e->backend->multiply_experts(e->backend, products, n, &e->places, src, stride, by_row);
}

static void run_experts(qn_engine *e, const qn_mlp *experts, uint64_t n_places) {
    const uint64_t n_ff = e->graph.mixture.n_ff;
    const uint64_t n_embd = e->graph.n_embd;
    const uint64_t stride = 2 * n_ff;
    float *hidden = e->buffers.expert_hidden;
    const qn_product apart[] = {{&experts->gate, hidden, stride}, {&experts->up, hidden + n_ff, stride}};
    const qn_product fused = {&experts->up, hidden, stride};
    const bool is_fused = experts->gate.bytes == NULL;
    multiply_experts(e, is_fused ? &fused : apart, is_fused ? 1 : 2, e->buffers.normed, n_embd, true);
    const qn_activation_call call = {.kind = e->graph.act,
                                     .gate = hidden,
                                     .up = hidden + n_ff,
                                     .stride = stride,
                                     .dst = hidden,
                                     .dst_stride = stride,
                                     .n_rows = n_places,
                                     .n_cols = n_ff};
    e->backend->activate(e->backend, &call);
    const qn_product down = {&experts->down, e->buffers.expert_out, n_embd};
    multiply_experts(e, &down, 1, hidden, stride, false);
}

void qn_engine_mix_experts(qn_engine *e, const qn_layer *layer, uint64_t n) {
    const qn_mixture *m = &e->graph.mixture;
    const uint64_t n_embd = e->graph.n_embd;
    float *shared = e->buffers.expert_out; /* free once the experts' rows are mixed */
    const qn_product scores = {&layer->router, e->buffers.scores, m->n_expert};
    const qn_routing routing = {
        .mixture = m, .scores = e->buffers.scores, .bias = layer->choice_bias, .n_rows = n, .places = &e->places};
    qn_engine_multiply(e, &scores, 1, e->buffers.normed, n_embd, n);
    e->backend->route(e->backend, &routing);
    run_experts(e, &layer->experts, n * m->n_used);
    e->backend->mix(e->backend, &e->places, e->buffers.expert_out, n_embd, e->buffers.out);
    if (m->shared == QN_SHARED_NONE) {
        return;
    }
    qn_engine_feed_forward(e, &layer->shared, m->n_ff_shared, n, shared);
    if (m->shared == QN_SHARED_GATED) {
        const qn_product gate = {&layer->shared_gate, e->buffers.scores, 1};
        qn_engine_multiply(e, &gate, 1, e->buffers.normed, n_embd, n);
        e->backend->gate_rows(e->backend, e->buffers.scores, shared, n, n_embd);
    }
    e->backend->add(e->backend, e->buffers.out, shared, n * n_embd);
}

qn_status qn_engine_make_places(qn_engine *e, qn_error *err) {
    const qn_mixture *m = &e->graph.mixture;
    qn_places *p = &e->places;
    uint64_t n = 0;
    if (!qn_mul_u64(e->n_batch, m->n_used, &n)) {
        return qn_fail_nomem(err, "places of experts", SIZE_MAX);
    }
    p->first = qn_arena_array(e->arena, m->n_expert + 1, sizeof *p->first);
    p->row_of = qn_arena_array(e->arena, n, sizeof *p->row_of);
    p->places = qn_arena_array(e->arena, n, sizeof *p->places);
    p->weights = qn_arena_array(e->arena, n, sizeof *p->weights);
    return p->first == NULL || p->row_of == NULL || p->places == NULL || p->weights == NULL
        ? qn_fail_nomem(err, "places of experts", (size_t)n)
        : QN_OK;
}
