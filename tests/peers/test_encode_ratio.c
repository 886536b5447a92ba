/* SPDX-License-Identifier: MIT */
/*
 * test_encode_ratio.c: our encoders at normal effort beside ggml's: the error of what they write.
 *
 * For each type and distribution of rows, plain and with importance, both encode the same rows and our decoder reads
 * both back. Our error (weighted by the importance where there is one) is at most 1.001 times ggml's; F16, BF16 and
 * Q8_0, which leave no choice, agree in every byte. Needs libggml-base.so in the folder that QUERN_LLAMA_LIBS names;
 * is skipped without.
 */
#include "peer.h"

#include <math.h>
#include <stdio.h>

enum { N_ROWS = 32, SKIPPED = 77 };

#define MAX_RATIO 1.001

/* Sets on which the type breaks the law. */
static int check_type(const qn_peer *peer, qn_dtype type, const qn_row_sets *sets, const float *v) {
    const char *name = qn_dtype_get((uint32_t)type)->name;
    const bool has_choice = type != QN_F16 && type != QN_BF16 && type != QN_Q8_0;
    int n_failed = 0;
    for (size_t s = 0; s < sets->n; s++) {
        qn_peer_result r;
        if (!qn_peer_encode_both(peer, QN_EFFORT_NORMAL, type, &sets->sets[s], v, &r)) {
            printf("note: %s has no encoder\n", name);
            return 0;
        }
        const double ratio = qn_peer_ratio(r.ours.weighted, r.theirs.weighted);
        const bool holds = ratio <= MAX_RATIO && (has_choice || r.n_other == 0);
        n_failed += !holds;
        printf("%-5s %-8s %-10s %-12s rel. error %.6f, ratio %.6f; %llu bytes differ\n", holds ? "ok" : "FAIL", name,
               v != NULL ? "importance" : "plain", sets->sets[s].name, sqrt(r.ours.weighted), ratio,
               (unsigned long long)r.n_other);
    }
    return n_failed;
}

int main(void) {
    qn_peer peer;
    qn_row_sets sets;
    int n_failed = 0;
    if (!qn_peer_open(&peer)) {
        return SKIPPED;
    }
    qn_row_sets_init(&sets, N_ROWS);
    for (uint32_t id = 0; id < QN_DTYPE_LIMIT; id++) {
        if (!qn_peer_is_compared(id)) {
            continue;
        }
        if (!qn_peer_needs_importance((qn_dtype)id)) {
            n_failed += check_type(&peer, (qn_dtype)id, &sets, NULL);
        }
        n_failed += check_type(&peer, (qn_dtype)id, &sets, sets.importance);
    }
    qn_row_sets_clear(&sets);
    qn_peer_close(&peer);
    printf("%d failed\n", n_failed);
    return n_failed == 0 ? 0 : 1;
}
