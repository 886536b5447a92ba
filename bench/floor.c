/* SPDX-License-Identifier: MIT */
/*
 * floor.c: searches for the best free scale of each group, type by type.
 *
 * Types with a list of levels are solved exactly: as 1/scale grows from 0, elements cross from level to level at known
 * points, and between two points the codes, hence the best scale for them, stay. Types with an offset are searched on
 * a fine grid of both. Types with a grid of codewords try every codeword at a row of scales. Source: facts/quants.md.
 */
#include "floor.h"

#include "dtype/grids.h"

#include <math.h>
#include <stdlib.h>

enum { MAX_GROUP = 256, MAX_LEVELS = 256, OCTET = 8 };

/* One group: n elements with weights. */
typedef struct group {
    int n;
    double x[MAX_GROUP];
    double w[MAX_GROUP];
    double power; /* sum of w·x² */
} group;

static double smaller(double a, double b) {
    return a < b ? a : b;
}

/* ---- A list of levels and a scale ---- */

/* At this inverse scale an element moves from level a to level b. */
typedef struct crossing {
    double inverse;
    double wx;
    double w;
    double a;
    double b;
} crossing;

static int by_inverse(const void *a, const void *b) {
    const double left = ((const crossing *)a)->inverse;
    const double right = ((const crossing *)b)->inverse;
    return (left > right) - (left < right);
}

/* Fills the crossings of one element on its way from the level near 0 outwards; adds where it starts to the sums. */
static size_t cross_levels(const double *levels, int n_levels, double x, double w, crossing *out, double *sum_a,
                           double *sum_b) {
    const int step = x > 0 ? 1 : -1;
    size_t n = 0;
    int at = step > 0 ? 0 : n_levels - 1;
    /* The level for an x that is barely on its side of 0. */
    while (at + step >= 0 && at + step < n_levels && (levels[at] + levels[at + step]) * step <= 0) {
        at += step;
    }
    *sum_a += w * x * levels[at];
    *sum_b += w * levels[at] * levels[at];
    for (; x != 0 && at + step >= 0 && at + step < n_levels; at += step) {
        const double middle = 0.5 * (levels[at] + levels[at + step]);
        out[n++] = (crossing){middle / x, w * x, w, levels[at], levels[at + step]};
    }
    return n;
}

/* The least error with levels times a scale of the sign given. */
static double level_error_signed(const group *g, const double *levels, int n_levels, double sign) {
    crossing *crossings = malloc(sizeof *crossings * (size_t)g->n * (size_t)n_levels);
    size_t n = 0;
    double a = 0;
    double b = 0;
    if (crossings == NULL) {
        exit(1);
    }
    for (int e = 0; e < g->n; e++) {
        n += cross_levels(levels, n_levels, sign * g->x[e], g->w[e], crossings + n, &a, &b);
    }
    qsort(crossings, n, sizeof *crossings, by_inverse);
    double best = a > 0 && b > 0 ? a * a / b : 0;
    for (size_t i = 0; i < n; i++) {
        const crossing *c = &crossings[i];
        a += c->wx * (c->b - c->a);
        b += c->w * (c->b * c->b - c->a * c->a);
        if (a > 0 && b > 0 && a * a / b > best) {
            best = a * a / b;
        }
    }
    free(crossings);
    return g->power - best;
}

static double level_error(const group *g, const double *levels, int n_levels) {
    return smaller(level_error_signed(g, levels, n_levels, 1.0), level_error_signed(g, levels, n_levels, -1.0));
}

/* ---- Codes 0..top, a scale and an offset ---- */

/* The least error for the codes that x = s·(q + t) gives, s and the offset then free. Elements are centred. */
static double affine_error_at(const group *g, double top, double inverse, double t) {
    double w = 0;
    double wq = 0;
    double wqq = 0;
    double wqx = 0;
    for (int e = 0; e < g->n; e++) {
        double q = g->x[e] * inverse - t;
        q = q < 0 ? 0 : (q > top ? top : q);
        q = (double)(int)(q + 0.5);
        w += g->w[e];
        wq += g->w[e] * q;
        wqq += g->w[e] * q * q;
        wqx += g->w[e] * q * g->x[e];
    }
    /* The weighted mean of x is 0, so that only the spread of the codes counts. */
    const double spread = wqq - wq * wq / w;
    return spread > 1e-12 * wqq ? g->power - wqx * wqx / spread : g->power;
}

/* A grid over the inverse scale and the offset in codes, then a finer one around its best point. */
static double affine_error(const group *raw, double top) {
    group g = *raw;
    double w = 0;
    double mean = 0;
    double low = INFINITY;
    double high = -INFINITY;
    for (int e = 0; e < g.n; e++) {
        w += g.w[e];
        mean += g.w[e] * g.x[e];
    }
    if (w <= 0) {
        return 0;
    }
    g.power = 0;
    for (int e = 0; e < g.n; e++) {
        g.x[e] -= mean / w;
        g.power += g.w[e] * g.x[e] * g.x[e];
        low = g.x[e] < low ? g.x[e] : low;
        high = g.x[e] > high ? g.x[e] : high;
    }
    if (high <= low) {
        return 0;
    }
    double best = g.power;
    double best_inverse = top / (high - low);
    double best_t = -0.5 * top;
    const double base = best_inverse;
    for (int step = 0; step < 101; step++) { /* up to 2.5, by 1.2 % */
        const double rate = 0.75 * pow(1.012, step);
        for (int quarter = (int)(-4 * top); quarter <= 0; quarter++) {
            const double t = 0.25 * quarter;
            const double error = affine_error_at(&g, top, base * rate, t);
            if (error < best) {
                best = error;
                best_inverse = base * rate;
                best_t = t;
            }
        }
    }
    const double around_inverse = best_inverse;
    const double around_t = best_t;
    for (int i = -12; i <= 12; i++) {
        for (int k = -12; k <= 12; k++) {
            const double inverse = around_inverse * (1.0 + 0.001 * i);
            best = smaller(best, affine_error_at(&g, top, inverse, around_t + 0.02 * k));
        }
    }
    return best;
}

/* ---- Grids of codewords ---- */

/* What tells the grid types apart. Codewords cover `len` elements, sign groups are octets. */
typedef struct grid_type {
    const uint16_t *codewords;
    int n_codewords;
    int len;              /* 8 or 4 */
    const double *levels; /* magnitudes of levels 0..; for IQ1 the values themselves */
    int n_levels;
    bool is_even;        /* an octet has an even number of minus signs */
    bool is_shift;       /* IQ1: levels are moved by ±1/8 */
    bool is_octet_shift; /* IQ1_M: each octet by its own */
} grid_type;

/* a = sum of w·x·y, b = sum of w·y², y the values before the scale. */
typedef struct fit_sums {
    double a;
    double b;
} fit_sums;

/* The codeword with the least sum of costs. */
static int best_codeword(const grid_type *type, double cost[][OCTET], double *least) {
    int best = 0;
    *least = INFINITY;
    for (int c = 0; c < type->n_codewords; c++) {
        double sum = 0;
        for (unsigned t = 0; t < (unsigned)type->len; t++) {
            const unsigned level = type->len == 8 ? qn_octet_level(type->codewords[c], t)
                                                  : qn_quad_level(type->codewords[c], t);
            sum += cost[t][level];
        }
        if (sum < *least) {
            *least = sum;
            best = c;
        }
    }
    return best;
}

static double level_of(const grid_type *type, int codeword, unsigned t) {
    const uint16_t packed = type->codewords[codeword];
    return type->levels[type->len == 8 ? qn_octet_level(packed, t) : qn_quad_level(packed, t)];
}

/*
 * Codewords for one octet whose signs are those of x, but for element `flipped` (-1: none), at a scale. Gives the
 * error and the sums.
 */
static double octet_error(const grid_type *type, const double *x, const double *w, double scale, int flipped,
                          fit_sums *sums) {
    double error = 0;
    *sums = (fit_sums){0, 0};
    for (int first = 0; first < OCTET; first += type->len) {
        double cost[OCTET][OCTET];
        double least = 0;
        for (int t = 0; t < type->len; t++) {
            const double size = first + t == flipped ? -fabs(x[first + t]) : fabs(x[first + t]);
            for (int l = 0; l < type->n_levels; l++) {
                const double diff = scale * type->levels[l] - size;
                cost[t][l] = w[first + t] * diff * diff;
            }
        }
        const int c = best_codeword(type, cost, &least);
        error += least;
        for (int t = 0; t < type->len; t++) {
            const double size = first + t == flipped ? -fabs(x[first + t]) : fabs(x[first + t]);
            const double y = level_of(type, c, (unsigned)t);
            sums->a += w[first + t] * size * y;
            sums->b += w[first + t] * y * y;
        }
    }
    return error;
}

/* The best legal signs as well. Two or more flips beside the needed one never pay. */
static double signed_octet(const grid_type *type, const double *x, const double *w, double scale, fit_sums *sums) {
    int n_minus = 0;
    for (int t = 0; t < OCTET; t++) {
        n_minus += x[t] < 0;
    }
    if (!type->is_even || n_minus % 2 == 0) {
        return octet_error(type, x, w, scale, -1, sums);
    }
    double best = INFINITY;
    for (int t = 0; t < OCTET; t++) {
        fit_sums found;
        const double error = octet_error(type, x, w, scale, t, &found);
        if (error < best) {
            best = error;
            *sums = found;
        }
    }
    return best;
}

/* IQ1: values level + shift, no signs. */
static double shifted_octet(const grid_type *type, const double *x, const double *w, double scale, double shift,
                            fit_sums *sums) {
    double cost[OCTET][OCTET];
    double least = 0;
    for (int t = 0; t < OCTET; t++) {
        for (int l = 0; l < type->n_levels; l++) {
            const double diff = scale * (type->levels[l] + shift) - x[t];
            cost[t][l] = w[t] * diff * diff;
        }
    }
    const int c = best_codeword(type, cost, &least);
    *sums = (fit_sums){0, 0};
    for (int t = 0; t < OCTET; t++) {
        const double y = level_of(type, c, (unsigned)t) + shift;
        sums->a += w[t] * x[t] * y;
        sums->b += w[t] * y * y;
    }
    return least;
}

/* Adds an octet of IQ1_M, which has the better shift of its own. */
static void add_octet_shift(const grid_type *type, const double *x, const double *w, double scale, fit_sums *sums) {
    fit_sums up;
    fit_sums down;
    const bool is_up = shifted_octet(type, x, w, scale, 0.125, &up) < shifted_octet(type, x, w, scale, -0.125, &down);
    sums->a += is_up ? up.a : down.a;
    sums->b += is_up ? up.b : down.b;
}

/* The best codes at a scale; the error with the best scale for those, which is given back in *scale. */
static double grid_error_at(const grid_type *type, const group *g, double shift, double *scale) {
    fit_sums sums = {0, 0};
    for (int e = 0; e < g->n; e += OCTET) {
        fit_sums octet = {0, 0};
        if (type->is_octet_shift) {
            add_octet_shift(type, g->x + e, g->w + e, *scale, &octet);
        } else if (type->is_shift) {
            (void)shifted_octet(type, g->x + e, g->w + e, *scale, shift, &octet);
        } else {
            (void)signed_octet(type, g->x + e, g->w + e, *scale, &octet);
        }
        sums.a += octet.a;
        sums.b += octet.b;
    }
    *scale = sums.b > 0 ? sums.a / sums.b : 0;
    return sums.b > 0 ? g->power - sums.a * sums.a / sums.b : g->power;
}

/* A row of scales with codes fitted to each, and the best one refined until it stays. */
static double grid_search(const grid_type *type, const group *g, double sign, double shift) {
    double largest = 0;
    double best = g->power;
    double best_scale = 0;
    for (int e = 0; e < g->n; e++) {
        largest = fabs(g->x[e]) > largest ? fabs(g->x[e]) : largest;
    }
    const double base = sign * largest / (type->levels[type->n_levels - 1] + (type->is_shift ? 0.125 : 0));
    for (int step = 0; step < 43; step++) { /* up to 1.6, by 4 % */
        double scale = base * 0.3 * pow(1.04, step);
        const double error = grid_error_at(type, g, shift, &scale);
        if (error < best) {
            best = error;
            best_scale = scale;
        }
    }
    for (int round = 0; round < 4; round++) {
        best = smaller(best, grid_error_at(type, g, shift, &best_scale));
    }
    return best;
}

static double grid_error(const grid_type *type, const group *g) {
    double best = grid_search(type, g, 1.0, 0.125);
    if (type->is_shift) {
        /* Every combination of a sign of the scale and a shift. */
        best = smaller(best, grid_search(type, g, -1.0, 0.125));
        if (!type->is_octet_shift) {
            best = smaller(best, grid_search(type, g, 1.0, -0.125));
            best = smaller(best, grid_search(type, g, -1.0, -0.125));
        }
    }
    return best;
}

/* ---- Types ---- */

static const double levels_fp4[15] = {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12};
static const double levels_iq1[3] = {-1, 0, 1};
static const double levels_iq2[3] = {8, 25, 43};
static const double levels_iq3_xxs[8] = {4, 12, 20, 28, 36, 44, 52, 62};
static const double levels_iq3_s[8] = {1, 3, 5, 7, 9, 11, 13, 15};

static const grid_type *grid_of(qn_dtype type) {
    static const grid_type iq1_s = {qn_grid_iq1_s, 2048, 8, levels_iq1, 3, false, true, false};
    static const grid_type iq1_m = {qn_grid_iq1_s, 2048, 8, levels_iq1, 3, false, true, true};
    static const grid_type iq2_xxs = {qn_grid_iq2_xxs, 256, 8, levels_iq2, 3, true, false, false};
    static const grid_type iq2_xs = {qn_grid_iq2_xs, 512, 8, levels_iq2, 3, true, false, false};
    static const grid_type iq2_s = {qn_grid_iq2_s, 1024, 8, levels_iq2, 3, false, false, false};
    static const grid_type iq3_xxs = {qn_grid_iq3_xxs, 256, 4, levels_iq3_xxs, 8, true, false, false};
    static const grid_type iq3_s = {qn_grid_iq3_s, 512, 4, levels_iq3_s, 8, false, false, false};
    switch (type) {
    case QN_IQ1_S: return &iq1_s;
    case QN_IQ1_M: return &iq1_m;
    case QN_IQ2_XXS: return &iq2_xxs;
    case QN_IQ2_XS: return &iq2_xs;
    case QN_IQ2_S: return &iq2_s;
    case QN_IQ3_XXS: return &iq3_xxs;
    case QN_IQ3_S: return &iq3_s;
    default: return NULL;
    }
}

/* Elements that share a scale. */
static int group_len(qn_dtype type) {
    switch (type) {
    case QN_Q2_K:
    case QN_Q3_K:
    case QN_Q6_K:
    case QN_IQ2_XS:
    case QN_IQ2_S:
    case QN_IQ1_M:
    case QN_NVFP4: return 16;
    case QN_Q1_0: return 128;
    case QN_Q2_0: return 64;
    case QN_TQ1_0:
    case QN_TQ2_0: return 256;
    case QN_Q4_0:
    case QN_Q4_1:
    case QN_Q5_0:
    case QN_Q5_1:
    case QN_Q8_0:
    case QN_Q4_K:
    case QN_Q5_K:
    case QN_IQ4_NL:
    case QN_IQ4_XS:
    case QN_MXFP4:
    case QN_IQ2_XXS:
    case QN_IQ3_XXS:
    case QN_IQ3_S:
    case QN_IQ1_S: return 32;
    default: return 0;
    }
}

/* The largest code of a type with an offset; 0 for the others. */
static double affine_top(qn_dtype type) {
    switch (type) {
    case QN_Q2_K: return 3;
    case QN_Q4_1:
    case QN_Q4_K: return 15;
    case QN_Q5_1:
    case QN_Q5_K: return 31;
    default: return 0;
    }
}

static int fill_range(double *levels, int low, int high) {
    for (int l = low; l <= high; l++) {
        levels[l - low] = l;
    }
    return high - low + 1;
}

/* The levels of the other types, in rising order. */
static int fill_levels(qn_dtype type, double *levels) {
    switch (type) {
    case QN_Q4_0: return fill_range(levels, -8, 7);
    case QN_Q5_0: return fill_range(levels, -16, 15);
    case QN_Q8_0: return fill_range(levels, -128, 127);
    case QN_Q3_K: return fill_range(levels, -4, 3);
    case QN_Q6_K: return fill_range(levels, -32, 31);
    case QN_Q2_0: return fill_range(levels, -1, 2);
    case QN_TQ1_0:
    case QN_TQ2_0: return fill_range(levels, -1, 1);
    case QN_Q1_0:
        levels[0] = -1;
        levels[1] = 1;
        return 2;
    case QN_IQ4_NL:
    case QN_IQ4_XS:
        for (int l = 0; l < 16; l++) {
            levels[l] = qn_levels_iq4[l];
        }
        return 16;
    default: /* MXFP4, NVFP4 */
        for (int l = 0; l < 15; l++) {
            levels[l] = levels_fp4[l];
        }
        return 15;
    }
}

bool qn_floor_error(qn_dtype type, const float *x, uint64_t n_rows, uint64_t n_cols, const float *importance,
                    double *error) {
    const grid_type *grid = grid_of(type);
    const double top = affine_top(type);
    double levels[MAX_LEVELS];
    group g = {.n = group_len(type)};
    double total = 0;
    *error = 0;
    if (g.n == 0) {
        return false;
    }
    const int n_levels = fill_levels(type, levels);
    for (uint64_t first = 0; first < n_rows * n_cols; first += (uint64_t)g.n) {
        g.power = 0;
        for (int e = 0; e < g.n; e++) {
            g.x[e] = x[first + (uint64_t)e];
            g.w[e] = importance != NULL ? (double)importance[(first + (uint64_t)e) % n_cols] : 1.0;
            g.power += g.w[e] * g.x[e] * g.x[e];
        }
        total += g.power;
        *error += grid != NULL ? grid_error(grid, &g)
            : top > 0          ? affine_error(&g, top)
                               : level_error(&g, levels, n_levels);
    }
    *error /= total;
    return true;
}

uint64_t qn_floor_rows(qn_dtype type) {
    switch (type) {
    case QN_IQ1_S:
    case QN_IQ1_M: return 1;
    case QN_IQ3_XXS:
    case QN_IQ2_XXS:
    case QN_IQ2_XS:
    case QN_IQ2_S: return 2;
    case QN_IQ3_S: return 4;
    default: return 8;
    }
}
