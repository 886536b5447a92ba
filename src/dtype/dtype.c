/* SPDX-License-Identifier: MIT */
/* dtype.c: the one table of element types. Sizes come from blocks.h; ids from facts/gguf.md §2. */
#include "quern/dtype.h"

#include "base/checked.h"
#include "base/error.h"
#include "dtype/blocks.h"

enum { DECODES = 1, BOTH = 3 };

#define PLAIN(text, type, codec) \
    { text, 1, sizeof(type), false, ((codec)&1) != 0, ((codec)&2) != 0 }
#define BLOCK(text, len, type, codec) \
    { text, len, sizeof(type), true, ((codec)&1) != 0, ((codec)&2) != 0 }

/* Ids without a row (removed from GGUF, or never given out) have no name. */
static const qn_dtype_info type_table[QN_DTYPE_LIMIT] = {
    [QN_F32] = PLAIN("F32", float, BOTH),
    [QN_F16] = PLAIN("F16", uint16_t, BOTH),
    [QN_Q4_0] = BLOCK("Q4_0", 32, qn_block_q4_0, BOTH),
    [QN_Q4_1] = BLOCK("Q4_1", 32, qn_block_q4_1, BOTH),
    [QN_Q5_0] = BLOCK("Q5_0", 32, qn_block_q5_0, BOTH),
    [QN_Q5_1] = BLOCK("Q5_1", 32, qn_block_q5_1, BOTH),
    [QN_Q8_0] = BLOCK("Q8_0", 32, qn_block_q8_0, BOTH),
    [QN_Q8_1] = BLOCK("Q8_1", 32, qn_block_q8_1, DECODES),
    [QN_Q2_K] = BLOCK("Q2_K", 256, qn_block_q2_k, BOTH),
    [QN_Q3_K] = BLOCK("Q3_K", 256, qn_block_q3_k, BOTH),
    [QN_Q4_K] = BLOCK("Q4_K", 256, qn_block_q4_k, BOTH),
    [QN_Q5_K] = BLOCK("Q5_K", 256, qn_block_q5_k, BOTH),
    [QN_Q6_K] = BLOCK("Q6_K", 256, qn_block_q6_k, BOTH),
    [QN_Q8_K] = BLOCK("Q8_K", 256, qn_block_q8_k, DECODES),
    [QN_IQ2_XXS] = BLOCK("IQ2_XXS", 256, qn_block_iq2_xxs, BOTH),
    [QN_IQ2_XS] = BLOCK("IQ2_XS", 256, qn_block_iq2_xs, BOTH),
    [QN_IQ3_XXS] = BLOCK("IQ3_XXS", 256, qn_block_iq3_xxs, BOTH),
    [QN_IQ1_S] = BLOCK("IQ1_S", 256, qn_block_iq1_s, BOTH),
    [QN_IQ4_NL] = BLOCK("IQ4_NL", 32, qn_block_iq4_nl, BOTH),
    [QN_IQ3_S] = BLOCK("IQ3_S", 256, qn_block_iq3_s, BOTH),
    [QN_IQ2_S] = BLOCK("IQ2_S", 256, qn_block_iq2_s, BOTH),
    [QN_IQ4_XS] = BLOCK("IQ4_XS", 256, qn_block_iq4_xs, BOTH),
    [QN_I8] = PLAIN("I8", int8_t, DECODES),
    [QN_I16] = PLAIN("I16", int16_t, DECODES),
    [QN_I32] = PLAIN("I32", int32_t, DECODES),
    [QN_I64] = PLAIN("I64", int64_t, DECODES),
    [QN_F64] = PLAIN("F64", double, DECODES),
    [QN_IQ1_M] = BLOCK("IQ1_M", 256, qn_block_iq1_m, BOTH),
    [QN_BF16] = PLAIN("BF16", uint16_t, BOTH),
    [QN_TQ1_0] = BLOCK("TQ1_0", 256, qn_block_tq1_0, BOTH),
    [QN_TQ2_0] = BLOCK("TQ2_0", 256, qn_block_tq2_0, BOTH),
    [QN_MXFP4] = BLOCK("MXFP4", 32, qn_block_mxfp4, BOTH),
    [QN_NVFP4] = BLOCK("NVFP4", 64, qn_block_nvfp4, BOTH),
    [QN_Q1_0] = BLOCK("Q1_0", 128, qn_block_q1_0, BOTH),
    [QN_Q2_0] = BLOCK("Q2_0", 64, qn_block_q2_0, BOTH),
    [QN_U8] = PLAIN("U8", uint8_t, DECODES),
    [QN_U16] = PLAIN("U16", uint16_t, DECODES),
    [QN_U32] = PLAIN("U32", uint32_t, DECODES),
    [QN_U64] = PLAIN("U64", uint64_t, DECODES),
    [QN_BOOL] = PLAIN("BOOL", uint8_t, DECODES),
};

const qn_dtype_info *qn_dtype_get(uint32_t id) {
    if (id >= QN_DTYPE_LIMIT || type_table[id].name == NULL) {
        return NULL;
    }
    return &type_table[id];
}

static int upper(char c) {
    return c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c;
}

static bool is_same_name(const char *a, const char *b) {
    while (*a != '\0' && upper(*a) == upper(*b)) {
        a++;
        b++;
    }
    return upper(*a) == upper(*b);
}

bool qn_dtype_find(const char *name, qn_dtype *out) {
    for (uint32_t id = 0; id < QN_DTYPE_LIMIT; id++) {
        if (type_table[id].name != NULL && is_same_name(type_table[id].name, name)) {
            *out = (qn_dtype)id;
            return true;
        }
    }
    return false;
}

qn_status qn_row_size(qn_dtype type, uint64_t n_cols, uint64_t *size_bytes, qn_error *err) {
    const qn_dtype_info *info = qn_dtype_get((uint32_t)type);
    if (info == NULL) {
        return qn_fail(err, QN_E_UNSUPPORTED, "element type %u is not known; known are GGUF's types up to Q2_0 (%u)",
                       (unsigned)type, (unsigned)QN_Q2_0);
    }
    if (n_cols % info->block_len != 0) {
        return qn_fail(err, QN_E_SHAPE, "a row of %s holds whole blocks of %u elements, this one has %llu", info->name,
                       (unsigned)info->block_len, (unsigned long long)n_cols);
    }
    if (!qn_mul_u64(n_cols / info->block_len, info->block_bytes, size_bytes)) {
        return qn_fail(err, QN_E_RANGE, "a row of %llu elements of %s has more than 2^64 bytes",
                       (unsigned long long)n_cols, info->name);
    }
    return QN_OK;
}
