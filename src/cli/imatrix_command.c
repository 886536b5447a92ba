/* SPDX-License-Identifier: MIT */
/* imatrix_command.c: `quern imatrix`: which columns of a model's weights a text uses, for quantising by it. */
#include "cli/measure_session.h"
#include "cli/table.h"

#include <stddef.h>
#include <string.h>

typedef struct imatrix_settings {
    qn_measure_settings reading; /* first: the shared rows write there */
    const char *out;
    qn_texts in_files;
    uint64_t save_every;
    bool process_output, force;
} imatrix_settings;

static qn_status print_json(const imatrix_settings *s, const char *model, const qn_importance_result *r,
                            qn_error *err) {
    json_t *o = json_pack("{s:o, s:I, s:I, s:I, s:I, s:I}", "path", qn_json_text(s->out, strlen(s->out)), "n_entries",
                          (json_int_t)r->n_entries, "n_chunks", (json_int_t)r->n_chunks, "chunk_size",
                          (json_int_t)r->chunk_size, "n_matrices", (json_int_t)r->n_matrices, "n_unseen",
                          (json_int_t)r->n_unseen);
    if (o != NULL && model != NULL &&
        (json_object_set_new(o, "model", qn_json_text(model, strlen(model))) != 0 ||
         json_object_set_new(o, "text", qn_measured_text_json(&s->reading, &r->text)) != 0 ||
         json_object_set_new(o, "n_resumed", json_integer((json_int_t)r->n_resumed)) != 0)) {
        json_decref(o);
        o = NULL;
    }
    return qn_measure_print_json(o, err);
}

static void print_result(const qn_terminal *to, const imatrix_settings *s, const char *model,
                         const qn_importance_result *r) {
    if (model != NULL) {
        qn_print_fact(to, "model", "%s", model);
        qn_print_measured_text(to, &s->reading, &r->text, r->n_resumed);
    }
    for (size_t i = 0; i < s->in_files.n; i++) {
        qn_print_fact(to, i == 0 ? "added" : "", "%s", s->in_files.items[i]);
    }
    qn_print_fact(to, "importance", "%s: %s tensors, %s chunks of %s tokens", s->out,
                  qn_human_number(r->n_entries).text, qn_human_number(r->n_chunks).text,
                  qn_human_number(r->chunk_size).text);
    if (r->n_unseen > 0) {
        qn_print_fact(to, "unseen", "%s of %s matrices: experts that no token reached",
                      qn_human_number(r->n_unseen).text, qn_human_number(r->n_matrices).text);
    }
    qn_print_fact(to, "next", "--imatrix %s for quern pack or quern quantize", s->out);
}

static qn_status run_imatrix(const void *settings, const qn_operands *operands, qn_error *err) {
    const imatrix_settings *s = settings;
    const char *model = operands->n > 0 ? operands->items[0] : NULL;
    const qn_importance_options options = {.model = qn_measure_model_of(&s->reading, model),
                                           .text = qn_measure_text_of(&s->reading),
                                           .in_files = s->in_files.items,
                                           .n_in_files = s->in_files.n,
                                           .out_path = s->out,
                                           .save_every = s->save_every,
                                           .process_output = s->process_output,
                                           .force = s->force};
    qn_measure_session se;
    qn_importance_result result = {0};
    qn_status status = qn_measure_begin(&se, &s->reading, "\nquern: stopping\n", err);
    if (status == QN_OK) {
        status = qn_measure_importance(&options, se.job, &result, err);
    }
    qn_measure_end(&se);
    if (status == QN_OK && s->reading.is_json) {
        return print_json(s, model, &result, err);
    }
    if (status == QN_OK) {
        print_result(&se.out, s, model, &result);
    }
    return status;
}

#define AT(field) .offset = offsetof(imatrix_settings, field)

static const qn_option options[] = {
    QN_ROWS_MEASURED_TEXT,
    QN_ROW_MEASURED_TYPE,
    {.name = "in-file",
     .kind = QN_OPTION_LIST,
     AT(in_files),
     .argument = "FILE",
     .group = QN_GROUP_TEXT,
     .help = "add the sums of this earlier matrix (GGUF or .dat); may be repeated, also without MODEL"},
    {.name = "process-output",
     .kind = QN_OPTION_FLAG,
     AT(process_output),
     .group = QN_GROUP_TEXT,
     .help = "look at the output matrix too, not only at those of layers"},
    {.name = "out",
     .letter = 'o',
     .kind = QN_OPTION_TEXT,
     AT(out),
     .argument = "FILE",
     .group = "What to write",
     .help = "the importance matrix: GGUF, or the older format when FILE ends in .dat"},
    {.name = "force",
     .kind = QN_OPTION_FLAG,
     AT(force),
     .group = "What to write",
     .help = "replace a file that is there"},
    {.name = "save-every",
     .kind = QN_OPTION_COUNT,
     AT(save_every),
     .argument = "N",
     .group = "What to write",
     .help = "keep what there is in FILE.partial every N chunks, to go on from after a failure",
     .fallback = "once a minute"},
    QN_ROWS_MEASURE_RUNNING,
    QN_ROWS_MEASURE_TELLING,
};

static const qn_example examples[] = {
    {"quern imatrix model-BF16.gguf --text calibration.txt -o model-imatrix.gguf",
     "of the unquantised model, or of its Q8_0"},
    {"quern imatrix model-Q8_0.gguf --text more.txt --in-file model-imatrix.gguf -o both.gguf",
     "add a second text to what the first gave"},
    {"quern imatrix --in-file a.gguf --in-file b.dat -o sum.gguf", "add up what two machines made"},
};

const qn_command qn_imatrix_command = {
    .name = "imatrix",
    .operands = "[MODEL]",
    .summary = "make an importance matrix for quantising",
    .about =
        "Runs MODEL over a text and adds up, for each column of each weight matrix, the squares of what meets it; "
        "stacked experts each count their own tokens. Quantising by it (--imatrix) spends precision where it matters: "
        "types of 4 bits gain, those of 2 and 3 bits need it. The text should be like what the model is for; half a "
        "million tokens are plenty, some ten thousand do much of the good. MODEL may itself be quantised: Q8_0 gives "
        "nearly the same sums.\n\n"
        "The file is what llama-imatrix writes, for llama-quantize too. Interrupted, the same command goes on where it "
        "stopped.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .min_operands = 0,
    .max_operands = 1,
    .settings_size = sizeof(imatrix_settings),
    .run = run_imatrix,
};
