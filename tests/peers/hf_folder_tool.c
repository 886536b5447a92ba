/* SPDX-License-Identifier: MIT */
/* hf_folder_tool.c: a model opened as a Hugging Face folder, written as one float32 file with what goes beside it.
 *
 *     hf_folder_tool IN OUT [ADAPTER]
 *
 * IN is a GGUF file or a model folder, OUT an existing folder. Exit code: 0 written, 1 failed, 2 usage.
 */
#include "container/safetensors.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>

static qn_status write_bytes(const char *dir, const char *name, const void *bytes, size_t n, qn_error *err) {
    char path[4096];
    qn_out *out = NULL;
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    QN_TRY(qn_out_open(path, n, false, &out, err));
    const qn_status status = qn_out_write_at(out, 0, bytes, n, err);
    qn_out_close(out);
    return status;
}

static qn_status write_side_file(const char *dir, const qn_side_file *file, qn_error *err) {
    if (file->copy_of == NULL) {
        return write_bytes(dir, file->name, file->bytes.bytes, file->bytes.len, err);
    }
    char *text = NULL;
    size_t n = 0;
    QN_TRY(qn_read_text(file->copy_of, 1 << 30, &text, &n, err));
    const qn_status status = write_bytes(dir, file->name, text, n, err);
    free(text);
    return status;
}

static qn_status append_rows(const qn_recipe *r, qn_buffer *file, qn_error *err) {
    qn_ready *ready = NULL;
    qn_scratch scratch = {0};
    const uint64_t n = qn_recipe_rows(r) * qn_recipe_cols(r);
    float *rows = qn_new_array(n, sizeof *rows);
    qn_status status = rows == NULL ? qn_fail_nomem(err, "rows", (size_t)n) : QN_OK;
    if (status == QN_OK) {
        status = qn_ready_open(r, QN_CPU_SCALAR, &ready, err);
    }
    if (status == QN_OK) {
        status = qn_ready_rows(ready, 0, qn_recipe_rows(r), rows, &scratch, err);
    }
    if (status == QN_OK) {
        qn_buffer_append(file, rows, (size_t)n * sizeof *rows);
    }
    qn_scratch_clear(&scratch);
    qn_ready_close(ready);
    free(rows);
    return status;
}

static qn_status write_model(const qn_model *model, const char *dir, qn_error *err) {
    qn_placed_tensor *placed = qn_arena_array(model->arena, model->n_tensors, sizeof *placed);
    qn_buffer file = {0};
    uint64_t size = 0;
    if (placed == NULL) {
        return qn_fail_nomem(err, "tensors", 0);
    }
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        const qn_model_tensor *t = &model->tensors[i];
        placed[i] = (qn_placed_tensor){.name = t->name, .type = QN_F32, .shape = t->shape};
    }
    qn_status status = qn_safetensors_layout(placed, model->n_tensors, &file, &size, err);
    for (uint64_t i = 0; i < model->n_tensors && status == QN_OK; i++) {
        status = append_rows(model->tensors[i].recipe, &file, err);
    }
    if (status == QN_OK) {
        status = write_bytes(dir, "model.safetensors", file.data, file.len, err);
    }
    qn_buffer_clear(&file);
    for (uint64_t i = 0; i < model->n_side_files && status == QN_OK; i++) {
        status = write_side_file(dir, &model->side_files[i], err);
    }
    return status;
}

int main(int argc, char **argv) {
    qn_error err = {QN_OK, ""};
    qn_model *model = NULL;
    if (argc < 3 || argc > 4) {
        (void)fprintf(stderr, "usage: hf_folder_tool IN OUT [ADAPTER]\n");
        return 2;
    }
    const qn_adapter_ref ref = {argc > 3 ? argv[3] : NULL, 1.0};
    const qn_model_request request = {
        .dir = argv[1], .adapters = &ref, .n_adapters = argc > 3 ? 1 : 0, .hf_dtype = "float32"};
    qn_status status = qn_model_open_hf(&request, &model, &err);
    if (status == QN_OK) {
        status = write_model(model, argv[2], &err);
    }
    qn_model_close(model);
    if (status != QN_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
    }
    return status == QN_OK ? 0 : 1;
}
