/* SPDX-License-Identifier: MIT */
/* test_config_json.c: config.json written from hyper-parameters, and read again: the same numbers for every family. */
#include "arch/family_configs.h"

/* The config of a family's small model, written and parsed. */
static json_t *rewritten(const family_config *c, qn_arena *arena, qn_hparams *h) {
    json_t *config = family_json(c);
    const qn_arch *arch = NULL;
    json_t *out = NULL;
    json_t *parsed = NULL;
    qn_error err;
    read_family(c->name, config, arena, &arch, h);
    qn_meta meta = qn_meta_new(arena);
    qn_meta_set_u32(&meta, "tokenizer.ggml.bos_token_id", 1);
    qn_meta_set_u32(&meta, "tokenizer.ggml.eos_token_id", 2);
    const qn_config_source source = {.arch = arch,
                                     .hparams = h,
                                     .meta = &meta,
                                     .dtype_name = "float16",
                                     .has_attention_bias = c->has_bias != 0,
                                     .has_mlp_bias = c->has_bias != 0};
    assert_ok(&err, qn_arch_config(&source, &out, &err));
    char *text = json_dumps(out, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    assert_non_null(text);
    assert_ok(&err, qn_json_parse(c->name, text, strlen(text), &parsed, &err));
    free(text);
    json_decref(out);
    json_decref(config);
    return parsed;
}

static void test_round_trip(void **state) {
    (void)state;
    for (size_t i = 0; i < N_FAMILY_CONFIGS; i++) {
        const family_config *c = &family_configs[i];
        qn_arena *arena = qn_arena_new();
        const qn_arch *arch = NULL;
        qn_hparams h;
        qn_hparams back;
        json_t *config = rewritten(c, arena, &h);
        read_family(c->name, config, arena, &arch, &back);
        assert_string_equal(arch->name, c->arch);
        assert_true(same_hparams(c->name, &h, &back));
        json_decref(config);
        qn_arena_free(arena);
    }
}

static const struct {
    size_t config; /* of family_configs */
    const char *key;
    const char *value; /* JSON; NULL: it must not be there */
} members[] = {
    {0, "model_type", "\"llama\""},
    {0, "architectures", "[\"LlamaForCausalLM\"]"},
    {0, "torch_dtype", "\"float16\""},
    {0, "rms_norm_eps", "1e-5"},
    {0, "rope_theta", "500000.0"},
    {0, "num_hidden_layers", "3"},
    {0, "bos_token_id", "1"},
    {0, "eos_token_id", "2"},
    {0, "pad_token_id", "null"},
    {0, "attention_bias", "false"},
    {0, "hidden_act", "\"silu\""},
    {0, "head_dim", NULL},
    {0, "rope_scaling",
     "{\"rope_type\":\"llama3\",\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,"
     "\"original_max_position_embeddings\":8192}"},
    {2, "attention_bias", "true"},
    {2, "mlp_bias", "true"},
    {2, "head_dim", "24"},
    {2, "tie_word_embeddings", "true"},
    {2, "rope_scaling", NULL},
    {4, "model_type", "\"mistral\""},
    {5, "use_sliding_window", "false"},
    {5, "attention_bias", NULL},
    {9, "query_pre_attn_scalar", "16"},
    {9, "attn_logit_softcapping", "50.0"},
    {10, "layer_types", "[\"sliding_attention\",\"sliding_attention\",\"sliding_attention\"]"},
    {10, "rope_local_base_freq", "10000.0"},
    {10, "attn_logit_softcapping", "null"},
    {10, "final_logit_softcapping", "null"},
    {11, "layer_types", "[\"full_attention\",\"full_attention\",\"full_attention\"]"},
    {11, "sliding_window", NULL},
    {11, "final_logit_softcapping", "5.5"},
    {12, "sliding_window", "262144"},
    {13, "sliding_window", "null"},
    {13, "partial_rotary_factor", "0.75"},
    {13, "rope_scaling", "{\"type\":\"longrope\",\"short_factor\":[1.0,1.1,1.3],\"long_factor\":[1.5,2.0,3.0]}"},
    {14, "n_embd", "32"},
    {14, "n_layer", "3"},
    {14, "n_inner", "128"},
    {14, "n_positions", "128"},
    {14, "activation_function", "\"gelu_new\""},
    {14, "num_key_value_heads", NULL},
    {14, "layer_norm_epsilon", "1e-5"},
};

static void test_members(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        qn_arena *arena = qn_arena_new();
        qn_hparams h;
        json_t *config = rewritten(&family_configs[members[i].config], arena, &h);
        const json_t *value = json_object_get(config, members[i].key);
        char *text = value == NULL ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
        const bool is_same = (text == NULL) == (members[i].value == NULL) &&
            (text == NULL || strcmp(text, members[i].value) == 0);
        if (!is_same) {
            print_error("%s: '%s' is %s, wanted %s\n", family_configs[members[i].config].name, members[i].key,
                        text == NULL ? "absent" : text, members[i].value == NULL ? "absent" : members[i].value);
            fail();
        }
        free(text);
        json_decref(config);
        qn_arena_free(arena);
    }
}

/* Every family can be written. */
static void test_every_family(void **state) {
    (void)state;
    for (size_t i = 0; qn_arch_at(i) != NULL; i++) {
        const qn_arch *arch = qn_arch_at(i);
        json_error_t error;
        assert_non_null(arch->model_type);
        json_t *constants = json_loads(arch->config_constants, 0, &error);
        assert_true(json_is_object(constants));
        json_decref(constants);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_every_family),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
