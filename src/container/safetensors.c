/* SPDX-License-Identifier: MIT */
/* safetensors.c: parses the header of one safetensors file. */
/*
 *     OFFSET  SIZE  MEANING
 *          0     8  N, u64, at most 100,000,000
 *          8     N  JSON in UTF-8, '{' first: tensor name -> { "dtype", "shape", "data_offsets": [begin, end) },
 *                   and "__metadata__": string -> string; may end in spaces
 *      8 + N     …  data; offsets count from here; tensors cover it without hole or overlap
 *
 * Source: facts/checkpoints.md, §1. Jansson refuses zero bytes in names, names that occur twice, text that is not
 * UTF-8, and nesting deeper than 2048. Element types of less than a byte, and float8, are known by name and refused.
 */
#include "container/safetensors.h"

#include "base/checked.h"
#include "base/cursor.h"
#include "base/json.h"
#include "container/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t MAX_HEADER_BYTES = 100000000;

typedef struct element_type {
    const char *name;
    qn_dtype type;       /* when refusal is NULL */
    const char *refusal; /* why tensors of this type are not read */
} element_type;

static const char FLOAT8[] = "float8 weights are not supported yet";
static const char SUB_BYTE[] = "weights of 4 or 6 bits are not supported yet";

static const element_type ELEMENT_TYPES[] = {
    {"F64", QN_F64, NULL},           {"F32", QN_F32, NULL},
    {"F16", QN_F16, NULL},           {"BF16", QN_BF16, NULL},
    {"I64", QN_I64, NULL},           {"I32", QN_I32, NULL},
    {"I16", QN_I16, NULL},           {"I8", QN_I8, NULL},
    {"U64", QN_U64, NULL},           {"U32", QN_U32, NULL},
    {"U16", QN_U16, NULL},           {"U8", QN_U8, NULL},
    {"BOOL", QN_BOOL, NULL},         {"C64", QN_F32, "complex numbers are not supported"},
    {"F8_E4M3", QN_F32, FLOAT8},     {"F8_E5M2", QN_F32, FLOAT8},
    {"F8_E8M0", QN_F32, FLOAT8},     {"F8_E4M3FNUZ", QN_F32, FLOAT8},
    {"F8_E5M2FNUZ", QN_F32, FLOAT8}, {"F4", QN_F32, SUB_BYTE},
    {"F6_E2M3", QN_F32, SUB_BYTE},   {"F6_E3M2", QN_F32, SUB_BYTE},
};

/* A tensor while offsets still count from the data section. file_off is its begin. */
typedef struct entry {
    qn_archive_tensor tensor;
    uint64_t end;
} entry;

static qn_status fail_tensor(const qn_source *source, const char *name, const char *what, qn_error *err) {
    return qn_fail(err, QN_E_FORMAT, "%s: tensor '%s': %s", source->path, qn_shown_name(name, strlen(name)).text, what);
}

static qn_status read_type(const qn_source *source, const json_t *info, qn_archive_tensor *t, qn_error *err) {
    const char *name = qn_json_string(info, "dtype");
    if (name == NULL) {
        return fail_tensor(source, t->name, "has no \"dtype\" text", err);
    }
    for (size_t i = 0; i < sizeof ELEMENT_TYPES / sizeof ELEMENT_TYPES[0]; i++) {
        if (strcmp(ELEMENT_TYPES[i].name, name) == 0 && ELEMENT_TYPES[i].refusal != NULL) {
            return qn_fail(err, QN_E_UNSUPPORTED, "%s: tensor '%s' is of type %s: %s", source->path,
                           qn_shown_name(t->name, strlen(t->name)).text, name, ELEMENT_TYPES[i].refusal);
        }
        if (strcmp(ELEMENT_TYPES[i].name, name) == 0) {
            t->type = ELEMENT_TYPES[i].type;
            return QN_OK;
        }
    }
    return qn_fail(err, QN_E_UNSUPPORTED, "%s: tensor '%s' is of unknown type '%s'", source->path,
                   qn_shown_name(t->name, strlen(t->name)).text, qn_shown_name(name, strlen(name)).text);
}

/* An integer that JSON wrote as one: 3.0 is refused, as the format's own reader does. */
static bool read_count(const json_t *value, uint64_t *out) {
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return false;
    }
    *out = (uint64_t)json_integer_value(value);
    return true;
}

static qn_status read_shape(const qn_source *source, const json_t *info, qn_archive_tensor *t, qn_error *err) {
    const json_t *shape = json_object_get(info, "shape");
    if (!json_is_array(shape)) {
        return fail_tensor(source, t->name, "has no \"shape\" list", err);
    }
    if (json_array_size(shape) > QN_MAX_DIMS) {
        return qn_fail(err, QN_E_UNSUPPORTED, "%s: tensor '%s' has %zu dimensions; quern reads up to %d", source->path,
                       qn_shown_name(t->name, strlen(t->name)).text, json_array_size(shape), QN_MAX_DIMS);
    }
    t->shape.n_dims = (uint32_t)json_array_size(shape);
    for (uint32_t i = 0; i < t->shape.n_dims; i++) {
        if (!read_count(json_array_get(shape, i), &t->shape.dims[i])) {
            return fail_tensor(source, t->name, "a dimension of its \"shape\" is not a count", err);
        }
    }
    return QN_OK;
}

static qn_status read_entry(const qn_source *source, const json_t *info, entry *e, qn_error *err) {
    qn_archive_tensor *t = &e->tensor;
    if (!json_is_object(info)) {
        return fail_tensor(source, t->name, "a JSON object is expected", err);
    }
    QN_TRY(read_type(source, info, t, err));
    QN_TRY(read_shape(source, info, t, err));
    const json_t *offsets = json_object_get(info, "data_offsets");
    if (json_array_size(offsets) != 2 || !read_count(json_array_get(offsets, 0), &t->file_off) ||
        !read_count(json_array_get(offsets, 1), &e->end)) {
        return fail_tensor(source, t->name, "\"data_offsets\" is not a list of two counts", err);
    }
    const qn_status status = qn_tensor_extent(t, err);
    if (status != QN_OK) {
        return qn_fail_at(err, QN_E_FORMAT, "%s", source->path);
    }
    if (e->end < t->file_off || e->end - t->file_off != t->size_bytes) {
        char shape[192];
        return qn_fail(err, QN_E_FORMAT,
                       "%s: tensor '%s' of shape %s and type %s needs %s bytes; its data_offsets run from %s to %s",
                       source->path, qn_shown_name(t->name, strlen(t->name)).text,
                       qn_shape_text(&t->shape, shape, sizeof shape), qn_dtype_get((uint32_t)t->type)->name,
                       qn_shown_number(t->size_bytes).text, qn_shown_number(t->file_off).text,
                       qn_shown_number(e->end).text);
    }
    t->file = source->file;
    return QN_OK;
}

static int compare_entries(const void *a, const void *b) {
    const entry *x = a;
    const entry *y = b;
    if (x->tensor.file_off != y->tensor.file_off) {
        return x->tensor.file_off < y->tensor.file_off ? -1 : 1;
    }
    if (x->end != y->end) {
        return x->end < y->end ? -1 : 1;
    }
    return strcmp(x->tensor.name, y->tensor.name);
}

/* Sorted tensors must cover the data section: no hole, no overlap, nothing behind, nothing missing. */
static qn_status check_cover(const qn_source *source, uint64_t data_off, const entry *entries, uint64_t n,
                             qn_error *err) {
    const uint64_t have = source->size - data_off;
    uint64_t at = 0;
    for (uint64_t i = 0; i < n; i++) {
        const qn_archive_tensor *t = &entries[i].tensor;
        if (t->file_off != at) {
            const char *before = i == 0 ? "the header" : entries[i - 1].tensor.name;
            return qn_fail(err, QN_E_FORMAT,
                           "%s: tensor '%s' begins at byte %s of the data, %s byte %s where '%s' ends", source->path,
                           qn_shown_name(t->name, strlen(t->name)).text, qn_shown_number(t->file_off).text,
                           t->file_off < at ? "overlapping what is before" : "leaving a hole after",
                           qn_shown_number(at).text, qn_shown_name(before, strlen(before)).text);
        }
        at = entries[i].end;
    }
    if (at > have) {
        uint64_t size = 0;
        if (!qn_add_u64(at, data_off, &size)) {
            size = UINT64_MAX;
        }
        return qn_fail(err, QN_E_FORMAT,
                       "%s: is cut off: it has %s of %s bytes, %s are missing: the download is incomplete; fetch the "
                       "file again",
                       source->path, qn_shown_number(source->size).text, qn_shown_number(size).text,
                       qn_shown_number(at - have).text);
    }
    if (at < have) {
        return qn_fail(err, QN_E_FORMAT, "%s: %s bytes behind the last tensor belong to none: the file is damaged",
                       source->path, qn_shown_number(have - at).text);
    }
    return QN_OK;
}

/* Pairs are filled in directly: the parser has already refused keys that occur twice. */
static qn_status read_meta(const qn_source *source, json_t *pairs, qn_meta *meta, qn_error *err) {
    if (!json_is_object(pairs)) {
        return qn_fail(err, QN_E_FORMAT, "%s: __metadata__ is not a JSON object", source->path);
    }
    const uint64_t n = json_object_size(pairs);
    qn_meta_entry *entries = qn_arena_array(meta->arena, n, sizeof *entries);
    if (entries == NULL) {
        return qn_fail_nomem(err, source->path, (size_t)n * sizeof *entries);
    }
    const char *key = NULL;
    json_t *value = NULL;
    uint64_t at = 0;
    json_object_foreach(pairs, key, value) {
        if (!json_is_string(value)) {
            return qn_fail(err, QN_E_FORMAT, "%s: __metadata__ '%s' is not a text; only texts are allowed",
                           source->path, qn_shown_name(key, strlen(key)).text);
        }
        const char *text = qn_arena_copy(meta->arena, json_string_value(value), json_string_length(value));
        entries[at].key = qn_arena_string(meta->arena, key);
        if (text == NULL || entries[at].key == NULL) {
            return qn_fail_nomem(err, source->path, json_string_length(value));
        }
        entries[at].value = (qn_meta_value){.type = QN_META_STRING, .as.text = {text, json_string_length(value)}};
        at++;
    }
    meta->entries = entries;
    meta->n = n;
    meta->cap = n;
    return QN_OK;
}

/* Reads all entries of the header into entries, which has room for as many as the object has keys. */
static qn_status read_entries(qn_archive *archive, const qn_source *source, json_t *header, qn_meta *meta,
                              entry *entries, uint64_t *n, qn_error *err) {
    const char *key = NULL;
    json_t *value = NULL;
    *n = 0;
    json_object_foreach(header, key, value) {
        if (strcmp(key, "__metadata__") == 0) {
            QN_TRY(read_meta(source, value, meta, err));
            continue;
        }
        entries[*n].tensor.name = qn_arena_string(qn_archive_arena(archive), key);
        if (entries[*n].tensor.name == NULL) {
            return qn_fail_nomem(err, source->path, strlen(key));
        }
        QN_TRY(read_entry(source, value, &entries[*n], err));
        (*n)++;
    }
    return QN_OK;
}

static qn_status add_entries(qn_archive *archive, const qn_source *source, uint64_t data_off, json_t *header,
                             qn_meta *meta, qn_error *err) {
    uint64_t n = 0;
    entry *entries = qn_new_array(json_object_size(header), sizeof *entries);
    if (entries == NULL) {
        return qn_fail_nomem(err, source->path, json_object_size(header) * sizeof *entries);
    }
    qn_status status = read_entries(archive, source, header, meta, entries, &n, err);
    if (status == QN_OK) {
        if (n > 1) {
            qsort(entries, (size_t)n, sizeof *entries, compare_entries);
        }
        status = check_cover(source, data_off, entries, n, err);
    }
    for (uint64_t i = 0; i < n && status == QN_OK; i++) {
        entries[i].tensor.file_off += data_off;
        status = qn_archive_add(archive, &entries[i].tensor, err);
    }
    free(entries);
    return status;
}

/* Finds the header's bytes: *text of *len bytes, with data behind it. */
static qn_status find_header(const qn_source *source, const char **text, uint64_t *len, qn_error *err) {
    qn_cursor c = {source->bytes, (size_t)source->size, 0};
    if (!qn_cursor_u64(&c, len)) {
        return qn_fail(err, QN_E_FORMAT, "%s: is not a safetensors file: it has %" PRIu64 " bytes, fewer than 8%s",
                       source->path, source->size, source->size == 0 ? " (an empty file: fetch it again)" : "");
    }
    if (*len > MAX_HEADER_BYTES || *len < 2 || (qn_cursor_left(&c) > 0 && source->bytes[8] != '{')) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: is not a safetensors file: it does not begin with a header's length (2 to %s) and '{', but "
                       "with '%s'",
                       source->path, qn_shown_number(MAX_HEADER_BYTES).text,
                       qn_shown_name(source->bytes, source->size < 12 ? (size_t)source->size : 12).text);
    }
    if (*len > qn_cursor_left(&c)) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: is cut off: it ends at byte %s, its header at byte %s: %s bytes of the header are missing, "
                       "and all the data: the download is incomplete; fetch the file again",
                       source->path, qn_shown_number(source->size).text, qn_shown_number(*len + 8).text,
                       qn_shown_number(*len - qn_cursor_left(&c)).text);
    }
    *text = (const char *)qn_cursor_bytes(&c, *len);
    return QN_OK;
}

qn_status qn_safetensors_parse(qn_archive *archive, const qn_source *source, qn_meta *meta, qn_error *err) {
    const char *text = NULL;
    uint64_t len = 0;
    json_error_t e;
    QN_TRY(find_header(source, &text, &len, err));
    json_t *header = qn_json_load_bytes(text, (size_t)len, JSON_REJECT_DUPLICATES, &e);
    if (header == NULL) {
        if (qn_json_ran_out(&e)) {
            return qn_fail_nomem(err, source->path, (size_t)len);
        }
        return qn_fail(err, QN_E_FORMAT, "%s: byte %s: the header is not valid JSON: %s", source->path,
                       qn_shown_number(8 + (uint64_t)e.position).text, e.text);
    }
    const qn_status status = add_entries(archive, source, 8 + len, header, meta, err);
    json_decref(header);
    return status;
}

qn_status qn_safetensors_open(const char *path, qn_archive **out, qn_error *err) {
    qn_archive *archive = qn_archive_new("safetensors");
    if (archive == NULL) {
        return qn_fail_nomem(err, path, 0);
    }
    qn_source source;
    qn_status status = qn_source_open(archive, path, &source, err);
    if (status == QN_OK) {
        status = qn_safetensors_parse(archive, &source, qn_archive_own_meta(archive), err);
    }
    if (status == QN_OK) {
        status = qn_archive_seal(archive, err);
    }
    return qn_archive_give(archive, status, out);
}
