/* SPDX-License-Identifier: MIT */
/* pretokenizer.c: recognises how a tokenizer splits text, and gives it llama.cpp's name for it.
 *
 * A tokenizer.json spells its splitting rule out; a GGUF file only names one that llama.cpp has built in. The rule is
 * flattened to a list of steps in a normal form and looked up. Nothing is guessed: a model whose text is split by
 * another rule than it was trained with still talks, only worse, so that an unknown rule is refused.
 */
#include "base/buffer.h"
#include "base/nearest.h"
#include "text/split_patterns.h"
#include "text/split_rules.h"
#include "text/vocab_parts.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_STEPS = 12, MAX_DEPTH = 8, ANY = -1 };

#define BLOOM " ?[^(\\s|[.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C])]+"

#define SPLIT(expression) QN_SPLIT_STEP expression

/* A splitting rule. Steps as flatten() writes them. */
typedef struct definition {
    const char *name;
    int ignores_merges;   /* 0, 1 or ANY */
    const char *steps[8]; /* NULL behind the last */
} definition;

/* Expressions: facts published with the models' tokenizer.json files. */
static const definition definitions[] = {
    {"llama-bpe", 1, {SPLIT(LLAMA3), "ByteLevel"}},
    {"smaug-bpe", 0, {SPLIT(LLAMA3), "ByteLevel"}},
    {"qwen2", ANY, {SPLIT(QWEN2), "ByteLevel"}},
    {"qwen35", ANY, {SPLIT(QWEN35), "ByteLevel"}},
    {"gpt-2", ANY, {"ByteLevel(regex)"}},
    {"gpt-2", ANY, {SPLIT(GPT2), "ByteLevel"}},
    {"starcoder", ANY, {"Digits", "ByteLevel(regex)"}},
    {"starcoder", ANY, {SPLIT("\\p{N}"), "ByteLevel(regex)"}},
    {"starcoder", ANY, {"Digits", SPLIT(GPT2), "ByteLevel"}},
    {"falcon", ANY, {"Punctuation(Contiguous)", "ByteLevel(regex)", "Digits(runs)", SPLIT("[0-9][0-9][0-9]")}},
    {"deepseek-llm",
     ANY,
     {SPLIT("[\\r\\n]"), SPLIT(DEEPSEEK_LETTERS), SPLIT(DEEPSEEK_SIGNS), SPLIT("\\s+$"), SPLIT(CJK_WIDE), "Digits",
      "ByteLevel"}},
    {"deepseek-coder",
     ANY,
     {SPLIT("[\\r\\n]"), SPLIT("\\s?\\p{L}+"), SPLIT("\\s?\\p{P}+"), SPLIT(CJK_WIDE), "Digits", "ByteLevel"}},
    {"deepseek-v3",
     ANY,
     {SPLIT("\\p{N}{1,3}"), SPLIT(HAN_KANA), SPLIT(ASCII_WORD "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES), "ByteLevel"}},
    {"spark2_5",
     ANY,
     {SPLIT("\\p{N}{1,3}"), SPLIT(HAN_KANA), SPLIT(ASCII_WORD "| ?[\\p{P}\\p{S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+"),
      SPLIT("\\p{N}"), "ByteLevel"}},
    {"youtu",
     ANY,
     {SPLIT(HANGUL_MARKS_KANA), SPLIT(CASED(CONTRACTIONS "?") "|\\p{N}|" SYMBOLS_SLASH "|" SPACES), "ByteLevel"}},
    {"bloom", ANY, {SPLIT(BLOOM), "ByteLevel"}},
    {"viking", ANY, {SPLIT(BLOOM), "Digits", "ByteLevel"}},
    {"viking", ANY, {"Digits", SPLIT(BLOOM), "ByteLevel"}},
    {"tekken", ANY, {SPLIT(CASED("") "|\\p{N}|" SYMBOLS_SLASH "|" SPACES), "ByteLevel"}},
    {"gpt-4o", ANY, {SPLIT(O200K), "ByteLevel"}},
    {"tiny_aya", ANY, {SPLIT("\\d{1,3}(?=(?:\\d{3})*\\b)"), SPLIT(O200K), "ByteLevel"}},
    {"superbpe", ANY, {SPLIT("\\p{N}+"), SPLIT("(?=(\\d{3})+(?!\\d))"), "ByteLevel"}},
    {"bailingmoe",
     ANY,
     {SPLIT(CONTRACTIONS "|" WORD "|\\p{N}|" SYMBOLS "|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"), "ByteLevel"}},
    {"seed-coder", ANY, {SPLIT(CONTRACTIONS "|" WORD "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES), "ByteLevel"}},
    {"ufakzeka", ANY, {SPLIT(WORD "|\\p{N}|" SYMBOLS "|" SPACES), "ByteLevel"}},
    {"exaone-moe",
     ANY,
     {SPLIT(CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| "
                         "?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"),
      "ByteLevel"}},
    {"minicpm5", ANY, {SPLIT("\\p{N}{1,3}"), SPLIT(CONTRACTIONS "|" WORD "|\\p{N}+|" SYMBOLS "|" SPACES), "ByteLevel"}},
    {"jais-2", ANY, {SPLIT(JAIS2), "ByteLevel"}},
};

/* Names that share a splitting rule, told apart by a token of the published vocabulary. */
static const struct variant {
    const char *base;
    const char *token;
    const char *name;
} variants[] = {
    {"smaug-bpe", "[gMASK]", "glm4"},
    {"qwen2", "<\uFF5CUser\uFF5C>", "deepseek-r1-qwen"},
    {"starcoder", "<|START_OF_TURN_TOKEN|>", "command-r"},
    {"starcoder", "<|im_start|>", "smollm"},
    {"gpt-4o", "<|header_start|>", "llama4"},
    {"bloom", "<|im_start|>", "poro-chat"},
};

/* Names that llama.cpp gives another name's rule, and that no recognition ends in. */
static const char *const synonyms[][2] = {
    {"llama3", "llama-bpe"},
    {"llama-v3", "llama-bpe"},
    {"falcon3", "llama-bpe"},
    {"falcon-h1", "llama-bpe"},
    {"pixtral", "llama-bpe"},
    {"midm-2.0", "llama-bpe"},
    {"lfm2", "llama-bpe"},
    {"jina-v5-nano", "llama-bpe"},
    {"dbrx", "smaug-bpe"},
    {"chatglm-bpe", "smaug-bpe"},
    {"hunyuan-dense", "deepseek-v3"},
    {"joyai-llm", "deepseek-v3"},
    {"hy_v4", "deepseek-v3"},
    {"refact", "starcoder"},
    {"codeshell", "starcoder"},
    {"exaone", "starcoder"},
    {"minerva-7b", "starcoder"},
    {"mellum2", "starcoder"},
    {"phi-2", "gpt-2"},
    {"jina-es", "gpt-2"},
    {"jina-de", "gpt-2"},
    {"jina-v2-es", "gpt-2"},
    {"jina-v2-de", "gpt-2"},
    {"jina-v1-en", "gpt-2"},
    {"jina-v2-code", "gpt-2"},
    {"roberta-bpe", "gpt-2"},
    {"gigachat", "gpt-2"},
    {"a.x-4.0", "gpt-2"},
    {"mellum", "gpt-2"},
    {"modern-bert", "gpt-2"},
    {"exaone4", "gpt-2"},
    {"mpt", "gpt-2"},
    {"olmo", "gpt-2"},
    {"jais", "gpt-2"},
    {"trillion", "gpt-2"},
    {"granite-docling", "gpt-2"},
    {"stablelm2", "qwen2"},
    {"kormo", "qwen2"},
    {"f2llmv2", "qwen2"},
    {"megrez", "qwen2"},
    {"hunyuan", "qwen2"},
    {"solar-open", "qwen2"},
    {"grok-2", "qwen2"},
    {"gpt3-finnish", "bloom"},
    {"kanana2", "gpt-4o"},
    {"talkie", "gpt-4o"},
    {"minimax-m2", "gpt-4o"},
    {"granite-embed-multi-97m", "gpt-4o"},
    {"cohere2moe", "tiny_aya"},
    {"bailingmoe2", "bailingmoe"},
    {"llada-moe", "bailingmoe"},
};

bool qn_pretokenizer_is_known(const char *name) {
    return qn_split_rule_find(name) != NULL;
}

qn_status qn_pretokenizer_check(const char *name, qn_error *err) {
    const char *known[QN_MAX_SPLIT_RULES];
    const char *near[2] = {NULL, NULL};
    if (qn_pretokenizer_is_known(name)) {
        return QN_OK;
    }
    const size_t n = qn_nearest(name, known, qn_split_rule_names(known), near, 2);
    return qn_fail(err, QN_E_USAGE, "pre-tokenizer '%.60s' is not one that llama.cpp knows%s%s%s%s%s", name,
                   n > 0 ? "; did you mean '" : "", n > 0 ? near[0] : "", n > 1 ? "' or '" : "", n > 1 ? near[1] : "",
                   n > 0 ? "'?" : "");
}

bool qn_pretokenizer_adds_bos(const char *name) {
    const qn_split_rule *rule = qn_split_rule_find(name);
    return rule != NULL && rule->adds_bos;
}

/* The name that a name's rule stands under in definitions. */
static const char *rule_of(const char *name) {
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        if (strcmp(variants[i].name, name) == 0) {
            return variants[i].base;
        }
    }
    for (size_t i = 0; i < sizeof synonyms / sizeof synonyms[0]; i++) {
        if (strcmp(synonyms[i][0], name) == 0) {
            return synonyms[i][1];
        }
    }
    return name;
}

const char *const *qn_pretokenizer_steps(const char *name) {
    const char *rule = rule_of(name);
    for (size_t i = 0; i < sizeof definitions / sizeof definitions[0]; i++) {
        if (strcmp(definitions[i].name, rule) == 0) {
            return definitions[i].steps; /* the first one: the way most of the name's models spell it */
        }
    }
    return NULL;
}

bool qn_pretokenizer_ignores_merges(const char *name) {
    static const char *const ignoring[] = {"llama-bpe", "tekken", "youtu", "minicpm5", "granite-embed-multi-97m"};
    const char *rule = rule_of(name);
    for (size_t i = 0; i < sizeof ignoring / sizeof ignoring[0]; i++) {
        if (strcmp(ignoring[i], name) == 0 || strcmp(ignoring[i], rule) == 0) {
            return true;
        }
    }
    return false;
}

const char *qn_pretokenizer_of_class(const json_t *tokenizer_config, const json_t *model_config) {
    static const char *const names[][2] = {{"GPT2Tokenizer", "gpt-2"},
                                           {"GPT2TokenizerFast", "gpt-2"},
                                           {"CodeGenTokenizer", "gpt-2"},
                                           {"CodeGenTokenizerFast", "gpt-2"},
                                           {"Qwen2Tokenizer", "qwen2"},
                                           {"Qwen2TokenizerFast", "qwen2"},
                                           {"RobertaTokenizer", "roberta-bpe"},
                                           {"RobertaTokenizerFast", "roberta-bpe"},
                                           {"GPTNeoXTokenizerFast", "olmo"},
                                           {"gpt2", "gpt-2"},
                                           {"qwen2", "qwen2"},
                                           {"qwen3", "qwen2"},
                                           {"roberta", "roberta-bpe"},
                                           {"gpt_neox", "olmo"}};
    const char *seen = qn_json_string(tokenizer_config, "tokenizer_class");
    if (seen == NULL) {
        seen = qn_json_string(model_config, "model_type");
    }
    for (size_t i = 0; seen != NULL && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i][0], seen) == 0) {
            return names[i][1];
        }
    }
    return NULL;
}

qn_status qn_fail_pretokenizer(const char *where, const char *saw, qn_error *err) {
    return qn_fail(err, QN_E_UNSUPPORTED,
                   "%s: how this tokenizer splits text is not one of the rules that llama.cpp names. It has: %.1200s\n"
                   "If you know the name, give it by --pre NAME: llama-bpe, qwen2, qwen35, gpt-2, smollm, starcoder, "
                   "command-r, deepseek-v3, deepseek-llm, falcon, tekken, gpt-4o, glm4, … (%zu names in all)",
                   where, saw, qn_split_rule_names(NULL));
}

/* ---- the normal form of an expression ---- */

/* Spellings of one thing: left is written as right. */
static const char *const spellings[][2] = {
    {"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", CONTRACTIONS},
    {"'(?:[sSdDmMtT]|[lL][lL]|[vV][eE]|[rR][eE])", CONTRACTIONS},
    {"'(?i:[sdmt]|ll|ve|re)", CONTRACTIONS},
    {"\r", "\\r"},
    {"\n", "\\n"},
    {"\t", "\\t"},
};

static size_t replace_spelling(const char *at, qn_buffer *out) {
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        const size_t n = strlen(spellings[i][0]);
        if (strncmp(at, spellings[i][0], n) == 0) {
            qn_buffer_text(out, spellings[i][1]);
            return n;
        }
    }
    return 0;
}

/*
 * Appends an expression with control characters escaped, contractions in one spelling, and possessive quantifiers
 * as greedy ones: where published expressions have them, what follows cannot match what they gave back.
 */
static void append_normal(qn_buffer *out, const char *text) {
    bool in_class = false;
    for (size_t i = 0; text[i] != '\0';) {
        const size_t n = replace_spelling(text + i, out);
        if (n > 0) {
            i += n;
            continue;
        }
        const char c = text[i];
        if (c == '\\' && text[i + 1] != '\0') { /* with its braces: the one that closes \p{L} is no quantifier */
            const bool has_brace = (text[i + 1] == 'p' || text[i + 1] == 'P') && text[i + 2] == '{';
            const char *close = has_brace ? strchr(text + i, '}') : NULL;
            const size_t n_escape = close == NULL ? 2 : (size_t)(close - (text + i)) + 1;
            qn_buffer_append(out, text + i, n_escape);
            i += n_escape;
            continue;
        }
        in_class = c == '[' ? true : c == ']' ? false : in_class;
        qn_buffer_append(out, &c, 1);
        i++;
        if (!in_class && (c == '?' || c == '*' || c == '+' || c == '}') && text[i] == '+') {
            i++;
        }
    }
}

/* ---- the steps of a tokenizer.json ---- */

typedef struct step_list {
    char *steps[MAX_STEPS]; /* owned */
    size_t n;
    bool is_too_deep; /* more steps, or deeper, than any known rule has */
} step_list;

static void step_list_clear(step_list *list) {
    for (size_t i = 0; i < list->n; i++) {
        free(list->steps[i]);
    }
}

static void describe_split(qn_buffer *out, const json_t *step) {
    const json_t *pattern = json_object_get(step, "pattern");
    const char *regex = qn_json_string(pattern, "Regex");
    const char *literal = qn_json_string(pattern, "String");
    const char *behavior = qn_json_string(step, "behavior");
    const bool is_inverted = json_is_true(json_object_get(step, "invert"));
    const bool is_isolated = behavior != NULL && strcmp(behavior, is_inverted ? "Removed" : "Isolated") == 0;
    /* Keeping the matches or removing what lies between them is the same where the expression covers all text. */
    if (is_isolated) {
        qn_buffer_text(out, QN_SPLIT_STEP);
    } else {
        qn_buffer_printf(out, "Split(%.40s%s) ", behavior == NULL ? "?" : behavior, is_inverted ? ", inverted" : "");
    }
    if (regex != NULL) {
        append_normal(out, regex);
    } else {
        qn_buffer_printf(out, "'%.200s'", literal == NULL ? "?" : literal);
    }
}

static bool flag(const json_t *step, const char *key, bool otherwise) {
    bool value = otherwise;
    (void)qn_json_bool(step, key, &value);
    return value;
}

static void describe_step(qn_buffer *out, const json_t *step) {
    const char *type = qn_json_string(step, "type");
    const char *behavior = qn_json_string(step, "behavior");
    if (type == NULL) {
        qn_buffer_text(out, "?");
    } else if (strcmp(type, "Split") == 0) {
        describe_split(out, step);
    } else if (strcmp(type, "ByteLevel") == 0) {
        qn_buffer_text(out, flag(step, "use_regex", true) ? "ByteLevel(regex)" : "ByteLevel");
    } else if (strcmp(type, "Digits") == 0) {
        qn_buffer_text(out, flag(step, "individual_digits", false) ? "Digits" : "Digits(runs)");
    } else if (strcmp(type, "Punctuation") == 0) {
        qn_buffer_printf(out, "Punctuation(%.40s)", behavior == NULL ? "Isolated" : behavior);
    } else {
        qn_buffer_printf(out, "%.60s", type);
    }
}

/* Appends the steps of a pre-tokenizer, those of a Sequence one by one. @return false when memory is short */
static bool flatten(const json_t *step, unsigned depth, step_list *list) {
    const char *type = qn_json_string(step, "type");
    const json_t *child = NULL;
    size_t i = 0;
    if (step == NULL || json_is_null(step)) {
        return true;
    }
    if (type != NULL && strcmp(type, "Sequence") == 0) {
        if (depth == MAX_DEPTH) {
            list->is_too_deep = true;
            return true;
        }
        json_array_foreach(json_object_get(step, "pretokenizers"), i, child) {
            if (!flatten(child, depth + 1, list)) {
                return false;
            }
        }
        return true;
    }
    if (list->n == MAX_STEPS) {
        list->is_too_deep = true;
        return true;
    }
    qn_buffer text = {0};
    describe_step(&text, step);
    list->steps[list->n] = qn_buffer_take_text(&text);
    if (list->steps[list->n] == NULL) {
        return false;
    }
    list->n++;
    return true;
}

static bool fits(const definition *d, const step_list *list, int ignores_merges) {
    size_t n = 0;
    while (n < sizeof d->steps / sizeof d->steps[0] && d->steps[n] != NULL) {
        n++;
    }
    if (n != list->n || list->is_too_deep || (d->ignores_merges != ANY && d->ignores_merges != ignores_merges)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(d->steps[i], list->steps[i]) != 0) {
            return false;
        }
    }
    return true;
}

static bool has_token(const json_t *tokenizer, const char *text) {
    const json_t *entry = NULL;
    size_t i = 0;
    json_array_foreach(json_object_get(tokenizer, "added_tokens"), i, entry) {
        const char *content = qn_json_string(entry, "content");
        if (content != NULL && strcmp(content, text) == 0) {
            return true;
        }
    }
    return json_object_get(json_object_get(json_object_get(tokenizer, "model"), "vocab"), text) != NULL;
}

static bool has_type(const json_t *object, const char *key, const char *type) {
    const char *seen = qn_json_string(json_object_get(object, key), "type");
    return seen != NULL && strcmp(seen, type) == 0;
}

/* The name a rule's own vocabulary has, among those that split alike. */
static const char *choose_variant(const char *base, const json_t *tokenizer) {
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        if (strcmp(variants[i].base, base) == 0 && has_token(tokenizer, variants[i].token)) {
            return variants[i].name;
        }
    }
    if (strcmp(base, "gpt-2") == 0 && has_type(tokenizer, "post_processor", "RobertaProcessing")) {
        return "roberta-bpe";
    }
    if (strcmp(base, "gpt-2") == 0 && has_type(tokenizer, "normalizer", "NFC")) {
        return "olmo"; /* GPT-NeoX's vocabulary; OLMo's and MPT's are the same */
    }
    return base;
}

static qn_status unknown_rule(const json_t *tokenizer, const char *where, const step_list *list, qn_error *err) {
    qn_buffer text = {0};
    for (size_t i = 0; i < list->n; i++) {
        qn_buffer_printf(&text, "%s%s", i == 0 ? "" : "; ", list->steps[i]);
    }
    if (list->n == 0) {
        qn_buffer_text(&text, "no pre-tokenizer");
    }
    if (json_is_true(json_object_get(json_object_get(tokenizer, "model"), "ignore_merges"))) {
        qn_buffer_text(&text, "; ignore_merges");
    }
    char *saw = qn_buffer_take_text(&text);
    const qn_status status = qn_fail_pretokenizer(where, saw == NULL ? "?" : saw, err);
    free(saw);
    return status;
}

qn_status qn_pretokenizer_recognise(const json_t *tokenizer, const char *where, const char **name, qn_error *err) {
    const json_t *model = json_object_get(tokenizer, "model");
    const int ignores_merges = json_is_true(json_object_get(model, "ignore_merges")) ? 1 : 0;
    step_list list = {.n = 0};
    qn_status status = QN_OK;
    *name = NULL;
    if (!flatten(json_object_get(tokenizer, "pre_tokenizer"), 0, &list)) {
        status = qn_fail_nomem(err, where, 0);
    }
    for (size_t i = 0; status == QN_OK && *name == NULL && i < sizeof definitions / sizeof definitions[0]; i++) {
        if (fits(&definitions[i], &list, ignores_merges)) {
            *name = choose_variant(definitions[i].name, tokenizer);
        }
    }
    if (status == QN_OK && *name == NULL) {
        status = unknown_rule(tokenizer, where, &list, err);
    }
    step_list_clear(&list);
    return status;
}
