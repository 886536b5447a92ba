/* SPDX-License-Identifier: MIT */
/* split_command.c: `quern split` and `quern join`: a GGUF file to shards and back. */
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

static qn_status run_join(const void *settings, const qn_operands *operands, qn_error *err) {
    static const qn_pack_kind kind = {.verb = "join", .preset = "copy"};
    return qn_pack_session(&kind, settings, operands, err);
}

static const qn_option split_options[] = {
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

static const qn_option join_options[] = {
    QN_ROW_OUT("beside the shards"),
    QN_ROW_NAME("the shards', without number"),
    QN_ROW_FORCE,
    QN_ROWS_RUNNING,
};

static const qn_example split_examples[] = {
    {"quern split model.gguf --max-size 2G", "model-00001-of-0000N.gguf and so on, of at most two gigabytes each"},
    {"quern split model.gguf --max-tensors 64 -o shards", "64 tensors a shard, in another folder"},
};

static const qn_example join_examples[] = {
    {"quern join model-00001-of-00004.gguf", "model.gguf beside its shards; any shard may be named"},
};

const qn_command qn_split_command = {
    .name = "split",
    .operands = "IN",
    .summary = "cut a GGUF file into shards",
    .about =
        "Writes IN, a GGUF file, as shards that llama.cpp and Ollama load by the first of them. Tensors and metadata "
        "stay as they are, byte for byte.",
    .options = {split_options, sizeof split_options / sizeof split_options[0]},
    .examples = split_examples,
    .n_examples = sizeof split_examples / sizeof split_examples[0],
    .min_operands = 1,
    .max_operands = 1,
    .settings_size = sizeof(qn_pack_settings),
    .run = run_split,
};

const qn_command qn_join_command = {
    .name = "join",
    .operands = "SHARD",
    .summary = "put the shards of a GGUF file together",
    .about = "Writes the set that SHARD is one of as one file. Tensors and metadata stay as they are, byte for byte; a "
             "shard that is missing, or of another set, is an error.",
    .options = {join_options, sizeof join_options / sizeof join_options[0]},
    .examples = join_examples,
    .n_examples = sizeof join_examples / sizeof join_examples[0],
    .min_operands = 1,
    .max_operands = 1,
    .settings_size = sizeof(qn_pack_settings),
    .run = run_join,
};
