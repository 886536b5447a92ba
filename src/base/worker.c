/* SPDX-License-Identifier: MIT */
/* worker.c: the job: threads, events under one lock, the cancel flag. */
#ifdef __linux__
#define _GNU_SOURCE /* sched_getaffinity() */
#endif

#include "base/worker.h"

#include "base/memory.h"
#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { MAX_THREADS = 1024 };

struct qn_job {
    atomic_bool is_cancelled; /* lock-free, so a signal handler may set it */
    unsigned n_threads;
    qn_event_fn *on_event;
    void *user;
    struct timespec start;
    pthread_mutex_t event_lock;
};

/* Cores that this process may use, which in a container are fewer than the machine has. */
static unsigned count_cores(void) {
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) {
        const int n_allowed = CPU_COUNT(&set);
        return n_allowed < 1 ? 1 : (unsigned)n_allowed;
    }
#endif
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n < 1 ? 1 : (unsigned)n;
}

qn_job *qn_job_new(unsigned n_threads, qn_event_fn *on_event, void *user) {
    qn_job *job = qn_new_array(1, sizeof *job);
    if (job == NULL) {
        return NULL;
    }
    if (n_threads == 0) {
        n_threads = count_cores();
    }
    if (pthread_mutex_init(&job->event_lock, NULL) != 0) {
        free(job);
        return NULL;
    }
    job->n_threads = n_threads > MAX_THREADS ? MAX_THREADS : n_threads;
    job->on_event = on_event;
    job->user = user;
    (void)clock_gettime(CLOCK_MONOTONIC, &job->start);
    return job;
}

void qn_job_free(qn_job *job) {
    if (job != NULL) {
        (void)pthread_mutex_destroy(&job->event_lock);
        free(job);
    }
}

void qn_job_cancel(qn_job *job) {
    atomic_store(&job->is_cancelled, true);
}

bool qn_job_is_cancelled(const qn_job *job) {
    return job != NULL && atomic_load(&((qn_job *)(uintptr_t)job)->is_cancelled);
}

unsigned qn_job_threads(const qn_job *job) {
    return job->n_threads;
}

double qn_job_seconds(const qn_job *job) {
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)(now.tv_sec - job->start.tv_sec) + 1e-9 * (double)(now.tv_nsec - job->start.tv_nsec);
}

void qn_job_emit(qn_job *job, qn_event event) {
    if (job == NULL || job->on_event == NULL) {
        return;
    }
    event.time_s = qn_job_seconds(job);
    (void)pthread_mutex_lock(&job->event_lock);
    job->on_event(job->user, &event);
    (void)pthread_mutex_unlock(&job->event_lock);
}

static void emit_text(qn_job *job, qn_event_kind kind, const char *fmt, va_list args) {
    char message[2048];
    (void)vsnprintf(message, sizeof message, fmt, args);
    qn_job_emit(job, (qn_event){.kind = kind, .message = message});
}

void qn_job_warn(qn_job *job, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    emit_text(job, QN_EVENT_WARNING, fmt, args);
    va_end(args);
}

void qn_job_note(qn_job *job, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    emit_text(job, QN_EVENT_NOTE, fmt, args);
    va_end(args);
}

typedef struct start_info {
    qn_worker_fn *fn;
    void *shared;
    unsigned worker;
} start_info;

static void *thread_main(void *arg) {
    const start_info *info = arg;
    info->fn(info->shared, info->worker);
    return NULL;
}

void qn_run_workers(unsigned n_threads, qn_worker_fn *fn, void *shared) {
    pthread_t threads[MAX_THREADS];
    start_info infos[MAX_THREADS];
    unsigned n_started = 1; /* the calling thread is worker 0 */
    if (n_threads > MAX_THREADS) {
        n_threads = MAX_THREADS;
    }
    while (n_started < n_threads) {
        infos[n_started] = (start_info){fn, shared, n_started};
        if (!qn_thread_start(&threads[n_started], thread_main, &infos[n_started])) {
            break;
        }
        n_started++;
    }
    fn(shared, 0);
    for (unsigned i = 1; i < n_started; i++) {
        (void)pthread_join(threads[i], NULL);
    }
}
