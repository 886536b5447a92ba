/* SPDX-License-Identifier: MIT */
/* imatrix_writer.c: writes importance matrices, GGUF or legacy; imatrix.c tells the formats. */
/*
 * A legacy entry holds mean squares times calls, and has one number of calls for all experts: as many as the most used
 * one saw chunks, rounded up; experts that were never seen count alike in all columns.
 */
#include "base/buffer.h"
#include "container/gguf.h"
#include "container/imatrix.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static double largest_count(const qn_imatrix_sums *e) {
    double most = 0;
    for (uint64_t i = 0; i < e->n_matrices; i++) {
        most = e->counts[i] > most ? e->counts[i] : most;
    }
    return most;
}

/* A finished file takes the place of what had its name; after a failure nothing is left of it. */
static qn_status finish(qn_out *out, const char *part, const char *path, qn_status status, qn_error *err) {
    if (status == QN_OK) {
        status = qn_out_sync(out, err);
    }
    qn_out_close(out);
    if (status == QN_OK) {
        status = qn_rename(part, path, err);
    }
    if (status != QN_OK) {
        (void)remove(part);
    }
    return status;
}

/* ---- GGUF ---- */

/* What is written, and where: a tensor of sums and one of counts for each entry. */
typedef struct gguf_file {
    const qn_imatrix_facts *facts;
    const qn_imatrix_sums **entries; /* [n] */
    uint64_t n;
    qn_placed_tensor *tensors; /* [2 n] */
    qn_arena *arena;
    qn_buffer header;
    uint64_t size_bytes;
} gguf_file;

static qn_status fill_meta(gguf_file *f, qn_meta *meta, qn_error *err) {
    const qn_imatrix_facts *facts = f->facts;
    qn_text *names = qn_arena_array(f->arena, facts->n_datasets, sizeof *names);
    if (names == NULL) {
        return qn_fail_nomem(err, "the names of data sets", (size_t)facts->n_datasets * sizeof *names);
    }
    for (uint64_t i = 0; i < facts->n_datasets; i++) {
        names[i] = qn_text_of(facts->datasets[i]);
    }
    if (facts->n_chunks > UINT32_MAX || facts->chunk_size > UINT32_MAX) {
        return qn_fail(err, QN_E_RANGE, "%" PRIu64 " chunks of %" PRIu64 " tokens are more than GGUF can tell",
                       facts->n_chunks, facts->chunk_size);
    }
    qn_meta_set_string(meta, "general.type", "imatrix");
    qn_meta_set_array(meta, "imatrix.datasets", QN_META_STRING, names, facts->n_datasets);
    qn_meta_set_u32(meta, "imatrix.chunk_count", (uint32_t)facts->n_chunks);
    qn_meta_set_u32(meta, "imatrix.chunk_size", (uint32_t)facts->chunk_size);
    if (facts->state.job != NULL) {
        qn_meta_set_string(meta, QN_IMATRIX_JOB_KEY, facts->state.job);
        qn_meta_set_u32(meta, QN_IMATRIX_DONE_KEY, (uint32_t)facts->state.n_chunks);
    }
    return qn_meta_status(meta, err);
}

static qn_status lay_out(gguf_file *f, qn_error *err) {
    qn_meta meta = qn_meta_new(f->arena);
    QN_TRY(fill_meta(f, &meta, err));
    f->tensors = qn_arena_array(f->arena, 2 * f->n, sizeof *f->tensors);
    if (f->tensors == NULL) {
        return qn_fail_nomem(err, "an importance matrix", (size_t)f->n * 2 * sizeof *f->tensors);
    }
    for (uint64_t i = 0; i < f->n; i++) {
        const qn_imatrix_sums *e = f->entries[i];
        const char *sums = qn_arena_printf(f->arena, "%s.in_sum2", e->name);
        const char *counts = qn_arena_printf(f->arena, "%s.counts", e->name);
        if (sums == NULL || counts == NULL) {
            return qn_fail_nomem(err, "the names of tensors", strlen(e->name));
        }
        f->tensors[2 * i] = (qn_placed_tensor){.name = sums, .type = QN_F32, .shape = {2, {e->n_matrices, e->n_cols}}};
        f->tensors[2 * i + 1] = (qn_placed_tensor){.name = counts, .type = QN_F32, .shape = {2, {e->n_matrices, 1}}};
    }
    return qn_gguf_layout(&meta, f->tensors, 2 * f->n, &f->header, &f->size_bytes, err);
}

static qn_status write_entry(const gguf_file *f, uint64_t i, qn_out *out, qn_error *err) {
    const qn_imatrix_sums *e = f->entries[i];
    const qn_placed_tensor *sums = &f->tensors[2 * i];
    const qn_placed_tensor *counts = &f->tensors[2 * i + 1];
    float *rounded = qn_new_array(e->n_matrices, sizeof *rounded);
    if (rounded == NULL) {
        return qn_fail_nomem(err, "counts", (size_t)e->n_matrices * sizeof *rounded);
    }
    for (uint64_t k = 0; k < e->n_matrices; k++) {
        rounded[k] = (float)e->counts[k];
    }
    qn_status status = qn_out_write_at(out, sums->file_off, e->sums, (size_t)sums->size_bytes, err);
    if (status == QN_OK) {
        status = qn_out_write_at(out, counts->file_off, rounded, (size_t)counts->size_bytes, err);
    }
    free(rounded);
    return status;
}

static qn_status write_gguf(gguf_file *f, const char *part, const char *path, qn_error *err) {
    qn_out *out = NULL;
    QN_TRY(lay_out(f, err));
    QN_TRY(qn_out_open(part, f->size_bytes, false, &out, err));
    qn_status status = qn_out_write_at(out, 0, f->header.data, f->header.len, err);
    for (uint64_t i = 0; status == QN_OK && i < f->n; i++) {
        status = write_entry(f, i, out, err);
    }
    return finish(out, part, path, status, err);
}

/* ---- legacy ---- */

static qn_status put_legacy_entry(qn_buffer *b, const qn_imatrix_sums *e, uint64_t chunk_size, qn_error *err) {
    const double n_calls = ceil(largest_count(e) / (double)chunk_size);
    const uint64_t n_values = e->n_cols * e->n_matrices;
    if (n_calls > INT32_MAX || n_values > INT32_MAX) {
        return qn_fail(err, QN_E_RANGE, "entry '%s' is too large for the .dat format; a .gguf file can hold it",
                       e->name);
    }
    qn_buffer_u32(b, (uint32_t)strlen(e->name));
    qn_buffer_text(b, e->name);
    qn_buffer_u32(b, (uint32_t)n_calls);
    qn_buffer_u32(b, (uint32_t)n_values);
    for (uint64_t k = 0; k < e->n_matrices; k++) {
        for (uint64_t i = 0; i < e->n_cols; i++) {
            const double mean = e->counts[k] > 0 ? (double)e->sums[k * e->n_cols + i] / e->counts[k] : 1;
            qn_buffer_f32(b, (float)(mean * n_calls));
        }
    }
    return QN_OK;
}

static qn_status fill_legacy(qn_buffer *b, const qn_imatrix_facts *facts, const qn_imatrix_sums *const *entries,
                             uint64_t n, qn_error *err) {
    const char *dataset = facts->n_datasets == 0 ? "" : facts->datasets[facts->n_datasets - 1];
    if (n > INT32_MAX || facts->n_chunks > INT32_MAX) {
        return qn_fail(err, QN_E_RANGE, "this importance matrix is too large for the .dat format; .gguf can hold it");
    }
    qn_buffer_u32(b, (uint32_t)n);
    for (uint64_t i = 0; i < n; i++) {
        QN_TRY(put_legacy_entry(b, entries[i], facts->chunk_size, err));
    }
    qn_buffer_u32(b, (uint32_t)facts->n_chunks);
    qn_buffer_u32(b, (uint32_t)strlen(dataset));
    qn_buffer_text(b, dataset);
    return qn_buffer_status(b, err);
}

static qn_status write_legacy(const qn_imatrix_facts *facts, const qn_imatrix_sums *const *entries, uint64_t n,
                              const char *part, const char *path, qn_error *err) {
    qn_out *out = NULL;
    qn_buffer bytes = {0};
    qn_status status = fill_legacy(&bytes, facts, entries, n, err);
    if (status == QN_OK) {
        status = qn_out_open(part, bytes.len, false, &out, err);
    }
    if (status == QN_OK) {
        status = finish(out, part, path, qn_out_write_at(out, 0, bytes.data, bytes.len, err), err);
    }
    qn_buffer_clear(&bytes);
    return status;
}

qn_status qn_imatrix_write(const char *path, const qn_imatrix_facts *facts, const qn_imatrix_sums *entries, uint64_t n,
                           qn_error *err) {
    gguf_file f = {.facts = facts, .arena = qn_arena_new()};
    const char *part = f.arena == NULL ? NULL : qn_arena_printf(f.arena, "%s.part", path);
    f.entries = f.arena == NULL ? NULL : qn_arena_array(f.arena, n, sizeof *f.entries);
    qn_status status = QN_OK;
    for (uint64_t i = 0; f.entries != NULL && i < n; i++) {
        if (largest_count(&entries[i]) > 0) {
            f.entries[f.n++] = &entries[i];
        }
    }
    if (part == NULL || f.entries == NULL) {
        status = qn_fail_nomem(err, "an importance matrix", (size_t)n * sizeof *f.entries);
    } else if (f.n == 0) {
        status = qn_fail(err, QN_E_RANGE, "%s: no input of any matrix was seen: there is nothing to write", path);
    } else if (facts->is_legacy) {
        status = write_legacy(facts, f.entries, f.n, part, path, err);
    } else {
        status = write_gguf(&f, part, path, err);
    }
    qn_buffer_clear(&f.header);
    qn_arena_free(f.arena);
    return status;
}
