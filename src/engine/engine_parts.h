/* SPDX-License-Identifier: MIT */
/* engine_parts.h: what the files of the engine share. Private to src/engine. */
#ifndef QUERN_ENGINE_ENGINE_PARTS_H
#define QUERN_ENGINE_ENGINE_PARTS_H

#include "engine/backend.h"
#include "engine/engine.h"

/** Rows that adapters are applied to at a time: an output matrix has many columns. */
enum { QN_DELTA_ROWS = 64 };

/** Activations of a batch. All are the back end's. */
typedef struct qn_buffers {
    float *x;             /**< [n_batch, n_embd] the residual stream */
    float *normed;        /**< [n_batch, n_embd] */
    float *qkv;           /**< [n_batch, (n_head + 2 n_head_kv) * head_dim] */
    float *mixed;         /**< [n_batch, n_head * head_dim] */
    float *hidden;        /**< [n_batch, 2 n_ff]: gate and up side by side; of the shared expert, too */
    float *out;           /**< [n_batch, n_embd] what a sub-layer adds */
    float *turns;         /**< [2][n_batch, n_rot]: of full layers, of sliding ones */
    float *scores;        /**< [n_batch, n_expert] of a router */
    float *expert_hidden; /**< [n_batch * n_used, 2 n_ff of an expert], by place */
    float *expert_out;    /**< [n_batch * n_used, n_embd], by place */
    float *low;           /**< [QN_DELTA_ROWS, max_rank] what adapters make of some rows */
    float *delta;         /**< [QN_DELTA_ROWS, max_delta_rows] and add to their products */
} qn_buffers;

struct qn_engine {
    qn_provider provider;
    qn_arena *arena;
    qn_graph graph;
    qn_weights weights;
    qn_backend *backend;
    qn_job *job;
    uint64_t n_ctx;
    uint64_t n_batch;
    qn_dtype kv_type;
    uint64_t kv_row_bytes;
    uint64_t n_slots; /**< n_ctx, rounded up to whole tiles */
    uint64_t kv_bytes_in_use;
    double *frequencies[2]; /**< [n_rot / 2], of full layers and of sliding ones; in the arena */
    qn_buffers buffers;
    uint64_t buffer_bytes;
    const qn_lora *const *loras; /* [n_loras] */
    uint64_t n_loras;
    qn_input_fn *observe;
    void *observe_user;
    qn_decode_fn *watch;
    void *watch_user;
    int32_t *ids;       /**< [n_batch] tokens of the batch */
    int32_t *positions; /**< [n_batch] */
    qn_places places;   /**< of a batch, in the arena */
    uint64_t *wanted;   /**< [n_batch] rows whose logits are asked for */
    qn_run *runs;       /**< [n_batch] */
};

struct qn_sequence {
    qn_engine *engine;
    qn_kv kv;
    uint64_t n_past;
};

/** A batch that is ready to run: ids, positions, wanted and runs of the engine are filled in. */
typedef struct qn_batch {
    uint64_t n;
    uint64_t n_wanted;
    uint64_t n_runs;
    uint64_t n_before; /**< tokens of the call that earlier batches had */
    uint64_t n_call;   /**< tokens of the call */
} qn_batch;

/**
 * Products of several matrices with the same n rows of src, shown to who observes.
 * @param n_rows may be 0
 */
void qn_engine_multiply(qn_engine *e, const qn_product *products, uint64_t n, const float *src, uint64_t stride,
                        uint64_t n_rows);

/** dst = a feed-forward of n rows of the buffer normed. @param n_ff its width; dst [n, n_embd] */
void qn_engine_feed_forward(qn_engine *e, const qn_mlp *mlp, uint64_t n_ff, uint64_t n, float *dst);

/** The buffer out = a layer's mixture of experts of n rows of the buffer normed. */
void qn_engine_mix_experts(qn_engine *e, const qn_layer *layer, uint64_t n);

/** Makes room for mixtures; not all of it on failure. @return QN_E_NOMEM */
QN_NODISCARD qn_status qn_engine_make_places(qn_engine *e, qn_error *err);

/** Most floats that adapters need for a row: of their low-rank side, of a product. */
void qn_engine_delta_sizes(const qn_engine *engine, uint64_t *rank, uint64_t *width, uint64_t *n_cols);

/** dst += B (A x) of every pair that changes a product's weight; src has n_rows rows. */
void qn_engine_add_deltas(qn_engine *engine, const qn_product *product, const float *src, uint64_t stride,
                          uint64_t n_rows);

/** x += what adapters change of the embedding's rows, scaled as they are. @param ids [n] */
void qn_engine_add_embedding_deltas(qn_engine *engine, const int32_t *ids, uint64_t n, float scale, float *x);

/** Runs a batch; logits gets [n_wanted, n_vocab], or may be NULL. */
QN_NODISCARD qn_status qn_engine_forward(qn_engine *engine, const qn_batch *batch, float *logits, qn_error *err);

#endif
