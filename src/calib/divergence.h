/* SPDX-License-Identifier: MIT */
/* divergence.h: statistics over logits of the same tokens by two models, or by one. The logits are the caller's. */
#ifndef QUERN_CALIB_DIVERGENCE_H
#define QUERN_CALIB_DIVERGENCE_H

#include "base/pool.h"
#include "quern/measure.h"

/** One position. Not finite where logits are not. */
typedef struct qn_divergence_row {
    double nll;      /**< -ln of the probability that the model gave to the token that followed */
    double nll_base; /**< the same of the base */
    double kld;      /**< sum of p_base * ln(p_base / p) over the vocabulary, nats, >= 0 */
    double p_diff;   /**< probability of the token that followed, less the base's */
    bool is_top_same;
} qn_divergence_row;

/**
 * -ln softmax(logits)[target], summed in float64.
 * @param logits [n_vocab]
 * @param target below n_vocab
 */
double qn_nll_of(const float *logits, uint64_t n_vocab, int32_t target);

/** Compares two rows of logits, [n_vocab] each, of which target is the token that followed; sums in float64. */
qn_divergence_row qn_divergence_of(const float *base, const float *logits, uint64_t n_vocab, int32_t target);

/** Losses added up. Zero-initialised it is empty. */
typedef struct qn_nll_sum {
    uint64_t n;
    double sum;
    double sum_squares;
} qn_nll_sum;

/**
 * Adds the losses of rows, in their order, computed in a pool's threads: the same sums for any number of them.
 * @param pool    NULL: in this thread
 * @param logits  [n_rows, n_vocab]
 * @param targets [n_rows] the tokens that followed, below n_vocab
 * @return QN_OK; QN_E_RANGE (logits that are not finite); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_nll_add(qn_nll_sum *to, qn_pool *pool, const float *logits, const int32_t *targets,
                                  uint64_t n_rows, uint64_t n_vocab, qn_error *err);

/** Mean loss in nats. Its error is the sample's deviation over the root of n - 1; 0 for less than two. */
qn_estimate qn_nll_mean(const qn_nll_sum *sum);
/** exp of the mean loss, with its error to first order. */
qn_estimate qn_perplexity_of(const qn_nll_sum *sum);

/** Positions compared so far. */
typedef struct qn_divergence qn_divergence;

/** @return NULL when memory is short */
qn_divergence *qn_divergence_new(void);
/** Accepts NULL. */
void qn_divergence_free(qn_divergence *d);

/**
 * Compares rows and keeps what is found, in their order, whatever the number of threads.
 * @param pool    NULL: in this thread
 * @param base    [n_rows, n_vocab] logits of the model that is measured against
 * @param logits  [n_rows, n_vocab] of the model that is measured
 * @param targets [n_rows] the tokens that followed, below n_vocab
 * @return QN_OK; QN_E_RANGE (logits that are not finite; which model's is told); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_divergence_add(qn_divergence *d, qn_pool *pool, const float *base, const float *logits,
                                         const int32_t *targets, uint64_t n_rows, uint64_t n_vocab, qn_error *err);

/** Mean divergence so far: cheap, for a progress line. */
qn_estimate qn_divergence_mean(const qn_divergence *d);
/** Losses so far of the model (false) or of the base (true). */
const qn_nll_sum *qn_divergence_losses(const qn_divergence *d, bool of_base);

/** All statistics; zeros where nothing was compared. @return QN_OK; QN_E_NOMEM */
QN_NODISCARD qn_status qn_divergence_result(const qn_divergence *d, qn_divergence_stats *out, qn_error *err);

#endif
