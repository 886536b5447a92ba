/* SPDX-License-Identifier: MIT */
/* export_command.c: `quern export` and `quern merge`: models as Hugging Face folders. */
#include "cli/pack_session.h"

#include <stddef.h>
#include <string.h>

static qn_status run_export(const void *settings, const qn_operands *operands, qn_error *err) {
    static const qn_pack_kind kind = {.verb = "export", .preset = "merge", .to_hf = true};
    const qn_pack_settings *s = settings;
    if (s->target_format != NULL && strcmp(s->target_format, "hf") != 0) {
        return qn_fail(err, QN_E_USAGE, "--to '%.40s': hf is expected", s->target_format);
    }
    return qn_pack_session(&kind, settings, operands, err);
}

static qn_status run_merge(const void *settings, const qn_operands *operands, qn_error *err) {
    static const qn_pack_kind kind = {.verb = "merge", .preset = "merge", .to_hf = true};
    return qn_pack_session(&kind, settings, operands, err);
}

#define SHARD_ROWS                                                                                         \
    {                                                                                                      \
        .name = "max-shard-size", .kind = QN_OPTION_SIZE, QN_PACK_AT(split_max_bytes), .argument = "SIZE", \
        .group = QN_GROUP_OUTPUT, .help = "safetensors shards of at most SIZE", .fallback = "5G"           \
    }

static const qn_option export_options[] = {
    {.name = "to",
     .kind = QN_OPTION_TEXT,
     QN_PACK_AT(target_format),
     .argument = "FORMAT",
     .group = QN_GROUP_OUTPUT,
     .help = "what to write: hf, a Hugging Face folder",
     .words = "hf",
     .fallback = "hf"},
    QN_ROWS_ADAPTER,
    QN_ROWS_EDITS,
    QN_ROW_OUTTYPE,
    QN_ROW_OUT("NAME-hf beside IN"),
    QN_ROW_NAME("IN's, without its type"),
    SHARD_ROWS,
    QN_ROW_FORCE,
    QN_ROWS_RUNNING,
};

static const qn_option merge_options[] = {
    QN_ROWS_TRAINING,
    QN_FLAG_ROW("allow-nan", allow_nan, QN_GROUP_INPUT, "go on, with a warning, when a weight is NaN or infinite"),
    QN_ROW_OUTTYPE,
    QN_ROW_OUT("NAME-hf beside the run, else beside the adapter or the base"),
    QN_ROW_NAME("the run's folder, else the base's"),
    SHARD_ROWS,
    QN_ROW_FORCE,
    QN_ROWS_RUNNING,
};

static const qn_example export_examples[] = {
    {"quern export model-Q4_K_M.gguf --to hf -o model-hf", "decode a GGUF file into a folder that transformers loads"},
    {"quern export model-00001-of-00004.gguf --outtype bf16", "the same from shards, in BF16"},
};

static const qn_example merge_examples[] = {
    {"quern merge ~/models/base --run ~/runs/style -o merged", "a base and the best checkpoint of a run as one model"},
    {"quern merge --adapter ~/runs/style --adapter ~/runs/facts:0.5 ~/models/base",
     "two adapters, one at half strength"},
};

const qn_command qn_export_command = {
    .name = "export",
    .operands = "IN",
    .summary = "write a GGUF file as a Hugging Face folder",
    .about =
        "Decodes IN, a GGUF file of any type (or one of its shards), into a folder of safetensors with config.json, "
        "tokenizer files, generation config and chat template, for programs that cannot read GGUF. Names, "
        "permutations and norms are taken back to what the family has there; packing the F32 export again gives "
        "the same tensors.",
    .options = {export_options, sizeof export_options / sizeof export_options[0]},
    .examples = export_examples,
    .n_examples = sizeof export_examples / sizeof export_examples[0],
    .min_operands = 1,
    .max_operands = 1,
    .settings_size = sizeof(qn_pack_settings),
    .run = run_export,
};

const qn_command qn_merge_command = {
    .name = "merge",
    .operands = "[BASE]",
    .summary = "merge adapters into a Hugging Face folder",
    .about =
        "Writes BASE with the adapters merged in as a Hugging Face folder: safetensors shards with their index, and "
        "config and tokenizer files as they are. Without BASE it is found from the adapter.",
    .options = {merge_options, sizeof merge_options / sizeof merge_options[0]},
    .examples = merge_examples,
    .n_examples = sizeof merge_examples / sizeof merge_examples[0],
    .max_operands = 1,
    .settings_size = sizeof(qn_pack_settings),
    .run = run_merge,
};
