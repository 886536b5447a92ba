/* SPDX-License-Identifier: MIT */
/* test_vocabulary_reference.c: real tokenizers against the vocabulary files of llama.cpp's own converter. */
#include "vocab_case.h"

#include "container/gguf.h"

/* Vocabulary files and tokenizers of published models, beside the checkout: see PROVENANCE.txt there. */
static const char *find_shared(char *path, size_t size) {
    const char *shared = getenv("QUERN_SHARED");
    const char *source = getenv("QUERN_SOURCE");
    if (shared != NULL) {
        (void)snprintf(path, size, "%s", shared);
    } else {
        (void)snprintf(path, size, "%s/../shared", source == NULL ? "." : source);
    }
    return path_exists(path) ? path : NULL;
}

static char shared_dir[1024];

/* What of a vocabulary must be equal. */
enum { TEXTS = 1, TYPES = 2, SCORES = 4, MERGES = 8, ENDS = 16, PRE = 32, ORDER = 64 };

typedef struct reference {
    const char *name;
    const char *tokenizer; /* folder below shared/ */
    const char *gguf;      /* file below shared/ */
    bool prefers_spm;
    uint64_t n_vocab;
    const char *pre;
    const char *config; /* what config.json would say */
    unsigned equal;
} reference;

static const reference references[] = {
    {"Llama 2, tokenizer.model", "data/tokenizer-llama2-spm", "data/vocab-gguf/ggml-vocab-llama-spm.gguf", true, 32000,
     NULL, "{\"bos_token_id\":1,\"eos_token_id\":2}", TEXTS | TYPES | SCORES | ENDS | PRE},
    /* TinyLlama lists <unk>, <s> and </s> as added: their types and scores are those of added tokens */
    {"TinyLlama, tokenizer.model", "data/tokenizer-tinyllama-hf", "data/vocab-gguf/ggml-vocab-llama-spm.gguf", true,
     32000, NULL, NULL, TEXTS | ENDS | PRE},
    {"Phi-3's tokenizer.json, scored by its merges", "data/tokenizer-phi-3-hf",
     "data/vocab-gguf/ggml-vocab-llama-spm.gguf", false, 0, NULL, NULL, ORDER},
    {"GPT-2, tokenizer.json", "data/tokenizer-gpt2-hf", "data/vocab-gguf/ggml-vocab-gpt-2.gguf", false, 50257, NULL,
     NULL, TEXTS | TYPES | MERGES | ENDS | PRE},
    {"GPT-2, vocab.json", "data/tokenizer-gpt2-bpe", "data/vocab-gguf/ggml-vocab-gpt-2.gguf", false, 50257, NULL,
     "{\"model_type\":\"gpt2\",\"bos_token_id\":50256,\"eos_token_id\":50256}", TEXTS | TYPES | MERGES | ENDS | PRE},
    {"Falcon", "data/tokenizer-falcon-hf", "data/vocab-gguf/ggml-vocab-falcon.gguf", false, 65024, NULL,
     "{\"bos_token_id\":11,\"eos_token_id\":11}", TEXTS | TYPES | MERGES | ENDS | PRE},
    /* a later Qwen: it names tokens that the file, of Qwen 1.5, has as padding, and its end is <|im_end|> */
    {"Qwen 2.5, vocab.json", "data/peft-qwen2.5", "data/vocab-gguf/ggml-vocab-qwen2.gguf", true, 151936, NULL, NULL,
     MERGES | PRE},
    /* Meta has named the reserved tokens since */
    {"Llama 3, tiktoken", "data/tokenizer-llama3-tiktoken", "data/vocab-gguf/ggml-vocab-llama-bpe.gguf", true, 128256,
     NULL, NULL, TYPES | MERGES | ENDS | PRE},
    {"the sample", "samples/miller-base", "samples/expected/miller-f32.gguf", true, 2048, NULL,
     "{\"bos_token_id\":1,\"eos_token_id\":2}", TEXTS | TYPES | SCORES | ENDS | PRE},
};

static void check_texts(const char *name, const char *what, const qn_text *found, uint64_t n,
                        const qn_meta_value *want) {
    assert_non_null(want);
    assert_int_equal(n, want->as.array.n);
    const qn_text *texts = want->as.array.items;
    for (uint64_t i = 0; i < n; i++) {
        if (found[i].len != texts[i].len || memcmp(found[i].bytes, texts[i].bytes, found[i].len) != 0) {
            print_error("%s: %s %llu is '%.*s', wanted '%.*s'\n", name, what, (unsigned long long)i, (int)found[i].len,
                        found[i].bytes, (int)texts[i].len, texts[i].bytes);
            fail();
        }
    }
}

static void check_id(const char *name, const qn_meta *meta, const char *key, int64_t found) {
    uint64_t want = 0;
    if (qn_meta_u64(meta, key, &want) && (int64_t)want != found) {
        print_error("%s: %s is %lld, wanted %llu\n", name, key, (long long)found, (unsigned long long)want);
        fail();
    }
}

/* Merging goes by the order of scores. The reference gives runs of spaces one score that is below all others. */
static void check_order(const char *name, const qn_vocab *v, const qn_meta *meta) {
    const float *scores = qn_meta_find(meta, "tokenizer.ggml.scores")->as.array.items;
    const uint64_t n = qn_meta_find(meta, "tokenizer.ggml.tokens")->as.array.n;
    float last = 1.0F;
    uint64_t n_checked = 0;
    for (uint64_t i = 260; i < n; i++) { /* behind the control and byte tokens the ids are in order of score */
        const bool is_formed = scores[i] < 0.0F && scores[i] > -29000.0F && v->scores[i] < 0.0F;
        if (!is_formed || strstr(v->tokens[i].bytes, "\xE2\x96\x81\xE2\x96\x81") != NULL) {
            continue;
        }
        if (v->scores[i] >= last) {
            print_error("%s: token %llu is out of order\n", name, (unsigned long long)i);
            fail();
        }
        last = v->scores[i];
        n_checked++;
    }
    assert_true(n_checked > 25000);
}

static void check_numbers(const reference *r, const qn_vocab *v, const qn_meta *meta) {
    const qn_meta_value *types = qn_meta_find(meta, "tokenizer.ggml.token_type");
    const qn_meta_value *scores = qn_meta_find(meta, "tokenizer.ggml.scores");
    if ((r->equal & TYPES) != 0) {
        assert_int_equal(v->n_tokens, types->as.array.n);
        assert_memory_equal(v->types, types->as.array.items, (size_t)v->n_tokens * sizeof *v->types);
    }
    if ((r->equal & SCORES) != 0) {
        assert_int_equal(v->n_tokens, scores->as.array.n);
        assert_memory_equal(v->scores, scores->as.array.items, (size_t)v->n_tokens * sizeof *v->scores);
    }
}

static void check_reference(const reference *r, const qn_vocab *v, const qn_meta *meta) {
    assert_string_equal(v->model, qn_meta_string(meta, "tokenizer.ggml.model"));
    if ((r->equal & PRE) != 0) {
        assert_string_equal(v->pre, qn_meta_string(meta, "tokenizer.ggml.pre"));
    }
    if ((r->equal & TEXTS) != 0) {
        check_texts(r->name, "token", v->tokens, v->n_tokens, qn_meta_find(meta, "tokenizer.ggml.tokens"));
    }
    if ((r->equal & MERGES) != 0) {
        check_texts(r->name, "merge", v->merges, v->n_merges, qn_meta_find(meta, "tokenizer.ggml.merges"));
    }
    if ((r->equal & ENDS) != 0) {
        check_id(r->name, meta, "tokenizer.ggml.bos_token_id", v->bos);
        check_id(r->name, meta, "tokenizer.ggml.eos_token_id", v->eos);
        check_id(r->name, meta, "tokenizer.ggml.unknown_token_id", v->unk);
    }
    if ((r->equal & ORDER) != 0) {
        check_order(r->name, v, meta);
    }
    check_numbers(r, v, meta);
}

static void equals_the_converters_files(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof references / sizeof references[0]; i++) {
        const reference *r = &references[i];
        vocab_case c;
        qn_archive *archive = NULL;
        case_begin(&c);
        char *dir = join_path(shared_dir, r->tokenizer);
        char *path = join_path(shared_dir, r->gguf);
        const char *const dirs[] = {dir};
        c.request.dirs = dirs;
        c.request.n_dirs = 1;
        c.request.n_vocab = r->n_vocab;
        c.request.pre = r->pre;
        c.traits.prefers_spm = r->prefers_spm;
        if (r->config != NULL) {
            case_config(&c, r->config);
        }
        print_message("%s\n", r->name);
        assert_ok(&c.err, qn_gguf_open(path, &archive, &c.err));
        assert_ok(&c.err, case_open(&c));
        check_reference(r, &c.vocab, qn_archive_meta(archive));
        qn_archive_close(archive);
        free(path);
        free(dir);
        case_end(&c);
    }
}

/* The sample, key by key: what the converter writes, and what quern adds to it. */
static void writes_the_samples_keys(void **state) {
    (void)state;
    static const char *const more[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.unknown_token_id",
                                       "tokenizer.ggml.eos_token_ids"};
    vocab_case c;
    qn_archive *archive = NULL;
    uint64_t n_shared = 0;
    case_begin(&c);
    char *dir = join_path(shared_dir, "samples/miller-base");
    char *path = join_path(shared_dir, "samples/expected/miller-f32.gguf");
    const char *const dirs[] = {dir};
    c.request.dirs = dirs;
    c.request.n_dirs = 1;
    c.traits.prefers_spm = true;
    case_config(&c, "{\"bos_token_id\":1,\"eos_token_id\":2,\"vocab_size\":2048}");
    assert_ok(&c.err, qn_gguf_open(path, &archive, &c.err));
    assert_ok(&c.err, case_open(&c));
    qn_meta meta = qn_meta_new(c.arena);
    qn_vocab_to_meta(&c.vocab, &meta);
    const qn_meta *want = qn_archive_meta(archive);
    for (uint64_t i = 0; i < want->n; i++) {
        const char *key = want->entries[i].key;
        if (strncmp(key, "tokenizer.", 10) == 0) {
            const qn_meta_value *found = qn_meta_find(&meta, key);
            assert_non_null(found);
            assert_int_equal(found->type, want->entries[i].value.type);
            n_shared++;
        }
    }
    assert_int_equal(meta.n, n_shared + sizeof more / sizeof more[0]);
    for (size_t i = 0; i < sizeof more / sizeof more[0]; i++) {
        assert_non_null(qn_meta_find(&meta, more[i]));
    }
    assert_string_equal(qn_meta_string(&meta, "tokenizer.chat_template"),
                        qn_meta_string(want, "tokenizer.chat_template"));
    assert_int_equal(c.vocab.eot, 4);
    assert_int_equal(c.vocab.add_bos, 1);
    assert_int_equal(c.vocab.add_eos, 0);
    qn_archive_close(archive);
    free(path);
    free(dir);
    case_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_converters_files),
        cmocka_unit_test(writes_the_samples_keys),
    };
    if (find_shared(shared_dir, sizeof shared_dir) == NULL) {
        print_message("skipped: no %s (set QUERN_SHARED)\n", shared_dir);
        return TEST_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
