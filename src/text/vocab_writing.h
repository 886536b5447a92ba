/* SPDX-License-Identifier: MIT */
/* vocab_writing.h: what the files of src/text/ share while tokenizer files are made; nobody else includes it. */
#ifndef QUERN_TEXT_VOCAB_WRITING_H
#define QUERN_TEXT_VOCAB_WRITING_H

#include "text/vocab_parts.h"

/* ---- vocab_meta.c ---- */

/**
 * The vocabulary that keys tokenizer.* describe: the inverse of qn_vocab_to_meta(). Texts are borrowed from meta.
 * Afterwards types are always there, ids are in range or QN_NO_TOKEN, add_bos and add_eos are 0 or 1 (a reader's
 * default where the metadata say nothing), eos_ids has eos first.
 * @return QN_OK; QN_E_NOT_FOUND; QN_E_UNSUPPORTED (another model than llama or gpt2); QN_E_FORMAT; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_vocab_from_meta(const qn_meta *meta, qn_arena *arena, qn_vocab *out, qn_error *err);

/** A vocabulary on its way into files. */
typedef struct qn_vocab_layout {
    const qn_vocab *vocab;
    bool is_spm;
    uint64_t n_kept;     /**< tokens without the padding at the end */
    uint64_t n_base;     /**< from here to n_kept: only added tokens and padding */
    bool has_holes;      /**< not every id below n_kept is in tokenizer.json: added tokens stand in model.vocab too */
    qn_text_index index; /**< of vocab->tokens */
} qn_vocab_layout;

/* ---- vocab_layout.c ---- */

/** Where a SentencePiece token is told of beside, or instead of, tokenizer.model. */
typedef enum qn_listing {
    QN_LISTED_NOWHERE, /**< its piece says all */
    QN_LISTED_CONFIG,  /**< added_tokens_decoder of tokenizer_config.json */
    QN_LISTED_ADDED    /**< added_tokens.json */
} qn_listing;

/** Lays a vocabulary out; texts must be UTF-8 and unique. Clear in any case. @return QN_E_FORMAT; QN_E_NOMEM */
QN_NODISCARD qn_status qn_vocab_layout_open(const qn_vocab *vocab, qn_vocab_layout *out, qn_error *err);
/** Frees the index; accepts a zeroed layout. */
void qn_vocab_layout_clear(qn_vocab_layout *layout);
/** Whether model.vocab of tokenizer.json has an id. */
bool qn_layout_has_entry(const qn_vocab_layout *layout, uint64_t id);
/** Whether added_tokens of tokenizer.json has an id. */
bool qn_layout_is_added(const qn_vocab_layout *layout, uint64_t id);
/** Where a token is listed; byte-level added tokens always in QN_LISTED_CONFIG. */
qn_listing qn_layout_listing(const qn_vocab_layout *layout, uint64_t id);

/* ---- score_merges.c, pretokenizer_json.c, spm_file.c, tokenizer_json.c, tokenizer_config.c ---- */

/** A merge of two tokens, by id. */
typedef struct qn_id_merge {
    int32_t left, right;
} qn_id_merge;

/**
 * Makes the merges of SentencePiece tokens from their scores: every cut of a normal token into two normal ones,
 * the best score first; among equals by id of the whole, then of the left part.
 * @param out new memory for free(), also when *n is 0
 */
QN_NODISCARD qn_status qn_merges_of_scores(const qn_vocab_layout *layout, qn_id_merge **out, uint64_t *n,
                                           qn_error *err);

/** What a tokenizer.json says of a pre-tokenizer's name. */
typedef struct qn_pretokenizer_parts {
    json_t *pre_tokenizer; /**< a new reference */
    bool ignores_merges;
    bool normalizes; /**< to NFC */
} qn_pretokenizer_parts;

/** Spells a pre-tokenizer out. @return QN_E_UNSUPPORTED for a name without a known definition; QN_E_NOMEM */
QN_NODISCARD qn_status qn_pretokenizer_spell(const char *name, qn_pretokenizer_parts *out, qn_error *err);

/** Packs tokenizer.model: the pieces below n_base. */
QN_NODISCARD qn_status qn_spm_write(const qn_vocab_layout *layout, qn_arena *arena, qn_text *out, qn_error *err);
/** Makes tokenizer.json. */
QN_NODISCARD qn_status qn_tokenizer_json(const qn_vocab_layout *layout, qn_arena *arena, qn_text *out, qn_error *err);
/** Makes tokenizer_config.json. n_context 0: not known */
QN_NODISCARD qn_status qn_tokenizer_config(const qn_vocab_layout *layout, uint64_t n_context, qn_arena *arena,
                                           qn_text *out, qn_error *err);
/** Makes special_tokens_map.json. */
QN_NODISCARD qn_status qn_special_tokens_map(const qn_vocab *vocab, qn_arena *arena, qn_text *out, qn_error *err);
/** Makes generation_config.json. */
QN_NODISCARD qn_status qn_generation_config(const qn_vocab *vocab, qn_arena *arena, qn_text *out, qn_error *err);
/** Makes added_tokens.json; *out has no bytes when no token is listed there. */
QN_NODISCARD qn_status qn_added_tokens_json(const qn_vocab_layout *layout, qn_arena *arena, qn_text *out,
                                            qn_error *err);
/** The object of an added token; with its id when has_id. NULL when memory is short. */
json_t *qn_added_token_json(const qn_vocab_layout *layout, uint64_t id, bool has_id);
/** Writes a document out and drops the reference; NULL is memory that was short. @param flags Jansson's */
QN_NODISCARD qn_status qn_json_write(json_t *document, size_t flags, qn_arena *arena, qn_text *out, qn_error *err);
/** A JSON string of a text; NULL when memory is short. */
json_t *qn_json_of_text(qn_text text);
/** Sets object[text] = id. @return false when memory is short */
bool qn_json_set_id(json_t *object, qn_text text, uint64_t id);

#endif
