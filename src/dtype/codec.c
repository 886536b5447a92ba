/* SPDX-License-Identifier: MIT */
/* codec.c: checks shapes, chooses the variant, and hands whole rows to it. */
#include "dtype/codec.h"

#include "base/checked.h"
#include "base/error.h"
#include "dtype/half.h"
#include "dtype/kernels.h"

static const qn_kernels *kernels_of(qn_cpu_level level) {
#if defined(__x86_64__)
    if (level == QN_CPU_AVX512) {
        return &qn_kernels_avx512;
    }
    if (level == QN_CPU_AVX2) {
        return &qn_kernels_avx2;
    }
#else
    (void)level;
#endif
    return &qn_kernels_baseline;
}

/* Both counts are the caller's, but they came from a file: neither elements nor bytes may pass 2^64. */
static qn_status check_rows(qn_dtype type, uint64_t n_rows, uint64_t n_cols, uint64_t *n, qn_error *err) {
    uint64_t row_bytes = 0;
    uint64_t total_bytes = 0;
    uint64_t f32_bytes = 0;
    QN_TRY(qn_row_size(type, n_cols, &row_bytes, err));
    if (!qn_mul_u64(n_rows, row_bytes, &total_bytes) || !qn_mul_u64(n_rows, n_cols, n) ||
        !qn_mul_u64(*n, sizeof(float), &f32_bytes)) {
        return qn_fail(err, QN_E_RANGE, "%llu rows of %llu elements of %s have more than 2^64 bytes",
                       (unsigned long long)n_rows, (unsigned long long)n_cols, qn_dtype_get((uint32_t)type)->name);
    }
    return QN_OK;
}

qn_status qn_decode_rows(qn_cpu_level level, qn_dtype type, const void *src, uint64_t n_rows, uint64_t n_cols,
                         float *dst, qn_error *err) {
    const qn_kernels *kernels = kernels_of(level);
    uint64_t n = 0;
    qn_decode_fn *decode = NULL;
    QN_TRY(check_rows(type, n_rows, n_cols, &n, err));
    switch (type) {
    case QN_F16: decode = kernels->decode_f16; break;
    case QN_BF16: decode = kernels->decode_bf16; break;
    default: decode = qn_block_decoder(type); break;
    }
    if (decode == NULL) {
        return qn_fail(err, QN_E_UNSUPPORTED, "weights of type %s cannot be decoded yet",
                       qn_dtype_get((uint32_t)type)->name);
    }
    if (n > 0) {
        decode(src, n, dst);
    }
    return QN_OK;
}

qn_status qn_encode_rows(qn_cpu_level level, qn_dtype type, const float *src, uint64_t n_rows, uint64_t n_cols,
                         const float *importance, void *dst, qn_error *err) {
    const qn_encode_task task = {src, n_rows, n_cols, importance, dst};
    qn_encode_fn *encode = NULL;
    uint64_t n = 0;
    QN_TRY(check_rows(type, n_rows, n_cols, &n, err));
    encode = kernels_of(level)->encode[type];
    if (encode == NULL) {
        return qn_fail(err, QN_E_UNSUPPORTED, "weights cannot be encoded as %s", qn_dtype_get((uint32_t)type)->name);
    }
    if (n > 0) {
        encode(&task);
    }
    return QN_OK;
}

uint64_t qn_find_nonfinite(qn_cpu_level level, const float *src, uint64_t n) {
    return kernels_of(level)->find_nonfinite(src, n);
}

uint16_t qn_f32_to_f16(float value) {
    return half_from_f32(value);
}

float qn_f16_to_f32(uint16_t bits) {
    return half_to_f32(bits);
}

uint16_t qn_f32_to_bf16(float value) {
    return bfloat_from_f32(value);
}

float qn_bf16_to_f32(uint16_t bits) {
    return bfloat_to_f32(bits);
}
