/* SPDX-License-Identifier: MIT */
/* score_merges.c: SentencePiece merges by scores, the tokenizers library by a list: makes the list of the scores.
 *
 * SentencePiece joins the two neighbours whose union is the token with the best score. A list of all pairs that form
 * tokens, best union first, makes the other library do the same. The order among equal scores is by ids, as in the
 * published files of Llama 2 and its kin, which are the same list.
 */
#include "text/vocab_writing.h"

#include <stdlib.h>
#include <string.h>

/* A longer token is no word of any language; cutting it everywhere would take quadratic time. */
enum { MAX_CUT_BYTES = 1024 };

/* A merge on its way to be sorted. */
typedef struct candidate {
    float score;
    int32_t whole, left, right;
} candidate;

typedef struct candidate_list {
    candidate *items;
    uint64_t n, cap;
} candidate_list;

static qn_status append(candidate_list *list, candidate item, qn_error *err) {
    if (list->n == list->cap) {
        const uint64_t cap = list->cap == 0 ? 4096 : list->cap * 2;
        candidate *wider = qn_resize_array(list->items, cap, sizeof *wider);
        if (wider == NULL) {
            return qn_fail_nomem(err, "merges", (size_t)cap * sizeof *wider);
        }
        list->items = wider;
        list->cap = cap;
    }
    list->items[list->n++] = item;
    return QN_OK;
}

static bool takes_part(const qn_vocab_layout *l, int64_t id) {
    return id != QN_NO_TOKEN && l->vocab->types[id] == QN_TOKEN_NORMAL && qn_layout_has_entry(l, (uint64_t)id);
}

static bool is_start(char c) {
    return ((unsigned char)c & 0xC0U) != 0x80U;
}

/* All cuts of one token, between characters. */
static qn_status cut(const qn_vocab_layout *l, uint64_t id, candidate_list *list, qn_error *err) {
    const qn_text text = l->vocab->tokens[id];
    for (size_t i = 1; i < text.len; i++) {
        if (!is_start(text.bytes[i])) {
            continue;
        }
        const int64_t left = qn_text_index_find(&l->index, (qn_text){text.bytes, i});
        if (!takes_part(l, left)) {
            continue;
        }
        const int64_t right = qn_text_index_find(&l->index, (qn_text){text.bytes + i, text.len - i});
        if (takes_part(l, right)) {
            QN_TRY(append(list, (candidate){l->vocab->scores[id], (int32_t)id, (int32_t)left, (int32_t)right}, err));
        }
    }
    return QN_OK;
}

/* A total order: a token and its left part tell the right part. */
static int compare(const void *a, const void *b) {
    const candidate *x = a;
    const candidate *y = b;
    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    if (x->whole != y->whole) {
        return x->whole < y->whole ? -1 : 1;
    }
    return (x->left > y->left) - (x->left < y->left);
}

qn_status qn_merges_of_scores(const qn_vocab_layout *layout, qn_id_merge **out, uint64_t *n, qn_error *err) {
    candidate_list list = {0};
    qn_status status = QN_OK;
    *out = NULL;
    *n = 0;
    for (uint64_t id = 0; id < layout->n_base && status == QN_OK; id++) {
        if (takes_part(layout, (int64_t)id) && layout->vocab->tokens[id].len <= MAX_CUT_BYTES) {
            status = cut(layout, id, &list, err);
        }
    }
    if (status == QN_OK) {
        *out = qn_new_array(list.n + 1, sizeof **out);
        status = *out == NULL ? qn_fail_nomem(err, "merges", (size_t)list.n * sizeof **out) : QN_OK;
    }
    if (status == QN_OK && list.n > 0) {
        qsort(list.items, (size_t)list.n, sizeof *list.items, compare);
        for (uint64_t i = 0; i < list.n; i++) {
            (*out)[i] = (qn_id_merge){list.items[i].left, list.items[i].right};
        }
        *n = list.n;
    }
    free(list.items);
    return status;
}
