/* SPDX-License-Identifier: MIT */
/* byte_merges.c: bytes as text, and merges from ranks: what tiktoken and tekken vocabularies need to become GGUF's. */
#include "text/vocab_parts.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

/* Longer tokens exist in no real vocabulary; merging takes quadratic time. */
enum { MAX_TOKEN_BYTES = 1024 };

/* The code point that stands for a byte: itself where it prints, else the next one from U+0100 on. */
static unsigned code_point(unsigned byte) {
    if ((byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE) {
        return byte;
    }
    if (byte <= 0x20) {
        return 0x100 + byte;
    }
    return byte == 0xAD ? 0x143 : 0x121 + (byte - 0x7F);
}

/* Bytes 0x80 and up, and the moved ones, take two bytes of UTF-8. */
static size_t put_code_point(char *out, unsigned point) {
    if (point < 0x80) {
        out[0] = (char)point;
        return 1;
    }
    out[0] = (char)(0xC0U | (point >> 6));
    out[1] = (char)(0x80U | (point & 0x3FU));
    return 2;
}

static size_t put_bytes(char *out, const unsigned char *bytes, size_t len) {
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        n += put_code_point(out + n, code_point(bytes[i]));
    }
    return n;
}

qn_text qn_byte_alphabet(qn_arena *arena, const void *bytes, size_t len) {
    char *out = len > SIZE_MAX / 2 - 1 ? NULL : qn_arena_array(arena, len * 2 + 1, 1);
    return (qn_text){out, out == NULL ? 0 : put_bytes(out, bytes, len)};
}

/* A token being merged: parts [starts[i], starts[i + 1]), and the rank of each part joined with the next. */
typedef struct parts {
    size_t n;
    uint16_t starts[MAX_TOKEN_BYTES + 1];
    int64_t ranks[MAX_TOKEN_BYTES];
} parts;

static int64_t pair_rank(const parts *p, size_t i, qn_text token, const qn_text_index *index) {
    if (i + 1 >= p->n) {
        return QN_NO_TOKEN;
    }
    const qn_text pair = {token.bytes + p->starts[i], (size_t)(p->starts[i + 2] - p->starts[i])};
    return qn_text_index_find(index, pair);
}

/* Merges with ranks below limit until none is left. */
static void merge_parts(parts *p, qn_text token, const qn_text_index *index, int64_t limit) {
    p->n = token.len;
    for (size_t i = 0; i <= token.len; i++) {
        p->starts[i] = (uint16_t)i;
    }
    for (size_t i = 0; i < p->n; i++) {
        p->ranks[i] = pair_rank(p, i, token, index);
    }
    for (;;) {
        size_t best = p->n;
        for (size_t i = 0; i + 1 < p->n; i++) {
            const int64_t rank = p->ranks[i];
            if (rank != QN_NO_TOKEN && rank < limit && (best == p->n || rank < p->ranks[best])) {
                best = i;
            }
        }
        if (best == p->n) {
            return;
        }
        memmove(p->starts + best + 1, p->starts + best + 2, (p->n - best - 1) * sizeof p->starts[0]);
        memmove(p->ranks + best, p->ranks + best + 1, (p->n - best - 1) * sizeof p->ranks[0]);
        p->n--;
        p->ranks[best] = pair_rank(p, best, token, index);
        if (best > 0) {
            p->ranks[best - 1] = pair_rank(p, best - 1, token, index);
        }
    }
}

/* Merges while their number is not known. */
typedef struct merge_list {
    qn_text *items; /* owned; the texts are in an arena */
    uint64_t n;
    uint64_t cap;
} merge_list;

static qn_status put_merge(qn_arena *arena, qn_text token, size_t split, merge_list *out, qn_error *err) {
    char *line = qn_arena_array(arena, token.len * 2 + 2, 1);
    if (line != NULL && out->n == out->cap) {
        const uint64_t cap = out->cap == 0 ? 4096 : out->cap * 2;
        qn_text *items = cap > QN_MAX_MERGES ? NULL : qn_resize_array(out->items, cap, sizeof *items);
        out->items = items == NULL ? out->items : items;
        out->cap = items == NULL ? out->cap : cap;
    }
    if (line == NULL || out->n == out->cap) {
        return qn_fail_nomem(err, "merges", token.len * 2 + 2);
    }
    size_t n = put_bytes(line, (const unsigned char *)token.bytes, split);
    line[n++] = ' ';
    n += put_bytes(line + n, (const unsigned char *)token.bytes + split, token.len - split);
    out->items[out->n++] = (qn_text){line, n};
    return QN_OK;
}

/* The canonical merge of a token: what byte-pair merging below its own rank leaves, when that is two parts. */
static qn_status put_canonical(parts *p, const qn_text *tokens, uint64_t id, const qn_text_index *index,
                               qn_arena *arena, merge_list *out, qn_error *err) {
    merge_parts(p, tokens[id], index, (int64_t)id);
    return p->n == 2 ? put_merge(arena, tokens[id], p->starts[1], out, err) : QN_OK;
}

/* A token cut in two known ones. No two cuts have the same left part. */
typedef struct cut {
    int64_t left;
    size_t split;
} cut;

static int compare_cuts(const void *a, const void *b) {
    const cut *x = a;
    const cut *y = b;
    return (x->left > y->left) - (x->left < y->left);
}

/* Every cut into two tokens is a merge: what tiktoken itself does, which knows only ranks. */
static qn_status put_all_cuts(cut *cuts, qn_text token, const qn_text_index *index, qn_arena *arena, merge_list *out,
                              qn_error *err) {
    size_t n = 0;
    for (size_t split = 1; split < token.len; split++) {
        const int64_t left = qn_text_index_find(index, (qn_text){token.bytes, split});
        const qn_text rest = {token.bytes + split, token.len - split};
        if (left != QN_NO_TOKEN && qn_text_index_find(index, rest) != QN_NO_TOKEN) {
            cuts[n++] = (cut){left, split};
        }
    }
    qsort(cuts, n, sizeof *cuts, compare_cuts);
    for (size_t i = 0; i < n; i++) {
        QN_TRY(put_merge(arena, token, cuts[i].split, out, err));
    }
    return QN_OK;
}

static qn_status recover(const qn_text *tokens, uint64_t n, bool all_cuts, qn_arena *arena, merge_list *out,
                         qn_error *err) {
    qn_text_index index;
    parts *p = qn_new_array(1, sizeof *p);
    cut *cuts = qn_new_array(MAX_TOKEN_BYTES, sizeof *cuts);
    if (p == NULL || cuts == NULL) {
        free(p);
        free(cuts);
        return qn_fail_nomem(err, "merges", sizeof *p);
    }
    qn_status status = qn_text_index_open(&index, tokens, n, err);
    for (uint64_t id = 0; id < n && status == QN_OK; id++) {
        if (tokens[id].bytes == NULL || tokens[id].len < 2 || tokens[id].len > MAX_TOKEN_BYTES) {
            continue;
        }
        status = all_cuts ? put_all_cuts(cuts, tokens[id], &index, arena, out, err)
                          : put_canonical(p, tokens, id, &index, arena, out, err);
    }
    qn_text_index_clear(&index);
    free(cuts);
    free(p);
    return status;
}

qn_status qn_recover_merges(const qn_text *tokens, uint64_t n, bool all_cuts, qn_arena *arena, qn_merges *out,
                            qn_error *err) {
    merge_list list = {0};
    qn_status status = recover(tokens, n, all_cuts, arena, &list, err);
    qn_text *items = qn_arena_array(arena, list.n, sizeof *items);
    if (status == QN_OK && items == NULL) {
        status = qn_fail_nomem(err, "merges", (size_t)list.n * sizeof *items);
    }
    if (status == QN_OK) {
        if (items != NULL && list.items != NULL) {
            memcpy(items, list.items, (size_t)list.n * sizeof *items);
        }
        *out = (qn_merges){items, list.n};
    }
    free(list.items);
    return status;
}

bool qn_base64_decode(qn_arena *arena, const char *text, size_t len, qn_text *out) {
    static const size_t max_len = (size_t)1 << 16;
    if (len == 0 || len % 4 != 0 || len > max_len) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        const unsigned char c = (unsigned char)text[i];
        const bool is_digit = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '+' ||
            c == '/' || (c == '=' && i + 2 >= len);
        if (!is_digit) {
            return false;
        }
    }
    size_t n_pad = text[len - 1] == '=' ? 1 : 0;
    n_pad += text[len - 2] == '=' ? 1 : 0;
    if (n_pad == 1 && text[len - 1] != '=') {
        return false;
    }
    unsigned char *bytes = qn_arena_array(arena, len / 4 * 3 + 1, 1);
    const int n = bytes == NULL ? -1 : EVP_DecodeBlock(bytes, (const unsigned char *)text, (int)len);
    if (n < 0 || (size_t)n < n_pad) {
        return false;
    }
    *out = (qn_text){(const char *)bytes, (size_t)n - n_pad};
    return true;
}
