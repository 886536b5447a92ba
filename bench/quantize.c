/* SPDX-License-Identifier: MIT */
/*
 * quantize.c: our encoders beside ggml's: speed, errors, and how near they come to the least error possible.
 *
 *     quantize [--effort fast|normal|best] [--threads 2] [--no-floor] [TYPE...]
 *
 * A line for each type, plain and with importance, both on the same rows, one thread each, in turn. Times are those of
 * the thread on a processor, which others on the machine do not add to; the best of several rounds counts, the first
 * of which, where ggml makes its tables, is not measured:
 *     Mw/s      our million weights a second, and its ratio to ggml's
 *     rmse      our root mean square error, as a ratio to ggml's
 *     weighted  the same with each square weighted by the importance
 *     floor     the error if scales and offsets were free real numbers with the best codes, as a ratio to ggml's
 *               (weighted where there is importance), measured on fewer rows
 *     way       how far of the way from ggml's error to the floor ours is, on the same rows as the floor
 *     copy      for types without a search: a plain read-convert-write of as many bytes takes this part of our time
 * Errors are sums over all distributions, each relative to its own size. --threads 2 adds how much faster two threads
 * are: the time of one over that of the busier of two that run at once. Needs libggml-base.so in the folder that
 * QUERN_LLAMA_LIBS names.
 */
#include "floor.h"
#include "peer.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ERROR_ROWS = 64, SPEED_ROWS = 96, MEMORY_ROWS = 16384, SKIPPED = 77 };

/* What the command line asks for. */
typedef struct wish {
    qn_effort effort;
    int n_threads;
    bool has_floor;
    bool types[QN_DTYPE_LIMIT];
} wish;

/* What is measured on and with. */
typedef struct bench {
    wish wish;
    qn_peer peer;
    qn_row_sets sets;
    qn_row_set speed;  /* rows of all sets */
    qn_row_set memory; /* more rows than a cache holds */
    unsigned char *dst;
} bench;

/* Processor time of the calling thread. */
static double now_s(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* ---- Errors ---- */

/* Adds a set's errors to the sums of all sets. */
static void add_errors(const bench *b, qn_dtype type, const qn_row_set *set, const float *v, qn_peer_result *sum) {
    qn_peer_result found;
    (void)qn_peer_encode_both(&b->peer, b->wish.effort, type, set, v, &found);
    sum->ours.plain += found.ours.plain;
    sum->ours.weighted += found.ours.weighted;
    sum->theirs.plain += found.theirs.plain;
    sum->theirs.weighted += found.theirs.weighted;
}

/* Prints the floor and how near we are; blanks for types that have none. */
static void print_floor(const bench *b, qn_dtype type, const float *v) {
    double floor_sum = 0;
    qn_peer_result sum = {{0, 0}, {0, 0}, 0};
    bool has_floor = b->wish.has_floor;
    for (size_t s = 0; has_floor && s < b->sets.n; s++) {
        qn_row_set few = b->sets.sets[s];
        double error = 0;
        few.n_rows = few.n_rows < qn_floor_rows(type) ? few.n_rows : qn_floor_rows(type);
        has_floor = qn_floor_error(type, few.x, few.n_rows, QN_PEER_COLS, v, &error);
        floor_sum += error;
        add_errors(b, type, &few, v, &sum);
    }
    if (!has_floor) {
        printf(" %8s %6s", "", "");
        return;
    }
    const double floor_ratio = qn_peer_ratio(floor_sum, sum.theirs.weighted);
    const double ours_ratio = qn_peer_ratio(sum.ours.weighted, sum.theirs.weighted);
    printf(" %8.4f %5.0f%%", floor_ratio, 100.0 * (1.0 - ours_ratio) / (1.0 - floor_ratio));
}

/* ---- Speed ---- */

/* One encoding of a part of a set. */
typedef struct job {
    const bench *bench;
    qn_dtype type;
    const float *importance;
    qn_row_set set;
    unsigned char *dst;
    double seconds; /* what it took */
} job;

typedef void run_fn(job *j);

static void run_ours(job *j) {
    const double start = now_s();
    (void)qn_peer_encode_ours(j->bench->wish.effort, j->type, &j->set, j->importance, j->dst);
    j->seconds = now_s() - start;
}

static void run_theirs(job *j) {
    const double start = now_s();
    qn_peer_encode_theirs(&j->bench->peer, j->type, &j->set, j->importance, j->dst);
    j->seconds = now_s() - start;
}

static void *run_in_thread(void *context) {
    run_ours(context);
    return NULL;
}

/* Two halves at once. */
static void run_halves(job *j) {
    job first = *j;
    job second = *j;
    pthread_t other;
    first.set.n_rows = j->set.n_rows / 2;
    second.set.n_rows = j->set.n_rows - first.set.n_rows;
    second.set.x += first.set.n_rows * QN_PEER_COLS;
    second.dst += qn_peer_size(j->type, &first.set);
    if (pthread_create(&other, NULL, run_in_thread, &second) != 0) {
        (void)fprintf(stderr, "no second thread\n");
        exit(1);
    }
    run_ours(&first);
    (void)pthread_join(other, NULL);
    j->seconds = first.seconds > second.seconds ? first.seconds : second.seconds;
}

/*
 * Reads the floats of a job, makes each a small integer and writes as many bytes as the type has: a store of 2, 1 or
 * half a byte an element, and 2 to 8 bytes more a block.
 */
#if defined(__x86_64__) && defined(__GLIBC__)
__attribute__((target_clones("avx512f", "avx2", "default")))
#endif
static void
convert_rows(const float *x, uint64_t n, uint64_t block_bytes, unsigned char *dst) {
    if (block_bytes == 64) {
        for (uint64_t i = 0; i < n; i++) {
            const int16_t code = (int16_t)(x[i] * 1000.0F);
            memcpy(dst + 2 * i, &code, sizeof code);
        }
        return;
    }
    for (uint64_t i = 0; i < n; i += 32, x += 32, dst += block_bytes) {
        if (block_bytes > 32) {
            for (int e = 0; e < 32; e++) {
                dst[e] = (unsigned char)(int)(x[e] * 100.0F);
            }
            memset(dst + 32, 0, 2);
        } else {
            for (int e = 0; e < 16; e++) {
                dst[e] = (unsigned char)(((int)(x[e] * 10.0F) & 15) | (int)(x[e + 16] * 10.0F) << 4);
            }
            memset(dst + 16, 0, block_bytes - 16);
        }
    }
}

static void run_plain(job *j) {
    const uint64_t n = j->set.n_rows * QN_PEER_COLS;
    const double start = now_s();
    convert_rows(j->set.x, n, qn_peer_size(j->type, &j->set) / (n / 32), j->dst);
    j->seconds = now_s() - start;
}

/* Runs both in turn for a while, and once before that; gives the least time of each. */
static void race(run_fn *one, run_fn *two, job *j, double *one_s, double *two_s) {
    double total = 0;
    *one_s = INFINITY;
    *two_s = INFINITY;
    for (int round = 0; round < 4 || total < 0.25; round++) {
        one(j);
        const double first = j->seconds;
        two(j);
        if (round > 0) {
            *one_s = fmin(*one_s, first);
            *two_s = fmin(*two_s, j->seconds);
            total += first + j->seconds;
        }
    }
}

/* Types without a search, which are held beside a plain conversion. */
static bool is_direct(qn_dtype type) {
    return type == QN_F16 || type == QN_BF16 || type == QN_Q8_0 || type == QN_Q4_0 || type == QN_Q4_1 ||
        type == QN_Q5_0 || type == QN_Q5_1;
}

static void print_speed(const bench *b, qn_dtype type, const float *v) {
    job j = {b, type, v, b->speed, b->dst, 0};
    double ours = 0;
    double other = 0;
    race(run_ours, run_theirs, &j, &ours, &other);
    printf("%-8s %-10s %9.1f %7.2f", qn_dtype_get((uint32_t)type)->name, v != NULL ? "importance" : "plain",
           (double)(j.set.n_rows * QN_PEER_COLS) * 1e-6 / ours, other / ours);
}

static void print_more_speed(const bench *b, qn_dtype type, const float *v) {
    job j = {b, type, v, b->memory, b->dst, 0};
    double ours = 0;
    double other = 0;
    if (b->wish.n_threads == 2) {
        j.set.n_rows = is_direct(type) ? b->memory.n_rows : b->memory.n_rows / 16;
        race(run_ours, run_halves, &j, &ours, &other);
        printf(" %8.2f", ours / other);
    }
    if (is_direct(type) && v == NULL) {
        j.set.n_rows = b->memory.n_rows;
        race(run_ours, run_plain, &j, &ours, &other);
        printf(" %6.2f", other / ours);
    }
}

/* ---- The table ---- */

static void print_line(const bench *b, qn_dtype type, const float *v) {
    qn_peer_result sum = {{0, 0}, {0, 0}, 0};
    print_speed(b, type, v);
    for (size_t s = 0; s < b->sets.n; s++) {
        add_errors(b, type, &b->sets.sets[s], v, &sum);
    }
    printf(" %8.4f %8.4f", qn_peer_ratio(sum.ours.plain, sum.theirs.plain),
           qn_peer_ratio(sum.ours.weighted, sum.theirs.weighted));
    print_floor(b, type, v);
    print_more_speed(b, type, v);
    printf("\n");
    (void)fflush(stdout);
}

static bool read_effort(const char *name, qn_effort *effort) {
    static const char *const names[QN_N_EFFORTS] = {
        [QN_EFFORT_NORMAL] = "normal", [QN_EFFORT_FAST] = "fast", [QN_EFFORT_BEST] = "best"};
    for (int e = 0; e < QN_N_EFFORTS; e++) {
        if (strcmp(name, names[e]) == 0) {
            *effort = (qn_effort)e;
            return true;
        }
    }
    return false;
}

/* Whether the command line is understood. */
static bool read_arguments(int argc, char **argv, wish *w) {
    bool has_types = false;
    *w = (wish){QN_EFFORT_NORMAL, 1, true, {false}};
    for (int i = 1; i < argc; i++) {
        qn_dtype type = QN_F32;
        if (strcmp(argv[i], "--no-floor") == 0) {
            w->has_floor = false;
        } else if (strcmp(argv[i], "--effort") == 0 && i + 1 < argc && read_effort(argv[i + 1], &w->effort)) {
            i++;
        } else if (strcmp(argv[i], "--threads") == 0 && i + 1 < argc && strcmp(argv[i + 1], "2") == 0) {
            w->n_threads = 2;
            i++;
        } else if (qn_dtype_find(argv[i], &type)) {
            w->types[type] = has_types = true;
        } else {
            (void)fprintf(stderr,
                          "%s: not understood\n"
                          "usage: quantize [--effort fast|normal|best] [--threads 2] [--no-floor] [TYPE...]\n",
                          argv[i]);
            return false;
        }
    }
    for (uint32_t id = 0; !has_types && id < QN_DTYPE_LIMIT; id++) {
        w->types[id] = qn_peer_is_compared(id);
    }
    return true;
}

/* The rows for speed: some of every set, and many times those. */
static void init_rows(bench *b) {
    qn_row_sets_init(&b->sets, ERROR_ROWS);
    b->speed = (qn_row_set){"all", SPEED_ROWS, qn_peer_alloc(SPEED_ROWS * QN_PEER_COLS, sizeof(float))};
    b->memory = (qn_row_set){"memory", MEMORY_ROWS, qn_peer_alloc(MEMORY_ROWS * QN_PEER_COLS, sizeof(float))};
    b->dst = qn_peer_alloc(MEMORY_ROWS * QN_PEER_COLS, 2);
    memset(b->dst, 1, (size_t)MEMORY_ROWS * QN_PEER_COLS * 2);
    for (uint64_t r = 0; r < SPEED_ROWS; r++) {
        const qn_row_set *from = &b->sets.sets[r % b->sets.n];
        memcpy(b->speed.x + r * QN_PEER_COLS, from->x + (r / b->sets.n % from->n_rows) * QN_PEER_COLS,
               QN_PEER_COLS * sizeof(float));
    }
    for (uint64_t r = 0; r < MEMORY_ROWS; r++) {
        memcpy(b->memory.x + r * QN_PEER_COLS, b->speed.x + (r % SPEED_ROWS) * QN_PEER_COLS,
               QN_PEER_COLS * sizeof(float));
    }
}

int main(int argc, char **argv) {
    bench b;
    if (!read_arguments(argc, argv, &b.wish)) {
        return 2;
    }
    if (!qn_peer_open(&b.peer)) {
        return SKIPPED;
    }
    init_rows(&b);
    printf("%-8s %-10s %9s %7s %8s %8s %8s %6s%s %6s\n", "type", "", "Mw/s", "x ggml", "rmse", "weighted", "floor",
           "way", b.wish.n_threads == 2 ? "  2 thr." : "", "copy");
    for (uint32_t id = 0; id < QN_DTYPE_LIMIT; id++) {
        const qn_dtype type = (qn_dtype)id;
        qn_row_set one = b.sets.sets[0];
        one.n_rows = 1;
        if (b.wish.types[id] && !qn_peer_encode_ours(b.wish.effort, type, &one, NULL, b.dst)) {
            printf("%-8s not encoded by quern\n", qn_dtype_get(id)->name);
            continue;
        }
        if (b.wish.types[id] && !qn_peer_needs_importance(type)) {
            print_line(&b, type, NULL);
        }
        if (b.wish.types[id]) {
            print_line(&b, type, b.sets.importance);
        }
    }
    qn_row_sets_clear(&b.sets);
    free(b.speed.x);
    free(b.memory.x);
    free(b.dst);
    qn_peer_close(&b.peer);
    return 0;
}
