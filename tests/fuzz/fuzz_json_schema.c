/* SPDX-License-Identifier: MIT */
/*
 * fuzz_json_schema.c: any bytes as a JSON schema: refused with a message, or a grammar whose texts are JSON.
 *
 * What stands before the first NUL is the schema; the bytes behind it choose a text of the grammar.
 */
#include "base/json.h"
#include "engine/grammar.h"
#include "engine/json_schema.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_SCHEMA = 1 << 12, MAX_TEXT = 1 << 9 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) {
        abort();
    }
}

/* Writes what the choices lead to: each byte, or the next that can stand there. @return whether the text is whole */
static bool write_text(qn_grammar_walk *w, const uint8_t *choices, size_t n, char *text, size_t *n_text) {
    *n_text = 0;
    while (*n_text < MAX_TEXT) {
        const unsigned choice = n == 0 ? 0x22 : choices[*n_text % n];
        unsigned tries = 0;
        if (qn_grammar_must_end(w)) {
            return true;
        }
        while (tries < 256 && !qn_grammar_push(w, (unsigned char)(choice + tries))) {
            tries++;
        }
        if (tries == 256) {
            return qn_grammar_may_end(w);
        }
        text[(*n_text)++] = (char)(unsigned char)(choice + tries);
        qn_grammar_commit(w);
    }
    return qn_grammar_may_end(w);
}

/* Jansson takes no "\u0000", and no integers that its own conversion cannot hold. */
static bool is_beyond_parser(const char *text, size_t n) {
    for (size_t i = 0; i + 6 <= n; i++) {
        if (memcmp(text + i, "\\u0000", 6) == 0) {
            return true;
        }
    }
    return false;
}

static void try_grammar(const char *text, const uint8_t *choices, size_t n) {
    qn_grammar *grammar = NULL;
    qn_grammar_walk *w = NULL;
    qn_error err = {QN_OK, ""};
    const qn_status status = qn_grammar_parse(text, strlen(text), &grammar, &err);
    if (status != QN_OK) {
        require(status == QN_E_RANGE || strstr(err.message, "left-recursive") != NULL);
        return;
    }
    if (qn_grammar_walk_new(grammar, &w, &err) == QN_OK) {
        char document[MAX_TEXT + 1];
        size_t n_document = 0;
        if (write_text(w, choices, n, document, &n_document) && qn_grammar_walk_status(w, &err) == QN_OK &&
            !is_beyond_parser(document, n_document)) {
            json_t *value = NULL;
            require(qn_json_parse("document", document, n_document, &value, &err) == QN_OK);
            json_decref(value);
        }
    }
    qn_grammar_walk_free(w);
    qn_grammar_free(grammar);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *end = size == 0 ? NULL : memchr(data, 0, size);
    const size_t n = end == NULL ? size : (size_t)(end - data);
    char *text = NULL;
    qn_error err = {QN_OK, ""};
    if (n > MAX_SCHEMA) {
        return 0;
    }
    if (qn_json_schema_to_grammar(size == 0 ? "" : (const char *)data, n, &text, &err) != QN_OK) {
        require(err.message[0] != '\0');
        return 0;
    }
    const uint8_t *choices = end == NULL ? data + size : end + 1;
    try_grammar(text, choices, size - (size_t)(choices - data));
    free(text);
    return 0;
}
