/* SPDX-License-Identifier: MIT */
/* test_tokenizer.c: small vocabularies of every kind, there and back; special tokens; long runs of one letter. */
#include "tokenizer_case.h"

#include "text/characters.h"

/* ---- SentencePiece ---- */

static void open_spm(tokenizer_case *c) {
    static const char *const tokens[] = {"<unk>", "<s>", "</s>",   "<0x0A>",  "<0xC3>",   "<0xA9>",     "a",  "b",
                                         "ab",    "ba",  "\u2581", "\u2581a", "\u2581ab", "<|im_end|>", "aa", NULL};
    tokenizer_begin(c, "llama");
    set_texts(c, "tokenizer.ggml.tokens", tokens);
    SET_TYPES(c, 2, 3, 3, 6, 6, 6, 1, 1, 1, 1, 1, 1, 1, 3, 1);
    SET_SCORES(c, 0, 0, 0, 0, 0, 0, -1, -1, -3, -2, -9, -5, -6, 0, -4);
    tokenizer_open_case(c);
}

static void test_spm(void **state) {
    tokenizer_case c;
    (void)state;
    open_spm(&c);
    check_ids(&c, "", true, true, "1");
    check_ids(&c, "ab", true, true, "1 12");
    check_ids(&c, "ab", false, true, "12");
    check_ids(&c, "aba", false, true, "11 9");               /* "ba" has the better score */
    check_ids(&c, "aaa", false, true, "10 14 6");            /* of equal pairs the left one */
    check_ids(&c, "b\n\xC3\xA9", false, true, "10 7 3 4 5"); /* bytes */
    check_ids(&c, "a<|im_end|>a", false, true, "11 13 11");  /* a space after a special token, too */
    check_ids(&c, "\xFF", false, true, "10 0");              /* no byte token: unknown */
    CHECK_TEXT(&c, true, false, "<s> ab", 1, 12);
    CHECK_TEXT(&c, false, false, " ab", 1, 12);
    CHECK_TEXT(&c, false, false, "ab", 12);
    CHECK_TEXT(&c, false, true, " ab", 1, 12);
    CHECK_TEXT(&c, false, false, "ab\n\xC3\xA9", 12, 3, 4, 5);
    assert_true(qn_token_is_eog(c.t, 2));
    assert_true(qn_token_is_eog(c.t, 13));
    assert_false(qn_token_is_eog(c.t, 1));
    assert_false(qn_token_is_eog(c.t, 99));
    tokenizer_end(&c);
}

static void test_spm_special_text(void **state) {
    tokenizer_case c;
    (void)state;
    open_spm(&c);
    check_ids(&c, "</s>", false, true, "2");
    check_ids(&c, "</s>", false, false, "10 0 0 0 0"); /* as text: none of its letters is a token */
    tokenizer_end(&c);
}

/* ---- byte-level BPE ---- */

static void open_bpe(tokenizer_case *c, const char *pre) {
    static const char *const tokens[] = {"a", "b",  "c",   "\u0120",       "ab", "\u0120ab", "abc", "<|endoftext|>",
                                         "1", "11", "111", "\u0120\u0120", "!",  NULL};
    static const char *const merges[] = {"a b", "\u0120 ab", "1 1", "11 1", "nospace", "q r", "\u0120 \u0120", NULL};
    tokenizer_begin(c, "gpt2");
    qn_meta_set_string(&c->meta, "tokenizer.ggml.pre", pre);
    set_texts(c, "tokenizer.ggml.tokens", tokens);
    set_texts(c, "tokenizer.ggml.merges", merges);
    SET_TYPES(c, 1, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1, 1, 1);
    tokenizer_open_case(c);
}

static void test_bpe(void **state) {
    tokenizer_case c;
    (void)state;
    open_bpe(&c, "gpt-2");
    check_ids(&c, "ab ab", false, true, "4 5");
    check_ids(&c, "abc", false, true, "4 2"); /* no merge makes the token */
    check_ids(&c, "1111", false, true, "9 9");
    check_ids(&c, "a<|endoftext|>b", false, true, "0 7 1");
    check_ids(&c, "qr", false, true, ""); /* a merge of what no token is: lost */
    CHECK_TEXT(&c, false, false, "ab abc", 4, 5, 2);
    CHECK_TEXT(&c, false, false, "ab!", 4, 3, 12); /* cleaned up */
    assert_true(qn_token_is_eog(c.t, 7));
    tokenizer_end(&c);
}

static void test_bpe_rules(void **state) {
    tokenizer_case c;
    (void)state;
    open_bpe(&c, "llama-bpe");
    check_ids(&c, "abc", false, true, "6"); /* a whole piece that is a token */
    check_ids(&c, "1111", false, true, "10 8");
    tokenizer_end(&c);
    open_bpe(&c, "qwen2");
    check_ids(&c, "111", false, true, "8 8 8");
    CHECK_TEXT(&c, false, false, "ab !", 4, 3, 12);
    tokenizer_end(&c);
    open_bpe(&c, "tiny_aya");
    check_ids(&c, "1111111", false, true, "8 10 10"); /* threes from the right */
    tokenizer_end(&c);
    open_bpe(&c, "superbpe");
    check_ids(&c, "11111", false, true, "9 10");
    tokenizer_end(&c);
}

/* ---- the others ---- */

static void test_wordpiece(void **state) {
    static const char *const tokens[] = {"[PAD]", "[UNK]",   "[CLS]",   "[SEP]",        "\u2581hello", "\u2581wor",
                                         "ld",    "\u2581,", "\u2581e", "\u2581\u4F60", NULL};
    tokenizer_case c;
    (void)state;
    tokenizer_begin(&c, "bert");
    set_texts(&c, "tokenizer.ggml.tokens", tokens);
    SET_TYPES(&c, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1);
    qn_meta_set_u32(&c.meta, "tokenizer.ggml.bos_token_id", 2);
    qn_meta_set_u32(&c.meta, "tokenizer.ggml.seperator_token_id", 3);
    qn_meta_set_u32(&c.meta, "tokenizer.ggml.unknown_token_id", 1);
    tokenizer_open_case(&c);
    check_ids(&c, "Hello, world", true, true, "2 4 7 5 6 3");
    check_ids(&c, "\u00C9 hello\u4F60e\u0301", false, true, "8 4 9 8");
    check_ids(&c, "worldx hello", false, true, "1 4"); /* all of a word, or nothing */
    check_ids(&c, "[SEP]", false, true, "3");
    CHECK_TEXT(&c, false, false, " hello, world", 4, 7, 5, 6);
    tokenizer_end(&c);
}

static void open_unigram(tokenizer_case *c) {
    static const char *const tokens[] = {"<pad>", "</s>", "<unk>",    "\u2581", "\u2581a", "a",
                                         "b",     "ab",   "\u2581ab", "<x>",    NULL};
    tokenizer_begin(c, "t5");
    set_texts(c, "tokenizer.ggml.tokens", tokens);
    SET_TYPES(c, 3, 3, 2, 1, 1, 1, 1, 1, 1, 4);
    SET_SCORES(c, 0, 0, 0, -2, -3, -2, -2, -3, -9, 0);
    qn_meta_set_bool(&c->meta, "tokenizer.ggml.add_space_prefix", true);
    qn_meta_set_bool(&c->meta, "tokenizer.ggml.remove_extra_whitespaces", true);
}

static void test_unigram(void **state) {
    tokenizer_case c;
    (void)state;
    open_unigram(&c);
    tokenizer_open_case(&c);
    check_ids(&c, "ab", true, true, "3 7 1"); /* before "4 6", which has the same sum but begins its last later */
    check_ids(&c, "  a   b  ", false, true, "4 3 6");
    check_ids(&c, "a??b", false, true, "4 2 6"); /* a run of unknown is one */
    check_ids(&c, "", true, true, "1");
    CHECK_TEXT(&c, false, false, "a b", 4, 3, 6);
    tokenizer_end(&c);
}

static void test_rwkv(void **state) {
    static const char *const tokens[] = {"<s>", "\\x00", "\\n", "a", "ab", "\\xff", "\\'", NULL};
    tokenizer_case c;
    (void)state;
    tokenizer_begin(&c, "rwkv");
    set_texts(&c, "tokenizer.ggml.tokens", tokens);
    SET_TYPES(&c, 3, 1, 1, 1, 1, 1, 1);
    tokenizer_open_case(&c);
    check_bytes(&c, "ab\na\xFF\0'", 7, true, true, "4 2 3 5 1 6");
    CHECK_TEXT(&c, false, false, "ab\na'", 4, 2, 3, 6);
    tokenizer_end(&c);
}

/* ---- special tokens ---- */

static void test_specials_overlap(void **state) {
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "ab", "bcd",  "de",     "a",
                                         "b",     "c",   "d",    "e",  "bcde", "<user>", NULL};
    tokenizer_case c;
    (void)state;
    tokenizer_begin(&c, "llama");
    set_texts(&c, "tokenizer.ggml.tokens", tokens);
    SET_TYPES(&c, 2, 3, 3, 3, 3, 3, 1, 1, 1, 1, 1, 1, 4);
    SET_SCORES(&c, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, 0);
    qn_meta_set_bool(&c.meta, "tokenizer.ggml.add_space_prefix", false);
    tokenizer_open_case(&c);
    check_ids(&c, "abcd", false, true, "6 4");     /* the longer one, though it begins later */
    check_ids(&c, "abcde", false, true, "6 4 10"); /* what it cuts off is no token */
    check_ids(&c, "abc", false, true, "3 8");
    check_ids(&c, "ababde", false, true, "3 3 5");
    check_ids(&c, "a<user>", false, false, "6 12"); /* user-defined tokens always */
    check_ids(&c, "bcd", false, false, "7 8 9");
    tokenizer_end(&c);
}

/* ---- length ---- */

static void check_long(tokenizer_case *c, const char *unit, size_t n) {
    const size_t len = strlen(unit);
    char *text = malloc(n * len);
    qn_ids ids = {0};
    qn_buffer back = {0};
    assert_non_null(text);
    for (size_t i = 0; i < n; i++) {
        memcpy(text + i * len, unit, len);
    }
    assert_ok(&c->err, qn_tokenize(c->t, text, n * len, false, true, &ids, &c->err));
    assert_ok(&c->err, qn_detokenize(c->t, ids.items, ids.n, true, false, &back, &c->err));
    assert_int_equal(back.len, n * len);
    assert_memory_equal(back.data, text, n * len);
    qn_buffer_clear(&back);
    qn_ids_clear(&ids);
    free(text);
}

/* A megabyte of one letter takes a moment, not minutes: anything quadratic would run into the test's limit. */
static void test_long_runs(void **state) {
    tokenizer_case c;
    (void)state;
    open_spm(&c);
    check_long(&c, "a", 1000000);
    check_long(&c, "</s>", 100000);
    tokenizer_end(&c);
    open_bpe(&c, "superbpe");
    check_long(&c, "1", 1000000);
    check_long(&c, " ", 1000000);
    tokenizer_end(&c);
    open_bpe(&c, "exaone-moe");
    check_long(&c, "ab", 500000);
    tokenizer_end(&c);
    open_bpe(&c, "deepseek-llm");
    check_long(&c, " ", 1000000);
    tokenizer_end(&c);
}

static void test_whole_characters(void **state) {
    static const struct {
        const char *bytes;
        size_t whole;
    } cases[] = {{"", 0},
                 {"a", 1},
                 {"a\xC3", 1},
                 {"\xC3\xA9", 2},
                 {"\xE4\xBD", 0},
                 {"a\xF0\x9F\x9A", 1},
                 {"\xF0\x9F\x9A\x80", 4},
                 {"\x80\x80\x80\x80", 4},
                 {"\xFF", 1}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(qn_utf8_whole(cases[i].bytes, strlen(cases[i].bytes)), cases[i].whole);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spm),       cmocka_unit_test(test_spm_special_text),
        cmocka_unit_test(test_bpe),       cmocka_unit_test(test_bpe_rules),
        cmocka_unit_test(test_wordpiece), cmocka_unit_test(test_unigram),
        cmocka_unit_test(test_rwkv),      cmocka_unit_test(test_specials_overlap),
        cmocka_unit_test(test_long_runs), cmocka_unit_test(test_whole_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
