/* SPDX-License-Identifier: MIT */
/* tokenizer_case.h: small vocabularies as metadata, for tests of tokenizers. */
#ifndef QUERN_TESTS_TOKENIZER_CASE_H
#define QUERN_TESTS_TOKENIZER_CASE_H

#include "support.h"

#include "text/tokenizer.h"

/** Metadata and what is opened from them. */
typedef struct tokenizer_case {
    qn_arena *arena;
    qn_meta meta;
    qn_tokenizer *t;
    qn_error err;
} tokenizer_case;

/** An empty case of a kind. */
static inline void tokenizer_begin(tokenizer_case *c, const char *model) {
    memset(c, 0, sizeof *c);
    c->arena = qn_arena_new();
    assert_non_null(c->arena);
    c->meta = qn_meta_new(c->arena);
    qn_meta_set_string(&c->meta, "tokenizer.ggml.model", model);
}

static inline void tokenizer_end(tokenizer_case *c) {
    qn_tokenizer_free(c->t);
    qn_arena_free(c->arena);
}

/** Sets a list of texts; NULL ends it. */
static inline void set_texts(tokenizer_case *c, const char *key, const char *const *texts) {
    size_t n = 0;
    while (texts[n] != NULL) {
        n++;
    }
    qn_text *items = qn_arena_array(c->arena, n, sizeof *items);
    assert_non_null(items);
    for (size_t i = 0; i < n; i++) {
        items[i] = qn_text_of(texts[i]);
    }
    qn_meta_set_array(&c->meta, key, QN_META_STRING, items, n);
}

#define SET_TYPES(c, ...)                                                                                   \
    do {                                                                                                    \
        static const int32_t types_[] = {__VA_ARGS__};                                                      \
        qn_meta_set_array(&(c)->meta, "tokenizer.ggml.token_type", QN_META_I32, types_, sizeof types_ / 4); \
    } while (0)

#define SET_SCORES(c, ...)                                                                                \
    do {                                                                                                  \
        static const float scores_[] = {__VA_ARGS__};                                                     \
        qn_meta_set_array(&(c)->meta, "tokenizer.ggml.scores", QN_META_F32, scores_, sizeof scores_ / 4); \
    } while (0)

static inline void tokenizer_open_case(tokenizer_case *c) {
    assert_ok(&c->err, qn_tokenizer_new(&c->meta, &c->t, &c->err));
}

/** Encodes n bytes and asserts the ids, written as "1 2 3". */
static inline void check_bytes(tokenizer_case *c, const char *text, size_t n, bool add, bool parse,
                               const char *wanted) {
    qn_ids ids = {0};
    char found[1024] = "";
    assert_ok(&c->err, qn_tokenize(c->t, text, n, add, parse, &ids, &c->err));
    for (size_t i = 0; i < ids.n && strlen(found) < sizeof found - 16; i++) {
        (void)snprintf(found + strlen(found), 16, "%s%d", i == 0 ? "" : " ", (int)ids.items[i]);
    }
    if (strcmp(found, wanted) != 0) {
        print_error("'%.*s': ids %s, wanted %s\n", (int)n, text, found, wanted);
        fail();
    }
    qn_ids_clear(&ids);
}

static inline void check_ids(tokenizer_case *c, const char *text, bool add, bool parse, const char *wanted) {
    check_bytes(c, text, strlen(text), add, parse, wanted);
}

/** Decodes n ids and asserts the text. */
static inline void check_text(tokenizer_case *c, const int32_t *ids, size_t n, bool keep, bool removes,
                              const char *wanted) {
    qn_buffer out = {0};
    assert_ok(&c->err, qn_detokenize(c->t, ids, n, keep, removes, &out, &c->err));
    char *text = qn_buffer_take_text(&out);
    assert_non_null(text);
    assert_string_equal(text, wanted);
    free(text);
}

#define CHECK_TEXT(c, keep, removes, wanted, ...)                                       \
    do {                                                                                \
        static const int32_t ids_[] = {__VA_ARGS__};                                    \
        check_text((c), ids_, sizeof ids_ / sizeof ids_[0], (keep), (removes), wanted); \
    } while (0)

#endif
