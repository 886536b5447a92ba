/* SPDX-License-Identifier: MIT */
/* source.c: maps a file for a reader, tells impostors from weights, and shows numbers and names in messages. */
#include "container/source.h"

#include "base/checked.h"
#include "container/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { LFS_MAX_BYTES = 1024 };

static const char LFS_HEAD[] = "version https://git-lfs.github.com/spec/";

static bool is_pointer_text(const unsigned char *bytes, uint64_t size) {
    const size_t n = sizeof LFS_HEAD - 1;
    return size >= n && size < LFS_MAX_BYTES && memcmp(bytes, LFS_HEAD, n) == 0;
}

bool qn_is_lfs_pointer(const char *path) {
    char *text = NULL;
    size_t len = 0;
    if (qn_read_text(path, LFS_MAX_BYTES - 1, &text, &len, NULL) != QN_OK) {
        return false;
    }
    const bool is_pointer = is_pointer_text((const unsigned char *)text, len);
    free(text);
    return is_pointer;
}

/* The number behind the line start "size " of a pointer, or 0. */
static uint64_t pointer_size(const unsigned char *bytes, uint64_t size) {
    static const char key[] = "\nsize ";
    const size_t n = sizeof key - 1;
    for (uint64_t i = 0; i + n < size; i++) {
        if (memcmp(bytes + i, key, n) != 0) {
            continue;
        }
        uint64_t v = 0;
        for (i += n; i < size && bytes[i] >= '0' && bytes[i] <= '9'; i++) {
            if (!qn_mul_u64(v, 10, &v) || !qn_add_u64(v, (uint64_t)(bytes[i] - '0'), &v)) {
                return 0;
            }
        }
        return v;
    }
    return 0;
}

static bool is_web_page(const unsigned char *bytes, uint64_t size) {
    static const char *const heads[] = {"<!doctype", "<html"};
    uint64_t at = 0;
    while (at < size && at < 64 && strchr(" \t\r\n", bytes[at]) != NULL && bytes[at] != '\0') {
        at++;
    }
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        const size_t n = strlen(heads[i]);
        if (size - at >= n && strncasecmp((const char *)bytes + at, heads[i], n) == 0) {
            return true;
        }
    }
    return false;
}

qn_status qn_source_refuse_impostor(const qn_source *source, qn_error *err) {
    if (is_pointer_text(source->bytes, source->size)) {
        const uint64_t size = pointer_size(source->bytes, source->size);
        const char *slash = strrchr(source->path, '/');
        const size_t n = slash == NULL ? 0 : (size_t)(slash - source->path);
        char dir[512];
        (void)snprintf(dir, sizeof dir, "%.*s", (int)(n > 511 ? 511 : n), source->path);
        return qn_fail(err, QN_E_NOT_FOUND,
                       "%s: is a Git-LFS pointer (%" PRIu64
                       " bytes), not the weights (%s bytes): run 'git lfs pull' in "
                       "%s, or download the file again",
                       source->path, source->size, qn_shown_number(size).text, n == 0 ? "its folder" : dir);
    }
    if (is_web_page(source->bytes, source->size)) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: is a web page (HTML), not weights: the download link led to a page; download the file "
                       "itself",
                       source->path);
    }
    return QN_OK;
}

qn_status qn_source_open(qn_archive *archive, const char *path, qn_source *out, qn_error *err) {
    qn_file *file = NULL;
    QN_TRY(qn_file_open(path, &file, err));
    QN_TRY(qn_archive_take_file(archive, file, err));
    const unsigned char *bytes = NULL;
    QN_TRY(qn_file_map(file, &bytes, err));
    *out = (qn_source){qn_file_path(file), bytes, qn_file_size(file), file};
    return qn_source_refuse_impostor(out, err);
}

qn_shown qn_shown_number(uint64_t v) {
    qn_shown shown;
    char digits[24];
    const int n = snprintf(digits, sizeof digits, "%" PRIu64, v);
    size_t out = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0) {
            shown.text[out++] = ',';
        }
        shown.text[out++] = digits[i];
    }
    shown.text[out] = '\0';
    return shown;
}

qn_shown qn_shown_name(const void *bytes, size_t n) {
    enum { MAX_SHOWN = 72 };
    qn_shown shown;
    const unsigned char *in = bytes;
    size_t out = 0;
    for (; out < n && out < MAX_SHOWN; out++) {
        const bool is_control = in[out] < 0x20 || in[out] == 0x7F;
        memcpy(&shown.text[out], is_control ? (const void *)"?" : &in[out], 1);
    }
    memcpy(shown.text + out, n > MAX_SHOWN ? "..." : "", n > MAX_SHOWN ? 4 : 1);
    return shown;
}

qn_status qn_tensor_extent(qn_archive_tensor *tensor, qn_error *err) {
    const qn_shown name = qn_shown_name(tensor->name, strlen(tensor->name));
    uint64_t product = 1;
    for (uint32_t i = 0; i < tensor->shape.n_dims; i++) {
        const uint64_t dim = tensor->shape.dims[i];
        if (!qn_mul_u64(product, dim == 0 ? 1 : dim, &product) || product > INT64_MAX) {
            char shape[192];
            return qn_fail(err, QN_E_RANGE, "tensor '%s' has shape %s: more than 2^63 elements", name.text,
                           qn_shape_text(&tensor->shape, shape, sizeof shape));
        }
    }
    uint64_t row_bytes = 0;
    const qn_status status = qn_row_size(tensor->type, qn_shape_cols(&tensor->shape), &row_bytes, err);
    if (status != QN_OK) {
        return qn_fail_at(err, status, "tensor '%s'", name.text);
    }
    if (!qn_mul_u64(row_bytes, qn_shape_rows(&tensor->shape), &tensor->size_bytes) || tensor->size_bytes > INT64_MAX) {
        return qn_fail(err, QN_E_RANGE, "tensor '%s' is larger than 2^63 bytes", name.text);
    }
    return QN_OK;
}
