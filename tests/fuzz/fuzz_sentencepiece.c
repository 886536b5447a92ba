/* SPDX-License-Identifier: MIT */
/* fuzz_sentencepiece.c: any bytes as a SentencePiece model: refused, or tokens with unique texts. */
#include "text/vocab_parts.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    qn_arena *arena = qn_arena_new();
    qn_spm_facts facts = {0};
    qn_error err = {0};
    qn_text_index index = {0};
    if (arena == NULL) {
        return 0;
    }
    qn_token_list list = qn_token_list_new(arena);
    /* The first byte chooses a limit, as a small embedding would. */
    const uint64_t n_max = size > 0 && data[0] < 8 ? data[0] : 0;
    if (qn_spm_read("fuzz.model", data, size, n_max, &list, &facts, &err) == QN_OK &&
        qn_token_list_finish(&list, list.n + 3, "fuzz.model", NULL, &err) == QN_OK &&
        qn_text_index_open(&index, list.texts, list.n, &err) == QN_OK) {
        for (uint64_t i = 0; i < list.n; i++) {
            const int64_t found = qn_text_index_find(&index, list.texts[i]);
            if (list.texts[i].len > 0 && found != (int64_t)i) {
                abort(); /* two tokens of one text */
            }
        }
    }
    qn_text_index_clear(&index);
    qn_token_list_clear(&list);
    qn_arena_free(arena);
    return 0;
}
