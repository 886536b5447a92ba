/* SPDX-License-Identifier: MIT */
/* hash.c: XXH3 from libxxhash. */
#include "base/hash.h"

#include <xxhash.h>

uint64_t qn_hash64(const void *bytes, size_t n, uint64_t seed) {
    return XXH3_64bits_withSeed(bytes, n, seed);
}
