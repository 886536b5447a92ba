/* SPDX-License-Identifier: MIT */
/* test_llama2c_vocabulary.c: tokenizer.bin of llama2.c: what pieces become, and files that do not fit their model. */
#include "support.h"

#include "base/buffer.h"
#include "text/vocabulary.h"

#include <math.h>

/* Tokens: score and text; a text of NULL ends the list. */
typedef struct stored {
    float score;
    const char *text;
} stored;

static const stored GOOD[] = {{0, "<unk>"},   {0, "\n<s>\n"}, {0, "\n</s>\n"}, {0, "<0x0A>"},
                              {-1, " on ce"}, {-2.5F, "a"},   {-3, "a"},       {0, NULL}};

static char *write_tokens(const char *dir, const stored *list, size_t cut) {
    qn_buffer b = {0};
    qn_buffer_u32(&b, 7);
    for (size_t i = 0; list[i].text != NULL; i++) {
        qn_buffer_f32(&b, list[i].score);
        qn_buffer_u32(&b, (uint32_t)strlen(list[i].text));
        qn_buffer_text(&b, list[i].text);
    }
    char *path = write_file(dir, "tokenizer.bin", b.data, b.len - cut);
    qn_buffer_clear(&b);
    return path;
}

static void pieces_become_sentencepieces(void **state) {
    (void)state;
    static const struct {
        const char *text;
        qn_token_type type;
    } wanted[] = {{"<unk>", QN_TOKEN_UNKNOWN},
                  {"<s>", QN_TOKEN_CONTROL},
                  {"</s>", QN_TOKEN_CONTROL},
                  {"<0x0A>", QN_TOKEN_BYTE},
                  {"\u2581on\u2581ce", QN_TOKEN_NORMAL},
                  {"a", QN_TOKEN_NORMAL},
                  {"[PAD6]", QN_TOKEN_UNUSED}}; /* the second of equal texts */
    char *dir = make_temp_dir();
    char *path = write_tokens(dir, GOOD, 0);
    qn_arena *arena = qn_arena_new();
    qn_vocab v;
    qn_error err;
    assert_ok(&err, qn_vocab_open_llama2c(path, 7, NULL, arena, &v, &err));
    assert_int_equal(v.n_tokens, 7);
    for (size_t i = 0; i < 7; i++) {
        assert_true(qn_text_is(v.tokens[i], wanted[i].text));
        assert_int_equal(v.types[i], wanted[i].type);
    }
    assert_true(v.scores[5] == -2.5F);
    assert_int_equal(v.bos, 1);
    assert_int_equal(v.eos, 2);
    assert_int_equal(v.n_eos_ids, 2); /* a story ends where the next would begin */
    qn_arena_free(arena);
    free(path);
    remove_temp_dir(dir);
}

static void files_of_another_model_are_refused(void **state) {
    (void)state;
    static const stored bad_score[] = {{0, "a"}, {NAN, "b"}, {0, "c"}, {0, NULL}};
    static const struct {
        const stored *list;
        size_t cut;
        uint64_t n_tokens;
        qn_status status;
        const char *told;
    } cases[] = {
        {GOOD, 0, 8, QN_E_FORMAT, "ends within token 7, and the model has 8"},
        {GOOD, 0, 6, QN_E_FORMAT, "has more tokens than the 6"},
        {GOOD, 1, 7, QN_E_FORMAT, "ends within token 6"},
        {GOOD, 8, 7, QN_E_FORMAT, "ends within token 6"},
        {GOOD, 0, 2, QN_E_FORMAT, "no room for SentencePiece's own three"},
        {GOOD + 7, 1, 7, QN_E_FORMAT, "it has 3 bytes"},
        {bad_score, 0, 3, QN_E_FORMAT, "score of token 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *dir = make_temp_dir();
        char *path = write_tokens(dir, cases[i].list, cases[i].cut);
        qn_arena *arena = qn_arena_new();
        qn_vocab v;
        qn_error err;
        assert_status(&err, qn_vocab_open_llama2c(path, cases[i].n_tokens, NULL, arena, &v, &err), cases[i].status);
        assert_message_has(&err, cases[i].told);
        assert_message_has(&err, "tokenizer.bin: ");
        qn_arena_free(arena);
        free(path);
        remove_temp_dir(dir);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_become_sentencepieces),
        cmocka_unit_test(files_of_another_model_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
