/* SPDX-License-Identifier: MIT */
/* test_type_rules.c: rules of types from arguments and files, and what is refused. */
#include "stream/type_rules.h"

#include "support.h"

static char *temp_dir;

static void rules_are_read_in_order(void **state) {
    (void)state;
    static const char *const texts[] = {"attn_v=Q6_K", "a=b=q8_0"};
    static const struct {
        const char *pattern;
        qn_dtype type;
    } wanted[] = {{"attn_v", QN_Q6_K},        {"a=b", QN_Q8_0}, {"^blk\\.0\\.attn_q\\.weight$", QN_Q4_K},
                  {"ffn_(up|gate)", QN_Q3_K}, {"#", QN_F16},    {"last", QN_BF16}};
    char *file = write_text(temp_dir, "types",
                            "# a comment = Q4_K\n\n^blk\\.0\\.attn_q\\.weight$=Q4_K\n  \t\r\n"
                            "  ffn_(up|gate)=q3_k \t\r\n  # another\n[#]=F16\nlast=bf16");
    qn_arena *arena = qn_arena_new();
    qn_type_rule *rules = NULL;
    uint64_t n = 0;
    qn_error err;
    assert_ok(&err, qn_type_rules_parse(arena, texts, 2, file, &rules, &n, &err));
    assert_int_equal(n, 6);
    for (size_t i = 0; i < 6; i++) {
        assert_string_equal(rules[i].pattern, i == 4 ? "[#]" : wanted[i].pattern);
        assert_int_equal(rules[i].type, wanted[i].type);
    }
    assert_ok(&err, qn_type_rules_parse(arena, NULL, 0, NULL, &rules, &n, &err));
    assert_int_equal(n, 0);
    char *empty = write_text(temp_dir, "empty", "");
    assert_ok(&err, qn_type_rules_parse(arena, NULL, 0, empty, &rules, &n, &err));
    assert_int_equal(n, 0);
    assert_status(&err, qn_type_rules_parse(arena, NULL, 0, "/nowhere/types", &rules, &n, &err), QN_E_NOT_FOUND);
    free(empty);
    free(file);
    qn_arena_free(arena);
}

static void broken_rules_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *rule;
        const char *told;
    } cases[] = {
        {"", "'' is no rule: REGEX=TYPE is expected"},
        {"=", "is no rule"},
        {"=Q4_K", "'=Q4_K' is no rule"},
        {"attn_v=", "'attn_v=' is no rule"},
        {"attn_v", "'attn_v' is no rule"},
        {"attn_v=Q4_J", "'Q4_J' is no type of tensors that quern writes; did you mean Q4_"},
        {"attn_v=q5", "did you mean Q5_0, Q5_1 or Q5_K?"},
        {"attn_v=Q4_K_M", "'Q4_K_M' is no type of tensors that quern writes; did you mean Q4_K"},
        {"attn_v=unheard-of-type", "'unheard-of-type' is no type of tensors that quern writes; `quern types`"},
        {"attn_v=Q8_K", "'Q8_K' is no type of tensors that quern writes; did you mean"},
        {"attn_v=I32", "'I32' is no type"},
        {"attn_(v=Q4_K", "pattern 'attn_(v' is no regular expression: missing closing parenthesis at offset 7"},
        {"[=Q4_K", "pattern '[' is no regular expression: "},
        {"*=Q4_K", "at offset 0"},
    };
    qn_arena *arena = qn_arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_type_rule *rules = NULL;
        uint64_t n = 0;
        qn_error err = {QN_OK, ""};
        char text[128];
        assert_status(&err, qn_type_rules_parse(arena, &cases[i].rule, 1, NULL, &rules, &n, &err), QN_E_USAGE);
        assert_message_has(&err, cases[i].told);
        assert_null(rules);
        if (i == 0) {
            continue; /* an empty line is fine */
        }
        (void)snprintf(text, sizeof text, "# types\nattn_q=Q4_K\n%s\n", cases[i].rule);
        char *file = write_text(temp_dir, "broken", text);
        assert_status(&err, qn_type_rules_parse(arena, NULL, 0, file, &rules, &n, &err), QN_E_USAGE);
        assert_message_has(&err, cases[i].told);
        assert_message_has(&err, "broken: line 3: ");
        free(file);
    }
    qn_type_rule *rules = NULL;
    uint64_t n = 0;
    qn_error err = {QN_OK, ""};
    char *file = write_file(temp_dir, "zero", "a\0b=Q4_K", 8);
    assert_status(&err, qn_type_rules_parse(arena, NULL, 0, file, &rules, &n, &err), QN_E_USAGE);
    assert_message_has(&err, "zero: line 1: holds a zero byte");
    free(file);
    qn_arena_free(arena);
}

static void the_first_rule_is_found(void **state) {
    (void)state;
    static const qn_type_rule rules[] = {{"ATTN_V", QN_Q6_K}, {"attn", QN_Q5_K}, {"^output\\.weight$", QN_Q8_0}};
    static const struct {
        const char *name;
        int rule; /* -1: none */
    } cases[] = {{"blk.0.attn_v.weight", 0},
                 {"blk.0.Attn_q.weight", 1},
                 {"output.weight", 2},
                 {"output.weight2", -1},
                 {"ffn", -1},
                 {"", -1}};
    qn_type_matcher *matcher = NULL;
    qn_error err;
    assert_ok(&err, qn_type_matcher_new(rules, 3, &matcher, &err));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const qn_type_rule *found = NULL;
        assert_ok(&err, qn_type_matcher_find(matcher, cases[i].name, &found, &err));
        assert_ptr_equal(found, cases[i].rule < 0 ? NULL : &rules[cases[i].rule]);
    }
    qn_type_matcher_free(matcher);
    qn_type_matcher_free(NULL);
}

static int set_up(void **state) {
    (void)state;
    temp_dir = make_temp_dir();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_temp_dir(temp_dir);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_read_in_order),
        cmocka_unit_test(broken_rules_are_refused),
        cmocka_unit_test(the_first_rule_is_found),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
