/* SPDX-License-Identifier: MIT */
/* inspect.c: qn_inspect(): finds out what a path is, opens it, headers only, and describes it. */
/*
 * A folder is described by the GGUF keys it would be packed with, and by the tensors of its files as they are; so
 * one table of keys serves files and folders. A folder whose vocabulary cannot be read is described without it.
 */
#include "quern/inspect.h"

#include "container/gguf.h"
#include "container/llama2c.h"
#include "container/safetensors.h"
#include "model/model.h"
#include "pack/inspect_meta.h"

#include <stdlib.h>
#include <string.h>

/* What was opened. One of archive's owners is set, or none when the archive is ours. */
typedef struct subject {
    const char *kind;
    const char *path;
    qn_archive *archive; /* tensors and files; owned by model or adapter when there is one */
    const qn_meta *meta;
    qn_model *model;
    qn_adapter *adapter;
    char note[sizeof(((qn_error *)0)->message)]; /* why the vocabulary is missing; empty */
} subject;

static void close_subject(subject *s) {
    if (s->model == NULL && s->adapter == NULL) {
        qn_archive_close(s->archive);
    }
    qn_model_close(s->model);
    qn_adapter_close(s->adapter);
}

/* A folder with config.json. A vocabulary that cannot be read is noted, and the rest told all the same. */
static qn_status open_model(subject *s, qn_error *err) {
    qn_model_request request = {.dir = s->path};
    qn_error first;
    s->kind = "model";
    if (qn_model_open(&request, &s->model, &first) != QN_OK) {
        request.without_vocab = true;
        QN_TRY(qn_model_open(&request, &s->model, err));
        memcpy(s->note, first.message, sizeof s->note);
    }
    s->archive = s->model->archive;
    s->meta = &s->model->meta;
    return QN_OK;
}

static qn_status open_folder(subject *s, qn_error *err) {
    if (qn_is_adapter_dir(s->path)) {
        s->kind = "adapter";
        QN_TRY(qn_adapter_open(s->path, 1.0, NULL, &s->adapter, err));
        s->archive = s->adapter->archive;
        s->meta = qn_archive_meta(s->archive);
        return QN_OK;
    }
    qn_arena *arena = qn_arena_new();
    const char *config = arena == NULL ? NULL : qn_path_join(arena, s->path, "config.json");
    const bool has_config = config != NULL && qn_is_file(config);
    qn_arena_free(arena);
    if (has_config) {
        return open_model(s, err);
    }
    s->kind = "safetensors";
    QN_TRY(qn_safetensors_open_folder(s->path, &s->archive, err));
    s->meta = qn_archive_meta(s->archive);
    return QN_OK;
}

/* As open_model() does with a folder: told without its vocabulary when that cannot be read. */
static qn_status open_llama2c(subject *s, qn_error *err) {
    qn_model_request request = {.dir = s->path};
    qn_error first;
    s->kind = "llama2.c";
    if (qn_model_open_file(&request, &s->archive, &first) != QN_OK) {
        request.without_vocab = true;
        QN_TRY(qn_model_open_file(&request, &s->archive, err));
        memcpy(s->note, first.message, sizeof s->note);
    }
    s->meta = qn_archive_meta(s->archive);
    return QN_OK;
}

/* Tells the format by its first bytes; a name decides only where they say nothing, so that the reader complains. */
static qn_status open_file(subject *s, qn_error *err) {
    qn_file *file = NULL;
    unsigned char head[9] = {0};
    QN_TRY(qn_file_open(s->path, &file, err));
    const size_t n = qn_file_size(file) < sizeof head ? (size_t)qn_file_size(file) : sizeof head;
    const qn_status status = qn_file_read_at(file, 0, head, n, err);
    qn_file_close(file);
    if (status != QN_OK) {
        return status;
    }
    if (memcmp(head, "GGUF", 4) == 0 || qn_ends_with(s->path, ".gguf")) {
        s->kind = "gguf";
        QN_TRY(qn_gguf_open(s->path, &s->archive, err));
    } else if (qn_is_llama2c(s->path)) {
        return open_llama2c(s, err);
    } else if (head[8] == '{' || qn_ends_with(s->path, ".safetensors")) {
        s->kind = "safetensors";
        QN_TRY(qn_safetensors_open(s->path, &s->archive, err));
    } else {
        return qn_fail(
            err, QN_E_UNSUPPORTED,
            "%s: is neither a GGUF, nor a safetensors, nor a llama2.c file: give one of these, a model folder or an "
            "adapter folder",
            s->path);
    }
    s->meta = qn_archive_meta(s->archive);
    return QN_OK;
}

static json_t *files_json(qn_inspection *d, const qn_archive *archive) {
    json_t *files = json_array();
    for (uint64_t i = 0; i < qn_archive_n_files(archive); i++) {
        const qn_file *file = qn_archive_file_at(archive, i);
        json_t *o = json_object();
        qn_inspection_put(d, o, "path", qn_inspection_text(qn_file_path(file)));
        qn_inspection_put(d, o, "size_bytes", qn_inspection_count(qn_file_size(file)));
        qn_inspection_push(d, files, o);
    }
    return files;
}

static json_t *types_json(qn_inspection *d, const qn_archive *archive) {
    uint64_t n[QN_DTYPE_LIMIT] = {0};
    uint64_t bytes[QN_DTYPE_LIMIT] = {0};
    json_t *types = json_object();
    for (uint64_t i = 0; i < qn_archive_n_tensors(archive); i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(archive, i);
        n[t->type]++;
        bytes[t->type] += t->size_bytes;
    }
    for (uint32_t id = 0; id < QN_DTYPE_LIMIT; id++) {
        if (n[id] > 0) {
            json_t *o = json_object();
            qn_inspection_put(d, o, "n_tensors", qn_inspection_count(n[id]));
            qn_inspection_put(d, o, "size_bytes", qn_inspection_count(bytes[id]));
            qn_inspection_put(d, types, qn_dtype_get(id)->name, o);
        }
    }
    return types;
}

static json_t *tensors_json(qn_inspection *d, const qn_archive *archive) {
    json_t *tensors = json_array();
    for (uint64_t i = 0; i < qn_archive_n_tensors(archive); i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(archive, i);
        json_t *o = json_object();
        json_t *shape = json_array();
        for (uint32_t k = 0; k < t->shape.n_dims; k++) {
            qn_inspection_push(d, shape, qn_inspection_count(t->shape.dims[k]));
        }
        qn_inspection_put(d, o, "name", qn_inspection_text(t->name));
        qn_inspection_put(d, o, "shape", shape);
        qn_inspection_put(d, o, "type", json_string(qn_dtype_get((uint32_t)t->type)->name));
        qn_inspection_put(d, o, "size_bytes", qn_inspection_count(t->size_bytes));
        qn_inspection_push(d, tensors, o);
    }
    return tensors;
}

/* Tensors of an adapter beside its pairs: trained weights and biases. DoRA's magnitudes are told as a variant. */
static json_t *others_json(qn_inspection *d, const qn_adapter *adapter) {
    json_t *others = json_array();
    for (uint64_t i = 0; i < adapter->n_parts; i++) {
        const qn_adapter_part *part = &adapter->parts[i];
        const qn_archive_tensor *const tensors[] = {part->b_bias, part->full_weight, part->full_bias};
        for (size_t k = 0; k < sizeof tensors / sizeof tensors[0]; k++) {
            if (tensors[k] != NULL) {
                qn_inspection_push(d, others, qn_inspection_text(tensors[k]->name));
            }
        }
    }
    return others;
}

static json_t *peft_json(qn_inspection *d, const qn_adapter *adapter) {
    const char *type = qn_json_string(adapter->config, "peft_type");
    json_t *o = json_object();
    json_t *variants = json_array();
    uint64_t rank = 0;
    for (uint64_t i = 0; i < adapter->n_parts; i++) {
        rank = adapter->parts[i].rank > rank ? adapter->parts[i].rank : rank;
    }
    if (adapter->has_rslora) {
        qn_inspection_push(d, variants, json_string("rslora"));
    }
    if (adapter->has_dora) {
        qn_inspection_push(d, variants, json_string("dora"));
    }
    qn_inspection_put(d, o, "peft_type", qn_inspection_text(type == NULL ? "LORA" : type));
    qn_inspection_put(d, o, "rank", qn_inspection_count(rank));
    qn_inspection_put(d, o, "alpha", json_real(adapter->alpha));
    qn_inspection_put(d, o, "variants", variants);
    qn_inspection_put(d, o, "base", qn_inspection_text(adapter->base));
    qn_inspection_put(d, o, "n_pairs", qn_inspection_count(adapter->n_pairs));
    qn_inspection_put(d, o, "others", others_json(d, adapter));
    return o;
}

/* A GGUF adapter: pairs end in .lora_a and .lora_b; lora_b is [out, rank]. */
static json_t *gguf_adapter_json(qn_inspection *d, const subject *s) {
    json_t *o = json_object();
    json_t *others = json_array();
    double alpha = 0;
    uint64_t rank = 0;
    uint64_t n_pairs = 0;
    for (uint64_t i = 0; i < qn_archive_n_tensors(s->archive); i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(s->archive, i);
        if (qn_ends_with(t->name, ".lora_b")) {
            const uint64_t cols = qn_shape_cols(&t->shape);
            rank = cols > rank ? cols : rank;
            n_pairs++;
        } else if (!qn_ends_with(t->name, ".lora_a")) {
            qn_inspection_push(d, others, qn_inspection_text(t->name));
        }
    }
    (void)qn_meta_f64(s->meta, "adapter.lora.alpha", &alpha);
    qn_inspection_put(d, o, "peft_type", json_string("LORA"));
    qn_inspection_put(d, o, "rank", qn_inspection_count(rank));
    qn_inspection_put(d, o, "alpha", json_real(alpha));
    qn_inspection_put(d, o, "variants", json_array());
    qn_inspection_put(d, o, "base", qn_inspection_text(qn_meta_string(s->meta, "general.base_model.0.name")));
    qn_inspection_put(d, o, "n_pairs", qn_inspection_count(n_pairs));
    qn_inspection_put(d, o, "others", others);
    return o;
}

static json_t *adapter_json(qn_inspection *d, const subject *s) {
    if (s->adapter != NULL) {
        return peft_json(d, s->adapter);
    }
    const char *type = qn_meta_string(s->meta, "adapter.type");
    return type != NULL && strcmp(type, "lora") == 0 ? gguf_adapter_json(d, s) : json_null();
}

static void put_sizes(qn_inspection *d, json_t *o, const qn_archive *archive, uint64_t *size_bytes) {
    uint64_t n_weights = 0;
    *size_bytes = 0;
    for (uint64_t i = 0; i < qn_archive_n_tensors(archive); i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(archive, i);
        n_weights += qn_shape_rows(&t->shape) * qn_shape_cols(&t->shape);
        *size_bytes += t->size_bytes;
    }
    qn_inspection_put(d, o, "n_tensors", qn_inspection_count(qn_archive_n_tensors(archive)));
    qn_inspection_put(d, o, "n_weights", qn_inspection_count(n_weights));
    qn_inspection_put(d, o, "size_bytes", qn_inspection_count(*size_bytes));
    qn_inspection_put(d, o, "bits_per_weight",
                      n_weights == 0 ? json_null() : json_real(8 * (double)*size_bytes / (double)n_weights));
}

static json_t *describe(const subject *s, uint64_t n_ctx, qn_inspection *d) {
    const char *arch = qn_meta_string(s->meta, "general.architecture");
    json_t *o = json_object();
    json_t *notes = json_array();
    uint64_t size_bytes = 0;
    if (s->note[0] != '\0') {
        qn_inspection_push(d, notes, qn_inspection_text(s->note));
    }
    qn_inspection_put(d, o, "kind", json_string(s->kind));
    qn_inspection_put(d, o, "path", qn_inspection_text(s->path));
    qn_inspection_put(d, o, "files", files_json(d, s->archive));
    qn_inspection_put(d, o, "arch", qn_inspection_text(arch));
    qn_inspection_put(d, o, "name", qn_inspection_text(qn_meta_string(s->meta, "general.name")));
    put_sizes(d, o, s->archive, &size_bytes);
    qn_inspection_put(d, o, "metadata", qn_inspect_pairs(d, s->meta));
    qn_inspection_put(d, o, "types", types_json(d, s->archive));
    qn_inspection_put(d, o, "tensors", tensors_json(d, s->archive));
    qn_inspection_put(d, o, "vocabulary", qn_inspect_vocabulary(d, s->meta));
    qn_inspection_put(d, o, "chat_template", qn_inspection_text(qn_meta_string(s->meta, "tokenizer.chat_template")));
    qn_inspection_put(d, o, "hyperparameters", qn_inspect_hyperparameters(d, s->meta, arch));
    qn_inspection_put(d, o, "memory", qn_inspect_memory(d, s->meta, arch, size_bytes, n_ctx));
    qn_inspection_put(d, o, "adapter", adapter_json(d, s));
    qn_inspection_put(d, o, "notes", notes);
    return o;
}

qn_status qn_inspect(const char *path, uint64_t n_ctx, char **text, qn_error *err) {
    subject s = {.path = path};
    const qn_status status = qn_is_dir(path) ? open_folder(&s, err) : open_file(&s, err);
    if (status != QN_OK) {
        close_subject(&s);
        return status;
    }
    qn_inspection d = {0};
    json_t *o = describe(&s, n_ctx, &d);
    *text = d.has_failed ? NULL : qn_json_dump(o, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(o);
    close_subject(&s);
    return *text == NULL ? qn_fail_nomem(err, path, 0) : QN_OK;
}
