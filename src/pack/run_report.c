/* SPDX-License-Identifier: MIT */
/* run_report.c: a training run as the JSON document of qn_list_run(). */
#include "base/error.h"
#include "model/training_run.h"
#include "quern/inspect.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Paths and notes may hold bytes that are no UTF-8, which JSON cannot: they become '?'. */
static json_t *text_value(const char *text) {
    if (text == NULL) {
        return json_null();
    }
    json_t *value = json_string(text);
    if (value != NULL) {
        return value;
    }
    const size_t n = strlen(text);
    char *plain = qn_new_array(n + 1, 1);
    for (size_t i = 0; plain != NULL && i < n; i++) {
        plain[i] = text[i];
        if ((unsigned char)text[i] >= 0x80) {
            plain[i] = '?';
        }
    }
    value = plain == NULL ? NULL : json_string(plain);
    free(plain);
    return value;
}

/* JSON has no NaN: what is not known, or was not a number, is null. */
static json_t *number_value(double value) {
    return isfinite(value) ? json_real(value) : json_null();
}

/* Takes value. */
static bool set(json_t *object, const char *key, json_t *value) {
    return json_object_set_new(object, key, value) == 0;
}

static const char *kind_name(qn_run_kind kind) {
    switch (kind) {
    case QN_RUN_KIND_ADAPTER: return "adapter";
    case QN_RUN_KIND_FULL: return "full";
    case QN_RUN_KIND_UNKNOWN: break;
    }
    return "unknown";
}

static json_t *checkpoint_value(const qn_checkpoint *c) {
    json_t *o = json_object();
    const bool is_done = o != NULL && set(o, "name", text_value(c->name)) && set(o, "dir", text_value(c->dir)) &&
        set(o, "step", json_integer((json_int_t)c->step)) && set(o, "epoch", number_value(c->epoch)) &&
        set(o, "loss", number_value(c->loss)) &&
        set(o, "eval", c->eval == NULL ? json_object() : json_deep_copy(c->eval)) &&
        set(o, "is_complete", json_boolean(c->is_complete)) && set(o, "is_best", json_boolean(c->is_best)) &&
        set(o, "is_last", json_boolean(c->is_last)) && set(o, "note", text_value(c->note));
    if (!is_done) {
        json_decref(o);
        return NULL;
    }
    return o;
}

/* The checkpoints, and the best one's step. */
static json_t *checkpoints_value(const qn_training_run *run, json_t **best_step) {
    json_t *list = json_array();
    *best_step = NULL;
    for (uint64_t i = 0; list != NULL && i < run->n_checkpoints; i++) {
        const qn_checkpoint *c = &run->checkpoints[i];
        if (c->is_best && *best_step == NULL) {
            *best_step = json_integer((json_int_t)c->step);
        }
        if (json_array_append_new(list, checkpoint_value(c)) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    *best_step = *best_step == NULL ? json_null() : *best_step;
    return list;
}

static json_t *run_value(const qn_training_run *run) {
    json_t *best_step = NULL;
    json_t *checkpoints = checkpoints_value(run, &best_step);
    json_t *o = json_object();
    bool is_done = o != NULL && set(o, "path", text_value(run->dir)) &&
        set(o, "state", json_string(qn_run_state_name(run->state))) && set(o, "why", text_value(run->why)) &&
        set(o, "kind", json_string(kind_name(run->kind))) && set(o, "base", text_value(run->base)) &&
        set(o, "step", json_integer((json_int_t)run->step)) &&
        set(o, "max_steps", json_integer((json_int_t)run->max_steps)) && set(o, "epoch", number_value(run->epoch));
    /* Both are taken, also when something before them failed. */
    is_done = set(o, "best_step", best_step) && is_done;
    is_done = set(o, "checkpoints", checkpoints) && is_done;
    if (!is_done) {
        json_decref(o);
        return NULL;
    }
    return o;
}

qn_status qn_list_run(const char *dir, char **text, qn_error *err) {
    qn_training_run *run = NULL;
    QN_TRY(qn_run_open(dir, &run, err));
    json_t *value = run_value(run);
    qn_run_close(run);
    /* 15 digits: 0.0404 is written as 0.0404, not as 0.040399999999999998. */
    char *dumped = value == NULL ? NULL : qn_json_dump(value, JSON_INDENT(2) | JSON_REAL_PRECISION(15));
    json_decref(value);
    if (dumped == NULL) {
        return qn_fail_nomem(err, dir, 0);
    }
    *text = dumped;
    return QN_OK;
}
