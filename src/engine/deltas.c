/* SPDX-License-Identifier: MIT */
/* deltas.c: adds the low-rank products of adapters behind those of the weights they change. */
#include "engine/engine_parts.h"
#include "engine/lora.h"

static uint64_t max_u64(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

void qn_engine_delta_sizes(const qn_engine *engine, uint64_t *rank, uint64_t *width, uint64_t *n_cols) {
    for (uint64_t i = 0; i < engine->n_loras; i++) {
        const qn_lora *lora = engine->loras[i];
        *rank = max_u64(*rank, lora->max_rank);
        for (uint64_t k = 0; k < lora->n_pairs; k++) {
            /* A looked-up embedding is as wide as A. */
            *width = max_u64(*width, max_u64(lora->pairs[k].b.n_rows, lora->pairs[k].a.n_cols));
            *n_cols = max_u64(*n_cols, lora->pairs[k].a.n_cols);
        }
    }
}

/* dst += weight x, rows of dst being stride floats apart. x is [n_rows, n_cols]. */
static void add_product(qn_engine *e, const qn_weight *weight, const float *x, uint64_t n_rows, float *dst,
                        uint64_t stride) {
    const qn_product product = {weight, e->buffers.delta, weight->n_rows};
    e->backend->multiply(e->backend, &product, 1, x, weight->n_cols, n_rows);
    for (uint64_t row = 0; row < n_rows; row++) {
        e->backend->add(e->backend, dst + row * stride, e->buffers.delta + row * weight->n_rows, weight->n_rows);
    }
}

void qn_engine_add_deltas(qn_engine *engine, const qn_product *product, const float *src, uint64_t stride,
                          uint64_t n_rows) {
    for (const qn_delta *d = product->weight->deltas; d != NULL; d = d->next) {
        const qn_product low = {&d->pair->a, engine->buffers.low, d->pair->a.n_rows};
        for (uint64_t row = 0; row < n_rows; row += QN_DELTA_ROWS) {
            const uint64_t n = n_rows - row < QN_DELTA_ROWS ? n_rows - row : QN_DELTA_ROWS;
            engine->backend->multiply(engine->backend, &low, 1, src + row * stride, stride, n);
            add_product(engine, &d->pair->b, engine->buffers.low, n, product->dst + row * product->dst_stride,
                        product->dst_stride);
        }
    }
}

void qn_engine_add_embedding_deltas(qn_engine *engine, const int32_t *ids, uint64_t n, float scale, float *x) {
    for (const qn_delta *d = engine->weights.embd.deltas; d != NULL; d = d->next) {
        const uint64_t width = d->pair->lookup.n_rows;
        for (uint64_t row = 0; row < n; row += QN_DELTA_ROWS) {
            const uint64_t n_now = n - row < QN_DELTA_ROWS ? n - row : QN_DELTA_ROWS;
            engine->backend->embed(engine->backend, &d->pair->b, ids + row, n_now, scale, false, engine->buffers.low);
            add_product(engine, &d->pair->lookup, engine->buffers.low, n_now, x + row * width, width);
        }
    }
}
