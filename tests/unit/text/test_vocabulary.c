/* SPDX-License-Identifier: MIT */
/* test_vocabulary.c: small tokenizers of every kind, folders that share one out among them, and files that lie. */
#include "vocab_case.h"

#include <math.h>

#define BYTE_LEVEL "\"pre_tokenizer\":{\"type\":\"ByteLevel\"}"
#define MODEL(vocab, merges) "\"model\":{\"type\":\"BPE\",\"vocab\":" vocab ",\"merges\":" merges "}"
#define TOKENIZER(vocab, merges) "{" MODEL(vocab, merges) "," BYTE_LEVEL "}"
#define SMALL TOKENIZER("{\"a\":0,\"b\":1,\"ab\":2,\"</s>\":3}", "[\"a b\"]")
#define END_3 "{\"eos_token_id\":3}"

/* ---- SentencePiece ---- */

static void reads_sentencepiece(void **state) {
    (void)state;
    static const float scores[] = {-1000.0F, -1000.0F, 0.0F,     0.0F,     -2.0F,    -3.0F,
                                   -1.0F,    -9.0F,    -1000.0F, -1000.0F, -10000.0F};
    vocab_case c;
    case_begin(&c);
    c.traits.prefers_spm = true;
    c.request.n_vocab = 11;
    spm_small(&c, 0);
    case_file(&c, 0, "tokenizer.json", SMALL);
    case_file(&c, 0, "added_tokens.json", "{\"<|im_end|>\":8,\"x\xE2\x96\x81y\":9,\"far\":11}");
    case_file(&c, 0, "tokenizer_config.json",
              "{\"added_tokens_decoder\":{\"0\":{\"content\":\"<unk>\",\"special\":true},"
              "\"1\":{\"content\":\"s\xE2\x96\x81s\",\"special\":false},\"30\":{\"content\":\"far\"}},"
              "\"model_max_length\":1000000000000000019884624838656}");
    assert_ok(&c.err, case_open(&c));
    assert_string_equal(c.vocab.model, "llama");
    assert_string_equal(c.vocab.pre, "default");
    assert_int_equal(c.vocab.n_tokens, 11);
    assert_null(c.vocab.merges);
    check_token(&c, 0, "<unk>", QN_TOKEN_CONTROL);
    check_token(&c, 1, "s s", QN_TOKEN_USER_DEFINED);
    check_token(&c, 2, "</s>", QN_TOKEN_CONTROL);
    check_token(&c, 3, "<0x0A>", QN_TOKEN_BYTE);
    check_token(&c, 4, "a", QN_TOKEN_NORMAL);
    check_token(&c, 5,
                "\xE2\x96\x81"
                "b",
                QN_TOKEN_NORMAL); /* SentencePiece's user-defined */
    check_token(&c, 6, "ab", QN_TOKEN_NORMAL);
    check_token(&c, 7, "zz", QN_TOKEN_UNUSED);
    check_token(&c, 8, "<|im_end|>", QN_TOKEN_USER_DEFINED);
    check_token(&c, 9, "x\xE2\x96\x81y", QN_TOKEN_USER_DEFINED);
    check_token(&c, 10, "[PAD10]", QN_TOKEN_UNUSED);
    for (size_t i = 0; i < 11; i++) {
        assert_true(c.vocab.scores[i] == scores[i]);
    }
    assert_non_null(strstr(c.warning, "2 tokens"));
    assert_int_equal(c.vocab.add_bos, -1);
    assert_int_equal(c.vocab.add_space_prefix, -1);
    case_end(&c);
}

static void phi3_retypes_by_tokenizer_json(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    c.traits.prefers_spm = true;
    c.traits.json_added_override = true;
    spm_small(&c, 0);
    case_file(&c, 0, "tokenizer.json",
              "{\"added_tokens\":[{\"id\":4,\"content\":\"a\"},{\"id\":8,\"content\":\"<|end|>\",\"special\":true}]}");
    assert_ok(&c.err, case_open(&c));
    check_token(&c, 4, "a", QN_TOKEN_USER_DEFINED);
    check_token(&c, 8, "<|end|>", QN_TOKEN_CONTROL);
    case_end(&c);
}

static void says_when_no_space_is_added(void **state) {
    (void)state;
    static const struct {
        int adds_space; /* of the model; -1: not said */
        const char *config;
        int trait;
        int wanted;
    } cases[] = {{-1, "{}", -1, -1},
                 {1, "{}", -1, -1},
                 {0, "{}", -1, 0},
                 {0, "{\"add_prefix_space\":true}", -1, 1},
                 {1, "{\"add_prefix_space\":false}", -1, 0},
                 {1, "{\"add_prefix_space\":true}", 0, 0},
                 {1, "{\"add_prefix_space\":null}", -1, -1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vocab_case c;
        spm_writer w = {{0}};
        case_begin(&c);
        c.traits.add_space_prefix = cases[i].trait;
        spm_piece(&w, "</s>", 4, 0.0F, 3);
        spm_specs(&w, 2, cases[i].adds_space);
        spm_save(&w, c.dirs[0]);
        case_file(&c, 0, "tokenizer_config.json", cases[i].config);
        assert_ok(&c.err, case_open(&c));
        assert_int_equal(c.vocab.add_space_prefix, cases[i].wanted);
        case_end(&c);
    }
}

static void cuts_sentencepiece_to_the_embedding(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    c.request.n_vocab = 5;
    spm_small(&c, 0);
    assert_ok(&c.err, case_open(&c));
    assert_int_equal(c.vocab.n_tokens, 5);
    assert_non_null(strstr(c.warning, "3 tokens"));
    assert_non_null(strstr(c.warning, "5 rows"));
    case_end(&c);
}

static void keeps_a_nul_in_a_piece(void **state) {
    (void)state;
    vocab_case c;
    spm_writer w = {{0}};
    case_begin(&c);
    spm_piece(&w, "\0", 1, 0.0F, 1);
    spm_piece(&w, "", 0, 0.0F, 1);
    spm_piece(&w, "</s>", 4, 0.0F, 3);
    spm_specs(&w, 2, -1);
    spm_save(&w, c.dirs[0]);
    assert_ok(&c.err, case_open(&c));
    assert_int_equal(c.vocab.tokens[0].len, 1);
    assert_int_equal(c.vocab.tokens[0].bytes[0], 0);
    assert_int_equal(c.vocab.tokens[1].len, 0);
    case_end(&c);
}

static void refuses_broken_sentencepiece(void **state) {
    (void)state;
    static const struct {
        int model_type;
        int piece_type;
        float score;
        size_t cut; /* bytes taken off the end */
        qn_status status;
        const char *says;
    } cases[] = {
        {1, 1, 0.0F, 0, QN_E_UNSUPPORTED, "Unigram"},
        {3, 1, 0.0F, 0, QN_E_UNSUPPORTED, "word"},
        {99, 1, 0.0F, 0, QN_E_UNSUPPORTED, "99"},
        {2, 7, 0.0F, 0, QN_E_FORMAT, "piece 0 has type 7"},
        {2, 1, (float)INFINITY, 0, QN_E_FORMAT, "score of piece 0"},
        {2, 1, 0.0F, 1, QN_E_FORMAT, "cut off"},
        {2, 1, 0.0F, 9, QN_E_FORMAT, "cut off"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vocab_case c;
        spm_writer w = {{0}};
        case_begin(&c);
        spm_piece(&w, "x", 1, cases[i].score, cases[i].piece_type);
        spm_specs(&w, cases[i].model_type, 1);
        w.bytes.len -= cases[i].cut;
        spm_save(&w, c.dirs[0]);
        assert_status(&c.err, case_open(&c), cases[i].status);
        assert_message_has(&c.err, "tokenizer.model");
        assert_message_has(&c.err, cases[i].says);
        case_end(&c);
    }
}

/* ---- tokenizer.json ---- */

#define SPACED_MODEL \
    MODEL("{\"a\":0,\"b\":1,\"ab\":2,\"\xC4\xA0\":3,\"<|x|>\":4}", "[\"a b\",[\"\xC4\xA0\",\"a\"],[\" \",\"b c\"]]")
#define SPACED_ADDED                                                                                \
    "\"added_tokens\":[{\"id\":4,\"content\":\"<|x|>\"},{\"id\":5,\"content\":\"u\xE2\x96\x81v\"}," \
    "{\"id\":6,\"content\":\"</s>\",\"special\":true}]"

static void reads_byte_level_json(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    c.request.n_vocab = 9;
    case_file(&c, 0, "tokenizer.json", "{" SPACED_MODEL "," BYTE_LEVEL "," SPACED_ADDED "}");
    case_file(&c, 0, "tokenizer_config.json",
              "{\"eos_token\":\"</s>\",\"pad_token\":\"b\",\"added_tokens_decoder\":{\"7\":{\"content\":\"w\"}}}");
    assert_ok(&c.err, case_open(&c));
    assert_string_equal(c.vocab.model, "gpt2");
    assert_string_equal(c.vocab.pre, "gpt-2");
    assert_null(c.vocab.scores);
    assert_int_equal(c.vocab.n_tokens, 9);
    check_token(&c, 1, "b", QN_TOKEN_NORMAL); /* a word stays one, even as padding */
    check_token(&c, 3, "\xC4\xA0", QN_TOKEN_NORMAL);
    check_token(&c, 4, "<|x|>", QN_TOKEN_CONTROL);
    check_token(&c, 5, "u v", QN_TOKEN_USER_DEFINED);
    check_token(&c, 6, "</s>", QN_TOKEN_CONTROL);
    check_token(&c, 7, "w", QN_TOKEN_USER_DEFINED);
    check_token(&c, 8, "[PAD8]", QN_TOKEN_UNUSED);
    assert_int_equal(c.vocab.n_merges, 3);
    assert_true(qn_text_is(c.vocab.merges[0], "a b"));
    assert_true(qn_text_is(c.vocab.merges[1], "\xC4\xA0 a"));
    assert_true(qn_text_is(c.vocab.merges[2],
                           "\xC4\xA0 b\xC4\xA0"
                           "c"));
    assert_int_equal(c.vocab.eos, 6);
    assert_int_equal(c.vocab.pad, 1);
    case_end(&c);
}

static void scores_sentencepiece_json_by_merges(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    case_file(
        &c, 0, "tokenizer.json",
        "{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"unk_token\":\"<unk>\",\"vocab\":{\"<unk>\":0,"
        "\"</s>\":1,\"<0x0A>\":2,\"a\":3,\"b\":4,\"\xE2\x96\x81\":5,\"ab\":6,\"aba\":7,\"\xE2\x96\x81"
        "a\":8,"
        "\"never\":9},\"merges\":[\"\xE2\x96\x81 a\",\"a b\",\"ab a\",\"a ba\"]},"
        "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"\xE2\x96\x81\"}]},"
        "\"added_tokens\":[{\"id\":1,\"content\":\"</s>\",\"special\":true}]}");
    assert_ok(&c.err, case_open(&c));
    assert_string_equal(c.vocab.model, "llama");
    assert_null(c.vocab.merges);
    check_token(&c, 0, "<unk>", QN_TOKEN_UNKNOWN);
    check_token(&c, 1, "</s>", QN_TOKEN_CONTROL);
    check_token(&c, 2, "<0x0A>", QN_TOKEN_BYTE);
    assert_true(c.vocab.scores[8] == 0.0F);
    assert_true(c.vocab.scores[6] == -1.0F);
    assert_true(c.vocab.scores[7] == -2.0F);
    assert_true(c.vocab.scores[9] < -1000.0F);
    assert_true(c.vocab.scores[3] == 0.0F);
    assert_int_equal(c.vocab.add_space_prefix, 1);
    assert_int_equal(c.vocab.add_bos, -1);
    case_end(&c);
}

static void a_model_wins_over_its_own_json(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c); /* traits prefer JSON, but this one has no scores */
    spm_small(&c, 0);
    case_file(&c, 0, "tokenizer.json",
              "{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"vocab\":{\"a\":0},\"merges\":[]}}");
    assert_ok(&c.err, case_open(&c));
    assert_int_equal(c.vocab.n_tokens, 8);
    assert_non_null(strstr(c.vocab.source, "tokenizer.model"));
    case_end(&c);
}

static void makes_texts_unique(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    case_file(
        &c, 0, "tokenizer.json",
        "{" MODEL(
            "{\"a\":0,\"b\":1,\"[PAD4]\":2}",
            "[]") "," BYTE_LEVEL
                  ",\"added_tokens\":[{\"id\":4,\"content\":\"a\"},{\"id\":5,\"content\":\"</s>\",\"special\":true}]}");
    assert_ok(&c.err, case_open(&c));
    check_token(&c, 0, "a", QN_TOKEN_NORMAL);
    check_token(&c, 3, "[PAD3]", QN_TOKEN_UNUSED);
    check_token(&c, 4, "[PAD4_1]", QN_TOKEN_UNUSED);
    assert_int_equal(c.n_warnings, 1);
    assert_non_null(strstr(c.warning, "0 and 4"));
    case_end(&c);
}

typedef struct broken_json {
    const char *file;
    const char *text;
    qn_status status;
    const char *says;
} broken_json;

static const broken_json broken[] = {
    {"tokenizer.json", "", QN_E_FORMAT, "not valid JSON"},
    {"tokenizer.json", "[]", QN_E_FORMAT, "object"},
    {"tokenizer.json", "{}", QN_E_FORMAT, "has no model"},
    {"tokenizer.json", "{\"model\":7}", QN_E_FORMAT, "has no model"},
    {"tokenizer.json", "{\"model\":{\"type\":\"Unigram\"}}", QN_E_UNSUPPORTED, "Unigram"},
    {"tokenizer.json", "{\"model\":{\"vocab\":[[\"a\",0]]}}", QN_E_UNSUPPORTED, "Unigram"},
    {"tokenizer.json", "{\"model\":{\"type\":\"WordPiece\"}}", QN_E_UNSUPPORTED, "WordPiece"},
    {"tokenizer.json", TOKENIZER("{}", "[]"), QN_E_FORMAT, "not empty"},
    {"tokenizer.json", TOKENIZER("7", "[]"), QN_E_FORMAT, "object of texts"},
    {"tokenizer.json", TOKENIZER("{\"a\":-1}", "[]"), QN_E_FORMAT, "'a' is -1"},
    {"tokenizer.json", TOKENIZER("{\"a\":\"0\"}", "[]"), QN_E_FORMAT, "'a' is \"0\""},
    {"tokenizer.json", TOKENIZER("{\"a\":0.5}", "[]"), QN_E_FORMAT, "'a' is 0.5"},
    {"tokenizer.json", TOKENIZER("{\"a\":99999999}", "[]"), QN_E_FORMAT, "'a' is 99999999"},
    {"tokenizer.json", TOKENIZER("{\"a\":{}}", "[]"), QN_E_FORMAT, "'a' is {}"},
    {"tokenizer.json", TOKENIZER("{\"a\":1,\"b\":1}", "[]"), QN_E_FORMAT, "id 1 is given to two tokens"},
    {"tokenizer.json", TOKENIZER("{\"a\":0}", "{}"), QN_E_FORMAT, "merges"},
    {"tokenizer.json", TOKENIZER("{\"a\":0}", "[\"ab\"]"), QN_E_FORMAT, "merges[0]"},
    {"tokenizer.json", TOKENIZER("{\"a\":0}", "[\"a b\",\"a \"]"), QN_E_FORMAT, "merges[1]"},
    {"tokenizer.json", TOKENIZER("{\"a\":0}", "[[\"a\"]]"), QN_E_FORMAT, "merges[0]"},
    {"tokenizer.json", TOKENIZER("{\"a\":0}", "[[\"a\",7]]"), QN_E_FORMAT, "merges[0]"},
    {"tokenizer.json", TOKENIZER("{\"a\":0}", "[[\"a\",\"b\",\"c\"]]"), QN_E_FORMAT, "merges[0]"},
    {"tokenizer.json", TOKENIZER("{\"a\":0}", "[null]"), QN_E_FORMAT, "merges[0]"},
    {"tokenizer.json", "{" MODEL("{\"a\":0}", "[]") "}", QN_E_UNSUPPORTED, "--pre"},
    {"tokenizer.json", "{" MODEL("{\"a\":0}", "[]") "," BYTE_LEVEL ",\"added_tokens\":{}}", QN_E_FORMAT,
     "added_tokens"},
    {"tokenizer.json", "{" MODEL("{\"a\":0}", "[]") "," BYTE_LEVEL ",\"added_tokens\":[7]}", QN_E_FORMAT,
     "added_tokens[0]"},
    {"tokenizer.json", "{" MODEL("{\"a\":0}", "[]") "," BYTE_LEVEL ",\"added_tokens\":[{\"content\":\"x\"}]}",
     QN_E_FORMAT, "'x'"},
    {"tokenizer.json", "{" MODEL("{\"a\":0}", "[]") "," BYTE_LEVEL ",\"added_tokens\":[{\"content\":\"x\",\"id\":-5}]}",
     QN_E_FORMAT, "-5"},
    {"added_tokens.json", "{\"x\":\"y\"}", QN_E_FORMAT, "'x'"},
    {"added_tokens.json", "{\"x\":1048576}", QN_E_FORMAT, "1048576"},
    {"added_tokens.json", "[]", QN_E_FORMAT, "added_tokens.json"},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":[]}", QN_E_FORMAT, "added_tokens_decoder"},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"x\":{\"content\":\"y\"}}}", QN_E_FORMAT, "'x'"},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"-1\":{\"content\":\"y\"}}}", QN_E_FORMAT, "'-1'"},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"\":{\"content\":\"y\"}}}", QN_E_FORMAT, "''"},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"99999999999999999999\":{\"content\":\"y\"}}}", QN_E_FORMAT,
     "99999"},
    {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"1\":{}}}", QN_E_FORMAT, "token 1 has no content"},
    {"tokenizer_config.json", "{", QN_E_FORMAT, "tokenizer_config.json"},
    {"special_tokens_map.json", "7", QN_E_FORMAT, "special_tokens_map.json"},
    {"generation_config.json", "\"x\"", QN_E_FORMAT, "generation_config.json"},
};

static void refuses_broken_json(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        vocab_case c;
        case_begin(&c);
        case_file(&c, 0, "tokenizer.json", SMALL);
        case_file(&c, 0, broken[i].file, broken[i].text);
        assert_status(&c.err, case_open(&c), broken[i].status);
        assert_message_has(&c.err, broken[i].file);
        assert_message_has(&c.err, broken[i].says);
        case_end(&c);
    }
}

/* Byte-level vocabularies have no space put before a text; a file can only confirm that. */
static void byte_level_adds_no_space(void **state) {
    (void)state;
    static const struct {
        const char *config;
        int wanted;
    } cases[] = {{"{}", -1}, {"{\"add_prefix_space\":true}", -1}, {"{\"add_prefix_space\":false}", 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vocab_case c;
        case_begin(&c);
        case_file(&c, 0, "tokenizer.json", SMALL);
        case_file(&c, 0, "tokenizer_config.json", cases[i].config);
        assert_ok(&c.err, case_open(&c));
        assert_int_equal(c.vocab.add_space_prefix, cases[i].wanted);
        case_end(&c);
    }
}

static void refuses_more_tokens_than_rows(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    c.request.n_vocab = 3;
    case_file(&c, 0, "tokenizer.json", SMALL);
    assert_status(&c.err, case_open(&c), QN_E_SHAPE);
    assert_message_has(&c.err, "up to 3");
    assert_message_has(&c.err, "3 rows");
    case_end(&c);
}

static void checks_the_name_given(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    case_config(&c, END_3);
    case_file(&c, 0, "tokenizer.json", "{" MODEL("{\"a\":0,\"b\":1,\"c\":2,\"d\":3}", "[]") "}");
    c.request.pre = "quen2";
    assert_status(&c.err, case_open(&c), QN_E_USAGE);
    assert_message_has(&c.err, "qwen2");
    c.request.pre = "olmo";
    assert_ok(&c.err, case_open(&c));
    assert_string_equal(c.vocab.pre, "olmo");
    case_end(&c);
}

/* ---- vocab.json and merges.txt ---- */

static void reads_vocab_and_merges(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    case_file(&c, 0, "vocab.json", "{\"a\":0,\"b\":1,\"ab\":2,\"<|endoftext|>\":3}");
    case_file(&c, 0, "merges.txt", "#version: 0.2\r\na b\r\n\n#a b\n one\na b c\n  ab   a  \n\xC4\xA0 a");
    case_file(&c, 0, "tokenizer_config.json", "{\"tokenizer_class\":\"GPT2Tokenizer\"}");
    case_file(&c, 0, "added_tokens.json", "{\"<tool>\":4,\"<think>\":5}");
    case_file(&c, 0, "special_tokens_map.json",
              "{\"additional_special_tokens\":[\"<tool>\",{\"content\":\"<gone>\"}]}");
    assert_ok(&c.err, case_open(&c));
    assert_string_equal(c.vocab.pre, "gpt-2");
    check_token(&c, 3, "<|endoftext|>", QN_TOKEN_CONTROL);
    check_token(&c, 4, "<tool>", QN_TOKEN_CONTROL);
    check_token(&c, 5, "<think>", QN_TOKEN_USER_DEFINED);
    assert_int_equal(c.vocab.n_merges, 4);
    assert_true(qn_text_is(c.vocab.merges[0], "a b"));
    assert_true(qn_text_is(c.vocab.merges[1], "#a b"));
    assert_true(qn_text_is(c.vocab.merges[2], "ab a"));
    assert_true(qn_text_is(c.vocab.merges[3], "\xC4\xA0 a"));
    assert_int_equal(c.vocab.eos, 3);
    case_end(&c);
}

static void names_classes(void **state) {
    (void)state;
    static const struct {
        const char *tokenizer_config;
        const char *config;
        const char *pre; /* NULL: refused */
    } cases[] = {
        {"{\"tokenizer_class\":\"Qwen2Tokenizer\"}", NULL, "qwen2"},
        {"{\"tokenizer_class\":\"RobertaTokenizerFast\"}", NULL, "roberta-bpe"},
        {"{}", "{\"model_type\":\"gpt2\"}", "gpt-2"},
        {"{\"tokenizer_class\":\"PreTrainedTokenizerFast\"}", "{\"model_type\":\"gpt2\"}", NULL},
        {"{}", NULL, NULL},
        {"{\"tokenizer_class\":7}", "{\"model_type\":[]}", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vocab_case c;
        case_begin(&c);
        case_file(&c, 0, "vocab.json", "{\"a\":0,\"<|endoftext|>\":1}");
        case_file(&c, 0, "merges.txt", "");
        case_file(&c, 0, "tokenizer_config.json", cases[i].tokenizer_config);
        if (cases[i].config != NULL) {
            case_config(&c, cases[i].config);
        }
        assert_status(&c.err, case_open(&c), cases[i].pre == NULL ? QN_E_UNSUPPORTED : QN_OK);
        if (cases[i].pre != NULL) {
            assert_string_equal(c.vocab.pre, cases[i].pre);
        } else {
            assert_message_has(&c.err, "tokenizer_class");
            assert_message_has(&c.err, "--pre");
        }
        case_end(&c);
    }
}

/* ---- ranks ---- */

static void reads_tiktoken(void **state) {
    (void)state;
    static const char *const merges[] = {"a b", "b c", "ab c"};
    vocab_case c;
    case_begin(&c);
    c.request.pre = "qwen2"; /* a, b, c, ab, bc, abc, a line feed, and 0xFF */
    case_file(&c, 0, "x.tiktoken", "YQ== 0\nYg== 1\r\nYw== 2\nYWI= 3\nYmM= 4\nYWJj 5\n\nCg== 6\n/w== 8\n");
    assert_ok(&c.err, case_open(&c));
    assert_string_equal(c.vocab.model, "gpt2");
    check_token(&c, 5, "abc", QN_TOKEN_NORMAL);
    check_token(&c, 6, "\xC4\x8A", QN_TOKEN_NORMAL);
    check_token(&c, 7, "[PAD7]", QN_TOKEN_UNUSED);
    check_token(&c, 8, "\xC3\xBF", QN_TOKEN_NORMAL);
    assert_int_equal(c.vocab.n_merges, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_true(qn_text_is(c.vocab.merges[i], merges[i]));
    }
    case_end(&c);
}

/* Bytes that do not print stand behind U+0100; the others for themselves. */
static void writes_bytes_in_the_byte_alphabet(void **state) {
    (void)state;
    static const char *const texts[] = {"\xC4\x80", "\xC4\xA0", "!",        "~",        "\xC4\xA1", "\xC5\x82",
                                        "\xC2\xA1", "\xC2\xAC", "\xC5\x83", "\xC2\xAE", "\xC3\xBF"};
    vocab_case c;
    case_begin(&c);
    c.request.pre = "qwen2"; /* 00 20 21 7E 7F A0 A1 AC AD AE FF */
    case_file(&c, 0, "x.tiktoken",
              "AA== 0\nIA== 1\nIQ== 2\nfg== 3\nfw== 4\noA== 5\noQ== 6\nrA== 7\nrQ== 8\nrg== 9\n/w== 10\n");
    assert_ok(&c.err, case_open(&c));
    for (uint64_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        check_token(&c, i, texts[i], QN_TOKEN_NORMAL);
    }
    case_end(&c);
}

static void a_model_may_be_tiktoken(void **state) {
    (void)state;
    static const char *const merges[] = {"a b", "b c", "a bc", "ab c"};
    vocab_case c;
    case_begin(&c);
    c.traits.prefers_spm = true;
    c.request.pre = "llama-bpe";
    case_file(&c, 0, "tokenizer.model", "YQ== 0\nYg== 1\nYw== 2\nYWI= 4\nYmM= 3\nYWJj 5\n");
    assert_ok(&c.err, case_open(&c));
    assert_string_equal(c.vocab.model, "gpt2");
    assert_int_equal(c.vocab.n_merges, 4); /* every cut: "abc" as a|bc before ab|c by rank */
    assert_true(qn_text_is(c.vocab.merges[0], merges[1]));
    assert_true(qn_text_is(c.vocab.merges[1], merges[0]));
    assert_true(qn_text_is(c.vocab.merges[2], merges[2]));
    assert_true(qn_text_is(c.vocab.merges[3], merges[3]));
    case_file(&c, 0, "tokenizer.json", SMALL); /* which then is the better source */
    assert_ok(&c.err, case_open(&c));
    assert_non_null(strstr(c.vocab.source, "tokenizer.json"));
    case_end(&c);
}

static void refuses_broken_tiktoken(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *pre;
        qn_status status;
        const char *says;
    } cases[] = {
        {"", "qwen2", QN_E_FORMAT, "no tokens"},
        {"YQ== 0\nYQ=\n", "qwen2", QN_E_FORMAT, "line 2"},
        {"YQ== 0\nYQ= 1\n", "qwen2", QN_E_FORMAT, "line 2"},
        {"YQ== 0\nY*== 1\n", "qwen2", QN_E_FORMAT, "not base64"},
        {"YQ== 0\nY=== 1\n", "qwen2", QN_E_FORMAT, "not base64"},
        {"YQ== 0\nY=Q= 1\n", "qwen2", QN_E_FORMAT, "not base64"},
        {"YQ== 0\nYg== x\n", "qwen2", QN_E_FORMAT, "line 2"},
        {"YQ== 0\nYg== -1\n", "qwen2", QN_E_FORMAT, "line 2"},
        {"YQ== 0\nYg== 0\n", "qwen2", QN_E_FORMAT, "second time"},
        {"YQ== 0\nYg== 99999999\n", "qwen2", QN_E_RANGE, "line 2"},
        {"YQ== 0\nYg== 9999999999999999999999\n", "qwen2", QN_E_FORMAT, "line 2"},
        {"YQ== 0\nYg== 1\n", NULL, QN_E_UNSUPPORTED, "2 ranks"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        vocab_case c;
        case_begin(&c);
        case_file(&c, 0, "x.tiktoken", cases[i].text);
        c.request.pre = cases[i].pre;
        assert_status(&c.err, case_open(&c), cases[i].status);
        assert_message_has(&c.err, "x.tiktoken");
        assert_message_has(&c.err, cases[i].says);
        case_end(&c);
    }
}

static void reads_tekken(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    case_file(&c, 0, "tekken.json",
              "{\"config\":{\"default_vocab_size\":6,\"default_num_special_tokens\":3},\"special_tokens\":["
              "{\"rank\":0,\"token_str\":\"<unk>\"},{\"rank\":2,\"token_str\":\"</s>\"}],\"vocab\":["
              "{\"rank\":0,\"token_bytes\":\"YQ==\"},{\"rank\":1,\"token_bytes\":\"Yg==\"},"
              "{\"rank\":2,\"token_bytes\":\"YWI=\"},{\"rank\":3,\"token_bytes\":\"YWJh\"}]}");
    assert_ok(&c.err, case_open(&c));
    assert_string_equal(c.vocab.pre, "tekken");
    assert_int_equal(c.vocab.n_tokens, 6);
    check_token(&c, 0, "<unk>", QN_TOKEN_CONTROL);
    check_token(&c, 1, "<SPECIAL_1>", QN_TOKEN_CONTROL);
    check_token(&c, 5, "ab", QN_TOKEN_NORMAL);
    assert_int_equal(c.vocab.n_merges, 1);
    assert_int_equal(c.vocab.eos, 2);
    assert_int_equal(c.vocab.unk, 0);
    case_end(&c);
}

static void refuses_broken_tekken(void **state) {
    (void)state;
    static const char *const texts[] = {
        "[]",
        "{}",
        "{\"vocab\":[7]}",
        "{\"vocab\":[{\"rank\":0,\"token_bytes\":\"?\"}]}",
        "{\"config\":{\"default_vocab_size\":5,\"default_num_special_tokens\":5},\"vocab\":[]}",
        "{\"config\":{\"default_num_special_tokens\":2},\"special_tokens\":[{\"rank\":2,\"token_str\":\"x\"}]}",
        "{\"config\":{\"default_num_special_tokens\":2},\"special_tokens\":[{\"rank\":0}]}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        vocab_case c;
        case_begin(&c);
        case_file(&c, 0, "tekken.json", texts[i]);
        assert_status(&c.err, case_open(&c), QN_E_FORMAT);
        assert_message_has(&c.err, "tekken.json");
        case_end(&c);
    }
}

/* ---- folders ---- */

static void names_what_was_looked_for(void **state) {
    (void)state;
    static const char *const files[] = {"tokenizer.model", "tokenizer.json", "vocab.json",
                                        "merges.txt",      "tiktoken",       "tekken.json"};
    vocab_case c;
    case_begin(&c);
    case_file(&c, 0, "vocab.json", "{\"a\":0}"); /* half a set */
    case_file(&c, 1, "tokenizer_config.json", "{}");
    assert_status(&c.err, case_open(&c), QN_E_NOT_FOUND);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_message_has(&c.err, files[i]);
    }
    assert_message_has(&c.err, c.dirs[0]);
    assert_message_has(&c.err, c.dirs[1]);
    c.request.n_dirs = 0;
    assert_status(&c.err, case_open(&c), QN_E_NOT_FOUND);
    case_end(&c);
}

static void takes_each_file_from_the_first_folder(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    c.traits.prefers_spm = true;
    spm_small(&c, 1);
    case_file(&c, 0, "added_tokens.json", "{\"new\":8}");
    case_file(&c, 1, "added_tokens.json", "{\"old\":8}");
    case_file(&c, 0, "tokenizer_config.json", "{\"eos_token\":\"</s>\",\"add_bos_token\":true}");
    case_file(&c, 1, "tokenizer_config.json", "{\"eos_token\":\"<s>\"}");
    case_file(&c, 1, "generation_config.json", "{\"eos_token_id\":[2,6]}");
    assert_ok(&c.err, case_open(&c));
    assert_int_equal(c.vocab.n_tokens, 9);
    check_token(&c, 8, "new", QN_TOKEN_USER_DEFINED);
    assert_int_equal(c.vocab.eos, 2);
    assert_int_equal(c.vocab.n_eos_ids, 2);
    assert_int_equal(c.vocab.add_bos, 1);
    assert_non_null(strstr(c.vocab.source, c.dirs[1]));
    case_end(&c);
}

static void leaves_a_later_folders_added_tokens(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    c.traits.prefers_spm = true;
    case_file(&c, 0, "tokenizer.json", SMALL);
    spm_small(&c, 1);
    case_file(&c, 1, "added_tokens.json", "{\"old\":8}");
    case_file(&c, 1, "tokenizer_config.json", "{\"added_tokens_decoder\":{\"0\":{\"content\":\"<unk>\"}}}");
    assert_ok(&c.err, case_open(&c));
    assert_non_null(strstr(c.vocab.source, c.dirs[0]));
    assert_int_equal(c.vocab.n_tokens, 4);
    check_token(&c, 0, "a", QN_TOKEN_NORMAL);
    case_end(&c);
}

static void tells_pointers_from_files(void **state) {
    (void)state;
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:"
                                  "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 499723\n";
    static const char *const files[] = {"tokenizer.model", "tokenizer.json", "x.tiktoken", "tekken.json"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        vocab_case c;
        case_begin(&c);
        case_file(&c, 0, files[i], pointer);
        assert_status(&c.err, case_open(&c), QN_E_NOT_FOUND);
        assert_message_has(&c.err, files[i]);
        assert_message_has(&c.err, "git lfs pull");
        case_end(&c);
    }
}

/* ---- keys ---- */

static void writes_keys_in_the_converters_order(void **state) {
    (void)state;
    static const char *const keys[] = {
        "tokenizer.ggml.model",         "tokenizer.ggml.pre",           "tokenizer.ggml.tokens",
        "tokenizer.ggml.token_type",    "tokenizer.ggml.merges",        "tokenizer.ggml.bos_token_id",
        "tokenizer.ggml.eos_token_id",  "tokenizer.ggml.eot_token_id",  "tokenizer.ggml.eos_token_ids",
        "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token", "tokenizer.chat_template"};
    vocab_case c;
    case_begin(&c);
    case_file(&c, 0, "tokenizer.json",
              TOKENIZER("{\"a\":0,\"b\":1,\"ab\":2,\"<|im_end|>\":3,\"<s>\":4,\"</s>\":5}", "[\"a b\"]"));
    case_file(&c, 0, "chat_template.jinja", "x<|im_end|>");
    case_config(&c, "{\"eos_token_id\":5,\"bos_token_id\":4}");
    assert_ok(&c.err, case_open(&c));
    qn_meta meta = qn_meta_new(c.arena);
    qn_vocab_to_meta(&c.vocab, &meta);
    assert_ok(&c.err, qn_meta_status(&meta, &c.err));
    assert_int_equal(meta.n, sizeof keys / sizeof keys[0]);
    for (uint64_t i = 0; i < meta.n; i++) {
        assert_string_equal(meta.entries[i].key, keys[i]);
    }
    const qn_meta_value *ends = qn_meta_find(&meta, "tokenizer.ggml.eos_token_ids");
    assert_int_equal(ends->as.array.type, QN_META_I32);
    assert_int_equal(((const int32_t *)ends->as.array.items)[0], 3);
    assert_int_equal(((const int32_t *)ends->as.array.items)[1], 5);
    case_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_sentencepiece),
        cmocka_unit_test(phi3_retypes_by_tokenizer_json),
        cmocka_unit_test(says_when_no_space_is_added),
        cmocka_unit_test(cuts_sentencepiece_to_the_embedding),
        cmocka_unit_test(keeps_a_nul_in_a_piece),
        cmocka_unit_test(refuses_broken_sentencepiece),
        cmocka_unit_test(reads_byte_level_json),
        cmocka_unit_test(scores_sentencepiece_json_by_merges),
        cmocka_unit_test(a_model_wins_over_its_own_json),
        cmocka_unit_test(makes_texts_unique),
        cmocka_unit_test(refuses_broken_json),
        cmocka_unit_test(byte_level_adds_no_space),
        cmocka_unit_test(refuses_more_tokens_than_rows),
        cmocka_unit_test(checks_the_name_given),
        cmocka_unit_test(reads_vocab_and_merges),
        cmocka_unit_test(names_classes),
        cmocka_unit_test(reads_tiktoken),
        cmocka_unit_test(writes_bytes_in_the_byte_alphabet),
        cmocka_unit_test(a_model_may_be_tiktoken),
        cmocka_unit_test(refuses_broken_tiktoken),
        cmocka_unit_test(reads_tekken),
        cmocka_unit_test(refuses_broken_tekken),
        cmocka_unit_test(names_what_was_looked_for),
        cmocka_unit_test(takes_each_file_from_the_first_folder),
        cmocka_unit_test(leaves_a_later_folders_added_tokens),
        cmocka_unit_test(tells_pointers_from_files),
        cmocka_unit_test(writes_keys_in_the_converters_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
