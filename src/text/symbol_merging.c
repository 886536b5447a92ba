/* SPDX-License-Identifier: MIT */
/* symbol_merging.c: merges neighbours, the lowest rank first, with a heap of candidates: O(n log n). */
#include "text/tokenizer_parts.h"

#include <stdlib.h>

qn_status qn_merging_add(qn_merging *m, uint32_t at, uint32_t len, int32_t id, qn_error *err) {
    if (m->n == m->cap) {
        const size_t cap = m->cap < 256 ? 256 : m->cap * 2;
        qn_symbol *symbols = qn_resize_array(m->symbols, cap, sizeof *symbols);
        if (symbols == NULL) {
            return qn_fail_nomem(err, "merging", cap * sizeof *symbols);
        }
        m->symbols = symbols;
        m->cap = cap;
    }
    const int32_t i = (int32_t)m->n++;
    m->symbols[i] = (qn_symbol){at, len, i - 1, QN_NONE, id};
    if (i > 0) {
        m->symbols[i - 1].next = i;
    }
    return QN_OK;
}

static qn_status push(qn_merging *m, qn_candidate candidate, qn_error *err) {
    if (m->n_heap == m->cap_heap) {
        const size_t cap = m->cap_heap < 256 ? 256 : m->cap_heap * 2;
        qn_candidate *heap = qn_resize_array(m->heap, cap, sizeof *heap);
        if (heap == NULL) {
            return qn_fail_nomem(err, "merging", cap * sizeof *heap);
        }
        m->heap = heap;
        m->cap_heap = cap;
    }
    size_t i = m->n_heap++;
    while (i > 0 && m->heap[(i - 1) / 2].key > candidate.key) {
        m->heap[i] = m->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    m->heap[i] = candidate;
    return QN_OK;
}

static qn_candidate pop(qn_merging *m) {
    const qn_candidate top = m->heap[0];
    const qn_candidate last = m->heap[--m->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= m->n_heap) {
            break;
        }
        if (child + 1 < m->n_heap && m->heap[child + 1].key < m->heap[child].key) {
            child++;
        }
        if (m->heap[child].key >= last.key) {
            break;
        }
        m->heap[i] = m->heap[child];
        i = child;
    }
    m->heap[i] = last;
    return top;
}

static qn_status offer_pair(qn_merging *m, int32_t left, int32_t right, qn_pair_fn *pair, const void *user,
                            qn_error *err) {
    uint32_t rank = 0;
    int32_t id = QN_NONE;
    if (left == QN_NONE || right == QN_NONE || !pair(user, &m->symbols[left], &m->symbols[right], &rank, &id)) {
        return QN_OK;
    }
    const uint32_t len = m->symbols[left].len + m->symbols[right].len;
    return push(m, (qn_candidate){(uint64_t)rank << 32 | (uint32_t)left, right, len, id}, err);
}

qn_status qn_merging_run(qn_merging *m, qn_pair_fn *pair, const void *user, qn_error *err) {
    m->n_heap = 0;
    for (size_t i = 1; i < m->n; i++) {
        QN_TRY(offer_pair(m, (int32_t)i - 1, (int32_t)i, pair, user, err));
    }
    while (m->n_heap > 0) {
        const qn_candidate c = pop(m);
        const int32_t at = (int32_t)(uint32_t)c.key;
        qn_symbol *left = &m->symbols[at];
        qn_symbol *right = &m->symbols[c.right];
        if (left->len == 0 || right->len == 0 || left->len + right->len != c.len) {
            continue; /* one of them has merged since */
        }
        left->len = c.len;
        left->id = c.id;
        right->len = 0;
        left->next = right->next;
        if (right->next != QN_NONE) {
            m->symbols[right->next].prev = at;
        }
        QN_TRY(offer_pair(m, left->prev, at, pair, user, err));
        QN_TRY(offer_pair(m, at, left->next, pair, user, err));
    }
    return QN_OK;
}

void qn_merging_clear(qn_merging *m) {
    free(m->symbols);
    free(m->heap);
    *m = (qn_merging){0};
}
