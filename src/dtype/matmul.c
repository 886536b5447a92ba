/* SPDX-License-Identifier: MIT */
/* matmul.c: which partner a type's activations have, and which variant multiplies. */
#include "dtype/matmul.h"

#include "dtype/dot_kernels.h"
#include "dtype/half.h"

#include <string.h>

extern const qn_dot_kernels qn_dot_kernels_baseline;
#if defined(__x86_64__)
extern const qn_dot_kernels qn_dot_kernels_avx2;
extern const qn_dot_kernels qn_dot_kernels_avx512;
extern const qn_dot_kernels qn_dot_kernels_vnni;
#endif

static const qn_dot_kernels *kernels_of(qn_cpu_level level) {
#if defined(__x86_64__)
    if (level == QN_CPU_VNNI) {
        return &qn_dot_kernels_vnni;
    }
    if (level == QN_CPU_AVX512) {
        return &qn_dot_kernels_avx512;
    }
    if (level == QN_CPU_AVX2) {
        return &qn_dot_kernels_avx2;
    }
#else
    (void)level;
#endif
    return &qn_dot_kernels_baseline;
}

static qn_partner partner_of(qn_dtype type) {
    switch (type) {
    case QN_Q4_0:
    case QN_Q5_0:
    case QN_Q8_0:
    case QN_IQ4_NL:
    case QN_MXFP4:
    case QN_Q1_0:
    case QN_Q2_0: return QN_PARTNER_Q8_0;
    case QN_Q4_1:
    case QN_Q5_1: return QN_PARTNER_Q8_1;
    case QN_NVFP4: return QN_PARTNER_Q8_0_FLOATS;
    case QN_Q2_K:
    case QN_Q3_K:
    case QN_Q4_K:
    case QN_Q5_K:
    case QN_Q6_K:
    case QN_IQ1_S:
    case QN_IQ1_M:
    case QN_IQ2_XXS:
    case QN_IQ2_XS:
    case QN_IQ2_S:
    case QN_IQ3_XXS:
    case QN_IQ3_S:
    case QN_IQ4_XS:
    case QN_TQ1_0:
    case QN_TQ2_0: return QN_PARTNER_Q8_K;
    default: return QN_PARTNER_FLOATS;
    }
}

bool qn_matmul_has(qn_dtype type) {
    const qn_dtype_info *info = qn_dtype_get((uint32_t)type);
    return info != NULL && info->has_decoder && type < QN_U8;
}

uint64_t qn_activation_bytes(qn_dtype type, uint64_t n_cols) {
    return qn_planes_of(partner_of(type), n_cols).size;
}

void qn_activations_pack(qn_cpu_level level, qn_dtype type, const float *src, uint64_t n_vectors, uint64_t src_stride,
                         uint64_t n_cols, void *dst) {
    const qn_dot_kernels *kernels = kernels_of(level);
    const qn_partner partner = partner_of(type);
    const qn_planes planes = qn_planes_of(partner, n_cols);
    for (uint64_t v = 0; v < n_vectors; v++) {
        const float *from = src + v * src_stride;
        unsigned char *to = (unsigned char *)dst + v * planes.size;
        switch (partner) {
        case QN_PARTNER_Q8_0: kernels->pack_q8_0(from, n_cols, &planes, to); break;
        case QN_PARTNER_Q8_1: kernels->pack_q8_1(from, n_cols, &planes, to); break;
        case QN_PARTNER_Q8_K: kernels->pack_q8_k(from, n_cols, &planes, to); break;
        case QN_PARTNER_Q8_0_FLOATS: kernels->pack_q8_0_floats(from, n_cols, &planes, to); break;
        case QN_PARTNER_FLOATS:
            memcpy(to, from, (size_t)n_cols * sizeof *from);
            memset(to + n_cols * sizeof *from, 0, (size_t)(planes.size - n_cols * sizeof *from));
            break;
        }
    }
}

void qn_matmul(qn_cpu_level level, qn_dtype type, const void *weights, uint64_t n_rows, uint64_t n_cols,
               const void *activations, uint64_t n_vectors, float *dst, uint64_t dst_stride) {
    const qn_dot_kernels *kernels = kernels_of(level);
    const qn_dtype_info *info = qn_dtype_get((uint32_t)type);
    const qn_dot_task task = {
        .weights = weights,
        .n_rows = n_rows,
        .n_cols = n_cols,
        .row_bytes = n_cols / info->block_len * info->block_bytes,
        .vectors = activations,
        .planes = qn_planes_of(partner_of(type), n_cols),
        .n_vectors = n_vectors,
        .dst = dst,
        .dst_stride = dst_stride,
        .decode = qn_block_decoder(type),
        .block_len = info->block_len,
        .block_bytes = info->block_bytes,
    };
    if (n_rows > 0 && n_vectors > 0) {
        (kernels->dot[type] != NULL ? kernels->dot[type] : kernels->dot_decoded)(&task);
    }
}
