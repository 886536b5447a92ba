/* SPDX-License-Identifier: MIT */
/* bpe_tokenizer.c: byte-level BPE: each piece is spelled in GPT-2's byte alphabet, then merges apply by their rank.
 *
 * Merging works on symbols, which are the vocabulary's tokens and what only merges name, so that a pair is looked up by
 * two numbers. Raw rules (Gemma 4) merge characters of UTF-8 instead of bytes.
 */
#include "text/characters.h"
#include "text/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- the byte alphabet ---- */

/* Bytes that stand for themselves; the rest take U+0100 and up in turn. */
static bool stands_for_itself(unsigned byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

static uint32_t code_of_byte(unsigned byte) {
    if (stands_for_itself(byte)) {
        return byte;
    }
    return byte <= 0x20 ? 0x100 + byte : byte <= 0xA0 ? 0x121 + byte - 0x7F : 0x143;
}

static int32_t byte_of_code(uint32_t code) {
    if (code < 0x100) {
        return stands_for_itself(code) ? (int32_t)code : QN_NONE;
    }
    return code <= 0x120 ? (int32_t)(code - 0x100)
        : code <= 0x142  ? (int32_t)(code - 0x121 + 0x7F)
        : code == 0x143  ? 0xAD
                         : QN_NONE;
}

void qn_bpe_print(const qn_tokenizer *t, qn_text text, qn_buffer *out) {
    if (t->rule->is_raw) {
        if (t->escapes_spaces) {
            qn_unescape_spaces(text, out);
        } else {
            qn_buffer_append(out, text.bytes, text.len);
        }
        return;
    }
    for (size_t i = 0; i < text.len;) {
        uint32_t code = 0;
        const size_t n = qn_utf8_decode(text.bytes + i, text.len - i, &code);
        const int32_t byte = byte_of_code(code);
        if (byte != QN_NONE) {
            qn_buffer_u8(out, (uint8_t)byte);
        } else { /* no byte has this letter: shown, as llama.cpp does */
            qn_buffer_text(out, "[UNK_BYTE_0x");
            for (size_t k = 0; k < n; k++) {
                qn_buffer_printf(out, "%02x", (unsigned)(unsigned char)text.bytes[i + k]);
            }
            qn_buffer_append(out, text.bytes, text.len);
            qn_buffer_text(out, "]");
        }
        i += n;
    }
}

/* ---- reading merges ---- */

static uint64_t pair_home(uint64_t key, uint64_t n_slots) {
    const uint64_t mixed = key * 0x9E3779B97F4A7C15U;
    return (mixed ^ mixed >> 32) & (n_slots - 1);
}

/* The slot of a pair, or the free one where it belongs. */
static qn_pair *find_pair(const qn_pair_table *table, uint64_t key) {
    uint64_t slot = pair_home(key, table->n_slots);
    while (table->slots[slot].key != 0 && table->slots[slot].key != key) {
        slot = (slot + 1) & (table->n_slots - 1);
    }
    return &table->slots[slot];
}

static uint64_t pair_key(int32_t left, int32_t right) {
    return ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
}

/* Symbols while merges are read: the tokens, then new ones. */
typedef struct symbol_list {
    qn_tokenizer *t;
    qn_text *texts;
    size_t n;
    size_t cap;
} symbol_list;

/* The first space behind the first byte parts the two; 0 when there is none, and the line is passed over. */
static size_t cut_of(qn_text merge) {
    const char *space = merge.len < 3 ? NULL : memchr(merge.bytes + 1, ' ', merge.len - 1);
    const size_t cut = space == NULL ? 0 : (size_t)(space - merge.bytes);
    return cut + 1 < merge.len ? cut : 0;
}

/* The symbol of a text; a new one is copied. QN_NONE when there is no room or memory. */
static int32_t intern(symbol_list *list, qn_text text) {
    const int64_t known = qn_text_index_find(&list->t->symbol_index, text);
    if (known != QN_NO_TOKEN) {
        return (int32_t)known;
    }
    char *copy = list->n == list->cap ? NULL : qn_arena_copy(list->t->arena, text.bytes, text.len);
    if (copy == NULL) {
        return QN_NONE;
    }
    list->texts[list->n] = (qn_text){copy, text.len};
    (void)qn_text_index_add(&list->t->symbol_index, list->n);
    return (int32_t)list->n++;
}

static qn_status put_merge(symbol_list *list, qn_text merge, uint32_t rank, qn_buffer *joined, qn_error *err) {
    qn_pair_table *pairs = &list->t->pairs;
    const size_t cut = cut_of(merge);
    if (cut == 0) {
        return QN_OK;
    }
    joined->len = 0;
    qn_buffer_append(joined, merge.bytes, cut);
    qn_buffer_append(joined, merge.bytes + cut + 1, merge.len - cut - 1);
    QN_TRY(qn_buffer_status(joined, err));
    const int32_t left = intern(list, (qn_text){merge.bytes, cut});
    const int32_t right = intern(list, (qn_text){merge.bytes + cut + 1, merge.len - cut - 1});
    const int32_t whole = intern(list, (qn_text){(const char *)joined->data, joined->len});
    if (left == QN_NONE || right == QN_NONE || whole == QN_NONE) {
        return qn_fail_nomem(err, "merges", merge.len);
    }
    qn_pair *pair = find_pair(pairs, pair_key(left, right));
    if (pair->key == 0) {
        *pair = (qn_pair){pair_key(left, right), rank, whole};
    }
    return QN_OK;
}

static qn_status find_merges(const qn_tokenizer *t, const qn_meta *meta, const qn_text **merges, uint64_t *n,
                             qn_error *err) {
    const qn_meta_value *value = qn_meta_find(meta, "tokenizer.ggml.merges");
    *merges = NULL;
    *n = 0;
    if (value == NULL && (strcmp(t->rule->name, "kimi-k2") == 0 || t->drops_spaces)) {
        return QN_OK;
    }
    if (value == NULL || value->type != QN_META_ARRAY || value->as.array.type != QN_META_STRING) {
        return qn_fail(err, QN_E_FORMAT, "tokenizer.ggml.merges is %s; a byte-level vocabulary needs a list of texts",
                       value == NULL ? "missing" : "no list of texts");
    }
    if (value->as.array.n > QN_MAX_MERGES) {
        return qn_fail(err, QN_E_RANGE, "tokenizer.ggml.merges has %llu entries; at most %d are expected",
                       (unsigned long long)value->as.array.n, (int)QN_MAX_MERGES);
    }
    *merges = value->as.array.items;
    *n = value->as.array.n;
    return QN_OK;
}

static qn_status open_tables(symbol_list *list, uint64_t n_merges, qn_error *err) {
    qn_tokenizer *t = list->t;
    list->cap = t->n_tokens + 3 * n_merges + 256;
    list->texts = qn_new_array(list->cap, sizeof *list->texts);
    t->pairs.n_slots = 16;
    while (t->pairs.n_slots < n_merges * 2) {
        t->pairs.n_slots *= 2;
    }
    t->pairs.slots = qn_new_array(t->pairs.n_slots, sizeof *t->pairs.slots);
    if (list->texts == NULL || t->pairs.slots == NULL) {
        return qn_fail_nomem(err, "merges", (size_t)list->cap * sizeof *list->texts);
    }
    memcpy(list->texts, t->texts, t->n_tokens * sizeof *list->texts);
    list->n = t->n_tokens;
    return qn_text_index_open_for(&t->symbol_index, list->texts, t->n_tokens, list->cap, err);
}

static qn_status read_merges(symbol_list *list, const qn_text *merges, uint64_t n, qn_error *err) {
    qn_buffer joined = {0};
    qn_status status = QN_OK;
    for (uint64_t i = 0; i < n && status == QN_OK; i++) {
        status = put_merge(list, merges[i], (uint32_t)i, &joined, err);
    }
    qn_buffer_clear(&joined);
    return status;
}

/* The symbol of each byte, as a letter of the alphabet. */
static qn_status read_bytes(symbol_list *list, qn_error *err) {
    for (unsigned byte = 0; byte < 256; byte++) {
        char letter[4];
        const size_t n = qn_utf8_encode(code_of_byte(byte), letter);
        list->t->bytes[byte] = intern(list, (qn_text){letter, n});
        if (list->t->bytes[byte] == QN_NONE) {
            return qn_fail_nomem(err, "merges", n);
        }
    }
    return QN_OK;
}

/* The list keeps its place only until the texts are moved to their final size. */
static qn_status keep_symbols(symbol_list *list, qn_error *err) {
    qn_tokenizer *t = list->t;
    qn_text *texts = qn_arena_array(t->arena, list->n, sizeof *texts);
    if (texts == NULL) {
        return qn_fail_nomem(err, "merges", list->n * sizeof *texts);
    }
    memcpy(texts, list->texts, list->n * sizeof *texts);
    t->symbols = t->symbol_index.texts = texts;
    t->n_symbols = list->n;
    if (!t->rule->is_raw) {
        qn_text_index_clear(&t->symbol_index); /* bytes are looked up by t->bytes */
    }
    return QN_OK;
}

qn_status qn_bpe_open(qn_tokenizer *t, const qn_meta *meta, qn_error *err) {
    const qn_text *merges = NULL;
    uint64_t n = 0;
    symbol_list list = {.t = t};
    QN_TRY(qn_splitter_new(t->rule, &t->splitter, err));
    QN_TRY(find_merges(t, meta, &merges, &n, err));
    qn_status status = open_tables(&list, n, err);
    if (status == QN_OK) {
        status = read_merges(&list, merges, n, err);
    }
    if (status == QN_OK && !t->rule->is_raw) {
        status = read_bytes(&list, err);
    } else if (status == QN_OK) {
        qn_find_byte_tokens(t);
    }
    if (status == QN_OK) {
        status = keep_symbols(&list, err);
    }
    free(list.texts);
    return status;
}

/* ---- encoding ---- */

static bool pair_of_ids(const void *user, const qn_symbol *left, const qn_symbol *right, uint32_t *rank, int32_t *id) {
    const qn_pair_table *pairs = user;
    if (left->id == QN_NONE || right->id == QN_NONE) {
        return false;
    }
    const qn_pair *pair = find_pair(pairs, pair_key(left->id, right->id));
    *rank = pair->rank;
    *id = pair->id;
    return pair->key != 0;
}

/* A symbol that is no token: byte by byte, where the vocabulary has them; else it is lost, as in llama.cpp. */
static void put_spelled(qn_encoding *e, qn_text text) {
    for (size_t i = 0; i < text.len; i++) {
        const int64_t id = e->t->rule->is_raw ? e->t->bytes[(unsigned char)text.bytes[i]]
                                              : qn_text_index_find(&e->t->index, (qn_text){text.bytes + i, 1});
        if (id != QN_NO_TOKEN) {
            qn_ids_push(e->ids, (int32_t)id);
        }
    }
}

static void put_symbol(qn_encoding *e, const qn_symbol *symbol, qn_text piece) {
    if (symbol->id != QN_NONE && (size_t)symbol->id < e->t->n_tokens) {
        qn_ids_push(e->ids, symbol->id);
    } else if (symbol->id != QN_NONE) {
        put_spelled(e, e->t->symbols[symbol->id]);
    } else {
        put_spelled(e, (qn_text){piece.bytes + symbol->at, symbol->len});
    }
}

static bool is_lines(qn_text piece) {
    for (size_t i = 0; i < piece.len; i++) {
        if (piece.bytes[i] != '\n') {
            return false;
        }
    }
    return true;
}

/* The token that a piece is as it stands, where the rule takes such pieces whole. */
static int64_t whole_piece(qn_encoding *e, qn_text piece) {
    const qn_split_rule *rule = e->t->rule;
    if (!rule->ignores_merges && !(rule->takes_lines_whole && is_lines(piece))) {
        return QN_NO_TOKEN;
    }
    if (rule->is_raw) {
        return piece.len > e->t->max_len ? QN_NO_TOKEN : qn_text_index_find(&e->t->index, piece);
    }
    if (piece.len > e->t->max_len) {
        return QN_NO_TOKEN;
    }
    e->word.len = 0;
    for (size_t i = 0; i < piece.len; i++) {
        const qn_text letter = e->t->symbols[e->t->bytes[(unsigned char)piece.bytes[i]]];
        qn_buffer_append(&e->word, letter.bytes, letter.len);
    }
    return qn_text_index_find(&e->t->index, (qn_text){(const char *)e->word.data, e->word.len});
}

static qn_status add_symbols(qn_encoding *e, qn_text piece, qn_error *err) {
    e->merging.n = 0;
    for (size_t i = 0; i < piece.len;) {
        size_t len = 1;
        int32_t id = QN_NONE;
        if (e->t->rule->is_raw) {
            const size_t promised = qn_utf8_promised((unsigned char)piece.bytes[i]);
            len = promised > piece.len - i ? piece.len - i : promised;
            id = (int32_t)qn_text_index_find(&e->t->symbol_index, (qn_text){piece.bytes + i, len});
        } else {
            id = e->t->bytes[(unsigned char)piece.bytes[i]];
        }
        QN_TRY(qn_merging_add(&e->merging, (uint32_t)i, (uint32_t)len, id, err));
        i += len;
    }
    return QN_OK;
}

static qn_status merge_piece(qn_encoding *e, qn_text piece, qn_error *err) {
    const int64_t whole = whole_piece(e, piece);
    if (whole != QN_NO_TOKEN) {
        qn_ids_push(e->ids, (int32_t)whole);
        return QN_OK;
    }
    QN_TRY(add_symbols(e, piece, err));
    if (e->merging.n == 0) {
        return QN_OK;
    }
    QN_TRY(qn_merging_run(&e->merging, pair_of_ids, &e->t->pairs, err));
    for (int32_t i = 0; i != QN_NONE; i = e->merging.symbols[i].next) {
        put_symbol(e, &e->merging.symbols[i], piece);
    }
    return QN_OK;
}

static size_t bytes_of_chars(const char *bytes, size_t left, uint32_t n_chars) {
    size_t n = 0;
    for (uint32_t i = 0; i < n_chars && n < left; i++) {
        n += qn_utf8_promised((unsigned char)bytes[n]);
    }
    return n > left ? left : n;
}

/* Text as it is split: what is no UTF-8 made so, spaces escaped, lower case where the rule wants them. */
static qn_status prepare(qn_encoding *e, qn_text *text, qn_error *err) {
    const bool is_plain = qn_utf8_is_plain(text->bytes, text->len);
    if (is_plain && !e->t->escapes_spaces && !e->t->lowers) {
        return QN_OK;
    }
    e->text.len = 0;
    for (size_t i = 0; i < text->len;) {
        char out[4];
        uint32_t code = 0;
        i += qn_utf8_decode(text->bytes + i, text->len - i, &code);
        code = code == ' ' && e->t->escapes_spaces ? 0x2581 : e->t->lowers ? qn_char_lower(code) : code;
        qn_buffer_append(&e->text, out, qn_utf8_encode(code, out));
    }
    *text = (qn_text){(const char *)e->text.data, e->text.len};
    return qn_buffer_status(&e->text, err);
}

static qn_status encode_stretch(qn_encoding *e, qn_text text, qn_error *err) {
    QN_TRY(qn_split(e->t->splitter, text, &e->split, err));
    size_t at = 0;
    for (size_t i = 0; i < e->split.n_pieces; i++) {
        const size_t len = bytes_of_chars(text.bytes + at, text.len - at, e->split.pieces[i]);
        QN_TRY(qn_encode_piece(e, (qn_text){text.bytes + at, len}, merge_piece, err));
        at += len;
    }
    return QN_OK;
}

/* Bytes at the front of text that are all white space, or all none. */
static size_t stretch_len(qn_text text, bool *is_space) {
    size_t at = 0;
    while (at < text.len) {
        uint32_t code = 0;
        const size_t n = qn_utf8_decode(text.bytes + at, text.len - at, &code);
        const bool space = qn_char_category(code) == QN_CLASS_SPACE;
        if (at > 0 && space != *is_space) {
            break;
        }
        *is_space = space;
        at += n;
    }
    return at;
}

qn_status qn_bpe_encode(qn_encoding *e, qn_text text, qn_error *err) {
    QN_TRY(prepare(e, &text, err));
    if (!e->t->drops_spaces) {
        return encode_stretch(e, text, err);
    }
    while (text.len > 0) {
        bool is_space = false;
        const size_t len = stretch_len(text, &is_space);
        if (!is_space) {
            QN_TRY(encode_stretch(e, (qn_text){text.bytes, len}, err));
        }
        text = (qn_text){text.bytes + len, text.len - len};
    }
    return QN_OK;
}
