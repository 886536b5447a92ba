/* SPDX-License-Identifier: MIT */
/* imatrix.h: importance matrices: how much each input column of each weight was used, as llama.cpp writes them. */
#ifndef QUERN_CONTAINER_IMATRIX_H
#define QUERN_CONTAINER_IMATRIX_H

#include "container/archive.h"

/** What was seen of one weight tensor's inputs. Borrowed from the matrix. */
typedef struct qn_imatrix_entry {
    const char *name; /**< of the weight tensor: "blk.0.ffn_up.weight" */
    uint64_t n_values;
    const float *values; /**< [n_values] mean square of each input column, finite, >= 0; of stacked experts one run of
                              columns an expert. Columns of an expert that was never seen are 1 */
    uint64_t n_counts;
    const float *counts; /**< [n_counts] tokens (GGUF) or calls (legacy) that were summed, one for each expert or one
                              for all; 0: never seen */
} qn_imatrix_entry;

/** An opened importance matrix. */
typedef struct qn_imatrix {
    qn_arena *arena;
    const char *path;
    bool is_legacy;                  /**< the .dat format */
    const qn_imatrix_entry *entries; /**< [n_entries] sorted by name */
    uint64_t n_entries;
    const char *const *datasets; /**< texts it was made of */
    uint64_t n_datasets;
    uint64_t n_chunks; /**< 0 when the file does not say */
} qn_imatrix;

/**
 * Reads a GGUF or legacy importance matrix whole (they are small). Which it is, is told by its first bytes.
 * @param out to be closed with qn_imatrix_close()
 * @return QN_OK; QN_E_NOT_FOUND; QN_E_IO; QN_E_FORMAT (cut off, NaN or negative sums, no imatrix keys, half a pair of
 *         tensors); QN_E_NOMEM
 * Source: facts/gguf.md §7.2, §7.3.
 */
QN_NODISCARD qn_status qn_imatrix_open(const char *path, qn_imatrix **out, qn_error *err);
/** Frees; accepts NULL. */
void qn_imatrix_close(qn_imatrix *matrix);
/** The entry of a weight tensor, or NULL. */
const qn_imatrix_entry *qn_imatrix_find(const qn_imatrix *matrix, const char *name);

#endif
