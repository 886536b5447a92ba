/* SPDX-License-Identifier: MIT */
/*
 * publish.c: runs a plan: opens .part files, streams, syncs, verifies, has outputs accepted, renames.
 *
 * Until the last step nothing has a final name. What fails or is interrupted before that leaves the .part files and
 * the journal, from which the same plan goes on; what fails before anything was written leaves nothing. An output that
 * is refused does not hold back the others: it alone stays, as a .part file, and the job has failed.
 */
#include "pack/journal.h"
#include "pack/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A run in progress. */
typedef struct press {
    qn_plan *plan;
    qn_job *job;
    qn_stream_state state;
    qn_journal *journal;
    bool *published; /* [n_files] of an earlier run of this job */
    bool has_work;   /* some unit is written: worth keeping when the run fails */
    double start_s;
    double whole_s;       /* when all outputs were whole and verified */
    qn_verdict *verdicts; /* [n_outputs] */
    bool *is_refused;     /* [n_outputs] */
    qn_error refusal;     /* QN_OK: none so far */
} press;

static qn_status note_unit(void *user, uint64_t unit, const uint64_t *hashes, qn_error *err) {
    press *p = user;
    p->has_work = true;
    return qn_journal_unit(p->journal, unit, hashes, err);
}

/* A name that was free when the job began may be taken by now: only what this job itself put there is replaced. */
static qn_status check_names(const press *p, qn_error *err) {
    for (uint32_t f = 0; f < p->plan->n_files && !p->plan->force; f++) {
        const char *path = p->plan->files[f].path;
        if (qn_is_file(path) && !p->published[f]) {
            return qn_fail(err, QN_E_EXISTS,
                           "%s: is there, and not of this interrupted job; pass --force to replace it, or "
                           "another --out or --name",
                           path);
        }
    }
    return QN_OK;
}

/* Bytes between tensors are no unit's: those of a file that is kept are made zero again. */
static qn_status write_padding(const press *p, const qn_plan_output *output, uint32_t f, qn_error *err) {
    static const unsigned char zeros[QN_GGUF_ALIGNMENT] = {0};
    const qn_plan_file *file = &p->plan->files[f];
    const uint64_t end_tensor = file->first_tensor + file->n_tensors;
    for (uint64_t i = file->first_tensor; i < end_tensor; i++) {
        const uint64_t end = output->tensors[i].file_off + output->tensors[i].size_bytes;
        const uint64_t next = i + 1 < end_tensor ? output->tensors[i + 1].file_off : file->size_bytes;
        if (next > end) {
            QN_TRY(qn_out_write_at(p->plan->stream.files[f].out, end, zeros, (size_t)(next - end), err));
        }
    }
    return QN_OK;
}

/* A file that an earlier run had renamed is taken back, to be looked at like the others. */
static qn_status open_file(press *p, const qn_plan_output *output, uint32_t f, qn_error *err) {
    const qn_plan_file *file = &p->plan->files[f];
    const bool keeps = p->has_work;
    if (keeps && p->published[f] && !qn_is_file(file->part_path) && qn_is_file(file->path)) {
        QN_TRY(qn_rename(file->path, file->part_path, err));
    }
    QN_TRY(qn_out_open(file->part_path, file->size_bytes, keeps, &p->plan->stream.files[f].out, err));
    QN_TRY(qn_out_write_at(p->plan->stream.files[f].out, 0, file->header.data, file->header.len, err));
    return keeps ? write_padding(p, output, f, err) : QN_OK;
}

static qn_status open_files(press *p, qn_error *err) {
    for (uint32_t o = 0; o < p->plan->n_outputs; o++) {
        const qn_plan_output *output = &p->plan->outputs[o];
        for (uint32_t f = output->first_file; f < output->first_file + output->n_files; f++) {
            QN_TRY(open_file(p, output, f, err));
        }
    }
    return QN_OK;
}

/* Closes what is open; removes it first where it is not worth keeping. What another process holds is not open here. */
static void close_files(press *p, bool keeps) {
    for (uint32_t f = 0; f < p->plan->n_files; f++) {
        if (!keeps && p->plan->stream.files[f].out != NULL) {
            (void)unlink(p->plan->files[f].part_path);
        }
        qn_out_close(p->plan->stream.files[f].out);
        p->plan->stream.files[f].out = NULL;
    }
}

static uint64_t count_done(const qn_plan *plan, const qn_stream_state *state) {
    uint64_t n = 0;
    for (uint64_t i = 0; i < plan->stream.n_units; i++) {
        n += state->is_done[i];
    }
    return n;
}

/* Opens journal and files; finds out what of an earlier run can be kept. */
static qn_status prepare(press *p, qn_error *err) {
    qn_plan *plan = p->plan;
    QN_TRY(qn_make_dirs(plan->inputs.out_dir, err));
    QN_TRY(qn_stream_state_new(&plan->stream, &p->state, err));
    p->published = qn_new_array(plan->n_files, sizeof *p->published);
    p->verdicts = qn_new_array(plan->n_outputs, sizeof *p->verdicts);
    p->is_refused = qn_new_array(plan->n_outputs, sizeof *p->is_refused);
    if (p->published == NULL || p->verdicts == NULL || p->is_refused == NULL) {
        return qn_fail_nomem(err, "plan", plan->n_files);
    }
    QN_TRY(qn_journal_open(plan->journal_path, plan->fingerprint, &plan->stream, &p->state, p->published, &p->journal,
                           err));
    p->has_work = count_done(plan, &p->state) > 0;
    QN_TRY(check_names(p, err));
    QN_TRY(open_files(p, err));
    if (!p->has_work) {
        return QN_OK;
    }
    QN_TRY(qn_stream_verify(&plan->stream, &p->state, true, p->job, err));
    qn_job_note(p->job, "going on with an interrupted job: %llu of %llu parts are there",
                (unsigned long long)count_done(plan, &p->state), (unsigned long long)plan->stream.n_units);
    return QN_OK;
}

/* Tells the steps that the one pass over the weights does together. */
static void announce(const press *p) {
    const qn_plan *plan = p->plan;
    char text[128];
    if (plan->inputs.n_adapters > 0 && !plan->preset.exports_adapter) {
        uint64_t n_pairs = 0;
        for (uint64_t i = 0; i < plan->model->n_adapters; i++) {
            n_pairs += plan->model->adapters[i]->n_pairs;
        }
        (void)snprintf(text, sizeof text, "%llu matrices change, on the way through", (unsigned long long)n_pairs);
        qn_job_emit(p->job, (qn_event){.kind = QN_EVENT_STAGE, .stage = "Merge LoRA", .message = text});
    }
    if (plan->preset.n_targets > 0) {
        (void)snprintf(text, sizeof text, "%llu tensors, metadata and vocabulary laid out",
                       (unsigned long long)plan->model->n_tensors);
        qn_job_emit(p->job, (qn_event){.kind = QN_EVENT_STAGE, .stage = "GGUF conversion", .message = text});
    }
}

/* Headers are not units: they are compared whole. */
static qn_status verify_header(const qn_plan_file *file, qn_out *out, qn_error *err) {
    unsigned char *bytes = qn_new_array(file->header.len, 1);
    if (bytes == NULL) {
        return qn_fail_nomem(err, file->part_path, file->header.len);
    }
    qn_status status = qn_out_read_at(out, 0, bytes, file->header.len, err);
    if (status == QN_OK && memcmp(bytes, file->header.data, file->header.len) != 0) {
        status = qn_fail(err, QN_E_IO, "%s: the header came back from the disk changed", file->part_path);
    }
    free(bytes);
    return status;
}

static qn_status finish_bytes(press *p, qn_error *err) {
    qn_plan *plan = p->plan;
    for (uint32_t f = 0; f < plan->n_files && !plan->no_sync; f++) {
        QN_TRY(qn_out_sync(plan->stream.files[f].out, err));
    }
    if (plan->no_verify) {
        return QN_OK;
    }
    for (uint32_t f = 0; f < plan->n_files; f++) {
        QN_TRY(verify_header(&plan->files[f], plan->stream.files[f].out, err));
    }
    return qn_stream_verify(&plan->stream, &p->state, false, p->job, err);
}

/* The first refusal's status, and the messages of all, one a line. */
static void note_refusal(press *p, uint32_t o, const qn_error *why) {
    qn_error *all = &p->refusal;
    const size_t used = strlen(all->message);
    p->is_refused[o] = true;
    all->status = used == 0 ? why->status : all->status;
    (void)snprintf(all->message + used, sizeof all->message - used, "%s%s", used == 0 ? "" : "\n", why->message);
}

/* @return of the accept call */
static qn_status ask(press *p, uint32_t o, qn_error *err) {
    const qn_plan_output *output = &p->plan->outputs[o];
    const char **part_paths = qn_new_array(output->n_files, sizeof *part_paths);
    if (part_paths == NULL) {
        return qn_fail_nomem(err, "plan", output->n_files);
    }
    for (uint32_t k = 0; k < output->n_files; k++) {
        part_paths[k] = p->plan->files[output->first_file + k].part_path;
    }
    const qn_candidate candidate = {.type = output->type_name,
                                    .path = output->path,
                                    .part_paths = part_paths,
                                    .n_files = output->n_files,
                                    .size_bytes = output->size_bytes};
    const qn_status status = p->plan->accept(p->plan->accept_user, &candidate, p->job, &p->verdicts[o], err);
    free(part_paths);
    return status;
}

static qn_status ask_all(press *p, qn_error *err) {
    for (uint32_t o = 0; p->plan->accept != NULL && !p->plan->to_hf && o < p->plan->n_outputs; o++) {
        const qn_status status = ask(p, o, err);
        if (status == QN_E_INTERRUPTED) {
            return status;
        }
        if (status != QN_OK) {
            note_refusal(p, o, err);
        }
    }
    return QN_OK;
}

/* Gives every file of an output its final name, the first of a set last: a set is found by its first file. */
static qn_status rename_output(press *p, uint32_t o, qn_error *err) {
    const qn_plan_output *output = &p->plan->outputs[o];
    for (uint32_t k = output->n_files; k > 0; k--) {
        const uint32_t f = output->first_file + k - 1;
        const qn_plan_file *file = &p->plan->files[f];
        QN_TRY(qn_journal_published(p->journal, f, err));
        qn_out_close(p->plan->stream.files[f].out);
        p->plan->stream.files[f].out = NULL;
        QN_TRY(qn_rename(file->part_path, file->path, err));
    }
    qn_job_emit(p->job,
                (qn_event){.kind = QN_EVENT_OUTPUT,
                           .path = output->path,
                           .output_type = output->type_name,
                           .bytes_done = output->size_bytes,
                           .bits_per_weight = qn_plan_bits_per_weight(p->plan, output),
                           .seconds = p->whole_s - p->start_s,
                           .verdict = p->plan->accept == NULL || p->plan->to_hf ? NULL : &p->verdicts[o]});
    return QN_OK;
}

static qn_status run(press *p, qn_error *err) {
    const qn_stream_options options = {.level = qn_cpu_detect(),
                                       .effort = p->plan->effort,
                                       .allow_nan = p->plan->allow_nan,
                                       .on_unit = note_unit,
                                       .user = p};
    QN_TRY(prepare(p, err));
    announce(p);
    QN_TRY(qn_stream_run(&p->plan->stream, &p->state, &options, p->job, err));
    QN_TRY(finish_bytes(p, err));
    p->whole_s = qn_job_seconds(p->job);
    QN_TRY(ask_all(p, err));
    for (uint32_t o = 0; o < p->plan->n_outputs; o++) {
        if (!p->is_refused[o]) {
            QN_TRY(rename_output(p, o, err));
        }
    }
    return p->refusal.status == QN_OK ? QN_OK : qn_fail(err, p->refusal.status, "%s", p->refusal.message);
}

/* A run that failed before it wrote anything worth keeping leaves nothing behind. */
static void clean_up(press *p, qn_status status) {
    close_files(p, p->has_work);
    if (status != QN_OK && p->has_work) {
        qn_journal_close(p->journal);
    } else {
        qn_journal_remove(p->journal);
    }
    qn_stream_state_clear(&p->state);
    free(p->published);
    free(p->verdicts);
    free(p->is_refused);
}

void qn_plan_set_accept(qn_plan *plan, qn_accept_fn *fn, void *user) {
    plan->accept = fn;
    plan->accept_user = user;
}

qn_status qn_plan_run(qn_plan *plan, qn_job *job, qn_error *err) {
    qn_error local = {0};
    qn_error *found = err == NULL ? &local : err;
    press p = {.plan = plan, .job = job, .start_s = qn_job_seconds(job)};
    const qn_status status = run(&p, found);
    clean_up(&p, status);
    if (status == QN_OK) {
        qn_job_emit(job,
                    (qn_event){.kind = QN_EVENT_DONE,
                               .bytes_done = plan->disk_bytes,
                               .seconds = qn_job_seconds(job) - p.start_s});
    } else {
        qn_job_emit(job, (qn_event){.kind = QN_EVENT_FAILED, .message = found->message});
    }
    return status;
}
