/* SPDX-License-Identifier: MIT */
/* importance.h: sums of squared inputs of every matrix, gathered from a running engine and from earlier files. */
#ifndef QUERN_CALIB_IMPORTANCE_H
#define QUERN_CALIB_IMPORTANCE_H

#include "base/pool.h"
#include "container/imatrix.h"

#include <stdbool.h>

/** What is known of one weight tensor. */
typedef struct qn_importance_entry {
    const char *name;
    uint64_t n_cols;
    uint64_t n_matrices;
    float *sums;        /**< [n_matrices, n_cols] */
    double *counts;     /**< [n_matrices] */
    float *new_sums;    /**< as sums: of the chunks in work; NULL until the model shows this tensor */
    double *new_counts; /**< as counts */
    const char *source; /**< the file that it was first read from; NULL: the model showed it */
} qn_importance_entry;

/** All sums. */
typedef struct qn_importance {
    qn_arena *arena; /**< names */
    qn_importance_entry *entries;
    uint64_t n;
    uint64_t cap;
    uint64_t at;           /**< the entry asked for last: the next one is near it */
    const char **datasets; /**< [n_datasets] */
    uint64_t n_datasets;
    double n_tokens;  /**< of all texts together, files' and own */
    qn_pool *pool;    /**< borrowed; NULL: one thread */
    bool takes_all;   /**< matrices outside of layers too */
    qn_status status; /**< of what an engine showed: its callback cannot fail */
    qn_error err;
} qn_importance;

/** Prepares an empty one. @return QN_OK; QN_E_NOMEM */
QN_NODISCARD qn_status qn_importance_init(qn_importance *im, qn_error *err);
/** Accepts a zeroed one. */
void qn_importance_clear(qn_importance *im);

/**
 * Takes rows of inputs into the sums of the chunks in work: a qn_input_fn of the engine, with a qn_importance as user.
 * What goes wrong is told by qn_importance_commit().
 */
void qn_importance_take(void *im, const char *weight_name, uint64_t expert, uint64_t n_experts, const float *x,
                        uint64_t n_rows, uint64_t n_cols);

/** Adds what was taken since the last call. @return QN_OK; QN_E_RANGE (inputs that are not finite), QN_E_SHAPE,
 *  QN_E_NOMEM */
QN_NODISCARD qn_status qn_importance_commit(qn_importance *im, uint64_t n_tokens, qn_error *err);

/** Notes the name of a text, once. */
QN_NODISCARD qn_status qn_importance_name(qn_importance *im, const char *dataset, qn_error *err);

/**
 * Adds the sums of a file.
 * @param matrix     by qn_imatrix_open_sums()
 * @param chunk_size tokens of a chunk, which legacy files do not tell
 * @return QN_OK; QN_E_USAGE (a tensor has other sizes than before: it is another model's); QN_E_RANGE (sums that
 *         overflow; more than 10^18 tokens); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_importance_merge(qn_importance *im, const qn_imatrix *matrix, uint64_t chunk_size,
                                           qn_error *err);

/** The first entry that came from a file and that the model has not shown, outside of the output matrix; or NULL. */
const qn_importance_entry *qn_importance_stranger(const qn_importance *im);

/** Chunks of a size that all tokens make; a last one may be short. */
uint64_t qn_importance_chunks(const qn_importance *im, uint64_t chunk_size);

/**
 * Writes all sums but those of chunks in work.
 * @param facts its data sets, chunks are filled in here
 */
QN_NODISCARD qn_status qn_importance_write(const qn_importance *im, const char *path, const qn_imatrix_facts *facts,
                                           qn_error *err);

#endif
