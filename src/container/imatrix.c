/* SPDX-License-Identifier: MIT */
/* imatrix.c: reads importance matrices, GGUF or legacy, into one table sorted by name. */
/*
 * GGUF: for each weight tensor W a pair of F32 tensors: W.in_sum2 {row length, matrices}, the sums of squared inputs,
 * and W.counts {1, counts}, the tokens summed; tensors of other suffixes are passed over. Legacy, little-endian:
 *     SIZE            MEANING
 *     4               number of entries
 *     then, of each:
 *     4, n            length of the name, the name
 *     4               calls
 *     4, 4 * n        number of values, mean square times calls
 *     then, perhaps:
 *     4               chunks
 *     4, n            length of the data set's name, the name
 * A cut file, NaN, negative sums, half a pair and names that occur twice are refused. Source: facts/gguf.md 7.2, 7.3.
 */
#include "container/imatrix.h"

#include "base/cursor.h"
#include "container/gguf.h"
#include "container/source.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Longest name of a legacy entry; GGUF's are limited by its reader. */
enum { MAX_NAME = 1024, MAX_DATASET_NAME = 65536 };

static const char SUMS[] = ".in_sum2";
static const char COUNTS[] = ".counts";

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const qn_imatrix_entry *)a)->name, ((const qn_imatrix_entry *)b)->name);
}

/* Puts the entries into their order and refuses a name that occurs twice. */
static qn_status seal(qn_imatrix *m, qn_imatrix_entry *entries, qn_error *err) {
    if (m->n_entries == 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: has no entries: it says nothing of any tensor; make it anew", m->path);
    }
    qsort(entries, m->n_entries, sizeof *entries, compare_entries);
    for (uint64_t i = 1; i < m->n_entries; i++) {
        if (strcmp(entries[i - 1].name, entries[i].name) == 0) {
            return qn_fail(err, QN_E_FORMAT, "%s: has two entries named '%s': the file is damaged", m->path,
                           qn_shown_name(entries[i].name, strlen(entries[i].name)).text);
        }
    }
    m->entries = entries;
    return QN_OK;
}

/* Checks the sums of one run of columns, and divides them by their count; never seen, means are 1 and sums 0. */
static qn_status divide(const qn_imatrix *m, const char *name, float *values, uint64_t n, float count, qn_error *err) {
    if (!isfinite(count) || count < 0.0F) {
        return qn_fail(err, QN_E_FORMAT, "%s: tensor '%s%s' holds %g, which is no count: the file is damaged", m->path,
                       name, COUNTS, (double)count);
    }
    for (uint64_t i = 0; i < n; i++) {
        const float mean = count > 0.0F ? values[i] / count : 1.0F;
        const float sum = count > 0.0F ? values[i] : 0.0F;
        if (!isfinite(values[i]) || values[i] < 0.0F || !isfinite(mean)) {
            return qn_fail(err, QN_E_FORMAT,
                           "%s: entry '%s': value %" PRIu64 " is %g of %g tokens; finite sums of squares are expected: "
                           "the file is damaged, or the model that made it was",
                           m->path, name, i, (double)values[i], (double)count);
        }
        values[i] = m->has_sums ? sum : mean;
    }
    return QN_OK;
}

static qn_status read_floats(const qn_imatrix *m, const qn_archive_tensor *t, float **out, uint64_t *n, qn_error *err) {
    if (t->type != QN_F32) {
        const qn_dtype_info *info = qn_dtype_get((uint32_t)t->type);
        return qn_fail(err, QN_E_FORMAT, "%s: tensor '%s' is of type %s; importance matrices hold F32: make it anew",
                       m->path, t->name, info->name);
    }
    *n = t->size_bytes / sizeof **out;
    *out = qn_arena_array(m->arena, *n, sizeof **out);
    if (*out == NULL) {
        return qn_fail_nomem(err, "an importance matrix", t->size_bytes);
    }
    if (*n == 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: tensor '%s' is empty: the file is damaged", m->path, t->name);
    }
    return qn_file_read_at(t->file, t->file_off, *out, t->size_bytes, err);
}

/* The entry of one pair of tensors. */
static qn_status read_pair(const qn_imatrix *m, const qn_archive *archive, const qn_archive_tensor *sums,
                           qn_imatrix_entry *out, qn_error *err) {
    const size_t n_name = strlen(sums->name) - strlen(SUMS);
    const char *name = qn_arena_copy(m->arena, sums->name, n_name);
    const char *counts_name = qn_arena_printf(m->arena, "%.*s%s", (int)n_name, sums->name, COUNTS);
    if (name == NULL || counts_name == NULL) {
        return qn_fail_nomem(err, "an importance matrix", 2 * n_name);
    }
    const qn_archive_tensor *counts = qn_archive_find(archive, counts_name);
    if (counts == NULL) {
        return qn_fail(err, QN_E_FORMAT, "%s: tensor '%s' has no '%s' beside it: the file is damaged; make it anew",
                       m->path, sums->name, counts_name);
    }
    float *values = NULL;
    float *n_seen = NULL;
    *out = (qn_imatrix_entry){.name = name};
    QN_TRY(read_floats(m, sums, &values, &out->n_values, err));
    QN_TRY(read_floats(m, counts, &n_seen, &out->n_counts, err));
    const uint64_t n_mat = out->n_values / qn_shape_cols(&sums->shape);
    if (out->n_counts != 1 && out->n_counts != n_mat) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: tensor '%s' has %" PRIu64 " counts for the %" PRIu64 " matrices of '%s'; one for each, or "
                       "one for all, is expected: the file is damaged",
                       m->path, counts->name, out->n_counts, n_mat, sums->name);
    }
    const uint64_t n_each = out->n_values / out->n_counts;
    for (uint64_t i = 0; i < out->n_counts; i++) {
        QN_TRY(divide(m, name, values + i * n_each, n_each, n_seen[i], err));
    }
    out->values = values;
    out->counts = n_seen;
    return QN_OK;
}

/* Counts without sums are the other half of a pair. */
static qn_status check_counts(const qn_imatrix *m, const qn_archive *archive, const char *name, qn_error *err) {
    const int n_name = (int)(strlen(name) - strlen(COUNTS));
    const char *sums_name = qn_arena_printf(m->arena, "%.*s%s", n_name, name, SUMS);
    if (sums_name == NULL) {
        return qn_fail_nomem(err, "an importance matrix", strlen(name));
    }
    if (qn_archive_find(archive, sums_name) == NULL) {
        return qn_fail(err, QN_E_FORMAT, "%s: tensor '%s' has no '%s' beside it: the file is damaged; make it anew",
                       m->path, name, sums_name);
    }
    return QN_OK;
}

/* The keys that say what it was made of; llama-quantize too refuses a file without any of them. */
static qn_status read_keys(qn_imatrix *m, const qn_meta *meta, qn_error *err) {
    static const char *const keys[] = {"imatrix.datasets", "imatrix.chunk_count", "imatrix.chunk_size"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        if (qn_meta_find(meta, keys[i]) == NULL) {
            return qn_fail(err, QN_E_FORMAT,
                           "%s: is a GGUF file without the key %s: no importance matrix; "
                           "quern imatrix makes one",
                           m->path, keys[i]);
        }
    }
    const qn_meta_value *sets = qn_meta_find(meta, keys[0]);
    if (sets->type != QN_META_ARRAY || sets->as.array.type != QN_META_STRING ||
        !qn_meta_u64(meta, keys[1], &m->n_chunks) || !qn_meta_u64(meta, keys[2], &m->chunk_size)) {
        return qn_fail(err, QN_E_FORMAT, "%s: its imatrix keys are of wrong types: the file is damaged", m->path);
    }
    if (m->n_chunks > UINT32_MAX || m->chunk_size > UINT32_MAX) {
        return qn_fail(err, QN_E_FORMAT, "%s: has %" PRIu64 " chunks of %" PRIu64 " tokens: the file is damaged",
                       m->path, m->n_chunks, m->chunk_size);
    }
    const qn_text *texts = sets->as.array.items;
    const char **names = qn_arena_array(m->arena, sets->as.array.n, sizeof *names);
    for (uint64_t i = 0; names != NULL && i < sets->as.array.n; i++) {
        names[i] = qn_arena_copy(m->arena, texts[i].bytes, texts[i].len);
        names = names[i] == NULL ? NULL : names;
    }
    if (names == NULL) {
        return qn_fail_nomem(err, "the names of data sets", sets->as.array.n * sizeof *names);
    }
    m->datasets = names;
    m->n_datasets = sets->as.array.n;
    const char *job = qn_meta_string(meta, QN_IMATRIX_JOB_KEY);
    if (job != NULL && qn_meta_u64(meta, QN_IMATRIX_DONE_KEY, &m->state.n_chunks)) {
        m->state.job = qn_arena_string(m->arena, job);
        return m->state.job == NULL ? qn_fail_nomem(err, "an importance matrix", strlen(job)) : QN_OK;
    }
    return QN_OK;
}

static qn_status read_archive(qn_imatrix *m, const qn_archive *archive, qn_error *err) {
    const uint64_t n = qn_archive_n_tensors(archive);
    QN_TRY(read_keys(m, qn_archive_meta(archive), err));
    qn_imatrix_entry *entries = qn_arena_array(m->arena, n, sizeof *entries);
    if (entries == NULL) {
        return qn_fail_nomem(err, "an importance matrix", n * sizeof *entries);
    }
    for (uint64_t i = 0; i < n; i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(archive, i);
        if (qn_ends_with(t->name, SUMS)) {
            QN_TRY(read_pair(m, archive, t, &entries[m->n_entries++], err));
        } else if (qn_ends_with(t->name, COUNTS)) {
            QN_TRY(check_counts(m, archive, t->name, err));
        }
    }
    return seal(m, entries, err);
}

static qn_status read_gguf(qn_imatrix *m, qn_error *err) {
    qn_archive *archive = NULL;
    QN_TRY(qn_gguf_open(m->path, &archive, err));
    const qn_status status = read_archive(m, archive, err);
    qn_archive_close(archive);
    return status;
}

static qn_status fail_cut(const qn_imatrix *m, const qn_cursor *c, const char *what, qn_error *err) {
    return qn_fail(err, QN_E_FORMAT,
                   "%s: byte %s: %s does not fit into the %s bytes left: the file is cut off, or no importance matrix",
                   m->path, qn_shown_number(c->pos).text, what, qn_shown_number(qn_cursor_left(c)).text);
}

/* A string behind its length. */
static qn_status read_legacy_string(const qn_imatrix *m, qn_cursor *c, uint32_t min, uint32_t max, const char *what,
                                    const char **out, qn_error *err) {
    uint32_t n = 0;
    if (!qn_cursor_u32(c, &n)) {
        return fail_cut(m, c, what, err);
    }
    if (n < min || n > max) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: byte %s: %s is %s bytes long; %s to %s are expected: the file is damaged, or no importance "
                       "matrix",
                       m->path, qn_shown_number(c->pos - 4).text, what, qn_shown_number(n).text,
                       qn_shown_number(min).text, qn_shown_number(max).text);
    }
    const unsigned char *bytes = qn_cursor_bytes(c, n);
    if (bytes == NULL) {
        return fail_cut(m, c, what, err);
    }
    if (memchr(bytes, '\0', n) != NULL) {
        return qn_fail(err, QN_E_FORMAT, "%s: byte %s: %s holds a zero byte: the file is damaged", m->path,
                       qn_shown_number(c->pos - n).text, what);
    }
    *out = qn_arena_copy(m->arena, bytes, n);
    return *out == NULL ? qn_fail_nomem(err, "an importance matrix", n) : QN_OK;
}

static qn_status read_legacy_values(const qn_imatrix *m, qn_cursor *c, qn_imatrix_entry *out, qn_error *err) {
    uint32_t n_calls = 0;
    uint32_t n = 0;
    if (!qn_cursor_u32(c, &n_calls) || !qn_cursor_u32(c, &n) || n == 0 || n > qn_cursor_left(c) / sizeof(float)) {
        return fail_cut(m, c, "an entry's list of values", err);
    }
    float *values = qn_arena_array(m->arena, n, sizeof *values);
    float *counts = qn_arena_array(m->arena, 1, sizeof *counts);
    if (values == NULL || counts == NULL) {
        return qn_fail_nomem(err, "an importance matrix", n * sizeof *values);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t bits = 0;
        (void)qn_cursor_u32(c, &bits);
        memcpy(&values[i], &bits, sizeof bits);
    }
    /* Calls that are not positive mean that the values were never multiplied by them. */
    const bool is_seen = n_calls > 0 && n_calls <= INT32_MAX;
    *counts = is_seen ? (float)n_calls : m->has_sums ? 1.0F : 0.0F;
    out->values = values;
    out->n_values = n;
    out->counts = counts;
    out->n_counts = 1;
    return divide(m, out->name, values, n, is_seen ? *counts : 1.0F, err);
}

/* What later releases put behind the entries: nothing, the chunks, or the chunks and a name. */
static qn_status read_legacy_tail(qn_imatrix *m, qn_cursor *c, qn_error *err) {
    uint32_t n_chunks = 0;
    if (qn_cursor_left(c) == 0) {
        return QN_OK;
    }
    if (!qn_cursor_u32(c, &n_chunks)) {
        return fail_cut(m, c, "the number of chunks", err);
    }
    m->n_chunks = n_chunks <= INT32_MAX ? n_chunks : 0;
    if (qn_cursor_left(c) == 0) {
        return QN_OK;
    }
    const char **names = qn_arena_array(m->arena, 1, sizeof *names);
    if (names == NULL) {
        return qn_fail_nomem(err, "the names of data sets", sizeof *names);
    }
    QN_TRY(read_legacy_string(m, c, 0, MAX_DATASET_NAME, "the data set's name", &names[0], err));
    m->datasets = names;
    m->n_datasets = names[0][0] == '\0' ? 0 : 1;
    if (qn_cursor_left(c) > 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: byte %s: %s bytes lie behind its end: the file is damaged", m->path,
                       qn_shown_number(c->pos).text, qn_shown_number(qn_cursor_left(c)).text);
    }
    return QN_OK;
}

static qn_status read_legacy(qn_imatrix *m, qn_cursor *c, qn_error *err) {
    enum { MIN_ENTRY = 4 + 1 + 4 + 4 + 4 };
    uint32_t n = 0;
    if (!qn_cursor_u32(c, &n) || n == 0 || n > qn_cursor_left(c) / MIN_ENTRY) {
        c->pos = 0;
        return fail_cut(m, c, "a list of entries", err);
    }
    qn_imatrix_entry *entries = qn_arena_array(m->arena, n, sizeof *entries);
    if (entries == NULL) {
        return qn_fail_nomem(err, "an importance matrix", n * sizeof *entries);
    }
    for (; m->n_entries < n; m->n_entries++) {
        qn_imatrix_entry *entry = &entries[m->n_entries];
        QN_TRY(read_legacy_string(m, c, 1, MAX_NAME, "an entry's name", &entry->name, err));
        QN_TRY(read_legacy_values(m, c, entry, err));
    }
    QN_TRY(read_legacy_tail(m, c, err));
    return seal(m, entries, err);
}

static qn_status read_any(qn_imatrix *m, qn_archive *mapping, qn_error *err) {
    qn_source source;
    QN_TRY(qn_source_open(mapping, m->path, &source, err));
    m->is_legacy = source.size < 4 || memcmp(source.bytes, "GGUF", 4) != 0;
    qn_cursor cursor = {source.bytes, source.size, 0};
    return m->is_legacy ? read_legacy(m, &cursor, err) : read_gguf(m, err);
}

static qn_status open_matrix(const char *path, bool has_sums, qn_imatrix **out, qn_error *err) {
    qn_arena *arena = qn_arena_new();
    qn_imatrix *m = arena == NULL ? NULL : qn_arena_array(arena, 1, sizeof *m);
    qn_archive *mapping = qn_archive_new("imatrix"); /* holds the mapped file while it is read */
    qn_status status = QN_OK;
    *out = NULL;
    if (m != NULL) {
        m->arena = arena;
        m->has_sums = has_sums;
        m->path = qn_arena_string(arena, path);
    }
    if (m == NULL || m->path == NULL || mapping == NULL) {
        status = qn_fail_nomem(err, "an importance matrix", sizeof *m);
    } else {
        status = read_any(m, mapping, err);
    }
    qn_archive_close(mapping);
    if (status != QN_OK) {
        qn_arena_free(arena);
        return status;
    }
    *out = m;
    return QN_OK;
}

qn_status qn_imatrix_open(const char *path, qn_imatrix **out, qn_error *err) {
    return open_matrix(path, false, out, err);
}

qn_status qn_imatrix_open_sums(const char *path, qn_imatrix **out, qn_error *err) {
    return open_matrix(path, true, out, err);
}

void qn_imatrix_close(qn_imatrix *matrix) {
    if (matrix != NULL) {
        qn_arena_free(matrix->arena);
    }
}

const qn_imatrix_entry *qn_imatrix_find(const qn_imatrix *matrix, const char *name) {
    const qn_imatrix_entry key = {.name = name};
    return matrix->n_entries == 0 ? NULL
                                  : bsearch(&key, matrix->entries, matrix->n_entries, sizeof key, compare_entries);
}
