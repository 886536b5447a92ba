/* SPDX-License-Identifier: MIT */
/* test_model.c: folders opened as models: names, shapes, what is tied, replaced, cut, merged and exported. */
#include "model/tiny_model.h"

#include "model/model.h"

#include <math.h>

/* A base folder, and one adapter beside it. */
typedef struct fixture {
    char *root;
    char *base;
    char *adapter;
    tiny_list tensors;
    tiny_list pairs;
    tiny_heard heard;
    qn_job *job;
    qn_model *model;
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
    qn_model_close(f->model);
    qn_job_free(f->job);
    free(f->base);
    free(f->adapter);
    remove_temp_dir(f->root);
}

/* Writes what the fixture says and opens it. @param adapter_patch NULL: without the adapter */
static qn_status open_fixture(fixture *f, const char *patch, const char *adapter_patch, qn_error *err) {
    const qn_adapter_ref ref = {f->adapter, 1.0};
    tiny_write_model(&f->tensors, f->base, patch);
    if (adapter_patch != NULL) {
        tiny_write_adapter(&f->pairs, f->adapter, adapter_patch);
    }
    const qn_model_request request = {
        .dir = f->base, .adapters = &ref, .n_adapters = adapter_patch == NULL ? 0 : 1, .job = f->job};
    qn_model_close(f->model);
    f->model = NULL;
    return qn_model_open(&request, &f->model, err);
}

static const qn_model_tensor *find_tensor(const qn_model *model, const char *name) {
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        if (strcmp(model->tensors[i].name, name) == 0) {
            return &model->tensors[i];
        }
    }
    return NULL;
}

/* All rows of a tensor; free them. */
static float *values_of(const qn_model *model, const char *name) {
    const qn_model_tensor *t = find_tensor(model, name);
    qn_ready *ready = NULL;
    qn_scratch scratch = {0};
    qn_error err;
    assert_non_null(t);
    float *v = malloc((size_t)(qn_recipe_rows(t->recipe) * qn_recipe_cols(t->recipe)) * sizeof *v);
    assert_non_null(v);
    assert_ok(&err, qn_ready_open(t->recipe, QN_CPU_SCALAR, &ready, &err));
    assert_ok(&err, qn_ready_rows(ready, 0, qn_recipe_rows(t->recipe), v, &scratch, &err));
    qn_scratch_clear(&scratch);
    qn_ready_close(ready);
    return v;
}

static double meta_number(const qn_model *model, const char *key) {
    const qn_meta_value *v = qn_meta_find(&model->meta, key);
    return v == NULL ? NAN : v->type == QN_META_F32 ? v->as.f : (double)v->as.u;
}

static void test_plain(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    assert_ok(&err, open_fixture(&f, NULL, NULL, &err));
    assert_string_equal(f.model->arch_name, "llama");
    assert_int_equal(f.model->n_tensors, 3 + 9 * TINY_LAYER);
    assert_int_equal(f.model->vocab.n_tokens, TINY_VOCAB);
    assert_string_equal(qn_meta_string(&f.model->meta, "general.name"), "base");
    assert_string_equal(qn_meta_string(&f.model->meta, "general.type"), "model");
    assert_true(meta_number(f.model, "llama.vocab_size") == TINY_VOCAB);
    assert_int_equal(f.heard.n_warnings, 0);
    uint64_t n_weights = 0;
    for (uint64_t i = 0; i < f.model->n_tensors; i++) {
        const qn_model_tensor *t = &f.model->tensors[i];
        n_weights += qn_shape_rows(&t->shape) * qn_shape_cols(&t->shape);
        assert_false(t->is_merged || t->is_generated);
        assert_non_null(t->recipe);
        assert_non_null(tiny_at(&f.tensors, t->source));
    }
    assert_int_equal(f.model->n_weights, n_weights);
    assert_string_equal(f.model->tensors[0].name, "token_embd.weight");
    assert_string_equal(f.model->tensors[f.model->n_tensors - 1].name, "output.weight");
    end(&f);
    qn_model_close(NULL);
}

/* The rotary regrouping of q: out[2i] = in[i], out[2i + 1] = in[i + d/2], in each head. */
static void test_rope_rows(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    assert_ok(&err, open_fixture(&f, NULL, NULL, &err));
    float *q = values_of(f.model, "blk.1.attn_q.weight");
    tiny_list one = {.n = 0};
    *tiny_add(&one, "x", "BF16", 2, 1, 1) = *tiny_at(&f.tensors, "model.layers.1.self_attn.q_proj.weight");
    qn_buffer bytes = {0};
    tiny_values(&one.tensors[0], &bytes);
    for (size_t row = 0; row < (size_t)TINY_HEAD * TINY_HEAD_DIM; row++) {
        const size_t in_head = row % TINY_HEAD_DIM;
        const size_t from = row - in_head + in_head / 2 + (in_head % 2 == 0 ? 0 : TINY_HEAD_DIM / 2);
        for (size_t col = 0; col < TINY_EMBD; col++) {
            uint32_t bits = 0;
            float wanted;
            memcpy((unsigned char *)&bits + 2, bytes.data + 2 * (from * TINY_EMBD + col), 2);
            memcpy(&wanted, &bits, sizeof wanted);
            assert_true(q[row * TINY_EMBD + col] == wanted);
        }
    }
    qn_buffer_clear(&bytes);
    free(q);
    end(&f);
}

static void test_bare_names(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    for (size_t i = 0; i < f.tensors.n; i++) {
        char *name = f.tensors.tensors[i].name;
        if (strncmp(name, "model.", 6) == 0) {
            memmove(name, name + 6, strlen(name + 6) + 1);
        }
    }
    assert_ok(&err, open_fixture(&f, "{'architectures':['LlamaModel']}", NULL, &err));
    assert_non_null(find_tensor(f.model, "blk.0.ffn_up.weight"));
    end(&f);
}

static void test_embedding_rows_count(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    assert_ok(&err, open_fixture(&f, "{'vocab_size':32000}", NULL, &err));
    assert_non_null(strstr(f.heard.notes, "2048 rows, config.json says vocab_size 32000"));
    assert_true(meta_number(f.model, "llama.vocab_size") == TINY_VOCAB);
    end(&f);
}

/* ---- the output matrix ---- */

static const struct {
    const char *what;
    const char *patch;
    bool has_lm_head;
    bool has_output; /* the model, then */
    unsigned n_warnings;
} outputs[] = {
    {"untied, of its own", "{'tie_word_embeddings':false}", true, true, 0},
    {"tied, a copy in the checkpoint", "{'tie_word_embeddings':true}", true, false, 0},
    {"tied, none in the checkpoint", "{'tie_word_embeddings':true}", false, false, 0},
    {"nothing said, of its own", "{'tie_word_embeddings':'<absent>'}", true, true, 0},
    /* readers take the embedding for it: that may be wrong, and nobody would see */
    {"untied, none in the checkpoint", "{'tie_word_embeddings':false}", false, false, 1},
    {"nothing said, none in the checkpoint", "{'tie_word_embeddings':'<absent>'}", false, false, 1},
};

static void test_output(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        fixture f;
        qn_error err;
        begin(&f);
        if (!outputs[i].has_lm_head) {
            tiny_remove(&f.tensors, "lm_head.weight");
        }
        assert_ok(&err, open_fixture(&f, outputs[i].patch, NULL, &err));
        if ((find_tensor(f.model, "output.weight") != NULL) != outputs[i].has_output ||
            f.heard.n_warnings != outputs[i].n_warnings) {
            print_error("%s: %u warnings: %s\n", outputs[i].what, f.heard.n_warnings, f.heard.warnings);
            fail();
        }
        assert_int_equal(strstr(f.heard.warnings, "lm_head") != NULL, outputs[i].n_warnings == 1);
        end(&f);
    }
}

/* A change of lm_head on a tied model: the output matrix is the embedding's values with the change. */
static void test_lora_on_tied_output(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    tiny_add_pair(&f.pairs, "lm_head", 4, TINY_VOCAB, TINY_EMBD);
    assert_ok(&err, open_fixture(&f, "{'tie_word_embeddings':true}", "{}", &err));
    const qn_model_tensor *output = find_tensor(f.model, "output.weight");
    assert_non_null(output);
    assert_true(output->is_merged);
    assert_string_equal(output->source, "model.embed_tokens.weight");
    assert_false(find_tensor(f.model, "token_embd.weight")->is_merged);
    assert_non_null(strstr(f.heard.notes, "untied"));
    float *embd = values_of(f.model, "token_embd.weight");
    float *out = values_of(f.model, "output.weight");
    size_t n_other = 0;
    for (size_t i = 0; i < (size_t)TINY_VOCAB * TINY_EMBD; i++) {
        n_other += embd[i] != out[i] ? 1 : 0;
        assert_true(fabsf(embd[i] - out[i]) < 0.1F); /* 4 products of two values within 0.1, twice */
    }
    assert_true(n_other > (size_t)TINY_VOCAB * TINY_EMBD / 2);
    free(embd);
    free(out);
    end(&f);
}

/* modules_to_save: trained tensors take the place of the base's, transformed like them. */
static void test_replaced(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    tiny_add(&f.pairs, "base_model.model.lm_head.weight", "F32", 2, TINY_VOCAB, TINY_EMBD);
    tiny_add(&f.pairs, "base_model.model.model.norm.modules_to_save.weight", "F32", 1, TINY_EMBD, 1);
    assert_ok(&err, open_fixture(&f, "{'tie_word_embeddings':true}", "{}", &err));
    assert_true(find_tensor(f.model, "output.weight")->is_merged);
    assert_string_equal(find_tensor(f.model, "output.weight")->source, "base_model.model.lm_head.weight");
    assert_true(find_tensor(f.model, "output_norm.weight")->is_merged);
    assert_int_equal(f.heard.n_warnings, 0);
    end(&f);
}

/* A resized embedding: its rows are the vocabulary, and the output matrix must have as many. */
static void test_resized_embedding(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    tiny_add(&f.pairs, "base_model.model.model.embed_tokens.weight", "F32", 2, TINY_VOCAB + 8, TINY_EMBD);
    assert_status(&err, open_fixture(&f, NULL, "{}", &err), QN_E_SHAPE);
    assert_message_has(&err, "lm_head.weight");
    tiny_add(&f.pairs, "base_model.model.lm_head.weight", "F32", 2, TINY_VOCAB + 8, TINY_EMBD);
    assert_ok(&err, open_fixture(&f, NULL, "{}", &err));
    assert_int_equal(f.model->vocab.n_tokens, TINY_VOCAB + 8);
    assert_int_equal(find_tensor(f.model, "token_embd.weight")->shape.dims[0], TINY_VOCAB + 8);
    end(&f);
}

/* lora_bias on a module whose bias the base lacks: the bias is the change alone, from zero. */
static void test_bias_from_nothing(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    tiny_add(&f.pairs, "base_model.model.model.layers.0.self_attn.q_proj.lora_B.bias", "F32", 1,
             (uint64_t)TINY_HEAD * TINY_HEAD_DIM, 1);
    assert_ok(&err, open_fixture(&f, NULL, "{}", &err));
    const qn_model_tensor *bias = find_tensor(f.model, "blk.0.attn_q.bias");
    assert_non_null(bias);
    assert_true(bias->is_merged && bias->shape.n_dims == 1);
    assert_string_equal(bias->source, "generated");
    assert_null(find_tensor(f.model, "blk.1.attn_q.bias"));
    float *v = values_of(f.model, "blk.0.attn_q.bias");
    float largest = 0;
    for (size_t i = 0; i < (size_t)TINY_HEAD * TINY_HEAD_DIM; i++) {
        largest = fabsf(v[i]) > largest ? fabsf(v[i]) : largest;
    }
    assert_true(largest > 0.05F && largest <= 0.2F); /* within 0.1, times s = 2 */
    free(v);
    end(&f);
}

/* Two adapters add up, whatever the order; the last whole tensor wins, with a warning. */
static void test_two_adapters(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    char *second = make_dir(f.root, "second");
    tiny_list more = {.n = 0};
    tiny_add_pair(&more, "model.layers.0.self_attn.q_proj", 4, 32, TINY_EMBD);
    tiny_add(&more, "model.norm.weight", "F32", 1, TINY_EMBD, 1);
    more.tensors[0].seed = 5;
    tiny_add(&f.pairs, "model.norm.weight", "F32", 1, TINY_EMBD, 1);
    tiny_write_adapter(&more, second, "{}");
    tiny_write_adapter(&f.pairs, f.adapter, "{}");
    tiny_write_model(&f.tensors, f.base, NULL);
    float *merged[2];
    for (int order = 0; order < 2; order++) {
        const qn_adapter_ref refs[2] = {{order == 0 ? f.adapter : second, 1.0}, {order == 0 ? second : f.adapter, 0.5}};
        const qn_model_request request = {.dir = f.base, .adapters = refs, .n_adapters = 2, .job = f.job};
        qn_model_close(f.model);
        f.model = NULL;
        f.heard = (tiny_heard){0};
        assert_ok(&err, qn_model_open(&request, &f.model, &err));
        assert_int_equal(f.heard.n_warnings, 2); /* trained twice; taken whole whatever the scale */
        assert_non_null(strstr(f.heard.warnings, "more than one adapter"));
        assert_non_null(strstr(f.heard.warnings, "scale 0.5"));
        merged[order] = values_of(f.model, "blk.0.attn_q.weight");
    }
    size_t n_other = 0;
    for (size_t i = 0; i < (size_t)32 * TINY_EMBD; i++) {
        n_other += merged[0][i] != merged[1][i] ? 1 : 0; /* the strengths were exchanged */
    }
    assert_true(n_other > 500);
    free(merged[0]);
    free(merged[1]);
    free(second);
    end(&f);
}

/* A module that one adapter changes and a later one replaces has the later one's values alone; the other way, both. */
static void test_changed_then_replaced(void **state) {
    fixture f;
    qn_error err;
    float *v[3];
    (void)state;
    begin(&f);
    char *second = make_dir(f.root, "second");
    tiny_list more = {.n = 0};
    tiny_add(&more, "model.layers.0.mlp.down_proj.weight", "F32", 2, TINY_EMBD, TINY_FF);
    tiny_write_adapter(&more, second, "{}");
    tiny_write_adapter(&f.pairs, f.adapter, "{}");
    tiny_write_model(&f.tensors, f.base, NULL);
    const qn_adapter_ref refs[3][2] = {
        {{second, 1.0}}, {{f.adapter, 1.0}, {second, 1.0}}, {{second, 1.0}, {f.adapter, 1.0}}};
    for (size_t i = 0; i < 3; i++) {
        const qn_model_request request = {.dir = f.base, .adapters = refs[i], .n_adapters = i == 0 ? 1 : 2};
        qn_model_close(f.model);
        f.model = NULL;
        assert_ok(&err, qn_model_open(&request, &f.model, &err));
        v[i] = values_of(f.model, "blk.0.ffn_down.weight");
    }
    const size_t size = sizeof(float) * TINY_EMBD * TINY_FF;
    assert_memory_equal(v[0], v[1], size);
    assert_memory_not_equal(v[0], v[2], size);
    for (size_t i = 0; i < 3; i++) {
        free(v[i]);
    }
    free(second);
    end(&f);
}

/* ---- Gemma 3 ---- */

static void gemma3(tiny_list *list, uint64_t n_vocab) {
    static const struct {
        const char *tail;
        uint64_t rows, cols;
    } rules[] = {
        {"input_layernorm", 0, 32},
        {"self_attn.q_norm", 0, 8},
        {"self_attn.k_norm", 0, 8},
        {"post_attention_layernorm", 0, 32},
        {"pre_feedforward_layernorm", 0, 32},
        {"post_feedforward_layernorm", 0, 32},
        {"self_attn.q_proj", 32, 32},
        {"self_attn.k_proj", 16, 32},
        {"self_attn.v_proj", 16, 32},
        {"self_attn.o_proj", 32, 32},
        {"mlp.gate_proj", 64, 32},
        {"mlp.up_proj", 64, 32},
        {"mlp.down_proj", 32, 64},
    };
    list->n = 0;
    (void)tiny_add(list, "language_model.model.embed_tokens.weight", "BF16", 2, n_vocab, 32);
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        char name[128];
        (void)snprintf(name, sizeof name, "language_model.model.layers.0.%s.weight", rules[i].tail);
        (void)tiny_add(list, name, "BF16", rules[i].rows == 0 ? 1 : 2,
                       rules[i].rows == 0 ? rules[i].cols : rules[i].rows, rules[i].cols);
    }
    (void)tiny_add(list, "language_model.model.norm.weight", "BF16", 1, 32, 1);
    (void)tiny_add(list, "vision_tower.vision_model.x.weight", "BF16", 2, 3, 3);
    (void)tiny_add(list, "multi_modal_projector.y", "BF16", 1, 3, 1);
}

static const char gemma3_patch[] =
    "{'architectures':['Gemma3ForConditionalGeneration'],'text_config':{'hidden_size':32,'intermediate_size':64,"
    "'num_attention_heads':4,'num_key_value_heads':2,'num_hidden_layers':1,'head_dim':8,'vocab_size':%d}}";

static void test_gemma3(void **state) {
    static const struct {
        uint64_t n_rows;
        qn_status status;
        uint64_t n_kept;
    } rows[] = {
        {TINY_VOCAB, QN_OK, TINY_VOCAB},
        {TINY_VOCAB + 64, QN_OK, TINY_VOCAB}, /* rows beyond the vocabulary are cut */
        {TINY_VOCAB - 64, QN_E_SHAPE, 0},     /* tokens without a row cannot be */
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture f;
        char patch[512];
        qn_error err;
        begin(&f);
        gemma3(&f.tensors, rows[i].n_rows);
        (void)snprintf(patch, sizeof patch, gemma3_patch, (int)rows[i].n_rows);
        assert_status(&err, open_fixture(&f, patch, NULL, &err), rows[i].status);
        if (rows[i].status == QN_OK) {
            assert_int_equal(f.model->n_tensors, 15);
            assert_int_equal(find_tensor(f.model, "token_embd.weight")->shape.dims[0], rows[i].n_kept);
            assert_int_equal(f.model->vocab.n_tokens, rows[i].n_kept);
            float *norm = values_of(f.model, "output_norm.weight");
            assert_true(norm[0] > 0.85F && norm[0] < 1.15F); /* stored less one */
            free(norm);
        }
        end(&f);
    }
}

/* ---- an adapter alone ---- */

static qn_status open_exported(fixture *f, const char *patch, const char *adapter_patch, double strength,
                               qn_error *err) {
    const qn_adapter_ref ref = {f->adapter, strength};
    tiny_write_json(f->base, "config.json", tiny_llama_config, patch);
    tiny_write_adapter(&f->pairs, f->adapter, adapter_patch);
    qn_model_close(f->model);
    f->model = NULL;
    return qn_model_open_adapter(f->base, &ref, "mine", f->job, &f->model, err);
}

static void test_export(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    assert_ok(&err, open_exported(&f, NULL, "{}", 1.0, &err));
    assert_int_equal(f.model->n_tensors, 8);
    assert_string_equal(qn_meta_string(&f.model->meta, "general.type"), "adapter");
    assert_string_equal(qn_meta_string(&f.model->meta, "adapter.type"), "lora");
    assert_true(meta_number(f.model, "adapter.lora.alpha") == 8.0);
    const qn_model_tensor *a = find_tensor(f.model, "blk.1.ffn_down.weight.lora_a");
    const qn_model_tensor *b = find_tensor(f.model, "blk.1.ffn_down.weight.lora_b");
    assert_true(a->shape.dims[0] == 4 && a->shape.dims[1] == TINY_FF);
    assert_true(b->shape.dims[0] == TINY_EMBD && b->shape.dims[1] == 4);
    float *before = values_of(f.model, "blk.1.ffn_down.weight.lora_b");
    /* what is not alpha / rank is folded into B: here alpha 32 for one module, and strength 0.5 */
    assert_ok(&err, open_exported(&f, NULL, "{'alpha_pattern':{'layers.1.mlp.down_proj':32}}", 0.5, &err));
    float *after = values_of(f.model, "blk.1.ffn_down.weight.lora_b");
    for (size_t i = 0; i < (size_t)TINY_EMBD * 4; i++) {
        assert_true(after[i] == 2.0F * before[i]);
    }
    free(before);
    free(after);
    end(&f);
}

static void test_export_embedding(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    tiny_add(&f.pairs, "base_model.model.model.embed_tokens.lora_embedding_A", "F32", 2, 4, 100);
    tiny_add(&f.pairs, "base_model.model.model.embed_tokens.lora_embedding_B", "F32", 2, TINY_EMBD, 4);
    assert_ok(&err, open_exported(&f, NULL, "{}", 1.0, &err));
    const qn_model_tensor *a = find_tensor(f.model, "token_embd.weight.lora_a");
    const qn_model_tensor *b = find_tensor(f.model, "token_embd.weight.lora_b");
    assert_true(a->shape.dims[0] == 100 && a->shape.dims[1] == 4); /* a row for each token */
    assert_true(b->shape.dims[0] == TINY_EMBD && b->shape.dims[1] == 4);
    end(&f);
}

static const struct {
    const char *what;
    const char *name; /* a tensor added to the pairs */
    unsigned n_dims;
    uint64_t dims[2];
    const char *patch, *adapter_patch;
    qn_status status;
    const char *has;
} unexportable[] = {
    {"DoRA",
     "model.layers.0.self_attn.q_proj.lora_magnitude_vector",
     1,
     {32, 1},
     NULL,
     "{}",
     QN_E_UNSUPPORTED,
     "lora_magnitude_vector'. Merge it instead"},
    {"a trained norm", "model.norm.weight", 1, {32, 1}, NULL, "{}", QN_E_UNSUPPORTED, "'model.norm.weight'"},
    {"a bias of B",
     "model.layers.0.self_attn.q_proj.lora_B.bias",
     1,
     {32, 1},
     NULL,
     "{}",
     QN_E_UNSUPPORTED,
     "lora_B.bias'"},
    {"alpha 0", NULL, 0, {0, 0}, NULL, "{'lora_alpha':0}", QN_E_FORMAT, "lora_alpha is 0"},
    {"another model's",
     NULL,
     0,
     {0, 0},
     "{'hidden_size':64,'head_dim':8}",
     "{}",
     QN_E_SHAPE,
     "trained on another model"},
    {"fewer layers", NULL, 0, {0, 0}, "{'num_hidden_layers':1}", "{}", QN_E_FORMAT, "1 layers"},
};

static void test_unexportable(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof unexportable / sizeof unexportable[0]; i++) {
        fixture f;
        qn_error err = {QN_OK, ""};
        begin(&f);
        if (unexportable[i].name != NULL) {
            tiny_add(&f.pairs, unexportable[i].name, "F32", unexportable[i].n_dims, unexportable[i].dims[0],
                     unexportable[i].dims[1]);
        }
        const qn_status status = open_exported(&f, unexportable[i].patch, unexportable[i].adapter_patch, 1.0, &err);
        if (status != unexportable[i].status || strstr(err.message, unexportable[i].has) == NULL) {
            print_error("%s: %s %s\n", unexportable[i].what, qn_status_name(status), err.message);
            fail();
        }
        end(&f);
    }
}

/* The GGUF of a tied model has no output matrix that an adapter file could change. */
static void test_export_of_tied_output(void **state) {
    fixture f;
    qn_error err;
    (void)state;
    begin(&f);
    tiny_add_pair(&f.pairs, "lm_head", 4, TINY_VOCAB, TINY_EMBD);
    assert_ok(&err, open_exported(&f, NULL, "{}", 1.0, &err));
    assert_non_null(find_tensor(f.model, "output.weight.lora_a"));
    assert_status(&err, open_exported(&f, "{'tie_word_embeddings':true}", "{}", 1.0, &err), QN_E_UNSUPPORTED);
    assert_message_has(&err, "lm_head");
    assert_message_has(&err, f.adapter);
    end(&f);
}

static void test_size_label(void **state) {
    static const struct {
        uint64_t n;
        const char *label;
    } rows[] = {{0, "0.0K"},          {1500, "1.5K"},          {999999, "1000K"},        {1000001, "1.0M"},
                {3674000, "3.7M"},    {9499999, "9.5M"},       {9600000, "10M"},         {8030261248, "8.0B"},
                {70553706496, "71B"}, {1026408232448, "1.0T"}, {UINT64_MAX, "18446744T"}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char buffer[32];
        assert_string_equal(qn_size_label(rows[i].n, buffer, sizeof buffer), rows[i].label);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_rope_rows),
        cmocka_unit_test(test_bare_names),
        cmocka_unit_test(test_embedding_rows_count),
        cmocka_unit_test(test_output),
        cmocka_unit_test(test_lora_on_tied_output),
        cmocka_unit_test(test_replaced),
        cmocka_unit_test(test_resized_embedding),
        cmocka_unit_test(test_bias_from_nothing),
        cmocka_unit_test(test_two_adapters),
        cmocka_unit_test(test_changed_then_replaced),
        cmocka_unit_test(test_gemma3),
        cmocka_unit_test(test_export),
        cmocka_unit_test(test_export_embedding),
        cmocka_unit_test(test_unexportable),
        cmocka_unit_test(test_export_of_tied_output),
        cmocka_unit_test(test_size_label),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
