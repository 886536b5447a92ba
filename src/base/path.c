/* SPDX-License-Identifier: MIT */
/* path.c: folders and names, the part of file.h that opens no file. */
/* realpath() is XSI, not base POSIX. */
#define _XOPEN_SOURCE 700

#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

bool qn_is_file(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool qn_is_dir(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool qn_is_same_file(const char *a, const char *b) {
    struct stat x;
    struct stat y;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

bool qn_is_plain_name(const char *name) {
    return name[0] != '\0' && strchr(name, '/') == NULL && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

bool qn_ends_with(const char *name, const char *end) {
    const size_t n = strlen(name);
    const size_t n_end = strlen(end);
    return n > n_end && strcmp(name + n - n_end, end) == 0;
}

char *qn_path_join(qn_arena *arena, const char *dir, const char *name) {
    const size_t n = strlen(dir);
    if (n == 0) {
        return qn_arena_string(arena, name);
    }
    return qn_arena_printf(arena, dir[n - 1] == '/' ? "%s%s" : "%s/%s", dir, name);
}

/* Length of path without its trailing slashes; "/" keeps one. */
static size_t trimmed_len(const char *path) {
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    return n;
}

char *qn_path_base(qn_arena *arena, const char *path) {
    size_t n = trimmed_len(path);
    size_t start = n;
    while (start > 0 && path[start - 1] != '/') {
        start--;
    }
    char *base = qn_arena_copy(arena, path + start, n - start);
    if (base == NULL || qn_is_plain_name(base)) {
        return base;
    }
    char real[PATH_MAX];
    if (realpath(path, real) == NULL || strcmp(real, "/") == 0) {
        return base;
    }
    return qn_arena_string(arena, strrchr(real, '/') + 1);
}

char *qn_path_parent(qn_arena *arena, const char *path) {
    size_t n = trimmed_len(path);
    while (n > 0 && path[n - 1] != '/') {
        n--;
    }
    if (n == 0) {
        return qn_arena_string(arena, ".");
    }
    while (n > 1 && path[n - 1] == '/') {
        n--;
    }
    return qn_arena_copy(arena, path, n);
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static qn_status read_names(DIR *dir, qn_arena *arena, qn_names *out, qn_error *err) {
    uint64_t cap = 0;
    const char **names = NULL;
    uint64_t n = 0;
    for (const struct dirent *e = readdir(dir); e != NULL; e = readdir(dir)) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        if (n == cap) {
            cap = cap == 0 ? 32 : cap * 2;
            const char **more = qn_arena_array(arena, cap, sizeof *more);
            if (more == NULL) {
                return qn_fail_nomem(err, "folder listing", (size_t)cap);
            }
            if (n > 0) {
                memcpy(more, names, (size_t)n * sizeof *names);
            }
            names = more;
        }
        names[n] = qn_arena_string(arena, e->d_name);
        if (names[n] == NULL) {
            return qn_fail_nomem(err, "folder listing", sizeof e->d_name);
        }
        n++;
    }
    if (n > 1) {
        qsort(names, (size_t)n, sizeof *names, compare_names);
    }
    *out = (qn_names){names, n};
    return QN_OK;
}

qn_status qn_list_dir(qn_arena *arena, const char *path, qn_names *out, qn_error *err) {
    DIR *dir = opendir(path);
    if (dir == NULL) {
        const int e = errno;
        return qn_fail_errno(err, e == ENOENT || e == ENOTDIR ? QN_E_NOT_FOUND : QN_E_IO, e, "%s", path);
    }
    const qn_status status = read_names(dir, arena, out, err);
    (void)closedir(dir);
    return status;
}

qn_status qn_make_dirs(const char *path, qn_error *err) {
    char partial[PATH_MAX];
    const size_t n = trimmed_len(path);
    if (n == 0 || n >= sizeof partial) {
        return qn_fail(err, QN_E_USAGE, "'%s': not a usable folder name", path);
    }
    memcpy(partial, path, n);
    partial[n] = '\0';
    for (size_t i = 1; i <= n; i++) {
        if (i < n && partial[i] != '/') {
            continue;
        }
        partial[i] = '\0';
        if (mkdir(partial, 0777) != 0 && errno != EEXIST) {
            return qn_fail_errno(err, QN_E_IO, errno, "%s: cannot make the folder", partial);
        }
        if (i < n) {
            partial[i] = '/';
        }
    }
    return qn_is_dir(path) ? QN_OK : qn_fail(err, QN_E_IO, "%s: is not a folder", path);
}

qn_status qn_free_space(const char *path, uint64_t *bytes, qn_error *err) {
    qn_arena *arena = qn_arena_new();
    const char *at = arena == NULL ? NULL : qn_arena_string(arena, path);
    struct statvfs fs;
    int failed = -1;
    while (at != NULL && (failed = statvfs(at, &fs)) != 0 && errno == ENOENT && strcmp(at, ".") != 0) {
        at = qn_path_parent(arena, at);
    }
    const int e = errno;
    const bool is_short = at == NULL;
    qn_arena_free(arena);
    if (is_short) {
        return qn_fail_nomem(err, path, 0);
    }
    if (failed != 0) {
        return qn_fail_errno(err, QN_E_IO, e, "%s: cannot ask for the free space", path);
    }
    *bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    return QN_OK;
}

/* A rename is on the disk only when its folder is. */
static qn_status sync_folder_of(const char *path, qn_error *err) {
    qn_arena *arena = qn_arena_new();
    const char *parent = arena == NULL ? NULL : qn_path_parent(arena, path);
    if (parent == NULL) {
        qn_arena_free(arena);
        return qn_fail_nomem(err, path, 0);
    }
    const int fd = open(parent, O_RDONLY | O_CLOEXEC);
    qn_status status = QN_OK;
    if (fd < 0 || (fsync(fd) != 0 && errno != EINVAL)) {
        status = qn_fail_errno(err, QN_E_IO, errno, "%s: cannot sync the folder", parent);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    qn_arena_free(arena);
    return status;
}

qn_status qn_rename(const char *from, const char *to, qn_error *err) {
    if (rename(from, to) != 0) {
        return qn_fail_errno(err, QN_E_IO, errno, "%s: cannot rename to %s", from, to);
    }
    return sync_folder_of(to, err);
}
