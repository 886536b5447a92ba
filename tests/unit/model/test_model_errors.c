/* SPDX-License-Identifier: MIT */
/* test_model_errors.c: a table of folders that cannot be one model, and what each message must name. */
#include "model/tiny_model.h"

#include "model/model.h"

/* A tensor added to a list. */
typedef struct addition {
    const char *name;
    unsigned n_dims;
    uint64_t dims[2];
} addition;

typedef struct broken_model {
    const char *what;
    const char *patch;  /* of config.json */
    const char *remove; /* a tensor of the model; "*": all */
    addition add[2];
    bool has_adapter;
    const char *adapter_remove;
    addition adapter_add[2];
    qn_status status;
    const char *has[3];
} broken_model;

#define L0 "model.layers.0."

static const broken_model rows[] = {
    /* ---- config.json ---- */
    {.what = "another family",
     .patch = "{'architectures':['MambaForCausalLM']}",
     .status = QN_E_UNSUPPORTED,
     .has = {"config.json", "MambaForCausalLM", "Llama"}},
    {.what = "no class",
     .patch = "{'architectures':'<absent>'}",
     .status = QN_E_FORMAT,
     .has = {"config.json", "architectures", ""}},
    {.what = "quantised already",
     .patch = "{'quantization_config':{'quant_method':'gptq','bits':4}}",
     .status = QN_E_UNSUPPORTED,
     .has = {"config.json", "(gptq)", "give the model they were made of"}},
    {.what = "quantised, no method said",
     .patch = "{'quantization_config':{}}",
     .status = QN_E_UNSUPPORTED,
     .has = {"config.json", "quantised already", ""}},
    {.what = "too many layers",
     .patch = "{'num_hidden_layers':65536}",
     .status = QN_E_FORMAT,
     .has = {"65536 layers", "", ""}},
    {.what = "odd heads", .patch = "{'head_dim':5}", .status = QN_E_FORMAT, .has = {"config.json", "odd size (5)", ""}},
    /* ---- missing tensors ---- */
    {.what = "no weights at all",
     .remove = "*",
     .status = QN_E_NOT_FOUND,
     .has = {"model.embed_tokens.weight", "", ""}},
    {.what = "no embedding",
     .remove = "model.embed_tokens.weight",
     .status = QN_E_NOT_FOUND,
     .has = {"no token embedding", "'model.embed_tokens.weight'", ""}},
    {.what = "one missing",
     .remove = L0 "mlp.up_proj.weight",
     .status = QN_E_NOT_FOUND,
     .has = {"1 tensors of the model are missing", "'model.layers.0.mlp.up_proj.weight'", ""}},
    {.what = "a layer missing",
     .patch = "{'num_hidden_layers':3}",
     .status = QN_E_NOT_FOUND,
     .has = {"9 tensors of the model are missing", "'model.layers.2.input_layernorm.weight'", ", …"}},
    {.what = "Qwen's biases missing",
     .patch = "{'architectures':['Qwen2ForCausalLM']}",
     .status = QN_E_NOT_FOUND,
     .has = {"6 tensors", "'model.layers.0.self_attn.q_proj.bias'", ", …"}},
    /* ---- tensors too many ---- */
    {.what = "a name of no family",
     .add = {{"model.layers.0.mlp.experts.0.w1.weight", 2, {4, 4}}},
     .status = QN_E_FORMAT,
     .has = {"'model.layers.0.mlp.experts.0.w1.weight' has no place", "llama", "another family"}},
    {.what = "a layer too many",
     .add = {{"model.layers.2.mlp.up_proj.weight", 2, {TINY_FF, TINY_EMBD}}},
     .status = QN_E_FORMAT,
     .has = {"'model.layers.2.mlp.up_proj.weight' is of layer 2", "2 layers", ""}},
    {.what = "a layer far too many",
     .add = {{"model.layers.999999999.mlp.up_proj.weight", 2, {TINY_FF, TINY_EMBD}}},
     .status = QN_E_FORMAT,
     .has = {"is of layer 999999999", "2 layers", ""}},
    {.what = "the same twice, once bare",
     .add = {{"layers.0.mlp.up_proj.weight", 2, {TINY_FF, TINY_EMBD}}},
     .status = QN_E_FORMAT,
     .has = {"'layers.0.mlp.up_proj.weight'", "'model.layers.0.mlp.up_proj.weight'", "the same part"}},
    {.what = "Qwen3's norms in a Llama",
     .add = {{L0 "self_attn.q_norm.weight", 1, {TINY_HEAD_DIM, 1}}},
     .status = QN_E_FORMAT,
     .has = {"q_norm", "variant quern does not know", ""}},
    /* ---- shapes ---- */
    {.what = "a matrix turned",
     .remove = L0 "mlp.up_proj.weight",
     .add = {{L0 "mlp.up_proj.weight", 2, {TINY_EMBD, TINY_FF}}},
     .status = QN_E_SHAPE,
     .has = {"model.safetensors", "'model.layers.0.mlp.up_proj.weight' has shape [32, 64]", "[64, 32]"}},
    {.what = "a matrix for a vector",
     .remove = "model.norm.weight",
     .add = {{"model.norm.weight", 2, {1, TINY_EMBD}}},
     .status = QN_E_SHAPE,
     .has = {"'model.norm.weight' has shape [1, 32]", "calls for [32]", ""}},
    {.what = "a vector for a matrix",
     .remove = L0 "mlp.up_proj.weight",
     .add = {{L0 "mlp.up_proj.weight", 1, {2048, 1}}},
     .status = QN_E_SHAPE,
     .has = {"has shape [2048]", "[64, 32]", ""}},
    {.what = "a scalar",
     .remove = "model.norm.weight",
     .add = {{"model.norm.weight", 0, {1, 1}}},
     .status = QN_E_SHAPE,
     .has = {"'model.norm.weight' has shape []", "", ""}},
    {.what = "an embedding of rank 1",
     .remove = "model.embed_tokens.weight",
     .add = {{"model.embed_tokens.weight", 1, {2048, 1}}},
     .status = QN_E_NOT_FOUND,
     .has = {"no token embedding", "", ""}},
    {.what = "an empty embedding",
     .remove = "model.embed_tokens.weight",
     .add = {{"model.embed_tokens.weight", 2, {0, 32}}},
     .status = QN_E_NOT_FOUND,
     .has = {"no token embedding", "", ""}},
    {.what = "the output's rows are others",
     .remove = "lm_head.weight",
     .add = {{"lm_head.weight", 2, {2047, 32}}},
     .status = QN_E_SHAPE,
     .has = {"'lm_head.weight' has shape [2047, 32]", "[2048, 32]", ""}},
    {.what = "fewer key heads than the tensor",
     .patch = "{'num_key_value_heads':4}",
     .status = QN_E_SHAPE,
     .has = {"k_proj", "[16, 32]", "[32, 32]"}},
    /* ---- adapters ---- */
    {.what = "a module of no model",
     .has_adapter = true,
     .adapter_add = {{"model.layers.0.self_attn.q_porj.lora_A.weight", 2, {4, 32}},
                     {"model.layers.0.self_attn.q_porj.lora_B.weight", 2, {32, 4}}},
     .status = QN_E_FORMAT,
     .has = {"'model.layers.0.self_attn.q_porj'", "nearest: 'model.layers.0.self_attn.q_proj'", "Nothing was merged"}},
    {.what = "a layer the base lacks",
     .has_adapter = true,
     .adapter_add = {{"model.layers.7.self_attn.q_proj.lora_A.weight", 2, {4, 32}},
                     {"model.layers.7.self_attn.q_proj.lora_B.weight", 2, {32, 4}}},
     .status = QN_E_FORMAT,
     .has = {"'model.layers.7.self_attn.q_proj'", "2 layers", "nearest"}},
    {.what = "a trained module of no model",
     .has_adapter = true,
     .adapter_add = {{"score.weight", 2, {2, 32}}},
     .status = QN_E_FORMAT,
     .has = {"'score.weight'", "module 'score'", ""}},
    {.what = "a pair of other sizes",
     .has_adapter = true,
     .adapter_add = {{L0 "mlp.up_proj.lora_A.weight", 2, {4, 48}}, {L0 "mlp.up_proj.lora_B.weight", 2, {64, 4}}},
     .status = QN_E_SHAPE,
     .has = {"'model.layers.0.mlp.up_proj'", "[64, 48]", "[64, 32]"}},
    {.what = "a trained tensor of another size",
     .has_adapter = true,
     .adapter_add = {{"model.norm.weight", 1, {33, 1}}},
     .status = QN_E_SHAPE,
     .has = {"adapter_model.safetensors", "'model.norm.weight' has shape [33]", "[32]"}},
    {.what = "a pair on a vector",
     .has_adapter = true,
     .adapter_add = {{"model.norm.lora_A.weight", 2, {4, 32}}, {"model.norm.lora_B.weight", 2, {1, 4}}},
     .status = QN_E_UNSUPPORTED,
     .has = {"'model.norm'", "vector", ""}},
    {.what = "two pairs of one module, once bare",
     .has_adapter = true,
     .adapter_add = {{"layers.0.self_attn.q_proj.lora_A.weight", 2, {4, 32}},
                     {"layers.0.self_attn.q_proj.lora_B.weight", 2, {32, 4}}},
     .status = QN_E_FORMAT,
     .has = {"'layers.0.self_attn.q_proj'", "'model.layers.0.self_attn.q_proj'", "same"}},
    {.what = "two trained tensors of one module, once bare",
     .has_adapter = true,
     .adapter_add = {{"model.norm.weight", 1, {32, 1}}, {"norm.weight", 1, {32, 1}}},
     .status = QN_E_FORMAT,
     .has = {"'model.norm.weight'", "'norm.weight'", "same"}},
    {.what = "a bias of another size",
     .has_adapter = true,
     .adapter_add = {{L0 "self_attn.q_proj.lora_B.bias", 1, {31, 1}}},
     .status = QN_E_SHAPE,
     .has = {"lora_B.bias' has shape [31]", "[32]", ""}},
    {.what = "half a pair",
     .has_adapter = true,
     .adapter_remove = "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight",
     .status = QN_E_FORMAT,
     .has = {"no partner", "", ""}},
    {.what = "lm_head's pair, and no lm_head",
     .remove = "lm_head.weight",
     .has_adapter = true,
     .adapter_add = {{"lm_head.lora_A.weight", 2, {4, 32}}, {"lm_head.lora_B.weight", 2, {2048, 4}}},
     .status = QN_E_NOT_FOUND,
     .has = {"'lm_head.weight'", "missing", ""}},
};

static void add_all(tiny_list *list, const addition *add) {
    for (size_t k = 0; k < 2 && add[k].name != NULL; k++) {
        (void)tiny_add(list, add[k].name, "F32", add[k].n_dims, add[k].dims[0], add[k].dims[1]);
    }
}

static void write_base(const broken_model *row, const char *dir) {
    tiny_list list;
    tiny_llama(&list);
    if (row->remove != NULL && strcmp(row->remove, "*") == 0) {
        list.n = 0;
    } else if (row->remove != NULL) {
        tiny_remove(&list, row->remove);
    }
    add_all(&list, row->add);
    tiny_write_model(&list, dir, row->patch);
}

static void write_adapter(const broken_model *row, const char *dir) {
    tiny_list list;
    tiny_adapter(&list);
    if (row->adapter_remove != NULL) {
        tiny_remove(&list, row->adapter_remove);
    }
    add_all(&list, row->adapter_add);
    tiny_write_adapter(&list, dir, NULL);
}

static void test_broken(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const broken_model *row = &rows[i];
        char *root = make_temp_dir();
        char *base = make_dir(root, "base");
        char *adapter = make_dir(root, "adapter");
        const qn_adapter_ref ref = {adapter, 1.0};
        const qn_model_request request = {.dir = base, .adapters = &ref, .n_adapters = row->has_adapter ? 1 : 0};
        qn_model *model = NULL;
        qn_error err = {QN_OK, ""};
        write_base(row, base);
        write_adapter(row, adapter);
        const qn_status status = qn_model_open(&request, &model, &err);
        bool has_all = strstr(err.message, row->has_adapter && row->add[0].name == NULL ? "/" : base) != NULL;
        for (size_t k = 0; k < 3; k++) {
            has_all = has_all && strstr(err.message, row->has[k]) != NULL;
        }
        if (status != row->status || !has_all) {
            print_error("%s: %s %s\n", row->what, qn_status_name(status), err.message);
            fail();
        }
        assert_null(model);
        free(base);
        free(adapter);
        remove_temp_dir(root);
    }
}

static void test_not_a_model(void **state) {
    char *dir = make_temp_dir();
    qn_model *model = NULL;
    qn_error err;
    (void)state;
    assert_status(&err, qn_model_open_any(dir, &model, &err), QN_E_NOT_FOUND);
    assert_message_has(&err, "config.json");
    assert_message_has(&err, dir);
    assert_status(&err, qn_model_open_any("/nowhere/at/all.gguf", &model, &err), QN_E_NOT_FOUND);
    assert_message_has(&err, "/nowhere/at/all.gguf");
    tiny_write_json(dir, "config.json", tiny_llama_config, NULL);
    assert_status(&err, qn_model_open_any(dir, &model, &err), QN_E_NOT_FOUND); /* no weights */
    assert_message_has(&err, dir);
    remove_temp_dir(dir);
}

/* Every folder that was looked in for a tokenizer is told. */
static void test_missing_tokenizer(void **state) {
    char *root = make_temp_dir();
    char *base = make_dir(root, "base");
    char *run = make_dir(root, "run");
    char *fallback = make_dir(root, "fallback");
    char *adapter = make_dir(root, "adapter");
    const char *extra = run;
    const qn_adapter_ref ref = {adapter, 1.0};
    const qn_model_request request = {.dir = base,
                                      .adapters = &ref,
                                      .n_adapters = 1,
                                      .extra_dirs = &extra,
                                      .n_extra_dirs = 1,
                                      .fallback_dir = fallback};
    tiny_list list;
    qn_model *model = NULL;
    qn_error err;
    (void)state;
    tiny_llama(&list);
    tiny_write(&list, base, "model.safetensors");
    tiny_write_json(base, "config.json", tiny_llama_config, NULL);
    tiny_adapter(&list);
    tiny_write_adapter(&list, adapter, NULL);
    assert_status(&err, qn_model_open(&request, &model, &err), QN_E_NOT_FOUND);
    assert_message_has(&err, base);
    assert_message_has(&err, run);
    assert_message_has(&err, fallback);
    assert_message_has(&err, adapter);
    assert_message_has(&err, "tokenizer.model");
    tiny_copy_sample(fallback, "tokenizer.model");
    assert_ok(&err, qn_model_open(&request, &model, &err));
    assert_non_null(strstr(model->vocab.source, "fallback"));
    qn_model_close(model);
    free(base);
    free(run);
    free(fallback);
    free(adapter);
    remove_temp_dir(root);
}

/* A row more than a vocabulary may have. The file is as small as that can be: an emulator keeps book of each page. */
static void test_too_many_rows(void **state) {
    char *dir = make_temp_dir();
    tiny_list list = {.n = 0};
    qn_model *model = NULL;
    qn_error err;
    (void)state;
    tiny_llama(&list);
    tiny_at(&list, "model.embed_tokens.weight")->dims[0] = (1U << 28) + 1;
    tiny_at(&list, "model.embed_tokens.weight")->type = "BF16";
    tiny_write_sparse(&list, dir, "model.safetensors");
    tiny_write_json(dir, "config.json", tiny_llama_config, NULL);
    assert_status(&err, qn_model_open_any(dir, &model, &err), QN_E_FORMAT);
    assert_message_has(&err, "268435457 rows");
    remove_temp_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_not_a_model),
        cmocka_unit_test(test_missing_tokenizer),
        cmocka_unit_test(test_too_many_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
