/* SPDX-License-Identifier: MIT */
/* recipe_ready.c: prepares a recipe: its low-rank nodes, the inner ones first, in a table sorted by node. */
#include "recipe/recipe_node.h"

#include <stdlib.h>
#include <string.h>

static int compare_nodes(const qn_recipe *a, const qn_recipe *b) {
    return (uintptr_t)a < (uintptr_t)b ? -1 : (uintptr_t)a > (uintptr_t)b;
}

/** The first item whose node is not before `node`. */
static uint64_t find_place(const qn_ready *ready, const qn_recipe *node) {
    uint64_t low = 0;
    uint64_t high = ready->n_items;
    while (low < high) {
        const uint64_t middle = low + (high - low) / 2;
        if (compare_nodes(ready->items[middle].node, node) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

const qn_prepared *qn_ready_find(const qn_ready *ready, const qn_recipe *node) {
    const uint64_t place = find_place(ready, node);
    return place < ready->n_items && ready->items[place].node == node ? &ready->items[place] : NULL;
}

static void count_updates(const qn_recipe *r, void *user) {
    uint64_t *n = user;
    if (r->is_merged) {
        *n += r->kind == QN_NODE_LOW_RANK ? 1 : 0;
        qn_node_each(r, count_updates, n);
    }
}

static void clear_item(qn_prepared *item) {
    free(item->right);
    free(item->factors);
}

/** A preparation under way: the walk down the recipe ends at the first failure. */
typedef struct walk {
    qn_ready *ready;
    qn_eval eval;
    qn_status status;
} walk;

static void prepare_node(const qn_recipe *r, void *user) {
    walk *w = user;
    if (!r->is_merged || w->status != QN_OK) {
        return;
    }
    qn_node_each(r, prepare_node, w);
    if (w->status != QN_OK || r->kind != QN_NODE_LOW_RANK || qn_ready_find(w->ready, r) != NULL) {
        return;
    }
    qn_prepared item = {.node = r};
    w->status = qn_low_rank_prepare(&w->eval, r, &item);
    if (w->status != QN_OK) {
        clear_item(&item);
        return;
    }
    const uint64_t place = find_place(w->ready, r);
    qn_prepared *at = w->ready->items + place;
    memmove(at + 1, at, (w->ready->n_items - place) * sizeof *at);
    *at = item;
    w->ready->n_items++;
}

qn_status qn_ready_open(const qn_recipe *r, qn_cpu_level level, qn_ready **out, qn_error *err) {
    uint64_t n_items = 0;
    qn_scratch scratch = {NULL};
    qn_ready *ready = qn_new_array(1, sizeof *ready);
    count_updates(r, &n_items);
    if (ready != NULL) {
        ready->root = r;
        ready->level = level;
        ready->items = qn_new_array(n_items, sizeof *ready->items);
    }
    if (ready == NULL || ready->items == NULL) {
        free(ready);
        return qn_fail_nomem(err, "a recipe's updates", n_items * sizeof *ready->items);
    }
    walk w = {ready, {ready, &scratch, err}, QN_OK};
    prepare_node(r, &w);
    qn_scratch_clear(&scratch);
    if (w.status != QN_OK) {
        qn_ready_close(ready);
        return w.status;
    }
    *out = ready;
    return QN_OK;
}

void qn_ready_close(qn_ready *ready) {
    if (ready == NULL) {
        return;
    }
    for (uint64_t i = 0; ready->items != NULL && i < ready->n_items; i++) {
        clear_item(&ready->items[i]);
    }
    free(ready->items);
    free(ready);
}
