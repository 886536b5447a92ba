/* SPDX-License-Identifier: MIT */
/* interrupt.h: Ctrl-C asks the running job to stop; a second one ends the program. */
#ifndef QUERN_CLI_INTERRUPT_H
#define QUERN_CLI_INTERRUPT_H

#include "quern/job.h"

/**
 * From now on SIGINT and SIGTERM cancel this job, once; after that they have their default action again.
 * @param advice a line written to stderr when it happens; static
 */
void qn_interrupt_watch(qn_job *job, const char *advice);

/** Gives the signals their default action back; before qn_job_free(). */
void qn_interrupt_forget(void);

#endif
