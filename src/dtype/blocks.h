/* SPDX-License-Identifier: MIT */
/*
 * blocks.h: the byte layout of every block type; the one place their sizes come from.
 *
 * Fields are byte arrays, so that a block may lie at any address and has no padding. f16 and u16 fields are
 * little-endian. Element e of a block is decoded by the formulas in decode.c. Source: facts/quants.md §1-3.
 */
#ifndef QUERN_DTYPE_BLOCKS_H
#define QUERN_DTYPE_BLOCKS_H

#include <stdint.h>

enum {
    QN_BLOCK_LEN = 32,       /**< elements of a legacy block */
    QN_SUPERBLOCK_LEN = 256, /**< elements of a K-quant or IQ block */
    QN_SCALE_BYTES = 12      /**< packed 6-bit scales and minima of Q3_K, Q4_K, Q5_K */
};

/** 4-bit codes around 8: (n - 8)·d. */
typedef struct qn_block_q4_0 {
    uint8_t d[2];   /**< f16 */
    uint8_t qs[16]; /**< low nibbles: elements 0..15, high nibbles: 16..31 */
} qn_block_q4_0;

/** n·d + m. */
typedef struct qn_block_q4_1 {
    uint8_t d[2];
    uint8_t m[2]; /**< f16 */
    uint8_t qs[16];
} qn_block_q4_1;

/** 5-bit codes around 16. */
typedef struct qn_block_q5_0 {
    uint8_t d[2];
    uint8_t qh[4]; /**< bit j: fifth bit of element j */
    uint8_t qs[16];
} qn_block_q5_0;

/** 5-bit n·d + m. */
typedef struct qn_block_q5_1 {
    uint8_t d[2];
    uint8_t m[2];
    uint8_t qh[4];
    uint8_t qs[16];
} qn_block_q5_1;

/** 8-bit signed codes. */
typedef struct qn_block_q8_0 {
    uint8_t d[2];
    int8_t qs[32];
} qn_block_q8_0;

/** Q8_0 with the sum of its elements: activations only. */
typedef struct qn_block_q8_1 {
    uint8_t d[2];
    uint8_t s[2]; /**< f16, d times the sum of the codes */
    int8_t qs[32];
} qn_block_q8_1;

/** One bit an element: +d or -d. */
typedef struct qn_block_q1_0 {
    uint8_t d[2];
    uint8_t bits[16];
} qn_block_q1_0;

/** Two bits an element: -d, 0, d, 2d. */
typedef struct qn_block_q2_0 {
    uint8_t d[2];
    uint8_t qs[16];
} qn_block_q2_0;

/** E2M1 codes with a power of two. */
typedef struct qn_block_mxfp4 {
    uint8_t e; /**< E8M0 */
    uint8_t qs[16];
} qn_block_mxfp4;

/** E2M1 codes with a UE4M3 scale for each 16. */
typedef struct qn_block_nvfp4 {
    uint8_t d[4];
    uint8_t qs[32];
} qn_block_nvfp4;

/** 2-bit codes; 4-bit scale and minimum for each 16. */
typedef struct qn_block_q2_k {
    uint8_t scales[16]; /**< low nibble: scale, high nibble: minimum */
    uint8_t qs[64];
    uint8_t d[2];
    uint8_t dmin[2];
} qn_block_q2_k;

/** 3-bit codes around 4; 6-bit signed scale for each 16. */
typedef struct qn_block_q3_k {
    uint8_t hmask[32];
    uint8_t qs[64];
    uint8_t scales[QN_SCALE_BYTES];
    uint8_t d[2];
} qn_block_q3_k;

/** 4-bit codes; 6-bit scale and minimum for each 32. */
typedef struct qn_block_q4_k {
    uint8_t d[2];
    uint8_t dmin[2];
    uint8_t scales[QN_SCALE_BYTES];
    uint8_t qs[128];
} qn_block_q4_k;

/** 5-bit codes; 6-bit scale and minimum for each 32. */
typedef struct qn_block_q5_k {
    uint8_t d[2];
    uint8_t dmin[2];
    uint8_t scales[QN_SCALE_BYTES];
    uint8_t qh[32];
    uint8_t qs[128];
} qn_block_q5_k;

/** 6-bit codes around 32; 8-bit signed scale for each 16. */
typedef struct qn_block_q6_k {
    uint8_t ql[128];
    uint8_t qh[64];
    int8_t scales[16];
    uint8_t d[2];
} qn_block_q6_k;

/** 8-bit codes with sums: activations only. */
typedef struct qn_block_q8_k {
    uint8_t d[4]; /**< f32 */
    int8_t qs[256];
    uint8_t bsums[32]; /**< 16 int16: sums of 16 codes */
} qn_block_q8_k;

/** Base-3 digits, five a byte. */
typedef struct qn_block_tq1_0 {
    uint8_t qs[48];
    uint8_t qh[4];
    uint8_t d[2];
} qn_block_tq1_0;

/** 2-bit ternary digits. */
typedef struct qn_block_tq2_0 {
    uint8_t qs[64];
    uint8_t d[2];
} qn_block_tq2_0;

/** Grid of octets, 2.0625 bits. */
typedef struct qn_block_iq2_xxs {
    uint8_t d[2];
    uint8_t qs[64];
} qn_block_iq2_xxs;

/** Grid of octets, 2.3125 bits. */
typedef struct qn_block_iq2_xs {
    uint8_t d[2];
    uint8_t qs[64];
    uint8_t scales[8];
} qn_block_iq2_xs;

/** Grid of octets with free signs, 2.5625 bits. */
typedef struct qn_block_iq2_s {
    uint8_t d[2];
    uint8_t qs[32];
    uint8_t signs[32];
    uint8_t qh[8];
    uint8_t scales[8];
} qn_block_iq2_s;

/** Grid of quads, 3.0625 bits. */
typedef struct qn_block_iq3_xxs {
    uint8_t d[2];
    uint8_t qs[64];
    uint8_t signs[32];
} qn_block_iq3_xxs;

/** Grid of quads with free signs, 3.4375 bits. */
typedef struct qn_block_iq3_s {
    uint8_t d[2];
    uint8_t qs[64];
    uint8_t qh[8];
    uint8_t signs[32];
    uint8_t scales[4];
} qn_block_iq3_s;

/** Ternary grid, 1.5625 bits. */
typedef struct qn_block_iq1_s {
    uint8_t d[2];
    uint8_t qs[32];
    uint8_t qh[16];
} qn_block_iq1_s;

/** Ternary grid, 1.75 bits. */
typedef struct qn_block_iq1_m {
    uint8_t qs[32];
    uint8_t qh[16];
    uint8_t scales[8];
} qn_block_iq1_m;

/** 16 non-linear levels, 32 elements. */
typedef struct qn_block_iq4_nl {
    uint8_t d[2];
    uint8_t qs[16];
} qn_block_iq4_nl;

/** 16 non-linear levels, 6-bit scale for each 32. */
typedef struct qn_block_iq4_xs {
    uint8_t d[2];
    uint8_t scales_h[2];
    uint8_t scales_l[4];
    uint8_t qs[128];
} qn_block_iq4_xs;

_Static_assert(sizeof(qn_block_q4_0) == 18, "Q4_0");
_Static_assert(sizeof(qn_block_q4_1) == 20, "Q4_1");
_Static_assert(sizeof(qn_block_q5_0) == 22, "Q5_0");
_Static_assert(sizeof(qn_block_q5_1) == 24, "Q5_1");
_Static_assert(sizeof(qn_block_q8_0) == 34, "Q8_0");
_Static_assert(sizeof(qn_block_q8_1) == 36, "Q8_1");
_Static_assert(sizeof(qn_block_q1_0) == 18, "Q1_0");
_Static_assert(sizeof(qn_block_q2_0) == 18, "Q2_0");
_Static_assert(sizeof(qn_block_mxfp4) == 17, "MXFP4");
_Static_assert(sizeof(qn_block_nvfp4) == 36, "NVFP4");
_Static_assert(sizeof(qn_block_q2_k) == 84, "Q2_K");
_Static_assert(sizeof(qn_block_q3_k) == 110, "Q3_K");
_Static_assert(sizeof(qn_block_q4_k) == 144, "Q4_K");
_Static_assert(sizeof(qn_block_q5_k) == 176, "Q5_K");
_Static_assert(sizeof(qn_block_q6_k) == 210, "Q6_K");
_Static_assert(sizeof(qn_block_q8_k) == 292, "Q8_K");
_Static_assert(sizeof(qn_block_tq1_0) == 54, "TQ1_0");
_Static_assert(sizeof(qn_block_tq2_0) == 66, "TQ2_0");
_Static_assert(sizeof(qn_block_iq2_xxs) == 66, "IQ2_XXS");
_Static_assert(sizeof(qn_block_iq2_xs) == 74, "IQ2_XS");
_Static_assert(sizeof(qn_block_iq2_s) == 82, "IQ2_S");
_Static_assert(sizeof(qn_block_iq3_xxs) == 98, "IQ3_XXS");
_Static_assert(sizeof(qn_block_iq3_s) == 110, "IQ3_S");
_Static_assert(sizeof(qn_block_iq1_s) == 50, "IQ1_S");
_Static_assert(sizeof(qn_block_iq1_m) == 56, "IQ1_M");
_Static_assert(sizeof(qn_block_iq4_nl) == 18, "IQ4_NL");
_Static_assert(sizeof(qn_block_iq4_xs) == 136, "IQ4_XS");

#endif
