/* SPDX-License-Identifier: MIT */
/* test_grammar.c: GBNF that is read and texts it accepts, GBNF that is refused with its place, limits, taking back. */
#include "support.h"

#include "engine/grammar.h"

/** A grammar, texts that are whole, texts that go wrong at a byte or end too soon. */
typedef struct text_case {
    const char *grammar;
    const char *accepted[8];
    const char *refused[8]; /* some byte cannot stand where it is */
    const char *partial[6]; /* may go on, may not end */
} text_case;

static const text_case cases[] = {
    {"root ::= \"abc\"", {"abc"}, {"abd", "abcd", "b", "A"}, {"", "ab"}},
    {"root ::= \"a\" | \"bc\" | \"\"", {"a", "bc", ""}, {"ab", "c"}, {"b"}},
    {"# first\nroot ::= a \"-\" b # end\na ::= [a-c]\r\nb ::= [0-9]\n\n# last", {"a-1", "c-9"}, {"d-1", "a-a"}, {"a-"}},
    {"root ::= (\n  \"a\" # one\n  | \"b\"\n) \"c\"", {"ac", "bc"}, {"cc", "a\n"}, {"a", ""}},
    {"root ::= \"a\" |\n  \"b\"\n", {"a", "b"}, {"c"}, {""}},
    {"root ::=\n  \"a\"", {"a"}, {"b"}, {""}},
    {"root ::= [^a-y\\n]", {"z", "A", "\xC3\xA9", "\xF0\x9F\x9A\x80"}, {"a", "\n", "zz"}, {""}},
    {"root ::= [a-]", {"a", "-"}, {"b"}, {""}},
    {"root ::= [\\]\\[\\\\^]", {"]", "[", "\\", "^"}, {"a"}, {""}},
    {"root ::= .",
     {"x", "\n", "\xE4\xBD\xA0"},
     {"xx", "\xFF", "\xC0\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80"},
     {"", "\xE4"}},
    {"root ::= \"\\x41\\u00e9\\U0001F680\\n\\t\\r\\\\\\\"\"",
     {"A\xC3\xA9\xF0\x9F\x9A\x80\n\t\r\\\""},
     {"A\xC3\xA8"},
     {"A\xC3", "A\xC3\xA9\xF0\x9F"}},
    {"root ::= \"\xC3\xA9\" [\xD0\xB0-\xD1\x8F]+", {"\xC3\xA9\xD0\xB0\xD1\x8F"}, {"\xC3\xA9z"}, {"\xC3\xA9"}},
    {"root ::= \"ab\"* \"c\"", {"c", "abc", "ababc"}, {"aab", "abac"}, {"ab", "a"}},
    {"root ::= [ab]+", {"a", "abba"}, {"c"}, {""}},
    {"root ::= \"a\"? \"b\"", {"ab", "b"}, {"aa"}, {"a"}},
    {"root ::= \"a\"{2}", {"aa"}, {"aaa", "b"}, {"a"}},
    {"root ::= \"a\"{2,}", {"aa", "aaaaa"}, {"b"}, {"a"}},
    {"root ::= \"a\"{1,3}", {"a", "aa", "aaa"}, {"aaaa"}, {""}},
    {"root ::= \"a\"{0} \"b\"", {"b"}, {"a"}, {""}},
    {"root ::= \"a\"{ 1 , 2 }", {"a", "aa"}, {"aaa"}, {""}},
    {"root ::= (\"a\" | \"bc\"){2,3} \"!\"", {"aa!", "abc!", "bcbcbc!"}, {"a!", "aaaa"}, {"aa"}},
    {"root ::= (\"a\"? \"b\"?)* \"c\"", {"c", "abbac"}, {"d"}, {"ab"}},
    {"root ::= (\"a\"*)* (\"b\"*)+", {"", "aab", "b"}, {"ba"}, {NULL}},
    {"root ::= \"\"*", {""}, {"a"}, {NULL}},
    {"root ::= \"(\" root \")\" | \"\"", {"", "()", "((()))"}, {")", "())"}, {"(", "(()"}},
    {"root ::= x root-2 | y\nroot-2 ::= root\nx ::= \"x\"\ny ::= \"y\"", {"y", "xxy"}, {"xz"}, {"x"}},
    /* All the ways of reading it are one after each character. */
    {"root ::= (\"a\" | \"a\" | [a-z])* \"!\"", {"aaaaaaaaaaaaaaaaaaaaaaaaaaaa!"}, {"A"}, {"aaaaaaaaaaaaaaaaaaaaaa"}},
    {"root ::= [a-z]* [a-z]* [a-z]* \"!\"", {"abcabcabcabcabc!"}, {"1"}, {"abcabcabcabcabc"}},
    {"root ::= e\ne ::= t ((\"+\" | \"-\") t)*\nt ::= [0-9]+ | \"(\" e \")\"", {"1+(2-3)", "7"}, {"1++"}, {"(1", "1+"}},
};

static qn_grammar *parse(const char *text) {
    qn_grammar *g = NULL;
    qn_error err;
    assert_ok(&err, qn_grammar_parse(text, strlen(text), &g, &err));
    return g;
}

static bool push_all(qn_grammar_walk *w, const char *text) {
    for (; *text != '\0'; text++) {
        if (!qn_grammar_push(w, (unsigned char)*text)) {
            return false;
        }
    }
    return true;
}

static void expect(qn_grammar_walk *w, const char *grammar, const char *text, bool fits, bool may_end) {
    qn_error err;
    assert_ok(&err, qn_grammar_walk_reset(w, &err));
    const bool has_fitted = push_all(w, text);
    if (has_fitted != fits || (fits && qn_grammar_may_end(w) != may_end)) {
        fail_msg("%s: '%s' fits %d, may end %d", grammar, text, has_fitted, qn_grammar_may_end(w));
    }
    assert_ok(&err, qn_grammar_walk_status(w, &err));
}

static void test_texts(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const text_case *c = &cases[i];
        qn_grammar *g = parse(c->grammar);
        qn_grammar_walk *w = NULL;
        qn_error err;
        assert_ok(&err, qn_grammar_walk_new(g, &w, &err));
        for (size_t k = 0; k < 8 && c->accepted[k] != NULL; k++) {
            expect(w, c->grammar, c->accepted[k], true, true);
        }
        for (size_t k = 0; k < 8 && c->refused[k] != NULL; k++) {
            expect(w, c->grammar, c->refused[k], false, false);
        }
        for (size_t k = 0; k < 6 && c->partial[k] != NULL; k++) {
            expect(w, c->grammar, c->partial[k], true, false);
        }
        qn_grammar_walk_free(w);
        qn_grammar_free(g);
    }
}

typedef struct error_case {
    const char *grammar;
    const char *message; /* part of it */
    qn_status status;    /* 0: QN_E_FORMAT */
} error_case;

static const error_case errors[] = {
    {"", "no rule 'root'", 0},
    {"a ::= \"b\"", "no rule 'root'", 0},
    {"root ::= a", "line 1, column 10: the rule 'a' is not defined", 0},
    {"root ::= \"a\"\nx ::= yy | \"\"", "line 2, column 7: the rule 'yy' is not defined", 0},
    {"root ::= \"a", "column 12: a closing '\"' is expected, and the end", 0},
    {"root ::= [a", "a closing ']' is expected", 0},
    {"root ::= [", "a closing ']' is expected", 0},
    {"root ::= [a-", "a closing ']' is expected", 0},
    {"root ::= [^]", "column 10: a class without characters", 0},
    {"root ::= []", "a class without characters", 0},
    {"root ::= [z-a]", "column 11: the range U+007A to U+0061 ends before it begins", 0},
    {"root ::= [^\\x00-\\U0010FFFF]", "a class without characters", 0},
    {"root ::= \"\\q\"", "column 12: one of n r t x", 0},
    {"root ::= \"\\", "behind '\\'", 0},
    {"root ::= \"\\x4\"", "\\x takes two", 0},
    {"root ::= \"\\u12\"", "\\u takes four", 0},
    {"root ::= \"\\U0011FFFF\"", "past the last character", 0},
    {"root ::= \"\xC3\"", "byte 0xc3 is not UTF-8", 0},
    {"root ::= \"\xFF\"", "byte 0xff is not UTF-8", 0},
    {"root ::= *", "nothing before '*' to be repeated", 0},
    {"root ::= \"a\" | +", "nothing before '+'", 0},
    {"root ::= ({2})", "nothing before '{'", 0},
    {"root ::= \"a\"{", "a number of repetitions is expected, and the end", 0},
    {"root ::= \"a\"{x}", "a number of repetitions is expected, and 'x'", 0},
    {"root ::= \"a\"{,2}", "a number of repetitions", 0},
    {"root ::= \"a\"{1", "'}' is expected", 0},
    {"root ::= \"a\"{1,2", "'}' is expected", 0},
    {"root ::= \"a\"{3,2}", "at least 3 and at most 2", 0},
    {"root ::= \"a\"{99999999999}", "more than 131072 repetitions", QN_E_RANGE},
    {"root ::= ((\"a\"{131072}){131072}){131072}"
     " ((\"b\" \"c\"){131072}){131072} \"d\"{131072} \"d\"{131072} \"d\"{131072} "
     "\"d\"{131072} \"d\"{131072} \"d\"{131072}",
     "too large", QN_E_RANGE},
    {"root ::= (\"a\"", "')' is expected", 0},
    {"root ::= \"a\")", "the end of the rule is expected, and ')'", 0},
    {"root ::= \"a\" \xC3\xA9", "the end of the rule is expected, and '\xC3\xA9'", 0},
    {"root = \"a\"", "line 1, column 6: '::=' is expected", 0},
    {"root", "'::=' is expected, and the end", 0},
    {"root\n::= \"a\"", "'::=' is expected, and the end of the line", 0},
    {"::= \"a\"", "line 1, column 1: the name of a rule", 0},
    {"root ::= \"a\"\n| \"b\"", "line 2, column 1: the name of a rule", 0},
    {"root ::= \"a\"\nroot ::= \"b\"", "line 2, column 1: the rule 'root' is defined a second time", 0},
    {"root ::= root \"a\" | \"b\"", "'root' is left-recursive", 0},
    {"root ::= root", "'root' is left-recursive", 0},
    {"root ::= a\na ::= \"x\"? b\nb ::= a \"y\"", "line 1, column 10: the rule 'a' is left-recursive", 0},
    {"root ::= (root \"a\")? \"b\"", "'root' is left-recursive", 0},
    {"root ::= \"b\"\nx ::= x", "line 2, column 1: the rule 'x' is left-recursive", 0},
    {"root ::= <think>", "tokens in grammars", QN_E_UNSUPPORTED},
    {"root ::= !<[3]>", "tokens in grammars", QN_E_UNSUPPORTED},
};

static void test_errors(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        qn_grammar *g = NULL;
        qn_error err = {QN_OK, ""};
        const qn_status wanted = errors[i].status == QN_OK ? QN_E_FORMAT : errors[i].status;
        const qn_status status = qn_grammar_parse(errors[i].grammar, strlen(errors[i].grammar), &g, &err);
        if (status != wanted || strstr(err.message, errors[i].message) == NULL) {
            fail_msg("'%s': %s: %s", errors[i].grammar, qn_status_name(status), err.message);
        }
    }
}

/* Deep parentheses are refused, long chains of rules are not. */
static void test_nesting(void **state) {
    enum { N = 20000 };
    char *text = malloc(N * 32);
    qn_grammar *g = NULL;
    qn_grammar_walk *w = NULL;
    qn_error err;
    (void)state;
    assert_non_null(text);
    memcpy(text, "root ::= ", 9);
    memset(text + 9, '(', 1000);
    assert_status(&err, qn_grammar_parse(text, 1009, &g, &err), QN_E_RANGE);
    size_t n = (size_t)snprintf(text, N * 32, "root ::= r0\n");
    for (int i = 0; i < N; i++) {
        n += (size_t)snprintf(text + n, N * 32 - n, "r%d ::= \"\" r%d\n", i, i + 1);
    }
    n += (size_t)snprintf(text + n, N * 32 - n, "r%d ::= \"x\"\n", N);
    assert_ok(&err, qn_grammar_parse(text, n, &g, &err));
    assert_ok(&err, qn_grammar_walk_new(g, &w, &err));
    assert_true(qn_grammar_push(w, 'x'));
    assert_true(qn_grammar_must_end(w));
    qn_grammar_walk_free(w);
    qn_grammar_free(g);
    free(text);
}

/* Bytes taken back leave no trace; committed ones stay. A long text does not make the walk grow. */
static void test_taking_back(void **state) {
    qn_grammar *g = parse("root ::= \"[\" (root (\",\" root)*)? \"]\" | [0-9]{1,3}");
    qn_grammar_walk *w = NULL;
    qn_error err;
    (void)state;
    assert_ok(&err, qn_grammar_walk_new(g, &w, &err));
    assert_true(push_all(w, "[1,[2"));
    assert_int_equal(qn_grammar_depth(w), 5);
    qn_grammar_pop_to(w, 3);
    assert_true(push_all(w, "23"));
    assert_false(qn_grammar_push(w, '['));
    qn_grammar_pop_to(w, 1);
    assert_true(qn_grammar_push(w, ']'));
    assert_true(qn_grammar_must_end(w));
    qn_grammar_pop_to(w, 1);
    qn_grammar_commit(w);
    assert_int_equal(qn_grammar_depth(w), 0);
    for (int i = 0; i < 20000; i++) {
        assert_true(push_all(w, "[12,[[3]],"));
        qn_grammar_pop_to(w, 9);
        assert_true(push_all(w, "]"));
        qn_grammar_pop_to(w, 9);
        assert_true(push_all(w, "],"));
        qn_grammar_commit(w);
    }
    assert_true(push_all(w, "1]"));
    assert_true(qn_grammar_must_end(w));
    assert_ok(&err, qn_grammar_walk_status(w, &err));
    qn_grammar_walk_free(w);
    qn_grammar_free(g);
    qn_grammar_walk_free(NULL);
    qn_grammar_free(NULL);
}

/* What can be read in exponentially many ways, or nests without end, ends in an error. */
static void test_limits(void **state) {
    static const struct {
        const char *grammar;
        const char *text;
        const char *message;
    } limits[] = {
        {"root ::= \"a\" root \"x\" | \"a\" root \"y\" | \"b\"", "a", "too ambiguous"},
        {"root ::= \"(\" root \")\" | \"\"", "(", "nest too deeply"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        qn_grammar *g = parse(limits[i].grammar);
        qn_grammar_walk *w = NULL;
        qn_error err;
        size_t n = 0;
        assert_ok(&err, qn_grammar_walk_new(g, &w, &err));
        while (n < 5000000 && qn_grammar_push(w, (unsigned char)limits[i].text[0])) {
            qn_grammar_commit(w);
            n++;
        }
        assert_status(&err, qn_grammar_walk_status(w, &err), QN_E_RANGE);
        assert_message_has(&err, limits[i].message);
        assert_false(qn_grammar_push(w, (unsigned char)limits[i].text[0]));
        assert_ok(&err, qn_grammar_walk_reset(w, &err));
        assert_true(qn_grammar_push(w, (unsigned char)limits[i].text[0]));
        qn_grammar_walk_free(w);
        qn_grammar_free(g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),       cmocka_unit_test(test_errors), cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_taking_back), cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
