/* SPDX-License-Identifier: MIT */
/* test_worker.c: every worker runs once, events come one at a time, cancelling is seen. */
#include "support.h"

#include "base/hash.h"
#include "base/nearest.h"
#include "base/pool.h"
#include "base/worker.h"

#include <signal.h>
#include <stdatomic.h>
#include <time.h>

enum { N_WORKERS = 7, N_EVENTS = 200 };

typedef struct tally {
    qn_job *job;
    atomic_uint runs[N_WORKERS];
    unsigned n_events;
    unsigned n_warnings;
    double last_time;
    atomic_bool is_inside;
    bool was_crowded;
} tally;

static void on_event(void *user, const qn_event *event) {
    tally *t = user;
    if (atomic_exchange(&t->is_inside, true)) {
        t->was_crowded = true;
    }
    t->n_events++;
    t->n_warnings += event->kind == QN_EVENT_WARNING && strcmp(event->message, "w 3") == 0 ? 1 : 0;
    t->last_time = event->time_s;
    atomic_store(&t->is_inside, false);
}

static void work(void *shared, unsigned worker) {
    tally *t = shared;
    atomic_fetch_add(&t->runs[worker], 1);
    for (int i = 0; i < N_EVENTS; i++) {
        qn_job_emit(t->job, (qn_event){.kind = QN_EVENT_PROGRESS, .bytes_done = 1});
    }
}

static void every_worker_runs_once(void **state) {
    (void)state;
    tally t = {0};
    t.job = qn_job_new(3, on_event, &t);
    assert_int_equal(qn_job_threads(t.job), 3);
    qn_run_workers(N_WORKERS, work, &t);
    for (size_t i = 0; i < N_WORKERS; i++) {
        assert_int_equal(atomic_load(&t.runs[i]), 1);
    }
    assert_int_equal(t.n_events, N_WORKERS * N_EVENTS);
    assert_false(t.was_crowded);
    qn_job_warn(t.job, "w %d", 3);
    qn_job_note(t.job, "n");
    assert_int_equal(t.n_warnings, 1);
    assert_int_equal(t.n_events, N_WORKERS * N_EVENTS + 2);
    assert_true(t.last_time >= 0 && t.last_time <= qn_job_seconds(t.job));
    qn_job_free(t.job);
}

static void jobs_without_listeners_are_silent(void **state) {
    (void)state;
    qn_job *job = qn_job_new(0, NULL, NULL);
    assert_true(qn_job_threads(job) >= 1);
    qn_job_warn(job, "nobody hears this");
    qn_job_warn(NULL, "nor this");
    assert_false(qn_job_is_cancelled(job));
    qn_job_cancel(job);
    assert_true(qn_job_is_cancelled(job));
    assert_false(qn_job_is_cancelled(NULL));
    qn_job_free(job);
    qn_job_free(NULL);
    job = qn_job_new(100000, NULL, NULL);
    assert_int_equal(qn_job_threads(job), 1024);
    qn_job_free(job);
}

static void one_thread_is_the_caller(void **state) {
    (void)state;
    tally t = {0};
    qn_run_workers(1, work, &t);
    qn_run_workers(0, work, &t);
    assert_int_equal(atomic_load(&t.runs[0]), 2);
    assert_int_equal(atomic_load(&t.runs[1]), 0);
}

static void the_nearest_names_come_first(void **state) {
    (void)state;
    static const char *const names[] = {"Q4_K_M", "Q4_K_S", "Q5_K_M", "IQ4_XS", "F16", "BF16", "MXFP4_MOE"};
    const char *found[8];
    assert_int_equal(qn_edit_distance("", ""), 0);
    assert_int_equal(qn_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(qn_edit_distance("", "abc"), 3);
    assert_int_equal(qn_nearest("Q4_K_M", names, 7, found, 1), 1);
    assert_string_equal(found[0], "Q4_K_M");
    assert_true(qn_nearest("Q4KM", names, 7, found, 3) >= 1);
    assert_string_equal(found[0], "Q4_K_M");
    assert_int_equal(qn_nearest("FP16", names, 7, found, 2), 2);
    assert_true((strcmp(found[0], "F16") == 0 && strcmp(found[1], "BF16") == 0) ||
                (strcmp(found[0], "BF16") == 0 && strcmp(found[1], "F16") == 0));
    assert_int_equal(qn_nearest("zzzzzzzzzzzzzzzzzzzzzzzz", names, 1, found, 3), 0);
    assert_int_equal(qn_nearest("x", names, 7, found, 0), 0);
    assert_int_equal(qn_nearest("x", NULL, 0, found, 3), 0);
    char long_name[400];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(qn_edit_distance(long_name, "b"), 127);
}

/* The sums stand in files, so they must never change. XXH3 of the empty input with seed 0 is published. */
static void sums_are_the_same_everywhere(void **state) {
    (void)state;
    assert_true(qn_hash64("", 0, 0) == UINT64_C(0x2D06800538D394C2));
    assert_true(qn_hash64("quern", 5, 0) == qn_hash64("quern", 5, 0));
    assert_true(qn_hash64("quern", 5, 0) != qn_hash64("quern", 5, 1));
    assert_true(qn_hash64("quern", 5, 0) != qn_hash64("querm", 5, 0));
}

/* The signals that a thread takes: of worker 0, and of the other. */
typedef struct takers {
    atomic_uint n_seen;
    bool takes_stop[2];
    bool takes_fault[2];
} takers;

static void look_at_signals(void *shared, unsigned worker) {
    const struct timespec nap = {.tv_nsec = 1000000};
    takers *t = shared;
    sigset_t blocked;
    assert_int_equal(pthread_sigmask(SIG_BLOCK, NULL, &blocked), 0);
    t->takes_stop[worker] = sigismember(&blocked, SIGINT) == 0 || sigismember(&blocked, SIGCONT) == 0;
    t->takes_fault[worker] = sigismember(&blocked, SIGBUS) == 0;
    atomic_fetch_add(&t->n_seen, 1);
    for (int i = 0; i < 5000 && atomic_load(&t->n_seen) < 2; i++) { /* a pool does not wait for who has not begun */
        (void)nanosleep(&nap, NULL);
    }
}

static void workers_take_no_signals(void **state) {
    takers of_workers = {0};
    takers of_pool = {0};
    qn_pool *pool = qn_pool_new(2);
    (void)state;
    qn_run_workers(2, look_at_signals, &of_workers);
    qn_pool_run(pool, look_at_signals, &of_pool);
    qn_pool_free(pool);
    for (int i = 0; i < 2; i++) {
        const takers *t = i == 0 ? &of_workers : &of_pool;
        assert_int_equal(atomic_load(&t->n_seen), 2);
        assert_true(t->takes_stop[0] && t->takes_fault[0] && t->takes_fault[1]);
        assert_false(t->takes_stop[1]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_worker_runs_once),       cmocka_unit_test(jobs_without_listeners_are_silent),
        cmocka_unit_test(one_thread_is_the_caller),     cmocka_unit_test(the_nearest_names_come_first),
        cmocka_unit_test(sums_are_the_same_everywhere), cmocka_unit_test(workers_take_no_signals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
