/* SPDX-License-Identifier: MIT */
/* adapter.h: a PEFT LoRA folder, its tensors sorted by the module they change, and what they become in GGUF. */
#ifndef QUERN_MODEL_ADAPTER_H
#define QUERN_MODEL_ADAPTER_H

#include "arch/arch.h"

/**
 * What an adapter holds for one module of the model: a low-rank pair, trained tensors, or both.
 * Tensors are borrowed from the adapter; NULL where there is none.
 */
typedef struct qn_adapter_part {
    const char *module;                   /**< path in the model, "model.layers.0.self_attn.q_proj" */
    const qn_archive_tensor *a;           /**< A: [rank, in]; of an embedding [rank, vocab] */
    const qn_archive_tensor *b;           /**< B: [out, rank]; of an embedding [n_embd, rank] */
    const qn_archive_tensor *b_bias;      /**< [out], added to the bias (lora_bias) */
    const qn_archive_tensor *magnitude;   /**< DoRA's m */
    const qn_archive_tensor *full_weight; /**< replaces the weight (modules_to_save) */
    const qn_archive_tensor *full_bias;   /**< replaces the bias (bias = "all", "lora_only") */
    bool is_embedding;                    /**< a and b are lora_embedding_A and _B */
    uint64_t rank;
    double alpha;
    double scale; /**< s: alpha / rank, or alpha / sqrt(rank) */
} qn_adapter_part;

/** An opened adapter. */
typedef struct qn_adapter {
    qn_arena *arena;
    const char *dir;
    double strength;  /**< how much of it to apply; 1 for all */
    const char *base; /**< base_model_name_or_path; NULL */
    double alpha;     /**< lora_alpha */
    bool has_dora, has_rslora;
    qn_adapter_part *parts;
    uint64_t n_parts;
    uint64_t n_pairs; /**< parts with a low-rank pair */
    json_t *config;
    qn_archive *archive;
} qn_adapter;

/**
 * Opens a folder with adapter_config.json and adapter_model.safetensors; reads headers only. Every tensor is
 * sorted into a part; one that is none of the known kinds, or half a pair, is an error.
 * @param strength applied on top of the adapter's own scale
 * @param job      for warnings; may be NULL
 * @return QN_OK; QN_E_NOT_FOUND; QN_E_FORMAT; QN_E_SHAPE; QN_E_UNSUPPORTED (not LORA, a variant quern cannot merge)
 */
QN_NODISCARD qn_status qn_adapter_open(const char *dir, double strength, qn_job *job, qn_adapter **out, qn_error *err);
/** Frees; accepts NULL. */
void qn_adapter_close(qn_adapter *adapter);

/** Whether a folder holds an adapter (adapter_config.json). */
bool qn_is_adapter_dir(const char *dir);

/**
 * A part's low-rank pair as GGUF has it: the transformation of the tensor's rule applied to B (and to DoRA's
 * magnitude), embedding factors turned so that left is [rows, rank] and right is [rank, cols]. The one place where a
 * PEFT pair becomes a GGUF pair: merging and exporting both use it.
 * @param rule   of the module's weight
 * @param n_rows,n_cols shape of the GGUF tensor; 0 when it is not known (export needs no weights)
 * @param out    borrowed recipes in the arena
 * @return QN_OK; QN_E_SHAPE naming module, found and expected; QN_E_UNSUPPORTED; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_adapter_pair(const qn_adapter *adapter, const qn_adapter_part *part,
                                       const qn_tensor_rule *rule, const qn_hparams *h, uint64_t n_rows,
                                       uint64_t n_cols, qn_arena *arena, qn_low_rank *out, qn_error *err);

#endif
