/* SPDX-License-Identifier: MIT */
/* char_set.h: sets of code points as ranges: what a character class of a grammar or a pattern stands for. */
#ifndef QUERN_ENGINE_CHAR_SET_H
#define QUERN_ENGINE_CHAR_SET_H

#include "base/buffer.h"

enum { QN_MAX_CODE = 0x10FFFF };

/** Code points low to high, both in it. */
typedef struct qn_char_range {
    uint32_t low, high;
} qn_char_range;

/** Ranges that grow. Zero-initialised it is empty; a failed addition is remembered, as in qn_buffer. */
typedef struct qn_char_set {
    qn_buffer ranges; /* qn_char_range */
} qn_char_set;

/** The ranges; borrowed until the set changes. NULL when there are none. */
static inline const qn_char_range *qn_char_set_items(const qn_char_set *set) {
    return (const qn_char_range *)(const void *)set->ranges.data;
}
/** How many ranges there are. */
static inline size_t qn_char_set_n(const qn_char_set *set) {
    return set->ranges.len / sizeof(qn_char_range);
}

/** Adds low to high. */
void qn_char_set_add(qn_char_set *set, uint32_t low, uint32_t high);
/** Adds all of another set. */
void qn_char_set_add_all(qn_char_set *set, const qn_char_set *other);
/** Sorts the ranges and puts together those that touch. */
void qn_char_set_tidy(qn_char_set *set);
/** Makes it the set of all other code points; tidy. */
void qn_char_set_invert(qn_char_set *set);
/** Frees and empties; accepts a zeroed set. */
void qn_char_set_clear(qn_char_set *set);

/** Whether one of n tidy ranges and low to high have a code point in common. */
bool qn_ranges_meet(const qn_char_range *ranges, size_t n, uint32_t low, uint32_t high);

#endif
