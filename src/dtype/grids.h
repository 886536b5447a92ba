/* SPDX-License-Identifier: MIT */
/*
 * grids.h: the fixed tables of the IQ types: grids of codewords, and levels. Source: facts/quants.md §3, codebooks/.
 *
 * A codeword is packed: element t of an octet has its 2-bit level at bit 2t, element t of a quad its 3-bit level at
 * bit 3t. Every grid is sorted by this number, so that a codeword's index is found by search.
 */
#ifndef QUERN_DTYPE_GRIDS_H
#define QUERN_DTYPE_GRIDS_H

#include <stdint.h>

extern const uint16_t qn_grid_iq2_xxs[256]; /**< octets; levels 0..2 stand for 8, 25, 43 */
extern const uint16_t qn_grid_iq2_xs[512];  /**< octets, the same levels */
extern const uint16_t qn_grid_iq2_s[1024];  /**< octets, the same levels */
extern const uint16_t qn_grid_iq1_s[2048];  /**< octets; levels 0..2 stand for -1, 0, 1; IQ1_S and IQ1_M */
extern const uint16_t qn_grid_iq3_xxs[256]; /**< quads; levels 0..7 stand for 4, 12, 20, 28, 36, 44, 52, 62 */
extern const uint16_t qn_grid_iq3_s[512];   /**< quads; level l stands for 2l + 1 */

/* The same codewords as what they stand for, element t in byte t. */
extern const uint64_t qn_octets_iq2_xxs[256]; /**< 8, 25, 43 */
extern const uint64_t qn_octets_iq2_xs[512];  /**< 8, 25, 43 */
extern const uint64_t qn_octets_iq2_s[1024];  /**< 8, 25, 43 */
extern const uint64_t qn_octets_iq1_s[2048];  /**< eighths above -8: 0, 8, 16 */
extern const uint32_t qn_quads_iq3_xxs[256];  /**< 4, 12, 20, 28, 36, 44, 52, 62 */
extern const uint32_t qn_quads_iq3_s[512];    /**< 1, 3, 5, 7, 9, 11, 13, 15 */

extern const int8_t qn_levels_iq4[16]; /**< levels of IQ4_NL and IQ4_XS */

/** Level t of an octet's codeword, 0..2. */
static inline unsigned qn_octet_level(uint16_t codeword, unsigned t) {
    return ((unsigned)codeword >> (2 * t)) & 3U;
}

/** Level t of a quad's codeword, 0..7. */
static inline unsigned qn_quad_level(uint16_t codeword, unsigned t) {
    return ((unsigned)codeword >> (3 * t)) & 7U;
}

/** The 8-bit sign mask that a 7-bit sign index stands for: bit 7 makes the number of minus signs even. */
static inline unsigned qn_sign_mask(unsigned index) {
    const unsigned folded = index ^ index >> 4;
    const unsigned pairs = folded ^ folded >> 2;
    return index | ((pairs ^ pairs >> 1) & 1U) << 7;
}

#endif
