/* SPDX-License-Identifier: MIT */
/* safetensors_layout.c: the bytes of a safetensors file up to the first tensor's data. */
/*
 * The byte table stands in safetensors.c. The header is padded with spaces to a multiple of 8, so that data begin
 * aligned. Refuses what readers would refuse: names twice or not UTF-8, a header of more than 100 MB.
 */
#include "base/checked.h"
#include "base/json.h"
#include "container/safetensors.h"
#include "container/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t MAX_HEADER_BYTES = 100000000;

static const char *type_name(qn_dtype type) {
    switch (type) {
    case QN_F32: return "F32";
    case QN_F16: return "F16";
    case QN_BF16: return "BF16";
    default: return NULL;
    }
}

/* A name as a JSON string. */
static qn_status put_name(qn_buffer *b, const char *name, qn_error *err) {
    json_t *string = json_string_nocheck(name);
    const bool is_put = qn_json_append(b, string, JSON_ENCODE_ANY | JSON_ENSURE_ASCII);
    const bool was_short = string == NULL || b->has_failed;
    json_decref(string);
    if (was_short) {
        return qn_fail_nomem(err, "tensor names", 0);
    }
    return is_put
        ? QN_OK
        : qn_fail(err, QN_E_RANGE, "tensor '%s': its name is not UTF-8", qn_shown_name(name, strlen(name)).text);
}

/* One member of the header. next: where the tensor's data begin in the data section; moved behind them. */
static qn_status put_tensor(qn_buffer *b, qn_placed_tensor *t, uint64_t *next, qn_error *err) {
    const char *type = type_name(t->type);
    const uint64_t begin = *next;
    if (type == NULL) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "tensor '%s': safetensors has no element type for it; F32, F16 and BF16 do",
                       qn_shown_name(t->name, strlen(t->name)).text);
    }
    qn_archive_tensor extent = {.name = t->name, .type = t->type, .shape = t->shape};
    QN_TRY(qn_tensor_extent(&extent, err));
    t->size_bytes = extent.size_bytes;
    t->file_off = begin;
    if (!qn_add_u64(begin, t->size_bytes, next) || *next > INT64_MAX) {
        return qn_fail(err, QN_E_RANGE, "tensor '%s': the file would be larger than 2^63 bytes",
                       qn_shown_name(t->name, strlen(t->name)).text);
    }
    qn_buffer_text(b, ",");
    QN_TRY(put_name(b, t->name, err));
    qn_buffer_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", type);
    for (uint32_t i = 0; i < t->shape.n_dims; i++) {
        qn_buffer_printf(b, "%s%" PRIu64, i == 0 ? "" : ",", t->shape.dims[i]);
    }
    qn_buffer_printf(b, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", begin, *next);
    return QN_OK;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static qn_status refuse_double_names(const qn_placed_tensor *tensors, uint64_t n, qn_error *err) {
    const char **names = qn_new_array(n + 1, sizeof *names);
    qn_status status = QN_OK;
    if (names == NULL) {
        return qn_fail_nomem(err, "tensor names", (size_t)n * sizeof *names);
    }
    for (uint64_t i = 0; i < n; i++) {
        names[i] = tensors[i].name;
    }
    qsort(names, (size_t)n, sizeof *names, compare_names);
    for (uint64_t i = 0; i < n && status == QN_OK; i++) {
        if (strcmp(names[i], "__metadata__") == 0 || (i > 0 && strcmp(names[i - 1], names[i]) == 0)) {
            status = qn_fail(err, QN_E_RANGE, "two members of the header would be named '%s'",
                             qn_shown_name(names[i], strlen(names[i])).text);
        }
    }
    free(names);
    return status;
}

static qn_status put_all(qn_buffer *json, qn_placed_tensor *tensors, uint64_t n, uint64_t *data_bytes, qn_error *err) {
    qn_buffer_text(json, "{\"__metadata__\":{\"format\":\"pt\"}");
    for (uint64_t i = 0; i < n; i++) {
        QN_TRY(put_tensor(json, &tensors[i], data_bytes, err));
    }
    qn_buffer_text(json, "}");
    while (json->len % 8 != 0 && !json->has_failed) {
        qn_buffer_text(json, " ");
    }
    QN_TRY(qn_buffer_status(json, err));
    if (json->len > MAX_HEADER_BYTES) {
        return qn_fail(err, QN_E_RANGE, "a header of %zu bytes for %" PRIu64 " tensors; readers accept %" PRIu64,
                       json->len, n, MAX_HEADER_BYTES);
    }
    return QN_OK;
}

qn_status qn_safetensors_layout(qn_placed_tensor *tensors, uint64_t n, qn_buffer *header, uint64_t *file_bytes,
                                qn_error *err) {
    qn_buffer json = {0};
    uint64_t data_bytes = 0;
    QN_TRY(refuse_double_names(tensors, n, err));
    const qn_status status = put_all(&json, tensors, n, &data_bytes, err);
    const uint64_t data = 8 + json.len;
    if (status == QN_OK) {
        qn_buffer_u64(header, json.len);
        qn_buffer_append(header, json.data, json.len);
    }
    qn_buffer_clear(&json);
    QN_TRY(status);
    QN_TRY(qn_buffer_status(header, err));
    if (!qn_add_u64(data, data_bytes, file_bytes) || *file_bytes > INT64_MAX) {
        return qn_fail(err, QN_E_RANGE, "the file would be larger than 2^63 bytes");
    }
    for (uint64_t i = 0; i < n; i++) {
        tensors[i].file_off += data;
    }
    return QN_OK;
}
