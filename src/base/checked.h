/* SPDX-License-Identifier: MIT */
/* checked.h: arithmetic on numbers that came from a file. Each returns false, with *out undefined, on overflow. */
#ifndef QUERN_BASE_CHECKED_H
#define QUERN_BASE_CHECKED_H

#include <stdbool.h>
#include <stdint.h>

/** *out = a + b. */
static inline bool qn_add_u64(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

/** *out = a * b. */
static inline bool qn_mul_u64(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_mul_overflow(a, b, out);
}

/** *out = a rounded up to a multiple of step, which is not 0. */
static inline bool qn_align_u64(uint64_t a, uint64_t step, uint64_t *out) {
    const uint64_t over = a % step;
    return over == 0 ? (*out = a, true) : qn_add_u64(a, step - over, out);
}

#endif
