/* SPDX-License-Identifier: MIT */
/* hash.h: fast 64-bit sums that tell whether bytes came back as they were written. Not for secrets. */
#ifndef QUERN_BASE_HASH_H
#define QUERN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/** XXH3 of n bytes, seeded; the same on every machine. */
uint64_t qn_hash64(const void *bytes, size_t n, uint64_t seed);

#endif
