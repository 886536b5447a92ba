/* SPDX-License-Identifier: MIT */
/* jinja_functions.c: the functions that templates find without being given them. */
#include "text/jinja_parts.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static qn_status call_range(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[3];
    int64_t bounds[3] = {0, 0, 1};
    (void)in;
    QN_TRY(qn_jbind(run, args, "range", "start|stop step", v));
    for (int i = 0; i < 3; i++) {
        if (v[i].kind != QN_JV_UNDEFINED && !qn_jv_integer(&v[i], &bounds[i])) {
            return qn_jfail(run, QN_E_FORMAT, "range needs integers, found '%s'", qn_jv_type(&v[i]));
        }
    }
    if (v[1].kind == QN_JV_UNDEFINED) {
        bounds[1] = bounds[0];
        bounds[0] = 0;
    }
    if (bounds[2] == 0) {
        return qn_jfail(run, QN_E_FORMAT, "range: a step of 0");
    }
    QN_TRY(qn_jv_list(run, QN_JV_LIST, 0, out));
    int64_t i = bounds[0];
    while (bounds[2] > 0 ? i < bounds[1] : i > bounds[1]) {
        const qn_jv item = qn_jv_int(i);
        QN_TRY(qn_jlist_add(run, out->as.list, &item));
        if (__builtin_add_overflow(i, bounds[2], &i)) {
            break;
        }
    }
    return QN_OK;
}

/* Pairs of a dict or of a list of pairs, then named arguments. */
static qn_status fill_dict(qn_jrun *run, const qn_jargs *args, qn_jdict *dict) {
    qn_jv pairs;
    if (args->n > 1) {
        return qn_jfail(run, QN_E_FORMAT, "dict and namespace take at most one value without a name");
    }
    if (args->n == 1) {
        qn_jlist *items = NULL;
        if (args->items[0].kind == QN_JV_DICT) {
            QN_TRY(qn_jv_pairs(run, &args->items[0], &pairs));
        } else {
            pairs = args->items[0];
        }
        QN_TRY(qn_jv_items(run, &pairs, &items));
        for (uint64_t i = 0; i < items->n; i++) {
            const qn_jv *pair = &items->items[i];
            if (!qn_jv_is_list(pair) || pair->as.list->n != 2) {
                return qn_jfail(run, QN_E_FORMAT, "dict and namespace need pairs of key and value");
            }
            QN_TRY(qn_jdict_set(run, dict, &pair->as.list->items[0], &pair->as.list->items[1]));
        }
    }
    for (uint64_t i = 0; i < args->n_named; i++) {
        const qn_jv key = qn_jv_text(args->named[i].name.bytes, args->named[i].name.len);
        QN_TRY(qn_jdict_set(run, dict, &key, &args->named[i].value));
    }
    return QN_OK;
}

static qn_status call_dict(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    (void)in;
    QN_TRY(qn_jv_dict(run, QN_JV_DICT, out));
    return fill_dict(run, args, out->as.dict);
}

static qn_status call_namespace(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    (void)in;
    QN_TRY(qn_jv_dict(run, QN_JV_NAMESPACE, out));
    return fill_dict(run, args, out->as.dict);
}

static qn_status call_raise_exception(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv message;
    (void)in;
    QN_TRY(qn_jbind(run, args, "raise_exception", "|message", &message));
    QN_TRY(qn_jv_string(run, &message, out));
    return qn_jfail(run, QN_E_USAGE, "the template refuses these messages: %.*s",
                    (int)(out->as.s.len > 900 ? 900 : out->as.s.len), out->as.s.bytes);
}

static qn_status call_strftime_now(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    char format[256];
    char text[1024];
    qn_jv wanted;
    struct tm parts;
    const time_t now = run->unix_time != 0 ? (time_t)run->unix_time : time(NULL);
    (void)in;
    QN_TRY(qn_jbind(run, args, "strftime_now", "format", &wanted));
    if (wanted.kind != QN_JV_STRING || wanted.as.s.len >= sizeof format || localtime_r(&now, &parts) == NULL) {
        return qn_jfail(run, QN_E_FORMAT, "strftime_now needs a format of less than %zu bytes", sizeof format);
    }
    memcpy(format, wanted.as.s.bytes, wanted.as.s.len);
    format[wanted.as.s.len] = '\0';
    return qn_jv_copy(run, text, strftime(text, sizeof text, format, &parts), out);
}

static const qn_jentry functions[] = {
    {"dict", call_dict},   {"namespace", call_namespace},       {"raise_exception", call_raise_exception},
    {"range", call_range}, {"strftime_now", call_strftime_now}, {NULL, NULL},
};

qn_jfunction *qn_jglobal_find(qn_text name) {
    return qn_jentry_find(functions, name);
}
