/* SPDX-License-Identifier: MIT */
/*
 * json_schema_types.c: objects, arrays and strings of a JSON schema as rules.
 *
 * An object's properties become two rules each: kv-i, the pair, and rest-i, what may follow from the i-th on when
 * something stands before it. So any choice of the optional ones, in their order, takes rules in their number.
 */
#include "engine/json_schema_parts.h"
#include "text/characters.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_COUNT = 100000, MAX_NAME_DEPTH = 100 };

qn_status qn_schema_count(const qn_schema_writer *w, const json_t *schema, const char *key, uint64_t *out) {
    const json_t *value = json_object_get(schema, key);
    if (value == NULL) {
        return QN_OK;
    }
    if (!qn_json_value_u64(value, out)) {
        return qn_schema_fail(w, QN_E_FORMAT, "'%s' is no count", key);
    }
    return *out <= MAX_COUNT ? QN_OK
                             : qn_schema_fail(w, QN_E_RANGE, "'%s' is %" PRIu64 ": at most %d", key, *out, MAX_COUNT);
}

/* Reads a pair of counts. */
static qn_status read_counts(const qn_schema_writer *w, const json_t *schema, const char *least_key,
                             const char *most_key, uint64_t *least, uint64_t *most) {
    *least = 0;
    *most = UINT64_MAX;
    QN_TRY(qn_schema_count(w, schema, least_key, least));
    QN_TRY(qn_schema_count(w, schema, most_key, most));
    return *least <= *most ? QN_OK
                           : qn_schema_fail(w, QN_E_FORMAT, "'%s' %" PRIu64 " is more than '%s' %" PRIu64, least_key,
                                            *least, most_key, *most);
}

void qn_schema_times(qn_buffer *out, uint64_t least, uint64_t most) {
    if (most == UINT64_MAX) {
        qn_buffer_printf(out, "{%" PRIu64 ",}", least);
    } else {
        qn_buffer_printf(out, "{%" PRIu64 ",%" PRIu64 "}", least, most);
    }
}

/* "least" to "most" items, a comma between them; nothing when most is 0. Behind it white space when anything came. */
static void put_items(qn_schema_writer *w, const char *item, uint64_t least, uint64_t most, qn_buffer *out) {
    if (most == 0) {
        return;
    }
    qn_buffer_printf(out, "(%s (\",\" ", item);
    qn_schema_use(w, QN_JSON_WS, out);
    qn_buffer_printf(out, " %s)", item);
    qn_schema_times(out, least == 0 ? 0 : least - 1, most == UINT64_MAX ? most : most - 1);
    qn_buffer_text(out, " ");
    qn_schema_use(w, QN_JSON_WS, out);
    qn_buffer_text(out, least == 0 ? ")? " : ") ");
}

/* ---- Names that are none of some ---- */

/** A name, for the sorting. */
typedef struct name_list {
    const char **items;
    size_t n;
} name_list;

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The code point at an offset of a name; 0 at its end. */
static uint32_t code_at(const char *name, size_t at, size_t *n) {
    uint32_t code = 0;
    *n = name[at] == '\0' ? 0 : qn_utf8_decode(name + at, strlen(name + at), &code);
    return code;
}

/* The names first to end agree in their first `at` bytes; appends what may follow those in a name that is none. */
static void put_other_names(const name_list *names, size_t first, size_t end, size_t at, qn_buffer *out) {
    qn_char_set taken = {0};
    size_t n_bytes = 0;
    const bool is_name = first < end && code_at(names->items[first], at, &n_bytes) == 0;
    qn_char_set_add(&taken, 0, 0x1F);
    qn_char_set_add(&taken, '"', '"');
    qn_char_set_add(&taken, '\\', '\\');
    qn_buffer_text(out, "(");
    for (size_t i = first + (is_name ? 1 : 0); i < end;) {
        size_t next = i + 1;
        size_t n_other = 0;
        const uint32_t code = code_at(names->items[i], at, &n_bytes);
        while (next < end && code_at(names->items[next], at, &n_other) == code) {
            next++;
        }
        qn_char_set_add(&taken, code, code);
        qn_grammar_literal(out, names->items[i] + at, n_bytes);
        qn_buffer_text(out, " ");
        put_other_names(names, i, next, at + n_bytes, out);
        qn_buffer_text(out, " | ");
        i = next;
    }
    qn_char_set_invert(&taken);
    qn_buffer_text(out, "[");
    qn_grammar_class(out, qn_char_set_items(&taken), qn_char_set_n(&taken));
    qn_buffer_text(out, "] [^\"\\\\\\x00-\\x1F]*");
    qn_buffer_text(out, is_name ? ")" : ")?");
    qn_char_set_clear(&taken);
}

/* Whether a further property, which has no escapes, could be spelled like this name. */
static bool can_be_spelled(const char *name) {
    for (; *name != '\0'; name++) {
        if ((unsigned char)*name < 0x20 || *name == '"' || *name == '\\') {
            return false;
        }
    }
    return true;
}

static qn_status put_further_name(qn_schema_writer *w, const json_t *properties, qn_buffer *out) {
    const char *name = NULL;
    json_t *value = NULL;
    name_list names = {qn_new_array(json_object_size(properties), sizeof *names.items), 0};
    qn_status status = names.items == NULL ? qn_fail_nomem(w->err, "names", 0) : QN_OK;
    json_object_foreach((json_t *)(uintptr_t)properties, name, value) {
        if (status == QN_OK && strlen(name) > MAX_NAME_DEPTH) {
            status = qn_schema_fail(w, QN_E_UNSUPPORTED,
                                    "further properties beside one with a name of %zu bytes (at most %d)", strlen(name),
                                    MAX_NAME_DEPTH);
        }
        if (status == QN_OK && can_be_spelled(name)) {
            names.items[names.n++] = name;
        }
    }
    if (status == QN_OK) {
        qsort(names.items, names.n, sizeof *names.items, compare_names);
        qn_buffer_text(out, "\"\\\"\" ");
        put_other_names(&names, 0, names.n, 0, out);
        qn_buffer_text(out, " \"\\\"\"");
    }
    free(names.items);
    return status;
}

/* ---- Objects ---- */

/** An object being written. */
typedef struct object_parts {
    const json_t *properties; /* owned: with the required ones that are nowhere described */
    const json_t *required;
    const json_t *further; /* schema of other properties; NULL: there are none */
    char name[32];         /* of the rule, and what those of its properties begin with */
    char further_name[48]; /* of the rule of one further property */
} object_parts;

static bool is_required(const object_parts *o, const char *name) {
    for (size_t i = 0; i < json_array_size(o->required); i++) {
        const char *one = json_string_value(json_array_get(o->required, i));
        if (one != NULL && strcmp(one, name) == 0) {
            return true;
        }
    }
    return false;
}

/* Properties that are required and not described take what the schema says of further ones, by default anything. */
static qn_status add_required(const qn_schema_writer *w, object_parts *o, json_t *properties, const json_t *further) {
    for (size_t i = 0; i < json_array_size(o->required); i++) {
        const char *name = json_string_value(json_array_get(o->required, i));
        if (name == NULL) {
            return qn_schema_fail(w, QN_E_FORMAT, "'required' has an entry that is no text");
        }
        if (json_object_get(properties, name) != NULL) {
            continue;
        }
        if (json_is_false(further)) {
            return qn_schema_fail(w, QN_E_FORMAT, "'%.60s' is required, and there is no such property", name);
        }
        json_t *schema = further == NULL ? json_true() : json_incref((json_t *)(uintptr_t)further);
        if (json_object_set_new(properties, name, schema) != 0) {
            return qn_fail_nomem(w->err, "a schema", 0);
        }
    }
    return QN_OK;
}

static qn_status read_object(qn_schema_writer *w, const json_t *schema, object_parts *o) {
    const json_t *named = json_object_get(schema, "properties");
    const json_t *further = json_object_get(schema, "additionalProperties");
    json_t *properties = named == NULL ? json_object() : json_copy((json_t *)(uintptr_t)named);
    if (properties == NULL || json_array_append_new(w->merged, properties) != 0) {
        return qn_fail_nomem(w->err, "a schema", 0);
    }
    o->properties = properties;
    o->required = json_object_get(schema, "required");
    o->further = json_is_false(further) ? NULL : further;
    QN_TRY(add_required(w, o, properties, further));
    qn_schema_name(w, "object", o->name);
    (void)snprintf(o->further_name, sizeof o->further_name, "%s-other", o->name);
    return QN_OK;
}

/* "name": value. */
static qn_status put_pair(qn_schema_writer *w, const object_parts *o, const char *name, const json_t *schema,
                          size_t i) {
    char rule[64];
    qn_buffer body = {0};
    json_t *text = json_string(name);
    (void)snprintf(rule, sizeof rule, "%s-kv-%zu", o->name, i);
    qn_status status = QN_OK;
    if (!qn_grammar_json_literal(&body, text)) {
        status = qn_fail_nomem(w->err, "a schema", 0);
    }
    qn_buffer_text(&body, " \":\" \" \"? ");
    if (status == QN_OK) {
        status = qn_schema_part(w, schema, "properties", name, &body);
    }
    if (status == QN_OK) {
        status = qn_schema_rule(w, rule, &body);
    }
    json_decref(text);
    qn_buffer_clear(&body);
    return status;
}

static qn_status put_further(qn_schema_writer *w, const object_parts *o) {
    qn_buffer body = {0};
    qn_status status = put_further_name(w, o->properties, &body);
    qn_buffer_text(&body, " \":\" \" \"? ");
    if (status == QN_OK) {
        status = qn_schema_part(w, o->further, "additionalProperties", NULL, &body);
    }
    if (status == QN_OK) {
        status = qn_schema_rule(w, o->further_name, &body);
    }
    qn_buffer_clear(&body);
    return status;
}

/* Rules of what follows from the i-th property on, behind another: the last is what follows all of them. */
static qn_status put_rests(qn_schema_writer *w, const object_parts *o) {
    const char *name = NULL;
    json_t *schema = NULL;
    qn_buffer body = {0};
    char rule[64];
    size_t i = 0;
    qn_status status = QN_OK;
    json_object_foreach((json_t *)(uintptr_t)o->properties, name, schema) {
        if (status == QN_OK) {
            status = put_pair(w, o, name, schema, i);
        }
        body.len = 0;
        (void)snprintf(rule, sizeof rule, "%s-rest-%zu", o->name, i);
        qn_buffer_text(&body, "(\",\" ");
        qn_schema_use(w, QN_JSON_WS, &body);
        qn_buffer_printf(&body, " %s-kv-%zu)%s %s-rest-%zu", o->name, i, is_required(o, name) ? "" : "?", o->name,
                         i + 1);
        if (status == QN_OK) {
            status = qn_schema_rule(w, rule, &body);
        }
        i++;
    }
    body.len = 0;
    (void)snprintf(rule, sizeof rule, "%s-rest-%zu", o->name, i);
    if (o->further != NULL) {
        qn_buffer_text(&body, "(\",\" ");
        qn_schema_use(w, QN_JSON_WS, &body);
        qn_buffer_printf(&body, " %s)*", o->further_name);
    } else {
        qn_buffer_text(&body, "\"\"");
    }
    if (status == QN_OK) {
        status = qn_schema_rule(w, rule, &body);
    }
    qn_buffer_clear(&body);
    return status;
}

/* The object's rule: which property comes first says what may follow. */
static qn_status put_object(qn_schema_writer *w, const object_parts *o) {
    const char *name = NULL;
    json_t *schema = NULL;
    qn_buffer body = {0};
    bool must_have = false;
    size_t i = 0;
    qn_buffer_text(&body, "\"{\" ");
    qn_schema_use(w, QN_JSON_WS, &body);
    qn_buffer_text(&body, " (");
    json_object_foreach((json_t *)(uintptr_t)o->properties, name, schema) {
        if (!must_have) {
            qn_buffer_printf(&body, "%s%s-kv-%zu %s-rest-%zu ws", i == 0 ? "" : " | ", o->name, i, o->name, i + 1);
        }
        must_have = must_have || is_required(o, name);
        i++;
    }
    if (!must_have && o->further != NULL) {
        qn_buffer_printf(&body, "%s%s %s-rest-%zu ws", i == 0 ? "" : " | ", o->further_name, o->name, i);
    }
    qn_buffer_text(&body, must_have ? ") \"}\"" : ")? \"}\"");
    const qn_status status = qn_schema_rule(w, o->name, &body);
    qn_buffer_clear(&body);
    return status;
}

/* An object whose properties have no names of their own, only a number. */
static qn_status put_counted(qn_schema_writer *w, object_parts *o, uint64_t least, uint64_t most) {
    qn_buffer body = {0};
    if (json_object_size(o->properties) > 0) {
        return qn_schema_fail(w, QN_E_UNSUPPORTED, "'minProperties' and 'maxProperties' beside named properties");
    }
    o->further = o->further == NULL ? json_true() : o->further;
    QN_TRY(put_further(w, o));
    qn_buffer_text(&body, "\"{\" ");
    qn_schema_use(w, QN_JSON_WS, &body);
    qn_buffer_text(&body, " ");
    put_items(w, o->further_name, least, most, &body);
    qn_buffer_text(&body, "\"}\"");
    const qn_status status = qn_schema_rule(w, o->name, &body);
    qn_buffer_clear(&body);
    return status;
}

static qn_status check_object(const qn_schema_writer *w, const json_t *schema) {
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *required = json_object_get(schema, "required");
    if (properties != NULL && !json_is_object(properties)) {
        return qn_schema_fail(w, QN_E_FORMAT, "'properties' is no object");
    }
    return required == NULL || json_is_array(required) ? QN_OK
                                                       : qn_schema_fail(w, QN_E_FORMAT, "'required' is no list");
}

qn_status qn_schema_object(qn_schema_writer *w, const json_t *schema, qn_buffer *out) {
    object_parts o = {0};
    uint64_t least = 0;
    uint64_t most = 0;
    QN_TRY(check_object(w, schema));
    QN_TRY(read_counts(w, schema, "minProperties", "maxProperties", &least, &most));
    const bool is_counted = least > 0 || most < UINT64_MAX;
    const json_t *further = json_object_get(schema, "additionalProperties");
    if (!is_counted && json_object_size(json_object_get(schema, "properties")) == 0 &&
        json_array_size(json_object_get(schema, "required")) == 0 && (further == NULL || json_is_true(further))) {
        qn_schema_use(w, QN_JSON_OBJECT, out);
        return QN_OK;
    }
    QN_TRY(read_object(w, schema, &o));
    if (is_counted && !json_is_false(further)) {
        QN_TRY(put_counted(w, &o, least, most));
    } else if (least > 0 || most < json_object_size(o.properties)) {
        return qn_schema_fail(w, QN_E_UNSUPPORTED,
                              "'minProperties' or 'maxProperties' beside 'additionalProperties': false");
    } else {
        if (o.further != NULL) {
            QN_TRY(put_further(w, &o));
        }
        QN_TRY(put_rests(w, &o));
        QN_TRY(put_object(w, &o));
    }
    qn_buffer_text(out, o.name);
    return QN_OK;
}

/* ---- Arrays ---- */

/* All of prefixItems, which are at least one, then others while there is room. */
static qn_status put_tuple(qn_schema_writer *w, const json_t *prefix, const json_t *items, uint64_t least,
                           uint64_t most, qn_buffer *body) {
    const uint64_t n_all = json_array_size(prefix);
    const uint64_t n = n_all < most ? n_all : most;
    for (size_t i = 0; i < n; i++) {
        char index[24];
        (void)snprintf(index, sizeof index, "%zu", i);
        if (i > 0) {
            qn_buffer_text(body, "\",\" ");
            qn_schema_use(w, QN_JSON_WS, body);
            qn_buffer_text(body, " ");
        }
        QN_TRY(qn_schema_part(w, json_array_get(prefix, i), "prefixItems", index, body));
        qn_buffer_text(body, " ");
    }
    if (items != NULL && most > n) {
        qn_buffer_text(body, "(\",\" ");
        qn_schema_use(w, QN_JSON_WS, body);
        qn_buffer_text(body, " ");
        QN_TRY(qn_schema_part(w, items, "items", NULL, body));
        qn_buffer_text(body, ")");
        qn_schema_times(body, least > n ? least - n : 0, most == UINT64_MAX ? most : most - n);
    } else if (least > n) {
        return qn_schema_fail(w, QN_E_FORMAT, "'minItems' is %" PRIu64 ", and there are %" PRIu64 " items", least, n);
    }
    qn_buffer_text(body, " ");
    qn_schema_use(w, QN_JSON_WS, body);
    qn_buffer_text(body, " ");
    return QN_OK;
}

static qn_status put_array(qn_schema_writer *w, const json_t *schema, qn_buffer *body) {
    const json_t *items = json_object_get(schema, "items");
    const json_t *prefix = json_object_get(schema, "prefixItems");
    uint64_t least = 0;
    uint64_t most = 0;
    QN_TRY(read_counts(w, schema, "minItems", "maxItems", &least, &most));
    if (json_is_array(items)) { /* as older drafts have it */
        prefix = items;
        items = json_object_get(schema, "additionalItems");
    }
    if (prefix != NULL && !json_is_array(prefix)) {
        return qn_schema_fail(w, QN_E_FORMAT, "'prefixItems' is no list");
    }
    if (items == NULL && (prefix == NULL || least > json_array_size(prefix))) {
        items = json_true();
    }
    qn_buffer_text(body, "\"[\" ");
    qn_schema_use(w, QN_JSON_WS, body);
    qn_buffer_text(body, " ");
    if (json_is_false(items)) {
        items = NULL;
        most = json_array_size(prefix) < most ? json_array_size(prefix) : most;
    }
    if (json_array_size(prefix) > 0 && most > 0) {
        QN_TRY(put_tuple(w, prefix, items, least, most, body));
    } else if (items != NULL) {
        qn_buffer item = {0};
        qn_status status = qn_schema_part(w, items, "items", NULL, &item);
        qn_buffer_u8(&item, '\0');
        if (status == QN_OK) {
            status = qn_buffer_status(&item, w->err);
        }
        if (status == QN_OK) {
            put_items(w, (const char *)item.data, least, most, body);
        }
        qn_buffer_clear(&item);
        QN_TRY(status);
    } else if (least > 0) {
        return qn_schema_fail(w, QN_E_FORMAT, "'minItems' is %" PRIu64 ", and there are no items", least);
    }
    qn_buffer_text(body, "\"]\"");
    return QN_OK;
}

qn_status qn_schema_array(qn_schema_writer *w, const json_t *schema, qn_buffer *out) {
    qn_buffer body = {0};
    char name[32];
    qn_status status = put_array(w, schema, &body);
    qn_schema_name(w, "array", name);
    if (status == QN_OK) {
        status = qn_schema_rule(w, name, &body);
    }
    qn_buffer_clear(&body);
    qn_buffer_text(out, name);
    return status;
}

/* ---- Strings ---- */

static qn_status put_format(qn_schema_writer *w, const json_t *format, qn_buffer *out) {
    static const struct {
        const char *name;
        qn_json_rule rule;
    } formats[] = {
        {"date", QN_JSON_DATE}, {"time", QN_JSON_TIME}, {"date-time", QN_JSON_DATE_TIME}, {"uuid", QN_JSON_UUID}};
    const char *name = json_string_value(format);
    for (size_t i = 0; name != NULL && i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(name, formats[i].name) == 0) {
            qn_schema_use(w, formats[i].rule, out);
            return QN_OK;
        }
    }
    return qn_schema_fail(w, QN_E_UNSUPPORTED,
                          "the format '%.40s' is not supported; date, time, date-time and uuid are",
                          name == NULL ? "?" : name);
}

static qn_status put_pattern(qn_schema_writer *w, const json_t *pattern, qn_buffer *out) {
    if (!json_is_string(pattern)) {
        return qn_schema_fail(w, QN_E_FORMAT, "'pattern' is no text");
    }
    w->used |= 1U << QN_JSON_CHAR;
    const qn_status status = qn_json_pattern(json_string_value(pattern), "char", out, w->err);
    return status == QN_OK
        ? QN_OK
        : qn_fail_at(w->err, status, "JSON schema, #%.*s", (int)(w->path.len > 400 ? 400 : w->path.len),
                     w->path.data == NULL ? "" : (const char *)w->path.data);
}

qn_status qn_schema_string(qn_schema_writer *w, const json_t *schema, qn_buffer *out) {
    const json_t *pattern = json_object_get(schema, "pattern");
    const json_t *format = json_object_get(schema, "format");
    uint64_t least = 0;
    uint64_t most = 0;
    QN_TRY(read_counts(w, schema, "minLength", "maxLength", &least, &most));
    const bool has_length = least > 0 || most < UINT64_MAX;
    if ((pattern != NULL) + (format != NULL) + has_length > 1) {
        return qn_schema_fail(w, QN_E_UNSUPPORTED, "'pattern', 'format' and a length of the same text");
    }
    if (pattern == NULL && format == NULL && !has_length) {
        qn_schema_use(w, QN_JSON_STRING, out);
        return QN_OK;
    }
    qn_buffer_text(out, "(\"\\\"\" ");
    if (pattern != NULL) {
        QN_TRY(put_pattern(w, pattern, out));
    } else if (format != NULL) {
        QN_TRY(put_format(w, format, out));
    } else {
        qn_schema_use(w, QN_JSON_CHAR, out);
        qn_schema_times(out, least, most);
    }
    qn_buffer_text(out, " \"\\\"\")");
    return QN_OK;
}
