/* SPDX-License-Identifier: MIT */
/* pack_case.h: a tiny base and adapter in a folder, packed as a test asks; and whole folders compared byte by byte. */
#ifndef QUERN_TESTS_PACK_CASE_H
#define QUERN_TESTS_PACK_CASE_H

#include "model/tiny_model.h"

#include "quern/pack.h"

/** Folders of a test: root/base, root/adapter, root/out (not made). */
typedef struct pack_case {
    char *root;
    char *base;
    char *adapter;
    char *out;
    qn_job *job; /**< of two threads, without a listener */
} pack_case;

/** Writes a tiny Llama, an adapter for it, and nothing else. */
static inline void begin_case(pack_case *c) {
    tiny_list list;
    c->root = make_temp_dir();
    c->base = make_dir(c->root, "base");
    c->adapter = make_dir(c->root, "adapter");
    c->out = join_path(c->root, "out");
    c->job = qn_job_new(2, NULL, NULL);
    assert_non_null(c->job);
    tiny_llama(&list);
    tiny_write_model(&list, c->base, NULL);
    tiny_adapter(&list);
    tiny_write_adapter(&list, c->adapter, NULL);
}

static inline void end_case(pack_case *c) {
    qn_job_free(c->job);
    free(c->base);
    free(c->adapter);
    free(c->out);
    remove_temp_dir(c->root);
}

/** Names in a folder that are not "." or ".."; 0 when there is no such folder. */
static inline unsigned count_names(const char *dir) {
    DIR *d = opendir(dir);
    const struct dirent *entry;
    unsigned n = 0;
    while (d != NULL && (entry = readdir(d)) != NULL) {
        n += strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0 ? 1 : 0;
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return n;
}

/** Path of the one file in dir whose name ends so; NULL when there is none. Free it. */
static inline char *find_ending(const char *dir, const char *ending) {
    DIR *d = opendir(dir);
    const struct dirent *entry;
    char *found = NULL;
    while (d != NULL && (entry = readdir(d)) != NULL) {
        const size_t n = strlen(entry->d_name);
        if (found == NULL && n >= strlen(ending) && strcmp(entry->d_name + n - strlen(ending), ending) == 0) {
            found = join_path(dir, entry->d_name);
        }
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return found;
}

/** Whether two files hold the same bytes; says where they part. */
static inline bool same_file(const char *a, const char *b) {
    size_t n_a = 0;
    size_t n_b = 0;
    char *bytes_a = read_file(a, &n_a);
    char *bytes_b = read_file(b, &n_b);
    size_t i = 0;
    while (i < n_a && i < n_b && bytes_a[i] == bytes_b[i]) {
        i++;
    }
    const bool same = n_a == n_b && i == n_a;
    if (!same) {
        print_error("%s (%zu bytes) and %s (%zu) part at byte %zu\n", a, n_a, b, n_b, i);
    }
    free(bytes_a);
    free(bytes_b);
    return same;
}

/** Whether two folders hold the same files and nothing else. */
static inline bool same_folder(const char *a, const char *b) {
    DIR *d = opendir(a);
    const struct dirent *entry;
    bool same = count_names(a) == count_names(b);
    if (!same) {
        print_error("%s has %u names, %s %u\n", a, count_names(a), b, count_names(b));
    }
    while (d != NULL && (entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        char *in_a = join_path(a, entry->d_name);
        char *in_b = join_path(b, entry->d_name);
        same = path_exists(in_b) && same_file(in_a, in_b) && same;
        free(in_a);
        free(in_b);
    }
    if (d != NULL) {
        (void)closedir(d);
    }
    return same;
}

/** Plans and runs. */
static inline qn_status pack_all(const qn_pack_options *options, qn_job *job, qn_error *err) {
    qn_plan *plan = NULL;
    qn_status status = qn_plan_new(options, job, &plan, err);
    if (status == QN_OK) {
        status = qn_plan_run(plan, job, err);
    }
    qn_plan_free(plan);
    return status;
}

#endif
