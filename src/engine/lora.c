/* SPDX-License-Identifier: MIT */
/* lora.c: reads an adapter's pairs, from a GGUF file or through the pairs that exporting makes of a PEFT folder. */
/*
 * Both are opened as a model whose tensors are X.lora_a and X.lora_b, so that there is one reading of them. Factors are
 * small: they are kept in float32, whatever they are stored in.
 */
#include "engine/lora.h"

#include "base/checked.h"
#include "base/worker.h"
#include "model/model.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_RANK = 1 << 16 };

static const char embedding[] = "token_embd.weight";

/** An adapter being opened. */
typedef struct opener {
    qn_lora *lora;
    const qn_model *model; /* its pairs */
    double strength;       /* what is not yet in the factors */
    double alpha;          /* 0: none */
    qn_job *job;
} opener;

/* ---- factors ---- */

/* A recipe's values in the arena, times a factor. */
static qn_status read_matrix(const opener *o, const char *name, const qn_recipe *recipe, float factor, qn_weight *out,
                             qn_error *err) {
    const uint64_t n_rows = qn_recipe_rows(recipe);
    const uint64_t n_cols = qn_recipe_cols(recipe);
    qn_ready *ready = NULL;
    qn_scratch scratch = {NULL};
    uint64_t n = 0;
    if (!qn_mul_u64(n_rows, n_cols, &n) || n > UINT64_MAX / sizeof(float)) {
        return qn_fail(err, QN_E_RANGE, "%s: tensor '%s' is too large", o->lora->path, name);
    }
    float *values = qn_arena_array(o->lora->arena, n, sizeof *values);
    if (values == NULL) {
        return qn_fail_nomem(err, name, (size_t)n * sizeof *values);
    }
    QN_TRY(qn_ready_open(recipe, qn_cpu_detect(), &ready, err));
    const qn_status status = qn_ready_rows(ready, 0, n_rows, values, &scratch, err);
    qn_scratch_clear(&scratch);
    qn_ready_close(ready);
    if (status != QN_OK) {
        return qn_fail_at(err, status, "%s: tensor '%s'", o->lora->path, name);
    }
    for (uint64_t i = 0; factor != 1.0F && i < n; i++) {
        values[i] *= factor;
    }
    const uint64_t bad = qn_find_nonfinite(qn_cpu_detect(), values, n);
    if (bad < n) {
        return qn_fail(err, QN_E_RANGE,
                       "%s: tensor '%s' row %" PRIu64 " column %" PRIu64 " is NaN or infinite, times a scale of %g: "
                       "the file is damaged, or the strength too large",
                       o->lora->path, name, bad / n_cols, bad % n_cols, (double)factor);
    }
    o->lora->size_bytes += n * sizeof *values;
    *out = (qn_weight){.name = name, .type = QN_F32, .n_rows = n_rows, .n_cols = n_cols, .bytes = values};
    return QN_OK;
}

/* Scale of a pair. Source: facts/lora.md 4.5. */
static float scale_of(const opener *o, uint64_t rank) {
    return (float)(o->alpha == 0 ? o->strength : o->strength * o->alpha / (double)rank);
}

/* Of the embedding lora_a has a row a token and lora_b one a dimension: the matrix is lora_a times lora_b turned. */
static qn_status read_pair(opener *o, const qn_model_tensor *a, const qn_model_tensor *b, qn_error *err) {
    qn_lora_pair *pair = &o->lora->pairs[o->lora->n_pairs];
    const bool is_embedding = strcmp(pair->tensor, embedding) == 0;
    const qn_model_tensor *left = is_embedding ? a : b;
    const uint64_t rank = qn_recipe_cols(b->recipe);
    const uint64_t rank_of_a = is_embedding ? qn_recipe_cols(a->recipe) : qn_recipe_rows(a->recipe);
    const qn_recipe *right = is_embedding ? qn_recipe_transpose(o->lora->arena, b->recipe) : a->recipe;
    char shapes[2][128];
    if (a->shape.n_dims > 2 || b->shape.n_dims > 2) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: changes '%s', a stack of experts, which is not done at run time; merge it instead: `quern "
                       "pack --adapter`",
                       o->lora->path, pair->tensor);
    }
    if (rank == 0 || rank != rank_of_a || rank > MAX_RANK) {
        return qn_fail(err, QN_E_SHAPE, "%s: '%s': lora_a is %s and lora_b %s: they do not have one rank",
                       o->lora->path, pair->tensor, qn_shape_text(&a->shape, shapes[0], sizeof shapes[0]),
                       qn_shape_text(&b->shape, shapes[1], sizeof shapes[1]));
    }
    if (right == NULL) {
        return qn_fail_nomem(err, pair->tensor, 0);
    }
    QN_TRY(read_matrix(o, pair->tensor, right, 1, &pair->a, err));
    QN_TRY(read_matrix(o, pair->tensor, left->recipe, scale_of(o, rank), &pair->b, err));
    if (is_embedding) {
        QN_TRY(read_matrix(o, pair->tensor, b->recipe, 1, &pair->lookup, err));
    }
    o->lora->max_rank = rank > o->lora->max_rank ? rank : o->lora->max_rank;
    o->lora->n_pairs++;
    return QN_OK;
}

/* ---- pairs ---- */

static const qn_model_tensor *find_tensor(const qn_model *model, const char *stem, size_t n_stem, const char *tail) {
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        const char *name = model->tensors[i].name;
        if (strncmp(name, stem, n_stem) == 0 && strcmp(name + n_stem, tail) == 0) {
            return &model->tensors[i];
        }
    }
    return NULL;
}

static qn_status take_tensor(opener *o, const qn_model_tensor *t, qn_error *err) {
    const bool is_a = qn_ends_with(t->name, ".lora_a");
    const bool is_b = qn_ends_with(t->name, ".lora_b");
    const size_t n_stem = is_a || is_b ? strlen(t->name) - strlen(".lora_a") : 0;
    if (!is_a && !is_b && qn_ends_with(t->name, "_norm.weight")) {
        qn_job_warn(o->job, "%s: '%s' is a whole vector and no pair: it is left out, as llama.cpp does", o->lora->path,
                    t->name);
        return QN_OK;
    }
    const qn_model_tensor *other = is_a || is_b ? find_tensor(o->model, t->name, n_stem, is_a ? ".lora_b" : ".lora_a")
                                                : NULL;
    if (other == NULL) {
        return qn_fail(err, QN_E_FORMAT, "%s: tensor '%s' is not half of a pair X.lora_a, X.lora_b", o->lora->path,
                       t->name);
    }
    if (is_b) {
        return QN_OK; /* read with its partner */
    }
    o->lora->pairs[o->lora->n_pairs].tensor = qn_arena_copy(o->lora->arena, t->name, n_stem);
    return o->lora->pairs[o->lora->n_pairs].tensor == NULL ? qn_fail_nomem(err, t->name, n_stem)
                                                           : read_pair(o, t, other, err);
}

static qn_status read_pairs(opener *o, qn_error *err) {
    const qn_model *model = o->model;
    o->lora->pairs = qn_arena_array(o->lora->arena, model->n_tensors, sizeof *o->lora->pairs);
    if (o->lora->pairs == NULL) {
        return qn_fail_nomem(err, o->lora->path, (size_t)model->n_tensors * sizeof *o->lora->pairs);
    }
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        QN_TRY(take_tensor(o, &model->tensors[i], err));
    }
    return o->lora->n_pairs > 0 ? QN_OK : qn_fail(err, QN_E_FORMAT, "%s: the adapter holds no pairs", o->lora->path);
}

/* ---- opening ---- */

static bool has_text(const qn_meta *meta, const char *key, const char *text) {
    const char *found = qn_meta_string(meta, key);
    return found != NULL && strcmp(found, text) == 0;
}

/* What a GGUF adapter must say of itself. Source: facts/lora.md 4.4. */
static qn_status check_meta(opener *o, const char *arch, qn_error *err) {
    const qn_meta *meta = &o->model->meta;
    const char *path = o->lora->path;
    if (!has_text(meta, "general.type", "adapter") || !has_text(meta, "adapter.type", "lora")) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: is no LoRA adapter (general.type 'adapter', adapter.type 'lora' are expected)", path);
    }
    if (!has_text(meta, "general.architecture", arch)) {
        return qn_fail(err, QN_E_UNSUPPORTED, "%s: is an adapter for architecture '%.60s', and the model's is '%.60s'",
                       path, o->model->arch_name, arch);
    }
    if (qn_meta_find(meta, "adapter.alora.invocation_tokens") != NULL) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: is an activated LoRA, which acts from a certain word of the prompt on; that is not "
                       "supported",
                       path);
    }
    (void)qn_meta_f64(meta, "adapter.lora.alpha", &o->alpha);
    return QN_OK;
}

static qn_status open_pairs(opener *o, const char *base_path, const char *arch, qn_model **model, qn_error *err) {
    if (qn_is_file(o->lora->path)) {
        QN_TRY(qn_model_open_gguf(o->lora->path, model, err));
    } else {
        const qn_adapter_ref ref = {o->lora->path, o->strength};
        QN_TRY(qn_model_open_adapter(base_path, &ref, o->lora->path, o->job, model, err));
        o->strength = 1; /* the rest is in the factors */
    }
    o->model = *model;
    QN_TRY(check_meta(o, arch, err));
    return read_pairs(o, err);
}

qn_status qn_lora_open(const char *path, double strength, const char *base_path, const char *arch, qn_job *job,
                       qn_lora **out, qn_error *err) {
    qn_arena *arena = qn_arena_new();
    qn_lora *lora = arena == NULL ? NULL : qn_arena_array(arena, 1, sizeof *lora);
    qn_model *model = NULL;
    if (lora == NULL) {
        qn_arena_free(arena);
        return qn_fail_nomem(err, path, sizeof *lora);
    }
    lora->arena = arena;
    lora->path = qn_arena_string(arena, path);
    opener o = {.lora = lora, .strength = strength, .job = job};
    const qn_status status = lora->path == NULL ? qn_fail_nomem(err, path, strlen(path))
                                                : open_pairs(&o, base_path, arch, &model, err);
    qn_model_close(model);
    if (status != QN_OK) {
        qn_lora_close(lora);
        return status;
    }
    *out = lora;
    return QN_OK;
}

void qn_lora_close(qn_lora *lora) {
    if (lora != NULL) {
        qn_arena_free(lora->arena);
    }
}

/* ---- weights ---- */

static qn_status attach_pair(const qn_lora *lora, const qn_lora_pair *pair, qn_arena *arena, qn_weight *weight,
                             qn_error *err) {
    if (pair->a.n_cols != weight->n_cols || pair->b.n_rows != weight->n_rows) {
        return qn_fail(err, QN_E_SHAPE,
                       "%s: changes '%s' as a [%" PRIu64 ", %" PRIu64 "] matrix, the model's is [%" PRIu64 ", %" PRIu64
                       "]: it was trained on another model",
                       lora->path, pair->tensor, pair->b.n_rows, pair->a.n_cols, weight->n_rows, weight->n_cols);
    }
    qn_delta *delta = qn_arena_array(arena, 1, sizeof *delta);
    if (delta == NULL) {
        return qn_fail_nomem(err, pair->tensor, sizeof *delta);
    }
    *delta = (qn_delta){.pair = pair, .next = weight->deltas};
    weight->deltas = delta;
    return QN_OK;
}

qn_status qn_lora_attach(const qn_lora *const *loras, uint64_t n_loras, qn_arena *arena, qn_weight *weight,
                         uint64_t *n_attached, qn_error *err) {
    for (uint64_t i = 0; i < n_loras; i++) {
        for (uint64_t k = 0; k < loras[i]->n_pairs; k++) {
            if (strcmp(loras[i]->pairs[k].tensor, weight->name) == 0) {
                QN_TRY(attach_pair(loras[i], &loras[i]->pairs[k], arena, weight, err));
                ++*n_attached;
            }
        }
    }
    return QN_OK;
}

qn_status qn_lora_check_attached(const qn_lora *const *loras, uint64_t n_loras, uint64_t n_attached,
                                 const qn_provider *provider, qn_error *err) {
    uint64_t n_pairs = 0;
    for (uint64_t i = 0; i < n_loras; i++) {
        n_pairs += loras[i]->n_pairs;
        for (uint64_t k = 0; k < loras[i]->n_pairs; k++) {
            const char *name = loras[i]->pairs[k].tensor;
            qn_shape shape = {0};
            qn_dtype type = QN_F32;
            const void *bytes = NULL;
            QN_TRY(provider->find(provider->self, name, &shape, &type, &bytes, err));
            if (bytes == NULL) {
                return qn_fail(err, QN_E_NOT_FOUND,
                               "%s: changes '%s', which the model in %s does not have: it was trained on another model",
                               loras[i]->path, name, provider->where);
            }
        }
    }
    if (n_attached == n_pairs) {
        return QN_OK;
    }
    return qn_fail(err, QN_E_UNSUPPORTED,
                   "%s: %" PRIu64 " of the adapter's %" PRIu64 " changes are of tensors that are no plain matrices in "
                   "this model, which is not done at run time; merge it instead: `quern pack --adapter`",
                   loras[0]->path, n_pairs - n_attached, n_pairs);
}
