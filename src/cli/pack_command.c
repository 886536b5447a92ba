/* SPDX-License-Identifier: MIT */
/* pack_command.c: `quern pack`: options to a plan, the plan to the screen, events to a bar, lines or a log. */
#include "base/buffer.h"
#include "base/file.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/interrupt.h"
#include "cli/pack_report.h"
#include "cli/progress.h"
#include "quern/quern.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct pack_settings {
    bool is_dry_run, is_json, is_quiet;
    bool allow_nan, force, no_sync, no_verify;
    const char *run, *checkpoint, *preset, *out_dir, *name, *outtype, *pre, *log;
    qn_texts adapters, types;
    uint64_t n_threads, split_max_bytes, split_max_tensors;
} pack_settings;

/* One run of the command. */
typedef struct session {
    const pack_settings *settings;
    qn_arena *arena;
    qn_job *job;
    qn_plan *plan;
    json_t *document; /* the plan, parsed */
    FILE *log;        /* NULL: none */
    qn_progress progress;
    qn_table *results;
} session;

/* DIR:SCALE, unless the whole word is a folder or what follows the last colon is no number. */
static qn_status parse_adapter(qn_arena *arena, const char *word, qn_pack_adapter *out, qn_error *err) {
    const char *colon = strrchr(word, ':');
    *out = (qn_pack_adapter){.dir = word, .scale = 1};
    if (colon == NULL || colon == word || colon[1] == '\0' || qn_is_dir(word) ||
        colon[1 + strspn(colon + 1, "0123456789.+-eE")] != '\0') {
        return QN_OK;
    }
    char *end;
    const double scale = strtod(colon + 1, &end);
    if (end == colon + 1 || *end != '\0') {
        return QN_OK;
    }
    if (!isfinite(scale)) {
        return qn_fail(err, QN_E_USAGE, "--adapter %s: the strength is too large", word);
    }
    *out = (qn_pack_adapter){.dir = qn_arena_copy(arena, word, (size_t)(colon - word)), .scale = scale};
    return out->dir == NULL ? qn_fail_nomem(err, "adapter", strlen(word)) : QN_OK;
}

static qn_status parse_adapters(session *se, qn_pack_options *options, qn_error *err) {
    const qn_texts *words = &se->settings->adapters;
    qn_pack_adapter *adapters = qn_arena_array(se->arena, words->n, sizeof *adapters);
    if (adapters == NULL) {
        return qn_fail_nomem(err, "adapters", words->n);
    }
    for (size_t i = 0; i < words->n; i++) {
        QN_TRY(parse_adapter(se->arena, words->items[i], &adapters[i], err));
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

static qn_status make_options(session *se, const qn_operands *operands, qn_pack_options *out, qn_error *err) {
    const pack_settings *s = se->settings;
    *out = (qn_pack_options){
        .base = operands->n > 0 ? operands->items[0] : NULL,
        .run = s->run,
        .checkpoint = s->checkpoint,
        .preset = s->preset,
        .out_dir = s->out_dir,
        .name = s->name,
        .outtype = s->outtype,
        .pre = s->pre,
        .split_max_bytes = s->split_max_bytes,
        .split_max_tensors = s->split_max_tensors,
        .allow_nan = s->allow_nan,
        .force = s->force,
        .no_sync = s->no_sync,
        .no_verify = s->no_verify,
    };
    if (operands->n == 0 && s->run == NULL && s->adapters.n == 0) {
        return qn_fail(err, QN_E_USAGE, "nothing to pack: name a model folder, or --run DIR, or --adapter DIR");
    }
    QN_TRY(parse_adapters(se, out, err));
    return join_types(se, out, err);
}

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
    }
}

static void send_failure(session *se, qn_status status, const qn_error *err) {
    json_t *o = json_pack("{s:s, s:s, s:s}", "event", "failed", "status", qn_status_name(status), "message",
                          err->message);
    char *line = o == NULL ? NULL : json_dumps(o, JSON_COMPACT);
    send_line(se, line);
    free(line);
    json_decref(o);
}

/* Keeps the plan as a document; tells it as an event, and to --dry-run --json as it is. */
static qn_status tell_plan(session *se, qn_error *err) {
    const pack_settings *s = se->settings;
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

static void show_plan(const session *se) {
    const pack_settings *s = se->settings;
    const qn_terminal to = qn_terminal_of(stdout);
    if (s->is_json || (s->is_quiet && !s->is_dry_run)) {
        return;
    }
    if (s->is_dry_run) {
        qn_print_plan_tensors(&to, se->document);
    }
    qn_print_plan(&to, se->document);
    (void)fputs(s->is_dry_run ? "\nNothing was written (--dry-run).\n" : "\n", stdout);
    (void)fflush(stdout);
}

static void show_results(session *se) {
    const qn_terminal to = qn_terminal_of(stdout);
    qn_progress_clear(&se->progress);
    if (se->settings->is_json || se->settings->is_quiet) {
        return;
    }
    if (se->progress.to.can_redraw) { /* the finished bar stands between plan and results */
        (void)fputc('\n', stdout);
    }
    qn_table_print(se->results, &to);
    qn_print_next(&to, se->document);
}

static qn_status run_session(session *se, const qn_operands *operands, qn_error *err) {
    qn_pack_options options;
    QN_TRY(make_options(se, operands, &options, err));
    QN_TRY(qn_plan_new(&options, se->job, &se->plan, err));
    qn_progress_clear(&se->progress);
    QN_TRY(tell_plan(se, err));
    show_plan(se);
    if (se->settings->is_dry_run) {
        return QN_OK;
    }
    QN_TRY(qn_plan_run(se->plan, se->job, err));
    show_results(se);
    return QN_OK;
}

static qn_status session_begin(session *se, const pack_settings *settings, qn_error *err) {
    *se = (session){.settings = settings, .arena = qn_arena_new(), .results = qn_results_new()};
    qn_progress_init(&se->progress, stderr, settings->is_quiet);
    if (settings->n_threads > 1024) {
        return qn_fail(err, QN_E_USAGE, "--threads %llu: at most 1024", (unsigned long long)settings->n_threads);
    }
    se->job = qn_job_new((unsigned)settings->n_threads, on_event, se);
    if (se->job == NULL || se->arena == NULL || se->results == NULL) {
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
    qn_plan_free(se->plan);
    qn_job_free(se->job);
    qn_table_free(se->results);
    qn_arena_free(se->arena);
}

static qn_status run_pack(const void *settings, const qn_operands *operands, qn_error *err) {
    session se;
    qn_status status = session_begin(&se, settings, err);
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

#define FILE_TYPES \
    "Q4_K_M Q4_K_S Q5_K_M Q5_K_S Q6_K Q8_0 Q3_K_L Q3_K_M Q3_K_S Q2_K Q2_K_S Q4_0 Q4_1 Q5_0 Q5_1 F16 BF16 F32"
#define AT(field) .offset = offsetof(pack_settings, field)

static const char inputs[] = "What to pack";
static const char outputs[] = "What to write";
static const char running[] = "Running";
static const char telling[] = "Output of the command";

static const qn_option options[] = {
    {.name = "run",
     .kind = QN_OPTION_TEXT,
     AT(run),
     .argument = "DIR",
     .group = inputs,
     .help = "a training run's folder, or one checkpoint of it: an adapter is merged into BASE, a full fine-tune takes "
             "its place"},
    {
        .name = "checkpoint",
        .kind = QN_OPTION_TEXT,
        AT(checkpoint),
        .argument = "WHICH",
        .group = inputs,
        .help = "which checkpoint of the run, or its step",
        .words = "best last",
        .fallback = "best, else last",
    },
    {.name = "adapter",
     .kind = QN_OPTION_LIST,
     AT(adapters),
     .argument = "DIR[:SCALE]",
     .group = inputs,
     .help = "merge this PEFT adapter, at SCALE times its strength; may be repeated, order counts"},
    {.name = "pre",
     .kind = QN_OPTION_TEXT,
     AT(pre),
     .argument = "NAME",
     .group = inputs,
     .help = "the pre-tokenizer, when it is not recognised"},
    {.name = "allow-nan",
     .kind = QN_OPTION_FLAG,
     AT(allow_nan),
     .group = inputs,
     .help = "go on, with a warning, when a weight is NaN or infinite"},
    {.name = "types",
     .letter = 't',
     .kind = QN_OPTION_LIST,
     AT(types),
     .argument = "LIST",
     .group = outputs,
     .help = "exactly these files, separated by commas",
     .words = FILE_TYPES},
    {.name = "preset",
     .kind = QN_OPTION_TEXT,
     AT(preset),
     .argument = "NAME",
     .group = outputs,
     .help = "what to do, by name",
     .fallback = "merge-quantize, or custom with -t",
     .words = "merge-quantize merge quantize lora custom"},
    {.name = "outtype",
     .kind = QN_OPTION_TEXT,
     AT(outtype),
     .argument = "TYPE",
     .group = outputs,
     .help = "type of the unquantised file",
     .fallback = "auto, the source's",
     .words = "auto f32 f16 bf16"},
    {.name = "out",
     .letter = 'o',
     .kind = QN_OPTION_TEXT,
     AT(out_dir),
     .argument = "DIR",
     .group = outputs,
     .help = "folder for the files",
     .fallback = "gguf in the run's folder, else in the base's or adapter's"},
    {.name = "name",
     .kind = QN_OPTION_TEXT,
     AT(name),
     .argument = "NAME",
     .group = outputs,
     .help = "the model's name, with which the files' names begin",
     .fallback = "the run's folder, else the base's"},
    {.name = "split-max-size",
     .kind = QN_OPTION_SIZE,
     AT(split_max_bytes),
     .argument = "SIZE",
     .group = outputs,
     .help = "split into shards with at most this much of tensors; K, M and G are 10^3, 10^6 and 10^9 bytes"},
    {.name = "split-max-tensors",
     .kind = QN_OPTION_COUNT,
     AT(split_max_tensors),
     .argument = "N",
     .group = outputs,
     .help = "split into shards of at most N tensors"},
    {.name = "force", .kind = QN_OPTION_FLAG, AT(force), .group = outputs, .help = "replace files that are there"},
    {.name = "dry-run",
     .kind = QN_OPTION_FLAG,
     AT(is_dry_run),
     .group = running,
     .help = "print the plan with every tensor; write nothing"},
    {.name = "threads",
     .kind = QN_OPTION_COUNT,
     AT(n_threads),
     .argument = "N",
     .group = running,
     .help = "worker threads; the files' bytes do not depend on it",
     .fallback = "one a core"},
    {.name = "no-verify",
     .kind = QN_OPTION_FLAG,
     AT(no_verify),
     .group = running,
     .help = "do not read the files back and check them"},
    {.name = "no-sync",
     .kind = QN_OPTION_FLAG,
     AT(no_sync),
     .group = running,
     .help = "do not wait for the disk before a file gets its name"},
    {.name = "json",
     .kind = QN_OPTION_FLAG,
     AT(is_json),
     .group = telling,
     .help = "print plan and events as lines of JSON; with --dry-run the plan alone"},
    {.name = "log",
     .kind = QN_OPTION_TEXT,
     AT(log),
     .argument = "FILE",
     .group = telling,
     .help = "append plan and events to FILE as lines of JSON"},
    {.name = "quiet",
     .letter = 'q',
     .kind = QN_OPTION_FLAG,
     AT(is_quiet),
     .group = telling,
     .help = "print warnings and errors only"},
};

static const qn_example examples[] = {
    {"quern pack samples/miller-base --run samples/miller-sft -t Q4_K_M,Q5_K_M,Q8_0 -o out",
     "merge the best checkpoint of a run into its base and write three files"},
    {"quern pack --adapter ~/runs/style --adapter ~/runs/facts:0.5 ~/models/base",
     "merge two adapters, the second at half strength; write the unquantised file and Q4_K_M"},
    {"quern pack --run ~/runs/style --preset lora -o out", "the adapter alone, for llama.cpp's --lora"},
    {"quern pack ~/models/base -t Q6_K --split-max-size 4G --dry-run", "what would be written, and how large"},
};

const qn_command qn_pack_command = {
    .name = "pack",
    .operands = "[BASE]",
    .summary = "turn a model and its adapters into GGUF files",
    .about =
        "Takes BASE, a Hugging Face model folder, merges the adapters of a training run into it and writes as many "
        "GGUF files as asked in one pass over the weights, in bounded memory and without intermediate files. "
        "Without BASE it is found from the adapter: a folder, or a Hub name in the local Hugging Face cache.\n\n"
        "The plan is printed first; all that can fail early fails before a byte is written. A file gets its name "
        "only when it is whole and checked. Ctrl-C stops cleanly; the same command goes on where it stopped.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .max_operands = 1,
    .settings_size = sizeof(pack_settings),
    .run = run_pack,
};
