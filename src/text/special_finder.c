/* SPDX-License-Identifier: MIT */
/* special_finder.c: cuts text at the special tokens that it spells out.
 *
 * llama.cpp searches the text for one special token after the other, the longest first. The same cuts are found here in
 * one pass: the automaton gives, for each place, the longest token that ends there; those offers are taken in the order
 * of their length, and an offer that a taken token has cut off on its left is made again with the next shorter one.
 */
#include "text/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

/* ---- building ---- */

/* Parents come before their children in the trie, but a node's suffix may come later: nodes are taken by depth. */
static qn_status order_by_depth(const qn_byte_trie *trie, uint32_t **out, qn_error *err) {
    uint32_t *order = qn_new_array((uint64_t)trie->n_nodes + 1, sizeof *order);
    uint32_t *depths = qn_new_array((uint64_t)trie->n_nodes + 1, sizeof *depths);
    uint32_t *starts = qn_new_array((uint64_t)trie->n_nodes + 2, sizeof *starts);
    if (order == NULL || depths == NULL || starts == NULL) {
        free(order);
        free(depths);
        free(starts);
        return qn_fail_nomem(err, "special tokens", (size_t)trie->n_nodes * sizeof *order);
    }
    for (uint32_t i = 1; i < trie->n_nodes; i++) {
        depths[i] = depths[trie->links[i] >> 8] + 1;
        starts[depths[i] + 1]++;
    }
    for (uint32_t depth = 1; depth <= trie->n_nodes; depth++) {
        starts[depth] += starts[depth - 1];
    }
    for (uint32_t i = 1; i < trie->n_nodes; i++) {
        order[starts[depths[i]]++] = i;
    }
    free(depths);
    free(starts);
    *out = order;
    return QN_OK;
}

static uint32_t step(const qn_special_finder *f, uint32_t node, unsigned char byte) {
    for (;;) {
        const int64_t child = qn_byte_trie_child(&f->trie, node, byte);
        if (child != QN_NONE) {
            return (uint32_t)child;
        }
        if (node == 0) {
            return 0;
        }
        node = f->fails[node];
    }
}

static qn_status link_nodes(qn_special_finder *f, qn_error *err) {
    uint32_t *order = NULL;
    QN_TRY(order_by_depth(&f->trie, &order, err));
    f->fails = qn_new_array(f->trie.n_nodes, sizeof *f->fails);
    f->outs = qn_new_array(f->trie.n_nodes, sizeof *f->outs);
    if (f->fails == NULL || f->outs == NULL) {
        free(order);
        return qn_fail_nomem(err, "special tokens", (size_t)f->trie.n_nodes * sizeof *f->fails);
    }
    for (uint32_t i = 0; i + 1 < f->trie.n_nodes; i++) {
        const uint32_t node = order[i];
        const uint32_t parent = f->trie.links[node] >> 8;
        const uint32_t fail = parent == 0 ? 0 : step(f, f->fails[parent], (unsigned char)f->trie.links[node]);
        f->fails[node] = fail;
        f->outs[node] = f->trie.values[fail] != QN_NONE ? fail : f->outs[fail];
    }
    free(order);
    return QN_OK;
}

qn_status qn_special_finder_open(const qn_tokenizer *t, qn_special_finder *out, qn_error *err) {
    for (size_t i = 0; i < t->n_tokens; i++) {
        if ((t->attrs[i] & QN_ATTR_SPECIAL) != 0 && t->texts[i].len > 0) {
            QN_TRY(qn_byte_trie_put(&out->trie, t->texts[i], (int32_t)i, err));
        }
    }
    return out->trie.n_nodes == 0 ? QN_OK : link_nodes(out, err);
}

void qn_special_finder_clear(qn_special_finder *finder) {
    qn_byte_trie_clear(&finder->trie);
    free(finder->fails);
    free(finder->outs);
    finder->fails = finder->outs = NULL;
}

/* ---- finding ---- */

/* A token that ends before end. */
typedef struct offer {
    size_t len;
    size_t end;
    uint32_t node;
} offer;

typedef struct search {
    const qn_tokenizer *t;
    qn_text text;
    bool parse_special;
    offer *heap;
    size_t n;
    size_t cap;
    unsigned char *taken; /* a bit for each byte of text */
    qn_fragments *found;
} search;

static bool is_before(const offer *a, const offer *b) {
    return a->len != b->len ? a->len > b->len : a->end < b->end;
}

static void sift_down(offer *heap, size_t n, size_t i) {
    const offer moved = heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n) {
            break;
        }
        if (child + 1 < n && is_before(&heap[child + 1], &heap[child])) {
            child++;
        }
        if (!is_before(&heap[child], &moved)) {
            break;
        }
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = moved;
}

/* The longest token from node on, down its suffixes, that may be parsed and has at most max_len bytes; 0 for none. */
static uint32_t next_out(const search *s, uint32_t node, size_t max_len) {
    const qn_special_finder *f = &s->t->specials;
    for (; node != 0; node = f->outs[node]) {
        const int32_t token = f->trie.values[node];
        if (token != QN_NONE && s->t->texts[token].len <= max_len &&
            (s->parse_special || (s->t->attrs[token] & QN_ATTR_HIDDEN) == 0)) {
            return node;
        }
    }
    return 0;
}

static qn_status add_offer(search *s, uint32_t node, size_t end, qn_error *err) {
    if (s->n == s->cap) {
        const size_t cap = s->cap < 64 ? 64 : s->cap * 2;
        offer *heap = qn_resize_array(s->heap, cap, sizeof *heap);
        if (heap == NULL) {
            return qn_fail_nomem(err, "special tokens", cap * sizeof *heap);
        }
        s->heap = heap;
        s->cap = cap;
    }
    s->heap[s->n++] = (offer){s->t->texts[s->t->specials.trie.values[node]].len, end, node};
    return QN_OK;
}

static qn_status collect_offers(search *s, qn_error *err) {
    const qn_special_finder *f = &s->t->specials;
    uint32_t node = 0;
    for (size_t i = 0; i < s->text.len; i++) {
        const unsigned char byte = (unsigned char)s->text.bytes[i];
        node = node == 0 ? f->trie.first[byte] : step(f, node, byte);
        const uint32_t out = node == 0 ? 0 : next_out(s, node, SIZE_MAX);
        if (out != 0) {
            QN_TRY(add_offer(s, out, i + 1, err));
        }
    }
    for (size_t i = s->n / 2; i-- > 0;) {
        sift_down(s->heap, s->n, i);
    }
    return QN_OK;
}

static bool is_taken(const search *s, size_t at) {
    return (s->taken[at / 8] >> (at % 8) & 1) != 0;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static qn_status push_fragment(qn_fragments *list, qn_fragment fragment, qn_error *err) {
    if (list->n == list->cap) {
        const size_t cap = list->cap < 16 ? 16 : list->cap * 2;
        qn_fragment *items = qn_resize_array(list->items, cap, sizeof *items);
        if (items == NULL) {
            return qn_fail_nomem(err, "special tokens", cap * sizeof *items);
        }
        list->items = items;
        list->cap = cap;
    }
    list->items[list->n++] = fragment;
    return QN_OK;
}

/* Takes a token's bytes, and the white space beside it that it strips. */
static qn_status take_token(search *s, int32_t token, size_t start, size_t end, qn_error *err) {
    const unsigned attrs = s->t->attrs[token];
    while ((attrs & QN_ATTR_STRIPS_LEFT) != 0 && start > 0 && !is_taken(s, start - 1) &&
           is_space(s->text.bytes[start - 1])) {
        start--;
    }
    while ((attrs & QN_ATTR_STRIPS_RIGHT) != 0 && end < s->text.len && !is_taken(s, end) &&
           is_space(s->text.bytes[end])) {
        end++;
    }
    for (size_t i = start; i < end; i++) {
        s->taken[i / 8] |= (unsigned char)(1U << (i % 8));
    }
    return push_fragment(s->found, (qn_fragment){token, start, end - start}, err);
}

/* Bytes before end that nobody has taken, at most len. */
static size_t free_before(const search *s, size_t end, size_t len) {
    size_t n = 0;
    while (n < len && !is_taken(s, end - 1 - n)) {
        n++;
    }
    return n;
}

static qn_status settle_offers(search *s, qn_error *err) {
    while (s->n > 0) {
        offer *top = &s->heap[0];
        const size_t n_free = free_before(s, top->end, top->len);
        if (n_free == top->len) {
            QN_TRY(take_token(s, s->t->specials.trie.values[top->node], top->end - top->len, top->end, err));
            top->node = 0;
        } else {
            top->node = next_out(s, s->t->specials.outs[top->node], n_free);
        }
        if (top->node == 0) {
            *top = s->heap[--s->n];
        } else {
            top->len = s->t->texts[s->t->specials.trie.values[top->node]].len;
        }
        if (s->n > 0) {
            sift_down(s->heap, s->n, 0);
        }
    }
    return QN_OK;
}

static int by_place(const void *a, const void *b) {
    const size_t at_a = ((const qn_fragment *)a)->at;
    const size_t at_b = ((const qn_fragment *)b)->at;
    return (at_a > at_b) - (at_a < at_b);
}

/* Puts what was found in order, with the text between. */
static qn_status lay_out(const qn_fragments *found, qn_text text, qn_fragments *out, qn_error *err) {
    size_t at = 0;
    if (found->n > 1) {
        qsort(found->items, found->n, sizeof *found->items, by_place);
    }
    for (size_t i = 0; i <= found->n; i++) {
        const size_t end = i < found->n ? found->items[i].at : text.len;
        if (end > at) {
            QN_TRY(push_fragment(out, (qn_fragment){QN_NONE, at, end - at}, err));
        }
        if (i < found->n) {
            QN_TRY(push_fragment(out, found->items[i], err));
            at = end + found->items[i].len;
        }
    }
    return QN_OK;
}

qn_status qn_find_specials(const qn_tokenizer *t, qn_text text, bool parse_special, qn_fragments *out, qn_error *err) {
    qn_fragments found = {0};
    search s = {.t = t, .text = text, .parse_special = parse_special, .found = &found};
    qn_status status = t->specials.trie.n_nodes == 0 ? QN_OK : collect_offers(&s, err);
    if (status == QN_OK && s.n > 0) {
        s.taken = qn_new_array(text.len / 8 + 1, 1);
        status = s.taken == NULL ? qn_fail_nomem(err, "special tokens", text.len / 8) : settle_offers(&s, err);
    }
    if (status == QN_OK) {
        status = lay_out(&found, text, out, err);
    }
    free(s.heap);
    free(s.taken);
    free(found.items);
    return status;
}
