/* SPDX-License-Identifier: MIT */
/* model_types.h: which type each tensor of a model gets: packing and running a folder ask the same rules. */
#ifndef QUERN_STREAM_MODEL_TYPES_H
#define QUERN_STREAM_MODEL_TYPES_H

#include "model/model.h"
#include "stream/mixture.h"

/** Whether a tensor stays float32 in any file made of a checkpoint. Source: facts/architectures.md 0.5. */
bool qn_model_keeps_f32(const qn_model_tensor *t);

/**
 * What the rules ask of a model, without an importance matrix.
 * @param n_pruned_layers the reference counts by the layers there were before any were left out
 */
qn_mixture_model qn_model_mixture(const qn_model *model, uint64_t n_pruned_layers);

/**
 * The type of every tensor under a target, as a file that is packed without further options has them.
 * @param types out: [model->n_tensors]
 * @return QN_OK; as qn_mixture_choose()
 */
QN_NODISCARD qn_status qn_model_types(const qn_model *model, const qn_target *target, qn_dtype *types, qn_error *err);

#endif
