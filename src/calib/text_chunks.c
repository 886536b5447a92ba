/* SPDX-License-Identifier: MIT */
/* text_chunks.c: cuts a text as llama-perplexity does, and feeds it to an engine in calls of bounded memory. */
/*
 * The text is encoded as a whole; chunk c is made of its tokens [c n_ctx, (c + 1) n_ctx). Where the vocabulary puts a
 * BOS in front, it stands in the place of each chunk's first token. Logits of a chunk can take more memory than the
 * model (a vocabulary of 150,000 tokens: 600 KB a position), so a piece has as many positions as fit a fixed room.
 */
#include "calib/text_chunks.h"

#include "base/file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_CTX = 512, DEFAULT_BATCH = 512, MAX_BATCH = 1 << 16, MIN_CTX = 8, MIN_ROWS = 16 };

static const char EXACT_TYPE[] = "F32";
static const uint64_t MAX_TEXT_BYTES = (UINT64_C(1) << 30) - 1;
static const uint64_t LOGITS_BYTES = UINT64_C(128) << 20;

static uint64_t batch_of(const qn_measure_text *text) {
    const uint64_t n = text->n_batch == 0 ? DEFAULT_BATCH : text->n_batch;
    return n < MAX_BATCH ? n : MAX_BATCH;
}

/* ---- the model ---- */

static qn_status check_ctx(uint64_t n_ctx, qn_error *err) {
    return n_ctx >= MIN_CTX
        ? QN_OK
        : qn_fail(err, QN_E_USAGE, "chunks of %" PRIu64 " tokens are too short to tell anything: at least %d", n_ctx,
                  MIN_CTX);
}

/* One path is all that is passed: there is no place for a base. */
static const char pack_first[] = "make a file to measure: quern pack BASE --run DIR, or --adapter DIR";

/* What is wrong with a text is told before a folder is encoded. */
static qn_status check_text(const qn_measure_text *text, qn_error *err) {
    qn_file *file = NULL;
    if (text->text_path == NULL) {
        return qn_fail(err, QN_E_USAGE, "no text was given: name a file");
    }
    QN_TRY(qn_file_open(text->text_path, &file, err));
    qn_file_close(file);
    return text->n_ctx == 0 ? QN_OK : check_ctx(text->n_ctx, err);
}

qn_status qn_reader_open(const qn_measure_model *model, const qn_measure_text *text, qn_job *job, qn_reader *out,
                         qn_error *err) {
    const bool is_encoded = !qn_is_file(model->path) && model->type == NULL;
    const qn_chat_options options = {.path = model->path,
                                     .type = is_encoded ? EXACT_TYPE : model->type,
                                     .n_ctx = text->n_ctx,
                                     .n_batch = batch_of(text)};
    *out = (qn_reader){.path = model->path};
    QN_TRY(check_text(text, err));
    QN_TRY(qn_chat_model_open(&options, pack_first, job, &out->model, &out->engine, err));
    const qn_status status = qn_tokenizer_new(qn_engine_meta(out->engine), &out->tokenizer, err);
    return status == QN_OK ? QN_OK : qn_fail_at(err, status, "%s", model->path);
}

void qn_reader_close(qn_reader *reader) {
    for (uint64_t i = 0; reader->sequences != NULL && i < reader->n_sequences; i++) {
        qn_sequence_free(reader->sequences[i]);
    }
    free(reader->sequences);
    free(reader->spans);
    qn_tokenizer_free(reader->tokenizer);
    qn_engine_free(reader->engine);
    qn_chat_model_clear(&reader->model);
    *reader = (qn_reader){0};
}

uint64_t qn_reader_n_ctx(const qn_reader *reader, const qn_measure_text *text) {
    const uint64_t most = qn_engine_n_ctx(reader->engine);
    const uint64_t usual = most < DEFAULT_CTX ? most : DEFAULT_CTX;
    return text->n_ctx == 0 ? usual : text->n_ctx;
}

qn_status qn_reader_prepare(qn_reader *reader, const qn_chunks *chunks, qn_error *err) {
    reader->sequences = qn_new_array(chunks->n_together, sizeof(qn_sequence *));
    reader->spans = qn_new_array(chunks->n_together, sizeof *reader->spans);
    if (reader->sequences == NULL || reader->spans == NULL) {
        return qn_fail_nomem(err, "sequences", (size_t)chunks->n_together * sizeof *reader->spans);
    }
    for (; reader->n_sequences < chunks->n_together; reader->n_sequences++) {
        QN_TRY(qn_sequence_new(reader->engine, &reader->sequences[reader->n_sequences], err));
    }
    return QN_OK;
}

qn_status qn_reader_run(qn_reader *reader, const qn_chunks *chunks, const qn_piece *piece, float *logits,
                        qn_error *err) {
    for (uint64_t i = 0; i < piece->n_chunks; i++) {
        if (piece->first == 0) {
            qn_sequence_truncate(reader->sequences[i], 0);
        }
        reader->spans[i] = (qn_span){.sequence = reader->sequences[i],
                                     .tokens = chunks->ids.items + (piece->chunk + i) * chunks->n_ctx + piece->first,
                                     .n = piece->n,
                                     .all_logits = piece->has_logits};
    }
    const qn_status status = qn_engine_decode_spans(reader->engine, reader->spans, piece->n_chunks,
                                                    piece->has_logits ? logits : NULL, err);
    return status == QN_OK || status == QN_E_INTERRUPTED ? status : qn_fail_at(err, status, "%s", reader->path);
}

/* ---- the text ---- */

static qn_status encode(const qn_reader *reader, const qn_measure_text *text, qn_ids *ids, qn_error *err) {
    char *bytes = NULL;
    size_t n = 0;
    QN_TRY(qn_read_text(text->text_path, MAX_TEXT_BYTES, &bytes, &n, err));
    qn_status status = qn_tokenize(reader->tokenizer, bytes, n, true, text->parse_special, ids, err);
    free(bytes);
    if (status == QN_OK) {
        status = qn_ids_status(ids, err);
    }
    if (status == QN_OK && ids->n > 0 && qn_tokenizer_adds_eos(reader->tokenizer)) {
        ids->n--; /* a text that is cut has no end */
    }
    return status;
}

static void put_bos(const qn_reader *reader, qn_chunks *c) {
    const int32_t bos = qn_tokenizer_role(reader->tokenizer, QN_TOKEN_ROLE_BOS);
    for (uint64_t i = 0; bos >= 0 && qn_tokenizer_adds_bos(reader->tokenizer) && i < c->n; i++) {
        c->ids.items[i * c->n_ctx] = bos;
    }
}

/* A target is looked up among logits without ever being run, so that nothing else looks at its id. */
static qn_status check_ids(const qn_reader *reader, const qn_ids *ids, qn_error *err) {
    const uint64_t n_vocab = qn_engine_n_vocab(reader->engine);
    for (size_t i = 0; i < ids->n; i++) {
        if (ids->items[i] < 0 || (uint64_t)ids->items[i] >= n_vocab) {
            return qn_fail(err, QN_E_SHAPE,
                           "%s: its vocabulary has a token %d, and its weights are for %" PRIu64
                           " tokens: they are of different models",
                           reader->path, (int)ids->items[i], n_vocab);
        }
    }
    return QN_OK;
}

qn_status qn_chunks_read(const qn_reader *reader, const qn_measure_text *text, uint64_t n_ctx, qn_wanted wanted,
                         qn_chunks *out, qn_error *err) {
    const uint64_t n_batch = batch_of(text);
    const uint64_t row_bytes = qn_engine_n_vocab(reader->engine) * sizeof(float);
    *out = (qn_chunks){.n_ctx = n_ctx};
    QN_TRY(check_ctx(n_ctx, err));
    QN_TRY(encode(reader, text, &out->ids, err));
    if (out->ids.n < n_ctx) {
        return qn_fail(err, QN_E_RANGE,
                       "%s: its %zu tokens are less than one chunk of %" PRIu64
                       ": a longer text is needed, or a shorter context",
                       text->text_path, out->ids.n, n_ctx);
    }
    out->n = out->ids.n / n_ctx;
    out->n = text->n_chunks > 0 && text->n_chunks < out->n ? text->n_chunks : out->n;
    out->n_together = n_batch > n_ctx ? n_batch / n_ctx : 1;
    out->n_together = out->n_together < out->n ? out->n_together : out->n;
    out->first = wanted == QN_WANT_SECOND_HALF ? n_ctx / 2 : wanted == QN_WANT_ALL ? 0 : n_ctx;
    out->end = wanted == QN_WANT_SECOND_HALF ? n_ctx - 1 : n_ctx;
    const uint64_t room = LOGITS_BYTES / row_bytes;
    const uint64_t most = out->n_together * (out->end - out->first);
    out->max_rows = room < MIN_ROWS ? MIN_ROWS : room;
    out->max_rows = out->max_rows < most ? out->max_rows : most;
    put_bos(reader, out);
    return check_ids(reader, &out->ids, err);
}

void qn_chunks_clear(qn_chunks *chunks) {
    qn_ids_clear(&chunks->ids);
}

float *qn_chunks_new_logits(const qn_chunks *chunks, uint64_t n_vocab) {
    /* MIN_ROWS may be fewer than chunks that are run together: each has a row at least. */
    const uint64_t n_rows = chunks->max_rows > chunks->n_together ? chunks->max_rows : chunks->n_together;
    return qn_new_array(n_rows * n_vocab, sizeof(float));
}

bool qn_chunks_next(const qn_chunks *chunks, qn_piece *piece) {
    uint64_t chunk = piece->chunk;
    uint64_t first = piece->first + piece->n;
    if (piece->is_last) {
        chunk += piece->n_chunks;
        first = 0;
    }
    if (chunk >= chunks->n) {
        return false;
    }
    const uint64_t left = chunks->n - chunk;
    const uint64_t n_chunks = left < chunks->n_together ? left : chunks->n_together;
    const bool has_logits = first >= chunks->first;
    uint64_t n = (has_logits ? chunks->end : chunks->first) - first;
    if (has_logits) {
        const uint64_t most = chunks->max_rows / n_chunks > 0 ? chunks->max_rows / n_chunks : 1;
        n = n < most ? n : most;
    }
    *piece = (qn_piece){.chunk = chunk,
                        .n_chunks = n_chunks,
                        .first = first,
                        .n = n,
                        .has_logits = has_logits,
                        .is_last = first + n == chunks->end};
    return true;
}

void qn_piece_targets(const qn_chunks *chunks, const qn_piece *piece, int32_t *targets) {
    for (uint64_t i = 0; i < piece->n_chunks; i++) {
        const int32_t *tokens = chunks->ids.items + (piece->chunk + i) * chunks->n_ctx + piece->first;
        memcpy(targets + i * piece->n, tokens + 1, (size_t)piece->n * sizeof *targets);
    }
}
