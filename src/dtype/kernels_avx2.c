/* SPDX-License-Identifier: MIT */
/* kernels_avx2.c: the kernels with 8 lanes; empty where the compiler is not told -mavx2. */
#if defined(__AVX2__)
#include "dtype/kernel_table.h"

DEFINE_KERNELS(qn_kernels_avx2);
#else
#include "dtype/kernels.h"
#endif
