/* SPDX-License-Identifier: MIT */
/*
 * config_json.c: hyper-parameters back to a config.json, by the names they are read with.
 *
 * Rope scaling is written in the older way (rope_theta, rope_scaling), which every release of transformers reads.
 */
#include "arch/arch.h"

#include "arch/families.h"
#include "arch/hparams_rows.h"

#include <math.h>

/* Names that are not the first of those a number is read by. */
static const qn_hp_name usual_names[] = {
    {QN_HP_N_LAYER, "num_hidden_layers"},
    {QN_HP_ROPE_BASE, "rope_theta"},
    {QN_HP_ROPE_BASE_SWA, "rope_local_base_freq"},
};

/* At the root, in this order. */
static const qn_hp root[] = {
    QN_HP_N_EMBD,        QN_HP_N_FF,          QN_HP_N_LAYER,        QN_HP_N_HEAD,          QN_HP_N_HEAD_KV,
    QN_HP_HEAD_DIM,      QN_HP_N_CTX,         QN_HP_N_VOCAB,        QN_HP_RMS_EPS,         QN_HP_NORM_EPS,
    QN_HP_ROPE_BASE,     QN_HP_ROPE_BASE_SWA, QN_HP_SLIDING_WINDOW, QN_HP_SLIDING_PATTERN, QN_HP_ATTN_SOFTCAP,
    QN_HP_FINAL_SOFTCAP, QN_HP_N_EXPERT,      QN_HP_N_EXPERT_USED,  QN_HP_N_FF_EXP,        QN_HP_N_FF_SHARED,
    QN_HP_ATTN_SCALE,    QN_HP_EMBD_SCALE,    QN_HP_RESIDUAL_SCALE, QN_HP_LOGIT_SCALE,
};

static const qn_hp llama3[] = {QN_HP_ROPE_FACTOR, QN_HP_ROPE_LOW_FREQ, QN_HP_ROPE_HIGH_FREQ, QN_HP_ROPE_ORIG_CTX};
static const qn_hp linear[] = {QN_HP_ROPE_FACTOR};
static const qn_hp yarn[] = {QN_HP_ROPE_FACTOR,      QN_HP_ROPE_ORIG_CTX,  QN_HP_YARN_EXT_FACTOR,
                             QN_HP_YARN_ATTN_FACTOR, QN_HP_YARN_BETA_FAST, QN_HP_YARN_BETA_SLOW};

static const char *name_among(const qn_hp_name *names, size_t n, qn_hp hp, const char *otherwise) {
    for (size_t i = 0; i < n; i++) {
        if (names[i].hp == hp) {
            return names[i].name;
        }
    }
    return otherwise;
}

/* What a number is called in a family's config.json; NULL: it is not written. */
static const char *name_of(const qn_arch *arch, qn_hp hp) {
    const qn_hp_row *row = qn_hp_row_of(hp);
    const char *usual = name_among(usual_names, QN_COUNT(usual_names), hp, row == NULL ? NULL : row->names[0]);
    return name_among(arch->hp_names, arch->n_hp_names, hp, usual);
}

static json_t *number_of(const qn_hparams *h, qn_hp hp) {
    const double v = h->value[hp];
    const qn_hp_row *row = qn_hp_row_of(hp);
    return row != NULL && row->is_count ? json_integer((json_int_t)v) : json_real(v);
}

/* Writes those of the numbers that are there. */
static bool put_numbers(const qn_arch *arch, const qn_hparams *h, const qn_hp *hps, size_t n, json_t *object) {
    for (size_t i = 0; i < n; i++) {
        const char *name = h->has[hps[i]] ? name_of(arch, hps[i]) : NULL;
        if (name != NULL && json_object_set_new(object, name, number_of(h, hps[i])) != 0) {
            return false;
        }
    }
    return true;
}

static json_t *list_of(const float *values, uint64_t n) {
    json_t *list = json_array();
    for (uint64_t i = 0; i < n; i++) {
        if (json_array_append_new(list, json_real(qn_shortest_decimal(values[i]))) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static bool put_scaling(const qn_arch *arch, const qn_hparams *h, json_t *config) {
    const bool is_long = h->rope_long_factors != NULL;
    if (h->rope_scaling == QN_ROPE_SCALING_NONE && !is_long) {
        return true;
    }
    json_t *rope = json_object();
    const char *type = qn_rope_scaling_name(is_long ? QN_ROPE_SCALING_LONGROPE : h->rope_scaling);
    bool fits = json_object_set_new(rope, is_long ? "type" : "rope_type", json_string(type)) == 0;
    if (is_long) {
        fits = fits &&
            json_object_set_new(rope, "short_factor", list_of(h->rope_short_factors, h->n_rope_factors)) == 0;
        fits = fits && json_object_set_new(rope, "long_factor", list_of(h->rope_long_factors, h->n_rope_factors)) == 0;
    } else if (h->rope_scaling == QN_ROPE_SCALING_LLAMA3) {
        fits = fits && put_numbers(arch, h, llama3, QN_COUNT(llama3), rope);
    } else if (h->rope_scaling == QN_ROPE_SCALING_YARN) {
        fits = fits && put_numbers(arch, h, yarn, QN_COUNT(yarn), rope);
    } else {
        fits = fits && put_numbers(arch, h, linear, QN_COUNT(linear), rope);
    }
    return json_object_set_new(config, "rope_scaling", rope) == 0 && fits;
}

/* Ids of special tokens; null, where there is none, since a class would take its own. */
static bool put_ids(const qn_meta *meta, json_t *config) {
    static const char *const rows[][2] = {{"bos_token_id", "tokenizer.ggml.bos_token_id"},
                                          {"eos_token_id", "tokenizer.ggml.eos_token_id"},
                                          {"pad_token_id", "tokenizer.ggml.padding_token_id"}};
    bool fits = true;
    for (size_t i = 0; i < QN_COUNT(rows); i++) {
        uint64_t id = 0;
        const bool has = qn_meta_u64(meta, rows[i][1], &id) && id <= INT32_MAX;
        fits = fits && json_object_set_new(config, rows[i][0], has ? json_integer((json_int_t)id) : json_null()) == 0;
    }
    return fits;
}

static bool put_flags(const qn_config_source *source, json_t *config) {
    bool fits = json_object_set_new(config, "tie_word_embeddings", json_boolean(source->hparams->is_tied)) == 0;
    if (source->arch->names_biases) {
        fits = fits && json_object_set_new(config, "attention_bias", json_boolean(source->has_attention_bias)) == 0 &&
            json_object_set_new(config, "mlp_bias", json_boolean(source->has_mlp_bias)) == 0;
    }
    if (source->dtype_name != NULL) {
        fits = fits && json_object_set_new(config, "torch_dtype", json_string(source->dtype_name)) == 0;
    }
    return fits;
}

static bool fill(const qn_config_source *source, json_t *config) {
    const qn_arch *arch = source->arch;
    json_t *constants = json_loads(arch->config_constants, 0, NULL);
    bool fits = constants != NULL &&
        json_object_set_new(config, "architectures", json_pack("[s]", arch->classes[0])) == 0 &&
        json_object_set_new(config, "model_type", json_string(arch->model_type)) == 0 &&
        json_object_update(config, constants) == 0;
    fits = fits && put_numbers(arch, source->hparams, root, QN_COUNT(root), config) &&
        put_scaling(arch, source->hparams, config) && put_flags(source, config) && put_ids(source->meta, config) &&
        (arch->describe == NULL || arch->describe(source->hparams, config));
    json_decref(constants);
    return fits;
}

qn_status qn_arch_config(const qn_config_source *source, json_t **out, qn_error *err) {
    json_t *config = json_object();
    if (config == NULL || !fill(source, config)) {
        json_decref(config);
        return qn_fail_nomem(err, "config.json", 0);
    }
    *out = config;
    return QN_OK;
}
