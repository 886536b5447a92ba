/* SPDX-License-Identifier: MIT */
/* divergence.c: losses and Kullback-Leibler divergences of rows of logits, and their statistics with error bars. */
/*
 * With b and q the logits less their maxima, and B, Q the sums of their exponentials,
 *     KLD = sum p_base (ln p_base - ln p) = sum e^b (b - q) / B - ln B + ln Q,
 * so that one pass behind that for the maxima is enough, and nothing of the size of a vocabulary is kept. Means and
 * errors are those of llama-perplexity: of a mean, the sample's deviation over the root of n - 1; of a ratio of
 * perplexities with the covariance of both losses, which is most of either.
 */
#include "calib/divergence.h"

#include "base/memory.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one row ---- */

static uint64_t top_of(const float *logits, uint64_t n_vocab) {
    uint64_t top = 0;
    for (uint64_t i = 1; i < n_vocab; i++) {
        top = logits[i] > logits[top] ? i : top;
    }
    return top;
}

double qn_nll_of(const float *logits, uint64_t n_vocab, int32_t target) {
    const double top = (double)logits[top_of(logits, n_vocab)];
    double sum = 0;
    for (uint64_t i = 0; i < n_vocab; i++) {
        sum += exp((double)logits[i] - top);
    }
    return log(sum) - ((double)logits[target] - top);
}

qn_divergence_row qn_divergence_of(const float *base, const float *logits, uint64_t n_vocab, int32_t target) {
    const uint64_t i_base = top_of(base, n_vocab);
    const uint64_t i_model = top_of(logits, n_vocab);
    const double top_base = (double)base[i_base];
    const double top_model = (double)logits[i_model];
    double sum_base = 0;
    double sum_model = 0;
    double weighted = 0;
    for (uint64_t i = 0; i < n_vocab; i++) {
        const double b = (double)base[i] - top_base;
        const double q = (double)logits[i] - top_model;
        const double e = exp(b);
        sum_base += e;
        sum_model += exp(q);
        weighted += e * (b - q);
    }
    const double ln_base = log(sum_base);
    const double ln_model = log(sum_model);
    const double kld = weighted / sum_base - ln_base + ln_model;
    const qn_divergence_row row = {
        .nll = ln_model - ((double)logits[target] - top_model),
        .nll_base = ln_base - ((double)base[target] - top_base),
        .kld = kld < 0 ? 0 : kld, /* by rounding, of equal distributions */
        .p_diff = exp((double)logits[target] - top_model - ln_model) - exp((double)base[target] - top_base - ln_base),
        .is_top_same = i_base == i_model,
    };
    return row;
}

/* ---- many rows, in several threads ---- */

typedef struct row_work {
    const float *base; /* NULL: losses of logits only */
    const float *logits;
    const int32_t *targets;
    uint64_t n_rows;
    uint64_t n_vocab;
    qn_divergence_row *rows; /* [n_rows] */
    atomic_uint_fast64_t next;
} row_work;

static void compare_rows(void *shared, unsigned worker) {
    row_work *w = shared;
    (void)worker;
    for (uint64_t i = 0; (i = qn_next_portion(&w->next, 1, w->n_rows)) < w->n_rows;) {
        const float *logits = w->logits + i * w->n_vocab;
        if (w->base == NULL) {
            w->rows[i] = (qn_divergence_row){.nll = qn_nll_of(logits, w->n_vocab, w->targets[i])};
        } else {
            w->rows[i] = qn_divergence_of(w->base + i * w->n_vocab, logits, w->n_vocab, w->targets[i]);
        }
    }
}

static qn_status run_rows(qn_pool *pool, row_work *work, qn_error *err) {
    work->rows = qn_new_array(work->n_rows, sizeof *work->rows);
    if (work->rows == NULL) {
        return qn_fail_nomem(err, "statistics of logits", (size_t)work->n_rows * sizeof *work->rows);
    }
    if (pool == NULL) {
        compare_rows(work, 0);
    } else {
        qn_pool_run(pool, compare_rows, work);
    }
    for (uint64_t i = 0; i < work->n_rows; i++) {
        const qn_divergence_row *row = &work->rows[i];
        const bool is_base = !isfinite(row->nll_base);
        if (is_base || !isfinite(row->nll) || !isfinite(row->kld)) {
            free(work->rows);
            work->rows = NULL;
            return qn_fail(err, QN_E_RANGE,
                           "the logits %sare not finite at position %" PRIu64 " of %" PRIu64
                           ": its weights are damaged, or overflow in its computation",
                           work->base == NULL ? ""
                               : is_base      ? "of the base "
                                              : "of the model measured ",
                           i, work->n_rows);
        }
    }
    return QN_OK;
}

static void add_loss(qn_nll_sum *to, double nll) {
    to->n++;
    to->sum += nll;
    to->sum_squares += nll * nll;
}

qn_status qn_nll_add(qn_nll_sum *to, qn_pool *pool, const float *logits, const int32_t *targets, uint64_t n_rows,
                     uint64_t n_vocab, qn_error *err) {
    row_work work = {.logits = logits, .targets = targets, .n_rows = n_rows, .n_vocab = n_vocab};
    QN_TRY(run_rows(pool, &work, err));
    for (uint64_t i = 0; i < n_rows; i++) {
        add_loss(to, work.rows[i].nll);
    }
    free(work.rows);
    return QN_OK;
}

/* ---- means and errors ---- */

static qn_estimate mean_of(double sum, double sum_squares, uint64_t n) {
    if (n == 0) {
        return (qn_estimate){0};
    }
    const double mean = sum / (double)n;
    const double variance = sum_squares / (double)n - mean * mean;
    return (qn_estimate){mean, n > 1 && variance > 0 ? sqrt(variance / (double)(n - 1)) : 0};
}

qn_estimate qn_nll_mean(const qn_nll_sum *sum) {
    return mean_of(sum->sum, sum->sum_squares, sum->n);
}

static qn_estimate exp_of(qn_estimate e) {
    const double value = exp(e.value);
    return (qn_estimate){value, value * e.error};
}

qn_estimate qn_perplexity_of(const qn_nll_sum *sum) {
    return exp_of(qn_nll_mean(sum));
}

/* The error of a difference of two figures that vary together. */
static double difference_error(double a, double b, double covariance) {
    const double variance = a * a + b * b - 2 * covariance;
    return variance > 0 ? sqrt(variance) : 0;
}

/* ---- kept positions ---- */

struct qn_divergence {
    qn_nll_sum losses[2]; /* of the model, of the base */
    double sum_products;  /* of both losses */
    double sum_kld, sum_kld2;
    double sum_p, sum_p2, sum_p4;
    uint64_t n_same_top;
    double *klds; /* [n] */
    double *p_diffs;
    uint64_t n;
    uint64_t cap;
};

qn_divergence *qn_divergence_new(void) {
    return qn_new_array(1, sizeof(qn_divergence));
}

void qn_divergence_free(qn_divergence *d) {
    if (d != NULL) {
        free(d->klds);
        free(d->p_diffs);
        free(d);
    }
}

static qn_status reserve(qn_divergence *d, uint64_t n_more, qn_error *err) {
    if (n_more <= d->cap - d->n) {
        return QN_OK;
    }
    const uint64_t cap = d->n + n_more > 2 * d->cap ? d->n + n_more : 2 * d->cap;
    double *klds = qn_resize_array(d->klds, cap, sizeof *klds);
    d->klds = klds == NULL ? d->klds : klds;
    double *p_diffs = klds == NULL ? NULL : qn_resize_array(d->p_diffs, cap, sizeof *p_diffs);
    if (p_diffs == NULL) {
        return qn_fail_nomem(err, "divergences", (size_t)cap * sizeof *p_diffs);
    }
    d->p_diffs = p_diffs;
    d->cap = cap;
    return QN_OK;
}

static void keep(qn_divergence *d, const qn_divergence_row *row) {
    const double p2 = row->p_diff * row->p_diff;
    add_loss(&d->losses[0], row->nll);
    add_loss(&d->losses[1], row->nll_base);
    d->sum_products += row->nll * row->nll_base;
    d->sum_kld += row->kld;
    d->sum_kld2 += row->kld * row->kld;
    d->sum_p += row->p_diff;
    d->sum_p2 += p2;
    d->sum_p4 += p2 * p2;
    d->n_same_top += row->is_top_same;
    d->klds[d->n] = row->kld;
    d->p_diffs[d->n++] = row->p_diff;
}

qn_status qn_divergence_add(qn_divergence *d, qn_pool *pool, const float *base, const float *logits,
                            const int32_t *targets, uint64_t n_rows, uint64_t n_vocab, qn_error *err) {
    row_work work = {.base = base, .logits = logits, .targets = targets, .n_rows = n_rows, .n_vocab = n_vocab};
    QN_TRY(reserve(d, n_rows, err));
    QN_TRY(run_rows(pool, &work, err));
    for (uint64_t i = 0; i < n_rows; i++) {
        keep(d, &work.rows[i]);
    }
    free(work.rows);
    return QN_OK;
}

qn_estimate qn_divergence_mean(const qn_divergence *d) {
    return mean_of(d->sum_kld, d->sum_kld2, d->n);
}

const qn_nll_sum *qn_divergence_losses(const qn_divergence *d, bool of_base) {
    return &d->losses[of_base];
}

/* ---- results ---- */

static int compare_doubles(const void *a, const void *b) {
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double percentile(const double *sorted, uint64_t n, double share) {
    const double at = share * (double)(n - 1);
    const uint64_t below = (uint64_t)at;
    const double part = at - (double)below;
    return below + 1 < n ? (1 - part) * sorted[below] + part * sorted[below + 1] : sorted[n - 1];
}

/* @param scratch [n] */
static qn_percentiles percentiles_of(const double *values, uint64_t n, double *scratch) {
    memcpy(scratch, values, (size_t)n * sizeof *values);
    qsort(scratch, n, sizeof *scratch, compare_doubles);
    return (qn_percentiles){
        .min = scratch[0],
        .p1 = percentile(scratch, n, 0.01),
        .p5 = percentile(scratch, n, 0.05),
        .p10 = percentile(scratch, n, 0.1),
        .median = percentile(scratch, n, 0.5),
        .p90 = percentile(scratch, n, 0.9),
        .p95 = percentile(scratch, n, 0.95),
        .p99 = percentile(scratch, n, 0.99),
        .p999 = percentile(scratch, n, 0.999),
        .max = scratch[n - 1],
    };
}

static void fill_perplexities(const qn_divergence *d, qn_divergence_stats *out) {
    const qn_estimate ln = qn_nll_mean(&d->losses[0]);
    const qn_estimate ln_base = qn_nll_mean(&d->losses[1]);
    const double n = (double)d->n;
    const double covariance = d->n > 1 ? (d->sum_products / n - ln.value * ln_base.value) / (n - 1) : 0;
    out->ppl = exp_of(ln);
    out->ppl_base = exp_of(ln_base);
    out->correlation = ln.error > 0 && ln_base.error > 0 ? covariance / (ln.error * ln_base.error) : 0;
    out->ln_ppl_ratio = (qn_estimate){ln.value - ln_base.value, difference_error(ln.error, ln_base.error, covariance)};
    out->ppl_ratio = exp_of(out->ln_ppl_ratio);
    out->ppl_difference = (qn_estimate){
        out->ppl.value - out->ppl_base.value,
        difference_error(out->ppl.error, out->ppl_base.error, out->ppl.value * out->ppl_base.value * covariance)};
}

static void fill_shares(const qn_divergence *d, qn_divergence_stats *out) {
    const double n = (double)d->n;
    const qn_estimate square = mean_of(d->sum_p2, d->sum_p4, d->n);
    const double rms = sqrt(square.value);
    const double same = (double)d->n_same_top / n;
    out->p_diff = mean_of(d->sum_p, d->sum_p2, d->n);
    out->p_diff_rms = (qn_estimate){rms, rms > 0 ? 0.5 / rms * square.error : 0};
    out->same_top = (qn_estimate){same, d->n > 1 ? sqrt(same * (1 - same) / (n - 1)) : 0};
}

qn_status qn_divergence_result(const qn_divergence *d, qn_divergence_stats *out, qn_error *err) {
    *out = (qn_divergence_stats){.n_tokens = d->n};
    if (d->n == 0) {
        return QN_OK;
    }
    double *scratch = qn_new_array(d->n, sizeof *scratch);
    if (scratch == NULL) {
        return qn_fail_nomem(err, "percentiles", (size_t)d->n * sizeof *scratch);
    }
    out->kld = qn_divergence_mean(d);
    out->klds = percentiles_of(d->klds, d->n, scratch);
    out->p_diffs = percentiles_of(d->p_diffs, d->n, scratch);
    free(scratch);
    fill_perplexities(d, out);
    fill_shares(d, out);
    return QN_OK;
}
