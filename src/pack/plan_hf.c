/* SPDX-License-Identifier: MIT */
/*
 * plan_hf.c: an output that is a Hugging Face folder: config and tokenizer files, safetensors shards, their index.
 *
 * Files get their names from the last to the first, so that config.json, by which a folder is known as a model, comes
 * when all others are there. The order is: config.json and the other small files, the index, the shards.
 */
#include "container/safetensors.h"
#include "pack/plan.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_SHARD_BYTES 5000000000ULL

enum { MAX_SIDE_FILE_BYTES = 1 << 30 };

static qn_status name_file(qn_plan *plan, qn_plan_file *file, const char *name, qn_error *err) {
    file->path = name == NULL ? NULL : qn_path_join(plan->arena, plan->inputs.out_dir, name);
    file->part_path = file->path == NULL ? NULL : qn_arena_printf(plan->arena, "%s.part", file->path);
    return file->part_path == NULL ? qn_fail_nomem(err, "plan", 0) : QN_OK;
}

static qn_status add_small_file(qn_plan *plan, qn_plan_output *output, const char *name, qn_text bytes, qn_error *err) {
    qn_plan_file *file = NULL;
    QN_TRY(qn_plan_add_file(plan, output, &file, err));
    QN_TRY(name_file(plan, file, name, err));
    qn_buffer_append(&file->header, bytes.bytes, bytes.len);
    file->size_bytes = bytes.len;
    output->size_bytes += bytes.len;
    return qn_buffer_status(&file->header, err);
}

static qn_status add_side_file(qn_plan *plan, qn_plan_output *output, const qn_side_file *side, qn_error *err) {
    char *text = NULL;
    size_t n = 0;
    if (side->copy_of == NULL) {
        return add_small_file(plan, output, side->name, side->bytes, err);
    }
    QN_TRY(qn_read_text(side->copy_of, MAX_SIDE_FILE_BYTES, &text, &n, err));
    const qn_status status = add_small_file(plan, output, side->name, (qn_text){text, n}, err);
    free(text);
    return status;
}

/* How many of the tensors from first on go into one shard. */
static uint64_t shard_len(const qn_plan *plan, const qn_plan_output *output, uint64_t first, uint64_t max_bytes,
                          uint64_t max_tensors) {
    uint64_t bytes = 0;
    uint64_t count = 0;
    while (first + count < plan->model->n_tensors) {
        const uint64_t size = output->tensors[first + count].size_bytes;
        if ((max_tensors != 0 && count == max_tensors) || (count > 0 && bytes + size > max_bytes)) {
            break;
        }
        bytes += size;
        count++;
    }
    return count;
}

static qn_status size_tensors(qn_plan *plan, qn_plan_output *output, qn_error *err) {
    for (uint64_t i = 0; i < plan->model->n_tensors; i++) {
        qn_placed_tensor *t = &output->tensors[i];
        uint64_t row = 0;
        QN_TRY(qn_row_size(t->type, qn_shape_cols(&t->shape), &row, err));
        t->size_bytes = row * qn_shape_rows(&t->shape);
        output->tensor_bytes += t->size_bytes;
    }
    return QN_OK;
}

static const char *shard_name(qn_plan *plan, uint64_t no, uint64_t count) {
    return count == 1 ? "model.safetensors"
                      : qn_arena_printf(plan->arena, "model-%05llu-of-%05llu.safetensors", (unsigned long long)no + 1,
                                        (unsigned long long)count);
}

/* {"metadata": {"total_size": …}, "weight_map": {NAME: SHARD, …}} */
static qn_status add_index(qn_plan *plan, qn_plan_output *output, const uint64_t *lens, uint64_t count, qn_error *err) {
    json_t *map = json_object();
    bool has_failed = map == NULL;
    uint64_t i = 0;
    for (uint64_t no = 0; no < count; no++) {
        const char *name = shard_name(plan, no, count);
        for (uint64_t end = i + lens[no]; i < end; i++) {
            has_failed = name == NULL || json_object_set_new(map, output->tensors[i].name, json_string(name)) != 0 ||
                has_failed;
        }
    }
    json_t *index = json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)output->tensor_bytes,
                              "weight_map", map);
    char *text = has_failed || index == NULL ? NULL : qn_json_dump(index, JSON_INDENT(2) | JSON_SORT_KEYS);
    json_decref(index);
    json_decref(map);
    if (text == NULL) {
        return qn_fail_nomem(err, "model.safetensors.index.json", 0);
    }
    const qn_status status = add_small_file(plan, output, "model.safetensors.index.json", qn_text_of(text), err);
    free(text);
    return status;
}

static qn_status add_shard(qn_plan *plan, qn_plan_output *output, const char *name, uint64_t first, uint64_t n,
                           qn_error *err) {
    qn_plan_file *file = NULL;
    QN_TRY(qn_plan_add_file(plan, output, &file, err));
    QN_TRY(name_file(plan, file, name, err));
    file->first_tensor = first;
    file->n_tensors = n;
    QN_TRY(qn_safetensors_layout(output->tensors + first, n, &file->header, &file->size_bytes, err));
    output->size_bytes += file->size_bytes;
    return qn_buffer_status(&file->header, err);
}

qn_status qn_plan_lay_out_hf(qn_plan *plan, qn_plan_output *output, const qn_pack_options *options, qn_error *err) {
    const uint64_t n = plan->model->n_tensors;
    const uint64_t max_bytes = options->split_max_bytes != 0 ? options->split_max_bytes : DEFAULT_SHARD_BYTES;
    uint64_t *lens = qn_arena_array(plan->arena, n, sizeof *lens);
    uint64_t count = 0;
    if (lens == NULL) {
        return qn_fail_nomem(err, "plan", (size_t)n * sizeof *lens);
    }
    output->first_file = plan->n_files;
    output->path = plan->inputs.out_dir;
    QN_TRY(size_tensors(plan, output, err));
    for (uint64_t first = 0; first < n; first += lens[count++]) {
        lens[count] = shard_len(plan, output, first, max_bytes, options->split_max_tensors);
    }
    for (uint64_t i = 0; i < plan->model->n_side_files; i++) {
        QN_TRY(add_side_file(plan, output, &plan->model->side_files[i], err));
    }
    if (count > 1) {
        QN_TRY(add_index(plan, output, lens, count, err));
    }
    uint64_t first = 0;
    for (uint64_t no = 0; no < count; no++) {
        QN_TRY(add_shard(plan, output, shard_name(plan, no, count), first, lens[no], err));
        first += lens[no];
    }
    return QN_OK;
}
