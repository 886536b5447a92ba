/* SPDX-License-Identifier: MIT */
/* chat_render.c: picks a model's chat template, gives it the conversation and the special tokens, and renders. */
#include "text/chat_render.h"

#include <stdio.h>
#include <string.h>

enum { MAX_KEY = 160 };

/* ChatML, the form most models without a template were trained on. */
static const char chatml[] = "{% for message in messages %}{{ '<|im_start|>' ~ message['role'] ~ '\\n' ~ "
                             "(message['content'] or '') ~ '<|im_end|>\\n' }}{% endfor %}"
                             "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
static const char chatml_note[] = "the model has no chat template; ChatML stands in";

static const struct {
    const char *variable;
    const char *key;
    bool is_always_given;
} specials[] = {
    {"bos_token", "tokenizer.ggml.bos_token_id", true},
    {"eos_token", "tokenizer.ggml.eos_token_id", true},
    {"unk_token", "tokenizer.ggml.unknown_token_id", false},
    {"sep_token", "tokenizer.ggml.seperator_token_id", false}, /* GGUF's own spelling */
    {"pad_token", "tokenizer.ggml.padding_token_id", false},
    {"cls_token", "tokenizer.ggml.cls_token_id", false},
    {"mask_token", "tokenizer.ggml.mask_token_id", false},
};

qn_text qn_chat_token(const qn_meta *meta, const char *key) {
    uint64_t id = 0;
    const qn_meta_value *tokens = qn_meta_find(meta, "tokenizer.ggml.tokens");
    if (tokens == NULL || tokens->type != QN_META_ARRAY || tokens->as.array.type != QN_META_STRING ||
        !qn_meta_u64(meta, key, &id) || id >= tokens->as.array.n) {
        return (qn_text){NULL, 0};
    }
    return ((const qn_text *)tokens->as.array.items)[id];
}

static qn_text template_at(const qn_meta *meta, const char *key) {
    const qn_meta_value *value = qn_meta_find(meta, key);
    return value != NULL && value->type == QN_META_STRING ? value->as.text : (qn_text){NULL, 0};
}

/* The template's text and the name it goes by in messages. */
static qn_status pick_template(const qn_chat_request *request, qn_text *text, char *where, const char **note,
                               qn_error *err) {
    const char *name = request->template_name;
    const bool has_tools = json_array_size(request->tools) > 0;
    *note = NULL;
    (void)snprintf(where, MAX_KEY, "tokenizer.chat_template.%.100s", name == NULL ? "tool_use" : name);
    if (name != NULL && strcmp(name, "default") == 0) {
        name = NULL;
    } else if (name != NULL || has_tools) {
        *text = template_at(request->meta, where);
        if (text->bytes != NULL) {
            return QN_OK;
        }
    }
    if (name != NULL) {
        return qn_fail(err, QN_E_NOT_FOUND, "the model has no chat template '%.100s' (no key %s)", name, where);
    }
    (void)snprintf(where, MAX_KEY, "tokenizer.chat_template");
    *text = template_at(request->meta, where);
    if (text->bytes == NULL) {
        (void)snprintf(where, MAX_KEY, "ChatML's template");
        *text = qn_text_of(chatml);
        *note = chatml_note;
    }
    return QN_OK;
}

/* Lends a value to an object. @return false when memory is short */
static bool lend(json_t *object, const char *key, const json_t *value) {
    /* a reference is counted, the value stays as it is */
    return json_object_set(object, key, (json_t *)(uintptr_t)value) == 0;
}

static bool fill_context(const qn_chat_request *request, json_t *context) {
    bool is_ok = lend(context, "messages", request->messages);
    if (request->tools != NULL) {
        is_ok = is_ok && lend(context, "tools", request->tools);
    }
    is_ok = is_ok &&
        json_object_set_new(context, "add_generation_prompt", json_boolean(request->add_generation_prompt)) == 0;
    for (size_t i = 0; is_ok && i < sizeof specials / sizeof specials[0]; i++) {
        const qn_text text = qn_chat_token(request->meta, specials[i].key);
        if (text.bytes != NULL || specials[i].is_always_given) {
            is_ok = json_object_set_new(context, specials[i].variable,
                                        qn_json_text(text.bytes == NULL ? "" : text.bytes, text.len)) == 0;
        }
    }
    if (is_ok && request->variables != NULL) {
        is_ok = json_object_update(context, (json_t *)(uintptr_t)request->variables) == 0;
    }
    return is_ok;
}

qn_status qn_chat_render(const qn_chat_request *request, qn_buffer *out, const char **note, qn_error *err) {
    char where[MAX_KEY];
    const char *remark = NULL;
    qn_text text;
    qn_jinja *jinja = NULL;
    if (!json_is_array(request->messages)) {
        return qn_fail(err, QN_E_USAGE, "messages must be a list");
    }
    QN_TRY(pick_template(request, &text, where, &remark, err));
    json_t *context = json_object();
    if (context == NULL || !fill_context(request, context)) {
        json_decref(context);
        return qn_fail_nomem(err, "chat template", 0);
    }
    qn_jinja_limits limits = request->limits == NULL ? (qn_jinja_limits){0} : *request->limits;
    limits.where = limits.where == NULL ? where : limits.where;
    qn_status status = qn_jinja_parse(text.bytes, text.len, &jinja, err);
    if (status == QN_OK) {
        status = qn_jinja_render(jinja, context, &limits, out, err);
    }
    qn_jinja_free(jinja);
    json_decref(context);
    if (note != NULL) {
        *note = remark;
    }
    return status;
}
