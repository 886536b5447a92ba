/* SPDX-License-Identifier: MIT */
/* matmul.c: chooses the variant and walks rows and vectors. Activations are float32 for every type so far. */
#include "dtype/matmul.h"

#include "dtype/codec.h"
#include "dtype/kernels.h"

#include <string.h>

enum {
    RUN = 256,    /* elements decoded at a time: whole blocks of every type */
    LANES = 16,   /* partial sums of a product; lane = column % LANES */
    N_SHARING = 8 /* vectors that share a decoded run */
};

bool qn_matmul_has(qn_dtype type) {
    const qn_dtype_info *info = qn_dtype_get((uint32_t)type);
    return info != NULL && info->has_decoder && type < QN_U8;
}

uint64_t qn_activation_bytes(qn_dtype type, uint64_t n_cols) {
    (void)type;
    return (n_cols * sizeof(float) + 63U) / 64U * 64U;
}

void qn_activations_pack(qn_cpu_level level, qn_dtype type, const float *src, uint64_t n_vectors, uint64_t src_stride,
                         uint64_t n_cols, void *dst) {
    const uint64_t size = qn_activation_bytes(type, n_cols);
    unsigned char *to = dst;
    (void)level;
    for (uint64_t v = 0; v < n_vectors; v++) {
        memcpy(to + v * size, src + v * src_stride, (size_t)n_cols * sizeof *src);
    }
}

static void add_products(const float *w, const float *x, uint64_t n, float sums[LANES]) {
    uint64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (unsigned t = 0; t < LANES; t++) {
            sums[t] += w[i + t] * x[i + t];
        }
    }
    for (unsigned t = 0; i + t < n; t++) {
        sums[t] += w[i + t] * x[i + t];
    }
}

static float total_of(const float sums[LANES]) {
    float half[LANES / 2];
    for (unsigned t = 0; t < LANES / 2; t++) {
        half[t] = sums[t] + sums[t + LANES / 2];
    }
    return ((half[0] + half[4]) + (half[2] + half[6])) + ((half[1] + half[5]) + (half[3] + half[7]));
}

static void multiply_row(qn_cpu_level level, qn_dtype type, const unsigned char *row, uint64_t n_cols,
                         const unsigned char *x, uint64_t n_vectors, uint64_t vector_bytes, float *dst,
                         uint64_t dst_stride) {
    const qn_dtype_info *info = qn_dtype_get((uint32_t)type);
    float sums[N_SHARING][LANES] = {{0.0F}};
    float w[RUN];
    for (uint64_t c = 0; c < n_cols; c += RUN) {
        const uint64_t n = n_cols - c < RUN ? n_cols - c : RUN;
        qn_error err;
        if (qn_decode_rows(level, type, row + c / info->block_len * info->block_bytes, 1, n, w, &err) != QN_OK) {
            return; /* not for a type of qn_matmul_has() and whole blocks */
        }
        for (uint64_t v = 0; v < n_vectors; v++) {
            add_products(w, (const float *)(const void *)(x + v * vector_bytes) + c, n, sums[v]);
        }
    }
    for (uint64_t v = 0; v < n_vectors; v++) {
        dst[v * dst_stride] = total_of(sums[v]);
    }
}

void qn_matmul(qn_cpu_level level, qn_dtype type, const void *weights, uint64_t n_rows, uint64_t n_cols,
               const void *activations, uint64_t n_vectors, float *dst, uint64_t dst_stride) {
    const qn_dtype_info *info = qn_dtype_get((uint32_t)type);
    const uint64_t row_bytes = n_cols / info->block_len * info->block_bytes;
    const uint64_t vector_bytes = qn_activation_bytes(type, n_cols);
    const unsigned char *x = activations;
    for (uint64_t v = 0; v < n_vectors; v += N_SHARING) {
        const uint64_t n = n_vectors - v < N_SHARING ? n_vectors - v : N_SHARING;
        for (uint64_t r = 0; r < n_rows; r++) {
            multiply_row(level, type, (const unsigned char *)weights + r * row_bytes, n_cols, x + v * vector_bytes, n,
                         vector_bytes, dst + v * dst_stride + r, dst_stride);
        }
    }
}
