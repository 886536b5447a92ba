/* SPDX-License-Identifier: MIT */
/* plan_inputs.c: what is packed and what it is called, from what the caller named. */
#include "pack/plan.h"

#include "model/model_inputs.h"

#include <stdio.h>
#include <string.h>

static qn_status nomem(qn_error *err) {
    return qn_fail_nomem(err, "plan", 0);
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
    if (name == NULL) {
        return NULL;
    }
    if (qn_ends_with(name, ".gguf")) {
        name[strlen(name) - 5] = '\0';
    } else if (qn_ends_with(name, ".bin")) {
        name[strlen(name) - 4] = '\0';
    }
    cut_shard(name);
    if (!keeps_type) {
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
    qn_model_inputs found = {0};
    qn_adapter_ref *adapters = qn_arena_array(plan->arena, options->n_adapters, sizeof *adapters);
    if (adapters == NULL) {
        return nomem(err);
    }
    for (size_t i = 0; i < options->n_adapters; i++) {
        adapters[i] = (qn_adapter_ref){options->adapters[i].dir, options->adapters[i].scale};
    }
    const qn_input_request request = {.base = options->base,
                                      .run = options->run,
                                      .checkpoint = options->checkpoint,
                                      .adapters = adapters,
                                      .n_adapters = options->n_adapters};
    const qn_status status = qn_model_find_inputs(&request, plan->arena, job, &found, err);
    in->run = found.run; /* the plan's, also when this fails */
    QN_TRY(status);
    in->base_dir = found.base_dir;
    in->is_gguf = found.is_file;
    in->fallback_dir = found.fallback_dir;
    in->adapters = found.adapters;
    in->n_adapters = found.n_adapters;
    in->checkpoint = found.checkpoint;
    in->checkpoint_why = found.checkpoint_why;
    return name_outputs(plan, options, err);
}
