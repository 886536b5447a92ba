/* SPDX-License-Identifier: MIT */
/* text_chunks.h: a model opened for measuring, and a text in chunks that are run through it piece by piece. */
#ifndef QUERN_CALIB_TEXT_CHUNKS_H
#define QUERN_CALIB_TEXT_CHUNKS_H

#include "engine/chat_model.h"
#include "quern/measure.h"
#include "stream/stream_progress.h"
#include "text/tokenizer.h"

/** A model that reads chunks. */
typedef struct qn_reader {
    const char *path; /**< borrowed */
    qn_chat_model model;
    qn_engine *engine;
    qn_tokenizer *tokenizer;
    qn_sequence **sequences; /**< [n_sequences] */
    qn_span *spans;          /**< [n_sequences] */
    uint64_t n_sequences;
} qn_reader;

/**
 * Opens a model and its tokenizer.
 * @param out to be closed with qn_reader_close(), also after a failure
 */
QN_NODISCARD qn_status qn_reader_open(const qn_measure_model *model, const qn_measure_text *text, qn_job *job,
                                      qn_reader *out, qn_error *err);
/** Accepts a zeroed one. */
void qn_reader_close(qn_reader *reader);

/** Tokens of a chunk that a reader of this text can take at most, or by default. */
uint64_t qn_reader_n_ctx(const qn_reader *reader, const qn_measure_text *text);

/** Which logits of a chunk are wanted. */
typedef enum qn_wanted {
    QN_WANT_SECOND_HALF, /**< of tokens behind the middle but the last, which nothing follows; that one is not run */
    QN_WANT_NONE,        /**< every token is run */
    QN_WANT_ALL          /**< every token is run */
} qn_wanted;

/** A text as tokens, cut. */
typedef struct qn_chunks {
    qn_ids ids; /**< the BOS stands at the start of each chunk */
    uint64_t n_ctx;
    uint64_t n;          /**< chunks */
    uint64_t n_together; /**< chunks that are run side by side */
    uint64_t first;      /**< position in a chunk from which logits are wanted */
    uint64_t end;        /**< position at which it ends */
    uint64_t max_rows;   /**< of logits in a piece */
} qn_chunks;

/**
 * Reads a text and cuts it.
 * @param n_ctx tokens of a chunk
 * @param out   to be cleared with qn_chunks_clear(), also after a failure
 * @return QN_OK; QN_E_USAGE (no text, n_ctx too short); QN_E_RANGE (a text shorter than a chunk); QN_E_SHAPE (a token
 *         that the model has no embedding for); QN_E_NOT_FOUND; QN_E_IO; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_chunks_read(const qn_reader *reader, const qn_measure_text *text, uint64_t n_ctx,
                                      qn_wanted wanted, qn_chunks *out, qn_error *err);
/** Accepts zeroed chunks. */
void qn_chunks_clear(qn_chunks *chunks);

/** Positions of some chunks, which are run in one call. */
typedef struct qn_piece {
    uint64_t chunk; /**< the first of n_chunks */
    uint64_t n_chunks;
    uint64_t first; /**< position */
    uint64_t n;
    bool has_logits; /**< of every token: n_chunks * n rows, chunk by chunk */
    bool is_last;    /**< of these chunks */
} qn_piece;

/** Goes on to the next piece. @param piece zeroed but for chunk before the first @return false behind the last */
bool qn_chunks_next(const qn_chunks *chunks, qn_piece *piece);

/** The tokens that follow those of a piece of which they are wanted. @param targets [n_chunks * n] */
void qn_piece_targets(const qn_chunks *chunks, const qn_piece *piece, int32_t *targets);

/** Gets a reader's sequences ready for chunks. */
QN_NODISCARD qn_status qn_reader_prepare(qn_reader *reader, const qn_chunks *chunks, qn_error *err);

/** Runs a piece. Pieces come in order. @param logits [n_chunks * n, n_vocab] where the piece has them */
QN_NODISCARD qn_status qn_reader_run(qn_reader *reader, const qn_chunks *chunks, const qn_piece *piece, float *logits,
                                     qn_error *err);

/** Memory for the logits of a piece; NULL when short. Free it. */
float *qn_chunks_new_logits(const qn_chunks *chunks, uint64_t n_vocab);

#endif
