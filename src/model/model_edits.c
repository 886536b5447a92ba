/* SPDX-License-Identifier: MIT */
/* model_edits.c: what is changed on the way without training: layers left out, metadata overridden. */
#include "model/model_parts.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

qn_status qn_layers_keep(const qn_model_request *request, uint64_t n_layer, qn_arena *arena, qn_layer_map *out,
                         qn_error *err) {
    uint64_t *to = qn_arena_array(arena, n_layer, sizeof *to);
    uint64_t n_kept = 0;
    if (to == NULL) {
        return qn_fail_nomem(err, "layers", (size_t)n_layer * sizeof *to);
    }
    for (uint64_t i = 0; i < request->n_pruned_layers; i++) {
        if (request->pruned_layers[i] >= n_layer) {
            return qn_fail(err, QN_E_USAGE, "layer %llu cannot be left out: the model has layers 0 to %llu",
                           (unsigned long long)request->pruned_layers[i], (unsigned long long)(n_layer - 1));
        }
        to[request->pruned_layers[i]] = QN_LAYER_DROPPED;
    }
    for (uint64_t i = 0; i < n_layer; i++) {
        if (to[i] != QN_LAYER_DROPPED) {
            to[i] = n_kept++;
        }
    }
    if (n_kept == 0) {
        return qn_fail(err, QN_E_USAGE, "all %llu layers would be left out: nothing remains of the model",
                       (unsigned long long)n_layer);
    }
    *out = (qn_layer_map){n_layer, n_kept, to};
    return QN_OK;
}

/* The items of an array that belong to layers that stay; NULL when memory is short. */
static const void *kept_items(qn_arena *arena, const qn_meta_value *v, const qn_layer_map *layers) {
    const size_t size = v->as.array.type == QN_META_STRING ? sizeof(qn_text) : qn_meta_type_size(v->as.array.type);
    const unsigned char *from = v->as.array.items;
    unsigned char *items = qn_arena_array(arena, layers->n_kept, size);
    for (uint64_t i = 0; items != NULL && i < layers->n_layer; i++) {
        if (layers->to[i] != QN_LAYER_DROPPED) {
            memcpy(items + layers->to[i] * size, from + i * size, size);
        }
    }
    return items;
}

void qn_model_cut_layers(qn_model *model, const qn_layer_map *layers) {
    if (layers->n_kept == layers->n_layer) {
        return;
    }
    const size_t n_name = strlen(model->arch_name);
    qn_hp_set(&model->hparams, QN_HP_N_LAYER, (double)layers->n_kept);
    for (uint64_t i = 0; i < model->meta.n; i++) {
        qn_meta_entry *entry = &model->meta.entries[i];
        if (strncmp(entry->key, model->arch_name, n_name) != 0 || entry->key[n_name] != '.') {
            continue;
        }
        if (strcmp(entry->key + n_name, ".block_count") == 0) {
            entry->value = (qn_meta_value){.type = QN_META_U32, .as.u = layers->n_kept};
        } else if (entry->value.type == QN_META_ARRAY && entry->value.as.array.n == layers->n_layer) {
            const void *items = kept_items(model->arena, &entry->value, layers);
            model->meta.has_failed = model->meta.has_failed || items == NULL;
            entry->value.as.array.items = items;
            entry->value.as.array.n = layers->n_kept;
        }
    }
}

/* The layer in "blk.12.…" and what stands behind the number; NULL for other names. */
static const char *block_tail(const char *name, uint64_t *layer) {
    if (strncmp(name, "blk.", 4) != 0 || name[4] < '0' || name[4] > '9') {
        return NULL;
    }
    char *end = NULL;
    *layer = strtoull(name + 4, &end, 10);
    return *end == '.' ? end : NULL;
}

qn_status qn_model_cut_blocks(qn_model *model, const qn_layer_map *layers, qn_error *err) {
    uint64_t n = 0;
    if (layers->n_kept == layers->n_layer) {
        return QN_OK;
    }
    model->n_weights = 0;
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        qn_model_tensor t = model->tensors[i];
        uint64_t layer = 0;
        const char *tail = block_tail(t.name, &layer);
        if (tail != NULL && layer < layers->n_layer) {
            if (layers->to[layer] == QN_LAYER_DROPPED) {
                continue;
            }
            t.name = qn_arena_printf(model->arena, "blk.%llu%s", (unsigned long long)layers->to[layer], tail);
            if (t.name == NULL) {
                return qn_fail_nomem(err, "tensor names", 0);
            }
        }
        model->tensors[n++] = t;
        model->n_weights += t.is_generated ? 0 : qn_recipe_rows(t.recipe) * qn_recipe_cols(t.recipe);
    }
    model->n_tensors = n;
    return QN_OK;
}

/* ---- overrides ---- */

static qn_status fail_override(const char *text, const char *why, qn_error *err) {
    return qn_fail(err, QN_E_USAGE,
                   "override '%.200s': %s; KEY=TYPE:VALUE is expected, TYPE being int, float, bool or str", text, why);
}

static bool is_integer(qn_meta_type type) {
    return (type <= QN_META_I32) || type == QN_META_U64 || type == QN_META_I64;
}

static bool is_unsigned(qn_meta_type type) {
    return type == QN_META_U8 || type == QN_META_U16 || type == QN_META_U32 || type == QN_META_U64;
}

/* Whether an integer (negative when is_negative, as two's complement) fits into a type. */
static bool fits(qn_meta_type type, bool is_negative, uint64_t bits) {
    const size_t n_bits = 8 * qn_meta_type_size(type);
    if (is_unsigned(type)) {
        return !is_negative && (n_bits == 64 || bits >> n_bits == 0);
    }
    const uint64_t limit = UINT64_C(1) << (n_bits - 1);
    return is_negative ? ~bits < limit : bits < limit;
}

/* An integer keeps the type that the key has; a new key gets the first of u32, i32, i64, u64 that holds it. */
static qn_status integer_value(const char *text, const char *number, const qn_meta_value *old, qn_meta_value *out,
                               qn_error *err) {
    static const qn_meta_type types[] = {QN_META_U32, QN_META_I32, QN_META_I64, QN_META_U64};
    char *end = NULL;
    errno = 0;
    const bool is_negative = number[0] == '-';
    const uint64_t bits = is_negative ? (uint64_t)strtoll(number, &end, 10) : strtoull(number, &end, 10);
    if (errno != 0 || *end != '\0' || (!is_negative && (number[0] < '0' || number[0] > '9')) || end == number) {
        return fail_override(text, "the value is not an integer of 64 bits", err);
    }
    qn_meta_type type = types[0];
    for (size_t i = 0; i < sizeof types / sizeof types[0] && !fits(type, is_negative && bits != 0, bits); i++) {
        type = types[i];
    }
    if (old != NULL && is_integer(old->type)) {
        type = old->type;
    }
    if (!fits(type, is_negative && bits != 0, bits)) {
        return fail_override(text, "the value does not fit into the type that the key has", err);
    }
    *out = (qn_meta_value){.type = type, .as.u = bits};
    return QN_OK;
}

static qn_status number_value(const char *text, const char *number, qn_meta_value *out, qn_error *err) {
    char *end = NULL;
    const double v = strtod(number, &end);
    if (end == number || *end != '\0' || !isfinite(v) || !isfinite((float)v)) {
        return fail_override(text, "the value is not a finite number", err);
    }
    *out = (qn_meta_value){.type = QN_META_F32, .as.f = (double)(float)v};
    return QN_OK;
}

static qn_status value_of(const char *text, const char *type, size_t n_type, const char *v, const qn_meta_value *old,
                          qn_meta_value *out, qn_error *err) {
    if (n_type == 3 && strncmp(type, "int", 3) == 0) {
        return integer_value(text, v, old, out, err);
    }
    if (n_type == 5 && strncmp(type, "float", 5) == 0) {
        return number_value(text, v, out, err);
    }
    if (n_type == 4 && strncmp(type, "bool", 4) == 0) {
        const bool is_true = strcmp(v, "true") == 0;
        *out = (qn_meta_value){.type = QN_META_BOOL, .as.b = is_true};
        return is_true || strcmp(v, "false") == 0 ? QN_OK : fail_override(text, "the value is not true or false", err);
    }
    if (n_type == 3 && strncmp(type, "str", 3) == 0) {
        *out = (qn_meta_value){.type = QN_META_STRING, .as.text = qn_text_of(v)};
        return QN_OK;
    }
    return fail_override(text, "the type is not known", err);
}

static qn_status apply_override(qn_model *model, const char *given, qn_error *err) {
    const char *text = qn_arena_string(model->arena, given);
    const char *equals = text == NULL ? NULL : strchr(text, '=');
    if (text == NULL) {
        return qn_fail_nomem(err, "override", strlen(given));
    }
    const char *colon = equals == NULL ? NULL : strchr(equals, ':');
    if (colon == NULL || equals == text) {
        return fail_override(text, equals == text ? "there is no key" : "there is no type with a value", err);
    }
    const char *key = qn_arena_copy(model->arena, text, (size_t)(equals - text));
    qn_meta_value value;
    if (key == NULL) {
        return qn_fail_nomem(err, "override", strlen(given));
    }
    if (strcmp(key, "general.alignment") == 0 || strcmp(key, "general.architecture") == 0 ||
        strncmp(key, "split.", 6) == 0) {
        return fail_override(text, "this key follows from the file and cannot be set", err);
    }
    QN_TRY(value_of(text, equals + 1, (size_t)(colon - equals - 1), colon + 1, qn_meta_find(&model->meta, key), &value,
                    err));
    qn_meta_set(&model->meta, key, value);
    return QN_OK;
}

qn_status qn_model_override(qn_model *model, const qn_model_request *request, qn_error *err) {
    for (uint64_t i = 0; i < request->n_overrides; i++) {
        QN_TRY(apply_override(model, request->overrides[i], err));
    }
    return QN_OK;
}
