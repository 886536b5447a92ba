/* SPDX-License-Identifier: MIT */
/* test_model_gguf.c: GGUF files opened as models: adapters merged into them, layers left out, metadata overridden. */
#include "model/tiny_family.h"

#include <math.h>

/* A base folder, the same as a GGUF file, and an adapter. */
typedef struct fixture {
    char *root;
    char *base;
    char *gguf;
    char *adapter;
    tiny_list tensors;
    tiny_list pairs;
    tiny_heard heard;
    qn_job *job;
} fixture;

static void begin(fixture *f) {
    *f = (fixture){.root = make_temp_dir()};
    f->base = make_dir(f->root, "base");
    f->adapter = make_dir(f->root, "adapter");
    f->job = qn_job_new(1, tiny_listen, &f->heard);
    tiny_llama(&f->tensors);
    tiny_adapter(&f->pairs);
}

static void end(fixture *f) {
    qn_job_free(f->job);
    free(f->base);
    free(f->gguf);
    free(f->adapter);
    remove_temp_dir(f->root);
}

/* Writes the base folder and, of it, a GGUF file. */
static void write_base(fixture *f, const char *patch, qn_dtype type) {
    qn_model *model = NULL;
    qn_error err;
    tiny_write_model(&f->tensors, f->base, patch);
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = f->base}, &model, &err));
    f->gguf = write_gguf(model, f->root, "base.gguf", type);
    qn_model_close(model);
}

static qn_status open_with(const fixture *f, const char *dir, double strength, qn_model **out, qn_error *err) {
    const qn_adapter_ref ref = {f->adapter, strength};
    return qn_model_open(&(qn_model_request){.dir = dir, .adapters = &ref, .n_adapters = 1, .job = f->job}, out, err);
}

static void test_plain(void **state) {
    fixture f;
    qn_model *model = NULL;
    qn_error err;
    (void)state;
    begin(&f);
    write_base(&f, NULL, QN_F32);
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = f.gguf}, &model, &err));
    assert_string_equal(model->arch_name, "llama");
    assert_non_null(model->arch);
    assert_int_equal(qn_hp_count(&model->hparams, QN_HP_N_LAYER), TINY_LAYER);
    assert_int_equal(qn_hp_count(&model->hparams, QN_HP_N_VOCAB), TINY_VOCAB);
    assert_false(model->hparams.is_tied);
    assert_int_equal(model->n_tensors, 3 + 9 * TINY_LAYER);
    const qn_file *file = NULL;
    uint64_t file_off = 0;
    qn_dtype type = QN_F16;
    assert_true(qn_recipe_is_bytes(model->tensors[0].recipe, &file, &file_off, &type));
    assert_int_equal(type, QN_F32);
    qn_model_close(model);
    end(&f);
}

static void add_nothing(tiny_list *pairs) {
    (void)pairs;
}

static void add_magnitudes(tiny_list *pairs) {
    for (size_t i = 0, n = pairs->n; i < n; i++) {
        char name[160];
        const char *at = strstr(pairs->tensors[i].name, "lora_B.weight");
        if (at != NULL) {
            (void)snprintf(name, sizeof name, "%.*slora_magnitude_vector", (int)(at - pairs->tensors[i].name),
                           pairs->tensors[i].name);
            (void)tiny_add(pairs, name, "F32", 1, pairs->tensors[i].dims[0], 1);
        }
    }
}

/* Key matrix, norms and embedding whole, a pair on the output, biases that the base lacks. */
static void add_others(tiny_list *pairs) {
    static const char head[] = "base_model.model.model.";
    char name[160];
    tiny_add_pair(pairs, "lm_head", 4, TINY_VOCAB, TINY_EMBD);
    (void)snprintf(name, sizeof name, "%slayers.0.self_attn.k_proj.weight", head);
    (void)tiny_add(pairs, name, "F32", 2, (uint64_t)TINY_KV * TINY_HEAD_DIM, TINY_EMBD);
    (void)snprintf(name, sizeof name, "%slayers.0.input_layernorm.weight", head);
    (void)tiny_add(pairs, name, "F32", 1, TINY_EMBD, 1);
    (void)snprintf(name, sizeof name, "%sembed_tokens.modules_to_save.weight", head);
    (void)tiny_add(pairs, name, "F32", 2, TINY_VOCAB, TINY_EMBD);
    (void)snprintf(name, sizeof name, "%slayers.1.self_attn.q_proj.lora_B.bias", head);
    (void)tiny_add(pairs, name, "F32", 1, (uint64_t)TINY_HEAD * TINY_HEAD_DIM, 1);
}

/* What a merge into the folder gives, a merge into its float32 GGUF file gives too, bit for bit. */
static void check_merge(const char *what, const char *patch, const char *change, double strength,
                        void (*add)(tiny_list *pairs)) {
    fixture f;
    qn_model *of_folder = NULL;
    qn_model *of_gguf = NULL;
    qn_error err;
    begin(&f);
    add(&f.pairs);
    tiny_write_adapter(&f.pairs, f.adapter, change);
    write_base(&f, patch, QN_F32);
    assert_ok(&err, open_with(&f, f.base, strength, &of_folder, &err));
    assert_ok(&err, open_with(&f, f.gguf, strength, &of_gguf, &err));
    if (!same_tensors(of_folder, of_gguf)) {
        print_error("%s: the merges differ\n", what);
        fail();
    }
    for (uint64_t i = 0; i < of_folder->n_tensors; i++) {
        const qn_model_tensor *t = &of_folder->tensors[i];
        assert_int_equal(find_tensor(of_gguf, t->name)->is_merged, t->is_merged);
    }
    qn_model_close(of_folder);
    qn_model_close(of_gguf);
    end(&f);
}

static void test_merge(void **state) {
    (void)state;
    check_merge("LoRA", NULL, NULL, 1, add_nothing);
    check_merge("rsLoRA, half of it", NULL, "{'use_rslora':true}", 0.5, add_nothing);
    check_merge("DoRA", NULL, "{'use_dora':true}", 1, add_magnitudes);
    check_merge("other parts", NULL, NULL, 1, add_others);
    check_merge("other parts, tied", "{'tie_word_embeddings':true}", NULL, 1, add_others);
}

/* Experts are changed one by one, in the folder and in the GGUF file's stacks. */
static void test_merge_experts(void **state) {
    fixture f;
    qn_model *plain = NULL;
    qn_model *of_folder = NULL;
    qn_model *of_gguf = NULL;
    qn_error err;
    (void)state;
    begin(&f);
    tiny_list *list = calloc(1, sizeof *list);
    assert_non_null(list);
    write_family(family_named("qwen2moe"), f.base, list);
    f.pairs.n = 0;
    tiny_add_pair(&f.pairs, "model.layers.1.mlp.experts.2.up_proj", 4, 32, 32);
    tiny_add_pair(&f.pairs, "model.layers.1.mlp.shared_expert_gate", 4, 1, 32);
    tiny_write_adapter(&f.pairs, f.adapter, NULL);
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = f.base}, &plain, &err));
    f.gguf = write_gguf(plain, f.root, "experts.gguf", QN_F32);
    assert_ok(&err, open_with(&f, f.base, 1, &of_folder, &err));
    assert_ok(&err, open_with(&f, f.gguf, 1, &of_gguf, &err));
    assert_true(same_tensors(of_folder, of_gguf));
    float *before = values_of(plain, "blk.1.ffn_up_exps.weight");
    float *after = values_of(of_gguf, "blk.1.ffn_up_exps.weight");
    for (size_t expert = 0; expert < 4; expert++) {
        const size_t at = expert * 32 * 32;
        assert_int_equal(memcmp(before + at, after + at, sizeof(float) * 32 * 32) != 0, expert == 2);
    }
    assert_true(find_tensor(of_gguf, "blk.1.ffn_up_exps.weight")->is_merged);
    assert_true(find_tensor(of_gguf, "blk.1.ffn_gate_inp_shexp.weight")->is_merged);
    assert_false(find_tensor(of_gguf, "blk.1.ffn_gate_exps.weight")->is_merged);
    free(before);
    free(after);
    free(list);
    qn_model_close(plain);
    qn_model_close(of_folder);
    qn_model_close(of_gguf);
    end(&f);
}

/* Quantised weights are decoded and changed; what is not changed stays as it is. */
static void test_merge_into_quantised(void **state) {
    fixture f;
    qn_model *plain = NULL;
    qn_model *merged = NULL;
    qn_model *of_folder = NULL;
    qn_error err;
    (void)state;
    begin(&f);
    tiny_write_adapter(&f.pairs, f.adapter, NULL);
    write_base(&f, NULL, QN_Q8_0);
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = f.gguf}, &plain, &err));
    assert_ok(&err, open_with(&f, f.gguf, 1, &merged, &err));
    assert_ok(&err, open_with(&f, f.base, 1, &of_folder, &err));
    assert_true(same_tensor(find_tensor(plain, "blk.0.attn_k.weight"), find_tensor(merged, "blk.0.attn_k.weight")));
    assert_int_equal(qn_recipe_source_type(find_tensor(merged, "blk.0.attn_q.weight")->recipe), QN_Q8_0);
    float *v = values_of(merged, "blk.1.attn_q.weight");
    float *wanted = values_of(of_folder, "blk.1.attn_q.weight");
    for (size_t i = 0; i < (size_t)TINY_HEAD * TINY_HEAD_DIM * TINY_EMBD; i++) {
        assert_true(fabsf(v[i] - wanted[i]) < 1e-3F);
    }
    free(v);
    free(wanted);
    qn_model_close(plain);
    qn_model_close(merged);
    qn_model_close(of_folder);
    end(&f);
}

/* An adapter for more tokens than the file has, and one for a module that is not there. */
static void test_adapters_that_do_not_fit(void **state) {
    static const struct {
        const char *name;
        uint64_t rows;
        qn_status status;
        const char *has;
    } rows[] = {
        {"base_model.model.model.embed_tokens.modules_to_save.weight", TINY_VOCAB + 8, QN_E_SHAPE,
         "has 2048 tokens, and the adapter brings an embedding of 2056"},
        {"base_model.model.model.layers.9.self_attn.q_proj.weight", TINY_EMBD, QN_E_FORMAT, "(llama, 2 layers)"},
        {"base_model.model.model.layers.0.self_attn.o_proj.weight", 7, QN_E_SHAPE, "its metadata calls for [32, 32]"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture f;
        qn_model *model = NULL;
        qn_error err;
        begin(&f);
        (void)tiny_add(&f.pairs, rows[i].name, "F32", 2, rows[i].rows, TINY_EMBD);
        tiny_write_adapter(&f.pairs, f.adapter, NULL);
        write_base(&f, NULL, QN_F32);
        assert_status(&err, open_with(&f, f.gguf, 1, &model, &err), rows[i].status);
        assert_message_has(&err, rows[i].has);
        end(&f);
    }
}

/* A family without a table: its tensors are there, adapters are refused. */
static void test_unknown_family(void **state) {
    fixture f;
    qn_model *model = NULL;
    qn_error err;
    (void)state;
    begin(&f);
    tiny_write_adapter(&f.pairs, f.adapter, NULL);
    tiny_write_model(&f.tensors, f.base, NULL);
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = f.base}, &model, &err));
    qn_meta_set_string(&model->meta, "general.architecture", "mamba");
    qn_meta_set_u32(&model->meta, "mamba.block_count", 2);
    f.gguf = write_gguf(model, f.root, "base.gguf", QN_F16);
    qn_model_close(model);
    assert_status(&err, open_with(&f, f.gguf, 1, &model, &err), QN_E_UNSUPPORTED);
    assert_message_has(&err, "family 'mamba'");
    const uint64_t pruned = 0;
    const qn_model_request request = {.dir = f.gguf, .pruned_layers = &pruned, .n_pruned_layers = 1};
    assert_ok(&err, qn_model_open(&request, &model, &err));
    assert_null(model->arch);
    assert_int_equal(model->n_tensors, 3 + 9 * (TINY_LAYER - 1));
    qn_model_close(model);
    end(&f);
}

/* ---- layers left out ---- */

static void check_pruned(const fixture *f, const char *dir, const qn_model *whole) {
    const uint64_t pruned[] = {0, 0};
    qn_model *model = NULL;
    uint64_t n_layer = 0;
    qn_error err;
    const qn_model_request request = {.dir = dir, .pruned_layers = pruned, .n_pruned_layers = 2, .job = f->job};
    assert_ok(&err, qn_model_open(&request, &model, &err));
    assert_int_equal(model->n_tensors, whole->n_tensors - 9);
    assert_true(qn_meta_u64(&model->meta, "llama.block_count", &n_layer) && n_layer == TINY_LAYER - 1);
    assert_int_equal(qn_hp_count(&model->hparams, QN_HP_N_LAYER), TINY_LAYER - 1);
    assert_null(find_tensor(model, "blk.1.attn_q.weight"));
    assert_true(same_tensor(find_tensor(whole, "blk.1.attn_q.weight"), find_tensor(model, "blk.0.attn_q.weight")));
    assert_true(same_tensor(find_tensor(whole, "output_norm.weight"), find_tensor(model, "output_norm.weight")));
    uint64_t n_weights = 0;
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        n_weights += qn_recipe_rows(model->tensors[i].recipe) * qn_recipe_cols(model->tensors[i].recipe);
    }
    assert_int_equal(model->n_weights, n_weights);
    qn_model_close(model);
}

static void test_pruned(void **state) {
    static const uint64_t all[] = {1, 0};
    static const uint64_t beyond[] = {2};
    fixture f;
    qn_model *model = NULL;
    qn_error err;
    (void)state;
    begin(&f);
    write_base(&f, NULL, QN_F32);
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = f.base}, &model, &err));
    check_pruned(&f, f.base, model);
    check_pruned(&f, f.gguf, model);
    qn_model_close(model);
    for (int i = 0; i < 2; i++) {
        const char *dir = i == 0 ? f.base : f.gguf;
        assert_status(
            &err,
            qn_model_open(&(qn_model_request){.dir = dir, .pruned_layers = all, .n_pruned_layers = 2}, &model, &err),
            QN_E_USAGE);
        assert_message_has(&err, "all 2 layers");
        assert_status(
            &err,
            qn_model_open(&(qn_model_request){.dir = dir, .pruned_layers = beyond, .n_pruned_layers = 1}, &model, &err),
            QN_E_USAGE);
        assert_message_has(&err, "layer 2 cannot be left out: the model has layers 0 to 1");
    }
    end(&f);
}

/* Metadata with an item for each layer lose those of the layers left out; others stay. */
static void test_pruned_arrays(void **state) {
    static const uint32_t heads[] = {2, 2};
    static const int32_t other[] = {5, 6};
    static const uint64_t pruned[] = {0};
    fixture f;
    qn_model *model = NULL;
    qn_error err;
    (void)state;
    begin(&f);
    tiny_write_model(&f.tensors, f.base, NULL);
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = f.base}, &model, &err));
    qn_meta_set_array(&model->meta, "llama.attention.head_count_kv", QN_META_U32, heads, 2);
    qn_meta_set_array(&model->meta, "llama.something", QN_META_I32, other, 2);
    qn_meta_set_array(&model->meta, "other.something", QN_META_I32, other, 2);
    f.gguf = write_gguf(model, f.root, "base.gguf", QN_F16);
    qn_model_close(model);
    assert_ok(
        &err,
        qn_model_open(&(qn_model_request){.dir = f.gguf, .pruned_layers = pruned, .n_pruned_layers = 1}, &model, &err));
    assert_int_equal(qn_meta_find(&model->meta, "llama.attention.head_count_kv")->as.array.n, 1);
    const qn_meta_value *v = qn_meta_find(&model->meta, "llama.something");
    assert_int_equal(v->as.array.n, 1);
    assert_int_equal(((const int32_t *)v->as.array.items)[0], 6);
    assert_int_equal(qn_meta_find(&model->meta, "other.something")->as.array.n, 2);
    qn_model_close(model);
    end(&f);
}

/* ---- overrides ---- */

static const struct {
    const char *text;
    const char *key;
    qn_meta_type type;
    double value;
} overrides[] = {
    {"llama.context_length=int:4096", "llama.context_length", QN_META_U32, 4096},
    {"tokenizer.ggml.bos_token_id=int:7", "tokenizer.ggml.bos_token_id", QN_META_U32, 7},
    {"my.count=int:4294967295", "my.count", QN_META_U32, 4294967295.0},
    {"my.count=int:4294967296", "my.count", QN_META_I64, 4294967296.0},
    {"my.count=int:-3", "my.count", QN_META_I32, -3},
    {"my.count=int:-3000000000", "my.count", QN_META_I64, -3e9},
    {"my.share=float:0.5", "my.share", QN_META_F32, 0.5},
    {"my.flag=bool:true", "my.flag", QN_META_BOOL, 1},
    {"my.flag=bool:false", "my.flag", QN_META_BOOL, 0},
    {"general.name=str:a:b=c", "general.name", QN_META_STRING, 5},
    {"general.name=str:", "general.name", QN_META_STRING, 0},
};

static double number_of(const qn_meta_value *v) {
    switch (v->type) {
    case QN_META_BOOL: return v->as.b ? 1 : 0;
    case QN_META_STRING: return (double)v->as.text.len;
    case QN_META_F32: return v->as.f;
    case QN_META_I32:
    case QN_META_I64: return (double)v->as.i;
    default: return (double)v->as.u;
    }
}

static void test_overrides(void **state) {
    fixture f;
    (void)state;
    begin(&f);
    write_base(&f, NULL, QN_F16);
    for (size_t i = 0; i < 2 * sizeof overrides / sizeof overrides[0]; i++) {
        const size_t k = i / 2;
        const qn_model_request request = {
            .dir = i % 2 == 0 ? f.base : f.gguf, .overrides = &overrides[k].text, .n_overrides = 1};
        qn_model *model = NULL;
        qn_error err;
        assert_ok(&err, qn_model_open(&request, &model, &err));
        const qn_meta_value *v = qn_meta_find(&model->meta, overrides[k].key);
        if (v == NULL || v->type != overrides[k].type || number_of(v) != overrides[k].value) {
            print_error("%s: type %s, value %g\n", overrides[k].text, v == NULL ? "-" : qn_meta_type_name(v->type),
                        v == NULL ? 0 : number_of(v));
            fail();
        }
        qn_model_close(model);
    }
    end(&f);
}

static void test_bad_overrides(void **state) {
    static const char *const texts[] = {"",
                                        "key",
                                        "key=int",
                                        "=int:3",
                                        "key=long:3",
                                        "key=int:",
                                        "key=int:x",
                                        "key=int:3x",
                                        "key=int: 3",
                                        "key=float:",
                                        "key=float:1e99",
                                        "key=float:nan",
                                        "key=bool:1",
                                        "key=bool:TRUE",
                                        "key=int:99999999999999999999",
                                        "general.alignment=int:64",
                                        "general.architecture=str:x",
                                        "split.count=int:2",
                                        "llama.context_length=int:-1",
                                        "llama.context_length=int:4294967296"};
    fixture f;
    (void)state;
    begin(&f);
    write_base(&f, NULL, QN_F16);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const qn_model_request request = {.dir = f.gguf, .overrides = &texts[i], .n_overrides = 1};
        qn_model *model = NULL;
        qn_error err;
        char quoted[128];
        if (qn_model_open(&request, &model, &err) == QN_OK) {
            print_error("'%s' was taken\n", texts[i]);
            fail();
        }
        assert_int_equal(err.status, QN_E_USAGE);
        (void)snprintf(quoted, sizeof quoted, "override '%s'", texts[i]);
        assert_message_has(&err, quoted);
    }
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_merge),
        cmocka_unit_test(test_merge_experts),
        cmocka_unit_test(test_merge_into_quantised),
        cmocka_unit_test(test_adapters_that_do_not_fit),
        cmocka_unit_test(test_unknown_family),
        cmocka_unit_test(test_pruned),
        cmocka_unit_test(test_pruned_arrays),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_bad_overrides),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
