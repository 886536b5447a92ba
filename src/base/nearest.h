/* SPDX-License-Identifier: MIT */
/* nearest.h: "did you mean": the names closest to one that was not found. */
#ifndef QUERN_BASE_NEAREST_H
#define QUERN_BASE_NEAREST_H

#include <stddef.h>
#include <stdint.h>

/** Edits (insert, delete, replace a byte) that turn a into b; both are cut at 127 bytes. */
unsigned qn_edit_distance(const char *a, const char *b);

/**
 * Finds the candidates nearest to name, nearest first.
 * @param candidates n strings; borrowed
 * @param out        room for max_out pointers into candidates; max_out at most 8
 * @return how many were found: fewer than max_out when the rest are too far off to help
 */
size_t qn_nearest(const char *name, const char *const *candidates, uint64_t n, const char **out, size_t max_out);

#endif
