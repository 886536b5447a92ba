/* SPDX-License-Identifier: MIT */
/*
 * model.c: opens a Hugging Face folder, adapters merged in, as one model. (GGUF files: model_gguf.c.)
 *
 * Order: config, family, hyper-parameters, headers of the weights, adapters, places of all tensors, vocabulary,
 * recipes, metadata. Nothing of the weights is read.
 */
#include "model/model.h"

#include "base/worker.h"
#include "container/safetensors.h"
#include "model/model_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 64 << 20, MAX_VOCAB = 1 << 28 };

const char *qn_size_label(uint64_t n_weights, char *buffer, size_t size) {
    static const struct {
        double over;
        double unit;
        const char *suffix;
    } rows[] = {{1e12, 1e12, "T"}, {1e9, 1e9, "B"}, {1e6, 1e6, "M"}, {0, 1e3, "K"}};
    size_t i = 0;
    while ((double)n_weights <= rows[i].over && rows[i].over > 0) {
        i++;
    }
    const double scaled = (double)n_weights / rows[i].unit;
    (void)snprintf(buffer, size, "%.*f%s", scaled < 9.5 ? 1 : 0, scaled, rows[i].suffix);
    return buffer;
}

qn_status qn_model_new(const char *path, qn_model **out, qn_error *err) {
    qn_arena *arena = qn_arena_new();
    qn_model *model = arena == NULL ? NULL : qn_arena_array(arena, 1, sizeof *model);
    if (model == NULL) {
        qn_arena_free(arena);
        return qn_fail_nomem(err, path, sizeof *model);
    }
    model->arena = arena;
    model->meta = qn_meta_new(arena);
    model->path = qn_arena_string(arena, path);
    if (model->path == NULL) {
        qn_model_close(model);
        return qn_fail_nomem(err, path, strlen(path));
    }
    *out = model;
    return QN_OK;
}

qn_dtype qn_model_plain_type(const qn_model *model) {
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        const qn_model_tensor *t = &model->tensors[i];
        if (t->is_generated || t->shape.n_dims < 2 || !qn_ends_with(t->name, ".weight")) {
            continue;
        }
        const qn_dtype type = qn_recipe_source_type(t->recipe);
        const bool is_plain = type == QN_F32 || type == QN_F16 || type == QN_BF16;
        return is_plain ? type : qn_dtype_get((uint32_t)type)->is_quantized ? QN_F16 : QN_F32;
    }
    return QN_F32;
}

void qn_model_close(qn_model *model) {
    if (model == NULL) {
        return;
    }
    for (uint64_t i = 0; i < model->n_adapters; i++) {
        qn_adapter_close(model->adapters[i]);
    }
    qn_archive_close(model->archive);
    json_decref(model->config);
    qn_arena_free(model->arena);
}

qn_status qn_model_read_config(qn_model *model, const char *dir, const json_t **text, qn_error *err) {
    const char *path = qn_path_join(model->arena, dir, "config.json");
    if (path == NULL) {
        return qn_fail_nomem(err, dir, 0);
    }
    if (!qn_is_file(path)) {
        return qn_fail(err, QN_E_NOT_FOUND, "%s: is not a model folder: it has no config.json", dir);
    }
    QN_TRY(qn_json_load_object(path, MAX_CONFIG_BYTES, &model->config, err));
    QN_TRY(qn_arch_find(path, model->config, &model->arch, text, err));
    const json_t *quantized = json_object_get(model->config, "quantization_config");
    if (json_is_object(quantized)) {
        const char *method = qn_json_string(quantized, "quant_method");
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: the weights are quantised already (%.40s); give the model they were made of", path,
                       method == NULL ? "quantization_config" : method);
    }
    QN_TRY(qn_hparams_read(path, *text, model->arch->defaults, model->arch->n_defaults, model->arch->tied_by_default,
                           model->arena, &model->hparams, err));
    /* Files of a text model within a larger one may say how they are tied at the root only. */
    (void)qn_json_bool(model->config, "tie_word_embeddings", &model->hparams.is_tied);
    model->arch_name = model->arch->name;
    return model->arch->derive == NULL ? QN_OK : model->arch->derive(path, *text, &model->hparams, err);
}

qn_status qn_model_open_adapters(qn_model *model, const qn_model_request *request, qn_error *err) {
    model->adapters = qn_arena_array(model->arena, request->n_adapters, sizeof(qn_adapter *));
    if (model->adapters == NULL) {
        return qn_fail_nomem(err, "adapters", (size_t)request->n_adapters * sizeof(qn_adapter *));
    }
    for (uint64_t i = 0; i < request->n_adapters; i++) {
        const qn_adapter_ref *ref = &request->adapters[i];
        QN_TRY(qn_adapter_open(ref->dir, ref->strength, request->job, &model->adapters[i], err));
        model->n_adapters++;
        if (model->adapters[i]->has_dora && ref->strength != 1.0) {
            qn_job_note(request->job, "%s: DoRA with scale %g: the change of each weight is scaled as a whole",
                        ref->dir, ref->strength);
        }
    }
    if (model->n_adapters > 1) {
        for (uint64_t i = 0; i < model->n_adapters; i++) {
            if (model->adapters[i]->has_dora) {
                qn_job_warn(request->job,
                            "%s: a DoRA adapter among several: its norms are taken of the weights as the "
                            "adapters before it left them",
                            model->adapters[i]->dir);
            }
        }
    }
    return QN_OK;
}

qn_status qn_model_count_vocab(const qn_slots *slots, qn_model *model, qn_job *job, uint64_t *n_vocab, qn_error *err) {
    const qn_slot *embed = qn_slots_named(slots, "token_embd.weight");
    const qn_archive_tensor *t = embed == NULL ? NULL : qn_slot_source(embed);
    if (t == NULL || t->shape.n_dims != 2 || t->shape.dims[0] == 0) {
        return qn_fail(err, QN_E_NOT_FOUND, "%s: the weights hold no token embedding '%s'", model->path,
                       embed == NULL ? "token_embd" : embed->rule->hf);
    }
    *n_vocab = t->shape.dims[0];
    if (*n_vocab > MAX_VOCAB) {
        return qn_fail(err, QN_E_FORMAT, "%s: tensor '%s' has %llu rows; vocabularies have at most %d",
                       qn_file_path(t->file), t->name, (unsigned long long)*n_vocab, MAX_VOCAB);
    }
    if (qn_hp_count(&model->hparams, QN_HP_N_VOCAB) != *n_vocab) {
        qn_job_note(job, "the embedding has %llu rows, config.json says vocab_size %llu: the rows count",
                    (unsigned long long)*n_vocab, (unsigned long long)qn_hp_count(&model->hparams, QN_HP_N_VOCAB));
        qn_hp_set(&model->hparams, QN_HP_N_VOCAB, (double)*n_vocab);
    }
    return QN_OK;
}

/* Folders that may hold vocabulary files: what was trained first, then what it was trained from. */
static qn_status open_vocab(qn_model *model, const qn_model_request *request, const json_t *text, uint64_t n_vocab,
                            qn_error *err) {
    const uint64_t most = request->n_adapters + request->n_extra_dirs + 2;
    const char **dirs = qn_arena_array(model->arena, most, sizeof *dirs);
    uint64_t n = 0;
    if (dirs == NULL) {
        return qn_fail_nomem(err, "folder list", (size_t)most * sizeof *dirs);
    }
    for (uint64_t i = request->n_adapters; i > 0; i--) { /* the last adapter's vocabulary is the newest */
        dirs[n++] = request->adapters[i - 1].dir;
    }
    for (uint64_t i = 0; i < request->n_extra_dirs; i++) {
        dirs[n++] = request->extra_dirs[i];
    }
    dirs[n++] = request->dir;
    if (request->fallback_dir != NULL) {
        dirs[n++] = request->fallback_dir;
    }
    const qn_vocab_request wanted = {
        .dirs = dirs,
        .n_dirs = n,
        .config = text,
        .n_vocab = model->arch->cuts_vocab ? 0 : n_vocab,
        .pre = request->pre,
        .traits = &model->arch->vocab,
        .job = request->job,
    };
    QN_TRY(qn_vocab_open(&wanted, model->arena, &model->vocab, err));
    model->has_vocab = true;
    return QN_OK;
}

static void write_meta(qn_model *model, const char *name) {
    char label[32];
    qn_meta_set_string(&model->meta, "general.architecture", model->arch_name);
    qn_meta_set_string(&model->meta, "general.type", "model");
    qn_meta_set_string(&model->meta, "general.name", name);
    qn_meta_set_string(&model->meta, "general.size_label", qn_size_label(model->n_weights, label, sizeof label));
    qn_arch_write_keys(model->arch, &model->hparams, &model->meta);
    if (model->has_vocab) {
        qn_vocab_to_meta(&model->vocab, &model->meta);
    }
}

/* Opens the vocabulary. @param n_vocab rows of the embedding; out: those to keep */
static qn_status fit_vocab(qn_model *model, const qn_model_request *request, const json_t *text, uint64_t *n_vocab,
                           qn_error *err) {
    QN_TRY(open_vocab(model, request, text, *n_vocab, err));
    const uint64_t n_tokens = model->vocab.n_tokens;
    if (n_tokens > *n_vocab) {
        return qn_fail(err, QN_E_SHAPE,
                       "%s: has %llu tokens, but the model's embedding has %llu rows: the tokenizer belongs to "
                       "another model, or tokens were added without resizing the embedding",
                       model->vocab.source, (unsigned long long)n_tokens, (unsigned long long)*n_vocab);
    }
    if (n_tokens < *n_vocab) { /* only families that cut have fewer */
        *n_vocab = n_tokens;
        qn_hp_set(&model->hparams, QN_HP_N_VOCAB, (double)n_tokens);
    }
    return QN_OK;
}

qn_status qn_model_new_slots(qn_model *model, const qn_model_request *request, qn_layer_map *layers, qn_slots *slots,
                             qn_error *err) {
    const uint64_t n_layer = qn_hp_count(&model->hparams, QN_HP_N_LAYER);
    const qn_status status = qn_slots_new(model->arch, &model->hparams, model->n_adapters, model->arena, slots, err);
    if (status != QN_OK) {
        return qn_fail_at(err, status, "%s", model->path);
    }
    slots->layers = layers;
    return qn_layers_keep(request, n_layer, model->arena, layers, err);
}

static qn_status fill_folder(qn_model *model, const qn_model_request *request, qn_error *err) {
    const json_t *text = NULL;
    qn_slots slots;
    qn_layer_map layers;
    uint64_t n_vocab = 0;
    QN_TRY(qn_model_read_config(model, request->dir, &text, err));
    QN_TRY(qn_safetensors_open_folder(request->dir, &model->archive, err));
    QN_TRY(qn_model_open_adapters(model, request, err));
    QN_TRY(qn_model_new_slots(model, request, &layers, &slots, err));
    QN_TRY(qn_slots_fill(&slots, model->archive, request->dir, err));
    QN_TRY(qn_slots_apply(&slots, model, request->job, err));
    QN_TRY(qn_model_count_vocab(&slots, model, request->job, &n_vocab, err));
    QN_TRY(qn_slots_check(&slots, model, n_vocab, err));
    if (!request->without_vocab) {
        QN_TRY(fit_vocab(model, request, text, &n_vocab, err));
    }
    QN_TRY(qn_slots_build(&slots, model, n_vocab, err));
    qn_model_cut_layers(model, &layers);
    const char *name = request->name != NULL ? request->name : qn_path_base(model->arena, request->dir);
    if (name == NULL) {
        return qn_fail_nomem(err, request->dir, 0);
    }
    write_meta(model, name);
    QN_TRY(qn_model_override(model, request, err));
    return qn_meta_status(&model->meta, err);
}

qn_status qn_model_open(const qn_model_request *request, qn_model **out, qn_error *err) {
    qn_model *model = NULL;
    QN_TRY(qn_model_new(request->dir, &model, err));
    const qn_status status = qn_is_file(request->dir) ? qn_model_fill_gguf(model, request, err)
                                                      : fill_folder(model, request, err);
    if (status != QN_OK) {
        qn_model_close(model);
        return status;
    }
    *out = model;
    return QN_OK;
}

qn_status qn_model_open_any(const char *path, qn_model **out, qn_error *err) {
    if (qn_is_dir(path)) {
        return qn_model_open(&(qn_model_request){.dir = path, .without_vocab = true}, out, err);
    }
    return qn_model_open_gguf(path, out, err);
}
