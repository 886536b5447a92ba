/* SPDX-License-Identifier: MIT */
/* file.c: the operating system's files behind checked calls; short reads and EINTR are handled here only. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct qn_file {
    int fd;
    uint64_t size;
    int64_t mtime_ns;
    void *map; /* NULL until mapped */
    char path[];
};

struct qn_out {
    int fd;
    char path[];
};

static int open_retry(const char *path, int flags, mode_t mode) {
    int fd = -1;
    do {
        fd = open(path, flags | O_CLOEXEC, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

qn_status qn_file_open(const char *path, qn_file **out, qn_error *err) {
    const size_t n = strlen(path) + 1;
    struct stat st;
    qn_file *f = qn_new_array(1, sizeof(qn_file) + n);
    if (f == NULL) {
        return qn_fail_nomem(err, path, n);
    }
    memcpy(f->path, path, n);
    f->fd = open_retry(path, O_RDONLY | O_NONBLOCK, 0); /* a named pipe would wait for a writer */
    if (f->fd < 0) {
        const int e = errno;
        free(f);
        return qn_fail_errno(err, e == ENOENT || e == ENOTDIR ? QN_E_NOT_FOUND : QN_E_IO, e, "%s", path);
    }
    if (fstat(f->fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        qn_file_close(f);
        return qn_fail(err, QN_E_IO, "%s: is not a regular file", path);
    }
    f->size = (uint64_t)st.st_size;
    f->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    *out = f;
    return QN_OK;
}

void qn_file_close(qn_file *f) {
    if (f == NULL) {
        return;
    }
    if (f->map != NULL && f->size > 0) {
        (void)munmap(f->map, (size_t)f->size);
    }
    (void)close(f->fd);
    free(f);
}

uint64_t qn_file_size(const qn_file *f) {
    return f->size;
}

const char *qn_file_path(const qn_file *f) {
    return f->path;
}

int64_t qn_file_mtime_ns(const qn_file *f) {
    return f->mtime_ns;
}

/* Reads n bytes or up to the end of the file; *got tells how many. */
static int read_fully(int fd, uint64_t file_off, void *dst, size_t n, size_t *got) {
    size_t done = 0;
    while (done < n) {
        const ssize_t k = pread(fd, (char *)dst + done, n - done, (off_t)(file_off + done));
        if (k < 0 && errno == EINTR) {
            continue;
        }
        if (k < 0) {
            return errno;
        }
        if (k == 0) {
            break;
        }
        done += (size_t)k;
    }
    *got = done;
    return 0;
}

static qn_status read_exactly(int fd, const char *path, uint64_t file_off, void *dst, size_t n, qn_error *err) {
    size_t got = 0;
    const int e = read_fully(fd, file_off, dst, n, &got);
    if (e != 0) {
        return qn_fail_errno(err, QN_E_IO, e, "%s: cannot read %zu bytes at byte %llu", path, n,
                             (unsigned long long)file_off);
    }
    if (got < n) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: ends at byte %llu; %zu bytes were expected at byte %llu: the file is cut off or changed "
                       "while it was read",
                       path, (unsigned long long)(file_off + got), n, (unsigned long long)file_off);
    }
    return QN_OK;
}

qn_status qn_file_read_at(const qn_file *f, uint64_t file_off, void *dst, size_t n, qn_error *err) {
    return read_exactly(f->fd, f->path, file_off, dst, n, err);
}

qn_status qn_file_map(qn_file *f, const unsigned char **bytes, qn_error *err) {
    static const unsigned char nothing[1] = {0};
    if (f->size == 0) {
        *bytes = nothing;
        return QN_OK;
    }
    if (f->size > SIZE_MAX) {
        return qn_fail(err, QN_E_RANGE, "%s: too large to map on this machine", f->path);
    }
    if (f->map == NULL) {
        void *map = mmap(NULL, (size_t)f->size, PROT_READ, MAP_SHARED, f->fd, 0);
        if (map == MAP_FAILED) {
            return qn_fail_errno(err, QN_E_IO, errno, "%s: cannot map", f->path);
        }
        f->map = map;
    }
    *bytes = f->map;
    return QN_OK;
}

qn_status qn_read_text(const char *path, uint64_t max_bytes, char **text, size_t *len, qn_error *err) {
    qn_file *f = NULL;
    QN_TRY(qn_file_open(path, &f, err));
    const uint64_t size = f->size;
    if (size > max_bytes) {
        qn_file_close(f);
        return qn_fail(err, QN_E_RANGE, "%s: is %llu bytes; at most %llu are expected of such a file", path,
                       (unsigned long long)size, (unsigned long long)max_bytes);
    }
    char *bytes = qn_new_array(size + 1, 1);
    if (bytes == NULL) {
        qn_file_close(f);
        return qn_fail_nomem(err, path, (size_t)size);
    }
    const qn_status status = qn_file_read_at(f, 0, bytes, (size_t)size, err);
    qn_file_close(f);
    if (status != QN_OK) {
        free(bytes);
        return status;
    }
    *text = bytes;
    if (len != NULL) {
        *len = (size_t)size;
    }
    return QN_OK;
}

/* Reserves the space now, so that a full disk shows before the work rather than in the middle of it. */
static int reserve(int fd, uint64_t size_bytes) {
    if (ftruncate(fd, 0) != 0 || ftruncate(fd, (off_t)size_bytes) != 0) {
        return errno;
    }
    if (size_bytes == 0) {
        return 0;
    }
    int e = 0;
    do {
        e = posix_fallocate(fd, 0, (off_t)size_bytes);
    } while (e == EINTR);
    return e == EOPNOTSUPP || e == EINVAL || e == ENOSYS ? 0 : e;
}

/* A file is one process's while it is being written; the lock goes with the descriptor. 0, or an errno. */
static int lock_whole(int fd) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_SETLK, &whole) == 0 ? 0 : errno;
}

/* Makes the file size_bytes long: as it is when it may be kept, else all zeros. 0, or an errno. */
static int prepare_out(int fd, uint64_t size_bytes, bool keep) {
    struct stat st;
    if (fstat(fd, &st) != 0) {
        return errno;
    }
    if (keep && (uint64_t)st.st_size == size_bytes) {
        return 0;
    }
    return ftruncate(fd, 0) != 0 ? errno : reserve(fd, size_bytes);
}

qn_status qn_out_open(const char *path, uint64_t size_bytes, bool keep, qn_out **out, qn_error *err) {
    const size_t n = strlen(path) + 1;
    if (size_bytes > INT64_MAX) {
        return qn_fail(err, QN_E_RANGE, "%s: %llu bytes are more than a file can hold", path,
                       (unsigned long long)size_bytes);
    }
    qn_out *o = qn_new_array(1, sizeof(qn_out) + n);
    if (o == NULL) {
        return qn_fail_nomem(err, path, n);
    }
    memcpy(o->path, path, n);
    o->fd = open_retry(path, O_RDWR | O_CREAT, 0666);
    if (o->fd < 0) {
        const int e = errno;
        free(o);
        return qn_fail_errno(err, QN_E_IO, e, "%s: cannot create", path);
    }
    int e = lock_whole(o->fd);
    if (e == EACCES || e == EAGAIN) {
        qn_out_close(o);
        return qn_fail(err, QN_E_EXISTS, "%s: another process is writing this file", path);
    }
    e = prepare_out(o->fd, size_bytes, keep); /* a file system without locks is no reason not to write */
    if (e != 0) {
        if (!keep) {
            (void)unlink(path); /* half a reservation is of no use to anyone */
        }
        qn_out_close(o);
        return qn_fail_errno(err, QN_E_IO, e, "%s: cannot reserve %llu bytes", path, (unsigned long long)size_bytes);
    }
    *out = o;
    return QN_OK;
}

qn_status qn_out_write_at(qn_out *o, uint64_t file_off, const void *src, size_t n, qn_error *err) {
    size_t done = 0;
    while (done < n) {
        const ssize_t k = pwrite(o->fd, (const char *)src + done, n - done, (off_t)(file_off + done));
        if (k < 0 && errno == EINTR) {
            continue;
        }
        if (k <= 0) {
            return qn_fail_errno(err, QN_E_IO, k == 0 ? ENOSPC : errno, "%s: cannot write %zu bytes at byte %llu",
                                 o->path, n, (unsigned long long)file_off);
        }
        done += (size_t)k;
    }
    return QN_OK;
}

qn_status qn_out_read_at(qn_out *o, uint64_t file_off, void *dst, size_t n, qn_error *err) {
    return read_exactly(o->fd, o->path, file_off, dst, n, err);
}

/* What is read back later must come from the disk, not from memory: the file's cached pages are given up. */
static void drop_cache(int fd) {
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

qn_status qn_out_sync(qn_out *o, qn_error *err) {
    if (fsync(o->fd) != 0) {
        return qn_fail_errno(err, QN_E_IO, errno, "%s: cannot sync to disk", o->path);
    }
    drop_cache(o->fd);
    return QN_OK;
}

void qn_out_close(qn_out *o) {
    if (o != NULL) {
        (void)close(o->fd);
        free(o);
    }
}
