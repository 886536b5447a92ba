/* SPDX-License-Identifier: MIT */
/* peer.c: loads ggml's library, makes rows, measures errors. What is missing ends the program: these are tools. */
#include "peer.h"

#include "quern/status.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *qn_peer_alloc(size_t n, size_t size) {
    void *memory = calloc(n, size);
    if (memory == NULL) {
        (void)fprintf(stderr, "out of memory\n");
        exit(1);
    }
    return memory;
}

bool qn_peer_open(qn_peer *peer) {
    const char *folder = getenv("QUERN_LLAMA_LIBS");
    char path[4096];
    memset(peer, 0, sizeof *peer);
    if (folder == NULL) {
        printf("SKIP: QUERN_LLAMA_LIBS does not name a folder with libggml-base.so\n");
        return false;
    }
    (void)snprintf(path, sizeof path, "%s/libggml-base.so", folder);
    peer->library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (peer->library == NULL) {
        printf("SKIP: %s\n", dlerror());
        return false;
    }
    void *symbol = dlsym(peer->library, "ggml_quantize_chunk");
    memcpy(&peer->quantize, &symbol, sizeof symbol);
    if (peer->quantize == NULL) {
        printf("SKIP: %s has no ggml_quantize_chunk\n", path);
        qn_peer_close(peer);
        return false;
    }
    return true;
}

void qn_peer_close(qn_peer *peer) {
    if (peer->library != NULL) {
        (void)dlclose(peer->library);
        peer->library = NULL;
    }
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
static qn_row_set random_set(const char *name, uint64_t n_rows, bool is_heavy, uint64_t seed) {
    qn_row_set set = {name, n_rows, qn_peer_alloc(n_rows * QN_PEER_COLS, sizeof(float))};
    for (uint64_t i = 0; i < n_rows * QN_PEER_COLS; i++) {
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

/* A whole file and a zero byte; NULL when it cannot be read. */
static unsigned char *read_bytes(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    unsigned char *bytes = NULL;
    long end = -1;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0 && (end = ftell(file)) > 0) {
        rewind(file);
        bytes = qn_peer_alloc((size_t)end + 1, 1);
        *size = fread(bytes, 1, (size_t)end, file);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return bytes;
}

static float *read_importance(void) {
    size_t size = 0;
    float *v = (float *)(void *)read_bytes(QN_TEST_DATA_DIR "/vectors/enc_imatrix_1024.f32.bin", &size);
    if (v == NULL || size != QN_PEER_COLS * sizeof *v) {
        (void)fprintf(stderr, "the golden importance of %d columns cannot be read\n", QN_PEER_COLS);
        exit(1);
    }
    return v;
}

/* Rows spread evenly over the weights behind the header, which are all of one type. */
static bool decode_sample(qn_row_set *set, const unsigned char *bytes, size_t size, uint64_t n_rows) {
    uint64_t header = 0;
    uint64_t row_bytes = 0;
    qn_error err;
    if (size < sizeof header) {
        return false;
    }
    memcpy(&header, bytes, sizeof header);
    if (header > size - sizeof header) {
        return false;
    }
    const char *text = (const char *)bytes + sizeof header;
    const qn_dtype type = strstr(text, "\"BF16\"") != NULL ? QN_BF16
        : strstr(text, "\"F16\"") != NULL                  ? QN_F16
                                                           : QN_F32;
    bool is_read = qn_row_size(type, QN_PEER_COLS, &row_bytes, &err) == QN_OK;
    const uint64_t left = (size - sizeof header - header) / row_bytes;
    set->name = "sample model";
    set->n_rows = left < n_rows ? left : n_rows;
    set->x = qn_peer_alloc(set->n_rows * QN_PEER_COLS, sizeof(float));
    for (uint64_t r = 0; is_read && r < set->n_rows; r++) {
        const unsigned char *row = bytes + sizeof header + header + r * left / set->n_rows * row_bytes;
        is_read = qn_decode_rows(qn_cpu_detect(), type, row, 1, QN_PEER_COLS, set->x + r * QN_PEER_COLS, &err) == QN_OK;
    }
    return is_read && set->n_rows > 0;
}

void qn_row_sets_init(qn_row_sets *sets, uint64_t n_rows) {
    size_t size = 0;
    unsigned char *bytes = read_bytes(QN_SAMPLES_DIR "/miller-base/model.safetensors", &size);
    memset(sets, 0, sizeof *sets);
    sets->importance = read_importance();
    sets->sets[0] = random_set("Gaussian", n_rows, false, 1);
    sets->sets[1] = random_set("heavy tails", n_rows, true, 2);
    sets->n = 2;
    if (bytes != NULL && decode_sample(&sets->sets[2], bytes, size, n_rows)) {
        sets->n++;
    } else {
        printf("note: the sample model is not there, its weights are left out\n");
    }
    free(bytes);
}

void qn_row_sets_clear(qn_row_sets *sets) {
    for (size_t s = 0; s < QN_PEER_MAX_SETS; s++) {
        free(sets->sets[s].x);
    }
    free(sets->importance);
    memset(sets, 0, sizeof *sets);
}

uint64_t qn_peer_size(qn_dtype type, const qn_row_set *set) {
    uint64_t row_bytes = 0;
    qn_error err;
    if (qn_row_size(type, QN_PEER_COLS, &row_bytes, &err) != QN_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    return set->n_rows * row_bytes;
}

qn_row_errors qn_peer_errors(qn_dtype type, const qn_row_set *set, const float *importance,
                             const unsigned char *encoded) {
    float *decoded = qn_peer_alloc(set->n_rows * QN_PEER_COLS, sizeof(float));
    qn_row_errors found = {0, 0};
    double total = 0;
    double weighted_total = 0;
    qn_error err;
    if (qn_decode_rows(qn_cpu_detect(), type, encoded, set->n_rows, QN_PEER_COLS, decoded, &err) != QN_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    for (uint64_t i = 0; i < set->n_rows * QN_PEER_COLS; i++) {
        const double x = set->x[i];
        const double diff = (double)decoded[i] - x;
        const double weight = importance != NULL ? (double)importance[i % QN_PEER_COLS] : 1.0;
        found.plain += diff * diff;
        found.weighted += weight * diff * diff;
        total += x * x;
        weighted_total += weight * x * x;
    }
    free(decoded);
    found.plain /= total;
    found.weighted /= weighted_total;
    return found;
}

bool qn_peer_encode_ours(qn_effort effort, qn_dtype type, const qn_row_set *set, const float *importance,
                         unsigned char *dst) {
    qn_error err;
    const qn_status status = qn_encode_rows(qn_cpu_detect(), effort, type, set->x, set->n_rows, QN_PEER_COLS,
                                            importance, dst, &err);
    if (status != QN_OK && status != QN_E_UNSUPPORTED) {
        (void)fprintf(stderr, "%s\n", err.message);
        exit(1);
    }
    return status == QN_OK;
}

void qn_peer_encode_theirs(const qn_peer *peer, qn_dtype type, const qn_row_set *set, const float *importance,
                           unsigned char *dst) {
    (void)peer->quantize((int)type, set->x, dst, 0, (int64_t)set->n_rows, QN_PEER_COLS, importance);
}

bool qn_peer_encode_both(const qn_peer *peer, qn_effort effort, qn_dtype type, const qn_row_set *set,
                         const float *importance, qn_peer_result *result) {
    const uint64_t size = qn_peer_size(type, set);
    unsigned char *ours = qn_peer_alloc(size, 1);
    unsigned char *theirs = qn_peer_alloc(size, 1);
    const bool is_encoded = qn_peer_encode_ours(effort, type, set, importance, ours);
    memset(result, 0, sizeof *result);
    if (is_encoded) {
        qn_peer_encode_theirs(peer, type, set, importance, theirs);
        result->ours = qn_peer_errors(type, set, importance, ours);
        result->theirs = qn_peer_errors(type, set, importance, theirs);
    }
    for (uint64_t i = 0; is_encoded && i < size; i++) {
        result->n_other += ours[i] != theirs[i];
    }
    free(ours);
    free(theirs);
    return is_encoded;
}

double qn_peer_ratio(double ours, double theirs) {
    return theirs > 0 ? sqrt(ours / theirs) : (ours > 0 ? INFINITY : 1.0);
}

bool qn_peer_needs_importance(qn_dtype type) {
    return type == QN_IQ2_XXS || type == QN_IQ2_XS || type == QN_IQ1_S;
}

bool qn_peer_is_compared(uint32_t id) {
    const qn_dtype_info *info = qn_dtype_get(id);
    return info != NULL && info->has_encoder && id != QN_F32;
}
