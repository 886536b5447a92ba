/* SPDX-License-Identifier: MIT */
/* tokenizer_config.c: the small files beside a tokenizer: special tokens by role, end ids, the chat template. */
#include "text/vocab_writing.h"

#include <string.h>

/* Sets object[key] to a new reference. @return false when memory is short */
static bool put(json_t *object, const char *key, json_t *value) {
    return json_object_set_new(object, key, value) == 0;
}

static bool put_flag(json_t *object, const char *key, bool value) {
    return put(object, key, json_boolean(value));
}

/* The tokens with a role, by text. */
static bool put_roles(json_t *object, const qn_vocab *v, bool has_turn_ends) {
    const struct {
        const char *key;
        int64_t id;
    } roles[] = {{"bos_token", v->bos}, {"eos_token", v->eos},   {"unk_token", v->unk}, {"sep_token", v->sep},
                 {"pad_token", v->pad}, {"mask_token", v->mask}, {"eot_token", v->eot}, {"eom_token", v->eom}};
    const size_t n = sizeof roles / sizeof roles[0] - (has_turn_ends ? 0 : 2);
    for (size_t i = 0; i < n; i++) {
        if (roles[i].id != QN_NO_TOKEN && !put(object, roles[i].key, qn_json_of_text(v->tokens[roles[i].id]))) {
            return false;
        }
    }
    return true;
}

static json_t *make_decoder(const qn_vocab_layout *l) {
    json_t *map = json_object();
    for (uint64_t id = 0; id < l->n_kept && map != NULL; id++) {
        char key[24];
        if (!qn_layout_is_added(l, id) || qn_layout_listing(l, id) != QN_LISTED_CONFIG) {
            continue;
        }
        (void)snprintf(key, sizeof key, "%llu", (unsigned long long)id);
        if (!put(map, key, qn_added_token_json(l, id, false))) {
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

static bool append_template(json_t *list, json_t *name, qn_text text) {
    return json_array_append_new(list, json_pack("{s:o, s:o}", "name", name, "template", qn_json_of_text(text))) == 0;
}

/* A text, or a list of named ones; *out is NULL without a template. @return false when memory is short */
static bool make_template(const qn_vocab *v, json_t **out) {
    const bool has_main = v->chat_template.bytes != NULL;
    *out = NULL;
    if (v->n_templates == 0) {
        *out = has_main ? qn_json_of_text(v->chat_template) : NULL;
        return !has_main || *out != NULL;
    }
    *out = json_array();
    bool is_whole = !has_main || append_template(*out, json_string("default"), v->chat_template);
    for (uint64_t i = 0; i < v->n_templates && is_whole; i++) {
        is_whole = append_template(*out, qn_json_of_text(v->templates[i].name), v->templates[i].text);
    }
    if (!is_whole) {
        json_decref(*out);
        *out = NULL;
    }
    return is_whole;
}

/* The flags; those that no default of a reader stands for only when the vocabulary says them. */
static bool put_flags(json_t *object, const qn_vocab_layout *l) {
    const qn_vocab *v = l->vocab;
    return put_flag(object, "add_bos_token", v->add_bos == 1) && put_flag(object, "add_eos_token", v->add_eos == 1) &&
        (v->add_sep < 0 || put_flag(object, "add_sep_token", v->add_sep == 1)) &&
        (v->add_space_prefix < 0 || put_flag(object, "add_prefix_space", v->add_space_prefix == 1)) &&
        put_flag(object, "clean_up_tokenization_spaces", false) && (!l->is_spm || put_flag(object, "legacy", true));
}

qn_status qn_tokenizer_config(const qn_vocab_layout *layout, uint64_t n_context, qn_arena *arena, qn_text *out,
                              qn_error *err) {
    const qn_vocab *v = layout->vocab;
    json_t *object = json_object();
    json_t *chat = NULL;
    bool is_whole = put_flags(object, layout) && put(object, "added_tokens_decoder", make_decoder(layout)) &&
        put_roles(object, v, true) && put(object, "tokenizer_class", json_string("PreTrainedTokenizerFast"));
    if (is_whole && n_context > 0 && n_context <= INT64_MAX) {
        is_whole = put(object, "model_max_length", json_integer((json_int_t)n_context));
    }
    is_whole = is_whole && make_template(v, &chat);
    if (is_whole && chat != NULL) {
        is_whole = put(object, "chat_template", chat);
    }
    if (!is_whole) {
        json_decref(object);
        object = NULL;
    }
    return qn_json_write(object, JSON_INDENT(2), arena, out, err);
}

qn_status qn_special_tokens_map(const qn_vocab *vocab, qn_arena *arena, qn_text *out, qn_error *err) {
    json_t *object = json_object();
    if (!put_roles(object, vocab, false)) {
        json_decref(object);
        object = NULL;
    }
    return qn_json_write(object, JSON_INDENT(2), arena, out, err);
}

static json_t *make_ends(const qn_vocab *v) {
    json_t *list = json_array();
    for (uint64_t i = 0; i < v->n_eos_ids && list != NULL; i++) {
        if (json_array_append_new(list, json_integer(v->eos_ids[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

qn_status qn_generation_config(const qn_vocab *vocab, qn_arena *arena, qn_text *out, qn_error *err) {
    json_t *object = json_object();
    bool is_whole = object != NULL;
    if (is_whole && vocab->bos != QN_NO_TOKEN) {
        is_whole = put(object, "bos_token_id", json_integer(vocab->bos));
    }
    if (is_whole && vocab->n_eos_ids > 0) {
        is_whole = put(object, "eos_token_id",
                       vocab->n_eos_ids == 1 ? json_integer(vocab->eos_ids[0]) : make_ends(vocab));
    }
    if (is_whole && vocab->pad != QN_NO_TOKEN) {
        is_whole = put(object, "pad_token_id", json_integer(vocab->pad));
    }
    if (!is_whole) {
        json_decref(object);
        object = NULL;
    }
    return qn_json_write(object, JSON_INDENT(2), arena, out, err);
}

qn_status qn_added_tokens_json(const qn_vocab_layout *layout, qn_arena *arena, qn_text *out, qn_error *err) {
    json_t *map = json_object();
    bool is_whole = map != NULL;
    *out = (qn_text){NULL, 0};
    for (uint64_t id = 0; id < layout->n_kept && is_whole; id++) {
        if (qn_layout_is_added(layout, id) && qn_layout_listing(layout, id) == QN_LISTED_ADDED) {
            is_whole = qn_json_set_id(map, layout->vocab->tokens[id], id);
        }
    }
    if (is_whole && json_object_size(map) == 0) {
        json_decref(map);
        return QN_OK;
    }
    if (!is_whole) {
        json_decref(map);
        map = NULL;
    }
    return qn_json_write(map, JSON_INDENT(2), arena, out, err);
}
