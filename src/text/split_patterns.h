/* SPDX-License-Identifier: MIT */
/* split_patterns.h: pieces that published splitting expressions are made of.
 *
 * The recogniser of tokenizer.json (pretokenizer.c) and the splitter that runs (split_rules.c) write their tables with
 * them. Sources: the tokenizer.json files of the models named.
 */
#ifndef QUERN_TEXT_SPLIT_PATTERNS_H
#define QUERN_TEXT_SPLIT_PATTERNS_H

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define WORD "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define SYMBOLS " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define SYMBOLS_SLASH " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
#define SPACES "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define UPPERISH "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWERISH "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED(suffix) \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPERISH "*" LOWERISH "+" suffix "|[^\\r\\n\\p{L}\\p{N}]?" UPPERISH "+" LOWERISH "*" suffix
#define GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define LLAMA3 CONTRACTIONS "|" WORD "|\\p{N}{1,3}|" SYMBOLS "|" SPACES
#define QWEN2 CONTRACTIONS "|" WORD "|\\p{N}|" SYMBOLS "|" SPACES
#define QWEN35 CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|" SPACES
#define O200K CASED(CONTRACTIONS "?") "|\\p{N}{1,3}|" SYMBOLS_SLASH "|" SPACES
#define HAN_KANA "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+"
#define CJK_WIDE "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+"
#define HANGUL_MARKS_KANA                                                                         \
    "[\uAC00-\uD7A3\u3131-\u318E]+|[\uFF01\u2026\u201C\u201D\u2018\u2019\u2014\uFF1A\uFF1B\uFF0C" \
    "\u3001-\u303F\uFE30-\uFE4F]+|[\u3105-\u312F]+|" HAN_KANA
#define DEEPSEEK_SIGNS "\\s?[!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002]+"
#define ASCII_WORD "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
#define RUN16(n) "\\s{" n "}(?!\\S)|"
#define JAIS2                                                                                                          \
    CONTRACTIONS "|" WORD "|\\p{N}{1,3}|" SYMBOLS "|\\s*[\\r\\n]+|" RUN16("512") RUN16("256") RUN16("128") RUN16("64") \
        RUN16("32") RUN16("16") RUN16("8") RUN16("4") "\\s{1,2}(?!\\S)|\\s{1}"
/* DeepSeek's letters; code points as its file has them, six of which Unicode normalisation would change. */
#define DEEPSEEK_LETTERS                                                                              \
    "\\s?[A-Za-z"                                                                                     \
    "\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF"            \
    "\u0370-\u0373\u0376\u0377\u037B-\u037D\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5" \
    "\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5\u13F8-\u13FD\u1C90-\u1CBA"     \
    "\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45"     \
    "\u1F48-\u1F4D\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE"       \
    "\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC"     \
    "\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134\u2139"  \
    "\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3" \
    "\uA640-\uA66D\uA680-\uA69B\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06"     \
    "\uFB13-\uFB17\uFF21-\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F\U000104B0-\U000104D3"               \
    "\U000104D8-\U000104FB\U00010C80-\U00010CB2\U00010CC0-\U00010CF2\U000118A0-\U000118DF"            \
    "\U0001E900-\U0001E943"                                                                           \
    "]+"

#endif
