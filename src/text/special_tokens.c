/* SPDX-License-Identifier: MIT */
/* special_tokens.c: which ids begin, end, pad and part texts, and whether they are added without being asked for.
 *
 * The order of sources is llama.cpp's converter's, so that the keys it writes get the values it gives them:
 * tokenizer_config.json's texts through tokenizer.json's added tokens, then config.json's ids. Where it finds
 * nothing quern looks further: texts in the whole vocabulary, special_tokens_map.json, and the lists of end ids in
 * config.json and generation_config.json, which chat models rely on.
 */
#include "base/worker.h"
#include "text/vocab_parts.h"

#include <stdlib.h>
#include <string.h>

enum role { ROLE_BOS, ROLE_EOS, ROLE_UNK, ROLE_SEP, ROLE_PAD, ROLE_CLS, ROLE_MASK, ROLE_EOT, ROLE_EOM, N_ROLES };

/* eot_token and eom_token: Code Llama names the former so, and `quern export` writes both. */
static const char *const text_keys[N_ROLES] = {"bos_token", "eos_token",  "unk_token", "sep_token", "pad_token",
                                               "cls_token", "mask_token", "eot_token", "eom_token"};
static const char *const id_keys[N_ROLES] = {"bos_token_id",  "eos_token_id", "unk_token_id",
                                             "sep_token_id",  "pad_token_id", "cls_token_id",
                                             "mask_token_id", NULL,           NULL};

/* Ends of a turn, in llama.cpp's order of preference made definite. */
static const char *const turn_ends[] = {
    "<|eot_id|>",        "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>",
    "<|end_of_text|>",   "<EOT>",      "_<EOT>",  "[EOT]",         "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
    "<end_of_utterance>"};

typedef struct reader {
    const qn_vocab_request *request;
    const qn_vocab_sources *files;
    qn_vocab *vocab;
    qn_text_index index;
    const char *texts[N_ROLES]; /* borrowed from the documents */
    int64_t ids[N_ROLES];
} reader;

static bool is_same(const char *a, const char *b) {
    return a != NULL && b != NULL && strcmp(a, b) == 0;
}

static bool has_type(const json_t *object, const char *type) {
    return is_same(qn_json_string(object, "type"), type);
}

/* ---- the post-processor of a tokenizer.json ---- */

/* The text of a template item that is a special token, else NULL. */
static const char *item_token(const json_t *item) {
    return qn_json_string(json_object_get(item, "SpecialToken"), "id");
}

static void read_template_end(reader *r, const char *last) {
    if (last == NULL) {
        return;
    }
    if (r->texts[ROLE_EOS] != NULL && !is_same(r->texts[ROLE_EOS], last)) {
        const enum role other = r->texts[ROLE_EOT] == NULL ? ROLE_EOT : ROLE_EOM;
        if (r->texts[other] == NULL) {
            r->texts[other] = r->texts[ROLE_EOS];
        }
    }
    r->texts[ROLE_EOS] = last;
    r->vocab->add_eos = 1;
}

/* Between text A and text B of a pair: sep or eos alone, or as the second of two, asks for a separator. */
static void read_template_pair(reader *r, const json_t *pair, bool has_end) {
    size_t first = SIZE_MAX;
    size_t second = SIZE_MAX;
    const json_t *item = NULL;
    size_t i = 0;
    json_array_foreach(pair, i, item) {
        const char *sequence = qn_json_string(json_object_get(item, "Sequence"), "id");
        if (is_same(sequence, "A") && first == SIZE_MAX) {
            first = i;
        } else if (is_same(sequence, "B")) {
            second = i;
        }
    }
    if (first == SIZE_MAX || second == SIZE_MAX || second <= first + 1) {
        return;
    }
    const size_t n_between = second - first - 1;
    const char *token = item_token(json_array_get(pair, n_between == 2 ? first + 2 : first + 1));
    const bool separates = is_same(token, r->texts[ROLE_SEP]) || is_same(token, r->texts[ROLE_EOS]);
    if (separates && (n_between == 2 || (n_between == 1 && !has_end))) {
        r->vocab->add_sep = 1;
    }
}

static void read_template(reader *r, const json_t *processor) {
    const json_t *single = json_object_get(processor, "single");
    const size_t n = json_array_size(single);
    const char *last = n < 2 ? NULL : item_token(json_array_get(single, n - 1));
    const char *first = n < 2 ? NULL : item_token(json_array_get(single, 0));
    if (first != NULL) {
        if (r->texts[ROLE_BOS] == NULL && r->texts[ROLE_CLS] == NULL) {
            r->texts[ROLE_BOS] = first;
        }
        const bool is_bos = is_same(first, r->texts[ROLE_BOS]) || is_same(first, r->texts[ROLE_CLS]);
        r->vocab->add_bos = is_bos ? 1 : 0;
        if (!is_bos) {
            qn_job_warn(r->request->job, "%s: begins texts with '%.60s', which is not the BOS token '%.60s'",
                        r->files->tokenizer_path, first, r->texts[ROLE_BOS] == NULL ? "" : r->texts[ROLE_BOS]);
        }
    }
    read_template_end(r, last);
    read_template_pair(r, json_object_get(processor, "pair"), last != NULL);
}

static void read_roberta(reader *r, const json_t *processor) {
    const char *cls = json_string_value(json_array_get(json_object_get(processor, "cls"), 0));
    const char *sep = json_string_value(json_array_get(json_object_get(processor, "sep"), 0));
    r->vocab->add_bos = 1;
    r->vocab->add_eos = 1;
    r->vocab->add_sep = 1;
    r->texts[ROLE_CLS] = r->texts[ROLE_CLS] == NULL ? cls : r->texts[ROLE_CLS];
    r->texts[ROLE_SEP] = r->texts[ROLE_SEP] == NULL ? sep : r->texts[ROLE_SEP];
}

static void borrow_roles(reader *r) {
    r->texts[ROLE_BOS] = r->texts[ROLE_BOS] == NULL ? r->texts[ROLE_CLS] : r->texts[ROLE_BOS];
    r->texts[ROLE_EOS] = r->texts[ROLE_EOS] == NULL ? r->texts[ROLE_SEP] : r->texts[ROLE_EOS];
}

static void read_processor(reader *r, const json_t *processor) {
    if (has_type(processor, "TemplateProcessing")) {
        read_template(r, processor);
    } else if (has_type(processor, "RobertaProcessing")) {
        read_roberta(r, processor);
        borrow_roles(r);
    }
}

static void read_post_processor(reader *r) {
    const json_t *top = json_object_get(r->files->tokenizer, "post_processor");
    const json_t *child = NULL;
    size_t i = 0;
    borrow_roles(r);
    if (!has_type(top, "Sequence")) {
        read_processor(r, top);
        return;
    }
    json_array_foreach(json_object_get(top, "processors"), i, child) {
        read_processor(r, child);
    }
}

/* ---- ids ---- */

/* An id when it is one of this vocabulary's; else QN_NO_TOKEN, with a warning that names where it stood. */
static int64_t check_id(const reader *r, const json_t *value, const char *where, const char *key) {
    uint64_t id = 0;
    if (!qn_json_value_u64(value, &id)) {
        return QN_NO_TOKEN;
    }
    if (id >= r->vocab->n_tokens) {
        qn_job_warn(r->request->job, "%s: %s is %llu, but the vocabulary has %llu tokens: left out", where, key,
                    (unsigned long long)id, (unsigned long long)r->vocab->n_tokens);
        return QN_NO_TOKEN;
    }
    return (int64_t)id;
}

static int64_t find_added(const reader *r, const char *text) {
    const json_t *entry = NULL;
    size_t i = 0;
    if (text == NULL) {
        return QN_NO_TOKEN;
    }
    json_array_foreach(json_object_get(r->files->tokenizer, "added_tokens"), i, entry) {
        if (is_same(qn_json_string(entry, "content"), text)) {
            return check_id(r, json_object_get(entry, "id"), r->files->tokenizer_path, text);
        }
    }
    return QN_NO_TOKEN;
}

static int64_t find_text(const reader *r, const char *text) {
    return text == NULL ? QN_NO_TOKEN : qn_text_index_find(&r->index, qn_text_of(text));
}

static int64_t config_id(const reader *r, enum role role) {
    const json_t *config = r->request->config;
    if (id_keys[role] == NULL) {
        return QN_NO_TOKEN;
    }
    const json_t *value = json_object_get(config, id_keys[role]);
    if (value == NULL || json_is_null(value)) {
        value = json_object_get(json_object_get(config, "text_config"), id_keys[role]);
    }
    return check_id(r, value, "config.json", id_keys[role]);
}

static int64_t first_of(const reader *r, const json_t *value, const char *where, const char *key) {
    return check_id(r, json_is_array(value) ? json_array_get(value, 0) : value, where, key);
}

/* What the converter does not look at. */
static int64_t find_elsewhere(const reader *r, enum role role) {
    int64_t id = find_text(r, r->texts[role]);
    if (id == QN_NO_TOKEN) {
        id = find_text(r, qn_token_attribute(r->files->special_map, text_keys[role]));
    }
    if (id == QN_NO_TOKEN && id_keys[role] != NULL) {
        id = first_of(r, json_object_get(r->request->config, id_keys[role]), "config.json", id_keys[role]);
    }
    if (id == QN_NO_TOKEN && id_keys[role] != NULL) {
        id = first_of(r, json_object_get(r->files->generation, id_keys[role]), "generation_config.json", id_keys[role]);
    }
    return id;
}

static int64_t find_any(const reader *r, const char *const *texts, size_t n) {
    int64_t id = QN_NO_TOKEN;
    for (size_t i = 0; i < n && id == QN_NO_TOKEN; i++) {
        id = find_text(r, texts[i]);
    }
    return id;
}

/* A vocabulary without JSON files beside it names its roles by the usual texts only. */
static void guess_by_text(reader *r) {
    static const char *const ends[] = {"<|end_of_text|>", "<|endoftext|>", "</s>", "<eos>", "<|im_end|>", "[EOS]"};
    static const char *const begins[] = {"<|begin_of_text|>", "<s>", "<bos>", "<|endoftext|>"};
    const qn_vocab_kind kind = r->files->kind;
    const bool has_no_json = kind == QN_VOCAB_TIKTOKEN || kind == QN_VOCAB_TEKKEN || kind == QN_VOCAB_SPM;
    if (r->ids[ROLE_EOS] == QN_NO_TOKEN) {
        r->ids[ROLE_EOS] = find_any(r, ends, sizeof ends / sizeof ends[0]);
    }
    if (r->ids[ROLE_BOS] == QN_NO_TOKEN && has_no_json) {
        r->ids[ROLE_BOS] = find_any(r, begins, sizeof begins / sizeof begins[0]);
    }
    if (r->ids[ROLE_UNK] == QN_NO_TOKEN && has_no_json) {
        r->ids[ROLE_UNK] = find_text(r, "<unk>");
    }
    if (r->ids[ROLE_EOS] == QN_NO_TOKEN) {
        qn_job_warn(r->request->job,
                    "%s: no end-of-text token is named by tokenizer_config.json, config.json or "
                    "generation_config.json: programs will not know when to stop",
                    r->vocab->source);
    }
}

static void find_ids(reader *r) {
    for (int role = 0; role < N_ROLES; role++) {
        r->ids[role] = find_added(r, r->texts[role]);
        if (r->ids[role] == QN_NO_TOKEN) {
            r->ids[role] = config_id(r, (enum role)role);
        }
        if (r->ids[role] == QN_NO_TOKEN) {
            r->ids[role] = find_elsewhere(r, (enum role)role);
        }
    }
    guess_by_text(r);
}

/* ---- the end of a turn ---- */

static bool template_has(const qn_vocab *vocab, const char *text) {
    /* Templates come from JSON strings or files and end in a NUL in the arena. */
    return vocab->chat_template.bytes != NULL && strstr(vocab->chat_template.bytes, text) != NULL;
}

/* The token that ends a turn, when it is not the end of text: what the tokenizer or the chat template uses. */
static int64_t find_turn_end(const reader *r) {
    const int64_t eos = r->ids[ROLE_EOS];
    const int64_t named = find_text(r, r->texts[ROLE_EOS]);
    if (named != QN_NO_TOKEN && named != eos) {
        return named;
    }
    for (size_t i = 0; i < sizeof turn_ends / sizeof turn_ends[0]; i++) {
        const int64_t id = find_text(r, turn_ends[i]);
        if (id != QN_NO_TOKEN && template_has(r->vocab, turn_ends[i])) {
            return id == eos ? QN_NO_TOKEN : id;
        }
    }
    return QN_NO_TOKEN;
}

static int compare_ids(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a;
    const int32_t y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static void add_end(qn_vocab *vocab, int32_t *ids, uint64_t cap, int64_t id) {
    for (uint64_t i = 0; i < vocab->n_eos_ids; i++) {
        if (ids[i] == id) {
            return;
        }
    }
    if (id != QN_NO_TOKEN && vocab->n_eos_ids < cap) {
        ids[vocab->n_eos_ids++] = (int32_t)id;
    }
}

static void add_listed_ends(const reader *r, const json_t *value, const char *where, int32_t *ids, uint64_t cap) {
    const json_t *entry = NULL;
    size_t i = 0;
    if (!json_is_array(value)) {
        add_end(r->vocab, ids, cap, check_id(r, value, where, "eos_token_id"));
        return;
    }
    json_array_foreach(value, i, entry) {
        add_end(r->vocab, ids, cap, check_id(r, entry, where, "eos_token_id"));
    }
}

static qn_status collect_ends(reader *r, qn_arena *arena, qn_error *err) {
    enum { MAX_ENDS = 64 };
    int32_t *ids = qn_arena_array(arena, MAX_ENDS, sizeof *ids);
    const json_t *config = r->request->config;
    if (ids == NULL) {
        return qn_fail_nomem(err, "end ids", MAX_ENDS * sizeof *ids);
    }
    r->vocab->n_eos_ids = 0;
    add_end(r->vocab, ids, MAX_ENDS, r->vocab->eos);
    add_end(r->vocab, ids, MAX_ENDS, r->vocab->eot);
    add_end(r->vocab, ids, MAX_ENDS, r->vocab->eom);
    add_listed_ends(r, json_object_get(config, "eos_token_id"), "config.json", ids, MAX_ENDS);
    add_listed_ends(r, json_object_get(json_object_get(config, "text_config"), "eos_token_id"), "config.json", ids,
                    MAX_ENDS);
    add_listed_ends(r, json_object_get(r->files->generation, "eos_token_id"), "generation_config.json", ids, MAX_ENDS);
    qsort(ids, (size_t)r->vocab->n_eos_ids, sizeof *ids, compare_ids);
    r->vocab->eos_ids = ids;
    return QN_OK;
}

/* ---- families with ids of their own ---- */

static int64_t id_with_text(const qn_vocab *vocab, uint64_t id, const char *text) {
    return id < vocab->n_tokens && qn_text_is(vocab->tokens[id], text) ? (int64_t)id : QN_NO_TOKEN;
}

static int64_t id_within(const qn_vocab *vocab, int64_t id) {
    return (uint64_t)id < vocab->n_tokens ? id : QN_NO_TOKEN;
}

/* Fill-in-the-middle ids that no file names: Gemma 1, and Code Llama by its size. */
static void set_fim(const reader *r) {
    qn_vocab *v = r->vocab;
    if (r->request->traits != NULL && r->request->traits->gemma1_fim) {
        v->fim_pre = id_within(v, 67);
        v->fim_mid = id_within(v, 68);
        v->fim_suf = id_within(v, 69);
        v->fim_sep = id_within(v, 70);
        v->eot = id_within(v, 107);
    } else if (v->n_tokens == 32016 && strcmp(v->model, "llama") == 0) {
        v->fim_pre = id_with_text(v, 32007, "\xE2\x96\x81<PRE>");
        v->fim_suf = id_with_text(v, 32008, "\xE2\x96\x81<SUF>");
        v->fim_mid = id_with_text(v, 32009, "\xE2\x96\x81<MID>");
        if (v->eot == QN_NO_TOKEN) {
            v->eot = id_with_text(v, 32010, "\xE2\x96\x81<EOT>");
        }
    }
}

/* ---- flags ---- */

static void read_flag(const json_t *config, const char *key, int *out) {
    bool value = false;
    if (qn_json_bool(config, key, &value)) {
        *out = value ? 1 : 0;
    }
}

/* Byte-level vocabularies say whether they add: the defaults of their names are not known to every reader. */
static void settle_flags(const reader *r) {
    qn_vocab *v = r->vocab;
    read_flag(r->files->config, "add_bos_token", &v->add_bos);
    read_flag(r->files->config, "add_eos_token", &v->add_eos);
    read_flag(r->files->config, "add_sep_token", &v->add_sep);
    if (strcmp(v->model, "gpt2") == 0) {
        if (v->add_bos < 0) {
            v->add_bos = v->bos != QN_NO_TOKEN && qn_pretokenizer_adds_bos(v->pre) ? 1 : 0;
        }
        if (v->add_eos < 0) {
            v->add_eos = 0;
        }
    }
}

static void publish_ids(const reader *r) {
    qn_vocab *v = r->vocab;
    v->bos = r->ids[ROLE_BOS];
    v->eos = r->ids[ROLE_EOS];
    v->unk = r->ids[ROLE_UNK];
    v->sep = r->ids[ROLE_SEP];
    v->pad = r->ids[ROLE_PAD];
    v->mask = r->ids[ROLE_MASK];
    v->eot = r->ids[ROLE_EOT];
    v->eom = r->ids[ROLE_EOM];
    if (v->eot == QN_NO_TOKEN) {
        v->eot = find_turn_end(r);
    }
    v->fim_pre = v->fim_suf = v->fim_mid = v->fim_pad = v->fim_rep = v->fim_sep = QN_NO_TOKEN;
}

qn_status qn_read_special_ids(const qn_vocab_request *request, const qn_vocab_sources *files, qn_arena *arena,
                              qn_vocab *out, qn_error *err) {
    reader r = {.request = request, .files = files, .vocab = out};
    out->add_bos = out->add_eos = out->add_sep = -1;
    QN_TRY(qn_text_index_open(&r.index, out->tokens, out->n_tokens, err));
    for (int role = 0; role < N_ROLES; role++) {
        r.texts[role] = qn_token_attribute(files->config, text_keys[role]);
    }
    read_post_processor(&r);
    find_ids(&r);
    publish_ids(&r);
    set_fim(&r);
    settle_flags(&r);
    const qn_status status = collect_ends(&r, arena, err);
    qn_text_index_clear(&r.index);
    return status;
}
