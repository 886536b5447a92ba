/* SPDX-License-Identifier: MIT */
/* sequence.c: the keys and values of one sequence. */
#include "base/residence.h"
#include "engine/engine_parts.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

qn_status qn_sequence_new(qn_engine *engine, qn_sequence **out, qn_error *err) {
    const qn_graph *g = &engine->graph;
    const uint64_t bytes = qn_engine_kv_bytes(engine);
    qn_sequence *s = qn_new_array(1, sizeof *s);
    if (s == NULL) {
        return qn_fail_nomem(err, "sequence", sizeof *s);
    }
    s->engine = engine;
    s->kv = (qn_kv){.type = engine->kv_type,
                    .n_slots = engine->n_slots,
                    .n_head = g->n_head_kv,
                    .head_dim = g->head_dim,
                    .row_bytes = engine->kv_row_bytes,
                    .keys = engine->backend->alloc(engine->backend, bytes / 2),
                    .values = engine->backend->alloc(engine->backend, bytes / 2)};
    engine->kv_bytes_in_use += bytes;
    if (s->kv.keys == NULL || s->kv.values == NULL) {
        qn_sequence_free(s);
        return qn_fail(err, QN_E_NOMEM,
                       "no memory for the keys and values of %" PRIu64 " tokens (%" PRIu64
                       " bytes); a shorter context needs less",
                       engine->n_ctx, bytes);
    }
    *out = s;
    return QN_OK;
}

void qn_sequence_free(qn_sequence *sequence) {
    if (sequence != NULL) {
        qn_backend *backend = sequence->engine->backend;
        backend->release(backend, sequence->kv.keys);
        backend->release(backend, sequence->kv.values);
        sequence->engine->kv_bytes_in_use -= qn_engine_kv_bytes(sequence->engine);
        free(sequence);
    }
}

uint64_t qn_sequence_resident(const qn_sequence *sequence) {
    const uint64_t half = qn_engine_kv_bytes(sequence->engine) / 2;
    return qn_resident_within(sequence->kv.keys, half) + qn_resident_within(sequence->kv.values, half);
}

uint64_t qn_sequence_length(const qn_sequence *sequence) {
    return sequence->n_past;
}

void qn_sequence_truncate(qn_sequence *sequence, uint64_t n) {
    if (n < sequence->n_past) {
        sequence->n_past = n;
    }
}

void qn_sequence_copy(qn_sequence *to, const qn_sequence *from, uint64_t n) {
    const uint64_t n_kept = n < from->n_past ? n : from->n_past;
    const uint64_t head_bytes = from->kv.n_slots * from->kv.row_bytes;
    for (uint64_t i = 0; to != from && i < from->engine->graph.n_layer * from->kv.n_head; i++) {
        memcpy(to->kv.keys + i * head_bytes, from->kv.keys + i * head_bytes, (size_t)(n_kept * from->kv.row_bytes));
        memcpy(to->kv.values + i * head_bytes, from->kv.values + i * head_bytes, (size_t)(n_kept * from->kv.row_bytes));
    }
    to->n_past = n_kept;
}
