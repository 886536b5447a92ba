/* SPDX-License-Identifier: MIT */
/*
 * pack_session.h: what the commands that write models share: their settings, the rows of their option tables, and one
 * way from there to a plan, a bar, lines of JSON and a table of results.
 */
#ifndef QUERN_CLI_PACK_SESSION_H
#define QUERN_CLI_PACK_SESSION_H

#include "cli/commands.h"

/** Settings of pack, quantize, split, join, export and merge; each command's table fills those it offers. */
typedef struct qn_pack_settings {
    bool is_dry_run, is_json, is_quiet;
    bool allow_nan, allow_requantize, force, no_sync, no_verify;
    bool pure, leave_output_tensor, keep_split;
    bool is_checked, is_unchecked;
    const char *run, *checkpoint, *preset, *out_dir, *name, *outtype, *pre, *log;
    const char *imatrix, *effort, *output_tensor_type, *token_embedding_type, *tensor_type_file, *target_bpw;
    const char *target_format, *kept_types, *check_text, *max_kld;
    qn_texts adapters, types, tensor_types, include_weights, exclude_weights, pruned_layers, overrides;
    uint64_t n_threads, split_max_bytes, split_max_tensors, target_size_bytes;
    const char *tokenizer;
} qn_pack_settings;

/** What a command settles by itself. */
typedef struct qn_pack_kind {
    const char *verb;   /**< "pack": what nothing is given to, in a message */
    const char *preset; /**< NULL: as the settings say */
    bool to_hf;
    bool needs_types; /**< -t, --target-size or --target-bpw must be given */
    bool checks;      /**< QN_ROWS_CHECK are among its options: outputs are tried where that takes little time */
} qn_pack_kind;

/** Runs a command: options to a plan, the plan to the screen, then the job; err is filled on failure. */
QN_NODISCARD qn_status qn_pack_session(const qn_pack_kind *kind, const qn_pack_settings *settings,
                                       const qn_operands *operands, qn_error *err);

/** Names for -t, in the order in which people should think of them. */
#define QN_FILE_TYPES                                                                                                  \
    "Q4_K_M Q4_K_S Q5_K_M Q5_K_S Q6_K Q8_0 Q3_K_L Q3_K_M Q3_K_S Q2_K Q2_K_S IQ4_XS IQ4_NL IQ3_M IQ3_S IQ3_XS IQ3_XXS " \
    "IQ2_M IQ2_S IQ2_XS IQ2_XXS IQ1_M IQ1_S Q4_0 Q4_1 Q5_0 Q5_1 TQ2_0 TQ1_0 Q2_0 Q1_0 MXFP4_MOE F16 BF16 F32 COPY"

#define QN_PACK_AT(field) .offset = offsetof(qn_pack_settings, field)

/** Headings in --help. */
#define QN_GROUP_INPUT "What to read"
#define QN_GROUP_OUTPUT "What to write"
#define QN_GROUP_TYPES "Which type for which tensor"
#define QN_GROUP_CHECK "Trying the files before they get their names"
#define QN_GROUP_RUNNING "Running"
#define QN_GROUP_TELLING "Output of the command"

/* Rows of option tables, to be listed in a command's own table. */

#define QN_FLAG_ROW(text, field, heading, what) \
    { .name = (text), .kind = QN_OPTION_FLAG, QN_PACK_AT(field), .group = (heading), .help = (what) }

/** Adapters. */
#define QN_ROWS_ADAPTER                                                                               \
    {                                                                                                 \
        .name = "adapter", .kind = QN_OPTION_LIST, QN_PACK_AT(adapters), .argument = "DIR[:SCALE]",   \
        .group = QN_GROUP_INPUT,                                                                      \
        .help = "merge this PEFT adapter, at SCALE times its strength; may be repeated, order counts" \
    }

/** A training run, adapters. */
#define QN_ROWS_TRAINING                                                                                           \
    {.name = "run",                                                                                                \
     .kind = QN_OPTION_TEXT,                                                                                       \
     QN_PACK_AT(run),                                                                                              \
     .argument = "DIR",                                                                                            \
     .group = QN_GROUP_INPUT,                                                                                      \
     .help = "a training run's folder, or one checkpoint of it: an adapter is merged into BASE, a full fine-tune " \
             "takes its place"},                                                                                   \
        {                                                                                                          \
            .name = "checkpoint",                                                                                  \
            .kind = QN_OPTION_TEXT,                                                                                \
            QN_PACK_AT(checkpoint),                                                                                \
            .argument = "WHICH",                                                                                   \
            .group = QN_GROUP_INPUT,                                                                               \
            .help = "which checkpoint of the run, or its step",                                                    \
            .words = "best last",                                                                                  \
            .fallback = "best, else last",                                                                         \
        },                                                                                                         \
        QN_ROWS_ADAPTER

/** What else is said of the input. */
#define QN_ROWS_EDITS                                                                       \
    {.name = "prune-layers",                                                                \
     .kind = QN_OPTION_LIST,                                                                \
     QN_PACK_AT(pruned_layers),                                                             \
     .argument = "LIST",                                                                    \
     .group = QN_GROUP_INPUT,                                                               \
     .help = "leave these layers out, as in 3,7,20-23; those that stay are numbered anew"}, \
        {.name = "override-kv",                                                             \
         .kind = QN_OPTION_LIST,                                                            \
         QN_PACK_AT(overrides),                                                             \
         .argument = "KEY=TYPE:VALUE",                                                      \
         .group = QN_GROUP_INPUT,                                                           \
         .help = "set a metadata key; TYPE is int, float, bool or str; may be repeated"},   \
        QN_FLAG_ROW("allow-nan", allow_nan, QN_GROUP_INPUT, "go on, with a warning, when a weight is NaN or infinite")

/** -t and the sizes that may stand in its place. */
#define QN_ROWS_TARGETS                                                                                           \
    {.name = "types",                                                                                             \
     .letter = 't',                                                                                               \
     .kind = QN_OPTION_LIST,                                                                                      \
     QN_PACK_AT(types),                                                                                           \
     .argument = "LIST",                                                                                          \
     .group = QN_GROUP_OUTPUT,                                                                                    \
     .help = "exactly these files, separated by commas",                                                          \
     .words = QN_FILE_TYPES},                                                                                     \
        {.name = "target-size",                                                                                   \
         .kind = QN_OPTION_SIZE,                                                                                  \
         QN_PACK_AT(target_size_bytes),                                                                           \
         .argument = "SIZE",                                                                                      \
         .group = QN_GROUP_OUTPUT,                                                                                \
         .help = "a file of at most SIZE (K, M, G are powers of 1000): each tensor's type is chosen by measured " \
                 "error"},                                                                                        \
        {.name = "target-bpw",                                                                                    \
         .kind = QN_OPTION_TEXT,                                                                                  \
         QN_PACK_AT(target_bpw),                                                                                  \
         .argument = "BITS",                                                                                      \
         .group = QN_GROUP_OUTPUT,                                                                                \
         .help = "the same with at most so many bits per weight, as in 4.25"},                                    \
    {                                                                                                             \
        .name = "keep-tensor-types", .kind = QN_OPTION_TEXT, QN_PACK_AT(kept_types), .argument = "FILE",          \
        .group = QN_GROUP_OUTPUT, .help = "write the types that were chosen so to FILE, for --tensor-type-file"   \
    }

/** Names and places. */
#define QN_ROW_OUTTYPE                                                                                                \
    {                                                                                                                 \
        .name = "outtype", .kind = QN_OPTION_TEXT, QN_PACK_AT(outtype), .argument = "TYPE", .group = QN_GROUP_OUTPUT, \
        .help = "type of unquantised weights", .fallback = "auto: the source's, F16 when that is quantised",          \
        .words = "auto f32 f16 bf16"                                                                                  \
    }
#define QN_ROW_OUT(otherwise)                                                                         \
    {                                                                                                 \
        .name = "out", .letter = 'o', .kind = QN_OPTION_TEXT, QN_PACK_AT(out_dir), .argument = "DIR", \
        .group = QN_GROUP_OUTPUT, .help = "folder for the files", .fallback = (otherwise)             \
    }
#define QN_ROW_NAME(otherwise)                                                                                  \
    {                                                                                                           \
        .name = "name", .kind = QN_OPTION_TEXT, QN_PACK_AT(name), .argument = "NAME", .group = QN_GROUP_OUTPUT, \
        .help = "the model's name, with which the files' names begin", .fallback = (otherwise)                  \
    }
#define QN_ROWS_SPLIT                                                                                          \
    {.name = "split-max-size",                                                                                 \
     .kind = QN_OPTION_SIZE,                                                                                   \
     QN_PACK_AT(split_max_bytes),                                                                              \
     .argument = "SIZE",                                                                                       \
     .group = QN_GROUP_OUTPUT,                                                                                 \
     .help = "split into shards with at most this much of tensors; K, M and G are 10^3, 10^6 and 10^9 bytes"}, \
    {                                                                                                          \
        .name = "split-max-tensors", .kind = QN_OPTION_COUNT, QN_PACK_AT(split_max_tensors), .argument = "N",  \
        .group = QN_GROUP_OUTPUT, .help = "split into shards of at most N tensors"                             \
    }
#define QN_ROW_SHARDS                                                                                      \
    {                                                                                                      \
        .name = "max-shard-size", .kind = QN_OPTION_SIZE, QN_PACK_AT(split_max_bytes), .argument = "SIZE", \
        .group = QN_GROUP_OUTPUT, .help = "safetensors shards of at most SIZE", .fallback = "5G"           \
    }
#define QN_ROW_FORCE QN_FLAG_ROW("force", force, QN_GROUP_OUTPUT, "replace files that are there")

/** Types of single tensors, importance, effort. */
#define QN_ROWS_TYPES                                                                                               \
    {.name = "imatrix",                                                                                             \
     .kind = QN_OPTION_TEXT,                                                                                        \
     QN_PACK_AT(imatrix),                                                                                           \
     .argument = "FILE",                                                                                            \
     .group = QN_GROUP_TYPES,                                                                                       \
     .help = "importance matrix (GGUF or .dat), as quern imatrix writes it: errors count as it says"},              \
        {.name = "include-weights",                                                                                 \
         .kind = QN_OPTION_LIST,                                                                                    \
         QN_PACK_AT(include_weights),                                                                               \
         .argument = "PART",                                                                                        \
         .group = QN_GROUP_TYPES,                                                                                   \
         .help = "use the importance matrix only for tensors with PART in their name; may be repeated"},            \
        {.name = "exclude-weights",                                                                                 \
         .kind = QN_OPTION_LIST,                                                                                    \
         QN_PACK_AT(exclude_weights),                                                                               \
         .argument = "PART",                                                                                        \
         .group = QN_GROUP_TYPES,                                                                                   \
         .help = "do not use it for those with PART in their name; may be repeated"},                               \
        {.name = "effort",                                                                                          \
         .kind = QN_OPTION_TEXT,                                                                                    \
         QN_PACK_AT(effort),                                                                                        \
         .argument = "LEVEL",                                                                                       \
         .group = QN_GROUP_TYPES,                                                                                   \
         .help = "time to spend on a smaller error",                                                                \
         .words = "fast normal best",                                                                               \
         .fallback = "normal"},                                                                                     \
        QN_FLAG_ROW("pure", pure, QN_GROUP_TYPES, "one type for all tensors, without the target's exceptions"),     \
        QN_FLAG_ROW("leave-output-tensor", leave_output_tensor, QN_GROUP_TYPES, "do not quantise output.weight"),   \
        {.name = "output-tensor-type",                                                                              \
         .kind = QN_OPTION_TEXT,                                                                                    \
         QN_PACK_AT(output_tensor_type),                                                                            \
         .argument = "TYPE",                                                                                        \
         .group = QN_GROUP_TYPES,                                                                                   \
         .help = "element type of output.weight, as in Q6_K"},                                                      \
        {.name = "token-embedding-type",                                                                            \
         .kind = QN_OPTION_TEXT,                                                                                    \
         QN_PACK_AT(token_embedding_type),                                                                          \
         .argument = "TYPE",                                                                                        \
         .group = QN_GROUP_TYPES,                                                                                   \
         .help = "element type of token_embd.weight"},                                                              \
        {.name = "tensor-type",                                                                                     \
         .kind = QN_OPTION_LIST,                                                                                    \
         QN_PACK_AT(tensor_types),                                                                                  \
         .argument = "REGEX=TYPE",                                                                                  \
         .group = QN_GROUP_TYPES,                                                                                   \
         .help = "element type of tensors whose name REGEX is found in, as in ffn_down=Q6_K; may be repeated, the " \
                 "first that matches decides"},                                                                     \
        {.name = "tensor-type-file",                                                                                \
         .kind = QN_OPTION_TEXT,                                                                                    \
         QN_PACK_AT(tensor_type_file),                                                                              \
         .argument = "FILE",                                                                                        \
         .group = QN_GROUP_TYPES,                                                                                   \
         .help = "more of them, one a line"},                                                                       \
        QN_FLAG_ROW("allow-requantize", allow_requantize, QN_GROUP_TYPES,                                           \
                    "quantise weights that are quantised already; they lose twice")

/** Whether and how outputs are tried. */
#define QN_ROWS_CHECK                                                                                          \
    {.name = "check",                                                                                          \
     .kind = QN_OPTION_FLAG,                                                                                   \
     QN_PACK_AT(is_checked),                                                                                   \
     .group = QN_GROUP_CHECK,                                                                                  \
     .help = "load every file, let it answer, and compare it with the unquantised weights on a short text",    \
     .fallback = "on where it takes less than a minute"},                                                      \
        QN_FLAG_ROW("no-check", is_unchecked, QN_GROUP_CHECK, "do neither"),                                       \
        {.name = "check-text",                                                                                 \
         .kind = QN_OPTION_TEXT,                                                                               \
         QN_PACK_AT(check_text),                                                                               \
         .argument = "FILE",                                                                                   \
         .group = QN_GROUP_CHECK,                                                                              \
         .help = "compare on the beginning of FILE, at most 512 tokens",                                       \
         .fallback = "a text of prose, code and other scripts"},                                               \
    {                                                                                                          \
        .name = "check-max-kld", .kind = QN_OPTION_TEXT, QN_PACK_AT(max_kld), .argument = "X",                 \
        .group = QN_GROUP_CHECK,                                                                               \
        .help = "refuse files whose mean divergence (KLD) from the unquantised weights is above X, as in 0.05" \
    }

/** How the job runs and what it tells; the last rows of every table. */
#define QN_ROWS_RUNNING                                                                                            \
    QN_FLAG_ROW("dry-run", is_dry_run, QN_GROUP_RUNNING, "print the plan with every tensor; write nothing"),       \
        {.name = "threads",                                                                                        \
         .kind = QN_OPTION_COUNT,                                                                                  \
         QN_PACK_AT(n_threads),                                                                                    \
         .argument = "N",                                                                                          \
         .group = QN_GROUP_RUNNING,                                                                                \
         .help = "worker threads; the files' bytes do not depend on it",                                           \
         .fallback = "one a core"},                                                                                \
        QN_FLAG_ROW("no-verify", no_verify, QN_GROUP_RUNNING, "do not read the files back and check them"),        \
        QN_FLAG_ROW("no-sync", no_sync, QN_GROUP_RUNNING, "do not wait for the disk before a file gets its name"), \
        QN_FLAG_ROW("json", is_json, QN_GROUP_TELLING,                                                             \
                    "print plan and events as lines of JSON; with --dry-run the plan alone"),                      \
        {.name = "log",                                                                                            \
         .kind = QN_OPTION_TEXT,                                                                                   \
         QN_PACK_AT(log),                                                                                          \
         .argument = "FILE",                                                                                       \
         .group = QN_GROUP_TELLING,                                                                                \
         .help = "append plan and events to FILE as lines of JSON"},                                               \
    {                                                                                                              \
        .name = "quiet", .letter = 'q', .kind = QN_OPTION_FLAG, QN_PACK_AT(is_quiet), .group = QN_GROUP_TELLING,   \
        .help = "print warnings and errors only"                                                                   \
    }

#endif
