/* SPDX-License-Identifier: MIT */
/* cpu.c: asks the processor, once a call, which variants it can run. */
#include "base/cpu.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <stdbool.h>

/* Not every compiler's __builtin_cpu_supports() knows F16C by name: CPUID leaf 1, ECX bit 29. */
static bool has_f16c(void) {
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & (1U << 29)) != 0;
}

qn_cpu_level qn_cpu_detect(void) {
    __builtin_cpu_init();
    /* __builtin_cpu_supports() also asks whether the operating system saves the registers. */
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !has_f16c()) {
        return QN_CPU_SCALAR;
    }
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl")) {
        return __builtin_cpu_supports("avx512vnni") ? QN_CPU_VNNI : QN_CPU_AVX512;
    }
    return QN_CPU_AVX2;
}

#else

qn_cpu_level qn_cpu_detect(void) {
    return QN_CPU_SCALAR;
}

#endif
