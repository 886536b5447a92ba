/* SPDX-License-Identifier: MIT */
/* vocab_meta.c: reads a vocabulary out of GGUF metadata; nothing there is trusted.
 *
 * Arrays must have one entry a token, ids must be those of tokens, texts of templates may be anything. What the
 * metadata leave to a reader's defaults is settled as llama.cpp settles it, since files of the other kind have to
 * say it.
 */
#include "text/vocab_writing.h"

#include <math.h>
#include <string.h>

enum { MAX_TEMPLATES = 64, MAX_ENDS = 64 };

#define TEMPLATE_PREFIX "tokenizer.chat_template."

typedef struct meta_reader {
    const qn_meta *meta;
    qn_arena *arena;
    qn_vocab *out;
} meta_reader;

/* ---- arrays ---- */

static qn_status wrong_type(const char *key, const qn_meta_value *v, const char *wanted, qn_error *err) {
    return qn_fail(err, QN_E_FORMAT, "metadata: %s is of type %s%s%s; %s is expected", key, qn_meta_type_name(v->type),
                   v->type == QN_META_ARRAY ? " of " : "",
                   v->type == QN_META_ARRAY ? qn_meta_type_name(v->as.array.type) : "", wanted);
}

/* The array at key with n entries (any number for 0); NULL in *out when the key is absent. */
static qn_status find_array(const meta_reader *r, const char *key, uint64_t n, const qn_meta_value **out,
                            qn_error *err) {
    const qn_meta_value *v = qn_meta_find(r->meta, key);
    *out = v;
    if (v == NULL) {
        return QN_OK;
    }
    if (v->type != QN_META_ARRAY) {
        return wrong_type(key, v, "an array", err);
    }
    if (n != 0 && v->as.array.n != n) {
        return qn_fail(err, QN_E_FORMAT, "metadata: %s has %llu entries, but tokenizer.ggml.tokens has %llu", key,
                       (unsigned long long)v->as.array.n, (unsigned long long)n);
    }
    return QN_OK;
}

static qn_status read_texts(const meta_reader *r, const char *key, uint64_t max, const qn_text **out, uint64_t *n,
                            qn_error *err) {
    const qn_meta_value *v = NULL;
    QN_TRY(find_array(r, key, 0, &v, err));
    if (v == NULL || v->as.array.n == 0) {
        return qn_fail(err, QN_E_FORMAT, "metadata: %s is missing or empty: the file has no whole vocabulary", key);
    }
    if (v->as.array.type != QN_META_STRING) {
        return wrong_type(key, v, "an array of strings", err);
    }
    if (v->as.array.n > max) {
        return qn_fail(err, QN_E_RANGE, "metadata: %s has %llu entries; at most %llu are expected", key,
                       (unsigned long long)v->as.array.n, (unsigned long long)max);
    }
    *out = v->as.array.items;
    *n = v->as.array.n;
    return QN_OK;
}

static qn_status read_scores(const meta_reader *r, qn_error *err) {
    static const char key[] = "tokenizer.ggml.scores";
    const qn_meta_value *v = NULL;
    const uint64_t n = r->out->n_tokens;
    QN_TRY(find_array(r, key, n, &v, err));
    if (v == NULL) {
        return qn_fail(err, QN_E_FORMAT,
                       "metadata: %s is missing: without scores the merges of a SentencePiece "
                       "vocabulary are not known",
                       key);
    }
    if (v->as.array.type != QN_META_F32) {
        return wrong_type(key, v, "an array of f32", err);
    }
    const float *scores = v->as.array.items;
    for (uint64_t i = 0; i < n; i++) {
        if (!isfinite(scores[i])) {
            return qn_fail(err, QN_E_FORMAT, "metadata: %s[%llu] is not a finite number", key, (unsigned long long)i);
        }
    }
    r->out->scores = scores;
    return QN_OK;
}

/* Types default to normal; a number that is no type is damage. */
static qn_status read_types(const meta_reader *r, qn_error *err) {
    static const char key[] = "tokenizer.ggml.token_type";
    const uint64_t n = r->out->n_tokens;
    const qn_meta_value *v = NULL;
    QN_TRY(find_array(r, key, n, &v, err));
    if (v != NULL && v->as.array.type != QN_META_I32 && v->as.array.type != QN_META_U32) {
        return wrong_type(key, v, "an array of i32", err);
    }
    int32_t *types = qn_arena_array(r->arena, n, sizeof *types);
    if (types == NULL) {
        return qn_fail_nomem(err, key, (size_t)n * sizeof *types);
    }
    for (uint64_t i = 0; i < n; i++) {
        types[i] = v == NULL ? QN_TOKEN_NORMAL : ((const int32_t *)v->as.array.items)[i];
        if (types[i] < QN_TOKEN_UNDEFINED || types[i] > QN_TOKEN_BYTE) {
            return qn_fail(err, QN_E_FORMAT, "metadata: %s[%llu] is %d; 0 to 6 are expected", key,
                           (unsigned long long)i, (int)types[i]);
        }
    }
    r->out->types = types;
    return QN_OK;
}

/* ---- ids and flags ---- */

static qn_status check_id(const meta_reader *r, const char *key, uint64_t id, qn_error *err) {
    if (id >= r->out->n_tokens) {
        return qn_fail(err, QN_E_FORMAT, "metadata: %s is %llu, but the vocabulary has %llu tokens", key,
                       (unsigned long long)id, (unsigned long long)r->out->n_tokens);
    }
    return QN_OK;
}

static qn_status read_id(const meta_reader *r, const char *key, int64_t *out, qn_error *err) {
    const qn_meta_value *v = qn_meta_find(r->meta, key);
    uint64_t id = 0;
    *out = QN_NO_TOKEN;
    if (v == NULL) {
        return QN_OK;
    }
    if (!qn_meta_u64(r->meta, key, &id)) {
        return wrong_type(key, v, "a token's id (u32)", err);
    }
    QN_TRY(check_id(r, key, id, err));
    *out = (int64_t)id;
    return QN_OK;
}

static qn_status read_flag(const meta_reader *r, const char *key, int *out, qn_error *err) {
    const qn_meta_value *v = qn_meta_find(r->meta, key);
    *out = -1;
    if (v != NULL && v->type != QN_META_BOOL) {
        return wrong_type(key, v, "bool", err);
    }
    if (v != NULL) {
        *out = v->as.b ? 1 : 0;
    }
    return QN_OK;
}

static qn_status read_ids(const meta_reader *r, qn_error *err) {
    qn_vocab *v = r->out;
    const struct {
        const char *key;
        int64_t *id;
    } ids[] = {{"tokenizer.ggml.bos_token_id", &v->bos},         {"tokenizer.ggml.eos_token_id", &v->eos},
               {"tokenizer.ggml.eot_token_id", &v->eot},         {"tokenizer.ggml.eom_token_id", &v->eom},
               {"tokenizer.ggml.unknown_token_id", &v->unk},     {"tokenizer.ggml.seperator_token_id", &v->sep},
               {"tokenizer.ggml.padding_token_id", &v->pad},     {"tokenizer.ggml.mask_token_id", &v->mask},
               {"tokenizer.ggml.fim_pre_token_id", &v->fim_pre}, {"tokenizer.ggml.fim_suf_token_id", &v->fim_suf},
               {"tokenizer.ggml.fim_mid_token_id", &v->fim_mid}, {"tokenizer.ggml.fim_pad_token_id", &v->fim_pad},
               {"tokenizer.ggml.fim_rep_token_id", &v->fim_rep}, {"tokenizer.ggml.fim_sep_token_id", &v->fim_sep}};
    const struct {
        const char *key;
        int *flag;
    } flags[] = {{"tokenizer.ggml.add_bos_token", &v->add_bos},
                 {"tokenizer.ggml.add_eos_token", &v->add_eos},
                 {"tokenizer.ggml.add_sep_token", &v->add_sep},
                 {"tokenizer.ggml.add_space_prefix", &v->add_space_prefix}};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) {
        QN_TRY(read_id(r, ids[i].key, ids[i].id, err));
    }
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++) {
        QN_TRY(read_flag(r, flags[i].key, flags[i].flag, err));
    }
    return QN_OK;
}

/* An id that llama.cpp takes when a SentencePiece file names none, if the token there is of a type to match. */
static void default_id(const qn_vocab *v, int64_t *id, uint64_t otherwise) {
    if (*id == QN_NO_TOKEN && otherwise < v->n_tokens &&
        (v->types[otherwise] == QN_TOKEN_CONTROL || v->types[otherwise] == QN_TOKEN_UNKNOWN)) {
        *id = (int64_t)otherwise;
    }
}

static void settle_defaults(const meta_reader *r) {
    qn_vocab *v = r->out;
    const bool is_spm = v->scores != NULL;
    if (is_spm) {
        default_id(v, &v->unk, 0);
        default_id(v, &v->bos, 1);
        default_id(v, &v->eos, 2);
    }
    if (v->add_bos < 0) {
        v->add_bos = is_spm || qn_pretokenizer_adds_bos(v->pre) ? 1 : 0;
    }
    v->add_bos = v->add_bos == 1 && v->bos != QN_NO_TOKEN ? 1 : 0;
    v->add_eos = v->add_eos == 1 && v->eos != QN_NO_TOKEN ? 1 : 0;
}

static void add_end(qn_vocab *v, int32_t *ids, int64_t id) {
    for (uint64_t i = 0; i < v->n_eos_ids; i++) {
        if (ids[i] == id) {
            return;
        }
    }
    if (id != QN_NO_TOKEN && v->n_eos_ids < MAX_ENDS) {
        ids[v->n_eos_ids++] = (int32_t)id;
    }
}

static qn_status read_ends(const meta_reader *r, qn_error *err) {
    static const char key[] = "tokenizer.ggml.eos_token_ids";
    const qn_meta_value *value = NULL;
    int32_t *ids = qn_arena_array(r->arena, MAX_ENDS, sizeof *ids);
    if (ids == NULL) {
        return qn_fail_nomem(err, key, MAX_ENDS * sizeof *ids);
    }
    add_end(r->out, ids, r->out->eos);
    add_end(r->out, ids, r->out->eot);
    add_end(r->out, ids, r->out->eom);
    QN_TRY(find_array(r, key, 0, &value, err));
    if (value != NULL && value->as.array.type != QN_META_I32 && value->as.array.type != QN_META_U32) {
        return wrong_type(key, value, "an array of i32", err);
    }
    for (uint64_t i = 0; value != NULL && i < value->as.array.n; i++) {
        const uint32_t id = ((const uint32_t *)value->as.array.items)[i]; /* a negative one is out of range too */
        QN_TRY(check_id(r, key, id, err));
        add_end(r->out, ids, id);
    }
    r->out->eos_ids = ids;
    return QN_OK;
}

/* ---- templates ---- */

static qn_status read_templates(const meta_reader *r, qn_error *err) {
    qn_named_template *named = qn_arena_array(r->arena, MAX_TEMPLATES, sizeof *named);
    if (named == NULL) {
        return qn_fail_nomem(err, "chat templates", MAX_TEMPLATES * sizeof *named);
    }
    const size_t n_prefix = sizeof TEMPLATE_PREFIX - 1;
    for (uint64_t i = 0; i < r->meta->n; i++) {
        const qn_meta_entry *e = &r->meta->entries[i];
        const bool is_main = strcmp(e->key, "tokenizer.chat_template") == 0;
        if (!is_main && (strncmp(e->key, TEMPLATE_PREFIX, n_prefix) != 0 || e->key[n_prefix] == '\0')) {
            continue;
        }
        if (e->value.type != QN_META_STRING) {
            return wrong_type(e->key, &e->value, "a string", err);
        }
        if (is_main) {
            r->out->chat_template = e->value.as.text;
        } else if (r->out->n_templates < MAX_TEMPLATES) {
            named[r->out->n_templates++] = (qn_named_template){qn_text_of(e->key + n_prefix), e->value.as.text};
        }
    }
    r->out->templates = named;
    return QN_OK;
}

/* ---- the whole ---- */

static qn_status read_model(const meta_reader *r, qn_error *err) {
    const qn_meta_value *v = qn_meta_find(r->meta, "tokenizer.ggml.model");
    if (v == NULL ||
        (v->type == QN_META_STRING && (qn_text_is(v->as.text, "none") || qn_text_is(v->as.text, "no_vocab")))) {
        return qn_fail(err, QN_E_NOT_FOUND, "metadata: no vocabulary (tokenizer.ggml.model)");
    }
    if (v->type != QN_META_STRING) {
        return wrong_type("tokenizer.ggml.model", v, "a string", err);
    }
    if (!qn_text_is(v->as.text, "llama") && !qn_text_is(v->as.text, "gpt2")) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "metadata: tokenizer.ggml.model is '%.*s'; tokenizer files can be made of 'llama' "
                       "(SentencePiece) and 'gpt2' (byte-level BPE)",
                       (int)(v->as.text.len > 40 ? 40 : v->as.text.len), v->as.text.bytes);
    }
    r->out->model = qn_text_is(v->as.text, "llama") ? "llama" : "gpt2";
    return QN_OK;
}

static qn_status read_pre(const meta_reader *r, qn_error *err) {
    r->out->pre = qn_meta_string(r->meta, "tokenizer.ggml.pre");
    if (r->out->pre == NULL) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "metadata: tokenizer.ggml.pre is missing: how this vocabulary splits "
                       "text is not known; convert the model again, or set the key");
    }
    return QN_OK;
}

qn_status qn_vocab_from_meta(const qn_meta *meta, qn_arena *arena, qn_vocab *out, qn_error *err) {
    const meta_reader r = {meta, arena, out};
    *out = (qn_vocab){.pre = "default"};
    QN_TRY(read_model(&r, err));
    QN_TRY(read_texts(&r, "tokenizer.ggml.tokens", QN_MAX_TOKENS, &out->tokens, &out->n_tokens, err));
    QN_TRY(read_types(&r, err));
    if (strcmp(out->model, "llama") == 0) {
        QN_TRY(read_scores(&r, err));
    } else {
        QN_TRY(read_pre(&r, err));
        QN_TRY(read_texts(&r, "tokenizer.ggml.merges", QN_MAX_MERGES, &out->merges, &out->n_merges, err));
    }
    QN_TRY(read_ids(&r, err));
    settle_defaults(&r);
    QN_TRY(read_ends(&r, err));
    return read_templates(&r, err);
}
