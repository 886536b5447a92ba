/* SPDX-License-Identifier: MIT */
/* model_types.c: puts a model's tensors and metadata before the rules of mixture.c. */
#include "stream/model_types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool qn_model_keeps_f32(const qn_model_tensor *t) {
    static const char *const names[] = {"position_embd.weight", "token_types.weight", "ffn_gate_inp"};
    if (t->is_generated || t->shape.n_dims < 2 || strstr(t->name, "_norm.weight") != NULL) {
        return true;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strstr(t->name, names[i]) != NULL) {
            return true;
        }
    }
    return !qn_ends_with(t->name, ".weight");
}

/* Number at ARCH.suffix; of an array its first. */
static uint64_t arch_count(const qn_model *model, const char *suffix, uint64_t fallback) {
    uint64_t n = fallback;
    char key[256];
    (void)snprintf(key, sizeof key, "%s.%s", model->arch_name, suffix);
    const qn_meta_value *v = qn_meta_find(&model->meta, key);
    if (v != NULL && v->type == QN_META_ARRAY) {
        const bool is_i32 = v->as.array.type == QN_META_I32 || v->as.array.type == QN_META_U32;
        return is_i32 && v->as.array.n > 0 ? *(const uint32_t *)v->as.array.items : fallback;
    }
    return v != NULL && qn_meta_u64(&model->meta, key, &n) ? n : fallback;
}

qn_mixture_model qn_model_mixture(const qn_model *model, uint64_t n_pruned_layers) {
    qn_mixture_model facts = {
        .arch = model->arch_name,
        .n_layer = arch_count(model, "block_count", 0) + n_pruned_layers,
        .n_head = arch_count(model, "attention.head_count", 0),
        .n_expert = arch_count(model, "expert_count", 0),
    };
    facts.n_head_kv = arch_count(model, "attention.head_count_kv", facts.n_head);
    return facts;
}

/* Of a file that holds a whole model, what is not asked to change stays as it is. */
static qn_dtype unquantized_type(const qn_model *model, const qn_model_tensor *t, qn_dtype plain) {
    const bool is_file = model->config == NULL;
    return is_file ? qn_recipe_source_type(t->recipe) : qn_model_keeps_f32(t) ? QN_F32 : plain;
}

qn_status qn_model_types(const qn_model *model, const qn_target *target, qn_dtype *types, qn_error *err) {
    const qn_mixture_model facts = qn_model_mixture(model, 0);
    const qn_dtype plain = qn_model_plain_type(model);
    qn_mixture_tensor *mix = qn_new_array(model->n_tensors, sizeof *mix);
    if (mix == NULL) {
        return qn_fail_nomem(err, "types of tensors", (size_t)model->n_tensors * sizeof *mix);
    }
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        const qn_model_tensor *t = &model->tensors[i];
        const qn_dtype type = unquantized_type(model, t, plain);
        mix[i] = (qn_mixture_tensor){.name = t->name, .shape = t->shape, .unquantized = type, .type = type};
    }
    const qn_status status = qn_mixture_choose(target, &facts, NULL, mix, model->n_tensors, err);
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        types[i] = mix[i].type;
    }
    free(mix);
    return status;
}
