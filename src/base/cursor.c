/* SPDX-License-Identifier: MIT */
/* cursor.c: every read is bounded by what is left. */
#include "base/cursor.h"

const unsigned char *qn_cursor_bytes(qn_cursor *c, uint64_t n) {
    if (n > qn_cursor_left(c)) {
        return NULL;
    }
    const unsigned char *bytes = c->bytes + c->pos;
    c->pos += (size_t)n;
    return bytes;
}

static bool read_le(qn_cursor *c, size_t n, uint64_t *out) {
    const unsigned char *bytes = qn_cursor_bytes(c, n);
    if (bytes == NULL) {
        return false;
    }
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v |= (uint64_t)bytes[i] << (8 * i);
    }
    *out = v;
    return true;
}

bool qn_cursor_u8(qn_cursor *c, uint8_t *out) {
    uint64_t v = 0;
    return read_le(c, 1, &v) ? (*out = (uint8_t)v, true) : false;
}

bool qn_cursor_u16(qn_cursor *c, uint16_t *out) {
    uint64_t v = 0;
    return read_le(c, 2, &v) ? (*out = (uint16_t)v, true) : false;
}

bool qn_cursor_u32(qn_cursor *c, uint32_t *out) {
    uint64_t v = 0;
    return read_le(c, 4, &v) ? (*out = (uint32_t)v, true) : false;
}

bool qn_cursor_u64(qn_cursor *c, uint64_t *out) {
    return read_le(c, 8, out);
}
