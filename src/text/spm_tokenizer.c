/* SPDX-License-Identifier: MIT */
/* spm_tokenizer.c: SentencePiece's BPE: neighbours merge while their text is a token, the highest score first.
 *
 * Text is merged as a whole, not word by word; where no token holds U+2581 behind another character, no merge can cross
 * from one to the other, and the text is cut there so that the heap stays small.
 */
#include "text/characters.h"
#include "text/tokenizer_parts.h"

#include <stdio.h>
#include <string.h>

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

int32_t qn_byte_of_text(qn_text text) {
    if (text.len == 6 && memcmp(text.bytes, "<0x", 3) == 0 && text.bytes[5] == '>') {
        const int high = hex_digit(text.bytes[3]);
        const int low = hex_digit(text.bytes[4]);
        return high < 0 || low < 0 ? QN_NONE : high * 16 + low;
    }
    return text.len == 1 ? (unsigned char)text.bytes[0] : QN_NONE;
}

void qn_find_byte_tokens(qn_tokenizer *t) {
    for (unsigned byte = 0; byte < 256; byte++) {
        char name[8];
        const char c = (char)byte;
        (void)snprintf(name, sizeof name, "<0x%02X>", byte);
        const int64_t named = qn_text_index_find(&t->index, (qn_text){name, 6});
        const int64_t plain = qn_text_index_find(&t->index, (qn_text){&c, 1});
        t->bytes[byte] = (int32_t)(named != QN_NO_TOKEN ? named : plain);
    }
}

void qn_escape_spaces(qn_text text, qn_buffer *out) {
    size_t at = 0;
    while (at < text.len) {
        const char *space = memchr(text.bytes + at, ' ', text.len - at);
        const size_t end = space == NULL ? text.len : (size_t)(space - text.bytes);
        qn_buffer_append(out, text.bytes + at, end - at);
        if (space != NULL) {
            qn_buffer_append(out, QN_SPACE_MARK, QN_SPACE_MARK_LEN);
        }
        at = end + (space != NULL ? 1 : 0);
    }
}

static bool is_mark(const char *bytes, size_t left) {
    return left >= QN_SPACE_MARK_LEN && memcmp(bytes, QN_SPACE_MARK, QN_SPACE_MARK_LEN) == 0;
}

void qn_unescape_spaces(qn_text text, qn_buffer *out) {
    size_t done = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (is_mark(text.bytes + i, text.len - i)) {
            qn_buffer_append(out, text.bytes + done, i - done);
            qn_buffer_append(out, " ", 1);
            i += QN_SPACE_MARK_LEN - 1;
            done = i + 1;
        }
    }
    qn_buffer_append(out, text.bytes + done, text.len - done);
}

/* Whether U+2581 follows something else within a text. */
static bool has_inner_mark(qn_text text) {
    bool after_other = false;
    for (size_t i = 0; i < text.len;) {
        const bool mark = is_mark(text.bytes + i, text.len - i);
        if (mark && after_other) {
            return true;
        }
        after_other = !mark;
        i += mark ? (size_t)QN_SPACE_MARK_LEN : 1;
    }
    return false;
}

qn_status qn_spm_open(qn_tokenizer *t, qn_error *err) {
    (void)err;
    qn_find_byte_tokens(t);
    for (size_t i = 0; i < t->n_tokens && !t->has_inner_mark; i++) {
        t->has_inner_mark = has_inner_mark(t->texts[i]);
    }
    return QN_OK;
}

/* Scores as ranks: a higher score is a lower number. */
static uint32_t rank_of_score(float score) {
    uint32_t bits = 0;
    const float plain = score + 0.0F; /* no negative zero */
    memcpy(&bits, &plain, sizeof bits);
    return (bits & 0x80000000U) != 0 ? bits : ~(bits | 0x80000000U);
}

typedef struct pair_user {
    const qn_tokenizer *t;
    const char *bytes;
} pair_user;

static bool pair_of_text(const void *user, const qn_symbol *left, const qn_symbol *right, uint32_t *rank, int32_t *id) {
    const pair_user *u = user;
    const size_t len = (size_t)left->len + right->len;
    if (len > u->t->max_len) {
        return false;
    }
    const int64_t found = qn_text_index_find(&u->t->index, (qn_text){u->bytes + left->at, len});
    if (found == QN_NO_TOKEN) {
        return false;
    }
    *id = (int32_t)found;
    *rank = rank_of_score(u->t->scores[found]);
    return true;
}

static void put_symbol(qn_encoding *e, const char *bytes, const qn_symbol *symbol) {
    int64_t id = symbol->id;
    if (id == QN_NONE) {
        id = qn_text_index_find(&e->t->index, (qn_text){bytes + symbol->at, symbol->len});
    }
    if (id != QN_NO_TOKEN) {
        qn_ids_push(e->ids, (int32_t)id);
        return;
    }
    for (uint32_t i = 0; i < symbol->len; i++) {
        const int32_t byte = e->t->bytes[(unsigned char)bytes[symbol->at + i]];
        const int32_t other = byte == QN_NONE ? e->t->roles[QN_TOKEN_ROLE_UNK] : byte;
        if (other != QN_NONE) {
            qn_ids_push(e->ids, other);
        }
    }
}

static qn_status merge_chunk(qn_encoding *e, qn_text text, qn_error *err) {
    const char *bytes = text.bytes;
    const size_t n = text.len;
    qn_merging *m = &e->merging;
    const pair_user user = {e->t, bytes};
    m->n = 0;
    for (size_t i = 0; i < n;) {
        const size_t promised = qn_utf8_promised((unsigned char)bytes[i]);
        const size_t len = promised > n - i ? n - i : promised;
        QN_TRY(qn_merging_add(m, (uint32_t)i, (uint32_t)len, QN_NONE, err));
        i += len;
    }
    QN_TRY(qn_merging_run(m, pair_of_text, &user, err));
    for (int32_t i = 0; i != QN_NONE; i = m->symbols[i].next) {
        put_symbol(e, bytes, &m->symbols[i]);
    }
    return QN_OK;
}

/* Bytes up to the next place that no merge crosses. */
static size_t chunk_len(const qn_tokenizer *t, const char *bytes, size_t n) {
    size_t i = 0;
    if (t->has_inner_mark) {
        return n;
    }
    while (is_mark(bytes + i, n - i)) {
        i += QN_SPACE_MARK_LEN;
    }
    while (i < n) {
        const char *next = memchr(bytes + i, QN_SPACE_MARK[0], n - i);
        if (next == NULL) {
            return n;
        }
        i = (size_t)(next - bytes);
        if (is_mark(next, n - i)) {
            return i;
        }
        i++;
    }
    return n;
}

qn_status qn_spm_encode(qn_encoding *e, qn_text text, qn_error *err) {
    e->text.len = 0;
    if (e->t->adds_space && e->after_special) {
        qn_buffer_append(&e->text, QN_SPACE_MARK, QN_SPACE_MARK_LEN);
    }
    qn_escape_spaces(text, &e->text);
    QN_TRY(qn_buffer_status(&e->text, err));
    const char *bytes = (const char *)e->text.data;
    for (size_t at = 0; at < e->text.len;) {
        const size_t len = chunk_len(e->t, bytes + at, e->text.len - at);
        QN_TRY(qn_encode_piece(e, (qn_text){bytes + at, len}, merge_chunk, err));
        at += len;
    }
    return QN_OK;
}
