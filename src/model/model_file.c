/* SPDX-License-Identifier: MIT */
/*
 * model_file.c: opens a file that holds a whole model as an archive with GGUF's names and metadata.
 *
 * A GGUF file is one already. llama2.c's .bin has the same tensors in the same order of rows, and no metadata: keys are
 * made of its header and of the tokenizer.bin beside it, and from there on it is a GGUF file for all who read it.
 */
#include "container/gguf.h"
#include "container/llama2c.h"
#include "model/model.h"

#include <string.h>

/* llama2.c has no field for these: they are in its program. Source: facts/checkpoints.md 4. */
static const double RMS_EPS = 1e-5;
static const double ROPE_BASE = 10000;

/* The first "tok….bin" of a folder; NULL when there is none. */
static const char *find_by_look(qn_arena *arena, const char *dir) {
    qn_names names = {0};
    if (qn_list_dir(arena, dir, &names, NULL) != QN_OK) {
        return NULL;
    }
    for (uint64_t i = 0; i < names.n; i++) {
        if (strncmp(names.names[i], "tok", 3) == 0 && qn_ends_with(names.names[i], ".bin")) {
            return names.names[i];
        }
    }
    return NULL;
}

/* The tokenizer beside the model: tok<number of tokens>.bin, tokenizer.bin, any tok….bin. */
static qn_status find_tokenizer(qn_arena *arena, const char *path, uint64_t n_vocab, const char **out, qn_error *err) {
    const char *dir = qn_path_parent(arena, path);
    const char *sized = qn_arena_printf(arena, "tok%llu.bin", (unsigned long long)n_vocab);
    const char *names[] = {sized, "tokenizer.bin", dir == NULL ? NULL : find_by_look(arena, dir)};
    if (dir == NULL || sized == NULL) {
        return qn_fail_nomem(err, path, 0);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0] && names[i] != NULL; i++) {
        const char *found = qn_path_join(arena, dir, names[i]);
        if (found == NULL) {
            return qn_fail_nomem(err, path, 0);
        }
        if (qn_is_file(found)) {
            *out = found;
            return QN_OK;
        }
    }
    return qn_fail(
        err, QN_E_NOT_FOUND,
        "%s: no vocabulary: neither %s nor tokenizer.bin is in '%s'. Copy the model's tokenizer.bin there, or "
        "pack it with --tokenizer FILE",
        path, sized, dir);
}

static void read_hparams(const qn_llama2c_header *header, qn_hparams *h) {
    const uint64_t head_dim = header->n_embd / header->n_head;
    const struct {
        qn_hp hp;
        double value;
    } rows[] = {
        {QN_HP_N_LAYER, (double)header->n_layer},
        {QN_HP_N_CTX, (double)header->n_ctx},
        {QN_HP_N_EMBD, (double)header->n_embd},
        {QN_HP_N_FF, (double)header->n_ff},
        {QN_HP_N_HEAD, (double)header->n_head},
        {QN_HP_N_HEAD_KV, (double)header->n_head_kv},
        {QN_HP_N_VOCAB, (double)header->n_vocab},
        {QN_HP_RMS_EPS, RMS_EPS},
        {QN_HP_ROPE_BASE, ROPE_BASE},
        {QN_HP_ROPE_DIM, (double)head_dim},
    };
    *h = (qn_hparams){.is_tied = header->is_tied};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_hp_set(h, rows[i].hp, rows[i].value);
    }
}

static uint64_t count_weights(const qn_archive *archive) {
    uint64_t n = 0;
    for (uint64_t i = 0; i < qn_archive_n_tensors(archive); i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(archive, i);
        n += qn_shape_rows(&t->shape) * qn_shape_cols(&t->shape);
    }
    return n;
}

/* The name of the file without ".bin". */
static const char *name_of(qn_arena *arena, const char *path) {
    char *name = qn_path_base(arena, path);
    if (name != NULL && qn_ends_with(name, ".bin")) {
        name[strlen(name) - strlen(".bin")] = '\0';
    }
    return name;
}

static qn_status describe_llama2c(const qn_model_request *request, const qn_llama2c_header *header, qn_archive *archive,
                                  qn_error *err) {
    qn_arena *arena = qn_archive_arena(archive);
    qn_meta *meta = qn_archive_own_meta(archive);
    const qn_arch *arch = qn_arch_by_name("llama");
    const char *name = request->name != NULL ? request->name : name_of(arena, request->dir);
    qn_vocab *vocab = qn_arena_array(arena, 1, sizeof *vocab);
    const char *tokenizer = request->tokenizer;
    qn_hparams h;
    char label[32];
    if (name == NULL || vocab == NULL) {
        return qn_fail_nomem(err, request->dir, 0);
    }
    read_hparams(header, &h);
    qn_meta_set_string(meta, "general.architecture", arch->name);
    qn_meta_set_string(meta, "general.type", "model");
    qn_meta_set_string(meta, "general.name", name);
    qn_meta_set_string(meta, "general.size_label", qn_size_label(count_weights(archive), label, sizeof label));
    qn_arch_write_keys(arch, &h, meta);
    if (!request->without_vocab) {
        if (tokenizer == NULL) {
            QN_TRY(find_tokenizer(arena, request->dir, header->n_vocab, &tokenizer, err));
        }
        QN_TRY(qn_vocab_open_llama2c(tokenizer, header->n_vocab, request->job, arena, vocab, err));
        qn_vocab_to_meta(vocab, meta);
    }
    return qn_meta_status(meta, err);
}

qn_status qn_model_open_file(const qn_model_request *request, qn_archive **out, qn_error *err) {
    qn_llama2c_header header;
    qn_archive *archive = NULL;
    if (!qn_is_llama2c(request->dir)) {
        return qn_gguf_open(request->dir, out, err);
    }
    QN_TRY(qn_llama2c_open(request->dir, &archive, &header, err));
    return qn_archive_give(archive, describe_llama2c(request, &header, archive, err), out);
}
