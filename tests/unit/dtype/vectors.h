/* SPDX-License-Identifier: MIT */
/* vectors.h: golden vectors from tests/data/vectors and the levels this machine can run. */
#ifndef QUERN_TESTS_VECTORS_H
#define QUERN_TESTS_VECTORS_H

#include "support.h"

#include "dtype/codec.h"

/** A golden file in new memory; *size in bytes. The caller frees it. */
static inline void *read_vector(const char *name, size_t *size) {
    char path[512];
    (void)snprintf(path, sizeof path, "%s/vectors/%s", QN_TEST_DATA_DIR, name);
    return read_file(path, size);
}

/** The levels this machine supports: QN_CPU_SCALAR .. top_level(). */
static inline int top_level(void) {
    return (int)qn_cpu_detect();
}

/** Fails with the type, the level and the first byte that differs. */
static inline void check_same_bytes(const char *type, int level, const void *found, const void *wanted, size_t size) {
    const unsigned char *a = found;
    const unsigned char *b = wanted;
    for (size_t i = 0; i < size; i++) {
        if (a[i] != b[i]) {
            fail_msg("%s, level %d: byte %zu of %zu is %02x, wanted %02x", type, level, i, size, a[i], b[i]);
        }
    }
}

#endif
