/* SPDX-License-Identifier: MIT */
/* model_tensors.c: what the adapters do to the slots, and the recipes that come out. */
#include "model/model_tensors.h"

#include "base/worker.h"

#include <assert.h>
#include <string.h>

/* The slot that a part's weight or bias changes; NULL with an error when there is none. */
static qn_status find_slot(const qn_slots *slots, const qn_adapter *adapter, const qn_adapter_part *part,
                           const char *tail, qn_slot **out, qn_error *err) {
    qn_tensor_match match;
    *out = qn_part_match(slots->arch, part, tail, &match) ? qn_slots_at(slots, &match) : NULL;
    return *out != NULL ? QN_OK : qn_part_unmatched(slots->arch, slots->hparams, adapter, part, err);
}

/* Notes an adapter's whole tensor as the source of a slot. Low-rank changes of earlier adapters are lost with it. */
static qn_status note_replaced(const qn_slots *slots, const qn_adapter *adapter, uint64_t i_adapter,
                               const qn_adapter_part *part, const qn_archive_tensor *tensor, const char *tail,
                               qn_job *job, qn_error *err) {
    qn_slot *slot = NULL;
    QN_TRY(find_slot(slots, adapter, part, tail, &slot, err));
    assert(slot != NULL);
    if (slot->replaced != NULL && slot->first_adapter == i_adapter) {
        return qn_fail(err, QN_E_FORMAT, "%s: tensors '%s' and '%s' replace the same tensor of the model", adapter->dir,
                       slot->replaced->name, tensor->name);
    }
    if (slot->replaced != NULL) {
        qn_job_warn(job, "%s: '%s' was trained by more than one adapter; this one's tensor is taken", adapter->dir,
                    tensor->name);
    }
    if (adapter->strength != 1.0) {
        qn_job_warn(job, "%s: '%s' was trained whole and is taken whole; the scale %g applies to low-rank changes only",
                    adapter->dir, tensor->name, adapter->strength);
    }
    slot->replaced = tensor;
    slot->first_adapter = i_adapter;
    return QN_OK;
}

/* Notes a low-rank pair, or a bias to add. */
static qn_status note_change(const qn_slots *slots, const qn_adapter *adapter, uint64_t i_adapter,
                             const qn_adapter_part *part, const char *tail, qn_error *err) {
    qn_slot *slot = NULL;
    QN_TRY(find_slot(slots, adapter, part, tail, &slot, err));
    assert(slot != NULL);
    if (slot->rule->rows == QN_DIM_NONE && strcmp(tail, ".weight") == 0) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: module '%s' is a vector in the model and cannot have a low-rank change", adapter->dir,
                       part->module);
    }
    if (slot->changes[i_adapter] != NULL) {
        return qn_fail(err, QN_E_FORMAT, "%s: modules '%s' and '%s' are the same one of the model", adapter->dir,
                       slot->changes[i_adapter]->module, part->module);
    }
    slot->changes[i_adapter] = part;
    return QN_OK;
}

static qn_status apply_part(const qn_slots *slots, const qn_adapter *adapter, uint64_t i_adapter,
                            const qn_adapter_part *part, qn_job *job, qn_error *err) {
    if (part->full_weight != NULL) {
        QN_TRY(note_replaced(slots, adapter, i_adapter, part, part->full_weight, ".weight", job, err));
    }
    if (part->full_bias != NULL) {
        QN_TRY(note_replaced(slots, adapter, i_adapter, part, part->full_bias, ".bias", job, err));
    }
    if (part->a != NULL) {
        QN_TRY(note_change(slots, adapter, i_adapter, part, ".weight", err));
    }
    if (part->b_bias != NULL) {
        QN_TRY(note_change(slots, adapter, i_adapter, part, ".bias", err));
    }
    return QN_OK;
}

/* Whether an adapter that counts changes the slot. */
static bool is_changed(const qn_slot *slot, const qn_model *model) {
    for (uint64_t i = slot->first_adapter; i < model->n_adapters; i++) {
        if (slot->changes[i] != NULL) {
            return true;
        }
    }
    return false;
}

bool qn_slot_is_changed(const qn_slots *slots, const qn_slot *slot, const qn_model *model) {
    const qn_slot_group group = qn_slots_group(slots, slot);
    bool is = false;
    for (uint64_t i = 0; !is && i < group.n_experts * group.n_parts; i++) {
        const qn_slot *member = qn_slots_member(slots, slot, &group, i);
        is = member->replaced != NULL || is_changed(member, model);
    }
    return is;
}

/* An output matrix of its own exists when the model is untied, or when an adapter trained it. */
static void untie_output(const qn_slots *slots, const qn_model *model, qn_job *job) {
    qn_slot *output = qn_slots_named(slots, "output.weight");
    const qn_slot *embed = qn_slots_named(slots, "token_embd.weight");
    if (output == NULL || embed == NULL) {
        return;
    }
    if (!model->hparams.is_tied) {
        if (qn_slot_source(output) == NULL && !is_changed(output, model)) {
            qn_job_warn(
                job,
                "%s: config.json does not say that the output matrix is the embedding (tie_word_embeddings), but "
                "there is no '%s': programs will take the embedding",
                model->path, output->rule->hf);
        }
        return;
    }
    output->base = NULL; /* a tied model's copy is never used */
    if (is_changed(output, model)) {
        output->tied = embed->base;
    }
    if (qn_slot_is_changed(slots, output, model)) {
        qn_job_note(job, "lm_head was trained by an adapter: the output matrix is untied from the embedding");
    }
}

qn_status qn_slots_apply(const qn_slots *slots, const qn_model *model, qn_job *job, qn_error *err) {
    for (uint64_t i = 0; i < model->n_adapters; i++) {
        for (uint64_t k = 0; k < model->adapters[i]->n_parts; k++) {
            QN_TRY(apply_part(slots, model->adapters[i], i, &model->adapters[i]->parts[k], job, err));
        }
    }
    untie_output(slots, model, job);
    return QN_OK;
}

static const qn_recipe *bytes_of(qn_arena *arena, const qn_archive_tensor *t) {
    return qn_recipe_bytes(arena, t->file, t->file_off, t->type, qn_shape_rows(&t->shape), qn_shape_cols(&t->shape));
}

/* The slot's rows of its source. */
static const qn_recipe *source_of(const qn_slots *slots, const qn_slot *slot, const qn_model *model) {
    const qn_archive_tensor *t = qn_slot_source(slot);
    const uint64_t n_rows = qn_arch_dim(slot->rule->rows, &model->hparams, 0);
    const qn_recipe *all = bytes_of(model->arena, t);
    uint64_t at = slot->expert;
    if (t != slot->base || (slot->fused == NULL && !(slots->base_is_gguf && qn_rule_is_per_expert(slot->rule)))) {
        return all;
    }
    for (uint64_t part = 1; slot->fused != NULL && part < QN_MAX_PARTS && slot->fused->parts[part] != NULL; part++) {
        at += slot->expert;
    }
    return qn_recipe_slice(model->arena, all, (at + slot->part) * n_rows, n_rows);
}

/* Adds one adapter's low-rank change to a weight. */
static qn_status merge_pair(const qn_slot *slot, const qn_tensor_rule *rule, const qn_model *model, uint64_t i_adapter,
                            const qn_recipe **recipe, qn_error *err) {
    qn_low_rank pair;
    QN_TRY(qn_adapter_pair(model->adapters[i_adapter], slot->changes[i_adapter], rule, &model->hparams,
                           qn_recipe_rows(*recipe), qn_recipe_cols(*recipe), model->arena, &pair, err));
    *recipe = qn_recipe_low_rank(model->arena, *recipe, &pair);
    return QN_OK;
}

/* Adds one adapter's lora_B.bias to a bias. */
static qn_status merge_bias(const qn_slot *slot, const qn_tensor_rule *rule, const qn_model *model, uint64_t i_adapter,
                            const qn_recipe **recipe, qn_error *err) {
    const qn_adapter *adapter = model->adapters[i_adapter];
    const qn_adapter_part *part = slot->changes[i_adapter];
    const qn_archive_tensor *t = part->b_bias;
    if (qn_shape_rows(&t->shape) != 1 || qn_shape_cols(&t->shape) != qn_recipe_cols(*recipe)) {
        char found[128];
        return qn_fail(err, QN_E_SHAPE, "%s: tensor '%s' has shape %s; [%llu] is expected", adapter->dir, t->name,
                       qn_shape_text(&t->shape, found, sizeof found), (unsigned long long)qn_recipe_cols(*recipe));
    }
    const qn_recipe *added = qn_arch_transform(rule->transform, &model->hparams, model->arena,
                                               bytes_of(model->arena, t));
    *recipe = qn_recipe_add(model->arena, *recipe, added, (float)(part->scale * adapter->strength));
    return QN_OK;
}

/* @param rule the slot's, with the transformation that brings a checkpoint's tensor into the order of recipe */
static qn_status merge_changes(const qn_slot *slot, const qn_tensor_rule *rule, const qn_model *model,
                               const qn_recipe **recipe, qn_error *err) {
    for (uint64_t i = slot->first_adapter; i < model->n_adapters; i++) {
        if (slot->changes[i] == NULL) {
            continue;
        }
        QN_TRY(rule->rows == QN_DIM_NONE ? merge_bias(slot, rule, model, i, recipe, err)
                                         : merge_pair(slot, rule, model, i, recipe, err));
        if (*recipe == NULL) {
            return qn_fail_nomem(err, rule->hf, 0);
        }
    }
    return QN_OK;
}

static const qn_recipe *zeros(const qn_slot *slot, const qn_model *model, uint64_t n_vocab) {
    const uint64_t n = qn_arch_dim(slot->rule->cols, &model->hparams, n_vocab);
    const float *values = qn_arena_array(model->arena, n, sizeof *values);
    return values == NULL ? NULL : qn_recipe_values(model->arena, values, 1, n);
}

/*
 * The slot's values, changes merged in, in the order that is wanted. Changes are merged in GGUF's order wherever source
 * or result have it, so that nothing is turned to and fro; a matrix stored [in, out] is merged turned.
 */
static qn_status slot_recipe(const qn_slots *slots, const qn_slot *slot, qn_model *model, uint64_t n_vocab,
                             const qn_recipe **out, qn_error *err) {
    const qn_archive_tensor *source = qn_slot_source(slot);
    const bool changes = is_changed(slot, model);
    const bool is_gguf = slots->base_is_gguf && slot->replaced == NULL;
    const bool works_in_gguf = !slots->wants_hf || is_gguf || (changes && slot->rule->transform == QN_TRANSPOSE);
    qn_tensor_rule rule = *slot->rule;
    *out = NULL;
    if (source == NULL && !changes) {
        return QN_OK;
    }
    if (!works_in_gguf) {
        rule.transform = QN_AS_IS;
    }
    const qn_recipe *recipe = source == NULL ? zeros(slot, model, n_vocab) /* a bias that only the adapter has */
                                             : source_of(slots, slot, model);
    if (source != NULL && !is_gguf) {
        recipe = qn_arch_transform(rule.transform, &model->hparams, model->arena, recipe);
    }
    if (recipe == NULL) {
        return qn_fail_nomem(err, rule.hf, 0);
    }
    QN_TRY(merge_changes(slot, &rule, model, &recipe, err));
    if (works_in_gguf && slots->wants_hf) {
        recipe = qn_arch_untransform(rule.transform, &model->hparams, model->arena, recipe);
    }
    if (recipe != NULL && rule.rows == QN_DIM_VOCAB && n_vocab < qn_recipe_rows(recipe)) {
        recipe = qn_recipe_slice(model->arena, recipe, 0, n_vocab);
    }
    *out = recipe;
    return recipe == NULL ? qn_fail_nomem(err, rule.hf, 0) : QN_OK;
}

/* The checkpoint's own name, which is that of a pattern, with another layer in it; NULL when memory is short. */
static const char *renumbered(qn_arena *arena, const char *name, const char *pattern, uint64_t layer, uint64_t expert) {
    const char *at = strchr(pattern, '%');
    const char *tail = at == NULL ? NULL : qn_rule_name(arena, at + 1, layer, expert);
    if (tail == NULL) {
        return at == NULL ? name : NULL;
    }
    size_t n = strlen(name) - strlen(tail);
    while (n > 0 && name[n - 1] >= '0' && name[n - 1] <= '9') {
        n--;
    }
    return qn_arena_printf(arena, "%.*s%llu%s", (int)n, name, (unsigned long long)layer, tail);
}

/* Names follow the checkpoint, which may have parts before or within those of the table ("language_model."). */
static const char *slot_name(const qn_slots *slots, const qn_slot *slot, const qn_fused_rule *fused, uint64_t layer,
                             qn_arena *arena) {
    const char *hf = fused != NULL ? fused->hf : slot->rule->hf;
    if (!slots->wants_hf) {
        return qn_rule_name(arena, slot->rule->gguf, layer, 0);
    }
    if (slots->base_is_gguf || (slot->base == NULL && slot->tied == NULL)) {
        return qn_rule_name(arena, hf, layer, slot->expert);
    }
    if (slot->base != NULL) {
        return renumbered(arena, slot->base->name, hf, layer, slot->expert);
    }
    const char *at = strstr(slot->tied->name, "model.embed_tokens."); /* what stands before it, before lm_head too */
    const size_t n = at == NULL || strncmp(slot->tied->name, "model.", 6) == 0 ? 0 : (size_t)(at - slot->tied->name);
    return qn_arena_printf(arena, "%.*s%s", (int)n, slot->tied->name, hf);
}

/* The values of a group of slots, one below the other; NULL when there are none. */
static qn_status group_recipe(const qn_slots *slots, const qn_slot *slot, const qn_slot_group *group, qn_model *model,
                              uint64_t n_vocab, const qn_recipe **out, qn_error *err) {
    const uint64_t n = group->n_experts * group->n_parts;
    uint64_t n_found = 0;
    if (n == 1) {
        return slot_recipe(slots, slot, model, n_vocab, out, err);
    }
    const qn_recipe **parts = qn_arena_array(model->arena, n, sizeof *parts);
    for (uint64_t i = 0; parts != NULL && i < n; i++) {
        QN_TRY(slot_recipe(slots, qn_slots_member(slots, slot, group, i), model, n_vocab, &parts[i], err));
        n_found += parts[i] != NULL;
    }
    if (n_found != 0 && n_found != n) {
        return qn_fail(err, QN_E_NOT_FOUND, "%s: of the %llu tensors of '%s' in layer %llu, %llu are missing",
                       model->path, (unsigned long long)n, slot->rule->hf, (unsigned long long)slot->layer,
                       (unsigned long long)(n - n_found));
    }
    *out = n_found == 0 ? NULL : qn_recipe_concat(model->arena, parts, n);
    return parts == NULL || (*out == NULL && n_found > 0) ? qn_fail_nomem(err, slot->rule->hf, 0) : QN_OK;
}

static qn_shape group_shape(const qn_slots *slots, const qn_slot *slot, const qn_slot_group *group,
                            const qn_recipe *recipe) {
    const uint64_t rows = qn_recipe_rows(recipe);
    const uint64_t cols = qn_recipe_cols(recipe);
    if (slot->rule->rows == QN_DIM_NONE || (slot->rule->rows == QN_DIM_ONE && !slots->wants_hf)) {
        return (qn_shape){1, {cols}};
    }
    if (qn_rule_is_per_expert(slot->rule) && (group->fused != NULL || !slots->wants_hf)) {
        return (qn_shape){3, {group->n_experts, rows / group->n_experts, cols}};
    }
    return (qn_shape){2, {rows, cols}};
}

qn_status qn_slot_build(const qn_slots *slots, const qn_slot *slot, qn_model *model, uint64_t n_vocab, qn_error *err) {
    const qn_archive_tensor *source = qn_slot_source(slot);
    const qn_slot_group group = qn_slots_group(slots, slot);
    const qn_recipe *recipe = NULL;
    uint64_t layer = slot->layer;
    if (slots->layers != NULL && qn_rule_is_per_layer(slot->rule)) {
        layer = slots->layers->to[layer];
    }
    if (layer == QN_LAYER_DROPPED || !group.is_first) {
        return QN_OK;
    }
    QN_TRY(group_recipe(slots, slot, &group, model, n_vocab, &recipe, err));
    if (recipe == NULL) {
        return QN_OK;
    }
    qn_model_tensor *t = &model->tensors[model->n_tensors];
    *t = (qn_model_tensor){.name = slot_name(slots, slot, group.fused, layer, model->arena)};
    t->source = source == NULL ? "generated" : source->name;
    if (t->name == NULL) {
        return qn_fail_nomem(err, slot->rule->gguf, 0);
    }
    t->recipe = recipe;
    t->is_merged = qn_slot_is_changed(slots, slot, model);
    t->shape = group_shape(slots, slot, &group, recipe);
    model->n_tensors++;
    model->n_weights += qn_recipe_rows(recipe) * qn_recipe_cols(recipe);
    return QN_OK;
}

static qn_status add_generated(qn_model *model, qn_error *err) {
    qn_generated made[QN_MAX_GENERATED];
    size_t n = 0;
    if (model->arch->generate != NULL) {
        QN_TRY(model->arch->generate(&model->hparams, model->arena, made, &n, err));
    }
    for (size_t i = 0; i < n; i++) {
        qn_model_tensor *t = &model->tensors[model->n_tensors++];
        *t = (qn_model_tensor){
            .name = made[i].name, .source = "generated", .shape = {1, {made[i].n}}, .is_generated = true};
        t->recipe = qn_recipe_values(model->arena, made[i].values, 1, made[i].n);
        if (t->recipe == NULL) {
            return qn_fail_nomem(err, made[i].name, 0);
        }
    }
    return QN_OK;
}

qn_status qn_slots_build(const qn_slots *slots, qn_model *model, uint64_t n_vocab, qn_error *err) {
    model->tensors = qn_arena_array(model->arena, slots->n + QN_MAX_GENERATED, sizeof *model->tensors);
    if (model->tensors == NULL) {
        return qn_fail_nomem(err, "tensor list", (size_t)slots->n * sizeof *model->tensors);
    }
    QN_TRY(add_generated(model, err));
    for (uint64_t i = 0; i < slots->n; i++) {
        QN_TRY(qn_slot_build(slots, &slots->slots[i], model, n_vocab, err));
    }
    return QN_OK;
}
