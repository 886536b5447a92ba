/* SPDX-License-Identifier: MIT */
/* pack_session.c: options to a plan, the plan to the screen, events to a bar, lines or a log. */
#include "cli/pack_session.h"

#include "base/buffer.h"
#include "base/json.h"
#include "base/worker.h"
#include "cli/adapter_word.h"
#include "cli/document.h"
#include "cli/interrupt.h"
#include "cli/pack_report.h"
#include "cli/progress.h"
#include "quern/check.h"
#include "quern/quern.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_LAYERS = 1 << 20 };

/* A check that takes longer is made only when it is asked for. */
static const double MAX_CHECK_S = 60;

/* One run of the command. */
typedef struct session {
    const qn_pack_kind *kind;
    const qn_pack_settings *settings;
    qn_arena *arena;
    qn_job *job;
    qn_plan *plan;
    json_t *document; /* the plan, parsed */
    FILE *log;        /* NULL: none */
    qn_progress progress;
    qn_table *results; /* NULL before the plan is made */
    qn_check_options check_options;
    qn_check *check;        /* NULL: outputs are not tried */
    const char *check_fact; /* for the plan; NULL with check */
    qn_buffer notes;        /* of verdicts, a line each */
} session;

static qn_status parse_adapters(session *se, qn_pack_options *options, qn_error *err) {
    const qn_texts *words = &se->settings->adapters;
    qn_pack_adapter *adapters = qn_arena_array(se->arena, words->n, sizeof *adapters);
    if (adapters == NULL) {
        return qn_fail_nomem(err, "adapters", words->n);
    }
    for (size_t i = 0; i < words->n; i++) {
        QN_TRY(qn_adapter_word_parse(se->arena, words->items[i], &adapters[i].dir, &adapters[i].scale, err));
    }
    options->adapters = adapters;
    options->n_adapters = words->n;
    return QN_OK;
}

/* -t may be repeated: its lists are one list. */
static qn_status join_types(session *se, qn_pack_options *options, qn_error *err) {
    const qn_texts *words = &se->settings->types;
    const char *joined = words->n > 0 ? words->items[0] : NULL;
    for (size_t i = 1; i < words->n; i++) {
        joined = qn_arena_printf(se->arena, "%s,%s", joined, words->items[i]);
        if (joined == NULL) {
            return qn_fail_nomem(err, "types", words->n);
        }
    }
    options->types = joined;
    return QN_OK;
}

/* "3,7,20-23" into numbers. */
static qn_status add_layers(session *se, const char *list, uint64_t **layers, size_t *n, qn_error *err) {
    const char *at = list;
    while (true) {
        char *end = NULL;
        const unsigned long first = strtoul(at, &end, 10);
        unsigned long last = first;
        bool is_good = end != at && at[0] >= '0' && at[0] <= '9';
        if (is_good && *end == '-') {
            at = end + 1;
            last = strtoul(at, &end, 10);
            is_good = end != at && at[0] >= '0' && at[0] <= '9' && last >= first;
        }
        if (!is_good || (*end != ',' && *end != '\0') || last >= MAX_LAYERS) {
            return qn_fail(err, QN_E_USAGE,
                           "--prune-layers '%.100s': layers between commas are expected, as in "
                           "3,7,20-23",
                           list);
        }
        uint64_t *grown = qn_arena_array(se->arena, *n + (last - first) + 1, sizeof *grown);
        if (grown == NULL) {
            return qn_fail_nomem(err, "layers", *n);
        }
        for (size_t i = 0; i < *n; i++) {
            grown[i] = (*layers)[i];
        }
        for (unsigned long layer = first; layer <= last; layer++) {
            grown[(*n)++] = layer;
        }
        *layers = grown;
        if (*end == '\0') {
            return QN_OK;
        }
        at = end + 1;
    }
}

static qn_status parse_layers(session *se, qn_pack_options *options, qn_error *err) {
    uint64_t *layers = NULL;
    for (size_t i = 0; i < se->settings->pruned_layers.n; i++) {
        QN_TRY(add_layers(se, se->settings->pruned_layers.items[i], &layers, &options->n_pruned_layers, err));
    }
    options->pruned_layers = layers;
    return QN_OK;
}

static qn_status parse_effort(const char *word, qn_effort *out, qn_error *err) {
    static const struct {
        const char *name;
        qn_effort effort;
    } rows[] = {{"fast", QN_EFFORT_FAST}, {"normal", QN_EFFORT_NORMAL}, {"best", QN_EFFORT_BEST}};
    *out = QN_EFFORT_NORMAL;
    for (size_t i = 0; word != NULL && i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, word) == 0) {
            *out = rows[i].effort;
            return QN_OK;
        }
    }
    return word == NULL ? QN_OK : qn_fail(err, QN_E_USAGE, "--effort '%.40s': fast, normal or best is expected", word);
}

static qn_status parse_bits(const char *word, double *out, qn_error *err) {
    char *end = NULL;
    if (word == NULL) {
        return QN_OK;
    }
    *out = strtod(word, &end);
    if (end == word || *end != '\0' || !(*out > 0 && *out <= 32)) {
        return qn_fail(err, QN_E_USAGE,
                       "--target-bpw '%.40s': bits per weight between 0 and 32 are expected, as in "
                       "4.25",
                       word);
    }
    return QN_OK;
}

/* Options that need no arithmetic. */
static qn_pack_options plain_options(const session *se, const qn_operands *operands) {
    const qn_pack_settings *s = se->settings;
    return (qn_pack_options){
        .base = operands->n > 0 ? operands->items[0] : NULL,
        .run = s->run,
        .checkpoint = s->checkpoint,
        .preset = se->kind->preset != NULL ? se->kind->preset : s->preset,
        .out_dir = s->out_dir,
        .name = s->name,
        .outtype = s->outtype,
        .to_hf = se->kind->to_hf,
        .pre = s->pre,
        .tokenizer = s->tokenizer,
        .split_max_bytes = s->split_max_bytes,
        .split_max_tensors = s->split_max_tensors,
        .allow_nan = s->allow_nan,
        .force = s->force,
        .no_sync = s->no_sync,
        .no_verify = s->no_verify,
        .imatrix = s->imatrix,
        .include_weights = s->include_weights.items,
        .n_include_weights = s->include_weights.n,
        .exclude_weights = s->exclude_weights.items,
        .n_exclude_weights = s->exclude_weights.n,
        .pure = s->pure,
        .leave_output_tensor = s->leave_output_tensor,
        .output_tensor_type = s->output_tensor_type,
        .token_embedding_type = s->token_embedding_type,
        .tensor_types = s->tensor_types.items,
        .n_tensor_types = s->tensor_types.n,
        .tensor_type_file = s->tensor_type_file,
        .allow_requantize = s->allow_requantize,
        .target_size_bytes = s->target_size_bytes,
        .kv_overrides = s->overrides.items,
        .n_kv_overrides = s->overrides.n,
        .keep_split = s->keep_split,
    };
}

static qn_status make_options(session *se, const qn_operands *operands, qn_pack_options *out, qn_error *err) {
    const qn_pack_settings *s = se->settings;
    *out = plain_options(se, operands);
    if (operands->n == 0 && s->run == NULL && s->adapters.n == 0) {
        return qn_fail(err, QN_E_USAGE, "nothing to %s: name a model folder, or --run DIR, or --adapter DIR",
                       se->kind->verb);
    }
    if (se->kind->needs_types && s->types.n == 0 && s->target_size_bytes == 0 && s->target_bpw == NULL) {
        return qn_fail(err, QN_E_USAGE,
                       "name the types to write, as in -t Q4_K_M,Q8_0 (or --target-size, "
                       "--target-bpw); `quern types` lists them");
    }
    if (s->target_size_bytes != 0 && s->target_bpw != NULL) {
        return qn_fail(err, QN_E_USAGE, "--target-size and --target-bpw both say how large the file may be: give one");
    }
    QN_TRY(parse_adapters(se, out, err));
    QN_TRY(parse_layers(se, out, err));
    QN_TRY(parse_effort(s->effort, &out->effort, err));
    QN_TRY(parse_bits(s->target_bpw, &out->target_bpw, err));
    return join_types(se, out, err);
}

/* ---- the check ---- */

static bool wants_check(const qn_pack_settings *s) {
    return s->is_checked || s->check_text != NULL || s->max_kld != NULL;
}

static qn_status make_check_options(const qn_pack_settings *s, qn_check_options *out, qn_error *err) {
    char *end = NULL;
    *out = (qn_check_options){.text = s->check_text, .has_max_kld = s->max_kld != NULL, .is_required = wants_check(s)};
    if (s->is_unchecked && wants_check(s)) {
        return qn_fail(err, QN_E_USAGE, "--no-check contradicts --check, --check-text and --check-max-kld");
    }
    if (s->max_kld == NULL) {
        return QN_OK;
    }
    out->max_kld = strtod(s->max_kld, &end);
    if (end == s->max_kld || *end != '\0' || !(out->max_kld >= 0 && out->max_kld < 1e9)) {
        return qn_fail(err, QN_E_USAGE, "--check-max-kld '%.40s': a divergence in nats is expected, as in 0.05",
                       s->max_kld);
    }
    return QN_OK;
}

/* Without being asked for, a check that cannot be made, or takes long, is left out, and the plan says so. */
static void leave_check(session *se, const char *why) {
    qn_check_free(se->check);
    se->check = NULL;
    qn_job_note(se->job, "the files will not be run and compared (--check): %s", why);
}

static qn_status prepare_check(session *se, qn_error *err) {
    const qn_pack_settings *s = se->settings;
    const qn_check_options *options = &se->check_options;
    const bool is_adapter = s->preset != NULL && strcmp(s->preset, "lora") == 0;
    if (!se->kind->checks || s->is_unchecked || (is_adapter && !options->is_required)) {
        return QN_OK;
    }
    const qn_status status = qn_check_new(se->plan, options, se->job, &se->check, err);
    if (status != QN_OK) {
        if (options->is_required || status == QN_E_NOMEM) {
            return status;
        }
        leave_check(se, err->message);
        return QN_OK;
    }
    const double seconds = qn_check_seconds(se->check);
    if (seconds > MAX_CHECK_S && !options->is_required) {
        char why[128];
        (void)snprintf(why, sizeof why, "that would take about %s", qn_human_seconds(seconds).text);
        leave_check(se, why);
        return QN_OK;
    }
    se->check_fact = qn_arena_printf(se->arena, "every file is run and compared, about %s and %s of memory",
                                     qn_human_seconds(seconds).text, qn_human_size(qn_check_memory(se->check)).text);
    qn_plan_set_accept(se->plan, qn_check_accept, se->check);
    return se->check_fact == NULL ? qn_fail_nomem(err, "plan", 1) : QN_OK;
}

/* ---- events ---- */

static void log_line(const session *se, const char *line) {
    if (se->log != NULL) {
        (void)fprintf(se->log, "%s\n", line);
    }
}

/* Of a dry run, --json prints the plan alone. */
static bool prints_events(const session *se) {
    return se->settings->is_json && !se->settings->is_dry_run;
}

/* A line of JSON to stdout and the log. When stdout is gone, so is the reason to go on. */
static void send_line(session *se, const char *line) {
    if (line == NULL) {
        return;
    }
    log_line(se, line);
    if (prints_events(se) && (puts(line) == EOF || fflush(stdout) == EOF)) {
        qn_job_cancel(se->job);
    }
}

static void on_event(void *user, const qn_event *event) {
    session *se = user;
    if (event->kind == QN_EVENT_FAILED) {
        return; /* told by send_failure(), with its status */
    }
    if (prints_events(se) || se->log != NULL) {
        char *line = qn_event_json(event);
        send_line(se, line);
        free(line);
    }
    if (!prints_events(se) && !qn_job_is_cancelled(se->job)) {
        qn_progress_event(&se->progress, event);
    }
    if (event->kind == QN_EVENT_OUTPUT) {
        qn_results_add(se->results, event);
        if (event->verdict != NULL && event->verdict->note[0] != '\0') {
            qn_buffer_printf(&se->notes, "%s: %s\n", event->output_type, event->verdict->note);
        }
    }
}

static void send_failure(session *se, qn_status status, const qn_error *err) {
    json_t *o = json_pack("{s:s, s:s, s:s}", "event", "failed", "status", qn_status_name(status), "message",
                          err->message);
    char *line = o == NULL ? NULL : qn_json_dump(o, JSON_COMPACT);
    send_line(se, line);
    free(line);
    json_decref(o);
}

/* Keeps the plan as a document; tells it as an event, and to --dry-run --json as it is. */
static qn_status tell_plan(session *se, qn_error *err) {
    const qn_pack_settings *s = se->settings;
    char *text = NULL;
    QN_TRY(qn_plan_json(se->plan, &text, err));
    const qn_status status = qn_document_parse(text, &se->document, err);
    char *line = qn_arena_printf(se->arena, "{\"event\":\"plan\",\"plan\":%s}", qn_document_line(text));
    if (status == QN_OK && line != NULL) {
        send_line(se, line);
        if (s->is_dry_run && s->is_json) {
            (void)puts(text);
        }
    }
    free(text);
    return status != QN_OK || line != NULL ? status : qn_fail_nomem(err, "plan", 1);
}

/* The table of a budget's choice, for a person to keep and give back. */
static qn_status keep_types(const session *se, qn_error *err) {
    const char *path = se->settings->kept_types;
    const json_t *outputs = json_object_get(se->document, "outputs");
    const json_t *last = json_array_get(outputs, json_array_size(outputs) - 1);
    const char *lines = json_string_value(json_object_get(last, "tensor_types"));
    if (path == NULL) {
        return QN_OK;
    }
    if (lines == NULL) {
        return qn_fail(err, QN_E_USAGE, "--keep-tensor-types keeps what --target-size or --target-bpw chose: pass one");
    }
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        return qn_fail_errno(err, QN_E_IO, errno, "%s: cannot be written", path);
    }
    const bool has_failed = fputs(lines, file) == EOF;
    if (fclose(file) != 0 || has_failed) {
        return qn_fail(err, QN_E_IO, "%s: could not be written to its end", path);
    }
    return QN_OK;
}

static void show_plan(const session *se) {
    const qn_pack_settings *s = se->settings;
    const qn_terminal to = qn_terminal_of(stdout);
    if (s->is_json || (s->is_quiet && !s->is_dry_run)) {
        return;
    }
    if (s->is_dry_run) {
        qn_print_plan_tensors(&to, se->document);
    }
    qn_print_plan(&to, se->document, se->check_fact);
    (void)fputs(s->is_dry_run ? "\nNothing was written (--dry-run).\n" : "\n", stdout);
    (void)fflush(stdout);
}

/* Also of a job that has failed: some outputs may have their names. */
static void show_results(session *se, qn_status status) {
    const qn_terminal to = qn_terminal_of(stdout);
    qn_progress_clear(&se->progress);
    if (se->settings->is_json || se->settings->is_quiet || qn_table_rows(se->results) == 0) {
        return;
    }
    if (se->progress.to.can_redraw) { /* the finished bar stands between plan and results */
        (void)fputc('\n', stdout);
    }
    qn_table_print(se->results, &to);
    if (se->notes.len > 0 && !se->notes.has_failed) {
        (void)fprintf(stdout, "\n%.*s", (int)se->notes.len, (const char *)se->notes.data);
    }
    if (status == QN_OK) {
        qn_print_next(&to, se->document);
    }
    (void)fflush(stdout);
}

static qn_status run_session(session *se, const qn_operands *operands, qn_error *err) {
    qn_pack_options options;
    QN_TRY(make_options(se, operands, &options, err));
    QN_TRY(make_check_options(se->settings, &se->check_options, err));
    QN_TRY(qn_plan_new(&options, se->job, &se->plan, err));
    QN_TRY(prepare_check(se, err));
    se->results = qn_results_new(se->check != NULL);
    if (se->results == NULL) {
        return qn_fail_nomem(err, "results", 0);
    }
    qn_progress_clear(&se->progress);
    QN_TRY(tell_plan(se, err));
    QN_TRY(keep_types(se, err));
    show_plan(se);
    if (se->settings->is_dry_run) {
        return QN_OK;
    }
    const qn_status status = qn_plan_run(se->plan, se->job, err);
    show_results(se, status);
    return status;
}

static qn_status session_begin(session *se, const qn_pack_kind *kind, const qn_pack_settings *settings, qn_error *err) {
    *se = (session){.kind = kind, .settings = settings, .arena = qn_arena_new()};
    qn_progress_init(&se->progress, stderr, settings->is_quiet);
    if (settings->n_threads > 1024) {
        return qn_fail(err, QN_E_USAGE, "--threads %llu: at most 1024", (unsigned long long)settings->n_threads);
    }
    se->job = qn_job_new((unsigned)settings->n_threads, on_event, se);
    if (se->job == NULL || se->arena == NULL) {
        return qn_fail_nomem(err, "job", sizeof *se);
    }
    if (settings->log != NULL) {
        se->log = fopen(settings->log, "a");
        if (se->log == NULL) {
            return qn_fail_errno(err, QN_E_IO, errno, "%s: cannot open the log", settings->log);
        }
        (void)setvbuf(se->log, NULL, _IOLBF, BUFSIZ);
    }
    return QN_OK;
}

/* A log that could not be kept does not undo the files that were made. */
static void close_log(session *se) {
    if (se->log != NULL) {
        const bool has_failed = ferror(se->log) != 0;
        if (fclose(se->log) != 0 || has_failed) {
            qn_print_message(&se->progress.to, QN_STYLE_YELLOW, "warning", "the log could not be written to its end");
        }
    }
}

static void session_end(session *se) {
    close_log(se);
    json_decref(se->document);
    qn_check_free(se->check);
    qn_buffer_clear(&se->notes);
    qn_plan_free(se->plan);
    qn_job_free(se->job);
    qn_table_free(se->results);
    qn_arena_free(se->arena);
}

qn_status qn_pack_session(const qn_pack_kind *kind, const qn_pack_settings *settings, const qn_operands *operands,
                          qn_error *err) {
    session se;
    qn_status status = session_begin(&se, kind, settings, err);
    if (status == QN_OK) {
        qn_interrupt_watch(se.job,
                           "\nquern: stopping after the rows in flight; run the same command to go on "
                           "(Ctrl-C again: at once)\n");
        status = run_session(&se, operands, err);
        qn_interrupt_forget();
        qn_progress_clear(&se.progress);
    }
    if (status != QN_OK) {
        send_failure(&se, status, err);
    }
    session_end(&se);
    return ferror(stdout) != 0 && status == QN_E_INTERRUPTED ? QN_OK : status; /* main() tells of stdout */
}
