/* SPDX-License-Identifier: MIT */
/* plain_loops.h: F32, F16, BF16 and Q8_0 rows, and the hunt for NaN: element by element, in loops that vectorise. */
#ifndef QUERN_DTYPE_PLAIN_LOOPS_H
#define QUERN_DTYPE_PLAIN_LOOPS_H

#include "dtype/blocks.h"
#include "dtype/lanes.h"
#include "dtype/legacy_rows.h"

static void encode_f32(const qn_encode_task *task) {
    memcpy(task->dst, task->src, (size_t)(task->n_rows * task->n_cols) * sizeof *task->src);
}

static void encode_bf16(const qn_encode_task *task) {
    const uint64_t n = task->n_rows * task->n_cols;
    const float *restrict src = task->src;
    unsigned char *restrict dst = task->dst;
    uint64_t i = 0;
#if defined(__AVX2__)
    const __m256i one = _mm256_set1_epi32(1);
    const __m256i below_half = _mm256_set1_epi32(0x7FFF);
    for (; i + 16 <= n; i += 16) {
        __m256i bits[2];
        for (int k = 0; k < 2; k++) {
            bits[k] = _mm256_loadu_si256((const __m256i *)(const void *)(src + i + 8 * (uint64_t)k));
        }
        const __m256 is_nan = _mm256_cmp_ps((__m256)bits[0], (__m256)bits[1], _CMP_UNORD_Q);
        if (_mm256_movemask_ps(is_nan) != 0) {
            break; /* a NaN is not rounded */
        }
        for (int k = 0; k < 2; k++) {
            const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits[k], 16), one);
            bits[k] = _mm256_srli_epi32(_mm256_add_epi32(bits[k], _mm256_add_epi32(odd, below_half)), 16);
        }
        const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(bits[0], bits[1]), 0xD8);
        _mm256_storeu_si256((__m256i *)(void *)(dst + 2 * i), packed);
    }
#endif
    for (; i < n; i++) {
        const uint16_t half = bfloat_from_f32(src[i]);
        memcpy(dst + 2 * i, &half, sizeof half);
    }
}

static void decode_bf16(const unsigned char *restrict src, uint64_t n, float *restrict dst) {
    for (uint64_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, src + 2 * i, sizeof half);
        dst[i] = bfloat_to_f32(half);
    }
}

static void encode_f16(const qn_encode_task *task) {
    const uint64_t n = task->n_rows * task->n_cols;
    const float *restrict src = task->src;
    unsigned char *restrict dst = task->dst;
    uint64_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8) {
        const __m256 v = _mm256_loadu_ps(src + i);
        const __m128i half = _mm256_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        if (_mm256_movemask_ps(_mm256_cmp_ps(v, v, _CMP_UNORD_Q)) != 0) {
            break; /* the processor keeps a NaN's payload, binary16 rows here do not */
        }
        _mm_storeu_si128((__m128i *)(void *)(dst + 2 * i), half);
    }
#endif
    for (; i < n; i++) {
        const uint16_t half = half_from_f32(src[i]);
        memcpy(dst + 2 * i, &half, sizeof half);
    }
}

static void decode_f16(const unsigned char *restrict src, uint64_t n, float *restrict dst) {
    uint64_t i = 0;
#if defined(__F16C__)
    for (; i + 8 <= n; i += 8) {
        _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(const void *)(src + 2 * i))));
    }
#endif
    for (; i < n; i++) {
        uint16_t half;
        memcpy(&half, src + 2 * i, sizeof half);
        dst[i] = half_to_f32(half);
    }
}

/* The largest |x| of a block: as bits, numbers without sign are ordered like integers. */
static inline float largest_of_block(const float *x) {
    int32_t largest = 0;
    for (int e = 0; e < QN_BLOCK_LEN; e++) {
        const int32_t bits = (int32_t)(f32_bits(x[e]) & 0x7FFFFFFFU);
        largest = bits > largest ? bits : largest;
    }
    return f32_from_bits((uint32_t)largest);
}

static void encode_q8_0(const qn_encode_task *task) {
    if (encode_q8_0_rows(task)) {
        return;
    }
    const uint64_t n_blocks = task->n_rows * task->n_cols / QN_BLOCK_LEN;
    for (uint64_t b = 0; b < n_blocks; b++) {
        const float *x = task->src + b * QN_BLOCK_LEN;
        unsigned char *block = task->dst + b * sizeof(qn_block_q8_0);
        const float d = largest_of_block(x) / 127.0F;
        /* Below 2^-126 the reciprocal overflows; the stored scale is 0 there, and so are the codes. */
        const float inverse = d >= 0x1p-126F ? 1.0F / d : 0.0F;
        const uint16_t half = half_from_f32(d);
        int8_t codes[QN_BLOCK_LEN];
        for (int e = 0; e < QN_BLOCK_LEN; e++) {
            /* Ties away from zero: the number just below 0.5 carries exactly what roundf() would round up. */
            const float scaled = x[e] * inverse;
            const float carry = f32_from_bits((f32_bits(scaled) & 0x80000000U) | 0x3EFFFFFFU);
            codes[e] = (int8_t)(int32_t)(scaled + carry);
        }
        memcpy(block + offsetof(qn_block_q8_0, d), &half, sizeof half);
        memcpy(block + offsetof(qn_block_q8_0, qs), codes, sizeof codes);
    }
}

static inline bool is_nonfinite(float value) {
    return (f32_bits(value) & 0x7F800000U) == 0x7F800000U;
}

static uint64_t find_nonfinite(const float *src, uint64_t n) {
    enum { RUN = 256 };
    uint64_t i = 0;
    for (; i + RUN <= n; i += RUN) {
        int32_t n_bad = 0;
        for (uint64_t k = 0; k < RUN; k++) {
            n_bad += is_nonfinite(src[i + k]);
        }
        if (n_bad != 0) {
            break;
        }
    }
    while (i < n && !is_nonfinite(src[i])) {
        i++;
    }
    return i;
}

#endif
