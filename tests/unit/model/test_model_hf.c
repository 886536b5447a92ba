/* SPDX-License-Identifier: MIT */
/* test_model_hf.c: models as Hugging Face folders: of GGUF files, and of folders with adapters merged in. */
#include "model/tiny_family.h"

#include <math.h>

/* ---- of a GGUF file ---- */

/* Norms stored less one may have lost bits: adding one tells. */
static bool same_as_written(const qn_archive *archive, const qn_model_tensor *t, bool is_norm) {
    qn_arena *arena = qn_arena_new();
    const qn_archive_tensor *source = qn_archive_find(archive, t->name);
    assert_non_null(source);
    const qn_recipe *r = qn_recipe_bytes(arena, source->file, source->file_off, source->type,
                                         qn_shape_rows(&source->shape), qn_shape_cols(&source->shape));
    qn_model_tensor a = {.name = source->name, .shape = source->shape, .recipe = r};
    qn_model_tensor b = *t;
    if (is_norm) {
        a.recipe = qn_recipe_offset(arena, a.recipe, 1.0F);
        b.recipe = qn_recipe_offset(arena, b.recipe, 1.0F);
    }
    const bool same = same_tensor(&a, &b);
    qn_arena_free(arena);
    return same;
}

/* Folder to GGUF to folder to GGUF: tensors, hyper-parameters, and the second GGUF as the first. */
static void round_trip(const family_config *c) {
    char *root = make_temp_dir();
    char *base = make_dir(root, "base");
    char *again = make_dir(root, "again");
    tiny_list list;
    qn_model *first = NULL;
    qn_model *hf = NULL;
    qn_model *second = NULL;
    qn_error err;
    write_family(c, base, &list);
    const bool adds_one = strncmp(c->arch, "gemma", 5) == 0;
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = base, .without_vocab = true}, &first, &err));
    char *gguf = write_gguf(first, root, "model.gguf", QN_F32);
    const qn_model_request request = {.dir = gguf, .without_vocab = true, .hf_dtype = "float32"};
    assert_ok(&err, qn_model_open_hf(&request, &hf, &err));
    assert_int_equal(hf->n_tensors, list.n);
    for (uint64_t i = 0; i < hf->n_tensors; i++) {
        const bool is_norm = adds_one && strstr(hf->tensors[i].name, "norm.weight") != NULL;
        assert_true(same_as_written(first->archive, &hf->tensors[i], is_norm));
    }
    write_folder(hf, again);
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = again, .without_vocab = true}, &second, &err));
    assert_true(same_tensors(first, second));
    assert_true(same_hparams(c->name, &hf->hparams, &second->hparams));
    assert_int_equal(first->meta.n, second->meta.n);
    for (uint64_t i = 0; i < first->meta.n; i++) {
        const qn_meta_entry *entry = &first->meta.entries[i];
        const qn_meta_value *v = qn_meta_find(&second->meta, entry->key);
        assert_non_null(v);
        if (v->type != QN_META_STRING && memcmp(&v->as, &entry->value.as, sizeof v->as.u) != 0) {
            print_error("%s: '%s' came back otherwise\n", c->name, entry->key);
            fail();
        }
    }
    qn_model_close(first);
    qn_model_close(hf);
    qn_model_close(second);
    free(gguf);
    free(base);
    free(again);
    remove_temp_dir(root);
}

static void test_families(void **state) {
    (void)state;
    for (size_t i = 0; i < N_FAMILY_CONFIGS; i++) {
        round_trip(&family_configs[i]);
    }
}

/* A base folder, its GGUF file, an adapter. */
typedef struct fixture {
    char *root;
    char *base;
    char *adapter;
    char *out;
    char *gguf;
    tiny_list tensors;
    tiny_list pairs;
    tiny_heard heard;
    qn_job *job;
} fixture;

static void begin(fixture *f) {
    *f = (fixture){.root = make_temp_dir()};
    f->base = make_dir(f->root, "base");
    f->adapter = make_dir(f->root, "adapter");
    f->out = make_dir(f->root, "out");
    f->job = qn_job_new(1, tiny_listen, &f->heard);
    tiny_llama(&f->tensors);
    tiny_adapter(&f->pairs);
}

static void end(fixture *f) {
    qn_job_free(f->job);
    free(f->base);
    free(f->adapter);
    free(f->out);
    free(f->gguf);
    remove_temp_dir(f->root);
}

static void write_base_gguf(fixture *f, void (*change)(qn_model *model)) {
    qn_model *model = NULL;
    qn_error err;
    tiny_write_model(&f->tensors, f->base, NULL);
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = f->base}, &model, &err));
    if (change != NULL) {
        change(model);
    }
    f->gguf = write_gguf(model, f->root, "base.gguf", QN_F32);
    qn_model_close(model);
}

/* With the vocabulary: what is written is a model again, its tokens the same. */
static void test_whole_folder(void **state) {
    fixture f;
    qn_model *first = NULL;
    qn_model *hf = NULL;
    qn_model *second = NULL;
    qn_error err;
    (void)state;
    begin(&f);
    write_base_gguf(&f, NULL);
    assert_ok(&err, qn_model_open_hf(&(qn_model_request){.dir = f.gguf, .hf_dtype = "bfloat16"}, &hf, &err));
    assert_non_null(find_side_file(hf, "tokenizer.json"));
    assert_non_null(find_side_file(hf, "tokenizer_config.json"));
    json_t *config = side_config(hf);
    assert_string_equal(qn_json_string(config, "torch_dtype"), "bfloat16");
    json_decref(config);
    write_folder(hf, f.out);
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = f.base}, &first, &err));
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = f.out}, &second, &err));
    assert_true(same_tensors(first, second));
    assert_int_equal(first->vocab.n_tokens, second->vocab.n_tokens);
    for (uint64_t i = 0; i < first->vocab.n_tokens; i++) {
        assert_int_equal(first->vocab.tokens[i].len, second->vocab.tokens[i].len);
        assert_memory_equal(first->vocab.tokens[i].bytes, second->vocab.tokens[i].bytes, first->vocab.tokens[i].len);
    }
    qn_model_close(first);
    qn_model_close(hf);
    qn_model_close(second);
    end(&f);
}

/* Adapter, layers left out and overrides come before the way back. */
static void test_gguf_with_changes(void **state) {
    static const uint64_t pruned[] = {1};
    static const char *const override[] = {"llama.context_length=int:4096"};
    fixture f;
    qn_model *plain = NULL;
    qn_model *hf = NULL;
    qn_model *again = NULL;
    qn_error err;
    (void)state;
    begin(&f);
    tiny_write_adapter(&f.pairs, f.adapter, NULL);
    write_base_gguf(&f, NULL);
    const qn_adapter_ref ref = {f.adapter, 1};
    qn_model_request request = {.dir = f.gguf,
                                .adapters = &ref,
                                .n_adapters = 1,
                                .pruned_layers = pruned,
                                .n_pruned_layers = 1,
                                .overrides = override,
                                .n_overrides = 1};
    assert_ok(&err, qn_model_open(&request, &plain, &err));
    assert_ok(&err, qn_model_open_hf(&request, &hf, &err));
    json_t *config = side_config(hf);
    uint64_t n = 0;
    assert_true(qn_json_u64(config, "max_position_embeddings", &n) && n == 4096);
    assert_true(qn_json_u64(config, "num_hidden_layers", &n) && n == TINY_LAYER - 1);
    json_decref(config);
    write_folder(hf, f.out);
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = f.out}, &again, &err));
    assert_true(same_tensors(plain, again));
    qn_model_close(plain);
    qn_model_close(hf);
    qn_model_close(again);
    end(&f);
}

static void rename_one(qn_model *model) {
    ((qn_model_tensor *)model->tensors)[3].name = "blk.0.attn_special.weight";
}

static void change_family(qn_model *model) {
    qn_meta_set_string(&model->meta, "general.architecture", "mamba");
}

static void lose_tokens(qn_model *model) {
    qn_meta_remove(&model->meta, "tokenizer.ggml.model");
    qn_meta_remove(&model->meta, "tokenizer.ggml.tokens");
}

static void lose_all_tokens(qn_model *model) {
    for (uint64_t i = model->meta.n; i > 0; i--) {
        if (strncmp(model->meta.entries[i - 1].key, "tokenizer.", 10) == 0) {
            qn_meta_remove(&model->meta, model->meta.entries[i - 1].key);
        }
    }
}

static void lose_layers(qn_model *model) {
    qn_meta_remove(&model->meta, "llama.block_count");
}

static void lose_tensor(qn_model *model) {
    model->n_tensors -= 2;
}

static void test_gguf_refusals(void **state) {
    static const struct {
        void (*change)(qn_model *model);
        qn_status status;
        const char *has;
    } rows[] = {
        {rename_one, QN_E_UNSUPPORTED, "tensor 'blk.0.attn_special.weight' has no place"},
        {change_family, QN_E_UNSUPPORTED, "family 'mamba'"},
        {lose_tokens, QN_E_NOT_FOUND, "base.gguf"},
        {lose_layers, QN_E_FORMAT, "'llama.block_count' is missing"},
        {lose_tensor, QN_E_NOT_FOUND, "'output_norm.weight'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        fixture f;
        qn_model *model = NULL;
        qn_error err;
        begin(&f);
        write_base_gguf(&f, rows[i].change);
        assert_status(&err, qn_model_open_hf(&(qn_model_request){.dir = f.gguf}, &model, &err), rows[i].status);
        assert_message_has(&err, rows[i].has);
        end(&f);
    }
}

/* A byte of the header changed, every one in turn: an answer with a message, or a model. */
static void test_changed_bytes(void **state) {
    fixture f;
    qn_model *model = NULL;
    qn_error err;
    unsigned n_opened = 0;
    uint32_t random = 7;
    (void)state;
    begin(&f);
    tiny_write_adapter(&f.pairs, f.adapter, NULL);
    write_base_gguf(&f, lose_all_tokens);
    const qn_adapter_ref ref = {f.adapter, 1};
    const qn_model_request request = {.dir = f.gguf, .adapters = &ref, .n_adapters = 1, .without_vocab = true};
    assert_ok(&err, qn_model_open_hf(&request, &model, &err));
    const uint64_t n_header = qn_archive_tensor_at(model->archive, 0)->file_off;
    qn_model_close(model);
    FILE *file = fopen(f.gguf, "r+b");
    assert_non_null(file);
    for (uint64_t i = 0; i < 2 * n_header; i++) {
        random = random * 1664525U + 1013904223U;
        assert_int_equal(fseek(file, (long)(i / 2), SEEK_SET), 0);
        const int old = fgetc(file);
        assert_int_equal(fseek(file, (long)(i / 2), SEEK_SET), 0);
        (void)fputc(i % 2 == 0 ? old ^ 1 << (random >> 29) : (int)(random >> 24), file);
        assert_int_equal(fflush(file), 0);
        err.message[0] = '\0';
        const bool is_open = (i % 3 == 0 ? qn_model_open(&request, &model, &err)
                                         : qn_model_open_hf(&request, &model, &err)) == QN_OK;
        assert_true(is_open || err.message[0] != '\0');
        n_opened += is_open ? 1 : 0;
        if (is_open) {
            qn_model_close(model);
        }
        assert_int_equal(fseek(file, (long)(i / 2), SEEK_SET), 0);
        (void)fputc(old, file);
    }
    (void)fclose(file);
    assert_true(n_opened > 0 && n_opened < n_header);
    end(&f);
}

/* ---- of a folder ---- */

/* Pairs for every matrix of a family but those of the vocabulary. */
static void pair_everything(tiny_list *pairs, const tiny_list *tensors, bool is_turned) {
    pairs->n = 0;
    for (size_t i = 0; i < tensors->n; i++) {
        const tiny_tensor *t = &tensors->tensors[i];
        char module[160];
        if (t->n_dims != 2 || t->dims[0] == TINY_VOCAB || strstr(t->name, "wpe") != NULL ||
            pairs->n + 2 > TINY_MAX_TENSORS) {
            continue;
        }
        (void)snprintf(module, sizeof module, "%.*s", (int)(strlen(t->name) - strlen(".weight")), t->name);
        tiny_add_pair(pairs, module, 4, is_turned ? t->dims[1] : t->dims[0], is_turned ? t->dims[0] : t->dims[1]);
    }
}

/* Merged as a folder and packed, or packed with the adapter: the same bits. Untouched tensors stay the file's bytes. */
static void merge_family(const family_config *c) {
    fixture f;
    qn_model *hf = NULL;
    qn_model *packed = NULL;
    qn_model *again = NULL;
    qn_error err;
    begin(&f);
    write_family(c, f.base, &f.tensors);
    pair_everything(&f.pairs, &f.tensors, strcmp(c->arch, "gpt2") == 0);
    tiny_write_adapter(&f.pairs, f.adapter, strcmp(c->arch, "gpt2") == 0 ? "{'fan_in_fan_out':true}" : NULL);
    const qn_adapter_ref ref = {f.adapter, 1};
    const qn_model_request request = {.dir = f.base, .adapters = &ref, .n_adapters = 1, .without_vocab = true};
    assert_ok(&err, qn_model_open(&request, &packed, &err));
    assert_ok(&err, qn_model_open_hf(&request, &hf, &err));
    assert_int_equal(hf->n_tensors, f.tensors.n);
    uint64_t n_merged = 0;
    for (uint64_t i = 0; i < hf->n_tensors; i++) {
        const qn_file *file = NULL;
        uint64_t file_off = 0;
        qn_dtype type = QN_F16;
        n_merged += hf->tensors[i].is_merged ? 1 : 0;
        assert_int_equal(qn_recipe_is_bytes(hf->tensors[i].recipe, &file, &file_off, &type), !hf->tensors[i].is_merged);
    }
    assert_int_equal(n_merged, f.pairs.n / 2);
    assert_non_null(find_side_file(hf, "config.json")->copy_of);
    write_folder(hf, f.out);
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = f.out, .without_vocab = true}, &again, &err));
    assert_true(same_tensors(packed, again));
    qn_model_close(hf);
    qn_model_close(packed);
    qn_model_close(again);
    end(&f);
}

static void test_merge_families(void **state) {
    (void)state;
    for (size_t i = 0; i < N_FAMILY_CONFIGS; i++) {
        merge_family(&family_configs[i]);
    }
}

static float *list_values(const tiny_list *list, const char *name) {
    qn_buffer bytes = {0};
    tiny_values(tiny_at((tiny_list *)list, name), &bytes);
    return (float *)(void *)qn_buffer_take_text(&bytes);
}

/* W + s·B·A, element by element, of a matrix that is stored [in, out]. */
static void test_merged_values(void **state) {
    fixture f;
    qn_model *hf = NULL;
    qn_error err;
    const family_config *c = family_named("gpt2");
    (void)state;
    begin(&f);
    write_family(c, f.base, &f.tensors);
    f.pairs.n = 0;
    tiny_add_pair(&f.pairs, "transformer.h.1.attn.c_attn", 4, 96, 32);
    tiny_write_adapter(&f.pairs, f.adapter, "{'fan_in_fan_out':true}");
    const qn_adapter_ref ref = {f.adapter, 0.5};
    const qn_model_request request = {.dir = f.base, .adapters = &ref, .n_adapters = 1, .without_vocab = true};
    assert_ok(&err, qn_model_open_hf(&request, &hf, &err));
    float *w = list_values(&f.tensors, "transformer.h.1.attn.c_attn.weight");
    float *a = list_values(&f.pairs, "base_model.model.transformer.h.1.attn.c_attn.lora_A.weight");
    float *b = list_values(&f.pairs, "base_model.model.transformer.h.1.attn.c_attn.lora_B.weight");
    float *v = values_of(hf, "transformer.h.1.attn.c_attn.weight");
    for (size_t in = 0; in < 32; in++) {
        for (size_t out = 0; out < 96; out++) {
            double sum = 0;
            for (size_t r = 0; r < 4; r++) {
                sum += (double)b[out * 4 + r] * (double)a[r * 32 + in];
            }
            assert_true(fabs((double)v[in * 96 + out] - ((double)w[in * 96 + out] + sum)) < 1e-7); /* s = 2 · 0.5 */
        }
    }
    free(w);
    free(a);
    free(b);
    free(v);
    qn_model_close(hf);
    end(&f);
}

/* A tied model stays tied; an adapter of the output unties it, and config.json says so. */
static void test_tied(void **state) {
    (void)state;
    for (int unties = 0; unties < 2; unties++) {
        fixture f;
        qn_model *hf = NULL;
        qn_error err;
        begin(&f);
        if (unties == 1) {
            tiny_add_pair(&f.pairs, "lm_head", 4, TINY_VOCAB, TINY_EMBD);
        }
        tiny_write_model(&f.tensors, f.base, "{'tie_word_embeddings':true}");
        tiny_write_adapter(&f.pairs, f.adapter, NULL);
        const qn_adapter_ref ref = {f.adapter, 1};
        const qn_model_request request = {.dir = f.base, .adapters = &ref, .n_adapters = 1, .job = f.job};
        assert_ok(&err, qn_model_open_hf(&request, &hf, &err));
        assert_int_equal(find_tensor(hf, "lm_head.weight") != NULL, unties == 1);
        assert_int_equal(find_side_file(hf, "config.json")->copy_of == NULL, unties == 1);
        bool is_tied = unties == 1;
        json_t *config = side_config(hf);
        assert_true(qn_json_bool(config, "tie_word_embeddings", &is_tied));
        assert_int_equal(is_tied, unties == 0);
        assert_int_equal(hf->hparams.is_tied, unties == 0);
        json_decref(config);
        qn_model_close(hf);
        end(&f);
    }
}

/* Layers left out and another type: config.json is written anew, other members as they were. */
static void test_rewritten_config(void **state) {
    static const uint64_t pruned[] = {0};
    fixture f;
    qn_model *hf = NULL;
    qn_error err;
    (void)state;
    begin(&f);
    tiny_write_model(&f.tensors, f.base,
                     "{'torch_dtype':'bfloat16','layer_types':['full_attention','sliding_attention'],'other':[1.1,2]}");
    const qn_model_request request = {
        .dir = f.base, .pruned_layers = pruned, .n_pruned_layers = 1, .hf_dtype = "float16"};
    assert_ok(&err, qn_model_open_hf(&request, &hf, &err));
    json_t *config = side_config(hf);
    uint64_t n = 0;
    assert_true(qn_json_u64(config, "num_hidden_layers", &n) && n == 1);
    assert_string_equal(qn_json_string(config, "torch_dtype"), "float16");
    assert_int_equal(json_array_size(json_object_get(config, "layer_types")), 1);
    assert_string_equal(json_string_value(json_array_get(json_object_get(config, "layer_types"), 0)),
                        "sliding_attention");
    assert_int_equal(json_array_size(json_object_get(config, "other")), 2);
    assert_non_null(strstr(find_side_file(hf, "config.json")->bytes.bytes, "1.1,"));
    assert_null(find_tensor(hf, "model.layers.1.self_attn.q_proj.weight"));
    assert_string_equal(find_tensor(hf, "model.layers.0.self_attn.q_proj.weight")->source,
                        "model.layers.1.self_attn.q_proj.weight");
    json_decref(config);
    qn_model_close(hf);
    const qn_model_request same = {.dir = f.base, .hf_dtype = "bfloat16"};
    assert_ok(&err, qn_model_open_hf(&same, &hf, &err));
    assert_non_null(find_side_file(hf, "config.json")->copy_of);
    qn_model_close(hf);
    end(&f);
}

/* An embedding trained with more tokens: config.json says how many, whether it did before or not. */
static void test_grown_vocabulary(void **state) {
    static const char *const patches[] = {NULL, "{'vocab_size':'<absent>'}"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        fixture f;
        qn_model *hf = NULL;
        qn_error err;
        uint64_t n = 0;
        begin(&f);
        (void)tiny_add(&f.pairs, "base_model.model.model.embed_tokens.modules_to_save.weight", "F32", 2, TINY_VOCAB + 8,
                       TINY_EMBD);
        (void)tiny_add(&f.pairs, "base_model.model.lm_head.modules_to_save.weight", "F32", 2, TINY_VOCAB + 8,
                       TINY_EMBD);
        tiny_write_model(&f.tensors, f.base, patches[i]);
        tiny_write_adapter(&f.pairs, f.adapter, NULL);
        const qn_adapter_ref ref = {f.adapter, 1};
        const qn_model_request request = {.dir = f.base, .adapters = &ref, .n_adapters = 1, .job = f.job};
        assert_ok(&err, qn_model_open_hf(&request, &hf, &err));
        json_t *config = side_config(hf);
        assert_true(qn_json_u64(config, "vocab_size", &n) && n == TINY_VOCAB + 8);
        assert_int_equal(find_tensor(hf, "lm_head.weight")->shape.dims[0], TINY_VOCAB + 8);
        json_decref(config);
        qn_model_close(hf);
        end(&f);
    }
}

/* A vision tower is left out of GGUF files, and stays in a folder; names keep their parts. */
static void test_vision_tower(void **state) {
    fixture f;
    qn_model *hf = NULL;
    qn_error err;
    (void)state;
    begin(&f);
    write_family(&family_configs[10], f.base, &f.tensors);
    for (size_t i = 0; i < f.tensors.n; i++) {
        char name[160];
        (void)snprintf(name, sizeof name, "language_model.%.140s", f.tensors.tensors[i].name);
        memcpy(f.tensors.tensors[i].name, name, sizeof name);
    }
    (void)tiny_add(&f.tensors, "vision_tower.patch.weight", "BF16", 3, 4, 3);
    f.tensors.tensors[f.tensors.n - 1].dims[2] = 2;
    tiny_write(&f.tensors, f.base, "model.safetensors");
    f.pairs.n = 0;
    tiny_add_pair(&f.pairs, "language_model.model.layers.2.self_attn.q_proj", 4, 64, 32);
    tiny_add_pair(&f.pairs, "language_model.lm_head", 4, TINY_VOCAB, 32);
    tiny_write_adapter(&f.pairs, f.adapter, NULL);
    const qn_adapter_ref ref = {f.adapter, 1};
    const uint64_t pruned = 0;
    const qn_model_request request = {.dir = f.base,
                                      .adapters = &ref,
                                      .n_adapters = 1,
                                      .without_vocab = true,
                                      .pruned_layers = &pruned,
                                      .n_pruned_layers = 1,
                                      .job = f.job};
    assert_ok(&err, qn_model_open_hf(&request, &hf, &err));
    const qn_model_tensor *tower = find_tensor(hf, "vision_tower.patch.weight");
    assert_non_null(tower);
    assert_int_equal(tower->shape.n_dims, 3);
    assert_true(find_tensor(hf, "language_model.model.layers.1.self_attn.q_proj.weight")->is_merged);
    assert_null(find_tensor(hf, "language_model.model.layers.2.self_attn.q_proj.weight"));
    assert_non_null(find_tensor(hf, "language_model.lm_head.weight"));
    qn_model_close(hf);
    end(&f);
}

/* ---- side files ---- */

static void check_from(const qn_model *model, const char *name, const char *dir) {
    const qn_side_file *side = find_side_file(model, name);
    if (dir == NULL) {
        assert_null(side);
        return;
    }
    char *path = join_path(dir, name);
    assert_non_null(side);
    assert_string_equal(side->copy_of, path);
    free(path);
}

static void test_side_files(void **state) {
    fixture f;
    qn_model *hf = NULL;
    qn_error err;
    (void)state;
    begin(&f);
    tiny_write_model(&f.tensors, f.base, NULL);
    tiny_write_adapter(&f.pairs, f.adapter, NULL);
    static const char *const of_base[] = {"generation_config.json", "tokenizer_config.json",
                                          "chat_template.jinja",    "added_tokens.json",
                                          "optimizer.pt",           "preprocessor_config.json"};
    for (size_t i = 0; i < sizeof of_base / sizeof of_base[0]; i++) {
        free(write_text(f.base, of_base[i], "{}"));
    }
    const qn_adapter_ref ref = {f.adapter, 1};
    const qn_model_request request = {.dir = f.base, .adapters = &ref, .n_adapters = 1, .job = f.job};
    assert_ok(&err, qn_model_open_hf(&request, &hf, &err));
    check_from(hf, "config.json", f.base);
    check_from(hf, "generation_config.json", f.base);
    check_from(hf, "tokenizer.model", f.base);
    check_from(hf, "added_tokens.json", f.base);
    check_from(hf, "chat_template.jinja", f.base);
    check_from(hf, "preprocessor_config.json", f.base);
    check_from(hf, "optimizer.pt", NULL);
    check_from(hf, "model.safetensors", NULL);
    qn_model_close(hf);

    /* the adapter brings its own tokenizer, with a template in its configuration */
    free(write_text(f.adapter, "tokenizer.json", "{}"));
    free(write_text(f.adapter, "tokenizer_config.json", "{\"chat_template\":\"x\"}"));
    assert_ok(&err, qn_model_open_hf(&request, &hf, &err));
    check_from(hf, "config.json", f.base);
    check_from(hf, "tokenizer.json", f.adapter);
    check_from(hf, "tokenizer_config.json", f.adapter);
    check_from(hf, "tokenizer.model", NULL);
    check_from(hf, "added_tokens.json", NULL);
    check_from(hf, "chat_template.jinja", NULL);
    check_from(hf, "generation_config.json", f.base);
    qn_model_close(hf);
    end(&f);
}

static void test_folder_refusals(void **state) {
    static const char *const override[] = {"llama.context_length=int:4096"};
    fixture f;
    qn_model *hf = NULL;
    qn_error err;
    (void)state;
    begin(&f);
    tiny_write_model(&f.tensors, f.base, NULL);
    assert_status(
        &err, qn_model_open_hf(&(qn_model_request){.dir = f.base, .overrides = override, .n_overrides = 1}, &hf, &err),
        QN_E_USAGE);
    assert_message_has(&err, "llama.context_length=int:4096");
    assert_status(&err, qn_model_open_hf(&(qn_model_request){.dir = f.out}, &hf, &err), QN_E_NOT_FOUND);
    end(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),          cmocka_unit_test(test_whole_folder),
        cmocka_unit_test(test_gguf_with_changes), cmocka_unit_test(test_gguf_refusals),
        cmocka_unit_test(test_changed_bytes),     cmocka_unit_test(test_merge_families),
        cmocka_unit_test(test_merged_values),     cmocka_unit_test(test_tied),
        cmocka_unit_test(test_rewritten_config),  cmocka_unit_test(test_vision_tower),
        cmocka_unit_test(test_grown_vocabulary),  cmocka_unit_test(test_side_files),
        cmocka_unit_test(test_folder_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
