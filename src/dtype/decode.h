/* SPDX-License-Identifier: MIT */
/* decode.h: what decode.c and decode_iq.c share. Private to src/dtype. */
#ifndef QUERN_DTYPE_DECODE_H
#define QUERN_DTYPE_DECODE_H

#include "dtype/kernels.h"

/** Defines a qn_decode_fn that runs `body` for each block b, with y at its elements. */
#define DEFINE_DECODER(name, block_type, block_len, body)                                     \
    static void name(const unsigned char *src, uint64_t n, float *dst) {                      \
        for (uint64_t done = 0; done < n; done += (block_len)) {                              \
            const block_type *b = (const block_type *)(const void *)src + done / (block_len); \
            body(b, dst + done);                                                              \
        }                                                                                     \
    }

/** The decoder of an IQ or a ternary type; NULL for others. */
qn_decode_fn *qn_iq_decoder(qn_dtype type);

#endif
