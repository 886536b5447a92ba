/* SPDX-License-Identifier: MIT */
/*
 * grammar_parser.c: GBNF text to rules.
 *
 * Groups and repetitions become rules of their own: x* is r ::= x r | "", x{1,3} is x followed by a ::= x b | "" and
 * b ::= x | "". So the walk knows characters, rules and ends, and nothing else.
 */
#include "base/json.h"
#include "engine/grammar_parts.h"
#include "text/characters.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TEXT_BYTES = 1 << 20, MAX_SYMBOLS = 1 << 20, MAX_REPEAT = 1 << 17, MAX_NESTING = 256, MAX_NAME = 255 };

typedef struct parser {
    const char *text;
    size_t n, at;
    qn_grammar *g;
    json_t *ids; /* rule names to indices */
    unsigned depth;
    qn_error *err;
} parser;

static qn_status parse_alternatives(parser *p, qn_buffer *body, bool is_nested);

/* ---- Messages ---- */

/* Fails with the line and column of a byte. */
static QN_PRINTF(4, 5) qn_status fail_at(const parser *p, qn_status status, size_t at, const char *fmt, ...) {
    char message[512];
    size_t line = 1;
    size_t column = 1;
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    for (size_t i = 0; i < at && i < p->n; i++) {
        if (p->text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)p->text[i] & 0xC0U) != 0x80U) {
            column++;
        }
    }
    return qn_fail(p->err, status, "grammar, line %zu, column %zu: %s", line, column, message);
}

static char peek(const parser *p) {
    return p->at < p->n ? p->text[p->at] : '\0';
}

/* What is found, for a message. */
static const char *found_text(const parser *p, char room[32]) {
    const unsigned char c = (unsigned char)peek(p);
    if (p->at >= p->n) {
        return "the end of the grammar";
    }
    if (c == '\n' || c == '\r') {
        return "the end of the line";
    }
    if (c < 0x20 || c == 0x7F) {
        (void)snprintf(room, 32, "byte 0x%02x", c);
    } else {
        size_t bytes = qn_utf8_promised(c);
        bytes = bytes > p->n - p->at ? p->n - p->at : bytes;
        (void)snprintf(room, 32, "'%.*s'", (int)bytes, p->text + p->at);
    }
    return room;
}

static qn_status fail_expecting(const parser *p, const char *what) {
    char room[32];
    return fail_at(p, QN_E_FORMAT, p->at, "%s is expected, and %s is found", what, found_text(p, room));
}

static qn_status fail_nomem(const parser *p) {
    return qn_fail_nomem(p->err, "grammar", p->n);
}

/* ---- What is being written ---- */

static size_t n_symbols(const qn_buffer *body) {
    return body->len / sizeof(qn_symbol);
}

static qn_status put(parser *p, qn_buffer *body, qn_symbol_kind kind, uint32_t value) {
    const qn_symbol symbol = {(uint32_t)kind, value};
    if (n_symbols(body) + n_symbols(&p->g->symbols) >= MAX_SYMBOLS) {
        return fail_at(p, QN_E_RANGE, p->at, "the grammar is too large: %d symbols with all repetitions written out",
                       MAX_SYMBOLS);
    }
    qn_buffer_append(body, &symbol, sizeof symbol);
    return body->has_failed ? fail_nomem(p) : QN_OK;
}

static qn_status new_rule(parser *p, size_t mention, uint32_t *id) {
    const qn_grammar_rule rule = {.mention = (uint32_t)mention};
    *id = (uint32_t)qn_grammar_n_rules(p->g);
    qn_buffer_append(&p->g->rules, &rule, sizeof rule);
    return p->g->rules.has_failed ? fail_nomem(p) : QN_OK;
}

static qn_grammar_rule *rule_of(const parser *p, uint32_t id) {
    return (qn_grammar_rule *)(void *)p->g->rules.data + id;
}

/* Makes a body, alternatives that each have their end, the definition of a rule. */
static qn_status define(parser *p, uint32_t id, const qn_buffer *body) {
    qn_grammar *g = p->g;
    const qn_symbol *symbols = (const qn_symbol *)(const void *)body->data;
    const uint32_t base = (uint32_t)n_symbols(&g->symbols);
    qn_grammar_rule *rule = rule_of(p, id);
    uint32_t start = base;
    rule->is_defined = true;
    rule->first_alt = (uint32_t)(g->alts.len / sizeof start);
    for (uint32_t i = 0; i < n_symbols(body); i++) {
        if (symbols[i].kind == QN_SYMBOL_END) {
            qn_buffer_append(&g->alts, &start, sizeof start);
            start = base + i + 1;
            rule->n_alts++;
        }
    }
    qn_buffer_append(&g->symbols, body->data, body->len);
    return g->symbols.has_failed || g->alts.has_failed ? fail_nomem(p) : QN_OK;
}

/* A rule without a name: `symbol next | ""`, or without next `symbol | ""`; next may be the rule itself. */
static qn_status define_optional(parser *p, uint32_t id, qn_symbol symbol, const uint32_t *next) {
    qn_buffer body = {0};
    qn_status status = put(p, &body, (qn_symbol_kind)symbol.kind, symbol.value);
    if (status == QN_OK && next != NULL) {
        status = put(p, &body, QN_SYMBOL_RULE, *next);
    }
    if (status == QN_OK) {
        status = put(p, &body, QN_SYMBOL_END, 0);
    }
    if (status == QN_OK) {
        status = put(p, &body, QN_SYMBOL_END, 0);
    }
    if (status == QN_OK) {
        status = define(p, id, &body);
    }
    rule_of(p, id)->is_repetition = next != NULL && *next == id;
    qn_buffer_clear(&body);
    return status;
}

/* ---- Characters ---- */

static int hex_value(char c) {
    return c >= '0' && c <= '9' ? c - '0'
        : c >= 'a' && c <= 'f'  ? c - 'a' + 10
        : c >= 'A' && c <= 'F'  ? c - 'A' + 10
                                : -1;
}

static qn_status parse_hex(parser *p, unsigned n_digits, uint32_t *code) {
    const size_t start = p->at;
    *code = 0;
    for (unsigned i = 0; i < n_digits; i++, p->at++) {
        const int digit = hex_value(peek(p));
        if (digit < 0) {
            return fail_expecting(p,
                                  n_digits == 2       ? "a hexadecimal digit (\\x takes two)"
                                      : n_digits == 4 ? "a hexadecimal digit (\\u takes four)"
                                                      : "a hexadecimal digit (\\U takes eight)");
        }
        *code = *code * 16 + (uint32_t)digit;
    }
    if (*code > QN_MAX_CODE) {
        return fail_at(p, QN_E_FORMAT, start, "U+%" PRIX32 " is past the last character, U+10FFFF", *code);
    }
    return QN_OK;
}

static qn_status parse_escape(parser *p, uint32_t *code) {
    static const char plain[] = "\\\"[]-^'/";
    const char c = peek(p);
    p->at++;
    switch (c) {
    case 'x': return parse_hex(p, 2, code);
    case 'u': return parse_hex(p, 4, code);
    case 'U': return parse_hex(p, 8, code);
    case 'n': *code = '\n'; return QN_OK;
    case 'r': *code = '\r'; return QN_OK;
    case 't': *code = '\t'; return QN_OK;
    default:
        p->at--;
        if (c == '\0' || strchr(plain, c) == NULL) {
            return fail_expecting(p, "one of n r t x u U \\ \" [ ] - ^ behind '\\'");
        }
        p->at++;
        *code = (uint32_t)(unsigned char)c;
        return QN_OK;
    }
}

/* One character of a literal or class that goes on to `end`. */
static qn_status parse_char(parser *p, char end, uint32_t *code) {
    static const char replacement[] = "\xEF\xBF\xBD";
    if (p->at >= p->n) {
        return fail_expecting(p, end == '"' ? "a closing '\"'" : "a closing ']'");
    }
    if (peek(p) == '\\') {
        p->at++;
        return parse_escape(p, code);
    }
    const size_t taken = qn_utf8_decode(p->text + p->at, p->n - p->at, code);
    if (*code == QN_REPLACEMENT && (taken != 3 || memcmp(p->text + p->at, replacement, 3) != 0)) {
        return fail_at(p, QN_E_FORMAT, p->at, "byte 0x%02x is not UTF-8", (unsigned char)p->text[p->at]);
    }
    p->at += taken;
    return QN_OK;
}

static qn_status parse_literal(parser *p, qn_buffer *body) {
    uint32_t code = 0;
    p->at++;
    while (peek(p) != '"' || p->at >= p->n) {
        QN_TRY(parse_char(p, '"', &code));
        QN_TRY(put(p, body, QN_SYMBOL_CHAR, code));
    }
    p->at++;
    return QN_OK;
}

static qn_status read_class(parser *p, qn_char_set *set) {
    const size_t start = p->at++;
    const bool is_inverted = peek(p) == '^';
    p->at += is_inverted;
    while (peek(p) != ']' || p->at >= p->n) {
        uint32_t low = 0;
        const size_t at = p->at;
        QN_TRY(parse_char(p, ']', &low));
        uint32_t high = low;
        if (peek(p) == '-' && p->at + 1 < p->n && p->text[p->at + 1] != ']') {
            p->at++;
            QN_TRY(parse_char(p, ']', &high));
        }
        if (high < low) {
            return fail_at(p, QN_E_FORMAT, at, "the range U+%04" PRIX32 " to U+%04" PRIX32 " ends before it begins",
                           low, high);
        }
        qn_char_set_add(set, low, high);
    }
    p->at++;
    const bool is_empty = qn_char_set_n(set) == 0 && !set->ranges.has_failed;
    if (is_inverted) {
        qn_char_set_invert(set);
    } else {
        qn_char_set_tidy(set);
    }
    return !is_empty && (qn_char_set_n(set) > 0 || set->ranges.has_failed)
               ? QN_OK
               : fail_at(p, QN_E_FORMAT, start, "a class without characters");
}

static qn_status put_set(parser *p, qn_buffer *body, const qn_char_set *set) {
    qn_grammar *g = p->g;
    const qn_char_range *ranges = qn_char_set_items(set);
    qn_symbol_set entry = {.first = (uint32_t)(g->ranges.len / sizeof *ranges), .n = (uint32_t)qn_char_set_n(set)};
    for (size_t i = 0; i < entry.n; i++) {
        for (uint32_t c = ranges[i].low; c <= ranges[i].high && c < 128; c++) {
            entry.ascii[c / 32] |= 1U << (c % 32);
        }
    }
    const uint32_t index = (uint32_t)(g->sets.len / sizeof entry);
    qn_buffer_append(&g->ranges, set->ranges.data, set->ranges.len);
    qn_buffer_append(&g->sets, &entry, sizeof entry);
    if (set->ranges.has_failed || g->ranges.has_failed || g->sets.has_failed) {
        return fail_nomem(p);
    }
    return put(p, body, QN_SYMBOL_SET, index);
}

static qn_status parse_class(parser *p, qn_buffer *body) {
    qn_char_set set = {0};
    qn_status status = read_class(p, &set);
    if (status == QN_OK) {
        status = put_set(p, body, &set);
    }
    qn_char_set_clear(&set);
    return status;
}

static qn_status parse_dot(parser *p, qn_buffer *body) {
    qn_char_set set = {0};
    p->at++;
    qn_char_set_add(&set, 0, QN_MAX_CODE);
    const qn_status status = put_set(p, body, &set);
    qn_char_set_clear(&set);
    return status;
}

/* ---- Names, groups ---- */

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* The rule of the name that stands here; a new one where it is first spoken of. */
static qn_status parse_name(parser *p, uint32_t *id) {
    char name[MAX_NAME + 1];
    const size_t start = p->at;
    while (p->at < p->n && is_name_char(p->text[p->at])) {
        p->at++;
    }
    const size_t n = p->at - start;
    if (n == 0) {
        return fail_expecting(p, "the name of a rule");
    }
    if (n > MAX_NAME) {
        return fail_at(p, QN_E_RANGE, start, "a name has %zu letters: at most %d", n, MAX_NAME);
    }
    memcpy(name, p->text + start, n);
    name[n] = '\0';
    const json_t *known = json_object_get(p->ids, name);
    if (known != NULL) {
        *id = (uint32_t)json_integer_value(known);
        return QN_OK;
    }
    QN_TRY(new_rule(p, start, id));
    return json_object_set_new(p->ids, name, json_integer(*id)) == 0 ? QN_OK : fail_nomem(p);
}

/* Blanks and comments; ends of lines too where a rule may go on behind them. */
static void skip_space(parser *p, bool over_lines) {
    while (p->at < p->n) {
        const char c = p->text[p->at];
        if (c == '#') {
            while (p->at < p->n && p->text[p->at] != '\n' && p->text[p->at] != '\r') {
                p->at++;
            }
        } else if (c == ' ' || c == '\t' || (over_lines && (c == '\n' || c == '\r'))) {
            p->at++;
        } else {
            return;
        }
    }
}

static qn_status parse_group(parser *p, qn_buffer *body) {
    qn_buffer inner = {0};
    uint32_t id = 0;
    const size_t start = p->at++;
    if (++p->depth > MAX_NESTING) {
        return fail_at(p, QN_E_RANGE, start, "parentheses nest more than %d deep", MAX_NESTING);
    }
    skip_space(p, true);
    qn_status status = parse_alternatives(p, &inner, true);
    if (status == QN_OK && (p->at >= p->n || peek(p) != ')')) {
        status = fail_expecting(p, "')'");
    }
    if (status == QN_OK) {
        status = new_rule(p, start, &id);
    }
    if (status == QN_OK) {
        status = define(p, id, &inner);
    }
    qn_buffer_clear(&inner);
    p->at++;
    p->depth--;
    return status == QN_OK ? put(p, body, QN_SYMBOL_RULE, id) : status;
}

/* ---- Repetitions ---- */

static qn_status parse_count(parser *p, uint32_t *count) {
    const size_t start = p->at;
    uint32_t value = 0;
    while (p->at < p->n && p->text[p->at] >= '0' && p->text[p->at] <= '9') {
        value = value * 10 + (uint32_t)(p->text[p->at++] - '0');
        if (value > MAX_REPEAT) {
            return fail_at(p, QN_E_RANGE, start, "more than %d repetitions", MAX_REPEAT);
        }
    }
    *count = value;
    return p->at > start ? QN_OK : fail_expecting(p, "a number of repetitions");
}

/* How often: least to most; most is UINT32_MAX where there is no end. */
static qn_status parse_times(parser *p, uint32_t *least, uint32_t *most) {
    const size_t start = p->at;
    const char c = peek(p);
    p->at++;
    *least = c == '+' ? 1 : 0;
    *most = c == '?' ? 1 : UINT32_MAX;
    if (c != '{') {
        return QN_OK;
    }
    skip_space(p, false);
    QN_TRY(parse_count(p, least));
    *most = *least;
    skip_space(p, false);
    if (peek(p) == ',') {
        p->at++;
        skip_space(p, false);
        *most = UINT32_MAX;
        if (peek(p) != '}') {
            QN_TRY(parse_count(p, most));
        }
        skip_space(p, false);
    }
    if (peek(p) != '}') {
        return fail_expecting(p, "'}'");
    }
    p->at++;
    if (*most < *least) {
        return fail_at(p, QN_E_FORMAT, start, "at least %" PRIu32 " and at most %" PRIu32 " repetitions", *least,
                       *most);
    }
    return QN_OK;
}

/* Makes the symbols from `from` on one: a rule of their own where they are several. */
static qn_status as_one(parser *p, qn_buffer *body, size_t from, qn_symbol *one) {
    const qn_symbol *symbols = (const qn_symbol *)(const void *)body->data + from;
    qn_buffer inner = {0};
    uint32_t id = 0;
    if (n_symbols(body) == from + 1) {
        *one = symbols[0];
        body->len = from * sizeof *one;
        return QN_OK;
    }
    qn_buffer_append(&inner, symbols, body->len - from * sizeof *one);
    body->len = from * sizeof *one;
    qn_status status = put(p, &inner, QN_SYMBOL_END, 0);
    if (status == QN_OK) {
        status = new_rule(p, p->at, &id);
    }
    if (status == QN_OK) {
        status = define(p, id, &inner);
    }
    qn_buffer_clear(&inner);
    *one = (qn_symbol){QN_SYMBOL_RULE, id};
    return status;
}

/* What may follow behind the repetitions that must be: up to `more` of them, or any number. */
static qn_status put_optional(parser *p, qn_buffer *body, qn_symbol one, uint32_t more) {
    uint32_t id = 0;
    uint32_t next = 0;
    if (more == UINT32_MAX) {
        QN_TRY(new_rule(p, p->at, &id));
        QN_TRY(define_optional(p, id, one, &id));
        return put(p, body, QN_SYMBOL_RULE, id);
    }
    for (uint32_t i = 0; i < more; i++) {
        QN_TRY(new_rule(p, p->at, &id));
        QN_TRY(define_optional(p, id, one, i == 0 ? NULL : &next));
        next = id;
    }
    return more == 0 ? QN_OK : put(p, body, QN_SYMBOL_RULE, id);
}

/* @param from where the thing to be repeated begins; SIZE_MAX: there is none */
static qn_status parse_repetition(parser *p, qn_buffer *body, size_t from) {
    uint32_t least = 0;
    uint32_t most = 0;
    qn_symbol one;
    if (from == SIZE_MAX) {
        return fail_at(p, QN_E_FORMAT, p->at, "there is nothing before '%c' to be repeated", peek(p));
    }
    QN_TRY(parse_times(p, &least, &most));
    if (n_symbols(body) == from) { /* "" as often as one likes */
        return QN_OK;
    }
    QN_TRY(as_one(p, body, from, &one));
    for (uint32_t i = 0; i < least; i++) {
        QN_TRY(put(p, body, (qn_symbol_kind)one.kind, one.value));
    }
    return put_optional(p, body, one, most == UINT32_MAX ? most : most - least);
}

/* ---- Sequences, rules ---- */

/* One item. @param from where the item before it begins; changed. @param is_item out: false at the sequence's end */
static qn_status parse_item(parser *p, qn_buffer *body, size_t *from, bool *is_item) {
    const char c = peek(p);
    const size_t start = n_symbols(body);
    uint32_t id = 0;
    *is_item = true;
    if (c != '\0' && strchr("*+?{", c) != NULL) {
        return parse_repetition(p, body, *from);
    }
    *from = start;
    switch (c) {
    case '"': return parse_literal(p, body);
    case '[': return parse_class(p, body);
    case '.': return parse_dot(p, body);
    case '(': return parse_group(p, body);
    case '<':
    case '!':
        return fail_at(p, QN_E_UNSUPPORTED, p->at, "tokens in grammars (%c…) are not supported; write their text", c);
    default: break;
    }
    if (!is_name_char(c)) {
        *is_item = false;
        return QN_OK;
    }
    QN_TRY(parse_name(p, &id));
    return put(p, body, QN_SYMBOL_RULE, id);
}

static qn_status parse_alternatives(parser *p, qn_buffer *body, bool is_nested) {
    for (;;) {
        size_t from = SIZE_MAX;
        bool is_item = true;
        while (is_item) {
            QN_TRY(parse_item(p, body, &from, &is_item));
            skip_space(p, is_nested);
        }
        QN_TRY(put(p, body, QN_SYMBOL_END, 0));
        if (peek(p) != '|') {
            return QN_OK;
        }
        p->at++;
        skip_space(p, true);
    }
}

static qn_status parse_rule(parser *p) {
    qn_buffer body = {0};
    const size_t start = p->at;
    uint32_t id = 0;
    QN_TRY(parse_name(p, &id));
    if (rule_of(p, id)->is_defined) {
        return fail_at(p, QN_E_FORMAT, start, "the rule '%.*s' is defined a second time", (int)(p->at - start),
                       p->text + start);
    }
    skip_space(p, false);
    if (p->n - p->at < 3 || memcmp(p->text + p->at, "::=", 3) != 0) {
        return fail_expecting(p, "'::='");
    }
    p->at += 3;
    skip_space(p, true);
    qn_status status = parse_alternatives(p, &body, false);
    if (status == QN_OK && p->at < p->n && peek(p) != '\n' && peek(p) != '\r') {
        status = fail_expecting(p, "the end of the rule");
    }
    if (status == QN_OK) {
        status = define(p, id, &body);
    }
    qn_buffer_clear(&body);
    return status;
}

/* ---- The whole ---- */

static qn_status check_rules(const parser *p) {
    const json_t *root = json_object_get(p->ids, "root");
    const char *name = NULL;
    json_t *value = NULL;
    bool is_recursive = false;
    uint32_t rule = 0;
    json_object_foreach(p->ids, name, value) {
        const qn_grammar_rule *named = rule_of(p, (uint32_t)json_integer_value(value));
        if (!named->is_defined) {
            return fail_at(p, QN_E_FORMAT, named->mention, "the rule '%s' is not defined anywhere", name);
        }
    }
    if (root == NULL) {
        return qn_fail(p->err, QN_E_FORMAT, "grammar: there is no rule 'root', with which a text begins");
    }
    p->g->root = (uint32_t)json_integer_value(root);
    QN_TRY(qn_grammar_find_left_recursion(p->g, &is_recursive, &rule, p->err));
    if (!is_recursive) {
        return QN_OK;
    }
    json_object_foreach(p->ids, name, value) {
        if (json_integer_value(value) == (json_int_t)rule) {
            return fail_at(
                p, QN_E_FORMAT, rule_of(p, rule)->mention,
                "the rule '%s' is left-recursive: it can begin with itself; write the repetition with * or +", name);
        }
    }
    return fail_at(p, QN_E_FORMAT, rule_of(p, rule)->mention,
                   "what stands here is left-recursive: it can begin with itself; write the repetition with * or +");
}

static qn_status parse_all(parser *p) {
    if (p->n > MAX_TEXT_BYTES) {
        return qn_fail(p->err, QN_E_RANGE, "grammar: %zu bytes: at most %d are read", p->n, MAX_TEXT_BYTES);
    }
    skip_space(p, true);
    while (p->at < p->n) {
        QN_TRY(parse_rule(p));
        skip_space(p, true);
    }
    return check_rules(p);
}

qn_status qn_grammar_parse(const char *text, size_t n, qn_grammar **out, qn_error *err) {
    parser p = {.text = text, .n = n, .g = qn_new_array(1, sizeof *p.g), .ids = json_object(), .err = err};
    qn_status status = p.g == NULL || p.ids == NULL ? fail_nomem(&p) : parse_all(&p);
    json_decref(p.ids);
    if (status != QN_OK) {
        qn_grammar_free(p.g);
        return status;
    }
    *out = p.g;
    return QN_OK;
}
