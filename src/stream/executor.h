/* SPDX-License-Identifier: MIT */
/* executor.h: reads each row range once, encodes it for every output that wants it, writes at planned offsets. */
#ifndef QUERN_STREAM_EXECUTOR_H
#define QUERN_STREAM_EXECUTOR_H

#include "base/worker.h"
#include "recipe/recipe.h"

/** Where one output keeps one tensor. */
typedef struct qn_stream_place {
    bool is_wanted; /**< false: this output has no such tensor */
    qn_dtype type;
    uint32_t file;     /**< index into qn_stream_plan.files */
    uint64_t file_off; /**< of the tensor's first byte */
    uint64_t row_bytes;
} qn_stream_place;

/** A tensor to be streamed. */
typedef struct qn_stream_tensor {
    const char *name; /**< GGUF name, for events and messages */
    const qn_recipe *recipe;
    const float *importance; /**< [n matrices, n_cols] weights of the errors of each column, or NULL; borrowed */
    uint64_t matrix_rows;    /**< rows that share a run of importance; 0: all of them */
    const char *stage;       /**< the stage its work is told under: "Merge LoRA", "Quantization", … */
    qn_stream_place *places; /**< [n_outputs] */
    uint64_t unit_rows;      /**< out: rows a unit */
    uint64_t first_unit;     /**< out: index of its first unit */
    uint64_t n_units;        /**< out */
} qn_stream_tensor;

/** What outputs are written to: a file, or memory. */
typedef struct qn_stream_file {
    const char *path;      /**< the .part path that is written */
    qn_out *out;           /**< open while the stream runs */
    unsigned char *memory; /**< not NULL: takes the bytes instead of a file, "file_off" counted from it */
} qn_stream_file;

/** Tensors times outputs, with offsets: what a stream runs. Built by the planner; owned by it. */
typedef struct qn_stream_plan {
    qn_stream_tensor *tensors;
    uint64_t n_tensors;
    qn_stream_file *files;
    uint32_t n_files;
    uint32_t n_outputs;
    uint64_t n_units;      /**< out of qn_stream_cut() */
    uint64_t source_bytes; /**< out of qn_stream_cut(): bytes to read, for progress */
} qn_stream_plan;

/** Elements a unit aims at: small enough to stay in a core's cache, large enough to make calls cheap. */
enum { QN_UNIT_ELEMENTS = 1 << 18 };

/** Cuts the tensors into units (whole rows; the same for any thread count). */
void qn_stream_cut(qn_stream_plan *plan);

/**
 * Which units are done and what they encoded to: filled by a run, kept by a journal, checked by verification.
 */
typedef struct qn_stream_state {
    unsigned char *is_done; /**< [n_units] 0 or 1 */
    uint64_t *hashes;       /**< [n_units * n_outputs] qn_hash64 of the bytes written (0 where not wanted) */
    uint64_t n_nonfinite;   /**< NaN and infinite weights met (only with allow_nan) */
} qn_stream_state;

/** Makes the state of a plan that was cut: nothing done. Free with qn_stream_state_clear(). */
QN_NODISCARD qn_status qn_stream_state_new(const qn_stream_plan *plan, qn_stream_state *out, qn_error *err);
/** Frees the arrays; accepts a zeroed state. */
void qn_stream_state_clear(qn_stream_state *state);

/** Told after each unit, from worker threads, one at a time. @param hashes [n_outputs] */
typedef qn_status qn_unit_done_fn(void *user, uint64_t unit, const uint64_t *hashes, qn_error *err);

typedef struct qn_stream_options {
    qn_cpu_level level;
    qn_effort effort;
    bool allow_nan; /**< NaN and infinity get a warning a tensor instead of ending the job: plain types keep them,
                         quantised types have 0 in their place */
    bool is_silent; /**< no stage and progress events */
    qn_unit_done_fn *on_unit; /**< may be NULL; a failure ends the stream */
    void *user;
} qn_stream_options;

/**
 * Runs every unit that is not done yet, on the job's threads. Plain bytes whose type an output wants are copied.
 * Emits a stage event whenever the stage of the next tensor is another one, progress events (at most some ten a
 * second), and a warning for a tensor whose weights overflow F16. A unit counts as done once on_unit has succeeded.
 * @return QN_OK; QN_E_RANGE for NaN or infinity, naming tensor, row and column; QN_E_INTERRUPTED; QN_E_IO;
 *         QN_E_SPACE; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_stream_run(const qn_stream_plan *plan, qn_stream_state *state,
                                     const qn_stream_options *options, qn_job *job, qn_error *err);

/**
 * Reads units back from the files and compares them with the state's sums.
 * @param only_done  look at units marked done only, and mark those that differ as not done (a resume);
 *                   otherwise every unit must match (verification, emits progress under "Verify")
 * @return QN_OK; QN_E_IO, naming file, tensor and rows, when bytes came back changed; QN_E_INTERRUPTED; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_stream_verify(const qn_stream_plan *plan, qn_stream_state *state, bool only_done, qn_job *job,
                                        qn_error *err);

/** Bytes of memory a run with n_threads will use at most, buffers and state together. */
uint64_t qn_stream_memory(const qn_stream_plan *plan, unsigned n_threads);

#endif
