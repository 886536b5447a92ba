/* SPDX-License-Identifier: MIT */
/* hparams.c: config.json to numbers: generic names, rope scaling, class defaults, limits. */
#include "arch/hparams_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAMES = QN_MAX_HP_NAMES };

typedef qn_hp_row hp_row;

/* The generic names of each number, first found wins; and what is accepted. Source: facts/architectures.md 0.3. */
static const hp_row hp_rows[] = {
    {QN_HP_N_LAYER, true, 1, 65536, {"n_layers", "num_hidden_layers", "n_layer", "num_layers"}},
    {QN_HP_N_CTX,
     true,
     1,
     4294967295.0,
     {"max_position_embeddings", "n_ctx", "n_positions", "max_length", "max_sequence_length", "model_max_length"}},
    {QN_HP_N_EMBD, true, 1, 16777216, {"hidden_size", "n_embd", "dim"}},
    {QN_HP_N_FF, true, 1, 268435456, {"intermediate_size", "n_inner", "hidden_dim"}},
    {QN_HP_N_HEAD, true, 1, 65536, {"num_attention_heads", "n_head", "n_heads"}},
    {QN_HP_N_HEAD_KV, true, 1, 65536, {"num_key_value_heads", "n_kv_heads"}},
    {QN_HP_HEAD_DIM, true, 1, 65536, {"head_dim"}},
    {QN_HP_N_VOCAB, true, 1, 268435456, {"vocab_size"}},
    {QN_HP_N_EXPERT, true, 0, 65536, {"num_local_experts", "num_experts", "n_routed_experts"}},
    {QN_HP_N_EXPERT_USED, true, 0, 65536, {"num_experts_per_tok", "num_experts_per_token", "top_k_experts"}},
    {QN_HP_N_FF_EXP, true, 1, 268435456, {"moe_intermediate_size"}},
    {QN_HP_N_FF_SHARED, true, 0, 268435456, {"shared_expert_intermediate_size", "shared_intermediate_size"}},
    {QN_HP_ATTN_SCALE, false, 0, 1e6, {"attention_multiplier"}},
    {QN_HP_EMBD_SCALE, false, -1e6, 1e6, {"embedding_multiplier"}},
    {QN_HP_RESIDUAL_SCALE, false, -1e6, 1e6, {"residual_multiplier"}},
    {QN_HP_LOGIT_SCALE, false, -1e6, 1e6, {"logits_scaling"}},
    {QN_HP_RMS_EPS, false, 1e-30, 1, {"rms_norm_eps", "norm_eps"}},
    {QN_HP_NORM_EPS, false, 1e-30, 1, {"layer_norm_eps", "layer_norm_epsilon", "norm_epsilon"}},
    {QN_HP_PARTIAL_ROTARY, false, 0, 1, {"partial_rotary_factor", "rope_pct", "rope_percent"}},
    {QN_HP_SLIDING_WINDOW, true, 0, 4294967295.0, {"sliding_window"}},
    {QN_HP_SLIDING_PATTERN, true, 0, 65536, {"sliding_window_pattern", "_sliding_window_pattern"}},
    {QN_HP_ATTN_SOFTCAP, false, 0, 1e6, {"attn_logit_softcapping"}},
    {QN_HP_FINAL_SOFTCAP, false, 0, 1e6, {"final_logit_softcapping"}},
};

/* The same for members of the rope dictionary, which older configs keep at the root. */
static const hp_row rope_rows[] = {
    {QN_HP_ROPE_BASE,
     false,
     1e-9,
     1e15,
     {"global_rope_theta", "rope_global_theta", "rope_theta_global", "rope_theta", "rotary_emb_base"}},
    {QN_HP_PARTIAL_ROTARY, false, 0, 1, {"partial_rotary_factor"}},
    {QN_HP_ROPE_ORIG_CTX, true, 1, 4294967295.0, {"original_max_position_embeddings"}},
};

/* Members that only the rope dictionary has. */
static const hp_row scaling_rows[] = {
    {QN_HP_ROPE_FACTOR, false, 1e-9, 1e9, {"factor"}},
    {QN_HP_ROPE_LOW_FREQ, false, 0, 1e9, {"low_freq_factor"}},
    {QN_HP_ROPE_HIGH_FREQ, false, 0, 1e9, {"high_freq_factor"}},
    {QN_HP_YARN_EXT_FACTOR, false, -1e9, 1e9, {"extrapolation_factor"}},
    {QN_HP_YARN_ATTN_FACTOR, false, -1e9, 1e9, {"attention_factor", "attn_factor"}},
    {QN_HP_YARN_BETA_FAST, false, -1e9, 1e9, {"beta_fast"}},
    {QN_HP_YARN_BETA_SLOW, false, -1e9, 1e9, {"beta_slow"}},
};

static const hp_row swa_row = {QN_HP_ROPE_BASE_SWA,
                               false,
                               1e-9,
                               1e15,
                               {"rope_theta", "local_rope_theta", "rope_local_theta", "rope_theta_local",
                                "swa_rope_theta", "rope_local_base_freq"}};

static const struct {
    const hp_row *rows;
    size_t n;
} row_lists[] = {
    {hp_rows, sizeof hp_rows / sizeof hp_rows[0]},
    {rope_rows, sizeof rope_rows / sizeof rope_rows[0]},
    {scaling_rows, sizeof scaling_rows / sizeof scaling_rows[0]},
    {&swa_row, 1},
};

const qn_hp_row *qn_hp_row_of(qn_hp hp) {
    for (size_t i = 0; i < sizeof row_lists / sizeof row_lists[0]; i++) {
        for (size_t k = 0; k < row_lists[i].n; k++) {
            if (row_lists[i].rows[k].hp == hp) {
                return &row_lists[i].rows[k];
            }
        }
    }
    return NULL;
}

bool qn_hp_is_fit(const qn_hp_row *row, double v) {
    return v >= row->min && v <= row->max && (!row->is_count || v == floor(v));
}

uint64_t qn_hp_count(const qn_hparams *h, qn_hp hp) {
    return h->has[hp] && h->value[hp] > 0 ? (uint64_t)h->value[hp] : 0;
}

uint64_t qn_hp_head_dim(const qn_hparams *h) {
    const uint64_t given = qn_hp_count(h, QN_HP_HEAD_DIM);
    const uint64_t n_head = qn_hp_count(h, QN_HP_N_HEAD);
    if (given > 0) {
        return given;
    }
    return n_head == 0 ? 0 : qn_hp_count(h, QN_HP_N_EMBD) / n_head;
}

void qn_hp_set(qn_hparams *h, qn_hp hp, double value) {
    h->has[hp] = true;
    h->value[hp] = value;
}

/* Reads one row from object; an absent or null member leaves what is there. */
static qn_status read_row(const char *where, const json_t *object, const hp_row *row, qn_hparams *h, qn_error *err) {
    for (size_t i = 0; i < MAX_NAMES && row->names[i] != NULL; i++) {
        const json_t *value = json_object_get(object, row->names[i]);
        if (value == NULL || json_is_null(value)) {
            continue;
        }
        const double v = json_number_value(value);
        if (!json_is_number(value) || !qn_hp_is_fit(row, v)) {
            char *found = qn_json_dump(value, JSON_ENCODE_ANY | JSON_COMPACT);
            const qn_status status = qn_fail(err, QN_E_FORMAT, "%s: '%s' is %.60s; a%s from %.9g to %.9g is expected",
                                             where, row->names[i], found == NULL ? "?" : found,
                                             row->is_count ? "n integer" : " number", row->min, row->max);
            free(found);
            return status;
        }
        qn_hp_set(h, row->hp, v);
        return QN_OK;
    }
    return QN_OK;
}

static qn_status read_rows(const char *where, const json_t *object, const hp_row *rows, size_t n, qn_hparams *h,
                           qn_error *err) {
    for (size_t i = 0; i < n; i++) {
        QN_TRY(read_row(where, object, &rows[i], h, err));
    }
    return QN_OK;
}

/* One list of rope factors. */
static qn_status read_factors(const char *where, const json_t *rope, const char *key, qn_arena *arena,
                              const float **out, uint64_t *n, qn_error *err) {
    const json_t *list = json_object_get(rope, key);
    if (!json_is_array(list) || json_array_size(list) == 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: longrope scaling needs a list of numbers '%s'", where, key);
    }
    float *values = qn_arena_array(arena, json_array_size(list), sizeof *values);
    if (values == NULL) {
        return qn_fail_nomem(err, where, json_array_size(list));
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        values[i] = (float)json_number_value(item);
        if (!json_is_number(item) || !(values[i] > 0) || !isfinite(values[i])) {
            return qn_fail(err, QN_E_FORMAT, "%s: '%s'[%zu] is not a positive number", where, key, i);
        }
    }
    *out = values;
    *n = json_array_size(list);
    return QN_OK;
}

static qn_status read_longrope(const char *where, const json_t *rope, qn_arena *arena, qn_hparams *h, qn_error *err) {
    uint64_t n_short = 0;
    QN_TRY(read_factors(where, rope, "long_factor", arena, &h->rope_long_factors, &h->n_rope_factors, err));
    QN_TRY(read_factors(where, rope, "short_factor", arena, &h->rope_short_factors, &n_short, err));
    if (n_short != h->n_rope_factors) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: 'long_factor' has %llu numbers and 'short_factor' %llu: equal lengths are expected", where,
                       (unsigned long long)h->n_rope_factors, (unsigned long long)n_short);
    }
    return QN_OK;
}

static const struct {
    const char *name;
    qn_rope_scaling scaling;
} scaling_names[] = {
    {"default", QN_ROPE_SCALING_NONE},    {"linear", QN_ROPE_SCALING_LINEAR},     {"llama3", QN_ROPE_SCALING_LLAMA3},
    {"yarn", QN_ROPE_SCALING_YARN},       {"longrope", QN_ROPE_SCALING_LONGROPE}, {"su", QN_ROPE_SCALING_LONGROPE},
    {"dynamic", QN_ROPE_SCALING_DYNAMIC},
};

const char *qn_rope_scaling_name(qn_rope_scaling scaling) {
    size_t i = 0;
    while (scaling_names[i].scaling != scaling) {
        i++;
    }
    return scaling_names[i].name;
}

static qn_status read_scaling(const char *where, const json_t *rope, qn_arena *arena, qn_hparams *h, qn_error *err) {
    const char *type = qn_json_string(rope, "rope_type");
    if (type == NULL) {
        type = qn_json_string(rope, "type");
    }
    if (type == NULL) {
        type = "default";
    }
    size_t i = 0;
    const size_t n = sizeof scaling_names / sizeof scaling_names[0];
    while (i < n && strcmp(scaling_names[i].name, type) != 0) {
        i++;
    }
    if (i == n) {
        return qn_fail(
            err, QN_E_UNSUPPORTED,
            "%s: rope scaling '%.60s' is not supported; known are default, linear, dynamic, llama3, yarn, longrope",
            where, type);
    }
    h->rope_scaling = scaling_names[i].scaling;
    QN_TRY(read_rows(where, rope, scaling_rows, sizeof scaling_rows / sizeof scaling_rows[0], h, err));
    if (json_object_get(rope, "long_factor") != NULL) {
        return read_longrope(where, rope, arena, h, err);
    }
    return QN_OK;
}

/* The rope dictionary: rope_parameters (newer) or rope_scaling; NULL when there is none. */
static qn_status find_rope(const char *where, const json_t *config, const json_t **rope, qn_error *err) {
    static const char *const names[] = {"rope_parameters", "rope_scaling"};
    *rope = NULL;
    for (size_t i = 0; i < sizeof names / sizeof names[0] && *rope == NULL; i++) {
        const json_t *found = json_object_get(config, names[i]);
        if (found != NULL && !json_is_null(found) && !json_is_object(found)) {
            return qn_fail(err, QN_E_FORMAT, "%s: '%s' is neither null nor an object", where, names[i]);
        }
        *rope = json_is_object(found) ? found : NULL;
    }
    return QN_OK;
}

/* Rope numbers, of a dictionary with one part for each kind of layer or none, and of the root. */
static qn_status read_rope(const char *where, const json_t *config, qn_arena *arena, qn_hparams *h, qn_error *err) {
    const json_t *rope = NULL;
    QN_TRY(find_rope(where, config, &rope, err));
    const json_t *sliding = json_object_get(rope, "sliding_attention");
    const json_t *full = json_object_get(rope, "full_attention");
    if (full == NULL) {
        full = rope;
    }
    const size_t n = sizeof rope_rows / sizeof rope_rows[0];
    QN_TRY(read_rows(where, config, rope_rows, n, h, err));
    QN_TRY(read_rows(where, full, rope_rows, n, h, err));
    for (size_t i = 1; i < MAX_NAMES && swa_row.names[i] != NULL;
         i++) { /* at the root, "rope_theta" is the other base */
        const hp_row row = {swa_row.hp, false, swa_row.min, swa_row.max, {swa_row.names[i]}};
        QN_TRY(read_row(where, config, &row, h, err));
    }
    QN_TRY(read_row(where, sliding, &swa_row, h, err));
    return json_is_object(full) ? read_scaling(where, full, arena, h, err) : QN_OK;
}

qn_status qn_hparams_check_heads(const char *where, const qn_hparams *h, qn_error *err) {
    const uint64_t n_head = qn_hp_count(h, QN_HP_N_HEAD);
    const uint64_t n_kv = qn_hp_count(h, QN_HP_N_HEAD_KV);
    const uint64_t n_embd = qn_hp_count(h, QN_HP_N_EMBD);
    if (n_kv == 0 || n_kv > n_head || n_head % n_kv != 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: %llu attention heads cannot share %llu key-value heads evenly", where,
                       (unsigned long long)n_head, (unsigned long long)n_kv);
    }
    if (!h->has[QN_HP_HEAD_DIM] && n_embd % n_head != 0) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: hidden size %llu is not a multiple of %llu attention heads, and there is no 'head_dim'",
                       where, (unsigned long long)n_embd, (unsigned long long)n_head);
    }
    return QN_OK;
}

qn_status qn_hparams_check_experts(const char *where, const qn_hparams *h, qn_error *err) {
    const uint64_t n = qn_hp_count(h, QN_HP_N_EXPERT);
    const uint64_t n_used = qn_hp_count(h, QN_HP_N_EXPERT_USED);
    if (n == 0 || n_used == 0 || n_used > n) {
        return qn_fail(err, QN_E_FORMAT, "%s: of %llu experts %llu are used for a token; at least 1 of 1 is expected",
                       where, (unsigned long long)n, (unsigned long long)n_used);
    }
    return QN_OK;
}

static qn_status check_present(const char *where, const qn_hparams *h, qn_error *err) {
    static const qn_hp needed[] = {QN_HP_N_LAYER, QN_HP_N_EMBD, QN_HP_N_HEAD, QN_HP_N_CTX};
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (!h->has[needed[i]]) {
            for (size_t k = 0; k < sizeof hp_rows / sizeof hp_rows[0]; k++) {
                if (hp_rows[k].hp == needed[i]) {
                    return qn_fail(err, QN_E_FORMAT, "%s: '%s' is missing (also looked for '%s')", where,
                                   hp_rows[k].names[1], hp_rows[k].names[0]);
                }
            }
        }
    }
    return QN_OK;
}

/* A null in the config is a value of its own ("no window", "no cap"), not an absence. */
static bool is_null_in(const json_t *config, qn_hp hp) {
    for (size_t i = 0; i < sizeof hp_rows / sizeof hp_rows[0]; i++) {
        for (size_t k = 0; hp_rows[i].hp == hp && k < MAX_NAMES && hp_rows[i].names[k] != NULL; k++) {
            if (json_is_null(json_object_get(config, hp_rows[i].names[k]))) {
                return true;
            }
        }
    }
    return false;
}

qn_status qn_hparams_read(const char *where, const json_t *config, const qn_hp_default *defaults, size_t n_defaults,
                          bool tied_by_default, qn_arena *arena, qn_hparams *out, qn_error *err) {
    qn_hparams h = {.is_tied = tied_by_default};
    QN_TRY(read_rows(where, config, hp_rows, sizeof hp_rows / sizeof hp_rows[0], &h, err));
    QN_TRY(read_rope(where, config, arena, &h, err));
    (void)qn_json_bool(config, "tie_word_embeddings", &h.is_tied);
    for (size_t i = 0; i < n_defaults; i++) {
        if (!h.has[defaults[i].hp] && !is_null_in(config, defaults[i].hp)) {
            qn_hp_set(&h, defaults[i].hp, defaults[i].value);
        }
    }
    QN_TRY(check_present(where, &h, err));
    if (!h.has[QN_HP_N_HEAD_KV]) {
        qn_hp_set(&h, QN_HP_N_HEAD_KV, h.value[QN_HP_N_HEAD]);
    }
    QN_TRY(qn_hparams_check_heads(where, &h, err));
    *out = h;
    return QN_OK;
}
