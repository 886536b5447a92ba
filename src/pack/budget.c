/* SPDX-License-Identifier: MIT */
/*
 * budget.c: the choice of types as a knapsack with one item a tensor.
 *
 * A tensor's choices that lie on the lower convex hull of (bytes, cost) have falling gains per byte, so taking the
 * steps of all hulls in the order of their gain gives the best choice there is for the bytes it ends at (the hull is
 * what a Lagrange multiplier would find). What is left of the budget, less than a step, goes to the largest gain that
 * fits, and then to exchanges of two tensors while one pays.
 */
#include "pack/budget.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Exchanges try every pair of tensors; with many tensors what they could gain is next to nothing. */
enum { MAX_EXCHANGES = 256, MAX_EXCHANGED_ITEMS = 256 };

/** A choice with its cost. */
typedef struct point {
    uint64_t size_bytes;
    double cost;
    qn_dtype type;
} point;

/** A tensor: the choices that are worth their bytes, in the order of size; each is cheaper than those before it. */
typedef struct item {
    point *points;
    uint32_t n;
    uint32_t at; /* the one chosen */
} item;

/** A step along a hull. */
typedef struct step {
    uint64_t item;
    uint32_t from, to;
    double gain; /* cost saved per byte */
} step;

typedef struct chooser {
    item *items;
    uint64_t n_items;
    uint64_t n_points; /* of all items */
    uint64_t left;     /* bytes of the budget not spent */
} chooser;

static int compare_points(const void *a, const void *b) {
    const point *x = a;
    const point *y = b;
    if (x->size_bytes != y->size_bytes) {
        return x->size_bytes < y->size_bytes ? -1 : 1;
    }
    if (x->cost != y->cost) {
        return x->cost < y->cost ? -1 : 1;
    }
    return (int)x->type - (int)y->type;
}

static int compare_steps(const void *a, const void *b) {
    const step *x = a;
    const step *y = b;
    if (x->gain != y->gain) {
        return x->gain > y->gain ? -1 : 1;
    }
    if (x->item != y->item) {
        return x->item < y->item ? -1 : 1;
    }
    return x->from < y->from ? -1 : x->from > y->from ? 1 : 0;
}

/* Lists the choices that no smaller one beats. */
static qn_status fill_item(qn_arena *arena, const qn_survey_tensor *t, item *out, qn_error *err) {
    out->points = qn_arena_array(arena, t->n_choices, sizeof *out->points);
    if (out->points == NULL) {
        return qn_fail_nomem(err, "the choice of types", t->n_choices * sizeof *out->points);
    }
    for (uint32_t i = 0; i < t->n_choices; i++) {
        out->points[i] = (point){t->choices[i].size_bytes, qn_survey_cost(t, &t->choices[i]), t->choices[i].type};
    }
    qsort(out->points, t->n_choices, sizeof *out->points, compare_points);
    for (uint32_t i = 0; i < t->n_choices; i++) {
        if (out->n == 0 || out->points[i].cost < out->points[out->n - 1].cost) {
            out->points[out->n++] = out->points[i];
        }
    }
    return QN_OK;
}

static double gain_between(const point *a, const point *b) {
    return (a->cost - b->cost) / (double)(b->size_bytes - a->size_bytes);
}

/* The steps of an item's hull: from each point to the later one with the largest gain per byte. */
static uint64_t add_steps(const item *it, uint64_t index, step *steps) {
    uint64_t n = 0;
    for (uint32_t from = 0; from + 1 < it->n;) {
        step best = {index, from, from + 1, gain_between(&it->points[from], &it->points[from + 1])};
        for (uint32_t to = from + 2; to < it->n; to++) {
            const double gain = gain_between(&it->points[from], &it->points[to]);
            if (gain >= best.gain) {
                best.to = to;
                best.gain = gain;
            }
        }
        steps[n++] = best;
        from = best.to;
    }
    return n;
}

/* Takes steps in the order of their gain. A step that does not fit ends its item: later ones stand on it. */
static void take_steps(chooser *c, const step *steps, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        item *it = &c->items[steps[i].item];
        const uint64_t more = it->points[steps[i].to].size_bytes - it->points[steps[i].from].size_bytes;
        if (it->at == steps[i].from && more <= c->left) {
            it->at = steps[i].to;
            c->left -= more;
        }
    }
}

/* The choice of an item that saves most for at most so many bytes more; its saving, 0 for none. */
static double best_upgrade(const item *it, uint64_t more, uint32_t *to) {
    const uint64_t limit = it->points[it->at].size_bytes + more;
    uint32_t best = it->at;
    while (best + 1 < it->n && it->points[best + 1].size_bytes <= limit) {
        best++;
    }
    *to = best;
    return it->points[it->at].cost - it->points[best].cost;
}

/* Spends what is left on the largest saving that fits, again and again. */
static void fill_up(chooser *c) {
    for (;;) {
        double best = 0.0;
        uint64_t best_item = 0;
        uint32_t best_to = 0;
        for (uint64_t i = 0; i < c->n_items; i++) {
            uint32_t to = 0;
            const double saved = best_upgrade(&c->items[i], c->left, &to);
            if (saved > best) {
                best = saved;
                best_item = i;
                best_to = to;
            }
        }
        if (best <= 0.0) {
            return;
        }
        item *it = &c->items[best_item];
        c->left -= it->points[best_to].size_bytes - it->points[it->at].size_bytes;
        it->at = best_to;
    }
}

/* One item a choice down, another up with the bytes that frees: the pair that saves most. */
static bool exchange_once(chooser *c) {
    double best = 0.0;
    uint64_t best_down = 0;
    uint64_t best_up = 0;
    uint32_t best_from = 0;
    uint32_t best_to = 0;
    for (uint64_t d = 0; d < c->n_items; d++) {
        const item *down = &c->items[d];
        for (uint32_t k = 0; k < down->at; k++) {
            const uint64_t freed = down->points[down->at].size_bytes - down->points[k].size_bytes;
            const double lost = down->points[k].cost - down->points[down->at].cost;
            for (uint64_t u = 0; u < c->n_items; u++) {
                uint32_t to = 0;
                const double saved = u == d ? 0.0 : best_upgrade(&c->items[u], c->left + freed, &to) - lost;
                if (saved > best + 1e-12 * lost) {
                    best = saved;
                    best_down = d;
                    best_up = u;
                    best_from = k;
                    best_to = to;
                }
            }
        }
    }
    if (best <= 0.0) {
        return false;
    }
    item *down = &c->items[best_down];
    item *up = &c->items[best_up];
    c->left += down->points[down->at].size_bytes - down->points[best_from].size_bytes;
    c->left -= up->points[best_to].size_bytes - up->points[up->at].size_bytes;
    down->at = best_from;
    up->at = best_to;
    return true;
}

static void sum_up(const chooser *c, qn_budget_report *report) {
    *report = (qn_budget_report){0};
    for (uint64_t i = 0; i < c->n_items; i++) {
        const item *it = &c->items[i];
        report->size_bytes += it->points[it->at].size_bytes;
        report->cost += it->points[it->at].cost;
        report->min_bytes += it->points[0].size_bytes;
        report->max_cost += it->points[0].cost;
        report->max_bytes += it->points[it->n - 1].size_bytes;
        report->min_cost += it->points[it->n - 1].cost;
    }
}

/* Chooses within what is left above the smallest choices. */
static qn_status spend(chooser *c, qn_arena *arena, qn_error *err) {
    step *steps = qn_arena_array(arena, c->n_points, sizeof *steps);
    uint64_t n = 0;
    if (steps == NULL) {
        return qn_fail_nomem(err, "the choice of types", c->n_points * sizeof *steps);
    }
    for (uint64_t i = 0; i < c->n_items; i++) {
        n += add_steps(&c->items[i], i, steps + n);
    }
    qsort(steps, n, sizeof *steps, compare_steps);
    take_steps(c, steps, n);
    fill_up(c);
    for (unsigned i = 0; i < MAX_EXCHANGES && c->n_items <= MAX_EXCHANGED_ITEMS && exchange_once(c); i++) {
        fill_up(c);
    }
    return QN_OK;
}

static qn_status choose(chooser *c, const qn_survey *survey, qn_arena *arena, uint64_t budget_bytes,
                        qn_budget_report *report, qn_error *err) {
    c->n_items = survey->n_tensors;
    c->items = qn_arena_array(arena, c->n_items, sizeof *c->items);
    if (c->items == NULL) {
        return qn_fail_nomem(err, "the choice of types", c->n_items * sizeof *c->items);
    }
    for (uint64_t i = 0; i < c->n_items; i++) {
        QN_TRY(fill_item(arena, &survey->tensors[i], &c->items[i], err));
        c->n_points += c->items[i].n;
    }
    sum_up(c, report);
    if (budget_bytes < report->min_bytes) {
        return qn_fail(err, QN_E_USAGE,
                       "%llu bytes are too few for the weights: the smallest types that can be taken need %llu; ask "
                       "for more, or pass an importance matrix (--imatrix), which allows smaller types",
                       (unsigned long long)budget_bytes, (unsigned long long)report->min_bytes);
    }
    c->left = budget_bytes - report->min_bytes;
    QN_TRY(spend(c, arena, err));
    sum_up(c, report);
    return QN_OK;
}

qn_status qn_budget_choose(const qn_survey *survey, uint64_t budget_bytes, qn_dtype *types, qn_budget_report *report,
                           qn_error *err) {
    chooser c = {0};
    qn_budget_report own = {0};
    qn_arena *arena = qn_arena_new();
    qn_status status = QN_OK;
    if (arena == NULL) {
        return qn_fail_nomem(err, "the choice of types", 0);
    }
    status = choose(&c, survey, arena, budget_bytes, &own, err);
    for (uint64_t i = 0; i < c.n_items && status == QN_OK; i++) {
        types[i] = c.items[i].points[c.items[i].at].type;
    }
    if (report != NULL) {
        *report = own;
    }
    qn_arena_free(arena);
    return status;
}

void qn_budget_write(const qn_survey *survey, const qn_dtype *types, qn_buffer *out) {
    for (uint64_t i = 0; i < survey->n_tensors; i++) {
        qn_buffer_u8(out, '^');
        for (const char *c = survey->tensors[i].name; *c != '\0'; c++) {
            const unsigned char byte = (unsigned char)*c;
            if (isalnum(byte) || byte == '_' || byte >= 0x80) {
                qn_buffer_u8(out, byte);
            } else if (byte > ' ' && byte < 0x7F) {
                qn_buffer_printf(out, "\\%c", byte);
            } else {
                qn_buffer_printf(out, "\\x%02X", byte);
            }
        }
        qn_buffer_printf(out, "$=%s\n", qn_dtype_get((uint32_t)types[i])->name);
    }
}
