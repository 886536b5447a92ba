/* SPDX-License-Identifier: MIT */
/* grammar_parts.h: what the parser of grammars writes and a walk reads. */
#ifndef QUERN_ENGINE_GRAMMAR_PARTS_H
#define QUERN_ENGINE_GRAMMAR_PARTS_H

#include "engine/char_set.h"
#include "engine/grammar.h"

/** What stands at a place of an alternative. */
typedef enum qn_symbol_kind {
    QN_SYMBOL_END,  /**< behind the last one */
    QN_SYMBOL_CHAR, /**< value: a code point */
    QN_SYMBOL_SET,  /**< value: an index into sets */
    QN_SYMBOL_RULE  /**< value: an index into rules */
} qn_symbol_kind;

typedef struct qn_symbol {
    uint32_t kind;
    uint32_t value;
} qn_symbol;

/** A class of characters: tidy ranges, and those below 128 as bits. */
typedef struct qn_symbol_set {
    uint32_t first, n; /**< into ranges */
    uint32_t ascii[4];
} qn_symbol_set;

/** A rule: its alternatives, and where it is first spoken of. */
typedef struct qn_grammar_rule {
    uint32_t first_alt, n_alts; /**< into alts */
    uint32_t mention;           /**< byte of the text */
    bool is_defined;
    bool is_repetition; /**< made for x*: calls itself behind x, harmless where x may be empty */
} qn_grammar_rule;

/** Growing arrays, each a qn_buffer of the type behind it. */
struct qn_grammar {
    qn_buffer symbols; /**< qn_symbol; every alternative ends with QN_SYMBOL_END */
    qn_buffer alts;    /**< uint32_t: first symbol of each alternative */
    qn_buffer rules;   /**< qn_grammar_rule */
    qn_buffer sets;    /**< qn_symbol_set */
    qn_buffer ranges;  /**< qn_char_range */
    uint32_t root;
};

static inline const qn_symbol *qn_grammar_symbols(const qn_grammar *g) {
    return (const qn_symbol *)(const void *)g->symbols.data;
}
static inline const uint32_t *qn_grammar_alts(const qn_grammar *g) {
    return (const uint32_t *)(const void *)g->alts.data;
}
static inline const qn_grammar_rule *qn_grammar_rules(const qn_grammar *g) {
    return (const qn_grammar_rule *)(const void *)g->rules.data;
}
static inline size_t qn_grammar_n_rules(const qn_grammar *g) {
    return g->rules.len / sizeof(qn_grammar_rule);
}

/**
 * Finds a rule that can reach itself before anything is read.
 * @param rule out
 * @return QN_OK with *found; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_grammar_find_left_recursion(const qn_grammar *grammar, bool *found, uint32_t *rule,
                                                      qn_error *err);

#endif
