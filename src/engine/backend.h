/* SPDX-License-Identifier: MIT */
/*
 * backend.h: the few computations that a forward pass is made of, as calls that a processor of any kind can offer.
 *
 * Activations and caches are the back end's memory, weights are the provider's; the layers only say what is computed
 * from what. Calls take effect in order. None fails by itself: finish() waits and says whether one has.
 */
#ifndef QUERN_ENGINE_BACKEND_H
#define QUERN_ENGINE_BACKEND_H

#include "engine/weights.h"

/** A matrix and where its product goes: dst[v * dst_stride + row], the weight's bias added. */
typedef struct qn_product {
    const qn_weight *weight;
    float *dst;
    uint64_t dst_stride;
} qn_product;

/** Norms of groups of a row: a whole row, or each head. dst may be src. */
typedef struct qn_norm_call {
    qn_norm_kind kind;
    const qn_norm *norm; /**< [n_cols] */
    float eps;
    const float *src;
    uint64_t src_stride; /**< floats from row to row */
    float *dst;
    uint64_t dst_stride;
    uint64_t n_rows;
    uint64_t n_groups; /**< a row, side by side */
    uint64_t n_cols;   /**< a group */
} qn_norm_call;

/** Rotary embedding of heads, in place. */
typedef struct qn_rotation {
    qn_rope_kind kind;
    float *x; /**< n_heads heads of head_dim, side by side in a row */
    uint64_t stride;
    uint64_t n_rows;
    uint64_t n_heads;
    uint64_t head_dim;
    uint64_t n_rot;
    const float *turns; /**< [n_rows, n_rot]: cosines, then sines */
} qn_rotation;

/** The keys and values of one sequence: in each layer, for each head, slots of head_dim elements. */
typedef struct qn_kv {
    qn_dtype type;
    uint64_t n_slots; /**< a multiple of QN_KV_TILE */
    uint64_t n_head;
    uint64_t head_dim;
    uint64_t row_bytes;
    unsigned char *keys; /**< [n_layer, n_head, n_slots] rows of row_bytes */
    unsigned char *values;
} qn_kv;

/** Slots that attention works on at a time; sizes of caches are multiples of it. */
enum { QN_KV_TILE = 64 };

/** Rows of a batch that belong to one sequence, one after another. */
typedef struct qn_run {
    const qn_kv *kv;
    uint64_t first_row;
    uint64_t n_rows;
    uint64_t first_pos; /**< of the first row's token */
} qn_run;

/** Attention of one layer; store() puts k and v into the caches, attend() reads them there. */
typedef struct qn_attention {
    const qn_run *runs;
    uint64_t n_runs;
    uint64_t layer;
    const float *q; /**< [n_head, head_dim] a row */
    const float *k; /**< [n_head_kv, head_dim] a row */
    const float *v;
    uint64_t stride;
    float *dst; /**< [n_head, head_dim] a row */
    uint64_t dst_stride;
    uint64_t n_head;
    uint64_t n_head_kv;
    uint64_t head_dim;
    const float *sinks; /**< [n_head] a score of nothing, in each head's softmax; NULL: none */
    uint64_t window;    /**< tokens seen, the own one among them; 0: all before */
    float scale;
    float softcap; /**< 0: none */
} qn_attention;

/** act(gate) * up, or act(gate) where up is NULL. dst may be either. */
typedef struct qn_activation_call {
    qn_activation kind;
    const float *gate;
    const float *up;
    uint64_t stride; /**< of gate and up */
    float *dst;
    uint64_t dst_stride;
    uint64_t n_rows;
    uint64_t n_cols;
} qn_activation_call;

/** Which experts rows go to: n_rows * n_used places, those of one expert side by side, in the order of rows. */
typedef struct qn_places {
    uint64_t n_rows;
    uint64_t n_used;
    uint64_t n_experts;
    uint64_t *first;  /**< [n_experts + 1] first place of each expert; then the number of places */
    uint64_t *row_of; /**< [n_rows * n_used] the row in a place */
    uint64_t *places; /**< [n_rows, n_used] where a row went */
    float *weights;   /**< [n_rows, n_used] of what comes back */
} qn_places;

/** The choice of experts. */
typedef struct qn_routing {
    const qn_mixture *mixture;
    float *scores;     /**< [n_rows, n_expert] of the router; overwritten */
    const float *bias; /**< [n_expert] on what decides the choice, not on weights; NULL: none */
    uint64_t n_rows;
    qn_places *places; /**< out; room for a batch */
} qn_routing;

/** What a back end must have room for, told when it is made. */
typedef struct qn_backend_limits {
    unsigned n_threads;
    uint64_t n_batch;      /**< rows of a batch */
    uint64_t packed_bytes; /**< of the activations of a product in the largest partner format of its weight */
    uint64_t n_head_ratio; /**< n_head / n_head_kv */
    uint64_t head_dim;
} qn_backend_limits;

/** A back end. One thread at a time. */
typedef struct qn_backend qn_backend;
struct qn_backend {
    const char *name;
    /** Zeroed memory for activations or caches; NULL when short. Freed by release, which accepts NULL. */
    void *(*alloc)(qn_backend *self, uint64_t size_bytes);
    void (*release)(qn_backend *self, void *memory);
    /** dst[i] = scale * row ids[i] of the table, or dst[i] += it. dst is [n, n_cols]. */
    void (*embed)(qn_backend *self, const qn_weight *table, const int32_t *ids, uint64_t n, float scale, bool adds,
                  float *dst);
    void (*norm)(qn_backend *self, const qn_norm_call *call);
    /** Products of several matrices with the same n_vectors rows of src. */
    void (*multiply)(qn_backend *self, const qn_product *products, uint64_t n_products, const float *src,
                     uint64_t src_stride, uint64_t n_vectors);
    /** Chooses experts by their scores. */
    void (*route)(qn_backend *self, const qn_routing *call);
    /**
     * Products of stacks, each expert's matrix with the rows in its places; dst has a row for each place.
     * @param src a row for each place, or, by_row, one for each row
     */
    void (*multiply_experts)(qn_backend *self, const qn_product *products, uint64_t n_products, const qn_places *places,
                             const float *src, uint64_t src_stride, bool by_row);
    /** dst[row] = the weighted sum of src's rows in its places; n_cols side by side in both. */
    void (*mix)(qn_backend *self, const qn_places *places, const float *src, uint64_t n_cols, float *dst);
    /** Rows of x times the sigmoids of their gates, [n_rows]. */
    void (*gate_rows)(qn_backend *self, const float *gates, float *x, uint64_t n_rows, uint64_t n_cols);
    void (*rotate)(qn_backend *self, const qn_rotation *call);
    void (*store)(qn_backend *self, const qn_attention *call);
    void (*attend)(qn_backend *self, const qn_attention *call);
    void (*activate)(qn_backend *self, const qn_activation_call *call);
    /** dst[i] = row ids[i] of x, [n, n_cols]; ids ascend, so that dst may be x. */
    void (*gather)(qn_backend *self, const float *x, const uint64_t *ids, uint64_t n, uint64_t n_cols, float *dst);
    void (*add)(qn_backend *self, float *dst, const float *src, uint64_t n);
    void (*scale)(qn_backend *self, float *x, uint64_t n, float factor);
    void (*cap)(qn_backend *self, float *x, uint64_t n, float cap); /**< x = cap * tanh(x / cap) */
    qn_status (*finish)(qn_backend *self, qn_error *err);
    uint64_t (*scratch_bytes)(const qn_backend *self); /**< its own memory, without what alloc gave */
    void (*free)(qn_backend *self);
};

/** The processor, with the kernels of its level. @return NULL when memory is short */
qn_backend *qn_cpu_backend_new(const qn_backend_limits *limits);

#endif
