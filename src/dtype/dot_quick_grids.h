/* SPDX-License-Identifier: MIT */
/*
 * dot_quick_grids.h: one vector times rows of the grid and ternary types, unpacked in registers.
 *
 * The same integers and the same floats as the codes of dot_flat.h give. There a weight with a sign is a code above an
 * offset; here signs go to the values, and what the offset would have added, offset * scale * sum of values, is added
 * afterwards. Source: facts/quants.md §2, 3, 8.
 */
#ifndef QUERN_DTYPE_DOT_QUICK_GRIDS_H
#define QUERN_DTYPE_DOT_QUICK_GRIDS_H

#include "dtype/dot_quick.h"

#if defined(__AVX2__)

/* Sixteen scales, their minima for codes above offset, and the sums to which products are added. */
typedef struct grid_block {
    __m256i scales[2]; /* of each half of the block, in both halves of a register */
    quick_sums sums;
} grid_block;

DOT_INLINE grid_block begin_grid(__m256i scales, short offset, bool has_signs, __m256i x_sums) {
    const __m256i minima = _mm256_madd_epi16(_mm256_mullo_epi16(scales, _mm256_set1_epi16(offset)), x_sums);
    return (grid_block){{_mm256_permute4x64_epi64(scales, 0x44), _mm256_permute4x64_epi64(scales, 0xEE)},
                        {has_signs ? minima : _mm256_setzero_si256(), minima}};
}

/* Adds 32 codes of group g; the loop around it is unrolled. */
DOT_INLINE void add_group(grid_block *b, unsigned g, __m256i codes, __m256i values) {
    const __m256i pairs = _mm256_maddubs_epi16(codes, values);
    const __m256i scale = scales_of_16(b->scales[g / 4], g % 4);
    b->sums.codes = add_words(b->sums.codes, pairs, scale);
}

/* 2n + 1 of nibbles. */
DOT_INLINE __m128i odd_nibbles(__m128i bytes) {
    const __m128i mask = _mm_set1_epi8(15);
    const __m128i both = _mm_unpacklo_epi8(_mm_and_si128(bytes, mask), _mm_and_si128(_mm_srli_epi16(bytes, 4), mask));
    return _mm_add_epi8(_mm_add_epi8(both, both), _mm_set1_epi8(1));
}

/* Sixteen scales of a nibble each. */
DOT_INLINE __m256i scales_of_nibbles(const uint8_t *bytes) {
    return _mm256_cvtepu8_epi16(odd_nibbles(_mm_loadl_epi64((const __m128i *)(const void *)bytes)));
}

/* Eight scales in the uppermost four bits of 32, each for two groups of 16. */
DOT_INLINE __m256i scales_of_words(__m256i words) {
    const __m256i scale = _mm256_srli_epi32(words, 28);
    const __m256i odd = _mm256_add_epi32(_mm256_add_epi32(scale, scale), _mm256_set1_epi32(1));
    return _mm256_or_si256(odd, _mm256_slli_epi32(odd, 16));
}

/*
 * What a block's codes are fetched by. It is made for four rows before the first of them is summed: to wait for it
 * within each row took a sixth of the time.
 */
typedef struct grid_plan {
    _Alignas(32) uint16_t index[64]; /* of codewords */
    _Alignas(32) uint32_t signs[8];  /* of 32 elements each */
} grid_plan;

DOT_INLINE void store_256(void *to, __m256i value) {
    _mm256_store_si256((__m256i *)to, value);
}

/* Values with the signs of 32 bits. */
DOT_INLINE __m256i with_signs(const int8_t *x, uint32_t signs) {
    const __m256i mask = quick_bits(signs);
    return _mm256_sub_epi8(_mm256_xor_si256(load_256(x), mask), mask);
}

/* Masks of signs from indices of seven bits, a byte each; see qn_sign_mask(). */
DOT_INLINE __m256i even_signs(__m256i indices) {
    __m256i parity = _mm256_xor_si256(indices, _mm256_srli_epi16(indices, 4));
    parity = _mm256_xor_si256(parity, _mm256_srli_epi16(parity, 2));
    parity = _mm256_xor_si256(parity, _mm256_srli_epi16(parity, 1));
    const __m256i eighth = _mm256_slli_epi16(_mm256_and_si256(parity, _mm256_set1_epi8(1)), 7);
    return _mm256_or_si256(indices, eighth);
}

/* Four 7-bit fields of each of eight words, a byte each. */
DOT_INLINE __m256i spread_sevens(__m256i words) {
    const __m256i pairs = _mm256_or_si256(_mm256_and_si256(words, _mm256_set1_epi32(0x3FFF)),
                                          _mm256_and_si256(_mm256_slli_epi32(words, 2), _mm256_set1_epi32(0x3FFF0000)));
    return _mm256_or_si256(_mm256_and_si256(pairs, _mm256_set1_epi16(0x7F)),
                           _mm256_and_si256(_mm256_slli_epi16(pairs, 1), _mm256_set1_epi16(0x7F00)));
}

DOT_INLINE __m256i sixteen_words(const uint8_t *bytes) {
    return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)bytes));
}

/* Sixteen indices: a byte each, and above it what factors bring there of other bytes, which lie in words. */
DOT_INLINE void put_indices(uint16_t *index, const uint8_t *qs, __m256i high, __m256i factors, short mask) {
    const __m256i above = _mm256_and_si256(_mm256_mullo_epi16(high, factors), _mm256_set1_epi16(mask));
    store_256(index, _mm256_or_si256(sixteen_words(qs), above));
}

/* Four octets, or eight quads, as bytes. */
DOT_INLINE __m256i octets_at(const uint64_t *grid, unsigned a, unsigned b, unsigned c, unsigned d) {
    return _mm256_setr_epi64x((long long)grid[a], (long long)grid[b], (long long)grid[c], (long long)grid[d]);
}

DOT_INLINE __m256i quads_at(const uint32_t *grid, const uint16_t *index) {
    return _mm256_setr_epi32((int)grid[index[0]], (int)grid[index[1]], (int)grid[index[2]], (int)grid[index[3]],
                             (int)grid[index[4]], (int)grid[index[5]], (int)grid[index[6]], (int)grid[index[7]]);
}

/* The words of signs and scales, each behind four indices. */
DOT_INLINE __m256i iq2_xxs_words(const qn_block_iq2_xxs *b) {
    const __m256 first = _mm256_castsi256_ps(load_256(b->qs));
    const __m256 second = _mm256_castsi256_ps(load_256(b->qs + 32));
    return _mm256_permute4x64_epi64(_mm256_castps_si256(_mm256_shuffle_ps(first, second, 0xDD)), 0xD8);
}

DOT_INLINE void plan_iq2_xxs(const unsigned char *src, grid_plan *plan) {
    const qn_block_iq2_xxs *b = (const qn_block_iq2_xxs *)(const void *)src;
    store_256(plan->signs, even_signs(spread_sevens(iq2_xxs_words(b))));
}

DOT_INLINE quick_sums quick_iq2_xxs(const unsigned char *src, const grid_plan *plan, const int8_t *x, __m256i x_sums) {
    const qn_block_iq2_xxs *b = (const qn_block_iq2_xxs *)(const void *)src;
    grid_block block = begin_grid(scales_of_words(iq2_xxs_words(b)), 43, true, x_sums);
#pragma GCC unroll 8
    for (unsigned g = 0; g < 8; g++) {
        const uint8_t *qs = b->qs + 8 * g;
        const __m256i codes = octets_at(qn_octets_iq2_xxs, qs[0], qs[1], qs[2], qs[3]);
        add_group(&block, g, codes, with_signs(x + 32 * g, plan->signs[g]));
    }
    return block.sums;
}

DOT_INLINE void plan_iq2_xs(const unsigned char *src, grid_plan *plan) {
    const qn_block_iq2_xs *b = (const qn_block_iq2_xs *)(const void *)src;
    const __m256i mask = _mm256_set1_epi16(511);
    const __m256i first = load_256(b->qs);
    const __m256i second = load_256(b->qs + 32);
    const __m256i mixed = _mm256_packus_epi16(_mm256_srli_epi16(first, 9), _mm256_srli_epi16(second, 9));
    store_256(plan->signs, even_signs(_mm256_permute4x64_epi64(mixed, 0xD8)));
    store_256(plan->index, _mm256_and_si256(first, mask));
    store_256(plan->index + 16, _mm256_and_si256(second, mask));
}

DOT_INLINE quick_sums quick_iq2_xs(const unsigned char *src, const grid_plan *plan, const int8_t *x, __m256i x_sums) {
    const qn_block_iq2_xs *b = (const qn_block_iq2_xs *)(const void *)src;
    grid_block block = begin_grid(scales_of_nibbles(b->scales), 43, true, x_sums);
#pragma GCC unroll 8
    for (unsigned g = 0; g < 8; g++) {
        const uint16_t *i = plan->index + 4 * g;
        const __m256i codes = octets_at(qn_octets_iq2_xs, i[0], i[1], i[2], i[3]);
        add_group(&block, g, codes, with_signs(x + 32 * g, plan->signs[g]));
    }
    return block.sums;
}

DOT_INLINE void plan_iq2_s(const unsigned char *src, grid_plan *plan) {
    const qn_block_iq2_s *b = (const qn_block_iq2_s *)(const void *)src;
    const __m256i factors = _mm256_set1_epi64x(0x0004001000400100);
    const __m256i which = _mm256_setr_epi64x((long long)0x8000800080008000U, (long long)0x8001800180018001U,
                                             (long long)0x8002800280028002U, (long long)0x8003800380038003U);
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        const __m256i high = _mm256_shuffle_epi8(_mm256_set1_epi32((int)flat_u32(b->qh + 4 * h)), which);
        put_indices(plan->index + 16 * h, b->qs + 16 * h, high, factors, 0x300);
    }
}

DOT_INLINE quick_sums quick_iq2_s(const unsigned char *src, const grid_plan *plan, const int8_t *x, __m256i x_sums) {
    const qn_block_iq2_s *b = (const qn_block_iq2_s *)(const void *)src;
    grid_block block = begin_grid(scales_of_nibbles(b->scales), 43, true, x_sums);
#pragma GCC unroll 8
    for (unsigned g = 0; g < 8; g++) {
        const uint16_t *i = plan->index + 4 * g;
        const __m256i codes = octets_at(qn_octets_iq2_s, i[0], i[1], i[2], i[3]);
        add_group(&block, g, codes, with_signs(x + 32 * g, flat_u32(b->signs + 4 * g)));
    }
    return block.sums;
}

DOT_INLINE void plan_iq3_xxs(const unsigned char *src, grid_plan *plan) {
    const qn_block_iq3_xxs *b = (const qn_block_iq3_xxs *)(const void *)src;
    for (unsigned h = 0; h < 4; h++) {
        store_256(plan->index + 16 * h, sixteen_words(b->qs + 16 * h));
    }
    store_256(plan->signs, even_signs(spread_sevens(load_256(b->signs))));
}

DOT_INLINE quick_sums quick_iq3_xxs(const unsigned char *src, const grid_plan *plan, const int8_t *x, __m256i x_sums) {
    const qn_block_iq3_xxs *b = (const qn_block_iq3_xxs *)(const void *)src;
    grid_block block = begin_grid(scales_of_words(load_256(b->signs)), 62, true, x_sums);
#pragma GCC unroll 8
    for (unsigned g = 0; g < 8; g++) {
        const __m256i codes = quads_at(qn_quads_iq3_xxs, plan->index + 8 * g);
        add_group(&block, g, codes, with_signs(x + 32 * g, plan->signs[g]));
    }
    return block.sums;
}

DOT_INLINE void plan_iq3_s(const unsigned char *src, grid_plan *plan) {
    const qn_block_iq3_s *b = (const qn_block_iq3_s *)(const void *)src;
    const __m256i factors = _mm256_setr_epi16(256, 128, 64, 32, 16, 8, 4, 2, 256, 128, 64, 32, 16, 8, 4, 2);
    const __m256i all = _mm256_set1_epi64x((long long)word_at(b->qh));
#pragma GCC unroll 4
    for (unsigned h = 0; h < 4; h++) {
        const short low = (short)(0x8000U + 2 * h);
        const short next = (short)(0x8001U + 2 * h);
        const __m256i which = _mm256_setr_epi16(low, low, low, low, low, low, low, low, next, next, next, next, next,
                                                next, next, next);
        put_indices(plan->index + 16 * h, b->qs + 16 * h, _mm256_shuffle_epi8(all, which), factors, 256);
    }
}

DOT_INLINE quick_sums quick_iq3_s(const unsigned char *src, const grid_plan *plan, const int8_t *x, __m256i x_sums) {
    const qn_block_iq3_s *b = (const qn_block_iq3_s *)(const void *)src;
    const __m128i odd = odd_nibbles(_mm_cvtsi32_si128((int)flat_u32(b->scales)));
    grid_block block = begin_grid(_mm256_cvtepu8_epi16(_mm_unpacklo_epi8(odd, odd)), 15, true, x_sums);
#pragma GCC unroll 8
    for (unsigned g = 0; g < 8; g++) {
        const __m256i codes = quads_at(qn_quads_iq3_s, plan->index + 8 * g);
        add_group(&block, g, codes, with_signs(x + 32 * g, flat_u32(b->signs + 4 * g)));
    }
    return block.sums;
}

DOT_INLINE void plan_iq1_s(const unsigned char *src, grid_plan *plan) {
    const qn_block_iq1_s *b = (const qn_block_iq1_s *)(const void *)src;
    const __m256i factors = _mm256_set1_epi64x(0x0001000400200100);
    const __m256i which = _mm256_setr_epi64x(0x0100010001000100, 0x0302030203020302, 0x0504050405040504,
                                             0x0706070607060706);
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        const __m256i words = _mm256_shuffle_epi8(_mm256_set1_epi64x((long long)word_at(b->qh + 8 * h)), which);
        const __m256i high = _mm256_blend_epi16(words, _mm256_srli_epi16(words, 1), 0x88);
        put_indices(plan->index + 16 * h, b->qs + 16 * h, high, factors, 0x700);
    }
}

/* Eighths: see iq1_bytes(); the two by which groups go up are added for a whole group. */
DOT_INLINE quick_sums quick_iq1_s(const unsigned char *src, const grid_plan *plan, const int8_t *x, __m256i x_sums) {
    const qn_block_iq1_s *b = (const qn_block_iq1_s *)(const void *)src;
    const __m128i words = _mm_loadu_si128((const __m128i *)(const void *)b->qh);
    const __m128i three = _mm_and_si128(_mm_srli_epi16(words, 11), _mm_set1_epi16(14));
    const __m128i odd = _mm_or_si128(three, _mm_set1_epi16(1));
    const __m128i up = _mm_andnot_si128(_mm_srai_epi16(words, 15), _mm_add_epi16(odd, odd));
    const __m256i scales = _mm256_set_m128i(_mm_unpackhi_epi16(odd, odd), _mm_unpacklo_epi16(odd, odd));
    const __m256i ups = _mm256_set_m128i(_mm_unpackhi_epi16(up, up), _mm_unpacklo_epi16(up, up));
    grid_block block = begin_grid(scales, 9, false, x_sums);
    block.sums.codes = _mm256_madd_epi16(ups, x_sums);
#pragma GCC unroll 8
    for (unsigned g = 0; g < 8; g++) {
        const uint16_t *i = plan->index + 4 * g;
        add_group(&block, g, octets_at(qn_octets_iq1_s, i[0], i[1], i[2], i[3]), load_256(x + 32 * g));
    }
    return block.sums;
}

DOT_INLINE void plan_iq1_m(const unsigned char *src, grid_plan *plan) {
    const qn_block_iq1_m *b = (const qn_block_iq1_m *)(const void *)src;
    const __m256i factors = _mm256_set1_epi32(0x00100100);
    const __m256i which = _mm256_setr_epi64x((long long)0x8001800180008000U, (long long)0x8003800380028002U,
                                             (long long)0x8005800580048004U, (long long)0x8007800780068006U);
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        const __m256i high = _mm256_shuffle_epi8(_mm256_set1_epi64x((long long)word_at(b->qh + 8 * h)), which);
        put_indices(plan->index + 16 * h, b->qs + 16 * h, high, factors, 0x700);
    }
}

DOT_INLINE quick_sums quick_iq1_m(const unsigned char *src, const grid_plan *plan, const int8_t *x, __m256i x_sums) {
    const qn_block_iq1_m *b = (const qn_block_iq1_m *)(const void *)src;
    const __m256i which = _mm256_setr_epi64x(0x0100010001000100, 0x0302030203020302, 0x0504050405040504,
                                             0x0706070607060706);
    const __m256i words = _mm256_shuffle_epi8(_mm256_set1_epi64x((long long)word_at(b->scales)), which);
    const __m256i left = _mm256_set1_epi64x(1LL << 13 | 1LL << 26 | 1LL << 39 | 1LL << 52);
    const __m256i three = _mm256_srli_epi16(_mm256_mullo_epi16(words, left), 13);
    const __m256i scales = _mm256_or_si256(_mm256_slli_epi16(three, 1), _mm256_set1_epi16(1));
    grid_block block = begin_grid(scales, 9, false, x_sums);
#pragma GCC unroll 8
    for (unsigned g = 0; g < 8; g++) {
        const uint16_t *i = plan->index + 4 * g;
        const __m256i codes = octets_at(qn_octets_iq1_s, i[0], i[1], i[2], i[3]);
        /* Bit 3 of an octet's nibble: down. */
        const __m256i down = _mm256_and_si256(_mm256_set1_epi16((short)flat_u16(b->qh + 2 * g)),
                                              _mm256_setr_epi64x(1LL << 3, 1LL << 7, 1LL << 11, 1LL << 15));
        const __m256i is_up = _mm256_cmpeq_epi64(down, _mm256_setzero_si256());
        const __m256i shift = _mm256_and_si256(is_up, _mm256_set1_epi8(2));
        add_group(&block, g, _mm256_add_epi8(codes, shift), load_256(x + 32 * g));
    }
    return block.sums;
}

/* Ternary digits have one scale: 256 products of digits fit 16 bits. */
DOT_INLINE quick_sums ternary_sums(__m256i pairs, __m256i x_sums) {
    const __m256i ones = _mm256_set1_epi16(1);
    return (quick_sums){_mm256_madd_epi16(pairs, ones), _mm256_madd_epi16(x_sums, ones)};
}

DOT_INLINE quick_sums quick_tq2_0(const unsigned char *src, const int8_t *x, __m256i x_sums) {
    const qn_block_tq2_0 *b = (const qn_block_tq2_0 *)(const void *)src;
    __m256i pairs = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (unsigned k = 0; k < 8; k++) {
        const __m256i word = _mm256_srli_epi16(load_256(b->qs + 32 * (k / 4)), (int)(2 * (k % 4)));
        const __m256i codes = _mm256_and_si256(word, _mm256_set1_epi8(3));
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(codes, load_256(x + 32 * k)));
    }
    return ternary_sums(pairs, x_sums);
}

/* The first digit of each byte: 3 v / 256, rounded down. */
DOT_INLINE __m256i first_digits(__m256i v) {
    const __m256i one = _mm256_cmpeq_epi8(_mm256_max_epu8(v, _mm256_set1_epi8(86)), v);
    const __m256i two = _mm256_cmpeq_epi8(_mm256_max_epu8(v, _mm256_set1_epi8((char)171)), v);
    return _mm256_sub_epi8(_mm256_setzero_si256(), _mm256_add_epi8(one, two));
}

DOT_INLINE __m256i times_three(__m256i v) {
    return _mm256_add_epi8(v, _mm256_add_epi8(v, v));
}

DOT_INLINE quick_sums quick_tq1_0(const unsigned char *src, const int8_t *x, __m256i x_sums) {
    const qn_block_tq1_0 *b = (const qn_block_tq1_0 *)(const void *)src;
    __m256i pairs = _mm256_setzero_si256();
    __m256i v = load_256(b->qs);
#pragma GCC unroll 5
    for (unsigned n = 0; n < 5; n++, v = times_three(v)) {
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(first_digits(v), load_256(x + 32 * n)));
    }
    /* Two digits of 16 bytes at a time; behind the fifth, four digits of four bytes. */
    v = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)(b->qs + 32)));
    v = _mm256_blend_epi32(v, times_three(v), 0xF0);
    for (unsigned n = 0; n < 2; n++, v = times_three(times_three(v))) {
        pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(first_digits(v), load_256(x + 160 + 32 * n)));
    }
    const __m256i h = _mm256_set1_epi32((int)flat_u32(b->qh));
    const __m256i h3 = times_three(h);
    const __m256i h9 = times_three(h3);
    const __m256i digits = _mm256_blend_epi32(_mm256_blend_epi32(h, h3, 0x20),
                                              _mm256_blend_epi32(h9, times_three(h9), 0x80), 0xC0);
    v = _mm256_blend_epi32(v, digits, 0xF0);
    pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(first_digits(v), load_256(x + 224)));
    return ternary_sums(pairs, x_sums);
}

/* IQ1_M's scale is spread over the uppermost nibbles of four words. */
DOT_INLINE __m128 four_split_halves(const unsigned char *const rows[DOT_ROWS], uint64_t byte) {
    uint64_t all = 0;
    for (unsigned r = 0; r < DOT_ROWS; r++) {
        const uint64_t words = word_at(rows[r] + byte);
        all |= ((words >> 12 & 0xFU) | (words >> 24 & 0xF0U) | (words >> 36 & 0xF00U) | (words >> 48 & 0xF000U))
            << (16 * r);
    }
    return _mm_cvtph_ps(_mm_set_epi64x(0, (long long)all));
}

/* Four rows whose plans are made first; the compiler may not take a plan out of registers word by word. */
#define DEFINE_PLANNED_FOUR(type)                                                                          \
    DOT_INLINE void four_##type(const unsigned char *const rows[DOT_ROWS], uint64_t byte, const int8_t *x, \
                                __m256i x_sums, __m256i codes[DOT_ROWS], __m256i minima[DOT_ROWS]) {       \
        grid_plan plans[DOT_ROWS];                                                                         \
        for (unsigned i = 0; i < DOT_ROWS; i++) {                                                          \
            plan_##type(rows[i] + byte, &plans[i]);                                                        \
        }                                                                                                  \
        __asm__("" : "+m"(plans));                                                                         \
        _Pragma("GCC unroll 1") for (unsigned i = 0; i < DOT_ROWS; i++) {                                  \
            const quick_sums s = quick_##type(rows[i] + byte, &plans[i], x, x_sums);                       \
            codes[i] = s.codes;                                                                            \
            minima[i] = s.minima;                                                                          \
        }                                                                                                  \
    }

DEFINE_PLANNED_FOUR(iq2_xxs)
DEFINE_PLANNED_FOUR(iq2_xs)
DEFINE_PLANNED_FOUR(iq2_s)
DEFINE_PLANNED_FOUR(iq3_xxs)
DEFINE_PLANNED_FOUR(iq3_s)
DEFINE_PLANNED_FOUR(iq1_s)
DEFINE_PLANNED_FOUR(iq1_m)
DEFINE_QUICK_FOUR(tq1_0)
DEFINE_QUICK_FOUR(tq2_0)

#define DEFINE_QUICK_GRID(type, factor, four_d, d_at)                                         \
    static void quick_rows_##type(const qn_dot_task *task) {                                  \
        quick_rows_k(task, four_##type, CODES_7_BIT, sizeof(qn_block_##type), four_d, factor, \
                     offsetof(qn_block_##type, d_at), offsetof(qn_block_##type, d_at));       \
    }

DEFINE_QUICK_GRID(iq2_xxs, 0.125F, four_halves, d)
DEFINE_QUICK_GRID(iq2_xs, 0.125F, four_halves, d)
DEFINE_QUICK_GRID(iq2_s, 0.125F, four_halves, d)
DEFINE_QUICK_GRID(iq3_xxs, 0.25F, four_halves, d)
DEFINE_QUICK_GRID(iq3_s, 1.0F, four_halves, d)
DEFINE_QUICK_GRID(iq1_s, 0.125F, four_halves, d)
DEFINE_QUICK_GRID(iq1_m, 0.125F, four_split_halves, scales)
DEFINE_QUICK_GRID(tq1_0, 1.0F, four_halves, d)
DEFINE_QUICK_GRID(tq2_0, 1.0F, four_halves, d)

#endif
#endif
