/* SPDX-License-Identifier: MIT */
/* split_rules.h: the names of tokenizer.ggml.pre, and how each splits text. */
#ifndef QUERN_TEXT_SPLIT_RULES_H
#define QUERN_TEXT_SPLIT_RULES_H

#include <stdbool.h>
#include <stddef.h>

enum { QN_MAX_SPLIT_STAGES = 6, QN_MAX_SPLIT_RULES = 100 };

/**
 * A stage that no expression does in linear time: a run of digits is cut from its right end into groups of three.
 * QN_SPLIT_DIGIT_GROUPS takes every number (\p{N}) for a digit; QN_SPLIT_ASCII_GROUPS only 0 to 9.
 */
#define QN_SPLIT_DIGIT_GROUPS "digit groups"
#define QN_SPLIT_ASCII_GROUPS "ASCII digit groups"

/** A splitting rule and what else goes by its name. Everything is static. */
typedef struct qn_split_rule {
    const char *name;
    const char *const *stages; /**< expressions, applied in turn inside each piece; NULL ends them */
    bool ignores_merges;       /**< a piece that is a token is taken whole */
    bool adds_bos;             /**< where the file does not say */
    bool forces_bos;           /**< whatever the file says */
    bool adds_sep;
    bool keeps_spaces;      /**< decoding leaves the spaces before punctuation in */
    bool is_raw;            /**< merges work on UTF-8, not on the byte alphabet */
    bool escapes_spaces;    /**< a space becomes U+2581 before splitting */
    bool takes_lines_whole; /**< a piece of line feeds only that is a token is taken whole */
} qn_split_rule;

/** The rule of a name that llama.cpp knows, or NULL. */
const qn_split_rule *qn_split_rule_find(const char *name);

/** Lists the names. @param names [QN_MAX_SPLIT_RULES]; may be NULL to count. @return how many */
size_t qn_split_rule_names(const char **names);

#endif
