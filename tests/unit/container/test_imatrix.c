/* SPDX-License-Identifier: MIT */
/* test_imatrix.c: importance matrices in both formats give the same values; broken ones are refused. */
#include "support.h"

#include "assemble.h"
#include "container/imatrix.h"

#include <math.h>

#define GGUF_FILE QN_TEST_DATA_DIR "/gguf/imatrix.gguf"
#define LEGACY_FILE QN_TEST_DATA_DIR "/gguf/imatrix_legacy.dat"

static char *temp_dir;

static qn_imatrix *open_ok(const char *path) {
    qn_imatrix *m = NULL;
    qn_error err;
    assert_ok(&err, qn_imatrix_open(path, &m, &err));
    return m;
}

static void check_near(float found, double wanted) {
    assert_true(fabs((double)found - wanted) <= 1e-6 * fabs(wanted));
}

static void a_gguf_matrix_is_read(void **state) {
    (void)state;
    qn_imatrix *m = open_ok(GGUF_FILE);
    assert_false(m->is_legacy);
    assert_string_equal(m->path, GGUF_FILE);
    assert_int_equal(m->n_entries, 2);
    assert_int_equal(m->n_chunks, 3);
    assert_int_equal(m->n_datasets, 1);
    assert_string_equal(m->datasets[0], "calib.txt");
    const qn_imatrix_entry *experts = qn_imatrix_find(m, "blk.0.ffn_down_exps.weight");
    assert_ptr_equal(experts, &m->entries[0]);
    assert_int_equal(experts->n_values, 64);
    assert_int_equal(experts->n_counts, 2);
    assert_true(experts->counts[0] == 1000.0F && experts->counts[1] == 536.0F);
    check_near(experts->values[0], 7697.681 / 1000);
    const qn_imatrix_entry *up = qn_imatrix_find(m, "blk.0.ffn_up.weight");
    assert_int_equal(up->n_values, 32);
    assert_int_equal(up->n_counts, 1);
    check_near(up->values[0], 0.5);
    assert_null(qn_imatrix_find(m, "blk.0.ffn_up"));
    assert_null(qn_imatrix_find(m, "blk.1.ffn_up.weight"));
    qn_imatrix_close(m);
    qn_imatrix_close(NULL);
}

/* The legacy file holds the same matrix; the second expert's calls were fewer, its values are the same. */
static void check_same(const qn_imatrix *a, const qn_imatrix *b) {
    assert_int_equal(a->n_entries, b->n_entries);
    assert_int_equal(a->n_datasets, b->n_datasets);
    assert_int_equal(a->n_chunks, b->n_chunks);
    for (uint64_t i = 0; i < a->n_entries; i++) {
        assert_string_equal(a->entries[i].name, b->entries[i].name);
        assert_int_equal(a->entries[i].n_values, b->entries[i].n_values);
        for (uint64_t k = 0; k < a->entries[i].n_values; k++) {
            check_near(b->entries[i].values[k], (double)a->entries[i].values[k]);
        }
    }
}

static void both_formats_give_the_same(void **state) {
    (void)state;
    qn_imatrix *gguf = open_ok(GGUF_FILE);
    qn_imatrix *legacy = open_ok(LEGACY_FILE);
    assert_true(legacy->is_legacy);
    assert_int_equal(legacy->entries[0].n_counts, 1);
    assert_true(legacy->entries[0].counts[0] == 3.0F);
    check_same(gguf, legacy);
    qn_imatrix_close(gguf);
    qn_imatrix_close(legacy);
}

static void the_sample_is_the_same_in_both_formats(void **state) {
    (void)state;
    const char *shared = getenv("QUERN_SHARED");
    char gguf_path[1024];
    char legacy_path[1024];
    const char *root = shared == NULL ? QN_SAMPLES_DIR "/../../shared" : shared;
    (void)snprintf(gguf_path, sizeof gguf_path, "%s/samples/expected/imatrix.gguf", root);
    (void)snprintf(legacy_path, sizeof legacy_path, "%s/samples/expected/imatrix.dat", root);
    if (!path_exists(gguf_path) || !path_exists(legacy_path)) {
        print_message("skipped: %s is absent (QUERN_SHARED says where the shared data are)\n", gguf_path);
        skip();
    }
    qn_imatrix *gguf = open_ok(gguf_path);
    qn_imatrix *legacy = open_ok(legacy_path);
    assert_int_equal(gguf->n_entries, 28);
    check_same(gguf, legacy);
    qn_imatrix_close(gguf);
    qn_imatrix_close(legacy);
}

/* Keys of a GGUF matrix, and a GGUF file of them and two tensors. "u:1065353216" is 1, "u:1073741824" 2. */
#define KEYS "s:imatrix.datasets u:9 u:8 q:0 s:imatrix.chunk_count u:4 u:7 s:imatrix.chunk_size u:4 u:512"
#define HEAD2 "=GGUF u:3 q:2 q:3 " KEYS
#define SUMS2 " s:w.in_sum2 u:2 q:2 q:1 u:0 q:0"
#define COUNTS1 " s:w.counts u:2 q:1 q:1 u:0 q:32"
#define ONE "u:1065353216"
#define TWO "u:1073741824"
#define INF "u:0x7F800000"
#define NAN_BITS "u:0x7FC00000"
#define MINUS_ONE "u:0xBF800000"
/* A legacy entry "w" up to its values. */
#define ENTRY(calls, n) "u:1 =w u:" #calls " u:" #n

static const struct {
    const char *line;
    qn_status status;
    const char *told;
} CASES[] = {
    /* What is right must pass. */
    {HEAD2 SUMS2 COUNTS1 " a:32 " ONE " " TWO " a:32 " TWO " a:32", QN_OK, ""},
    {"=GGUF u:3 q:3 q:3 " KEYS SUMS2 COUNTS1 " s:w.in_sum u:1 q:1 u:0 q:64 a:32 z:4 a:32 z:4 a:32 z:4", QN_OK, ""},
    {"u:1 " ENTRY(1, 1) " " ONE, QN_OK, ""},
    {"u:1 " ENTRY(1, 1) " " ONE " u:5", QN_OK, ""},
    {"u:1 " ENTRY(1, 1) " " ONE " u:5 u:4 =text", QN_OK, ""},
    {"u:1 " ENTRY(0, 1) " " ONE, QN_OK, ""},
    {"u:1 " ENTRY(0xFFFFFFFF, 1) " " ONE, QN_OK, ""},

    {"=GGUF u:3 q:0 q:0", QN_E_FORMAT, "without the key imatrix.datasets: no importance matrix"},
    {"=GGUF u:3 q:0 q:1 s:imatrix.datasets u:9 u:8 q:0", QN_E_FORMAT, "without the key imatrix.chunk_count"},
    {"=GGUF u:3 q:0 q:3 s:imatrix.datasets u:4 u:0 s:imatrix.chunk_count u:4 u:7 s:imatrix.chunk_size u:4 u:1",
     QN_E_FORMAT, "imatrix keys are of wrong types"},
    {"=GGUF u:3 q:0 q:3 s:imatrix.datasets u:9 u:8 q:0 s:imatrix.chunk_count u:5 u:0xFFFFFFFF s:imatrix.chunk_size "
     "u:4 u:1",
     QN_E_FORMAT, "imatrix keys are of wrong types"},
    {"=GGUF u:3 q:0 q:3 " KEYS, QN_E_FORMAT, "has no entries"},
    {"=GGUF u:3 q:1 q:3 " KEYS SUMS2 " a:32 z:32", QN_E_FORMAT, "'w.in_sum2' has no 'w.counts' beside it"},
    {"=GGUF u:3 q:1 q:3 " KEYS " s:w.counts u:1 q:1 u:0 q:0 a:32 z:32", QN_E_FORMAT,
     "'w.counts' has no 'w.in_sum2' beside it"},
    {HEAD2 " s:w.in_sum2 u:2 q:2 q:1 u:1 q:0" COUNTS1 " a:32 z:64", QN_E_FORMAT, "'w.in_sum2' is of type F16"},
    {HEAD2 SUMS2 " s:w.counts u:1 q:1 u:26 q:32 a:32 z:64", QN_E_FORMAT, "'w.counts' is of type I32"},
    {HEAD2 SUMS2 " s:w.counts u:2 q:1 q:2 u:0 q:32 a:32 z:64", QN_E_FORMAT, "has 2 counts for the 1 matrices"},
    {HEAD2 SUMS2 " s:w.counts u:2 q:1 q:0 u:0 q:32 a:32 z:64", QN_E_FORMAT, "'w.counts' is empty"},
    {HEAD2 " s:w.in_sum2 u:2 q:0 q:1 u:0 q:0 s:w.counts u:2 q:1 q:1 u:0 q:0 a:32 z:64", QN_E_FORMAT,
     "'w.in_sum2' is empty"},
    {HEAD2 SUMS2 COUNTS1 " a:32 " ONE " " NAN_BITS " a:32 " ONE " a:32", QN_E_FORMAT, "entry 'w': value 1 is nan"},
    {HEAD2 SUMS2 COUNTS1 " a:32 " INF " " ONE " a:32 " ONE " a:32", QN_E_FORMAT, "entry 'w': value 0 is inf"},
    {HEAD2 SUMS2 COUNTS1 " a:32 " MINUS_ONE " " ONE " a:32 " ONE " a:32", QN_E_FORMAT, "value 0 is -1 of 1 tokens"},
    {HEAD2 SUMS2 COUNTS1 " a:32 " ONE " " MINUS_ONE " a:32 u:0 a:32", QN_E_FORMAT, "value 1 is -1 of 0 tokens"},
    {HEAD2 SUMS2 COUNTS1 " a:32 " ONE " " ONE " a:32 " MINUS_ONE " a:32", QN_E_FORMAT, "holds -1, which is no count"},
    {HEAD2 SUMS2 COUNTS1 " a:32 " ONE " " ONE " a:32 " NAN_BITS " a:32", QN_E_FORMAT, "which is no count"},
    {HEAD2 SUMS2 COUNTS1 " a:32 " ONE " " ONE " a:32 u:1 a:32", QN_E_FORMAT, "value 0 is 1 of"},
    {HEAD2 SUMS2 COUNTS1 " a:32 " ONE, QN_E_FORMAT, "cut off"},

    {"z:0", QN_E_FORMAT, "byte 0: a list of entries does not fit into the 0 bytes left"},
    {"u:0", QN_E_FORMAT, "a list of entries does not fit"},
    {"u:0xFFFFFFFF z:64", QN_E_FORMAT, "a list of entries does not fit into the 68 bytes left"},
    {"u:4 z:64", QN_E_FORMAT, "a list of entries does not fit"},
    {"=PK z:64", QN_E_FORMAT, "a list of entries does not fit"},
    {"u:1 u:0 z:32", QN_E_FORMAT, "byte 4: an entry's name is 0 bytes long; 1 to 1,024 are expected"},
    {"u:1 u:0xFFFFFFFF z:32", QN_E_FORMAT, "an entry's name is 4,294,967,295 bytes long"},
    {"u:1 u:100 z:32", QN_E_FORMAT, "an entry's name does not fit into the 32 bytes left"},
    {"u:1 u:2 =w z:1 u:1 u:1 " ONE, QN_E_FORMAT, "byte 8: an entry's name holds a zero byte"},
    {"u:1 " ENTRY(1, 0) " z:32", QN_E_FORMAT, "an entry's list of values does not fit"},
    {"u:1 " ENTRY(1, 0x40000001) " " ONE, QN_E_FORMAT, "an entry's list of values does not fit"},
    {"u:1 " ENTRY(1, 2) " " ONE, QN_E_FORMAT, "an entry's list of values does not fit into the 4 bytes left"},
    {"u:1 " ENTRY(1, 1) " " NAN_BITS, QN_E_FORMAT, "entry 'w': value 0 is nan"},
    {"u:1 " ENTRY(1, 1) " " MINUS_ONE, QN_E_FORMAT, "value 0 is -1"},
    {"u:2 " ENTRY(1, 1) " " ONE " " ENTRY(1, 1) " " ONE, QN_E_FORMAT, "two entries named 'w'"},
    {"u:2 " ENTRY(1, 1) " " ONE " " ENTRY(1, 1), QN_E_FORMAT, "cut off"},
    {"u:1 " ENTRY(1, 1) " " ONE " b:5", QN_E_FORMAT, "the number of chunks does not fit into the 1 bytes left"},
    {"u:1 " ENTRY(1, 1) " " ONE " u:5 b:1", QN_E_FORMAT, "the data set's name does not fit"},
    {"u:1 " ENTRY(1, 1) " " ONE " u:5 u:5 =text", QN_E_FORMAT, "the data set's name does not fit into the 4 bytes"},
    {"u:1 " ENTRY(1, 1) " " ONE " u:5 u:4 =texts", QN_E_FORMAT, "1 bytes lie behind its end"},
    {"=version b:32 =https://git-lfs.github.com/spec/v1 b:10", QN_E_NOT_FOUND, "Git"},
};

static qn_status open_line(const char *line, qn_imatrix **out, qn_error *err) {
    qn_buffer b = {0};
    assemble(&b, line);
    char *path = write_file(temp_dir, "imatrix.bin", b.data == NULL ? (const void *)"" : b.data, b.len);
    const qn_status status = qn_imatrix_open(path, out, err);
    free(path);
    qn_buffer_clear(&b);
    return status;
}

static void broken_matrices_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        qn_imatrix *m = NULL;
        qn_error err = {0};
        const qn_status status = open_line(CASES[i].line, &m, &err);
        if (status != CASES[i].status || (status != QN_OK && strstr(err.message, CASES[i].told) == NULL)) {
            print_error("case %zu: %s\n", i, CASES[i].line);
        }
        assert_status(&err, status, CASES[i].status);
        if (status == QN_OK) {
            assert_int_equal(m->n_entries, 1);
            assert_string_equal(m->entries[0].name, "w");
        } else {
            assert_message_has(&err, CASES[i].told);
            assert_message_has(&err, "imatrix.bin");
            assert_null(m);
        }
        qn_imatrix_close(m);
    }
}

static void values_are_means(void **state) {
    (void)state;
    static const struct {
        const char *line;
        float first, last;
        uint64_t n_chunks;
    } cases[] = {
        {HEAD2 SUMS2 COUNTS1 " a:32 " ONE " " TWO " a:32 " TWO " a:32", 0.5F, 1.0F, 7},
        /* never seen: all ones */
        {HEAD2 SUMS2 COUNTS1 " a:32 u:0 " TWO " a:32 u:0 a:32", 1.0F, 1.0F, 7},
        /* two matrices, one count for both; and one count each, the second never seen */
        {HEAD2 " s:w.in_sum2 u:2 q:1 q:2 u:0 q:0" COUNTS1 " a:32 " ONE " " TWO " a:32 " TWO " a:32", 0.5F, 1.0F, 7},
        {HEAD2 " s:w.in_sum2 u:2 q:1 q:2 u:0 q:0 s:w.counts u:2 q:1 q:2 u:0 q:32 a:32 " TWO " " TWO " a:32 " TWO
               " u:0 a:32",
         1.0F, 1.0F, 7},
        {"u:1 " ENTRY(2, 2) " " ONE " " TWO " u:9", 0.5F, 1.0F, 9},
        {"u:1 " ENTRY(0, 2) " " ONE " " TWO, 1.0F, 2.0F, 0},
        {"u:1 " ENTRY(0x80000000, 2) " " ONE " " TWO, 1.0F, 2.0F, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_imatrix *m = NULL;
        qn_error err;
        assert_ok(&err, open_line(cases[i].line, &m, &err));
        assert_int_equal(m->entries[0].n_values, 2);
        assert_true(m->entries[0].values[0] == cases[i].first);
        assert_true(m->entries[0].values[1] == cases[i].last);
        assert_int_equal(m->n_chunks, cases[i].n_chunks);
        qn_imatrix_close(m);
    }
}

static void a_file_cut_at_any_byte_is_refused(void **state) {
    (void)state;
    static const char *const paths[] = {GGUF_FILE, LEGACY_FILE};
    for (size_t p = 0; p < 2; p++) {
        size_t n = 0;
        size_t n_accepted = 0;
        unsigned char *bytes = read_file(paths[p], &n);
        for (size_t cut = 0; cut < n; cut++) {
            char *path = write_file(temp_dir, "cut", bytes, cut);
            qn_imatrix *m = NULL;
            qn_error err;
            const qn_status status = qn_imatrix_open(path, &m, &err);
            n_accepted += status == QN_OK ? 1 : 0;
            assert_true(status == QN_OK || status == QN_E_FORMAT);
            qn_imatrix_close(m);
            free(path);
        }
        /* GGUF's last padding may be missing; the legacy file is whole without its tail and without its name. */
        assert_true(n_accepted <= (p == 0 ? 28 : 2));
        free(bytes);
    }
}

static void what_is_absent_is_not_found(void **state) {
    (void)state;
    qn_imatrix *m = NULL;
    qn_error err;
    assert_status(&err, qn_imatrix_open("/nowhere/imatrix.gguf", &m, &err), QN_E_NOT_FOUND);
    assert_message_has(&err, "/nowhere/imatrix.gguf");
    assert_status(&err, qn_imatrix_open(temp_dir, &m, &err), QN_E_IO);
}

static int set_up(void **state) {
    (void)state;
    temp_dir = make_temp_dir();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_temp_dir(temp_dir);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gguf_matrix_is_read),
        cmocka_unit_test(both_formats_give_the_same),
        cmocka_unit_test(the_sample_is_the_same_in_both_formats),
        cmocka_unit_test(broken_matrices_are_refused),
        cmocka_unit_test(values_are_means),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused),
        cmocka_unit_test(what_is_absent_is_not_found),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
