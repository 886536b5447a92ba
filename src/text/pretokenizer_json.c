/* SPDX-License-Identifier: MIT */
/* pretokenizer_json.c: the splitting rule that a GGUF file only names, spelled out for a tokenizer.json.
 *
 * The inverse of the recogniser in pretokenizer.c, from its own table, so that what is written is recognised again.
 */
#include "text/vocab_writing.h"

#include <string.h>

/* Names whose models normalise text to NFC. llama.cpp does not, and files say nothing of it. */
static bool normalizes(const char *name) {
    static const char *const names[] = {"qwen2", "qwen35", "command-r", "olmo", "mpt"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static json_t *byte_level(bool uses_regex) {
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 0, "trim_offsets", 1, "use_regex",
                     uses_regex ? 1 : 0);
}

/* One step as the recogniser writes it; NULL when memory is short. The table has no other kinds. */
static json_t *spell_step(const char *step) {
    const size_t n = strlen(QN_SPLIT_STEP);
    if (strncmp(step, QN_SPLIT_STEP, n) == 0) {
        return json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern", "Regex", step + n, "behavior",
                         "Isolated", "invert", 0);
    }
    if (strncmp(step, "Digits", 6) == 0) {
        return json_pack("{s:s, s:b}", "type", "Digits", "individual_digits", strcmp(step, "Digits") == 0);
    }
    if (strncmp(step, "Punctuation", 11) == 0) {
        return json_pack("{s:s, s:s}", "type", "Punctuation", "behavior", "Contiguous");
    }
    return byte_level(strcmp(step, "ByteLevel(regex)") == 0);
}

qn_status qn_pretokenizer_spell(const char *name, qn_pretokenizer_parts *out, qn_error *err) {
    const char *const *steps = qn_pretokenizer_steps(name);
    if (steps == NULL) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "metadata: tokenizer.ggml.pre is '%.60s', for which quern knows no definition that Hugging "
                       "Face's tokenizers could follow; take the tokenizer files of the original model",
                       name);
    }
    json_t *list = json_array();
    bool is_whole = list != NULL;
    for (size_t i = 0; is_whole && steps[i] != NULL; i++) {
        is_whole = json_array_append_new(list, spell_step(steps[i])) == 0;
    }
    json_t *made = NULL;
    if (is_whole && json_array_size(list) == 1) {
        made = json_incref(json_array_get(list, 0));
    } else if (is_whole) {
        made = json_pack("{s:s, s:O}", "type", "Sequence", "pretokenizers", list);
    }
    json_decref(list);
    *out = (qn_pretokenizer_parts){made, qn_pretokenizer_ignores_merges(name), normalizes(name)};
    return made == NULL ? qn_fail_nomem(err, "pre-tokenizer", 0) : QN_OK;
}
