/* SPDX-License-Identifier: MIT */
/* families.h: the tables that the family files define, and rules that several share. */
#ifndef QUERN_ARCH_FAMILIES_H
#define QUERN_ARCH_FAMILIES_H

#include "arch/arch.h"

extern const qn_arch qn_arch_llama;
extern const qn_arch qn_arch_mistral;
extern const qn_arch qn_arch_mixtral;
extern const qn_arch qn_arch_qwen2moe;
extern const qn_arch qn_arch_qwen3moe;
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

/* Rules, layouts and keys that mixtures share. Source: facts/architectures.md 0.3, 11, 13. */
#define QN_RULES_EXPERTS(router, gate, up, down, width)                                  \
    QN_RULE_MATRIX(router, "blk.%.ffn_gate_inp", QN_DIM_EXPERTS, QN_DIM_EMBD, QN_AS_IS), \
        QN_RULE_MATRIX(gate, "blk.%.ffn_gate_exps", width, QN_DIM_EMBD, QN_AS_IS),       \
        QN_RULE_MATRIX(up, "blk.%.ffn_up_exps", width, QN_DIM_EMBD, QN_AS_IS),           \
        QN_RULE_MATRIX(down, "blk.%.ffn_down_exps", QN_DIM_EMBD, width, QN_AS_IS)
#define QN_KEYS_EXPERTS                                      \
    {"expert_count", QN_KEY_U32, QN_HP_N_EXPERT}, {          \
        "expert_used_count", QN_KEY_U32, QN_HP_N_EXPERT_USED \
    }

/** Rotary frequency tables that older checkpoints carry; the runtime makes its own. */
#define QN_RULE_INV_FREQ \
    { "model.layers.%.self_attn.rotary_emb.inv_freq", NULL, QN_DIM_NONE, QN_DIM_NONE, QN_AS_IS, QN_DROPPED }

#endif
