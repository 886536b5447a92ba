/* SPDX-License-Identifier: MIT */
/* test_convert.c: binary16 and bfloat16 both ways, rows and single numbers; the hunt for NaN and infinity. */
#include "vectors.h"

#include <math.h>

enum { N_SPECIAL = 1024 };

static void test_special_values(void **state) {
    size_t size = 0;
    qn_error err;
    float *x = read_vector("conv_special.f32.bin", &size);
    assert_int_equal(size, N_SPECIAL * sizeof *x);
    uint16_t *f16 = read_vector("conv_special.f16.bin", &size);
    uint16_t *bf16 = read_vector("conv_special.bf16.bin", &size);
    assert_int_equal(size, N_SPECIAL * sizeof *bf16);
    (void)state;
    for (size_t i = 0; i < N_SPECIAL; i++) {
        assert_int_equal(qn_f32_to_f16(x[i]), f16[i]);
        assert_int_equal(qn_f32_to_bf16(x[i]), bf16[i]);
    }
    for (int level = 0; level <= top_level(); level++) {
        /* Odd starts and lengths: what is left behind whole registers. */
        for (size_t first = 0; first < 3; first++) {
            uint16_t found[N_SPECIAL];
            const uint64_t n = N_SPECIAL - 5 * first;
            assert_ok(
                &err,
                qn_encode_rows((qn_cpu_level)level, QN_EFFORT_NORMAL, QN_F16, x + first, 1, n, NULL, found, &err));
            check_same_bytes("F16", level, found, f16 + first, n * 2);
            assert_ok(
                &err,
                qn_encode_rows((qn_cpu_level)level, QN_EFFORT_NORMAL, QN_BF16, x + first, n, 1, NULL, found, &err));
            check_same_bytes("BF16", level, found, bf16 + first, n * 2);
        }
    }
    free(x);
    free(f16);
    free(bf16);
}

/* Every f16: its value by the definition, back to the same bits, and rows like single numbers. */
static void test_all_halves(void **state) {
    enum { N = 65536 };
    uint16_t *bits = malloc(N * sizeof *bits);
    float *wanted = malloc(N * sizeof *wanted);
    float *found = malloc(N * sizeof *found);
    qn_error err;
    (void)state;
    assert_true(bits != NULL && wanted != NULL && found != NULL);
    for (uint32_t i = 0; i < N; i++) {
        const int exponent = (int)(i >> 10 & 31);
        const int mantissa = (int)(i & 1023);
        bits[i] = (uint16_t)i;
        wanted[i] = qn_f16_to_f32(bits[i]);
        if (exponent < 31) {
            const double size = exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, exponent - 25);
            assert_true((double)wanted[i] == (i >= 32768 ? -size : size));
            assert_int_equal(qn_f32_to_f16(wanted[i]), i);
        } else if (mantissa == 0) {
            assert_true(isinf(wanted[i]) && (wanted[i] < 0) == (i >= 32768));
            assert_int_equal(qn_f32_to_f16(wanted[i]), i);
        } else {
            assert_true(isnan(wanted[i]));
            assert_int_equal(qn_f32_to_f16(wanted[i]), (i & 0x8000U) | 0x7E00U);
        }
    }
    for (int level = 0; level <= top_level(); level++) {
        assert_ok(&err, qn_decode_rows((qn_cpu_level)level, QN_F16, bits, 1, N, found, &err));
        check_same_bytes("F16", level, found, wanted, N * sizeof *found);
        assert_ok(&err, qn_decode_rows((qn_cpu_level)level, QN_BF16, bits, 1, N, found, &err));
        for (uint32_t i = 0; i < N; i++) {
            const uint32_t wide = i << 16;
            assert_memory_equal(&found[i], &wide, sizeof wide);
        }
    }
    free(bits);
    free(wanted);
    free(found);
}

/* The middle between two neighbouring f16 goes to the even one, what is a hair off goes to the nearer one. */
static void test_half_ties(void **state) {
    (void)state;
    for (uint16_t h = 0; h < 0x7BFF; h++) {
        const float low = qn_f16_to_f32(h);
        const float high = qn_f16_to_f32((uint16_t)(h + 1));
        const float middle = low + (high - low) / 2.0F;
        assert_int_equal(qn_f32_to_f16(middle), h % 2 == 0 ? h : h + 1);
        assert_int_equal(qn_f32_to_f16(nextafterf(middle, 0.0F)), h);
        assert_int_equal(qn_f32_to_f16(nextafterf(middle, 1e9F)), h + 1);
    }
    assert_int_equal(qn_f32_to_f16(65519.99F), 0x7BFF);
    assert_int_equal(qn_f32_to_f16(65520.0F), 0x7C00);
    assert_int_equal(qn_f32_to_f16(-3e38F), 0xFC00);
}

static void test_find_nonfinite(void **state) {
    enum { N = 1000 };
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    static const size_t places[] = {0, 1, 7, 8, 63, 255, 256, 257, 511, 512, 767, 768, 998, 999};
    float x[N];
    (void)state;
    for (size_t i = 0; i < N; i++) {
        x[i] = i % 2 == 0 ? 3.4e38F : -1e-44F;
    }
    for (int level = 0; level <= top_level(); level++) {
        const qn_cpu_level at = (qn_cpu_level)level;
        for (uint64_t n = 0; n <= N; n += n < 20 ? 1 : 49) {
            assert_int_equal(qn_find_nonfinite(at, x, n), n);
        }
        for (size_t p = 0; p < sizeof places / sizeof places[0]; p++) {
            for (size_t b = 0; b < sizeof bad / sizeof bad[0]; b++) {
                const float saved = x[places[p]];
                const float last = x[N - 1];
                x[N - 1] = NAN; /* only the first is told */
                x[places[p]] = bad[b];
                assert_int_equal(qn_find_nonfinite(at, x, N), places[p]);
                assert_int_equal(qn_find_nonfinite(at, x, places[p]), places[p]);
                x[N - 1] = last;
                x[places[p]] = saved;
            }
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_all_halves),
        cmocka_unit_test(test_half_ties),
        cmocka_unit_test(test_find_nonfinite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
