/* SPDX-License-Identifier: MIT */
/* jinja_print.c: values as text, as Python's str() and repr() and transformers' tojson write them; JSON as values. */
#include "text/jinja_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Python's text of a value ---- */

/* Python writes the shortest digits that read back, plain for exponents -4 … 15. */
void qn_jprint_float(qn_buffer *out, double f) {
    char text[40];
    int precision = 1;
    if (!isfinite(f)) {
        qn_buffer_text(out, isnan(f) ? "nan" : f < 0 ? "-inf" : "inf");
        return;
    }
    do {
        (void)snprintf(text, sizeof text, "%.*e", precision - 1, f);
    } while (strtod(text, NULL) != f && ++precision <= 17);
    const char *mark = strchr(text, 'e');
    const long exponent = mark == NULL ? 0 : strtol(mark + 1, NULL, 10);
    if (exponent >= -4 && exponent < 16) {
        const long n_decimals = precision - 1 - exponent;
        qn_buffer_printf(out, "%.*f", (int)(n_decimals < 1 ? 1 : n_decimals), f);
        return;
    }
    qn_buffer_printf(out, "%.*se%c%02ld", mark == NULL ? 0 : (int)(mark - text), text, exponent < 0 ? '-' : '+',
                     labs(exponent));
}

/* What repr() escapes beyond ASCII: controls, separators, marks of direction, private and unassigned planes. */
static bool is_printable(uint32_t c) {
    const bool is_hidden = c < ' ' || (c >= 0x7F && c <= 0xA0) || c == 0xAD || c == 0x1680 ||
        (c >= 0x2000 && c <= 0x200F) || (c >= 0x2028 && c <= 0x202F) || (c >= 0x205F && c <= 0x206F) || c == 0x3000 ||
        (c >= 0xD800 && c <= 0xF8FF) || c == 0xFEFF || (c >= 0xFFF0 && c <= 0xFFFB) || c >= 0xE0000;
    return !is_hidden;
}

static void repr_string(qn_text s, qn_buffer *out) {
    const bool has_single = s.len > 0 && memchr(s.bytes, '\'', s.len) != NULL;
    const char quote = has_single && memchr(s.bytes, '"', s.len) == NULL ? '"' : '\'';
    qn_buffer_append(out, &quote, 1);
    while (s.len > 0) {
        uint32_t c = 0;
        const size_t n = qn_jtext_char(s, &c);
        if (c == (uint32_t)quote || c == '\\') {
            qn_buffer_printf(out, "\\%c", (int)c);
        } else if (c == '\n' || c == '\r' || c == '\t') {
            qn_buffer_printf(out, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        } else if (is_printable(c)) {
            qn_buffer_append(out, s.bytes, n);
        } else {
            qn_buffer_printf(out, c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)c);
        }
        s = (qn_text){s.bytes + n, s.len - n};
    }
    qn_buffer_append(out, &quote, 1);
}

static qn_status repr_list(qn_jrun *run, const qn_jv *v, qn_buffer *out) {
    const bool is_tuple = v->kind == QN_JV_TUPLE;
    qn_buffer_text(out, is_tuple ? "(" : "[");
    for (uint64_t i = 0; i < v->as.list->n; i++) {
        qn_buffer_text(out, i > 0 ? ", " : "");
        QN_TRY(qn_jv_repr(run, &v->as.list->items[i], out));
    }
    qn_buffer_text(out, is_tuple ? (v->as.list->n == 1 ? ",)" : ")") : "]");
    return QN_OK;
}

static qn_status repr_dict(qn_jrun *run, const qn_jv *v, qn_buffer *out) {
    qn_buffer_text(out, v->kind == QN_JV_NAMESPACE ? "<Namespace {" : "{");
    for (uint64_t i = 0; i < v->as.dict->n; i++) {
        qn_buffer_text(out, i > 0 ? ", " : "");
        QN_TRY(qn_jv_repr(run, &v->as.dict->pairs[i].key, out));
        qn_buffer_text(out, ": ");
        QN_TRY(qn_jv_repr(run, &v->as.dict->pairs[i].value, out));
    }
    qn_buffer_text(out, v->kind == QN_JV_NAMESPACE ? "}>" : "}");
    return QN_OK;
}

static qn_status repr_any(qn_jrun *run, const qn_jv *v, qn_buffer *out) {
    switch (v->kind) {
    case QN_JV_UNDEFINED: qn_buffer_text(out, "Undefined"); return QN_OK;
    case QN_JV_NONE: qn_buffer_text(out, "None"); return QN_OK;
    case QN_JV_BOOL: qn_buffer_text(out, v->as.b ? "True" : "False"); return QN_OK;
    case QN_JV_INT: qn_buffer_printf(out, "%lld", (long long)v->as.i); return QN_OK;
    case QN_JV_FLOAT: qn_jprint_float(out, v->as.f); return QN_OK;
    case QN_JV_STRING: repr_string(v->as.s, out); return qn_jsteps(run, v->as.s.len / 64);
    case QN_JV_LIST:
    case QN_JV_TUPLE: return repr_list(run, v, out);
    case QN_JV_DICT:
    case QN_JV_NAMESPACE: return repr_dict(run, v, out);
    default: qn_buffer_printf(out, "<%s>", qn_jv_type(v)); return QN_OK;
    }
}

/* Counts a value that is printed, before it is: its string, or what other values take at most as a rule. */
static qn_status count_printed(qn_jrun *run, const qn_jv *v) {
    QN_TRY(qn_jsteps(run, 1));
    return qn_jcharge(run, v->kind == QN_JV_STRING ? v->as.s.len + 2 : 8);
}

qn_status qn_jv_repr(qn_jrun *run, const qn_jv *v, qn_buffer *out) {
    QN_TRY(count_printed(run, v));
    QN_TRY(qn_jenter(run));
    QN_TRY(repr_any(run, v, out));
    run->depth--;
    return QN_OK;
}

qn_status qn_jv_print(qn_jrun *run, const qn_jv *v, qn_buffer *out) {
    if (v->kind == QN_JV_STRING) {
        QN_TRY(qn_jcharge(run, v->as.s.len));
        qn_buffer_append(out, v->as.s.bytes, v->as.s.len);
        return QN_OK;
    }
    if (v->kind == QN_JV_UNDEFINED) {
        return QN_OK;
    }
    return qn_jv_repr(run, v, out);
}

qn_status qn_jv_string(qn_jrun *run, const qn_jv *v, qn_jv *out) {
    qn_buffer b = {0};
    if (v->kind == QN_JV_STRING) {
        *out = *v;
        return QN_OK;
    }
    const qn_status status = qn_jv_print(run, v, &b);
    if (status != QN_OK) {
        qn_buffer_clear(&b);
        return status;
    }
    return qn_jv_take(run, &b, out);
}

/* ---- JSON ---- */

typedef struct json_style {
    qn_text item;   /* between items */
    qn_text key;    /* behind a key */
    qn_text indent; /* per level; bytes NULL: all in one line */
    bool is_ascii;
    bool is_sorted;
} json_style;

static qn_status json_value(qn_jrun *run, const qn_jv *v, const json_style *style, uint64_t level, qn_buffer *out);

static void put_text(qn_text s, const json_style *style, qn_buffer *out) {
    static const char letters[] = "\"\\\b\f\n\r\t";
    static const char names[] = "\"\\bfnrt";
    qn_buffer_text(out, "\"");
    while (s.len > 0) {
        uint32_t c = 0;
        const size_t n = qn_jtext_char(s, &c);
        const char *simple = c > 0 && c < 0x80 ? strchr(letters, (int)c) : NULL;
        if (simple != NULL) {
            qn_buffer_printf(out, "\\%c", names[simple - letters]);
        } else if (c < ' ' || (style->is_ascii && c >= 0x7F && c < 0x10000)) {
            qn_buffer_printf(out, "\\u%04x", (unsigned)c);
        } else if (style->is_ascii && c >= 0x10000) {
            qn_buffer_printf(out, "\\u%04x\\u%04x", (unsigned)(0xD800 + ((c - 0x10000) >> 10)),
                             (unsigned)(0xDC00 + ((c - 0x10000) & 0x3FF)));
        } else {
            qn_buffer_append(out, s.bytes, n);
        }
        s = (qn_text){s.bytes + n, s.len - n};
    }
    qn_buffer_text(out, "\"");
}

static qn_status json_line(qn_jrun *run, const json_style *style, uint64_t level, qn_buffer *out) {
    if (style->indent.bytes == NULL) {
        return QN_OK;
    }
    QN_TRY(qn_jcharge(run, level * style->indent.len));
    qn_buffer_text(out, "\n");
    for (uint64_t i = 0; i < level; i++) {
        qn_buffer_append(out, style->indent.bytes, style->indent.len);
    }
    return QN_OK;
}

static qn_status json_list(qn_jrun *run, const qn_jlist *list, const json_style *style, uint64_t level,
                           qn_buffer *out) {
    if (list->n == 0) {
        qn_buffer_text(out, "[]");
        return QN_OK;
    }
    qn_buffer_text(out, "[");
    for (uint64_t i = 0; i < list->n; i++) {
        qn_buffer_append(out, style->item.bytes, i > 0 ? style->item.len : 0);
        QN_TRY(json_line(run, style, level + 1, out));
        QN_TRY(json_value(run, &list->items[i], style, level + 1, out));
    }
    QN_TRY(json_line(run, style, level, out));
    qn_buffer_text(out, "]");
    return QN_OK;
}

static qn_status json_key(qn_jrun *run, const qn_jv *key, const json_style *style, qn_buffer *out) {
    if (key->kind == QN_JV_STRING) {
        put_text(key->as.s, style, out);
        return QN_OK;
    }
    if (key->kind > QN_JV_FLOAT || key->kind == QN_JV_UNDEFINED) {
        return qn_jfail(run, QN_E_FORMAT, "JSON has no keys of type '%s'", qn_jv_type(key));
    }
    qn_buffer_text(out, "\"");
    QN_TRY(json_value(run, key, style, 0, out));
    qn_buffer_text(out, "\"");
    return QN_OK;
}

/* The pairs' places by key, as the style wants them. */
static qn_status order_of(qn_jrun *run, const qn_jdict *dict, const json_style *style, uint64_t **out) {
    void *order = NULL;
    QN_TRY(qn_jalloc(run, dict->n, sizeof **out, &order));
    *out = order;
    for (uint64_t i = 0; i < dict->n; i++) {
        uint64_t at = i;
        while (style->is_sorted && at > 0) {
            int c = 0;
            QN_TRY(qn_jv_compare(run, &dict->pairs[(*out)[at - 1]].key, &dict->pairs[i].key, false, &c));
            if (c <= 0) {
                break;
            }
            (*out)[at] = (*out)[at - 1];
            at--;
        }
        (*out)[at] = i;
    }
    return QN_OK;
}

static qn_status json_dict(qn_jrun *run, const qn_jdict *dict, const json_style *style, uint64_t level,
                           qn_buffer *out) {
    uint64_t *order = NULL;
    if (dict->n == 0) {
        qn_buffer_text(out, "{}");
        return QN_OK;
    }
    QN_TRY(order_of(run, dict, style, &order));
    qn_buffer_text(out, "{");
    for (uint64_t i = 0; i < dict->n; i++) {
        const qn_jpair *pair = &dict->pairs[order[i]];
        qn_buffer_append(out, style->item.bytes, i > 0 ? style->item.len : 0);
        QN_TRY(json_line(run, style, level + 1, out));
        QN_TRY(json_key(run, &pair->key, style, out));
        qn_buffer_append(out, style->key.bytes, style->key.len);
        QN_TRY(json_value(run, &pair->value, style, level + 1, out));
    }
    QN_TRY(json_line(run, style, level, out));
    qn_buffer_text(out, "}");
    return QN_OK;
}

static qn_status json_any(qn_jrun *run, const qn_jv *v, const json_style *style, uint64_t level, qn_buffer *out) {
    switch (v->kind) {
    case QN_JV_NONE: qn_buffer_text(out, "null"); return QN_OK;
    case QN_JV_BOOL: qn_buffer_text(out, v->as.b ? "true" : "false"); return QN_OK;
    case QN_JV_INT: qn_buffer_printf(out, "%lld", (long long)v->as.i); return QN_OK;
    case QN_JV_FLOAT:
        if (isfinite(v->as.f)) {
            qn_jprint_float(out, v->as.f);
        } else {
            qn_buffer_text(out, isnan(v->as.f) ? "NaN" : v->as.f < 0 ? "-Infinity" : "Infinity");
        }
        return QN_OK;
    case QN_JV_STRING: put_text(v->as.s, style, out); return qn_jsteps(run, v->as.s.len / 64);
    case QN_JV_LIST:
    case QN_JV_TUPLE: return json_list(run, v->as.list, style, level, out);
    case QN_JV_DICT: return json_dict(run, v->as.dict, style, level, out);
    default: return qn_jfail(run, QN_E_FORMAT, "a value of type '%s' has no JSON", qn_jv_type(v));
    }
}

static qn_status json_value(qn_jrun *run, const qn_jv *v, const json_style *style, uint64_t level, qn_buffer *out) {
    QN_TRY(count_printed(run, v));
    QN_TRY(qn_jenter(run));
    QN_TRY(json_any(run, v, style, level, out));
    run->depth--;
    return QN_OK;
}

static qn_status read_indent(qn_jrun *run, const qn_jv *v, json_style *style) {
    int64_t n = 0;
    if (v->kind == QN_JV_STRING) {
        style->indent = v->as.s;
    } else if (qn_jv_integer(v, &n)) {
        void *blanks = NULL;
        n = n < 0 ? 0 : n;
        QN_TRY(qn_jalloc(run, (uint64_t)n + 1, 1, &blanks));
        memset(blanks, ' ', (size_t)n);
        style->indent = (qn_text){blanks, (size_t)n};
    } else if (v->kind != QN_JV_NONE && v->kind != QN_JV_UNDEFINED) {
        return qn_jfail(run, QN_E_FORMAT, "tojson: indent must be a number");
    }
    if (style->indent.bytes != NULL) {
        style->item = qn_text_of(",");
    }
    return QN_OK;
}

qn_status qn_jfilter_tojson(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[4];
    qn_buffer b = {0};
    json_style style = {.item = {", ", 2}, .key = {": ", 2}};
    QN_TRY(qn_jbind(run, args, "tojson", "|ensure_ascii indent separators sort_keys", v));
    style.is_ascii = qn_jv_truth(&v[0]);
    style.is_sorted = qn_jv_truth(&v[3]);
    QN_TRY(read_indent(run, &v[1], &style));
    if (qn_jv_is_list(&v[2])) {
        const qn_jlist *list = v[2].as.list;
        if (list->n != 2 || list->items[0].kind != QN_JV_STRING || list->items[1].kind != QN_JV_STRING) {
            return qn_jfail(run, QN_E_FORMAT, "tojson: separators must be two strings");
        }
        style.item = list->items[0].as.s;
        style.key = list->items[1].as.s;
    }
    const qn_status status = json_value(run, in, &style, 0, &b);
    if (status != QN_OK) {
        qn_buffer_clear(&b);
        return status;
    }
    return qn_jv_take(run, &b, out);
}

static qn_status from_json_members(qn_jrun *run, const json_t *json, qn_jv *out) {
    QN_TRY(qn_jv_dict(run, QN_JV_DICT, out));
    const size_t n = json_object_size(json);
    void *pairs = NULL;
    QN_TRY(qn_jalloc(run, n, sizeof(qn_jpair), &pairs));
    out->as.dict->pairs = pairs;
    out->as.dict->cap = n;
    /* Jansson's iterator is not const */
    for (void *at = json_object_iter((json_t *)(uintptr_t)json); at != NULL;
         at = json_object_iter_next((json_t *)(uintptr_t)json, at)) {
        qn_jpair *pair = &out->as.dict->pairs[out->as.dict->n];
        const char *key = json_object_iter_key(at);
        QN_TRY(qn_jv_copy(run, key, strlen(key), &pair->key)); /* keys are unique already */
        QN_TRY(qn_jv_from_json(run, json_object_iter_value(at), &pair->value));
        out->as.dict->n++;
    }
    return QN_OK;
}

static qn_status from_json_any(qn_jrun *run, const json_t *json, qn_jv *out) {
    switch (json_typeof(json)) {
    case JSON_TRUE:
    case JSON_FALSE: *out = qn_jv_bool(json_is_true(json)); return QN_OK;
    case JSON_INTEGER: *out = qn_jv_int(json_integer_value(json)); return QN_OK;
    case JSON_REAL: *out = qn_jv_float(json_real_value(json)); return QN_OK;
    case JSON_STRING: return qn_jv_copy(run, json_string_value(json), json_string_length(json), out);
    case JSON_OBJECT: return from_json_members(run, json, out);
    case JSON_ARRAY: {
        const size_t n = json_array_size(json);
        QN_TRY(qn_jv_list(run, QN_JV_LIST, n, out));
        for (size_t i = 0; i < n; i++) {
            qn_jv item;
            QN_TRY(qn_jv_from_json(run, json_array_get(json, i), &item));
            QN_TRY(qn_jlist_add(run, out->as.list, &item));
        }
        return QN_OK;
    }
    default: *out = qn_jv_none(); return QN_OK;
    }
}

qn_status qn_jv_from_json(qn_jrun *run, const json_t *json, qn_jv *out) {
    QN_TRY(qn_jsteps(run, 1));
    QN_TRY(qn_jenter(run));
    QN_TRY(from_json_any(run, json, out));
    run->depth--;
    return QN_OK;
}

qn_status qn_jfilter_from_json(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    json_t *json = NULL;
    qn_error why;
    QN_TRY(qn_jbind(run, args, "from_json", "|", out));
    if (in->kind != QN_JV_STRING) {
        return qn_jfail(run, QN_E_FORMAT, "from_json needs a string, found '%s'", qn_jv_type(in));
    }
    QN_TRY(qn_jcharge(run, in->as.s.len * 8));
    if (qn_json_parse("from_json", in->as.s.bytes, in->as.s.len, &json, &why) != QN_OK) {
        return qn_jfail(run, why.status, "%s", why.message);
    }
    const qn_status status = qn_jv_from_json(run, json, out);
    json_decref(json);
    return status;
}
