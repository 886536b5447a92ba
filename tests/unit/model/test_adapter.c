/* SPDX-License-Identifier: MIT */
/* test_adapter.c: adapter folders: names sorted into parts, scales by module, and every way to be refused. */
#include "model/tiny_model.h"

#include "model/adapter.h"

#include <math.h>

/* Opens an adapter of a list and a config patch in a folder of its own. */
static qn_status open_list(const tiny_list *list, const char *patch, char **dir, qn_adapter **adapter, qn_job *job,
                           qn_error *err) {
    *dir = make_temp_dir();
    *adapter = NULL;
    tiny_write_adapter(list, *dir, patch);
    return qn_adapter_open(*dir, 1.0, job, adapter, err);
}

static void test_plain(void **state) {
    tiny_list list;
    char *dir = NULL;
    qn_adapter *adapter = NULL;
    qn_error err;
    (void)state;
    tiny_adapter(&list);
    assert_ok(&err, open_list(&list, NULL, &dir, &adapter, NULL, &err));
    assert_int_equal(adapter->n_parts, 4);
    assert_int_equal(adapter->n_pairs, 4);
    assert_string_equal(adapter->base, "base");
    assert_true(adapter->alpha == 8.0);
    assert_false(adapter->has_dora);
    for (uint64_t i = 0; i < adapter->n_parts; i++) {
        const qn_adapter_part *part = &adapter->parts[i];
        assert_int_equal(part->rank, 4);
        assert_true(part->scale == 2.0 && part->alpha == 8.0);
        assert_non_null(part->a);
        assert_non_null(part->b);
        assert_false(part->is_embedding);
        assert_int_equal(strncmp(part->module, "model.layers.", 13), 0);
    }
    qn_adapter_close(adapter);
    qn_adapter_close(NULL);
    assert_true(qn_is_adapter_dir(dir));
    assert_false(qn_is_adapter_dir("/nowhere"));
    remove_temp_dir(dir);
}

/* ---- names ---- */

typedef enum slot { SLOT_NONE, SLOT_A, SLOT_B, SLOT_B_BIAS, SLOT_M, SLOT_WEIGHT, SLOT_BIAS } slot;

static const struct {
    const char *name;
    const char *module;
    slot where;
    bool is_embedding;
} names[] = {
    {"base_model.model.m.q.lora_A.weight", "m.q", SLOT_A, false},
    {"base_model.model.m.q.lora_A.default.weight", "m.q", SLOT_A, false},
    {"m.q.lora_A.weight", "m.q", SLOT_A, false},
    {"model.layers.0.q.lora_A.weight", "model.layers.0.q", SLOT_A, false},
    {"base_model.model.m.q.lora_B.weight", "m.q", SLOT_B, false},
    {"base_model.model.m.q.lora_B.default.weight", "m.q", SLOT_B, false},
    {"base_model.model.m.q.lora_B.bias", "m.q", SLOT_B_BIAS, false},
    {"base_model.model.m.q.lora_B.default.bias", "m.q", SLOT_B_BIAS, false},
    {"base_model.model.e.lora_embedding_A", "e", SLOT_A, true},
    {"base_model.model.e.lora_embedding_A.default", "e", SLOT_A, true},
    {"base_model.model.e.lora_embedding_B", "e", SLOT_B, true},
    {"base_model.model.m.q.lora_magnitude_vector", "m.q", SLOT_M, false},
    {"base_model.model.m.q.lora_magnitude_vector.weight", "m.q", SLOT_M, false},
    {"base_model.model.m.q.lora_magnitude_vector.default.weight", "m.q", SLOT_M, false},
    {"base_model.model.lm_head.weight", "lm_head", SLOT_WEIGHT, false},
    {"base_model.model.lm_head.modules_to_save.weight", "lm_head", SLOT_WEIGHT, false},
    {"base_model.model.lm_head.modules_to_save.default.weight", "lm_head", SLOT_WEIGHT, false},
    {"lm_head.weight", "lm_head", SLOT_WEIGHT, false},
    {"base_model.model.m.q.bias", "m.q", SLOT_BIAS, false},
    {"base_model.model.m.q.base_layer.bias", "m.q", SLOT_BIAS, false},
    /* only a whole component is a wrapper: a module may be called what begins like one */
    {"base_model.model.m.default_q.weight", "m.default_q", SLOT_WEIGHT, false},
    {"base_model.model.m.modules_to_saved.weight", "m.modules_to_saved", SLOT_WEIGHT, false},
};

static const qn_archive_tensor *in_slot(const qn_adapter_part *part, slot where) {
    switch (where) {
    case SLOT_A: return part->a;
    case SLOT_B: return part->b;
    case SLOT_B_BIAS: return part->b_bias;
    case SLOT_M: return part->magnitude;
    case SLOT_WEIGHT: return part->full_weight;
    case SLOT_BIAS: return part->full_bias;
    case SLOT_NONE: break;
    }
    return NULL;
}

/* Adds what the other slots of a module need for it to be whole. */
static void complete(tiny_list *list, const char *module, slot where, bool is_embedding) {
    char name[160];
    if (where == SLOT_WEIGHT || where == SLOT_BIAS) {
        return;
    }
    if (where != SLOT_A) {
        (void)snprintf(name, sizeof name, "base_model.model.%s.lora_%s", module,
                       is_embedding ? "embedding_A" : "A.weight");
        (void)tiny_add(list, name, "F32", 2, 4, 32);
    }
    if (where != SLOT_B) {
        (void)snprintf(name, sizeof name, "base_model.model.%s.lora_%s", module,
                       is_embedding ? "embedding_B" : "B.weight");
        (void)tiny_add(list, name, "F32", 2, 16, 4);
    }
}

static void test_names(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        tiny_list list = {.n = 0};
        char *dir = NULL;
        qn_adapter *adapter = NULL;
        qn_error err;
        const bool is_wide = names[i].where == SLOT_A;
        (void)tiny_add(&list, names[i].name, "F32", 2, is_wide ? 4 : 16, is_wide ? 32 : 4);
        complete(&list, names[i].module, names[i].where, names[i].is_embedding);
        assert_ok(&err, open_list(&list, NULL, &dir, &adapter, NULL, &err));
        if (adapter->n_parts != 1 || strcmp(adapter->parts[0].module, names[i].module) != 0) {
            print_error("'%s': %llu parts, the first '%s'\n", names[i].name, (unsigned long long)adapter->n_parts,
                        adapter->parts[0].module);
            fail();
        }
        const qn_archive_tensor *found = in_slot(&adapter->parts[0], names[i].where);
        assert_non_null(found);
        assert_string_equal(found->name, names[i].name);
        assert_int_equal(adapter->parts[0].is_embedding, names[i].is_embedding);
        assert_int_equal(adapter->has_dora, names[i].where == SLOT_M);
        qn_adapter_close(adapter);
        remove_temp_dir(dir);
    }
}

/* A wrapped layer's copy of the base's own weight is left out, and counts as nothing. */
static void test_base_layer_is_skipped(void **state) {
    tiny_list list;
    char *dir = NULL;
    qn_adapter *adapter = NULL;
    qn_error err;
    (void)state;
    tiny_adapter(&list);
    (void)tiny_add(&list, "base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight", "F32", 2, 32, 32);
    assert_ok(&err, open_list(&list, NULL, &dir, &adapter, NULL, &err));
    assert_int_equal(adapter->n_parts, 4);
    for (uint64_t i = 0; i < adapter->n_parts; i++) {
        assert_null(adapter->parts[i].full_weight);
    }
    qn_adapter_close(adapter);
    remove_temp_dir(dir);
}

/* ---- tensors that are refused ---- */

#define Q "base_model.model.model.layers.0.self_attn.q_proj"

static const struct {
    const char *what;
    const char *remove; /* of tiny_adapter() */
    struct {
        const char *name;
        const char *type;
        unsigned n_dims;
        uint64_t dims[2];
    } add[2];
    qn_status status;
    const char *has[2];
} broken[] = {
    {"half a pair: B alone",
     Q ".lora_A.weight",
     {{NULL}},
     QN_E_FORMAT,
     {"'" Q ".lora_B.weight' has no partner", "q_proj"}},
    {"half a pair: A alone", Q ".lora_B.weight", {{NULL}}, QN_E_FORMAT, {"'" Q ".lora_A.weight' has no partner", ""}},
    {"a magnitude alone", NULL, {{"m.x.lora_magnitude_vector", "F32", 1, {8, 1}}}, QN_E_FORMAT, {"no partner", "m.x"}},
    {"a bias of B alone", NULL, {{"m.x.lora_B.bias", "F32", 1, {8, 1}}}, QN_E_FORMAT, {"no partner", "m.x"}},
    {"halves of two kinds",
     NULL,
     {{"m.x.lora_A.weight", "F32", 2, {4, 8}}, {"m.x.lora_embedding_B", "F32", 2, {8, 4}}},
     QN_E_FORMAT,
     {"m.x.lora_A.weight", "m.x.lora_embedding_B"}},
    {"ranks differ", Q ".lora_B.weight", {{Q ".lora_B.weight", "F32", 2, {32, 5}}}, QN_E_SHAPE, {"[4, 32]", "[32, 5]"}},
    {"both of another rank than the config's",
     NULL,
     {{"m.x.lora_A.weight", "F32", 2, {3, 8}}, {"m.x.lora_B.weight", "F32", 2, {8, 3}}},
     QN_E_SHAPE,
     {"'m.x' has rank 3", "and 4 in adapter_config.json"}},
    {"A is a vector",
     Q ".lora_A.weight",
     {{Q ".lora_A.weight", "F32", 1, {4, 1}}},
     QN_E_SHAPE,
     {"lora_A is [4]", "q_proj"}},
    {"B is a scalar",
     Q ".lora_B.weight",
     {{Q ".lora_B.weight", "F32", 0, {1, 1}}},
     QN_E_SHAPE,
     {"lora_B []", "q_proj"}},
    {"rank 0",
     NULL,
     {{"m.x.lora_A.weight", "F32", 2, {0, 8}}, {"m.x.lora_B.weight", "F32", 2, {8, 0}}},
     QN_E_SHAPE,
     {"'m.x'", "[0, 8]"}},
    {"an unknown kind",
     NULL,
     {{"m.x.lora_C.weights", "F32", 1, {4, 1}}},
     QN_E_UNSUPPORTED,
     {"'m.x.lora_C.weights'", "lora_A"}},
    {"no module at all", NULL, {{".weight", "F32", 1, {4, 1}}}, QN_E_UNSUPPORTED, {"'.weight'", ""}},
    {"trained tokens",
     NULL,
     {{"base_model.model.e.token_adapter.trainable_tokens_delta", "F32", 2, {2, 4}}},
     QN_E_UNSUPPORTED,
     {"trainable_tokens_delta", "merge_and_unload"}},
    {"the same twice, once wrapped",
     NULL,
     {{Q ".lora_A.default.weight", "F32", 2, {4, 32}}},
     QN_E_FORMAT,
     {Q ".lora_A.default.weight", "the same part of module 'model.layers.0.self_attn.q_proj'"}},
    {"the same twice, once without prefix",
     NULL,
     {{"model.layers.0.self_attn.q_proj.lora_B.weight", "F32", 2, {32, 4}}},
     QN_E_FORMAT,
     {Q ".lora_B.weight", "the same part"}},
};

static void test_broken(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof broken[0]; i++) {
        tiny_list list;
        char *dir = NULL;
        qn_adapter *adapter = NULL;
        qn_error err = {QN_OK, ""};
        tiny_adapter(&list);
        if (broken[i].remove != NULL) {
            tiny_remove(&list, broken[i].remove);
        }
        for (size_t k = 0; k < 2 && broken[i].add[k].name != NULL; k++) {
            (void)tiny_add(&list, broken[i].add[k].name, broken[i].add[k].type, broken[i].add[k].n_dims,
                           broken[i].add[k].dims[0], broken[i].add[k].dims[1]);
        }
        const qn_status status = open_list(&list, NULL, &dir, &adapter, NULL, &err);
        if (status != broken[i].status || strstr(err.message, broken[i].has[0]) == NULL ||
            strstr(err.message, broken[i].has[1]) == NULL || strstr(err.message, dir) == NULL) {
            print_error("%s: %s %s\n", broken[i].what, qn_status_name(status), err.message);
            fail();
        }
        qn_adapter_close(adapter);
        remove_temp_dir(dir);
    }
}

/* Nothing in it changes the model: packing it must not look as if it had. */
static void test_empty(void **state) {
    static const char *const only[] = {NULL, Q ".base_layer.weight"};
    (void)state;
    for (size_t i = 0; i < sizeof only / sizeof only[0]; i++) {
        tiny_list list = {.n = 0};
        char *dir = NULL;
        qn_adapter *adapter = NULL;
        qn_error err;
        if (only[i] != NULL) {
            (void)tiny_add(&list, only[i], "F32", 2, 4, 4);
        }
        assert_status(&err, open_list(&list, NULL, &dir, &adapter, NULL, &err), QN_E_FORMAT);
        assert_message_has(&err, "no tensors");
        remove_temp_dir(dir);
    }
}

/* ---- adapter_config.json ---- */

static const struct {
    const char *patch;
    double alpha;
    double scale; /* of layer 0's q_proj, rank 4 */
} scales[] = {
    {"{}", 8, 2},
    {"{'lora_alpha':'<absent>'}", 8, 2},
    {"{'lora_alpha':1.5}", 1.5, 0.375},
    {"{'lora_alpha':-8}", -8, -2},
    {"{'lora_alpha':0}", 0, 0},
    {"{'use_rslora':true}", 8, 4},
    {"{'use_rslora':false}", 8, 2},
    {"{'use_rslora':null}", 8, 2},
    {"{'r':'<absent>','rank_pattern':{'q_proj':4,'down_proj':4}}", 8, 2},
    {"{'r':64,'rank_pattern':{'.*':4}}", 8, 2},
    {"{'alpha_pattern':{'q_proj':32}}", 32, 8},
    {"{'alpha_pattern':{'self_attn.q_proj':32}}", 32, 8},
    {"{'alpha_pattern':{'model.layers.0.self_attn.q_proj':32}}", 32, 8},
    {"{'alpha_pattern':{'^model.layers.0.self_attn.q_proj':32}}", 32, 8},
    {"{'alpha_pattern':{'layers.[0-3]..*.q_proj':32}}", 32, 8},
    {"{'alpha_pattern':{'_proj':32}}", 8, 2},     /* a whole component, not its end */
    {"{'alpha_pattern':{'q_pro':32}}", 8, 2},     /* nor its beginning */
    {"{'alpha_pattern':{'self_attn':32}}", 8, 2}, /* nor a part of the path */
    {"{'alpha_pattern':{'Q_PROJ':32}}", 8, 2},
    {"{'alpha_pattern':{'':32}}", 8, 2},
    {"{'alpha_pattern':{'k_proj|q_proj':32}}", 32, 8},  /* the choice is one group */
    {"{'alpha_pattern':{'q_proj':16,'.*':32}}", 16, 4}, /* the first that matches */
    {"{'alpha_pattern':{'.*':32,'q_proj':16}}", 32, 8},
    {"{'alpha_pattern':{'k_proj':99},'lora_alpha':4}", 4, 1},
    {"{'alpha_pattern':null,'rank_pattern':null}", 8, 2},
    {"{'alpha_pattern':{'q_proj':32},'use_rslora':true}", 32, 16},
};

static void test_scales(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++) {
        tiny_list list;
        char *dir = NULL;
        qn_adapter *adapter = NULL;
        qn_error err;
        tiny_adapter(&list);
        assert_ok(&err, open_list(&list, scales[i].patch, &dir, &adapter, NULL, &err));
        const qn_adapter_part *part = &adapter->parts[0];
        if (part->alpha != scales[i].alpha || part->scale != scales[i].scale) {
            print_error("%s: alpha %g scale %g, wanted %g and %g\n", scales[i].patch, part->alpha, part->scale,
                        scales[i].alpha, scales[i].scale);
            fail();
        }
        qn_adapter_close(adapter);
        remove_temp_dir(dir);
    }
}

static const struct {
    const char *patch;
    qn_status status;
    const char *has;
} configs[] = {
    {"{'peft_type':'<absent>'}", QN_E_UNSUPPORTED, "peft_type is 'absent'"},
    {"{'peft_type':null}", QN_E_UNSUPPORTED, "peft_type"},
    {"{'peft_type':'IA3'}", QN_E_UNSUPPORTED, "peft_type is 'IA3'"},
    {"{'peft_type':'lora'}", QN_E_UNSUPPORTED, "peft_type is 'lora'"},
    {"{'layer_replication':[[0,4],[2,5]]}", QN_E_UNSUPPORTED, "'layer_replication' is set"},
    {"{'target_parameters':['mlp.experts.gate_up_proj']}", QN_E_UNSUPPORTED, "'target_parameters' is set"},
    {"{'use_qalora':true}", QN_E_UNSUPPORTED, "'use_qalora' is set"},
    {"{'trainable_token_indices':[1,2]}", QN_E_UNSUPPORTED, "'trainable_token_indices' is set"},
    {"{'trainable_token_indices':{'embed_tokens':[1]}}", QN_E_UNSUPPORTED, "'trainable_token_indices' is set"},
    {"{'megatron_config':{'x':1}}", QN_E_UNSUPPORTED, "'megatron_config' is set"},
    {"{'alora_invocation_tokens':[5,6]}", QN_E_UNSUPPORTED, "'alora_invocation_tokens' is set"},
    {"{'use_dora':true}", QN_E_FORMAT, "has no lora_magnitude_vector"},
    {"{'r':8}", QN_E_SHAPE, "has rank 4 in adapter_model.safetensors and 8"},
    {"{'r':'<absent>'}", QN_E_SHAPE, "and 8 in adapter_config.json"},
    {"{'r':'4'}", QN_E_FORMAT, "'r'"},
    {"{'lora_alpha':'16'}", QN_E_FORMAT, "'lora_alpha'"},
    {"{'lora_alpha':null}", QN_E_FORMAT, "'lora_alpha'"},
    {"{'lora_alpha':[16]}", QN_E_FORMAT, "'lora_alpha'"},
    {"{'lora_alpha':1e308,'use_rslora':'yes'}", QN_E_FORMAT, "'use_rslora'"},
    {"{'use_rslora':1}", QN_E_FORMAT, "'use_rslora'"},
    {"{'use_dora':'true'}", QN_E_FORMAT, "'use_dora'"},
    {"{'alpha_pattern':{'q_proj':'32'}}", QN_E_FORMAT, "'alpha_pattern' of 'q_proj' is not a number"},
    {"{'alpha_pattern':{'q_proj':null}}", QN_E_FORMAT, "'alpha_pattern' of 'q_proj'"},
    {"{'alpha_pattern':['q_proj']}", QN_E_FORMAT, "'alpha_pattern'"},
    {"{'rank_pattern':7}", QN_E_FORMAT, "'rank_pattern'"},
    {"{'rank_pattern':{'q_proj':0}}", QN_E_SHAPE, "has rank 4"},
    {"{'rank_pattern':{'q_proj':2}}", QN_E_SHAPE, "has rank 4"},
    /* patterns that are none, and those that would not end */
    {"{'alpha_pattern':{'q_proj(':32}}", QN_E_FORMAT, "'q_proj(' is not a valid regular expression"},
    {"{'alpha_pattern':{'[':32}}", QN_E_FORMAT, "is not a valid regular expression"},
    {"{'alpha_pattern':{'*':32}}", QN_E_FORMAT, "is not a valid regular expression"},
    {"{'alpha_pattern':{'(?P<x':32}}", QN_E_FORMAT, "is not a valid regular expression"},
    {"{'alpha_pattern':{'(([a-z._0-9]+)+)+[A-Z]':32}}", QN_E_FORMAT, "cannot be matched"},
    {"{'rank_pattern':{'(.*)*(.*)*(.*)*(.*)*(.*)*[!?]':4}}", QN_E_FORMAT, "cannot be matched"},
    {"{'alpha_pattern':{'(?R)':32}}", QN_E_FORMAT, "pattern"},
};

static void test_configs(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        tiny_list list;
        char *dir = NULL;
        qn_adapter *adapter = NULL;
        qn_error err = {QN_OK, ""};
        tiny_adapter(&list);
        const qn_status status = open_list(&list, configs[i].patch, &dir, &adapter, NULL, &err);
        if (status != configs[i].status || strstr(err.message, configs[i].has) == NULL ||
            strstr(err.message, dir) == NULL) {
            print_error("%s: %s %s\n", configs[i].patch, qn_status_name(status), err.message);
            fail();
        }
        assert_null(adapter);
        remove_temp_dir(dir);
    }
}

/* A pattern may be as long as a buffer, not longer. */
static void test_long_pattern(void **state) {
    static const size_t lengths[] = {900, 1100, 100000};
    (void)state;
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        tiny_list list;
        char *dir = NULL;
        qn_adapter *adapter = NULL;
        qn_error err = {QN_OK, ""};
        char *patch = malloc(lengths[i] + 64);
        assert_non_null(patch);
        const int n = snprintf(patch, 64, "{'alpha_pattern':{'");
        memset(patch + n, 'x', lengths[i]);
        (void)snprintf(patch + n + lengths[i], 16, "':1}}");
        tiny_adapter(&list);
        assert_status(&err, open_list(&list, patch, &dir, &adapter, NULL, &err), i == 0 ? QN_OK : QN_E_FORMAT);
        qn_adapter_close(adapter);
        free(patch);
        remove_temp_dir(dir);
    }
}

static void test_keys_that_are_fine(void **state) {
    static const char *const patches[] = {
        "{'layer_replication':null,'target_parameters':[],'use_qalora':false,'trainable_token_indices':{},"
        "'megatron_config':null}",
        "{'init_lora_weights':true}",
        "{'init_lora_weights':'gaussian'}",
        "{'bias':'all','modules_to_save':['lm_head'],'fan_in_fan_out':true,'unknown_new_key':{'a':[1]}}",
    };
    tiny_heard heard = {0};
    qn_job *job = qn_job_new(1, tiny_listen, &heard);
    (void)state;
    for (size_t i = 0; i < sizeof patches / sizeof patches[0]; i++) {
        tiny_list list;
        char *dir = NULL;
        qn_adapter *adapter = NULL;
        qn_error err;
        tiny_adapter(&list);
        assert_ok(&err, open_list(&list, patches[i], &dir, &adapter, job, &err));
        qn_adapter_close(adapter);
        remove_temp_dir(dir);
    }
    assert_int_equal(heard.n_warnings, 0);
    qn_job_free(job);
}

/* What changed the base when training began cannot be seen afterwards: a warning that names it. */
static void test_init_warns(void **state) {
    static const char *const inits[] = {"pissa", "pissa_niter_16", "olora", "corda", "loftq"};
    (void)state;
    for (size_t i = 0; i < sizeof inits / sizeof inits[0]; i++) {
        tiny_list list;
        char *dir = NULL;
        char patch[64];
        qn_adapter *adapter = NULL;
        qn_error err;
        tiny_heard heard = {0};
        qn_job *job = qn_job_new(1, tiny_listen, &heard);
        (void)snprintf(patch, sizeof patch, "{'init_lora_weights':'%s'}", inits[i]);
        tiny_adapter(&list);
        assert_ok(&err, open_list(&list, patch, &dir, &adapter, job, &err));
        assert_int_equal(heard.n_warnings, 1);
        assert_non_null(strstr(heard.warnings, inits[i]));
        qn_adapter_close(adapter);
        qn_job_free(job);
        remove_temp_dir(dir);
    }
}

/* ---- files ---- */

static void test_files(void **state) {
    static const char pointer[] = "version https://git-lfs.github.com/spec/v1\noid sha256:"
                                  "0123456789012345678901234567890123456789012345678901234567890123\nsize 4096\n";
    static const struct {
        const char *name;
        const char *text;
        const char *config; /* NULL: none */
        qn_status status;
        const char *has;
    } rows[] = {
        {"adapter_model.safetensors", pointer, tiny_adapter_config, QN_E_NOT_FOUND, "git lfs pull"},
        {"adapter_model.safetensors", "", tiny_adapter_config, QN_E_FORMAT, "adapter_model.safetensors"},
        {"adapter_model.bin", "PK", tiny_adapter_config, QN_E_UNSUPPORTED, "adapter_model.bin is not read yet"},
        {"other", "x", tiny_adapter_config, QN_E_NOT_FOUND, "adapter_model.safetensors"},
        {"other", "x", NULL, QN_E_NOT_FOUND, "has no adapter_config.json"},
        {"other", "x", "{", QN_E_FORMAT, "adapter_config.json"},
        {"other", "x", "[]", QN_E_FORMAT, "an object is expected"},
        {"other", "x", "", QN_E_FORMAT, "adapter_config.json"},
        {"other", "x", "{\"peft_type\":\"LORA\\u0000\"}", QN_E_NOT_FOUND, "adapter_model.safetensors"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *dir = make_temp_dir();
        qn_adapter *adapter = NULL;
        qn_error err;
        free(write_text(dir, rows[i].name, rows[i].text));
        if (rows[i].config != NULL) {
            free(write_text(dir, "adapter_config.json", rows[i].config));
        }
        assert_status(&err, qn_adapter_open(dir, 1.0, NULL, &adapter, &err), rows[i].status);
        if (strstr(rows[i].has, "object") == NULL) {
            assert_message_has(&err, rows[i].has);
        }
        assert_message_has(&err, dir);
        remove_temp_dir(dir);
    }
}

/* ---- pairs ---- */

static const qn_tensor_rule square = {"m.q.weight", "q.weight", QN_DIM_EMBD, QN_DIM_EMBD, QN_AS_IS, QN_REQUIRED};
static const qn_tensor_rule norm = {"m.q.weight", "q.weight", QN_DIM_NONE, QN_DIM_EMBD, QN_AS_IS, QN_REQUIRED};
static const qn_tensor_rule plus_one = {"m.q.weight", "q.weight", QN_DIM_EMBD, QN_DIM_EMBD, QN_PLUS_ONE, QN_REQUIRED};

static void test_pairs(void **state) {
    static const struct {
        const qn_tensor_rule *rule;
        uint64_t n_rows, n_cols, magnitude;
        qn_status status;
        const char *has;
    } rows[] = {
        {&square, 16, 32, 0, QN_OK, ""},
        {&square, 0, 0, 0, QN_OK, ""},
        {&square, 16, 32, 16, QN_OK, ""},
        {&square, 32, 16, 0, QN_E_SHAPE, "[16, 32] matrix, the base model's is [32, 16]"},
        {&square, 17, 32, 0, QN_E_SHAPE, "is [17, 32]"},
        {&square, 16, 31, 0, QN_E_SHAPE, "is [16, 31]"},
        {&square, 16, 32, 15, QN_E_SHAPE, "has 15 values; module 'm.q' needs 16"},
        {&square, 16, 32, 32, QN_E_SHAPE, "has 32 values"},
        {&norm, 1, 32, 0, QN_E_UNSUPPORTED, "is a vector"},
        {&plus_one, 16, 32, 0, QN_E_UNSUPPORTED, "'m.q'"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        tiny_list list = {.n = 0};
        char *dir = NULL;
        qn_adapter *adapter = NULL;
        qn_hparams h = {.is_tied = false};
        qn_low_rank pair;
        qn_error err;
        tiny_add_pair(&list, "m.q", 4, 16, 32);
        if (rows[i].magnitude != 0) {
            (void)tiny_add(&list, "m.q.lora_magnitude_vector", "F32", 1, rows[i].magnitude, 1);
        }
        assert_ok(&err, open_list(&list, NULL, &dir, &adapter, NULL, &err));
        assert_status(&err,
                      qn_adapter_pair(adapter, &adapter->parts[0], rows[i].rule, &h, rows[i].n_rows, rows[i].n_cols,
                                      adapter->arena, &pair, &err),
                      rows[i].status);
        if (rows[i].status == QN_OK) {
            assert_int_equal(qn_recipe_rows(pair.left), 16);
            assert_int_equal(qn_recipe_cols(pair.right), 32);
            assert_true(pair.scale == 2.0F && pair.strength == 1.0F);
            assert_int_equal(pair.magnitude != NULL, rows[i].magnitude != 0);
            assert_false(pair.by_column);
        } else {
            assert_message_has(&err, rows[i].has);
            assert_message_has(&err, dir);
        }
        qn_adapter_close(adapter);
        remove_temp_dir(dir);
    }
}

/* An embedding's factors are turned: A has a column for each token. */
static void test_embedding_pair(void **state) {
    static const qn_tensor_rule table = {"e.weight", "token_embd.weight", QN_DIM_VOCAB, QN_DIM_EMBD,
                                         QN_AS_IS,   QN_REQUIRED};
    tiny_list list = {.n = 0};
    char *dir = NULL;
    qn_adapter *adapter = NULL;
    qn_hparams h = {.is_tied = false};
    qn_low_rank pair;
    qn_error err;
    (void)state;
    (void)tiny_add(&list, "base_model.model.e.lora_embedding_A", "F32", 2, 4, 50);
    (void)tiny_add(&list, "base_model.model.e.lora_embedding_B", "F32", 2, 8, 4);
    (void)tiny_add(&list, "base_model.model.e.lora_magnitude_vector", "F32", 1, 8, 1);
    assert_ok(&err, open_list(&list, NULL, &dir, &adapter, NULL, &err));
    assert_ok(&err, qn_adapter_pair(adapter, &adapter->parts[0], &table, &h, 50, 8, adapter->arena, &pair, &err));
    assert_int_equal(qn_recipe_rows(pair.left), 50);
    assert_int_equal(qn_recipe_cols(pair.left), 4);
    assert_int_equal(qn_recipe_rows(pair.right), 4);
    assert_int_equal(qn_recipe_cols(pair.right), 8);
    assert_true(pair.by_column);
    assert_status(&err, qn_adapter_pair(adapter, &adapter->parts[0], &table, &h, 51, 8, adapter->arena, &pair, &err),
                  QN_E_SHAPE);
    qn_adapter_close(adapter);
    remove_temp_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_base_layer_is_skipped),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_scales),
        cmocka_unit_test(test_configs),
        cmocka_unit_test(test_long_pattern),
        cmocka_unit_test(test_keys_that_are_fine),
        cmocka_unit_test(test_init_warns),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_pairs),
        cmocka_unit_test(test_embedding_pair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
