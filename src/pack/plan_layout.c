/* SPDX-License-Identifier: MIT */
/* plan_layout.c: every output's types, files, shards and offsets. */
#include "pack/plan.h"

#include <string.h>

/* Tensors that stay float32 in any file. Source: facts/architectures.md 0.5. */
static bool stays_f32(const qn_model_tensor *t) {
    static const char *const names[] = {"position_embd.weight", "token_types.weight", "ffn_gate_inp"};
    const size_t n = strlen(t->name);
    if (t->is_generated || t->shape.n_dims < 2 || strstr(t->name, "_norm.weight") != NULL) {
        return true;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strstr(t->name, names[i]) != NULL) {
            return true;
        }
    }
    return n < 7 || strcmp(t->name + n - 7, ".weight") != 0;
}

/* --outtype, or the type of the source's first matrix. */
static qn_status choose_outtype(qn_plan *plan, const char *outtype, qn_error *err) {
    if (outtype != NULL && strcmp(outtype, "auto") != 0) {
        static const struct {
            const char *name;
            qn_dtype type;
        } rows[] = {{"f32", QN_F32}, {"f16", QN_F16}, {"bf16", QN_BF16}};
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
            if (strcmp(outtype, rows[i].name) == 0) {
                plan->outtype = rows[i].type;
                return QN_OK;
            }
        }
        return qn_fail(err, QN_E_USAGE, "--outtype '%.40s': f32, f16, bf16 or auto is expected", outtype);
    }
    plan->outtype = QN_F32;
    for (uint64_t i = 0; !plan->preset.exports_adapter && i < plan->model->n_tensors; i++) {
        if (!stays_f32(&plan->model->tensors[i])) {
            const qn_dtype type = qn_recipe_source_type(plan->model->tensors[i].recipe);
            plan->outtype = type == QN_BF16 || type == QN_F16 ? type : QN_F32;
            break;
        }
    }
    return QN_OK;
}

static qn_dtype unquantized_type(const qn_plan *plan, const qn_model_tensor *t) {
    if (plan->preset.exports_adapter) {
        return plan->outtype;
    }
    return stays_f32(t) ? QN_F32 : plan->outtype;
}

static qn_status choose_types(qn_plan *plan, qn_plan_output *output, qn_error *err) {
    const qn_model *model = plan->model;
    qn_mixture_tensor *mix = qn_arena_array(plan->arena, model->n_tensors, sizeof *mix);
    output->tensors = qn_arena_array(plan->arena, model->n_tensors, sizeof *output->tensors);
    if (mix == NULL || output->tensors == NULL) {
        return qn_fail_nomem(err, "plan", (size_t)model->n_tensors * sizeof *mix);
    }
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        const qn_dtype type = unquantized_type(plan, &model->tensors[i]);
        mix[i] = (qn_mixture_tensor){
            .name = model->tensors[i].name, .shape = model->tensors[i].shape, .unquantized = type, .type = type};
    }
    if (output->target != NULL) {
        const qn_mixture_model facts = {
            .arch = model->arch_name,
            .n_layer = qn_hp_count(&model->hparams, QN_HP_N_LAYER),
            .n_head = qn_hp_count(&model->hparams, QN_HP_N_HEAD),
            .n_head_kv = qn_hp_count(&model->hparams, QN_HP_N_HEAD_KV),
        };
        QN_TRY(qn_mixture_choose(output->target, &facts, NULL, mix, model->n_tensors, err));
    }
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        output->tensors[i] = (qn_placed_tensor){.name = mix[i].name, .type = mix[i].type, .shape = mix[i].shape};
    }
    return QN_OK;
}

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

/* The metadata of file no of count: everything in the first, where it stands in every one of a set. */
static qn_meta meta_of(const qn_plan *plan, const qn_plan_output *output, uint64_t no, uint64_t count) {
    qn_meta meta = qn_meta_new(plan->arena);
    for (uint64_t i = 0; no == 0 && i < plan->model->meta.n; i++) {
        qn_meta_set(&meta, plan->model->meta.entries[i].key, plan->model->meta.entries[i].value);
    }
    if (no == 0) {
        if (!plan->preset.exports_adapter) {
            qn_meta_set_u32(&meta, "general.file_type", output->file_type);
        }
        qn_meta_set_u32(&meta, "general.quantization_version", 2);
    }
    if (count > 1) {
        qn_meta_set_u16(&meta, "split.no", (uint16_t)no);
        qn_meta_set_u16(&meta, "split.count", (uint16_t)count);
        qn_meta_set_i32(&meta, "split.tensors.count", (int32_t)plan->model->n_tensors);
    }
    return meta;
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

/* Cuts an output into files and lays each out. Appends to plan->files. */
static qn_status lay_out_output(qn_plan *plan, qn_plan_output *output, const qn_pack_options *options, qn_error *err) {
    const uint64_t n = plan->model->n_tensors;
    uint64_t *sizes = NULL;
    QN_TRY(tensor_sizes(plan, output, &sizes, err));
    output->first_file = plan->n_files;
    for (uint64_t first = 0; first < n;) {
        const uint64_t count = shard_len(sizes, first, n, options->split_max_bytes, options->split_max_tensors);
        if (output->n_files == UINT16_MAX) {
            return qn_fail(err, QN_E_USAGE, "the split would make more than %d files: raise the limit", UINT16_MAX);
        }
        qn_plan_file *files = qn_resize_array(plan->files, (uint64_t)plan->n_files + 1, sizeof *files);
        if (files == NULL) {
            return qn_fail_nomem(err, "plan", sizeof *files);
        }
        plan->files = files;
        plan->files[plan->n_files++] = (qn_plan_file){.first_tensor = first, .n_tensors = count};
        output->n_files++;
        first += count;
    }
    for (uint64_t no = 0; no < output->n_files; no++) {
        QN_TRY(lay_out_file(plan, output, no, output->n_files, err));
    }
    for (uint64_t i = 0; i < n; i++) {
        output->tensor_bytes += sizes[i];
    }
    return QN_OK;
}

static uint32_t file_type_of(qn_dtype type) {
    return type == QN_F32 ? 0 : type == QN_F16 ? 1 : 32;
}

/* Lists the outputs a preset asks for. */
static qn_status list_outputs(qn_plan *plan, qn_error *err) {
    const qn_plan_inputs *in = &plan->inputs;
    plan->outputs = qn_arena_array(plan->arena, plan->preset.n_targets + 1, sizeof *plan->outputs);
    const char *plain = qn_path_join(plan->arena, in->out_dir, in->model_name);
    if (plan->outputs == NULL || plain == NULL) {
        return qn_fail_nomem(err, "plan", 0);
    }
    if (plan->preset.exports_adapter || plan->preset.keeps_unquantized) {
        qn_plan_output *output = &plan->outputs[plan->n_outputs++];
        output->type_name = qn_dtype_get(plan->outtype)->name;
        output->file_type = file_type_of(plan->outtype);
        output->stem = plan->preset.exports_adapter
            ? qn_arena_printf(plan->arena, "%s/%s-lora", in->out_dir, in->adapter_name)
            : plain;
        if (output->stem == NULL) {
            return qn_fail_nomem(err, "plan", 0);
        }
    }
    for (size_t i = 0; i < plan->preset.n_targets; i++) {
        qn_plan_output *output = &plan->outputs[plan->n_outputs++];
        output->target = plan->preset.targets[i];
        output->type_name = output->target->name;
        output->file_type = output->target->file_type;
        output->stem = qn_arena_printf(plan->arena, "%s-%s", plain, output->target->name);
        if (output->stem == NULL) {
            return qn_fail_nomem(err, "plan", 0);
        }
    }
    return QN_OK;
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
        t->stage = plan->preset.n_targets > 0 ? "Quantization" : "GGUF conversion";
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

qn_status qn_plan_lay_out(qn_plan *plan, const qn_pack_options *options, qn_error *err) {
    QN_TRY(choose_outtype(plan, options->outtype, err));
    QN_TRY(list_outputs(plan, err));
    for (uint32_t o = 0; o < plan->n_outputs; o++) {
        QN_TRY(choose_types(plan, &plan->outputs[o], err));
        QN_TRY(lay_out_output(plan, &plan->outputs[o], options, err));
        plan->disk_bytes += plan->outputs[o].size_bytes;
    }
    return build_stream(plan, err);
}
