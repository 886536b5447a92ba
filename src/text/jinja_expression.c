/* SPDX-License-Identifier: MIT */
/* jinja_expression.c: parses expressions of templates, by precedence:
 *
 *   a if b else c   or   and   not   == != < <= > >= in   + -   ~   * / // %   **   unary - +   . [] () | is
 */
#include "text/jinja_parts.h"

#include <string.h>

static qn_status parse_unary(qn_jparser *p, bool with_filters, qn_jnode **out);

static qn_status make(const qn_jparser *p, qn_jnode_kind kind, uint32_t pos, qn_jnode *a, qn_jnode **out) {
    QN_TRY(qn_jnode_new(p, kind, out));
    (*out)->pos = pos;
    (*out)->a = a;
    return QN_OK;
}

static bool take_operator(qn_jparser *p, uint32_t op) {
    const bool is_it = qn_jparse_is(p, op);
    p->at += is_it ? 1 : 0;
    return is_it;
}

static bool take_name(qn_jparser *p, const char *name) {
    const bool is_it = qn_jparse_is_name(p, name);
    p->at += is_it ? 1 : 0;
    return is_it;
}

/* ---- values ---- */

static qn_status parse_strings(qn_jparser *p, qn_jnode *node) {
    qn_text all = p->at->text;
    p->at++;
    while (p->at->kind == QN_JT_STRING) {
        const size_t n = all.len + p->at->text.len;
        char *joined = qn_arena_array(p->jinja->arena, n + 1, 1);
        if (joined == NULL) {
            return qn_fail_nomem(p->err, "template string", n);
        }
        memcpy(joined, all.bytes, all.len);
        if (p->at->text.len > 0) {
            memcpy(joined + all.len, p->at->text.bytes, p->at->text.len);
        }
        all = (qn_text){joined, n};
        p->at++;
    }
    node->value = qn_jv_text(all.bytes, all.len);
    return QN_OK;
}

static qn_status parse_name(qn_jparser *p, qn_jnode *node) {
    static const struct {
        const char *name;
        qn_jv_kind kind;
        bool b;
    } words[] = {{"true", QN_JV_BOOL, true},   {"True", QN_JV_BOOL, true},  {"false", QN_JV_BOOL, false},
                 {"False", QN_JV_BOOL, false}, {"none", QN_JV_NONE, false}, {"None", QN_JV_NONE, false}};
    node->name = p->at->text;
    p->specials |= qn_jspecial_of(node->name);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        if (qn_text_is(node->name, words[i].name)) {
            node->kind = QN_JN_CONST;
            node->value = words[i].kind == QN_JV_NONE ? qn_jv_none() : qn_jv_bool(words[i].b);
        }
    }
    p->at++;
    return QN_OK;
}

/* Items up to a closing bracket. */
static qn_status parse_list(qn_jparser *p, qn_jnode *node) {
    QN_TRY(qn_jparse_expect(p, '[', "a list"));
    while (!qn_jparse_is(p, ']')) {
        qn_jnode *item = NULL;
        QN_TRY(qn_jparse_expression(p, true, &item));
        QN_TRY(qn_jnode_add(p, node, item));
        if (!take_operator(p, ',')) {
            break;
        }
    }
    return qn_jparse_expect(p, ']', "the list's end");
}

static qn_status parse_dict(qn_jparser *p, qn_jnode *node) {
    QN_TRY(qn_jparse_expect(p, '{', "a dict"));
    while (!qn_jparse_is(p, '}')) {
        qn_jnode *key = NULL;
        qn_jnode *value = NULL;
        QN_TRY(qn_jparse_expression(p, true, &key));
        QN_TRY(qn_jparse_expect(p, ':', "a key's value"));
        QN_TRY(qn_jparse_expression(p, true, &value));
        QN_TRY(qn_jnode_add(p, node, key));
        QN_TRY(qn_jnode_add(p, node, value));
        if (!take_operator(p, ',')) {
            break;
        }
    }
    return qn_jparse_expect(p, '}', "the dict's end");
}

static qn_status parse_group(qn_jparser *p, qn_jnode **out) {
    p->at++;
    if (qn_jparse_is(p, ')')) {
        QN_TRY(qn_jnode_new(p, QN_JN_TUPLE, out));
    } else {
        QN_TRY(qn_jparse_tuple(p, true, out));
    }
    return qn_jparse_expect(p, ')', "the closing parenthesis");
}

static qn_status parse_primary(qn_jparser *p, qn_jnode **out) {
    if (qn_jparse_is(p, '(')) {
        return parse_group(p, out);
    }
    QN_TRY(qn_jnode_new(p, QN_JN_CONST, out));
    qn_jnode *node = *out;
    switch (p->at->kind) {
    case QN_JT_STRING: return parse_strings(p, node);
    case QN_JT_INT: node->value = qn_jv_int((p->at++)->i); return QN_OK;
    case QN_JT_FLOAT: node->value = qn_jv_float((p->at++)->f); return QN_OK;
    case QN_JT_NAME: node->kind = QN_JN_NAME; return parse_name(p, node);
    default: break;
    }
    if (qn_jparse_is(p, '[')) {
        node->kind = QN_JN_LIST;
        return parse_list(p, node);
    }
    if (qn_jparse_is(p, '{')) {
        node->kind = QN_JN_DICT;
        return parse_dict(p, node);
    }
    return qn_jparse_fail(p, QN_E_FORMAT, "expected an expression");
}

/* ---- what follows a value ---- */

static qn_status parse_argument(qn_jparser *p, qn_jnode **out) {
    const qn_jtoken *at = p->at;
    if (take_operator(p, QN_JOP2('*', '*'))) {
        QN_TRY(make(p, QN_JN_STAR_STAR, at->pos, NULL, out));
    } else if (take_operator(p, '*')) {
        QN_TRY(make(p, QN_JN_STAR, at->pos, NULL, out));
    } else if (at->kind == QN_JT_NAME && at[1].kind == QN_JT_OPERATOR && at[1].op == '=') {
        QN_TRY(make(p, QN_JN_KEYWORD, at->pos, NULL, out));
        (*out)->name = at->text;
        p->at += 2;
    } else {
        return qn_jparse_expression(p, true, out);
    }
    return qn_jparse_expression(p, true, &(*out)->a);
}

/* Arguments in parentheses become the items of node. */
static qn_status parse_arguments(qn_jparser *p, qn_jnode *node) {
    QN_TRY(qn_jparse_expect(p, '(', "arguments"));
    while (!qn_jparse_is(p, ')')) {
        qn_jnode *item = NULL;
        QN_TRY(parse_argument(p, &item));
        const bool is_plain = item->kind != QN_JN_KEYWORD && item->kind != QN_JN_STAR_STAR && item->kind != QN_JN_STAR;
        if (is_plain && node->n > 0 && node->items[node->n - 1]->kind == QN_JN_KEYWORD) {
            return qn_jparse_fail(p, QN_E_FORMAT, "an argument without a name behind one with a name");
        }
        QN_TRY(qn_jnode_add(p, node, item));
        if (!take_operator(p, ',')) {
            break;
        }
    }
    return qn_jparse_expect(p, ')', "the end of the arguments");
}

/* [key], [a, b] or [start:stop:step], its bracket passed. */
static qn_status parse_subscript(qn_jparser *p, qn_jnode *object, uint32_t pos, qn_jnode **out) {
    qn_jnode *parts[3] = {NULL, NULL, NULL};
    int n_colons = 0;
    while (!qn_jparse_is(p, ']')) {
        if (take_operator(p, ':')) {
            if (++n_colons > 2) {
                return qn_jparse_fail(p, QN_E_FORMAT, "a slice has at most two colons");
            }
        } else if (parts[n_colons] == NULL && n_colons == 0) {
            QN_TRY(qn_jparse_tuple(p, true, &parts[0]));
        } else if (parts[n_colons] == NULL) {
            QN_TRY(qn_jparse_expression(p, true, &parts[n_colons]));
        } else {
            break;
        }
    }
    QN_TRY(qn_jparse_expect(p, ']', "the end of the subscript"));
    if (n_colons == 0) {
        if (parts[0] == NULL) {
            return qn_jparse_fail(p, QN_E_FORMAT, "an empty subscript");
        }
        QN_TRY(make(p, QN_JN_INDEX, pos, object, out));
        (*out)->b = parts[0];
        return QN_OK;
    }
    QN_TRY(make(p, QN_JN_SLICE, pos, object, out));
    for (int i = 0; i < 3; i++) {
        QN_TRY(qn_jnode_add(p, *out, parts[i]));
    }
    return QN_OK;
}

static qn_status parse_attribute(qn_jparser *p, qn_jnode *object, uint32_t pos, qn_jnode **out) {
    if (p->at->kind == QN_JT_INT) {
        QN_TRY(make(p, QN_JN_INDEX, pos, object, out));
        QN_TRY(qn_jnode_new(p, QN_JN_CONST, &(*out)->b));
        (*out)->b->value = qn_jv_int((p->at++)->i);
        return QN_OK;
    }
    if (p->at->kind != QN_JT_NAME) {
        return qn_jparse_fail(p, QN_E_FORMAT, "expected an attribute's name behind the dot");
    }
    QN_TRY(make(p, QN_JN_ATTR, pos, object, out));
    (*out)->name = (p->at++)->text;
    return QN_OK;
}

/* .name, [key] and (arguments), as many as there are. */
static qn_status parse_postfix(qn_jparser *p, qn_jnode **node) {
    for (;;) {
        const uint32_t pos = p->at->pos;
        if (take_operator(p, '.')) {
            QN_TRY(parse_attribute(p, *node, pos, node));
        } else if (take_operator(p, '[')) {
            QN_TRY(parse_subscript(p, *node, pos, node));
        } else if (qn_jparse_is(p, '(')) {
            qn_jnode *call = NULL;
            QN_TRY(make(p, QN_JN_CALL, pos, *node, &call));
            QN_TRY(parse_arguments(p, call));
            *node = call;
        } else {
            return QN_OK;
        }
    }
}

static qn_status parse_filter(qn_jparser *p, qn_jnode **node) {
    qn_jnode *filter = NULL;
    if (p->at->kind != QN_JT_NAME) {
        return qn_jparse_fail(p, QN_E_FORMAT, "expected a filter's name");
    }
    QN_TRY(make(p, QN_JN_FILTER, p->at->pos, *node, &filter));
    filter->name = (p->at++)->text;
    filter->function = qn_jfilter_find(filter->name);
    if (qn_jparse_is(p, '(')) {
        QN_TRY(parse_arguments(p, filter));
    }
    *node = filter;
    return QN_OK;
}

/* A test may have one argument without parentheses: `is divisibleby 3`. */
static bool has_bare_argument(const qn_jparser *p) {
    const qn_jtoken *at = p->at;
    if (at->kind == QN_JT_NAME) {
        return !qn_text_is(at->text, "else") && !qn_text_is(at->text, "or") && !qn_text_is(at->text, "and") &&
            !qn_text_is(at->text, "is") && !qn_text_is(at->text, "if") && !qn_text_is(at->text, "in") &&
            !qn_text_is(at->text, "not");
    }
    return at->kind == QN_JT_STRING || at->kind == QN_JT_INT || at->kind == QN_JT_FLOAT || qn_jparse_is(p, '[') ||
        qn_jparse_is(p, '{');
}

static qn_status parse_test(qn_jparser *p, qn_jnode **node) {
    qn_jnode *test = NULL;
    QN_TRY(make(p, QN_JN_TEST, p->at->pos, *node, &test));
    test->op = take_name(p, "not") ? 1 : 0;
    if (p->at->kind != QN_JT_NAME) {
        return qn_jparse_fail(p, QN_E_FORMAT, "expected a test's name behind 'is'");
    }
    test->pos = p->at->pos;
    test->name = (p->at++)->text;
    test->function = qn_jtest_find(test->name);
    if (qn_jparse_is(p, '(')) {
        QN_TRY(parse_arguments(p, test));
    } else if (has_bare_argument(p)) {
        qn_jnode *argument = NULL;
        QN_TRY(parse_primary(p, &argument));
        QN_TRY(parse_postfix(p, &argument));
        QN_TRY(qn_jnode_add(p, test, argument));
    }
    *node = test;
    return QN_OK;
}

qn_status qn_jparse_filters(qn_jparser *p, qn_jnode *input, bool starts_inline, qn_jnode **out) {
    *out = input;
    if (starts_inline) {
        QN_TRY(parse_filter(p, out));
    }
    while (take_operator(p, '|')) {
        QN_TRY(parse_filter(p, out));
    }
    return QN_OK;
}

static qn_status parse_filters_and_tests(qn_jparser *p, qn_jnode **node) {
    for (;;) {
        if (take_operator(p, '|')) {
            QN_TRY(parse_filter(p, node));
        } else if (take_name(p, "is")) {
            QN_TRY(parse_test(p, node));
        } else if (qn_jparse_is(p, '(')) {
            QN_TRY(parse_postfix(p, node));
        } else {
            return QN_OK;
        }
    }
}

static qn_status parse_unary(qn_jparser *p, bool with_filters, qn_jnode **out) {
    const qn_jtoken *at = p->at;
    QN_TRY(qn_jparse_enter(p));
    if (qn_jparse_is(p, '-') || qn_jparse_is(p, '+')) {
        p->at++;
        QN_TRY(make(p, QN_JN_UNARY, at->pos, NULL, out));
        (*out)->op = at->op;
        QN_TRY(parse_unary(p, false, &(*out)->a));
    } else {
        QN_TRY(parse_primary(p, out));
        QN_TRY(parse_postfix(p, out));
    }
    p->depth--;
    return with_filters ? parse_filters_and_tests(p, out) : QN_OK;
}

/* ---- operators ---- */

typedef struct level {
    uint32_t ops[5]; /* up to a 0 */
} level;

static const level levels[] = {{{'+', '-'}}, {{'~'}}, {{'*', '/', QN_JOP2('/', '/'), '%'}}, {{QN_JOP2('*', '*')}}};
enum { N_LEVELS = sizeof levels / sizeof levels[0] };

static bool is_of_level(const qn_jparser *p, const level *l) {
    for (size_t i = 0; i < 5 && l->ops[i] != 0; i++) {
        if (qn_jparse_is(p, l->ops[i])) {
            return true;
        }
    }
    return false;
}

static qn_status parse_binary(qn_jparser *p, size_t l, qn_jnode **out) {
    if (l == N_LEVELS) {
        return parse_unary(p, true, out);
    }
    QN_TRY(parse_binary(p, l + 1, out));
    while (is_of_level(p, &levels[l])) {
        qn_jnode *node = NULL;
        QN_TRY(make(p, QN_JN_BINARY, p->at->pos, *out, &node));
        node->op = (p->at++)->op;
        QN_TRY(parse_binary(p, l + 1, &node->b));
        *out = node;
    }
    return QN_OK;
}

/* The comparison at the cursor is taken: 'i' stands for in, 'n' for not in; 0 when there is none. */
static uint32_t take_comparison(qn_jparser *p) {
    static const uint32_t ops[] = {
        QN_JOP2('=', '='), QN_JOP2('!', '='), QN_JOP2('<', '='), QN_JOP2('>', '='), '<', '>'};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        if (take_operator(p, ops[i])) {
            return ops[i];
        }
    }
    if (take_name(p, "in")) {
        return 'i';
    }
    if (qn_jparse_is_name(p, "not") && p->at[1].kind == QN_JT_NAME && qn_text_is(p->at[1].text, "in")) {
        p->at += 2;
        return 'n';
    }
    return 0;
}

static qn_status parse_comparison(qn_jparser *p, qn_jnode **out) {
    qn_jnode *chain = NULL;
    QN_TRY(parse_binary(p, 0, out));
    for (;;) {
        qn_jnode *operand = NULL;
        const uint32_t pos = p->at->pos;
        const uint32_t op = take_comparison(p);
        if (op == 0) {
            return QN_OK;
        }
        if (chain == NULL) {
            QN_TRY(make(p, QN_JN_COMPARE, pos, *out, &chain));
            *out = chain;
        }
        QN_TRY(make(p, QN_JN_OPERAND, pos, NULL, &operand));
        operand->op = op;
        QN_TRY(parse_binary(p, 0, &operand->a));
        QN_TRY(qn_jnode_add(p, chain, operand));
    }
}

static qn_status parse_not(qn_jparser *p, qn_jnode **out) {
    const uint32_t pos = p->at->pos;
    if (!take_name(p, "not")) {
        return parse_comparison(p, out);
    }
    QN_TRY(qn_jparse_enter(p));
    QN_TRY(make(p, QN_JN_NOT, pos, NULL, out));
    QN_TRY(parse_not(p, &(*out)->a));
    p->depth--;
    return QN_OK;
}

static qn_status parse_and(qn_jparser *p, qn_jnode **out) {
    QN_TRY(parse_not(p, out));
    for (;;) {
        qn_jnode *node = NULL;
        const uint32_t pos = p->at->pos;
        if (!take_name(p, "and")) {
            return QN_OK;
        }
        QN_TRY(make(p, QN_JN_AND, pos, *out, &node));
        QN_TRY(parse_not(p, &node->b));
        *out = node;
    }
}

static qn_status parse_or(qn_jparser *p, qn_jnode **out) {
    QN_TRY(parse_and(p, out));
    for (;;) {
        qn_jnode *node = NULL;
        const uint32_t pos = p->at->pos;
        if (!take_name(p, "or")) {
            return QN_OK;
        }
        QN_TRY(make(p, QN_JN_OR, pos, *out, &node));
        QN_TRY(parse_and(p, &node->b));
        *out = node;
    }
}

qn_status qn_jparse_expression(qn_jparser *p, bool with_condition, qn_jnode **out) {
    QN_TRY(qn_jparse_enter(p));
    QN_TRY(parse_or(p, out));
    while (with_condition && qn_jparse_is_name(p, "if")) {
        qn_jnode *node = NULL;
        QN_TRY(make(p, QN_JN_COND, p->at->pos, *out, &node));
        p->at++;
        QN_TRY(parse_or(p, &node->b));
        if (take_name(p, "else")) {
            QN_TRY(qn_jparse_expression(p, true, &node->c));
        }
        *out = node;
    }
    p->depth--;
    return QN_OK;
}

/* Whether a tuple may end at the next token, behind a comma. */
static bool is_tuple_end(const qn_jparser *p) {
    return p->at->kind == QN_JT_VAR_END || p->at->kind == QN_JT_BLOCK_END || qn_jparse_is(p, ')') ||
        qn_jparse_is(p, ']') || qn_jparse_is(p, '=') || qn_jparse_is_name(p, "in");
}

typedef qn_status item_fn(qn_jparser *p, bool flag, qn_jnode **out);

/* One item, or a tuple of them where a comma follows. @param flag handed to parse */
static qn_status parse_items(qn_jparser *p, item_fn *parse, bool flag, qn_jnode **out) {
    qn_jnode *tuple = NULL;
    QN_TRY(parse(p, flag, out));
    while (take_operator(p, ',')) {
        qn_jnode *item = NULL;
        if (tuple == NULL) {
            QN_TRY(make(p, QN_JN_TUPLE, (*out)->pos, NULL, &tuple));
            QN_TRY(qn_jnode_add(p, tuple, *out));
            *out = tuple;
        }
        if (is_tuple_end(p)) {
            break;
        }
        QN_TRY(parse(p, flag, &item));
        QN_TRY(qn_jnode_add(p, tuple, item));
    }
    return QN_OK;
}

qn_status qn_jparse_tuple(qn_jparser *p, bool with_condition, qn_jnode **out) {
    return parse_items(p, qn_jparse_expression, with_condition, out);
}

/* ---- targets ---- */

static qn_status parse_one_target(qn_jparser *p, bool with_attributes, qn_jnode **out) {
    if (qn_jparse_is(p, '(')) {
        QN_TRY(qn_jparse_enter(p));
        p->at++;
        QN_TRY(qn_jparse_target(p, false, out));
        p->depth--;
        return qn_jparse_expect(p, ')', "the closing parenthesis");
    }
    if (p->at->kind != QN_JT_NAME) {
        return qn_jparse_fail(p, QN_E_FORMAT, "expected a name to assign to");
    }
    QN_TRY(make(p, QN_JN_NAME, p->at->pos, NULL, out));
    QN_TRY(parse_name(p, *out));
    if ((*out)->kind == QN_JN_CONST) {
        return qn_jparse_fail(p, QN_E_FORMAT, "a constant cannot be assigned to");
    }
    const uint32_t pos = p->at->pos;
    return with_attributes && take_operator(p, '.') ? parse_attribute(p, *out, pos, out) : QN_OK;
}

qn_status qn_jparse_target(qn_jparser *p, bool with_attributes, qn_jnode **out) {
    return parse_items(p, parse_one_target, with_attributes, out);
}
