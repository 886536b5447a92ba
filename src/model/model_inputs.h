/* SPDX-License-Identifier: MIT */
/* model_inputs.h: from what a person names to folders: base, checkpoint of a run, adapters. */
#ifndef QUERN_MODEL_MODEL_INPUTS_H
#define QUERN_MODEL_MODEL_INPUTS_H

#include "model/model.h"
#include "model/training_run.h"

/** What was named. All borrowed for the call. */
typedef struct qn_input_request {
    const char *base;       /**< folder, file, or a Hub name in the local cache; NULL: found from an adapter's config */
    const char *run;        /**< Trainer run folder, or one checkpoint; NULL */
    const char *checkpoint; /**< "best", "last" or a step; NULL: best, else last */
    const qn_adapter_ref *adapters; /**< PEFT folders, in order, after the run's */
    uint64_t n_adapters;
    const char *remedy; /**< last line where an adapter's base is not found; NULL: to pass it as BASE */
} qn_input_request;

/** What was found. Strings live in the arena. */
typedef struct qn_model_inputs {
    const char *base_dir;     /**< folder whose config and weights are meant, or a file */
    bool is_file;             /**< the base is a GGUF file */
    const char *fallback_dir; /**< further folder for vocabulary files; NULL */
    qn_adapter_ref *adapters; /**< [n_adapters]: the run's, the one named as base, those asked for */
    uint64_t n_adapters;
    qn_training_run *run;            /**< to be closed with qn_run_close(); NULL */
    const qn_checkpoint *checkpoint; /**< the run's; NULL */
    const char *checkpoint_why;
} qn_model_inputs;

/**
 * Finds base, checkpoint and adapters. An adapter folder named as base is merged into the base it names.
 * @param out out->run is the caller's to close, also when this fails
 * @return QN_OK; QN_E_USAGE (nothing named, a checkpoint without a run); QN_E_NOT_FOUND; QN_E_FORMAT; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_model_find_inputs(const qn_input_request *request, qn_arena *arena, qn_job *job,
                                            qn_model_inputs *out, qn_error *err);

#endif
