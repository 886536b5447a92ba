/* SPDX-License-Identifier: MIT */
/* recipe.c: the combinators: nodes in an arena, and what can be told of a recipe without reading anything. */
#include "base/checked.h"
#include "recipe/recipe_node.h"

#include <assert.h>

uint64_t qn_recipe_rows(const qn_recipe *r) {
    return r->n_rows;
}

uint64_t qn_recipe_cols(const qn_recipe *r) {
    return r->n_cols;
}

static qn_recipe *new_node(qn_arena *arena, qn_node_kind kind, uint64_t n_rows, uint64_t n_cols) {
    qn_recipe *r = qn_arena_array(arena, 1, sizeof *r);
    if (r != NULL) {
        r->kind = kind;
        r->n_rows = n_rows;
        r->n_cols = n_cols;
    }
    return r;
}

/** A node with one child; NULL when the child is. */
static qn_recipe *new_parent(qn_arena *arena, qn_node_kind kind, const qn_recipe *child, uint64_t n_rows,
                             uint64_t n_cols) {
    qn_recipe *r = child == NULL ? NULL : new_node(arena, kind, n_rows, n_cols);
    if (r != NULL) {
        r->child = child;
        r->is_merged = child->is_merged;
    }
    return r;
}

static bool is_same_product(uint64_t a, uint64_t b, uint64_t c, uint64_t d) {
    uint64_t left = 0;
    uint64_t right = 0;
    return qn_mul_u64(a, b, &left) && qn_mul_u64(c, d, &right) && left == right;
}

const qn_recipe *qn_recipe_bytes(qn_arena *arena, const qn_file *file, uint64_t file_off, qn_dtype type,
                                 uint64_t n_rows, uint64_t n_cols) {
    uint64_t row_bytes = 0;
    const bool is_whole_blocks = qn_row_size(type, n_cols, &row_bytes, NULL) == QN_OK;
    assert(is_whole_blocks);
    qn_recipe *r = is_whole_blocks ? new_node(arena, QN_NODE_BYTES, n_rows, n_cols) : NULL;
    if (r != NULL) {
        r->as.bytes.file = file;
        r->as.bytes.file_off = file_off;
        r->as.bytes.row_bytes = row_bytes;
        r->as.bytes.type = type;
    }
    return r;
}

const qn_recipe *qn_recipe_values(qn_arena *arena, const float *values, uint64_t n_rows, uint64_t n_cols) {
    qn_recipe *r = new_node(arena, QN_NODE_VALUES, n_rows, n_cols);
    if (r != NULL) {
        r->as.values = values;
    }
    return r;
}

const qn_recipe *qn_recipe_slice(qn_arena *arena, const qn_recipe *child, uint64_t first, uint64_t n_rows) {
    assert(child == NULL || (first <= child->n_rows && n_rows <= child->n_rows - first));
    qn_recipe *r = child == NULL ? NULL : new_parent(arena, QN_NODE_SLICE, child, n_rows, child->n_cols);
    if (r != NULL) {
        r->as.first_row = first;
    }
    return r;
}

const qn_recipe *qn_recipe_concat(qn_arena *arena, const qn_recipe *const *children, uint64_t n) {
    assert(n > 0);
    const qn_recipe **copy = qn_arena_array(arena, n, sizeof(const qn_recipe *));
    uint64_t *starts = qn_arena_array(arena, n, sizeof *starts);
    uint64_t n_rows = 0;
    bool is_merged = false;
    if (copy == NULL || starts == NULL) {
        return NULL;
    }
    for (uint64_t i = 0; i < n; i++) {
        if (children[i] == NULL) {
            return NULL;
        }
        assert(children[i]->n_cols == children[0]->n_cols);
        copy[i] = children[i];
        starts[i] = n_rows;
        n_rows += children[i]->n_rows;
        is_merged = is_merged || children[i]->is_merged;
    }
    qn_recipe *r = new_node(arena, QN_NODE_CONCAT, n_rows, children[0]->n_cols);
    if (r != NULL) {
        r->is_merged = is_merged;
        r->as.concat.children = copy;
        r->as.concat.starts = starts;
        r->as.concat.n = n;
    }
    return r;
}

const qn_recipe *qn_recipe_reshape(qn_arena *arena, const qn_recipe *child, uint64_t n_rows, uint64_t n_cols) {
    assert(child == NULL || is_same_product(child->n_rows, child->n_cols, n_rows, n_cols));
    return new_parent(arena, QN_NODE_RESHAPE, child, n_rows, n_cols);
}

const qn_recipe *qn_recipe_transpose(qn_arena *arena, const qn_recipe *child) {
    return child == NULL ? NULL : new_parent(arena, QN_NODE_TRANSPOSE, child, child->n_cols, child->n_rows);
}

static const qn_recipe *new_rope(qn_arena *arena, qn_node_kind kind, const qn_recipe *child, uint64_t n_head) {
    assert(child == NULL || (n_head > 0 && child->n_rows % n_head == 0 && child->n_rows / n_head % 2 == 0));
    qn_recipe *r = child == NULL ? NULL : new_parent(arena, kind, child, child->n_rows, child->n_cols);
    if (r != NULL) {
        r->as.n_head = n_head;
    }
    return r;
}

const qn_recipe *qn_recipe_rope_pairs(qn_arena *arena, const qn_recipe *child, uint64_t n_head) {
    return new_rope(arena, QN_NODE_ROPE_PAIRS, child, n_head);
}

const qn_recipe *qn_recipe_rope_halves(qn_arena *arena, const qn_recipe *child, uint64_t n_head) {
    return new_rope(arena, QN_NODE_ROPE_HALVES, child, n_head);
}

static const qn_recipe *new_with_number(qn_arena *arena, qn_node_kind kind, const qn_recipe *child, float number) {
    qn_recipe *r = child == NULL ? NULL : new_parent(arena, kind, child, child->n_rows, child->n_cols);
    if (r != NULL) {
        r->as.number = number;
    }
    return r;
}

const qn_recipe *qn_recipe_offset(qn_arena *arena, const qn_recipe *child, float addend) {
    return new_with_number(arena, QN_NODE_OFFSET, child, addend);
}

const qn_recipe *qn_recipe_scale(qn_arena *arena, const qn_recipe *child, float factor) {
    return new_with_number(arena, QN_NODE_SCALE, child, factor);
}

const qn_recipe *qn_recipe_add(qn_arena *arena, const qn_recipe *child, const qn_recipe *other, float factor) {
    if (child == NULL || other == NULL) {
        return NULL;
    }
    assert(child->n_rows == other->n_rows && child->n_cols == other->n_cols);
    qn_recipe *r = new_parent(arena, QN_NODE_ADD, child, child->n_rows, child->n_cols);
    if (r != NULL) {
        r->is_merged = child->is_merged || other->is_merged;
        r->as.add.other = other;
        r->as.add.factor = factor;
    }
    return r;
}

const qn_recipe *qn_recipe_low_rank(qn_arena *arena, const qn_recipe *child, const qn_low_rank *update) {
    const qn_recipe *magnitude = update->magnitude;
    if (child == NULL || update->left == NULL || update->right == NULL) {
        return NULL;
    }
    assert(update->left->n_rows == child->n_rows && update->right->n_cols == child->n_cols);
    assert(update->left->n_cols == update->right->n_rows);
    assert(magnitude == NULL ||
           is_same_product(magnitude->n_rows, magnitude->n_cols, 1, update->by_column ? child->n_cols : child->n_rows));
    (void)magnitude;
    qn_recipe *r = new_parent(arena, QN_NODE_LOW_RANK, child, child->n_rows, child->n_cols);
    if (r != NULL) {
        r->is_merged = true;
        r->as.update = *update;
    }
    return r;
}

void qn_node_each(const qn_recipe *r, void (*visit)(const qn_recipe *node, void *user), void *user) {
    if (r->child != NULL) {
        visit(r->child, user);
    }
    switch (r->kind) {
    case QN_NODE_CONCAT:
        for (uint64_t i = 0; i < r->as.concat.n; i++) {
            visit(r->as.concat.children[i], user);
        }
        break;
    case QN_NODE_ADD: visit(r->as.add.other, user); break;
    case QN_NODE_LOW_RANK:
        visit(r->as.update.left, user);
        visit(r->as.update.right, user);
        if (r->as.update.magnitude != NULL) {
            visit(r->as.update.magnitude, user);
        }
        break;
    default: break;
    }
}

bool qn_recipe_is_bytes(const qn_recipe *r, const qn_file **file, uint64_t *file_off, qn_dtype *type) {
    uint64_t skipped = 0; /* elements before r's first one, in the child looked at */
    const uint64_t n_cols = r->n_cols;
    while (r->kind == QN_NODE_SLICE || r->kind == QN_NODE_RESHAPE) {
        skipped += r->kind == QN_NODE_SLICE ? r->as.first_row * r->n_cols : 0;
        r = r->child;
    }
    uint64_t before = 0;
    uint64_t row_bytes = 0;
    if (r->kind != QN_NODE_BYTES || qn_row_size(r->as.bytes.type, n_cols, &row_bytes, NULL) != QN_OK ||
        qn_row_size(r->as.bytes.type, skipped, &before, NULL) != QN_OK) {
        return false;
    }
    *file = r->as.bytes.file;
    *file_off = r->as.bytes.file_off + before;
    *type = r->as.bytes.type;
    return true;
}

qn_dtype qn_recipe_source_type(const qn_recipe *r) {
    while (r->kind != QN_NODE_BYTES && r->kind != QN_NODE_VALUES) {
        r = r->kind == QN_NODE_CONCAT ? r->as.concat.children[0] : r->child;
    }
    return r->kind == QN_NODE_BYTES ? r->as.bytes.type : QN_F32;
}

uint64_t qn_node_element_bytes(const qn_recipe *r) {
    const qn_dtype_info *info = qn_dtype_get((uint32_t)qn_recipe_source_type(r));
    return info == NULL ? 1 : (info->block_bytes + info->block_len - 1) / info->block_len;
}

static void add_source_bytes(const qn_recipe *r, void *user) {
    uint64_t *total = user;
    *total += qn_recipe_source_bytes(r);
}

uint64_t qn_recipe_source_bytes(const qn_recipe *r) {
    uint64_t total = 0;
    if (r->kind == QN_NODE_BYTES) {
        return r->n_rows * r->as.bytes.row_bytes;
    }
    qn_node_each(r, add_source_bytes, &total);
    if (r->kind == QN_NODE_SLICE && r->child->n_rows > 0) {
        const uint64_t whole = r->child->n_rows;
        return total / whole * r->n_rows + total % whole * r->n_rows / whole;
    }
    return total;
}

bool qn_recipe_is_merged(const qn_recipe *r) {
    return r->is_merged;
}

/** What evaluation takes below a node: the largest temporary, and how many are held at once. */
typedef struct demand {
    uint64_t largest;
    uint64_t depth;
} demand;

static void add_demand(const qn_recipe *r, void *user) {
    const uint64_t chunk = QN_CHUNK_ELEMENTS;
    const uint64_t row = (r->n_cols > chunk ? r->n_cols : chunk) * sizeof(float);
    demand below = {0, 0};
    demand *sum = user;
    qn_node_each(r, add_demand, &below);
    uint64_t own = 0;
    uint64_t n_own = 0;
    switch (r->kind) {
    case QN_NODE_BYTES:
        own = chunk * qn_node_element_bytes(r);
        n_own = 1;
        break;
    case QN_NODE_TRANSPOSE:
        own = (r->n_rows > chunk ? r->n_rows : chunk) * sizeof(float); /* a row of the child, and one to cut it from */
        n_own = 2;
        break;
    case QN_NODE_RESHAPE:
        own = (r->child->n_cols > chunk ? r->child->n_cols : chunk) * sizeof(float);
        n_own = 1;
        break;
    case QN_NODE_ROPE_HALVES:
        own = (2 * r->n_cols > chunk ? 2 * r->n_cols : chunk) * sizeof(float); /* a pair of rows at least */
        n_own = 1;
        break;
    case QN_NODE_ROPE_PAIRS:
    case QN_NODE_ADD:
        own = row;
        n_own = 1;
        break;
    case QN_NODE_LOW_RANK:
        own = row;
        n_own = 2;
        break;
    default: break;
    }
    below.largest = own > below.largest ? own : below.largest;
    below.depth += n_own;
    sum->largest = below.largest > sum->largest ? below.largest : sum->largest;
    sum->depth = below.depth > sum->depth ? below.depth : sum->depth;
}

uint64_t qn_recipe_scratch_bytes(const qn_recipe *r) {
    demand sum = {0, 0};
    add_demand(r, &sum);
    return (sum.largest + 64) * sum.depth; /* blocks are aligned */
}

static void add_ready_bytes(const qn_recipe *r, void *user) {
    uint64_t *total = user;
    qn_node_each(r, add_ready_bytes, total);
    if (r->kind == QN_NODE_LOW_RANK) {
        const qn_low_rank *update = &r->as.update;
        const uint64_t factor = (update->right->n_cols + 16) * update->right->n_rows; /* tiles are padded */
        const uint64_t norms = update->magnitude == NULL ? 0 : update->by_column ? 3 * r->n_cols : r->n_rows;
        *total += sizeof(qn_prepared) + (factor + norms) * sizeof(float);
    }
}

uint64_t qn_recipe_ready_bytes(const qn_recipe *r) {
    uint64_t total = sizeof(qn_ready);
    add_ready_bytes(r, &total);
    return total;
}
