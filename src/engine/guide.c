/* SPDX-License-Identifier: MIT */
/*
 * guide.c: tokens put through a grammar.
 *
 * Checking one token walks its bytes. Checking all of them walks the vocabulary in the order of its bytes, so that
 * what several tokens begin with is walked once, and a beginning that is refused refuses all that share it.
 */
#include "engine/guide.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { TAIL_BYTES = 48 };

/** A token that prints something. */
typedef struct piece {
    uint32_t offset, n; /* into bytes */
    uint32_t n_shared;  /* bytes at its front that the piece before it has too */
    int32_t token;
} piece;

struct qn_guide {
    qn_grammar *grammar;
    qn_grammar_walk *walk;
    const qn_tokenizer *tokenizer;
    uint64_t n_logits;
    qn_buffer bytes; /* of all pieces */
    piece *pieces;   /* [n_pieces] in the order of their bytes */
    size_t n_pieces;
    uint32_t *index_of; /* [n_tokens] of a token's piece; UINT32_MAX: it prints nothing */
    size_t n_tokens;
    bool *may_come; /* [n_logits] */
    char tail[TAIL_BYTES];
    size_t n_tail;
};

/* ---- The vocabulary ---- */

static const unsigned char *bytes_of(const qn_guide *g, const piece *p) {
    return g->bytes.data + p->offset;
}

/** A piece where qsort() finds its bytes. */
typedef struct sort_entry {
    const unsigned char *bytes;
    piece piece;
} sort_entry;

static int compare(const void *a, const void *b) {
    const sort_entry *x = a;
    const sort_entry *y = b;
    const uint32_t n = x->piece.n < y->piece.n ? x->piece.n : y->piece.n;
    const int order = memcmp(x->bytes, y->bytes, n);
    if (order != 0) {
        return order;
    }
    if (x->piece.n != y->piece.n) {
        return x->piece.n < y->piece.n ? -1 : 1;
    }
    return (x->piece.token > y->piece.token) - (x->piece.token < y->piece.token);
}

static uint32_t shared(const qn_guide *g, const piece *a, const piece *b) {
    uint32_t n = 0;
    while (n < a->n && n < b->n && bytes_of(g, a)[n] == bytes_of(g, b)[n]) {
        n++;
    }
    return n;
}

static qn_status sort_pieces(qn_guide *g, qn_error *err) {
    sort_entry *entries = qn_new_array(g->n_pieces, sizeof *entries);
    if (entries == NULL) {
        return qn_fail_nomem(err, "a vocabulary in order", g->n_pieces * sizeof *entries);
    }
    for (size_t i = 0; i < g->n_pieces; i++) {
        entries[i] = (sort_entry){bytes_of(g, &g->pieces[i]), g->pieces[i]};
    }
    qsort(entries, g->n_pieces, sizeof *entries, compare);
    for (size_t i = 0; i < g->n_pieces; i++) {
        g->pieces[i] = entries[i].piece;
        g->pieces[i].n_shared = i == 0 ? 0 : shared(g, &g->pieces[i - 1], &g->pieces[i]);
        g->index_of[g->pieces[i].token] = (uint32_t)i;
    }
    free(entries);
    return QN_OK;
}

static qn_status read_vocabulary(qn_guide *g, qn_error *err) {
    for (size_t id = 0; id < g->n_tokens; id++) {
        const size_t before = g->bytes.len;
        g->index_of[id] = UINT32_MAX;
        if (qn_token_is_eog(g->tokenizer, (int32_t)id)) {
            continue;
        }
        QN_TRY(qn_token_piece(g->tokenizer, (int32_t)id, false, &g->bytes, err));
        if (g->bytes.len > UINT32_MAX) {
            return qn_fail(err, QN_E_RANGE, "the vocabulary prints more than 4 GiB of text");
        }
        if (g->bytes.len > before) {
            g->pieces[g->n_pieces++] = (piece){
                .offset = (uint32_t)before, .n = (uint32_t)(g->bytes.len - before), .token = (int32_t)id};
        }
    }
    QN_TRY(qn_buffer_status(&g->bytes, err));
    return sort_pieces(g, err);
}

static qn_status open_guide(qn_guide *g, qn_error *err) {
    g->pieces = qn_new_array(g->n_tokens, sizeof *g->pieces);
    g->index_of = qn_new_array(g->n_tokens, sizeof *g->index_of);
    g->may_come = qn_new_array(g->n_logits, sizeof *g->may_come);
    if (g->pieces == NULL || g->index_of == NULL || g->may_come == NULL) {
        return qn_fail_nomem(err, "a vocabulary in order", g->n_tokens * sizeof *g->pieces);
    }
    QN_TRY(read_vocabulary(g, err));
    return qn_grammar_walk_new(g->grammar, &g->walk, err);
}

qn_status qn_guide_new(qn_grammar *grammar, const qn_tokenizer *tokenizer, uint64_t n_logits, qn_guide **out,
                       qn_error *err) {
    qn_guide *g = qn_new_array(1, sizeof *g);
    if (g == NULL) {
        qn_grammar_free(grammar);
        return qn_fail_nomem(err, "a guide", sizeof *g);
    }
    const size_t n_tokens = qn_tokenizer_n_tokens(tokenizer);
    g->grammar = grammar;
    g->tokenizer = tokenizer;
    g->n_logits = n_logits;
    g->n_tokens = n_tokens < n_logits ? n_tokens : (size_t)n_logits;
    const qn_status status = open_guide(g, err);
    if (status != QN_OK) {
        qn_guide_free(g);
        return status;
    }
    *out = g;
    return QN_OK;
}

void qn_guide_free(qn_guide *guide) {
    if (guide == NULL) {
        return;
    }
    qn_grammar_walk_free(guide->walk);
    qn_grammar_free(guide->grammar);
    qn_buffer_clear(&guide->bytes);
    free(guide->pieces);
    free(guide->index_of);
    free(guide->may_come);
    free(guide);
}

qn_status qn_guide_change(qn_guide *guide, qn_grammar *grammar, qn_error *err) {
    qn_grammar_walk *walk = NULL;
    const qn_status status = qn_grammar_walk_new(grammar, &walk, err);
    if (status != QN_OK) {
        qn_grammar_free(grammar);
        return status;
    }
    qn_grammar_walk_free(guide->walk);
    qn_grammar_free(guide->grammar);
    guide->walk = walk;
    guide->grammar = grammar;
    guide->n_tail = 0;
    return QN_OK;
}

qn_status qn_guide_reset(qn_guide *guide, qn_error *err) {
    guide->n_tail = 0;
    return qn_grammar_walk_reset(guide->walk, err);
}

/* ---- Tokens ---- */

static const piece *piece_of(const qn_guide *g, int32_t token) {
    if (token < 0 || (size_t)token >= g->n_tokens || g->index_of[token] == UINT32_MAX) {
        return NULL;
    }
    return &g->pieces[g->index_of[token]];
}

static bool push_piece(qn_guide *g, const piece *p, uint32_t from) {
    for (uint32_t i = from; i < p->n; i++) {
        if (!qn_grammar_push(g->walk, bytes_of(g, p)[i])) {
            return false;
        }
    }
    return true;
}

qn_status qn_guide_check(qn_guide *g, int32_t token, bool *allows, qn_error *err) {
    const piece *p = piece_of(g, token);
    if (p == NULL) {
        *allows = qn_token_is_eog(g->tokenizer, token) && qn_grammar_may_end(g->walk);
        return QN_OK;
    }
    *allows = push_piece(g, p, 0);
    qn_grammar_pop_to(g->walk, 0);
    return qn_grammar_walk_status(g->walk, err);
}

static void find_pieces_that_may_come(qn_guide *g) {
    uint32_t refused = UINT32_MAX; /* bytes of the last piece that are one too many */
    for (size_t i = 0; i < g->n_pieces; i++) {
        const piece *p = &g->pieces[i];
        if (p->n_shared >= refused) {
            continue;
        }
        qn_grammar_pop_to(g->walk, p->n_shared);
        const bool may_come = push_piece(g, p, (uint32_t)qn_grammar_depth(g->walk));
        refused = may_come ? UINT32_MAX : (uint32_t)qn_grammar_depth(g->walk) + 1;
        g->may_come[p->token] = may_come;
    }
    qn_grammar_pop_to(g->walk, 0);
}

static qn_status fail_stuck(const qn_guide *g, qn_error *err) {
    if (g->n_tail == 0) {
        return qn_fail(err, QN_E_RANGE,
                       "the grammar allows no token of this vocabulary to begin with (or none that the "
                       "logit biases leave)");
    }
    return qn_fail(
        err, QN_E_RANGE,
        "the grammar allows no token of this vocabulary (or none that the logit biases leave) behind \"%.*s\"",
        (int)g->n_tail, g->tail);
}

qn_status qn_guide_mask(qn_guide *g, float *logits, qn_error *err) {
    const bool may_end = qn_grammar_may_end(g->walk);
    bool is_any_left = false;
    memset(g->may_come, 0, g->n_logits * sizeof *g->may_come);
    find_pieces_that_may_come(g);
    QN_TRY(qn_grammar_walk_status(g->walk, err));
    for (uint64_t id = 0; id < g->n_logits; id++) {
        if (!g->may_come[id] && !(may_end && qn_token_is_eog(g->tokenizer, (int32_t)id))) {
            logits[id] = -HUGE_VALF;
        }
        is_any_left = is_any_left || logits[id] > -HUGE_VALF;
    }
    return is_any_left ? QN_OK : fail_stuck(g, err);
}

/* Keeps the end of the text, from a whole character on, for messages. */
static void keep_tail(qn_guide *g, const piece *p) {
    const size_t n = p->n < TAIL_BYTES ? p->n : TAIL_BYTES;
    size_t n_kept = g->n_tail < TAIL_BYTES - n ? g->n_tail : TAIL_BYTES - n;
    memmove(g->tail, g->tail + g->n_tail - n_kept, n_kept);
    memcpy(g->tail + n_kept, bytes_of(g, p) + p->n - n, n);
    g->n_tail = n_kept + n;
    while (g->n_tail > 0 && ((unsigned char)g->tail[0] & 0xC0U) == 0x80U) {
        memmove(g->tail, g->tail + 1, --g->n_tail);
    }
}

qn_status qn_guide_accept(qn_guide *g, int32_t token, qn_error *err) {
    const piece *p = piece_of(g, token);
    if (p == NULL) {
        return qn_token_is_eog(g->tokenizer, token) && qn_grammar_may_end(g->walk)
            ? QN_OK
            : qn_fail(err, QN_E_RANGE, "token %d cannot come here in the grammar", (int)token);
    }
    if (!push_piece(g, p, 0)) {
        qn_grammar_pop_to(g->walk, 0);
        QN_TRY(qn_grammar_walk_status(g->walk, err));
        return qn_fail(err, QN_E_RANGE, "token %d cannot come here in the grammar", (int)token);
    }
    qn_grammar_commit(g->walk);
    keep_tail(g, p);
    return qn_grammar_walk_status(g->walk, err);
}

bool qn_guide_is_done(const qn_guide *g) {
    return qn_grammar_must_end(g->walk);
}
