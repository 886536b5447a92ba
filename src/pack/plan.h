/* SPDX-License-Identifier: MIT */
/* plan.h: outputs x tensors x types x offsets. Private to src/pack/, and for src/calib to read. */
#ifndef QUERN_PACK_PLAN_H
#define QUERN_PACK_PLAN_H

#include "container/gguf.h"
#include "container/imatrix.h"
#include "model/model.h"
#include "model/training_run.h"
#include "pack/preset.h"
#include "quern/pack.h"
#include "stream/executor.h"

/** A file of an output: the whole of it, one shard, or a small file beside the weights (no tensors, all header). */
typedef struct qn_plan_file {
    const char *path;      /**< final name */
    const char *part_path; /**< while it is being written */
    uint64_t size_bytes;
    uint64_t first_tensor; /**< its tensors are a run of the model's */
    uint64_t n_tensors;
    qn_buffer header; /**< everything before the first tensor's data */
} qn_plan_file;

/** An output: the model in one type. */
typedef struct qn_plan_output {
    const char *type_name;     /**< "Q4_K_M", "BF16" */
    const qn_target *target;   /**< NULL for unquantised weights and for adapters */
    uint32_t file_type;        /**< general.file_type */
    const char *path;          /**< what a person is told: the first file, or a Hugging Face folder */
    const char *stem;          /**< path without ".gguf" */
    qn_placed_tensor *tensors; /**< [model->n_tensors] types, offsets, sizes */
    uint32_t first_file;       /**< its files are a run of the plan's */
    uint32_t n_files;
    uint64_t size_bytes;   /**< of all its files */
    uint64_t tensor_bytes; /**< of the tensors' data alone */
} qn_plan_output;

/** How the inputs were found. */
typedef struct qn_plan_inputs {
    const char *base_dir;     /**< folder whose config and weights are packed, or a GGUF file */
    bool is_gguf;             /**< the base is a GGUF file */
    const char *fallback_dir; /**< further folder for vocabulary files; NULL */
    qn_adapter_ref *adapters;
    uint64_t n_adapters;
    qn_training_run *run;            /**< owned by the plan; NULL without --run */
    const qn_checkpoint *checkpoint; /**< NULL without --run */
    const char *checkpoint_why;
    const char *model_name;
    const char *adapter_name; /**< {checkpoint_name} of an exported adapter */
    const char *out_dir;
} qn_plan_inputs;

/** An expert that the text behind an importance matrix never reached. */
typedef struct qn_unseen {
    const char *tensor;
    uint64_t expert;
} qn_unseen;

/** What an importance matrix says of a model. */
typedef struct qn_coverage {
    uint64_t n_covered; /**< tensors it has columns for */
    const char **open;  /**< [n_open] matrices of layers it has nothing on */
    uint64_t n_open;
    qn_unseen *unseen; /**< [n_unseen] */
    uint64_t n_unseen;
} qn_coverage;

struct qn_plan {
    qn_arena *arena;
    qn_plan_inputs inputs;
    qn_preset preset;
    qn_model *model;
    qn_dtype outtype; /**< type of matrices in the unquantised file */
    bool has_outtype; /**< it was asked for */
    bool to_hf;       /**< outputs are Hugging Face folders */
    uint64_t n_pruned_layers;
    qn_mixture_options mixture;
    qn_imatrix *imatrix; /**< NULL: none */
    qn_coverage coverage;
    uint64_t target_size_bytes; /**< of the output whose types are chosen by measured error; 0: not asked for */
    double target_bpw;
    const char *chosen_types; /**< what was chosen, as the lines of a tensor-type file; NULL */
    const float **importance; /**< [model->n_tensors] of each tensor's columns, or NULL; all NULL without a matrix */
    qn_effort effort;
    qn_plan_output *outputs;
    uint32_t n_outputs;
    qn_plan_file *files;
    uint32_t n_files;
    qn_stream_plan stream;
    unsigned n_threads;
    bool allow_nan, allow_requantize, force, no_sync, no_verify;
    uint64_t disk_bytes;      /**< all outputs */
    uint64_t disk_free_bytes; /**< what they may take, .part files that will be reused included */
    uint64_t memory_bytes;
    uint64_t fingerprint; /**< of everything that decides the outputs' bytes */
    const char *journal_path;
    bool resumes;         /**< a journal of this very job is there */
    qn_accept_fn *accept; /**< asked before an output gets its name; NULL: nobody is */
    void *accept_user;
};

/** Finds base, adapters, checkpoint, names and folder. Fills plan->inputs. */
QN_NODISCARD qn_status qn_plan_find_inputs(qn_plan *plan, const qn_pack_options *options, qn_job *job, qn_error *err);

/** Opens the importance matrix, if any, and gives the model's tensors their columns. Tells what it covers. */
QN_NODISCARD qn_status qn_plan_read_imatrix(qn_plan *plan, const qn_pack_options *options, qn_job *job, qn_error *err);

/** Matrices of a tensor that have columns of importance of their own: 1, or the number of experts. */
uint64_t qn_plan_n_matrices(const qn_shape *shape);

/** Reads what the options say of types: plan->outtype and plan->mixture. The model is open. */
QN_NODISCARD qn_status qn_plan_read_types(qn_plan *plan, const qn_pack_options *options, qn_error *err);

/** Gives an output its tensors with their types. @param job for a survey's events */
QN_NODISCARD qn_status qn_plan_choose_types(qn_plan *plan, qn_plan_output *output, qn_job *job, qn_error *err);

/**
 * Chooses types within the plan's size by measured error.
 * @param mix [model->n_tensors] unquantised types in, chosen ones out
 * @return QN_OK; QN_E_USAGE when the size is below what any types allow; as qn_survey_run()
 */
QN_NODISCARD qn_status qn_plan_choose_by_budget(qn_plan *plan, qn_plan_output *output, const qn_mixture_model *facts,
                                                qn_mixture_tensor *mix, qn_job *job, qn_error *err);

/** Bytes of a file of the whole model before the first tensor's data; the same for all types. */
QN_NODISCARD qn_status qn_plan_header_bytes(qn_plan *plan, uint64_t *out, qn_error *err);

/** Lays out the files of an output that is a Hugging Face folder. Appends to plan->files. */
QN_NODISCARD qn_status qn_plan_lay_out_hf(qn_plan *plan, qn_plan_output *output, const qn_pack_options *options,
                                          qn_error *err);

/** Appends a file to the plan and counts it as the output's; *out lives until the next one. */
QN_NODISCARD qn_status qn_plan_add_file(qn_plan *plan, qn_plan_output *output, qn_plan_file **out, qn_error *err);

/** Decides outputs, types, files and offsets; builds headers. The model is open. */
QN_NODISCARD qn_status qn_plan_lay_out(qn_plan *plan, const qn_pack_options *options, qn_job *job, qn_error *err);

/** Bits of an output's tensors over the model's weights; 0 for a model without weights. */
double qn_plan_bits_per_weight(const qn_plan *plan, const qn_plan_output *output);

/** Checks names in the way and disk space; looks for a journal to go on from. */
QN_NODISCARD qn_status qn_plan_check_disk(qn_plan *plan, qn_error *err);

#endif
