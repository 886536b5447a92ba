/* SPDX-License-Identifier: MIT */
/* hparams.h: a model's hyper-parameters, read from config.json by one table of names. */
#ifndef QUERN_ARCH_HPARAMS_H
#define QUERN_ARCH_HPARAMS_H

#include "base/json.h"
#include "container/metadata.h"

/** Hyper-parameters that are one number. The field's own names. */
typedef enum qn_hp {
    QN_HP_N_LAYER,
    QN_HP_N_CTX,
    QN_HP_N_EMBD,
    QN_HP_N_FF,
    QN_HP_N_HEAD,
    QN_HP_N_HEAD_KV,
    QN_HP_HEAD_DIM, /**< as the config gives it; absent when it is n_embd / n_head */
    QN_HP_N_VOCAB,
    QN_HP_N_EXPERT,
    QN_HP_N_EXPERT_USED, /**< experts a token goes to */
    QN_HP_N_FF_EXP,      /**< width of an expert, where it is not QN_HP_N_FF */
    QN_HP_N_FF_SHARED,   /**< width of the shared expert */
    QN_HP_ATTN_SCALE,    /**< on scores, instead of the root of the head size */
    QN_HP_EMBD_SCALE,
    QN_HP_RESIDUAL_SCALE, /**< on what a sub-layer adds */
    QN_HP_LOGIT_SCALE,    /**< logits are divided by it */
    QN_HP_RMS_EPS,
    QN_HP_NORM_EPS,
    QN_HP_ROPE_BASE,
    QN_HP_ROPE_BASE_SWA,  /**< of sliding-window layers */
    QN_HP_ROPE_DIM,       /**< rotary dimensions a head; derived */
    QN_HP_PARTIAL_ROTARY, /**< share of the head that is rotated */
    QN_HP_SLIDING_WINDOW,
    QN_HP_SLIDING_PATTERN, /**< every n-th layer is full */
    QN_HP_ATTN_SOFTCAP,
    QN_HP_FINAL_SOFTCAP,
    QN_HP_ROPE_FACTOR, /**< rope scaling: factor and what goes with it */
    QN_HP_ROPE_ORIG_CTX,
    QN_HP_ROPE_LOW_FREQ,
    QN_HP_ROPE_HIGH_FREQ,
    QN_HP_ROPE_ATTN_FACTOR,
    QN_HP_YARN_EXT_FACTOR,
    QN_HP_YARN_ATTN_FACTOR,
    QN_HP_YARN_BETA_FAST,
    QN_HP_YARN_BETA_SLOW,
    QN_HP_COUNT
} qn_hp;

/** Rope scaling as the config names it. */
typedef enum qn_rope_scaling {
    QN_ROPE_SCALING_NONE,
    QN_ROPE_SCALING_LINEAR,
    QN_ROPE_SCALING_LLAMA3,
    QN_ROPE_SCALING_YARN,
    QN_ROPE_SCALING_LONGROPE,
    QN_ROPE_SCALING_DYNAMIC
} qn_rope_scaling;

/** All of them. Lives in the arena it was read into. */
typedef struct qn_hparams {
    bool has[QN_HP_COUNT];
    double value[QN_HP_COUNT];
    qn_rope_scaling rope_scaling;
    const float *rope_long_factors;  /**< [n_rope_factors] longrope, or NULL */
    const float *rope_short_factors; /**< [n_rope_factors] */
    uint64_t n_rope_factors;
    bool is_tied; /**< tie_word_embeddings */
} qn_hparams;

/** A default that a model class has for a key its config.json may leave out. */
typedef struct qn_hp_default {
    qn_hp hp;
    double value;
} qn_hp_default;

/** A rope scaling as config.json spells it: "default", "linear", …. Static. */
const char *qn_rope_scaling_name(qn_rope_scaling scaling);

/** The value as a count; 0 when absent. */
uint64_t qn_hp_count(const qn_hparams *h, qn_hp hp);
/** The head size: as given, else n_embd / n_head; 0 when n_head is absent. */
uint64_t qn_hp_head_dim(const qn_hparams *h);
/** Sets a value. */
void qn_hp_set(qn_hparams *h, qn_hp hp, double value);

/**
 * Reads the hyper-parameters of a config (its text part) by the generic names, then fills in class defaults.
 * Values are checked: counts are positive and at most 2^31, heads divide, epsilon is positive, …
 * @param where    the path named in messages
 * @param config   config.json's text part
 * @param defaults [n_defaults] of the family
 * @return QN_OK; QN_E_FORMAT naming the key, what was found and what is expected; QN_E_NOMEM
 * Source: facts/architectures.md 0.2, 0.3, 0.9.
 */
QN_NODISCARD qn_status qn_hparams_read(const char *where, const json_t *config, const qn_hp_default *defaults,
                                       size_t n_defaults, bool tied_by_default, qn_arena *arena, qn_hparams *out,
                                       qn_error *err);

#endif
