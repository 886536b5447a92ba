/* SPDX-License-Identifier: MIT */
/*
 * json_schema.c: a schema as a whole: its keywords, references and alternatives, and the rules that any grammar of
 * JSON needs. Objects, arrays, strings and numbers are in json_schema_types.c and json_schema_numbers.c.
 */
#include "engine/json_schema.h"

#include "engine/json_schema_parts.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The grammar's own limit of text is a mebibyte. */
enum { MAX_SCHEMA_BYTES = 1 << 20, MAX_GRAMMAR_BYTES = 1 << 20, MAX_DEPTH = 100, MAX_SCHEMAS = 20000 };

typedef struct shared_rule {
    const char *name;
    const char *body;
    uint32_t uses; /* bits */
} shared_rule;

#define USES(rule) (1U << (rule))

/* Escapes of surrogates are left out: a lone one would be no text, and pairs would count as two characters. Of
 * February only 28 days are written. */
static const shared_rule shared_rules[QN_N_JSON_RULES] = {
    [QN_JSON_WS] = {"ws", "(\" \" | \"\\n\" [ \\t]{0,12})?", 0},
    [QN_JSON_CHAR] = {"char",
                      "[^\"\\\\\\x00-\\x1F] | \"\\\\\" ([\"\\\\/bfnrt] | \"u\" ([0-9a-cA-CefEF] [0-9a-fA-F]{3} | "
                      "[dD] [0-7] [0-9a-fA-F]{2}))",
                      0},
    [QN_JSON_STRING] = {"string", "\"\\\"\" char* \"\\\"\"", USES(QN_JSON_CHAR)},
    [QN_JSON_INTEGER] = {"integer", "\"-\"? (\"0\" | [1-9] [0-9]{0,15})", 0},
    [QN_JSON_NUMBER] = {"number", "integer (\".\" [0-9]{1,16})? ([eE] [-+]? [0-9]{1,2})?", USES(QN_JSON_INTEGER)},
    [QN_JSON_BOOLEAN] = {"boolean", "\"true\" | \"false\"", 0},
    [QN_JSON_NULL] = {"null", "\"null\"", 0},
    [QN_JSON_VALUE] = {"value", "object | array | string | number | boolean | null",
                       USES(QN_JSON_OBJECT) | USES(QN_JSON_ARRAY) | USES(QN_JSON_STRING) | USES(QN_JSON_NUMBER) |
                           USES(QN_JSON_BOOLEAN) | USES(QN_JSON_NULL)},
    [QN_JSON_OBJECT] = {"object",
                        "\"{\" ws (string \":\" \" \"? value (\",\" ws string \":\" \" \"? value)* ws)? \"}\"",
                        USES(QN_JSON_WS) | USES(QN_JSON_STRING) | USES(QN_JSON_VALUE)},
    [QN_JSON_ARRAY] = {"array", "\"[\" ws (value (\",\" ws value)* ws)? \"]\"", USES(QN_JSON_WS) | USES(QN_JSON_VALUE)},
    [QN_JSON_DATE] = {"date",
                      "[1-9] [0-9]{3} \"-\" ((\"0\" [13578] | \"1\" [02]) \"-\" (\"0\" [1-9] | [12] [0-9] | "
                      "\"3\" [01]) | (\"0\" [469] | \"11\") \"-\" (\"0\" [1-9] | [12] [0-9] | \"30\")"
                      " | \"02-\" (\"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8]))",
                      0},
    [QN_JSON_TIME] = {"time",
                      "([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9] \":\" [0-5] [0-9] (\".\" [0-9]{1,6})? "
                      "(\"Z\" | [+-] ([01] [0-9] | \"2\" [0-3]) \":\" [0-5] [0-9])",
                      0},
    [QN_JSON_DATE_TIME] = {"date-time", "date \"T\" time", USES(QN_JSON_DATE) | USES(QN_JSON_TIME)},
    [QN_JSON_UUID] = {"uuid",
                      "[0-9a-fA-F]{8} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{4} \"-\" [0-9a-fA-F]{4} \"-\" "
                      "[0-9a-fA-F]{12}",
                      0},
};

/* ---- Writing ---- */

qn_status qn_schema_fail(const qn_schema_writer *w, qn_status status, const char *fmt, ...) {
    char message[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    return qn_fail(w->err, status, "JSON schema, #%.*s: %s", (int)(w->path.len > 400 ? 400 : w->path.len),
                   w->path.data == NULL ? "" : (const char *)w->path.data, message);
}

void qn_schema_use(qn_schema_writer *w, qn_json_rule rule, qn_buffer *out) {
    w->used |= USES(rule);
    qn_buffer_text(out, shared_rules[rule].name);
}

void qn_schema_name(qn_schema_writer *w, const char *kind, char name[32]) {
    (void)snprintf(name, 32, "%s-%" PRIu32, kind, ++w->n_names);
}

qn_status qn_schema_rule(qn_schema_writer *w, const char *name, const qn_buffer *body) {
    QN_TRY(qn_buffer_status(body, w->err));
    qn_buffer_printf(&w->rules, "%s ::= %.*s\n", name, (int)(body->len > INT32_MAX ? INT32_MAX : body->len),
                     body->data == NULL ? "" : (const char *)body->data);
    QN_TRY(qn_buffer_status(&w->rules, w->err));
    return w->rules.len <= MAX_GRAMMAR_BYTES
        ? QN_OK
        : qn_schema_fail(w, QN_E_RANGE, "as a grammar the schema takes more than %d bytes", MAX_GRAMMAR_BYTES);
}

size_t qn_schema_enter(qn_schema_writer *w, const char *keyword, const char *name) {
    const size_t mark = w->path.len;
    qn_buffer_printf(&w->path, "/%s", keyword);
    if (name != NULL) {
        qn_buffer_printf(&w->path, "/%s", name);
    }
    return mark;
}

void qn_schema_leave(qn_schema_writer *w, size_t mark) {
    w->path.len = mark;
}

qn_status qn_schema_part(qn_schema_writer *w, const json_t *schema, const char *keyword, const char *name,
                         qn_buffer *out) {
    const size_t mark = qn_schema_enter(w, keyword, name);
    QN_TRY(qn_buffer_status(&w->path, w->err));
    const qn_status status = qn_schema_value(w, schema, out);
    qn_schema_leave(w, mark);
    return status;
}

void qn_grammar_literal(qn_buffer *out, const char *bytes, size_t n) {
    qn_buffer_u8(out, '"');
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)bytes[i];
        if (c == '"' || c == '\\') {
            qn_buffer_u8(out, '\\');
        }
        if (c < 0x20) {
            qn_buffer_printf(out, "\\x%02X", c);
        } else {
            qn_buffer_u8(out, c);
        }
    }
    qn_buffer_u8(out, '"');
}

/* Numbers with as few digits as give them back: 0.1, not 0.10000000000000001. */
static bool append_shortest(qn_buffer *text, const json_t *value) {
    bool is_same = false;
    bool is_written = true;
    for (unsigned precision = 15; precision <= 17 && is_written && !is_same; precision++) {
        text->len = 0;
        is_written = qn_json_append(text, value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(precision));
        json_t *again = is_written ? json_loadb((const char *)text->data, text->len, JSON_DECODE_ANY, NULL) : NULL;
        is_same = again != NULL && json_equal(again, value) != 0;
        json_decref(again);
    }
    return is_written;
}

bool qn_grammar_json_literal(qn_buffer *out, const json_t *value) {
    qn_buffer text = {0};
    const bool is_written = append_shortest(&text, value);
    if (is_written) {
        qn_grammar_literal(out, (const char *)text.data, text.len);
    }
    qn_buffer_clear(&text);
    return is_written;
}

/* ---- Keywords ---- */

static bool is_among(const char *key, const char *const *list) {
    while (*list != NULL && strcmp(key, *list) != 0) {
        list++;
    }
    return *list != NULL;
}

bool qn_schema_is_remark(const char *key) {
    static const char *const remarks[] = {
        "title",    "description", "default",  "examples",  "example", "$schema",     "$id",           "id",
        "$comment", "deprecated",  "readOnly", "writeOnly", "$defs",   "definitions", "discriminator", NULL};
    return is_among(key, remarks) || strncmp(key, "x-", 2) == 0;
}

static qn_status check_keywords(const qn_schema_writer *w, const json_t *schema) {
    static const char *const known[] = {"type",
                                        "properties",
                                        "required",
                                        "additionalProperties",
                                        "items",
                                        "prefixItems",
                                        "additionalItems",
                                        "minItems",
                                        "maxItems",
                                        "minLength",
                                        "maxLength",
                                        "pattern",
                                        "format",
                                        "minimum",
                                        "maximum",
                                        "exclusiveMinimum",
                                        "enum",
                                        "const",
                                        "exclusiveMaximum",
                                        "minProperties",
                                        "anyOf",
                                        "oneOf",
                                        "allOf",
                                        "$ref",
                                        "maxProperties",
                                        NULL};
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)schema, key, value) {
        if (!is_among(key, known) && !qn_schema_is_remark(key) &&
            !(strcmp(key, "uniqueItems") == 0 && json_is_false(value))) {
            return qn_schema_fail(w, QN_E_UNSUPPORTED, "the keyword '%.60s' is not supported", key);
        }
    }
    return QN_OK;
}

/* The only keyword that counts is this one. */
static bool is_only(const json_t *schema, const char *wanted) {
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)schema, key, value) {
        if (strcmp(key, wanted) != 0 && !qn_schema_is_remark(key)) {
            return false;
        }
    }
    return true;
}

/* The schema without one of its keywords. */
static const json_t *without(qn_schema_writer *w, const json_t *schema, const char *key) {
    json_t *copy = json_copy((json_t *)(uintptr_t)schema);
    if (copy == NULL || json_array_append_new(w->merged, copy) != 0) {
        return NULL;
    }
    (void)json_object_del(copy, key);
    return copy;
}

/* ---- References ---- */

/* One step of a JSON pointer, "~1" and "~0" and percent signs read. @param at behind the slash; moved to the next */
static bool next_step(const char **at, char step[256]) {
    size_t n = 0;
    while (**at != '\0' && **at != '/') {
        char c = *(*at)++;
        if (c == '~' && (**at == '0' || **at == '1')) {
            c = *(*at)++ == '0' ? '~' : '/';
        } else if (c == '%' && isxdigit((unsigned char)(*at)[0]) && isxdigit((unsigned char)(*at)[1])) {
            const char digits[3] = {(*at)[0], (*at)[1], '\0'};
            c = (char)strtoul(digits, NULL, 16);
            *at += 2;
        }
        if (n + 1 >= 256) {
            return false;
        }
        step[n++] = c;
    }
    step[n] = '\0';
    *at += **at == '/';
    return true;
}

static const json_t *find_pointer(const json_t *from, const char *pointer) {
    char step[256];
    const char *at = pointer + 1;
    if (*at == '/') {
        at++;
    } else if (*at != '\0') {
        return NULL;
    }
    while (*at != '\0' && from != NULL) {
        if (!next_step(&at, step)) {
            return NULL;
        }
        if (json_is_array(from)) {
            char *end = NULL;
            const unsigned long index = strtoul(step, &end, 10);
            from = step[0] >= '0' && step[0] <= '9' && *end == '\0' ? json_array_get(from, index) : NULL;
        } else {
            from = json_object_get(from, step);
        }
    }
    return from;
}

static qn_status resolve(const qn_schema_writer *w, const json_t *ref, const json_t **out) {
    const char *pointer = json_string_value(ref);
    if (pointer == NULL) {
        return qn_schema_fail(w, QN_E_FORMAT, "'$ref' is no text");
    }
    if (pointer[0] != '#') {
        return qn_schema_fail(w, QN_E_UNSUPPORTED, "'$ref' to another document: %.100s", pointer);
    }
    *out = find_pointer(w->root, pointer);
    return *out != NULL ? QN_OK : qn_schema_fail(w, QN_E_FORMAT, "'$ref': there is no %.100s", pointer);
}

/* A rule a target, named before it is written, so that it may speak of itself. */
static qn_status write_ref(qn_schema_writer *w, const json_t *ref, qn_buffer *out) {
    const json_t *target = NULL;
    qn_buffer body = {0};
    char name[32];
    QN_TRY(resolve(w, ref, &target));
    const char *known = qn_json_string(w->refs, json_string_value(ref));
    if (known != NULL) {
        qn_buffer_text(out, known);
        return QN_OK;
    }
    qn_schema_name(w, "ref", name);
    if (json_object_set_new(w->refs, json_string_value(ref), json_string(name)) != 0) {
        return qn_fail_nomem(w->err, "a reference", 0);
    }
    qn_status status = qn_schema_value(w, target, &body);
    if (status == QN_OK) {
        status = qn_schema_rule(w, name, &body);
    }
    qn_buffer_clear(&body);
    qn_buffer_text(out, name);
    return status;
}

/* '$ref' with other keywords beside it. */
static qn_status write_merged_ref(qn_schema_writer *w, const json_t *schema, qn_buffer *out) {
    const json_t *target = NULL;
    const json_t *merged = NULL;
    const json_t *rest = without(w, schema, "$ref");
    if (rest == NULL) {
        return qn_fail_nomem(w->err, "a schema", 0);
    }
    QN_TRY(resolve(w, json_object_get(schema, "$ref"), &target));
    QN_TRY(qn_schema_merge(w, rest, target, &merged));
    return qn_schema_value(w, merged, out);
}

/* ---- Alternatives ---- */

static qn_status check_list(const qn_schema_writer *w, const json_t *list, const char *keyword) {
    return json_is_array(list) && json_array_size(list) > 0
        ? QN_OK
        : qn_schema_fail(w, QN_E_FORMAT, "'%s' is no list with something in it", keyword);
}

static qn_status write_all_of(qn_schema_writer *w, const json_t *schema, qn_buffer *out) {
    const json_t *list = json_object_get(schema, "allOf");
    const json_t *merged = without(w, schema, "allOf");
    QN_TRY(check_list(w, list, "allOf"));
    if (json_array_size(list) == 1 && is_only(schema, "allOf")) {
        return qn_schema_part(w, json_array_get(list, 0), "allOf", "0", out);
    }
    for (size_t i = 0; i < json_array_size(list) && merged != NULL; i++) {
        QN_TRY(qn_schema_merge(w, merged, json_array_get(list, i), &merged));
    }
    return merged == NULL ? qn_fail_nomem(w->err, "a schema", 0) : qn_schema_value(w, merged, out);
}

static qn_status write_branch(qn_schema_writer *w, const json_t *rest, const json_t *branch, const char *keyword,
                              size_t i, qn_buffer *out) {
    char index[24];
    (void)snprintf(index, sizeof index, "%zu", i);
    const size_t mark = qn_schema_enter(w, keyword, index);
    qn_status status = QN_OK;
    if (rest != NULL) {
        status = qn_schema_merge(w, rest, branch, &branch);
    }
    if (status == QN_OK) {
        status = qn_schema_value(w, branch, out);
    }
    qn_schema_leave(w, mark);
    return status;
}

static qn_status write_any_of(qn_schema_writer *w, const json_t *schema, const char *keyword, qn_buffer *out) {
    const json_t *list = json_object_get(schema, keyword);
    const json_t *rest = NULL;
    QN_TRY(check_list(w, list, keyword));
    if (!is_only(schema, keyword)) {
        rest = without(w, schema, keyword);
        if (rest == NULL) {
            return qn_fail_nomem(w->err, "a schema", 0);
        }
    }
    qn_buffer_text(out, "(");
    for (size_t i = 0; i < json_array_size(list); i++) {
        qn_buffer_text(out, i == 0 ? "" : " | ");
        QN_TRY(write_branch(w, rest, json_array_get(list, i), keyword, i, out));
    }
    qn_buffer_text(out, ")");
    return QN_OK;
}

/* ---- Types ---- */

static bool has_type(const json_t *value, const char *type) {
    double number = 0;
    switch (json_typeof(value)) {
    case JSON_OBJECT: return strcmp(type, "object") == 0;
    case JSON_ARRAY: return strcmp(type, "array") == 0;
    case JSON_STRING: return strcmp(type, "string") == 0;
    case JSON_INTEGER: return strcmp(type, "integer") == 0 || strcmp(type, "number") == 0;
    case JSON_REAL:
        number = json_real_value(value);
        return strcmp(type, "number") == 0 ||
            (strcmp(type, "integer") == 0 && number >= -1e15 && number <= 1e15 && number == (double)(int64_t)number);
    case JSON_NULL: return strcmp(type, "null") == 0;
    default: return strcmp(type, "boolean") == 0;
    }
}

static bool type_allows(const json_t *type, const json_t *value) {
    if (!json_is_array(type)) {
        return !json_is_string(type) || has_type(value, json_string_value(type));
    }
    for (size_t i = 0; i < json_array_size(type); i++) {
        if (type_allows(json_array_get(type, i), value)) {
            return true;
        }
    }
    return false;
}

/* enum and const: each value as it stands. */
static qn_status write_values(qn_schema_writer *w, const json_t *schema, qn_buffer *out) {
    const json_t *fixed = json_object_get(schema, "const");
    const json_t *list = json_object_get(schema, "enum");
    const json_t *type = json_object_get(schema, "type");
    const char *key = NULL;
    json_t *value = NULL;
    size_t n = 0;
    json_object_foreach((json_t *)(uintptr_t)schema, key, value) {
        if (strcmp(key, "enum") != 0 && strcmp(key, "const") != 0 && strcmp(key, "type") != 0 &&
            !qn_schema_is_remark(key)) {
            return qn_schema_fail(w, QN_E_UNSUPPORTED, "'%.60s' beside '%s' is not supported", key,
                                  fixed != NULL ? "const" : "enum");
        }
    }
    if (list != NULL) {
        QN_TRY(check_list(w, list, "enum"));
    }
    qn_buffer_text(out, "(");
    for (size_t i = 0; i < (list == NULL ? 1 : json_array_size(list)); i++) {
        const json_t *choice = list == NULL ? fixed : json_array_get(list, i);
        if ((fixed != NULL && !json_equal(choice, fixed)) || !type_allows(type, choice)) {
            continue;
        }
        qn_buffer_text(out, n++ == 0 ? "" : " | ");
        if (!qn_grammar_json_literal(out, choice)) {
            return qn_fail_nomem(w->err, "a schema", 0);
        }
    }
    qn_buffer_text(out, ")");
    return n > 0 ? QN_OK : qn_schema_fail(w, QN_E_FORMAT, "'enum', 'const' and 'type' leave no value");
}

/* What a schema without 'type' speaks of; NULL: of everything. */
static const char *guess_type(const json_t *schema) {
    static const char *const keys[][2] = {
        {"properties", "object"},       {"required", "object"},        {"additionalProperties", "object"},
        {"minProperties", "object"},    {"maxProperties", "object"},   {"items", "array"},
        {"prefixItems", "array"},       {"minItems", "array"},         {"maxItems", "array"},
        {"minLength", "string"},        {"maxLength", "string"},       {"pattern", "string"},
        {"format", "string"},           {"minimum", "number"},         {"maximum", "number"},
        {"exclusiveMinimum", "number"}, {"exclusiveMaximum", "number"}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (json_object_get(schema, keys[i][0]) != NULL) {
            return keys[i][1];
        }
    }
    return NULL;
}

static qn_status write_type(qn_schema_writer *w, const json_t *schema, const char *type, qn_buffer *out) {
    if (strcmp(type, "object") == 0) {
        return qn_schema_object(w, schema, out);
    }
    if (strcmp(type, "array") == 0) {
        return qn_schema_array(w, schema, out);
    }
    if (strcmp(type, "string") == 0) {
        return qn_schema_string(w, schema, out);
    }
    if (strcmp(type, "integer") == 0) {
        return qn_schema_integer(w, schema, out);
    }
    if (strcmp(type, "number") == 0) {
        return qn_schema_number(w, schema, out);
    }
    if (strcmp(type, "boolean") == 0) {
        qn_schema_use(w, QN_JSON_BOOLEAN, out);
        return QN_OK;
    }
    if (strcmp(type, "null") == 0) {
        qn_schema_use(w, QN_JSON_NULL, out);
        return QN_OK;
    }
    return qn_schema_fail(
        w, QN_E_FORMAT, "'type' is '%.40s'; object, array, string, number, integer, boolean or null is expected", type);
}

static qn_status write_typed(qn_schema_writer *w, const json_t *schema, qn_buffer *out) {
    const json_t *type = json_object_get(schema, "type");
    if (type == NULL) {
        const char *guess = guess_type(schema);
        if (guess == NULL) {
            qn_schema_use(w, QN_JSON_VALUE, out);
            return QN_OK;
        }
        return write_type(w, schema, guess, out);
    }
    if (json_is_string(type)) {
        return write_type(w, schema, json_string_value(type), out);
    }
    QN_TRY(check_list(w, type, "type"));
    qn_buffer_text(out, "(");
    for (size_t i = 0; i < json_array_size(type); i++) {
        const char *one = json_string_value(json_array_get(type, i));
        qn_buffer_text(out, i == 0 ? "" : " | ");
        QN_TRY(one == NULL ? qn_schema_fail(w, QN_E_FORMAT, "'type' has an entry that is no text")
                           : write_type(w, schema, one, out));
    }
    qn_buffer_text(out, ")");
    return QN_OK;
}

/* ---- A schema ---- */

static qn_status write_keywords(qn_schema_writer *w, const json_t *schema, qn_buffer *out) {
    const json_t *ref = json_object_get(schema, "$ref");
    QN_TRY(check_keywords(w, schema));
    if (ref != NULL) {
        return is_only(schema, "$ref") ? write_ref(w, ref, out) : write_merged_ref(w, schema, out);
    }
    if (json_object_get(schema, "allOf") != NULL) {
        return write_all_of(w, schema, out);
    }
    if (json_object_get(schema, "anyOf") != NULL) {
        return write_any_of(w, schema, "anyOf", out);
    }
    if (json_object_get(schema, "oneOf") != NULL) {
        return write_any_of(w, schema, "oneOf", out);
    }
    if (json_object_get(schema, "enum") != NULL || json_object_get(schema, "const") != NULL) {
        return write_values(w, schema, out);
    }
    return write_typed(w, schema, out);
}

qn_status qn_schema_value(qn_schema_writer *w, const json_t *schema, qn_buffer *out) {
    if (json_is_true(schema)) {
        qn_schema_use(w, QN_JSON_VALUE, out);
        return QN_OK;
    }
    if (json_is_false(schema)) {
        return qn_schema_fail(w, QN_E_UNSUPPORTED, "a schema that is false: no value meets it");
    }
    if (!json_is_object(schema)) {
        return qn_schema_fail(w, QN_E_FORMAT, "a schema is an object, true or false");
    }
    if (w->depth >= MAX_DEPTH || ++w->n_schemas > MAX_SCHEMAS || out->len > MAX_GRAMMAR_BYTES) {
        return qn_schema_fail(w, QN_E_RANGE, "the schema is too large or nests too deeply (%d levels, %d schemas)",
                              MAX_DEPTH, MAX_SCHEMAS);
    }
    w->depth++;
    const qn_status status = write_keywords(w, schema, out);
    w->depth--;
    return status == QN_OK ? qn_buffer_status(out, w->err) : status;
}

static uint32_t with_all_uses(uint32_t used) {
    for (uint32_t before = 0; before != used;) {
        before = used;
        for (unsigned i = 0; i < QN_N_JSON_RULES; i++) {
            used |= (used & USES(i)) != 0 ? shared_rules[i].uses : 0;
        }
    }
    return used;
}

static qn_status write_all(qn_schema_writer *w) {
    qn_buffer body = {0};
    qn_status status = qn_schema_value(w, w->root, &body);
    if (status == QN_OK) {
        status = qn_schema_rule(w, "root", &body);
    }
    qn_buffer_clear(&body);
    w->used = with_all_uses(w->used);
    for (unsigned i = 0; i < QN_N_JSON_RULES; i++) {
        if ((w->used & USES(i)) != 0) {
            qn_buffer_printf(&w->rules, "%s ::= %s\n", shared_rules[i].name, shared_rules[i].body);
        }
    }
    return status;
}

qn_status qn_json_schema_to_grammar(const char *text, size_t n, char **out, qn_error *err) {
    json_t *root = NULL;
    if (n > MAX_SCHEMA_BYTES) {
        return qn_fail(err, QN_E_RANGE, "JSON schema: %zu bytes: at most %d are read", n, MAX_SCHEMA_BYTES);
    }
    QN_TRY(qn_json_parse("JSON schema", text, n, &root, err));
    qn_schema_writer w = {.root = root, .refs = json_object(), .merged = json_array(), .err = err};
    qn_status status = w.refs == NULL || w.merged == NULL ? qn_fail_nomem(err, "a schema", 0) : write_all(&w);
    if (status == QN_OK) {
        *out = qn_buffer_take_text(&w.rules);
        status = *out == NULL ? qn_fail_nomem(err, "a grammar", 0) : QN_OK;
    }
    qn_buffer_clear(&w.rules);
    qn_buffer_clear(&w.path);
    json_decref(w.refs);
    json_decref(w.merged);
    json_decref(root);
    return status;
}
