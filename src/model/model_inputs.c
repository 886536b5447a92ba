/* SPDX-License-Identifier: MIT */
/*
 * model_inputs.c: finds what packing and running are asked for by the same rules: a base as named or as an adapter's
 * config names it, the checkpoint of a run, adapters in their order.
 */
#include "model/model_inputs.h"

#include "base/worker.h"

#include <string.h>

enum { MAX_CONFIG_BYTES = 64 << 20 };

/** Inputs being found. */
typedef struct search {
    const qn_input_request *request;
    qn_arena *arena;
    qn_model_inputs *in;
} search;

static qn_status nomem(qn_error *err) {
    return qn_fail_nomem(err, "inputs", 0);
}

/* A folder or a GGUF file as given, or a Hub name in the local cache. */
static qn_status find_dir(search *s, const char *name, const char **dir, qn_error *err) {
    if (qn_is_dir(name) || qn_is_file(name)) {
        *dir = qn_arena_string(s->arena, name);
        return *dir == NULL ? nomem(err) : QN_OK;
    }
    return qn_find_base(s->arena, name, NULL,
                        "a folder, a GGUF file, or the name of a model in the Hugging Face cache is expected", dir,
                        err);
}

static qn_status add_adapter(search *s, const char *dir, double strength, qn_error *err) {
    qn_adapter_ref *ref = &s->in->adapters[s->in->n_adapters++];
    ref->dir = qn_arena_string(s->arena, dir);
    ref->strength = strength;
    return ref->dir == NULL ? nomem(err) : QN_OK;
}

/* Picks the run's checkpoint: an adapter to merge, or a whole model that takes the base's place. */
static qn_status open_run(search *s, qn_error *err) {
    qn_model_inputs *in = s->in;
    QN_TRY(qn_run_open(s->request->run, &in->run, err));
    QN_TRY(qn_run_pick(in->run, s->request->checkpoint, &in->checkpoint, &in->checkpoint_why, err));
    if (in->checkpoint->kind == QN_RUN_KIND_ADAPTER) {
        return add_adapter(s, in->checkpoint->dir, 1.0, err);
    }
    in->base_dir = in->checkpoint->dir;
    return QN_OK;
}

/* What can be done where the base of an adapter is not found. */
static const char *remedy_of(const qn_input_request *request) {
    if (request->remedy != NULL) {
        return request->remedy;
    }
    return request->run != NULL ? "pass the base model's folder, too: BASE --run DIR"
                                : "pass the base model's folder, too: BASE --adapter DIR";
}

/* The base as named, or as the first adapter's config names it. */
static qn_status find_base(search *s, const char *base, qn_error *err) {
    qn_model_inputs *in = s->in;
    if (in->base_dir != NULL) { /* a full fine-tune: what BASE names helps out with vocabulary files */
        return base == NULL ? QN_OK : find_dir(s, base, &in->fallback_dir, err);
    }
    if (base != NULL) {
        QN_TRY(find_dir(s, base, &in->base_dir, err));
        in->is_file = qn_is_file(in->base_dir);
        return QN_OK;
    }
    if (in->n_adapters == 0) {
        return qn_fail(err, QN_E_USAGE,
                       "no model is named: name a base model's folder, a training run (--run) or an adapter "
                       "(--adapter)");
    }
    const char *dir = in->adapters[0].dir;
    const char *path = qn_path_join(s->arena, dir, "adapter_config.json");
    json_t *config = NULL;
    if (path == NULL) {
        return nomem(err);
    }
    QN_TRY(qn_json_load_object(path, MAX_CONFIG_BYTES, &config, err));
    const qn_status status = qn_find_base(s->arena, qn_json_string(config, "base_model_name_or_path"), dir,
                                          remedy_of(s->request), &in->base_dir, err);
    json_decref(config);
    return status;
}

/*
 * A merged or fine-tuned folder often lacks the vocabulary; the model it was made of, where its config names one that
 * is at hand, is asked then. Not finding it is no failure: nothing may be missing.
 */
static qn_status find_fallback(search *s, qn_error *err) {
    qn_model_inputs *in = s->in;
    const char *path = qn_path_join(s->arena, in->base_dir, "config.json");
    json_t *config = NULL;
    qn_error ignored;
    if (path == NULL) {
        return nomem(err);
    }
    if (in->is_file || in->fallback_dir != NULL ||
        qn_json_load_object(path, MAX_CONFIG_BYTES, &config, &ignored) != QN_OK) {
        return QN_OK;
    }
    const char *name = qn_json_string(config, "_name_or_path");
    qn_status status = QN_OK;
    if (name != NULL && name[0] != '\0') {
        status = qn_find_base(s->arena, name, in->base_dir, "", &in->fallback_dir, &ignored);
    }
    json_decref(config);
    if (status != QN_OK) {
        in->fallback_dir = NULL;
    }
    return status == QN_E_NOMEM ? nomem(err) : QN_OK;
}

/* What a person most likely meant when the folder named as BASE is an adapter. */
static bool is_adapter_alone(const char *dir) {
    qn_arena *arena = qn_arena_new();
    const char *config = arena == NULL ? NULL : qn_path_join(arena, dir, "config.json");
    const bool is_alone = config != NULL && qn_is_adapter_dir(dir) && !qn_is_file(config);
    qn_arena_free(arena);
    return is_alone;
}

qn_status qn_model_find_inputs(const qn_input_request *request, qn_arena *arena, qn_job *job, qn_model_inputs *out,
                               qn_error *err) {
    search s = {.request = request, .arena = arena, .in = out};
    const char *base = request->base;
    *out = (qn_model_inputs){.adapters = qn_arena_array(arena, request->n_adapters + 2, sizeof *out->adapters)};
    if (out->adapters == NULL) {
        return nomem(err);
    }
    if (request->checkpoint != NULL && request->run == NULL) {
        return qn_fail(err, QN_E_USAGE, "--checkpoint picks from a training run: pass --run too");
    }
    if (request->run != NULL) {
        QN_TRY(open_run(&s, err));
    }
    if (base != NULL && is_adapter_alone(base)) {
        qn_job_note(job, "%s is an adapter, not a model: it is merged into the base it names", base);
        QN_TRY(add_adapter(&s, base, 1.0, err));
        base = NULL;
    }
    for (uint64_t i = 0; i < request->n_adapters; i++) {
        QN_TRY(add_adapter(&s, request->adapters[i].dir, request->adapters[i].strength, err));
    }
    QN_TRY(find_base(&s, base, err));
    return find_fallback(&s, err);
}
