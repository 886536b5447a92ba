/* SPDX-License-Identifier: MIT */
/* pretokenize.h: cuts text into the pieces that byte-level BPE merges within. */
#ifndef QUERN_TEXT_PRETOKENIZE_H
#define QUERN_TEXT_PRETOKENIZE_H

#include "container/metadata.h"
#include "text/split_rules.h"

/** A compiled rule. Threads: any number may split with it at once. */
typedef struct qn_splitter qn_splitter;

/** Compiles a rule's expressions. */
QN_NODISCARD qn_status qn_splitter_new(const qn_split_rule *rule, qn_splitter **out, qn_error *err);
/** Frees; accepts NULL. */
void qn_splitter_free(qn_splitter *splitter);

/** What splitting needs while it runs; one a thread, for any number of texts. Zero-initialised it is empty. */
typedef struct qn_split_state {
    unsigned char *classes; /**< [cap_classes] of each character */
    size_t cap_classes;
    uint32_t *pieces; /**< [n_pieces] characters of each piece: the result */
    size_t n_pieces;
    size_t cap_pieces;
    uint32_t *others; /**< the stage before */
    size_t cap_others;
    void *match; /**< PCRE2's match data */
    void *context;
    void *stack;
} qn_split_state;

/** Frees what it holds; accepts a zeroed one. */
void qn_split_state_clear(qn_split_state *state);

/**
 * Splits text. The pieces cover all of it; some may be empty.
 * @param text  UTF-8 that qn_utf8_is_plain(), under 2^31 bytes
 * @param state out: pieces, in characters
 */
QN_NODISCARD qn_status qn_split(const qn_splitter *splitter, qn_text text, qn_split_state *state, qn_error *err);

#endif
