/* SPDX-License-Identifier: MIT */
/*
 * fuzz_gguf_model.c: any bytes as a GGUF file that is opened as a model and as a Hugging Face folder, layers left out
 * and metadata overridden: refused with a message, or its tensors can be read and config.json is JSON.
 */
#include "base/json.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum { MAX_INPUT = 1 << 17, MAX_ELEMENTS = 1 << 14, MAX_READ_TENSORS = 64 };

static const uint64_t first_layers[] = {0};
static const uint64_t last_layers[] = {1, 1};
static const char *const names[] = {"general.name=str:other", "general.size=int:-7", "general.new=bool:true"};
static const char *const counts[] = {"llama.block_count=int:3", "gemma3.attention.sliding_window=int:8",
                                     "llama.rope.freq_base=float:1e4"};

/* The ways a file is opened, each as a model and for Hugging Face. */
static const qn_model_request ways[] = {
    {.dir = NULL},
    {.without_vocab = true, .hf_dtype = "float32"},
    {.pruned_layers = first_layers, .n_pruned_layers = 1, .overrides = names, .n_overrides = 3},
    {.pruned_layers = last_layers, .n_pruned_layers = 2, .overrides = counts, .n_overrides = 3, .name = "name"},
};

static void check_failure(qn_status status, const qn_error *err) {
    if (err->status != status || err->message[0] == '\0') {
        abort();
    }
}

static void read_tensor(const qn_model_tensor *t) {
    const uint64_t n_rows = qn_recipe_rows(t->recipe);
    const uint64_t n_cols = qn_recipe_cols(t->recipe);
    qn_error err = {QN_OK, ""};
    qn_ready *ready = NULL;
    qn_scratch scratch = {0};
    if (n_rows != qn_shape_rows(&t->shape) || n_cols != qn_shape_cols(&t->shape)) {
        abort();
    }
    if (n_cols != 0 && n_rows > MAX_ELEMENTS / n_cols) {
        return;
    }
    float *values = qn_new_array(n_rows * n_cols, sizeof *values);
    qn_status status = values == NULL ? QN_E_NOMEM : qn_ready_open(t->recipe, QN_CPU_SCALAR, &ready, &err);
    if (status == QN_OK) {
        status = qn_ready_rows(ready, 0, n_rows, values, &scratch, &err);
    }
    if (status != QN_OK && status != QN_E_NOMEM) {
        check_failure(status, &err);
    }
    qn_scratch_clear(&scratch);
    qn_ready_close(ready);
    free(values);
}

static void check_side_files(const qn_model *model) {
    for (uint64_t i = 0; i < model->n_side_files; i++) {
        const qn_side_file *file = &model->side_files[i];
        json_t *value = NULL;
        if (file->name == NULL || file->copy_of != NULL || strchr(file->name, '/') != NULL) {
            abort();
        }
        if (strcmp(file->name, "config.json") == 0) {
            if (qn_json_parse(file->name, file->bytes.bytes, file->bytes.len, &value, NULL) != QN_OK) {
                abort();
            }
            json_decref(value);
        }
    }
}

static void open_as(qn_status open(const qn_model_request *, qn_model **, qn_error *),
                    const qn_model_request *request) {
    qn_model *model = NULL;
    qn_error err = {QN_OK, ""};
    const qn_status status = open(request, &model, &err);
    if (status != QN_OK) {
        check_failure(status, &err);
        return;
    }
    for (uint64_t i = 0; i < model->n_tensors && i < MAX_READ_TENSORS; i++) {
        read_tensor(&model->tensors[i]);
    }
    check_side_files(model);
    qn_model_close(model);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
    char path[] = "/tmp/fuzz-gguf-model-XXXXXX";
    if (size_bytes > MAX_INPUT) {
        return 0;
    }
    const int fd = mkstemp(path);
    if (fd < 0 || (size_bytes > 0 && write(fd, data, size_bytes) != (ssize_t)size_bytes)) {
        abort();
    }
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++) {
        qn_model_request request = ways[i];
        request.dir = path;
        open_as(qn_model_open, &request);
        open_as(qn_model_open_hf, &request);
    }
    (void)close(fd);
    (void)unlink(path);
    return 0;
}
