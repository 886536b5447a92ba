/* SPDX-License-Identifier: MIT */
/* arch.c: the list of families, and what reads their tables: names, sizes, keys, transformations. */
#include "arch/arch.h"

#include "arch/families.h"
#include "base/buffer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const qn_arch *const families[] = {
    &qn_arch_llama,    &qn_arch_mistral,  &qn_arch_mixtral, &qn_arch_qwen2,      &qn_arch_qwen3,
    &qn_arch_gemma,    &qn_arch_gemma2,   &qn_arch_gemma3,  &qn_arch_phi3,       &qn_arch_gpt2,
    &qn_arch_qwen2moe, &qn_arch_qwen3moe, &qn_arch_granite, &qn_arch_granitemoe, &qn_arch_olmoe,
};

const char *const qn_prefix_model[] = {"model.", NULL};

const qn_arch *qn_arch_at(size_t i) {
    return i < QN_COUNT(families) ? families[i] : NULL;
}

const qn_arch *qn_arch_by_name(const char *general_architecture) {
    for (size_t i = 0; i < QN_COUNT(families); i++) {
        if (strcmp(families[i]->name, general_architecture) == 0) {
            return families[i];
        }
    }
    return NULL;
}

const qn_arch *qn_arch_of_meta(const qn_meta *meta) {
    const char *name = qn_meta_string(meta, "general.architecture");
    char key[160];
    uint64_t n_expert = 0;
    (void)snprintf(key, sizeof key, "%.120s.expert_count", name == NULL ? "" : name);
    const bool is_mixture = qn_meta_u64(meta, key, &n_expert) && n_expert > 0;
    for (size_t i = 0; name != NULL && i < QN_COUNT(families); i++) {
        if (strcmp(families[i]->name, name) == 0 && families[i]->is_mixture == is_mixture) {
            return families[i];
        }
    }
    return NULL;
}

static bool has_class(const qn_arch *arch, const char *name) {
    for (size_t i = 0; arch->classes[i] != NULL; i++) {
        if (strcmp(arch->classes[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static qn_status fail_unsupported(const char *where, const char *name, qn_error *err) {
    qn_buffer list = {0};
    for (size_t i = 0; i < QN_COUNT(families); i++) {
        qn_buffer_printf(&list, "\n  %s: ", families[i]->label);
        for (size_t k = 0; families[i]->classes[k] != NULL; k++) {
            qn_buffer_printf(&list, "%s%s", k == 0 ? "" : ", ", families[i]->classes[k]);
        }
    }
    char *text = qn_buffer_take_text(&list);
    const qn_status status = qn_fail(err, QN_E_UNSUPPORTED,
                                     "%s: models of class '%.100s' are not supported. Supported are:%s", where, name,
                                     text == NULL ? "" : text);
    free(text);
    return status;
}

/* The class a config names: its first architecture; NULL when it names none. */
static const char *first_class(const json_t *config) {
    return json_string_value(json_array_get(json_object_get(config, "architectures"), 0));
}

qn_status qn_arch_find(const char *where, const json_t *config, const qn_arch **out, const json_t **text,
                       qn_error *err) {
    const json_t *inner = json_object_get(config, "text_config");
    const char *name = first_class(
        config); /* the whole decides: its tensors are not named like those of its text part */
    if (name == NULL) {
        name = first_class(inner);
    }
    if (name == NULL) {
        return qn_fail(
            err, QN_E_FORMAT,
            "%s: has no 'architectures' list, so it does not say what model this is; a config.json written by "
            "transformers has one",
            where);
    }
    for (size_t i = 0; i < QN_COUNT(families); i++) {
        if (has_class(families[i], name)) {
            *out = families[i];
            *text = json_is_object(inner) ? inner : config;
            return QN_OK;
        }
    }
    return fail_unsupported(where, name, err);
}

uint64_t qn_arch_dim(qn_dim dim, const qn_hparams *h, uint64_t n_vocab) {
    const uint64_t q = qn_hp_count(h, QN_HP_N_HEAD) * qn_hp_head_dim(h);
    const uint64_t kv = qn_hp_count(h, QN_HP_N_HEAD_KV) * qn_hp_head_dim(h);
    switch (dim) {
    case QN_DIM_NONE: return 1;
    case QN_DIM_EMBD: return qn_hp_count(h, QN_HP_N_EMBD);
    case QN_DIM_VOCAB: return n_vocab;
    case QN_DIM_CTX: return qn_hp_count(h, QN_HP_N_CTX);
    case QN_DIM_FF: return qn_hp_count(h, QN_HP_N_FF);
    case QN_DIM_FF_TWICE: return 2 * qn_hp_count(h, QN_HP_N_FF);
    case QN_DIM_HEAD: return qn_hp_head_dim(h);
    case QN_DIM_Q: return q;
    case QN_DIM_KV: return kv;
    case QN_DIM_QKV: return q + 2 * kv;
    case QN_DIM_ONE: return 1;
    case QN_DIM_EXPERTS: return qn_hp_count(h, QN_HP_N_EXPERT);
    case QN_DIM_FF_EXP: return qn_hp_count(h, QN_HP_N_FF_EXP);
    case QN_DIM_FF_SHARED: return qn_hp_count(h, QN_HP_N_FF_SHARED);
    }
    return 0;
}

bool qn_rule_is_per_layer(const qn_tensor_rule *rule) {
    return strchr(rule->hf, '%') != NULL;
}

bool qn_rule_is_per_expert(const qn_tensor_rule *rule) {
    return strchr(rule->hf, '#') != NULL;
}

const qn_tensor_rule *qn_arch_rule(const qn_arch *arch, const char *gguf) {
    for (size_t i = 0; i < arch->n_tensors; i++) {
        if (arch->tensors[i].gguf != NULL && strcmp(arch->tensors[i].gguf, gguf) == 0) {
            return &arch->tensors[i];
        }
    }
    return NULL;
}

/* The pattern with a number for its marker, if it has one. */
static char *put_number(qn_arena *arena, const char *pattern, char marker, uint64_t n) {
    const char *at = strchr(pattern, marker);
    if (at == NULL) {
        return qn_arena_string(arena, pattern);
    }
    return qn_arena_printf(arena, "%.*s%llu%s", (int)(at - pattern), pattern, (unsigned long long)n, at + 1);
}

char *qn_rule_name(qn_arena *arena, const char *pattern, uint64_t layer, uint64_t expert) {
    const char *name = put_number(arena, pattern, '%', layer);
    return name == NULL ? NULL : put_number(arena, name, '#', expert);
}

/* A decimal number of at most nine digits without leading zeros. */
static bool take_number(const char **at, uint64_t *out) {
    const char *start = *at;
    *out = 0;
    while (**at >= '0' && **at <= '9' && *at - start < 9) {
        *out = *out * 10 + (uint64_t)(**at - '0');
        (*at)++;
    }
    return *at > start && (*start != '0' || *at == start + 1);
}

/* Whether name is the pattern with numbers for '%' and '#'. */
static bool matches(const char *pattern, const char *name, qn_tensor_match *out) {
    *out = (qn_tensor_match){0};
    for (; *pattern != '\0'; pattern++) {
        if (*pattern == '%' || *pattern == '#') {
            if (!take_number(&name, *pattern == '%' ? &out->layer : &out->expert)) {
                return false;
            }
        } else if (*pattern != *name++) {
            return false;
        }
    }
    return *name == '\0';
}

static bool match_exactly(const qn_arch *arch, const char *name, qn_tensor_match *out) {
    for (size_t i = 0; i < arch->n_tensors; i++) {
        if (matches(arch->tensors[i].hf, name, out)) {
            out->rule = arch->tensors[i].presence == QN_DROPPED ? NULL : &arch->tensors[i];
            return true;
        }
    }
    for (size_t i = 0; i < arch->n_fused; i++) {
        if (matches(arch->fused[i].hf, name, out)) {
            out->fused = &arch->fused[i];
            out->rule = qn_arch_rule(arch, arch->fused[i].parts[0]);
            return true;
        }
    }
    return false;
}

bool qn_arch_match_gguf(const qn_arch *arch, const char *gguf_name, qn_tensor_match *out) {
    for (size_t i = 0; i < arch->n_tensors; i++) {
        const qn_tensor_rule *rule = &arch->tensors[i];
        if (rule->presence != QN_DROPPED && matches(rule->gguf, gguf_name, out)) {
            out->rule = rule;
            return true;
        }
    }
    return false;
}

static bool holds_any(const char *name, const char *const *parts) {
    for (size_t i = 0; parts != NULL && parts[i] != NULL; i++) {
        if (strstr(name, parts[i]) != NULL) {
            return true;
        }
    }
    return false;
}

bool qn_arch_is_beside(const qn_arch *arch, const char *hf_name) {
    return holds_any(hf_name, arch->dropped_parts);
}

/* Copies name without the first part of cut_parts it holds. */
static void cut(const qn_arch *arch, const char *name, char *out, size_t size) {
    (void)snprintf(out, size, "%s", name);
    for (size_t i = 0; arch->cut_parts != NULL && arch->cut_parts[i] != NULL; i++) {
        char *at = strstr(out, arch->cut_parts[i]);
        if (at != NULL) {
            const size_t n = strlen(arch->cut_parts[i]);
            memmove(at, at + n, strlen(at + n) + 1);
            return;
        }
    }
}

bool qn_arch_match(const qn_arch *arch, const char *hf_name, qn_tensor_match *out) {
    char name[512];
    char longer[640];
    if (strlen(hf_name) >= sizeof name) {
        return false;
    }
    if (holds_any(hf_name, arch->dropped_parts)) {
        *out = (qn_tensor_match){0};
        return true;
    }
    cut(arch, hf_name, name, sizeof name);
    if (match_exactly(arch, name, out)) {
        return true;
    }
    for (size_t i = 0; arch->base_prefixes != NULL && arch->base_prefixes[i] != NULL; i++) {
        (void)snprintf(longer, sizeof longer, "%s%s", arch->base_prefixes[i], name);
        if (match_exactly(arch, longer, out)) {
            return true;
        }
    }
    return false;
}

typedef const qn_recipe *(*regroup_fn)(qn_arena *arena, const qn_recipe *child, uint64_t n_head);

/* Regroups the rows of a matrix, or the elements of a bias: its one row is the column of the matrix. */
static const qn_recipe *regroup(regroup_fn by, uint64_t n_head, qn_arena *arena, const qn_recipe *r) {
    if (r == NULL || qn_recipe_rows(r) != 1) {
        return by(arena, r, n_head);
    }
    const uint64_t n = qn_recipe_cols(r);
    return qn_recipe_reshape(arena, by(arena, qn_recipe_reshape(arena, r, n, 1), n_head), 1, n);
}

const qn_recipe *qn_arch_transform(qn_transform transform, const qn_hparams *h, qn_arena *arena,
                                   const qn_recipe *source) {
    switch (transform) {
    case QN_AS_IS: return source;
    case QN_TRANSPOSE: return qn_recipe_transpose(arena, source);
    case QN_PLUS_ONE: return qn_recipe_offset(arena, source, 1.0F);
    case QN_ROPE_Q: return regroup(qn_recipe_rope_pairs, qn_hp_count(h, QN_HP_N_HEAD), arena, source);
    case QN_ROPE_K: return regroup(qn_recipe_rope_pairs, qn_hp_count(h, QN_HP_N_HEAD_KV), arena, source);
    }
    return NULL;
}

/*
 * Less one, in float32, is the right way back. Let s be the float32 sum of some x and 1, below 2^24. If s <= 1/2, then
 * x <= -1/2 and the sum was exact, so s - 1 is x. If s > 1/2, s - 1 is exact: up to 2 by Sterbenz, above because it is
 * a smaller multiple of the last place of s. In both cases adding 1 gives s. Other s, of files that were not made so,
 * have no float that gives them; the nearest is taken.
 */
const qn_recipe *qn_arch_untransform(qn_transform transform, const qn_hparams *h, qn_arena *arena,
                                     const qn_recipe *stored) {
    switch (transform) {
    case QN_AS_IS: return stored;
    case QN_TRANSPOSE: return qn_recipe_transpose(arena, stored);
    case QN_PLUS_ONE: return qn_recipe_offset(arena, stored, -1.0F);
    case QN_ROPE_Q: return regroup(qn_recipe_rope_halves, qn_hp_count(h, QN_HP_N_HEAD), arena, stored);
    case QN_ROPE_K: return regroup(qn_recipe_rope_halves, qn_hp_count(h, QN_HP_N_HEAD_KV), arena, stored);
    }
    return NULL;
}

const qn_recipe *qn_arch_transform_left(qn_transform transform, const qn_hparams *h, qn_arena *arena,
                                        const qn_recipe *left) {
    switch (transform) {
    case QN_AS_IS:
    case QN_TRANSPOSE: return left; /* PEFT writes B as [out, rank] whichever way the weight is stored */
    case QN_ROPE_Q:
    case QN_ROPE_K: return qn_arch_transform(transform, h, arena, left);
    case QN_PLUS_ONE: return NULL;
    }
    return NULL;
}
