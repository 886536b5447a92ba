/* SPDX-License-Identifier: MIT */
/* test_dtype_table.c: names, block sizes and row sizes of every type; flags that agree with the codecs. */
#include "vectors.h"

/* facts/gguf.md §2, and the source types. */
static const struct table_row {
    uint32_t id;
    const char *name;
    uint32_t block_len;
    uint32_t block_bytes;
} rows[] = {
    {0, "F32", 1, 4},         {1, "F16", 1, 2},         {2, "Q4_0", 32, 18},      {3, "Q4_1", 32, 20},
    {6, "Q5_0", 32, 22},      {7, "Q5_1", 32, 24},      {8, "Q8_0", 32, 34},      {9, "Q8_1", 32, 36},
    {10, "Q2_K", 256, 84},    {11, "Q3_K", 256, 110},   {12, "Q4_K", 256, 144},   {13, "Q5_K", 256, 176},
    {14, "Q6_K", 256, 210},   {15, "Q8_K", 256, 292},   {16, "IQ2_XXS", 256, 66}, {17, "IQ2_XS", 256, 74},
    {18, "IQ3_XXS", 256, 98}, {19, "IQ1_S", 256, 50},   {20, "IQ4_NL", 32, 18},   {21, "IQ3_S", 256, 110},
    {22, "IQ2_S", 256, 82},   {23, "IQ4_XS", 256, 136}, {24, "I8", 1, 1},         {25, "I16", 1, 2},
    {26, "I32", 1, 4},        {27, "I64", 1, 8},        {28, "F64", 1, 8},        {29, "IQ1_M", 256, 56},
    {30, "BF16", 1, 2},       {34, "TQ1_0", 256, 54},   {35, "TQ2_0", 256, 66},   {39, "MXFP4", 32, 17},
    {40, "NVFP4", 64, 36},    {41, "Q1_0", 128, 18},    {42, "Q2_0", 64, 18},     {64, "U8", 1, 1},
    {65, "U16", 1, 2},        {66, "U32", 1, 4},        {67, "U64", 1, 8},        {68, "BOOL", 1, 1},
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

static void test_rows(void **state) {
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        const qn_dtype_info *info = qn_dtype_get(rows[i].id);
        qn_dtype found = QN_F32;
        assert_non_null(info);
        assert_string_equal(info->name, rows[i].name);
        assert_int_equal(info->block_len, rows[i].block_len);
        assert_int_equal(info->block_bytes, rows[i].block_bytes);
        assert_int_equal(info->is_quantized, rows[i].block_len > 1);
        assert_true(qn_dtype_find(rows[i].name, &found));
        assert_int_equal(found, rows[i].id);
    }
}

static void test_holes(void **state) {
    static const uint32_t holes[] = {4, 5, 31, 32, 33, 36, 37, 38, 43, 63, 69, 70, 1000, UINT32_MAX};
    uint32_t n_known = 0;
    (void)state;
    for (size_t i = 0; i < sizeof holes / sizeof holes[0]; i++) {
        assert_null(qn_dtype_get(holes[i]));
    }
    for (uint32_t id = 0; id < 100; id++) {
        n_known += qn_dtype_get(id) != NULL;
    }
    assert_int_equal(n_known, N_ROWS);
}

static void test_find(void **state) {
    qn_dtype found = QN_F32;
    (void)state;
    assert_true(qn_dtype_find("q4_k", &found));
    assert_int_equal(found, QN_Q4_K);
    assert_true(qn_dtype_find("bF16", &found));
    assert_int_equal(found, QN_BF16);
    static const char *const unknown[] = {"", "Q4", "Q4_K_M", "Q4_KK", "F", "Q8_0 "};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        assert_false(qn_dtype_find(unknown[i], &found));
        assert_int_equal(found, QN_BF16);
    }
}

static void test_row_size(void **state) {
    qn_error err;
    uint64_t size = 0;
    (void)state;
    assert_ok(&err, qn_row_size(QN_Q4_K, 1024, &size, &err));
    assert_int_equal(size, 576);
    assert_ok(&err, qn_row_size(QN_Q8_0, 0, &size, &err));
    assert_int_equal(size, 0);
    assert_status(&err, qn_row_size(QN_Q4_K, 1000, &size, &err), QN_E_SHAPE);
    assert_message_has(&err, "Q4_K");
    assert_message_has(&err, "256");
    assert_message_has(&err, "1000");
    assert_status(&err, qn_row_size(QN_F64, UINT64_MAX / 4, &size, &err), QN_E_RANGE);
    assert_status(&err, qn_row_size((qn_dtype)4, 32, &size, &err), QN_E_UNSUPPORTED);
    assert_message_has(&err, "4");
}

/* What the table says a type can do, the codecs do, and nothing else. */
static void test_flags(void **state) {
    static float x[256];
    static unsigned char packed[2048];
    qn_error err;
    (void)state;
    for (size_t i = 0; i < N_ROWS; i++) {
        const qn_dtype type = (qn_dtype)rows[i].id;
        const qn_dtype_info *info = qn_dtype_get(rows[i].id);
        for (int level = 0; level <= top_level(); level++) {
            assert_status(&err,
                          qn_encode_rows((qn_cpu_level)level, QN_EFFORT_NORMAL, type, x, 1, 256, NULL, packed, &err),
                          info->has_encoder ? QN_OK : QN_E_UNSUPPORTED);
            assert_status(&err, qn_decode_rows((qn_cpu_level)level, type, packed, 1, 256, x, &err),
                          info->has_decoder ? QN_OK : QN_E_UNSUPPORTED);
        }
        assert_true(info->has_decoder || !info->has_encoder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),     cmocka_unit_test(test_holes), cmocka_unit_test(test_find),
        cmocka_unit_test(test_row_size), cmocka_unit_test(test_flags),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
