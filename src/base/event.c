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

static void put_text(json_t *o, const char *key, const char *text) {
    if (text != NULL) {
        (void)json_object_set_new(o, key, qn_json_text(text, strlen(text)));
    }
}

static void put_number(json_t *o, const char *key, double v, bool is_told) {
    if (is_told) {
        (void)json_object_set_new(o, key, json_real(v));
    }
}

static void put_count(json_t *o, const char *key, uint64_t v, bool is_told) {
    if (is_told) {
        (void)json_object_set_new(o, key, json_integer((json_int_t)v));
    }
}

char *qn_event_json(const qn_event *e) {
    const bool has_bytes = e->kind == QN_EVENT_PROGRESS || e->kind == QN_EVENT_OUTPUT || e->kind == QN_EVENT_DONE;
    json_t *o = json_object();
    if (o == NULL) {
        return NULL;
    }
    put_text(o, "event", qn_event_kind_name(e->kind));
    put_number(o, "time", e->time_s, true);
    put_text(o, "stage", e->stage);
    put_text(o, "tensor", e->tensor);
    put_count(o, "tensor_index", e->tensor_index, e->tensor_index > 0);
    put_count(o, "n_tensors", e->n_tensors, e->n_tensors > 0);
    put_text(o, "message", e->message);
    put_text(o, "path", e->path);
    put_text(o, "type", e->output_type);
    put_count(o, "bytes_done", e->bytes_done, has_bytes);
    put_count(o, "bytes_total", e->bytes_total, e->bytes_total > 0);
    put_number(o, "rate", e->rate, e->rate > 0);
    put_number(o, "eta", e->eta_s, e->kind == QN_EVENT_PROGRESS && e->eta_s >= 0);
    put_number(o, "bits_per_weight", e->bits_per_weight, e->bits_per_weight > 0);
    put_number(o, "seconds", e->seconds, e->seconds > 0);
    char *text = json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(o);
    return text;
}
