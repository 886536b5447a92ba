/* SPDX-License-Identifier: MIT */
/* byte_trie.c: a trie over bytes whose edges live in one hash table. */
#include "text/tokenizer_parts.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_NODES = 1 << 23 }; /* a node and a byte make a 32-bit link */

static uint64_t home(uint64_t key, uint64_t n_slots) {
    return (key * 0x9E3779B97F4A7C15U >> 20) & (n_slots - 1);
}

static uint64_t find_slot(const qn_byte_trie *trie, uint64_t key) {
    uint64_t slot = home(key, trie->n_slots);
    while (trie->keys[slot] != 0 && trie->keys[slot] != key) {
        slot = (slot + 1) & (trie->n_slots - 1);
    }
    return slot;
}

int64_t qn_byte_trie_child(const qn_byte_trie *trie, uint32_t node, unsigned char byte) {
    if (node == 0) {
        return trie->first[byte] == 0 ? QN_NONE : (int64_t)trie->first[byte];
    }
    const uint64_t slot = find_slot(trie, ((uint64_t)node << 8 | byte) + 1);
    return trie->keys[slot] == 0 ? QN_NONE : (int64_t)trie->nodes[slot];
}

static qn_status grow_slots(qn_byte_trie *trie, qn_error *err) {
    qn_byte_trie grown = *trie;
    grown.n_slots = trie->n_slots == 0 ? 1024 : trie->n_slots * 2;
    grown.keys = qn_new_array(grown.n_slots, sizeof *grown.keys);
    grown.nodes = qn_new_array(grown.n_slots, sizeof *grown.nodes);
    if (grown.keys == NULL || grown.nodes == NULL) {
        free(grown.keys);
        free(grown.nodes);
        return qn_fail_nomem(err, "trie", (size_t)grown.n_slots * sizeof *grown.keys);
    }
    for (uint64_t i = 0; i < trie->n_slots; i++) {
        if (trie->keys[i] != 0) {
            const uint64_t slot = find_slot(&grown, trie->keys[i]);
            grown.keys[slot] = trie->keys[i];
            grown.nodes[slot] = trie->nodes[i];
        }
    }
    free(trie->keys);
    free(trie->nodes);
    *trie = grown;
    return QN_OK;
}

static qn_status grow_nodes(qn_byte_trie *trie, qn_error *err) {
    const uint32_t cap = trie->cap_nodes == 0 ? 256 : trie->cap_nodes * 2;
    int32_t *values = qn_resize_array(trie->values, cap, sizeof *values);
    if (values != NULL) {
        trie->values = values;
    }
    uint32_t *links = qn_resize_array(trie->links, cap, sizeof *links);
    if (links != NULL) {
        trie->links = links;
    }
    if (values == NULL || links == NULL) {
        return qn_fail_nomem(err, "trie", (size_t)cap * sizeof *values);
    }
    trie->cap_nodes = cap;
    return QN_OK;
}

static qn_status new_node(qn_byte_trie *trie, uint32_t link, uint32_t *node, qn_error *err) {
    if (trie->n_nodes == MAX_NODES) {
        return qn_fail(err, QN_E_RANGE, "the vocabulary's texts are too long together (%d nodes)", (int)MAX_NODES);
    }
    if (trie->n_nodes == trie->cap_nodes) {
        QN_TRY(grow_nodes(trie, err));
    }
    *node = trie->n_nodes++;
    trie->values[*node] = QN_NONE;
    trie->links[*node] = link;
    return QN_OK;
}

static qn_status add_child(qn_byte_trie *trie, uint32_t parent, unsigned char byte, uint32_t *node, qn_error *err) {
    if ((uint64_t)trie->n_used * 2 >= trie->n_slots) {
        QN_TRY(grow_slots(trie, err));
    }
    QN_TRY(new_node(trie, parent << 8 | byte, node, err));
    if (parent == 0) {
        trie->first[byte] = *node;
        return QN_OK;
    }
    const uint64_t key = ((uint64_t)parent << 8 | byte) + 1;
    const uint64_t slot = find_slot(trie, key);
    trie->keys[slot] = key;
    trie->nodes[slot] = *node;
    trie->n_used++;
    return QN_OK;
}

qn_status qn_byte_trie_put(qn_byte_trie *trie, qn_text text, int32_t value, qn_error *err) {
    uint32_t node = 0;
    if (trie->n_nodes == 0) {
        QN_TRY(new_node(trie, 0, &node, err));
    }
    for (size_t i = 0; i < text.len; i++) {
        const unsigned char byte = (unsigned char)text.bytes[i];
        const int64_t child = trie->n_slots == 0 ? QN_NONE : qn_byte_trie_child(trie, node, byte);
        if (child == QN_NONE) {
            QN_TRY(add_child(trie, node, byte, &node, err));
        } else {
            node = (uint32_t)child;
        }
    }
    if (node != 0 && trie->values[node] == QN_NONE) {
        trie->values[node] = value;
    }
    return QN_OK;
}

int32_t qn_byte_trie_longest(const qn_byte_trie *trie, const char *bytes, size_t n, size_t *len) {
    int32_t value = QN_NONE;
    int64_t node = 0;
    *len = 0;
    for (size_t i = 0; i < n; i++) {
        node = qn_byte_trie_child(trie, (uint32_t)node, (unsigned char)bytes[i]);
        if (node == QN_NONE) {
            break;
        }
        if (trie->values[node] != QN_NONE) {
            value = trie->values[node];
            *len = i + 1;
        }
    }
    return value;
}

void qn_byte_trie_clear(qn_byte_trie *trie) {
    free(trie->values);
    free(trie->links);
    free(trie->keys);
    free(trie->nodes);
    *trie = (qn_byte_trie){0};
}
