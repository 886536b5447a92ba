/* SPDX-License-Identifier: MIT */
/* jinja_eval.c: evaluates the expressions of a template. */
#include "text/jinja_parts.h"

#include <string.h>

/* ---- arguments and calls ---- */

static qn_status add_named(qn_jrun *run, qn_jargs *args, qn_text name, const qn_jv *value) {
    void *named = NULL;
    if ((args->n_named & (args->n_named + 1)) == 0) { /* full at 0, 1, 3, 7, … */
        QN_TRY(qn_jalloc(run, args->n_named * 2 + 1, sizeof(qn_jnamed), &named));
        if (args->n_named > 0) {
            memcpy(named, args->named, (size_t)args->n_named * sizeof *args->named);
        }
        args->named = named;
    }
    args->named[args->n_named++] = (qn_jnamed){name, *value};
    return QN_OK;
}

static qn_status add_all_named(qn_jrun *run, qn_jargs *args, const qn_jv *v) {
    if (v->kind != QN_JV_DICT) {
        return qn_jfail(run, QN_E_FORMAT, "** needs a dict, found '%s'", qn_jv_type(v));
    }
    for (uint64_t i = 0; i < v->as.dict->n; i++) {
        const qn_jpair *pair = &v->as.dict->pairs[i];
        if (pair->key.kind != QN_JV_STRING) {
            return qn_jfail(run, QN_E_FORMAT, "** needs strings for keys");
        }
        QN_TRY(add_named(run, args, pair->key.as.s, &pair->value));
    }
    return QN_OK;
}

qn_status qn_jeval_args(qn_jrun *run, const qn_jnode *node, const qn_jv *caller, qn_jargs *out) {
    qn_jv list;
    *out = (qn_jargs){0};
    QN_TRY(qn_jv_list(run, QN_JV_LIST, node->n, &list));
    for (uint64_t i = 0; i < node->n; i++) {
        const qn_jnode *item = node->items[i];
        const bool is_wrapped = item->kind == QN_JN_KEYWORD || item->kind == QN_JN_STAR ||
            item->kind == QN_JN_STAR_STAR;
        qn_jv value;
        QN_TRY(qn_jeval(run, is_wrapped ? item->a : item, &value));
        if (item->kind == QN_JN_KEYWORD) {
            QN_TRY(add_named(run, out, item->name, &value));
        } else if (item->kind == QN_JN_STAR_STAR) {
            QN_TRY(add_all_named(run, out, &value));
        } else if (item->kind == QN_JN_STAR) {
            qn_jlist *items = NULL;
            QN_TRY(qn_jv_items(run, &value, &items));
            for (uint64_t j = 0; j < items->n; j++) {
                QN_TRY(qn_jlist_add(run, list.as.list, &items->items[j]));
            }
        } else {
            QN_TRY(qn_jlist_add(run, list.as.list, &value));
        }
    }
    if (caller != NULL) {
        QN_TRY(add_named(run, out, qn_text_of("caller"), caller));
    }
    out->items = list.as.list->items;
    out->n = list.as.list->n;
    return QN_OK;
}

qn_status qn_jcall(qn_jrun *run, const qn_jv *callee, const qn_jargs *args, qn_jv *out) {
    const qn_jv nothing = qn_jv_undefined("");
    switch (callee->kind) {
    case QN_JV_FUNCTION: return callee->as.function(run, &nothing, args, out);
    case QN_JV_METHOD: return callee->as.method->call(run, &callee->as.method->self, args, out);
    case QN_JV_MACRO: return qn_jcall_macro(run, callee->as.macro, args, out);
    case QN_JV_UNDEFINED:
        return qn_jfail(run, QN_E_FORMAT, "'%.*s' is undefined, it cannot be called",
                        (int)(callee->as.s.len > 60 ? 60 : callee->as.s.len), callee->as.s.bytes);
    default: return qn_jfail(run, QN_E_FORMAT, "a value of type '%s' cannot be called", qn_jv_type(callee));
    }
}

/* What is called: of a dict, a method wins over a key of its name ("items"), as in Python. */
static qn_status eval_callee(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    if (node->kind != QN_JN_ATTR) {
        return qn_jeval(run, node, out);
    }
    qn_jv object;
    QN_TRY(qn_jeval(run, node->a, &object));
    run->pos = node->pos;
    qn_jfunction *call = object.kind == QN_JV_DICT ? qn_jmethod_find(&object, node->name) : NULL;
    if (call != NULL) {
        void *method = NULL;
        QN_TRY(qn_jalloc(run, 1, sizeof(qn_jmethod), &method));
        *out = (qn_jv){.kind = QN_JV_METHOD, .as.method = method};
        *out->as.method = (qn_jmethod){object, call};
        return QN_OK;
    }
    const qn_jv key = qn_jv_text(node->name.bytes, node->name.len);
    return qn_jget(run, &object, &key, out);
}

static qn_status eval_call(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    qn_jv callee;
    qn_jargs args;
    QN_TRY(eval_callee(run, node->a, &callee));
    QN_TRY(qn_jeval_args(run, node, NULL, &args));
    run->pos = node->a->pos;
    return qn_jcall(run, &callee, &args, out);
}

/* ---- filters and tests ---- */

static qn_status apply(qn_jrun *run, const qn_jnode *node, const qn_jv *input, qn_jv *out) {
    qn_jargs args;
    QN_TRY(qn_jeval_args(run, node, NULL, &args));
    run->pos = node->pos;
    if (node->function == NULL) {
        return qn_jfail(run, QN_E_FORMAT, "an unknown %s: %.*s", node->kind == QN_JN_TEST ? "test" : "filter",
                        (int)(node->name.len > 60 ? 60 : node->name.len), node->name.bytes);
    }
    return node->function(run, input, &args, out);
}

qn_status qn_jeval_filters(qn_jrun *run, const qn_jnode *node, const qn_jv *input, qn_jv *out) {
    qn_jv value = *input;
    QN_TRY(qn_jenter(run));
    if (node->a != NULL) {
        QN_TRY(qn_jeval_filters(run, node->a, input, &value));
    }
    run->depth--;
    return apply(run, node, &value, out);
}

static qn_status eval_filter(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    qn_jv value;
    QN_TRY(qn_jeval(run, node->a, &value));
    return apply(run, node, &value, out);
}

static qn_status eval_test(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    QN_TRY(eval_filter(run, node, out));
    *out = qn_jv_bool(qn_jv_truth(out) == (node->op == 0));
    return QN_OK;
}

/* ---- values ---- */

static qn_status eval_list(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    qn_jv list;
    QN_TRY(qn_jv_list(run, node->kind == QN_JN_TUPLE ? QN_JV_TUPLE : QN_JV_LIST, node->n, &list));
    for (uint64_t i = 0; i < node->n; i++) {
        qn_jv item;
        QN_TRY(qn_jeval(run, node->items[i], &item));
        QN_TRY(qn_jlist_add(run, list.as.list, &item));
    }
    *out = list;
    return QN_OK;
}

static qn_status eval_dict(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    qn_jv dict;
    QN_TRY(qn_jv_dict(run, QN_JV_DICT, &dict));
    for (uint64_t i = 0; i + 1 < node->n; i += 2) {
        qn_jv key;
        qn_jv value;
        QN_TRY(qn_jeval(run, node->items[i], &key));
        QN_TRY(qn_jeval(run, node->items[i + 1], &value));
        QN_TRY(qn_jdict_set(run, dict.as.dict, &key, &value));
    }
    *out = dict;
    return QN_OK;
}

static qn_status eval_attribute(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    qn_jv object;
    const qn_jv key = qn_jv_text(node->name.bytes, node->name.len);
    QN_TRY(qn_jeval(run, node->a, &object));
    run->pos = node->pos;
    return qn_jget(run, &object, &key, out);
}

static qn_status eval_index(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    qn_jv object;
    qn_jv key;
    QN_TRY(qn_jeval(run, node->a, &object));
    QN_TRY(qn_jeval(run, node->b, &key));
    run->pos = node->pos;
    return qn_jget(run, &object, &key, out);
}

static qn_status eval_slice(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    qn_jv object;
    qn_jv bounds[3] = {qn_jv_none(), qn_jv_none(), qn_jv_none()};
    QN_TRY(qn_jeval(run, node->a, &object));
    for (int i = 0; i < 3; i++) {
        if (node->items[i] != NULL) {
            QN_TRY(qn_jeval(run, node->items[i], &bounds[i]));
        }
    }
    run->pos = node->pos;
    return qn_jslice(run, &object, bounds, out);
}

/* ---- operators ---- */

static qn_status eval_unary(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    qn_jv v;
    const qn_jv zero = qn_jv_int(0);
    QN_TRY(qn_jeval(run, node->a, &v));
    run->pos = node->pos;
    if (v.kind == QN_JV_FLOAT) {
        *out = qn_jv_float(node->op == '-' ? -v.as.f : v.as.f);
        return QN_OK;
    }
    if (v.kind != QN_JV_INT && v.kind != QN_JV_BOOL) {
        return qn_jfail(run, QN_E_FORMAT, "a sign needs a number, found '%s'", qn_jv_type(&v));
    }
    return qn_joperate(run, node->op, &zero, &v, out);
}

static qn_status eval_binary(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    qn_jv a;
    qn_jv b;
    QN_TRY(qn_jeval(run, node->a, &a));
    QN_TRY(qn_jeval(run, node->b, &b));
    run->pos = node->pos;
    return qn_joperate(run, node->op, &a, &b, out);
}

/* and, or: the operand that decides. */
static qn_status eval_logic(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    QN_TRY(qn_jeval(run, node->a, out));
    return qn_jv_truth(out) == (node->kind == QN_JN_AND) ? qn_jeval(run, node->b, out) : QN_OK;
}

static qn_status compare_two(qn_jrun *run, uint32_t op, const qn_jv *a, const qn_jv *b, bool *out) {
    int order = 0;
    if (op == 'i' || op == 'n') {
        QN_TRY(qn_jcontains(run, b, a, out));
        *out = *out == (op == 'i');
        return QN_OK;
    }
    if (op == QN_JOP2('=', '=') || op == QN_JOP2('!', '=')) {
        QN_TRY(qn_jv_equal(run, a, b, out));
        *out = *out == (op == QN_JOP2('=', '='));
        return QN_OK;
    }
    QN_TRY(qn_jv_compare(run, a, b, false, &order));
    *out = op == '<' ? order < 0 : op == '>' ? order > 0 : op == QN_JOP2('<', '=') ? order <= 0 : order >= 0;
    return QN_OK;
}

static qn_status eval_comparison(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    qn_jv left;
    bool holds = true;
    QN_TRY(qn_jeval(run, node->a, &left));
    for (uint64_t i = 0; i < node->n && holds; i++) {
        qn_jv right;
        QN_TRY(qn_jeval(run, node->items[i]->a, &right));
        run->pos = node->items[i]->pos;
        QN_TRY(compare_two(run, node->items[i]->op, &left, &right, &holds));
        left = right;
    }
    *out = qn_jv_bool(holds);
    return QN_OK;
}

static qn_status eval_condition(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    qn_jv condition;
    QN_TRY(qn_jeval(run, node->b, &condition));
    if (qn_jv_truth(&condition)) {
        return qn_jeval(run, node->a, out);
    }
    *out = qn_jv_undefined("what an if without else leaves");
    return node->c == NULL ? QN_OK : qn_jeval(run, node->c, out);
}

static qn_status eval_not(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    qn_jv v;
    QN_TRY(qn_jeval(run, node->a, &v));
    *out = qn_jv_bool(!qn_jv_truth(&v));
    return QN_OK;
}

static qn_status eval_any(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    switch (node->kind) {
    case QN_JN_CONST: *out = node->value; return QN_OK;
    case QN_JN_NAME: return qn_jlookup(run, node->name, out);
    case QN_JN_LIST:
    case QN_JN_TUPLE: return eval_list(run, node, out);
    case QN_JN_DICT: return eval_dict(run, node, out);
    case QN_JN_ATTR: return eval_attribute(run, node, out);
    case QN_JN_INDEX: return eval_index(run, node, out);
    case QN_JN_SLICE: return eval_slice(run, node, out);
    case QN_JN_CALL: return eval_call(run, node, out);
    case QN_JN_FILTER: return eval_filter(run, node, out);
    case QN_JN_TEST: return eval_test(run, node, out);
    case QN_JN_UNARY: return eval_unary(run, node, out);
    case QN_JN_NOT: return eval_not(run, node, out);
    case QN_JN_BINARY: return eval_binary(run, node, out);
    case QN_JN_AND:
    case QN_JN_OR: return eval_logic(run, node, out);
    case QN_JN_COMPARE: return eval_comparison(run, node, out);
    case QN_JN_COND: return eval_condition(run, node, out);
    default: return qn_jfail(run, QN_E_INTERNAL, "a node of kind %d is no expression", (int)node->kind);
    }
}

qn_status qn_jeval(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    run->pos = node->pos;
    QN_TRY(qn_jsteps(run, 1));
    QN_TRY(qn_jenter(run));
    QN_TRY(eval_any(run, node, out));
    run->depth--;
    return QN_OK;
}
