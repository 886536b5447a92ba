/* SPDX-License-Identifier: MIT */
/* vocab_files.h: a GGUF file's vocabulary back to the tokenizer files of a Hugging Face folder. */
#ifndef QUERN_TEXT_VOCAB_FILES_H
#define QUERN_TEXT_VOCAB_FILES_H

#include "container/metadata.h"

enum { QN_MAX_VOCAB_FILES = 8 };

/** A file to be written. */
typedef struct qn_vocab_file {
    const char *name; /**< "tokenizer.json"; static storage */
    qn_text bytes;    /**< in the arena */
} qn_vocab_file;

/**
 * Makes the tokenizer files that the keys tokenizer.* stand for: tokenizer.json always; tokenizer.model for
 * SentencePiece; tokenizer_config.json with special tokens and the chat template; special_tokens_map.json;
 * generation_config.json with the end-of-generation ids; chat_template.jinja when there is a template. Reading them
 * with qn_vocab_open() gives the same tokens, types, scores, merges, special ids and template again.
 *
 * @param meta  a model's metadata
 * @param files out: [QN_MAX_VOCAB_FILES]
 * @param n     out
 * @return QN_OK; QN_E_NOT_FOUND (no vocabulary in the metadata); QN_E_UNSUPPORTED (a vocabulary model or
 *         pre-tokenizer without a known definition); QN_E_FORMAT; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_vocab_files(const qn_meta *meta, qn_arena *arena, qn_vocab_file *files, uint64_t *n,
                                      qn_error *err);

#endif
