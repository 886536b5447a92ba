/* SPDX-License-Identifier: MIT */
/* families.h: the tables that the family files define, and rules that several share. */
#ifndef QUERN_ARCH_FAMILIES_H
#define QUERN_ARCH_FAMILIES_H

#include "arch/arch.h"

extern const qn_arch qn_arch_llama;
extern const qn_arch qn_arch_mistral;
extern const qn_arch qn_arch_qwen2;
extern const qn_arch qn_arch_qwen3;
extern const qn_arch qn_arch_gemma;
extern const qn_arch qn_arch_gemma2;
extern const qn_arch qn_arch_gemma3;
extern const qn_arch qn_arch_phi3;
extern const qn_arch qn_arch_gpt2;

/** Prefixes of bare models ("LlamaModel"): names without "model.". */
extern const char *const qn_prefix_model[];

#define QN_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Rules that Llama-shaped families share. Source: facts/architectures.md 0.4, M-map. */
#define QN_RULE_EMBED \
    { "model.embed_tokens.weight", "token_embd.weight", QN_DIM_VOCAB, QN_DIM_EMBD, QN_AS_IS, QN_REQUIRED }
#define QN_RULE_OUTPUT \
    { "lm_head.weight", "output.weight", QN_DIM_VOCAB, QN_DIM_EMBD, QN_AS_IS, QN_OPTIONAL }
#define QN_RULE_NORM(hf, gguf, dim, transform) \
    { hf ".weight", gguf ".weight", QN_DIM_NONE, dim, transform, QN_REQUIRED }
#define QN_RULE_MATRIX(hf, gguf, rows, cols, transform) \
    { hf ".weight", gguf ".weight", rows, cols, transform, QN_REQUIRED }
#define QN_RULE_BIAS(hf, gguf, dim, transform, presence) \
    { hf ".bias", gguf ".bias", QN_DIM_NONE, dim, transform, presence }

/** Rotary frequency tables that older checkpoints carry; the runtime makes its own. */
#define QN_RULE_INV_FREQ \
    { "model.layers.%.self_attn.rotary_emb.inv_freq", NULL, QN_DIM_NONE, QN_DIM_NONE, QN_AS_IS, QN_DROPPED }

#endif
