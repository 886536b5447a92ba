/* SPDX-License-Identifier: MIT */
/* dtype.h: the one table of element types: names, block lengths and sizes. */
#ifndef QUERN_DTYPE_H
#define QUERN_DTYPE_H

#include "quern/status.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Element types. Values below 64 are GGUF's tensor type ids (facts: ggml's public type list) and may be
 * stored in a file as they are; values from 64 on occur in source checkpoints only.
 */
typedef enum qn_dtype {
    QN_F32 = 0,
    QN_F16 = 1,
    QN_Q4_0 = 2,
    QN_Q4_1 = 3,
    QN_Q5_0 = 6,
    QN_Q5_1 = 7,
    QN_Q8_0 = 8,
    QN_Q8_1 = 9,
    QN_Q2_K = 10,
    QN_Q3_K = 11,
    QN_Q4_K = 12,
    QN_Q5_K = 13,
    QN_Q6_K = 14,
    QN_Q8_K = 15,
    QN_IQ2_XXS = 16,
    QN_IQ2_XS = 17,
    QN_IQ3_XXS = 18,
    QN_IQ1_S = 19,
    QN_IQ4_NL = 20,
    QN_IQ3_S = 21,
    QN_IQ2_S = 22,
    QN_IQ4_XS = 23,
    QN_I8 = 24,
    QN_I16 = 25,
    QN_I32 = 26,
    QN_I64 = 27,
    QN_F64 = 28,
    QN_IQ1_M = 29,
    QN_BF16 = 30,
    QN_TQ1_0 = 34,
    QN_TQ2_0 = 35,
    QN_MXFP4 = 39,
    QN_NVFP4 = 40,
    QN_Q1_0 = 41,
    QN_Q2_0 = 42,
    QN_U8 = 64,
    QN_U16 = 65,
    QN_U32 = 66,
    QN_U64 = 67,
    QN_BOOL = 68,
    QN_DTYPE_LIMIT = 69 /**< one past the largest id */
} qn_dtype;

/** How much time an encoder may spend on a smaller error. */
typedef enum qn_effort {
    QN_EFFORT_NORMAL, /**< the default: never worse than ggml's encoders */
    QN_EFFORT_FAST,   /**< fewer steps in the searches; a little worse than ggml's */
    QN_EFFORT_BEST,   /**< joint searches over scales and codes; several times slower */
    QN_N_EFFORTS
} qn_effort;

/** What the table says of a type. Static storage; never freed. */
typedef struct qn_dtype_info {
    const char *name;     /**< as GGUF tools print it: "Q4_K", "BF16" */
    uint32_t block_len;   /**< elements a block; 1 for plain types */
    uint32_t block_bytes; /**< bytes a block */
    bool is_quantized;    /**< blocks of codes with scales */
    bool has_decoder;     /**< rows can be turned into float32 */
    bool has_encoder;     /**< float32 rows can be turned into it */
} qn_dtype_info;

/** The table's row for an id; NULL for an id that is not in the table (removed or unknown). */
const qn_dtype_info *qn_dtype_get(uint32_t id);

/** Finds a type by name, upper or lower case. @return false when there is none; *out untouched. */
bool qn_dtype_find(const char *name, qn_dtype *out);

/**
 * Bytes of a row of n_cols elements.
 * @param size_bytes result
 * @return QN_OK; QN_E_SHAPE when n_cols is not a multiple of the block; QN_E_RANGE on overflow;
 *         QN_E_UNSUPPORTED for an unknown id
 */
QN_NODISCARD qn_status qn_row_size(qn_dtype type, uint64_t n_cols, uint64_t *size_bytes, qn_error *err);

#ifdef __cplusplus
}
#endif
#endif
