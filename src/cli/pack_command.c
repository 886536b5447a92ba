/* SPDX-License-Identifier: MIT */
/* pack_command.c: `quern pack`: a model and its adapters to GGUF files. */
#include "cli/pack_session.h"

#include <stddef.h>

static qn_status run_pack(const void *settings, const qn_operands *operands, qn_error *err) {
    static const qn_pack_kind kind = {.verb = "pack", .checks = true};
    return qn_pack_session(&kind, settings, operands, err);
}

static const qn_option options[] = {
    QN_ROWS_TRAINING,
    {.name = "pre",
     .kind = QN_OPTION_TEXT,
     QN_PACK_AT(pre),
     .argument = "NAME",
     .group = QN_GROUP_INPUT,
     .help = "the pre-tokenizer, when it is not recognised"},
    {.name = "tokenizer",
     .kind = QN_OPTION_TEXT,
     QN_PACK_AT(tokenizer),
     .argument = "FILE",
     .group = QN_GROUP_INPUT,
     .help = "the tokenizer.bin of a llama2.c model",
     .fallback = "tok<tokens>.bin or tokenizer.bin beside it"},
    QN_ROWS_EDITS,
    QN_ROWS_TARGETS,
    {.name = "preset",
     .kind = QN_OPTION_TEXT,
     QN_PACK_AT(preset),
     .argument = "NAME",
     .group = QN_GROUP_OUTPUT,
     .help = "what to do, by name",
     .fallback = "merge-quantize, or custom with -t",
     .words = "merge-quantize merge quantize lora copy custom"},
    QN_ROW_OUTTYPE,
    QN_ROW_OUT("gguf in the run's folder, else in the base's or adapter's"),
    QN_ROW_NAME("the run's folder, else the base's"),
    QN_ROWS_SPLIT,
    QN_FLAG_ROW("keep-split", keep_split, QN_GROUP_OUTPUT, "shards as BASE, a GGUF file in shards, has them"),
    QN_ROW_FORCE,
    QN_ROWS_TYPES,
    QN_ROWS_CHECK,
    QN_ROWS_RUNNING,
};

static const qn_example examples[] = {
    {"quern pack samples/miller-base --run samples/miller-sft -t Q4_K_M,Q5_K_M,Q8_0 -o out",
     "merge the best checkpoint of a run into its base and write three files"},
    {"quern pack --adapter ~/runs/style --adapter ~/runs/facts:0.5 ~/models/base",
     "merge two adapters, the second at half strength; write the unquantised file and Q4_K_M"},
    {"quern pack --run ~/runs/style --preset lora -o out", "the adapter alone, for llama.cpp's --lora"},
    {"quern pack ~/models/base -t Q4_K_M,Q3_K_M --check-max-kld 0.05", "keep no file that lost more than that"},
    {"quern pack ~/models/base -t Q6_K --split-max-size 4G --dry-run", "what would be written, and how large"},
};

const qn_command qn_pack_command = {
    .name = "pack",
    .operands = "[BASE]",
    .summary = "turn a model and its adapters into GGUF files",
    .about =
        "Takes BASE, a Hugging Face model folder or a GGUF file, merges the adapters of a training run into it and "
        "writes as many GGUF files as asked in one pass over the weights, in bounded memory and without intermediate "
        "files. Without BASE it is found from the adapter: a folder, or a Hub name in the local Hugging Face cache.\n\n"
        "The plan is printed first; all that can fail early fails before a byte is written. A file gets its name "
        "only when it is whole and read back, and, where that takes less than a minute, has been run and compared with "
        "the unquantised weights. Ctrl-C stops cleanly; the same command goes on where it stopped.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .max_operands = 1,
    .settings_size = sizeof(qn_pack_settings),
    .run = run_pack,
};
