/* SPDX-License-Identifier: MIT */
/* jinja_lexer.c: a template's text as tokens, with white-space control done: "-" and "+" marks, trim and lstrip blocks.
 *
 * lstrip_blocks: blanks between a line's start and {% or {# go. trim_blocks: one newline behind %} or #} goes.
 */
#include "text/jinja_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_QUOTE = 60, MAX_BRACKETS = 256 };

typedef struct lexer {
    const qn_jinja *jinja;
    const char *text;
    size_t n;
    size_t at;
    qn_jtokens *out;
    qn_error *err;
} lexer;

/* A template's text around a byte, from its line, without control characters. */
static void quote_at(const qn_jinja *jinja, size_t pos, char *quote) {
    const char *text = jinja->text.bytes;
    size_t begin = pos;
    size_t n = 0;
    while (begin > 0 && pos - begin < MAX_QUOTE / 3 && text[begin - 1] != '\n') {
        begin--;
    }
    while (begin < pos && ((unsigned char)text[begin] & 0xC0) == 0x80) {
        begin++;
    }
    while (begin + n < jinja->text.len && n < MAX_QUOTE && text[begin + n] != '\n') {
        n++;
    }
    while (n > 0 && begin + n < jinja->text.len && ((unsigned char)text[begin + n] & 0xC0) == 0x80) {
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        const char c = text[begin + i];
        quote[i] = (unsigned char)c < ' ' ? ' ' : c;
    }
    quote[n] = '\0';
}

qn_status qn_jinja_fail(const qn_jinja *jinja, const char *where, uint64_t pos, qn_error *err, qn_status status,
                        const char *message) {
    char quote[MAX_QUOTE + 1];
    const size_t at = pos > jinja->text.len ? jinja->text.len : (size_t)pos;
    uint64_t line = 1;
    uint64_t column = 1;
    for (size_t i = 0; i < at; i++) {
        const unsigned char c = (unsigned char)jinja->text.bytes[i];
        if (c == '\n') {
            line++;
            column = 1;
        } else if ((c & 0xC0) != 0x80) {
            column++;
        }
    }
    quote_at(jinja, at, quote);
    return qn_fail(err, status, "%s, line %llu, column %llu: %s; at: %s", where, (unsigned long long)line,
                   (unsigned long long)column, message, quote[0] == '\0' ? "(the end)" : quote);
}

static qn_status fail(const lexer *lx, size_t pos, const char *message) {
    return qn_jinja_fail(lx->jinja, "chat template", pos, lx->err, QN_E_FORMAT, message);
}

static qn_status add(lexer *lx, qn_jtoken token) {
    qn_jtokens *out = lx->out;
    if (out->n == out->cap) {
        const uint64_t cap = out->cap == 0 ? 256 : out->cap * 2;
        qn_jtoken *items = qn_resize_array(out->items, cap, sizeof *items);
        if (items == NULL) {
            return qn_fail_nomem(lx->err, "template tokens", (size_t)cap * sizeof *items);
        }
        out->items = items;
        out->cap = cap;
    }
    out->items[out->n++] = token;
    return QN_OK;
}

static qn_status add_plain(lexer *lx, qn_jtoken_kind kind, size_t pos, size_t begin, size_t end) {
    return add(lx, (qn_jtoken){.kind = kind, .pos = (uint32_t)pos, .text = {lx->text + begin, end - begin}});
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool has_at(const lexer *lx, size_t pos, const char *what) {
    const size_t n = strlen(what);
    return lx->n - pos >= n && memcmp(lx->text + pos, what, n) == 0;
}

static int hex_digit(char c) {
    if (is_digit(c)) {
        return c - '0';
    }
    if (c >= 'a' && c <= 'f') {
        return c - 'a' + 10;
    }
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* \xHH, \uHHHH, \UHHHHHHHH from its letter on; a pair of surrogates is one character. */
static qn_status lex_code(lexer *lx, size_t *at, size_t end, uint32_t *code) {
    const char letter = lx->text[*at];
    const size_t n = letter == 'x' ? 2 : letter == 'u' ? 4 : 8;
    const size_t begin = *at;
    *code = 0;
    for (size_t i = 1; i <= n; i++) {
        const int digit = begin + i < end ? hex_digit(lx->text[begin + i]) : -1;
        if (digit < 0) {
            return fail(lx, begin - 1, "an escape that lacks hexadecimal digits");
        }
        *code = *code << 4 | (uint32_t)digit;
    }
    *at = begin + n + 1;
    if (*code >= 0xD800 && *code < 0xDC00 && *at + 1 < end && has_at(lx, *at, "\\u")) {
        uint32_t low = 0;
        size_t next = *at + 1;
        QN_TRY(lex_code(lx, &next, end, &low));
        if (low >= 0xDC00 && low < 0xE000) {
            *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
            *at = next;
        }
    }
    return *code > 0x10FFFF ? fail(lx, begin - 1, "an escape above U+10FFFF") : QN_OK;
}

static char simple_escape(char c) {
    static const char letters[] = "abfnrtv\\'\"";
    static const char meanings[] = "\a\b\f\n\r\t\v\\'\"";
    const char *found = c == '\0' ? NULL : strchr(letters, c);
    return found == NULL ? '\0' : meanings[found - letters];
}

/* The text between quotes with its escapes resolved; unknown ones stay as they are, as in Python. */
static qn_status unescape(lexer *lx, size_t begin, size_t end, qn_buffer *b) {
    size_t at = begin;
    while (at < end) {
        const char c = lx->text[at++];
        if (c != '\\' || at == end) {
            qn_buffer_append(b, &c, 1);
            continue;
        }
        const char letter = lx->text[at];
        const char simple = simple_escape(letter);
        if (simple != '\0') {
            qn_buffer_append(b, &simple, 1);
            at++;
        } else if (letter == '\n') {
            at++;
        } else if (letter == 'x' || letter == 'u' || letter == 'U') {
            uint32_t code = 0;
            QN_TRY(lex_code(lx, &at, end, &code));
            qn_jtext_put(b, code);
        } else if (letter >= '0' && letter <= '7') {
            uint32_t code = 0;
            for (int i = 0; i < 3 && at < end && lx->text[at] >= '0' && lx->text[at] <= '7'; i++) {
                code = code * 8 + (uint32_t)(lx->text[at++] - '0');
            }
            qn_jtext_put(b, code);
        } else {
            qn_buffer_append(b, &c, 1);
        }
    }
    return QN_OK;
}

static qn_status lex_string(lexer *lx) {
    const size_t pos = lx->at;
    const char quote = lx->text[pos];
    size_t end = pos + 1;
    bool has_escape = false;
    while (end < lx->n && lx->text[end] != quote) {
        has_escape = has_escape || lx->text[end] == '\\';
        end += lx->text[end] == '\\' ? 2 : 1;
    }
    if (end >= lx->n) {
        return fail(lx, pos, "a string without its closing quote");
    }
    lx->at = end + 1;
    if (!has_escape) {
        return add_plain(lx, QN_JT_STRING, pos, pos + 1, end);
    }
    qn_buffer b = {0};
    const qn_status status = unescape(lx, pos + 1, end, &b);
    char *copy = status != QN_OK || b.has_failed ? NULL : qn_arena_copy(lx->jinja->arena, b.data, b.len);
    const size_t len = b.len;
    qn_buffer_clear(&b);
    QN_TRY(status);
    if (copy == NULL) {
        return qn_fail_nomem(lx->err, "template string", len);
    }
    return add(lx, (qn_jtoken){.kind = QN_JT_STRING, .pos = (uint32_t)pos, .text = {copy, len}});
}

/* Decimal digits, with underscores between them; a fraction or an exponent makes a float. */
static qn_status lex_number(lexer *lx) {
    char digits[400];
    size_t n = 0;
    bool is_float = false;
    const size_t pos = lx->at;
    const bool is_index = pos > 0 && lx->text[pos - 1] == '.'; /* list.0.1 */
    size_t at = pos;
    while (at < lx->n && n < sizeof digits - 1) {
        const char c = lx->text[at];
        const char next = at + 1 < lx->n ? lx->text[at + 1] : '\0';
        const bool is_exponent = (c == 'e' || c == 'E') &&
            (is_digit(next) || ((next == '-' || next == '+') && at + 2 < lx->n && is_digit(lx->text[at + 2])));
        if (c == '_' && is_digit(next)) {
            at++;
            continue;
        }
        if (!is_digit(c) && !(c == '.' && !is_float && !is_index && is_digit(next)) && !is_exponent) {
            break;
        }
        is_float = is_float || !is_digit(c);
        digits[n++] = c;
        at++;
        if (is_exponent) {
            digits[n++] = lx->text[at++];
            while (at < lx->n && is_digit(lx->text[at]) && n < sizeof digits - 1) {
                digits[n++] = lx->text[at++];
            }
            break;
        }
    }
    digits[n] = '\0';
    lx->at = at;
    qn_jtoken token = {
        .kind = is_float ? QN_JT_FLOAT : QN_JT_INT, .pos = (uint32_t)pos, .text = {lx->text + pos, at - pos}};
    errno = 0;
    if (is_float) {
        token.f = strtod(digits, NULL);
    } else {
        token.i = strtoll(digits, NULL, 10);
    }
    if ((!is_float && errno == ERANGE) || n == sizeof digits - 1) {
        return fail(lx, pos, "an integer beyond 64 bits");
    }
    return add(lx, token);
}

/* The operator at the cursor, 0 when there is none. */
static uint32_t find_operator(const lexer *lx) {
    static const char *const doubles[] = {"**", "//", "==", "!=", "<=", ">="};
    for (size_t i = 0; i < sizeof doubles / sizeof doubles[0]; i++) {
        if (has_at(lx, lx->at, doubles[i])) {
            return QN_JOP2(doubles[i][0], doubles[i][1]);
        }
    }
    const char c = lx->text[lx->at];
    return c != '\0' && strchr("+-*/%~<>=()[]{}.,:|;", c) != NULL ? (uint32_t)c : 0;
}

/* Whether a tag ends here; *n is the end's length, *mark its '-' or '+'. */
static bool is_tag_end(const lexer *lx, const char *end, size_t *n, char *mark) {
    const char c = lx->text[lx->at];
    *mark = '\0';
    *n = 2;
    if (has_at(lx, lx->at, end)) {
        return true;
    }
    if ((c == '-' || (c == '+' && end[0] != '}')) && has_at(lx, lx->at + 1, end)) {
        *mark = c;
        *n = 3;
        return true;
    }
    return false;
}

/* What goes behind a tag's end. */
static void trim_behind(lexer *lx, char mark, bool is_block) {
    if (mark == '-') {
        while (lx->at < lx->n && is_space(lx->text[lx->at])) {
            lx->at++;
        }
    } else if (mark == '\0' && is_block && lx->at < lx->n && lx->text[lx->at] == '\n') {
        lx->at++;
    }
}

static bool track_bracket(char *stack, size_t *n, uint32_t op) {
    if (op == '(' || op == '[' || op == '{') {
        if (*n == MAX_BRACKETS) {
            return false;
        }
        stack[(*n)++] = (char)(op == '(' ? ')' : op == '[' ? ']' : '}');
        return true;
    }
    if (op == ')' || op == ']' || op == '}') {
        if (*n == 0 || (uint32_t)stack[*n - 1] != op) {
            return false;
        }
        (*n)--;
    }
    return true;
}

static qn_status lex_one(lexer *lx, char *stack, size_t *n_open) {
    const char c = lx->text[lx->at];
    const size_t pos = lx->at;
    if (c == '"' || c == '\'') {
        return lex_string(lx);
    }
    if (is_digit(c)) {
        return lex_number(lx);
    }
    if (is_name_start(c)) {
        while (lx->at < lx->n && (is_name_start(lx->text[lx->at]) || is_digit(lx->text[lx->at]))) {
            lx->at++;
        }
        return add_plain(lx, QN_JT_NAME, pos, pos, lx->at);
    }
    const uint32_t op = find_operator(lx);
    if (op == 0) {
        return fail(lx, pos, "a character that no expression has");
    }
    if (!track_bracket(stack, n_open, op)) {
        return fail(lx, pos, *n_open == MAX_BRACKETS ? "brackets nested too deeply" : "a bracket that closes nothing");
    }
    lx->at += op > 0xFF ? 2 : 1;
    return add(lx, (qn_jtoken){.kind = QN_JT_OPERATOR, .pos = (uint32_t)pos, .op = op});
}

/* The tokens of {{ … }} or {% … %}, its opening passed. */
static qn_status lex_tag(lexer *lx, size_t pos, bool is_block) {
    char stack[MAX_BRACKETS];
    size_t n_open = 0;
    size_t n_end = 0;
    char mark = '\0';
    const char *end = is_block ? "%}" : "}}";
    QN_TRY(add_plain(lx, is_block ? QN_JT_BLOCK_BEGIN : QN_JT_VAR_BEGIN, pos, pos, pos));
    for (;;) {
        while (lx->at < lx->n && is_space(lx->text[lx->at])) {
            lx->at++;
        }
        if (lx->at >= lx->n) {
            return fail(lx, pos, is_block ? "{% without its %}" : "{{ without its }}");
        }
        if (n_open == 0 && is_tag_end(lx, end, &n_end, &mark)) {
            QN_TRY(add_plain(lx, is_block ? QN_JT_BLOCK_END : QN_JT_VAR_END, lx->at, lx->at, lx->at));
            lx->at += n_end;
            trim_behind(lx, mark, is_block);
            return QN_OK;
        }
        QN_TRY(lex_one(lx, stack, &n_open));
    }
}

static qn_status lex_comment(lexer *lx, size_t pos) {
    for (; lx->at + 1 < lx->n; lx->at++) {
        if (has_at(lx, lx->at, "#}")) {
            const char before = lx->text[lx->at - 1];
            const char mark = lx->at > pos + 2 && (before == '-' || before == '+') ? before : '\0';
            lx->at += 2;
            trim_behind(lx, mark, true);
            return QN_OK;
        }
    }
    return fail(lx, pos, "{# without its #}");
}

/* Where the text before a tag ends, by the tag's mark. is_line_start: the text begins a line. */
static size_t strip_before(const lexer *lx, size_t begin, size_t end, char mark, bool is_block, bool is_line_start) {
    size_t at = end;
    if (mark == '-') {
        while (at > begin && is_space(lx->text[at - 1])) {
            at--;
        }
        return at;
    }
    if (mark == '+' || !is_block) {
        return end;
    }
    while (at > begin && lx->text[at - 1] != '\n' && is_space(lx->text[at - 1])) {
        at--;
    }
    return (at > begin && lx->text[at - 1] == '\n') || (at == begin && is_line_start) ? at : end;
}

static void skip_spaces(const lexer *lx, size_t *at) {
    while (*at < lx->n && is_space(lx->text[*at])) {
        (*at)++;
    }
}

/* Whether {% NAME %} stands at a byte; *n is its length, the marks at its ends go out. */
static bool is_word_tag(const lexer *lx, size_t pos, const char *name, size_t *n, char *first, char *last) {
    size_t at = pos + 2;
    if (!has_at(lx, pos, "{%")) {
        return false;
    }
    *first = at < lx->n && (lx->text[at] == '-' || lx->text[at] == '+') ? lx->text[at++] : '\0';
    skip_spaces(lx, &at);
    if (at >= lx->n || !has_at(lx, at, name)) {
        return false;
    }
    at += strlen(name);
    skip_spaces(lx, &at);
    *last = at < lx->n && (lx->text[at] == '-' || lx->text[at] == '+') ? lx->text[at++] : '\0';
    if (at >= lx->n || !has_at(lx, at, "%}")) {
        return false;
    }
    *n = at + 2 - pos;
    return true;
}

/* What {% raw %} holds, from its end on. */
static qn_status lex_raw(lexer *lx, size_t pos) {
    const size_t begin = lx->at;
    const bool is_line_start = begin > 0 && lx->text[begin - 1] == '\n';
    for (size_t at = begin; at + 1 < lx->n; at++) {
        size_t n = 0;
        char first = '\0';
        char last = '\0';
        if (is_word_tag(lx, at, "endraw", &n, &first, &last)) {
            const size_t end = strip_before(lx, begin, at, first, true, is_line_start);
            QN_TRY(add_plain(lx, QN_JT_DATA, begin, begin, end));
            lx->at = at + n;
            trim_behind(lx, last, true);
            return QN_OK;
        }
    }
    return fail(lx, pos, "{% raw %} without its {% endraw %}");
}

/* The text up to the next tag, and that tag. */
static qn_status lex_stretch(lexer *lx) {
    const size_t begin = lx->at;
    const bool is_line_start = begin == 0 || lx->text[begin - 1] == '\n';
    size_t pos = begin;
    size_t n_raw = 0;
    char first = '\0';
    char last = '\0';
    while (pos < lx->n && !has_at(lx, pos, "{{") && !has_at(lx, pos, "{%") && !has_at(lx, pos, "{#")) {
        pos++;
    }
    if (pos == lx->n) {
        lx->at = pos;
        return pos == begin ? QN_OK : add_plain(lx, QN_JT_DATA, begin, begin, pos);
    }
    const char c = lx->text[pos + 1];
    const char next = pos + 2 < lx->n ? lx->text[pos + 2] : '\0';
    const char mark = next == '-' || (next == '+' && c != '{') ? next : '\0';
    const size_t end = strip_before(lx, begin, pos, mark, c != '{', is_line_start);
    if (end > begin) {
        QN_TRY(add_plain(lx, QN_JT_DATA, begin, begin, end));
    }
    if (is_word_tag(lx, pos, "raw", &n_raw, &first, &last)) {
        lx->at = pos + n_raw;
        trim_behind(lx, last, true);
        return lex_raw(lx, pos);
    }
    lx->at = pos + (mark == '\0' ? 2 : 3);
    return c == '#' ? lex_comment(lx, pos) : lex_tag(lx, pos, c == '%');
}

qn_status qn_jinja_lex(const qn_jinja *jinja, qn_jtokens *out, qn_error *err) {
    lexer lx = {.jinja = jinja, .text = jinja->text.bytes, .n = jinja->text.len, .out = out, .err = err};
    while (lx.at < lx.n) {
        QN_TRY(lex_stretch(&lx));
    }
    return add_plain(&lx, QN_JT_END, lx.n, lx.n, lx.n);
}
