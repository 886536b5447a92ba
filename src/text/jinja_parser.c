/* SPDX-License-Identifier: MIT */
/* jinja_parser.c: parses templates: their statements, and what expressions and statements both need. */
#include "text/jinja_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t MAX_TEMPLATE_BYTES = 16U << 20;

static qn_status parse_body(qn_jparser *p, const char *const *ends, qn_jnode **out);

/* ---- what expressions need too ---- */

qn_status qn_jparse_fail(const qn_jparser *p, qn_status status, const char *fmt, ...) {
    char message[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    return qn_jinja_fail(p->jinja, "chat template", p->at->pos, p->err, status, message);
}

qn_status qn_jnode_new(const qn_jparser *p, qn_jnode_kind kind, qn_jnode **out) {
    *out = qn_arena_array(p->jinja->arena, 1, sizeof **out);
    if (*out == NULL) {
        return qn_fail_nomem(p->err, "template node", sizeof **out);
    }
    (*out)->kind = kind;
    (*out)->pos = p->at->pos;
    return QN_OK;
}

qn_status qn_jnode_add(const qn_jparser *p, qn_jnode *node, qn_jnode *item) {
    /* n is its own capacity: full at 0, 4, 8, 16, … */
    if (node->n == 0 || (node->n >= 4 && (node->n & (node->n - 1)) == 0)) {
        const uint64_t cap = node->n == 0 ? 4 : node->n * 2;
        qn_jnode **items = qn_arena_array(p->jinja->arena, cap, sizeof *items);
        if (items == NULL) {
            return qn_fail_nomem(p->err, "template nodes", (size_t)cap * sizeof *items);
        }
        if (node->n > 0) {
            memcpy(items, node->items, (size_t)node->n * sizeof *items);
        }
        node->items = items;
    }
    node->items[node->n++] = item;
    return QN_OK;
}

qn_status qn_jparse_enter(qn_jparser *p) {
    if (++p->depth > QN_JINJA_MAX_NESTING) {
        return qn_jparse_fail(p, QN_E_RANGE, "nested more than %d levels deep", (int)QN_JINJA_MAX_NESTING);
    }
    return QN_OK;
}

bool qn_jparse_is(const qn_jparser *p, uint32_t op) {
    return p->at->kind == QN_JT_OPERATOR && p->at->op == op;
}

bool qn_jparse_is_name(const qn_jparser *p, const char *name) {
    return p->at->kind == QN_JT_NAME && qn_text_is(p->at->text, name);
}

qn_status qn_jparse_expect(qn_jparser *p, uint32_t op, const char *what) {
    if (!qn_jparse_is(p, op)) {
        return qn_jparse_fail(p, QN_E_FORMAT, "expected '%c' for %s", (int)(op & 0xFF), what);
    }
    p->at++;
    return QN_OK;
}

/* ---- statements ---- */

static qn_status expect_block_end(qn_jparser *p) {
    if (p->at->kind != QN_JT_BLOCK_END) {
        return qn_jparse_fail(p, QN_E_FORMAT, "expected %%}");
    }
    p->at++;
    return QN_OK;
}

static bool take_name(qn_jparser *p, const char *name) {
    const bool is_it = qn_jparse_is_name(p, name);
    p->at += is_it ? 1 : 0;
    return is_it;
}

/* A body up to one of ends, whose {% and name are passed, too. */
static qn_status parse_block(qn_jparser *p, const char *const *ends, qn_jnode **out) {
    QN_TRY(expect_block_end(p));
    QN_TRY(parse_body(p, ends, out));
    return QN_OK;
}

static qn_status parse_if(qn_jparser *p, qn_jnode *node) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    static const char *const last[] = {"endif", NULL};
    node->kind = QN_JN_IF;
    for (;;) {
        qn_jnode *branch = NULL;
        QN_TRY(qn_jnode_new(p, QN_JN_BRANCH, &branch));
        QN_TRY(qn_jparse_tuple(p, false, &branch->a));
        QN_TRY(parse_block(p, ends, &branch->b));
        QN_TRY(qn_jnode_add(p, node, branch));
        if (take_name(p, "elif")) {
            continue;
        }
        if (take_name(p, "else")) {
            QN_TRY(qn_jnode_new(p, QN_JN_BRANCH, &branch));
            QN_TRY(parse_block(p, last, &branch->b));
            QN_TRY(qn_jnode_add(p, node, branch));
        }
        p->at++;
        return expect_block_end(p);
    }
}

static qn_status parse_for(qn_jparser *p, qn_jnode *node) {
    static const char *const ends[] = {"else", "endfor", NULL};
    static const char *const last[] = {"endfor", NULL};
    qn_jnode *body = NULL;
    qn_jnode *otherwise = NULL;
    node->kind = QN_JN_FOR;
    QN_TRY(qn_jparse_target(p, false, &node->a));
    if (!take_name(p, "in")) {
        return qn_jparse_fail(p, QN_E_FORMAT, "expected 'in'");
    }
    QN_TRY(qn_jparse_tuple(p, false, &node->b));
    if (take_name(p, "if")) {
        QN_TRY(qn_jparse_expression(p, true, &node->c));
    }
    if (qn_jparse_is_name(p, "recursive")) {
        return qn_jparse_fail(p, QN_E_UNSUPPORTED, "recursive loops are not supported");
    }
    p->n_loops++;
    QN_TRY(parse_block(p, ends, &body));
    p->n_loops--;
    if (take_name(p, "else")) {
        QN_TRY(parse_block(p, last, &otherwise));
    }
    p->at++;
    QN_TRY(qn_jnode_add(p, node, body));
    QN_TRY(qn_jnode_add(p, node, otherwise));
    return expect_block_end(p);
}

static qn_status parse_set(qn_jparser *p, qn_jnode *node) {
    static const char *const ends[] = {"endset", NULL};
    QN_TRY(qn_jparse_target(p, true, &node->a));
    if (qn_jparse_is(p, '=')) {
        p->at++;
        node->kind = QN_JN_SET;
        QN_TRY(qn_jparse_tuple(p, true, &node->b));
        return expect_block_end(p);
    }
    node->kind = QN_JN_SET_BLOCK;
    QN_TRY(qn_jparse_filters(p, NULL, false, &node->c));
    QN_TRY(parse_block(p, ends, &node->b));
    p->at++;
    return expect_block_end(p);
}

/* (name, name=default, …) */
static qn_status parse_params(qn_jparser *p, qn_jnode *node) {
    QN_TRY(qn_jparse_expect(p, '(', "parameters"));
    while (!qn_jparse_is(p, ')')) {
        qn_jnode *param = NULL;
        if (p->at->kind != QN_JT_NAME) {
            return qn_jparse_fail(p, QN_E_FORMAT, "expected a parameter's name");
        }
        QN_TRY(qn_jnode_new(p, QN_JN_PARAM, &param));
        param->name = (p->at++)->text;
        if (qn_jparse_is(p, '=')) {
            p->at++;
            QN_TRY(qn_jparse_expression(p, true, &param->a));
        }
        QN_TRY(qn_jnode_add(p, node, param));
        if (!qn_jparse_is(p, ',')) {
            break;
        }
        p->at++;
    }
    return qn_jparse_expect(p, ')', "the end of the parameters");
}

uint32_t qn_jspecial_of(qn_text name) {
    return qn_text_is(name, "caller") ? QN_JS_CALLER
        : qn_text_is(name, "kwargs")  ? QN_JS_KWARGS
        : qn_text_is(name, "varargs") ? QN_JS_VARARGS
                                      : 0;
}

/* A macro's body: a loop around its definition is not around its calls. */
static qn_status parse_macro_body(qn_jparser *p, const char *const *ends, qn_jnode *node) {
    const uint32_t n_loops = p->n_loops;
    const uint32_t specials = p->specials;
    p->n_loops = 0;
    p->specials = 0;
    QN_TRY(parse_block(p, ends, &node->b));
    node->op = p->specials;
    p->n_loops = n_loops;
    p->specials |= specials; /* the macro around it reads them too, as Jinja has it */
    p->at++;
    if (p->at->kind == QN_JT_NAME) {
        p->at++; /* {% endmacro name %} */
    }
    return expect_block_end(p);
}

static qn_status parse_macro(qn_jparser *p, qn_jnode *node) {
    static const char *const ends[] = {"endmacro", NULL};
    node->kind = QN_JN_MACRO;
    if (p->at->kind != QN_JT_NAME) {
        return qn_jparse_fail(p, QN_E_FORMAT, "expected the macro's name");
    }
    node->name = (p->at++)->text;
    QN_TRY(parse_params(p, node));
    return parse_macro_body(p, ends, node);
}

static qn_status parse_call_block(qn_jparser *p, qn_jnode *node) {
    static const char *const ends[] = {"endcall", NULL};
    node->kind = QN_JN_CALL_BLOCK;
    QN_TRY(qn_jnode_new(p, QN_JN_MACRO, &node->b));
    node->b->name = qn_text_of("caller");
    if (qn_jparse_is(p, '(')) {
        QN_TRY(parse_params(p, node->b));
    }
    QN_TRY(qn_jparse_expression(p, true, &node->a));
    if (node->a->kind != QN_JN_CALL) {
        return qn_jparse_fail(p, QN_E_FORMAT, "expected a call");
    }
    return parse_macro_body(p, ends, node->b);
}

static qn_status parse_filter_block(qn_jparser *p, qn_jnode *node) {
    static const char *const ends[] = {"endfilter", NULL};
    node->kind = QN_JN_FILTER_BLOCK;
    QN_TRY(qn_jparse_filters(p, NULL, true, &node->a));
    QN_TRY(parse_block(p, ends, &node->b));
    p->at++;
    return expect_block_end(p);
}

static qn_status parse_with(qn_jparser *p, qn_jnode *node) {
    static const char *const ends[] = {"endwith", NULL};
    node->kind = QN_JN_WITH;
    while (p->at->kind == QN_JT_NAME) {
        qn_jnode *set = NULL;
        QN_TRY(qn_jnode_new(p, QN_JN_SET, &set));
        QN_TRY(qn_jparse_target(p, false, &set->a));
        QN_TRY(qn_jparse_expect(p, '=', "the variable's value"));
        QN_TRY(qn_jparse_expression(p, true, &set->b));
        QN_TRY(qn_jnode_add(p, node, set));
        if (!qn_jparse_is(p, ',')) {
            break;
        }
        p->at++;
    }
    QN_TRY(parse_block(p, ends, &node->b));
    p->at++;
    return expect_block_end(p);
}

/* transformers marks what the model said; here the mark changes nothing. */
static qn_status parse_generation(qn_jparser *p, qn_jnode *node) {
    static const char *const ends[] = {"endgeneration", NULL};
    qn_jnode *body = NULL;
    QN_TRY(parse_block(p, ends, &body));
    p->at++;
    node->kind = QN_JN_BODY;
    node->items = body->items;
    node->n = body->n;
    return expect_block_end(p);
}

static qn_status parse_jump(qn_jparser *p, qn_jnode *node, qn_jnode_kind kind) {
    node->kind = kind;
    if (p->n_loops == 0) {
        return qn_jparse_fail(p, QN_E_FORMAT, "break and continue need a loop around them");
    }
    return expect_block_end(p);
}

static qn_status parse_break(qn_jparser *p, qn_jnode *node) {
    return parse_jump(p, node, QN_JN_BREAK);
}

static qn_status parse_continue(qn_jparser *p, qn_jnode *node) {
    return parse_jump(p, node, QN_JN_CONTINUE);
}

static qn_status parse_foreign(qn_jparser *p, qn_jnode *node) {
    (void)node;
    return qn_jparse_fail(p, QN_E_UNSUPPORTED, "a chat template cannot use other templates");
}

static const struct {
    const char *name;
    qn_status (*parse)(qn_jparser *p, qn_jnode *node);
} statements[] = {
    {"if", parse_if},
    {"for", parse_for},
    {"set", parse_set},
    {"macro", parse_macro},
    {"call", parse_call_block},
    {"filter", parse_filter_block},
    {"with", parse_with},
    {"break", parse_break},
    {"continue", parse_continue},
    {"include", parse_foreign},
    {"generation", parse_generation},
    {"import", parse_foreign},
    {"from", parse_foreign},
    {"extends", parse_foreign},
    {"block", parse_foreign},
};

/* A statement, its {% passed. */
static qn_status parse_statement(qn_jparser *p, qn_jnode **out) {
    if (p->at->kind != QN_JT_NAME) {
        return qn_jparse_fail(p, QN_E_FORMAT, "expected a statement's name");
    }
    for (size_t i = 0; i < sizeof statements / sizeof statements[0]; i++) {
        if (qn_text_is(p->at->text, statements[i].name)) {
            QN_TRY(qn_jnode_new(p, QN_JN_BODY, out));
            p->at++;
            QN_TRY(qn_jparse_enter(p));
            QN_TRY(statements[i].parse(p, *out));
            p->depth--;
            return QN_OK;
        }
    }
    const int n = (int)(p->at->text.len > 40 ? 40 : p->at->text.len);
    return qn_jparse_fail(p, QN_E_FORMAT, "'%.*s' is no statement that can stand here", n, p->at->text.bytes);
}

static bool is_end(const qn_jparser *p, const char *const *ends) {
    for (size_t i = 0; ends[i] != NULL; i++) {
        if (p->at[0].kind == QN_JT_BLOCK_BEGIN && p->at[1].kind == QN_JT_NAME && qn_text_is(p->at[1].text, ends[i])) {
            return true;
        }
    }
    return false;
}

static qn_status parse_output(qn_jparser *p, qn_jnode **out) {
    QN_TRY(qn_jnode_new(p, QN_JN_OUTPUT, out));
    p->at++;
    QN_TRY(qn_jparse_tuple(p, true, &(*out)->a));
    (*out)->pos = (*out)->a->pos;
    if (p->at->kind != QN_JT_VAR_END) {
        return qn_jparse_fail(p, QN_E_FORMAT, "expected }}");
    }
    p->at++;
    return QN_OK;
}

/* Up to one of ends; the cursor then stands on its name. */
static qn_status parse_body(qn_jparser *p, const char *const *ends, qn_jnode **out) {
    QN_TRY(qn_jnode_new(p, QN_JN_BODY, out));
    while (p->at->kind != QN_JT_END) {
        qn_jnode *item = NULL;
        if (is_end(p, ends)) {
            p->at++;
            return QN_OK;
        }
        if (p->at->kind == QN_JT_DATA) {
            QN_TRY(qn_jnode_new(p, QN_JN_DATA, &item));
            item->name = (p->at++)->text;
        } else if (p->at->kind == QN_JT_VAR_BEGIN) {
            QN_TRY(parse_output(p, &item));
        } else {
            p->at++;
            QN_TRY(parse_statement(p, &item));
        }
        QN_TRY(qn_jnode_add(p, *out, item));
    }
    if (ends[0] != NULL) {
        return qn_jparse_fail(p, QN_E_FORMAT, "the template ends where {%% %s %%} must stand", ends[0]);
    }
    return QN_OK;
}

/* ---- templates ---- */

/* CR LF and CR become LF; one newline at the end goes. */
static bool set_text(qn_jinja *jinja, const char *text, size_t n) {
    char *copy = qn_arena_array(jinja->arena, n + 1, 1);
    size_t len = 0;
    if (copy == NULL) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\r' && i + 1 < n && text[i + 1] == '\n') {
            continue;
        }
        copy[len++] = (char)(text[i] == '\r' ? '\n' : text[i]);
    }
    len -= len > 0 && copy[len - 1] == '\n' ? 1 : 0;
    jinja->text = (qn_text){copy, len};
    return true;
}

static qn_status parse_text(qn_jinja *jinja, qn_error *err) {
    static const char *const ends[] = {NULL};
    qn_jtokens tokens = {0};
    qn_jparser p = {.jinja = jinja, .err = err};
    qn_status status = qn_jinja_lex(jinja, &tokens, err);
    if (status == QN_OK) {
        p.at = tokens.items;
        status = parse_body(&p, ends, &jinja->body);
    }
    free(tokens.items);
    return status;
}

qn_status qn_jinja_parse(const char *text, size_t n, qn_jinja **out, qn_error *err) {
    if (n > MAX_TEMPLATE_BYTES) {
        return qn_fail(err, QN_E_RANGE, "chat template: %zu bytes; at most %zu are read", n, MAX_TEMPLATE_BYTES);
    }
    qn_arena *arena = qn_arena_new();
    qn_jinja *jinja = arena == NULL ? NULL : qn_arena_array(arena, 1, sizeof *jinja);
    if (jinja != NULL) {
        jinja->arena = arena;
    }
    if (jinja == NULL || !set_text(jinja, text, n)) {
        qn_arena_free(arena);
        return qn_fail_nomem(err, "chat template", n);
    }
    const qn_status status = parse_text(jinja, err);
    if (status != QN_OK) {
        qn_arena_free(arena);
        return status;
    }
    *out = jinja;
    return QN_OK;
}

void qn_jinja_free(qn_jinja *jinja) {
    if (jinja != NULL) {
        qn_arena_free(jinja->arena);
    }
}
