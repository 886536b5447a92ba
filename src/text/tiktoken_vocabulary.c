/* SPDX-License-Identifier: MIT */
/* tiktoken_vocabulary.c: vocabularies as lines of base64(token) and rank.
 *
 *     IQ== 0          one token a line: base64 of its bytes, a space, its rank, which is its id
 *
 * Merges are not in the file; they follow from the ranks. Control tokens are not either: their makers keep them in a
 * program, and the two of those programs that published weights rely on are known here.
 */
#include "base/file.h"
#include "text/vocab_parts.h"

#include <stdio.h>
#include <string.h>

enum { LLAMA3_RANKS = 128000, LLAMA3_SPECIALS = 256, QWEN1_RANKS = 151643, QWEN1_EXTRAS = 205, KIMI_RANKS = 163584 };

/* A line without its end, and where the next one begins. */
typedef struct line_reader {
    const char *text;
    size_t len;
    size_t pos;
    uint64_t number; /* of the line last read, from 1 */
} line_reader;

static bool next_line(line_reader *r, qn_text *line) {
    if (r->pos >= r->len) {
        return false;
    }
    const char *start = r->text + r->pos;
    const char *end = memchr(start, '\n', r->len - r->pos);
    size_t n = end == NULL ? r->len - r->pos : (size_t)(end - start);
    r->pos += n + 1;
    r->number++;
    if (n > 0 && start[n - 1] == '\r') {
        n--;
    }
    *line = (qn_text){start, n};
    return true;
}

/* Splits "IQ== 0" without decoding. */
static bool split_line(qn_text line, qn_text *token, uint64_t *rank) {
    const char *space = line.len == 0 ? NULL : memchr(line.bytes, ' ', line.len);
    if (space == NULL || space == line.bytes) {
        return false;
    }
    *token = (qn_text){line.bytes, (size_t)(space - line.bytes)};
    const size_t n_digits = line.len - token->len - 1;
    *rank = 0;
    if (n_digits == 0 || n_digits > 9) {
        return false;
    }
    for (size_t i = 0; i < n_digits; i++) {
        if (space[1 + i] < '0' || space[1 + i] > '9') {
            return false;
        }
        *rank = *rank * 10 + (uint64_t)(space[1 + i] - '0');
    }
    return true;
}

bool qn_is_tiktoken(const char *text, size_t len) {
    line_reader r = {.text = text, .len = len};
    qn_text line;
    qn_text token;
    uint64_t rank = 0;
    if (!next_line(&r, &line) || !split_line(line, &token, &rank) || token.len % 4 != 0) {
        return false;
    }
    for (size_t i = 0; i < token.len; i++) {
        const char c = token.bytes[i];
        const bool is_base64 = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '+' ||
            c == '/' || c == '=';
        if (!is_base64) {
            return false;
        }
    }
    return true;
}

/* One line's token into raw, by rank. */
static qn_status read_line(const char *where, const line_reader *r, qn_text line, qn_token_list *raw, qn_error *err) {
    qn_text token;
    qn_text bytes;
    uint64_t rank = 0;
    if (!split_line(line, &token, &rank)) {
        return qn_fail(err, QN_E_FORMAT, "%s: line %llu is not a base64 text, a space and a number", where,
                       (unsigned long long)r->number);
    }
    if (!qn_base64_decode(raw->arena, token.bytes, token.len, &bytes) || bytes.len == 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: line %llu: '%.*s' is not base64", where, (unsigned long long)r->number,
                       (int)(token.len > 64 ? 64 : token.len), token.bytes);
    }
    if (qn_token_list_has(raw, rank)) {
        return qn_fail(err, QN_E_FORMAT, "%s: line %llu: rank %llu is given a second time", where,
                       (unsigned long long)r->number, (unsigned long long)rank);
    }
    return qn_token_list_put(raw, rank, bytes, QN_TOKEN_NORMAL, 0.0F, err);
}

static qn_status read_lines(const char *where, const char *text, size_t len, qn_token_list *raw, qn_error *err) {
    line_reader r = {.text = text, .len = len};
    qn_text line;
    while (next_line(&r, &line)) {
        if (line.len > 0) {
            const qn_status status = read_line(where, &r, line, raw, err);
            if (status == QN_E_RANGE) {
                return qn_fail(err, status, "%s: line %llu: the rank is %d or more", where,
                               (unsigned long long)r.number, (int)QN_MAX_TOKENS);
            }
            QN_TRY(status);
        }
    }
    return raw->n > 0 ? QN_OK : qn_fail(err, QN_E_FORMAT, "%s: holds no tokens", where);
}

/* Llama 3 calls the file tokenizer.model, Qwen qwen.tiktoken. */
static bool is_named_tiktoken(const char *path) {
    return qn_ends_with(path, ".tiktoken");
}

qn_status qn_tiktoken_read(const char *where, const char *text, size_t len, qn_token_list *list, qn_merges *out,
                           qn_error *err) {
    qn_token_list raw = qn_token_list_new(list->arena);
    qn_status status = read_lines(where, text, len, &raw, err);
    for (uint64_t id = 0; id < raw.n && status == QN_OK; id++) {
        if (qn_token_list_has(&raw, id)) {
            const qn_text shown = qn_byte_alphabet(list->arena, raw.texts[id].bytes, raw.texts[id].len);
            status = shown.bytes == NULL ? qn_fail_nomem(err, "token", raw.texts[id].len)
                                         : qn_token_list_put(list, id, shown, QN_TOKEN_NORMAL, 0.0F, err);
        }
    }
    if (status == QN_OK) {
        /* As the published conversions have it: Qwen's and its like have one merge a token, Llama 3's has all. */
        status = qn_recover_merges(raw.texts, raw.n, !is_named_tiktoken(where), list->arena, out, err);
    }
    qn_token_list_clear(&raw);
    return status;
}

static qn_status put_control(qn_token_list *list, uint64_t id, const char *text, qn_error *err) {
    return qn_token_list_put(list, id, qn_text_of(text), QN_TOKEN_CONTROL, -1000.0F, err);
}

/* Meta's list, in the order of ids from LLAMA3_RANKS on; the rest is reserved. */
static qn_status put_llama3(qn_token_list *list, qn_error *err) {
    static const char *const named[] = {"<|begin_of_text|>",
                                        "<|end_of_text|>",
                                        "<|reserved_special_token_0|>",
                                        "<|reserved_special_token_1|>",
                                        "<|finetune_right_pad_id|>",
                                        "<|step_id|>",
                                        "<|start_header_id|>",
                                        "<|end_header_id|>",
                                        "<|eom_id|>",
                                        "<|eot_id|>",
                                        "<|python_tag|>",
                                        "<|image|>"};
    const unsigned n_named = sizeof named / sizeof named[0];
    for (unsigned i = 0; i < LLAMA3_SPECIALS; i++) {
        char text[48];
        (void)snprintf(text, sizeof text, "<|reserved_special_token_%u|>", i - n_named + 2);
        QN_TRY(put_control(list, LLAMA3_RANKS + i, i < n_named ? named[i] : text, err));
    }
    return QN_OK;
}

static qn_status put_qwen1(qn_token_list *list, qn_error *err) {
    QN_TRY(put_control(list, QWEN1_RANKS, "<|endoftext|>", err));
    QN_TRY(put_control(list, QWEN1_RANKS + 1, "<|im_start|>", err));
    QN_TRY(put_control(list, QWEN1_RANKS + 2, "<|im_end|>", err));
    for (unsigned i = 0; i < QWEN1_EXTRAS; i++) {
        char text[32];
        (void)snprintf(text, sizeof text, "<|extra_%u|>", i);
        QN_TRY(put_control(list, QWEN1_RANKS + 3 + i, text, err));
    }
    return QN_OK;
}

qn_status qn_tiktoken_put_specials(const char *path, qn_token_list *list, qn_error *err) {
    if (list->n == LLAMA3_RANKS && !is_named_tiktoken(path)) {
        return put_llama3(list, err);
    }
    return list->n == QWEN1_RANKS && is_named_tiktoken(path) ? put_qwen1(list, err) : QN_OK;
}

const char *qn_tiktoken_pretokenizer(const char *path, uint64_t n_base, const json_t *config) {
    const char *tokenizer_class = qn_json_string(config, "tokenizer_class");
    if (n_base == LLAMA3_RANKS && !is_named_tiktoken(path)) {
        return "llama-bpe";
    }
    if (n_base == QWEN1_RANKS && is_named_tiktoken(path)) {
        return "qwen2"; /* Qwen 1 splits by the same expression */
    }
    return n_base == KIMI_RANKS && tokenizer_class != NULL && strcmp(tokenizer_class, "TikTokenTokenizer") == 0
        ? "kimi-k2"
        : NULL;
}
