/* SPDX-License-Identifier: MIT */
/* chat_render.h: messages to a prompt, by the chat template that a model brings along. */
#ifndef QUERN_TEXT_CHAT_RENDER_H
#define QUERN_TEXT_CHAT_RENDER_H

#include "container/metadata.h"
#include "text/jinja.h"

/** A conversation to be rendered. All borrowed. */
typedef struct qn_chat_request {
    const qn_meta *meta;        /**< a model's metadata: tokenizer.chat_template* and the special tokens */
    const json_t *messages;     /**< a list of {role, content, tool_calls, …} */
    const json_t *tools;        /**< a list of tools, or NULL */
    const json_t *variables;    /**< more variables for the template (enable_thinking, …), or NULL; they come last */
    bool add_generation_prompt; /**< end where the assistant speaks */
    const char *template_name;  /**< tokenizer.chat_template.NAME; NULL: "tool_use" for tools if there is one, else the
                                    main template */
    const qn_jinja_limits *limits; /**< NULL for the defaults */
} qn_chat_request;

/**
 * Renders messages with the model's chat template, or with ChatML's when it has none. The template knows messages,
 * tools, add_generation_prompt, and bos_token, eos_token, … as far as the metadata name them (bos and eos as empty
 * texts when not).
 * @param out  appended to; left as it was when the call fails
 * @param note out: NULL, or a remark for the user in static storage (that ChatML stands in). May be NULL
 * @return QN_OK; QN_E_NOT_FOUND (no template of that name); else as qn_jinja_parse() and qn_jinja_render()
 */
QN_NODISCARD qn_status qn_chat_render(const qn_chat_request *request, qn_buffer *out, const char **note, qn_error *err);

/** The text of a model's special token by its id's key ("tokenizer.ggml.bos_token_id"); bytes NULL when unknown. */
qn_text qn_chat_token(const qn_meta *meta, const char *key);

#endif
