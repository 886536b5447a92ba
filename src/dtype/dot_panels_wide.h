/* SPDX-License-Identifier: MIT */
/*
 * dot_panels_wide.h: a block of a panel times a tile of vectors, in registers of 512 bits: a lane for each of 16 rows.
 *
 * What dot_panels.h does in two halves otherwise: the same integers, and the same floats in the same order. With VNNI
 * products of codes are added in 32 bits at once, without it in 16 bits for as long as the size of the codes allows.
 */
#ifndef QUERN_DTYPE_DOT_PANELS_WIDE_H
#define QUERN_DTYPE_DOT_PANELS_WIDE_H

#include "dtype/dot_parts.h"

enum {
    PANEL_VECTORS = 6 /* of a tile: enough sums in flight to hide the latency of a product, and twice a half tile */
};

#if defined(__AVX512VNNI__)

/* A quad of each row, added in 32 bits. */
DOT_INLINE __m512i add_products(__m512i sum, bool is_first, __m512i codes, __m512i x) {
    return _mm512_dpbusd_epi32(is_first ? _mm512_setzero_si512() : sum, codes, x);
}

/* factor has each scale twice, in 16 bits. */
DOT_INLINE __m512i add_scaled(__m512i sum, __m512i products, __m512i factor, bool is_scaled) {
    return _mm512_add_epi32(sum, is_scaled ? _mm512_mullo_epi32(products, _mm512_srai_epi32(factor, 16)) : products);
}

DOT_INLINE __m512i add_wide_words(__m512i sum, __m512i a, __m512i b) {
    return _mm512_dpwssd_epi32(sum, a, b);
}

#else

/* A quad of each row as two sums of pairs, added in 16 bits. */
DOT_INLINE __m512i add_products(__m512i sum, bool is_first, __m512i codes, __m512i x) {
    const __m512i pairs = _mm512_maddubs_epi16(codes, x);
    return is_first ? pairs : _mm512_add_epi16(sum, pairs);
}

/* factor has each scale twice, in 16 bits; ones where products are not scaled. */
DOT_INLINE __m512i add_scaled(__m512i sum, __m512i products, __m512i factor, bool is_scaled) {
    (void)is_scaled;
    return _mm512_add_epi32(sum, _mm512_madd_epi16(products, factor));
}

DOT_INLINE __m512i add_wide_words(__m512i sum, __m512i a, __m512i b) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
}

#endif

/* Four bytes of a vector in all lanes. */
DOT_INLINE __m512i broadcast_quad(const unsigned char *x) {
    return _mm512_set1_epi32((int)flat_u32(x));
}

/* Adds n_quads quads to sums, times factor. The loops have constant bounds and are unrolled; sums live in registers. */
DOT_INLINE void add_quads(code_size size, unsigned n, unsigned n_quads, const uint32_t (*codes)[PANEL_ROWS],
                          const unsigned char *const x[PANEL_VECTORS], size_t offset, __m512i factor, bool is_scaled,
                          __m512i sums[PANEL_VECTORS]) {
    const __m512i zero = _mm512_setzero_si512();
    __m512i products[PANEL_VECTORS];
#pragma GCC unroll 8
    for (unsigned q = 0; q < n_quads; q++) {
        const __m512i quad = _mm512_load_si512(codes[q]);
        /* One factor of a product has no sign: that of a code goes to the value it meets. */
        const __mmask64 is_negative = size == CODES_SIGNED ? _mm512_movepi8_mask(quad) : 0;
        const __m512i code_sizes = size == CODES_SIGNED ? _mm512_abs_epi8(quad) : quad;
#pragma GCC unroll 6
        for (unsigned v = 0; v < n; v++) {
            __m512i values = broadcast_quad(x[v] + offset + (size_t)4 * q);
            if (size == CODES_SIGNED) {
                values = _mm512_mask_sub_epi8(values, is_negative, zero, values);
            }
            products[v] = add_products(products[v], q == 0, code_sizes, values);
            FINISH(products[v]);
        }
    }
#pragma GCC unroll 6
    for (unsigned v = 0; v < n; v++) {
        sums[v] = add_scaled(sums[v], products[v], factor, is_scaled);
        FINISH(sums[v]);
    }
}

/* Sums of minimum times sum of values. */
DOT_INLINE __m512i minimum_lanes(const panel_k *p, const unsigned char *x_sums) {
    __m512i sum = _mm512_setzero_si512();
#pragma GCC unroll 8
    for (unsigned i = 0; i < 8; i++) {
        sum = add_wide_words(sum, _mm512_load_si512(p->minimum[i]), broadcast_quad(x_sums + (size_t)4 * i));
    }
    return sum;
}

/* One block of a panel times n vectors, added to acc. */
DOT_INLINE void add_block_k(code_size size, unsigned n, const panel_k *p, const unsigned char *const x[PANEL_VECTORS],
                            const qn_planes *planes, uint64_t block, float acc[][PANEL_ROWS]) {
    const unsigned n_quads = size == CODES_4_BIT || size == CODES_SIGNED ? 8 : 4; /* that share a scale */
    const unsigned step = QUADS_OF(size, n_quads);
    __m512i sums[PANEL_VECTORS];
    for (unsigned v = 0; v < n; v++) {
        sums[v] = _mm512_setzero_si512();
    }
    for (unsigned i = 0; i < 64; i += n_quads) {
        const __m512i factor = _mm512_load_si512(p->scale[i / 4]);
#pragma GCC unroll 8
        for (unsigned q = i; q < i + n_quads; q += step) {
            add_quads(size, n, step, p->codes + q, x, block * DOT_BLOCK + 4 * q, factor, true, sums);
        }
    }
#pragma GCC unroll 6
    for (unsigned v = 0; v < n; v++) {
        const __m512 x_d = _mm512_set1_ps(((const float *)(const void *)(x[v] + planes->d))[block]);
        __m512 value = _mm512_mul_ps(_mm512_load_ps(p->d), _mm512_cvtepi32_ps(sums[v]));
        if (size != CODES_SIGNED) {
            const __m512i minima = minimum_lanes(p, x[v] + planes->sums + 32 * block);
            value = _mm512_fnmadd_ps(_mm512_load_ps(p->dmin), _mm512_cvtepi32_ps(minima), value);
        }
        _mm512_store_ps(acc[v], _mm512_fmadd_ps(x_d, value, _mm512_load_ps(acc[v])));
    }
}

/* One block of a panel, or what is left of it, times n vectors, added to acc. */
DOT_INLINE void add_block_32(code_size size, unsigned n, const panel_32 *p, unsigned n_groups,
                             const unsigned char *const x[PANEL_VECTORS], const qn_planes *planes, uint64_t block,
                             float acc[][PANEL_ROWS]) {
    const unsigned step = QUADS_OF(size, 8U);
    for (unsigned g = 0; g < n_groups; g++) {
        __m512i sums[PANEL_VECTORS];
        for (unsigned v = 0; v < n; v++) {
            sums[v] = _mm512_setzero_si512();
        }
#pragma GCC unroll 8
        for (unsigned q = 8 * g; q < 8 * g + 8; q += step) {
            add_quads(size, n, step, p->codes + q, x, block * DOT_BLOCK + 4 * q, _mm512_set1_epi16(1), false, sums);
        }
#pragma GCC unroll 6
        for (unsigned v = 0; v < n; v++) {
            const uint64_t i = block * 8 + g;
            const __m512 x_d = _mm512_set1_ps(((const float *)(const void *)(x[v] + planes->d))[i]);
            const __m512 x_s = _mm512_set1_ps(((const float *)(const void *)(x[v] + planes->sums))[i]);
            const __m512 scale = _mm512_mul_ps(_mm512_load_ps(p->d[g]), x_d);
            __m512 sum = _mm512_fmadd_ps(scale, _mm512_cvtepi32_ps(sums[v]), _mm512_load_ps(acc[v]));
            if (size != CODES_SIGNED) {
                sum = _mm512_fmadd_ps(_mm512_load_ps(p->m[g]), x_s, sum);
            }
            _mm512_store_ps(acc[v], sum);
        }
    }
}

#endif
