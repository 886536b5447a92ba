/* SPDX-License-Identifier: MIT */
/*
 * model_gguf.c: opens a GGUF file as one model, adapters merged in.
 *
 * Without adapters every tensor is taken as it is, of whatever family. With them the tensors are put into the slots of
 * the family's table, under their GGUF names, and those that the adapters change get new recipes; a GGUF tensor needs
 * no transformation, what the adapters bring does.
 */
#include "model/model_parts.h"

#include "base/worker.h"

#include <stdio.h>
#include <string.h>

static void copy_meta(qn_model *model) {
    const qn_meta *meta = qn_archive_meta(model->archive);
    for (uint64_t i = 0; i < meta->n; i++) {
        qn_meta_set(&model->meta, meta->entries[i].key, meta->entries[i].value);
    }
    const char *arch = qn_meta_string(&model->meta, "general.architecture");
    model->arch_name = arch == NULL ? "" : arch;
}

qn_status qn_model_add_raw(qn_model *model, const qn_archive_tensor *t, const char *name, qn_error *err) {
    const uint64_t rows = qn_shape_rows(&t->shape);
    const uint64_t cols = qn_shape_cols(&t->shape);
    qn_model_tensor *out = &model->tensors[model->n_tensors];
    *out = (qn_model_tensor){.name = name, .source = t->name, .shape = t->shape};
    out->recipe = qn_recipe_bytes(model->arena, t->file, t->file_off, t->type, rows, cols);
    if (out->recipe == NULL) {
        return qn_fail_nomem(err, t->name, 0);
    }
    model->n_weights += rows * cols;
    model->n_tensors++;
    return QN_OK;
}

static qn_status make_room(qn_model *model, uint64_t n, qn_error *err) {
    model->tensors = qn_arena_array(model->arena, n, sizeof *model->tensors);
    return model->tensors == NULL ? qn_fail_nomem(err, model->path, (size_t)n * sizeof *model->tensors) : QN_OK;
}

static qn_status add_all_raw(qn_model *model, qn_error *err) {
    const uint64_t n = qn_archive_n_tensors(model->archive);
    QN_TRY(make_room(model, n, err));
    for (uint64_t i = 0; i < n; i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(model->archive, i);
        QN_TRY(qn_model_add_raw(model, t, t->name, err));
    }
    return QN_OK;
}

qn_status qn_model_open_gguf(const char *path, qn_model **out, qn_error *err) {
    qn_model *model = NULL;
    QN_TRY(qn_model_new(path, &model, err));
    const qn_model_request request = {.dir = path, .without_vocab = true};
    qn_status status = qn_model_open_file(&request, &model->archive, err);
    if (status == QN_OK) {
        copy_meta(model);
        status = add_all_raw(model, err);
    }
    if (status == QN_OK) {
        status = qn_meta_status(&model->meta, err);
    }
    if (status != QN_OK) {
        qn_model_close(model);
        return status;
    }
    *out = model;
    return QN_OK;
}

qn_status qn_model_read_gguf(qn_model *model, const qn_model_request *request, bool needs_arch, qn_error *err) {
    QN_TRY(qn_model_open_file(request, &model->archive, err));
    copy_meta(model);
    qn_meta_remove(&model->meta, "general.alignment"); /* of the file that was read */
    QN_TRY(qn_model_override(model, request, err));
    QN_TRY(qn_meta_status(&model->meta, err));
    const qn_arch *arch = qn_arch_of_meta(&model->meta);
    if (arch == NULL) {
        return !needs_arch ? QN_OK
                           : qn_fail(err, QN_E_UNSUPPORTED,
                                     "%s: is of family '%.60s', which quern has no table for: its tensors can be "
                                     "copied and quantised, but not merged with adapters or written for Hugging Face",
                                     model->path, model->arch_name);
    }
    const qn_status status = qn_hparams_from_gguf(arch, model->archive, &model->meta, model->arena, &model->hparams,
                                                  needs_arch ? err : NULL);
    if (status != QN_OK) {
        model->hparams = (qn_hparams){0};
        return needs_arch || status == QN_E_NOMEM || status == QN_E_IO ? qn_fail_at(err, status, "%s", model->path)
                                                                       : QN_OK;
    }
    model->arch = arch;
    return QN_OK;
}

/* Whether a tensor is one that the family makes from hyper-parameters. */
static qn_status is_made(const qn_model *model, const char *name, bool *is, qn_error *err) {
    qn_generated made[QN_MAX_GENERATED];
    size_t n = 0;
    *is = false;
    if (model->arch->generate != NULL) {
        QN_TRY(model->arch->generate(&model->hparams, model->arena, made, &n, err));
    }
    for (size_t i = 0; i < n; i++) {
        *is = *is || strcmp(made[i].name, name) == 0;
    }
    return QN_OK;
}

qn_status qn_model_fill_slots_gguf(const qn_slots *slots, qn_model *model, bool is_strict, qn_error *err) {
    for (uint64_t i = 0; i < qn_archive_n_tensors(model->archive); i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(model->archive, i);
        qn_tensor_match match;
        bool is_generated = false;
        qn_slot *slot = qn_arch_match_gguf(model->arch, t->name, &match) ? qn_slots_at(slots, &match) : NULL;
        if (slot != NULL) {
            const uint64_t n = qn_rule_is_per_expert(slot->rule) ? slots->n_expert : 1;
            for (uint64_t e = 0; e < n; e++) { /* those of a stack stand together */
                slot[e].base = t;
            }
            continue;
        }
        QN_TRY(is_made(model, t->name, &is_generated, err));
        if (is_strict && !is_generated) {
            return qn_fail(err, QN_E_UNSUPPORTED,
                           "%s: tensor '%s' has no place in a %s model of %llu layers: Hugging Face's class has no "
                           "such weight",
                           qn_file_path(t->file), t->name, model->arch->label, (unsigned long long)slots->n_layer);
        }
    }
    return QN_OK;
}

qn_status qn_model_check_vocab(const qn_slots *slots, const qn_model *model, uint64_t n_vocab, qn_error *err) {
    const qn_slot *embed = qn_slots_named(slots, "token_embd.weight");
    if (embed->base == NULL || qn_shape_rows(&embed->base->shape) == n_vocab) {
        return QN_OK;
    }
    return qn_fail(err, QN_E_SHAPE,
                   "%s: has %llu tokens, and the adapter brings an embedding of %llu: merge it into the Hugging Face "
                   "folder that it was trained on",
                   model->path, (unsigned long long)qn_shape_rows(&embed->base->shape), (unsigned long long)n_vocab);
}

/* The file's tensors in their order, those that an adapter changes by their slots; then those it brings to life. */
static qn_status add_merged(const qn_slots *slots, qn_model *model, uint64_t n_vocab, qn_error *err) {
    const uint64_t n = qn_archive_n_tensors(model->archive);
    QN_TRY(make_room(model, n + slots->n, err));
    for (uint64_t i = 0; i < n; i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(model->archive, i);
        qn_tensor_match match;
        qn_slot *slot = qn_arch_match_gguf(model->arch, t->name, &match) ? qn_slots_at(slots, &match) : NULL;
        QN_TRY(slot != NULL && qn_slot_is_changed(slots, slot, model) ? qn_slot_build(slots, slot, model, n_vocab, err)
                                                                      : qn_model_add_raw(model, t, t->name, err));
    }
    for (uint64_t i = 0; i < slots->n; i++) {
        if (slots->slots[i].base == NULL) {
            QN_TRY(qn_slot_build(slots, &slots->slots[i], model, n_vocab, err));
        }
    }
    return QN_OK;
}

static qn_status merge(qn_model *model, const qn_model_request *request, qn_error *err) {
    qn_slots slots;
    uint64_t n_vocab = 0;
    QN_TRY(qn_slots_new(model->arch, &model->hparams, model->n_adapters, model->arena, &slots, err));
    slots.base_is_gguf = true;
    QN_TRY(qn_model_fill_slots_gguf(&slots, model, false, err));
    QN_TRY(qn_slots_apply(&slots, model, request->job, err));
    QN_TRY(qn_model_count_vocab(&slots, model, NULL, &n_vocab, err));
    QN_TRY(qn_model_check_vocab(&slots, model, n_vocab, err));
    QN_TRY(qn_slots_check(&slots, model, n_vocab, err));
    return add_merged(&slots, model, n_vocab, err);
}

static qn_status leave_out_layers(qn_model *model, const qn_model_request *request, qn_error *err) {
    char key[256];
    uint64_t n_layer = 0;
    qn_layer_map layers;
    if (request->n_pruned_layers == 0) {
        return QN_OK;
    }
    (void)snprintf(key, sizeof key, "%s.block_count", model->arch_name);
    if (!qn_meta_u64(&model->meta, key, &n_layer) || n_layer == 0 || n_layer > 1 << 20) {
        return qn_fail(err, QN_E_FORMAT, "%s: metadata key '%s' does not tell how many layers there are", model->path,
                       key);
    }
    QN_TRY(qn_layers_keep(request, n_layer, model->arena, &layers, err));
    QN_TRY(qn_model_cut_blocks(model, &layers, err));
    qn_model_cut_layers(model, &layers);
    return QN_OK;
}

qn_status qn_model_fill_gguf(qn_model *model, const qn_model_request *request, qn_error *err) {
    QN_TRY(qn_model_read_gguf(model, request, request->n_adapters > 0, err));
    if (request->n_adapters > 0) {
        QN_TRY(qn_model_open_adapters(model, request, err));
        QN_TRY(merge(model, request, err));
    } else {
        QN_TRY(add_all_raw(model, err));
    }
    QN_TRY(leave_out_layers(model, request, err));
    return qn_meta_status(&model->meta, err);
}
