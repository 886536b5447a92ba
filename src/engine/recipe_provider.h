/* SPDX-License-Identifier: MIT */
/* recipe_provider.h: a model's recipes as a provider: weights are encoded on the way in, and nothing is written. */
#ifndef QUERN_ENGINE_RECIPE_PROVIDER_H
#define QUERN_ENGINE_RECIPE_PROVIDER_H

#include "engine/weights.h"
#include "model/model.h"
#include "quern/job.h"

/** How weights are encoded. Zeros are defaults. */
typedef struct qn_recipe_provider_options {
    const char *type;   /**< "Q4_K_M", "F32": as `pack -t` has it, and the same bytes; NULL: "Q8_0" */
    bool by_layer;      /**< one layer in memory at a time, encoded anew whenever it is entered */
    uint64_t max_bytes; /**< memory that weights may take; 0: any */
} qn_recipe_provider_options;

/**
 * Makes a provider of a model. What its files have in the type that is wanted is mapped; all else is encoded on the
 * job's threads: at once, with progress under the stage "Encode", or part by part as the engine enters them. Vectors
 * and biases, and matrices that belong to no layer (but embedding and output), are always there.
 * @param model outlives the provider; borrowed
 * @param job   outlives the provider; NULL: a job of its own
 * @param out   closed by the engine that takes it
 * @return QN_OK; QN_E_USAGE (no such type); QN_E_UNSUPPORTED (a type that needs an importance matrix or an encoder);
 *         QN_E_RANGE (more than max_bytes, saying what would fit; NaN or infinite weights); QN_E_INTERRUPTED; QN_E_IO;
 *         QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_recipe_provider_open(const qn_model *model, const qn_recipe_provider_options *options,
                                               qn_job *job, qn_provider *out, qn_error *err);

#endif
