/* SPDX-License-Identifier: MIT */
/* budget.h: a type for each surveyed tensor: the least error within so many bytes. Private to src/pack/. */
#ifndef QUERN_PACK_BUDGET_H
#define QUERN_PACK_BUDGET_H

#include "base/buffer.h"
#include "pack/survey.h"

/** What was chosen, in sum. */
typedef struct qn_budget_report {
    uint64_t size_bytes; /**< of the surveyed tensors; at most the budget */
    uint64_t min_bytes;  /**< the smallest that the candidates allow */
    uint64_t max_bytes;  /**< what the choice takes when bytes do not count */
    double cost;         /**< sum of qn_survey_cost() */
    double min_cost;     /**< at max_bytes */
    double max_cost;     /**< at min_bytes */
} qn_budget_report;

/**
 * Chooses a type for every tensor of a survey, so that the sum of qn_survey_cost() is least within the budget, as far
 * as steps along each tensor's convex hull, what still fits behind them, and exchanges of two tensors reach.
 * The same survey and budget give the same choice. A budget above max_bytes is no error: size_bytes tells.
 * @param budget_bytes for the surveyed tensors alone: what is fixed (other tensors, header) is the caller's to subtract
 * @param types        out: [survey->n_tensors]
 * @param report       filled also when the budget is too small; may be NULL
 * @return QN_OK; QN_E_USAGE when the budget is below min_bytes; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_budget_choose(const qn_survey *survey, uint64_t budget_bytes, qn_dtype *types,
                                        qn_budget_report *report, qn_error *err);

/**
 * Writes a choice as lines "^blk\.0\.attn_q\.weight$=Q4_K", which qn_type_rules_parse() reads.
 * @param types as qn_budget_choose() filled it
 * @param out   appended to; check qn_buffer_status()
 */
void qn_budget_write(const qn_survey *survey, const qn_dtype *types, qn_buffer *out);

#endif
