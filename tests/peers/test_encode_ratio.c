/* SPDX-License-Identifier: MIT */
/*
 * test_encode_ratio.c: our encoders beside ggml's: the error of what they write, at normal and at best effort.
 *
 * For each type and distribution of rows, plain and with importance, both encode the same rows and our decoder reads
 * both back. Normal effort: our error (weighted by the importance where there is one) is at most 1.001 times ggml's;
 * F16, BF16 and Q8_0, which leave no choice, agree in every byte. Best effort, over all distributions: at least 60 % of
 * the way from ggml's error to the floor (bench/floor.h) for the K, IQ4 and IQ3 types, at most 0.92 of ggml's for IQ1
 * and IQ2. Needs libggml-base.so in the folder that QUERN_LLAMA_LIBS names; is skipped without.
 */
#include "floor.h"
#include "peer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_ROWS = 64, N_BEST_ROWS = 16, SKIPPED = 77 };

#define MAX_RATIO 1.001
#define MIN_WAY 0.6
#define MAX_BEST_RATIO 0.92

/* Both encoders' results for one set. */
typedef struct result {
    qn_row_errors ours;
    qn_row_errors theirs;
    uint64_t n_other; /* bytes that differ */
} result;

static result encode_both(const qn_peer *peer, qn_effort effort, qn_dtype type, const qn_row_set *set, const float *v) {
    const uint64_t size = qn_peer_size(type, set);
    unsigned char *ours = qn_peer_alloc(size, 1);
    unsigned char *theirs = qn_peer_alloc(size, 1);
    result r;
    (void)qn_peer_encode_ours(effort, type, set, v, ours);
    qn_peer_encode_theirs(peer, type, set, v, theirs);
    r.ours = qn_peer_errors(type, set, v, ours);
    r.theirs = qn_peer_errors(type, set, v, theirs);
    r.n_other = 0;
    for (uint64_t i = 0; i < size; i++) {
        r.n_other += ours[i] != theirs[i];
    }
    free(ours);
    free(theirs);
    return r;
}

/* sqrt(ours / theirs), 1 when both are nothing. */
static double ratio_of(double ours, double theirs) {
    return theirs > 0 ? sqrt(ours / theirs) : (ours > 0 ? INFINITY : 1.0);
}

/* Whether the type holds the law of normal effort on each set. */
static bool check_normal(const qn_peer *peer, qn_dtype type, const qn_row_sets *sets, const float *v) {
    const bool has_choice = type != QN_F16 && type != QN_BF16 && type != QN_Q8_0;
    bool holds = true;
    for (size_t s = 0; s < sets->n; s++) {
        const result r = encode_both(peer, QN_EFFORT_NORMAL, type, &sets->sets[s], v);
        const double ratio = ratio_of(r.ours.weighted, r.theirs.weighted);
        const bool is_good = ratio <= MAX_RATIO && (has_choice || r.n_other == 0);
        holds = holds && is_good;
        printf("%-5s normal %-8s %-10s %-12s rel. error %.6f, ratio %.6f; %llu bytes differ\n", is_good ? "ok" : "FAIL",
               qn_dtype_get((uint32_t)type)->name, v != NULL ? "importance" : "plain", sets->sets[s].name,
               sqrt(r.ours.weighted), ratio, (unsigned long long)r.n_other);
    }
    return holds;
}

/* What best effort must reach. */
typedef enum goal { GOAL_NONE, GOAL_WAY, GOAL_RATIO } goal;

static goal goal_of(qn_dtype type) {
    switch (type) {
    case QN_Q2_K:
    case QN_Q3_K:
    case QN_Q4_K:
    case QN_Q5_K:
    case QN_Q6_K:
    case QN_IQ4_NL:
    case QN_IQ4_XS:
    case QN_IQ3_XXS:
    case QN_IQ3_S: return GOAL_WAY;
    case QN_IQ1_S:
    case QN_IQ1_M:
    case QN_IQ2_XXS:
    case QN_IQ2_XS:
    case QN_IQ2_S: return GOAL_RATIO;
    default: return GOAL_NONE;
    }
}

/* Errors of some rows of every set, and the floor for them where it is the goal. */
static bool check_best(const qn_peer *peer, qn_dtype type, const qn_row_sets *sets, const float *v) {
    const goal wanted = goal_of(type);
    double ours = 0;
    double theirs = 0;
    double floor_sum = 0;
    for (size_t s = 0; s < sets->n; s++) {
        qn_row_set few = sets->sets[s];
        const uint64_t limit = wanted == GOAL_WAY ? qn_floor_rows(type) : N_BEST_ROWS;
        double error = 0;
        few.n_rows = few.n_rows < limit ? few.n_rows : limit;
        const result r = encode_both(peer, QN_EFFORT_BEST, type, &few, v);
        ours += r.ours.weighted;
        theirs += r.theirs.weighted;
        if (wanted == GOAL_WAY && qn_floor_error(type, few.x, few.n_rows, QN_PEER_COLS, v, &error)) {
            floor_sum += error;
        }
    }
    const double ratio = ratio_of(ours, theirs);
    const double floor_ratio = ratio_of(floor_sum, theirs);
    const double way = (1.0 - ratio) / (1.0 - floor_ratio);
    const bool is_good = wanted == GOAL_NONE ? ratio <= MAX_RATIO
        : wanted == GOAL_WAY                 ? way >= MIN_WAY
                                             : ratio <= MAX_BEST_RATIO;
    printf("%-5s best   %-8s %-10s ratio %.6f", is_good ? "ok" : "FAIL", qn_dtype_get((uint32_t)type)->name,
           v != NULL ? "importance" : "plain", ratio);
    if (wanted == GOAL_WAY) {
        printf(", floor %.6f: %.0f %% of the way", floor_ratio, 100.0 * way);
    }
    printf("\n");
    return is_good;
}

static int check_type(const qn_peer *peer, qn_dtype type, const qn_row_sets *sets, const float *v) {
    return !check_normal(peer, type, sets, v) + !check_best(peer, type, sets, v);
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
