/* SPDX-License-Identifier: MIT */
/* archive.h: an opened container, whatever its format: tensors by name, and metadata. */
#ifndef QUERN_CONTAINER_ARCHIVE_H
#define QUERN_CONTAINER_ARCHIVE_H

#include "base/file.h"
#include "container/metadata.h"
#include "quern/dtype.h"

enum { QN_MAX_DIMS = 8 };

/** Dimensions, slowest first, as Hugging Face writes them: dims[n_dims - 1] is the row length. */
typedef struct qn_shape {
    uint32_t n_dims;
    uint64_t dims[QN_MAX_DIMS];
} qn_shape;

/** The row length: the last dimension; 1 for a scalar. */
uint64_t qn_shape_cols(const qn_shape *shape);
/** The product of all dimensions but the last; 1 for fewer than two. (Products were checked at open.) */
uint64_t qn_shape_rows(const qn_shape *shape);
/** "[2048, 256]" into a buffer of at least 128 bytes; returns it. */
const char *qn_shape_text(const qn_shape *shape, char *buffer, size_t size);

/** A tensor of an archive. Its bytes lie within its file: checked at open. */
typedef struct qn_archive_tensor {
    const char *name;
    qn_dtype type; /**< always one that qn_dtype_get() knows */
    qn_shape shape;
    const qn_file *file;
    uint64_t file_off;
    uint64_t size_bytes; /**< rows * row size */
} qn_archive_tensor;

/** A tensor of a file to be written. */
typedef struct qn_placed_tensor {
    const char *name;
    qn_dtype type;
    qn_shape shape;      /**< slowest first */
    uint64_t file_off;   /**< out: absolute offset of its data */
    uint64_t size_bytes; /**< out: bytes of its data, without padding */
} qn_placed_tensor;

/**
 * An opened container. Everything was validated when it was opened; accessors cannot fail.
 * Threads: any number may read at once.
 */
typedef struct qn_archive qn_archive;

/** Closes files and frees; accepts NULL. */
void qn_archive_close(qn_archive *archive);
/** Number of tensors. */
uint64_t qn_archive_n_tensors(const qn_archive *archive);
/** Tensor i in file order (shard after shard); borrowed. */
const qn_archive_tensor *qn_archive_tensor_at(const qn_archive *archive, uint64_t i);
/** The tensor of that name, or NULL. */
const qn_archive_tensor *qn_archive_find(const qn_archive *archive, const char *name);
/** Metadata: GGUF's pairs, or safetensors' __metadata__ strings. Borrowed; may be empty, never NULL. */
const qn_meta *qn_archive_meta(const qn_archive *archive);
/** Files it was read from, shards in order. */
uint64_t qn_archive_n_files(const qn_archive *archive);
const qn_file *qn_archive_file_at(const qn_archive *archive, uint64_t i); /**< File i; borrowed. */
/**
 * A tensor's bytes, its file mapped whole. They stay until the archive is closed. Not for two threads at once.
 * @param tensor one of this archive's
 */
QN_NODISCARD qn_status qn_archive_map(qn_archive *archive, const qn_archive_tensor *tensor, const unsigned char **bytes,
                                      qn_error *err);
/** "gguf", "safetensors" or "llama2.c". */
const char *qn_archive_format(const qn_archive *archive);

/* For the format readers (gguf.c, safetensors.c): */

/** An empty archive. @return NULL when memory is short */
qn_archive *qn_archive_new(const char *format);
/** The arena that names and metadata live in. */
qn_arena *qn_archive_arena(qn_archive *archive);
/** The archive's own metadata, to be filled. */
qn_meta *qn_archive_own_meta(qn_archive *archive);
/** Takes a file; it is closed with the archive, also when this fails. */
QN_NODISCARD qn_status qn_archive_take_file(qn_archive *archive, qn_file *file, qn_error *err);
/** Adds a tensor; its name lives in the arena. */
QN_NODISCARD qn_status qn_archive_add(qn_archive *archive, const qn_archive_tensor *tensor, qn_error *err);
/** Builds the index of names after all were added. @return QN_E_FORMAT naming a name that occurs twice */
QN_NODISCARD qn_status qn_archive_seal(qn_archive *archive, qn_error *err);
/**
 * Hands out an archive that is open, or closes it.
 * @param archive taken; may be NULL where status is a failure
 * @param status  of opening it
 * @param out     set where status is QN_OK
 * @return status
 */
QN_NODISCARD qn_status qn_archive_give(qn_archive *archive, qn_status status, qn_archive **out);

#endif
