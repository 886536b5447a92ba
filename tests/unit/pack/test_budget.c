/* SPDX-License-Identifier: MIT */
/* test_budget.c: choices of types against the best of all choices, the ends of the range, and the text's way back. */
#include "pack/budget.h"
#include "stream/type_rules.h"

#include "support.h"

#include <math.h>

enum { MAX_TENSORS = 8, MAX_CHOICES = 5 };

static const qn_dtype TYPES[MAX_CHOICES] = {QN_Q2_K, QN_Q3_K, QN_Q4_K, QN_Q5_K, QN_Q6_K};

/* A survey made by hand. */
typedef struct case_survey {
    qn_survey survey;
    qn_survey_tensor tensors[MAX_TENSORS];
    qn_survey_choice choices[MAX_TENSORS][MAX_CHOICES];
} case_survey;

static void begin_survey(case_survey *c) {
    static const char *const names[MAX_TENSORS] = {"token_embd.weight",   "blk.0.attn_q.weight", "blk.0.attn_v.weight",
                                                   "blk.0.ffn_up.weight", "blk.1.attn_q.weight", "blk.10.attn_q.weight",
                                                   "odd.[name] + (x)=y",  "output.weight"};
    *c = (case_survey){.survey = {.tensors = c->tensors}};
    for (uint64_t i = 0; i < MAX_TENSORS; i++) {
        c->tensors[i] = (qn_survey_tensor){.index = i, .name = names[i], .energy = 1, .weight = 1};
        c->tensors[i].choices = c->choices[i];
    }
}

static void add_choice(case_survey *c, uint64_t tensor, uint64_t size_bytes, double error) {
    qn_survey_tensor *t = &c->tensors[tensor];
    t->choices[t->n_choices] = (qn_survey_choice){TYPES[t->n_choices], size_bytes, error};
    t->n_choices++;
    c->survey.n_tensors = tensor >= c->survey.n_tensors ? tensor + 1 : c->survey.n_tensors;
}

static uint64_t next_random(uint64_t *state) {
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    return *state >> 33;
}

/* Error falls about fourfold a bit, as it does for weights, with some noise; sizes grow. */
static void random_survey(case_survey *c, uint64_t *state) {
    begin_survey(c);
    const uint64_t n = 2 + next_random(state) % 5;
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t scale = 1 + next_random(state) % 20;
        double error = 1.0 + (double)(next_random(state) % 1000);
        const uint64_t n_choices = 1 + next_random(state) % MAX_CHOICES;
        for (uint64_t k = 0; k < n_choices; k++) {
            add_choice(c, i, scale * (2 + k) + next_random(state) % 3, error);
            error *= 0.15 + 0.01 * (double)(next_random(state) % 60);
        }
        c->tensors[i].weight = 0.5 + 0.1 * (double)(next_random(state) % 30);
    }
}

/* The least cost there is, by trying everything; -1 when nothing fits. */
static double best_of_all(const case_survey *c, uint64_t tensor, uint64_t budget) {
    double best = -1;
    if (tensor == c->survey.n_tensors) {
        return 0;
    }
    const qn_survey_tensor *t = &c->tensors[tensor];
    for (uint32_t k = 0; k < t->n_choices; k++) {
        if (t->choices[k].size_bytes > budget) {
            continue;
        }
        const double rest = best_of_all(c, tensor + 1, budget - t->choices[k].size_bytes);
        const double cost = rest < 0 ? -1 : rest + qn_survey_cost(t, &t->choices[k]);
        best = cost >= 0 && (best < 0 || cost < best) ? cost : best;
    }
    return best;
}

static const qn_survey_choice *choice_of(const qn_survey_tensor *t, qn_dtype type) {
    for (uint32_t k = 0; k < t->n_choices; k++) {
        if (t->choices[k].type == type) {
            return &t->choices[k];
        }
    }
    fail();
    return NULL;
}

static void choices_come_near_the_best(void **state) {
    (void)state;
    uint64_t seed = 7;
    unsigned n_tried = 0;
    unsigned n_best = 0;
    for (unsigned i = 0; i < 300; i++) {
        case_survey c;
        random_survey(&c, &seed);
        qn_dtype types[MAX_TENSORS];
        qn_dtype again[MAX_TENSORS];
        qn_budget_report report;
        qn_error err;
        assert_ok(&err, qn_budget_choose(&c.survey, UINT64_MAX, types, &report, &err));
        const uint64_t span = report.max_bytes - report.min_bytes;
        for (uint64_t part = 0; part <= 4; part++) {
            const uint64_t budget = report.min_bytes + span * part / 4;
            assert_ok(&err, qn_budget_choose(&c.survey, budget, types, &report, &err));
            assert_ok(&err, qn_budget_choose(&c.survey, budget, again, NULL, &err));
            assert_memory_equal(types, again, c.survey.n_tensors * sizeof *types);
            uint64_t size = 0;
            double cost = 0;
            for (uint64_t k = 0; k < c.survey.n_tensors; k++) {
                const qn_survey_choice *choice = choice_of(&c.tensors[k], types[k]);
                size += choice->size_bytes;
                cost += qn_survey_cost(&c.tensors[k], choice);
            }
            const double best = best_of_all(&c, 0, budget);
            assert_true(size <= budget && size == report.size_bytes);
            assert_true(cost >= best * (1 - 1e-12) && cost <= report.cost * (1 + 1e-12));
            assert_true(cost <= best * 1.35);
            n_tried++;
            n_best += cost <= best * (1 + 1e-9) ? 1 : 0;
        }
    }
    assert_true(n_best > n_tried * 95 / 100);
}

static void the_ends_are_told(void **state) {
    (void)state;
    case_survey c;
    qn_dtype types[MAX_TENSORS];
    qn_budget_report report;
    qn_error err;
    begin_survey(&c);
    for (uint64_t i = 0; i < 2; i++) {
        add_choice(&c, i, 20, 9);
        add_choice(&c, i, 30, 9.5); /* larger and worse: never taken */
        add_choice(&c, i, 40, 2);
    }
    assert_status(&err, qn_budget_choose(&c.survey, 39, types, &report, &err), QN_E_USAGE);
    assert_message_has(&err, "39 bytes are too few for the weights: the smallest types that can be taken need 40");
    assert_int_equal(report.min_bytes, 40);
    static const struct {
        uint64_t budget, size;
        qn_dtype types[2];
    } cases[] = {
        {40, 40, {QN_Q2_K, QN_Q2_K}}, {59, 40, {QN_Q2_K, QN_Q2_K}},  {60, 60, {QN_Q4_K, QN_Q2_K}},
        {80, 80, {QN_Q4_K, QN_Q4_K}}, {100, 80, {QN_Q4_K, QN_Q4_K}}, {UINT64_MAX, 80, {QN_Q4_K, QN_Q4_K}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_ok(&err, qn_budget_choose(&c.survey, cases[i].budget, types, &report, &err));
        assert_int_equal(report.size_bytes, cases[i].size);
        assert_int_equal(types[0], cases[i].types[0]);
        assert_int_equal(types[1], cases[i].types[1]);
        assert_int_equal(report.max_bytes, 80);
        assert_true(report.max_cost == 18 && report.min_cost == 4);
    }
    /* What counts more is served first; what has no energy costs nothing. */
    c.tensors[1].weight = 2;
    assert_ok(&err, qn_budget_choose(&c.survey, 60, types, &report, &err));
    assert_int_equal(types[1], QN_Q4_K);
    c.tensors[1].energy = 0;
    assert_ok(&err, qn_budget_choose(&c.survey, 1000, types, &report, &err));
    assert_int_equal(types[1], QN_Q2_K);
    /* A type that cannot hold the weights is taken when nothing else fits, and only then. */
    c.tensors[1].energy = 1;
    c.choices[1][0].error = HUGE_VAL;
    assert_ok(&err, qn_budget_choose(&c.survey, 49, types, &report, &err));
    assert_int_equal(types[1], QN_Q2_K);
    assert_ok(&err, qn_budget_choose(&c.survey, 59, types, &report, &err));
    assert_int_equal(types[1], QN_Q3_K);
    assert_ok(&err, qn_budget_choose(&c.survey, 60, types, &report, &err));
    assert_int_equal(types[0], QN_Q2_K);
    assert_int_equal(types[1], QN_Q4_K);
    c.survey.n_tensors = 0;
    assert_ok(&err, qn_budget_choose(&c.survey, 0, types, &report, &err));
}

static void text_comes_back_as_rules(void **state) {
    (void)state;
    case_survey c;
    qn_dtype types[MAX_TENSORS];
    qn_buffer text = {0};
    qn_error err;
    begin_survey(&c);
    for (uint64_t i = 0; i < MAX_TENSORS; i++) {
        types[i] = TYPES[i % MAX_CHOICES];
        add_choice(&c, i, 1, 1);
    }
    qn_budget_write(&c.survey, types, &text);
    assert_ok(&err, qn_buffer_status(&text, &err));
    assert_non_null(strstr((const char *)text.data, "^blk\\.0\\.attn_v\\.weight$=Q4_K\n"));
    char *dir = make_temp_dir();
    char *file = write_file(dir, "types", text.data, text.len);
    qn_arena *arena = qn_arena_new();
    qn_type_rule *rules = NULL;
    qn_type_matcher *matcher = NULL;
    uint64_t n = 0;
    assert_ok(&err, qn_type_rules_parse(arena, NULL, 0, file, &rules, &n, &err));
    assert_int_equal(n, MAX_TENSORS);
    assert_ok(&err, qn_type_matcher_new(rules, n, &matcher, &err));
    for (uint64_t i = 0; i < MAX_TENSORS; i++) {
        const qn_type_rule *found = NULL;
        assert_ok(&err, qn_type_matcher_find(matcher, c.tensors[i].name, &found, &err));
        assert_ptr_equal(found, &rules[i]);
        assert_int_equal(found->type, types[i]);
    }
    qn_type_matcher_free(matcher);
    qn_arena_free(arena);
    qn_buffer_clear(&text);
    free(file);
    remove_temp_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(choices_come_near_the_best),
        cmocka_unit_test(the_ends_are_told),
        cmocka_unit_test(text_comes_back_as_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
