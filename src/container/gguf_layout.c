/* SPDX-License-Identifier: MIT */
/* gguf_layout.c: the bytes of a GGUF version 3 file up to the first tensor's data. */
/*
 * The byte table stands in gguf_parse.c. The data section and each tensor, the last one too, are padded to 32
 * bytes. Refuses what readers would refuse: long or doubled names, more than four dimensions, sizes past 2^63.
 */
#include "base/checked.h"
#include "container/gguf.h"
#include "container/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_KEY_BYTES = 65535, VERSION = 3 };

static void put_text(qn_buffer *b, const char *bytes, size_t n) {
    qn_buffer_u64(b, n);
    qn_buffer_append(b, bytes, n);
}

static void put_bits(qn_buffer *b, uint64_t bits, size_t n) {
    for (size_t i = 0; i < n; i++) {
        qn_buffer_u8(b, (uint8_t)(bits >> (8 * i)));
    }
}

static uint64_t double_bits(double v) {
    uint64_t bits = 0;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

/* Items of an array, from this machine's byte order. */
static void put_items(qn_buffer *b, qn_meta_type type, const void *items, uint64_t n) {
    const size_t size = qn_meta_type_size(type);
    if (type == QN_META_STRING) {
        const qn_text *texts = items;
        for (uint64_t i = 0; i < n; i++) {
            put_text(b, texts[i].bytes, texts[i].len);
        }
        return;
    }
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    qn_buffer_append(b, items, (size_t)n * size);
#else
    const unsigned char *bytes = items;
    for (uint64_t i = 0; i < n * size; i++) {
        qn_buffer_u8(b, bytes[i / size * size + (size - 1 - i % size)]);
    }
#endif
}

static bool fits_unsigned(uint64_t v, size_t n_bytes) {
    return n_bytes >= 8 || v >> (8 * n_bytes) == 0;
}

static bool fits_signed(int64_t v, size_t n_bytes) {
    if (n_bytes >= 8) {
        return true;
    }
    const int64_t limit = INT64_C(1) << (8 * n_bytes - 1);
    return v >= -limit && v < limit;
}

static qn_status put_integer(qn_buffer *b, const char *key, const qn_meta_value *v, bool is_signed, qn_error *err) {
    const size_t size = qn_meta_type_size(v->type);
    if (is_signed ? !fits_signed(v->as.i, size) : !fits_unsigned(v->as.u, size)) {
        return qn_fail(err, QN_E_RANGE, "metadata key '%s': the value does not fit into %s", key,
                       qn_meta_type_name(v->type));
    }
    put_bits(b, is_signed ? (uint64_t)v->as.i : v->as.u, size);
    return QN_OK;
}

static qn_status put_array(qn_buffer *b, const char *key, const qn_meta_value *v, qn_error *err) {
    const qn_meta_type type = v->as.array.type;
    if (type != QN_META_STRING && qn_meta_type_size(type) == 0) {
        return qn_fail(err, QN_E_USAGE, "metadata key '%s': GGUF has no arrays of %s", key, qn_meta_type_name(type));
    }
    qn_buffer_u32(b, (uint32_t)type);
    qn_buffer_u64(b, v->as.array.n);
    put_items(b, type, v->as.array.items, v->as.array.n);
    return QN_OK;
}

static qn_status put_value(qn_buffer *b, const char *key, const qn_meta_value *v, qn_error *err) {
    qn_buffer_u32(b, (uint32_t)v->type);
    switch (v->type) {
    case QN_META_U8:
    case QN_META_U16:
    case QN_META_U32:
    case QN_META_U64: return put_integer(b, key, v, false, err);
    case QN_META_I8:
    case QN_META_I16:
    case QN_META_I32:
    case QN_META_I64: return put_integer(b, key, v, true, err);
    case QN_META_F32: qn_buffer_f32(b, (float)v->as.f); return QN_OK;
    case QN_META_F64: qn_buffer_u64(b, double_bits(v->as.f)); return QN_OK;
    case QN_META_BOOL: qn_buffer_u8(b, v->as.b ? 1 : 0); return QN_OK;
    case QN_META_STRING: put_text(b, v->as.text.bytes, v->as.text.len); return QN_OK;
    case QN_META_ARRAY: return put_array(b, key, v, err);
    }
    return qn_fail(err, QN_E_USAGE, "metadata key '%s': value type %d does not exist", key, (int)v->type);
}

static qn_status put_meta(qn_buffer *b, const qn_meta *meta, qn_error *err) {
    for (uint64_t i = 0; i < meta->n; i++) {
        const qn_meta_entry *entry = &meta->entries[i];
        const size_t len = strlen(entry->key);
        if (len == 0 || len > MAX_KEY_BYTES) {
            return qn_fail(err, QN_E_RANGE, "a metadata key of %zu bytes; 1 to %d are allowed", len, MAX_KEY_BYTES);
        }
        if (strcmp(entry->key, "general.alignment") == 0) {
            return qn_fail(err, QN_E_USAGE, "general.alignment must not be set: files are written with %d",
                           QN_GGUF_ALIGNMENT);
        }
        put_text(b, entry->key, len);
        QN_TRY(put_value(b, entry->key, &entry->value, err));
    }
    return QN_OK;
}

/* The shape as GGUF counts dimensions: without those of 1 that vary slowest, but one at least. */
static qn_shape trimmed(const qn_shape *shape) {
    qn_shape out = {.n_dims = 1, .dims = {1}};
    uint32_t first = 0;
    while (first + 1 < shape->n_dims && shape->dims[first] == 1) {
        first++;
    }
    if (shape->n_dims > 0) {
        out.n_dims = shape->n_dims - first;
        memcpy(out.dims, shape->dims + first, out.n_dims * sizeof out.dims[0]);
    }
    return out;
}

/* Writes one info. next: where the tensor's data begins in the data section; moved behind it. */
static qn_status put_info(qn_buffer *b, qn_placed_tensor *t, uint64_t *next, qn_error *err) {
    const size_t len = strlen(t->name);
    const qn_shown name = qn_shown_name(t->name, len);
    if (len == 0 || len > QN_GGUF_MAX_NAME) {
        return qn_fail(err, QN_E_RANGE, "tensor '%s': its name has %zu bytes; GGUF readers accept 1 to %d", name.text,
                       len, QN_GGUF_MAX_NAME);
    }
    if (t->shape.n_dims > QN_MAX_DIMS || trimmed(&t->shape).n_dims > QN_GGUF_MAX_DIMS) {
        return qn_fail(err, QN_E_RANGE, "tensor '%s' has %" PRIu32 " dimensions; GGUF has at most %d", name.text,
                       t->shape.n_dims, QN_GGUF_MAX_DIMS);
    }
    if ((uint32_t)t->type > QN_Q2_0) {
        return qn_fail(err, QN_E_UNSUPPORTED, "tensor '%s': its element type does not exist in GGUF", name.text);
    }
    qn_archive_tensor extent = {.name = t->name, .type = t->type, .shape = trimmed(&t->shape)};
    QN_TRY(qn_tensor_extent(&extent, err));
    t->size_bytes = extent.size_bytes;
    t->file_off = *next;
    put_text(b, t->name, len);
    qn_buffer_u32(b, extent.shape.n_dims);
    for (uint32_t i = extent.shape.n_dims; i > 0; i--) {
        qn_buffer_u64(b, extent.shape.dims[i - 1]);
    }
    qn_buffer_u32(b, (uint32_t)t->type);
    qn_buffer_u64(b, *next);
    if (!qn_add_u64(*next, t->size_bytes, next) || !qn_align_u64(*next, QN_GGUF_ALIGNMENT, next) || *next > INT64_MAX) {
        return qn_fail(err, QN_E_RANGE, "tensor '%s': the file would be larger than 2^63 bytes", name.text);
    }
    return QN_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static qn_status refuse_double_names(const qn_placed_tensor *tensors, uint64_t n, qn_error *err) {
    const char **names = qn_new_array(n, sizeof *names);
    qn_status status = QN_OK;
    if (names == NULL) {
        return qn_fail_nomem(err, "tensor names", (size_t)n * sizeof *names);
    }
    for (uint64_t i = 0; i < n; i++) {
        names[i] = tensors[i].name;
    }
    if (n > 1) {
        qsort(names, (size_t)n, sizeof *names, compare_names);
    }
    for (uint64_t i = 1; i < n && status == QN_OK; i++) {
        if (strcmp(names[i - 1], names[i]) == 0) {
            status = qn_fail(err, QN_E_RANGE, "two tensors are named '%s'",
                             qn_shown_name(names[i], strlen(names[i])).text);
        }
    }
    free(names);
    return status;
}

qn_status qn_gguf_layout(const qn_meta *meta, qn_placed_tensor *tensors, uint64_t n, qn_buffer *header,
                         uint64_t *file_bytes, qn_error *err) {
    const size_t start = header->len;
    uint64_t data_bytes = 0;
    QN_TRY(qn_meta_status(meta, err));
    QN_TRY(refuse_double_names(tensors, n, err));
    qn_buffer_text(header, "GGUF");
    qn_buffer_u32(header, VERSION);
    qn_buffer_u64(header, n);
    qn_buffer_u64(header, meta->n);
    QN_TRY(put_meta(header, meta, err));
    for (uint64_t i = 0; i < n; i++) {
        QN_TRY(put_info(header, &tensors[i], &data_bytes, err));
    }
    const size_t over = (header->len - start) % QN_GGUF_ALIGNMENT;
    qn_buffer_zeros(header, over == 0 ? 0 : QN_GGUF_ALIGNMENT - over);
    QN_TRY(qn_buffer_status(header, err));
    const uint64_t data = header->len - start;
    if (!qn_add_u64(data, data_bytes, file_bytes) || *file_bytes > INT64_MAX) {
        return qn_fail(err, QN_E_RANGE, "the file would be larger than 2^63 bytes");
    }
    for (uint64_t i = 0; i < n; i++) {
        tensors[i].file_off += data;
    }
    return QN_OK;
}
