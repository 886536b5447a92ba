/* SPDX-License-Identifier: MIT */
/* dot_pack.h: activations to Q8_0, Q8_1 and Q8_K planes, by the scalar rules of facts/quants.md §8 at every level. */
#ifndef QUERN_DTYPE_DOT_PACK_H
#define QUERN_DTYPE_DOT_PACK_H

#include "dtype/blocks.h"
#include "dtype/dot_kernels.h"
#include "dtype/half.h"

#include <math.h>
#include <string.h>

/*
 * The codes of 32 elements; *d is the scale before it is stored. Returns the sum of the codes. Elements that are no
 * numbers, or infinite, make a scale that is no number, and so do all products with them.
 */
static inline int32_t pack_codes_32(const float *x, float *d, int8_t *codes) {
    int32_t largest = 0;
    int32_t sum = 0;
    for (unsigned e = 0; e < 32; e++) {
        const int32_t bits = (int32_t)(f32_bits(x[e]) & 0x7FFFFFFFU);
        largest = bits > largest ? bits : largest;
    }
    if (largest >= 0x7F800000) {
        memset(codes, 0, 32);
        *d = NAN;
        return 0;
    }
    *d = f32_from_bits((uint32_t)largest) / 127.0F;
    /* Below 2^-126 the reciprocal overflows; the stored scale is 0 there, and so are the codes. */
    const float inverse = *d >= 0x1p-126F ? 1.0F / *d : 0.0F;
    for (unsigned e = 0; e < 32; e++) {
        /* Ties away from zero: the number just below 0.5 carries exactly what roundf() would round up. */
        const float scaled = x[e] * inverse;
        const float carry = f32_from_bits((f32_bits(scaled) & 0x80000000U) | 0x3EFFFFFFU);
        const int32_t code = (int32_t)(scaled + carry);
        codes[e] = (int8_t)code;
        sum += code;
    }
    return sum;
}

static void pack_q8_0(const float *src, uint64_t n_cols, const qn_planes *planes, unsigned char *dst) {
    float *scales = (float *)(void *)(dst + planes->d);
    float *sums = (float *)(void *)(dst + planes->sums);
    for (uint64_t g = 0; g < n_cols / 32; g++) {
        float d;
        const int32_t sum = pack_codes_32(src + 32 * g, &d, (int8_t *)dst + 32 * g);
        scales[g] = half_to_f32(half_from_f32(d));
        sums[g] = scales[g] * (float)sum;
    }
}

static void pack_q8_1(const float *src, uint64_t n_cols, const qn_planes *planes, unsigned char *dst) {
    float *scales = (float *)(void *)(dst + planes->d);
    float *sums = (float *)(void *)(dst + planes->sums);
    for (uint64_t g = 0; g < n_cols / 32; g++) {
        float d;
        const int32_t sum = pack_codes_32(src + 32 * g, &d, (int8_t *)dst + 32 * g);
        scales[g] = half_to_f32(half_from_f32(d));
        sums[g] = half_to_f32(half_from_f32(d * (float)sum));
    }
}

static void pack_q8_0_floats(const float *src, uint64_t n_cols, const qn_planes *planes, unsigned char *dst) {
    float *y = (float *)(void *)dst;
    (void)planes;
    for (uint64_t g = 0; g < n_cols / 32; g++) {
        int8_t codes[32];
        float d;
        (void)pack_codes_32(src + 32 * g, &d, codes);
        const float stored = half_to_f32(half_from_f32(d));
        for (unsigned e = 0; e < 32; e++) {
            y[32 * g + e] = stored * (float)codes[e];
        }
    }
}

/* The first element of largest size, with its sign. */
static inline float signed_largest_256(const float *x) {
    uint32_t largest = 0;
    uint32_t signs = 0; /* that elements of this size have: bit 0 for plus, bit 1 for minus */
    for (unsigned e = 0; e < 256; e++) {
        const uint32_t size = f32_bits(x[e]) & 0x7FFFFFFFU;
        largest = size > largest ? size : largest;
    }
    for (unsigned e = 0; e < 256; e++) {
        const uint32_t bits = f32_bits(x[e]);
        signs |= (bits & 0x7FFFFFFFU) == largest ? 1U + (bits >> 31) : 0U;
    }
    if (signs != 3) {
        return f32_from_bits(largest | (signs >> 1) << 31);
    }
    for (unsigned e = 0; e < 255; e++) {
        if ((f32_bits(x[e]) & 0x7FFFFFFFU) == largest) {
            return x[e];
        }
    }
    return x[255];
}

static void pack_q8_k(const float *src, uint64_t n_cols, const qn_planes *planes, unsigned char *dst) {
    float *scales = (float *)(void *)(dst + planes->d);
    int16_t *sums = (int16_t *)(void *)(dst + planes->sums);
    for (uint64_t b = 0; b < n_cols / 256; b++) {
        const float *x = src + 256 * b;
        int8_t *codes = (int8_t *)dst + 256 * b;
        const float largest = signed_largest_256(x);
        if (!(largest > -INFINITY && largest < INFINITY)) {
            memset(codes, 0, 256);
            memset(sums + 16 * b, 0, 16 * sizeof *sums);
            scales[b] = NAN;
            continue;
        }
        /* A block of zeros, or of numbers so small that the reciprocal overflows. */
        const bool is_zero = !(largest >= 0x1p-120F || largest <= -0x1p-120F);
        const float inverse = is_zero ? 0.0F : -127.0F / largest;
        scales[b] = is_zero ? 0.0F : 1.0F / inverse;
        int16_t whole[256];
        for (unsigned e = 0; e < 256; e++) {
            /* Adding 1.5 * 2^23 rounds to nearest even and leaves the integer in the low bits. */
            const float shifted = x[e] * inverse + 12582912.0F;
            const int32_t code = (int32_t)(f32_bits(shifted) & 0x007FFFFFU) - 0x00400000;
            whole[e] = (int16_t)(code > 127 ? 127 : code);
        }
        for (unsigned e = 0; e < 256; e++) {
            codes[e] = (int8_t)whole[e];
        }
        for (unsigned g = 0; g < 16; g++) {
            int16_t sum = 0;
            for (unsigned e = 0; e < 16; e++) {
                sum = (int16_t)(sum + whole[16 * g + e]);
            }
            sums[16 * b + g] = sum;
        }
    }
}

#endif
