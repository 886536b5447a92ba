/* SPDX-License-Identifier: MIT */
/* pack.h: the main job: base model + adapters → several GGUF files in one pass. */
#ifndef QUERN_PACK_H
#define QUERN_PACK_H

#include "quern/dtype.h"
#include "quern/job.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A file type, as -t names it: a mixture of element types. */
typedef struct qn_file_type {
    const char *name;   /**< as llama.cpp spells it: "Q4_K_M". Static storage */
    qn_dtype base;      /**< of most tensors */
    bool needs_imatrix; /**< refused without an importance matrix */
} qn_file_type;

/** File type i. @return false past the end; *out untouched */
bool qn_file_type_at(size_t i, qn_file_type *out);

/** An adapter to merge. */
typedef struct qn_pack_adapter {
    const char *dir; /**< PEFT folder */
    double scale;    /**< strength; 1 for all of it */
} qn_pack_adapter;

/** What to pack. Zero-initialise, then set what is wanted; everything is borrowed. */
typedef struct qn_pack_options {
    const char *base;       /**< Hugging Face folder, GGUF file or llama2.c's .bin; NULL: found from the adapter's
                              adapter_config.json */
    const char *run;        /**< Trainer run folder (or one checkpoint); NULL for none */
    const char *checkpoint; /**< "best", "last" or a step; NULL: best, else last */
    const qn_pack_adapter *adapters; /**< merged in order, after the run's */
    size_t n_adapters;
    const char *types; /**< "Q4_K_M,Q8_0,F16"; COPY leaves every type as it is; NULL: what the preset says */
    const char
        *preset; /**< "merge-quantize", "merge", "quantize", "lora", "copy", "custom"; NULL: merge-quantize, or custom
                              when types are given */
    const char *out_dir; /**< NULL: gguf beside the run's checkpoints, or in the base or adapter folder */
    const char *name;    /**< {model_name}; NULL: the run's folder name, else the base's */
    const char *outtype; /**< "f32", "f16", "bf16", "auto": the unquantised weights' type; NULL: auto */
    bool to_hf;      /**< write a Hugging Face folder (safetensors, config, tokenizer) instead of GGUF files; out_dir
                              is the folder itself, split_max_bytes 5 GB when it is 0 */
    const char *pre; /**< pre-tokenizer name that overrides recognition */
    const char *tokenizer;      /**< tokenizer.bin of a llama2.c base; NULL: the one beside it */
    uint64_t split_max_bytes;   /**< shards of at most this many bytes of tensors; 0: one file */
    uint64_t split_max_tensors; /**< shards of at most this many tensors; 0: no limit */
    bool allow_nan;             /**< NaN and infinity in weights warn instead of ending the job */
    bool force;                 /**< replace outputs that are there */
    bool no_sync;               /**< do not wait for the disk before renaming (benchmarks, scratch) */
    bool no_verify;             /**< do not read the outputs back */
    qn_effort effort;           /**< how much time encoders spend on a smaller error */

    /* Importance of weights. */
    const char *imatrix;                /**< importance matrix, GGUF or legacy .dat; NULL: none */
    const char *const *include_weights; /**< it counts only for tensors whose name holds one of these */
    size_t n_include_weights;
    const char *const *exclude_weights; /**< and not for those whose name holds one of these */
    size_t n_exclude_weights;

    /* Which type for which tensor, as llama-quantize has it. */
    bool pure;                        /**< every matrix in the target's base type */
    bool leave_output_tensor;         /**< output.weight is not quantised */
    const char *output_tensor_type;   /**< element type of output.weight; NULL: as the target has it */
    const char *token_embedding_type; /**< element type of token_embd.weight; NULL: as the target has it */
    const char *const *tensor_types;  /**< "REGEX=TYPE" in order; the first that matches decides */
    size_t n_tensor_types;
    const char *tensor_type_file; /**< more of them, one a line, behind those above; NULL */
    bool allow_requantize;        /**< weights that are quantised already may be quantised again */

    /* A size instead of a type: the types with the least weighted error within it. 0: not asked for. */
    uint64_t target_size_bytes; /**< of the whole file */
    double target_bpw;          /**< bits per weight over all tensors */

    /* Changes to the model. */
    const uint64_t *pruned_layers; /**< layers left out */
    size_t n_pruned_layers;
    const char *const *kv_overrides; /**< "KEY=TYPE:VALUE", TYPE int, float, bool or str */
    size_t n_kv_overrides;
    bool keep_split; /**< a base in shards gives outputs in as many shards with the same tensors each */
} qn_pack_options;

/** Everything a job will do, decided before a byte is written. */
typedef struct qn_plan qn_plan;

/**
 * Opens the inputs (headers only), decides every output, tensor, type and offset, and checks all that can fail
 * early: missing files, shapes, unknown tensors, names in the way, disk space.
 * @param job not NULL; its threads count towards memory; warnings and notes go to its listener
 * @param out to be freed with qn_plan_free()
 */
QN_NODISCARD qn_status qn_plan_new(const qn_pack_options *options, qn_job *job, qn_plan **out, qn_error *err);

/**
 * The plan as a JSON document:
 *
 *     { "model": { "name", "arch", "source" (folder), "n_tensors", "n_weights", "n_layer", "n_ctx", "vocab_size",
 *                  "adapters": [ { "dir", "scale", "n_pairs" } ], "checkpoint": { "step", "dir", "why" } | null },
 *       "preset", "to_hf": bool, "effort", "out_dir", "threads",
 *       "imatrix": { "path", "n_chunks", "n_covered", "open": [ names of matrices it has nothing on ],
 *                    "unseen": [ { "tensor", "expert" } ] } | null,
 *       "disk_bytes", "disk_free_bytes", "memory_bytes", "read_bytes", "resumes": bool,
 *       "is_checked": bool (outputs are put before an accept call),
 *       "outputs": [ { "type", "path" (first file), "files": [ { "path", "size_bytes", "n_tensors" } ], "size_bytes",
 *                      "bits_per_weight", "types": { "Q4_K": {"n_tensors", "size_bytes"} },
 *                      "tensors": [ { "name", "shape": [slowest first], "type", "size_bytes", "source": "model.…",
 *                                     "is_copied", "is_merged" } ],
 *                      "tensor_types": lines of a tensor-type file, where types were chosen by measured error } ] }
 *
 * @param text to be freed with free()
 */
QN_NODISCARD qn_status qn_plan_json(const qn_plan *plan, char **text, qn_error *err);

/** An output that is whole and verified, and has no final name yet. Valid during the call. */
typedef struct qn_candidate {
    const char *type;              /**< "Q4_K_M" */
    const char *path;              /**< final name, of the first shard if there are several */
    const char *const *part_paths; /**< [n_files] where its bytes are now, shards in order */
    size_t n_files;
    uint64_t size_bytes; /**< of all of them */
} qn_candidate;

/**
 * Decides whether an output gets its name.
 * @param job     the plan's: for events, threads and cancellation
 * @param verdict zeroed; what was found, told with QN_EVENT_OUTPUT
 * @return QN_OK accepts it; QN_E_INTERRUPTED stops the job; any other status refuses it, err says why
 */
typedef qn_status qn_accept_fn(void *user, const qn_candidate *candidate, qn_job *job, qn_verdict *verdict,
                               qn_error *err);

/**
 * Has every GGUF output put before fn, in order, when all are whole and verified and before the first gets its name.
 * Hugging Face folders are not. @param fn NULL: none, which is how a plan begins
 */
void qn_plan_set_accept(qn_plan *plan, qn_accept_fn *fn, void *user);

/**
 * Runs the plan: streams, verifies, asks whether outputs are accepted, renames. Emits QN_EVENT_OUTPUT for every
 * finished output and QN_EVENT_DONE. Interrupted or failed, it leaves .part files and a journal from which the same
 * call goes on; no file under a final name that is not whole.
 * @return also the status of the first refusal: the other outputs have their names then, those that were refused stay
 *         as .part files, and the same plan, run again, asks again without encoding again
 */
QN_NODISCARD qn_status qn_plan_run(qn_plan *plan, qn_job *job, qn_error *err);

/** Frees; accepts NULL. */
void qn_plan_free(qn_plan *plan);

#ifdef __cplusplus
}
#endif
#endif
