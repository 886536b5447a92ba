/* SPDX-License-Identifier: MIT */
/* test_divergence.c: losses, divergences, percentiles and error bars against values worked out by hand. */
#include "support.h"

#include "calib/divergence.h"

#include <math.h>

static void assert_near(double found, double wanted, double tolerance) {
    if (!(fabs(found - wanted) <= tolerance)) {
        print_error("found %.17g, wanted %.17g\n", found, wanted);
        fail();
    }
}

/* Logits are logarithms of probabilities, plus anything. */
static void fill(float *logits, const double *p, uint64_t n, double shift) {
    for (uint64_t i = 0; i < n; i++) {
        logits[i] = (float)(log(p[i]) + shift);
    }
}

static void test_loss(void **state) {
    const double p[] = {0.5, 0.25, 0.125, 0.125};
    const double shifts[] = {0, 40, -90, 1e4};
    float logits[4];
    (void)state;
    for (size_t i = 0; i < sizeof shifts / sizeof shifts[0]; i++) {
        const double tolerance = 1e-6 + fabs(shifts[i]) * 1e-7; /* of float32 */
        fill(logits, p, 4, shifts[i]);
        assert_near(qn_nll_of(logits, 4, 0), log(2), tolerance);
        assert_near(qn_nll_of(logits, 4, 3), log(8), tolerance);
    }
}

static void test_row(void **state) {
    static const struct {
        double base[3], model[3];
        int32_t target;
        double kld, p_diff;
        bool is_top_same;
    } cases[] = {
        {{0.5, 0.25, 0.25}, {0.5, 0.25, 0.25}, 0, 0, 0, true},
        /* 0.5 ln 2 + 0.25 ln 0.5 + 0.25 ln 1 */
        {{0.5, 0.25, 0.25}, {0.25, 0.5, 0.25}, 0, 0.17328679513998632, -0.25, false},
        /* 0.75 ln 1.5 + 0.125 ln 0.5 + 0.125 ln 0.5 */
        {{0.75, 0.125, 0.125}, {0.5, 0.25, 0.25}, 1, 0.13081203594113694, 0.125, true},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        float base[3];
        float model[3];
        fill(base, cases[i].base, 3, 2);
        fill(model, cases[i].model, 3, -7);
        const qn_divergence_row row = qn_divergence_of(base, model, 3, cases[i].target);
        assert_near(row.kld, cases[i].kld, 1e-6);
        assert_near(row.p_diff, cases[i].p_diff, 1e-6);
        assert_near(row.nll, -log(cases[i].model[cases[i].target]), 1e-6);
        assert_near(row.nll_base, -log(cases[i].base[cases[i].target]), 1e-6);
        assert_int_equal(row.is_top_same, cases[i].is_top_same);
    }
}

/* Losses 1, 2, 3 and 6: mean 3, variance 3.5, error sqrt(3.5 / 3). */
static void test_perplexity(void **state) {
    float logits[4][2];
    const int32_t targets[] = {0, 0, 0, 0};
    const double losses[] = {1, 2, 3, 6};
    qn_nll_sum sum = {0};
    qn_error err;
    (void)state;
    assert_true(qn_nll_mean(&sum).value == 0 && qn_nll_mean(&sum).error == 0);
    for (int i = 0; i < 4; i++) {
        const double p = exp(-losses[i]);
        fill(logits[i], (const double[]){p, 1 - p}, 2, 0);
    }
    assert_ok(&err, qn_nll_add(&sum, NULL, logits[0], targets, 1, 2, &err));
    assert_near(qn_nll_mean(&sum).error, 0, 0);
    assert_ok(&err, qn_nll_add(&sum, NULL, logits[1], targets, 3, 2, &err));
    assert_int_equal(sum.n, 4);
    assert_near(qn_nll_mean(&sum).value, 3, 1e-6);
    assert_near(qn_nll_mean(&sum).error, sqrt(3.5 / 3), 1e-6);
    assert_near(qn_perplexity_of(&sum).value, exp(3), 1e-5);
    assert_near(qn_perplexity_of(&sum).error, exp(3) * sqrt(3.5 / 3), 1e-5);
}

enum { N_ROWS = 101, N_VOCAB = 17 };

static void fill_rows(float *base, float *model, int32_t *targets) {
    uint32_t seed = 12345;
    for (int i = 0; i < N_ROWS * N_VOCAB; i++) {
        seed = seed * 1664525 + 1013904223;
        base[i] = (float)(seed >> 16) / 8192.0F;
        seed = seed * 1664525 + 1013904223;
        model[i] = base[i] + (float)(seed >> 16) / 65536.0F;
    }
    for (int i = 0; i < N_ROWS; i++) {
        targets[i] = i % N_VOCAB;
    }
}

/* Plain formulas over the rows themselves. */
static void check_against_rows(const qn_divergence_stats *s, const float *base, const float *model,
                               const int32_t *targets) {
    double kld = 0, square = 0, loss = 0, loss_base = 0, p2 = 0, most = 0, same = 0;
    for (int i = 0; i < N_ROWS; i++) {
        const qn_divergence_row r = qn_divergence_of(base + i * N_VOCAB, model + i * N_VOCAB, N_VOCAB, targets[i]);
        kld += r.kld;
        loss += r.nll;
        loss_base += r.nll_base;
        p2 += r.p_diff * r.p_diff;
        most = fmax(most, r.kld);
        same += r.is_top_same;
    }
    for (int i = 0; i < N_ROWS; i++) {
        const qn_divergence_row r = qn_divergence_of(base + i * N_VOCAB, model + i * N_VOCAB, N_VOCAB, targets[i]);
        const double d = r.nll - r.nll_base - (loss - loss_base) / N_ROWS;
        square += d * d;
    }
    assert_near(s->kld.value, kld / N_ROWS, 1e-12);
    assert_near(s->klds.max, most, 0);
    assert_near(s->ppl.value, exp(loss / N_ROWS), 1e-9);
    assert_near(s->ln_ppl_ratio.value, (loss - loss_base) / N_ROWS, 1e-12);
    /* errors of paired differences, which is what the covariance is for */
    assert_near(s->ln_ppl_ratio.error, sqrt(square / N_ROWS / (N_ROWS - 1)), 1e-9);
    assert_near(s->p_diff_rms.value, sqrt(p2 / N_ROWS), 1e-12);
    assert_near(s->same_top.value, same / N_ROWS, 1e-12);
    assert_near(s->same_top.error, sqrt(same / N_ROWS * (1 - same / N_ROWS) / (N_ROWS - 1)), 1e-12);
}

static void test_statistics(void **state) {
    float *base = calloc(N_ROWS * N_VOCAB, sizeof *base);
    float *model = calloc(N_ROWS * N_VOCAB, sizeof *model);
    int32_t targets[N_ROWS];
    qn_pool *pool = qn_pool_new(3);
    qn_divergence *one = qn_divergence_new();
    qn_divergence *many = qn_divergence_new();
    qn_divergence_stats a;
    qn_divergence_stats b;
    qn_error err;
    (void)state;
    assert_non_null(base);
    assert_non_null(model);
    assert_ok(&err, qn_divergence_result(one, &a, &err));
    assert_int_equal(a.n_tokens, 0);
    fill_rows(base, model, targets);
    assert_ok(&err, qn_divergence_add(one, NULL, base, model, targets, N_ROWS, N_VOCAB, &err));
    assert_ok(&err, qn_divergence_result(one, &a, &err));
    check_against_rows(&a, base, model, targets);
    for (uint64_t i = 0; i < N_ROWS; i += 25) { /* portions and threads change no bit */
        const uint64_t n = N_ROWS - i < 25 ? N_ROWS - i : 25;
        assert_ok(
            &err,
            qn_divergence_add(many, pool, base + i * N_VOCAB, model + i * N_VOCAB, targets + i, n, N_VOCAB, &err));
    }
    assert_ok(&err, qn_divergence_result(many, &b, &err));
    assert_memory_equal(&a, &b, sizeof a);
    assert_true(a.klds.min <= a.klds.p1 && a.klds.p1 <= a.klds.median && a.klds.median <= a.klds.p99);
    assert_true(a.klds.p99 <= a.klds.p999 && a.klds.p999 <= a.klds.max);
    qn_divergence_free(one);
    qn_divergence_free(many);
    qn_pool_free(pool);
    free(base);
    free(model);
}

/* Divergences 0, 1, 2, 3, 4 (nearly): percentiles lie between neighbours. */
static void test_percentiles(void **state) {
    const double tiny = 1e-9;
    float base[2];
    float model[2];
    const int32_t target = 0;
    qn_divergence *d = qn_divergence_new();
    qn_divergence_stats s;
    qn_error err;
    (void)state;
    for (int i = 4; i >= 0; i--) { /* nearly all of the base's probability on a token that the model gives exp(-i) */
        fill(base, (const double[]){1 - tiny, tiny}, 2, 0);
        fill(model, (const double[]){i == 0 ? 1 - tiny : exp(-i), i == 0 ? tiny : 1 - exp(-i)}, 2, 0);
        assert_ok(&err, qn_divergence_add(d, NULL, base, model, &target, 1, 2, &err));
    }
    assert_ok(&err, qn_divergence_result(d, &s, &err));
    assert_near(s.klds.median, 2, 1e-5);
    assert_near(s.klds.p90, 3.6, 1e-5);
    assert_near(s.klds.p999, 3.996, 1e-5);
    assert_near(s.klds.max, 4, 1e-5);
    assert_near(s.klds.p10, 0.4, 1e-5);
    assert_near(s.kld.value, 2, 1e-5);
    assert_near(s.kld.error, sqrt(2.0 / 4), 1e-5);
    qn_divergence_free(d);
}

static void test_same_model(void **state) {
    float *base = calloc(N_ROWS * N_VOCAB, sizeof *base);
    float *model = calloc(N_ROWS * N_VOCAB, sizeof *model);
    int32_t targets[N_ROWS];
    qn_divergence *d = qn_divergence_new();
    qn_divergence_stats s;
    qn_error err;
    (void)state;
    assert_non_null(base);
    assert_non_null(model);
    fill_rows(base, model, targets);
    assert_ok(&err, qn_divergence_add(d, NULL, base, base, targets, N_ROWS, N_VOCAB, &err));
    assert_ok(&err, qn_divergence_result(d, &s, &err));
    assert_near(s.klds.max, 0, 1e-14);
    assert_near(s.ppl_ratio.value, 1, 0);
    assert_near(s.ppl_ratio.error, 0, 1e-7);
    assert_near(s.correlation, 1, 1e-9);
    assert_near(s.same_top.value, 1, 0);
    assert_near(s.p_diff_rms.value, 0, 0);
    qn_divergence_free(d);
    free(base);
    free(model);
}

static void test_not_finite(void **state) {
    static const struct {
        float base, model;
        const char *message;
    } cases[] = {{0, (float)NAN, "of the model measured are not finite at position 1 of 2"},
                 {INFINITY, 0, "of the base are not finite"},
                 {0, -INFINITY, "of the model measured"}};
    const int32_t targets[] = {0, 1};
    qn_error err;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const float base[] = {0, 1, cases[i].base, 1};
        const float model[] = {0, 1, cases[i].model, 1};
        qn_divergence *d = qn_divergence_new();
        assert_status(&err, qn_divergence_add(d, NULL, base, model, targets, 2, 2, &err), QN_E_RANGE);
        assert_message_has(&err, cases[i].message);
        assert_int_equal(qn_divergence_losses(d, false)->n, 0);
        qn_divergence_free(d);
    }
    const float bad[] = {(float)NAN, 0};
    qn_nll_sum sum = {0};
    assert_status(&err, qn_nll_add(&sum, NULL, bad, targets, 1, 2, &err), QN_E_RANGE);
    assert_int_equal(sum.n, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loss),       cmocka_unit_test(test_row),         cmocka_unit_test(test_perplexity),
        cmocka_unit_test(test_statistics), cmocka_unit_test(test_percentiles), cmocka_unit_test(test_same_model),
        cmocka_unit_test(test_not_finite),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
