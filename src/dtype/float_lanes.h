/* SPDX-License-Identifier: MIT */
/*
 * float_lanes.h: vectors of float32 as wide as the registers of the level a file is compiled for, in GCC's and Clang's
 * vector arithmetic (IEEE, element by element; comparisons give masks of all ones). What encoders do with them stands
 * in lanes.h, what a forward pass does with them in src/engine.
 */
#ifndef QUERN_DTYPE_FLOAT_LANES_H
#define QUERN_DTYPE_FLOAT_LANES_H

#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#if defined(__AVX512F__)
#define N_LANES 16
#elif defined(__AVX2__)
#define N_LANES 8
#else
#define N_LANES 4
#endif

/** Kernels are inlined into their callers, so that lengths and ranges are constants in them. */
#define LANE_FN static inline __attribute__((always_inline))

typedef float lanes __attribute__((vector_size(4 * N_LANES)));
typedef int32_t int_lanes __attribute__((vector_size(4 * N_LANES)));

LANE_FN lanes load(const float *row) {
    lanes v;
    memcpy(&v, row, sizeof v);
    return v;
}

LANE_FN void store(float *row, lanes v) {
    memcpy(row, &v, sizeof v);
}

LANE_FN lanes all(float value) {
    return value - (lanes){0};
}

LANE_FN lanes select_lanes(int_lanes mask, lanes if_set, lanes if_clear) {
#if defined(__AVX2__) && !defined(__AVX512F__)
    return (lanes)_mm256_blendv_ps((__m256)if_clear, (__m256)if_set, (__m256)mask);
#else
    return (lanes)((mask & (int_lanes)if_set) | (~mask & (int_lanes)if_clear));
#endif
}

#endif
