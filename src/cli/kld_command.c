/* SPDX-License-Identifier: MIT */
/* kld_command.c: `quern kld`: what a quantised model lost, by its predictions beside those of its base. */
#include "cli/measure_session.h"
#include "cli/table.h"

#include <stddef.h>
#include <string.h>

typedef struct kld_settings {
    qn_measure_settings reading; /* first: the shared rows write there */
    const char *base_type;
} kld_settings;

/* The shares that are shown, as names and as members. */
static const struct {
    const char *name;
    const char *key;
    size_t offset;
} shares[] = {
    {"max", "max", offsetof(qn_percentiles, max)}, {"99.9%", "p99.9", offsetof(qn_percentiles, p999)},
    {"99%", "p99", offsetof(qn_percentiles, p99)}, {"95%", "p95", offsetof(qn_percentiles, p95)},
    {"90%", "p90", offsetof(qn_percentiles, p90)}, {"median", "median", offsetof(qn_percentiles, median)},
    {"10%", "p10", offsetof(qn_percentiles, p10)}, {"5%", "p5", offsetof(qn_percentiles, p5)},
    {"1%", "p1", offsetof(qn_percentiles, p1)},    {"min", "min", offsetof(qn_percentiles, min)},
};

enum { N_SHARES = sizeof shares / sizeof shares[0] };

static double share_of(const qn_percentiles *p, size_t i) {
    return *(const double *)((const char *)p + shares[i].offset);
}

static json_t *percentiles_json(const qn_percentiles *p) {
    json_t *o = json_object();
    for (size_t i = 0; i < N_SHARES; i++) {
        if (json_object_set_new(o, shares[i].key, qn_number_json(share_of(p, i))) != 0) {
            json_decref(o);
            return NULL;
        }
    }
    return o;
}

static qn_status print_json(const char *const *paths, const qn_measure_settings *s, const qn_kld_result *r,
                            qn_error *err) {
    const qn_divergence_stats *d = &r->stats;
    return qn_measure_print_json(
        json_pack("{s:o, s:o, s:o, s:I, s:{s:o, s:o}, s:{s:o, s:o, s:o}, s:o, s:{s:o, s:o, s:o, s:o, s:o, s:o}}",
                  "base", qn_json_text(paths[0], strlen(paths[0])), "model", qn_json_text(paths[1], strlen(paths[1])),
                  "text", qn_measured_text_json(s, &r->text), "n_compared", (json_int_t)d->n_tokens, "kld", "mean",
                  qn_estimate_json(d->kld), "percentiles", percentiles_json(&d->klds), "p_diff", "mean",
                  qn_estimate_json(d->p_diff), "rms", qn_estimate_json(d->p_diff_rms), "percentiles",
                  percentiles_json(&d->p_diffs), "same_top", qn_estimate_json(d->same_top), "perplexity", "model",
                  qn_estimate_json(d->ppl), "base", qn_estimate_json(d->ppl_base), "ratio",
                  qn_estimate_json(d->ppl_ratio), "difference", qn_estimate_json(d->ppl_difference), "ln_ratio",
                  qn_estimate_json(d->ln_ppl_ratio), "ln_correlation", qn_number_json(d->correlation)),
        err);
}

static void print_shares(const qn_terminal *to, const qn_divergence_stats *d) {
    qn_table *table = qn_table_new("lrr");
    qn_table_add(table, "positions");
    qn_table_add(table, "KLD");
    qn_table_add(table, to->is_utf8 ? "\xce\x94p" : "dp");
    for (size_t i = 0; i < N_SHARES; i++) {
        qn_table_add(table, "%s", shares[i].name);
        qn_table_add(table, "%.6f", share_of(&d->klds, i));
        qn_table_add(table, "%.3f %%", 100 * share_of(&d->p_diffs, i));
    }
    (void)fputc('\n', to->file);
    qn_table_print(table, to);
    qn_table_free(table);
}

static void print_figures(const qn_terminal *to, const char *const *paths, const qn_measure_settings *s,
                          const qn_kld_result *r) {
    const qn_divergence_stats *d = &r->stats;
    qn_print_fact(to, "base", "%s", paths[0]);
    qn_print_fact(to, "model", "%s", paths[1]);
    qn_print_measured_text(to, s, &r->text, 0);
    (void)fputc('\n', to->file);
    qn_print_fact(to, "mean KLD", "%s nats, of %s positions", qn_figure_of(to, d->kld, 1, 6).text,
                  qn_human_number(d->n_tokens).text);
    qn_print_fact(to, "same top token", "%s %%", qn_figure_of(to, d->same_top, 100, 3).text);
    qn_print_fact(to, to->is_utf8 ? "mean \xce\x94p" : "mean dp", "%s %%", qn_figure_of(to, d->p_diff, 100, 3).text);
    qn_print_fact(to, to->is_utf8 ? "RMS \xce\x94p" : "RMS dp", "%s %%", qn_figure_of(to, d->p_diff_rms, 100, 3).text);
    print_shares(to, d);
    (void)fputc('\n', to->file);
    qn_print_fact(to, "perplexity", "%s", qn_figure_of(to, d->ppl, 1, 4).text);
    qn_print_fact(to, "of the base", "%s", qn_figure_of(to, d->ppl_base, 1, 4).text);
    qn_print_fact(to, "ratio", "%s", qn_figure_of(to, d->ppl_ratio, 1, 6).text);
    qn_print_fact(to, "difference", "%s", qn_figure_of(to, d->ppl_difference, 1, 4).text);
    qn_print_fact(to, "ln ratio", "%s, correlation %.2f %%", qn_figure_of(to, d->ln_ppl_ratio, 1, 6).text,
                  100 * d->correlation);
}

static qn_status run_kld(const void *settings, const qn_operands *operands, qn_error *err) {
    const kld_settings *all = settings;
    const qn_measure_settings *s = &all->reading;
    const qn_measure_model base = {.path = operands->items[0], .type = all->base_type};
    const qn_measure_model model = qn_measure_model_of(s, operands->items[1]);
    const qn_measure_text text = qn_measure_text_of(s);
    qn_measure_session se;
    qn_kld_result result = {0};
    if (s->text == NULL) {
        return qn_fail(err, QN_E_USAGE, "no text: pass --text FILE");
    }
    qn_status status = qn_measure_begin(&se, s, "\nquern: stopping\n", err);
    if (status == QN_OK) {
        status = qn_measure_kld(&base, &model, &text, se.job, &result, err);
    }
    qn_measure_end(&se);
    if (status == QN_OK && s->is_json) {
        return print_json(operands->items, s, &result, err);
    }
    if (status == QN_OK) {
        print_figures(&se.out, operands->items, s, &result);
    }
    return status;
}

static const qn_option options[] = {
    QN_ROWS_MEASURED_TEXT,
    QN_ROW_MEASURED_TYPE,
    {.name = "base-type",
     .kind = QN_OPTION_TEXT,
     .offset = offsetof(kld_settings, base_type),
     .argument = "TYPE",
     .group = QN_GROUP_TEXT,
     .help = "the same for BASE",
     .fallback = "F32",
     .words = QN_MEASURED_TYPES},
    QN_ROWS_MEASURE_RUNNING,
    QN_ROWS_MEASURE_TELLING,
};

static const qn_example examples[] = {
    {"quern kld model-BF16.gguf model-Q4_K_M.gguf --text wiki.test.raw", "what Q4_K_M lost"},
    {"quern kld ./my-model ./my-model -t Q4_K_M --text wiki.test.raw", "what it would lose, with nothing written"},
    {"quern kld model-F16.gguf model-IQ3_S.gguf --text chats.txt --parse-special --chunks 50",
     "on conversations, a shorter look"},
};

const qn_command qn_kld_command = {
    .name = "kld",
    .operands = "BASE MODEL",
    .summary = "measure what a quantised model lost",
    .about =
        "Runs BASE, as a rule the unquantised model, and MODEL side by side over a text and compares their predictions "
        "at each token of the chunks' second halves. The mean Kullback-Leibler divergence (KLD) is 0 for equal models; "
        "Q8_0 of a good model stays below 0.001, Q4_K_M near 0.01 to 0.05. Positions at 99% and above show the worst "
        "surprises; \"same top token\" how often greedy answers would go on alike.\n\n"
        "Either may be a folder, encoded in memory: so the loss of a type is known before a file is made. Figures and "
        "errors are those of llama-perplexity --kl-divergence; no file of logits is needed. The ratio of "
        "perplexities is far more exact than either, since both models meet the same text.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .min_operands = 2,
    .max_operands = 2,
    .settings_size = sizeof(kld_settings),
    .run = run_kld,
};
