/* SPDX-License-Identifier: MIT */
/* test_guide.c: tokens that a grammar allows, masks, ends, picks under a guide, grammars without a way on. */
#include "support.h"

#include "engine/sampler.h"

#include <math.h>

enum { N_TOKENS = 16, N_LOGITS = 20, EOS = 1, N_DRAWS = 4000 };

/* Ids: 0 unknown, 1 and 15 end a generation, 2 is another control token, 13 and 14 are the bytes of an e with acute. */
static const char *const texts[N_TOKENS] = {"<unk>",  "</s>",   "<s>",    "a",         "b",       "ab",
                                            "abc",    "\u2581", "1",      "12",        "\u2581a", "\xC3\xA9",
                                            "<0x0A>", "<0xC3>", "<0xA9>", "<|im_end|>"};
static const int32_t types[N_TOKENS] = {2, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 6, 6, 6, 3};

typedef struct guide_case {
    qn_arena *arena;
    qn_tokenizer *tokenizer;
    qn_guide *guide;
} guide_case;

static void begin_guide(guide_case *c, const char *text) {
    static const float scores[N_TOKENS] = {0};
    qn_text items[N_TOKENS];
    qn_grammar *grammar = NULL;
    qn_error err;
    c->arena = qn_arena_new();
    assert_non_null(c->arena);
    qn_meta meta = qn_meta_new(c->arena);
    for (size_t i = 0; i < N_TOKENS; i++) {
        items[i] = (qn_text){texts[i], strlen(texts[i])};
    }
    qn_meta_set_string(&meta, "tokenizer.ggml.model", "llama");
    qn_meta_set_array(&meta, "tokenizer.ggml.tokens", QN_META_STRING, items, N_TOKENS);
    qn_meta_set_array(&meta, "tokenizer.ggml.token_type", QN_META_I32, types, N_TOKENS);
    qn_meta_set_array(&meta, "tokenizer.ggml.scores", QN_META_F32, scores, N_TOKENS);
    qn_meta_set_u32(&meta, "tokenizer.ggml.eos_token_id", EOS);
    assert_ok(&err, qn_meta_status(&meta, &err));
    assert_ok(&err, qn_tokenizer_new(&meta, &c->tokenizer, &err));
    assert_ok(&err, qn_grammar_parse(text, strlen(text), &grammar, &err));
    assert_ok(&err, qn_guide_new(grammar, c->tokenizer, N_LOGITS, &c->guide, &err));
}

static void end_guide(guide_case *c) {
    qn_guide_free(c->guide);
    qn_tokenizer_free(c->tokenizer);
    qn_arena_free(c->arena);
}

/* Mask and checks say the same: a '1' for each token that may come. */
static void expect_mask(qn_guide *guide, const char *wanted) {
    float logits[N_LOGITS] = {0};
    char found[N_LOGITS + 1] = "";
    qn_error err;
    assert_ok(&err, qn_guide_mask(guide, logits, &err));
    for (int32_t id = 0; id < N_LOGITS; id++) {
        bool allows = false;
        assert_ok(&err, qn_guide_check(guide, id, &allows, &err));
        assert_int_equal(allows, logits[id] > -HUGE_VALF);
        found[id] = allows ? '1' : '0';
    }
    assert_string_equal(found, wanted);
}

static void accept(qn_guide *guide, int32_t id) {
    qn_error err;
    assert_ok(&err, qn_guide_accept(guide, id, &err));
}

static void test_masks(void **state) {
    guide_case c;
    qn_error err;
    (void)state;
    begin_guide(&c, "root ::= \"ab\" [0-9]+ | \"a\" \"\\n\"? | \" \" [\xC3\xA0-\xC3\xBF]");
    expect_mask(c.guide, "00010101000000000000");
    accept(c.guide, 3); /* a: may end */
    expect_mask(c.guide, "01001000000010010000");
    accept(c.guide, 4);
    expect_mask(c.guide, "00000000110000000000");
    assert_status(&err, qn_guide_accept(c.guide, 3, &err), QN_E_RANGE);
    assert_status(&err, qn_guide_accept(c.guide, EOS, &err), QN_E_RANGE);
    assert_status(&err, qn_guide_accept(c.guide, 2, &err), QN_E_RANGE);
    accept(c.guide, 9);
    expect_mask(c.guide, "01000000110000010000");
    assert_false(qn_guide_is_done(c.guide));
    accept(c.guide, EOS);
    assert_ok(&err, qn_guide_reset(c.guide, &err));
    accept(c.guide, 3);
    accept(c.guide, 12);
    assert_true(qn_guide_is_done(c.guide));
    expect_mask(c.guide, "01000000000000010000");
    end_guide(&c);
}

/* Another grammar is followed from its beginning. */
static void test_change(void **state) {
    guide_case c;
    qn_grammar *grammar = NULL;
    qn_error err;
    const char *text = "root ::= \"1\" \"2\"?";
    (void)state;
    begin_guide(&c, "root ::= \"ab\"");
    accept(c.guide, 3);
    assert_ok(&err, qn_grammar_parse(text, strlen(text), &grammar, &err));
    assert_ok(&err, qn_guide_change(c.guide, grammar, &err));
    expect_mask(c.guide, "00000000110000000000");
    accept(c.guide, 8);
    assert_ok(&err, qn_guide_reset(c.guide, &err));
    accept(c.guide, 9);
    assert_true(qn_guide_is_done(c.guide));
    end_guide(&c);
}

/* A character may come in the bytes of two tokens. */
static void test_bytes(void **state) {
    guide_case c;
    (void)state;
    begin_guide(&c, "root ::= [\xC3\xA0-\xC3\xBF] \"\xC3\xA8\"?");
    expect_mask(c.guide, "00000000000101000000");
    accept(c.guide, 13);
    expect_mask(c.guide, "00000000000000100000");
    accept(c.guide, 14);
    expect_mask(c.guide, "01000000000001010000"); /* the byte C3 may be that of another e */
    accept(c.guide, 13);
    float logits[N_LOGITS] = {0};
    qn_error err;
    assert_status(&err, qn_guide_mask(c.guide, logits, &err), QN_E_RANGE);
    assert_message_has(&err, "allows no token of this vocabulary");
    assert_message_has(&err, "behind \"\xC3\xA9\xC3\"");
    end_guide(&c);
}

static void test_no_way(void **state) {
    static const char *const grammars[] = {"root ::= \"zebra\"", "root ::= [x-z]+", "root ::= \"\\x00\""};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        guide_case c;
        float logits[N_LOGITS] = {0};
        qn_error err;
        begin_guide(&c, grammars[i]);
        assert_status(&err, qn_guide_mask(c.guide, logits, &err), QN_E_RANGE);
        assert_message_has(&err, "to begin with");
        end_guide(&c);
    }
}

/* Draws follow the shares of the tokens that may come, whether or not the first choice was one of them. */
static void test_picks(void **state) {
    guide_case c;
    qn_sampling how = qn_sampling_default();
    qn_sampler *s = NULL;
    qn_error err;
    double found[N_LOGITS] = {0};
    (void)state;
    begin_guide(&c, "root ::= \"a\" | \"ab\" | \"1\"");
    how.temperature = 1;
    how.top_k = 0;
    how.top_p = 1;
    how.min_p = 0;
    assert_ok(&err, qn_sampler_new(&how, N_LOGITS, &s, &err));
    for (int i = 0; i < N_DRAWS; i++) {
        float logits[N_LOGITS] = {0};
        int32_t token = -1;
        logits[7] = 3; /* likely, and refused */
        logits[3] = logf(2);
        assert_ok(&err, qn_sampler_pick_guided(s, c.guide, logits, &token, &err));
        found[token] += 1.0 / N_DRAWS;
    }
    assert_true(fabs(found[3] - 0.5) < 0.04 && fabs(found[5] - 0.25) < 0.04 && fabs(found[8] - 0.25) < 0.04);
    qn_sampler_free(s);

    const qn_logit_bias biases[] = {{3, -HUGE_VALF}, {5, -HUGE_VALF}, {8, -HUGE_VALF}};
    how.biases = biases;
    how.n_biases = 2;
    for (int i = 0; i < 2; i++) {
        float logits[N_LOGITS] = {0};
        int32_t token = -1;
        assert_ok(&err, qn_sampler_new(&how, N_LOGITS, &s, &err));
        const qn_status status = qn_sampler_pick_guided(s, c.guide, logits, &token, &err);
        assert_int_equal(status, i == 0 ? QN_OK : QN_E_RANGE);
        assert_true(i == 1 || token == 8);
        how.n_biases = 3;
        qn_sampler_free(s);
    }
    assert_message_has(&err, "logit biases");
    end_guide(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_masks),  cmocka_unit_test(test_change), cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_no_way), cmocka_unit_test(test_picks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
