/* SPDX-License-Identifier: MIT */
/*
 * executor.c: runs a plan. Workers take units in order; a unit's rows are made once, checked, encoded for each type
 * that is wanted, and written where the plan says. What a unit writes depends on nothing but the unit, so the outputs
 * are the same for any number of threads and any interruption.
 *
 * One lock guards the next unit, the first error, the state, progress, events and the tensors that are ready; no
 * weights are read, encoded or written under it.
 */
#include "base/hash.h"
#include "stream/stream_progress.h"
#include "stream/stream_units.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

typedef enum ready_phase { READY_CLOSED, READY_OPENING, READY_OPEN } ready_phase;

/** A tensor during a run. Guarded by the lock. */
typedef struct tensor_run {
    qn_ready *ready;
    ready_phase phase;
    uint64_t n_left;       /* units to do; the recipe is closed with the last */
    uint64_t source_bytes; /* of all its rows, for progress */
    bool has_warned_nonfinite;
    bool has_warned_overflow;
} tensor_run;

/** What one worker reuses from unit to unit. */
typedef struct worker_memory {
    unsigned char *raw;   /* rows as the source has them */
    float *rows;          /* the same as float32 */
    unsigned char *coded; /* the same as one output has them */
    uint64_t *hashes;     /* [n_outputs] */
    qn_scratch scratch;
} worker_memory;

typedef struct run {
    const qn_stream_plan *plan;
    qn_stream_state *state;
    const qn_stream_options *options;
    qn_job *job;
    tensor_run *tensors;
    worker_memory *workers;
    unsigned n_workers;
    atomic_bool has_stopped;
    pthread_mutex_t lock;
    uint64_t next_unit;        /* the first that no worker has taken */
    pthread_cond_t has_opened; /* a recipe was opened, or the run has stopped */
    qn_status status;
    qn_error *err; /* filled by the first failure */
    qn_progress progress;
} run;

/** A unit under way. */
typedef struct unit_work {
    run *run;
    worker_memory *memory;
    qn_stream_unit unit;
    const qn_stream_tensor *tensor;
    qn_stream_source source;
    qn_error *err;
    uint64_t n_nonfinite; /* NaN and infinite weights in it */
    bool has_overflow;    /* finite weights became infinite as F16 */
} unit_work;

/** Ends the run with the first failure; later ones are forgotten. */
static void stop_run(run *r, qn_status status, const qn_error *err) {
    (void)pthread_mutex_lock(&r->lock);
    if (r->status == QN_OK) {
        r->status = status;
        if (r->err != NULL) {
            *r->err = *err;
        }
    }
    atomic_store(&r->has_stopped, true);
    (void)pthread_cond_broadcast(&r->has_opened);
    (void)pthread_mutex_unlock(&r->lock);
}

static uint64_t n_elements(const unit_work *w) {
    return w->unit.n_rows * qn_recipe_cols(w->tensor->recipe);
}

/** Whether an output takes the source's bytes as they are. */
static bool is_copy(const unit_work *w, const qn_stream_place *place) {
    return w->source.is_bytes && w->source.type == place->type;
}

/** Whether rows are needed as float32: to encode them, or to look for NaN in plain floats that are copied. */
static bool needs_rows(const unit_work *w) {
    const qn_dtype type = w->source.type;
    if (!w->source.is_bytes || type == QN_F32 || type == QN_F16 || type == QN_BF16 || type == QN_F64) {
        return true;
    }
    for (uint32_t o = 0; o < w->run->plan->n_outputs; o++) {
        const qn_stream_place *place = &w->tensor->places[o];
        if (place->is_wanted && !is_copy(w, place)) {
            return true;
        }
    }
    return false;
}

/** Opens the tensor's recipe for the first worker that comes; others wait for it. */
static qn_status open_ready(unit_work *w, const qn_ready **out) {
    run *r = w->run;
    tensor_run *t = &r->tensors[w->unit.tensor];
    qn_status status = QN_OK;
    (void)pthread_mutex_lock(&r->lock);
    while (t->phase == READY_OPENING && !atomic_load(&r->has_stopped)) {
        (void)pthread_cond_wait(&r->has_opened, &r->lock);
    }
    if (t->phase == READY_CLOSED) {
        qn_ready *ready = NULL;
        t->phase = READY_OPENING;
        (void)pthread_mutex_unlock(&r->lock);
        status = qn_ready_open(w->tensor->recipe, r->options->level, &ready, w->err);
        (void)pthread_mutex_lock(&r->lock);
        t->ready = ready;
        t->phase = status == QN_OK ? READY_OPEN : READY_CLOSED;
        (void)pthread_cond_broadcast(&r->has_opened);
    } else if (t->phase == READY_OPENING) {
        status = qn_fail(w->err, QN_E_INTERRUPTED, "stopped"); /* never told: the run has its error already */
    }
    *out = t->ready;
    (void)pthread_mutex_unlock(&r->lock);
    return status;
}

/** Fills raw (plain bytes) and rows (where needed). */
static qn_status load_rows(unit_work *w) {
    const qn_stream_source *s = &w->source;
    const uint64_t n_cols = qn_recipe_cols(w->tensor->recipe);
    const qn_ready *ready = NULL;
    if (!s->is_bytes) {
        QN_TRY(open_ready(w, &ready));
        return qn_ready_rows(ready, w->unit.first_row, w->unit.n_rows, w->memory->rows, &w->memory->scratch, w->err);
    }
    QN_TRY(qn_file_read_at(s->file, s->file_off + w->unit.first_row * s->row_bytes, w->memory->raw,
                           (size_t)(w->unit.n_rows * s->row_bytes), w->err));
    if (!needs_rows(w)) {
        return QN_OK;
    }
    const qn_status status = qn_decode_rows(w->run->options->level, s->type, w->memory->raw, w->unit.n_rows, n_cols,
                                            w->memory->rows, w->err);
    return status == QN_OK ? QN_OK : qn_fail_at(w->err, status, "%s", qn_file_path(s->file));
}

/** Looks for NaN and infinity: an error, or, when they are allowed, counted. */
static qn_status check_finite(unit_work *w) {
    const uint64_t n = n_elements(w);
    const float *rows = w->memory->rows;
    const uint64_t at = qn_find_nonfinite(w->run->options->level, rows, n);
    if (at == n) {
        return QN_OK;
    }
    if (w->run->options->allow_nan) {
        for (uint64_t i = at; i < n; i++) {
            w->n_nonfinite += isfinite(rows[i]) ? 0 : 1;
        }
        return QN_OK;
    }
    const uint64_t n_cols = qn_recipe_cols(w->tensor->recipe);
    return qn_fail(w->err, QN_E_RANGE,
                   "%s%stensor '%s' row %llu column %llu is %s: training diverged here, or the file is damaged; "
                   "take an earlier checkpoint, or write it all the same with --allow-nan",
                   w->source.is_bytes ? qn_file_path(w->source.file) : "", w->source.is_bytes ? ": " : "",
                   w->tensor->name, (unsigned long long)(w->unit.first_row + at / n_cols),
                   (unsigned long long)(at % n_cols), isnan(rows[at]) ? "NaN" : "infinite");
}

/** Codecs of blocks take finite weights only: what is not becomes 0. */
static void drop_nonfinite(unit_work *w) {
    const uint64_t n = n_elements(w);
    for (uint64_t i = 0; i < n; i++) {
        w->memory->rows[i] = isfinite(w->memory->rows[i]) ? w->memory->rows[i] : 0.0F;
    }
}

/** Whether float16 numbers hold an infinity. */
static bool has_f16_infinity(const unsigned char *coded, uint64_t n) {
    unsigned n_found = 0;
    for (uint64_t i = 0; i < n; i++) {
        uint16_t bits = 0;
        memcpy(&bits, coded + 2 * i, sizeof bits);
        n_found += (bits & 0x7FFFU) == 0x7C00U ? 1 : 0;
    }
    return n_found > 0;
}

/** Encodes the unit's rows into the worker's memory: rows of one matrix share a run of importance. */
static qn_status encode_matrices(unit_work *w, const qn_stream_place *place) {
    const qn_stream_tensor *t = w->tensor;
    const uint64_t n_cols = qn_recipe_cols(t->recipe);
    const uint64_t matrix_rows = t->matrix_rows != 0 ? t->matrix_rows : qn_recipe_rows(t->recipe);
    for (uint64_t done = 0; done < w->unit.n_rows;) {
        const uint64_t row = w->unit.first_row + done;
        const uint64_t left_in_matrix = matrix_rows - row % matrix_rows;
        const uint64_t left = w->unit.n_rows - done;
        const uint64_t n = t->importance == NULL || left < left_in_matrix ? left : left_in_matrix;
        const float *importance = t->importance == NULL ? NULL : t->importance + row / matrix_rows * n_cols;
        QN_TRY(qn_encode_rows(w->run->options->level, w->run->options->effort, place->type,
                              w->memory->rows + done * n_cols, n, n_cols, importance,
                              w->memory->coded + done * place->row_bytes, w->err));
        done += n;
    }
    return QN_OK;
}

/** The unit's bytes as a type, in the worker's memory. */
static qn_status encode_rows(unit_work *w, const qn_stream_place *place, const unsigned char **bytes) {
    worker_memory *m = w->memory;
    if (is_copy(w, place)) {
        *bytes = m->raw;
        return QN_OK;
    }
    *bytes = m->coded;
    QN_TRY(encode_matrices(w, place));
    if (place->type == QN_F16 && w->n_nonfinite == 0) {
        w->has_overflow = w->has_overflow || has_f16_infinity(m->coded, n_elements(w));
    }
    return QN_OK;
}

/** Encodes output `first`'s type once and writes it to every output from there on that wants the same. */
static qn_status write_type(unit_work *w, uint32_t first) {
    const qn_stream_plan *plan = w->run->plan;
    const qn_stream_place *places = w->tensor->places;
    const uint64_t n_bytes = w->unit.n_rows * places[first].row_bytes;
    const unsigned char *bytes = NULL;
    QN_TRY(encode_rows(w, &places[first], &bytes));
    const uint64_t hash = qn_hash64(bytes, (size_t)n_bytes, w->unit.index);
    for (uint32_t o = first; o < plan->n_outputs; o++) {
        if (places[o].is_wanted && places[o].type == places[first].type) {
            const uint64_t file_off = places[o].file_off + w->unit.first_row * places[o].row_bytes;
            QN_TRY(qn_out_write_at(plan->files[places[o].file].out, file_off, bytes, (size_t)n_bytes, w->err));
            w->memory->hashes[o] = hash;
        }
    }
    return QN_OK;
}

/** Whether output o is the first that wants its type. */
static bool is_first_of_type(const qn_stream_place *places, uint32_t o) {
    for (uint32_t i = 0; i < o; i++) {
        if (places[i].is_wanted && places[i].type == places[o].type) {
            return false;
        }
    }
    return places[o].is_wanted;
}

static bool is_block_type(qn_dtype type) {
    return qn_dtype_get((uint32_t)type)->is_quantized;
}

/** Writes the unit into every output: plain types first, for which NaN is a value like any other. */
static qn_status write_outputs(unit_work *w) {
    const uint32_t n_outputs = w->run->plan->n_outputs;
    const qn_stream_place *places = w->tensor->places;
    memset(w->memory->hashes, 0, n_outputs * sizeof *w->memory->hashes);
    for (int is_block = 0; is_block < 2; is_block++) {
        if (is_block == 1 && w->n_nonfinite > 0) {
            drop_nonfinite(w);
        }
        for (uint32_t o = 0; o < n_outputs; o++) {
            if (is_first_of_type(places, o) && is_block_type(places[o].type) == (is_block == 1)) {
                QN_TRY(write_type(w, o));
            }
        }
    }
    return QN_OK;
}

/** Says, once a tensor, what was met. Under the lock. */
static void warn_of_values(const unit_work *w) {
    tensor_run *t = &w->run->tensors[w->unit.tensor];
    if (w->n_nonfinite > 0 && !t->has_warned_nonfinite) {
        t->has_warned_nonfinite = true;
        qn_job_warn(w->run->job,
                    "tensor '%s' has NaN or infinite weights (from row %llu on, at least); F32, F16 and BF16 keep "
                    "them, quantised types have 0 in their place",
                    w->tensor->name, (unsigned long long)w->unit.first_row);
    }
    if (w->has_overflow && !t->has_warned_overflow) {
        t->has_warned_overflow = true;
        qn_job_warn(w->run->job,
                    "tensor '%s' has weights beyond 65504, the largest that F16 can hold: they became infinite; "
                    "take BF16 or F32 instead",
                    w->tensor->name);
    }
}

static uint64_t unit_source_bytes(const run *r, const qn_stream_unit *unit) {
    const uint64_t n_rows = qn_recipe_rows(r->plan->tensors[unit->tensor].recipe);
    const uint64_t total = r->tensors[unit->tensor].source_bytes;
    return qn_stream_share(total, unit->first_row + unit->n_rows, n_rows) -
        qn_stream_share(total, unit->first_row, n_rows);
}

/** Books a unit that was written. */
static qn_status finish_unit(unit_work *w) {
    run *r = w->run;
    const uint32_t n_outputs = r->plan->n_outputs;
    tensor_run *t = &r->tensors[w->unit.tensor];
    qn_ready *closing = NULL;
    (void)pthread_mutex_lock(&r->lock);
    memcpy(r->state->hashes + w->unit.index * n_outputs, w->memory->hashes, n_outputs * sizeof *r->state->hashes);
    qn_status status = QN_OK;
    if (r->options->on_unit != NULL) {
        status = r->options->on_unit(r->options->user, w->unit.index, w->memory->hashes, w->err);
    }
    if (status == QN_OK) {
        r->state->is_done[w->unit.index] = 1;
        r->state->n_nonfinite += w->n_nonfinite;
        warn_of_values(w);
        qn_progress_add(&r->progress, (qn_progress_at){.tensor = w->tensor->name, .tensor_index = w->unit.tensor + 1},
                        unit_source_bytes(r, &w->unit));
    }
    t->n_left--;
    if (t->n_left == 0) {
        closing = t->ready;
        t->ready = NULL;
        t->phase = READY_CLOSED;
    }
    (void)pthread_mutex_unlock(&r->lock);
    qn_ready_close(closing);
    return status;
}

static qn_status run_unit(run *r, worker_memory *memory, uint64_t index, qn_error *err) {
    unit_work w = {.run = r, .memory = memory, .unit = qn_stream_unit_at(r->plan, index), .err = err};
    w.tensor = &r->plan->tensors[w.unit.tensor];
    w.source = qn_stream_source_of(w.tensor);
    QN_TRY(load_rows(&w));
    if (needs_rows(&w)) {
        QN_TRY(check_finite(&w));
    }
    QN_TRY(write_outputs(&w));
    return finish_unit(&w);
}

/** The next unit that is not done, its stage announced: stages follow each other as the units do. */
static bool take_unit(run *r, uint64_t *index) {
    (void)pthread_mutex_lock(&r->lock);
    while (r->next_unit < r->plan->n_units && r->state->is_done[r->next_unit] != 0) {
        r->next_unit++;
    }
    const bool is_taken = r->next_unit < r->plan->n_units;
    if (is_taken) {
        *index = r->next_unit++;
        qn_progress_stage(&r->progress, r->plan->tensors[qn_stream_unit_at(r->plan, *index).tensor].stage);
    }
    (void)pthread_mutex_unlock(&r->lock);
    return is_taken;
}

static void work(void *shared, unsigned worker) {
    run *r = shared;
    qn_error err = {QN_OK, ""};
    uint64_t index = 0;
    while (!atomic_load(&r->has_stopped) && take_unit(r, &index)) {
        qn_status status = QN_OK;
        if (qn_job_is_cancelled(r->job)) {
            status = qn_fail(&err, QN_E_INTERRUPTED, "interrupted; what was written is kept, the same command goes on");
        } else {
            status = run_unit(r, &r->workers[worker], index, &err);
        }
        if (status != QN_OK) {
            stop_run(r, status, &err);
        }
    }
}

/** Places must fit the recipes: offsets are computed from them. */
static qn_status check_plan(const qn_stream_plan *plan, qn_error *err) {
    for (uint64_t i = 0; i < plan->n_tensors; i++) {
        const qn_stream_tensor *t = &plan->tensors[i];
        for (uint32_t o = 0; o < plan->n_outputs; o++) {
            const qn_stream_place *place = &t->places[o];
            uint64_t row_bytes = 0;
            if (!place->is_wanted) {
                continue;
            }
            QN_TRY(qn_row_size(place->type, qn_recipe_cols(t->recipe), &row_bytes, err));
            if (row_bytes != place->row_bytes || place->file >= plan->n_files) {
                return qn_fail(err, QN_E_INTERNAL, "tensor '%s': its place in output %u does not fit it", t->name, o);
            }
        }
    }
    return QN_OK;
}

static void clear_workers(run *r) {
    for (unsigned i = 0; r->workers != NULL && i < r->n_workers; i++) {
        worker_memory *m = &r->workers[i];
        free(m->raw);
        free(m->rows);
        free(m->coded);
        free(m->hashes);
        qn_scratch_clear(&m->scratch);
    }
    free(r->workers);
}

static qn_status new_workers(run *r, qn_error *err) {
    const qn_stream_sizes sizes = qn_stream_sizes_of(r->plan);
    r->workers = qn_new_array(r->n_workers, sizeof *r->workers);
    if (r->workers == NULL) {
        return qn_fail_nomem(err, "workers", r->n_workers * sizeof *r->workers);
    }
    for (unsigned i = 0; i < r->n_workers; i++) {
        worker_memory *m = &r->workers[i];
        m->raw = qn_new_array(sizes.raw, 1);
        m->rows = qn_new_array(sizes.rows, 1);
        m->coded = qn_new_array(sizes.coded, 1);
        m->hashes = qn_new_array(r->plan->n_outputs, sizeof *m->hashes);
        if (m->raw == NULL || m->rows == NULL || m->coded == NULL || m->hashes == NULL) {
            return qn_fail_nomem(err, "a worker's buffers", (size_t)(sizes.raw + sizes.rows + sizes.coded));
        }
    }
    return QN_OK;
}

/** Counts what is left to do. */
static qn_status new_tensors(run *r, qn_error *err) {
    const qn_stream_plan *plan = r->plan;
    uint64_t n_left = 0;
    uint64_t bytes_done = 0;
    r->tensors = qn_new_array(plan->n_tensors, sizeof *r->tensors);
    if (r->tensors == NULL) {
        return qn_fail_nomem(err, "the tensors of a run", plan->n_tensors * sizeof *r->tensors);
    }
    for (uint64_t i = 0; i < plan->n_tensors; i++) {
        r->tensors[i].source_bytes = qn_recipe_source_bytes(plan->tensors[i].recipe);
    }
    for (uint64_t u = 0; u < plan->n_units; u++) {
        const qn_stream_unit unit = qn_stream_unit_at(plan, u);
        if (r->state->is_done[u] != 0) {
            bytes_done += unit_source_bytes(r, &unit);
        } else {
            r->tensors[unit.tensor].n_left++;
            n_left++;
        }
    }
    const unsigned n_threads = qn_job_threads(r->job);
    r->n_workers = n_left < n_threads ? (unsigned)n_left : n_threads;
    qn_progress_begin(&r->progress, r->job, plan->n_tensors, bytes_done, plan->source_bytes);
    return QN_OK;
}

static void clear_tensors(run *r) {
    for (uint64_t i = 0; r->tensors != NULL && i < r->plan->n_tensors; i++) {
        qn_ready_close(r->tensors[i].ready);
    }
    free(r->tensors);
}

/** Makes what the run needs and runs it; the caller clears. */
static qn_status run_plan(run *r, qn_error *err) {
    QN_TRY(check_plan(r->plan, err));
    QN_TRY(new_tensors(r, err));
    if (r->n_workers == 0) {
        return QN_OK;
    }
    QN_TRY(new_workers(r, err));
    qn_run_workers(r->n_workers, work, r);
    return r->status;
}

qn_status qn_stream_run(const qn_stream_plan *plan, qn_stream_state *state, const qn_stream_options *options,
                        qn_job *job, qn_error *err) {
    run r = {.plan = plan, .state = state, .options = options, .job = job, .err = err};
    atomic_init(&r.has_stopped, false);
    if (pthread_mutex_init(&r.lock, NULL) != 0) {
        return qn_fail_nomem(err, "a lock", sizeof r.lock);
    }
    if (pthread_cond_init(&r.has_opened, NULL) != 0) {
        (void)pthread_mutex_destroy(&r.lock);
        return qn_fail_nomem(err, "a condition", sizeof r.has_opened);
    }
    const qn_status status = run_plan(&r, err);
    clear_workers(&r);
    clear_tensors(&r);
    (void)pthread_cond_destroy(&r.has_opened);
    (void)pthread_mutex_destroy(&r.lock);
    return status;
}
