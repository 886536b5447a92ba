/* SPDX-License-Identifier: MIT */
/* test_speed.c: a file is opened once for all tests of its speed, and all of their tokens are counted. */
#include "engine/engine_case.h"

#include "base/json.h"
#include "quern/bench.h"

#include <unistd.h>

/* What was told; the file goes when the tests begin. */
typedef struct told {
    const char *path;
    uint64_t n_tokens;
} told;

static void on_event(void *user, const qn_event *event) {
    told *t = user;
    if (event->kind == QN_EVENT_STAGE) {
        t->n_tokens = event->tokens_total;
        assert_int_equal(unlink(t->path), 0);
    } else if (event->kind == QN_EVENT_PROGRESS) {
        assert_int_equal(event->tokens_total, t->n_tokens);
        assert_true(event->tokens_done < t->n_tokens);
    }
}

static void test_all_settings(void **state) {
    static const uint64_t threads[] = {1, 2};
    static const uint64_t batches[] = {7, 16};
    static const uint64_t prompts[] = {20, 0};
    static const uint64_t answers[] = {3};
    engine_case c;
    qn_error err;
    char *text = NULL;
    json_t *document = NULL;
    (void)state;
    begin_case(&c, family_named("llama"), QN_F32, NULL, NULL);
    told seen = {.path = c.gguf};
    qn_job *job = qn_job_new(1, on_event, &seen);
    const qn_bench_options options = {.path = c.gguf,
                                      .prompts = {prompts, 2},
                                      .answers = {answers, 1},
                                      .threads = {threads, 2},
                                      .batches = {batches, 2},
                                      .n_repetitions = 1};
    assert_ok(&err, qn_bench(&options, job, &text, &err));
    assert_int_equal(seen.n_tokens, 2 * (2 * 20 + 3) * 2);
    assert_ok(&err, qn_json_parse("bench", text, strlen(text), &document, &err));
    assert_int_equal(json_array_size(json_object_get(document, "tests")), 2 * (2 + 1));
    json_decref(document);
    free(text);
    qn_job_free(job);
    end_case(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
