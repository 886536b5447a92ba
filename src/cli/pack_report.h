/* SPDX-License-Identifier: MIT */
/* pack_report.h: a plan and its results as a person reads them. */
#ifndef QUERN_CLI_PACK_REPORT_H
#define QUERN_CLI_PACK_REPORT_H

#include "base/json.h"
#include "cli/table.h"
#include "quern/event.h"

/**
 * Prints a plan (qn_plan_json()): the model, where it comes from, the outputs, what the job needs.
 * @param check how the outputs are tried; NULL: they are not
 */
void qn_print_plan(const qn_terminal *to, const json_t *plan, const char *check);

/** Prints every tensor of a plan with its type and size in each output. */
void qn_print_plan_tensors(const qn_terminal *to, const json_t *plan);

/**
 * An empty table of results.
 * @param is_checked its rows have a verdict
 * @return NULL when memory is short; to be freed with qn_table_free()
 */
qn_table *qn_results_new(bool is_checked);

/** Adds a QN_EVENT_OUTPUT, with a verdict if the table has them. */
void qn_results_add(qn_table *results, const qn_event *event);

/** Prints what can be typed next, for the outputs of a plan. */
void qn_print_next(const qn_terminal *to, const json_t *plan);

#endif
