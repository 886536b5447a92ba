/* SPDX-License-Identifier: MIT */
/* vocabulary.c: puts a vocabulary together from its parts and writes it as GGUF keys.
 *
 * Two kinds come out: "llama", SentencePiece tokens with scores, and "gpt2", byte-level tokens with merges and the
 * name of a pre-tokenizer. Both have exactly as many tokens as the model has embedding rows.
 */
#include "text/vocabulary.h"

#include "base/worker.h"
#include "text/vocab_parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Everything that is needed while a vocabulary is read. */
typedef struct building {
    const qn_vocab_request *request;
    qn_arena *arena;
    qn_vocab_sources files;
    qn_token_list list;
    qn_merges merges;
    qn_vocab *out;
} building;

static const float ADDED_SCORE = -1000.0F;

/* ---- SentencePiece ---- */

/* Where SentencePiece's added tokens go, and how many ids lie past the embedding. */
typedef struct spm_target {
    qn_token_list *list;
    uint64_t n_max; /* 0: no limit */
    uint64_t n_beyond;
} spm_target;

static bool is_beyond(spm_target *target, uint64_t id) {
    const bool beyond = target->n_max != 0 && id >= target->n_max;
    target->n_beyond += beyond ? 1 : 0;
    return beyond;
}

static qn_status put_flagged(void *user, const qn_added_token *token, qn_error *err) {
    spm_target *target = user;
    return is_beyond(target, token->id) ? QN_OK : qn_put_added(target->list, token, err);
}

/* added_tokens.json beside a SentencePiece model: user-defined, text as it is. */
static qn_status put_plain(void *user, const qn_added_token *token, qn_error *err) {
    spm_target *target = user;
    if (is_beyond(target, token->id)) {
        return QN_OK;
    }
    return qn_token_list_put(target->list, token->id, (qn_text){token->text, token->len}, QN_TOKEN_USER_DEFINED,
                             ADDED_SCORE, err);
}

static qn_status put_spm_added(building *b, spm_target *target, qn_error *err) {
    const qn_vocab_sources *f = &b->files;
    QN_TRY(qn_each_listed_added(f->added, f->added_path, put_plain, target, err));
    if (f->config_has_tokens) {
        QN_TRY(qn_each_config_added(f->config, f->config_path, put_flagged, target, err));
    }
    if (b->request->traits != NULL && b->request->traits->json_added_override) {
        QN_TRY(qn_each_tokenizer_added(f->tokenizer, f->tokenizer_path, put_flagged, target, err));
    }
    return QN_OK;
}

static void warn_beyond(const building *b, uint64_t n_beyond) {
    if (n_beyond > 0) {
        qn_job_warn(b->request->job, "%s: %llu tokens have ids past the %llu rows of the embedding: left out",
                    b->files.path, (unsigned long long)n_beyond, (unsigned long long)b->request->n_vocab);
    }
}

static qn_status read_spm(building *b, qn_error *err) {
    char *bytes = NULL;
    size_t len = 0;
    qn_spm_facts facts = {0};
    spm_target target = {&b->list, b->request->n_vocab, 0};
    QN_TRY(qn_vocab_read_file(b->files.path, &bytes, &len, err));
    const qn_status status = qn_spm_read(b->files.path, bytes, len, target.n_max, &b->list, &facts, err);
    free(bytes);
    QN_TRY(status);
    if (target.n_max != 0 && facts.n_pieces > target.n_max) {
        target.n_beyond = facts.n_pieces - target.n_max;
    }
    QN_TRY(put_spm_added(b, &target, err));
    warn_beyond(b, target.n_beyond);
    b->out->model = "llama";
    b->out->pre = "default";
    b->out->add_space_prefix = facts.adds_space ? -1 : 0;
    return QN_OK;
}

/* ---- BPE ---- */

/* Ids past the embedding can be neither read nor written by the model: the files do not belong together. */
static qn_status check_fits(const building *b, qn_error *err) {
    const uint64_t n_vocab = b->request->n_vocab;
    if (n_vocab != 0 && b->list.n > n_vocab) {
        return qn_fail(err, QN_E_SHAPE,
                       "%s: has token ids up to %llu ('%.64s'), but the model's embedding has %llu rows: the tokenizer "
                       "belongs to another model, or tokens were added without resizing the embedding; take the "
                       "tokenizer of the base model",
                       b->files.path, (unsigned long long)(b->list.n - 1), b->list.texts[b->list.n - 1].bytes,
                       (unsigned long long)n_vocab);
    }
    return QN_OK;
}

/* A tokenizer.json that is SentencePiece in disguise. */
static qn_status read_spm_json(building *b, qn_error *err) {
    const qn_vocab_sources *f = &b->files;
    QN_TRY(qn_bpe_score(f->tokenizer, &b->merges, &b->list, err));
    b->merges = (qn_merges){0};
    QN_TRY(qn_put_all_added(f, &b->list, err));
    b->out->model = "llama";
    b->out->pre = "default";
    b->out->add_space_prefix = qn_json_space_prefix(f->tokenizer);
    return check_fits(b, err);
}

static qn_status read_json(building *b, qn_error *err) {
    const qn_vocab_sources *f = &b->files;
    QN_TRY(qn_bpe_read_tokens(f->tokenizer, f->path, &b->list, err));
    QN_TRY(qn_bpe_read_merges(f->tokenizer, f->path, b->arena, &b->merges, err));
    if (qn_is_spm_json(f->tokenizer)) {
        return read_spm_json(b, err);
    }
    b->out->model = "gpt2";
    b->out->pre = b->request->pre;
    if (b->out->pre == NULL) {
        QN_TRY(qn_pretokenizer_recognise(f->tokenizer, f->path, &b->out->pre, err));
    }
    QN_TRY(qn_put_all_added(f, &b->list, err));
    return check_fits(b, err);
}

static qn_status read_merges_file(building *b, qn_error *err) {
    char *text = NULL;
    size_t len = 0;
    QN_TRY(qn_vocab_read_file(b->files.merges_path, &text, &len, err));
    const qn_status status = qn_bpe_read_merge_lines(text, len, b->arena, &b->merges, err);
    free(text);
    return status == QN_OK ? status : qn_fail_at(err, status, "%s", b->files.merges_path);
}

/* Nothing lists the control tokens of the oldest files: those that look like it are. */
static void retype_by_look(qn_token_list *list) {
    for (uint64_t id = 0; id < list->n; id++) {
        if (qn_token_list_has(list, id) && list->types[id] == QN_TOKEN_NORMAL &&
            qn_looks_special(list->texts[id].bytes, list->texts[id].len)) {
            list->types[id] = QN_TOKEN_CONTROL;
        }
    }
}

static qn_status name_of_class(const building *b, const char **pre, qn_error *err) {
    char saw[160];
    const char *tokenizer_class = qn_json_string(b->files.config, "tokenizer_class");
    *pre = b->request->pre != NULL ? b->request->pre : qn_pretokenizer_of_class(b->files.config, b->request->config);
    if (*pre != NULL) {
        return QN_OK;
    }
    (void)snprintf(saw, sizeof saw, "vocab.json and merges.txt without a tokenizer.json, and tokenizer_class '%.60s'",
                   tokenizer_class == NULL ? "(none)" : tokenizer_class);
    return qn_fail_pretokenizer(b->files.path, saw, err);
}

static qn_status read_lists(building *b, qn_error *err) {
    json_t *map = NULL;
    b->out->model = "gpt2";
    QN_TRY(name_of_class(b, &b->out->pre, err));
    QN_TRY(qn_vocab_load_object(b->files.path, &map, err));
    const qn_status status = qn_bpe_read_map(map, b->files.path, &b->list, err);
    json_decref(map);
    QN_TRY(status);
    QN_TRY(read_merges_file(b, err));
    QN_TRY(qn_put_all_added(&b->files, &b->list, err));
    retype_by_look(&b->list);
    return check_fits(b, err);
}

/* ---- ranks ---- */

static qn_status read_tiktoken(building *b, qn_error *err) {
    const char *path = b->files.path;
    char *text = NULL;
    size_t len = 0;
    QN_TRY(qn_vocab_read_file(path, &text, &len, err));
    const qn_status status = qn_tiktoken_read(path, text, len, &b->list, &b->merges, err);
    free(text);
    QN_TRY(status);
    b->out->model = "gpt2";
    b->out->pre = b->request->pre != NULL ? b->request->pre
                                          : qn_tiktoken_pretokenizer(path, b->list.n, b->files.config);
    if (b->out->pre == NULL) {
        char saw[96];
        (void)snprintf(saw, sizeof saw, "a tiktoken file of %llu ranks, which no known model has",
                       (unsigned long long)b->list.n);
        return qn_fail_pretokenizer(path, saw, err);
    }
    QN_TRY(qn_tiktoken_put_specials(path, &b->list, err));
    QN_TRY(qn_put_all_added(&b->files, &b->list, err));
    return check_fits(b, err);
}

static qn_status read_tekken(building *b, qn_error *err) {
    json_t *tekken = NULL;
    QN_TRY(qn_vocab_load_object(b->files.path, &tekken, err));
    const qn_status status = qn_tekken_read(tekken, b->files.path, &b->list, &b->merges, err);
    json_decref(tekken);
    QN_TRY(status);
    b->out->model = "gpt2";
    b->out->pre = b->request->pre != NULL ? b->request->pre : "tekken";
    return check_fits(b, err);
}

/* ---- the whole ---- */

static qn_status read_tokens(building *b, qn_error *err) {
    switch (b->files.kind) {
    case QN_VOCAB_SPM: return read_spm(b, err);
    case QN_VOCAB_JSON: return read_json(b, err);
    case QN_VOCAB_LISTS: return read_lists(b, err);
    case QN_VOCAB_TIKTOKEN: return read_tiktoken(b, err);
    case QN_VOCAB_TEKKEN: return read_tekken(b, err);
    }
    return qn_fail(err, QN_E_INTERNAL, "unknown kind of vocabulary");
}

/* What the files and the family say of a space before the text. */
static void settle_space(const building *b) {
    const qn_vocab_traits *traits = b->request->traits;
    const bool is_spm = strcmp(b->out->model, "llama") == 0;
    bool said = false;
    if (qn_json_bool(b->files.config, "add_prefix_space", &said) && (is_spm || !said)) {
        b->out->add_space_prefix = said ? 1 : 0;
    }
    if (traits != NULL && traits->add_space_prefix >= 0) {
        b->out->add_space_prefix = traits->add_space_prefix;
    }
}

static qn_status copy_out(building *b, qn_error *err) {
    const uint64_t n = b->list.n;
    qn_text *texts = qn_arena_array(b->arena, n, sizeof *texts);
    float *scores = qn_arena_array(b->arena, n, sizeof *scores);
    int32_t *types = qn_arena_array(b->arena, n, sizeof *types);
    if (texts == NULL || scores == NULL || types == NULL) {
        return qn_fail_nomem(err, "vocabulary", (size_t)n * sizeof *texts);
    }
    memcpy(texts, b->list.texts, (size_t)n * sizeof *texts);
    memcpy(scores, b->list.scores, (size_t)n * sizeof *scores);
    memcpy(types, b->list.types, (size_t)n * sizeof *types);
    b->out->n_tokens = n;
    b->out->tokens = texts;
    b->out->types = types;
    b->out->scores = strcmp(b->out->model, "llama") == 0 ? scores : NULL;
    b->out->merges = strcmp(b->out->model, "llama") == 0 ? NULL : b->merges.items;
    b->out->n_merges = b->merges.n;
    b->out->source = b->files.path;
    return QN_OK;
}

static qn_status build(building *b, qn_error *err) {
    const qn_vocab_request *request = b->request;
    if (request->pre != NULL) {
        QN_TRY(qn_pretokenizer_check(request->pre, err));
    }
    QN_TRY(qn_vocab_search(request, b->arena, &b->files, err));
    QN_TRY(read_tokens(b, err));
    QN_TRY(qn_token_list_finish(&b->list, request->n_vocab > b->list.n ? request->n_vocab : b->list.n, b->files.path,
                                request->job, err));
    QN_TRY(copy_out(b, err));
    QN_TRY(qn_read_chat_templates(request, b->arena, b->out, err));
    QN_TRY(qn_read_special_ids(request, &b->files, b->arena, b->out, err));
    settle_space(b);
    return QN_OK;
}

qn_status qn_vocab_open(const qn_vocab_request *request, qn_arena *arena, qn_vocab *out, qn_error *err) {
    building b = {.request = request, .arena = arena, .list = qn_token_list_new(arena), .out = out};
    *out = (qn_vocab){.add_space_prefix = -1};
    const qn_status status = build(&b, err);
    qn_token_list_clear(&b.list);
    qn_vocab_sources_clear(&b.files);
    return status;
}

/* ---- GGUF keys ---- */

static void set_id(qn_meta *meta, const char *key, int64_t id) {
    if (id != QN_NO_TOKEN) {
        qn_meta_set_u32(meta, key, (uint32_t)id);
    }
}

static void set_flag(qn_meta *meta, const char *key, int flag) {
    if (flag >= 0) {
        qn_meta_set_bool(meta, key, flag == 1);
    }
}

static void set_text(qn_meta *meta, const char *key, qn_text text) {
    qn_meta_set(meta, key, (qn_meta_value){.type = QN_META_STRING, .as.text = text});
}

static void set_ids(const qn_vocab *v, qn_meta *meta) {
    set_id(meta, "tokenizer.ggml.bos_token_id", v->bos);
    set_id(meta, "tokenizer.ggml.eos_token_id", v->eos);
    set_id(meta, "tokenizer.ggml.eot_token_id", v->eot);
    set_id(meta, "tokenizer.ggml.eom_token_id", v->eom);
    set_id(meta, "tokenizer.ggml.unknown_token_id", v->unk);
    set_id(meta, "tokenizer.ggml.seperator_token_id", v->sep); /* spelled so by the format */
    set_id(meta, "tokenizer.ggml.padding_token_id", v->pad);
    set_id(meta, "tokenizer.ggml.mask_token_id", v->mask);
    set_id(meta, "tokenizer.ggml.fim_pre_token_id", v->fim_pre);
    set_id(meta, "tokenizer.ggml.fim_suf_token_id", v->fim_suf);
    set_id(meta, "tokenizer.ggml.fim_mid_token_id", v->fim_mid);
    set_id(meta, "tokenizer.ggml.fim_pad_token_id", v->fim_pad);
    set_id(meta, "tokenizer.ggml.fim_rep_token_id", v->fim_rep);
    set_id(meta, "tokenizer.ggml.fim_sep_token_id", v->fim_sep);
    if (v->n_eos_ids > 1) {
        qn_meta_set_array(meta, "tokenizer.ggml.eos_token_ids", QN_META_I32, v->eos_ids, v->n_eos_ids);
    }
    set_flag(meta, "tokenizer.ggml.add_bos_token", v->add_bos);
    set_flag(meta, "tokenizer.ggml.add_eos_token", v->add_eos);
    set_flag(meta, "tokenizer.ggml.add_sep_token", v->add_sep);
    set_flag(meta, "tokenizer.ggml.add_space_prefix", v->add_space_prefix);
}

/* The named templates, the list of their names, then the main one. */
static void set_templates(const qn_vocab *v, qn_meta *meta) {
    qn_text *names = qn_arena_array(meta->arena, v->n_templates, sizeof *names);
    if (names == NULL) {
        meta->has_failed = true;
        return;
    }
    for (uint64_t i = 0; i < v->n_templates; i++) {
        const char *key = qn_arena_printf(meta->arena, "tokenizer.chat_template.%s", v->templates[i].name.bytes);
        if (key == NULL) {
            meta->has_failed = true;
            return;
        }
        set_text(meta, key, v->templates[i].text);
        names[i] = v->templates[i].name;
    }
    if (v->n_templates > 0) {
        qn_meta_set_array(meta, "tokenizer.chat_templates", QN_META_STRING, names, v->n_templates);
    }
    if (v->chat_template.bytes != NULL) {
        set_text(meta, "tokenizer.chat_template", v->chat_template);
    }
}

void qn_vocab_to_meta(const qn_vocab *vocab, qn_meta *meta) {
    qn_meta_set_string(meta, "tokenizer.ggml.model", vocab->model);
    qn_meta_set_string(meta, "tokenizer.ggml.pre", vocab->pre);
    qn_meta_set_array(meta, "tokenizer.ggml.tokens", QN_META_STRING, vocab->tokens, vocab->n_tokens);
    if (vocab->scores != NULL) {
        qn_meta_set_array(meta, "tokenizer.ggml.scores", QN_META_F32, vocab->scores, vocab->n_tokens);
    }
    qn_meta_set_array(meta, "tokenizer.ggml.token_type", QN_META_I32, vocab->types, vocab->n_tokens);
    if (vocab->merges != NULL) {
        qn_meta_set_array(meta, "tokenizer.ggml.merges", QN_META_STRING, vocab->merges, vocab->n_merges);
    }
    set_ids(vocab, meta);
    set_templates(vocab, meta);
}
