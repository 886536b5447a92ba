/* SPDX-License-Identifier: MIT */
/*
 * test_matmul.c: packed rows times vectors, every type at every level, against double-precision products of the
 * decoded weights; the golden products; and the same bits for any split into calls and at every level with vectors.
 */
#include "vectors.h"

#include "dtype/dot_kernels.h"
#include "dtype/matmul.h"

#include <math.h>

enum { MAX_ROWS = 203, MAX_VECTORS = 9, MAX_COLS = 1280 };

/* One shape's operands and results. */
typedef struct problem {
    qn_dtype type;
    uint64_t n_rows;
    uint64_t n_cols;
    uint64_t n_vectors;
    uint64_t row_bytes;
    float extreme;          /* weights and activations are this or its opposite; 0: random */
    float *w;               /* decoded weights */
    float *x;               /* rows MAX_COLS + 3 apart */
    unsigned char *weights; /* at an odd address inside */
    unsigned char *packed;  /* activations */
    float *found;
    float *narrow; /* what the first level with vectors found */
} problem;

enum { X_STRIDE = MAX_COLS + 3, FOUND_STRIDE = MAX_ROWS + 2 };

static uint32_t next_random(uint32_t *state) {
    *state = *state * 1664525U + 1013904223U;
    return *state >> 8;
}

static float random_value(uint32_t *state) {
    float sum = 0.0F;
    for (int i = 0; i < 4; i++) {
        sum += (float)(int)next_random(state) * 0x1p-24F - 0.5F;
    }
    return sum;
}

/* Nearly all alike, so that codes are as large as they can be, and sums of their products too. */
static void fill_extremes(problem *p) {
    for (uint64_t i = 0; i < p->n_rows * p->n_cols; i++) {
        p->w[i] = i % 256 == 7 ? -p->extreme : p->extreme;
    }
    for (uint64_t i = 0; i < MAX_VECTORS * X_STRIDE; i++) {
        p->x[i] = (i % X_STRIDE % 256 == 3) == (i / X_STRIDE % 2 == 0) ? -1.0F : 1.0F;
    }
}

static void make_problem(problem *p, uint32_t seed) {
    const qn_dtype_info *info = qn_dtype_get((uint32_t)p->type);
    uint32_t state = seed;
    qn_error err;
    assert_ok(&err, qn_row_size(p->type, p->n_cols, &p->row_bytes, &err));
    const size_t n = (size_t)(p->n_rows * p->n_cols);
    const size_t packed_bytes = (size_t)(p->n_vectors * qn_activation_bytes(p->type, p->n_cols) + 63) / 64 * 64;
    p->w = malloc(n * sizeof *p->w);
    p->x = malloc(MAX_VECTORS * X_STRIDE * sizeof *p->x);
    p->weights = malloc((size_t)(p->n_rows * p->row_bytes) + 1);
    p->packed = aligned_alloc(64, packed_bytes);
    p->found = malloc(MAX_VECTORS * FOUND_STRIDE * sizeof *p->found);
    p->narrow = malloc(MAX_VECTORS * FOUND_STRIDE * sizeof *p->narrow);
    assert_true(p->w != NULL && p->x != NULL && p->weights != NULL && p->packed != NULL && p->found != NULL &&
                p->narrow != NULL);
    for (size_t i = 0; i < n; i++) {
        p->w[i] = random_value(&state) * 0.1F;
    }
    for (size_t i = 0; i < MAX_VECTORS * X_STRIDE; i++) {
        p->x[i] = random_value(&state) + 0.1F;
    }
    if (p->extreme != 0.0F) {
        fill_extremes(p);
    }
    if (info->has_encoder) {
        float importance[MAX_COLS];
        for (size_t c = 0; c < MAX_COLS; c++) {
            importance[c] = 1.0F;
        }
        assert_ok(&err,
                  qn_encode_rows((qn_cpu_level)top_level(), QN_EFFORT_FAST, p->type, p->w, p->n_rows, p->n_cols,
                                 importance, p->weights + 1, &err));
    } else {
        for (size_t i = 0; i < p->n_rows * p->row_bytes; i++) {
            /* Small numbers whatever the type: the upper byte of a number is not random. */
            p->weights[i + 1] = i % info->block_bytes + 1 == info->block_bytes && info->block_bytes > 1
                ? 0x3F
                : (unsigned char)next_random(&state);
        }
        if (p->type == QN_Q8_1 || p->type == QN_Q8_K) {
            for (size_t i = 0; i < p->n_rows * p->row_bytes; i += info->block_bytes) {
                memcpy(p->weights + 1 + i, p->type == QN_Q8_K ? "\0\0\0\x3C" : "\0\x2C\0\x2C", 4);
            }
        }
    }
    assert_ok(&err, qn_decode_rows(QN_CPU_SCALAR, p->type, p->weights + 1, p->n_rows, p->n_cols, p->w, &err));
}

static void free_problem(problem *p) {
    free(p->w);
    free(p->x);
    free(p->weights);
    free(p->packed);
    free(p->found);
    free(p->narrow);
}

/* Wider registers change no bit: floats are added in one order. The level without vectors does not fuse products. */
static void check_levels(const problem *p, int level) {
    const size_t size = (size_t)(p->n_vectors * FOUND_STRIDE) * sizeof *p->found;
    if (level == QN_CPU_AVX2) {
        memcpy(p->narrow, p->found, size);
    } else if (level > QN_CPU_AVX2) {
        check_same_bytes(qn_dtype_get((uint32_t)p->type)->name, level, p->found, p->narrow, size);
    }
}

/* The partner of a type's activations, as facts/quants.md §8 has it. */
static qn_partner partner_of_type(qn_dtype type) {
    const qn_dtype_info *info = qn_dtype_get((uint32_t)type);
    if (type == QN_NVFP4 || type == QN_Q8_1 || type == QN_Q8_K || !info->is_quantized) {
        return QN_PARTNER_FLOATS;
    }
    if (info->block_len == 256) {
        return QN_PARTNER_Q8_K;
    }
    return type == QN_Q4_1 || type == QN_Q5_1 ? QN_PARTNER_Q8_1 : QN_PARTNER_Q8_0;
}

/* The value of element c of packed vector v. */
static double packed_value(const problem *p, uint64_t v, uint64_t c) {
    const qn_partner partner = partner_of_type(p->type);
    const qn_planes planes = qn_planes_of(partner, p->n_cols);
    const unsigned char *x = p->packed + v * planes.size;
    const float *d = (const float *)(const void *)(x + planes.d);
    if (partner == QN_PARTNER_FLOATS) {
        return (double)((const float *)(const void *)x)[c];
    }
    return (double)d[partner == QN_PARTNER_Q8_K ? c / 256 : c / 32] * ((const int8_t *)x)[c];
}

static void check_packed(const problem *p, int level) {
    const double tolerance = p->type == QN_NVFP4 || partner_of_type(p->type) != QN_PARTNER_FLOATS ? 0.01 : 0.0;
    for (uint64_t v = 0; v < p->n_vectors; v++) {
        for (uint64_t c = 0; c < p->n_cols; c++) {
            const double x = p->x[v * X_STRIDE + c];
            if (!(fabs(packed_value(p, v, c) - x) <= tolerance)) {
                fail_msg("%s, level %d: element %llu of vector %llu became %.9g from %.9g",
                         qn_dtype_get((uint32_t)p->type)->name, level, (unsigned long long)c, (unsigned long long)v,
                         packed_value(p, v, c), x);
            }
        }
    }
}

/* The error of a product as a part of the product of the norms; Q8_1 has its sums rounded to f16. */
static double tolerance_of(qn_dtype type) {
    return partner_of_type(type) == QN_PARTNER_Q8_1 ? 1e-3 : 3e-6;
}

static void check_products(const problem *p, int level) {
    for (uint64_t v = 0; v < p->n_vectors; v++) {
        double x[MAX_COLS];
        double xx = 0.0;
        for (uint64_t c = 0; c < p->n_cols; c++) {
            x[c] = packed_value(p, v, c);
            xx += x[c] * x[c];
        }
        for (uint64_t r = 0; r < p->n_rows; r++) {
            double sum = 0.0;
            double ww = 0.0;
            for (uint64_t c = 0; c < p->n_cols; c++) {
                const double w = p->w[r * p->n_cols + c];
                sum += w * x[c];
                ww += w * w;
            }
            const double found = p->found[v * FOUND_STRIDE + r];
            if (!(fabs(found - sum) <= tolerance_of(p->type) * sqrt(ww * xx) + 1e-30)) {
                fail_msg("%s, level %d, %llu columns, row %llu of %llu, vector %llu of %llu: %.9g, wanted %.9g (%.2g)",
                         qn_dtype_get((uint32_t)p->type)->name, level, (unsigned long long)p->n_cols,
                         (unsigned long long)r, (unsigned long long)p->n_rows, (unsigned long long)v,
                         (unsigned long long)p->n_vectors, found, sum, fabs(found - sum) / sqrt(ww * xx));
            }
        }
    }
}

/* Each product alone must have the bits it has among others. */
static void check_splits(const problem *p, int level) {
    const uint64_t vector_bytes = qn_activation_bytes(p->type, p->n_cols);
    const uint64_t first_rows = p->n_rows / 3;
    float again[MAX_ROWS];
    for (uint64_t v = 0; v < p->n_vectors; v++) {
        const unsigned char *x = p->packed + v * vector_bytes;
        qn_matmul((qn_cpu_level)level, p->type, p->weights + 1, first_rows, p->n_cols, x, 1, again, MAX_ROWS);
        qn_matmul((qn_cpu_level)level, p->type, p->weights + 1 + first_rows * p->row_bytes, p->n_rows - first_rows,
                  p->n_cols, x, 1, again + first_rows, MAX_ROWS);
        check_same_bytes(qn_dtype_get((uint32_t)p->type)->name, level, again, p->found + v * FOUND_STRIDE,
                         (size_t)p->n_rows * sizeof *again);
    }
}

static void check_shape(qn_dtype type, uint64_t n_rows, uint64_t n_cols, uint64_t n_vectors, float extreme) {
    problem p = {.type = type, .n_rows = n_rows, .n_cols = n_cols, .n_vectors = n_vectors, .extreme = extreme};
    make_problem(&p, (uint32_t)(n_cols * 31 + n_rows * 7 + n_vectors));
    for (int level = 0; level <= top_level(); level++) {
        for (size_t i = 0; i < MAX_VECTORS * FOUND_STRIDE; i++) {
            p.found[i] = -77.0F;
        }
        qn_activations_pack((qn_cpu_level)level, type, p.x, n_vectors, X_STRIDE, n_cols, p.packed);
        qn_matmul((qn_cpu_level)level, type, p.weights + 1, n_rows, n_cols, p.packed, n_vectors, p.found, FOUND_STRIDE);
        check_packed(&p, level);
        check_products(&p, level);
        check_splits(&p, level);
        check_levels(&p, level);
        for (uint64_t v = 0; v < MAX_VECTORS; v++) {
            for (uint64_t r = v < n_vectors ? n_rows : 0; r < FOUND_STRIDE; r++) {
                assert_true(p.found[v * FOUND_STRIDE + r] == -77.0F);
            }
        }
    }
    free_problem(&p);
}

static void test_shapes(void **state) {
    (void)state;
    for (uint32_t id = 0; id < QN_DTYPE_LIMIT; id++) {
        if (!qn_matmul_has((qn_dtype)id)) {
            continue;
        }
        const uint64_t block = qn_dtype_get(id)->block_len;
        for (uint64_t n_vectors = 1; n_vectors <= MAX_VECTORS; n_vectors++) {
            check_shape((qn_dtype)id, n_vectors + 1, block == 1 ? 61 * n_vectors : block * (n_vectors % 4 + 1),
                        n_vectors, 0.0F);
        }
        check_shape((qn_dtype)id, 37, 1280, 7, 0.0F);
    }
    /* More rows than a few vectors meet one after the other: three parts, and two. */
    check_shape(QN_Q8_0, MAX_ROWS, 1280, 5, 0.0F);
    check_shape(QN_Q4_K, MAX_ROWS, 1280, 2, 0.0F);
}

/* Products of codes are added in 16 bits for as long as the size of the codes allows, and no longer. */
static void test_extremes(void **state) {
    (void)state;
    for (uint32_t id = 0; id < QN_DTYPE_LIMIT; id++) {
        for (uint64_t n_vectors = 1; qn_matmul_has((qn_dtype)id) && n_vectors <= MAX_VECTORS; n_vectors += 4) {
            check_shape((qn_dtype)id, 17, 512, n_vectors, 1.0F);
            check_shape((qn_dtype)id, 17, 512, n_vectors, -1.0F);
        }
    }
}

/* What is no number, or infinite, is not lost on the way: its vector's products are no numbers, the others' are. */
static void check_broken(qn_dtype type, float value) {
    const uint64_t block = qn_dtype_get(type)->block_len;
    problem p = {.type = type, .n_rows = 17, .n_cols = block == 1 ? 64 : 2 * block, .n_vectors = MAX_VECTORS};
    make_problem(&p, 5);
    p.x[4 * X_STRIDE + p.n_cols - 3] = value;
    for (int level = 0; level <= top_level(); level++) {
        qn_activations_pack((qn_cpu_level)level, type, p.x, p.n_vectors, X_STRIDE, p.n_cols, p.packed);
        qn_matmul((qn_cpu_level)level, type, p.weights + 1, p.n_rows, p.n_cols, p.packed, p.n_vectors, p.found,
                  FOUND_STRIDE);
        for (uint64_t v = 0; v < p.n_vectors; v++) {
            for (uint64_t r = 0; r < p.n_rows; r++) {
                if ((v == 4) == (bool)isfinite(p.found[v * FOUND_STRIDE + r])) {
                    fail_msg("%s, level %d, %g in vector 4: row %llu of vector %llu is %g", qn_dtype_get(type)->name,
                             level, (double)value, (unsigned long long)r, (unsigned long long)v,
                             (double)p.found[v * FOUND_STRIDE + r]);
                }
            }
        }
    }
    free_problem(&p);
}

static void test_broken_activations(void **state) {
    (void)state;
    for (uint32_t id = 0; id < QN_DTYPE_LIMIT; id++) {
        if (qn_matmul_has((qn_dtype)id)) {
            check_broken((qn_dtype)id, NAN);
            check_broken((qn_dtype)id, -INFINITY);
        }
    }
}

/* In the order of dot_expected.f64.bin, eight products each. */
static const struct {
    qn_dtype type;
    const char *weights;
} golden[] = {
    {QN_Q1_0, "enc_Q1_0_noimat.bin"},   {QN_Q2_0, "enc_Q2_0_noimat.bin"},     {QN_Q4_0, "enc_Q4_0_noimat.bin"},
    {QN_Q4_1, "enc_Q4_1_noimat.bin"},   {QN_Q5_0, "enc_Q5_0_noimat.bin"},     {QN_Q5_1, "enc_Q5_1_noimat.bin"},
    {QN_Q8_0, "enc_Q8_0_noimat.bin"},   {QN_Q2_K, "enc_Q2_K_noimat.bin"},     {QN_Q3_K, "enc_Q3_K_noimat.bin"},
    {QN_Q4_K, "enc_Q4_K_noimat.bin"},   {QN_Q5_K, "enc_Q5_K_noimat.bin"},     {QN_Q6_K, "enc_Q6_K_noimat.bin"},
    {QN_IQ1_S, "enc_IQ1_S_imat.bin"},   {QN_IQ1_M, "enc_IQ1_M_noimat.bin"},   {QN_IQ2_XXS, "enc_IQ2_XXS_imat.bin"},
    {QN_IQ2_XS, "enc_IQ2_XS_imat.bin"}, {QN_IQ2_S, "enc_IQ2_S_noimat.bin"},   {QN_IQ3_XXS, "enc_IQ3_XXS_noimat.bin"},
    {QN_IQ3_S, "enc_IQ3_S_noimat.bin"}, {QN_IQ4_NL, "enc_IQ4_NL_noimat.bin"}, {QN_IQ4_XS, "enc_IQ4_XS_noimat.bin"},
    {QN_TQ1_0, "enc_TQ1_0_noimat.bin"}, {QN_TQ2_0, "enc_TQ2_0_noimat.bin"},   {QN_MXFP4, "enc_MXFP4_noimat.bin"},
    {QN_NVFP4, "enc_NVFP4_noimat.bin"},
};

/* Eight rows of 1024 weights times dot_activation_1024.f32.bin, one by one and, in two further copies, by panels. */
static void test_golden_products(void **state) {
    enum { N_ROWS = 8, N_COLS = 1024, N_COPIES = 7 };
    size_t size = 0;
    (void)state;
    float *x = read_vector("dot_activation_1024.f32.bin", &size);
    assert_int_equal(size, N_COLS * sizeof *x);
    double *wanted = read_vector("dot_expected.f64.bin", &size);
    assert_int_equal(size, sizeof golden / sizeof golden[0] * N_ROWS * sizeof *wanted);
    for (size_t i = 0; i < sizeof golden / sizeof golden[0]; i++) {
        unsigned char *weights = read_vector(golden[i].weights, &size);
        unsigned char *packed = aligned_alloc(64, N_COPIES * (size_t)qn_activation_bytes(golden[i].type, N_COLS));
        assert_non_null(packed);
        for (int level = 0; level <= top_level(); level++) {
            float found[N_COPIES][N_ROWS];
            qn_activations_pack((qn_cpu_level)level, golden[i].type, x, N_COPIES, 0, N_COLS, packed);
            qn_matmul((qn_cpu_level)level, golden[i].type, weights, N_ROWS, N_COLS, packed, N_COPIES, found[0], N_ROWS);
            for (size_t r = 0; r < N_ROWS; r++) {
                const double expected = wanted[i * N_ROWS + r];
                /* Some products are all but zero: what float32 leaves of terms near 1 is allowed. */
                if (!(fabs(found[0][r] - expected) <= 1e-4 * fabs(expected) + 5e-7)) {
                    fail_msg("%s, level %d, row %zu: %.9g, wanted %.9g", golden[i].weights, level, r,
                             (double)found[0][r], expected);
                }
            }
            check_same_bytes(golden[i].weights, level, found[N_COPIES - 1], found[0], sizeof found[0]);
        }
        free(weights);
        free(packed);
    }
    free(x);
    free(wanted);
}

/* The golden blocks of a partner format against the planes that a type's activations become. */
static void check_golden_activations(qn_dtype type, const char *name, uint64_t block_bytes, uint64_t block_len) {
    enum { N_VECTORS = 8, N_COLS = 1024 };
    size_t size = 0;
    const qn_planes planes = qn_planes_of(partner_of_type(type), N_COLS);
    float *x = read_vector("enc_input_8x1024.f32.bin", &size);
    unsigned char *blocks = read_vector(name, &size);
    assert_int_equal(size, N_VECTORS * N_COLS / block_len * block_bytes);
    unsigned char *packed = aligned_alloc(64, N_VECTORS * (size_t)planes.size);
    assert_non_null(packed);
    assert_int_equal(planes.size, qn_activation_bytes(type, N_COLS));
    for (int level = 0; level <= top_level(); level++) {
        memset(packed, 0xAA, N_VECTORS * (size_t)planes.size);
        qn_activations_pack((qn_cpu_level)level, type, x, N_VECTORS, N_COLS, N_COLS, packed);
        for (size_t b = 0; b < N_VECTORS * N_COLS / block_len; b++) {
            const size_t i = b % (N_COLS / block_len);
            const unsigned char *block = blocks + b * block_bytes;
            const unsigned char *vector = packed + b / (N_COLS / block_len) * planes.size;
            const float *d = (const float *)(const void *)(vector + planes.d);
            const float *s = (const float *)(const void *)(vector + planes.sums);
            const size_t codes_at = block_len == 256 || type == QN_Q4_1 ? 4 : 2;
            check_same_bytes(name, level, vector + i * block_len, block + codes_at, block_len);
            if (block_len == 256) {
                check_same_bytes(name, level, d + i, block, sizeof *d);
                check_same_bytes(name, level, vector + planes.sums + 32 * i, block + 260, 32);
            } else {
                const uint16_t stored = qn_f32_to_f16(d[i]);
                assert_true(qn_f16_to_f32(stored) == d[i]);
                check_same_bytes(name, level, &stored, block, sizeof stored);
            }
            if (type == QN_Q4_1) {
                const uint16_t stored = qn_f32_to_f16(s[i]);
                check_same_bytes(name, level, &stored, block + 2, sizeof stored);
            }
        }
    }
    free(x);
    free(blocks);
    free(packed);
}

static void test_golden_activations(void **state) {
    (void)state;
    check_golden_activations(QN_Q4_0, "act_Q8_0.bin", 34, 32);
    check_golden_activations(QN_Q4_1, "act_Q8_1.bin", 36, 32);
    check_golden_activations(QN_Q4_K, "act_Q8_K.bin", 292, 256);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_activations),
        cmocka_unit_test(test_golden_products),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_extremes),
        cmocka_unit_test(test_broken_activations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
