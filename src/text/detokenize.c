/* SPDX-License-Identifier: MIT */
/* detokenize.c: ids back to text, and the clean-up of spaces that some vocabularies ask for. */
#include "text/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- one token ---- */

static void print_normal(const qn_tokenizer *t, qn_text text, qn_buffer *out) {
    switch (t->kind) {
    case QN_KIND_BPE: qn_bpe_print(t, text, out); break;
    case QN_KIND_RWKV: qn_rwkv_unescape(text, out); break;
    default: qn_unescape_spaces(text, out); break;
    }
}

static void print_token(const qn_tokenizer *t, int32_t id, bool keep_special, qn_buffer *out) {
    const unsigned attrs = t->attrs[id];
    const qn_text text = t->texts[id];
    if ((attrs & QN_ATTR_HIDDEN) != 0 && !keep_special) {
        return;
    }
    if (t->kind == QN_KIND_RWKV) {
        qn_rwkv_unescape(text, out);
    } else if ((attrs & QN_ATTR_SPECIAL) != 0) {
        qn_buffer_append(out, text.bytes, text.len);
    } else if ((attrs & QN_ATTR_NORMAL) != 0) {
        print_normal(t, text, out);
    } else if ((attrs & QN_ATTR_BYTE) != 0) {
        const int32_t byte = qn_byte_of_text(text);
        if (byte != QN_NONE) {
            qn_buffer_u8(out, (uint8_t)byte);
        }
    }
}

static qn_status check_id(const qn_tokenizer *t, int32_t id, qn_error *err) {
    if (id < 0 || (size_t)id >= t->n_tokens) {
        return qn_fail(err, QN_E_RANGE, "token id %ld is not in the vocabulary, which has ids 0 to %zu", (long)id,
                       t->n_tokens - 1);
    }
    return QN_OK;
}

qn_status qn_token_piece(const qn_tokenizer *t, int32_t id, bool keep_special, qn_buffer *out, qn_error *err) {
    QN_TRY(check_id(t, id, err));
    print_token(t, id, keep_special, out);
    return QN_OK;
}

/* ---- cleaning up ---- */

static bool is_one_of(char c, const char *list) {
    return c != '\0' && strchr(list, c) != NULL;
}

/* Removes the space in " ?", " !", " ." and " ,". */
static size_t clean_signs(char *s, size_t n) {
    size_t w = 0;
    for (size_t i = 0; i < n; i++) {
        if (w > 0 && s[w - 1] == ' ' && is_one_of(s[i], "?!.,")) {
            w--;
        }
        s[w++] = s[i];
    }
    return w;
}

/* Removes both spaces of " ' ". */
static size_t clean_lone_quotes(char *s, size_t n) {
    size_t w = 0;
    for (size_t i = 0; i < n; i++) {
        if (s[i] == '\'' && w > 0 && s[w - 1] == ' ' && i + 1 < n && s[i + 1] == ' ') {
            s[w - 1] = '\'';
            i++;
        } else {
            s[w++] = s[i];
        }
    }
    return w;
}

/* Removes the space before "'s", "'m", "'re" and "'ve". */
static size_t clean_contractions(char *s, size_t n) {
    size_t w = 0;
    for (size_t i = 0; i < n; i++) {
        const char *next = s + i;
        const size_t left = n - i;
        const bool is_contraction = left > 1 && next[0] == '\'' &&
            (next[1] == 's' || next[1] == 'm' || (left > 2 && (next[1] == 'r' || next[1] == 'v') && next[2] == 'e'));
        if (is_contraction && w > 0 && s[w - 1] == ' ') {
            w--;
        }
        s[w++] = s[i];
    }
    return w;
}

/* ---- all ---- */

static void print_all(const qn_tokenizer *t, const int32_t *ids, size_t n, bool keep_special, bool removes_special,
                      qn_buffer *out) {
    bool removes_space = t->adds_space;
    if (removes_special && t->adds_bos && n > 0 && ids[0] == t->roles[QN_TOKEN_ROLE_BOS]) {
        removes_space = false;
        ids++;
        n--;
    }
    if (removes_special && t->adds_eos && n > 0 && ids[n - 1] == t->roles[QN_TOKEN_ROLE_EOS]) {
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        const size_t start = out->len;
        print_token(t, ids[i], keep_special, out);
        if (i == 0 && removes_space && out->len > start && out->data[start] == ' ') {
            memmove(out->data + start, out->data + start + 1, out->len - start - 1);
            out->len--;
        }
    }
}

qn_status qn_detokenize(const qn_tokenizer *t, const int32_t *ids, size_t n, bool keep_special, bool removes_special,
                        qn_buffer *out, qn_error *err) {
    const size_t start = out->len;
    for (size_t i = 0; i < n; i++) {
        QN_TRY(check_id(t, ids[i], err));
    }
    print_all(t, ids, n, keep_special, removes_special, out);
    QN_TRY(qn_buffer_status(out, err));
    if (t->cleans_spaces && out->len > start) {
        char *s = (char *)out->data + start;
        size_t len = clean_signs(s, out->len - start);
        len = clean_lone_quotes(s, len);
        out->len = start + clean_contractions(s, len);
    }
    return QN_OK;
}
