/* SPDX-License-Identifier: MIT */
/* test_special_tokens.c: ids and flags from texts, numbers, lists and post-processors, in the order that counts. */
#include "vocab_case.h"

#define VOCAB                                                                                                \
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"<s>\":3,\"</s>\":4,\"<|im_end|>\":5," \
    "\"<|eot_id|>\":6,\"<pad>\":7},\"merges\":[\"a b\"]}"
#define PRE "\"pre_tokenizer\":{\"type\":\"ByteLevel\"}"
#define ADDED                                                            \
    "\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true}," \
    "{\"id\":4,\"content\":\"</s>\",\"special\":true},"                  \
    "{\"id\":5,\"content\":\"<|im_end|>\",\"special\":true},{\"id\":6,\"content\":\"<|eot_id|>\",\"special\":true}]"
#define PLAIN "{" VOCAB "," PRE "," ADDED "}"
#define WITH(post) "{" VOCAB "," PRE "," ADDED ",\"post_processor\":" post "}"
#define TOKEN(text) "{\"SpecialToken\":{\"id\":\"" text "\",\"type_id\":0}}"
#define A "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}"
#define B "{\"Sequence\":{\"id\":\"B\",\"type_id\":1}}"
#define TEMPLATE(single, pair) "{\"type\":\"TemplateProcessing\",\"single\":[" single "],\"pair\":[" pair "]}"

typedef struct special_case {
    const char *what;
    const char *tokenizer;        /* tokenizer.json */
    const char *tokenizer_config; /* these may be NULL */
    const char *config;
    const char *generation;
    int64_t bos, eos, eot, unk, pad;
    int add_bos, add_eos, add_sep;
    const char *eos_ids; /* "2 4" */
} special_case;

static const special_case cases[] = {
    {"texts are looked up among added tokens", PLAIN, "{\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"</s>\"}}",
     "{\"bos_token_id\":0,\"eos_token_id\":1}", NULL, 3, 4, -1, -1, -1, 0, 0, -1, "1 4"},
    {"numbers when no text is there", PLAIN, "{\"bos_token\":null}", "{\"bos_token_id\":3,\"eos_token_id\":4}", NULL, 3,
     4, -1, -1, -1, 0, 0, -1, "4"},
    {"numbers of a text model inside", PLAIN, "{}", "{\"text_config\":{\"bos_token_id\":3,\"eos_token_id\":4}}", NULL,
     3, 4, -1, -1, -1, 0, 0, -1, "4"},
    {"numbers win over texts outside added_tokens", "{" VOCAB "," PRE "}", "{\"eos_token\":\"<|im_end|>\"}",
     "{\"eos_token_id\":4}", NULL, -1, 4, 5, -1, -1, 0, 0, -1, "4 5"},
    {"a text in the vocabulary when nothing else", "{" VOCAB "," PRE "}", "{\"pad_token\":\"<pad>\"}",
     "{\"eos_token_id\":4}", NULL, -1, 4, -1, -1, 7, 0, 0, -1, "4"},
    {"the first of a list of ends", PLAIN, "{}", "{\"eos_token_id\":[6,4]}", NULL, -1, 6, -1, -1, -1, 0, 0, -1, "4 6"},
    {"ends of generation_config.json", PLAIN, "{}", "{}", "{\"eos_token_id\":[5,6],\"bos_token_id\":3}", 3, 5, -1, -1,
     -1, 0, 0, -1, "5 6"},
    {"all ends are listed", PLAIN, "{\"eos_token\":\"</s>\"}", "{\"eos_token_id\":4}", "{\"eos_token_id\":[6,4,5]}", -1,
     4, -1, -1, -1, 0, 0, -1, "4 5 6"},
    {"a chat template's end of turn", PLAIN, "{\"eos_token\":\"</s>\",\"chat_template\":\"{{m}}<|im_end|>\"}", NULL,
     NULL, -1, 4, 5, -1, -1, 0, 0, -1, "4 5"},
    {"an end of turn that is the end", PLAIN, "{\"eos_token\":\"<|im_end|>\",\"chat_template\":\"{{m}}<|im_end|>\"}",
     NULL, NULL, -1, 5, -1, -1, -1, 0, 0, -1, "5"},
    {"ids past the vocabulary are left out", PLAIN, "{\"eos_token\":\"</s>\"}",
     "{\"bos_token_id\":8,\"pad_token_id\":4294967296}", "{\"eos_token_id\":[4,99]}", -1, 4, -1, -1, -1, 0, 0, -1, "4"},
    {"ids of wrong types are left out", PLAIN, "{\"eos_token\":7,\"bos_token\":[\"<s>\"]}",
     "{\"bos_token_id\":-1,\"eos_token_id\":\"4\",\"pad_token_id\":[[3]]}", "{\"eos_token_id\":{\"a\":4}}", -1, 4, -1,
     -1, -1, 0, 0, -1, "4"},
    {"flags that are said", PLAIN, "{\"eos_token\":\"</s>\",\"add_bos_token\":true,\"add_eos_token\":true}", NULL, NULL,
     -1, 4, -1, -1, -1, 1, 1, -1, "4"},
    {"a template that begins with BOS", WITH(TEMPLATE(TOKEN("<s>") "," A, "")), "{\"bos_token\":\"<s>\"}",
     "{\"eos_token_id\":4}", NULL, 3, 4, -1, -1, -1, 1, 0, -1, "4"},
    {"a template names BOS", WITH(TEMPLATE(TOKEN("<s>") "," A, "")), "{}", "{\"eos_token_id\":4}", NULL, 3, 4, -1, -1,
     -1, 1, 0, -1, "4"},
    {"a template that begins otherwise", WITH(TEMPLATE(TOKEN("<pad>") "," A, "")), "{\"bos_token\":\"<s>\"}",
     "{\"eos_token_id\":4}", NULL, 3, 4, -1, -1, -1, 0, 0, -1, "4"},
    {"a template in a sequence",
     WITH("{\"type\":\"Sequence\",\"processors\":[{\"type\":\"ByteLevel\"}," TEMPLATE(TOKEN("<s>") "," A, "") "]}"),
     "{\"bos_token\":\"<s>\"}", "{\"eos_token_id\":4}", NULL, 3, 4, -1, -1, -1, 1, 0, -1, "4"},
    {"a template's end becomes EOS, the old one EOT", WITH(TEMPLATE(A "," TOKEN("<|im_end|>"), "")),
     "{\"eos_token\":\"</s>\"}", NULL, NULL, -1, 5, 4, -1, -1, 0, 1, -1, "4 5"},
    {"what is said wins over the template", WITH(TEMPLATE(TOKEN("<s>") "," A, "")),
     "{\"bos_token\":\"<s>\",\"add_bos_token\":false}", "{\"eos_token_id\":4}", NULL, 3, 4, -1, -1, -1, 0, 0, -1, "4"},
    {"a pair with a separator", WITH(TEMPLATE(TOKEN("<s>") "," A, A "," TOKEN("</s>") "," B)),
     "{\"bos_token\":\"<s>\",\"eos_token\":\"</s>\"}", NULL, NULL, 3, 4, -1, -1, -1, 1, 0, 1, "4"},
    {"RoBERTa", WITH("{\"type\":\"RobertaProcessing\",\"sep\":[\"</s>\",4],\"cls\":[\"<s>\",3]}"), "{}", NULL, NULL, 3,
     4, -1, -1, -1, 1, 1, 1, "4"},
    {"RoBERTa of wrong types", WITH("{\"type\":\"RobertaProcessing\",\"sep\":7,\"cls\":[[]]}"),
     "{\"eos_token\":\"</s>\"}", NULL, NULL, -1, 4, -1, -1, -1, 1, 1, 1, "4"},
    {"templates of wrong types", WITH("{\"type\":\"TemplateProcessing\",\"single\":[1,2],\"pair\":{}}"),
     "{\"eos_token\":\"</s>\"}", NULL, NULL, -1, 4, -1, -1, -1, 0, 0, -1, "4"},
};

static bool has_ends(const qn_vocab *v, const char *wanted) {
    char text[128] = "";
    size_t n = 0;
    for (uint64_t i = 0; i < v->n_eos_ids && n < sizeof text; i++) {
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%d", i == 0 ? "" : " ", (int)v->eos_ids[i]);
    }
    return strcmp(text, wanted) == 0;
}

static void finds_ids_and_flags(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const special_case *s = &cases[i];
        vocab_case c;
        case_begin(&c);
        case_file(&c, 0, "tokenizer.json", s->tokenizer);
        if (s->tokenizer_config != NULL) {
            case_file(&c, 0, "tokenizer_config.json", s->tokenizer_config);
        }
        if (s->generation != NULL) {
            case_file(&c, 0, "generation_config.json", s->generation);
        }
        if (s->config != NULL) {
            case_config(&c, s->config);
        }
        assert_ok(&c.err, case_open(&c));
        const qn_vocab *v = &c.vocab;
        if (v->bos != s->bos || v->eos != s->eos || v->eot != s->eot || v->unk != s->unk || v->pad != s->pad ||
            v->add_bos != s->add_bos || v->add_eos != s->add_eos || v->add_sep != s->add_sep ||
            !has_ends(v, s->eos_ids)) {
            print_error("%s: bos %d eos %d eot %d unk %d pad %d, add %d %d %d, %d ends\n", s->what, (int)v->bos,
                        (int)v->eos, (int)v->eot, (int)v->unk, (int)v->pad, v->add_bos, v->add_eos, v->add_sep,
                        (int)v->n_eos_ids);
            fail();
        }
        case_end(&c);
    }
}

static void adds_bos_for_names_that_do(void **state) {
    (void)state;
    static const struct {
        const char *pre;
        const char *config;
        int add_bos;
    } names[] = {{"llama-bpe", "{\"bos_token_id\":3,\"eos_token_id\":4}", 1},
                 {"llama-bpe", "{\"eos_token_id\":4}", 0}, /* there is none to add */
                 {"qwen2", "{\"bos_token_id\":3,\"eos_token_id\":4}", 0}};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        vocab_case c;
        case_begin(&c);
        case_file(&c, 0, "tokenizer.json", PLAIN);
        case_config(&c, names[i].config);
        c.request.pre = names[i].pre;
        assert_ok(&c.err, case_open(&c));
        assert_int_equal(c.vocab.add_bos, names[i].add_bos);
        assert_int_equal(c.vocab.add_eos, 0);
        case_end(&c);
    }
}

static void warns_when_there_is_no_end(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    case_file(&c, 0, "tokenizer.json", "{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[]}," PRE "}");
    assert_ok(&c.err, case_open(&c));
    assert_int_equal(c.vocab.eos, QN_NO_TOKEN);
    assert_int_equal(c.vocab.n_eos_ids, 0);
    assert_int_equal(c.n_warnings, 1);
    assert_non_null(strstr(c.warning, "end-of-text"));
    case_end(&c);
}

static void gives_gemma_its_fill_in_ids(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    c.traits.gemma1_fim = true;
    c.traits.prefers_spm = true;
    c.traits.add_space_prefix = 0;
    c.request.n_vocab = 128;
    spm_small(&c, 0);
    assert_ok(&c.err, case_open(&c));
    assert_int_equal(c.vocab.fim_pre, 67);
    assert_int_equal(c.vocab.fim_suf, 69);
    assert_int_equal(c.vocab.fim_mid, 68);
    assert_int_equal(c.vocab.fim_sep, 70);
    assert_int_equal(c.vocab.eot, 107);
    assert_int_equal(c.vocab.add_space_prefix, 0);
    case_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_ids_and_flags),
        cmocka_unit_test(adds_bos_for_names_that_do),
        cmocka_unit_test(warns_when_there_is_no_end),
        cmocka_unit_test(gives_gemma_its_fill_in_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
