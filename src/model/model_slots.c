/* SPDX-License-Identifier: MIT */
/* model_slots.c: sorts a checkpoint's tensors into the places of its family's table and checks them. */
#include "model/model_tensors.h"

#include "base/buffer.h"
#include "base/nearest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SLOTS = 1 << 20 };

/* Rules that repeat stand together in the table; their layers are written one after the other. */
static uint64_t end_of_run(const qn_arch *arch, uint64_t first) {
    uint64_t end = first;
    while (end < arch->n_tensors && qn_rule_is_per_layer(&arch->tensors[end])) {
        end++;
    }
    return end;
}

static uint64_t n_experts_of(const qn_slots *slots, const qn_tensor_rule *rule) {
    return qn_rule_is_per_expert(rule) ? slots->n_expert : 1;
}

static void add_slots(qn_slots *slots, const qn_tensor_rule *rule, uint64_t layer) {
    for (uint64_t e = 0; rule->presence != QN_DROPPED && e < n_experts_of(slots, rule); e++) {
        slots->slots[slots->n++] = (qn_slot){.rule = rule, .layer = layer, .expert = e};
    }
}

/* Slots of rules first to end - 1, which are repeated for all layers or for none. */
static void add_run(qn_slots *slots, qn_slot_index *index, uint64_t first, uint64_t end, uint64_t n_layers) {
    const uint64_t start = slots->n;
    for (uint64_t layer = 0; layer < n_layers; layer++) {
        for (uint64_t k = first; k < end; k++) {
            if (layer == 0) {
                index[k].first = slots->n;
            }
            add_slots(slots, &slots->arch->tensors[k], layer);
        }
    }
    for (uint64_t k = first; k < end; k++) {
        index[k].stride = (slots->n - start) / n_layers;
    }
}

qn_status qn_slots_new(const qn_arch *arch, const qn_hparams *h, uint64_t n_adapters, qn_arena *arena, qn_slots *out,
                       qn_error *err) {
    const uint64_t n_expert = qn_hp_count(h, QN_HP_N_EXPERT);
    qn_slots slots = {.arch = arch,
                      .hparams = h,
                      .n_layer = qn_hp_count(h, QN_HP_N_LAYER),
                      .n_expert = arch->is_mixture && n_expert > 0 ? n_expert : 1};
    uint64_t most = 0;
    for (uint64_t i = 0; i < arch->n_tensors && slots.n_layer <= MAX_SLOTS && slots.n_expert <= MAX_SLOTS; i++) {
        most += (slots.n_layer + 1) * n_experts_of(&slots, &arch->tensors[i]);
    }
    if (most == 0 || most > MAX_SLOTS) {
        return qn_fail(err, QN_E_FORMAT, "config.json: %llu layers of %llu experts are more than quern handles",
                       (unsigned long long)slots.n_layer, (unsigned long long)slots.n_expert);
    }
    qn_slot_index *index = qn_arena_array(arena, arch->n_tensors, sizeof *index);
    slots.slots = qn_arena_array(arena, most, sizeof *slots.slots);
    if (slots.slots == NULL || index == NULL) {
        return qn_fail_nomem(err, "tensor table", (size_t)most * sizeof *slots.slots);
    }
    for (uint64_t i = 0; i < arch->n_tensors;) {
        const uint64_t end = end_of_run(arch, i);
        add_run(&slots, index, i, end == i ? i + 1 : end, end == i ? 1 : slots.n_layer);
        i = end == i ? i + 1 : end;
    }
    slots.index = index;
    for (uint64_t i = 0; n_adapters > 0 && i < slots.n; i++) {
        slots.slots[i].changes = qn_arena_array(arena, n_adapters, sizeof *slots.slots[i].changes);
        if (slots.slots[i].changes == NULL) {
            return qn_fail_nomem(err, "tensor table", (size_t)n_adapters * sizeof(void *));
        }
    }
    *out = slots;
    return QN_OK;
}

qn_slot *qn_slots_at(const qn_slots *slots, const qn_tensor_match *match) {
    const uint64_t n_layers = qn_rule_is_per_layer(match->rule) ? slots->n_layer : 1;
    const qn_slot_index *index = &slots->index[match->rule - slots->arch->tensors];
    if (match->layer >= n_layers || match->expert >= n_experts_of(slots, match->rule)) {
        return NULL;
    }
    return &slots->slots[index->first + match->layer * index->stride + match->expert];
}

qn_slot *qn_slots_named(const qn_slots *slots, const char *gguf) {
    for (uint64_t i = 0; i < slots->n; i++) {
        if (strcmp(slots->slots[i].rule->gguf, gguf) == 0) {
            return &slots->slots[i];
        }
    }
    return NULL;
}

const qn_archive_tensor *qn_slot_source(const qn_slot *slot) {
    if (slot->replaced != NULL) {
        return slot->replaced;
    }
    return slot->base != NULL ? slot->base : slot->tied;
}

static qn_status put_base(const qn_slots *slots, const qn_tensor_match *match, const qn_archive_tensor *t,
                          uint64_t part, const char *where, qn_error *err) {
    qn_slot *slot = qn_slots_at(slots, match);
    if (slot == NULL) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: tensor '%s' is of layer %llu, expert %llu, but config.json says there are %llu layers of "
                       "%llu experts",
                       where, t->name, (unsigned long long)match->layer, (unsigned long long)match->expert,
                       (unsigned long long)slots->n_layer, (unsigned long long)slots->n_expert);
    }
    if (slot->base != NULL) {
        return qn_fail(err, QN_E_FORMAT, "%s: tensors '%s' and '%s' are the same part of the model", where,
                       slot->base->name, t->name);
    }
    slot->base = t;
    slot->fused = match->fused;
    slot->part = part;
    return QN_OK;
}

/* A tensor that is all experts of a layer, or several parts. */
static qn_status put_fused(const qn_slots *slots, const qn_tensor_match *found, const qn_archive_tensor *t,
                           const char *where, qn_error *err) {
    qn_tensor_match match = *found;
    for (uint64_t part = 0; part < QN_MAX_PARTS && found->fused->parts[part] != NULL; part++) {
        match.rule = qn_arch_rule(slots->arch, found->fused->parts[part]);
        for (match.expert = 0; match.expert < n_experts_of(slots, match.rule); match.expert++) {
            QN_TRY(put_base(slots, &match, t, part, where, err));
        }
    }
    return QN_OK;
}

qn_status qn_slots_fill(const qn_slots *slots, const qn_archive *archive, const char *where, qn_error *err) {
    for (uint64_t i = 0; i < qn_archive_n_tensors(archive); i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(archive, i);
        qn_tensor_match match;
        if (!qn_arch_match(slots->arch, t->name, &match)) {
            return qn_fail(err, QN_E_FORMAT,
                           "%s: tensor '%s' has no place in a %s model: the checkpoint is of another "
                           "family, or of a variant quern does not know",
                           where, t->name, slots->arch->name);
        }
        if (match.rule != NULL) {
            QN_TRY(match.fused != NULL ? put_fused(slots, &match, t, where, err)
                                       : put_base(slots, &match, t, 0, where, err));
        }
    }
    return QN_OK;
}

/* ---- groups ---- */

static uint64_t n_parts_of(const qn_fused_rule *fused) {
    uint64_t n = 1;
    while (fused != NULL && n < QN_MAX_PARTS && fused->parts[n] != NULL) {
        n++;
    }
    return n;
}

static const qn_fused_rule *only_layout(const qn_arch *arch, const qn_tensor_rule *rule, uint64_t *part) {
    for (size_t i = 0; i < arch->n_fused; i++) {
        for (*part = 0; *part < QN_MAX_PARTS && arch->fused[i].parts[*part] != NULL; (*part)++) {
            if (arch->fused[i].is_only && strcmp(arch->fused[i].parts[*part], rule->gguf) == 0) {
                return &arch->fused[i];
            }
        }
    }
    *part = 0;
    return NULL;
}

qn_slot_group qn_slots_group(const qn_slots *slots, const qn_slot *slot) {
    uint64_t part = slot->part;
    qn_slot_group group = {.n_experts = 1, .n_parts = 1};
    if (slots->wants_hf) {
        group.fused = slots->base_is_gguf ? only_layout(slots->arch, slot->rule, &part) : slot->fused;
    }
    if (group.fused != NULL || !slots->wants_hf) {
        group.n_experts = n_experts_of(slots, slot->rule);
    }
    group.n_parts = n_parts_of(group.fused);
    group.is_first = group.n_experts * group.n_parts == 1 || (slot->expert == 0 && (group.fused == NULL || part == 0));
    return group;
}

const qn_slot *qn_slots_member(const qn_slots *slots, const qn_slot *slot, const qn_slot_group *group, uint64_t i) {
    qn_tensor_match match = {.rule = slot->rule, .layer = slot->layer};
    if (group->n_experts * group->n_parts == 1) {
        return slot;
    }
    match.expert = i / group->n_parts;
    if (group->fused != NULL) {
        match.rule = qn_arch_rule(slots->arch, group->fused->parts[i % group->n_parts]);
    }
    return qn_slots_at(slots, &match);
}

/* ---- checks ---- */

/* The shape that the tensor has which a slot is of: GGUF's, turned where the checkpoint stores it turned. */
static qn_shape expected_shape(const qn_slots *slots, const qn_slot *slot, const qn_hparams *h, uint64_t n_vocab) {
    const qn_tensor_rule *rule = slot->rule;
    const qn_archive_tensor *t = qn_slot_source(slot);
    const bool is_gguf = slots->base_is_gguf && slot->replaced == NULL;
    const bool is_fused = t == slot->base && slot->fused != NULL;
    const bool is_turned = rule->transform == QN_TRANSPOSE && !is_gguf;
    const uint64_t rows = qn_arch_dim(rule->rows, h, n_vocab) * (is_fused ? n_parts_of(slot->fused) : 1);
    const uint64_t cols = qn_arch_dim(rule->cols, h, n_vocab);
    if (rule->rows == QN_DIM_NONE || (rule->rows == QN_DIM_ONE && is_gguf)) {
        return (qn_shape){1, {cols}};
    }
    if (qn_rule_is_per_expert(rule) && (is_gguf || is_fused)) {
        return (qn_shape){3, {slots->n_expert, rows, cols}};
    }
    return (qn_shape){2, {is_turned ? cols : rows, is_turned ? rows : cols}};
}

static qn_status check_shape(const qn_slots *slots, const qn_slot *slot, const qn_model *model, uint64_t n_vocab,
                             qn_error *err) {
    const qn_archive_tensor *t = qn_slot_source(slot);
    const qn_shape shape = expected_shape(slots, slot, &model->hparams, n_vocab);
    bool is_same = t->shape.n_dims == shape.n_dims;
    for (uint32_t i = 0; is_same && i < shape.n_dims; i++) {
        is_same = t->shape.dims[i] == shape.dims[i];
    }
    if (is_same) {
        return QN_OK;
    }
    char found[128];
    char expected[64] = "";
    return qn_fail(err, QN_E_SHAPE, "%s: tensor '%s' has shape %s; %s calls for %s", qn_file_path(t->file), t->name,
                   qn_shape_text(&t->shape, found, sizeof found), slots->base_is_gguf ? "its metadata" : "config.json",
                   qn_shape_text(&shape, expected, sizeof expected));
}

/* A low-rank change needs a matrix to change. (A bias that is missing counts as zeros.) */
static bool is_changed_matrix(const qn_slot *slot, uint64_t n_adapters) {
    for (uint64_t i = slot->first_adapter; slot->rule->rows != QN_DIM_NONE && i < n_adapters; i++) {
        if (slot->changes[i] != NULL) {
            return true;
        }
    }
    return false;
}

/* The name of what is missing for an empty slot; NULL when another slot tells of the same tensor. */
static const char *missing_pattern(const qn_slots *slots, const qn_slot *slot) {
    uint64_t part = 0;
    const qn_fused_rule *only = slots->base_is_gguf ? NULL : only_layout(slots->arch, slot->rule, &part);
    if ((slots->base_is_gguf || only != NULL) && (slot->expert > 0 || part > 0)) {
        return NULL;
    }
    return slots->base_is_gguf ? slot->rule->gguf : only != NULL ? only->hf : slot->rule->hf;
}

qn_status qn_slots_check(const qn_slots *slots, const qn_model *model, uint64_t n_vocab, qn_error *err) {
    qn_buffer missing = {0};
    uint64_t n_missing = 0;
    for (uint64_t i = 0; i < slots->n; i++) {
        const qn_slot *slot = &slots->slots[i];
        const qn_archive_tensor *t = qn_slot_source(slot);
        if (t == NULL && (slot->rule->presence == QN_REQUIRED || is_changed_matrix(slot, model->n_adapters))) {
            const char *pattern = missing_pattern(slots, slot);
            if (pattern != NULL && n_missing++ < 5) {
                const char *name = qn_rule_name(model->arena, pattern, slot->layer, slot->expert);
                qn_buffer_printf(&missing, "%s'%s'", n_missing == 1 ? "" : ", ", name == NULL ? "?" : name);
            }
        }
        qn_status status = t == NULL ? QN_OK : check_shape(slots, slot, model, n_vocab, err);
        if (status != QN_OK) {
            qn_buffer_clear(&missing);
            return status;
        }
    }
    if (n_missing == 0) {
        return QN_OK;
    }
    char *list = qn_buffer_take_text(&missing);
    const qn_status status = qn_fail(
        err, QN_E_NOT_FOUND, "%s: %llu tensors of the model are missing from the weights: %s%s", model->path,
        (unsigned long long)n_missing, list == NULL ? "" : list, n_missing > 5 ? ", …" : "");
    free(list);
    return status;
}

static bool match_part(const qn_arch *arch, const qn_adapter_part *part, const char *tail, qn_tensor_match *out) {
    char name[512];
    const size_t n = strlen(part->module);
    if (n + strlen(tail) >= sizeof name) {
        return false;
    }
    memcpy(name, part->module, n);
    memcpy(name + n, tail, strlen(tail) + 1);
    return qn_arch_match(arch, name, out) && out->rule != NULL;
}

bool qn_part_match(const qn_arch *arch, const qn_adapter_part *part, const char *tail, qn_tensor_match *out) {
    return match_part(arch, part, tail, out) && out->fused == NULL;
}

qn_status qn_part_unmatched(const qn_arch *arch, const qn_hparams *h, const qn_adapter *adapter,
                            const qn_adapter_part *part, qn_error *err) {
    qn_slots slots;
    QN_TRY(qn_slots_new(arch, h, 0, adapter->arena, &slots, err));
    const char **names = qn_arena_array(adapter->arena, slots.n, sizeof *names);
    const char *near[3];
    char text[640] = "";
    size_t n_near = 0;
    qn_tensor_match match;
    if (match_part(arch, part, ".weight", &match) && match.fused != NULL) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: changes module '%s', which is several tensors in a GGUF model; such a change is not taken "
                       "apart. Merge the adapter with PEFT's merge_and_unload() first",
                       adapter->dir, part->module);
    }
    for (uint64_t i = 0; names != NULL && i < slots.n; i++) {
        char *name = qn_rule_name(adapter->arena, slots.slots[i].rule->hf, slots.slots[i].layer, slots.slots[i].expert);
        char *dot = name == NULL ? NULL : strrchr(name, '.');
        if (dot == NULL) {
            return qn_fail_nomem(err, adapter->dir, 0);
        }
        *dot = '\0';
        if (i == 0 || strcmp(name, names[n_near == 0 ? 0 : n_near - 1]) != 0) {
            names[n_near++] = name;
        }
    }
    n_near = names == NULL ? 0 : qn_nearest(part->module, names, n_near, near, 3);
    for (size_t i = 0; i < n_near; i++) {
        const size_t used = strlen(text);
        (void)snprintf(text + used, sizeof text - used, "%s'%.150s'", i == 0 ? "; nearest: " : ", ", near[i]);
    }
    const qn_archive_tensor *t = part->a != NULL ? part->a
        : part->full_weight != NULL              ? part->full_weight
                                                 : part->full_bias;
    return qn_fail(
        err, QN_E_FORMAT,
        "%s: tensor '%s' changes module '%s', which the base model (%s, %llu layers) does not have%s. Nothing "
        "was merged: is this the base the adapter was trained on?",
        adapter->dir, t == NULL ? part->module : t->name, part->module, arch->name, (unsigned long long)slots.n_layer,
        text);
}
