/* SPDX-License-Identifier: MIT */
/*
 * half.h: binary16 and bfloat16 in integer arithmetic, without branches, so that loops over them vectorise.
 * Source: IEEE 754-2008 §3.4, §4.3.1; NaN rules: facts/quants.md §0.
 */
#ifndef QUERN_DTYPE_HALF_H
#define QUERN_DTYPE_HALF_H

#include <stdint.h>
#include <string.h>

/** The bits of a float32. */
static inline uint32_t f32_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

/** The float32 with these bits. */
static inline float f32_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/** As qn_f32_to_f16(). */
static inline uint16_t half_from_f32(float value) {
    const uint32_t bits = f32_bits(value);
    const uint32_t sign = (bits >> 16) & 0x8000U;
    const uint32_t magnitude = bits & 0x7FFFFFFFU;
    /* Normal: the exponent is rebiased by 127 - 15, 13 bits are rounded away, a carry runs into the exponent. */
    const uint32_t normal = (magnitude - (112U << 23) + 0x0FFFU + ((magnitude >> 13) & 1U)) >> 13;
    /* Subnormal: an ulp of 0.5 is 2^-24, the unit of binary16's subnormals; the addition rounds. */
    const uint32_t subnormal = f32_bits(f32_from_bits(magnitude) + 0.5F) - 0x3F000000U;
    const uint32_t finite = magnitude < 0x38800000U ? subnormal : normal;
    const uint32_t bounded = magnitude >= 0x47800000U ? 0x7C00U : finite;
    return (uint16_t)(sign | (magnitude > 0x7F800000U ? 0x7E00U : bounded));
}

/** As qn_f16_to_f32(). */
static inline float half_to_f32(uint16_t half) {
    const uint32_t sign = (uint32_t)(half & 0x8000U) << 16;
    const uint32_t magnitude = (uint32_t)(half & 0x7FFFU) << 13;
    const uint32_t exponent = magnitude & 0x0F800000U;
    const uint32_t rebiased = magnitude + (112U << 23);
    /* Infinity and NaN take the highest exponent; a NaN becomes quiet, as the processor's own conversion makes it. */
    const uint32_t quiet = (magnitude & 0x007FE000U) != 0 ? 0x00400000U : 0U;
    const uint32_t special = (rebiased + (112U << 23)) | quiet;
    /* A subnormal is built with an implicit one that is then taken away. */
    const uint32_t subnormal = f32_bits(f32_from_bits(rebiased + (1U << 23)) - 0x1p-14F);
    const uint32_t finite = exponent == 0 ? subnormal : rebiased;
    return f32_from_bits(sign | (exponent == 0x0F800000U ? special : finite));
}

/** As qn_f32_to_bf16(). */
static inline uint16_t bfloat_from_f32(float value) {
    const uint32_t bits = f32_bits(value);
    const uint32_t rounded = bits + 0x7FFFU + ((bits >> 16) & 1U);
    const uint32_t quiet = bits | 0x00400000U;
    return (uint16_t)(((bits & 0x7FFFFFFFU) > 0x7F800000U ? quiet : rounded) >> 16);
}

/** As qn_bf16_to_f32(). */
static inline float bfloat_to_f32(uint16_t half) {
    return f32_from_bits((uint32_t)half << 16);
}

/** The f16 in two little-endian bytes. */
static inline float half_at(const uint8_t *bytes) {
    return half_to_f32((uint16_t)(bytes[0] | bytes[1] << 8));
}

#endif
