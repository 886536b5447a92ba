/* SPDX-License-Identifier: MIT */
/* interrupt.h: Ctrl-C asks the running job, or an answer, to stop; a second one ends the program. */
#ifndef QUERN_CLI_INTERRUPT_H
#define QUERN_CLI_INTERRUPT_H

#include "quern/chat.h"
#include "quern/job.h"

/**
 * From now on SIGINT and SIGTERM cancel this job, once; after that they have their default action again.
 * @param advice a line written to stderr when it happens; static
 */
void qn_interrupt_watch(qn_job *job, const char *advice);

/**
 * From now on SIGINT stops the answer that is being written, and not the program.
 * @param is_once a second one ends the program
 */
void qn_interrupt_watch_answer(qn_chat *chat, bool is_once);

/** Whether SIGINT came since the watch for an answer began. */
bool qn_interrupt_came(void);

/** Gives the signals their default action back; before qn_job_free() and qn_chat_free(). */
void qn_interrupt_forget(void);

#endif
