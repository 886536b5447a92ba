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
 * Makes the tokenizer files that the keys tokenizer.* stand for: tokenizer.json, tokenizer_config.json with special
 * tokens and the chat template, special_tokens_map.json and generation_config.json with the end-of-generation ids,
 * always; tokenizer.model for SentencePiece; chat_template.jinja when there is exactly one template;
 * added_tokens.json for SentencePiece when tokens would be re-typed or re-spelled by the other files.
 *
 * Reading them with qn_vocab_open() and n_vocab = the number of tokens gives the same model, pre-tokenizer, tokens,
 * types, scores, merges, special ids and templates again, with these exceptions:
 * - padding at the end ("[PAD<id>]", unused) is left out; it comes back from n_vocab;
 * - flags that the metadata leave to a reader's default (add_bos_token, …) are spelled out;
 * - a pre-tokenizer's synonym comes back as the name that its rule is recognised by ("phi-2" as "gpt-2");
 * - tokens named as bos, eos, … in brackets become control tokens, byte-level ones that look like it too, unused
 *   byte-level ones normal; a user-defined SentencePiece token has the score -1000;
 * - whether user-defined SentencePiece pieces were so in the original model, and whether its tokenizer put a space
 *   behind special tokens ("legacy"), is not in a GGUF file: the files tokenize as llama.cpp does.
 *
 * All files name the class PreTrainedTokenizerFast: it takes tokenizer.json as it stands, while the classes of
 * families rebuild it by rules that change between releases.
 *
 * @param meta  a model's metadata: tokenizer.*, general.architecture and <architecture>.context_length are read
 * @param arena what the files live in
 * @param files out: [QN_MAX_VOCAB_FILES]
 * @param n     out
 * @return QN_OK; QN_E_NOT_FOUND (no vocabulary in the metadata); QN_E_UNSUPPORTED (a vocabulary model or
 *         pre-tokenizer without a known definition); QN_E_FORMAT (a key is missing, of a wrong type or length, an id
 *         out of range, a text twice or not UTF-8, a merge of no tokens); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_vocab_files(const qn_meta *meta, qn_arena *arena, qn_vocab_file *files, uint64_t *n,
                                      qn_error *err);

#endif
