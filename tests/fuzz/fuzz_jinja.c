/* SPDX-License-Identifier: MIT */
/* fuzz_jinja.c: any bytes as a chat template: refused with a message, or rendered within small limits, twice alike. */
#include "text/jinja.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char context_text[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},{\"role\":\"user\""
    ",\"content\":\"H\\u00e9, \\u4f60 x\"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"function\":{\"name\":\"f\""
    ",\"arguments\":{\"a\":[1,2.5,true]}}}]}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}],\"add_generation_prompt\":true,"
    "\"bos_token\":\"<s>\","
    "\"n\":7,\"x\":0.5,\"e\":[],\"d\":{\"k\":1,\"l\":\"v\"}}";

/* Keeps the messages of both renderings apart: they must be equal, too. */
static qn_status render(const qn_jinja *jinja, const json_t *context, qn_buffer *out, qn_error *err) {
    const qn_jinja_limits limits = {.max_steps = 20000, .max_bytes = 1 << 20, .max_depth = 200, .unix_time = 86400};
    const qn_status status = qn_jinja_render(jinja, context, &limits, out, err);
    if (status != QN_OK && (err->status != status || err->message[0] == '\0' || out->len != 0)) {
        abort();
    }
    if (out->len > 1 << 21) {
        abort();
    }
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qn_jinja *jinja = NULL;
    json_t *context = NULL;
    qn_error err = {0};
    qn_buffer first = {0};
    qn_buffer second = {0};
    if (size > 1 << 14) {
        return 0;
    }
    if (qn_jinja_parse((const char *)data, size, &jinja, &err) != QN_OK) {
        if (err.message[0] == '\0') {
            abort();
        }
        return 0;
    }
    if (qn_json_parse("context", context_text, sizeof context_text - 1, &context, &err) != QN_OK) {
        abort();
    }
    const qn_status status = render(jinja, context, &first, &err);
    if (render(jinja, context, &second, &err) != status || first.len != second.len ||
        (first.len > 0 && memcmp(first.data, second.data, first.len) != 0)) {
        abort();
    }
    qn_buffer_clear(&first);
    qn_buffer_clear(&second);
    json_decref(context);
    qn_jinja_free(jinja);
    return 0;
}
