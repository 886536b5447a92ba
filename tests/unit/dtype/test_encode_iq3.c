/* SPDX-License-Identifier: MIT */
/* test_encode_iq3.c: IQ3_XXS and IQ3_S at all efforts: error, the same bytes at every level, rows that are hard. */
#include "vectors.h"

#include <float.h>
#include <math.h>

enum { N_COLS = 1024, N_ROWS = 8, HARD_COLS = 256, N_HARD = 18, N_TYPES = 2, N_EFFORTS = 3, GUARD = 64 };

static const qn_dtype types[N_TYPES] = {QN_IQ3_XXS, QN_IQ3_S};
static const qn_effort efforts[N_EFFORTS] = {QN_EFFORT_FAST, QN_EFFORT_NORMAL, QN_EFFORT_BEST};

/* Encodes into new memory with guard bytes behind it, which must stay; *size is set. The caller frees. */
static unsigned char *encode(int level, qn_effort effort, qn_dtype type, const float *x, uint64_t n_rows,
                             uint64_t n_cols, const float *importance, size_t *size) {
    qn_error err;
    uint64_t row_bytes = 0;
    assert_ok(&err, qn_row_size(type, n_cols, &row_bytes, &err));
    *size = n_rows * row_bytes;
    unsigned char *room = malloc(*size + GUARD);
    assert_non_null(room);
    memset(room, 0xA5, *size + GUARD);
    assert_ok(&err, qn_encode_rows((qn_cpu_level)level, effort, type, x, n_rows, n_cols, importance, room, &err));
    for (size_t i = 0; i < GUARD; i++) {
        assert_int_equal(room[*size + i], 0xA5);
    }
    return room;
}

/* Encodes at the highest level and reads back. */
static void round_trip(qn_effort effort, qn_dtype type, const float *x, uint64_t n_rows, uint64_t n_cols,
                       const float *importance, float *y) {
    qn_error err;
    size_t size = 0;
    unsigned char *packed = encode(top_level(), effort, type, x, n_rows, n_cols, importance, &size);
    assert_ok(&err, qn_decode_rows(QN_CPU_SCALAR, type, packed, n_rows, n_cols, y, &err));
    free(packed);
}

/* Root of the mean of v·(y - x)² over rows of N_COLS. */
static double error_of(const float *x, const float *y, const float *v) {
    double sum = 0;
    double weights = 0;
    for (size_t i = 0; i < (size_t)N_ROWS * N_COLS; i++) {
        const double weight = v != NULL ? (double)v[i % N_COLS] : 1.0;
        sum += weight * pow((double)y[i] - x[i], 2);
        weights += weight;
    }
    return sqrt(sum / weights);
}

/* ggml's errors on this input, plain and weighted (facts/quants.md §9), and those that no encoder is known to beat. */
static const struct {
    double reference[2];
    double floor[2];
} known[N_TYPES] = {
    {{0.010017, 0.005988}, {0.00759, 0.00523}},
    {{0.007839, 0.005161}, {0.00599, 0.00448}},
};

static void test_errors(void **state) {
    static float y[N_ROWS * N_COLS];
    size_t bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &bytes);
    float *v = read_vector("enc_imatrix_1024.f32.bin", &bytes);
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        for (int has_v = 0; has_v < 2; has_v++) {
            double errors[N_EFFORTS];
            for (size_t e = 0; e < N_EFFORTS; e++) {
                round_trip(efforts[e], types[t], x, N_ROWS, N_COLS, has_v != 0 ? v : NULL, y);
                errors[e] = error_of(x, y, has_v != 0 ? v : NULL);
            }
            const double reference = known[t].reference[has_v];
            assert_true(errors[0] <= 0.96 * reference);
            assert_true(errors[1] <= 0.94 * reference && errors[1] <= errors[0]);
            assert_true(errors[2] <= errors[1]);
            assert_true(errors[2] <= reference - 0.9 * (reference - known[t].floor[has_v]));
            assert_true(errors[2] >= 0.99 * known[t].floor[has_v]);
        }
    }
    free(x);
    free(v);
}

/* Rows of 256 that bring a search to its limits. */
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
    case 13: return col < 128 ? -0.0F : wave;
    case 14: return 1.0F + 1e-6F * wave;
    case 15: return col % 8 == 5 ? -1.0F : 0.0F;
    case 16: return 1e-4F * wave;
    default: return 3e-6F * wave;
    }
}

static void fill_hard(float *x) {
    for (int r = 0; r < N_HARD; r++) {
        for (int c = 0; c < HARD_COLS; c++) {
            x[r * HARD_COLS + c] = hard_value(r, c);
        }
    }
}

/* Importance as columns without any, groups without any, and none at all make it hard. */
enum { N_IMPORTANCES = 5 };

static const float *hard_importance(int which, float *v) {
    for (int c = 0; c < HARD_COLS; c++) {
        switch (which) {
        case 1: v[c] = c % 16 == 3 || c / 32 == 2 ? 0.0F : 0.01F * (float)(c + 1); break;
        case 2: v[c] = 0.0F; break;
        case 3: v[c] = c == 100 ? FLT_MAX : 0.0F; break;
        default: v[c] = c % 2 == 0 ? FLT_TRUE_MIN : 0.0F; break;
        }
    }
    return which == 0 ? NULL : v;
}

static void check_levels(qn_effort effort, qn_dtype type, const float *x, uint64_t n_rows, uint64_t n_cols,
                         const float *v) {
    size_t size = 0;
    unsigned char *wanted = encode(0, effort, type, x, n_rows, n_cols, v, &size);
    for (int level = 1; level <= top_level(); level++) {
        unsigned char *found = encode(level, effort, type, x, n_rows, n_cols, v, &size);
        check_same_bytes(qn_dtype_get((uint32_t)type)->name, level, found, wanted, size);
        free(found);
    }
    free(wanted);
}

static void test_levels_agree(void **state) {
    static float hard[N_HARD * HARD_COLS];
    float hard_v[HARD_COLS];
    size_t bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &bytes);
    float *v = read_vector("enc_imatrix_1024.f32.bin", &bytes);
    (void)state;
    fill_hard(hard);
    for (size_t t = 0; t < N_TYPES; t++) {
        for (size_t e = 0; e < N_EFFORTS; e++) {
            check_levels(efforts[e], types[t], x, N_ROWS, N_COLS, NULL);
            check_levels(efforts[e], types[t], x, N_ROWS, N_COLS, v);
            for (int which = 0; which < N_IMPORTANCES; which++) {
                check_levels(efforts[e], types[t], hard, N_HARD, HARD_COLS, hard_importance(which, hard_v));
            }
        }
    }
    free(x);
    free(v);
}

/* Nothing comes back as NaN or infinite, zero comes back as zero, and what f16 scales reach comes back near. */
static void check_hard_row(int row, const float *x, const float *y, float tolerance) {
    float largest = 0.0F;
    for (int c = 0; c < HARD_COLS; c++) {
        largest = fmaxf(largest, fabsf(x[c]));
    }
    for (int c = 0; c < HARD_COLS; c++) {
        const float diff = fabsf(y[c] - x[c]);
        if (!isfinite(y[c]) || (largest == 0.0F && y[c] != 0.0F) ||
            (largest > 1e-5F && largest < 1e6F && !(diff <= largest * tolerance))) {
            fail_msg("row %d, column %d: %g came back as %g", row, c, (double)x[c], (double)y[c]);
        }
    }
}

static void test_hard_rows(void **state) {
    static float x[N_HARD * HARD_COLS];
    static float y[N_HARD * HARD_COLS];
    float v[HARD_COLS];
    (void)state;
    fill_hard(x);
    for (size_t t = 0; t < N_TYPES; t++) {
        for (size_t e = 0; e < N_EFFORTS; e++) {
            for (int which = 0; which < N_IMPORTANCES; which++) {
                const float *importance = hard_importance(which, v);
                round_trip(efforts[e], types[t], x, N_HARD, HARD_COLS, importance, y);
                for (int r = 0; r < N_HARD; r++) {
                    /* A column without importance may come back as anything up to the largest element. */
                    const float tolerance = which == 0 || which == 2 ? 0.3F : 2.0F;
                    check_hard_row(r, x + r * HARD_COLS, y + r * HARD_COLS, tolerance);
                }
            }
        }
    }
}

/* A row's bytes are its own: neither the other rows of a call nor how they fill the lanes matter. */
static void test_rows_are_independent(void **state) {
    size_t bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &bytes);
    float *v = read_vector("enc_imatrix_1024.f32.bin", &bytes);
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        for (size_t e = 0; e < N_EFFORTS; e++) {
            size_t size = 0;
            unsigned char *together = encode(top_level(), efforts[e], types[t], x, 3, 768, v, &size);
            for (uint64_t r = 0; r < 3; r++) {
                size_t row_bytes = 0;
                unsigned char *alone = encode(top_level(), efforts[e], types[t], x + r * 768, 1, 768, v, &row_bytes);
                check_same_bytes("alone", top_level(), together + r * row_bytes, alone, row_bytes);
                free(alone);
            }
            free(together);
        }
    }
    free(x);
    free(v);
}

/* What a block can hold is found again: decoded values survive the best effort to within rounding. */
static void test_decoded_values_survive(void **state) {
    static float y[N_ROWS * N_COLS];
    static float again[N_ROWS * N_COLS];
    size_t bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &bytes);
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        round_trip(QN_EFFORT_NORMAL, types[t], x, N_ROWS, N_COLS, NULL, y);
        round_trip(QN_EFFORT_BEST, types[t], y, N_ROWS, N_COLS, NULL, again);
        assert_true(error_of(y, again, NULL) < 0.2 * error_of(x, y, NULL));
    }
    free(x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_levels_agree),
        cmocka_unit_test(test_hard_rows),
        cmocka_unit_test(test_rows_are_independent),
        cmocka_unit_test(test_decoded_values_survive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
