/* SPDX-License-Identifier: MIT */
/* gguf_parse.c: parses the header of one GGUF file, version 2 or 3, little-endian. */
/*
 *     OFFSET  SIZE  MEANING
 *          0     4  "GGUF"
 *          4     4  version, u32
 *          8     8  n_tensors, u64
 *         16     8  n_kv, u64
 *         24     …  n_kv pairs: key (string), type (u32), value
 *          …     …  n_tensors infos: name (string), n_dims (u32), dims (n_dims x u64, fastest first), type (u32),
 *                   offset (u64, from the data section's beginning)
 *          …     …  zeros up to a multiple of general.alignment (32 when absent)
 *          …     …  data, each tensor padded with zeros to the alignment
 *
 *     string  u64 length, then that many bytes       array  u32 element type, u64 count, then the elements, packed
 *
 * Source: facts/gguf.md, §1. Nothing is allocated for a count before the bytes left in the file have been held
 * against it. What the reference reader refuses is refused here: gaps or overlaps between tensors, arrays of
 * arrays, removed types, keys or names that occur twice.
 */
#include "base/checked.h"
#include "base/cursor.h"
#include "container/gguf.h"
#include "container/source.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    MAX_KEY_BYTES = 65535,
    MIN_PAIR_BYTES = 8 + 1 + 4 + 1,    /* the shortest key, its type, the shortest value */
    MIN_INFO_BYTES = 8 + 1 + 4 + 4 + 8 /* the shortest name, n_dims, type, offset */
};

static const uint64_t MAX_STRING_BYTES = UINT64_C(1) << 30;
static const uint64_t MAX_ARRAY_ITEMS = UINT64_C(1) << 30;

typedef struct reader {
    const qn_source *source;
    qn_cursor cursor;
    qn_arena *arena;
    uint64_t alignment;
    qn_shown key; /* the metadata key whose value is being read; empty elsewhere */
} reader;

static qn_status fail_here(const reader *r, qn_error *err, const char *fmt, ...) QN_PRINTF(3, 4);
static qn_status fail_here(const reader *r, qn_error *err, const char *fmt, ...) {
    char message[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    const bool has_key = r->key.text[0] != '\0';
    return qn_fail(err, QN_E_FORMAT, "%s: byte %s: %s%s%s%s", r->source->path, qn_shown_number(r->cursor.pos).text,
                   has_key ? "metadata key '" : "", r->key.text, has_key ? "': " : "", message);
}

static qn_status fail_cut_off(const reader *r, const char *what, qn_error *err) {
    return fail_here(r, err, "the file ends at byte %s, within %s: it is cut off; fetch it again",
                     qn_shown_number(r->source->size).text, what);
}

static qn_status read_string(reader *r, uint64_t max_bytes, const char *what, qn_text *out, qn_error *err) {
    uint64_t n = 0;
    if (!qn_cursor_u64(&r->cursor, &n)) {
        return fail_cut_off(r, what, err);
    }
    if (n > max_bytes) {
        return fail_here(r, err, "%s is %s bytes long; at most %s are allowed: the file is damaged", what,
                         qn_shown_number(n).text, qn_shown_number(max_bytes).text);
    }
    const unsigned char *bytes = qn_cursor_bytes(&r->cursor, n);
    if (bytes == NULL) {
        return fail_here(r, err, "%s is %s bytes long, but the file ends at byte %s: it is cut off; fetch it again",
                         what, qn_shown_number(n).text, qn_shown_number(r->source->size).text);
    }
    *out = (qn_text){(const char *)bytes, (size_t)n};
    return QN_OK;
}

/* A number of n bytes as it stands in the file, its sign bit copied upwards when is_signed. */
static uint64_t number_at(const unsigned char *bytes, size_t n, bool is_signed) {
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        v |= (uint64_t)bytes[i] << (8 * i);
    }
    if (is_signed && n < 8 && (bytes[n - 1] & 0x80) != 0) {
        v |= UINT64_MAX << (8 * n);
    }
    return v;
}

static double float_at(const unsigned char *bytes, size_t n) {
    const uint64_t bits = number_at(bytes, n, false);
    if (n == 4) {
        const uint32_t low = (uint32_t)bits;
        float f = 0;
        memcpy(&f, &low, sizeof f);
        return f;
    }
    double d = 0;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static bool is_signed_type(qn_meta_type type) {
    return type == QN_META_I8 || type == QN_META_I16 || type == QN_META_I32 || type == QN_META_I64;
}

static qn_status read_number(reader *r, qn_meta_value *v, qn_error *err) {
    const size_t n = qn_meta_type_size(v->type);
    if (n == 0) {
        return fail_here(r, err, "value type %" PRIu32 " is unknown (0 to 12 exist): the file is damaged",
                         (uint32_t)v->type);
    }
    const unsigned char *bytes = qn_cursor_bytes(&r->cursor, n);
    if (bytes == NULL) {
        return fail_cut_off(r, "a metadata value", err);
    }
    if (v->type == QN_META_F32 || v->type == QN_META_F64) {
        v->as.f = float_at(bytes, n);
    } else if (v->type == QN_META_BOOL) {
        v->as.b = bytes[0] != 0;
    } else if (is_signed_type(v->type)) {
        v->as.i = (int64_t)number_at(bytes, n, true);
    } else {
        v->as.u = number_at(bytes, n, false);
    }
    return QN_OK;
}

static qn_status read_string_items(reader *r, uint64_t n, const void **items, qn_error *err) {
    qn_text *texts = qn_arena_array(r->arena, n, sizeof *texts);
    if (texts == NULL) {
        return qn_fail_nomem(err, r->source->path, (size_t)n * sizeof *texts);
    }
    for (uint64_t i = 0; i < n; i++) {
        QN_TRY(read_string(r, MAX_STRING_BYTES, "an array's string", &texts[i], err));
    }
    *items = texts;
    return QN_OK;
}

/* Numbers move to memory aligned for them, in this machine's byte order. */
static qn_status read_number_items(reader *r, qn_meta_type type, uint64_t n, const void **items, qn_error *err) {
    const size_t size = qn_meta_type_size(type);
    const unsigned char *bytes = qn_cursor_bytes(&r->cursor, n * size);
    unsigned char *copy = bytes == NULL ? NULL : qn_arena_array(r->arena, n, size);
    if (copy == NULL) {
        return bytes == NULL ? fail_cut_off(r, "an array", err) : qn_fail_nomem(err, r->source->path, (size_t)n * size);
    }
    if (type == QN_META_BOOL) {
        for (uint64_t i = 0; i < n; i++) {
            copy[i] = bytes[i] != 0;
        }
    } else if (n > 0) {
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        memcpy(copy, bytes, (size_t)n * size);
#else
        for (uint64_t i = 0; i < n * size; i++) {
            copy[i] = bytes[i / size * size + (size - 1 - i % size)];
        }
#endif
    }
    *items = copy;
    return QN_OK;
}

static qn_status read_array(reader *r, qn_meta_value *v, qn_error *err) {
    uint32_t type = 0;
    uint64_t n = 0;
    if (!qn_cursor_u32(&r->cursor, &type) || !qn_cursor_u64(&r->cursor, &n)) {
        return fail_cut_off(r, "an array's head", err);
    }
    if (type == QN_META_ARRAY) {
        return fail_here(r, err, "an array of arrays: GGUF readers refuse these");
    }
    const size_t size = type == QN_META_STRING ? 8 : qn_meta_type_size((qn_meta_type)type);
    if (size == 0) {
        return fail_here(r, err,
                         "an array of elements of unknown type %" PRIu32 " (0 to 12 exist): the file is damaged", type);
    }
    if (n > MAX_ARRAY_ITEMS) {
        return fail_here(r, err, "an array of %s elements; at most %s are allowed: the file is damaged",
                         qn_shown_number(n).text, qn_shown_number(MAX_ARRAY_ITEMS).text);
    }
    if (n > qn_cursor_left(&r->cursor) / size) {
        return fail_here(r, err,
                         "an array of %s elements does not fit into the %s bytes left: the file is cut off; fetch it "
                         "again",
                         qn_shown_number(n).text, qn_shown_number(qn_cursor_left(&r->cursor)).text);
    }
    v->as.array.type = (qn_meta_type)type;
    v->as.array.n = n;
    return type == QN_META_STRING ? read_string_items(r, n, &v->as.array.items, err)
                                  : read_number_items(r, (qn_meta_type)type, n, &v->as.array.items, err);
}

static qn_status read_value(reader *r, qn_meta_value *v, qn_error *err) {
    switch (v->type) {
    case QN_META_STRING: return read_string(r, MAX_STRING_BYTES, "a string", &v->as.text, err);
    case QN_META_ARRAY: return read_array(r, v, err);
    default: return read_number(r, v, err);
    }
}

static qn_status read_pair(reader *r, qn_meta_entry *entry, qn_error *err) {
    qn_text key = {0};
    uint32_t type = 0;
    QN_TRY(read_string(r, MAX_KEY_BYTES, "a metadata key", &key, err));
    if (key.len == 0 || memchr(key.bytes, 0, key.len) != NULL) {
        return fail_here(r, err, key.len == 0 ? "a metadata key is empty" : "a metadata key holds a zero byte");
    }
    entry->key = qn_arena_copy(r->arena, key.bytes, key.len);
    if (entry->key == NULL) {
        return qn_fail_nomem(err, r->source->path, key.len);
    }
    if (!qn_cursor_u32(&r->cursor, &type)) {
        return fail_cut_off(r, "a metadata value", err);
    }
    entry->value.type = (qn_meta_type)type;
    r->key = qn_shown_name(key.bytes, key.len);
    QN_TRY(read_value(r, &entry->value, err));
    r->key.text[0] = '\0';
    return QN_OK;
}

static int compare_keys(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static qn_status refuse_double_keys(const reader *r, const qn_meta *meta, qn_error *err) {
    const char **keys = qn_new_array(meta->n, sizeof *keys);
    qn_status status = QN_OK;
    if (keys == NULL) {
        return qn_fail_nomem(err, r->source->path, (size_t)meta->n * sizeof *keys);
    }
    for (uint64_t i = 0; i < meta->n; i++) {
        keys[i] = meta->entries[i].key;
    }
    qsort(keys, (size_t)meta->n, sizeof *keys, compare_keys);
    for (uint64_t i = 1; i < meta->n && status == QN_OK; i++) {
        if (strcmp(keys[i - 1], keys[i]) == 0) {
            status = fail_here(r, err, "metadata key '%s' occurs twice", qn_shown_name(keys[i], strlen(keys[i])).text);
        }
    }
    free(keys);
    return status;
}

static qn_status read_meta(reader *r, uint64_t n, qn_meta *meta, qn_error *err) {
    if (n > qn_cursor_left(&r->cursor) / MIN_PAIR_BYTES) {
        return fail_here(r, err, "%s metadata keys do not fit into the %s bytes left: the file is damaged or cut off",
                         qn_shown_number(n).text, qn_shown_number(qn_cursor_left(&r->cursor)).text);
    }
    meta->entries = qn_arena_array(r->arena, n, sizeof *meta->entries);
    if (meta->entries == NULL) {
        return qn_fail_nomem(err, r->source->path, (size_t)n * sizeof *meta->entries);
    }
    meta->cap = n;
    for (meta->n = 0; meta->n < n; meta->n++) {
        QN_TRY(read_pair(r, &meta->entries[meta->n], err));
    }
    return refuse_double_keys(r, meta, err);
}

static qn_status read_alignment(reader *r, const qn_meta *meta, qn_error *err) {
    const qn_meta_value *v = qn_meta_find(meta, "general.alignment");
    r->alignment = QN_GGUF_ALIGNMENT;
    if (v == NULL) {
        return QN_OK;
    }
    if (v->type != QN_META_U32) {
        return fail_here(r, err, "general.alignment is of type %s; it must be u32", qn_meta_type_name(v->type));
    }
    if (v->as.u == 0 || (v->as.u & (v->as.u - 1)) != 0) {
        return fail_here(r, err, "general.alignment is %" PRIu64 "; it must be a power of two", v->as.u);
    }
    r->alignment = v->as.u;
    return QN_OK;
}

/* Reads the dimensions, fastest first in the file, slowest first in the shape. */
static qn_status read_shape(reader *r, qn_shown name, qn_shape *shape, qn_error *err) {
    if (!qn_cursor_u32(&r->cursor, &shape->n_dims)) {
        return fail_cut_off(r, "a tensor's info", err);
    }
    if (shape->n_dims > QN_GGUF_MAX_DIMS) {
        return fail_here(r, err, "tensor '%s' has %" PRIu32 " dimensions; at most %d are allowed", name.text,
                         shape->n_dims, QN_GGUF_MAX_DIMS);
    }
    for (uint32_t i = shape->n_dims; i > 0; i--) {
        if (!qn_cursor_u64(&r->cursor, &shape->dims[i - 1])) {
            return fail_cut_off(r, "a tensor's info", err);
        }
        if (shape->dims[i - 1] > INT64_MAX) {
            return fail_here(r, err, "tensor '%s' has a negative dimension", name.text);
        }
    }
    return QN_OK;
}

/* Reads one info. next: where this tensor's data must begin, moved to where the next one's must. */
static qn_status read_info(reader *r, qn_archive_tensor *t, uint64_t *next, qn_error *err) {
    qn_text text = {0};
    uint32_t type = 0;
    QN_TRY(read_string(r, QN_GGUF_MAX_NAME, "a tensor's name", &text, err));
    const qn_shown name = qn_shown_name(text.bytes, text.len);
    if (text.len == 0 || memchr(text.bytes, 0, text.len) != NULL) {
        return fail_here(r, err, text.len == 0 ? "a tensor has no name" : "a tensor's name holds a zero byte");
    }
    t->name = qn_arena_copy(r->arena, text.bytes, text.len);
    if (t->name == NULL) {
        return qn_fail_nomem(err, r->source->path, text.len);
    }
    QN_TRY(read_shape(r, name, &t->shape, err));
    if (!qn_cursor_u32(&r->cursor, &type) || !qn_cursor_u64(&r->cursor, &t->file_off)) {
        return fail_cut_off(r, "a tensor's info", err);
    }
    if (type > QN_Q2_0 || qn_dtype_get(type) == NULL) {
        return fail_here(r, err, "tensor '%s' is of type %" PRIu32 ", which GGUF does not have (any more)", name.text,
                         type);
    }
    t->type = (qn_dtype)type;
    const qn_status status = qn_tensor_extent(t, err);
    if (status != QN_OK) {
        return qn_fail_at(err, QN_E_FORMAT, "%s: byte %s", r->source->path, qn_shown_number(r->cursor.pos).text);
    }
    if (t->file_off != *next) {
        return fail_here(r, err, "tensor '%s' begins at byte %s of the data; %s is where the tensor before it ends",
                         name.text, qn_shown_number(t->file_off).text, qn_shown_number(*next).text);
    }
    if (!qn_add_u64(*next, t->size_bytes, next) || !qn_align_u64(*next, r->alignment, next) || *next > INT64_MAX) {
        return fail_here(r, err, "tensor '%s': the tensors' sizes add up to more than 2^63 bytes", name.text);
    }
    return QN_OK;
}

/* Turns offsets in the data section into offsets in the file, and holds each tensor's end against the file's. */
static qn_status place_tensors(const reader *r, qn_archive_tensor *tensors, uint64_t n, qn_error *err) {
    const uint64_t size = r->source->size;
    uint64_t data = 0;
    if (!qn_align_u64(r->cursor.pos, r->alignment, &data)) {
        return fail_here(r, err, "the data section begins past 2^64");
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t end = 0;
        if (!qn_add_u64(tensors[i].file_off, data, &tensors[i].file_off) ||
            !qn_add_u64(tensors[i].file_off, tensors[i].size_bytes, &end) || end > size) {
            const qn_shown name = qn_shown_name(tensors[i].name, strlen(tensors[i].name));
            return qn_fail(err, QN_E_FORMAT,
                           "%s: tensor '%s' ends at byte %s, past the file's end (%s): the file is cut off; fetch it "
                           "again",
                           r->source->path, name.text, qn_shown_number(end).text, qn_shown_number(size).text);
        }
        tensors[i].file = r->source->file;
    }
    return QN_OK;
}

static qn_status read_tensors(reader *r, uint64_t n, qn_archive *archive, qn_error *err) {
    if (n > qn_cursor_left(&r->cursor) / MIN_INFO_BYTES) {
        return fail_here(r, err, "%s tensors do not fit into the %s bytes left: the file is damaged or cut off",
                         qn_shown_number(n).text, qn_shown_number(qn_cursor_left(&r->cursor)).text);
    }
    qn_archive_tensor *tensors = qn_new_array(n, sizeof *tensors);
    if (tensors == NULL) {
        return qn_fail_nomem(err, r->source->path, (size_t)n * sizeof *tensors);
    }
    qn_status status = QN_OK;
    uint64_t next = 0;
    for (uint64_t i = 0; i < n && status == QN_OK; i++) {
        status = read_info(r, &tensors[i], &next, err);
    }
    if (status == QN_OK) {
        status = place_tensors(r, tensors, n, err);
    }
    for (uint64_t i = 0; i < n && status == QN_OK; i++) {
        status = qn_archive_add(archive, &tensors[i], err);
    }
    free(tensors);
    return status;
}

static qn_status check_version(const reader *r, uint32_t version, qn_error *err) {
    const char *path = r->source->path;
    if (version == 2 || version == 3) {
        return QN_OK;
    }
    if ((version & 0xFFFF) == 0 && version != 0) {
        return qn_fail(
            err, QN_E_UNSUPPORTED,
            "%s: is a big-endian GGUF file; quern reads little-endian ones: fetch that version of the model, "
            "or turn it round with gguf-convert-endian of the Python package gguf",
            path);
    }
    if (version == 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: byte 4: GGUF version 0 does not exist: the file is damaged", path);
    }
    return qn_fail(err, QN_E_UNSUPPORTED, "%s: byte 4: GGUF version %" PRIu32 "; quern reads versions 2 and 3%s", path,
                   version, version == 1 ? ": fetch a newer file of this model" : "");
}

qn_status qn_gguf_parse(qn_archive *archive, const qn_source *source, qn_meta *meta, qn_error *err) {
    reader r = {
        .source = source, .cursor = {source->bytes, (size_t)source->size, 0}, .arena = qn_archive_arena(archive)};
    uint32_t version = 0;
    uint64_t n_tensors = 0;
    uint64_t n_kv = 0;
    const unsigned char *magic = qn_cursor_bytes(&r.cursor, 4);
    if (magic == NULL || memcmp(magic, "GGUF", 4) != 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: is not a GGUF file: it begins with '%s', not 'GGUF'%s", source->path,
                       qn_shown_name(source->bytes, source->size < 4 ? (size_t)source->size : 4).text,
                       source->size == 0 ? " (the file is empty)" : "");
    }
    if (!qn_cursor_u32(&r.cursor, &version)) {
        return fail_cut_off(&r, "its first 24 bytes", err);
    }
    QN_TRY(check_version(&r, version, err));
    if (!qn_cursor_u64(&r.cursor, &n_tensors) || !qn_cursor_u64(&r.cursor, &n_kv)) {
        return fail_cut_off(&r, "its first 24 bytes", err);
    }
    QN_TRY(read_meta(&r, n_kv, meta, err));
    QN_TRY(read_alignment(&r, meta, err));
    return read_tensors(&r, n_tensors, archive, err);
}
