/* SPDX-License-Identifier: MIT */
/*
 * engine.h: a model that runs: tokens in, logits out, with the keys and values of each sequence kept.
 *
 * One thread at a time uses an engine and its sequences.
 */
#ifndef QUERN_ENGINE_ENGINE_H
#define QUERN_ENGINE_ENGINE_H

#include "engine/weights.h"
#include "quern/job.h"

/** How a model is run. Zeros are defaults. */
typedef struct qn_engine_options {
    uint64_t n_ctx;     /**< tokens of a sequence; default: what the model is made for, at most 4096 */
    uint64_t n_batch;   /**< tokens that are computed together, of all sequences; default 512, or n_ctx if less */
    unsigned n_threads; /**< default: the job's, or one a core without a job */
    qn_dtype kv_type;   /**< of keys and values where is_kv_typed: F32, F16, BF16, Q8_0, …; default F16 */
    bool is_kv_typed;
    const qn_lora *const *loras; /**< [n_loras] adapters (lora.h), added up; they outlive the engine */
    uint64_t n_loras;
} qn_engine_options;

/** A model that runs. */
typedef struct qn_engine qn_engine;
/** Tokens that one answer is made from: their keys and values. */
typedef struct qn_sequence qn_sequence;

/** Where memory went, in bytes. */
typedef struct qn_engine_memory {
    uint64_t weights;          /**< matrices in their types, mapped but for what is encoded */
    uint64_t weights_resident; /**< of them in memory now */
    uint64_t encoded;          /**< weights in memory of the provider's own: 0 for a mapped file */
    uint64_t as_f16;           /**< what the weights would take in F16 */
    uint64_t adapters;         /**< factors of adapters, in float32 */
    uint64_t vectors;          /**< norms, biases and rope factors in float32 */
    uint64_t kv;      /**< keys and values of all sequences that there are; the system gives pages as they fill */
    uint64_t compute; /**< activations of a batch and the back end's scratch */
} qn_engine_memory;

/**
 * Opens a GGUF file, or the set of shards that it belongs to, for running. Weights are mapped, not read.
 * @param options may be NULL: defaults
 * @param job     told to stop, decoding returns QN_E_INTERRUPTED; may be NULL; outlives the engine
 * @return QN_OK; QN_E_UNSUPPORTED (architecture, tensor type, type of keys and values); QN_E_RANGE (n_ctx beyond what
 *         the model is made for); QN_E_FORMAT, QN_E_SHAPE, QN_E_NOT_FOUND (metadata and tensors contradict each other);
 *         QN_E_IO; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_engine_open(const char *path, const qn_engine_options *options, qn_job *job, qn_engine **out,
                                      qn_error *err);

/** As qn_engine_open(), from any provider, which is taken: closed with the engine, also when this fails. */
QN_NODISCARD qn_status qn_engine_open_provider(const qn_provider *provider, const qn_engine_options *options,
                                               qn_job *job, qn_engine **out, qn_error *err);

/**
 * What opening refuses of options; it costs nothing, so that a provider that takes time can ask first.
 * @param where the model's name in messages
 * @return QN_OK; QN_E_RANGE (n_ctx beyond what the model is made for); QN_E_UNSUPPORTED (type of keys and values)
 */
QN_NODISCARD qn_status qn_engine_check_options(const char *where, const qn_graph *graph,
                                               const qn_engine_options *options, qn_error *err);

/** Frees an engine whose sequences are freed; accepts NULL. */
void qn_engine_free(qn_engine *engine);

const qn_graph *qn_engine_graph(const qn_engine *engine);      /**< The model's forward pass. */
const qn_meta *qn_engine_meta(const qn_engine *engine);        /**< GGUF metadata, for vocabulary and template. */
uint64_t qn_engine_n_vocab(const qn_engine *engine);           /**< Logits a token. */
uint64_t qn_engine_n_ctx(const qn_engine *engine);             /**< Tokens of a sequence. */
uint64_t qn_engine_kv_bytes(const qn_engine *engine);          /**< Bytes of one full sequence. */
uint64_t qn_engine_token_bytes(const qn_engine *engine);       /**< Bytes of weights read to compute one token. */
qn_engine_memory qn_engine_memory_of(const qn_engine *engine); /**< Where memory went. */

/**
 * What goes into each product of weights: rows of x before the matrix of that GGUF name. Where the tensor stacks
 * n_experts matrices, expert says which of them; otherwise it is 0 of 1.
 */
typedef void qn_input_fn(void *user, const char *weight_name, uint64_t expert, uint64_t n_experts, const float *x,
                         uint64_t n_rows, uint64_t n_cols);

/** Calls fn with the inputs of every product from now on (for importance matrices); NULL: no more. */
void qn_engine_observe(qn_engine *engine, qn_input_fn *fn, void *user);

/**
 * How far a call of decoding has come.
 * @param share of its work that is done, from 0 on and below 1
 * @return false to stop: the call returns QN_E_INTERRUPTED
 */
typedef bool qn_decode_fn(void *user, double share);

/** Calls fn before each layer of each batch from now on; NULL: no more. */
void qn_engine_watch(qn_engine *engine, qn_decode_fn *fn, void *user);

/** An empty sequence. @return QN_OK; QN_E_NOMEM, saying how many tokens were asked for */
QN_NODISCARD qn_status qn_sequence_new(qn_engine *engine, qn_sequence **out, qn_error *err);
/** Accepts NULL. */
void qn_sequence_free(qn_sequence *sequence);
/** Bytes of its keys and values that are in memory now: pages come as they are written to. */
uint64_t qn_sequence_resident(const qn_sequence *sequence);
/** Tokens in it. */
uint64_t qn_sequence_length(const qn_sequence *sequence);
/** Forgets all tokens but the first n; nothing happens when there are no more than that. */
void qn_sequence_truncate(qn_sequence *sequence, uint64_t n);
/** Makes a sequence begin as another does: its first n tokens (at most those there are) are copied. */
void qn_sequence_copy(qn_sequence *to, const qn_sequence *from, uint64_t n);

/** Tokens to be appended to a sequence. */
typedef struct qn_span {
    qn_sequence *sequence; /**< at most one span each in a call */
    const int32_t *tokens;
    uint64_t n;      /**< at least 1 */
    bool all_logits; /**< a row of logits for every token, not only for the last */
} qn_span;

/**
 * Runs tokens of several sequences, in batches of n_batch.
 * @param logits [rows, n_vocab], rows span by span; NULL: none are wanted
 * @return QN_OK; QN_E_RANGE (a token id outside the vocabulary; the context is full); QN_E_INTERRUPTED. On failure the
 *         sequences are as they were before
 */
QN_NODISCARD qn_status qn_engine_decode_spans(qn_engine *engine, const qn_span *spans, uint64_t n_spans, float *logits,
                                              qn_error *err);

/** qn_engine_decode_spans() for one sequence. @param logits [n, n_vocab], or [1, n_vocab] of the last token; or NULL */
QN_NODISCARD qn_status qn_engine_decode(qn_engine *engine, qn_sequence *sequence, const int32_t *tokens, uint64_t n,
                                        bool all_logits, float *logits, qn_error *err);

#endif
