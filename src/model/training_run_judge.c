/* SPDX-License-Identifier: MIT */
/* training_run_judge.c: decides from the files alone how a run stands. The rules are facts/training_outputs.md 3. */
#include "base/file.h"
#include "model/training_run_parts.h"

#include <string.h>
#include <time.h>

/* A run that wrote nothing for ten mean steps, and at least ten minutes, is taken for dead; a run that writes only when
   it saves gets twice the time between two checkpoints, up to six hours. */
enum { MIN_QUIET_S = 600, MAX_QUIET_S = 6 * 3600, QUIET_STEPS = 10, QUIET_SAVES = 2 };

/* All that the rules look at, gathered first. */
typedef struct clues {
    qn_training_run *run;
    const qn_run_evidence *evidence;
    const json_t *log;
    const char *ended_by; /* the file that says that training came to its end; NULL */
    qn_run_progress progress;
    uint64_t step;
    uint64_t max_steps;
    const char *source; /* the file that step is from */
} clues;

static qn_status conclude(clues *c, qn_run_state state, const char *why, qn_error *err) {
    c->run->state = state;
    c->run->why = why;
    return why == NULL ? qn_fail_nomem(err, "the run's state", 0) : QN_OK;
}

/* The file that ends a training; those at the root do not count when a checkpoint is newer than the root's state. */
static const char *find_end(const clues *c) {
    static const char *const results[] = {"train_results.json", "all_results.json"};
    const qn_training_run *run = c->run;
    if (qn_log_is_ended(c->log)) {
        return c->evidence->state_file;
    }
    if (c->evidence->has_old_root_state) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++) {
        int64_t time_s = 0;
        if (qn_run_file_time(run->arena, run->dir, results[i], &time_s)) {
            return results[i];
        }
    }
    return qn_run_log_says_completed(run->arena, run->dir) ? "debug.log" : NULL;
}

static qn_status gather(clues *c, qn_error *err) {
    const qn_training_run *run = c->run;
    c->log = qn_log_of(run->state_json);
    if (!qn_json_u64(run->state_json, "global_step", &c->step)) {
        c->step = 0;
    }
    if (!qn_json_u64(run->state_json, "max_steps", &c->max_steps)) {
        c->max_steps = 0;
    }
    c->source = c->evidence->state_file;
    QN_TRY(qn_run_read_progress(run->arena, run->dir, &c->progress, err));
    if (c->progress.file != NULL && (c->source == NULL || c->progress.step > c->step)) {
        c->step = c->progress.step;
        c->source = c->progress.file;
    }
    if (c->max_steps == 0) {
        c->max_steps = c->progress.n_steps;
    }
    c->ended_by = find_end(c);
    return QN_OK;
}

/* The object at stateful_callbacks.<name>, which is a list of one when several of a kind were given. */
static const json_t *callback(const json_t *state, const char *name) {
    const json_t *found = json_object_get(json_object_get(state, "stateful_callbacks"), name);
    return json_is_array(found) ? json_array_get(found, 0) : found;
}

/* Whether the early-stopping rule's patience is used up. */
static bool is_out_of_patience(const json_t *state, uint64_t *patience) {
    const json_t *rule = callback(state, "EarlyStoppingCallback");
    uint64_t counter = 0;
    return qn_json_u64(json_object_get(rule, "args"), "early_stopping_patience", patience) &&
        qn_json_u64(json_object_get(rule, "attributes"), "early_stopping_patience_counter", &counter) &&
        *patience > 0 && counter >= *patience;
}

/* Steps between two saves; 0 when unknown. A save_steps below 1 is a share of max_steps. */
static uint64_t save_interval(const clues *c) {
    const qn_training_run *run = c->run;
    double save_steps = 0.0;
    if (qn_json_f64(run->state_json, "save_steps", &save_steps) && save_steps > 0.0) {
        const double steps = save_steps < 1.0 ? save_steps * (double)c->max_steps : save_steps;
        return steps < 1e15 ? (uint64_t)steps : 0;
    }
    return 0;
}

/* Weights in the run's folder, and no state beside them: the step that they are of is not written down. Where the next
   checkpoint would have come after the last step, they are the last step's. Axolotl leaves no README when it is
   interrupted. */
static bool is_likely_last(const clues *c) {
    const qn_training_run *run = c->run;
    const char *log = qn_path_join(run->arena, run->dir, "debug.log");
    const char *readme = qn_path_join(run->arena, run->dir, "README.md");
    const bool is_interrupted = log != NULL && readme != NULL && qn_is_file(log) && !qn_is_file(readme);
    if (c->progress.file != NULL && c->progress.n_steps > 0) {
        return c->progress.step >= c->progress.n_steps;
    }
    return !is_interrupted && c->max_steps - c->step < save_interval(c);
}

static qn_status conclude_completed(clues *c, qn_error *err) {
    qn_arena *arena = c->run->arena;
    const unsigned long long step = c->step;
    const unsigned long long max_steps = c->max_steps;
    const char *why = NULL;
    if (c->max_steps == 0) {
        why = qn_arena_printf(arena, "%s says that training ended", c->ended_by);
    } else if (c->step < c->max_steps && c->ended_by != NULL) {
        why = qn_arena_printf(arena,
                              "%s says that training ended; the last checkpoint before it is of step %llu of %llu",
                              c->ended_by, step, max_steps);
    } else if (c->step < c->max_steps) {
        why = qn_arena_printf(arena, "the weights in the run's folder were saved after %s (step %llu of %llu)",
                              c->source, step, max_steps);
    } else if (c->evidence->final_weights == NULL) {
        why = qn_arena_printf(arena,
                              "%s is at step %llu of %llu and %s says that training ended; its last weights are not "
                              "here",
                              c->source, step, max_steps, c->ended_by);
    } else {
        why = qn_arena_printf(arena, "%s is at step %llu of %llu and the last weights are in %s", c->source, step,
                              max_steps, c->evidence->final_weights);
    }
    return conclude(c, QN_RUN_COMPLETED, why, err);
}

/* "41 seconds", "3 hours": roughly, for people. */
static const char *duration(qn_arena *arena, int64_t seconds) {
    static const struct {
        int64_t seconds;
        const char *name;
    } units[] = {{86400, "day"}, {3600, "hour"}, {60, "minute"}, {1, "second"}};
    size_t i = 0;
    while (i < 3 && seconds < 2 * units[i].seconds) {
        i++;
    }
    const long long n = seconds / units[i].seconds;
    return qn_arena_printf(arena, "%lld %s%s", n, units[i].name, n == 1 ? "" : "s");
}

/* Seconds of silence after which a run is taken for dead, from the times its last two checkpoints were saved. */
static int64_t quiet_limit(const qn_training_run *run) {
    int64_t newer = 0;
    uint64_t newer_step = 0;
    bool has_newer = false;
    for (uint64_t i = run->n_checkpoints; i > 0; i--) {
        const qn_checkpoint *c = &run->checkpoints[i - 1];
        int64_t time_s = 0;
        if (c->is_root || !qn_run_file_time(run->arena, c->dir, "trainer_state.json", &time_s)) {
            continue;
        }
        if (has_newer && newer > time_s && newer_step > c->step) {
            const double gap = (double)newer - (double)time_s;
            const double by_step = QUIET_STEPS * gap / (double)(newer_step - c->step);
            const double by_save = QUIET_SAVES * gap < MAX_QUIET_S ? QUIET_SAVES * gap : MAX_QUIET_S;
            const double limit = by_step > by_save ? by_step : by_save;
            return limit < MIN_QUIET_S ? MIN_QUIET_S : limit > 1e9 ? (int64_t)1e9 : (int64_t)limit;
        }
        newer = time_s;
        newer_step = c->step;
        has_newer = true;
    }
    return MIN_QUIET_S;
}

/* The newest checkpoint's note, when it died while it was being saved. */
static const char *broken_save(const qn_training_run *run) {
    for (uint64_t i = run->n_checkpoints; i > 0; i--) {
        const qn_checkpoint *c = &run->checkpoints[i - 1];
        if (!c->is_root) {
            return c->is_complete ? NULL : c->note;
        }
    }
    return NULL;
}

/* No sign of an end: dead when it has been quiet for long, else running. */
static qn_status conclude_open(clues *c, qn_error *err) {
    qn_arena *arena = c->run->arena;
    qn_run_touch touch = {NULL, 0};
    qn_run_hint hint = {NULL, NULL};
    QN_TRY(qn_run_find_touch(arena, c->run->dir, &touch, err));
    const int64_t quiet = touch.file == NULL ? INT32_MAX : (int64_t)time(NULL) - touch.time_s;
    const char *at = c->source == NULL ? "no trainer_state.json is there"
                                       : qn_arena_printf(arena, "%s is at step %llu of %llu", c->source,
                                                         (unsigned long long)c->step, (unsigned long long)c->max_steps);
    const char *ago = duration(arena, quiet < 0 ? 0 : quiet);
    if (at == NULL || ago == NULL) {
        return qn_fail_nomem(err, "the run's state", 0);
    }
    if (quiet <= quiet_limit(c->run)) {
        return conclude(c, QN_RUN_RUNNING, qn_arena_printf(arena, "%s and %s was written %s ago", at, touch.file, ago),
                        err);
    }
    QN_TRY(qn_run_read_hint(arena, c->run->dir, &hint, err));
    const char *broken = broken_save(c->run);
    const char *quiet_text = qn_arena_printf(arena, "%s and nothing was written for %s", at, ago);
    if (quiet_text != NULL && hint.file != NULL) {
        quiet_text = qn_arena_printf(arena, "%s; %s says \"%s\"", quiet_text, hint.file, hint.text);
    } else if (quiet_text != NULL && broken != NULL) {
        quiet_text = qn_arena_printf(arena, "%s; it may have died while saving: %s", quiet_text, broken);
    }
    return conclude(c, QN_RUN_FAILED, quiet_text, err);
}

/* Training ended before its last step: by a rule, or by someone. */
static qn_status conclude_stopped(clues *c, qn_error *err) {
    const bool is_abort = c->ended_by != NULL;
    return conclude(c, QN_RUN_STOPPED_BY_USER,
                    qn_arena_printf(c->run->arena, "%s at step %llu of %llu, and %s", c->source,
                                    (unsigned long long)c->step, (unsigned long long)c->max_steps,
                                    is_abort
                                        ? qn_arena_printf(c->run->arena, "%s says that training ended", c->ended_by)
                                        : "weights were saved in the run's folder before the last step"),
                    err);
}

static bool is_completed(const clues *c) {
    if (c->max_steps == 0) {
        return c->ended_by != NULL;
    }
    if (c->step >= c->max_steps) {
        return c->evidence->final_weights != NULL || c->ended_by != NULL;
    }
    /* A state at the root is written at the very end: its step is the last. A checkpoint's is not. */
    if (c->evidence->is_root_state || c->evidence->has_old_root_state || c->source == NULL) {
        return false;
    }
    if (c->ended_by != NULL && strcmp(c->ended_by, "debug.log") == 0) {
        return true;
    }
    return (c->evidence->has_root_weights || c->ended_by != NULL) && is_likely_last(c);
}

qn_status qn_run_judge(qn_training_run *run, const qn_run_evidence *evidence, qn_error *err) {
    clues c = {.run = run, .evidence = evidence};
    uint64_t bad_step = 0;
    uint64_t patience = 0;
    QN_TRY(gather(&c, err));
    run->step = c.step;
    run->max_steps = c.max_steps;
    if (qn_log_is_diverged(c.log, &bad_step)) {
        return conclude(&c, QN_RUN_DIVERGED,
                        qn_arena_printf(run->arena, "%s: the loss logged last, at step %llu, is not a number",
                                        evidence->state_file, (unsigned long long)bad_step),
                        err);
    }
    if (is_completed(&c)) {
        return conclude_completed(&c, err);
    }
    const bool is_short = c.max_steps > 0 && c.step < c.max_steps;
    if (is_short && is_out_of_patience(run->state_json, &patience)) {
        return conclude(&c, QN_RUN_STOPPED_EARLY,
                        qn_arena_printf(run->arena,
                                        "%s: early stopping ended it at step %llu of %llu, its patience of "
                                        "%llu evaluations used up",
                                        evidence->state_file, (unsigned long long)c.step,
                                        (unsigned long long)c.max_steps, (unsigned long long)patience),
                        err);
    }
    if (c.source == NULL && (evidence->is_single || evidence->has_root_weights)) {
        return conclude(&c, QN_RUN_UNKNOWN, "weights without a trainer_state.json or a log: downloaded or exported",
                        err);
    }
    if (evidence->is_single && c.ended_by == NULL && c.progress.file == NULL) {
        return conclude(&c, QN_RUN_UNKNOWN,
                        qn_arena_printf(run->arena,
                                        "one checkpoint alone, at step %llu of %llu, does not tell how its "
                                        "run went on",
                                        (unsigned long long)c.step, (unsigned long long)c.max_steps),
                        err);
    }
    if (is_short && (c.ended_by != NULL || (evidence->has_root_weights && !evidence->has_old_root_state))) {
        return conclude_stopped(&c, err);
    }
    return conclude_open(&c, err);
}
