/* SPDX-License-Identifier: MIT */
/* fuzz_safetensors.c: any bytes as a safetensors file: refused, or its tensors cover the data exactly. */
#include "container/safetensors.h"
#include "container/source.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_cover(const qn_archive *archive, size_t size) {
    uint64_t end = 0;
    for (uint64_t i = 0; i < qn_archive_n_tensors(archive); i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(archive, i);
        if ((i > 0 && t->file_off != end) || qn_archive_find(archive, t->name) != t) {
            abort();
        }
        end = t->file_off + t->size_bytes;
    }
    if (qn_archive_n_tensors(archive) > 0 && end != size) {
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qn_archive *archive = qn_archive_new("safetensors");
    const qn_source source = {"fuzz.safetensors", data, size, NULL};
    qn_error err = {0};
    if (archive == NULL) {
        return 0;
    }
    qn_status status = qn_source_refuse_impostor(&source, &err);
    if (status == QN_OK) {
        status = qn_safetensors_parse(archive, &source, qn_archive_own_meta(archive), &err);
    }
    if (status == QN_OK) {
        status = qn_archive_seal(archive, &err);
    }
    if (status == QN_OK) {
        check_cover(archive, size);
    } else if (err.status != status || err.message[0] == '\0') {
        abort();
    }
    qn_archive_close(archive);
    return 0;
}
