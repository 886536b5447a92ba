/* SPDX-License-Identifier: MIT */
/* attention.c: caches of keys and values, and attention over them with a running softmax. */
/*
 * A portion of work is one head of keys and values with a group of queries that read it: neighbouring tokens, and the
 * query heads that share the head. Tiles of keys and values are turned into float32 once for all of them and then meet
 * each query, whose maximum, sum of weights and weighted values go on from tile to tile: no row of scores is longer
 * than a tile. Tiles start at multiples of their size, so that a token's result does not depend on the batch it came
 * in.
 */
#include "engine/cpu_backend.h"

#include "base/memory.h"
#include "dtype/codec.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_QUERIES = 64 };

bool qn_cpu_attention_init(qn_cpu_backend *cpu) {
    const uint64_t n_threads = qn_pool_threads(cpu->pool);
    const uint64_t ratio = cpu->limits.n_head_ratio;
    cpu->width = (cpu->limits.head_dim + QN_HEAD_PAD - 1) / QN_HEAD_PAD * QN_HEAD_PAD;
    cpu->n_queries = ratio >= MIN_QUERIES ? ratio : MIN_QUERIES / ratio * ratio;
    cpu->scratch = qn_new_array(n_threads, sizeof *cpu->scratch);
    for (uint64_t i = 0; cpu->scratch != NULL && i < n_threads; i++) {
        const uint64_t tile = QN_KV_TILE * cpu->width;
        const uint64_t queries = cpu->n_queries * cpu->width;
        const uint64_t n = 2 * tile + 2 * queries + 2 * cpu->n_queries;
        float *block = qn_new_array(n, sizeof *block);
        if (block == NULL) {
            return false;
        }
        cpu->scratch[i] = (qn_attend_scratch){.keys = block,
                                              .values = block + tile,
                                              .q = block + 2 * tile,
                                              .acc = block + 2 * tile + queries,
                                              .max = block + 2 * tile + 2 * queries,
                                              .sum = block + 2 * tile + 2 * queries + cpu->n_queries};
        cpu->scratch_bytes += n * sizeof *block;
    }
    return cpu->scratch != NULL;
}

void qn_cpu_attention_clear(qn_cpu_backend *cpu) {
    for (uint64_t i = 0; cpu->scratch != NULL && i < qn_pool_threads(cpu->pool); i++) {
        free(cpu->scratch[i].keys);
    }
    free(cpu->scratch);
}

static uint64_t slot_off(const qn_kv *kv, uint64_t layer, uint64_t head, uint64_t slot) {
    return ((layer * kv->n_head + head) * kv->n_slots + slot) * kv->row_bytes;
}

/* ---- storing ---- */

void qn_cpu_store(qn_backend *self, const qn_attention *call) {
    qn_cpu_backend *cpu = (qn_cpu_backend *)self;
    qn_error err = {.status = QN_OK};
    for (uint64_t i = 0; i < call->n_runs; i++) {
        const qn_run *run = &call->runs[i];
        for (uint64_t row = 0; row < run->n_rows * call->n_head_kv; row++) {
            const uint64_t head = row % call->n_head_kv;
            const uint64_t token = row / call->n_head_kv;
            const uint64_t src = (run->first_row + token) * call->stride + head * call->head_dim;
            const uint64_t off = slot_off(run->kv, call->layer, head, run->first_pos + token);
            qn_status status = qn_encode_rows(cpu->level, QN_EFFORT_FAST, run->kv->type, call->k + src, 1,
                                              call->head_dim, NULL, run->kv->keys + off, &err);
            if (status == QN_OK) {
                status = qn_encode_rows(cpu->level, QN_EFFORT_FAST, run->kv->type, call->v + src, 1, call->head_dim,
                                        NULL, run->kv->values + off, &err);
            }
            qn_cpu_note(cpu, status, &err);
        }
    }
}

/* ---- attending ---- */

typedef struct attend_task {
    qn_cpu_backend *cpu;
    const qn_attention *call;
    const qn_run *run;
    uint64_t n_groups; /* of tokens */
    uint64_t tokens_a_group;
} attend_task;

/* Some tokens of a run before one head of keys and values. */
typedef struct query_group {
    const attend_task *task;
    const qn_attend_scratch *scratch;
    uint64_t head;        /* of keys and values */
    uint64_t first_token; /* of the run */
    uint64_t n_tokens;
    uint64_t ratio; /* query heads */
} query_group;

static uint64_t first_visible(const qn_attention *call, uint64_t pos) {
    return call->window == 0 || pos < call->window ? 0 : pos + 1 - call->window;
}

static void start_queries(const query_group *g) {
    const qn_attention *call = g->task->call;
    const uint64_t width = g->task->cpu->width;
    for (uint64_t i = 0; i < g->n_tokens * g->ratio; i++) {
        const uint64_t row = g->task->run->first_row + g->first_token + i / g->ratio;
        const uint64_t head = g->head * g->ratio + i % g->ratio;
        memcpy(g->scratch->q + i * width, call->q + row * call->stride + head * call->head_dim,
               (size_t)call->head_dim * sizeof *call->q);
        memset(g->scratch->acc + i * width, 0, (size_t)width * sizeof *call->q);
        g->scratch->max[i] = call->sinks == NULL ? -INFINITY : call->sinks[head];
        g->scratch->sum[i] = call->sinks == NULL ? 0 : 1;
    }
}

/* Rows of a tile in float32: where they are, when they are that already. */
static const float *tile_rows(const query_group *g, const unsigned char *cache, uint64_t slot, uint64_t n,
                              float *scratch) {
    const qn_kv *kv = g->task->run->kv;
    const uint64_t width = g->task->cpu->width;
    const unsigned char *src = cache + slot_off(kv, g->task->call->layer, g->head, slot);
    qn_status status = QN_OK;
    if (kv->type == QN_F32 && width == kv->head_dim) {
        return (const float *)(const void *)src;
    }
    if (width == kv->head_dim) {
        status = qn_decode_rows(g->task->cpu->level, kv->type, src, n, width, scratch, NULL);
    }
    for (uint64_t i = 0; width != kv->head_dim && i < n && status == QN_OK; i++) {
        status = qn_decode_rows(g->task->cpu->level, kv->type, src + i * kv->row_bytes, 1, kv->head_dim,
                                scratch + i * width, NULL);
    }
    (void)status; /* the type was tried when the cache was made */
    return scratch;
}

static void attend_to_tile(const query_group *g, uint64_t tile, uint64_t last_pos) {
    const qn_attention *call = g->task->call;
    const qn_run *run = g->task->run;
    const uint64_t width = g->task->cpu->width;
    const uint64_t n = last_pos + 1 - tile < QN_KV_TILE ? last_pos + 1 - tile : QN_KV_TILE;
    qn_tile_step step = {.keys = tile_rows(g, run->kv->keys, tile, n, g->scratch->keys),
                         .values = tile_rows(g, run->kv->values, tile, n, g->scratch->values),
                         .width = width,
                         .scale = call->scale,
                         .softcap = call->softcap};
    const uint64_t n_queries = g->n_tokens * g->ratio;
    for (uint64_t i = 0; i < n_queries; i += QN_TILE_QUERIES) {
        bool is_seen = false;
        step.n = n_queries - i < QN_TILE_QUERIES ? (unsigned)(n_queries - i) : QN_TILE_QUERIES;
        for (unsigned a = 0; a < step.n; a++) {
            const uint64_t pos = run->first_pos + g->first_token + (i + a) / g->ratio;
            const uint64_t first = first_visible(call, pos);
            step.first[a] = first > tile ? first - tile : 0;
            step.end[a] = pos < tile ? 0 : pos + 1 - tile < QN_KV_TILE ? pos + 1 - tile : QN_KV_TILE;
            step.first[a] = step.first[a] < step.end[a] ? step.first[a] : step.end[a];
            is_seen = is_seen || step.first[a] < step.end[a];
        }
        if (is_seen) {
            step.q = g->scratch->q + i * width;
            step.acc = g->scratch->acc + i * width;
            step.max = g->scratch->max + i;
            step.sum = g->scratch->sum + i;
            g->task->cpu->kernels->attend(&step);
        }
    }
}

static void end_queries(const query_group *g) {
    const qn_attention *call = g->task->call;
    const uint64_t width = g->task->cpu->width;
    for (uint64_t i = 0; i < g->n_tokens * g->ratio; i++) {
        const uint64_t row = g->task->run->first_row + g->first_token + i / g->ratio;
        float *dst = call->dst + row * call->dst_stride + (g->head * g->ratio + i % g->ratio) * call->head_dim;
        const float share = 1.0F / g->scratch->sum[i];
        for (uint64_t k = 0; k < call->head_dim; k++) {
            dst[k] = g->scratch->acc[i * width + k] * share;
        }
    }
}

static void attend_portion(void *task, uint64_t first, uint64_t end, unsigned worker) {
    const attend_task *t = task;
    for (uint64_t i = first; i < end; i++) {
        /* Late groups have more keys before them: they go first, so that no thread is left with one at the end. */
        const uint64_t group = t->n_groups - 1 - i / t->call->n_head_kv;
        const uint64_t from = group * t->tokens_a_group;
        const query_group g = {.task = t,
                               .scratch = &t->cpu->scratch[worker],
                               .head = i % t->call->n_head_kv,
                               .first_token = from,
                               .n_tokens = t->run->n_rows - from < t->tokens_a_group ? t->run->n_rows - from
                                                                                     : t->tokens_a_group,
                               .ratio = t->call->n_head / t->call->n_head_kv};
        const uint64_t last_pos = t->run->first_pos + from + g.n_tokens - 1;
        start_queries(&g);
        uint64_t tile = first_visible(t->call, t->run->first_pos + from);
        for (tile -= tile % QN_KV_TILE; tile <= last_pos; tile += QN_KV_TILE) {
            attend_to_tile(&g, tile, last_pos);
        }
        end_queries(&g);
    }
}

void qn_cpu_attend(qn_backend *self, const qn_attention *call) {
    qn_cpu_backend *cpu = (qn_cpu_backend *)self;
    const uint64_t ratio = call->n_head / call->n_head_kv;
    for (uint64_t i = 0; i < call->n_runs; i++) {
        attend_task task = {.cpu = cpu, .call = call, .run = &call->runs[i], .tokens_a_group = cpu->n_queries / ratio};
        task.n_groups = (task.run->n_rows + task.tokens_a_group - 1) / task.tokens_a_group;
        const uint64_t n_tokens = task.run->n_rows < task.tokens_a_group ? task.run->n_rows : task.tokens_a_group;
        const uint64_t n_keys = task.run->first_pos + task.run->n_rows;
        const uint64_t n_products = (n_tokens * ratio + 1) * n_keys * 2 * call->head_dim;
        qn_cpu_share(cpu, task.n_groups * call->n_head_kv, QN_PORTION_PRODUCTS / n_products + 1, attend_portion, &task);
    }
}
