/* SPDX-License-Identifier: MIT */
/* test_encode_iq1.c: IQ1_S and IQ1_M: errors on the golden input, the same bytes at every level, rows that are hard. */
#include "vectors.h"

#include "dtype/grids.h"
#include "dtype/ternary_map.h"

#include <float.h>
#include <math.h>

enum { GOLDEN_COLS = 1024, GOLDEN_ROWS = 8, HARD_COLS = 256, N_HARD = 20, MAX_ROW_BYTES = 4 * 56 };

static const qn_dtype types[] = {QN_IQ1_S, QN_IQ1_M};
static const qn_effort efforts[] = {QN_EFFORT_FAST, QN_EFFORT_NORMAL, QN_EFFORT_BEST};
enum { N_TYPES = sizeof types / sizeof types[0], N_EFFORTS = sizeof efforts / sizeof efforts[0] };

static const char *name_of(qn_dtype type) {
    return qn_dtype_get((uint32_t)type)->name;
}

static size_t encode(int level, qn_effort effort, qn_dtype type, const float *x, uint64_t n_rows, uint64_t n_cols,
                     const float *importance, unsigned char *packed) {
    qn_error err;
    uint64_t row_bytes = 0;
    assert_ok(&err, qn_row_size(type, n_cols, &row_bytes, &err));
    assert_true(row_bytes <= MAX_ROW_BYTES);
    memset(packed, 0xA5, n_rows * row_bytes + 1);
    assert_ok(&err, qn_encode_rows((qn_cpu_level)level, effort, type, x, n_rows, n_cols, importance, packed, &err));
    assert_int_equal(packed[n_rows * row_bytes], 0xA5);
    return n_rows * row_bytes;
}

/* The root of the mean square error, weighted where there is importance, as decoded. */
static double error_of(qn_effort effort, qn_dtype type, const float *x, const float *v) {
    static unsigned char packed[GOLDEN_ROWS * MAX_ROW_BYTES + 1];
    static float y[GOLDEN_ROWS * GOLDEN_COLS];
    double sum = 0;
    double weights = 0;
    qn_error err;
    (void)encode(top_level(), effort, type, x, GOLDEN_ROWS, GOLDEN_COLS, v, packed);
    assert_ok(&err, qn_decode_rows(QN_CPU_SCALAR, type, packed, GOLDEN_ROWS, GOLDEN_COLS, y, &err));
    for (size_t i = 0; i < GOLDEN_ROWS * GOLDEN_COLS; i++) {
        const double weight = v != NULL ? (double)v[i % GOLDEN_COLS] : 1.0;
        sum += weight * pow((double)y[i] - x[i], 2);
        weights += weight;
    }
    return sqrt(sum / weights);
}

/* Errors that ggml's encoders leave of the same input (facts/quants.md §9), and what share of them may be left. */
typedef struct error_case {
    qn_dtype type;
    bool has_importance;
    double reference;
    double share[N_EFFORTS];
} error_case;

static void test_errors(void **state) {
    static const error_case cases[] = {
        {QN_IQ1_S, true, 0.016182, {0.92, 0.91, 0.90}},
        {QN_IQ1_M, true, 0.013155, {0.93, 0.92, 0.91}},
        {QN_IQ1_M, false, 0.022926, {0.90, 0.90, 0.88}},
        /* ggml has no IQ1_S without importance; IQ1_M's figure stands in. */
        {QN_IQ1_S, false, 0.022926, {0.97, 0.97, 0.95}},
    };
    size_t bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &bytes);
    float *v = read_vector("enc_imatrix_1024.f32.bin", &bytes);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double last = DBL_MAX;
        for (size_t e = 0; e < N_EFFORTS; e++) {
            const double error = error_of(efforts[e], cases[i].type, x, cases[i].has_importance ? v : NULL);
            if (!(error <= cases[i].share[e] * cases[i].reference && error <= last)) {
                fail_msg("%s, case %zu, effort %d: error %g, ratio %g, last effort's error %g", name_of(cases[i].type),
                         i, (int)efforts[e], error, error / cases[i].reference, last);
            }
            last = error;
        }
    }
    free(x);
    free(v);
}

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
    case 15: return 1e-6F * wave;
    case 16: return 1e-7F * wave;
    case 17: return 900000.0F * wave;
    case 18: return col == 3 ? 1e38F : 1e-38F;
    default: return 1e-15F * wave;
    }
}

enum { N_IMPORTANCES = 6 };

/* Importance for the hard rows; NULL for the first kind. */
static const float *hard_importance(int kind, float *v) {
    for (int c = 0; c < HARD_COLS; c++) {
        switch (kind) {
        case 1: v[c] = 0.0F; break;
        case 2: v[c] = c % 16 == 3 || c / 32 == 2 ? 0.0F : 0.01F * (float)(c + 1); break;
        case 3: v[c] = c == 40 ? 1.0F : 0.0F; break;
        case 4: v[c] = c % 2 == 0 ? 1e37F : 0.0F; break;
        default: v[c] = 1e-40F; break;
        }
    }
    return kind == 0 ? NULL : v;
}

static void fill_hard(float *x) {
    for (int r = 0; r < N_HARD; r++) {
        for (int c = 0; c < HARD_COLS; c++) {
            x[r * HARD_COLS + c] = hard_value(r, c);
        }
    }
}

static void test_levels_agree(void **state) {
    static float hard[N_HARD * HARD_COLS];
    static unsigned char wanted[GOLDEN_ROWS * MAX_ROW_BYTES + 1];
    static unsigned char found[GOLDEN_ROWS * MAX_ROW_BYTES + 1];
    float v[HARD_COLS];
    size_t bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &bytes);
    (void)state;
    fill_hard(hard);
    for (int t = 0; t < (int)(N_TYPES * N_EFFORTS * N_IMPORTANCES); t++) {
        const qn_dtype type = types[t % N_TYPES];
        const qn_effort effort = efforts[t / N_TYPES % N_EFFORTS];
        const float *importance = hard_importance(t / (int)(N_TYPES * N_EFFORTS), v);
        for (int level = 1; level <= top_level(); level++) {
            size_t size = encode(0, effort, type, hard, N_HARD, HARD_COLS, importance, wanted);
            (void)encode(level, effort, type, hard, N_HARD, HARD_COLS, importance, found);
            check_same_bytes(name_of(type), level, found, wanted, size);
            size = encode(0, effort, type, x, 7, HARD_COLS, importance, wanted);
            (void)encode(level, effort, type, x, 7, HARD_COLS, importance, found);
            check_same_bytes(name_of(type), level, found, wanted, size);
        }
    }
    free(x);
}

/* Every value comes back finite, those that some d reaches as near as three levels allow, zeros as zeros. */
static void test_hard_rows(void **state) {
    static float x[N_HARD * HARD_COLS];
    static float y[N_HARD * HARD_COLS];
    static unsigned char packed[N_HARD * MAX_ROW_BYTES + 1];
    float v[HARD_COLS];
    (void)state;
    fill_hard(x);
    for (int t = 0; t < (int)(N_TYPES * N_EFFORTS * N_IMPORTANCES); t++) {
        const qn_dtype type = types[t % N_TYPES];
        const int kind = t / (int)(N_TYPES * N_EFFORTS);
        qn_error err;
        (void)encode(top_level(), efforts[t / N_TYPES % N_EFFORTS], type, x, N_HARD, HARD_COLS,
                     hard_importance(kind, v), packed);
        assert_ok(&err, qn_decode_rows(QN_CPU_SCALAR, type, packed, N_HARD, HARD_COLS, y, &err));
        for (int i = 0; i < N_HARD * HARD_COLS; i++) {
            const int row = i / HARD_COLS;
            assert_true(isfinite(y[i]));
            assert_true(row > 1 || y[i] == 0.0F);
            /* Flat rows lie on a level. */
            if ((row == 2 || row == 3 || row == 14) && kind != 3 && !(fabsf(y[i] - x[i]) < 0.01F)) {
                fail_msg("%s, importance %d, row %d, column %d: %g came back as %g", name_of(type), kind, row,
                         i % HARD_COLS, (double)x[i], (double)y[i]);
            }
        }
        assert_true(y[7 * HARD_COLS + 101] * x[7 * HARD_COLS + 101] > 0.0F || kind == 3);
        assert_true(fabsf(y[8 * HARD_COLS + 101]) > 800000.0F);
        assert_true(y[8 * HARD_COLS + 101] * x[8 * HARD_COLS + 101] > 0.0F || kind == 3);
    }
}

static void test_rows_are_independent(void **state) {
    static unsigned char together[GOLDEN_ROWS * MAX_ROW_BYTES + 1];
    static unsigned char alone[MAX_ROW_BYTES + 1];
    size_t bytes = 0;
    float *x = read_vector("enc_input_8x1024.f32.bin", &bytes);
    float *v = read_vector("enc_imatrix_1024.f32.bin", &bytes);
    (void)state;
    for (size_t t = 0; t < N_TYPES; t++) {
        for (int level = 0; level <= top_level(); level++) {
            (void)encode(level, QN_EFFORT_NORMAL, types[t], x, GOLDEN_ROWS, 768, v, together);
            for (size_t r = 0; r < GOLDEN_ROWS; r++) {
                const size_t size = encode(level, QN_EFFORT_NORMAL, types[t], x + r * 768, 1, 768, v, alone);
                check_same_bytes(name_of(types[t]), level, alone, together + r * size, size);
            }
        }
    }
    free(x);
    free(v);
}

static unsigned level_at(uint32_t point, unsigned t) {
    for (; t > 0; t--) {
        point /= 3;
    }
    return point % 3;
}

/* The map, beside what the grid says of every point. */
static void test_ternary_map(void **state) {
    static qn_ternary_map map;
    static bool is_codeword[1 << 16];
    (void)state;
    qn_ternary_map_fill(&map);
    for (size_t i = 0; i < QN_TERNARY_CODEWORDS; i++) {
        is_codeword[qn_grid_iq1_s[i]] = true;
    }
    for (uint32_t point = 0; point < QN_TERNARY_POINTS; point++) {
        const uint32_t entry = map.at[point];
        uint32_t octet = 0;
        uint32_t wanted = 0;
        int n_steps = 0;
        for (unsigned t = 0; t < 8; t++) {
            octet |= level_at(point, t) << (2 * t);
        }
        for (unsigned t = 0; t < 8; t++) {
            const unsigned level = level_at(point, t);
            wanted |= (level > 0 && is_codeword[octet - (1U << (2 * t))] ? 1U : 0U) << (2 * t);
            wanted |= (level < 2 && is_codeword[octet + (1U << (2 * t))] ? 2U : 0U) << (2 * t);
            n_steps += abs((int)level - (int)qn_octet_level(qn_grid_iq1_s[entry >> QN_TERNARY_INDEX_SHIFT], t));
        }
        assert_int_equal(entry & 0xFFFF, wanted);
        assert_int_equal((entry & QN_TERNARY_ON_GRID) != 0, is_codeword[octet]);
        assert_int_equal(n_steps, is_codeword[octet] ? 0 : wanted != 0 ? 1 : 2);
        if (is_codeword[octet]) {
            const uint32_t codeword = map.codewords[entry >> QN_TERNARY_INDEX_SHIFT];
            assert_int_equal(codeword & 0xFFFF, octet);
            assert_int_equal((codeword >> 16 & 255) + QN_TERNARY_QUADS * (codeword >> 24), point);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors),      cmocka_unit_test(test_levels_agree),
        cmocka_unit_test(test_hard_rows),   cmocka_unit_test(test_rows_are_independent),
        cmocka_unit_test(test_ternary_map),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
