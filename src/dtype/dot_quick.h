/* SPDX-License-Identifier: MIT */
/*
 * dot_quick.h: one vector times rows of the commonest types, unpacked in registers: generation, as fast as memory.
 *
 * The same integers and the same floats in the same order as dot_rows.h, whose products these stand in for.
 */
#ifndef QUERN_DTYPE_DOT_QUICK_H
#define QUERN_DTYPE_DOT_QUICK_H

#include "dtype/dot_parts.h"

#if defined(__AVX2__)

enum { QUICK_BYTES = 131072 }; /* of weights that several vectors meet one after the other */

/* Asks for the bytes of a block of the four rows that come next, where the last of them still is a row. */
DOT_INLINE void prefetch_next(const unsigned char *block, uint64_t next, uint64_t block_bytes) {
    for (uint64_t byte = 0; byte < block_bytes; byte += 64) {
        _mm_prefetch((const char *)block + next + byte, _MM_HINT_T0);
    }
}

/* A row's block: codes times values times scales, and minima times sums, still in lanes. */
typedef struct quick_sums {
    __m256i codes;
    __m256i minima;
} quick_sums;

/* The 16-bit scale of 32 codes in all lanes: word i of each half of scales, which are both the same. */
DOT_INLINE __m256i scale_of_32(__m256i scales, unsigned i) {
    return _mm256_shuffle_epi8(scales, _mm256_set1_epi16((short)(0x0100U + 0x0202U * i)));
}

DOT_INLINE __m256i add_codes(code_size size, __m256i sum, __m256i codes, const int8_t *x, __m256i scale) {
    return add_words(sum, pairs_of(size, codes, load_256(x)), scale);
}

/* Scales and minima of Q4_K and Q5_K as bytes: eight scales, eight minima. */
DOT_INLINE __m128i scale_min_bytes(const uint8_t *s) {
    /* Twelve bytes are read, and four of what lies behind them in the block. */
    const __m128i all = _mm_loadu_si128((const __m128i *)(const void *)s);
    const __m128i low = _mm_srlv_epi32(_mm_shuffle_epi32(all, 0x98), _mm_setr_epi32(0, 0, 0, 4));
    const __m128i high = _mm_srli_epi32(_mm_shuffle_epi32(all, 0x50), 2);
    return _mm_or_si128(_mm_and_si128(low, _mm_setr_epi32(0x3F3F3F3F, 0x0F0F0F0F, 0x3F3F3F3F, 0x0F0F0F0F)),
                        _mm_and_si128(high, _mm_setr_epi32(0, 0x30303030, 0, 0x30303030)));
}

DOT_INLINE quick_sums quick_q4_k(const unsigned char *src, const int8_t *x, __m256i x_sums) {
    const qn_block_q4_k *b = (const qn_block_q4_k *)(const void *)src;
    const __m128i bytes = scale_min_bytes(b->scales);
    const __m256i scales = _mm256_broadcastsi128_si256(_mm_cvtepu8_epi16(bytes));
    const __m256i minima = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(bytes, bytes));
    const __m256i mask = _mm256_set1_epi8(15);
    quick_sums s = {_mm256_setzero_si256(), _mm256_madd_epi16(minima, x_sums)};
#pragma GCC unroll 4
    for (unsigned j = 0; j < 4; j++) {
        const __m256i word = load_256(b->qs + 32 * j);
        s.codes = add_codes(CODES_4_BIT, s.codes, _mm256_and_si256(word, mask), x + 64 * j, scale_of_32(scales, 2 * j));
        s.codes = add_codes(CODES_4_BIT, s.codes, _mm256_and_si256(_mm256_srli_epi16(word, 4), mask), x + 64 * j + 32,
                            scale_of_32(scales, 2 * j + 1));
    }
    return s;
}

DOT_INLINE quick_sums quick_q5_k(const unsigned char *src, const int8_t *x, __m256i x_sums) {
    const qn_block_q5_k *b = (const qn_block_q5_k *)(const void *)src;
    const __m128i bytes = scale_min_bytes(b->scales);
    const __m256i scales = _mm256_broadcastsi128_si256(_mm_cvtepu8_epi16(bytes));
    const __m256i minima = _mm256_cvtepu8_epi16(_mm_unpackhi_epi8(bytes, bytes));
    const __m256i mask = _mm256_set1_epi8(15);
    const __m256i high = load_256(b->qh);
    quick_sums s = {_mm256_setzero_si256(), _mm256_madd_epi16(minima, x_sums)};
#pragma GCC unroll 4
    for (unsigned j = 0; j < 4; j++) {
        const __m256i word = load_256(b->qs + 32 * j);
        const __m256i fifth = _mm256_srli_epi16(high, (int)(2 * j));
        const __m256i first = _mm256_slli_epi16(_mm256_and_si256(fifth, _mm256_set1_epi8(1)), 4);
        const __m256i second = _mm256_slli_epi16(_mm256_and_si256(fifth, _mm256_set1_epi8(2)), 3);
        s.codes = add_codes(CODES_5_BIT, s.codes, _mm256_or_si256(_mm256_and_si256(word, mask), first), x + 64 * j,
                            scale_of_32(scales, 2 * j));
        s.codes = add_codes(CODES_5_BIT, s.codes,
                            _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(word, 4), mask), second),
                            x + 64 * j + 32, scale_of_32(scales, 2 * j + 1));
    }
    return s;
}

DOT_INLINE quick_sums quick_q2_k(const unsigned char *src, const int8_t *x, __m256i x_sums) {
    const qn_block_q2_k *b = (const qn_block_q2_k *)(const void *)src;
    const __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)b->scales);
    const __m128i mask = _mm_set1_epi8(15);
    const __m256i all = _mm256_cvtepu8_epi16(_mm_and_si128(bytes, mask));
    const __m256i minima = _mm256_cvtepu8_epi16(_mm_and_si128(_mm_srli_epi16(bytes, 4), mask));
    quick_sums s = {_mm256_setzero_si256(), _mm256_madd_epi16(minima, x_sums)};
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        const __m256i scales = h == 0 ? _mm256_permute4x64_epi64(all, 0x44) : _mm256_permute4x64_epi64(all, 0xEE);
        const __m256i word = load_256(b->qs + 32 * h);
#pragma GCC unroll 4
        for (unsigned k = 0; k < 4; k++) {
            const __m256i codes = _mm256_and_si256(_mm256_srli_epi16(word, (int)(2 * k)), _mm256_set1_epi8(3));
            s.codes = add_codes(CODES_5_BIT, s.codes, codes, x + 128 * h + 32 * k, scales_of_16(scales, k));
        }
    }
    return s;
}

DOT_INLINE quick_sums quick_q3_k(const unsigned char *src, const int8_t *x, __m256i x_sums) {
    const qn_block_q3_k *b = (const qn_block_q3_k *)(const void *)src;
    const __m256i high = load_256(b->hmask);
    uint64_t first;
    uint64_t second;
    q3_scale_bytes(b->scales, &first, &second);
    const __m256i bytes = _mm256_cvtepu8_epi16(_mm_set_epi64x((long long)second, (long long)first));
    const __m256i all = _mm256_sub_epi16(bytes, _mm256_set1_epi16(32));
    quick_sums s = {_mm256_setzero_si256(), _mm256_madd_epi16(_mm256_slli_epi16(all, 2), x_sums)};
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        const __m256i scales = h == 0 ? _mm256_permute4x64_epi64(all, 0x44) : _mm256_permute4x64_epi64(all, 0xEE);
        const __m256i word = load_256(b->qs + 32 * h);
#pragma GCC unroll 4
        for (unsigned k = 0; k < 4; k++) {
            const __m256i low = _mm256_and_si256(_mm256_srli_epi16(word, (int)(2 * k)), _mm256_set1_epi8(3));
            const __m256i third = _mm256_and_si256(_mm256_srli_epi16(high, (int)(4 * h + k)), _mm256_set1_epi8(1));
            s.codes = add_codes(CODES_5_BIT, s.codes, _mm256_or_si256(low, _mm256_slli_epi16(third, 2)),
                                x + 128 * h + 32 * k, scales_of_16(scales, k));
        }
    }
    return s;
}

DOT_INLINE quick_sums quick_q6_k(const unsigned char *src, const int8_t *x, __m256i x_sums) {
    const qn_block_q6_k *b = (const qn_block_q6_k *)(const void *)src;
    const __m256i all = _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)(const void *)b->scales));
    const __m256i low_mask = _mm256_set1_epi8(15);
    const __m256i high_mask = _mm256_set1_epi8(0x30);
    quick_sums s = {_mm256_setzero_si256(), _mm256_madd_epi16(_mm256_slli_epi16(all, 5), x_sums)};
#pragma GCC unroll 2
    for (unsigned h = 0; h < 2; h++) {
        const __m256i scales = h == 0 ? _mm256_permute4x64_epi64(all, 0x44) : _mm256_permute4x64_epi64(all, 0xEE);
        const __m256i first = load_256(b->ql + 64 * h);
        const __m256i second = load_256(b->ql + 64 * h + 32);
        const __m256i high = load_256(b->qh + 32 * h);
        const __m256i codes[4] = {
            _mm256_or_si256(_mm256_and_si256(first, low_mask), _mm256_and_si256(_mm256_slli_epi16(high, 4), high_mask)),
            _mm256_or_si256(_mm256_and_si256(second, low_mask),
                            _mm256_and_si256(_mm256_slli_epi16(high, 2), high_mask)),
            _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(first, 4), low_mask), _mm256_and_si256(high, high_mask)),
            _mm256_or_si256(_mm256_and_si256(_mm256_srli_epi16(second, 4), low_mask),
                            _mm256_and_si256(_mm256_srli_epi16(high, 2), high_mask)),
        };
#pragma GCC unroll 4
        for (unsigned k = 0; k < 4; k++) {
            s.codes = add_codes(CODES_6_BIT, s.codes, codes[k], x + 128 * h + 32 * k, scales_of_16(scales, k));
        }
    }
    return s;
}

/* Low nibbles of 16 bytes, then high ones. */
DOT_INLINE __m256i quick_nibbles(const uint8_t *qs) {
    const __m256i twice = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)qs));
    return _mm256_and_si256(_mm256_srlv_epi64(twice, _mm256_setr_epi64x(0, 0, 4, 4)), _mm256_set1_epi8(15));
}

DOT_INLINE __m256i quick_levels(const uint8_t *qs, const void *levels) {
    const __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)levels));
    return _mm256_shuffle_epi8(both, quick_nibbles(qs));
}

DOT_INLINE quick_sums quick_iq4_xs(const unsigned char *src, const int8_t *x, __m256i x_sums) {
    const qn_block_iq4_xs *b = (const qn_block_iq4_xs *)(const void *)src;
    const __m256i scales = _mm256_broadcastsi128_si256(iq4_xs_scales(b));
    quick_sums s = {_mm256_setzero_si256(), _mm256_setzero_si256()};
    (void)x_sums;
#pragma GCC unroll 8
    for (unsigned j = 0; j < 8; j++) {
        s.codes = add_codes(CODES_SIGNED, s.codes, quick_levels(b->qs + 16 * j, qn_levels_iq4), x + 32 * j,
                            scale_of_32(scales, j));
    }
    return s;
}

typedef quick_sums quick_k_fn(const unsigned char *src, const int8_t *x, __m256i x_sums);

/* The f16 at the same place of four blocks. */
DOT_INLINE __m128 four_halves(const unsigned char *const rows[DOT_ROWS], uint64_t byte) {
    uint16_t half[DOT_ROWS];
    for (unsigned r = 0; r < DOT_ROWS; r++) {
        memcpy(&half[r], rows[r] + byte, sizeof half[r]);
    }
    const uint64_t all = half[0] | (uint64_t)half[1] << 16 | (uint64_t)half[2] << 32 | (uint64_t)half[3] << 48;
    return _mm_cvtph_ps(_mm_set_epi64x(0, (long long)all));
}

typedef __m128 four_scales_fn(const unsigned char *const rows[DOT_ROWS], uint64_t byte);

/* The blocks of four rows that begin byte bytes into them. */
typedef void quick_four_fn(const unsigned char *const rows[DOT_ROWS], uint64_t byte, const int8_t *x, __m256i x_sums,
                           __m256i codes[DOT_ROWS], __m256i minima[DOT_ROWS]);

DOT_INLINE void quick_each(quick_k_fn *quick, const unsigned char *const rows[DOT_ROWS], uint64_t byte, const int8_t *x,
                           __m256i x_sums, __m256i codes[DOT_ROWS], __m256i minima[DOT_ROWS]) {
#pragma GCC unroll 4
    for (unsigned i = 0; i < DOT_ROWS; i++) {
        const quick_sums s = quick(rows[i] + byte, x, x_sums);
        codes[i] = s.codes;
        minima[i] = s.minima;
        FINISH(codes[i]);
    }
}

#define DEFINE_QUICK_FOUR(type)                                                                            \
    DOT_INLINE void four_##type(const unsigned char *const rows[DOT_ROWS], uint64_t byte, const int8_t *x, \
                                __m256i x_sums, __m256i codes[DOT_ROWS], __m256i minima[DOT_ROWS]) {       \
        quick_each(quick_##type, rows, byte, x, x_sums, codes, minima);                                    \
    }

/* All rows times one vector; scales, times factor, lie d_at and dmin_at bytes into a block. */
DOT_INLINE void quick_rows_k(const qn_dot_task *task, quick_four_fn *four, code_size size, uint64_t block_bytes,
                             four_scales_fn *four_scales, float factor, uint64_t d_at, uint64_t dmin_at) {
    const int8_t *x = (const int8_t *)task->vectors;
    const float *x_d = (const float *)(const void *)(task->vectors + task->planes.d);
    const int16_t *x_sums = (const int16_t *)(const void *)(task->vectors + task->planes.sums);
    for (uint64_t r = 0; r < task->n_rows; r += DOT_ROWS) {
        const unsigned char *rows[DOT_ROWS];
        __m128 acc = _mm_setzero_ps();
        float out[DOT_ROWS];
        const uint64_t next = r + 2 * DOT_ROWS <= task->n_rows ? DOT_ROWS * task->row_bytes : 0;
        choose_rows(task, r, rows);
        for (uint64_t b = 0; b < task->n_cols / DOT_BLOCK; b++) {
            const __m256i sums = load_256(x_sums + 16 * b);
            __m256i codes[DOT_ROWS];
            __m256i minima[DOT_ROWS];
            four(rows, b * block_bytes, x + b * DOT_BLOCK, sums, codes, minima);
            for (unsigned i = 0; i < DOT_ROWS; i++) {
                prefetch_next(rows[i] + b * block_bytes, next, block_bytes);
            }
            const __m128 factors = _mm_set1_ps(factor);
            const __m128 d = _mm_mul_ps(four_scales(rows, b * block_bytes + d_at), factors);
            __m128 value = _mm_mul_ps(d, _mm_cvtepi32_ps(sums_of_rows(codes)));
            if (size != CODES_SIGNED) {
                const __m128 dmin = _mm_mul_ps(four_scales(rows, b * block_bytes + dmin_at), factors);
                value = _mm_fnmadd_ps(dmin, _mm_cvtepi32_ps(sums_of_rows(minima)), value);
            }
            acc = _mm_fmadd_ps(_mm_set1_ps(x_d[b]), value, acc);
        }
        _mm_storeu_ps(out, acc);
        store_rows(task, r, 0, out);
    }
}

/* ---- Blocks of 32 ---- */

/* All bits of a byte where a bit of 32 is set. */
DOT_INLINE __m256i quick_bits(uint32_t bits) {
    const __m256i which = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201U);
    const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), which);
    return _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
}

/* 16 where a bit of 32 is set. */
DOT_INLINE __m256i quick_fifths(const uint8_t *qh) {
    return _mm256_and_si256(quick_bits(flat_u32(qh)), _mm256_set1_epi8(16));
}

DOT_INLINE __m256i quick_q4_0(const unsigned char *src) {
    return quick_nibbles(src + offsetof(qn_block_q4_0, qs));
}

DOT_INLINE __m256i quick_q4_1(const unsigned char *src) {
    return quick_nibbles(src + offsetof(qn_block_q4_1, qs));
}

DOT_INLINE __m256i quick_q5_0(const unsigned char *src) {
    return _mm256_or_si256(quick_nibbles(src + offsetof(qn_block_q5_0, qs)),
                           quick_fifths(src + offsetof(qn_block_q5_0, qh)));
}

DOT_INLINE __m256i quick_q5_1(const unsigned char *src) {
    return _mm256_or_si256(quick_nibbles(src + offsetof(qn_block_q5_1, qs)),
                           quick_fifths(src + offsetof(qn_block_q5_1, qh)));
}

DOT_INLINE __m256i quick_q8_0(const unsigned char *src) {
    return load_256(src + offsetof(qn_block_q8_0, qs));
}

DOT_INLINE __m256i quick_iq4_nl(const unsigned char *src) {
    return quick_levels(src + offsetof(qn_block_iq4_nl, qs), qn_levels_iq4);
}

DOT_INLINE __m256i quick_mxfp4(const unsigned char *src) {
    return quick_levels(src + offsetof(qn_block_mxfp4, qs), flat_levels_mxfp4);
}

typedef __m256i quick_32_fn(const unsigned char *src);

/* Scales and what the groups of four rows begin at, a lane each. */
typedef struct quick_heads {
    __m128 d;
    __m128 m;
} quick_heads;

/* The first four bytes of four blocks: first all lower halves, then all upper ones. */
DOT_INLINE __m128i four_words(const unsigned char *const rows[DOT_ROWS], uint64_t byte) {
    const __m128i a = _mm_cvtsi32_si128((int)flat_u32(rows[0] + byte));
    const __m128i b = _mm_cvtsi32_si128((int)flat_u32(rows[1] + byte));
    const __m128i c = _mm_cvtsi32_si128((int)flat_u32(rows[2] + byte));
    const __m128i d = _mm_cvtsi32_si128((int)flat_u32(rows[3] + byte));
    return _mm_unpacklo_epi32(_mm_unpacklo_epi16(a, b), _mm_unpacklo_epi16(c, d));
}

typedef quick_heads quick_heads_fn(__m128i words, float offset);

/* A scale in f16; codes count from offset. */
DOT_INLINE quick_heads heads_half(__m128i words, float offset) {
    const __m128 d = _mm_cvtph_ps(words);
    return (quick_heads){d, _mm_mul_ps(_mm_set1_ps(-offset), d)};
}

/* Scale and minimum in f16. */
DOT_INLINE quick_heads heads_two_halves(__m128i words, float offset) {
    const __m256 both = _mm256_cvtph_ps(words);
    (void)offset;
    return (quick_heads){_mm256_castps256_ps128(both), _mm256_extractf128_ps(both, 1)};
}

/* Half of a power of two. */
DOT_INLINE quick_heads heads_power(__m128i words, float offset) {
    const __m128i e = _mm_and_si128(_mm_cvtepu16_epi32(words), _mm_set1_epi32(255));
    const __m128i normal = _mm_slli_epi32(_mm_sub_epi32(e, _mm_set1_epi32(1)), 23);
    const __m128i tiny = _mm_sllv_epi32(_mm_set1_epi32(0x00200000), e);
    const __m128i is_tiny = _mm_cmpgt_epi32(_mm_set1_epi32(2), e);
    const __m128 d = _mm_castsi128_ps(_mm_blendv_epi8(normal, tiny, is_tiny));
    return (quick_heads){d, _mm_mul_ps(_mm_set1_ps(-offset), d)};
}

/* Sums of four rows of 8 lanes. Sums of 4 codes below 32 fit 16 bits, and so do sums of 8. */
DOT_INLINE __m128i sums_of_codes(code_size size, const __m256i rows[DOT_ROWS]) {
    if (size == CODES_SIGNED) {
        return sums_of_rows(rows);
    }
    const __m256i ones = _mm256_set1_epi16(1);
    const __m256i first = _mm256_madd_epi16(_mm256_packs_epi32(rows[0], rows[1]), ones);
    const __m256i second = _mm256_madd_epi16(_mm256_packs_epi32(rows[2], rows[3]), ones);
    const __m256i both = _mm256_madd_epi16(_mm256_packs_epi32(first, second), ones);
    return _mm_add_epi32(_mm256_castsi256_si128(both), _mm256_extracti128_si256(both, 1));
}

/* All rows of blocks that begin with their scale times one vector; codes count from offset. */
DOT_INLINE void quick_rows_32(const qn_dot_task *task, quick_32_fn *quick, quick_heads_fn *heads, code_size size,
                              uint64_t block_bytes, float offset) {
    const int8_t *x = (const int8_t *)task->vectors;
    const float *x_d = (const float *)(const void *)(task->vectors + task->planes.d);
    const float *x_s = (const float *)(const void *)(task->vectors + task->planes.sums);
    for (uint64_t r = 0; r < task->n_rows; r += DOT_ROWS) {
        const unsigned char *rows[DOT_ROWS];
        __m128 acc = _mm_setzero_ps();
        float out[DOT_ROWS];
        const uint64_t next = r + 2 * DOT_ROWS <= task->n_rows ? DOT_ROWS * task->row_bytes : 0;
        choose_rows(task, r, rows);
        for (uint64_t g = 0; g < task->n_cols / DOT_GROUP; g++) {
            const __m256i values = load_256(x + g * DOT_GROUP);
            const quick_heads h = heads(four_words(rows, g * block_bytes), offset);
            __m256i sums[DOT_ROWS];
#pragma GCC unroll 4
            for (unsigned i = 0; i < DOT_ROWS; i++) {
                sums[i] = quads_of(size, quick(rows[i] + g * block_bytes), values);
                FINISH(sums[i]);
            }
            /* Two blocks of 17 to 24 bytes lie in a line of the cache, or one of 34. */
            if (next != 0 && (block_bytes > 32 || g % 2 == 0)) {
                for (unsigned i = 0; i < DOT_ROWS; i++) {
                    _mm_prefetch((const char *)rows[i] + g * block_bytes + next, _MM_HINT_T0);
                }
            }
            const __m128 codes = _mm_cvtepi32_ps(sums_of_codes(size, sums));
            acc = _mm_fmadd_ps(_mm_mul_ps(h.d, _mm_set1_ps(x_d[g])), codes, acc);
            if (size != CODES_SIGNED) {
                acc = _mm_fmadd_ps(h.m, _mm_set1_ps(x_s[g]), acc);
            }
        }
        _mm_storeu_ps(out, acc);
        store_rows(task, r, 0, out);
    }
}

/*
 * Few vectors, one after the other, over as many rows as stay in the second cache meanwhile: quicker than unpacking to
 * memory once for all.
 */
static void one_by_one(const qn_dot_task *task, qn_dot_fn *one) {
    const uint64_t n_rows = QUICK_BYTES / task->row_bytes / DOT_ROWS * DOT_ROWS + DOT_ROWS;
    for (uint64_t r = 0; r < task->n_rows; r += n_rows) {
        qn_dot_task part = *task;
        part.weights += r * task->row_bytes;
        part.n_rows = task->n_rows - r < n_rows ? task->n_rows - r : n_rows;
        part.n_vectors = 1;
        part.dst += r;
        for (uint64_t v = 0; v < task->n_vectors; v++) {
            one(&part);
            part.vectors += task->planes.size;
            part.dst += task->dst_stride;
        }
    }
}

#define DEFINE_QUICK_K(type, size, d_at, dmin_at)                                                         \
    DEFINE_QUICK_FOUR(type)                                                                               \
    static void quick_rows_##type(const qn_dot_task *task) {                                              \
        quick_rows_k(task, four_##type, size, sizeof(qn_block_##type), four_halves, 1.0F, d_at, dmin_at); \
    }

#define DEFINE_QUICK_32(type, heads, size, offset)                                       \
    static void quick_rows_##type(const qn_dot_task *task) {                             \
        quick_rows_32(task, quick_##type, heads, size, sizeof(qn_block_##type), offset); \
    }

DEFINE_QUICK_K(q2_k, CODES_5_BIT, offsetof(qn_block_q2_k, d), offsetof(qn_block_q2_k, dmin))
DEFINE_QUICK_K(q3_k, CODES_5_BIT, offsetof(qn_block_q3_k, d), offsetof(qn_block_q3_k, d))
DEFINE_QUICK_K(q4_k, CODES_4_BIT, offsetof(qn_block_q4_k, d), offsetof(qn_block_q4_k, dmin))
DEFINE_QUICK_K(q5_k, CODES_5_BIT, offsetof(qn_block_q5_k, d), offsetof(qn_block_q5_k, dmin))
DEFINE_QUICK_K(q6_k, CODES_6_BIT, offsetof(qn_block_q6_k, d), offsetof(qn_block_q6_k, d))
DEFINE_QUICK_K(iq4_xs, CODES_SIGNED, offsetof(qn_block_iq4_xs, d), 0)
DEFINE_QUICK_32(q4_0, heads_half, CODES_4_BIT, 8.0F)
DEFINE_QUICK_32(q4_1, heads_two_halves, CODES_4_BIT, 0.0F)
DEFINE_QUICK_32(q5_0, heads_half, CODES_5_BIT, 16.0F)
DEFINE_QUICK_32(q5_1, heads_two_halves, CODES_5_BIT, 0.0F)
DEFINE_QUICK_32(q8_0, heads_half, CODES_SIGNED, 0.0F)
DEFINE_QUICK_32(iq4_nl, heads_half, CODES_SIGNED, 0.0F)
DEFINE_QUICK_32(mxfp4, heads_power, CODES_5_BIT, 12.0F)

#endif
#endif
