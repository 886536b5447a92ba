/* SPDX-License-Identifier: MIT */
/* test_hparams.c: tables of config.json texts: the values, defaults and refusals that come of them. */
#include "arch/hparams.h"

#include "support.h"

#include <math.h>

/* What every case starts from; a case's members come after, and the last of a name counts. */
static const char whole[] =
    "'num_hidden_layers':2,'hidden_size':64,'num_attention_heads':4,'max_position_embeddings':128";

static const qn_hp_default defaults[] = {{QN_HP_ROPE_BASE, 10000},
                                         {QN_HP_RMS_EPS, 1e-6},
                                         {QN_HP_SLIDING_WINDOW, 4096},
                                         {QN_HP_ATTN_SOFTCAP, 50},
                                         {QN_HP_N_FF, 256}};
enum { N_DEFAULTS = sizeof defaults / sizeof defaults[0] };

/* Parses {whole, members} with ' for ". A member of `whole` named again replaces it. */
static json_t *config_of(const char *members) {
    char text[4096];
    json_t *object = NULL;
    qn_error err;
    (void)snprintf(text, sizeof text, "{%s%s%s}", whole, members[0] == '\0' ? "" : ",", members);
    (void)with_double_quotes(text);
    assert_ok(&err, qn_json_parse("config.json", text, strlen(text), &object, &err));
    return object;
}

static qn_status read_members(const char *members, bool is_tied, qn_arena *arena, qn_hparams *h, qn_error *err) {
    json_t *config = config_of(members);
    const qn_status status = qn_hparams_read("config.json", config, defaults, N_DEFAULTS, is_tied, arena, h, err);
    json_decref(config);
    return status;
}

#define ABSENT NAN

static const struct {
    const char *members;
    qn_hp hp;
    double value; /* ABSENT: it must not be there */
} values[] = {
    {"", QN_HP_N_LAYER, 2},
    {"", QN_HP_N_EMBD, 64},
    {"", QN_HP_N_HEAD_KV, 4}, /* as many as heads */
    {"", QN_HP_HEAD_DIM, ABSENT},
    {"", QN_HP_N_VOCAB, ABSENT},
    {"", QN_HP_N_FF, 256},
    {"", QN_HP_ROPE_BASE, 10000},
    {"'num_key_value_heads':2", QN_HP_N_HEAD_KV, 2},
    {"'num_key_value_heads':null", QN_HP_N_HEAD_KV, 4},
    {"'n_kv_heads':1", QN_HP_N_HEAD_KV, 1},
    {"'head_dim':24", QN_HP_HEAD_DIM, 24},
    {"'head_dim':null", QN_HP_HEAD_DIM, ABSENT},
    {"'intermediate_size':100", QN_HP_N_FF, 100},
    {"'n_inner':null", QN_HP_N_FF, ABSENT}, /* null says "none", not "as usual" */
    {"'sliding_window':null", QN_HP_SLIDING_WINDOW, ABSENT},
    {"'sliding_window':0", QN_HP_SLIDING_WINDOW, 0},
    {"'sliding_window':512", QN_HP_SLIDING_WINDOW, 512},
    {"'attn_logit_softcapping':null", QN_HP_ATTN_SOFTCAP, ABSENT},
    {"'attn_logit_softcapping':30.0", QN_HP_ATTN_SOFTCAP, 30},
    {"'n_layers':3", QN_HP_N_LAYER, 3}, /* the first name of the list wins */
    {"'n_embd':8", QN_HP_N_EMBD, 64},
    {"'num_hidden_layers':2.0", QN_HP_N_LAYER, 2},
    {"'vocab_size':32000", QN_HP_N_VOCAB, 32000},
    {"'norm_eps':1e-3", QN_HP_RMS_EPS, 1e-3},
    {"'layer_norm_epsilon':1e-5", QN_HP_NORM_EPS, 1e-5},
    {"'rope_theta':null", QN_HP_ROPE_BASE, 10000},
    {"'rope_theta':500000", QN_HP_ROPE_BASE, 500000},
    {"'rope_theta':1000000000000", QN_HP_ROPE_BASE, 1e12},
    {"'rotary_emb_base':20000", QN_HP_ROPE_BASE, 20000},
    {"'partial_rotary_factor':0.75", QN_HP_PARTIAL_ROTARY, 0.75},
    /* rope_parameters, the newer way; rope_scaling beside it does not count */
    {"'rope_parameters':{'rope_type':'default','rope_theta':77.0}", QN_HP_ROPE_BASE, 77},
    {"'rope_theta':5,'rope_parameters':{'rope_theta':77.0}", QN_HP_ROPE_BASE, 77},
    {"'rope_theta':5,'rope_parameters':{'rope_type':'default'}", QN_HP_ROPE_BASE, 5},
    {"'rope_parameters':{'rope_type':'linear','factor':2},'rope_scaling':{'type':'linear','factor':8}",
     QN_HP_ROPE_FACTOR, 2},
    {"'rope_parameters':null,'rope_scaling':{'type':'linear','factor':8}", QN_HP_ROPE_FACTOR, 8},
    {"'rope_parameters':{'partial_rotary_factor':0.5}", QN_HP_PARTIAL_ROTARY, 0.5},
    /* one part for each kind of layer */
    {"'rope_parameters':{'full_attention':{'rope_theta':1e6},'sliding_attention':{'rope_theta':1e4}}", QN_HP_ROPE_BASE,
     1e6},
    {"'rope_parameters':{'full_attention':{'rope_theta':1e6},'sliding_attention':{'rope_theta':1e4}}",
     QN_HP_ROPE_BASE_SWA, 1e4},
    {"'rope_parameters':{'full_attention':{'rope_theta':1e6,'rope_type':'linear','factor':8}}", QN_HP_ROPE_FACTOR, 8},
    {"'rope_theta':1e6,'rope_local_base_freq':5000", QN_HP_ROPE_BASE_SWA, 5000},
    {"'rope_theta':1e6", QN_HP_ROPE_BASE_SWA, ABSENT}, /* the full layers' base is not the others' */
    {"'rope_local_base_freq':5000,'rope_parameters':{'sliding_attention':{'rope_theta':7}}", QN_HP_ROPE_BASE_SWA, 7},
    /* scaling */
    {"'rope_scaling':null", QN_HP_ROPE_FACTOR, ABSENT},
    {"'rope_scaling':{'rope_type':'llama3','factor':32.0,'low_freq_factor':1.0,'high_freq_factor':4.0,"
     "'original_max_position_embeddings':8192}",
     QN_HP_ROPE_ORIG_CTX, 8192},
    {"'rope_scaling':{'rope_type':'llama3','factor':32.0,'high_freq_factor':4.0}", QN_HP_ROPE_HIGH_FREQ, 4},
    {"'rope_scaling':{'type':'yarn','factor':4.0,'beta_fast':16}", QN_HP_YARN_BETA_FAST, 16},
    {"'rope_scaling':{'type':'yarn','factor':4.0,'attn_factor':0.5}", QN_HP_YARN_ATTN_FACTOR, 0.5},
    {"'original_max_position_embeddings':4096", QN_HP_ROPE_ORIG_CTX, 4096},
};

static void test_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        qn_arena *arena = qn_arena_new();
        qn_hparams h;
        qn_error err;
        assert_ok(&err, read_members(values[i].members, false, arena, &h, &err));
        const qn_hp hp = values[i].hp;
        const double found = h.has[hp] ? h.value[hp] : NAN;
        if (isnan(found) != isnan(values[i].value) || (!isnan(found) && found != values[i].value)) {
            print_error("%s: number %d is %g, wanted %g\n", values[i].members, (int)hp, found, values[i].value);
            fail();
        }
        qn_arena_free(arena);
    }
}

static const struct {
    const char *members;
    qn_status status;
    const char *has; /* the key at least */
} refused[] = {
    {"'num_hidden_layers':0", QN_E_FORMAT, "'num_hidden_layers' is 0"},
    {"'num_hidden_layers':-1", QN_E_FORMAT, "'num_hidden_layers' is -1"},
    {"'num_hidden_layers':2.5", QN_E_FORMAT, "'num_hidden_layers' is 2.5"},
    {"'num_hidden_layers':'2'", QN_E_FORMAT, "'num_hidden_layers' is \"2\""},
    {"'num_hidden_layers':true", QN_E_FORMAT, "'num_hidden_layers' is true"},
    {"'num_hidden_layers':[2,2]", QN_E_FORMAT, "'num_hidden_layers' is [2,2]"},
    {"'num_hidden_layers':{}", QN_E_FORMAT, "'num_hidden_layers' is {}"},
    {"'num_hidden_layers':65537", QN_E_FORMAT, "from 1 to 65536"},
    {"'num_hidden_layers':null", QN_E_FORMAT, "num_hidden_layers"},
    {"'num_hidden_layers':1e400", QN_E_FORMAT, ""}, /* no JSON number that a double can hold */
    {"'hidden_size':99999999999999999999999", QN_E_FORMAT, "'hidden_size'"},
    {"'hidden_size':null", QN_E_FORMAT, "hidden_size"},
    {"'max_position_embeddings':null", QN_E_FORMAT, "max_position_embeddings"},
    {"'num_attention_heads':null", QN_E_FORMAT, "num_attention_heads"},
    {"'num_attention_heads':0", QN_E_FORMAT, "'num_attention_heads'"},
    {"'num_attention_heads':5", QN_E_FORMAT, "hidden size 64 is not a multiple of 5"},
    {"'num_key_value_heads':0", QN_E_FORMAT, "'num_key_value_heads'"},
    {"'num_key_value_heads':3", QN_E_FORMAT, "4 attention heads cannot share 3"},
    {"'num_key_value_heads':8", QN_E_FORMAT, "4 attention heads cannot share 8"},
    {"'head_dim':0", QN_E_FORMAT, "'head_dim'"},
    {"'vocab_size':-5", QN_E_FORMAT, "'vocab_size' is -5"},
    {"'rms_norm_eps':0", QN_E_FORMAT, "'rms_norm_eps'"},
    {"'rms_norm_eps':-1e-5", QN_E_FORMAT, "'rms_norm_eps'"},
    {"'rms_norm_eps':'1e-5'", QN_E_FORMAT, "'rms_norm_eps'"},
    {"'rope_theta':0", QN_E_FORMAT, "'rope_theta'"},
    {"'rope_theta':-1", QN_E_FORMAT, "'rope_theta'"},
    {"'rope_theta':[1]", QN_E_FORMAT, "'rope_theta'"},
    {"'sliding_window':-1", QN_E_FORMAT, "'sliding_window'"},
    {"'partial_rotary_factor':1.5", QN_E_FORMAT, "'partial_rotary_factor'"},
    {"'rope_scaling':[]", QN_E_FORMAT, "'rope_scaling'"},
    {"'rope_scaling':'linear'", QN_E_FORMAT, "'rope_scaling'"},
    {"'rope_parameters':8", QN_E_FORMAT, "'rope_parameters'"},
    {"'rope_scaling':{'type':'fancy','factor':2}", QN_E_UNSUPPORTED, "rope scaling 'fancy'"},
    {"'rope_scaling':{'rope_type':'mrope'}", QN_E_UNSUPPORTED, "rope scaling 'mrope'"},
    {"'rope_scaling':{'type':'linear','factor':0}", QN_E_FORMAT, "'factor'"},
    {"'rope_scaling':{'type':'linear','factor':'2'}", QN_E_FORMAT, "'factor'"},
    {"'rope_scaling':{'type':'longrope','long_factor':[1,2],'short_factor':[1]}", QN_E_FORMAT, "'long_factor' has 2"},
    {"'rope_scaling':{'type':'longrope','long_factor':[],'short_factor':[]}", QN_E_FORMAT, "'long_factor'"},
    {"'rope_scaling':{'type':'longrope','long_factor':[1,0],'short_factor':[1,1]}", QN_E_FORMAT, "'long_factor'[1]"},
    {"'rope_scaling':{'type':'longrope','long_factor':[1,'x'],'short_factor':[1,1]}", QN_E_FORMAT, "'long_factor'[1]"},
    {"'rope_scaling':{'type':'longrope','long_factor':[1,1e300],'short_factor':[1,1]}", QN_E_FORMAT,
     "'long_factor'[1]"},
    {"'rope_scaling':{'type':'longrope','long_factor':{'0':1},'short_factor':[1]}", QN_E_FORMAT, "'long_factor'"},
    {"'rope_scaling':{'type':'longrope','long_factor':[1,1]}", QN_E_FORMAT, "'short_factor'"},
};

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        qn_arena *arena = qn_arena_new();
        qn_hparams h;
        qn_error err = {QN_OK, ""};
        char text[4096];
        json_t *config = NULL;
        (void)snprintf(text, sizeof text, "{%s,%s}", whole, refused[i].members);
        (void)with_double_quotes(text);
        qn_status status = qn_json_parse("config.json", text, strlen(text), &config, &err);
        if (status == QN_OK) {
            status = qn_hparams_read("config.json", config, defaults, N_DEFAULTS, false, arena, &h, &err);
        }
        if (status != refused[i].status || strstr(err.message, refused[i].has) == NULL ||
            strncmp(err.message, "config.json: ", 13) != 0) {
            print_error("%s: %s %s\n", refused[i].members, qn_status_name(status), err.message);
            fail();
        }
        json_decref(config);
        qn_arena_free(arena);
    }
}

static void test_scaling_kinds(void **state) {
    static const struct {
        const char *members;
        qn_rope_scaling scaling;
        uint64_t n_factors;
    } rows[] = {
        {"", QN_ROPE_SCALING_NONE, 0},
        {"'rope_scaling':{}", QN_ROPE_SCALING_NONE, 0},
        {"'rope_scaling':{'type':null,'rope_type':'default'}", QN_ROPE_SCALING_NONE, 0},
        {"'rope_scaling':{'type':'linear','factor':2}", QN_ROPE_SCALING_LINEAR, 0},
        {"'rope_scaling':{'type':'yarn','rope_type':'linear','factor':2}", QN_ROPE_SCALING_LINEAR, 0},
        {"'rope_scaling':{'rope_type':'llama3','factor':8}", QN_ROPE_SCALING_LLAMA3, 0},
        {"'rope_scaling':{'type':'yarn','factor':2}", QN_ROPE_SCALING_YARN, 0},
        {"'rope_scaling':{'type':'dynamic','factor':2}", QN_ROPE_SCALING_DYNAMIC, 0},
        {"'rope_scaling':{'type':'su','long_factor':[1,2,3],'short_factor':[1,1,1]}", QN_ROPE_SCALING_LONGROPE, 3},
        {"'rope_parameters':{'rope_type':'longrope','long_factor':[1.5],'short_factor':[1]}", QN_ROPE_SCALING_LONGROPE,
         1},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_arena *arena = qn_arena_new();
        qn_hparams h;
        qn_error err;
        assert_ok(&err, read_members(rows[i].members, false, arena, &h, &err));
        assert_int_equal(h.rope_scaling, rows[i].scaling);
        assert_int_equal(h.n_rope_factors, rows[i].n_factors);
        assert_int_equal(h.rope_long_factors != NULL, rows[i].n_factors > 0);
        qn_arena_free(arena);
    }
}

static void test_tied(void **state) {
    static const struct {
        const char *members;
        bool by_default;
        bool is_tied;
    } rows[] = {
        {"", false, false},
        {"", true, true},
        {"'tie_word_embeddings':true", false, true},
        {"'tie_word_embeddings':false", true, false},
        {"'tie_word_embeddings':null", true, true},
        {"'tie_word_embeddings':null", false, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_arena *arena = qn_arena_new();
        qn_hparams h;
        qn_error err;
        assert_ok(&err, read_members(rows[i].members, rows[i].by_default, arena, &h, &err));
        assert_int_equal(h.is_tied, rows[i].is_tied);
        qn_arena_free(arena);
    }
}

/* Nothing is there, and there are no defaults: each number that is needed is named in its turn. */
static void test_missing(void **state) {
    static const char *const names[] = {"num_hidden_layers", "hidden_size", "num_attention_heads",
                                        "max_position_embeddings"};
    qn_arena *arena = qn_arena_new();
    json_t *config = json_object();
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        qn_hparams h;
        qn_error err;
        assert_status(&err, qn_hparams_read("x/config.json", config, NULL, 0, false, arena, &h, &err), QN_E_FORMAT);
        assert_message_has(&err, "x/config.json: ");
        assert_message_has(&err, names[i]);
        assert_message_has(&err, "missing");
        assert_int_equal(json_object_set_new(config, names[i], json_integer(4)), 0);
    }
    qn_hparams h;
    qn_error err;
    assert_ok(&err, qn_hparams_read("config.json", config, NULL, 0, false, arena, &h, &err));
    json_decref(config);
    qn_arena_free(arena);
}

static void test_head_dim(void **state) {
    qn_hparams h = {.is_tied = false};
    (void)state;
    assert_int_equal(qn_hp_head_dim(&h), 0);
    qn_hp_set(&h, QN_HP_N_EMBD, 96);
    qn_hp_set(&h, QN_HP_N_HEAD, 12);
    assert_int_equal(qn_hp_head_dim(&h), 8);
    qn_hp_set(&h, QN_HP_HEAD_DIM, 20);
    assert_int_equal(qn_hp_head_dim(&h), 20);
    assert_int_equal(qn_hp_count(&h, QN_HP_N_FF), 0);
    qn_hp_set(&h, QN_HP_N_FF, -3);
    assert_int_equal(qn_hp_count(&h, QN_HP_N_FF), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values), cmocka_unit_test(test_refused), cmocka_unit_test(test_scaling_kinds),
        cmocka_unit_test(test_tied),   cmocka_unit_test(test_missing), cmocka_unit_test(test_head_dim),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
