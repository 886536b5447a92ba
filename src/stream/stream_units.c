/* SPDX-License-Identifier: MIT */
/* stream_units.c: cuts tensors into units of whole rows, and says what memory a stream of them needs. */
#include "stream/stream_units.h"

#include <stdlib.h>
#include <string.h>

static bool is_wanted(const qn_stream_plan *plan, const qn_stream_tensor *t) {
    for (uint32_t o = 0; o < plan->n_outputs; o++) {
        if (t->places[o].is_wanted) {
            return true;
        }
    }
    return false;
}

void qn_stream_cut(qn_stream_plan *plan) {
    plan->n_units = 0;
    plan->source_bytes = 0;
    for (uint64_t i = 0; i < plan->n_tensors; i++) {
        qn_stream_tensor *t = &plan->tensors[i];
        const uint64_t n_rows = qn_recipe_rows(t->recipe);
        const uint64_t n_cols = qn_recipe_cols(t->recipe);
        const uint64_t fitting = QN_UNIT_ELEMENTS / (n_cols == 0 ? 1 : n_cols);
        t->unit_rows = fitting == 0 ? 1 : fitting;
        t->first_unit = plan->n_units;
        t->n_units = 0;
        if (is_wanted(plan, t)) {
            t->n_units = n_rows / t->unit_rows + (n_rows % t->unit_rows != 0 ? 1 : 0);
            plan->source_bytes += qn_recipe_source_bytes(t->recipe);
        }
        plan->n_units += t->n_units;
    }
}

qn_stream_unit qn_stream_unit_at(const qn_stream_plan *plan, uint64_t index) {
    uint64_t low = 0;
    uint64_t high = plan->n_tensors;
    while (high - low > 1) { /* the last tensor that starts at or before index: those without units come earlier */
        const uint64_t middle = low + (high - low) / 2;
        *(plan->tensors[middle].first_unit <= index ? &low : &high) = middle;
    }
    const qn_stream_tensor *t = &plan->tensors[low];
    const uint64_t first_row = (index - t->first_unit) * t->unit_rows;
    const uint64_t left = qn_recipe_rows(t->recipe) - first_row;
    return (qn_stream_unit){index, low, first_row, left < t->unit_rows ? left : t->unit_rows};
}

qn_stream_source qn_stream_source_of(const qn_stream_tensor *tensor) {
    qn_stream_source s = {false, QN_F32, NULL, 0, 0};
    s.is_bytes = qn_recipe_is_bytes(tensor->recipe, &s.file, &s.file_off, &s.type) &&
        qn_row_size(s.type, qn_recipe_cols(tensor->recipe), &s.row_bytes, NULL) == QN_OK;
    return s;
}

static void raise_to(uint64_t *to, uint64_t value) {
    *to = *to > value ? *to : value;
}

qn_stream_sizes qn_stream_sizes_of(const qn_stream_plan *plan) {
    qn_stream_sizes sizes = {0, 0, 0};
    for (uint64_t i = 0; i < plan->n_tensors; i++) {
        const qn_stream_tensor *t = &plan->tensors[i];
        const qn_stream_source source = qn_stream_source_of(t);
        const uint64_t all = qn_recipe_rows(t->recipe);
        const uint64_t n_rows = t->n_units == 0 ? 0 : t->unit_rows < all ? t->unit_rows : all;
        raise_to(&sizes.raw, source.is_bytes ? n_rows * source.row_bytes : 0);
        raise_to(&sizes.rows, n_rows * qn_recipe_cols(t->recipe) * sizeof(float));
        for (uint32_t o = 0; o < plan->n_outputs; o++) {
            raise_to(&sizes.coded, t->places[o].is_wanted ? n_rows * t->places[o].row_bytes : 0);
        }
    }
    return sizes;
}

qn_status qn_stream_state_new(const qn_stream_plan *plan, qn_stream_state *out, qn_error *err) {
    const uint64_t n_outputs = plan->n_outputs == 0 ? 1 : plan->n_outputs;
    *out = (qn_stream_state){NULL, NULL, 0};
    out->is_done = qn_new_array(plan->n_units, 1);
    out->hashes = plan->n_units > UINT64_MAX / n_outputs ? NULL
                                                         : qn_new_array(plan->n_units * n_outputs, sizeof *out->hashes);
    if (out->is_done == NULL || out->hashes == NULL) {
        qn_stream_state_clear(out);
        return qn_fail_nomem(err, "the sums of a job's units", plan->n_units * n_outputs * sizeof *out->hashes);
    }
    return QN_OK;
}

void qn_stream_state_clear(qn_stream_state *state) {
    free(state->is_done);
    free(state->hashes);
    *state = (qn_stream_state){NULL, NULL, 0};
}

uint64_t qn_stream_memory(const qn_stream_plan *plan, unsigned n_threads) {
    const uint64_t n_workers = n_threads < plan->n_units ? n_threads : plan->n_units;
    const qn_stream_sizes sizes = qn_stream_sizes_of(plan);
    uint64_t scratch = 0;
    uint64_t ready = 0;
    for (uint64_t i = 0; i < plan->n_tensors; i++) {
        if (plan->tensors[i].n_units > 0 && !qn_stream_source_of(&plan->tensors[i]).is_bytes) {
            raise_to(&scratch, qn_recipe_scratch_bytes(plan->tensors[i].recipe));
            raise_to(&ready, qn_recipe_ready_bytes(plan->tensors[i].recipe));
        }
    }
    /* Preparing a tensor takes a scratch of its own beside the worker's; so many tensors are ready at once. */
    const uint64_t a_worker = sizes.raw + sizes.rows + sizes.coded + 2 * scratch + ready;
    const uint64_t a_unit = 1 + plan->n_outputs * sizeof(uint64_t);
    const uint64_t a_tensor = 64;
    return n_workers * a_worker + plan->n_units * a_unit + plan->n_tensors * a_tensor;
}
