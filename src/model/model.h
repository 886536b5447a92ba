/* SPDX-License-Identifier: MIT */
/* model.h: any input as one model: hyper-parameters, vocabulary, metadata, and a recipe for every tensor. */
#ifndef QUERN_MODEL_MODEL_H
#define QUERN_MODEL_MODEL_H

#include "model/adapter.h"

/** A tensor of the model, under its GGUF name. */
typedef struct qn_model_tensor {
    const char *name;
    const char *source; /**< the checkpoint's name for it; "generated" */
    qn_shape shape;     /**< slowest first */
    const qn_recipe *recipe;
    bool is_merged;    /**< an adapter changes or replaces it */
    bool is_generated; /**< made from hyper-parameters; stays float32 */
} qn_model_tensor;

/** A small file that goes beside the weights of a Hugging Face folder. */
typedef struct qn_side_file {
    const char *name;    /**< "config.json" */
    const char *copy_of; /**< path of the file whose bytes it has; NULL: bytes below */
    qn_text bytes;
} qn_side_file;

/** An opened model. Borrowed members live until qn_model_close(). */
typedef struct qn_model {
    qn_arena *arena;
    const char *path;      /**< what was opened */
    const char *arch_name; /**< general.architecture */
    const qn_arch *arch;   /**< NULL for a GGUF file of a family that quern has no table for */
    qn_hparams hparams;    /**< empty without a table */
    bool has_vocab;
    qn_vocab vocab;
    qn_meta meta;             /**< every key of a GGUF file but general.alignment and split.* */
    qn_model_tensor *tensors; /**< in file order */
    uint64_t n_tensors;
    uint64_t n_weights;    /**< elements of all tensors */
    qn_adapter **adapters; /**< [n_adapters], merged in this order */
    uint64_t n_adapters;
    qn_archive *archive;            /**< weights; NULL for an adapter alone */
    json_t *config;                 /**< config.json; NULL for a GGUF file */
    const qn_side_file *side_files; /**< of a model opened as a Hugging Face folder; else none */
    uint64_t n_side_files;
} qn_model;

/** An adapter to merge. */
typedef struct qn_adapter_ref {
    const char *dir;
    double strength;
} qn_adapter_ref;

/** What to open. All borrowed. */
typedef struct qn_model_request {
    const char *dir; /**< Hugging Face folder with config.json and weights, a GGUF file (or one of its shards), or
                          llama2.c's .bin */
    const qn_adapter_ref *adapters;
    uint64_t n_adapters;
    const char *const *extra_dirs; /**< searched for vocabulary files before dir (checkpoint, run) */
    uint64_t n_extra_dirs;
    const char *fallback_dir;      /**< searched after dir (the base of a full fine-tune); NULL */
    const char *name;              /**< general.name; NULL: the folder's name */
    const char *pre;               /**< pre-tokenizer override; NULL */
    const char *tokenizer;         /**< tokenizer.bin of a llama2.c file; NULL: the one beside it */
    bool without_vocab;            /**< only weights are wanted (compare) */
    const uint64_t *pruned_layers; /**< layers left out; those that stay are numbered anew */
    uint64_t n_pruned_layers;
    const char *const *overrides; /**< "KEY=TYPE:VALUE" (int, float, bool, str): metadata set over what is there */
    uint64_t n_overrides;
    const char *hf_dtype; /**< qn_model_open_hf(): what config.json says of the weights' type: "float32", "float16",
                               "bfloat16"; NULL: what the folder's says, nothing for a GGUF file */
    qn_job *job;          /**< for warnings and notes; may be NULL */
} qn_model_request;

/**
 * Opens a Hugging Face folder or a GGUF file, adapters merged in, layers left out and metadata overridden as asked.
 * Reads headers only. Every tensor of the checkpoint and of the adapters is accounted for; one that has no place is an
 * error with the nearest names. A GGUF file's tensors and metadata stay as they are otherwise; adapters can be merged
 * into one of a family that quern has a table for.
 * @return QN_OK; QN_E_NOT_FOUND; QN_E_FORMAT; QN_E_SHAPE; QN_E_UNSUPPORTED; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_model_open(const qn_model_request *request, qn_model **out, qn_error *err);

/**
 * Opens an adapter alone, as the tensors of a GGUF adapter file: of the base only config.json or a header is read.
 * @param base_dir folder with the base's config.json, or its GGUF file
 * @return as above; QN_E_UNSUPPORTED listing what only merging can express (DoRA, trained tensors, biases)
 */
QN_NODISCARD qn_status qn_model_open_adapter(const char *base_dir, const qn_adapter_ref *adapter, const char *name,
                                             qn_job *job, qn_model **out, qn_error *err);

/**
 * Opens a model as the tensors and files of a Hugging Face folder: from a GGUF file (any type; names and
 * transformations taken back by the family's table; config.json, tokenizer files, generation_config.json and chat
 * template made from the metadata), or from a Hugging Face folder (its own files), adapters merged in.
 * Tensors of a folder keep their own names; a vision tower's are among them. Tied weights stay tied unless an adapter
 * trained the output matrix. Overrides change a GGUF file's metadata before anything is made of it; a folder has none.
 * @return as qn_model_open(); QN_E_UNSUPPORTED for a GGUF file of a family without a table, or with a tensor that the
 *         family's class does not have; QN_E_NOT_FOUND for one without a vocabulary, unless without_vocab is set
 */
QN_NODISCARD qn_status qn_model_open_hf(const qn_model_request *request, qn_model **out, qn_error *err);

/**
 * Opens a file that holds a whole model, as an archive with GGUF's tensor names and metadata: a GGUF file (or one of
 * its shards), or llama2.c's .bin with the tokenizer beside it: tok<number of tokens>.bin, tokenizer.bin, any tok*.bin.
 * @param request dir is the file; of the rest, name, tokenizer, without_vocab and job count, for llama2.c
 * @return as qn_gguf_open(); QN_E_NOT_FOUND also for a missing tokenizer
 */
QN_NODISCARD qn_status qn_model_open_file(const qn_model_request *request, qn_archive **out, qn_error *err);

/** Opens a GGUF or llama2.c file, or shards: tensors and metadata as they are, without llama2.c's vocabulary. */
QN_NODISCARD qn_status qn_model_open_gguf(const char *path, qn_model **out, qn_error *err);

/** Opens a GGUF file, or a folder by qn_model_open() without adapters and vocabulary. */
QN_NODISCARD qn_status qn_model_open_any(const char *path, qn_model **out, qn_error *err);

/**
 * The type of the model's weights where they are not quantised: that of its first matrix, when that is F32, F16 or
 * BF16; F16 when it is quantised (F16 holds decoded weights more exactly than BF16 does); else F32.
 */
qn_dtype qn_model_plain_type(const qn_model *model);

/** Frees; accepts NULL. */
void qn_model_close(qn_model *model);

/** "3.7M", "8.0B": a count of weights with two digits or more, as in GGUF's size labels. buffer: 32 bytes. */
const char *qn_size_label(uint64_t n_weights, char *buffer, size_t size);

#endif
