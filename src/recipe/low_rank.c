/* SPDX-License-Identifier: MIT */
/*
 * low_rank.c: LoRA and DoRA on rows: the right factor whole in memory, the left one row by row beside the weights.
 */
#include "recipe/low_rank_kernel.h"
#include "recipe/recipe_node.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t n_tiles(const qn_recipe *right) {
    return right->n_cols / QN_TILE_COLS + (right->n_cols % QN_TILE_COLS != 0 ? 1 : 0);
}

/** Rows worked on at once: weights, left factor and their copies all stay within a chunk. */
static uint64_t rows_at_once(const qn_recipe *r) {
    const uint64_t rank = r->as.update.left->n_cols;
    return qn_chunk_rows(rank > r->n_cols ? rank : r->n_cols);
}

/** dst += scale * B·A for rows [first, first + n_rows). */
static qn_status add_product(const qn_eval *e, const qn_recipe *r, const qn_prepared *p, uint64_t first,
                             uint64_t n_rows, float scale, float *dst) {
    const qn_recipe *left_factor = r->as.update.left;
    float *left = qn_scratch_take(e->scratch, n_rows * left_factor->n_cols, sizeof *left, e->err);
    if (left == NULL) {
        return QN_E_NOMEM;
    }
    QN_TRY(qn_node_rows(e, left_factor, first, n_rows, left));
    qn_low_rank_add(e->ready->level,
                    &(qn_low_rank_args){.dst = dst,
                                        .left = left,
                                        .tiles = p->right,
                                        .n_rows = n_rows,
                                        .n_cols = r->n_cols,
                                        .rank = left_factor->n_cols,
                                        .scale = scale});
    qn_scratch_give(e->scratch, left);
    return QN_OK;
}

/** m / norm; 0 for a norm of 0, whose weights are all 0 and stay so. */
static float magnitude_factor(float magnitude, double sum_of_squares) {
    const float norm = (float)sqrt(sum_of_squares);
    return norm == 0.0F ? 0.0F : magnitude / norm;
}

/** V to m·V/norm, in place. */
static void apply_magnitude(const qn_recipe *r, const qn_prepared *p, uint64_t first, uint64_t n_rows, float *v) {
    const uint64_t n_cols = r->n_cols;
    for (uint64_t i = 0; i < n_rows; i++) {
        float *row = v + i * n_cols;
        if (r->as.update.by_column) {
            for (uint64_t j = 0; j < n_cols; j++) {
                row[j] *= p->factors[j];
            }
            continue;
        }
        double sum = 0.0;
        for (uint64_t j = 0; j < n_cols; j++) {
            sum += (double)row[j] * (double)row[j];
        }
        const float factor = magnitude_factor(p->factors[first + i], sum);
        for (uint64_t j = 0; j < n_cols; j++) {
            row[j] *= factor;
        }
    }
}

/** DoRA of rows whose weights are in dst. */
static qn_status decompose(const qn_eval *e, const qn_recipe *r, const qn_prepared *p, uint64_t first, uint64_t n_rows,
                           float *dst) {
    const qn_low_rank *update = &r->as.update;
    const bool is_partial = update->strength != 1.0F;
    const uint64_t n = n_rows * r->n_cols;
    float *base = NULL;
    if (is_partial) {
        base = qn_scratch_take(e->scratch, n, sizeof *base, e->err);
        if (base == NULL) {
            return QN_E_NOMEM;
        }
        memcpy(base, dst, n * sizeof *base);
    }
    QN_TRY(add_product(e, r, p, first, n_rows, update->scale, dst));
    apply_magnitude(r, p, first, n_rows, dst);
    for (uint64_t i = 0; is_partial && i < n; i++) {
        dst[i] = base[i] + update->strength * (dst[i] - base[i]);
    }
    qn_scratch_give(e->scratch, base);
    return QN_OK;
}

qn_status qn_low_rank_rows(const qn_eval *e, const qn_recipe *r, uint64_t first, uint64_t n_rows, float *dst) {
    const qn_low_rank *update = &r->as.update;
    const qn_prepared *p = qn_ready_find(e->ready, r);
    const uint64_t step = rows_at_once(r);
    if (p == NULL) {
        return qn_fail(e->err, QN_E_INTERNAL, "a low-rank update was evaluated before it was prepared");
    }
    for (uint64_t done = 0; done < n_rows; done += step) {
        const uint64_t n = n_rows - done < step ? n_rows - done : step;
        float *rows = dst + done * r->n_cols;
        QN_TRY(qn_node_rows(e, r->child, first + done, n, rows));
        if (update->magnitude != NULL) {
            QN_TRY(decompose(e, r, p, first + done, n, rows));
        } else {
            QN_TRY(add_product(e, r, p, first + done, n, update->strength * update->scale, rows));
        }
    }
    return QN_OK;
}

/** Reads A, some rows at a time, into its tiles. */
static qn_status load_right(const qn_eval *e, const qn_recipe *right, float *tiles) {
    const uint64_t rank = right->n_rows;
    const uint64_t n_cols = right->n_cols;
    const uint64_t step = qn_chunk_rows(n_cols) < rank ? qn_chunk_rows(n_cols) : rank;
    float *rows = qn_scratch_take(e->scratch, step * n_cols, sizeof *rows, e->err);
    if (rows == NULL) {
        return QN_E_NOMEM;
    }
    for (uint64_t first = 0; first < rank; first += step) {
        const uint64_t n = rank - first < step ? rank - first : step;
        QN_TRY(qn_node_rows(e, right, first, n, rows));
        for (uint64_t i = 0; i < n * n_cols; i++) {
            const uint64_t k = first + i / n_cols;
            const uint64_t j = i % n_cols;
            tiles[(j / QN_TILE_COLS * rank + k) * QN_TILE_COLS + j % QN_TILE_COLS] = rows[i];
        }
    }
    qn_scratch_give(e->scratch, rows);
    return QN_OK;
}

/** Turns the magnitudes in p->factors into m / norm of each column of V, summing down the rows in order. */
static qn_status divide_by_column_norms(const qn_eval *e, const qn_recipe *r, const qn_prepared *p, double *sums) {
    const uint64_t n_cols = r->n_cols;
    const uint64_t step = rows_at_once(r);
    float *v = qn_scratch_take(e->scratch, step * n_cols, sizeof *v, e->err);
    if (v == NULL) {
        return QN_E_NOMEM;
    }
    for (uint64_t first = 0; first < r->n_rows; first += step) {
        const uint64_t n = r->n_rows - first < step ? r->n_rows - first : step;
        QN_TRY(qn_node_rows(e, r->child, first, n, v));
        QN_TRY(add_product(e, r, p, first, n, r->as.update.scale, v));
        for (uint64_t i = 0; i < n; i++) {
            for (uint64_t j = 0; j < n_cols; j++) {
                sums[j] += (double)v[i * n_cols + j] * (double)v[i * n_cols + j];
            }
        }
    }
    for (uint64_t j = 0; j < n_cols; j++) {
        p->factors[j] = magnitude_factor(p->factors[j], sums[j]);
    }
    qn_scratch_give(e->scratch, v);
    return QN_OK;
}

static qn_status load_magnitude(const qn_eval *e, const qn_recipe *r, qn_prepared *out) {
    const qn_recipe *magnitude = r->as.update.magnitude;
    const uint64_t n = r->as.update.by_column ? r->n_cols : r->n_rows;
    out->factors = qn_new_array(n, sizeof *out->factors);
    if (out->factors == NULL) {
        return qn_fail_nomem(e->err, "a DoRA magnitude", n * sizeof *out->factors);
    }
    QN_TRY(qn_node_span(e, magnitude, 0, n, out->factors));
    if (!r->as.update.by_column) {
        return QN_OK;
    }
    double *sums = qn_new_array(n, sizeof *sums);
    if (sums == NULL) {
        return qn_fail_nomem(e->err, "column norms", n * sizeof *sums);
    }
    const qn_status status = divide_by_column_norms(e, r, out, sums);
    free(sums);
    return status;
}

qn_status qn_low_rank_prepare(const qn_eval *e, const qn_recipe *r, qn_prepared *out) {
    const qn_recipe *right = r->as.update.right;
    const uint64_t n = n_tiles(right) * QN_TILE_COLS * right->n_rows;
    out->right = qn_new_array(n, sizeof *out->right);
    if (out->right == NULL) {
        return qn_fail_nomem(e->err, "a low-rank factor", n * sizeof *out->right);
    }
    QN_TRY(load_right(e, right, out->right));
    return r->as.update.magnitude == NULL ? QN_OK : load_magnitude(e, r, out);
}
