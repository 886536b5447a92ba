/* SPDX-License-Identifier: MIT */
/* split_command.c: `quern split`: a GGUF file to shards. */
#include "cli/pack_session.h"

#include <stddef.h>

static qn_status run_split(const void *settings, const qn_operands *operands, qn_error *err) {
    static const qn_pack_kind kind = {.verb = "split", .preset = "copy"};
    qn_pack_settings s = *(const qn_pack_settings *)settings;
    if (s.split_max_bytes == 0 && s.split_max_tensors == 0) {
        s.split_max_tensors = 128; /* llama-gguf-split's */
    }
    return qn_pack_session(&kind, &s, operands, err);
}

static const qn_option options[] = {
    {.name = "max-size",
     .kind = QN_OPTION_SIZE,
     QN_PACK_AT(split_max_bytes),
     .argument = "SIZE",
     .group = QN_GROUP_OUTPUT,
     .help = "shards with at most this much of tensors; K, M and G are 10^3, 10^6 and 10^9 bytes"},
    {.name = "max-tensors",
     .kind = QN_OPTION_COUNT,
     QN_PACK_AT(split_max_tensors),
     .argument = "N",
     .group = QN_GROUP_OUTPUT,
     .help = "shards of at most N tensors",
     .fallback = "128, without --max-size"},
    QN_ROW_OUT("beside IN"),
    QN_ROW_NAME("IN's, without its type"),
    QN_ROW_FORCE,
    QN_ROWS_RUNNING,
};

static const qn_example examples[] = {
    {"quern split model.gguf --max-size 2G", "model-00001-of-0000N.gguf and so on, of at most two gigabytes each"},
    {"quern split model.gguf --max-tensors 64 -o shards", "64 tensors a shard, in another folder"},
};

const qn_command qn_split_command = {
    .name = "split",
    .operands = "IN",
    .summary = "cut a GGUF file into shards",
    .about =
        "Writes IN, a GGUF file, as shards that llama.cpp and Ollama load by the first of them. Tensors and metadata "
        "stay as they are, byte for byte.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .min_operands = 1,
    .max_operands = 1,
    .settings_size = sizeof(qn_pack_settings),
    .run = run_split,
};
