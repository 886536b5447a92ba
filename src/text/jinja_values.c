/* SPDX-License-Identifier: MIT */
/* jinja_values.c: the values of a rendering, with Python's truth, equality and order; and what a rendering may use. */
#include "text/jinja_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- limits and failures ---- */

qn_status qn_jfail(const qn_jrun *run, qn_status status, const char *fmt, ...) {
    char message[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    return qn_jinja_fail(run->jinja, run->where, run->pos, run->err, status, message);
}

qn_status qn_jsteps(qn_jrun *run, uint64_t n) {
    if (n > run->steps_left) {
        run->steps_left = 0;
        return qn_jfail(run, QN_E_RANGE, "the template takes more steps than it may; does it loop without end?");
    }
    run->steps_left -= n;
    return QN_OK;
}

qn_status qn_jcharge(qn_jrun *run, uint64_t n_bytes) {
    if (n_bytes > run->bytes_left) {
        run->bytes_left = 0;
        return qn_jfail(run, QN_E_RANGE, "the template needs more memory than it may have");
    }
    run->bytes_left -= n_bytes;
    return qn_jsteps(run, n_bytes / 256);
}

qn_status qn_jalloc(qn_jrun *run, uint64_t n, size_t size, void **out) {
    uint64_t n_bytes = 0;
    if (__builtin_mul_overflow(n, (uint64_t)size, &n_bytes)) {
        n_bytes = UINT64_MAX;
    }
    QN_TRY(qn_jcharge(run, n_bytes));
    *out = qn_arena_array(run->arena, n, size);
    return *out == NULL ? qn_fail_nomem(run->err, "template values", (size_t)n_bytes) : QN_OK;
}

qn_status qn_jenter(qn_jrun *run) {
    if (++run->depth > run->max_depth) {
        return qn_jfail(run, QN_E_RANGE, "more than %u calls and values within each other", run->max_depth);
    }
    return QN_OK;
}

/* ---- plain values ---- */

qn_jv qn_jv_undefined(const char *name) {
    return (qn_jv){.kind = QN_JV_UNDEFINED, .as.s = {name, strlen(name)}};
}

qn_jv qn_jv_none(void) {
    return (qn_jv){.kind = QN_JV_NONE};
}

qn_jv qn_jv_bool(bool b) {
    return (qn_jv){.kind = QN_JV_BOOL, .as.b = b};
}

qn_jv qn_jv_int(int64_t i) {
    return (qn_jv){.kind = QN_JV_INT, .as.i = i};
}

qn_jv qn_jv_float(double f) {
    return (qn_jv){.kind = QN_JV_FLOAT, .as.f = f};
}

qn_jv qn_jv_text(const char *bytes, size_t n) {
    return (qn_jv){.kind = QN_JV_STRING, .as.s = {bytes, n}};
}

const char *qn_jv_type(const qn_jv *v) {
    static const char *const names[] = {[QN_JV_UNDEFINED] = "undefined", [QN_JV_NONE] = "none",
                                        [QN_JV_BOOL] = "bool",           [QN_JV_INT] = "int",
                                        [QN_JV_FLOAT] = "float",         [QN_JV_STRING] = "str",
                                        [QN_JV_LIST] = "list",           [QN_JV_TUPLE] = "tuple",
                                        [QN_JV_DICT] = "dict",           [QN_JV_NAMESPACE] = "namespace",
                                        [QN_JV_FUNCTION] = "function",   [QN_JV_METHOD] = "method",
                                        [QN_JV_MACRO] = "macro"};
    return names[v->kind];
}

bool qn_jv_truth(const qn_jv *v) {
    switch (v->kind) {
    case QN_JV_UNDEFINED:
    case QN_JV_NONE: return false;
    case QN_JV_BOOL: return v->as.b;
    case QN_JV_INT: return v->as.i != 0;
    case QN_JV_FLOAT: return v->as.f != 0;
    case QN_JV_STRING: return v->as.s.len > 0;
    case QN_JV_LIST:
    case QN_JV_TUPLE: return v->as.list->n > 0;
    case QN_JV_DICT: return v->as.dict->n > 0;
    default: return true;
    }
}

bool qn_jv_is_list(const qn_jv *v) {
    return v->kind == QN_JV_LIST || v->kind == QN_JV_TUPLE;
}

bool qn_jv_is(const qn_jv *v, const char *text) {
    return v->kind == QN_JV_STRING && qn_text_is(v->as.s, text);
}

bool qn_jv_integer(const qn_jv *v, int64_t *out) {
    if (v->kind == QN_JV_BOOL) {
        *out = v->as.b ? 1 : 0;
        return true;
    }
    *out = v->kind == QN_JV_INT ? v->as.i : 0;
    return v->kind == QN_JV_INT;
}

bool qn_jv_number(const qn_jv *v, double *out) {
    int64_t i = 0;
    if (v->kind == QN_JV_FLOAT) {
        *out = v->as.f;
        return true;
    }
    const bool is_integer = qn_jv_integer(v, &i);
    *out = (double)i;
    return is_integer;
}

/* ---- equality and order ---- */

static bool is_same_text(qn_text a, qn_text b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.bytes, b.bytes, a.len) == 0);
}

static qn_status equal_lists(qn_jrun *run, const qn_jlist *a, const qn_jlist *b, bool *out) {
    *out = a->n == b->n;
    for (uint64_t i = 0; *out && i < a->n; i++) {
        QN_TRY(qn_jv_equal(run, &a->items[i], &b->items[i], out));
    }
    return QN_OK;
}

static qn_status equal_dicts(qn_jrun *run, const qn_jdict *a, const qn_jdict *b, bool *out) {
    *out = a->n == b->n;
    for (uint64_t i = 0; *out && i < a->n; i++) {
        qn_jv *other = NULL;
        QN_TRY(qn_jdict_find(run, b, &a->pairs[i].key, &other));
        *out = other != NULL;
        if (other != NULL) {
            QN_TRY(qn_jv_equal(run, &a->pairs[i].value, other, out));
        }
    }
    return QN_OK;
}

static qn_status equal_same_kind(qn_jrun *run, const qn_jv *a, const qn_jv *b, bool *out) {
    switch (a->kind) {
    case QN_JV_UNDEFINED:
    case QN_JV_NONE: *out = true; return QN_OK;
    case QN_JV_STRING: *out = is_same_text(a->as.s, b->as.s); return qn_jsteps(run, 1 + (*out ? a->as.s.len / 256 : 0));
    case QN_JV_LIST:
    case QN_JV_TUPLE: return equal_lists(run, a->as.list, b->as.list, out);
    case QN_JV_DICT: return equal_dicts(run, a->as.dict, b->as.dict, out);
    case QN_JV_NAMESPACE: *out = a->as.dict == b->as.dict; return QN_OK;
    case QN_JV_MACRO: *out = a->as.macro == b->as.macro; return QN_OK;
    case QN_JV_FUNCTION: *out = a->as.function == b->as.function; return QN_OK;
    default: *out = false; return QN_OK;
    }
}

qn_status qn_jv_equal(qn_jrun *run, const qn_jv *a, const qn_jv *b, bool *out) {
    double x = 0;
    double y = 0;
    QN_TRY(qn_jsteps(run, 1));
    if (a->kind == QN_JV_INT && b->kind == QN_JV_INT) {
        *out = a->as.i == b->as.i;
        return QN_OK;
    }
    if (qn_jv_number(a, &x) && qn_jv_number(b, &y)) {
        *out = x == y;
        return QN_OK;
    }
    if (a->kind != b->kind) {
        *out = false;
        return QN_OK;
    }
    QN_TRY(qn_jenter(run));
    QN_TRY(equal_same_kind(run, a, b, out));
    run->depth--;
    return QN_OK;
}

/* UTF-8's order of bytes is that of code points. */
static int compare_texts(qn_text a, qn_text b) {
    const size_t n = a.len < b.len ? a.len : b.len;
    const int order = n == 0 ? 0 : memcmp(a.bytes, b.bytes, n);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_folded(qn_text a, qn_text b) {
    while (a.len > 0 && b.len > 0) {
        uint32_t x = 0;
        uint32_t y = 0;
        const size_t n = qn_jtext_char(a, &x);
        const size_t m = qn_jtext_char(b, &y);
        x = qn_jtext_lower(x);
        y = qn_jtext_lower(y);
        if (x != y) {
            return x < y ? -1 : 1;
        }
        a = (qn_text){a.bytes + n, a.len - n};
        b = (qn_text){b.bytes + m, b.len - m};
    }
    return (a.len > 0) - (b.len > 0);
}

static qn_status compare_lists(qn_jrun *run, const qn_jlist *a, const qn_jlist *b, bool is_folded, int *out) {
    const uint64_t n = a->n < b->n ? a->n : b->n;
    QN_TRY(qn_jenter(run));
    *out = 0;
    for (uint64_t i = 0; i < n && *out == 0; i++) {
        bool is_equal = false;
        QN_TRY(qn_jv_equal(run, &a->items[i], &b->items[i], &is_equal));
        if (!is_equal) {
            QN_TRY(qn_jv_compare(run, &a->items[i], &b->items[i], is_folded, out));
        }
    }
    *out = *out != 0 ? *out : (a->n > b->n) - (a->n < b->n);
    run->depth--;
    return QN_OK;
}

qn_status qn_jv_compare(qn_jrun *run, const qn_jv *a, const qn_jv *b, bool is_folded, int *out) {
    double x = 0;
    double y = 0;
    if (a->kind == QN_JV_INT && b->kind == QN_JV_INT) {
        *out = (a->as.i > b->as.i) - (a->as.i < b->as.i);
        return qn_jsteps(run, 1);
    }
    if (qn_jv_number(a, &x) && qn_jv_number(b, &y)) {
        *out = (x > y) - (x < y);
        return qn_jsteps(run, 1);
    }
    if (a->kind == QN_JV_STRING && b->kind == QN_JV_STRING) {
        *out = is_folded ? compare_folded(a->as.s, b->as.s) : compare_texts(a->as.s, b->as.s);
        return qn_jsteps(run, 1 + a->as.s.len / 64);
    }
    if (qn_jv_is_list(a) && a->kind == b->kind) {
        return compare_lists(run, a->as.list, b->as.list, is_folded, out);
    }
    return qn_jfail(run, QN_E_FORMAT, "'%s' and '%s' have no order", qn_jv_type(a), qn_jv_type(b));
}

/* ---- strings, lists, dicts ---- */

qn_status qn_jv_copy(qn_jrun *run, const void *bytes, size_t n, qn_jv *out) {
    void *copy = NULL;
    QN_TRY(qn_jalloc(run, (uint64_t)n + 1, 1, &copy));
    if (n > 0) {
        memcpy(copy, bytes, n);
    }
    *out = qn_jv_text(copy, n);
    return QN_OK;
}

qn_status qn_jv_take(qn_jrun *run, qn_buffer *b, qn_jv *out) {
    qn_status status = qn_buffer_status(b, run->err);
    if (status == QN_OK) {
        status = qn_jv_copy(run, b->data, b->len, out);
    }
    qn_buffer_clear(b);
    return status;
}

qn_status qn_jv_list(qn_jrun *run, qn_jv_kind kind, uint64_t n, qn_jv *out) {
    void *list = NULL;
    void *items = NULL;
    QN_TRY(qn_jalloc(run, 1, sizeof(qn_jlist), &list));
    QN_TRY(qn_jalloc(run, n, sizeof(qn_jv), &items));
    *out = (qn_jv){.kind = kind, .as.list = list};
    out->as.list->items = items;
    out->as.list->cap = n;
    return QN_OK;
}

qn_status qn_jlist_add(qn_jrun *run, qn_jlist *list, const qn_jv *item) {
    const qn_jv copy = *item; /* it may stand in the table that moves */
    if (list->n == list->cap) {
        const uint64_t cap = list->cap < 4 ? 8 : list->cap * 2;
        void *items = NULL;
        QN_TRY(qn_jalloc(run, cap, sizeof(qn_jv), &items));
        if (list->n > 0) {
            memcpy(items, list->items, (size_t)list->n * sizeof *list->items);
        }
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = copy;
    return qn_jsteps(run, 1);
}

qn_status qn_jv_dict(qn_jrun *run, qn_jv_kind kind, qn_jv *out) {
    void *dict = NULL;
    QN_TRY(qn_jalloc(run, 1, sizeof(qn_jdict), &dict));
    *out = (qn_jv){.kind = kind, .as.dict = dict};
    return QN_OK;
}

qn_status qn_jdict_find(qn_jrun *run, const qn_jdict *dict, const qn_jv *key, qn_jv **out) {
    *out = NULL;
    QN_TRY(qn_jsteps(run, 1 + dict->n / 16));
    for (uint64_t i = 0; i < dict->n; i++) {
        const qn_jv *k = &dict->pairs[i].key;
        bool is_it = false;
        if (k->kind == QN_JV_STRING || key->kind == QN_JV_STRING) {
            is_it = k->kind == key->kind && is_same_text(k->as.s, key->as.s);
        } else {
            QN_TRY(qn_jv_equal(run, k, key, &is_it));
        }
        if (is_it) {
            *out = &dict->pairs[i].value;
            return QN_OK;
        }
    }
    return QN_OK;
}

qn_status qn_jdict_set(qn_jrun *run, qn_jdict *dict, const qn_jv *key, const qn_jv *value) {
    qn_jv *old = NULL;
    const qn_jv copy = *value;
    if (key->kind == QN_JV_LIST || key->kind == QN_JV_DICT) {
        return qn_jfail(run, QN_E_FORMAT, "a %s cannot be a dict's key", qn_jv_type(key));
    }
    QN_TRY(qn_jdict_find(run, dict, key, &old));
    if (old != NULL) {
        *old = copy;
        return QN_OK;
    }
    if (dict->n == dict->cap) {
        const uint64_t cap = dict->cap == 0 ? 4 : dict->cap * 2;
        void *pairs = NULL;
        QN_TRY(qn_jalloc(run, cap, sizeof(qn_jpair), &pairs));
        if (dict->n > 0) {
            memcpy(pairs, dict->pairs, (size_t)dict->n * sizeof *dict->pairs);
        }
        dict->pairs = pairs;
        dict->cap = cap;
    }
    dict->pairs[dict->n++] = (qn_jpair){*key, copy};
    return QN_OK;
}

qn_status qn_jdict_set_name(qn_jrun *run, qn_jdict *dict, const char *name, qn_jv value) {
    const qn_jv key = qn_jv_text(name, strlen(name));
    return qn_jdict_set(run, dict, &key, &value);
}

static qn_status characters_of(qn_jrun *run, qn_text s, qn_jv *out) {
    QN_TRY(qn_jv_list(run, QN_JV_LIST, qn_jtext_count(s), out));
    while (s.len > 0) {
        const size_t n = qn_jtext_char(s, NULL);
        const qn_jv item = qn_jv_text(s.bytes, n);
        QN_TRY(qn_jlist_add(run, out->as.list, &item));
        s = (qn_text){s.bytes + n, s.len - n};
    }
    return QN_OK;
}

qn_status qn_jv_items(qn_jrun *run, const qn_jv *v, qn_jlist **out) {
    qn_jv list;
    switch (v->kind) {
    case QN_JV_LIST:
    case QN_JV_TUPLE: *out = v->as.list; return QN_OK;
    case QN_JV_STRING: QN_TRY(characters_of(run, v->as.s, &list)); break;
    case QN_JV_UNDEFINED: QN_TRY(qn_jv_list(run, QN_JV_LIST, 0, &list)); break;
    case QN_JV_DICT:
        QN_TRY(qn_jv_list(run, QN_JV_LIST, v->as.dict->n, &list));
        for (uint64_t i = 0; i < v->as.dict->n; i++) {
            QN_TRY(qn_jlist_add(run, list.as.list, &v->as.dict->pairs[i].key));
        }
        break;
    default: return qn_jfail(run, QN_E_FORMAT, "a value of type '%s' cannot be gone through", qn_jv_type(v));
    }
    *out = list.as.list;
    return QN_OK;
}

qn_status qn_jv_pairs(qn_jrun *run, const qn_jv *v, qn_jv *out) {
    if (v->kind == QN_JV_UNDEFINED) {
        return qn_jv_list(run, QN_JV_LIST, 0, out);
    }
    if (v->kind != QN_JV_DICT) {
        return qn_jfail(run, QN_E_FORMAT, "a value of type '%s' has no items; a dict has", qn_jv_type(v));
    }
    const qn_jdict *dict = v->as.dict;
    QN_TRY(qn_jv_list(run, QN_JV_LIST, dict->n, out));
    for (uint64_t i = 0; i < dict->n; i++) {
        qn_jv pair;
        QN_TRY(qn_jv_list(run, QN_JV_TUPLE, 2, &pair));
        QN_TRY(qn_jlist_add(run, pair.as.list, &dict->pairs[i].key));
        QN_TRY(qn_jlist_add(run, pair.as.list, &dict->pairs[i].value));
        QN_TRY(qn_jlist_add(run, out->as.list, &pair));
    }
    return QN_OK;
}

/* ---- arguments ---- */

/* The next name of a list, without its separator; *is_needed ends at the bar. */
static qn_text next_name(const char **names, bool *is_needed) {
    if (**names == '|') {
        *is_needed = false;
        (*names)++;
    }
    const size_t n = strcspn(*names, " |");
    const qn_text name = {*names, n};
    *names += n + ((*names)[n] == ' ' ? 1 : 0);
    return name;
}

static const qn_jv *find_named(const qn_jargs *args, qn_text name) {
    for (uint64_t i = 0; i < args->n_named; i++) {
        if (is_same_text(args->named[i].name, name)) {
            return &args->named[i].value;
        }
    }
    return NULL;
}

qn_status qn_jbind(qn_jrun *run, const qn_jargs *args, const char *what, const char *names, qn_jv *out) {
    uint64_t n_taken = 0;
    uint64_t i = 0;
    bool is_needed = true;
    while (*names != '\0') {
        const qn_text name = next_name(&names, &is_needed);
        const qn_jv *named = find_named(args, name);
        if (name.len == 0) {
            break;
        }
        if (i < args->n && named != NULL) {
            return qn_jfail(run, QN_E_FORMAT, "%s: '%.*s' is given twice", what, (int)name.len, name.bytes);
        }
        if (i >= args->n && named == NULL && is_needed) {
            return qn_jfail(run, QN_E_FORMAT, "%s: '%.*s' is missing", what, (int)name.len, name.bytes);
        }
        n_taken += named != NULL ? 1 : 0;
        out[i] = i < args->n ? args->items[i] : named != NULL ? *named : qn_jv_undefined("argument");
        i++;
    }
    if (args->n > i || n_taken < args->n_named) {
        return qn_jfail(run, QN_E_FORMAT, "%s: an argument too many, or of an unknown name", what);
    }
    return QN_OK;
}
