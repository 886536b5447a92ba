/* SPDX-License-Identifier: MIT */
/* pool.h: threads that stay, for work that comes in portions of microseconds, one after another. */
#ifndef QUERN_BASE_POOL_H
#define QUERN_BASE_POOL_H

#include "base/worker.h"

#include <stdatomic.h>

/** Threads waiting for work. One thread at a time may give them some. */
typedef struct qn_pool qn_pool;

/**
 * Starts n_threads - 1 threads; the one that calls qn_pool_run() is the first. Threads that cannot be started are done
 * without.
 * @param n_threads at least 1
 * @return NULL when memory is short
 */
qn_pool *qn_pool_new(unsigned n_threads);

/** Ends the threads; accepts NULL. */
void qn_pool_free(qn_pool *pool);

/** Threads that run work, the caller's among them: workers are numbered from 0 to this, less 1. */
unsigned qn_pool_threads(const qn_pool *pool);

/**
 * Runs fn in the calling thread and in those that are ready before it returns there; waits for all that have begun. fn
 * must share out its work by itself, and leave none when it returns in the calling thread.
 */
void qn_pool_run(qn_pool *pool, qn_worker_fn *fn, void *shared);

/**
 * Takes the next portion of work from a counter that starts at 0.
 * @return the first of at most step items, or n_items when none is left
 */
static inline uint64_t qn_next_portion(atomic_uint_fast64_t *counter, uint64_t step, uint64_t n_items) {
    const uint64_t first = atomic_fetch_add_explicit(counter, step, memory_order_relaxed);
    return first < n_items ? first : n_items;
}

#endif
