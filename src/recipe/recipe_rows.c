/* SPDX-License-Identifier: MIT */
/*
 * recipe_rows.c: evaluates a recipe's rows, node by node, and prepares what must be known before.
 * Every element is computed by the same operations in the same order whatever range it is asked in.
 */
#include "recipe/recipe_node.h"

#include <stdlib.h>
#include <string.h>

/* Above this a source row is not read whole for a few of its columns. */
enum { SHORT_ROW_BYTES = 4096, MAX_BLOCK_LEN = 256 };

static uint64_t min_u64(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

/** Reads and decodes n elements, whole blocks, from block number `block` on. */
static qn_status decode_blocks(const qn_eval *e, const qn_recipe *r, uint64_t block, uint64_t n, float *dst) {
    const qn_dtype_info *info = qn_dtype_get((uint32_t)r->as.bytes.type);
    const uint64_t n_bytes = n / info->block_len * info->block_bytes;
    void *raw = qn_scratch_take(e->scratch, n_bytes, 1, e->err);
    if (raw == NULL) {
        return QN_E_NOMEM;
    }
    const qn_file *file = r->as.bytes.file;
    QN_TRY(qn_file_read_at(file, r->as.bytes.file_off + block * info->block_bytes, raw, (size_t)n_bytes, e->err));
    const qn_status status = qn_decode_rows(e->ready->level, r->as.bytes.type, raw, 1, n, dst, e->err);
    qn_scratch_give(e->scratch, raw);
    return status == QN_OK ? QN_OK : qn_fail_at(e->err, status, "%s", qn_file_path(file));
}

static qn_status bytes_span(const qn_eval *e, const qn_recipe *r, uint64_t first, uint64_t n, float *dst) {
    const uint64_t len = qn_dtype_get((uint32_t)r->as.bytes.type)->block_len;
    const uint64_t chunk = QN_CHUNK_ELEMENTS / len * len;
    while (n > 0) {
        const uint64_t skipped = first % len;
        uint64_t count = min_u64(n / len * len, chunk);
        if (skipped != 0 || count == 0) {
            float block[MAX_BLOCK_LEN];
            count = min_u64(n, len - skipped);
            QN_TRY(decode_blocks(e, r, first / len, len, block));
            memcpy(dst, block + skipped, count * sizeof *dst);
        } else {
            QN_TRY(decode_blocks(e, r, first / len, count, dst));
        }
        first += count;
        dst += count;
        n -= count;
    }
    return QN_OK;
}

static void offset_all(float *values, uint64_t n, float addend) {
    for (uint64_t i = 0; i < n; i++) {
        values[i] += addend;
    }
}

static void scale_all(float *values, uint64_t n, float factor) {
    for (uint64_t i = 0; i < n; i++) {
        values[i] *= factor;
    }
}

bool qn_node_has_cheap_span(const qn_recipe *r) {
    while (r->kind == QN_NODE_SLICE || r->kind == QN_NODE_RESHAPE || r->kind == QN_NODE_OFFSET ||
           r->kind == QN_NODE_SCALE) {
        r = r->child;
    }
    return r->kind == QN_NODE_BYTES || r->kind == QN_NODE_VALUES;
}

/** A span out of whole rows: those it begins and ends within are made aside and cut. */
static qn_status span_of_rows(const qn_eval *e, const qn_recipe *r, uint64_t first, uint64_t n, float *dst) {
    const uint64_t n_cols = r->n_cols;
    while (n > 0) {
        const uint64_t row = first / n_cols;
        const uint64_t skipped = first % n_cols;
        uint64_t count = n / n_cols * n_cols;
        if (skipped == 0 && count > 0) {
            QN_TRY(qn_node_rows(e, r, row, count / n_cols, dst));
        } else {
            count = min_u64(n, n_cols - skipped);
            float *whole = qn_scratch_take(e->scratch, n_cols, sizeof *whole, e->err);
            if (whole == NULL) {
                return QN_E_NOMEM;
            }
            QN_TRY(qn_node_rows(e, r, row, 1, whole));
            memcpy(dst, whole + skipped, count * sizeof *dst);
            qn_scratch_give(e->scratch, whole);
        }
        first += count;
        dst += count;
        n -= count;
    }
    return QN_OK;
}

qn_status qn_node_span(const qn_eval *e, const qn_recipe *r, uint64_t first, uint64_t n, float *dst) {
    switch (r->kind) {
    case QN_NODE_BYTES: return bytes_span(e, r, first, n, dst);
    case QN_NODE_VALUES:
        if (n > 0) {
            memcpy(dst, r->as.values + first, n * sizeof *dst);
        }
        return QN_OK;
    case QN_NODE_SLICE: return qn_node_span(e, r->child, first + r->as.first_row * r->n_cols, n, dst);
    case QN_NODE_RESHAPE: return qn_node_span(e, r->child, first, n, dst);
    case QN_NODE_OFFSET:
        QN_TRY(qn_node_span(e, r->child, first, n, dst));
        offset_all(dst, n, r->as.number);
        return QN_OK;
    case QN_NODE_SCALE:
        QN_TRY(qn_node_span(e, r->child, first, n, dst));
        scale_all(dst, n, r->as.number);
        return QN_OK;
    default: return span_of_rows(e, r, first, n, dst);
    }
}

static qn_status concat_rows(const qn_eval *e, const qn_recipe *r, uint64_t first, uint64_t n_rows, float *dst) {
    const uint64_t *starts = r->as.concat.starts;
    uint64_t low = 0;
    uint64_t high = r->as.concat.n;
    while (high - low > 1) { /* the last child that starts at or before first; empty ones hold nothing */
        const uint64_t middle = low + (high - low) / 2;
        *(starts[middle] <= first ? &low : &high) = middle;
    }
    for (uint64_t i = low; n_rows > 0; i++) {
        const qn_recipe *child = r->as.concat.children[i];
        const uint64_t skipped = first - starts[i];
        const uint64_t n = min_u64(n_rows, child->n_rows - skipped);
        QN_TRY(qn_node_rows(e, child, skipped, n, dst));
        first += n;
        n_rows -= n;
        dst += n * r->n_cols;
    }
    return QN_OK;
}

/** Where rows of a transposed child's tile lie. */
typedef struct tile {
    const float *values;
    uint64_t stride; /* floats from one source row to the next */
    uint64_t n;      /* source rows in it */
} tile;

/** Source rows become columns [at, at + n) of dst, which has n_cols of them. */
static void scatter_tile(const tile *t, uint64_t width, uint64_t n_cols, uint64_t at, float *dst) {
    for (uint64_t j = 0; j < width; j++) {
        float *to = dst + j * n_cols + at;
        for (uint64_t i = 0; i < t->n; i++) {
            to[i] = t->values[i * t->stride + j];
        }
    }
}

/**
 * Columns [first, first + width) of the child. Long rows of plain bytes are read in pieces; short rows, and those
 * that have to be computed, are read whole in blocks and cut.
 */
static qn_status transpose_rows(const qn_eval *e, const qn_recipe *r, uint64_t first, uint64_t width, float *dst) {
    const qn_recipe *child = r->child;
    const bool is_cut = !qn_node_has_cheap_span(child) || width >= child->n_cols / 4 ||
        child->n_cols * qn_node_element_bytes(child) <= SHORT_ROW_BYTES;
    const uint64_t stride = is_cut ? child->n_cols : width;
    const uint64_t step = min_u64(qn_chunk_rows(stride), child->n_rows);
    float *values = width == 0 ? NULL : qn_scratch_take(e->scratch, step * stride, sizeof *values, e->err);
    if (width > 0 && values == NULL) {
        return QN_E_NOMEM;
    }
    for (uint64_t row = 0; width > 0 && row < child->n_rows; row += step) {
        const uint64_t n = min_u64(step, child->n_rows - row);
        if (is_cut) {
            QN_TRY(qn_node_rows(e, child, row, n, values));
        }
        for (uint64_t i = 0; !is_cut && i < n; i++) {
            QN_TRY(qn_node_span(e, child, (row + i) * child->n_cols + first, width, values + i * stride));
        }
        scatter_tile(&(tile){values + (is_cut ? first : 0), stride, n}, width, r->n_cols, row, dst);
    }
    qn_scratch_give(e->scratch, values);
    return QN_OK;
}

/** Rows [t, t + n) of one head: the even ones lie together in the child, and so do the odd ones. */
static qn_status rope_head_rows(const qn_eval *e, const qn_recipe *r, uint64_t head, uint64_t t, uint64_t n,
                                float *dst) {
    const uint64_t half = r->n_rows / r->as.n_head / 2;
    const uint64_t n_cols = r->n_cols;
    float *rows = qn_scratch_take(e->scratch, (n + 1) / 2 * n_cols, sizeof *rows, e->err);
    if (rows == NULL) {
        return QN_E_NOMEM;
    }
    for (uint64_t parity = 0; parity < 2; parity++) {
        const uint64_t skipped = (t ^ parity) & 1;
        if (skipped >= n) {
            continue;
        }
        const uint64_t count = (n - skipped + 1) / 2;
        const uint64_t source = 2 * head * half + parity * half + (t + skipped) / 2;
        QN_TRY(qn_node_rows(e, r->child, source, count, rows));
        for (uint64_t i = 0; i < count; i++) {
            memcpy(dst + (skipped + 2 * i) * n_cols, rows + i * n_cols, n_cols * sizeof *dst);
        }
    }
    qn_scratch_give(e->scratch, rows);
    return QN_OK;
}

static qn_status rope_rows(const qn_eval *e, const qn_recipe *r, uint64_t first, uint64_t n_rows, float *dst) {
    const uint64_t head_rows = r->n_rows / r->as.n_head;
    const uint64_t step = 2 * qn_chunk_rows(r->n_cols);
    while (n_rows > 0) {
        const uint64_t t = first % head_rows;
        const uint64_t n = min_u64(min_u64(n_rows, head_rows - t), step);
        QN_TRY(rope_head_rows(e, r, first / head_rows, t, n, dst));
        first += n;
        n_rows -= n;
        dst += n * r->n_cols;
    }
    return QN_OK;
}

/** Rows [t, t + n) of one head, all of one half: every second row of the child from there on. */
static qn_status half_rows(const qn_eval *e, const qn_recipe *r, uint64_t head, uint64_t t, uint64_t n, float *dst) {
    const uint64_t half = r->n_rows / r->as.n_head / 2;
    const uint64_t n_cols = r->n_cols;
    const uint64_t is_second = t >= half ? 1 : 0;
    float *rows = qn_scratch_take(e->scratch, 2 * n * n_cols, sizeof *rows, e->err);
    if (rows == NULL) {
        return QN_E_NOMEM;
    }
    QN_TRY(qn_node_rows(e, r->child, 2 * head * half + 2 * (t - is_second * half), 2 * n, rows));
    for (uint64_t i = 0; i < n; i++) {
        memcpy(dst + i * n_cols, rows + (2 * i + is_second) * n_cols, n_cols * sizeof *dst);
    }
    qn_scratch_give(e->scratch, rows);
    return QN_OK;
}

static qn_status halves_rows(const qn_eval *e, const qn_recipe *r, uint64_t first, uint64_t n_rows, float *dst) {
    const uint64_t half = r->n_rows / r->as.n_head / 2;
    const uint64_t step = qn_chunk_rows(r->n_cols) < 2 ? 1 : qn_chunk_rows(r->n_cols) / 2;
    while (n_rows > 0) {
        const uint64_t t = first % (2 * half);
        const uint64_t n = min_u64(min_u64(n_rows, half - t % half), step);
        QN_TRY(half_rows(e, r, first / (2 * half), t, n, dst));
        first += n;
        n_rows -= n;
        dst += n * r->n_cols;
    }
    return QN_OK;
}

static qn_status add_rows(const qn_eval *e, const qn_recipe *r, uint64_t first, uint64_t n_rows, float *dst) {
    const uint64_t step = min_u64(qn_chunk_rows(r->n_cols), n_rows);
    const float factor = r->as.add.factor;
    QN_TRY(qn_node_rows(e, r->child, first, n_rows, dst));
    float *other = qn_scratch_take(e->scratch, step * r->n_cols, sizeof *other, e->err);
    if (other == NULL) {
        return QN_E_NOMEM;
    }
    for (uint64_t done = 0; done < n_rows; done += step) {
        const uint64_t n = min_u64(step, n_rows - done);
        float *to = dst + done * r->n_cols;
        QN_TRY(qn_node_rows(e, r->as.add.other, first + done, n, other));
        for (uint64_t i = 0; i < n * r->n_cols; i++) {
            to[i] += factor * other[i];
        }
    }
    qn_scratch_give(e->scratch, other);
    return QN_OK;
}

qn_status qn_node_rows(const qn_eval *e, const qn_recipe *r, uint64_t first, uint64_t n_rows, float *dst) {
    const uint64_t n = n_rows * r->n_cols;
    switch (r->kind) {
    case QN_NODE_BYTES:
    case QN_NODE_VALUES:
    case QN_NODE_RESHAPE: return qn_node_span(e, r, first * r->n_cols, n, dst);
    case QN_NODE_SLICE: return qn_node_rows(e, r->child, r->as.first_row + first, n_rows, dst);
    case QN_NODE_CONCAT: return concat_rows(e, r, first, n_rows, dst);
    case QN_NODE_TRANSPOSE: return transpose_rows(e, r, first, n_rows, dst);
    case QN_NODE_ROPE_PAIRS: return rope_rows(e, r, first, n_rows, dst);
    case QN_NODE_ROPE_HALVES: return halves_rows(e, r, first, n_rows, dst);
    case QN_NODE_OFFSET:
        QN_TRY(qn_node_rows(e, r->child, first, n_rows, dst));
        offset_all(dst, n, r->as.number);
        return QN_OK;
    case QN_NODE_SCALE:
        QN_TRY(qn_node_rows(e, r->child, first, n_rows, dst));
        scale_all(dst, n, r->as.number);
        return QN_OK;
    case QN_NODE_ADD: return add_rows(e, r, first, n_rows, dst);
    case QN_NODE_LOW_RANK: return qn_low_rank_rows(e, r, first, n_rows, dst);
    }
    return qn_fail(e->err, QN_E_INTERNAL, "a recipe node of unknown kind");
}

qn_status qn_ready_rows(const qn_ready *ready, uint64_t first, uint64_t n_rows, float *dst, qn_scratch *scratch,
                        qn_error *err) {
    const qn_eval e = {ready, scratch, err};
    qn_scratch_reset(scratch); /* a failed evaluation may have left something taken */
    return qn_node_rows(&e, ready->root, first, n_rows, dst);
}
