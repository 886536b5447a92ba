/* SPDX-License-Identifier: MIT */
/* inspect_meta.c: reads GGUF keys, of a file or of what a folder would become, for a person. */
#include "pack/inspect_meta.h"

#include "base/checked.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ITEMS = 8, MAX_LAYERS = 1 << 16, DEFAULT_CTX = 8192, BATCH = 512, KEY_SIZE = 256 };

void qn_inspection_put(qn_inspection *d, json_t *object, const char *key, json_t *value) {
    d->has_failed = json_object_set_new(object, key, value) != 0 || d->has_failed;
}

void qn_inspection_push(qn_inspection *d, json_t *array, json_t *value) {
    d->has_failed = json_array_append_new(array, value) != 0 || d->has_failed;
}

json_t *qn_inspection_count(uint64_t v) {
    return v > INT64_MAX ? json_real((double)v) : json_integer((json_int_t)v);
}

json_t *qn_inspection_text(const char *text) {
    return text == NULL ? json_null() : qn_json_text(text, strlen(text));
}

/* A float as the shortest decimal that reads back as the same float: 0.1, not 0.10000000149. */
static double shortest(double v) {
    char text[40];
    for (int digits = 6; digits < 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, v);
        const double rounded = strtod(text, NULL);
        if ((float)rounded == (float)v) {
            return rounded;
        }
    }
    return v;
}

/* A real; NaN and infinity, which JSON lacks, as text. */
static json_t *real_json(double v, bool is_single) {
    if (isfinite(v)) {
        return json_real(is_single ? shortest(v) : v);
    }
    return json_string(isnan(v) ? "nan" : v > 0 ? "inf" : "-inf");
}

/* Item i of an array as a value by itself. */
static qn_meta_value item_at(const qn_meta_value *array, uint64_t i) {
    const void *items = array->as.array.items;
    qn_meta_value v = {.type = array->as.array.type};
    switch (v.type) {
    case QN_META_U8: v.as.u = ((const uint8_t *)items)[i]; break;
    case QN_META_U16: v.as.u = ((const uint16_t *)items)[i]; break;
    case QN_META_U32: v.as.u = ((const uint32_t *)items)[i]; break;
    case QN_META_U64: v.as.u = ((const uint64_t *)items)[i]; break;
    case QN_META_I8: v.as.i = (int64_t)((const int8_t *)items)[i]; break;
    case QN_META_I16: v.as.i = ((const int16_t *)items)[i]; break;
    case QN_META_I32: v.as.i = ((const int32_t *)items)[i]; break;
    case QN_META_I64: v.as.i = ((const int64_t *)items)[i]; break;
    case QN_META_F32: v.as.f = ((const float *)items)[i]; break;
    case QN_META_F64: v.as.f = ((const double *)items)[i]; break;
    case QN_META_BOOL: v.as.b = ((const bool *)items)[i]; break;
    case QN_META_STRING: v.as.text = ((const qn_text *)items)[i]; break;
    case QN_META_ARRAY: break;
    }
    return v;
}

static json_t *scalar_json(const qn_meta_value *v) {
    switch (v->type) {
    case QN_META_U8:
    case QN_META_U16:
    case QN_META_U32:
    case QN_META_U64: return qn_inspection_count(v->as.u);
    case QN_META_I8:
    case QN_META_I16:
    case QN_META_I32:
    case QN_META_I64: return json_integer(v->as.i);
    case QN_META_F32: return real_json(v->as.f, true);
    case QN_META_F64: return real_json(v->as.f, false);
    case QN_META_BOOL: return json_boolean(v->as.b);
    case QN_META_STRING: return qn_json_text(v->as.text.bytes, v->as.text.len);
    case QN_META_ARRAY: break;
    }
    return json_null();
}

/* A value, of an array at most max_items items. */
static json_t *value_json(qn_inspection *d, const qn_meta_value *v, uint64_t max_items) {
    if (v->type != QN_META_ARRAY) {
        return scalar_json(v);
    }
    json_t *list = json_array();
    for (uint64_t i = 0; i < v->as.array.n && i < max_items; i++) {
        const qn_meta_value item = item_at(v, i);
        qn_inspection_push(d, list, scalar_json(&item));
    }
    return list;
}

json_t *qn_inspect_pairs(qn_inspection *d, const qn_meta *meta) {
    json_t *pairs = json_array();
    for (uint64_t i = 0; i < meta->n; i++) {
        const qn_meta_value *v = &meta->entries[i].value;
        json_t *pair = json_object();
        char type[32];
        (void)snprintf(type, sizeof type, v->type == QN_META_ARRAY ? "arr[%s]" : "%s",
                       qn_meta_type_name(v->type == QN_META_ARRAY ? v->as.array.type : v->type));
        qn_inspection_put(d, pair, "key", qn_inspection_text(meta->entries[i].key));
        qn_inspection_put(d, pair, "type", json_string(type));
        qn_inspection_put(d, pair, "value", value_json(d, v, MAX_ITEMS));
        if (v->type == QN_META_ARRAY) {
            qn_inspection_put(d, pair, "n", qn_inspection_count(v->as.array.n));
        }
        qn_inspection_push(d, pairs, pair);
    }
    return pairs;
}

/* An array of strings at key, or NULL. */
static const qn_meta_value *find_strings(const qn_meta *meta, const char *key) {
    const qn_meta_value *v = qn_meta_find(meta, key);
    return v != NULL && v->type == QN_META_ARRAY && v->as.array.type == QN_META_STRING ? v : NULL;
}

static json_t *token_json(qn_inspection *d, const qn_meta_value *tokens, uint64_t id) {
    json_t *token = json_object();
    qn_inspection_put(d, token, "id", qn_inspection_count(id));
    if (id < tokens->as.array.n) {
        const qn_meta_value text = item_at(tokens, id);
        qn_inspection_put(d, token, "text", scalar_json(&text));
    } else {
        qn_inspection_put(d, token, "text", json_null());
    }
    return token;
}

static void put_special_tokens(qn_inspection *d, json_t *o, const qn_meta *meta, const qn_meta_value *tokens) {
    static const char *const roles[][2] = {
        {"bos", "bos"},         {"eos", "eos"},         {"eot", "eot"},         {"eom", "eom"},
        {"unk", "unknown"},     {"sep", "seperator"},   {"pad", "padding"},     {"cls", "cls"},
        {"mask", "mask"},       {"fim_pre", "fim_pre"}, {"fim_suf", "fim_suf"}, {"fim_mid", "fim_mid"},
        {"fim_pad", "fim_pad"}, {"fim_rep", "fim_rep"}, {"fim_sep", "fim_sep"},
    };
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        char key[KEY_SIZE];
        uint64_t id = 0;
        (void)snprintf(key, sizeof key, "tokenizer.ggml.%s_token_id", roles[i][1]);
        if (qn_meta_u64(meta, key, &id)) {
            qn_inspection_put(d, o, roles[i][0], token_json(d, tokens, id));
        }
    }
    const qn_meta_value *ids = qn_meta_find(meta, "tokenizer.ggml.eos_token_ids");
    if (ids != NULL && ids->type == QN_META_ARRAY && ids->as.array.type == QN_META_I32) {
        json_t *list = json_array();
        for (uint64_t i = 0; i < ids->as.array.n && i < MAX_ITEMS; i++) {
            const qn_meta_value id = item_at(ids, i);
            qn_inspection_push(d, list, token_json(d, tokens, id.as.i < 0 ? UINT64_MAX : (uint64_t)id.as.i));
        }
        qn_inspection_put(d, o, "eos_ids", list);
    }
}

json_t *qn_inspect_vocabulary(qn_inspection *d, const qn_meta *meta) {
    static const char *const flags[] = {"add_bos", "add_eos", "add_sep"};
    const qn_meta_value *tokens = find_strings(meta, "tokenizer.ggml.tokens");
    if (tokens == NULL) {
        return json_null();
    }
    json_t *o = json_object();
    const qn_meta_value *merges = find_strings(meta, "tokenizer.ggml.merges");
    qn_inspection_put(d, o, "model", qn_inspection_text(qn_meta_string(meta, "tokenizer.ggml.model")));
    qn_inspection_put(d, o, "pre", qn_inspection_text(qn_meta_string(meta, "tokenizer.ggml.pre")));
    qn_inspection_put(d, o, "n_tokens", qn_inspection_count(tokens->as.array.n));
    if (merges != NULL) {
        qn_inspection_put(d, o, "n_merges", qn_inspection_count(merges->as.array.n));
    }
    put_special_tokens(d, o, meta, tokens);
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        char key[KEY_SIZE];
        (void)snprintf(key, sizeof key, "tokenizer.ggml.%s_token", flags[i]);
        const qn_meta_value *v = qn_meta_find(meta, key);
        if (v != NULL && v->type == QN_META_BOOL) {
            qn_inspection_put(d, o, flags[i], json_boolean(v->as.b));
        }
    }
    return o;
}

/* The value of ARCH.suffix, or NULL. */
static const qn_meta_value *find_key(const qn_meta *meta, const char *arch, const char *suffix) {
    char key[KEY_SIZE];
    const int n = snprintf(key, sizeof key, "%s.%s", arch, suffix);
    return n < 0 || (size_t)n >= sizeof key ? NULL : qn_meta_find(meta, key);
}

/* A count: the value itself, or of an array the item of a layer. @return false when it is none */
static bool count_of(const qn_meta_value *v, uint64_t layer, uint64_t *out) {
    if (v == NULL || (v->type == QN_META_ARRAY && layer >= v->as.array.n)) {
        return false;
    }
    const qn_meta_value item = v->type == QN_META_ARRAY ? item_at(v, layer) : *v;
    switch (item.type) {
    case QN_META_U8:
    case QN_META_U16:
    case QN_META_U32:
    case QN_META_U64: *out = item.as.u; return true;
    case QN_META_I8:
    case QN_META_I16:
    case QN_META_I32:
    case QN_META_I64: *out = (uint64_t)item.as.i; return item.as.i >= 0;
    default: return false;
    }
}

/* The largest count of ARCH.suffix over all layers; 0 when it is absent. */
static uint64_t largest(const qn_meta *meta, const char *arch, const char *suffix) {
    const qn_meta_value *v = find_key(meta, arch, suffix);
    const uint64_t n = v == NULL ? 0 : v->type == QN_META_ARRAY ? v->as.array.n : 1;
    uint64_t most = 0;
    for (uint64_t i = 0; i < n && i < MAX_LAYERS; i++) {
        uint64_t count = 0;
        if (count_of(v, i, &count) && count > most) {
            most = count;
        }
    }
    return most;
}

static uint64_t vocabulary_size(const qn_meta *meta, const char *arch) {
    const qn_meta_value *tokens = find_strings(meta, "tokenizer.ggml.tokens");
    const uint64_t told = largest(meta, arch, "vocab_size");
    return told > 0 ? told : tokens == NULL ? 0 : tokens->as.array.n;
}

/* Width of a head: as given, else n_embd / n_head. */
static uint64_t head_width(const qn_meta *meta, const char *arch, const char *suffix) {
    const uint64_t told = largest(meta, arch, suffix);
    const uint64_t n_head = largest(meta, arch, "attention.head_count");
    return told > 0 ? told : n_head == 0 ? 0 : largest(meta, arch, "embedding_length") / n_head;
}

json_t *qn_inspect_hyperparameters(qn_inspection *d, const qn_meta *meta, const char *arch) {
    static const char *const keys[][2] = {
        {"n_layer", "block_count"},
        {"n_embd", "embedding_length"},
        {"n_head", "attention.head_count"},
        {"n_head_kv", "attention.head_count_kv"},
        {"n_ff", "feed_forward_length"},
        {"n_ctx", "context_length"},
        {"rope_dim", "rope.dimension_count"},
        {"rope_base", "rope.freq_base"},
        {"rope_scaling", "rope.scaling.type"},
        {"rope_factor", "rope.scaling.factor"},
        {"rms_eps", "attention.layer_norm_rms_epsilon"},
        {"norm_eps", "attention.layer_norm_epsilon"},
        {"sliding_window", "attention.sliding_window"},
        {"n_expert", "expert_count"},
        {"n_expert_used", "expert_used_count"},
    };
    if (arch == NULL || find_key(meta, arch, "block_count") == NULL) {
        return json_null();
    }
    json_t *o = json_object();
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const qn_meta_value *v = find_key(meta, arch, keys[i][1]);
        if (v == NULL && strcmp(keys[i][0], "n_head_kv") == 0) {
            v = find_key(meta, arch, "attention.head_count"); /* what readers take when it is absent */
        }
        if (v != NULL) {
            qn_inspection_put(d, o, keys[i][0], value_json(d, v, MAX_LAYERS));
        }
        if (strcmp(keys[i][0], "n_head_kv") == 0 && head_width(meta, arch, "attention.key_length") > 0) {
            qn_inspection_put(d, o, "head_dim", qn_inspection_count(head_width(meta, arch, "attention.key_length")));
        }
    }
    if (vocabulary_size(meta, arch) > 0) {
        qn_inspection_put(d, o, "n_vocab", qn_inspection_count(vocabulary_size(meta, arch)));
    }
    return o;
}

/* Bytes of keys and values, float16, of every layer. @return false when keys are missing or the numbers absurd */
static bool kv_bytes(const qn_meta *meta, const char *arch, uint64_t n_ctx, uint64_t *out) {
    const qn_meta_value *heads = find_key(meta, arch, "attention.head_count_kv");
    const uint64_t n_layer = largest(meta, arch, "block_count");
    uint64_t per_token = 0;
    uint64_t width = 0;
    if (heads == NULL) {
        heads = find_key(meta, arch, "attention.head_count");
    }
    if (n_layer == 0 || n_layer > MAX_LAYERS ||
        !qn_add_u64(head_width(meta, arch, "attention.key_length"), head_width(meta, arch, "attention.value_length"),
                    &width) ||
        width == 0) {
        return false;
    }
    for (uint64_t layer = 0; layer < n_layer; layer++) {
        uint64_t n_head_kv = 0;
        uint64_t bytes = 0;
        if (!count_of(heads, layer, &n_head_kv) || !qn_mul_u64(n_head_kv, width, &bytes) ||
            !qn_mul_u64(bytes, 2, &bytes) || !qn_add_u64(per_token, bytes, &per_token)) {
            return false;
        }
    }
    return qn_mul_u64(per_token, n_ctx, out);
}

/* Bytes of what lives while a batch is computed. @return false when the numbers are absurd */
static bool compute_bytes(const qn_meta *meta, const char *arch, uint64_t n_ctx, uint64_t *out) {
    const uint64_t n_vocab = vocabulary_size(meta, arch);
    uint64_t scores = 0;
    uint64_t embd = 0;
    uint64_t ff = 0;
    if (!qn_mul_u64(largest(meta, arch, "attention.head_count"), n_ctx, &scores) ||
        !qn_mul_u64(largest(meta, arch, "embedding_length"), 4, &embd) ||
        !qn_mul_u64(largest(meta, arch, "feed_forward_length"), 2, &ff)) {
        return false;
    }
    uint64_t per_token = n_vocab > scores ? n_vocab : scores;
    return qn_add_u64(per_token, embd, &per_token) && qn_add_u64(per_token, ff, &per_token) &&
        qn_mul_u64(per_token, (n_ctx < BATCH ? n_ctx : BATCH) * sizeof(float), out);
}

json_t *qn_inspect_memory(qn_inspection *d, const qn_meta *meta, const char *arch, uint64_t weights_bytes,
                          uint64_t n_ctx) {
    uint64_t kv = 0;
    uint64_t compute = 0;
    uint64_t total = 0;
    if (arch == NULL || weights_bytes == 0) { /* a vocabulary without weights runs nowhere */
        return json_null();
    }
    if (n_ctx == 0) {
        const uint64_t own = largest(meta, arch, "context_length");
        n_ctx = own == 0 || own > DEFAULT_CTX ? DEFAULT_CTX : own;
    }
    if (!kv_bytes(meta, arch, n_ctx, &kv) || !compute_bytes(meta, arch, n_ctx, &compute) ||
        !qn_add_u64(weights_bytes, kv, &total) || !qn_add_u64(total, compute, &total)) {
        return json_null();
    }
    json_t *o = json_object();
    qn_inspection_put(d, o, "ctx", qn_inspection_count(n_ctx));
    qn_inspection_put(d, o, "weights_bytes", qn_inspection_count(weights_bytes));
    qn_inspection_put(d, o, "kv_bytes", qn_inspection_count(kv));
    qn_inspection_put(d, o, "compute_bytes", qn_inspection_count(compute));
    qn_inspection_put(d, o, "total_bytes", qn_inspection_count(total));
    return o;
}
