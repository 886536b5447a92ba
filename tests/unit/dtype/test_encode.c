/* SPDX-License-Identifier: MIT */
/* test_encode.c: float32 rows to blocks: golden bytes, the same bytes at every level, and rows that are hard. */
#include "vectors.h"

#include <float.h>
#include <math.h>

enum { GOLDEN_COLS = 1024, MAX_ROWS = 8, GUARD = 64 };

/* Types whose bytes are the golden ones at normal effort, Q3_K with importance only. */
static const qn_dtype types[] = {QN_Q4_0,  QN_Q4_1,  QN_Q5_0,  QN_Q5_1,  QN_Q8_0,   QN_Q2_K,
                                 QN_Q3_K,  QN_Q4_K,  QN_Q5_K,  QN_Q6_K,  QN_IQ4_NL, QN_IQ4_XS,
                                 QN_TQ1_0, QN_TQ2_0, QN_MXFP4, QN_NVFP4, QN_Q1_0,   QN_Q2_0};
enum { N_TYPES = sizeof types / sizeof types[0] };

/* Types that ignore importance. */
static bool ignores_importance(qn_dtype type) {
    return type == QN_Q8_0 || type == QN_TQ1_0 || type == QN_TQ2_0 || type == QN_MXFP4 || type == QN_NVFP4 ||
        type == QN_Q1_0 || type == QN_Q2_0;
}

static const char *name_of(qn_dtype type) {
    return qn_dtype_get((uint32_t)type)->name;
}

/* Encodes into new memory with guard bytes around it, which must stay; *size is set. The caller frees. */
static unsigned char *encode_with(int level, qn_effort effort, qn_dtype type, const float *x, uint64_t n_rows,
                                  uint64_t n_cols, const float *importance, size_t *size) {
    qn_error err;
    uint64_t row_bytes = 0;
    assert_ok(&err, qn_row_size(type, n_cols, &row_bytes, &err));
    *size = n_rows * row_bytes;
    unsigned char *room = malloc(*size + 2 * GUARD);
    assert_non_null(room);
    memset(room, 0xA5, *size + 2 * GUARD);
    assert_ok(&err,
              qn_encode_rows((qn_cpu_level)level, effort, type, x, n_rows, n_cols, importance, room + GUARD, &err));
    for (size_t i = 0; i < GUARD; i++) {
        assert_int_equal(room[i], 0xA5);
        assert_int_equal(room[GUARD + *size + i], 0xA5);
    }
    memmove(room, room + GUARD, *size);
    return room;
}

static unsigned char *encode(int level, qn_dtype type, const float *x, uint64_t n_rows, uint64_t n_cols,
                             const float *importance, size_t *size) {
    return encode_with(level, QN_EFFORT_NORMAL, type, x, n_rows, n_cols, importance, size);
}

static void check_golden(qn_dtype type, const char *input, const char *set, const float *importance) {
    char name[64];
    size_t input_bytes = 0;
    size_t wanted_bytes = 0;
    float *x = read_vector(input, &input_bytes);
    (void)snprintf(name, sizeof name, "%s_%s_%s.bin", set, name_of(type), importance != NULL ? "imat" : "noimat");
    unsigned char *wanted = read_vector(name, &wanted_bytes);
    for (int level = 0; level <= top_level(); level++) {
        size_t size = 0;
        unsigned char *found = encode(level, type, x, input_bytes / sizeof *x / GOLDEN_COLS, GOLDEN_COLS, importance,
                                      &size);
        assert_int_equal(size, wanted_bytes);
        check_same_bytes(name, level, found, wanted, size);
        free(found);
    }
    free(x);
    free(wanted);
}

static void test_golden(void **state) {
    size_t size = 0;
    float *v = read_vector("enc_imatrix_1024.f32.bin", &size);
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        if (types[t] != QN_Q3_K) { /* plain, it has a search of its own: test_other_search() */
            check_golden(types[t], "enc_input_8x1024.f32.bin", "enc", NULL);
            check_golden(types[t], "enc_edge_4x1024.f32.bin", "edge", NULL);
        }
        check_golden(types[t], "enc_input_8x1024.f32.bin", "enc", v);
        check_golden(types[t], "enc_edge_4x1024.f32.bin", "edge", v);
    }
    free(v);
}

/* Rows of 256 that bring a search to its limits. */
enum { HARD_COLS = 256, N_HARD = 16 };

static float hard_value(int row, int col) {
    const float wave = (float)((col * 37) % 101 - 50) / 50.0F;
    switch (row) {
    case 0: return 0.0F;
    case 1: return -0.0F;
    case 2: return 0.75F;
    case 3: return -0.75F;
    case 4: return 1e-30F * wave;
    case 5: return 1e-40F * wave;
    case 6: return FLT_TRUE_MIN * (float)(col % 3);
    case 7: return 65504.0F * wave;
    case 8: return 1e30F * wave;
    case 9: return col % 2 == 0 ? FLT_MAX : -FLT_MAX;
    case 10: return col == 77 ? 100.0F : 1e-4F * wave;
    case 11: return col == 255 ? -3.0F : 0.0F;
    case 12: return col % 2 == 0 ? 0.5F : -0.5F;
    case 13: return col < 128 ? 0.0F : wave;
    case 14: return 1.0F + 1e-6F * wave;
    default: return 1e-15F * wave;
    }
}

static void fill_hard(float *x) {
    for (int r = 0; r < N_HARD; r++) {
        for (int c = 0; c < HARD_COLS; c++) {
            x[r * HARD_COLS + c] = hard_value(r, c);
        }
    }
}

static void check_levels(qn_effort effort, qn_dtype type, const float *x, const float *v) {
    size_t size = 0;
    unsigned char *wanted = encode_with(0, effort, type, x, N_HARD, HARD_COLS, v, &size);
    for (int level = 1; level <= top_level(); level++) {
        unsigned char *found = encode_with(level, effort, type, x, N_HARD, HARD_COLS, v, &size);
        check_same_bytes(name_of(type), level, found, wanted, size);
        free(found);
    }
    free(wanted);
}

static void test_levels_agree(void **state) {
    static float x[N_HARD * HARD_COLS];
    size_t bytes = 0;
    float *golden = read_vector("enc_input_8x1024.f32.bin", &bytes);
    float v[HARD_COLS];
    (void)state;
    fill_hard(x);
    for (int c = 0; c < HARD_COLS; c++) {
        v[c] = c % 16 == 3 || c / 32 == 2 ? 0.0F : 0.01F * (float)(c + 1);
    }
    for (size_t t = 0; t < N_TYPES; t++) {
        for (int effort = 0; effort < QN_N_EFFORTS; effort++) {
            check_levels((qn_effort)effort, types[t], x, NULL);
            check_levels((qn_effort)effort, types[t], x, v);
            check_levels((qn_effort)effort, types[t], golden, NULL);
            check_levels((qn_effort)effort, types[t], golden, v);
        }
    }
    free(golden);
}

static void check_rows_alone(int level, qn_effort effort, qn_dtype type, const float *x, const float *v) {
    for (uint64_t n_cols = 256; n_cols <= 768; n_cols += 256) {
        const uint64_t n_rows = MAX_ROWS * GOLDEN_COLS / n_cols;
        size_t size = 0;
        unsigned char *together = encode_with(level, effort, type, x, n_rows, n_cols, v, &size);
        for (uint64_t r = 0; r < n_rows; r++) {
            size_t row_bytes = 0;
            unsigned char *alone = encode_with(level, effort, type, x + r * n_cols, 1, n_cols, v, &row_bytes);
            check_same_bytes(name_of(type), level, together + r * row_bytes, alone, row_bytes);
            free(alone);
        }
        free(together);
    }
}

/* A row's bytes are its own: neither the other rows of a call nor how they fill the lanes matter. */
static void test_rows_are_independent(void **state) {
    size_t input_bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &input_bytes);
    size_t v_bytes = 0;
    float *v = read_vector("enc_imatrix_1024.f32.bin", &v_bytes);
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        for (int level = 0; level <= top_level(); level++) {
            check_rows_alone(level, QN_EFFORT_NORMAL, types[t], x, v);
        }
        check_rows_alone(top_level(), QN_EFFORT_BEST, types[t], x, v);
    }
    free(x);
    free(v);
}

static void check_round_trip(qn_effort effort, qn_dtype type, const float *x, float step) {
    static float y[N_HARD * HARD_COLS];
    qn_error err;
    size_t size = 0;
    unsigned char *packed = encode_with(top_level(), effort, type, x, N_HARD, HARD_COLS, NULL, &size);
    assert_ok(&err, qn_decode_rows(QN_CPU_SCALAR, type, packed, N_HARD, HARD_COLS, y, &err));
    for (int r = 0; r < N_HARD; r++) {
        float largest = 0.0F;
        for (int c = 0; c < HARD_COLS; c++) {
            largest = fmaxf(largest, fabsf(x[r * HARD_COLS + c]));
        }
        if (r == 8 || r == 9 || (r == 7 && type == QN_NVFP4)) {
            continue; /* no f16 scale reaches these, none of NVFP4 more than 2688 */
        }
        for (int c = 0; c < HARD_COLS; c++) {
            const float diff = fabsf(y[r * HARD_COLS + c] - x[r * HARD_COLS + c]);
            if (!(diff <= largest * step || largest < 1e-7F) || !isfinite(y[r * HARD_COLS + c])) {
                fail_msg("%s, effort %d, row %d, column %d: %g came back as %g", name_of(type), (int)effort, r, c,
                         (double)x[r * HARD_COLS + c], (double)y[r * HARD_COLS + c]);
            }
            assert_true(largest > 0.0F || y[r * HARD_COLS + c] == 0.0F);
        }
    }
    free(packed);
}

/* Round trips: zero stays zero, and no error is larger than a step of the type's grid. */
static void test_round_trip(void **state) {
    static float x[N_HARD * HARD_COLS];
    static const float steps[N_TYPES] = {1.0F / 7, 1.0F / 14, 1.0F / 15, 1.0F / 30, 1.0F / 200, 1.0F / 2,
                                         1.0F / 3, 1.0F / 7,  1.0F / 15, 1.0F / 20, 1.0F / 7,   1.0F / 7,
                                         0.51F,    0.51F,     1.0F / 4,  1.0F / 5,  2.0F,       0.51F};
    (void)state;
    fill_hard(x);
    for (size_t t = 0; t < N_TYPES; t++) {
        for (int effort = 0; effort < QN_N_EFFORTS; effort++) {
            check_round_trip((qn_effort)effort, types[t], x, steps[t]);
        }
    }
}

/* Sum of v·(decoded - x)² over the golden input; v is 1 where it is NULL. Rows are encoded with `importance`. */
static double golden_error(qn_effort effort, qn_dtype type, const float *x, const float *importance, const float *v) {
    static float y[MAX_ROWS * GOLDEN_COLS];
    double error = 0;
    size_t size = 0;
    qn_error err;
    unsigned char *packed = encode_with(top_level(), effort, type, x, MAX_ROWS, GOLDEN_COLS, importance, &size);
    assert_ok(&err, qn_decode_rows(QN_CPU_SCALAR, type, packed, MAX_ROWS, GOLDEN_COLS, y, &err));
    for (size_t i = 0; i < MAX_ROWS * GOLDEN_COLS; i++) {
        error += (v != NULL ? (double)v[i % GOLDEN_COLS] : 1.0) * pow((double)y[i] - x[i], 2);
    }
    free(packed);
    return error;
}

/* Q3_K plain is searched for in another way than the reference's, and comes out nearer. */
static void test_other_search(void **state) {
    static float y[MAX_ROWS * GOLDEN_COLS];
    size_t bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &bytes);
    unsigned char *theirs = read_vector("enc_Q3_K_noimat.bin", &bytes);
    double error = 0;
    qn_error err;
    (void)state;
    assert_ok(&err, qn_decode_rows(QN_CPU_SCALAR, QN_Q3_K, theirs, MAX_ROWS, GOLDEN_COLS, y, &err));
    for (size_t i = 0; i < MAX_ROWS * GOLDEN_COLS; i++) {
        error += pow((double)y[i] - x[i], 2);
    }
    assert_true(golden_error(QN_EFFORT_NORMAL, QN_Q3_K, x, NULL, NULL) < 0.95 * error);
    free(theirs);
    free(x);
}

/* Columns that matter come back nearer than without importance. */
static void test_importance_counts(void **state) {
    size_t bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &bytes);
    float *v = read_vector("enc_imatrix_1024.f32.bin", &bytes);
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        const double without = golden_error(QN_EFFORT_NORMAL, types[t], x, NULL, v);
        const double with = golden_error(QN_EFFORT_NORMAL, types[t], x, v, v);
        assert_true(ignores_importance(types[t]) ? with == without : with < 0.95 * without);
    }
    free(x);
    free(v);
}

/* Best effort is never worse than normal, and as much better as the searches of these types promise. */
static void test_best_effort(void **state) {
    static const struct {
        qn_dtype type;
        double plain; /* at most this part of the error at normal effort */
        double weighted;
    } promises[] = {{QN_IQ4_NL, 0.97, 0.96}, {QN_IQ4_XS, 0.97, 0.94}, {QN_MXFP4, 0.99, 0.97}, {QN_NVFP4, 0.95, 0.80}};
    size_t bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &bytes);
    float *v = read_vector("enc_imatrix_1024.f32.bin", &bytes);
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        double limit[2] = {1.0, 1.0};
        for (size_t p = 0; p < sizeof promises / sizeof promises[0]; p++) {
            if (promises[p].type == types[t]) {
                limit[0] = promises[p].plain;
                limit[1] = promises[p].weighted;
            }
        }
        for (int has_v = 0; has_v < 2; has_v++) {
            const float *weights = has_v != 0 ? v : NULL;
            const double normal = golden_error(QN_EFFORT_NORMAL, types[t], x, weights, weights);
            const double best = golden_error(QN_EFFORT_BEST, types[t], x, weights, weights);
            if (!(sqrt(best) <= limit[has_v] * sqrt(normal))) {
                fail_msg("%s, %s: best effort's error is %.4f of normal effort's", name_of(types[t]),
                         has_v != 0 ? "importance" : "plain", sqrt(best / normal));
            }
        }
    }
    free(x);
    free(v);
}

static void test_refusals(void **state) {
    static const float x[512];
    static unsigned char packed[4096];
    qn_error err;
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        const uint64_t len = qn_dtype_get((uint32_t)types[t])->block_len;
        memset(packed, 0x5A, sizeof packed);
        assert_status(&err,
                      qn_encode_rows(QN_CPU_SCALAR, QN_EFFORT_NORMAL, types[t], x, 1, len - 1, NULL, packed, &err),
                      QN_E_SHAPE);
        assert_message_has(&err, name_of(types[t]));
        assert_status(&err,
                      qn_encode_rows(QN_CPU_SCALAR, QN_EFFORT_NORMAL, types[t], x, 2, len / 2, NULL, packed, &err),
                      QN_E_SHAPE);
        assert_ok(&err, qn_encode_rows(QN_CPU_SCALAR, QN_EFFORT_NORMAL, types[t], x, 0, len, NULL, packed, &err));
        assert_ok(&err, qn_encode_rows(QN_CPU_SCALAR, QN_EFFORT_NORMAL, types[t], x, 3, 0, x, packed, &err));
        assert_int_equal(packed[0], 0x5A);
    }
    assert_status(&err, qn_encode_rows(QN_CPU_SCALAR, QN_EFFORT_NORMAL, QN_I8, x, 1, 1, NULL, packed, &err),
                  QN_E_UNSUPPORTED);
    assert_message_has(&err, "I8");
    assert_status(&err, qn_encode_rows(QN_CPU_SCALAR, QN_EFFORT_NORMAL, QN_F32, x, UINT64_MAX, 4, NULL, packed, &err),
                  QN_E_RANGE);
    assert_status(&err, qn_encode_rows(QN_CPU_SCALAR, QN_EFFORT_NORMAL, (qn_dtype)33, x, 1, 4, NULL, packed, &err),
                  QN_E_UNSUPPORTED);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),       cmocka_unit_test(test_other_search),
        cmocka_unit_test(test_levels_agree), cmocka_unit_test(test_rows_are_independent),
        cmocka_unit_test(test_round_trip),   cmocka_unit_test(test_importance_counts),
        cmocka_unit_test(test_best_effort),  cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
