/* SPDX-License-Identifier: MIT */
/* run_command.c: `quern run`: a model that answers, once or in a conversation. */
#include "base/buffer.h"
#include "base/file.h"
#include "cli/adapter_word.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/interrupt.h"
#include "cli/line_editor.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "quern/chat.h"
#include "quern/quern.h"

#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_PIPED_BYTES = 64 << 20, MAX_RULES_BYTES = 1 << 20 };

static const double long_prompt_s = 2; /* from then on its reading is shown */

typedef struct run_settings {
    bool is_raw, is_json, is_quiet;
    const char *prompt, *system;
    const char *temperature, *top_p, *min_p, *typical, *repeat_penalty, *presence_penalty, *frequency_penalty;
    const char *mirostat_tau, *mirostat_eta, *top_k, *repeat_last_n;
    const char *type, *run, *checkpoint;
    const char *grammar, *grammar_file, *json_schema, *json_schema_file, *kv_type;
    qn_texts stops, adapters, biases;
    uint64_t n_ctx, n_batch, n_predict, n_threads, mirostat, seed;
} run_settings;

/* One run of the command. */
typedef struct talk {
    const run_settings *settings;
    qn_arena *arena;
    qn_progress progress; /* of encoding a folder, or of reading a long prompt */
    double prompt_s;      /* when reading the prompt began, in the job's seconds */
    qn_job *job;
    qn_chat *chat;
    qn_chat_bias *biases;        /* owned */
    char *grammar, *json_schema; /* owned: read from files */
    char *piped;                 /* the prompt that standard input had; owned */
    qn_terminal out;
    qn_buffer answer;  /* kept for --json */
    qn_chat_stats sum; /* of all answers */
} talk;

/* ---- Options ---- */

static qn_status read_number(const char *name, const char *text, double *out, qn_error *err) {
    char *end = NULL;
    if (text == NULL) {
        return QN_OK;
    }
    *out = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(*out)) {
        return qn_fail(err, QN_E_USAGE, "option '--%s' needs a number, not '%.40s'", name, text);
    }
    return QN_OK;
}

static qn_status read_count(const char *name, const char *text, uint64_t *out, qn_error *err) {
    double number = (double)*out;
    QN_TRY(read_number(name, text, &number, err));
    if (!(number >= 0 && number <= 1e9) || number != floor(number)) {
        return qn_fail(err, QN_E_USAGE, "option '--%s' needs a whole number from 0 on, not '%.40s'", name, text);
    }
    *out = (uint64_t)number;
    return QN_OK;
}

static qn_status read_sampling(const run_settings *s, qn_chat_sampling *out, qn_error *err) {
    *out = qn_chat_sampling_default();
    QN_TRY(read_number("temp", s->temperature, &out->temperature, err));
    QN_TRY(read_number("top-p", s->top_p, &out->top_p, err));
    QN_TRY(read_number("min-p", s->min_p, &out->min_p, err));
    QN_TRY(read_number("typical", s->typical, &out->typical_p, err));
    QN_TRY(read_number("repeat-penalty", s->repeat_penalty, &out->repeat_penalty, err));
    QN_TRY(read_number("presence-penalty", s->presence_penalty, &out->presence_penalty, err));
    QN_TRY(read_number("frequency-penalty", s->frequency_penalty, &out->frequency_penalty, err));
    QN_TRY(read_number("mirostat-tau", s->mirostat_tau, &out->mirostat_tau, err));
    QN_TRY(read_number("mirostat-eta", s->mirostat_eta, &out->mirostat_eta, err));
    QN_TRY(read_count("top-k", s->top_k, &out->top_k, err));
    QN_TRY(read_count("repeat-last-n", s->repeat_last_n, &out->repeat_last_n, err));
    out->mirostat = s->mirostat;
    out->seed = s->seed;
    return QN_OK;
}

/* A grammar or schema. What lies behind a zero byte would be left out, and nobody told. */
static qn_status read_rules_file(const char *path, char **text, qn_error *err) {
    size_t n = 0;
    QN_TRY(qn_read_text(path, MAX_RULES_BYTES, text, &n, err));
    if (memchr(*text, 0, n) == NULL) {
        return QN_OK;
    }
    free(*text);
    *text = NULL;
    return qn_fail(err, QN_E_FORMAT, "%s: holds a zero byte: a text file is expected", path);
}

/* A text, or the file that has it; not both. @param owned out: to be freed */
static qn_status read_rules(const char *text, const char *file, const char *name, const char **out, char **owned,
                            qn_error *err) {
    *out = text;
    if (file == NULL) {
        return QN_OK;
    }
    if (text != NULL) {
        return qn_fail(err, QN_E_USAGE, "--%s and --%s-file: one of them", name, name);
    }
    QN_TRY(read_rules_file(file, owned, err));
    *out = *owned;
    return QN_OK;
}

/* ID+BIAS or ID-BIAS. */
static qn_status read_bias(const char *text, qn_chat_bias *out, qn_error *err) {
    char *sign = NULL;
    char *end = NULL;
    errno = 0;
    out->token = strtoull(text, &sign, 10);
    const bool has_id = text[0] >= '0' && text[0] <= '9' && errno == 0 && (*sign == '+' || *sign == '-');
    out->bias = has_id ? strtod(sign, &end) : 0;
    if (!has_id || end == sign || *end != '\0' || isnan(out->bias)) {
        return qn_fail(err, QN_E_USAGE,
                       "option '--logit-bias' needs ID+BIAS or ID-BIAS (15043+1, 15043-inf), not '%.40s'", text);
    }
    return QN_OK;
}

static qn_status read_biases(const qn_texts *texts, qn_chat_bias **out, qn_error *err) {
    *out = calloc(texts->n + 1, sizeof **out);
    if (*out == NULL) {
        return qn_fail_nomem(err, "logit biases", texts->n * sizeof **out);
    }
    for (size_t i = 0; i < texts->n; i++) {
        QN_TRY(read_bias(texts->items[i], &(*out)[i], err));
    }
    return QN_OK;
}

/* ---- Output ---- */

static bool print_text(void *user, const char *text, size_t n) {
    talk *t = user;
    qn_progress_clear(&t->progress);
    if (t->settings->is_json) {
        qn_buffer_append(&t->answer, text, n);
        return true;
    }
    /* When nobody reads any more there is no reason to go on. */
    return fwrite(text, 1, n, stdout) == n && fflush(stdout) == 0;
}

static double rate_of(uint64_t n, double seconds) {
    return seconds > 0 ? (double)n / seconds : 0;
}

static void print_numbers(const talk *t) {
    const qn_chat_memory m = qn_chat_memory_of(t->chat);
    const qn_terminal to = qn_terminal_of(stderr);
    const qn_chat_stats *s = &t->sum;
    if (t->settings->is_quiet || t->settings->is_json) {
        return;
    }
    (void)fputc('\n', stderr);
    qn_print_fact(&to, "prompt", "%llu tokens, %.1f tokens/s%s", (unsigned long long)s->n_prompt,
                  rate_of(s->n_prompt, s->prompt_seconds), s->n_reused > 0 ? " (what was read before is kept)" : "");
    qn_print_fact(&to, "answer", "%llu tokens, %.1f tokens/s", (unsigned long long)s->n_answer,
                  rate_of(s->n_answer, s->answer_seconds));
    qn_print_fact(&to, "load", "%s, %s read from disk since", qn_human_seconds(m.load_seconds).text,
                  qn_human_size(m.disk_bytes).text);
    qn_print_fact(&to, "weights", "%s %s, %s in memory; in F16 they would take %s", qn_human_size(m.weights).text,
                  m.encoded > 0 ? "encoded" : "mapped", qn_human_size(m.weights_resident).text,
                  qn_human_size(m.as_f16).text);
    if (m.adapters > 0) {
        qn_print_fact(&to, "adapters", "%s in F32, added as they run", qn_human_size(m.adapters).text);
    }
    qn_print_fact(&to, "context", "%s for keys and values of %llu tokens, %s in use", qn_human_size(m.kv).text,
                  (unsigned long long)m.n_ctx, qn_human_size(m.kv_resident).text);
    qn_print_fact(&to, "computing", "%s", qn_human_size(m.compute + m.vectors).text);
    if (m.resident > 0) {
        qn_print_fact(&to, "resident", "%s of all that is in memory now, %s at most", qn_human_size(m.resident).text,
                      qn_human_size(m.peak).text);
    }
}

static const char *end_name(qn_chat_end end) {
    static const char *const names[] = {"token", "stop", "length", "context", "asked"};
    return names[end];
}

static json_t *memory_json(const qn_chat_memory *m) {
    const struct {
        const char *key;
        uint64_t n;
    } rows[] = {
        {"weights_bytes", m->weights},
        {"weights_resident_bytes", m->weights_resident},
        {"encoded_bytes", m->encoded},
        {"adapters_bytes", m->adapters},
        {"vectors_bytes", m->vectors},
        {"kv_bytes", m->kv},
        {"kv_resident_bytes", m->kv_resident},
        {"compute_bytes", m->compute},
        {"resident_bytes", m->resident},
        {"peak_bytes", m->peak},
        {"f16_bytes", m->as_f16},
        {"n_ctx", m->n_ctx},
    };
    json_t *o = json_object();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (json_object_set_new(o, rows[i].key, json_integer((json_int_t)rows[i].n)) != 0) {
            json_decref(o);
            return NULL;
        }
    }
    return o;
}

static qn_status print_json(const talk *t, const qn_chat_stats *s, qn_error *err) {
    const qn_chat_memory m = qn_chat_memory_of(t->chat);
    json_t *o = json_pack("{s:o, s:s, s:{s:I, s:I, s:f}, s:{s:I, s:f}, s:{s:f, s:I}, s:o}", "answer",
                          qn_json_text(t->answer.data == NULL ? "" : (const char *)t->answer.data, t->answer.len),
                          "end", end_name(s->end), "prompt", "n_tokens", (json_int_t)s->n_prompt, "n_reused",
                          (json_int_t)s->n_reused, "seconds", s->prompt_seconds, "generation", "n_tokens",
                          (json_int_t)s->n_answer, "seconds", s->answer_seconds, "load", "seconds", m.load_seconds,
                          "disk_bytes", (json_int_t)m.disk_bytes, "memory", memory_json(&m));
    char *text = o == NULL ? NULL : qn_json_dump(o, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(o);
    if (text == NULL) {
        return qn_fail_nomem(err, "the answer", t->answer.len);
    }
    qn_document_print(text);
    return QN_OK;
}

/* ---- Answers ---- */

static qn_status answer(talk *t, const char *text, qn_chat_stats *stats, qn_error *err) {
    const qn_status status = t->settings->is_raw ? qn_chat_complete(t->chat, text, print_text, t, stats, err)
                                                 : qn_chat_say(t->chat, text, print_text, t, stats, err);
    qn_progress_clear(&t->progress);
    t->sum.n_prompt += stats->n_prompt;
    t->sum.n_reused += stats->n_reused;
    t->sum.n_answer += stats->n_answer;
    t->sum.prompt_seconds += stats->prompt_seconds;
    t->sum.answer_seconds += stats->answer_seconds;
    return status;
}

static void note_end(const qn_chat_stats *stats) {
    if (stats->end == QN_CHAT_END_CONTEXT) {
        (void)fputs("(the context is full: /clear begins anew, --ctx makes it larger)\n", stderr);
    } else if (stats->end == QN_CHAT_END_LENGTH) {
        (void)fputs("(cut at --predict)\n", stderr);
    }
}

static qn_status answer_once(talk *t, const char *text, qn_error *err) {
    qn_chat_stats stats = {0};
    qn_interrupt_watch_answer(t->chat, true);
    qn_status status = answer(t, text, &stats, err);
    const bool is_interrupted = qn_interrupt_came();
    qn_interrupt_forget();
    if (status != QN_OK) {
        if (stats.n_answer > 0 && !t->settings->is_json) { /* the message gets a line of its own */
            (void)fputc('\n', stdout);
            (void)fflush(stdout);
        }
        return status;
    }
    if (t->settings->is_json) {
        status = print_json(t, &stats, err);
    } else {
        (void)fputc('\n', stdout);
        print_numbers(t);
    }
    return status == QN_OK && is_interrupted ? qn_fail(err, QN_E_INTERRUPTED, "interrupted") : status;
}

static const char commands_help[] = "  /clear          forget the conversation\n"
                                    "  /system TEXT    forget it and set the system message\n"
                                    "  /grammar FILE   answers follow this GBNF, or JSON schema (.json); off: none\n"
                                    "  /memory         speed so far and where memory went\n"
                                    "  /help           this list\n"
                                    "  /bye            leave; so does Ctrl-D\n"
                                    "  \"\"\"             begins and ends a message of several lines\n"
                                    "  Ctrl-C          stops the answer, drops a line\n";

/* @param name of a file, as completion leaves it: with a blank behind it; "off": answers are free */
static qn_status change_rules(talk *t, const char *name, qn_error *err) {
    size_t n = strlen(name);
    char *text = NULL;
    while (n > 0 && name[n - 1] == ' ') {
        n--;
    }
    const char *file = qn_arena_copy(t->arena, name, n);
    if (file == NULL) {
        return qn_fail_nomem(err, name, n);
    }
    if (strcmp(file, "off") == 0) {
        return qn_chat_follow(t->chat, NULL, NULL, err);
    }
    QN_TRY(read_rules_file(file, &text, err));
    const bool is_schema = qn_ends_with(file, ".json");
    const qn_status status = qn_chat_follow(t->chat, is_schema ? NULL : text, is_schema ? text : NULL, err);
    free(text);
    return status;
}

/* A line that begins with '/'. @return whether the conversation goes on */
static bool obey(talk *t, const char *line, qn_error *err) {
    qn_status status = QN_OK;
    if (strcmp(line, "/bye") == 0 || strcmp(line, "/exit") == 0 || strcmp(line, "/quit") == 0) {
        return false;
    }
    if (strcmp(line, "/clear") == 0) {
        status = qn_chat_reset(t->chat, NULL, err);
    } else if (strncmp(line, "/system ", 8) == 0) {
        status = qn_chat_reset(t->chat, line + 8, err);
    } else if (strncmp(line, "/grammar ", 9) == 0) {
        status = change_rules(t, line + 9, err);
    } else if (strcmp(line, "/memory") == 0) {
        print_numbers(t);
    } else if (strcmp(line, "/help") == 0) {
        (void)fputs(commands_help, stderr);
    } else {
        (void)fprintf(stderr, "There is no command '%.40s'; a message that begins with '/' stands between \"\"\".\n%s",
                      line, commands_help);
    }
    if (status != QN_OK) {
        (void)fprintf(stderr, "%s\n", err->message);
    }
    return true;
}

static qn_status converse(talk *t, qn_error *err) {
    qn_line_editor *editor = qn_line_editor_open("run");
    qn_status status = editor == NULL ? qn_fail_nomem(err, "the line editor", 0) : QN_OK;
    bool goes_on = status == QN_OK;
    if (!t->settings->is_quiet) {
        (void)fputs("Say something; /help lists commands.\n", stderr);
    }
    while (goes_on) {
        bool is_block = false;
        qn_interrupt_watch_answer(t->chat, false); /* anew: what came at the last answer is over */
        const char *line = qn_line_editor_read(editor, ">>> ", "... ", &is_block);
        qn_chat_stats stats = {0};
        if (line == NULL) {
            (void)fputc('\n', stdout);
            break;
        }
        if (line[0] == '/' && !is_block) {
            goes_on = obey(t, line, err);
            continue;
        }
        if (line[0] == '\0') {
            continue;
        }
        const qn_status said = answer(t, line, &stats, err);
        (void)fputs("\n\n", stdout);
        if (said == QN_E_NOMEM) {
            status = said;
            break;
        }
        if (said != QN_OK) { /* a full context, or a template's refusal, is a reason to begin anew, not to leave */
            (void)fprintf(stderr, "%s\n", err->message);
        }
        note_end(&stats);
    }
    qn_interrupt_forget();
    qn_line_editor_close(editor);
    if (status == QN_OK) {
        print_numbers(t);
    }
    return status;
}

/* A prompt that is cut, or is not there at all, would be answered as if it had been meant. */
static qn_status check_piped(const qn_buffer *text, qn_error *err) {
    if (ferror(stdin)) {
        return qn_fail_errno(err, QN_E_IO, errno, "standard input: cannot read");
    }
    if (text->len > MAX_PIPED_BYTES) {
        return qn_fail(err, QN_E_RANGE, "standard input: a prompt of more than %d MB", MAX_PIPED_BYTES >> 20);
    }
    if (text->len > 0 && memchr(text->data, 0, text->len) != NULL) {
        return qn_fail(err, QN_E_FORMAT, "standard input: a prompt is text, and this has a zero byte");
    }
    return text->len > 0 ? QN_OK : qn_fail(err, QN_E_USAGE, "no prompt: standard input is empty; pass one, or -p TEXT");
}

/* All of standard input; the caller frees. */
static qn_status read_piped(char **out, qn_error *err) {
    qn_buffer text = {0};
    char part[4096];
    size_t n = 0;
    while (text.len <= MAX_PIPED_BYTES && (n = fread(part, 1, sizeof part, stdin)) > 0) {
        qn_buffer_append(&text, part, n);
    }
    const qn_status status = check_piped(&text, err);
    if (status != QN_OK) {
        qn_buffer_clear(&text);
        return status;
    }
    while (text.len > 0 && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r')) {
        text.len--;
    }
    *out = qn_buffer_take_text(&text);
    return *out == NULL ? qn_fail_nomem(err, "standard input", 0) : QN_OK;
}

static qn_status talk_on(talk *t, qn_error *err) {
    const char *prompt = t->piped != NULL ? t->piped : t->settings->prompt;
    return prompt != NULL ? answer_once(t, prompt, err) : converse(t, err);
}

/* What is wrong with a prompt is told before a model is opened. */
static qn_status find_prompt(talk *t, qn_error *err) {
    if (t->settings->prompt != NULL) {
        return QN_OK;
    }
    if (!isatty(STDIN_FILENO)) {
        return read_piped(&t->piped, err);
    }
    return t->settings->is_json
        ? qn_fail(err, QN_E_USAGE, "--json answers once: pass -p PROMPT, or a prompt on standard input")
        : QN_OK;
}

/* Of a prompt that is being read nothing is told unless it takes long, and nothing where a bar would stay. */
static bool is_worth_showing(const talk *t, const qn_event *event) {
    const bool is_prompt = event->kind == QN_EVENT_PROGRESS && event->tokens_total > 0;
    return !is_prompt || (t->progress.to.can_redraw && event->time_s - t->prompt_s >= long_prompt_s);
}

static void on_event(void *user, const qn_event *event) {
    talk *t = user;
    if (event->kind == QN_EVENT_STAGE && event->tokens_total > 0) {
        t->prompt_s = event->time_s;
    }
    if (is_worth_showing(t, event)) {
        qn_progress_event(&t->progress, event);
    }
}

static qn_status read_adapters(const talk *t, qn_chat_options *options, qn_error *err) {
    const qn_texts *words = &t->settings->adapters;
    qn_chat_adapter *adapters = qn_arena_array(t->arena, words->n, sizeof *adapters);
    if (adapters == NULL) {
        return qn_fail_nomem(err, "adapters", words->n * sizeof *adapters);
    }
    for (size_t i = 0; i < words->n; i++) {
        QN_TRY(qn_adapter_word_parse(t->arena, words->items[i], &adapters[i].path, &adapters[i].scale, err));
    }
    options->adapters = adapters;
    options->n_adapters = words->n;
    return QN_OK;
}

/* @param path NULL: the options name what is to be run */
static qn_status open_chat(talk *t, const char *path, qn_error *err) {
    const run_settings *s = t->settings;
    qn_chat_options options = {
        .path = path,
        .type = s->type,
        .run = s->run,
        .checkpoint = s->checkpoint,
        .n_ctx = s->n_ctx,
        .n_batch = s->n_batch,
        .n_predict = s->n_predict,
        .system = s->system,
        .stops = s->stops.items,
        .n_stops = s->stops.n,
        .n_biases = s->biases.n,
        .kv_type = s->kv_type,
    };
    QN_TRY(read_sampling(s, &options.sampling, err));
    QN_TRY(read_biases(&s->biases, &t->biases, err));
    options.biases = t->biases;
    QN_TRY(read_rules(s->grammar, s->grammar_file, "grammar", &options.grammar, &t->grammar, err));
    QN_TRY(read_rules(s->json_schema, s->json_schema_file, "json-schema", &options.json_schema, &t->json_schema, err));
    if (s->n_threads > 1024) {
        return qn_fail(err, QN_E_USAGE, "--threads %llu: at most 1024", (unsigned long long)s->n_threads);
    }
    qn_progress_init(&t->progress, stderr, s->is_quiet);
    t->arena = qn_arena_new();
    t->job = qn_job_new((unsigned)s->n_threads, on_event, t);
    if (t->job == NULL || t->arena == NULL) {
        return qn_fail_nomem(err, "job", 0);
    }
    QN_TRY(read_adapters(t, &options, err));
    qn_interrupt_watch(t->job, "\nquern: stopping\n");
    const qn_status status = qn_chat_open(&options, t->job, &t->chat, err);
    qn_interrupt_forget();
    qn_progress_clear(&t->progress);
    return status;
}

static qn_status run_run(const void *settings, const qn_operands *operands, qn_error *err) {
    talk t = {.settings = settings, .out = qn_terminal_of(stdout)};
    qn_status status = find_prompt(&t, err);
    if (status == QN_OK) {
        status = open_chat(&t, operands->n > 0 ? operands->items[0] : NULL, err);
    }
    if (status == QN_OK) {
        status = talk_on(&t, err);
    }
    qn_chat_free(t.chat);
    qn_job_free(t.job);
    free(t.biases);
    free(t.grammar);
    free(t.json_schema);
    free(t.piped);
    qn_buffer_clear(&t.answer);
    qn_arena_free(t.arena);
    return status;
}

#define AT(field) .offset = offsetof(run_settings, field)
#define NUMBER(text, field, what, otherwise)                                                                   \
    {                                                                                                          \
        .name = (text), .kind = QN_OPTION_TEXT, AT(field), .argument = "X", .group = sampling, .help = (what), \
        .fallback = (otherwise)                                                                                \
    }

static const char choosing[] = "What to run";
static const char talking[] = "What to say";
static const char sampling[] = "How to choose tokens";
static const char shaping[] = "What an answer looks like";
static const char running[] = "Running";
static const char telling[] = "Output of the command";

static const qn_option options[] = {
    {.name = "adapter",
     .kind = QN_OPTION_LIST,
     AT(adapters),
     .argument = "PATH[:SCALE]",
     .group = choosing,
     .help = "a PEFT folder or a GGUF adapter, at SCALE times its strength: added as a file runs, a PEFT folder merged "
             "into a folder that is encoded; may be repeated"},
    {.name = "run",
     .kind = QN_OPTION_TEXT,
     AT(run),
     .argument = "DIR",
     .group = choosing,
     .help = "a training run's folder, or one checkpoint of it: an adapter goes onto PATH, a full fine-tune takes its "
             "place"},
    {.name = "checkpoint",
     .kind = QN_OPTION_TEXT,
     AT(checkpoint),
     .argument = "WHICH",
     .group = choosing,
     .help = "which checkpoint of the run, or its step",
     .words = "best last",
     .fallback = "best, else last"},
    {.name = "type",
     .letter = 't',
     .kind = QN_OPTION_TEXT,
     AT(type),
     .argument = "TYPE",
     .group = choosing,
     .help = "what a folder's weights are encoded to, in memory; `quern types` lists all",
     .words = "Q8_0 Q6_K Q5_K_M Q4_K_M IQ4_XS Q3_K_M Q2_K F16 BF16 F32",
     .fallback = "Q8_0"},
    {.name = "prompt",
     .letter = 'p',
     .kind = QN_OPTION_TEXT,
     AT(prompt),
     .argument = "TEXT",
     .group = talking,
     .help = "answer this once and leave",
     .fallback = "standard input, when it is not a terminal"},
    {.name = "system",
     .kind = QN_OPTION_TEXT,
     AT(system),
     .argument = "TEXT",
     .group = talking,
     .help = "the system message"},
    {.name = "raw",
     .kind = QN_OPTION_FLAG,
     AT(is_raw),
     .group = talking,
     .help = "continue the text as it is, without the chat template"},
    {.name = "predict",
     .letter = 'n',
     .kind = QN_OPTION_COUNT,
     AT(n_predict),
     .argument = "N",
     .group = talking,
     .help = "at most N tokens an answer; 0 for any number",
     .fallback = "until the model ends it"},
    {.name = "stop",
     .kind = QN_OPTION_LIST,
     AT(stops),
     .argument = "TEXT",
     .group = talking,
     .help = "end the answer before TEXT; may be repeated"},
    NUMBER("temp", temperature, "temperature; 0 always takes the most likely token", "0.8"),
    NUMBER("top-k", top_k, "only the X most likely; 0 for all", "40"),
    NUMBER("top-p", top_p, "only the most likely that make up this probability", "0.95"),
    NUMBER("min-p", min_p, "only those of this share of the largest probability", "0.05"),
    NUMBER("typical", typical, "only those nearest to the expected surprise", "1"),
    NUMBER("repeat-penalty", repeat_penalty, "divide the logits of recent tokens", "1"),
    NUMBER("presence-penalty", presence_penalty, "take from the logits of recent tokens", "0"),
    NUMBER("frequency-penalty", frequency_penalty, "the same, times how often they occurred", "0"),
    NUMBER("repeat-last-n", repeat_last_n, "tokens that count as recent", "64"),
    {.name = "mirostat",
     .kind = QN_OPTION_COUNT,
     AT(mirostat),
     .argument = "VERSION",
     .group = sampling,
     .help = "hold the surprise steady instead of filtering",
     .words = "0 1 2",
     .fallback = "0"},
    NUMBER("mirostat-tau", mirostat_tau, "the surprise to hold, in bits", "5"),
    NUMBER("mirostat-eta", mirostat_eta, "how fast it is approached", "0.1"),
    {.name = "seed",
     .kind = QN_OPTION_COUNT,
     AT(seed),
     .argument = "N",
     .group = sampling,
     .help = "the same seed, the same answer",
     .fallback = "0"},
    {.name = "logit-bias",
     .letter = 'l',
     .kind = QN_OPTION_LIST,
     AT(biases),
     .argument = "ID+X",
     .group = sampling,
     .help = "add X to the logit of token ID (ID-X takes it, ID-inf forbids it); may be repeated"},
    {.name = "grammar",
     .kind = QN_OPTION_TEXT,
     AT(grammar),
     .argument = "GBNF",
     .group = shaping,
     .help = "answers follow this grammar, from its rule root on"},
    {.name = "grammar-file",
     .kind = QN_OPTION_TEXT,
     AT(grammar_file),
     .argument = "FILE",
     .group = shaping,
     .help = "the same, from a file"},
    {.name = "json-schema",
     .letter = 'j',
     .kind = QN_OPTION_TEXT,
     AT(json_schema),
     .argument = "JSON",
     .group = shaping,
     .help = "answers are JSON that this schema accepts; {} for any"},
    {.name = "json-schema-file",
     .kind = QN_OPTION_TEXT,
     AT(json_schema_file),
     .argument = "FILE",
     .group = shaping,
     .help = "the same, from a file"},
    {.name = "ctx",
     .letter = 'c',
     .kind = QN_OPTION_COUNT,
     AT(n_ctx),
     .argument = "N",
     .group = running,
     .help = "tokens of context",
     .fallback = "the model's, at most 4096"},
    {.name = "batch",
     .kind = QN_OPTION_COUNT,
     AT(n_batch),
     .argument = "N",
     .group = running,
     .help = "prompt tokens computed together",
     .fallback = "512"},
    {.name = "kv-type",
     .kind = QN_OPTION_TEXT,
     AT(kv_type),
     .argument = "TYPE",
     .group = running,
     .help = "keep keys and values in TYPE",
     .words = "F32 F16 BF16 Q8_0",
     .fallback = "F16"},
    {.name = "threads",
     .kind = QN_OPTION_COUNT,
     AT(n_threads),
     .argument = "N",
     .group = running,
     .help = "worker threads",
     .fallback = "one a core"},
    {.name = "json",
     .kind = QN_OPTION_FLAG,
     AT(is_json),
     .group = telling,
     .help = "print the answer with its numbers as a JSON document"},
    {.name = "quiet",
     .letter = 'q',
     .kind = QN_OPTION_FLAG,
     AT(is_quiet),
     .group = telling,
     .help = "print the answer and errors only"},
};

static const qn_example examples[] = {
    {"quern run out/miller-sft-Q4_K_M.gguf -p \"What is a quern?\" --temp 0", "one answer"},
    {"quern run model-Q4_K_M.gguf", "a conversation"},
    {"quern run runs/miller-sft -t Q4_K_M", "a training run's best checkpoint on its base, without writing a file"},
    {"quern run model-Q4_K_M.gguf --adapter checkpoint-400:0.5", "half an adapter on top, as it runs"},
    {"quern run model-Q4_K_M.gguf --raw -p \"Once upon a time\" -n 64", "continue a text"},
    {"quern run model-Q4_K_M.gguf -j '{\"type\":\"array\",\"items\":{\"type\":\"string\"}}' -p \"Three colours\"",
     "an answer that is JSON"},
    {"git diff | quern run model-Q4_K_M.gguf --system \"Summarise the change.\"", "a prompt from a pipe"},
};

const qn_command qn_run_command = {
    .name = "run",
    .operands = "[PATH]",
    .summary = "talk with a model",
    .about =
        "Loads PATH and answers: one prompt (-p, or a pipe), or a conversation with line editing and history. The "
        "conversation goes through the model's own chat template, ChatML's when it has none.\n\n"
        "PATH is a GGUF file or one of its shards (or llama2.c's .bin), whose weights stay in the file, mapped, in "
        "their own types; or a model folder, a training run or a PEFT folder, whose weights are encoded into memory "
        "as `quern pack` would write them. Nothing is written.\n\n"
        "At the end it tells the speed, and where memory went.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .min_operands = 0,
    .max_operands = 1,
    .settings_size = sizeof(run_settings),
    .run = run_run,
};
