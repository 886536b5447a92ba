/* SPDX-License-Identifier: MIT */
/* test_gguf.c: opens whole files: golden ones, split sets, and what people put in a GGUF file's place. */
#include "support.h"

#include "assemble.h"
#include "container/gguf.h"

#define DATA QN_TEST_DATA_DIR "/gguf/"

static void *file_from(const char *line, size_t *n) {
    qn_buffer b = {0};
    assemble(&b, line);
    assert_false(b.has_failed);
    *n = b.len;
    return b.data;
}

static void put_file(const char *dir, const char *name, const char *line) {
    size_t n = 0;
    void *bytes = file_from(line, &n);
    free(write_file(dir, name, bytes, n));
    free(bytes);
}

static void check_scalars(const qn_meta *m) {
    static const struct {
        const char *key;
        qn_meta_type type;
        uint64_t u;
        int64_t i;
        double f;
    } cases[] = {
        {"test.u8", QN_META_U8, 255, 0, 0},
        {"test.i8", QN_META_I8, 0, -128, 0},
        {"test.u16", QN_META_U16, 65535, 0, 0},
        {"test.i16", QN_META_I16, 0, -32768, 0},
        {"test.u32", QN_META_U32, 0xFFFFFFFF, 0, 0},
        {"test.i32", QN_META_I32, 0, INT32_MIN, 0},
        {"test.u64", QN_META_U64, UINT64_MAX, 0, 0},
        {"test.i64", QN_META_I64, 0, INT64_MIN, 0},
        {"test.f32", QN_META_F32, 0, 0, (double)0.1f},
        {"test.f64", QN_META_F64, 0, 0, 0.1},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        const qn_meta_value *v = qn_meta_find(m, cases[k].key);
        assert_non_null(v);
        assert_int_equal(v->type, cases[k].type);
        if (cases[k].type == QN_META_F32 || cases[k].type == QN_META_F64) {
            assert_true(v->as.f == cases[k].f);
        } else if (cases[k].i != 0) {
            assert_true(v->as.i == cases[k].i);
        } else {
            assert_true(v->as.u == cases[k].u);
        }
    }
    assert_true(qn_meta_find(m, "test.bool")->as.b);
    assert_int_equal(qn_meta_find(m, "test.bool")->type, QN_META_BOOL);
    assert_string_equal(qn_meta_string(m, "general.name"), "sample \xc3\xa9\xe4\xb8\xad");
    assert_int_equal(qn_meta_find(m, "test.str")->as.text.len, 17);
    assert_memory_equal(qn_meta_find(m, "test.str")->as.text.bytes, "bytes \xff\0 not utf8", 17);
}

static void check_arrays(const qn_meta *m) {
    const struct {
        const char *key;
        qn_meta_type type;
        uint64_t n;
        const void *items;
    } cases[] = {
        {"test.arr_u8", QN_META_U8, 3, (const uint8_t[]){1, 2, 3}},
        {"test.arr_bool", QN_META_BOOL, 4, (const bool[]){true, false, true, true}},
        {"test.arr_i32", QN_META_I32, 3, (const int32_t[]){-1, 0, 7}},
        {"test.arr_f32", QN_META_F32, 2, (const float[]){0.5f, -2.25f}},
        {"test.arr_u64", QN_META_U64, 1, (const uint64_t[]){UINT64_C(1) << 40}},
    };
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        const qn_meta_value *v = qn_meta_find(m, cases[k].key);
        assert_int_equal(v->type, QN_META_ARRAY);
        assert_int_equal(v->as.array.type, cases[k].type);
        assert_int_equal(v->as.array.n, cases[k].n);
        assert_memory_equal(v->as.array.items, cases[k].items, (size_t)cases[k].n * qn_meta_type_size(cases[k].type));
    }
    const qn_meta_value *v = qn_meta_find(m, "test.arr_str");
    const qn_text *texts = v->as.array.items;
    assert_int_equal(v->as.array.type, QN_META_STRING);
    assert_int_equal(v->as.array.n, 3);
    assert_true(qn_text_is(texts[0], "a") && qn_text_is(texts[1], "") && qn_text_is(texts[2], "\xe2\x96\x81the"));
}

static void reads_every_type_of_a_golden_file(void **state) {
    (void)state;
    static const char *const paths[] = {DATA "gguf_v3_le.gguf", DATA "gguf_v2_le.gguf"};
    static const struct {
        const char *name;
        qn_dtype type;
        qn_shape shape;
        uint64_t file_off;
        uint64_t size_bytes;
    } tensors[] = {
        {"blk.0.attn_norm.weight", QN_F32, {1, {32}}, 0x400, 128}, {"m.weight", QN_F32, {2, {3, 32}}, 0x480, 384},
        {"t3.weight", QN_F16, {3, {2, 3, 4}}, 0x600, 48},          {"ids", QN_I32, {1, {5}}, 0x640, 20},
        {"q.weight", QN_Q8_0, {2, {2, 64}}, 0x680, 136},
    };
    for (size_t p = 0; p < 2; p++) {
        qn_archive *a = NULL;
        qn_error err;
        assert_ok(&err, qn_gguf_open(paths[p], &a, &err));
        assert_string_equal(qn_archive_format(a), "gguf");
        assert_int_equal(qn_archive_n_files(a), 1);
        assert_string_equal(qn_file_path(qn_archive_file_at(a, 0)), paths[p]);
        assert_int_equal(qn_archive_n_tensors(a), 5);
        for (size_t i = 0; i < 5; i++) {
            const qn_archive_tensor *t = qn_archive_find(a, tensors[i].name);
            assert_ptr_equal(t, qn_archive_tensor_at(a, i));
            assert_int_equal(t->type, tensors[i].type);
            assert_int_equal(t->shape.n_dims, tensors[i].shape.n_dims);
            assert_memory_equal(t->shape.dims, tensors[i].shape.dims, t->shape.n_dims * sizeof t->shape.dims[0]);
            assert_int_equal(t->file_off, tensors[i].file_off);
            assert_int_equal(t->size_bytes, tensors[i].size_bytes);
            assert_ptr_equal(t->file, qn_archive_file_at(a, 0));
        }
        assert_int_equal(qn_archive_meta(a)->n, 21);
        check_scalars(qn_archive_meta(a));
        check_arrays(qn_archive_meta(a));
        qn_archive_close(a);
    }
}

static void reads_adapters_and_importance_matrices(void **state) {
    (void)state;
    static const struct {
        const char *path;
        const char *type;
        uint64_t n_tensors;
    } cases[] = {
        {DATA "lora.gguf", "adapter", 2},
        {DATA "imatrix.gguf", "imatrix", 4},
        {DATA "control_vector.gguf", NULL, 3},
    };
    for (size_t i = 0; i < 3; i++) {
        qn_archive *a = NULL;
        qn_error err;
        assert_ok(&err, qn_gguf_open(cases[i].path, &a, &err));
        const char *type = qn_meta_string(qn_archive_meta(a), "general.type");
        assert_true(cases[i].type == NULL ? type == NULL : type != NULL && strcmp(type, cases[i].type) == 0);
        assert_int_equal(qn_archive_n_tensors(a), cases[i].n_tensors);
        qn_archive_close(a);
    }
}

static void refuses_what_is_no_little_endian_gguf(void **state) {
    (void)state;
    static const struct {
        const char *text;
        qn_status status;
        const char *told;
    } cases[] = {
        {"", QN_E_FORMAT, "the file is empty"},
        {"GG", QN_E_FORMAT, "is not a GGUF file: it begins with 'GG'"},
        {"PK\x03\x04 and so on", QN_E_FORMAT, "it begins with 'PK\?\?'"},
        {"<!DOCTYPE html><html>", QN_E_FORMAT, "is a web page"},
        {"\n <HTML lang=en>", QN_E_FORMAT, "is a web page"},
        {"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4081234567\n", QN_E_NOT_FOUND,
         "(73 bytes), not the weights (4,081,234,567 bytes): run 'git lfs pull' in "},
    };
    char *dir = make_temp_dir();
    qn_archive *a = NULL;
    qn_error err;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *path = write_text(dir, "model.gguf", cases[i].text);
        assert_status(&err, qn_gguf_open(path, &a, &err), cases[i].status);
        assert_message_has(&err, cases[i].told);
        assert_message_has(&err, path);
        free(path);
    }
    assert_status(&err, qn_gguf_open(DATA "gguf_v3_be.gguf", &a, &err), QN_E_UNSUPPORTED);
    assert_message_has(&err, "big-endian");
    assert_status(&err, qn_gguf_open("/nonexistent/model.gguf", &a, &err), QN_E_NOT_FOUND);
    assert_status(&err, qn_gguf_open(dir, &a, &err), QN_E_IO);
    assert_null(a);
    remove_temp_dir(dir);
}

/* A file of a set: metadata lines for split.no, split.count, split.tensors.count and one f32 tensor. */
#define SHARD(no, count, total, name, value)                                                                 \
    "=GGUF u:3 q:1 q:4 s:general.name u:8 s:set" #no " s:split.no u:2 w:" #no " s:split.count u:2 w:" #count \
    " s:split.tensors.count u:5 u:" #total " s:" name " u:1 q:1 u:0 q:0 a:32 u:" #value " a:32"

static void any_part_opens_the_whole_set(void **state) {
    (void)state;
    char *dir = make_temp_dir();
    qn_error err;
    put_file(dir, "m-00001-of-00003.gguf", SHARD(0, 3, 3, "a", 10));
    put_file(dir, "m-00002-of-00003.gguf", SHARD(1, 3, 3, "c", 11));
    put_file(dir, "m-00003-of-00003.gguf", SHARD(2, 3, 3, "b", 12));
    for (unsigned part = 1; part <= 3; part++) {
        char name[32];
        uint32_t value = 0;
        qn_archive *a = NULL;
        (void)snprintf(name, sizeof name, "m-%05u-of-00003.gguf", part);
        char *path = join_path(dir, name);
        assert_ok(&err, qn_gguf_open(path, &a, &err));
        free(path);
        assert_int_equal(qn_archive_n_files(a), 3);
        assert_int_equal(qn_archive_n_tensors(a), 3);
        assert_string_equal(qn_archive_tensor_at(a, 1)->name, "c");
        const qn_archive_tensor *t = qn_archive_find(a, "b");
        assert_ptr_equal(t->file, qn_archive_file_at(a, 2));
        assert_ok(&err, qn_file_read_at(t->file, t->file_off, &value, 4, &err));
        assert_int_equal(value, 12);
        assert_int_equal(qn_archive_meta(a)->n, 1);
        assert_string_equal(qn_meta_string(qn_archive_meta(a), "general.name"), "set0");
        qn_archive_close(a);
    }
    remove_temp_dir(dir);
}

/* Under other names the files are found by a list, in their order. */
static void named_files_are_a_set(void **state) {
    (void)state;
    char *dir = make_temp_dir();
    qn_error err;
    qn_archive *a = NULL;
    put_file(dir, "one", SHARD(0, 2, 2, "a", 10));
    put_file(dir, "two", SHARD(1, 2, 2, "b", 11));
    put_file(dir, "whole", "=GGUF u:3 q:0 q:0");
    char *one = join_path(dir, "one");
    char *two = join_path(dir, "two");
    char *whole = join_path(dir, "whole");
    assert_ok(&err, qn_gguf_open_files((const char *const[]){one, two}, 2, &a, &err));
    assert_string_equal(qn_archive_tensor_at(a, 1)->name, "b");
    assert_string_equal(qn_meta_string(qn_archive_meta(a), "general.name"), "set0");
    qn_archive_close(a);
    assert_ok(&err, qn_gguf_open_files((const char *const[]){whole}, 1, &a, &err));
    qn_archive_close(a);
    assert_status(&err, qn_gguf_open_files((const char *const[]){two, one}, 2, &a, &err), QN_E_FORMAT);
    assert_message_has(&err, "in the place of part 1 of 2");
    assert_status(&err, qn_gguf_open_files((const char *const[]){one, whole}, 2, &a, &err), QN_E_FORMAT);
    assert_message_has(&err, "says that it is part 1 of 1");
    free(one);
    free(two);
    free(whole);
    remove_temp_dir(dir);
}

static void broken_sets_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *first;  /* m-00001-of-00002.gguf; NULL: not there */
        const char *second; /* m-00002-of-00002.gguf */
        qn_status status;
        const char *told;
    } cases[] = {
        {NULL, SHARD(1, 2, 2, "b", 1), QN_E_NOT_FOUND,
         "m-00001-of-00002.gguf: part 1 of 2 of this split model is missing"},
        {SHARD(1, 2, 2, "b", 1), SHARD(1, 2, 2, "b", 1), QN_E_FORMAT,
         "says that it is part 2 of 2, but is in the place of part 1"},
        {SHARD(0, 2, 2, "a", 1), SHARD(1, 3, 2, "b", 1), QN_E_FORMAT, "its name does not end in -00002-of-00003.gguf"},
        {SHARD(0, 2, 9, "a", 1), SHARD(1, 2, 2, "b", 1), QN_E_FORMAT,
         "belongs to a set of 2 tensors, the first part to one of 9"},
        {SHARD(0, 2, 3, "a", 1), SHARD(1, 2, 3, "b", 1), QN_E_FORMAT, "hold 2 tensors; split.tensors.count says 3"},
        {SHARD(0, 2, 2, "a", 1), SHARD(1, 2, 2, "a", 1), QN_E_FORMAT, "tensor 'a' is in two files"},
        {"=GGUF u:3 q:0 q:0", SHARD(1, 2, 2, "b", 1), QN_E_FORMAT, "says that it is part 1 of 1"},
        {"=GGUF u:3", SHARD(1, 2, 2, "b", 1), QN_E_FORMAT, "m-00001-of-00002.gguf: byte 8"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *dir = make_temp_dir();
        qn_archive *a = NULL;
        qn_error err;
        if (cases[i].first != NULL) {
            put_file(dir, "m-00001-of-00002.gguf", cases[i].first);
        }
        put_file(dir, "m-00002-of-00002.gguf", cases[i].second);
        char *path = join_path(dir, "m-00002-of-00002.gguf");
        assert_status(&err, qn_gguf_open(path, &a, &err), cases[i].status);
        assert_message_has(&err, cases[i].told);
        free(path);
        remove_temp_dir(dir);
    }
}

static void names_and_keys_of_parts_must_agree(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *line;
        qn_status status;
        const char *told;
    } cases[] = {
        {"model.gguf", SHARD(1, 2, 2, "b", 1), QN_E_FORMAT, "its name does not end in -00002-of-00002.gguf"},
        {"-00002-of-00002.gguf", SHARD(1, 2, 2, "b", 1), QN_E_NOT_FOUND, "part 1 of 2"},
        {"m.gguf", SHARD(0, 1, 1, "b", 1), QN_OK, ""},
        {"m.gguf", SHARD(0, 0, 0, "b", 1), QN_OK, ""},
        {"m.gguf", SHARD(3, 3, 3, "b", 1), QN_E_FORMAT, "split.no is 3 of split.count 3"},
        {"m.gguf", "=GGUF u:3 q:0 q:1 s:split.count u:8 s:two", QN_E_FORMAT, "'split.count' is not a count"},
        {"m.gguf", "=GGUF u:3 q:0 q:1 s:split.tensors.count u:5 u:0xFFFFFFFF", QN_E_FORMAT, "is not a count"},
        {"m.gguf", "=GGUF u:3 q:0 q:2 s:split.no u:2 w:0 s:split.count u:4 u:65536", QN_E_FORMAT, "split.count 65536"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *dir = make_temp_dir();
        char *path = join_path(dir, cases[i].name);
        qn_archive *a = NULL;
        qn_error err = {0};
        put_file(dir, cases[i].name, cases[i].line);
        assert_status(&err, qn_gguf_open(path, &a, &err), cases[i].status);
        assert_message_has(&err, cases[i].told);
        qn_archive_close(a);
        free(path);
        remove_temp_dir(dir);
    }
}

static void shard_names_have_five_digits(void **state) {
    (void)state;
    qn_arena *arena = qn_arena_new();
    assert_string_equal(qn_gguf_shard_name(arena, "dir/m", 0, 3), "dir/m-00001-of-00003.gguf");
    assert_string_equal(qn_gguf_shard_name(arena, "m", 99, 123), "m-00100-of-00123.gguf");
    qn_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_every_type_of_a_golden_file),
        cmocka_unit_test(reads_adapters_and_importance_matrices),
        cmocka_unit_test(refuses_what_is_no_little_endian_gguf),
        cmocka_unit_test(any_part_opens_the_whole_set),
        cmocka_unit_test(named_files_are_a_set),
        cmocka_unit_test(broken_sets_are_refused),
        cmocka_unit_test(names_and_keys_of_parts_must_agree),
        cmocka_unit_test(shard_names_have_five_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
