/* SPDX-License-Identifier: MIT */
/* cpu_backend.c: the computations of a forward pass on this processor, shared out over a pool of threads. */
/*
 * A product packs its activations into the partner format of the weights once and then walks the weights' rows in
 * portions that the threads take one by one: a thread that the system holds up takes fewer. No result depends on who
 * took what.
 */
#include "engine/cpu_backend.h"

#include "base/memory.h"
#include "dtype/codec.h"
#include "dtype/matmul.h"

#include <stdlib.h>
#include <string.h>

enum { ALIGNMENT = 64, MIN_ROWS = 16, MAX_ROWS = 512, PORTIONS_A_THREAD = 6, FLOATS_A_PORTION = 8192 };

/* ---- sharing out ---- */

typedef struct shared_task {
    atomic_uint_fast64_t next;
    uint64_t n_items;
    uint64_t step;
    qn_portion_fn *fn;
    void *task;
} shared_task;

static void run_portions(void *shared, unsigned worker) {
    shared_task *t = shared;
    for (;;) {
        const uint64_t first = qn_next_portion(&t->next, t->step, t->n_items);
        if (first == t->n_items) {
            return;
        }
        const uint64_t end = t->n_items - first < t->step ? t->n_items : first + t->step;
        t->fn(t->task, first, end, worker);
    }
}

void qn_cpu_share(qn_cpu_backend *cpu, uint64_t n_items, uint64_t step, qn_portion_fn *fn, void *task) {
    shared_task shared = {.n_items = n_items, .step = step == 0 ? 1 : step, .fn = fn, .task = task};
    if (n_items <= shared.step || qn_pool_threads(cpu->pool) == 1) {
        if (n_items > 0) {
            fn(task, 0, n_items, 0);
        }
        return;
    }
    atomic_init(&shared.next, 0);
    qn_pool_run(cpu->pool, run_portions, &shared);
}

void qn_cpu_note(qn_cpu_backend *cpu, qn_status status, const qn_error *err) {
    if (status != QN_OK && cpu->err.status == QN_OK) {
        cpu->err = *err;
        cpu->err.status = status;
    }
}

/* Rows of n_cols floats that are worth a portion. */
static uint64_t rows_a_portion(uint64_t n_cols) {
    return n_cols >= FLOATS_A_PORTION ? 1 : FLOATS_A_PORTION / (n_cols == 0 ? 1 : n_cols);
}

/* ---- products ---- */

typedef struct pack_task {
    const qn_cpu_backend *cpu;
    qn_dtype type;
    const float *src;
    uint64_t stride;
    uint64_t n_cols;
    uint64_t vector_bytes;
} pack_task;

static void pack_portion(void *task, uint64_t first, uint64_t end, unsigned worker) {
    const pack_task *t = task;
    (void)worker;
    qn_activations_pack(t->cpu->level, t->type, t->src + first * t->stride, end - first, t->stride, t->n_cols,
                        (unsigned char *)t->cpu->packed + first * t->vector_bytes);
}

typedef struct multiply_task {
    const qn_cpu_backend *cpu;
    const qn_product *products; /* those of one type count */
    uint64_t n_products;
    qn_dtype type;
    uint64_t n_vectors;
} multiply_task;

static void add_bias(const qn_product *p, uint64_t first, uint64_t end, uint64_t n_vectors) {
    for (uint64_t v = 0; p->weight->bias != NULL && v < n_vectors; v++) {
        float *dst = p->dst + v * p->dst_stride;
        for (uint64_t row = first; row < end; row++) {
            dst[row] += p->weight->bias[row];
        }
    }
}

/* All rows of the products of the type with some of the vectors. */
static void multiply_vectors(void *task, uint64_t first, uint64_t end, unsigned worker) {
    const multiply_task *t = task;
    (void)worker;
    for (uint64_t i = 0; i < t->n_products; i++) {
        const qn_product *p = &t->products[i];
        if (p->weight->type == t->type) {
            const uint64_t vector_bytes = qn_activation_bytes(t->type, p->weight->n_cols);
            const qn_product these = {p->weight, p->dst + first * p->dst_stride, p->dst_stride};
            qn_matmul(t->cpu->level, t->type, p->weight->bytes, p->weight->n_rows, p->weight->n_cols,
                      (const unsigned char *)t->cpu->packed + first * vector_bytes, end - first, these.dst,
                      these.dst_stride);
            add_bias(&these, 0, p->weight->n_rows, end - first);
        }
    }
}

/* Whether the rows are too few to be shared out, and the vectors are not: adapters' low sides, routers. */
static bool has_few_rows(const qn_cpu_backend *cpu, const qn_product *products, uint64_t n, uint64_t n_vectors) {
    uint64_t n_rows = 0;
    for (uint64_t i = 0; i < n; i++) {
        n_rows += products[i].weight->n_rows;
    }
    const uint64_t n_threads = qn_pool_threads(cpu->pool);
    return n_threads > 1 && n_rows < n_threads * MIN_ROWS && n_vectors >= 2 * (uint64_t)n_threads;
}

/* Rows are numbered through all products of the type. */
static void multiply_portion(void *task, uint64_t first, uint64_t end, unsigned worker) {
    const multiply_task *t = task;
    uint64_t before = 0;
    (void)worker;
    for (uint64_t i = 0; i < t->n_products && before < end; i++) {
        const qn_product *p = &t->products[i];
        if (p->weight->type != t->type) {
            continue;
        }
        const uint64_t from = first > before ? first - before : 0;
        const uint64_t to = end - before < p->weight->n_rows ? end - before : p->weight->n_rows;
        if (from < to) {
            uint64_t row_bytes = 0;
            if (qn_row_size(t->type, p->weight->n_cols, &row_bytes, NULL) == QN_OK) {
                qn_matmul(t->cpu->level, t->type, (const unsigned char *)p->weight->bytes + from * row_bytes, to - from,
                          p->weight->n_cols, t->cpu->packed, t->n_vectors, p->dst + from, p->dst_stride);
                add_bias(p, from, to, t->n_vectors);
            }
        }
        before += p->weight->n_rows;
    }
}

bool qn_cpu_is_type_done(const qn_product *products, uint64_t i) {
    for (uint64_t k = 0; k < i; k++) {
        if (products[k].weight->type == products[i].weight->type) {
            return true;
        }
    }
    return false;
}

/* Rows of a portion: some portions a thread, in steps that kernels like, each worth the call. */
uint64_t qn_cpu_product_step(const qn_cpu_backend *cpu, uint64_t n_rows, uint64_t products_a_row) {
    const uint64_t worth_it = QN_PORTION_PRODUCTS / products_a_row + 1;
    uint64_t step = n_rows / (PORTIONS_A_THREAD * qn_pool_threads(cpu->pool));
    step = step > MAX_ROWS ? MAX_ROWS : step;
    step = step < worth_it ? worth_it : step;
    return (step + MIN_ROWS - 1) / MIN_ROWS * MIN_ROWS;
}

static void multiply(qn_backend *self, const qn_product *products, uint64_t n_products, const float *src,
                     uint64_t src_stride, uint64_t n_vectors) {
    qn_cpu_backend *cpu = (qn_cpu_backend *)self;
    for (uint64_t i = 0; i < n_products; i++) {
        const qn_weight *w = products[i].weight;
        if (qn_cpu_is_type_done(products, i)) {
            continue;
        }
        pack_task pack = {.cpu = cpu,
                          .type = w->type,
                          .src = src,
                          .stride = src_stride,
                          .n_cols = w->n_cols,
                          .vector_bytes = qn_activation_bytes(w->type, w->n_cols)};
        qn_cpu_share(cpu, n_vectors, rows_a_portion(w->n_cols), pack_portion, &pack);
        multiply_task task = {
            .cpu = cpu, .products = products, .n_products = n_products, .type = w->type, .n_vectors = n_vectors};
        if (has_few_rows(cpu, products, n_products, n_vectors)) {
            qn_cpu_share(cpu, n_vectors, n_vectors / (2 * (uint64_t)qn_pool_threads(cpu->pool)), multiply_vectors,
                         &task);
            continue;
        }
        uint64_t n_rows = 0;
        for (uint64_t k = i; k < n_products; k++) {
            n_rows += products[k].weight->type == w->type ? products[k].weight->n_rows : 0;
        }
        qn_cpu_share(cpu, n_rows, qn_cpu_product_step(cpu, n_rows, w->n_cols * n_vectors), multiply_portion, &task);
    }
}

/* ---- rows ---- */

static void norm_portion(void *task, uint64_t first, uint64_t end, unsigned worker) {
    const void *const *both = task;
    const qn_cpu_backend *cpu = both[0];
    const qn_norm_call *c = both[1];
    (void)worker;
    for (uint64_t i = first * c->n_groups; i < end * c->n_groups; i++) {
        const uint64_t row = i / c->n_groups;
        const uint64_t off = i % c->n_groups * c->n_cols;
        const float *src = c->src + row * c->src_stride + off;
        float *dst = c->dst + row * c->dst_stride + off;
        if (c->kind == QN_NORM_RMS) {
            cpu->kernels->rms_norm(src, c->norm->weight, c->n_cols, c->eps, dst);
            if (c->norm->bias != NULL) {
                cpu->kernels->add(dst, c->norm->bias, c->n_cols);
            }
        } else {
            cpu->kernels->layer_norm(src, c->norm->weight, c->norm->bias, c->n_cols, c->eps, dst);
        }
    }
}

static void norm(qn_backend *self, const qn_norm_call *call) {
    qn_cpu_backend *cpu = (qn_cpu_backend *)self;
    const void *both[] = {cpu, call};
    qn_cpu_share(cpu, call->n_rows, rows_a_portion(call->n_cols * call->n_groups), norm_portion, both);
}

static void activate_portion(void *task, uint64_t first, uint64_t end, unsigned worker) {
    const void *const *both = task;
    const qn_cpu_backend *cpu = both[0];
    const qn_activation_call *c = both[1];
    (void)worker;
    for (uint64_t row = first; row < end; row++) {
        const float *up = c->up == NULL ? NULL : c->up + row * c->stride;
        const float *gate = c->gate + row * c->stride;
        float *dst = c->dst + row * c->dst_stride;
        switch (c->kind) {
        case QN_ACT_SILU: cpu->kernels->silu(gate, up, c->n_cols, dst); break;
        case QN_ACT_GELU: cpu->kernels->gelu(gate, up, c->n_cols, dst); break;
        case QN_ACT_SILU_LIMITED: cpu->kernels->silu_limited(gate, up, c->n_cols, dst); break;
        }
    }
}

static void activate(qn_backend *self, const qn_activation_call *call) {
    qn_cpu_backend *cpu = (qn_cpu_backend *)self;
    const void *both[] = {cpu, call};
    /* An exponential costs as much as a dozen additions. */
    qn_cpu_share(cpu, call->n_rows, rows_a_portion(4 * call->n_cols), activate_portion, both);
}

static void rotate_head(const qn_rotation *c, float *x, const float *turns) {
    const uint64_t half = c->n_rot / 2;
    const uint64_t step = c->kind == QN_ROPE_NORM ? 2 : 1;
    const uint64_t apart = c->kind == QN_ROPE_NORM ? 1 : half;
    const float *cosines = turns;
    const float *sines = turns + half;
    for (uint64_t i = 0; i < half; i++) {
        float *a = x + i * step;
        float *b = a + apart;
        const float first = *a;
        const float second = *b;
        *a = first * cosines[i] - second * sines[i];
        *b = second * cosines[i] + first * sines[i];
    }
}

static void rotate_portion(void *task, uint64_t first, uint64_t end, unsigned worker) {
    const qn_rotation *c = task;
    (void)worker;
    for (uint64_t row = first; row < end; row++) {
        for (uint64_t head = 0; head < c->n_heads; head++) {
            rotate_head(c, c->x + row * c->stride + head * c->head_dim, c->turns + row * c->n_rot);
        }
    }
}

static void rotate(qn_backend *self, const qn_rotation *call) {
    qn_rotation copy = *call;
    qn_cpu_share((qn_cpu_backend *)self, call->n_rows, rows_a_portion(call->n_heads * call->head_dim), rotate_portion,
                 &copy);
}

static void embed(qn_backend *self, const qn_weight *table, const int32_t *ids, uint64_t n, float scale, bool adds,
                  float *dst) {
    qn_cpu_backend *cpu = (qn_cpu_backend *)self;
    uint64_t row_bytes = 0;
    qn_error err = {.status = QN_OK};
    qn_status status = qn_row_size(table->type, table->n_cols, &row_bytes, &err);
    for (uint64_t i = 0; i < n && status == QN_OK; i++) {
        const unsigned char *src = (const unsigned char *)table->bytes + (uint64_t)ids[i] * row_bytes;
        float *to = adds ? cpu->packed : dst + i * table->n_cols; /* packed activations leave room for a row */
        status = qn_decode_rows(cpu->level, table->type, src, 1, table->n_cols, to, &err);
        for (uint64_t k = 0; scale != 1 && k < table->n_cols; k++) {
            to[k] *= scale;
        }
        if (adds) {
            cpu->kernels->add(dst + i * table->n_cols, to, table->n_cols);
        }
    }
    qn_cpu_note(cpu, status, &err);
}

static void gather(qn_backend *self, const float *x, const uint64_t *ids, uint64_t n, uint64_t n_cols, float *dst) {
    (void)self;
    for (uint64_t i = 0; i < n; i++) {
        memmove(dst + i * n_cols, x + ids[i] * n_cols, (size_t)n_cols * sizeof *x);
    }
}

static void add(qn_backend *self, float *dst, const float *src, uint64_t n) {
    ((const qn_cpu_backend *)self)->kernels->add(dst, src, n);
}

static void scale(qn_backend *self, float *x, uint64_t n, float factor) {
    (void)self;
    for (uint64_t i = 0; i < n; i++) {
        x[i] *= factor;
    }
}

static void cap(qn_backend *self, float *x, uint64_t n, float limit) {
    ((const qn_cpu_backend *)self)->kernels->cap(x, n, limit);
}

/* ---- the back end ---- */

static void *alloc(qn_backend *self, uint64_t size_bytes) {
    (void)self;
    return qn_new_array(size_bytes == 0 ? 1 : size_bytes, 1);
}

static void release(qn_backend *self, void *memory) {
    (void)self;
    free(memory);
}

static qn_status finish(qn_backend *self, qn_error *err) {
    qn_cpu_backend *cpu = (qn_cpu_backend *)self;
    const qn_status status = cpu->err.status;
    if (status != QN_OK && err != NULL) {
        *err = cpu->err;
    }
    cpu->err.status = QN_OK;
    return status;
}

static uint64_t scratch_bytes(const qn_backend *self) {
    return ((const qn_cpu_backend *)self)->scratch_bytes;
}

static void free_backend(qn_backend *self) {
    qn_cpu_backend *cpu = (qn_cpu_backend *)self;
    if (cpu != NULL) {
        qn_cpu_attention_clear(cpu);
        qn_pool_free(cpu->pool);
        free(cpu->packed_block);
        free(cpu);
    }
}

static const qn_cpu_kernels *kernels_of(qn_cpu_level level) {
#if defined(__x86_64__)
    if (level >= QN_CPU_AVX512) {
        return &qn_cpu_kernels_avx512;
    }
    if (level == QN_CPU_AVX2) {
        return &qn_cpu_kernels_avx2;
    }
#endif
    (void)level;
    return &qn_cpu_kernels_baseline;
}

qn_backend *qn_cpu_backend_new(const qn_backend_limits *limits) {
    qn_cpu_backend *cpu = qn_new_array(1, sizeof *cpu);
    if (cpu == NULL) {
        return NULL;
    }
    cpu->calls = (qn_backend){.name = "CPU",
                              .alloc = alloc,
                              .release = release,
                              .embed = embed,
                              .norm = norm,
                              .multiply = multiply,
                              .route = qn_cpu_route,
                              .multiply_experts = qn_cpu_multiply_experts,
                              .mix = qn_cpu_mix,
                              .gate_rows = qn_cpu_gate_rows,
                              .rotate = rotate,
                              .store = qn_cpu_store,
                              .attend = qn_cpu_attend,
                              .activate = activate,
                              .gather = gather,
                              .add = add,
                              .scale = scale,
                              .cap = cap,
                              .finish = finish,
                              .scratch_bytes = scratch_bytes,
                              .free = free_backend};
    cpu->limits = *limits;
    cpu->level = qn_cpu_detect();
    cpu->kernels = kernels_of(cpu->level);
    cpu->pool = qn_pool_new(limits->n_threads);
    cpu->packed_block = qn_new_array(limits->packed_bytes + ALIGNMENT, 1);
    if (cpu->pool == NULL || cpu->packed_block == NULL || !qn_cpu_attention_init(cpu)) {
        free_backend(&cpu->calls);
        return NULL;
    }
    const uintptr_t over = (uintptr_t)cpu->packed_block % ALIGNMENT;
    cpu->packed = (unsigned char *)cpu->packed_block + (over == 0 ? 0 : ALIGNMENT - over);
    cpu->scratch_bytes += limits->packed_bytes + ALIGNMENT;
    return &cpu->calls;
}
