/* SPDX-License-Identifier: MIT */
/* tiny_model.h: makes models and adapters of a few kilobytes out of lists of tensors that a test may change. */
#ifndef QUERN_TESTS_TINY_MODEL_H
#define QUERN_TESTS_TINY_MODEL_H

#include "support.h"

#include "base/buffer.h"
#include "base/json.h"
#include "quern/job.h"

/** Sizes of tiny_llama(): they go with the sample's tokenizer. */
enum { TINY_EMBD = 32, TINY_HEAD = 4, TINY_KV = 2, TINY_HEAD_DIM = 8, TINY_FF = 64, TINY_VOCAB = 2048, TINY_LAYER = 2 };

enum { TINY_MAX_TENSORS = 160, TINY_NO_NAN = -1 };

/** A tensor to be written: values come from its name, so that two files agree about it. */
typedef struct tiny_tensor {
    char name[160];
    const char *type; /**< "F32", "BF16", … as safetensors spells it */
    uint64_t dims[3];
    unsigned n_dims;
    unsigned seed;
    int64_t nan_at; /**< element that is NaN; TINY_NO_NAN */
} tiny_tensor;

/** A list of them. */
typedef struct tiny_list {
    tiny_tensor tensors[TINY_MAX_TENSORS];
    size_t n;
} tiny_list;

/** Adds a tensor of n_dims 0 to 3 dimensions; it can be changed through what is returned. */
static inline tiny_tensor *tiny_add(tiny_list *list, const char *name, const char *type, unsigned n_dims, uint64_t d0,
                                    uint64_t d1) {
    assert_true(list->n < TINY_MAX_TENSORS && strlen(name) < sizeof list->tensors[0].name);
    tiny_tensor *t = &list->tensors[list->n++];
    *t = (tiny_tensor){.type = type, .dims = {d0, d1, 1}, .n_dims = n_dims, .nan_at = TINY_NO_NAN};
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    return t;
}

/** The tensor of that name; the test fails when there is none. */
static inline tiny_tensor *tiny_at(tiny_list *list, const char *name) {
    for (size_t i = 0; i < list->n; i++) {
        if (strcmp(list->tensors[i].name, name) == 0) {
            return &list->tensors[i];
        }
    }
    print_error("no tensor '%s' in the list\n", name);
    fail();
    return NULL;
}

/** Takes a tensor out. */
static inline void tiny_remove(tiny_list *list, const char *name) {
    tiny_tensor *t = tiny_at(list, name);
    *t = list->tensors[--list->n];
}

static inline size_t tiny_type_size(const char *type) {
    static const struct {
        const char *name;
        size_t size;
    } rows[] = {{"F32", 4}, {"F16", 2}, {"BF16", 2}, {"F64", 8}, {"I64", 8}, {"I32", 4}, {"U8", 1}, {"BOOL", 1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, type) == 0) {
            return rows[i].size;
        }
    }
    fail();
    return 0;
}

static inline uint64_t tiny_elements(const tiny_tensor *t) {
    uint64_t n = 1;
    for (unsigned i = 0; i < t->n_dims; i++) {
        n *= t->dims[i];
    }
    return n;
}

static inline void tiny_values(const tiny_tensor *t, qn_buffer *out) {
    const size_t size = tiny_type_size(t->type);
    const uint64_t n = tiny_elements(t);
    uint32_t random = 2166136261U + t->seed;
    for (const char *c = t->name; *c != '\0'; c++) {
        random = (random ^ (unsigned char)*c) * 16777619U;
    }
    for (uint64_t i = 0; i < n; i++) {
        random = random * 1664525U + 1013904223U;
        float v = (float)((int32_t)(random >> 8) - (1 << 23)) / 83886080.0F; /* within 0.1 */
        uint32_t bits = 0;
        memcpy(&bits, &v, sizeof bits);
        bits = (int64_t)i == t->nan_at ? 0x7FC00000U : bits;
        if (size == 2) { /* as float16 these are other numbers, small ones too */
            qn_buffer_u16(out,
                          strcmp(t->type, "BF16") == 0 ? (uint16_t)(bits >> 16) : (uint16_t)((bits >> 16) & 0xBFFFU));
        } else if (size == 4) {
            qn_buffer_u32(out, bits);
        } else {
            qn_buffer_zeros(out, size);
        }
    }
}

static inline void tiny_header(const tiny_list *list, qn_buffer *out) {
    uint64_t off = 0;
    qn_buffer_text(out, "{");
    for (size_t i = 0; i < list->n; i++) {
        const tiny_tensor *t = &list->tensors[i];
        const uint64_t size = tiny_elements(t) * tiny_type_size(t->type);
        qn_buffer_printf(out, "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[", i == 0 ? "" : ",", t->name, t->type);
        for (unsigned k = 0; k < t->n_dims; k++) {
            qn_buffer_printf(out, "%s%llu", k == 0 ? "" : ",", (unsigned long long)t->dims[k]);
        }
        qn_buffer_printf(out, "],\"data_offsets\":[%llu,%llu]}", (unsigned long long)off,
                         (unsigned long long)(off + size));
        off += size;
    }
    qn_buffer_text(out, "}");
    while (out->len % 8 != 0) {
        qn_buffer_text(out, " ");
    }
}

/** Writes dir/name.safetensors (or whatever name says). */
static inline void tiny_write(const tiny_list *list, const char *dir, const char *name) {
    qn_buffer header = {0};
    qn_buffer file = {0};
    tiny_header(list, &header);
    qn_buffer_u64(&file, header.len);
    qn_buffer_append(&file, header.data, header.len);
    for (size_t i = 0; i < list->n; i++) {
        tiny_values(&list->tensors[i], &file);
    }
    assert_false(header.has_failed || file.has_failed);
    free(write_file(dir, name, file.data, file.len));
    qn_buffer_clear(&header);
    qn_buffer_clear(&file);
}

/** Writes the header and leaves the data a hole: a file that may be as large as it likes. */
static inline void tiny_write_sparse(const tiny_list *list, const char *dir, const char *name) {
    qn_buffer header = {0};
    qn_buffer file = {0};
    uint64_t size = 0;
    tiny_header(list, &header);
    qn_buffer_u64(&file, header.len);
    qn_buffer_append(&file, header.data, header.len);
    for (size_t i = 0; i < list->n; i++) {
        size += tiny_elements(&list->tensors[i]) * tiny_type_size(list->tensors[i].type);
    }
    char *path = write_file(dir, name, file.data, file.len);
    assert_int_equal(truncate(path, (off_t)(file.len + size)), 0);
    free(path);
    qn_buffer_clear(&header);
    qn_buffer_clear(&file);
}

/**
 * Writes dir/name: the JSON object base with the members of patch in their place. A member "<absent>" is left out.
 * @param patch JSON with ' for "; NULL for none
 */
static inline void tiny_write_json(const char *dir, const char *name, const char *base, const char *patch) {
    qn_buffer text = {0};
    json_t *object = NULL;
    json_t *changes = NULL;
    json_t *value = NULL;
    const char *key = NULL;
    void *next = NULL;
    qn_error err;
    assert_ok(&err, qn_json_parse("base", base, strlen(base), &object, &err));
    for (const char *c = patch == NULL ? "{}" : patch; *c != '\0'; c++) {
        qn_buffer_u8(&text, *c == '\'' ? '"' : (uint8_t)*c);
    }
    assert_ok(&err, qn_json_parse("patch", (const char *)text.data, text.len, &changes, &err));
    assert_int_equal(json_object_update(object, changes), 0);
    json_object_foreach_safe(changes, next, key, value) {
        if (json_is_string(value) && strcmp(json_string_value(value), "<absent>") == 0) {
            assert_int_equal(json_object_del(object, key), 0);
        }
    }
    char *out = json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    assert_non_null(out);
    free(write_text(dir, name, out));
    free(out);
    json_decref(object);
    json_decref(changes);
    qn_buffer_clear(&text);
}

static const char tiny_llama_config[] =
    "{\"architectures\": [\"LlamaForCausalLM\"], \"hidden_size\": 32, \"intermediate_size\": 64, "
    "\"max_position_embeddings\": 64, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, "
    "\"num_hidden_layers\": 2, \"rms_norm_eps\": 1e-5, \"rope_theta\": 10000.0, "
    "\"tie_word_embeddings\": false, \"vocab_size\": 2048, \"bos_token_id\": 1, \"eos_token_id\": 2}";

/** The tensors of a Llama of TINY_LAYER layers, in BF16. */
static inline void tiny_llama(tiny_list *list) {
    static const struct {
        const char *tail;
        uint64_t rows;
        uint64_t cols;
    } rules[] = {
        {"input_layernorm", 0, TINY_EMBD},
        {"self_attn.q_proj", (uint64_t)TINY_HEAD * TINY_HEAD_DIM, TINY_EMBD},
        {"self_attn.k_proj", (uint64_t)TINY_KV * TINY_HEAD_DIM, TINY_EMBD},
        {"self_attn.v_proj", (uint64_t)TINY_KV * TINY_HEAD_DIM, TINY_EMBD},
        {"self_attn.o_proj", TINY_EMBD, (uint64_t)TINY_HEAD * TINY_HEAD_DIM},
        {"post_attention_layernorm", 0, TINY_EMBD},
        {"mlp.gate_proj", TINY_FF, TINY_EMBD},
        {"mlp.up_proj", TINY_FF, TINY_EMBD},
        {"mlp.down_proj", TINY_EMBD, TINY_FF},
    };
    list->n = 0;
    (void)tiny_add(list, "model.embed_tokens.weight", "BF16", 2, TINY_VOCAB, TINY_EMBD);
    for (int layer = 0; layer < TINY_LAYER; layer++) {
        for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
            char name[128];
            (void)snprintf(name, sizeof name, "model.layers.%d.%s.weight", layer, rules[i].tail);
            if (rules[i].rows == 0) {
                (void)tiny_add(list, name, "BF16", 1, rules[i].cols, 1);
            } else {
                (void)tiny_add(list, name, "BF16", 2, rules[i].rows, rules[i].cols);
            }
        }
    }
    (void)tiny_add(list, "model.norm.weight", "BF16", 1, TINY_EMBD, 1);
    (void)tiny_add(list, "lm_head.weight", "BF16", 2, TINY_VOCAB, TINY_EMBD);
}

/** Copies a file of the sample model to dir. */
static inline void tiny_copy_sample(const char *dir, const char *name) {
    size_t n = 0;
    char *from = join_path(QN_SAMPLES_DIR "/miller-base", name);
    char *bytes = read_file(from, &n);
    free(write_file(dir, name, bytes, n));
    free(bytes);
    free(from);
}

/** Writes a whole model: the list, config.json with a patch, the sample's tokenizer. */
static inline void tiny_write_model(const tiny_list *list, const char *dir, const char *patch) {
    tiny_write(list, dir, "model.safetensors");
    tiny_write_json(dir, "config.json", tiny_llama_config, patch);
    tiny_copy_sample(dir, "tokenizer.model");
}

static const char tiny_adapter_config[] =
    "{\"peft_type\": \"LORA\", \"r\": 4, \"lora_alpha\": 8, \"base_model_name_or_path\": \"base\", "
    "\"target_modules\": [\"q_proj\"]}";

/** Adds lora_A and lora_B of a module [out, in], in F32. */
static inline void tiny_add_pair(tiny_list *list, const char *module, uint64_t rank, uint64_t out, uint64_t in) {
    char name[256];
    (void)snprintf(name, sizeof name, "base_model.model.%s.lora_A.weight", module);
    (void)tiny_add(list, name, "F32", 2, rank, in);
    (void)snprintf(name, sizeof name, "base_model.model.%s.lora_B.weight", module);
    (void)tiny_add(list, name, "F32", 2, out, rank);
}

/** Pairs of rank 4 for q_proj and down_proj of both layers. */
static inline void tiny_adapter(tiny_list *list) {
    list->n = 0;
    for (int layer = 0; layer < TINY_LAYER; layer++) {
        char module[64];
        (void)snprintf(module, sizeof module, "model.layers.%d.self_attn.q_proj", layer);
        tiny_add_pair(list, module, 4, (uint64_t)TINY_HEAD * TINY_HEAD_DIM, TINY_EMBD);
        (void)snprintf(module, sizeof module, "model.layers.%d.mlp.down_proj", layer);
        tiny_add_pair(list, module, 4, TINY_EMBD, TINY_FF);
    }
}

/** Writes an adapter folder: the list, and adapter_config.json with a patch. */
static inline void tiny_write_adapter(const tiny_list *list, const char *dir, const char *patch) {
    tiny_write(list, dir, "adapter_model.safetensors");
    tiny_write_json(dir, "adapter_config.json", tiny_adapter_config, patch);
}

/** A new folder dir/name; the caller frees its path. */
static inline char *make_dir(const char *dir, const char *name) {
    char *path = join_path(dir, name);
    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

/** Counts a job's warnings and notes and keeps the last of each. Give it to qn_job_new() with tiny_listen. */
typedef struct tiny_heard {
    unsigned n_warnings;
    unsigned n_notes;
    char warnings[4096]; /**< all of them, one a line */
    char notes[4096];
} tiny_heard;

static inline void tiny_listen(void *user, const qn_event *event) {
    tiny_heard *heard = user;
    const bool is_warning = event->kind == QN_EVENT_WARNING;
    if (is_warning || event->kind == QN_EVENT_NOTE) {
        char *to = is_warning ? heard->warnings : heard->notes;
        const size_t used = strlen(to);
        *(is_warning ? &heard->n_warnings : &heard->n_notes) += 1;
        (void)snprintf(to + used, sizeof heard->notes - used, "%s\n", event->message);
    }
}

#endif
