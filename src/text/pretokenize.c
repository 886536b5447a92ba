/* SPDX-License-Identifier: MIT */
/* pretokenize.c: runs splitting rules.
 *
 * An expression never sees the text itself but one byte a character: ASCII as it is, the rest by class (a letter, a
 * number, …; characters.h), so that PCRE2 needs no UTF-8 and no tables of its own, broken text cannot hurt it, and the
 * classes are the same for every rule. Expressions are translated once: \p{L} becomes the bytes of letters, and a
 * bracket that spells out characters past ASCII becomes a class of its own, which the text's characters get for that
 * stage. Rules apply stage after stage inside each piece of the stage before; what no match covers stays as a piece.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/pretokenize.h"

#include "base/buffer.h"
#include "text/characters.h"

#include <pcre2.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SETS = 8, MAX_RANGES = 256 };
static const size_t STACK_START = (size_t)32 << 10;
static const size_t STACK_MOST = (size_t)64 << 20;

/* Characters that an expression names itself. */
typedef struct own_range {
    uint32_t first;
    uint32_t last;
    unsigned char class_byte;
} own_range;

typedef struct stage {
    pcre2_code *code; /* NULL: digit groups */
    bool is_ascii;    /* digit groups of 0 to 9 only */
    bool is_compiled; /* to machine code */
    own_range *ranges;
    size_t n_ranges;
} stage;

struct qn_splitter {
    stage stages[QN_MAX_SPLIT_STAGES];
    size_t n_stages;
};

/* ---- translating an expression ---- */

typedef struct translation {
    const char *at;
    qn_buffer out;
    own_range ranges[MAX_RANGES];
    size_t n_ranges;
    size_t n_sets;
    bool is_wrong;
} translation;

/* What a property or escape stands for inside brackets. */
static const struct {
    const char *name;
    const char *bytes;
} properties[] = {
    {"\\p{LetterPastAscii}", "\x80\x81"},
    {"\\p{LetterPastHan}", "\x80"},
    {"\\p{Han}", "\x81\x89"},
    {"\\p{Lu}", "A-Za-z\x80\x81"},
    {"\\p{Ll}", "A-Za-z\x80\x81"},
    {"\\p{Lt}", "A-Za-z\x80\x81"},
    {"\\p{Lm}", "A-Za-z\x80\x81"},
    {"\\p{Lo}", "A-Za-z\x80\x81"},
    {"\\p{L}", "A-Za-z\x80\x81"},
    {"\\p{N}", "0-9\x82"},
    {"\\p{P}", "!-#%-*,-/:;?@\\[-\\]_{}\x83"},
    {"\\p{M}", "\x84"},
    {"\\p{S}", "$+<=>^`|~\x85"},
    {"\\s", "\\t-\\r \x86"},
    {"\\d", "0-9"},
};

static const char *take_property(translation *t) {
    for (size_t i = 0; i < sizeof properties / sizeof properties[0]; i++) {
        const size_t n = strlen(properties[i].name);
        if (strncmp(t->at, properties[i].name, n) == 0) {
            t->at += n;
            return properties[i].bytes;
        }
    }
    return NULL;
}

/* Puts the character or range at t->at, past ASCII, into a set. */
static void take_own(translation *t, unsigned char class_byte) {
    uint32_t first = 0;
    t->at += qn_utf8_decode(t->at, strlen(t->at), &first);
    uint32_t last = first;
    if (t->at[0] == '-' && (unsigned char)t->at[1] >= 0x80) {
        t->at++;
        t->at += qn_utf8_decode(t->at, strlen(t->at), &last);
    }
    if (t->n_ranges == MAX_RANGES || t->n_sets == MAX_SETS) {
        t->is_wrong = true;
        return;
    }
    t->ranges[t->n_ranges++] = (own_range){first, last, class_byte};
}

static void take_brackets(translation *t) {
    const unsigned char class_byte = (unsigned char)(QN_CLASS_OWN + t->n_sets);
    const size_t n_before = t->n_ranges;
    qn_buffer_append(&t->out, t->at++, 1);
    while (*t->at != ']' && *t->at != '\0' && !t->is_wrong) {
        const char *bytes = *t->at == '\\' ? take_property(t) : NULL;
        if (bytes != NULL) {
            qn_buffer_text(&t->out, bytes);
        } else if ((unsigned char)*t->at >= 0x80) {
            take_own(t, class_byte);
        } else {
            const size_t n = *t->at == '\\' ? 2 : 1;
            qn_buffer_append(&t->out, t->at, n);
            t->at += n;
        }
    }
    if (t->n_ranges > n_before) {
        qn_buffer_u8(&t->out, class_byte);
        t->n_sets++;
    }
    t->is_wrong = t->is_wrong || *t->at != ']';
    if (!t->is_wrong) {
        qn_buffer_append(&t->out, t->at++, 1);
    }
}

static void translate(translation *t, const char *expression) {
    t->at = expression;
    while (*t->at != '\0' && !t->is_wrong) {
        if (*t->at == '[') {
            take_brackets(t);
            continue;
        }
        if (strncmp(t->at, "\\S", 2) == 0) {
            t->at += 2;
            qn_buffer_text(&t->out, "[^\\t-\\r \x86]");
            continue;
        }
        const char *bytes = *t->at == '\\' ? take_property(t) : NULL;
        if (bytes != NULL) {
            qn_buffer_printf(&t->out, "[%s]", bytes);
        } else {
            const size_t n = *t->at == '\\' ? 2 : 1;
            qn_buffer_append(&t->out, t->at, n);
            t->at += n;
        }
    }
}

/* ---- compiling ---- */

static qn_status compile(const translation *t, const char *expression, stage *s, qn_error *err) {
    int code = 0;
    PCRE2_SIZE at = 0;
    s->code = pcre2_compile(t->out.data, t->out.len, PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_UTF, &code, &at, NULL);
    if (s->code == NULL) {
        return code == PCRE2_ERROR_NOMEMORY || code == 121
            ? qn_fail_nomem(err, "splitting expression", t->out.len)
            : qn_fail(err, QN_E_INTERNAL, "the splitting expression %.200s is wrong (PCRE2 error %d at %zu)",
                      expression, code, (size_t)at);
    }
    s->is_compiled = pcre2_jit_compile(s->code, PCRE2_JIT_COMPLETE) == 0;
    s->n_ranges = t->n_ranges;
    s->ranges = qn_new_array(t->n_ranges == 0 ? 1 : t->n_ranges, sizeof *s->ranges);
    if (s->ranges == NULL) {
        return qn_fail_nomem(err, "splitting expression", t->n_ranges * sizeof *s->ranges);
    }
    if (t->n_ranges > 0) {
        memcpy(s->ranges, t->ranges, t->n_ranges * sizeof *s->ranges);
    }
    return QN_OK;
}

static qn_status make_stage(const char *expression, stage *s, qn_error *err) {
    if (strcmp(expression, QN_SPLIT_DIGIT_GROUPS) == 0 || strcmp(expression, QN_SPLIT_ASCII_GROUPS) == 0) {
        s->is_ascii = strcmp(expression, QN_SPLIT_ASCII_GROUPS) == 0;
        return QN_OK;
    }
    translation t = {.at = expression};
    translate(&t, expression);
    qn_status status = qn_buffer_status(&t.out, err);
    if (status == QN_OK && t.is_wrong) {
        status = qn_fail(err, QN_E_INTERNAL, "the splitting expression %.200s cannot be translated", expression);
    }
    if (status == QN_OK) {
        status = compile(&t, expression, s, err);
    }
    qn_buffer_clear(&t.out);
    return status;
}

qn_status qn_splitter_new(const qn_split_rule *rule, qn_splitter **out, qn_error *err) {
    qn_splitter *splitter = qn_new_array(1, sizeof *splitter);
    *out = NULL;
    if (splitter == NULL) {
        return qn_fail_nomem(err, "splitter", sizeof *splitter);
    }
    for (size_t i = 0; i < QN_MAX_SPLIT_STAGES && rule->stages[i] != NULL; i++) {
        splitter->n_stages = i + 1;
        const qn_status status = make_stage(rule->stages[i], &splitter->stages[i], err);
        if (status != QN_OK) {
            qn_splitter_free(splitter);
            return status;
        }
    }
    *out = splitter;
    return QN_OK;
}

void qn_splitter_free(qn_splitter *splitter) {
    for (size_t i = 0; splitter != NULL && i < splitter->n_stages; i++) {
        pcre2_code_free(splitter->stages[i].code);
        free(splitter->stages[i].ranges);
    }
    free(splitter);
}

/* ---- running ---- */

void qn_split_state_clear(qn_split_state *state) {
    free(state->classes);
    free(state->pieces);
    free(state->others);
    pcre2_match_data_free(state->match);
    pcre2_match_context_free(state->context);
    pcre2_jit_stack_free(state->stack);
    *state = (qn_split_state){0};
}

static qn_status prepare(qn_split_state *state, size_t n_classes, qn_error *err) {
    if (state->match == NULL) {
        state->match = pcre2_match_data_create(1, NULL);
        state->context = pcre2_match_context_create(NULL);
        state->stack = pcre2_jit_stack_create(STACK_START, STACK_MOST, NULL);
        if (state->match == NULL || state->context == NULL || state->stack == NULL) {
            return qn_fail_nomem(err, "splitting", STACK_START);
        }
        pcre2_jit_stack_assign(state->context, NULL, state->stack);
        (void)pcre2_set_match_limit(state->context, UINT32_MAX);
    }
    if (n_classes > state->cap_classes) {
        unsigned char *classes = qn_resize_array(state->classes, n_classes, 1);
        if (classes == NULL) {
            return qn_fail_nomem(err, "splitting", n_classes);
        }
        state->classes = classes;
        state->cap_classes = n_classes;
    }
    return QN_OK;
}

static unsigned char own_class(const stage *s, uint32_t code) {
    const unsigned char plain = qn_char_class(code);
    for (size_t i = 0; plain != QN_CLASS_SPACE && i < s->n_ranges; i++) {
        if (code >= s->ranges[i].first && code <= s->ranges[i].last) {
            return s->ranges[i].class_byte;
        }
    }
    return plain;
}

/* The class of each character, as stage s sees it; returns how many. */
static size_t classify(const stage *s, qn_text text, unsigned char *classes) {
    size_t n = 0;
    for (size_t i = 0; i < text.len; n++) {
        if ((unsigned char)text.bytes[i] < 0x80) {
            classes[n] = (unsigned char)text.bytes[i++];
            continue;
        }
        uint32_t code = 0;
        i += qn_utf8_decode(text.bytes + i, text.len - i, &code);
        classes[n] = s->n_ranges == 0 ? qn_char_class(code) : own_class(s, code);
    }
    return n;
}

static qn_status put_piece(qn_split_state *state, size_t n_chars, qn_error *err) {
    if (state->n_pieces == state->cap_pieces) {
        const size_t cap = state->cap_pieces < 256 ? 256 : state->cap_pieces * 2;
        uint32_t *pieces = qn_resize_array(state->pieces, cap, sizeof *pieces);
        if (pieces == NULL) {
            return qn_fail_nomem(err, "splitting", cap * sizeof *pieces);
        }
        state->pieces = pieces;
        state->cap_pieces = cap;
    }
    state->pieces[state->n_pieces++] = (uint32_t)n_chars;
    return QN_OK;
}

static qn_status split_by_code(const stage *s, const unsigned char *classes, size_t n, qn_split_state *state,
                               qn_error *err) {
    const PCRE2_SIZE *span = pcre2_get_ovector_pointer(state->match);
    size_t done = 0;
    size_t at = 0;
    while (at < n) {
        const int found = s->is_compiled ? pcre2_jit_match(s->code, classes, n, at, 0, state->match, state->context)
                                         : pcre2_match(s->code, classes, n, at, 0, state->match, state->context);
        if (found == PCRE2_ERROR_NOMATCH) {
            break;
        }
        if (found < 0) {
            return qn_fail(err, QN_E_UNSUPPORTED, "text of %zu characters cannot be split (PCRE2 error %d)", n, found);
        }
        const size_t start = span[0];
        const size_t end = span[1];
        if (end <= start) { /* no rule has empty matches */
            at++;
            continue;
        }
        if (start > done) {
            QN_TRY(put_piece(state, start - done, err));
        }
        QN_TRY(put_piece(state, end - start, err));
        done = at = end;
    }
    return done < n ? put_piece(state, n - done, err) : QN_OK;
}

static bool is_digit(const stage *s, unsigned char c) {
    return (c >= '0' && c <= '9') || (c == QN_CLASS_NUMBER && !s->is_ascii);
}

/*
 * Numbers of any script: text before a run goes with its first group, as in llama.cpp, where later stages see it so.
 * Zero to nine only: a run stands alone.
 */
static qn_status split_digits(const stage *s, const unsigned char *classes, size_t n, qn_split_state *state,
                              qn_error *err) {
    size_t start = 0;
    size_t at = 0;
    while (at < n) {
        const bool is_run = is_digit(s, classes[at]);
        size_t end = at;
        while (end < n && is_digit(s, classes[end]) == is_run) {
            end++;
        }
        while (is_run && at < end) {
            at += (end - at) % 3 == 0 ? 3 : (end - at) % 3;
            QN_TRY(put_piece(state, at - start, err));
            start = at;
        }
        at = end;
        if (!is_run && (s->is_ascii || end == n)) {
            QN_TRY(put_piece(state, end - start, err));
            start = end;
        }
    }
    return QN_OK;
}

/* Runs a stage inside each of the n_old pieces in state->others. */
static qn_status run_stage(const stage *s, size_t n_old, qn_split_state *state, const unsigned char *classes,
                           qn_error *err) {
    state->n_pieces = 0;
    for (size_t i = 0; i < n_old; i++) {
        const size_t n = state->others[i];
        QN_TRY(s->code != NULL ? split_by_code(s, classes, n, state, err) : split_digits(s, classes, n, state, err));
        classes += n;
    }
    return QN_OK;
}

static void swap_pieces(qn_split_state *state) {
    uint32_t *pieces = state->pieces;
    const size_t cap = state->cap_pieces;
    state->pieces = state->others;
    state->cap_pieces = state->cap_others;
    state->others = pieces;
    state->cap_others = cap;
}

qn_status qn_split(const qn_splitter *splitter, qn_text text, qn_split_state *state, qn_error *err) {
    size_t n_chars = 0;
    bool is_fresh = false; /* classes hold the text's plain classes */
    QN_TRY(prepare(state, text.len, err));
    for (size_t i = 0; i < splitter->n_stages; i++) {
        const stage *s = &splitter->stages[i];
        if (!is_fresh || s->n_ranges > 0) {
            n_chars = classify(s, text, state->classes);
        }
        is_fresh = s->n_ranges == 0;
        if (i == 0) {
            state->n_pieces = 0;
            QN_TRY(put_piece(state, n_chars, err));
        }
        const size_t n_old = state->n_pieces;
        swap_pieces(state);
        QN_TRY(run_stage(s, n_old, state, state->classes, err));
    }
    return QN_OK;
}
