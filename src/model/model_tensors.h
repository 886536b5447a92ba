/* SPDX-License-Identifier: MIT */
/* model_tensors.h: from a checkpoint's tensors and adapters to the model's list of recipes. Private to src/model/. */
#ifndef QUERN_MODEL_MODEL_TENSORS_H
#define QUERN_MODEL_MODEL_TENSORS_H

#include "model/model.h"

/** One place of the family's table: a rule at a layer and an expert, with all that was found for it. */
typedef struct qn_slot {
    const qn_tensor_rule *rule;
    uint64_t layer;
    uint64_t expert;                   /**< 0 for rules that have none */
    const qn_archive_tensor *base;     /**< the checkpoint's tensor, or one that holds this one among others; NULL */
    const qn_fused_rule *fused;        /**< how base holds it; NULL where base is it, or a stack of GGUF's */
    uint64_t part;                     /**< of the fused tensor */
    const qn_archive_tensor *replaced; /**< an adapter's whole tensor in its stead; NULL */
    const qn_archive_tensor *tied;     /**< the embedding, for an output matrix that only an adapter gives life to */
    uint64_t first_adapter;            /**< adapters before this one do not count: the tensor was replaced after them */
    const qn_adapter_part **changes;   /**< [n_adapters] the part that changes it: a pair, or a bias to add; NULL */
} qn_slot;

#define QN_LAYER_DROPPED UINT64_MAX

/** Layers that stay, and their new numbers. */
typedef struct qn_layer_map {
    uint64_t n_layer;
    uint64_t n_kept;
    const uint64_t *to; /**< [n_layer] new number; QN_LAYER_DROPPED */
} qn_layer_map;

/** Where the slots of a rule stand: layer after layer, within one expert after expert. */
typedef struct qn_slot_index {
    uint64_t first;
    uint64_t stride; /**< from layer to layer */
} qn_slot_index;

/** All slots of a model, in the order of the file. */
typedef struct qn_slots {
    qn_slot *slots;
    uint64_t n;
    uint64_t n_layer;
    uint64_t n_expert;          /**< 1 for a family without */
    const qn_slot_index *index; /**< [n_tensors] of the family */
    const qn_arch *arch;
    const qn_hparams *hparams;
    bool base_is_gguf;          /**< base tensors have GGUF's names and order; else the checkpoint's */
    bool wants_hf;              /**< the model is to have the checkpoint's names and order; else GGUF's */
    const qn_layer_map *layers; /**< which layers stay; NULL: all, under their numbers */
} qn_slots;

/**
 * Makes the empty slots of a family with a model's layers and experts, with room for the changes of n_adapters.
 * @param h outlives the slots
 */
QN_NODISCARD qn_status qn_slots_new(const qn_arch *arch, const qn_hparams *h, uint64_t n_adapters, qn_arena *arena,
                                    qn_slots *out, qn_error *err);

/** The slot of a match; NULL when its layer or expert does not exist. */
qn_slot *qn_slots_at(const qn_slots *slots, const qn_tensor_match *match);

/** The slot whose GGUF name is given, outside layers; NULL when the family has none. */
qn_slot *qn_slots_named(const qn_slots *slots, const char *gguf);

/** The tensor the slot's recipe starts from; NULL when the slot stays empty. */
const qn_archive_tensor *qn_slot_source(const qn_slot *slot);

/** Puts every tensor of the checkpoint into its slot. @return QN_E_FORMAT for a tensor without a place */
QN_NODISCARD qn_status qn_slots_fill(const qn_slots *slots, const qn_archive *archive, const char *where,
                                     qn_error *err);

/**
 * Notes what the adapters replace, checks that every part of them has a place, and unties the output matrix when an
 * adapter trained it.
 */
QN_NODISCARD qn_status qn_slots_apply(const qn_slots *slots, const qn_model *model, qn_job *job, qn_error *err);

/** Checks shapes and that nothing required is missing. @param n_vocab rows of the embedding */
QN_NODISCARD qn_status qn_slots_check(const qn_slots *slots, const qn_model *model, uint64_t n_vocab, qn_error *err);

/** Builds model->tensors from the slots. @param n_vocab rows to keep of tensors with vocabulary rows */
QN_NODISCARD qn_status qn_slots_build(const qn_slots *slots, qn_model *model, uint64_t n_vocab, qn_error *err);

/** The slots whose values make one tensor of the model: a stack of experts, a fused tensor, or the slot alone. */
typedef struct qn_slot_group {
    const qn_fused_rule *fused; /**< NULL: no fused tensor */
    uint64_t n_experts;
    uint64_t n_parts;
    bool is_first; /**< the slot is the group's first */
} qn_slot_group;

/** The group that a slot belongs to. */
qn_slot_group qn_slots_group(const qn_slots *slots, const qn_slot *slot);

/** Slot i of a slot's group: expert after expert, within one part after part. */
const qn_slot *qn_slots_member(const qn_slots *slots, const qn_slot *slot, const qn_slot_group *group, uint64_t i);

/** Whether an adapter changes or replaces the tensor that the slot is of. */
bool qn_slot_is_changed(const qn_slots *slots, const qn_slot *slot, const qn_model *model);

/**
 * Adds the tensor that the slot is the first of to model->tensors, where there must be room; another slot, an empty
 * one, or one of a layer left out, adds nothing.
 */
QN_NODISCARD qn_status qn_slot_build(const qn_slots *slots, const qn_slot *slot, qn_model *model, uint64_t n_vocab,
                                     qn_error *err);

/** Finds an adapter part's rule and layer. @param tail ".weight" or ".bias" */
bool qn_part_match(const qn_arch *arch, const qn_adapter_part *part, const char *tail, qn_tensor_match *out);

/** QN_E_FORMAT for an adapter part that matches nothing, with the nearest module names of the family. */
qn_status qn_part_unmatched(const qn_arch *arch, const qn_hparams *h, const qn_adapter *adapter,
                            const qn_adapter_part *part, qn_error *err);

#endif
