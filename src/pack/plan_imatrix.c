/* SPDX-License-Identifier: MIT */
/* plan_imatrix.c: which tensors the importance matrix speaks of, what it says of them, and what it leaves open. */
#include "pack/plan.h"

#include "base/worker.h"

#include <stdlib.h>
#include <string.h>

uint64_t qn_plan_n_matrices(const qn_shape *shape) {
    uint64_t n = 1;
    for (uint32_t i = 0; i + 2 < shape->n_dims; i++) {
        n *= shape->dims[i];
    }
    return n;
}

static bool holds_one_of(const char *name, const char *const *parts, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strstr(name, parts[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static bool is_asked_for(const qn_pack_options *options, const char *name) {
    return (options->n_include_weights == 0 ||
            holds_one_of(name, options->include_weights, options->n_include_weights)) &&
        !holds_one_of(name, options->exclude_weights, options->n_exclude_weights);
}

/* Whether run m of an entry's columns says nothing: no token reached that expert, or all its inputs were zero. */
static bool is_silent(const qn_imatrix_entry *entry, uint64_t m, uint64_t n_cols, uint64_t n_matrices) {
    double sum = 0;
    if (entry->n_counts == n_matrices && entry->counts[m] <= 0) {
        return true;
    }
    for (uint64_t k = 0; k < n_cols; k++) {
        sum += (double)entry->values[m * n_cols + k];
    }
    return sum <= 0;
}

/* Columns that nothing is known of count alike. */
static qn_status take_values(qn_plan *plan, uint64_t i, const qn_imatrix_entry *entry, qn_error *err) {
    const qn_model_tensor *t = &plan->model->tensors[i];
    qn_coverage *c = &plan->coverage;
    const uint64_t n_cols = qn_shape_cols(&t->shape);
    const uint64_t n_matrices = qn_plan_n_matrices(&t->shape);
    float *values = qn_arena_array(plan->arena, entry->n_values, sizeof *values);
    qn_unseen *unseen = qn_resize_array(c->unseen, c->n_unseen + n_matrices, sizeof *unseen);
    if (values == NULL || unseen == NULL) {
        c->unseen = unseen != NULL ? unseen : c->unseen;
        return qn_fail_nomem(err, "importance", (size_t)entry->n_values * sizeof *values);
    }
    c->unseen = unseen;
    memcpy(values, entry->values, (size_t)entry->n_values * sizeof *values);
    for (uint64_t m = 0; m < n_matrices; m++) {
        if (!is_silent(entry, m, n_cols, n_matrices)) {
            continue;
        }
        for (uint64_t k = 0; k < n_cols; k++) {
            values[m * n_cols + k] = 1.0F;
        }
        c->unseen[c->n_unseen++] = (qn_unseen){t->name, m};
    }
    plan->importance[i] = values;
    return QN_OK;
}

static qn_status match_tensor(qn_plan *plan, const qn_pack_options *options, uint64_t i, qn_error *err) {
    qn_coverage *c = &plan->coverage;
    const qn_model_tensor *t = &plan->model->tensors[i];
    const qn_imatrix_entry *entry = qn_imatrix_find(plan->imatrix, t->name);
    if (t->shape.n_dims < 2 || !is_asked_for(options, t->name)) {
        return QN_OK;
    }
    if (entry == NULL) {
        if (strncmp(t->name, "blk.", 4) == 0 && qn_shape_rows(&t->shape) > 1) {
            c->open[c->n_open++] = t->name;
        }
        return QN_OK;
    }
    if (entry->n_values != qn_shape_cols(&t->shape) * qn_plan_n_matrices(&t->shape)) {
        char shape[128];
        if (strcmp(t->name, "token_embd.weight") == 0) {
            return QN_OK; /* the reference's rule: rows of an embedding are looked up, not multiplied */
        }
        return qn_fail(err, QN_E_SHAPE,
                       "%s: has %llu values for '%s', whose shape is %s: it was made with another model",
                       plan->imatrix->path, (unsigned long long)entry->n_values, t->name,
                       qn_shape_text(&t->shape, shape, sizeof shape));
    }
    c->n_covered++;
    return take_values(plan, i, entry, err);
}

static void tell_coverage(const qn_plan *plan, qn_job *job) {
    const qn_coverage *c = &plan->coverage;
    qn_job_note(job, "importance matrix %s: covers %llu tensors, %llu chunks of text", plan->imatrix->path,
                (unsigned long long)c->n_covered, (unsigned long long)plan->imatrix->n_chunks);
    if (c->n_open > 0) {
        qn_job_warn(job,
                    "the importance matrix has nothing on %llu matrices ('%s' and so on): they are quantised "
                    "without",
                    (unsigned long long)c->n_open, c->open[0]);
    }
    if (c->n_unseen > 0) {
        qn_job_warn(job,
                    "the text behind the importance matrix never reached %llu matrices (number %llu of '%s' and so "
                    "on): their columns count alike",
                    (unsigned long long)c->n_unseen, (unsigned long long)c->unseen[0].expert, c->unseen[0].tensor);
    }
}

/* What the files say of the matrix; the reference's keys. Source: facts/gguf.md §3. */
static void write_meta(qn_plan *plan) {
    qn_meta *meta = &plan->model->meta;
    const char *file = qn_path_base(plan->arena, plan->imatrix->path);
    qn_meta_set_string(meta, "quantize.imatrix.file", file == NULL ? plan->imatrix->path : file);
    if (plan->imatrix->n_datasets > 0) {
        qn_meta_set_string(meta, "quantize.imatrix.dataset", plan->imatrix->datasets[0]);
    }
    qn_meta_set_u32(meta, "quantize.imatrix.entries_count", (uint32_t)plan->imatrix->n_entries);
    if (plan->imatrix->n_chunks > 0) {
        qn_meta_set_u32(meta, "quantize.imatrix.chunks_count", (uint32_t)plan->imatrix->n_chunks);
    }
}

qn_status qn_plan_read_imatrix(qn_plan *plan, const qn_pack_options *options, qn_job *job, qn_error *err) {
    plan->importance = qn_arena_array(plan->arena, plan->model->n_tensors, sizeof *plan->importance);
    plan->coverage.open = qn_arena_array(plan->arena, plan->model->n_tensors, sizeof *plan->coverage.open);
    if (plan->importance == NULL || plan->coverage.open == NULL) {
        return qn_fail_nomem(err, "plan", 0);
    }
    if (options->imatrix == NULL) {
        return options->n_include_weights + options->n_exclude_weights == 0
            ? QN_OK
            : qn_fail(err, QN_E_USAGE,
                      "--include-weights and --exclude-weights choose from an importance matrix: pass "
                      "--imatrix too");
    }
    QN_TRY(qn_imatrix_open(options->imatrix, &plan->imatrix, err));
    for (uint64_t i = 0; i < plan->model->n_tensors; i++) {
        QN_TRY(match_tensor(plan, options, i, err));
    }
    if (plan->coverage.n_covered == 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: knows none of the model's tensors%s: it was made with another model",
                       options->imatrix,
                       options->n_include_weights + options->n_exclude_weights > 0
                           ? " that --include-weights and --exclude-weights leave"
                           : "");
    }
    tell_coverage(plan, job);
    write_meta(plan);
    return qn_meta_status(&plan->model->meta, err);
}
