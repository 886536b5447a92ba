/* SPDX-License-Identifier: MIT */
/* runs_command.c: `quern runs`, the checkpoints of a training run and how the run ended. */
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/table.h"
#include "quern/quern.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct runs_settings {
    bool is_json;
} runs_settings;

enum { MAX_METRICS = 4 };

/* Names of metrics that are shown as columns, borrowed from the document. */
typedef struct metric_names {
    const char *names[MAX_METRICS];
    size_t n;
} metric_names;

/* How long an evaluation took says nothing about a checkpoint. */
static bool is_timing(const char *name) {
    return strstr(name, "_runtime") != NULL || strstr(name, "_per_second") != NULL;
}

static void add_metric(metric_names *metrics, const char *name) {
    for (size_t i = 0; i < metrics->n; i++) {
        if (strcmp(metrics->names[i], name) == 0) {
            return;
        }
    }
    if (metrics->n < MAX_METRICS && !is_timing(name)) {
        metrics->names[metrics->n++] = name;
    }
}

static metric_names find_metrics(const json_t *checkpoints) {
    metric_names metrics = {.n = 0};
    for (size_t i = 0; i < json_array_size(checkpoints); i++) {
        json_t *eval = json_object_get(json_array_get(checkpoints, i), "eval");
        const char *name;
        json_t *value;
        json_object_foreach(eval, name, value) {
            if (json_is_number(value)) {
                add_metric(&metrics, name);
            }
        }
    }
    return metrics;
}

static void add_number(qn_table *table, const json_t *object, const char *key, const char *fmt_hint) {
    double v;
    if (!qn_json_f64(object, key, &v)) {
        qn_table_add(table, "-");
    } else if (strcmp(fmt_hint, "step") == 0) {
        qn_table_add(table, "%.0f", v);
    } else if (strcmp(fmt_hint, "epoch") == 0) {
        qn_table_add(table, "%.2f", v);
    } else {
        qn_table_add(table, "%.4g", v);
    }
}

static void add_marks(qn_table *table, const json_t *checkpoint) {
    const bool is_best = qn_field_is(checkpoint, "is_best");
    const bool is_last = qn_field_is(checkpoint, "is_last");
    const bool is_complete = qn_field_is(checkpoint, "is_complete");
    const char *note = qn_field_text(checkpoint, "note");
    qn_table_add(table, "%s%s%s%s%s%s", is_best ? "best" : "", is_best && is_last ? ", " : "", is_last ? "last" : "",
                 !is_complete ? (is_best || is_last ? ", incomplete" : "incomplete") : "",
                 note[0] == '\0'                          ? ""
                     : is_best || is_last || !is_complete ? ": "
                                                          : "",
                 note);
}

static void print_checkpoints(const qn_terminal *to, const json_t *checkpoints) {
    const metric_names metrics = find_metrics(checkpoints);
    char aligns[8 + MAX_METRICS] = "prrr";
    memset(aligns + 4, 'r', metrics.n);
    aligns[4 + metrics.n] = 't';
    aligns[5 + metrics.n] = '\0';
    qn_table *table = qn_table_new(aligns);
    const char *const heading[] = {"CHECKPOINT", "STEP", "EPOCH", "LOSS"};
    for (size_t i = 0; i < 4; i++) {
        qn_table_add(table, "%s", heading[i]);
    }
    for (size_t i = 0; i < metrics.n; i++) {
        qn_table_add(table, "%s", metrics.names[i]);
    }
    qn_table_add(table, "%s", "");
    for (size_t i = 0; i < json_array_size(checkpoints); i++) {
        const json_t *checkpoint = json_array_get(checkpoints, i);
        qn_table_add(table, "%s", qn_field_text(checkpoint, "name"));
        add_number(table, checkpoint, "step", "step");
        add_number(table, checkpoint, "epoch", "epoch");
        add_number(table, checkpoint, "loss", "");
        for (size_t m = 0; m < metrics.n; m++) {
            add_number(table, json_object_get(checkpoint, "eval"), metrics.names[m], "");
        }
        add_marks(table, checkpoint);
    }
    qn_table_print(table, to);
    qn_table_free(table);
}

/* "stopped_early" reads "stopped early". */
static void print_state(const qn_terminal *to, const json_t *run) {
    char state[32];
    const char *why = qn_field_text(run, "why");
    (void)snprintf(state, sizeof state, "%s", qn_field_text(run, "state"));
    for (char *p = state; *p != '\0'; p++) {
        if (*p == '_') {
            *p = ' ';
        }
    }
    qn_print_fact(to, "state", "%s%s%s", state, why[0] != '\0' ? ": " : "", why);
}

static void print_run(const json_t *run) {
    const qn_terminal to = qn_terminal_of(stdout);
    const json_t *checkpoints = json_object_get(run, "checkpoints");
    const char *base = qn_field_text(run, "base");
    const uint64_t max_steps = qn_field_u64(run, "max_steps");
    qn_print_fact(&to, "run", "%s", qn_field_text(run, "path"));
    print_state(&to, run);
    qn_print_fact(&to, "holds", "%s",
                  strcmp(qn_field_text(run, "kind"), "adapter") == 0    ? "adapters"
                      : strcmp(qn_field_text(run, "kind"), "full") == 0 ? "whole models"
                                                                        : "unknown");
    if (base[0] != '\0') {
        qn_print_fact(&to, "base", "%s", base);
    }
    if (max_steps > 0) {
        qn_print_fact(&to, "steps", "%llu of %llu, epoch %.2f", (unsigned long long)qn_field_u64(run, "step"),
                      (unsigned long long)max_steps, qn_field_f64(run, "epoch"));
    }
    (void)fputc('\n', stdout);
    print_checkpoints(&to, checkpoints);
}

static qn_status run_runs(const void *settings, const qn_operands *operands, qn_error *err) {
    const runs_settings *s = settings;
    char *text = NULL;
    QN_TRY(qn_list_run(operands->items[0], &text, err));
    if (s->is_json) {
        qn_document_print(text);
        return QN_OK;
    }
    json_t *run = NULL;
    const qn_status status = qn_document_parse(text, &run, err);
    if (status == QN_OK) {
        print_run(run);
        json_decref(run);
    }
    free(text);
    return status;
}

static const qn_option options[] = {
    {.name = "json",
     .kind = QN_OPTION_FLAG,
     .offset = offsetof(runs_settings, is_json),
     .group = "Output",
     .help = "print a JSON document instead of a table"},
};

static const qn_example examples[] = {
    {"quern runs samples/miller-sft", "the checkpoints of a run; best and last are marked"},
    {"quern pack --run samples/miller-sft --checkpoint 200 -o out", "pack one of them"},
};

const qn_command qn_runs_command = {
    .name = "runs",
    .operands = "DIR",
    .summary = "list a training run's checkpoints and how the run ended",
    .about = "Reads the folder of a Trainer run: each checkpoint with its step, epoch, training loss and evaluation "
             "metrics, which one is best and which is last, and the state of the run (completed, stopped, failed, "
             "running, diverged), judged from its files alone.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .min_operands = 1,
    .max_operands = 1,
    .settings_size = sizeof(runs_settings),
    .run = run_runs,
};
