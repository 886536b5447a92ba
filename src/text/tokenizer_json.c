/* SPDX-License-Identifier: MIT */
/* tokenizer_json.c: makes the tokenizer.json of a vocabulary, for Hugging Face's tokenizers library.
 *
 * Byte-level vocabularies get their pre-tokenizer spelled out and their merges as they are. SentencePiece ones become
 * a BPE model with byte fallback whose merges come from the scores; spaces are written as U+2581, one is put before
 * each stretch of text between added tokens, as llama.cpp does.
 */
#include "base/buffer.h"
#include "text/vocab_writing.h"

#include <stdlib.h>
#include <string.h>

#define MARK "\xE2\x96\x81"

/* ---- pieces shared with tokenizer_config.c ---- */

json_t *qn_json_of_text(qn_text text) {
    return qn_json_text(text.len == 0 ? "" : text.bytes, text.len);
}

bool qn_json_set_id(json_t *object, qn_text text, uint64_t id) {
    return json_object_setn_new_nocheck(object, text.len == 0 ? "" : text.bytes, text.len,
                                        json_integer((json_int_t)id)) == 0;
}

json_t *qn_added_token_json(const qn_vocab_layout *layout, uint64_t id, bool has_id) {
    const qn_vocab *v = layout->vocab;
    /* RoBERTa's <mask> takes the space before it. Matching before normalisation changes nothing else here. */
    const bool takes_space = strcmp(v->pre, "roberta-bpe") == 0 && qn_text_is(v->tokens[id], "<mask>");
    json_t *token = json_object();
    if (has_id && json_object_set_new(token, "id", json_integer((json_int_t)id)) != 0) {
        json_decref(token);
        return NULL;
    }
    json_t *rest = json_pack("{s:o, s:b, s:b, s:b, s:b, s:b}", "content", qn_json_of_text(v->tokens[id]), "single_word",
                             0, "lstrip", takes_space ? 1 : 0, "rstrip", 0, "normalized", 0, "special",
                             v->types[id] != QN_TOKEN_USER_DEFINED);
    const bool is_whole = rest != NULL && json_object_update(token, rest) == 0;
    json_decref(rest);
    if (!is_whole) {
        json_decref(token);
        return NULL;
    }
    return token;
}

qn_status qn_json_write(json_t *document, size_t flags, qn_arena *arena, qn_text *out, qn_error *err) {
    qn_buffer b = {0};
    const bool is_dumped = qn_json_append(&b, document, flags);
    json_decref(document);
    qn_buffer_text(&b, "\n");
    char *copy = is_dumped && !b.has_failed ? qn_arena_copy(arena, b.data, b.len) : NULL;
    *out = (qn_text){copy, b.len};
    qn_buffer_clear(&b);
    return copy == NULL ? qn_fail_nomem(err, "JSON", out->len) : QN_OK;
}

/* ---- added tokens, vocabulary, merges ---- */

static json_t *make_added(const qn_vocab_layout *l) {
    json_t *list = json_array();
    for (uint64_t id = 0; id < l->n_kept && list != NULL; id++) {
        if (qn_layout_is_added(l, id) && json_array_append_new(list, qn_added_token_json(l, id, true)) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static json_t *make_vocab(const qn_vocab_layout *l) {
    json_t *map = json_object();
    for (uint64_t id = 0; id < l->n_kept && map != NULL; id++) {
        if (qn_layout_has_entry(l, id) && !qn_json_set_id(map, l->vocab->tokens[id], id)) {
            json_decref(map);
            return NULL;
        }
    }
    return map;
}

/* ["left", "right"] */
static json_t *make_pair(qn_text left, qn_text right) {
    json_t *pair = json_array();
    if (pair != NULL &&
        (json_array_append_new(pair, qn_json_of_text(left)) != 0 ||
         json_array_append_new(pair, qn_json_of_text(right)) != 0)) {
        json_decref(pair);
        return NULL;
    }
    return pair;
}

/* "left right", the older form, which every release of the library reads, cannot tell a part's own space. */
static bool have_spaces(const qn_vocab *v) {
    for (uint64_t i = 0; i < v->n_merges; i++) {
        const size_t right = qn_merge_right_part(v->merges[i].bytes, v->merges[i].len);
        if (v->merges[i].bytes[0] == ' ' || memchr(v->merges[i].bytes + right, ' ', v->merges[i].len - right) != NULL) {
            return true;
        }
    }
    return false;
}

static json_t *make_merges(const qn_vocab *v) {
    const bool in_pairs = have_spaces(v);
    json_t *list = json_array();
    for (uint64_t i = 0; i < v->n_merges && list != NULL; i++) {
        const qn_text m = v->merges[i];
        const size_t right = qn_merge_right_part(m.bytes, m.len);
        json_t *item = in_pairs ? make_pair((qn_text){m.bytes, right - 1}, (qn_text){m.bytes + right, m.len - right})
                                : qn_json_of_text(m);
        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

static bool has_space(qn_text text) {
    return text.len > 0 && memchr(text.bytes, ' ', text.len) != NULL;
}

/* "left right" in scratch, which has room. */
static json_t *join(qn_text left, qn_text right, char *scratch) {
    memcpy(scratch, left.bytes, left.len);
    scratch[left.len] = ' ';
    memcpy(scratch + left.len + 1, right.bytes, right.len);
    return json_stringn_nocheck(scratch, left.len + 1 + right.len);
}

static json_t *list_id_merges(const qn_vocab *v, const qn_id_merge *merges, uint64_t n) {
    bool in_pairs = false;
    size_t longest = 0;
    for (uint64_t i = 0; i < n; i++) {
        const qn_text left = v->tokens[merges[i].left];
        const qn_text right = v->tokens[merges[i].right];
        in_pairs = in_pairs || has_space(left) || has_space(right);
        longest = left.len + right.len > longest ? left.len + right.len : longest;
    }
    char *scratch = qn_new_array((uint64_t)longest + 2, 1);
    json_t *list = scratch == NULL ? NULL : json_array();
    for (uint64_t i = 0; i < n && list != NULL; i++) {
        const qn_text left = v->tokens[merges[i].left];
        const qn_text right = v->tokens[merges[i].right];
        json_t *item = in_pairs ? make_pair(left, right) : join(left, right, scratch);
        if (json_array_append_new(list, item) != 0) {
            json_decref(list);
            list = NULL;
        }
    }
    free(scratch);
    return list;
}

static qn_status make_scored_merges(const qn_vocab_layout *l, json_t **out, qn_error *err) {
    qn_id_merge *merges = NULL;
    uint64_t n = 0;
    const qn_status status = qn_merges_of_scores(l, &merges, &n, err);
    if (status == QN_OK) {
        *out = list_id_merges(l->vocab, merges, n);
    }
    free(merges);
    return status;
}

/* ---- what is put around a text ---- */

static json_t *special_item(qn_text text, int type_id) {
    return json_pack("{s:{s:o, s:i}}", "SpecialToken", "id", qn_json_of_text(text), "type_id", type_id);
}

static json_t *sequence_item(const char *id, int type_id) {
    return json_pack("{s:{s:s, s:i}}", "Sequence", "id", id, "type_id", type_id);
}

/* Appends bos (when wanted), the text and eos (when wanted) of one of a pair. */
static bool append_text(json_t *list, const qn_vocab *v, bool has_bos, int type_id) {
    return (!has_bos || json_array_append_new(list, special_item(v->tokens[v->bos], type_id)) == 0) &&
        json_array_append_new(list, sequence_item(type_id == 0 ? "A" : "B", type_id)) == 0 &&
        (v->add_eos != 1 || json_array_append_new(list, special_item(v->tokens[v->eos], type_id)) == 0);
}

static json_t *special_entry(const qn_vocab *v, int64_t id) {
    return json_pack("{s:o, s:[I], s:[o]}", "id", qn_json_of_text(v->tokens[id]), "ids", (json_int_t)id, "tokens",
                     qn_json_of_text(v->tokens[id]));
}

static bool put_entry(json_t *map, const qn_vocab *v, int64_t id) {
    return json_object_setn_new_nocheck(map, v->tokens[id].bytes, v->tokens[id].len, special_entry(v, id)) == 0;
}

static json_t *make_template(const qn_vocab *v) {
    json_t *single = json_array();
    json_t *pair = json_array();
    json_t *special = json_object();
    const bool adds_bos = v->add_bos == 1;
    /* An eos (or sep) between two texts would be read as a separator: no second one where bos is the same token. */
    const bool has_second = adds_bos && v->bos != v->eos && v->bos != v->sep;
    const bool is_whole = append_text(single, v, adds_bos, 0) && append_text(pair, v, adds_bos, 0) &&
        append_text(pair, v, has_second, 1) && special != NULL && (!adds_bos || put_entry(special, v, v->bos)) &&
        (v->add_eos != 1 || put_entry(special, v, v->eos));
    if (!is_whole) {
        json_decref(single);
        json_decref(pair);
        json_decref(special);
        return NULL;
    }
    return json_pack("{s:s, s:o, s:o, s:o}", "type", "TemplateProcessing", "single", single, "pair", pair,
                     "special_tokens", special);
}

static json_t *make_post_processor(const qn_vocab_layout *l) {
    const qn_vocab *v = l->vocab;
    if (strcmp(v->pre, "roberta-bpe") == 0 && v->add_bos == 1 && v->add_eos == 1) {
        return json_pack("{s:s, s:[o, I], s:[o, I], s:b, s:b}", "type", "RobertaProcessing", "sep",
                         qn_json_of_text(v->tokens[v->eos]), (json_int_t)v->eos, "cls",
                         qn_json_of_text(v->tokens[v->bos]), (json_int_t)v->bos, "trim_offsets", 1, "add_prefix_space",
                         0);
    }
    if (l->is_spm || v->add_bos == 1 || v->add_eos == 1) {
        return make_template(v);
    }
    return json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 1, "trim_offsets", 0, "use_regex",
                     1);
}

/* ---- SentencePiece's steps ---- */

static json_t *make_spm_normalizer(const qn_vocab *v) {
    json_t *replace = json_pack("{s:s, s:{s:s}, s:s}", "type", "Replace", "pattern", "String", " ", "content", MARK);
    if (v->add_space_prefix == 0) {
        return replace;
    }
    return json_pack("{s:s, s:[{s:s, s:s}, o]}", "type", "Sequence", "normalizers", "type", "Prepend", "prepend", MARK,
                     replace);
}

static json_t *make_spm_decoder(const qn_vocab *v) {
    json_t *decoder = json_pack("{s:s, s:[{s:s, s:{s:s}, s:s}, {s:s}, {s:s}]}", "type", "Sequence", "decoders", "type",
                                "Replace", "pattern", "String", MARK, "content", " ", "type", "ByteFallback", "type",
                                "Fuse");
    json_t *steps = json_object_get(decoder, "decoders");
    if (v->add_space_prefix != 0 &&
        json_array_append_new(
            steps, json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ", "start", 1, "stop", 0)) != 0) {
        json_decref(decoder);
        return NULL;
    }
    return decoder;
}

/* ---- the whole ---- */

/* Everything that differs between the two kinds; references are owned until the document takes them. */
typedef struct parts {
    json_t *normalizer, *pre_tokenizer, *decoder, *merges, *unk;
    bool ignores_merges;
} parts;

static qn_status make_spm_parts(const qn_vocab_layout *l, parts *p, qn_error *err) {
    const qn_vocab *v = l->vocab;
    p->normalizer = make_spm_normalizer(v);
    p->pre_tokenizer = json_null();
    p->decoder = make_spm_decoder(v);
    p->unk = v->unk != QN_NO_TOKEN && qn_layout_has_entry(l, (uint64_t)v->unk) ? qn_json_of_text(v->tokens[v->unk])
                                                                               : json_null();
    return make_scored_merges(l, &p->merges, err);
}

static qn_status make_bpe_parts(const qn_vocab_layout *l, parts *p, qn_error *err) {
    qn_pretokenizer_parts pre = {0};
    QN_TRY(qn_pretokenizer_spell(l->vocab->pre, &pre, err));
    p->pre_tokenizer = pre.pre_tokenizer;
    p->ignores_merges = pre.ignores_merges;
    p->normalizer = pre.normalizes ? json_pack("{s:s}", "type", "NFC") : json_null();
    p->decoder = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 1, "trim_offsets", 1,
                           "use_regex", 1);
    p->unk = json_null();
    p->merges = make_merges(l->vocab);
    return QN_OK;
}

qn_status qn_tokenizer_json(const qn_vocab_layout *layout, qn_arena *arena, qn_text *out, qn_error *err) {
    parts p = {0};
    const int is_spm = layout->is_spm ? 1 : 0;
    const qn_status status = is_spm ? make_spm_parts(layout, &p, err) : make_bpe_parts(layout, &p, err);
    /* A NULL among the parts makes the document NULL; it lets go of the others. */
    json_t *model = json_pack("{s:s, s:n, s:o, s:n, s:n, s:b, s:b, s:b, s:o, s:o}", "type", "BPE", "dropout",
                              "unk_token", p.unk, "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", is_spm,
                              "byte_fallback", is_spm, "ignore_merges", p.ignores_merges ? 1 : 0, "vocab",
                              status == QN_OK ? make_vocab(layout) : NULL, "merges", p.merges);
    json_t *document = json_pack(
        "{s:s, s:n, s:n, s:o, s:o, s:o, s:o, s:o, s:o}", "version", "1.0", "truncation", "padding", "added_tokens",
        status == QN_OK ? make_added(layout) : NULL, "normalizer", p.normalizer, "pre_tokenizer", p.pre_tokenizer,
        "post_processor", status == QN_OK ? make_post_processor(layout) : NULL, "decoder", p.decoder, "model", model);
    if (status != QN_OK) {
        json_decref(document);
        return status;
    }
    return qn_json_write(document, JSON_COMPACT, arena, out, err);
}
