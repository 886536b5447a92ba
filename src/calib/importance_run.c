/* SPDX-License-Identifier: MIT */
/* importance_run.c: makes an importance matrix: earlier files, then a text through a model, savings on the way. */
/*
 * OUT.partial is a GGUF importance matrix of all that is done, with two keys more: which job it belongs to (a sum over
 * the text's tokens, the model, the earlier files and what is asked for) and how many chunks of the text are in it. A
 * partial file of another job is begun anew. It is removed when OUT has its name.
 */
#include "base/buffer.h"
#include "base/file.h"
#include "base/hash.h"
#include "calib/importance.h"
#include "calib/text_chunks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CHUNK_SIZE = 512 };

static const double SAVE_SECONDS = 60;

typedef struct run {
    const qn_importance_options *options;
    qn_job *job;
    qn_arena *arena;
    const char *partial; /* OUT.partial */
    const char *id;      /* of the job */
    qn_importance sums;
    qn_reader reader;
    qn_chunks chunks;
    qn_pool *pool;
    float *logits; /* NULL: none are asked for */
    uint64_t chunk_size;
    uint64_t n_done;    /* chunks that are in the sums */
    uint64_t n_resumed; /* of those, which an earlier run did */
    uint64_t n_saved;   /* of those, which OUT.partial holds */
    double saved_s;
} run;

/* ---- before anything is computed ---- */

/* What is read must not be replaced, whatever --force says; earlier matrices are read before. */
static qn_status check_out(const qn_importance_options *o, qn_error *err) {
    const char *const read[] = {o->model.path, o->text.text_path};
    if (qn_is_dir(o->out_path)) {
        return qn_fail(err, QN_E_EXISTS, "%s: is a folder: name a file for the importance matrix (-o FILE.gguf)",
                       o->out_path);
    }
    for (size_t i = 0; i < sizeof read / sizeof read[0]; i++) {
        if (read[i] != NULL && qn_is_same_file(o->out_path, read[i])) {
            return qn_fail(err, QN_E_USAGE, "%s: is read by this job and cannot be replaced by it; pass another -o",
                           o->out_path);
        }
    }
    if (!o->force && qn_is_file(o->out_path)) {
        return qn_fail(err, QN_E_EXISTS, "%s: is there already; --force replaces it", o->out_path);
    }
    return QN_OK;
}

static qn_status check_options(const qn_importance_options *o, qn_error *err) {
    if (o->out_path == NULL) {
        return qn_fail(err, QN_E_USAGE, "no name for the importance matrix: pass one (-o FILE.gguf)");
    }
    if (o->model.path == NULL && o->n_in_files == 0) {
        return qn_fail(err, QN_E_USAGE,
                       "nothing to make an importance matrix of: pass a model and a text, or earlier "
                       "matrices (--in-file) to be added up");
    }
    if ((o->model.path == NULL) != (o->text.text_path == NULL)) {
        return qn_fail(err, QN_E_USAGE,
                       o->model.path == NULL ? "a text is read by a model: pass one"
                                             : "a model reads a text: pass one (--text FILE)");
    }
    return check_out(o, err);
}

/* An hour of computing should not end at a name that cannot be written. */
static qn_status check_writable(const run *r, qn_error *err) {
    qn_out *out = NULL;
    const char *part = qn_arena_printf(r->arena, "%s.part", r->options->out_path);
    if (part == NULL) {
        return qn_fail_nomem(err, "a path", strlen(r->options->out_path));
    }
    QN_TRY(qn_out_open(part, 0, false, &out, err));
    qn_out_close(out);
    (void)remove(part);
    return QN_OK;
}

static qn_status read_in_files(run *r, qn_error *err) {
    const qn_importance_options *o = r->options;
    qn_status status = QN_OK;
    for (size_t i = 0; status == QN_OK && i < o->n_in_files; i++) {
        qn_imatrix *matrix = NULL;
        QN_TRY(qn_imatrix_open_sums(o->in_files[i], &matrix, err));
        if (r->chunk_size == 0) { /* without a text: as asked for, else as the first file that tells */
            r->chunk_size = o->text.n_ctx != 0 ? o->text.n_ctx : matrix->chunk_size;
        }
        status = qn_importance_merge(&r->sums, matrix, r->chunk_size == 0 ? DEFAULT_CHUNK_SIZE : r->chunk_size, err);
        qn_imatrix_close(matrix);
    }
    if (r->chunk_size == 0) {
        r->chunk_size = DEFAULT_CHUNK_SIZE;
    }
    return status;
}

/* ---- going on ---- */

static void put_file(qn_buffer *b, const char *path) {
    qn_file *file = NULL;
    qn_error ignored;
    qn_buffer_text(b, path);
    if (qn_file_open(path, &file, &ignored) == QN_OK) { /* a model may be a folder: then its name must do */
        qn_buffer_u64(b, qn_file_size(file));
        qn_buffer_u64(b, (uint64_t)qn_file_mtime_ns(file));
    }
    qn_file_close(file);
    qn_buffer_u8(b, 0);
}

static qn_status identify(run *r, qn_error *err) {
    const qn_importance_options *o = r->options;
    qn_buffer b = {0};
    put_file(&b, o->model.path);
    qn_buffer_text(&b, o->model.type == NULL ? "" : o->model.type);
    qn_buffer_u8(&b, 0);
    for (size_t i = 0; i < o->n_in_files; i++) {
        put_file(&b, o->in_files[i]);
    }
    qn_buffer_u64(&b, r->chunk_size);
    qn_buffer_u8(&b, o->process_output);
    qn_buffer_append(&b, r->chunks.ids.items, r->chunks.ids.n * sizeof *r->chunks.ids.items);
    const qn_status status = qn_buffer_status(&b, err);
    if (status == QN_OK) {
        r->id = qn_arena_printf(r->arena, "%016" PRIx64, qn_hash64(b.data, b.len, 0));
    }
    qn_buffer_clear(&b);
    return status != QN_OK || r->id != NULL ? status : qn_fail_nomem(err, "a name", 16);
}

static qn_status read_partial(run *r, qn_error *err) {
    qn_imatrix *matrix = NULL;
    qn_error ignored;
    if (!qn_is_file(r->partial)) {
        return QN_OK;
    }
    if (qn_imatrix_open_sums(r->partial, &matrix, &ignored) != QN_OK || matrix->state.job == NULL ||
        strcmp(matrix->state.job, r->id) != 0 || matrix->state.n_chunks > r->chunks.n) {
        qn_imatrix_close(matrix);
        qn_job_note(r->job, "%s is of another text, model or options: begun anew", r->partial);
        return QN_OK;
    }
    r->n_done = r->n_resumed = r->n_saved = matrix->state.n_chunks;
    const qn_status status = qn_importance_merge(&r->sums, matrix, r->chunk_size, err);
    qn_imatrix_close(matrix);
    qn_job_note(r->job, "going on with an interrupted calculation: %" PRIu64 " of %" PRIu64 " chunks are there",
                r->n_done, r->chunks.n);
    return status;
}

static qn_status save(run *r, qn_error *err) {
    const qn_imatrix_facts facts = {.chunk_size = r->chunk_size, .state = {.job = r->id, .n_chunks = r->n_done}};
    if (r->n_done == r->n_saved) {
        return QN_OK;
    }
    QN_TRY(qn_importance_write(&r->sums, r->partial, &facts, err));
    r->n_saved = r->n_done;
    r->saved_s = qn_job_seconds(r->job);
    return QN_OK;
}

static bool must_save(const run *r) {
    if (r->n_done == r->chunks.n) {
        return false;
    }
    return r->options->save_every > 0 ? r->n_done - r->n_saved >= r->options->save_every
                                      : qn_job_seconds(r->job) - r->saved_s >= SAVE_SECONDS;
}

/* What was done stays where going on can help; what stopped the rest is what the caller's err tells of. */
static void save_rest(run *r, qn_status why) {
    const bool can_go_on = why == QN_E_INTERRUPTED || why == QN_E_NOMEM || why == QN_E_IO || why == QN_E_SPACE;
    qn_error failure;
    if (!can_go_on || r->n_done == r->n_resumed) {
        return;
    }
    if (save(r, &failure) != QN_OK) {
        qn_job_warn(r->job, "%s", failure.message);
    } else {
        qn_job_note(r->job, "%s holds %" PRIu64 " of %" PRIu64 " chunks: the same command goes on from there",
                    r->partial, r->n_done, r->chunks.n);
    }
}

/* ---- a text through a model ---- */

static qn_status open_text(run *r, qn_error *err) {
    const qn_importance_options *o = r->options;
    QN_TRY(qn_reader_open(&o->model, &o->text, r->job, &r->reader, err));
    r->chunk_size = qn_reader_n_ctx(&r->reader, &o->text);
    QN_TRY(qn_chunks_read(&r->reader, &o->text, r->chunk_size, o->process_output ? QN_WANT_ALL : QN_WANT_NONE,
                          &r->chunks, err));
    QN_TRY(qn_reader_prepare(&r->reader, &r->chunks, err));
    QN_TRY(identify(r, err));
    r->pool = qn_pool_new(qn_job_threads(r->job));
    r->sums.pool = r->pool;
    r->sums.takes_all = o->process_output;
    if (o->process_output) {
        r->logits = qn_chunks_new_logits(&r->chunks, qn_engine_n_vocab(r->reader.engine));
    }
    return r->pool == NULL || (o->process_output && r->logits == NULL) ? qn_fail_nomem(err, "logits", 0) : QN_OK;
}

static qn_status check_strangers(const run *r, qn_error *err) {
    const qn_importance_entry *e = qn_importance_stranger(&r->sums);
    if (e == NULL) {
        return QN_OK;
    }
    return qn_fail(err, QN_E_USAGE, "%s: its entry '%s' is of no matrix of %s: it was made of another model", e->source,
                   e->name, r->options->model.path);
}

/* The chunks that were run together are done. */
static qn_status finish_chunks(run *r, const qn_piece *piece, qn_error *err) {
    const bool is_first = r->n_done == r->n_resumed;
    QN_TRY(qn_importance_commit(&r->sums, piece->n_chunks * r->chunk_size, err));
    r->n_done += piece->n_chunks;
    if (is_first) {
        QN_TRY(check_strangers(r, err));
    }
    return must_save(r) ? save(r, err) : QN_OK;
}

static qn_status read_text(run *r, qn_error *err) {
    qn_progress progress;
    qn_piece piece = {.chunk = r->n_done};
    qn_progress_begin(&progress, r->job, 0, r->n_done * r->chunk_size, r->chunks.n * r->chunk_size);
    progress.counts_tokens = true;
    qn_progress_stage(&progress, "Importance");
    r->saved_s = qn_job_seconds(r->job);
    qn_engine_observe(r->reader.engine, qn_importance_take, &r->sums);
    while (qn_chunks_next(&r->chunks, &piece)) {
        char so_far[64];
        QN_TRY(qn_reader_run(&r->reader, &r->chunks, &piece, r->logits, err));
        if (piece.is_last) {
            QN_TRY(finish_chunks(r, &piece, err));
        }
        (void)snprintf(so_far, sizeof so_far, "chunk %" PRIu64 " of %" PRIu64, r->n_done, r->chunks.n);
        qn_progress_add(&progress, (qn_progress_at){.message = so_far}, piece.n_chunks * piece.n);
    }
    return QN_OK;
}

static qn_status run_text(run *r, qn_measured_text *read, qn_error *err) {
    const double start = qn_job_seconds(r->job);
    QN_TRY(read_partial(r, err));
    if (r->n_done == 0) {
        QN_TRY(read_in_files(r, err));
    }
    QN_TRY(qn_importance_name(&r->sums, r->options->text.text_path, err));
    const qn_status status = read_text(r, err);
    if (status != QN_OK) {
        save_rest(r, status);
        return status;
    }
    *read = (qn_measured_text){.n_tokens = r->chunks.ids.n,
                               .n_ctx = r->chunk_size,
                               .n_chunks = r->chunks.n,
                               .seconds = qn_job_seconds(r->job) - start};
    return QN_OK;
}

/* ---- results ---- */

static void fill_result(const run *r, qn_importance_result *out) {
    out->n_resumed = r->n_resumed;
    out->chunk_size = r->chunk_size;
    out->n_chunks = qn_importance_chunks(&r->sums, r->chunk_size);
    for (uint64_t i = 0; i < r->sums.n; i++) {
        const qn_importance_entry *e = &r->sums.entries[i];
        uint64_t n_unseen = 0;
        for (uint64_t m = 0; m < e->n_matrices; m++) {
            n_unseen += e->counts[m] <= 0;
        }
        out->n_entries += n_unseen < e->n_matrices;
        out->n_matrices += e->n_matrices;
        out->n_unseen += n_unseen;
        if (n_unseen > 0) {
            qn_job_note(r->job, "'%s': %" PRIu64 " of %" PRIu64 " experts saw no token; a longer text reaches more",
                        e->name, n_unseen, e->n_matrices);
        }
    }
}

static qn_status make_matrix(run *r, qn_importance_result *out, qn_error *err) {
    const qn_importance_options *o = r->options;
    QN_TRY(check_writable(r, err));
    if (o->model.path != NULL) {
        QN_TRY(open_text(r, err));
        QN_TRY(run_text(r, &out->text, err));
    } else {
        QN_TRY(read_in_files(r, err));
    }
    const qn_imatrix_facts facts = {.chunk_size = r->chunk_size, .is_legacy = qn_ends_with(o->out_path, ".dat")};
    QN_TRY(qn_importance_write(&r->sums, o->out_path, &facts, err));
    if (o->model.path != NULL) {
        (void)remove(r->partial);
    }
    fill_result(r, out);
    return QN_OK;
}

qn_status qn_measure_importance(const qn_importance_options *options, qn_job *job, qn_importance_result *out,
                                qn_error *err) {
    run r = {.options = options, .job = job};
    *out = (qn_importance_result){0};
    QN_TRY(check_options(options, err));
    r.arena = qn_arena_new();
    r.partial = r.arena == NULL ? NULL : qn_arena_printf(r.arena, "%s.partial", options->out_path);
    qn_status status = r.partial == NULL ? qn_fail_nomem(err, "a path", 0) : qn_importance_init(&r.sums, err);
    if (status == QN_OK) {
        status = make_matrix(&r, out, err);
    }
    qn_importance_clear(&r.sums);
    qn_reader_close(&r.reader);
    qn_chunks_clear(&r.chunks);
    qn_pool_free(r.pool);
    free(r.logits);
    qn_arena_free(r.arena);
    return status;
}
