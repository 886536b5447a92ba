/* SPDX-License-Identifier: MIT */
/* jinja_operators.c: what operators, subscripts and slices of templates do to values. */
#include "text/jinja_parts.h"

#include <math.h>
#include <string.h>

static qn_status fail_operands(const qn_jrun *run, uint32_t op, const qn_jv *a, const qn_jv *b) {
    const char name[3] = {(char)(op & 0xFF), (char)(op >> 8 & 0xFF), '\0'};
    const qn_jv *missing = a->kind == QN_JV_UNDEFINED ? a : b;
    if (missing->kind == QN_JV_UNDEFINED) {
        return qn_jfail(run, QN_E_FORMAT, "'%.*s' is undefined, %s needs a value",
                        (int)(missing->as.s.len > 60 ? 60 : missing->as.s.len), missing->as.s.bytes, name);
    }
    return qn_jfail(run, QN_E_FORMAT, "%s cannot join '%s' and '%s'", name, qn_jv_type(a), qn_jv_type(b));
}

/* ---- numbers ---- */

static qn_status power(qn_jrun *run, int64_t base, int64_t exponent, qn_jv *out) {
    int64_t result = 1;
    bool overflows = false;
    if (exponent < 0) {
        *out = qn_jv_float(pow((double)base, (double)exponent));
        return base == 0 ? qn_jfail(run, QN_E_FORMAT, "0 to a negative power") : QN_OK;
    }
    while (exponent > 0 && !overflows) {
        if ((exponent & 1) != 0) {
            overflows = __builtin_mul_overflow(result, base, &result);
        }
        exponent >>= 1;
        if (exponent > 0 && !overflows) {
            overflows = __builtin_mul_overflow(base, base, &base);
        }
    }
    *out = qn_jv_int(result);
    return overflows ? qn_jfail(run, QN_E_RANGE, "an integer beyond 64 bits") : QN_OK;
}

/* Rounds down, as Python does; the remainder has the sign of b. */
static qn_status divide(qn_jrun *run, uint32_t op, int64_t a, int64_t b, qn_jv *out) {
    if (b == 0) {
        return qn_jfail(run, QN_E_FORMAT, "division by zero");
    }
    if (a == INT64_MIN && b == -1) {
        return qn_jfail(run, QN_E_RANGE, "an integer beyond 64 bits");
    }
    const int64_t rest = a % b;
    const bool is_off = rest != 0 && (rest < 0) != (b < 0);
    *out = qn_jv_int(op == '%' ? rest + (is_off ? b : 0) : a / b - (is_off ? 1 : 0));
    return QN_OK;
}

static qn_status operate_integers(qn_jrun *run, uint32_t op, int64_t a, int64_t b, qn_jv *out) {
    bool overflows = false;
    *out = qn_jv_int(0);
    switch (op) {
    case '+': overflows = __builtin_add_overflow(a, b, &out->as.i); break;
    case '-': overflows = __builtin_sub_overflow(a, b, &out->as.i); break;
    case '*': overflows = __builtin_mul_overflow(a, b, &out->as.i); break;
    case QN_JOP2('*', '*'): return power(run, a, b, out);
    case '/':
        if (b == 0) {
            return qn_jfail(run, QN_E_FORMAT, "division by zero");
        }
        *out = qn_jv_float((double)a / (double)b);
        return QN_OK;
    default: return divide(run, op, a, b, out);
    }
    return overflows ? qn_jfail(run, QN_E_RANGE, "an integer beyond 64 bits") : QN_OK;
}

static qn_status operate_floats(qn_jrun *run, uint32_t op, double a, double b, qn_jv *out) {
    double rest = 0;
    switch (op) {
    case '+': *out = qn_jv_float(a + b); return QN_OK;
    case '-': *out = qn_jv_float(a - b); return QN_OK;
    case '*': *out = qn_jv_float(a * b); return QN_OK;
    case QN_JOP2('*', '*'): *out = qn_jv_float(pow(a, b)); return QN_OK;
    default: break;
    }
    if (b == 0) {
        return qn_jfail(run, QN_E_FORMAT, "division by zero");
    }
    if (op == '%') {
        rest = fmod(a, b);
        *out = qn_jv_float(rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest);
    } else {
        *out = qn_jv_float(op == '/' ? a / b : floor(a / b));
    }
    return QN_OK;
}

/* ---- strings and lists ---- */

static qn_status join_texts(qn_jrun *run, qn_text a, qn_text b, qn_jv *out) {
    void *joined = NULL;
    QN_TRY(qn_jalloc(run, (uint64_t)a.len + b.len + 1, 1, &joined));
    if (a.len > 0) {
        memcpy(joined, a.bytes, a.len);
    }
    if (b.len > 0) {
        memcpy((char *)joined + a.len, b.bytes, b.len);
    }
    *out = qn_jv_text(joined, a.len + b.len);
    return QN_OK;
}

static qn_status join_lists(qn_jrun *run, const qn_jv *a, const qn_jv *b, qn_jv *out) {
    QN_TRY(qn_jv_list(run, a->kind, a->as.list->n + b->as.list->n, out));
    for (uint64_t i = 0; i < a->as.list->n; i++) {
        QN_TRY(qn_jlist_add(run, out->as.list, &a->as.list->items[i]));
    }
    for (uint64_t i = 0; i < b->as.list->n; i++) {
        QN_TRY(qn_jlist_add(run, out->as.list, &b->as.list->items[i]));
    }
    return QN_OK;
}

/* A string or a list, n times. */
static qn_status repeat(qn_jrun *run, const qn_jv *v, int64_t n, qn_jv *out) {
    const uint64_t times = n < 0 ? 0 : (uint64_t)n;
    if (v->kind == QN_JV_STRING) {
        uint64_t len = 0;
        void *bytes = NULL;
        if (__builtin_mul_overflow(times, (uint64_t)v->as.s.len, &len) || len > UINT64_MAX - 1) {
            len = UINT64_MAX - 1;
        }
        QN_TRY(qn_jalloc(run, len + 1, 1, &bytes));
        for (uint64_t i = 0; len > 0 && i < times; i++) {
            memcpy((char *)bytes + i * v->as.s.len, v->as.s.bytes, v->as.s.len);
        }
        *out = qn_jv_text(bytes, (size_t)len);
        return len == 0 ? QN_OK : qn_jsteps(run, times / 16);
    }
    QN_TRY(qn_jv_list(run, v->kind, 0, out));
    for (uint64_t i = 0; v->as.list->n > 0 && i < times; i++) {
        for (uint64_t j = 0; j < v->as.list->n; j++) {
            QN_TRY(qn_jlist_add(run, out->as.list, &v->as.list->items[j]));
        }
    }
    return QN_OK;
}

static qn_status concatenate(qn_jrun *run, const qn_jv *a, const qn_jv *b, qn_jv *out) {
    qn_jv left;
    qn_jv right;
    QN_TRY(qn_jv_string(run, a, &left));
    QN_TRY(qn_jv_string(run, b, &right));
    return join_texts(run, left.as.s, right.as.s, out);
}

qn_status qn_joperate(qn_jrun *run, uint32_t op, const qn_jv *a, const qn_jv *b, qn_jv *out) {
    int64_t i = 0;
    int64_t j = 0;
    double x = 0;
    double y = 0;
    if (op == '~') {
        return concatenate(run, a, b, out);
    }
    if (qn_jv_integer(a, &i) && qn_jv_integer(b, &j)) {
        return operate_integers(run, op, i, j, out);
    }
    if (qn_jv_number(a, &x) && qn_jv_number(b, &y)) {
        return operate_floats(run, op, x, y, out);
    }
    if (op == '+' && a->kind == QN_JV_STRING && b->kind == QN_JV_STRING) {
        return join_texts(run, a->as.s, b->as.s, out);
    }
    if (op == '+' && qn_jv_is_list(a) && a->kind == b->kind) {
        return join_lists(run, a, b, out);
    }
    if (op == '%' && a->kind == QN_JV_STRING) {
        return qn_jformat_percent(run, a->as.s, b, out);
    }
    if (op == '*' && (a->kind == QN_JV_STRING || qn_jv_is_list(a)) && qn_jv_integer(b, &j)) {
        return repeat(run, a, j, out);
    }
    if (op == '*' && (b->kind == QN_JV_STRING || qn_jv_is_list(b)) && qn_jv_integer(a, &i)) {
        return repeat(run, b, i, out);
    }
    return fail_operands(run, op, a, b);
}

qn_status qn_jcontains(qn_jrun *run, const qn_jv *container, const qn_jv *item, bool *out) {
    *out = false;
    if (container->kind == QN_JV_STRING) {
        size_t at = 0;
        if (item->kind != QN_JV_STRING) {
            return qn_jfail(run, QN_E_FORMAT, "'in' a string needs a string, found '%s'", qn_jv_type(item));
        }
        QN_TRY(qn_jtext_find(run, container->as.s, item->as.s, 0, &at));
        *out = at != SIZE_MAX;
        return QN_OK;
    }
    if (container->kind == QN_JV_DICT) {
        qn_jv *found = NULL;
        QN_TRY(qn_jdict_find(run, container->as.dict, item, &found));
        *out = found != NULL;
        return QN_OK;
    }
    if (container->kind == QN_JV_UNDEFINED) {
        return QN_OK;
    }
    if (!qn_jv_is_list(container)) {
        return qn_jfail(run, QN_E_FORMAT, "nothing is 'in' a value of type '%s'", qn_jv_type(container));
    }
    for (uint64_t i = 0; i < container->as.list->n && !*out; i++) {
        QN_TRY(qn_jv_equal(run, &container->as.list->items[i], item, out));
    }
    return QN_OK;
}

/* ---- subscripts ---- */

static qn_status fail_undefined(const qn_jrun *run, const qn_jv *v, const qn_jv *key) {
    const qn_text name = v->as.s;
    const qn_text what = key->kind == QN_JV_STRING ? key->as.s : (qn_text){"…", 3};
    return qn_jfail(run, QN_E_FORMAT, "'%.*s' is undefined, it has no '%.*s'", (int)(name.len > 60 ? 60 : name.len),
                    name.bytes, (int)(what.len > 60 ? 60 : what.len), what.bytes);
}

static qn_status get_index(qn_jrun *run, const qn_jv *v, int64_t i, qn_jv *out) {
    *out = qn_jv_undefined("an item beyond the end");
    if (qn_jv_is_list(v)) {
        const int64_t n = (int64_t)v->as.list->n;
        i += i < 0 ? n : 0;
        if (i >= 0 && i < n) {
            *out = v->as.list->items[i];
        }
        return QN_OK;
    }
    if (v->kind != QN_JV_STRING) {
        return QN_OK;
    }
    qn_text s = v->as.s;
    QN_TRY(qn_jsteps(run, 1 + s.len / 16));
    i += i < 0 ? (int64_t)qn_jtext_count(s) : 0;
    for (int64_t at = 0; i >= 0 && s.len > 0; at++) {
        const size_t n = qn_jtext_char(s, NULL);
        if (at == i) {
            *out = qn_jv_text(s.bytes, n);
            break;
        }
        s = (qn_text){s.bytes + n, s.len - n};
    }
    return QN_OK;
}

static qn_status make_method(qn_jrun *run, const qn_jv *v, qn_jfunction *call, qn_jv *out) {
    void *method = NULL;
    QN_TRY(qn_jalloc(run, 1, sizeof(qn_jmethod), &method));
    *out = (qn_jv){.kind = QN_JV_METHOD, .as.method = method};
    *out->as.method = (qn_jmethod){*v, call};
    return QN_OK;
}

qn_status qn_jget(qn_jrun *run, const qn_jv *v, const qn_jv *key, qn_jv *out) {
    if (v->kind == QN_JV_UNDEFINED) {
        return fail_undefined(run, v, key);
    }
    if (v->kind == QN_JV_DICT || v->kind == QN_JV_NAMESPACE) {
        qn_jv *found = NULL;
        QN_TRY(qn_jdict_find(run, v->as.dict, key, &found));
        if (found != NULL) {
            *out = *found;
            return QN_OK;
        }
    }
    if (key->kind == QN_JV_INT) {
        return get_index(run, v, key->as.i, out);
    }
    qn_jfunction *call = key->kind == QN_JV_STRING ? qn_jmethod_find(v, key->as.s) : NULL;
    if (call != NULL) {
        return make_method(run, v, call, out);
    }
    *out = key->kind == QN_JV_STRING ? *key : qn_jv_undefined("an item");
    out->kind = QN_JV_UNDEFINED;
    return QN_OK;
}

/* Python's rules for the bounds of a slice of n items. */
static qn_status slice_bounds(qn_jrun *run, const qn_jv *bounds, int64_t n, int64_t *start, int64_t *stop,
                              int64_t *step) {
    int64_t given[3] = {0, 0, 1};
    for (int i = 0; i < 3; i++) {
        if (bounds[i].kind != QN_JV_NONE && !qn_jv_integer(&bounds[i], &given[i])) {
            return qn_jfail(run, QN_E_FORMAT, "a slice needs integers, found '%s'", qn_jv_type(&bounds[i]));
        }
    }
    *step = given[2];
    if (*step == 0) {
        return qn_jfail(run, QN_E_FORMAT, "a slice with a step of 0");
    }
    const int64_t low = *step < 0 ? -1 : 0;
    const int64_t high = *step < 0 ? n - 1 : n;
    int64_t *const ends[2] = {start, stop};
    for (int i = 0; i < 2; i++) {
        int64_t at = given[i];
        if (bounds[i].kind == QN_JV_NONE) {
            at = (i == 0) == (*step < 0) ? high : low;
        } else {
            at += at < 0 ? n : 0;
            at = at < low ? low : at > high ? high : at;
        }
        *ends[i] = at;
    }
    return QN_OK;
}

qn_status qn_jslice(qn_jrun *run, const qn_jv *v, const qn_jv *bounds, qn_jv *out) {
    qn_jlist *items = NULL;
    int64_t start = 0;
    int64_t stop = 0;
    int64_t step = 1;
    qn_buffer b = {0};
    if (v->kind != QN_JV_STRING && !qn_jv_is_list(v)) {
        return qn_jfail(run, QN_E_FORMAT, "a value of type '%s' cannot be sliced", qn_jv_type(v));
    }
    QN_TRY(qn_jv_items(run, v, &items));
    QN_TRY(slice_bounds(run, bounds, (int64_t)items->n, &start, &stop, &step));
    if (v->kind != QN_JV_STRING) {
        QN_TRY(qn_jv_list(run, v->kind, 0, out));
    }
    for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
        if (v->kind == QN_JV_STRING) {
            qn_buffer_append(&b, items->items[i].as.s.bytes, items->items[i].as.s.len);
        } else {
            QN_TRY(qn_jlist_add(run, out->as.list, &items->items[i]));
        }
        if (__builtin_add_overflow(i, step, &i)) {
            break;
        }
    }
    return v->kind == QN_JV_STRING ? qn_jv_take(run, &b, out) : QN_OK;
}
