/* SPDX-License-Identifier: MIT */
/*
 * dot_panels.h: sixteen rows at a time times many vectors: prompts.
 *
 * A panel holds a run of columns of 16 rows, unpacked and turned so that a register has four columns of eight rows: a
 * lane is a row, four codes of a vector go to all lanes, and nothing is summed across. A panel is unpacked once and met
 * by all vectors while it stays in the first cache. Products of codes are added in 16 bits for as long as the size of
 * the codes allows, then widened by their scale. The floats are added in the order of dot_rows.h,
 * and to the bits of dot_quick.h.
 */
#ifndef QUERN_DTYPE_DOT_PANELS_H
#define QUERN_DTYPE_DOT_PANELS_H

#include "dtype/dot_parts.h"

#if defined(__AVX2__)

enum {
    PANEL_ROWS = 16,
    PANEL_BLOCKS = 4,       /* blocks of 256 columns in a run */
    PANEL_LEAST = 6,        /* vectors from which a panel is worth its making */
    PANEL_LEAST_OCTETS = 4, /* of types whose codes are looked up by eights, which costs more for each vector */
    PANEL_LEAST_QUADS = 3   /* and by fours */
};

/* 256 columns of 16 rows. */
typedef struct panel_k {
    _Alignas(64) uint32_t codes[64][PANEL_ROWS]; /* four codes each */
    uint32_t scale[16][PANEL_ROWS];              /* the scale of a group twice, 16 bits each */
    uint32_t minimum[8][PANEL_ROWS];             /* the minima of two groups */
    float d[PANEL_ROWS];
    float dmin[PANEL_ROWS];
} panel_k;

typedef struct panel_32 {
    _Alignas(64) uint32_t codes[64][PANEL_ROWS];
    float d[8][PANEL_ROWS];
    float m[8][PANEL_ROWS];
} panel_32;

/* Eight rows of eight words, from_stride bytes apart, to eight columns, PANEL_ROWS words apart. */
DOT_INLINE void transpose_words(const void *from, size_t from_stride, uint32_t *to) {
    __m256i a[8];
    __m256i b[8];
    for (unsigned i = 0; i < 8; i++) {
        a[i] = load_256((const unsigned char *)from + i * from_stride);
    }
    for (unsigned i = 0; i < 8; i += 2) {
        b[i] = _mm256_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm256_unpackhi_epi32(a[i], a[i + 1]);
    }
    for (unsigned i = 0; i < 8; i += 4) {
        a[i] = _mm256_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm256_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm256_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm256_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    for (size_t i = 0; i < 4; i++) {
        _mm256_store_si256((__m256i *)(void *)(to + i * PANEL_ROWS), _mm256_permute2x128_si256(a[i], a[i + 4], 0x20));
        _mm256_store_si256((__m256i *)(void *)(to + (i + 4) * PANEL_ROWS),
                           _mm256_permute2x128_si256(a[i], a[i + 4], 0x31));
    }
}

/* Pairs of scales of two groups, to each group's scale twice. */
DOT_INLINE void spread_scales(const uint32_t pairs[8][PANEL_ROWS], uint32_t scale[16][PANEL_ROWS], unsigned half) {
    for (unsigned p = 0; p < 8; p++) {
        const __m256i both = load_256(pairs[p] + 8 * half);
        const __m256i even = _mm256_blend_epi16(both, _mm256_slli_epi32(both, 16), 0xAA);
        const __m256i odd = _mm256_blend_epi16(_mm256_srli_epi32(both, 16), both, 0xAA);
        _mm256_store_si256((__m256i *)(void *)(scale[2 * p] + 8 * half), even);
        _mm256_store_si256((__m256i *)(void *)(scale[2 * p + 1] + 8 * half), odd);
    }
}

DOT_INLINE const unsigned char *panel_row(const qn_dot_task *task, uint64_t r) {
    return task->weights + (r < task->n_rows ? r : task->n_rows - 1) * task->row_bytes;
}

/* Asks for what is unpacked next: n_bytes of 16 rows from a byte on, or of the next 16 where the rows end there. */
DOT_INLINE void prefetch_run(const qn_dot_task *task, uint64_t r, uint64_t byte, uint64_t n_bytes) {
    const bool is_end = byte >= task->row_bytes;
    for (unsigned i = 0; i < PANEL_ROWS; i++) {
        const unsigned char *row = panel_row(task, (is_end ? r + PANEL_ROWS : r) + i) + (is_end ? 0 : byte);
        for (uint64_t at = 0; at < n_bytes; at += 64) {
            _mm_prefetch((const char *)row + at, _MM_HINT_T1);
        }
    }
}

static void fill_panel_k(const qn_dot_task *task, uint64_t r, uint64_t byte, flat_k_fn *flat, panel_k *p) {
    for (unsigned half = 0; half < 2; half++) {
        flat_k f[8];
        _Alignas(64) uint32_t pairs[8][PANEL_ROWS];
        for (unsigned i = 0; i < 8; i++) {
            flat(panel_row(task, r + 8 * half + i) + byte, &f[i]);
            p->d[8 * half + i] = f[i].d;
            p->dmin[8 * half + i] = f[i].dmin;
        }
        for (unsigned i = 0; i < 8; i++) {
            transpose_words(f[0].codes + 32 * i, sizeof f[0], p->codes[8 * i] + 8 * half);
        }
        transpose_words(f[0].scale, sizeof f[0], pairs[0] + 8 * half);
        transpose_words(f[0].minimum, sizeof f[0], p->minimum[0] + 8 * half);
        spread_scales((const uint32_t(*)[PANEL_ROWS])pairs, p->scale, half);
    }
}

static void fill_panel_32(const qn_dot_task *task, uint64_t r, uint64_t byte, unsigned n_groups, flat_32_fn *flat,
                          panel_32 *p) {
    for (unsigned half = 0; half < 2; half++) {
        flat_32 f[8];
        for (unsigned i = 0; i < 8; i++) {
            flat(panel_row(task, r + 8 * half + i) + byte, n_groups, &f[i]);
        }
        for (unsigned i = 0; i < n_groups; i++) {
            transpose_words(f[0].codes + 32 * i, sizeof f[0], p->codes[8 * i] + 8 * half);
        }
        for (unsigned g = 0; g < n_groups; g++) {
            for (unsigned i = 0; i < 8; i++) {
                p->d[g][8 * half + i] = f[i].d[g];
                p->m[g][8 * half + i] = f[i].m[g];
            }
        }
    }
}

/* How many quads of columns may be added up before they are widened, of a group of 4 quads or 8. */
#if defined(__AVX512VNNI__)
#define QUADS_OF(size, most) (most)
#else
#define QUADS_OF(size, most) \
    ((size) == CODES_4_BIT ? (most) : (size) == CODES_5_BIT ? 4U : (size) == CODES_6_BIT ? 2U : 1U)
#endif

#if defined(__AVX512BW__)
#include "dtype/dot_panels_wide.h"
#else

enum {
    PANEL_VECTORS = 3 /* of a tile: 6 sums in 32 bits, 6 in 16, 2 of codes and one of values fill the registers */
};

/* A quad of each row as two sums of pairs, added in 16 bits. */
DOT_INLINE __m256i add_products(code_size size, __m256i sum, bool is_first, __m256i codes, __m256i x) {
    const __m256i pairs = pairs_of(size, codes, x);
    return is_first ? pairs : _mm256_add_epi16(sum, pairs);
}

/*
 * Adds n_quads quads to sums, times factor[half], which has each scale twice, in 16 bits; ones where products are not
 * scaled. The loops have constant bounds and are unrolled; sums live in registers.
 */
DOT_INLINE void add_quads(code_size size, unsigned n, unsigned n_quads, const uint32_t (*codes)[PANEL_ROWS],
                          const unsigned char *const x[PANEL_VECTORS], size_t offset, const __m256i factor[2],
                          __m256i sums[PANEL_VECTORS][2]) {
    __m256i products[PANEL_VECTORS][2];
#pragma GCC unroll 8
    for (unsigned q = 0; q < n_quads; q++) {
        const __m256i low = load_256(codes[q]);
        const __m256i high = load_256(codes[q] + 8);
#pragma GCC unroll 3
        for (unsigned v = 0; v < n; v++) {
            const __m256i values = _mm256_set1_epi32((int)flat_u32(x[v] + offset + (size_t)4 * q));
            products[v][0] = add_products(size, products[v][0], q == 0, low, values);
            products[v][1] = add_products(size, products[v][1], q == 0, high, values);
            if (n_quads > 1) {
                FINISH(products[v][0]);
                FINISH(products[v][1]);
            }
        }
    }
#pragma GCC unroll 3
    for (unsigned v = 0; v < n; v++) {
        sums[v][0] = add_words(sums[v][0], products[v][0], factor[0]);
        sums[v][1] = add_words(sums[v][1], products[v][1], factor[1]);
        FINISH(sums[v][0]);
        FINISH(sums[v][1]);
    }
}

/* Sums of minimum times sum of values. */
DOT_INLINE __m256i minimum_lanes(const panel_k *p, unsigned half, const unsigned char *x_sums) {
    __m256i sum = _mm256_setzero_si256();
#pragma GCC unroll 8
    for (unsigned i = 0; i < 8; i++) {
        const __m256i two = _mm256_set1_epi32((int)flat_u32(x_sums + (size_t)4 * i));
        sum = add_words(sum, load_256(p->minimum[i] + 8 * half), two);
    }
    return sum;
}

/* One block of a panel times n vectors, added to acc. */
DOT_INLINE void add_block_k(code_size size, unsigned n, const panel_k *p, const unsigned char *const x[PANEL_VECTORS],
                            const qn_planes *planes, uint64_t block, float acc[PANEL_VECTORS][PANEL_ROWS]) {
    const unsigned n_quads = size == CODES_4_BIT ? 8 : 4; /* that share a scale */
    const unsigned step = QUADS_OF(size, n_quads);
    __m256i sums[PANEL_VECTORS][2];
    for (unsigned v = 0; v < n; v++) {
        sums[v][0] = sums[v][1] = _mm256_setzero_si256();
    }
    for (unsigned i = 0; i < 64; i += n_quads) {
        const __m256i factor[2] = {load_256(p->scale[i / 4]), load_256(p->scale[i / 4] + 8)};
#pragma GCC unroll 4
        for (unsigned q = i; q < i + n_quads; q += step) {
            add_quads(size, n, step, p->codes + q, x, block * DOT_BLOCK + 4 * q, factor, sums);
        }
    }
    for (unsigned v = 0; v < n; v++) {
        const __m256 x_d = _mm256_set1_ps(((const float *)(const void *)(x[v] + planes->d))[block]);
        for (unsigned half = 0; half < 2; half++) {
            __m256 value = _mm256_mul_ps(_mm256_load_ps(p->d + 8 * half), _mm256_cvtepi32_ps(sums[v][half]));
            if (size != CODES_SIGNED) {
                const __m256i minima = minimum_lanes(p, half, x[v] + planes->sums + 32 * block);
                value = _mm256_fnmadd_ps(_mm256_load_ps(p->dmin + 8 * half), _mm256_cvtepi32_ps(minima), value);
            }
            _mm256_store_ps(acc[v] + 8 * half, _mm256_fmadd_ps(x_d, value, _mm256_load_ps(acc[v] + 8 * half)));
        }
    }
}

/* One block of a panel, or what is left of it, times n vectors, added to acc. */
DOT_INLINE void add_block_32(code_size size, unsigned n, const panel_32 *p, unsigned n_groups,
                             const unsigned char *const x[PANEL_VECTORS], const qn_planes *planes, uint64_t block,
                             float acc[PANEL_VECTORS][PANEL_ROWS]) {
    const unsigned step = QUADS_OF(size, 8U);
    const __m256i ones[2] = {_mm256_set1_epi16(1), _mm256_set1_epi16(1)};
    for (unsigned g = 0; g < n_groups; g++) {
        __m256i sums[PANEL_VECTORS][2];
        for (unsigned v = 0; v < n; v++) {
            sums[v][0] = sums[v][1] = _mm256_setzero_si256();
        }
#pragma GCC unroll 8
        for (unsigned q = 0; q < 8; q += step) {
            add_quads(size, n, step, p->codes + 8 * g + q, x, block * DOT_BLOCK + 32 * g + 4 * q, ones, sums);
        }
#pragma GCC unroll 3
        for (unsigned v = 0; v < n; v++) {
            const uint64_t i = block * 8 + g;
            const __m256 x_d = _mm256_set1_ps(((const float *)(const void *)(x[v] + planes->d))[i]);
            const __m256 x_s = _mm256_set1_ps(((const float *)(const void *)(x[v] + planes->sums))[i]);
            for (unsigned half = 0; half < 2; half++) {
                const __m256 scale = _mm256_mul_ps(_mm256_load_ps(p->d[g] + 8 * half), x_d);
                __m256 sum = _mm256_load_ps(acc[v] + 8 * half);
                sum = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(sums[v][half]), sum);
                if (size != CODES_SIGNED) {
                    sum = _mm256_fmadd_ps(_mm256_load_ps(p->m[g] + 8 * half), x_s, sum);
                }
                _mm256_store_ps(acc[v] + 8 * half, sum);
            }
        }
    }
}

#endif

/* Copies the products of a tile's rows that there are; nearly always all. */
DOT_INLINE void copy_rows(const qn_dot_task *task, uint64_t r, float *to, const float *from) {
    if (r + PANEL_ROWS <= task->n_rows) {
        memcpy(to, from, PANEL_ROWS * sizeof(float));
    } else {
        memcpy(to, from, (size_t)(task->n_rows - r) * sizeof(float));
    }
}

/* The products so far of a tile: zero before the first run. */
DOT_INLINE void load_tile(const qn_dot_task *task, uint64_t r, uint64_t v, unsigned n, bool is_first,
                          float acc[PANEL_VECTORS][PANEL_ROWS]) {
    for (unsigned i = 0; i < n; i++) {
        memset(acc[i], 0, sizeof acc[i]);
        if (!is_first) {
            copy_rows(task, r, acc[i], task->dst + (v + i) * task->dst_stride + r);
        }
    }
}

DOT_INLINE void store_tile(const qn_dot_task *task, uint64_t r, uint64_t v, unsigned n,
                           float acc[PANEL_VECTORS][PANEL_ROWS]) {
    for (unsigned i = 0; i < n; i++) {
        copy_rows(task, r, task->dst + (v + i) * task->dst_stride + r, acc[i]);
    }
}

/* A run of blocks of 16 rows times n vectors from v on. */
DOT_INLINE void add_tile_k(code_size size, const qn_dot_task *task, uint64_t r, uint64_t v, unsigned n,
                           const panel_k *panels, uint64_t block, unsigned n_blocks) {
    const unsigned char *x[PANEL_VECTORS];
    _Alignas(64) float acc[PANEL_VECTORS][PANEL_ROWS];
    for (unsigned i = 0; i < n; i++) {
        x[i] = task->vectors + (v + i) * task->planes.size;
    }
    load_tile(task, r, v, n, block == 0, acc);
    for (unsigned b = 0; b < n_blocks; b++) {
        add_block_k(size, n, panels + b, x, &task->planes, block + b, acc);
    }
    store_tile(task, r, v, n, acc);
}

DOT_INLINE void add_tile_32(code_size size, const qn_dot_task *task, uint64_t r, uint64_t v, unsigned n,
                            const panel_32 *panels, uint64_t block, unsigned n_groups) {
    const unsigned char *x[PANEL_VECTORS];
    _Alignas(64) float acc[PANEL_VECTORS][PANEL_ROWS];
    for (unsigned i = 0; i < n; i++) {
        x[i] = task->vectors + (v + i) * task->planes.size;
    }
    load_tile(task, r, v, n, block == 0, acc);
    for (unsigned b = 0; 8 * b < n_groups; b++) {
        const unsigned left = n_groups - 8 * b;
        add_block_32(size, n, panels + b, left < 8 ? left : 8, x, &task->planes, block + b, acc);
    }
    store_tile(task, r, v, n, acc);
}

/* All vectors in tiles as large as can be; three, two or one at the end. */
#define DEFINE_TILES(kind, panel_type, name, size)                                                                \
    static void name(const qn_dot_task *task, uint64_t r, const panel_type *panels, uint64_t block, unsigned n) { \
        uint64_t v = 0;                                                                                           \
        for (; v + PANEL_VECTORS <= task->n_vectors; v += PANEL_VECTORS) {                                        \
            add_tile_##kind(size, task, r, v, PANEL_VECTORS, panels, block, n);                                   \
        }                                                                                                         \
        for (; v + 3 <= task->n_vectors; v += 3) {                                                                \
            add_tile_##kind(size, task, r, v, 3, panels, block, n);                                               \
        }                                                                                                         \
        if (v + 2 == task->n_vectors) {                                                                           \
            add_tile_##kind(size, task, r, v, 2, panels, block, n);                                               \
        } else if (v < task->n_vectors) {                                                                         \
            add_tile_##kind(size, task, r, v, 1, panels, block, n);                                               \
        }                                                                                                         \
    }

typedef void tiles_k_fn(const qn_dot_task *task, uint64_t r, const panel_k *panels, uint64_t block, unsigned n);
typedef void tiles_32_fn(const qn_dot_task *task, uint64_t r, const panel_32 *panels, uint64_t block, unsigned n);

DEFINE_TILES(k, panel_k, tiles_k_signed, CODES_SIGNED)
DEFINE_TILES(k, panel_k, tiles_k_7_bit, CODES_7_BIT)
DEFINE_TILES(k, panel_k, tiles_k_6_bit, CODES_6_BIT)
DEFINE_TILES(k, panel_k, tiles_k_5_bit, CODES_5_BIT)
DEFINE_TILES(k, panel_k, tiles_k_4_bit, CODES_4_BIT)
DEFINE_TILES(32, panel_32, tiles_32_signed, CODES_SIGNED)
DEFINE_TILES(32, panel_32, tiles_32_5_bit, CODES_5_BIT)
DEFINE_TILES(32, panel_32, tiles_32_4_bit, CODES_4_BIT)

static void all_panels_k(const qn_dot_task *task, flat_k_fn *flat, uint64_t block_bytes, tiles_k_fn *tiles) {
    const uint64_t n_blocks = task->n_cols / DOT_BLOCK;
    panel_k panels[PANEL_BLOCKS];
    for (uint64_t r = 0; r < task->n_rows; r += PANEL_ROWS) {
        for (uint64_t b = 0; b < n_blocks; b += PANEL_BLOCKS) {
            const unsigned n = n_blocks - b < PANEL_BLOCKS ? (unsigned)(n_blocks - b) : PANEL_BLOCKS;
            for (unsigned i = 0; i < n; i++) {
                fill_panel_k(task, r, (b + i) * block_bytes, flat, panels + i);
            }
            prefetch_run(task, r, (b + n) * block_bytes, PANEL_BLOCKS * block_bytes);
            tiles(task, r, panels, b, n);
        }
    }
}

static void all_panels_32(const qn_dot_task *task, flat_32_fn *flat, uint64_t chunk_bytes, tiles_32_fn *tiles) {
    const uint64_t n_groups = task->n_cols / DOT_GROUP;
    panel_32 panels[PANEL_BLOCKS];
    for (uint64_t r = 0; r < task->n_rows; r += PANEL_ROWS) {
        for (uint64_t g = 0; g < n_groups; g += 8 * PANEL_BLOCKS) {
            const unsigned n = n_groups - g < 8 * PANEL_BLOCKS ? (unsigned)(n_groups - g) : 8 * PANEL_BLOCKS;
            for (unsigned i = 0; 8 * i < n; i++) {
                fill_panel_32(task, r, (g / 8 + i) * chunk_bytes, n - 8 * i < 8 ? n - 8 * i : 8, flat, panels + i);
            }
            prefetch_run(task, r, (g / 8 + PANEL_BLOCKS) * chunk_bytes, PANEL_BLOCKS * chunk_bytes);
            tiles(task, r, panels, g / 8, n);
        }
    }
}

#endif
#endif
