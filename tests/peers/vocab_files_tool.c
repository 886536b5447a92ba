/* SPDX-License-Identifier: MIT */
/* vocab_files_tool.c: a vocabulary in, tokenizer files out, and what reading those again changes.
 *
 *     vocab_files_tool IN OUT [KIND [N_VOCAB]]
 *
 * IN is a model folder or a GGUF file, OUT an existing folder. KIND is how a family reads its files: plain, spm
 * (tokenizer.model first), phi3 or gemma. Prints "differs: KEY, N of M, first I" for each key of the vocabulary that
 * comes back otherwise. Exit code: 0 written, 1 failed, 2 usage.
 */
#include "base/file.h"
#include "container/gguf.h"
#include "text/vocab_files.h"
#include "text/vocabulary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct kind {
    const char *name;
    qn_vocab_traits traits;
} kinds[] = {{"plain", {.add_space_prefix = -1}},
             {"spm", {.prefers_spm = true, .add_space_prefix = -1}},
             {"phi3", {.prefers_spm = true, .add_space_prefix = -1, .json_added_override = true}},
             {"gemma", {.prefers_spm = true, .add_space_prefix = 0}}};

static const qn_vocab_traits *find_kind(const char *name) {
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kinds[i].name, name) == 0) {
            return &kinds[i].traits;
        }
    }
    return NULL;
}

static qn_status read_folder(const char *dir, const qn_vocab_traits *traits, uint64_t n_vocab, qn_meta *meta,
                             qn_error *err) {
    const char *config_path = qn_path_join(meta->arena, dir, "config.json");
    json_t *config = NULL;
    qn_vocab *vocab = qn_arena_array(meta->arena, 1, sizeof *vocab);
    if (config_path == NULL || vocab == NULL) {
        return QN_E_NOMEM;
    }
    if (qn_is_file(config_path)) {
        QN_TRY(qn_json_load_object(config_path, 1U << 20, &config, err));
    }
    const qn_vocab_request request = {
        .dirs = &dir, .n_dirs = 1, .config = config, .n_vocab = n_vocab, .traits = traits};
    const qn_status status = qn_vocab_open(&request, meta->arena, vocab, err);
    json_decref(config);
    QN_TRY(status);
    qn_vocab_to_meta(vocab, meta);
    return qn_meta_status(meta, err);
}

static qn_status read_any(const char *path, const qn_vocab_traits *traits, uint64_t n_vocab, qn_meta *meta,
                          qn_archive **archive, qn_error *err) {
    if (qn_is_dir(path)) {
        return read_folder(path, traits, n_vocab, meta, err);
    }
    QN_TRY(qn_gguf_open(path, archive, err));
    const qn_meta *all = qn_archive_meta(*archive);
    for (uint64_t i = 0; i < all->n; i++) {
        qn_meta_set(meta, all->entries[i].key, all->entries[i].value);
    }
    return qn_meta_status(meta, err);
}

static int write_file(const char *dir, const qn_vocab_file *file, qn_arena *arena) {
    const char *path = qn_path_join(arena, dir, file->name);
    FILE *out = path == NULL ? NULL : fopen(path, "wb");
    const int is_written = out != NULL && fwrite(file->bytes.bytes, 1, file->bytes.len, out) == file->bytes.len;
    return out != NULL && fclose(out) == 0 && is_written;
}

static uint64_t count_entries(const qn_meta_value *v) {
    return v->type == QN_META_ARRAY ? v->as.array.n : 1;
}

/* Whether entry i of two values of one type is the same. */
static int is_same_entry(const qn_meta_value *a, const qn_meta_value *b, uint64_t i) {
    if (a->type == QN_META_STRING) {
        return a->as.text.len == b->as.text.len && memcmp(a->as.text.bytes, b->as.text.bytes, a->as.text.len) == 0;
    }
    if (a->type != QN_META_ARRAY) {
        return a->type == QN_META_BOOL ? a->as.b == b->as.b : a->as.u == b->as.u;
    }
    if (a->as.array.type != b->as.array.type) {
        return 0;
    }
    if (a->as.array.type == QN_META_STRING) {
        const qn_text x = ((const qn_text *)a->as.array.items)[i];
        const qn_text y = ((const qn_text *)b->as.array.items)[i];
        return x.len == y.len && memcmp(x.bytes, y.bytes, x.len) == 0;
    }
    const size_t size = qn_meta_type_size(a->as.array.type);
    return memcmp((const char *)a->as.array.items + i * size, (const char *)b->as.array.items + i * size, size) == 0;
}

static void compare(const char *key, const qn_meta_value *a, const qn_meta_value *b) {
    if (b == NULL || a->type != b->type) {
        (void)printf("differs: %s, %s\n", key, b == NULL ? "gone" : "of another type");
        return;
    }
    const uint64_t n_a = count_entries(a);
    const uint64_t n_b = count_entries(b);
    const uint64_t n = n_a < n_b ? n_a : n_b;
    uint64_t first = n;
    uint64_t n_different = n_a + n_b - 2 * n;
    for (uint64_t i = n; i-- > 0;) {
        if (!is_same_entry(a, b, i)) {
            first = i;
            n_different++;
        }
    }
    if (n_different > 0) {
        (void)printf("differs: %s, %llu of %llu, first %llu\n", key, (unsigned long long)n_different,
                     (unsigned long long)n_a, (unsigned long long)first);
    }
}

static qn_status compare_again(const char *dir, const qn_vocab_traits *traits, const qn_meta *before, qn_error *err) {
    qn_meta after = qn_meta_new(before->arena);
    const qn_meta_value *tokens = qn_meta_find(before, "tokenizer.ggml.tokens");
    QN_TRY(read_folder(dir, traits, tokens == NULL ? 0 : tokens->as.array.n, &after, err));
    for (uint64_t i = 0; i < before->n; i++) {
        const qn_meta_entry *e = &before->entries[i];
        if (strncmp(e->key, "tokenizer.", 10) == 0) {
            compare(e->key, &e->value, qn_meta_find(&after, e->key));
        }
    }
    for (uint64_t i = 0; i < after.n; i++) {
        if (qn_meta_find(before, after.entries[i].key) == NULL) {
            (void)printf("differs: %s, new\n", after.entries[i].key);
        }
    }
    return QN_OK;
}

static qn_status convert(const char *in, const char *out, const qn_vocab_traits *traits, uint64_t n_vocab,
                         qn_meta *meta, qn_archive **archive, qn_error *err) {
    qn_vocab_file files[QN_MAX_VOCAB_FILES];
    uint64_t n = 0;
    QN_TRY(read_any(in, traits, n_vocab, meta, archive, err));
    QN_TRY(qn_vocab_files(meta, meta->arena, files, &n, err));
    for (uint64_t i = 0; i < n; i++) {
        if (!write_file(out, &files[i], meta->arena)) {
            (void)snprintf(err->message, sizeof err->message, "%s/%s: cannot be written", out, files[i].name);
            return QN_E_IO;
        }
    }
    return compare_again(out, traits, meta, err);
}

int main(int argc, char **argv) {
    qn_error err = {0};
    qn_archive *archive = NULL;
    const qn_vocab_traits *traits = find_kind(argc > 3 ? argv[3] : "plain");
    if (argc < 3 || argc > 5 || traits == NULL) {
        (void)fprintf(stderr, "usage: vocab_files_tool IN OUT [plain|spm|phi3|gemma [N_VOCAB]]\n");
        return 2;
    }
    qn_arena *arena = qn_arena_new();
    if (arena == NULL) {
        return 1;
    }
    qn_meta meta = qn_meta_new(arena);
    const uint64_t n_vocab = argc > 4 ? strtoull(argv[4], NULL, 10) : 0;
    const qn_status status = convert(argv[1], argv[2], traits, n_vocab, &meta, &archive, &err);
    if (status != QN_OK) {
        (void)fprintf(stderr, "%s: %s\n", qn_status_name(status), err.message);
    }
    qn_archive_close(archive);
    qn_arena_free(arena);
    return status == QN_OK ? 0 : 1;
}
