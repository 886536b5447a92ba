/* SPDX-License-Identifier: MIT */
/* stream_verify.c: reads units back from the files and compares them with what was encoded. */
#include "base/hash.h"
#include "stream/stream_progress.h"
#include "stream/stream_units.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

typedef struct verification {
    const qn_stream_plan *plan;
    qn_stream_state *state;
    qn_job *job;
    bool only_done;
    unsigned char **buffers; /* [n_workers] */
    unsigned n_workers;
    atomic_uint_fast64_t next_unit;
    atomic_bool has_stopped;
    pthread_mutex_t lock; /* guards what follows */
    qn_status status;
    qn_error *err; /* filled by the first failure */
    qn_progress progress;
} verification;

static void stop(verification *v, qn_status status, const qn_error *err) {
    (void)pthread_mutex_lock(&v->lock);
    if (v->status == QN_OK) {
        v->status = status;
        if (v->err != NULL) {
            *v->err = *err;
        }
    }
    atomic_store(&v->has_stopped, true);
    (void)pthread_mutex_unlock(&v->lock);
}

/** Reads one output's bytes of a unit. @param is_same whether they hash to what was written */
static qn_status compare_place(const verification *v, const qn_stream_unit *unit, uint32_t output,
                               unsigned char *buffer, bool *is_same, qn_error *err) {
    const qn_stream_place *place = &v->plan->tensors[unit->tensor].places[output];
    const uint64_t n_bytes = unit->n_rows * place->row_bytes;
    const uint64_t file_off = place->file_off + unit->first_row * place->row_bytes;
    QN_TRY(qn_out_read_at(v->plan->files[place->file].out, file_off, buffer, (size_t)n_bytes, err));
    const uint64_t wanted = v->state->hashes[unit->index * v->plan->n_outputs + output];
    *is_same = qn_hash64(buffer, (size_t)n_bytes, unit->index) == wanted;
    return QN_OK;
}

static qn_status tell_difference(const verification *v, const qn_stream_unit *unit, uint32_t output, qn_error *err) {
    const qn_stream_tensor *t = &v->plan->tensors[unit->tensor];
    const qn_stream_place *place = &t->places[output];
    const bool is_undone = v->state->is_done[unit->index] == 0;
    return qn_fail(err, is_undone ? QN_E_INTERNAL : QN_E_IO, "%s: tensor '%s' rows %llu to %llu (byte %llu on) %s",
                   v->plan->files[place->file].path, t->name, (unsigned long long)unit->first_row,
                   (unsigned long long)(unit->first_row + unit->n_rows - 1),
                   (unsigned long long)(place->file_off + unit->first_row * place->row_bytes),
                   is_undone ? "were never written"
                             : "did not come back from the disk as they were written: the disk is failing, or another "
                               "program writes to the file");
}

static qn_status verify_unit(verification *v, const qn_stream_unit *unit, unsigned char *buffer, qn_error *err) {
    const qn_stream_tensor *t = &v->plan->tensors[unit->tensor];
    uint64_t n_bytes = 0;
    for (uint32_t o = 0; o < v->plan->n_outputs; o++) {
        bool is_same = v->state->is_done[unit->index] != 0;
        if (!t->places[o].is_wanted) {
            continue;
        }
        if (is_same) {
            QN_TRY(compare_place(v, unit, o, buffer, &is_same, err));
        }
        n_bytes += unit->n_rows * t->places[o].row_bytes;
        if (is_same) {
            continue;
        }
        if (!v->only_done) {
            return tell_difference(v, unit, o, err);
        }
        v->state->is_done[unit->index] = 0;
        return QN_OK;
    }
    if (!v->only_done) {
        (void)pthread_mutex_lock(&v->lock);
        qn_progress_add(&v->progress, (qn_progress_at){.tensor = t->name, .tensor_index = unit->tensor + 1}, n_bytes);
        (void)pthread_mutex_unlock(&v->lock);
    }
    return QN_OK;
}

static void verify_some(void *shared, unsigned worker) {
    verification *v = shared;
    qn_error err = {QN_OK, ""};
    while (!atomic_load(&v->has_stopped)) {
        const uint64_t index = atomic_fetch_add(&v->next_unit, 1);
        qn_status status = QN_OK;
        if (index >= v->plan->n_units) {
            return;
        }
        if (v->only_done && v->state->is_done[index] == 0) {
            continue;
        }
        const qn_stream_unit unit = qn_stream_unit_at(v->plan, index);
        if (qn_job_is_cancelled(v->job)) {
            status = qn_fail(&err, QN_E_INTERRUPTED, "interrupted while reading back what was written");
        } else {
            status = verify_unit(v, &unit, v->buffers[worker], &err);
        }
        if (status != QN_OK) {
            stop(v, status, &err);
        }
    }
}

static uint64_t total_bytes(const qn_stream_plan *plan) {
    uint64_t total = 0;
    for (uint64_t i = 0; i < plan->n_tensors; i++) {
        const qn_stream_tensor *t = &plan->tensors[i];
        for (uint32_t o = 0; o < plan->n_outputs; o++) {
            total += t->places[o].is_wanted ? qn_recipe_rows(t->recipe) * t->places[o].row_bytes : 0;
        }
    }
    return total;
}

static qn_status verify_plan(verification *v, qn_error *err) {
    const uint64_t size = qn_stream_sizes_of(v->plan).coded;
    v->buffers = qn_new_array(v->n_workers, sizeof *v->buffers);
    if (v->buffers == NULL) {
        return qn_fail_nomem(err, "workers", v->n_workers * sizeof *v->buffers);
    }
    for (unsigned i = 0; i < v->n_workers; i++) {
        v->buffers[i] = qn_new_array(size, 1);
        if (v->buffers[i] == NULL) {
            return qn_fail_nomem(err, "a worker's buffer", (size_t)size);
        }
    }
    qn_progress_begin(&v->progress, v->job, v->plan->n_tensors, 0, total_bytes(v->plan));
    if (!v->only_done) {
        qn_progress_stage(&v->progress, "Verify");
    }
    qn_run_workers(v->n_workers, verify_some, v);
    return v->status;
}

qn_status qn_stream_verify(const qn_stream_plan *plan, qn_stream_state *state, bool only_done, qn_job *job,
                           qn_error *err) {
    const unsigned n_threads = qn_job_threads(job);
    verification v = {.plan = plan, .state = state, .job = job, .only_done = only_done, .err = err};
    v.n_workers = plan->n_units < n_threads ? (unsigned)plan->n_units : n_threads;
    atomic_init(&v.next_unit, 0);
    atomic_init(&v.has_stopped, false);
    if (v.n_workers == 0) {
        return QN_OK;
    }
    if (pthread_mutex_init(&v.lock, NULL) != 0) {
        return qn_fail_nomem(err, "a lock", sizeof v.lock);
    }
    const qn_status status = verify_plan(&v, err);
    for (unsigned i = 0; v.buffers != NULL && i < v.n_workers; i++) {
        free(v.buffers[i]);
    }
    free(v.buffers);
    (void)pthread_mutex_destroy(&v.lock);
    return status;
}
