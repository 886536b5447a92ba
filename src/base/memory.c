/* SPDX-License-Identifier: MIT */
/* memory.c: an arena is a chain of blocks; large requests get a block of their own. */
#include "base/memory.h"

#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { BLOCK_BYTES = 64 * 1024 };

typedef struct block {
    struct block *next;
    size_t used;
    size_t size;
    alignas(max_align_t) unsigned char bytes[];
} block;

struct qn_arena {
    block *blocks; /* the first one is the one being filled */
};

void *qn_new_array(uint64_t n, size_t size) {
    size_t total = 0;
    if (n > SIZE_MAX || size == 0 || __builtin_mul_overflow((size_t)n, size, &total)) {
        return NULL;
    }
    return calloc(n == 0 ? 1 : (size_t)n, size);
}

void *qn_resize_array(void *old, uint64_t n, size_t size) {
    size_t total = 0;
    if (n > SIZE_MAX || __builtin_mul_overflow((size_t)n, size, &total)) {
        return NULL;
    }
    return realloc(old, total == 0 ? 1 : total);
}

qn_arena *qn_arena_new(void) {
    return calloc(1, sizeof(qn_arena));
}

void qn_arena_free(qn_arena *arena) {
    if (arena == NULL) {
        return;
    }
    block *b = arena->blocks;
    while (b != NULL) {
        block *next = b->next;
        free(b);
        b = next;
    }
    free(arena);
}

static block *add_block(qn_arena *arena, size_t size, bool is_current) {
    if (size > SIZE_MAX - sizeof(block)) {
        return NULL;
    }
    block *b = calloc(1, sizeof(block) + size);
    if (b == NULL) {
        return NULL;
    }
    b->size = size;
    if (is_current || arena->blocks == NULL) {
        b->next = arena->blocks;
        arena->blocks = b;
    } else {
        b->next = arena->blocks->next;
        arena->blocks->next = b;
    }
    return b;
}

static void *take_bytes(qn_arena *arena, size_t size) {
    if (size > SIZE_MAX - alignof(max_align_t)) {
        return NULL;
    }
    const size_t rounded = (size + alignof(max_align_t) - 1) / alignof(max_align_t) * alignof(max_align_t);
    block *b = arena->blocks;
    if (b == NULL || b->size - b->used < rounded) {
        const bool is_large = rounded > BLOCK_BYTES / 4;
        b = add_block(arena, is_large ? rounded : BLOCK_BYTES, !is_large);
        if (b == NULL) {
            return NULL;
        }
    }
    void *bytes = b->bytes + b->used;
    b->used += rounded;
    return bytes;
}

void *qn_arena_array(qn_arena *arena, uint64_t n, size_t size) {
    size_t total = 0;
    if (n > SIZE_MAX || __builtin_mul_overflow((size_t)n, size, &total)) {
        return NULL;
    }
    return take_bytes(arena, total == 0 ? 1 : total);
}

char *qn_arena_copy(qn_arena *arena, const void *bytes, size_t n) {
    if (n == SIZE_MAX) {
        return NULL;
    }
    char *copy = take_bytes(arena, n + 1);
    if (copy != NULL && n > 0) {
        memcpy(copy, bytes, n);
    }
    return copy;
}

char *qn_arena_string(qn_arena *arena, const char *text) {
    return qn_arena_copy(arena, text, strlen(text));
}

char *qn_arena_printf(qn_arena *arena, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0) {
        return NULL;
    }
    char *text = take_bytes(arena, (size_t)n + 1);
    if (text != NULL) {
        va_start(args, fmt);
        (void)vsnprintf(text, (size_t)n + 1, fmt, args);
        va_end(args);
    }
    return text;
}

uint64_t qn_memory_peak(void) {
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) != 0 || usage.ru_maxrss < 0) {
        return 0;
    }
    return (uint64_t)usage.ru_maxrss * 1024; /* kilobytes on Linux */
}
