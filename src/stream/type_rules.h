/* SPDX-License-Identifier: MIT */
/* type_rules.h: "REGEX=TYPE": types for the tensors whose name a pattern is found in, from arguments and files. */
#ifndef QUERN_STREAM_TYPE_RULES_H
#define QUERN_STREAM_TYPE_RULES_H

#include "stream/mixture.h"

/**
 * Parses rules written as "REGEX=TYPE"; the last '=' parts them, so that a pattern may hold one. A file has one rule a
 * line; empty lines and lines that begin with '#' are passed over, blanks around a rule too.
 * @param texts [n] rules of the command line; they come before the file's, so that theirs win
 * @param file  path of a file of rules, or NULL
 * @param rules out: of arena, [*n_rules]
 * @return QN_OK; QN_E_USAGE (a type that is none or cannot be written, with the nearest names; a pattern that is no
 *         regular expression, with PCRE2's message and the offset); QN_E_NOT_FOUND, QN_E_IO, QN_E_RANGE of the file;
 *         QN_E_NOMEM. Messages name the argument, or file and line
 */
QN_NODISCARD qn_status qn_type_rules_parse(qn_arena *arena, const char *const *texts, size_t n, const char *file,
                                           qn_type_rule **rules, uint64_t *n_rules, qn_error *err);

/**
 * Finds the element type of a name, one that can be written.
 * @param where how the message begins: "--output-tensor-type "
 * @return QN_OK; QN_E_USAGE with the nearest names
 */
QN_NODISCARD qn_status qn_tensor_type_parse(const char *where, const char *name, qn_dtype *type, qn_error *err);

/** Rules ready to be searched for; for mixture.c. */
typedef struct qn_type_matcher qn_type_matcher;

/** @param rules borrowed, [n]. @return QN_OK; QN_E_USAGE for a pattern that is no regular expression; QN_E_NOMEM */
QN_NODISCARD qn_status qn_type_matcher_new(const qn_type_rule *rules, uint64_t n, qn_type_matcher **out, qn_error *err);
/** Frees; accepts NULL. */
void qn_type_matcher_free(qn_type_matcher *matcher);
/**
 * The first rule whose pattern is found in the name, without regard to case; NULL when there is none.
 * @return QN_OK; QN_E_USAGE for a pattern that takes too many steps
 */
QN_NODISCARD qn_status qn_type_matcher_find(qn_type_matcher *matcher, const char *name, const qn_type_rule **out,
                                            qn_error *err);

#endif
