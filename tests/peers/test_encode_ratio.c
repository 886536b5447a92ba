/* SPDX-License-Identifier: MIT */
/*
 * test_encode_ratio.c: our encoders beside ggml's: the error of what they write, and with --bench their speed.
 *
 * For each type, plain and with importance, both encode the same rows and our decoder reads both back. Errors are
 * squared, and weighted by the importance where there is one. Each set of rows counts relative to its own size. A type
 * fails when our error is more than 1.001 times ggml's; F16, BF16 and Q8_0, which leave no
 * choice, when a byte differs. Needs libggml-base.so in the folder that QUERN_LLAMA_LIBS names; is skipped without.
 */
#include "dtype/codec.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { N_COLS = 1024, SKIPPED = 77, MAX_SETS = 8 };

#define MAX_RATIO 1.001

/* size_t ggml_quantize_chunk(type, src, dst, start, n_rows, n_per_row, importance), of ggml's public header. */
typedef size_t quantize_chunk_fn(int type, const float *src, void *dst, int64_t start, int64_t n_rows,
                                 int64_t n_per_row, const float *importance);

/* Rows of N_COLS columns. */
typedef struct row_set {
    const char *name;
    uint64_t n_rows;
    float *x;
} row_set;

typedef struct errors {
    double squared;
    double weighted;
} errors;

/* Types that are compared: those quern encodes and ggml does. */
static bool is_compared(uint32_t id) {
    const qn_dtype_info *info = qn_dtype_get(id);
    return info != NULL && info->has_encoder && id != QN_F32;
}

/* ggml's encoders of these refuse to run without importance. */
static bool needs_importance(qn_dtype type) {
    return type == QN_IQ2_XXS || type == QN_IQ2_XS || type == QN_IQ1_S;
}

static void *must_have(void *memory) {
    if (memory == NULL) {
        (void)fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

/* Uniform in (0, 1), from a 64-bit linear congruence (Knuth's MMIX constants). */
static double uniform(uint64_t *state) {
    *state = *state * 6364136223846793005U + 1442695040888963407U;
    return ((double)(*state >> 11) + 0.5) * 0x1p-53;
}

static double gaussian(uint64_t *state) {
    const double radius = sqrt(-2.0 * log(uniform(state)));
    return radius * cos(6.283185307179586 * uniform(state));
}

/* Gaussian rows, or with heavy tails: Student's t with 3 degrees of freedom. */
static row_set random_set(const char *name, uint64_t n_rows, bool is_heavy, uint64_t seed) {
    row_set set = {name, n_rows, must_have(calloc(n_rows * N_COLS, sizeof(float)))};
    for (uint64_t i = 0; i < n_rows * N_COLS; i++) {
        double v = gaussian(&seed);
        if (is_heavy) {
            const double a = gaussian(&seed);
            const double b = gaussian(&seed);
            const double c = gaussian(&seed);
            v /= sqrt((a * a + b * b + c * c) / 3.0);
        }
        set.x[i] = (float)(0.02 * v);
    }
    return set;
}

/* A whole file; NULL when it cannot be read. */
static unsigned char *read_bytes(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = NULL;
    long end = -1;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0 && (end = ftell(file)) > 0) {
        rewind(file);
        bytes = must_have(malloc((size_t)end));
        *size = fread(bytes, 1, (size_t)end, file);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return bytes;
}

static float *read_vector(const char *name, size_t *n) {
    char path[4096];
    size_t size = 0;
    (void)snprintf(path, sizeof path, "%s/vectors/%s", QN_TEST_DATA_DIR, name);
    float *x = (float *)(void *)read_bytes(path, &size);
    if (x == NULL) {
        (void)fprintf(stderr, "%s: cannot be read\n", path);
        exit(1);
    }
    *n = size / sizeof *x;
    return x;
}

/* Adds the sample model's weights, cut into rows where they lie: all its tensors are of one type. */
static bool sample_set(row_set *set) {
    size_t size = 0;
    unsigned char *bytes = read_bytes(QN_SAMPLES_DIR "/miller-base/model.safetensors", &size);
    uint64_t header = 0;
    qn_error err;
    if (bytes == NULL || size < sizeof header) {
        free(bytes);
        return false;
    }
    memcpy(&header, bytes, sizeof header);
    if (header > size - sizeof header) {
        free(bytes);
        return false;
    }
    bytes[sizeof header + header - 1] = '\0';
    const char *text = (const char *)bytes + sizeof header;
    const qn_dtype type = strstr(text, "\"BF16\"") != NULL ? QN_BF16
        : strstr(text, "\"F16\"") != NULL                  ? QN_F16
                                                           : QN_F32;
    uint64_t row_bytes = 0;
    bool is_read = qn_row_size(type, N_COLS, &row_bytes, &err) == QN_OK;
    const uint64_t left = (size - sizeof header - header) / row_bytes;
    set->name = "sample model";
    set->n_rows = left < 256 ? left : 256;
    set->x = must_have(calloc(set->n_rows * N_COLS, sizeof(float)));
    is_read = is_read &&
        qn_decode_rows(qn_cpu_detect(), type, bytes + sizeof header + header, set->n_rows, N_COLS, set->x, &err) ==
            QN_OK;
    free(bytes);
    return is_read && set->n_rows > 0;
}

/* Adds a set's errors, relative to the size of its weights. */
static void add_errors(const row_set *set, const float *v, const float *decoded, errors *sum) {
    errors found = {0, 0};
    double total = 0;
    double weighted_total = 0;
    for (uint64_t r = 0; r < set->n_rows; r++) {
        const float *row = set->x + r * N_COLS;
        for (uint64_t i = 0; i < N_COLS; i++) {
            const double diff = (double)decoded[r * N_COLS + i] - row[i];
            const double weight = v != NULL ? (double)v[i] : 1.0;
            found.squared += diff * diff;
            found.weighted += weight * diff * diff;
            total += (double)row[i] * row[i];
            weighted_total += weight * row[i] * row[i];
        }
    }
    sum->squared += found.squared / total;
    sum->weighted += found.weighted / weighted_total;
}

static double ratio_of(double ours, double theirs) {
    return ours <= theirs ? (theirs > 0 ? sqrt(ours / theirs) : 1.0) : sqrt(ours / theirs);
}

/* Encodes with both; the caller frees the two results. */
static uint64_t encode_both(quantize_chunk_fn *reference, qn_effort effort, qn_dtype type, const row_set *set,
                            const float *v, unsigned char **ours, unsigned char **theirs) {
    uint64_t row_bytes = 0;
    qn_error err;
    if (qn_row_size(type, N_COLS, &row_bytes, &err) != QN_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    *ours = must_have(calloc(set->n_rows, row_bytes));
    *theirs = must_have(calloc(set->n_rows, row_bytes));
    if (qn_encode_rows(qn_cpu_detect(), effort, type, set->x, set->n_rows, N_COLS, v, *ours, &err) != QN_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    (void)reference((int)type, set->x, *theirs, 0, (int64_t)set->n_rows, N_COLS, v);
    return set->n_rows * row_bytes;
}

/* One line of the table; whether the type holds the law. */
static bool compare_type(quantize_chunk_fn *reference, qn_effort effort, qn_dtype type, const row_set *sets,
                         size_t n_sets, const float *v) {
    errors ours_sum = {0, 0};
    errors theirs_sum = {0, 0};
    uint64_t n_bytes = 0;
    uint64_t n_other = 0;
    for (size_t s = 0; s < n_sets; s++) {
        unsigned char *ours = NULL;
        unsigned char *theirs = NULL;
        float *decoded = must_have(calloc(sets[s].n_rows * N_COLS, sizeof(float)));
        qn_error err;
        const uint64_t size = encode_both(reference, effort, type, &sets[s], v, &ours, &theirs);
        for (uint64_t i = 0; i < size; i++) {
            n_other += ours[i] != theirs[i];
        }
        n_bytes += size;
        if (qn_decode_rows(qn_cpu_detect(), type, ours, sets[s].n_rows, N_COLS, decoded, &err) == QN_OK) {
            add_errors(&sets[s], v, decoded, &ours_sum);
        }
        if (qn_decode_rows(qn_cpu_detect(), type, theirs, sets[s].n_rows, N_COLS, decoded, &err) == QN_OK) {
            add_errors(&sets[s], v, decoded, &theirs_sum);
        }
        free(decoded);
        free(ours);
        free(theirs);
    }
    const double ratio = ratio_of(ours_sum.squared, theirs_sum.squared);
    const double weighted = ratio_of(ours_sum.weighted, theirs_sum.weighted);
    const bool has_choice = type != QN_F16 && type != QN_BF16 && type != QN_Q8_0;
    const bool holds = ours_sum.squared > 0 && weighted <= MAX_RATIO && (has_choice || n_other == 0);
    printf("%-5s %-7s %-10s rel. error %.6f, ratio %.6f, weighted %.6f; %llu of %llu bytes differ\n",
           holds ? "ok" : "FAIL", qn_dtype_get((uint32_t)type)->name, v != NULL ? "importance" : "plain",
           sqrt(ours_sum.squared / (double)n_sets), ratio, weighted, (unsigned long long)n_other,
           (unsigned long long)n_bytes);
    return holds;
}

static double now_s(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Million weights a second of ours at a level, or of the reference when level is negative. */
static double rate_of(quantize_chunk_fn *reference, int level, qn_effort effort, qn_dtype type, const row_set *set,
                      const float *v, unsigned char *dst) {
    qn_error err;
    double best = 0;
    const double start = now_s();
    do {
        const double before = now_s();
        if (level < 0) {
            (void)reference((int)type, set->x, dst, 0, (int64_t)set->n_rows, N_COLS, v);
        } else if (qn_encode_rows((qn_cpu_level)level, effort, type, set->x, set->n_rows, N_COLS, v, dst, &err) !=
                   QN_OK) {
            return 0;
        }
        const double rate = (double)(set->n_rows * N_COLS) * 1e-6 / (now_s() - before);
        best = rate > best ? rate : best;
    } while (now_s() - start < 0.15);
    return best;
}

static void bench(quantize_chunk_fn *reference, qn_effort effort, const bool *wanted, const float *v) {
    const row_set set = random_set("bench", 256, true, 5);
    unsigned char *dst = must_have(calloc(set.n_rows * N_COLS, sizeof(float)));
    const int top = (int)qn_cpu_detect();
    printf("%-7s %-10s %12s %12s %12s %8s\n", "type", "", "level 0 Mw/s", "best Mw/s", "ggml Mw/s", "ratio");
    for (uint32_t id = 0; id < QN_DTYPE_LIMIT; id++) {
        for (int has_v = 0; wanted[id] && has_v < 2; has_v++) {
            const float *importance = has_v != 0 ? v : NULL;
            const qn_dtype type = (qn_dtype)id;
            if (has_v == 0 && needs_importance(type)) {
                continue;
            }
            const double slow = rate_of(reference, 0, effort, type, &set, importance, dst);
            const double fast = rate_of(reference, top, effort, type, &set, importance, dst);
            const double theirs = rate_of(reference, -1, effort, type, &set, importance, dst);
            printf("%-7s %-10s %12.1f %12.1f %12.1f %8.2f\n", qn_dtype_get(id)->name,
                   has_v != 0 ? "importance" : "plain", slow, fast, theirs, fast / theirs);
        }
    }
    free(dst);
    free(set.x);
}

/* ggml's encoder, or NULL with the reason printed. */
static quantize_chunk_fn *open_reference(void **library) {
    const char *folder = getenv("QUERN_LLAMA_LIBS");
    char path[4096];
    quantize_chunk_fn *function = NULL;
    if (folder == NULL) {
        printf("SKIP: QUERN_LLAMA_LIBS does not name a folder with libggml-base.so\n");
        return NULL;
    }
    (void)snprintf(path, sizeof path, "%s/libggml-base.so", folder);
    *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (*library == NULL) {
        printf("SKIP: %s\n", dlerror());
        return NULL;
    }
    void *symbol = dlsym(*library, "ggml_quantize_chunk");
    memcpy(&function, &symbol, sizeof function);
    if (function == NULL) {
        printf("SKIP: %s has no ggml_quantize_chunk\n", path);
    }
    return function;
}

/* What the command line asks for: [--bench] [fast|normal|best] [TYPE...]. */
typedef struct wish {
    bool is_bench;
    qn_effort effort;
    bool types[QN_DTYPE_LIMIT];
} wish;

static wish read_arguments(int argc, char **argv) {
    wish w = {false, QN_EFFORT_NORMAL, {false}};
    bool has_types = false;
    for (int i = 1; i < argc; i++) {
        qn_dtype type = QN_F32;
        if (strcmp(argv[i], "--bench") == 0) {
            w.is_bench = true;
        } else if (strcmp(argv[i], "fast") == 0) {
            w.effort = QN_EFFORT_FAST;
        } else if (strcmp(argv[i], "best") == 0) {
            w.effort = QN_EFFORT_BEST;
        } else if (qn_dtype_find(argv[i], &type)) {
            w.types[type] = has_types = true;
        }
    }
    for (uint32_t id = 0; !has_types && id < QN_DTYPE_LIMIT; id++) {
        w.types[id] = is_compared(id);
    }
    return w;
}

int main(int argc, char **argv) {
    row_set sets[MAX_SETS];
    size_t n_sets = 0;
    size_t n_input = 0;
    size_t n_importance = 0;
    void *library = NULL;
    int n_failed = 0;
    const wish w = read_arguments(argc, argv);
    quantize_chunk_fn *reference = open_reference(&library);
    if (reference == NULL) {
        return SKIPPED;
    }
    float *v = read_vector("enc_imatrix_1024.f32.bin", &n_importance);
    if (w.is_bench) {
        bench(reference, w.effort, w.types, v);
        free(v);
        (void)dlclose(library);
        return 0;
    }
    sets[0].name = "golden input";
    sets[0].x = read_vector("enc_input_8x1024.f32.bin", &n_input);
    sets[0].n_rows = n_input / N_COLS;
    sets[1] = random_set("Gaussian", 64, false, 1);
    sets[2] = random_set("heavy tails", 64, true, 2);
    n_sets = 3;
    if (sample_set(&sets[n_sets])) {
        n_sets++;
    } else {
        printf("note: the sample model is not there, its weights are left out\n");
    }
    for (uint32_t id = 0; id < QN_DTYPE_LIMIT; id++) {
        const qn_dtype type = (qn_dtype)id;
        if (w.types[id] && !needs_importance(type)) {
            n_failed += !compare_type(reference, w.effort, type, sets, n_sets, NULL);
        }
        if (w.types[id]) {
            n_failed += !compare_type(reference, w.effort, type, sets, n_sets, v);
        }
    }
    for (size_t s = 0; s < n_sets; s++) {
        free(sets[s].x);
    }
    free(v);
    (void)dlclose(library);
    printf("%d failed\n", n_failed);
    return n_failed == 0 ? 0 : 1;
}
