/* SPDX-License-Identifier: MIT */
/* check.h: tries outputs before they get their names: each speaks, and is held against the unquantised weights. */
#ifndef QUERN_CHECK_H
#define QUERN_CHECK_H

#include "quern/pack.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How outputs are tried. Zero-initialise, then set what is wanted; borrowed for the call. */
typedef struct qn_check_options {
    const char *text; /**< file with the text to compare on, of which the beginning is taken; NULL: a text of ours */
    bool has_max_kld;
    double max_kld;   /**< outputs whose mean divergence is larger are refused; nats, finite, not negative */
    bool is_required; /**< an output that cannot be tried is refused; else it is accepted, with a note */
} qn_check_options;

/** A check of a plan's outputs. One thread at a time. */
typedef struct qn_check qn_check;

/**
 * Prepares to try the outputs of a plan: vocabulary, text and chat template; weights are not read yet.
 * @param plan outlives the check; borrowed
 * @param out  to be freed with qn_check_free()
 * @return QN_OK; QN_E_UNSUPPORTED when the outputs cannot be run (architecture; no vocabulary; a Hugging Face folder;
 *         an adapter alone), err says why; QN_E_USAGE (max_kld; a text that is too short); QN_E_NOT_FOUND, QN_E_IO (the
 *         text's file); QN_E_FORMAT (vocabulary; the chat template, where the check is required); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_check_new(const qn_plan *plan, const qn_check_options *options, const qn_job *job,
                                    qn_check **out, qn_error *err);
/** Frees; accepts NULL. */
void qn_check_free(qn_check *check);

/** Seconds that all outputs will take about, from the sizes of the model and the job's threads. */
double qn_check_seconds(const qn_check *check);
/** Bytes of memory that it will take about, mapped outputs left out: the largest layer in float32, and logits. */
uint64_t qn_check_memory(const qn_check *check);

/**
 * Tries an output: the qn_accept_fn to give to qn_plan_set_accept() with the check as user.
 *
 * It is loaded; answers one message through the model's chat template (continues a text where there is none), at most
 * 64 tokens, always the most likely one; and its logits on at most 512 tokens are compared with those of the
 * unquantised weights, which are computed once, in float32, one layer in memory at a time. The positions compared are
 * the second half of every window of 128 tokens: of a file, those of `quern kld --ctx 128 --chunks 4`.
 * @param user a qn_check
 * @return QN_OK; QN_E_RANGE (logits that are not finite; a divergence beyond max_kld); as loading a file; QN_E_NOMEM;
 *         QN_E_INTERRUPTED. An answer that does not end is told and refuses nothing
 */
QN_NODISCARD qn_status qn_check_accept(void *user, const qn_candidate *candidate, qn_job *job, qn_verdict *verdict,
                                       qn_error *err);

#ifdef __cplusplus
}
#endif
#endif
