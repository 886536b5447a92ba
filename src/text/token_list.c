/* SPDX-License-Identifier: MIT */
/* token_list.c: tokens collected by id, gaps and doubles made good, and the index from text to id. */
#include "base/hash.h"
#include "base/worker.h"
#include "text/vocab_parts.h"

#include <stdlib.h>
#include <string.h>

/* What llama.cpp's converter gives ids that no token has. */
static const float PAD_SCORE = -10000.0F;

qn_token_list qn_token_list_new(qn_arena *arena) {
    return (qn_token_list){.arena = arena};
}

void qn_token_list_clear(qn_token_list *list) {
    free(list->texts);
    free(list->scores);
    free(list->types);
    *list = (qn_token_list){.arena = list->arena};
}

static qn_status grow(qn_token_list *list, uint64_t cap, qn_error *err) {
    qn_text *texts = qn_resize_array(list->texts, cap, sizeof *texts);
    if (texts != NULL) {
        list->texts = texts;
    }
    float *scores = qn_resize_array(list->scores, cap, sizeof *scores);
    if (scores != NULL) {
        list->scores = scores;
    }
    int32_t *types = qn_resize_array(list->types, cap, sizeof *types);
    if (types != NULL) {
        list->types = types;
    }
    if (texts == NULL || scores == NULL || types == NULL) {
        return qn_fail_nomem(err, "vocabulary", (size_t)cap * sizeof *texts);
    }
    for (uint64_t i = list->cap; i < cap; i++) {
        texts[i] = (qn_text){NULL, 0};
        scores[i] = PAD_SCORE;
        types[i] = QN_TOKEN_UNUSED;
    }
    list->cap = cap;
    return QN_OK;
}

static qn_status make_room(qn_token_list *list, uint64_t n, qn_error *err) {
    if (n <= list->cap) {
        return QN_OK;
    }
    uint64_t cap = list->cap < 1024 ? 1024 : list->cap * 2;
    if (cap < n) {
        cap = n;
    }
    return grow(list, cap, err);
}

qn_status qn_token_list_put(qn_token_list *list, uint64_t id, qn_text text, qn_token_type type, float score,
                            qn_error *err) {
    if (id >= QN_MAX_TOKENS) {
        return qn_fail(err, QN_E_RANGE, "token '%.*s' has id %llu; ids below %d are expected",
                       (int)(text.len > 64 ? 64 : text.len), text.bytes, (unsigned long long)id, (int)QN_MAX_TOKENS);
    }
    QN_TRY(make_room(list, id + 1, err));
    char *copy = qn_arena_copy(list->arena, text.bytes, text.len);
    if (copy == NULL) {
        return qn_fail_nomem(err, "token", text.len);
    }
    list->texts[id] = (qn_text){copy, text.len};
    list->types[id] = (int32_t)type;
    list->scores[id] = score;
    if (id >= list->n) {
        list->n = id + 1;
    }
    return QN_OK;
}

bool qn_token_list_has(const qn_token_list *list, uint64_t id) {
    return id < list->n && list->texts[id].bytes != NULL;
}

static qn_status put_pad(qn_token_list *list, uint64_t id, unsigned attempt, qn_error *err) {
    char *text = attempt == 0 ? qn_arena_printf(list->arena, "[PAD%llu]", (unsigned long long)id)
                              : qn_arena_printf(list->arena, "[PAD%llu_%u]", (unsigned long long)id, attempt);
    if (text == NULL) {
        return qn_fail_nomem(err, "token", 16);
    }
    list->texts[id] = (qn_text){text, strlen(text)};
    list->types[id] = QN_TOKEN_UNUSED;
    list->scores[id] = PAD_SCORE;
    return QN_OK;
}

/* A power of two with at least half of the slots free. */
static uint64_t slot_count(uint64_t n) {
    uint64_t n_slots = 16;
    while (n_slots < n * 2) {
        n_slots *= 2;
    }
    return n_slots;
}

/* The slot that holds an equal text, or the free one where it belongs. */
static uint64_t find_slot(const qn_text_index *index, qn_text text) {
    uint64_t slot = qn_hash64(text.bytes, text.len, 0) & (index->n_slots - 1);
    while (index->slots[slot] != 0) {
        const qn_text other = index->texts[index->slots[slot] - 1];
        if (other.len == text.len && memcmp(other.bytes, text.bytes, text.len) == 0) {
            break;
        }
        slot = (slot + 1) & (index->n_slots - 1);
    }
    return slot;
}

int64_t qn_text_index_add(qn_text_index *index, uint64_t id) {
    const uint64_t slot = find_slot(index, index->texts[id]);
    if (index->slots[slot] != 0) {
        return (int64_t)index->slots[slot] - 1;
    }
    index->slots[slot] = (uint32_t)(id + 1);
    return QN_NO_TOKEN;
}

static qn_status index_new(qn_text_index *index, const qn_text *texts, uint64_t n, qn_error *err) {
    *index = (qn_text_index){.texts = texts, .n_slots = slot_count(n)};
    index->slots = qn_new_array(index->n_slots, sizeof *index->slots);
    if (index->slots == NULL) {
        return qn_fail_nomem(err, "index of tokens", (size_t)index->n_slots * sizeof *index->slots);
    }
    return QN_OK;
}

qn_status qn_text_index_open_for(qn_text_index *index, const qn_text *texts, uint64_t n, uint64_t cap, qn_error *err) {
    QN_TRY(index_new(index, texts, cap, err));
    for (uint64_t i = 0; i < n; i++) {
        if (texts[i].bytes != NULL) {
            (void)qn_text_index_add(index, i);
        }
    }
    return QN_OK;
}

qn_status qn_text_index_open(qn_text_index *index, const qn_text *texts, uint64_t n, qn_error *err) {
    return qn_text_index_open_for(index, texts, n, n, err);
}

int64_t qn_text_index_find(const qn_text_index *index, qn_text text) {
    if (index->n_slots == 0) {
        return QN_NO_TOKEN;
    }
    return (int64_t)index->slots[find_slot(index, text)] - 1;
}

void qn_text_index_clear(qn_text_index *index) {
    free(index->slots);
    *index = (qn_text_index){0};
}

/* Real tokens go into the index first, so that a filler never takes a name from one of them. */
static qn_status make_unique(qn_token_list *list, qn_text_index *index, const char *where, qn_job *job, qn_error *err) {
    for (uint64_t id = 0; id < list->n; id++) {
        const qn_text text = list->texts[id];
        if (text.bytes == NULL || text.len == 0) {
            continue; /* readers name an empty token after its id */
        }
        const int64_t first = qn_text_index_add(index, id);
        if (first != QN_NO_TOKEN) {
            qn_job_warn(job,
                        "%s: tokens %lld and %llu are both '%.*s'; texts must be unique, so that %llu is stored "
                        "as an unused token",
                        where, (long long)first, (unsigned long long)id, (int)(text.len > 64 ? 64 : text.len),
                        text.bytes, (unsigned long long)id);
            list->texts[id] = (qn_text){NULL, 0};
        }
    }
    for (uint64_t id = 0; id < list->n; id++) {
        for (unsigned attempt = 0; list->texts[id].bytes == NULL; attempt++) {
            QN_TRY(put_pad(list, id, attempt, err));
            if (qn_text_index_add(index, id) != QN_NO_TOKEN) {
                list->texts[id] = (qn_text){NULL, 0};
            }
        }
    }
    return QN_OK;
}

qn_status qn_token_list_finish(qn_token_list *list, uint64_t n_tokens, const char *where, qn_job *job, qn_error *err) {
    if (n_tokens < list->n || n_tokens > QN_MAX_TOKENS) {
        return qn_fail(err, QN_E_RANGE, "%s: a vocabulary of %llu tokens cannot be brought to %llu", where,
                       (unsigned long long)list->n, (unsigned long long)n_tokens);
    }
    QN_TRY(make_room(list, n_tokens, err));
    list->n = n_tokens;
    qn_text_index index;
    QN_TRY(index_new(&index, list->texts, n_tokens, err));
    const qn_status status = make_unique(list, &index, where, job, err);
    qn_text_index_clear(&index);
    return status;
}
