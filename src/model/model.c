/* SPDX-License-Identifier: MIT */
/*
 * model.c: opens a Hugging Face folder, adapters merged in, as one model.
 *
 * Order: config, family, hyper-parameters, headers of the weights, adapters, places of all tensors, vocabulary,
 * recipes, metadata. Nothing of the weights is read.
 */
#include "model/model.h"

#include "base/worker.h"
#include "container/gguf.h"
#include "container/safetensors.h"
#include "model/model_tensors.h"

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

static qn_status new_model(const char *path, qn_model **out, qn_error *err) {
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

/* Reads config.json, finds the family and its hyper-parameters. @param text out: the text model's part */
static qn_status read_config(qn_model *model, const char *dir, const json_t **text, qn_error *err) {
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

static qn_status open_adapters(qn_model *model, const qn_model_request *request, qn_error *err) {
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

/* Rows of the embedding, which the vocabulary and the output matrix must have too. */
static qn_status count_vocab(const qn_slots *slots, qn_model *model, qn_job *job, uint64_t *n_vocab, qn_error *err) {
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

static qn_status fill_model(qn_model *model, const qn_model_request *request, qn_error *err) {
    const json_t *text = NULL;
    qn_slots slots;
    uint64_t n_vocab = 0;
    QN_TRY(read_config(model, request->dir, &text, err));
    QN_TRY(qn_safetensors_open_folder(request->dir, &model->archive, err));
    QN_TRY(open_adapters(model, request, err));
    const qn_status status = qn_slots_new(model->arch, qn_hp_count(&model->hparams, QN_HP_N_LAYER), model->n_adapters,
                                          model->arena, &slots, err);
    if (status != QN_OK) {
        return qn_fail_at(err, status, "%s", request->dir);
    }
    QN_TRY(qn_slots_fill(&slots, model->archive, request->dir, err));
    QN_TRY(qn_slots_apply(&slots, model, request->job, err));
    QN_TRY(count_vocab(&slots, model, request->job, &n_vocab, err));
    QN_TRY(qn_slots_check(&slots, model, n_vocab, err));
    if (!request->without_vocab) {
        QN_TRY(fit_vocab(model, request, text, &n_vocab, err));
    }
    QN_TRY(qn_slots_build(&slots, model, n_vocab, err));
    const char *name = request->name != NULL ? request->name : qn_path_base(model->arena, request->dir);
    if (name == NULL) {
        return qn_fail_nomem(err, request->dir, 0);
    }
    write_meta(model, name);
    return qn_meta_status(&model->meta, err);
}

qn_status qn_model_open(const qn_model_request *request, qn_model **out, qn_error *err) {
    qn_model *model = NULL;
    QN_TRY(new_model(request->dir, &model, err));
    const qn_status status = fill_model(model, request, err);
    if (status != QN_OK) {
        qn_model_close(model);
        return status;
    }
    *out = model;
    return QN_OK;
}

static qn_status fill_gguf(qn_model *model, qn_error *err) {
    QN_TRY(qn_gguf_open(model->path, &model->archive, err));
    const qn_meta *meta = qn_archive_meta(model->archive);
    for (uint64_t i = 0; i < meta->n; i++) {
        qn_meta_set(&model->meta, meta->entries[i].key, meta->entries[i].value);
    }
    const char *arch = qn_meta_string(&model->meta, "general.architecture");
    model->arch_name = arch == NULL ? "" : arch;
    const uint64_t n = qn_archive_n_tensors(model->archive);
    model->tensors = qn_arena_array(model->arena, n, sizeof *model->tensors);
    if (model->tensors == NULL) {
        return qn_fail_nomem(err, model->path, (size_t)n * sizeof *model->tensors);
    }
    for (uint64_t i = 0; i < n; i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(model->archive, i);
        const uint64_t rows = qn_shape_rows(&t->shape);
        const uint64_t cols = qn_shape_cols(&t->shape);
        model->tensors[i] = (qn_model_tensor){.name = t->name, .source = t->name, .shape = t->shape};
        model->tensors[i].recipe = qn_recipe_bytes(model->arena, t->file, t->file_off, t->type, rows, cols);
        if (model->tensors[i].recipe == NULL) {
            return qn_fail_nomem(err, t->name, 0);
        }
        model->n_weights += rows * cols;
        model->n_tensors++;
    }
    return qn_meta_status(&model->meta, err);
}

qn_status qn_model_open_gguf(const char *path, qn_model **out, qn_error *err) {
    qn_model *model = NULL;
    QN_TRY(new_model(path, &model, err));
    const qn_status status = fill_gguf(model, err);
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

/* What a GGUF adapter cannot express is listed, so that the message says what would be lost. */
static qn_status check_exportable(const qn_adapter *adapter, qn_error *err) {
    char list[1024] = "";
    uint64_t n = 0;
    for (uint64_t i = 0; i < adapter->n_parts; i++) {
        const qn_adapter_part *part = &adapter->parts[i];
        const qn_archive_tensor *others[] = {part->magnitude, part->b_bias, part->full_weight, part->full_bias};
        for (size_t k = 0; k < sizeof others / sizeof others[0]; k++) {
            if (others[k] != NULL && n++ < 5) {
                const size_t used = strlen(list);
                (void)snprintf(list + used, sizeof list - used, "%s'%.160s'", n == 1 ? "" : ", ", others[k]->name);
            }
        }
    }
    if (n == 0) {
        return QN_OK;
    }
    return qn_fail(err, QN_E_UNSUPPORTED,
                   "%s: a GGUF adapter file holds low-rank pairs only, and this adapter has %llu other tensors (DoRA "
                   "magnitudes, trained biases or modules): %s%s. Merge it instead: --preset merge-quantize",
                   adapter->dir, (unsigned long long)n, list, n > 5 ? ", …" : "");
}

static void add_factor(qn_model *model, const char *name, const char *source, const qn_recipe *recipe) {
    qn_model_tensor *t = &model->tensors[model->n_tensors++];
    *t = (qn_model_tensor){.name = name, .source = source, .recipe = recipe};
    t->shape = (qn_shape){2, {qn_recipe_rows(recipe), qn_recipe_cols(recipe)}};
    model->n_weights += qn_recipe_rows(recipe) * qn_recipe_cols(recipe);
}

/* One pair as lora_a and lora_b. The file has one alpha: what differs from alpha / rank is folded into B. */
static qn_status add_pair(qn_model *model, const qn_adapter *adapter, const qn_adapter_part *part, qn_error *err) {
    qn_tensor_match match;
    qn_low_rank pair;
    if (!qn_part_match(model->arch, part, ".weight", &match) ||
        match.layer >= qn_hp_count(&model->hparams, QN_HP_N_LAYER)) {
        return qn_part_unmatched(model->arch, qn_hp_count(&model->hparams, QN_HP_N_LAYER), adapter, part, err);
    }
    if (model->hparams.is_tied && strcmp(match.rule->gguf, "output.weight") == 0) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: changes '%s', which is the embedding in this model: its GGUF has no output "
                       "matrix for an adapter file to change. Merge it instead: --preset merge-quantize",
                       adapter->dir, part->module);
    }
    const uint64_t n_rows = match.rule->rows == QN_DIM_VOCAB ? 0 : qn_arch_dim(match.rule->rows, &model->hparams, 0);
    QN_TRY(qn_adapter_pair(adapter, part, match.rule, &model->hparams, n_rows,
                           qn_arch_dim(match.rule->cols, &model->hparams, 0), model->arena, &pair, err));
    const double file_scale = adapter->alpha / (double)part->rank;
    const qn_recipe *a = pair.right;
    const qn_recipe *b = pair.left;
    if (part->is_embedding) { /* there, lora_a holds a row for each token */
        a = pair.left;
        b = qn_recipe_transpose(model->arena, pair.right);
    }
    const double fold = part->scale * adapter->strength / file_scale;
    if (fold != 1.0) {
        b = qn_recipe_scale(model->arena, b, (float)fold);
    }
    const char *name = qn_rule_name(model->arena, match.rule->gguf, match.layer);
    const char *name_a = name == NULL ? NULL : qn_arena_printf(model->arena, "%s.lora_a", name);
    const char *name_b = name == NULL ? NULL : qn_arena_printf(model->arena, "%s.lora_b", name);
    if (name_a == NULL || name_b == NULL || a == NULL || b == NULL) {
        return qn_fail_nomem(err, part->module, 0);
    }
    add_factor(model, name_a, part->a->name, a);
    add_factor(model, name_b, part->b->name, b);
    return QN_OK;
}

static qn_status fill_adapter(qn_model *model, const qn_adapter_ref *ref, const char *name, qn_job *job,
                              qn_error *err) {
    const json_t *text = NULL;
    const qn_model_request request = {.adapters = ref, .n_adapters = 1, .job = job};
    QN_TRY(read_config(model, model->path, &text, err));
    QN_TRY(open_adapters(model, &request, err));
    const qn_adapter *adapter = model->adapters[0];
    QN_TRY(check_exportable(adapter, err));
    if (adapter->alpha == 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: lora_alpha is 0: the adapter changes nothing", adapter->dir);
    }
    model->tensors = qn_arena_array(model->arena, 2 * adapter->n_parts, sizeof *model->tensors);
    if (model->tensors == NULL) {
        return qn_fail_nomem(err, adapter->dir, (size_t)adapter->n_parts * sizeof *model->tensors);
    }
    for (uint64_t i = 0; i < adapter->n_parts; i++) {
        QN_TRY(add_pair(model, adapter, &adapter->parts[i], err));
    }
    qn_meta_set_string(&model->meta, "general.architecture", model->arch_name);
    qn_meta_set_string(&model->meta, "general.type", "adapter");
    qn_meta_set_string(&model->meta, "adapter.type", "lora");
    qn_meta_set_string(&model->meta, "general.name", name);
    qn_meta_set_f32(&model->meta, "adapter.lora.alpha", (float)adapter->alpha);
    return qn_meta_status(&model->meta, err);
}

qn_status qn_model_open_adapter(const char *base_dir, const qn_adapter_ref *adapter, const char *name, qn_job *job,
                                qn_model **out, qn_error *err) {
    qn_model *model = NULL;
    QN_TRY(new_model(base_dir, &model, err));
    const qn_status status = fill_adapter(model, adapter, name, job, err);
    if (status != QN_OK) {
        qn_model_close(model);
        return status;
    }
    *out = model;
    return QN_OK;
}
