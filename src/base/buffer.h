/* SPDX-License-Identifier: MIT */
/* buffer.h: bytes that grow; text, GGUF headers and reports are built in it. */
#ifndef QUERN_BASE_BUFFER_H
#define QUERN_BASE_BUFFER_H

#include "base/memory.h"

#include <stdbool.h>

/**
 * A growing run of bytes. Zero-initialised it is empty. A failed append is remembered and makes every later
 * one do nothing, so that a writer checks once, at the end, with qn_buffer_status().
 */
typedef struct qn_buffer {
    unsigned char *data; /**< owned; NULL while empty */
    size_t len;          /**< bytes in use */
    size_t cap;
    bool has_failed; /**< an append found no memory */
} qn_buffer;

/** Frees the bytes and makes the buffer empty; accepts a zeroed one. */
void qn_buffer_clear(qn_buffer *b);

/** QN_OK, or QN_E_NOMEM when any append failed. */
QN_NODISCARD qn_status qn_buffer_status(const qn_buffer *b, qn_error *err);

void qn_buffer_append(qn_buffer *b, const void *bytes, size_t n);          /**< Appends n bytes. */
void qn_buffer_text(qn_buffer *b, const char *text);                       /**< Appends a string without its NUL. */
void qn_buffer_printf(qn_buffer *b, const char *fmt, ...) QN_PRINTF(2, 3); /**< Appends formatted text. */
void qn_buffer_u8(qn_buffer *b, uint8_t v);                                /**< Appends one byte. */
void qn_buffer_u16(qn_buffer *b, uint16_t v);                              /**< Appends 2 bytes, little-endian. */
void qn_buffer_u32(qn_buffer *b, uint32_t v);                              /**< Appends 4 bytes, little-endian. */
void qn_buffer_u64(qn_buffer *b, uint64_t v);                              /**< Appends 8 bytes, little-endian. */
void qn_buffer_f32(qn_buffer *b, float v);    /**< Appends an IEEE binary32, little-endian. */
void qn_buffer_zeros(qn_buffer *b, size_t n); /**< Appends n zero bytes. */

/**
 * Gives the bytes, with a NUL behind them, to the caller and empties the buffer.
 * @return NULL when an append failed; else to be freed with free()
 */
char *qn_buffer_take_text(qn_buffer *b);

#endif
