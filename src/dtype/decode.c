/* SPDX-License-Identifier: MIT */
/*
 * decode.c: blocks and plain numbers to float32, by the formulas of facts/quants.md §1-2.
 *
 * The order of operations is the formula's, left to right and without fused multiply-add: it decides the last bit.
 * F16 and BF16 live in plain_loops.h, because they have variants; the IQ and ternary types in decode_iq.c.
 */
#include "dtype/decode.h"
#include "dtype/blocks.h"
#include "dtype/half.h"

/* 5-bit code j of a legacy block: nibble j, with bit j of qh above it. */
static unsigned nibble_at(const uint8_t *qs, unsigned j) {
    return j < 16 ? qs[j] & 15U : (unsigned)qs[j - 16] >> 4;
}

static unsigned fifth_bit(const uint8_t *qh, unsigned j) {
    return (((unsigned)qh[j / 8] >> (j % 8)) & 1U) << 4;
}

static void q4_0_block(const qn_block_q4_0 *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned j = 0; j < 32; j++) {
        y[j] = (float)((int)nibble_at(b->qs, j) - 8) * d;
    }
}

static void q4_1_block(const qn_block_q4_1 *b, float *y) {
    const float d = half_at(b->d);
    const float m = half_at(b->m);
    for (unsigned j = 0; j < 32; j++) {
        y[j] = (float)(int)nibble_at(b->qs, j) * d + m;
    }
}

static void q5_0_block(const qn_block_q5_0 *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned j = 0; j < 32; j++) {
        y[j] = (float)((int)(nibble_at(b->qs, j) | fifth_bit(b->qh, j)) - 16) * d;
    }
}

static void q5_1_block(const qn_block_q5_1 *b, float *y) {
    const float d = half_at(b->d);
    const float m = half_at(b->m);
    for (unsigned j = 0; j < 32; j++) {
        y[j] = (float)(int)(nibble_at(b->qs, j) | fifth_bit(b->qh, j)) * d + m;
    }
}

static void q8_0_block(const qn_block_q8_0 *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned j = 0; j < 32; j++) {
        y[j] = (float)b->qs[j] * d;
    }
}

static void q8_1_block(const qn_block_q8_1 *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned j = 0; j < 32; j++) {
        y[j] = (float)b->qs[j] * d;
    }
}

static void q1_0_block(const qn_block_q1_0 *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned j = 0; j < 128; j++) {
        y[j] = (((unsigned)b->bits[j / 8] >> (j % 8)) & 1U) != 0 ? d : -d;
    }
}

static void q2_0_block(const qn_block_q2_0 *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned j = 0; j < 64; j++) {
        y[j] = (float)((int)(((unsigned)b->qs[j / 4] >> (2 * (j % 4))) & 3U) - 1) * d;
    }
}

/* Twice the values of E2M1, so that they are integers; the scale is halved. */
static const int8_t e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* 2^(e - 128), half the E8M0 value; below the normal numbers for e < 2. */
static float e8m0_half(unsigned e) {
    return f32_from_bits(e < 2 ? 0x00200000U << e : (e - 1) << 23);
}

static void mxfp4_block(const qn_block_mxfp4 *b, float *y) {
    const float d = e8m0_half(b->e);
    for (unsigned j = 0; j < 32; j++) {
        y[j] = (float)e2m1_doubled[nibble_at(b->qs, j)] * d;
    }
}

/* Half the UE4M3 value; bit 7 does not count. */
static float ue4m3_half(unsigned byte) {
    const unsigned exponent = (byte >> 3) & 15U;
    const float mantissa = (float)(int)(byte & 7U);
    if (byte == 127) {
        return 0.0F;
    }
    if (exponent == 0) {
        return mantissa * 0x1p-10F;
    }
    return (1.0F + mantissa * 0.125F) * f32_from_bits((exponent + 119U) << 23);
}

static void nvfp4_block(const qn_block_nvfp4 *b, float *y) {
    for (unsigned s = 0; s < 4; s++) {
        const float d = ue4m3_half(b->d[s]);
        for (unsigned t = 0; t < 8; t++) {
            y[16 * s + t] = (float)e2m1_doubled[b->qs[8 * s + t] & 15U] * d;
            y[16 * s + t + 8] = (float)e2m1_doubled[b->qs[8 * s + t] >> 4] * d;
        }
    }
}

/* K-quants: quarter k of half h holds elements 128h + 32k .. +31. */

static void q2_k_block(const qn_block_q2_k *b, float *y) {
    const float d = half_at(b->d);
    const float dmin = half_at(b->dmin);
    for (unsigned g = 0; g < 16; g++) {
        const float scale = d * (float)(int)(b->scales[g] & 15U);
        const float minimum = dmin * (float)(int)(b->scales[g] >> 4);
        const uint8_t *qs = b->qs + 32 * (g / 8) + 16 * (g % 2);
        const unsigned shift = 2 * ((g % 8) / 2);
        for (unsigned i = 0; i < 16; i++) {
            y[16 * g + i] = scale * (float)(int)(((unsigned)qs[i] >> shift) & 3U) - minimum;
        }
    }
}

static void q3_k_block(const qn_block_q3_k *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned g = 0; g < 16; g++) {
        const unsigned low = ((unsigned)b->scales[g % 8] >> (4 * (g / 8))) & 15U;
        const unsigned high = ((unsigned)b->scales[8 + g % 4] >> (2 * (g / 4))) & 3U;
        const float scale = d * (float)((int)(low | high << 4) - 32);
        const uint8_t *qs = b->qs + 32 * (g / 8) + 16 * (g % 2);
        const uint8_t *hmask = b->hmask + 16 * (g % 2);
        const unsigned shift = 2 * ((g % 8) / 2);
        for (unsigned i = 0; i < 16; i++) {
            const unsigned code = (((unsigned)qs[i] >> shift) & 3U) | (((unsigned)hmask[i] >> (g / 2)) & 1U) << 2;
            y[16 * g + i] = scale * (float)((int)code - 4);
        }
    }
}

/* The 6-bit scale and minimum of 32-group j of Q4_K and Q5_K. */
static void unpack_scale_min(const uint8_t *s, unsigned j, unsigned *scale, unsigned *minimum) {
    if (j < 4) {
        *scale = s[j] & 63U;
        *minimum = s[j + 4] & 63U;
    } else {
        *scale = (s[j + 4] & 15U) | ((unsigned)s[j - 4] >> 6) << 4;
        *minimum = ((unsigned)s[j + 4] >> 4) | ((unsigned)s[j] >> 6) << 4;
    }
}

static void q4_k_block(const qn_block_q4_k *b, float *y) {
    const float d = half_at(b->d);
    const float dmin = half_at(b->dmin);
    for (unsigned j = 0; j < 8; j++) {
        const uint8_t *qs = b->qs + 32 * (j / 2);
        unsigned sc = 0;
        unsigned mn = 0;
        unpack_scale_min(b->scales, j, &sc, &mn);
        const float scale = d * (float)(int)sc;
        const float minimum = dmin * (float)(int)mn;
        for (unsigned i = 0; i < 32; i++) {
            y[32 * j + i] = scale * (float)(int)(((unsigned)qs[i] >> (4 * (j % 2))) & 15U) - minimum;
        }
    }
}

static void q5_k_block(const qn_block_q5_k *b, float *y) {
    const float d = half_at(b->d);
    const float dmin = half_at(b->dmin);
    for (unsigned j = 0; j < 8; j++) {
        const uint8_t *qs = b->qs + 32 * (j / 2);
        unsigned sc = 0;
        unsigned mn = 0;
        unpack_scale_min(b->scales, j, &sc, &mn);
        const float scale = d * (float)(int)sc;
        const float minimum = dmin * (float)(int)mn;
        for (unsigned i = 0; i < 32; i++) {
            const unsigned low = ((unsigned)qs[i] >> (4 * (j % 2))) & 15U;
            y[32 * j + i] = scale * (float)(int)(low | (((unsigned)b->qh[i] >> j) & 1U) << 4) - minimum;
        }
    }
}

static void q6_k_block(const qn_block_q6_k *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned g = 0; g < 16; g++) {
        const float scale = d * (float)b->scales[g];
        const unsigned k = (g % 8) / 2;
        const uint8_t *ql = b->ql + 64 * (g / 8) + 32 * (k % 2) + 16 * (g % 2);
        const uint8_t *qh = b->qh + 32 * (g / 8) + 16 * (g % 2);
        for (unsigned i = 0; i < 16; i++) {
            const unsigned low = ((unsigned)ql[i] >> (4 * (k / 2))) & 15U;
            const unsigned high = ((unsigned)qh[i] >> (2 * k)) & 3U;
            y[16 * g + i] = scale * (float)((int)(low | high << 4) - 32);
        }
    }
}

static void q8_k_block(const qn_block_q8_k *b, float *y) {
    float d;
    memcpy(&d, b->d, sizeof d);
    for (unsigned j = 0; j < 256; j++) {
        y[j] = d * (float)b->qs[j];
    }
}

DEFINE_DECODER(decode_q4_0, qn_block_q4_0, 32, q4_0_block)
DEFINE_DECODER(decode_q4_1, qn_block_q4_1, 32, q4_1_block)
DEFINE_DECODER(decode_q5_0, qn_block_q5_0, 32, q5_0_block)
DEFINE_DECODER(decode_q5_1, qn_block_q5_1, 32, q5_1_block)
DEFINE_DECODER(decode_q8_0, qn_block_q8_0, 32, q8_0_block)
DEFINE_DECODER(decode_q8_1, qn_block_q8_1, 32, q8_1_block)
DEFINE_DECODER(decode_q1_0, qn_block_q1_0, 128, q1_0_block)
DEFINE_DECODER(decode_q2_0, qn_block_q2_0, 64, q2_0_block)
DEFINE_DECODER(decode_mxfp4, qn_block_mxfp4, 32, mxfp4_block)
DEFINE_DECODER(decode_nvfp4, qn_block_nvfp4, 64, nvfp4_block)
DEFINE_DECODER(decode_q2_k, qn_block_q2_k, 256, q2_k_block)
DEFINE_DECODER(decode_q3_k, qn_block_q3_k, 256, q3_k_block)
DEFINE_DECODER(decode_q4_k, qn_block_q4_k, 256, q4_k_block)
DEFINE_DECODER(decode_q5_k, qn_block_q5_k, 256, q5_k_block)
DEFINE_DECODER(decode_q6_k, qn_block_q6_k, 256, q6_k_block)
DEFINE_DECODER(decode_q8_k, qn_block_q8_k, 256, q8_k_block)

/* Numbers at any address, converted as C converts them: to the nearest float32. */
#define DEFINE_NUMBER_DECODER(name, type)                                \
    static void name(const unsigned char *src, uint64_t n, float *dst) { \
        for (uint64_t i = 0; i < n; i++) {                               \
            type value;                                                  \
            memcpy(&value, src + i * sizeof value, sizeof value);        \
            dst[i] = (float)value;                                       \
        }                                                                \
    }

DEFINE_NUMBER_DECODER(decode_f64, double)
DEFINE_NUMBER_DECODER(decode_i8, int8_t)
DEFINE_NUMBER_DECODER(decode_i16, int16_t)
DEFINE_NUMBER_DECODER(decode_i32, int32_t)
DEFINE_NUMBER_DECODER(decode_i64, int64_t)
DEFINE_NUMBER_DECODER(decode_u8, uint8_t)
DEFINE_NUMBER_DECODER(decode_u16, uint16_t)
DEFINE_NUMBER_DECODER(decode_u32, uint32_t)
DEFINE_NUMBER_DECODER(decode_u64, uint64_t)

static void decode_f32(const unsigned char *src, uint64_t n, float *dst) {
    memcpy(dst, src, (size_t)n * sizeof *dst);
}

static void decode_bool(const unsigned char *src, uint64_t n, float *dst) {
    for (uint64_t i = 0; i < n; i++) {
        dst[i] = src[i] != 0 ? 1.0F : 0.0F;
    }
}

qn_decode_fn *qn_block_decoder(qn_dtype type) {
    static qn_decode_fn *const decoders[QN_DTYPE_LIMIT] = {
        [QN_F32] = decode_f32,   [QN_F64] = decode_f64,   [QN_I8] = decode_i8,       [QN_I16] = decode_i16,
        [QN_I32] = decode_i32,   [QN_I64] = decode_i64,   [QN_U8] = decode_u8,       [QN_U16] = decode_u16,
        [QN_U32] = decode_u32,   [QN_U64] = decode_u64,   [QN_BOOL] = decode_bool,   [QN_Q4_0] = decode_q4_0,
        [QN_Q4_1] = decode_q4_1, [QN_Q5_0] = decode_q5_0, [QN_Q5_1] = decode_q5_1,   [QN_Q8_0] = decode_q8_0,
        [QN_Q8_1] = decode_q8_1, [QN_Q1_0] = decode_q1_0, [QN_Q2_0] = decode_q2_0,   [QN_MXFP4] = decode_mxfp4,
        [QN_Q2_K] = decode_q2_k, [QN_Q3_K] = decode_q3_k, [QN_Q4_K] = decode_q4_k,   [QN_Q5_K] = decode_q5_k,
        [QN_Q6_K] = decode_q6_k, [QN_Q8_K] = decode_q8_k, [QN_NVFP4] = decode_nvfp4,
    };
    return decoders[type] != NULL ? decoders[type] : qn_iq_decoder(type);
}
