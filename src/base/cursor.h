/* SPDX-License-Identifier: MIT */
/* cursor.h: reads little-endian numbers from bytes that are not trusted, never past their end. */
#ifndef QUERN_BASE_CURSOR_H
#define QUERN_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** A position in borrowed bytes. Invariant: pos <= size. */
typedef struct qn_cursor {
    const unsigned char *bytes;
    size_t size;
    size_t pos;
} qn_cursor;

/** Bytes not yet read. */
static inline size_t qn_cursor_left(const qn_cursor *c) {
    return c->size - c->pos;
}

/** Borrows the next n bytes and moves behind them. @return NULL, not moved, when fewer are left. */
const unsigned char *qn_cursor_bytes(qn_cursor *c, uint64_t n);

bool qn_cursor_u8(qn_cursor *c, uint8_t *out);   /**< Reads 1 byte; false, not moved, at the end. */
bool qn_cursor_u16(qn_cursor *c, uint16_t *out); /**< Reads 2 bytes; false, not moved, when fewer are left. */
bool qn_cursor_u32(qn_cursor *c, uint32_t *out); /**< Reads 4 bytes; false, not moved, when fewer are left. */
bool qn_cursor_u64(qn_cursor *c, uint64_t *out); /**< Reads 8 bytes; false, not moved, when fewer are left. */

#endif
