/* SPDX-License-Identifier: MIT */
/* plan_layout.c: every output's files, shards and offsets. */
#include "pack/plan.h"

#include <string.h>

/* How many of the tensors from first on go into one file. */
static uint64_t shard_len(const uint64_t *sizes, uint64_t first, uint64_t n, uint64_t max_bytes, uint64_t max_tensors) {
    uint64_t bytes = 0;
    uint64_t count = 0;
    while (first + count < n) {
        const uint64_t size = (sizes[first + count] + QN_GGUF_ALIGNMENT - 1) / QN_GGUF_ALIGNMENT * QN_GGUF_ALIGNMENT;
        const bool is_full = (max_tensors != 0 && count == max_tensors) ||
            (max_bytes != 0 && count > 0 && bytes + size > max_bytes);
        if (is_full) {
            break;
        }
        bytes += size;
        count++;
    }
    return count;
}

static qn_status tensor_sizes(qn_plan *plan, const qn_plan_output *output, uint64_t **out, qn_error *err) {
    const uint64_t n = plan->model->n_tensors;
    uint64_t *sizes = qn_arena_array(plan->arena, n, sizeof *sizes);
    if (sizes == NULL) {
        return qn_fail_nomem(err, "plan", (size_t)n * sizeof *sizes);
    }
    for (uint64_t i = 0; i < n; i++) {
        uint64_t row = 0;
        QN_TRY(qn_row_size(output->tensors[i].type, qn_shape_cols(&output->tensors[i].shape), &row, err));
        sizes[i] = row * qn_shape_rows(&output->tensors[i].shape);
    }
    *out = sizes;
    return QN_OK;
}

/* Whether the importance matrix has a say in an output's bytes. Of one without types yet it is assumed. */
static bool uses_imatrix(const qn_plan *plan, const qn_plan_output *output) {
    if (plan->imatrix == NULL || output->target == NULL || output->target == &qn_copy_target) {
        return false;
    }
    for (uint64_t i = 0; output->tensors != NULL && i < plan->model->n_tensors; i++) {
        if (plan->importance[i] != NULL && qn_dtype_get((uint32_t)output->tensors[i].type)->is_quantized) {
            return true;
        }
    }
    return output->tensors == NULL;
}

/* What a job's importance matrix was stands in the files it was used for. */
static bool is_of_imatrix(const char *key) {
    return strncmp(key, "quantize.imatrix.", 17) == 0;
}

/* The metadata of file no of count: everything in the first, where it stands in every one of a set. */
static qn_meta meta_of(const qn_plan *plan, const qn_plan_output *output, uint64_t no, uint64_t count) {
    qn_meta meta = qn_meta_new(plan->arena);
    const bool hides = plan->imatrix != NULL && !uses_imatrix(plan, output);
    for (uint64_t i = 0; no == 0 && i < plan->model->meta.n; i++) {
        if (hides && is_of_imatrix(plan->model->meta.entries[i].key)) {
            continue;
        }
        qn_meta_set(&meta, plan->model->meta.entries[i].key, plan->model->meta.entries[i].value);
    }
    if (no == 0) {
        const bool is_copy = output->target == &qn_copy_target || plan->preset.copies;
        if (!plan->preset.exports_adapter && !(is_copy && qn_meta_find(&meta, "general.file_type") != NULL)) {
            qn_meta_set_u32(&meta, "general.file_type", output->file_type);
        }
        if (!is_copy || !plan->inputs.is_gguf) {
            qn_meta_set_u32(&meta, "general.quantization_version", 2);
        }
    }
    if (count > 1) {
        qn_meta_set_u16(&meta, "split.no", (uint16_t)no);
        qn_meta_set_u16(&meta, "split.count", (uint16_t)count);
        qn_meta_set_i32(&meta, "split.tensors.count", (int32_t)plan->model->n_tensors);
    }
    return meta;
}

qn_status qn_plan_header_bytes(qn_plan *plan, uint64_t *out, qn_error *err) {
    const qn_plan_output whole = {.target = &qn_budget_target};
    const qn_meta meta = meta_of(plan, &whole, 0, 1);
    qn_placed_tensor *tensors = qn_arena_array(plan->arena, plan->model->n_tensors, sizeof *tensors);
    qn_buffer header = {0};
    uint64_t file_bytes = 0;
    QN_TRY(qn_meta_status(&meta, err));
    if (tensors == NULL) {
        return qn_fail_nomem(err, "plan", 0);
    }
    for (uint64_t i = 0; i < plan->model->n_tensors; i++) {
        const qn_model_tensor *t = &plan->model->tensors[i];
        tensors[i] = (qn_placed_tensor){.name = t->name, .type = QN_F32, .shape = t->shape};
    }
    const qn_status status = qn_gguf_layout(&meta, tensors, plan->model->n_tensors, &header, &file_bytes, err);
    *out = header.len;
    qn_buffer_clear(&header);
    return status;
}

static qn_status lay_out_file(qn_plan *plan, qn_plan_output *output, uint64_t no, uint64_t count, qn_error *err) {
    qn_plan_file *file = &plan->files[output->first_file + no];
    const qn_meta meta = meta_of(plan, output, no, count);
    QN_TRY(qn_meta_status(&meta, err));
    file->path = count == 1 ? qn_arena_printf(plan->arena, "%s.gguf", output->stem)
                            : qn_gguf_shard_name(plan->arena, output->stem, no, count);
    file->part_path = file->path == NULL ? NULL : qn_arena_printf(plan->arena, "%s.part", file->path);
    if (file->part_path == NULL) {
        return qn_fail_nomem(err, "plan", 0);
    }
    QN_TRY(qn_gguf_layout(&meta, output->tensors + file->first_tensor, file->n_tensors, &file->header,
                          &file->size_bytes, err));
    output->size_bytes += file->size_bytes;
    return qn_buffer_status(&file->header, err);
}

/* How many of the tensors from first on lie in one file of the base. */
static uint64_t same_file_len(const qn_plan *plan, uint64_t first) {
    const qn_model *model = plan->model;
    const qn_archive_tensor *t = qn_archive_find(model->archive, model->tensors[first].source);
    uint64_t count = 1;
    while (t != NULL && first + count < model->n_tensors) {
        const qn_archive_tensor *next = qn_archive_find(model->archive, model->tensors[first + count].source);
        if (next == NULL || next->file != t->file) {
            break;
        }
        count++;
    }
    return count;
}

qn_status qn_plan_add_file(qn_plan *plan, qn_plan_output *output, qn_plan_file **out, qn_error *err) {
    if (output->n_files == UINT16_MAX) {
        return qn_fail(err, QN_E_USAGE, "the split would make more than %d files: raise the limit", UINT16_MAX);
    }
    qn_plan_file *files = qn_resize_array(plan->files, (uint64_t)plan->n_files + 1, sizeof *files);
    if (files == NULL) {
        return qn_fail_nomem(err, "plan", sizeof *files);
    }
    plan->files = files;
    *out = &files[plan->n_files++];
    **out = (qn_plan_file){0};
    output->n_files++;
    return QN_OK;
}

/* Cuts an output into files and lays each out. Appends to plan->files. */
static qn_status lay_out_output(qn_plan *plan, qn_plan_output *output, const qn_pack_options *options, qn_error *err) {
    const uint64_t n = plan->model->n_tensors;
    uint64_t *sizes = NULL;
    QN_TRY(tensor_sizes(plan, output, &sizes, err));
    const bool keeps_files = options->keep_split && plan->inputs.is_gguf;
    output->first_file = plan->n_files;
    for (uint64_t first = 0; first < n;) {
        qn_plan_file *file = NULL;
        QN_TRY(qn_plan_add_file(plan, output, &file, err));
        file->first_tensor = first;
        file->n_tensors = keeps_files
            ? same_file_len(plan, first)
            : shard_len(sizes, first, n, options->split_max_bytes, options->split_max_tensors);
        first += file->n_tensors;
    }
    for (uint64_t no = 0; no < output->n_files; no++) {
        QN_TRY(lay_out_file(plan, output, no, output->n_files, err));
    }
    for (uint64_t i = 0; i < n; i++) {
        output->tensor_bytes += sizes[i];
    }
    output->path = plan->files[output->first_file].path;
    return QN_OK;
}

static uint32_t file_type_of(qn_dtype type) {
    return type == QN_F32 ? 0 : type == QN_F16 ? 1 : 32;
}

/* {model_name}.gguf, {checkpoint_name}-lora.gguf, or a folder. */
static qn_status add_plain_output(qn_plan *plan, const char *plain, qn_error *err) {
    const qn_plan_inputs *in = &plan->inputs;
    qn_plan_output *output = &plan->outputs[plan->n_outputs++];
    output->type_name = plan->preset.copies ? qn_copy_target.name : qn_dtype_get(plan->outtype)->name;
    output->file_type = file_type_of(plan->outtype);
    output->stem = plan->preset.exports_adapter
        ? qn_arena_printf(plan->arena, "%s/%s-lora", in->out_dir, in->adapter_name)
        : plain;
    return output->stem == NULL ? qn_fail_nomem(err, "plan", 0) : QN_OK;
}

/* "4.25bpw", "4.5GB", "900MB": what a budget is called in a file's name. */
static const char *budget_name(const qn_plan *plan, const qn_pack_options *options) {
    const bool is_large = options->target_size_bytes >= 1000000000;
    return options->target_bpw > 0 ? qn_arena_printf(plan->arena, "%.4gbpw", options->target_bpw)
                                   : qn_arena_printf(plan->arena, is_large ? "%.4gGB" : "%.4gMB",
                                                     (double)options->target_size_bytes / (is_large ? 1e9 : 1e6));
}

/* Lists the outputs a preset asks for. */
static qn_status list_outputs(qn_plan *plan, const qn_pack_options *options, qn_error *err) {
    const qn_plan_inputs *in = &plan->inputs;
    plan->outputs = qn_arena_array(plan->arena, plan->preset.n_targets + 1, sizeof *plan->outputs);
    const char *plain = qn_path_join(plan->arena, in->out_dir, in->model_name);
    if (plan->outputs == NULL || plain == NULL) {
        return qn_fail_nomem(err, "plan", 0);
    }
    if (plan->preset.exports_adapter || plan->preset.keeps_unquantized) {
        QN_TRY(add_plain_output(plan, plain, err));
    }
    for (size_t i = 0; i < plan->preset.n_targets; i++) {
        qn_plan_output *output = &plan->outputs[plan->n_outputs++];
        output->target = plan->preset.targets[i];
        output->type_name = output->target == &qn_budget_target ? budget_name(plan, options) : output->target->name;
        output->file_type = output->target->file_type;
        output->stem = output->type_name == NULL ? NULL
                                                 : qn_arena_printf(plan->arena, "%s-%s", plain, output->type_name);
        if (output->stem == NULL) {
            return qn_fail_nomem(err, "plan", 0);
        }
    }
    return QN_OK;
}

/* What the work on weights is told under. */
static const char *stage_of(const qn_plan *plan) {
    return plan->preset.n_targets > 0 ? "Quantization" : plan->to_hf ? "Safetensors export" : "GGUF conversion";
}

/* What the executor runs: each tensor's place in every output. */
static qn_status build_stream(qn_plan *plan, qn_error *err) {
    const qn_model *model = plan->model;
    qn_stream_plan *stream = &plan->stream;
    stream->tensors = qn_arena_array(plan->arena, model->n_tensors, sizeof *stream->tensors);
    stream->files = qn_arena_array(plan->arena, plan->n_files, sizeof *stream->files);
    if (stream->tensors == NULL || stream->files == NULL) {
        return qn_fail_nomem(err, "plan", 0);
    }
    stream->n_tensors = model->n_tensors;
    stream->n_files = plan->n_files;
    stream->n_outputs = plan->n_outputs;
    for (uint32_t f = 0; f < plan->n_files; f++) {
        stream->files[f].path = plan->files[f].part_path;
    }
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        qn_stream_tensor *t = &stream->tensors[i];
        *t = (qn_stream_tensor){.name = model->tensors[i].name, .recipe = model->tensors[i].recipe};
        t->importance = plan->importance[i];
        t->matrix_rows = qn_shape_rows(&model->tensors[i].shape) / qn_plan_n_matrices(&model->tensors[i].shape);
        t->stage = stage_of(plan);
        t->places = qn_arena_array(plan->arena, plan->n_outputs, sizeof *t->places);
        if (t->places == NULL) {
            return qn_fail_nomem(err, "plan", 0);
        }
    }
    for (uint32_t o = 0; o < plan->n_outputs; o++) {
        const qn_plan_output *output = &plan->outputs[o];
        for (uint32_t f = output->first_file; f < output->first_file + output->n_files; f++) {
            for (uint64_t k = 0; k < plan->files[f].n_tensors; k++) {
                const uint64_t i = plan->files[f].first_tensor + k;
                const qn_placed_tensor *t = &output->tensors[i];
                qn_stream_place *place = &stream->tensors[i].places[o];
                *place = (qn_stream_place){.is_wanted = true, .type = t->type, .file = f, .file_off = t->file_off};
                QN_TRY(qn_row_size(t->type, qn_shape_cols(&t->shape), &place->row_bytes, err));
            }
        }
    }
    qn_stream_cut(stream);
    return QN_OK;
}

double qn_plan_bits_per_weight(const qn_plan *plan, const qn_plan_output *output) {
    return plan->model->n_weights == 0 ? 0 : 8.0 * (double)output->tensor_bytes / (double)plan->model->n_weights;
}

qn_status qn_plan_lay_out(qn_plan *plan, const qn_pack_options *options, qn_job *job, qn_error *err) {
    QN_TRY(list_outputs(plan, options, err));
    for (uint32_t o = 0; o < plan->n_outputs; o++) {
        QN_TRY(qn_plan_choose_types(plan, &plan->outputs[o], job, err));
        QN_TRY(plan->to_hf ? qn_plan_lay_out_hf(plan, &plan->outputs[o], options, err)
                           : lay_out_output(plan, &plan->outputs[o], options, err));
        plan->disk_bytes += plan->outputs[o].size_bytes;
    }
    return build_stream(plan, err);
}
