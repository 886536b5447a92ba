/* SPDX-License-Identifier: MIT */
/* perplexity.c: what one model makes of a text, and how far two models are apart on it. */
/*
 * Both are one walk over the pieces of a text: with one reader the losses of its logits are added up, with two readers
 * their logits are compared row by row, so that nothing but a piece's logits is ever kept.
 */
#include "base/pool.h"
#include "calib/divergence.h"
#include "calib/text_chunks.h"
#include "container/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One measurement. The base comes first where there are two. */
typedef struct course {
    qn_job *job;
    qn_reader readers[2];
    size_t n_readers;
    qn_chunks chunks;
    float *logits[2];
    int32_t *targets; /* [rows of a piece] */
    qn_pool *pool;
    qn_nll_sum losses;         /* of one reader */
    qn_divergence *divergence; /* of two */
    qn_progress progress;
} course;

static void course_end(course *c) {
    for (size_t i = 0; i < c->n_readers; i++) {
        qn_reader_close(&c->readers[i]);
        free(c->logits[i]);
    }
    qn_chunks_clear(&c->chunks);
    free(c->targets);
    qn_pool_free(c->pool);
    qn_divergence_free(c->divergence);
}

/* Two models can be compared where a token id means the same to both. */
static qn_status check_vocabularies(const course *c, qn_error *err) {
    const qn_reader *a = &c->readers[0];
    const qn_reader *b = &c->readers[1];
    const size_t n = qn_tokenizer_n_tokens(a->tokenizer);
    if (qn_engine_n_vocab(a->engine) != qn_engine_n_vocab(b->engine) || n != qn_tokenizer_n_tokens(b->tokenizer)) {
        return qn_fail(err, QN_E_USAGE,
                       "%s has %" PRIu64 " tokens and %s %" PRIu64
                       ": only models of one vocabulary can be compared, such as one model in two types",
                       a->path, qn_engine_n_vocab(a->engine), b->path, qn_engine_n_vocab(b->engine));
    }
    const qn_text *texts = qn_tokenizer_texts(a->tokenizer);
    const qn_text *others = qn_tokenizer_texts(b->tokenizer);
    for (size_t i = 0; i < n; i++) {
        if (texts[i].len != others[i].len || memcmp(texts[i].bytes, others[i].bytes, texts[i].len) != 0) {
            return qn_fail(err, QN_E_USAGE,
                           "token %zu is '%s' in %s and '%s' in %s: only models of one vocabulary can be compared, "
                           "such as one model in two types",
                           i, qn_shown_name(texts[i].bytes, texts[i].len).text, a->path,
                           qn_shown_name(others[i].bytes, others[i].len).text, b->path);
        }
    }
    return QN_OK;
}

static qn_status course_begin(course *c, const qn_measure_text *text, qn_error *err) {
    uint64_t n_ctx = qn_reader_n_ctx(&c->readers[0], text);
    if (c->n_readers == 2) {
        const uint64_t other = qn_reader_n_ctx(&c->readers[1], text);
        n_ctx = n_ctx < other ? n_ctx : other;
        QN_TRY(check_vocabularies(c, err));
        c->divergence = qn_divergence_new();
    }
    QN_TRY(qn_chunks_read(&c->readers[0], text, n_ctx, QN_WANT_SECOND_HALF, &c->chunks, err));
    const uint64_t n_rows = c->chunks.n_together * n_ctx;
    c->targets = qn_new_array(n_rows, sizeof *c->targets);
    c->pool = qn_pool_new(qn_job_threads(c->job));
    bool has_room = c->targets != NULL && c->pool != NULL && (c->n_readers == 1 || c->divergence != NULL);
    for (size_t i = 0; i < c->n_readers; i++) {
        QN_TRY(qn_reader_prepare(&c->readers[i], &c->chunks, err));
        c->logits[i] = qn_chunks_new_logits(&c->chunks, qn_engine_n_vocab(c->readers[i].engine));
        has_room = has_room && c->logits[i] != NULL;
    }
    return has_room ? QN_OK : qn_fail_nomem(err, "logits of a piece of text", (size_t)c->chunks.max_rows);
}

static qn_status take_piece(course *c, const qn_piece *piece, qn_error *err) {
    const uint64_t n_vocab = qn_engine_n_vocab(c->readers[0].engine);
    const uint64_t n_rows = piece->n_chunks * piece->n;
    for (size_t i = 0; i < c->n_readers; i++) {
        QN_TRY(qn_reader_run(&c->readers[i], &c->chunks, piece, c->logits[i], err));
    }
    if (!piece->has_logits) {
        return QN_OK;
    }
    qn_piece_targets(&c->chunks, piece, c->targets);
    if (c->n_readers == 1) {
        return qn_nll_add(&c->losses, c->pool, c->logits[0], c->targets, n_rows, n_vocab, err);
    }
    return qn_divergence_add(c->divergence, c->pool, c->logits[0], c->logits[1], c->targets, n_rows, n_vocab, err);
}

static void tell(course *c, const qn_piece *piece) {
    char so_far[64] = "";
    const qn_estimate e = c->n_readers == 1 ? qn_perplexity_of(&c->losses) : qn_divergence_mean(c->divergence);
    const uint64_t n = c->n_readers == 1 ? c->losses.n : qn_divergence_losses(c->divergence, false)->n;
    if (n > 0) {
        (void)snprintf(so_far, sizeof so_far, c->n_readers == 1 ? "%.2f +/- %.2f" : "%.6f +/- %.6f", e.value, e.error);
    }
    /* The last token of a chunk is not run, but it has been read. */
    const uint64_t n_read = piece->n_chunks * (piece->n + piece->is_last);
    qn_progress_add(&c->progress, (qn_progress_at){.message = n > 0 ? so_far : NULL}, n_read);
}

static qn_status course_run(course *c, qn_measured_text *read, qn_error *err) {
    const double start = qn_job_seconds(c->job);
    qn_piece piece = {0};
    qn_progress_begin(&c->progress, c->job, 0, 0, c->chunks.n * c->chunks.n_ctx);
    c->progress.counts_tokens = true;
    qn_progress_stage(&c->progress, c->n_readers == 1 ? "Perplexity" : "KL divergence");
    while (qn_chunks_next(&c->chunks, &piece)) {
        QN_TRY(take_piece(c, &piece, err));
        tell(c, &piece);
    }
    *read = (qn_measured_text){.n_tokens = c->chunks.ids.n,
                               .n_ctx = c->chunks.n_ctx,
                               .n_chunks = c->chunks.n,
                               .seconds = qn_job_seconds(c->job) - start};
    return QN_OK;
}

static qn_status open_and_run(course *c, const qn_measure_model *const *models, const qn_measure_text *text,
                              qn_measured_text *read, qn_error *err) {
    for (size_t i = 0; i < 2 && models[i] != NULL; i++) {
        c->n_readers++;
        QN_TRY(qn_reader_open(models[i], text, c->job, &c->readers[i], err));
    }
    QN_TRY(course_begin(c, text, err));
    return course_run(c, read, err);
}

qn_status qn_measure_perplexity(const qn_measure_model *model, const qn_measure_text *text, qn_job *job,
                                qn_perplexity_result *out, qn_error *err) {
    const qn_measure_model *const models[2] = {model, NULL};
    course c = {.job = job};
    *out = (qn_perplexity_result){0};
    const qn_status status = open_and_run(&c, models, text, &out->text, err);
    out->n_counted = c.losses.n;
    out->nll = qn_nll_mean(&c.losses);
    out->ppl = qn_perplexity_of(&c.losses);
    course_end(&c);
    return status;
}

qn_status qn_measure_kld(const qn_measure_model *base, const qn_measure_model *model, const qn_measure_text *text,
                         qn_job *job, qn_kld_result *out, qn_error *err) {
    const qn_measure_model *const models[2] = {base, model};
    course c = {.job = job};
    *out = (qn_kld_result){0};
    qn_status status = open_and_run(&c, models, text, &out->text, err);
    if (status == QN_OK) {
        status = qn_divergence_result(c.divergence, &out->stats, err);
    }
    course_end(&c);
    return status;
}
