/* SPDX-License-Identifier: MIT */
/*
 * products.c: how fast packed rows meet activations, one thread.
 *
 *     products [--level 0|1|2|3] [--vectors N] [TYPE...]
 *
 * A line a type: for 1, 8 and 64 vectors (or N) gigaflops, and for one vector gigabytes of weights a second. Weights
 * are 64 MiB of random blocks with small scales: more than a cache holds. The first line is what memory gives a loop
 * that only reads.
 */
#include "dtype/codec.h"
#include "dtype/matmul.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N_COLS = 4096, MAX_VECTORS = 512, MANY_ROWS = 64 };

#define LEAST_S 0.4

static double now_s(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* The best of many short runs, in seconds: what the machine does when others leave it alone. */
static double best_time(qn_cpu_level level, qn_dtype type, const void *weights, uint64_t n_rows, const void *x,
                        uint64_t n_vectors, float *dst) {
    double best = 1e9;
    double total = 0;
    for (int i = 0; i < 3 || total < LEAST_S; i++) {
        const double start = now_s();
        qn_matmul(level, type, weights, n_rows, N_COLS, x, n_vectors, dst, n_rows);
        const double time = now_s() - start;
        best = time < best ? time : best;
        total += time;
    }
    return best;
}

/* Near a normal distribution, as activations are: a sum of six uniform numbers. */
static float bell_value(uint32_t *state) {
    float sum = 0;
    for (int i = 0; i < 6; i++) {
        *state = *state * 1664525U + 1013904223U;
        sum += (float)(*state >> 8) * 0x1p-24F - 0.5F;
    }
    return sum;
}

/* What memory gives one thread that only reads, eight places in turn: the bound of products with one vector. */
static int measure_memory(void) {
    enum { N_WORDS = 1 << 25, N_SUMS = 8 };
    uint64_t *words = malloc(N_WORDS * sizeof *words);
    uint64_t sums[N_SUMS] = {0};
    double best = 1e9;
    if (words == NULL) {
        return 1;
    }
    memset(words, 1, N_WORDS * sizeof *words);
    for (int i = 0; i < 8; i++) {
        const double start = now_s();
        for (size_t k = 0; k < N_WORDS / N_SUMS; k++) {
            for (size_t j = 0; j < N_SUMS; j++) {
                sums[j] += words[j * (N_WORDS / N_SUMS) + k];
            }
        }
        const double time = now_s() - start;
        best = time < best ? time : best;
    }
    printf("memory   %.1f GB/s read (%llu)\n", 1e-9 * N_WORDS * sizeof *words / best,
           (unsigned long long)(sums[0] ^ sums[1] ^ sums[2] ^ sums[3] ^ sums[4] ^ sums[5] ^ sums[6] ^ sums[7]));
    free(words);
    return 0;
}

/* What is multiplied: rows of weights whose bytes mean something, and vectors of values. */
typedef struct operands {
    uint64_t row_bytes;
    uint64_t most_rows; /* for one vector: more than caches hold */
    unsigned char *weights;
    float *values;
    void *x; /* packed */
    float *dst;
} operands;

static bool make_operands(qn_cpu_level level, qn_dtype type, operands *o) {
    uint32_t state = 1;
    if (qn_row_size(type, N_COLS, &o->row_bytes, NULL) != QN_OK) {
        return false;
    }
    o->most_rows = (64U << 20) / o->row_bytes;
    o->weights = malloc((size_t)(o->most_rows * o->row_bytes));
    o->values = malloc(sizeof(float) * MAX_VECTORS * N_COLS);
    o->x = aligned_alloc(64, (size_t)(MAX_VECTORS * qn_activation_bytes(type, N_COLS)));
    o->dst = malloc(sizeof(float) * MAX_VECTORS * o->most_rows);
    if (o->weights == NULL || o->values == NULL || o->x == NULL || o->dst == NULL) {
        return false;
    }
    for (uint64_t i = 0; i < o->most_rows * o->row_bytes; i++) {
        o->weights[i] = (unsigned char)(((i * 2654435761U) >> 24 & 0x3B) | 0x20U); /* no scale is denormal */
    }
    for (uint64_t i = 0; i < (uint64_t)MAX_VECTORS * N_COLS; i++) {
        o->values[i] = bell_value(&state);
    }
    qn_activations_pack(level, type, o->values, MAX_VECTORS, N_COLS, N_COLS, o->x);
    return true;
}

static void free_operands(operands *o) {
    free(o->weights);
    free(o->values);
    free(o->x);
    free(o->dst);
}

static int measure(qn_cpu_level level, qn_dtype type, const uint64_t *counts, int n_counts) {
    operands o = {.row_bytes = 0};
    if (!make_operands(level, type, &o)) {
        free_operands(&o);
        return 1;
    }
    printf("%-8s", qn_dtype_get((uint32_t)type)->name);
    for (int i = 0; i < n_counts; i++) {
        const uint64_t n_rows = counts[i] == 1 ? o.most_rows : MANY_ROWS;
        const double time = best_time(level, type, o.weights, n_rows, o.x, counts[i], o.dst);
        printf("  %4u: %7.1f GFLOP/s", (unsigned)counts[i], 2e-9 * (double)n_rows * N_COLS * (double)counts[i] / time);
        if (counts[i] == 1) {
            printf(" %6.1f GB/s", 1e-9 * (double)(n_rows * o.row_bytes) / time);
        }
    }
    printf("\n");
    (void)fflush(stdout);
    free_operands(&o);
    return 0;
}

int main(int argc, char **argv) {
    static const qn_dtype usual[] = {QN_F32,    QN_F16,   QN_BF16,    QN_Q4_0,  QN_Q4_1,  QN_Q5_0, QN_Q5_1,
                                     QN_Q8_0,   QN_Q2_K,  QN_Q3_K,    QN_Q4_K,  QN_Q5_K,  QN_Q6_K, QN_IQ4_NL,
                                     QN_IQ4_XS, QN_MXFP4, QN_IQ2_XXS, QN_IQ3_S, QN_IQ1_S, QN_TQ2_0};
    uint64_t counts[3] = {1, 8, 64};
    int n_counts = 3;
    int n_types = 0;
    qn_cpu_level level = qn_cpu_detect();
    if (measure_memory() != 0) {
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        qn_dtype type;
        if (strcmp(argv[i], "--level") == 0 && i + 1 < argc) {
            level = (qn_cpu_level)strtol(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--vectors") == 0 && i + 1 < argc) {
            counts[0] = strtoull(argv[++i], NULL, 10);
            counts[0] = counts[0] < 1 ? 1 : counts[0] > MAX_VECTORS ? MAX_VECTORS : counts[0];
            n_counts = 1;
        } else if (qn_dtype_find(argv[i], &type)) {
            n_types++;
            if (measure(level, type, counts, n_counts) != 0) {
                return 1;
            }
        } else {
            (void)fprintf(stderr, "products: '%s' is neither an option nor a type\n", argv[i]);
            return 2;
        }
    }
    for (size_t i = 0; n_types == 0 && i < sizeof usual / sizeof usual[0]; i++) {
        if (measure(level, usual[i], counts, n_counts) != 0) {
            return 1;
        }
    }
    return 0;
}
