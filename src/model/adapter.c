/* SPDX-License-Identifier: MIT */
/*
 * adapter.c: opens a PEFT folder and sorts its tensors into parts, one a module.
 *
 * Names are "base_model.model." + module path + a tail; older writers put the adapter's name ("default") or
 * "modules_to_save" in between. Source: facts/lora.md 1.
 */
#include "model/adapter.h"

#include "base/worker.h"
#include "container/safetensors.h"
#include "model/adapter_config.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_CONFIG_BYTES = 16 << 20 };

/* What a tensor's tail says it is. */
typedef enum tail_kind {
    TAIL_A,
    TAIL_B,
    TAIL_B_BIAS,
    TAIL_EMBEDDING_A,
    TAIL_EMBEDDING_B,
    TAIL_MAGNITUDE,
    TAIL_SKIPPED,
    TAIL_UNSUPPORTED,
    TAIL_WEIGHT,
    TAIL_BIAS
} tail_kind;

/* Longer tails stand before the tails they end in. */
static const struct {
    const char *tail;
    tail_kind kind;
} tails[] = {
    {".lora_A.weight", TAIL_A},
    {".lora_B.weight", TAIL_B},
    {".lora_B.bias", TAIL_B_BIAS},
    {".lora_embedding_A", TAIL_EMBEDDING_A},
    {".lora_embedding_B", TAIL_EMBEDDING_B},
    {".lora_magnitude_vector", TAIL_MAGNITUDE},
    {".lora_magnitude_vector.weight", TAIL_MAGNITUDE},
    {".base_layer.weight", TAIL_SKIPPED}, /* a copy of the base's own weight */
    {".base_layer.bias", TAIL_BIAS},      /* where bias = "all" keeps the trained bias of a wrapped layer */
    {".token_adapter.trainable_tokens_delta", TAIL_UNSUPPORTED},
    {".weight", TAIL_WEIGHT},
    {".bias", TAIL_BIAS},
};

bool qn_is_adapter_dir(const char *dir) {
    qn_arena *arena = qn_arena_new();
    const char *path = arena == NULL ? NULL : qn_path_join(arena, dir, "adapter_config.json");
    const bool found = path != NULL && qn_is_file(path);
    qn_arena_free(arena);
    return found;
}

/* Cuts every component that is part (a dot and a word) out of a path. */
static void cut_all(char *text, const char *part) {
    const size_t n = strlen(part);
    for (char *at = strstr(text, part); at != NULL; at = strstr(at, part)) {
        if (at[n] == '.' || at[n] == '\0') {
            memmove(at, at + n, strlen(at + n) + 1);
        } else {
            at++;
        }
    }
}

/* The tensor's name without wrappers: module path and tail. */
static char *plain_name(qn_arena *arena, const char *name) {
    static const char prefix[] = "base_model.model.";
    if (strncmp(name, prefix, sizeof prefix - 1) == 0) {
        name += sizeof prefix - 1;
    }
    char *plain = qn_arena_string(arena, name);
    if (plain != NULL) {
        cut_all(plain, ".modules_to_save");
        cut_all(plain, ".original_module");
        cut_all(plain, ".default");
    }
    return plain;
}

/* Cuts the tail off a plain name; false when it has none of the known ones. */
static bool cut_tail(char *name, tail_kind *kind) {
    const size_t n = strlen(name);
    for (size_t i = 0; i < sizeof tails / sizeof tails[0]; i++) {
        if (qn_ends_with(name, tails[i].tail)) {
            name[n - strlen(tails[i].tail)] = '\0';
            *kind = tails[i].kind;
            return true;
        }
    }
    return false;
}

/* The part of a module, made when it is new. There is room for as many parts as tensors. */
static qn_adapter_part *part_of(qn_adapter *adapter, const char *module) {
    for (uint64_t i = adapter->n_parts; i > 0; i--) { /* neighbours in the file are neighbours here */
        if (strcmp(adapter->parts[i - 1].module, module) == 0) {
            return &adapter->parts[i - 1];
        }
    }
    qn_adapter_part *part = &adapter->parts[adapter->n_parts++];
    part->module = module;
    return part;
}

static const qn_archive_tensor **slot_of(qn_adapter_part *part, tail_kind kind) {
    switch (kind) {
    case TAIL_A: return &part->a;
    case TAIL_B: return &part->b;
    case TAIL_B_BIAS: return &part->b_bias;
    case TAIL_EMBEDDING_A: part->is_embedding = true; return &part->a;
    case TAIL_EMBEDDING_B: part->is_embedding = true; return &part->b;
    case TAIL_MAGNITUDE: return &part->magnitude;
    case TAIL_WEIGHT: return &part->full_weight;
    case TAIL_BIAS: return &part->full_bias;
    case TAIL_SKIPPED:
    case TAIL_UNSUPPORTED: break;
    }
    return NULL;
}

static qn_status sort_tensor(qn_adapter *adapter, const qn_archive_tensor *tensor, qn_error *err) {
    tail_kind kind = TAIL_SKIPPED;
    char *name = plain_name(adapter->arena, tensor->name);
    if (name == NULL) {
        return qn_fail_nomem(err, tensor->name, strlen(tensor->name));
    }
    if (!cut_tail(name, &kind)) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: tensor '%s' is none of the kinds a LoRA adapter has (lora_A, lora_B, lora_embedding_A/B, "
                       "lora_magnitude_vector, or a trained weight or bias)",
                       adapter->dir, tensor->name);
    }
    if (kind == TAIL_UNSUPPORTED) {
        return qn_fail(
            err, QN_E_UNSUPPORTED,
            "%s: tensor '%s': single trained tokens (trainable_token_indices) are not supported yet; merge the "
            "adapter with PEFT's merge_and_unload() first",
            adapter->dir, tensor->name);
    }
    if (kind == TAIL_SKIPPED) {
        return QN_OK;
    }
    const qn_archive_tensor **slot = slot_of(part_of(adapter, name), kind);
    if (*slot != NULL) {
        return qn_fail(err, QN_E_FORMAT, "%s: tensors '%s' and '%s' are the same part of module '%s'", adapter->dir,
                       (*slot)->name, tensor->name, name);
    }
    *slot = tensor;
    return QN_OK;
}

/* A pair must be whole, two-dimensional and of the rank that its scale is computed with. */
static qn_status check_pair(qn_adapter *adapter, qn_adapter_part *part, qn_error *err) {
    const char *dir = adapter->dir;
    if (part->a == NULL || part->b == NULL) {
        const qn_archive_tensor *found = part->a != NULL ? part->a : part->b != NULL ? part->b : part->magnitude;
        found = found != NULL ? found : part->b_bias;
        return qn_fail(err, QN_E_FORMAT, "%s: tensor '%s' has no partner: module '%s' needs both lora_A and lora_B",
                       dir, found->name, part->module);
    }
    if ((strstr(part->a->name, ".lora_embedding_A") != NULL) != (strstr(part->b->name, ".lora_embedding_B") != NULL)) {
        return qn_fail(err, QN_E_FORMAT, "%s: tensors '%s' and '%s' are halves of two kinds of pair", dir,
                       part->a->name, part->b->name);
    }
    if (part->a->shape.n_dims != 2 || part->b->shape.n_dims != 2 || part->a->shape.dims[0] != part->b->shape.dims[1] ||
        part->a->shape.dims[0] == 0) {
        char a[128];
        char b[128];
        return qn_fail(err, QN_E_SHAPE,
                       "%s: module '%s': lora_A is %s and lora_B %s; [rank, in] and [out, rank] are expected", dir,
                       part->module, qn_shape_text(&part->a->shape, a, sizeof a),
                       qn_shape_text(&part->b->shape, b, sizeof b));
    }
    part->rank = part->a->shape.dims[0];
    adapter->n_pairs++;
    adapter->has_dora = adapter->has_dora || part->magnitude != NULL;
    return qn_adapter_config_scale(adapter->config, dir, part, err);
}

static qn_status check_parts(qn_adapter *adapter, qn_error *err) {
    bool wants_dora = false;
    (void)qn_json_bool(adapter->config, "use_dora", &wants_dora);
    for (uint64_t i = 0; i < adapter->n_parts; i++) {
        qn_adapter_part *part = &adapter->parts[i];
        if (part->a == NULL && part->b == NULL && part->magnitude == NULL && part->b_bias == NULL) {
            continue;
        }
        QN_TRY(check_pair(adapter, part, err));
        if (wants_dora && part->magnitude == NULL) {
            return qn_fail(err, QN_E_FORMAT, "%s: use_dora is set, but module '%s' has no lora_magnitude_vector",
                           adapter->dir, part->module);
        }
    }
    return QN_OK;
}

static qn_status open_files(qn_adapter *adapter, qn_job *job, qn_error *err) {
    const char *config = qn_path_join(adapter->arena, adapter->dir, "adapter_config.json");
    const char *weights = qn_path_join(adapter->arena, adapter->dir, "adapter_model.safetensors");
    const char *pickle = qn_path_join(adapter->arena, adapter->dir, "adapter_model.bin");
    if (config == NULL || weights == NULL || pickle == NULL) {
        return qn_fail_nomem(err, adapter->dir, 0);
    }
    if (!qn_is_file(config)) {
        return qn_fail(err, QN_E_NOT_FOUND, "%s: is not an adapter folder: it has no adapter_config.json",
                       adapter->dir);
    }
    QN_TRY(qn_json_load_object(config, MAX_CONFIG_BYTES, &adapter->config, err));
    QN_TRY(qn_adapter_config_check(adapter->config, config, job, err));
    adapter->base = qn_json_string(adapter->config, "base_model_name_or_path");
    adapter->alpha = 8;                                                /* PEFT's default */
    (void)qn_json_f64(adapter->config, "lora_alpha", &adapter->alpha); /* types were checked */
    (void)qn_json_bool(adapter->config, "use_rslora", &adapter->has_rslora);
    if (!qn_is_file(weights) && qn_is_file(pickle)) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: PyTorch's adapter_model.bin is not read yet; save the adapter with safe_serialization=True",
                       adapter->dir);
    }
    return qn_safetensors_open(weights, &adapter->archive, err);
}

static qn_status fill(qn_adapter *adapter, qn_job *job, qn_error *err) {
    QN_TRY(open_files(adapter, job, err));
    const uint64_t n = qn_archive_n_tensors(adapter->archive);
    if (n == 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: the adapter holds no tensors", adapter->dir);
    }
    adapter->parts = qn_arena_array(adapter->arena, n, sizeof *adapter->parts);
    if (adapter->parts == NULL) {
        return qn_fail_nomem(err, adapter->dir, (size_t)n * sizeof *adapter->parts);
    }
    for (uint64_t i = 0; i < n; i++) {
        QN_TRY(sort_tensor(adapter, qn_archive_tensor_at(adapter->archive, i), err));
    }
    if (adapter->n_parts == 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: the adapter holds no tensors but copies of its base's", adapter->dir);
    }
    return check_parts(adapter, err);
}

qn_status qn_adapter_open(const char *dir, double strength, qn_job *job, qn_adapter **out, qn_error *err) {
    qn_arena *arena = qn_arena_new();
    qn_adapter *adapter = arena == NULL ? NULL : qn_arena_array(arena, 1, sizeof *adapter);
    if (adapter == NULL) {
        qn_arena_free(arena);
        return qn_fail_nomem(err, dir, sizeof *adapter);
    }
    adapter->arena = arena;
    adapter->strength = strength;
    adapter->dir = qn_arena_string(arena, dir);
    const qn_status status = adapter->dir == NULL ? qn_fail_nomem(err, dir, 0) : fill(adapter, job, err);
    if (status != QN_OK) {
        qn_adapter_close(adapter);
        return status;
    }
    *out = adapter;
    return QN_OK;
}

void qn_adapter_close(qn_adapter *adapter) {
    if (adapter != NULL) {
        qn_archive_close(adapter->archive);
        json_decref(adapter->config);
        qn_arena_free(adapter->arena);
    }
}

static const qn_recipe *recipe_of(qn_arena *arena, const qn_archive_tensor *t, uint64_t n_rows, uint64_t n_cols) {
    return qn_recipe_bytes(arena, t->file, t->file_off, t->type, n_rows, n_cols);
}

static const qn_recipe *matrix_of(qn_arena *arena, const qn_archive_tensor *t) {
    return recipe_of(arena, t, t->shape.dims[0], t->shape.dims[1]);
}

static qn_status check_pair_shape(const qn_adapter *adapter, const qn_adapter_part *part, const qn_low_rank *pair,
                                  uint64_t n_rows, uint64_t n_cols, qn_error *err) {
    const uint64_t rows = qn_recipe_rows(pair->left);
    const uint64_t cols = qn_recipe_cols(pair->right);
    if ((n_rows != 0 && rows != n_rows) || (n_cols != 0 && cols != n_cols)) {
        return qn_fail(
            err, QN_E_SHAPE,
            "%s: module '%s': the adapter changes a [%llu, %llu] matrix, the base model's is [%llu, %llu]: it "
            "was trained on another model",
            adapter->dir, part->module, (unsigned long long)rows, (unsigned long long)cols, (unsigned long long)n_rows,
            (unsigned long long)n_cols);
    }
    return QN_OK;
}

/* DoRA's magnitudes as one row in the order of the GGUF tensor's rows (or columns, for an embedding). */
static qn_status add_magnitude(const qn_adapter *adapter, const qn_adapter_part *part, qn_transform transform,
                               const qn_hparams *h, qn_arena *arena, qn_low_rank *pair, qn_error *err) {
    const qn_archive_tensor *m = part->magnitude;
    const uint64_t n = qn_shape_rows(&m->shape) * qn_shape_cols(&m->shape);
    const uint64_t expected = part->is_embedding ? qn_recipe_cols(pair->right) : qn_recipe_rows(pair->left);
    if (n != expected) {
        return qn_fail(err, QN_E_SHAPE, "%s: tensor '%s' has %llu values; module '%s' needs %llu", adapter->dir,
                       m->name, (unsigned long long)n, part->module, (unsigned long long)expected);
    }
    const qn_recipe *column = recipe_of(arena, m, n, 1);
    if (!part->is_embedding) {
        column = qn_arch_transform_left(transform, h, arena, column);
    }
    pair->magnitude = qn_recipe_reshape(arena, column, 1, n);
    pair->by_column = part->is_embedding;
    return pair->magnitude == NULL ? qn_fail_nomem(err, m->name, 0) : QN_OK;
}

qn_status qn_adapter_pair(const qn_adapter *adapter, const qn_adapter_part *part, const qn_tensor_rule *rule,
                          const qn_hparams *h, uint64_t n_rows, uint64_t n_cols, qn_arena *arena, qn_low_rank *out,
                          qn_error *err) {
    qn_low_rank pair = {.scale = (float)part->scale, .strength = (float)adapter->strength};
    if (rule->rows == QN_DIM_NONE || rule->transform == QN_PLUS_ONE) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: module '%s' is a vector in the model and cannot have a low-rank change", adapter->dir,
                       part->module);
    }
    const qn_recipe *a = matrix_of(arena, part->a);
    const qn_recipe *b = matrix_of(arena, part->b);
    if (part->is_embedding) { /* dE = (B·A) transposed: A's turned columns are the rows of the table */
        pair.left = qn_recipe_transpose(arena, a);
        pair.right = qn_recipe_transpose(arena, b);
    } else {
        QN_TRY(check_pair_shape(adapter, part, &(qn_low_rank){.left = b, .right = a}, n_rows, n_cols, err));
        pair.left = qn_arch_transform_left(rule->transform, h, arena, b);
        pair.right = a;
    }
    if (pair.left == NULL || pair.right == NULL) {
        return qn_fail_nomem(err, part->module, 0);
    }
    QN_TRY(check_pair_shape(adapter, part, &pair, n_rows, n_cols, err));
    if (part->magnitude != NULL) {
        QN_TRY(add_magnitude(adapter, part, rule->transform, h, arena, &pair, err));
    }
    *out = pair;
    return QN_OK;
}
