/* SPDX-License-Identifier: MIT */
/* recipe_scratch.c: a worker's temporaries: as many blocks as nodes nest, each used again for the next unit. */
#include "base/checked.h"
#include "recipe/recipe_node.h"

#include <stdlib.h>

enum { BLOCK_ALIGNMENT = 64 };

struct qn_scratch_block {
    struct qn_scratch_block *next;
    unsigned char *memory; /* owned */
    uint64_t size_bytes;
    bool is_taken;
};

typedef struct qn_scratch_block block;

void qn_scratch_clear(qn_scratch *scratch) {
    block *b = scratch->blocks;
    while (b != NULL) {
        block *next = b->next;
        free(b->memory);
        free(b);
        b = next;
    }
    scratch->blocks = NULL;
}

/** The smallest free block that is large enough, else the largest free one; NULL when all are taken. */
static block *best_free_block(const qn_scratch *scratch, uint64_t size_bytes) {
    block *best = NULL;
    for (block *b = scratch->blocks; b != NULL; b = b->next) {
        if (b->is_taken) {
            continue;
        }
        const bool fits = b->size_bytes >= size_bytes;
        if (best == NULL) {
            best = b;
        } else if (best->size_bytes >= size_bytes) {
            best = fits && b->size_bytes < best->size_bytes ? b : best;
        } else {
            best = b->size_bytes > best->size_bytes ? b : best;
        }
    }
    return best;
}

static block *add_block(qn_scratch *scratch) {
    block *b = calloc(1, sizeof *b);
    if (b != NULL) {
        b->next = scratch->blocks;
        scratch->blocks = b;
    }
    return b;
}

void *qn_scratch_take(qn_scratch *scratch, uint64_t n, size_t size, qn_error *err) {
    uint64_t wanted = 0;
    if (!qn_mul_u64(n == 0 ? 1 : n, size, &wanted) || !qn_align_u64(wanted, BLOCK_ALIGNMENT, &wanted) ||
        wanted > SIZE_MAX) {
        (void)qn_fail_nomem(err, "a tensor's temporaries", SIZE_MAX);
        return NULL;
    }
    block *b = best_free_block(scratch, wanted);
    if (b == NULL) {
        b = add_block(scratch);
    }
    if (b != NULL && b->size_bytes < wanted) {
        free(b->memory);
        b->memory = aligned_alloc(BLOCK_ALIGNMENT, (size_t)wanted);
        b->size_bytes = b->memory == NULL ? 0 : wanted;
    }
    if (b == NULL || b->memory == NULL) {
        (void)qn_fail_nomem(err, "a tensor's temporaries", (size_t)wanted);
        return NULL;
    }
    b->is_taken = true;
    return b->memory;
}

void qn_scratch_give(qn_scratch *scratch, const void *memory) {
    for (block *b = scratch->blocks; b != NULL && memory != NULL; b = b->next) {
        if (b->memory == memory) {
            b->is_taken = false;
        }
    }
}

void qn_scratch_reset(qn_scratch *scratch) {
    for (block *b = scratch->blocks; b != NULL; b = b->next) {
        b->is_taken = false;
    }
}
