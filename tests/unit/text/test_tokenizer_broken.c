/* SPDX-License-Identifier: MIT */
/* test_tokenizer_broken.c: vocabularies whose keys contradict each other are refused, or lose what is wrong. */
#include "tokenizer_case.h"

#include "text/split_rules.h"

#include <math.h>

static const char *const letters[] = {"<unk>", "<s>", "</s>", "a", "b", "ab", NULL};

static void begin_spm(tokenizer_case *c) {
    tokenizer_begin(c, "llama");
    set_texts(c, "tokenizer.ggml.tokens", letters);
    SET_TYPES(c, 2, 3, 3, 1, 1, 1);
    SET_SCORES(c, 0, 0, 0, -1, -1, -2);
}

static void begin_bpe(tokenizer_case *c) {
    static const char *const merges[] = {"a b", NULL};
    tokenizer_begin(c, "gpt2");
    set_texts(c, "tokenizer.ggml.tokens", letters);
    set_texts(c, "tokenizer.ggml.merges", merges);
    SET_TYPES(c, 2, 3, 3, 1, 1, 1);
}

static void no_model(tokenizer_case *c) {
    begin_spm(c);
    qn_meta_remove(&c->meta, "tokenizer.ggml.model");
}

static void model_none(tokenizer_case *c) {
    begin_spm(c);
    qn_meta_set_string(&c->meta, "tokenizer.ggml.model", "no_vocab");
}

static void unknown_model(tokenizer_case *c) {
    begin_spm(c);
    qn_meta_set_string(&c->meta, "tokenizer.ggml.model", "plamo9");
}

static void no_tokens(tokenizer_case *c) {
    begin_spm(c);
    qn_meta_remove(&c->meta, "tokenizer.ggml.tokens");
}

static void tokens_are_numbers(tokenizer_case *c) {
    static const int32_t numbers[] = {1, 2};
    begin_spm(c);
    qn_meta_set_array(&c->meta, "tokenizer.ggml.tokens", QN_META_I32, numbers, 2);
}

static void no_scores(tokenizer_case *c) {
    begin_spm(c);
    qn_meta_remove(&c->meta, "tokenizer.ggml.scores");
}

static void few_scores(tokenizer_case *c) {
    begin_spm(c);
    SET_SCORES(c, 0, 0, 0);
}

static void nan_score(tokenizer_case *c) {
    begin_spm(c);
    SET_SCORES(c, 0, 0, 0, 0, NAN, 0);
}

static void few_types(tokenizer_case *c) {
    begin_spm(c);
    SET_TYPES(c, 2, 3);
}

static void no_merges(tokenizer_case *c) {
    begin_bpe(c);
    qn_meta_remove(&c->meta, "tokenizer.ggml.merges");
}

static void unknown_pre(tokenizer_case *c) {
    begin_bpe(c);
    qn_meta_set_string(&c->meta, "tokenizer.ggml.pre", "llama-bpe-9");
}

static void set_charsmap(tokenizer_case *c, const unsigned char *bytes, size_t n) {
    tokenizer_begin(c, "t5");
    set_texts(c, "tokenizer.ggml.tokens", letters);
    SET_TYPES(c, 2, 3, 3, 1, 1, 1);
    SET_SCORES(c, 0, 0, 0, -1, -1, -2);
    qn_meta_set_array(&c->meta, "tokenizer.ggml.precompiled_charsmap", QN_META_U8, bytes, n);
}

static void short_charsmap(tokenizer_case *c) {
    static const unsigned char bytes[] = {8, 0};
    set_charsmap(c, bytes, sizeof bytes);
}

static void lying_charsmap(tokenizer_case *c) {
    static const unsigned char bytes[] = {0xFC, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0, 'x', 0};
    set_charsmap(c, bytes, sizeof bytes);
}

static void odd_charsmap(tokenizer_case *c) {
    static const unsigned char bytes[] = {3, 0, 0, 0, 0, 0, 0, 'x', 0};
    set_charsmap(c, bytes, sizeof bytes);
}

static void unended_charsmap(tokenizer_case *c) {
    static const unsigned char bytes[] = {4, 0, 0, 0, 0, 0, 0, 0, 'x'};
    set_charsmap(c, bytes, sizeof bytes);
}

static const struct broken {
    void (*build)(tokenizer_case *c);
    qn_status status;
    const char *message;
} refused[] = {
    {no_model, QN_E_NOT_FOUND, "tokenizer.ggml.model"},
    {model_none, QN_E_NOT_FOUND, "tokenizer.ggml.model"},
    {unknown_model, QN_E_UNSUPPORTED, "plamo9"},
    {no_tokens, QN_E_NOT_FOUND, "tokenizer.ggml.tokens"},
    {tokens_are_numbers, QN_E_FORMAT, "tokenizer.ggml.tokens"},
    {no_scores, QN_E_FORMAT, "tokenizer.ggml.scores is missing"},
    {few_scores, QN_E_FORMAT, "3 entries for a vocabulary of 6"},
    {nan_score, QN_E_FORMAT, "token 4"},
    {few_types, QN_E_FORMAT, "2 entries for a vocabulary of 6"},
    {no_merges, QN_E_FORMAT, "tokenizer.ggml.merges is missing"},
    {unknown_pre, QN_E_UNSUPPORTED, "llama-bpe-9"},
    {short_charsmap, QN_E_FORMAT, "2 bytes"},
    {lying_charsmap, QN_E_FORMAT, "4294967292"},
    {odd_charsmap, QN_E_FORMAT, "multiple of 4"},
    {unended_charsmap, QN_E_FORMAT, "end in a NUL"},
};

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        tokenizer_case c;
        refused[i].build(&c);
        assert_status(&c.err, qn_tokenizer_new(&c.meta, &c.t, &c.err), refused[i].status);
        assert_message_has(&c.err, refused[i].message);
        assert_null(c.t);
        tokenizer_end(&c);
    }
}

/* Every unit leads on to the next one, and to a replacement outside: no loop, no read past the end. */
static void test_wild_charsmap(void **state) {
    static unsigned char bytes[4 + 1024 + 2];
    (void)state;
    bytes[1] = 4; /* 1024 bytes, 256 units */
    for (size_t i = 0; i < 256; i++) {
        bytes[4 + i * 4] = (unsigned char)i;
        bytes[4 + i * 4 + 1] = 1; /* a leaf */
    }
    tokenizer_case c;
    set_charsmap(&c, bytes, sizeof bytes);
    tokenizer_open_case(&c);
    qn_ids ids = {0};
    const qn_status status = qn_tokenize(c.t, "abcabc", 6, true, true, &ids, &c.err);
    assert_true(status == QN_OK || status == QN_E_FORMAT);
    qn_ids_clear(&ids);
    tokenizer_end(&c);
}

static void test_ids_out_of_range(void **state) {
    tokenizer_case c;
    (void)state;
    begin_spm(&c);
    qn_meta_set_u32(&c.meta, "tokenizer.ggml.bos_token_id", 99);
    qn_meta_set_u32(&c.meta, "tokenizer.ggml.eot_token_id", UINT32_MAX);
    tokenizer_open_case(&c);
    assert_int_equal(qn_tokenizer_role(c.t, QN_TOKEN_ROLE_BOS), 1); /* the kind's own */
    assert_int_equal(qn_tokenizer_role(c.t, QN_TOKEN_ROLE_EOT), -1);
    qn_buffer out = {0};
    const int32_t ids[] = {3, 6};
    assert_status(&c.err, qn_detokenize(c.t, ids, 2, true, false, &out, &c.err), QN_E_RANGE);
    assert_message_has(&c.err, "id 6");
    assert_status(&c.err, qn_token_piece(c.t, -1, true, &out, &c.err), QN_E_RANGE);
    qn_buffer_clear(&out);
    tokenizer_end(&c);
}

static void test_defaults_of_another_size(void **state) {
    tokenizer_case c;
    (void)state;
    begin_bpe(&c); /* six tokens: the default ids 11 are none of them */
    qn_meta_set_bool(&c.meta, "tokenizer.ggml.add_bos_token", true);
    tokenizer_open_case(&c);
    check_ids(&c, "ab", true, true, "5");
    tokenizer_end(&c);
}

static void test_every_rule_opens(void **state) {
    const char *names[QN_MAX_SPLIT_RULES];
    (void)state;
    const size_t n = qn_split_rule_names(names);
    assert_int_equal(n, 90);
    for (size_t i = 0; i < n; i++) {
        tokenizer_case c;
        begin_bpe(&c);
        qn_meta_set_string(&c.meta, "tokenizer.ggml.pre", names[i]);
        tokenizer_open_case(&c);
        check_ids(&c, "ab\xFF\xF0\x9F\x9A\x80 \u4E00 12345", false, true, "5");
        assert_true(i == 0 || strcmp(names[i - 1], names[i]) < 0);
        tokenizer_end(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),          cmocka_unit_test(test_wild_charsmap),
        cmocka_unit_test(test_ids_out_of_range), cmocka_unit_test(test_defaults_of_another_size),
        cmocka_unit_test(test_every_rule_opens),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
