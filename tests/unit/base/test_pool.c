/* SPDX-License-Identifier: MIT */
/* test_pool.c: all work of every portion is done once, whoever does it, and no work is left behind. */
#include "support.h"

#include "base/pool.h"

#include <time.h>

enum { N_ITEMS = 1000, N_PORTIONS = 3000 };

typedef struct counts {
    atomic_uint_fast64_t next;
    atomic_uint done[N_ITEMS];
    atomic_uint n_inside;
    unsigned n_threads;
    uint64_t step;
    atomic_bool was_unknown;
} counts;

static void work(void *shared, unsigned worker) {
    counts *c = shared;
    atomic_fetch_add(&c->n_inside, 1);
    if (worker >= c->n_threads) {
        atomic_store(&c->was_unknown, true);
    }
    for (;;) {
        const uint64_t first = qn_next_portion(&c->next, c->step, N_ITEMS);
        for (uint64_t i = first; i < N_ITEMS && i < first + c->step; i++) {
            atomic_fetch_add(&c->done[i], 1);
        }
        if (first == N_ITEMS) {
            break;
        }
    }
    atomic_fetch_sub(&c->n_inside, 1);
}

static void test_every_item_once(void **state) {
    static const unsigned threads[] = {1, 2, 5};
    (void)state;
    for (size_t t = 0; t < sizeof threads / sizeof threads[0]; t++) {
        qn_pool *pool = qn_pool_new(threads[t]);
        counts *c = calloc(1, sizeof *c);
        assert_non_null(pool);
        assert_non_null(c);
        c->n_threads = qn_pool_threads(pool);
        assert_in_range(c->n_threads, 1, threads[t]);
        for (unsigned n = 1; n <= N_PORTIONS; n++) {
            c->step = 1 + n % 300;
            atomic_store(&c->next, 0);
            qn_pool_run(pool, work, c);
            assert_int_equal(atomic_load(&c->n_inside), 0);
            if (n % 1000 == 1) { /* long enough for the threads to sleep */
                const struct timespec nap = {.tv_nsec = 5000000};
                (void)nanosleep(&nap, NULL);
            }
        }
        for (size_t i = 0; i < N_ITEMS; i++) {
            assert_int_equal(atomic_load(&c->done[i]), N_PORTIONS);
        }
        assert_false(atomic_load(&c->was_unknown));
        free(c);
        qn_pool_free(pool);
    }
}

static void test_ends(void **state) {
    (void)state;
    qn_pool_free(NULL);
    for (int i = 0; i < 50; i++) { /* without any work */
        qn_pool *pool = qn_pool_new(4);
        assert_non_null(pool);
        qn_pool_free(pool);
    }
    qn_pool *one = qn_pool_new(0);
    assert_int_equal(qn_pool_threads(one), 1);
    qn_pool_free(one);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_item_once),
        cmocka_unit_test(test_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
