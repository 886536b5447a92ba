/* SPDX-License-Identifier: MIT */
/* document.c: the library's answers are JSON; these accessors let printing code stay free of checks. */
#include "cli/document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

qn_status qn_document_parse(const char *text, json_t **out, qn_error *err) {
    return qn_json_parse("libquern's answer", text, strlen(text), out, err);
}

void qn_document_print(char *text) {
    (void)puts(text);
    free(text);
}

char *qn_document_line(char *text) {
    char *to = text;
    for (const char *from = text; *from != '\0'; from++) {
        if (*from == '\n') {
            from += strspn(from + 1, " ");
        } else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return text;
}

const char *qn_field_text(const json_t *object, const char *key) {
    const char *text = qn_json_string(object, key);
    return text == NULL ? "" : text;
}

uint64_t qn_field_u64(const json_t *object, const char *key) {
    uint64_t v = 0;
    return qn_json_u64(object, key, &v) ? v : 0;
}

double qn_field_f64(const json_t *object, const char *key) {
    double v = 0;
    return qn_json_f64(object, key, &v) ? v : 0;
}

bool qn_field_is(const json_t *object, const char *key) {
    bool v = false;
    return qn_json_bool(object, key, &v) && v;
}
