/* SPDX-License-Identifier: MIT */
/* test_importance.c: sums of squared inputs by expert, chunks in work, files added up, and what does not fit. */
#include "support.h"

#include "calib/importance.h"

#include <math.h>

static char *temp_dir;

static const char up[] = "blk.0.ffn_up.weight";
static const char experts[] = "blk.0.ffn_down_exps.weight";

static void take(qn_importance *im, const char *name, uint64_t expert, uint64_t n_experts, const float *x,
                 uint64_t n_rows, uint64_t n_cols) {
    qn_importance_take(im, name, expert, n_experts, x, n_rows, n_cols);
}

static const qn_importance_entry *entry_of(const qn_importance *im, const char *name) {
    for (uint64_t i = 0; i < im->n; i++) {
        if (strcmp(im->entries[i].name, name) == 0) {
            return &im->entries[i];
        }
    }
    print_error("no entry %s\n", name);
    fail();
    return NULL;
}

/* @param sums [n_matrices, n_cols] @param counts [n_matrices] */
static void check(const qn_importance_entry *e, uint64_t n_matrices, uint64_t n_cols, const float *sums,
                  const double *counts) {
    assert_int_equal(e->n_matrices, n_matrices);
    assert_int_equal(e->n_cols, n_cols);
    for (uint64_t i = 0; i < n_matrices * n_cols; i++) {
        assert_true(fabsf(e->sums[i] - sums[i]) <= 1e-6F * sums[i]);
    }
    for (uint64_t m = 0; m < n_matrices; m++) {
        assert_true(e->counts[m] == counts[m]);
    }
}

static void begin(qn_importance *im) {
    qn_error err;
    assert_ok(&err, qn_importance_init(im, &err));
}

/* Rows of (1, 2), (3, -4) for a plain matrix; experts 0 and 2 of three see one and two rows. */
static void show(qn_importance *im) {
    static const float rows[] = {1, 2, 3, -4};
    take(im, up, 0, 1, rows, 2, 2);
    take(im, experts, 0, 3, rows, 1, 2);
    take(im, experts, 2, 3, rows, 1, 2);
    take(im, experts, 2, 3, rows + 2, 1, 2);
    take(im, "output.weight", 0, 1, rows, 2, 2);
}

static void sums_are_added_when_chunks_are_done(void **state) {
    static const float plain[] = {10, 20};
    static const float plain2[] = {20, 40};
    static const float stacked[] = {1, 4, 0, 0, 10, 20};
    static const double counts[] = {1, 0, 2};
    qn_importance im;
    qn_error err;
    (void)state;
    begin(&im);
    show(&im);
    assert_int_equal(im.n, 2); /* the output matrix is not asked for */
    check(entry_of(&im, up), 1, 2, (const float[]){0, 0}, (const double[]){0});
    assert_ok(&err, qn_importance_commit(&im, 2, &err));
    check(entry_of(&im, up), 1, 2, plain, (const double[]){2});
    check(entry_of(&im, experts), 3, 2, stacked, counts);
    assert_ok(&err, qn_importance_commit(&im, 0, &err)); /* nothing new */
    check(entry_of(&im, up), 1, 2, plain, (const double[]){2});
    im.takes_all = true;
    show(&im);
    assert_ok(&err, qn_importance_commit(&im, 2, &err));
    assert_int_equal(im.n, 3);
    check(entry_of(&im, up), 1, 2, plain2, (const double[]){4});
    assert_true(im.n_tokens == 4);
    qn_importance_clear(&im);
}

static void threads_change_nothing(void **state) {
    enum { ROWS = 70, COLS = 1000 };
    float *x = calloc(ROWS * COLS, sizeof *x);
    qn_pool *pool = qn_pool_new(3);
    qn_importance im[2];
    qn_error err;
    (void)state;
    assert_non_null(x);
    for (int i = 0; i < ROWS * COLS; i++) {
        x[i] = (float)((i * 7919) % 2003 - 1001) / 1000.0F;
    }
    for (int k = 0; k < 2; k++) {
        begin(&im[k]);
        im[k].pool = k == 0 ? NULL : pool;
        take(&im[k], up, 0, 1, x, ROWS, COLS);
        assert_ok(&err, qn_importance_commit(&im[k], ROWS, &err));
    }
    assert_memory_equal(im[0].entries[0].sums, im[1].entries[0].sums, COLS * sizeof(float));
    qn_importance_clear(&im[0]);
    qn_importance_clear(&im[1]);
    qn_pool_free(pool);
    free(x);
}

static char *write_matrix(const qn_importance *im, const char *name, uint64_t chunk_size) {
    char *path = join_path(temp_dir, name);
    const qn_imatrix_facts facts = {.chunk_size = chunk_size, .is_legacy = strstr(name, ".dat") != NULL};
    qn_error err;
    assert_ok(&err, qn_importance_write(im, path, &facts, &err));
    return path;
}

static qn_status merge(qn_importance *im, const char *path, uint64_t chunk_size, qn_error *err) {
    qn_imatrix *matrix = NULL;
    assert_ok(err, qn_imatrix_open_sums(path, &matrix, err));
    const qn_status status = qn_importance_merge(im, matrix, chunk_size, err);
    qn_imatrix_close(matrix);
    return status;
}

/* A file, and what is read from it, twice: everything doubles, names stay single. */
static void files_are_added_up(void **state) {
    static const float plain[] = {20, 40};
    static const float stacked[] = {2, 8, 0, 0, 20, 40};
    static const double counts[] = {2, 0, 4};
    qn_importance im;
    qn_importance sum;
    qn_error err;
    (void)state;
    begin(&im);
    show(&im);
    assert_ok(&err, qn_importance_name(&im, "a.txt", &err));
    assert_ok(&err, qn_importance_commit(&im, 6, &err));
    char *path = write_matrix(&im, "a.gguf", 4);
    begin(&sum);
    assert_ok(&err, merge(&sum, path, 512, &err));
    assert_ok(&err, merge(&sum, path, 512, &err));
    check(entry_of(&sum, up), 1, 2, plain, (const double[]){4});
    check(entry_of(&sum, experts), 3, 2, stacked, counts);
    assert_int_equal(sum.n_datasets, 1);
    assert_true(sum.n_tokens == 16); /* 6 tokens are two chunks of 4 */
    assert_string_equal(qn_importance_stranger(&sum)->source, path);
    show(&sum);
    assert_null(qn_importance_stranger(&sum));
    qn_importance_clear(&im);
    qn_importance_clear(&sum);
    free(path);
}

/* Legacy: means times calls, one count for all experts; an expert that saw nothing counts alike. */
static void legacy_files_are_added_up(void **state) {
    /* two calls of 1 token as the most used expert saw 2: means (1, 4), 1, (5, 10) times 2 */
    static const float legacy[] = {2, 8, 2, 2, 10, 20};
    static const float both[] = {3, 12, 2, 2, 20, 40};
    static const double counts[] = {3, 2, 4};
    qn_importance im;
    qn_importance sum;
    qn_error err;
    (void)state;
    begin(&im);
    show(&im);
    assert_ok(&err, qn_importance_commit(&im, 2, &err));
    char *path = write_matrix(&im, "a.dat", 1);
    begin(&sum);
    assert_ok(&err, merge(&sum, path, 1, &err));
    assert_int_equal(entry_of(&sum, experts)->n_matrices, 1);
    check(entry_of(&sum, experts), 1, 6, legacy, (const double[]){2});
    show(&sum); /* the model tells how many experts there are */
    assert_ok(&err, qn_importance_commit(&sum, 2, &err));
    assert_int_equal(entry_of(&sum, experts)->n_matrices, 3);
    check(entry_of(&sum, experts), 3, 2, both, counts);
    qn_importance_clear(&sum);
    begin(&sum);
    show(&sum); /* the other way round */
    assert_ok(&err, qn_importance_commit(&sum, 2, &err));
    assert_ok(&err, merge(&sum, path, 1, &err));
    check(entry_of(&sum, experts), 3, 2, both, counts);
    qn_importance_clear(&im);
    qn_importance_clear(&sum);
    free(path);
}

static void what_does_not_fit_is_refused(void **state) {
    static const float rows[] = {1, 2, 3, 4};
    static const struct { uint64_t n_experts, n_cols; } shapes[] = {{1, 4}, {2, 2}, {1, 1}};
    qn_importance im;
    qn_error err;
    (void)state;
    begin(&im);
    show(&im);
    assert_ok(&err, qn_importance_commit(&im, 2, &err));
    char *path = write_matrix(&im, "shapes.gguf", 4);
    qn_importance_clear(&im);
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        begin(&im);
        take(&im, up, 0, shapes[i].n_experts, rows, 1, shapes[i].n_cols);
        assert_ok(&err, qn_importance_commit(&im, 1, &err));
        assert_status(&err, merge(&im, path, 4, &err), QN_E_USAGE);
        assert_message_has(&err, path);
        assert_message_has(&err, up);
        qn_importance_clear(&im);
        begin(&im);
        assert_ok(&err, merge(&im, path, 4, &err));
        take(&im, up, 0, shapes[i].n_experts, rows, 1, shapes[i].n_cols);
        assert_status(&err, qn_importance_commit(&im, 1, &err), QN_E_USAGE);
        assert_message_has(&err, path);
        qn_importance_clear(&im);
    }
    free(path);
}

static void inputs_must_be_finite(void **state) {
    static const float bad[][2] = {{1, NAN}, {INFINITY, 1}, {1, 1e30F}};
    qn_importance im;
    qn_error err;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        begin(&im);
        take(&im, up, 0, 1, bad[i], 1, 2);
        assert_status(&err, qn_importance_commit(&im, 1, &err), QN_E_RANGE);
        assert_message_has(&err, up);
        qn_importance_clear(&im);
    }
}

static int begin_all(void **state) {
    (void)state;
    temp_dir = make_temp_dir();
    return 0;
}

static int end_all(void **state) {
    (void)state;
    remove_temp_dir(temp_dir);
    return 0;
}

static void chunks_of_all_tokens(void **state) {
    static const struct {
        double n_tokens;
        uint64_t n;
    } rows[] = {{0, 0}, {512, 1}, {513, 2}, {9e17, UINT64_C(1757812500000000)}};
    const qn_imatrix lies = {.path = "a.gguf", .n_chunks = UINT64_MAX, .chunk_size = UINT64_MAX};
    qn_importance im;
    qn_error err;
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        im = (qn_importance){.n_tokens = rows[i].n_tokens};
        assert_int_equal(qn_importance_chunks(&im, 512), rows[i].n);
    }
    begin(&im);
    assert_status(&err, qn_importance_merge(&im, &lies, 512, &err), QN_E_RANGE);
    assert_message_has(&err, "a.gguf");
    qn_importance_clear(&im);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sums_are_added_when_chunks_are_done),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(files_are_added_up),
        cmocka_unit_test(legacy_files_are_added_up),
        cmocka_unit_test(what_does_not_fit_is_refused),
        cmocka_unit_test(inputs_must_be_finite),
        cmocka_unit_test(chunks_of_all_tokens),
    };
    return cmocka_run_group_tests(tests, begin_all, end_all);
}
