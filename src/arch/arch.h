/* SPDX-License-Identifier: MIT */
/* arch.h: a model family as a table: config classes, keys, tensors with their transformations, vocabulary quirks. */
#ifndef QUERN_ARCH_ARCH_H
#define QUERN_ARCH_ARCH_H

#include "arch/hparams.h"
#include "container/archive.h"
#include "recipe/recipe.h"
#include "text/vocabulary.h"

/** Sizes that tensor shapes are made of. */
typedef enum qn_dim {
    QN_DIM_NONE, /**< no such dimension: a vector */
    QN_DIM_EMBD,
    QN_DIM_VOCAB, /**< rows of the embedding, whatever they are */
    QN_DIM_CTX,
    QN_DIM_FF,
    QN_DIM_FF_TWICE, /**< gate and up in one */
    QN_DIM_HEAD,     /**< head size */
    QN_DIM_Q,        /**< n_head * head size */
    QN_DIM_KV,       /**< n_head_kv * head size */
    QN_DIM_QKV,      /**< q, k and v in one */
    QN_DIM_ONE,      /**< a matrix of one row, which GGUF stores as a vector */
    QN_DIM_EXPERTS,  /**< number of experts */
    QN_DIM_FF_EXP,   /**< width of an expert */
    QN_DIM_FF_SHARED /**< width of the shared expert */
} qn_dim;

/** What is done to a tensor of the checkpoint to make it GGUF's. */
typedef enum qn_transform {
    QN_AS_IS,
    QN_TRANSPOSE, /**< stored [in, out] (GPT-2's Conv1D) */
    QN_ROPE_Q,    /**< rows regrouped from half-split to neighbouring rotary pairs, n_head heads */
    QN_ROPE_K,    /**< the same, n_head_kv heads */
    QN_PLUS_ONE   /**< norm weights stored less one (Gemma) */
} qn_transform;

/** Whether a checkpoint must have a tensor. */
typedef enum qn_presence {
    QN_REQUIRED,
    QN_OPTIONAL,
    QN_DROPPED /**< known and left out */
} qn_presence;

/**
 * One tensor of a family, or one a layer: '%' in a name stands for the layer. '#' in the checkpoint's stands for the
 * expert: GGUF's tensor is the stack [n_expert, rows, cols] of them.
 */
typedef struct qn_tensor_rule {
    const char *hf;   /**< name in the checkpoint, with ".weight" or ".bias" */
    const char *gguf; /**< name in GGUF; NULL when dropped */
    qn_dim rows;      /**< of the GGUF tensor; QN_DIM_NONE for a vector */
    qn_dim cols;
    qn_transform transform;
    qn_presence presence;
} qn_tensor_rule;

enum { QN_MAX_PARTS = 2 };

/**
 * A tensor of the checkpoint that holds what rules have apart: all experts of a layer, gate and up. Rows go expert by
 * expert, within one part by part; the parts are of one size.
 */
typedef struct qn_fused_rule {
    const char *hf;
    const char *parts[QN_MAX_PARTS]; /**< the rules' GGUF names; NULL behind the last */
    bool is_only;                    /**< the class has no other layout: so it is written, too */
} qn_fused_rule;

/** Types of GGUF keys made from hyper-parameters. */
typedef enum qn_key_type { QN_KEY_U32, QN_KEY_F32 } qn_key_type;

/** A GGUF key "ARCH.suffix" written when the hyper-parameter is there. */
typedef struct qn_key_rule {
    const char *suffix;
    qn_key_type type;
    qn_hp hp;
} qn_key_rule;

/** A number's name in a family's config.json, where it is not the usual one; NULL: not written. */
typedef struct qn_hp_name {
    qn_hp hp;
    const char *name;
} qn_hp_name;

/** A tensor that is made from hyper-parameters rather than read. */
typedef struct qn_generated {
    const char *name; /**< GGUF name */
    const float *values;
    uint64_t n;
} qn_generated;

enum { QN_MAX_GENERATED = 4 };

/** How rotary pairs lie in a head. For the engine and the rope transformation. */
typedef enum qn_rope_kind { QN_ROPE_ABSENT, QN_ROPE_NORM, QN_ROPE_NEOX } qn_rope_kind;

/** A family. Static storage. */
typedef struct qn_arch {
    const char *name;              /**< general.architecture */
    const char *label;             /**< for people: "Llama (and Mistral, Yi, SmolLM, TinyLlama)" */
    const char *const *classes;    /**< config.json "architectures", NULL-terminated */
    const qn_hp_default *defaults; /**< for keys the config leaves out */
    size_t n_defaults;
    bool tied_by_default;         /**< tie_word_embeddings when the config does not say */
    const char *model_type;       /**< config.json "model_type" */
    const char *config_constants; /**< members of config.json that all models have, as a JSON object */
    const qn_hp_name *hp_names;   /**< names in config.json that are the family's own */
    size_t n_hp_names;
    bool names_biases;       /**< config.json tells of biases: attention_bias, mlp_bias */
    bool has_generic_keys;   /**< writes the generic key list before its own */
    const qn_key_rule *keys; /**< its own keys */
    size_t n_keys;
    const qn_tensor_rule *tensors; /**< in the order of the file: those of layer rules together, layer by layer */
    size_t n_tensors;
    const qn_fused_rule *fused; /**< [n_fused] other layouts of some of them; may be NULL */
    size_t n_fused;
    bool is_mixture; /**< feed-forwards are mixtures of experts: told from a dense family of the same name by that */
    const char *const *base_prefixes; /**< prefixes a bare model's names may lack ("model."), NULL-terminated */
    const char *const *cut_parts;     /**< parts cut out of names ("language_model."), NULL-terminated; may be NULL */
    const char *const
        *dropped_parts; /**< tensors whose name holds one of these are left out (vision towers); may be NULL */
    qn_rope_kind rope;
    bool cuts_vocab; /**< embedding rows beyond the vocabulary are cut (Gemma 3) */
    qn_vocab_traits vocab;
    /** Derives and checks what the tables cannot say; may be NULL. */
    qn_status (*derive)(const char *where, const json_t *config, qn_hparams *h, qn_error *err);
    /** Makes generated tensors, values in the arena; may be NULL. */
    qn_status (*generate)(const qn_hparams *h, qn_arena *arena, qn_generated *out, size_t *n, qn_error *err);
    /** Adds to a config.json what neither constants nor names say; may be NULL. @return false when memory is short */
    bool (*describe)(const qn_hparams *h, json_t *config);
    /** The way back of derive and generate: completes what GGUF keys do not say, from generated tensors that a file
     * holds; may be NULL. */
    qn_status (*recover)(const qn_generated *found, size_t n, qn_arena *arena, qn_hparams *h, qn_error *err);
} qn_arch;

/** Family i, NULL past the end. */
const qn_arch *qn_arch_at(size_t i);

/** The first family of general.architecture; NULL when quern has no table for it. (A Mistral is a Llama there.) */
const qn_arch *qn_arch_by_name(const char *general_architecture);

/** The family of a GGUF file's metadata; NULL when quern has no table for it. (A Mixtral is a Llama with experts.) */
const qn_arch *qn_arch_of_meta(const qn_meta *meta);

/**
 * Finds the family of a config.
 * @param where  config.json's path
 * @param config the whole file
 * @param text   out: the part that describes the text model (the whole, or text_config); borrowed from config
 * @return QN_OK; QN_E_UNSUPPORTED naming the class and listing what is supported; QN_E_FORMAT
 */
QN_NODISCARD qn_status qn_arch_find(const char *where, const json_t *config, const qn_arch **out, const json_t **text,
                                    qn_error *err);

/** The size a dimension stands for. @param n_vocab rows of the embedding */
uint64_t qn_arch_dim(qn_dim dim, const qn_hparams *h, uint64_t n_vocab);

/** Writes the family's GGUF keys (all but general.* and tokenizer.*). */
void qn_arch_write_keys(const qn_arch *arch, const qn_hparams *h, qn_meta *meta);

/**
 * Reads the hyper-parameters back from GGUF keys: what qn_arch_write_keys() wrote, and programs' defaults. Numbers
 * stored as float32 become the shortest decimals that are those. What has no key stays absent.
 * @return QN_OK; QN_E_FORMAT (a key is missing, or no such number); QN_E_UNSUPPORTED (layers differ)
 */
QN_NODISCARD qn_status qn_hparams_from_meta(const qn_arch *arch, const qn_meta *meta, qn_hparams *out, qn_error *err);

/**
 * As qn_hparams_from_meta(), and what only tensors tell: rows of the embedding, whether the output matrix is the
 * embedding, rope factors (their values are read).
 * @param meta  the file's, with overrides
 * @param arena rope factors live in it
 * @return also QN_E_IO; QN_E_SHAPE; QN_E_UNSUPPORTED (rope factors that no known scaling gives)
 */
QN_NODISCARD qn_status qn_hparams_from_gguf(const qn_arch *arch, const qn_archive *archive, const qn_meta *meta,
                                            qn_arena *arena, qn_hparams *out, qn_error *err);

/** What a config.json is made of. All borrowed. */
typedef struct qn_config_source {
    const qn_arch *arch;
    const qn_hparams *hparams;
    const qn_meta *meta;     /**< for the ids of special tokens */
    const char *dtype_name;  /**< "float32", "float16", "bfloat16": the type of the weights; NULL: not told */
    bool has_attention_bias; /**< the model has biases on q, k, v and o, or on gate, up and down: for families whose */
    bool has_mlp_bias;       /**< config says so */
} qn_config_source;

/**
 * Makes the config.json of a model, with which transformers loads it, and from which qn_hparams_read() and the
 * family's derive give the same hyper-parameters again.
 * @param out to be released with json_decref()
 * @return QN_OK; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_arch_config(const qn_config_source *source, json_t **out, qn_error *err);

/** A tensor name of the checkpoint, understood. */
typedef struct qn_tensor_match {
    const qn_tensor_rule
        *rule;       /**< NULL when the name is known and dropped; of a fused tensor that of its first part */
    uint64_t layer;  /**< 0 for tensors outside layers */
    uint64_t expert; /**< 0 for tensors of none, and for GGUF names */
    const qn_fused_rule *fused; /**< NULL for a tensor of one rule */
} qn_tensor_match;

/**
 * Understands a checkpoint's tensor name.
 * @return false when the family has no such tensor
 */
bool qn_arch_match(const qn_arch *arch, const char *hf_name, qn_tensor_match *out);

/** Whether a tensor is of another part of the checkpoint, a vision tower, which a text model leaves out. */
bool qn_arch_is_beside(const qn_arch *arch, const char *hf_name);

/** Understands a GGUF tensor name. @return false when the family has no such tensor; match->rule is not NULL */
bool qn_arch_match_gguf(const qn_arch *arch, const char *gguf_name, qn_tensor_match *out);

/** The rule's HF or GGUF name with layer and expert put in; NULL when memory is short. */
char *qn_rule_name(qn_arena *arena, const char *pattern, uint64_t layer, uint64_t expert);
/** Whether a rule is repeated for every layer. */
bool qn_rule_is_per_layer(const qn_tensor_rule *rule);
/** Whether a rule is repeated for every expert. */
bool qn_rule_is_per_expert(const qn_tensor_rule *rule);
/** The rule of a GGUF name as the table has it, with '%'; NULL when there is none. */
const qn_tensor_rule *qn_arch_rule(const qn_arch *arch, const char *gguf);

/**
 * The GGUF tensor made of a checkpoint's tensor.
 * @param source the tensor as stored
 */
const qn_recipe *qn_arch_transform(qn_transform transform, const qn_hparams *h, qn_arena *arena,
                                   const qn_recipe *source);

/**
 * The checkpoint's tensor made of GGUF's: the way back of qn_arch_transform(). Exact but for QN_PLUS_ONE, whose sum in
 * float32 may have lost bits: the float that comes back gives the stored one again when 1 is added, if any float does.
 */
const qn_recipe *qn_arch_untransform(qn_transform transform, const qn_hparams *h, qn_arena *arena,
                                     const qn_recipe *stored);

/**
 * What the transformation does to the left factor B [out, rank] of a low-rank update of the tensor (the right
 * factor A [rank, in] stays), and to a DoRA magnitude seen as a column. NULL when the transformation is not linear
 * or memory is short. Source: facts/lora.md 3.
 */
const qn_recipe *qn_arch_transform_left(qn_transform transform, const qn_hparams *h, qn_arena *arena,
                                        const qn_recipe *left);

#endif
