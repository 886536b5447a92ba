/* SPDX-License-Identifier: MIT */
/* safetensors_folder.c: finds the safetensors weights of a Hugging Face folder and opens them as one archive. */
/*
 * Looked for, in this order: model.safetensors.index.json ("weight_map": tensor -> shard), model.safetensors, all
 * model*.safetensors. Adapters, optimizer states and consolidated*.safetensors beside them are no part of it.
 * Symbolic links are followed: the Hugging Face cache is made of them. Source: facts/checkpoints.md, §1.2.
 */
#include "base/buffer.h"
#include "base/json.h"
#include "container/safetensors.h"
#include "container/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const uint64_t MAX_INDEX_BYTES = 256 << 20;
static const char INDEX_NAME[] = "model.safetensors.index.json";
enum { MAX_NAMES_SHOWN = 5 };

static bool begins(const char *name, const char *prefix) {
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* The number of digits at text as a count, or 0 when they are not all digits. */
static uint64_t digits_at(const char *text, size_t n) {
    uint64_t v = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return 0;
        }
        v = v * 10 + (uint64_t)(text[i] - '0');
    }
    return v;
}

/* N of a name that ends in -00001-of-0000N.safetensors, else 0. */
static uint64_t shard_count(const char *name) {
    static const char pattern[] = "-00000-of-00000.safetensors";
    const size_t n = strlen(name);
    const size_t k = sizeof pattern - 1;
    if (n < k || name[n - k] != '-' || strncmp(name + n - k + 6, "-of-", 4) != 0 ||
        digits_at(name + n - k + 1, 5) == 0) {
        return 0;
    }
    return digits_at(name + n - k + 10, 5);
}

/* Opens one shard into the archive; the metadata of the first one are the archive's. */
static qn_status open_shard(qn_archive *archive, const char *dir, const char *name, qn_error *err) {
    qn_arena *arena = qn_archive_arena(archive);
    const char *path = qn_path_join(arena, dir, name);
    qn_meta scratch = qn_meta_new(arena);
    qn_source source;
    if (path == NULL) {
        return qn_fail_nomem(err, dir, strlen(dir));
    }
    const bool is_first = qn_archive_n_files(archive) == 0;
    QN_TRY(qn_source_open(archive, path, &source, err));
    return qn_safetensors_parse(archive, &source, is_first ? qn_archive_own_meta(archive) : &scratch, err);
}

/* Opens names in order. why: where a missing file was named, for the message. */
static qn_status open_shards(qn_archive *archive, const char *dir, const qn_names *names, const char *why,
                             qn_error *err) {
    uint64_t n_missing = 0;
    const char *missing = NULL;
    for (uint64_t i = 0; i < names->n; i++) {
        const char *path = qn_path_join(qn_archive_arena(archive), dir, names->names[i]);
        if (path == NULL) {
            return qn_fail_nomem(err, dir, strlen(dir));
        }
        if (!qn_is_file(path)) {
            missing = n_missing++ == 0 ? path : missing;
        }
    }
    if (n_missing > 0) {
        return qn_fail(err, QN_E_NOT_FOUND,
                       "%s: is missing: %s, but %" PRIu64 " of %" PRIu64 " files are not there: fetch them", missing,
                       why, n_missing, names->n);
    }
    for (uint64_t i = 0; i < names->n; i++) {
        QN_TRY(open_shard(archive, dir, names->names[i], err));
    }
    return QN_OK;
}

/* A list of names for a message: the first few, and how many more. */
typedef struct name_list {
    qn_buffer text;
    uint64_t n;
} name_list;

static void list_name(name_list *list, const char *name) {
    if (list->n++ < MAX_NAMES_SHOWN) {
        qn_buffer_printf(&list->text, "%s%s", list->n == 1 ? "" : ", ", qn_shown_name(name, strlen(name)).text);
    }
}

static const char *list_text(name_list *list) {
    if (list->n > MAX_NAMES_SHOWN) {
        qn_buffer_printf(&list->text, " and %" PRIu64 " more", list->n - MAX_NAMES_SHOWN);
    }
    qn_buffer_u8(&list->text, 0);
    return list->text.has_failed ? "(out of memory)" : (const char *)list->text.data;
}

/* The index and the shards must name the same tensors. */
static qn_status compare_with_index(const qn_archive *archive, const char *path, json_t *map, qn_error *err) {
    name_list missing = {0};
    name_list unlisted = {0};
    qn_status status = QN_OK;
    const char *name = NULL;
    json_t *value = NULL;
    json_object_foreach(map, name, value) {
        if (qn_archive_find(archive, name) == NULL) {
            list_name(&missing, name);
        }
    }
    for (uint64_t i = 0; i < qn_archive_n_tensors(archive); i++) {
        name = qn_archive_tensor_at(archive, i)->name;
        if (json_object_get(map, name) == NULL) {
            list_name(&unlisted, name);
        }
    }
    if (missing.n > 0 || unlisted.n > 0) {
        const bool is_both = missing.n > 0 && unlisted.n > 0;
        status = qn_fail(
            err, QN_E_FORMAT,
            "%s: does not fit the shards:%s%s%s%s%s: the files are not of one model or one download; fetch "
            "them again",
            path, missing.n > 0 ? " it names tensors that no shard holds: " : "",
            missing.n > 0 ? list_text(&missing) : "", is_both ? ";" : "",
            unlisted.n > 0 ? " shards hold tensors that it does not name: " : "",
            unlisted.n > 0 ? list_text(&unlisted) : "");
    }
    qn_buffer_clear(&missing.text);
    qn_buffer_clear(&unlisted.text);
    return status;
}

static int compare_names(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The shard names of a weight_map, sorted, each once. They are borrowed from the map. */
static qn_status list_shards(qn_arena *arena, const char *path, json_t *map, qn_names *out, qn_error *err) {
    const uint64_t n = json_object_size(map);
    const char **names = qn_arena_array(arena, n, sizeof *names);
    const char *tensor = NULL;
    json_t *value = NULL;
    uint64_t at = 0;
    if (names == NULL) {
        return qn_fail_nomem(err, path, (size_t)n * sizeof *names);
    }
    json_object_foreach(map, tensor, value) {
        names[at] = json_string_value(value);
        if (names[at] == NULL || strlen(names[at]) != json_string_length(value) || !qn_is_plain_name(names[at])) {
            const char *shown = names[at] == NULL ? "(no text)" : names[at];
            return qn_fail(err, QN_E_FORMAT,
                           "%s: weight_map puts tensor '%s' into '%s', which is not the name of a file in this folder",
                           path, qn_shown_name(tensor, strlen(tensor)).text, qn_shown_name(shown, strlen(shown)).text);
        }
        at++;
    }
    if (n > 1) {
        qsort(names, (size_t)n, sizeof *names, compare_names);
    }
    uint64_t n_once = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (n_once == 0 || strcmp(names[n_once - 1], names[i]) != 0) {
            names[n_once++] = names[i];
        }
    }
    *out = (qn_names){names, n_once};
    return QN_OK;
}

/* Parses an index; names that occur twice are refused, so base/json is not enough. */
static qn_status load_index(const char *path, json_t **out, qn_error *err) {
    char *text = NULL;
    size_t len = 0;
    json_error_t e;
    QN_TRY(qn_read_text(path, MAX_INDEX_BYTES, &text, &len, err));
    const qn_source source = {path, (const unsigned char *)text, len, NULL};
    const qn_status status = qn_source_refuse_impostor(&source, err);
    if (status != QN_OK) {
        free(text);
        return status;
    }
    json_t *index = qn_json_load_bytes(text, len, JSON_REJECT_DUPLICATES, &e);
    free(text);
    if (index == NULL && qn_json_ran_out(&e)) {
        return qn_fail_nomem(err, path, len);
    }
    if (index == NULL) {
        return qn_fail(err, QN_E_FORMAT, "%s: not valid JSON, line %d column %d: %s", path, e.line, e.column, e.text);
    }
    if (!json_is_object(json_object_get(index, "weight_map"))) {
        json_decref(index);
        return qn_fail(err, QN_E_FORMAT, "%s: has no \"weight_map\" object", path);
    }
    *out = index;
    return QN_OK;
}

static qn_status open_by_index(qn_archive *archive, const char *dir, const char *path, qn_error *err) {
    json_t *index = NULL;
    qn_names names;
    QN_TRY(load_index(path, &index, err));
    json_t *map = json_object_get(index, "weight_map");
    qn_status status = list_shards(qn_archive_arena(archive), path, map, &names, err);
    if (status == QN_OK) {
        status = open_shards(archive, dir, &names, "model.safetensors.index.json names it", err);
    }
    if (status == QN_OK) {
        status = qn_archive_seal(archive, err);
    }
    if (status == QN_OK) {
        status = compare_with_index(archive, path, map, err);
    }
    json_decref(index);
    return status;
}

/* Says what a folder without model*.safetensors holds instead. */
static qn_status fail_no_weights(const char *dir, const qn_names *all, qn_error *err) {
    static const struct {
        const char *prefix;
        const char *suffix;
        const char *told;
    } others[] = {
        {"pytorch_model", ".bin",
         "it holds PyTorch weights (pytorch_model*.bin), which quern does not read: save the "
         "model as safetensors (save_pretrained with safe_serialization=True)"},
        {"adapter_model", "", "it holds an adapter (adapter_model.*) without its base model"},
        {"consolidated", "",
         "it holds weights in the original layout (consolidated.*): use the folder in Hugging "
         "Face's layout"},
        {"", ".gguf", "it holds GGUF files: name the file itself"},
        {"tf_model", "", "it holds TensorFlow weights: use the safetensors of this model"},
        {"checkpoint-", "", "it holds the checkpoints of a training run: name one of them"},
    };
    for (size_t k = 0; k < sizeof others / sizeof others[0]; k++) {
        for (uint64_t i = 0; i < all->n; i++) {
            if (begins(all->names[i], others[k].prefix) && qn_ends_with(all->names[i], others[k].suffix)) {
                return qn_fail(err, QN_E_NOT_FOUND, "%s: no model*.safetensors in this folder; %s", dir,
                               others[k].told);
            }
        }
    }
    return qn_fail(err, QN_E_NOT_FOUND, "%s: no model*.safetensors in this folder: fetch the weights", dir);
}

/* Names of shards -0000k-of-0000N must be there from 1 to N: without an index nothing else would tell. */
static qn_status check_all_there(const char *dir, const qn_names *names, qn_error *err) {
    for (uint64_t i = 0; i < names->n; i++) {
        const uint64_t count = shard_count(names->names[i]);
        uint64_t n_there = 0;
        for (uint64_t k = 0; count > 0 && k < names->n; k++) {
            n_there += shard_count(names->names[k]) == count ? 1 : 0;
        }
        if (n_there < count) {
            return qn_fail(err, QN_E_NOT_FOUND,
                           "%s: %" PRIu64 " of %" PRIu64 " shards are here (%s is one): fetch the others, and %s", dir,
                           n_there, count, names->names[i], INDEX_NAME);
        }
    }
    return QN_OK;
}

static qn_status open_by_names(qn_archive *archive, const char *dir, qn_error *err) {
    qn_arena *arena = qn_archive_arena(archive);
    qn_names all;
    QN_TRY(qn_list_dir(arena, dir, &all, err));
    const char **chosen = qn_arena_array(arena, all.n, sizeof *chosen);
    uint64_t n = 0;
    if (chosen == NULL) {
        return qn_fail_nomem(err, dir, (size_t)all.n * sizeof *chosen);
    }
    for (uint64_t i = 0; i < all.n; i++) {
        if (strcmp(all.names[i], "model.safetensors") == 0) {
            chosen[0] = all.names[i]; /* other model*.safetensors beside it are variants of it */
            n = 1;
            break;
        }
        if (begins(all.names[i], "model") && qn_ends_with(all.names[i], ".safetensors")) {
            chosen[n++] = all.names[i];
        }
    }
    if (n == 0) {
        return fail_no_weights(dir, &all, err);
    }
    const qn_names names = {chosen, n};
    QN_TRY(check_all_there(dir, &names, err));
    QN_TRY(open_shards(archive, dir, &names, "the folder lists it", err));
    return qn_archive_seal(archive, err);
}

qn_status qn_safetensors_open_folder(const char *dir, qn_archive **out, qn_error *err) {
    qn_archive *archive = qn_archive_new("safetensors");
    const char *index = archive == NULL ? NULL : qn_path_join(qn_archive_arena(archive), dir, INDEX_NAME);
    if (index == NULL) {
        qn_archive_close(archive);
        return qn_fail_nomem(err, dir, 0);
    }
    return qn_archive_give(
        archive, qn_is_file(index) ? open_by_index(archive, dir, index, err) : open_by_names(archive, dir, err), out);
}
