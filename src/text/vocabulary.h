/* SPDX-License-Identifier: MIT */
/* vocabulary.h: a model's vocabulary as GGUF wants it, read from whatever tokenizer files there are. */
#ifndef QUERN_TEXT_VOCABULARY_H
#define QUERN_TEXT_VOCABULARY_H

#include "base/json.h"
#include "container/metadata.h"
#include "quern/job.h"

/** Token types; the numbers are GGUF's. */
typedef enum qn_token_type {
    QN_TOKEN_UNDEFINED = 0,
    QN_TOKEN_NORMAL = 1,
    QN_TOKEN_UNKNOWN = 2,
    QN_TOKEN_CONTROL = 3,
    QN_TOKEN_USER_DEFINED = 4,
    QN_TOKEN_UNUSED = 5,
    QN_TOKEN_BYTE = 6
} qn_token_type;

/** Ids of tokens with a role; QN_NO_TOKEN where there is none. */
enum { QN_NO_TOKEN = -1 };

/** A chat template with a name ("tool_use"). */
typedef struct qn_named_template {
    qn_text name;
    qn_text text;
} qn_named_template;

/** A vocabulary. Everything lives in the arena it was opened into. */
typedef struct qn_vocab {
    const char *model; /**< "llama" (SentencePiece), "gpt2" (byte-level BPE), … */
    const char *pre;   /**< pre-tokenizer name: "default" for SentencePiece, "llama-bpe", "qwen2", … */
    uint64_t n_tokens;
    const qn_text *tokens; /**< [n_tokens] */
    const float *scores;   /**< [n_tokens], or NULL where the model has none */
    const int32_t *types;  /**< [n_tokens] qn_token_type */
    uint64_t n_merges;
    const qn_text *merges; /**< [n_merges] "left right" in rank order; NULL for SentencePiece */
    int64_t bos, eos, eot, eom, unk, sep, pad, mask;
    int64_t fim_pre, fim_suf, fim_mid, fim_pad, fim_rep, fim_sep;
    const int32_t *eos_ids; /**< every end-of-turn id found, ascending, eos and eot among them */
    uint64_t n_eos_ids;
    int add_bos, add_eos, add_sep, add_space_prefix; /**< 0, 1, or -1: nothing said, leave the key out */
    qn_text chat_template;                           /**< bytes NULL when there is none */
    const qn_named_template *templates;              /**< further ones by name */
    uint64_t n_templates;
    const char *source; /**< the file the tokens came from */
} qn_vocab;

/** What a family says of its vocabularies. */
typedef struct qn_vocab_traits {
    bool prefers_spm;         /**< tokenizer.model is taken before tokenizer.json (Llama, Gemma, Phi-3, Qwen2, …) */
    int add_space_prefix;     /**< 0 or 1 to force (Gemma: 0); -1 to leave to the files */
    bool json_added_override; /**< Phi-3: added_tokens of tokenizer.json re-type SentencePiece tokens */
    bool gemma1_fim;          /**< Gemma 1: fill-in-the-middle ids 67, 69, 68, file separator 70, eot 107 */
} qn_vocab_traits;

/** Where to look, and what the rest of the model says. All borrowed. */
typedef struct qn_vocab_request {
    const char *const *dirs; /**< folders in order of preference: adapter or checkpoint, run, base */
    uint64_t n_dirs;
    const json_t *config; /**< config.json; special ids and vocab_size are read from it */
    uint64_t n_vocab;     /**< rows of the embedding: the vocabulary is padded up to it; 0: as many as there are */
    const char *pre;      /**< --pre: overrides recognition; NULL for none */
    const qn_vocab_traits *traits;
    qn_job *job; /**< for warnings; may be NULL */
} qn_vocab_request;

/**
 * Reads the vocabulary. Each file (tokenizer.model, tokenizer.json, tokenizer_config.json, …) is taken from the
 * first folder that has it; the token list itself, its merges and added tokens come from one folder.
 * @param arena what the vocabulary lives in
 * @return QN_OK; QN_E_NOT_FOUND naming every file and folder looked at; QN_E_UNSUPPORTED for a pre-tokenizer that
 *         is not recognised (the message quotes it and names --pre); QN_E_FORMAT; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_vocab_open(const qn_vocab_request *request, qn_arena *arena, qn_vocab *out, qn_error *err);

/**
 * Reads the tokenizer.bin of a llama2.c model: SentencePiece's tokens with their scores. The file does not say how many
 * there are; another number than the model's is refused.
 * @param n_tokens rows of the embedding
 * @return QN_OK; QN_E_NOT_FOUND; QN_E_IO; QN_E_FORMAT; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_vocab_open_llama2c(const char *path, uint64_t n_tokens, qn_job *job, qn_arena *arena,
                                             qn_vocab *out, qn_error *err);

/** Writes the vocabulary's GGUF keys (tokenizer.*) to meta, which borrows the vocabulary's arrays. */
void qn_vocab_to_meta(const qn_vocab *vocab, qn_meta *meta);

/** Whether llama.cpp knows a pre-tokenizer name (for checking --pre). */
bool qn_pretokenizer_is_known(const char *name);

/**
 * Recognises the pre-tokenizer of a tokenizer.json from its definition.
 * @param tokenizer the whole parsed file
 * @param name      out: static storage
 * @return QN_OK; QN_E_UNSUPPORTED, quoting what was seen
 */
QN_NODISCARD qn_status qn_pretokenizer_recognise(const json_t *tokenizer, const char *where, const char **name,
                                                 qn_error *err);

#endif
