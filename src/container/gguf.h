/* SPDX-License-Identifier: MIT */
/* gguf.h: reads GGUF files and shards, and lays out the header of a file to be written. */
#ifndef QUERN_CONTAINER_GGUF_H
#define QUERN_CONTAINER_GGUF_H

#include "base/buffer.h"
#include "container/archive.h"

/** Longest tensor name a GGUF reader accepts, in bytes without NUL. */
enum { QN_GGUF_MAX_NAME = 63, QN_GGUF_ALIGNMENT = 32, QN_GGUF_MAX_DIMS = 4 };

/**
 * Opens a GGUF file, version 2 or 3, little-endian. The first file of a split set (NAME-00001-of-0000N.gguf)
 * opens the whole set as one archive; any other file of the set does too.
 * Tensor data must lie inside the file: a file cut off is refused, naming the tensor.
 * @return QN_OK; QN_E_NOT_FOUND; QN_E_IO; QN_E_FORMAT; QN_E_UNSUPPORTED (version 1, big-endian); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_gguf_open(const char *path, qn_archive **out, qn_error *err);

/**
 * As qn_gguf_open(), all files of a model named: for shards that do not have their final names yet.
 * @param paths [n] in order; each must say that it is this part of n
 * @return also QN_E_FORMAT for a file in another's place
 */
QN_NODISCARD qn_status qn_gguf_open_files(const char *const *paths, uint64_t n, qn_archive **out, qn_error *err);

/**
 * Builds the bytes of a version 3 file up to the first tensor's data, and says where each tensor goes.
 * @param meta       written in order; general.alignment must be absent (32 is used)
 * @param tensors    [n] in file order; offsets and sizes are filled in. Shapes are written in GGUF's order (fastest
 *                   first), trailing ones of 1 dropped
 * @param header     appended to; ends at the first tensor's offset
 * @param file_bytes out: size of the whole file, padding of the last tensor included
 * @return QN_OK; QN_E_RANGE (a name too long, more than 4 dimensions, sizes past 2^63); QN_E_SHAPE; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_gguf_layout(const qn_meta *meta, qn_placed_tensor *tensors, uint64_t n, qn_buffer *header,
                                      uint64_t *file_bytes, qn_error *err);

/** "PREFIX-00001-of-00003.gguf" for no = 0; NULL when memory is short. */
char *qn_gguf_shard_name(qn_arena *arena, const char *prefix, uint64_t no, uint64_t count);

#endif
