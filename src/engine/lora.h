/* SPDX-License-Identifier: MIT */
/* lora.h: an adapter at run time: low-rank pairs whose product is added behind a weight's, nothing being merged. */
#ifndef QUERN_ENGINE_LORA_H
#define QUERN_ENGINE_LORA_H

#include "engine/weights.h"
#include "quern/job.h"

/** A change of one matrix: y += B (A x). All in float32, in memory; B holds the scale. */
typedef struct qn_lora_pair {
    const char *tensor; /**< GGUF name of the matrix */
    qn_weight a;        /**< [rank, n_cols] */
    qn_weight b;        /**< [n_rows, rank] */
    qn_weight lookup;   /**< token_embd.weight only: A turned, [n_cols, rank], for rows of B by id; else absent */
} qn_lora_pair;

/** An opened adapter. */
typedef struct qn_lora {
    qn_arena *arena;
    const char *path;
    qn_lora_pair *pairs;
    uint64_t n_pairs;
    uint64_t max_rank;
    uint64_t size_bytes; /**< of all factors in memory */
} qn_lora;

/** A pair that changes a weight; further ones behind it. */
struct qn_delta {
    const qn_lora_pair *pair;
    const qn_delta *next;
};

/**
 * Opens a GGUF adapter file, or a PEFT folder, for a base that is a GGUF file, and reads its pairs.
 * Scale: strength * alpha / rank (alpha / sqrt(rank) for rsLoRA); a GGUF adapter without alpha has strength alone.
 * Source: facts/lora.md 2 and 4.5.
 * @param base_path the base's GGUF file; needed for folders only
 * @param arch      the base's general.architecture
 * @param job       for warnings; may be NULL
 * @return QN_OK; QN_E_UNSUPPORTED (another architecture; what no low-rank pair expresses: DoRA, trained modules and
 *         biases, experts), each with the remedy; QN_E_FORMAT; QN_E_SHAPE; QN_E_NOT_FOUND; QN_E_IO; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_lora_open(const char *path, double strength, const char *base_path, const char *arch,
                                    qn_job *job, qn_lora **out, qn_error *err);
/** Frees; accepts NULL. */
void qn_lora_close(qn_lora *lora);

/**
 * Gives a weight the pairs of its name.
 * @param n_attached grows by the pairs found
 * @return QN_OK; QN_E_SHAPE naming adapter, tensor, found and expected; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_lora_attach(const qn_lora *const *loras, uint64_t n_loras, qn_arena *arena, qn_weight *weight,
                                      uint64_t *n_attached, qn_error *err);

/** Whether every pair found its weight. @return QN_OK; QN_E_NOT_FOUND or QN_E_UNSUPPORTED naming one that has not */
QN_NODISCARD qn_status qn_lora_check_attached(const qn_lora *const *loras, uint64_t n_loras, uint64_t n_attached,
                                              const qn_provider *provider, qn_error *err);

#endif
