/* SPDX-License-Identifier: MIT */
/* llama2c.h: reads the .bin files of llama2.c: a Llama's weights in float32 behind a header of seven numbers. */
#ifndef QUERN_CONTAINER_LLAMA2C_H
#define QUERN_CONTAINER_LLAMA2C_H

#include "container/archive.h"
#include "container/source.h"

/** What a file's header says. */
typedef struct qn_llama2c_header {
    uint32_t version; /**< 0 ("legacy", without a magic number) or 1 */
    uint64_t n_embd;
    uint64_t n_ff;
    uint64_t n_layer;
    uint64_t n_head;
    uint64_t n_head_kv;
    uint64_t n_vocab;
    uint64_t n_ctx;
    bool is_tied; /**< the output matrix is the embedding */
} qn_llama2c_header;

/**
 * Whether a file begins as llama2.c's do: with the magic number, or with seven numbers that a Llama can have. Its size
 * is not looked at: a file cut off is one too. False when unreadable.
 */
bool qn_is_llama2c(const char *path);

/**
 * Opens a file. It names nothing; tensors get the names that GGUF has for them, whose order of rows is the same: rotary
 * pairs are neighbours. The archive has no metadata.
 * @return QN_OK; QN_E_NOT_FOUND; QN_E_IO; QN_E_FORMAT (numbers that contradict each other or the file's size);
 *         QN_E_UNSUPPORTED (version 2 and above); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_llama2c_open(const char *path, qn_archive **out, qn_llama2c_header *header, qn_error *err);

/** Parses a file's bytes: tensors into archive (not sealed). For qn_llama2c_open() and the fuzz target. */
QN_NODISCARD qn_status qn_llama2c_parse(qn_archive *archive, const qn_source *source, qn_llama2c_header *header,
                                        qn_error *err);

#endif
