/* SPDX-License-Identifier: MIT */
/*
 * grammar.h: GBNF grammars as llama.cpp's users write them, and walking through one byte by byte.
 *
 *     rule ::= alternative | alternative       a line each; inside parentheses lines may be broken; # begins a comment
 *     "text"  [a-z_]  [^"\\]  .  other-rule  ( … )        escapes: \n \r \t \\ \" \[ \] \- \^ \xNN \uNNNN \UNNNNNNNN
 *     x*  x+  x?  x{m}  x{m,}  x{m,n}
 *
 * A text begins at the rule `root`. Grammars are context-free; left recursion and rules that are nowhere defined are
 * refused. Grammars by token (<think>, <[123]>) are not read.
 */
#ifndef QUERN_ENGINE_GRAMMAR_H
#define QUERN_ENGINE_GRAMMAR_H

#include "base/error.h"

#include <stdbool.h>

/** Rules. Threads: any number may walk one at once. */
typedef struct qn_grammar qn_grammar;

/**
 * Reads a grammar.
 * @param text n bytes, UTF-8; borrowed for the call
 * @return QN_OK; QN_E_FORMAT with line and column (syntax, an undefined rule, one defined twice, left recursion, no
 *         root); QN_E_UNSUPPORTED (tokens); QN_E_RANGE (too large: 1 MiB of text, 2^20 symbols with all repetitions
 *         written out); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_grammar_parse(const char *text, size_t n, qn_grammar **out, qn_error *err);
/** Frees a grammar that nothing walks any more; accepts NULL. */
void qn_grammar_free(qn_grammar *grammar);

/**
 * A place in a grammar, and how it was reached: all ways of reading the bytes so far are kept side by side, and bytes
 * can be taken back. What a byte would do that ends within a character is known too: the character that it begins
 * must be one that fits. Bytes that are not UTF-8 fit nowhere.
 */
typedef struct qn_grammar_walk qn_grammar_walk;

/** Begins at the root. @param grammar borrowed, outlives the walk. @return QN_OK; QN_E_RANGE; QN_E_NOMEM */
QN_NODISCARD qn_status qn_grammar_walk_new(const qn_grammar *grammar, qn_grammar_walk **out, qn_error *err);
/** Frees; accepts NULL. */
void qn_grammar_walk_free(qn_grammar_walk *walk);
/** Goes back to the root, and forgets a failure. */
QN_NODISCARD qn_status qn_grammar_walk_reset(qn_grammar_walk *walk, qn_error *err);

/**
 * Takes a byte. @return false when it cannot stand here, or the walk has failed: then nothing has changed
 */
bool qn_grammar_push(qn_grammar_walk *walk, unsigned char byte);
/** Bytes pushed since the last commit. */
size_t qn_grammar_depth(const qn_grammar_walk *walk);
/** Takes bytes back, until `depth` are left. */
void qn_grammar_pop_to(qn_grammar_walk *walk, size_t depth);
/** Makes the bytes pushed so far part of the text for good. */
void qn_grammar_commit(qn_grammar_walk *walk);

/** Whether the text may end here. */
bool qn_grammar_may_end(const qn_grammar_walk *walk);
/** Whether the text must end here. */
bool qn_grammar_must_end(const qn_grammar_walk *walk);

/**
 * QN_OK, or why pushing failed: QN_E_RANGE when a text can be read in too many ways, or rules nest too deeply;
 * QN_E_NOMEM. Lasts until qn_grammar_walk_reset().
 */
QN_NODISCARD qn_status qn_grammar_walk_status(const qn_grammar_walk *walk, qn_error *err);

#endif
