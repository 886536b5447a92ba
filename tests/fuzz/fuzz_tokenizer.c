/* SPDX-License-Identifier: MIT */
/* fuzz_tokenizer.c: any vocabulary on any text: what is encoded decodes, and ids are within the vocabulary.
 *
 * The first byte names the kind, the second a splitting rule; then come lines of the vocabulary up to an empty one (a
 * letter for the type, the text), lines of merges up to an empty one, and the text. Of Unigram the merges are the
 * charsmap.
 */
#include "text/split_rules.h"
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_TOKENS = 256, MAX_TEXT = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct input {
    const char *at;
    size_t left;
} input;

/* The next line; false at the end and at an empty line, which is passed over. */
static bool next_line(input *in, qn_text *line) {
    if (in->left == 0) {
        return false;
    }
    const char *newline = memchr(in->at, '\n', in->left);
    const size_t len = newline == NULL ? in->left : (size_t)(newline - in->at);
    *line = (qn_text){in->at, len};
    in->at += len + (newline == NULL ? 0 : 1);
    in->left -= len + (newline == NULL ? 0 : 1);
    return len > 0;
}

static void add_tokens(input *in, qn_meta *meta, qn_text *texts, int32_t *types, float *scores) {
    size_t n = 0;
    qn_text line;
    while (n < MAX_TOKENS && next_line(in, &line)) {
        types[n] = line.bytes[0] % 8;
        scores[n] = -(float)(line.bytes[0] / 8);
        texts[n++] = (qn_text){line.bytes + 1, line.len - 1};
    }
    qn_meta_set_array(meta, "tokenizer.ggml.tokens", QN_META_STRING, texts, n);
    qn_meta_set_array(meta, "tokenizer.ggml.token_type", QN_META_I32, types, n);
    qn_meta_set_array(meta, "tokenizer.ggml.scores", QN_META_F32, scores, n);
}

static void add_merges(input *in, qn_meta *meta, qn_text *merges) {
    size_t n = 0;
    const char *start = in->at;
    while (n < MAX_TOKENS && next_line(in, &merges[n])) {
        n++;
    }
    qn_meta_set_array(meta, "tokenizer.ggml.merges", QN_META_STRING, merges, n);
    qn_meta_set_array(meta, "tokenizer.ggml.precompiled_charsmap", QN_META_U8, start, (size_t)(in->at - start));
}

static void use(const qn_tokenizer *t, input in, bool special) {
    qn_ids ids = {0};
    qn_buffer text = {0};
    qn_error err;
    if (qn_tokenize(t, in.at, in.left > MAX_TEXT ? MAX_TEXT : in.left, special, special, &ids, &err) == QN_OK) {
        for (size_t i = 0; i < ids.n; i++) {
            if (ids.items[i] < 0 || (size_t)ids.items[i] >= qn_tokenizer_n_tokens(t)) {
                abort();
            }
        }
        if (qn_detokenize(t, ids.items, ids.n, special, !special, &text, &err) != QN_OK) {
            abort();
        }
    }
    qn_buffer_clear(&text);
    qn_ids_clear(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const models[] = {"llama", "gpt2", "bert", "t5", "rwkv", "gemma4", "whitespace", "none"};
    static qn_text texts[MAX_TOKENS];
    static qn_text merges[MAX_TOKENS];
    static int32_t types[MAX_TOKENS];
    static float scores[MAX_TOKENS];
    const char *names[QN_MAX_SPLIT_RULES];
    qn_arena *arena = qn_arena_new();
    qn_tokenizer *t = NULL;
    qn_error err;
    if (arena == NULL || size < 2) {
        qn_arena_free(arena);
        return 0;
    }
    input in = {(const char *)data + 2, size - 2};
    qn_meta meta = qn_meta_new(arena);
    qn_meta_set_string(&meta, "tokenizer.ggml.model", models[data[0] % 8]);
    qn_meta_set_string(&meta, "tokenizer.ggml.pre", names[data[1] % qn_split_rule_names(names)]);
    qn_meta_set_string(&meta, "general.name", data[0] >= 128 ? "Phi-3" : "x");
    add_tokens(&in, &meta, texts, types, scores);
    add_merges(&in, &meta, merges);
    if (qn_meta_status(&meta, &err) == QN_OK && qn_tokenizer_new(&meta, &t, &err) == QN_OK) {
        use(t, in, true);
        use(t, in, false);
        qn_tokenizer_free(t);
    }
    qn_arena_free(arena);
    return 0;
}
