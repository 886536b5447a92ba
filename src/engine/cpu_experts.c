/* SPDX-License-Identifier: MIT */
/* cpu_experts.c: the CPU back end's part in mixtures: the choice of experts, and products grouped by expert. */
/*
 * A batch's rows are dealt out to places, those of one expert side by side, so that each expert's matrix meets all of
 * its rows at once, and matrices of experts that nobody chose are not touched.
 */
#include "engine/cpu_backend.h"

#include "dtype/matmul.h"

#include <math.h>
#include <string.h>

enum { FLOATS_A_PORTION = 8192 };

/* ---- the choice ---- */

/* Sums of weights are not divided by less: the least normal half-precision number. */
static const float least_sum = 6.103515625e-5F;

static float sigmoid(float x) {
    return 1.0F / (1.0F + expf(-x));
}

static void softmax(float *x, uint64_t n) {
    float max = -INFINITY;
    float sum = 0;
    for (uint64_t i = 0; i < n; i++) {
        max = fmaxf(max, x[i]);
    }
    for (uint64_t i = 0; i < n; i++) {
        x[i] = expf(x[i] - max);
        sum += x[i];
    }
    for (uint64_t i = 0; i < n; i++) {
        x[i] /= sum;
    }
}

/* What a row's scores count before the choice. */
static void gate(const qn_mixture *m, float *scores) {
    if (m->gating == QN_GATING_SOFTMAX) {
        softmax(scores, m->n_expert);
    }
    for (uint64_t e = 0; m->gating == QN_GATING_SIGMOID && e < m->n_expert; e++) {
        scores[e] = sigmoid(scores[e]);
    }
}

/* The n_used experts whose score and bias are highest, best first. What is not a number is chosen last. */
static void choose(const qn_mixture *m, const float *scores, const float *bias, uint64_t *experts, float *chosen) {
    uint64_t n = 0;
    for (uint64_t e = 0; e < m->n_expert; e++) {
        const float sum = bias == NULL ? scores[e] : scores[e] + bias[e];
        const float s = isnan(sum) ? -INFINITY : sum;
        uint64_t at = n;
        if (n == m->n_used && s <= chosen[n - 1]) {
            continue;
        }
        for (at = n < m->n_used ? n++ : n - 1; at > 0 && s > chosen[at - 1]; at--) {
            chosen[at] = chosen[at - 1];
            experts[at] = experts[at - 1];
        }
        chosen[at] = s;
        experts[at] = e;
    }
}

/* Weights of the chosen. */
static void weigh(const qn_mixture *m, const float *scores, const uint64_t *experts, float *weights) {
    float sum = 0;
    for (uint64_t i = 0; i < m->n_used; i++) {
        weights[i] = scores[experts[i]];
        sum += weights[i];
    }
    if (m->gating == QN_GATING_SOFTMAX_CHOSEN) {
        softmax(weights, m->n_used);
    }
    for (uint64_t i = 0; i < m->n_used; i++) {
        weights[i] *= m->scale / (m->normalizes ? fmaxf(sum, least_sum) : 1);
    }
}

void qn_cpu_route(qn_backend *self, const qn_routing *call) {
    const qn_mixture *m = call->mixture;
    qn_places *p = call->places;
    uint64_t n_before = 0;
    (void)self;
    p->n_rows = call->n_rows;
    p->n_used = m->n_used;
    p->n_experts = m->n_expert;
    memset(p->first, 0, (size_t)(m->n_expert + 1) * sizeof *p->first);
    for (uint64_t row = 0; row < call->n_rows; row++) {
        float *scores = call->scores + row * m->n_expert;
        float *weights = p->weights + row * m->n_used;
        uint64_t *experts = p->places + row * m->n_used;
        gate(m, scores);
        choose(m, scores, call->bias, experts, weights);
        weigh(m, scores, experts, weights);
        for (uint64_t i = 0; i < m->n_used; i++) {
            p->first[experts[i]]++;
        }
    }
    for (uint64_t e = 0; e <= m->n_expert; e++) { /* counts become first places */
        const uint64_t n = p->first[e];
        p->first[e] = n_before;
        n_before += n;
    }
    for (uint64_t i = 0; i < call->n_rows * m->n_used; i++) { /* while they are dealt out, first is the next free one */
        const uint64_t place = p->first[p->places[i]]++;
        p->row_of[place] = i / m->n_used;
        p->places[i] = place;
    }
    memmove(p->first + 1, p->first, (size_t)m->n_expert * sizeof *p->first);
    p->first[0] = 0;
}

/* ---- products ---- */

typedef struct experts_task {
    const qn_cpu_backend *cpu;
    const qn_product *products; /* those of one type count */
    uint64_t n_products;
    qn_dtype type;
    uint64_t n_cols;
    uint64_t row_bytes;
    uint64_t vector_bytes;
    const qn_places *places;
    const float *src;
    uint64_t src_stride;
    bool by_row;
} experts_task;

static void pack_portion(void *task, uint64_t first, uint64_t end, unsigned worker) {
    const experts_task *t = task;
    (void)worker;
    for (uint64_t place = first; place < end; place++) {
        const uint64_t row = t->by_row ? t->places->row_of[place] : place;
        qn_activations_pack(t->cpu->level, t->type, t->src + row * t->src_stride, 1, t->src_stride, t->n_cols,
                            (unsigned char *)t->cpu->packed + place * t->vector_bytes);
    }
}

/* Rows from to to - 1 of one expert's matrix. */
static void multiply_rows(const experts_task *t, const qn_product *p, uint64_t expert, uint64_t from, uint64_t to) {
    const uint64_t first = t->places->first[expert];
    const uint64_t n_vectors = t->places->first[expert + 1] - first;
    const uint64_t row = expert * p->weight->n_rows + from;
    float *dst = p->dst + first * p->dst_stride + from;
    qn_matmul(t->cpu->level, t->type, (const unsigned char *)p->weight->bytes + row * t->row_bytes, to - from,
              t->n_cols, (const unsigned char *)t->cpu->packed + first * t->vector_bytes, n_vectors, dst,
              p->dst_stride);
    for (uint64_t v = 0; p->weight->bias != NULL && v < n_vectors; v++) {
        for (uint64_t i = 0; i < to - from; i++) {
            dst[v * p->dst_stride + i] += p->weight->bias[row + i];
        }
    }
}

/* Rows are numbered through all products of the type of each expert that was chosen. */
static void multiply_portion(void *task, uint64_t first, uint64_t end, unsigned worker) {
    const experts_task *t = task;
    uint64_t before = 0;
    (void)worker;
    for (uint64_t e = 0; e < t->places->n_experts && before < end; e++) {
        if (t->places->first[e + 1] == t->places->first[e]) {
            continue;
        }
        for (uint64_t i = 0; i < t->n_products && before < end; i++) {
            const uint64_t n_rows = t->products[i].weight->n_rows;
            if (t->products[i].weight->type != t->type) {
                continue;
            }
            const uint64_t from = first > before ? first - before : 0;
            const uint64_t to = end - before < n_rows ? end - before : n_rows;
            if (from < to) {
                multiply_rows(t, &t->products[i], e, from, to);
            }
            before += n_rows;
        }
    }
}

static uint64_t count_chosen(const qn_places *places) {
    uint64_t n = 0;
    for (uint64_t e = 0; e < places->n_experts; e++) {
        n += places->first[e + 1] > places->first[e];
    }
    return n;
}

void qn_cpu_multiply_experts(qn_backend *self, const qn_product *products, uint64_t n_products, const qn_places *places,
                             const float *src, uint64_t src_stride, bool by_row) {
    qn_cpu_backend *cpu = (qn_cpu_backend *)self;
    const uint64_t n_places = places->n_rows * places->n_used;
    const uint64_t n_chosen = count_chosen(places);
    for (uint64_t i = 0; i < n_products && n_places > 0; i++) {
        const qn_weight *w = products[i].weight;
        experts_task task = {.cpu = cpu,
                             .products = products,
                             .n_products = n_products,
                             .type = w->type,
                             .n_cols = w->n_cols,
                             .vector_bytes = qn_activation_bytes(w->type, w->n_cols),
                             .places = places,
                             .src = src,
                             .src_stride = src_stride,
                             .by_row = by_row};
        uint64_t n_rows = 0;
        if (qn_cpu_is_type_done(products, i) || qn_row_size(w->type, w->n_cols, &task.row_bytes, NULL) != QN_OK) {
            continue;
        }
        for (uint64_t k = i; k < n_products; k++) {
            n_rows += products[k].weight->type == w->type ? n_chosen * products[k].weight->n_rows : 0;
        }
        qn_cpu_share(cpu, n_places, FLOATS_A_PORTION / w->n_cols, pack_portion, &task);
        qn_cpu_share(cpu, n_rows, qn_cpu_product_step(cpu, n_rows, w->n_cols * n_places / n_chosen), multiply_portion,
                     &task);
    }
}

/* ---- what comes back ---- */

typedef struct mix_task {
    const qn_places *places;
    const float *src;
    uint64_t n_cols;
    float *dst;
} mix_task;

static void mix_portion(void *task, uint64_t first, uint64_t end, unsigned worker) {
    const mix_task *t = task;
    const uint64_t n_used = t->places->n_used;
    (void)worker;
    for (uint64_t row = first; row < end; row++) {
        float *dst = t->dst + row * t->n_cols;
        memset(dst, 0, (size_t)t->n_cols * sizeof *dst);
        for (uint64_t i = row * n_used; i < (row + 1) * n_used; i++) {
            const float *src = t->src + t->places->places[i] * t->n_cols;
            const float weight = t->places->weights[i];
            for (uint64_t k = 0; k < t->n_cols; k++) {
                dst[k] += weight * src[k];
            }
        }
    }
}

void qn_cpu_mix(qn_backend *self, const qn_places *places, const float *src, uint64_t n_cols, float *dst) {
    mix_task task = {.places = places, .src = src, .n_cols = n_cols, .dst = dst};
    qn_cpu_share((qn_cpu_backend *)self, places->n_rows, FLOATS_A_PORTION / (n_cols * places->n_used), mix_portion,
                 &task);
}

void qn_cpu_gate_rows(qn_backend *self, const float *gates, float *x, uint64_t n_rows, uint64_t n_cols) {
    (void)self;
    for (uint64_t row = 0; row < n_rows; row++) {
        const float share = sigmoid(gates[row]);
        for (uint64_t k = 0; k < n_cols; k++) {
            x[row * n_cols + k] *= share;
        }
    }
}
