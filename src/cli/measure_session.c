/* SPDX-License-Identifier: MIT */
/* measure_session.c: a job with a bar for the commands that run a model over a text, and figures with errors. */
#include "cli/measure_session.h"

#include "cli/document.h"
#include "cli/interrupt.h"
#include "cli/table.h"

#include <math.h>
#include <string.h>

enum { MAX_THREADS = 1024 };

static void on_event(void *user, const qn_event *event) {
    qn_measure_session *se = user;
    if (!qn_job_is_cancelled(se->job) || event->kind != QN_EVENT_PROGRESS) {
        qn_progress_event(&se->progress, event);
    }
}

qn_status qn_measure_begin(qn_measure_session *se, const qn_measure_settings *settings, const char *advice,
                           qn_error *err) {
    *se = (qn_measure_session){.out = qn_terminal_of(stdout)};
    qn_progress_init(&se->progress, stderr, settings->is_quiet);
    if (settings->n_threads > MAX_THREADS) {
        return qn_fail(err, QN_E_USAGE, "--threads %llu: at most %d", (unsigned long long)settings->n_threads,
                       MAX_THREADS);
    }
    se->job = qn_job_new((unsigned)settings->n_threads, on_event, se);
    if (se->job == NULL) {
        return qn_fail_nomem(err, "job", 0);
    }
    qn_interrupt_watch(se->job, advice);
    return QN_OK;
}

void qn_measure_end(qn_measure_session *se) {
    if (se->job != NULL) {
        qn_interrupt_forget();
        qn_progress_clear(&se->progress);
        qn_job_free(se->job);
    }
}

qn_measure_model qn_measure_model_of(const qn_measure_settings *settings, const char *path) {
    return (qn_measure_model){.path = path, .type = settings->type};
}

qn_measure_text qn_measure_text_of(const qn_measure_settings *settings) {
    return (qn_measure_text){.text_path = settings->text,
                             .n_ctx = settings->n_ctx,
                             .n_batch = settings->n_batch,
                             .n_chunks = settings->n_chunks,
                             .parse_special = settings->parse_special};
}

qn_figure qn_figure_of(const qn_terminal *to, qn_estimate e, double scale, int n_decimals) {
    qn_figure f;
    (void)snprintf(f.text, sizeof f.text, "%.*f %s %.*f", n_decimals, scale * e.value, to->is_utf8 ? "\xc2\xb1" : "+/-",
                   n_decimals, scale * e.error);
    return f;
}

void qn_print_measured_text(const qn_terminal *to, const qn_measure_settings *settings, const qn_measured_text *text,
                            uint64_t n_before) {
    const double n_read = (double)((text->n_chunks - n_before) * text->n_ctx);
    qn_print_fact(to, "text", "%s: %s tokens, %s chunk%s of %s read", settings->text,
                  qn_human_number(text->n_tokens).text, qn_human_number(text->n_chunks).text,
                  text->n_chunks == 1 ? "" : "s", qn_human_number(text->n_ctx).text);
    qn_print_fact(to, "time", "%s, %.0f tokens/s", qn_human_seconds(text->seconds).text,
                  text->seconds > 0 ? n_read / text->seconds : 0);
}

json_t *qn_number_json(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *qn_estimate_json(qn_estimate e) {
    return json_pack("{s:o, s:o}", "value", qn_number_json(e.value), "error", qn_number_json(e.error));
}

json_t *qn_measured_text_json(const qn_measure_settings *settings, const qn_measured_text *text) {
    return json_pack("{s:o, s:I, s:I, s:I, s:f}", "path", qn_json_text(settings->text, strlen(settings->text)),
                     "n_tokens", (json_int_t)text->n_tokens, "n_ctx", (json_int_t)text->n_ctx, "n_chunks",
                     (json_int_t)text->n_chunks, "seconds", text->seconds);
}

qn_status qn_measure_print_json(json_t *document, qn_error *err) {
    char *text = document == NULL ? NULL : qn_json_dump(document, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(document);
    if (text == NULL) {
        return qn_fail_nomem(err, "figures", 0);
    }
    qn_document_print(text);
    return QN_OK;
}
