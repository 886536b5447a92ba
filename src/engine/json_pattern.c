/* SPDX-License-Identifier: MIT */
/*
 * json_pattern.c: a JSON schema's regular expression as a grammar of what stands between the quotes.
 *
 * Understood: characters, '.', classes, \d \w \s and their opposites, groups, alternatives, * + ? {m,n} (lazy ones mean
 * the same here), ^ and $ around an alternative. Quotes, backslashes and control characters are written as JSON
 * escapes them; control characters without an escape of one letter are left out of classes.
 */
#include "engine/json_schema_parts.h"
#include "text/characters.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NESTING = 100, MAX_REPEAT = 100000 };

typedef struct pattern {
    const char *text;
    size_t n, at;
    const char *any_char; /* the rule of a string's character */
    unsigned depth;
    qn_buffer *out;
    qn_error *err;
} pattern;

static qn_status put_alternatives(pattern *p);

static qn_status fail_here(const pattern *p, qn_status status, const char *what) {
    return qn_fail(p->err, status, "pattern, byte %zu: %s", p->at, what);
}

static char peek(const pattern *p) {
    return p->at < p->n ? p->text[p->at] : '\0';
}

/* ---- Writing ---- */

/* The letter that JSON escapes a character with; 0 where there is none. */
static char json_escape(uint32_t code) {
    switch (code) {
    case '"':
    case '\\': return (char)code;
    case '\b': return 'b';
    case '\f': return 'f';
    case '\n': return 'n';
    case '\r': return 'r';
    case '\t': return 't';
    default: return 0;
    }
}

static void put_char(qn_buffer *out, uint32_t code) {
    char bytes[8];
    if (json_escape(code) != 0) {
        const char pair[2] = {'\\', json_escape(code)};
        qn_grammar_literal(out, pair, 2);
    } else if (code < 0x20) {
        (void)snprintf(bytes, sizeof bytes, "\\u%04X", (unsigned)code);
        qn_grammar_literal(out, bytes, 6);
    } else {
        qn_grammar_literal(out, bytes, qn_utf8_encode(code, bytes));
    }
}

static void put_class_char(qn_buffer *out, uint32_t code) {
    const bool is_plain = (code >= '0' && code <= '9') || (code >= 'A' && code <= 'Z') || (code >= 'a' && code <= 'z');
    if (is_plain) {
        qn_buffer_u8(out, (uint8_t)code);
    } else {
        qn_buffer_printf(out,
                         code < 0x100         ? "\\x%02" PRIX32
                             : code < 0x10000 ? "\\u%04" PRIX32
                                              : "\\U%08" PRIX32,
                         code);
    }
}

void qn_grammar_class(qn_buffer *out, const qn_char_range *ranges, size_t n) {
    for (size_t i = 0; i < n; i++) {
        put_class_char(out, ranges[i].low);
        if (ranges[i].high > ranges[i].low) {
            qn_buffer_u8(out, '-');
            put_class_char(out, ranges[i].high);
        }
    }
}

static bool set_has(const qn_char_set *set, uint32_t code) {
    return qn_ranges_meet(qn_char_set_items(set), qn_char_set_n(set), code, code);
}

/* The ranges of a set that a string holds as they are. */
static void keep_plain(const qn_char_set *set, qn_char_set *plain) {
    qn_char_set_add_all(plain, set);
    qn_char_set_invert(plain);
    qn_char_set_add(plain, 0, 0x1F);
    qn_char_set_add(plain, '"', '"');
    qn_char_set_add(plain, '\\', '\\');
    qn_char_set_invert(plain);
}

/* A tidy set as a group. */
static qn_status put_set(pattern *p, const qn_char_set *set) {
    static const char escaped[] = "\"\\\b\f\n\r\t";
    qn_char_set plain = {0};
    const char *between = "";
    keep_plain(set, &plain);
    qn_buffer_text(p->out, "(");
    if (qn_char_set_n(&plain) > 0) {
        qn_buffer_text(p->out, "[");
        qn_grammar_class(p->out, qn_char_set_items(&plain), qn_char_set_n(&plain));
        qn_buffer_text(p->out, "]");
        between = " | ";
    }
    for (size_t i = 0; i + 1 < sizeof escaped; i++) {
        if (set_has(set, (uint32_t)escaped[i])) {
            qn_buffer_text(p->out, between);
            put_char(p->out, (uint32_t)escaped[i]);
            between = " | ";
        }
    }
    qn_buffer_text(p->out, ")");
    const bool has_failed = plain.ranges.has_failed || set->ranges.has_failed;
    qn_char_set_clear(&plain);
    if (has_failed) {
        return qn_fail_nomem(p->err, "a pattern", p->n);
    }
    return between[0] != '\0' ? QN_OK : fail_here(p, QN_E_UNSUPPORTED, "a class that no text of JSON can meet");
}

/* ---- Characters and classes ---- */

/* The set of \d \w \s and their opposites. @return false for other letters */
static bool add_named_set(char letter, qn_char_set *set) {
    qn_char_set found = {0};
    switch (letter) {
    case 'd':
    case 'D': qn_char_set_add(&found, '0', '9'); break;
    case 'w':
    case 'W':
        qn_char_set_add(&found, '0', '9');
        qn_char_set_add(&found, 'A', 'Z');
        qn_char_set_add(&found, '_', '_');
        qn_char_set_add(&found, 'a', 'z');
        break;
    case 's':
    case 'S':
        qn_char_set_add(&found, '\t', '\r');
        qn_char_set_add(&found, ' ', ' ');
        qn_char_set_add(&found, 0xA0, 0xA0);
        break;
    default: return false;
    }
    if (letter == 'D' || letter == 'W' || letter == 'S') {
        qn_char_set_invert(&found);
    }
    qn_char_set_add_all(set, &found);
    set->ranges.has_failed = set->ranges.has_failed || found.ranges.has_failed;
    qn_char_set_clear(&found);
    return true;
}

static qn_status read_hex(pattern *p, unsigned n_digits, uint32_t *code) {
    char digits[8] = "";
    char *end = NULL;
    for (unsigned i = 0; i < n_digits && p->at < p->n; i++) {
        digits[i] = p->text[p->at++];
    }
    *code = (uint32_t)strtoul(digits, &end, 16);
    const bool is_hex = digits[0] != '+' && digits[0] != '-' && digits[0] != ' ' && strlen(digits) == n_digits &&
        *end == '\0';
    return is_hex ? QN_OK : fail_here(p, QN_E_FORMAT, "hexadecimal digits are expected");
}

/* What stands behind a backslash, when it is one character. */
static qn_status read_escape(pattern *p, uint32_t *code) {
    const char c = peek(p);
    if (c == '\0') {
        return fail_here(p, QN_E_FORMAT, "a backslash at the end");
    }
    p->at++;
    switch (c) {
    case 'n': *code = '\n'; return QN_OK;
    case 'r': *code = '\r'; return QN_OK;
    case 't': *code = '\t'; return QN_OK;
    case 'f': *code = '\f'; return QN_OK;
    case 'x': return read_hex(p, 2, code);
    case 'u': return read_hex(p, 4, code);
    default: break;
    }
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80) {
        p->at--;
        return fail_here(p, QN_E_UNSUPPORTED, "this escape is not supported (references, word boundaries, \\p)");
    }
    *code = (uint32_t)(unsigned char)c;
    return QN_OK;
}

static void read_char(pattern *p, uint32_t *code) {
    p->at += qn_utf8_decode(p->text + p->at, p->n - p->at, code);
}

/* One entry of a class. @param is_set out: it was a set, and has been added */
static qn_status read_class_entry(pattern *p, qn_char_set *set, uint32_t *code, bool *is_set) {
    *is_set = false;
    if (p->at >= p->n) {
        return fail_here(p, QN_E_FORMAT, "']' is missing");
    }
    if (peek(p) != '\\') {
        read_char(p, code);
        return QN_OK;
    }
    p->at++;
    if (add_named_set(peek(p), set)) {
        *is_set = true;
        p->at++;
        return QN_OK;
    }
    if (peek(p) == 'b') {
        *code = '\b';
        p->at++;
        return QN_OK;
    }
    return read_escape(p, code);
}

static qn_status read_class(pattern *p, qn_char_set *set) {
    p->at++;
    const bool is_inverted = peek(p) == '^';
    p->at += is_inverted;
    while (peek(p) != ']' || p->at >= p->n) {
        uint32_t low = 0;
        bool is_set = false;
        QN_TRY(read_class_entry(p, set, &low, &is_set));
        if (is_set) {
            continue;
        }
        uint32_t high = low;
        if (peek(p) == '-' && p->at + 1 < p->n && p->text[p->at + 1] != ']') {
            p->at++;
            QN_TRY(read_class_entry(p, set, &high, &is_set));
        }
        if (is_set || high < low) {
            return fail_here(p, QN_E_FORMAT, "a range that ends before it begins");
        }
        qn_char_set_add(set, low, high);
    }
    p->at++;
    if (is_inverted) {
        qn_char_set_invert(set);
    } else {
        qn_char_set_tidy(set);
    }
    return QN_OK;
}

static qn_status put_class(pattern *p) {
    qn_char_set set = {0};
    qn_status status = read_class(p, &set);
    if (status == QN_OK) {
        status = put_set(p, &set);
    }
    qn_char_set_clear(&set);
    return status;
}

static qn_status put_escape(pattern *p) {
    qn_char_set set = {0};
    uint32_t code = 0;
    p->at++;
    if (add_named_set(peek(p), &set)) {
        p->at++;
        const qn_status status = put_set(p, &set);
        qn_char_set_clear(&set);
        return status;
    }
    QN_TRY(read_escape(p, &code));
    if (code >= 0xD800 && code <= 0xDFFF) {
        return fail_here(p, QN_E_UNSUPPORTED, "half a surrogate pair");
    }
    put_char(p->out, code);
    return QN_OK;
}

static qn_status put_dot(pattern *p) {
    qn_char_set set = {0};
    p->at++;
    qn_char_set_add(&set, '\n', '\n');
    qn_char_set_add(&set, '\r', '\r');
    qn_char_set_add(&set, 0x2028, 0x2029);
    qn_char_set_invert(&set);
    const qn_status status = put_set(p, &set);
    qn_char_set_clear(&set);
    return status;
}

/* ---- Items ---- */

static qn_status put_group(pattern *p) {
    p->at++;
    if (peek(p) == '?') {
        if (p->at + 1 >= p->n || p->text[p->at + 1] != ':') {
            return fail_here(p, QN_E_UNSUPPORTED, "only (…) and (?:…) are supported, no looking around, no names");
        }
        p->at += 2;
    }
    if (++p->depth > MAX_NESTING) {
        return fail_here(p, QN_E_RANGE, "groups nest too deeply");
    }
    QN_TRY(put_alternatives(p));
    p->depth--;
    if (peek(p) != ')' || p->at >= p->n) {
        return fail_here(p, QN_E_FORMAT, "')' is missing");
    }
    p->at++;
    return QN_OK;
}

static bool read_number(pattern *p, uint64_t *value) {
    const size_t start = p->at;
    *value = 0;
    while (peek(p) >= '0' && peek(p) <= '9' && *value <= MAX_REPEAT) {
        *value = *value * 10 + (uint64_t)(p->text[p->at++] - '0');
    }
    return p->at > start && *value <= MAX_REPEAT;
}

static qn_status put_times(pattern *p) {
    const char c = peek(p);
    uint64_t least = 0;
    uint64_t most = 0;
    if (c == '\0' || strchr("*+?{", c) == NULL) {
        return QN_OK;
    }
    p->at++;
    if (c == '{') {
        bool is_read = read_number(p, &least);
        most = least;
        if (is_read && peek(p) == ',') {
            p->at++;
            most = UINT64_MAX;
            is_read = peek(p) == '}' || read_number(p, &most);
        }
        if (!is_read || peek(p) != '}' || most < least) {
            return fail_here(p, QN_E_FORMAT, "{m}, {m,} or {m,n} is expected, up to 100000");
        }
        p->at++;
        qn_schema_times(p->out, least, most);
    } else {
        qn_buffer_u8(p->out, (uint8_t)c);
    }
    if (peek(p) == '?') {
        p->at++; /* lazy: the same texts */
    }
    return peek(p) != '+' && peek(p) != '*' ? QN_OK : fail_here(p, QN_E_UNSUPPORTED, "one repetition behind another");
}

static qn_status put_item(pattern *p) {
    uint32_t code = 0;
    switch (peek(p)) {
    case '\\': QN_TRY(put_escape(p)); break;
    case '[': QN_TRY(put_class(p)); break;
    case '.': QN_TRY(put_dot(p)); break;
    case '(': QN_TRY(put_group(p)); break;
    case '*':
    case '+':
    case '?':
    case '{': return fail_here(p, QN_E_FORMAT, "there is nothing to be repeated");
    case '^':
    case '$':
        return fail_here(p, QN_E_UNSUPPORTED,
                         "'^' and '$' are supported at the ends of an alternative that is in no group");
    default: read_char(p, &code); put_char(p->out, code);
    }
    return put_times(p);
}

/* What is between bars. Outside groups an end without ^ or $ may be preceded or followed by anything. */
static qn_status put_alternative(pattern *p) {
    const bool is_outermost = p->depth == 0;
    bool is_open = is_outermost;
    if (is_outermost && peek(p) == '^') {
        p->at++;
    } else if (is_outermost) {
        qn_buffer_printf(p->out, "%s* ", p->any_char);
    }
    qn_buffer_text(p->out, "\"\"");
    while (p->at < p->n && peek(p) != '|' && peek(p) != ')') {
        if (is_outermost && peek(p) == '$' && (p->at + 1 == p->n || p->text[p->at + 1] == '|')) {
            is_open = false;
            p->at++;
            break;
        }
        qn_buffer_u8(p->out, ' ');
        QN_TRY(put_item(p));
    }
    if (is_open) {
        qn_buffer_printf(p->out, " %s*", p->any_char);
    }
    return QN_OK;
}

static qn_status put_alternatives(pattern *p) {
    qn_buffer_text(p->out, "(");
    QN_TRY(put_alternative(p));
    while (p->at < p->n && peek(p) == '|') {
        p->at++;
        qn_buffer_text(p->out, " | ");
        QN_TRY(put_alternative(p));
    }
    qn_buffer_text(p->out, ")");
    return QN_OK;
}

qn_status qn_json_pattern(const char *text, const char *any_char, qn_buffer *out, qn_error *err) {
    pattern p = {.text = text, .n = strlen(text), .any_char = any_char, .out = out, .err = err};
    QN_TRY(put_alternatives(&p));
    return p.at == p.n ? QN_OK : fail_here(&p, QN_E_FORMAT, "')' without '('");
}
