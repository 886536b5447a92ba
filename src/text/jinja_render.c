/* SPDX-License-Identifier: MIT */
/* jinja_render.c: runs the statements of a template: variables in frames, loops, macros, output. */
#include "text/jinja_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t DEFAULT_STEPS = 20000000;
static const uint64_t DEFAULT_BYTES = 256U << 20;
enum { DEFAULT_DEPTH = 500 };

static qn_status exec(qn_jrun *run, const qn_jnode *node);

/* ---- variables ---- */

static qn_jv *find_in_frame(const qn_jframe *frame, qn_text name) {
    for (uint64_t i = 0; i < frame->n; i++) {
        const qn_text other = frame->vars[i].name;
        if (other.len == name.len && memcmp(other.bytes, name.bytes, name.len) == 0) {
            return &frame->vars[i].value;
        }
    }
    return NULL;
}

qn_status qn_jlookup(qn_jrun *run, qn_text name, qn_jv *out) {
    for (const qn_jframe *frame = run->frame; frame != NULL; frame = frame->parent) {
        const qn_jv *found = find_in_frame(frame, name);
        if (found != NULL) {
            *out = *found;
            return QN_OK;
        }
        QN_TRY(qn_jsteps(run, frame->n / 16));
    }
    qn_jfunction *function = qn_jglobal_find(name);
    *out = (qn_jv){.kind = QN_JV_UNDEFINED, .as.s = name};
    if (function != NULL) {
        *out = (qn_jv){.kind = QN_JV_FUNCTION, .as.function = function};
    }
    return QN_OK;
}

qn_status qn_jassign(qn_jrun *run, qn_jframe *frame, qn_text name, const qn_jv *value) {
    qn_jv *old = find_in_frame(frame, name);
    if (old != NULL) {
        *old = *value;
        return QN_OK;
    }
    if (frame->n == frame->cap) {
        const uint64_t cap = frame->cap == 0 ? 4 : frame->cap * 2;
        void *vars = NULL;
        QN_TRY(qn_jalloc(run, cap, sizeof(qn_jnamed), &vars));
        if (frame->n > 0) {
            memcpy(vars, frame->vars, (size_t)frame->n * sizeof *frame->vars);
        }
        frame->vars = vars;
        frame->cap = cap;
    }
    frame->vars[frame->n++] = (qn_jnamed){name, *value};
    return QN_OK;
}

static qn_status new_frame(qn_jrun *run, qn_jframe *parent, qn_jframe **out) {
    void *frame = NULL;
    QN_TRY(qn_jalloc(run, 1, sizeof **out, &frame));
    *out = frame;
    (*out)->parent = parent;
    return QN_OK;
}

static qn_status assign_attribute(qn_jrun *run, const qn_jnode *target, const qn_jv *value) {
    qn_jv object;
    const qn_jv key = qn_jv_text(target->name.bytes, target->name.len);
    QN_TRY(qn_jeval(run, target->a, &object));
    run->pos = target->pos;
    if (object.kind != QN_JV_NAMESPACE || target->kind != QN_JN_ATTR) {
        return qn_jfail(run, QN_E_FORMAT, "only a namespace takes attributes, found '%s'", qn_jv_type(&object));
    }
    return qn_jdict_set(run, object.as.dict, &key, value);
}

/* Gives a value to a name, an attribute, or its items to a tuple of them. */
static qn_status assign(qn_jrun *run, const qn_jnode *target, const qn_jv *value) {
    qn_jlist *items = NULL;
    if (target->kind == QN_JN_NAME) {
        return qn_jassign(run, run->frame, target->name, value);
    }
    if (target->kind != QN_JN_TUPLE) {
        return assign_attribute(run, target, value);
    }
    run->pos = target->pos;
    QN_TRY(qn_jv_items(run, value, &items));
    if (items->n != target->n) {
        return qn_jfail(run, QN_E_FORMAT, "%llu names cannot take %llu values", (unsigned long long)target->n,
                        (unsigned long long)items->n);
    }
    for (uint64_t i = 0; i < target->n; i++) {
        const qn_jv item = items->items[i];
        QN_TRY(assign(run, target->items[i], &item));
    }
    return QN_OK;
}

/* ---- output ---- */

/* What a body puts out, as a value. */
static qn_status capture(qn_jrun *run, const qn_jnode *body, qn_jv *out) {
    qn_buffer b = {0};
    qn_buffer *outer = run->out;
    run->out = &b;
    const qn_status status = exec(run, body);
    run->out = outer;
    if (status != QN_OK) {
        qn_buffer_clear(&b);
        return status;
    }
    return qn_jv_take(run, &b, out);
}

static qn_status exec_output(qn_jrun *run, const qn_jnode *node) {
    qn_jv v;
    QN_TRY(qn_jeval(run, node->a, &v));
    run->pos = node->pos;
    return qn_jv_print(run, &v, run->out);
}

static qn_status exec_set_block(qn_jrun *run, const qn_jnode *node) {
    qn_jv text;
    qn_jframe *outer = run->frame;
    QN_TRY(new_frame(run, outer, &run->frame));
    QN_TRY(capture(run, node->b, &text));
    run->frame = outer;
    const qn_jv input = text;
    if (node->c != NULL) {
        QN_TRY(qn_jeval_filters(run, node->c, &input, &text));
    }
    return assign(run, node->a, &text);
}

static qn_status exec_filter_block(qn_jrun *run, const qn_jnode *node) {
    qn_jv input;
    qn_jv text;
    qn_jframe *outer = run->frame;
    QN_TRY(new_frame(run, outer, &run->frame));
    QN_TRY(capture(run, node->b, &input));
    run->frame = outer;
    QN_TRY(qn_jeval_filters(run, node->a, &input, &text));
    return qn_jv_print(run, &text, run->out);
}

/* ---- branches and loops ---- */

static qn_status exec_if(qn_jrun *run, const qn_jnode *node) {
    for (uint64_t i = 0; i < node->n; i++) {
        qn_jv condition = qn_jv_bool(true);
        if (node->items[i]->a != NULL) {
            QN_TRY(qn_jeval(run, node->items[i]->a, &condition));
        }
        if (qn_jv_truth(&condition)) {
            return exec(run, node->items[i]->b);
        }
    }
    return QN_OK;
}

static qn_status set_loop(qn_jrun *run, const qn_jlist *items, uint64_t i) {
    qn_jv loop;
    QN_TRY(qn_jv_dict(run, QN_JV_NAMESPACE, &loop));
    qn_jdict *d = loop.as.dict;
    const int64_t n = (int64_t)items->n;
    const int64_t at = (int64_t)i;
    const qn_jv none_before = qn_jv_undefined("loop.previtem of the first item");
    const qn_jv none_behind = qn_jv_undefined("loop.nextitem of the last item");
    QN_TRY(qn_jdict_set_name(run, d, "index", qn_jv_int(at + 1)));
    QN_TRY(qn_jdict_set_name(run, d, "index0", qn_jv_int(at)));
    QN_TRY(qn_jdict_set_name(run, d, "first", qn_jv_bool(at == 0)));
    QN_TRY(qn_jdict_set_name(run, d, "last", qn_jv_bool(at == n - 1)));
    QN_TRY(qn_jdict_set_name(run, d, "length", qn_jv_int(n)));
    QN_TRY(qn_jdict_set_name(run, d, "revindex", qn_jv_int(n - at)));
    QN_TRY(qn_jdict_set_name(run, d, "revindex0", qn_jv_int(n - at - 1)));
    QN_TRY(qn_jdict_set_name(run, d, "depth", qn_jv_int(1)));
    QN_TRY(qn_jdict_set_name(run, d, "previtem", i > 0 ? items->items[i - 1] : none_before));
    QN_TRY(qn_jdict_set_name(run, d, "nextitem", i + 1 < items->n ? items->items[i + 1] : none_behind));
    return qn_jassign(run, run->frame, qn_text_of("loop"), &loop);
}

/* The items that a loop's condition leaves. A copy: the body may change the list. */
static qn_status loop_items(qn_jrun *run, const qn_jnode *node, qn_jlist **out) {
    qn_jv v;
    qn_jv kept;
    qn_jlist *items = NULL;
    QN_TRY(qn_jeval(run, node->b, &v));
    run->pos = node->b->pos;
    QN_TRY(qn_jv_items(run, &v, &items));
    QN_TRY(qn_jv_list(run, QN_JV_LIST, node->c == NULL ? items->n : 0, &kept));
    for (uint64_t i = 0; i < items->n; i++) {
        qn_jv condition = qn_jv_bool(true);
        const qn_jv item = items->items[i];
        if (node->c != NULL) {
            QN_TRY(assign(run, node->a, &item));
            QN_TRY(qn_jeval(run, node->c, &condition));
        }
        if (qn_jv_truth(&condition)) {
            QN_TRY(qn_jlist_add(run, kept.as.list, &item));
        }
    }
    *out = kept.as.list;
    return QN_OK;
}

static qn_status exec_for(qn_jrun *run, const qn_jnode *node) {
    qn_jframe *outer = run->frame;
    qn_jlist *items = NULL;
    QN_TRY(new_frame(run, outer, &run->frame));
    QN_TRY(loop_items(run, node, &items));
    for (uint64_t i = 0; i < items->n; i++) {
        QN_TRY(new_frame(run, outer, &run->frame));
        QN_TRY(set_loop(run, items, i));
        QN_TRY(assign(run, node->a, &items->items[i]));
        QN_TRY(exec(run, node->items[0]));
        const bool ends = run->flow == QN_JFLOW_BREAK;
        run->flow = QN_JFLOW_ON;
        if (ends) {
            break;
        }
    }
    run->frame = outer;
    return items->n == 0 && node->items[1] != NULL ? exec(run, node->items[1]) : QN_OK;
}

static qn_status exec_with(qn_jrun *run, const qn_jnode *node) {
    qn_jframe *outer = run->frame;
    qn_jframe *inner = NULL;
    QN_TRY(new_frame(run, outer, &inner));
    for (uint64_t i = 0; i < node->n; i++) {
        qn_jv v;
        QN_TRY(qn_jeval(run, node->items[i]->b, &v));
        run->frame = inner;
        QN_TRY(assign(run, node->items[i]->a, &v));
        run->frame = outer;
    }
    run->frame = inner;
    QN_TRY(exec(run, node->b));
    run->frame = outer;
    return QN_OK;
}

/* ---- macros ---- */

static qn_status make_macro(qn_jrun *run, const qn_jnode *node, qn_jv *out) {
    void *macro = NULL;
    QN_TRY(qn_jalloc(run, 1, sizeof(qn_jmacro), &macro));
    *out = (qn_jv){.kind = QN_JV_MACRO, .as.macro = macro};
    *out->as.macro = (qn_jmacro){node, run->frame};
    return QN_OK;
}

static qn_status exec_macro(qn_jrun *run, const qn_jnode *node) {
    qn_jv macro;
    QN_TRY(make_macro(run, node, &macro));
    return qn_jassign(run, run->frame, node->name, &macro);
}

static qn_status exec_call_block(qn_jrun *run, const qn_jnode *node) {
    qn_jv caller;
    qn_jv callee;
    qn_jv text;
    qn_jargs args;
    QN_TRY(make_macro(run, node->b, &caller));
    QN_TRY(qn_jeval(run, node->a->a, &callee));
    QN_TRY(qn_jeval_args(run, node->a, &caller, &args));
    run->pos = node->pos;
    QN_TRY(qn_jcall(run, &callee, &args, &text));
    return qn_jv_print(run, &text, run->out);
}

/* The index of a parameter; n of them when there is none of that name. */
static uint64_t find_parameter(const qn_jnode *node, qn_text name) {
    uint64_t i = 0;
    while (i < node->n &&
           (node->items[i]->name.len != name.len || memcmp(node->items[i]->name.bytes, name.bytes, name.len) != 0)) {
        i++;
    }
    return i;
}

/* Whether a macro is given what has this name: when its body reads it, and no parameter is called so. */
static bool is_given(const qn_jnode *node, qn_text name) {
    return (node->op & qn_jspecial_of(name)) != 0 && find_parameter(node, name) == node->n;
}

static qn_status fail_named(const qn_jrun *run, const qn_jnode *node, qn_text name) {
    const qn_text macro = node->name;
    return qn_text_is(name, "caller")
        ? qn_jfail(run, QN_E_FORMAT, "macro '%.*s' is called with a body, and does not call caller()", (int)macro.len,
                   macro.bytes)
        : qn_jfail(run, QN_E_FORMAT, "macro '%.*s' takes no keyword argument '%.*s'", (int)macro.len, macro.bytes,
                   (int)name.len, name.bytes);
}

/* Named arguments: parameters that have no value yet, the caller, and what the body takes as kwargs. */
static qn_status bind_named(qn_jrun *run, const qn_jnode *node, const qn_jargs *args) {
    const bool has_rest = is_given(node, qn_text_of("kwargs"));
    qn_jv rest;
    QN_TRY(qn_jv_dict(run, QN_JV_DICT, &rest));
    for (uint64_t i = 0; i < args->n_named; i++) {
        const qn_jnamed *named = &args->named[i];
        const uint64_t at = find_parameter(node, named->name);
        const bool is_caller = qn_text_is(named->name, "caller") && is_given(node, named->name);
        if ((at < node->n && at >= args->n) || is_caller) {
            QN_TRY(qn_jassign(run, run->frame, named->name, &named->value));
        } else if (has_rest) {
            const qn_jv key = qn_jv_text(named->name.bytes, named->name.len);
            QN_TRY(qn_jdict_set(run, rest.as.dict, &key, &named->value));
        } else {
            return fail_named(run, node, named->name);
        }
    }
    return has_rest ? qn_jassign(run, run->frame, qn_text_of("kwargs"), &rest) : QN_OK;
}

/* Arguments behind the last parameter, where the body takes any. */
static qn_status bind_rest(qn_jrun *run, const qn_jnode *node, const qn_jargs *args) {
    qn_jv rest;
    if (!is_given(node, qn_text_of("varargs"))) {
        return args->n <= node->n
            ? QN_OK
            : qn_jfail(run, QN_E_FORMAT, "macro '%.*s' takes not more than %" PRIu64 " argument(s)",
                       (int)node->name.len, node->name.bytes, node->n);
    }
    QN_TRY(qn_jv_list(run, QN_JV_TUPLE, 0, &rest));
    for (uint64_t i = node->n; i < args->n; i++) {
        QN_TRY(qn_jlist_add(run, rest.as.list, &args->items[i]));
    }
    return qn_jassign(run, run->frame, qn_text_of("varargs"), &rest);
}

static qn_status bind_parameters(qn_jrun *run, const qn_jmacro *macro, const qn_jargs *args) {
    const qn_jnode *node = macro->node;
    QN_TRY(bind_named(run, node, args));
    QN_TRY(bind_rest(run, node, args));
    for (uint64_t i = 0; i < node->n; i++) {
        const qn_jnode *param = node->items[i];
        qn_jv value = {.kind = QN_JV_UNDEFINED, .as.s = param->name};
        if (i < args->n) {
            value = args->items[i];
        } else if (find_in_frame(run->frame, param->name) != NULL) {
            continue;
        } else if (param->a != NULL) {
            QN_TRY(qn_jeval(run, param->a, &value));
        }
        QN_TRY(qn_jassign(run, run->frame, param->name, &value));
    }
    return QN_OK;
}

qn_status qn_jcall_macro(qn_jrun *run, const qn_jmacro *macro, const qn_jargs *args, qn_jv *out) {
    qn_jframe *outer = run->frame;
    QN_TRY(new_frame(run, macro->frame, &run->frame));
    QN_TRY(bind_parameters(run, macro, args));
    QN_TRY(capture(run, macro->node->b, out));
    run->frame = outer;
    run->flow = QN_JFLOW_ON;
    return QN_OK;
}

/* ---- statements ---- */

static qn_status exec_body(qn_jrun *run, const qn_jnode *node) {
    for (uint64_t i = 0; i < node->n && run->flow == QN_JFLOW_ON; i++) {
        QN_TRY(exec(run, node->items[i]));
    }
    return QN_OK;
}

static qn_status exec_set(qn_jrun *run, const qn_jnode *node) {
    qn_jv v;
    QN_TRY(qn_jeval(run, node->b, &v));
    return assign(run, node->a, &v);
}

static qn_status exec_any(qn_jrun *run, const qn_jnode *node) {
    switch (node->kind) {
    case QN_JN_DATA:
        QN_TRY(qn_jcharge(run, node->name.len));
        qn_buffer_append(run->out, node->name.bytes, node->name.len);
        return QN_OK;
    case QN_JN_OUTPUT: return exec_output(run, node);
    case QN_JN_BODY: return exec_body(run, node);
    case QN_JN_IF: return exec_if(run, node);
    case QN_JN_FOR: return exec_for(run, node);
    case QN_JN_SET: return exec_set(run, node);
    case QN_JN_SET_BLOCK: return exec_set_block(run, node);
    case QN_JN_MACRO: return exec_macro(run, node);
    case QN_JN_CALL_BLOCK: return exec_call_block(run, node);
    case QN_JN_FILTER_BLOCK: return exec_filter_block(run, node);
    case QN_JN_WITH: return exec_with(run, node);
    case QN_JN_BREAK: run->flow = QN_JFLOW_BREAK; return QN_OK;
    case QN_JN_CONTINUE: run->flow = QN_JFLOW_CONTINUE; return QN_OK;
    default: return qn_jfail(run, QN_E_INTERNAL, "a node of kind %d is no statement", (int)node->kind);
    }
}

static qn_status exec(qn_jrun *run, const qn_jnode *node) {
    run->pos = node->pos;
    QN_TRY(qn_jsteps(run, 1));
    QN_TRY(qn_jenter(run));
    QN_TRY(exec_any(run, node));
    run->depth--;
    return QN_OK;
}

/* ---- a rendering ---- */

static qn_status set_variables(qn_jrun *run, const json_t *context) {
    for (void *at = json_object_iter((json_t *)(uintptr_t)context); at != NULL; /* Jansson's iterator is not const */
         at = json_object_iter_next((json_t *)(uintptr_t)context, at)) {
        qn_jv v;
        const char *key = json_object_iter_key(at);
        QN_TRY(qn_jv_from_json(run, json_object_iter_value(at), &v));
        QN_TRY(qn_jassign(run, run->root, qn_text_of(key), &v));
    }
    return QN_OK;
}

static qn_status run_template(qn_jrun *run, const json_t *context) {
    QN_TRY(new_frame(run, NULL, &run->root));
    run->frame = run->root;
    QN_TRY(set_variables(run, context));
    QN_TRY(new_frame(run, run->root, &run->frame));
    run->root = run->frame;
    QN_TRY(exec(run, run->jinja->body));
    return qn_buffer_status(run->out, run->err);
}

qn_status qn_jinja_render(const qn_jinja *jinja, const json_t *context, const qn_jinja_limits *limits, qn_buffer *out,
                          qn_error *err) {
    static const qn_jinja_limits none = {0};
    const qn_jinja_limits *l = limits == NULL ? &none : limits;
    qn_error local;
    qn_jrun run = {.jinja = jinja, .where = l->where == NULL ? "chat template" : l->where, .out = out};
    if (!json_is_object(context)) {
        return qn_fail(err, QN_E_USAGE, "%s: the context must be an object", run.where);
    }
    run.err = err == NULL ? &local : err;
    run.steps_left = l->max_steps == 0 ? DEFAULT_STEPS : l->max_steps;
    run.bytes_left = l->max_bytes == 0 ? DEFAULT_BYTES : l->max_bytes;
    run.max_depth = l->max_depth == 0 ? DEFAULT_DEPTH : l->max_depth;
    run.unix_time = l->unix_time;
    run.arena = qn_arena_new();
    if (run.arena == NULL) {
        return qn_fail_nomem(err, "chat template", 0);
    }
    const size_t len = out->len;
    const qn_status status = run_template(&run, context);
    if (status != QN_OK) {
        out->len = len;
    }
    qn_arena_free(run.arena);
    return status;
}
