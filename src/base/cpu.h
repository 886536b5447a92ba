/* SPDX-License-Identifier: MIT */
/* cpu.h: which SIMD variant of a kernel this processor can run. */
#ifndef QUERN_BASE_CPU_H
#define QUERN_BASE_CPU_H

/** Variants, each a superset of the one before. Every variant of a codec gives the same bytes. */
typedef enum qn_cpu_level {
    QN_CPU_SCALAR = 0, /**< what the compiler's baseline allows */
    QN_CPU_AVX2,       /**< x86-64 with AVX2, F16C, FMA (which codecs do not use) */
    QN_CPU_AVX512,     /**< x86-64 with AVX-512 F, BW, DQ, VL */
    QN_CPU_VNNI        /**< and with VNNI, which products use; codecs are those of the level before */
} qn_cpu_level;

/** The highest level this processor and operating system support. */
qn_cpu_level qn_cpu_detect(void);

#endif
