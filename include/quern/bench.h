/* SPDX-License-Identifier: MIT */
/* bench.h: how fast a model runs here. */
#ifndef QUERN_BENCH_H
#define QUERN_BENCH_H

#include "quern/job.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Counts to go through. */
typedef struct qn_bench_counts {
    const uint64_t *items; /**< borrowed */
    size_t n;              /**< 0: the default */
} qn_bench_counts;

/** What to measure. Zero-initialise, then set what is wanted. Everything is borrowed for the call. */
typedef struct qn_bench_options {
    const char *path;        /**< GGUF file, or one of its shards; llama2.c's .bin */
    qn_bench_counts prompts; /**< tokens of prompts; a 0 is passed over; default 512 or n_ctx */
    qn_bench_counts answers; /**< tokens to generate, from an empty context; 0 is passed over; default 128 or n_ctx */
    qn_bench_counts threads; /**< default: the job's */
    qn_bench_counts batches; /**< prompt tokens computed together; default 512 */
    uint64_t n_repetitions;  /**< of each test, after one that does not count; default 5 */
} qn_bench_options;

/**
 * Measures the speed of prompts and of generation with each number of threads, and of prompts with each batch.
 *
 *     { "path", "name", "arch", "n_weights", "size_bytes" (of weights), "bits_per_weight",
 *       "bytes_a_token" (of weights, read for each token that is generated), "load_seconds",
 *       "tests": [ { "test": "pp512" | "tg128" | …, "n_prompt", "n_predict", "n_threads", "n_batch",
 *                    "tokens_a_second": { "mean", "deviation" (standard; 0 of one), "samples": [] },
 *                    "weights_bytes_a_second" (of generation; else null) } ] }
 *
 * Tokens are random; what they are makes no difference to the speed of a model without experts.
 * @param job  threads, progress under the stage "Bench" (in tokens of all tests), cancel
 * @param text to be freed with free()
 * @return QN_OK; as qn_chat_open(); QN_E_USAGE (nothing to measure); QN_E_INTERRUPTED
 */
QN_NODISCARD qn_status qn_bench(const qn_bench_options *options, qn_job *job, char **text, qn_error *err);

#ifdef __cplusplus
}
#endif
#endif
