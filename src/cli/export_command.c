/* SPDX-License-Identifier: MIT */
/* export_command.c: `quern export`: a GGUF file as a Hugging Face folder. */
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

static const qn_option options[] = {
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
    QN_ROW_SHARDS,
    QN_ROW_FORCE,
    QN_ROWS_RUNNING,
};

static const qn_example examples[] = {
    {"quern export model-Q4_K_M.gguf --to hf -o model-hf", "decode a GGUF file into a folder that transformers loads"},
    {"quern export model-00001-of-00004.gguf --outtype bf16", "the same from shards, in BF16"},
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
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .min_operands = 1,
    .max_operands = 1,
    .settings_size = sizeof(qn_pack_settings),
    .run = run_export,
};
