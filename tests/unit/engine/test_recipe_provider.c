/* SPDX-License-Identifier: MIT */
/* test_recipe_provider.c: weights encoded on the way in are those of the packed file, whole and layer by layer. */
#include "engine/engine_case.h"

#include "engine/recipe_provider.h"
#include "quern/pack.h"

static qn_model *open_model(const qn_model_request *request) {
    qn_model *model = NULL;
    qn_error err;
    assert_ok(&err, qn_model_open(request, &model, &err));
    return model;
}

static qn_provider open_recipes(const qn_model *model, const char *type, bool by_layer) {
    const qn_recipe_provider_options options = {.type = type, .by_layer = by_layer};
    qn_provider provider;
    qn_error err;
    assert_ok(&err, qn_recipe_provider_open(model, &options, NULL, &provider, &err));
    assert_int_equal(provider.enter != NULL, by_layer);
    return provider;
}

static void assert_prompt(const char *what, qn_engine *engine, const float *wanted) {
    float *logits = prompt_logits(engine);
    if (memcmp(logits, wanted, CASE_TOKENS * (uint64_t)TINY_VOCAB * sizeof *logits) != 0) {
        print_error("%s: other logits\n", what);
        fail();
    }
    free(logits);
}

/* Every family: the float32 file's own bits, with all weights in memory and with one layer at a time. */
static void test_families(void **state) {
    const qn_engine_options exact = exact_options();
    (void)state;
    for (size_t i = 0; i < N_FAMILY_CONFIGS; i++) {
        engine_case c;
        qn_error err;
        begin_case(&c, &family_configs[i], QN_F32, NULL, NULL);
        qn_engine *engine = open_engine(&c, &exact);
        float *wanted = prompt_logits(engine);
        qn_engine_free(engine);
        for (int by_layer = 0; by_layer < 2; by_layer++) {
            qn_model *model = open_model(&(qn_model_request){.dir = c.root});
            const qn_provider provider = open_recipes(model, "F32", by_layer == 1);
            assert_ok(&err, qn_engine_open_provider(&provider, &exact, NULL, &engine, &err));
            assert_prompt(family_configs[i].name, engine, wanted);
            assert_prompt(family_configs[i].name, engine, wanted);
            qn_engine_free(engine);
            qn_model_close(model);
        }
        free(wanted);
        end_case(&c);
    }
}

/* Biases of experts have a row each, and are read before any layer is entered. */
static void test_biases_of_many_rows(void **state) {
    engine_case c;
    const void *bytes[2] = {NULL, NULL};
    qn_provider providers[2];
    qn_shape shape;
    qn_dtype type = QN_F16;
    qn_error err;
    (void)state;
    begin_case(&c, family_named("llama"), QN_F32, NULL, NULL);
    qn_model *model = open_model(&(qn_model_request){.dir = c.root});
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        if (strcmp(model->tensors[i].name, "blk.1.attn_q.weight") == 0) { /* its rows are permuted: it is encoded */
            model->tensors[i].name = "blk.1.ffn_up_exps.bias";
        }
    }
    for (int by_layer = 0; by_layer < 2; by_layer++) {
        providers[by_layer] = open_recipes(model, "F32", by_layer == 1);
        const qn_provider *p = &providers[by_layer];
        assert_ok(&err, p->find(p->self, "blk.1.ffn_up_exps.bias", &shape, &type, &bytes[by_layer], &err));
        assert_non_null(bytes[by_layer]);
    }
    assert_int_equal(type, QN_F32);
    assert_true(qn_shape_rows(&shape) > 1);
    assert_memory_equal(bytes[0], bytes[1], qn_shape_rows(&shape) * qn_shape_cols(&shape) * sizeof(float));
    providers[0].close(providers[0].self);
    providers[1].close(providers[1].self);
    qn_model_close(model);
    end_case(&c);
}

/** The sample, packed with its run's best checkpoint into a folder. */
static void pack_sample(const char *types, const char *out) {
    const qn_pack_options options = {.base = QN_SAMPLES_DIR "/miller-base",
                                     .run = QN_SAMPLES_DIR "/miller-sft",
                                     .types = types,
                                     .out_dir = out,
                                     .name = "m",
                                     .no_sync = true,
                                     .no_verify = true};
    qn_plan *plan = NULL;
    qn_error err;
    qn_job *job = qn_job_new(2, NULL, NULL);
    assert_ok(&err, qn_plan_new(&options, job, &plan, &err));
    assert_ok(&err, qn_plan_run(plan, job, &err));
    qn_plan_free(plan);
    qn_job_free(job);
}

static void enter_part_of(const qn_provider *provider, const char *name) {
    unsigned layer = 0;
    qn_error err;
    if (provider->enter == NULL) {
        return;
    }
    const qn_part part = sscanf(name, "blk.%u.", &layer) == 1 ? QN_PART_LAYER : QN_PART_EMBEDDING;
    assert_ok(&err, provider->enter(provider->self, part, layer, &err));
}

/* The same tensors, types and bytes as in a packed file. */
static void assert_same_tensors(const qn_provider *ours, const char *path, const qn_model *model) {
    qn_provider file;
    qn_error err;
    assert_ok(&err, qn_provider_open(path, &file, &err));
    for (uint64_t k = 0; k < model->n_tensors; k++) {
        const uint64_t i = k * 7 % model->n_tensors; /* parts in no order */
        const char *name = model->tensors[i].name;
        qn_shape shape[2] = {{0}};
        qn_dtype type[2] = {QN_F32, QN_F32};
        const void *bytes[2] = {NULL, NULL};
        uint64_t row = 0;
        assert_ok(&err, ours->find(ours->self, name, &shape[0], &type[0], &bytes[0], &err));
        assert_ok(&err, file.find(file.self, name, &shape[1], &type[1], &bytes[1], &err));
        assert_non_null(bytes[0]);
        assert_non_null(bytes[1]);
        assert_int_equal(type[0], type[1]);
        assert_memory_equal(&shape[0], &shape[1], sizeof shape[0]);
        enter_part_of(ours, name);
        assert_ok(&err, qn_row_size(type[0], qn_shape_cols(&shape[0]), &row, &err));
        if (memcmp(bytes[0], bytes[1], row * qn_shape_rows(&shape[0])) != 0) {
            print_error("%s: '%s' differs\n", path, name);
            fail();
        }
    }
    file.close(file.self);
}

static void test_packed_bytes(void **state) {
    static const char *const types[] = {"F32", "F16", "BF16", "Q8_0", "Q4_K_M"};
    const qn_adapter_ref adapter = {QN_SAMPLES_DIR "/miller-sft/checkpoint-400", 1.0};
    char *root = make_temp_dir();
    (void)state;
    pack_sample("F32,F16,BF16,Q8_0,Q4_K_M", root);
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "m-%s.gguf", types[i]);
        char *path = join_path(root, name);
        qn_model *model = open_model(
            &(qn_model_request){.dir = QN_SAMPLES_DIR "/miller-base", .adapters = &adapter, .n_adapters = 1});
        for (int by_layer = 0; by_layer < 2; by_layer++) {
            const qn_provider provider = open_recipes(model, types[i], by_layer == 1);
            assert_same_tensors(&provider, path, model);
            provider.close(provider.self);
        }
        qn_model_close(model);
        free(path);
    }
    remove_temp_dir(root);
}

/*
 * What is mapped takes no memory: as BF16, all but the permuted q and k, and vectors. One layer at a time takes less
 * than all.
 */
static void test_memory(void **state) {
    qn_model *model = open_model(&(qn_model_request){.dir = QN_SAMPLES_DIR "/miller-base"});
    const struct {
        const char *type;
        bool by_layer;
        uint64_t most;
    } rows[] = {
        {"F32", false, 14800000}, {"F32", true, 3200000},  {"Q8_0", false, 3950000},
        {"Q8_0", true, 900000},   {"BF16", false, 800000},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const qn_provider provider = open_recipes(model, rows[i].type, rows[i].by_layer);
        if (provider.memory_bytes > rows[i].most || provider.memory_bytes < rows[i].most / 2) {
            print_error("%s: %llu bytes\n", rows[i].type, (unsigned long long)provider.memory_bytes);
            fail();
        }
        provider.close(provider.self);
    }
    qn_model_close(model);
}

typedef struct heard {
    unsigned n_stages;
    uint64_t done;
    uint64_t total;
} heard;

static void hear(void *user, const qn_event *event) {
    heard *h = user;
    h->n_stages += event->kind == QN_EVENT_STAGE && strcmp(event->stage, "Encode") == 0 ? 1 : 0;
    if (event->kind == QN_EVENT_PROGRESS) {
        h->done = event->bytes_done;
        h->total = event->bytes_total;
    }
}

static void test_events(void **state) {
    qn_model *model = open_model(&(qn_model_request){.dir = QN_SAMPLES_DIR "/miller-base"});
    (void)state;
    for (int by_layer = 0; by_layer < 2; by_layer++) {
        const qn_recipe_provider_options options = {.by_layer = by_layer == 1};
        heard h = {0};
        qn_provider provider;
        qn_error err;
        qn_job *job = qn_job_new(2, hear, &h);
        assert_ok(&err, qn_recipe_provider_open(model, &options, job, &provider, &err));
        assert_int_equal(h.n_stages, by_layer == 1 ? 0 : 1);
        assert_int_equal(h.done, h.total);
        assert_int_equal(h.total > 0, by_layer == 0);
        qn_job_cancel(job);
        if (by_layer == 1) {
            assert_int_equal(provider.enter(provider.self, QN_PART_LAYER, 0, &err), QN_E_INTERRUPTED);
        }
        provider.close(provider.self);
        qn_job_free(job);
    }
    qn_model_close(model);
}

static void test_refusals(void **state) {
    static const struct {
        qn_recipe_provider_options options;
        qn_status status;
        const char *part;
    } rows[] = {
        {{.type = "Q9"}, QN_E_USAGE, "'Q9'"},
        {{.type = "IQ1_S"}, QN_E_UNSUPPORTED, "importance"},
        {{.type = "F32", .max_bytes = 1000000}, QN_E_RANGE, "0.01 GB of memory as F32, and 0.00 GB are free"},
    };
    qn_model *model = open_model(&(qn_model_request){.dir = QN_SAMPLES_DIR "/miller-base"});
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_provider provider;
        qn_error err = {QN_OK, ""};
        assert_int_equal(qn_recipe_provider_open(model, &rows[i].options, NULL, &provider, &err), rows[i].status);
        if (strstr(err.message, rows[i].part) == NULL) {
            print_error("%s\n", err.message);
            fail();
        }
    }
    qn_model_close(model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_families),     cmocka_unit_test(test_biases_of_many_rows),
        cmocka_unit_test(test_packed_bytes), cmocka_unit_test(test_memory),
        cmocka_unit_test(test_events),       cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
