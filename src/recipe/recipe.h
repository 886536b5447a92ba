/* SPDX-License-Identifier: MIT */
/* recipe.h: how to produce any range of rows of one tensor as float32, built of a few combinators. */
#ifndef QUERN_RECIPE_RECIPE_H
#define QUERN_RECIPE_RECIPE_H

#include "base/file.h"
#include "dtype/codec.h"

/**
 * A recipe: an immutable node in an arena, with n_rows and n_cols. Making one reads nothing. Tensors of more
 * than two dimensions are seen as rows: all dimensions but the last, flattened; a vector is one row.
 */
typedef struct qn_recipe qn_recipe;

uint64_t qn_recipe_rows(const qn_recipe *r); /**< Number of rows. */
uint64_t qn_recipe_cols(const qn_recipe *r); /**< Row length. */

/* Combinators. Each returns NULL when memory is short or a child is NULL, so that calls can be nested and
 * checked once. Shapes must fit: a mismatch is a programmer's mistake (assert). Children are borrowed. */

/** Bytes of an open file: [n_rows, n_cols] of a type at file_off. */
const qn_recipe *qn_recipe_bytes(qn_arena *arena, const qn_file *file, uint64_t file_off, qn_dtype type,
                                 uint64_t n_rows, uint64_t n_cols);
/** Values in memory, [n_rows, n_cols] float32; borrowed, must live as long as the recipe. */
const qn_recipe *qn_recipe_values(qn_arena *arena, const float *values, uint64_t n_rows, uint64_t n_cols);
/** Rows [first, first + n_rows) of child. */
const qn_recipe *qn_recipe_slice(qn_arena *arena, const qn_recipe *child, uint64_t first, uint64_t n_rows);
/** All rows of the first child, then of the next, …; equal n_cols. Stacking experts is the same thing. */
const qn_recipe *qn_recipe_concat(qn_arena *arena, const qn_recipe *const *children, uint64_t n);
/** The same values as n_rows x n_cols (a vector seen as a column, say); the product must stay equal. */
const qn_recipe *qn_recipe_reshape(qn_arena *arena, const qn_recipe *child, uint64_t n_rows, uint64_t n_cols);
/** [n_cols, n_rows] of child. */
const qn_recipe *qn_recipe_transpose(qn_arena *arena, const qn_recipe *child);
/**
 * Rows of child regrouped per head from half-split to neighbouring rotary pairs: with d = n_rows / n_head,
 * row 2i of a head is its row i, row 2i + 1 its row i + d/2. d must be even.
 * Source: facts/architectures.md 0.7, permutation P.
 */
const qn_recipe *qn_recipe_rope_pairs(qn_arena *arena, const qn_recipe *child, uint64_t n_head);
/** The way back of qn_recipe_rope_pairs(): row i of a head is its row 2i, row i + d/2 its row 2i + 1. */
const qn_recipe *qn_recipe_rope_halves(qn_arena *arena, const qn_recipe *child, uint64_t n_head);
/** child + addend, element by element. (Norm weights stored less 1.) */
const qn_recipe *qn_recipe_offset(qn_arena *arena, const qn_recipe *child, float addend);
/** child * factor, element by element. */
const qn_recipe *qn_recipe_scale(qn_arena *arena, const qn_recipe *child, float factor);
/** child + factor * other, element by element; equal shapes. */
const qn_recipe *qn_recipe_add(qn_arena *arena, const qn_recipe *child, const qn_recipe *other, float factor);

/** A low-rank update and how it is applied. Source: facts/lora.md 2. */
typedef struct qn_low_rank {
    const qn_recipe *left;      /**< B: [n_rows, rank] */
    const qn_recipe *right;     /**< A: [rank, n_cols] */
    float scale;                /**< s: alpha / rank, or alpha / sqrt(rank) */
    const qn_recipe *magnitude; /**< DoRA's m: one row of n_rows values (of n_cols when by_column); NULL for LoRA */
    bool by_column;             /**< DoRA of an embedding: norms over the rows, one a column */
    float strength;             /**< u: how much of the change to apply; 1 for all */
} qn_low_rank;

/**
 * LoRA: W + u·s·B·A. DoRA: V = W + s·B·A, W' = m·V/‖V‖ by row or by column, result W + u·(W' - W); exactly W'
 * when u is 1. A row or column of V that is all zeros stays so. Sums over the rank run in order, in float32.
 */
const qn_recipe *qn_recipe_low_rank(qn_arena *arena, const qn_recipe *child, const qn_low_rank *update);

/**
 * Where the recipe's bytes lie untouched, when it is plain bytes (or a slice or reshape of them): they may be copied.
 * @param file,file_off,type out, when true
 */
bool qn_recipe_is_bytes(const qn_recipe *r, const qn_file **file, uint64_t *file_off, qn_dtype *type);

/** The element type of the first bytes in the recipe; F32 for values. */
qn_dtype qn_recipe_source_type(const qn_recipe *r);

/** Bytes that have to be read to produce all rows once (for progress). */
uint64_t qn_recipe_source_bytes(const qn_recipe *r);

/** Whether a low-rank update is part of the recipe. */
bool qn_recipe_is_merged(const qn_recipe *r);

/** Bytes of memory that qn_ready_open() keeps until qn_ready_close(). */
uint64_t qn_recipe_ready_bytes(const qn_recipe *r);

/** Bytes that a worker's scratch grows to at most, however many rows are asked for. */
uint64_t qn_recipe_scratch_bytes(const qn_recipe *r);

/**
 * A recipe made ready: small factors read into memory, norms over whole columns computed. Shared by all
 * workers of a tensor.
 */
typedef struct qn_ready qn_ready;

/** Memory of one worker, reused from unit to unit. Zero-initialise; clear with qn_scratch_clear(). */
typedef struct qn_scratch {
    struct qn_scratch_block *blocks;
} qn_scratch;
/** Frees what the scratch holds and empties it. */
void qn_scratch_clear(qn_scratch *scratch);

/**
 * Prepares a recipe.
 * @return QN_OK; QN_E_IO; QN_E_NOMEM; QN_E_FORMAT (file cut off)
 */
QN_NODISCARD qn_status qn_ready_open(const qn_recipe *r, qn_cpu_level level, qn_ready **out, qn_error *err);
/** Frees; accepts NULL. */
void qn_ready_close(qn_ready *ready);

/**
 * Produces rows [first, first + n_rows) as float32.
 * @param dst [n_rows, n_cols]; the caller's
 * Threads: any number at once, each with its own scratch. The values do not depend on how rows are ranged.
 */
QN_NODISCARD qn_status qn_ready_rows(const qn_ready *ready, uint64_t first, uint64_t n_rows, float *dst,
                                     qn_scratch *scratch, qn_error *err);

#endif
