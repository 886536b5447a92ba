/* SPDX-License-Identifier: MIT */
/* token_roles.c: which tokens begin, end and part texts: what a file says, and what llama.cpp knows by their text. */
#include "text/tokenizer_parts.h"

#include <ctype.h>
#include <string.h>

/* ---- keys ---- */

static const struct {
    const char *key;
    qn_token_role role;
} id_keys[] = {
    {"tokenizer.ggml.bos_token_id", QN_TOKEN_ROLE_BOS},
    {"tokenizer.ggml.eos_token_id", QN_TOKEN_ROLE_EOS},
    {"tokenizer.ggml.eot_token_id", QN_TOKEN_ROLE_EOT},
    {"tokenizer.ggml.eom_token_id", QN_TOKEN_ROLE_EOM},
    {"tokenizer.ggml.unknown_token_id", QN_TOKEN_ROLE_UNK},
    {"tokenizer.ggml.seperator_token_id", QN_TOKEN_ROLE_SEP}, /* spelled so by the format */
    {"tokenizer.ggml.padding_token_id", QN_TOKEN_ROLE_PAD},
    {"tokenizer.ggml.mask_token_id", QN_TOKEN_ROLE_MASK},
    {"tokenizer.ggml.fim_pre_token_id", QN_TOKEN_ROLE_FIM_PRE},
    {"tokenizer.ggml.fim_suf_token_id", QN_TOKEN_ROLE_FIM_SUF},
    {"tokenizer.ggml.fim_mid_token_id", QN_TOKEN_ROLE_FIM_MID},
    {"tokenizer.ggml.fim_pad_token_id", QN_TOKEN_ROLE_FIM_PAD},
    {"tokenizer.ggml.fim_rep_token_id", QN_TOKEN_ROLE_FIM_REP},
    {"tokenizer.ggml.fim_sep_token_id", QN_TOKEN_ROLE_FIM_SEP},
    /* deprecated names, which win over the new ones */
    {"tokenizer.ggml.prefix_token_id", QN_TOKEN_ROLE_FIM_PRE},
    {"tokenizer.ggml.suffix_token_id", QN_TOKEN_ROLE_FIM_SUF},
    {"tokenizer.ggml.middle_token_id", QN_TOKEN_ROLE_FIM_MID},
};

bool qn_meta_flag(const qn_meta *meta, const char *key, bool otherwise) {
    const qn_meta_value *value = qn_meta_find(meta, key);
    return value != NULL && value->type == QN_META_BOOL ? value->as.b : otherwise;
}

static void read_keys(qn_tokenizer *t, const qn_meta *meta) {
    for (size_t i = 0; i < QN_N_TOKEN_ROLES; i++) {
        if (t->roles[i] != QN_NONE && (size_t)t->roles[i] >= t->n_tokens) {
            t->roles[i] = QN_NONE; /* a default of another vocabulary */
        }
    }
    for (size_t i = 0; i < sizeof id_keys / sizeof id_keys[0]; i++) {
        uint64_t id = 0;
        if (qn_meta_u64(meta, id_keys[i].key, &id) && id < t->n_tokens) {
            t->roles[id_keys[i].role] = (int32_t)id;
        }
    }
    const bool forces_bos = t->rule != NULL && t->rule->forces_bos; /* early files of the family say otherwise */
    t->adds_bos = forces_bos || qn_meta_flag(meta, "tokenizer.ggml.add_bos_token", t->adds_bos);
    t->adds_eos = qn_meta_flag(meta, "tokenizer.ggml.add_eos_token", t->adds_eos);
    t->adds_space = qn_meta_flag(meta, "tokenizer.ggml.add_space_prefix", t->adds_space);
    t->merges_spaces = qn_meta_flag(meta, "tokenizer.ggml.remove_extra_whitespaces", t->merges_spaces);
}

/* ---- texts ---- */

/* Texts of roles that a file does not name; the first one there wins. */
static const struct {
    qn_token_role role;
    const char *text;
} role_texts[] = {
    {QN_TOKEN_ROLE_EOT, "<|eot_id|>"},
    {QN_TOKEN_ROLE_EOT, "<|im_end|>"},
    {QN_TOKEN_ROLE_EOT, "<|end|>"},
    {QN_TOKEN_ROLE_EOT, "<end_of_turn>"},
    {QN_TOKEN_ROLE_EOT, "<|endoftext|>"},
    {QN_TOKEN_ROLE_EOT, "<|end_of_text|>"},
    {QN_TOKEN_ROLE_EOT, "<EOT>"},
    {QN_TOKEN_ROLE_EOT, "_<EOT>"},
    {QN_TOKEN_ROLE_EOT, "[EOT]"},
    {QN_TOKEN_ROLE_EOT, "<\uFF5Cend\u2581of\u2581sentence\uFF5C>"},
    {QN_TOKEN_ROLE_EOT, "<end_of_utterance>"},
    {QN_TOKEN_ROLE_EOM, "<|eom_id|>"},
    {QN_TOKEN_ROLE_FIM_PRE, "<|fim_prefix|>"},
    {QN_TOKEN_ROLE_FIM_PRE, "<fim-prefix>"},
    {QN_TOKEN_ROLE_FIM_PRE, "<fim_prefix>"},
    {QN_TOKEN_ROLE_FIM_PRE, "<\uFF5Cfim\u2581begin\uFF5C>"},
    {QN_TOKEN_ROLE_FIM_PRE, "<PRE>"},
    {QN_TOKEN_ROLE_FIM_PRE, "\u2581<PRE>"},
    {QN_TOKEN_ROLE_FIM_PRE, "<|code_prefix|>"},
    {QN_TOKEN_ROLE_FIM_PRE, "<|prefix|>"},
    {QN_TOKEN_ROLE_FIM_SUF, "<|fim_suffix|>"},
    {QN_TOKEN_ROLE_FIM_SUF, "<fim-suffix>"},
    {QN_TOKEN_ROLE_FIM_SUF, "<fim_suffix>"},
    {QN_TOKEN_ROLE_FIM_SUF, "<\uFF5Cfim\u2581hole\uFF5C>"},
    {QN_TOKEN_ROLE_FIM_SUF, "<SUF>"},
    {QN_TOKEN_ROLE_FIM_SUF, "\u2581<SUF>"},
    {QN_TOKEN_ROLE_FIM_SUF, "<|code_suffix|>"},
    {QN_TOKEN_ROLE_FIM_SUF, "<|suffix|>"},
    {QN_TOKEN_ROLE_FIM_MID, "<|fim_middle|>"},
    {QN_TOKEN_ROLE_FIM_MID, "<fim-middle>"},
    {QN_TOKEN_ROLE_FIM_MID, "<fim_middle>"},
    {QN_TOKEN_ROLE_FIM_MID, "<\uFF5Cfim\u2581end\uFF5C>"},
    {QN_TOKEN_ROLE_FIM_MID, "<MID>"},
    {QN_TOKEN_ROLE_FIM_MID, "\u2581<MID>"},
    {QN_TOKEN_ROLE_FIM_MID, "<|code_middle|>"},
    {QN_TOKEN_ROLE_FIM_MID, "<|middle|>"},
    {QN_TOKEN_ROLE_FIM_PAD, "<|fim_pad|>"},
    {QN_TOKEN_ROLE_FIM_PAD, "<fim-pad>"},
    {QN_TOKEN_ROLE_FIM_PAD, "<fim_pad>"},
    {QN_TOKEN_ROLE_FIM_PAD, "<PAD>"},
    {QN_TOKEN_ROLE_FIM_PAD, "[PAD]"},
    {QN_TOKEN_ROLE_FIM_REP, "<|fim_repo|>"},
    {QN_TOKEN_ROLE_FIM_REP, "<|repo_name|>"},
    {QN_TOKEN_ROLE_FIM_REP, "<fim-repo>"},
    {QN_TOKEN_ROLE_FIM_REP, "<REPO>"},
    {QN_TOKEN_ROLE_FIM_REP, "<reponame>"},
    {QN_TOKEN_ROLE_FIM_SEP, "<|file_sep|>"},
};

static const char *const end_texts[] = {
    "<|eot_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|flush|>",
    "<|calls|>",
    "<end_of_turn>",
    "<|endoftext|>",
    "</s>",
    "<|eom_id|>",
    "<EOT>",
    "_<EOT>",
    "[EOT]",
    "[EOS]",
    "<|end_of_text|>",
    "<end_of_utterance>",
    "<eos>",
    "<turn|>",
    "<|tool_response>",
    "<\uFF5Cend\u2581of\u2581sentence\uFF5C>",
    "[e~[",
};

static int32_t find(const qn_tokenizer *t, const char *text) {
    return (int32_t)qn_text_index_find(&t->index, qn_text_of(text));
}

static void add_control(qn_tokenizer *t, int32_t id) {
    t->attrs[id] |= QN_ATTR_CONTROL;
}

static void find_roles(qn_tokenizer *t) {
    for (size_t i = 0; i < sizeof role_texts / sizeof role_texts[0]; i++) {
        const int32_t id = t->roles[role_texts[i].role] == QN_NONE ? find(t, role_texts[i].text) : QN_NONE;
        if (id != QN_NONE) {
            t->roles[role_texts[i].role] = id;
            add_control(t, id);
        }
    }
}

/* ---- the end of a generation ---- */

static bool is_end(const qn_tokenizer *t, const char *text) {
    const int32_t id = find(t, text);
    return id != QN_NONE && t->ends[id];
}

static void retype(qn_tokenizer *t, const char *text, unsigned attr, bool stays_end) {
    const int32_t id = find(t, text);
    if (id != QN_NONE) {
        t->attrs[id] = (uint8_t)attr;
        t->ends[id] = t->ends[id] && stays_end;
    }
}

/* Some formats use a token that ends turns elsewhere within an answer. */
static void except_ends(qn_tokenizer *t) {
    const bool calls = is_end(t, "<|call|>") || is_end(t, "<|calls|>");
    if (is_end(t, "<|end|>") && calls && (is_end(t, "<|return|>") || is_end(t, "<|flush|>"))) {
        retype(t, "<|end|>", QN_ATTR_USER, false); /* gpt-oss and Solar: a message ends, the answer goes on */
    }
    if (is_end(t, "<|tool_response>") && is_end(t, "</s>")) {
        retype(t, "</s>", QN_ATTR_NORMAL, false); /* Gemma 4: HTML */
    }
}

/* gpt-oss: an answer's parts are parsed from these, so that they must print. */
static void show_harmony(qn_tokenizer *t) {
    static const char *const texts[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        retype(t, texts[i], QN_ATTR_USER, true);
    }
}

static void mark_end(qn_tokenizer *t, int32_t id) {
    if (id != QN_NONE) {
        t->ends[id] = true;
    }
}

/* Ids that a folder's generation_config.json lists, as quern and Ollama keep them. */
static void mark_listed(qn_tokenizer *t, const qn_meta *meta) {
    const qn_meta_value *value = qn_meta_find(meta, "tokenizer.ggml.eos_token_ids");
    const bool is_ids = value != NULL && value->type == QN_META_ARRAY &&
        (value->as.array.type == QN_META_I32 || value->as.array.type == QN_META_U32);
    const int32_t *ids = is_ids ? value->as.array.items : NULL;
    for (uint64_t i = 0; is_ids && i < value->as.array.n; i++) {
        if (ids[i] >= 0 && (size_t)ids[i] < t->n_tokens) {
            t->ends[ids[i]] = true;
        }
    }
}

static void mark_ends(qn_tokenizer *t) {
    static const qn_token_role roles[] = {QN_TOKEN_ROLE_FIM_PAD, QN_TOKEN_ROLE_FIM_REP, QN_TOKEN_ROLE_FIM_SEP,
                                          QN_TOKEN_ROLE_EOS,     QN_TOKEN_ROLE_EOT,     QN_TOKEN_ROLE_EOM};
    for (size_t i = 0; i < sizeof end_texts / sizeof end_texts[0]; i++) {
        const int32_t id = find(t, end_texts[i]);
        if (id != QN_NONE) {
            t->ends[id] = true;
            add_control(t, id);
        }
    }
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        mark_end(t, t->roles[roles[i]]);
    }
}

/* ---- white space beside special tokens ---- */

/* Whether the lower-case general.name holds a word. */
static bool name_holds(const qn_meta *meta, const char *word) {
    const qn_meta_value *value = qn_meta_find(meta, "general.name");
    const size_t n = strlen(word);
    if (value == NULL || value->type != QN_META_STRING) {
        return false;
    }
    const qn_text name = value->as.text;
    for (size_t i = 0; i + n <= name.len; i++) {
        size_t k = 0;
        while (k < n && tolower((unsigned char)name.bytes[i + k]) == word[k]) {
            k++;
        }
        if (k == n) {
            return true;
        }
    }
    return false;
}

static void set_attr(qn_tokenizer *t, const char *text, unsigned attr, bool on) {
    const int32_t id = find(t, text);
    if (id != QN_NONE) {
        t->attrs[id] = (uint8_t)(on ? t->attrs[id] | attr : t->attrs[id] & ~attr);
    }
}

static bool strips_before_mask(const qn_tokenizer *t, const qn_meta *meta) {
    const qn_meta_value *arch = qn_meta_find(meta, "general.architecture");
    const bool has_arch = arch != NULL && arch->type == QN_META_STRING;
    const char *pre = t->rule == NULL ? "" : t->rule->name;
    return strncmp(pre, "jina-v2-de", 10) == 0 || strncmp(pre, "jina-v2-es", 10) == 0 ||
        strncmp(pre, "jina-v2-code", 12) == 0 ||
        (has_arch && (qn_text_is(arch->as.text, "nomic-bert-moe") || qn_text_is(arch->as.text, "jina-bert-v3")));
}

/* GGUF has no key for it: it goes by names. */
static void read_strips(qn_tokenizer *t, const qn_meta *meta) {
    if (strips_before_mask(t, meta)) {
        set_attr(t, "<mask>", QN_ATTR_STRIPS_LEFT, true);
    } else if (name_holds(meta, "phi-3") || name_holds(meta, "phi3")) {
        for (size_t i = 0; i < t->n_tokens; i++) {
            if ((t->attrs[i] & QN_ATTR_SPECIAL) != 0) {
                t->attrs[i] |= QN_ATTR_STRIPS_RIGHT;
            }
        }
        set_attr(t, "</s>", QN_ATTR_STRIPS_RIGHT, true);
        set_attr(t, "<unk>", QN_ATTR_STRIPS_RIGHT, false);
        set_attr(t, "<s>", QN_ATTR_STRIPS_RIGHT, false);
        set_attr(t, "<|endoftext|>", QN_ATTR_STRIPS_RIGHT, false);
    } else if (name_holds(meta, "modern-bert")) {
        set_attr(t, "[MASK]", QN_ATTR_STRIPS_LEFT, true);
    }
}

/* ---- all ---- */

static void mark_unused(qn_tokenizer *t) {
    static const char word[] = "unused";
    const size_t n = sizeof word - 1;
    for (size_t i = 0; i < t->n_tokens; i++) {
        if ((t->attrs[i] & QN_ATTR_CONTROL) == 0) {
            continue;
        }
        for (size_t at = 0; at + n <= t->texts[i].len; at++) {
            if (memcmp(t->texts[i].bytes + at, word, n) == 0) {
                t->attrs[i] |= QN_ATTR_UNUSED;
                break;
            }
        }
    }
}

qn_status qn_read_roles(qn_tokenizer *t, const qn_meta *meta, qn_error *err) {
    t->ends = qn_arena_array(t->arena, t->n_tokens, sizeof *t->ends);
    if (t->ends == NULL) {
        return qn_fail_nomem(err, "vocabulary", t->n_tokens);
    }
    read_keys(t, meta);
    find_roles(t);
    mark_unused(t);
    mark_ends(t);
    mark_listed(t, meta);
    except_ends(t);
    show_harmony(t);
    read_strips(t, meta);
    return QN_OK;
}
