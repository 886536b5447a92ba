/* SPDX-License-Identifier: MIT */
/* importance.c: adds up squared inputs, chunk group by chunk group, so that what is cut off leaves no trace. */
/*
 * Totals are float32, as the file holds them: going on from a file then gives the same bytes as never having stopped.
 * Sums of the chunks in work are kept apart until these are done.
 */
#include "calib/importance.h"

#include "base/checked.h"
#include "container/source.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const double MAX_TOKENS = 1e18;

enum { COLUMNS_A_PORTION = 256, MIN_SHARED_WORK = 1 << 16 };

qn_status qn_importance_init(qn_importance *im, qn_error *err) {
    *im = (qn_importance){.arena = qn_arena_new()};
    return im->arena == NULL ? qn_fail_nomem(err, "an importance matrix", 0) : QN_OK;
}

void qn_importance_clear(qn_importance *im) {
    for (uint64_t i = 0; i < im->n; i++) {
        free(im->entries[i].sums);
        free(im->entries[i].counts);
        free(im->entries[i].new_sums);
        free(im->entries[i].new_counts);
    }
    free(im->entries);
    free(im->datasets);
    qn_arena_free(im->arena);
    *im = (qn_importance){0};
}

/* ---- entries ---- */

/* Products follow each other in the same order in every batch. */
static qn_importance_entry *find(qn_importance *im, const char *name) {
    for (uint64_t i = 0; i < im->n; i++) {
        const uint64_t k = im->at + i < im->n ? im->at + i : im->at + i - im->n;
        if (strcmp(im->entries[k].name, name) == 0) {
            im->at = k;
            return &im->entries[k];
        }
    }
    return NULL;
}

static qn_status add_entry(qn_importance *im, const char *name, uint64_t n_matrices, uint64_t n_cols,
                           const char *source, qn_importance_entry **out, qn_error *err) {
    uint64_t n_values = 0;
    if (!qn_mul_u64(n_matrices, n_cols, &n_values)) {
        return qn_fail(err, QN_E_SHAPE, "'%s': %" PRIu64 " matrices of %" PRIu64 " columns are too many", name,
                       n_matrices, n_cols);
    }
    if (im->n == im->cap) {
        const uint64_t cap = im->cap == 0 ? 64 : 2 * im->cap;
        qn_importance_entry *entries = qn_resize_array(im->entries, cap, sizeof *entries);
        if (entries == NULL) {
            return qn_fail_nomem(err, "an importance matrix", (size_t)cap * sizeof *entries);
        }
        im->entries = entries;
        im->cap = cap;
    }
    qn_importance_entry *e = &im->entries[im->n];
    *e = (qn_importance_entry){.name = qn_arena_string(im->arena, name), .n_cols = n_cols, .n_matrices = n_matrices};
    e->source = source == NULL ? NULL : qn_arena_string(im->arena, source);
    e->sums = qn_new_array(n_values, sizeof *e->sums);
    e->counts = qn_new_array(n_matrices, sizeof *e->counts);
    if (e->name == NULL || e->sums == NULL || e->counts == NULL || (source != NULL && e->source == NULL)) {
        free(e->sums);
        free(e->counts);
        return qn_fail_nomem(err, "an importance matrix", (size_t)n_values * sizeof *e->sums);
    }
    im->n++;
    *out = e;
    return QN_OK;
}

/* Legacy files hold stacked experts as one row with one count; from now on each has its own. */
static qn_status unstack(qn_importance_entry *e, uint64_t n_matrices, qn_error *err) {
    double *counts = qn_new_array(n_matrices, sizeof *counts);
    if (counts == NULL) {
        return qn_fail_nomem(err, "counts of experts", (size_t)n_matrices * sizeof *counts);
    }
    for (uint64_t i = 0; i < n_matrices; i++) {
        counts[i] = e->counts[0];
    }
    free(e->counts);
    e->counts = counts;
    e->n_cols /= n_matrices;
    e->n_matrices = n_matrices;
    return QN_OK;
}

/* Whether sums of so many matrices and columns can be added to an entry, as it is or unstacked. */
static bool fits(const qn_importance_entry *e, uint64_t n_matrices, uint64_t n_cols) {
    uint64_t n_values = 0;
    return qn_mul_u64(n_matrices, n_cols, &n_values) && n_values == e->n_matrices * e->n_cols &&
        (n_matrices == e->n_matrices || e->n_matrices == 1 || n_matrices == 1);
}

static qn_status fail_shape(const qn_importance_entry *e, const char *other, uint64_t n_matrices, uint64_t n_cols,
                            qn_error *err) {
    return qn_fail(err, QN_E_USAGE,
                   "'%s' has %" PRIu64 " x %" PRIu64 " sums in %s, and %" PRIu64 " x %" PRIu64
                   " in %s: these are of different models and cannot be added up",
                   e->name, e->n_matrices, e->n_cols, e->source == NULL ? "the model" : e->source, n_matrices, n_cols,
                   other);
}

/* ---- what an engine shows ---- */

typedef struct squares {
    float *sums; /* [n_cols] */
    const float *x;
    uint64_t n_rows;
    uint64_t n_cols;
    atomic_uint_fast64_t next;
} squares;

static void add_squares(squares *s, uint64_t first, uint64_t end) {
    for (uint64_t row = 0; row < s->n_rows; row++) {
        const float *x = s->x + row * s->n_cols;
        for (uint64_t i = first; i < end; i++) {
            s->sums[i] += x[i] * x[i];
        }
    }
}

static void square_columns(void *shared, unsigned worker) {
    squares *s = shared;
    (void)worker;
    for (uint64_t first = 0; (first = qn_next_portion(&s->next, COLUMNS_A_PORTION, s->n_cols)) < s->n_cols;) {
        const uint64_t left = s->n_cols - first;
        add_squares(s, first, first + (left < COLUMNS_A_PORTION ? left : COLUMNS_A_PORTION));
    }
}

static qn_status entry_in_work(qn_importance *im, const char *name, uint64_t n_matrices, uint64_t n_cols,
                               qn_importance_entry **out, qn_error *err) {
    qn_importance_entry *e = find(im, name);
    if (e == NULL) {
        QN_TRY(add_entry(im, name, n_matrices, n_cols, NULL, &e, err));
    }
    if (e->new_sums == NULL) {
        if (!fits(e, n_matrices, n_cols) || n_matrices < e->n_matrices) {
            return fail_shape(e, "the model", n_matrices, n_cols, err);
        }
        if (n_matrices > e->n_matrices) {
            QN_TRY(unstack(e, n_matrices, err));
        }
        e->new_sums = qn_new_array(n_matrices * n_cols, sizeof *e->new_sums);
        e->new_counts = qn_new_array(n_matrices, sizeof *e->new_counts);
    }
    if (e->new_sums == NULL || e->new_counts == NULL) {
        return qn_fail_nomem(err, "an importance matrix", (size_t)(n_matrices * n_cols) * sizeof *e->new_sums);
    }
    *out = e;
    return QN_OK;
}

void qn_importance_take(void *user, const char *weight_name, uint64_t expert, uint64_t n_experts, const float *x,
                        uint64_t n_rows, uint64_t n_cols) {
    qn_importance *im = user;
    qn_importance_entry *e = NULL;
    if (im->status != QN_OK || n_rows == 0 || (!im->takes_all && strncmp(weight_name, "blk.", 4) != 0)) {
        return;
    }
    im->status = entry_in_work(im, weight_name, n_experts, n_cols, &e, &im->err);
    if (im->status != QN_OK) {
        return;
    }
    squares s = {.sums = e->new_sums + expert * n_cols, .x = x, .n_rows = n_rows, .n_cols = n_cols};
    e->new_counts[expert] += (double)n_rows;
    if (im->pool == NULL || n_rows * n_cols < MIN_SHARED_WORK) {
        add_squares(&s, 0, n_cols);
    } else {
        qn_pool_run(im->pool, square_columns, &s);
    }
}

static qn_status commit_entry(qn_importance_entry *e, qn_error *err) {
    for (uint64_t m = 0; m < e->n_matrices; m++) {
        float *from = e->new_sums + m * e->n_cols;
        float *to = e->sums + m * e->n_cols;
        if (e->new_counts[m] <= 0) {
            continue;
        }
        for (uint64_t i = 0; i < e->n_cols; i++) {
            to[i] += from[i];
            if (!isfinite(to[i])) {
                return qn_fail(err, QN_E_RANGE,
                               "the inputs of '%s' are not finite at column %" PRIu64
                               ": weights are damaged, or overflow in their computation",
                               e->name, i);
            }
        }
        e->counts[m] += e->new_counts[m];
        e->new_counts[m] = 0;
        memset(from, 0, (size_t)e->n_cols * sizeof *from);
    }
    return QN_OK;
}

qn_status qn_importance_commit(qn_importance *im, uint64_t n_tokens, qn_error *err) {
    if (im->status != QN_OK) {
        return qn_fail(err, im->status, "%s", im->err.message);
    }
    for (uint64_t i = 0; i < im->n; i++) {
        if (im->entries[i].new_sums != NULL) {
            QN_TRY(commit_entry(&im->entries[i], err));
        }
    }
    im->n_tokens += (double)n_tokens;
    return QN_OK;
}

/* ---- files ---- */

qn_status qn_importance_name(qn_importance *im, const char *dataset, qn_error *err) {
    for (uint64_t i = 0; i < im->n_datasets; i++) {
        if (strcmp(im->datasets[i], dataset) == 0) {
            return QN_OK;
        }
    }
    const char **names = qn_resize_array(im->datasets, im->n_datasets + 1, sizeof *names);
    if (names == NULL) {
        return qn_fail_nomem(err, "the names of texts", (size_t)(im->n_datasets + 1) * sizeof *names);
    }
    im->datasets = names;
    im->datasets[im->n_datasets] = qn_arena_string(im->arena, dataset);
    return im->datasets[im->n_datasets++] == NULL ? qn_fail_nomem(err, "the names of texts", strlen(dataset)) : QN_OK;
}

static qn_status merge_entry(qn_importance *im, const qn_imatrix_entry *from, const char *path, double factor,
                             qn_error *err) {
    const uint64_t n_matrices = from->n_counts;
    const uint64_t n_cols = from->n_values / from->n_counts;
    qn_importance_entry *e = find(im, from->name);
    if (e == NULL) {
        QN_TRY(add_entry(im, from->name, n_matrices, n_cols, path, &e, err));
    }
    if (!fits(e, n_matrices, n_cols)) {
        return fail_shape(e, path, n_matrices, n_cols, err);
    }
    if (n_matrices > e->n_matrices) {
        QN_TRY(unstack(e, n_matrices, err));
    }
    for (uint64_t i = 0; i < from->n_values; i++) {
        e->sums[i] += (float)(factor * (double)from->values[i]);
        if (!isfinite(e->sums[i])) {
            return qn_fail(err, QN_E_RANGE, "%s: the sums of '%s' overflow when they are added up", path, e->name);
        }
    }
    for (uint64_t m = 0; m < e->n_matrices; m++) {
        e->counts[m] += factor * (double)from->counts[n_matrices == 1 ? 0 : m];
    }
    return QN_OK;
}

qn_status qn_importance_merge(qn_importance *im, const qn_imatrix *matrix, uint64_t chunk_size, qn_error *err) {
    /* Legacy values are means times calls; a call is a chunk. */
    const double factor = matrix->is_legacy ? (double)chunk_size : 1;
    const uint64_t own_size = matrix->is_legacy ? chunk_size : matrix->chunk_size;
    for (uint64_t i = 0; i < matrix->n_entries; i++) {
        QN_TRY(merge_entry(im, &matrix->entries[i], matrix->path, factor, err));
    }
    for (uint64_t i = 0; i < matrix->n_datasets; i++) {
        QN_TRY(qn_importance_name(im, matrix->datasets[i], err));
    }
    im->n_tokens += (double)matrix->n_chunks * (double)own_size;
    return im->n_tokens < MAX_TOKENS
        ? QN_OK
        : qn_fail(err, QN_E_RANGE,
                  "%s: with its %" PRIu64 " chunks of %" PRIu64 " tokens the sums are of too many tokens", matrix->path,
                  matrix->n_chunks, own_size);
}

const qn_importance_entry *qn_importance_stranger(const qn_importance *im) {
    for (uint64_t i = 0; i < im->n; i++) {
        const qn_importance_entry *e = &im->entries[i];
        if (e->source != NULL && e->new_sums == NULL && strncmp(e->name, "blk.", 4) == 0) {
            return e;
        }
    }
    return NULL;
}

static int compare_sums(const void *a, const void *b) {
    return strcmp(((const qn_imatrix_sums *)a)->name, ((const qn_imatrix_sums *)b)->name);
}

uint64_t qn_importance_chunks(const qn_importance *im, uint64_t chunk_size) {
    return (uint64_t)ceil(im->n_tokens / (double)chunk_size);
}

qn_status qn_importance_write(const qn_importance *im, const char *path, const qn_imatrix_facts *facts, qn_error *err) {
    qn_imatrix_facts all = *facts;
    qn_imatrix_sums *sums = qn_new_array(im->n, sizeof *sums);
    if (sums == NULL) {
        return qn_fail_nomem(err, "an importance matrix", (size_t)im->n * sizeof *sums);
    }
    for (uint64_t i = 0; i < im->n; i++) {
        const qn_importance_entry *e = &im->entries[i];
        sums[i] = (qn_imatrix_sums){e->name, e->n_cols, e->n_matrices, e->sums, e->counts};
    }
    qsort(sums, im->n, sizeof *sums, compare_sums);
    all.datasets = im->datasets;
    all.n_datasets = im->n_datasets;
    all.n_chunks = qn_importance_chunks(im, facts->chunk_size);
    const qn_status status = qn_imatrix_write(path, &all, sums, im->n, err);
    free(sums);
    return status;
}
