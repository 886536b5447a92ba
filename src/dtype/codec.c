/* SPDX-License-Identifier: MIT */
/* codec.c: checks shapes, chooses the variant, and hands whole rows to it. */
#include "dtype/codec.h"

#include "base/checked.h"
#include "base/error.h"
#include "dtype/half.h"
#include "dtype/kernels.h"

#define DECLARE_KERNELS(level)                              \
    extern const qn_plain_kernels qn_plain_kernels_##level; \
    extern const qn_encoder qn_plain_encoders_##level[];    \
    extern const qn_encoder qn_legacy_encoders_##level[];   \
    extern const qn_encoder qn_kquant_encoders_##level[];   \
    extern const qn_encoder qn_kquant_efforts_##level[];    \
    extern const qn_encoder qn_ternary_encoders_##level[];  \
    extern const qn_encoder qn_fp4_encoders_##level[];      \
    extern const qn_encoder qn_iq4_encoders_##level[];      \
    extern const qn_encoder qn_iq3_encoders_##level[];      \
    extern const qn_encoder qn_iq2_encoders_##level[];      \
    extern const qn_encoder qn_iq1_encoders_##level[]

DECLARE_KERNELS(baseline);
#if defined(__x86_64__)
DECLARE_KERNELS(avx2);
DECLARE_KERNELS(avx512);
#endif

#define KERNELS_OF(level)                                                                           \
    {                                                                                               \
        &qn_plain_kernels_##level,                                                                  \
            {                                                                                       \
                qn_plain_encoders_##level, qn_legacy_encoders_##level,  qn_kquant_encoders_##level, \
                qn_kquant_efforts_##level, qn_ternary_encoders_##level, qn_fp4_encoders_##level,    \
                qn_iq4_encoders_##level,   qn_iq3_encoders_##level,     qn_iq2_encoders_##level,    \
                qn_iq1_encoders_##level,                                                            \
            },                                                                                      \
    }

enum { N_LISTS = 10 };

/* All kernels of one level. */
typedef struct level_kernels {
    const qn_plain_kernels *plain;
    const qn_encoder *lists[N_LISTS];
} level_kernels;

static const level_kernels *kernels_of(qn_cpu_level level) {
    static const level_kernels baseline = KERNELS_OF(baseline);
#if defined(__x86_64__)
    static const level_kernels avx2 = KERNELS_OF(avx2);
    static const level_kernels avx512 = KERNELS_OF(avx512);
    if (level >= QN_CPU_AVX512) {
        return &avx512;
    }
    if (level == QN_CPU_AVX2) {
        return &avx2;
    }
#else
    (void)level;
#endif
    return &baseline;
}

/* The encoder for an effort, or the normal one; NULL when the type has none. */
static qn_encode_fn *find_encoder(const level_kernels *kernels, qn_dtype type, qn_effort effort) {
    qn_encode_fn *normal = NULL;
    for (size_t i = 0; i < N_LISTS; i++) {
        for (const qn_encoder *e = kernels->lists[i]; e->encode != NULL; e++) {
            if (e->type == type && e->effort == effort) {
                return e->encode;
            }
            if (e->type == type && e->effort == QN_EFFORT_NORMAL) {
                normal = e->encode;
            }
        }
    }
    return normal;
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
    const qn_plain_kernels *kernels = kernels_of(level)->plain;
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

qn_status qn_encode_rows(qn_cpu_level level, qn_effort effort, qn_dtype type, const float *src, uint64_t n_rows,
                         uint64_t n_cols, const float *importance, void *dst, qn_error *err) {
    const qn_encode_task task = {src, n_rows, n_cols, importance, dst};
    qn_encode_fn *encode = NULL;
    uint64_t n = 0;
    QN_TRY(check_rows(type, n_rows, n_cols, &n, err));
    encode = find_encoder(kernels_of(level), type, effort);
    if (encode == NULL) {
        return qn_fail(err, QN_E_UNSUPPORTED, "weights cannot be encoded as %s", qn_dtype_get((uint32_t)type)->name);
    }
    if (n > 0) {
        encode(&task);
    }
    return QN_OK;
}

uint64_t qn_find_nonfinite(qn_cpu_level level, const float *src, uint64_t n) {
    return kernels_of(level)->plain->find_nonfinite(src, n);
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
