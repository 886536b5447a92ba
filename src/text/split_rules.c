/* SPDX-License-Identifier: MIT */
/* split_rules.c: how each pre-tokenizer name splits text.
 *
 * The expressions are those that llama.cpp runs for a name, which are not always the ones of the model's own
 * tokenizer.json: ids must be those that other programs get from the same file. Where one would take quadratic time or
 * unbounded stack it is written in another way that matches the same text. All kinds of letters are one class there.
 */
#include "text/split_rules.h"

#include "text/split_patterns.h"

#include <string.h>

/* "Letter that is not a-z" and "letter that is not A-Z": how upper and lower case are told apart. */
#define NOT_LOWER "[A-Z\\p{LetterPastAscii}]"
#define NOT_UPPER "[a-z\\p{LetterPastAscii}]"
#define SPLIT_CASE(upper, lower, suffix) \
    "[^\\r\\n\\p{L}\\p{N}]?" upper "*" lower "+" suffix "|[^\\r\\n\\p{L}\\p{N}]?" upper "+" lower "*" suffix
#define ANY_CONTRACTION CONTRACTIONS "?"
#define DEEPSEEK3 ASCII_WORD "| ?[\\p{P}\\p{S}]+[\\r\\n]*|" SPACES
#define BLOOM " ?[^(\\s|.,!?\u2026\u3002\uFF0C\u3001\u0964\u06D4\u060C)]+"

static const char *const llama3[] = {LLAMA3, NULL};
static const char *const jais2[] = {JAIS2, NULL};
static const char *const deepseek_llm[] = {
    "[\\r\\n]", DEEPSEEK_LETTERS, DEEPSEEK_SIGNS, "(?<!\\s)\\s++$", CJK_WIDE, "\\p{N}+", NULL};
static const char *const deepseek3[] = {"\\p{N}{1,3}", HAN_KANA, DEEPSEEK3, NULL};
static const char *const spark[] = {"\\p{N}{1,3}", HAN_KANA, ASCII_WORD "| ?[\\p{P}\\p{S}]+|[\\r\\n]|\\s+(?!\\S)|\\s+",
                                    "\\p{N}", NULL};
static const char *const youtu[] = {HANGUL_MARKS_KANA, CASED(ANY_CONTRACTION) "|\\p{N}|" SYMBOLS_SLASH "|" SPACES,
                                    NULL};
static const char *const deepseek_coder[] = {"[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", CJK_WIDE, "\\p{N}", NULL};
static const char *const falcon[] = {"[\\p{P}\\$\\+<=>\\^~\\|`]+", GPT2, "[0-9][0-9][0-9]", NULL};
static const char *const starcoder[] = {"\\p{N}", GPT2, NULL};
static const char *const gpt2[] = {GPT2, NULL};
static const char *const qwen2[] = {QWEN2, NULL};
static const char *const qwen35[] = {QWEN35, NULL};
static const char *const bloom[] = {BLOOM, NULL};
static const char *const viking[] = {BLOOM, "\\p{N}", NULL};
static const char *const tekken[] = {SPLIT_CASE(NOT_LOWER, NOT_UPPER, "") "|\\p{N}|" SYMBOLS_SLASH "|" SPACES, NULL};
static const char *const chameleon[] = {"<sentinel:[0-9]+>",
                                        "(IMGIMG)((A|B|C|D|E|F|G|H|I){1,4})Z",
                                        "([\\t\\n]|    |  )",
                                        "\\p{N}",
                                        "[\\p{P}!-/:-@\\[-`{-~]",
                                        GPT2,
                                        NULL};
static const char *const gpt4o[] = {
    SPLIT_CASE(NOT_LOWER, NOT_UPPER, ANY_CONTRACTION) "|\\p{N}{1,3}|" SYMBOLS_SLASH "|" SPACES, NULL};
static const char *const granite[] = {SPLIT_CASE("[A-Z\\p{LetterPastAscii}\\p{M}]", "[a-z\\p{LetterPastAscii}\\p{M}]",
                                                 ANY_CONTRACTION) "|\\p{N}{1,3}|" SYMBOLS_SLASH "|" SPACES,
                                      NULL};
static const char *const tiny_aya[] = {QN_SPLIT_DIGIT_GROUPS, O200K, NULL};
static const char *const kimi[] = {"\\p{Han}+|[^\\r\\n\\p{L}\\p{N}]?[A-Za-z\\p{LetterPastHan}]+(?:" CONTRACTIONS
                                   ")?|\\p{N}{1,3}|" SYMBOLS "|" SPACES,
                                   NULL};
static const char *const superbpe[] = {"\\p{N}+", QN_SPLIT_ASCII_GROUPS, NULL};
static const char *const bailing[] = {CONTRACTIONS "|" WORD "|\\p{N}|" SYMBOLS "|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+", NULL};
static const char *const seed_coder[] = {CONTRACTIONS "|" WORD "|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|" SPACES, NULL};
static const char *const ufakzeka[] = {WORD "|\\p{N}|" SYMBOLS "|" SPACES, NULL};
static const char *const afmoe[] = {
    QN_SPLIT_DIGIT_GROUPS,
    "[\u4E00-\u9FFF\u3400-\u4DBF\u8C48-\uFAFF\u3040-\u309F\u30A0-\u30FF\uFF65-\uFF9F\u2F00-\u2FDF\u0E40-\u0E7F"
    "\u0E80-\u0EFF\u1780-\u17FF\u1000-\u109F\uAA60-\uAA7F\uA9E0-\uA9FF\uAC00-\uD7AF\u1100-\u11FF]+",
    DEEPSEEK3, NULL};
static const char *const laguna[] = {"[^\\n]+|[\\n]+", QWEN2, NULL};
static const char *const exaone_moe[] = {
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}[\\p{L}\\p{M}]*+)(?: \\p{L}[\\p{L}\\p{M}]*+)*+|\\p{N}|"
                 " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+",
    NULL};
static const char *const lines[] = {"[^\\n]+|[\\n]+", NULL};
static const char *const minicpm5[] = {"\\p{N}{1,3}", CONTRACTIONS "|" WORD "|\\p{N}+|" SYMBOLS "|" SPACES, NULL};
static const char *const whitespace[] = {"\\S+", NULL};
static const char *const fallback[] = {"[\\p{P}\\$\\+<=>\\^~\\|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]", NULL};

/* In the order of strcmp(). */
static const qn_split_rule rules[] = {
    {.name = "a.x-4.0", .stages = gpt2},
    {.name = "afmoe", .stages = afmoe, .keeps_spaces = true},
    {.name = "bailingmoe", .stages = bailing, .keeps_spaces = true},
    {.name = "bailingmoe2", .stages = bailing, .keeps_spaces = true},
    {.name = "bloom", .stages = bloom},
    {.name = "chameleon", .stages = chameleon, .adds_bos = true, .keeps_spaces = true},
    {.name = "chatglm-bpe", .stages = llama3},
    {.name = "codeshell", .stages = starcoder},
    {.name = "cohere2moe", .stages = tiny_aya, .keeps_spaces = true},
    {.name = "command-r", .stages = starcoder, .keeps_spaces = true},
    {.name = "dbrx", .stages = llama3},
    {.name = "deepseek-coder", .stages = deepseek_coder, .keeps_spaces = true},
    {.name = "deepseek-llm", .stages = deepseek_llm, .keeps_spaces = true},
    {.name = "deepseek-r1-qwen", .stages = qwen2, .keeps_spaces = true},
    {.name = "deepseek-v3", .stages = deepseek3, .keeps_spaces = true},
    {.name = "default", .stages = fallback},
    {.name = "exaone", .stages = starcoder},
    {.name = "exaone-moe", .stages = exaone_moe},
    {.name = "exaone4", .stages = gpt2},
    {.name = "f2llmv2", .stages = qwen2, .keeps_spaces = true},
    {.name = "falcon", .stages = falcon},
    {.name = "falcon-h1", .stages = llama3, .ignores_merges = true, .adds_bos = true},
    {.name = "falcon3", .stages = llama3, .ignores_merges = true, .adds_bos = true},
    {.name = "gemma4",
     .stages = lines,
     .adds_bos = true,
     .forces_bos = true,
     .is_raw = true,
     .escapes_spaces = true,
     .takes_lines_whole = true},
    {.name = "gigachat", .stages = gpt2},
    {.name = "glm4", .stages = llama3},
    {.name = "gpt-2", .stages = gpt2},
    {.name = "gpt-4o", .stages = gpt4o, .keeps_spaces = true},
    {.name = "gpt3-finnish", .stages = bloom},
    {.name = "granite-docling", .stages = gpt2, .keeps_spaces = true},
    {.name = "granite-embed-multi-311m",
     .stages = lines,
     .adds_bos = true,
     .forces_bos = true,
     .is_raw = true,
     .escapes_spaces = true,
     .takes_lines_whole = true},
    {.name = "granite-embed-multi-97m", .stages = granite, .ignores_merges = true, .keeps_spaces = true},
    {.name = "grok-2", .stages = qwen2, .keeps_spaces = true},
    {.name = "hunyuan", .stages = qwen2, .keeps_spaces = true},
    {.name = "hunyuan-dense", .stages = deepseek3, .keeps_spaces = true},
    {.name = "hy_v4", .stages = deepseek3, .keeps_spaces = true},
    {.name = "jais", .stages = gpt2},
    {.name = "jais-2", .stages = jais2},
    {.name = "jina-de", .stages = gpt2},
    {.name = "jina-es", .stages = gpt2},
    {.name = "jina-v1-en", .stages = gpt2, .adds_sep = true},
    {.name = "jina-v2-code", .stages = gpt2, .adds_sep = true},
    {.name = "jina-v2-de", .stages = gpt2},
    {.name = "jina-v2-es", .stages = gpt2},
    {.name = "jina-v5-nano", .stages = llama3, .ignores_merges = true, .adds_bos = true},
    {.name = "joyai-llm", .stages = deepseek3, .keeps_spaces = true},
    {.name = "kanana2", .stages = gpt4o, .keeps_spaces = true},
    {.name = "kimi-k2", .stages = kimi, .keeps_spaces = true},
    {.name = "kormo", .stages = qwen2, .keeps_spaces = true},
    {.name = "laguna", .stages = laguna, .keeps_spaces = true},
    {.name = "lfm2", .stages = llama3, .ignores_merges = true, .adds_bos = true},
    {.name = "llada-moe", .stages = bailing, .keeps_spaces = true},
    {.name = "llama-bpe", .stages = llama3, .ignores_merges = true, .adds_bos = true},
    {.name = "llama-v3", .stages = llama3, .ignores_merges = true, .adds_bos = true},
    {.name = "llama3", .stages = llama3, .ignores_merges = true, .adds_bos = true},
    {.name = "llama4", .stages = gpt4o, .keeps_spaces = true},
    {.name = "megrez", .stages = qwen2},
    {.name = "mellum", .stages = gpt2},
    {.name = "mellum2", .stages = starcoder},
    {.name = "midm-2.0", .stages = llama3, .ignores_merges = true, .adds_bos = true},
    {.name = "minerva-7b", .stages = starcoder},
    {.name = "minicpm5", .stages = minicpm5, .ignores_merges = true},
    {.name = "minimax-m2", .stages = gpt4o, .keeps_spaces = true},
    {.name = "modern-bert", .stages = gpt2},
    {.name = "mpt", .stages = gpt2},
    {.name = "olmo", .stages = gpt2},
    {.name = "phi-2", .stages = gpt2},
    {.name = "pixtral", .stages = llama3, .ignores_merges = true, .adds_bos = true},
    {.name = "poro-chat", .stages = bloom, .keeps_spaces = true},
    {.name = "qwen2", .stages = qwen2, .keeps_spaces = true},
    {.name = "qwen35", .stages = qwen35, .keeps_spaces = true},
    {.name = "refact", .stages = starcoder},
    {.name = "roberta-bpe", .stages = gpt2, .adds_sep = true},
    {.name = "sarvam-moe", .stages = lines, .keeps_spaces = true, .is_raw = true, .escapes_spaces = true},
    {.name = "seed-coder", .stages = seed_coder, .keeps_spaces = true},
    {.name = "smaug-bpe", .stages = llama3},
    {.name = "smollm", .stages = starcoder, .keeps_spaces = true},
    {.name = "solar-open", .stages = qwen2, .keeps_spaces = true},
    {.name = "spark2_5", .stages = spark, .keeps_spaces = true},
    {.name = "stablelm2", .stages = qwen2},
    {.name = "starcoder", .stages = starcoder},
    {.name = "superbpe", .stages = superbpe, .keeps_spaces = true},
    {.name = "talkie", .stages = gpt4o, .keeps_spaces = true},
    {.name = "tekken", .stages = tekken, .ignores_merges = true, .adds_bos = true, .keeps_spaces = true},
    {.name = "tiny_aya", .stages = tiny_aya, .keeps_spaces = true},
    {.name = "trillion", .stages = gpt2, .keeps_spaces = true},
    {.name = "ufakzeka", .stages = ufakzeka, .keeps_spaces = true},
    {.name = "viking", .stages = viking, .keeps_spaces = true},
    {.name = "whitespace", .stages = whitespace, .is_raw = true},
    {.name = "youtu", .stages = youtu, .ignores_merges = true, .keeps_spaces = true},
};

enum { N_RULES = sizeof rules / sizeof rules[0] };
_Static_assert((int)N_RULES <= (int)QN_MAX_SPLIT_RULES, "room for every name");

const qn_split_rule *qn_split_rule_find(const char *name) {
    size_t low = 0;
    size_t high = N_RULES;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        const int order = strcmp(rules[middle].name, name);
        if (order == 0) {
            return &rules[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

size_t qn_split_rule_names(const char **names) {
    for (size_t i = 0; names != NULL && i < N_RULES; i++) {
        names[i] = rules[i].name;
    }
    return N_RULES;
}
