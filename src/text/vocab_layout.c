/* SPDX-License-Identifier: MIT */
/* vocab_layout.c: which tokens of a vocabulary go into which tokenizer file.
 *
 * Published tokenizers have a trained base and added tokens behind it, told of in lists of their own; a GGUF file has
 * one array. The layout is found again from types and texts. The tokenizers library numbers added tokens by itself,
 * from the size of model.vocab on, unless they stand there: so they do as soon as an id below is missing.
 */
#include "text/vocab_writing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What padding and added tokens are scored with; see token_list.c and added_tokens.c. */
static const float PAD_SCORE = -10000.0F;
static const float ADDED_SCORE = -1000.0F;

/* "[PAD<id>]" of type unused, as padding is made when a model is packed. */
static bool is_padding(const qn_vocab_layout *l, uint64_t id) {
    char text[32];
    const qn_vocab *v = l->vocab;
    if (v->types[id] != QN_TOKEN_UNUSED || (l->is_spm && v->scores[id] != PAD_SCORE)) {
        return false;
    }
    (void)snprintf(text, sizeof text, "[PAD%llu]", (unsigned long long)id);
    return qn_text_is(v->tokens[id], text);
}

/* Texts that a JSON object cannot have as a name, or that cannot be a token there. */
static bool is_unwritable(qn_text text) {
    return text.len == 0 || memchr(text.bytes, 0, text.len) != NULL;
}

static bool has_mark(qn_text text) {
    for (size_t i = 0; i + 3 <= text.len; i++) {
        if (memcmp(text.bytes + i, "\xE2\x96\x81", 3) == 0) {
            return true;
        }
    }
    return false;
}

qn_listing qn_layout_listing(const qn_vocab_layout *l, uint64_t id) {
    const qn_vocab *v = l->vocab;
    const int32_t type = v->types[id];
    if (type != QN_TOKEN_CONTROL && type != QN_TOKEN_USER_DEFINED) {
        return QN_LISTED_NOWHERE;
    }
    if (!l->is_spm) {
        return QN_LISTED_CONFIG;
    }
    if (type == QN_TOKEN_USER_DEFINED) { /* the configuration's tokens are re-typed by look and have plain spaces */
        const qn_text text = v->tokens[id];
        return has_mark(text) || qn_looks_special(text.bytes, text.len) ? QN_LISTED_ADDED : QN_LISTED_CONFIG;
    }
    /* Listing a control token sets its score. SentencePiece wants the unknown one's piece to be of that type. */
    return v->scores[id] == ADDED_SCORE || (int64_t)id == v->unk ? QN_LISTED_CONFIG : QN_LISTED_NOWHERE;
}

bool qn_layout_is_added(const qn_vocab_layout *l, uint64_t id) {
    const int32_t type = l->vocab->types[id];
    return id < l->n_kept && !is_unwritable(l->vocab->tokens[id]) &&
        (type == QN_TOKEN_CONTROL || type == QN_TOKEN_USER_DEFINED || (l->is_spm && type == QN_TOKEN_UNKNOWN));
}

/* Whether an id has no token in tokenizer.json. */
static bool is_hole(const qn_vocab_layout *l, uint64_t id) {
    return is_unwritable(l->vocab->tokens[id]) || ((!l->is_spm || id >= l->n_base) && is_padding(l, id));
}

bool qn_layout_has_entry(const qn_vocab_layout *l, uint64_t id) {
    return id < l->n_kept && !is_hole(l, id) && (id < l->n_base || l->has_holes);
}

static void find_bounds(qn_vocab_layout *l) {
    l->n_kept = l->vocab->n_tokens;
    while (l->n_kept > 0 && is_padding(l, l->n_kept - 1)) {
        l->n_kept--;
    }
    l->n_base = l->n_kept;
    while (l->n_base > 0 &&
           (is_padding(l, l->n_base - 1) || qn_layout_listing(l, l->n_base - 1) != QN_LISTED_NOWHERE)) {
        l->n_base--;
    }
    for (uint64_t id = 0; id < l->n_kept; id++) {
        l->has_holes = l->has_holes || is_hole(l, id);
    }
}

/* Whether a text is UTF-8: then making JSON of it changes nothing. */
static qn_status check_utf8(uint64_t id, qn_text text, qn_error *err) {
    json_t *made = qn_json_of_text(text);
    if (made == NULL) {
        return qn_fail_nomem(err, "token", text.len);
    }
    const bool is_same = json_string_length(made) == text.len &&
        (text.len == 0 || memcmp(json_string_value(made), text.bytes, text.len) == 0);
    json_decref(made);
    return is_same ? QN_OK
                   : qn_fail(err, QN_E_FORMAT, "metadata: the text of token %llu is not UTF-8: JSON cannot hold it",
                             (unsigned long long)id);
}

static qn_status check_texts(const qn_vocab_layout *l, qn_error *err) {
    const qn_vocab *v = l->vocab;
    for (uint64_t id = 0; id < v->n_tokens; id++) {
        const qn_text text = v->tokens[id];
        QN_TRY(check_utf8(id, text, err));
        const int64_t first = text.len == 0 ? (int64_t)id : qn_text_index_find(&l->index, text);
        if (first != (int64_t)id) {
            return qn_fail(err, QN_E_FORMAT, "metadata: tokens %lld and %llu are both '%.*s'; texts must be unique",
                           (long long)first, (unsigned long long)id, (int)(text.len > 64 ? 64 : text.len), text.bytes);
        }
    }
    return QN_OK;
}

/* Whether an id that a merge needs stands in tokenizer.json; an added token must stand in model.vocab then. */
static bool is_merge_part(qn_vocab_layout *l, int64_t id) {
    if (id == QN_NO_TOKEN || (uint64_t)id >= l->n_kept || is_hole(l, (uint64_t)id)) {
        return false;
    }
    l->has_holes = l->has_holes || (uint64_t)id >= l->n_base;
    return true;
}

/* The tokenizers library does not load a file with a merge of, or to, something that is no token. */
static qn_status check_merge(qn_vocab_layout *l, uint64_t i, qn_text merge, char *joined, qn_error *err) {
    const size_t right = qn_merge_right_part(merge.bytes, merge.len);
    bool is_good = right != 0;
    if (is_good) {
        memcpy(joined, merge.bytes, right - 1);
        memcpy(joined + right - 1, merge.bytes + right, merge.len - right);
        is_good = is_merge_part(l, qn_text_index_find(&l->index, (qn_text){merge.bytes, right - 1})) &&
            is_merge_part(l, qn_text_index_find(&l->index, (qn_text){merge.bytes + right, merge.len - right})) &&
            is_merge_part(l, qn_text_index_find(&l->index, (qn_text){joined, merge.len - 1}));
    }
    return is_good ? QN_OK
                   : qn_fail(err, QN_E_FORMAT,
                             "metadata: tokenizer.ggml.merges[%llu], '%.*s', is not two tokens that "
                             "form a third",
                             (unsigned long long)i, (int)(merge.len > 64 ? 64 : merge.len), merge.bytes);
}

static qn_status check_merges(qn_vocab_layout *l, qn_error *err) {
    const qn_vocab *v = l->vocab;
    size_t longest = 0;
    for (uint64_t i = 0; i < v->n_merges; i++) {
        longest = v->merges[i].len > longest ? v->merges[i].len : longest;
    }
    char *joined = qn_new_array(longest + 1, 1);
    if (joined == NULL) {
        return qn_fail_nomem(err, "merge", longest);
    }
    qn_status status = QN_OK;
    for (uint64_t i = 0; i < v->n_merges && status == QN_OK; i++) {
        status = check_merge(l, i, v->merges[i], joined, err);
    }
    free(joined);
    return status;
}

qn_status qn_vocab_layout_open(const qn_vocab *vocab, qn_vocab_layout *out, qn_error *err) {
    *out = (qn_vocab_layout){.vocab = vocab, .is_spm = vocab->scores != NULL};
    QN_TRY(qn_text_index_open(&out->index, vocab->tokens, vocab->n_tokens, err));
    QN_TRY(check_texts(out, err));
    find_bounds(out);
    if (out->n_base == 0) {
        return qn_fail(err, QN_E_FORMAT, "metadata: the vocabulary has no tokens but control tokens and padding");
    }
    return check_merges(out, err);
}

void qn_vocab_layout_clear(qn_vocab_layout *layout) {
    qn_text_index_clear(&layout->index);
}
