/* SPDX-License-Identifier: MIT */
/*
 * survey.c: workers take tensors in order; each makes its sample once and tries every type on it. A tensor's numbers
 * depend on that tensor alone, and its sums run row by row, so threads change nothing.
 */
#include "pack/survey.h"

#include "base/checked.h"
#include "container/gguf.h"
#include "stream/mixture.h"
#include "stream/mixture_rules.h"
#include "stream/stream_progress.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MIN_ROWS = 32, RUN_ROWS = 4 };

static const uint64_t DEFAULT_WEIGHTS = 1 << 17;

/** A survey under way. The lock guards what changes. */
typedef struct survey_run {
    const qn_survey_request *request;
    qn_survey *survey;
    qn_cpu_level level;
    qn_job *job;
    pthread_mutex_t lock;
    uint64_t next; /* the first tensor that no worker has taken */
    qn_status status;
    qn_error *err; /* filled by the first failure */
    qn_progress progress;
} survey_run;

/** One tensor's sample. */
typedef struct sample {
    const qn_model_tensor *tensor;
    const float *importance; /* [matrices, n_cols] or NULL */
    uint64_t n_cols;
    uint64_t n_tensor_rows;
    uint64_t matrix_rows; /* rows of one matrix of a stack */
    uint64_t n_runs;
    uint64_t run_rows;
    uint64_t n_rows;   /* n_runs * run_rows */
    float *rows;       /* [n_rows, n_cols] */
    float *decoded;    /* the same */
    uint64_t *row_nos; /* [n_runs] first row of each run */
    unsigned char *coded;
} sample;

static uint64_t min_u64(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/* Splitmix64: a number that looks drawn, the same every time. */
static uint64_t mix(uint64_t x) {
    x += 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
}

/* How many rows are taken, in which runs; nothing is read yet. A stack has runs of one row: more experts are heard. */
static void size_sample(const qn_survey_request *request, uint64_t index, sample *s) {
    const qn_model_tensor *t = &request->model->tensors[index];
    const uint64_t max_weights = request->max_weights == 0 ? DEFAULT_WEIGHTS : request->max_weights;
    *s = (sample){.tensor = t, .n_cols = qn_shape_cols(&t->shape), .n_tensor_rows = qn_shape_rows(&t->shape)};
    s->importance = request->importance == NULL ? NULL : request->importance[index];
    s->matrix_rows = t->shape.n_dims < 2 ? 1 : t->shape.dims[t->shape.n_dims - 2];
    s->run_rows = s->matrix_rows == s->n_tensor_rows ? min_u64(RUN_ROWS, s->n_tensor_rows) : 1;
    uint64_t n_rows = s->n_cols == 0 ? 0 : max_weights / s->n_cols;
    n_rows = min_u64(n_rows < MIN_ROWS ? MIN_ROWS : n_rows, s->n_tensor_rows);
    s->n_runs = s->run_rows == 0 ? 0 : n_rows / s->run_rows;
    if (n_rows == s->n_tensor_rows) { /* all of them, one by one */
        s->run_rows = 1;
        s->n_runs = n_rows;
    }
    s->n_rows = s->n_runs * s->run_rows;
}

/* The first row of run i: drawn from part i of n_runs equal ones. */
static uint64_t run_start(const sample *s, uint64_t index, uint64_t i) {
    const uint64_t part = s->n_tensor_rows / s->n_runs;
    const uint64_t rest = s->n_tensor_rows % s->n_runs;
    const uint64_t first = i * part + min_u64(i, rest);
    const uint64_t n = part + (i < rest ? 1 : 0);
    return first + mix(index * 0x100000001ULL + i) % (n - s->run_rows + 1);
}

static qn_status read_sample(const survey_run *r, uint64_t index, sample *s, qn_error *err) {
    qn_ready *ready = NULL;
    qn_scratch scratch = {0};
    qn_status status = qn_ready_open(s->tensor->recipe, r->level, &ready, err);
    for (uint64_t i = 0; i < s->n_runs && status == QN_OK; i++) {
        s->row_nos[i] = run_start(s, index, i);
        status = qn_ready_rows(ready, s->row_nos[i], s->run_rows, s->rows + i * s->run_rows * s->n_cols, &scratch, err);
    }
    qn_scratch_clear(&scratch);
    qn_ready_close(ready);
    /* What is not finite is the stream's to refuse, or to take as 0. */
    for (uint64_t i = 0; i < s->n_rows * s->n_cols && status == QN_OK; i++) {
        s->rows[i] = isfinite(s->rows[i]) ? s->rows[i] : 0.0F;
    }
    return status == QN_OK ? QN_OK : qn_fail_at(err, status, "survey of tensor '%s'", s->tensor->name);
}

static const float *importance_of(const sample *s, uint64_t run) {
    return s->importance == NULL ? NULL : s->importance + s->row_nos[run] / s->matrix_rows * s->n_cols;
}

/* Sum of importance * (a - b)² over the sample, scaled to the tensor; b NULL: of a². */
static double weigh(const sample *s, const float *a, const float *b) {
    double sum = 0.0;
    for (uint64_t row = 0; row < s->n_rows; row++) {
        const float *v = importance_of(s, row / s->run_rows);
        const float *x = a + row * s->n_cols;
        const float *y = b == NULL ? NULL : b + row * s->n_cols;
        double row_sum = 0.0;
        for (uint64_t k = 0; k < s->n_cols; k++) {
            const double d = (double)x[k] - (y == NULL ? 0.0 : (double)y[k]);
            row_sum += (v == NULL ? 1.0 : (double)v[k]) * d * d;
        }
        sum += row_sum;
    }
    return s->n_rows == 0 ? 0.0 : sum * ((double)s->n_tensor_rows / (double)s->n_rows);
}

/* Encodes and decodes the sample as a type. */
static qn_status try_type(const survey_run *r, sample *s, qn_survey_choice *choice, qn_error *err) {
    uint64_t row_bytes = 0;
    const uint64_t run_weights = s->run_rows * s->n_cols;
    QN_TRY(qn_row_size(choice->type, s->n_cols, &row_bytes, err));
    for (uint64_t i = 0; i < s->n_runs; i++) {
        if (i % 16 == 0 && qn_job_is_cancelled(r->job)) {
            return qn_fail(err, QN_E_INTERRUPTED, "interrupted during the survey");
        }
        QN_TRY(qn_encode_rows(r->level, r->request->effort, choice->type, s->rows + i * run_weights, s->run_rows,
                              s->n_cols, importance_of(s, i), s->coded, err));
        QN_TRY(qn_decode_rows(r->level, choice->type, s->coded, s->run_rows, s->n_cols, s->decoded + i * run_weights,
                              err));
    }
    const double error = weigh(s, s->rows, s->decoded);
    choice->error = isfinite(error) ? error : HUGE_VAL; /* weights past what the type's scales reach */
    return QN_OK;
}

static qn_status survey_sample(const survey_run *r, qn_survey_tensor *t, sample *s, qn_error *err) {
    uint64_t coded_bytes = 0;
    for (uint32_t i = 0; i < t->n_choices; i++) {
        uint64_t row_bytes = 0;
        QN_TRY(qn_row_size(t->choices[i].type, s->n_cols, &row_bytes, err));
        coded_bytes = row_bytes > coded_bytes ? row_bytes : coded_bytes;
    }
    const uint64_t n = s->n_rows * s->n_cols;
    s->rows = qn_new_array(n, sizeof *s->rows);
    s->decoded = qn_new_array(n, sizeof *s->decoded);
    s->coded = qn_new_array(coded_bytes, s->run_rows == 0 ? 1 : s->run_rows);
    s->row_nos = qn_new_array(s->n_runs, sizeof *s->row_nos);
    qn_status status = QN_OK;
    if (s->rows == NULL || s->decoded == NULL || s->coded == NULL || s->row_nos == NULL) {
        status = qn_fail_nomem(err, "a sample of rows", n * sizeof *s->rows);
    } else {
        status = read_sample(r, t->index, s, err);
    }
    if (status == QN_OK) {
        t->energy = weigh(s, s->rows, NULL);
    }
    for (uint32_t i = 0; i < t->n_choices && status == QN_OK; i++) {
        status = try_type(r, s, &t->choices[i], err);
    }
    free(s->rows);
    free(s->decoded);
    free(s->coded);
    free(s->row_nos);
    return status;
}

static void work(void *shared, unsigned worker) {
    survey_run *r = shared;
    (void)worker;
    (void)pthread_mutex_lock(&r->lock);
    while (r->status == QN_OK && r->next < r->survey->n_tensors) {
        qn_survey_tensor *t = &r->survey->tensors[r->next++];
        qn_error err = {QN_OK, ""};
        sample s;
        (void)pthread_mutex_unlock(&r->lock);
        size_sample(r->request, t->index, &s);
        const qn_status status = survey_sample(r, t, &s, &err);
        (void)pthread_mutex_lock(&r->lock);
        if (status == QN_OK) {
            const qn_progress_at at = {.tensor = t->name, .tensor_index = (uint64_t)(t - r->survey->tensors) + 1};
            qn_progress_add(&r->progress, at, s.n_rows * s.n_cols * sizeof(float));
        } else if (r->status == QN_OK) {
            r->status = status;
            if (r->err != NULL) {
                *r->err = err;
            }
        }
    }
    (void)pthread_mutex_unlock(&r->lock);
}

/* Whether a type may be tried on a tensor. */
static bool is_possible(const qn_survey_request *request, uint64_t index, qn_dtype type) {
    const qn_model_tensor *t = &request->model->tensors[index];
    const qn_dtype_info *info = qn_dtype_get((uint32_t)type);
    const bool has_importance = request->importance != NULL && request->importance[index] != NULL;
    return info->has_encoder && info->has_decoder && qn_shape_cols(&t->shape) % info->block_len == 0 &&
        (has_importance || !qn_mixture_needs_importance(t->name, type));
}

/* Bytes of a tensor in a GGUF file. */
static qn_status size_of(const qn_model_tensor *t, qn_dtype type, uint64_t *out, qn_error *err) {
    uint64_t size = 0;
    QN_TRY(qn_row_size(type, qn_shape_cols(&t->shape), &size, err));
    if (!qn_mul_u64(size, qn_shape_rows(&t->shape), &size) || !qn_align_u64(size, QN_GGUF_ALIGNMENT, out)) {
        return qn_fail(err, QN_E_RANGE, "tensor '%s' is too large", t->name);
    }
    return QN_OK;
}

/* Lists the tensors and their choices, without the errors. */
static qn_status list_tensors(const qn_survey_request *request, qn_survey *survey, qn_error *err) {
    const qn_model *model = request->model;
    bool is_tied = true;
    survey->tensors = qn_arena_array(survey->arena, model->n_tensors, sizeof *survey->tensors);
    if (survey->tensors == NULL) {
        return qn_fail_nomem(err, "the survey", model->n_tensors * sizeof *survey->tensors);
    }
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        is_tied = is_tied && strcmp(model->tensors[i].name, "output.weight") != 0;
    }
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        const qn_model_tensor *t = &model->tensors[i];
        qn_survey_tensor *out = &survey->tensors[survey->n_tensors];
        const bool is_left = request->is_left != NULL && request->is_left[i];
        if (is_left || !qn_mixture_is_eligible(t->name, &t->shape) || qn_shape_rows(&t->shape) == 0) {
            continue;
        }
        *out = (qn_survey_tensor){.index = i, .name = t->name, .weight = qn_survey_weight(t->name, is_tied)};
        out->choices = qn_arena_array(survey->arena, request->n_types, sizeof *out->choices);
        if (out->choices == NULL) {
            return qn_fail_nomem(err, "the survey", request->n_types * sizeof *out->choices);
        }
        for (uint32_t k = 0; k < request->n_types; k++) {
            if (is_possible(request, i, request->types[k])) {
                qn_survey_choice *choice = &out->choices[out->n_choices++];
                choice->type = request->types[k];
                QN_TRY(size_of(t, choice->type, &choice->size_bytes, err));
            }
        }
        survey->n_tensors += out->n_choices > 0 ? 1 : 0;
    }
    return QN_OK;
}

qn_status qn_survey_run(const qn_survey_request *request, qn_job *job, qn_survey *out, qn_error *err) {
    survey_run r = {.request = request, .survey = out, .level = qn_cpu_detect(), .job = job, .err = err};
    uint64_t n_bytes = 0;
    *out = (qn_survey){.arena = qn_arena_new()};
    r.status = out->arena == NULL ? qn_fail_nomem(err, "the survey", 0) : list_tensors(request, out, err);
    for (uint64_t i = 0; i < out->n_tensors && r.status == QN_OK; i++) {
        sample s;
        size_sample(request, out->tensors[i].index, &s);
        n_bytes += s.n_rows * s.n_cols * sizeof(float);
    }
    if (r.status == QN_OK && pthread_mutex_init(&r.lock, NULL) != 0) {
        r.status = qn_fail_nomem(err, "a lock", 0);
    } else if (r.status == QN_OK) {
        const uint64_t n_threads = min_u64(qn_job_threads(job), out->n_tensors);
        qn_progress_begin(&r.progress, job, out->n_tensors, 0, n_bytes);
        qn_progress_stage(&r.progress, "Survey");
        qn_run_workers(n_threads == 0 ? 1 : (unsigned)n_threads, work, &r);
        (void)pthread_mutex_destroy(&r.lock);
    }
    if (r.status != QN_OK) {
        qn_survey_clear(out);
    }
    return r.status;
}

void qn_survey_clear(qn_survey *survey) {
    qn_arena_free(survey->arena);
    *survey = (qn_survey){0};
}

const qn_dtype *qn_survey_candidates(uint32_t *n) {
    static const qn_dtype types[] = {
        QN_IQ1_S, QN_IQ1_M,  QN_IQ2_XXS, QN_IQ2_XS, QN_IQ2_S, QN_Q2_K,  QN_IQ3_XXS, QN_IQ3_S,
        QN_Q3_K,  QN_IQ4_XS, QN_IQ4_NL,  QN_Q4_0,   QN_Q4_1,  QN_Q4_K,  QN_Q5_0,    QN_Q5_1,
        QN_Q5_K,  QN_Q6_K,   QN_Q8_0,    QN_F16,    QN_BF16,  QN_TQ1_0, QN_TQ2_0,
    };
    *n = sizeof types / sizeof types[0];
    return types;
}

double qn_survey_weight(const char *name, bool is_tied) {
    static const double weights[QN_N_ROLES] = {
        [QN_ROLE_NONE] = 0.7, [QN_ROLE_OUT] = 12.0, [QN_ROLE_EMB] = 24.0, [QN_ROLE_V] = 0.6,    [QN_ROLE_K] = 0.4,
        [QN_ROLE_Q] = 0.4,    [QN_ROLE_O] = 0.4,    [QN_ROLE_UP] = 0.7,   [QN_ROLE_GATE] = 1.0, [QN_ROLE_DOWN] = 1.0,
    };
    const qn_role role = qn_role_of(name);
    if (strncmp(name, "blk.", 4) != 0) {
        return weights[role] + (role == QN_ROLE_EMB && is_tied ? weights[QN_ROLE_OUT] : 0.0);
    }
    const double weight = strstr(name, "attn_qkv") == NULL
        ? weights[role]
        : weights[QN_ROLE_Q] + weights[QN_ROLE_K] + weights[QN_ROLE_V];
    const double place = (double)strtoull(name + 4, NULL, 10) + 1.0;
    return weight * (1.0 + 4.0 / (place * place));
}

double qn_survey_cost(const qn_survey_tensor *tensor, const qn_survey_choice *choice) {
    return tensor->energy > 0.0 ? tensor->weight * choice->error / tensor->energy : 0.0;
}
