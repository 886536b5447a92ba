/* SPDX-License-Identifier: MIT */
/* nearest.c: Levenshtein distance over one row of the table. */
#include "base/nearest.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_LEN = 127, MAX_OUT = 8 };

static size_t cut_len(const char *s) {
    const size_t n = strlen(s);
    return n < MAX_LEN ? n : MAX_LEN;
}

unsigned qn_edit_distance(const char *a, const char *b) {
    const size_t n_a = cut_len(a);
    const size_t n_b = cut_len(b);
    unsigned row[MAX_LEN + 1];
    for (size_t j = 0; j <= n_b; j++) {
        row[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= n_a; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n_b; j++) {
            const unsigned replaced = diagonal + (a[i - 1] != b[j - 1]);
            const unsigned shorter = (row[j] < row[j - 1] ? row[j] : row[j - 1]) + 1;
            diagonal = row[j];
            row[j] = replaced < shorter ? replaced : shorter;
        }
    }
    return row[n_b];
}

size_t qn_nearest(const char *name, const char *const *candidates, uint64_t n, const char **out, size_t max_out) {
    unsigned distances[MAX_OUT];
    const unsigned limit = (unsigned)(cut_len(name) / 2 + 1);
    size_t found = 0;
    if (max_out > MAX_OUT) {
        max_out = MAX_OUT;
    }
    for (uint64_t i = 0; i < n; i++) {
        const unsigned d = qn_edit_distance(name, candidates[i]);
        size_t at = found;
        while (at > 0 && distances[at - 1] > d) {
            at--;
        }
        if (d > limit || at >= max_out) {
            continue;
        }
        if (found < max_out) {
            found++;
        }
        for (size_t k = found - 1; k > at; k--) {
            distances[k] = distances[k - 1];
            out[k] = out[k - 1];
        }
        distances[at] = d;
        out[at] = candidates[i];
    }
    return found;
}
