/* SPDX-License-Identifier: MIT */
/* test_configs.c: config.json files of published models: those of the families are read, others are told apart. */
#include "arch/arch.h"

#include "base/file.h"
#include "support.h"

typedef struct tally {
    unsigned n_read;
    unsigned n_unsupported;
    unsigned n_nameless;
    unsigned n_wrong;
} tally;

/* Sizes that every model has. */
static bool is_whole(const qn_arch *arch, const qn_hparams *h) {
    static const qn_dim dims[] = {QN_DIM_EMBD, QN_DIM_CTX, QN_DIM_FF, QN_DIM_HEAD, QN_DIM_Q, QN_DIM_KV};
    bool whole = qn_hp_count(h, QN_HP_N_LAYER) > 0 && qn_hp_count(h, QN_HP_N_VOCAB) > 0;
    for (size_t i = 0; i < sizeof dims / sizeof dims[0]; i++) {
        whole = whole && qn_arch_dim(dims[i], h, 1) > 0;
    }
    return whole && (h->has[QN_HP_RMS_EPS] || h->has[QN_HP_NORM_EPS]) &&
        (arch->rope == QN_ROPE_ABSENT || h->value[QN_HP_RMS_EPS] > 0);
}

/* Reads one config; whatever it is, the answer must be one of three. */
static void check_config(const char *path, const json_t *config, tally *t) {
    qn_arena *arena = qn_arena_new();
    const qn_arch *arch = NULL;
    const json_t *text = NULL;
    qn_hparams h;
    qn_error err = {QN_OK, ""};
    qn_status status = qn_arch_find(path, config, &arch, &text, &err);
    if (status == QN_E_UNSUPPORTED || (status == QN_E_FORMAT && json_object_get(config, "architectures") == NULL)) {
        *(status == QN_E_UNSUPPORTED ? &t->n_unsupported : &t->n_nameless) += 1;
        qn_arena_free(arena);
        return;
    }
    if (status == QN_OK) {
        status = qn_hparams_read(path, text, arch->defaults, arch->n_defaults, arch->tied_by_default, arena, &h, &err);
    }
    if (status == QN_OK && arch->derive != NULL) {
        status = arch->derive(path, text, &h, &err);
    }
    if (status != QN_OK || !is_whole(arch, &h)) {
        print_error("%s: %s %s\n", path, qn_status_name(status), err.message);
        t->n_wrong++;
    }
    t->n_read++;
    qn_arena_free(arena);
}

static void walk(const char *dir, tally *t) {
    qn_arena *arena = qn_arena_new();
    qn_names names;
    qn_error err;
    assert_ok(&err, qn_list_dir(arena, dir, &names, &err));
    for (uint64_t i = 0; i < names.n; i++) {
        char *path = join_path(dir, names.names[i]);
        const size_t n = strlen(path);
        json_t *config = NULL;
        if (qn_is_dir(path)) {
            walk(path, t);
        } else if (n > 5 && strcmp(path + n - 5, ".json") == 0) {
            assert_ok(&err, qn_json_load_object(path, 1 << 20, &config, &err));
            check_config(path, config, t);
            json_decref(config);
        }
        free(path);
    }
    qn_arena_free(arena);
}

static char configs[1024];

static void test_published(void **state) {
    tally t = {0};
    (void)state;
    walk(configs, &t);
    print_message("%u read, %u of other families, %u without a class\n", t.n_read, t.n_unsupported, t.n_nameless);
    assert_int_equal(t.n_wrong, 0);
    assert_true(t.n_read >= 25);
    assert_true(t.n_unsupported >= 25);
    assert_true(t.n_nameless <= 10);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_published)};
    const char *shared = getenv("QUERN_SHARED");
    (void)snprintf(configs, sizeof configs, "%s/data/hf-configs",
                   shared != NULL ? shared : QN_SAMPLES_DIR "/../../shared");
    if (!qn_is_dir(configs)) {
        print_message("skipped: no %s (QUERN_SHARED says where the shared data are)\n", configs);
        return TEST_SKIPPED;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
