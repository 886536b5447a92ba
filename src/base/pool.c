/* SPDX-License-Identifier: MIT */
/* pool.c: threads that wait for work, first turning, then asleep. */
/*
 * Portions follow each other within microseconds while a model runs, so that waking a sleeping thread each time would
 * cost more than the work. A thread that has waited in vain for some ten microseconds sleeps: between answers no
 * processor time is burnt.
 */
#include "base/pool.h"

#include "base/memory.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum { MAX_POOL_THREADS = 1024, TURNS_BEFORE_SLEEP = 4000, TURNS_BEFORE_YIELD = 1000 };

typedef struct pool_thread {
    qn_pool *pool;
    pthread_t thread;
    unsigned worker;
} pool_thread;

struct qn_pool {
    unsigned n_threads;
    atomic_uint generation; /* counts portions; a change is the call to work */
    atomic_uint n_running;
    atomic_uint n_asleep;
    atomic_bool is_over;
    qn_worker_fn *fn; /* written before generation, read after it */
    void *shared;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pool_thread threads[]; /* [n_threads - 1] */
};

static inline void pause_turn(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Waits until there is another portion than the one seen. */
static void await_portion(qn_pool *pool, unsigned seen) {
    for (unsigned i = 0; i < TURNS_BEFORE_SLEEP; i++) {
        if (atomic_load(&pool->generation) != seen) {
            return;
        }
        pause_turn();
    }
    (void)pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->n_asleep, 1);
    while (atomic_load(&pool->generation) == seen) {
        (void)pthread_cond_wait(&pool->wake, &pool->lock);
    }
    atomic_fetch_sub(&pool->n_asleep, 1);
    (void)pthread_mutex_unlock(&pool->lock);
}

static void *thread_main(void *arg) {
    const pool_thread *self = arg;
    qn_pool *pool = self->pool;
    for (unsigned seen = 0;; seen++) {
        await_portion(pool, seen);
        if (atomic_load(&pool->is_over)) {
            return NULL;
        }
        pool->fn(pool->shared, self->worker);
        atomic_fetch_sub(&pool->n_running, 1);
    }
}

static void call_threads(qn_pool *pool) {
    atomic_fetch_add(&pool->generation, 1);
    /* A thread counts itself among the sleepers before it looks at the generation for the last time. */
    if (atomic_load(&pool->n_asleep) > 0) {
        (void)pthread_mutex_lock(&pool->lock);
        (void)pthread_cond_broadcast(&pool->wake);
        (void)pthread_mutex_unlock(&pool->lock);
    }
}

qn_pool *qn_pool_new(unsigned n_threads) {
    const unsigned n_wanted = n_threads < 1 ? 1 : n_threads > MAX_POOL_THREADS ? MAX_POOL_THREADS : n_threads;
    qn_pool *pool = qn_new_array(1, sizeof *pool + n_wanted * sizeof pool->threads[0]);
    if (pool == NULL) {
        return NULL;
    }
    if (pthread_mutex_init(&pool->lock, NULL) != 0) {
        free(pool);
        return NULL;
    }
    if (pthread_cond_init(&pool->wake, NULL) != 0) {
        (void)pthread_mutex_destroy(&pool->lock);
        free(pool);
        return NULL;
    }
    pool->n_threads = 1;
    while (pool->n_threads < n_wanted) {
        pool_thread *t = &pool->threads[pool->n_threads - 1];
        t->pool = pool;
        t->worker = pool->n_threads;
        if (pthread_create(&t->thread, NULL, thread_main, t) != 0) {
            break;
        }
        pool->n_threads++;
    }
    return pool;
}

void qn_pool_free(qn_pool *pool) {
    if (pool == NULL) {
        return;
    }
    atomic_store(&pool->is_over, true);
    call_threads(pool);
    for (unsigned i = 0; i + 1 < pool->n_threads; i++) {
        (void)pthread_join(pool->threads[i].thread, NULL);
    }
    (void)pthread_cond_destroy(&pool->wake);
    (void)pthread_mutex_destroy(&pool->lock);
    free(pool);
}

unsigned qn_pool_threads(const qn_pool *pool) {
    return pool->n_threads;
}

void qn_pool_run(qn_pool *pool, qn_worker_fn *fn, void *shared) {
    if (pool->n_threads > 1) {
        pool->fn = fn;
        pool->shared = shared;
        atomic_store(&pool->n_running, pool->n_threads - 1);
        call_threads(pool);
    }
    fn(shared, 0);
    for (unsigned i = 0; atomic_load(&pool->n_running) > 0; i++) {
        if (i < TURNS_BEFORE_YIELD) {
            pause_turn();
        } else {
            (void)sched_yield();
        }
    }
}
