/* SPDX-License-Identifier: MIT */
/* test_compare.c: reports of pairs of models that differ in one known way, or not at all. */
#include "pack/pack_case.h"

#include "quern/inspect.h"

#include <math.h>

enum { N_TENSORS = 3 + 9 * TINY_LAYER };

static json_t *compare(const pack_case *c, const char *a, const char *b) {
    char *text = NULL;
    json_t *report = NULL;
    qn_error err;
    assert_ok(&err, qn_compare(a, b, c->job, &text, &err));
    assert_ok(&err, qn_json_parse("report", text, strlen(text), &report, &err));
    free(text);
    return report;
}

static double number(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static size_t length(const json_t *object, const char *key) {
    const json_t *list = json_object_get(object, key);
    assert_true(json_is_array(list));
    return json_array_size(list);
}

static const json_t *row_named(const json_t *report, const char *name) {
    const json_t *rows = json_object_get(report, "tensors");
    for (size_t i = 0; i < json_array_size(rows); i++) {
        if (strcmp(qn_json_string(json_array_get(rows, i), "name"), name) == 0) {
            return json_array_get(rows, i);
        }
    }
    fail();
    return NULL;
}

/* Every tensor of both is there and equal. */
static void check_equal(const json_t *report) {
    assert_int_equal(number(report, "n_tensors"), N_TENSORS);
    assert_int_equal(number(report, "n_equal"), N_TENSORS);
    assert_true(number(report, "rmse") == 0);
    assert_true(number(report, "max_abs") == 0);
    assert_int_equal(length(report, "only_in_a") + length(report, "only_in_b") + length(report, "shape_differs"), 0);
    for (size_t i = 0; i < N_TENSORS; i++) {
        const json_t *row = json_array_get(json_object_get(report, "tensors"), i);
        assert_true(json_is_true(json_object_get(row, "is_equal")));
        assert_true(number(row, "rmse") == 0 && number(row, "relative_rmse") == 0 && number(row, "max_abs") == 0);
        assert_true(fabs(number(row, "cosine") - 1) < 1e-12);
    }
}

/* A folder beside the base with a changed list, as a model. */
static char *other_model(const pack_case *c, tiny_list *list) {
    char *dir = make_dir(c->root, "other");
    tiny_write_model(list, dir, NULL);
    return dir;
}

static void test_equal(void **state) {
    pack_case c;
    tiny_list list;
    (void)state;
    begin_case(&c);
    tiny_llama(&list);
    char *other = other_model(&c, &list);
    json_t *report = compare(&c, c.base, other);
    check_equal(report);
    assert_string_equal(qn_json_string(report, "a"), c.base);
    assert_string_equal(qn_json_string(report, "b"), other);
    assert_string_equal(qn_json_string(row_named(report, "output.weight"), "type_a"), "BF16");
    json_decref(report);
    report = compare(&c, c.base, c.base);
    check_equal(report);
    json_decref(report);
    free(other);
    end_case(&c);
}

/* A folder and the float32 GGUF of it: the same numbers, regrouped rows and all. */
static void test_folder_and_gguf(void **state) {
    pack_case c;
    qn_error err;
    (void)state;
    begin_case(&c);
    const qn_pack_options options = {.base = c.base, .types = "F32,BF16,Q8_0,Q4_0", .out_dir = c.out, .no_sync = true};
    assert_ok(&err, pack_all(&options, c.job, &err));
    char *f32 = join_path(c.out, "base-F32.gguf");
    char *bf16 = join_path(c.out, "base-BF16.gguf");
    char *q8 = join_path(c.out, "base-Q8_0.gguf");
    char *q4 = join_path(c.out, "base-Q4_0.gguf");
    const char *const equal[3][2] = {{c.base, f32}, {f32, c.base}, {bf16, f32}};
    for (size_t i = 0; i < 3; i++) {
        json_t *report = compare(&c, equal[i][0], equal[i][1]);
        check_equal(report);
        json_decref(report);
    }
    json_t *near = compare(&c, f32, q8);
    json_t *far = compare(&c, f32, q4);
    assert_int_equal(number(near, "n_equal"), 5); /* the norms */
    assert_true(number(near, "rmse") > 0 && number(near, "rmse") < 0.001);
    assert_true(number(far, "rmse") > 4 * number(near, "rmse"));
    const json_t *row = row_named(near, "blk.0.ffn_up.weight");
    assert_string_equal(qn_json_string(row, "type_a"), "F32");
    assert_string_equal(qn_json_string(row, "type_b"), "Q8_0");
    assert_true(number(row, "relative_rmse") > 0.0005 && number(row, "relative_rmse") < 0.02);
    assert_true(number(row, "cosine") > 0.999 && number(row, "cosine") < 1);
    assert_true(number(row_named(far, "blk.0.ffn_up.weight"), "relative_rmse") < 0.2);
    json_decref(near);
    json_decref(far);
    free(f32);
    free(bf16);
    free(q8);
    free(q4);
    end_case(&c);
}

/* One tensor is another: it comes first, and the numbers are those of its values. */
static void test_one_changed(void **state) {
    pack_case c;
    tiny_list list;
    (void)state;
    begin_case(&c);
    tiny_llama(&list);
    tiny_at(&list, "model.layers.1.mlp.up_proj.weight")->seed = 1;
    char *other = other_model(&c, &list);
    json_t *report = compare(&c, c.base, other);
    const json_t *first = json_array_get(json_object_get(report, "tensors"), 0);
    assert_int_equal(number(report, "n_equal"), N_TENSORS - 1);
    assert_string_equal(qn_json_string(first, "name"), "blk.1.ffn_up.weight");
    assert_true(json_is_false(json_object_get(first, "is_equal")));
    /* two uniform variables within 0.1: root mean square of the difference 0.1 * sqrt(2/3), cosine about 0 */
    assert_true(fabs(number(first, "rmse") - 0.0816) < 0.005);
    assert_true(fabs(number(first, "relative_rmse") - 1.414) < 0.1);
    assert_true(fabs(number(first, "cosine")) < 0.1);
    assert_true(number(first, "max_abs") > 0.15 && number(first, "max_abs") <= 0.2);
    assert_true(number(report, "max_abs") == number(first, "max_abs"));
    const double n_all = 2.0 * TINY_VOCAB * TINY_EMBD + 2.0 * (3 * 64 * 32 + 2 * 32 * 32 + 2 * 16 * 32 + 64) + 32;
    const double wanted = number(first, "rmse") * sqrt(64 * 32 / n_all);
    assert_true(fabs(number(report, "rmse") - wanted) < 1e-9);
    json_decref(report);
    free(other);
    end_case(&c);
}

/* Models of other sizes: what has no partner, or one of another shape, is listed and the rest compared. */
static void test_missing_and_other_shapes(void **state) {
    pack_case c;
    tiny_list list;
    (void)state;
    begin_case(&c);
    tiny_llama(&list);
    tiny_at(&list, "model.embed_tokens.weight")->dims[0] = 2000;
    tiny_remove(&list, "lm_head.weight");
    tiny_add(&list, "model.layers.0.self_attn.q_proj.bias", "F32", 1, 32, 1);
    char *other = other_model(&c, &list);
    for (int turned = 0; turned < 2; turned++) {
        json_t *report = compare(&c, turned == 0 ? c.base : other, turned == 0 ? other : c.base);
        const json_t *only = json_object_get(report, turned == 0 ? "only_in_a" : "only_in_b");
        const json_t *only_other = json_object_get(report, turned == 0 ? "only_in_b" : "only_in_a");
        const json_t *differs = json_array_get(json_object_get(report, "shape_differs"), 0);
        assert_int_equal(json_array_size(only), 1);
        assert_string_equal(json_string_value(json_array_get(only, 0)), "output.weight");
        assert_int_equal(json_array_size(only_other), 1);
        assert_string_equal(json_string_value(json_array_get(only_other, 0)), "blk.0.attn_q.bias");
        assert_int_equal(length(report, "shape_differs"), 1);
        assert_string_equal(qn_json_string(differs, "name"), "token_embd.weight");
        assert_string_equal(qn_json_string(differs, turned == 0 ? "a" : "b"), "[2048, 32]");
        assert_string_equal(qn_json_string(differs, turned == 0 ? "b" : "a"), "[2000, 32]");
        assert_int_equal(number(report, "n_tensors"), N_TENSORS - 2);
        assert_int_equal(number(report, "n_equal"), N_TENSORS - 2);
        assert_int_equal(length(report, "tensors"), N_TENSORS - 2);
        json_decref(report);
    }
    free(other);
    end_case(&c);
}

/* NaN: equal to itself bit by bit; against a number it is worst of all, and JSON says null. */
static void test_nan(void **state) {
    pack_case c;
    tiny_list list;
    (void)state;
    begin_case(&c);
    tiny_llama(&list);
    tiny_at(&list, "model.layers.1.mlp.up_proj.weight")->nan_at = 5;
    tiny_at(&list, "model.layers.0.mlp.up_proj.weight")->seed = 1;
    char *other = other_model(&c, &list);
    json_t *report = compare(&c, other, other);
    check_equal(report);
    json_decref(report);
    for (int turned = 0; turned < 2; turned++) {
        report = compare(&c, turned == 0 ? c.base : other, turned == 0 ? other : c.base);
        const json_t *rows = json_object_get(report, "tensors");
        assert_string_equal(qn_json_string(json_array_get(rows, 0), "name"), "blk.1.ffn_up.weight");
        assert_string_equal(qn_json_string(json_array_get(rows, 1), "name"), "blk.0.ffn_up.weight");
        assert_true(json_is_null(json_object_get(json_array_get(rows, 0), "rmse")));
        assert_true(json_is_null(json_object_get(report, "rmse")));
        assert_int_equal(number(report, "n_equal"), N_TENSORS - 2);
        json_decref(report);
    }
    free(other);
    end_case(&c);
}

/* The order, and every digit, do not depend on threads. */
static void test_threads(void **state) {
    pack_case c;
    tiny_list list;
    char *texts[3] = {NULL};
    (void)state;
    begin_case(&c);
    tiny_llama(&list);
    for (size_t i = 0; i < list.n; i++) {
        list.tensors[i].seed = (unsigned)i % 3;
    }
    char *other = other_model(&c, &list);
    for (unsigned i = 0; i < 3; i++) {
        qn_job *job = qn_job_new(1 + 3 * i, NULL, NULL);
        qn_error err;
        assert_ok(&err, qn_compare(c.base, other, job, &texts[i], &err));
        qn_job_free(job);
    }
    assert_string_equal(texts[0], texts[1]);
    assert_string_equal(texts[0], texts[2]);
    for (unsigned i = 0; i < 3; i++) {
        free(texts[i]);
    }
    free(other);
    end_case(&c);
}

static void test_failures(void **state) {
    pack_case c;
    char *text = NULL;
    qn_error err;
    (void)state;
    begin_case(&c);
    assert_status(&err, qn_compare("/nowhere/a", c.base, c.job, &text, &err), QN_E_NOT_FOUND);
    assert_message_has(&err, "/nowhere/a");
    assert_status(&err, qn_compare(c.base, "/nowhere/b", c.job, &text, &err), QN_E_NOT_FOUND);
    assert_message_has(&err, "/nowhere/b");
    char *junk = write_text(c.root, "junk.gguf", "not a GGUF file");
    assert_status(&err, qn_compare(c.base, junk, c.job, &text, &err), QN_E_FORMAT);
    assert_message_has(&err, junk);
    qn_job_cancel(c.job);
    assert_status(&err, qn_compare(c.base, c.base, c.job, &text, &err), QN_E_INTERRUPTED);
    assert_null(text);
    free(junk);
    end_case(&c);
}

/* Names of folders may be any bytes. */
static void test_names_that_are_no_text(void **state) {
    pack_case c;
    tiny_list list;
    (void)state;
    begin_case(&c);
    tiny_llama(&list);
    char *odd = make_dir(c.root, "caf\xe9");
    tiny_write_model(&list, odd, NULL);
    json_t *report = compare(&c, c.base, odd);
    check_equal(report);
    assert_non_null(strstr(qn_json_string(report, "b"), "caf\xEF\xBF\xBD"));
    json_decref(report);
    free(odd);
    end_case(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal),       cmocka_unit_test(test_folder_and_gguf),
        cmocka_unit_test(test_one_changed), cmocka_unit_test(test_missing_and_other_shapes),
        cmocka_unit_test(test_nan),         cmocka_unit_test(test_threads),
        cmocka_unit_test(test_failures),    cmocka_unit_test(test_names_that_are_no_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
