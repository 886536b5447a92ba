/* SPDX-License-Identifier: MIT */
/* model_parts.h: the steps that opening folders, GGUF files and adapters share. Private to src/model/. */
#ifndef QUERN_MODEL_MODEL_PARTS_H
#define QUERN_MODEL_MODEL_PARTS_H

#include "model/model_tensors.h"

/** An empty model of a path. @param out to be closed with qn_model_close() */
QN_NODISCARD qn_status qn_model_new(const char *path, qn_model **out, qn_error *err);

/** Reads config.json, finds the family and its hyper-parameters. @param text out: the text model's part */
QN_NODISCARD qn_status qn_model_read_config(qn_model *model, const char *dir, const json_t **text, qn_error *err);

/** Opens the request's adapters. */
QN_NODISCARD qn_status qn_model_open_adapters(qn_model *model, const qn_model_request *request, qn_error *err);

/**
 * Makes the model's slots, and the map of the layers that stay, which they refer to.
 * @return QN_E_USAGE for a layer that cannot be left out
 */
QN_NODISCARD qn_status qn_model_new_slots(qn_model *model, const qn_model_request *request, qn_layer_map *layers,
                                          qn_slots *slots, qn_error *err);

/** Rows of the embedding, which the vocabulary and the output matrix must have too. */
QN_NODISCARD qn_status qn_model_count_vocab(const qn_slots *slots, qn_model *model, qn_job *job, uint64_t *n_vocab,
                                            qn_error *err);

/** Opens the request's GGUF file and fills the model from it: adapters, layers left out, overrides. */
QN_NODISCARD qn_status qn_model_fill_gguf(qn_model *model, const qn_model_request *request, qn_error *err);

/**
 * Opens the GGUF file at model->path: metadata with overrides, family and hyper-parameters where they are known. No
 * tensors yet.
 * @return also why hyper-parameters could not be read, when they are needed
 */
QN_NODISCARD qn_status qn_model_read_gguf(qn_model *model, const qn_model_request *request, bool needs_arch,
                                          qn_error *err);

/** Puts a GGUF file's tensors into the slots. @param is_strict a tensor without a slot is QN_E_UNSUPPORTED */
QN_NODISCARD qn_status qn_model_fill_slots_gguf(const qn_slots *slots, qn_model *model, bool is_strict, qn_error *err);

/** A GGUF file's tokens are its own: refuses an embedding that an adapter trained with more of them. */
QN_NODISCARD qn_status qn_model_check_vocab(const qn_slots *slots, const qn_model *model, uint64_t n_vocab,
                                            qn_error *err);

/**
 * Lists the files that go beside a folder's weights: config.json (a copy, or written anew where the model differs from
 * what it says) and all that belongs to the tokenizer, of the last adapter's folder before the base's.
 * @param text the part of model->config that describes the text model
 */
QN_NODISCARD qn_status qn_model_list_side_files(qn_model *model, const qn_model_request *request, const json_t *text,
                                                const qn_layer_map *layers, bool unties, qn_error *err);

/** Adds a tensor of the weights as it is. There must be room. */
QN_NODISCARD qn_status qn_model_add_raw(qn_model *model, const qn_archive_tensor *t, const char *name, qn_error *err);

/** Which layers stay. @return QN_E_USAGE naming a layer that is not there, or when none would stay */
QN_NODISCARD qn_status qn_layers_keep(const qn_model_request *request, uint64_t n_layer, qn_arena *arena,
                                      qn_layer_map *out, qn_error *err);

/** Sets the number of layers in hyper-parameters and metadata, and cuts metadata that has an item for each layer. */
void qn_model_cut_layers(qn_model *model, const qn_layer_map *layers);

/** Drops tensors "blk.N.…" of layers left out and numbers the others anew. */
QN_NODISCARD qn_status qn_model_cut_blocks(qn_model *model, const qn_layer_map *layers, qn_error *err);

/** Sets the request's overrides in the metadata. @return QN_E_USAGE quoting one that is malformed */
QN_NODISCARD qn_status qn_model_override(qn_model *model, const qn_model_request *request, qn_error *err);

#endif
