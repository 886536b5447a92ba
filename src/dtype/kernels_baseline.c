/* SPDX-License-Identifier: MIT */
/* kernels_baseline.c: the kernels for what the compiler assumes of every processor: SSE2, NEON. */
#include "dtype/kernel_table.h"

DEFINE_KERNELS(qn_kernels_baseline);
