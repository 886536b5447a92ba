/* SPDX-License-Identifier: MIT */
/* type_rules.c: parses "REGEX=TYPE" and searches names with PCRE2; a match has a limit of steps. */
#define PCRE2_CODE_UNIT_WIDTH 8

#include "stream/type_rules.h"

#include "base/buffer.h"
#include "base/nearest.h"

#include <ctype.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE_BYTES = 16 << 20, MAX_NEAREST = 3, MATCH_LIMIT = 1000000, DEPTH_LIMIT = 10000 };

struct qn_type_matcher {
    const qn_type_rule *rules;
    pcre2_code **codes;
    uint64_t n;
    pcre2_match_data *data;
    pcre2_match_context *limits;
};

/* Compiles a pattern; where begins the message. */
static qn_status compile(const char *pattern, const char *where, pcre2_code **out, qn_error *err) {
    int code = 0;
    PCRE2_SIZE at = 0;
    *out = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_CASELESS, &code, &at, NULL);
    if (*out == NULL) {
        PCRE2_UCHAR why[128] = "";
        (void)pcre2_get_error_message(code, why, sizeof why);
        return qn_fail(err, QN_E_USAGE, "%spattern '%.200s' is no regular expression: %s at offset %zu", where, pattern,
                       (const char *)why, (size_t)at);
    }
    return QN_OK;
}

qn_status qn_type_matcher_new(const qn_type_rule *rules, uint64_t n, qn_type_matcher **out, qn_error *err) {
    qn_type_matcher *m = qn_new_array(1, sizeof *m);
    qn_status status = QN_OK;
    *out = NULL;
    if (m == NULL) {
        return qn_fail_nomem(err, "patterns", sizeof *m);
    }
    m->rules = rules;
    m->codes = qn_new_array(n, sizeof(pcre2_code *));
    m->data = pcre2_match_data_create(1, NULL);
    m->limits = pcre2_match_context_create(NULL);
    if (m->codes == NULL || m->data == NULL || m->limits == NULL) {
        status = qn_fail_nomem(err, "patterns", n * sizeof(pcre2_code *));
    } else {
        (void)pcre2_set_match_limit(m->limits, MATCH_LIMIT);
        (void)pcre2_set_depth_limit(m->limits, DEPTH_LIMIT);
    }
    for (uint64_t i = 0; i < n && status == QN_OK; i++) {
        status = compile(rules[i].pattern, "", &m->codes[i], err);
        m->n = i + 1;
    }
    if (status != QN_OK) {
        qn_type_matcher_free(m);
        return status;
    }
    *out = m;
    return QN_OK;
}

void qn_type_matcher_free(qn_type_matcher *matcher) {
    if (matcher == NULL) {
        return;
    }
    for (uint64_t i = 0; i < matcher->n; i++) {
        pcre2_code_free(matcher->codes[i]);
    }
    free((void *)matcher->codes);
    pcre2_match_data_free(matcher->data);
    pcre2_match_context_free(matcher->limits);
    free(matcher);
}

qn_status qn_type_matcher_find(qn_type_matcher *matcher, const char *name, const qn_type_rule **out, qn_error *err) {
    *out = NULL;
    for (uint64_t i = 0; i < matcher->n && *out == NULL; i++) {
        const int found = pcre2_match(matcher->codes[i], (PCRE2_SPTR)name, strlen(name), 0, 0, matcher->data,
                                      matcher->limits);
        if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
            return qn_fail(err, QN_E_USAGE,
                           "pattern '%.200s' takes too many steps on tensor '%s' (PCRE2 code %d): write it simpler",
                           matcher->rules[i].pattern, name, found);
        }
        *out = found >= 0 ? &matcher->rules[i] : NULL;
    }
    return QN_OK;
}

static qn_status fail_type(const char *where, const char *name, qn_error *err) {
    const char *names[QN_DTYPE_LIMIT];
    const char *near[MAX_NEAREST];
    char upper[32];
    uint64_t n = 0;
    size_t n_upper = 0;
    for (uint32_t i = 0; i < QN_DTYPE_LIMIT; i++) {
        const qn_dtype_info *info = qn_dtype_get(i);
        if (info != NULL && info->has_encoder) {
            names[n++] = info->name;
        }
    }
    for (; name[n_upper] != '\0' && n_upper + 1 < sizeof upper; n_upper++) {
        upper[n_upper] = (char)toupper((unsigned char)name[n_upper]);
    }
    upper[n_upper] = '\0';
    const size_t n_near = qn_nearest(upper, names, n, near, MAX_NEAREST);
    if (n_near == 0) {
        return qn_fail(err, QN_E_USAGE, "%s'%.40s' is no type of tensors that quern writes; `quern types` lists them",
                       where, name);
    }
    return qn_fail(err, QN_E_USAGE, "%s'%.40s' is no type of tensors that quern writes; did you mean %s%s%s%s%s?",
                   where, name, near[0],
                   n_near > 2       ? ", "
                       : n_near > 1 ? " or "
                                    : "",
                   n_near > 1 ? near[1] : "", n_near > 2 ? " or " : "", n_near > 2 ? near[2] : "");
}

qn_status qn_tensor_type_parse(const char *where, const char *name, qn_dtype *type, qn_error *err) {
    const bool is_known = qn_dtype_find(name, type) && qn_dtype_get((uint32_t)*type)->has_encoder;
    return is_known ? QN_OK : fail_type(where, name, err);
}

/* One rule of n bytes; where begins the messages. */
static qn_status parse_rule(qn_arena *arena, const char *text, size_t n, const char *where, qn_type_rule *rule,
                            qn_error *err) {
    size_t at = n;
    while (at > 0 && text[at - 1] != '=') {
        at--;
    }
    if (at <= 1 || at == n) {
        return qn_fail(err, QN_E_USAGE, "%s'%.*s' is no rule: REGEX=TYPE is expected, attn_v=Q6_K for one", where,
                       (int)(n < 200 ? n : 200), text);
    }
    char *pattern = qn_arena_copy(arena, text, at - 1);
    const char *type = qn_arena_copy(arena, text + at, n - at);
    pcre2_code *code = NULL;
    if (pattern == NULL || type == NULL) {
        return qn_fail_nomem(err, "rules of types", n);
    }
    QN_TRY(compile(pattern, where, &code, err));
    pcre2_code_free(code);
    rule->pattern = pattern;
    return qn_tensor_type_parse(where, type, &rule->type, err);
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* Parses a file's lines; rules has room for one a line. */
static qn_status parse_lines(qn_arena *arena, const char *file, const char *text, size_t len, qn_type_rule *rules,
                             uint64_t *n_rules, qn_error *err) {
    uint64_t line_no = 1;
    for (size_t at = 0; at < len; line_no++) {
        const char *line = text + at;
        const char *end = memchr(line, '\n', len - at);
        size_t n = end == NULL ? len - at : (size_t)(end - line);
        at += n + 1;
        for (; n > 0 && is_blank(line[0]); n--) {
            line++;
        }
        while (n > 0 && is_blank(line[n - 1])) {
            n--;
        }
        if (n == 0 || line[0] == '#') {
            continue;
        }
        char where[512];
        (void)snprintf(where, sizeof where, "%.400s: line %llu: ", file, (unsigned long long)line_no);
        if (memchr(line, '\0', n) != NULL) {
            return qn_fail(err, QN_E_USAGE, "%sholds a zero byte: a text file is expected", where);
        }
        QN_TRY(parse_rule(arena, line, n, where, &rules[*n_rules], err));
        (*n_rules)++;
    }
    return QN_OK;
}

static uint64_t count_lines(const char *text, size_t len) {
    uint64_t n = 1;
    for (size_t i = 0; i < len; i++) {
        n += text[i] == '\n' ? 1 : 0;
    }
    return n;
}

qn_status qn_type_rules_parse(qn_arena *arena, const char *const *texts, size_t n, const char *file,
                              qn_type_rule **rules, uint64_t *n_rules, qn_error *err) {
    char *text = NULL;
    size_t len = 0;
    *rules = NULL;
    *n_rules = 0;
    if (file != NULL) {
        QN_TRY(qn_read_text(file, MAX_FILE_BYTES, &text, &len, err));
    }
    qn_type_rule *list = qn_arena_array(arena, n + count_lines(text, len), sizeof *list);
    qn_status status = list == NULL ? qn_fail_nomem(err, "rules of types", n * sizeof *list) : QN_OK;
    for (size_t i = 0; i < n && status == QN_OK; i++) {
        status = parse_rule(arena, texts[i], strlen(texts[i]), "", &list[i], err);
        *n_rules = i + 1;
    }
    if (status == QN_OK) {
        status = parse_lines(arena, file, text, len, list, n_rules, err);
    }
    free(text);
    if (status == QN_OK) {
        *rules = list;
    }
    return status;
}
