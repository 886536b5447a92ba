/* SPDX-License-Identifier: MIT */
/* low_rank_kernel.c: the portable variant of the merge's inner loop, and the choice of one. */
#include "recipe/low_rank_kernel.h"

/* Bytes of right factor a panel holds: with some rows of dst it stays in a core's second-level cache. */
enum { PANEL_BYTES = 128 * 1024 };

#if defined(__x86_64__)
static qn_low_rank_panel_fn *choose_panel(qn_cpu_level level) {
    return level >= QN_CPU_AVX2 ? qn_low_rank_panel_avx2 : qn_low_rank_panel;
}
#else
static qn_low_rank_panel_fn *choose_panel(qn_cpu_level level) {
    (void)level;
    return qn_low_rank_panel;
}
#endif

static void add_tile(float *restrict dst, const float *restrict left, const float *restrict tile, uint64_t rank,
                     uint64_t width, float scale) {
    float sum[QN_TILE_COLS] = {0};
    for (uint64_t k = 0; k < rank; k++) {
        const float factor = left[k];
        for (int j = 0; j < QN_TILE_COLS; j++) {
            sum[j] += factor * tile[k * QN_TILE_COLS + (uint64_t)j];
        }
    }
    for (uint64_t j = 0; j < width; j++) {
        dst[j] += scale * sum[j];
    }
}

void qn_low_rank_panel(const qn_low_rank_args *args, uint64_t first_tile, uint64_t end_tile) {
    const uint64_t rank = args->rank;
    for (uint64_t i = 0; i < args->n_rows; i++) {
        for (uint64_t t = first_tile; t < end_tile; t++) {
            const uint64_t first = t * QN_TILE_COLS;
            const uint64_t left_over = args->n_cols - first;
            const uint64_t width = left_over < QN_TILE_COLS ? left_over : QN_TILE_COLS;
            add_tile(args->dst + i * args->n_cols + first, args->left + i * rank, args->tiles + t * rank * QN_TILE_COLS,
                     rank, width, args->scale);
        }
    }
}

void qn_low_rank_add(qn_cpu_level level, const qn_low_rank_args *args) {
    qn_low_rank_panel_fn *const panel = choose_panel(level);
    const uint64_t n_full = args->n_cols / QN_TILE_COLS;
    const uint64_t tile_bytes = (args->rank == 0 ? 1 : args->rank) * QN_TILE_COLS * sizeof(float);
    const uint64_t step = tile_bytes > PANEL_BYTES ? 1 : PANEL_BYTES / tile_bytes;
    for (uint64_t t = 0; t < n_full; t += step) {
        panel(args, t, n_full - t < step ? n_full : t + step);
    }
    if (args->n_cols % QN_TILE_COLS != 0) {
        qn_low_rank_panel(args, n_full, n_full + 1);
    }
}
