/* SPDX-License-Identifier: MIT */
/* plan_types.c: which element type each tensor of each output has, and what may not be. */
#include "pack/plan.h"

#include "stream/model_types.h"
#include "stream/type_rules.h"

#include <string.h>

static bool is_plain_float(qn_dtype type) {
    return type == QN_F32 || type == QN_F16 || type == QN_BF16;
}

static qn_status read_outtype(qn_plan *plan, const char *outtype, qn_error *err) {
    static const struct {
        const char *name;
        qn_dtype type;
    } rows[] = {{"f32", QN_F32}, {"f16", QN_F16}, {"bf16", QN_BF16}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(outtype, rows[i].name) == 0) {
            plan->outtype = rows[i].type;
            plan->has_outtype = true;
            return QN_OK;
        }
    }
    return qn_fail(err, QN_E_USAGE, "--outtype '%.40s': f32, f16, bf16 or auto is expected", outtype);
}

/* --outtype, or the source's. */
static qn_status choose_outtype(qn_plan *plan, const char *outtype, qn_error *err) {
    if (outtype != NULL && strcmp(outtype, "auto") != 0) {
        return read_outtype(plan, outtype, err);
    }
    plan->outtype = plan->preset.exports_adapter ? QN_F32 : qn_model_plain_type(plan->model);
    return QN_OK;
}

qn_status qn_plan_read_types(qn_plan *plan, const qn_pack_options *options, qn_error *err) {
    qn_mixture_options *m = &plan->mixture;
    qn_type_rule *rules = NULL;
    QN_TRY(choose_outtype(plan, options->outtype, err));
    m->is_pure = options->pure;
    m->leaves_output = options->leave_output_tensor;
    m->has_output_type = options->output_tensor_type != NULL;
    m->has_embedding_type = options->token_embedding_type != NULL;
    if (m->has_output_type) {
        QN_TRY(qn_tensor_type_parse("--output-tensor-type ", options->output_tensor_type, &m->output_type, err));
    }
    if (m->has_embedding_type) {
        QN_TRY(qn_tensor_type_parse("--token-embedding-type ", options->token_embedding_type, &m->embedding_type, err));
    }
    QN_TRY(qn_type_rules_parse(plan->arena, options->tensor_types, options->n_tensor_types, options->tensor_type_file,
                               &rules, &m->n_rules, err));
    m->rules = rules;
    return QN_OK;
}

/* The type a tensor has where it is not quantised. */
static qn_dtype unquantized_type(const qn_plan *plan, const qn_plan_output *output, const qn_model_tensor *t) {
    const qn_dtype stored = qn_recipe_source_type(t->recipe);
    if (plan->preset.exports_adapter) {
        return plan->outtype;
    }
    if (plan->to_hf) {
        return plan->has_outtype || !is_plain_float(stored) ? plan->outtype : stored;
    }
    if (!plan->inputs.is_gguf) {
        return qn_model_keeps_f32(t) ? QN_F32 : plan->outtype;
    }
    /* Of a GGUF file, what is not asked to change stays as it is. */
    const bool changes = output->target == NULL && !plan->preset.copies && !qn_model_keeps_f32(t);
    return changes ? plan->outtype : stored;
}

/* Quantising what is quantised already adds one loss to another: only with leave. */
static qn_status check_requantize(const qn_plan *plan, const qn_plan_output *output, qn_error *err) {
    for (uint64_t i = 0; !plan->allow_requantize && i < plan->model->n_tensors; i++) {
        const qn_model_tensor *t = &plan->model->tensors[i];
        const qn_dtype stored = qn_recipe_source_type(t->recipe);
        const qn_dtype type = output->tensors[i].type;
        const bool changes = type != stored || t->is_merged;
        if (changes && qn_dtype_get((uint32_t)stored)->is_quantized && qn_dtype_get((uint32_t)type)->is_quantized) {
            return qn_fail(err, QN_E_UNSUPPORTED,
                           "%s: tensor '%s' is %s already and would become %s: quantising twice loses more than once; "
                           "take the F16, BF16 or F32 file it was made of, or pass --allow-requantize",
                           plan->model->path, t->name, qn_dtype_get((uint32_t)stored)->name,
                           qn_dtype_get((uint32_t)type)->name);
        }
    }
    return QN_OK;
}

qn_status qn_plan_choose_types(qn_plan *plan, qn_plan_output *output, qn_job *job, qn_error *err) {
    const qn_model *model = plan->model;
    qn_mixture_model facts = qn_model_mixture(model, plan->n_pruned_layers);
    qn_mixture_tensor *mix = qn_arena_array(plan->arena, model->n_tensors, sizeof *mix);
    output->tensors = qn_arena_array(plan->arena, model->n_tensors, sizeof *output->tensors);
    facts.has_imatrix = plan->imatrix != NULL;
    if (mix == NULL || output->tensors == NULL) {
        return qn_fail_nomem(err, "plan", (size_t)model->n_tensors * sizeof *mix);
    }
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        const qn_dtype type = unquantized_type(plan, output, &model->tensors[i]);
        mix[i] = (qn_mixture_tensor){
            .name = model->tensors[i].name,
            .shape = model->tensors[i].shape,
            .unquantized = type,
            .type = type,
            .has_importance = plan->importance[i] != NULL,
        };
    }
    if (output->target == &qn_budget_target) {
        QN_TRY(qn_plan_choose_by_budget(plan, output, &facts, mix, job, err));
    } else if (output->target != NULL && output->target != &qn_copy_target) {
        QN_TRY(qn_mixture_choose(output->target, &facts, &plan->mixture, mix, model->n_tensors, err));
    }
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        output->tensors[i] = (qn_placed_tensor){.name = mix[i].name, .type = mix[i].type, .shape = mix[i].shape};
    }
    return check_requantize(plan, output, err);
}
