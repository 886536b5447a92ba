/* SPDX-License-Identifier: MIT */
/* tokenize.h: text to token ids and back, as the model of a GGUF file or Hugging Face folder was trained with. */
#ifndef QUERN_TOKENIZE_H
#define QUERN_TOKENIZE_H

#include "quern/job.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A vocabulary ready to encode and decode. Threads: any number may use one at once. */
typedef struct qn_tokenizer qn_tokenizer;

/** Tokens with a role. */
typedef enum qn_token_role {
    QN_TOKEN_ROLE_BOS,
    QN_TOKEN_ROLE_EOS,
    QN_TOKEN_ROLE_EOT,
    QN_TOKEN_ROLE_EOM,
    QN_TOKEN_ROLE_UNK,
    QN_TOKEN_ROLE_SEP,
    QN_TOKEN_ROLE_PAD,
    QN_TOKEN_ROLE_MASK,
    QN_TOKEN_ROLE_FIM_PRE,
    QN_TOKEN_ROLE_FIM_SUF,
    QN_TOKEN_ROLE_FIM_MID,
    QN_TOKEN_ROLE_FIM_PAD,
    QN_TOKEN_ROLE_FIM_REP,
    QN_TOKEN_ROLE_FIM_SEP,
    QN_N_TOKEN_ROLES
} qn_token_role;

/** How to encode; flags to be or-ed. */
enum {
    QN_ENCODE_ADD_SPECIAL = 1,  /**< put the tokens around the text that the model was trained with (BOS, EOS, …) */
    QN_ENCODE_PARSE_SPECIAL = 2 /**< text such as "<|im_end|>" becomes the control token; else it stays text */
};

/** How to decode; flags to be or-ed. */
enum {
    QN_DECODE_KEEP_SPECIAL = 1,  /**< print control tokens by their text; else they print as nothing */
    QN_DECODE_REMOVE_SPECIAL = 2 /**< leave out the first token if it is the BOS, and the last if it is the EOS, that
                                      encoding puts there */
};

/**
 * Opens the tokenizer of a GGUF file (any of its shards) or of a Hugging Face folder; weights are not looked at.
 * @param job for warnings; may be NULL
 * @param out free it with qn_tokenizer_free()
 * @return QN_OK; QN_E_NOT_FOUND (also: a model without a vocabulary); QN_E_FORMAT; QN_E_UNSUPPORTED; QN_E_IO;
 *         QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_tokenizer_open(const char *path, qn_job *job, qn_tokenizer **out, qn_error *err);

/** Frees; accepts NULL. */
void qn_tokenizer_free(qn_tokenizer *tokenizer);

/**
 * Encodes text.
 * @param text    size_bytes bytes, UTF-8 as a rule: what is not is encoded byte by byte or as U+FFFD, as llama.cpp does
 * @param flags   QN_ENCODE_…
 * @param ids     to be freed with free(); never NULL on success
 * @param n_ids   how many
 * @return QN_OK; QN_E_RANGE from 1 GiB of text on; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_tokenizer_encode(const qn_tokenizer *tokenizer, const char *text, size_t size_bytes,
                                           unsigned flags, int32_t **ids, size_t *n_ids, qn_error *err);

/**
 * Decodes ids.
 * @param flags      QN_DECODE_…
 * @param text       to be freed with free(); a NUL stands behind it. Not always valid UTF-8: ids may end within a
 *                   character
 * @param size_bytes bytes without the NUL; may be NULL
 * @return QN_OK; QN_E_RANGE for an id outside the vocabulary; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_tokenizer_decode(const qn_tokenizer *tokenizer, const int32_t *ids, size_t n_ids,
                                           unsigned flags, char **text, size_t *size_bytes, qn_error *err);

/**
 * What one token prints, for output that streams: pieces put together are the text before spaces are cleaned up. A
 * piece may end within a character.
 * @param flags QN_DECODE_KEEP_SPECIAL or 0
 * @param text  to be freed with free(); a NUL stands behind it
 * @return as qn_tokenizer_decode()
 */
QN_NODISCARD qn_status qn_tokenizer_piece(const qn_tokenizer *tokenizer, int32_t id, unsigned flags, char **text,
                                          size_t *size_bytes, qn_error *err);

/** How many tokens there are; ids are below. */
size_t qn_tokenizer_n_tokens(const qn_tokenizer *tokenizer);

/** The id of a role; -1 when the vocabulary has none. */
int32_t qn_tokenizer_role(const qn_tokenizer *tokenizer, qn_token_role role);

/** Whether a model that writes this id has ended its answer. False for ids outside the vocabulary. */
bool qn_tokenizer_is_end(const qn_tokenizer *tokenizer, int32_t id);

/**
 * A token's text as the vocabulary spells it ("Ġthe", "▁the", "<0x0A>"). Borrowed; may hold NULs.
 * @param size_bytes out
 * @return NULL for an id outside the vocabulary
 */
const char *qn_tokenizer_text(const qn_tokenizer *tokenizer, int32_t id, size_t *size_bytes);

#ifdef __cplusplus
}
#endif
#endif
