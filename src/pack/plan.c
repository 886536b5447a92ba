/* SPDX-License-Identifier: MIT */
/* plan.c: makes a plan: inputs, model, layout, and the checks that can fail before a byte is written. */
#include "pack/plan.h"

#include "base/hash.h"
#include "base/worker.h"
#include "container/llama2c.h"
#include "quern/quern.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What config.json of a Hugging Face folder calls --outtype; NULL when nothing was asked for. */
static const char *hf_dtype(const qn_pack_options *options) {
    static const char *const rows[][2] = {{"f32", "float32"}, {"f16", "float16"}, {"bf16", "bfloat16"}};
    for (size_t i = 0; options->outtype != NULL && i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i][0], options->outtype) == 0) {
            return rows[i][1];
        }
    }
    return NULL;
}

static qn_status open_model(qn_plan *plan, const qn_pack_options *options, qn_job *job, qn_error *err) {
    const qn_plan_inputs *in = &plan->inputs;
    if (plan->preset.exports_adapter) {
        if (in->n_adapters != 1) {
            return qn_fail(err, QN_E_USAGE, "--preset lora exports one adapter; %llu are given",
                           (unsigned long long)in->n_adapters);
        }
        return qn_model_open_adapter(in->base_dir, &in->adapters[0], in->adapter_name, job, &plan->model, err);
    }
    if (options->tokenizer != NULL && !(in->is_gguf && qn_is_llama2c(in->base_dir))) {
        return qn_fail(err, QN_E_USAGE, "--tokenizer %.200s: is for llama2.c's files; %s comes with its vocabulary",
                       options->tokenizer, in->base_dir);
    }
    const char *run_dir = in->run == NULL ? NULL : in->run->dir;
    const qn_model_request request = {
        .dir = in->base_dir,
        .adapters = in->adapters,
        .n_adapters = in->n_adapters,
        .extra_dirs = &run_dir,
        .n_extra_dirs = run_dir == NULL ? 0 : 1,
        .fallback_dir = in->fallback_dir,
        .name = in->model_name,
        .pre = options->pre,
        .tokenizer = options->tokenizer,
        .pruned_layers = options->pruned_layers,
        .n_pruned_layers = options->n_pruned_layers,
        .hf_dtype = hf_dtype(options),
        .overrides = options->kv_overrides,
        .n_overrides = options->n_kv_overrides,
        .job = job,
    };
    return plan->to_hf ? qn_model_open_hf(&request, &plan->model, err) : qn_model_open(&request, &plan->model, err);
}

static uint64_t n_distinct(const uint64_t *layers, size_t n) {
    uint64_t n_found = 0;
    for (size_t i = 0; i < n; i++) {
        bool is_first = true;
        for (size_t k = 0; k < i; k++) {
            is_first = is_first && layers[k] != layers[i];
        }
        n_found += is_first ? 1 : 0;
    }
    return n_found;
}

/* What the run will ask of the options, which need not outlive the plan's making. */
static void take_options(qn_plan *plan, const qn_pack_options *options, const qn_job *job) {
    plan->n_threads = qn_job_threads(job);
    plan->to_hf = options->to_hf;
    plan->n_pruned_layers = n_distinct(options->pruned_layers, options->n_pruned_layers);
    plan->target_size_bytes = options->target_size_bytes;
    plan->target_bpw = options->target_bpw;
    plan->effort = options->effort;
    plan->allow_nan = options->allow_nan;
    plan->allow_requantize = options->allow_requantize;
    plan->force = options->force;
    plan->no_sync = options->no_sync;
    plan->no_verify = options->no_verify;
}

static uint64_t hash_file(const qn_file *f, uint64_t seed) {
    const uint64_t facts[2] = {qn_file_size(f), (uint64_t)qn_file_mtime_ns(f)};
    return qn_hash64(facts, sizeof facts, qn_hash64(qn_file_path(f), strlen(qn_file_path(f)), seed));
}

static uint64_t hash_archive(const qn_archive *archive, uint64_t seed) {
    for (uint64_t i = 0; archive != NULL && i < qn_archive_n_files(archive); i++) {
        seed = hash_file(qn_archive_file_at(archive, i), seed);
    }
    return seed;
}

/* Numbers that recipes and generated tensors are made with; not all of them stand in a header. */
static uint64_t hash_hparams(const qn_hparams *p, uint64_t seed) {
    uint64_t h = qn_hash64(p->has, sizeof p->has, seed);
    h = qn_hash64(p->value, sizeof p->value, h);
    h = qn_hash64(&p->rope_scaling, sizeof p->rope_scaling, h);
    if (p->n_rope_factors > 0) {
        h = qn_hash64(p->rope_long_factors, (size_t)p->n_rope_factors * sizeof(float), h);
        h = qn_hash64(p->rope_short_factors, (size_t)p->n_rope_factors * sizeof(float), h);
    }
    return h;
}

static uint64_t hash_importance(const qn_plan *plan, uint64_t seed) {
    for (uint64_t i = 0; i < plan->model->n_tensors; i++) {
        if (plan->importance[i] != NULL) {
            const qn_shape *shape = &plan->model->tensors[i].shape;
            const uint64_t n = qn_shape_cols(shape) * qn_plan_n_matrices(shape);
            seed = qn_hash64(plan->importance[i], (size_t)n * sizeof(float), seed + i);
        }
    }
    return seed;
}

/*
 * Sums what decides the bytes: this version of the program, the sources as they are now, and the headers with all
 * types and offsets.
 */
static uint64_t fingerprint(const qn_plan *plan) {
    uint64_t h = qn_hash64(qn_version(), strlen(qn_version()), 1);
    h = hash_hparams(&plan->model->hparams, hash_archive(plan->model->archive, h));
    for (uint64_t i = 0; i < plan->model->n_adapters; i++) {
        const qn_adapter *adapter = plan->model->adapters[i];
        h = qn_hash64(&adapter->strength, sizeof adapter->strength, hash_archive(adapter->archive, h));
        for (uint64_t k = 0; k < adapter->n_parts; k++) { /* the scales come from the config beside the weights */
            h = qn_hash64(&adapter->parts[k].scale, sizeof adapter->parts[k].scale, h);
        }
    }
    h = qn_hash64(&plan->effort, sizeof plan->effort, hash_importance(plan, h));
    for (uint32_t f = 0; f < plan->n_files; f++) {
        h = qn_hash64(plan->files[f].header.data, plan->files[f].header.len, h);
        h = qn_hash64(plan->files[f].path, strlen(plan->files[f].path), h);
    }
    return h;
}

static void warn_of_types(const qn_plan *plan, qn_job *job) {
    for (size_t i = 0; i < plan->preset.n_targets; i++) {
        if (plan->imatrix == NULL && qn_target_wants_imatrix(plan->preset.targets[i])) {
            qn_job_warn(job,
                        "%s without an importance matrix loses much of the model; Q2_K is a little larger and better",
                        plan->preset.targets[i]->name);
        }
    }
}

static qn_status build(qn_plan *plan, const qn_pack_options *options, qn_job *job, qn_error *err) {
    take_options(plan, options, job);
    QN_TRY(qn_plan_find_inputs(plan, options, job, err));
    const bool has_budget = options->target_size_bytes > 0 || options->target_bpw > 0;
    QN_TRY(qn_preset_resolve(options->preset, options->types, plan->inputs.n_adapters > 0, has_budget, &plan->preset,
                             err));
    QN_TRY(open_model(plan, options, job, err));
    QN_TRY(qn_plan_read_imatrix(plan, options, job, err));
    QN_TRY(qn_plan_read_types(plan, options, err));
    QN_TRY(qn_plan_lay_out(plan, options, job, err));
    warn_of_types(plan, job);
    plan->fingerprint = fingerprint(plan);
    plan->journal_path = qn_arena_printf(plan->arena, "%s/.%s-%016llx.quern-journal", plan->inputs.out_dir,
                                         plan->inputs.model_name, (unsigned long long)plan->fingerprint);
    if (plan->journal_path == NULL) {
        return qn_fail_nomem(err, "plan", 0);
    }
    /* What opening took stays: vocabularies are larger than the stream's buffers. */
    plan->memory_bytes = qn_memory_peak() + qn_stream_memory(&plan->stream, plan->n_threads);
    return qn_plan_check_disk(plan, err);
}

qn_status qn_plan_new(const qn_pack_options *options, qn_job *job, qn_plan **out, qn_error *err) {
    qn_arena *arena = qn_arena_new();
    qn_plan *plan = arena == NULL ? NULL : qn_arena_array(arena, 1, sizeof *plan);
    if (plan == NULL) {
        qn_arena_free(arena);
        return qn_fail_nomem(err, "plan", sizeof *plan);
    }
    plan->arena = arena;
    const qn_status status = build(plan, options, job, err);
    if (status != QN_OK) {
        qn_plan_free(plan);
        return status;
    }
    *out = plan;
    return QN_OK;
}

void qn_plan_free(qn_plan *plan) {
    if (plan == NULL) {
        return;
    }
    for (uint32_t f = 0; f < plan->n_files; f++) {
        qn_buffer_clear(&plan->files[f].header);
    }
    free(plan->files);
    free(plan->coverage.unseen);
    qn_imatrix_close(plan->imatrix);
    qn_model_close(plan->model);
    qn_run_close(plan->inputs.run);
    qn_arena_free(plan->arena);
}

/* Bytes on the disk that a file takes up now; 0 when it is not there. */
static uint64_t bytes_held(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

/* No output may take the place of what it is made from. */
static qn_status check_sources(const qn_plan *plan, const char *path, qn_error *err) {
    for (uint64_t i = 0; i < qn_archive_n_files(plan->model->archive); i++) {
        if (qn_is_same_file(path, qn_file_path(qn_archive_file_at(plan->model->archive, i)))) {
            return qn_fail(err, QN_E_USAGE,
                           "%s: is read by this job and cannot be replaced by it; pass another --out "
                           "or --name",
                           path);
        }
    }
    return QN_OK;
}

qn_status qn_plan_check_disk(qn_plan *plan, qn_error *err) {
    plan->resumes = qn_is_file(plan->journal_path);
    for (uint32_t f = 0; f < plan->n_files; f++) {
        const char *path = plan->files[f].path;
        if (qn_is_dir(path)) {
            return qn_fail(err, QN_E_EXISTS, "%s: is a folder", path);
        }
        if (plan->model->archive != NULL && qn_is_file(path)) {
            QN_TRY(check_sources(plan, path, err));
        }
        if (qn_is_file(path) && !plan->force && !plan->resumes) {
            return qn_fail(err, QN_E_EXISTS,
                           "%s: is there already; pass --force to replace it, or another --out or --name", path);
        }
    }
    QN_TRY(qn_free_space(plan->inputs.out_dir, &plan->disk_free_bytes, err));
    for (uint32_t f = 0; f < plan->n_files; f++) {
        plan->disk_free_bytes += bytes_held(plan->files[f].part_path);
        plan->disk_free_bytes += plan->resumes ? bytes_held(plan->files[f].path) : 0;
    }
    if (plan->disk_free_bytes < plan->disk_bytes) {
        const bool is_small = plan->disk_bytes < 1000000000;
        const double unit = is_small ? 1e6 : 1e9;
        return qn_fail(
            err, QN_E_SPACE,
            "%s: the outputs need %.2f %s and %.2f are free: make room, choose another --out, or fewer types",
            plan->inputs.out_dir, (double)plan->disk_bytes / unit, is_small ? "MB" : "GB",
            (double)plan->disk_free_bytes / unit);
    }
    return QN_OK;
}
