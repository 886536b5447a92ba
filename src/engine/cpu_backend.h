/* SPDX-License-Identifier: MIT */
/* cpu_backend.h: what the files of the CPU back end share. Private to src/engine. */
#ifndef QUERN_ENGINE_CPU_BACKEND_H
#define QUERN_ENGINE_CPU_BACKEND_H

#include "base/cpu.h"
#include "base/pool.h"
#include "engine/backend.h"
#include "engine/cpu_kernels.h"

/** A worker's memory for attention. */
typedef struct qn_attend_scratch {
    float *keys;   /**< [QN_KV_TILE, width] */
    float *values; /**< [QN_KV_TILE, width] */
    float *q;      /**< [n_queries, width] */
    float *acc;    /**< [n_queries, width] */
    float *max;    /**< [n_queries] */
    float *sum;    /**< [n_queries] */
} qn_attend_scratch;

typedef struct qn_cpu_backend {
    qn_backend calls; /**< first: the same address */
    qn_cpu_level level;
    const qn_cpu_kernels *kernels;
    qn_pool *pool;
    qn_backend_limits limits;
    uint64_t width;     /**< head size, padded */
    uint64_t n_queries; /**< that share one pass over keys and values */
    void *packed;       /**< activations in a partner format, 64-byte aligned */
    void *packed_block;
    qn_attend_scratch *scratch; /**< [n_threads] */
    uint64_t scratch_bytes;
    qn_error err; /**< of the first call that failed; status QN_OK: none has */
} qn_cpu_backend;

/** Multiplications that are worth a portion: what takes as long as handing it to a thread, some times over. */
enum { QN_PORTION_PRODUCTS = 1 << 16 };

/** Works on items first to end - 1. */
typedef void qn_portion_fn(void *task, uint64_t first, uint64_t end, unsigned worker);

/** Shares n_items out over the threads, step at a time; in the calling thread when there is no more than one step. */
void qn_cpu_share(qn_cpu_backend *cpu, uint64_t n_items, uint64_t step, qn_portion_fn *fn, void *task);

/** Rows of a product that make a portion. @param products_a_row multiplications for one row of the weights */
uint64_t qn_cpu_product_step(const qn_cpu_backend *cpu, uint64_t n_rows, uint64_t products_a_row);

/** Whether a product before number i has weights of its type, and took it along. */
bool qn_cpu_is_type_done(const qn_product *products, uint64_t i);

/** Remembers a failure for finish(). Safe from workers only where one of them can fail. */
void qn_cpu_note(qn_cpu_backend *cpu, qn_status status, const qn_error *err);

void qn_cpu_store(qn_backend *self, const qn_attention *call);  /**< As qn_backend.store. */
void qn_cpu_attend(qn_backend *self, const qn_attention *call); /**< As qn_backend.attend. */

void qn_cpu_route(qn_backend *self, const qn_routing *call); /**< As qn_backend.route. */
/** As qn_backend.multiply_experts. */
void qn_cpu_multiply_experts(qn_backend *self, const qn_product *products, uint64_t n_products, const qn_places *places,
                             const float *src, uint64_t src_stride, bool by_row);
/** As qn_backend.mix. */
void qn_cpu_mix(qn_backend *self, const qn_places *places, const float *src, uint64_t n_cols, float *dst);
/** As qn_backend.gate_rows. */
void qn_cpu_gate_rows(qn_backend *self, const float *gates, float *x, uint64_t n_rows, uint64_t n_cols);

/** Makes room for attention. @return false when memory is short */
bool qn_cpu_attention_init(qn_cpu_backend *cpu);
void qn_cpu_attention_clear(qn_cpu_backend *cpu); /**< Gives it back. */

#endif
