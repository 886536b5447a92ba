/* SPDX-License-Identifier: MIT */
/*
 * fuzz_grammar.c: any bytes as a grammar, and any bytes walked through it.
 *
 * What stands before the first NUL is the grammar, what stands behind it the text. Bytes taken back and given again
 * must do the same, a guide's mask must say what its checks say, and every failure must have a message.
 */
#include "engine/guide.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_GRAMMAR = 1 << 12, MAX_TEXT = 1 << 10, N_TOKENS = 24 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/* Pushes the text; now and then some bytes are taken back and pushed again, or committed. */
static void walk(const qn_grammar *grammar, const uint8_t *text, size_t n) {
    qn_grammar_walk *w = NULL;
    qn_error err = {QN_OK, ""};
    if (qn_grammar_walk_new(grammar, &w, &err) != QN_OK) {
        require(err.message[0] != '\0');
        return;
    }
    for (size_t i = 0; i < n && qn_grammar_push(w, text[i]); i++) {
        const bool may_end = qn_grammar_may_end(w);
        const size_t depth = qn_grammar_depth(w);
        require(!qn_grammar_must_end(w) || may_end);
        qn_grammar_pop_to(w, depth - 1);
        require(qn_grammar_push(w, text[i]) || qn_grammar_walk_status(w, &err) != QN_OK);
        if (qn_grammar_walk_status(w, &err) != QN_OK) {
            break;
        }
        require(qn_grammar_may_end(w) == may_end && qn_grammar_depth(w) == depth);
        if (text[i] % 5 == 0) {
            qn_grammar_commit(w);
        }
    }
    if (qn_grammar_walk_status(w, &err) != QN_OK) {
        require(err.message[0] != '\0');
    }
    qn_grammar_walk_free(w);
}

static qn_tokenizer *new_tokenizer(qn_arena *arena) {
    static const char *const texts[N_TOKENS] = {
        "<unk>", "</s>", "a", "b", "ab", "abc", "\xE2\x96\x81", "0",        "1",      "10",     "\"", "{",
        "}",     "[",    "]", ",", ":",  "\n",  "ba",           "\xC3\xA9", "<0xC3>", "<0xA9>", "x",  "<s>"};
    static const int32_t types[N_TOKENS] = {2, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 6, 6, 1, 3};
    static const float scores[N_TOKENS] = {0};
    qn_text items[N_TOKENS];
    qn_tokenizer *tokenizer = NULL;
    qn_error err;
    qn_meta meta = qn_meta_new(arena);
    for (size_t i = 0; i < N_TOKENS; i++) {
        items[i] = (qn_text){texts[i], strlen(texts[i])};
    }
    qn_meta_set_string(&meta, "tokenizer.ggml.model", "llama");
    qn_meta_set_array(&meta, "tokenizer.ggml.tokens", QN_META_STRING, items, N_TOKENS);
    qn_meta_set_array(&meta, "tokenizer.ggml.token_type", QN_META_I32, types, N_TOKENS);
    qn_meta_set_array(&meta, "tokenizer.ggml.scores", QN_META_F32, scores, N_TOKENS);
    qn_meta_set_u32(&meta, "tokenizer.ggml.eos_token_id", 1);
    require(qn_meta_status(&meta, &err) == QN_OK && qn_tokenizer_new(&meta, &tokenizer, &err) == QN_OK);
    return tokenizer;
}

static void guide_through(qn_guide *guide, const uint8_t *text, size_t n) {
    qn_error err = {QN_OK, ""};
    for (size_t i = 0; i < n && i < 32; i++) {
        float logits[N_TOKENS + 1] = {0};
        const qn_status status = qn_guide_mask(guide, logits, &err);
        require(status == QN_OK || err.message[0] != '\0');
        for (int32_t id = 0; id <= N_TOKENS; id++) {
            bool allows = false;
            if (qn_guide_check(guide, id, &allows, &err) != QN_OK) {
                return;
            }
            require(status != QN_OK || allows == (logits[id] > -HUGE_VALF));
        }
        int32_t id = text[i] % N_TOKENS;
        for (int32_t tries = 0; tries < N_TOKENS && !(logits[id] > -HUGE_VALF); tries++) {
            id = (id + 1) % N_TOKENS;
        }
        if (status != QN_OK || qn_guide_accept(guide, id, &err) != QN_OK || id == 1) {
            return;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size == 0 ? NULL : memchr(data, 0, size);
    const size_t n = end == NULL ? size : (size_t)(end - data);
    qn_grammar *grammar = NULL;
    qn_guide *guide = NULL;
    qn_error err = {QN_OK, ""};
    if (n > MAX_GRAMMAR) {
        return 0;
    }
    if (qn_grammar_parse(size == 0 ? "" : (const char *)data, n, &grammar, &err) != QN_OK) {
        require(err.message[0] != '\0');
        return 0;
    }
    const uint8_t *text = end == NULL ? data + size : end + 1;
    const size_t n_text = size - (size_t)(text - data) < MAX_TEXT ? size - (size_t)(text - data) : MAX_TEXT;
    walk(grammar, text, n_text);
    qn_arena *arena = qn_arena_new();
    require(arena != NULL);
    qn_tokenizer *tokenizer = new_tokenizer(arena);
    if (qn_guide_new(grammar, tokenizer, N_TOKENS + 1, &guide, &err) == QN_OK) {
        guide_through(guide, text, n_text);
    }
    qn_guide_free(guide);
    qn_tokenizer_free(tokenizer);
    qn_arena_free(arena);
    return 0;
}
