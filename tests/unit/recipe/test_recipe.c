/* SPDX-License-Identifier: MIT */
/* test_recipe.c: every combinator and nestings of them against plain loops, whole and in random ranges, bit by bit. */
#include "recipe/recipe.h"

#include "support.h"

#include <math.h>

/* A recipe beside the values it must give. Both live as long as the fixture. */
typedef struct pair {
    const qn_recipe *recipe;
    const float *values;
    uint64_t n_rows;
    uint64_t n_cols;
} pair;

typedef struct fixture {
    char *dir;
    qn_arena *arena;
    qn_file *files[64];
    size_t n_files;
    uint64_t random;
} fixture;

static uint64_t next_random(fixture *f) {
    f->random ^= f->random << 13;
    f->random ^= f->random >> 7;
    f->random ^= f->random << 17;
    return f->random;
}

static float *new_floats(fixture *f, uint64_t n) {
    float *v = qn_arena_array(f->arena, n, sizeof *v);
    assert_non_null(v);
    return v;
}

static pair make_pair(const qn_recipe *recipe, const float *values) {
    assert_non_null(recipe);
    return (pair){recipe, values, qn_recipe_rows(recipe), qn_recipe_cols(recipe)};
}

/* Random weights of a type in a file of their own, some bytes into it. */
static pair bytes(fixture *f, qn_dtype type, uint64_t n_rows, uint64_t n_cols) {
    const uint64_t n = n_rows * n_cols;
    const uint64_t file_off = 24;
    uint64_t row_bytes = 0;
    qn_error err;
    float *v = new_floats(f, n);
    for (uint64_t i = 0; i < n; i++) {
        v[i] = (float)((int64_t)(next_random(f) % 20001) - 10000) / 8192.0F;
    }
    assert_ok(&err, qn_row_size(type, n_cols, &row_bytes, &err));
    unsigned char *raw = calloc(1, (size_t)(file_off + n_rows * row_bytes + 1));
    assert_non_null(raw);
    assert_ok(&err,
              qn_encode_rows(QN_CPU_SCALAR, QN_EFFORT_NORMAL, type, v, n_rows, n_cols, NULL, raw + file_off, &err));
    assert_ok(&err, qn_decode_rows(QN_CPU_SCALAR, type, raw + file_off, n_rows, n_cols, v, &err));
    char name[32];
    (void)snprintf(name, sizeof name, "%u.bin", (unsigned)f->n_files);
    char *path = write_file(f->dir, name, raw, (size_t)(file_off + n_rows * row_bytes));
    assert_true(f->n_files < sizeof f->files / sizeof f->files[0]);
    assert_ok(&err, qn_file_open(path, &f->files[f->n_files], &err));
    free(path);
    free(raw);
    return make_pair(qn_recipe_bytes(f->arena, f->files[f->n_files++], file_off, type, n_rows, n_cols), v);
}

static pair values(fixture *f, uint64_t n_rows, uint64_t n_cols) {
    const pair p = bytes(f, QN_F32, n_rows, n_cols);
    return make_pair(qn_recipe_values(f->arena, p.values, n_rows, n_cols), p.values);
}

static pair slice(fixture *f, pair p, uint64_t first, uint64_t n_rows) {
    return make_pair(qn_recipe_slice(f->arena, p.recipe, first, n_rows), p.values + first * p.n_cols);
}

static pair concat(fixture *f, const pair *parts, uint64_t n) {
    const qn_recipe *recipes[8];
    uint64_t n_rows = 0;
    for (uint64_t i = 0; i < n; i++) {
        recipes[i] = parts[i].recipe;
        n_rows += parts[i].n_rows;
    }
    float *v = new_floats(f, n_rows * parts[0].n_cols);
    float *to = v;
    for (uint64_t i = 0; i < n; i++) {
        const uint64_t count = parts[i].n_rows * parts[i].n_cols;
        if (count > 0) {
            memcpy(to, parts[i].values, count * sizeof *to);
        }
        to += count;
    }
    return make_pair(qn_recipe_concat(f->arena, recipes, n), v);
}

static pair reshape(fixture *f, pair p, uint64_t n_rows, uint64_t n_cols) {
    return make_pair(qn_recipe_reshape(f->arena, p.recipe, n_rows, n_cols), p.values);
}

static pair transpose(fixture *f, pair p) {
    float *v = new_floats(f, p.n_rows * p.n_cols);
    for (uint64_t i = 0; i < p.n_rows * p.n_cols; i++) {
        v[i % p.n_cols * p.n_rows + i / p.n_cols] = p.values[i];
    }
    return make_pair(qn_recipe_transpose(f->arena, p.recipe), v);
}

static pair rope_pairs(fixture *f, pair p, uint64_t n_head) {
    const uint64_t d = p.n_rows / n_head;
    float *v = new_floats(f, p.n_rows * p.n_cols);
    for (uint64_t row = 0; row < p.n_rows; row++) {
        const uint64_t i = row % d / 2;
        const uint64_t source = row / d * d + (row % 2 == 0 ? i : i + d / 2);
        memcpy(v + row * p.n_cols, p.values + source * p.n_cols, p.n_cols * sizeof *v);
    }
    return make_pair(qn_recipe_rope_pairs(f->arena, p.recipe, n_head), v);
}

static pair rope_halves(fixture *f, pair p, uint64_t n_head) {
    const uint64_t d = p.n_rows / n_head;
    float *v = new_floats(f, p.n_rows * p.n_cols);
    for (uint64_t row = 0; row < p.n_rows; row++) {
        const uint64_t i = row % d;
        const uint64_t source = row / d * d + (i < d / 2 ? 2 * i : 2 * (i - d / 2) + 1);
        memcpy(v + row * p.n_cols, p.values + source * p.n_cols, p.n_cols * sizeof *v);
    }
    return make_pair(qn_recipe_rope_halves(f->arena, p.recipe, n_head), v);
}

static pair offset(fixture *f, pair p, float addend) {
    float *v = new_floats(f, p.n_rows * p.n_cols);
    for (uint64_t i = 0; i < p.n_rows * p.n_cols; i++) {
        v[i] = p.values[i] + addend;
    }
    return make_pair(qn_recipe_offset(f->arena, p.recipe, addend), v);
}

static pair scale(fixture *f, pair p, float factor) {
    float *v = new_floats(f, p.n_rows * p.n_cols);
    for (uint64_t i = 0; i < p.n_rows * p.n_cols; i++) {
        v[i] = p.values[i] * factor;
    }
    return make_pair(qn_recipe_scale(f->arena, p.recipe, factor), v);
}

static pair add(fixture *f, pair p, pair other, float factor) {
    float *v = new_floats(f, p.n_rows * p.n_cols);
    for (uint64_t i = 0; i < p.n_rows * p.n_cols; i++) {
        v[i] = p.values[i] + factor * other.values[i];
    }
    return make_pair(qn_recipe_add(f->arena, p.recipe, other.recipe, factor), v);
}

static float *product(fixture *f, pair p, pair left, pair right, float s) {
    float *v = new_floats(f, p.n_rows * p.n_cols);
    for (uint64_t i = 0; i < p.n_rows; i++) {
        for (uint64_t j = 0; j < p.n_cols; j++) {
            float sum = 0.0F;
            for (uint64_t k = 0; k < left.n_cols; k++) {
                sum += left.values[i * left.n_cols + k] * right.values[k * p.n_cols + j];
            }
            v[i * p.n_cols + j] = p.values[i * p.n_cols + j] + s * sum;
        }
    }
    return v;
}

static pair lora(fixture *f, pair p, pair left, pair right, float s, float u) {
    const qn_low_rank update = {.left = left.recipe, .right = right.recipe, .scale = s, .strength = u};
    return make_pair(qn_recipe_low_rank(f->arena, p.recipe, &update), product(f, p, left, right, u * s));
}

static pair dora(fixture *f, pair p, pair left, pair right, pair magnitude, bool by_column, float u) {
    const float s = 0.75F;
    const qn_low_rank update = {.left = left.recipe,
                                .right = right.recipe,
                                .scale = s,
                                .magnitude = magnitude.recipe,
                                .by_column = by_column,
                                .strength = u};
    float *v = product(f, p, left, right, s);
    const uint64_t n_lines = by_column ? p.n_cols : p.n_rows;
    const uint64_t n_along = by_column ? p.n_rows : p.n_cols;
    for (uint64_t line = 0; line < n_lines; line++) {
        const uint64_t start = by_column ? line : line * p.n_cols;
        const uint64_t step = by_column ? p.n_cols : 1;
        double sum = 0.0;
        for (uint64_t i = 0; i < n_along; i++) {
            sum += (double)v[start + i * step] * (double)v[start + i * step];
        }
        const float norm = (float)sqrt(sum);
        const float factor = norm == 0.0F ? 0.0F : magnitude.values[line] / norm;
        for (uint64_t i = 0; i < n_along; i++) {
            const uint64_t at = start + i * step;
            const float whole = v[at] * factor;
            v[at] = u == 1.0F ? whole : p.values[at] + u * (whole - p.values[at]);
        }
    }
    return make_pair(qn_recipe_low_rank(f->arena, p.recipe, &update), v);
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->dir = make_temp_dir();
    f->arena = qn_arena_new();
    f->random = 0x9E3779B97F4A7C15ULL;
    assert_non_null(f->arena);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    for (size_t i = 0; i < f->n_files; i++) {
        qn_file_close(f->files[i]);
    }
    qn_arena_free(f->arena);
    remove_temp_dir(f->dir);
    free(f);
    return 0;
}

static uint32_t bits_of(float value) {
    uint32_t bits = 0;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static void check_range(const qn_ready *ready, pair p, uint64_t first, uint64_t n, qn_scratch *scratch) {
    const uint64_t count = n * p.n_cols;
    float *found = malloc((size_t)count * sizeof *found + 1);
    qn_error err;
    assert_non_null(found);
    assert_ok(&err, qn_ready_rows(ready, first, n, found, scratch, &err));
    for (uint64_t i = 0; i < count; i++) {
        if (bits_of(found[i]) != bits_of(p.values[first * p.n_cols + i])) {
            print_error("rows [%u, +%u): row %u column %u is %.9g, wanted %.9g\n", (unsigned)first, (unsigned)n,
                        (unsigned)(first + i / p.n_cols), (unsigned)(i % p.n_cols), (double)found[i],
                        (double)p.values[first * p.n_cols + i]);
            fail();
        }
    }
    free(found);
}

/* Whole, then in random ranges, at the lowest and the highest level. */
static void check(fixture *f, pair p) {
    const qn_cpu_level levels[] = {QN_CPU_SCALAR, qn_cpu_detect()};
    for (size_t l = 0; l < 2; l++) {
        qn_ready *ready = NULL;
        qn_scratch scratch = {NULL};
        qn_error err;
        assert_ok(&err, qn_ready_open(p.recipe, levels[l], &ready, &err));
        check_range(ready, p, 0, p.n_rows, &scratch);
        for (int i = 0; i < 12 && p.n_rows > 0; i++) {
            const uint64_t first = next_random(f) % p.n_rows;
            uint64_t n = next_random(f) % (p.n_rows - first + 1);
            check_range(ready, p, first, i % 2 == 0 && n > 5 ? n % 5 : n, &scratch);
        }
        qn_scratch_clear(&scratch);
        qn_ready_close(ready);
    }
}

static void test_bytes(void **state) {
    fixture *f = *state;
    static const struct {
        qn_dtype type;
        uint64_t n_rows;
        uint64_t n_cols;
    } cases[] = {{QN_F32, 7, 33},    {QN_F16, 9, 64},      {QN_BF16, 5, 1},      {QN_Q8_0, 11, 96}, {QN_F32, 0, 8},
                 {QN_BF16, 1, 3000}, {QN_BF16, 300, 1000}, {QN_Q8_0, 3, 131104}, {QN_Q8_0, 0, 32},  {QN_F32, 3, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check(f, bytes(f, cases[i].type, cases[i].n_rows, cases[i].n_cols));
    }
    check(f, values(f, 12, 5));
}

static void test_rearranged(void **state) {
    fixture *f = *state;
    const pair a = bytes(f, QN_BF16, 24, 40);
    const pair b = bytes(f, QN_Q8_0, 24, 96);
    const pair none = bytes(f, QN_F16, 0, 40);
    const pair vector = bytes(f, QN_F32, 1, 48);
    check(f, slice(f, a, 3, 17));
    check(f, slice(f, a, 24, 0));
    check(f, slice(f, slice(f, b, 2, 20), 5, 9));
    check(f, concat(f, (const pair[]){a, none, slice(f, a, 4, 2), none, a, none}, 6));
    check(f, concat(f, (const pair[]){none, a}, 2));
    check(f, reshape(f, vector, 48, 1));
    check(f, reshape(f, b, 36, 64));
    check(f, reshape(f, b, 2304, 1)); /* cuts blocks */
    check(f, reshape(f, rope_pairs(f, a, 3), 64, 15));
    check(f, rope_pairs(f, a, 1));
    check(f, rope_pairs(f, a, 12));
    check(f, rope_pairs(f, bytes(f, QN_F16, 256, 1100), 2));                  /* a head in several chunks */
    check(f, reshape(f, rope_pairs(f, reshape(f, vector, 48, 1), 4), 1, 48)); /* a bias */
    check(f, rope_halves(f, a, 1));
    check(f, rope_halves(f, a, 12));
    check(f, rope_halves(f, b, 3));
    check(f, rope_halves(f, bytes(f, QN_F16, 256, 1100), 2));
    check(f, rope_halves(f, bytes(f, QN_F32, 8, 70001), 2)); /* two rows are more than a chunk */
    check(f, reshape(f, rope_halves(f, reshape(f, vector, 48, 1), 4), 1, 48));
    const pair back = rope_halves(f, rope_pairs(f, a, 3), 3);
    assert_memory_equal(back.values, a.values, 24 * 40 * sizeof(float));
    check(f, back);
}

static void test_transposed(void **state) {
    fixture *f = *state;
    const pair wide = bytes(f, QN_F32, 40, 3000);
    const pair blocks = bytes(f, QN_Q8_0, 50, 4800);
    check(f, transpose(f, bytes(f, QN_BF16, 24, 40)));
    check(f, transpose(f, bytes(f, QN_F32, 0, 40)));
    check(f, transpose(f, bytes(f, QN_F32, 1, 40)));
    check(f, transpose(f, wide));
    check(f, transpose(f, blocks));
    check(f, transpose(f, slice(f, wide, 7, 30)));
    check(f, transpose(f, transpose(f, wide)));
    check(f, transpose(f, bytes(f, QN_F16, 700, 400)));
    check(f, concat(f, (const pair[]){transpose(f, slice(f, wide, 0, 8)), transpose(f, slice(f, wide, 8, 8))}, 2));
}

static void test_arithmetic(void **state) {
    fixture *f = *state;
    const pair a = bytes(f, QN_BF16, 33, 40);
    const pair big = bytes(f, QN_F16, 150, 1500);
    check(f, offset(f, a, 1.0F));
    check(f, scale(f, a, -0.3F));
    check(f, scale(f, transpose(f, offset(f, a, 1.0F)), 0.1F));
    check(f, add(f, a, bytes(f, QN_F16, 33, 40), 0.7F));
    check(f, add(f, big, scale(f, big, 0.37F), -1.1F));
    check(f, reshape(f, offset(f, big, 0.5F), 1500, 150));
}

static void test_lora(void **state) {
    fixture *f = *state;
    static const struct {
        uint64_t n_rows;
        uint64_t n_cols;
        uint64_t rank;
    } cases[] = {{33, 40, 4}, {5, 16, 1}, {1, 100, 3}, {64, 1, 2}, {130, 1100, 7}, {6, 15, 64}, {0, 16, 2}, {7, 32, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const pair w = bytes(f, QN_BF16, cases[i].n_rows, cases[i].n_cols);
        const pair left = bytes(f, QN_F32, cases[i].n_rows, cases[i].rank);
        const pair right = bytes(f, QN_BF16, cases[i].rank, cases[i].n_cols);
        check(f, lora(f, w, left, right, 0.3F, 1.0F));
        check(f, lora(f, w, left, right, 2.0F, 0.6F));
    }
}

static void test_dora(void **state) {
    fixture *f = *state;
    const pair w = bytes(f, QN_F16, 140, 1000);
    const pair left = bytes(f, QN_F32, 140, 5);
    const pair right = bytes(f, QN_F32, 5, 1000);
    const pair by_row = bytes(f, QN_F32, 1, 140);
    const pair by_column = bytes(f, QN_F32, 1, 1000);
    check(f, dora(f, w, left, right, by_row, false, 1.0F));
    check(f, dora(f, w, left, right, by_row, false, 0.5F));
    check(f, dora(f, w, left, right, by_column, true, 1.0F));
    check(f, dora(f, w, left, right, by_column, true, 1.7F));
    const pair zero = scale(f, w, 0.0F); /* weights of norm 0 stay 0 */
    const pair no_left = scale(f, left, 0.0F);
    check(f, dora(f, zero, no_left, right, by_row, false, 1.0F));
    check(f, dora(f, zero, no_left, right, by_column, true, 1.0F));
}

/* What models really nest. */
static void test_nested(void **state) {
    fixture *f = *state;
    const pair w = bytes(f, QN_BF16, 96, 130);
    const pair b = bytes(f, QN_F32, 96, 4);
    const pair a = bytes(f, QN_F32, 4, 130);
    const pair m = bytes(f, QN_F32, 1, 130);
    const pair merged = lora(f, rope_pairs(f, w, 6), rope_pairs(f, b, 6), a, 0.5F, 1.0F);
    check(f, merged);
    check(f, lora(f, merged, b, a, 0.25F, 0.5F)); /* two adapters */
    check(f, rope_pairs(f, lora(f, w, b, a, 0.5F, 1.0F), 6));
    check(f, transpose(f, lora(f, w, b, a, 0.5F, 1.0F)));
    check(f, lora(f, transpose(f, w), transpose(f, a), transpose(f, b), 0.5F, 1.0F));    /* Conv1D */
    check(f, concat(f, (const pair[]){merged, slice(f, merged, 10, 30), w, merged}, 4)); /* experts */
    check(f, slice(f, dora(f, merged, b, a, m, true, 0.5F), 13, 50));
    check(f, dora(f, dora(f, w, b, a, m, true, 1.0F), b, a, m, true, 1.0F));
    check(f, reshape(f, add(f, merged, w, -1.0F), 130, 96));
}

static void test_facts(void **state) {
    fixture *f = *state;
    const pair w = bytes(f, QN_Q8_0, 10, 64);
    const pair merged = lora(f, w, bytes(f, QN_F32, 10, 2), bytes(f, QN_F16, 2, 64), 1.0F, 1.0F);
    const struct {
        const qn_recipe *recipe;
        uint64_t file_off;
        uint64_t source_bytes;
        qn_dtype type;
        bool is_bytes;
        bool is_merged;
    } cases[] = {
        {w.recipe, 24, 10 * 68, QN_Q8_0, true, false},
        {slice(f, w, 3, 5).recipe, 24 + 3 * 68, 5 * 68, QN_Q8_0, true, false},
        {reshape(f, w, 20, 32).recipe, 24, 10 * 68, QN_Q8_0, true, false},
        {slice(f, reshape(f, slice(f, w, 1, 4), 8, 32), 3, 2).recipe, 24 + 68 + 3 * 34, 2 * 34, QN_Q8_0, true, false},
        {reshape(f, w, 64, 10).recipe, 0, 10 * 68, QN_Q8_0, false, false}, /* rows are no whole blocks */
        {scale(f, w, 2.0F).recipe, 0, 10 * 68, QN_Q8_0, false, false},
        {values(f, 2, 2).recipe, 0, 0, QN_F32, false, false},
        {merged.recipe, 0, 10 * 68 + 80 + 256, QN_Q8_0, false, true},
        {transpose(f, merged).recipe, 0, 10 * 68 + 80 + 256, QN_Q8_0, false, true},
        {concat(f, (const pair[]){w, merged}, 2).recipe, 0, 20 * 68 + 80 + 256, QN_Q8_0, false, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const qn_file *file = NULL;
        uint64_t file_off = 0;
        qn_dtype type = QN_F32;
        assert_int_equal(qn_recipe_is_bytes(cases[i].recipe, &file, &file_off, &type), cases[i].is_bytes);
        assert_int_equal(file_off, cases[i].file_off);
        assert_int_equal(qn_recipe_source_type(cases[i].recipe), cases[i].type);
        assert_int_equal(qn_recipe_source_bytes(cases[i].recipe), cases[i].source_bytes);
        assert_int_equal(qn_recipe_is_merged(cases[i].recipe), cases[i].is_merged);
    }
}

static void test_failures(void **state) {
    fixture *f = *state;
    const pair w = bytes(f, QN_F32, 10, 64);
    const qn_recipe *past_end = qn_recipe_bytes(f->arena, f->files[0], 24 + 64, QN_F32, 10, 64);
    const qn_low_rank update = {.left = w.recipe, .right = NULL};
    qn_ready *ready = NULL;
    qn_scratch scratch = {NULL};
    qn_error err;
    float *rows = malloc(640 * sizeof *rows);
    assert_non_null(rows);
    assert_ok(&err, qn_ready_open(past_end, QN_CPU_SCALAR, &ready, &err));
    assert_status(&err, qn_ready_rows(ready, 0, 10, rows, &scratch, &err), QN_E_FORMAT);
    assert_message_has(&err, "0.bin");
    assert_ok(&err, qn_ready_rows(ready, 0, 9, rows, &scratch, &err)); /* and the scratch is of use again */
    assert_memory_equal(rows, w.values + 16, 9 * 64 * sizeof *rows);
    qn_ready_close(ready);
    ready = NULL;
    const qn_recipe *tall = qn_recipe_slice(f->arena, qn_recipe_reshape(f->arena, w.recipe, 640, 1), 0, 10);
    const qn_low_rank cut_off = {.left = tall, .right = qn_recipe_slice(f->arena, past_end, 9, 1), .strength = 1};
    const qn_recipe *merged = qn_recipe_low_rank(f->arena, w.recipe, &cut_off);
    assert_status(&err, qn_ready_open(merged, QN_CPU_SCALAR, &ready, &err), QN_E_FORMAT);
    assert_null(ready);
    assert_null(qn_recipe_low_rank(f->arena, w.recipe, &update));
    assert_null(qn_recipe_transpose(f->arena, NULL));
    assert_null(qn_recipe_add(f->arena, w.recipe, NULL, 1.0F));
    assert_null(qn_recipe_concat(f->arena, (const qn_recipe *const[]){w.recipe, NULL}, 2));
    qn_ready_close(NULL);
    qn_scratch_clear(&scratch);
    free(rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rearranged, setup, teardown),
        cmocka_unit_test_setup_teardown(test_transposed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_arithmetic, setup, teardown),
        cmocka_unit_test_setup_teardown(test_lora, setup, teardown),
        cmocka_unit_test_setup_teardown(test_dora, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nested, setup, teardown),
        cmocka_unit_test_setup_teardown(test_facts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_failures, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
