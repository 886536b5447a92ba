/* SPDX-License-Identifier: MIT */
/* vocab_case.h: what tests of vocabularies share: a folder of small files, opened, with its warnings counted. */
#ifndef QUERN_TESTS_VOCAB_CASE_H
#define QUERN_TESTS_VOCAB_CASE_H

#include "support.h"

#include "base/buffer.h"
#include "text/vocabulary.h"

/** One test's folders, request and vocabulary. */
typedef struct vocab_case {
    char *dirs[2];
    qn_arena *arena;
    qn_job *job;
    json_t *config;
    qn_vocab_traits traits;
    qn_vocab_request request;
    qn_vocab vocab;
    qn_error err;
    unsigned n_warnings;
    char warning[512]; /**< the last one */
} vocab_case;

static inline void case_event(void *user, const qn_event *event) {
    vocab_case *c = user;
    if (event->kind == QN_EVENT_WARNING) {
        c->n_warnings++;
        (void)snprintf(c->warning, sizeof c->warning, "%s", event->message);
    }
}

/** Two empty folders; the request looks through both, with traits that leave everything to the files. */
static inline void case_begin(vocab_case *c) {
    memset(c, 0, sizeof *c);
    c->arena = qn_arena_new();
    c->job = qn_job_new(1, case_event, c);
    assert_non_null(c->arena);
    assert_non_null(c->job);
    c->dirs[0] = make_temp_dir();
    c->dirs[1] = make_temp_dir();
    c->traits.add_space_prefix = -1;
    c->request = (qn_vocab_request){
        .dirs = (const char *const *)c->dirs, .n_dirs = 2, .traits = &c->traits, .job = c->job};
}

/** Removes the folders and frees everything. */
static inline void case_end(vocab_case *c) {
    remove_temp_dir(c->dirs[0]);
    remove_temp_dir(c->dirs[1]);
    json_decref(c->config);
    qn_job_free(c->job);
    qn_arena_free(c->arena);
}

/** Writes a file into folder 0 or 1. */
static inline void case_file(vocab_case *c, int dir, const char *name, const char *text) {
    free(write_text(c->dirs[dir], name, text));
}

/** Gives the request a config.json. */
static inline void case_config(vocab_case *c, const char *text) {
    assert_ok(&c->err, qn_json_parse("config.json", text, strlen(text), &c->config, &c->err));
    c->request.config = c->config;
}

/** Opens the vocabulary. */
static inline qn_status case_open(vocab_case *c) {
    return qn_vocab_open(&c->request, c->arena, &c->vocab, &c->err);
}

/** Asserts a token's text and type. */
static inline void check_token(const vocab_case *c, uint64_t id, const char *text, qn_token_type type) {
    assert_true(id < c->vocab.n_tokens);
    if (!qn_text_is(c->vocab.tokens[id], text) || c->vocab.types[id] != (int32_t)type) {
        print_error("token %llu is '%.*s' of type %d, wanted '%s' of type %d\n", (unsigned long long)id,
                    (int)c->vocab.tokens[id].len, c->vocab.tokens[id].bytes, (int)c->vocab.types[id], text, (int)type);
        fail();
    }
}

/** A SentencePiece model being written. */
typedef struct spm_writer {
    qn_buffer bytes;
} spm_writer;

static inline void put_varint(qn_buffer *b, uint64_t v) {
    while (v >= 0x80) {
        qn_buffer_u8(b, (uint8_t)(v | 0x80U));
        v >>= 7;
    }
    qn_buffer_u8(b, (uint8_t)v);
}

static inline void put_field(qn_buffer *b, unsigned field, const qn_buffer *message) {
    put_varint(b, field << 3 | 2U);
    put_varint(b, message->len);
    qn_buffer_append(b, message->data, message->len);
}

/** Adds a piece; a type of 0 leaves the field out. */
static inline void spm_piece(spm_writer *w, const char *text, size_t len, float score, int type) {
    qn_buffer piece = {0};
    put_varint(&piece, 1U << 3 | 2U);
    put_varint(&piece, len);
    qn_buffer_append(&piece, text, len);
    put_varint(&piece, 2U << 3 | 5U);
    qn_buffer_f32(&piece, score);
    if (type != 0) {
        put_varint(&piece, 3U << 3);
        put_varint(&piece, (uint64_t)type);
    }
    put_field(&w->bytes, 1, &piece);
    qn_buffer_clear(&piece);
}

/** Adds the trainer's and the normaliser's part; adds_space < 0 leaves the latter out. */
static inline void spm_specs(spm_writer *w, int model_type, int adds_space) {
    qn_buffer spec = {0};
    put_varint(&spec, 3U << 3);
    put_varint(&spec, (uint64_t)model_type);
    put_varint(&spec, 4U << 3); /* vocab_size, which the reader skips */
    put_varint(&spec, 5);
    put_field(&w->bytes, 2, &spec);
    qn_buffer_clear(&spec);
    if (adds_space >= 0) {
        put_varint(&spec, 3U << 3);
        put_varint(&spec, (uint64_t)adds_space);
        put_field(&w->bytes, 3, &spec);
        qn_buffer_clear(&spec);
    }
}

/** Writes the model as tokenizer.model of a folder. */
static inline void spm_save(spm_writer *w, const char *dir) {
    free(write_file(dir, "tokenizer.model", w->bytes.data, w->bytes.len));
    qn_buffer_clear(&w->bytes);
}

/** A model of eight pieces, one of each type: 0 unknown, 1 and 2 control, 3 byte, then a, b, ab, an unused one. */
static inline void spm_small(vocab_case *c, int dir) {
    spm_writer w = {{0}};
    spm_piece(&w, "<unk>", 5, 0.0F, 2);
    spm_piece(&w, "<s>", 3, 0.0F, 3);
    spm_piece(&w, "</s>", 4, 0.0F, 3);
    spm_piece(&w, "<0x0A>", 6, 0.0F, 6);
    spm_piece(&w, "a", 1, -2.0F, 0);
    spm_piece(&w,
              "\xE2\x96\x81"
              "b",
              4, -3.0F, 4);
    spm_piece(&w, "ab", 2, -1.0F, 1);
    spm_piece(&w, "zz", 2, -9.0F, 5);
    spm_specs(&w, 2, -1);
    spm_save(&w, c->dirs[dir]);
}

#endif
