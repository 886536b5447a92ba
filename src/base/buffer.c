/* SPDX-License-Identifier: MIT */
/* buffer.c: doubling growth, failure remembered. */
#include "base/buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void qn_buffer_clear(qn_buffer *b) {
    free(b->data);
    *b = (qn_buffer){0};
}

qn_status qn_buffer_status(const qn_buffer *b, qn_error *err) {
    return b->has_failed ? qn_fail_nomem(err, "buffer", b->cap) : QN_OK;
}

/* Makes room for n more bytes, at least one; returns where they go, or NULL. */
static unsigned char *grow(qn_buffer *b, size_t n) {
    if (b->has_failed) {
        return NULL;
    }
    if (b->cap - b->len < n) {
        size_t need = 0;
        if (__builtin_add_overflow(b->len, n, &need) || need > SIZE_MAX / 2) {
            b->has_failed = true;
            return NULL;
        }
        const size_t cap = need < 256 ? 512 : need * 2;
        unsigned char *data = realloc(b->data, cap);
        if (data == NULL) {
            b->has_failed = true;
            return NULL;
        }
        b->data = data;
        b->cap = cap;
    }
    unsigned char *end = b->data + b->len;
    b->len += n;
    return end;
}

void qn_buffer_append(qn_buffer *b, const void *bytes, size_t n) {
    unsigned char *end = n == 0 ? NULL : grow(b, n);
    if (end != NULL) {
        memcpy(end, bytes, n);
    }
}

void qn_buffer_text(qn_buffer *b, const char *text) {
    qn_buffer_append(b, text, strlen(text));
}

void qn_buffer_printf(qn_buffer *b, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    unsigned char *end = n < 0 ? NULL : grow(b, (size_t)n + 1);
    if (end == NULL) {
        b->has_failed = true;
        return;
    }
    va_start(args, fmt);
    (void)vsnprintf((char *)end, (size_t)n + 1, fmt, args);
    va_end(args);
    b->len--;
}

static void append_le(qn_buffer *b, uint64_t v, size_t n) {
    unsigned char *end = grow(b, n);
    for (size_t i = 0; end != NULL && i < n; i++) {
        end[i] = (unsigned char)(v >> (8 * i));
    }
}

void qn_buffer_u8(qn_buffer *b, uint8_t v) {
    append_le(b, v, 1);
}

void qn_buffer_u16(qn_buffer *b, uint16_t v) {
    append_le(b, v, 2);
}

void qn_buffer_u32(qn_buffer *b, uint32_t v) {
    append_le(b, v, 4);
}

void qn_buffer_u64(qn_buffer *b, uint64_t v) {
    append_le(b, v, 8);
}

void qn_buffer_f32(qn_buffer *b, float v) {
    uint32_t bits = 0;
    memcpy(&bits, &v, sizeof bits);
    append_le(b, bits, 4);
}

void qn_buffer_zeros(qn_buffer *b, size_t n) {
    unsigned char *end = n == 0 ? NULL : grow(b, n);
    if (end != NULL) {
        memset(end, 0, n);
    }
}

char *qn_buffer_take_text(qn_buffer *b) {
    qn_buffer_u8(b, 0);
    char *text = b->has_failed ? NULL : (char *)b->data;
    if (text == NULL) {
        free(b->data);
    }
    *b = (qn_buffer){0};
    return text;
}
