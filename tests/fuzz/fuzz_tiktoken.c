/* SPDX-License-Identifier: MIT */
/* fuzz_tiktoken.c: any bytes as a tiktoken file, under both ways to recover merges, and as a merges.txt. */
#include "text/vocab_parts.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A merge has a space within it, and text on both sides. */
static void check_merges(const qn_merges *merges) {
    for (uint64_t i = 0; i < merges->n; i++) {
        const qn_text merge = merges->items[i];
        if (merge.len < 3 || memchr(merge.bytes + 1, ' ', merge.len - 2) == NULL) {
            abort();
        }
    }
}

static void read_as(const char *name, const char *text, size_t size) {
    qn_arena *arena = qn_arena_new();
    qn_merges merges = {0};
    qn_error err = {0};
    if (arena == NULL) {
        return;
    }
    qn_token_list list = qn_token_list_new(arena);
    if (qn_tiktoken_read(name, text, size, &list, &merges, &err) == QN_OK) {
        check_merges(&merges);
        if (qn_tiktoken_put_specials(name, &list, &err) == QN_OK) {
            (void)(qn_token_list_finish(&list, list.n, name, NULL, &err) == QN_OK);
        }
    }
    qn_token_list_clear(&list);
    qn_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *text = size == 0 ? "" : (const char *)data;
    qn_arena *arena = qn_arena_new();
    qn_merges merges = {0};
    qn_error err = {0};
    if (arena == NULL) {
        return 0;
    }
    (void)qn_is_tiktoken(text, size);
    read_as("tokenizer.model", text, size);
    read_as("fuzz.tiktoken", text, size);
    if (qn_bpe_read_merge_lines(text, size, arena, &merges, &err) == QN_OK) {
        check_merges(&merges);
    }
    qn_arena_free(arena);
    return 0;
}
