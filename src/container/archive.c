/* SPDX-License-Identifier: MIT */
/* archive.c: the tensors and files of an opened container, with an index sorted by name. */
/*
 * The index is sorted rather than hashed: names come from files that are not trusted, and no choice of names
 * makes a binary search slow.
 */
#include "container/archive.h"

#include "container/source.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct qn_archive {
    const char *format;
    qn_arena *arena;
    qn_meta meta;
    qn_file **files; /* [n_files], owned */
    uint64_t n_files;
    qn_archive_tensor *tensors; /* [n_tensors] of cap_tensors */
    uint64_t n_tensors;
    uint64_t cap_tensors;
    const qn_archive_tensor **by_name; /* [n_tensors] sorted by name; NULL until sealed */
};

uint64_t qn_shape_cols(const qn_shape *shape) {
    return shape->n_dims == 0 ? 1 : shape->dims[shape->n_dims - 1];
}

uint64_t qn_shape_rows(const qn_shape *shape) {
    uint64_t rows = 1;
    for (uint32_t i = 0; i + 1 < shape->n_dims; i++) {
        rows *= shape->dims[i];
    }
    return rows;
}

const char *qn_shape_text(const qn_shape *shape, char *buffer, size_t size) {
    size_t used = 0;
    for (uint32_t i = 0; i < shape->n_dims && used < size; i++) {
        const int n = snprintf(buffer + used, size - used, "%s%" PRIu64, i == 0 ? "[" : ", ", shape->dims[i]);
        used += n < 0 ? 0 : (size_t)n;
    }
    if (used < size) {
        (void)snprintf(buffer + used, size - used, shape->n_dims == 0 ? "[]" : "]");
    }
    return buffer;
}

qn_archive *qn_archive_new(const char *format) {
    qn_archive *archive = qn_new_array(1, sizeof *archive);
    if (archive == NULL) {
        return NULL;
    }
    archive->format = format;
    archive->arena = qn_arena_new();
    if (archive->arena == NULL) {
        free(archive);
        return NULL;
    }
    archive->meta = qn_meta_new(archive->arena);
    return archive;
}

void qn_archive_close(qn_archive *archive) {
    if (archive == NULL) {
        return;
    }
    for (uint64_t i = 0; i < archive->n_files; i++) {
        qn_file_close(archive->files[i]);
    }
    free(archive->files);
    free(archive->tensors);
    free(archive->by_name);
    qn_arena_free(archive->arena);
    free(archive);
}

uint64_t qn_archive_n_tensors(const qn_archive *archive) {
    return archive->n_tensors;
}

const qn_archive_tensor *qn_archive_tensor_at(const qn_archive *archive, uint64_t i) {
    return &archive->tensors[i];
}

static int compare_name(const void *name, const void *element) {
    return strcmp(name, (*(const qn_archive_tensor *const *)element)->name);
}

const qn_archive_tensor *qn_archive_find(const qn_archive *archive, const char *name) {
    if (archive->by_name == NULL) {
        return NULL;
    }
    const qn_archive_tensor *const *found = bsearch(name, archive->by_name, (size_t)archive->n_tensors,
                                                    sizeof *archive->by_name, compare_name);
    return found == NULL ? NULL : *found;
}

const qn_meta *qn_archive_meta(const qn_archive *archive) {
    return &archive->meta;
}

uint64_t qn_archive_n_files(const qn_archive *archive) {
    return archive->n_files;
}

const qn_file *qn_archive_file_at(const qn_archive *archive, uint64_t i) {
    return archive->files[i];
}

qn_status qn_archive_map(qn_archive *archive, const qn_archive_tensor *tensor, const unsigned char **bytes,
                         qn_error *err) {
    const unsigned char *map = NULL;
    for (uint64_t i = 0; i < archive->n_files; i++) {
        if (archive->files[i] == tensor->file) {
            QN_TRY(qn_file_map(archive->files[i], &map, err));
            *bytes = map + tensor->file_off;
            return QN_OK;
        }
    }
    return qn_fail(err, QN_E_INTERNAL, "tensor '%s' is of another archive", tensor->name);
}

const char *qn_archive_format(const qn_archive *archive) {
    return archive->format;
}

qn_arena *qn_archive_arena(qn_archive *archive) {
    return archive->arena;
}

qn_meta *qn_archive_own_meta(qn_archive *archive) {
    return &archive->meta;
}

qn_status qn_archive_take_file(qn_archive *archive, qn_file *file, qn_error *err) {
    qn_file **files = qn_resize_array(archive->files, archive->n_files + 1, sizeof(qn_file *));
    if (files == NULL) {
        qn_file_close(file);
        return qn_fail_nomem(err, "list of files", (size_t)archive->n_files * sizeof(qn_file *));
    }
    archive->files = files;
    archive->files[archive->n_files++] = file;
    return QN_OK;
}

qn_status qn_archive_add(qn_archive *archive, const qn_archive_tensor *tensor, qn_error *err) {
    if (archive->n_tensors == archive->cap_tensors) {
        const uint64_t cap = archive->cap_tensors == 0 ? 64 : archive->cap_tensors * 2;
        qn_archive_tensor *tensors = qn_resize_array(archive->tensors, cap, sizeof *tensors);
        if (tensors == NULL) {
            return qn_fail_nomem(err, "list of tensors", (size_t)cap * sizeof *tensors);
        }
        archive->tensors = tensors;
        archive->cap_tensors = cap;
    }
    archive->tensors[archive->n_tensors++] = *tensor;
    return QN_OK;
}

static int compare_tensors(const void *a, const void *b) {
    return strcmp((*(const qn_archive_tensor *const *)a)->name, (*(const qn_archive_tensor *const *)b)->name);
}

static qn_status fail_twice(const qn_archive_tensor *a, const qn_archive_tensor *b, qn_error *err) {
    const qn_shown name = qn_shown_name(a->name, strlen(a->name));
    const char *path_a = a->file == NULL ? "(memory)" : qn_file_path(a->file);
    const char *path_b = b->file == NULL ? "(memory)" : qn_file_path(b->file);
    if (strcmp(path_a, path_b) == 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: holds two tensors named '%s'", path_a, name.text);
    }
    return qn_fail(err, QN_E_FORMAT, "tensor '%s' is in two files: %s and %s; these files do not belong together",
                   name.text, path_a, path_b);
}

qn_status qn_archive_seal(qn_archive *archive, qn_error *err) {
    const uint64_t n = archive->n_tensors;
    const qn_archive_tensor **by_name = qn_new_array(n, sizeof *by_name);
    if (by_name == NULL) {
        return qn_fail_nomem(err, "index of tensors", (size_t)n * sizeof *by_name);
    }
    for (uint64_t i = 0; i < n; i++) {
        by_name[i] = &archive->tensors[i];
    }
    if (n > 1) {
        qsort(by_name, (size_t)n, sizeof *by_name, compare_tensors);
    }
    for (uint64_t i = 1; i < n; i++) {
        if (strcmp(by_name[i - 1]->name, by_name[i]->name) == 0) {
            const qn_archive_tensor *a = by_name[i - 1] < by_name[i] ? by_name[i - 1] : by_name[i];
            const qn_archive_tensor *b = by_name[i - 1] < by_name[i] ? by_name[i] : by_name[i - 1];
            const qn_status status = fail_twice(a, b, err);
            free(by_name);
            return status;
        }
    }
    free(archive->by_name);
    archive->by_name = by_name;
    return QN_OK;
}

qn_status qn_archive_give(qn_archive *archive, qn_status status, qn_archive **out) {
    if (status != QN_OK) {
        qn_archive_close(archive);
        return status;
    }
    *out = archive;
    return QN_OK;
}
