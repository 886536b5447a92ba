/* SPDX-License-Identifier: MIT */
/*
 * dot_flat.h: 256 weights of any block type as codes of a byte each, with scales: the one form that products know.
 *
 * Eight codes are handled at a time as the bytes of a 64-bit word; the compiler makes wider vectors of that. A weight:
 *     flat_k     d * scale * code - dmin * minimum, scale and minimum integers for each 16 weights
 *     flat_32    d * code + m for each 32 weights
 * with codes without sign (an offset goes into the minimum), but for types of eight signed bits.
 * Source: facts/quants.md §1-3, 8.
 */
#ifndef QUERN_DTYPE_DOT_FLAT_H
#define QUERN_DTYPE_DOT_FLAT_H

#include "dtype/blocks.h"
#include "dtype/grids.h"
#include "dtype/half.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

/* Superblocks, whose partner is Q8_K. */
typedef struct flat_k {
    _Alignas(64) uint8_t codes[256];
    _Alignas(32) int16_t scale[16];
    _Alignas(32) int16_t minimum[16];
    float d;
    float dmin;
} flat_k;

/* Blocks whose partner is Q8_0 or Q8_1, 256 weights at most. */
typedef struct flat_32 {
    _Alignas(64) uint8_t codes[256];
    _Alignas(32) float d[8];
    _Alignas(32) float m[8];
} flat_32;

/* How large codes are: how many products of pairs may be added in 16 bits. */
typedef enum code_size {
    CODES_SIGNED, /* int8 */
    CODES_7_BIT,  /* below 128: a pair of products is below 2^15 */
    CODES_6_BIT,  /* below 64: 2 pairs */
    CODES_5_BIT,  /* below 32: 4 pairs */
    CODES_4_BIT   /* below 16: 8 pairs */
} code_size;

#define BYTES(value) (0x0101010101010101U * (uint64_t)(value))

static inline uint64_t word_at(const uint8_t *bytes) {
    uint64_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline void put_word(uint8_t *bytes, uint64_t word) {
    memcpy(bytes, &word, sizeof word);
}

static inline unsigned flat_u16(const uint8_t *bytes) {
    return (unsigned)bytes[0] | (unsigned)bytes[1] << 8;
}

static inline uint32_t flat_u32(const uint8_t *bytes) {
    uint32_t word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

static inline float flat_half(const uint8_t *bytes) {
#if defined(__F16C__)
    return _cvtsh_ss((unsigned short)flat_u16(bytes));
#else
    return half_at(bytes);
#endif
}

/* 0x80 in the bytes whose bit is set. */
static inline uint64_t spread_bits(unsigned bits) {
    const uint64_t one_each = (bits * BYTES(1)) & 0x8040201008040201U;
    return (one_each + BYTES(0x7F)) & BYTES(0x80);
}

#define WIDE_FN static inline __attribute__((always_inline))

/* 32 codes: four words, shifted and masked at once. */
typedef uint64_t wide __attribute__((vector_size(32)));

WIDE_FN wide wide_at(const uint8_t *bytes) {
    wide word;
    memcpy(&word, bytes, sizeof word);
    return word;
}

WIDE_FN void put_wide(uint8_t *bytes, wide word) {
    memcpy(bytes, &word, sizeof word);
}

/* Sixteen scales out of two words of bytes, less a bias. */
static inline void put_scales(int16_t scale[16], uint64_t low, uint64_t high, int bias) {
#if defined(__AVX2__)
    const __m128i bytes = _mm_set_epi64x((long long)high, (long long)low);
    const __m256i words = _mm256_sub_epi16(_mm256_cvtepu8_epi16(bytes), _mm256_set1_epi16((short)bias));
    _mm256_store_si256((__m256i *)(void *)scale, words);
#else
    for (unsigned g = 0; g < 8; g++) {
        scale[g] = (int16_t)((int)(low >> (8 * g) & 255U) - bias);
        scale[g + 8] = (int16_t)((int)(high >> (8 * g) & 255U) - bias);
    }
#endif
}

/* Codes around an offset: the minimum is the offset times the scale. */
static inline void put_offset(flat_k *f, float d, int offset) {
    f->d = d;
    f->dmin = d;
    for (unsigned g = 0; g < 16; g++) {
        f->minimum[g] = (int16_t)(f->scale[g] * offset);
    }
}

/* ---- K-quants ---- */

static void flat_q2_k(const unsigned char *src, flat_k *f) {
    const qn_block_q2_k *b = (const qn_block_q2_k *)(const void *)src;
    for (unsigned h = 0; h < 2; h++) {
        for (unsigned k = 0; k < 4; k++) {
            put_wide(f->codes + 128 * h + 32 * k, wide_at(b->qs + 32 * h) >> (2 * k) & BYTES(3));
        }
    }
    const uint64_t low = word_at(b->scales);
    const uint64_t high = word_at(b->scales + 8);
    put_scales(f->scale, low & BYTES(15), high & BYTES(15), 0);
    put_scales(f->minimum, low >> 4 & BYTES(15), high >> 4 & BYTES(15), 0);
    f->d = flat_half(b->d);
    f->dmin = flat_half(b->dmin);
}

/* The sixteen 6-bit scales of Q3_K, a byte each. */
static inline void q3_scale_bytes(const uint8_t *scales, uint64_t *first, uint64_t *second) {
    const uint64_t low = word_at(scales);
    const uint64_t high = flat_u32(scales + 8) * 0x100000001U;
    *first = (low & BYTES(15)) | ((high & 0xFFFFFFFFU & BYTES(3)) << 4) |
        ((high >> 2 & BYTES(3)) & 0xFFFFFFFF00000000U) << 4;
    *second = (low >> 4 & BYTES(15)) | ((high >> 4 & BYTES(3)) & 0xFFFFFFFFU) << 4 |
        ((high >> 6 & BYTES(3)) & 0xFFFFFFFF00000000U) << 4;
}

static void flat_q3_k(const unsigned char *src, flat_k *f) {
    const qn_block_q3_k *b = (const qn_block_q3_k *)(const void *)src;
    for (unsigned h = 0; h < 2; h++) {
        for (unsigned k = 0; k < 4; k++) {
            const wide low = wide_at(b->qs + 32 * h) >> (2 * k) & BYTES(3);
            const wide high = (wide_at(b->hmask) >> (4 * h + k) & BYTES(1)) << 2;
            put_wide(f->codes + 128 * h + 32 * k, low | high);
        }
    }
    uint64_t first;
    uint64_t second;
    q3_scale_bytes(b->scales, &first, &second);
    put_scales(f->scale, first, second, 32);
    put_offset(f, flat_half(b->d), 4);
}

/* The 6-bit scales and minima of Q4_K and Q5_K, each for two groups of 16. */
static inline void flat_scale_min(const uint8_t *s, flat_k *f) {
    const uint32_t low = flat_u32(s);
    const uint32_t middle = flat_u32(s + 4);
    const uint32_t high = flat_u32(s + 8);
    const uint64_t scale = (low & 0x3F3F3F3FU) | (uint64_t)((high & 0x0F0F0F0FU) | (low >> 2 & 0x30303030U)) << 32;
    const uint64_t minimum = (middle & 0x3F3F3F3FU) |
        (uint64_t)((high >> 4 & 0x0F0F0F0FU) | (middle >> 2 & 0x30303030U)) << 32;
#if defined(__AVX2__)
    const __m128i both = _mm_set_epi64x((long long)minimum, (long long)scale);
    const __m128i scales = _mm_unpacklo_epi8(both, both);
    const __m128i minima = _mm_unpackhi_epi8(both, both);
    _mm256_store_si256((__m256i *)(void *)f->scale, _mm256_cvtepu8_epi16(scales));
    _mm256_store_si256((__m256i *)(void *)f->minimum, _mm256_cvtepu8_epi16(minima));
#else
    for (unsigned j = 0; j < 8; j++) {
        f->scale[2 * j] = f->scale[2 * j + 1] = (int16_t)(scale >> (8 * j) & 255U);
        f->minimum[2 * j] = f->minimum[2 * j + 1] = (int16_t)(minimum >> (8 * j) & 255U);
    }
#endif
}

static void flat_q4_k(const unsigned char *src, flat_k *f) {
    const qn_block_q4_k *b = (const qn_block_q4_k *)(const void *)src;
    for (unsigned j = 0; j < 4; j++) {
        const wide word = wide_at(b->qs + 32 * j);
        put_wide(f->codes + 64 * j, word & BYTES(15));
        put_wide(f->codes + 64 * j + 32, word >> 4 & BYTES(15));
    }
    flat_scale_min(b->scales, f);
    f->d = flat_half(b->d);
    f->dmin = flat_half(b->dmin);
}

static void flat_q5_k(const unsigned char *src, flat_k *f) {
    const qn_block_q5_k *b = (const qn_block_q5_k *)(const void *)src;
    for (unsigned j = 0; j < 4; j++) {
        const wide word = wide_at(b->qs + 32 * j);
        const wide high = wide_at(b->qh) >> (2 * j);
        put_wide(f->codes + 64 * j, (word & BYTES(15)) | (high & BYTES(1)) << 4);
        put_wide(f->codes + 64 * j + 32, (word >> 4 & BYTES(15)) | (high & BYTES(2)) << 3);
    }
    flat_scale_min(b->scales, f);
    f->d = flat_half(b->d);
    f->dmin = flat_half(b->dmin);
}

static void flat_q6_k(const unsigned char *src, flat_k *f) {
    const qn_block_q6_k *b = (const qn_block_q6_k *)(const void *)src;
    for (unsigned h = 0; h < 2; h++) {
        for (unsigned k = 0; k < 2; k++) {
            const wide low = wide_at(b->ql + 64 * h + 32 * k);
            const wide high = wide_at(b->qh + 32 * h) >> (2 * k);
            uint8_t *to = f->codes + 128 * h + 32 * k;
            put_wide(to, (low & BYTES(15)) | (high & BYTES(3)) << 4);
            put_wide(to + 64, (low >> 4 & BYTES(15)) | (high & BYTES(0x30)));
        }
    }
    for (unsigned g = 0; g < 16; g++) {
        f->scale[g] = b->scales[g];
    }
    put_offset(f, flat_half(b->d), 32);
}

/* ---- Tables of 16 levels ---- */

/* 32 codes of a table, from 16 bytes: low nibbles first. */
static inline void put_levels(const uint8_t *qs, const uint8_t table[16], uint8_t *codes) {
#if defined(__AVX2__)
    const __m128i nibbles = _mm_loadu_si128((const __m128i *)(const void *)qs);
    const __m128i levels = _mm_loadu_si128((const __m128i *)(const void *)table);
    const __m128i mask = _mm_set1_epi8(15);
    const __m128i low = _mm_shuffle_epi8(levels, _mm_and_si128(nibbles, mask));
    const __m128i high = _mm_shuffle_epi8(levels, _mm_and_si128(_mm_srli_epi16(nibbles, 4), mask));
    _mm_store_si128((__m128i *)(void *)codes, low);
    _mm_store_si128((__m128i *)(void *)(codes + 16), high);
#else
    for (unsigned i = 0; i < 16; i++) {
        codes[i] = table[qs[i] & 15U];
        codes[i + 16] = table[qs[i] >> 4];
    }
#endif
}

#if defined(__AVX2__)

/* Eight scales of 4 + 2 bits, less 32, in 16 bits each: multiplying shifts a lane's bits to the left end. */
static inline __m128i iq4_xs_scales(const qn_block_iq4_xs *b) {
    const __m128i twice = _mm_setr_epi8(0, -1, 0, -1, 1, -1, 1, -1, 2, -1, 2, -1, 3, -1, 3, -1);
    const __m128i bytes = _mm_shuffle_epi8(_mm_cvtsi32_si128((int)flat_u32(b->scales_l)), twice);
    const __m128i low = _mm_srli_epi16(_mm_mullo_epi16(bytes, _mm_set1_epi32(0x1000 | 0x100 << 16)), 12);
    const __m128i pairs = _mm_set1_epi16((short)flat_u16(b->scales_h));
    const __m128i left = _mm_setr_epi16(1 << 14, 1 << 12, 1 << 10, 1 << 8, 1 << 6, 1 << 4, 1 << 2, 1);
    const __m128i high = _mm_slli_epi16(_mm_srli_epi16(_mm_mullo_epi16(pairs, left), 14), 4);
    return _mm_sub_epi16(_mm_or_si128(low, high), _mm_set1_epi16(32));
}

static inline void put_iq4_xs_scales(const qn_block_iq4_xs *b, int16_t scale[16]) {
    const __m128i scales = iq4_xs_scales(b);
    _mm_store_si128((__m128i *)(void *)scale, _mm_unpacklo_epi16(scales, scales));
    _mm_store_si128((__m128i *)(void *)(scale + 8), _mm_unpackhi_epi16(scales, scales));
}

#else

static inline void put_iq4_xs_scales(const qn_block_iq4_xs *b, int16_t scale[16]) {
    const unsigned high = flat_u16(b->scales_h);
    for (unsigned j = 0; j < 8; j++) {
        const unsigned low = (unsigned)b->scales_l[j / 2] >> (4 * (j % 2)) & 15U;
        scale[2 * j] = scale[2 * j + 1] = (int16_t)((int)(low | (high >> (2 * j) & 3U) << 4) - 32);
    }
}

#endif

static void flat_iq4_xs(const unsigned char *src, flat_k *f) {
    const qn_block_iq4_xs *b = (const qn_block_iq4_xs *)(const void *)src;
    for (unsigned j = 0; j < 8; j++) {
        put_levels(b->qs + 16 * j, (const uint8_t *)qn_levels_iq4, f->codes + 32 * j);
    }
    put_iq4_xs_scales(b, f->scale);
    put_offset(f, flat_half(b->d), 0);
}

/* ---- Grids ---- */

/* The levels of an octet, a byte each. */
static inline uint64_t octet_bytes(uint16_t codeword) {
    uint64_t x = codeword;
    x = (x | x << 24) & 0x000000FF000000FFU;
    x = (x | x << 12) & 0x000F000F000F000FU;
    return (x | x << 6) & BYTES(3);
}

/* offset + size, or offset - size where the bit of four masks of eight signs is set. */
WIDE_FN wide offset_bytes(wide size, wide signs, unsigned offset) {
    signs |= signs << 8;
    signs |= signs << 16;
    signs |= signs << 32;
    const wide is_set = (((signs & 0x8040201008040201U) + BYTES(0x7F)) & BYTES(0x80)) >> 7;
    const wide negative = (is_set << 8) - is_set;
    return size + BYTES(offset) - ((size & negative) << 1);
}

static inline unsigned flat_nibble(const uint8_t *bytes, unsigned i) {
    return (unsigned)bytes[i / 2] >> (4 * (i % 2)) & 15U;
}

static void flat_iq2_xxs(const unsigned char *src, flat_k *f) {
    const qn_block_iq2_xxs *b = (const qn_block_iq2_xxs *)(const void *)src;
    for (unsigned g = 0; g < 8; g++) {
        const uint8_t *qs = b->qs + 8 * g;
        const uint32_t word = flat_u32(qs + 4);
        wide sizes = {0};
        wide signs = {0};
        for (unsigned l = 0; l < 4; l++) {
            sizes[l] = qn_octets_iq2_xxs[qs[l]];
            signs[l] = qn_sign_mask(word >> (7 * l) & 127U);
        }
        put_wide(f->codes + 32 * g, offset_bytes(sizes, signs, 43));
        f->scale[2 * g] = f->scale[2 * g + 1] = (int16_t)(2U * (word >> 28) + 1U);
    }
    put_offset(f, flat_half(b->d) * 0.125F, 43);
}

static void flat_iq2_xs(const unsigned char *src, flat_k *f) {
    const qn_block_iq2_xs *b = (const qn_block_iq2_xs *)(const void *)src;
    for (unsigned g = 0; g < 8; g++) {
        wide sizes = {0};
        wide signs = {0};
        for (unsigned l = 0; l < 4; l++) {
            const unsigned q = flat_u16(b->qs + 8 * g + 2 * l);
            sizes[l] = qn_octets_iq2_xs[q & 511U];
            signs[l] = qn_sign_mask(q >> 9);
        }
        put_wide(f->codes + 32 * g, offset_bytes(sizes, signs, 43));
    }
    for (unsigned g = 0; g < 16; g++) {
        f->scale[g] = (int16_t)(2U * flat_nibble(b->scales, g) + 1U);
    }
    put_offset(f, flat_half(b->d) * 0.125F, 43);
}

static void flat_iq2_s(const unsigned char *src, flat_k *f) {
    const qn_block_iq2_s *b = (const qn_block_iq2_s *)(const void *)src;
    for (unsigned g = 0; g < 8; g++) {
        wide sizes = {0};
        wide signs = {0};
        for (unsigned l = 0; l < 4; l++) {
            sizes[l] = qn_octets_iq2_s[b->qs[4 * g + l] | ((unsigned)b->qh[g] >> (2 * l) & 3U) << 8];
            signs[l] = b->signs[4 * g + l];
        }
        put_wide(f->codes + 32 * g, offset_bytes(sizes, signs, 43));
    }
    for (unsigned g = 0; g < 16; g++) {
        f->scale[g] = (int16_t)(2U * flat_nibble(b->scales, g) + 1U);
    }
    put_offset(f, flat_half(b->d) * 0.125F, 43);
}

static void flat_iq3_xxs(const unsigned char *src, flat_k *f) {
    const qn_block_iq3_xxs *b = (const qn_block_iq3_xxs *)(const void *)src;
    for (unsigned g = 0; g < 8; g++) {
        const uint32_t word = flat_u32(b->signs + 4 * g);
        wide sizes = {0};
        wide signs = {0};
        for (unsigned l = 0; l < 4; l++) {
            const uint8_t *qs = b->qs + 8 * g + 2 * l;
            sizes[l] = qn_quads_iq3_xxs[qs[0]] | (uint64_t)qn_quads_iq3_xxs[qs[1]] << 32;
            signs[l] = qn_sign_mask(word >> (7 * l) & 127U);
        }
        put_wide(f->codes + 32 * g, offset_bytes(sizes, signs, 62));
        f->scale[2 * g] = f->scale[2 * g + 1] = (int16_t)(2U * (word >> 28) + 1U);
    }
    put_offset(f, flat_half(b->d) * 0.25F, 62);
}

static void flat_iq3_s(const unsigned char *src, flat_k *f) {
    const qn_block_iq3_s *b = (const qn_block_iq3_s *)(const void *)src;
    for (unsigned g = 0; g < 8; g++) {
        wide sizes = {0};
        wide signs = {0};
        for (unsigned l = 0; l < 4; l++) {
            const uint8_t *qs = b->qs + 8 * g + 2 * l;
            const unsigned high = (unsigned)b->qh[g] >> (2 * l);
            sizes[l] = qn_quads_iq3_s[qs[0] | (high & 1U) << 8] |
                (uint64_t)qn_quads_iq3_s[qs[1] | (high & 2U) << 7] << 32;
            signs[l] = b->signs[4 * g + l];
        }
        put_wide(f->codes + 32 * g, offset_bytes(sizes, signs, 15));
        f->scale[2 * g] = f->scale[2 * g + 1] = (int16_t)(2U * flat_nibble(b->scales, g) + 1U);
    }
    put_offset(f, flat_half(b->d), 15);
}

/* Eighths: 8 (level - 1) + 1 or - 1, above -9. */
static inline uint64_t iq1_bytes(unsigned index, bool is_down) {
    return qn_octets_iq1_s[index] + (is_down ? 0 : BYTES(2));
}

static void flat_iq1_s(const unsigned char *src, flat_k *f) {
    const qn_block_iq1_s *b = (const qn_block_iq1_s *)(const void *)src;
    for (unsigned i = 0; i < 32; i++) {
        const unsigned word = flat_u16(b->qh + 2 * (i / 4));
        const unsigned index = b->qs[i] | (word >> (3 * (i % 4)) & 7U) << 8;
        put_word(f->codes + 8 * i, iq1_bytes(index, (word & 0x8000U) != 0));
        f->scale[i / 2] = (int16_t)(2U * (word >> 12 & 7U) + 1U);
    }
    put_offset(f, flat_half(b->d) * 0.125F, 9);
}

static void flat_iq1_m(const unsigned char *src, flat_k *f) {
    const qn_block_iq1_m *b = (const qn_block_iq1_m *)(const void *)src;
    unsigned bits = 0;
    for (unsigned k = 0; k < 4; k++) {
        bits |= flat_u16(b->scales + 2 * k) >> 12 << (4 * k);
    }
    for (unsigned i = 0; i < 32; i++) {
        const unsigned nibble = flat_nibble(b->qh, i);
        const unsigned code = flat_u16(b->scales + 2 * (i / 8)) >> (3 * (i / 2 % 4)) & 7U;
        put_word(f->codes + 8 * i, iq1_bytes(b->qs[i] | (nibble & 7U) << 8, (nibble & 8U) != 0));
        f->scale[i / 2] = (int16_t)(2U * code + 1U);
    }
    put_offset(f, half_to_f32((uint16_t)bits) * 0.125F, 9);
}

/* ---- Ternary ---- */

static void flat_tq2_0(const unsigned char *src, flat_k *f) {
    const qn_block_tq2_0 *b = (const qn_block_tq2_0 *)(const void *)src;
    for (unsigned h = 0; h < 2; h++) {
        for (unsigned k = 0; k < 4; k++) {
            put_wide(f->codes + 128 * h + 32 * k, wide_at(b->qs + 32 * h) >> (2 * k) & BYTES(3));
        }
    }
    for (unsigned g = 0; g < 16; g++) {
        f->scale[g] = 1;
    }
    put_offset(f, flat_half(b->d), 1);
}

/* Digit n, with power = 3^n, of n_bytes bytes; a byte v is the fraction v/256 in base 3, rounded up. */
static inline void put_digits(const uint8_t *bytes, unsigned n_bytes, unsigned power, uint8_t *codes) {
    for (unsigned i = 0; i < n_bytes; i++) {
        codes[i] = (uint8_t)((((bytes[i] * power) & 255U) * 3U) >> 8);
    }
}

static void flat_tq1_0(const unsigned char *src, flat_k *f) {
    static const unsigned powers[5] = {1, 3, 9, 27, 81};
    const qn_block_tq1_0 *b = (const qn_block_tq1_0 *)(const void *)src;
    for (unsigned n = 0; n < 5; n++) {
        put_digits(b->qs, 32, powers[n], f->codes + 32 * n);
        put_digits(b->qs + 32, 16, powers[n], f->codes + 160 + 16 * n);
    }
    for (unsigned n = 0; n < 4; n++) {
        put_digits(b->qh, 4, powers[n], f->codes + 240 + 4 * n);
    }
    for (unsigned g = 0; g < 16; g++) {
        f->scale[g] = 1;
    }
    put_offset(f, flat_half(b->d), 1);
}

/* ---- Blocks of 32 ---- */

static void flat_q4_0(const unsigned char *src, unsigned n_groups, flat_32 *f) {
    for (unsigned g = 0; g < n_groups; g++) {
        const qn_block_q4_0 *b = (const qn_block_q4_0 *)(const void *)src + g;
        for (unsigned i = 0; i < 2; i++) {
            const uint64_t word = word_at(b->qs + 8 * i);
            put_word(f->codes + 32 * g + 8 * i, word & BYTES(15));
            put_word(f->codes + 32 * g + 16 + 8 * i, word >> 4 & BYTES(15));
        }
        f->d[g] = flat_half(b->d);
        f->m[g] = -8.0F * f->d[g];
    }
}

static void flat_q4_1(const unsigned char *src, unsigned n_groups, flat_32 *f) {
    for (unsigned g = 0; g < n_groups; g++) {
        const qn_block_q4_1 *b = (const qn_block_q4_1 *)(const void *)src + g;
        for (unsigned i = 0; i < 2; i++) {
            const uint64_t word = word_at(b->qs + 8 * i);
            put_word(f->codes + 32 * g + 8 * i, word & BYTES(15));
            put_word(f->codes + 32 * g + 16 + 8 * i, word >> 4 & BYTES(15));
        }
        f->d[g] = flat_half(b->d);
        f->m[g] = flat_half(b->m);
    }
}

static inline void put_5_bits(const uint8_t *qs, const uint8_t *qh, uint8_t *codes) {
    for (unsigned i = 0; i < 2; i++) {
        const uint64_t word = word_at(qs + 8 * i);
        put_word(codes + 8 * i, (word & BYTES(15)) | spread_bits(qh[i]) >> 3);
        put_word(codes + 16 + 8 * i, (word >> 4 & BYTES(15)) | spread_bits(qh[i + 2]) >> 3);
    }
}

static void flat_q5_0(const unsigned char *src, unsigned n_groups, flat_32 *f) {
    for (unsigned g = 0; g < n_groups; g++) {
        const qn_block_q5_0 *b = (const qn_block_q5_0 *)(const void *)src + g;
        put_5_bits(b->qs, b->qh, f->codes + 32 * g);
        f->d[g] = flat_half(b->d);
        f->m[g] = -16.0F * f->d[g];
    }
}

static void flat_q5_1(const unsigned char *src, unsigned n_groups, flat_32 *f) {
    for (unsigned g = 0; g < n_groups; g++) {
        const qn_block_q5_1 *b = (const qn_block_q5_1 *)(const void *)src + g;
        put_5_bits(b->qs, b->qh, f->codes + 32 * g);
        f->d[g] = flat_half(b->d);
        f->m[g] = flat_half(b->m);
    }
}

static void flat_q8_0(const unsigned char *src, unsigned n_groups, flat_32 *f) {
    for (unsigned g = 0; g < n_groups; g++) {
        const qn_block_q8_0 *b = (const qn_block_q8_0 *)(const void *)src + g;
        memcpy(f->codes + 32 * g, b->qs, 32);
        f->d[g] = flat_half(b->d);
        f->m[g] = 0.0F;
    }
}

static void flat_iq4_nl(const unsigned char *src, unsigned n_groups, flat_32 *f) {
    for (unsigned g = 0; g < n_groups; g++) {
        const qn_block_iq4_nl *b = (const qn_block_iq4_nl *)(const void *)src + g;
        put_levels(b->qs, (const uint8_t *)qn_levels_iq4, f->codes + 32 * g);
        f->d[g] = flat_half(b->d);
        f->m[g] = 0.0F;
    }
}

/* Doubled E2M1 above -12. */
static const uint8_t flat_levels_mxfp4[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

/* The scale is half the power of two. */
static void flat_mxfp4(const unsigned char *src, unsigned n_groups, flat_32 *f) {
    for (unsigned g = 0; g < n_groups; g++) {
        const qn_block_mxfp4 *b = (const qn_block_mxfp4 *)(const void *)src + g;
        put_levels(b->qs, flat_levels_mxfp4, f->codes + 32 * g);
        f->d[g] = f32_from_bits(b->e < 2 ? 0x00200000U << b->e : ((uint32_t)b->e - 1) << 23);
        f->m[g] = -12.0F * f->d[g];
    }
}

/* One bit: -d or d. */
static void flat_q1_0(const unsigned char *src, unsigned n_groups, flat_32 *f) {
    for (unsigned g = 0; g < n_groups; g++) {
        const qn_block_q1_0 *b = (const qn_block_q1_0 *)(const void *)src + g / 4;
        const float d = flat_half(b->d);
        for (unsigned i = 0; i < 4; i++) {
            put_word(f->codes + 32 * g + 8 * i, spread_bits(b->bits[4 * (g % 4) + i]) >> 7);
        }
        f->d[g] = 2.0F * d;
        f->m[g] = -d;
    }
}

/* Two bits: -d, 0, d, 2d. */
static void flat_q2_0(const unsigned char *src, unsigned n_groups, flat_32 *f) {
    for (unsigned g = 0; g < n_groups; g++) {
        const qn_block_q2_0 *b = (const qn_block_q2_0 *)(const void *)src + g / 2;
        for (unsigned i = 0; i < 4; i++) {
            put_word(f->codes + 32 * g + 8 * i, octet_bytes((uint16_t)flat_u16(b->qs + 8 * (g % 2) + 2 * i)));
        }
        f->d[g] = flat_half(b->d);
        f->m[g] = -f->d[g];
    }
}

#endif
