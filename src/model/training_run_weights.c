/* SPDX-License-Identifier: MIT */
/* training_run_weights.c: whether a folder's weights are there and whole, judged by opening their headers. */
#include "container/safetensors.h"
#include "model/training_run_parts.h"

#include <string.h>

enum { MAX_CONFIG_BYTES = 16 << 20 };

static bool holds_file(qn_arena *arena, const char *dir, const char *name) {
    const char *path = qn_path_join(arena, dir, name);
    return path != NULL && qn_is_file(path);
}

static bool holds_dir(qn_arena *arena, const char *dir, const char *name) {
    const char *path = qn_path_join(arena, dir, name);
    return path != NULL && qn_is_dir(path);
}

/* What a failed or successful opening says of the weights; a failure that says nothing of them goes up. */
static qn_status take_opening(qn_arena *arena, qn_status status, const qn_error *found, qn_weights_look *look,
                              qn_error *err) {
    look->has_weights = true;
    if (qn_run_is_blameless(status)) {
        return qn_fail(err, status, "%s", found->message);
    }
    /* An element type that quern cannot read yet makes the file no less whole. */
    look->is_whole = status == QN_OK || status == QN_E_UNSUPPORTED;
    if (status != QN_OK) {
        look->note = qn_arena_string(arena, found->message);
        if (look->note == NULL) {
            return qn_fail_nomem(err, "checkpoint's note", strlen(found->message));
        }
    }
    return QN_OK;
}

/* The first name in the folder with that beginning and end; NULL when there is none. */
static const char *find_name(const qn_names *names, const char *begin, const char *end) {
    for (uint64_t i = 0; i < names->n; i++) {
        const char *name = names->names[i];
        if (strlen(name) >= strlen(begin) + strlen(end) && strncmp(name, begin, strlen(begin)) == 0 &&
            qn_ends_with(name, end)) {
            return name;
        }
    }
    return NULL;
}

static bool has_pointer(qn_arena *arena, const char *dir, const qn_names *names, const char *begin) {
    for (uint64_t i = 0; i < names->n; i++) {
        const char *name = names->names[i];
        const char *path = strncmp(name, begin, strlen(begin)) == 0 ? qn_path_join(arena, dir, name) : NULL;
        if (path != NULL && qn_is_file(path) && qn_is_lfs_pointer(path)) {
            return true;
        }
    }
    return false;
}

/* PyTorch's .bin: there, but its end is not looked for. */
static qn_status take_bin(qn_arena *arena, const char *dir, const char *name, qn_weights_look *look, qn_error *err) {
    const char *path = qn_path_join(arena, dir, name);
    if (path == NULL) {
        return qn_fail_nomem(err, name, strlen(name));
    }
    look->has_weights = true;
    look->is_pointer = qn_is_lfs_pointer(path);
    look->is_whole = !look->is_pointer;
    look->note = look->is_pointer
        ? qn_arena_printf(arena, "%s is a Git-LFS pointer: run `git lfs pull` there", path)
        : qn_arena_printf(arena, "%s: weights in PyTorch's format, which was not checked", path);
    return look->note == NULL ? qn_fail_nomem(err, path, strlen(path)) : QN_OK;
}

/* Why a folder has no weights: sharded training saves them elsewhere. */
static const char *missing_note(qn_arena *arena, const char *dir, qn_run_kind kind) {
    if (holds_dir(arena, dir, "pytorch_model_fsdp_0")) {
        return "its weights are FSDP shards (pytorch_model_fsdp_0): join them with `accelerate merge-weights` first";
    }
    if (holds_file(arena, dir, "zero_to_fp32.py")) {
        return "its weights are DeepSpeed shards: run the zero_to_fp32.py in it first";
    }
    if (kind == QN_RUN_KIND_ADAPTER) {
        return "adapter_model.safetensors is missing";
    }
    return kind == QN_RUN_KIND_FULL ? "model.safetensors is missing" : "it holds no weights";
}

static qn_status look_at_adapter(qn_arena *arena, const char *dir, qn_weights_look *look, qn_error *err) {
    const char *path = qn_path_join(arena, dir, "adapter_model.safetensors");
    qn_error found = {QN_OK, ""};
    qn_archive *archive = NULL;
    if (path == NULL) {
        return qn_fail_nomem(err, dir, strlen(dir));
    }
    if (!qn_is_file(path)) {
        return holds_file(arena, dir, "adapter_model.bin") ? take_bin(arena, dir, "adapter_model.bin", look, err)
                                                           : QN_OK;
    }
    const qn_status status = qn_safetensors_open(path, &archive, &found);
    qn_archive_close(archive);
    look->is_pointer = status != QN_OK && qn_is_lfs_pointer(path);
    return take_opening(arena, status, &found, look, err);
}

static qn_status look_at_model(qn_arena *arena, const char *dir, const qn_names *names, qn_weights_look *look,
                               qn_error *err) {
    qn_error found = {QN_OK, ""};
    qn_archive *archive = NULL;
    if (find_name(names, "model", ".safetensors") == NULL &&
        find_name(names, "model.safetensors.index.json", "") == NULL) {
        const char *bin = find_name(names, "pytorch_model", ".bin");
        return bin == NULL ? QN_OK : take_bin(arena, dir, bin, look, err);
    }
    const qn_status status = qn_safetensors_open_folder(dir, &archive, &found);
    qn_archive_close(archive);
    look->is_pointer = status != QN_OK && has_pointer(arena, dir, names, "model");
    return take_opening(arena, status, &found, look, err);
}

/* Weights without the file that says what they are cannot be used; nor can a broken one. */
static qn_status look_at_config(qn_arena *arena, const char *dir, qn_weights_look *look, qn_error *err) {
    qn_error found = {QN_OK, ""};
    json_t *config = NULL;
    if (look->config == NULL) {
        look->note = look->kind == QN_RUN_KIND_ADAPTER ? "adapter_config.json is missing" : "config.json is missing";
        look->is_whole = false;
        return QN_OK;
    }
    const char *path = qn_path_join(arena, dir, look->config);
    if (path == NULL) {
        return qn_fail_nomem(err, dir, strlen(dir));
    }
    const qn_status status = qn_json_load_object(path, MAX_CONFIG_BYTES, &config, &found);
    json_decref(config);
    if (status == QN_OK) {
        return QN_OK;
    }
    if (qn_run_is_blameless(status)) {
        return qn_fail(err, status, "%s", found.message);
    }
    look->is_whole = false;
    look->note = qn_arena_string(arena, found.message);
    return look->note == NULL ? qn_fail_nomem(err, path, strlen(found.message)) : QN_OK;
}

qn_status qn_look_at_weights(qn_arena *arena, const char *dir, qn_weights_look *look, qn_error *err) {
    qn_names names = {NULL, 0};
    *look = (qn_weights_look){.kind = QN_RUN_KIND_UNKNOWN};
    QN_TRY(qn_list_dir(arena, dir, &names, err));
    if (holds_file(arena, dir, "adapter_config.json")) {
        look->config = "adapter_config.json";
    } else if (holds_file(arena, dir, "config.json")) {
        look->config = "config.json";
    }
    if ((look->config != NULL && look->config[0] == 'a') || find_name(&names, "adapter_model.", "") != NULL) {
        look->kind = QN_RUN_KIND_ADAPTER;
        look->config = look->config != NULL && look->config[0] == 'a' ? look->config : NULL;
        QN_TRY(look_at_adapter(arena, dir, look, err));
    } else {
        QN_TRY(look_at_model(arena, dir, &names, look, err));
        look->kind = look->config != NULL || look->has_weights ? QN_RUN_KIND_FULL : QN_RUN_KIND_UNKNOWN;
    }
    if (!look->has_weights) {
        look->note = missing_note(arena, dir, look->kind);
        return QN_OK;
    }
    return look->is_whole ? look_at_config(arena, dir, look, err) : QN_OK;
}
