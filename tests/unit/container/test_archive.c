/* SPDX-License-Identifier: MIT */
/* test_archive.c: shapes, look-up by name, names that occur twice, and how messages show numbers and names. */
#include "support.h"

#include "container/source.h"

static void shapes_count_rows_and_columns(void **state) {
    (void)state;
    static const struct {
        qn_shape shape;
        uint64_t rows;
        uint64_t cols;
        const char *text;
    } cases[] = {
        {{0, {0}}, 1, 1, "[]"},
        {{1, {7}}, 1, 7, "[7]"},
        {{2, {2048, 256}}, 2048, 256, "[2048, 256]"},
        {{3, {2, 3, 5}}, 6, 5, "[2, 3, 5]"},
        {{2, {4, 0}}, 4, 0, "[4, 0]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128];
        assert_int_equal(qn_shape_rows(&cases[i].shape), cases[i].rows);
        assert_int_equal(qn_shape_cols(&cases[i].shape), cases[i].cols);
        assert_string_equal(qn_shape_text(&cases[i].shape, text, sizeof text), cases[i].text);
    }
    char small[8];
    assert_string_equal(qn_shape_text(&cases[3].shape, small, sizeof small), "[2, 3, ");
}

static void finds_each_of_many_names(void **state) {
    (void)state;
    qn_archive *archive = qn_archive_new("gguf");
    qn_error err;
    for (unsigned i = 0; i < 1000; i++) {
        const qn_archive_tensor t = {
            .name = qn_arena_printf(qn_archive_arena(archive), "blk.%u.attn_q.weight", i * 7 % 1000)};
        assert_ok(&err, qn_archive_add(archive, &t, &err));
    }
    assert_null(qn_archive_find(archive, "blk.0.attn_q.weight"));
    assert_ok(&err, qn_archive_seal(archive, &err));
    for (uint64_t i = 0; i < 1000; i++) {
        const qn_archive_tensor *t = qn_archive_tensor_at(archive, i);
        assert_ptr_equal(qn_archive_find(archive, t->name), t);
    }
    assert_null(qn_archive_find(archive, "blk.1000.attn_q.weight"));
    assert_null(qn_archive_find(archive, ""));
    assert_string_equal(qn_archive_format(archive), "gguf");
    qn_archive_close(archive);
    qn_archive_close(NULL);
}

static void an_empty_archive_seals(void **state) {
    (void)state;
    qn_archive *archive = qn_archive_new("safetensors");
    qn_error err;
    assert_ok(&err, qn_archive_seal(archive, &err));
    assert_null(qn_archive_find(archive, "a"));
    assert_int_equal(qn_archive_n_tensors(archive), 0);
    assert_int_equal(qn_archive_n_files(archive), 0);
    assert_int_equal(qn_archive_meta(archive)->n, 0);
    qn_archive_close(archive);
}

static void a_name_twice_is_refused(void **state) {
    (void)state;
    static const char *const names[] = {"b", "twin", "a", "twin"};
    qn_archive *archive = qn_archive_new("gguf");
    qn_error err;
    for (size_t i = 0; i < 4; i++) {
        const qn_archive_tensor t = {.name = names[i]};
        assert_ok(&err, qn_archive_add(archive, &t, &err));
    }
    assert_status(&err, qn_archive_seal(archive, &err), QN_E_FORMAT);
    assert_message_has(&err, "two tensors named 'twin'");
    qn_archive_close(archive);
}

static void extents_are_checked(void **state) {
    (void)state;
    static const struct {
        qn_dtype type;
        qn_shape shape;
        qn_status status;
        uint64_t size_bytes;
        const char *told;
    } cases[] = {
        {QN_F32, {0, {0}}, QN_OK, 4, ""},
        {QN_F32, {3, {2, 3, 5}}, QN_OK, 120, ""},
        {QN_Q8_0, {2, {2, 64}}, QN_OK, 136, ""},
        {QN_F16, {2, {0, 64}}, QN_OK, 0, ""},
        {QN_F32, {2, {64, 0}}, QN_OK, 0, ""},
        {QN_I8, {2, {INT64_MAX, 1}}, QN_OK, INT64_MAX, ""},
        {QN_Q8_0, {2, {64, 33}}, QN_E_SHAPE, 0, "tensor 't'"},
        {QN_F32, {2, {INT64_MAX, 1}}, QN_E_RANGE, 0, "2^63 bytes"},
        {QN_I8, {2, {INT64_MAX, 2}}, QN_E_RANGE, 0, "2^63 elements"},
        {QN_I8, {3, {UINT64_C(1) << 40, UINT64_C(1) << 40, 0}}, QN_E_RANGE, 0, "[1099511627776, 1099511627776, 0]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_archive_tensor t = {.name = "t", .type = cases[i].type, .shape = cases[i].shape};
        qn_error err = {0};
        assert_status(&err, qn_tensor_extent(&t, &err), cases[i].status);
        assert_message_has(&err, cases[i].told);
        if (cases[i].status == QN_OK) {
            assert_true(t.size_bytes == cases[i].size_bytes);
        }
    }
}

static void messages_show_numbers_and_names(void **state) {
    (void)state;
    char longest[200];
    assert_string_equal(qn_shown_number(0).text, "0");
    assert_string_equal(qn_shown_number(999).text, "999");
    assert_string_equal(qn_shown_number(1000).text, "1,000");
    assert_string_equal(qn_shown_number(812004).text, "812,004");
    assert_string_equal(qn_shown_number(UINT64_MAX).text, "18,446,744,073,709,551,615");
    assert_string_equal(qn_shown_name("", 0).text, "");
    assert_string_equal(qn_shown_name("a\x1b[2Jb\0c", 8).text, "a?[2Jb?c");
    memset(longest, 'x', sizeof longest);
    assert_int_equal(strlen(qn_shown_name(longest, 72).text), 72);
    assert_int_equal(strlen(qn_shown_name(longest, 73).text), 75);
    assert_string_equal(qn_shown_name(longest, 200).text + 72, "...");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shapes_count_rows_and_columns), cmocka_unit_test(finds_each_of_many_names),
        cmocka_unit_test(an_empty_archive_seals),        cmocka_unit_test(a_name_twice_is_refused),
        cmocka_unit_test(extents_are_checked),           cmocka_unit_test(messages_show_numbers_and_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
