/* SPDX-License-Identifier: MIT */
/* engine_kernels.c: norms, activations and the step of attention, for one level's registers. */
/*
 * Compiled once a level, QN_LEVEL saying which. Sums run over as many lanes as a register has, so that levels differ
 * in the last bits, as products of matrices do; within a level nothing depends on how work was shared out.
 */
#include "dtype/float_lanes.h"
#include "engine/backend.h"
#include "engine/cpu_kernels.h"

#include <math.h>
#include <string.h>

#define PASTE(a, b) a##_##b
#define PASTE_VALUES(a, b) PASTE(a, b)

LANE_FN float sum_lanes(lanes v) {
    float parts[N_LANES];
    store(parts, v);
    for (unsigned half = N_LANES / 2; half > 0; half /= 2) {
        for (unsigned i = 0; i < half; i++) {
            parts[i] += parts[i + half];
        }
    }
    return parts[0];
}

#if N_LANES == 16
#define FOLD(v)                                                        \
    FOLD_EIGHT(__builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) + \
               __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15))
#elif N_LANES == 8
#define FOLD(v) FOLD_EIGHT(v)
#else
#define FOLD(v) (v)
#endif
#define FOLD_EIGHT(v) (__builtin_shufflevector(v, v, 0, 1, 2, 3) + __builtin_shufflevector(v, v, 4, 5, 6, 7))

typedef float four_floats __attribute__((vector_size(16)));

/* dst[i] = the sum of v[i]. */
LANE_FN void sum_four(const lanes v[4], float *dst) {
    const four_floats a = FOLD(v[0]);
    const four_floats b = FOLD(v[1]);
    const four_floats c = FOLD(v[2]);
    const four_floats d = FOLD(v[3]);
    const four_floats ab = __builtin_shufflevector(a, b, 0, 4, 2, 6) + __builtin_shufflevector(a, b, 1, 5, 3, 7);
    const four_floats cd = __builtin_shufflevector(c, d, 0, 4, 2, 6) + __builtin_shufflevector(c, d, 1, 5, 3, 7);
    const four_floats sums = __builtin_shufflevector(ab, cd, 0, 1, 4, 5) + __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    memcpy(dst, &sums, sizeof sums);
}

LANE_FN float max_lanes(lanes v) {
    float parts[N_LANES];
    store(parts, v);
    for (unsigned i = 1; i < N_LANES; i++) {
        parts[0] = parts[i] > parts[0] ? parts[i] : parts[0];
    }
    return parts[0];
}

/*
 * e^x within 2 units of the last place: x = n ln 2 + r with |r| <= ln 2 / 2, and e^r by its series up to r^7 / 7!,
 * whose remainder is below 2^-27. Arguments are held within -87 and 88: neither end leaves the normal floats.
 */
LANE_FN lanes exp_lanes(lanes x) {
    const lanes magic = all(0x1.8p23F);
    x = select_lanes(x < all(-87.0F), all(-87.0F), x);
    x = select_lanes(x > all(88.0F), all(88.0F), x);
    const lanes shifted = x * all(0x1.715476p0F) + magic;
    const lanes n = shifted - magic;
    const lanes r = (x - n * all(0x1.62e4p-1F)) - n * all(0x1.7f7d1cp-20F);
    lanes y = all(1.0F / 5040) * r + all(1.0F / 720);
    y = y * r + all(1.0F / 120);
    y = y * r + all(1.0F / 24);
    y = y * r + all(1.0F / 6);
    y = y * r + all(0.5F);
    y = y * r + all(1.0F);
    y = y * r + all(1.0F);
    const int_lanes power = (int_lanes)shifted - (int_lanes)magic;
    return (lanes)((int_lanes)y + (power << 23));
}

LANE_FN lanes tanh_lanes(lanes x) {
    return all(1.0F) - all(2.0F) / (exp_lanes(x + x) + all(1.0F));
}

LANE_FN lanes silu_lanes(lanes x) {
    return x / (all(1.0F) + exp_lanes(-x));
}

/* 0.5 x (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3). */
LANE_FN lanes gelu_lanes(lanes x) {
    const lanes u2 = all(1.5957691216057308F) * (x + all(0.044715F) * x * x * x);
    return x / (all(1.0F) + exp_lanes(-u2));
}

/* The square sum of x less an offset. */
LANE_FN float square_sum(const float *x, uint64_t n, float offset) {
    lanes a = {0};
    lanes b = {0};
    float tail = 0;
    uint64_t i = 0;
    for (; i + 2 * N_LANES <= n; i += 2 * N_LANES) {
        const lanes p = load(x + i) - all(offset);
        const lanes q = load(x + i + N_LANES) - all(offset);
        a += p * p;
        b += q * q;
    }
    for (; i < n; i++) {
        tail += (x[i] - offset) * (x[i] - offset);
    }
    return sum_lanes(a + b) + tail;
}

static void rms_norm(const float *x, const float *weight, uint64_t n, float eps, float *dst) {
    const float gain = 1.0F / sqrtf(square_sum(x, n, 0) / (float)n + eps);
    for (uint64_t i = 0; i < n; i++) {
        dst[i] = x[i] * gain * weight[i];
    }
}

static void layer_norm(const float *x, const float *weight, const float *bias, uint64_t n, float eps, float *dst) {
    lanes a = {0};
    float tail = 0;
    uint64_t k = 0;
    for (; k + N_LANES <= n; k += N_LANES) {
        a += load(x + k);
    }
    for (; k < n; k++) {
        tail += x[k];
    }
    const float mean = (sum_lanes(a) + tail) / (float)n;
    const float gain = 1.0F / sqrtf(square_sum(x, n, mean) / (float)n + eps);
    for (uint64_t i = 0; i < n; i++) {
        dst[i] = (x[i] - mean) * gain * weight[i] + bias[i];
    }
}

/* body(v) for every register of n floats, the last one filled up with zeros. */
#define DEFINE_GATE(name, body)                                                    \
    static void name(const float *gate, const float *up, uint64_t n, float *dst) { \
        uint64_t i = 0;                                                            \
        for (; i + N_LANES <= n; i += N_LANES) {                                   \
            const lanes y = body(load(gate + i));                                  \
            store(dst + i, up == NULL ? y : y * load(up + i));                     \
        }                                                                          \
        if (i < n) {                                                               \
            float rest[N_LANES] = {0};                                             \
            memcpy(rest, gate + i, (size_t)(n - i) * sizeof *gate);                \
            store(rest, body(load(rest)));                                         \
            for (uint64_t k = 0; i + k < n; k++) {                                 \
                dst[i + k] = up == NULL ? rest[k] : rest[k] * up[i + k];           \
            }                                                                      \
        }                                                                          \
    }

DEFINE_GATE(silu, silu_lanes)
DEFINE_GATE(gelu, gelu_lanes)

/* g = min(gate, 7), u = up held within -7 and 7: g sigmoid(1.702 g) (u + 1). Source: facts/architectures.md 10. */
LANE_FN lanes limited_lanes(lanes g, lanes u) {
    const lanes limit = all(7.0F);
    g = select_lanes(g > limit, limit, g);
    u = select_lanes(u > limit, limit, u);
    u = select_lanes(u < -limit, -limit, u);
    return g / (all(1.0F) + exp_lanes(-all(1.702F) * g)) * (u + all(1.0F));
}

static void silu_limited(const float *gate, const float *up, uint64_t n, float *dst) {
    uint64_t i = 0;
    for (; i + N_LANES <= n; i += N_LANES) {
        store(dst + i, limited_lanes(load(gate + i), load(up + i)));
    }
    if (i < n) {
        float g[N_LANES] = {0};
        float u[N_LANES] = {0};
        memcpy(g, gate + i, (size_t)(n - i) * sizeof *g);
        memcpy(u, up + i, (size_t)(n - i) * sizeof *u);
        store(g, limited_lanes(load(g), load(u)));
        memcpy(dst + i, g, (size_t)(n - i) * sizeof *g);
    }
}

static void add(float *dst, const float *src, uint64_t n) {
    for (uint64_t i = 0; i < n; i++) {
        dst[i] += src[i];
    }
}

static void cap(float *x, uint64_t n, float limit) {
    uint64_t i = 0;
    for (; i + N_LANES <= n; i += N_LANES) {
        store(x + i, all(limit) * tanh_lanes(load(x + i) / all(limit)));
    }
    if (i < n) {
        float rest[N_LANES] = {0};
        memcpy(rest, x + i, (size_t)(n - i) * sizeof *x);
        store(rest, all(limit) * tanh_lanes(load(rest) / all(limit)));
        memcpy(x + i, rest, (size_t)(n - i) * sizeof *x);
    }
}

/* Scores of n queries and four neighbouring keys. */
LANE_FN void four_scores(const qn_tile_step *t, unsigned n, uint64_t key, float scores[][QN_KV_TILE]) {
    lanes s[QN_TILE_QUERIES][4] = {{{0}}};
    const float *keys = t->keys + key * t->width;
    for (uint64_t i = 0; i < t->width; i += N_LANES) {
        for (unsigned j = 0; j < 4; j++) {
            const lanes k = load(keys + j * t->width + i);
            for (unsigned a = 0; a < n; a++) {
                s[a][j] += load(t->q + a * t->width + i) * k;
            }
        }
    }
    for (unsigned a = 0; a < n; a++) {
        sum_four(s[a], scores[a] + key);
    }
}

/* acc = kept * acc + the weighted sum of values first to end - 1, for n queries. */
LANE_FN void add_values(const qn_tile_step *t, unsigned n, float weights[][QN_KV_TILE], uint64_t first, uint64_t end,
                        const float *kept) {
    enum { SPAN = QN_HEAD_PAD / N_LANES < 2 ? 1 : 2 };
    for (uint64_t i = 0; i < t->width; i += SPAN * N_LANES) {
        lanes sum[QN_TILE_QUERIES][SPAN] = {{{0}}};
        for (uint64_t j = first; j < end; j++) {
            const float *v = t->values + j * t->width + i;
            for (unsigned a = 0; a < n; a++) {
                for (unsigned c = 0; c < SPAN; c++) {
                    sum[a][c] += all(weights[a][j]) * load(v + c * N_LANES);
                }
            }
        }
        for (unsigned a = 0; a < n; a++) {
            for (unsigned c = 0; c < SPAN; c++) {
                float *acc = t->acc + a * t->width + i + c * N_LANES;
                store(acc, load(acc) * all(kept[a]) + sum[a][c]);
            }
        }
    }
}

/* Scores become weights, relative to the largest so far; what is left of the weights before. */
LANE_FN float weigh(const qn_tile_step *t, unsigned a, float *scores) {
    for (uint64_t j = 0; j < QN_KV_TILE; j += N_LANES) {
        lanes s = load(scores + j) * all(t->scale);
        if (t->softcap > 0) {
            s = all(t->softcap) * tanh_lanes(s / all(t->softcap));
        }
        store(scores + j, s);
    }
    lanes most = all(-INFINITY);
    for (uint64_t j = 0; j < t->first[a]; j++) {
        scores[j] = -INFINITY;
    }
    for (uint64_t j = t->end[a]; j < QN_KV_TILE; j++) {
        scores[j] = -INFINITY;
    }
    for (uint64_t j = 0; j < QN_KV_TILE; j += N_LANES) {
        const lanes s = load(scores + j);
        most = select_lanes(s > most, s, most);
    }
    const float before = t->max[a];
    const float max = fmaxf(before, max_lanes(most));
    const float from = max == -INFINITY ? 0 : max; /* nothing seen yet: all weights are 0 */
    const float kept = before == -INFINITY ? 0 : expf(before - from);
    lanes sum = {0};
    for (uint64_t j = 0; j < QN_KV_TILE; j += N_LANES) {
        const lanes s = load(scores + j);
        const lanes weight = select_lanes(s == all(-INFINITY), (lanes){0}, exp_lanes(s - all(from)));
        store(scores + j, weight);
        sum += weight;
    }
    t->max[a] = max;
    t->sum[a] = t->sum[a] * kept + sum_lanes(sum);
    return kept;
}

/* n is a constant in each caller. */
LANE_FN void attend_together(const qn_tile_step *t, unsigned n) {
    float scores[QN_TILE_QUERIES][QN_KV_TILE] = {{0}};
    float kept[QN_TILE_QUERIES] = {0};
    uint64_t first = t->first[0];
    uint64_t end = t->end[0];
    for (unsigned a = 1; a < n; a++) {
        first = t->first[a] < first ? t->first[a] : first;
        end = t->end[a] > end ? t->end[a] : end;
    }
    first -= first % 4;
    end = (end + 3) / 4 * 4;
    for (uint64_t j = first; j < end; j += 4) {
        four_scores(t, n, j, scores);
    }
    for (unsigned a = 0; a < n; a++) {
        kept[a] = weigh(t, a, scores[a]);
    }
    add_values(t, n, scores, first, end, kept);
}

static void attend(const qn_tile_step *t) {
    if (t->n == 1) {
        attend_together(t, 1);
    } else {
        attend_together(t, 2);
    }
}

const qn_cpu_kernels PASTE_VALUES(qn_cpu_kernels, QN_LEVEL) = {
    .rms_norm = rms_norm,
    .layer_norm = layer_norm,
    .silu = silu,
    .gelu = gelu,
    .silu_limited = silu_limited,
    .add = add,
    .cap = cap,
    .attend = attend,
};
