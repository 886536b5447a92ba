/* SPDX-License-Identifier: MIT */
/*
 * hparams_gguf.c: hyper-parameters to GGUF keys and back, by one table.
 *
 * What GGUF has no key for comes from tensors (rope factors, rows of the embedding, whether there is an output
 * matrix) or from the family. A number that differs from layer to layer is refused: quern's families have none.
 */
#include "arch/arch.h"
#include "arch/families.h"
#include "arch/hparams_rows.h"
#include "base/checked.h"
#include "dtype/codec.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FACTORS = 1 << 16 };

/* Keys that most families write. Source: facts/architectures.md 0.3. */
static const qn_key_rule generic_keys[] = {
    {"block_count", QN_KEY_U32, QN_HP_N_LAYER},
    {"context_length", QN_KEY_U32, QN_HP_N_CTX},
    {"embedding_length", QN_KEY_U32, QN_HP_N_EMBD},
    {"feed_forward_length", QN_KEY_U32, QN_HP_N_FF},
    {"attention.head_count", QN_KEY_U32, QN_HP_N_HEAD},
    {"attention.head_count_kv", QN_KEY_U32, QN_HP_N_HEAD_KV},
    {"rope.freq_base", QN_KEY_F32, QN_HP_ROPE_BASE},
    {"rope.freq_base_swa", QN_KEY_F32, QN_HP_ROPE_BASE_SWA},
    {"attention.layer_norm_rms_epsilon", QN_KEY_F32, QN_HP_RMS_EPS},
    {"attention.layer_norm_epsilon", QN_KEY_F32, QN_HP_NORM_EPS},
    {"attention.key_length", QN_KEY_U32, QN_HP_HEAD_DIM},
    {"attention.value_length", QN_KEY_U32, QN_HP_HEAD_DIM},
};

static const qn_key_rule linear_keys[] = {{"rope.scaling.factor", QN_KEY_F32, QN_HP_ROPE_FACTOR}};

static const qn_key_rule yarn_keys[] = {
    {"rope.scaling.factor", QN_KEY_F32, QN_HP_ROPE_FACTOR},
    {"rope.scaling.original_context_length", QN_KEY_U32, QN_HP_ROPE_ORIG_CTX},
    {"rope.scaling.yarn_ext_factor", QN_KEY_F32, QN_HP_YARN_EXT_FACTOR},
    {"rope.scaling.yarn_attn_factor", QN_KEY_F32, QN_HP_YARN_ATTN_FACTOR},
    {"rope.scaling.yarn_beta_fast", QN_KEY_F32, QN_HP_YARN_BETA_FAST},
    {"rope.scaling.yarn_beta_slow", QN_KEY_F32, QN_HP_YARN_BETA_SLOW},
};

static void write_keys(const char *arch, const qn_key_rule *keys, size_t n, const qn_hparams *h, qn_meta *meta) {
    char key[128];
    for (size_t i = 0; i < n; i++) {
        if (!h->has[keys[i].hp]) {
            continue;
        }
        (void)snprintf(key, sizeof key, "%s.%s", arch, keys[i].suffix);
        if (keys[i].type == QN_KEY_F32) {
            qn_meta_set_f32(meta, key, (float)h->value[keys[i].hp]);
        } else {
            qn_meta_set_u32(meta, key, (uint32_t)h->value[keys[i].hp]);
        }
    }
}

static void write_scaling(const char *arch, const qn_hparams *h, qn_meta *meta) {
    const bool has_factor = h->has[QN_HP_ROPE_FACTOR];
    const char *type = NULL;
    char key[128];
    if (h->rope_scaling == QN_ROPE_SCALING_LINEAR && has_factor) {
        type = "linear";
        write_keys(arch, linear_keys, QN_COUNT(linear_keys), h, meta);
    } else if (h->rope_scaling == QN_ROPE_SCALING_YARN && has_factor) {
        type = "yarn";
        write_keys(arch, yarn_keys, QN_COUNT(yarn_keys), h, meta);
    } else if (h->rope_scaling == QN_ROPE_SCALING_LONGROPE) {
        type = "longrope";
    }
    if (type != NULL) {
        (void)snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
        qn_meta_set_string(meta, key, type);
    }
}

void qn_arch_write_keys(const qn_arch *arch, const qn_hparams *h, qn_meta *meta) {
    if (arch->has_generic_keys) {
        write_keys(arch->name, generic_keys, QN_COUNT(generic_keys), h, meta);
        write_scaling(arch->name, h, meta);
    }
    write_keys(arch->name, arch->keys, arch->n_keys, h, meta);
}

/* ---- the way back ---- */

double qn_shortest_decimal(double v) {
    char text[32];
    for (int digits = 1; digits < 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtof(text, NULL) == (float)v) {
            return strtod(text, NULL);
        }
    }
    return v;
}

static double item_of(const qn_meta_value *v, uint64_t i) {
    const void *items = v->as.array.items;
    switch (v->as.array.type) {
    case QN_META_U8: return ((const uint8_t *)items)[i];
    case QN_META_I8: return ((const int8_t *)items)[i];
    case QN_META_U16: return ((const uint16_t *)items)[i];
    case QN_META_I16: return ((const int16_t *)items)[i];
    case QN_META_U32: return ((const uint32_t *)items)[i];
    case QN_META_I32: return ((const int32_t *)items)[i];
    case QN_META_U64: return (double)((const uint64_t *)items)[i];
    case QN_META_I64: return (double)((const int64_t *)items)[i];
    case QN_META_F32: return qn_shortest_decimal(((const float *)items)[i]);
    case QN_META_F64: return ((const double *)items)[i];
    default: return NAN;
    }
}

/* The number at a key, scalar or the same for every layer. @param out NAN when it is no number */
static qn_status number_of(const char *key, const qn_meta_value *v, double *out, qn_error *err) {
    *out = NAN;
    switch (v->type) {
    case QN_META_U8:
    case QN_META_U16:
    case QN_META_U32:
    case QN_META_U64: *out = (double)v->as.u; break;
    case QN_META_I8:
    case QN_META_I16:
    case QN_META_I32:
    case QN_META_I64: *out = (double)v->as.i; break;
    case QN_META_F32: *out = qn_shortest_decimal(v->as.f); break;
    case QN_META_F64: *out = v->as.f; break;
    case QN_META_ARRAY:
        *out = v->as.array.n == 0 ? NAN : item_of(v, 0);
        for (uint64_t i = 1; i < v->as.array.n; i++) {
            if (item_of(v, i) != *out) {
                return qn_fail(err, QN_E_UNSUPPORTED,
                               "metadata key '%s': layers differ (%g in layer 0, %g in layer %llu); quern's families "
                               "have the same in all",
                               key, *out, item_of(v, i), (unsigned long long)i);
            }
        }
        break;
    default: break;
    }
    return QN_OK;
}

static qn_status read_key(const char *arch, const qn_key_rule *rule, const qn_meta *meta, qn_hparams *h,
                          qn_error *err) {
    static const qn_hp_row other_count = {QN_HP_ROPE_DIM, true, 0, 4294967295.0, {NULL}};
    static const qn_hp_row other_number = {QN_HP_ROPE_ATTN_FACTOR, false, -1e9, 1e9, {NULL}};
    char key[128];
    double v = NAN;
    (void)snprintf(key, sizeof key, "%s.%s", arch, rule->suffix);
    const qn_meta_value *found = qn_meta_find(meta, key);
    if (found == NULL) {
        return QN_OK;
    }
    QN_TRY(number_of(key, found, &v, err));
    const qn_hp_row *row = qn_hp_row_of(rule->hp);
    row = row != NULL ? row : rule->type == QN_KEY_U32 ? &other_count : &other_number;
    if (!qn_hp_is_fit(row, v)) {
        return qn_fail(err, QN_E_FORMAT, "metadata key '%s': a%s from %.9g to %.9g is expected", key,
                       row->is_count ? "n integer" : " number", row->min, row->max);
    }
    if (h->has[rule->hp] && h->value[rule->hp] != v) {
        return qn_fail(err, QN_E_UNSUPPORTED, "metadata key '%s' is %g, and another key says %g of the same size", key,
                       v, h->value[rule->hp]);
    }
    qn_hp_set(h, rule->hp, v);
    return QN_OK;
}

static qn_status read_keys(const char *arch, const qn_key_rule *keys, size_t n, const qn_meta *meta, qn_hparams *h,
                           qn_error *err) {
    for (size_t i = 0; i < n; i++) {
        QN_TRY(read_key(arch, &keys[i], meta, h, err));
    }
    return QN_OK;
}

static qn_status read_scaling(const char *arch, const qn_meta *meta, qn_hparams *h, qn_error *err) {
    char key[128];
    (void)snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    const char *type = qn_meta_string(meta, key);
    if (type == NULL || strcmp(type, "none") == 0) {
        return QN_OK;
    }
    if (strcmp(type, "linear") == 0) {
        h->rope_scaling = QN_ROPE_SCALING_LINEAR;
        return read_keys(arch, linear_keys, QN_COUNT(linear_keys), meta, h, err);
    }
    if (strcmp(type, "yarn") == 0) {
        h->rope_scaling = QN_ROPE_SCALING_YARN;
        return read_keys(arch, yarn_keys, QN_COUNT(yarn_keys), meta, h, err);
    }
    if (strcmp(type, "longrope") == 0) {
        h->rope_scaling = QN_ROPE_SCALING_LONGROPE;
        return QN_OK;
    }
    return qn_fail(err, QN_E_UNSUPPORTED, "metadata key '%s': rope scaling '%.60s' is not known", key, type);
}

static const char *suffix_of(const qn_arch *arch, qn_hp hp) {
    for (size_t i = 0; i < arch->n_keys; i++) {
        if (arch->keys[i].hp == hp) {
            return arch->keys[i].suffix;
        }
    }
    for (size_t i = 0; i < QN_COUNT(generic_keys); i++) {
        if (generic_keys[i].hp == hp) {
            return generic_keys[i].suffix;
        }
    }
    return "?";
}

static qn_status check_sizes(const qn_arch *arch, qn_hparams *h, qn_error *err) {
    static const qn_hp needed[] = {QN_HP_N_LAYER, QN_HP_N_EMBD, QN_HP_N_HEAD, QN_HP_N_CTX, QN_HP_N_FF};
    for (size_t i = 0; i < QN_COUNT(needed); i++) {
        if (!h->has[needed[i]]) {
            return qn_fail(err, QN_E_FORMAT, "metadata key '%s.%s' is missing: a %s model has it", arch->name,
                           suffix_of(arch, needed[i]), arch->label);
        }
    }
    if (!h->has[QN_HP_N_HEAD_KV]) {
        qn_hp_set(h, QN_HP_N_HEAD_KV, h->value[QN_HP_N_HEAD]);
    }
    QN_TRY(qn_hparams_check_heads("metadata", h, err));
    return arch->is_mixture ? qn_hparams_check_experts("metadata", h, err) : QN_OK;
}

qn_status qn_hparams_from_meta(const qn_arch *arch, const qn_meta *meta, qn_hparams *out, qn_error *err) {
    qn_hparams h = {.is_tied = arch->tied_by_default};
    if (arch->has_generic_keys) {
        QN_TRY(read_keys(arch->name, generic_keys, QN_COUNT(generic_keys), meta, &h, err));
        QN_TRY(read_scaling(arch->name, meta, &h, err));
    }
    QN_TRY(read_keys(arch->name, arch->keys, arch->n_keys, meta, &h, err));
    QN_TRY(check_sizes(arch, &h, err));
    if (arch->rope != QN_ROPE_ABSENT && !h.has[QN_HP_ROPE_BASE]) {
        qn_hp_set(&h, QN_HP_ROPE_BASE, 10000); /* what programs take when the key is not there */
    }
    const qn_meta_value *tokens = qn_meta_find(meta, "tokenizer.ggml.tokens");
    if (tokens != NULL && tokens->type == QN_META_ARRAY && tokens->as.array.n > 0) {
        qn_hp_set(&h, QN_HP_N_VOCAB, (double)tokens->as.array.n);
    }
    *out = h;
    return QN_OK;
}

/* The values of a short vector. @param values NULL when there is no such tensor */
static qn_status read_vector(const qn_archive *archive, const char *name, qn_arena *arena, qn_generated *out,
                             qn_error *err) {
    const qn_archive_tensor *t = qn_archive_find(archive, name);
    *out = (qn_generated){.name = name};
    if (t == NULL) {
        return QN_OK;
    }
    const uint64_t n = qn_shape_cols(&t->shape);
    if (qn_shape_rows(&t->shape) != 1 || n == 0 || n > MAX_FACTORS || t->type != QN_F32) {
        char shape[128];
        return qn_fail(err, QN_E_SHAPE, "%s: tensor '%s' has shape %s; a float32 vector of rope factors is expected",
                       qn_file_path(t->file), name, qn_shape_text(&t->shape, shape, sizeof shape));
    }
    unsigned char *bytes = qn_arena_array(arena, t->size_bytes, 1);
    float *values = qn_arena_array(arena, n, sizeof *values);
    if (bytes == NULL || values == NULL) {
        return qn_fail_nomem(err, name, (size_t)t->size_bytes);
    }
    QN_TRY(qn_file_read_at(t->file, t->file_off, bytes, (size_t)t->size_bytes, err));
    QN_TRY(qn_decode_rows(QN_CPU_SCALAR, t->type, bytes, 1, n, values, err));
    out->values = values;
    out->n = n;
    return QN_OK;
}

qn_status qn_hparams_from_gguf(const qn_arch *arch, const qn_archive *archive, const qn_meta *meta, qn_arena *arena,
                               qn_hparams *out, qn_error *err) {
    static const char *const made[] = {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"};
    qn_generated found[QN_MAX_GENERATED];
    size_t n = 0;
    QN_TRY(qn_hparams_from_meta(arch, meta, out, err));
    for (size_t i = 0; i < QN_COUNT(made); i++) {
        QN_TRY(read_vector(archive, made[i], arena, &found[n], err));
        n += found[n].values == NULL ? 0 : 1;
    }
    const qn_archive_tensor *embed = qn_archive_find(archive, "token_embd.weight");
    if (embed != NULL) {
        qn_hp_set(out, QN_HP_N_VOCAB, (double)qn_shape_rows(&embed->shape));
    }
    out->is_tied = qn_archive_find(archive, "output.weight") == NULL;
    return arch->recover == NULL ? QN_OK : arch->recover(found, n, arena, out, err);
}
