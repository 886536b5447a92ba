/* SPDX-License-Identifier: MIT */
/* fuzz_gguf.c: any bytes as a GGUF file: refused, or every tensor and value can be walked and written again. */
#include "container/gguf.h"
#include "container/source.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Touches every byte that a value points to. */
static uint64_t walk_value(const qn_meta_value *v) {
    uint64_t sum = v->type;
    if (v->type == QN_META_STRING) {
        for (size_t i = 0; i < v->as.text.len; i++) {
            sum += (unsigned char)v->as.text.bytes[i];
        }
    } else if (v->type == QN_META_ARRAY && v->as.array.type == QN_META_STRING) {
        const qn_text *texts = v->as.array.items;
        for (uint64_t i = 0; i < v->as.array.n; i++) {
            sum += walk_value(&(qn_meta_value){.type = QN_META_STRING, .as.text = texts[i]});
        }
    } else if (v->type == QN_META_ARRAY) {
        const unsigned char *bytes = v->as.array.items;
        for (uint64_t i = 0; i < v->as.array.n * qn_meta_type_size(v->as.array.type); i++) {
            sum += bytes[i];
        }
    }
    return sum;
}

/* What the reader accepts, the writer must be able to write: a header with the same number of everything. */
static void write_again(const qn_archive *archive) {
    const uint64_t n = qn_archive_n_tensors(archive);
    qn_placed_tensor *tensors = qn_new_array(n, sizeof *tensors);
    qn_meta meta = *qn_archive_meta(archive);
    qn_buffer header = {0};
    uint64_t file_bytes = 0;
    for (uint64_t i = 0; tensors != NULL && i < n; i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(archive, i);
        tensors[i] = (qn_placed_tensor){.name = t->name, .type = t->type, .shape = t->shape};
    }
    qn_meta_remove(&meta, "general.alignment");
    if (tensors != NULL && qn_gguf_layout(&meta, tensors, n, &header, &file_bytes, NULL) != QN_OK) {
        abort();
    }
    free(tensors);
    qn_buffer_clear(&header);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qn_archive *archive = qn_archive_new("gguf");
    const qn_source source = {"fuzz.gguf", data, size, NULL};
    qn_error err = {0};
    volatile uint64_t sum = 0; /* keeps the walk from being left out */
    if (archive == NULL) {
        return 0;
    }
    qn_status status = qn_gguf_parse(archive, &source, qn_archive_own_meta(archive), &err);
    if (status == QN_OK) {
        status = qn_archive_seal(archive, &err);
    }
    if (status == QN_OK) {
        const qn_meta *meta = qn_archive_meta(archive);
        for (uint64_t i = 0; i < meta->n; i++) {
            sum += walk_value(&meta->entries[i].value);
        }
        for (uint64_t i = 0; i < qn_archive_n_tensors(archive); i++) {
            const qn_archive_tensor *t = qn_archive_tensor_at(archive, i);
            if (qn_archive_find(archive, t->name) != t || t->file_off + t->size_bytes > size) {
                abort();
            }
        }
        write_again(archive);
    } else if (err.status != status || err.message[0] == '\0') {
        abort();
    }
    (void)sum;
    qn_archive_close(archive);
    return 0;
}
