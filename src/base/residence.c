/* SPDX-License-Identifier: MIT */
/* residence.c: asks the system about pages. Everything here may be unknown: then it is 0. */
#ifdef __linux__
#define _DEFAULT_SOURCE /* mincore() */
#endif

#include "base/residence.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef __linux__

enum { PAGES_A_CALL = 4096 };

uint64_t qn_resident_within(const void *start, uint64_t n) {
    const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    const uint64_t first = (uint64_t)(uintptr_t)start;
    const uint64_t end = first + n;
    unsigned char is_in[PAGES_A_CALL];
    uint64_t bytes = 0;
    for (uint64_t at = first / page * page; at < end; at += PAGES_A_CALL * page) {
        const uint64_t left = (end - at + page - 1) / page;
        const uint64_t n_pages = left < PAGES_A_CALL ? left : PAGES_A_CALL;
        if (mincore((void *)(uintptr_t)at, (size_t)(n_pages * page), is_in) != 0) {
            return 0;
        }
        for (uint64_t i = 0; i < n_pages; i++) {
            const uint64_t from = at + i * page > first ? at + i * page : first;
            const uint64_t to = at + (i + 1) * page < end ? at + (i + 1) * page : end;
            bytes += (is_in[i] & 1U) != 0 ? to - from : 0;
        }
    }
    return bytes;
}

/* The number behind a word that a line begins with; fallback when the file or the line is not there. */
static uint64_t number_in(const char *path, const char *word, uint64_t fallback) {
    FILE *file = fopen(path, "r");
    char line[128];
    uint64_t found = fallback;
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        unsigned long long n = 0;
        if (strncmp(line, word, strlen(word)) == 0 && sscanf(line + strlen(word), "%llu", &n) == 1) {
            found = n;
            break;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

uint64_t qn_available_bytes(void) {
    const uint64_t system = number_in("/proc/meminfo", "MemAvailable:", 0) * 1024;
    const uint64_t limit = number_in("/sys/fs/cgroup/memory.max", "", UINT64_MAX); /* the group's own, in containers */
    const uint64_t used = limit == UINT64_MAX ? 0 : number_in("/sys/fs/cgroup/memory.stat", "anon ", 0);
    const uint64_t left = limit > used ? limit - used : 1; /* 0 would say that it is unknown */
    return system < left ? system : left;
}

uint64_t qn_resident_bytes(void) {
    return number_in("/proc/self/status", "VmRSS:", 0) * 1024;
}

uint64_t qn_disk_bytes(void) {
    struct rusage usage;
    return getrusage(RUSAGE_SELF, &usage) != 0 || usage.ru_inblock < 0 ? 0 : (uint64_t)usage.ru_inblock * 512;
}

#else

uint64_t qn_resident_within(const void *start, uint64_t n) {
    (void)start;
    (void)n;
    return 0;
}

uint64_t qn_available_bytes(void) {
    return 0;
}

uint64_t qn_resident_bytes(void) {
    return 0;
}

uint64_t qn_disk_bytes(void) {
    return 0;
}

#endif
