/* SPDX-License-Identifier: MIT */
/* test_gguf_layout.c: headers that are written, held against golden bytes and against the reader. */
#include "support.h"

#include "assemble.h"
#include "container/gguf.h"

static qn_meta_value text_value(const char *bytes, size_t n) {
    return (qn_meta_value){.type = QN_META_STRING, .as.text = {bytes, n}};
}

static void writes_the_bytes_of_the_specification(void **state) {
    (void)state;
    static const uint16_t items[] = {1, 258};
    qn_arena *arena = qn_arena_new();
    qn_meta m = qn_meta_new(arena);
    qn_placed_tensor t[] = {
        {.name = "a", .type = QN_F32, .shape = {1, {3}}},
        {.name = "b.weight", .type = QN_Q8_0, .shape = {2, {2, 32}}},
        {.name = "c", .type = QN_F16, .shape = {3, {1, 1, 5}}},
        {.name = "d", .type = QN_I8, .shape = {0, {0}}},
    };
    qn_buffer header = {0};
    qn_buffer wanted = {0};
    uint64_t file_bytes = 0;
    qn_error err;
    qn_meta_set_string(&m, "s", "hi");
    qn_meta_set_array(&m, "n", QN_META_U16, items, 2);
    assert_ok(&err, qn_gguf_layout(&m, t, 4, &header, &file_bytes, &err));
    assemble(&wanted,
             "=GGUF u:3 q:4 q:2 s:s u:8 s:hi s:n u:9 u:2 q:2 w:1 w:258 "
             "s:a u:1 q:3 u:0 q:0 s:b.weight u:2 q:32 q:2 u:8 q:32 s:c u:1 q:5 u:1 q:128 s:d u:1 q:1 u:24 q:160 a:32");
    assert_int_equal(header.len, wanted.len);
    assert_memory_equal(header.data, wanted.data, wanted.len);
    static const uint64_t offsets[] = {0, 32, 128, 160};
    static const uint64_t sizes[] = {12, 68, 10, 1};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(t[i].file_off, header.len + offsets[i]);
        assert_int_equal(t[i].size_bytes, sizes[i]);
    }
    assert_int_equal(file_bytes, header.len + 192);
    qn_buffer_clear(&header);
    qn_buffer_clear(&wanted);
    qn_arena_free(arena);
}

/* The golden files use alignment 64; without that key and with 32 the same pairs must come back. */
static void every_value_survives_a_round_trip(void **state) {
    (void)state;
    qn_archive *golden = NULL;
    qn_archive *again = NULL;
    qn_buffer header = {0};
    qn_error err;
    uint64_t file_bytes = 0;
    assert_ok(&err, qn_gguf_open(QN_TEST_DATA_DIR "/gguf/gguf_v3_le.gguf", &golden, &err));
    qn_meta m = *qn_archive_meta(golden);
    qn_meta_remove(&m, "general.alignment");
    const uint64_t n = qn_archive_n_tensors(golden);
    qn_placed_tensor t[8];
    for (uint64_t i = 0; i < n; i++) {
        const qn_archive_tensor *from = qn_archive_tensor_at(golden, i);
        t[i] = (qn_placed_tensor){.name = from->name, .type = from->type, .shape = from->shape};
    }
    assert_ok(&err, qn_gguf_layout(&m, t, n, &header, &file_bytes, &err));
    qn_buffer_zeros(&header, (size_t)file_bytes - header.len);
    char *dir = make_temp_dir();
    char *path = write_file(dir, "again.gguf", header.data, header.len);
    assert_ok(&err, qn_gguf_open(path, &again, &err));
    assert_int_equal(qn_archive_meta(again)->n, m.n);
    qn_buffer first = {0};
    qn_buffer second = {0};
    assert_ok(&err, qn_gguf_layout(&m, t, n, &first, &file_bytes, &err));
    assert_ok(&err, qn_gguf_layout(qn_archive_meta(again), t, n, &second, &file_bytes, &err));
    assert_int_equal(first.len, second.len);
    assert_memory_equal(first.data, second.data, first.len);
    for (uint64_t i = 0; i < n; i++) {
        const qn_archive_tensor *a = qn_archive_tensor_at(again, i);
        assert_string_equal(a->name, t[i].name);
        assert_int_equal(a->file_off, t[i].file_off);
        assert_int_equal(a->size_bytes, t[i].size_bytes);
    }
    free(path);
    remove_temp_dir(dir);
    qn_buffer_clear(&header);
    qn_buffer_clear(&first);
    qn_buffer_clear(&second);
    qn_archive_close(golden);
    qn_archive_close(again);
}

static void an_empty_file_is_padded(void **state) {
    (void)state;
    qn_arena *arena = qn_arena_new();
    qn_meta m = qn_meta_new(arena);
    qn_buffer header = {0};
    qn_error err;
    uint64_t file_bytes = 0;
    assert_ok(&err, qn_gguf_layout(&m, NULL, 0, &header, &file_bytes, &err));
    assert_int_equal(header.len, 32);
    assert_int_equal(file_bytes, 32);
    /* Behind other bytes, offsets still count from the file's own beginning. */
    qn_placed_tensor t = {.name = "w", .type = QN_F32, .shape = {1, {1}}};
    qn_buffer_u8(&header, 0);
    assert_ok(&err, qn_gguf_layout(&m, &t, 1, &header, &file_bytes, &err));
    assert_int_equal(t.file_off, 64);
    assert_int_equal(file_bytes, 96);
    assert_int_equal(header.len, 33 + 64);
    qn_buffer_clear(&header);
    qn_arena_free(arena);
}

#define NAME_63 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static void what_readers_refuse_is_not_written(void **state) {
    (void)state;
    static const struct {
        qn_placed_tensor tensors[2];
        uint64_t n;
        qn_status status;
        const char *told;
    } cases[] = {
        {{{.name = NAME_63, .shape = {1, {1}}}}, 1, QN_OK, ""},
        {{{.name = NAME_63 "x", .shape = {1, {1}}}}, 1, QN_E_RANGE, "has 64 bytes; GGUF readers accept 1 to 63"},
        {{{.name = "", .shape = {1, {1}}}}, 1, QN_E_RANGE, "has 0 bytes"},
        {{{.name = "w", .shape = {5, {1, 2, 2, 2, 2}}}}, 1, QN_OK, ""},
        {{{.name = "w", .shape = {5, {2, 1, 2, 2, 2}}}}, 1, QN_E_RANGE, "5 dimensions; GGUF has at most 4"},
        {{{.name = "w", .shape = {9, {1, 1, 1}}}}, 1, QN_E_RANGE, "dimensions"},
        {{{.name = "w", .type = QN_Q4_K, .shape = {2, {4, 128}}}}, 1, QN_E_SHAPE, "tensor 'w'"},
        {{{.name = "w", .type = QN_U8, .shape = {1, {1}}}}, 1, QN_E_UNSUPPORTED, "does not exist in GGUF"},
        {{{.name = "w", .type = (qn_dtype)5, .shape = {1, {1}}}}, 1, QN_E_UNSUPPORTED, "tensor 'w'"},
        {{{.name = "w", .shape = {1, {INT64_MAX}}}}, 1, QN_E_RANGE, "tensor 'w'"},
        {{{.name = "v", .type = QN_I8, .shape = {1, {INT64_MAX - 64}}},
          {.name = "w", .type = QN_I8, .shape = {1, {64}}}},
         2,
         QN_E_RANGE,
         "larger than 2^63"},
        {{{.name = "w", .shape = {1, {1}}}, {.name = "w", .shape = {1, {1}}}},
         2,
         QN_E_RANGE,
         "two tensors are named 'w'"},
    };
    qn_arena *arena = qn_arena_new();
    const qn_meta m = qn_meta_new(arena);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_placed_tensor t[2] = {cases[i].tensors[0], cases[i].tensors[1]};
        qn_buffer header = {0};
        qn_error err = {0};
        uint64_t file_bytes = 0;
        assert_status(&err, qn_gguf_layout(&m, t, cases[i].n, &header, &file_bytes, &err), cases[i].status);
        assert_message_has(&err, cases[i].told);
        qn_buffer_clear(&header);
    }
    qn_arena_free(arena);
}

static void values_must_fit_their_types(void **state) {
    (void)state;
    static const struct {
        const char *key;
        qn_meta_value value;
        qn_status status;
        const char *told;
    } cases[] = {
        {"k", {.type = QN_META_U8, .as.u = 255}, QN_OK, ""},
        {"k", {.type = QN_META_U8, .as.u = 256}, QN_E_RANGE, "'k': the value does not fit into u8"},
        {"k", {.type = QN_META_U32, .as.u = UINT64_C(1) << 32}, QN_E_RANGE, "u32"},
        {"k", {.type = QN_META_I8, .as.i = -128}, QN_OK, ""},
        {"k", {.type = QN_META_I8, .as.i = -129}, QN_E_RANGE, "i8"},
        {"k", {.type = QN_META_I16, .as.i = 32768}, QN_E_RANGE, "i16"},
        {"k", {.type = QN_META_I64, .as.i = INT64_MIN}, QN_OK, ""},
        {"k", {.type = QN_META_ARRAY, .as.array = {QN_META_ARRAY, 0, NULL}}, QN_E_USAGE, "no arrays of arr"},
        {"k", {.type = (qn_meta_type)13}, QN_E_USAGE, "value type 13"},
        {"", {.type = QN_META_U8, .as.u = 1}, QN_E_RANGE, "key of 0 bytes"},
        {"general.alignment", {.type = QN_META_U32, .as.u = 32}, QN_E_USAGE, "general.alignment must not be set"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_arena *arena = qn_arena_new();
        qn_meta m = qn_meta_new(arena);
        qn_buffer header = {0};
        qn_error err = {0};
        uint64_t file_bytes = 0;
        qn_meta_set(&m, cases[i].key, cases[i].value);
        assert_status(&err, qn_gguf_layout(&m, NULL, 0, &header, &file_bytes, &err), cases[i].status);
        assert_message_has(&err, cases[i].told);
        qn_buffer_clear(&header);
        qn_arena_free(arena);
    }
}

static void strings_keep_any_bytes(void **state) {
    (void)state;
    qn_arena *arena = qn_arena_new();
    qn_meta m = qn_meta_new(arena);
    qn_buffer header = {0};
    qn_archive *a = NULL;
    qn_error err;
    uint64_t file_bytes = 0;
    const qn_text items[] = {{NULL, 0}, {"\0\xff", 2}, {"z", 1}};
    qn_meta_set(&m, "bytes", text_value("a\0b\xff", 4));
    qn_meta_set(&m, "empty", text_value(NULL, 0));
    qn_meta_set_array(&m, "list", QN_META_STRING, items, 3);
    qn_meta_set_array(&m, "none", QN_META_F64, NULL, 0);
    assert_ok(&err, qn_gguf_layout(&m, NULL, 0, &header, &file_bytes, &err));
    char *dir = make_temp_dir();
    char *path = write_file(dir, "a.gguf", header.data, header.len);
    assert_ok(&err, qn_gguf_open(path, &a, &err));
    const qn_text text = qn_meta_find(qn_archive_meta(a), "bytes")->as.text;
    assert_int_equal(text.len, 4);
    assert_memory_equal(text.bytes, "a\0b\xff", 4);
    assert_int_equal(qn_meta_find(qn_archive_meta(a), "empty")->as.text.len, 0);
    const qn_text *list = qn_meta_find(qn_archive_meta(a), "list")->as.array.items;
    assert_int_equal(list[0].len, 0);
    assert_int_equal(list[1].len, 2);
    assert_true(qn_text_is(list[2], "z"));
    assert_int_equal(qn_meta_find(qn_archive_meta(a), "none")->as.array.n, 0);
    qn_archive_close(a);
    free(path);
    remove_temp_dir(dir);
    qn_buffer_clear(&header);
    qn_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_the_bytes_of_the_specification),
        cmocka_unit_test(every_value_survives_a_round_trip),
        cmocka_unit_test(an_empty_file_is_padded),
        cmocka_unit_test(what_readers_refuse_is_not_written),
        cmocka_unit_test(values_must_fit_their_types),
        cmocka_unit_test(strings_keep_any_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
