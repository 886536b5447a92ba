/* SPDX-License-Identifier: MIT */
/*
 * model_side_files.c: what goes beside the weights of a folder made of a folder: config.json and the tokenizer.
 *
 * Folders are looked at in the order of qn_vocab_open(): the adapters' from the last to the first, the extra ones, the
 * base, the fallback. What the token list is made of comes from one folder; other files each from the first that has
 * it.
 */
#include "model/model_parts.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SIDE_FILES = 64 };

typedef struct side_list {
    qn_model *model;
    const char **dirs;
    uint64_t n_dirs;
    qn_side_file *files;
    uint64_t n;
} side_list;

/* A token list, whole, in one of these. */
static const char *const token_lists[] = {"tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json",
                                          "vocab.txt"};
/* What belongs to a token list beside them; and files that end in these. */
static const char *const token_parts[] = {"merges.txt", "added_tokens.json"};
static const char *const token_endings[] = {".model", ".tiktoken"};

static const char *const others[] = {
    "generation_config.json",   "tokenizer_config.json", "special_tokens_map.json",
    "preprocessor_config.json", "processor_config.json", "video_preprocessor_config.json",
};
static const char *const templates[] = {"chat_template.jinja", "chat_template.json"};

#define N_OF(array) (sizeof(array) / sizeof((array)[0]))

/* ---- config.json ---- */

/* Sets a member where it is. @return whether it is there */
static bool set_present(json_t *object, const char *key, json_t *value) {
    const bool is_there = json_is_object(object) && json_object_get(object, key) != NULL;
    return is_there && json_object_set(object, key, value) == 0;
}

/* Lists with an item for each layer ("layer_types") lose those of the layers left out. */
static void cut_lists(json_t *text, const qn_layer_map *layers) {
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach(text, key, value) {
        if (!json_is_array(value) || strstr(key, "layer") == NULL || json_array_size(value) != layers->n_layer) {
            continue;
        }
        for (uint64_t i = layers->n_layer; i > 0; i--) {
            if (layers->to[i - 1] == QN_LAYER_DROPPED) {
                (void)json_array_remove(value, (size_t)i - 1);
            }
        }
    }
}

static bool set_type(json_t *config, const char *dtype_name) {
    static const char *const parts[] = {"text_config", "vision_config"};
    json_t *name = json_string(dtype_name);
    bool is_told = set_present(config, "torch_dtype", name);
    is_told = set_present(config, "dtype", name) || is_told;
    const bool fits = name != NULL && (is_told || json_object_set(config, "torch_dtype", name) == 0);
    for (size_t i = 0; i < N_OF(parts); i++) {
        (void)set_present(json_object_get(config, parts[i]), "torch_dtype", name);
        (void)set_present(json_object_get(config, parts[i]), "dtype", name);
    }
    json_decref(name);
    return fits;
}

static bool set_count(json_t *text, const char *const *names, size_t n_names, uint64_t value) {
    json_t *number = json_integer((json_int_t)value);
    bool is_there = false;
    for (size_t i = 0; i < n_names; i++) {
        is_there = set_present(text, names[i], number) || is_there;
    }
    const bool fits = number != NULL && (is_there || json_object_set(text, names[0], number) == 0);
    json_decref(number);
    return fits;
}

/* What config.json has to say otherwise. */
typedef struct config_changes {
    const char *dtype_name; /* NULL: as it is */
    bool unties, cuts_layers, has_other_vocab;
} config_changes;

static config_changes changes_of(const qn_model *model, const qn_model_request *request, const json_t *text,
                                 const qn_layer_map *layers, bool unties) {
    config_changes c = {.unties = unties, .cuts_layers = layers->n_kept < layers->n_layer};
    const char *told = qn_json_string(model->config, "torch_dtype");
    const char *newer = qn_json_string(model->config, "dtype");
    const bool is_same = request->hf_dtype == NULL ||
        ((told != NULL || newer != NULL) && (told == NULL || strcmp(told, request->hf_dtype) == 0) &&
         (newer == NULL || strcmp(newer, request->hf_dtype) == 0));
    uint64_t n_vocab = 0;
    c.dtype_name = is_same ? NULL : request->hf_dtype;
    for (size_t i = 0; i < model->arch->n_defaults; i++) { /* what a config that does not say means */
        n_vocab = model->arch->defaults[i].hp == QN_HP_N_VOCAB ? (uint64_t)model->arch->defaults[i].value : n_vocab;
    }
    (void)qn_json_u64(text, "vocab_size", &n_vocab);
    c.has_other_vocab = n_vocab != qn_hp_count(&model->hparams, QN_HP_N_VOCAB);
    return c;
}

static bool apply_changes(const config_changes *c, const qn_model *model, const qn_layer_map *layers, json_t *config) {
    static const char *const layer_names[] = {"num_hidden_layers", "n_layers", "n_layer", "num_layers"};
    static const char *const vocab_names[] = {"vocab_size"};
    json_t *inner = json_object_get(config, "text_config");
    json_t *text = json_is_object(inner) ? inner : config;
    bool fits = c->dtype_name == NULL || set_type(config, c->dtype_name);
    if (c->unties) {
        fits = fits && json_object_set_new(config, "tie_word_embeddings", json_false()) == 0;
        (void)set_present(text, "tie_word_embeddings", json_false());
    }
    if (c->cuts_layers) {
        fits = fits && set_count(text, layer_names, N_OF(layer_names), layers->n_kept);
        cut_lists(text, layers);
    }
    if (c->has_other_vocab) {
        fits = fits && set_count(text, vocab_names, 1, qn_hp_count(&model->hparams, QN_HP_N_VOCAB));
    }
    return fits;
}

/* JSON text with as few digits as give the same numbers again; free it. NULL when memory is short. */
static char *dump(const json_t *config) {
    for (int digits = 15; digits <= 17; digits++) {
        json_error_t error;
        char *text = qn_json_dump(config, JSON_INDENT(2) | JSON_REAL_PRECISION((size_t)digits));
        json_t *again = text == NULL ? NULL : qn_json_load_bytes(text, strlen(text), 0, &error);
        const bool is_whole = again != NULL;
        const bool is_same = json_equal(again, config) == 1;
        json_decref(again);
        if (is_whole && (is_same || digits == 17)) {
            return text;
        }
        free(text);
        if (!is_whole) {
            return NULL;
        }
    }
    return NULL;
}

static qn_status put_config(side_list *list, const qn_model_request *request, const json_t *text,
                            const qn_layer_map *layers, bool unties, qn_error *err) {
    qn_model *model = list->model;
    qn_side_file *file = &list->files[list->n++];
    const config_changes c = changes_of(model, request, text, layers, unties);
    file->name = "config.json";
    if (c.dtype_name == NULL && !c.unties && !c.cuts_layers && !c.has_other_vocab) {
        file->copy_of = qn_path_join(model->arena, request->dir, file->name);
        return file->copy_of == NULL ? qn_fail_nomem(err, request->dir, 0) : QN_OK;
    }
    json_t *config = json_deep_copy(model->config);
    const bool fits = config != NULL && apply_changes(&c, model, layers, config);
    char *dumped = fits ? dump(config) : NULL;
    const char *copy = dumped == NULL ? NULL : qn_arena_printf(model->arena, "%s\n", dumped);
    json_decref(config);
    free(dumped);
    if (copy == NULL) {
        return qn_fail_nomem(err, "config.json", 0);
    }
    file->bytes = qn_text_of(copy);
    return QN_OK;
}

/* ---- the tokenizer ---- */

/* Adds dir/name when it is there. */
static qn_status add_file(side_list *list, const char *dir, const char *name, bool *found, qn_error *err) {
    qn_arena *arena = list->model->arena;
    const char *path = qn_path_join(arena, dir, name);
    const char *copy = qn_arena_string(arena, name);
    if (path == NULL || copy == NULL) {
        return qn_fail_nomem(err, dir, 0);
    }
    *found = qn_is_file(path);
    if (*found && list->n < MAX_SIDE_FILES) {
        list->files[list->n++] = (qn_side_file){.name = copy, .copy_of = path};
    }
    return QN_OK;
}

/* The files of the token list, when the folder has one. */
static qn_status add_token_list(side_list *list, const char *dir, bool *found, qn_error *err) {
    qn_names names;
    bool has = false;
    *found = false;
    for (size_t i = 0; i < N_OF(token_lists); i++) {
        QN_TRY(add_file(list, dir, token_lists[i], &has, err));
        *found = *found || has;
    }
    if (!qn_is_dir(dir)) {
        return QN_OK;
    }
    QN_TRY(qn_list_dir(list->model->arena, dir, &names, err));
    for (uint64_t i = 0; i < names.n; i++) {
        for (size_t k = 0; k < N_OF(token_endings); k++) {
            if (qn_ends_with(names.names[i], token_endings[k]) && strcmp(names.names[i], "tokenizer.model") != 0) {
                QN_TRY(add_file(list, dir, names.names[i], &has, err));
                *found = *found || has;
            }
        }
    }
    for (size_t i = 0; *found && i < N_OF(token_parts); i++) {
        QN_TRY(add_file(list, dir, token_parts[i], &has, err));
    }
    return QN_OK;
}

/* The first folder's file of a name. @param from out: number of the folder; n_dirs when none has it */
static qn_status add_first(side_list *list, const char *name, uint64_t n_dirs, uint64_t *from, qn_error *err) {
    bool found = false;
    for (*from = 0; *from < n_dirs; (*from)++) {
        QN_TRY(add_file(list, list->dirs[*from], name, &found, err));
        if (found) {
            return QN_OK;
        }
    }
    *from = list->n_dirs;
    return QN_OK;
}

/* Whether a folder's tokenizer_config.json holds a template: then template files of later folders do not count. */
static qn_status has_template(const side_list *list, uint64_t dir, bool *has, qn_error *err) {
    json_t *config = NULL;
    *has = false;
    if (dir >= list->n_dirs) {
        return QN_OK;
    }
    const char *path = qn_path_join(list->model->arena, list->dirs[dir], "tokenizer_config.json");
    if (path == NULL) {
        return qn_fail_nomem(err, list->dirs[dir], 0);
    }
    QN_TRY(qn_json_load_object(path, 64 << 20, &config, err));
    const json_t *template = json_object_get(config, "chat_template");
    *has = template != NULL && !json_is_null(template);
    json_decref(config);
    return QN_OK;
}

static qn_status add_tokenizer(side_list *list, qn_error *err) {
    uint64_t from = 0;
    uint64_t of_config = list->n_dirs;
    bool found = false;
    for (uint64_t i = 0; i < list->n_dirs && !found; i++) {
        QN_TRY(add_token_list(list, list->dirs[i], &found, err));
    }
    for (size_t i = 0; i < N_OF(others); i++) {
        QN_TRY(add_first(list, others[i], list->n_dirs, &from, err));
        of_config = strcmp(others[i], "tokenizer_config.json") == 0 ? from : of_config;
    }
    bool has = false;
    QN_TRY(has_template(list, of_config, &has, err));
    const uint64_t n_dirs = has ? of_config + 1 : list->n_dirs;
    for (size_t i = 0; i < N_OF(templates); i++) {
        QN_TRY(add_first(list, templates[i], n_dirs, &from, err));
    }
    return QN_OK;
}

qn_status qn_model_list_side_files(qn_model *model, const qn_model_request *request, const json_t *text,
                                   const qn_layer_map *layers, bool unties, qn_error *err) {
    const uint64_t most = request->n_adapters + request->n_extra_dirs + 2;
    side_list list = {.model = model};
    list.dirs = qn_arena_array(model->arena, most, sizeof *list.dirs);
    list.files = qn_arena_array(model->arena, MAX_SIDE_FILES, sizeof *list.files);
    if (list.dirs == NULL || list.files == NULL) {
        return qn_fail_nomem(err, "side files", MAX_SIDE_FILES * sizeof *list.files);
    }
    for (uint64_t i = request->n_adapters; i > 0; i--) {
        list.dirs[list.n_dirs++] = request->adapters[i - 1].dir;
    }
    for (uint64_t i = 0; i < request->n_extra_dirs; i++) {
        list.dirs[list.n_dirs++] = request->extra_dirs[i];
    }
    list.dirs[list.n_dirs++] = request->dir;
    if (request->fallback_dir != NULL) {
        list.dirs[list.n_dirs++] = request->fallback_dir;
    }
    QN_TRY(put_config(&list, request, text, layers, unties, err));
    QN_TRY(request->without_vocab ? QN_OK : add_tokenizer(&list, err));
    model->side_files = list.files;
    model->n_side_files = list.n;
    return QN_OK;
}
