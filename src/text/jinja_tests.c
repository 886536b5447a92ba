/* SPDX-License-Identifier: MIT */
/* jinja_tests.c: the tests of templates, what stands behind `is`. Names and meanings are Jinja 2's. */
#include "text/jinja_parts.h"

#include <string.h>

static qn_status answer(qn_jrun *run, const qn_jargs *args, bool verdict, qn_jv *out) {
    QN_TRY(qn_jbind(run, args, "a test", "|", out));
    *out = qn_jv_bool(verdict);
    return QN_OK;
}

/* A test that looks at nothing but the value. */
#define PLAIN_TEST(name, verdict)                                                                   \
    static qn_status test_##name(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) { \
        return answer(run, args, (verdict), out);                                                   \
    }

PLAIN_TEST(defined, in->kind != QN_JV_UNDEFINED)
PLAIN_TEST(undefined, in->kind == QN_JV_UNDEFINED)
PLAIN_TEST(none, in->kind == QN_JV_NONE)
PLAIN_TEST(string, in->kind == QN_JV_STRING)
PLAIN_TEST(boolean, in->kind == QN_JV_BOOL)
PLAIN_TEST(true, in->kind == QN_JV_BOOL && in->as.b)
PLAIN_TEST(false, in->kind == QN_JV_BOOL && !in->as.b)
PLAIN_TEST(integer, in->kind == QN_JV_INT)
PLAIN_TEST(float, in->kind == QN_JV_FLOAT)
PLAIN_TEST(number, in->kind == QN_JV_BOOL || in->kind == QN_JV_INT || in->kind == QN_JV_FLOAT)
PLAIN_TEST(mapping, in->kind == QN_JV_DICT)
PLAIN_TEST(iterable,
           qn_jv_is_list(in) || in->kind == QN_JV_STRING || in->kind == QN_JV_DICT || in->kind == QN_JV_UNDEFINED)
PLAIN_TEST(callable, in->kind == QN_JV_FUNCTION || in->kind == QN_JV_METHOD || in->kind == QN_JV_MACRO)

static qn_status remainder_of(qn_jrun *run, const qn_jv *in, int64_t by, int64_t *out) {
    int64_t i = 0;
    if (!qn_jv_integer(in, &i) || by == 0) {
        return qn_jfail(run, QN_E_FORMAT, "a value of type '%s' cannot be divided so", qn_jv_type(in));
    }
    *out = by == -1 ? 0 : i % by;
    return QN_OK;
}

static qn_status test_odd(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    int64_t r = 0;
    QN_TRY(remainder_of(run, in, 2, &r));
    return answer(run, args, r != 0, out);
}

static qn_status test_even(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    int64_t r = 0;
    QN_TRY(remainder_of(run, in, 2, &r));
    return answer(run, args, r == 0, out);
}

static qn_status test_divisibleby(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv by;
    int64_t n = 0;
    int64_t r = 0;
    QN_TRY(qn_jbind(run, args, "divisibleby", "num", &by));
    (void)qn_jv_integer(&by, &n);
    QN_TRY(remainder_of(run, in, n, &r));
    *out = qn_jv_bool(r == 0);
    return QN_OK;
}

static qn_status is_in_case(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jcase how, qn_jv *out) {
    qn_jv text;
    qn_jv changed;
    bool is_equal = false;
    bool has_case = false;
    qn_jv other;
    QN_TRY(qn_jv_string(run, in, &text));
    QN_TRY(qn_jtext_case(run, text.as.s, how, &changed));
    QN_TRY(qn_jtext_case(run, text.as.s, how == QN_JCASE_LOWER ? QN_JCASE_UPPER : QN_JCASE_LOWER, &other));
    QN_TRY(qn_jv_equal(run, &text, &changed, &is_equal));
    QN_TRY(qn_jv_equal(run, &changed, &other, &has_case));
    return answer(run, args, is_equal && !has_case, out);
}

static qn_status test_lower(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return is_in_case(run, in, args, QN_JCASE_LOWER, out);
}

static qn_status test_upper(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    return is_in_case(run, in, args, QN_JCASE_UPPER, out);
}

static qn_status test_eq(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv other;
    bool is_equal = false;
    QN_TRY(qn_jbind(run, args, "eq", "other", &other));
    QN_TRY(qn_jv_equal(run, in, &other, &is_equal));
    *out = qn_jv_bool(is_equal);
    return QN_OK;
}

static qn_status test_ne(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    QN_TRY(test_eq(run, in, args, out));
    out->as.b = !out->as.b;
    return QN_OK;
}

static qn_status test_sameas(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv other;
    QN_TRY(qn_jbind(run, args, "sameas", "other", &other));
    QN_TRY(test_eq(run, in, args, out));
    out->as.b = out->as.b && in->kind == other.kind;
    return QN_OK;
}

static qn_status order_of(qn_jrun *run, const qn_jv *in, const qn_jargs *args, int *order) {
    qn_jv other;
    QN_TRY(qn_jbind(run, args, "a comparison", "other", &other));
    return qn_jv_compare(run, in, &other, false, order);
}

#define ORDER_TEST(name, verdict)                                                                   \
    static qn_status test_##name(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) { \
        int order = 0;                                                                              \
        QN_TRY(order_of(run, in, args, &order));                                                    \
        *out = qn_jv_bool(verdict);                                                                 \
        return QN_OK;                                                                               \
    }

ORDER_TEST(lt, order < 0)
ORDER_TEST(le, order <= 0)
ORDER_TEST(gt, order > 0)
ORDER_TEST(ge, order >= 0)

static qn_status test_in(qn_jrun *run, const qn_jv *in, const qn_jargs *args, qn_jv *out) {
    qn_jv container;
    bool is_in = false;
    QN_TRY(qn_jbind(run, args, "in", "seq", &container));
    QN_TRY(qn_jcontains(run, &container, in, &is_in));
    *out = qn_jv_bool(is_in);
    return QN_OK;
}

static const qn_jentry tests[] = {
    {"!=", test_ne},
    {"<", test_lt},
    {"<=", test_le},
    {"==", test_eq},
    {">", test_gt},
    {">=", test_ge},
    {"boolean", test_boolean},
    {"callable", test_callable},
    {"defined", test_defined},
    {"divisibleby", test_divisibleby},
    {"eq", test_eq},
    {"equalto", test_eq},
    {"even", test_even},
    {"false", test_false},
    {"float", test_float},
    {"ge", test_ge},
    {"greaterthan", test_gt},
    {"gt", test_gt},
    {"in", test_in},
    {"integer", test_integer},
    {"iterable", test_iterable},
    {"le", test_le},
    {"lessthan", test_lt},
    {"lower", test_lower},
    {"lt", test_lt},
    {"mapping", test_mapping},
    {"ne", test_ne},
    {"none", test_none},
    {"number", test_number},
    {"odd", test_odd},
    {"sameas", test_sameas},
    {"sequence", test_iterable},
    {"string", test_string},
    {"true", test_true},
    {"undefined", test_undefined},
    {"upper", test_upper},
    {NULL, NULL},
};

qn_jfunction *qn_jtest_find(qn_text name) {
    return qn_jentry_find(tests, name);
}
