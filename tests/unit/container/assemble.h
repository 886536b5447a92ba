/* SPDX-License-Identifier: MIT */
/* assemble.h: bytes of small binary files out of a line of text, so that a test's table can hold whole files. */
#ifndef QUERN_TESTS_ASSEMBLE_H
#define QUERN_TESTS_ASSEMBLE_H

#include "base/buffer.h"

#include <stdlib.h>
#include <string.h>

/**
 * Appends what a line of words, parted by single spaces, spells:
 *     =TEXT     the text itself           s:TEXT   u64 length, then the text ('~' stands for a zero byte)
 *     b:N w:N   a byte, 2 bytes           u:N q:N  4 bytes, 8 bytes, little-endian
 *     z:N       N zero bytes              a:N      zero bytes up to a multiple of N
 *     x:HEX     bytes in hexadecimal
 */
static inline void assemble(qn_buffer *b, const char *line) {
    while (*line != '\0') {
        const size_t n = strcspn(line, " ");
        const char kind = line[0];
        const char *rest = line + (kind == '=' ? 1 : 2);
        const size_t n_rest = n - (size_t)(rest - line);
        const uint64_t v = strtoull(rest, NULL, 0);
        switch (kind) {
        case '=': qn_buffer_append(b, rest, n_rest); break;
        case 's':
            qn_buffer_u64(b, n_rest);
            for (size_t i = 0; i < n_rest; i++) {
                qn_buffer_u8(b, rest[i] == '~' ? 0 : (uint8_t)rest[i]);
            }
            break;
        case 'b': qn_buffer_u8(b, (uint8_t)v); break;
        case 'w': qn_buffer_u16(b, (uint16_t)v); break;
        case 'u': qn_buffer_u32(b, (uint32_t)v); break;
        case 'q': qn_buffer_u64(b, v); break;
        case 'z': qn_buffer_zeros(b, (size_t)v); break;
        case 'a': qn_buffer_zeros(b, (size_t)((v - b->len % v) % v)); break;
        case 'x':
            for (size_t i = 0; i + 1 < n_rest; i += 2) {
                const char hex[3] = {rest[i], rest[i + 1], '\0'};
                qn_buffer_u8(b, (uint8_t)strtoul(hex, NULL, 16));
            }
            break;
        default: abort();
        }
        line += n + (line[n] == ' ' ? 1 : 0);
    }
}

#endif
