/* SPDX-License-Identifier: MIT */
/* families.h: the tables that the family files define, and rules that several share. */
#ifndef QUERN_ARCH_FAMILIES_H
#define QUERN_ARCH_FAMILIES_H

#include "arch/arch.h"

extern const qn_arch qn_arch_llama;
extern const qn_arch qn_arch_mistral;
extern const qn_arch qn_arch_mixtral;
extern const qn_arch qn_arch_granite;
extern const qn_arch qn_arch_granitemoe;
extern const qn_arch qn_arch_olmoe;
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

/** q, k, v and o where the checkpoint has the halves of a head side by side and GGUF pairs of neighbours. */
#define QN_RULES_ROPE_ATTENTION                                                                                  \
    QN_RULE_MATRIX("model.layers.%.self_attn.q_proj", "blk.%.attn_q", QN_DIM_Q, QN_DIM_EMBD, QN_ROPE_Q),         \
        QN_RULE_BIAS("model.layers.%.self_attn.q_proj", "blk.%.attn_q", QN_DIM_Q, QN_ROPE_Q, QN_OPTIONAL),       \
        QN_RULE_MATRIX("model.layers.%.self_attn.k_proj", "blk.%.attn_k", QN_DIM_KV, QN_DIM_EMBD, QN_ROPE_K),    \
        QN_RULE_BIAS("model.layers.%.self_attn.k_proj", "blk.%.attn_k", QN_DIM_KV, QN_ROPE_K, QN_OPTIONAL),      \
        QN_RULE_MATRIX("model.layers.%.self_attn.v_proj", "blk.%.attn_v", QN_DIM_KV, QN_DIM_EMBD, QN_AS_IS),     \
        QN_RULE_BIAS("model.layers.%.self_attn.v_proj", "blk.%.attn_v", QN_DIM_KV, QN_AS_IS, QN_OPTIONAL),       \
        QN_RULE_MATRIX("model.layers.%.self_attn.o_proj", "blk.%.attn_output", QN_DIM_EMBD, QN_DIM_Q, QN_AS_IS), \
        QN_RULE_BIAS("model.layers.%.self_attn.o_proj", "blk.%.attn_output", QN_DIM_EMBD, QN_AS_IS, QN_OPTIONAL)

/** A gated feed-forward whose matrices may have biases. */
#define QN_RULES_MLP                                                                                        \
    QN_RULE_MATRIX("model.layers.%.mlp.gate_proj", "blk.%.ffn_gate", QN_DIM_FF, QN_DIM_EMBD, QN_AS_IS),     \
        QN_RULE_BIAS("model.layers.%.mlp.gate_proj", "blk.%.ffn_gate", QN_DIM_FF, QN_AS_IS, QN_OPTIONAL),   \
        QN_RULE_MATRIX("model.layers.%.mlp.up_proj", "blk.%.ffn_up", QN_DIM_FF, QN_DIM_EMBD, QN_AS_IS),     \
        QN_RULE_BIAS("model.layers.%.mlp.up_proj", "blk.%.ffn_up", QN_DIM_FF, QN_AS_IS, QN_OPTIONAL),       \
        QN_RULE_MATRIX("model.layers.%.mlp.down_proj", "blk.%.ffn_down", QN_DIM_EMBD, QN_DIM_FF, QN_AS_IS), \
        QN_RULE_BIAS("model.layers.%.mlp.down_proj", "blk.%.ffn_down", QN_DIM_EMBD, QN_AS_IS, QN_OPTIONAL)

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

/**
 * GGUF tells neither which layers are dense nor whether weights of the chosen experts are divided by their sum: refuses
 * a config of one that is not as the family's programs take it.
 * @param normalizes what they take it for
 * @return QN_E_UNSUPPORTED; QN_E_FORMAT (numbers of experts)
 */
QN_NODISCARD qn_status qn_arch_check_mixture(const char *where, const json_t *config, const qn_hparams *h,
                                             bool normalizes, qn_error *err);

/** Refuses a tied output matrix. @return QN_E_UNSUPPORTED */
QN_NODISCARD qn_status qn_arch_check_untied(const char *where, const qn_hparams *h, qn_error *err);

/** Rotary frequency tables that older checkpoints carry; the runtime makes its own. */
#define QN_RULE_INV_FREQ \
    { "model.layers.%.self_attn.rotary_emb.inv_freq", NULL, QN_DIM_NONE, QN_DIM_NONE, QN_AS_IS, QN_DROPPED }

#endif
