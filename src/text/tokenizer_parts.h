/* SPDX-License-Identifier: MIT */
/* tokenizer_parts.h: what the files of the run-time tokenizers share; nobody else includes it. */
#ifndef QUERN_TEXT_TOKENIZER_PARTS_H
#define QUERN_TEXT_TOKENIZER_PARTS_H

#include "text/pretokenize.h"
#include "text/tokenizer.h"
#include "text/vocab_parts.h"

/** U+2581, which stands for a space in SentencePiece's texts. */
#define QN_SPACE_MARK "\xE2\x96\x81"
enum { QN_SPACE_MARK_LEN = 3 };

/** No token, no symbol, no node. */
enum { QN_NONE = -1 };

/** What a token is; several may hold. */
enum {
    QN_ATTR_UNKNOWN = 1,
    QN_ATTR_UNUSED = 2,
    QN_ATTR_NORMAL = 4,
    QN_ATTR_CONTROL = 8,
    QN_ATTR_USER = 16,
    QN_ATTR_BYTE = 32,
    QN_ATTR_STRIPS_LEFT = 64,   /**< white space before it is dropped */
    QN_ATTR_STRIPS_RIGHT = 128, /**< white space behind it is dropped */
    QN_ATTR_HIDDEN = QN_ATTR_UNKNOWN | QN_ATTR_CONTROL,
    QN_ATTR_SPECIAL = QN_ATTR_HIDDEN | QN_ATTR_USER
};

/* ---- byte_trie.c ---- */

/** A trie over bytes. Node 0 is the root. Built by one thread, then read by any. */
typedef struct qn_byte_trie {
    uint32_t n_nodes;
    uint32_t cap_nodes;
    int32_t *values;  /**< [n_nodes] or QN_NONE */
    uint32_t *links;  /**< [n_nodes] parent << 8 | byte */
    uint64_t *keys;   /**< [n_slots] node << 8 | byte, plus 1; 0 for free */
    uint32_t *nodes;  /**< [n_slots] the child */
    uint64_t n_slots; /**< a power of two */
    uint32_t n_used;
    uint32_t first[256]; /**< children of the root; 0 for none */
} qn_byte_trie;

/** Puts a text of at least one byte; of equal texts the first stays. @return QN_E_NOMEM; QN_E_RANGE past 2^23 nodes */
QN_NODISCARD qn_status qn_byte_trie_put(qn_byte_trie *trie, qn_text text, int32_t value, qn_error *err);
/** The child of a node, or QN_NONE. Accepts a zeroed trie. */
int64_t qn_byte_trie_child(const qn_byte_trie *trie, uint32_t node, unsigned char byte);
/**
 * The longest text of the trie that bytes begin with.
 * @param len out: its length; 0 when there is none
 * @return its value, or QN_NONE
 */
int32_t qn_byte_trie_longest(const qn_byte_trie *trie, const char *bytes, size_t n, size_t *len);
/** Frees; accepts a zeroed trie. */
void qn_byte_trie_clear(qn_byte_trie *trie);

/* ---- special_finder.c ---- */

/** Finds special tokens in text (Aho and Corasick's automaton). */
typedef struct qn_special_finder {
    qn_byte_trie trie;
    uint32_t *fails; /**< [n_nodes] the longest proper suffix that is a node */
    uint32_t *outs;  /**< [n_nodes] the longest proper suffix that is a token; 0 for none */
} qn_special_finder;

/** A stretch of text, or a token that was found in it. */
typedef struct qn_fragment {
    int32_t token; /**< QN_NONE for text */
    size_t at;
    size_t len;
} qn_fragment;

/** Fragments that grow; zero-initialised it is empty. */
typedef struct qn_fragments {
    qn_fragment *items;
    size_t n;
    size_t cap;
} qn_fragments;

/** Builds the automaton of a tokenizer's special tokens. */
QN_NODISCARD qn_status qn_special_finder_open(const qn_tokenizer *t, qn_special_finder *out, qn_error *err);
/** Frees; accepts a zeroed one. */
void qn_special_finder_clear(qn_special_finder *finder);
/** Cuts text at special tokens: longer tokens first, then from left to right. Empty stretches are left out. */
QN_NODISCARD qn_status qn_find_specials(const qn_tokenizer *t, qn_text text, bool parse_special, qn_fragments *out,
                                        qn_error *err);

/* ---- symbol_merging.c ---- */

/** A run of bytes that may merge with its neighbours. */
typedef struct qn_symbol {
    uint32_t at;  /**< in the bytes being merged */
    uint32_t len; /**< 0: merged away */
    int32_t prev; /**< QN_NONE at the ends */
    int32_t next;
    int32_t id;
} qn_symbol;

/** A merge that could be made: first (rank, left) wins. */
typedef struct qn_candidate {
    uint64_t key; /**< rank << 32 | left */
    int32_t right;
    uint32_t len; /**< of both, to see whether they are still what they were */
    int32_t id;   /**< of the whole */
} qn_candidate;

/** Room for merging, used again and again; zero-initialised it is empty. */
typedef struct qn_merging {
    qn_symbol *symbols;
    size_t n;
    size_t cap;
    qn_candidate *heap;
    size_t n_heap;
    size_t cap_heap;
} qn_merging;

/** Whether two neighbours merge. @param rank out: lower ones merge first @param id out: the symbol that they become */
typedef bool qn_pair_fn(const void *user, const qn_symbol *left, const qn_symbol *right, uint32_t *rank, int32_t *id);

/** Appends a symbol behind the last one. */
QN_NODISCARD qn_status qn_merging_add(qn_merging *m, uint32_t at, uint32_t len, int32_t id, qn_error *err);
/** Merges until no pair is left: O(n log n). What stays is linked from symbol 0 by next. */
QN_NODISCARD qn_status qn_merging_run(qn_merging *m, qn_pair_fn *pair, const void *user, qn_error *err);
/** Frees; accepts a zeroed one. */
void qn_merging_clear(qn_merging *m);

/* ---- the kinds of tokenizers ---- */

/** A short piece and its ids: most of a text's words have been seen before. */
typedef struct qn_cached_piece {
    uint8_t len; /**< 0 for a free slot */
    uint8_t n_ids;
    char bytes[22];
    int32_t ids[6];
} qn_cached_piece;

/** What one call of qn_tokenize() works with. */
typedef struct qn_encoding {
    const qn_tokenizer *t;
    qn_ids *ids;
    qn_merging merging;
    qn_split_state split;
    qn_buffer text;         /**< prepared text of a fragment */
    qn_buffer word;         /**< a piece in the byte alphabet */
    qn_cached_piece *cache; /**< NULL for a short text */
    bool after_special;
} qn_encoding;

/** Encodes one stretch of text. */
typedef qn_status qn_encode_fn(qn_encoding *e, qn_text text, qn_error *err);

/** Encodes a piece that nothing around it changes: from the cache, or by fn. */
QN_NODISCARD qn_status qn_encode_piece(qn_encoding *e, qn_text piece, qn_encode_fn *fn, qn_error *err);

typedef enum qn_kind { QN_KIND_SPM, QN_KIND_BPE, QN_KIND_WORDPIECE, QN_KIND_UNIGRAM, QN_KIND_RWKV } qn_kind;

/** A merge of byte-level BPE, by the ids of its parts. */
typedef struct qn_pair {
    uint64_t key; /**< left << 32 | right, plus 1; 0 for a free slot */
    uint32_t rank;
    int32_t id; /**< of the whole */
} qn_pair;

typedef struct qn_pair_table {
    qn_pair *slots;   /**< [n_slots] open addressing */
    uint64_t n_slots; /**< a power of two */
} qn_pair_table;

/** SentencePiece's rules for replacing text. */
typedef struct qn_charsmap {
    const unsigned char *units; /**< [n_units] little-endian uint32 */
    uint64_t n_units;
    const char *strings; /**< replacements, each ended by a NUL */
    size_t strings_len;
} qn_charsmap;

struct qn_tokenizer {
    qn_arena *arena;
    qn_kind kind;
    size_t n_tokens;
    const qn_text *texts;
    const float *scores; /**< NULL where the kind has none */
    uint8_t *attrs;      /**< [n_tokens] QN_ATTR_… */
    bool *ends;          /**< [n_tokens] ends a generation */
    size_t max_len;      /**< of the texts */
    qn_text_index index;
    int32_t roles[QN_N_TOKEN_ROLES]; /**< QN_NONE where there is none */
    bool adds_bos, adds_eos, adds_space, escapes_spaces, cleans_spaces, merges_spaces;
    bool lowers, strips_accents;
    bool drops_spaces; /**< white space parts the text and is lost */
    qn_special_finder specials;
    int32_t bytes[256]; /**< SPM and raw BPE: tokens of bytes; byte-level BPE: symbols of bytes */
    /* SPM */
    bool has_inner_mark; /**< a token holds U+2581 behind another character */
    /* BPE */
    const qn_split_rule *rule;
    qn_splitter *splitter;
    qn_pair_table pairs;
    const qn_text *symbols; /**< texts of symbols: the tokens', then those that only merges name */
    size_t n_symbols;
    qn_text_index symbol_index;
    /* WordPiece, Unigram, RWKV */
    qn_byte_trie trie;
    qn_byte_trie user_trie;
    qn_charsmap charsmap;
    double unknown_score;
};

QN_NODISCARD qn_status qn_bpe_open(qn_tokenizer *t, const qn_meta *meta, qn_error *err);     /**< Needs texts. */
QN_NODISCARD qn_status qn_spm_open(qn_tokenizer *t, qn_error *err);                          /**< Needs texts. */
QN_NODISCARD qn_status qn_wordpiece_open(qn_tokenizer *t, qn_error *err);                    /**< Needs texts. */
QN_NODISCARD qn_status qn_unigram_open(qn_tokenizer *t, const qn_meta *meta, qn_error *err); /**< Needs texts. */
QN_NODISCARD qn_status qn_rwkv_open(qn_tokenizer *t, qn_error *err);                         /**< Needs texts. */
QN_NODISCARD qn_status qn_bpe_encode(qn_encoding *e, qn_text text, qn_error *err);           /**< qn_encode_fn */
QN_NODISCARD qn_status qn_spm_encode(qn_encoding *e, qn_text text, qn_error *err);           /**< qn_encode_fn */
QN_NODISCARD qn_status qn_wordpiece_encode(qn_encoding *e, qn_text text, qn_error *err);     /**< qn_encode_fn */
QN_NODISCARD qn_status qn_unigram_encode(qn_encoding *e, qn_text text, qn_error *err);       /**< qn_encode_fn */
QN_NODISCARD qn_status qn_rwkv_encode(qn_encoding *e, qn_text text, qn_error *err);          /**< qn_encode_fn */

/** Appends the bytes that an RWKV text stands for. */
void qn_rwkv_unescape(qn_text text, qn_buffer *out);
/** Appends the bytes that a text in GPT-2's byte alphabet stands for; marks become spaces where they stand for them. */
void qn_bpe_print(const qn_tokenizer *t, qn_text text, qn_buffer *out);
/** Appends text with each space as U+2581. */
void qn_escape_spaces(qn_text text, qn_buffer *out);
/** Appends text with each U+2581 as a space. */
void qn_unescape_spaces(qn_text text, qn_buffer *out);
/** The value of a byte token's text, "<0x0A>" or the byte itself; QN_NONE when it is neither. */
int32_t qn_byte_of_text(qn_text text);
/** Fills t->bytes with the tokens of bytes: "<0x0A>" first, else the byte itself. */
void qn_find_byte_tokens(qn_tokenizer *t);

/* ---- token_roles.c ---- */

/** Reads special ids and flags, finds the rest by text, and marks what ends a generation. Changes attrs. */
QN_NODISCARD qn_status qn_read_roles(qn_tokenizer *t, const qn_meta *meta, qn_error *err);
/** The bool at key; otherwise when it is absent or none. */
bool qn_meta_flag(const qn_meta *meta, const char *key, bool otherwise);

#endif
