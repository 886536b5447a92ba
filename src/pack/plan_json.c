/* SPDX-License-Identifier: MIT */
/* plan_json.c: the plan as the JSON document that include/quern/pack.h describes. */
#include "pack/plan.h"

#include <string.h>

/* Jansson's setters take NULL values and say so; one flag remembers, and is looked at once. */
typedef struct maker {
    bool has_failed;
} maker;

static void put(maker *m, json_t *object, const char *key, json_t *value) {
    m->has_failed = json_object_set_new(object, key, value) != 0 || m->has_failed;
}

static void push(maker *m, json_t *array, json_t *value) {
    m->has_failed = json_array_append_new(array, value) != 0 || m->has_failed;
}

static json_t *count(uint64_t v) {
    return json_integer((json_int_t)v);
}

/* Names of files and tensors may be any bytes. */
static json_t *text_of(const char *text) {
    return text == NULL ? json_null() : qn_json_text(text, strlen(text));
}

static json_t *shape_json(maker *m, const qn_shape *shape) {
    json_t *list = json_array();
    for (uint32_t i = 0; i < shape->n_dims; i++) {
        push(m, list, count(shape->dims[i]));
    }
    return list;
}

static bool is_copied(const qn_recipe *recipe, qn_dtype type) {
    const qn_file *file = NULL;
    uint64_t off = 0;
    qn_dtype stored = QN_F32;
    return qn_recipe_is_bytes(recipe, &file, &off, &stored) && stored == type;
}

static json_t *tensor_json(maker *m, const qn_model_tensor *source, const qn_placed_tensor *t) {
    json_t *o = json_object();
    put(m, o, "name", text_of(t->name));
    put(m, o, "shape", shape_json(m, &t->shape));
    put(m, o, "type", text_of(qn_dtype_get(t->type)->name));
    put(m, o, "size_bytes", count(t->size_bytes));
    put(m, o, "source", text_of(source->source));
    put(m, o, "is_copied", json_boolean(is_copied(source->recipe, t->type)));
    put(m, o, "is_merged", json_boolean(source->is_merged));
    return o;
}

/* Tensors and bytes of each element type. */
static json_t *types_json(maker *m, const qn_plan *plan, const qn_plan_output *output) {
    json_t *types = json_object();
    for (uint32_t id = 0; id < QN_DTYPE_LIMIT; id++) {
        uint64_t n = 0;
        uint64_t bytes = 0;
        for (uint64_t i = 0; i < plan->model->n_tensors; i++) {
            if ((uint32_t)output->tensors[i].type == id) {
                n++;
                bytes += output->tensors[i].size_bytes;
            }
        }
        if (n > 0) {
            json_t *row = json_object();
            put(m, row, "n_tensors", count(n));
            put(m, row, "size_bytes", count(bytes));
            put(m, types, qn_dtype_get(id)->name, row);
        }
    }
    return types;
}

static json_t *files_json(maker *m, const qn_plan *plan, const qn_plan_output *output) {
    json_t *files = json_array();
    for (uint32_t k = 0; k < output->n_files; k++) {
        const qn_plan_file *file = &plan->files[output->first_file + k];
        json_t *o = json_object();
        put(m, o, "path", text_of(file->path));
        put(m, o, "size_bytes", count(file->size_bytes));
        put(m, o, "n_tensors", count(file->n_tensors));
        push(m, files, o);
    }
    return files;
}

static json_t *output_json(maker *m, const qn_plan *plan, const qn_plan_output *output) {
    json_t *o = json_object();
    json_t *tensors = json_array();
    put(m, o, "type", text_of(output->type_name));
    put(m, o, "path", text_of(output->path));
    put(m, o, "files", files_json(m, plan, output));
    put(m, o, "size_bytes", count(output->size_bytes));
    put(m, o, "bits_per_weight", json_real(qn_plan_bits_per_weight(plan, output)));
    put(m, o, "types", types_json(m, plan, output));
    for (uint64_t i = 0; i < plan->model->n_tensors; i++) {
        push(m, tensors, tensor_json(m, &plan->model->tensors[i], &output->tensors[i]));
    }
    put(m, o, "tensors", tensors);
    if (output->target == &qn_budget_target) {
        put(m, o, "tensor_types", text_of(plan->chosen_types));
    }
    return o;
}

static json_t *checkpoint_json(maker *m, const qn_plan_inputs *in) {
    if (in->checkpoint == NULL) {
        return json_null();
    }
    json_t *o = json_object();
    put(m, o, "step", count(in->checkpoint->step));
    put(m, o, "dir", text_of(in->checkpoint->dir));
    put(m, o, "why", text_of(in->checkpoint_why));
    return o;
}

static json_t *model_json(maker *m, const qn_plan *plan) {
    const qn_model *model = plan->model;
    json_t *o = json_object();
    json_t *adapters = json_array();
    put(m, o, "name", text_of(plan->inputs.model_name));
    put(m, o, "arch", text_of(model->arch_name));
    put(m, o, "source", text_of(plan->inputs.base_dir));
    put(m, o, "n_tensors", count(model->n_tensors));
    put(m, o, "n_weights", count(model->n_weights));
    put(m, o, "n_layer", count(qn_hp_count(&model->hparams, QN_HP_N_LAYER)));
    put(m, o, "n_ctx", count(qn_hp_count(&model->hparams, QN_HP_N_CTX)));
    put(m, o, "vocab_size", count(model->has_vocab ? model->vocab.n_tokens : 0));
    for (uint64_t i = 0; i < model->n_adapters; i++) {
        json_t *a = json_object();
        put(m, a, "dir", text_of(model->adapters[i]->dir));
        put(m, a, "scale", json_real(model->adapters[i]->strength));
        put(m, a, "n_pairs", count(model->adapters[i]->n_pairs));
        push(m, adapters, a);
    }
    put(m, o, "adapters", adapters);
    put(m, o, "checkpoint", checkpoint_json(m, &plan->inputs));
    return o;
}

static json_t *imatrix_json(maker *m, const qn_plan *plan) {
    const qn_coverage *c = &plan->coverage;
    if (plan->imatrix == NULL) {
        return json_null();
    }
    json_t *o = json_object();
    json_t *open = json_array();
    json_t *unseen = json_array();
    put(m, o, "path", text_of(plan->imatrix->path));
    put(m, o, "n_chunks", count(plan->imatrix->n_chunks));
    put(m, o, "n_covered", count(c->n_covered));
    for (uint64_t i = 0; i < c->n_open; i++) {
        push(m, open, text_of(c->open[i]));
    }
    for (uint64_t i = 0; i < c->n_unseen; i++) {
        json_t *row = json_object();
        put(m, row, "tensor", text_of(c->unseen[i].tensor));
        put(m, row, "expert", count(c->unseen[i].expert));
        push(m, unseen, row);
    }
    put(m, o, "open", open);
    put(m, o, "unseen", unseen);
    return o;
}

static const char *effort_name(qn_effort effort) {
    return effort == QN_EFFORT_BEST ? "best" : effort == QN_EFFORT_FAST ? "fast" : "normal";
}

qn_status qn_plan_json(const qn_plan *plan, char **text, qn_error *err) {
    maker m = {false};
    json_t *o = json_object();
    json_t *outputs = json_array();
    put(&m, o, "model", model_json(&m, plan));
    put(&m, o, "preset", text_of(plan->preset.name));
    put(&m, o, "to_hf", json_boolean(plan->to_hf));
    put(&m, o, "effort", text_of(effort_name(plan->effort)));
    put(&m, o, "imatrix", imatrix_json(&m, plan));
    put(&m, o, "out_dir", text_of(plan->inputs.out_dir));
    put(&m, o, "threads", count(plan->n_threads));
    put(&m, o, "disk_bytes", count(plan->disk_bytes));
    put(&m, o, "disk_free_bytes", count(plan->disk_free_bytes));
    put(&m, o, "memory_bytes", count(plan->memory_bytes));
    put(&m, o, "read_bytes", count(plan->stream.source_bytes));
    put(&m, o, "resumes", json_boolean(plan->resumes));
    put(&m, o, "is_checked", json_boolean(plan->accept != NULL));
    for (uint32_t i = 0; i < plan->n_outputs; i++) {
        push(&m, outputs, output_json(&m, plan, &plan->outputs[i]));
    }
    put(&m, o, "outputs", outputs);
    *text = m.has_failed ? NULL : qn_json_dump(o, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(o);
    return *text == NULL ? qn_fail_nomem(err, "plan as JSON", 0) : QN_OK;
}
