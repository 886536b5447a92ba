/* SPDX-License-Identifier: MIT */
/* bpe_vocabulary.c: tokens and merges of BPE vocabularies written by Hugging Face: tokenizer.json, vocab.json.
 *
 * A BPE model with byte fallback and no byte-level step is SentencePiece told in JSON. It has merges instead of
 * scores; the merges were generated in the order of the scores, so that the order in which texts are first formed
 * gives scores back that merge in the same order.
 */
#include "text/vocab_parts.h"

#include <stdlib.h>
#include <string.h>

/* A text that no merge forms must lose against all that are. */
static const float UNFORMED_SCORE = -1000000.0F;

/* Nested pre-tokenizers deeper than this are not looked into. */
enum { MAX_DEPTH = 8 };

static bool has_byte_level(const json_t *step, unsigned depth) {
    const char *type = qn_json_string(step, "type");
    const json_t *child = NULL;
    size_t i = 0;
    if (type != NULL && strcmp(type, "ByteLevel") == 0) {
        return true;
    }
    if (depth < MAX_DEPTH) {
        json_array_foreach(json_object_get(step, "pretokenizers"), i, child) {
            if (has_byte_level(child, depth + 1)) {
                return true;
            }
        }
    }
    return false;
}

bool qn_is_spm_json(const json_t *tokenizer) {
    const json_t *model = json_object_get(tokenizer, "model");
    const char *type = qn_json_string(model, "type");
    return (type == NULL || strcmp(type, "BPE") == 0) && json_is_true(json_object_get(model, "byte_fallback")) &&
        !has_byte_level(json_object_get(tokenizer, "pre_tokenizer"), 0);
}

static int prefix_of_normalizer(const json_t *step, unsigned depth) {
    const char *type = qn_json_string(step, "type");
    const char *prepend = qn_json_string(step, "prepend");
    const json_t *child = NULL;
    size_t i = 0;
    if (type != NULL && strcmp(type, "Prepend") == 0 && prepend != NULL && strcmp(prepend, "\xE2\x96\x81") == 0) {
        return 1;
    }
    if (depth < MAX_DEPTH) {
        json_array_foreach(json_object_get(step, "normalizers"), i, child) {
            if (prefix_of_normalizer(child, depth + 1) == 1) {
                return 1;
            }
        }
    }
    return 0;
}

static int prefix_of_step(const json_t *step, unsigned depth) {
    const char *type = qn_json_string(step, "type");
    const char *scheme = qn_json_string(step, "prepend_scheme");
    const json_t *child = NULL;
    size_t i = 0;
    if (type != NULL && strcmp(type, "Metaspace") == 0) {
        return scheme != NULL ? strcmp(scheme, "never") != 0 : json_is_true(json_object_get(step, "add_prefix_space"));
    }
    if (depth < MAX_DEPTH) {
        json_array_foreach(json_object_get(step, "pretokenizers"), i, child) {
            if (prefix_of_step(child, depth + 1) == 1) {
                return 1;
            }
        }
    }
    return 0;
}

int qn_json_space_prefix(const json_t *tokenizer) {
    if (!qn_is_spm_json(tokenizer)) {
        return -1;
    }
    return prefix_of_normalizer(json_object_get(tokenizer, "normalizer"), 0) == 1 ||
            prefix_of_step(json_object_get(tokenizer, "pre_tokenizer"), 0) == 1
        ? 1
        : 0;
}

qn_status qn_bpe_read_map(const json_t *map, const char *where, qn_token_list *list, qn_error *err) {
    const char *text = NULL;
    json_t *value = NULL;
    if (!json_is_object(map) || json_object_size(map) == 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: the vocabulary must be an object of texts and ids, not empty", where);
    }
    json_object_foreach((json_t *)map, text, value) {
        uint64_t id = 0;
        if (!qn_json_value_u64(value, &id) || id >= QN_MAX_TOKENS) {
            char *found = qn_json_dump(value, JSON_ENCODE_ANY | JSON_COMPACT);
            const qn_status status = qn_fail(err, QN_E_FORMAT,
                                             "%s: the id of token '%.64s' is %.40s; a number from 0 to %d is expected",
                                             where, text, found == NULL ? "?" : found, (int)QN_MAX_TOKENS - 1);
            free(found);
            return status;
        }
        if (qn_token_list_has(list, id)) {
            return qn_fail(err, QN_E_FORMAT, "%s: id %llu is given to two tokens, '%.64s' and '%.64s'", where,
                           (unsigned long long)id, list->texts[id].bytes, text);
        }
        QN_TRY(qn_token_list_put(list, id, qn_text_of(text), QN_TOKEN_NORMAL, 0.0F, err));
    }
    return QN_OK;
}

qn_status qn_bpe_read_tokens(const json_t *tokenizer, const char *where, qn_token_list *list, qn_error *err) {
    const json_t *model = json_object_get(tokenizer, "model");
    const char *type = qn_json_string(model, "type");
    if (type == NULL && json_is_array(json_object_get(model, "vocab"))) {
        type = "Unigram"; /* old files do not say so, but only these have a list of texts and scores */
    }
    if (!json_is_object(model)) {
        return qn_fail(err, QN_E_FORMAT, "%s: has no model: not a tokenizer.json of the tokenizers library", where);
    }
    if (type != NULL && strcmp(type, "BPE") != 0) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: is a vocabulary of type %.40s; the families that quern packs have BPE vocabularies", where,
                       type);
    }
    return qn_bpe_read_map(json_object_get(model, "vocab"), where, list, err);
}

/* "left right", each space within a part as the byte alphabet's U+0120. */
static qn_status join_parts(qn_arena *arena, const json_t *left, const json_t *right, qn_text *out, qn_error *err) {
    const json_t *const parts[2] = {left, right};
    size_t n = 1;
    for (int k = 0; k < 2; k++) {
        const char *text = json_string_value(parts[k]);
        const size_t len = json_string_length(parts[k]);
        for (size_t i = 0; i < len; i++) {
            n += text[i] == ' ' ? 2 : 1;
        }
    }
    char *joined = qn_arena_array(arena, n + 1, 1);
    if (joined == NULL) {
        return qn_fail_nomem(err, "merge", n + 1);
    }
    size_t at = 0;
    for (int k = 0; k < 2; k++) {
        const char *text = json_string_value(parts[k]);
        const size_t len = json_string_length(parts[k]);
        for (size_t i = 0; i < len; i++) {
            if (text[i] == ' ') {
                joined[at++] = '\xC4';
                joined[at++] = '\xA0';
            } else {
                joined[at++] = text[i];
            }
        }
        if (k == 0) {
            joined[at++] = ' ';
        }
    }
    *out = (qn_text){joined, at};
    return QN_OK;
}

size_t qn_merge_right_part(const char *text, size_t len) {
    const char *space = len < 3 ? NULL : memchr(text + 1, ' ', len - 2);
    return space == NULL ? 0 : (size_t)(space - text) + 1;
}

static qn_status read_merge(const json_t *merge, const char *where, size_t i, qn_arena *arena, qn_text *out,
                            qn_error *err) {
    const json_t *left = json_array_get(merge, 0);
    const json_t *right = json_array_get(merge, 1);
    if (json_array_size(merge) == 2 && json_string_length(left) > 0 && json_string_length(right) > 0) {
        return join_parts(arena, left, right, out, err);
    }
    const char *text = json_string_value(merge);
    const size_t len = json_string_length(merge);
    if (text == NULL || qn_merge_right_part(text, len) == 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: model.merges[%zu] is not two texts", where, i);
    }
    char *copy = qn_arena_copy(arena, text, len);
    if (copy == NULL) {
        return qn_fail_nomem(err, "merge", len + 1);
    }
    *out = (qn_text){copy, len};
    return QN_OK;
}

qn_status qn_bpe_read_merges(const json_t *tokenizer, const char *where, qn_arena *arena, qn_merges *out,
                             qn_error *err) {
    const json_t *list = json_object_get(json_object_get(tokenizer, "model"), "merges");
    const json_t *merge = NULL;
    size_t i = 0;
    if (!json_is_array(list)) {
        return qn_fail(err, QN_E_FORMAT, "%s: model.merges must be a list", where);
    }
    if (json_array_size(list) > QN_MAX_MERGES) {
        return qn_fail(err, QN_E_RANGE, "%s: has %zu merges; at most %d are expected", where, json_array_size(list),
                       (int)QN_MAX_MERGES);
    }
    out->n = json_array_size(list);
    out->items = qn_arena_array(arena, out->n, sizeof *out->items);
    if (out->items == NULL) {
        return qn_fail_nomem(err, "merges", (size_t)out->n * sizeof *out->items);
    }
    json_array_foreach(list, i, merge) {
        QN_TRY(read_merge(merge, where, i, arena, &out->items[i], err));
    }
    return QN_OK;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

/* The word at or behind *at within len bytes; moves *at behind it. Its len is 0 when there is none. */
static qn_text next_word(const char *line, size_t len, size_t *at) {
    while (*at < len && is_blank(line[*at])) {
        (*at)++;
    }
    const size_t start = *at;
    while (*at < len && !is_blank(line[*at])) {
        (*at)++;
    }
    return (qn_text){line + start, *at - start};
}

/* Whether a line is exactly two words; then *out is "left right". bytes NULL when memory is short. */
static bool read_merge_line(const char *line, size_t len, qn_arena *arena, qn_text *out) {
    size_t at = 0;
    const qn_text left = next_word(line, len, &at);
    const qn_text right = next_word(line, len, &at);
    if (left.len == 0 || right.len == 0 || next_word(line, len, &at).len != 0) {
        return false;
    }
    char *joined = qn_arena_array(arena, left.len + right.len + 2, 1);
    if (joined != NULL) {
        memcpy(joined, left.bytes, left.len);
        joined[left.len] = ' ';
        memcpy(joined + left.len + 1, right.bytes, right.len);
    }
    *out = (qn_text){joined, left.len + right.len + 1};
    return true;
}

static uint64_t count_lines(const char *text, size_t len) {
    uint64_t n = 1;
    for (size_t i = 0; i < len; i++) {
        n += text[i] == '\n';
    }
    return n;
}

qn_status qn_bpe_read_merge_lines(const char *text, size_t len, qn_arena *arena, qn_merges *out, qn_error *err) {
    const uint64_t n_lines = count_lines(text, len);
    if (n_lines > QN_MAX_MERGES) {
        return qn_fail(err, QN_E_RANGE, "%llu lines of merges; at most %d are expected", (unsigned long long)n_lines,
                       (int)QN_MAX_MERGES);
    }
    *out = (qn_merges){.items = qn_arena_array(arena, n_lines, sizeof *out->items)};
    if (out->items == NULL) {
        return qn_fail_nomem(err, "merges", (size_t)n_lines * sizeof *out->items);
    }
    for (size_t start = 0; start < len;) {
        const char *end = memchr(text + start, '\n', len - start);
        const size_t n = end == NULL ? len - start : (size_t)(end - text) - start;
        const bool is_head = start == 0 && text[0] == '#';
        qn_text merge;
        if (!is_head && read_merge_line(text + start, n, arena, &merge)) {
            if (merge.bytes == NULL) {
                return qn_fail_nomem(err, "merge", merge.len + 1);
            }
            out->items[out->n++] = merge;
        }
        start += n + 1;
    }
    return QN_OK;
}

/* "<0x0A>" */
static bool is_byte_token(qn_text text) {
    static const char *const digits = "0123456789ABCDEFabcdef";
    return text.len == 6 && memcmp(text.bytes, "<0x", 3) == 0 && text.bytes[5] == '>' && text.bytes[3] != '\0' &&
        text.bytes[4] != '\0' && strchr(digits, text.bytes[3]) != NULL && strchr(digits, text.bytes[4]) != NULL;
}

/* True for at most one UTF-8 character: its first byte and continuation bytes only. */
static bool is_one_character(qn_text text) {
    for (size_t i = 1; i < text.len; i++) {
        if (((unsigned char)text.bytes[i] & 0xC0U) != 0x80U) {
            return false;
        }
    }
    return true;
}

/* Numbers the tokens in the order in which merges first form them. scores start at 1, which no score is. */
static qn_status score_formed(const qn_merges *merges, const qn_text_index *index, qn_token_list *list, qn_error *err) {
    float next = 0.0F;
    char *joined = NULL;
    size_t cap = 0;
    for (uint64_t i = 0; i < merges->n; i++) {
        const qn_text merge = merges->items[i];
        const size_t right = qn_merge_right_part(merge.bytes, merge.len);
        if (joined == NULL || merge.len > cap) {
            char *wider = qn_resize_array(joined, merge.len * 2, 1);
            if (wider == NULL) {
                free(joined);
                return qn_fail_nomem(err, "merge", merge.len);
            }
            joined = wider;
            cap = merge.len * 2;
        }
        memcpy(joined, merge.bytes, right - 1);
        memcpy(joined + right - 1, merge.bytes + right, merge.len - right);
        const int64_t id = qn_text_index_find(index, (qn_text){joined, merge.len - 1});
        if (id != QN_NO_TOKEN && list->scores[id] > 0.0F) {
            list->scores[id] = next;
            next -= 1.0F;
        }
    }
    free(joined);
    return QN_OK;
}

qn_status qn_bpe_score(const json_t *tokenizer, const qn_merges *merges, qn_token_list *list, qn_error *err) {
    const char *unk = qn_json_string(json_object_get(tokenizer, "model"), "unk_token");
    qn_text_index index;
    for (uint64_t id = 0; id < list->n; id++) {
        list->scores[id] = 1.0F;
    }
    QN_TRY(qn_text_index_open(&index, list->texts, list->n, err));
    const qn_status status = score_formed(merges, &index, list, err);
    qn_text_index_clear(&index);
    QN_TRY(status);
    for (uint64_t id = 0; id < list->n; id++) {
        if (!qn_token_list_has(list, id)) {
            continue;
        }
        const qn_text text = list->texts[id];
        const bool is_byte = is_byte_token(text);
        const bool is_unknown = unk != NULL && qn_text_is(text, unk);
        list->types[id] = is_byte ? QN_TOKEN_BYTE : is_unknown ? QN_TOKEN_UNKNOWN : QN_TOKEN_NORMAL;
        if (list->scores[id] > 0.0F) {
            list->scores[id] = is_byte || is_unknown || is_one_character(text) ? 0.0F : UNFORMED_SCORE;
        }
    }
    return QN_OK;
}
