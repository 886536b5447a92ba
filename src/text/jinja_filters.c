/* SPDX-License-Identifier: MIT */
/* jinja_filters.c: the filters of templates on texts, numbers and single values; those on lists are in
 * jinja_sequences.c. Names and meanings are Jinja 2's. */
#include "text/jinja_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

qn_jfunction *qn_jentry_find(const qn_jentry *table, qn_text name) {
    for (; table->name != NULL; table++) {
        if (qn_text_is(name, table->name)) {
            return table->function;
        }
    }
    return NULL;
}

static qn_status filter_length(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    QN_TRY(qn_jbind(run, args, "length", "|", out));
    switch (in->kind) {
    case QN_JV_STRING: *out = qn_jv_int((int64_t)qn_jtext_count(in->as.s)); return qn_jsteps(run, in->as.s.len / 64);
    case QN_JV_LIST:
    case QN_JV_TUPLE: *out = qn_jv_int((int64_t)in->as.list->n); return QN_OK;
    case QN_JV_DICT: *out = qn_jv_int((int64_t)in->as.dict->n); return QN_OK;
    case QN_JV_UNDEFINED: *out = qn_jv_int(0); return QN_OK;
    default: return qn_jfail(run, QN_E_FORMAT, "a value of type '%s' has no length", qn_jv_type(in));
    }
}

static qn_status filter_default(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[2];
    QN_TRY(qn_jbind(run, args, "default", "|default_value boolean", v));
    const bool is_given = args->n > 0 || v[0].kind != QN_JV_UNDEFINED;
    const bool is_missing = in->kind == QN_JV_UNDEFINED || (qn_jv_truth(&v[1]) && !qn_jv_truth(in));
    *out = !is_missing ? *in : is_given ? v[0] : qn_jv_text("", 0);
    return QN_OK;
}

static qn_status filter_string(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    QN_TRY(qn_jbind(run, args, "string", "|", out));
    return qn_jv_string(run, in, out);
}

static qn_status filter_safe(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    QN_TRY(qn_jbind(run, args, "safe", "|", out));
    *out = *in;
    return QN_OK;
}

static qn_status filter_trim(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv chars;
    qn_jv text;
    QN_TRY(qn_jbind(run, args, "trim", "|chars", &chars));
    QN_TRY(qn_jv_string(run, in, &text));
    const qn_text set = chars.kind == QN_JV_STRING ? chars.as.s : (qn_text){NULL, 0};
    const qn_text s = qn_jtext_strip(text.as.s, set, true, true);
    *out = qn_jv_text(s.bytes, s.len);
    return QN_OK;
}

static qn_status change_case(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jcase how, qn_jv *out) {
    qn_jv text;
    QN_TRY(qn_jbind(run, args, "a filter of letter case", "|", out));
    QN_TRY(qn_jv_string(run, in, &text));
    return qn_jtext_case(run, text.as.s, how, out);
}

static qn_status filter_lower(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return change_case(run, in, args, QN_JCASE_LOWER, out);
}

static qn_status filter_upper(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return change_case(run, in, args, QN_JCASE_UPPER, out);
}

static qn_status filter_title(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return change_case(run, in, args, QN_JCASE_TITLE, out);
}

static qn_status filter_capitalize(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return change_case(run, in, args, QN_JCASE_CAPITAL, out);
}

static qn_status filter_replace(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[3];
    qn_jv text;
    qn_jv old;
    qn_jv by;
    int64_t max = -1;
    QN_TRY(qn_jbind(run, args, "replace", "old new|count", v));
    QN_TRY(qn_jv_string(run, in, &text));
    QN_TRY(qn_jv_string(run, &v[0], &old));
    QN_TRY(qn_jv_string(run, &v[1], &by));
    if (v[2].kind == QN_JV_INT) {
        max = v[2].as.i;
    }
    return qn_jtext_replace(run, text.as.s, old.as.s, by.as.s, max, out);
}

/* Puts `by` before the lines of a text, as Jinja does: the first and empty ones only when asked for. */
static qn_status indent_lines(qn_jrun *run, qn_text s, qn_text by, bool first, bool blank, qn_buffer *b) {
    bool is_first = true;
    for (;;) {
        const char *end = s.len == 0 ? NULL : memchr(s.bytes, '\n', s.len);
        const size_t n = end == NULL ? s.len : (size_t)(end - s.bytes);
        if (is_first ? first : (blank || n > 0)) {
            QN_TRY(qn_jcharge(run, by.len));
            qn_buffer_append(b, by.bytes, by.len);
        }
        qn_buffer_append(b, s.bytes, n);
        if (end == NULL) {
            return QN_OK;
        }
        qn_buffer_text(b, "\n");
        s = (qn_text){s.bytes + n + 1, s.len - n - 1};
        is_first = false;
    }
}

static qn_status filter_indent(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[3];
    qn_jv text;
    qn_buffer b = {0};
    int64_t n = 4;
    void *blanks = NULL;
    QN_TRY(qn_jbind(run, args, "indent", "|width first blank", v));
    QN_TRY(qn_jv_string(run, in, &text));
    if (v[0].kind == QN_JV_INT) {
        n = v[0].as.i < 0 ? 0 : v[0].as.i;
    }
    QN_TRY(qn_jalloc(run, (uint64_t)n + 1, 1, &blanks));
    memset(blanks, ' ', (size_t)n);
    const qn_text by = v[0].kind == QN_JV_STRING ? v[0].as.s : (qn_text){blanks, (size_t)n};
    const qn_status status = indent_lines(run, text.as.s, by, qn_jv_truth(&v[1]), qn_jv_truth(&v[2]), &b);
    if (status != QN_OK) {
        qn_buffer_clear(&b);
        return status;
    }
    return qn_jv_take(run, &b, out);
}

static qn_status filter_escape(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv text;
    qn_buffer b = {0};
    QN_TRY(qn_jbind(run, args, "escape", "|", out));
    QN_TRY(qn_jv_string(run, in, &text));
    QN_TRY(qn_jcharge(run, text.as.s.len * 5));
    for (size_t i = 0; i < text.as.s.len; i++) {
        const char c = text.as.s.bytes[i];
        if (c == '&' || c == '<' || c == '>' || c == '"' || c == '\'') {
            qn_buffer_text(&b,
                           c == '&'       ? "&amp;"
                               : c == '<' ? "&lt;"
                               : c == '>' ? "&gt;"
                               : c == '"' ? "&#34;"
                                          : "&#39;");
        } else {
            qn_buffer_append(&b, &c, 1);
        }
    }
    return qn_jv_take(run, &b, out);
}

/* ---- numbers ---- */

/* The whole of a text, without white space around it, as a number. */
static bool number_of_text(qn_text s, bool is_integer, qn_jv *out) {
    char text[64];
    char *end = NULL;
    s = qn_jtext_strip(s, (qn_text){NULL, 0}, true, true);
    if (s.len == 0 || s.len >= sizeof text || memchr(s.bytes, 'x', s.len) != NULL) {
        return false;
    }
    memcpy(text, s.bytes, s.len);
    text[s.len] = '\0';
    if (is_integer) {
        const long long i = strtoll(text, &end, 10);
        *out = qn_jv_int(i);
        if (*end == '\0') {
            return true;
        }
    }
    const double f = strtod(text, &end);
    if (*end != '\0' || (is_integer && !(fabs(f) < 9e18))) {
        return false;
    }
    *out = is_integer ? qn_jv_int((int64_t)f) : qn_jv_float(f);
    return true;
}

static qn_status filter_int(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[1];
    int64_t i = 0;
    QN_TRY(qn_jbind(run, args, "int", "|default", v));
    *out = v[0].kind == QN_JV_UNDEFINED ? qn_jv_int(0) : v[0];
    if (qn_jv_integer(in, &i)) {
        *out = qn_jv_int(i);
    } else if (in->kind == QN_JV_FLOAT && fabs(in->as.f) < 9e18) {
        *out = qn_jv_int((int64_t)in->as.f);
    } else if (in->kind == QN_JV_STRING) {
        qn_jv number;
        *out = number_of_text(in->as.s, true, &number) ? number : *out;
    }
    return QN_OK;
}

static qn_status filter_float(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[1];
    double f = 0;
    QN_TRY(qn_jbind(run, args, "float", "|default", v));
    *out = v[0].kind == QN_JV_UNDEFINED ? qn_jv_float(0) : v[0];
    if (qn_jv_number(in, &f)) {
        *out = qn_jv_float(f);
    } else if (in->kind == QN_JV_STRING) {
        qn_jv number;
        *out = number_of_text(in->as.s, false, &number) ? number : *out;
    }
    return QN_OK;
}

static qn_status filter_abs(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    int64_t i = 0;
    QN_TRY(qn_jbind(run, args, "abs", "|", out));
    if (qn_jv_integer(in, &i) && i != INT64_MIN) {
        *out = qn_jv_int(i < 0 ? -i : i);
        return QN_OK;
    }
    if (in->kind == QN_JV_FLOAT) {
        *out = qn_jv_float(fabs(in->as.f));
        return QN_OK;
    }
    return qn_jfail(run, QN_E_FORMAT, "abs needs a number, found '%s'", qn_jv_type(in));
}

static qn_status filter_round(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv v[2];
    double f = 0;
    int64_t precision = 0;
    QN_TRY(qn_jbind(run, args, "round", "|precision method", v));
    if (!qn_jv_number(in, &f)) {
        return qn_jfail(run, QN_E_FORMAT, "round needs a number, found '%s'", qn_jv_type(in));
    }
    (void)qn_jv_integer(&v[0], &precision);
    const double scale = pow(10, (double)(precision > 300 ? 300 : precision < -300 ? -300 : precision));
    const double x = f * scale;
    const double whole = qn_jv_is(&v[1], "floor") ? floor(x) : qn_jv_is(&v[1], "ceil") ? ceil(x) : nearbyint(x);
    *out = qn_jv_float(isfinite(x) ? whole / scale : f);
    return QN_OK;
}

static qn_status filter_attr(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv name;
    QN_TRY(qn_jbind(run, args, "attr", "name", &name));
    return qn_jget(run, in, &name, out);
}

static const qn_jentry filters[] = {
    {"abs", filter_abs},
    {"attr", filter_attr},
    {"capitalize", filter_capitalize},
    {"count", filter_length},
    {"d", filter_default},
    {"default", filter_default},
    {"e", filter_escape},
    {"escape", filter_escape},
    {"float", filter_float},
    {"format", qn_jfilter_format},
    {"from_json", qn_jfilter_from_json},
    {"fromjson", qn_jfilter_from_json},
    {"indent", filter_indent},
    {"int", filter_int},
    {"length", filter_length},
    {"lower", filter_lower},
    {"replace", filter_replace},
    {"round", filter_round},
    {"safe", filter_safe},
    {"string", filter_string},
    {"title", filter_title},
    {"tojson", qn_jfilter_tojson},
    {"trim", filter_trim},
    {"upper", filter_upper},
    {NULL, NULL},
};

qn_jfunction *qn_jfilter_find(qn_text name) {
    qn_jfunction *found = qn_jentry_find(filters, name);
    return found != NULL ? found : qn_jfilter_find_sequence(name);
}
