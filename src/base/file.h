/* SPDX-License-Identifier: MIT */
/* file.h: positioned reads and writes, mapped headers, paths. Every message names the path. */
#ifndef QUERN_BASE_FILE_H
#define QUERN_BASE_FILE_H

#include "base/memory.h"

#include <stdbool.h>

/** A file opened for reading. Positioned reads from several threads are safe. */
typedef struct qn_file qn_file;

/**
 * Opens a regular file (symbolic links are followed).
 * @return QN_OK; QN_E_NOT_FOUND; QN_E_IO (also for a directory or device)
 */
QN_NODISCARD qn_status qn_file_open(const char *path, qn_file **out, qn_error *err);
/** Closes and unmaps; accepts NULL. */
void qn_file_close(qn_file *f);
/** Bytes in the file when it was opened. */
uint64_t qn_file_size(const qn_file *f);
/** The path it was opened by; lives as long as the file. */
const char *qn_file_path(const qn_file *f);
/** Last modification, nanoseconds since 1970, when it was opened. */
int64_t qn_file_mtime_ns(const qn_file *f);

/** Reads exactly n bytes at file_off. @return QN_OK; QN_E_IO; QN_E_FORMAT when the file ends before. */
QN_NODISCARD qn_status qn_file_read_at(const qn_file *f, uint64_t file_off, void *dst, size_t n, qn_error *err);

/**
 * Maps the whole file for reading; unmapped by qn_file_close(). For headers: weights are read with
 * qn_file_read_at(). An empty file gives a non-NULL pointer that must not be read.
 */
QN_NODISCARD qn_status qn_file_map(qn_file *f, const unsigned char **bytes, qn_error *err);

/**
 * Reads a whole file into memory with a NUL behind it.
 * @param max_bytes a larger file is refused with QN_E_RANGE
 * @param text      to be freed with free()
 * @param len       its bytes without the NUL; may be NULL
 */
QN_NODISCARD qn_status qn_read_text(const char *path, uint64_t max_bytes, char **text, size_t *len, qn_error *err);

/** A file being written at positions, from several threads. */
typedef struct qn_out qn_out;

/**
 * Creates a file of size_bytes, or opens one that is there and has that size, keeping its bytes, when
 * keep is set. Space is reserved where the file system can. The file is locked against other processes.
 * @return QN_OK; QN_E_IO; QN_E_SPACE; QN_E_EXISTS when another process is writing it
 */
QN_NODISCARD qn_status qn_out_open(const char *path, uint64_t size_bytes, bool keep, qn_out **out, qn_error *err);
/** Writes exactly n bytes at file_off. */
QN_NODISCARD qn_status qn_out_write_at(qn_out *o, uint64_t file_off, const void *src, size_t n, qn_error *err);
/** Reads exactly n bytes back. */
QN_NODISCARD qn_status qn_out_read_at(qn_out *o, uint64_t file_off, void *dst, size_t n, qn_error *err);
/** Forces the bytes to the disk, and forgets them, so that reading them back asks the disk. */
QN_NODISCARD qn_status qn_out_sync(qn_out *o, qn_error *err);
/** Closes; the file stays. Accepts NULL. */
void qn_out_close(qn_out *o);

/** Renames within one file system, replacing what is there, and syncs the folder. */
QN_NODISCARD qn_status qn_rename(const char *from, const char *to, qn_error *err);
/** Makes a folder and its parents; QN_OK when it is there. */
QN_NODISCARD qn_status qn_make_dirs(const char *path, qn_error *err);
/** Bytes free to this user on the file system of path, or of its nearest existing parent. */
QN_NODISCARD qn_status qn_free_space(const char *path, uint64_t *bytes, qn_error *err);

bool qn_is_file(const char *path); /**< A regular file (links followed) is there. */
bool qn_is_dir(const char *path);  /**< A folder (links followed) is there. */
/** Whether both names lead to one file that is there. */
bool qn_is_same_file(const char *a, const char *b);

/** The names in a folder without "." and "..", sorted bytewise. */
typedef struct qn_names {
    const char **names;
    uint64_t n;
} qn_names;
QN_NODISCARD qn_status qn_list_dir(qn_arena *arena, const char *path, qn_names *out, qn_error *err);

/** "dir/name", or name alone when dir is empty; NULL when memory is short. */
char *qn_path_join(qn_arena *arena, const char *dir, const char *name);
/** The last component, trailing slashes ignored ("a/b/" gives "b"; "." and ".." are resolved); NULL when short. */
char *qn_path_base(qn_arena *arena, const char *path);
/** The path without its last component ("." when there is none); NULL when short. */
char *qn_path_parent(qn_arena *arena, const char *path);
/** Whether a name ends so, and something stands before that. */
bool qn_ends_with(const char *name, const char *end);
/** True for a name that is one plain component: not empty, no '/', not "." or "..", no NUL. */
bool qn_is_plain_name(const char *name);

#endif
