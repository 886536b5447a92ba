/* SPDX-License-Identifier: MIT */
/* shim.c: preloaded into a program to make its n-th allocation, read, write, sync or rename fail. */
/*
 * Set by the environment:
 *   QN_FAULT=CALL:N[:ERRNO]   the N-th call (from 1) of CALL fails, once. ERRNO is a name as in errno.h; EIO by default
 *                             (allocations always give ENOMEM). CALL:N+ fails the N-th and all after it.
 *   QN_FAULT_COUNT=PATH       at exit, the number of calls of each kind is written to PATH, one "CALL TOTAL" a line.
 * CALL is one of malloc (malloc, calloc, realloc, posix_memalign, aligned_alloc), pread (read too), pwrite (write to a
 * regular file too), fsync (fdatasync too), rename. Counting is atomic, but which thread makes the N-th call is not
 * fixed: with several threads a run is a sample, and with --threads 1 it can be repeated.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { KIND_MALLOC, KIND_PREAD, KIND_PWRITE, KIND_FSYNC, KIND_RENAME, N_KINDS };

static const char *const KIND_NAMES[N_KINDS] = {"malloc", "pread", "pwrite", "fsync", "rename"};

static atomic_ulong n_calls[N_KINDS];
static atomic_int chosen_kind = -1;
static unsigned long chosen_call;
static bool is_lasting;
static int chosen_errno = EIO;

/* glibc's own names of the allocator: dlsym() itself allocates, so malloc cannot be looked up by it. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

/** Counts one call of a kind; true when it is the one that must fail, with errno set. */
static bool must_fail(int kind) {
    const unsigned long n = atomic_fetch_add(&n_calls[kind], 1) + 1;
    if (kind != atomic_load(&chosen_kind) || !(n == chosen_call || (is_lasting && n > chosen_call))) {
        return false;
    }
    errno = kind == KIND_MALLOC ? ENOMEM : chosen_errno;
    return true;
}

/**
 * As must_fail() for an allocation; says on standard error whose it was, so that a crash in a library that does not
 * check its own allocations can be told from one of the program's.
 */
static bool must_fail_for(const void *caller) {
    Dl_info info;
    if (!must_fail(KIND_MALLOC)) {
        return false;
    }
    const char *library = dladdr(caller, &info) != 0 && info.dli_fname != NULL ? info.dli_fname : "?";
    const struct iovec line[] = {{(void *)(uintptr_t) "QN_FAULT: allocation of ", 24},
                                 {(void *)(uintptr_t)library, strlen(library)},
                                 {(void *)(uintptr_t) "\n", 1}};
    (void)!writev(STDERR_FILENO, line, 3);
    errno = ENOMEM;
    return true;
}

static int errno_of(const char *name) {
    static const struct {
        const char *name;
        int value;
    } NAMES[] = {{"EIO", EIO},       {"ENOSPC", ENOSPC}, {"EACCES", EACCES},
                 {"EDQUOT", EDQUOT}, {"EINTR", EINTR},   {"EROFS", EROFS}};
    for (size_t i = 0; i < sizeof NAMES / sizeof NAMES[0]; i++) {
        if (strcmp(name, NAMES[i].name) == 0) {
            return NAMES[i].value;
        }
    }
    return EIO;
}

/* Runs before main(), and before most constructors; what they allocate is counted all the same. */
__attribute__((constructor)) static void read_environment(void) {
    const char *fault = getenv("QN_FAULT");
    const char *colon = fault == NULL ? NULL : strchr(fault, ':');
    char *end = NULL;
    if (colon == NULL) {
        return;
    }
    for (int kind = 0; kind < N_KINDS; kind++) {
        const size_t n = strlen(KIND_NAMES[kind]);
        if ((size_t)(colon - fault) == n && strncmp(fault, KIND_NAMES[kind], n) == 0) {
            chosen_call = strtoul(colon + 1, &end, 10);
            is_lasting = *end == '+';
            end += is_lasting ? 1 : 0;
            chosen_errno = *end == ':' ? errno_of(end + 1) : EIO;
            /* Calls before this moment do not count: N is the program's own. */
            for (int i = 0; i < N_KINDS; i++) {
                atomic_store(&n_calls[i], 0);
            }
            atomic_store(&chosen_kind, kind);
        }
    }
}

__attribute__((destructor)) static void write_counts(void) {
    const char *path = getenv("QN_FAULT_COUNT");
    char text[256];
    int used = 0;
    int fd = -1;
    if (path == NULL) {
        return;
    }
    atomic_store(&chosen_kind, -1);
    for (int kind = 0; kind < N_KINDS; kind++) {
        used += snprintf(text + used, sizeof text - (size_t)used, "%s %lu\n", KIND_NAMES[kind],
                         atomic_load(&n_calls[kind]));
    }
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd >= 0) {
        (void)!write(fd, text, (size_t)used);
        (void)close(fd);
    }
}

void *malloc(size_t size) {
    return must_fail_for(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size) {
    return must_fail_for(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *block, size_t size) {
    return must_fail_for(__builtin_return_address(0)) ? NULL : __libc_realloc(block, size);
}

int posix_memalign(void **block, size_t alignment, size_t size) {
    if (must_fail_for(__builtin_return_address(0))) {
        return ENOMEM;
    }
    *block = __libc_memalign(alignment, size);
    return *block == NULL ? ENOMEM : 0;
}

void *aligned_alloc(size_t alignment, size_t size) {
    return must_fail_for(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

/* The next definition of a function, found once; a race finds it twice, which is harmless. */
#define NEXT(type, name)                 \
    static _Atomic(void *) found;        \
    void *symbol = atomic_load(&found);  \
    type next = NULL;                    \
    if (symbol == NULL) {                \
        symbol = dlsym(RTLD_NEXT, name); \
        atomic_store(&found, symbol);    \
    }                                    \
    memcpy(&next, &symbol, sizeof next)

typedef ssize_t (*pread_fn)(int fd, void *buffer, size_t n, off_t offset);
typedef ssize_t (*pwrite_fn)(int fd, const void *buffer, size_t n, off_t offset);
typedef ssize_t (*read_fn)(int fd, void *buffer, size_t n);
typedef ssize_t (*write_fn)(int fd, const void *buffer, size_t n);
typedef int (*sync_fn)(int fd);
typedef int (*rename_fn)(const char *from, const char *to);

/** Terminals and pipes are not what a disk that fails takes away. */
static bool is_regular(int fd) {
    struct stat info;
    return fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

ssize_t pread(int fd, void *buffer, size_t n, off_t offset) {
    NEXT(pread_fn, "pread");
    return must_fail(KIND_PREAD) ? -1 : next(fd, buffer, n, offset);
}

ssize_t pread64(int fd, void *buffer, size_t n, off_t offset) {
    NEXT(pread_fn, "pread64");
    return must_fail(KIND_PREAD) ? -1 : next(fd, buffer, n, offset);
}

ssize_t read(int fd, void *buffer, size_t n) {
    NEXT(read_fn, "read");
    return is_regular(fd) && must_fail(KIND_PREAD) ? -1 : next(fd, buffer, n);
}

ssize_t pwrite(int fd, const void *buffer, size_t n, off_t offset) {
    NEXT(pwrite_fn, "pwrite");
    return must_fail(KIND_PWRITE) ? -1 : next(fd, buffer, n, offset);
}

ssize_t pwrite64(int fd, const void *buffer, size_t n, off_t offset) {
    NEXT(pwrite_fn, "pwrite64");
    return must_fail(KIND_PWRITE) ? -1 : next(fd, buffer, n, offset);
}

ssize_t write(int fd, const void *buffer, size_t n) {
    NEXT(write_fn, "write");
    return is_regular(fd) && must_fail(KIND_PWRITE) ? -1 : next(fd, buffer, n);
}

int fsync(int fd) {
    NEXT(sync_fn, "fsync");
    return must_fail(KIND_FSYNC) ? -1 : next(fd);
}

int fdatasync(int fd) {
    NEXT(sync_fn, "fdatasync");
    return must_fail(KIND_FSYNC) ? -1 : next(fd);
}

int rename(const char *from, const char *to) {
    NEXT(rename_fn, "rename");
    return must_fail(KIND_RENAME) ? -1 : next(from, to);
}
