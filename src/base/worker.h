/* SPDX-License-Identifier: MIT */
/* worker.h: runs one function on several threads; sends a job's events. */
#ifndef QUERN_BASE_WORKER_H
#define QUERN_BASE_WORKER_H

#include "base/error.h"
#include "quern/job.h"

/** What a worker runs. @param worker from 0 to n_threads - 1 */
typedef void qn_worker_fn(void *shared, unsigned worker);

/**
 * Runs fn on n_threads threads, the calling one among them, and waits for all.
 * Threads that cannot be started are done without; fn must share out its work by itself.
 */
void qn_run_workers(unsigned n_threads, qn_worker_fn *fn, void *shared);

/** Seconds since the job was made. */
double qn_job_seconds(const qn_job *job);

/** Stamps time_s and hands the event to the job's listener, one at a time. job may be NULL. */
void qn_job_emit(qn_job *job, qn_event event);

/** Emits a QN_EVENT_WARNING with a formatted message. job may be NULL. */
void qn_job_warn(qn_job *job, const char *fmt, ...) QN_PRINTF(2, 3);

/** Emits a QN_EVENT_NOTE with a formatted message. job may be NULL. */
void qn_job_note(qn_job *job, const char *fmt, ...) QN_PRINTF(2, 3);

#endif
