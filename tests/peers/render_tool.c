/* SPDX-License-Identifier: MIT */
/*
 * render_tool.c: `render_tool TEMPLATE CONTEXTS.json`: renders a chat template with each context of a JSON list, and
 * prints a list of {"text": …} or {"error": …, "status": …} in the same order. Exit 1 when nothing could be read.
 */
#include "base/file.h"
#include "text/jinja.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_BYTES = 64 << 20 };

static int fail(const qn_error *err) {
    (void)fprintf(stderr, "%s\n", err->message);
    return 1;
}

static json_t *answer(qn_status status, const qn_buffer *out, const qn_error *err) {
    if (status != QN_OK) {
        return json_pack("{s:o, s:s}", "error", qn_json_text(err->message, strlen(err->message)), "status",
                         qn_status_name(status));
    }
    return json_pack("{s:o}", "text", qn_json_text(out->data == NULL ? "" : (const char *)out->data, out->len));
}

int main(int argc, char **argv) {
    char *text = NULL;
    size_t n = 0;
    json_t *contexts = NULL;
    qn_jinja *jinja = NULL;
    qn_error err = {QN_OK, ""};
    if (argc != 3) {
        (void)fprintf(stderr, "usage: render_tool TEMPLATE CONTEXTS.json\n");
        return 2;
    }
    if (qn_read_text(argv[1], MAX_BYTES, &text, &n, &err) != QN_OK ||
        qn_json_load(argv[2], MAX_BYTES, &contexts, &err) != QN_OK) {
        return fail(&err);
    }
    json_t *answers = json_array();
    const qn_status parsed = qn_jinja_parse(text, n, &jinja, &err);
    for (size_t i = 0; i < json_array_size(contexts); i++) {
        qn_buffer out = {0};
        qn_status status = parsed;
        if (parsed == QN_OK) {
            status = qn_jinja_render(jinja, json_array_get(contexts, i), NULL, &out, &err);
        }
        (void)json_array_append_new(answers, answer(status, &out, &err));
        qn_buffer_clear(&out);
    }
    (void)json_dumpf(answers, stdout, JSON_INDENT(0));
    json_decref(answers);
    json_decref(contexts);
    qn_jinja_free(jinja);
    free(text);
    return 0;
}
