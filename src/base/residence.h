/* SPDX-License-Identifier: MIT */
/* residence.h: which bytes are in memory, how many could be, and what was read from disk; 0 where nobody tells. */
#ifndef QUERN_BASE_RESIDENCE_H
#define QUERN_BASE_RESIDENCE_H

#include <stddef.h>
#include <stdint.h>

/**
 * Bytes of a range that are in memory now. Of a mapped file, those in the system's page cache, whoever brought them
 * there; of memory of one's own, those that were written to and not swapped out. (Linux tells of files that this user
 * could write only; all of another's counts.)
 * @param start any address; nothing of the range is touched
 */
uint64_t qn_resident_within(const void *start, uint64_t n);

/** Bytes of memory that this process has now, its share of mapped files among them. */
uint64_t qn_resident_bytes(void);

/** Bytes of memory to be had without swapping: the system's, or what the control group leaves, if that is less. */
uint64_t qn_available_bytes(void);

/** Bytes that this process has had read from disks so far; what was in the page cache costs nothing. */
uint64_t qn_disk_bytes(void);

#endif
