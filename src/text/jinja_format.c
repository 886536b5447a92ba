/* SPDX-License-Identifier: MIT */
/* jinja_format.c: Python's two ways to fill a text: "%s" % value and "{}".format(value), as far as templates go. */
#include "text/jinja_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_WIDTH = 200 };

/* [fill][<>^][0][width][.precision][type] */
typedef struct field {
    char align; /* '<', '>', '^', or 0: by the value's type */
    char fill;
    int width;
    int precision; /* -1: not given */
    char type;     /* s r d f e g x …, or 0 */
} field;

static qn_status read_width(qn_jrun *run, qn_text s, size_t *at, int *out) {
    *out = 0;
    while (*at < s.len && s.bytes[*at] >= '0' && s.bytes[*at] <= '9') {
        *out = *out * 10 + (s.bytes[(*at)++] - '0');
        if (*out > MAX_WIDTH) {
            return qn_jfail(run, QN_E_RANGE, "a format's width or precision above %d", (int)MAX_WIDTH);
        }
    }
    return QN_OK;
}

static qn_status pad(qn_jrun *run, const field *f, qn_text body, bool is_number, qn_buffer *b) {
    const uint64_t n = qn_jtext_count(body);
    const uint64_t n_pad = (uint64_t)f->width > n ? (uint64_t)f->width - n : 0;
    const char align = f->align != 0 ? f->align : is_number ? '>' : '<';
    const uint64_t n_left = align == '>' ? n_pad : align == '^' ? n_pad / 2 : 0;
    QN_TRY(qn_jcharge(run, body.len + n_pad));
    size_t n_sign = 0;
    if (is_number && f->fill == '0' && body.len > 0 && body.bytes[0] == '-') {
        n_sign = 1;
        qn_buffer_append(b, "-", 1);
    }
    for (uint64_t i = 0; i < n_left; i++) {
        qn_buffer_append(b, &f->fill, 1);
    }
    qn_buffer_append(b, body.bytes + n_sign, body.len - n_sign);
    for (uint64_t i = n_left; i < n_pad; i++) {
        qn_buffer_append(b, &f->fill, 1);
    }
    return QN_OK;
}

static qn_status put_number(qn_jrun *run, const field *f, const qn_jv *v, qn_buffer *b) {
    char text[MAX_WIDTH + 400];
    double x = 0;
    int64_t i = 0;
    const int precision = f->precision < 0 ? 6 : f->precision;
    if (!qn_jv_number(v, &x)) {
        return qn_jfail(run, QN_E_FORMAT, "a number is needed to fill '%c', found '%s'", f->type, qn_jv_type(v));
    }
    if (f->type == 'd' || f->type == 'i' || f->type == 'x' || f->type == 'X') {
        if (!qn_jv_integer(v, &i)) {
            i = fabs(x) < 9e18 ? (int64_t)x : 0;
        }
        const unsigned long long magnitude = i < 0 ? 0 - (unsigned long long)i : (unsigned long long)i;
        (void)snprintf(text, sizeof text,
                       f->type == 'x'       ? "%s%llx"
                           : f->type == 'X' ? "%s%llX"
                                            : "%s%llu",
                       i < 0 ? "-" : "", magnitude);
    } else if (f->type == 'e') {
        (void)snprintf(text, sizeof text, "%.*e", precision, x);
    } else if (f->type == 'g') {
        (void)snprintf(text, sizeof text, "%.*g", precision, x);
    } else {
        (void)snprintf(text, sizeof text, "%.*f%s", precision, f->type == '%' ? x * 100 : x, f->type == '%' ? "%" : "");
    }
    return pad(run, f, qn_text_of(text), true, b);
}

static qn_text cut(qn_text s, int n_chars) {
    size_t at = 0;
    for (int i = 0; i < n_chars && at < s.len; i++) {
        at += qn_jtext_char((qn_text){s.bytes + at, s.len - at}, NULL);
    }
    return (qn_text){s.bytes, at};
}

static qn_status put_field(qn_jrun *run, const field *f, const qn_jv *v, qn_buffer *b) {
    qn_jv text;
    qn_buffer repr = {0};
    const bool is_number = v->kind == QN_JV_INT || v->kind == QN_JV_FLOAT;
    if (f->type != 0 && strchr("dixXfFeg%", f->type) != NULL) {
        return put_number(run, f, v, b);
    }
    if (f->type == 'r') {
        const qn_status status = qn_jv_repr(run, v, &repr);
        if (status != QN_OK) {
            qn_buffer_clear(&repr);
            return status;
        }
        QN_TRY(qn_jv_take(run, &repr, &text));
    } else {
        QN_TRY(qn_jv_string(run, v, &text));
    }
    const qn_text body = f->precision >= 0 && !is_number ? cut(text.as.s, f->precision) : text.as.s;
    return pad(run, f, body, is_number, b);
}

/* ---- "%s" % value ---- */

static qn_status read_percent(qn_jrun *run, qn_text s, size_t *at, field *f) {
    *f = (field){.align = '>', .fill = ' ', .precision = -1};
    for (; *at < s.len && (s.bytes[*at] == '-' || s.bytes[*at] == '0'); (*at)++) {
        f->align = s.bytes[*at] == '-' ? '<' : f->align;
        f->fill = s.bytes[*at] == '0' ? '0' : f->fill;
    }
    QN_TRY(read_width(run, s, at, &f->width));
    if (*at < s.len && s.bytes[*at] == '.') {
        (*at)++;
        QN_TRY(read_width(run, s, at, &f->precision));
    }
    f->type = *at < s.len ? s.bytes[(*at)++] : '\0';
    if (f->type == '\0' || strchr("sdifFegxXr%", f->type) == NULL) {
        return qn_jfail(run, QN_E_FORMAT, "a format that is not known: %%%c", f->type == '\0' ? ' ' : f->type);
    }
    return QN_OK;
}

static qn_status fill_percent(qn_jrun *run, qn_text s, const qn_jv *values, uint64_t n, qn_buffer *b) {
    uint64_t next = 0;
    size_t at = 0;
    while (at < s.len) {
        field f;
        const char *sign = memchr(s.bytes + at, '%', s.len - at);
        const size_t end = sign == NULL ? s.len : (size_t)(sign - s.bytes);
        qn_buffer_append(b, s.bytes + at, end - at);
        if (sign == NULL) {
            break;
        }
        at = end + 1;
        QN_TRY(read_percent(run, s, &at, &f));
        if (f.type == '%') {
            qn_buffer_append(b, "%", 1);
            continue;
        }
        if (next == n) {
            return qn_jfail(run, QN_E_FORMAT, "the format asks for more values than it is given");
        }
        QN_TRY(put_field(run, &f, &values[next++], b));
    }
    return next < n ? qn_jfail(run, QN_E_FORMAT, "the format is given more values than it asks for") : QN_OK;
}

qn_status qn_jformat_percent(qn_jrun *run, qn_text format, const qn_jv *value, qn_jv *out) {
    qn_buffer b = {0};
    const bool is_tuple = value->kind == QN_JV_TUPLE;
    const qn_status status = fill_percent(run, format, is_tuple ? value->as.list->items : value,
                                          is_tuple ? value->as.list->n : 1, &b);
    if (status != QN_OK) {
        qn_buffer_clear(&b);
        return status;
    }
    return qn_jv_take(run, &b, out);
}

qn_status qn_jfilter_format(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv values;
    qn_jv format;
    QN_TRY(qn_jv_string(run, in, &format));
    QN_TRY(qn_jv_list(run, QN_JV_TUPLE, args->n, &values));
    for (uint64_t i = 0; i < args->n; i++) {
        QN_TRY(qn_jlist_add(run, values.as.list, &args->items[i]));
    }
    return qn_jformat_percent(run, format.as.s, &values, out);
}

/* ---- "{}".format(value) ---- */

/* The value that a field's name stands for: "", "0", "name", "name.attribute", "0[key]". */
static qn_status find_value(qn_jrun *run, qn_text name, const qn_jargs *args, uint64_t *next, qn_jv *out) {
    size_t n = 0;
    uint64_t index = 0;
    while (n < name.len && name.bytes[n] != '.' && name.bytes[n] != '[') {
        n++;
    }
    bool is_index = n < 9;
    for (size_t i = 0; i < n && is_index; i++) {
        is_index = name.bytes[i] >= '0' && name.bytes[i] <= '9';
        index = index * 10 + (uint64_t)(unsigned char)(name.bytes[i] - '0');
    }
    if (is_index) {
        index = n == 0 ? (*next)++ : index;
        if (index >= args->n) {
            return qn_jfail(run, QN_E_FORMAT, "the format asks for more values than it is given");
        }
        *out = args->items[index];
    } else {
        *out = qn_jv_undefined("format");
        for (uint64_t i = 0; i < args->n_named; i++) {
            if (args->named[i].name.len == n && memcmp(args->named[i].name.bytes, name.bytes, n) == 0) {
                *out = args->named[i].value;
            }
        }
        if (out->kind == QN_JV_UNDEFINED) {
            return qn_jfail(run, QN_E_FORMAT, "the format asks for '%.*s', which is not given", (int)(n > 60 ? 60 : n),
                            name.bytes);
        }
    }
    return n < name.len ? qn_jfail(run, QN_E_UNSUPPORTED, "attributes within a format are not supported") : QN_OK;
}

static qn_status read_spec(qn_jrun *run, qn_text s, field *f) {
    size_t at = 0;
    *f = (field){.fill = ' ', .precision = -1};
    if (s.len > 1 && strchr("<>^", s.bytes[1]) != NULL && s.bytes[1] != '\0') {
        f->fill = s.bytes[0];
        at = 1;
    }
    if (at < s.len && s.bytes[at] != '\0' && strchr("<>^", s.bytes[at]) != NULL) {
        f->align = s.bytes[at++];
    }
    if (at < s.len && s.bytes[at] == '0') {
        f->fill = '0';
        f->align = f->align == 0 ? '>' : f->align;
        at++;
    }
    QN_TRY(read_width(run, s, &at, &f->width));
    if (at < s.len && s.bytes[at] == '.') {
        at++;
        QN_TRY(read_width(run, s, &at, &f->precision));
    }
    f->type = at < s.len ? s.bytes[at++] : '\0';
    if (at < s.len || (f->type != '\0' && strchr("sdfFegxX%", f->type) == NULL)) {
        return qn_jfail(run, QN_E_FORMAT, "a format that is not known: {:%.*s}", (int)(s.len > 40 ? 40 : s.len),
                        s.bytes);
    }
    return QN_OK;
}

static qn_status fill_one(qn_jrun *run, qn_text inner, const qn_jargs *args, uint64_t *next, qn_buffer *b) {
    const char *colon = inner.len == 0 ? NULL : memchr(inner.bytes, ':', inner.len);
    qn_text name = {inner.bytes, colon == NULL ? inner.len : (size_t)(colon - inner.bytes)};
    const qn_text spec = {inner.bytes + name.len + (colon == NULL ? 0 : 1),
                          inner.len - name.len - (colon == NULL ? 0 : 1)};
    bool is_repr = false;
    field f;
    qn_jv value;
    if (name.len >= 2 && name.bytes[name.len - 2] == '!') {
        is_repr = name.bytes[name.len - 1] == 'r';
        name.len -= 2;
    }
    QN_TRY(find_value(run, name, args, next, &value));
    QN_TRY(read_spec(run, spec, &f));
    f.type = is_repr ? 'r' : f.type;
    if (f.type == 0 && f.precision >= 0 && (value.kind == QN_JV_FLOAT || value.kind == QN_JV_INT)) {
        f.type = 'g';
    }
    return put_field(run, &f, &value, b);
}

static qn_status fill_braces(qn_jrun *run, qn_text s, const qn_jargs *args, qn_buffer *b) {
    uint64_t next = 0;
    for (size_t at = 0; at < s.len;) {
        const char c = s.bytes[at];
        if ((c == '{' || c == '}') && at + 1 < s.len && s.bytes[at + 1] == c) {
            qn_buffer_append(b, &c, 1);
            at += 2;
            continue;
        }
        if (c == '}') {
            return qn_jfail(run, QN_E_FORMAT, "the format has a '}' of its own; write '}}'");
        }
        if (c != '{') {
            qn_buffer_append(b, &c, 1);
            at++;
            continue;
        }
        const char *end = memchr(s.bytes + at, '}', s.len - at);
        if (end == NULL) {
            return qn_jfail(run, QN_E_FORMAT, "the format has a '{' without its '}'");
        }
        const qn_text inner = {s.bytes + at + 1, (size_t)(end - s.bytes) - at - 1};
        QN_TRY(fill_one(run, inner, args, &next, b));
        at = (size_t)(end - s.bytes) + 1;
    }
    return QN_OK;
}

qn_status qn_jformat_method(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_buffer b = {0};
    QN_TRY(qn_jcharge(run, in->as.s.len));
    const qn_status status = fill_braces(run, in->as.s, args, &b);
    if (status != QN_OK) {
        qn_buffer_clear(&b);
        return status;
    }
    return qn_jv_take(run, &b, out);
}
