/* SPDX-License-Identifier: MIT */
/* stream_units.h: units of a plan: which rows of which tensor they are; for the files of this folder only. */
#ifndef QUERN_STREAM_STREAM_UNITS_H
#define QUERN_STREAM_STREAM_UNITS_H

#include "stream/executor.h"

/** One unit: rows [first_row, first_row + n_rows) of a tensor. */
typedef struct qn_stream_unit {
    uint64_t index;  /**< in the plan */
    uint64_t tensor; /**< index into plan->tensors */
    uint64_t first_row;
    uint64_t n_rows;
} qn_stream_unit;

/** Unit number `index` of a plan that was cut; index < plan->n_units. */
qn_stream_unit qn_stream_unit_at(const qn_stream_plan *plan, uint64_t index);

/** Where a tensor's bytes lie when its recipe is plain bytes, and what they are. */
typedef struct qn_stream_source {
    bool is_bytes;
    qn_dtype type; /**< of the bytes */
    const qn_file *file;
    uint64_t file_off;
    uint64_t row_bytes;
} qn_stream_source;

/** The source of a tensor. */
qn_stream_source qn_stream_source_of(const qn_stream_tensor *tensor);

/** Bytes that one worker needs at most for a unit of any tensor. */
typedef struct qn_stream_sizes {
    uint64_t raw;   /**< rows as they are in the source */
    uint64_t rows;  /**< rows as float32 */
    uint64_t coded; /**< rows as one output has them */
} qn_stream_sizes;

/** The buffers that a plan that was cut needs. */
qn_stream_sizes qn_stream_sizes_of(const qn_stream_plan *plan);

/** total * part / whole without overflow, rounded down, and exactly total for the whole; part <= whole. */
static inline uint64_t qn_stream_share(uint64_t total, uint64_t part, uint64_t whole) {
    if (part >= whole) {
        return total;
    }
    return total / whole * part + (uint64_t)((double)(total % whole) * (double)part / (double)whole);
}

#endif
