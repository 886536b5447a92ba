/* SPDX-License-Identifier: MIT */
/* chat_model.h: what is run, in a conversation or to be measured: a mapped file or an encoded folder, and adapters. */
#ifndef QUERN_ENGINE_CHAT_MODEL_H
#define QUERN_ENGINE_CHAT_MODEL_H

#include "engine/engine.h"
#include "engine/lora.h"
#include "model/model_inputs.h"
#include "quern/chat.h"

/** What an engine borrows: it is freed before this is. Zero-initialise. */
typedef struct qn_chat_model {
    qn_arena *arena;
    qn_model_inputs inputs;
    qn_model *model; /**< of a folder; NULL */
    qn_lora **loras; /**< [n_loras] adapters at run time */
    uint64_t n_loras;
} qn_chat_model;

/**
 * Opens weights and adapters, and an engine on them.
 * @param remedy as qn_input_request has it
 * @param out    to be cleared, also when this fails
 */
QN_NODISCARD qn_status qn_chat_model_open(const qn_chat_options *options, const char *remedy, qn_job *job,
                                          qn_chat_model *out, qn_engine **engine, qn_error *err);
/** Frees; the engine is free already. */
void qn_chat_model_clear(qn_chat_model *model);

#endif
