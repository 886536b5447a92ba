/* SPDX-License-Identifier: MIT */
/* model_adapter.c: an adapter alone, as the tensors of a GGUF adapter file. Refuses what only merging can express. */
#include "model/model_parts.h"

#include <stdio.h>
#include <string.h>

/* What a GGUF adapter cannot express is listed, so that the message says what would be lost. */
static qn_status check_exportable(const qn_adapter *adapter, qn_error *err) {
    char list[1024] = "";
    uint64_t n = 0;
    for (uint64_t i = 0; i < adapter->n_parts; i++) {
        const qn_adapter_part *part = &adapter->parts[i];
        const qn_archive_tensor *others[] = {part->magnitude, part->b_bias, part->full_weight, part->full_bias};
        for (size_t k = 0; k < sizeof others / sizeof others[0]; k++) {
            if (others[k] != NULL && n++ < 5) {
                const size_t used = strlen(list);
                (void)snprintf(list + used, sizeof list - used, "%s'%.160s'", n == 1 ? "" : ", ", others[k]->name);
            }
        }
    }
    if (n == 0) {
        return QN_OK;
    }
    return qn_fail(err, QN_E_UNSUPPORTED,
                   "%s: a GGUF adapter file, or an adapter at run time, is of low-rank pairs only, and this one has "
                   "%llu other tensors (DoRA magnitudes, trained biases or modules): %s%s. Merge it instead: --preset "
                   "merge-quantize, or run the base's Hugging Face folder with it",
                   adapter->dir, (unsigned long long)n, list, n > 5 ? ", …" : "");
}

static void add_factor(qn_model *model, const char *name, const char *source, const qn_recipe *recipe) {
    qn_model_tensor *t = &model->tensors[model->n_tensors++];
    *t = (qn_model_tensor){.name = name, .source = source, .recipe = recipe};
    t->shape = (qn_shape){2, {qn_recipe_rows(recipe), qn_recipe_cols(recipe)}};
    model->n_weights += qn_recipe_rows(recipe) * qn_recipe_cols(recipe);
}

/* One pair as lora_a and lora_b. The file has one alpha: what differs from alpha / rank is folded into B. */
static qn_status add_pair(qn_model *model, const qn_adapter *adapter, const qn_adapter_part *part, qn_error *err) {
    qn_tensor_match match;
    qn_low_rank pair;
    if (!qn_part_match(model->arch, part, ".weight", &match) ||
        match.layer >= qn_hp_count(&model->hparams, QN_HP_N_LAYER)) {
        return qn_part_unmatched(model->arch, &model->hparams, adapter, part, err);
    }
    if (model->hparams.is_tied && strcmp(match.rule->gguf, "output.weight") == 0) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: changes '%s', which is the embedding in this model: its GGUF has no output "
                       "matrix for an adapter to change. Merge it instead: --preset merge-quantize, or run the "
                       "base's Hugging Face folder with it",
                       adapter->dir, part->module);
    }
    if (qn_rule_is_per_expert(match.rule)) {
        return qn_fail(
            err, QN_E_UNSUPPORTED,
            "%s: changes '%s', one expert of a mixture: in a GGUF file the experts of a layer are one tensor, "
            "of which an adapter file cannot change a part. Merge it instead: --preset merge-quantize",
            adapter->dir, part->module);
    }
    const uint64_t n_rows = match.rule->rows == QN_DIM_VOCAB ? 0 : qn_arch_dim(match.rule->rows, &model->hparams, 0);
    QN_TRY(qn_adapter_pair(adapter, part, match.rule, &model->hparams, n_rows,
                           qn_arch_dim(match.rule->cols, &model->hparams, 0), model->arena, &pair, err));
    const double file_scale = adapter->alpha / (double)part->rank;
    const qn_recipe *a = pair.right;
    const qn_recipe *b = pair.left;
    if (part->is_embedding) { /* there, lora_a holds a row for each token */
        a = pair.left;
        b = qn_recipe_transpose(model->arena, pair.right);
    }
    const double fold = part->scale * adapter->strength / file_scale;
    if (fold != 1.0) {
        b = qn_recipe_scale(model->arena, b, (float)fold);
    }
    const char *name = qn_rule_name(model->arena, match.rule->gguf, match.layer, 0);
    const char *name_a = name == NULL ? NULL : qn_arena_printf(model->arena, "%s.lora_a", name);
    const char *name_b = name == NULL ? NULL : qn_arena_printf(model->arena, "%s.lora_b", name);
    if (name_a == NULL || name_b == NULL || a == NULL || b == NULL) {
        return qn_fail_nomem(err, part->module, 0);
    }
    add_factor(model, name_a, part->a->name, a);
    add_factor(model, name_b, part->b->name, b);
    return QN_OK;
}

static qn_status fill_adapter(qn_model *model, const qn_adapter_ref *ref, const char *name, qn_job *job,
                              qn_error *err) {
    const json_t *text = NULL;
    const qn_model_request request = {
        .dir = model->path, .without_vocab = true, .adapters = ref, .n_adapters = 1, .job = job};
    if (qn_is_file(model->path)) {
        QN_TRY(qn_model_read_gguf(model, &request, true, err));
        model->meta = qn_meta_new(model->arena); /* the file's own is the base's */
    } else {
        QN_TRY(qn_model_read_config(model, model->path, &text, err));
    }
    QN_TRY(qn_model_open_adapters(model, &request, err));
    const qn_adapter *adapter = model->adapters[0];
    QN_TRY(check_exportable(adapter, err));
    if (adapter->alpha == 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: lora_alpha is 0: the adapter changes nothing", adapter->dir);
    }
    model->tensors = qn_arena_array(model->arena, 2 * adapter->n_parts, sizeof *model->tensors);
    if (model->tensors == NULL) {
        return qn_fail_nomem(err, adapter->dir, (size_t)adapter->n_parts * sizeof *model->tensors);
    }
    for (uint64_t i = 0; i < adapter->n_parts; i++) {
        QN_TRY(add_pair(model, adapter, &adapter->parts[i], err));
    }
    qn_meta_set_string(&model->meta, "general.architecture", model->arch_name);
    qn_meta_set_string(&model->meta, "general.type", "adapter");
    qn_meta_set_string(&model->meta, "adapter.type", "lora");
    qn_meta_set_string(&model->meta, "general.name", name);
    qn_meta_set_f32(&model->meta, "adapter.lora.alpha", (float)adapter->alpha);
    return qn_meta_status(&model->meta, err);
}

qn_status qn_model_open_adapter(const char *base_dir, const qn_adapter_ref *adapter, const char *name, qn_job *job,
                                qn_model **out, qn_error *err) {
    qn_model *model = NULL;
    QN_TRY(qn_model_new(base_dir, &model, err));
    const qn_status status = fill_adapter(model, adapter, name, job, err);
    if (status != QN_OK) {
        qn_model_close(model);
        return status;
    }
    *out = model;
    return QN_OK;
}
