/* SPDX-License-Identifier: MIT */
/* stream_progress.h: turns bytes or tokens done into stage and progress events with a rate and the time left. */
#ifndef QUERN_STREAM_STREAM_PROGRESS_H
#define QUERN_STREAM_STREAM_PROGRESS_H

#include "base/worker.h"

#include <stdbool.h>

enum { QN_PROGRESS_SAMPLES = 40 };

/** The course of one run. Threads: one at a time (the run's lock). */
typedef struct qn_progress {
    qn_job *job;
    const char *stage; /* the one announced last; NULL before the first */
    uint64_t n_tensors;
    uint64_t bytes_done;
    uint64_t bytes_total;
    bool counts_tokens; /* "bytes" above and below are tokens of a text; set after qn_progress_begin() */
    double last_s;      /* when an event was sent last */
    struct {
        double time_s;
        uint64_t bytes;
    } samples[QN_PROGRESS_SAMPLES]; /* a ring over the last seconds */
    uint64_t n_samples;             /* written so far */
} qn_progress;

/** What the bytes belong to. */
typedef struct qn_progress_at {
    const char *tensor;
    uint64_t tensor_index; /**< from 1 */
    const char *message;   /**< what is known so far; NULL: nothing */
} qn_progress_at;

/** Starts. @param bytes_done what an earlier run did already; no part of the rate */
void qn_progress_begin(qn_progress *p, qn_job *job, uint64_t n_tensors, uint64_t bytes_done, uint64_t bytes_total);
/** Announces a stage unless it is the current one. stage may be NULL: nothing is announced. */
void qn_progress_stage(qn_progress *p, const char *stage);
/** Counts bytes; sends a progress event when the last one is a tenth of a second old, or all is done. */
void qn_progress_add(qn_progress *p, qn_progress_at at, uint64_t n_bytes);

#endif
