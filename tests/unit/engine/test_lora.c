/* SPDX-License-Identifier: MIT */
/* test_lora.c: an adapter at run time gives the logits of the merged model; what it cannot do is refused. */
#include "engine/engine_case.h"

#include "engine/lora.h"
#include "engine/recipe_provider.h"

#include <math.h>

/** Folders of a test: root/base, root/base.gguf. */
typedef struct lora_case {
    char *root;
    char *base;
    char *gguf;
} lora_case;

static void begin(lora_case *c, const char *config_patch) {
    tiny_list list;
    qn_model *model = NULL;
    qn_error err;
    c->root = make_temp_dir();
    c->base = make_dir(c->root, "base");
    tiny_llama(&list);
    if (config_patch != NULL) {
        tiny_remove(&list, "lm_head.weight");
    }
    tiny_write_model(&list, c->base, config_patch);
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = c->base}, &model, &err));
    c->gguf = write_gguf(model, c->root, "base.gguf", QN_F32);
    qn_model_close(model);
}

static void end(lora_case *c) {
    free(c->base);
    free(c->gguf);
    remove_temp_dir(c->root);
}

static void add_embedding_pair(tiny_list *list) {
    (void)tiny_add(list, "base_model.model.model.embed_tokens.lora_embedding_A", "F32", 2, 4, TINY_VOCAB);
    (void)tiny_add(list, "base_model.model.model.embed_tokens.lora_embedding_B", "F32", 2, TINY_EMBD, 4);
}

static void add_head_pair(tiny_list *list) {
    tiny_add_pair(list, "lm_head", 4, TINY_VOCAB, TINY_EMBD);
}

/* The pairs' values are within 0.1: alpha makes them matter. */
static char *write_adapter(const lora_case *c, const char *name, void (*add)(tiny_list *), const char *patch) {
    tiny_list list;
    char *dir = make_dir(c->root, name);
    tiny_adapter(&list);
    if (add != NULL) {
        add(&list);
    }
    for (size_t i = 0; i < list.n; i++) {
        list.tensors[i].seed = (unsigned)name[0];
    }
    tiny_write_adapter(&list, dir, patch);
    return dir;
}

/* The adapter as a GGUF file. */
static char *export_adapter(const lora_case *c, const char *dir, const char *name) {
    const qn_adapter_ref ref = {dir, 1};
    qn_model *model = NULL;
    qn_error err;
    assert_ok(&err, qn_model_open_adapter(c->base, &ref, "a", NULL, &model, &err));
    char *path = write_gguf(model, c->root, name, QN_F32);
    qn_model_close(model);
    return path;
}

static float *merged_logits(const lora_case *c, const qn_adapter_ref *refs, uint64_t n) {
    const qn_engine_options exact = exact_options();
    const qn_recipe_provider_options plain = {.type = "F32"};
    qn_model *model = NULL;
    qn_provider provider;
    qn_engine *engine = NULL;
    qn_error err;
    assert_ok(&err,
              qn_model_open(&(qn_model_request){.dir = c->base, .adapters = refs, .n_adapters = n}, &model, &err));
    assert_ok(&err, qn_recipe_provider_open(model, &plain, NULL, &provider, &err));
    assert_ok(&err, qn_engine_open_provider(&provider, &exact, NULL, &engine, &err));
    float *logits = prompt_logits(engine);
    qn_engine_free(engine);
    qn_model_close(model);
    return logits;
}

static qn_lora *open_lora(const lora_case *c, const char *path, double strength) {
    qn_lora *lora = NULL;
    qn_error err;
    assert_ok(&err, qn_lora_open(path, strength, c->gguf, "llama", NULL, &lora, &err));
    return lora;
}

static float *logits_with(const lora_case *c, const qn_lora *const *loras, uint64_t n, uint64_t n_batch) {
    qn_engine_options options = exact_options();
    qn_engine *engine = NULL;
    qn_error err;
    options.n_batch = n_batch;
    options.loras = loras;
    options.n_loras = n;
    assert_ok(&err, qn_engine_open(c->gguf, &options, NULL, &engine, &err));
    float *logits = prompt_logits(engine);
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < n; i++) {
        bytes += loras[i]->size_bytes;
    }
    assert_int_equal(qn_engine_memory_of(engine).adapters, bytes);
    assert_int_equal(qn_engine_memory_of(engine).encoded, 0);
    qn_engine_free(engine);
    return logits;
}

/* The largest difference in standard deviations of a. */
static double distance(const float *a, const float *b) {
    const uint64_t n = CASE_TOKENS * (uint64_t)TINY_VOCAB;
    double most = 0;
    double squares = 0;
    for (uint64_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        most = d > most || isnan(d) ? d : most;
        squares += (double)a[i] * (double)a[i];
    }
    return most / sqrt(squares / (double)n);
}

static void assert_near(const char *what, const float *wanted, float *found) {
    const double off = distance(wanted, found);
    if (!(off < 2e-5)) {
        print_error("%s: %g deviations off\n", what, off);
        fail();
    }
    free(found);
}

static void test_merged(void **state) {
    static const struct {
        const char *name;
        const char *config; /* of the base */
        void (*add)(tiny_list *);
        const char *patch;
        double strength;
    } rows[] = {
        {"plain", NULL, NULL, "{'lora_alpha': 200}", 1},
        {"half", NULL, NULL, "{'lora_alpha': 200}", 0.5},
        {"rslora", NULL, NULL, "{'lora_alpha': 100, 'use_rslora': true}", 1},
        {"pattern", NULL, NULL, "{'lora_alpha': 100, 'alpha_pattern': {'q_proj': 300}}", 1.5},
        {"embedding", NULL, add_embedding_pair, "{'lora_alpha': 200}", 1},
        {"tied embedding", "{'tie_word_embeddings': true}", add_embedding_pair, "{'lora_alpha': 200}", 1},
        {"head", NULL, add_head_pair, "{'lora_alpha': 200}", -1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lora_case c;
        begin(&c, rows[i].config);
        char *dir = write_adapter(&c, "adapter", rows[i].add, rows[i].patch);
        char *file = export_adapter(&c, dir, "adapter.gguf");
        const qn_adapter_ref ref = {dir, rows[i].strength};
        float *base = merged_logits(&c, NULL, 0);
        float *wanted = merged_logits(&c, &ref, 1);
        qn_lora *of_dir = open_lora(&c, dir, rows[i].strength);
        qn_lora *of_file = open_lora(&c, file, rows[i].strength);
        const qn_lora *loras[] = {of_dir, of_file};
        if (!(distance(wanted, base) > 0.02)) {
            print_error("%s: the adapter changes next to nothing: %g\n", rows[i].name, distance(wanted, base));
            fail();
        }
        assert_near(rows[i].name, wanted, logits_with(&c, &loras[0], 1, CASE_BATCH));
        assert_near(rows[i].name, wanted, logits_with(&c, &loras[1], 1, CASE_TOKENS));
        qn_lora_close(of_dir);
        qn_lora_close(of_file);
        free(base);
        free(wanted);
        free(dir);
        free(file);
        end(&c);
    }
}

static void test_several(void **state) {
    lora_case c;
    (void)state;
    begin(&c, NULL);
    char *a = write_adapter(&c, "a", NULL, "{'lora_alpha': 200}");
    char *b = write_adapter(&c, "b", add_head_pair, "{'lora_alpha': 100}");
    char *file = export_adapter(&c, b, "b.gguf");
    const qn_adapter_ref refs[] = {{a, 0.75}, {b, -0.5}};
    float *wanted = merged_logits(&c, refs, 2);
    qn_lora *loras[] = {open_lora(&c, a, 0.75), open_lora(&c, file, -0.5)};
    const qn_lora *borrowed[] = {loras[0], loras[1]};
    assert_near("two", wanted, logits_with(&c, borrowed, 2, CASE_BATCH));
    qn_lora_close(loras[0]);
    qn_lora_close(loras[1]);
    qn_lora_close(NULL);
    free(wanted);
    free(a);
    free(b);
    free(file);
    end(&c);
}

/* ---- Refusals ---- */

static void add_norm(tiny_list *list) {
    (void)tiny_add(list, "base_model.model.model.norm.weight", "F32", 1, TINY_EMBD, 1);
}

static void add_magnitude(tiny_list *list) {
    (void)tiny_add(list, "base_model.model.model.layers.0.self_attn.q_proj.lora_magnitude_vector", "F32", 1, TINY_EMBD,
                   1);
}

static void add_wide(tiny_list *list) {
    tiny_add_pair(list, "model.layers.1.self_attn.o_proj", 4, TINY_EMBD, TINY_FF);
}

static void test_refused_folders(void **state) {
    static const struct {
        const char *config;
        void (*add)(tiny_list *);
        qn_status status;
        const char *part;
    } rows[] = {
        {NULL, add_norm, QN_E_UNSUPPORTED, "'base_model.model.model.norm.weight'. Merge it instead"},
        {NULL, add_magnitude, QN_E_UNSUPPORTED, "or run the base's Hugging Face folder with it"},
        {NULL, add_wide, QN_E_SHAPE, "'model.layers.1.self_attn.o_proj'"},
        {"{'tie_word_embeddings': true}", add_head_pair, QN_E_UNSUPPORTED, "which is the embedding in this model"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lora_case c;
        qn_lora *lora = NULL;
        qn_error err = {QN_OK, ""};
        begin(&c, rows[i].config);
        char *dir = write_adapter(&c, "adapter", rows[i].add, NULL);
        assert_int_equal(qn_lora_open(dir, 1, c.gguf, "llama", NULL, &lora, &err), rows[i].status);
        if (strstr(err.message, rows[i].part) == NULL) {
            print_error("%s\n", err.message);
            fail();
        }
        free(dir);
        end(&c);
    }
}

/** What a GGUF adapter says wrongly. */
typedef struct bad_file {
    const char *key, *text; /* metadata to set */
    float alpha;            /* to set where not 0 */
    const char *rename[2];  /* a tensor, and its other name */
    uint64_t n_rows;        /* of that tensor, where not 0 */
    qn_status status;       /* of opening it or the engine */
    const char *part;
} bad_file;

static void spoil(qn_model *model, const bad_file *bad) {
    if (bad->key != NULL) {
        qn_meta_set_string(&model->meta, bad->key, bad->text);
    }
    if (bad->alpha != 0) {
        qn_meta_set_f32(&model->meta, "adapter.lora.alpha", bad->alpha);
    }
    for (uint64_t i = 0; bad->rename[0] != NULL && i < model->n_tensors; i++) {
        qn_model_tensor *t = &model->tensors[i];
        if (strcmp(t->name, bad->rename[0]) == 0) {
            t->name = bad->rename[1];
            t->shape.dims[0] = bad->n_rows != 0 ? bad->n_rows : t->shape.dims[0];
            t->recipe = qn_recipe_slice(model->arena, t->recipe, 0, t->shape.dims[0]);
        }
    }
}

static void test_refused_files(void **state) {
#define Q(half) "blk.0.attn_q.weight.lora_" half
    static const bad_file rows[] = {
        {.key = "general.type", .text = "model", .status = QN_E_UNSUPPORTED, .part = "is no LoRA adapter"},
        {.key = "general.architecture", .text = "qwen2", .status = QN_E_UNSUPPORTED, .part = "'qwen2', and the model"},
        {.key = "adapter.alora.invocation_tokens", .text = "1", .status = QN_E_UNSUPPORTED, .part = "activated"},
        {.alpha = INFINITY, .status = QN_E_RANGE, .part = "infinite, times a scale of inf"},
        {.alpha = NAN, .status = QN_E_RANGE, .part = "times a scale of nan"},
        {.rename = {Q("a"), "blk.0.attn_q.weight"}, .status = QN_E_FORMAT, .part = "is not half of a pair"},
        {.rename = {Q("a"), Q("a")}, .n_rows = 3, .status = QN_E_SHAPE, .part = "do not have one rank"},
        {.rename = {Q("b"), Q("b")}, .n_rows = 31, .status = QN_E_SHAPE, .part = "as a [31, 32] matrix"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lora_case c;
        qn_model *model = NULL;
        qn_lora *lora = NULL;
        qn_error err = {QN_OK, ""};
        begin(&c, NULL);
        char *dir = write_adapter(&c, "adapter", NULL, NULL);
        const qn_adapter_ref ref = {dir, 1};
        assert_ok(&err, qn_model_open_adapter(c.base, &ref, "a", NULL, &model, &err));
        spoil(model, &rows[i]);
        char *path = write_gguf(model, c.root, "bad.gguf", QN_F32);
        qn_model_close(model);
        qn_status status = qn_lora_open(path, 1, NULL, "llama", NULL, &lora, &err);
        if (status == QN_OK) {
            const qn_lora *one = lora;
            const qn_engine_options options = {.loras = &one, .n_loras = 1};
            qn_engine *engine = NULL;
            status = qn_engine_open(c.gguf, &options, NULL, &engine, &err);
            qn_lora_close(lora);
        }
        if (status != rows[i].status || strstr(err.message, rows[i].part) == NULL) {
            print_error("%d: %s\n", (int)status, err.message);
            fail();
        }
        free(path);
        free(dir);
        end(&c);
    }
}

/* Pairs for tensors that the model does not have, or has and does not multiply with. */
static void test_strangers(void **state) {
    static const bad_file rows[] = {
        {.rename = {Q("a"), "blk.7.attn_q.weight.lora_a"}, .status = QN_E_NOT_FOUND, .part = "'blk.7.attn_q.weight'"},
        {.rename = {Q("a"), "rope_freqs.weight.lora_a"}, .status = QN_E_NOT_FOUND, .part = "another model"},
        {.rename = {Q("a"), "output_norm.weight.lora_a"}, .status = QN_E_UNSUPPORTED, .part = "1 of the adapter's 4"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lora_case c;
        qn_model *model = NULL;
        qn_lora *lora = NULL;
        qn_engine *engine = NULL;
        qn_error err = {QN_OK, ""};
        char other[64];
        begin(&c, NULL);
        char *dir = write_adapter(&c, "adapter", NULL, NULL);
        const qn_adapter_ref ref = {dir, 1};
        assert_ok(&err, qn_model_open_adapter(c.base, &ref, "a", NULL, &model, &err));
        (void)snprintf(other, sizeof other, "%s", rows[i].rename[1]);
        other[strlen(other) - 1] = 'b';
        spoil(model, &rows[i]);
        spoil(model, &(bad_file){.rename = {Q("b"), other}});
        char *path = write_gguf(model, c.root, "bad.gguf", QN_F32);
        qn_model_close(model);
        assert_ok(&err, qn_lora_open(path, 1, NULL, "llama", NULL, &lora, &err));
        const qn_lora *one = lora;
        const qn_engine_options options = {.loras = &one, .n_loras = 1};
        const qn_status status = qn_engine_open(c.gguf, &options, NULL, &engine, &err);
        if (status != rows[i].status || strstr(err.message, rows[i].part) == NULL) {
            print_error("%d: %s\n", (int)status, err.message);
            fail();
        }
        qn_lora_close(lora);
        free(path);
        free(dir);
        end(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merged),        cmocka_unit_test(test_several),   cmocka_unit_test(test_refused_folders),
        cmocka_unit_test(test_refused_files), cmocka_unit_test(test_strangers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
