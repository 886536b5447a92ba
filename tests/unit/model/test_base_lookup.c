/* SPDX-License-Identifier: MIT */
/* test_base_lookup.c: finding a base model near an adapter and in a Hugging Face cache built for the purpose. */
#include "support.h"

#include "model/training_run.h"

#include <fcntl.h>
#include <time.h>

static const char *const variables[] = {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"};
enum { N_VARIABLES = sizeof variables / sizeof variables[0] };

typedef struct fixture {
    char *root;
    qn_arena *arena;
    char *saved[N_VARIABLES];
} fixture;

static int set_up(void **state) {
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->root = make_temp_dir();
    f->arena = qn_arena_new();
    for (size_t i = 0; i < N_VARIABLES; i++) {
        const char *value = getenv(variables[i]);
        f->saved[i] = value == NULL ? NULL : strdup(value);
        (void)unsetenv(variables[i]);
    }
    *state = f;
    return 0;
}

static int tear_down(void **state) {
    fixture *f = *state;
    for (size_t i = 0; i < N_VARIABLES; i++) {
        if (f->saved[i] != NULL) {
            (void)setenv(variables[i], f->saved[i], 1);
        }
        free(f->saved[i]);
    }
    qn_arena_free(f->arena);
    remove_temp_dir(f->root);
    free(f);
    return 0;
}

static void make(const fixture *f, const char *path, const char *text) {
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        char name[256];
        (void)snprintf(name, sizeof name, "%.*s", (int)(slash - path), path);
        char *dir = join_path(f->root, name);
        (void)mkdir(dir, 0777);
        free(dir);
    }
    free(write_text(f->root, path, text));
}

static void set_age(const fixture *f, const char *path, int64_t age_s) {
    char *full = join_path(f->root, path);
    const struct timespec when = {time(NULL) - age_s, 0};
    const struct timespec times[2] = {when, when};
    assert_int_equal(utimensat(AT_FDCWD, full, times, 0), 0);
    free(full);
}

static void set_variable(const fixture *f, const char *name, const char *below) {
    char *full = join_path(f->root, below);
    assert_int_equal(setenv(name, full, 1), 0);
    free(full);
}

/* Looks for name near root/near; found is relative to the root, NULL when nothing must be found. */
static void check(const fixture *f, const char *name, const char *near_dir, const char *found) {
    char *near_full = join_path(f->root, near_dir);
    char *wanted = found == NULL ? NULL : join_path(f->root, found);
    const char *dir = NULL;
    qn_error err;
    if (found == NULL) {
        assert_status(&err, qn_find_base(f->arena, name, near_full, "pass it.", &dir, &err), QN_E_NOT_FOUND);
        assert_message_has(&err, "\npass it.");
    } else {
        assert_ok(&err, qn_find_base(f->arena, name, near_full, "pass it.", &dir, &err));
        assert_string_equal(dir, wanted);
    }
    free(near_full);
    free(wanted);
}

static void test_nearby(void **state) {
    static const struct {
        const char *name;
        const char *near_dir;
        const char *found;
    } cases[] = {
        {"base", "a/b/c/run/checkpoint-1", "a/b/c/base"},      /* beside the run */
        {"base", "a/b/c/run", "a/b/c/base"},                   /* beside the adapter */
        {"far", "a/b/c/run/checkpoint-1", "a/far"},            /* three parents up */
        {"too-far", "a/b/c/run/checkpoint-1", NULL},           /* four */
        {"org/base", "a/b/c/run/checkpoint-1", "a/b/c/base"},  /* the name without its owner */
        {"org/own", "a/b/c/run/checkpoint-1", "a/b/org/own"},  /* and with it */
        {"/home/else/models/base", "a/b/c/run", "a/b/c/base"}, /* another machine's path */
        {"../../models/base/", "a/b/c/run", NULL},             /* ends in a slash: no last component */
        {"../../models/base", "a/b/c/run", "a/b/c/base"},
        {"empty", "a/b/c/run", NULL}, /* a folder without config.json */
        {"..", "a/b/c/run", NULL},
        {".", "a/b/c/run", NULL},
        {"", "a/b/c/run", NULL},
        {"no\nsuch", "a/b/c/run", NULL},
    };
    const fixture *f = *state;
    make(f, "a/b/c/run/checkpoint-1/adapter_config.json", "{}");
    make(f, "a/b/c/base/config.json", "{}");
    make(f, "a/b/org/own/config.json", "{}");
    make(f, "a/far/config.json", "{}");
    make(f, "too-far/config.json", "{}");
    make(f, "a/b/c/empty/weights", "");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check(f, cases[i].name, cases[i].near_dir, cases[i].found);
    }
}

static void test_as_given(void **state) {
    const fixture *f = *state;
    make(f, "elsewhere/model/config.json", "{}");
    make(f, "run/x", "");
    char *name = join_path(f->root, "elsewhere/model");
    check(f, name, "run", "elsewhere/model");
    free(name);
}

/* models--org--name with two snapshots; files are links into blobs, as the cache makes them. */
static void make_cache(const fixture *f, const char *hub) {
    char path[256];
    char *link = NULL;
    (void)snprintf(path, sizeof path, "%s/models--org--name/blobs/123", hub);
    make(f, path, "{}");
    (void)snprintf(path, sizeof path, "%s/models--org--name/snapshots/aaa/x", hub);
    make(f, path, "");
    (void)snprintf(path, sizeof path, "%s/models--org--name/snapshots/bbb/config.json", hub);
    make(f, path, "{}");
    (void)snprintf(path, sizeof path, "%s/models--org--name/snapshots/ccc/x", hub);
    make(f, path, "");
    (void)snprintf(path, sizeof path, "%s/models--org--name/snapshots/aaa/config.json", hub);
    link = join_path(f->root, path);
    assert_int_equal(symlink("../../blobs/123", link), 0);
    free(link);
    (void)snprintf(path, sizeof path, "%s/models--org--name/snapshots/aaa", hub);
    set_age(f, path, 1000);
    (void)snprintf(path, sizeof path, "%s/models--org--name/snapshots/bbb", hub);
    set_age(f, path, 100);
}

static void test_cache(void **state) {
    static const struct {
        const char *ref; /* NULL: no refs/main */
        const char *found;
    } refs[] = {{NULL, "hub/models--org--name/snapshots/bbb"}, /* the newest that has a config.json */
                {"aaa\n", "hub/models--org--name/snapshots/aaa"},
                {"ccc", "hub/models--org--name/snapshots/bbb"}, /* no config.json there */
                {"gone", "hub/models--org--name/snapshots/bbb"},
                {"../../../evil", "hub/models--org--name/snapshots/bbb"},
                {"", "hub/models--org--name/snapshots/bbb"}};
    const fixture *f = *state;
    make(f, "run/x", "");
    make(f, "evil/config.json", "{}");
    make_cache(f, "hub");
    set_variable(f, "HF_HUB_CACHE", "hub");
    for (size_t i = 0; i < sizeof refs / sizeof refs[0]; i++) {
        if (refs[i].ref != NULL) {
            make(f, "hub/models--org--name/refs/main", refs[i].ref);
        }
        check(f, "org/name", "run", refs[i].found);
    }
    check(f, "org/other", "run", NULL);
    check(f, "name", "run", NULL);
}

static void test_dangling_link(void **state) {
    const fixture *f = *state;
    make(f, "run/x", "");
    make_cache(f, "hub");
    make(f, "hub/models--org--name/refs/main", "aaa");
    char *blob = join_path(f->root, "hub/models--org--name/blobs/123");
    assert_int_equal(unlink(blob), 0);
    free(blob);
    set_variable(f, "HF_HUB_CACHE", "hub");
    check(f, "org/name", "run", "hub/models--org--name/snapshots/bbb");
}

static void test_variables(void **state) {
    static const struct {
        const char *variable;
        const char *value;
        const char *hub;
    } cases[] = {{"HOME", "h", "h/.cache/huggingface/hub"},
                 {"XDG_CACHE_HOME", "x", "x/huggingface/hub"},
                 {"HF_HOME", "f", "f/hub"},
                 {"HUGGINGFACE_HUB_CACHE", "old", "old"},
                 {"HF_HUB_CACHE", "new", "new"}};
    const fixture *f = *state;
    make(f, "run/x", "");
    /* Each is preferred to those before it, which stay set. */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char found[256];
        make_cache(f, cases[i].hub);
        set_variable(f, cases[i].variable, cases[i].value);
        (void)snprintf(found, sizeof found, "%s/models--org--name/snapshots/bbb", cases[i].hub);
        check(f, "org/name", "run", found);
    }
}

/* Every place is in the message, one a line; the user's cache is none when a variable points elsewhere. */
static void test_message(void **state) {
    static const char *const places[] = {"\n  org/name\n", "/name\n", "/run/org/name\n", "hub/models--org--name\n",
                                         "old/models--org--name (no snapshot with config.json in it)\n"};
    const fixture *f = *state;
    const char *dir = NULL;
    qn_error err;
    make(f, "run/checkpoint-1/x", "");
    make(f, "old/models--org--name/x", "");
    set_variable(f, "HF_HOME", "home");
    set_variable(f, "HUGGINGFACE_HUB_CACHE", "old");
    set_variable(f, "HOME", "nobody");
    char *near_full = join_path(f->root, "run/checkpoint-1");
    assert_status(&err, qn_find_base(f->arena, "org/name", near_full, "pass it.", &dir, &err), QN_E_NOT_FOUND);
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        assert_message_has(&err, places[i]);
    }
    assert_null(strstr(err.message, "nobody"));
    assert_string_equal(strrchr(err.message, '\n') + 1, "pass it.");
    free(near_full);
}

/* A name of thousands of bytes, as a broken file may hold, leaves the remedy in the message. */
static void test_long_name(void **state) {
    const fixture *f = *state;
    char name[5000];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    name[100] = '/';
    make(f, "run/x", "");
    set_variable(f, "HF_HOME", "home");
    check(f, name, "run", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_nearby, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_as_given, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cache, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_dangling_link, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_variables, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_message, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_name, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
