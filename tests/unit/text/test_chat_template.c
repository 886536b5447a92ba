/* SPDX-License-Identifier: MIT */
/* test_chat_template.c: templates from each of their places, by folder, and what is refused. */
#include "vocab_case.h"

#include <sys/stat.h>

typedef struct template_case {
    const char *what;
    const char *config[2];   /* tokenizer_config.json of the folders */
    const char *jinja[2];    /* chat_template.jinja */
    const char *json[2];     /* chat_template.json */
    const char *main;        /* NULL: none */
    const char *named[2][2]; /* name, text */
} template_case;

static const template_case cases[] = {
    {"none", {"{}"}, {NULL}, {NULL}, NULL, {{NULL}}},
    {"a text", {"{\"chat_template\":\"T1\"}"}, {"T2"}, {"{\"chat_template\":\"T3\"}"}, "T1", {{NULL}}},
    {"a file", {"{}"}, {"T2"}, {"{\"chat_template\":\"T3\"}"}, "T2", {{NULL}}},
    {"a JSON file", {"{\"chat_template\":null}"}, {NULL}, {"{\"chat_template\":\"T3\"}"}, "T3", {{NULL}}},
    {"the first folder wins", {NULL, "{\"chat_template\":\"T1\"}"}, {"T2"}, {NULL}, "T2", {{NULL}}},
    {"the second folder has one", {"{}", "{\"chat_template\":\"T1\"}"}, {NULL}, {NULL}, "T1", {{NULL}}},
    {"a list",
     {"{\"chat_template\":[{\"name\":\"default\",\"template\":\"T1\"},{\"name\":\"tool-use\",\"template\":\"T4\"},"
      "{\"name\":\"rag\",\"template\":\"T5\"}]}"},
     {NULL},
     {NULL},
     "T1",
     {{"tooluse", "T4"}, {"rag", "T5"}}},
    {"names that are empty or taken",
     {"{\"chat_template\":[{\"name\":\"rag\",\"template\":\"T1\"},{\"name\":\"!\",\"template\":\"T4\"},"
      "{\"name\":\"r.ag\",\"template\":\"T5\"}]}"},
     {NULL},
     {NULL},
     NULL,
     {{"rag", "T1"}}},
};

static void check_named(const qn_vocab *v, const template_case *t) {
    uint64_t n = 0;
    for (; n < 2 && t->named[n][0] != NULL; n++) {
        assert_true(n < v->n_templates);
        assert_true(qn_text_is(v->templates[n].name, t->named[n][0]));
        assert_true(qn_text_is(v->templates[n].text, t->named[n][1]));
    }
    assert_int_equal(v->n_templates, n);
}

static void finds_templates(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const template_case *t = &cases[i];
        vocab_case c;
        case_begin(&c);
        c.traits.prefers_spm = true;
        spm_small(&c, 1);
        for (int d = 0; d < 2; d++) {
            if (t->config[d] != NULL) {
                case_file(&c, d, "tokenizer_config.json", t->config[d]);
            }
            if (t->jinja[d] != NULL) {
                case_file(&c, d, "chat_template.jinja", t->jinja[d]);
            }
            if (t->json[d] != NULL) {
                case_file(&c, d, "chat_template.json", t->json[d]);
            }
        }
        assert_ok(&c.err, case_open(&c));
        const bool is_found = c.vocab.chat_template.bytes != NULL;
        if (is_found != (t->main != NULL) || (is_found && !qn_text_is(c.vocab.chat_template, t->main))) {
            print_error("%s: found '%s'\n", t->what, is_found ? c.vocab.chat_template.bytes : "(none)");
            fail();
        }
        check_named(&c.vocab, t);
        case_end(&c);
    }
}

static void reads_additional_files(void **state) {
    (void)state;
    vocab_case c;
    case_begin(&c);
    c.traits.prefers_spm = true;
    spm_small(&c, 0);
    char *folder = join_path(c.dirs[0], "additional_chat_templates");
    assert_int_equal(mkdir(folder, 0700), 0);
    free(write_text(folder, "tool_use.jinja", "T2"));
    free(write_text(folder, "default.jinja", "never"));
    free(write_text(folder, "README.md", "not a template"));
    case_file(&c, 0, "chat_template.jinja", "T1");
    assert_ok(&c.err, case_open(&c));
    assert_true(qn_text_is(c.vocab.chat_template, "T1"));
    assert_int_equal(c.vocab.n_templates, 1);
    assert_true(qn_text_is(c.vocab.templates[0].name, "tool_use"));
    assert_true(qn_text_is(c.vocab.templates[0].text, "T2"));
    free(folder);
    case_end(&c);
}

static void refuses_wrong_types(void **state) {
    (void)state;
    static const char *const configs[] = {
        "{\"chat_template\":7}",
        "{\"chat_template\":{\"default\":\"T\"}}",
        "{\"chat_template\":[\"T\"]}",
        "{\"chat_template\":[{\"name\":\"default\"}]}",
        "{\"chat_template\":[{\"name\":1,\"template\":\"T\"}]}",
    };
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        vocab_case c;
        case_begin(&c);
        c.traits.prefers_spm = true;
        spm_small(&c, 0);
        case_file(&c, 0, "tokenizer_config.json", configs[i]);
        assert_status(&c.err, case_open(&c), QN_E_FORMAT);
        assert_message_has(&c.err, "tokenizer_config.json");
        assert_message_has(&c.err, "chat_template");
        case_end(&c);
    }
}

static void writes_keys_in_order(void **state) {
    (void)state;
    static const char *const keys[] = {"tokenizer.chat_template.rag", "tokenizer.chat_templates",
                                       "tokenizer.chat_template"};
    vocab_case c;
    case_begin(&c);
    c.traits.prefers_spm = true;
    spm_small(&c, 0);
    case_file(
        &c, 0, "tokenizer_config.json",
        "{\"chat_template\":[{\"name\":\"default\",\"template\":\"T1\"},{\"name\":\"rag\",\"template\":\"T2\"}]}");
    assert_ok(&c.err, case_open(&c));
    qn_meta meta = qn_meta_new(c.arena);
    qn_vocab_to_meta(&c.vocab, &meta);
    assert_ok(&c.err, qn_meta_status(&meta, &c.err));
    for (uint64_t i = 0; i < 3; i++) {
        assert_string_equal(meta.entries[meta.n - 3 + i].key, keys[i]);
    }
    assert_string_equal(qn_meta_string(&meta, keys[0]), "T2");
    assert_string_equal(qn_meta_string(&meta, keys[2]), "T1");
    const qn_meta_value *names = qn_meta_find(&meta, keys[1]);
    assert_int_equal(names->as.array.n, 1);
    assert_true(qn_text_is(((const qn_text *)names->as.array.items)[0], "rag"));
    case_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_templates),
        cmocka_unit_test(reads_additional_files),
        cmocka_unit_test(refuses_wrong_types),
        cmocka_unit_test(writes_keys_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
