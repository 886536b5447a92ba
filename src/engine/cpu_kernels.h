/* SPDX-License-Identifier: MIT */
/* cpu_kernels.h: loops of the CPU back end that are compiled once a level. Private to src/engine. */
#ifndef QUERN_ENGINE_CPU_KERNELS_H
#define QUERN_ENGINE_CPU_KERNELS_H

#include "base/cpu.h"

#include <stdint.h>

/** Rows of keys, values and queries in scratch memory are padded with zeros to a multiple of this. */
enum { QN_HEAD_PAD = 16 };

/** Queries that meet a tile together at most. */
enum { QN_TILE_QUERIES = 2 };

/** One or two neighbouring queries before a tile of keys: their running softmaxes go on. */
typedef struct qn_tile_step {
    unsigned n;                      /**< queries */
    const float *q;                  /**< [n, width] */
    const float *keys;               /**< [QN_KV_TILE, width]; those outside first to end are finite numbers */
    const float *values;             /**< [QN_KV_TILE, width] */
    uint64_t width;                  /**< head size, padded */
    uint64_t first[QN_TILE_QUERIES]; /**< keys that each sees: from first to end - 1, or none */
    uint64_t end[QN_TILE_QUERIES];
    float scale;
    float softcap;
    float *acc; /**< [n, width] weighted sum of values so far */
    float *max; /**< [n] the largest score so far */
    float *sum; /**< [n] of weights so far */
} qn_tile_step;

/** The loops. dst may be a source where lengths agree. */
typedef struct qn_cpu_kernels {
    void (*rms_norm)(const float *x, const float *weight, uint64_t n, float eps, float *dst);
    void (*layer_norm)(const float *x, const float *weight, const float *bias, uint64_t n, float eps, float *dst);
    void (*silu)(const float *gate, const float *up, uint64_t n, float *dst); /**< up may be NULL */
    void (*gelu)(const float *gate, const float *up, uint64_t n, float *dst);
    void (*silu_limited)(const float *gate, const float *up, uint64_t n, float *dst); /**< up is not NULL */
    void (*add)(float *dst, const float *src, uint64_t n);
    void (*cap)(float *x, uint64_t n, float cap);
    void (*attend)(const qn_tile_step *step);
} qn_cpu_kernels;

extern const qn_cpu_kernels qn_cpu_kernels_baseline;
extern const qn_cpu_kernels qn_cpu_kernels_avx2;
extern const qn_cpu_kernels qn_cpu_kernels_avx512;

#endif
