/* SPDX-License-Identifier: MIT */
/* test_encode_iq2.c: IQ2_XXS, IQ2_XS, IQ2_S: errors by effort, signs, the same bytes at every level, hard rows. */
#include "vectors.h"

#include <float.h>
#include <math.h>

enum { GOLDEN_COLS = 1024, GOLDEN_ROWS = 8, N_GOLDEN = GOLDEN_COLS * GOLDEN_ROWS };

/* With the reference's weighted error on the golden input (facts/quants.md §9). */
static const struct iq2_case {
    qn_dtype type;
    bool is_even; /* an octet's minus signs */
    double reference;
} cases[] = {{QN_IQ2_XXS, true, 0.013388}, {QN_IQ2_XS, true, 0.010914}, {QN_IQ2_S, false, 0.010044}};
enum { N_CASES = sizeof cases / sizeof cases[0], N_EFFORTS = 3 };

static const qn_effort efforts[N_EFFORTS] = {QN_EFFORT_FAST, QN_EFFORT_NORMAL, QN_EFFORT_BEST};

static const char *name_of(qn_dtype type) {
    return qn_dtype_get((uint32_t)type)->name;
}

/* Encodes into new memory, which the caller frees. */
static unsigned char *encode(int level, qn_effort effort, qn_dtype type, const float *x, uint64_t n_rows,
                             uint64_t n_cols, const float *importance, size_t *size) {
    qn_error err;
    uint64_t row_bytes = 0;
    assert_ok(&err, qn_row_size(type, n_cols, &row_bytes, &err));
    *size = n_rows * row_bytes;
    unsigned char *packed = malloc(*size);
    assert_non_null(packed);
    memset(packed, 0xA5, *size);
    assert_ok(&err, qn_encode_rows((qn_cpu_level)level, effort, type, x, n_rows, n_cols, importance, packed, &err));
    return packed;
}

static void round_trip(qn_effort effort, qn_dtype type, const float *x, uint64_t n_rows, uint64_t n_cols,
                       const float *importance, float *y) {
    size_t size = 0;
    qn_error err;
    unsigned char *packed = encode(top_level(), effort, type, x, n_rows, n_cols, importance, &size);
    assert_ok(&err, qn_decode_rows(QN_CPU_SCALAR, type, packed, n_rows, n_cols, y, &err));
    free(packed);
}

/* Root of the mean of v·(y - x)² over the mean of v; v is 1 where there is none. */
static double weighted_error(const float *x, const float *y, const float *v) {
    double error = 0;
    double weight = 0;
    for (size_t i = 0; i < N_GOLDEN; i++) {
        const double w = v != NULL ? (double)v[i % GOLDEN_COLS] : 1.0;
        error += w * pow((double)y[i] - x[i], 2);
        weight += w;
    }
    return sqrt(error / weight);
}

static void test_errors(void **state) {
    size_t bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &bytes);
    float *v = read_vector("enc_imatrix_1024.f32.bin", &bytes);
    static float y[N_GOLDEN];
    (void)state;
    for (size_t t = 0; t < N_CASES; t++) {
        double plain[N_EFFORTS];
        double weighted[N_EFFORTS];
        for (size_t e = 0; e < N_EFFORTS; e++) {
            round_trip(efforts[e], cases[t].type, x, GOLDEN_ROWS, GOLDEN_COLS, NULL, y);
            plain[e] = weighted_error(x, y, NULL);
            round_trip(efforts[e], cases[t].type, x, GOLDEN_ROWS, GOLDEN_COLS, v, y);
            weighted[e] = weighted_error(x, y, v);
        }
        if (!(weighted[1] <= cases[t].reference && weighted[2] <= 0.92 * cases[t].reference &&
              weighted[2] < weighted[1] && weighted[1] < weighted[0] && weighted[0] <= 1.05 * cases[t].reference &&
              plain[2] < plain[1] && plain[1] < plain[0])) {
            fail_msg("%s: errors %f, %f, %f, plain %f, %f, %f", name_of(cases[t].type), weighted[0], weighted[1],
                     weighted[2], plain[0], plain[1], plain[2]);
        }
    }
    free(x);
    free(v);
}

/* A sign comes back wrong only where an octet with an odd number of minus signs makes it, and then one. */
static void test_signs(void **state) {
    size_t bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &bytes);
    static float y[N_GOLDEN];
    (void)state;
    for (size_t i = 0; i < N_CASES * N_EFFORTS; i++) {
        const struct iq2_case *c = &cases[i / N_EFFORTS];
        round_trip(efforts[i % N_EFFORTS], c->type, x, GOLDEN_ROWS, GOLDEN_COLS, NULL, y);
        for (size_t octet = 0; octet < N_GOLDEN / 8; octet++) {
            unsigned n_minus = 0;
            unsigned n_wrong = 0;
            for (size_t k = 8 * octet; k < 8 * octet + 8; k++) {
                n_minus += x[k] < 0.0F;
                n_wrong += (x[k] < 0.0F) != (y[k] < 0.0F);
            }
            assert_int_equal(n_wrong, c->is_even ? n_minus % 2 : 0);
        }
    }
    free(x);
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
    case 4: return wave;
    case 5: return col == 77 ? 100.0F : 1e-4F * wave;
    case 6: return col == 255 ? -3.0F : 0.0F;
    case 7: return col % 2 == 0 ? 0.5F : -0.5F;
    case 8: return col < 128 ? 0.0F : wave;
    case 9: return 65504.0F * wave;
    case 10: return 1.0F + 1e-6F * wave;
    case 11: return 1e30F * wave;
    case 12: return col % 2 == 0 ? FLT_MAX : -FLT_MAX;
    case 13: return 1e-15F * wave;
    case 14: return 1e-40F * wave;
    default: return FLT_TRUE_MIN * (float)(col % 3);
    }
}

/* Importance of a row: most columns, few, hardly any, none, huge. */
enum { N_IMPORTANCES = 5 };

static float hard_importance(int kind, int col) {
    switch (kind) {
    case 0: return col % 16 == 3 || col / 32 == 2 ? 0.0F : 0.01F * (float)(col + 1);
    case 1: return col % 64 == 5 ? 1.0F : 0.0F;
    case 2: return col == 200 ? 1e-42F : 0.0F;
    case 3: return 0.0F;
    default: return col % 2 == 0 ? FLT_MAX : 1e-30F;
    }
}

static void fill_hard(float *x) {
    for (int i = 0; i < N_HARD * HARD_COLS; i++) {
        x[i] = hard_value(i / HARD_COLS, i % HARD_COLS);
    }
}

/*
 * What comes back of hard rows is finite, zero for zero, and where f16 reaches nearer than nothing would be. Where an
 * outlier has no importance, its column still has a say in the scale.
 */
static void check_hard(qn_effort effort, qn_dtype type, const float *x, const float *v, const float *y) {
    for (int r = 0; r < N_HARD; r++) {
        double error = 0;
        double squares = 0;
        for (int i = r * HARD_COLS; i < (r + 1) * HARD_COLS; i++) {
            const double w = v != NULL ? (double)v[i % HARD_COLS] : 1.0;
            error += w * pow((double)y[i] - x[i], 2);
            squares += w * pow((double)x[i], 2);
            if (!isfinite(y[i]) || (r < 2 && y[i] != 0.0F)) {
                fail_msg("%s, effort %d, row %d: %g came back as %g", name_of(type), (int)effort, r, (double)x[i],
                         (double)y[i]);
            }
        }
        const bool is_outlier = (r == 5 || r == 6) && v != NULL;
        if (!is_outlier && error > (r < 11 ? 0.6 : 1.0001) * squares) {
            fail_msg("%s, effort %d, row %d: error %g of %g", name_of(type), (int)effort, r, error, squares);
        }
    }
}

static void test_hard_rows(void **state) {
    static float x[N_HARD * HARD_COLS];
    static float y[N_HARD * HARD_COLS];
    float v[HARD_COLS];
    (void)state;
    fill_hard(x);
    for (size_t i = 0; i < N_CASES * N_EFFORTS; i++) {
        const qn_dtype type = cases[i / N_EFFORTS].type;
        const qn_effort effort = efforts[i % N_EFFORTS];
        for (int kind = 0; kind <= N_IMPORTANCES; kind++) {
            for (int c = 0; c < HARD_COLS; c++) {
                v[c] = hard_importance(kind, c);
            }
            round_trip(effort, type, x, N_HARD, HARD_COLS, kind < N_IMPORTANCES ? v : NULL, y);
            check_hard(effort, type, x, kind < N_IMPORTANCES ? v : NULL, y);
        }
    }
}

/* Each level gives the bytes of level 0. */
static void check_levels(qn_effort effort, qn_dtype type, const float *x, uint64_t n_rows, uint64_t n_cols,
                         const float *v) {
    size_t size = 0;
    unsigned char *wanted = encode(0, effort, type, x, n_rows, n_cols, v, &size);
    for (int level = 1; level <= top_level(); level++) {
        unsigned char *found = encode(level, effort, type, x, n_rows, n_cols, v, &size);
        check_same_bytes(name_of(type), level, found, wanted, size);
        free(found);
    }
    free(wanted);
}

static void test_levels_agree(void **state) {
    size_t bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &bytes);
    float *v = read_vector("enc_imatrix_1024.f32.bin", &bytes);
    static float hard[N_HARD * HARD_COLS];
    (void)state;
    fill_hard(hard);
    for (size_t i = 0; i < N_CASES * N_EFFORTS; i++) {
        const qn_dtype type = cases[i / N_EFFORTS].type;
        const qn_effort effort = efforts[i % N_EFFORTS];
        check_levels(effort, type, x, GOLDEN_ROWS, GOLDEN_COLS, NULL);
        check_levels(effort, type, x, GOLDEN_ROWS, GOLDEN_COLS, v);
        check_levels(effort, type, hard, N_HARD, HARD_COLS, NULL);
        for (int kind = 0; kind < N_IMPORTANCES; kind++) {
            float importance[HARD_COLS];
            for (int c = 0; c < HARD_COLS; c++) {
                importance[c] = hard_importance(kind, c);
            }
            check_levels(effort, type, hard, N_HARD, HARD_COLS, importance);
        }
    }
    free(x);
    free(v);
}

/* A row's bytes are its own: neither the other rows of a call nor how they fill the lanes matter. */
static void test_rows_are_independent(void **state) {
    enum { N_COLS = 768, N_ROWS = 5 };
    size_t bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &bytes);
    float *v = read_vector("enc_imatrix_1024.f32.bin", &bytes);
    (void)state;
    for (size_t i = 0; i < N_CASES * N_EFFORTS; i++) {
        const qn_dtype type = cases[i / N_EFFORTS].type;
        const qn_effort effort = efforts[i % N_EFFORTS];
        size_t size = 0;
        unsigned char *together = encode(top_level(), effort, type, x, N_ROWS, N_COLS, v, &size);
        for (size_t r = 0; r < N_ROWS; r++) {
            size_t row_bytes = 0;
            unsigned char *alone = encode(top_level(), effort, type, x + r * N_COLS, 1, N_COLS, v, &row_bytes);
            check_same_bytes(name_of(type), top_level(), together + r * row_bytes, alone, row_bytes);
            free(alone);
        }
        free(together);
    }
    free(x);
    free(v);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_signs),
        cmocka_unit_test(test_hard_rows),
        cmocka_unit_test(test_levels_agree),
        cmocka_unit_test(test_rows_are_independent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
