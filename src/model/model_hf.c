/* SPDX-License-Identifier: MIT */
/*
 * model_hf.c: opens a model as the tensors and files of a Hugging Face folder.
 *
 * Of a GGUF file, names and transformations are taken back by the family's table, in its order, and config.json and
 * tokenizer files are made of the metadata. A folder keeps its own tensors' names and order, and its own files.
 */
#include "model/model_parts.h"

#include "base/worker.h"
#include "container/safetensors.h"
#include "text/vocab_files.h"

#include <stdlib.h>
#include <string.h>

static qn_status make_room(qn_model *model, uint64_t n, qn_error *err) {
    model->tensors = qn_arena_array(model->arena, n, sizeof *model->tensors);
    return model->tensors == NULL ? qn_fail_nomem(err, model->path, (size_t)n * sizeof *model->tensors) : QN_OK;
}

/* Whether a tensor that ends so is in the model. */
static bool has_tail(const qn_model *model, const char *tail) {
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        if (qn_ends_with(model->tensors[i].name, tail)) {
            return true;
        }
    }
    return false;
}

/* ---- of a GGUF file ---- */

/* What config.json calls the weights' type when nobody asked for one. */
static const char *dtype_name(const qn_model *model) {
    const qn_dtype type = qn_model_plain_type(model);
    return type == QN_F32 ? "float32" : type == QN_BF16 ? "bfloat16" : "float16";
}

static qn_status write_config(qn_model *model, const qn_model_request *request, qn_text *out, qn_error *err) {
    json_t *config = NULL;
    const qn_config_source source = {
        .arch = model->arch,
        .hparams = &model->hparams,
        .meta = &model->meta,
        .dtype_name = request->hf_dtype != NULL ? request->hf_dtype : dtype_name(model),
        .has_attention_bias = has_tail(model, "self_attn.q_proj.bias"),
        .has_mlp_bias = has_tail(model, "mlp.up_proj.bias"),
    };
    if (source.has_attention_bias && model->arch->names_biases && !has_tail(model, "self_attn.o_proj.bias")) {
        qn_job_warn(request->job,
                    "%s: has biases on q, k and v, but none on the attention's output; transformers' class has all or "
                    "none, and will fill in zeros",
                    model->path);
    }
    QN_TRY(qn_arch_config(&source, &config, err));
    char *text = qn_json_dump(config, JSON_INDENT(2) | JSON_REAL_PRECISION(9)); /* numbers that were float32 */
    json_decref(config);
    const char *copy = text == NULL ? NULL : qn_arena_printf(model->arena, "%s\n", text);
    free(text);
    if (copy == NULL) {
        return qn_fail_nomem(err, "config.json", 0);
    }
    *out = qn_text_of(copy);
    return QN_OK;
}

static qn_status make_side_files(qn_model *model, const qn_model_request *request, qn_error *err) {
    qn_vocab_file made[QN_MAX_VOCAB_FILES];
    uint64_t n = 0;
    if (!request->without_vocab) {
        const qn_status status = qn_vocab_files(&model->meta, model->arena, made, &n, err);
        if (status != QN_OK) {
            return qn_fail_at(err, status, "%s", model->path);
        }
    }
    qn_side_file *files = qn_arena_array(model->arena, n + 1, sizeof *files);
    if (files == NULL) {
        return qn_fail_nomem(err, "side files", 0);
    }
    files[0].name = "config.json";
    QN_TRY(write_config(model, request, &files[0].bytes, err));
    for (uint64_t i = 0; i < n; i++) {
        files[i + 1] = (qn_side_file){.name = made[i].name, .bytes = made[i].bytes};
    }
    model->side_files = files;
    model->n_side_files = n + 1;
    return QN_OK;
}

static qn_status fill_of_gguf(qn_model *model, const qn_model_request *request, qn_error *err) {
    qn_slots slots;
    qn_layer_map layers;
    uint64_t n_vocab = 0;
    QN_TRY(qn_model_read_gguf(model, request, true, err));
    QN_TRY(qn_model_open_adapters(model, request, err));
    QN_TRY(qn_model_new_slots(model, request, &layers, &slots, err));
    slots.base_is_gguf = true;
    slots.wants_hf = true;
    QN_TRY(qn_model_fill_slots_gguf(&slots, model, true, err));
    QN_TRY(qn_slots_apply(&slots, model, request->job, err));
    QN_TRY(qn_model_count_vocab(&slots, model, NULL, &n_vocab, err));
    QN_TRY(qn_model_check_vocab(&slots, model, n_vocab, err));
    QN_TRY(qn_slots_check(&slots, model, n_vocab, err));
    QN_TRY(make_room(model, slots.n, err));
    for (uint64_t i = 0; i < slots.n; i++) {
        QN_TRY(qn_slot_build(&slots, &slots.slots[i], model, n_vocab, err));
    }
    qn_model_cut_layers(model, &layers);
    const qn_slot *output = qn_slots_named(&slots, "output.weight");
    model->hparams.is_tied = output == NULL || (qn_slot_source(output) == NULL);
    QN_TRY(make_side_files(model, request, err));
    return qn_meta_status(&model->meta, err);
}

/* ---- of a folder ---- */

/* The checkpoint's tensors in its order, then those that only the adapters bring. */
static qn_status add_own(const qn_slots *slots, qn_model *model, uint64_t n_vocab, qn_error *err) {
    const uint64_t n = qn_archive_n_tensors(model->archive);
    QN_TRY(make_room(model, n + slots->n, err));
    for (uint64_t i = 0; i < n; i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(model->archive, i);
        qn_tensor_match match = {0};
        (void)qn_arch_match(model->arch, t->name, &match); /* all have a place: they were put there */
        const qn_slot *slot = match.rule == NULL ? NULL : qn_slots_at(slots, &match);
        if (slot != NULL && slot->base == t) {
            QN_TRY(qn_slot_build(slots, slot, model, n_vocab, err));
        } else if (slot == NULL && qn_arch_is_beside(model->arch, t->name)) {
            QN_TRY(qn_model_add_raw(model, t, t->name, err));
        }
    }
    for (uint64_t i = 0; i < slots->n; i++) {
        if (slots->slots[i].base == NULL) {
            QN_TRY(qn_slot_build(slots, &slots->slots[i], model, n_vocab, err));
        }
    }
    return QN_OK;
}

static qn_status fill_of_folder(qn_model *model, const qn_model_request *request, qn_error *err) {
    const json_t *text = NULL;
    qn_slots slots;
    qn_layer_map layers;
    uint64_t n_vocab = 0;
    if (request->n_overrides > 0) {
        return qn_fail(err, QN_E_USAGE,
                       "%s: override '%.200s' is of GGUF metadata, and a Hugging Face folder to a folder has none",
                       request->dir, request->overrides[0]);
    }
    QN_TRY(qn_model_read_config(model, request->dir, &text, err));
    QN_TRY(qn_safetensors_open_folder(request->dir, &model->archive, err));
    QN_TRY(qn_model_open_adapters(model, request, err));
    QN_TRY(qn_model_new_slots(model, request, &layers, &slots, err));
    slots.wants_hf = true;
    QN_TRY(qn_slots_fill(&slots, model->archive, request->dir, err));
    QN_TRY(qn_slots_apply(&slots, model, request->job, err));
    QN_TRY(qn_model_count_vocab(&slots, model, request->job, &n_vocab, err));
    QN_TRY(qn_slots_check(&slots, model, n_vocab, err));
    QN_TRY(add_own(&slots, model, n_vocab, err));
    qn_model_cut_layers(model, &layers);
    const qn_slot *output = qn_slots_named(&slots, "output.weight");
    const bool unties = model->hparams.is_tied && output != NULL && qn_slot_is_changed(&slots, output, model);
    model->hparams.is_tied = model->hparams.is_tied && !unties;
    return qn_model_list_side_files(model, request, text, &layers, unties, err);
}

qn_status qn_model_open_hf(const qn_model_request *request, qn_model **out, qn_error *err) {
    qn_model *model = NULL;
    QN_TRY(qn_model_new(request->dir, &model, err));
    const qn_status status = qn_is_file(request->dir) ? fill_of_gguf(model, request, err)
                                                      : fill_of_folder(model, request, err);
    if (status != QN_OK) {
        qn_model_close(model);
        return status;
    }
    *out = model;
    return QN_OK;
}
