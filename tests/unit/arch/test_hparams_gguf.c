/* SPDX-License-Identifier: MIT */
/* test_hparams_gguf.c: hyper-parameters to GGUF and back, for every family; what cannot come back is refused. */
#include "arch/family_configs.h"

#include "container/gguf.h"

/* A tensor of a file: zeros unless it has values. */
typedef struct held {
    qn_generated made;
    uint64_t rows;
} held;

/* Writes dir/name with a model's keys and some float32 tensors, and opens it. */
static qn_archive *written(const char *dir, const qn_meta *meta, const held *tensors, size_t n) {
    qn_placed_tensor placed[8] = {{0}};
    qn_buffer file = {0};
    uint64_t size = 0;
    qn_archive *archive = NULL;
    qn_error err;
    for (size_t i = 0; i < n; i++) {
        placed[i] = (qn_placed_tensor){.name = tensors[i].made.name, .type = QN_F32};
        placed[i].shape = tensors[i].rows == 0 ? (qn_shape){1, {tensors[i].made.n}}
                                               : (qn_shape){2, {tensors[i].rows, tensors[i].made.n}};
    }
    assert_ok(&err, qn_gguf_layout(meta, placed, n, &file, &size, &err));
    for (size_t i = 0; i < n; i++) {
        qn_buffer_zeros(&file, (size_t)placed[i].file_off - file.len);
        for (uint64_t k = 0; tensors[i].made.values != NULL && k < tensors[i].made.n; k++) {
            qn_buffer_f32(&file, tensors[i].made.values[k]);
        }
    }
    qn_buffer_zeros(&file, (size_t)size - file.len);
    char *path = write_file(dir, "model.gguf", file.data, file.len);
    assert_ok(&err, qn_gguf_open(path, &archive, &err));
    free(path);
    qn_buffer_clear(&file);
    return archive;
}

/* What GGUF does not keep, as it will be found. */
static void forget(const family_config *c, qn_hparams *h) {
    if (strcmp(c->arch, "qwen2") == 0 || strcmp(c->arch, "llama") == 0) {
        h->has[QN_HP_SLIDING_WINDOW] = false;
    }
}

static void round_trip(const family_config *c, const char *dir) {
    qn_arena *arena = qn_arena_new();
    json_t *config = family_json(c);
    const qn_arch *arch = NULL;
    qn_hparams h;
    qn_hparams back;
    qn_generated made[QN_MAX_GENERATED];
    held tensors[8] = {{{0}, 0}};
    size_t n = 0;
    qn_error err;
    read_family(c->name, config, arena, &arch, &h);
    qn_meta meta = qn_meta_new(arena);
    qn_meta_set_string(&meta, "general.architecture", arch->name);
    qn_arch_write_keys(arch, &h, &meta);
    if (arch->generate != NULL) {
        assert_ok(&err, arch->generate(&h, arena, made, &n, &err));
    }
    for (size_t i = 0; i < n; i++) {
        tensors[i].made = made[i];
    }
    tensors[n++] = (held){{"token_embd.weight", NULL, 32}, 2048};
    if (!h.is_tied) {
        tensors[n++] = (held){{"output.weight", NULL, 32}, 2048};
    }
    qn_archive *archive = written(dir, &meta, tensors, n);
    assert_ptr_equal(qn_arch_of_meta(&meta)->tensors, arch->tensors);
    assert_ok(&err,
              qn_hparams_from_gguf(qn_arch_of_meta(&meta), archive, qn_archive_meta(archive), arena, &back, &err));
    forget(c, &h);
    assert_true(same_hparams(c->name, &h, &back));
    qn_archive_close(archive);
    json_decref(config);
    qn_arena_free(arena);
}

static void test_round_trip(void **state) {
    char *dir = make_temp_dir();
    (void)state;
    for (size_t i = 0; i < N_FAMILY_CONFIGS; i++) {
        round_trip(&family_configs[i], dir);
    }
    assert_null(qn_arch_by_name("mamba"));
    remove_temp_dir(dir);
}

/* Sizes of a Llama that reads; a case changes one key. */
static qn_meta llama_meta(qn_arena *arena) {
    static const struct {
        const char *key;
        uint32_t value;
    } rows[] = {{"llama.block_count", 2},           {"llama.context_length", 64},
                {"llama.embedding_length", 32},     {"llama.feed_forward_length", 64},
                {"llama.attention.head_count", 4},  {"llama.attention.key_length", 8},
                {"llama.attention.value_length", 8}};
    qn_meta meta = qn_meta_new(arena);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_meta_set_u32(&meta, rows[i].key, rows[i].value);
    }
    return meta;
}

static void test_arrays(void **state) {
    static const uint32_t same[] = {2, 2};
    static const int32_t other[] = {2, 4};
    qn_arena *arena = qn_arena_new();
    qn_meta meta = llama_meta(arena);
    qn_hparams h;
    qn_error err;
    (void)state;
    qn_meta_set_array(&meta, "llama.attention.head_count_kv", QN_META_U32, same, 2);
    assert_ok(&err, qn_hparams_from_meta(qn_arch_by_name("llama"), &meta, &h, &err));
    assert_int_equal(qn_hp_count(&h, QN_HP_N_HEAD_KV), 2);
    assert_true(h.value[QN_HP_ROPE_BASE] == 10000);
    qn_meta_set_array(&meta, "llama.attention.head_count_kv", QN_META_I32, other, 2);
    assert_status(&err, qn_hparams_from_meta(qn_arch_by_name("llama"), &meta, &h, &err), QN_E_UNSUPPORTED);
    assert_message_has(&err, "'llama.attention.head_count_kv': layers differ (2 in layer 0, 4 in layer 1)");
    qn_arena_free(arena);
}

static const struct {
    const char *key;
    uint32_t value; /* 0: the key is taken out */
    qn_status status;
    const char *has;
} refusals[] = {
    {"llama.block_count", 0, QN_E_FORMAT, "'llama.block_count' is missing"},
    {"llama.feed_forward_length", 0, QN_E_FORMAT, "'llama.feed_forward_length' is missing"},
    {"llama.attention.head_count_kv", 3, QN_E_FORMAT, "4 attention heads cannot share 3"},
    {"llama.attention.head_count", 100000, QN_E_FORMAT, "'llama.attention.head_count': an integer from 1 to 65536"},
    {"llama.attention.value_length", 16, QN_E_UNSUPPORTED, "'llama.attention.value_length' is 16"},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        qn_arena *arena = qn_arena_new();
        qn_meta meta = llama_meta(arena);
        qn_hparams h;
        qn_error err;
        if (refusals[i].value == 0) {
            qn_meta_remove(&meta, refusals[i].key);
        } else {
            qn_meta_set_u32(&meta, refusals[i].key, refusals[i].value);
        }
        assert_status(&err, qn_hparams_from_meta(qn_arch_by_name("llama"), &meta, &h, &err), refusals[i].status);
        assert_message_has(&err, refusals[i].has);
        qn_arena_free(arena);
    }
}

/* Heads that are rotated in part, or cannot be paired. */
static void test_partial_rotary(void **state) {
    static const struct {
        const char *key;
        uint32_t value;
    } rows[] = {{"llama.rope.dimension_count", 4}, {"llama.attention.key_length", 7}};
    char *dir = make_temp_dir();
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_arena *arena = qn_arena_new();
        qn_meta meta = llama_meta(arena);
        qn_hparams h;
        qn_error err;
        qn_meta_remove(&meta, "llama.attention.value_length");
        qn_meta_set_u32(&meta, rows[i].key, rows[i].value);
        qn_archive *archive = written(dir, &meta, NULL, 0);
        assert_status(
            &err, qn_hparams_from_gguf(qn_arch_by_name("llama"), archive, qn_archive_meta(archive), arena, &h, &err),
            QN_E_UNSUPPORTED);
        assert_message_has(&err, "dimensions of a head are rotary");
        qn_archive_close(archive);
        qn_arena_free(arena);
    }
    remove_temp_dir(dir);
}

/* Factors of no known kind, and too few of them. */
static void test_foreign_factors(void **state) {
    static const float odd[] = {1, 3, 2, 8};
    static const struct {
        held tensor;
        qn_status status;
    } rows[] = {{{{"rope_freqs.weight", odd, 4}, 0}, QN_E_UNSUPPORTED},
                {{{"rope_freqs.weight", odd, 2}, 0}, QN_E_UNSUPPORTED},
                {{{"rope_freqs.weight", NULL, 2}, 2}, QN_E_SHAPE}};
    char *dir = make_temp_dir();
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_arena *arena = qn_arena_new();
        qn_meta meta = llama_meta(arena);
        qn_archive *archive = written(dir, &meta, &rows[i].tensor, 1);
        qn_hparams h;
        qn_error err;
        assert_status(
            &err, qn_hparams_from_gguf(qn_arch_by_name("llama"), archive, qn_archive_meta(archive), arena, &h, &err),
            rows[i].status);
        assert_message_has(&err, "rope_freqs.weight");
        qn_archive_close(archive);
        qn_arena_free(arena);
    }
    remove_temp_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),     cmocka_unit_test(test_arrays),          cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_partial_rotary), cmocka_unit_test(test_foreign_factors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
