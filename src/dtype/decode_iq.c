/* SPDX-License-Identifier: MIT */
/*
 * decode_iq.c: blocks of the IQ and ternary types to float32, by the formulas of facts/quants.md §2-3.
 *
 * The order of operations is the formula's: it decides the last bit. Codewords are spread to floats without shifts by
 * varying amounts, so that the loops become vectors: a level stays at its place in the word, and is scaled down as a
 * float by a power of two, which is exact.
 */
#include "dtype/blocks.h"
#include "dtype/decode.h"
#include "dtype/grids.h"
#include "dtype/half.h"

/* The levels of an octet as floats, 0..2. */
static inline void spread_octet(uint16_t codeword, float level[8]) {
    static const int32_t mask[8] = {3, 3 << 2, 3 << 4, 3 << 6, 3 << 8, 3 << 10, 3 << 12, 3 << 14};
    static const float scale[8] = {1.0F, 0x1p-2F, 0x1p-4F, 0x1p-6F, 0x1p-8F, 0x1p-10F, 0x1p-12F, 0x1p-14F};
    for (unsigned t = 0; t < 8; t++) {
        level[t] = (float)(codeword & mask[t]) * scale[t];
    }
}

/* The levels of two quads as floats, 0..7. */
static inline void spread_quads(uint16_t first, uint16_t second, float level[8]) {
    static const int32_t mask[4] = {7, 7 << 3, 7 << 6, 7 << 9};
    static const float scale[4] = {1.0F, 0x1p-3F, 0x1p-6F, 0x1p-9F};
    for (unsigned t = 0; t < 4; t++) {
        level[t] = (float)(first & mask[t]) * scale[t];
        level[t + 4] = (float)(second & mask[t]) * scale[t];
    }
}

/* Eight values of scale·size, negative where the mask has a bit. */
static inline void put_signed(const float size[8], float scale, unsigned signs, float *y) {
    static const int32_t bit[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    for (unsigned t = 0; t < 8; t++) {
        const uint32_t flip = ((int32_t)signs & bit[t]) != 0 ? 0x80000000U : 0U;
        y[t] = f32_from_bits(f32_bits(scale * size[t]) ^ flip);
    }
}

/* An octet of IQ2: levels 0, 1, 2 are 8, 25, 43. */
static inline void put_iq2(uint16_t codeword, float scale, unsigned signs, float *y) {
    float size[8];
    spread_octet(codeword, size);
    for (unsigned t = 0; t < 8; t++) {
        size[t] = 8.0F + size[t] * (16.5F + 0.5F * size[t]);
    }
    put_signed(size, scale, signs, y);
}

static uint16_t u16_at(const uint8_t *bytes) {
    return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static uint32_t u32_at(const uint8_t *bytes) {
    return u16_at(bytes) | (uint32_t)u16_at(bytes + 2) << 16;
}

static unsigned nibble_of(const uint8_t *bytes, unsigned i) {
    return ((unsigned)bytes[i / 2] >> (4 * (i % 2))) & 15U;
}

static float half_steps(float d, unsigned code) {
    return d * (0.5F + (float)(int)code);
}

static void iq2_xxs_block(const qn_block_iq2_xxs *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned g = 0; g < 8; g++) {
        const uint8_t *qs = b->qs + 8 * g;
        const uint32_t word = u32_at(qs + 4);
        const float scale = half_steps(d, word >> 28) * 0.25F;
        for (unsigned l = 0; l < 4; l++) {
            put_iq2(qn_grid_iq2_xxs[qs[l]], scale, qn_sign_mask((word >> (7 * l)) & 127U), y + 32 * g + 8 * l);
        }
    }
}

static void iq2_xs_block(const qn_block_iq2_xs *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned i = 0; i < 32; i++) {
        const unsigned q = u16_at(b->qs + 2 * i);
        const float scale = half_steps(d, nibble_of(b->scales, i / 2)) * 0.25F;
        put_iq2(qn_grid_iq2_xs[q & 511U], scale, qn_sign_mask(q >> 9), y + 8 * i);
    }
}

static void iq2_s_block(const qn_block_iq2_s *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned i = 0; i < 32; i++) {
        const unsigned index = b->qs[i] | (((unsigned)b->qh[i / 4] >> (2 * (i % 4))) & 3U) << 8;
        const float scale = half_steps(d, nibble_of(b->scales, i / 2)) * 0.25F;
        put_iq2(qn_grid_iq2_s[index], scale, b->signs[i], y + 8 * i);
    }
}

static void iq3_xxs_block(const qn_block_iq3_xxs *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned i = 0; i < 32; i++) {
        const uint32_t word = u32_at(b->signs + 4 * (i / 4));
        const float scale = half_steps(d, word >> 28) * 0.5F;
        float size[8];
        spread_quads(qn_grid_iq3_xxs[b->qs[2 * i]], qn_grid_iq3_xxs[b->qs[2 * i + 1]], size);
        for (unsigned t = 0; t < 8; t++) {
            size[t] = 4.0F + 8.0F * size[t] + (size[t] == 7.0F ? 2.0F : 0.0F);
        }
        put_signed(size, scale, qn_sign_mask((word >> (7 * (i % 4))) & 127U), y + 8 * i);
    }
}

static void iq3_s_block(const qn_block_iq3_s *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned i = 0; i < 32; i++) {
        const unsigned high = (unsigned)b->qh[i / 4] >> (2 * (i % 4));
        const float scale = d * (float)(int)(1U + 2U * nibble_of(b->scales, i / 4));
        float size[8];
        spread_quads(qn_grid_iq3_s[b->qs[2 * i] | (high & 1U) << 8], qn_grid_iq3_s[b->qs[2 * i + 1] | (high & 2U) << 7],
                     size);
        for (unsigned t = 0; t < 8; t++) {
            size[t] = 2.0F * size[t] + 1.0F;
        }
        put_signed(size, scale, b->signs[i], y + 8 * i);
    }
}

/* An octet of IQ1: levels 0, 1, 2 are -1, 0, 1, all moved by an eighth. */
static inline void put_iq1(uint16_t codeword, float scale, bool is_down, float *y) {
    const float shift = is_down ? -1.125F : -0.875F;
    float level[8];
    spread_octet(codeword, level);
    for (unsigned t = 0; t < 8; t++) {
        y[t] = scale * (level[t] + shift);
    }
}

static void iq1_s_block(const qn_block_iq1_s *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned i = 0; i < 32; i++) {
        const unsigned word = u16_at(b->qh + 2 * (i / 4));
        const unsigned index = b->qs[i] | ((word >> (3 * (i % 4))) & 7U) << 8;
        const float scale = d * (float)(int)(2U * ((word >> 12) & 7U) + 1U);
        put_iq1(qn_grid_iq1_s[index], scale, (word & 0x8000U) != 0, y + 8 * i);
    }
}

static void iq1_m_block(const qn_block_iq1_m *b, float *y) {
    uint16_t bits = 0;
    for (unsigned k = 0; k < 4; k++) {
        bits = (uint16_t)(bits | (u16_at(b->scales + 2 * k) >> 12) << (4 * k));
    }
    const float d = half_to_f32(bits);
    for (unsigned i = 0; i < 32; i++) {
        const unsigned nibble = nibble_of(b->qh, i);
        const unsigned code = ((unsigned)u16_at(b->scales + 2 * (i / 8)) >> (3 * (i / 2 % 4))) & 7U;
        const float scale = d * (float)(int)(2U * code + 1U);
        put_iq1(qn_grid_iq1_s[b->qs[i] | (nibble & 7U) << 8], scale, (nibble & 8U) != 0, y + 8 * i);
    }
}

/* Sixteen levels of low nibbles, then sixteen of high ones. */
static inline void put_iq4(const uint8_t *qs, float scale, float *y) {
    for (unsigned j = 0; j < 16; j++) {
        y[j] = scale * (float)qn_levels_iq4[qs[j] & 15U];
        y[j + 16] = scale * (float)qn_levels_iq4[qs[j] >> 4];
    }
}

static void iq4_nl_block(const qn_block_iq4_nl *b, float *y) {
    put_iq4(b->qs, half_at(b->d), y);
}

static void iq4_xs_block(const qn_block_iq4_xs *b, float *y) {
    const float d = half_at(b->d);
    const unsigned high = u16_at(b->scales_h);
    for (unsigned g = 0; g < 8; g++) {
        const unsigned code = nibble_of(b->scales_l, g) | ((high >> (2 * g)) & 3U) << 4;
        put_iq4(b->qs + 16 * g, d * (float)((int)code - 32), y + 32 * g);
    }
}

/* Digit n, with power = 3^n, of n_bytes bytes; a byte v is the fraction v/256 in base 3, rounded up. */
static inline void put_trits(const uint8_t *bytes, unsigned n_bytes, unsigned power, float d, float *y) {
    for (unsigned i = 0; i < n_bytes; i++) {
        const uint32_t rest = (bytes[i] * power) & 255U;
        y[i] = (float)((int)((rest * 3U) >> 8) - 1) * d;
    }
}

static void tq1_0_block(const qn_block_tq1_0 *b, float *y) {
    static const unsigned powers[5] = {1, 3, 9, 27, 81};
    const float d = half_at(b->d);
    for (unsigned n = 0; n < 5; n++) {
        put_trits(b->qs, 32, powers[n], d, y + 32 * n);
        put_trits(b->qs + 32, 16, powers[n], d, y + 160 + 16 * n);
    }
    for (unsigned n = 0; n < 4; n++) {
        put_trits(b->qh, 4, powers[n], d, y + 240 + 4 * n);
    }
}

static void tq2_0_block(const qn_block_tq2_0 *b, float *y) {
    const float d = half_at(b->d);
    for (unsigned g = 0; g < 8; g++) {
        const uint8_t *qs = b->qs + 32 * (g / 4);
        const unsigned shift = 2 * (g % 4);
        for (unsigned i = 0; i < 32; i++) {
            y[32 * g + i] = (float)((int)(((unsigned)qs[i] >> shift) & 3U) - 1) * d;
        }
    }
}

DEFINE_DECODER(decode_iq2_xxs, qn_block_iq2_xxs, 256, iq2_xxs_block)
DEFINE_DECODER(decode_iq2_xs, qn_block_iq2_xs, 256, iq2_xs_block)
DEFINE_DECODER(decode_iq2_s, qn_block_iq2_s, 256, iq2_s_block)
DEFINE_DECODER(decode_iq3_xxs, qn_block_iq3_xxs, 256, iq3_xxs_block)
DEFINE_DECODER(decode_iq3_s, qn_block_iq3_s, 256, iq3_s_block)
DEFINE_DECODER(decode_iq1_s, qn_block_iq1_s, 256, iq1_s_block)
DEFINE_DECODER(decode_iq1_m, qn_block_iq1_m, 256, iq1_m_block)
DEFINE_DECODER(decode_iq4_nl, qn_block_iq4_nl, 32, iq4_nl_block)
DEFINE_DECODER(decode_iq4_xs, qn_block_iq4_xs, 256, iq4_xs_block)
DEFINE_DECODER(decode_tq1_0, qn_block_tq1_0, 256, tq1_0_block)
DEFINE_DECODER(decode_tq2_0, qn_block_tq2_0, 256, tq2_0_block)

qn_decode_fn *qn_iq_decoder(qn_dtype type) {
    switch (type) {
    case QN_IQ2_XXS: return decode_iq2_xxs;
    case QN_IQ2_XS: return decode_iq2_xs;
    case QN_IQ2_S: return decode_iq2_s;
    case QN_IQ3_XXS: return decode_iq3_xxs;
    case QN_IQ3_S: return decode_iq3_s;
    case QN_IQ1_S: return decode_iq1_s;
    case QN_IQ1_M: return decode_iq1_m;
    case QN_IQ4_NL: return decode_iq4_nl;
    case QN_IQ4_XS: return decode_iq4_xs;
    case QN_TQ1_0: return decode_tq1_0;
    case QN_TQ2_0: return decode_tq2_0;
    default: return NULL;
    }
}
