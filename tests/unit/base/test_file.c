/* SPDX-License-Identifier: MIT */
/* test_file.c: reading, mapping and writing at positions; folders, names and paths. */
#include "support.h"

#include "base/file.h"

#include <sys/stat.h>

static void reads_exactly_or_says_where_it_ends(void **state) {
    (void)state;
    char *dir = make_temp_dir();
    char *path = write_text(dir, "f", "0123456789");
    qn_file *f = NULL;
    qn_error err;
    char buffer[11] = "";
    const unsigned char *bytes = NULL;
    assert_ok(&err, qn_file_open(path, &f, &err));
    assert_int_equal(qn_file_size(f), 10);
    assert_string_equal(qn_file_path(f), path);
    assert_true(qn_file_mtime_ns(f) > INT64_C(1000000000) * 1000000000);
    assert_ok(&err, qn_file_read_at(f, 3, buffer, 7, &err));
    assert_string_equal(buffer, "3456789");
    assert_ok(&err, qn_file_read_at(f, 10, buffer, 0, &err));
    assert_status(&err, qn_file_read_at(f, 4, buffer, 7, &err), QN_E_FORMAT);
    assert_message_has(&err, "ends at byte 10; 7 bytes were expected at byte 4");
    assert_message_has(&err, path);
    assert_status(&err, qn_file_read_at(f, 100, buffer, 1, &err), QN_E_FORMAT);
    assert_ok(&err, qn_file_map(f, &bytes, &err));
    assert_memory_equal(bytes, "0123456789", 10);
    qn_file_close(f);
    qn_file_close(NULL);
    free(path);
    path = write_text(dir, "empty", "");
    assert_ok(&err, qn_file_open(path, &f, &err));
    assert_ok(&err, qn_file_map(f, &bytes, &err));
    assert_non_null(bytes);
    qn_file_close(f);
    free(path);
    remove_temp_dir(dir);
}

static void only_regular_files_are_opened(void **state) {
    (void)state;
    char *dir = make_temp_dir();
    char *pipe_path = join_path(dir, "pipe");
    char *link_path = join_path(dir, "link");
    qn_file *f = NULL;
    qn_error err;
    assert_status(&err, qn_file_open(dir, &f, &err), QN_E_IO);
    assert_message_has(&err, "is not a regular file");
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_status(&err, qn_file_open(pipe_path, &f, &err), QN_E_IO); /* and must not wait for a writer */
    assert_status(&err, qn_file_open("/dev/null", &f, &err), QN_E_IO);
    assert_status(&err, qn_file_open("/nonexistent/f", &f, &err), QN_E_NOT_FOUND);
    assert_message_has(&err, "/nonexistent/f: No such file");
    free(write_text(dir, "f", "x"));
    assert_int_equal(symlink("f", link_path), 0);
    assert_ok(&err, qn_file_open(link_path, &f, &err));
    qn_file_close(f);
    free(pipe_path);
    free(link_path);
    remove_temp_dir(dir);
}

static void whole_texts_are_limited(void **state) {
    (void)state;
    char *dir = make_temp_dir();
    char *path = write_text(dir, "t", "hello");
    char *text = NULL;
    size_t n = 0;
    qn_error err;
    assert_ok(&err, qn_read_text(path, 5, &text, &n, &err));
    assert_string_equal(text, "hello");
    assert_int_equal(n, 5);
    free(text);
    assert_ok(&err, qn_read_text(path, 5, &text, NULL, &err));
    free(text);
    assert_status(&err, qn_read_text(path, 4, &text, &n, &err), QN_E_RANGE);
    assert_message_has(&err, "is 5 bytes; at most 4");
    free(path);
    remove_temp_dir(dir);
}

static void outputs_have_their_size_from_the_start(void **state) {
    (void)state;
    char *dir = make_temp_dir();
    char *path = join_path(dir, "out");
    qn_out *o = NULL;
    qn_error err;
    char buffer[8] = "";
    size_t n = 0;
    assert_ok(&err, qn_out_open(path, 1000, false, &o, &err));
    assert_ok(&err, qn_out_write_at(o, 990, "0123456789", 10, &err));
    assert_ok(&err, qn_out_write_at(o, 0, "ab", 2, &err));
    assert_ok(&err, qn_out_sync(o, &err));
    assert_ok(&err, qn_out_read_at(o, 993, buffer, 3, &err));
    assert_string_equal(buffer, "345");
    assert_status(&err, qn_out_read_at(o, 999, buffer, 2, &err), QN_E_FORMAT);
    qn_out_close(o);
    qn_out_close(NULL);
    static const struct {
        uint64_t size;
        bool keep;
        char first;
    } cases[] = {{1000, true, 'a'}, {999, true, '\0'}, {999, false, '\0'}, {0, false, '\0'}};
    for (size_t i = 0; i < 4; i++) {
        assert_ok(&err, qn_out_open(path, cases[i].size, cases[i].keep, &o, &err));
        qn_out_close(o);
        char *bytes = read_file(path, &n);
        assert_int_equal(n, cases[i].size);
        assert_int_equal(bytes[0], cases[i].first);
        free(bytes);
    }
    assert_status(&err, qn_out_open("/nonexistent/out", 1, false, &o, &err), QN_E_IO);
    assert_status(&err, qn_out_open(path, UINT64_MAX, false, &o, &err), QN_E_RANGE);
    free(path);
    remove_temp_dir(dir);
}

static void folders_are_made_listed_and_renamed_in(void **state) {
    (void)state;
    char *dir = make_temp_dir();
    char *deep = join_path(dir, "a/b//c/");
    qn_arena *arena = qn_arena_new();
    qn_names names;
    qn_error err;
    uint64_t bytes = 0;
    assert_ok(&err, qn_make_dirs(deep, &err));
    assert_ok(&err, qn_make_dirs(deep, &err));
    assert_true(qn_is_dir(deep));
    assert_false(qn_is_file(deep));
    char *file = write_text(deep, "f", "x");
    assert_true(qn_is_file(file) && !qn_is_dir(file));
    assert_status(&err, qn_make_dirs(file, &err), QN_E_IO);
    assert_status(&err, qn_make_dirs("", &err), QN_E_USAGE);
    free(write_text(deep, "B", "x"));
    free(write_text(deep, "a", "x"));
    assert_ok(&err, qn_list_dir(arena, deep, &names, &err));
    assert_int_equal(names.n, 3);
    assert_string_equal(names.names[0], "B");
    assert_string_equal(names.names[2], "f");
    char *to = join_path(dir, "moved");
    assert_ok(&err, qn_rename(file, to, &err));
    assert_true(qn_is_file(to) && !qn_is_file(file));
    assert_status(&err, qn_rename(file, to, &err), QN_E_IO);
    assert_status(&err, qn_list_dir(arena, "/nonexistent", &names, &err), QN_E_NOT_FOUND);
    assert_ok(&err, qn_free_space(qn_path_join(arena, dir, "not/there/yet"), &bytes, &err));
    assert_true(bytes > 0);
    assert_ok(&err, qn_free_space("not-there", &bytes, &err));
    free(file);
    free(to);
    free(deep);
    qn_arena_free(arena);
    remove_temp_dir(dir);
}

static void many_names_are_listed_sorted(void **state) {
    (void)state;
    char *dir = make_temp_dir();
    qn_arena *arena = qn_arena_new();
    qn_names names;
    qn_error err;
    for (int i = 0; i < 100; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "f%02d", i * 37 % 100);
        free(write_text(dir, name, ""));
    }
    assert_ok(&err, qn_list_dir(arena, dir, &names, &err));
    assert_int_equal(names.n, 100);
    for (int i = 0; i < 100; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "f%02d", i);
        assert_string_equal(names.names[i], name);
    }
    qn_arena_free(arena);
    remove_temp_dir(dir);
}

static void paths_are_taken_apart(void **state) {
    (void)state;
    static const struct {
        const char *path;
        const char *base;
        const char *parent;
    } cases[] = {
        {"a", "a", "."},  {"a/b", "b", "a"}, {"a/b/", "b", "a"}, {"a//b//", "b", "a"},
        {"/a", "a", "/"}, {"/", "", "/"},    {"", "", "."},      {"/a/b.gguf", "b.gguf", "/a"},
    };
    qn_arena *arena = qn_arena_new();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_string_equal(qn_path_base(arena, cases[i].path), cases[i].base);
        assert_string_equal(qn_path_parent(arena, cases[i].path), cases[i].parent);
    }
    char *dir = make_temp_dir();
    char *dots = join_path(dir, "sub/..");
    char *sub = join_path(dir, "sub");
    assert_int_equal(mkdir(sub, 0777), 0);
    assert_string_equal(qn_path_base(arena, dots), strrchr(dir, '/') + 1);
    assert_string_equal(qn_path_join(arena, "a", "b"), "a/b");
    assert_string_equal(qn_path_join(arena, "a/", "b"), "a/b");
    assert_string_equal(qn_path_join(arena, "", "b"), "b");
    free(dots);
    free(sub);
    remove_temp_dir(dir);
    qn_arena_free(arena);
}

static void plain_names_stay_in_their_folder(void **state) {
    (void)state;
    static const struct {
        const char *name;
        bool is_plain;
    } cases[] = {{"model.safetensors", true},
                 {"..model", true},
                 {"a b", true},
                 {"", false},
                 {".", false},
                 {"..", false},
                 {"a/b", false},
                 {"/a", false},
                 {"../a", false},
                 {"a/", false},
                 {"...", true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(qn_is_plain_name(cases[i].name), cases[i].is_plain);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_exactly_or_says_where_it_ends),
        cmocka_unit_test(only_regular_files_are_opened),
        cmocka_unit_test(whole_texts_are_limited),
        cmocka_unit_test(outputs_have_their_size_from_the_start),
        cmocka_unit_test(folders_are_made_listed_and_renamed_in),
        cmocka_unit_test(many_names_are_listed_sorted),
        cmocka_unit_test(paths_are_taken_apart),
        cmocka_unit_test(plain_names_stay_in_their_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
