/* SPDX-License-Identifier: MIT */
/* memory.h: checked allocation, and arenas that own everything of one opened object. */
#ifndef QUERN_BASE_MEMORY_H
#define QUERN_BASE_MEMORY_H

#include "base/error.h"

#include <stdarg.h>

/** n * size bytes, zeroed; NULL when the product overflows or memory is short. Free with free(). */
void *qn_new_array(uint64_t n, size_t size);

/** Resizes to n * size bytes (old contents kept, new bytes undefined); NULL leaves the old block alive. */
void *qn_resize_array(void *old, uint64_t n, size_t size);

/**
 * Memory that is given back all at once. What is opened together (an archive's names, a model's recipes,
 * a plan's tables) lives in one arena and needs no destructor of its own.
 * Threads: one at a time.
 */
typedef struct qn_arena qn_arena;

/** @return NULL when memory is short. */
qn_arena *qn_arena_new(void);

/** Gives back everything; accepts NULL. */
void qn_arena_free(qn_arena *arena);

/** n * size zeroed bytes, aligned for any type; NULL when short. Never NULL for n == 0. */
void *qn_arena_array(qn_arena *arena, uint64_t n, size_t size);

/** A copy of n bytes with a NUL behind them; NULL when short. */
char *qn_arena_copy(qn_arena *arena, const void *bytes, size_t n);

/** A copy of a string; NULL when short. */
char *qn_arena_string(qn_arena *arena, const char *text);

/** A formatted string; NULL when short. */
char *qn_arena_printf(qn_arena *arena, const char *fmt, ...) QN_PRINTF(2, 3);

/** The most bytes of memory that this process has had so far; 0 where the system does not tell. */
uint64_t qn_memory_peak(void);

#endif
