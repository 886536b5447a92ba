/* SPDX-License-Identifier: MIT */
/* fuzz_json.c: any bytes as JSON with Python's bare words: refused, or what was read can be written and read again. */
#include "base/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *value = NULL;
    json_t *again = NULL;
    qn_error err = {0};
    const qn_status status = qn_json_parse("fuzz.json", (const char *)data, size, &value, &err);
    if (status != QN_OK) {
        if (err.status != status || err.message[0] == '\0') {
            abort();
        }
        return 0;
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    if (text != NULL && qn_json_parse("again", text, strlen(text), &again, &err) != QN_OK) {
        abort();
    }
    json_decref(again);
    json_decref(value);
    free(text);
    return 0;
}
