/* SPDX-License-Identifier: MIT */
/* dot_kernels.c: matrix products at one level. */
#include "dtype/dot_products.h"

const qn_dot_kernels QN_AT_LEVEL(qn_dot_kernels) = DOT_KERNELS;
