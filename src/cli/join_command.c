/* SPDX-License-Identifier: MIT */
/* join_command.c: `quern join`: the shards of a GGUF file to one file. */
#include "cli/pack_session.h"

#include <stddef.h>

static qn_status run_join(const void *settings, const qn_operands *operands, qn_error *err) {
    static const qn_pack_kind kind = {.verb = "join", .preset = "copy"};
    return qn_pack_session(&kind, settings, operands, err);
}

static const qn_option options[] = {
    QN_ROW_OUT("beside the shards"),
    QN_ROW_NAME("the shards', without number"),
    QN_ROW_FORCE,
    QN_ROWS_RUNNING,
};

static const qn_example examples[] = {
    {"quern join model-00001-of-00004.gguf", "model.gguf beside its shards; any shard may be named"},
};

const qn_command qn_join_command = {
    .name = "join",
    .operands = "SHARD",
    .summary = "put the shards of a GGUF file together",
    .about = "Writes the set that SHARD is one of as one file. Tensors and metadata stay as they are, byte for byte; a "
             "shard that is missing, or of another set, is an error.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .min_operands = 1,
    .max_operands = 1,
    .settings_size = sizeof(qn_pack_settings),
    .run = run_join,
};
