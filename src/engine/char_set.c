/* SPDX-License-Identifier: MIT */
/* char_set.c: ranges of code points: added in any order, tidied once, then searched by halves. */
#include "engine/char_set.h"

#include <stdlib.h>

static qn_char_range *items_of(qn_char_set *set) {
    return (qn_char_range *)(void *)set->ranges.data;
}

void qn_char_set_add(qn_char_set *set, uint32_t low, uint32_t high) {
    const qn_char_range range = {low, high};
    qn_buffer_append(&set->ranges, &range, sizeof range);
}

void qn_char_set_add_all(qn_char_set *set, const qn_char_set *other) {
    if (other->ranges.len > 0) {
        qn_buffer_append(&set->ranges, other->ranges.data, other->ranges.len);
    }
}

static int compare(const void *a, const void *b) {
    const qn_char_range *x = a;
    const qn_char_range *y = b;
    return (x->low > y->low) - (x->low < y->low);
}

void qn_char_set_tidy(qn_char_set *set) {
    const size_t n = qn_char_set_n(set);
    qn_char_range *items = items_of(set);
    size_t n_kept = 0;
    if (n == 0) {
        return;
    }
    qsort(items, n, sizeof *items, compare);
    for (size_t i = 0; i < n; i++) {
        qn_char_range *last = n_kept == 0 ? NULL : &items[n_kept - 1];
        if (last != NULL && items[i].low <= last->high + 1) {
            last->high = items[i].high > last->high ? items[i].high : last->high;
        } else {
            items[n_kept++] = items[i];
        }
    }
    set->ranges.len = n_kept * sizeof *items;
}

void qn_char_set_invert(qn_char_set *set) {
    qn_char_set others = {0};
    uint32_t next = 0;
    qn_char_set_tidy(set);
    for (size_t i = 0; i < qn_char_set_n(set); i++) {
        const qn_char_range *range = &items_of(set)[i];
        if (range->low > next) {
            qn_char_set_add(&others, next, range->low - 1);
        }
        next = range->high + 1;
    }
    if (next <= QN_MAX_CODE) {
        qn_char_set_add(&others, next, QN_MAX_CODE);
    }
    others.ranges.has_failed = others.ranges.has_failed || set->ranges.has_failed;
    qn_char_set_clear(set);
    *set = others;
}

void qn_char_set_clear(qn_char_set *set) {
    qn_buffer_clear(&set->ranges);
}

bool qn_ranges_meet(const qn_char_range *ranges, size_t n, uint32_t low, uint32_t high) {
    size_t first = 0; /* the first range that ends at low or behind it */
    size_t end = n;
    while (first < end) {
        const size_t middle = first + (end - first) / 2;
        if (ranges[middle].high < low) {
            first = middle + 1;
        } else {
            end = middle;
        }
    }
    return first < n && ranges[first].low <= high;
}
