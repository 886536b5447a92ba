/* SPDX-License-Identifier: MIT */
/* measure.h: what a model makes of a text: perplexity, divergence between two models, importance of inputs. */
#ifndef QUERN_MEASURE_H
#define QUERN_MEASURE_H

#include "quern/job.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A figure and its standard error. */
typedef struct qn_estimate {
    double value;
    double error;
} qn_estimate;

/** Shares of a distribution, linear between neighbours. */
typedef struct qn_percentiles {
    double min, p1, p5, p10, median, p90, p95, p99, p999, max;
} qn_percentiles;

/** How far one model is from another on the same text, as llama.cpp's llama-perplexity --kl-divergence tells it. */
typedef struct qn_divergence_stats {
    uint64_t n_tokens;          /**< positions compared */
    qn_estimate ppl;            /**< perplexity of the model */
    qn_estimate ppl_base;       /**< perplexity of the base */
    qn_estimate ppl_ratio;      /**< of the model's to the base's */
    qn_estimate ppl_difference; /**< of the model's from the base's */
    qn_estimate ln_ppl_ratio;   /**< mean over positions of the loss added, in nats */
    double correlation;         /**< of ln perplexity; 0 where one of them does not vary */
    qn_estimate kld;            /**< mean Kullback-Leibler divergence of the model from the base, in nats, >= 0 */
    qn_percentiles klds;        /**< of single positions */
    qn_estimate p_diff;         /**< mean change of the probability of the token that followed, -1 to 1 */
    qn_estimate p_diff_rms;     /**< root of its mean square */
    qn_percentiles p_diffs;     /**< of single positions */
    qn_estimate same_top;       /**< share of positions where both hold the same token for the most likely */
} qn_divergence_stats;

#ifdef __cplusplus
}
#endif
#endif
