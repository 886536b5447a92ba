/* SPDX-License-Identifier: MIT */
/* training_run_log.c: reads log_history: losses, evaluations, the best checkpoint. Wrong types are passed over. */
#include "model/training_run_parts.h"

#include <ctype.h>
#include <math.h>
#include <string.h>

const json_t *qn_log_of(const json_t *state) {
    const json_t *log = json_object_get(state, "log_history");
    return json_is_array(log) ? log : NULL;
}

double qn_log_loss(const json_t *log, uint64_t step) {
    double loss = NAN;
    uint64_t at = 0;
    for (size_t i = 0; i < json_array_size(log); i++) {
        const json_t *entry = json_array_get(log, i);
        const json_t *value = json_object_get(entry, "loss");
        uint64_t entry_step = 0;
        /* A NaN was logged as null: it counts, as the loss that is not a number. */
        if ((json_is_number(value) || json_is_null(value)) && qn_json_u64(entry, "step", &entry_step) &&
            entry_step <= step && entry_step >= at) {
            loss = json_is_null(value) ? (double)NAN : json_number_value(value);
            at = entry_step;
        }
    }
    return loss;
}

json_t *qn_log_eval(const json_t *log, uint64_t step) {
    json_t *eval = json_object();
    for (size_t i = 0; eval != NULL && i < json_array_size(log); i++) {
        json_t *entry = json_array_get(log, i);
        uint64_t entry_step = 0;
        if (!qn_json_u64(entry, "step", &entry_step) || entry_step != step) {
            continue;
        }
        for (void *at = json_object_iter(entry); at != NULL; at = json_object_iter_next(entry, at)) {
            json_t *value = json_object_iter_value(at);
            if (strncmp(json_object_iter_key(at), "eval_", 5) == 0 && (json_is_number(value) || json_is_null(value)) &&
                json_object_set(eval, json_object_iter_key(at), value) != 0) {
                json_decref(eval);
                return NULL;
            }
        }
    }
    return eval;
}

bool qn_log_is_diverged(const json_t *log, uint64_t *step) {
    for (size_t i = json_array_size(log); i > 0; i--) {
        const json_t *entry = json_array_get(log, i - 1);
        const json_t *loss = json_object_get(entry, "loss");
        if (loss == NULL) {
            continue;
        }
        if (!qn_json_u64(entry, "step", step)) {
            *step = 0;
        }
        /* The Trainer's NaN filter logs 0 for a step it left out; the gradient norm still tells. */
        return json_is_null(loss) ||
            (json_is_number(loss) && json_number_value(loss) == 0.0 &&
             json_is_null(json_object_get(entry, "grad_norm")));
    }
    return false;
}

bool qn_log_is_ended(const json_t *log) {
    const size_t n = json_array_size(log);
    return n > 0 && json_object_get(json_array_get(log, n - 1), "train_runtime") != NULL;
}

/* True when a name's words, cut at '_', '/' and '-', hold word. */
static bool has_word(const char *name, const char *word) {
    const size_t n = strlen(word);
    for (const char *at = strstr(name, word); at != NULL; at = strstr(at + 1, word)) {
        if ((at == name || !isalnum((unsigned char)at[-1])) && !isalnum((unsigned char)at[n])) {
            return true;
        }
    }
    return false;
}

/* Whether more of a metric is better, by its name; a loss never is. */
static bool is_greater_better(const char *metric) {
    static const char *const parts[] = {"acc",    "f1",     "bleu",      "rouge",  "reward", "exact_match",
                                        "recall", "precis", "pass_rate", "meteor", "chrf",   "win_rate"};
    if (strstr(metric, "loss") != NULL) {
        return false;
    }
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        if (strstr(metric, parts[i]) != NULL) {
            return true;
        }
    }
    return has_word(metric, "em");
}

/* The eval_* key whose logged value is best_metric: the Trainer does not write the metric's name down. */
static const char *metric_name(const json_t *state, const json_t *log) {
    double best = 0.0;
    if (!qn_json_f64(state, "best_metric", &best)) {
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(log); i++) {
        json_t *entry = json_array_get(log, i);
        for (void *at = json_object_iter(entry); at != NULL; at = json_object_iter_next(entry, at)) {
            const json_t *value = json_object_iter_value(at);
            if (strncmp(json_object_iter_key(at), "eval_", 5) == 0 && json_is_number(value) &&
                json_number_value(value) == best) {
                return json_object_iter_key(at);
            }
        }
    }
    return NULL;
}

/* The checkpoint-N of a step; NULL when there is none. */
static qn_checkpoint *checkpoint_at(const qn_training_run *run, uint64_t step, bool needs_complete) {
    for (uint64_t i = 0; i < run->n_checkpoints; i++) {
        qn_checkpoint *c = &run->checkpoints[i];
        if (!c->is_root && c->step == step && (c->is_complete || !needs_complete)) {
            return c;
        }
    }
    return NULL;
}

/* best_model_checkpoint is a path on the training machine: only its last component means anything here. */
static qn_checkpoint *best_by_name(const qn_training_run *run) {
    const char *path = qn_json_string(run->state_json, "best_model_checkpoint");
    uint64_t step = 0;
    if (path != NULL) {
        size_t end = strlen(path);
        while (end > 0 && (path[end - 1] == '/' || path[end - 1] == '\\')) {
            end--;
        }
        size_t start = end;
        while (start > 0 && path[start - 1] != '/' && path[start - 1] != '\\') {
            start--;
        }
        for (uint64_t i = 0; i < run->n_checkpoints; i++) {
            const char *name = run->checkpoints[i].name;
            if (strlen(name) == end - start && memcmp(name, path + start, end - start) == 0) {
                return &run->checkpoints[i];
            }
        }
    }
    return qn_json_u64(run->state_json, "best_global_step", &step) ? checkpoint_at(run, step, false) : NULL;
}

/* The complete checkpoint with the best logged value of a metric; *value is that. */
static qn_checkpoint *best_by_log(const qn_training_run *run, const json_t *log, const char *metric, double *value) {
    const double sign = is_greater_better(metric) ? -1.0 : 1.0;
    qn_checkpoint *best = NULL;
    for (size_t i = 0; i < json_array_size(log); i++) {
        const json_t *entry = json_array_get(log, i);
        uint64_t step = 0;
        double v = 0.0;
        if (!qn_json_f64(entry, metric, &v) || !qn_json_u64(entry, "step", &step)) {
            continue;
        }
        qn_checkpoint *c = checkpoint_at(run, step, true);
        if (c != NULL && (best == NULL || sign * v < sign * *value)) {
            best = c;
            *value = v;
        }
    }
    return best;
}

qn_status qn_run_mark_best(qn_run_opened *opened, qn_error *err) {
    qn_training_run *run = &opened->run;
    const json_t *log = qn_log_of(run->state_json);
    const char *metric = metric_name(run->state_json, log);
    double value = 0.0;
    qn_checkpoint *best = best_by_name(run);
    if (best == NULL) {
        metric = metric == NULL ? "eval_loss" : metric;
        best = best_by_log(run, log, metric, &value);
    } else if (!qn_json_f64(run->state_json, "best_metric", &value)) {
        metric = NULL;
    } else if (metric == NULL) {
        metric = "metric";
    }
    if (best == NULL) {
        return QN_OK;
    }
    best->is_best = true;
    opened->best_why = metric == NULL ? "best by best_model_checkpoint"
                                      : qn_arena_printf(run->arena, "best %s %.6g", metric, value);
    return opened->best_why == NULL ? qn_fail_nomem(err, metric, strlen(metric)) : QN_OK;
}
