/* SPDX-License-Identifier: MIT */
/*
 * plan_budget.c: a size instead of a type. The survey measures what every type would cost every tensor; the budget
 * picks. What a person settled by rules (--tensor-type and the like) is fixed and only counted.
 */
#include "pack/budget.h"
#include "pack/plan.h"

#include <stdlib.h>
#include <string.h>

/** One choice under way. */
typedef struct chooser {
    qn_plan *plan;
    const qn_mixture_model *facts;
    qn_mixture_tensor *mix; /* [n] in and out */
    uint64_t n;
    bool *is_left; /* [n] not the budget's to choose */
    qn_survey survey;
} chooser;

/* Tensors that get the same type from two targets were settled by rules, or are never quantised. */
static qn_status find_settled(chooser *c, qn_error *err) {
    qn_mixture_options options = c->plan->mixture;
    qn_mixture_tensor *other = qn_arena_array(c->plan->arena, c->n, sizeof *other);
    if (other == NULL) {
        return qn_fail_nomem(err, "plan", (size_t)c->n * sizeof *other);
    }
    memcpy(other, c->mix, (size_t)c->n * sizeof *other);
    options.is_pure = true;
    QN_TRY(qn_mixture_choose(qn_target_find("Q8_0"), c->facts, &options, c->mix, c->n, err));
    QN_TRY(qn_mixture_choose(qn_target_find("Q4_0"), c->facts, &options, other, c->n, err));
    for (uint64_t i = 0; i < c->n; i++) {
        c->is_left[i] = c->mix[i].type == other[i].type;
    }
    return QN_OK;
}

/* Bytes of a tensor in a file, padding included. */
static qn_status padded_size(const qn_mixture_tensor *t, uint64_t *size, qn_error *err) {
    uint64_t row = 0;
    QN_TRY(qn_row_size(t->type, qn_shape_cols(&t->shape), &row, err));
    *size = (row * qn_shape_rows(&t->shape) + QN_GGUF_ALIGNMENT - 1) / QN_GGUF_ALIGNMENT * QN_GGUF_ALIGNMENT;
    return QN_OK;
}

/* Bytes of everything that is no matter of choice: settled tensors and, for a file's size, its header. */
static qn_status fixed_bytes(const chooser *c, bool with_header, uint64_t *out, qn_error *err) {
    uint64_t header_bytes = 0;
    *out = 0;
    for (uint64_t i = 0; i < c->n; i++) {
        uint64_t size = 0;
        QN_TRY(padded_size(&c->mix[i], &size, err));
        *out += c->is_left[i] ? size : 0;
    }
    if (with_header) {
        QN_TRY(qn_plan_header_bytes(c->plan, &header_bytes, err));
    }
    *out += header_bytes;
    return QN_OK;
}

static qn_status run_survey(chooser *c, qn_job *job, qn_error *err) {
    uint32_t n_types = 0;
    const qn_dtype *types = qn_survey_candidates(&n_types);
    const qn_survey_request request = {
        .model = c->plan->model,
        .importance = c->plan->imatrix == NULL ? NULL : c->plan->importance,
        .is_left = c->is_left,
        .types = types,
        .n_types = n_types,
        /* Types compare alike at both, and best takes twenty times as long. */
        .effort = c->plan->effort == QN_EFFORT_BEST ? QN_EFFORT_NORMAL : c->plan->effort,
    };
    return qn_survey_run(&request, job, &c->survey, err);
}

static qn_status fail_small(uint64_t wanted, uint64_t least, const qn_plan *plan, qn_error *err) {
    const double n = (double)plan->model->n_weights;
    return qn_fail(err, QN_E_USAGE,
                   "the model cannot be made as small as %.2f MB (%.2f bits per weight): %.2f MB (%.2f) is the least%s",
                   (double)wanted / 1e6, 8 * (double)wanted / n, (double)least / 1e6, 8 * (double)least / n,
                   plan->imatrix == NULL ? "; smaller types need an importance matrix (--imatrix)" : "");
}

/* The file type of the element type that most weights have. Source: facts/gguf.md §3. */
static uint32_t dominant_file_type(const chooser *c) {
    uint64_t n_weights[QN_DTYPE_LIMIT] = {0};
    uint32_t most = QN_F32;
    for (uint64_t i = 0; i < c->n; i++) {
        n_weights[c->mix[i].type] += qn_shape_rows(&c->mix[i].shape) * qn_shape_cols(&c->mix[i].shape);
    }
    for (uint32_t id = 0; id < QN_DTYPE_LIMIT; id++) {
        most = n_weights[id] > n_weights[most] ? id : most;
    }
    const qn_target *target = qn_target_find(qn_dtype_get(most)->name);
    return target == NULL ? 0 : target->file_type;
}

static qn_status keep_table(chooser *c, const qn_dtype *types, qn_error *err) {
    qn_buffer text = {0};
    qn_budget_write(&c->survey, types, &text);
    const qn_status status = qn_buffer_status(&text, err);
    if (status == QN_OK) {
        c->plan->chosen_types = qn_arena_copy(c->plan->arena, (const char *)text.data, text.len);
    }
    qn_buffer_clear(&text);
    return status == QN_OK && c->plan->chosen_types == NULL ? qn_fail_nomem(err, "plan", 0) : status;
}

static qn_status choose(chooser *c, qn_plan_output *output, qn_job *job, qn_error *err) {
    const qn_plan *plan = c->plan;
    const bool is_size = plan->target_size_bytes > 0;
    const uint64_t wanted = is_size ? plan->target_size_bytes
                                    : (uint64_t)(plan->target_bpw * (double)plan->model->n_weights / 8);
    uint64_t fixed = 0;
    qn_budget_report report = {0};
    QN_TRY(find_settled(c, err));
    QN_TRY(fixed_bytes(c, is_size, &fixed, err));
    QN_TRY(run_survey(c, job, err));
    qn_dtype *types = qn_arena_array(plan->arena, c->survey.n_tensors, sizeof *types);
    if (types == NULL) {
        return qn_fail_nomem(err, "plan", 0);
    }
    const qn_status status = qn_budget_choose(&c->survey, wanted > fixed ? wanted - fixed : 0, types, &report, err);
    if (status == QN_E_USAGE) {
        return fail_small(wanted, fixed + report.min_bytes, plan, err);
    }
    QN_TRY(status);
    for (uint64_t i = 0; i < c->survey.n_tensors; i++) {
        c->mix[c->survey.tensors[i].index].type = types[i];
    }
    output->file_type = dominant_file_type(c);
    return keep_table(c, types, err);
}

qn_status qn_plan_choose_by_budget(qn_plan *plan, qn_plan_output *output, const qn_mixture_model *facts,
                                   qn_mixture_tensor *mix, qn_job *job, qn_error *err) {
    chooser c = {.plan = plan, .facts = facts, .mix = mix, .n = plan->model->n_tensors};
    c.is_left = qn_arena_array(plan->arena, c.n, sizeof *c.is_left);
    if (c.is_left == NULL) {
        return qn_fail_nomem(err, "plan", (size_t)c.n);
    }
    const qn_status status = choose(&c, output, job, err);
    qn_survey_clear(&c.survey);
    return status;
}
