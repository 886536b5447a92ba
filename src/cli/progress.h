/* SPDX-License-Identifier: MIT */
/* progress.h: a job's events as a progress bar on a terminal, or as a line now and then elsewhere. */
#ifndef QUERN_CLI_PROGRESS_H
#define QUERN_CLI_PROGRESS_H

#include "cli/terminal.h"
#include "quern/event.h"

/** Draws on one stream. */
typedef struct qn_progress {
    qn_terminal to;
    bool is_quiet;  /**< warnings only */
    bool is_drawn;  /**< a bar stands on the last line */
    double last_s;  /**< when something was shown last, in the job's seconds */
    uint64_t total; /**< bytes or tokens of the current stage */
} qn_progress;

/** Prepares to draw on a stream. */
void qn_progress_init(qn_progress *p, FILE *file, bool is_quiet);

/** Shows an event: progress at most ten times a second; warnings, notes and the end at once. */
void qn_progress_event(qn_progress *p, const qn_event *event);

/** Erases the bar, so that something else can be printed. */
void qn_progress_clear(qn_progress *p);

#endif
