/* SPDX-License-Identifier: MIT */
/* test_journal.c: records come back; a damaged journal gives back no more than its good beginning; one writer only. */
#include "pack/journal.h"

#include "support.h"

#include <sys/wait.h>

enum { N_UNITS = 9, N_OUTPUTS = 2, N_FILES = 3, HEADER = 32, RECORD = 16 + 8 * N_OUTPUTS };

typedef struct fixture {
    char *dir;
    char *path;
    qn_stream_plan plan;
    qn_stream_state state;
    bool published[N_FILES + 1]; /* the last is none of the job's */
    qn_journal *journal;
} fixture;

static void clear_state(fixture *f) {
    qn_error err;
    qn_stream_state_clear(&f->state);
    assert_ok(&err, qn_stream_state_new(&f->plan, &f->state, &err));
    memset(f->published, 0, sizeof f->published);
}

static void begin(fixture *f) {
    *f = (fixture){.dir = make_temp_dir()};
    f->path = join_path(f->dir, "j");
    f->plan = (qn_stream_plan){.n_files = N_FILES, .n_outputs = N_OUTPUTS, .n_units = N_UNITS};
    clear_state(f);
}

static void end(fixture *f) {
    qn_journal_close(f->journal);
    qn_stream_state_clear(&f->state);
    free(f->path);
    remove_temp_dir(f->dir);
}

/* Opens as a new process would: with a fresh state. */
static qn_status reopen(fixture *f, uint64_t fingerprint, qn_error *err) {
    qn_journal_close(f->journal);
    f->journal = NULL;
    clear_state(f);
    return qn_journal_open(f->path, fingerprint, &f->plan, &f->state, f->published, &f->journal, err);
}

static uint64_t sum_of(uint64_t unit, uint32_t output) {
    return unit * 1000003U + output * 17U + 5U;
}

static void note(fixture *f, uint64_t unit) {
    const uint64_t hashes[N_OUTPUTS] = {sum_of(unit, 0), sum_of(unit, 1)};
    qn_error err;
    assert_ok(&err, qn_journal_unit(f->journal, unit, hashes, &err));
}

/* How many units are done; each must have the sums it was noted with. */
static unsigned count_done(const fixture *f) {
    unsigned n = 0;
    for (uint64_t i = 0; i < N_UNITS; i++) {
        n += f->state.is_done[i];
        for (uint32_t o = 0; o < N_OUTPUTS && f->state.is_done[i] != 0; o++) {
            assert_true(f->state.hashes[i * N_OUTPUTS + o] == sum_of(i, o));
        }
    }
    return n;
}

static void test_records_come_back(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    assert_ok(&err, reopen(&f, 7, &err));
    assert_int_equal(count_done(&f), 0);
    note(&f, 3);
    note(&f, 0);
    note(&f, 8);
    assert_ok(&err, qn_journal_published(f.journal, 1, &err));
    assert_ok(&err, reopen(&f, 7, &err));
    assert_int_equal(count_done(&f), 3);
    assert_true(f.state.is_done[3] && f.state.is_done[0] && f.state.is_done[8]);
    assert_true(!f.published[0] && f.published[1] && !f.published[2]);
    note(&f, 1); /* and it goes on behind them */
    assert_ok(&err, reopen(&f, 7, &err));
    assert_int_equal(count_done(&f), 4);
    qn_journal_remove(f.journal);
    f.journal = NULL;
    assert_false(path_exists(f.path));
    qn_journal_close(NULL);
    qn_journal_remove(NULL);
    end(&f);
}

/* Of another job, or of one cut otherwise: begun anew. */
static void test_other_jobs(void **state) {
    static const struct {
        uint64_t fingerprint, n_units;
        uint32_t n_outputs;
    } rows[] = {{8, N_UNITS, N_OUTPUTS}, {7, N_UNITS + 1, N_OUTPUTS}, {7, N_UNITS, N_OUTPUTS + 1}, {7, N_UNITS, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture f;
        qn_error err;
        size_t n = 0;
        begin(&f);
        assert_ok(&err, reopen(&f, 7, &err));
        note(&f, 3);
        assert_ok(&err, qn_journal_published(f.journal, 0, &err));
        f.plan.n_units = rows[i].n_units;
        f.plan.n_outputs = rows[i].n_outputs;
        assert_ok(&err, reopen(&f, rows[i].fingerprint, &err));
        assert_int_equal(f.state.is_done[3], 0);
        assert_false(f.published[0]);
        free(read_file(f.path, &n));
        assert_int_equal(n, HEADER);
        end(&f);
    }
}

/* A journal of every unit in turn and two files published, as bytes. Free them. */
static unsigned char *whole_journal(fixture *f, size_t *n) {
    qn_error err;
    assert_ok(&err, reopen(f, 7, &err));
    for (uint64_t i = 0; i < N_UNITS; i++) {
        note(f, i);
    }
    assert_ok(&err, qn_journal_published(f->journal, 2, &err));
    assert_ok(&err, qn_journal_published(f->journal, 0, &err));
    qn_journal_close(f->journal);
    f->journal = NULL;
    unsigned char *bytes = read_file(f->path, n);
    assert_int_equal(*n, HEADER + (N_UNITS + 2) * RECORD);
    return bytes;
}

/* Cut off anywhere: the records before the cut count, and the next one follows the last of them. */
static void test_cut_off(void **state) {
    fixture f;
    size_t n = 0;
    (void)state;
    begin(&f);
    unsigned char *bytes = whole_journal(&f, &n);
    for (size_t len = 0; len <= n; len += len < HEADER + 2 * RECORD ? 1 : 13) {
        qn_error err;
        size_t n_found = 0;
        free(write_file(f.dir, "j", bytes, len));
        assert_ok(&err, reopen(&f, 7, &err));
        const size_t n_records = len < HEADER ? 0 : (len - HEADER) / RECORD;
        assert_int_equal(count_done(&f), n_records < N_UNITS ? n_records : N_UNITS);
        assert_int_equal(f.published[2], n_records > N_UNITS);
        free(read_file(f.path, &n_found));
        assert_int_equal(n_found, HEADER + n_records * RECORD);
    }
    free(bytes);
    end(&f);
}

/* A bit flipped anywhere: the damaged record and those behind it are lost, never wrong. */
static void test_flipped_bits(void **state) {
    fixture f;
    size_t n = 0;
    (void)state;
    begin(&f);
    unsigned char *bytes = whole_journal(&f, &n);
    for (size_t at = 0; at < n; at++) {
        qn_error err;
        const unsigned char bit = (unsigned char)(1U << (at % 8));
        bytes[at] ^= bit;
        free(write_file(f.dir, "j", bytes, n));
        assert_ok(&err, reopen(&f, 7, &err));
        const size_t n_good = at < HEADER ? 0 : (at - HEADER) / RECORD;
        assert_int_equal(count_done(&f), n_good < N_UNITS ? n_good : N_UNITS);
        assert_int_equal(f.published[2], n_good > N_UNITS);
        assert_false(f.published[0] && n_good <= N_UNITS + 1);
        bytes[at] ^= bit;
    }
    free(bytes);
    end(&f);
}

/* Records that are whole but speak of what the job does not have. */
static void test_records_of_nothing(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    assert_ok(&err, reopen(&f, 7, &err));
    const uint64_t hashes[N_OUTPUTS] = {1, 2};
    assert_ok(&err, qn_journal_unit(f.journal, N_UNITS, hashes, &err));
    assert_ok(&err, qn_journal_unit(f.journal, 1ULL << 40, hashes, &err));
    assert_ok(&err, qn_journal_published(f.journal, N_FILES, &err));
    assert_ok(&err, qn_journal_published(f.journal, UINT32_MAX, &err));
    note(&f, 4);
    assert_ok(&err, reopen(&f, 7, &err));
    assert_int_equal(count_done(&f), 1);
    assert_true(f.state.is_done[4]);
    for (size_t i = 0; i <= N_FILES; i++) {
        assert_false(f.published[i]);
    }
    end(&f);
}

static void test_cannot_open(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    free(f.path);
    f.path = join_path(f.dir, "no/such/folder/j");
    assert_status(&err, reopen(&f, 7, &err), QN_E_IO);
    assert_message_has(&err, f.path);
    free(f.path);
    f.path = join_path(f.dir, "d");
    assert_int_equal(mkdir(f.path, 0777), 0);
    assert_status(&err, reopen(&f, 7, &err), QN_E_IO);
    assert_message_has(&err, f.path);
    end(&f);
}

/* A child holds the journal until told to end; the parent is refused, then let in. */
static void test_one_process_a_job(void **state) {
    fixture f;
    qn_error err;
    int ready[2];
    int stop[2];
    char byte = 0;
    (void)state;
    begin(&f);
    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(stop), 0);
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)close(stop[1]);
        const qn_status status = qn_journal_open(f.path, 7, &f.plan, &f.state, f.published, &f.journal, &err);
        const uint64_t hashes[N_OUTPUTS] = {sum_of(2, 0), sum_of(2, 1)};
        const bool is_good = status == QN_OK && qn_journal_unit(f.journal, 2, hashes, &err) == QN_OK;
        _exit(is_good && write(ready[1], "x", 1) == 1 && read(stop[0], &byte, 1) >= 0 ? 0 : 1);
    }
    (void)close(stop[0]);
    (void)close(ready[1]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_status(&err, reopen(&f, 7, &err), QN_E_EXISTS);
    assert_message_has(&err, "another quern process");
    assert_message_has(&err, f.path);
    assert_int_equal(count_done(&f), 0);
    (void)close(stop[1]);
    (void)close(ready[0]);
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    assert_ok(&err, reopen(&f, 7, &err));
    assert_int_equal(count_done(&f), 1); /* what the child had written was left alone */
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_come_back),
        cmocka_unit_test(test_other_jobs),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_flipped_bits),
        cmocka_unit_test(test_records_of_nothing),
        cmocka_unit_test(test_cannot_open),
        cmocka_unit_test(test_one_process_a_job),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
