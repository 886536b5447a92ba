/* SPDX-License-Identifier: MIT */
/*
 * llama2c_vocabulary.c: reads tokenizer.bin of llama2.c: SentencePiece's pieces and scores, and nothing about them.
 *
 *     SIZE  MEANING
 *     4     uint32: bytes of the longest token
 *     then for each token, as many as the model's embedding has rows:
 *     4     float32 score
 *     4     uint32 n
 *     n     text; U+2581 stands in it as a space, and ids 1 and 2 have line feeds around them
 *
 * Ids 0, 1 and 2 are SentencePiece's own: unknown, begin, end. Source: facts/checkpoints.md 4.
 */
#include "base/cursor.h"
#include "text/tokenizer_parts.h"
#include "text/vocab_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UNKNOWN = 0, BEGIN = 1, END = 2 };

/* Stories follow one another with BEGIN between them: that token, too, ends one. */
static const int32_t ends[] = {BEGIN, END};

/* The piece as SentencePiece has it, into text. */
static qn_token_type piece_of(uint64_t id, qn_text stored, qn_buffer *text) {
    static const char *const own[] = {"<unk>", "<s>", "</s>"};
    text->len = 0;
    if (id <= END) {
        qn_buffer_text(text, own[id]);
        return id == UNKNOWN ? QN_TOKEN_UNKNOWN : QN_TOKEN_CONTROL;
    }
    qn_escape_spaces(stored, text);
    return stored.len > 1 && qn_byte_of_text(stored) != QN_NONE ? QN_TOKEN_BYTE : QN_TOKEN_NORMAL;
}

static qn_status put_token(const char *where, qn_cursor *c, uint64_t id, uint64_t n_tokens, qn_buffer *text,
                           qn_token_list *list, qn_error *err) {
    uint32_t bits = 0;
    uint32_t n = 0;
    float score = 0;
    const bool has_head = qn_cursor_u32(c, &bits) && qn_cursor_u32(c, &n);
    const unsigned char *bytes = has_head ? qn_cursor_bytes(c, n) : NULL;
    if (bytes == NULL) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: ends within token %llu, and the model has %llu: the file is cut off, or of another model",
                       where, (unsigned long long)id, (unsigned long long)n_tokens);
    }
    memcpy(&score, &bits, sizeof score);
    if (!isfinite(score)) {
        return qn_fail(err, QN_E_FORMAT, "%s: the score of token %llu is not a finite number", where,
                       (unsigned long long)id);
    }
    const qn_token_type type = piece_of(id, (qn_text){(const char *)bytes, n}, text);
    QN_TRY(qn_buffer_status(text, err));
    const qn_text piece = {text->data == NULL ? "" : (const char *)text->data, text->len};
    return qn_token_list_put(list, id, piece, type, score, err);
}

qn_status qn_llama2c_read_tokens(const char *where, const void *bytes, size_t len, uint64_t n_tokens,
                                 qn_token_list *list, qn_error *err) {
    qn_cursor c = {bytes, len, 0};
    qn_buffer text = {0};
    uint32_t longest = 0; /* a buffer's size for llama2.c; nothing here depends on it */
    qn_status status = qn_cursor_u32(&c, &longest)
        ? QN_OK
        : qn_fail(err, QN_E_FORMAT, "%s: is not a llama2.c tokenizer: it has %zu bytes", where, len);
    for (uint64_t id = 0; id < n_tokens && status == QN_OK; id++) {
        status = put_token(where, &c, id, n_tokens, &text, list, err);
    }
    qn_buffer_clear(&text);
    if (status == QN_OK && qn_cursor_left(&c) > 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: has more tokens than the %llu of the model: it is of another model",
                       where, (unsigned long long)n_tokens);
    }
    return status;
}

static qn_status copy_out(const qn_token_list *list, const char *path, qn_arena *arena, qn_vocab *out, qn_error *err) {
    const uint64_t n = list->n;
    qn_text *texts = qn_arena_array(arena, n, sizeof *texts);
    float *scores = qn_arena_array(arena, n, sizeof *scores);
    int32_t *types = qn_arena_array(arena, n, sizeof *types);
    const char *source = qn_arena_string(arena, path);
    if (texts == NULL || scores == NULL || types == NULL || source == NULL) {
        return qn_fail_nomem(err, "vocabulary", (size_t)n * sizeof *texts);
    }
    memcpy(texts, list->texts, (size_t)n * sizeof *texts);
    memcpy(scores, list->scores, (size_t)n * sizeof *scores);
    memcpy(types, list->types, (size_t)n * sizeof *types);
    *out = (qn_vocab){
        .model = "llama",
        .pre = "default",
        .n_tokens = n,
        .tokens = texts,
        .scores = scores,
        .types = types,
        .bos = BEGIN,
        .eos = END,
        .unk = UNKNOWN,
        .eot = QN_NO_TOKEN,
        .eom = QN_NO_TOKEN,
        .sep = QN_NO_TOKEN,
        .pad = QN_NO_TOKEN,
        .mask = QN_NO_TOKEN,
        .fim_pre = QN_NO_TOKEN,
        .fim_suf = QN_NO_TOKEN,
        .fim_mid = QN_NO_TOKEN,
        .fim_pad = QN_NO_TOKEN,
        .fim_rep = QN_NO_TOKEN,
        .fim_sep = QN_NO_TOKEN,
        .eos_ids = ends,
        .n_eos_ids = sizeof ends / sizeof ends[0],
        .add_bos = 1,
        .add_eos = 0,
        .add_sep = -1,
        .add_space_prefix = 1,
        .source = source,
    };
    return QN_OK;
}

qn_status qn_vocab_open_llama2c(const char *path, uint64_t n_tokens, qn_job *job, qn_arena *arena, qn_vocab *out,
                                qn_error *err) {
    qn_token_list list = qn_token_list_new(arena);
    char *bytes = NULL;
    size_t len = 0;
    if (n_tokens <= END) {
        return qn_fail(err, QN_E_FORMAT, "%s: a vocabulary of %llu tokens has no room for SentencePiece's own three",
                       path, (unsigned long long)n_tokens);
    }
    QN_TRY(qn_vocab_read_file(path, &bytes, &len, err));
    qn_status status = qn_llama2c_read_tokens(path, bytes, len, n_tokens, &list, err);
    free(bytes);
    if (status == QN_OK) {
        status = qn_token_list_finish(&list, n_tokens, path, job, err);
    }
    if (status == QN_OK) {
        status = copy_out(&list, path, arena, out, err);
    }
    qn_token_list_clear(&list);
    return status;
}
