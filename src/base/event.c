/* SPDX-License-Identifier: MIT */
/* event.c: events as lines of JSON, the form that --json prints, a log keeps and a page reads. */
#include "quern/event.h"

#include "base/json.h"

#include <string.h>

const char *qn_event_kind_name(qn_event_kind kind) {
    switch (kind) {
    case QN_EVENT_STAGE: return "stage";
    case QN_EVENT_PROGRESS: return "progress";
    case QN_EVENT_WARNING: return "warning";
    case QN_EVENT_NOTE: return "note";
    case QN_EVENT_OUTPUT: return "output";
    case QN_EVENT_DONE: return "done";
    case QN_EVENT_FAILED: return "failed";
    }
    return "unknown";
}

/* An event on its way into JSON; a member that finds no memory is remembered, so that no event lacks one. */
typedef struct event_maker {
    json_t *object;
    bool has_failed;
} event_maker;

static void put(event_maker *m, const char *key, json_t *value) {
    m->has_failed = json_object_set_new(m->object, key, value) != 0 || m->has_failed;
}

static void put_text(event_maker *m, const char *key, const char *text) {
    if (text != NULL) {
        put(m, key, qn_json_text(text, strlen(text)));
    }
}

static void put_number(event_maker *m, const char *key, double v, bool is_told) {
    if (is_told) {
        put(m, key, json_real(v));
    }
}

static void put_count(event_maker *m, const char *key, uint64_t v, bool is_told) {
    if (is_told) {
        put(m, key, json_integer((json_int_t)v));
    }
}

/* What the verdict does not tell is left out. */
static void put_verdict(event_maker *m, const qn_verdict *v) {
    event_maker o = {json_object(), false};
    put_count(&o, "n_compared", v->n_compared, v->is_compared);
    put_number(&o, "kld", v->kld, v->is_compared);
    put_number(&o, "kld_error", v->kld_error, v->is_compared);
    put_number(&o, "same_top", v->same_top, v->is_compared);
    put_count(&o, "answer_tokens", v->n_answer, v->has_answered);
    if (v->has_answered) {
        put(&o, "answer_ended", json_boolean(v->has_ended));
    }
    put_text(&o, "note", v->note[0] == '\0' ? NULL : v->note);
    m->has_failed = o.has_failed || m->has_failed;
    put(m, "check", o.object);
}

char *qn_event_json(const qn_event *e) {
    const bool has_tokens = e->tokens_total > 0;
    const bool has_bytes = !has_tokens &&
        (e->kind == QN_EVENT_PROGRESS || e->kind == QN_EVENT_OUTPUT || e->kind == QN_EVENT_DONE);
    event_maker m = {json_object(), false};
    put_text(&m, "event", qn_event_kind_name(e->kind));
    put_number(&m, "time", e->time_s, true);
    put_text(&m, "stage", e->stage);
    put_text(&m, "tensor", e->tensor);
    put_count(&m, "tensor_index", e->tensor_index, e->tensor_index > 0);
    put_count(&m, "n_tensors", e->n_tensors, e->n_tensors > 0);
    put_text(&m, "message", e->message);
    put_text(&m, "path", e->path);
    put_text(&m, "type", e->output_type);
    put_count(&m, "bytes_done", e->bytes_done, has_bytes);
    put_count(&m, "bytes_total", e->bytes_total, e->bytes_total > 0);
    put_count(&m, "tokens_done", e->tokens_done, has_tokens && e->kind != QN_EVENT_STAGE);
    put_count(&m, "tokens_total", e->tokens_total, has_tokens);
    put_number(&m, "rate", e->rate, e->rate > 0);
    put_number(&m, "eta", e->eta_s, e->kind == QN_EVENT_PROGRESS && e->eta_s >= 0);
    put_number(&m, "bits_per_weight", e->bits_per_weight, e->bits_per_weight > 0);
    put_number(&m, "seconds", e->seconds, e->seconds > 0);
    if (e->verdict != NULL) {
        put_verdict(&m, e->verdict);
    }
    char *text = m.has_failed ? NULL : qn_json_dump(m.object, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(m.object);
    return text;
}
