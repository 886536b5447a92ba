/* SPDX-License-Identifier: MIT */
/* test_inspect.c: what is told of GGUF files, safetensors, model and adapter folders; the memory estimate's numbers. */
#include "support.h"

#include "base/json.h"
#include "container/gguf.h"
#include "quern/inspect.h"

#define BASE QN_SAMPLES_DIR "/miller-base"
#define GGUF_DATA QN_TEST_DATA_DIR "/gguf/"

/* Inspects and parses the answer, which must be an object. */
static json_t *inspect(const char *path, uint64_t n_ctx) {
    char *text = NULL;
    json_t *o = NULL;
    qn_error err;
    assert_ok(&err, qn_inspect(path, n_ctx, &text, &err));
    assert_ok(&err, qn_json_parse(path, text, strlen(text), &o, &err));
    free(text);
    return o;
}

static uint64_t count_at(const json_t *o, const char *key) {
    uint64_t v = UINT64_MAX;
    if (!qn_json_u64(o, key, &v)) {
        print_error("no count at '%s'\n", key);
    }
    return v;
}

/* The pair of a key in "metadata". */
static const json_t *pair_of(const json_t *o, const char *key) {
    const json_t *pairs = json_object_get(o, "metadata");
    for (size_t i = 0; i < json_array_size(pairs); i++) {
        const json_t *pair = json_array_get(pairs, i);
        if (strcmp(qn_json_string(pair, "key"), key) == 0) {
            return pair;
        }
    }
    print_error("no metadata '%s'\n", key);
    return NULL;
}

static void assert_json(const json_t *value, const char *wanted) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    assert_non_null(text);
    assert_string_equal(text, wanted);
    free(text);
}

static void tells_every_kind_of_value(void **state) {
    (void)state;
    static const struct {
        const char *key;
        const char *type;
        const char *value;
    } cases[] = {
        {"general.name", "str", "\"sample \xc3\xa9\xe4\xb8\xad\""},
        {"test.u8", "u8", "255"},
        {"test.i16", "i16", "-32768"},
        {"test.i32", "i32", "-2147483648"},
        {"test.u64", "u64", "1.84467441e19"},
        {"test.f32", "f32", "0.1"},
        {"test.f64", "f64", "0.1"},
        {"test.bool", "bool", "true"},
        {"test.str", "str", "\"bytes \xef\xbf\xbd\\u0000 not utf8\""},
        {"test.arr_bool", "arr[bool]", "[true,false,true,true]"},
        {"test.arr_f32", "arr[f32]", "[0.5,-2.25]"},
        {"test.arr_str", "arr[str]", "[\"a\",\"\",\"\xe2\x96\x81the\"]"},
    };
    json_t *o = inspect(GGUF_DATA "gguf_v3_le.gguf", 0);
    assert_string_equal(qn_json_string(o, "kind"), "gguf");
    assert_string_equal(qn_json_string(o, "arch"), "llama");
    assert_int_equal(json_array_size(json_object_get(o, "metadata")), 21);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const json_t *pair = pair_of(o, cases[i].key);
        assert_string_equal(qn_json_string(pair, "type"), cases[i].type);
        assert_json(json_object_get(pair, "value"), cases[i].value);
    }
    assert_int_equal(count_at(pair_of(o, "test.arr_u8"), "n"), 3);
    assert_null(json_object_get(pair_of(o, "test.u8"), "n"));
    assert_int_equal(count_at(o, "n_tensors"), 5);
    assert_int_equal(count_at(o, "n_weights"), 32 + 96 + 24 + 5 + 128);
    assert_int_equal(count_at(o, "size_bytes"), 128 + 384 + 48 + 20 + 136);
    assert_json(json_object_get(json_object_get(o, "types"), "Q8_0"), "{\"n_tensors\":1,\"size_bytes\":136}");
    assert_json(json_array_get(json_object_get(o, "tensors"), 2),
                "{\"name\":\"t3.weight\",\"shape\":[2,3,4],\"type\":\"F16\",\"size_bytes\":48}");
    assert_true(json_is_null(json_object_get(o, "vocabulary")));
    assert_true(json_is_null(json_object_get(o, "hyperparameters")));
    assert_true(json_is_null(json_object_get(o, "memory")));
    assert_true(json_is_null(json_object_get(o, "adapter")));
    json_decref(o);
}

static void tells_a_model_folder(void **state) {
    (void)state;
    json_t *o = inspect(BASE, 0);
    assert_string_equal(qn_json_string(o, "kind"), "model");
    assert_string_equal(qn_json_string(o, "path"), BASE);
    assert_string_equal(qn_json_string(o, "arch"), "llama");
    assert_string_equal(qn_json_string(o, "name"), "miller-base");
    assert_int_equal(json_array_size(json_object_get(o, "files")), 1);
    assert_int_equal(count_at(o, "n_weights"), 3672320);
    assert_int_equal(count_at(o, "size_bytes"), 7344640);
    const json_t *h = json_object_get(o, "hyperparameters");
    static const struct {
        const char *key;
        uint64_t value;
    } cases[] = {{"n_layer", 4},   {"n_embd", 256}, {"n_head", 8},  {"n_head_kv", 4},
                 {"head_dim", 32}, {"n_ff", 768},   {"n_ctx", 192}, {"n_vocab", 2048}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(count_at(h, cases[i].key), cases[i].value);
    }
    const json_t *v = json_object_get(o, "vocabulary");
    assert_string_equal(qn_json_string(v, "model"), "llama");
    assert_int_equal(count_at(v, "n_tokens"), 2048);
    assert_json(json_object_get(v, "bos"), "{\"id\":1,\"text\":\"<s>\"}");
    assert_null(json_object_get(v, "mask"));
    assert_non_null(qn_json_string(o, "chat_template"));
    assert_json(json_object_get(o, "notes"), "[]");
    json_decref(o);
}

static void estimates_memory_by_its_formula(void **state) {
    (void)state;
    static const struct {
        uint64_t asked;
        uint64_t ctx;
        uint64_t kv;      /* 2 bytes * ctx * 4 layers * 4 heads * (32 + 32) */
        uint64_t compute; /* 4 bytes * min(512, ctx) * (max(2048, 8 * ctx) + 4 * 256 + 2 * 768) */
    } cases[] = {
        {0, 192, UINT64_C(2) * 192 * 1024, UINT64_C(4) * 192 * (2048 + 1024 + 1536)},
        {100, 100, UINT64_C(2) * 100 * 1024, UINT64_C(4) * 100 * (2048 + 1024 + 1536)},
        {4096, 4096, UINT64_C(2) * 4096 * 1024, UINT64_C(4) * 512 * (32768 + 1024 + 1536)},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        json_t *o = inspect(BASE, cases[i].asked);
        const json_t *m = json_object_get(o, "memory");
        assert_int_equal(count_at(m, "ctx"), cases[i].ctx);
        assert_int_equal(count_at(m, "weights_bytes"), 7344640);
        assert_int_equal(count_at(m, "kv_bytes"), cases[i].kv);
        assert_int_equal(count_at(m, "compute_bytes"), cases[i].compute);
        assert_int_equal(count_at(m, "total_bytes"), 7344640 + cases[i].kv + cases[i].compute);
        json_decref(o);
    }
    char *text = NULL;
    qn_error err;
    assert_ok(&err, qn_inspect(BASE, UINT64_MAX, &text, &err)); /* absurd: no estimate, and no overflow */
    assert_non_null(strstr(text, "\"memory\": null"));
    free(text);
}

/* Writes a GGUF file of one tensor with these keys, and inspects it. */
static json_t *inspect_keys(const qn_meta *meta) {
    qn_placed_tensor t = {.name = "w", .type = QN_F32, .shape = {1, {8}}};
    qn_buffer b = {0};
    qn_error err;
    uint64_t file_bytes = 0;
    assert_ok(&err, qn_gguf_layout(meta, &t, 1, &b, &file_bytes, &err));
    qn_buffer_zeros(&b, (size_t)file_bytes - b.len);
    char *dir = make_temp_dir();
    char *path = write_file(dir, "m.gguf", b.data, b.len);
    json_t *o = inspect(path, 10);
    free(path);
    remove_temp_dir(dir);
    qn_buffer_clear(&b);
    return o;
}

static void heads_may_differ_by_layer(void **state) {
    (void)state;
    static const int32_t heads[] = {4, 0, 2};
    static const qn_text tokens[] = {{"<s>", 3}, {"a\xff", 2}};
    qn_arena *arena = qn_arena_new();
    qn_meta m = qn_meta_new(arena);
    qn_meta_set_string(&m, "general.architecture", "x");
    qn_meta_set_u32(&m, "x.block_count", 3);
    qn_meta_set_u32(&m, "x.embedding_length", 64);
    qn_meta_set_u32(&m, "x.attention.head_count", 4);
    qn_meta_set_array(&m, "x.attention.head_count_kv", QN_META_I32, heads, 3);
    qn_meta_set_u32(&m, "x.attention.key_length", 24);
    qn_meta_set_array(&m, "tokenizer.ggml.tokens", QN_META_STRING, tokens, 2);
    qn_meta_set_u32(&m, "tokenizer.ggml.bos_token_id", 1);
    qn_meta_set_u32(&m, "tokenizer.ggml.eos_token_id", 99);
    json_t *o = inspect_keys(&m);
    assert_int_equal(count_at(json_object_get(o, "memory"), "kv_bytes"), 2 * 10 * (4 + 0 + 2) * (24 + 16));
    assert_json(json_object_get(json_object_get(o, "hyperparameters"), "n_head_kv"), "[4,0,2]");
    const json_t *v = json_object_get(o, "vocabulary");
    assert_json(json_object_get(v, "bos"), "{\"id\":1,\"text\":\"a\xef\xbf\xbd\"}");
    assert_json(json_object_get(v, "eos"), "{\"id\":99,\"text\":null}");
    assert_true(json_is_null(json_object_get(v, "pre")));
    json_decref(o);
    static const uint32_t absurd[] = {0, 65537, UINT32_MAX};
    for (size_t i = 0; i < 3; i++) {
        qn_meta_set_u32(&m, "x.block_count", absurd[i]);
        o = inspect_keys(&m);
        assert_true(json_is_null(json_object_get(o, "memory")));
        json_decref(o);
    }
    qn_arena_free(arena);
}

static void tells_adapters(void **state) {
    (void)state;
    json_t *o = inspect(QN_SAMPLES_DIR "/miller-sft/checkpoint-400", 0);
    assert_string_equal(qn_json_string(o, "kind"), "adapter");
    assert_json(json_object_get(o, "adapter"),
                "{\"peft_type\":\"LORA\",\"rank\":16,\"alpha\":32.0,\"variants\":[],"
                "\"base\":\"miller-base\",\"n_pairs\":28,\"others\":[]}");
    assert_true(json_is_null(json_object_get(o, "memory")));
    assert_int_equal(count_at(o, "n_tensors"), 56);
    json_decref(o);
    o = inspect(GGUF_DATA "lora.gguf", 0);
    const json_t *a = json_object_get(o, "adapter");
    assert_string_equal(qn_json_string(o, "kind"), "gguf");
    assert_int_equal(count_at(a, "n_pairs"), 1);
    assert_true(count_at(a, "rank") > 0);
    json_decref(o);
}

static void tells_safetensors_without_a_config(void **state) {
    (void)state;
    json_t *o = inspect(BASE "/model.safetensors", 0);
    assert_string_equal(qn_json_string(o, "kind"), "safetensors");
    assert_true(json_is_null(json_object_get(o, "arch")));
    assert_true(json_is_null(json_object_get(o, "hyperparameters")));
    assert_int_equal(count_at(o, "n_tensors"), 38);
    json_decref(o);
    char *dir = make_temp_dir();
    char *link = join_path(dir, "model.safetensors");
    assert_int_equal(symlink(BASE "/model.safetensors", link), 0);
    o = inspect(dir, 0);
    assert_string_equal(qn_json_string(o, "kind"), "safetensors");
    json_decref(o);
    free(link);
    remove_temp_dir(dir);
}

static void a_missing_vocabulary_is_noted(void **state) {
    (void)state;
    static const char *const files[] = {"model.safetensors", "config.json"};
    char *dir = make_temp_dir();
    for (size_t i = 0; i < 2; i++) {
        char *from = join_path(BASE, files[i]);
        char *to = join_path(dir, files[i]);
        assert_int_equal(symlink(from, to), 0);
        free(from);
        free(to);
    }
    json_t *o = inspect(dir, 0);
    assert_string_equal(qn_json_string(o, "kind"), "model");
    assert_int_equal(count_at(json_object_get(o, "hyperparameters"), "n_vocab"), 2048);
    assert_true(json_is_null(json_object_get(o, "vocabulary")));
    assert_int_equal(json_array_size(json_object_get(o, "notes")), 1);
    assert_non_null(strstr(json_string_value(json_array_get(json_object_get(o, "notes"), 0)), "tokenizer"));
    json_decref(o);
    remove_temp_dir(dir);
}

static void what_is_no_model_is_refused(void **state) {
    (void)state;
    static const struct {
        const char *name;
        const char *content;
        qn_status status;
        const char *told;
    } cases[] = {
        {"notes.txt", "hello", QN_E_UNSUPPORTED, "is neither a GGUF, nor a safetensors, nor a llama2.c file"},
        {"empty", "", QN_E_UNSUPPORTED, "is neither"},
        {"m.gguf", "hello", QN_E_FORMAT, "is not a GGUF file"},
        {"m.safetensors", "hello", QN_E_FORMAT, "is not a safetensors file"},
        {"renamed", "GGUF\x03", QN_E_FORMAT, "cut off"},
        {"m.safetensors", "version https://git-lfs.github.com/spec/v1\n", QN_E_NOT_FOUND, "git lfs pull"},
    };
    char *dir = make_temp_dir();
    char *text = NULL;
    qn_error err;
    assert_status(&err, qn_inspect(dir, 0, &text, &err), QN_E_NOT_FOUND);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *path = write_text(dir, cases[i].name, cases[i].content);
        assert_status(&err, qn_inspect(path, 0, &text, &err), cases[i].status);
        assert_message_has(&err, cases[i].told);
        free(path);
    }
    assert_status(&err, qn_inspect("/nonexistent", 0, &text, &err), QN_E_NOT_FOUND);
    remove_temp_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tells_every_kind_of_value),
        cmocka_unit_test(tells_a_model_folder),
        cmocka_unit_test(estimates_memory_by_its_formula),
        cmocka_unit_test(heads_may_differ_by_layer),
        cmocka_unit_test(tells_adapters),
        cmocka_unit_test(tells_safetensors_without_a_config),
        cmocka_unit_test(a_missing_vocabulary_is_noted),
        cmocka_unit_test(what_is_no_model_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
