/* SPDX-License-Identifier: MIT */
/* test_sampler.c: what each filter keeps, that draws follow the probabilities, and that a seed decides everything. */
#include "support.h"

#include "engine/sampler.h"

#include <math.h>

enum { N_VOCAB = 8, N_DRAWS = 20000 };

/* Probabilities 0.40, 0.25, 0.15, 0.10, 0.05, 0.03, 0.015, 0.005 in an order that is not theirs. */
static const double shares[N_VOCAB] = {0.10, 0.40, 0.005, 0.15, 0.03, 0.25, 0.015, 0.05};

static qn_sampling everything(void) {
    qn_sampling s = qn_sampling_default();
    s.temperature = 1;
    s.top_k = 0;
    s.top_p = 1;
    s.min_p = 0;
    s.seed = 7;
    return s;
}

static void fill(float *logits) {
    for (int i = 0; i < N_VOCAB; i++) {
        logits[i] = (float)log(shares[i]) + 3.0F;
    }
}

/* Share of each token in many draws. */
static void draw_many(const qn_sampling *how, double *found) {
    qn_sampler *s = NULL;
    qn_error err;
    assert_ok(&err, qn_sampler_new(how, N_VOCAB, &s, &err));
    memset(found, 0, N_VOCAB * sizeof *found);
    for (int i = 0; i < N_DRAWS; i++) {
        float logits[N_VOCAB];
        fill(logits);
        found[qn_sampler_pick(s, logits)] += 1.0 / N_DRAWS;
    }
    qn_sampler_free(s);
}

/* Draws from the tokens of `kept` follow their shares; others never come. */
static void check_kept(const qn_sampling *how, const char *kept) {
    double found[N_VOCAB];
    double total = 0;
    draw_many(how, found);
    for (int i = 0; i < N_VOCAB; i++) {
        total += kept[i] == '1' ? shares[i] : 0;
    }
    for (int i = 0; i < N_VOCAB; i++) {
        const double wanted = kept[i] == '1' ? shares[i] / total : 0;
        const double allowed = wanted == 0 ? 0 : 5 * sqrt(wanted * (1 - wanted) / N_DRAWS) + 1e-9;
        if (fabs(found[i] - wanted) > allowed) {
            fail_msg("token %d of \"%s\": share %.4f, wanted %.4f", i, kept, found[i], wanted);
        }
    }
}

static void test_filters(void **state) {
    (void)state;
    qn_sampling s = everything();
    check_kept(&s, "11111111");
    s.top_k = 3;
    check_kept(&s, "01010100");
    s = everything();
    s.top_p = 0.64F;
    check_kept(&s, "01000100");
    s.top_p = 0.66F;
    check_kept(&s, "01010100");
    s = everything();
    s.min_p = 0.2F;
    check_kept(&s, "11010100");
    s = everything();
    s.typical_p = 0.3F; /* the entropy is 1.6 nats: shares of 0.15 and 0.25 are the nearest to e^-1.6 */
    check_kept(&s, "00010100");
    s.typical_p = 0; /* the nearest of all is left */
    check_kept(&s, "00000100");
    s = everything();
    s.top_k = 1;
    check_kept(&s, "01000000");
    s.top_k = 0;
    s.temperature = 0;
    check_kept(&s, "01000000");
}

static void test_temperature(void **state) {
    double found[N_VOCAB];
    double sum = 0;
    qn_sampling s = everything();
    (void)state;
    s.temperature = 0.5F;
    draw_many(&s, found);
    for (int i = 0; i < N_VOCAB; i++) {
        sum += shares[i] * shares[i];
    }
    for (int i = 0; i < N_VOCAB; i++) {
        assert_true(fabs(found[i] - shares[i] * shares[i] / sum) < 0.02);
    }
}

static void test_biases_and_penalties(void **state) {
    const qn_logit_bias biases[] = {{1, -HUGE_VALF}, {2, 100}, {99, 5}, {-1, 5}};
    float logits[N_VOCAB];
    qn_sampling how = everything();
    qn_sampler *s = NULL;
    qn_error err;
    (void)state;
    how.temperature = 0;
    how.biases = biases;
    how.n_biases = 1;
    assert_ok(&err, qn_sampler_new(&how, N_VOCAB, &s, &err));
    fill(logits);
    assert_int_equal(qn_sampler_pick(s, logits), 5);
    qn_sampler_free(s);
    how.n_biases = 4;
    assert_ok(&err, qn_sampler_new(&how, N_VOCAB, &s, &err));
    fill(logits);
    assert_int_equal(qn_sampler_pick(s, logits), 2);
    qn_sampler_free(s);

    how.n_biases = 0;
    how.repeat_penalty = 2; /* 3 + ln 0.4 = 2.08 becomes 1.04; token 5 has 1.61 */
    how.repeat_last_n = 2;
    assert_ok(&err, qn_sampler_new(&how, N_VOCAB, &s, &err));
    qn_sampler_accept(s, 1);
    fill(logits);
    assert_int_equal(qn_sampler_pick(s, logits), 5);
    qn_sampler_accept(s, 0);
    qn_sampler_accept(s, 2); /* token 1 is forgotten */
    fill(logits);
    assert_int_equal(qn_sampler_pick(s, logits), 1);
    qn_sampler_free(s);

    how.repeat_penalty = 1;
    how.frequency_penalty = 0.3F; /* twice takes 0.6: more than the 0.47 between the first two */
    assert_ok(&err, qn_sampler_new(&how, N_VOCAB, &s, &err));
    qn_sampler_accept(s, 1);
    fill(logits);
    assert_int_equal(qn_sampler_pick(s, logits), 1);
    qn_sampler_accept(s, 1);
    fill(logits);
    assert_int_equal(qn_sampler_pick(s, logits), 5);
    qn_sampler_free(s);
}

/* Version 2 holds the surprise near its target. */
static void test_mirostat(void **state) {
    (void)state;
    for (uint32_t version = 1; version <= 2; version++) {
        qn_sampling how = everything();
        qn_sampler *s = NULL;
        qn_error err;
        double surprise = 0;
        how.mirostat = version;
        how.mirostat_tau = 1.5F;
        assert_ok(&err, qn_sampler_new(&how, N_VOCAB, &s, &err));
        for (int i = 0; i < N_DRAWS; i++) {
            float logits[N_VOCAB];
            fill(logits);
            surprise -= log2(shares[qn_sampler_pick(s, logits)]) / N_DRAWS;
        }
        qn_sampler_free(s);
        assert_true(surprise > 1.0 && surprise < 2.3);
    }
}

static void test_seed(void **state) {
    enum { N_LARGE = 5000 };
    static float logits[N_LARGE];
    int32_t first[64];
    qn_error err;
    (void)state;
    for (int run = 0; run < 3; run++) {
        qn_sampler *s = NULL;
        qn_sampling how = qn_sampling_default();
        int n_same = 0;
        how.seed = run == 2 ? 2 : 1;
        assert_ok(&err, qn_sampler_new(&how, N_LARGE, &s, &err));
        for (int i = 0; i < 64; i++) {
            for (int t = 0; t < N_LARGE; t++) {
                logits[t] = (float)((t * 7919 + i * 104729) % 10007) / 5000.0F;
            }
            const int32_t token = qn_sampler_pick(s, logits);
            first[i] = run == 0 ? token : first[i];
            n_same += first[i] == token;
            /* Of the 40 best no logit is far from the best. */
            assert_true(logits[token] > 1.9F);
        }
        assert_int_equal(n_same == 64, run < 2);
        qn_sampler_free(s);
    }
}

static void test_hopeless_logits(void **state) {
    float logits[N_VOCAB];
    qn_sampler *s = NULL;
    qn_error err;
    const qn_sampling how = qn_sampling_default();
    (void)state;
    assert_ok(&err, qn_sampler_new(&how, N_VOCAB, &s, &err));
    for (int i = 0; i < N_VOCAB; i++) {
        logits[i] = i % 2 == 0 ? NAN : -HUGE_VALF;
    }
    const int32_t token = qn_sampler_pick(s, logits);
    assert_true(token >= 0 && token < N_VOCAB);
    qn_sampler_accept(s, -5);
    qn_sampler_accept(s, 1000);
    qn_sampler_free(s);
    qn_sampler_free(NULL);
}

static void test_ranges(void **state) {
    (void)state;
    for (int i = 0; i < 8; i++) {
        qn_sampling s = qn_sampling_default();
        qn_error err;
        s.temperature = i == 0 ? -1 : i == 1 ? NAN : s.temperature;
        s.top_p = i == 2 ? 1.5F : s.top_p;
        s.min_p = i == 3 ? -0.1F : s.min_p;
        s.repeat_penalty = i == 4 ? 0 : s.repeat_penalty;
        s.mirostat = i == 5 ? 3 : 0;
        s.repeat_last_n = i == 6 ? 70000 : s.repeat_last_n;
        assert_int_equal(qn_sampling_check(&s, &err), i == 7 ? QN_OK : QN_E_USAGE);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filters),
        cmocka_unit_test(test_temperature),
        cmocka_unit_test(test_biases_and_penalties),
        cmocka_unit_test(test_mirostat),
        cmocka_unit_test(test_seed),
        cmocka_unit_test(test_hopeless_logits),
        cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
