/* SPDX-License-Identifier: MIT */
/* fuzz_tokenizer_json.c: any JSON as tokenizer.json, tokenizer_config.json and config.json at once. */
#include "text/vocab_parts.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What qn_vocab_open() does with a document that has been found. */
static qn_status read_all(json_t *document, qn_arena *arena, qn_token_list *list, qn_error *err) {
    static const char *const no_dirs[1] = {NULL};
    const qn_vocab_request request = {.dirs = no_dirs, .config = document};
    const qn_vocab_sources files = {.kind = QN_VOCAB_JSON,
                                    .path = "fuzz.json",
                                    .tokenizer_path = "fuzz.json",
                                    .tokenizer = document,
                                    .config_path = "fuzz.json",
                                    .config = document,
                                    .config_has_tokens = true,
                                    .added_path = "fuzz.json",
                                    .added = json_object_get(document, "added"),
                                    .special_map = document,
                                    .generation = document};
    qn_merges merges = {0};
    qn_vocab vocab = {.model = "gpt2", .pre = "default", .source = "fuzz.json"};
    const char *name = NULL;
    if (qn_pretokenizer_recognise(document, "fuzz.json", &name, err) == QN_OK) {
        vocab.pre = name;
    }
    QN_TRY(qn_bpe_read_tokens(document, "fuzz.json", list, err));
    QN_TRY(qn_bpe_read_merges(document, "fuzz.json", arena, &merges, err));
    if (qn_is_spm_json(document)) {
        QN_TRY(qn_bpe_score(document, &merges, list, err));
        vocab.add_space_prefix = qn_json_space_prefix(document);
    }
    QN_TRY(qn_put_all_added(&files, list, err));
    QN_TRY(qn_token_list_finish(list, list->n, "fuzz.json", NULL, err));
    vocab.tokens = list->texts;
    vocab.types = list->types;
    vocab.n_tokens = list->n;
    vocab.merges = merges.items;
    vocab.n_merges = merges.n;
    QN_TRY(qn_read_chat_templates(&request, arena, &vocab, err));
    QN_TRY(qn_read_special_ids(&request, &files, arena, &vocab, err));
    qn_meta meta = qn_meta_new(arena);
    qn_vocab_to_meta(&vocab, &meta);
    return qn_meta_status(&meta, err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    json_t *document = NULL;
    qn_error err = {0};
    qn_arena *arena = qn_arena_new();
    if (arena == NULL) {
        return 0;
    }
    qn_token_list list = qn_token_list_new(arena);
    if (qn_json_parse("fuzz.json", size == 0 ? "" : (const char *)data, size, &document, &err) == QN_OK) {
        (void)(read_all(document, arena, &list, &err) == QN_OK);
    }
    json_decref(document);
    qn_token_list_clear(&list);
    qn_arena_free(arena);
    return 0;
}
