/* SPDX-License-Identifier: MIT */
/* perplexity_command.c: `quern perplexity`: how well a model foretells a text. */
#include "cli/measure_session.h"
#include "cli/table.h"

#include <stddef.h>
#include <string.h>

static qn_status print_json(const char *model, const qn_measure_settings *s, const qn_perplexity_result *r,
                            qn_error *err) {
    return qn_measure_print_json(json_pack("{s:o, s:o, s:I, s:o, s:o}", "model", qn_json_text(model, strlen(model)),
                                           "text", qn_measured_text_json(s, &r->text), "n_counted",
                                           (json_int_t)r->n_counted, "perplexity", qn_estimate_json(r->ppl), "nll",
                                           qn_estimate_json(r->nll)),
                                 err);
}

static void print_figures(const qn_terminal *to, const char *model, const qn_measure_settings *s,
                          const qn_perplexity_result *r) {
    qn_print_fact(to, "model", "%s", model);
    qn_print_measured_text(to, s, &r->text, 0);
    qn_print_fact(to, "perplexity", "%s", qn_figure_of(to, r->ppl, 1, 4).text);
    qn_print_fact(to, "mean loss", "%s nats a token, of %s that were foretold", qn_figure_of(to, r->nll, 1, 5).text,
                  qn_human_number(r->n_counted).text);
}

static qn_status run_perplexity(const void *settings, const qn_operands *operands, qn_error *err) {
    const qn_measure_settings *s = settings;
    const char *model = operands->items[0];
    const qn_measure_model measured = qn_measure_model_of(s, model);
    const qn_measure_text text = qn_measure_text_of(s);
    qn_measure_session se;
    qn_perplexity_result result = {0};
    if (s->text == NULL) {
        return qn_fail(err, QN_E_USAGE, "no text: pass --text FILE");
    }
    qn_status status = qn_measure_begin(&se, s, "\nquern: stopping\n", err);
    if (status == QN_OK) {
        status = qn_measure_perplexity(&measured, &text, se.job, &result, err);
    }
    qn_measure_end(&se);
    if (status == QN_OK && s->is_json) {
        return print_json(model, s, &result, err);
    }
    if (status == QN_OK) {
        print_figures(&se.out, model, s, &result);
    }
    return status;
}

static const qn_option options[] = {QN_ROWS_MEASURED_TEXT, QN_ROW_MEASURED_TYPE, QN_ROWS_MEASURE_RUNNING,
                                    QN_ROWS_MEASURE_TELLING};

static const qn_example examples[] = {
    {"quern perplexity model-Q4_K_M.gguf --text wiki.test.raw", "as llama-perplexity -f wiki.test.raw"},
    {"quern perplexity model.gguf --text notes.txt --ctx 2048 --chunks 20 --json", "a shorter look, for a program"},
};

const qn_command qn_perplexity_command = {
    .name = "perplexity",
    .operands = "MODEL",
    .summary = "measure how well a model foretells a text",
    .about =
        "Reads a text in chunks of --ctx tokens and looks how probable the model held each token of a chunk's second "
        "half, given those before it. The perplexity is the exponential of the mean loss: 1 would be always right, and "
        "guessing among all tokens gives the vocabulary's size. Figures are llama-perplexity's. MODEL is a GGUF file, "
        "or a folder (a model's, a training run's), which is encoded in memory.\n\n"
        "It compares models only where text, --ctx and vocabulary are the same, and small losses of quantisation drown "
        "in its error: `quern kld` measures those much more finely.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .min_operands = 1,
    .max_operands = 1,
    .settings_size = sizeof(qn_measure_settings),
    .run = run_perplexity,
};
