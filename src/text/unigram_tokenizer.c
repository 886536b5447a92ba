/* SPDX-License-Identifier: MIT */
/* unigram_tokenizer.c: SentencePiece's Unigram (T5): text is normalised, then cut where the sum of scores is greatest.
 *
 * The normaliser's rules (tokenizer.ggml.precompiled_charsmap) are
 *
 *     OFFSET  SIZE  MEANING
 *     0       4     n, little-endian: bytes of the trie
 *     4       n     a double array of little-endian uint32 units
 *     4 + n   …     replacements, each ended by a NUL; a leaf's value is an offset into them
 *
 * A unit: bits 0-7 the label, bit 8 has a leaf, bits 10-30 the offset of its children, shifted left by 8 if bit 9 is
 * set, bit 31 marks a leaf, whose bits 0-30 are the value.
 */
#include "text/characters.h"
#include "text/tokenizer_parts.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

/* Real replacements have at most some dozens of bytes; a longer one would let text grow without bounds. */
enum { MAX_REPLACEMENT = 512 };
static const double UNKNOWN_PENALTY = 10.0;

/* ---- opening ---- */

static qn_status read_charsmap(qn_tokenizer *t, const qn_meta *meta, qn_error *err) {
    const qn_meta_value *value = qn_meta_find(meta, "tokenizer.ggml.precompiled_charsmap");
    if (value == NULL || (value->type == QN_META_ARRAY && value->as.array.n == 0)) {
        return QN_OK;
    }
    if (value->type != QN_META_ARRAY || (value->as.array.type != QN_META_U8 && value->as.array.type != QN_META_I8)) {
        return qn_fail(err, QN_E_FORMAT, "tokenizer.ggml.precompiled_charsmap is no list of bytes");
    }
    const unsigned char *bytes = value->as.array.items;
    const uint64_t n = value->as.array.n;
    const uint64_t size = n < 4
        ? 0
        : (uint64_t)bytes[0] | (uint64_t)bytes[1] << 8 | (uint64_t)bytes[2] << 16 | (uint64_t)bytes[3] << 24;
    if (n < 4 || size % 4 != 0 || size > n - 4 || (size > 0 && n > 4 + size && bytes[n - 1] != 0)) {
        return qn_fail(err, QN_E_FORMAT,
                       "tokenizer.ggml.precompiled_charsmap: %llu bytes, of which the trie claims %llu; a multiple of "
                       "4 within them, and replacements that end in a NUL, are expected",
                       (unsigned long long)n, (unsigned long long)size);
    }
    const char *copy = qn_arena_copy(t->arena, bytes + 4, (size_t)n - 4);
    if (copy == NULL) {
        return qn_fail_nomem(err, "charsmap", (size_t)n);
    }
    t->charsmap = (qn_charsmap){(const unsigned char *)copy, size / 4, copy + size, (size_t)(n - 4 - size)};
    return QN_OK;
}

qn_status qn_unigram_open(qn_tokenizer *t, const qn_meta *meta, qn_error *err) {
    float least = FLT_MAX;
    for (size_t i = 0; i < t->n_tokens; i++) {
        const unsigned attrs = t->attrs[i];
        if ((attrs & QN_ATTR_NORMAL) != 0) {
            least = t->scores[i] < least ? t->scores[i] : least;
        }
        if (t->texts[i].len > 0 && (attrs & (QN_ATTR_NORMAL | QN_ATTR_USER | QN_ATTR_UNUSED)) != 0) {
            QN_TRY(qn_byte_trie_put(&t->trie, t->texts[i], (int32_t)i, err));
        }
        if (t->texts[i].len > 0 && (attrs & QN_ATTR_USER) != 0) {
            QN_TRY(qn_byte_trie_put(&t->user_trie, t->texts[i], (int32_t)i, err));
        }
    }
    t->unknown_score = (double)(least == FLT_MAX ? 0.0F : least) - UNKNOWN_PENALTY;
    return read_charsmap(t, meta, err);
}

/* ---- normalising ---- */

/* Unit i of the double array; 0, which nothing matches, past its end. */
static uint32_t unit(const qn_charsmap *map, uint64_t i) {
    if (i >= map->n_units) {
        return 0;
    }
    const unsigned char *u = map->units + i * 4;
    return (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
}

static uint32_t children(uint32_t u) {
    return (u >> 10) << ((u & 0x200U) >> 6);
}

/* The longest rule that text begins with. @param offset of its replacement @return its length; 0 for none */
static size_t longest_rule(const qn_charsmap *map, const char *text, size_t n, uint32_t *offset) {
    size_t longest = 0;
    if (map->n_units == 0) {
        return 0;
    }
    uint64_t node = children(unit(map, 0));
    for (size_t i = 0; i < n && text[i] != '\0'; i++) {
        node ^= (unsigned char)text[i];
        const uint32_t u = unit(map, node);
        if (node >= map->n_units || (u & 0x800000FFU) != (unsigned char)text[i]) {
            break;
        }
        node ^= children(u);
        if ((u & 0x100U) != 0) {
            longest = i + 1;
            *offset = unit(map, node) & 0x7FFFFFFFU;
        }
    }
    return longest;
}

typedef struct normalising {
    qn_encoding *e;
    bool is_space_prepended;
    bool within_word;
} normalising;

/* The space rules, one byte after the other. */
static void put_bytes(normalising *n, const char *bytes, size_t len) {
    const qn_tokenizer *t = n->e->t;
    const char *space = t->escapes_spaces ? QN_SPACE_MARK : " ";
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == ' ') {
            n->within_word = false;
            if (!t->merges_spaces) {
                qn_buffer_text(&n->e->text, space);
            }
            continue;
        }
        if (!n->within_word) {
            n->within_word = true;
            if ((t->adds_space && !n->is_space_prepended) || t->merges_spaces) {
                qn_buffer_text(&n->e->text, space);
                n->is_space_prepended = true;
            }
        }
        qn_buffer_append(&n->e->text, &bytes[i], 1);
    }
}

static qn_status put_rule(normalising *n, uint32_t offset, qn_error *err) {
    const qn_charsmap *map = &n->e->t->charsmap;
    if (offset >= map->strings_len) {
        return qn_fail(err, QN_E_FORMAT,
                       "tokenizer.ggml.precompiled_charsmap: a replacement is at byte %lu of %zu bytes of them",
                       (unsigned long)offset, map->strings_len);
    }
    const size_t len = strnlen(map->strings + offset, map->strings_len - offset);
    if (len > MAX_REPLACEMENT) {
        return qn_fail(err, QN_E_FORMAT, "tokenizer.ggml.precompiled_charsmap: a replacement has %zu bytes", len);
    }
    put_bytes(n, map->strings + offset, len);
    return QN_OK;
}

/* Normalises what text begins with; *taken bytes of it. */
static qn_status normalise_front(normalising *n, const char *text, size_t left, size_t *taken, qn_error *err) {
    const qn_tokenizer *t = n->e->t;
    uint32_t offset = 0;
    if (qn_byte_trie_longest(&t->user_trie, text, left, taken) != QN_NONE) {
        put_bytes(n, text, *taken);
        return QN_OK;
    }
    *taken = longest_rule(&t->charsmap, text, left, &offset);
    if (*taken > 0) {
        return put_rule(n, offset, err);
    }
    uint32_t code = 0;
    *taken = qn_utf8_decode(text, left, &code);
    if (code == QN_REPLACEMENT) {
        put_bytes(n, "\xEF\xBF\xBD", 3);
    } else {
        put_bytes(n, text, *taken);
    }
    return QN_OK;
}

static qn_status normalise(qn_encoding *e, qn_text text, qn_error *err) {
    normalising n = {.e = e};
    e->text.len = 0;
    for (size_t at = 0; at < text.len;) {
        size_t taken = 0;
        QN_TRY(normalise_front(&n, text.bytes + at, text.len - at, &taken, err));
        at += taken;
    }
    return qn_buffer_status(&e->text, err);
}

/* ---- Viterbi ---- */

/* The best way to reach a byte offset. */
typedef struct best {
    double score;
    uint32_t from;
    int32_t token;
} best;

static void challenge(best *champion, double score, size_t from, int32_t token) {
    if (score > champion->score) {
        *champion = (best){score, (uint32_t)from, token};
    }
}

static void try_tokens(const qn_tokenizer *t, const char *bytes, size_t n, size_t at, best *table) {
    const size_t promised = qn_utf8_promised((unsigned char)bytes[at]);
    const size_t char_end = at + (promised > n - at ? n - at : promised);
    bool covers_char = false;
    int64_t node = 0;
    for (size_t end = at + 1; end <= n; end++) {
        node = qn_byte_trie_child(&t->trie, (uint32_t)node, (unsigned char)bytes[end - 1]);
        if (node == QN_NONE) {
            break;
        }
        const int32_t token = t->trie.values[node];
        if (token != QN_NONE) {
            const bool is_user = (t->attrs[token] & QN_ATTR_USER) != 0;
            covers_char = covers_char || end == char_end;
            challenge(&table[end], table[at].score + (is_user ? 0.0 : (double)t->scores[token]), at, token);
        }
    }
    if (!covers_char) {
        challenge(&table[char_end], table[at].score + t->unknown_score, at, t->roles[QN_TOKEN_ROLE_UNK]);
    }
}

static void reverse(int32_t *items, size_t n) {
    for (size_t i = 0; i < n / 2; i++) {
        const int32_t item = items[i];
        items[i] = items[n - 1 - i];
        items[n - 1 - i] = item;
    }
}

/* From the end to the start; a run of unknown characters is one token. */
static void backtrack(qn_encoding *e, const best *table, size_t n) {
    const int32_t unk = e->t->roles[QN_TOKEN_ROLE_UNK];
    const size_t n_before = e->ids->n;
    bool was_unknown = false;
    for (size_t at = n; at > 0; at = table[at].from) {
        const bool is_unknown = table[at].token == unk;
        if (!(was_unknown && is_unknown) && table[at].token != QN_NONE) {
            qn_ids_push(e->ids, table[at].token);
        }
        was_unknown = is_unknown;
    }
    if (!e->ids->has_failed && e->ids->n > n_before) {
        reverse(e->ids->items + n_before, e->ids->n - n_before);
    }
}

qn_status qn_unigram_encode(qn_encoding *e, qn_text text, qn_error *err) {
    QN_TRY(normalise(e, text, err));
    const char *bytes = (const char *)e->text.data;
    const size_t n = e->text.len;
    if (n == 0) {
        return QN_OK;
    }
    if (n >= UINT32_MAX) {
        return qn_fail(err, QN_E_RANGE, "the text has %zu bytes once normalised; cut it into parts", n);
    }
    best *table = qn_new_array((uint64_t)n + 1, sizeof *table);
    if (table == NULL) {
        return qn_fail_nomem(err, "text", (n + 1) * sizeof *table);
    }
    for (size_t i = 1; i <= n; i++) {
        table[i] = (best){-DBL_MAX, 0, e->t->roles[QN_TOKEN_ROLE_UNK]};
    }
    for (size_t at = 0; at < n;) {
        const size_t promised = qn_utf8_promised((unsigned char)bytes[at]);
        try_tokens(e->t, bytes, n, at, table);
        at += promised > n - at ? n - at : promised;
    }
    backtrack(e, table, n);
    free(table);
    return QN_OK;
}
