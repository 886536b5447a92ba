/* SPDX-License-Identifier: MIT */
/* test_vocab_files.c: vocabularies into tokenizer files and back, and metadata that lie. */
#include "vocab_case.h"

#include "text/vocab_files.h"

#include <math.h>

#define MARK "\xE2\x96\x81"
#define N(array) (sizeof(array) / sizeof(array)[0])

/** A vocabulary with no ids and nothing said. */
static qn_vocab new_vocab(const char *model, const char *pre) {
    return (qn_vocab){.model = model,
                      .pre = pre,
                      .bos = QN_NO_TOKEN,
                      .eos = QN_NO_TOKEN,
                      .eot = QN_NO_TOKEN,
                      .eom = QN_NO_TOKEN,
                      .unk = QN_NO_TOKEN,
                      .sep = QN_NO_TOKEN,
                      .pad = QN_NO_TOKEN,
                      .mask = QN_NO_TOKEN,
                      .fim_pre = QN_NO_TOKEN,
                      .fim_suf = QN_NO_TOKEN,
                      .fim_mid = QN_NO_TOKEN,
                      .fim_pad = QN_NO_TOKEN,
                      .fim_rep = QN_NO_TOKEN,
                      .fim_sep = QN_NO_TOKEN,
                      .add_sep = -1,
                      .add_space_prefix = -1};
}

/** A token of a table. */
typedef struct token {
    const char *text;
    qn_token_type type;
    float score;
} token;

static void set_tokens(vocab_case *c, qn_vocab *v, const token *tokens, size_t n) {
    qn_text *texts = qn_arena_array(c->arena, n, sizeof *texts);
    int32_t *types = qn_arena_array(c->arena, n, sizeof *types);
    float *scores = qn_arena_array(c->arena, n, sizeof *scores);
    assert_true(texts != NULL && types != NULL && scores != NULL);
    for (size_t i = 0; i < n; i++) {
        texts[i] = qn_text_of(tokens[i].text);
        types[i] = (int32_t)tokens[i].type;
        scores[i] = tokens[i].score;
    }
    v->tokens = texts;
    v->types = types;
    v->scores = strcmp(v->model, "llama") == 0 ? scores : NULL;
    v->n_tokens = n;
}

static void set_merges(vocab_case *c, qn_vocab *v, const char *const *merges, size_t n) {
    qn_text *texts = qn_arena_array(c->arena, n, sizeof *texts);
    assert_non_null(texts);
    for (size_t i = 0; i < n; i++) {
        texts[i] = qn_text_of(merges[i]);
    }
    v->merges = texts;
    v->n_merges = n;
}

static const token bpe_tokens[] = {
    {"a", QN_TOKEN_NORMAL, 0},
    {"b", QN_TOKEN_NORMAL, 0},
    {"\xC4\xA0", QN_TOKEN_NORMAL, 0},
    {"ab", QN_TOKEN_NORMAL, 0},
    {"\xC4\xA0"
     "ab",
     QN_TOKEN_NORMAL, 0},
    {"<|bos|>", QN_TOKEN_CONTROL, 0},
    {"<|eos|>", QN_TOKEN_CONTROL, 0},
    {"<call>", QN_TOKEN_USER_DEFINED, 0},
};
static const char *const bpe_merges[] = {"a b", "\xC4\xA0 ab"};

static qn_vocab new_bpe(vocab_case *c, const char *pre) {
    qn_vocab v = new_vocab("gpt2", pre);
    set_tokens(c, &v, bpe_tokens, N(bpe_tokens));
    set_merges(c, &v, bpe_merges, N(bpe_merges));
    v.bos = 5;
    v.eos = 6;
    return v;
}

static const token spm_tokens[] = {
    {"<unk>", QN_TOKEN_UNKNOWN, 0},      {"<s>", QN_TOKEN_CONTROL, 0},    {"</s>", QN_TOKEN_CONTROL, 0},
    {"<0x0A>", QN_TOKEN_BYTE, 0},        {"a", QN_TOKEN_NORMAL, -20},     {"b", QN_TOKEN_NORMAL, -21},
    {MARK, QN_TOKEN_NORMAL, -22},        {"ab", QN_TOKEN_NORMAL, -1},     {MARK "a", QN_TOKEN_NORMAL, -2},
    {MARK "ab", QN_TOKEN_NORMAL, -0.5F}, {"unused", QN_TOKEN_UNUSED, -3},
};

static qn_vocab new_spm(vocab_case *c) {
    qn_vocab v = new_vocab("llama", "default");
    set_tokens(c, &v, spm_tokens, N(spm_tokens));
    v.unk = 0;
    v.bos = 1;
    v.eos = 2;
    v.add_bos = 1;
    return v;
}

/* ---- files ---- */

static qn_vocab_file files[QN_MAX_VOCAB_FILES];
static uint64_t n_files;

static qn_status make(vocab_case *c, const qn_meta *meta) {
    return qn_vocab_files(meta, c->arena, files, &n_files, &c->err);
}

static const qn_vocab_file *find_file(const char *name) {
    for (uint64_t i = 0; i < n_files; i++) {
        if (strcmp(files[i].name, name) == 0) {
            return &files[i];
        }
    }
    return NULL;
}

/** A JSON file that was made; a new reference. */
static json_t *parse_file(vocab_case *c, const char *name) {
    const qn_vocab_file *file = find_file(name);
    json_t *value = NULL;
    assert_non_null(file);
    assert_ok(&c->err, qn_json_parse(name, file->bytes.bytes, file->bytes.len, &value, &c->err));
    return value;
}

static qn_meta meta_of(vocab_case *c, const qn_vocab *v) {
    qn_meta meta = qn_meta_new(c->arena);
    qn_vocab_to_meta(v, &meta);
    assert_ok(&c->err, qn_meta_status(&meta, &c->err));
    return meta;
}

/** Makes the files, writes them into the second folder, which is emptied, and reads them as c->vocab. */
static void go_round(vocab_case *c, const qn_vocab *before) {
    const qn_meta meta = meta_of(c, before);
    assert_ok(&c->err, make(c, &meta));
    remove_temp_dir(c->dirs[1]);
    c->dirs[1] = make_temp_dir();
    for (uint64_t i = 0; i < n_files; i++) {
        free(write_file(c->dirs[1], files[i].name, files[i].bytes.bytes, files[i].bytes.len));
    }
    c->request.dirs = (const char *const *)&c->dirs[1];
    c->request.n_dirs = 1;
    c->request.n_vocab = before->n_tokens;
    assert_ok(&c->err, case_open(c));
}

static void check_text(qn_text found, qn_text wanted) {
    assert_int_equal(found.bytes == NULL, wanted.bytes == NULL);
    assert_int_equal(found.len, wanted.len);
    if (wanted.len > 0) {
        assert_memory_equal(found.bytes, wanted.bytes, wanted.len);
    }
}

static void check_tokens(const vocab_case *c, const qn_vocab *wanted) {
    const qn_vocab *v = &c->vocab;
    assert_int_equal(v->n_tokens, wanted->n_tokens);
    assert_int_equal(v->scores == NULL, wanted->scores == NULL);
    for (uint64_t i = 0; i < wanted->n_tokens; i++) {
        if (v->types[i] != wanted->types[i] || v->tokens[i].len != wanted->tokens[i].len ||
            (v->scores != NULL && v->scores[i] != wanted->scores[i])) {
            print_error("token %d: '%.*s', type %d, score %g\n", (int)i, (int)v->tokens[i].len, v->tokens[i].bytes,
                        (int)v->types[i], v->scores == NULL ? 0.0 : (double)v->scores[i]);
            fail();
        }
        check_text(v->tokens[i], wanted->tokens[i]);
    }
    assert_int_equal(v->n_merges, wanted->n_merges);
    for (uint64_t i = 0; i < wanted->n_merges; i++) {
        check_text(v->merges[i], wanted->merges[i]);
    }
}

static void check_same(const vocab_case *c, const qn_vocab *wanted) {
    const qn_vocab *v = &c->vocab;
    assert_string_equal(v->model, wanted->model);
    assert_string_equal(v->pre, wanted->pre);
    check_tokens(c, wanted);
    const int64_t found_ids[] = {v->bos,  v->eos,     v->eot,     v->eom,     v->unk,     v->sep,     v->pad,
                                 v->mask, v->fim_pre, v->fim_suf, v->fim_mid, v->fim_pad, v->fim_rep, v->fim_sep};
    const int64_t ids[] = {wanted->bos,     wanted->eos,     wanted->eot,     wanted->eom,     wanted->unk,
                           wanted->sep,     wanted->pad,     wanted->mask,    wanted->fim_pre, wanted->fim_suf,
                           wanted->fim_mid, wanted->fim_pad, wanted->fim_rep, wanted->fim_sep};
    for (size_t i = 0; i < N(ids); i++) {
        assert_int_equal(found_ids[i], ids[i]);
    }
    assert_int_equal(v->add_bos, wanted->add_bos);
    assert_int_equal(v->add_eos, wanted->add_eos);
    assert_int_equal(v->add_sep, wanted->add_sep);
    assert_int_equal(v->add_space_prefix, wanted->add_space_prefix);
    for (uint64_t i = 0; i < wanted->n_eos_ids; i++) {
        assert_true(v->n_eos_ids > i);
        assert_int_equal(v->eos_ids[i], wanted->eos_ids[i]);
    }
    check_text(v->chat_template, wanted->chat_template);
    assert_int_equal(v->n_templates, wanted->n_templates);
    for (uint64_t i = 0; i < wanted->n_templates; i++) {
        check_text(v->templates[i].name, wanted->templates[i].name);
        check_text(v->templates[i].text, wanted->templates[i].text);
    }
}

static void check_round(vocab_case *c, const qn_vocab *v) {
    go_round(c, v);
    check_same(c, v);
}

/* ---- byte-level ---- */

static void names_come_back(void **state) {
    (void)state;
    static const struct {
        const char *pre;
        const char *marker; /* the token that tells a name from others with its rule */
        const char *wanted; /* NULL: the same name */
    } cases[] = {
        {"llama-bpe", NULL, NULL},
        {"smaug-bpe", NULL, NULL},
        {"qwen2", NULL, NULL},
        {"qwen35", NULL, NULL},
        {"gpt-2", NULL, NULL},
        {"starcoder", NULL, NULL},
        {"falcon", NULL, NULL},
        {"deepseek-llm", NULL, NULL},
        {"deepseek-coder", NULL, NULL},
        {"deepseek-v3", NULL, NULL},
        {"spark2_5", NULL, NULL},
        {"youtu", NULL, NULL},
        {"bloom", NULL, NULL},
        {"viking", NULL, NULL},
        {"tekken", NULL, NULL},
        {"gpt-4o", NULL, NULL},
        {"tiny_aya", NULL, NULL},
        {"superbpe", NULL, NULL},
        {"bailingmoe", NULL, NULL},
        {"seed-coder", NULL, NULL},
        {"ufakzeka", NULL, NULL},
        {"exaone-moe", NULL, NULL},
        {"minicpm5", NULL, NULL},
        {"jais-2", NULL, NULL},
        {"olmo", NULL, NULL},
        {"glm4", "[gMASK]", NULL},
        {"command-r", "<|START_OF_TURN_TOKEN|>", NULL},
        {"smollm", "<|im_start|>", NULL},
        {"llama4", "<|header_start|>", NULL},
        {"poro-chat", "<|im_start|>", NULL},
        {"deepseek-r1-qwen", "<\xEF\xBD\x9CUser\xEF\xBD\x9C>", NULL},
        {"phi-2", NULL, "gpt-2"},
        {"mpt", NULL, "olmo"},
        {"llama3", NULL, "llama-bpe"},
        {"refact", NULL, "starcoder"},
        {"dbrx", NULL, "smaug-bpe"},
        {"stablelm2", NULL, "qwen2"},
        {"hunyuan-dense", NULL, "deepseek-v3"},
    };
    for (size_t i = 0; i < N(cases); i++) {
        vocab_case c;
        token tokens[N(bpe_tokens)];
        case_begin(&c);
        qn_vocab v = new_bpe(&c, cases[i].pre);
        memcpy(tokens, bpe_tokens, sizeof tokens);
        if (cases[i].marker != NULL) {
            tokens[7] = (token){cases[i].marker, QN_TOKEN_CONTROL, 0};
        }
        set_tokens(&c, &v, tokens, N(tokens));
        v.add_bos = i % 2 == 0;
        v.add_eos = i % 3 == 0;
        go_round(&c, &v);
        v.pre = cases[i].wanted == NULL ? cases[i].pre : cases[i].wanted;
        check_same(&c, &v);
        assert_int_equal(c.n_warnings, 0);
        case_end(&c);
    }
}

static void roberta_comes_back(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    qn_vocab v = new_bpe(&c, "roberta-bpe");
    v.add_bos = v.add_eos = v.add_sep = 1;
    v.sep = v.eos;
    check_round(&c, &v);
    case_end(&c);
}

static void roles_come_back(void **state) {
    (void)state;
    static const int32_t ends[] = {5, 6, 7};
    vocab_case c;
    token tokens[N(bpe_tokens)];
    case_begin(&c);
    qn_vocab v = new_bpe(&c, "llama-bpe");
    memcpy(tokens, bpe_tokens, sizeof tokens);
    tokens[7] = (token){"<|eot_id|>", QN_TOKEN_CONTROL, 0};
    set_tokens(&c, &v, tokens, N(tokens));
    v.add_bos = 1;
    v.eot = 7;
    v.eom = 5;
    v.pad = 6;
    v.unk = v.sep = v.mask = 5;
    v.eos_ids = ends;
    v.n_eos_ids = 3;
    v.add_sep = 0;
    v.add_space_prefix = 0;
    check_round(&c, &v);
    case_end(&c);
}

/* Every combination of flags with bos, eos and sep the same or not: the template must not be taken for another. */
static void flags_come_back(void **state) {
    (void)state;
    for (int i = 0; i < 16; i++) {
        vocab_case c;
        case_begin(&c);
        qn_vocab v = new_bpe(&c, "gpt-2");
        v.add_bos = i & 1;
        v.add_eos = i >> 1 & 1;
        v.eos = (i & 4) != 0 ? v.bos : v.eos;
        v.sep = (i & 8) != 0 ? v.bos : QN_NO_TOKEN;
        check_round(&c, &v);
        case_end(&c);
    }
}

static uint64_t count_vocab(vocab_case *c) {
    json_t *tokenizer = parse_file(c, "tokenizer.json");
    const uint64_t n = json_object_size(json_object_get(json_object_get(tokenizer, "model"), "vocab"));
    json_decref(tokenizer);
    return n;
}

static void lays_tokens_out(void **state) {
    (void)state;
    static const struct {
        token tail[4];
        uint64_t n_entries; /* in model.vocab */
    } cases[] = {
        {{{NULL, 0, 0}}, 5},
        /* padding goes, and comes back */
        {{{"[PAD8]", QN_TOKEN_UNUSED, 0}, {"[PAD9]", QN_TOKEN_UNUSED, 0}}, 5},
        /* a hole: added tokens stand in the vocabulary, or the library would number them anew */
        {{{"[PAD8]", QN_TOKEN_UNUSED, 0}, {"<|x|>", QN_TOKEN_CONTROL, 0}}, 9},
        /* a plain token behind added ones */
        {{{"c", QN_TOKEN_NORMAL, 0}, {"  ", QN_TOKEN_USER_DEFINED, 0}}, 9},
    };
    for (size_t i = 0; i < N(cases); i++) {
        vocab_case c;
        token tokens[N(bpe_tokens) + 4];
        size_t n = N(bpe_tokens);
        case_begin(&c);
        memcpy(tokens, bpe_tokens, sizeof bpe_tokens);
        for (size_t k = 0; k < 4 && cases[i].tail[k].text != NULL; k++) {
            tokens[n++] = cases[i].tail[k];
        }
        qn_vocab v = new_bpe(&c, "gpt-2");
        set_tokens(&c, &v, tokens, n);
        check_round(&c, &v);
        assert_int_equal(count_vocab(&c), cases[i].n_entries);
        case_end(&c);
    }
}

static void keeps_an_added_token_that_merges_form(void **state) {
    (void)state;
    static const token tokens[] = {
        {"a", QN_TOKEN_NORMAL, 0}, {"b", QN_TOKEN_NORMAL, 0}, {"ab", QN_TOKEN_USER_DEFINED, 0}};
    vocab_case c;
    case_begin(&c);
    qn_vocab v = new_bpe(&c, "gpt-2");
    set_tokens(&c, &v, tokens, N(tokens));
    v.n_merges = 1;
    v.bos = QN_NO_TOKEN;
    v.eos = 1;
    check_round(&c, &v);
    assert_int_equal(count_vocab(&c), 3);
    case_end(&c);
}

/* ---- SentencePiece ---- */

static void sentencepiece_comes_back(void **state) {
    (void)state;
    static const token more[] = {
        {"<|user|>", QN_TOKEN_CONTROL, -1000},       {"[PAD12]", QN_TOKEN_UNUSED, -10000},
        {"two words", QN_TOKEN_USER_DEFINED, -1000}, {"x" MARK "y", QN_TOKEN_USER_DEFINED, -1000},
        {"<|call|>", QN_TOKEN_USER_DEFINED, -1000},  {"[PAD16]", QN_TOKEN_UNUSED, -10000},
    };
    for (int i = 0; i < 6; i++) {
        vocab_case c;
        token tokens[N(spm_tokens) + N(more)];
        case_begin(&c);
        c.traits.prefers_spm = i % 2 == 0;
        memcpy(tokens, spm_tokens, sizeof spm_tokens);
        memcpy(tokens + N(spm_tokens), more, sizeof more);
        if (i >= 3) { /* as newer configurations have it */
            tokens[0] = (token){"<unk>", QN_TOKEN_CONTROL, -1000};
            tokens[1].score = -1000;
        }
        qn_vocab v = new_spm(&c);
        set_tokens(&c, &v, tokens, i == 0 ? N(spm_tokens) : N(tokens));
        v.add_bos = i % 3 != 1;
        v.add_eos = i == 2;
        v.add_space_prefix = i % 3 - 1;
        v.pad = i > 3 ? 0 : QN_NO_TOKEN;
        check_round(&c, &v);
        assert_int_equal(find_file("added_tokens.json") != NULL, i > 0);
        case_end(&c);
    }
}

static void makes_merges_of_scores(void **state) {
    (void)state;
    static const char *const wanted[] = {MARK " ab", MARK "a b", "a b", MARK " a"};
    vocab_case c;
    case_begin(&c);
    const qn_vocab v = new_spm(&c);
    const qn_meta meta = meta_of(&c, &v);
    assert_ok(&c.err, make(&c, &meta));
    json_t *tokenizer = parse_file(&c, "tokenizer.json");
    const json_t *model = json_object_get(tokenizer, "model");
    const json_t *merges = json_object_get(model, "merges");
    assert_int_equal(json_array_size(merges), N(wanted));
    for (size_t i = 0; i < N(wanted); i++) {
        assert_string_equal(json_string_value(json_array_get(merges, i)), wanted[i]);
    }
    assert_true(json_is_true(json_object_get(model, "byte_fallback")));
    assert_string_equal(qn_json_string(model, "unk_token"), "<unk>");
    json_decref(tokenizer);
    case_end(&c);
}

/* A part with a space of its own: the list must be one of pairs. */
static void writes_parts_with_spaces_as_pairs(void **state) {
    (void)state;
    static const token tokens[] = {{"<unk>", QN_TOKEN_UNKNOWN, 0},
                                   {"a", QN_TOKEN_NORMAL, -2},
                                   {" ", QN_TOKEN_NORMAL, -2},
                                   {"a ", QN_TOKEN_NORMAL, -1}};
    vocab_case c;
    case_begin(&c);
    qn_vocab v = new_vocab("llama", "default");
    set_tokens(&c, &v, tokens, N(tokens));
    const qn_meta meta = meta_of(&c, &v);
    assert_ok(&c.err, make(&c, &meta));
    json_t *tokenizer = parse_file(&c, "tokenizer.json");
    const json_t *merge = json_array_get(json_object_get(json_object_get(tokenizer, "model"), "merges"), 0);
    assert_string_equal(json_string_value(json_array_get(merge, 0)), "a");
    assert_string_equal(json_string_value(json_array_get(merge, 1)), " ");
    json_decref(tokenizer);
    case_end(&c);
}

/* Texts that JSON has no names for are left out of tokenizer.json only. */
static void keeps_odd_pieces(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    c.traits.prefers_spm = true;
    qn_vocab v = new_spm(&c);
    qn_text *texts = qn_arena_array(c.arena, v.n_tokens, sizeof *texts);
    assert_non_null(texts);
    memcpy(texts, v.tokens, v.n_tokens * sizeof *texts);
    texts[5] = (qn_text){"\0", 1};
    texts[7] = (qn_text){"", 0};
    texts[9] = (qn_text){"", 0};
    v.tokens = texts;
    check_round(&c, &v);
    assert_int_equal(count_vocab(&c), v.n_tokens - 3);
    case_end(&c);
}

static void settles_what_is_not_said(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    c.traits.prefers_spm = true;
    qn_vocab v = new_spm(&c);
    v.unk = v.bos = v.eos = QN_NO_TOKEN;
    v.add_bos = v.add_eos = -1;
    go_round(&c, &v);
    assert_int_equal(c.vocab.unk, 0);
    assert_int_equal(c.vocab.bos, 1);
    assert_int_equal(c.vocab.eos, 2);
    assert_int_equal(c.vocab.add_bos, 1);
    assert_int_equal(c.vocab.add_eos, 0);
    case_end(&c);
}

/* ---- the sample ---- */

static void sample_comes_back(void **state) {
    (void)state;
    vocab_case c;
    const char *source = getenv("QUERN_SOURCE");
    case_begin(&c);
    char *base = join_path(source != NULL ? source : ".", "samples/miller-base");
    if (!path_exists(base)) {
        free(base);
        case_end(&c);
        skip();
    }
    const char *const dirs[1] = {base};
    c.traits.prefers_spm = true;
    c.request.dirs = dirs;
    c.request.n_dirs = 1;
    assert_ok(&c.err, case_open(&c));
    const qn_vocab before = c.vocab;
    assert_int_equal(before.n_tokens, 2048);
    check_round(&c, &before);
    case_end(&c);
    free(base);
}

/* ---- templates and the small files ---- */

static void templates_come_back(void **state) {
    (void)state;
    const qn_named_template named[] = {{qn_text_of("tool_use"), qn_text_of("{{ tools }}")},
                                       {qn_text_of("rag"), qn_text_of("\xC3\xA9 \"\\\n")}};
    for (int i = 0; i < 4; i++) {
        vocab_case c;
        case_begin(&c);
        qn_vocab v = new_bpe(&c, "gpt-2");
        if ((i & 1) != 0) {
            v.chat_template = qn_text_of("{% for m in messages %}{{ m }}\n{% endfor %}");
        }
        v.templates = named;
        v.n_templates = (i & 2) != 0 ? 2 : 0;
        check_round(&c, &v);
        assert_int_equal(find_file("chat_template.jinja") != NULL, i == 1);
        case_end(&c);
    }
}

static void writes_the_small_files(void **state) {
    (void)state;
    static const int32_t ends[] = {5, 6};
    vocab_case c;
    uint64_t n = 0;
    case_begin(&c);
    qn_vocab v = new_bpe(&c, "gpt-2");
    v.eos_ids = ends;
    v.n_eos_ids = 2;
    v.pad = 6;
    qn_meta meta = meta_of(&c, &v);
    qn_meta_set_string(&meta, "general.architecture", "gpt2");
    qn_meta_set_u32(&meta, "gpt2.context_length", 1024);
    assert_ok(&c.err, make(&c, &meta));
    json_t *config = parse_file(&c, "tokenizer_config.json");
    json_t *special = parse_file(&c, "special_tokens_map.json");
    json_t *generation = parse_file(&c, "generation_config.json");
    const json_t *list = json_object_get(generation, "eos_token_id");
    assert_true(qn_json_u64(config, "model_max_length", &n) && n == 1024);
    assert_string_equal(qn_json_string(config, "tokenizer_class"), "PreTrainedTokenizerFast");
    assert_string_equal(qn_json_string(special, "bos_token"), "<|bos|>");
    assert_string_equal(qn_json_string(special, "pad_token"), "<|eos|>");
    assert_null(json_object_get(special, "eot_token"));
    assert_int_equal(json_integer_value(json_array_get(list, 0)), 6); /* eos first */
    assert_int_equal(json_integer_value(json_array_get(list, 1)), 5);
    assert_int_equal(json_integer_value(json_object_get(generation, "bos_token_id")), 5);
    assert_int_equal(json_integer_value(json_object_get(generation, "pad_token_id")), 6);
    json_decref(config);
    json_decref(special);
    json_decref(generation);
    case_end(&c);
}

/* ---- metadata that lie ---- */

static const qn_text pair_of_texts[] = {{"a", 1}, {"b", 1}};
static const int32_t pair_of_types[] = {1, 9};
static const float pair_of_scores[] = {0.0F, 1.0F};
static const float infinite[] = {0, 0, 0, 0, 0, 0, 0, INFINITY};
static const int32_t many_types[] = {1, 1, 1, 1, 1, 1, 1, 7};
static const int32_t controls[] = {3, 3, 3, 3, 3, 3, 3, 3};
static const int32_t far_ids[] = {2, -1};
static const qn_text unmergeable[] = {{"a b", 3}, {"b a", 3}};
static const qn_text one_part[] = {{"ab", 2}};
static const qn_text doubled[] = {{"a", 1}, {"b", 1}, {"c", 1}, {"d", 1}, {"b", 1}, {"e", 1}, {"f", 1}, {"g", 1}};
static const qn_text latin1[] = {{"a", 1}, {"\xE9", 1}, {"c", 1}, {"d", 1}, {"b", 1}, {"e", 1}, {"f", 1}, {"g", 1}};

#define ARRAY(kind, list)                                          \
    {                                                              \
        .type = QN_META_ARRAY, .as.array = { kind, N(list), list } \
    }
#define TEXT(string)                                                      \
    {                                                                     \
        .type = QN_META_STRING, .as.text = { string, sizeof(string) - 1 } \
    }
#define G "tokenizer.ggml."

static const struct broken {
    const char *key;
    bool removes;
    qn_meta_value value;
    qn_status status;
    const char *says;
} broken[] = {
    {G "model", true, {0}, QN_E_NOT_FOUND, "no vocabulary"},
    {G "model", false, TEXT("none"), QN_E_NOT_FOUND, "no vocabulary"},
    {G "model", false, TEXT("t5"), QN_E_UNSUPPORTED, "'t5'"},
    {G "model", false, TEXT(""), QN_E_UNSUPPORTED, "''"},
    {G "model", false, {.type = QN_META_U32}, QN_E_FORMAT, "of type u32"},
    {G "model", false, TEXT("llama"), QN_E_FORMAT, "scores is missing"},
    {G "pre", true, {0}, QN_E_UNSUPPORTED, "pre is missing"},
    {G "pre", false, TEXT("a\0b"), QN_E_UNSUPPORTED, "pre is missing"},
    {G "pre", false, TEXT("default"), QN_E_UNSUPPORTED, "'default'"},
    {G "pre", false, TEXT("nonsense"), QN_E_UNSUPPORTED, "'nonsense'"},
    {G "tokens", true, {0}, QN_E_FORMAT, "tokens is missing"},
    {G "tokens",
     false,
     {.type = QN_META_ARRAY, .as.array = {QN_META_STRING, 0, NULL}},
     QN_E_FORMAT,
     "missing or empty"},
    {G "tokens", false, ARRAY(QN_META_F32, pair_of_scores), QN_E_FORMAT, "arr of f32"},
    {G "tokens", false, TEXT("a"), QN_E_FORMAT, "of type str"},
    {G "tokens", false, ARRAY(QN_META_STRING, pair_of_texts), QN_E_FORMAT, "token_type has 8 entries"},
    {G "tokens", false, ARRAY(QN_META_STRING, doubled), QN_E_FORMAT, "tokens 1 and 4 are both 'b'"},
    {G "tokens", false, ARRAY(QN_META_STRING, latin1), QN_E_FORMAT, "token 1 is not UTF-8"},
    {G "token_type", false, ARRAY(QN_META_I32, pair_of_types), QN_E_FORMAT, "token_type has 2 entries"},
    {G "token_type", false, ARRAY(QN_META_STRING, pair_of_texts), QN_E_FORMAT, "has 2 entries"},
    {G "token_type", false, ARRAY(QN_META_F32, infinite), QN_E_FORMAT, "arr of f32"},
    {G "token_type", false, ARRAY(QN_META_I32, many_types), QN_E_FORMAT, "token_type[7] is 7"},
    {G "token_type", false, ARRAY(QN_META_I32, controls), QN_E_FORMAT, "no tokens but control"},
    {G "merges", true, {0}, QN_E_FORMAT, "merges is missing"},
    {G "merges", false, ARRAY(QN_META_I32, far_ids), QN_E_FORMAT, "arr of i32"},
    {G "merges", false, ARRAY(QN_META_STRING, unmergeable), QN_E_FORMAT, "merges[1], 'b a'"},
    {G "merges", false, ARRAY(QN_META_STRING, one_part), QN_E_FORMAT, "merges[0], 'ab'"},
    {G "bos_token_id", false, {.type = QN_META_U32, .as.u = 8}, QN_E_FORMAT, "bos_token_id is 8"},
    {G "pad_x", false, TEXT("ignored"), QN_OK, NULL},
    {G "padding_token_id", false, {.type = QN_META_U64, .as.u = UINT64_MAX}, QN_E_FORMAT, "padding_token_id"},
    {G "eos_token_id", false, {.type = QN_META_I32, .as.i = -1}, QN_E_FORMAT, "eos_token_id is of type i32"},
    {G "eos_token_id", false, TEXT("2"), QN_E_FORMAT, "eos_token_id is of type str"},
    {G "eos_token_ids", false, ARRAY(QN_META_I32, far_ids), QN_E_FORMAT, "eos_token_ids is 4294967295"},
    {G "eos_token_ids", false, ARRAY(QN_META_F32, pair_of_scores), QN_E_FORMAT, "arr of f32"},
    {G "add_bos_token", false, {.type = QN_META_U32, .as.u = 1}, QN_E_FORMAT, "bool is expected"},
    {"tokenizer.chat_template", false, {.type = QN_META_BOOL}, QN_E_FORMAT, "chat_template is of type bool"},
    {"tokenizer.chat_template.x", false, ARRAY(QN_META_STRING, one_part), QN_E_FORMAT, "arr of str"},
    {"tokenizer.chat_template.", false, {.type = QN_META_BOOL}, QN_OK, NULL},
    {"general.architecture", false, {.type = QN_META_BOOL}, QN_OK, NULL},
};

static void refuses_broken_metadata(void **state) {
    (void)state;
    for (size_t i = 0; i < N(broken); i++) {
        vocab_case c;
        case_begin(&c);
        const qn_vocab v = new_bpe(&c, "gpt-2");
        qn_meta meta = meta_of(&c, &v);
        if (broken[i].removes) {
            qn_meta_remove(&meta, broken[i].key);
        } else {
            qn_meta_set(&meta, broken[i].key, broken[i].value);
        }
        assert_status(&c.err, make(&c, &meta), broken[i].status);
        assert_int_equal(n_files > 0, broken[i].status == QN_OK);
        if (broken[i].says != NULL) {
            assert_message_has(&c.err, broken[i].says);
        }
        case_end(&c);
    }
}

static void refuses_broken_scores(void **state) {
    (void)state;
    static const struct {
        qn_meta_value value;
        const char *says;
    } cases[] = {{ARRAY(QN_META_F32, pair_of_scores), "scores has 2 entries"},
                 {ARRAY(QN_META_I32, controls), "arr of i32"},
                 {ARRAY(QN_META_F32, infinite), "scores[7]"},
                 {TEXT("x"), "of type str"}};
    for (size_t i = 0; i < N(cases); i++) {
        vocab_case c;
        case_begin(&c);
        qn_vocab v = new_spm(&c);
        v.n_tokens = N(controls);
        qn_meta meta = meta_of(&c, &v);
        qn_meta_set(&meta, G "scores", cases[i].value);
        assert_status(&c.err, make(&c, &meta), QN_E_FORMAT);
        assert_message_has(&c.err, cases[i].says);
        case_end(&c);
    }
}

/* ---- memory ---- */

static long n_left = -1; /* allocations of Jansson's until one fails; -1: none does */
static long n_made;

static void *allocate(size_t size) {
    n_made++;
    return n_left >= 0 && n_left-- == 0 ? NULL : malloc(size);
}

/* Each allocation of the JSON library fails in turn: a file with a piece missing must never be given out. */
static void tells_short_memory(void **state) {
    (void)state;
    json_malloc_t old_malloc = NULL;
    json_free_t old_free = NULL;
    json_get_alloc_funcs(&old_malloc, &old_free);
    json_set_alloc_funcs(allocate, free);
    for (int is_spm = 0; is_spm < 2; is_spm++) {
        vocab_case c;
        case_begin(&c);
        qn_vocab v = is_spm ? new_spm(&c) : new_bpe(&c, "qwen2");
        v.add_bos = 1;
        v.chat_template = qn_text_of("x");
        const qn_meta meta = meta_of(&c, &v);
        n_made = 0;
        assert_ok(&c.err, make(&c, &meta));
        const long n_all = n_made;
        assert_true(n_all > 100);
        for (long i = 0; i < n_all; i++) {
            n_left = i;
            assert_status(&c.err, make(&c, &meta), QN_E_NOMEM);
            assert_int_equal(n_files, 0);
        }
        n_left = -1;
        case_end(&c);
    }
    json_set_alloc_funcs(old_malloc, old_free);
}

/* A hundred thousand tokens, each cut everywhere: no step may take quadratic time. */
static void takes_large_vocabularies(void **state) {
    (void)state;
    enum { N_TOKENS = 100000 };
    vocab_case c;
    case_begin(&c);
    c.traits.prefers_spm = true;
    token *tokens = calloc(N_TOKENS, sizeof *tokens);
    assert_non_null(tokens);
    tokens[0] = (token){"<unk>", QN_TOKEN_UNKNOWN, 0};
    for (size_t i = 1; i < N_TOKENS; i++) {
        tokens[i] = (token){qn_arena_printf(c.arena, "%zu", i), QN_TOKEN_NORMAL, -(float)i};
    }
    qn_vocab v = new_vocab("llama", "default");
    set_tokens(&c, &v, tokens, N_TOKENS);
    v.unk = 0;
    v.eos = 1;
    check_round(&c, &v);
    free(tokens);
    case_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_come_back),
        cmocka_unit_test(roberta_comes_back),
        cmocka_unit_test(roles_come_back),
        cmocka_unit_test(flags_come_back),
        cmocka_unit_test(lays_tokens_out),
        cmocka_unit_test(keeps_an_added_token_that_merges_form),
        cmocka_unit_test(sentencepiece_comes_back),
        cmocka_unit_test(makes_merges_of_scores),
        cmocka_unit_test(writes_parts_with_spaces_as_pairs),
        cmocka_unit_test(keeps_odd_pieces),
        cmocka_unit_test(settles_what_is_not_said),
        cmocka_unit_test(sample_comes_back),
        cmocka_unit_test(templates_come_back),
        cmocka_unit_test(writes_the_small_files),
        cmocka_unit_test(refuses_broken_metadata),
        cmocka_unit_test(refuses_broken_scores),
        cmocka_unit_test(tells_short_memory),
        cmocka_unit_test(takes_large_vocabularies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
