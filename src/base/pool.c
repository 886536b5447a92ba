/* SPDX-License-Identifier: MIT */
/* pool.c: threads that wait for work, first turning, then asleep. */
/*
 * Portions follow each other within microseconds while a model runs, so that waking a sleeping thread each time would
 * cost more than the work. A thread that has waited in vain for some ten microseconds sleeps: between answers no
 * processor time is burnt. Nobody waits for a thread that has not begun: where other programs hold it up, the caller
 * does the work alone, closes the portion, and the thread finds nothing to do.
 */
#include "base/pool.h"

#include "base/memory.h"
#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

enum { MAX_POOL_THREADS = 1024, TURNS_BEFORE_SLEEP = 4000, TURNS_BEFORE_YIELD = 1000 };

typedef struct pool_thread {
    qn_pool *pool;
    pthread_t thread;
    unsigned worker;
} pool_thread;

/* The state of work in one word: which portion it is (the upper half), whether it is closed to those who have not
 * begun, and how many have begun. */
#define CLOSED (UINT64_C(1) << 16)
#define ONE_BEGUN UINT64_C(1)
#define N_BEGUN(state) ((state)&0xFFFFU)
#define PORTION(state) ((uint32_t)((state) >> 32))

struct qn_pool {
    unsigned n_threads;
    atomic_uint_fast64_t state;
    atomic_uint n_done; /* threads that have begun a portion and ended it */
    atomic_uint n_asleep;
    atomic_bool is_over;
    qn_worker_fn *fn; /* written before state, read after it */
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

/* Waits until there is another portion than the one seen; which. */
static uint32_t await_portion(qn_pool *pool, uint32_t seen) {
    for (unsigned i = 0; i < TURNS_BEFORE_SLEEP; i++) {
        const uint32_t portion = PORTION(atomic_load(&pool->state));
        if (portion != seen) {
            return portion;
        }
        pause_turn();
    }
    uint32_t portion = seen;
    (void)pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->n_asleep, 1);
    while (portion == seen) {
        portion = PORTION(atomic_load(&pool->state));
        if (portion == seen) {
            (void)pthread_cond_wait(&pool->wake, &pool->lock);
        }
    }
    atomic_fetch_sub(&pool->n_asleep, 1);
    (void)pthread_mutex_unlock(&pool->lock);
    return portion;
}

/* Counts a thread among those that work on a portion. @return false when it is closed, or over */
static bool begin_portion(qn_pool *pool, uint32_t portion) {
    uint64_t state = atomic_load(&pool->state);
    while (PORTION(state) == portion && (state & CLOSED) == 0) {
        if (atomic_compare_exchange_weak(&pool->state, &state, state + ONE_BEGUN)) {
            return true;
        }
    }
    return false;
}

static void *thread_main(void *arg) {
    const pool_thread *self = arg;
    qn_pool *pool = self->pool;
    for (uint32_t seen = 0;;) {
        seen = await_portion(pool, seen);
        if (atomic_load(&pool->is_over)) {
            return NULL;
        }
        if (begin_portion(pool, seen)) {
            pool->fn(pool->shared, self->worker);
            atomic_fetch_add(&pool->n_done, 1);
        }
    }
}

/* Opens the next portion. */
static void call_threads(qn_pool *pool) {
    atomic_store(&pool->state, (uint64_t)(PORTION(atomic_load(&pool->state)) + 1U) << 32);
    /* A thread counts itself among the sleepers before it looks at the state for the last time. */
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
        if (!qn_thread_start(&t->thread, thread_main, t)) {
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
    if (pool->n_threads == 1) {
        fn(shared, 0);
        return;
    }
    pool->fn = fn;
    pool->shared = shared;
    atomic_store(&pool->n_done, 0);
    call_threads(pool);
    fn(shared, 0);
    const uint64_t n_begun = N_BEGUN(atomic_fetch_or(&pool->state, CLOSED));
    for (unsigned i = 0; atomic_load(&pool->n_done) < n_begun; i++) {
        if (i < TURNS_BEFORE_YIELD) {
            pause_turn();
        } else {
            (void)sched_yield();
        }
    }
}
