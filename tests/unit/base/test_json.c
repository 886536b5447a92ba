/* SPDX-License-Identifier: MIT */
/* test_json.c: Python's bare NaN and Infinity, typed look-ups, files that are no JSON; events as JSON lines. */
#include "support.h"

#include "base/json.h"
#include "quern/event.h"

static void bare_words_become_null(void **state) {
    (void)state;
    static const struct {
        const char *text;
        const char *wanted; /* compact, NULL: not JSON */
    } cases[] = {
        {"{\"a\": NaN}", "{\"a\":null}"},
        {"[NaN,NaN,NaN,NaN,NaN,NaN,NaN,NaN]", "[null,null,null,null,null,null,null,null]"},
        {"[Infinity, -Infinity, 1]", "[null,null,1]"},
        {"{\"NaN\": \"Infinity\", \"b\": NaN}", "{\"NaN\":\"Infinity\",\"b\":null}"},
        {"[\"\\\"NaN\", NaN, \"\\\\\", NaN]", "[\"\\\"NaN\",null,\"\\\\\",null]"},
        {"NaN", "null"},
        {"[-NaN]", NULL},
        {"[Nan]", NULL},
        {"[NaNs]", NULL},
        {"[Inf]", NULL},
        {"", NULL},
        {"[1,]", NULL},
        {"{\"a\":1} x", NULL},
        {"\"\\", NULL},
        {"\"NaN", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *value = NULL;
        qn_error err;
        const qn_status status = qn_json_parse("f.json", cases[i].text, strlen(cases[i].text), &value, &err);
        if (cases[i].wanted == NULL) {
            assert_status(&err, status, QN_E_FORMAT);
            assert_message_has(&err, "f.json: not valid JSON, line 1 column ");
        } else {
            assert_ok(&err, status);
            char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
            assert_string_equal(text, cases[i].wanted);
            free(text);
            json_decref(value);
        }
    }
}

static void bytes_behind_a_zero_byte_are_refused(void **state) {
    (void)state;
    static const char text[] = "[NaN]\0]";
    json_t *value = NULL;
    qn_error err;
    assert_status(&err, qn_json_parse("f", text, sizeof text - 1, &value, &err), QN_E_FORMAT);
    assert_ok(&err, qn_json_parse("f", text, 5, &value, &err));
    json_decref(value);
}

static void long_integers_become_reals(void **state) {
    (void)state;
    static const struct {
        const char *text;
        double wanted; /* 0: an integer stays one */
    } cases[] = {
        {"[1000000000000000019884624838656]", 1e30},
        {"[NaN, \"9999999999999999999\", -9999999999999999999]", -1e19},
        {"[9223372036854775808]", 9223372036854775808.0},
        {"[9223372036854775807]", 0},
        {"[0.12345678901234567890123]", 0.12345678901234568},
        {"[12345678901234567890.5e-1]", 1234567890123456789.05},
        {"[1e0000000000000000000000002]", 100},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *list = NULL;
        qn_error err;
        assert_ok(&err, qn_json_parse("f", cases[i].text, strlen(cases[i].text), &list, &err));
        const json_t *last = json_array_get(list, json_array_size(list) - 1);
        assert_int_equal(json_is_real(last), cases[i].wanted != 0);
        const double found = json_number_value(last);
        assert_true(cases[i].wanted == 0 ||
                    (found / cases[i].wanted > 1 - 1e-15 && found / cases[i].wanted < 1 + 1e-15));
        json_decref(list);
    }
}

static void typed_look_ups(void **state) {
    (void)state;
    static const char text[] = "{\"s\":\"x\",\"i\":3,\"neg\":-1,\"f\":2.5,\"whole\":4.0,\"t\":true,\"n\":null,"
                               "\"big\":9223372036854775807,\"huge\":1e300}";
    json_t *o = NULL;
    qn_error err;
    uint64_t u = 0;
    double f = 0;
    bool b = false;
    assert_ok(&err, qn_json_parse("f", text, strlen(text), &o, &err));
    assert_string_equal(qn_json_string(o, "s"), "x");
    assert_null(qn_json_string(o, "i"));
    assert_null(qn_json_string(o, "n"));
    assert_null(qn_json_string(o, "absent"));
    assert_null(qn_json_string(NULL, "s"));
    assert_true(qn_json_u64(o, "i", &u) && u == 3);
    assert_true(qn_json_u64(o, "whole", &u) && u == 4);
    assert_true(qn_json_u64(o, "big", &u) && u == INT64_MAX);
    assert_false(qn_json_u64(o, "neg", &u) || qn_json_u64(o, "f", &u) || qn_json_u64(o, "huge", &u));
    assert_false(qn_json_u64(o, "t", &u) || qn_json_u64(o, "s", &u) || qn_json_u64(o, "absent", &u));
    assert_true(qn_json_f64(o, "f", &f) && f == 2.5);
    assert_true(qn_json_f64(o, "neg", &f) && f == -1.0);
    assert_false(qn_json_f64(o, "s", &f) || qn_json_f64(o, "t", &f));
    assert_true(qn_json_bool(o, "t", &b) && b);
    assert_false(qn_json_bool(o, "i", &b) || qn_json_bool(o, "n", &b));
    json_decref(o);
}

static void files_are_limited_and_must_be_objects(void **state) {
    (void)state;
    char *dir = make_temp_dir();
    char *list = write_text(dir, "list.json", "[1]");
    char *object = write_text(dir, "object.json", "{\"a\":1}");
    json_t *value = NULL;
    qn_error err;
    assert_ok(&err, qn_json_load(list, 100, &value, &err));
    json_decref(value);
    assert_status(&err, qn_json_load_object(list, 100, &value, &err), QN_E_FORMAT);
    assert_message_has(&err, "list.json: a JSON object is expected");
    assert_status(&err, qn_json_load_object(object, 6, &value, &err), QN_E_RANGE);
    assert_ok(&err, qn_json_load_object(object, 7, &value, &err));
    json_decref(value);
    assert_status(&err, qn_json_load(dir, 100, &value, &err), QN_E_IO);
    assert_status(&err, qn_json_load("/nonexistent/x.json", 100, &value, &err), QN_E_NOT_FOUND);
    free(list);
    free(object);
    remove_temp_dir(dir);
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    enum { DEPTH = 100000 };
    char *text = malloc(DEPTH);
    json_t *value = NULL;
    qn_error err;
    memset(text, '[', DEPTH);
    assert_status(&err, qn_json_parse("f", text, DEPTH, &value, &err), QN_E_FORMAT);
    free(text);
}

#define BAD "\xef\xbf\xbd"

static void any_bytes_become_text(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t n;
        const char *wanted;
    } cases[] = {
        {"", 0, ""},
        {"abc", 2, "ab"},
        {"\xc3\xa9\xe2\x96\x81\xf0\x9f\x98\x80", 9, "\xc3\xa9\xe2\x96\x81\xf0\x9f\x98\x80"},
        {"a\xff"
         "b",
         3, "a" BAD "b"},
        {"\xc3", 1, BAD},
        {"\xe2\x96"
         "x",
         3, BAD BAD "x"},
        {"\xc0\x80", 2, BAD BAD},
        {"\xed\xa0\x80", 3, BAD BAD BAD},
        {"\xf4\x90\x80\x80", 4, BAD BAD BAD BAD},
        {"\xf4\x8f\xbf\xbf", 4, "\xf4\x8f\xbf\xbf"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *text = qn_json_text(cases[i].bytes, cases[i].n);
        assert_string_equal(json_string_value(text), cases[i].wanted);
        char *dumped = json_dumps(text, JSON_ENCODE_ANY);
        assert_non_null(dumped);
        free(dumped);
        json_decref(text);
    }
    json_t *nul = qn_json_text("a\0b", 3);
    assert_int_equal(json_string_length(nul), 3);
    json_decref(nul);
}

static void values_become_text(void **state) {
    (void)state;
    json_t *value = json_pack("{s:[i, s], s:{s:b}}", "a", 1, "\xc3\xa9\n", "b", "c", 1);
    qn_buffer b = {0};
    char *text = qn_json_dump(value, JSON_COMPACT);
    char *theirs = json_dumps(value, JSON_COMPACT);
    assert_string_equal(text, theirs);
    free(text);
    qn_buffer_text(&b, "= ");
    assert_true(qn_json_append(&b, value, JSON_COMPACT));
    text = qn_buffer_take_text(&b);
    assert_string_equal(text + 2, theirs);
    free(text);
    free(theirs);
    json_decref(value);
    assert_null(qn_json_dump(NULL, JSON_COMPACT));
    value = json_string_nocheck("\xff");
    assert_null(qn_json_dump(value, JSON_ENCODE_ANY));
    assert_false(qn_json_append(&b, value, JSON_ENCODE_ANY));
    assert_false(b.has_failed);
    qn_buffer_clear(&b);
    json_decref(value);
}

static void *no_block(size_t size) {
    (void)size;
    return NULL;
}

static void short_memory_leaves_no_name_out(void **state) {
    (void)state;
    json_t *value = json_pack("{s:i}", "name", 1);
    qn_buffer b = {.has_failed = true};
    assert_false(qn_json_append(&b, value, JSON_COMPACT));
    assert_null(b.data);
    json_malloc_t old_malloc = NULL;
    json_free_t old_free = NULL;
    json_get_alloc_funcs(&old_malloc, &old_free);
    json_set_alloc_funcs(no_block, old_free);
    char *text = qn_json_dump(value, JSON_COMPACT);
    json_set_alloc_funcs(old_malloc, old_free);
    assert_null(text); /* Jansson's list of the objects it is in */
    json_decref(value);
}

static void events_are_lines_of_json(void **state) {
    (void)state;
    const qn_event progress = {
        .kind = QN_EVENT_PROGRESS, .time_s = 1.5, .stage = "Verify", .bytes_done = 3, .bytes_total = 9, .eta_s = -1};
    const qn_event note = {.kind = QN_EVENT_NOTE, .message = "two\nlines \xff"};
    char *text = qn_event_json(&progress);
    assert_string_equal(
        text, "{\"event\":\"progress\",\"time\":1.5,\"stage\":\"Verify\",\"bytes_done\":3,\"bytes_total\":9}");
    free(text);
    text = qn_event_json(&note);
    assert_string_equal(text, "{\"event\":\"note\",\"time\":0.0,\"message\":\"two\\nlines \xef\xbf\xbd\"}");
    free(text);
    assert_string_equal(qn_event_kind_name(QN_EVENT_FAILED), "failed");
    assert_string_equal(qn_event_kind_name((qn_event_kind)99), "unknown");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bare_words_become_null),
        cmocka_unit_test(bytes_behind_a_zero_byte_are_refused),
        cmocka_unit_test(long_integers_become_reals),
        cmocka_unit_test(typed_look_ups),
        cmocka_unit_test(files_are_limited_and_must_be_objects),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(any_bytes_become_text),
        cmocka_unit_test(values_become_text),
        cmocka_unit_test(short_memory_leaves_no_name_out),
        cmocka_unit_test(events_are_lines_of_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
