/* SPDX-License-Identifier: MIT */
/* chat_model.c: a file is mapped and its adapters run beside it; a folder is encoded, and PEFT folders merged in. */
#include "engine/chat_model.h"

#include "base/file.h"
#include "base/residence.h"
#include "engine/recipe_provider.h"

#include <string.h>

/** A conversation's model being opened. */
typedef struct opener {
    const qn_chat_options *options;
    const char *remedy;
    qn_chat_model *out;
    qn_job *job;
    qn_adapter_ref *files; /* GGUF adapters */
    uint64_t n_files;
} opener;

/* A folder that is neither a model nor an adapter can only be a training run. */
static qn_status is_run(const opener *o, const char *path, bool *is, qn_error *err) {
    const char *config = path == NULL ? NULL : qn_path_join(o->out->arena, path, "config.json");
    *is = false;
    if (path == NULL || !qn_is_dir(path)) {
        return QN_OK;
    }
    if (config == NULL) {
        return qn_fail_nomem(err, path, 0);
    }
    *is = !qn_is_file(config) && !qn_is_adapter_dir(path);
    return QN_OK;
}

/* Other names may be those of models in the local cache. */
static qn_status check_path(const char *path, qn_error *err) {
    if (path == NULL || !qn_ends_with(path, ".gguf") || qn_is_file(path) || qn_is_dir(path)) {
        return QN_OK;
    }
    return qn_fail(err, QN_E_NOT_FOUND, "%s: No such file or directory", path);
}

/* Finds base and PEFT folders; GGUF adapters are put aside. */
static qn_status find_inputs(opener *o, qn_error *err) {
    const qn_chat_options *wanted = o->options;
    qn_input_request request = {
        .base = wanted->path, .run = wanted->run, .checkpoint = wanted->checkpoint, .remedy = o->remedy};
    qn_adapter_ref *dirs = qn_arena_array(o->out->arena, wanted->n_adapters, sizeof *dirs);
    o->files = qn_arena_array(o->out->arena, wanted->n_adapters, sizeof *o->files);
    bool base_is_run = false;
    const bool is_named = wanted->path != NULL ? wanted->path[0] != '\0'
                                               : wanted->run != NULL || wanted->n_adapters > 0;
    if (!is_named) {
        return qn_fail(err, QN_E_USAGE,
                       "no model is named: pass a GGUF file, a model's folder, a training run or an adapter");
    }
    if (dirs == NULL || o->files == NULL) {
        return qn_fail_nomem(err, "adapters", wanted->n_adapters * sizeof *dirs);
    }
    for (size_t i = 0; i < wanted->n_adapters; i++) {
        const qn_adapter_ref ref = {wanted->adapters[i].path, wanted->adapters[i].scale};
        if (qn_is_file(ref.dir)) {
            o->files[o->n_files++] = ref;
        } else if (qn_is_dir(ref.dir)) {
            dirs[request.n_adapters++] = ref;
        } else {
            return qn_fail(err, QN_E_NOT_FOUND, "%s: there is no such adapter, neither a folder nor a file", ref.dir);
        }
    }
    request.adapters = dirs;
    QN_TRY(check_path(request.base, err));
    QN_TRY(is_run(o, request.base, &base_is_run, err));
    if (base_is_run && request.run == NULL) {
        request.run = request.base;
        request.base = NULL;
    }
    return qn_model_find_inputs(&request, o->out->arena, o->job, &o->out->inputs, err);
}

static qn_status open_file(const opener *o, qn_provider *provider, qn_error *err) {
    const char *path = o->out->inputs.base_dir;
    if (o->options->type != NULL) {
        return qn_fail(
            err, QN_E_USAGE,
            "%s: is a file, whose weights stay as they are: -t is for folders; `quern quantize` makes a file "
            "of another type",
            path);
    }
    QN_TRY(qn_provider_open(path, provider, err));
    const char *kind = qn_meta_string(provider->meta, "general.type");
    if (kind != NULL && strcmp(kind, "adapter") == 0) {
        provider->close(provider->self);
        return qn_fail(err, QN_E_USAGE, "%s: is an adapter: name the model, and pass this with --adapter", path);
    }
    return QN_OK;
}

static qn_status open_lora(opener *o, const qn_adapter_ref *ref, const char *arch, qn_error *err) {
    qn_chat_model *out = o->out;
    QN_TRY(qn_lora_open(ref->dir, ref->strength, out->inputs.base_dir, arch, o->job, &out->loras[out->n_loras], err));
    out->n_loras++;
    return QN_OK;
}

/* Adapters at run time: files, and folders unless they were merged. */
static qn_status open_loras(opener *o, const char *arch, qn_error *err) {
    qn_chat_model *out = o->out;
    const uint64_t n_dirs = out->model == NULL ? out->inputs.n_adapters : 0;
    out->loras = qn_arena_array(out->arena, n_dirs + o->n_files, sizeof *out->loras);
    if (out->loras == NULL) {
        return qn_fail_nomem(err, "adapters", (size_t)(n_dirs + o->n_files) * sizeof *out->loras);
    }
    for (uint64_t i = 0; i < n_dirs; i++) {
        QN_TRY(open_lora(o, &out->inputs.adapters[i], arch, err));
    }
    for (uint64_t i = 0; i < o->n_files; i++) {
        QN_TRY(open_lora(o, &o->files[i], arch, err));
    }
    return QN_OK;
}

static qn_status engine_options_of(const qn_chat_options *options, qn_engine_options *out, qn_error *err) {
    *out = (qn_engine_options){.n_ctx = options->n_ctx, .n_batch = options->n_batch};
    out->is_kv_typed = options->kv_type != NULL;
    if (out->is_kv_typed && !qn_dtype_find(options->kv_type, &out->kv_type)) {
        return qn_fail(err, QN_E_USAGE, "keys and values cannot be kept as '%.40s'; F16, Q8_0, BF16 and F32 can",
                       options->kv_type);
    }
    return QN_OK;
}

static qn_status open_file_with_loras(opener *o, qn_provider *provider, qn_error *err) {
    QN_TRY(open_file(o, provider, err));
    const char *arch = qn_meta_string(provider->meta, "general.architecture");
    const qn_status status = open_loras(o, arch == NULL ? "" : arch, err);
    if (status != QN_OK) {
        provider->close(provider->self);
    }
    return status;
}

/* Encoding takes time: what can fail without it comes first. */
static qn_status open_folder_with_loras(opener *o, const qn_engine_options *engine_options, qn_provider *provider,
                                        qn_error *err) {
    const qn_model_inputs *in = &o->out->inputs;
    const char *run_dir = in->run == NULL ? NULL : in->run->dir;
    const qn_model_request request = {.dir = in->base_dir,
                                      .adapters = in->adapters,
                                      .n_adapters = in->n_adapters,
                                      .extra_dirs = &run_dir,
                                      .n_extra_dirs = run_dir == NULL ? 0 : 1,
                                      .fallback_dir = in->fallback_dir,
                                      .job = o->job};
    const qn_recipe_provider_options how = {.type = o->options->type, .max_bytes = qn_available_bytes()};
    qn_graph graph;
    QN_TRY(qn_model_open(&request, &o->out->model, err));
    QN_TRY(qn_graph_read(in->base_dir, &o->out->model->meta, o->out->arena, &graph, err));
    QN_TRY(qn_engine_check_options(in->base_dir, &graph, engine_options, err));
    QN_TRY(open_loras(o, o->out->model->arch_name, err));
    return qn_recipe_provider_open(o->out->model, &how, o->job, provider, err);
}

qn_status qn_chat_model_open(const qn_chat_options *options, const char *remedy, qn_job *job, qn_chat_model *out,
                             qn_engine **engine, qn_error *err) {
    opener o = {.options = options, .remedy = remedy, .out = out, .job = job};
    qn_engine_options how;
    qn_provider provider;
    out->arena = qn_arena_new();
    if (out->arena == NULL) {
        return qn_fail_nomem(err, "a conversation", 0);
    }
    QN_TRY(engine_options_of(options, &how, err));
    QN_TRY(find_inputs(&o, err));
    QN_TRY(out->inputs.is_file ? open_file_with_loras(&o, &provider, err)
                               : open_folder_with_loras(&o, &how, &provider, err));
    how.loras = (const qn_lora *const *)out->loras;
    how.n_loras = out->n_loras;
    return qn_engine_open_provider(&provider, &how, job, engine, err);
}

void qn_chat_model_clear(qn_chat_model *model) {
    for (uint64_t i = 0; i < model->n_loras; i++) {
        qn_lora_close(model->loras[i]);
    }
    qn_model_close(model->model);
    qn_run_close(model->inputs.run);
    qn_arena_free(model->arena);
    *model = (qn_chat_model){0};
}
