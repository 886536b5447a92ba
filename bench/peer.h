/* SPDX-License-Identifier: MIT */
/* peer.h: ggml's encoder, rows to give to it and to ours, and the errors of what they write. For benches and tests. */
#ifndef QUERN_BENCH_PEER_H
#define QUERN_BENCH_PEER_H

#include "dtype/codec.h"

#include <stddef.h>

enum { QN_PEER_COLS = 1024, QN_PEER_MAX_SETS = 3 };

/** size_t ggml_quantize_chunk(type, src, dst, start, n_rows, n_per_row, importance), of ggml's public header. */
typedef size_t qn_quantize_chunk_fn(int type, const float *src, void *dst, int64_t start, int64_t n_rows,
                                    int64_t n_per_row, const float *importance);

/** libggml-base.so of the folder that QUERN_LLAMA_LIBS names. */
typedef struct qn_peer {
    void *library;
    qn_quantize_chunk_fn *quantize;
} qn_peer;

/** Rows of QN_PEER_COLS columns. */
typedef struct qn_row_set {
    const char *name;
    uint64_t n_rows;
    float *x;
} qn_row_set;

/** The distributions that are compared: Gaussian, heavy tails, the sample model where it is there. */
typedef struct qn_row_sets {
    qn_row_set sets[QN_PEER_MAX_SETS];
    size_t n;
    float *importance; /**< [QN_PEER_COLS] */
} qn_row_sets;

/** Squared errors relative to the rows' own squares. */
typedef struct qn_row_errors {
    double plain;
    double weighted; /**< both sums weighted by the importance; plain without */
} qn_row_errors;

/** Opens ggml's library. @return false with a line that says SKIP and why on stdout */
bool qn_peer_open(qn_peer *peer);
/** Closes what qn_peer_open() opened. */
void qn_peer_close(qn_peer *peer);

/** At most n_rows rows of each distribution. Ends the program when memory or the golden importance is missing. */
void qn_row_sets_init(qn_row_sets *sets, uint64_t n_rows);
/** Frees the rows. */
void qn_row_sets_clear(qn_row_sets *sets);

/** Zeroed memory; ends the program when there is none. The caller frees. */
void *qn_peer_alloc(size_t n, size_t size);

/** Bytes of a set encoded. */
uint64_t qn_peer_size(qn_dtype type, const qn_row_set *set);

/**
 * The errors of encoded rows, read back by our decoder.
 * @param importance or NULL
 */
qn_row_errors qn_peer_errors(qn_dtype type, const qn_row_set *set, const float *importance,
                             const unsigned char *encoded);

/** Encodes with ours at the CPU's best level. @return false, with dst untouched, when quern has no encoder */
bool qn_peer_encode_ours(qn_effort effort, qn_dtype type, const qn_row_set *set, const float *importance,
                         unsigned char *dst);
/** Encodes with ggml. */
void qn_peer_encode_theirs(const qn_peer *peer, qn_dtype type, const qn_row_set *set, const float *importance,
                           unsigned char *dst);

/** What both encoders make of a set. */
typedef struct qn_peer_result {
    qn_row_errors ours;
    qn_row_errors theirs;
    uint64_t n_other; /**< bytes that differ */
} qn_peer_result;

/** Encodes a set with both. @return false when quern has no encoder for the type */
bool qn_peer_encode_both(const qn_peer *peer, qn_effort effort, qn_dtype type, const qn_row_set *set,
                         const float *importance, qn_peer_result *result);

/** sqrt(ours / theirs), of sums of squares; 1 when both are nothing. */
double qn_peer_ratio(double ours, double theirs);

/** ggml's encoders of these refuse to run without importance. */
bool qn_peer_needs_importance(qn_dtype type);
/** Whether the table says that quern encodes the type, and it is not F32, which ggml has no encoder for. */
bool qn_peer_is_compared(uint32_t id);

#endif
