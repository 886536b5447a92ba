/* SPDX-License-Identifier: MIT */
/*
 * grammar.c: rules as a whole: freeing them, and the search for left recursion.
 *
 * The search goes depth first through what each rule can begin with. A rule met again while it is being looked at is
 * left-recursive; where there is none, every rule is finished before the ones that begin with it, so that whether it
 * can be empty is known when it matters.
 */
#include "engine/grammar_parts.h"

#include <stdlib.h>

void qn_grammar_free(qn_grammar *grammar) {
    if (grammar == NULL) {
        return;
    }
    qn_buffer_clear(&grammar->symbols);
    qn_buffer_clear(&grammar->alts);
    qn_buffer_clear(&grammar->rules);
    qn_buffer_clear(&grammar->sets);
    qn_buffer_clear(&grammar->ranges);
    free(grammar);
}

enum { UNSEEN, IN_PROGRESS, NEVER_EMPTY, MAYBE_EMPTY };

/** A rule being looked at, and how far. */
typedef struct visit {
    uint32_t rule;
    uint32_t alt; /* of its alternatives */
    uint32_t at;  /* symbol */
    bool may_be_empty;
} visit;

typedef struct search {
    const qn_grammar *g;
    unsigned char *states; /* [rules] */
    visit *stack;          /* [rules]: each is at most once on it */
    size_t n;
} search;

static void begin(search *s, uint32_t rule) {
    const qn_grammar_rule *r = &qn_grammar_rules(s->g)[rule];
    s->states[rule] = IN_PROGRESS;
    s->stack[s->n++] = (visit){rule, 0, qn_grammar_alts(s->g)[r->first_alt], false};
}

/* Goes to the next alternative, or finishes the rule. */
static void next_alternative(search *s) {
    visit *v = &s->stack[s->n - 1];
    const qn_grammar_rule *r = &qn_grammar_rules(s->g)[v->rule];
    if (++v->alt < r->n_alts) {
        v->at = qn_grammar_alts(s->g)[r->first_alt + v->alt];
    } else {
        s->states[v->rule] = v->may_be_empty ? MAYBE_EMPTY : NEVER_EMPTY;
        s->n--;
    }
}

/* One symbol of what is on top. @return false at a left-recursive rule */
static bool step(search *s) {
    visit *v = &s->stack[s->n - 1];
    const qn_symbol *symbol = &qn_grammar_symbols(s->g)[v->at];
    if (symbol->kind == QN_SYMBOL_END) {
        v->may_be_empty = true;
        next_alternative(s);
        return true;
    }
    if (symbol->kind != QN_SYMBOL_RULE) {
        next_alternative(s);
        return true;
    }
    switch (s->states[symbol->value]) {
    case UNSEEN: begin(s, symbol->value); return true;
    case IN_PROGRESS:
        /* x* calls itself at its very end, which leaves nothing to return to. */
        if (symbol->value != v->rule || !qn_grammar_rules(s->g)[v->rule].is_repetition) {
            return false;
        }
        next_alternative(s);
        return true;
    case MAYBE_EMPTY: v->at++; return true;
    default: next_alternative(s); return true;
    }
}

/* A rule with a name is told rather than one made for a group: the lowest of the circle that is on the stack. */
static uint32_t culprit(const search *s) {
    const uint32_t met = qn_grammar_symbols(s->g)[s->stack[s->n - 1].at].value;
    uint32_t lowest = met;
    for (size_t i = s->n; i > 0 && s->stack[i - 1].rule != met; i--) {
        const uint32_t rule = s->stack[i - 1].rule;
        lowest = rule < lowest ? rule : lowest;
    }
    return lowest;
}

qn_status qn_grammar_find_left_recursion(const qn_grammar *grammar, bool *found, uint32_t *rule, qn_error *err) {
    const size_t n_rules = qn_grammar_n_rules(grammar);
    search s = {.g = grammar,
                .states = qn_new_array(n_rules, sizeof *s.states),
                .stack = qn_new_array(n_rules, sizeof *s.stack)};
    *found = false;
    if (s.states == NULL || s.stack == NULL) {
        free(s.states);
        free(s.stack);
        return qn_fail_nomem(err, "grammar", n_rules);
    }
    for (uint32_t i = 0; i < n_rules && !*found; i++) {
        if (s.states[i] == UNSEEN) {
            begin(&s, i);
        }
        while (s.n > 0 && !*found) {
            *found = !step(&s);
        }
    }
    if (*found) {
        *rule = culprit(&s);
    }
    free(s.states);
    free(s.stack);
    return QN_OK;
}
