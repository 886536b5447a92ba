/* SPDX-License-Identifier: MIT */
/* tokenizer.h: text to ids and back from the metadata of a model; the library's own side of quern/tokenize.h. */
#ifndef QUERN_TEXT_TOKENIZER_H
#define QUERN_TEXT_TOKENIZER_H

#include "base/buffer.h"
#include "container/metadata.h"
#include "quern/tokenize.h"

/** Ids that grow. Zero-initialised it is empty; a failed append is remembered, as in qn_buffer. */
typedef struct qn_ids {
    int32_t *items; /**< owned */
    size_t n;
    size_t cap;
    bool has_failed;
} qn_ids;

/** Appends an id. */
void qn_ids_push(qn_ids *ids, int32_t id);
/** Frees and empties; accepts a zeroed list. */
void qn_ids_clear(qn_ids *ids);
/** QN_OK, or QN_E_NOMEM when an append failed. */
QN_NODISCARD qn_status qn_ids_status(const qn_ids *ids, qn_error *err);

/**
 * Makes a tokenizer of the keys tokenizer.* (and general.name, general.architecture). What it needs is copied.
 * @return QN_OK; QN_E_NOT_FOUND (no vocabulary in the metadata); QN_E_FORMAT (keys that contradict each other, naming
 *         them); QN_E_UNSUPPORTED (a model or pre-tokenizer without a rule here); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_tokenizer_new(const qn_meta *meta, qn_tokenizer **out, qn_error *err);

/**
 * Encodes n bytes of text, appending to out.
 * @param add_special   BOS, EOS, [CLS] and the like, where the vocabulary says so
 * @param parse_special texts of control tokens become those tokens; user-defined tokens are always found
 * @return QN_OK; QN_E_RANGE (1 GiB of text or more); QN_E_NOMEM. After a failure out may hold some ids more
 */
QN_NODISCARD qn_status qn_tokenize(const qn_tokenizer *tokenizer, const char *text, size_t n, bool add_special,
                                   bool parse_special, qn_ids *out, qn_error *err);

/**
 * Decodes ids, appending to out.
 * @param keep_special    control tokens print their text
 * @param removes_special a leading BOS and a trailing EOS that encoding would have added are left out
 * @return QN_OK; QN_E_RANGE for an id outside the vocabulary; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_detokenize(const qn_tokenizer *tokenizer, const int32_t *ids, size_t n, bool keep_special,
                                     bool removes_special, qn_buffer *out, qn_error *err);

/**
 * Appends what one token prints, for streaming: pieces may end within a character (qn_utf8_whole() of
 * text/characters.h tells where), and spaces before punctuation are not cleaned up.
 * @return QN_OK; QN_E_RANGE. A failed append is left to qn_buffer_status()
 */
QN_NODISCARD qn_status qn_token_piece(const qn_tokenizer *tokenizer, int32_t id, bool keep_special, qn_buffer *out,
                                      qn_error *err);

/** Whether an id ends a generation: EOS, EOT, EOM and all that llama.cpp knows by their text. */
bool qn_token_is_eog(const qn_tokenizer *tokenizer, int32_t id);
/** The id of a text in the vocabulary's own spelling; -1 when there is none. */
int32_t qn_token_find(const qn_tokenizer *tokenizer, qn_text text);
/** The texts of the vocabulary; [qn_tokenizer_n_tokens()] borrowed. */
const qn_text *qn_tokenizer_texts(const qn_tokenizer *tokenizer);
/** Whether encoding with add_special puts a BOS first. */
bool qn_tokenizer_adds_bos(const qn_tokenizer *tokenizer);
/** Whether encoding with add_special puts an EOS last. */
bool qn_tokenizer_adds_eos(const qn_tokenizer *tokenizer);

#endif
