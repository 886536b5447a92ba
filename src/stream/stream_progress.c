/* SPDX-License-Identifier: MIT */
/* stream_progress.c: the rate is that of a ring of samples, one an event: the last four seconds or so. */
#include "stream/stream_progress.h"

#include <string.h>

static const double EVENT_S = 0.1; /* seconds between events */

static void add_sample(qn_progress *p, double now_s) {
    const uint64_t slot = p->n_samples++ % QN_PROGRESS_SAMPLES;
    p->samples[slot].time_s = now_s;
    p->samples[slot].bytes = p->bytes_done;
}

/* One event, whose figures are bytes or tokens. */
static void emit(const qn_progress *p, qn_event event) {
    if (p->counts_tokens) {
        event.tokens_done = event.bytes_done;
        event.tokens_total = event.bytes_total;
        event.bytes_done = event.bytes_total = 0;
    }
    qn_job_emit(p->job, event);
}

/** Bytes a second since the oldest sample; 0 while unknown. */
static double rate_of(const qn_progress *p, double now_s) {
    const uint64_t oldest = p->n_samples < QN_PROGRESS_SAMPLES ? 0 : p->n_samples % QN_PROGRESS_SAMPLES;
    const double seconds = now_s - p->samples[oldest].time_s;
    return seconds <= 0.0 ? 0.0 : (double)(p->bytes_done - p->samples[oldest].bytes) / seconds;
}

void qn_progress_begin(qn_progress *p, qn_job *job, uint64_t n_tensors, uint64_t bytes_done, uint64_t bytes_total) {
    *p = (qn_progress){.job = job, .n_tensors = n_tensors, .bytes_done = bytes_done, .bytes_total = bytes_total};
    p->last_s = qn_job_seconds(job);
    add_sample(p, p->last_s);
}

void qn_progress_stage(qn_progress *p, const char *stage) {
    if (stage == NULL || (p->stage != NULL && strcmp(p->stage, stage) == 0)) {
        return;
    }
    p->stage = stage;
    emit(p, (qn_event){.kind = QN_EVENT_STAGE, .stage = stage, .bytes_total = p->bytes_total});
}

void qn_progress_add(qn_progress *p, qn_progress_at at, uint64_t n_bytes) {
    const double now_s = qn_job_seconds(p->job);
    p->bytes_done += n_bytes;
    const bool is_last = n_bytes > 0 && p->bytes_done >= p->bytes_total;
    if (now_s - p->last_s < EVENT_S && !is_last) {
        return;
    }
    const double rate = rate_of(p, now_s);
    p->last_s = now_s;
    add_sample(p, now_s);
    emit(p,
         (qn_event){.kind = QN_EVENT_PROGRESS,
                    .stage = p->stage,
                    .tensor = at.tensor,
                    .tensor_index = at.tensor_index,
                    .n_tensors = p->n_tensors,
                    .message = at.message,
                    .bytes_done = p->bytes_done,
                    .bytes_total = p->bytes_total,
                    .rate = rate,
                    .eta_s = rate > 0.0 ? (double)(p->bytes_total - p->bytes_done) / rate : -1.0});
}
