/* SPDX-License-Identifier: MIT */
/* check_text.h: what an output is tried on: a short text in windows of tokens, and a message to answer. */
#ifndef QUERN_CALIB_CHECK_TEXT_H
#define QUERN_CALIB_CHECK_TEXT_H

#include "text/tokenizer.h"

/** Windows of a text, each of tokens that followed one another; where the vocabulary has a BOS it comes first. */
typedef struct qn_windows {
    qn_ids ids; /**< [n * length] */
    uint64_t n;
    uint64_t length;
    uint64_t first; /**< position in a window from which on predictions count */
} qn_windows;

/** How many windows there may be and how long. */
typedef struct qn_window_limits {
    uint64_t n;      /**< at least 1 */
    uint64_t length; /**< a shorter text is one shorter window */
} qn_window_limits;

/**
 * Cuts a text into windows: of a file the first ones, of our own text as many evenly spread.
 * @param path a file of at most 16 MB, of which no more than 64 KiB are looked at; NULL: the text of our own
 * @param out  to be cleared with qn_windows_clear(), also after a failure
 * @return QN_OK; QN_E_USAGE (a text of less than 16 tokens); QN_E_NOT_FOUND; QN_E_IO; QN_E_RANGE; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_windows_cut(const char *path, const qn_tokenizer *tokenizer, const qn_window_limits *limits,
                                      qn_windows *out, qn_error *err);
/** Frees and empties. */
void qn_windows_clear(qn_windows *windows);

/** Predictions that count, in a window. */
uint64_t qn_windows_counted(const qn_windows *windows);

/**
 * The tokens of a trial turn: a message through the model's chat template, or the beginning of a text without one.
 * @param meta         the model's
 * @param has_template out
 * @param out          appended to
 * @return QN_OK; as qn_chat_render(); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_check_prompt(const qn_meta *meta, const qn_tokenizer *tokenizer, bool *has_template,
                                       qn_ids *out, qn_error *err);

#endif
