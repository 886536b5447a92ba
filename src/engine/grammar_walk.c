/* SPDX-License-Identifier: MIT */
/*
 * grammar_walk.c: all ways of reading a text in a grammar at once.
 *
 * A way is a stack of places: the character that comes next on top, below it where each rule that is being read goes
 * on. Stacks share what they have below, as nodes (symbol, parent); equal nodes are one node, so that ways that come
 * to stand alike become one, and a rule's last symbol leaves no node behind, so that repetition does not grow. The
 * set of ways after each byte pushed is kept until it is popped or committed.
 *
 * Node 0 is the empty stack: the text may end. A node's parent is always older than the node.
 */
#include "engine/grammar_parts.h"

#include <stdlib.h>
#include <string.h>

/* A text that needs more is refused: memory is bounded by nodes, time by visits. */
enum {
    MAX_WAYS = 2048,
    MAX_ALL_WAYS = 1 << 24,
    MAX_NODES = 1 << 21,
    MAX_VISITS_A_BYTE = 1 << 17,
    MAX_VISITS = 1 << 28
};

typedef struct node {
    uint32_t at; /* symbol */
    uint32_t parent;
    uint32_t next;  /* of those with the same hash; 0 ends */
    uint32_t stamp; /* of the last set of ways that it was put into */
} node;

/** What stands after a byte. */
typedef struct place {
    uint32_t first, n; /* into ways */
    uint32_t n_nodes;  /* that there are then */
    uint32_t code;     /* bits so far of a character that is not whole */
    uint8_t n_bytes;   /* of that character */
    uint8_t n_left;    /* bytes that it lacks; 0: between characters */
} place;

typedef enum failure { NO_FAILURE, TOO_MANY_WAYS, TOO_MANY_NODES, TOO_MANY_VISITS, NO_MEMORY } failure;

struct qn_grammar_walk {
    const qn_grammar *g;
    const qn_symbol *symbols;
    node *nodes;
    uint32_t n_nodes, cap_nodes;
    uint32_t *buckets; /* [n_buckets] a power of two */
    uint32_t n_buckets;
    uint32_t *ways;
    size_t n_ways, cap_ways;
    uint32_t *work; /* nodes still to be looked into */
    size_t n_work, cap_work;
    place *places; /* the first is the committed one */
    size_t n_places, cap_places;
    uint32_t n_kept; /* nodes at the last tidying */
    uint32_t stamp;
    uint32_t n_visits_now; /* for this byte */
    uint64_t n_visits;     /* since the last commit */
    failure failure;
};

/* ---- Memory ---- */

/* Makes room for one item more. */
static bool has_room(qn_grammar_walk *w, void **items, size_t n, size_t *cap, size_t size) {
    if (n < *cap) {
        return true;
    }
    const size_t wanted = *cap == 0 ? 64 : *cap * 2;
    void *grown = qn_resize_array(*items, wanted, size);
    if (grown == NULL) {
        w->failure = NO_MEMORY;
        return false;
    }
    *items = grown;
    *cap = wanted;
    return true;
}

static bool push_work(qn_grammar_walk *w, uint32_t id) {
    void *items = w->work;
    const bool has = has_room(w, &items, w->n_work, &w->cap_work, sizeof *w->work);
    w->work = items;
    if (has) {
        w->work[w->n_work++] = id;
    }
    return has;
}

static bool push_way(qn_grammar_walk *w, uint32_t id) {
    void *items = w->ways;
    if (w->n_ways >= MAX_ALL_WAYS) {
        w->failure = TOO_MANY_WAYS;
        return false;
    }
    const bool has = has_room(w, &items, w->n_ways, &w->cap_ways, sizeof *w->ways);
    w->ways = items;
    if (has) {
        w->ways[w->n_ways++] = id;
    }
    return has;
}

static bool push_place(qn_grammar_walk *w, const place *p) {
    void *items = w->places;
    const bool has = has_room(w, &items, w->n_places, &w->cap_places, sizeof *w->places);
    w->places = items;
    if (has) {
        w->places[w->n_places++] = *p;
    }
    return has;
}

/* ---- Nodes ---- */

static uint32_t bucket_of(const qn_grammar_walk *w, uint32_t at, uint32_t parent) {
    const uint64_t key = ((uint64_t)at << 32 | parent) * 0x9E3779B97F4A7C15ULL;
    return (uint32_t)(key >> 32) & (w->n_buckets - 1);
}

static void link_node(qn_grammar_walk *w, uint32_t id) {
    const uint32_t bucket = bucket_of(w, w->nodes[id].at, w->nodes[id].parent);
    w->nodes[id].next = w->buckets[bucket];
    w->buckets[bucket] = id;
}

static void link_all(qn_grammar_walk *w) {
    memset(w->buckets, 0, w->n_buckets * sizeof *w->buckets);
    for (uint32_t id = 1; id < w->n_nodes; id++) {
        link_node(w, id);
    }
}

static bool grow_nodes(qn_grammar_walk *w) {
    const uint32_t wanted = w->cap_nodes == 0 ? 1024 : w->cap_nodes * 2;
    if (w->cap_nodes >= MAX_NODES) {
        w->failure = TOO_MANY_NODES;
        return false;
    }
    node *nodes = qn_resize_array(w->nodes, wanted, sizeof *nodes);
    w->nodes = nodes == NULL ? w->nodes : nodes;
    uint32_t *buckets = qn_new_array(wanted, sizeof *buckets);
    if (nodes == NULL || buckets == NULL) {
        free(buckets);
        w->failure = NO_MEMORY;
        return false;
    }
    free(w->buckets);
    w->buckets = buckets;
    w->n_buckets = wanted;
    w->cap_nodes = wanted;
    link_all(w);
    return true;
}

/* The node of a symbol that is not an end; false when there is no room. */
static bool find_node(qn_grammar_walk *w, uint32_t at, uint32_t parent, uint32_t *id) {
    for (*id = w->buckets[bucket_of(w, at, parent)]; *id != 0; *id = w->nodes[*id].next) {
        if (w->nodes[*id].at == at && w->nodes[*id].parent == parent) {
            return true;
        }
    }
    if (w->n_nodes == w->cap_nodes && !grow_nodes(w)) {
        return false;
    }
    *id = w->n_nodes++;
    w->nodes[*id] = (node){at, parent, 0, 0};
    link_node(w, *id);
    return true;
}

/* What was found last lies first in its bucket, so that taking back is cheap. */
static void forget_nodes(qn_grammar_walk *w, uint32_t n) {
    while (w->n_nodes > n) {
        const node *last = &w->nodes[--w->n_nodes];
        w->buckets[bucket_of(w, last->at, last->parent)] = last->next;
    }
}

static void next_stamp(qn_grammar_walk *w) {
    if (++w->stamp == 0) {
        for (uint32_t i = 0; i < w->n_nodes; i++) {
            w->nodes[i].stamp = 0;
        }
        w->stamp = 1;
    }
}

/* ---- Ways ---- */

/* A symbol comes next, with what lies below it; at the end of a rule that is what comes next. */
static bool enter(qn_grammar_walk *w, uint32_t at, uint32_t parent) {
    uint32_t id = parent;
    if (w->symbols[at].kind != QN_SYMBOL_END && !find_node(w, at, parent, &id)) {
        return false;
    }
    if (w->nodes[id].stamp == w->stamp) {
        return true;
    }
    w->nodes[id].stamp = w->stamp;
    if (++w->n_visits_now > MAX_VISITS_A_BYTE) {
        w->failure = TOO_MANY_WAYS;
        return false;
    }
    return push_work(w, id);
}

static bool enter_rule(qn_grammar_walk *w, uint32_t rule, uint32_t back) {
    const qn_grammar_rule *r = &qn_grammar_rules(w->g)[rule];
    const uint32_t *alts = qn_grammar_alts(w->g) + r->first_alt;
    for (uint32_t i = 0; i < r->n_alts; i++) {
        if (!enter(w, alts[i], back)) {
            return false;
        }
    }
    return true;
}

/* Follows rules until a character is next in every way. @param first where this set of ways begins */
static bool follow(qn_grammar_walk *w, size_t first) {
    while (w->n_work > 0) {
        const uint32_t id = w->work[--w->n_work];
        const node from = w->nodes[id];
        if (id == 0 || w->symbols[from.at].kind != QN_SYMBOL_RULE) {
            if (w->n_ways - first >= MAX_WAYS) {
                w->failure = TOO_MANY_WAYS;
                return false;
            }
            if (!push_way(w, id)) {
                return false;
            }
            continue;
        }
        uint32_t back = from.parent;
        if (w->symbols[from.at + 1].kind != QN_SYMBOL_END && !find_node(w, from.at + 1, from.parent, &back)) {
            return false;
        }
        if (!enter_rule(w, w->symbols[from.at].value, back)) {
            return false;
        }
    }
    return true;
}

/* Whether a symbol and the characters low to high have one in common. */
static bool meets(const qn_grammar_walk *w, uint32_t at, uint32_t low, uint32_t high) {
    const qn_symbol *symbol = &w->symbols[at];
    if (symbol->kind == QN_SYMBOL_CHAR) {
        return symbol->value >= low && symbol->value <= high;
    }
    const qn_symbol_set *set = (const qn_symbol_set *)(const void *)w->g->sets.data + symbol->value;
    if (high < 128 && low == high) {
        return (set->ascii[low / 32] >> (low % 32) & 1U) != 0;
    }
    return qn_ranges_meet((const qn_char_range *)(const void *)w->g->ranges.data + set->first, set->n, low, high);
}

/* Keeps of the last place's ways those that a character of low to high goes on, past it when it is whole. */
static bool go_on(qn_grammar_walk *w, place *to, uint32_t low, uint32_t high) {
    const place from = w->places[w->n_places - 1];
    w->n_work = 0;
    w->n_visits_now = 0;
    next_stamp(w);
    for (uint32_t i = 0; i < from.n; i++) {
        const uint32_t id = w->ways[from.first + i];
        if (id == 0 || !meets(w, w->nodes[id].at, low, high)) {
            continue;
        }
        if (!(to->n_left > 0 ? push_way(w, id) : enter(w, w->nodes[id].at + 1, w->nodes[id].parent))) {
            return false;
        }
    }
    return follow(w, to->first);
}

/* ---- Bytes ---- */

/* The first byte of a character; false when there is none such. */
static bool begin_character(place *to, unsigned char byte) {
    if (byte < 0x80) {
        *to = (place){.code = byte, .n_bytes = 1, .n_left = 0};
    } else if (byte >= 0xC2 && byte <= 0xDF) {
        *to = (place){.code = byte & 0x1FU, .n_bytes = 2, .n_left = 1};
    } else if (byte >= 0xE0 && byte <= 0xEF) {
        *to = (place){.code = byte & 0x0FU, .n_bytes = 3, .n_left = 2};
    } else if (byte >= 0xF0 && byte <= 0xF4) {
        *to = (place){.code = byte & 0x07U, .n_bytes = 4, .n_left = 3};
    } else {
        return false;
    }
    return true;
}

/* The characters that what there is of one can become; false when there is none. */
static bool possible_range(const place *p, uint32_t *low, uint32_t *high) {
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    *low = p->code << (6 * p->n_left);
    *high = *low | ((1U << (6 * p->n_left)) - 1);
    *low = *low < least[p->n_bytes] ? least[p->n_bytes] : *low;
    *high = *high > QN_MAX_CODE ? QN_MAX_CODE : *high;
    return *low <= *high && !(*low >= 0xD800 && *high <= 0xDFFF);
}

static bool next_character(const place *from, unsigned char byte, place *to, uint32_t *low, uint32_t *high) {
    if (from->n_left == 0) {
        return begin_character(to, byte) && possible_range(to, low, high);
    }
    if ((byte & 0xC0U) != 0x80U) {
        return false;
    }
    *to = (place){
        .code = from->code << 6 | (byte & 0x3FU), .n_bytes = from->n_bytes, .n_left = (uint8_t)(from->n_left - 1)};
    return possible_range(to, low, high);
}

bool qn_grammar_push(qn_grammar_walk *w, unsigned char byte) {
    const place *from = &w->places[w->n_places - 1];
    const size_t n_ways = w->n_ways;
    const uint32_t n_nodes = w->n_nodes;
    uint32_t low = 0;
    uint32_t high = 0;
    place to;
    if (w->failure != NO_FAILURE || !next_character(from, byte, &to, &low, &high)) {
        return false;
    }
    to.first = (uint32_t)n_ways;
    const bool has_gone = go_on(w, &to, low, high);
    w->n_visits += w->n_visits_now;
    if (has_gone && w->n_visits > MAX_VISITS) {
        w->failure = TOO_MANY_VISITS;
    }
    to.n = (uint32_t)(w->n_ways - n_ways);
    to.n_nodes = w->n_nodes;
    if (w->failure == NO_FAILURE && to.n > 0 && push_place(w, &to)) {
        return true;
    }
    w->n_ways = n_ways;
    forget_nodes(w, n_nodes);
    return false;
}

size_t qn_grammar_depth(const qn_grammar_walk *w) {
    return w->n_places - 1;
}

void qn_grammar_pop_to(qn_grammar_walk *w, size_t depth) {
    if (depth + 1 >= w->n_places) {
        return;
    }
    w->n_places = depth + 1;
    const place *top = &w->places[depth];
    w->n_ways = (size_t)top->first + top->n;
    forget_nodes(w, top->n_nodes);
}

/* Throws away the nodes that no way of the only place stands on. A parent is older, so one pass down finds all. */
static void tidy(qn_grammar_walk *w) {
    uint32_t n = 1;
    next_stamp(w);
    for (size_t i = 0; i < w->n_ways; i++) {
        w->nodes[w->ways[i]].stamp = w->stamp;
    }
    for (uint32_t id = w->n_nodes - 1; id > 0; id--) {
        if (w->nodes[id].stamp == w->stamp) {
            w->nodes[w->nodes[id].parent].stamp = w->stamp;
        }
    }
    w->n_work = 0; /* becomes the map from old to new */
    (void)push_work(w, 0);
    for (uint32_t id = 1; id < w->n_nodes && w->n_work == id; id++) {
        const node old = w->nodes[id];
        const bool is_kept = old.stamp == w->stamp;
        if (push_work(w, is_kept ? n : 0) && is_kept) {
            w->nodes[n++] = (node){old.at, w->work[old.parent], 0, 0};
        }
    }
    if (w->n_work != w->n_nodes) {
        return; /* no memory for the map: the walk has failed */
    }
    for (size_t i = 0; i < w->n_ways; i++) {
        w->ways[i] = w->work[w->ways[i]];
    }
    w->n_nodes = n;
    w->places[0].n_nodes = n;
    link_all(w);
}

void qn_grammar_commit(qn_grammar_walk *w) {
    place *top = &w->places[w->n_places - 1];
    memmove(w->ways, w->ways + top->first, top->n * sizeof *w->ways);
    w->n_ways = top->n;
    w->places[0] = *top;
    w->places[0].first = 0;
    w->n_places = 1;
    w->n_visits = 0;
    if (w->n_nodes > 2 * w->n_kept + 1024) {
        tidy(w);
        w->n_kept = w->n_nodes;
    }
}

bool qn_grammar_may_end(const qn_grammar_walk *w) {
    const place *top = &w->places[w->n_places - 1];
    for (uint32_t i = 0; i < top->n && top->n_left == 0; i++) {
        if (w->ways[top->first + i] == 0) {
            return true;
        }
    }
    return false;
}

bool qn_grammar_must_end(const qn_grammar_walk *w) {
    return w->places[w->n_places - 1].n == 1 && qn_grammar_may_end(w);
}

/* ---- The walk itself ---- */

qn_status qn_grammar_walk_status(const qn_grammar_walk *w, qn_error *err) {
    switch (w->failure) {
    case NO_FAILURE: return QN_OK;
    case NO_MEMORY: return qn_fail_nomem(err, "a grammar's state", w->cap_nodes * sizeof *w->nodes);
    case TOO_MANY_NODES:
        return qn_fail(err, QN_E_RANGE,
                       "the grammar's rules nest too deeply in this text: more than %d places to return to", MAX_NODES);
    default:
        return qn_fail(err, QN_E_RANGE,
                       "the grammar is too ambiguous: the text so far can be read in more than %d ways; give each "
                       "alternative a beginning of its own",
                       MAX_WAYS);
    }
}

qn_status qn_grammar_walk_reset(qn_grammar_walk *w, qn_error *err) {
    const place start = {0};
    w->failure = NO_FAILURE;
    w->n_ways = w->n_work = w->n_places = 0;
    w->n_visits = w->n_visits_now = 0;
    if (w->cap_nodes == 0 && !grow_nodes(w)) {
        return qn_grammar_walk_status(w, err);
    }
    w->n_nodes = 1;
    w->n_kept = 1;
    w->nodes[0] = (node){0, 0, 0, 0};
    link_all(w);
    next_stamp(w);
    if (push_place(w, &start) && enter_rule(w, w->g->root, 0) && follow(w, 0)) {
        w->places[0].n = (uint32_t)w->n_ways;
        w->places[0].n_nodes = w->n_nodes;
    }
    return qn_grammar_walk_status(w, err);
}

qn_status qn_grammar_walk_new(const qn_grammar *grammar, qn_grammar_walk **out, qn_error *err) {
    qn_grammar_walk *w = qn_new_array(1, sizeof *w);
    if (w == NULL) {
        return qn_fail_nomem(err, "a grammar's state", sizeof *w);
    }
    w->g = grammar;
    w->symbols = qn_grammar_symbols(grammar);
    const qn_status status = qn_grammar_walk_reset(w, err);
    if (status != QN_OK) {
        qn_grammar_walk_free(w);
        return status;
    }
    *out = w;
    return QN_OK;
}

void qn_grammar_walk_free(qn_grammar_walk *walk) {
    if (walk == NULL) {
        return;
    }
    free(walk->nodes);
    free(walk->buckets);
    free(walk->ways);
    free(walk->work);
    free(walk->places);
    free(walk);
}
