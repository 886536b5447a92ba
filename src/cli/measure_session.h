/* SPDX-License-Identifier: MIT */
/*
 * measure_session.h: what perplexity, kld and imatrix share: settings, rows of their option tables, a job with a bar,
 * and figures with their errors.
 */
#ifndef QUERN_CLI_MEASURE_SESSION_H
#define QUERN_CLI_MEASURE_SESSION_H

#include "base/json.h"
#include "cli/commands.h"
#include "cli/progress.h"
#include "quern/measure.h"

/** Settings of all three; a command's own struct begins with them. */
typedef struct qn_measure_settings {
    const char *text, *type;
    uint64_t n_ctx, n_batch, n_chunks, n_threads;
    bool parse_special, is_json, is_quiet;
} qn_measure_settings;

/** One run of a command. */
typedef struct qn_measure_session {
    qn_job *job;
    qn_progress progress;
    qn_terminal out; /**< stdout */
} qn_measure_session;

/** Makes a job whose events are drawn on stderr, and lets Ctrl-C cancel it. @param advice told then; static */
QN_NODISCARD qn_status qn_measure_begin(qn_measure_session *se, const qn_measure_settings *settings, const char *advice,
                                        qn_error *err);
/** The bar goes, signals do what they did; accepts one whose beginning failed. */
void qn_measure_end(qn_measure_session *se);

/** The model of a path and --type. */
qn_measure_model qn_measure_model_of(const qn_measure_settings *settings, const char *path);
/** The text that settings name. */
qn_measure_text qn_measure_text_of(const qn_measure_settings *settings);

/** A short text returned by value. */
typedef struct qn_figure {
    char text[64];
} qn_figure;
/** "128.95 ± 1.73": the estimate times scale. */
qn_figure qn_figure_of(const qn_terminal *to, qn_estimate e, double scale, int n_decimals);

/** Prints what was read, and how fast. @param n_before chunks that were not read this time, but by an earlier run */
void qn_print_measured_text(const qn_terminal *to, const qn_measure_settings *settings, const qn_measured_text *text,
                            uint64_t n_before);

/** A number; null where it is none that JSON has: the perplexity of a broken model can be infinite. */
json_t *qn_number_json(double value);
/** {"value": v, "error": e}. */
json_t *qn_estimate_json(qn_estimate e);
/** {"path": …, "n_tokens": …, …}. */
json_t *qn_measured_text_json(const qn_measure_settings *settings, const qn_measured_text *text);
/** Prints a document and gives its reference up. @param document NULL: memory was short */
QN_NODISCARD qn_status qn_measure_print_json(json_t *document, qn_error *err);

/** Headings in --help. */
#define QN_GROUP_TEXT "What is read"
#define QN_GROUP_MEASURING "Running"
#define QN_GROUP_FIGURES "Output of the command"

#define QN_MEASURE_AT(field) .offset = offsetof(qn_measure_settings, field)

/** --text and how it is read. */
#define QN_ROWS_MEASURED_TEXT                                                                                  \
    {.name = "text",                                                                                           \
     .letter = 'f',                                                                                            \
     .kind = QN_OPTION_TEXT,                                                                                   \
     QN_MEASURE_AT(text),                                                                                      \
     .argument = "FILE",                                                                                       \
     .group = QN_GROUP_TEXT,                                                                                   \
     .help = "the text, of the kind that the model is for; some 100 KB make small errors"},                    \
        {.name = "ctx",                                                                                        \
         .letter = 'c',                                                                                        \
         .kind = QN_OPTION_COUNT,                                                                              \
         QN_MEASURE_AT(n_ctx),                                                                                 \
         .argument = "N",                                                                                      \
         .group = QN_GROUP_TEXT,                                                                               \
         .help = "tokens of a chunk; figures of different N cannot be compared",                               \
         .fallback = "512, or what the model is made for"},                                                    \
        {.name = "chunks",                                                                                     \
         .kind = QN_OPTION_COUNT,                                                                              \
         QN_MEASURE_AT(n_chunks),                                                                              \
         .argument = "N",                                                                                      \
         .group = QN_GROUP_TEXT,                                                                               \
         .help = "read at most N chunks",                                                                      \
         .fallback = "all"},                                                                                   \
    {                                                                                                          \
        .name = "parse-special", .kind = QN_OPTION_FLAG, QN_MEASURE_AT(parse_special), .group = QN_GROUP_TEXT, \
        .help = "read texts such as <|im_end|> as the control tokens they stand for"                           \
    }

/** Types that a folder may be encoded to, those that people want first. */
#define QN_MEASURED_TYPES "F32 BF16 F16 Q8_0 Q6_K Q5_K_M Q4_K_M IQ4_XS Q3_K_M Q2_K"

/** What a folder becomes. */
#define QN_ROW_MEASURED_TYPE                                                                                   \
    {                                                                                                          \
        .name = "type", .letter = 't', .kind = QN_OPTION_TEXT, QN_MEASURE_AT(type), .argument = "TYPE",        \
        .group = QN_GROUP_TEXT,                                                                                \
        .help = "what MODEL is encoded to, in memory, where it is a folder or a run; `quern types` lists all", \
        .fallback = "F32", .words = QN_MEASURED_TYPES                                                          \
    }

/** Batch and threads. */
#define QN_ROWS_MEASURE_RUNNING                                                                \
    {.name = "batch",                                                                          \
     .letter = 'b',                                                                            \
     .kind = QN_OPTION_COUNT,                                                                  \
     QN_MEASURE_AT(n_batch),                                                                   \
     .argument = "N",                                                                          \
     .group = QN_GROUP_MEASURING,                                                              \
     .help = "tokens computed together, of several chunks where they are short",               \
     .fallback = "512"},                                                                       \
    {                                                                                          \
        .name = "threads", .kind = QN_OPTION_COUNT, QN_MEASURE_AT(n_threads), .argument = "N", \
        .group = QN_GROUP_MEASURING, .help = "worker threads", .fallback = "one a core"        \
    }

/** --json and --quiet. */
#define QN_ROWS_MEASURE_TELLING                                                                                     \
    {.name = "json",                                                                                                \
     .kind = QN_OPTION_FLAG,                                                                                        \
     QN_MEASURE_AT(is_json),                                                                                        \
     .group = QN_GROUP_FIGURES,                                                                                     \
     .help = "print the figures as a JSON document"},                                                               \
    {                                                                                                               \
        .name = "quiet", .letter = 'q', .kind = QN_OPTION_FLAG, QN_MEASURE_AT(is_quiet), .group = QN_GROUP_FIGURES, \
        .help = "print no progress"                                                                                 \
    }

#endif
