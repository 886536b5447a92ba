/* SPDX-License-Identifier: MIT */
/* gguf.c: opens a GGUF file, or all files of a split set as one archive. */
/*
 * A set is PREFIX-00001-of-0000N.gguf and so on; each file carries split.no (from 0), split.count and
 * split.tensors.count (of all files). Metadata are the first file's, without the split.* keys. A file that is
 * missing, belongs to another set, or was renamed into another's place is refused. Source: facts/gguf.md, §6.
 */
#include "container/gguf.h"

#include "container/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* What a file says of its place in a set. */
typedef struct split {
    uint64_t no;
    uint64_t count; /* 0 or 1: a file by itself */
    uint64_t n_tensors;
    bool has_n_tensors;
} split;

enum { MAX_SHARDS = 65535 };

char *qn_gguf_shard_name(qn_arena *arena, const char *prefix, uint64_t no, uint64_t count) {
    return qn_arena_printf(arena, "%s-%05" PRIu64 "-of-%05" PRIu64 ".gguf", prefix, no + 1, count);
}

/* Reads a key that may be absent but must be a count when it is there. */
static qn_status read_count(const qn_meta *meta, const char *path, const char *key, uint64_t *out, bool *is_there,
                            qn_error *err) {
    *is_there = qn_meta_find(meta, key) != NULL;
    if (*is_there && !qn_meta_u64(meta, key, out)) {
        return qn_fail(err, QN_E_FORMAT, "%s: metadata key '%s' is not a count: the file is damaged", path, key);
    }
    return QN_OK;
}

static qn_status read_split(const qn_meta *meta, const char *path, split *out, qn_error *err) {
    bool has_no = false;
    bool has_count = false;
    *out = (split){0};
    QN_TRY(read_count(meta, path, "split.no", &out->no, &has_no, err));
    QN_TRY(read_count(meta, path, "split.count", &out->count, &has_count, err));
    QN_TRY(read_count(meta, path, "split.tensors.count", &out->n_tensors, &out->has_n_tensors, err));
    if (out->count > MAX_SHARDS || (out->count > 0 && out->no >= out->count)) {
        return qn_fail(err, QN_E_FORMAT, "%s: split.no is %" PRIu64 " of split.count %" PRIu64 ": the file is damaged",
                       path, out->no, out->count);
    }
    return QN_OK;
}

/* Opened shards are whole models; what told of the split is not part of the model. */
static void drop_split_keys(qn_meta *meta) {
    uint64_t n = 0;
    for (uint64_t i = 0; i < meta->n; i++) {
        if (strncmp(meta->entries[i].key, "split.", 6) != 0) {
            meta->entries[n++] = meta->entries[i];
        }
    }
    meta->n = n;
}

static qn_status open_file(qn_archive *archive, const char *path, qn_meta *meta, split *out, qn_error *err) {
    qn_source source;
    QN_TRY(qn_source_open(archive, path, &source, err));
    QN_TRY(qn_gguf_parse(archive, &source, meta, err));
    return read_split(meta, path, out, err);
}

/* The path without "-00002-of-00003.gguf"; an error when it does not end in what the file's keys say. */
static qn_status find_prefix(qn_arena *arena, const char *path, const split *s, const char **out, qn_error *err) {
    char suffix[64];
    const int n = snprintf(suffix, sizeof suffix, "-%05" PRIu64 "-of-%05" PRIu64 ".gguf", s->no + 1, s->count);
    const size_t len = strlen(path);
    if (n < 0 || !qn_ends_with(path, suffix)) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: is part %" PRIu64 " of %" PRIu64 " of a split model, but its name does not end in %s: the "
                       "other parts cannot be found; give all parts their names back",
                       path, s->no + 1, s->count, suffix);
    }
    *out = qn_arena_copy(arena, path, len - (size_t)n);
    return *out == NULL ? qn_fail_nomem(err, path, len) : QN_OK;
}

static qn_status check_shard(const char *path, const split *found, const split *want, qn_error *err) {
    if (found->no != want->no || found->count != want->count) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: says that it is part %" PRIu64 " of %" PRIu64 ", but is in the place of part %" PRIu64
                       " of %" PRIu64 ": parts were renamed or mixed up; fetch them again",
                       path, found->count == 0 ? 1 : found->no + 1, found->count == 0 ? 1 : found->count, want->no + 1,
                       want->count);
    }
    if (found->has_n_tensors && want->has_n_tensors && found->n_tensors != want->n_tensors) {
        return qn_fail(
            err, QN_E_FORMAT,
            "%s: belongs to a set of %s tensors, the first part to one of %s: the parts are not of one model", path,
            qn_shown_number(found->n_tensors).text, qn_shown_number(want->n_tensors).text);
    }
    return QN_OK;
}

/* The names of a set's files, made from one of them. */
static qn_status name_set(qn_arena *arena, const char *path, const split *of, const char ***out, qn_error *err) {
    const char *prefix = NULL;
    const char **names = qn_arena_array(arena, of->count, sizeof *names);
    QN_TRY(find_prefix(arena, path, of, &prefix, err));
    for (uint64_t i = 0; names != NULL && i < of->count; i++) {
        names[i] = qn_gguf_shard_name(arena, prefix, i, of->count);
        if (names[i] == NULL) {
            return qn_fail_nomem(err, path, strlen(path));
        }
    }
    *out = names;
    return names == NULL ? qn_fail_nomem(err, path, (size_t)of->count * sizeof *names) : QN_OK;
}

static qn_status open_set(qn_archive *archive, const char *const *names, uint64_t n, qn_error *err) {
    qn_arena *arena = qn_archive_arena(archive);
    const char *path = names[0];
    split want = {.count = n};
    for (want.no = 0; want.no < want.count; want.no++) {
        const char *name = names[want.no];
        qn_meta scratch = qn_meta_new(arena);
        split found;
        const qn_status status = open_file(archive, name, want.no == 0 ? qn_archive_own_meta(archive) : &scratch,
                                           &found, err);
        if (status == QN_E_NOT_FOUND && !qn_is_file(name)) {
            return qn_fail(err, status, "%s: part %" PRIu64 " of %" PRIu64 " of this split model is missing; fetch it",
                           name, want.no + 1, want.count);
        }
        if (status != QN_OK) {
            return status;
        }
        if (want.no == 0) {
            want.n_tensors = found.n_tensors;
            want.has_n_tensors = found.has_n_tensors;
        }
        QN_TRY(check_shard(name, &found, &want, err));
    }
    if (want.has_n_tensors && qn_archive_n_tensors(archive) != want.n_tensors) {
        return qn_fail(err, QN_E_FORMAT, "%s: the %" PRIu64 " parts hold %s tensors; split.tensors.count says %s", path,
                       want.count, qn_shown_number(qn_archive_n_tensors(archive)).text,
                       qn_shown_number(want.n_tensors).text);
    }
    return QN_OK;
}

/* Completes what the files gave, or closes it. */
static qn_status finish(qn_archive *archive, qn_status status, qn_archive **out, qn_error *err) {
    if (status == QN_OK) {
        drop_split_keys(qn_archive_own_meta(archive));
        status = qn_archive_seal(archive, err);
    }
    return qn_archive_give(archive, status, out);
}

qn_status qn_gguf_open_files(const char *const *paths, uint64_t n, qn_archive **out, qn_error *err) {
    if (n == 1) {
        return qn_gguf_open(paths[0], out, err);
    }
    qn_archive *archive = qn_archive_new("gguf");
    if (archive == NULL) {
        return qn_fail_nomem(err, paths[0], 0);
    }
    return finish(archive, open_set(archive, paths, n, err), out, err);
}

qn_status qn_gguf_open(const char *path, qn_archive **out, qn_error *err) {
    split s = {0};
    qn_archive *archive = qn_archive_new("gguf");
    if (archive == NULL) {
        return qn_fail_nomem(err, path, 0);
    }
    qn_status status = open_file(archive, path, qn_archive_own_meta(archive), &s, err);
    if (status == QN_OK && s.count > 1) {
        /* Any part opens the set, so the set is opened from its first part. */
        const char **names = NULL;
        qn_archive_close(archive);
        archive = qn_archive_new("gguf");
        status = archive == NULL ? qn_fail_nomem(err, path, 0)
                                 : name_set(qn_archive_arena(archive), path, &s, &names, err);
        status = status == QN_OK ? open_set(archive, names, s.count, err) : status;
    }
    return finish(archive, status, out, err);
}
