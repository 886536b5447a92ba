/* SPDX-License-Identifier: MIT */
/* sampler.h: from logits to the next token: penalties, the usual filters in their usual order, and a seeded draw. */
#ifndef QUERN_ENGINE_SAMPLER_H
#define QUERN_ENGINE_SAMPLER_H

#include "engine/guide.h"

#include <stdbool.h>
#include <stddef.h>

/** A number added to one token's logit; -INFINITY forbids it. */
typedef struct qn_logit_bias {
    int32_t token;
    float bias;
} qn_logit_bias;

/**
 * How to sample; the field's own names. What is switched off by a value says so. Order: biases, penalties, top-k,
 * typical, top-p, min-p, temperature, draw; mirostat takes the place of the filters.
 */
typedef struct qn_sampling {
    float temperature;           /**< 0: always the most likely token */
    uint32_t top_k;              /**< keep the k most likely; 0: all */
    float top_p;                 /**< keep the fewest whose probabilities sum to p; 1: all */
    float min_p;                 /**< keep those of at least p times the largest probability; 0: all */
    float typical_p;             /**< keep those nearest to the expected surprise, summing to p; 1: all */
    float repeat_penalty;        /**< divides positive logits of recent tokens, multiplies negative ones; 1: none */
    float presence_penalty;      /**< taken from the logits of recent tokens; 0: none */
    float frequency_penalty;     /**< the same, times how often they occurred; 0: none */
    uint32_t repeat_last_n;      /**< tokens that count as recent */
    uint32_t mirostat;           /**< 0: off; 1, 2: that version */
    float mirostat_tau;          /**< target surprise, in bits */
    float mirostat_eta;          /**< how fast it is approached */
    uint64_t seed;               /**< the same seed, the same tokens */
    const qn_logit_bias *biases; /**< [n_biases]; borrowed */
    size_t n_biases;
} qn_sampling;

/** The defaults that llama.cpp's users know: 0.8, 40, 0.95, 0.05, no penalties over 64 tokens. */
qn_sampling qn_sampling_default(void);

/** @return QN_OK; QN_E_USAGE naming a number out of its range */
QN_NODISCARD qn_status qn_sampling_check(const qn_sampling *sampling, qn_error *err);

/** A sampler with its recent tokens and its random state. Not for several threads. */
typedef struct qn_sampler qn_sampler;

/** @param sampling checked and copied but for its biases. @return QN_OK; QN_E_USAGE; QN_E_NOMEM */
QN_NODISCARD qn_status qn_sampler_new(const qn_sampling *sampling, uint32_t n_vocab, qn_sampler **out, qn_error *err);
/** Frees; accepts NULL. */
void qn_sampler_free(qn_sampler *sampler);

/** Tells of a token of the text, sampled or not: it counts as recent. */
void qn_sampler_accept(qn_sampler *sampler, int32_t token);

/**
 * Picks a token. The same logits, history and seed give the same token.
 * @param logits [n_vocab]; changed
 */
int32_t qn_sampler_pick(qn_sampler *sampler, float *logits);

/**
 * Picks a token that a guide allows. What the sampler picks of itself is looked at first, and only when it may not
 * come are all others masked. Neither sampler nor guide accepts it yet.
 * @param guide  NULL: every token may come
 * @param logits [n_vocab]; changed
 * @return QN_OK; as qn_guide_mask()
 */
QN_NODISCARD qn_status qn_sampler_pick_guided(qn_sampler *sampler, qn_guide *guide, float *logits, int32_t *token,
                                              qn_error *err);

#endif
