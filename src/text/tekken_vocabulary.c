/* SPDX-License-Identifier: MIT */
/* tekken_vocabulary.c: Mistral's tekken.json: control tokens first, then byte tokens by rank.
 *
 *     { "config": { "default_vocab_size", "default_num_special_tokens", … },
 *       "vocab": [ { "rank", "token_bytes": base64, … } ],
 *       "special_tokens": [ { "rank", "token_str", … } ] }
 */
#include "text/vocab_parts.h"

#include <stdio.h>
#include <string.h>

/* The first version of the format left the names of the control tokens to Mistral's program. */
static qn_status put_first_names(uint64_t n_special, qn_token_list *list, qn_error *err) {
    static const char *const names[] = {"<unk>",
                                        "<s>",
                                        "</s>",
                                        "[INST]",
                                        "[/INST]",
                                        "[AVAILABLE_TOOLS]",
                                        "[/AVAILABLE_TOOLS]",
                                        "[TOOL_RESULTS]",
                                        "[/TOOL_RESULTS]",
                                        "[TOOL_CALLS]",
                                        "<pad>",
                                        "[PREFIX]",
                                        "[MIDDLE]",
                                        "[SUFFIX]"};
    for (uint64_t id = 0; id < n_special && id < sizeof names / sizeof names[0]; id++) {
        QN_TRY(qn_token_list_put(list, id, qn_text_of(names[id]), QN_TOKEN_CONTROL, 0.0F, err));
    }
    return QN_OK;
}

static qn_status put_controls(const json_t *tekken, const char *where, uint64_t n_special, qn_token_list *list,
                              qn_error *err) {
    const json_t *entry = NULL;
    size_t i = 0;
    for (uint64_t id = 0; id < n_special; id++) {
        char text[32];
        (void)snprintf(text, sizeof text, "<SPECIAL_%llu>", (unsigned long long)id);
        QN_TRY(qn_token_list_put(list, id, qn_text_of(text), QN_TOKEN_CONTROL, 0.0F, err));
    }
    if (!json_is_array(json_object_get(tekken, "special_tokens"))) {
        return put_first_names(n_special, list, err);
    }
    json_array_foreach(json_object_get(tekken, "special_tokens"), i, entry) {
        uint64_t rank = 0;
        const char *text = qn_json_string(entry, "token_str");
        if (text == NULL || !qn_json_u64(entry, "rank", &rank) || rank >= n_special) {
            return qn_fail(err, QN_E_FORMAT, "%s: special_tokens[%zu] needs token_str and a rank below %llu", where, i,
                           (unsigned long long)n_special);
        }
        QN_TRY(qn_token_list_put(list, rank, qn_text_of(text), QN_TOKEN_CONTROL, 0.0F, err));
    }
    return QN_OK;
}

static qn_status read_ranks(const json_t *vocab, const char *where, uint64_t n_max, qn_token_list *raw, qn_error *err) {
    const json_t *entry = NULL;
    size_t i = 0;
    json_array_foreach(vocab, i, entry) {
        uint64_t rank = 0;
        qn_text bytes;
        const json_t *text = json_object_get(entry, "token_bytes");
        if (!qn_json_u64(entry, "rank", &rank) || !json_is_string(text) ||
            !qn_base64_decode(raw->arena, json_string_value(text), json_string_length(text), &bytes)) {
            return qn_fail(err, QN_E_FORMAT, "%s: vocab[%zu] needs a rank and token_bytes in base64", where, i);
        }
        if (rank < n_max) {
            QN_TRY(qn_token_list_put(raw, rank, bytes, QN_TOKEN_NORMAL, 0.0F, err));
        }
    }
    return raw->n > 0 ? QN_OK : qn_fail(err, QN_E_FORMAT, "%s: vocab holds no tokens", where);
}

static qn_status put_ranks(const qn_token_list *raw, uint64_t n_special, qn_token_list *list, qn_error *err) {
    for (uint64_t rank = 0; rank < raw->n; rank++) {
        if (!qn_token_list_has(raw, rank)) {
            continue;
        }
        const qn_text shown = qn_byte_alphabet(list->arena, raw->texts[rank].bytes, raw->texts[rank].len);
        if (shown.bytes == NULL) {
            return qn_fail_nomem(err, "token", raw->texts[rank].len);
        }
        QN_TRY(qn_token_list_put(list, n_special + rank, shown, QN_TOKEN_NORMAL, 0.0F, err));
    }
    return QN_OK;
}

qn_status qn_tekken_read(const json_t *tekken, const char *where, qn_token_list *list, qn_merges *out, qn_error *err) {
    const json_t *config = json_object_get(tekken, "config");
    uint64_t n_special = 1000;
    uint64_t n_tokens = QN_MAX_TOKENS;
    (void)qn_json_u64(config, "default_num_special_tokens", &n_special);
    (void)qn_json_u64(config, "default_vocab_size", &n_tokens);
    if (n_special >= n_tokens || n_tokens > QN_MAX_TOKENS) {
        return qn_fail(err, QN_E_FORMAT, "%s: config: default_vocab_size %llu with %llu special tokens", where,
                       (unsigned long long)n_tokens, (unsigned long long)n_special);
    }
    QN_TRY(put_controls(tekken, where, n_special, list, err));
    qn_token_list raw = qn_token_list_new(list->arena);
    qn_status status = read_ranks(json_object_get(tekken, "vocab"), where, n_tokens - n_special, &raw, err);
    if (status == QN_OK) {
        status = put_ranks(&raw, n_special, list, err);
    }
    if (status == QN_OK) {
        status = qn_recover_merges(raw.texts, raw.n, true, list->arena, out, err);
    }
    qn_token_list_clear(&raw);
    return status;
}
