/* SPDX-License-Identifier: MIT */
/* metadata.c: an array of pairs in an arena; lists are short (tens of keys), so look-ups walk it. */
#include "container/metadata.h"

#include <string.h>

qn_text qn_text_of(const char *string) {
    return (qn_text){string, strlen(string)};
}

bool qn_text_is(qn_text text, const char *string) {
    return text.len == strlen(string) && (text.len == 0 || memcmp(text.bytes, string, text.len) == 0);
}

qn_meta qn_meta_new(qn_arena *arena) {
    return (qn_meta){.arena = arena};
}

qn_status qn_meta_status(const qn_meta *m, qn_error *err) {
    return m->has_failed ? qn_fail_nomem(err, "metadata", 0) : QN_OK;
}

static qn_meta_entry *find_entry(const qn_meta *m, const char *key) {
    for (uint64_t i = 0; i < m->n; i++) {
        if (strcmp(m->entries[i].key, key) == 0) {
            return &m->entries[i];
        }
    }
    return NULL;
}

const qn_meta_value *qn_meta_find(const qn_meta *m, const char *key) {
    const qn_meta_entry *entry = find_entry(m, key);
    return entry == NULL ? NULL : &entry->value;
}

const char *qn_meta_string(const qn_meta *m, const char *key) {
    const qn_meta_value *v = qn_meta_find(m, key);
    if (v == NULL || v->type != QN_META_STRING) {
        return NULL;
    }
    const qn_text text = v->as.text;
    return text.len > 0 && memchr(text.bytes, 0, text.len) != NULL ? NULL
                                                                   : qn_arena_copy(m->arena, text.bytes, text.len);
}

bool qn_meta_u64(const qn_meta *m, const char *key, uint64_t *out) {
    const qn_meta_value *v = qn_meta_find(m, key);
    if (v == NULL) {
        return false;
    }
    switch (v->type) {
    case QN_META_U8:
    case QN_META_U16:
    case QN_META_U32:
    case QN_META_U64: *out = v->as.u; return true;
    case QN_META_I8:
    case QN_META_I16:
    case QN_META_I32:
    case QN_META_I64: return v->as.i >= 0 ? (*out = (uint64_t)v->as.i, true) : false;
    default: return false;
    }
}

bool qn_meta_f64(const qn_meta *m, const char *key, double *out) {
    const qn_meta_value *v = qn_meta_find(m, key);
    if (v == NULL || (v->type != QN_META_F32 && v->type != QN_META_F64)) {
        return false;
    }
    *out = v->as.f;
    return true;
}

/* Makes room for one more pair; the old array stays in the arena until that is freed. */
static bool grow(qn_meta *m) {
    if (m->n < m->cap) {
        return true;
    }
    const uint64_t cap = m->cap == 0 ? 32 : m->cap * 2;
    qn_meta_entry *entries = qn_arena_array(m->arena, cap, sizeof *entries);
    if (entries == NULL) {
        return false;
    }
    if (m->n > 0) {
        memcpy(entries, m->entries, (size_t)m->n * sizeof *entries);
    }
    m->entries = entries;
    m->cap = cap;
    return true;
}

void qn_meta_set(qn_meta *m, const char *key, qn_meta_value value) {
    qn_meta_entry *old = find_entry(m, key);
    if (old != NULL) {
        old->value = value;
        return;
    }
    const char *copy = m->has_failed ? NULL : qn_arena_string(m->arena, key);
    if (copy == NULL || !grow(m)) {
        m->has_failed = true;
        return;
    }
    m->entries[m->n++] = (qn_meta_entry){copy, value};
}

void qn_meta_set_u32(qn_meta *m, const char *key, uint32_t v) {
    qn_meta_set(m, key, (qn_meta_value){.type = QN_META_U32, .as.u = v});
}

void qn_meta_set_u16(qn_meta *m, const char *key, uint16_t v) {
    qn_meta_set(m, key, (qn_meta_value){.type = QN_META_U16, .as.u = v});
}

void qn_meta_set_i32(qn_meta *m, const char *key, int32_t v) {
    qn_meta_set(m, key, (qn_meta_value){.type = QN_META_I32, .as.i = v});
}

void qn_meta_set_f32(qn_meta *m, const char *key, float v) {
    qn_meta_set(m, key, (qn_meta_value){.type = QN_META_F32, .as.f = v});
}

void qn_meta_set_bool(qn_meta *m, const char *key, bool v) {
    qn_meta_set(m, key, (qn_meta_value){.type = QN_META_BOOL, .as.b = v});
}

void qn_meta_set_string(qn_meta *m, const char *key, const char *string) {
    const char *copy = qn_arena_string(m->arena, string);
    if (copy == NULL) {
        m->has_failed = true;
        return;
    }
    qn_meta_set(m, key, (qn_meta_value){.type = QN_META_STRING, .as.text = qn_text_of(copy)});
}

void qn_meta_set_array(qn_meta *m, const char *key, qn_meta_type type, const void *items, uint64_t n) {
    qn_meta_set(m, key, (qn_meta_value){.type = QN_META_ARRAY, .as.array = {type, n, items}});
}

void qn_meta_remove(qn_meta *m, const char *key) {
    qn_meta_entry *entry = find_entry(m, key);
    if (entry != NULL) {
        const qn_meta_entry *end = m->entries + m->n;
        memmove(entry, entry + 1, (size_t)(end - entry - 1) * sizeof *entry);
        m->n--;
    }
}

size_t qn_meta_type_size(qn_meta_type type) {
    switch (type) {
    case QN_META_U8:
    case QN_META_I8:
    case QN_META_BOOL: return 1;
    case QN_META_U16:
    case QN_META_I16: return 2;
    case QN_META_U32:
    case QN_META_I32:
    case QN_META_F32: return 4;
    case QN_META_U64:
    case QN_META_I64:
    case QN_META_F64: return 8;
    default: return 0;
    }
}

const char *qn_meta_type_name(qn_meta_type type) {
    static const char *const names[] = {"u8",   "i8",  "u16", "i16", "u32", "i32", "f32",
                                        "bool", "str", "arr", "u64", "i64", "f64"};
    return (uint32_t)type < sizeof names / sizeof names[0] ? names[type] : "?";
}
