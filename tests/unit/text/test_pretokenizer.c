/* SPDX-License-Identifier: MIT */
/* test_pretokenizer.c: published splitting rules get llama.cpp's names, and rules that differ in one mark do not. */
#include "vocab_case.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define SPACES "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define LLAMA3   \
    CONTRACTIONS \
    "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|" SPACES
#define QWEN2 \
    CONTRACTIONS "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|" SPACES
#define QWEN35                                                    \
    CONTRACTIONS                                                  \
    "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{L}\\\\p{M}]+|\\\\p{N}" \
    "| ?[^\\\\s\\\\p{L}\\\\p{M}\\\\p{N}]+[\\\\r\\\\n]*|" SPACES
#define UPPER "[\\\\p{Lu}\\\\p{Lt}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define LOWER "[\\\\p{Ll}\\\\p{Lm}\\\\p{Lo}\\\\p{M}]"
#define O200K                                                                                                  \
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" UPPER "*" LOWER "+" CONTRACTIONS "?|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" UPPER \
    "+" LOWER "*" CONTRACTIONS "?|\\\\p{N}{1,3}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|" SPACES
#define TEKKEN                                                                                          \
    "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" UPPER "*" LOWER "+|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?" UPPER "+" LOWER \
    "*|\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]*|" SPACES
#define CL100K_ONE_DIGIT                                                       \
    "'(?i:[sdmt]|ll|ve|re)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?+\\\\p{L}+|\\\\p{N}|" \
    " ?[^\\\\s\\\\p{L}\\\\p{N}]++[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]|\\\\s+(?!\\\\S)|\\\\s+"
#define HAN_KANA "[\xE4\xB8\x80-\xE9\xBE\xA5\xE3\x81\x80-\xE3\x82\x9F\xE3\x82\xA0-\xE3\x83\xBF]+"
#define CJK_WIDE "[\xE4\xB8\x80-\xE9\xBE\xA5\xE0\xA0\x80-\xE4\xB8\x80\xEA\xB0\x80-\xED\x9F\xBF]+"
#define DEEPSEEK3                                                                                              \
    "[!\\\"#$%&'()*+,\\\\-./:;<=>?@\\\\[\\\\\\\\\\\\]^_`{|}~][A-Za-z]+|[^\\\\r\\\\n\\\\p{L}\\\\p{P}\\\\p{S}]?" \
    "[\\\\p{L}\\\\p{M}]+| ?[\\\\p{P}\\\\p{S}]+[\\\\r\\\\n]*|" SPACES
#define BLOOM " ?[^(\\\\s|[.,!?\xE2\x80\xA6\xE3\x80\x82\xEF\xBC\x8C\xE3\x80\x81\xE0\xA5\xA4\xDB\x94\xD8\x8C])]+"
/* DeepSeek's letters as its file has them, in JSON's escapes. */
#define DEEPSEEK_LETTERS                                                                                      \
    "\\\\s?[A-Za-z"                                                                                           \
    "\\u00B5\\u00C0-\\u00D6\\u00D8-\\u00F6\\u00F8-\\u01BA\\u01BC-\\u01BF\\u01C4-\\u0293\\u0295-\\u02AF"       \
    "\\u0370-\\u0373\\u0376\\u0377\\u037B-\\u037D\\u037F\\u0386\\u0388-\\u038A\\u038C\\u038E-\\u03A1"         \
    "\\u03A3-\\u03F5\\u03F7-\\u0481\\u048A-\\u052F\\u0531-\\u0556\\u10A0-\\u10C5\\u13A0-\\u13F5"              \
    "\\u13F8-\\u13FD\\u1C90-\\u1CBA\\u1CBD-\\u1CBF\\u1D00-\\u1D2B\\u1D6B-\\u1D77\\u1D79-\\u1D9A"              \
    "\\u1E00-\\u1F15\\u1F18-\\u1F1D\\u1F20-\\u1F45\\u1F48-\\u1F4D\\u1F50-\\u1F57\\u1F59\\u1F5B\\u1F5D"        \
    "\\u1F5F-\\u1F7D\\u1F80-\\u1FB4\\u1FB6-\\u1FBC\\u1FBE\\u1FC2-\\u1FC4\\u1FC6-\\u1FCC\\u1FD0-\\u1FD3"       \
    "\\u1FD6-\\u1FDB\\u1FE0-\\u1FEC\\u1FF2-\\u1FF4\\u1FF6-\\u1FFC\\u2102\\u2107\\u210A-\\u2113\\u2115"        \
    "\\u2119-\\u211D\\u2124\\u2126\\u2128\\u212A-\\u212D\\u212F-\\u2134\\u2139\\u213C-\\u213F\\u2145-\\u2149" \
    "\\u214E\\u2183\\u2184\\u2C00-\\u2C7B\\u2C7E-\\u2CE4\\u2CEB-\\u2CEE\\u2CF2\\u2CF3\\uA640-\\uA66D"         \
    "\\uA680-\\uA69B\\uA722-\\uA76F\\uA771-\\uA787\\uA78B-\\uA78E\\uAB70-\\uABBF\\uFB00-\\uFB06"              \
    "\\uFB13-\\uFB17\\uFF21-\\uFF3A\\uFF41-\\uFF5A\\uD801\\uDC00-\\uD801\\uDC4F\\uD801\\uDCB0-\\uD801\\uDCD3" \
    "\\uD801\\uDCD8-\\uD801\\uDCFB\\uD803\\uDC80-\\uD803\\uDCB2\\uD803\\uDCC0-\\uD803\\uDCF2"                 \
    "\\uD806\\uDCA0-\\uD806\\uDCDF\\uD83A\\uDD00-\\uD83A\\uDD43"                                              \
    "]+"
#define DEEPSEEK_SIGNS "\\\\s?[!-/:-~\\uFF01-\\uFF0F\\uFF1A-\\uFF5E\\u2018-\\u201F\\u3000-\\u3002]+"

#define SPLIT(regex) \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Isolated\",\"invert\":false}"
#define REMOVED(regex) \
    "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"},\"behavior\":\"Removed\",\"invert\":true}"
#define BYTES "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":false}"
#define BYTES_REGEX "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}"
#define BYTES_OLD "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true}"
#define DIGITS "{\"type\":\"Digits\",\"individual_digits\":true}"
#define SEQUENCE(steps) "{\"type\":\"Sequence\",\"pretokenizers\":[" steps "]}"
#define TOKENIZER(pre, more) "{\"pre_tokenizer\":" pre ",\"model\":{\"type\":\"BPE\"" more "}}"

typedef struct rule {
    const char *name; /* NULL: refused */
    const char *json;
} rule;

static void check_rules(const rule *rules, size_t n) {
    for (size_t i = 0; i < n; i++) {
        json_t *tokenizer = NULL;
        const char *name = "untouched";
        qn_error err;
        assert_ok(&err, qn_json_parse("rule", rules[i].json, strlen(rules[i].json), &tokenizer, &err));
        const qn_status status = qn_pretokenizer_recognise(tokenizer, "tokenizer.json", &name, &err);
        if (status != (rules[i].name == NULL ? QN_E_UNSUPPORTED : QN_OK) ||
            (rules[i].name != NULL && strcmp(name, rules[i].name) != 0)) {
            print_error("rule %zu: found %s, wanted %s: %s\n", i, status == QN_OK ? name : err.message,
                        rules[i].name == NULL ? "a refusal" : rules[i].name, rules[i].json);
            fail();
        }
        if (status == QN_OK) {
            assert_true(qn_pretokenizer_is_known(name));
        } else {
            assert_message_has(&err, "tokenizer.json");
            assert_message_has(&err, "--pre");
        }
        json_decref(tokenizer);
    }
}

static void names_published_rules(void **state) {
    (void)state;
    static const rule rules[] = {
        {"llama-bpe", TOKENIZER(SEQUENCE(SPLIT(LLAMA3) "," BYTES), ",\"ignore_merges\":true")},
        {"smaug-bpe", TOKENIZER(SEQUENCE(SPLIT(LLAMA3) "," BYTES), ",\"ignore_merges\":false")},
        {"smaug-bpe", TOKENIZER(SEQUENCE(SPLIT(LLAMA3) "," BYTES), "")},
        {"glm4", TOKENIZER(SEQUENCE(SPLIT(LLAMA3) "," BYTES), ",\"vocab\":{\"[gMASK]\":1}")},
        {"qwen2", TOKENIZER(SEQUENCE(SPLIT(QWEN2) "," BYTES), "")},
        {"qwen2", TOKENIZER(SEQUENCE(REMOVED(QWEN2) "," BYTES), "")},
        {"qwen35", TOKENIZER(SEQUENCE(SPLIT(QWEN35) "," BYTES), "")},
        {"gpt-2", TOKENIZER(BYTES_REGEX, "")},
        {"gpt-2", TOKENIZER(BYTES_OLD, "")},
        {"gpt-2", TOKENIZER(SEQUENCE(SEQUENCE(BYTES_REGEX)), "")},
        {"roberta-bpe", "{\"pre_tokenizer\":" BYTES_REGEX ",\"post_processor\":{\"type\":\"RobertaProcessing\"}}"},
        {"olmo", "{\"pre_tokenizer\":" BYTES_REGEX ",\"normalizer\":{\"type\":\"NFC\"}}"},
        {"starcoder", TOKENIZER(SEQUENCE(DIGITS "," BYTES_REGEX), "")},
        {"smollm", TOKENIZER(SEQUENCE(DIGITS "," BYTES_REGEX), ",\"vocab\":{\"<|im_start|>\":1}")},
        {"command-r", TOKENIZER(SEQUENCE(DIGITS "," BYTES_REGEX), ",\"vocab\":{\"<|START_OF_TURN_TOKEN|>\":1}")},
        {"falcon",
         TOKENIZER(SEQUENCE("{\"type\":\"Punctuation\",\"behavior\":\"Contiguous\"}," BYTES_REGEX
                            ",{\"type\":\"Digits\",\"individual_digits\":false}," SPLIT("[0-9][0-9][0-9]")),
                   "")},
        {"deepseek-llm",
         TOKENIZER(SEQUENCE(SPLIT("[\\r\\n]") "," SPLIT(DEEPSEEK_LETTERS) "," SPLIT(DEEPSEEK_SIGNS) "," SPLIT(
                       "\\\\s+$") "," SPLIT(CJK_WIDE) "," DIGITS "," BYTES),
                   "")},
        {"deepseek-coder",
         TOKENIZER(SEQUENCE(SPLIT("[\\\\r\\\\n]") "," SPLIT("\\\\s?\\\\p{L}+") "," SPLIT("\\\\s?\\\\p{P}+") "," SPLIT(
                       CJK_WIDE) "," DIGITS "," BYTES),
                   "")},
        {"deepseek-coder", /* the line ends as characters instead of escapes */
         TOKENIZER(SEQUENCE(SPLIT("[\\r\\n]") "," SPLIT("\\\\s?\\\\p{L}+") "," SPLIT("\\\\s?\\\\p{P}+") "," SPLIT(
                       CJK_WIDE) "," DIGITS "," BYTES),
                   "")},
        {"deepseek-v3",
         TOKENIZER(SEQUENCE(SPLIT("\\\\p{N}{1,3}") "," SPLIT(HAN_KANA) "," SPLIT(DEEPSEEK3) "," BYTES), "")},
        {"gpt-4o", TOKENIZER(SEQUENCE(SPLIT(O200K) "," BYTES), "")},
        {"llama4", TOKENIZER(SEQUENCE(SPLIT(O200K) "," BYTES), ",\"vocab\":{\"<|header_start|>\":1}")},
        {"tekken", TOKENIZER(SEQUENCE(SPLIT(TEKKEN) "," BYTES), ",\"ignore_merges\":true")},
        {"bailingmoe", TOKENIZER(SEQUENCE(SPLIT(CL100K_ONE_DIGIT) "," BYTES), "")},
        {"bloom", TOKENIZER(SEQUENCE(SPLIT(BLOOM) "," BYTES), "")},
        {"viking", TOKENIZER(SEQUENCE(SPLIT(BLOOM) "," DIGITS "," BYTES), "")},
        {"superbpe", TOKENIZER(SEQUENCE(SPLIT("\\\\p{N}+") "," SPLIT("(?=(\\\\d{3})+(?!\\\\d))") "," BYTES), "")},
        {"tiny_aya", TOKENIZER(SEQUENCE(SPLIT("\\\\d{1,3}(?=(?:\\\\d{3})*\\\\b)") "," SPLIT(O200K) "," BYTES), "")},
        {"seed-coder",
         TOKENIZER(SEQUENCE(SPLIT(CONTRACTIONS "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1}| "
                                               "?[^\\\\s\\\\p{L}\\\\p{N}\\\\r\\\\n]+|" SPACES) "," BYTES),
                   "")},
        {"ufakzeka",
         TOKENIZER(SEQUENCE(SPLIT("[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}| "
                                  "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|" SPACES) "," BYTES),
                   "")},
        {"exaone-moe",
         TOKENIZER(SEQUENCE(SPLIT(
                       CONTRACTIONS
                       "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?(?:\\\\p{L}\\\\p{M}*(?: \\\\p{L}\\\\p{M}*)*)+|\\\\p{N}| "
                       "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n/]?|\\\\s*[\\\\r\\\\n]|\\\\s+(?!\\\\S)|\\\\s+") "," BYTES),
                   "")},
        {"minicpm5",
         TOKENIZER(SEQUENCE(SPLIT("\\\\p{N}{1,3}") "," SPLIT(
                       CONTRACTIONS "|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}+| "
                                    "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|" SPACES) "," BYTES),
                   ",\"ignore_merges\":true")},
    };
    check_rules(rules, sizeof rules / sizeof rules[0]);
}

static void refuses_rules_that_are_nearly_known(void **state) {
    (void)state;
    static const rule rules[] = {
        {NULL, "{}"},
        {NULL, "[]"},
        {NULL, "{\"pre_tokenizer\":null}"},
        {NULL, "{\"pre_tokenizer\":7}"},
        {NULL, "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":\"x\"}}"},
        {NULL, "{\"pre_tokenizer\":{\"type\":\"Split\"}}"},
        {NULL, "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\" \"},\"behavior\":\"Isolated\"}}"},
        {NULL, "{\"pre_tokenizer\":{\"type\":\"Metaspace\"}}"},
        {NULL, TOKENIZER(BYTES, "")},                                  /* no rule at all */
        {NULL, TOKENIZER(SEQUENCE(SPLIT(QWEN2)), "")},                 /* not byte-level */
        {NULL, TOKENIZER(SEQUENCE(SPLIT(QWEN2) "," BYTES_REGEX), "")}, /* split twice */
        {NULL, TOKENIZER(SEQUENCE(BYTES "," SPLIT(QWEN2)), "")},       /* another order */
        {NULL, TOKENIZER(SEQUENCE(SPLIT(QWEN2 "|x") "," BYTES), "")},  /* one more alternative */
        {NULL, TOKENIZER(SEQUENCE(SPLIT("x|" QWEN2) "," BYTES), "")},
        {NULL, TOKENIZER(SEQUENCE("{\"type\":\"Digits\"}," BYTES_REGEX), "")}, /* runs of digits */
        {NULL,
         "{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" QWEN2
         "\"},\"behavior\":\"MergedWithNext\"}}"},
        {NULL, TOKENIZER(SEQUENCE(SPLIT("[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,2}") "," BYTES), "")},
        {NULL,
         TOKENIZER(SEQUENCE(DIGITS "," DIGITS "," DIGITS "," DIGITS "," DIGITS "," DIGITS "," DIGITS "," DIGITS
                                   "," DIGITS "," DIGITS "," DIGITS "," DIGITS "," DIGITS "," BYTES),
                   "")},
        {NULL,
         TOKENIZER(SEQUENCE(SEQUENCE(
                       SEQUENCE(SEQUENCE(SEQUENCE(SEQUENCE(SEQUENCE(SEQUENCE(SEQUENCE(SEQUENCE(BYTES_REGEX)))))))))),
                   "")},
    };
    check_rules(rules, sizeof rules / sizeof rules[0]);
}

static void quotes_what_it_saw(void **state) {
    (void)state;
    static const char text[] = TOKENIZER(SEQUENCE(SPLIT("Q+") "," BYTES), ",\"ignore_merges\":true");
    json_t *tokenizer = NULL;
    const char *name = NULL;
    qn_error err;
    assert_ok(&err, qn_json_parse("rule", text, strlen(text), &tokenizer, &err));
    assert_status(&err, qn_pretokenizer_recognise(tokenizer, "x/tokenizer.json", &name, &err), QN_E_UNSUPPORTED);
    assert_message_has(&err, "x/tokenizer.json");
    assert_message_has(&err, "Split Q+; ByteLevel; ignore_merges");
    assert_message_has(&err, "--pre NAME");
    assert_message_has(&err, "llama-bpe");
    json_decref(tokenizer);
}

static void knows_the_names(void **state) {
    (void)state;
    static const struct {
        const char *name;
        bool is_known;
    } cases[] = {{"llama-bpe", true}, {"qwen2", true},  {"default", true}, {"a.x-4.0", true}, {"minicpm5", true},
                 {"", false},         {"llama", false}, {"Qwen2", false},  {"qwen2 ", false}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(qn_pretokenizer_is_known(cases[i].name), cases[i].is_known);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_published_rules),
        cmocka_unit_test(refuses_rules_that_are_nearly_known),
        cmocka_unit_test(quotes_what_it_saw),
        cmocka_unit_test(knows_the_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
