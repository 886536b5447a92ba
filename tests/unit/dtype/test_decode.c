/* SPDX-License-Identifier: MIT */
/* test_decode.c: blocks and numbers to float32, bit by bit the golden values, at every level and any address. */
#include "vectors.h"

#include <math.h>

static const qn_dtype golden_types[] = {QN_Q4_0,  QN_Q4_1,   QN_Q5_0,   QN_Q5_1,    QN_Q8_0,   QN_Q2_K,  QN_Q3_K,
                                        QN_Q4_K,  QN_Q5_K,   QN_Q6_K,   QN_Q8_K,    QN_MXFP4,  QN_NVFP4, QN_Q1_0,
                                        QN_Q2_0,  QN_IQ1_S,  QN_IQ1_M,  QN_IQ2_XXS, QN_IQ2_XS, QN_IQ2_S, QN_IQ3_XXS,
                                        QN_IQ3_S, QN_IQ4_NL, QN_IQ4_XS, QN_TQ1_0,   QN_TQ2_0};

static void check_golden(qn_dtype type) {
    const qn_dtype_info *info = qn_dtype_get((uint32_t)type);
    char name[64];
    size_t n_bytes = 0;
    size_t wanted_bytes = 0;
    qn_error err;
    (void)snprintf(name, sizeof name, "%s.blocks.bin", info->name);
    unsigned char *blocks = read_vector(name, &n_bytes);
    (void)snprintf(name, sizeof name, "%s.f32.bin", info->name);
    float *wanted = read_vector(name, &wanted_bytes);
    const uint64_t n_blocks = n_bytes / info->block_bytes;
    assert_true(n_blocks > 0);
    assert_int_equal(wanted_bytes, n_blocks * info->block_len * sizeof(float));

    /* An odd address: rows in a file lie where they lie. */
    unsigned char *moved = malloc(n_bytes + 1);
    float *found = malloc(wanted_bytes);
    assert_non_null(moved);
    assert_non_null(found);
    memcpy(moved + 1, blocks, n_bytes);
    for (int level = 0; level <= top_level(); level++) {
        memset(found, 0xAA, wanted_bytes);
        assert_ok(&err,
                  qn_decode_rows((qn_cpu_level)level, type, moved + 1, 2, n_blocks / 2 * info->block_len, found, &err));
        check_same_bytes(info->name, level, found, wanted, wanted_bytes);
    }
    free(blocks);
    free(wanted);
    free(moved);
    free(found);
}

static void test_golden(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof golden_types / sizeof golden_types[0]; i++) {
        check_golden(golden_types[i]);
    }
}

#define CHECK_NUMBERS(type, c_type, ...)                                                    \
    do {                                                                                    \
        static const c_type numbers[] = __VA_ARGS__;                                        \
        enum { N = sizeof numbers / sizeof numbers[0] };                                    \
        unsigned char bytes[sizeof numbers + 1];                                            \
        float found[N];                                                                     \
        memcpy(bytes + 1, numbers, sizeof numbers);                                         \
        assert_ok(&err, qn_decode_rows(QN_CPU_SCALAR, type, bytes + 1, 1, N, found, &err)); \
        for (size_t i = 0; i < N; i++) {                                                    \
            const float wanted = (float)numbers[i];                                         \
            assert_memory_equal(&found[i], &wanted, sizeof wanted);                         \
        }                                                                                   \
    } while (0)

static void test_numbers(void **state) {
    qn_error err;
    (void)state;
    CHECK_NUMBERS(QN_F32, float, {0.0F, -0.0F, 1.5F, 1e-40F, 3e38F});
    CHECK_NUMBERS(QN_F64, double, {0.0, -1.0, 0.1, 1e-46, 1e300, -1e300});
    CHECK_NUMBERS(QN_I8, int8_t, {0, 127, -128});
    CHECK_NUMBERS(QN_I16, int16_t, {0, 32767, -32768});
    CHECK_NUMBERS(QN_I32, int32_t, {0, INT32_MAX, INT32_MIN, 16777217});
    CHECK_NUMBERS(QN_I64, int64_t, {0, INT64_MAX, INT64_MIN, 16777219});
    CHECK_NUMBERS(QN_U8, uint8_t, {0, 255});
    CHECK_NUMBERS(QN_U16, uint16_t, {0, 65535});
    CHECK_NUMBERS(QN_U32, uint32_t, {0, UINT32_MAX, 16777217});
    CHECK_NUMBERS(QN_U64, uint64_t, {0, UINT64_MAX, 16777219});
    static const unsigned char truths[] = {0, 1, 255};
    float found[3];
    assert_ok(&err, qn_decode_rows(QN_CPU_SCALAR, QN_BOOL, truths, 3, 1, found, &err));
    assert_true(found[0] == 0.0F && found[1] == 1.0F && found[2] == 1.0F);
}

static void test_refusals(void **state) {
    static const unsigned char bytes[1024];
    static float found[512];
    qn_error err;
    (void)state;
    assert_status(&err, qn_decode_rows(QN_CPU_SCALAR, QN_Q4_K, bytes, 1, 255, found, &err), QN_E_SHAPE);
    assert_message_has(&err, "Q4_K");
    assert_status(&err, qn_decode_rows(QN_CPU_SCALAR, QN_I8, bytes, UINT64_MAX, 2, found, &err), QN_E_RANGE);
    assert_status(&err, qn_decode_rows(QN_CPU_SCALAR, QN_I8, bytes, UINT64_MAX / 2, 1, found, &err), QN_E_RANGE);
    assert_status(&err, qn_decode_rows(QN_CPU_SCALAR, (qn_dtype)5, bytes, 1, 1, found, &err), QN_E_UNSUPPORTED);
    found[0] = 7.0F;
    assert_ok(&err, qn_decode_rows(QN_CPU_SCALAR, QN_Q4_K, bytes, 0, 256, found, &err));
    assert_ok(&err, qn_decode_rows(QN_CPU_SCALAR, QN_F16, bytes, 5, 0, found, &err));
    assert_true(found[0] == 7.0F);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
