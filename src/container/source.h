/* SPDX-License-Identifier: MIT */
/* source.h: what the readers of this folder share: bytes with a path for messages, and how messages show things. */
#ifndef QUERN_CONTAINER_SOURCE_H
#define QUERN_CONTAINER_SOURCE_H

#include "container/archive.h"

/** Bytes of one file as a reader sees them. Borrowed; they live as long as the archive. */
typedef struct qn_source {
    const char *path; /**< for messages */
    const unsigned char *bytes;
    uint64_t size;
    const qn_file *file; /**< what tensors will point to; NULL for bytes in memory */
} qn_source;

/**
 * Opens and maps a file and gives it to the archive.
 * A Git-LFS pointer or a web page in the file's place is refused, and the message says so.
 * @return QN_OK; QN_E_NOT_FOUND (also for a pointer); QN_E_IO; QN_E_FORMAT (a web page); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_source_open(qn_archive *archive, const char *path, qn_source *out, qn_error *err);

/** Refuses what people find in place of weights: a Git-LFS pointer, a web page. @return as qn_source_open() */
QN_NODISCARD qn_status qn_source_refuse_impostor(const qn_source *source, qn_error *err);

/** Text for a message, by value: `qn_shown_number(n).text` lives as long as the call it is an argument of. */
typedef struct qn_shown {
    char text[80];
} qn_shown;

/** A number with its digits in groups: "812,004". */
qn_shown qn_shown_number(uint64_t v);
/** The first 72 bytes of a name from a file, control characters as '?', "..." behind a longer one. */
qn_shown qn_shown_name(const void *bytes, size_t n);

/**
 * Fills size_bytes from type and shape, checked.
 * The product of all dimensions, zeros counted as one, must stay below 2^63, so that no product of them overflows.
 * @return QN_OK; QN_E_SHAPE (a row that is no multiple of the block); QN_E_RANGE; QN_E_UNSUPPORTED; messages begin
 *         with "tensor 'NAME'"
 */
QN_NODISCARD qn_status qn_tensor_extent(qn_archive_tensor *tensor, qn_error *err);

/* The parsers of one file's bytes; the openers, and the fuzz targets, stand on them. */

/**
 * Parses a GGUF file's header: metadata into meta, tensors into archive (not sealed).
 * @param meta empty, of the archive's arena; strings in it point into source
 */
QN_NODISCARD qn_status qn_gguf_parse(qn_archive *archive, const qn_source *source, qn_meta *meta, qn_error *err);

/**
 * Parses a safetensors file's header: __metadata__ into meta, tensors in the order of their data into archive
 * (not sealed).
 * @param meta empty, of the archive's arena
 */
QN_NODISCARD qn_status qn_safetensors_parse(qn_archive *archive, const qn_source *source, qn_meta *meta, qn_error *err);

#endif
