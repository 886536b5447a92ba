/* SPDX-License-Identifier: MIT */
/* json.c: Jansson behind qn_status; Python's NaN, Infinity and unbounded integers are rewritten before parsing. */
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

/*
 * Length of an integer at text that 64 bits cannot hold, or 0. Python writes such ones ("no limit" is
 * 1000000000000000019884624838656 in many a tokenizer_config.json).
 */
static size_t long_integer_len(const char *text, size_t left) {
    static const char largest[] = "9223372036854775807";
    const size_t n_largest = sizeof largest - 1;
    size_t n = 0;
    while (n < left && text[n] >= '0' && text[n] <= '9') {
        n++;
    }
    const bool is_real = n < left && (text[n] == '.' || text[n] == 'e' || text[n] == 'E');
    const bool is_long = n > n_largest || (n == n_largest && memcmp(text, largest, n) > 0);
    return is_long && !is_real ? n : 0;
}

/* What Jansson cannot read, made readable: where a token of the text may stand, outside strings. */
typedef struct patch {
    const char *text; /* what to write instead */
    size_t n_old;     /* bytes it replaces */
    size_t n_new;
} patch;

/* The patch needed at text[i], which is no part of a string or of a longer number; n_old is 0 when there is none. */
static patch patch_at(const char *text, size_t len, size_t i) {
    const char c = text[i];
    char before = ' ';
    if (i > 0) {
        before = text[i - 1];
    }
    if (c == 'N' || c == 'I' || (c == '-' && i + 1 < len && text[i + 1] == 'I')) {
        return (patch){"null", bare_word_len(text + i, len - i), 4};
    }
    const bool is_within = (before >= '0' && before <= '9') || strchr(".eE+", before) != NULL;
    if (c >= '1' && c <= '9' &&
        !is_within) { /* the last two digits become an exponent: about the same value, as a real */
        const size_t n = long_integer_len(text + i, len - i);
        return (patch){NULL, n, n};
    }
    return (patch){NULL, 0, 0};
}

/* Copies text, patched, to out ; only measures when out is NULL. @return patches made; *n_out: bytes of the result */
static size_t patch_text(const char *text, size_t len, char *out, size_t *n_out) {
    size_t n_patches = 0;
    size_t n = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        const patch p = in_string ? (patch){NULL, 0, 0} : patch_at(text, len, i);
        if (p.n_old > 0) {
            if (out != NULL) {
                memcpy(out + n, p.text == NULL ? text + i : p.text, p.n_new);
            }
            n += p.n_new;
            if (out != NULL && p.text == NULL) {
                out[n - 2] = 'e';
                out[n - 1] = '2';
            }
            i += p.n_old - 1;
            n_patches++;
            continue;
        }
        if (text[i] == '"') {
            in_string = !in_string;
        }
        const size_t n_copied = in_string && text[i] == '\\' && i + 1 < len ? 2 : 1; /* an escape is one thing */
        if (out != NULL) {
            memcpy(out + n, text + i, n_copied);
        }
        n += n_copied;
        i += n_copied - 1;
    }
    *n_out = n;
    return n_patches;
}

json_t *qn_json_load_bytes(const char *text, size_t len, size_t flags, json_error_t *error) {
    json_t *value = json_loadb(text, len, flags, error);
    return value != NULL ? value : json_loadb(text, len, flags, error);
}

bool qn_json_ran_out(const json_error_t *error) {
    return json_error_code(error) == json_error_out_of_memory || error->text[0] == '\0';
}

qn_status qn_json_parse(const char *where, const char *text, size_t len, json_t **out, qn_error *err) {
    json_error_t e;
    char *copy = NULL;
    size_t n_patched = 0;
    if (patch_text(text, len, NULL, &n_patched) > 0) {
        copy = qn_new_array(n_patched, 1);
        if (copy == NULL) {
            return qn_fail_nomem(err, where, n_patched);
        }
        (void)patch_text(text, len, copy, &n_patched);
        text = copy;
        len = n_patched;
    }
    json_t *value = qn_json_load_bytes(text, len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    free(copy);
    if (value == NULL) {
        if (qn_json_ran_out(&e)) {
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

/* Length of the valid UTF-8 sequence at bytes, or 0: overlong forms, surrogates and what is past U+10FFFF are none. */
static size_t sequence_len(const unsigned char *bytes, size_t left) {
    static const struct {
        unsigned char first_min, first_max, second_min, second_max, len;
    } forms[] = {
        {0x00, 0x7F, 0x00, 0xFF, 1}, {0xC2, 0xDF, 0x80, 0xBF, 2}, {0xE0, 0xE0, 0xA0, 0xBF, 3},
        {0xE1, 0xEC, 0x80, 0xBF, 3}, {0xED, 0xED, 0x80, 0x9F, 3}, {0xEE, 0xEF, 0x80, 0xBF, 3},
        {0xF0, 0xF0, 0x90, 0xBF, 4}, {0xF1, 0xF3, 0x80, 0xBF, 4}, {0xF4, 0xF4, 0x80, 0x8F, 4},
    };
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        const size_t n = forms[i].len;
        if (bytes[0] < forms[i].first_min || bytes[0] > forms[i].first_max || left < n) {
            continue;
        }
        bool is_valid = n == 1 || (bytes[1] >= forms[i].second_min && bytes[1] <= forms[i].second_max);
        for (size_t k = 2; k < n; k++) {
            is_valid = is_valid && bytes[k] >= 0x80 && bytes[k] <= 0xBF;
        }
        return is_valid ? n : 0;
    }
    return 0;
}

json_t *qn_json_text(const char *bytes, size_t n) {
    static const char replacement[] = "\xEF\xBF\xBD";
    char *copy = n > SIZE_MAX / 3 ? NULL : qn_new_array((uint64_t)n * 3, 1);
    size_t out = 0;
    if (copy == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < n;) {
        const size_t len = sequence_len((const unsigned char *)bytes + i, n - i);
        memcpy(copy + out, len == 0 ? replacement : bytes + i, len == 0 ? 3 : len);
        out += len == 0 ? 3 : len;
        i += len == 0 ? 1 : len;
    }
    json_t *text = json_stringn_nocheck(copy, out);
    free(copy);
    return text;
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

/* For json_dump_callback(). */
static int append_dumped(const char *bytes, size_t n, void *user) {
    qn_buffer *b = user;
    qn_buffer_append(b, bytes, n);
    return b->has_failed ? -1 : 0;
}

bool qn_json_append(qn_buffer *b, const json_t *value, size_t flags) {
    return value != NULL && json_dump_callback(value, append_dumped, b, flags) == 0 && !b->has_failed;
}

char *qn_json_dump(const json_t *value, size_t flags) {
    qn_buffer b = {0};
    if (!qn_json_append(&b, value, flags)) {
        qn_buffer_clear(&b);
        return NULL;
    }
    return qn_buffer_take_text(&b);
}
