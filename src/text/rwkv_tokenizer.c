/* SPDX-License-Identifier: MIT */
/* rwkv_tokenizer.c: RWKV's World tokenizer: the longest token from the left; texts are spelled with escapes. */
#include "text/tokenizer_parts.h"

static int hex_digit(char c) {
    return c >= '0' && c <= '9' ? c - '0'
        : c >= 'a' && c <= 'f'  ? c - 'a' + 10
        : c >= 'A' && c <= 'F'  ? c - 'A' + 10
                                : -1;
}

void qn_rwkv_unescape(qn_text text, qn_buffer *out) {
    for (size_t i = 0; i < text.len; i++) {
        char c = text.bytes[i];
        if (c == '\\' && i + 1 < text.len) {
            c = text.bytes[++i];
            const bool is_hex = c == 'x' && i + 2 < text.len && hex_digit(text.bytes[i + 1]) >= 0 &&
                hex_digit(text.bytes[i + 2]) >= 0;
            if (is_hex) {
                c = (char)(hex_digit(text.bytes[i + 1]) * 16 + hex_digit(text.bytes[i + 2]));
                i += 2;
            } else {
                c = c == 't' ? '\t' : c == 'n' ? '\n' : c == 'r' ? '\r' : c;
            }
        }
        qn_buffer_append(out, &c, 1);
    }
}

qn_status qn_rwkv_open(qn_tokenizer *t, qn_error *err) {
    qn_buffer text = {0};
    qn_status status = QN_OK;
    for (size_t i = 0; i < t->n_tokens && status == QN_OK; i++) {
        text.len = 0;
        qn_rwkv_unescape(t->texts[i], &text);
        status = qn_buffer_status(&text, err);
        if (status == QN_OK && text.len > 0) {
            status = qn_byte_trie_put(&t->trie, (qn_text){(const char *)text.data, text.len}, (int32_t)i, err);
        }
    }
    qn_buffer_clear(&text);
    return status;
}

qn_status qn_rwkv_encode(qn_encoding *e, qn_text text, qn_error *err) {
    (void)err;
    for (size_t at = 0; at < text.len;) {
        size_t len = 0;
        const int32_t id = qn_byte_trie_longest(&e->t->trie, text.bytes + at, text.len - at, &len);
        const int32_t other = id == QN_NONE ? e->t->roles[QN_TOKEN_ROLE_UNK] : id;
        if (other != QN_NONE) {
            qn_ids_push(e->ids, other);
        }
        at += len == 0 ? 1 : len;
    }
    return QN_OK;
}
