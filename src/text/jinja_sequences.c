/* SPDX-License-Identifier: MIT */
/* jinja_sequences.c: the filters of templates that go through lists, dicts and strings. */
#include "text/jinja_parts.h"

#include <string.h>

/* The value at "a.b.0" of an item. */
static qn_status get_path(qn_jrun *run, const qn_jv *item, const qn_jv *path, qn_jv *out) {
    if (path->kind != QN_JV_STRING) {
        return qn_jget(run, item, path, out);
    }
    qn_text rest = path->as.s;
    *out = *item;
    while (rest.bytes != NULL) {
        const char *dot = rest.len == 0 ? NULL : memchr(rest.bytes, '.', rest.len);
        const size_t n = dot == NULL ? rest.len : (size_t)(dot - rest.bytes);
        qn_jv key = qn_jv_text(rest.bytes, n);
        int64_t index = 0;
        size_t i = 0;
        while (i < n && i < 18 && rest.bytes[i] >= '0' && rest.bytes[i] <= '9') {
            index = index * 10 + (rest.bytes[i++] - '0');
        }
        if (n > 0 && i == n) {
            key = qn_jv_int(index);
        }
        const qn_jv object = *out;
        QN_TRY(qn_jget(run, &object, &key, out));
        rest = dot == NULL ? (qn_text){NULL, 0} : (qn_text){dot + 1, rest.len - n - 1};
    }
    return QN_OK;
}

static bool is_absent(const qn_jv *v) {
    return v->kind == QN_JV_UNDEFINED || v->kind == QN_JV_NONE;
}

static qn_status get_key(qn_jrun *run, const qn_jv *item, const qn_jv *attribute, qn_jv *out) {
    if (is_absent(attribute)) {
        *out = *item;
        return QN_OK;
    }
    return get_path(run, item, attribute, out);
}

static qn_status filter_list(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jlist *items = NULL;
    QN_TRY(qn_jbind(run, args, "list", "|", out));
    QN_TRY(qn_jv_items(run, in, &items));
    QN_TRY(qn_jv_list(run, QN_JV_LIST, items->n, out));
    for (uint64_t i = 0; i < items->n; i++) {
        QN_TRY(qn_jlist_add(run, out->as.list, &items->items[i]));
    }
    return QN_OK;
}

static qn_status filter_items(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    QN_TRY(qn_jbind(run, args, "items", "|", out));
    return qn_jv_pairs(run, in, out);
}

static qn_status end_of(qn_jrun *run, const qn_jv *in, const qn_jargs *args, bool is_last, qn_jv *out) {
    qn_jlist *items = NULL;
    QN_TRY(qn_jbind(run, args, is_last ? "last" : "first", "|", out));
    QN_TRY(qn_jv_items(run, in, &items));
    *out = items->n == 0 ? qn_jv_undefined("an item of an empty list") : items->items[is_last ? items->n - 1 : 0];
    return QN_OK;
}

static qn_status filter_first(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return end_of(run, in, args, false, out);
}

static qn_status filter_last(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return end_of(run, in, args, true, out);
}

static qn_status join_items(qn_jrun *run, const qn_jlist *items, qn_text by, const qn_jv *attribute, qn_buffer *b) {
    for (uint64_t i = 0; i < items->n; i++) {
        qn_jv item;
        QN_TRY(get_key(run, &items->items[i], attribute, &item));
        if (i > 0) {
            QN_TRY(qn_jcharge(run, by.len));
            qn_buffer_append(b, by.bytes, by.len);
        }
        QN_TRY(qn_jv_print(run, &item, b));
    }
    return QN_OK;
}

static qn_status filter_join(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[2];
    qn_jv by;
    qn_jlist *items = NULL;
    qn_buffer b = {0};
    QN_TRY(qn_jbind(run, args, "join", "|d attribute", v));
    QN_TRY(qn_jv_string(run, &v[0], &by));
    QN_TRY(qn_jv_items(run, in, &items));
    const qn_status status = join_items(run, items, by.as.s, &v[1], &b);
    if (status != QN_OK) {
        qn_buffer_clear(&b);
        return status;
    }
    return qn_jv_take(run, &b, out);
}

static qn_status filter_reverse(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    const qn_jv bounds[3] = {qn_jv_none(), qn_jv_none(), qn_jv_int(-1)};
    QN_TRY(qn_jbind(run, args, "reverse", "|", out));
    return qn_jslice(run, in, bounds, out);
}

/* ---- order ---- */

typedef struct sort_item {
    qn_jv key;
    qn_jv value;
} sort_item;

typedef struct sorting {
    qn_jrun *run;
    bool is_folded;
    bool is_reverse;
} sorting;

/* Merges two sorted halves, stably, into spare and back. */
static qn_status merge(const sorting *s, sort_item *items, sort_item *spare, uint64_t middle, uint64_t n) {
    uint64_t i = 0;
    uint64_t j = middle;
    for (uint64_t k = 0; k < n; k++) {
        bool takes_left = j == n;
        if (i < middle && j < n) {
            int order = 0;
            QN_TRY(qn_jv_compare(s->run, &items[i].key, &items[j].key, s->is_folded, &order));
            takes_left = s->is_reverse ? order >= 0 : order <= 0;
        }
        spare[k] = takes_left ? items[i++] : items[j++];
    }
    memcpy(items, spare, (size_t)n * sizeof *items);
    return QN_OK;
}

static qn_status sort_range(const sorting *s, sort_item *items, sort_item *spare, uint64_t n) {
    if (n < 2) {
        return QN_OK;
    }
    QN_TRY(sort_range(s, items, spare, n / 2));
    QN_TRY(sort_range(s, items + n / 2, spare, n - n / 2));
    return merge(s, items, spare, n / 2, n);
}

/* A list of items in the order of their values at an attribute (an index for pairs), or of themselves. */
static qn_status sort_items(const sorting *s, const qn_jlist *list, const qn_jv *attribute, qn_jv *out) {
    void *items = NULL;
    void *spare = NULL;
    QN_TRY(qn_jalloc(s->run, list->n, sizeof(sort_item), &items));
    QN_TRY(qn_jalloc(s->run, list->n, sizeof(sort_item), &spare));
    sort_item *sorted = items;
    for (uint64_t i = 0; i < list->n; i++) {
        sorted[i].value = list->items[i];
        QN_TRY(get_key(s->run, &list->items[i], attribute, &sorted[i].key));
    }
    QN_TRY(sort_range(s, sorted, spare, list->n));
    QN_TRY(qn_jv_list(s->run, QN_JV_LIST, list->n, out));
    for (uint64_t i = 0; i < list->n; i++) {
        QN_TRY(qn_jlist_add(s->run, out->as.list, &sorted[i].value));
    }
    return QN_OK;
}

static qn_status filter_sort(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[3];
    qn_jlist *items = NULL;
    QN_TRY(qn_jbind(run, args, "sort", "|reverse case_sensitive attribute", v));
    QN_TRY(qn_jv_items(run, in, &items));
    const sorting s = {run, !qn_jv_truth(&v[1]), qn_jv_truth(&v[0])};
    return sort_items(&s, items, &v[2], out);
}

static qn_status filter_dictsort(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[3];
    qn_jv pairs;
    QN_TRY(qn_jbind(run, args, "dictsort", "|case_sensitive by reverse", v));
    if (in->kind != QN_JV_DICT) {
        return qn_jfail(run, QN_E_FORMAT, "dictsort needs a dict, found '%s'", qn_jv_type(in));
    }
    QN_TRY(qn_jv_pairs(run, in, &pairs));
    const sorting s = {run, !qn_jv_truth(&v[0]), qn_jv_truth(&v[2])};
    const qn_jv place = qn_jv_int(qn_jv_is(&v[1], "value") ? 1 : 0);
    return sort_items(&s, pairs.as.list, &place, out);
}

static qn_status extreme_of(qn_jrun *run, const qn_jv *in, const qn_jargs *args, int sign, qn_jv *out) {
    qn_jv v[2];
    qn_jv best = qn_jv_undefined("an item of an empty list");
    qn_jlist *items = NULL;
    QN_TRY(qn_jbind(run, args, sign > 0 ? "max" : "min", "|case_sensitive attribute", v));
    QN_TRY(qn_jv_items(run, in, &items));
    *out = best;
    for (uint64_t i = 0; i < items->n; i++) {
        qn_jv key;
        int order = sign;
        QN_TRY(get_key(run, &items->items[i], &v[1], &key));
        if (i > 0) {
            QN_TRY(qn_jv_compare(run, &key, &best, !qn_jv_truth(&v[0]), &order));
        }
        if (order * sign > 0) {
            best = key;
            *out = items->items[i];
        }
    }
    return QN_OK;
}

static qn_status filter_min(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return extreme_of(run, in, args, -1, out);
}

static qn_status filter_max(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return extreme_of(run, in, args, 1, out);
}

static qn_status filter_sum(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[2];
    qn_jlist *items = NULL;
    QN_TRY(qn_jbind(run, args, "sum", "|attribute start", v));
    QN_TRY(qn_jv_items(run, in, &items));
    *out = v[1].kind == QN_JV_UNDEFINED ? qn_jv_int(0) : v[1];
    for (uint64_t i = 0; i < items->n; i++) {
        qn_jv item;
        const qn_jv sum = *out;
        QN_TRY(get_key(run, &items->items[i], &v[0], &item));
        QN_TRY(qn_joperate(run, '+', &sum, &item, out));
    }
    return QN_OK;
}

/* Whether an equal value, in lower case where it is a string, stands in a list. */
static qn_status is_seen(qn_jrun *run, const qn_jlist *seen, const qn_jv *item, bool is_folded, bool *out) {
    *out = false;
    for (uint64_t i = 0; i < seen->n && !*out; i++) {
        if (is_folded && item->kind == QN_JV_STRING && seen->items[i].kind == QN_JV_STRING) {
            int order = 0;
            QN_TRY(qn_jv_compare(run, &seen->items[i], item, true, &order));
            *out = order == 0;
        } else {
            QN_TRY(qn_jv_equal(run, &seen->items[i], item, out));
        }
    }
    return QN_OK;
}

static qn_status filter_unique(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[2];
    qn_jv seen;
    qn_jlist *items = NULL;
    QN_TRY(qn_jbind(run, args, "unique", "|case_sensitive attribute", v));
    QN_TRY(qn_jv_items(run, in, &items));
    QN_TRY(qn_jv_list(run, QN_JV_LIST, 0, &seen));
    QN_TRY(qn_jv_list(run, QN_JV_LIST, 0, out));
    for (uint64_t i = 0; i < items->n; i++) {
        qn_jv key;
        bool is_old = false;
        QN_TRY(get_key(run, &items->items[i], &v[1], &key));
        QN_TRY(is_seen(run, seen.as.list, &key, !qn_jv_truth(&v[0]), &is_old));
        if (!is_old) {
            QN_TRY(qn_jlist_add(run, seen.as.list, &key));
            QN_TRY(qn_jlist_add(run, out->as.list, &items->items[i]));
        }
    }
    return QN_OK;
}

/* ---- select and map ---- */

/* Arguments from the nth positional one on. */
static qn_jargs rest_of(const qn_jargs *args, uint64_t n) {
    return (qn_jargs){args->items + n, args->n - n, args->named, args->n_named};
}

/* Jinja's select and map take any false value, none too, for an empty list. */
static qn_status items_or_none(qn_jrun *run, const qn_jv *in, qn_jlist **out) {
    const qn_jv nothing = qn_jv_undefined("");
    return qn_jv_items(run, qn_jv_truth(in) ? in : &nothing, out);
}

static qn_status select_items(qn_jrun *run, const qn_jv *in, const qn_jargs *args, bool has_attribute, bool wanted,
                              qn_jv *out) {
    const uint64_t first = has_attribute ? 1 : 0;
    qn_jlist *items = NULL;
    qn_jfunction *test = NULL;
    if (args->n < first) {
        return qn_jfail(run, QN_E_FORMAT, "selectattr and rejectattr need an attribute");
    }
    if (args->n > first) {
        const qn_jv *name = &args->items[first];
        test = name->kind == QN_JV_STRING ? qn_jtest_find(name->as.s) : NULL;
        if (test == NULL) {
            return qn_jfail(run, QN_E_FORMAT, "select and reject: an unknown test");
        }
    }
    const qn_jargs rest = test == NULL ? (qn_jargs){0} : rest_of(args, first + 1);
    QN_TRY(items_or_none(run, in, &items));
    QN_TRY(qn_jv_list(run, QN_JV_LIST, 0, out));
    for (uint64_t i = 0; i < items->n; i++) {
        qn_jv key = items->items[i];
        if (has_attribute) {
            QN_TRY(get_path(run, &items->items[i], &args->items[0], &key));
        }
        qn_jv verdict = key;
        if (test != NULL) {
            QN_TRY(test(run, &key, &rest, &verdict));
        }
        if (qn_jv_truth(&verdict) == wanted) {
            QN_TRY(qn_jlist_add(run, out->as.list, &items->items[i]));
        }
    }
    return QN_OK;
}

static qn_status filter_select(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return select_items(run, in, args, false, true, out);
}

static qn_status filter_reject(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return select_items(run, in, args, false, false, out);
}

static qn_status filter_selectattr(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return select_items(run, in, args, true, true, out);
}

static qn_status filter_rejectattr(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return select_items(run, in, args, true, false, out);
}

static qn_status map_attribute(qn_jrun *run, const qn_jlist *items, const qn_jargs *args, qn_jv *out) {
    qn_jv v[2];
    QN_TRY(qn_jbind(run, args, "map", "attribute|default", v));
    for (uint64_t i = 0; i < items->n; i++) {
        qn_jv value;
        QN_TRY(get_path(run, &items->items[i], &v[0], &value));
        if (value.kind == QN_JV_UNDEFINED && v[1].kind != QN_JV_UNDEFINED) {
            value = v[1];
        }
        QN_TRY(qn_jlist_add(run, out->as.list, &value));
    }
    return QN_OK;
}

static qn_status filter_map(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jlist *items = NULL;
    QN_TRY(items_or_none(run, in, &items));
    QN_TRY(qn_jv_list(run, QN_JV_LIST, items->n, out));
    if (args->n == 0) {
        return map_attribute(run, items, args, out);
    }
    qn_jfunction *filter = args->items[0].kind == QN_JV_STRING ? qn_jfilter_find(args->items[0].as.s) : NULL;
    if (filter == NULL) {
        return qn_jfail(run, QN_E_FORMAT, "map: an unknown filter");
    }
    const qn_jargs rest = rest_of(args, 1);
    QN_TRY(qn_jenter(run)); /* map may be mapped */
    for (uint64_t i = 0; i < items->n; i++) {
        qn_jv value;
        QN_TRY(filter(run, &items->items[i], &rest, &value));
        QN_TRY(qn_jlist_add(run, out->as.list, &value));
    }
    run->depth--;
    return QN_OK;
}

static const qn_jentry filters[] = {
    {"dictsort", filter_dictsort},
    {"first", filter_first},
    {"items", filter_items},
    {"join", filter_join},
    {"last", filter_last},
    {"list", filter_list},
    {"map", filter_map},
    {"max", filter_max},
    {"min", filter_min},
    {"reject", filter_reject},
    {"rejectattr", filter_rejectattr},
    {"reverse", filter_reverse},
    {"select", filter_select},
    {"selectattr", filter_selectattr},
    {"sort", filter_sort},
    {"sum", filter_sum},
    {"unique", filter_unique},
    {NULL, NULL},
};

qn_jfunction *qn_jfilter_find_sequence(qn_text name) {
    return qn_jentry_find(filters, name);
}
