/* SPDX-License-Identifier: MIT */
/* test_imatrix_writer.c: what is written is read back, in both formats; sums stay sums; failures leave nothing. */
#include "support.h"

#include "container/imatrix.h"

#include <math.h>

static const float plain_sums[] = {3, 6, 0.75F};
static const double plain_counts[] = {3};
static const float expert_sums[] = {10, 20, 0, 0, 1, 3};
static const double expert_counts[] = {10, 0, 2};
static const float silent_sums[] = {0};
static const double silent_counts[] = {0};

static const qn_imatrix_sums entries[] = {
    {"blk.0.ffn_down_exps.weight", 2, 3, expert_sums, expert_counts},
    {"blk.0.ffn_up.weight", 3, 1, plain_sums, plain_counts},
    {"blk.1.ffn_up.weight", 1, 1, silent_sums, silent_counts},
};
static const char *const datasets[] = {"a.txt", "b.txt"};

enum { N_ENTRIES = sizeof entries / sizeof entries[0] };

static qn_imatrix_facts facts_of(bool is_legacy) {
    return (qn_imatrix_facts){
        .datasets = datasets, .n_datasets = 2, .n_chunks = 7, .chunk_size = 4, .is_legacy = is_legacy};
}

static char *temp_dir;

static qn_imatrix *write_and_open(const qn_imatrix_facts *facts, bool sums) {
    char *path = join_path(temp_dir, facts->is_legacy ? "m.dat" : "m.gguf");
    char *part = join_path(temp_dir, facts->is_legacy ? "m.dat.part" : "m.gguf.part");
    qn_imatrix *m = NULL;
    qn_error err;
    assert_ok(&err, qn_imatrix_write(path, facts, entries, N_ENTRIES, &err));
    assert_false(path_exists(part));
    assert_ok(&err, sums ? qn_imatrix_open_sums(path, &m, &err) : qn_imatrix_open(path, &m, &err));
    free(path);
    free(part);
    return m;
}

static void check_values(const qn_imatrix_entry *e, const float *wanted, uint64_t n) {
    assert_non_null(e);
    assert_int_equal(e->n_values, n);
    for (uint64_t i = 0; i < n; i++) {
        assert_true(fabsf(e->values[i] - wanted[i]) <= 1e-6F * wanted[i]);
    }
}

/* Experts that were never seen count alike; entries that saw nothing are not there. */
static void means_come_back(void **state) {
    static const float plain[] = {1, 2, 0.25F};
    static const float experts[] = {1, 2, 1, 1, 0.5F, 1.5F};
    (void)state;
    for (int is_legacy = 0; is_legacy < 2; is_legacy++) {
        const qn_imatrix_facts facts = facts_of(is_legacy != 0);
        qn_imatrix *m = write_and_open(&facts, false);
        assert_int_equal(m->is_legacy, is_legacy);
        assert_int_equal(m->n_entries, 2);
        assert_int_equal(m->n_chunks, 7);
        assert_int_equal(m->chunk_size, is_legacy ? 0 : 4);
        assert_int_equal(m->n_datasets, is_legacy ? 1 : 2);
        assert_string_equal(m->datasets[m->n_datasets - 1], "b.txt");
        assert_null(m->state.job);
        check_values(qn_imatrix_find(m, "blk.0.ffn_up.weight"), plain, 3);
        check_values(qn_imatrix_find(m, "blk.0.ffn_down_exps.weight"), experts, 6);
        qn_imatrix_close(m);
    }
}

static void sums_come_back(void **state) {
    /* legacy: means times calls, as many as 10 and 3 tokens are chunks of 4 */
    static const float legacy_experts[] = {3, 6, 3, 3, 1.5F, 4.5F};
    qn_imatrix_facts facts = facts_of(false);
    (void)state;
    facts.state = (qn_imatrix_state){.job = "a job", .n_chunks = 5};
    qn_imatrix *m = write_and_open(&facts, true);
    assert_string_equal(m->state.job, "a job");
    assert_int_equal(m->state.n_chunks, 5);
    check_values(qn_imatrix_find(m, "blk.0.ffn_down_exps.weight"), expert_sums, 6);
    check_values(qn_imatrix_find(m, "blk.0.ffn_up.weight"), plain_sums, 3);
    assert_true(m->entries[0].n_counts == 3 && m->entries[0].counts[2] == 2.0F);
    qn_imatrix_close(m);
    facts = facts_of(true);
    m = write_and_open(&facts, true);
    check_values(qn_imatrix_find(m, "blk.0.ffn_down_exps.weight"), legacy_experts, 6);
    assert_true(m->entries[0].n_counts == 1 && m->entries[0].counts[0] == 3.0F);
    qn_imatrix_close(m);
}

static void failures_leave_nothing(void **state) {
    const char *long_name = "blk.0.a_name_that_is_too_long_for_a_gguf_file_with_its_suffix.weight";
    const float sum = 1;
    const double count = 1;
    const double too_many = 1e13;
    const struct {
        const char *path;
        qn_imatrix_sums entry;
        bool is_legacy;
        qn_status status;
        const char *message;
    } cases[] = {
        {"m.gguf", {long_name, 1, 1, &sum, &count}, false, QN_E_RANGE, long_name},
        {"m.gguf", {"blk.0.x", 1, 1, &sum, silent_counts}, false, QN_E_RANGE, "nothing to write"},
        {"m.dat", {"blk.0.x", 1, 1, &sum, &too_many}, true, QN_E_RANGE, ".gguf file can hold it"},
        {"absent/m.gguf", {"blk.0.x", 1, 1, &sum, &count}, false, QN_E_IO, "absent/m.gguf.part"},
        {"absent/m.dat", {"blk.0.x", 1, 1, &sum, &count}, true, QN_E_IO, "absent/m.dat.part"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *dir = make_temp_dir();
        char *path = join_path(dir, cases[i].path);
        const qn_imatrix_facts facts = facts_of(cases[i].is_legacy);
        qn_error err;
        assert_status(&err, qn_imatrix_write(path, &facts, &cases[i].entry, 1, &err), cases[i].status);
        assert_message_has(&err, cases[i].message);
        assert_int_equal(rmdir(dir), 0); /* nothing is in it */
        free(path);
        free(dir);
    }
}

static int begin(void **state) {
    (void)state;
    temp_dir = make_temp_dir();
    return 0;
}

static int end(void **state) {
    (void)state;
    remove_temp_dir(temp_dir);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(means_come_back),
        cmocka_unit_test(sums_come_back),
        cmocka_unit_test(failures_leave_nothing),
    };
    return cmocka_run_group_tests(tests, begin, end);
}
