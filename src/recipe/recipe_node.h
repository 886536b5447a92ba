/* SPDX-License-Identifier: MIT */
/* recipe_node.h: what a recipe's nodes are made of; for the files of this folder only. */
#ifndef QUERN_RECIPE_RECIPE_NODE_H
#define QUERN_RECIPE_RECIPE_NODE_H

#include "recipe/recipe.h"

/** Floats that temporaries aim at: they stay in a core's cache, and bound the memory of any nesting. */
enum { QN_CHUNK_ELEMENTS = 1 << 17 };

typedef enum qn_node_kind {
    QN_NODE_BYTES,
    QN_NODE_VALUES,
    QN_NODE_SLICE,
    QN_NODE_CONCAT,
    QN_NODE_RESHAPE,
    QN_NODE_TRANSPOSE,
    QN_NODE_ROPE_PAIRS,
    QN_NODE_ROPE_HALVES,
    QN_NODE_OFFSET,
    QN_NODE_SCALE,
    QN_NODE_ADD,
    QN_NODE_LOW_RANK
} qn_node_kind;

struct qn_recipe {
    qn_node_kind kind;
    bool is_merged; /* a low-rank update is here or below */
    uint64_t n_rows;
    uint64_t n_cols;
    const qn_recipe *child; /* of the kinds that have exactly one to work on; else NULL */
    union {
        struct {
            const qn_file *file;
            uint64_t file_off;
            uint64_t row_bytes;
            qn_dtype type;
        } bytes;
        const float *values; /* [n_rows, n_cols] */
        uint64_t first_row;  /* slice */
        struct {
            const qn_recipe *const *children;
            const uint64_t *starts; /* [n] first row of each child */
            uint64_t n;
        } concat;
        uint64_t n_head; /* rope_pairs, rope_halves */
        float number;    /* offset's addend, scale's factor */
        struct {
            const qn_recipe *other;
            float factor;
        } add;
        qn_low_rank update;
    } as;
};

/** Hands every node right below r to visit, in the order of the fields. */
void qn_node_each(const qn_recipe *r, void (*visit)(const qn_recipe *node, void *user), void *user);

/** What was prepared for one low-rank node. */
typedef struct qn_prepared {
    const qn_recipe *node;
    float *right;   /* A in tiles: see low_rank_kernel.h */
    float *factors; /* DoRA by column: m / norm [n_cols]; by row: m [n_rows]; NULL for LoRA */
} qn_prepared;

struct qn_ready {
    const qn_recipe *root;
    qn_cpu_level level;
    qn_prepared *items; /* [n_items], sorted by node */
    uint64_t n_items;
};

/** The prepared part of a low-rank node; NULL when it has none. */
const qn_prepared *qn_ready_find(const qn_ready *ready, const qn_recipe *node);

/** What one evaluation passes down. */
typedef struct qn_eval {
    const qn_ready *ready;
    qn_scratch *scratch;
    qn_error *err;
} qn_eval;

/** Rows [first, first + n_rows) of a node. @param dst [n_rows, r->n_cols] */
QN_NODISCARD qn_status qn_node_rows(const qn_eval *e, const qn_recipe *r, uint64_t first, uint64_t n_rows, float *dst);

/** Elements [first, first + n) of a node in row-major order. @param dst [n] */
QN_NODISCARD qn_status qn_node_span(const qn_eval *e, const qn_recipe *r, uint64_t first, uint64_t n, float *dst);

/** Whether a short span costs no more than its own elements (bytes or values, perhaps sliced or scaled). */
bool qn_node_has_cheap_span(const qn_recipe *r);

/** Bytes of one element of the first source, rounded up. */
uint64_t qn_node_element_bytes(const qn_recipe *r);

/** qn_node_rows() of a low-rank node. */
QN_NODISCARD qn_status qn_low_rank_rows(const qn_eval *e, const qn_recipe *r, uint64_t first, uint64_t n_rows,
                                        float *dst);

/** Prepares a low-rank node; what lies below it must be in ready already. */
QN_NODISCARD qn_status qn_low_rank_prepare(const qn_eval *e, const qn_recipe *r, qn_prepared *out);

/** Memory of n elements of a size from the scratch; NULL when short. */
void *qn_scratch_take(qn_scratch *scratch, uint64_t n, size_t size, qn_error *err);
/** Gives back what was taken, in any order; accepts NULL. */
void qn_scratch_give(qn_scratch *scratch, const void *memory);
/** Gives back everything (what a failed evaluation left). */
void qn_scratch_reset(qn_scratch *scratch);

/** Rows of a chunk whose rows have n_cols elements: at least one. */
static inline uint64_t qn_chunk_rows(uint64_t n_cols) {
    return n_cols == 0 || n_cols > QN_CHUNK_ELEMENTS ? 1 : QN_CHUNK_ELEMENTS / n_cols;
}

#endif
