/* SPDX-License-Identifier: MIT */
/* wordpiece_tokenizer.c: BERT's WordPiece: words, then the longest token from the left, again and again.
 *
 * Tokens are spelled as GGUF does: U+2581 before those that begin a word, nothing before those that go on.
 */
#include "text/characters.h"
#include "text/tokenizer_parts.h"

qn_status qn_wordpiece_open(qn_tokenizer *t, qn_error *err) {
    for (size_t i = 0; i < t->n_tokens; i++) {
        if (t->texts[i].len > 0) {
            QN_TRY(qn_byte_trie_put(&t->trie, t->texts[i], (int32_t)i, err));
        }
    }
    return QN_OK;
}

/* A word in e->text, U+2581 before it. One stretch without a token makes all of it unknown. */
static void end_word(qn_encoding *e) {
    const char *bytes = (const char *)e->text.data;
    const size_t n_before = e->ids->n;
    size_t at = 0;
    while (at < e->text.len) {
        size_t len = 0;
        const int32_t id = qn_byte_trie_longest(&e->t->trie, bytes + at, e->text.len - at, &len);
        if (id == QN_NONE) {
            e->ids->n = n_before;
            if (e->t->roles[QN_TOKEN_ROLE_UNK] != QN_NONE) {
                qn_ids_push(e->ids, e->t->roles[QN_TOKEN_ROLE_UNK]);
            }
            break;
        }
        qn_ids_push(e->ids, id);
        at += len;
    }
    e->text.len = 0;
}

static void put_char(qn_encoding *e, uint32_t code) {
    char out[4];
    if (e->text.len == 0) {
        qn_buffer_append(&e->text, QN_SPACE_MARK, QN_SPACE_MARK_LEN);
    }
    qn_buffer_append(&e->text, out, qn_utf8_encode(code, out));
}

static void take_char(qn_encoding *e, uint32_t code) {
    const qn_tokenizer *t = e->t;
    code = t->strips_accents ? qn_char_base(code) : code;
    const unsigned char kind = qn_char_category(code);
    if (kind == QN_CLASS_SPACE) {
        end_word(e);
        return;
    }
    if (code == 0 || code == QN_REPLACEMENT || kind == QN_CLASS_CONTROL ||
        (kind == QN_CLASS_MARK && t->strips_accents)) {
        return;
    }
    const bool is_alone = kind == QN_CLASS_PUNCTUATION || (kind == QN_CLASS_SYMBOL && code < 0x7F) ||
        qn_char_is_bert_ideograph(code);
    if (is_alone) {
        end_word(e);
    }
    put_char(e, t->lowers ? qn_char_lower(code) : code);
    if (is_alone) {
        end_word(e);
    }
}

qn_status qn_wordpiece_encode(qn_encoding *e, qn_text text, qn_error *err) {
    e->text.len = 0;
    for (size_t i = 0; i < text.len;) {
        uint32_t code = 0;
        i += qn_utf8_decode(text.bytes + i, text.len - i, &code);
        take_char(e, code);
    }
    end_word(e);
    return qn_buffer_status(&e->text, err);
}
