/* SPDX-License-Identifier: MIT */
/* test_plan_imatrix.c: what an importance matrix says of a model's tensors, and that the encoders hear it. */
#include "pack/pack_case.h"

#include "container/gguf.h"
#include "dtype/codec.h"
#include "pack/plan.h"

#include <math.h>

enum { N_COLS = 256, N_EXPERTS = 3, UNSEEN = 1, MAX_ELEMENTS = 64 * N_COLS, N_TENSORS = 6, MAX_ENTRIES = 3 };

#define UP "blk.0.ffn_up_exps.weight"
#define DOWN "blk.0.ffn_down.weight"
#define QUERY "blk.0.attn_q.weight"

/* A model of a family that no table knows. */
static const struct {
    const char *name;
    qn_shape shape;
} SHAPES[N_TENSORS] = {
    {"token_embd.weight", {2, {64, N_COLS}}},
    {"blk.0.attn_norm.weight", {1, {N_COLS}}},
    {QUERY, {2, {8, N_COLS}}},
    {UP, {3, {N_EXPERTS, 5, N_COLS}}},
    {DOWN, {2, {8, N_COLS}}},
    {"output_norm.weight", {1, {N_COLS}}},
};

/* What a matrix says of one tensor: n_mat runs of n_cols. */
typedef struct matrix_entry {
    const char *name;
    uint64_t n_mat;
    uint64_t n_cols;
} matrix_entry;

static const matrix_entry OF_MODEL[] = {{QUERY, 1, N_COLS}, {UP, N_EXPERTS, N_COLS}};
enum { N_OF_MODEL = 2 };

typedef struct imatrix_case {
    char *root;
    char *base;
    char *imatrix;
    char *out;
    qn_job *job;
    tiny_heard heard;
} imatrix_case;

static uint64_t count_elements(const qn_shape *shape) {
    return qn_shape_rows(shape) * qn_shape_cols(shape);
}

static float weight_at(uint64_t tensor, uint64_t i) {
    const uint32_t random = (uint32_t)(i * 2654435761U + tensor * 40503U) * 1664525U + 1013904223U;
    return (float)(random >> 8) / 16777216.0F - 0.5F;
}

/* Mean square of the inputs of a column: runs are very different, so that rows show whose was used. */
static float importance_at(uint64_t m, uint64_t k) {
    return m == 0 ? 0.01F + (float)(k % 16) : 0.01F + (float)(15 - k % 16) * (float)(m + 1);
}

static char *write_floats(const char *dir, const char *name, const qn_meta *meta, qn_placed_tensor *placed, uint64_t n,
                          float *const *values) {
    qn_buffer file = {0};
    uint64_t size = 0;
    qn_error err;
    assert_ok(&err, qn_gguf_layout(meta, placed, n, &file, &size, &err));
    for (uint64_t i = 0; i < n; i++) {
        qn_buffer_zeros(&file, (size_t)placed[i].file_off - file.len);
        qn_buffer_append(&file, values[i], (size_t)count_elements(&placed[i].shape) * sizeof(float));
    }
    qn_buffer_zeros(&file, (size_t)size - file.len);
    assert_false(file.has_failed);
    char *path = write_file(dir, name, file.data, file.len);
    qn_buffer_clear(&file);
    return path;
}

static float *new_floats(uint64_t n) {
    float *v = calloc((size_t)n, sizeof *v);
    assert_non_null(v);
    return v;
}

static char *write_model(const char *dir) {
    qn_arena *arena = qn_arena_new();
    qn_meta meta = qn_meta_new(arena);
    qn_placed_tensor placed[N_TENSORS];
    float *values[N_TENSORS];
    qn_meta_set_string(&meta, "general.architecture", "unheard-of");
    for (uint64_t i = 0; i < N_TENSORS; i++) {
        placed[i] = (qn_placed_tensor){.name = SHAPES[i].name, .shape = SHAPES[i].shape, .type = QN_F32};
        values[i] = new_floats(count_elements(&SHAPES[i].shape));
        for (uint64_t k = 0; k < count_elements(&SHAPES[i].shape); k++) {
            values[i][k] = weight_at(i, k);
        }
    }
    char *path = write_floats(dir, "model.gguf", &meta, placed, N_TENSORS, values);
    for (uint64_t i = 0; i < N_TENSORS; i++) {
        free(values[i]);
    }
    qn_arena_free(arena);
    return path;
}

/* Sums and counts of entries; expert UNSEEN of a stack has none. */
static char *write_matrix(const char *dir, const matrix_entry *entries, uint64_t n) {
    qn_arena *arena = qn_arena_new();
    qn_meta meta = qn_meta_new(arena);
    qn_placed_tensor placed[2 * MAX_ENTRIES] = {{0}};
    float *values[2 * MAX_ENTRIES] = {NULL};
    qn_text *dataset = qn_arena_array(arena, 1, sizeof *dataset);
    assert_non_null(dataset);
    *dataset = qn_text_of("text.txt");
    qn_meta_set_string(&meta, "general.type", "imatrix");
    qn_meta_set(&meta, "imatrix.datasets",
                (qn_meta_value){.type = QN_META_ARRAY, .as.array = {QN_META_STRING, 1, dataset}});
    qn_meta_set_u32(&meta, "imatrix.chunk_count", 7);
    qn_meta_set_u32(&meta, "imatrix.chunk_size", 512);
    assert_true(n <= MAX_ENTRIES);
    for (uint64_t i = 0; i < n; i++) {
        const matrix_entry *e = &entries[i];
        placed[2 * i] = (qn_placed_tensor){
            .name = qn_arena_printf(arena, "%s.counts", e->name), .shape = {2, {e->n_mat, 1}}, .type = QN_F32};
        placed[2 * i + 1] = (qn_placed_tensor){
            .name = qn_arena_printf(arena, "%s.in_sum2", e->name), .shape = {2, {e->n_mat, e->n_cols}}, .type = QN_F32};
        values[2 * i] = new_floats(e->n_mat);
        values[2 * i + 1] = new_floats(e->n_mat * e->n_cols);
        for (uint64_t m = 0; m < e->n_mat; m++) {
            const bool is_seen = e->n_mat == 1 || m != UNSEEN;
            values[2 * i][m] = is_seen ? 4.0F : 0.0F;
            for (uint64_t k = 0; is_seen && k < e->n_cols; k++) {
                values[2 * i + 1][m * e->n_cols + k] = 4.0F * importance_at(m, k);
            }
        }
    }
    char *path = write_floats(dir, "imatrix.gguf", &meta, placed, 2 * n, values);
    for (uint64_t i = 0; i < 2 * n; i++) {
        free(values[i]);
    }
    qn_arena_free(arena);
    return path;
}

static void begin(imatrix_case *c, const matrix_entry *entries, uint64_t n) {
    *c = (imatrix_case){.root = make_temp_dir()};
    c->base = write_model(c->root);
    c->imatrix = write_matrix(c->root, entries, n);
    c->out = join_path(c->root, "out");
    c->job = qn_job_new(2, tiny_listen, &c->heard);
    assert_non_null(c->job);
}

static void end(imatrix_case *c) {
    qn_job_free(c->job);
    free(c->base);
    free(c->imatrix);
    free(c->out);
    remove_temp_dir(c->root);
}

static qn_pack_options options_of(const imatrix_case *c) {
    return (qn_pack_options){.base = c->base,
                             .imatrix = c->imatrix,
                             .types = "Q4_K_M,F16",
                             .preset = "custom",
                             .name = "m",
                             .pure = true,
                             .out_dir = c->out};
}

/* The importance that column k of matrix m must have. */
static float wanted_at(uint64_t m, uint64_t k, bool is_stack) {
    return is_stack && m == UNSEEN ? 1.0F : importance_at(m, k);
}

static void test_coverage(void **state) {
    imatrix_case c;
    qn_plan *plan = NULL;
    qn_error err;
    char *text = NULL;
    (void)state;
    begin(&c, OF_MODEL, N_OF_MODEL);
    const qn_pack_options options = options_of(&c);
    assert_ok(&err, qn_plan_new(&options, c.job, &plan, &err));
    assert_int_equal(plan->coverage.n_covered, 2);
    assert_int_equal(plan->coverage.n_open, 1);
    assert_string_equal(plan->coverage.open[0], DOWN);
    assert_int_equal(plan->coverage.n_unseen, 1);
    assert_string_equal(plan->coverage.unseen[0].tensor, UP);
    assert_int_equal(plan->coverage.unseen[0].expert, UNSEEN);
    for (uint64_t i = 0; i < N_TENSORS; i++) {
        const bool is_stack = SHAPES[i].shape.n_dims == 3;
        if (!is_stack && strcmp(SHAPES[i].name, QUERY) != 0) {
            assert_null(plan->importance[i]);
            continue;
        }
        assert_non_null(plan->importance[i]);
        for (uint64_t k = 0; k < (is_stack ? N_EXPERTS : 1) * N_COLS; k++) {
            const float wanted = wanted_at(k / N_COLS, k % N_COLS, is_stack);
            assert_true(fabsf(plan->importance[i][k] - wanted) <= 1e-6F * wanted);
        }
    }
    assert_non_null(strstr(c.heard.warnings, DOWN));
    assert_non_null(strstr(c.heard.warnings, "number 1 of '" UP "'"));
    assert_ok(&err, qn_plan_json(plan, &text, &err));
    json_t *document = json_loads(text, 0, NULL);
    const json_t *told = json_object_get(document, "imatrix");
    assert_int_equal(json_integer_value(json_object_get(told, "n_covered")), 2);
    assert_int_equal(json_integer_value(json_object_get(told, "n_chunks")), 7);
    assert_string_equal(json_string_value(json_array_get(json_object_get(told, "open"), 0)), DOWN);
    assert_int_equal(json_array_size(json_object_get(told, "unseen")), 1);
    json_decref(document);
    free(text);
    qn_plan_free(plan);
    end(&c);
}

static void test_choice(void **state) {
    static const struct {
        const char *include[2];
        const char *exclude[2];
        qn_status status;
        uint64_t n_covered, n_open, n_unseen;
        const char *has;
    } rows[] = {
        {{"attn_q"}, {0}, QN_OK, 1, 0, 0, NULL},
        {{"ffn"}, {0}, QN_OK, 1, 1, 1, NULL},
        {{"ffn_up", "attn"}, {0}, QN_OK, 2, 0, 1, NULL},
        {{0}, {"exps"}, QN_OK, 1, 1, 0, NULL},
        {{0}, {"attn", "ffn_down"}, QN_OK, 1, 0, 1, NULL},
        {{"blk"}, {"ffn"}, QN_OK, 1, 0, 0, NULL},
        {{"ffn_down"}, {0}, QN_E_FORMAT, 0, 0, 0, "--include-weights"},
        {{0}, {"weight"}, QN_E_FORMAT, 0, 0, 0, "--exclude-weights"},
    };
    imatrix_case c;
    qn_error err;
    (void)state;
    begin(&c, OF_MODEL, N_OF_MODEL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_pack_options options = options_of(&c);
        qn_plan *plan = NULL;
        options.include_weights = rows[i].include;
        options.exclude_weights = rows[i].exclude;
        while (options.n_include_weights < 2 && rows[i].include[options.n_include_weights] != NULL) {
            options.n_include_weights++;
        }
        while (options.n_exclude_weights < 2 && rows[i].exclude[options.n_exclude_weights] != NULL) {
            options.n_exclude_weights++;
        }
        assert_status(&err, qn_plan_new(&options, c.job, &plan, &err), rows[i].status);
        if (rows[i].status != QN_OK) {
            assert_message_has(&err, rows[i].has);
            continue;
        }
        assert_int_equal(plan->coverage.n_covered, rows[i].n_covered);
        assert_int_equal(plan->coverage.n_open, rows[i].n_open);
        assert_int_equal(plan->coverage.n_unseen, rows[i].n_unseen);
        qn_plan_free(plan);
        plan = NULL;
        options.imatrix = NULL;
        assert_status(&err, qn_plan_new(&options, c.job, &plan, &err), QN_E_USAGE);
        assert_message_has(&err, "--imatrix");
    }
    end(&c);
}

/* Each row of the file as it is encoded alone, with its own matrix's columns. @return rows that others would change */
static unsigned check_rows(const char *path, uint64_t tensor) {
    const qn_shape *shape = &SHAPES[tensor].shape;
    const uint64_t n_rows = qn_shape_rows(shape);
    const uint64_t per_matrix = shape->dims[shape->n_dims - 2];
    qn_archive *archive = NULL;
    qn_error err;
    unsigned n_telling = 0;
    char *bytes = read_file(path, NULL);
    assert_ok(&err, qn_gguf_open(path, &archive, &err));
    const qn_archive_tensor *t = qn_archive_find(archive, SHAPES[tensor].name);
    uint64_t row_bytes = 0;
    assert_non_null(t);
    assert_int_equal(t->type, QN_Q4_K);
    assert_ok(&err, qn_row_size(t->type, N_COLS, &row_bytes, &err));
    for (uint64_t row = 0; row < n_rows; row++) {
        float x[N_COLS];
        float v[N_COLS];
        unsigned char own[N_COLS];
        unsigned char plain[N_COLS];
        for (uint64_t k = 0; k < N_COLS; k++) {
            x[k] = weight_at(tensor, row * N_COLS + k);
            v[k] = wanted_at(row / per_matrix, k, shape->n_dims == 3);
        }
        assert_ok(&err, qn_encode_rows(qn_cpu_detect(), QN_EFFORT_NORMAL, QN_Q4_K, x, 1, N_COLS, v, own, &err));
        assert_ok(&err, qn_encode_rows(qn_cpu_detect(), QN_EFFORT_NORMAL, QN_Q4_K, x, 1, N_COLS, NULL, plain, &err));
        assert_memory_equal(bytes + t->file_off + row * row_bytes, own, row_bytes);
        n_telling += memcmp(own, plain, row_bytes) != 0 ? 1 : 0;
    }
    qn_archive_close(archive);
    free(bytes);
    return n_telling;
}

static void check_keys(const char *path, bool are_there) {
    qn_archive *archive = NULL;
    qn_error err;
    uint64_t n = 0;
    assert_ok(&err, qn_gguf_open(path, &archive, &err));
    const qn_meta *meta = qn_archive_meta(archive);
    for (uint64_t i = 0; i < meta->n; i++) {
        n += strncmp(meta->entries[i].key, "quantize.imatrix.", 17) == 0 ? 1 : 0;
    }
    assert_int_equal(n, are_there ? 4 : 0);
    if (are_there) {
        assert_string_equal(qn_meta_string(meta, "quantize.imatrix.file"), "imatrix.gguf");
        assert_string_equal(qn_meta_string(meta, "quantize.imatrix.dataset"), "text.txt");
        assert_true(qn_meta_u64(meta, "quantize.imatrix.entries_count", &n) && n == N_OF_MODEL);
        assert_true(qn_meta_u64(meta, "quantize.imatrix.chunks_count", &n) && n == 7);
    }
    qn_archive_close(archive);
}

static void test_files(void **state) {
    imatrix_case c;
    qn_error err;
    (void)state;
    begin(&c, OF_MODEL, N_OF_MODEL);
    const qn_pack_options options = options_of(&c);
    assert_ok(&err, pack_all(&options, c.job, &err));
    char *quantised = join_path(c.out, "m-Q4_K_M.gguf");
    char *plain = join_path(c.out, "m-F16.gguf");
    assert_true(check_rows(quantised, 2) > 4);  /* the query */
    assert_true(check_rows(quantised, 3) > 10); /* the experts */
    check_keys(quantised, true);
    check_keys(plain, false);
    free(quantised);
    free(plain);
    end(&c);
}

static void test_copy_has_no_keys(void **state) {
    imatrix_case c;
    qn_error err;
    (void)state;
    begin(&c, OF_MODEL, N_OF_MODEL);
    qn_pack_options options = options_of(&c);
    options.types = "COPY,Q8_0";
    assert_ok(&err, pack_all(&options, c.job, &err));
    char *copy = find_ending(c.out, "COPY.gguf");
    copy = copy != NULL ? copy : join_path(c.out, "m.gguf");
    check_keys(copy, false);
    free(copy);
    end(&c);
}

static void test_other_models(void **state) {
    static const struct {
        matrix_entry entries[MAX_ENTRIES];
        uint64_t n;
        qn_status status;
        const char *has;
    } rows[] = {
        {{{QUERY, 1, 128}}, 1, QN_E_SHAPE, QUERY},
        {{{QUERY, 1, N_COLS}, {UP, 4, N_COLS}}, 2, QN_E_SHAPE, "made with another model"},
        {{{UP, 1, N_COLS}}, 1, QN_E_SHAPE, UP},
        {{{"blk.7.attn_q.weight", 1, N_COLS}}, 1, QN_E_FORMAT, "knows none of the model's tensors"},
        {{{"token_embd.weight", 1, 64}, {QUERY, 1, N_COLS}}, 2, QN_OK, NULL}, /* passed over, as the reference does */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        imatrix_case c;
        qn_plan *plan = NULL;
        qn_error err;
        begin(&c, rows[i].entries, rows[i].n);
        const qn_pack_options options = options_of(&c);
        assert_status(&err, qn_plan_new(&options, c.job, &plan, &err), rows[i].status);
        if (rows[i].status != QN_OK) {
            assert_message_has(&err, c.imatrix);
            assert_message_has(&err, rows[i].has);
        }
        assert_false(path_exists(c.out));
        qn_plan_free(plan);
        end(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coverage),         cmocka_unit_test(test_choice),       cmocka_unit_test(test_files),
        cmocka_unit_test(test_copy_has_no_keys), cmocka_unit_test(test_other_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
