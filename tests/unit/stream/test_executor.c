/* SPDX-License-Identifier: MIT */
/* test_executor.c: a small plan of many kinds of tensors: bytes, threads, resume, verification, ways to stop. */
#include "stream/executor.h"

#include "base/hash.h"
#include "support.h"

#include <math.h>

enum { N_TENSORS = 8, N_OUTPUTS = 4, SOURCE_BYTES = 8 << 20, GAP_BYTES = 96 };

typedef struct fixture {
    char *dir;
    char *source_path;
    qn_arena *arena;
    qn_file *source;
    unsigned char *source_bytes; /* what the source file holds */
    qn_stream_tensor tensors[N_TENSORS];
    qn_stream_place places[N_TENSORS][N_OUTPUTS];
    qn_stream_file files[N_OUTPUTS];
    char *paths[N_OUTPUTS];
    uint64_t sizes[N_OUTPUTS];
    qn_stream_plan plan;
    qn_stream_state state;
} fixture;

/* What the listener saw. */
typedef struct seen {
    unsigned n_stages;
    unsigned n_progress;
    unsigned n_warnings;
    char stages[16][32];
    char warning[512];
    uint64_t bytes_done;
    uint64_t bytes_total;
    bool went_back; /* bytes_done fell */
} seen;

static void listen(void *user, const qn_event *event) {
    seen *s = user;
    if (event->kind == QN_EVENT_STAGE && s->n_stages < 16) {
        (void)snprintf(s->stages[s->n_stages++], sizeof s->stages[0], "%s", event->stage);
    } else if (event->kind == QN_EVENT_WARNING) {
        s->n_warnings++;
        (void)snprintf(s->warning, sizeof s->warning, "%s", event->message);
    } else if (event->kind == QN_EVENT_PROGRESS) {
        s->went_back = s->went_back || event->bytes_done < s->bytes_done || event->bytes_done > event->bytes_total;
        s->n_progress++;
        s->bytes_done = event->bytes_done;
        s->bytes_total = event->bytes_total;
        assert_non_null(event->tensor);
        assert_int_equal(event->n_tensors, N_TENSORS);
    }
}

/* Random weights of a type at a place of the source. */
static const qn_recipe *put(fixture *f, uint64_t file_off, qn_dtype type, uint64_t n_rows, uint64_t n_cols) {
    static uint32_t random = 12345;
    const uint64_t n = n_rows * n_cols;
    float *v = malloc((size_t)n * sizeof *v + 1);
    qn_error err;
    assert_non_null(v);
    for (uint64_t i = 0; i < n; i++) {
        random = random * 1664525U + 1013904223U;
        v[i] = (float)((int32_t)(random >> 8) - (1 << 23)) / 4194304.0F;
    }
    assert_ok(&err,
              qn_encode_rows(QN_CPU_SCALAR, QN_EFFORT_NORMAL, type, v, n_rows, n_cols, NULL, f->source_bytes + file_off,
                             &err));
    free(v);
    return qn_recipe_bytes(f->arena, f->source, file_off, type, n_rows, n_cols);
}

static void write_source(fixture *f) {
    FILE *file = fopen(f->source_path, "r+b");
    assert_non_null(file);
    assert_int_equal(fwrite(f->source_bytes, 1, SOURCE_BYTES, file), SOURCE_BYTES);
    assert_int_equal(fclose(file), 0);
}

static void set_tensor(fixture *f, uint64_t i, const char *name, const char *stage, const qn_recipe *recipe) {
    assert_non_null(recipe);
    f->tensors[i] = (qn_stream_tensor){.name = name, .recipe = recipe, .stage = stage, .places = f->places[i]};
}

static void make_tensors(fixture *f) {
    static const float ones[64] = {1.0F, 1.0F, 0.5F};
    const qn_recipe *attn = put(f, 2 << 20, QN_F16, 512, 512);
    const qn_low_rank update = {.left = put(f, 3 << 20, QN_F32, 512, 8),
                                .right = put(f, (3 << 20) + 32768, QN_F32, 8, 512),
                                .scale = 0.5F,
                                .strength = 1.0F};
    set_tensor(f, 0, "token_embd.weight", "GGUF conversion", put(f, 64, QN_BF16, 600, 1024));
    set_tensor(f, 1, "blk.0.attn_norm.weight", "GGUF conversion", put(f, 4 << 20, QN_F32, 1, 1024));
    set_tensor(f, 2, "blk.0.empty.weight", "GGUF conversion", put(f, 0, QN_F32, 0, 64));
    set_tensor(f, 3, "blk.0.attn_q.weight", "Merge LoRA",
               qn_recipe_low_rank(f->arena, qn_recipe_rope_pairs(f->arena, attn, 8), &update));
    set_tensor(f, 4, "blk.0.ffn_up.weight", "Quantization", put(f, 5 << 20, QN_F16, 1100, 512));
    set_tensor(f, 5, "blk.1.ffn_up.weight", "Quantization", qn_recipe_slice(f->arena, f->tensors[4].recipe, 100, 700));
    set_tensor(f, 6, "rope_freqs.weight", "Quantization", qn_recipe_values(f->arena, ones, 2, 32));
    set_tensor(f, 7, "blk.2.empty.weight", "Quantization", put(f, 0, QN_F32, 0, 64));
}

/* Types by tensor and output; QN_DTYPE_LIMIT for none. Output 3 has output 1's types in a file of its own. */
static const qn_dtype types[N_TENSORS][N_OUTPUTS] = {
    {QN_BF16, QN_Q8_0, QN_F16, QN_Q8_0}, {QN_F32, QN_F32, QN_F32, QN_F32},   {QN_F32, QN_Q8_0, QN_F16, QN_Q8_0},
    {QN_BF16, QN_Q8_0, QN_F32, QN_Q8_0}, {QN_F16, QN_Q8_0, QN_F16, QN_Q8_0}, {QN_F32, QN_Q8_0, QN_DTYPE_LIMIT, QN_Q8_0},
    {QN_F32, QN_F32, QN_F32, QN_F32},    {QN_F32, QN_Q8_0, QN_F16, QN_Q8_0},
};

static void make_plan(fixture *f) {
    for (uint32_t o = 0; o < N_OUTPUTS; o++) {
        char name[32];
        uint64_t file_off = GAP_BYTES;
        for (uint64_t i = 0; i < N_TENSORS; i++) {
            qn_stream_place *p = &f->places[i][o];
            qn_error err;
            *p = (qn_stream_place){.is_wanted = types[i][o] != QN_DTYPE_LIMIT, .file = o, .file_off = file_off};
            if (p->is_wanted) {
                p->type = types[i][o];
                assert_ok(&err, qn_row_size(p->type, qn_recipe_cols(f->tensors[i].recipe), &p->row_bytes, &err));
                file_off += qn_recipe_rows(f->tensors[i].recipe) * p->row_bytes + GAP_BYTES;
            }
        }
        f->sizes[o] = file_off;
        (void)snprintf(name, sizeof name, "out%u.gguf.part", o);
        f->paths[o] = join_path(f->dir, name);
        f->files[o].path = f->paths[o];
    }
    f->plan = (qn_stream_plan){
        .tensors = f->tensors, .n_tensors = N_TENSORS, .files = f->files, .n_files = N_OUTPUTS, .n_outputs = N_OUTPUTS};
    qn_stream_cut(&f->plan);
}

static void open_outputs(fixture *f, bool keep) {
    qn_error err;
    for (uint32_t o = 0; o < N_OUTPUTS; o++) {
        qn_out_close(f->files[o].out);
        f->files[o].out = NULL;
        assert_ok(&err, qn_out_open(f->paths[o], f->sizes[o], keep, &f->files[o].out, &err));
    }
}

static int setup(void **state) {
    fixture *f = calloc(1, sizeof *f);
    qn_error err;
    assert_non_null(f);
    f->dir = make_temp_dir();
    f->arena = qn_arena_new();
    f->source_bytes = calloc(1, SOURCE_BYTES);
    assert_non_null(f->source_bytes);
    f->source_path = write_file(f->dir, "model.safetensors", f->source_bytes, SOURCE_BYTES);
    assert_ok(&err, qn_file_open(f->source_path, &f->source, &err));
    make_tensors(f);
    write_source(f);
    make_plan(f);
    assert_ok(&err, qn_stream_state_new(&f->plan, &f->state, &err));
    open_outputs(f, false);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    fixture *f = *state;
    for (uint32_t o = 0; o < N_OUTPUTS; o++) {
        qn_out_close(f->files[o].out);
        free(f->paths[o]);
    }
    qn_stream_state_clear(&f->state);
    qn_file_close(f->source);
    qn_arena_free(f->arena);
    free(f->source_bytes);
    free(f->source_path);
    remove_temp_dir(f->dir);
    free(f);
    return 0;
}

static void restart(fixture *f) {
    memset(f->state.is_done, 0, f->plan.n_units);
    memset(f->state.hashes, 0, f->plan.n_units * N_OUTPUTS * sizeof *f->state.hashes);
    f->state.n_nonfinite = 0;
    open_outputs(f, false);
}

static qn_status run(fixture *f, unsigned n_threads, const qn_stream_options *options, seen *s, qn_error *err) {
    const qn_stream_options plain = {.level = qn_cpu_detect()};
    qn_job *job = qn_job_new(n_threads, s == NULL ? NULL : listen, s);
    assert_non_null(job);
    const qn_status status = qn_stream_run(&f->plan, &f->state, options == NULL ? &plain : options, job, err);
    qn_job_free(job);
    return status;
}

static qn_status verify(fixture *f, bool only_done, seen *s, qn_error *err) {
    qn_job *job = qn_job_new(2, s == NULL ? NULL : listen, s);
    assert_non_null(job);
    const qn_status status = qn_stream_verify(&f->plan, &f->state, only_done, job, err);
    qn_job_free(job);
    return status;
}

/* One tensor of one output by itself: all rows at once, encoded or copied. */
static unsigned char *expected_bytes(fixture *f, uint64_t i, uint32_t o, uint64_t *n_bytes) {
    const qn_recipe *r = f->tensors[i].recipe;
    const qn_stream_place *p = &f->places[i][o];
    const uint64_t n = qn_recipe_rows(r) * qn_recipe_cols(r);
    float *rows = malloc((size_t)n * sizeof *rows + 1);
    unsigned char *bytes = malloc((size_t)(qn_recipe_rows(r) * p->row_bytes) + 1);
    qn_ready *ready = NULL;
    qn_scratch scratch = {NULL};
    qn_error err;
    assert_non_null(rows);
    assert_non_null(bytes);
    assert_ok(&err, qn_ready_open(r, QN_CPU_SCALAR, &ready, &err));
    assert_ok(&err, qn_ready_rows(ready, 0, qn_recipe_rows(r), rows, &scratch, &err));
    assert_ok(&err,
              qn_encode_rows(QN_CPU_SCALAR, QN_EFFORT_NORMAL, p->type, rows, qn_recipe_rows(r), qn_recipe_cols(r), NULL,
                             bytes, &err));
    qn_scratch_clear(&scratch);
    qn_ready_close(ready);
    free(rows);
    *n_bytes = qn_recipe_rows(r) * p->row_bytes;
    return bytes;
}

/* Every byte of every output, gaps included. */
static void check_outputs(fixture *f) {
    for (uint32_t o = 0; o < N_OUTPUTS; o++) {
        size_t size = 0;
        unsigned char *file = read_file(f->paths[o], &size);
        unsigned char *wanted = calloc(1, (size_t)f->sizes[o]);
        assert_non_null(wanted);
        assert_int_equal(size, f->sizes[o]);
        for (uint64_t i = 0; i < N_TENSORS; i++) {
            if (f->places[i][o].is_wanted) {
                uint64_t n = 0;
                unsigned char *bytes = expected_bytes(f, i, o, &n);
                memcpy(wanted + f->places[i][o].file_off, bytes, (size_t)n);
                free(bytes);
            }
        }
        for (size_t at = 0; at < size; at++) {
            if (file[at] != wanted[at]) {
                print_error("%s differs at byte %zu\n", f->paths[o], at);
                fail();
            }
        }
        free(file);
        free(wanted);
    }
}

static void test_cut(void **state) {
    static const uint64_t n_units[N_TENSORS] = {3, 1, 0, 1, 3, 2, 1, 0};
    static const uint64_t unit_rows[N_TENSORS] = {256, 256, 4096, 512, 512, 512, 8192, 4096};
    fixture *f = *state;
    uint64_t first = 0;
    for (size_t i = 0; i < N_TENSORS; i++) {
        assert_int_equal(f->tensors[i].n_units, n_units[i]);
        assert_int_equal(f->tensors[i].first_unit, first);
        assert_int_equal(f->tensors[i].unit_rows, unit_rows[i]);
        first += n_units[i];
    }
    assert_int_equal(f->plan.n_units, first);
    assert_int_equal(f->plan.source_bytes, 600 * 2048 + 4096 + 512 * 1024 + 2 * 512 * 32 + 1100 * 1024 + 700 * 1024);
    for (size_t o = 0; o < N_OUTPUTS; o++) {
        f->places[4][o].is_wanted = false;
    }
    qn_stream_cut(&f->plan);
    assert_int_equal(f->plan.n_units, first - 3);
    const uint64_t a_worker = 3 * QN_UNIT_ELEMENTS * sizeof(float);
    assert_true(qn_stream_memory(&f->plan, 1) > QN_UNIT_ELEMENTS * sizeof(float));
    assert_true(qn_stream_memory(&f->plan, 1) < a_worker + (8 << 20));
    assert_true(qn_stream_memory(&f->plan, 4) < 4 * (a_worker + (8 << 20)));
}

static void test_bytes(void **state) {
    static const unsigned threads[] = {1, 3, 7};
    fixture *f = *state;
    uint64_t *hashes = NULL;
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        seen s = {0};
        qn_error err;
        restart(f);
        assert_ok(&err, run(f, threads[i], NULL, &s, &err));
        check_outputs(f);
        for (uint64_t u = 0; u < f->plan.n_units; u++) {
            assert_int_equal(f->state.is_done[u], 1);
        }
        const size_t n_bytes = (size_t)f->plan.n_units * N_OUTPUTS * sizeof *hashes;
        if (hashes == NULL) {
            hashes = malloc(n_bytes + 1);
            assert_non_null(hashes);
            memcpy(hashes, f->state.hashes, n_bytes);
        }
        assert_memory_equal(hashes, f->state.hashes, n_bytes);
        assert_int_equal(hashes[0], qn_hash64(f->source_bytes + 64, 256 * 2048, 0)); /* a copy of the source's bytes */
        assert_int_equal(hashes[1], hashes[3]);
        assert_int_equal(s.n_warnings, 0);
        assert_false(s.went_back);
        assert_int_equal(s.bytes_done, f->plan.source_bytes);
        assert_int_equal(s.bytes_total, f->plan.source_bytes);
        assert_int_equal(s.n_stages, 3);
        assert_string_equal(s.stages[0], "GGUF conversion");
        assert_string_equal(s.stages[1], "Merge LoRA");
        assert_string_equal(s.stages[2], "Quantization");
        seen v = {0};
        assert_ok(&err, verify(f, false, &v, &err));
        assert_int_equal(v.n_stages, 1);
        assert_string_equal(v.stages[0], "Verify");
        assert_int_equal(v.bytes_done, v.bytes_total);
        assert_true(v.bytes_total > 0);
    }
    free(hashes);
}

/* What on_unit does in the tests below. */
typedef struct unit_watch {
    qn_job *job;
    unsigned n_calls;
    unsigned cancel_after; /* 0: never */
    unsigned fail_after;   /* 0: never */
    uint64_t units[64];
} unit_watch;

static qn_status watch_unit(void *user, uint64_t unit, const uint64_t *hashes, qn_error *err) {
    unit_watch *w = user;
    assert_non_null(hashes);
    assert_true(w->n_calls < 64);
    w->units[w->n_calls++] = unit;
    if (w->n_calls == w->cancel_after) {
        qn_job_cancel(w->job);
    }
    if (w->n_calls == w->fail_after) {
        if (err != NULL) {
            err->status = QN_E_SPACE;
            (void)snprintf(err->message, sizeof err->message, "the journal is full");
        }
        return QN_E_SPACE;
    }
    return QN_OK;
}

static qn_status run_watched(fixture *f, unsigned n_threads, unit_watch *w, qn_error *err) {
    w->job = qn_job_new(n_threads, NULL, NULL);
    assert_non_null(w->job);
    const qn_stream_options options = {.level = QN_CPU_SCALAR, .on_unit = watch_unit, .user = w};
    const qn_status status = qn_stream_run(&f->plan, &f->state, &options, w->job, err);
    qn_job_free(w->job);
    return status;
}

static void test_cancel_and_resume(void **state) {
    static const unsigned threads[] = {1, 3};
    fixture *f = *state;
    for (size_t i = 0; i < 2; i++) {
        unit_watch w = {.cancel_after = 3};
        unit_watch rest = {0};
        qn_error err;
        uint64_t n_done = 0;
        restart(f);
        assert_status(&err, run_watched(f, threads[i], &w, &err), QN_E_INTERRUPTED);
        for (uint64_t u = 0; u < f->plan.n_units; u++) {
            n_done += f->state.is_done[u];
        }
        assert_int_equal(n_done, w.n_calls);
        assert_in_range(n_done, 3, 3 + threads[i] - 1);
        open_outputs(f, true);
        assert_ok(&err, verify(f, true, NULL, &err));
        assert_ok(&err, run_watched(f, threads[i], &rest, &err));
        assert_int_equal(rest.n_calls + w.n_calls, f->plan.n_units);
        check_outputs(f);
        unit_watch none = {0};
        assert_ok(&err, run_watched(f, threads[i], &none, &err)); /* nothing left to do */
        assert_int_equal(none.n_calls, 0);
    }
}

static void flip_byte(fixture *f, uint32_t o, uint64_t file_off) {
    unsigned char byte = 0;
    qn_error err;
    assert_ok(&err, qn_out_read_at(f->files[o].out, file_off, &byte, 1, &err));
    byte ^= 0x10;
    assert_ok(&err, qn_out_write_at(f->files[o].out, file_off, &byte, 1, &err));
}

static void test_damage(void **state) {
    fixture *f = *state;
    qn_error err;
    assert_ok(&err, run(f, 2, NULL, NULL, &err));
    const uint64_t unit = f->tensors[4].first_unit + 1; /* rows 512 to 1023 */
    flip_byte(f, 3, f->places[4][3].file_off + 600 * f->places[4][3].row_bytes + 5);
    assert_status(&err, verify(f, false, NULL, &err), QN_E_IO);
    assert_message_has(&err, f->paths[3]);
    assert_message_has(&err, "'blk.0.ffn_up.weight' rows 512 to 1023");
    assert_int_equal(f->state.is_done[unit], 1);
    assert_ok(&err, verify(f, true, NULL, &err));
    for (uint64_t u = 0; u < f->plan.n_units; u++) {
        assert_int_equal(f->state.is_done[u], u == unit ? 0 : 1);
    }
    assert_status(&err, verify(f, false, NULL, &err), QN_E_INTERNAL); /* a unit that is not done is no match */
    unit_watch w = {0};
    assert_ok(&err, run_watched(f, 2, &w, &err));
    assert_int_equal(w.n_calls, 1);
    assert_int_equal(w.units[0], unit);
    check_outputs(f);
    assert_ok(&err, verify(f, false, NULL, &err));
}

static void test_on_unit_fails(void **state) {
    fixture *f = *state;
    unit_watch w = {.fail_after = 2};
    qn_error err;
    assert_status(&err, run_watched(f, 1, &w, &err), QN_E_SPACE);
    assert_message_has(&err, "the journal is full");
    assert_int_equal(w.n_calls, 2);
    assert_int_equal(f->state.is_done[0], 1);
    assert_int_equal(f->state.is_done[1], 0); /* not in the journal: not done */
}

static void test_nonfinite(void **state) {
    static const struct {
        uint64_t file_off; /* of two bytes in the source */
        uint16_t bits;
        const char *message;
    } cases[] = {
        {64 + (517 * 1024 + 5) * 2, 0x7FC0, "tensor 'token_embd.weight' row 517 column 5 is NaN"},
        {64 + 2, 0xFF80, "tensor 'token_embd.weight' row 0 column 1 is infinite"},
        {(5 << 20) + (50 * 512 + 511) * 2, 0x7C00, "tensor 'blk.0.ffn_up.weight' row 50 column 511 is infinite"},
        {(2 << 20) + (32 * 512 + 7) * 2, 0x7E00, "tensor 'blk.0.attn_q.weight' row 1 column 7 is NaN"}, /* permuted */
    };
    fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        unsigned char old[2];
        qn_error err;
        restart(f);
        memcpy(old, f->source_bytes + cases[i].file_off, 2);
        memcpy(f->source_bytes + cases[i].file_off, &cases[i].bits, 2);
        write_source(f);
        assert_status(&err, run(f, 2, NULL, NULL, &err), QN_E_RANGE);
        assert_message_has(&err, cases[i].message);
        assert_message_has(&err, "--allow-nan");
        seen s = {0};
        const qn_stream_options allowed = {.level = qn_cpu_detect(), .allow_nan = true};
        assert_ok(&err, run(f, 2, &allowed, &s, &err));
        assert_int_equal(f->state.n_nonfinite, 1);
        assert_int_equal(s.n_warnings, 1);
        assert_ok(&err, verify(f, false, NULL, &err));
        memcpy(f->source_bytes + cases[i].file_off, old, 2);
        write_source(f);
    }
}

/* Blocks get 0 for what is not finite, plain types keep it. */
static void test_nonfinite_bytes(void **state) {
    static const uint16_t nan_bits = 0x7FC0;
    fixture *f = *state;
    const qn_stream_options allowed = {.level = qn_cpu_detect(), .allow_nan = true};
    qn_error err;
    memcpy(f->source_bytes + 64 + 6, &nan_bits, 2); /* row 0, column 3 */
    write_source(f);
    assert_ok(&err, run(f, 1, &allowed, NULL, &err));
    uint16_t bits = 0;
    unsigned char block[34];
    float values[32];
    assert_ok(&err, qn_out_read_at(f->files[0].out, f->places[0][0].file_off + 6, &bits, 2, &err));
    assert_int_equal(bits, nan_bits);
    assert_ok(&err, qn_out_read_at(f->files[2].out, f->places[0][2].file_off + 6, &bits, 2, &err));
    assert_true(isnan(qn_f16_to_f32(bits)));
    assert_ok(&err, qn_out_read_at(f->files[1].out, f->places[0][1].file_off, block, sizeof block, &err));
    assert_ok(&err, qn_decode_rows(QN_CPU_SCALAR, QN_Q8_0, block, 1, 32, values, &err));
    for (int i = 0; i < 32; i++) {
        assert_true(isfinite(values[i]));
    }
    assert_true(values[3] == 0.0F);
}

static void test_f16_overflow(void **state) {
    fixture *f = *state;
    const uint16_t big = qn_f32_to_bf16(1.0e6F);
    seen s = {0};
    qn_error err;
    memcpy(f->source_bytes + 64 + 40, &big, 2);
    write_source(f);
    assert_ok(&err, run(f, 2, NULL, &s, &err));
    assert_int_equal(s.n_warnings, 1);
    assert_non_null(strstr(s.warning, "token_embd.weight"));
    assert_non_null(strstr(s.warning, "BF16"));
}

static void test_bad_files(void **state) {
    fixture *f = *state;
    qn_error err;
    f->tensors[4].recipe = qn_recipe_bytes(f->arena, f->source, SOURCE_BYTES - 512 * 1024, QN_F16, 1100, 512);
    assert_status(&err, run(f, 3, NULL, NULL, &err), QN_E_FORMAT);
    assert_message_has(&err, "model.safetensors");
    f->tensors[4].recipe = qn_recipe_scale(f->arena, f->tensors[4].recipe, 2.0F); /* the same through a recipe */
    restart(f);
    assert_status(&err, run(f, 3, NULL, NULL, &err), QN_E_FORMAT);
    f->places[4][1].row_bytes++;
    assert_status(&err, run(f, 3, NULL, NULL, &err), QN_E_INTERNAL);
    assert_message_has(&err, "blk.0.ffn_up.weight");
}

/* A recipe whose preparation fails stops all who wait for it. */
static void test_prepare_fails(void **state) {
    fixture *f = *state;
    const qn_recipe *cut_off = qn_recipe_bytes(f->arena, f->source, SOURCE_BYTES - 64, QN_F32, 8, 512);
    const qn_recipe *left = qn_recipe_bytes(f->arena, f->source, 3 << 20, QN_F32, 1100, 8);
    const qn_low_rank update = {.left = left, .right = cut_off, .scale = 1.0F, .strength = 1.0F};
    qn_error err;
    f->tensors[4].recipe = qn_recipe_low_rank(f->arena, f->tensors[4].recipe, &update);
    assert_status(&err, run(f, 4, NULL, NULL, &err), QN_E_FORMAT);
    assert_message_has(&err, "model.safetensors");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_cut, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_cancel_and_resume, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage, setup, teardown),
        cmocka_unit_test_setup_teardown(test_on_unit_fails, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonfinite, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nonfinite_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_f16_overflow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bad_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_prepare_fails, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
