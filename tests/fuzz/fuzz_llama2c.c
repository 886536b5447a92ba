/* SPDX-License-Identifier: MIT */
/*
 * fuzz_llama2c.c: any bytes as a llama2.c model and as its tokenizer. The model is refused, or its tensors lie within
 * the file and do not overlap; the tokenizer is refused, or has tokens with unique texts.
 */
#include "container/llama2c.h"
#include "text/vocab_parts.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

static void check_failure(qn_status status, const qn_error *err) {
    if (err->status != status || err->message[0] == '\0') {
        abort();
    }
}

static void read_model(const uint8_t *data, size_t size_bytes) {
    qn_archive *archive = qn_archive_new("llama2.c");
    const qn_source source = {"fuzz.bin", data, size_bytes, NULL};
    qn_llama2c_header header;
    qn_error err = {QN_OK, ""};
    if (archive == NULL) {
        return;
    }
    qn_status status = qn_llama2c_parse(archive, &source, &header, &err);
    if (status == QN_OK) {
        status = qn_archive_seal(archive, &err);
    }
    uint64_t end = 0;
    for (uint64_t i = 0; status == QN_OK && i < qn_archive_n_tensors(archive); i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(archive, i);
        if (t->file_off < end || t->file_off + t->size_bytes > size_bytes || t->size_bytes == 0) {
            abort();
        }
        end = t->file_off + t->size_bytes;
    }
    if (status != QN_OK) {
        check_failure(status, &err);
    }
    qn_archive_close(archive);
}

static void read_tokens(const uint8_t *data, size_t size_bytes) {
    qn_arena *arena = qn_arena_new();
    qn_error err = {QN_OK, ""};
    qn_text_index index = {0};
    if (arena == NULL) {
        return;
    }
    qn_token_list list = qn_token_list_new(arena);
    const uint64_t n_tokens = size_bytes == 0 ? 3 : data[0]; /* the length of the longest token means nothing else */
    const qn_status status = qn_llama2c_read_tokens("fuzz.bin", data, size_bytes, n_tokens, &list, &err);
    if (status != QN_OK) {
        check_failure(status, &err);
    } else if (qn_token_list_finish(&list, n_tokens, "fuzz.bin", NULL, &err) == QN_OK &&
               qn_text_index_open(&index, list.texts, list.n, &err) == QN_OK) {
        for (uint64_t i = 0; i < list.n; i++) {
            if (list.texts[i].len > 0 && qn_text_index_find(&index, list.texts[i]) != (int64_t)i) {
                abort();
            }
        }
    }
    qn_text_index_clear(&index);
    qn_token_list_clear(&list);
    qn_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
    read_model(data, size_bytes);
    read_tokens(data, size_bytes);
    return 0;
}
