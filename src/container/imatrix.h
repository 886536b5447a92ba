/* SPDX-License-Identifier: MIT */
/* imatrix.h: importance matrices: how much each input column of each weight was used, as llama.cpp keeps them. */
#ifndef QUERN_CONTAINER_IMATRIX_H
#define QUERN_CONTAINER_IMATRIX_H

#include "container/archive.h"

/** Keys of an interrupted calculation, in GGUF files only. */
#define QN_IMATRIX_JOB_KEY "quern.imatrix.job"
#define QN_IMATRIX_DONE_KEY "quern.imatrix.chunks_done"

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

/** A calculation that was interrupted, as quern notes it beside what llama.cpp knows. */
typedef struct qn_imatrix_state {
    const char *job;   /**< tells jobs apart; NULL: the file is no interrupted one */
    uint64_t n_chunks; /**< of the job's own text that are in the sums */
} qn_imatrix_state;

/** An opened importance matrix. */
typedef struct qn_imatrix {
    qn_arena *arena;
    const char *path;
    bool is_legacy;                  /**< the .dat format */
    const qn_imatrix_entry *entries; /**< [n_entries] sorted by name */
    uint64_t n_entries;
    const char *const *datasets; /**< texts it was made of */
    uint64_t n_datasets;
    uint64_t n_chunks;   /**< 0 when the file does not say */
    uint64_t chunk_size; /**< tokens of a chunk; 0: legacy files do not say */
    bool has_sums;       /**< opened by qn_imatrix_open_sums() */
    qn_imatrix_state state;
} qn_imatrix;

/**
 * Reads a GGUF or legacy importance matrix whole (they are small). Which it is, is told by its first bytes.
 * @param out to be closed with qn_imatrix_close()
 * @return QN_OK; QN_E_NOT_FOUND; QN_E_IO; QN_E_FORMAT (cut off, NaN or negative sums, no imatrix keys, half a pair of
 *         tensors); QN_E_NOMEM
 * Source: facts/gguf.md §7.2, §7.3.
 */
QN_NODISCARD qn_status qn_imatrix_open(const char *path, qn_imatrix **out, qn_error *err);
/**
 * As qn_imatrix_open(), but values are the sums of squares that the file holds, not yet divided by counts: what several
 * files are added up from. Legacy entries hold means times calls, and one count.
 */
QN_NODISCARD qn_status qn_imatrix_open_sums(const char *path, qn_imatrix **out, qn_error *err);
/** Frees; accepts NULL. */
void qn_imatrix_close(qn_imatrix *matrix);
/** The entry of a weight tensor, or NULL. */
const qn_imatrix_entry *qn_imatrix_find(const qn_imatrix *matrix, const char *name);

/** Sums over the inputs of one weight tensor, to be written. */
typedef struct qn_imatrix_sums {
    const char *name;     /**< of the weight tensor */
    uint64_t n_cols;      /**< of one matrix */
    uint64_t n_matrices;  /**< stacked experts; 1 for a plain matrix */
    const float *sums;    /**< [n_matrices, n_cols] of squared inputs */
    const double *counts; /**< [n_matrices] tokens summed */
} qn_imatrix_sums;

/** What a file says beside the sums. */
typedef struct qn_imatrix_facts {
    const char *const *datasets; /**< [n_datasets]; legacy files hold the last one's name */
    uint64_t n_datasets;
    uint64_t n_chunks;
    uint64_t chunk_size;    /**< tokens of a chunk, > 0 */
    qn_imatrix_state state; /**< GGUF only; job NULL: none */
    bool is_legacy;         /**< the .dat format */
} qn_imatrix_facts;

/**
 * Writes an importance matrix to PATH.part, and renames that when it is whole and on the disk.
 * @param entries [n] sorted by name; those whose counts are all 0 are left out
 * @return QN_OK; QN_E_IO; QN_E_SPACE; QN_E_RANGE (a name longer than GGUF allows; counts beyond the legacy format's;
 *         no entry with counts); QN_E_NOMEM. On failure no file is left, and what was there is untouched
 */
QN_NODISCARD qn_status qn_imatrix_write(const char *path, const qn_imatrix_facts *facts, const qn_imatrix_sums *entries,
                                        uint64_t n, qn_error *err);

#endif
