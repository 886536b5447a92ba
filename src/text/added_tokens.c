/* SPDX-License-Identifier: MIT */
/* added_tokens.c: tokens that were added to a vocabulary after training, from the three files that list them. */
#include "text/vocab_parts.h"

#include <stdlib.h>
#include <string.h>

/* What llama.cpp's converter scores added tokens with. */
static const float ADDED_SCORE = -1000.0F;

static bool starts_with(const char *text, size_t len, const char *prefix) {
    const size_t n = strlen(prefix);
    return len >= n && memcmp(text, prefix, n) == 0;
}

static bool is_framed(const char *text, size_t len, const char *prefix, const char *suffix) {
    const size_t n = strlen(suffix);
    return len >= strlen(prefix) + n && starts_with(text, len, prefix) && memcmp(text + len - n, suffix, n) == 0;
}

bool qn_looks_special(const char *text, size_t len) {
    static const char *const whole[] = {"<pad>", "<mask>", "<2mass>", "[@BOS@]"};
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        if (len == strlen(whole[i]) && memcmp(text, whole[i], len) == 0) {
            return true;
        }
    }
    return is_framed(text, len, "<|", "|>") || is_framed(text, len, "<\xEF\xBD\x9C", "\xEF\xBD\x9C>") ||
        is_framed(text, len, "<unused", ">");
}

static qn_status check_id(const json_t *value, const char *where, const char *list, const char *text, uint64_t *id,
                          qn_error *err) {
    if (!qn_json_value_u64(value, id) || *id >= QN_MAX_TOKENS) {
        char *found = qn_json_dump(value, JSON_ENCODE_ANY | JSON_COMPACT);
        const qn_status status = qn_fail(err, QN_E_FORMAT,
                                         "%s: %s: the id of '%.64s' is %.40s; a number from 0 to %d is expected", where,
                                         list, text, found == NULL ? "missing" : found, (int)QN_MAX_TOKENS - 1);
        free(found);
        return status;
    }
    return QN_OK;
}

qn_status qn_each_tokenizer_added(const json_t *tokenizer, const char *where, qn_added_token_fn *fn, void *user,
                                  qn_error *err) {
    const json_t *list = json_object_get(tokenizer, "added_tokens");
    const json_t *entry = NULL;
    size_t i = 0;
    if (list != NULL && !json_is_array(list) && !json_is_null(list)) {
        return qn_fail(err, QN_E_FORMAT, "%s: added_tokens must be a list", where);
    }
    json_array_foreach(list, i, entry) {
        qn_added_token token = {0};
        const json_t *content = json_object_get(entry, "content");
        if (!json_is_string(content)) {
            return qn_fail(err, QN_E_FORMAT, "%s: added_tokens[%zu] has no content", where, i);
        }
        token.text = json_string_value(content);
        token.len = json_string_length(content);
        token.is_special = json_is_true(json_object_get(entry, "special"));
        QN_TRY(check_id(json_object_get(entry, "id"), where, "added_tokens", token.text, &token.id, err));
        QN_TRY(fn(user, &token, err));
    }
    return QN_OK;
}

/* "151643" as a number. */
static bool parse_id(const char *text, uint64_t *id) {
    *id = 0;
    for (size_t i = 0; text[i] != '\0'; i++) {
        if (text[i] < '0' || text[i] > '9' || i > 8) {
            return false;
        }
        *id = *id * 10 + (uint64_t)(text[i] - '0');
    }
    return text[0] != '\0' && *id < QN_MAX_TOKENS;
}

qn_status qn_each_config_added(const json_t *config, const char *where, qn_added_token_fn *fn, void *user,
                               qn_error *err) {
    json_t *map = json_object_get(config, "added_tokens_decoder");
    const char *key = NULL;
    json_t *entry = NULL;
    if (map != NULL && !json_is_object(map) && !json_is_null(map)) {
        return qn_fail(err, QN_E_FORMAT, "%s: added_tokens_decoder must be an object", where);
    }
    json_object_foreach(map, key, entry) {
        qn_added_token token = {0};
        const json_t *content = json_is_string(entry) ? entry : json_object_get(entry, "content");
        if (!parse_id(key, &token.id)) {
            return qn_fail(err, QN_E_FORMAT,
                           "%s: added_tokens_decoder: '%.40s' is not a token id; a number from 0 to %d is expected",
                           where, key, (int)QN_MAX_TOKENS - 1);
        }
        if (!json_is_string(content)) {
            return qn_fail(err, QN_E_FORMAT, "%s: added_tokens_decoder: token %s has no content", where, key);
        }
        token.text = json_string_value(content);
        token.len = json_string_length(content);
        token.is_special = json_is_true(json_object_get(entry, "special"));
        QN_TRY(fn(user, &token, err));
    }
    return QN_OK;
}

qn_status qn_each_listed_added(const json_t *added, const char *where, qn_added_token_fn *fn, void *user,
                               qn_error *err) {
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)added, key, value) {
        qn_added_token token = {.text = key, .len = strlen(key)};
        QN_TRY(check_id(value, where, "added tokens", key, &token.id, err));
        QN_TRY(fn(user, &token, err));
    }
    return QN_OK;
}

/* A copy of text with every U+2581 as a space. */
static qn_status plain_spaces(qn_arena *arena, const char *text, size_t len, qn_text *out, qn_error *err) {
    char *copy = qn_arena_copy(arena, text, len);
    size_t n = 0;
    if (copy == NULL) {
        return qn_fail_nomem(err, "token", len);
    }
    for (size_t i = 0; i < len;) {
        if (starts_with(text + i, len - i, "\xE2\x96\x81")) {
            copy[n++] = ' ';
            i += 3;
        } else {
            copy[n++] = text[i++];
        }
    }
    *out = (qn_text){copy, n};
    return QN_OK;
}

qn_status qn_put_added(qn_token_list *list, const qn_added_token *token, qn_error *err) {
    qn_text text = {token->text, token->len};
    if (token->is_special || qn_looks_special(token->text, token->len)) {
        return qn_token_list_put(list, token->id, text, QN_TOKEN_CONTROL, ADDED_SCORE, err);
    }
    QN_TRY(plain_spaces(list->arena, token->text, token->len, &text, err));
    return qn_token_list_put(list, token->id, text, QN_TOKEN_USER_DEFINED, ADDED_SCORE, err);
}

static qn_status put_any(void *user, const qn_added_token *token, qn_error *err) {
    return qn_put_added(user, token, err);
}

/* added_tokens.json has no flags: a token that another file made special stays so. */
static qn_status put_listed(void *user, const qn_added_token *token, qn_error *err) {
    qn_token_list *list = user;
    qn_added_token flagged = *token;
    flagged.is_special = qn_token_list_has(list, token->id) && list->types[token->id] == QN_TOKEN_CONTROL;
    return qn_put_added(list, &flagged, err);
}

const char *qn_token_attribute(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    return json_is_string(value) ? json_string_value(value) : qn_json_string(value, "content");
}

/* "<…>" or "[…]": a word of the language that was chosen as padding ("!") must stay a word. */
static bool is_bracketed(const char *text) {
    const size_t n = strlen(text);
    return n > 2 && ((text[0] == '<' && text[n - 1] == '>') || (text[0] == '[' && text[n - 1] == ']'));
}

static void make_control(qn_token_list *list, const qn_text_index *index, const char *text) {
    const bool is_marker = text != NULL && is_bracketed(text);
    const int64_t id = is_marker ? qn_text_index_find(index, qn_text_of(text)) : QN_NO_TOKEN;
    if (id != QN_NO_TOKEN && (list->types[id] == QN_TOKEN_NORMAL || list->types[id] == QN_TOKEN_USER_DEFINED)) {
        list->types[id] = QN_TOKEN_CONTROL;
        list->scores[id] = ADDED_SCORE;
    }
}

/* What a file names as bos_token, … is special even when no list of added tokens has it. */
static void make_named_control(qn_token_list *list, const qn_text_index *index, const json_t *object) {
    static const char *const keys[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                       "pad_token", "cls_token", "mask_token"};
    const json_t *more = json_object_get(object, "additional_special_tokens");
    const json_t *entry = NULL;
    size_t i = 0;
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        make_control(list, index, qn_token_attribute(object, keys[k]));
    }
    json_array_foreach(more, i, entry) {
        make_control(list, index, json_is_string(entry) ? json_string_value(entry) : qn_json_string(entry, "content"));
    }
}

qn_status qn_put_all_added(const qn_vocab_sources *files, qn_token_list *list, qn_error *err) {
    qn_text_index index;
    QN_TRY(qn_each_tokenizer_added(files->tokenizer, files->tokenizer_path, put_any, list, err));
    QN_TRY(qn_each_listed_added(files->added, files->added_path, put_listed, list, err));
    if (files->config_has_tokens) {
        QN_TRY(qn_each_config_added(files->config, files->config_path, put_any, list, err));
    }
    QN_TRY(qn_text_index_open(&index, list->texts, list->n, err));
    make_named_control(list, &index, files->config);
    make_named_control(list, &index, files->special_map);
    qn_text_index_clear(&index);
    return QN_OK;
}
