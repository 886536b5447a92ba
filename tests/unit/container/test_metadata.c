/* SPDX-License-Identifier: MIT */
/* test_metadata.c: setting, replacing, removing and reading typed pairs. */
#include "support.h"

#include "container/metadata.h"

static void keeps_order_and_replaces_in_place(void **state) {
    (void)state;
    qn_arena *arena = qn_arena_new();
    qn_meta m = qn_meta_new(arena);
    qn_error err;
    char key[16];
    for (uint32_t i = 0; i < 100; i++) {
        (void)snprintf(key, sizeof key, "key.%u", i);
        qn_meta_set_u32(&m, key, i);
    }
    qn_meta_set_string(&m, "key.7", "seven");
    qn_meta_remove(&m, "key.0");
    qn_meta_remove(&m, "absent");
    assert_ok(&err, qn_meta_status(&m, &err));
    assert_int_equal(m.n, 99);
    assert_string_equal(m.entries[0].key, "key.1");
    assert_string_equal(m.entries[6].key, "key.7");
    assert_string_equal(m.entries[98].key, "key.99");
    assert_int_equal(m.entries[6].value.type, QN_META_STRING);
    assert_string_equal(qn_meta_string(&m, "key.7"), "seven");
    assert_null(qn_meta_find(&m, "key.0"));
    assert_null(qn_meta_string(&m, "key.8"));
    qn_arena_free(arena);
}

static void reads_numbers_of_any_width(void **state) {
    (void)state;
    static const struct {
        qn_meta_value value;
        bool is_u64;
        uint64_t u;
        bool is_f64;
        double f;
    } cases[] = {
        {{.type = QN_META_U8, .as.u = 255}, true, 255, false, 0},
        {{.type = QN_META_U16, .as.u = 65535}, true, 65535, false, 0},
        {{.type = QN_META_U64, .as.u = UINT64_MAX}, true, UINT64_MAX, false, 0},
        {{.type = QN_META_I32, .as.i = 5}, true, 5, false, 0},
        {{.type = QN_META_I64, .as.i = -1}, false, 0, false, 0},
        {{.type = QN_META_F32, .as.f = 0.5}, false, 0, true, 0.5},
        {{.type = QN_META_F64, .as.f = -2.25}, false, 0, true, -2.25},
        {{.type = QN_META_BOOL, .as.b = true}, false, 0, false, 0},
        {{.type = QN_META_STRING, .as.text = {"1", 1}}, false, 0, false, 0},
    };
    qn_arena *arena = qn_arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_meta m = qn_meta_new(arena);
        uint64_t u = 77;
        double f = 77;
        qn_meta_set(&m, "k", cases[i].value);
        assert_int_equal(qn_meta_u64(&m, "k", &u), cases[i].is_u64);
        assert_true(u == (cases[i].is_u64 ? cases[i].u : 77));
        assert_int_equal(qn_meta_f64(&m, "k", &f), cases[i].is_f64);
        assert_true(f == (cases[i].is_f64 ? cases[i].f : 77));
        assert_false(qn_meta_u64(&m, "other", &u));
        assert_false(qn_meta_f64(&m, "other", &f));
    }
    qn_arena_free(arena);
}

static void strings_with_zero_bytes_are_no_c_strings(void **state) {
    (void)state;
    qn_arena *arena = qn_arena_new();
    qn_meta m = qn_meta_new(arena);
    qn_meta_set(&m, "nul", (qn_meta_value){.type = QN_META_STRING, .as.text = {"a\0b", 3}});
    qn_meta_set(&m, "empty", (qn_meta_value){.type = QN_META_STRING, .as.text = {NULL, 0}});
    qn_meta_set(&m, "part", (qn_meta_value){.type = QN_META_STRING, .as.text = {"llamas", 5}});
    assert_null(qn_meta_string(&m, "nul"));
    assert_string_equal(qn_meta_string(&m, "empty"), "");
    assert_string_equal(qn_meta_string(&m, "part"), "llama");
    assert_true(qn_text_is(qn_meta_find(&m, "part")->as.text, "llama"));
    assert_false(qn_text_is(qn_meta_find(&m, "part")->as.text, "llamas"));
    assert_true(qn_text_is(qn_meta_find(&m, "empty")->as.text, ""));
    assert_int_equal(qn_text_of("abc").len, 3);
    qn_arena_free(arena);
}

static void types_have_sizes_and_names(void **state) {
    (void)state;
    static const size_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8, 0};
    static const char *const names[] = {"u8",   "i8",  "u16", "i16", "u32", "i32", "f32",
                                        "bool", "str", "arr", "u64", "i64", "f64", "?"};
    for (unsigned i = 0; i < 14; i++) {
        assert_int_equal(qn_meta_type_size((qn_meta_type)i), sizes[i]);
        assert_string_equal(qn_meta_type_name((qn_meta_type)i), names[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_order_and_replaces_in_place),
        cmocka_unit_test(reads_numbers_of_any_width),
        cmocka_unit_test(strings_with_zero_bytes_are_no_c_strings),
        cmocka_unit_test(types_have_sizes_and_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
