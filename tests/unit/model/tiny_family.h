/* SPDX-License-Identifier: MIT */
/* tiny_family.h: the tensors of a small model of any family, by its table; models written as folders. */
#ifndef QUERN_TESTS_TINY_FAMILY_H
#define QUERN_TESTS_TINY_FAMILY_H

#include "arch/family_configs.h"
#include "container/safetensors.h"
#include "model/tiny_gguf.h"

static inline void add_rule(tiny_list *list, const qn_arch *arch, const qn_tensor_rule *rule, const qn_hparams *h,
                            uint64_t layer, uint64_t expert) {
    qn_arena *arena = qn_arena_new();
    const uint64_t rows = qn_arch_dim(rule->rows, h, qn_hp_count(h, QN_HP_N_VOCAB));
    const uint64_t cols = qn_arch_dim(rule->cols, h, qn_hp_count(h, QN_HP_N_VOCAB));
    const char *name = qn_rule_name(arena, rule->hf, layer, expert);
    (void)arch;
    assert_non_null(name);
    if (rule->rows == QN_DIM_NONE) {
        (void)tiny_add(list, name, "F32", 1, cols, 1);
    } else if (rule->transform == QN_TRANSPOSE) {
        (void)tiny_add(list, name, "F32", 2, cols, rows);
    } else {
        (void)tiny_add(list, name, "F32", 2, rows, cols);
    }
    qn_arena_free(arena);
}

/** The checkpoint's tensors in float32. @param has_bias with those biases that are optional */
static inline void tiny_family(tiny_list *list, const qn_arch *arch, const qn_hparams *h, bool has_bias) {
    list->n = 0;
    for (size_t i = 0; i < arch->n_tensors; i++) {
        const qn_tensor_rule *rule = &arch->tensors[i];
        const bool is_output = rule->gguf != NULL && strcmp(rule->gguf, "output.weight") == 0;
        const bool is_wanted = rule->presence == QN_REQUIRED ||
            (rule->presence == QN_OPTIONAL && (is_output ? !h->is_tied : has_bias));
        const uint64_t n = qn_rule_is_per_layer(rule) ? qn_hp_count(h, QN_HP_N_LAYER) : 1;
        for (uint64_t layer = 0; is_wanted && layer < n; layer++) {
            for (uint64_t e = 0; e < (qn_rule_is_per_expert(rule) ? qn_hp_count(h, QN_HP_N_EXPERT) : 1); e++) {
                add_rule(list, arch, rule, h, layer, e);
            }
        }
    }
}

/** Writes a family's small model: weights, config.json, and the sample's tokenizer. */
static inline void write_family(const family_config *c, const char *dir, tiny_list *list) {
    qn_arena *arena = qn_arena_new();
    json_t *config = family_json(c);
    const qn_arch *arch = NULL;
    qn_hparams h;
    read_family(c->name, config, arena, &arch, &h);
    tiny_family(list, arch, &h, c->has_bias != 0);
    tiny_write(list, dir, "model.safetensors");
    char *text = json_dumps(config, JSON_INDENT(2));
    free(write_text(dir, "config.json", text));
    free(text);
    tiny_copy_sample(dir, "tokenizer.model");
    json_decref(config);
    qn_arena_free(arena);
}

/** Writes a model opened as a folder: model.safetensors in float32, and its side files. */
static inline void write_folder(const qn_model *model, const char *dir) {
    qn_placed_tensor *placed = calloc((size_t)model->n_tensors, sizeof *placed);
    qn_buffer file = {0};
    uint64_t size = 0;
    qn_error err;
    assert_non_null(placed);
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        const qn_model_tensor *t = &model->tensors[i];
        placed[i] = (qn_placed_tensor){.name = t->name, .shape = t->shape, .type = QN_F32};
    }
    assert_ok(&err, qn_safetensors_layout(placed, model->n_tensors, &file, &size, &err));
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        float *v = tensor_values(&model->tensors[i]);
        assert_int_equal(file.len, placed[i].file_off);
        qn_buffer_append(&file, v, (size_t)placed[i].size_bytes);
        free(v);
    }
    assert_int_equal(file.len, size);
    free(write_file(dir, "model.safetensors", file.data, file.len));
    qn_buffer_clear(&file);
    free(placed);
    for (uint64_t i = 0; i < model->n_side_files; i++) {
        const qn_side_file *side = &model->side_files[i];
        size_t n = side->bytes.len;
        char *copy = side->copy_of == NULL ? NULL : read_file(side->copy_of, &n);
        free(write_file(dir, side->name, copy == NULL ? side->bytes.bytes : copy, n));
        free(copy);
    }
}

static inline const qn_side_file *find_side_file(const qn_model *model, const char *name) {
    for (uint64_t i = 0; i < model->n_side_files; i++) {
        if (strcmp(model->side_files[i].name, name) == 0) {
            return &model->side_files[i];
        }
    }
    return NULL;
}

/** A model's config.json, parsed; json_decref() it. */
static inline json_t *side_config(const qn_model *model) {
    const qn_side_file *side = find_side_file(model, "config.json");
    json_t *config = NULL;
    qn_error err;
    assert_non_null(side);
    if (side->copy_of != NULL) {
        assert_ok(&err, qn_json_load_object(side->copy_of, 1 << 20, &config, &err));
    } else {
        assert_ok(&err, qn_json_parse("config.json", side->bytes.bytes, side->bytes.len, &config, &err));
    }
    return config;
}

#endif
