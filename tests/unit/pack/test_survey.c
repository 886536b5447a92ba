/* SPDX-License-Identifier: MIT */
/* test_survey.c: surveyed errors against direct ones, for any number of threads; what is left out; stopping. */
#include "pack/survey.h"
#include "recipe/recipe.h"

#include "support.h"

#include <math.h>

enum { N_TENSORS = 7, MAX_WEIGHTS = 4096 * 256 };

static const qn_dtype TYPES[] = {QN_Q2_K, QN_Q4_K, QN_Q8_0, QN_F16, QN_IQ2_XXS};
enum { N_TYPES = 5 };

/* A model in memory. */
typedef struct memory_model {
    qn_model model;
    qn_model_tensor tensors[N_TENSORS];
    float *values[N_TENSORS];
    float *importance[N_TENSORS];
} memory_model;

static const struct {
    const char *name;
    qn_shape shape;
    uint64_t n_importance;
} SHAPES[N_TENSORS] = {
    {"token_embd.weight", {2, {4096, 256}}, 0},
    {"blk.0.attn_norm.weight", {1, {256}}, 0},
    {"blk.0.attn_q.weight", {2, {24, 256}}, 256},
    {"blk.0.ffn_up.weight", {2, {24, 512}}, 0},
    {"blk.0.ffn_down_exps.weight", {3, {4, 8, 256}}, 4 * 256},
    {"blk.0.odd.weight", {2, {16, 96}}, 0},
    {"blk.0.tiny.weight", {2, {16, 3}}, 0},
};

static float next_value(uint32_t *state) {
    float sum = 0;
    for (unsigned i = 0; i < 4; i++) {
        *state = *state * 1664525U + 1013904223U;
        sum += (float)(*state >> 8) / 16777216.0F - 0.5F;
    }
    return sum;
}

static void begin_model(memory_model *m) {
    uint32_t seed = 1;
    *m = (memory_model){.model = {.arena = qn_arena_new(), .tensors = m->tensors, .n_tensors = N_TENSORS}};
    for (uint64_t i = 0; i < N_TENSORS; i++) {
        const uint64_t n_rows = qn_shape_rows(&SHAPES[i].shape);
        const uint64_t n_cols = qn_shape_cols(&SHAPES[i].shape);
        m->values[i] = calloc(n_rows * n_cols, sizeof(float));
        m->importance[i] = SHAPES[i].n_importance == 0 ? NULL : calloc(SHAPES[i].n_importance, sizeof(float));
        for (uint64_t k = 0; k < n_rows * n_cols; k++) {
            m->values[i][k] = next_value(&seed);
        }
        for (uint64_t k = 0; m->importance[i] != NULL && k < SHAPES[i].n_importance; k++) {
            const uint64_t expert = k / n_cols;
            m->importance[i][k] = fabsf(next_value(&seed)) * (float)(1 + expert);
        }
        m->tensors[i] = (qn_model_tensor){.name = SHAPES[i].name, .shape = SHAPES[i].shape};
        m->tensors[i].recipe = qn_recipe_values(m->model.arena, m->values[i], n_rows, n_cols);
    }
}

static void end_model(memory_model *m) {
    for (uint64_t i = 0; i < N_TENSORS; i++) {
        free(m->values[i]);
        free(m->importance[i]);
    }
    qn_arena_free(m->model.arena);
}

static qn_survey_request request_of(const memory_model *m) {
    return (qn_survey_request){
        .model = &m->model, .importance = (const float *const *)m->importance, .types = TYPES, .n_types = N_TYPES - 1};
}

static void run(const qn_survey_request *request, unsigned n_threads, qn_survey *out) {
    qn_job *job = qn_job_new(n_threads, NULL, NULL);
    qn_error err;
    assert_ok(&err, qn_survey_run(request, job, out, &err));
    qn_job_free(job);
}

/* The error of a whole tensor as a type, and with type F32 its energy. */
static double direct_error(const memory_model *m, uint64_t index, qn_dtype type) {
    const uint64_t n_rows = qn_shape_rows(&SHAPES[index].shape);
    const uint64_t n_cols = qn_shape_cols(&SHAPES[index].shape);
    const uint64_t matrix_rows = SHAPES[index].shape.dims[SHAPES[index].shape.n_dims - 2];
    unsigned char coded[4096];
    float decoded[1024];
    double sum = 0;
    for (uint64_t row = 0; row < n_rows; row++) {
        const float *x = m->values[index] + row * n_cols;
        const float *v = m->importance[index] == NULL ? NULL : m->importance[index] + row / matrix_rows * n_cols;
        qn_error err;
        memset(decoded, 0, sizeof decoded);
        if (type != QN_F32) {
            assert_ok(&err, qn_encode_rows(qn_cpu_detect(), QN_EFFORT_NORMAL, type, x, 1, n_cols, v, coded, &err));
            assert_ok(&err, qn_decode_rows(qn_cpu_detect(), type, coded, 1, n_cols, decoded, &err));
        }
        for (uint64_t k = 0; k < n_cols; k++) {
            const double d = (double)x[k] - (double)decoded[k];
            sum += (v == NULL ? 1.0 : (double)v[k]) * d * d;
        }
    }
    return sum;
}

static void assert_near(double found, double wanted, double part) {
    if (!(fabs(found - wanted) <= part * fabs(wanted))) {
        print_error("%g, wanted %g\n", found, wanted);
        fail();
    }
}

static void whole_tensors_have_their_error(void **state) {
    (void)state;
    memory_model m;
    begin_model(&m);
    qn_survey_request request = request_of(&m);
    for (unsigned pass = 0; pass < 2; pass++) {
        qn_survey survey;
        request.max_weights = pass == 0 ? MAX_WEIGHTS : 0;
        run(&request, 2, &survey);
        /* The norm is not eligible. */
        assert_int_equal(survey.n_tensors, N_TENSORS - 1);
        for (uint64_t i = 0; i < survey.n_tensors; i++) {
            const qn_survey_tensor *t = &survey.tensors[i];
            assert_int_equal(t->index, i == 0 ? 0 : i + 1);
            assert_string_equal(t->name, SHAPES[t->index].name);
            assert_int_equal(t->n_choices, i < 4 ? 4 : i == 4 ? 2 : 1);
            /* Pass 1 samples an eighth of the embedding, and all of the small ones. */
            const double part = pass == 1 && i == 0 ? 0.03 : 1e-9;
            assert_near(t->energy, direct_error(&m, t->index, QN_F32), part);
            for (uint32_t k = 0; k < t->n_choices; k++) {
                uint64_t row = 0;
                qn_error err;
                assert_int_equal(t->choices[k].type, TYPES[N_TYPES - 1 - t->n_choices + k]);
                assert_near(t->choices[k].error, direct_error(&m, t->index, t->choices[k].type), part);
                assert_ok(&err, qn_row_size(t->choices[k].type, qn_shape_cols(&SHAPES[t->index].shape), &row, &err));
                const uint64_t size = row * qn_shape_rows(&SHAPES[t->index].shape);
                assert_int_equal(t->choices[k].size_bytes, (size + 31) / 32 * 32);
            }
        }
        qn_survey_clear(&survey);
    }
    end_model(&m);
}

static void threads_change_nothing(void **state) {
    (void)state;
    memory_model m;
    qn_survey surveys[2];
    begin_model(&m);
    const qn_survey_request request = request_of(&m);
    run(&request, 1, &surveys[0]);
    run(&request, 3, &surveys[1]);
    assert_int_equal(surveys[0].n_tensors, surveys[1].n_tensors);
    for (uint64_t i = 0; i < surveys[0].n_tensors; i++) {
        const qn_survey_tensor *a = &surveys[0].tensors[i];
        const qn_survey_tensor *b = &surveys[1].tensors[i];
        assert_true(a->energy == b->energy && a->weight == b->weight);
        for (uint32_t k = 0; k < a->n_choices; k++) {
            assert_true(a->choices[k].error == b->choices[k].error);
        }
    }
    qn_survey_clear(&surveys[0]);
    qn_survey_clear(&surveys[1]);
    qn_survey_clear(&surveys[1]); /* an empty one */
    end_model(&m);
}

/* Types that need importance, tensors decided already, weights that are not finite. */
static void what_cannot_be_is_left_out(void **state) {
    (void)state;
    memory_model m;
    qn_survey survey;
    bool is_left[N_TENSORS] = {[0] = true, [2] = true, [4] = true};
    begin_model(&m);
    m.values[3][700] = NAN;
    m.values[5][3] = INFINITY;
    qn_survey_request request = request_of(&m);
    request.n_types = N_TYPES;
    request.is_left = is_left;
    run(&request, 2, &survey);
    assert_int_equal(survey.n_tensors, 3);
    assert_string_equal(survey.tensors[0].name, "blk.0.ffn_up.weight");
    assert_int_equal(survey.tensors[0].n_choices, 4);
    for (uint64_t i = 0; i < survey.n_tensors; i++) {
        assert_true(isfinite(survey.tensors[i].energy) && survey.tensors[i].energy > 0);
        assert_true(isfinite(survey.tensors[i].choices[0].error) && survey.tensors[i].choices[0].error > 0);
    }
    qn_survey_clear(&survey);
    request.importance = NULL;
    is_left[2] = false;
    run(&request, 2, &survey);
    assert_int_equal(survey.n_tensors, 4);
    assert_int_equal(survey.tensors[0].n_choices, 4);
    qn_survey_clear(&survey);
    end_model(&m);
}

/* Weights that F16 cannot hold, nor the scales of blocks. */
static void what_a_type_cannot_hold_costs_all(void **state) {
    (void)state;
    memory_model m;
    qn_survey survey;
    begin_model(&m);
    for (uint64_t k = 0; k < 24 * 512; k++) {
        m.values[3][k] *= 1e30F;
    }
    const qn_survey_request request = request_of(&m);
    run(&request, 1, &survey);
    assert_string_equal(survey.tensors[2].name, "blk.0.ffn_up.weight");
    for (uint32_t k = 0; k < 4; k++) {
        assert_true(survey.tensors[2].choices[k].error == HUGE_VAL);
    }
    qn_survey_clear(&survey);
    end_model(&m);
}

/* What a job's listener heard. */
typedef struct heard {
    unsigned n_stages;
    unsigned n_progress;
    uint64_t bytes_done, bytes_total;
    qn_job *job;
    bool cancels;
} heard;

static void listen(void *user, const qn_event *event) {
    heard *h = user;
    if (event->kind == QN_EVENT_STAGE) {
        h->n_stages++;
        assert_string_equal(event->stage, "Survey");
        if (h->cancels) {
            qn_job_cancel(h->job);
        }
    } else if (event->kind == QN_EVENT_PROGRESS) {
        h->n_progress++;
        h->bytes_done = event->bytes_done;
        h->bytes_total = event->bytes_total;
    }
}

static void progress_is_told_and_a_survey_stops(void **state) {
    (void)state;
    memory_model m;
    heard h = {0};
    qn_survey survey;
    qn_error err;
    begin_model(&m);
    const qn_survey_request request = request_of(&m);
    h.job = qn_job_new(2, listen, &h);
    assert_ok(&err, qn_survey_run(&request, h.job, &survey, &err));
    assert_int_equal(h.n_stages, 1);
    assert_true(h.n_progress >= 1 && h.bytes_done == h.bytes_total && h.bytes_total > 4 * 24 * 512);
    qn_survey_clear(&survey);
    h.cancels = true;
    assert_status(&err, qn_survey_run(&request, h.job, &survey, &err), QN_E_INTERRUPTED);
    assert_null(survey.arena);
    qn_job_free(h.job);
    end_model(&m);
}

static void weights_go_by_role_and_place(void **state) {
    (void)state;
    static const struct {
        const char *more;
        const char *less;
    } cases[] = {{"token_embd.weight", "output.weight"},
                 {"output.weight", "blk.0.ffn_down.weight"},
                 {"blk.0.ffn_down.weight", "blk.1.ffn_down.weight"},
                 {"blk.1.ffn_down.weight", "blk.30.ffn_down.weight"},
                 {"blk.3.ffn_down_exps.weight", "blk.3.attn_v.weight"},
                 {"blk.3.attn_qkv.weight", "blk.3.attn_v.weight"},
                 {"blk.3.attn_v.weight", "blk.3.attn_q.weight"},
                 {"blk.3.ssm_in.weight", "blk.3.attn_output.weight"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_true(qn_survey_weight(cases[i].more, false) > qn_survey_weight(cases[i].less, false));
    }
    assert_near(qn_survey_weight("token_embd.weight", true),
                qn_survey_weight("token_embd.weight", false) + qn_survey_weight("output.weight", false), 1e-12);
}

static void candidates_can_be_written_and_read(void **state) {
    (void)state;
    uint32_t n = 0;
    const qn_dtype *types = qn_survey_candidates(&n);
    assert_true(n > 10);
    for (uint32_t i = 0; i < n; i++) {
        const qn_dtype_info *info = qn_dtype_get((uint32_t)types[i]);
        assert_true(info != NULL && info->has_encoder && info->has_decoder);
        for (uint32_t k = 0; k < i; k++) {
            assert_int_not_equal(types[k], types[i]);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_tensors_have_their_error),      cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(what_cannot_be_is_left_out),          cmocka_unit_test(what_a_type_cannot_hold_costs_all),
        cmocka_unit_test(progress_is_told_and_a_survey_stops), cmocka_unit_test(weights_go_by_role_and_place),
        cmocka_unit_test(candidates_can_be_written_and_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
