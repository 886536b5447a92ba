/* SPDX-License-Identifier: MIT */
/* quantize_command.c: `quern quantize`: a GGUF file, or any model, in other types. */
#include "cli/pack_session.h"

#include <stddef.h>

static qn_status run_quantize(const void *settings, const qn_operands *operands, qn_error *err) {
    static const qn_pack_kind kind = {.verb = "quantize", .preset = "custom", .needs_types = true, .checks = true};
    return qn_pack_session(&kind, settings, operands, err);
}

static const qn_option options[] = {
    QN_ROWS_ADAPTER,
    QN_ROWS_EDITS,
    QN_ROWS_TARGETS,
    QN_ROW_OUT("beside IN"),
    QN_ROW_NAME("IN's, without its type"),
    QN_ROWS_SPLIT,
    QN_FLAG_ROW("keep-split", keep_split, QN_GROUP_OUTPUT, "shards as IN has them"),
    QN_ROW_FORCE,
    QN_ROWS_TYPES,
    QN_ROWS_CHECK,
    QN_ROWS_RUNNING,
};

static const qn_example examples[] = {
    {"quern quantize model-F16.gguf -t Q4_K_M,Q6_K", "model-Q4_K_M.gguf and model-Q6_K.gguf, in one pass"},
    {"quern quantize model-F16.gguf -t IQ3_M --imatrix imatrix.gguf --effort best",
     "three bits a weight, as good as they get"},
    {"quern quantize model-F16.gguf --target-size 4.5G", "the best that fits"},
    {"quern quantize model-F16.gguf -t Q4_K_M --tensor-type ffn_down=Q6_K --output-tensor-type Q8_0",
     "a mixture with exceptions"},
    {"quern quantize model-F16.gguf -t Q8_0 --adapter ~/runs/style", "an adapter merged on the way"},
};

const qn_command qn_quantize_command = {
    .name = "quantize",
    .operands = "IN",
    .summary = "write a GGUF file, or any model, in other types",
    .about = "Takes IN, a GGUF file (or one of its shards) or anything that `quern pack` takes, and writes it as "
             "NAME-TYPE.gguf "
             "for every type asked for, in one pass. COPY among the types rewrites the file with every type as it is. "
             "The options are those of llama-quantize.\n\n"
             "With --target-size or --target-bpw there is no fixed mixture: a sample of every tensor's rows is encoded "
             "in every type, and the types are chosen whose weighted error is least within the size.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .min_operands = 1,
    .max_operands = 1,
    .settings_size = sizeof(qn_pack_settings),
    .run = run_quantize,
};
