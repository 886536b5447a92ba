/* SPDX-License-Identifier: MIT */
/* vocab_search.c: finds a vocabulary's files in the folders of a request and parses the JSON ones. */
#include "base/buffer.h"
#include "base/file.h"
#include "container/safetensors.h"
#include "text/vocab_parts.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t MAX_FILE_BYTES = 512U << 20;

/* The files of one folder that a token list can come from; NULL where there is none. */
typedef struct token_files {
    const char *model;
    const char *json;
    const char *vocab;
    const char *merges;
    const char *tiktoken;
    const char *tekken;
} token_files;

static qn_status refuse_pointer(const char *path, qn_error *err) {
    if (qn_is_lfs_pointer(path)) {
        return qn_fail(err, QN_E_NOT_FOUND,
                       "%s: is a Git-LFS pointer, not the file itself: run `git lfs pull` in its folder", path);
    }
    return QN_OK;
}

qn_status qn_vocab_read_file(const char *path, char **text, size_t *len, qn_error *err) {
    QN_TRY(refuse_pointer(path, err));
    return qn_read_text(path, MAX_FILE_BYTES, text, len, err);
}

qn_status qn_vocab_load_object(const char *path, json_t **out, qn_error *err) {
    QN_TRY(refuse_pointer(path, err));
    return qn_json_load_object(path, MAX_FILE_BYTES, out, err);
}

/* dir/name when it is a file; *out is NULL when it is not. */
static qn_status find_in(qn_arena *arena, const char *dir, const char *name, const char **out, qn_error *err) {
    *out = NULL;
    const char *path = qn_path_join(arena, dir, name);
    if (path == NULL) {
        return qn_fail_nomem(err, name, strlen(dir) + strlen(name) + 2);
    }
    if (qn_is_file(path)) {
        *out = path;
    }
    return QN_OK;
}

/* The first NAME.tiktoken, or tiktoken.model. */
static qn_status find_tiktoken(qn_arena *arena, const char *dir, const char **out, qn_error *err) {
    qn_names names = {0};
    QN_TRY(find_in(arena, dir, "tiktoken.model", out, err));
    if (*out != NULL || qn_list_dir(arena, dir, &names, NULL) != QN_OK) {
        return QN_OK; /* a folder that cannot be listed is one without the file */
    }
    for (uint64_t i = 0; i < names.n; i++) {
        if (qn_ends_with(names.names[i], ".tiktoken")) {
            return find_in(arena, dir, names.names[i], out, err);
        }
    }
    return QN_OK;
}

static qn_status list_token_files(qn_arena *arena, const char *dir, token_files *out, qn_error *err) {
    QN_TRY(find_in(arena, dir, "tokenizer.model", &out->model, err));
    QN_TRY(find_in(arena, dir, "tokenizer.json", &out->json, err));
    QN_TRY(find_in(arena, dir, "vocab.json", &out->vocab, err));
    QN_TRY(find_in(arena, dir, "merges.txt", &out->merges, err));
    QN_TRY(find_in(arena, dir, "tekken.json", &out->tekken, err));
    return find_tiktoken(arena, dir, &out->tiktoken, err);
}

/* Llama 3's first release calls a tiktoken file tokenizer.model. */
static bool is_tiktoken_file(const char *path) {
    char head[512];
    qn_file *file = NULL;
    if (qn_file_open(path, &file, NULL) != QN_OK) {
        return false;
    }
    const uint64_t size = qn_file_size(file);
    const size_t n = size < sizeof head ? (size_t)size : sizeof head;
    const bool is_read = qn_file_read_at(file, 0, head, n, NULL) == QN_OK;
    qn_file_close(file);
    return is_read && qn_is_tiktoken(head, n);
}

/* Picks the token list among the files of a folder. @return false when the folder has no whole set */
static bool pick(const token_files *f, bool prefers_spm, qn_vocab_sources *out) {
    const bool model_is_tiktoken = f->model != NULL && is_tiktoken_file(f->model);
    const bool has_spm = f->model != NULL && !model_is_tiktoken;
    out->tokenizer_path = f->json;
    if (has_spm && (prefers_spm || f->json == NULL)) {
        out->kind = QN_VOCAB_SPM;
        out->path = f->model;
    } else if (f->json != NULL) {
        out->kind = QN_VOCAB_JSON;
        out->path = f->json;
    } else if (f->vocab != NULL && f->merges != NULL) {
        out->kind = QN_VOCAB_LISTS;
        out->path = f->vocab;
        out->merges_path = f->merges;
    } else if (model_is_tiktoken || f->tiktoken != NULL) {
        out->kind = QN_VOCAB_TIKTOKEN;
        out->path = model_is_tiktoken ? f->model : f->tiktoken;
    } else if (f->tekken != NULL) {
        out->kind = QN_VOCAB_TEKKEN;
        out->path = f->tekken;
    } else {
        return false;
    }
    return true;
}

/* A tokenizer.json that only repeats a SentencePiece model gives way to it: the model has the scores. */
static void prefer_model(const char *model, qn_vocab_sources *out) {
    const char *type = qn_json_string(json_object_get(out->tokenizer, "model"), "type");
    const bool is_bpe = type == NULL || strcmp(type, "BPE") == 0;
    if (out->kind == QN_VOCAB_JSON && model != NULL && (!is_bpe || qn_is_spm_json(out->tokenizer)) &&
        !is_tiktoken_file(model)) {
        out->kind = QN_VOCAB_SPM;
        out->path = model;
    }
}

static qn_status not_found(const qn_vocab_request *request, qn_error *err) {
    qn_buffer text = {0};
    for (uint64_t i = 0; i < request->n_dirs; i++) {
        qn_buffer_printf(&text, "%s%s", i == 0 ? "" : ", ", request->dirs[i]);
    }
    char *dirs = qn_buffer_take_text(&text);
    const qn_status status = qn_fail(
        err, QN_E_NOT_FOUND,
        "no vocabulary: neither tokenizer.model, tokenizer.json, vocab.json with merges.txt, *.tiktoken, "
        "tiktoken.model nor tekken.json is in %s. Copy the tokenizer files of the base model there",
        dirs == NULL || dirs[0] == '\0' ? "(no folder was given)" : dirs);
    free(dirs);
    return status;
}

/* Loads name from the first of dirs[0..n_dirs) that has it; *out stays NULL when none has. */
static qn_status load_first(qn_arena *arena, const qn_vocab_request *request, uint64_t n_dirs, const char *name,
                            const char **path, uint64_t *found_in, json_t **out, qn_error *err) {
    for (uint64_t i = 0; i < n_dirs; i++) {
        QN_TRY(find_in(arena, request->dirs[i], name, path, err));
        if (*path != NULL) {
            if (found_in != NULL) {
                *found_in = i;
            }
            return qn_vocab_load_object(*path, out, err);
        }
    }
    return QN_OK;
}

/* Files about added tokens count only from the token list's folder and the ones before it. */
static qn_status load_beside(const qn_vocab_request *request, uint64_t set_dir, qn_arena *arena, qn_vocab_sources *out,
                             qn_error *err) {
    const uint64_t n = request->n_dirs;
    uint64_t config_dir = n;
    const char *path = NULL;
    QN_TRY(load_first(arena, request, n, "tokenizer_config.json", &out->config_path, &config_dir, &out->config, err));
    out->config_has_tokens = config_dir <= set_dir;
    QN_TRY(load_first(arena, request, set_dir + 1, "added_tokens.json", &out->added_path, NULL, &out->added, err));
    QN_TRY(load_first(arena, request, n, "special_tokens_map.json", &path, NULL, &out->special_map, err));
    return load_first(arena, request, n, "generation_config.json", &path, NULL, &out->generation, err);
}

qn_status qn_vocab_search(const qn_vocab_request *request, qn_arena *arena, qn_vocab_sources *out, qn_error *err) {
    const bool prefers_spm = request->traits != NULL && request->traits->prefers_spm;
    for (uint64_t i = 0; i < request->n_dirs; i++) {
        token_files here = {0};
        QN_TRY(list_token_files(arena, request->dirs[i], &here, err));
        if (!pick(&here, prefers_spm, out)) {
            continue;
        }
        if (out->tokenizer_path != NULL) {
            QN_TRY(qn_vocab_load_object(out->tokenizer_path, &out->tokenizer, err));
            prefer_model(here.model, out);
        }
        return load_beside(request, i, arena, out, err);
    }
    return not_found(request, err);
}

void qn_vocab_sources_clear(qn_vocab_sources *files) {
    json_decref(files->tokenizer);
    json_decref(files->config);
    json_decref(files->added);
    json_decref(files->special_map);
    json_decref(files->generation);
    *files = (qn_vocab_sources){0};
}
