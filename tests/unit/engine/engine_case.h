/* SPDX-License-Identifier: MIT */
/* engine_case.h: small models of every family as GGUF files, opened for running. */
#ifndef QUERN_TESTS_ENGINE_CASE_H
#define QUERN_TESTS_ENGINE_CASE_H

#include "model/tiny_family.h"

#include "engine/engine.h"

enum { CASE_TOKENS = 40, CASE_BATCH = 7 };

/** A small model's file. */
typedef struct engine_case {
    char *root;
    char *gguf;
} engine_case;

/** Changes an opened model before it is written. May be NULL. */
typedef void case_change_fn(qn_model *model, void *user);

static inline void begin_case(engine_case *c, const family_config *family, qn_dtype type, case_change_fn *change,
                              void *user) {
    tiny_list *list = calloc(1, sizeof *list);
    qn_model *model = NULL;
    qn_error err;
    assert_non_null(list);
    c->root = make_temp_dir();
    write_family(family, c->root, list);
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = c->root}, &model, &err));
    if (change != NULL) {
        change(model, user);
    }
    c->gguf = write_gguf(model, c->root, "model.gguf", type);
    qn_model_close(model);
    free(list);
}

static inline void end_case(engine_case *c) {
    free(c->gguf);
    remove_temp_dir(c->root);
}

/** Token ids of a prompt. */
static inline void fill_tokens(int32_t tokens[CASE_TOKENS]) {
    for (int i = 0; i < CASE_TOKENS; i++) {
        tokens[i] = (i * 389 + 17) % TINY_VOCAB;
    }
}

/** Options that show differences: float32 keys and values, a batch shorter than the prompt. */
static inline qn_engine_options exact_options(void) {
    return (qn_engine_options){
        .n_ctx = 64, .n_batch = CASE_BATCH, .n_threads = 2, .kv_type = QN_F32, .is_kv_typed = true};
}

static inline qn_engine *open_engine(const engine_case *c, const qn_engine_options *options) {
    qn_engine *engine = NULL;
    qn_error err;
    assert_ok(&err, qn_engine_open(c->gguf, options, NULL, &engine, &err));
    return engine;
}

static inline float *new_logits(const qn_engine *engine, uint64_t n) {
    float *logits = calloc(n * qn_engine_n_vocab(engine), sizeof *logits);
    assert_non_null(logits);
    return logits;
}

/** Logits of every token of the prompt, from an empty sequence; free them. */
static inline float *prompt_logits(qn_engine *engine) {
    int32_t tokens[CASE_TOKENS];
    qn_sequence *sequence = NULL;
    qn_error err;
    float *logits = new_logits(engine, CASE_TOKENS);
    fill_tokens(tokens);
    assert_ok(&err, qn_sequence_new(engine, &sequence, &err));
    assert_ok(&err, qn_engine_decode(engine, sequence, tokens, CASE_TOKENS, true, logits, &err));
    assert_int_equal(qn_sequence_length(sequence), CASE_TOKENS);
    qn_sequence_free(sequence);
    return logits;
}

#endif
