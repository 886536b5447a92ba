/* SPDX-License-Identifier: MIT */
/* job.h: what a long call needs from its caller: threads, somewhere to send events, a way to stop. */
#ifndef QUERN_JOB_H
#define QUERN_JOB_H

#include "quern/event.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** A job's surroundings. One job runs one long call at a time. */
typedef struct qn_job qn_job;

/**
 * @param n_threads worker threads; 0 for one a core this process may use
 * @param on_event  may be NULL
 * @param user      passed to on_event
 * @return NULL when memory is short
 */
qn_job *qn_job_new(unsigned n_threads, qn_event_fn *on_event, void *user);

/** Frees a job that runs nothing; accepts NULL. */
void qn_job_free(qn_job *job);

/** Asks the running call to stop soon; it returns QN_E_INTERRUPTED. Safe in a signal handler and any thread. */
void qn_job_cancel(qn_job *job);

/** Whether qn_job_cancel() was called. */
bool qn_job_is_cancelled(const qn_job *job);

/** Worker threads the job will use; at least 1. */
unsigned qn_job_threads(const qn_job *job);

#ifdef __cplusplus
}
#endif
#endif
