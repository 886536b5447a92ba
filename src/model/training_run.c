/* SPDX-License-Identifier: MIT */
/* training_run.c: opens a Trainer's output folder and picks a checkpoint from it. */
/* Reads names, trainer_state.json, adapter_config.json and the headers of weights; never the pickles beside them
   (training_args.bin, optimizer.pt). What is broken in one checkpoint is told in its note and does not hide the others:
   only a folder without any checkpoint fails. */
#include "model/training_run.h"

#include "base/buffer.h"
#include "base/file.h"
#include "model/training_run_parts.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A log line is some 200 bytes: a million of them. */
enum { MAX_STATE_BYTES = 256 << 20, MAX_CONFIG_BYTES = 16 << 20, MAX_LISTED = 40 };

static const char no_state[] = "trainer_state.json is missing: it may have died while saving";

/* A run being opened. */
typedef struct opening {
    qn_run_opened *opened;
    qn_run_evidence evidence;
    json_t *root_state;   /* owned */
    const char *root_why; /* why the root's state cannot be used; NULL */
    qn_weights_look root_look;
    bool *is_pointer; /* a checkpoint: its weights are Git-LFS pointers */
} opening;

const char *qn_run_state_name(qn_run_state state) {
    switch (state) {
    case QN_RUN_UNKNOWN: return "unknown";
    case QN_RUN_COMPLETED: return "completed";
    case QN_RUN_STOPPED_EARLY: return "stopped_early";
    case QN_RUN_STOPPED_BY_USER: return "stopped_by_user";
    case QN_RUN_FAILED: return "failed";
    case QN_RUN_RUNNING: return "running";
    case QN_RUN_DIVERGED: return "diverged";
    }
    return "unknown";
}

/* The N of "checkpoint-N"; Jansson's integers are its limit. */
static bool read_checkpoint_name(const char *name, uint64_t *step) {
    uint64_t value = 0;
    if (strncmp(name, "checkpoint-", 11) != 0 || name[11] == '\0') {
        return false;
    }
    for (const char *c = name + 11; *c != '\0'; c++) {
        if (*c < '0' || *c > '9' || value > (uint64_t)(INT64_MAX - 9) / 10) {
            return false;
        }
        value = value * 10 + (uint64_t)(*c - '0');
    }
    *step = value;
    return true;
}

static int compare_checkpoints(const void *a, const void *b) {
    const qn_checkpoint *x = a;
    const qn_checkpoint *y = b;
    return x->step != y->step ? (x->step < y->step ? -1 : 1) : strcmp(x->name, y->name);
}

/* Fills run->checkpoints with the checkpoint-N folders, by number; room for the root is left behind them. */
static qn_status list_checkpoints(qn_training_run *run, const qn_names *names, qn_error *err) {
    run->checkpoints = qn_arena_array(run->arena, names->n + 1, sizeof *run->checkpoints);
    if (run->checkpoints == NULL) {
        return qn_fail_nomem(err, run->dir, (size_t)names->n * sizeof *run->checkpoints);
    }
    for (uint64_t i = 0; i < names->n; i++) {
        qn_checkpoint *c = &run->checkpoints[run->n_checkpoints];
        if (!read_checkpoint_name(names->names[i], &c->step)) {
            continue;
        }
        c->dir = qn_path_join(run->arena, run->dir, names->names[i]);
        if (c->dir == NULL) {
            return qn_fail_nomem(err, run->dir, strlen(run->dir));
        }
        c->name = names->names[i];
        run->n_checkpoints += qn_is_dir(c->dir) ? 1 : 0;
    }
    if (run->n_checkpoints > 1) {
        qsort(run->checkpoints, (size_t)run->n_checkpoints, sizeof *run->checkpoints, compare_checkpoints);
    }
    return QN_OK;
}

/* dir/trainer_state.json: *state is NULL when it is not there or, *why then says so, cannot be read. */
static qn_status load_state(qn_arena *arena, const char *dir, json_t **state, const char **why, qn_error *err) {
    qn_error found = {QN_OK, ""};
    const char *path = qn_path_join(arena, dir, "trainer_state.json");
    *state = NULL;
    *why = NULL;
    if (path == NULL) {
        return qn_fail_nomem(err, dir, strlen(dir));
    }
    const qn_status status = qn_json_load_object(path, MAX_STATE_BYTES, state, &found);
    if (qn_run_is_blameless(status)) {
        return qn_fail(err, status, "%s", found.message);
    }
    if (status != QN_OK) {
        *why = status == QN_E_NOT_FOUND ? no_state : qn_arena_string(arena, found.message);
        return *why == NULL ? qn_fail_nomem(err, path, strlen(found.message)) : QN_OK;
    }
    if (!json_is_array(json_object_get(*state, "log_history"))) {
        *why = qn_arena_printf(arena, "%s: log_history is not a list: losses are not known", path);
        return *why == NULL ? qn_fail_nomem(err, path, strlen(path)) : QN_OK;
    }
    return QN_OK;
}

/* Epoch, loss and evaluation at the checkpoint's step, out of a state. */
static qn_status describe(qn_run_opened *opened, qn_checkpoint *c, const json_t *state, qn_error *err) {
    const json_t *log = qn_log_of(state);
    uint64_t step = 0;
    double epoch = NAN;
    c->loss = qn_log_loss(log, c->step);
    if (qn_json_u64(state, "global_step", &step) && step == c->step && qn_json_f64(state, "epoch", &epoch)) {
        c->epoch = epoch;
    }
    json_t *eval = qn_log_eval(log, c->step);
    if (eval == NULL || (json_object_size(eval) > 0 && json_array_append(opened->evals, eval) != 0)) {
        json_decref(eval);
        return qn_fail_nomem(err, c->dir, 0);
    }
    c->eval = json_object_size(eval) > 0 ? eval : NULL;
    json_decref(eval);
    return QN_OK;
}

/* Reads one checkpoint-N; its state becomes the run's, so that the highest-numbered one stays. */
static qn_status read_checkpoint(opening *o, uint64_t i, qn_error *err) {
    qn_training_run *run = &o->opened->run;
    qn_checkpoint *c = &run->checkpoints[i];
    qn_weights_look look;
    json_t *state = NULL;
    const char *why = NULL;
    c->epoch = NAN;
    c->loss = NAN;
    QN_TRY(qn_look_at_weights(run->arena, c->dir, &look, err));
    QN_TRY(load_state(run->arena, c->dir, &state, &why, err));
    c->kind = look.kind;
    c->is_complete = look.is_whole && state != NULL;
    c->note = look.is_whole || state == NULL ? why : look.note;
    if (c->note == NULL) {
        c->note = look.note;
    }
    o->is_pointer[i] = look.is_pointer;
    if (state == NULL) {
        return QN_OK;
    }
    json_decref(run->state_json);
    run->state_json = state;
    o->evidence.state_file = qn_path_join(run->arena, c->name, "trainer_state.json");
    return o->evidence.state_file == NULL ? qn_fail_nomem(err, c->dir, 0) : describe(o->opened, c, state, err);
}

/* The state at the root is the newest unless a checkpoint has come further (training was taken up again). */
static qn_status weigh_root_state(opening *o, qn_error *err) {
    qn_training_run *run = &o->opened->run;
    uint64_t root_step = 0;
    uint64_t step = 0;
    QN_TRY(load_state(run->arena, run->dir, &o->root_state, &o->root_why, err));
    if (o->root_state == NULL) {
        o->root_why = o->root_why == no_state ? NULL : o->root_why;
        return QN_OK;
    }
    if (run->state_json != NULL && qn_json_u64(run->state_json, "global_step", &step) &&
        qn_json_u64(o->root_state, "global_step", &root_step) && step > root_step) {
        o->evidence.has_old_root_state = true;
        return QN_OK;
    }
    json_decref(run->state_json);
    run->state_json = json_incref(o->root_state);
    o->evidence.state_file = "trainer_state.json";
    o->evidence.is_root_state = true;
    return QN_OK;
}

/* The run's own folder as a checkpoint, behind the others. */
static qn_status add_root(opening *o, qn_error *err) {
    qn_training_run *run = &o->opened->run;
    const qn_weights_look *look = &o->root_look;
    qn_checkpoint *c = &run->checkpoints[run->n_checkpoints];
    uint64_t step = 0;
    *c = (qn_checkpoint){.name = run->name, .dir = run->dir, .epoch = NAN, .loss = NAN, .is_root = true};
    c->kind = look->kind;
    c->is_complete = look->is_whole;
    c->note = look->note == NULL ? o->root_why : look->note;
    o->is_pointer[run->n_checkpoints] = look->is_pointer;
    run->n_checkpoints++;
    if (qn_json_u64(o->root_state, "global_step", &step)) {
        c->step = step;
        return describe(o->opened, c, o->root_state, err);
    }
    if (run->n_checkpoints == 1) {
        (void)read_checkpoint_name(run->name, &c->step);
    }
    return QN_OK;
}

/* A sub-folder that is a run, for a message; NULL when there is none. */
static const char *find_run_below(const qn_training_run *run, const qn_names *names) {
    for (uint64_t i = 0; i < names->n && i < MAX_LISTED; i++) {
        qn_names below = {NULL, 0};
        uint64_t step = 0;
        const char *dir = qn_path_join(run->arena, run->dir, names->names[i]);
        if (dir == NULL || !qn_is_dir(dir) || qn_list_dir(run->arena, dir, &below, NULL) != QN_OK) {
            continue;
        }
        for (uint64_t k = 0; k < below.n; k++) {
            if (read_checkpoint_name(below.names[k], &step)) {
                return dir;
            }
        }
    }
    return NULL;
}

static qn_status fail_without_checkpoint(const opening *o, const qn_names *names, qn_error *err) {
    const qn_training_run *run = &o->opened->run;
    const char *below = find_run_below(run, names);
    if (below != NULL) {
        return qn_fail(err, QN_E_NOT_FOUND, "%s: holds no checkpoint-N folder and no weights, but %s does: give that",
                       run->dir, below);
    }
    if (o->root_look.config != NULL) {
        return qn_fail(err, QN_E_NOT_FOUND, "%s: there is %s, but no weights (%s) and no checkpoint-N folder", run->dir,
                       o->root_look.config, o->root_look.note);
    }
    return qn_fail(err, QN_E_NOT_FOUND,
                   "%s: holds no checkpoint-N folder, no adapter (adapter_config.json) and no model (config.json and "
                   "model*.safetensors): give the folder that training wrote to",
                   run->dir);
}

/* Which step the root's weights are of, when no state beside them says it. */
static void settle_root_step(qn_training_run *run) {
    qn_checkpoint *root = run->n_checkpoints > 0 ? &run->checkpoints[run->n_checkpoints - 1] : NULL;
    if (root == NULL || !root->is_root || root->step != 0) {
        return;
    }
    root->step = run->state == QN_RUN_COMPLETED ? run->max_steps : 0;
    root->loss = isnan(root->loss) ? qn_log_loss(qn_log_of(run->state_json), INT64_MAX) : root->loss;
}

/* Where weights of the last step are. A pointer to them counts: they were saved, and not fetched. */
static const char *find_final_weights(const opening *o) {
    const qn_training_run *run = &o->opened->run;
    uint64_t max_steps = 0;
    if (!qn_json_u64(run->state_json, "max_steps", &max_steps)) {
        max_steps = 0;
    }
    for (uint64_t i = run->n_checkpoints; i > 0; i--) {
        const qn_checkpoint *c = &run->checkpoints[i - 1];
        const bool is_there = c->is_complete || o->is_pointer[i - 1];
        if (is_there && c->is_root && !o->evidence.has_old_root_state) {
            return "the run's folder";
        }
        if (is_there && !c->is_root && max_steps > 0 && c->step >= max_steps) {
            return c->name;
        }
    }
    return NULL;
}

/* Marks the last complete one. The root comes before the last checkpoint-N only when it is of a later step: of the same
   step, it may hold the best weights instead (load_best_model_at_end). */
static void mark_last(qn_training_run *run) {
    qn_checkpoint *last = NULL;
    for (uint64_t i = 0; i < run->n_checkpoints; i++) {
        qn_checkpoint *c = &run->checkpoints[i];
        if (c->is_complete && (last == NULL || !c->is_root || c->step == 0 || c->step > last->step)) {
            last = c;
        }
    }
    if (last != NULL) {
        last->is_last = true;
    }
}

/* The base, from the newest adapter that names one. */
static qn_status find_base_name(qn_training_run *run, qn_error *err) {
    for (uint64_t i = run->n_checkpoints; i > 0 && run->base == NULL; i--) {
        const qn_checkpoint *c = &run->checkpoints[i - 1];
        qn_error found = {QN_OK, ""};
        json_t *config = NULL;
        const char *path = qn_path_join(run->arena, c->dir, "adapter_config.json");
        if (path == NULL) {
            return qn_fail_nomem(err, c->dir, strlen(c->dir));
        }
        if (c->kind != QN_RUN_KIND_ADAPTER) {
            continue;
        }
        const qn_status status = qn_json_load_object(path, MAX_CONFIG_BYTES, &config, &found);
        const char *name = qn_json_string(config, "base_model_name_or_path");
        const bool has_name = name != NULL && name[0] != '\0';
        run->base = has_name ? qn_arena_string(run->arena, name) : NULL;
        json_decref(config);
        if (qn_run_is_blameless(status)) {
            return qn_fail(err, status, "%s", found.message);
        }
        if (has_name && run->base == NULL) {
            return qn_fail_nomem(err, path, strlen(path));
        }
    }
    return QN_OK;
}

static qn_status read_all(opening *o, qn_error *err) {
    qn_training_run *run = &o->opened->run;
    qn_names names = {NULL, 0};
    QN_TRY(qn_list_dir(run->arena, run->dir, &names, err));
    QN_TRY(list_checkpoints(run, &names, err));
    o->is_pointer = qn_arena_array(run->arena, run->n_checkpoints + 1, sizeof *o->is_pointer);
    if (o->is_pointer == NULL) {
        return qn_fail_nomem(err, run->dir, (size_t)run->n_checkpoints);
    }
    const uint64_t n_folders = run->n_checkpoints;
    for (uint64_t i = 0; i < n_folders; i++) {
        QN_TRY(read_checkpoint(o, i, err));
    }
    QN_TRY(qn_look_at_weights(run->arena, run->dir, &o->root_look, err));
    QN_TRY(weigh_root_state(o, err));
    o->evidence.is_single = n_folders == 0;
    o->evidence.has_root_weights = o->root_look.is_whole || o->root_look.is_pointer;
    if (o->root_look.has_weights || (n_folders == 0 && o->root_look.config != NULL && o->root_state != NULL)) {
        QN_TRY(add_root(o, err));
    }
    return run->n_checkpoints == 0 ? fail_without_checkpoint(o, &names, err) : QN_OK;
}

static qn_status conclude_run(opening *o, qn_error *err) {
    qn_training_run *run = &o->opened->run;
    double epoch = NAN;
    for (uint64_t i = 0; i < run->n_checkpoints; i++) {
        qn_checkpoint *c = &run->checkpoints[i];
        run->kind = c->kind == QN_RUN_KIND_UNKNOWN ? run->kind : c->kind;
        if (isnan(c->loss) && c->eval == NULL && !c->is_root && !c->is_complete) {
            QN_TRY(describe(o->opened, c, run->state_json, err));
        }
    }
    run->epoch = qn_json_f64(run->state_json, "epoch", &epoch) ? epoch : (double)NAN;
    QN_TRY(find_base_name(run, err));
    o->evidence.final_weights = find_final_weights(o);
    QN_TRY(qn_run_judge(run, &o->evidence, err));
    settle_root_step(run);
    mark_last(run);
    return qn_run_mark_best(o->opened, err);
}

qn_status qn_run_open(const char *dir, qn_training_run **out, qn_error *err) {
    opening o = {.opened = qn_new_array(1, sizeof *o.opened)};
    if (o.opened == NULL) {
        return qn_fail_nomem(err, dir, sizeof *o.opened);
    }
    qn_training_run *run = &o.opened->run;
    run->arena = qn_arena_new();
    o.opened->evals = json_array();
    qn_status status = QN_E_NOMEM;
    if (run->arena != NULL && o.opened->evals != NULL) {
        run->dir = qn_arena_string(run->arena, dir);
        run->name = qn_path_base(run->arena, dir);
    }
    if (run->dir == NULL || run->name == NULL) {
        status = qn_fail_nomem(err, dir, strlen(dir));
    } else {
        status = read_all(&o, err);
    }
    if (status == QN_OK) {
        status = conclude_run(&o, err);
    }
    json_decref(o.root_state);
    if (status != QN_OK) {
        qn_run_close(run);
        return status;
    }
    *out = run;
    return QN_OK;
}

void qn_run_close(qn_training_run *run) {
    if (run == NULL) {
        return;
    }
    /* The run is the first member of what was allocated. */
    qn_run_opened *opened = (qn_run_opened *)run;
    json_decref(opened->evals);
    json_decref(run->state_json);
    qn_arena_free(run->arena);
    free(opened);
}

/* "checkpoint-100, checkpoint-200, …": the newest MAX_LISTED. */
static char *list_names(const qn_training_run *run) {
    qn_buffer text = {0};
    const uint64_t n = run->n_checkpoints;
    const uint64_t first = n > MAX_LISTED ? n - MAX_LISTED : 0;
    qn_buffer_text(&text, first > 0 ? "…, " : "");
    for (uint64_t i = first; i < n; i++) {
        const qn_checkpoint *c = &run->checkpoints[i];
        qn_buffer_printf(&text, "%s%s%s", i > first ? ", " : "", c->name, c->is_complete ? "" : " (incomplete)");
    }
    return qn_buffer_take_text(&text);
}

static qn_status fail_not_there(const qn_training_run *run, const char *which, qn_error *err) {
    char *names = list_names(run);
    const qn_status status = qn_fail(err, QN_E_NOT_FOUND,
                                     "%s: there is no checkpoint '%s': give best, last or the step of one of %s",
                                     run->dir, which, names == NULL ? "those there" : names);
    free(names);
    return status;
}

static const char *note_of(const qn_checkpoint *c) {
    return c->note == NULL ? "it cannot be used" : c->note;
}

static qn_status fail_incomplete(const qn_training_run *run, const qn_checkpoint *c, qn_error *err) {
    return qn_fail(err, QN_E_FORMAT, "%s: %s is incomplete: %s", run->dir, c->name, note_of(c));
}

/* The last complete one; reason, which may be NULL, is told as why it is this one. */
static qn_status pick_last(const qn_training_run *run, const char *reason, const qn_checkpoint **out, const char **why,
                           qn_error *err) {
    const qn_checkpoint *skipped = &run->checkpoints[run->n_checkpoints - 1];
    const qn_checkpoint *last = NULL;
    for (uint64_t i = 0; i < run->n_checkpoints; i++) {
        const qn_checkpoint *c = &run->checkpoints[i];
        last = c->is_last ? c : last;
        skipped = c->is_last ? NULL : c->is_complete ? skipped : c;
    }
    if (last == NULL) {
        return fail_incomplete(run, skipped, err);
    }
    const char *text = reason == NULL ? "last" : qn_arena_printf(run->arena, "last: %s", reason);
    if (text != NULL && skipped != NULL && !skipped->is_complete) {
        text = qn_arena_printf(run->arena, "%s; %s is incomplete: %s", text, skipped->name, note_of(skipped));
    }
    if (text == NULL) {
        return qn_fail_nomem(err, run->dir, 0);
    }
    *out = last;
    *why = text;
    return QN_OK;
}

/* The best one; without it, or when nobody asked for the best and it is incomplete, the last. */
static qn_status pick_best(const qn_training_run *run, bool is_asked, const qn_checkpoint **out, const char **why,
                           qn_error *err) {
    const qn_run_opened *opened = (const qn_run_opened *)run;
    const qn_checkpoint *best = NULL;
    for (uint64_t i = 0; i < run->n_checkpoints; i++) {
        best = run->checkpoints[i].is_best ? &run->checkpoints[i] : best;
    }
    if (best == NULL) {
        return pick_last(
            run, is_asked ? "the best is not known, no evaluation is logged for a checkpoint that is there" : NULL, out,
            why, err);
    }
    if (!best->is_complete && is_asked) {
        return fail_incomplete(run, best, err);
    }
    if (!best->is_complete) {
        const char *reason = qn_arena_printf(run->arena, "the best, %s, is incomplete", best->name);
        return reason == NULL ? qn_fail_nomem(err, run->dir, 0) : pick_last(run, reason, out, why, err);
    }
    *out = best;
    *why = opened->best_why;
    return QN_OK;
}

/* A checkpoint by its step or its name. */
static const qn_checkpoint *find_checkpoint(const qn_training_run *run, const char *which) {
    uint64_t step = 0;
    char name[64] = "checkpoint-";
    for (uint64_t i = 0; i < run->n_checkpoints; i++) {
        if (strcmp(run->checkpoints[i].name, which) == 0) {
            return &run->checkpoints[i];
        }
    }
    if (strlen(which) >= sizeof name - strlen(name)) {
        return NULL;
    }
    memcpy(name + strlen(name), which, strlen(which) + 1);
    if (!read_checkpoint_name(name, &step)) {
        return NULL;
    }
    for (uint64_t i = 0; i < run->n_checkpoints; i++) {
        if (run->checkpoints[i].step == step) {
            return &run->checkpoints[i];
        }
    }
    return NULL;
}

qn_status qn_run_pick(const qn_training_run *run, const char *which, const qn_checkpoint **out, const char **why,
                      qn_error *err) {
    if (which == NULL || strcmp(which, "best") == 0) {
        return pick_best(run, which != NULL, out, why, err);
    }
    if (strcmp(which, "last") == 0) {
        return pick_last(run, NULL, out, why, err);
    }
    const qn_checkpoint *found = find_checkpoint(run, which);
    if (found == NULL) {
        return fail_not_there(run, which, err);
    }
    if (!found->is_complete) {
        return fail_incomplete(run, found, err);
    }
    *why = qn_arena_printf(run->arena, "step %llu, as asked", (unsigned long long)found->step);
    if (*why == NULL) {
        return qn_fail_nomem(err, run->dir, 0);
    }
    *out = found;
    return QN_OK;
}
