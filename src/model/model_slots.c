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

static void add_slot(qn_slots *slots, const qn_tensor_rule *rule, uint64_t layer) {
    if (rule->presence != QN_DROPPED) {
        slots->slots[slots->n++] = (qn_slot){.rule = rule, .layer = layer};
    }
}

qn_status qn_slots_new(const qn_arch *arch, uint64_t n_layer, uint64_t n_adapters, qn_arena *arena, qn_slots *out,
                       qn_error *err) {
    const uint64_t most = arch->n_tensors * (n_layer + 1);
    if (n_layer > MAX_SLOTS || most > MAX_SLOTS) {
        return qn_fail(err, QN_E_FORMAT, "config.json: %llu layers are more than quern handles",
                       (unsigned long long)n_layer);
    }
    qn_slots slots = {.arch = arch, .n_layer = n_layer};
    slots.slots = qn_arena_array(arena, most, sizeof *slots.slots);
    if (slots.slots == NULL) {
        return qn_fail_nomem(err, "tensor table", (size_t)most * sizeof *slots.slots);
    }
    for (uint64_t i = 0; i < arch->n_tensors;) {
        const uint64_t end = end_of_run(arch, i);
        for (uint64_t layer = 0; end > i && layer < n_layer; layer++) {
            for (uint64_t k = i; k < end; k++) {
                add_slot(&slots, &arch->tensors[k], layer);
            }
        }
        if (end == i) {
            add_slot(&slots, &arch->tensors[i], 0);
        }
        i = end == i ? i + 1 : end;
    }
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
    for (uint64_t i = 0; i < slots->n; i++) {
        if (slots->slots[i].rule == match->rule && slots->slots[i].layer == match->layer) {
            return &slots->slots[i];
        }
    }
    return NULL;
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
        if (match.rule == NULL) {
            continue;
        }
        qn_slot *slot = qn_slots_at(slots, &match);
        if (slot == NULL) {
            return qn_fail(err, QN_E_FORMAT,
                           "%s: tensor '%s' is of layer %llu, but config.json says there are %llu layers", where,
                           t->name, (unsigned long long)match.layer, (unsigned long long)slots->n_layer);
        }
        if (slot->base != NULL) {
            return qn_fail(err, QN_E_FORMAT, "%s: tensors '%s' and '%s' are the same part of the model", where,
                           slot->base->name, t->name);
        }
        slot->base = t;
    }
    return QN_OK;
}

/* The shape a checkpoint has for a rule: GGUF's, turned where the checkpoint stores it turned. */
static void expected_shape(const qn_tensor_rule *rule, bool is_gguf, const qn_hparams *h, uint64_t n_vocab,
                           uint64_t *rows, uint64_t *cols) {
    const uint64_t r = qn_arch_dim(rule->rows, h, n_vocab);
    const uint64_t c = qn_arch_dim(rule->cols, h, n_vocab);
    const bool is_turned = rule->transform == QN_TRANSPOSE && !is_gguf;
    *rows = is_turned ? c : r;
    *cols = is_turned ? r : c;
}

static qn_status check_shape(const qn_slot *slot, bool base_is_gguf, const qn_model *model, uint64_t n_vocab,
                             qn_error *err) {
    const qn_archive_tensor *t = qn_slot_source(slot);
    const bool is_gguf = base_is_gguf && slot->replaced == NULL;
    uint64_t rows = 0;
    uint64_t cols = 0;
    expected_shape(slot->rule, is_gguf, &model->hparams, n_vocab, &rows, &cols);
    const uint32_t n_dims = slot->rule->rows == QN_DIM_NONE ? 1 : 2;
    if (t->shape.n_dims == n_dims && qn_shape_rows(&t->shape) == rows && qn_shape_cols(&t->shape) == cols) {
        return QN_OK;
    }
    char found[128];
    char expected[64] = "";
    const qn_shape shape = {n_dims, {n_dims == 1 ? cols : rows, cols}};
    return qn_fail(err, QN_E_SHAPE, "%s: tensor '%s' has shape %s; %s calls for %s", qn_file_path(t->file), t->name,
                   qn_shape_text(&t->shape, found, sizeof found), base_is_gguf ? "its metadata" : "config.json",
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

qn_status qn_slots_check(const qn_slots *slots, const qn_model *model, uint64_t n_vocab, qn_error *err) {
    qn_buffer missing = {0};
    uint64_t n_missing = 0;
    for (uint64_t i = 0; i < slots->n; i++) {
        const qn_slot *slot = &slots->slots[i];
        const qn_archive_tensor *t = qn_slot_source(slot);
        if (t == NULL && (slot->rule->presence == QN_REQUIRED || is_changed_matrix(slot, model->n_adapters))) {
            if (n_missing++ < 5) {
                const char *name = qn_rule_name(model->arena, slots->base_is_gguf ? slot->rule->gguf : slot->rule->hf,
                                                slot->layer);
                qn_buffer_printf(&missing, "%s'%s'", n_missing == 1 ? "" : ", ", name == NULL ? "?" : name);
            }
        }
        qn_status status = t == NULL ? QN_OK : check_shape(slot, slots->base_is_gguf, model, n_vocab, err);
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

bool qn_part_match(const qn_arch *arch, const qn_adapter_part *part, const char *tail, qn_tensor_match *out) {
    char name[512];
    const size_t n = strlen(part->module);
    if (n + strlen(tail) >= sizeof name) {
        return false;
    }
    memcpy(name, part->module, n);
    memcpy(name + n, tail, strlen(tail) + 1);
    return qn_arch_match(arch, name, out) && out->rule != NULL;
}

qn_status qn_part_unmatched(const qn_arch *arch, uint64_t n_layer, const qn_adapter *adapter,
                            const qn_adapter_part *part, qn_error *err) {
    qn_slots slots;
    QN_TRY(qn_slots_new(arch, n_layer, 0, adapter->arena, &slots, err));
    const char **names = qn_arena_array(adapter->arena, slots.n, sizeof *names);
    const char *near[3];
    char text[640] = "";
    size_t n_near = 0;
    for (uint64_t i = 0; names != NULL && i < slots.n; i++) {
        char *name = qn_rule_name(adapter->arena, slots.slots[i].rule->hf, slots.slots[i].layer);
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
        adapter->dir, t == NULL ? part->module : t->name, part->module, arch->name, (unsigned long long)n_layer, text);
}
