/* SPDX-License-Identifier: MIT */
/* merge_command.c: `quern merge`: adapters merged into a Hugging Face folder. */
#include "cli/pack_session.h"

#include <stddef.h>

static qn_status run_merge(const void *settings, const qn_operands *operands, qn_error *err) {
    static const qn_pack_kind kind = {.verb = "merge", .preset = "merge", .to_hf = true};
    return qn_pack_session(&kind, settings, operands, err);
}

static const qn_option options[] = {
    QN_ROWS_TRAINING,
    QN_FLAG_ROW("allow-nan", allow_nan, QN_GROUP_INPUT, "go on, with a warning, when a weight is NaN or infinite"),
    QN_ROW_OUTTYPE,
    QN_ROW_OUT("NAME-hf beside the run, else beside the adapter or the base"),
    QN_ROW_NAME("the run's folder, else the base's"),
    QN_ROW_SHARDS,
    QN_ROW_FORCE,
    QN_ROWS_RUNNING,
};

static const qn_example examples[] = {
    {"quern merge ~/models/base --run ~/runs/style -o merged", "a base and the best checkpoint of a run as one model"},
    {"quern merge --adapter ~/runs/style --adapter ~/runs/facts:0.5 ~/models/base",
     "two adapters, one at half strength"},
};

const qn_command qn_merge_command = {
    .name = "merge",
    .operands = "[BASE]",
    .summary = "merge adapters into a Hugging Face folder",
    .about =
        "Writes BASE with the adapters merged in as a Hugging Face folder: safetensors shards with their index, and "
        "config and tokenizer files as they are. Without BASE it is found from the adapter.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .max_operands = 1,
    .settings_size = sizeof(qn_pack_settings),
    .run = run_merge,
};
