/* SPDX-License-Identifier: MIT */
/* kernels_avx512.c: the kernels with 16 lanes; empty where the compiler is not told -mavx512f. */
#if defined(__AVX512F__)
#include "dtype/kernel_table.h"

DEFINE_KERNELS(qn_kernels_avx512);
#else
#include "dtype/kernels.h"
#endif
