/* SPDX-License-Identifier: MIT */
/* test_encode_effort.c: fast and best effort: same bytes at every level, errors beside normal effort's, hard rows. */
#include "vectors.h"

#include <float.h>
#include <math.h>

enum { GOLDEN_COLS = 1024, HARD_COLS = 256 };

/* Types with encoders of their own for an effort, and what those may cost or must save beside normal effort. */
static const struct {
    qn_dtype type;
    double fast;  /* most, as a ratio of errors; 1 where there is no encoder of fast effort */
    double plain; /* best effort, without importance; Q3_K's normal search is already near the least error */
    double importance;
} types[] = {
    {QN_Q4_0, 1.0, 0.97, 0.97},  {QN_Q4_1, 1.0, 0.92, 0.98},  {QN_Q5_0, 1.0, 0.98, 0.98},
    {QN_Q5_1, 1.0, 0.91, 0.96},  {QN_Q2_K, 1.03, 0.89, 0.94}, {QN_Q3_K, 1.03, 0.998, 0.97},
    {QN_Q4_K, 1.03, 0.98, 0.96}, {QN_Q5_K, 1.03, 0.95, 0.92}, {QN_Q6_K, 1.03, 0.95, 0.93},
};
enum { N_TYPES = sizeof types / sizeof types[0] };

static const char *name_of(qn_dtype type) {
    return qn_dtype_get((uint32_t)type)->name;
}

/* Encodes into new memory; *size is set. The caller frees. */
static unsigned char *encode(int level, qn_effort effort, qn_dtype type, const float *x, uint64_t n_rows,
                             uint64_t n_cols, const float *v, size_t *size) {
    qn_error err;
    uint64_t row_bytes = 0;
    assert_ok(&err, qn_row_size(type, n_cols, &row_bytes, &err));
    *size = n_rows * row_bytes;
    unsigned char *dst = malloc(*size);
    assert_non_null(dst);
    assert_ok(&err, qn_encode_rows((qn_cpu_level)level, effort, type, x, n_rows, n_cols, v, dst, &err));
    return dst;
}

/* Sum of v * (decoded - x)², v = 1 without importance. */
static double error_of(qn_effort effort, qn_dtype type, const float *x, uint64_t n_rows, uint64_t n_cols,
                       const float *v) {
    qn_error err;
    size_t size = 0;
    double sum = 0;
    unsigned char *bytes = encode(top_level(), effort, type, x, n_rows, n_cols, v, &size);
    float *decoded = malloc(n_rows * n_cols * sizeof *decoded);
    assert_non_null(decoded);
    assert_ok(&err, qn_decode_rows((qn_cpu_level)top_level(), type, bytes, n_rows, n_cols, decoded, &err));
    for (uint64_t i = 0; i < n_rows * n_cols; i++) {
        const double diff = (double)decoded[i] - x[i];
        sum += (v != NULL ? (double)v[i % n_cols] : 1.0) * diff * diff;
    }
    free(decoded);
    free(bytes);
    return sum;
}

static void test_errors(void **state) {
    size_t x_bytes = 0;
    size_t v_bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &x_bytes);
    float *v = read_vector("enc_imatrix_1024.f32.bin", &v_bytes);
    const uint64_t n_rows = x_bytes / sizeof *x / GOLDEN_COLS;
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        for (int has_v = 0; has_v < 2; has_v++) {
            const float *weights = has_v != 0 ? v : NULL;
            const double wanted = has_v != 0 ? types[t].importance : types[t].plain;
            const double normal = error_of(QN_EFFORT_NORMAL, types[t].type, x, n_rows, GOLDEN_COLS, weights);
            const double fast = error_of(QN_EFFORT_FAST, types[t].type, x, n_rows, GOLDEN_COLS, weights);
            const double best = error_of(QN_EFFORT_BEST, types[t].type, x, n_rows, GOLDEN_COLS, weights);
            if (sqrt(fast / normal) > types[t].fast) {
                fail_msg("%s: fast effort has %.4f times the error", name_of(types[t].type), sqrt(fast / normal));
            }
            if (sqrt(best / normal) > wanted) {
                fail_msg("%s, importance %d: best effort has %.4f times the error, wanted %.3f", name_of(types[t].type),
                         has_v, sqrt(best / normal), wanted);
            }
        }
    }
    free(x);
    free(v);
}

/* No superblock may be worse than at normal effort, not only their sum. */
static void test_best_is_never_worse(void **state) {
    size_t x_bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &x_bytes);
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        for (size_t at = 0; at < x_bytes / sizeof *x; at += HARD_COLS) {
            const double normal = error_of(QN_EFFORT_NORMAL, types[t].type, x + at, 1, HARD_COLS, NULL);
            const double best = error_of(QN_EFFORT_BEST, types[t].type, x + at, 1, HARD_COLS, NULL);
            if (best > normal * 1.000001) {
                fail_msg("%s, superblock at %zu: error %g, normal %g", name_of(types[t].type), at, best, normal);
            }
        }
    }
    free(x);
}

static void check_levels(const float *x, uint64_t n_rows, uint64_t n_cols, const float *v) {
    static const qn_effort efforts[] = {QN_EFFORT_FAST, QN_EFFORT_NORMAL, QN_EFFORT_BEST};
    for (size_t t = 0; t < N_TYPES; t++) {
        for (size_t e = 0; e < sizeof efforts / sizeof efforts[0]; e++) {
            size_t size = 0;
            unsigned char *wanted = encode(0, efforts[e], types[t].type, x, n_rows, n_cols, v, &size);
            for (int level = 1; level <= top_level(); level++) {
                unsigned char *found = encode(level, efforts[e], types[t].type, x, n_rows, n_cols, v, &size);
                check_same_bytes(name_of(types[t].type), level, found, wanted, size);
                free(found);
            }
            free(wanted);
        }
    }
}

static float hard_value(int row, int col) {
    const float wave = (float)((col * 37) % 101 - 50) / 50.0F;
    switch (row) {
    case 0: return 0.0F;
    case 1: return -0.0F;
    case 2: return 0.75F;
    case 3: return -0.75F;
    case 4: return 1e-40F * wave;
    case 5: return FLT_TRUE_MIN * (float)(col % 3);
    case 6: return 1e-6F * wave;
    case 7: return 65504.0F * wave;
    case 8: return 1e30F * wave;
    case 9: return col % 2 == 0 ? FLT_MAX : -FLT_MAX;
    case 10: return col == 77 ? 100.0F : 1e-4F * wave;
    case 11: return col == 255 ? -3.0F : 0.0F;
    case 12: return col < 128 ? 0.0F : wave;
    case 13: return 1.0F + 1e-3F * wave;
    case 14: return -1.0F + 1e-3F * wave;
    default: return 1e12F * wave;
    }
}

enum { N_HARD = 16 };

static void fill_hard(float *x) {
    for (int r = 0; r < N_HARD; r++) {
        for (int c = 0; c < HARD_COLS; c++) {
            x[r * HARD_COLS + c] = hard_value(r, c);
        }
    }
}

static void test_levels_agree(void **state) {
    static float hard[N_HARD * HARD_COLS];
    size_t x_bytes = 0;
    size_t v_bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &x_bytes);
    float *v = read_vector("enc_imatrix_1024.f32.bin", &v_bytes);
    float sparse[HARD_COLS];
    (void)state;
    for (int c = 0; c < HARD_COLS; c++) {
        sparse[c] = c % 16 == 3 || c / 32 == 2 ? 0.0F : 0.01F * (float)(c + 1);
    }
    fill_hard(hard);
    check_levels(x, 2, GOLDEN_COLS, NULL);
    check_levels(x + 2 * GOLDEN_COLS, 2, GOLDEN_COLS, v);
    check_levels(hard, N_HARD, HARD_COLS, NULL);
    check_levels(hard, N_HARD, HARD_COLS, sparse);
    free(x);
    free(v);
}

/* What best effort decodes to is finite for all finite rows; rows of zeros are zeros. */
static void test_hard_rows(void **state) {
    static float x[N_HARD * HARD_COLS];
    static float decoded[N_HARD * HARD_COLS];
    static float v[HARD_COLS];
    qn_error err;
    (void)state;
    fill_hard(x);
    for (size_t t = 0; t < N_TYPES; t++) {
        for (int weights = 0; weights < 3; weights++) {
            size_t size = 0;
            for (int c = 0; c < HARD_COLS; c++) {
                v[c] = weights == 1 || c % 3 == 0 ? 0.0F : 1e30F;
            }
            unsigned char *bytes = encode(top_level(), QN_EFFORT_BEST, types[t].type, x, N_HARD, HARD_COLS,
                                          weights == 0 ? NULL : v, &size);
            assert_ok(
                &err,
                qn_decode_rows((qn_cpu_level)top_level(), types[t].type, bytes, N_HARD, HARD_COLS, decoded, &err));
            free(bytes);
            for (int i = 0; i < N_HARD * HARD_COLS; i++) {
                const int row = i / HARD_COLS;
                if (!isfinite(decoded[i]) || (row < 2 && decoded[i] != 0.0F) ||
                    (row < 4 && fabsf(decoded[i] - x[i]) > 0.1F)) {
                    fail_msg("%s, weights %d, row %d, column %d: %g became %g", name_of(types[t].type), weights, row,
                             i % HARD_COLS, (double)x[i], (double)decoded[i]);
                }
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_best_is_never_worse),
        cmocka_unit_test(test_levels_agree),
        cmocka_unit_test(test_hard_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
