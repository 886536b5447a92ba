/* SPDX-License-Identifier: MIT */
/* json.c: Jansson behind qn_status; Python's NaN and Infinity are rewritten to null before parsing. */
#include "base/json.h"

#include "base/file.h"

#include <stdlib.h>
#include <string.h>

/* Length of NaN, Infinity or -Infinity at text, or 0. */
static size_t bare_word_len(const char *text, size_t left) {
    static const char *const words[] = {"-Infinity", "Infinity", "NaN"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const size_t n = strlen(words[i]);
        if (left >= n && memcmp(text, words[i], n) == 0) {
            return n;
        }
    }
    return 0;
}

/* True when a bare word occurs outside strings. */
static bool has_bare_word(const char *text, size_t len) {
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        const char c = text[i];
        if (in_string && c == '\\') {
            i++;
        } else if (c == '"') {
            in_string = !in_string;
        } else if (!in_string && (c == 'N' || c == 'I') && bare_word_len(text + i, len - i) > 0) {
            return true;
        }
    }
    return false;
}

/* A copy in which each bare word outside strings is null, padded with spaces so that columns stay right. */
static char *without_bare_words(const char *text, size_t len, size_t *copy_len) {
    char *copy = qn_new_array(len + 1, 1);
    if (copy == NULL) {
        return NULL;
    }
    size_t out = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        const size_t n = in_string ? 0 : bare_word_len(text + i, len - i);
        if (n == 3) { /* NaN is shorter than null: one column is lost, on this line only */
            char *wider = qn_resize_array(copy, len + out + 2, 1);
            if (wider == NULL) {
                free(copy);
                return NULL;
            }
            copy = wider;
        }
        if (n > 0) {
            memcpy(copy + out, "null", 4);
            out += 4;
            for (size_t k = 4; k < n; k++) {
                copy[out++] = ' ';
            }
            i += n - 1;
            continue;
        }
        if (in_string && text[i] == '\\' && i + 1 < len) {
            copy[out++] = text[i++];
        } else if (text[i] == '"') {
            in_string = !in_string;
        }
        copy[out++] = text[i];
    }
    copy[out] = '\0';
    *copy_len = out; /* not strlen(): bytes behind a zero byte must still be refused */
    return copy;
}

qn_status qn_json_parse(const char *where, const char *text, size_t len, json_t **out, qn_error *err) {
    json_error_t e;
    char *copy = NULL;
    if (has_bare_word(text, len)) {
        copy = without_bare_words(text, len, &len);
        if (copy == NULL) {
            return qn_fail_nomem(err, where, len);
        }
        text = copy;
    }
    json_t *value = json_loadb(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    free(copy);
    if (value == NULL) {
        if (json_error_code(&e) == json_error_out_of_memory) {
            return qn_fail_nomem(err, where, len);
        }
        return qn_fail(err, QN_E_FORMAT, "%s: not valid JSON, line %d column %d: %s", where, e.line, e.column, e.text);
    }
    *out = value;
    return QN_OK;
}

qn_status qn_json_load(const char *path, uint64_t max_bytes, json_t **out, qn_error *err) {
    char *text = NULL;
    size_t len = 0;
    QN_TRY(qn_read_text(path, max_bytes, &text, &len, err));
    const qn_status status = qn_json_parse(path, text, len, out, err);
    free(text);
    return status;
}

qn_status qn_json_load_object(const char *path, uint64_t max_bytes, json_t **out, qn_error *err) {
    json_t *value = NULL;
    QN_TRY(qn_json_load(path, max_bytes, &value, err));
    if (!json_is_object(value)) {
        json_decref(value);
        return qn_fail(err, QN_E_FORMAT, "%s: a JSON object is expected at the top", path);
    }
    *out = value;
    return QN_OK;
}

const char *qn_json_string(const json_t *object, const char *key) {
    return json_string_value(json_object_get(object, key));
}

bool qn_json_value_u64(const json_t *value, uint64_t *out) {
    if (json_is_integer(value) && json_integer_value(value) >= 0) {
        *out = (uint64_t)json_integer_value(value);
        return true;
    }
    if (json_is_real(value)) {
        const double v = json_real_value(value);
        if (v >= 0 && v < 9007199254740992.0 && v == (double)(uint64_t)v) {
            *out = (uint64_t)v;
            return true;
        }
    }
    return false;
}

bool qn_json_u64(const json_t *object, const char *key, uint64_t *out) {
    return qn_json_value_u64(json_object_get(object, key), out);
}

bool qn_json_f64(const json_t *object, const char *key, double *out) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_number(value)) {
        return false;
    }
    *out = json_number_value(value);
    return true;
}

bool qn_json_bool(const json_t *object, const char *key, bool *out) {
    const json_t *value = json_object_get(object, key);
    if (!json_is_boolean(value)) {
        return false;
    }
    *out = json_is_true(value);
    return true;
}
