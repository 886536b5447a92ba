/* SPDX-License-Identifier: MIT */
/* vocab_files.c: which tokenizer files a vocabulary becomes, one after the other. */
#include "text/vocab_files.h"

#include "text/vocab_writing.h"

typedef struct file_list {
    qn_vocab_file *files;
    uint64_t n;
} file_list;

/* Files without bytes are those that this vocabulary does not need. */
static void add(file_list *list, const char *name, qn_text bytes) {
    if (bytes.bytes != NULL) {
        list->files[list->n++] = (qn_vocab_file){name, bytes};
    }
}

static uint64_t context_length(const qn_meta *meta, qn_arena *arena) {
    uint64_t n = 0;
    const char *architecture = qn_meta_string(meta, "general.architecture");
    const char *key = architecture == NULL ? NULL : qn_arena_printf(arena, "%s.context_length", architecture);
    return key != NULL && qn_meta_u64(meta, key, &n) ? n : 0;
}

static qn_status make_files(const qn_vocab_layout *l, uint64_t n_context, qn_arena *arena, file_list *list,
                            qn_error *err) {
    qn_text bytes = {NULL, 0};
    QN_TRY(qn_tokenizer_json(l, arena, &bytes, err));
    add(list, "tokenizer.json", bytes);
    if (l->is_spm) {
        QN_TRY(qn_spm_write(l, arena, &bytes, err));
        add(list, "tokenizer.model", bytes);
        QN_TRY(qn_added_tokens_json(l, arena, &bytes, err));
        add(list, "added_tokens.json", bytes);
    }
    QN_TRY(qn_tokenizer_config(l, n_context, arena, &bytes, err));
    add(list, "tokenizer_config.json", bytes);
    QN_TRY(qn_special_tokens_map(l->vocab, arena, &bytes, err));
    add(list, "special_tokens_map.json", bytes);
    QN_TRY(qn_generation_config(l->vocab, arena, &bytes, err));
    add(list, "generation_config.json", bytes);
    if (l->vocab->n_templates == 0) { /* the file would hide a list of named ones */
        add(list, "chat_template.jinja", l->vocab->chat_template);
    }
    return QN_OK;
}

qn_status qn_vocab_files(const qn_meta *meta, qn_arena *arena, qn_vocab_file *files, uint64_t *n, qn_error *err) {
    qn_vocab vocab;
    qn_vocab_layout layout = {0};
    file_list list = {.files = files};
    *n = 0;
    QN_TRY(qn_vocab_from_meta(meta, arena, &vocab, err));
    qn_status status = qn_vocab_layout_open(&vocab, &layout, err);
    if (status == QN_OK) {
        status = make_files(&layout, context_length(meta, arena), arena, &list, err);
    }
    qn_vocab_layout_clear(&layout);
    *n = status == QN_OK ? list.n : 0;
    return status;
}
