/* SPDX-License-Identifier: MIT */
/* test_chat.c: what a conversation is told while it reads, when it is stopped there, and grammars by answer. */
#include "engine/engine_case.h"

#include "quern/chat.h"

#include <time.h>

/* What was told of prompts. */
typedef struct told {
    qn_chat *chat;
    uint64_t n_stages;
    uint64_t n_done;
    uint64_t n_total;
} told;

static void on_event(void *user, const qn_event *event) {
    told *t = user;
    if (event->stage == NULL || strcmp(event->stage, "Prompt") != 0) {
        return;
    }
    if (event->kind == QN_EVENT_STAGE) {
        t->n_stages++;
        t->n_done = 0;
    }
    assert_true(event->tokens_done >= t->n_done && event->tokens_done <= event->tokens_total);
    t->n_done = event->tokens_done;
    t->n_total = event->tokens_total;
}

typedef struct chat_case {
    engine_case model;
    told told;
    qn_job *job;
    qn_chat *chat;
} chat_case;

static void begin_chat(chat_case *c, qn_event_fn *fn, const char *grammar) {
    qn_error err;
    *c = (chat_case){.chat = NULL};
    begin_case(&c->model, family_named("llama"), QN_F32, NULL, NULL);
    c->job = qn_job_new(1, fn, &c->told);
    assert_non_null(c->job);
    const qn_chat_options options = {.path = c->model.gguf,
                                     .n_batch = CASE_BATCH,
                                     .n_predict = 8,
                                     .sampling = qn_chat_sampling_default(),
                                     .grammar = grammar};
    assert_ok(&err, qn_chat_open(&options, c->job, &c->chat, &err));
    c->told.chat = c->chat;
}

static void end_chat(chat_case *c) {
    qn_chat_free(c->chat);
    qn_job_free(c->job);
    end_case(&c->model);
}

static const char prompt[] = "A quern is a mill for grinding grain by hand, of two stones; one of them turns.";

/* Each prompt is told of from its beginning to its end, without what is kept of the one before. */
static void test_prompts(void **state) {
    chat_case c;
    qn_chat_stats stats;
    qn_error err;
    (void)state;
    begin_chat(&c, on_event, NULL);
    assert_ok(&err, qn_chat_complete(c.chat, prompt, NULL, NULL, &stats, &err));
    assert_true(stats.n_prompt > 2 * CASE_BATCH);
    assert_int_equal(c.told.n_done, stats.n_prompt);
    assert_int_equal(c.told.n_total, stats.n_prompt);
    assert_ok(&err, qn_chat_complete(c.chat, prompt, NULL, NULL, &stats, &err));
    assert_int_equal(stats.n_prompt, 1);
    assert_int_equal(c.told.n_total, 1);
    assert_int_equal(c.told.n_stages, 2);
    end_chat(&c);
}

/* Holds the reading up before its first batch, and stops it where that is told of. */
static void stop_early(void *user, const qn_event *event) {
    const struct timespec nap = {.tv_nsec = 150000000};
    told *t = user;
    if (event->stage != NULL && strcmp(event->stage, "Prompt") == 0) {
        if (event->kind == QN_EVENT_STAGE) {
            (void)nanosleep(&nap, NULL);
        } else {
            qn_chat_stop(t->chat);
        }
    }
}

/* Stopped within its first batch, a prompt leaves nothing behind. */
static void test_stop(void **state) {
    chat_case c;
    qn_chat_stats stats;
    qn_error err;
    (void)state;
    begin_chat(&c, stop_early, NULL);
    assert_ok(&err, qn_chat_say(c.chat, prompt, NULL, NULL, &stats, &err));
    assert_int_equal(stats.end, QN_CHAT_END_ASKED);
    assert_int_equal(stats.n_prompt, 0);
    assert_int_equal(stats.n_answer, 0);
    assert_ok(&err, qn_chat_say(c.chat, prompt, NULL, NULL, &stats, &err));
    assert_int_equal(stats.n_reused, 0);
    end_chat(&c);
}

static bool keep_text(void *user, const char *text, size_t n) {
    qn_buffer_append(user, text, n);
    return true;
}

static void expect_answer(qn_chat *chat, const char *wanted) {
    qn_buffer answer = {0};
    qn_error err;
    assert_ok(&err, qn_chat_complete(chat, prompt, keep_text, &answer, NULL, &err));
    assert_int_equal(answer.len, strlen(wanted));
    assert_memory_equal(answer.data, wanted, answer.len);
    qn_buffer_clear(&answer);
}

/* A grammar of more ways to begin than are followed at once; it is well formed. */
static char *ambiguous_grammar(void) {
    qn_buffer text = {0};
    qn_buffer_text(&text, "root ::= \"a\"");
    for (int i = 0; i < 5000; i++) {
        qn_buffer_printf(&text, " | \"a%d\"", i);
    }
    char *grammar = qn_buffer_take_text(&text);
    assert_non_null(grammar);
    return grammar;
}

/* What cannot be followed leaves what there was: no grammar, one, and one in the middle of an answer. */
static void test_refused_grammars(void **state) {
    chat_case c;
    qn_chat_stats stats;
    qn_error err;
    char *ambiguous = ambiguous_grammar();
    (void)state;
    begin_chat(&c, NULL, NULL);
    assert_status(&err, qn_chat_follow(c.chat, ambiguous, NULL, &err), QN_E_RANGE);
    assert_ok(&err, qn_chat_complete(c.chat, prompt, NULL, NULL, &stats, &err));
    assert_int_equal(stats.n_answer, 8);
    assert_ok(&err, qn_chat_follow(c.chat, "root ::= \"y\"*", NULL, &err));
    assert_ok(&err, qn_chat_complete(c.chat, prompt, NULL, NULL, &stats, &err));
    assert_status(&err, qn_chat_follow(c.chat, ambiguous, NULL, &err), QN_E_RANGE);
    assert_ok(&err, qn_chat_follow(c.chat, "root ::= \"yes\"", NULL, &err));
    assert_status(&err, qn_chat_follow(c.chat, ambiguous, NULL, &err), QN_E_RANGE);
    expect_answer(c.chat, "yes");
    end_chat(&c);
    free(ambiguous);
}

/* Grammars and schemas from answer to answer; one that is refused leaves what there was. */
static void test_grammars(void **state) {
    chat_case c;
    qn_error err;
    (void)state;
    begin_chat(&c, NULL, NULL);
    assert_ok(&err, qn_chat_follow(c.chat, "root ::= \"yes\"", NULL, &err));
    expect_answer(c.chat, "yes");
    assert_ok(&err, qn_chat_follow(c.chat, NULL, "{\"const\": true}", &err));
    expect_answer(c.chat, "true");
    assert_status(&err, qn_chat_follow(c.chat, "root ::= nothing", NULL, &err), QN_E_FORMAT);
    assert_status(&err, qn_chat_follow(c.chat, NULL, "{\"multipleOf\": 3}", &err), QN_E_UNSUPPORTED);
    assert_status(&err, qn_chat_follow(c.chat, "root ::= \"a\"", "{}", &err), QN_E_USAGE);
    expect_answer(c.chat, "true");
    assert_ok(&err, qn_chat_follow(c.chat, NULL, NULL, &err));
    qn_chat_stats stats;
    assert_ok(&err, qn_chat_complete(c.chat, prompt, NULL, NULL, &stats, &err));
    assert_int_equal(stats.n_answer, 8);
    end_chat(&c);
    begin_chat(&c, NULL, "root ::= \"no\"");
    expect_answer(c.chat, "no");
    assert_ok(&err, qn_chat_follow(c.chat, "root ::= \"yes\"", NULL, &err));
    expect_answer(c.chat, "yes");
    end_chat(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prompts),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_grammars),
        cmocka_unit_test(test_refused_grammars),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
