/* SPDX-License-Identifier: MIT */
/* plan_inputs.c: from what the caller named to folders: base, checkpoint, adapters, names. */
#include "pack/plan.h"

#include "base/worker.h"

#include <stdio.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 64 << 20 };

static qn_status nomem(qn_error *err) {
    return qn_fail_nomem(err, "plan", 0);
}

/* A folder or a GGUF file as given, or a Hub name in the local cache. */
static qn_status find_dir(qn_plan *plan, const char *name, const char **dir, qn_error *err) {
    if (qn_is_dir(name) || qn_is_file(name)) {
        *dir = qn_arena_string(plan->arena, name);
        return *dir == NULL ? nomem(err) : QN_OK;
    }
    return qn_find_base(plan->arena, name, NULL, dir, err);
}

static qn_status add_adapter(qn_plan *plan, const char *dir, double strength, qn_error *err) {
    qn_adapter_ref *ref = &plan->inputs.adapters[plan->inputs.n_adapters++];
    ref->dir = qn_arena_string(plan->arena, dir);
    ref->strength = strength;
    return ref->dir == NULL ? nomem(err) : QN_OK;
}

/* Picks the run's checkpoint: an adapter to merge, or a whole model that takes the base's place. */
static qn_status open_run(qn_plan *plan, const qn_pack_options *options, qn_error *err) {
    qn_plan_inputs *in = &plan->inputs;
    QN_TRY(qn_run_open(options->run, &in->run, err));
    QN_TRY(qn_run_pick(in->run, options->checkpoint, &in->checkpoint, &in->checkpoint_why, err));
    if (in->checkpoint->kind == QN_RUN_KIND_ADAPTER) {
        return add_adapter(plan, in->checkpoint->dir, 1.0, err);
    }
    in->base_dir = in->checkpoint->dir;
    return QN_OK;
}

/* The base as named, or as the first adapter's config names it. */
static qn_status find_base(qn_plan *plan, const qn_pack_options *options, qn_error *err) {
    qn_plan_inputs *in = &plan->inputs;
    if (in->base_dir != NULL) { /* a full fine-tune: what BASE names helps out with vocabulary files */
        return options->base == NULL ? QN_OK : find_dir(plan, options->base, &in->fallback_dir, err);
    }
    if (options->base != NULL) {
        QN_TRY(find_dir(plan, options->base, &in->base_dir, err));
        in->is_gguf = qn_is_file(in->base_dir);
        return QN_OK;
    }
    if (in->n_adapters == 0) {
        return qn_fail(err, QN_E_USAGE,
                       "nothing to pack: name a base model's folder, a training run (--run) or an adapter "
                       "(--adapter)");
    }
    const char *dir = in->adapters[0].dir;
    const char *path = qn_path_join(plan->arena, dir, "adapter_config.json");
    json_t *config = NULL;
    if (path == NULL) {
        return nomem(err);
    }
    QN_TRY(qn_json_load_object(path, MAX_CONFIG_BYTES, &config, err));
    const char *name = qn_json_string(config, "base_model_name_or_path");
    const qn_status status = name == NULL
        ? qn_fail(err, QN_E_NOT_FOUND, "%s: does not name its base model; pass its folder: quern pack BASE", path)
        : qn_find_base(plan->arena, name, dir, &in->base_dir, err);
    json_decref(config);
    return status;
}

/*
 * A merged or fine-tuned folder often lacks the vocabulary; the model it was made of, where its config names one that
 * is at hand, is asked then. Not finding it is no failure: nothing may be missing.
 */
static qn_status find_fallback(qn_plan *plan, qn_error *err) {
    qn_plan_inputs *in = &plan->inputs;
    const char *path = qn_path_join(plan->arena, in->base_dir, "config.json");
    json_t *config = NULL;
    qn_error ignored;
    if (path == NULL) {
        return nomem(err);
    }
    if (in->is_gguf || in->fallback_dir != NULL ||
        qn_json_load_object(path, MAX_CONFIG_BYTES, &config, &ignored) != QN_OK) {
        return QN_OK;
    }
    const char *name = qn_json_string(config, "_name_or_path");
    qn_status status = QN_OK;
    if (name != NULL && name[0] != '\0') {
        status = qn_find_base(plan->arena, name, in->base_dir, &in->fallback_dir, &ignored);
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

/*
 * The repository's name of a folder in the Hugging Face cache (…/models--ORG--NAME/snapshots/REVISION), whose own name
 * is a revision; NULL for any other folder.
 */
static const char *hub_name(qn_arena *arena, const char *dir) {
    static const char prefix[] = "models--";
    const char *snapshots = qn_path_parent(arena, dir);
    const char *repository = snapshots == NULL ? NULL : qn_path_parent(arena, snapshots);
    const char *middle = snapshots == NULL ? NULL : qn_path_base(arena, snapshots);
    const char *name = repository == NULL ? NULL : qn_path_base(arena, repository);
    if (middle == NULL || name == NULL || strcmp(middle, "snapshots") != 0 ||
        strncmp(name, prefix, sizeof prefix - 1) != 0) {
        return NULL;
    }
    for (const char *at = strstr(name, "--"); at != NULL; at = strstr(name, "--")) {
        name = at + 2;
    }
    return name;
}

/* Cuts "-00001-of-00003" off a name without its ".gguf". */
static void cut_shard(char *name) {
    const size_t n = strlen(name);
    unsigned no = 0;
    unsigned count = 0;
    int end = 0;
    if (n > 15 && sscanf(name + n - 15, "-%5u-of-%5u%n", &no, &count, &end) == 2 && end == 15) {
        name[n - 15] = '\0';
    }
}

/* Cuts "-Q8_0" or ".f16" off a name. */
static void cut_type(char *name) {
    const size_t n = strlen(name);
    size_t at = n;
    qn_dtype type = QN_F32;
    while (at > 0 && name[at - 1] != '-' && name[at - 1] != '.') {
        at--;
    }
    if (at > 1 && (qn_dtype_find(name + at, &type) || qn_target_find(name + at) != NULL)) {
        name[at - 1] = '\0';
    }
}

/* The model's name out of a file's: "dir/NAME-F16-00001-of-00002.gguf", "dir/NAME.bin". */
static const char *gguf_name(qn_arena *arena, const char *path, bool keeps_type) {
    char *name = qn_path_base(arena, path);
    const size_t n = name == NULL ? 0 : strlen(name);
    if (n > 5 && strcmp(name + n - 5, ".gguf") == 0) {
        name[n - 5] = '\0';
    } else if (n > 4 && strcmp(name + n - 4, ".bin") == 0) {
        name[n - 4] = '\0';
    }
    if (name != NULL) {
        cut_shard(name);
    }
    if (name != NULL && !keeps_type) {
        cut_type(name);
    }
    return name;
}

/* What the outputs are called when neither --name nor a run says. */
static const char *base_name(qn_arena *arena, const qn_plan_inputs *in, const char *preset) {
    const bool is_copy = preset != NULL && strcmp(preset, "copy") == 0;
    const char *name = in->is_gguf ? gguf_name(arena, in->base_dir, is_copy) : hub_name(arena, in->base_dir);
    return name != NULL ? name : qn_path_base(arena, in->base_dir);
}

/* Where the outputs go when --out does not say: beside what was trained; never into the Hub's cache. */
static const char *default_out_dir(qn_arena *arena, const qn_plan_inputs *in, bool to_hf) {
    const char *home = in->run != NULL ? in->run->dir : in->n_adapters > 0 ? in->adapters[0].dir : in->base_dir;
    const bool is_cache = hub_name(arena, home) != NULL;
    if (to_hf) {
        const char *parent = is_cache ? "" : qn_path_parent(arena, home);
        const char *name = qn_arena_printf(arena, "%s-hf", in->model_name);
        return parent == NULL || name == NULL ? NULL : qn_path_join(arena, parent, name);
    }
    if (home == in->base_dir && in->is_gguf) {
        return qn_path_parent(arena, home);
    }
    return qn_path_join(arena, is_cache ? "" : home, "gguf");
}

static qn_status name_outputs(qn_plan *plan, const qn_pack_options *options, qn_error *err) {
    qn_plan_inputs *in = &plan->inputs;
    if (options->name != NULL) {
        in->model_name = qn_arena_string(plan->arena, options->name);
    } else {
        in->model_name = in->run != NULL ? qn_arena_string(plan->arena, in->run->name)
                                         : base_name(plan->arena, in, options->preset);
    }
    if (in->model_name == NULL) {
        return nomem(err);
    }
    in->out_dir = options->out_dir != NULL ? qn_arena_string(plan->arena, options->out_dir)
                                           : default_out_dir(plan->arena, in, options->to_hf);
    if (in->n_adapters > 0) {
        in->adapter_name = qn_path_base(plan->arena, in->adapters[0].dir);
    }
    if (in->out_dir == NULL || (in->n_adapters > 0 && in->adapter_name == NULL)) {
        return nomem(err);
    }
    if (!qn_is_plain_name(in->model_name) || strlen(in->model_name) > 200) {
        return qn_fail(err, QN_E_USAGE, "'%s' cannot name a file: pass --name with a plain name of at most 200 bytes",
                       in->model_name);
    }
    return QN_OK;
}

qn_status qn_plan_find_inputs(qn_plan *plan, const qn_pack_options *options, qn_job *job, qn_error *err) {
    qn_plan_inputs *in = &plan->inputs;
    qn_pack_options wanted = *options;
    in->adapters = qn_arena_array(plan->arena, options->n_adapters + 2, sizeof *in->adapters);
    if (in->adapters == NULL) {
        return nomem(err);
    }
    if (options->checkpoint != NULL && options->run == NULL) {
        return qn_fail(err, QN_E_USAGE, "--checkpoint picks from a training run: pass --run too");
    }
    if (options->run != NULL) {
        QN_TRY(open_run(plan, options, err));
    }
    if (options->base != NULL && is_adapter_alone(options->base)) {
        qn_job_note(job, "%s is an adapter, not a model: it is merged into the base it names", options->base);
        QN_TRY(add_adapter(plan, options->base, 1.0, err));
        wanted.base = NULL;
    }
    for (size_t i = 0; i < options->n_adapters; i++) {
        QN_TRY(add_adapter(plan, options->adapters[i].dir, options->adapters[i].scale, err));
    }
    QN_TRY(find_base(plan, &wanted, err));
    QN_TRY(find_fallback(plan, err));
    return name_outputs(plan, options, err);
}
