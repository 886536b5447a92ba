/* SPDX-License-Identifier: MIT */
/*
 * test_encode_best.c: our encoders at best effort beside ggml's, and beside the least error possible.
 *
 * Over Gaussian, heavy-tailed and the sample model's rows together, plain and with importance: at least 60 % of the way
 * from ggml's error to the floor (bench/floor.h) for the K, IQ4 and IQ3 types, at most 0.92 of ggml's error for IQ1 and
 * IQ2, never more than ggml's for the others. Needs libggml-base.so in the folder that QUERN_LLAMA_LIBS names; is
 * skipped without.
 */
#include "floor.h"
#include "peer.h"

#include <stdio.h>

enum { N_ROWS = 16, SKIPPED = 77 };

#define MAX_RATIO 1.001
#define MIN_WAY 0.6
#define MAX_GRID_RATIO 0.92

/* What a type must reach. */
typedef enum goal { NOT_WORSE, WAY_TO_FLOOR, GRID_RATIO } goal;

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
    case QN_IQ3_S: return WAY_TO_FLOOR;
    case QN_IQ1_S:
    case QN_IQ1_M:
    case QN_IQ2_XXS:
    case QN_IQ2_XS:
    case QN_IQ2_S: return GRID_RATIO;
    default: return NOT_WORSE;
    }
}

/* Prints the line of a type; whether it reached its goal. */
static bool judge(qn_dtype type, bool has_importance, double ratio, double floor_ratio) {
    const goal wanted = goal_of(type);
    const double way = (1.0 - ratio) / (1.0 - floor_ratio);
    const bool is_good = wanted == WAY_TO_FLOOR ? way >= MIN_WAY
        : wanted == GRID_RATIO                  ? ratio <= MAX_GRID_RATIO
                                                : ratio <= MAX_RATIO;
    printf("%-5s %-8s %-10s ratio %.6f", is_good ? "ok" : "FAIL", qn_dtype_get((uint32_t)type)->name,
           has_importance ? "importance" : "plain", ratio);
    if (wanted == WAY_TO_FLOOR) {
        printf(", floor %.6f: %.0f %% of the way", floor_ratio, 100.0 * way);
    }
    printf("\n");
    return is_good;
}

static bool check_type(const qn_peer *peer, qn_dtype type, const qn_row_sets *sets, const float *v) {
    double ours = 0;
    double theirs = 0;
    double floor_sum = 0;
    for (size_t s = 0; s < sets->n; s++) {
        const bool has_floor = goal_of(type) == WAY_TO_FLOOR;
        qn_row_set few = sets->sets[s];
        qn_peer_result r;
        double error = 0;
        if (has_floor && few.n_rows > qn_floor_rows(type)) {
            few.n_rows = qn_floor_rows(type);
        }
        if (!qn_peer_encode_both(peer, QN_EFFORT_BEST, type, &few, v, &r)) {
            printf("note: %s has no encoder\n", qn_dtype_get((uint32_t)type)->name);
            return true;
        }
        if (has_floor && qn_floor_error(type, few.x, few.n_rows, QN_PEER_COLS, v, &error)) {
            floor_sum += error;
        }
        ours += r.ours.weighted;
        theirs += r.theirs.weighted;
    }
    return judge(type, v != NULL, qn_peer_ratio(ours, theirs), qn_peer_ratio(floor_sum, theirs));
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
            n_failed += !check_type(&peer, (qn_dtype)id, &sets, NULL);
        }
        n_failed += !check_type(&peer, (qn_dtype)id, &sets, sets.importance);
    }
    qn_row_sets_clear(&sets);
    qn_peer_close(&peer);
    printf("%d failed\n", n_failed);
    return n_failed == 0 ? 0 : 1;
}
