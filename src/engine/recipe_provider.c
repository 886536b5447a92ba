/* SPDX-License-Identifier: MIT */
/* recipe_provider.c: encodes a model's tensors into memory by the stream that writes files, whole or part by part. */
/*
 * A part is what must be in memory together: what always is, the embedding, the output matrix, or the matrices of one
 * layer. Parts that take turns share one block as large as the largest of them, so that a tensor's bytes stand at the
 * same address whenever they are there: the engine finds them once and then only says which part it enters.
 */
#include "engine/recipe_provider.h"

#include "base/checked.h"
#include "base/worker.h"
#include "stream/executor.h"
#include "stream/model_types.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, RESIDENT = 0, EMBEDDING = 1, OUTPUT = 2, FIRST_LAYER = 3, MAX_LAYERS = 1 << 16 };

/** What is encoded together. */
typedef struct part {
    qn_stream_plan plan;
    qn_stream_file memory;
    uint64_t size_bytes;
} part;

typedef struct recipe_weights {
    const qn_model *model;
    qn_job *job;
    qn_job *own_job; /* where the caller has none */
    qn_arena *arena;
    qn_dtype *types;             /* [model->n_tensors] */
    const unsigned char **bytes; /* [model->n_tensors] */
    uint64_t *places;            /* [model->n_tensors] offset in its part's memory */
    part *parts;                 /* [n_parts] */
    uint64_t n_parts;
    void *blocks[2]; /* of the resident part, of the others */
    bool by_layer;
    uint64_t entered; /* the part in the shared block; RESIDENT: none */
} recipe_weights;

/* ---- parts ---- */

/* The layer of "blk.N.…"; MAX_LAYERS when it is of none. */
static uint64_t layer_of(const char *name) {
    uint64_t layer = 0;
    int end = 0;
    return sscanf(name, "blk.%5" SCNu64 ".%n", &layer, &end) == 1 && end > 0 && layer < MAX_LAYERS ? layer : MAX_LAYERS;
}

/* All else is read when it is found; so are biases of experts, which have more than one row. */
static bool is_matrix(const qn_model_tensor *t) {
    return qn_shape_rows(&t->shape) > 1 && qn_ends_with(t->name, ".weight");
}

static uint64_t part_of(const recipe_weights *w, const qn_model_tensor *t) {
    const uint64_t layer = layer_of(t->name);
    if (!w->by_layer || !is_matrix(t)) {
        return RESIDENT;
    }
    if (layer < MAX_LAYERS) {
        return FIRST_LAYER + layer;
    }
    return strcmp(t->name, "token_embd.weight") == 0 ? EMBEDDING
        : strcmp(t->name, "output.weight") == 0      ? OUTPUT
                                                     : RESIDENT;
}

static uint64_t count_parts(const recipe_weights *w) {
    uint64_t n = FIRST_LAYER;
    for (uint64_t i = 0; i < w->model->n_tensors; i++) {
        const uint64_t at = part_of(w, &w->model->tensors[i]);
        n = at >= n ? at + 1 : n;
    }
    return n;
}

/* Maps a tensor that a file of the model has as it is wanted; otherwise *out stays. */
static qn_status map_bytes(const recipe_weights *w, uint64_t i, const unsigned char **out, qn_error *err) {
    const qn_model_tensor *t = &w->model->tensors[i];
    const qn_archive_tensor *source = NULL;
    const qn_file *file = NULL;
    const unsigned char *bytes = NULL;
    uint64_t file_off = 0;
    qn_dtype type = QN_F32;
    if (!qn_recipe_is_bytes(t->recipe, &file, &file_off, &type) || type != w->types[i] || w->model->archive == NULL) {
        return QN_OK;
    }
    source = qn_archive_find(w->model->archive, t->source);
    if (source == NULL || source->file != file || file_off < source->file_off) {
        return QN_OK;
    }
    QN_TRY(qn_archive_map(w->model->archive, source, &bytes, err));
    *out = bytes + (file_off - source->file_off);
    return QN_OK;
}

/* Adds a tensor to the part it is of. There is room for all tensors in the arena's arrays. */
static qn_status add_tensor(recipe_weights *w, uint64_t i, qn_error *err) {
    const qn_model_tensor *t = &w->model->tensors[i];
    part *p = &w->parts[part_of(w, t)];
    qn_stream_place *place = qn_arena_array(w->arena, 1, sizeof *place);
    uint64_t bytes = 0;
    uint64_t end = 0;
    if (place == NULL) {
        return qn_fail_nomem(err, t->name, sizeof *place);
    }
    *place = (qn_stream_place){.is_wanted = true, .type = w->types[i], .file_off = p->size_bytes};
    QN_TRY(qn_row_size(place->type, qn_recipe_cols(t->recipe), &place->row_bytes, err));
    if (!qn_mul_u64(place->row_bytes, qn_recipe_rows(t->recipe), &bytes) || !qn_add_u64(p->size_bytes, bytes, &end) ||
        !qn_align_u64(end, ALIGNMENT, &end)) {
        return qn_fail(err, QN_E_RANGE, "%s: the weights are too large to be counted", w->model->path);
    }
    w->places[i] = p->size_bytes;
    p->size_bytes = end;
    p->plan.tensors[p->plan.n_tensors++] = (qn_stream_tensor){
        .name = t->name, .recipe = t->recipe, .stage = "Encode", .places = place};
    return QN_OK;
}

static qn_status make_parts(recipe_weights *w, qn_error *err) {
    const uint64_t n = w->model->n_tensors;
    uint64_t *counts = NULL;
    w->n_parts = count_parts(w);
    w->parts = qn_arena_array(w->arena, w->n_parts, sizeof *w->parts);
    w->bytes = qn_arena_array(w->arena, n, sizeof *w->bytes);
    w->places = qn_arena_array(w->arena, n, sizeof *w->places);
    counts = qn_arena_array(w->arena, w->n_parts, sizeof *counts);
    if (w->parts == NULL || w->bytes == NULL || w->places == NULL || counts == NULL) {
        return qn_fail_nomem(err, w->model->path, (size_t)w->n_parts * sizeof *w->parts);
    }
    for (uint64_t i = 0; i < n; i++) {
        counts[part_of(w, &w->model->tensors[i])]++;
    }
    for (uint64_t k = 0; k < w->n_parts; k++) {
        part *p = &w->parts[k];
        p->plan = (qn_stream_plan){.files = &p->memory, .n_files = 1, .n_outputs = 1};
        p->plan.tensors = qn_arena_array(w->arena, counts[k], sizeof *p->plan.tensors);
        if (p->plan.tensors == NULL) {
            return qn_fail_nomem(err, w->model->path, (size_t)counts[k] * sizeof *p->plan.tensors);
        }
    }
    for (uint64_t i = 0; i < n; i++) {
        QN_TRY(map_bytes(w, i, &w->bytes[i], err));
        if (w->bytes[i] == NULL) {
            QN_TRY(add_tensor(w, i, err));
        }
    }
    for (uint64_t k = 0; k < w->n_parts; k++) {
        qn_stream_cut(&w->parts[k].plan);
    }
    return QN_OK;
}

/* ---- memory ---- */

static uint64_t largest_turn(const recipe_weights *w) {
    uint64_t most = 0;
    for (uint64_t k = EMBEDDING; k < w->n_parts; k++) {
        most = w->parts[k].size_bytes > most ? w->parts[k].size_bytes : most;
    }
    return most;
}

static qn_status check_room(const recipe_weights *w, const char *type, uint64_t bytes, uint64_t max_bytes,
                            qn_error *err) {
    if (max_bytes == 0 || bytes <= max_bytes) {
        return QN_OK;
    }
    return qn_fail(err, QN_E_RANGE,
                   "%s: the weights take %.2f GB of memory as %s, and %.2f GB are free: take a smaller type (-t "
                   "Q4_K_M), or `quern pack` a file, which is mapped",
                   w->model->path, (double)bytes / 1e9, type, (double)max_bytes / 1e9);
}

/* An aligned address in a block that is freed with the provider; NULL when memory is short. */
static unsigned char *new_block(void **block, uint64_t size_bytes) {
    *block = qn_new_array(size_bytes + ALIGNMENT, 1);
    if (*block == NULL) {
        return NULL;
    }
    const uintptr_t address = (uintptr_t)*block;
    return (unsigned char *)*block + (ALIGNMENT - address % ALIGNMENT) % ALIGNMENT;
}

static qn_status make_room(recipe_weights *w, qn_error *err) {
    const uint64_t sizes[2] = {w->parts[RESIDENT].size_bytes, largest_turn(w)};
    unsigned char *starts[2] = {NULL, NULL};
    for (unsigned i = 0; i < 2; i++) {
        starts[i] = new_block(&w->blocks[i], sizes[i]);
        if (starts[i] == NULL) {
            return qn_fail_nomem(err, "the weights", (size_t)sizes[i]);
        }
    }
    for (uint64_t k = 0; k < w->n_parts; k++) {
        w->parts[k].memory.memory = starts[k == RESIDENT ? 0 : 1];
    }
    for (uint64_t i = 0; i < w->model->n_tensors; i++) {
        if (w->bytes[i] == NULL) {
            w->bytes[i] = w->parts[part_of(w, &w->model->tensors[i])].memory.memory + w->places[i];
        }
    }
    return QN_OK;
}

/* ---- encoding ---- */

static qn_status encode(recipe_weights *w, uint64_t at, qn_error *err) {
    const qn_stream_plan *plan = &w->parts[at].plan;
    const qn_stream_options options = {.level = qn_cpu_detect(), .is_silent = at != RESIDENT || w->by_layer};
    qn_stream_state state;
    QN_TRY(qn_stream_state_new(plan, &state, err));
    const qn_status status = qn_stream_run(plan, &state, &options, w->job, err);
    qn_stream_state_clear(&state);
    return status == QN_E_INTERRUPTED ? qn_fail(err, status, "interrupted") : status;
}

static qn_status enter(void *self, qn_part wanted, uint64_t layer, qn_error *err) {
    recipe_weights *w = self;
    const uint64_t at = wanted == QN_PART_EMBEDDING ? EMBEDDING
        : wanted == QN_PART_OUTPUT                  ? OUTPUT
                                                    : FIRST_LAYER + layer;
    if (at >= w->n_parts || at == w->entered) {
        return QN_OK;
    }
    w->entered = RESIDENT;
    QN_TRY(encode(w, at, err));
    w->entered = at;
    return QN_OK;
}

static qn_status find(void *self, const char *name, qn_shape *shape, qn_dtype *type, const void **bytes,
                      qn_error *err) {
    const recipe_weights *w = self;
    (void)err;
    for (uint64_t i = 0; i < w->model->n_tensors; i++) {
        if (strcmp(w->model->tensors[i].name, name) == 0) {
            *shape = w->model->tensors[i].shape;
            *type = w->types[i];
            *bytes = w->bytes[i];
            break;
        }
    }
    return QN_OK;
}

/* ---- opening ---- */

static void close_weights(void *self) {
    recipe_weights *w = self;
    if (w != NULL) {
        free(w->blocks[0]);
        free(w->blocks[1]);
        qn_job_free(w->own_job);
        qn_arena_free(w->arena);
    }
}

static qn_status fill(recipe_weights *w, const qn_recipe_provider_options *options, qn_provider *out, qn_error *err) {
    const char *type = options->type == NULL ? "Q8_0" : options->type;
    const qn_target *target = qn_target_find(type);
    if (target == NULL) {
        return qn_fail(err, QN_E_USAGE, "there is no type '%.40s': `quern types` lists them", type);
    }
    w->types = qn_arena_array(w->arena, w->model->n_tensors, sizeof *w->types);
    if (w->job == NULL) {
        w->own_job = qn_job_new(0, NULL, NULL);
        w->job = w->own_job;
    }
    if (w->types == NULL || w->job == NULL) {
        return qn_fail_nomem(err, w->model->path, 0);
    }
    QN_TRY(qn_model_types(w->model, target, w->types, err));
    QN_TRY(make_parts(w, err));
    const uint64_t bytes = w->parts[RESIDENT].size_bytes + largest_turn(w);
    QN_TRY(check_room(w, target->name, bytes, options->max_bytes, err));
    QN_TRY(make_room(w, err));
    QN_TRY(encode(w, RESIDENT, err));
    *out = (qn_provider){.self = w,
                         .where = w->model->path,
                         .meta = &w->model->meta,
                         .memory_bytes = bytes,
                         .find = find,
                         .enter = w->by_layer ? enter : NULL,
                         .close = close_weights};
    return QN_OK;
}

qn_status qn_recipe_provider_open(const qn_model *model, const qn_recipe_provider_options *options, qn_job *job,
                                  qn_provider *out, qn_error *err) {
    qn_arena *arena = qn_arena_new();
    recipe_weights *w = arena == NULL ? NULL : qn_arena_array(arena, 1, sizeof *w);
    if (w == NULL) {
        qn_arena_free(arena);
        return qn_fail_nomem(err, model->path, sizeof *w);
    }
    w->arena = arena;
    w->model = model;
    w->job = job;
    w->by_layer = options->by_layer;
    const qn_status status = fill(w, options, out, err);
    if (status != QN_OK) {
        close_weights(w);
    }
    return status;
}
