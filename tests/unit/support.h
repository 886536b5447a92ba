/* SPDX-License-Identifier: MIT */
/* support.h: what unit tests share: cmocka with its includes, temporary folders, whole files, status assertions. */
#ifndef QUERN_TESTS_SUPPORT_H
#define QUERN_TESTS_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "quern/status.h"

/** Exit status by which a test program says that it cannot run here (ctest shows it as skipped). */
#define TEST_SKIPPED 77

/**
 * Asserts that expr, a call that fills err, returns the wanted status. On a difference it prints both names and the
 * message and fails the test at the caller's line.
 */
#define assert_status(err, expr, wanted) check_status((err), (expr), (wanted), #expr, __FILE__, __LINE__)

/** assert_status for QN_OK. */
#define assert_ok(err, expr) assert_status(err, expr, QN_OK)

/** Asserts that the message in err contains text: the file, tensor or byte that a user needs. */
#define assert_message_has(err, text) check_message((err), (text), __FILE__, __LINE__)

static inline void check_status(const qn_error *err, qn_status found, qn_status wanted, const char *expr,
                                const char *file, int line) {
    if (found != wanted) {
        print_error("%s\n  returned %s, wanted %s; message: %s\n", expr, qn_status_name(found), qn_status_name(wanted),
                    err == NULL || found == QN_OK ? "(none)" : err->message);
        _fail(file, line);
    }
}

static inline void check_message(const qn_error *err, const char *text, const char *file, int line) {
    if (strstr(err->message, text) == NULL) {
        print_error("message lacks '%s': %s\n", text, err->message);
        _fail(file, line);
    }
}

/** A new empty folder below $TMPDIR or /tmp; free its name by remove_temp_dir(). */
static inline char *make_temp_dir(void) {
    const char *root = getenv("TMPDIR");
    char path[1024];
    char *copy = NULL;
    (void)snprintf(path, sizeof path, "%s/quern-test-XXXXXX", root != NULL && root[0] != '\0' ? root : "/tmp");
    assert_non_null(mkdtemp(path));
    copy = malloc(strlen(path) + 1);
    assert_non_null(copy);
    memcpy(copy, path, strlen(path) + 1);
    return copy;
}

/** "dir/name" in new memory; the caller frees it. */
static inline char *join_path(const char *dir, const char *name) {
    const size_t size = strlen(dir) + strlen(name) + 2;
    char *path = malloc(size);
    assert_non_null(path);
    (void)snprintf(path, size, "%s/%s", dir, name);
    return path;
}

/** Removes a folder with all that is in it; links are removed, not followed. */
static inline void remove_tree(const char *path) {
    DIR *dir = opendir(path);
    const struct dirent *entry;
    if (dir == NULL) {
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        struct stat info;
        char *child = NULL;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        child = join_path(path, entry->d_name);
        if (lstat(child, &info) == 0 && S_ISDIR(info.st_mode)) {
            remove_tree(child);
        } else {
            (void)unlink(child);
        }
        free(child);
    }
    (void)closedir(dir);
    (void)rmdir(path);
}

/** Removes what make_temp_dir() made, and frees its name. */
static inline void remove_temp_dir(char *path) {
    if (path != NULL) {
        remove_tree(path);
        free(path);
    }
}

/** Writes n bytes as dir/name and returns that path; the caller frees it. */
static inline char *write_file(const char *dir, const char *name, const void *data, size_t n) {
    char *path = join_path(dir, name);
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
    return path;
}

/** write_file() for a string, without its final NUL. */
static inline char *write_text(const char *dir, const char *name, const char *text) {
    return write_file(dir, name, text, strlen(text));
}

/** A whole file in new memory with a NUL behind it; *n is its size and may be NULL. The caller frees it. */
static inline void *read_file(const char *path, size_t *n) {
    FILE *file = fopen(path, "rb");
    char *data = NULL;
    long size = 0;
    if (file == NULL) {
        print_error("%s: cannot be opened\n", path);
    }
    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    size = ftell(file);
    assert_true(size >= 0);
    rewind(file);
    data = malloc((size_t)size + 1);
    assert_non_null(data);
    assert_int_equal(fread(data, 1, (size_t)size, file), (size_t)size);
    data[size] = '\0';
    (void)fclose(file);
    if (n != NULL) {
        *n = (size_t)size;
    }
    return data;
}

/** Turns single quotes into double ones, in place: JSON in a C string is easier to read with the former. */
static inline char *with_double_quotes(char *text) {
    for (char *c = text; *c != '\0'; c++) {
        if (*c == '\'') {
            *c = '"';
        }
    }
    return text;
}

/** Whether something stands under a path. */
static inline bool path_exists(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0;
}

#endif
