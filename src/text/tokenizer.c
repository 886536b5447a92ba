/* SPDX-License-Identifier: MIT */
/* tokenizer.c: opens a vocabulary by its metadata, and encodes: special tokens first, then what is between them.
 *
 * tokenizer.ggml.model names the kind; bytes from a file are checked here, so that encoding cannot fail but for memory.
 */
#include "text/tokenizer.h"

#include "base/hash.h"
#include "text/tokenizer_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Offsets within a text are 32 bits wide, and a space may take three bytes. */
static const size_t MAX_TEXT = (size_t)1 << 30;

/* ---- ids ---- */

void qn_ids_push(qn_ids *ids, int32_t id) {
    if (ids->n == ids->cap && !ids->has_failed) {
        const size_t cap = ids->cap < 64 ? 64 : ids->cap * 2;
        int32_t *items = qn_resize_array(ids->items, cap, sizeof *items);
        if (items == NULL) {
            ids->has_failed = true;
            return;
        }
        ids->items = items;
        ids->cap = cap;
    }
    if (!ids->has_failed) {
        ids->items[ids->n++] = id;
    }
}

void qn_ids_clear(qn_ids *ids) {
    free(ids->items);
    *ids = (qn_ids){0};
}

qn_status qn_ids_status(const qn_ids *ids, qn_error *err) {
    return ids->has_failed ? qn_fail_nomem(err, "token ids", ids->n * sizeof *ids->items) : QN_OK;
}

/* ---- the kinds ---- */

/* Defaults where a file does not say; roles are BOS, EOS, UNK, SEP, PAD, MASK. */
static const struct kind_row {
    const char *model;
    qn_kind kind;
    int16_t roles[6];
    bool adds_bos, adds_eos, adds_space, escapes_spaces, cleans_spaces;
    qn_encode_fn *encode;
} kinds[] = {
    {"llama", QN_KIND_SPM, {1, 2, 0, -1, -1, -1}, true, false, true, true, false, qn_spm_encode},
    {"gpt2", QN_KIND_BPE, {11, 11, -1, -1, -1, -1}, false, false, false, false, true, qn_bpe_encode},
    {"gemma4", QN_KIND_BPE, {-1, -1, -1, -1, -1, -1}, true, false, false, true, true, qn_bpe_encode},
    {"whitespace", QN_KIND_BPE, {11, 11, -1, -1, -1, -1}, false, false, false, false, true, qn_bpe_encode},
    {"bert", QN_KIND_WORDPIECE, {101, -1, 100, 102, 0, 103}, true, false, false, false, true, qn_wordpiece_encode},
    {"t5", QN_KIND_UNIGRAM, {-1, 1, 2, -1, 0, -1}, false, true, false, true, false, qn_unigram_encode},
    {"rwkv", QN_KIND_RWKV, {-1, -1, -1, -1, -1, -1}, false, false, false, false, false, qn_rwkv_encode},
};

static qn_encode_fn *encoder_of(qn_kind kind) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (kinds[i].kind == kind) {
            return kinds[i].encode;
        }
    }
    return NULL;
}

static const struct kind_row *find_kind(const char *model) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].model, model) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

static void take_defaults(qn_tokenizer *t, const struct kind_row *row) {
    static const qn_token_role order[] = {QN_TOKEN_ROLE_BOS, QN_TOKEN_ROLE_EOS, QN_TOKEN_ROLE_UNK,
                                          QN_TOKEN_ROLE_SEP, QN_TOKEN_ROLE_PAD, QN_TOKEN_ROLE_MASK};
    for (size_t i = 0; i < QN_N_TOKEN_ROLES; i++) {
        t->roles[i] = QN_NONE;
    }
    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        t->roles[order[i]] = row->roles[i];
    }
    t->kind = row->kind;
    t->adds_bos = row->adds_bos;
    t->adds_eos = row->adds_eos;
    t->adds_space = row->adds_space;
    t->escapes_spaces = row->escapes_spaces;
    t->cleans_spaces = row->cleans_spaces;
}

/* The splitting rule, and what goes by its name. */
static qn_status read_rule(qn_tokenizer *t, const qn_meta *meta, const char *model, qn_error *err) {
    const char *pre = qn_meta_string(meta, "tokenizer.ggml.pre");
    const bool is_gemma = strcmp(model, "gemma4") == 0;
    if (is_gemma || pre == NULL) {
        pre = is_gemma ? model : "default";
    }
    t->rule = qn_split_rule_find(pre);
    if (t->rule == NULL) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "tokenizer.ggml.pre is '%.60s', a way to split text that quern does not know", pre);
    }
    t->adds_bos = t->adds_bos || t->rule->adds_bos;
    t->cleans_spaces = t->cleans_spaces && !t->rule->keeps_spaces;
    t->escapes_spaces = t->escapes_spaces || t->rule->escapes_spaces;
    t->drops_spaces = strcmp(model, "whitespace") == 0;
    t->lowers = t->drops_spaces && qn_meta_flag(meta, "tokenizer.ggml.normalizer.lowercase", !t->rule->is_raw);
    return QN_OK;
}

/* ---- arrays ---- */

static qn_status find_array(const qn_meta *meta, const char *key, qn_meta_type type, uint64_t n,
                            const qn_meta_value **out, qn_error *err) {
    const qn_meta_value *value = qn_meta_find(meta, key);
    *out = value;
    if (value == NULL) {
        return QN_OK;
    }
    if (value->type != QN_META_ARRAY || value->as.array.type != type) {
        return qn_fail(err, QN_E_FORMAT, "%s is not a list of %s", key, qn_meta_type_name(type));
    }
    if (n != 0 && value->as.array.n != n) {
        return qn_fail(err, QN_E_FORMAT, "%s has %llu entries for a vocabulary of %llu tokens", key,
                       (unsigned long long)value->as.array.n, (unsigned long long)n);
    }
    return QN_OK;
}

static qn_status copy_text(qn_tokenizer *t, qn_text *text, size_t id, qn_error *err) {
    const qn_text from = *text;
    char *copy = from.len > 0 ? qn_arena_copy(t->arena, from.bytes, from.len)
                              : qn_arena_printf(t->arena, "[EMPTY_%zu]", id);
    if (copy == NULL) {
        return qn_fail_nomem(err, "vocabulary", from.len);
    }
    *text = (qn_text){copy, from.len > 0 ? from.len : strlen(copy)};
    t->max_len = text->len > t->max_len ? text->len : t->max_len;
    return QN_OK;
}

static qn_status read_texts(qn_tokenizer *t, const qn_meta *meta, qn_error *err) {
    const qn_meta_value *value = NULL;
    QN_TRY(find_array(meta, "tokenizer.ggml.tokens", QN_META_STRING, 0, &value, err));
    if (value == NULL || value->as.array.n == 0) {
        return qn_fail(err, QN_E_NOT_FOUND, "the model holds no vocabulary (tokenizer.ggml.tokens)");
    }
    if (value->as.array.n > QN_MAX_TOKENS) {
        return qn_fail(err, QN_E_RANGE, "tokenizer.ggml.tokens has %llu entries; at most %d are expected",
                       (unsigned long long)value->as.array.n, (int)QN_MAX_TOKENS);
    }
    t->n_tokens = (size_t)value->as.array.n;
    qn_text *texts = qn_arena_array(t->arena, t->n_tokens, sizeof *texts);
    if (texts == NULL) {
        return qn_fail_nomem(err, "vocabulary", t->n_tokens * sizeof *texts);
    }
    memcpy(texts, value->as.array.items, t->n_tokens * sizeof *texts);
    for (size_t i = 0; i < t->n_tokens; i++) {
        QN_TRY(copy_text(t, &texts[i], i, err));
    }
    t->texts = texts;
    return qn_text_index_open(&t->index, t->texts, t->n_tokens, err);
}

static unsigned attr_of_type(int32_t type) {
    switch (type) {
    case QN_TOKEN_NORMAL: return QN_ATTR_NORMAL;
    case QN_TOKEN_UNKNOWN: return QN_ATTR_UNKNOWN;
    case QN_TOKEN_CONTROL: return QN_ATTR_CONTROL;
    case QN_TOKEN_USER_DEFINED: return QN_ATTR_USER;
    case QN_TOKEN_UNUSED: return QN_ATTR_UNUSED;
    case QN_TOKEN_BYTE: return QN_ATTR_BYTE;
    default: return 0;
    }
}

/* Without types every token is normal, as in llama.cpp. */
static qn_status read_types(qn_tokenizer *t, const qn_meta *meta, qn_error *err) {
    const qn_meta_value *value = NULL;
    QN_TRY(find_array(meta, "tokenizer.ggml.token_type", QN_META_I32, t->n_tokens, &value, err));
    const int32_t *types = value == NULL ? NULL : value->as.array.items;
    t->attrs = qn_arena_array(t->arena, t->n_tokens, sizeof *t->attrs);
    if (t->attrs == NULL) {
        return qn_fail_nomem(err, "vocabulary", t->n_tokens);
    }
    for (size_t i = 0; i < t->n_tokens; i++) {
        t->attrs[i] = (uint8_t)(types == NULL ? QN_ATTR_NORMAL : attr_of_type(types[i]));
    }
    return QN_OK;
}

static qn_status check_scores(const qn_tokenizer *t, qn_error *err) {
    for (size_t i = 0; i < t->n_tokens; i++) {
        if (!isfinite(t->scores[i])) {
            return qn_fail(err, QN_E_FORMAT, "tokenizer.ggml.scores: the score of token %zu is not a finite number", i);
        }
    }
    return QN_OK;
}

/* Scores are float32; int32 is accepted too, as in llama.cpp. */
static qn_status read_scores(qn_tokenizer *t, const qn_meta *meta, qn_error *err) {
    static const char key[] = "tokenizer.ggml.scores";
    const qn_meta_value *value = qn_meta_find(meta, key);
    const bool is_whole = value != NULL && value->type == QN_META_ARRAY && value->as.array.type == QN_META_I32;
    if (t->kind != QN_KIND_SPM && t->kind != QN_KIND_UNIGRAM) {
        return QN_OK;
    }
    QN_TRY(find_array(meta, key, is_whole ? QN_META_I32 : QN_META_F32, t->n_tokens, &value, err));
    if (value == NULL) {
        return qn_fail(err, QN_E_FORMAT, "%s is missing: a SentencePiece vocabulary cannot merge without scores", key);
    }
    float *scores = qn_arena_array(t->arena, t->n_tokens, sizeof *scores);
    if (scores == NULL) {
        return qn_fail_nomem(err, "vocabulary", t->n_tokens * sizeof *scores);
    }
    for (size_t i = 0; i < t->n_tokens; i++) {
        scores[i] = is_whole ? (float)((const int32_t *)value->as.array.items)[i]
                             : ((const float *)value->as.array.items)[i];
    }
    t->scores = scores;
    return check_scores(t, err);
}

/* ---- opening ---- */

static qn_status open_kind(qn_tokenizer *t, const qn_meta *meta, qn_error *err) {
    switch (t->kind) {
    case QN_KIND_SPM: return qn_spm_open(t, err);
    case QN_KIND_BPE: return qn_bpe_open(t, meta, err);
    case QN_KIND_WORDPIECE:
        t->lowers = qn_meta_flag(meta, "tokenizer.ggml.normalizer.lowercase", true);
        t->strips_accents = qn_meta_flag(meta, "tokenizer.ggml.normalizer.strip_accents", t->lowers);
        return qn_wordpiece_open(t, err);
    case QN_KIND_UNIGRAM: return qn_unigram_open(t, meta, err);
    case QN_KIND_RWKV: return qn_rwkv_open(t, err);
    }
    return qn_fail(err, QN_E_INTERNAL, "unknown kind of vocabulary");
}

static qn_status open_all(qn_tokenizer *t, const qn_meta *meta, qn_error *err) {
    const char *model = qn_meta_string(meta, "tokenizer.ggml.model");
    if (model == NULL || strcmp(model, "none") == 0 || strcmp(model, "no_vocab") == 0) {
        return qn_fail(err, QN_E_NOT_FOUND, "the model holds no vocabulary (tokenizer.ggml.model)");
    }
    const struct kind_row *row = find_kind(model);
    if (row == NULL) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "tokenizer.ggml.model is '%.60s'; llama, gpt2, gemma4, whitespace, bert, t5 and rwkv are known",
                       model);
    }
    take_defaults(t, row);
    if (t->kind == QN_KIND_BPE) {
        QN_TRY(read_rule(t, meta, model, err));
    }
    QN_TRY(read_texts(t, meta, err));
    QN_TRY(read_types(t, meta, err));
    QN_TRY(read_scores(t, meta, err));
    QN_TRY(qn_read_roles(t, meta, err));
    QN_TRY(open_kind(t, meta, err));
    return qn_special_finder_open(t, &t->specials, err);
}

qn_status qn_tokenizer_new(const qn_meta *meta, qn_tokenizer **out, qn_error *err) {
    qn_tokenizer *t = qn_new_array(1, sizeof *t);
    *out = NULL;
    if (t == NULL) {
        return qn_fail_nomem(err, "tokenizer", sizeof *t);
    }
    t->arena = qn_arena_new();
    const qn_status status = t->arena == NULL ? qn_fail_nomem(err, "tokenizer", 0) : open_all(t, meta, err);
    if (status != QN_OK) {
        qn_tokenizer_free(t);
        return status;
    }
    *out = t;
    return QN_OK;
}

void qn_tokenizer_free(qn_tokenizer *t) {
    if (t == NULL) {
        return;
    }
    qn_special_finder_clear(&t->specials);
    qn_text_index_clear(&t->index);
    qn_text_index_clear(&t->symbol_index);
    qn_splitter_free(t->splitter);
    free(t->pairs.slots);
    qn_byte_trie_clear(&t->trie);
    qn_byte_trie_clear(&t->user_trie);
    qn_arena_free(t->arena);
    free(t);
}

/* ---- pieces seen before ---- */

enum { CACHE_SLOTS = 1 << 12 };
static const size_t CACHED_TEXT = 4096; /* below it, clearing the cache would take longer than it saves */

static bool is_cached(const qn_cached_piece *slot, qn_text piece) {
    return slot->len == piece.len && memcmp(slot->bytes, piece.bytes, piece.len) == 0;
}

static void keep_piece(qn_cached_piece *slot, qn_text piece, const qn_ids *ids, size_t n_before) {
    const size_t n_ids = ids->n - n_before;
    if (ids->has_failed || n_ids > sizeof slot->ids / sizeof slot->ids[0]) {
        return;
    }
    slot->len = (uint8_t)piece.len;
    slot->n_ids = (uint8_t)n_ids;
    memcpy(slot->bytes, piece.bytes, piece.len);
    if (n_ids > 0) {
        memcpy(slot->ids, ids->items + n_before, n_ids * sizeof *slot->ids);
    }
}

qn_status qn_encode_piece(qn_encoding *e, qn_text piece, qn_encode_fn *fn, qn_error *err) {
    if (e->cache == NULL || piece.len == 0 || piece.len > sizeof e->cache->bytes) {
        return fn(e, piece, err);
    }
    qn_cached_piece *slot = &e->cache[qn_hash64(piece.bytes, piece.len, 0) % CACHE_SLOTS];
    if (is_cached(slot, piece)) {
        for (size_t i = 0; i < slot->n_ids; i++) {
            qn_ids_push(e->ids, slot->ids[i]);
        }
        return QN_OK;
    }
    const size_t n_before = e->ids->n;
    QN_TRY(fn(e, piece, err));
    keep_piece(slot, piece, e->ids, n_before);
    return QN_OK;
}

/* ---- encoding ---- */

static void put_role(qn_encoding *e, qn_token_role role) {
    if (e->t->roles[role] != QN_NONE) {
        qn_ids_push(e->ids, e->t->roles[role]);
    }
}

static void put_first(qn_encoding *e) {
    if (e->t->kind == QN_KIND_WORDPIECE || (e->t->adds_bos && e->t->kind != QN_KIND_RWKV)) {
        put_role(e, QN_TOKEN_ROLE_BOS);
    }
}

static void put_last(qn_encoding *e) {
    if (e->t->kind == QN_KIND_WORDPIECE) {
        put_role(e, QN_TOKEN_ROLE_SEP);
    } else if (e->t->adds_eos && e->t->kind != QN_KIND_RWKV) {
        put_role(e, QN_TOKEN_ROLE_EOS);
    }
}

static qn_status encode_fragments(qn_encoding *e, const char *text, const qn_fragments *fragments, qn_error *err) {
    qn_encode_fn *encode = encoder_of(e->t->kind);
    e->after_special = true;
    for (size_t i = 0; i < fragments->n; i++) {
        const qn_fragment *f = &fragments->items[i];
        if (f->token != QN_NONE) {
            qn_ids_push(e->ids, f->token);
        } else {
            QN_TRY(encode(e, (qn_text){text + f->at, f->len}, err));
        }
        e->after_special = f->token != QN_NONE;
    }
    return QN_OK;
}

qn_status qn_tokenize(const qn_tokenizer *t, const char *text, size_t n, bool add_special, bool parse_special,
                      qn_ids *out, qn_error *err) {
    qn_encoding e = {.t = t, .ids = out};
    qn_fragments fragments = {0};
    if (n >= MAX_TEXT) {
        return qn_fail(err, QN_E_RANGE, "the text has %zu bytes; encode it in parts of less than %zu", n, MAX_TEXT);
    }
    if (n >= CACHED_TEXT) {
        e.cache = qn_new_array(CACHE_SLOTS, sizeof *e.cache); /* done without when memory is short */
    }
    qn_status status = qn_find_specials(t, (qn_text){text, n}, parse_special, &fragments, err);
    if (status == QN_OK) {
        if (add_special) {
            put_first(&e);
        }
        status = encode_fragments(&e, text, &fragments, err);
        if (add_special) {
            put_last(&e);
        }
    }
    free(fragments.items);
    free(e.cache);
    qn_merging_clear(&e.merging);
    qn_split_state_clear(&e.split);
    if (status == QN_OK) {
        status = qn_buffer_status(&e.word, err);
    }
    qn_buffer_clear(&e.text);
    qn_buffer_clear(&e.word);
    return status == QN_OK ? qn_ids_status(out, err) : status;
}

/* ---- facts ---- */

bool qn_token_is_eog(const qn_tokenizer *t, int32_t id) {
    return id >= 0 && (size_t)id < t->n_tokens && t->ends[id];
}

int32_t qn_token_find(const qn_tokenizer *t, qn_text text) {
    return (int32_t)qn_text_index_find(&t->index, text);
}

const qn_text *qn_tokenizer_texts(const qn_tokenizer *t) {
    return t->texts;
}

bool qn_tokenizer_adds_bos(const qn_tokenizer *t) {
    return (t->kind == QN_KIND_WORDPIECE || t->adds_bos) && t->roles[QN_TOKEN_ROLE_BOS] != QN_NONE;
}

bool qn_tokenizer_adds_eos(const qn_tokenizer *t) {
    return t->adds_eos && t->roles[QN_TOKEN_ROLE_EOS] != QN_NONE;
}

size_t qn_tokenizer_n_tokens(const qn_tokenizer *t) {
    return t->n_tokens;
}

int32_t qn_tokenizer_role(const qn_tokenizer *t, qn_token_role role) {
    return (unsigned)role < QN_N_TOKEN_ROLES ? t->roles[role] : QN_NONE;
}

bool qn_tokenizer_is_end(const qn_tokenizer *t, int32_t id) {
    return qn_token_is_eog(t, id);
}

const char *qn_tokenizer_text(const qn_tokenizer *t, int32_t id, size_t *size_bytes) {
    if (id < 0 || (size_t)id >= t->n_tokens) {
        return NULL;
    }
    *size_bytes = t->texts[id].len;
    return t->texts[id].bytes;
}
