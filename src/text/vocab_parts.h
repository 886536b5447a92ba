/* SPDX-License-Identifier: MIT */
/* vocab_parts.h: what the files of src/text/ share while a vocabulary is put together; nobody else includes it. */
#ifndef QUERN_TEXT_VOCAB_PARTS_H
#define QUERN_TEXT_VOCAB_PARTS_H

#include "text/vocabulary.h"

/** Ids and counts above these are taken for damage: the largest real vocabulary has 901,629 tokens. */
enum { QN_MAX_TOKENS = 1 << 20, QN_MAX_MERGES = 1 << 23 };

/* ---- token_list.c ---- */

/** Tokens by id while they are collected; ids nobody put stay absent until qn_token_list_finish(). */
typedef struct qn_token_list {
    qn_arena *arena; /**< texts live here; borrowed */
    uint64_t n;      /**< one past the largest id put */
    uint64_t cap;
    qn_text *texts; /**< [cap]; bytes NULL where absent */
    float *scores;  /**< [cap] */
    int32_t *types; /**< [cap] */
} qn_token_list;

/** An empty list whose texts will live in arena. Free its tables with qn_token_list_clear(). */
qn_token_list qn_token_list_new(qn_arena *arena);
/** Frees the tables (not the texts). Accepts a zeroed list. */
void qn_token_list_clear(qn_token_list *list);
/** Sets the token of an id, over what was there; the text is copied. @return QN_E_RANGE from QN_MAX_TOKENS on */
QN_NODISCARD qn_status qn_token_list_put(qn_token_list *list, uint64_t id, qn_text text, qn_token_type type,
                                         float score, qn_error *err);
/** Whether an id has a token. */
bool qn_token_list_has(const qn_token_list *list, uint64_t id);
/**
 * Brings the list to n_tokens: absent ids become unused "[PAD<id>]" tokens of score -10000, and a text that an
 * earlier id has already is replaced in the same way, with a warning: readers demand unique texts.
 * @param n_tokens at least list->n
 */
QN_NODISCARD qn_status qn_token_list_finish(qn_token_list *list, uint64_t n_tokens, const char *where, qn_job *job,
                                            qn_error *err);

/** Finds ids by text. */
typedef struct qn_text_index {
    const qn_text *texts; /**< borrowed */
    uint32_t *slots;      /**< open addressing; id + 1, 0 for free */
    uint64_t n_slots;     /**< a power of two */
} qn_text_index;

/** Indexes texts[0..n); absent ones are left out, and of equal texts the first is found. n at most QN_MAX_TOKENS. */
QN_NODISCARD qn_status qn_text_index_open(qn_text_index *index, const qn_text *texts, uint64_t n, qn_error *err);
/** As qn_text_index_open(), with room for cap texts; texts[n..cap) are put by qn_text_index_add(). */
QN_NODISCARD qn_status qn_text_index_open_for(qn_text_index *index, const qn_text *texts, uint64_t n, uint64_t cap,
                                              qn_error *err);
/** Adds texts[id] unless an equal text is there. @return that one's id, or QN_NO_TOKEN when it was added */
int64_t qn_text_index_add(qn_text_index *index, uint64_t id);
/** The id of a text, or QN_NO_TOKEN. A zeroed index finds nothing. */
int64_t qn_text_index_find(const qn_text_index *index, qn_text text);
/** Frees; accepts a zeroed index. */
void qn_text_index_clear(qn_text_index *index);

/* ---- vocab_search.c ---- */

/** What kind of files a token list comes from. */
typedef enum qn_vocab_kind {
    QN_VOCAB_SPM,      /**< tokenizer.model, SentencePiece */
    QN_VOCAB_JSON,     /**< tokenizer.json */
    QN_VOCAB_LISTS,    /**< vocab.json and merges.txt */
    QN_VOCAB_TIKTOKEN, /**< base64 and rank, a line a token */
    QN_VOCAB_TEKKEN    /**< tekken.json */
} qn_vocab_kind;

/** The files a vocabulary is read from. Paths live in the arena; documents are freed by qn_vocab_sources_clear(). */
typedef struct qn_vocab_sources {
    qn_vocab_kind kind;
    const char *path;        /**< what the token list is read from */
    const char *merges_path; /**< QN_VOCAB_LISTS only */
    const char *tokenizer_path;
    json_t *tokenizer; /**< tokenizer.json of the token list's folder, or NULL */
    const char *config_path;
    json_t *config;         /**< tokenizer_config.json, or NULL */
    bool config_has_tokens; /**< its added_tokens_decoder speaks of this token list */
    const char *added_path;
    json_t *added;       /**< added_tokens.json, or NULL */
    json_t *special_map; /**< special_tokens_map.json, or NULL */
    json_t *generation;  /**< generation_config.json, or NULL */
} qn_vocab_sources;

/** Looks through the request's folders and parses the JSON files found. @return as qn_vocab_open() */
QN_NODISCARD qn_status qn_vocab_search(const qn_vocab_request *request, qn_arena *arena, qn_vocab_sources *out,
                                       qn_error *err);
/** Frees the documents; accepts a zeroed one. */
void qn_vocab_sources_clear(qn_vocab_sources *files);
/** Reads a JSON object; a Git-LFS pointer is refused, saying what to do. */
QN_NODISCARD qn_status qn_vocab_load_object(const char *path, json_t **out, qn_error *err);
/** Reads a vocabulary's text file whole; refuses pointers as above. Free with free(). */
QN_NODISCARD qn_status qn_vocab_read_file(const char *path, char **text, size_t *len, qn_error *err);

/* ---- added_tokens.c ---- */

/** A token that was added to a vocabulary after it was trained. */
typedef struct qn_added_token {
    uint64_t id;
    const char *text; /**< borrowed from the document it was read from */
    size_t len;
    bool is_special;
} qn_added_token;

/** Called for each added token. */
typedef qn_status qn_added_token_fn(void *user, const qn_added_token *token, qn_error *err);

/** Walks `added_tokens` of a tokenizer.json. @return QN_E_FORMAT for an entry without content or with a wrong id */
QN_NODISCARD qn_status qn_each_tokenizer_added(const json_t *tokenizer, const char *where, qn_added_token_fn *fn,
                                               void *user, qn_error *err);
/** Walks `added_tokens_decoder` of a tokenizer_config.json. */
QN_NODISCARD qn_status qn_each_config_added(const json_t *config, const char *where, qn_added_token_fn *fn, void *user,
                                            qn_error *err);
/** Walks an added_tokens.json, { text: id }; none of its tokens is special by itself. */
QN_NODISCARD qn_status qn_each_listed_added(const json_t *added, const char *where, qn_added_token_fn *fn, void *user,
                                            qn_error *err);
/** Whether a text has the look of a control token ("<|…|>", "<pad>", "<unused9>"), whatever its flags say. */
bool qn_looks_special(const char *text, size_t len);
/** Puts an added token: control when special (or it looks so), else user-defined with every U+2581 as a space. */
QN_NODISCARD qn_status qn_put_added(qn_token_list *list, const qn_added_token *token, qn_error *err);
/**
 * Puts all added tokens of a byte-level vocabulary: tokenizer.json's, then added_tokens.json's, then
 * tokenizer_config.json's; later ones win. Then tokens named as bos_token, … become control tokens.
 */
QN_NODISCARD qn_status qn_put_all_added(const qn_vocab_sources *files, qn_token_list *list, qn_error *err);
/** The text of a special-token attribute ("bos_token"): a string, or an object's content. NULL when there is none. */
const char *qn_token_attribute(const json_t *object, const char *key);

/* ---- spm_vocabulary.c, bpe_vocabulary.c, tiktoken_vocabulary.c, tekken_vocabulary.c ---- */

/** Merges in the order of their rank. */
typedef struct qn_merges {
    qn_text *items; /**< [n] in an arena */
    uint64_t n;
} qn_merges;

/** What a SentencePiece model says beside its pieces. */
typedef struct qn_spm_facts {
    uint64_t n_pieces;
    bool adds_space; /**< puts a space before a text (add_dummy_prefix) */
} qn_spm_facts;

/**
 * Reads the pieces of a SentencePiece model; those from n_max on (0: no limit) are left out.
 * @return QN_E_FORMAT; QN_E_UNSUPPORTED for models that are not BPE
 */
QN_NODISCARD qn_status qn_spm_read(const char *where, const void *bytes, size_t len, uint64_t n_max,
                                   qn_token_list *list, qn_spm_facts *facts, qn_error *err);

/** Whether a tokenizer.json holds a BPE model with byte fallback and no byte-level step: SentencePiece in JSON. */
bool qn_is_spm_json(const json_t *tokenizer);
/** Reads `model.vocab` of a tokenizer.json as normal tokens. @return QN_E_FORMAT; QN_E_UNSUPPORTED when not BPE */
QN_NODISCARD qn_status qn_bpe_read_tokens(const json_t *tokenizer, const char *where, qn_token_list *list,
                                          qn_error *err);
/** Reads a { text: id } object, a vocab.json, as normal tokens. */
QN_NODISCARD qn_status qn_bpe_read_map(const json_t *map, const char *where, qn_token_list *list, qn_error *err);
/** Reads `model.merges` of a tokenizer.json, as "left right". */
QN_NODISCARD qn_status qn_bpe_read_merges(const json_t *tokenizer, const char *where, qn_arena *arena, qn_merges *out,
                                          qn_error *err);
/** Reads a merges.txt; blank lines, a first line of "#…" and lines that are not two words are passed over. */
QN_NODISCARD qn_status qn_bpe_read_merge_lines(const char *text, size_t len, qn_arena *arena, qn_merges *out,
                                               qn_error *err);
/** Where the right part of "left right" begins, or 0 when it has no two parts. */
size_t qn_merge_right_part(const char *text, size_t len);
/** Gives SentencePiece scores and types to tokens of a BPE model with byte fallback, from the order of its merges. */
QN_NODISCARD qn_status qn_bpe_score(const json_t *tokenizer, const qn_merges *merges, qn_token_list *list,
                                    qn_error *err);
/** 1 or 0: whether a tokenizer.json puts a space (U+2581) before a text; -1 when it does not say. */
int qn_json_space_prefix(const json_t *tokenizer);

/** Whether bytes are a tiktoken file: the first line is base64, a space and a number. */
bool qn_is_tiktoken(const char *text, size_t len);
/** Reads a tiktoken file: texts in the byte alphabet, and the merges recovered from the ranks. */
QN_NODISCARD qn_status qn_tiktoken_read(const char *where, const char *text, size_t len, qn_token_list *list,
                                        qn_merges *out, qn_error *err);
/** Adds the control tokens that the makers of a tiktoken vocabulary of this size keep in their program. */
QN_NODISCARD qn_status qn_tiktoken_put_specials(const char *path, qn_token_list *list, qn_error *err);
/** The pre-tokenizer of a tiktoken vocabulary whose base has n_base tokens, or NULL when unknown. */
const char *qn_tiktoken_pretokenizer(const char *path, uint64_t n_base, const json_t *config);
/** Reads a Mistral tekken.json: control tokens first, then ranks; merges recovered. */
QN_NODISCARD qn_status qn_tekken_read(const json_t *tekken, const char *where, qn_token_list *list, qn_merges *out,
                                      qn_error *err);

/* ---- llama2c_vocabulary.c ---- */

/**
 * Reads the n_tokens tokens of llama2.c's tokenizer.bin, which must hold no more and no less.
 * @return QN_E_FORMAT; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_llama2c_read_tokens(const char *where, const void *bytes, size_t len, uint64_t n_tokens,
                                              qn_token_list *list, qn_error *err);

/* ---- byte_merges.c ---- */

/** Bytes in GPT-2's byte alphabet (each byte one printable code point), in an arena. bytes NULL when short. */
qn_text qn_byte_alphabet(qn_arena *arena, const void *bytes, size_t len);
/**
 * Recovers merges from ranks, in the order of the tokens they form.
 * @param tokens   [n] raw bytes by rank; absent ones (bytes NULL) are passed over
 * @param all_cuts true: every cut of a token into two tokens is a merge, as tiktoken itself merges; of one token
 *                 by the rank of the left part. false: only the cut that merging with lower ranks ends in
 */
QN_NODISCARD qn_status qn_recover_merges(const qn_text *tokens, uint64_t n, bool all_cuts, qn_arena *arena,
                                         qn_merges *out, qn_error *err);
/** Decodes base64 into an arena. @return false for characters or a length that are not base64, or when short */
bool qn_base64_decode(qn_arena *arena, const char *text, size_t len, qn_text *out);

/* ---- pretokenizer.c ---- */

/** QN_OK for a name that llama.cpp knows; else QN_E_USAGE with the nearest ones. */
QN_NODISCARD qn_status qn_pretokenizer_check(const char *name, qn_error *err);
/** The pre-tokenizer of a vocab.json with merges.txt, by tokenizer_class, else by the model's type; NULL: unknown. */
const char *qn_pretokenizer_of_class(const json_t *tokenizer_config, const json_t *model_config);
/** Whether llama.cpp adds a BOS for a pre-tokenizer name when the file does not say. */
bool qn_pretokenizer_adds_bos(const char *name);
/** The steps of a name's splitting rule, as the recogniser writes them, up to a NULL; NULL without a known rule. */
const char *const *qn_pretokenizer_steps(const char *name);
/** Whether a name's models take a piece that is a token whole, without merging. */
bool qn_pretokenizer_ignores_merges(const char *name);
/** What a step that splits by an expression begins with. */
#define QN_SPLIT_STEP "Split "
/** QN_E_UNSUPPORTED: saw was not recognised; the message shows it, --pre and names that can be given. */
qn_status qn_fail_pretokenizer(const char *where, const char *saw, qn_error *err);

/* ---- special_tokens.c, chat_template.c ---- */

/** Fills the special ids, the end-of-turn list and the add_* flags of out, whose tokens and templates are there. */
QN_NODISCARD qn_status qn_read_special_ids(const qn_vocab_request *request, const qn_vocab_sources *files,
                                           qn_arena *arena, qn_vocab *out, qn_error *err);
/** Fills the chat templates of out from the first folder that has one. */
QN_NODISCARD qn_status qn_read_chat_templates(const qn_vocab_request *request, qn_arena *arena, qn_vocab *out,
                                              qn_error *err);

#endif
