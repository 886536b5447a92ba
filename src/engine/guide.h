/* SPDX-License-Identifier: MIT */
/* guide.h: a grammar over a model's vocabulary: which tokens may come next. */
#ifndef QUERN_ENGINE_GUIDE_H
#define QUERN_ENGINE_GUIDE_H

#include "engine/grammar.h"
#include "text/tokenizer.h"

/**
 * What an answer has come to in a grammar. Tokens are read as what they print; those that print nothing (control
 * tokens) may not come, and tokens that end a generation may where the grammar may end. Not for several threads.
 */
typedef struct qn_guide qn_guide;

/**
 * A guide at the beginning of the grammar.
 * @param grammar   taken: freed with the guide, also when this fails
 * @param n_logits  tokens that the model tells apart, at least those of the tokenizer
 * @param tokenizer borrowed, outlives the guide
 * @return QN_OK; QN_E_RANGE; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_guide_new(qn_grammar *grammar, const qn_tokenizer *tokenizer, uint64_t n_logits,
                                    qn_guide **out, qn_error *err);
/** Frees; accepts NULL. */
void qn_guide_free(qn_guide *guide);
/**
 * Goes to the beginning of another grammar over the same vocabulary, which takes far less time than another guide.
 * @param grammar taken; when this fails the guide has the one it had
 */
QN_NODISCARD qn_status qn_guide_change(qn_guide *guide, qn_grammar *grammar, qn_error *err);
/** Goes back to the beginning, for another answer. */
QN_NODISCARD qn_status qn_guide_reset(qn_guide *guide, qn_error *err);

/** Whether a token may come next. @return QN_OK with *allows; as qn_grammar_walk_status() */
QN_NODISCARD qn_status qn_guide_check(qn_guide *guide, int32_t token, bool *allows, qn_error *err);

/**
 * Makes the logits of all tokens that may not come next -INFINITY.
 * @param logits [n_logits]
 * @return QN_OK; QN_E_RANGE when none is left, quoting the text so far; as qn_grammar_walk_status()
 */
QN_NODISCARD qn_status qn_guide_mask(qn_guide *guide, float *logits, qn_error *err);

/** Goes on by a token that may come next. @return QN_OK; QN_E_RANGE when it may not */
QN_NODISCARD qn_status qn_guide_accept(qn_guide *guide, int32_t token, qn_error *err);

/** Whether only the end can come next. */
bool qn_guide_is_done(const qn_guide *guide);

#endif
