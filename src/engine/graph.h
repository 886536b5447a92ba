/* SPDX-License-Identifier: MIT */
/* graph.h: what a family's forward pass is made of, filled from a row of traits and a file's metadata. */
#ifndef QUERN_ENGINE_GRAPH_H
#define QUERN_ENGINE_GRAPH_H

#include "arch/arch.h"

typedef enum qn_norm_kind { QN_NORM_RMS, QN_NORM_LAYER /**< mean removed, with a bias */ } qn_norm_kind;

typedef enum qn_mlp_kind {
    QN_MLP_GATED,       /**< down(act(gate x) * up x) */
    QN_MLP_GATED_FUSED, /**< the same; the first half of up's rows is the gate */
    QN_MLP_PLAIN        /**< down(act(up x)) */
} qn_mlp_kind;

/** How a mixture's scores become weights of experts. Numbers of the key expert_gating_func. */
typedef enum qn_gating {
    QN_GATING_SOFTMAX = 1,       /**< over all experts */
    QN_GATING_SIGMOID = 2,       /**< each for itself */
    QN_GATING_SOFTMAX_CHOSEN = 3 /**< over those that were chosen by their scores */
} qn_gating;

/** What a mixture has beside its experts. */
typedef enum qn_shared_kind {
    QN_SHARED_NONE,
    QN_SHARED_ADDED, /**< a feed-forward for all rows, added */
    QN_SHARED_GATED  /**< the same, times the sigmoid of a product of its own */
} qn_shared_kind;

/** Layers that are mixtures of experts. Source: facts/architectures.md 0.8. */
typedef struct qn_mixture {
    uint64_t n_expert;     /**< 0: no layer is one */
    uint64_t n_used;       /**< experts a row goes to */
    uint64_t n_ff;         /**< of an expert */
    uint64_t n_ff_shared;  /**< of the shared expert */
    uint64_t n_dense_lead; /**< layers before the first mixture */
    uint64_t step;         /**< from there on, layers whose number plus 1 is a multiple of it are mixtures */
    qn_gating gating;
    bool normalizes; /**< weights of the chosen are divided by their sum */
    float scale;     /**< on weights */
    qn_shared_kind shared;
} qn_mixture;

typedef enum qn_activation {
    QN_ACT_SILU,
    QN_ACT_GELU,        /**< tanh form */
    QN_ACT_SILU_LIMITED /**< gpt-oss: g = min(gate, 7), u = up within -7 and 7: g sigmoid(1.702 g) (u + 1) */
} qn_activation;

/** The rotation of one kind of layer. Source: facts/architectures.md 0.7. */
typedef struct qn_rope {
    double base;
    double freq_scale; /**< on positions: 1 / factor of linear and YaRN scaling */
    double ext_factor; /**< share of YaRN's ramp; 0: linear */
    double beta_fast;
    double beta_slow;
    double magnitude; /**< on cos and sin */
} qn_rope;

/** A model's forward pass. Sizes are checked against each other, not yet against tensors. */
typedef struct qn_graph {
    const char *arch; /**< general.architecture; static */
    uint64_t n_layer;
    uint64_t n_ctx; /**< tokens the model is made for */
    uint64_t n_embd;
    uint64_t n_ff;
    uint64_t n_head;
    uint64_t n_head_kv; /**< divides n_head */
    uint64_t head_dim;
    qn_norm_kind norm;
    float eps;
    qn_mlp_kind mlp;
    qn_activation act;
    qn_mixture mixture;
    bool has_qk_norm;      /**< RMS norm of every head of q and k before the rotation */
    bool may_lack_qk_norm; /**< where a file has no such norm, there is none */
    bool norms_after_rope; /**< of q and k: behind the rotation */
    bool norms_whole_qk;   /**< of all heads of q or k at once instead */
    bool has_norm_bias;    /**< of the norms around sub-layers and before the output */
    bool has_post_norms;   /**< norms behind attention and feed-forward, before the residual is added */
    bool has_sinks;        /**< heads have a score that takes a share of the softmax and gives nothing */
    const char *ffn_norm;  /**< name of the norm before the feed-forward */
    bool has_positions;    /**< learned positions are added to the embedding */
    bool is_tied;          /**< the output matrix is always the embedding */
    float embd_scale;      /**< on embeddings */
    float residual_scale;  /**< on what a sub-layer adds */
    float logit_scale;     /**< on logits */
    float attn_scale;      /**< on scores */
    float attn_softcap;    /**< c tanh(z / c) of scores; 0: none */
    float final_softcap;   /**< of logits; 0: none */
    qn_rope_kind rope_kind;
    uint64_t n_rot;      /**< rotated dimensions of a head, even */
    uint64_t n_ctx_orig; /**< longer contexts take the long factors */
    qn_rope rope[2];     /**< of full layers, of sliding layers */
    uint64_t window;     /**< tokens that a sliding layer sees, itself among them; 0: no layer slides */
    bool *is_sliding;    /**< [n_layer]; in the arena */
} qn_graph;

/**
 * Fills a graph from metadata.
 * @param where the file named in messages
 * @param arena the graph's arrays live in it
 * @return QN_OK; QN_E_UNSUPPORTED (an architecture or a trait that quern does not run, named); QN_E_FORMAT (a key is
 *         missing, or no such number); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_graph_read(const char *where, const qn_meta *meta, qn_arena *arena, qn_graph *out,
                                     qn_error *err);

/** Whether a layer's feed-forward is a mixture of experts. */
bool qn_graph_is_mixture(const qn_graph *graph, uint64_t layer);

/** The largest width of feed-forwards that all rows go through: of dense layers, of the shared expert. */
uint64_t qn_graph_widest_mlp(const qn_graph *graph);

/**
 * Angles a position of the rotation.
 * @param divisors [n_rot / 2] or NULL: rope factors
 * @param out      [n_rot / 2] radians a token
 */
void qn_rope_frequencies(const qn_graph *graph, const qn_rope *rope, const float *divisors, double *out);

#endif
