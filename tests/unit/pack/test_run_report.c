/* SPDX-License-Identifier: MIT */
/* test_run_report.c: the JSON document of qn_list_run(), key by key. */
#include "support.h"

#include "base/json.h"
#include "quern/inspect.h"

static json_t *list_run(const char *dir) {
    char *text = NULL;
    json_t *value = NULL;
    qn_error err;
    assert_ok(&err, qn_list_run(dir, &text, &err));
    assert_ok(&err, qn_json_parse(dir, text, strlen(text), &value, &err));
    free(text);
    return value;
}

static void test_sample(void **state) {
    json_t *run = list_run(QN_SAMPLES_DIR "/miller-sft");
    const json_t *last = json_array_get(json_object_get(run, "checkpoints"), 3);
    char *text = json_dumps(last, JSON_REAL_PRECISION(15));
    (void)state;
    assert_string_equal(qn_json_string(run, "state"), "completed");
    assert_string_equal(qn_json_string(run, "kind"), "adapter");
    assert_string_equal(qn_json_string(run, "base"), "miller-base");
    assert_int_equal(json_integer_value(json_object_get(run, "best_step")), 400);
    assert_int_equal(json_integer_value(json_object_get(run, "max_steps")), 400);
    assert_int_equal(json_array_size(json_object_get(run, "checkpoints")), 4);
    assert_string_equal(text,
                        "{\"name\": \"checkpoint-400\", \"dir\": \"" QN_SAMPLES_DIR "/miller-sft/checkpoint-400\", "
                        "\"step\": 400, \"epoch\": 100.0, \"loss\": 0.0616, \"eval\": {\"eval_loss\": 0.0404}, "
                        "\"is_complete\": true, \"is_best\": true, \"is_last\": true, \"note\": null}");
    free(text);
    json_decref(run);
}

/* What is not known is null; a folder's name that is no UTF-8 does not break the document. */
static void test_unknown(void **state) {
    static const char *const nulls[] = {"base", "epoch", "best_step"};
    char *root = make_temp_dir();
    char *dir = join_path(root, "m\xff");
    (void)state;
    assert_int_equal(mkdir(dir, 0777), 0);
    free(write_text(dir, "config.json", "{}"));
    free(write_text(dir, "pytorch_model.bin", "PK"));
    json_t *run = list_run(dir);
    const json_t *c = json_array_get(json_object_get(run, "checkpoints"), 0);
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++) {
        assert_true(json_is_null(json_object_get(run, nulls[i])));
    }
    assert_string_equal(qn_json_string(run, "kind"), "full");
    assert_string_equal(qn_json_string(run, "state"), "unknown");
    assert_true(json_is_null(json_object_get(c, "loss")));
    assert_string_equal(qn_json_string(c, "name"), "m?");
    assert_true(json_is_object(json_object_get(c, "eval")));
    json_decref(run);
    free(dir);
    remove_temp_dir(root);
}

static void test_nothing_there(void **state) {
    char *text = NULL;
    qn_error err;
    (void)state;
    assert_status(&err, qn_list_run("/nonexistent/run", &text, &err), QN_E_NOT_FOUND);
    assert_message_has(&err, "/nonexistent/run");
    assert_null(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sample),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_nothing_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
