/* SPDX-License-Identifier: MIT */
/* compare.c: how far two models are apart, tensor by tensor; a tensor is one worker's, so sums have one order. */
#include "quern/inspect.h"

#include "base/json.h"
#include "base/worker.h"
#include "model/model.h"
#include "stream/executor.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* A tensor that both have, and what was found. */
typedef struct pair {
    const qn_model_tensor *a;
    const qn_model_tensor *b;
    double sum_aa; /* of a² */
    double sum_bb;
    double sum_ab;
    double sum_dd; /* of (a - b)² */
    double max_abs;
    bool is_equal;
} pair;

/* Shared by the workers. */
typedef struct contest {
    pair *pairs;
    uint64_t n_pairs;
    uint64_t bytes_total;
    atomic_uint_fast64_t next;
    atomic_uint_fast64_t bytes_done;
    atomic_bool has_failed;
    qn_job *job;
    qn_cpu_level level;
    qn_status status; /* of the worker that failed first */
    qn_error error;
} contest;

/* One worker's buffers. */
typedef struct bench {
    float *a;
    float *b;
    uint64_t cap; /* elements of each */
    qn_scratch scratch;
} bench;

/* Infinite where it cannot be told: a change from nothing, or from or to NaN. */
static double relative_rmse(const pair *p) {
    if (p->sum_dd == 0) {
        return 0;
    }
    const double ratio = p->sum_aa == 0 ? INFINITY : sqrt(p->sum_dd / p->sum_aa);
    return isnan(ratio) ? INFINITY : ratio;
}

static double rmse(const pair *p) {
    const double n = (double)qn_recipe_rows(p->a->recipe) * (double)qn_recipe_cols(p->a->recipe);
    return n == 0 ? 0 : sqrt(p->sum_dd / n);
}

static double cosine(const pair *p) {
    if (p->is_equal) {
        return 1;
    }
    if (p->sum_aa == 0 || p->sum_bb == 0) {
        return p->sum_aa == p->sum_bb ? 1 : 0;
    }
    return p->sum_ab / (sqrt(p->sum_aa) * sqrt(p->sum_bb));
}

static void add_values(pair *p, const float *a, const float *b, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        const double x = (double)a[i];
        const double y = (double)b[i];
        const double d = x - y;
        p->sum_aa += x * x;
        p->sum_bb += y * y;
        p->sum_ab += x * y;
        p->sum_dd += d * d;
        p->max_abs = fabs(d) > p->max_abs ? fabs(d) : p->max_abs;
    }
    p->is_equal = p->is_equal && memcmp(a, b, (size_t)n * sizeof *a) == 0;
}

static qn_status reserve(bench *w, uint64_t n, qn_error *err) {
    if (n <= w->cap) {
        return QN_OK;
    }
    float *a = qn_resize_array(w->a, n, sizeof *a);
    w->a = a == NULL ? w->a : a;
    float *b = qn_resize_array(w->b, n, sizeof *b);
    w->b = b == NULL ? w->b : b;
    if (a == NULL || b == NULL) {
        return qn_fail_nomem(err, "compare", (size_t)n * sizeof *a);
    }
    w->cap = n;
    return QN_OK;
}

static qn_status compare_rows(contest *c, pair *p, const qn_ready *a, const qn_ready *b, bench *w, qn_error *err) {
    const uint64_t n_rows = qn_recipe_rows(p->a->recipe);
    const uint64_t n_cols = qn_recipe_cols(p->a->recipe);
    const uint64_t step = n_cols >= QN_UNIT_ELEMENTS || n_cols == 0 ? 1 : QN_UNIT_ELEMENTS / n_cols;
    for (uint64_t row = 0; row < n_rows; row += step) {
        const uint64_t n = n_rows - row < step ? n_rows - row : step;
        if (qn_job_is_cancelled(c->job)) {
            return qn_fail(err, QN_E_INTERRUPTED, "interrupted");
        }
        QN_TRY(reserve(w, n * n_cols, err));
        QN_TRY(qn_ready_rows(a, row, n, w->a, &w->scratch, err));
        QN_TRY(qn_ready_rows(b, row, n, w->b, &w->scratch, err));
        add_values(p, w->a, w->b, n * n_cols);
    }
    return QN_OK;
}

static qn_status compare_pair(contest *c, pair *p, bench *w, qn_error *err) {
    qn_ready *a = NULL;
    qn_ready *b = NULL;
    p->is_equal = true;
    qn_status status = qn_ready_open(p->a->recipe, c->level, &a, err);
    if (status == QN_OK) {
        status = qn_ready_open(p->b->recipe, c->level, &b, err);
    }
    if (status == QN_OK) {
        status = compare_rows(c, p, a, b, w, err);
    }
    qn_ready_close(a);
    qn_ready_close(b);
    if (p->is_equal) { /* NaN and infinity, too, are at no distance from themselves */
        p->sum_dd = 0;
        p->max_abs = 0;
    }
    return status == QN_OK ? QN_OK : qn_fail_at(err, status, "tensor '%s'", p->a->name);
}

static void work(void *shared, unsigned worker) {
    contest *c = shared;
    bench w = {0};
    (void)worker;
    while (!atomic_load(&c->has_failed)) {
        const uint64_t i = atomic_fetch_add(&c->next, 1);
        if (i >= c->n_pairs) {
            break;
        }
        qn_error err = {0};
        const qn_status status = compare_pair(c, &c->pairs[i], &w, &err);
        if (status != QN_OK) {
            if (!atomic_exchange(&c->has_failed, true)) {
                c->status = status;
                c->error = err;
            }
            break;
        }
        const uint64_t bytes = qn_recipe_source_bytes(c->pairs[i].a->recipe);
        qn_job_emit(c->job,
                    (qn_event){.kind = QN_EVENT_PROGRESS,
                               .stage = "Compare",
                               .tensor = c->pairs[i].a->name,
                               .tensor_index = i + 1,
                               .n_tensors = c->n_pairs,
                               .bytes_done = atomic_fetch_add(&c->bytes_done, bytes) + bytes,
                               .bytes_total = c->bytes_total,
                               .eta_s = -1});
    }
    free(w.a);
    free(w.b);
    qn_scratch_clear(&w.scratch);
}

static const qn_model_tensor *find(const qn_model *model, const char *name) {
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        if (strcmp(model->tensors[i].name, name) == 0) {
            return &model->tensors[i];
        }
    }
    return NULL;
}

static bool same_shape(const qn_model_tensor *a, const qn_model_tensor *b) {
    return qn_shape_rows(&a->shape) == qn_shape_rows(&b->shape) && qn_shape_cols(&a->shape) == qn_shape_cols(&b->shape);
}

/* Names may be any bytes. */
static json_t *text_of(const char *text) {
    return qn_json_text(text, strlen(text));
}

static json_t *mismatch_json(const qn_model_tensor *a, const qn_model_tensor *b) {
    char text_a[128];
    char text_b[128];
    return json_pack("{s:o, s:s, s:s}", "name", text_of(a->name), "a", qn_shape_text(&a->shape, text_a, sizeof text_a),
                     "b", qn_shape_text(&b->shape, text_b, sizeof text_b));
}

/* Sorts the names into common, different and missing. */
static qn_status sort_names(const qn_model *a, const qn_model *b, contest *c, json_t *report, qn_error *err) {
    json_t *only_a = json_array();
    json_t *only_b = json_array();
    json_t *differs = json_array();
    int failed = json_object_set_new(report, "only_in_a", only_a);
    failed |= json_object_set_new(report, "only_in_b", only_b);
    failed |= json_object_set_new(report, "shape_differs", differs);
    c->pairs = qn_new_array(a->n_tensors, sizeof *c->pairs);
    if (c->pairs == NULL || failed != 0) {
        return qn_fail_nomem(err, "compare", (size_t)a->n_tensors * sizeof *c->pairs);
    }
    for (uint64_t i = 0; i < a->n_tensors; i++) {
        const qn_model_tensor *other = find(b, a->tensors[i].name);
        if (other == NULL) {
            failed |= json_array_append_new(only_a, text_of(a->tensors[i].name));
        } else if (!same_shape(&a->tensors[i], other)) {
            failed |= json_array_append_new(differs, mismatch_json(&a->tensors[i], other));
        } else {
            c->pairs[c->n_pairs++] = (pair){.a = &a->tensors[i], .b = other};
            c->bytes_total += qn_recipe_source_bytes(a->tensors[i].recipe);
        }
    }
    for (uint64_t i = 0; i < b->n_tensors; i++) {
        if (find(a, b->tensors[i].name) == NULL) {
            failed |= json_array_append_new(only_b, text_of(b->tensors[i].name));
        }
    }
    return failed == 0 ? QN_OK : qn_fail_nomem(err, "compare", 0);
}

static int worst_first(const void *x, const void *y) {
    const pair *a = x;
    const pair *b = y;
    const double ra = relative_rmse(a);
    const double rb = relative_rmse(b);
    return ra < rb ? 1 : ra > rb ? -1 : strcmp(a->a->name, b->a->name);
}

/* JSON has no infinity: a change from nothing is told as null. */
static json_t *number(double v) {
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *pair_json(const pair *p) {
    return json_pack("{s:o, s:s, s:s, s:o, s:o, s:o, s:o, s:b}", "name", text_of(p->a->name), "type_a",
                     qn_dtype_get(qn_recipe_source_type(p->a->recipe))->name, "type_b",
                     qn_dtype_get(qn_recipe_source_type(p->b->recipe))->name, "rmse", number(rmse(p)), "relative_rmse",
                     number(relative_rmse(p)), "max_abs", number(p->max_abs), "cosine", number(cosine(p)), "is_equal",
                     p->is_equal);
}

static qn_status report_pairs(contest *c, json_t *report, qn_error *err) {
    json_t *tensors = json_array();
    double sum_dd = 0;
    double n = 0;
    double max_abs = 0;
    json_int_t n_equal = 0;
    int failed = json_object_set_new(report, "n_tensors", json_integer((json_int_t)c->n_pairs));
    qsort(c->pairs, (size_t)c->n_pairs, sizeof *c->pairs, worst_first);
    for (uint64_t i = 0; i < c->n_pairs; i++) {
        const pair *p = &c->pairs[i];
        sum_dd += p->sum_dd;
        n += (double)qn_recipe_rows(p->a->recipe) * (double)qn_recipe_cols(p->a->recipe);
        max_abs = p->max_abs > max_abs ? p->max_abs : max_abs;
        n_equal += p->is_equal ? 1 : 0;
        failed |= json_array_append_new(tensors, pair_json(p));
    }
    failed |= json_object_set_new(report, "n_equal", json_integer(n_equal));
    failed |= json_object_set_new(report, "rmse", number(n == 0 ? 0 : sqrt(sum_dd / n)));
    failed |= json_object_set_new(report, "max_abs", number(max_abs));
    failed |= json_object_set_new(report, "tensors", tensors);
    return failed == 0 ? QN_OK : qn_fail_nomem(err, "compare", 0);
}

static qn_status compare_models(const qn_model *a, const qn_model *b, qn_job *job, json_t *report, qn_error *err) {
    contest c = {.job = job, .level = qn_cpu_detect()};
    qn_status status = sort_names(a, b, &c, report, err);
    if (status == QN_OK) {
        qn_job_emit(job, (qn_event){.kind = QN_EVENT_STAGE, .stage = "Compare", .bytes_total = c.bytes_total});
        qn_run_workers(qn_job_threads(job), work, &c);
        status = c.status;
        if (status != QN_OK && err != NULL) {
            *err = c.error;
        }
    }
    if (status == QN_OK) {
        status = report_pairs(&c, report, err);
    }
    free(c.pairs);
    return status;
}

qn_status qn_compare(const char *a, const char *b, qn_job *job, char **text, qn_error *err) {
    qn_model *model_a = NULL;
    qn_model *model_b = NULL;
    json_t *report = NULL;
    qn_status status = qn_model_open_any(a, &model_a, err);
    if (status == QN_OK) {
        status = qn_model_open_any(b, &model_b, err);
    }
    if (status == QN_OK) {
        report = json_pack("{s:o, s:o}", "a", text_of(a), "b", text_of(b));
        status = report == NULL ? qn_fail_nomem(err, "compare", 0) : compare_models(model_a, model_b, job, report, err);
    }
    if (status == QN_OK) {
        *text = qn_json_dump(report, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
        status = *text == NULL ? qn_fail_nomem(err, "compare", 0) : QN_OK;
    }
    json_decref(report);
    qn_model_close(model_a);
    qn_model_close(model_b);
    return status;
}
