/* SPDX-License-Identifier: MIT */
/* survey.h: what each type would cost each tensor in error and bytes, measured on a sample. Private to src/pack/. */
#ifndef QUERN_PACK_SURVEY_H
#define QUERN_PACK_SURVEY_H

#include "base/worker.h"
#include "model/model.h"

/** What to measure. All borrowed. */
typedef struct qn_survey_request {
    const qn_model *model;
    const float *const *importance; /**< [n_tensors], each [matrices, n_cols] or NULL; NULL: no importance matrix */
    const bool *is_left;            /**< [n_tensors] tensors whose type is decided already; NULL: none */
    const qn_dtype *types;          /**< candidates, each with encoder and decoder */
    uint32_t n_types;
    qn_effort effort;
    uint64_t max_weights; /**< weights sampled of a tensor, about (at least 32 rows); 0: 128 Ki */
} qn_survey_request;

/** A tensor as one type. */
typedef struct qn_survey_choice {
    qn_dtype type;
    uint64_t size_bytes; /**< in a GGUF file, padding included */
    double error;        /**< sum of importance * (decoded - x)² over the whole tensor, estimated from the sample;
                              HUGE_VAL when the type cannot hold the weights */
} qn_survey_choice;

/** What was measured of a tensor. */
typedef struct qn_survey_tensor {
    uint64_t index;            /**< in model->tensors */
    const char *name;          /**< borrowed from the model */
    double energy;             /**< sum of importance * x² over the whole tensor */
    double weight;             /**< how much its relative error counts (qn_survey_weight()) */
    qn_survey_choice *choices; /**< [n_choices] those of the types that fit its rows, in the order they were given */
    uint32_t n_choices;        /**< at least 1 */
} qn_survey_tensor;

/** A survey. Zero-initialise; clear with qn_survey_clear(). */
typedef struct qn_survey {
    qn_arena *arena;
    qn_survey_tensor *tensors; /**< [n_tensors] eligible ones that a type fits, in the model's order */
    uint64_t n_tensors;
} qn_survey;

/**
 * Encodes and decodes a sample of every eligible tensor's rows in every type. The sample is a fixed choice of short
 * runs of rows, one in each of as many equal parts of the tensor, so that all of it (every expert too) is heard; the
 * numbers are the same for any number of threads. Types that come out useless without importance are left out for
 * tensors that have none. Events: the stage "Survey", and progress in bytes of float32.
 * @param job not NULL
 * @return QN_OK; QN_E_INTERRUPTED; QN_E_IO, QN_E_FORMAT of the model's files; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_survey_run(const qn_survey_request *request, qn_job *job, qn_survey *out, qn_error *err);
/** Frees what it holds and empties it. */
void qn_survey_clear(qn_survey *survey);

/**
 * The types that a choice by size tries: those that runtimes know widely, from IQ1_S to BF16, and the ternary ones,
 * which are exact for ternary models. Static storage.
 */
const qn_dtype *qn_survey_candidates(uint32_t *n);

/**
 * How much a relative error of the tensor of this name counts in the error of the whole model.
 *
 * The divergence (KLD) of a model with one quantised tensor is proportional to error / energy of that tensor, with a
 * factor that depends on what the tensor does and in which layer. The factors are rounded from a measurement: each
 * tensor of the sample model alone at Q3_K and Q2_K, KLD over relative error. An embedding feeds everything (and its
 * rows meet no sum that would average errors out), the output makes the logits; in a layer the feed-forward matrices
 * carry most; a value's error passes straight into the stream, a query's or key's only through the softmax. The first
 * layers count more, the stream that their errors are added to being small still.
 * @param is_tied no output.weight: the embedding stands for both
 */
double qn_survey_weight(const char *name, bool is_tied);
/** weight * error / energy: what a budget adds up. 0 for a tensor without energy. */
double qn_survey_cost(const qn_survey_tensor *tensor, const qn_survey_choice *choice);

#endif
