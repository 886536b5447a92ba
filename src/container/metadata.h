/* SPDX-License-Identifier: MIT */
/* metadata.h: typed key-value pairs in order, as GGUF stores them and every reader gives them. */
#ifndef QUERN_CONTAINER_METADATA_H
#define QUERN_CONTAINER_METADATA_H

#include "base/memory.h"

#include <stdbool.h>

/** Bytes with a length; may hold NULs, need not end in one. Borrowed unless said otherwise. */
typedef struct qn_text {
    const char *bytes;
    size_t len;
} qn_text;

/** A qn_text of a C string. */
qn_text qn_text_of(const char *string);
/** Whether a text has exactly the bytes of a C string. */
bool qn_text_is(qn_text text, const char *string);

/** Value types; the numbers are GGUF's. */
typedef enum qn_meta_type {
    QN_META_U8 = 0,
    QN_META_I8 = 1,
    QN_META_U16 = 2,
    QN_META_I16 = 3,
    QN_META_U32 = 4,
    QN_META_I32 = 5,
    QN_META_F32 = 6,
    QN_META_BOOL = 7,
    QN_META_STRING = 8,
    QN_META_ARRAY = 9,
    QN_META_U64 = 10,
    QN_META_I64 = 11,
    QN_META_F64 = 12
} qn_meta_type;

/** A value. Which member of the union counts is told by type. */
typedef struct qn_meta_value {
    qn_meta_type type;
    union {
        uint64_t u;   /**< U8..U64 */
        int64_t i;    /**< I8..I64 */
        double f;     /**< F32, F64 */
        bool b;       /**< BOOL */
        qn_text text; /**< STRING */
        struct {
            qn_meta_type type; /**< of the elements; never ARRAY */
            uint64_t n;
            const void *items; /**< [n] uint8_t, int8_t, …, float, bool, double, or qn_text */
        } array;               /**< ARRAY */
    } as;
} qn_meta_value;

typedef struct qn_meta_entry {
    const char *key;
    qn_meta_value value;
} qn_meta_entry;

/**
 * Pairs in order of insertion; keys are unique. Setting a key again replaces its value in place.
 * A failed allocation is remembered, like in qn_buffer: check once with qn_meta_status().
 */
typedef struct qn_meta {
    qn_arena *arena; /**< keys, strings and arrays are copied into it; borrowed */
    qn_meta_entry *entries;
    uint64_t n;
    uint64_t cap;
    bool has_failed;
} qn_meta;

/** An empty list whose contents will live in arena. */
qn_meta qn_meta_new(qn_arena *arena);
/** QN_OK, or QN_E_NOMEM when any setter found no memory. */
QN_NODISCARD qn_status qn_meta_status(const qn_meta *m, qn_error *err);

/** The value at key, or NULL. Borrowed; valid until the next setter. */
const qn_meta_value *qn_meta_find(const qn_meta *m, const char *key);
/** The string at key as a C string made in the list's arena, or NULL when absent, no string, or holding a NUL. */
const char *qn_meta_string(const qn_meta *m, const char *key);
/** Reads any unsigned or non-negative signed integer. @return false when absent or not one. */
bool qn_meta_u64(const qn_meta *m, const char *key, uint64_t *out);
/** Reads F32 or F64. @return false when absent or not one. */
bool qn_meta_f64(const qn_meta *m, const char *key, double *out);

/** Sets any value; what it points to is borrowed and must outlive the list. */
void qn_meta_set(qn_meta *m, const char *key, qn_meta_value value);
void qn_meta_set_u32(qn_meta *m, const char *key, uint32_t v);            /**< Sets a UINT32. */
void qn_meta_set_u16(qn_meta *m, const char *key, uint16_t v);            /**< Sets a UINT16. */
void qn_meta_set_i32(qn_meta *m, const char *key, int32_t v);             /**< Sets an INT32. */
void qn_meta_set_f32(qn_meta *m, const char *key, float v);               /**< Sets a FLOAT32. */
void qn_meta_set_bool(qn_meta *m, const char *key, bool v);               /**< Sets a BOOL. */
void qn_meta_set_string(qn_meta *m, const char *key, const char *string); /**< Sets a STRING; copied. */
/** Sets an ARRAY of n items of a type; items are borrowed and must outlive the list. */
void qn_meta_set_array(qn_meta *m, const char *key, qn_meta_type type, const void *items, uint64_t n);
/** Removes a key; nothing happens when it is absent. */
void qn_meta_remove(qn_meta *m, const char *key);

/** Bytes an element of a fixed-size type takes in a file; 0 for STRING, ARRAY and unknown types. */
size_t qn_meta_type_size(qn_meta_type type);
/** "u32", "str", "arr"; "?" for an unknown type. */
const char *qn_meta_type_name(qn_meta_type type);

#endif
