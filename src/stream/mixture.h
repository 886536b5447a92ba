/* SPDX-License-Identifier: MIT */
/* mixture.h: which type each tensor gets under a quantisation target ("Q4_K_M"). */
#ifndef QUERN_STREAM_MIXTURE_H
#define QUERN_STREAM_MIXTURE_H

#include "container/archive.h"

/** What a target's name stands for. Static storage. */
typedef struct qn_target {
    const char *name;   /**< as llama.cpp spells it: "Q4_K_M" */
    uint32_t file_type; /**< general.file_type */
    qn_dtype base;      /**< the type of every eligible tensor that no rule changes */
} qn_target;

/** All targets of facts/mixes.md, also those whose encoders are still missing. */
const qn_target *qn_target_at(uint64_t i); /**< NULL past the end */
/** Finds a target by name or alias ("Q4_K" is Q4_K_M), upper or lower case; NULL when there is none. */
const qn_target *qn_target_find(const char *name);

/**
 * Whether a target that can be written without an importance matrix loses much without one, so that a person should
 * be told (Q2_K_S; the reference's tool refuses it then, its encoder does not).
 */
bool qn_target_wants_imatrix(const qn_target *target);

/** Whether a target gives ordinary models tensors that come out useless without an importance matrix. */
bool qn_target_needs_imatrix(const qn_target *target);

/** What the rules ask of a model. */
typedef struct qn_mixture_model {
    const char *arch; /**< GGUF architecture name */
    uint64_t n_layer;
    uint64_t n_head;    /**< of layer 0 */
    uint64_t n_head_kv; /**< of layer 0 */
    uint64_t n_expert;  /**< 0 for dense models */
    bool has_imatrix;
} qn_mixture_model;

/** A type for the tensors whose name a pattern is found in. */
typedef struct qn_type_rule {
    const char *pattern; /**< regular expression (PCRE2), searched in the tensor's name without regard to case */
    qn_dtype type;
} qn_type_rule;

/** What a person asks of the choice beside the target; llama-quantize's options. Zero-initialised: nothing. */
typedef struct qn_mixture_options {
    bool is_pure;       /**< every eligible tensor gets the target's base type; only the shape fallback applies */
    bool leaves_output; /**< output.weight keeps its unquantised type */
    bool has_output_type, has_embedding_type;
    qn_dtype output_type;      /**< of output.weight (and a tied embedding, as the reference has it) */
    qn_dtype embedding_type;   /**< of token_embd.weight */
    const qn_type_rule *rules; /**< the first that matches an eligible tensor decides its type */
    uint64_t n_rules;
} qn_mixture_options;

/** A tensor, in and out. */
typedef struct qn_mixture_tensor {
    const char *name;
    qn_shape shape;       /**< slowest first */
    qn_dtype unquantized; /**< the type the tensor has in the unquantised file; kept where it must not be quantised */
    qn_dtype type;        /**< out */
    bool has_importance;  /**< the importance matrix has an entry for it */
} qn_mixture_tensor;

/**
 * Whether a target, a rule or a budget may change a tensor's type: at least two dimensions, leading ones of 1 not
 * counted, and no name that the reference keeps (facts/mixes.md 2).
 */
bool qn_mixture_is_eligible(const char *name, const qn_shape *shape);

/**
 * Whether plain quantisation to a type comes out useless, so that a tensor of this name must have an importance
 * matrix for it. Embedding and output are let off, as the reference has it. Source: facts/mixes.md 8.
 */
bool qn_mixture_needs_importance(const char *name, qn_dtype type);

/**
 * Chooses every tensor's type for a target by the reference's rules, shape fallback included.
 * What options ask for comes first: embedding_type, output_type, the first rule, is_pure, then the target's rules. As
 * the reference has it, a tensor that options typed has no part in the target's counting (the n-th value matrix, say).
 * The shape fallback comes last and changes every choice that does not fit the rows.
 * @param options may be NULL
 * @param tensors [n], any order; the rules' own order (layer, then name) is used for counting
 * @return QN_OK; QN_E_NOMEM; QN_E_USAGE for a pattern that is no regular expression; QN_E_UNSUPPORTED when a tensor
 *         would need an encoder that is missing, or needs an importance matrix, or an entry in it (each message names
 *         target, tensor and what to use instead); the types are filled in all the same, as the rules have them
 * Source: facts/mixes.md.
 */
QN_NODISCARD qn_status qn_mixture_choose(const qn_target *target, const qn_mixture_model *model,
                                         const qn_mixture_options *options, qn_mixture_tensor *tensors, uint64_t n,
                                         qn_error *err);

#endif
