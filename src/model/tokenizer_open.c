/* SPDX-License-Identifier: MIT */
/* tokenizer_open.c: the public tokenizer: opened from a GGUF file's metadata, or from a folder's tokenizer files. */
#include "arch/arch.h"
#include "base/json.h"
#include "model/model.h"
#include "text/tokenizer.h"
#include "text/vocabulary.h"

#include <stdlib.h>

static const uint64_t MAX_CONFIG_BYTES = (uint64_t)64 << 20;

static qn_status open_file(const char *path, qn_tokenizer **out, qn_error *err) {
    qn_archive *archive = NULL;
    QN_TRY(qn_model_open_file(&(qn_model_request){.dir = path}, &archive, err));
    const qn_status status = qn_tokenizer_new(qn_archive_meta(archive), out, err);
    qn_archive_close(archive);
    return status == QN_OK ? status : qn_fail_at(err, status, "%s", path);
}

/* What the model's family says of its vocabularies; of an unknown one, what most do. */
static qn_vocab_traits traits_of(const char *path, const json_t *config, const json_t **text) {
    const qn_arch *arch = NULL;
    qn_error ignored;
    *text = config;
    if (config != NULL && qn_arch_find(path, config, &arch, text, &ignored) == QN_OK) {
        return arch->vocab;
    }
    return (qn_vocab_traits){.prefers_spm = true, .add_space_prefix = -1};
}

static qn_status open_vocab(const char *path, const json_t *config, qn_job *job, qn_arena *arena, qn_tokenizer **out,
                            qn_error *err) {
    const json_t *text = NULL;
    const qn_vocab_traits traits = traits_of(path, config, &text);
    const qn_vocab_request request = {.dirs = &path, .n_dirs = 1, .config = text, .traits = &traits, .job = job};
    qn_meta meta = qn_meta_new(arena);
    qn_vocab vocab;
    QN_TRY(qn_vocab_open(&request, arena, &vocab, err));
    qn_vocab_to_meta(&vocab, &meta);
    QN_TRY(qn_meta_status(&meta, err));
    const qn_status status = qn_tokenizer_new(&meta, out, err);
    return status == QN_OK ? status : qn_fail_at(err, status, "%s", vocab.source);
}

static qn_status open_folder(const char *path, qn_job *job, qn_tokenizer **out, qn_error *err) {
    qn_arena *arena = qn_arena_new();
    json_t *config = NULL;
    const char *config_path = arena == NULL ? NULL : qn_path_join(arena, path, "config.json");
    qn_status status = config_path == NULL ? qn_fail_nomem(err, path, 0) : QN_OK;
    if (status == QN_OK && qn_is_file(config_path)) {
        status = qn_json_load_object(config_path, MAX_CONFIG_BYTES, &config, err);
    }
    if (status == QN_OK) {
        status = open_vocab(path, config, job, arena, out, err);
    }
    json_decref(config);
    qn_arena_free(arena);
    return status;
}

qn_status qn_tokenizer_open(const char *path, qn_job *job, qn_tokenizer **out, qn_error *err) {
    *out = NULL;
    return qn_is_dir(path) ? open_folder(path, job, out, err) : open_file(path, out, err);
}

qn_status qn_tokenizer_encode(const qn_tokenizer *t, const char *text, size_t size_bytes, unsigned flags, int32_t **ids,
                              size_t *n_ids, qn_error *err) {
    qn_ids list = {0};
    *ids = NULL;
    *n_ids = 0;
    qn_status status = qn_tokenize(t, text, size_bytes, (flags & QN_ENCODE_ADD_SPECIAL) != 0,
                                   (flags & QN_ENCODE_PARSE_SPECIAL) != 0, &list, err);
    if (status == QN_OK && list.items == NULL) {
        list.items = malloc(sizeof *list.items);
        status = list.items == NULL ? qn_fail_nomem(err, "token ids", sizeof *list.items) : QN_OK;
    }
    if (status != QN_OK) {
        qn_ids_clear(&list);
        return status;
    }
    *ids = list.items;
    *n_ids = list.n;
    return QN_OK;
}

/* Hands the bytes of a decoding, or its failure, to the caller. */
static qn_status give_text(qn_buffer *out, qn_status status, char **text, size_t *size_bytes, qn_error *err) {
    *text = NULL;
    if (status != QN_OK) {
        qn_buffer_clear(out);
        return status;
    }
    const size_t len = out->len;
    *text = qn_buffer_take_text(out);
    if (*text == NULL) {
        return qn_fail_nomem(err, "text", len);
    }
    if (size_bytes != NULL) {
        *size_bytes = len;
    }
    return QN_OK;
}

qn_status qn_tokenizer_decode(const qn_tokenizer *t, const int32_t *ids, size_t n_ids, unsigned flags, char **text,
                              size_t *size_bytes, qn_error *err) {
    qn_buffer out = {0};
    const qn_status status = qn_detokenize(t, ids, n_ids, (flags & QN_DECODE_KEEP_SPECIAL) != 0,
                                           (flags & QN_DECODE_REMOVE_SPECIAL) != 0, &out, err);
    return give_text(&out, status, text, size_bytes, err);
}

qn_status qn_tokenizer_piece(const qn_tokenizer *t, int32_t id, unsigned flags, char **text, size_t *size_bytes,
                             qn_error *err) {
    qn_buffer out = {0};
    const qn_status status = qn_token_piece(t, id, (flags & QN_DECODE_KEEP_SPECIAL) != 0, &out, err);
    return give_text(&out, status, text, size_bytes, err);
}
