/* SPDX-License-Identifier: MIT */
/* weights.h: a model's tensors by GGUF name, found at a provider, and checked against the graph. */
#ifndef QUERN_ENGINE_WEIGHTS_H
#define QUERN_ENGINE_WEIGHTS_H

#include "engine/graph.h"

/** Low-rank changes of a weight, and adapters that bring them (lora.h). */
typedef struct qn_delta qn_delta;
typedef struct qn_lora qn_lora;

/** A matrix as it is stored, [n_rows, n_cols], or a stack of them. bytes is NULL for one that a model does not have. */
typedef struct qn_weight {
    const char *name;
    qn_dtype type;
    uint64_t n_experts; /**< matrices in the stack; 1 for a plain one */
    uint64_t n_rows;
    uint64_t n_cols;
    const void *bytes;      /**< n_experts * n_rows * qn_row_size(type, n_cols), any alignment; the provider's */
    const float *bias;      /**< [n_experts, n_rows] or NULL; the weights' own */
    const qn_delta *deltas; /**< what adapters add to its product; NULL: nothing */
} qn_weight;

/** A norm's vectors. weight is NULL where there is no norm. */
typedef struct qn_norm {
    const float *weight;
    const float *bias; /**< may be NULL for RMS */
} qn_norm;

/** A feed-forward. gate is absent where the graph has none of its own. */
typedef struct qn_mlp {
    qn_weight gate, up, down;
} qn_mlp;

/** One layer. Either qkv, or q, k and v. A mixture has a router; its experts' up may be gate and up in one. */
typedef struct qn_layer {
    qn_norm attn_norm, q_norm, k_norm, post_attn_norm, ffn_norm, post_ffn_norm;
    qn_weight qkv, q, k, v, output;
    const float *sinks; /**< [n_head] scores; NULL: none */
    qn_mlp mlp;
    qn_weight router;         /**< [n_expert, n_embd] */
    const float *choice_bias; /**< [n_expert] NULL: none */
    qn_mlp experts;           /**< stacks */
    qn_mlp shared;            /**< the shared expert */
    qn_weight shared_gate;    /**< [1, n_embd]; its sigmoid weighs the shared expert */
} qn_layer;

/** Parts of a model that a provider may hold one at a time. */
typedef enum qn_part {
    QN_PART_EMBEDDING, /**< token_embd.weight, also where it stands in for the output matrix */
    QN_PART_LAYER,     /**< matrices of "blk.N." */
    QN_PART_OUTPUT     /**< output.weight */
} qn_part;

/** Where tensors come from: a mapped file, or whatever else has them in memory under their GGUF names. */
typedef struct qn_provider {
    void *self;
    const char *where;     /**< for messages */
    const qn_meta *meta;   /**< GGUF metadata */
    uint64_t memory_bytes; /**< of weights in memory of its own; 0: all are mapped */
    /** Finds a tensor; its bytes stay until close. @return QN_OK with *shape untouched when there is none */
    qn_status (*find)(void *self, const char *name, qn_shape *shape, qn_dtype *type, const void **bytes, qn_error *err);
    /**
     * Where only one part is in memory at a time: the addresses that find() gave for a part's matrices hold their
     * bytes from when it is entered until another is. NULL: all are always there. Biases and norms always are.
     * @param layer of QN_PART_LAYER
     */
    qn_status (*enter)(void *self, qn_part part, uint64_t layer, qn_error *err);
    void (*close)(void *self);
} qn_provider;

/** A matrix's bytes; one of a list. */
typedef struct qn_weight_range {
    const struct qn_weight_range *next;
    const void *bytes;
    uint64_t size_bytes;
} qn_weight_range;

/** All of them. */
typedef struct qn_weights {
    qn_arena *arena;
    uint64_t n_vocab;
    qn_weight embd;
    qn_weight positions; /**< [n_ctx, n_embd] or absent */
    qn_weight output;    /**< may be the embedding */
    qn_norm output_norm;
    qn_layer *layers;                /**< [n_layer] */
    const float *rope_factors;       /**< [n_rot / 2] or NULL: for any context */
    const float *rope_factors_long;  /**< [n_rot / 2] or NULL: for contexts beyond the original one */
    const float *rope_factors_short; /**< [n_rot / 2] or NULL: for others */
    const qn_weight_range *ranges;   /**< where all matrices are */
    uint64_t size_bytes;             /**< of all matrices, in their types */
    uint64_t n_elements;             /**< of all matrices */
    uint64_t vector_bytes;           /**< of norms, biases and factors, kept in float32 */
} qn_weights;

/** Opens a GGUF file, or the set of shards it belongs to, as a provider; its files are mapped, nothing is read. */
QN_NODISCARD qn_status qn_provider_open(const char *path, qn_provider *out, qn_error *err);

/** The same, all files of a model named, whatever their names are. */
QN_NODISCARD qn_status qn_provider_open_files(const char *const *paths, uint64_t n, qn_provider *out, qn_error *err);

/**
 * Finds every tensor of a graph and checks its shape and type.
 * @param loras [n_loras] adapters, for the weights that they change; outlive the weights
 * @return QN_OK; QN_E_NOT_FOUND; QN_E_SHAPE; QN_E_UNSUPPORTED (a type without a product); QN_E_NOMEM; each naming the
 *         tensor; as qn_lora_attach(). On failure *out needs no clearing
 */
QN_NODISCARD qn_status qn_weights_find(const qn_provider *provider, const qn_graph *graph, const qn_lora *const *loras,
                                       uint64_t n_loras, qn_weights *out, qn_error *err);
/** Frees what find made; the provider is the caller's. */
void qn_weights_clear(qn_weights *weights);

#endif
