/* SPDX-License-Identifier: MIT */
/* test_arch.c: families by class, checkpoint names, sizes, keys, generated tensors, transformations. */
#include "arch/arch.h"

#include "support.h"

#include <math.h>

static json_t *parse(const char *text) {
    char copy[4096];
    json_t *value = NULL;
    qn_error err;
    (void)snprintf(copy, sizeof copy, "%s", text);
    (void)with_double_quotes(copy);
    assert_ok(&err, qn_json_parse("config.json", copy, strlen(copy), &value, &err));
    return value;
}

static const qn_arch *arch_named(const char *name) {
    for (size_t i = 0; qn_arch_at(i) != NULL; i++) {
        if (strcmp(qn_arch_at(i)->name, name) == 0) {
            return qn_arch_at(i);
        }
    }
    fail();
    return NULL;
}

static const struct {
    const char *config;
    qn_status status;
    const char *arch; /* or what the message must hold */
} finds[] = {
    {"{'architectures':['LlamaForCausalLM']}", QN_OK, "llama"},
    {"{'architectures':['MistralForCausalLM']}", QN_OK, "llama"},
    {"{'architectures':['LlamaModel']}", QN_OK, "llama"},
    {"{'architectures':['Qwen2ForCausalLM','Other']}", QN_OK, "qwen2"},
    {"{'architectures':['Qwen3ForCausalLM']}", QN_OK, "qwen3"},
    {"{'architectures':['GemmaForCausalLM']}", QN_OK, "gemma"},
    {"{'architectures':['Gemma2ForCausalLM']}", QN_OK, "gemma2"},
    {"{'architectures':['Gemma3ForCausalLM']}", QN_OK, "gemma3"},
    {"{'architectures':['Gemma3ForConditionalGeneration'],'text_config':{'hidden_size':7}}", QN_OK, "gemma3"},
    {"{'text_config':{'architectures':['Gemma3ForCausalLM'],'hidden_size':7}}", QN_OK, "gemma3"},
    {"{'architectures':['Phi3ForCausalLM']}", QN_OK, "phi3"},
    {"{'architectures':['GPT2LMHeadModel']}", QN_OK, "gpt2"},
    {"{'architectures':['MixtralForCausalLM']}", QN_OK, "llama"},
    {"{'architectures':['Qwen2MoeForCausalLM']}", QN_OK, "qwen2moe"},
    {"{'architectures':['Qwen3MoeForCausalLM']}", QN_OK, "qwen3moe"},
    {"{'architectures':['MambaForCausalLM']}", QN_E_UNSUPPORTED, "'MambaForCausalLM'"},
    {"{'architectures':['llamaforcausallm']}", QN_E_UNSUPPORTED, "'llamaforcausallm'"},
    {"{'architectures':['']}", QN_E_UNSUPPORTED, "''"},
    /* what a whole is decides, not what a part of it is: its tensors have other names */
    {"{'architectures':['LlavaForConditionalGeneration'],'text_config':{'architectures':['LlamaForCausalLM']}}",
     QN_E_UNSUPPORTED, "'LlavaForConditionalGeneration'"},
    {"{}", QN_E_FORMAT, "has no 'architectures' list"},
    {"{'architectures':null}", QN_E_FORMAT, "has no 'architectures' list"},
    {"{'architectures':[]}", QN_E_FORMAT, "has no 'architectures' list"},
    {"{'architectures':'LlamaForCausalLM'}", QN_E_FORMAT, "has no 'architectures' list"},
    {"{'architectures':[7]}", QN_E_FORMAT, "has no 'architectures' list"},
    {"{'architectures':[['LlamaForCausalLM']]}", QN_E_FORMAT, "has no 'architectures' list"},
    {"{'text_config':['LlamaForCausalLM']}", QN_E_FORMAT, "has no 'architectures' list"},
};

static void test_find(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof finds / sizeof finds[0]; i++) {
        json_t *config = parse(finds[i].config);
        const qn_arch *arch = NULL;
        const json_t *text = NULL;
        qn_error err;
        assert_status(&err, qn_arch_find("d/config.json", config, &arch, &text, &err), finds[i].status);
        if (finds[i].status == QN_OK) {
            const json_t *inner = json_object_get(config, "text_config");
            assert_string_equal(arch->name, finds[i].arch);
            assert_ptr_equal(text, inner != NULL ? inner : config);
        } else {
            assert_message_has(&err, "d/config.json: ");
            assert_message_has(&err, finds[i].arch);
        }
        json_decref(config);
    }
}

/* The message for an unknown class lists every family with its classes: nothing else tells what is supported. */
static void test_unsupported_lists_all(void **state) {
    json_t *config = parse("{'architectures':['FooForCausalLM']}");
    const qn_arch *arch = NULL;
    const json_t *text = NULL;
    qn_error err;
    size_t n = 0;
    (void)state;
    assert_status(&err, qn_arch_find("config.json", config, &arch, &text, &err), QN_E_UNSUPPORTED);
    for (; qn_arch_at(n) != NULL; n++) {
        assert_message_has(&err, qn_arch_at(n)->label);
        for (size_t k = 0; qn_arch_at(n)->classes[k] != NULL; k++) {
            assert_message_has(&err, qn_arch_at(n)->classes[k]);
        }
    }
    assert_int_equal(n, 15);
    json_decref(config);
}

#define NO_MATCH "-"
#define DROPPED "dropped"

static const struct {
    const char *arch;
    const char *hf;
    const char *gguf; /* NO_MATCH, DROPPED */
} names[] = {
    {"llama", "model.embed_tokens.weight", "token_embd.weight"},
    {"llama", "embed_tokens.weight", "token_embd.weight"}, /* a bare model's */
    {"llama", "lm_head.weight", "output.weight"},
    {"llama", "model.lm_head.weight", NO_MATCH},
    {"llama", "model.layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight"},
    {"llama", "layers.0.self_attn.q_proj.weight", "blk.0.attn_q.weight"},
    {"llama", "model.model.layers.0.self_attn.q_proj.weight", NO_MATCH},
    {"llama", "model.layers.10.self_attn.q_proj.bias", "blk.10.attn_q.bias"},
    {"llama", "model.layers.007.self_attn.q_proj.weight", NO_MATCH},
    {"llama", "model.layers.00.self_attn.q_proj.weight", NO_MATCH},
    {"llama", "model.layers..self_attn.q_proj.weight", NO_MATCH},
    {"llama", "model.layers.-1.self_attn.q_proj.weight", NO_MATCH},
    {"llama", "model.layers.+1.self_attn.q_proj.weight", NO_MATCH},
    {"llama", "model.layers.1x.self_attn.q_proj.weight", NO_MATCH},
    {"llama", "model.layers. 1.self_attn.q_proj.weight", NO_MATCH},
    {"llama", "model.layers.%.self_attn.q_proj.weight", NO_MATCH},
    {"llama", "model.layers.999999999.self_attn.q_proj.weight", "blk.999999999.attn_q.weight"},
    {"llama", "model.layers.9999999999.self_attn.q_proj.weight", NO_MATCH},
    {"llama", "model.layers.999999999999.self_attn.q_proj.weight", NO_MATCH},
    {"llama", "model.layers.18446744073709551616.self_attn.q_proj.weight", NO_MATCH},
    {"llama", "model.layers.0.self_attn.q_proj.weight.more", NO_MATCH},
    {"llama", "model.layers.0.self_attn.q_proj", NO_MATCH},
    {"llama", "model.layers.0.self_attn.rotary_emb.inv_freq", DROPPED},
    {"llama", "layers.3.self_attn.rotary_emb.inv_freq", DROPPED},
    {"llama", "model.layers.0.mlp.experts.0.up_proj.weight", NO_MATCH},
    {"llama", "language_model.model.embed_tokens.weight", NO_MATCH},
    {"llama", "vision_tower.x.weight", NO_MATCH},
    {"llama", "", NO_MATCH},
    {"llama", "model.", NO_MATCH},
    {"qwen2", "model.layers.1.self_attn.k_proj.bias", "blk.1.attn_k.bias"},
    {"qwen2", "model.layers.1.self_attn.q_norm.weight", NO_MATCH},
    {"qwen3", "model.layers.1.self_attn.q_norm.weight", "blk.1.attn_q_norm.weight"},
    {"qwen3", "model.layers.1.self_attn.q_proj.bias", NO_MATCH},
    {"qwen3moe", "model.layers.1.mlp.experts.12.up_proj.weight", "blk.1.ffn_up_exps.weight"},
    {"qwen3moe", "model.layers.1.mlp.experts.01.up_proj.weight", NO_MATCH},
    {"qwen3moe", "model.layers.1.mlp.experts.up_proj.weight", NO_MATCH},
    {"qwen3moe", "model.layers.1.mlp.experts.#.up_proj.weight", NO_MATCH},
    {"qwen3moe", "layers.1.mlp.experts.9999999999.up_proj.weight", NO_MATCH},
    {"qwen3moe", "model.layers.1.mlp.experts.gate_up_proj", "blk.1.ffn_gate_exps.weight"},
    {"qwen3moe", "layers.1.mlp.experts.down_proj", "blk.1.ffn_down_exps.weight"},
    {"qwen3moe", "model.layers.1.mlp.gate.weight", "blk.1.ffn_gate_inp.weight"},
    {"qwen2moe", "model.layers.1.mlp.shared_expert_gate.weight", "blk.1.ffn_gate_inp_shexp.weight"},
    {"gemma", "lm_head.weight", DROPPED},
    {"gemma2", "lm_head.weight", DROPPED},
    {"gemma", "model.layers.2.post_attention_layernorm.weight", "blk.2.ffn_norm.weight"},
    {"gemma2", "model.layers.2.post_attention_layernorm.weight", "blk.2.post_attention_norm.weight"},
    {"gemma2", "model.layers.2.pre_feedforward_layernorm.weight", "blk.2.ffn_norm.weight"},
    {"gemma3", "lm_head.weight", "output.weight"},
    {"gemma3", "language_model.model.layers.2.mlp.up_proj.weight", "blk.2.ffn_up.weight"},
    {"gemma3", "model.language_model.layers.2.mlp.up_proj.weight", "blk.2.ffn_up.weight"},
    {"gemma3", "language_model.lm_head.weight", "output.weight"},
    {"gemma3", "language_model.language_model.lm_head.weight", NO_MATCH}, /* one part is cut, not all */
    {"gemma3", "vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight", DROPPED},
    {"gemma3", "model.vision_tower.vision_model.post_layernorm.bias", DROPPED},
    {"gemma3", "multi_modal_projector.mm_soft_emb_norm.weight", DROPPED},
    {"phi3", "model.layers.5.self_attn.qkv_proj.weight", "blk.5.attn_qkv.weight"},
    {"phi3", "model.layers.5.mlp.gate_up_proj.weight", "blk.5.ffn_up.weight"},
    {"phi3", "model.layers.5.self_attn.q_proj.weight", NO_MATCH},
    {"gpt2", "transformer.h.0.attn.c_attn.weight", "blk.0.attn_qkv.weight"},
    {"gpt2", "h.0.attn.c_attn.weight", "blk.0.attn_qkv.weight"},
    {"gpt2", "h.0.attn.bias", DROPPED},
    {"gpt2", "transformer.h.11.attn.masked_bias", DROPPED},
    {"gpt2", "wpe.weight", "position_embd.weight"},
    {"gpt2", "lm_head.weight", "output.weight"},
    {"gpt2", "model.h.0.ln_1.weight", NO_MATCH},
};

static void test_match(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        qn_arena *arena = qn_arena_new();
        qn_tensor_match match = {0};
        const char *found = NO_MATCH;
        if (qn_arch_match(arch_named(names[i].arch), names[i].hf, &match)) {
            found = match.rule == NULL ? DROPPED : qn_rule_name(arena, match.rule->gguf, match.layer, match.expert);
        }
        if (strcmp(found, names[i].gguf) != 0) {
            print_error("%s: '%s' became '%s', wanted '%s'\n", names[i].arch, names[i].hf, found, names[i].gguf);
            fail();
        }
        qn_arena_free(arena);
    }
}

/* A name of any length is answered: the buffers inside have ends. */
static void test_match_long_names(void **state) {
    char name[2000];
    (void)state;
    for (size_t n = 400; n < sizeof name; n += 50) {
        memset(name, 'a', n);
        name[n] = '\0';
        for (size_t i = 0; qn_arch_at(i) != NULL; i++) {
            qn_tensor_match match;
            assert_false(qn_arch_match(qn_arch_at(i), name, &match));
        }
    }
}

/* Every rule's own name, at a layer, is matched by that rule and no other; all GGUF names of a layer differ. */
static void test_rules_are_their_own(void **state) {
    (void)state;
    for (size_t i = 0; qn_arch_at(i) != NULL; i++) {
        const qn_arch *arch = qn_arch_at(i);
        qn_arena *arena = qn_arena_new();
        for (size_t k = 0; k < arch->n_tensors; k++) {
            const qn_tensor_rule *rule = &arch->tensors[k];
            qn_tensor_match match;
            assert_true(qn_arch_match(arch, qn_rule_name(arena, rule->hf, 3, 5), &match));
            assert_int_equal(match.layer, qn_rule_is_per_layer(rule) ? 3 : 0);
            assert_int_equal(match.expert, qn_rule_is_per_expert(rule) ? 5 : 0);
            assert_null(match.fused);
            assert_ptr_equal(match.rule, rule->presence == QN_DROPPED ? NULL : rule);
            assert_int_equal(rule->gguf == NULL, rule->presence == QN_DROPPED);
            for (size_t m = 0; m < k && rule->gguf != NULL; m++) {
                assert_true(arch->tensors[m].gguf == NULL || strcmp(arch->tensors[m].gguf, rule->gguf) != 0);
            }
            if (rule->gguf != NULL) {
                assert_int_equal(strchr(rule->gguf, '%') != NULL, qn_rule_is_per_layer(rule));
            }
        }
        qn_arena_free(arena);
    }
}

static void test_dims(void **state) {
    qn_hparams h = {.is_tied = false};
    static const struct {
        qn_dim dim;
        uint64_t size;
    } rows[] = {
        {QN_DIM_NONE, 1},       {QN_DIM_EMBD, 64},   {QN_DIM_VOCAB, 999}, {QN_DIM_CTX, 128},      {QN_DIM_FF, 100},
        {QN_DIM_FF_TWICE, 200}, {QN_DIM_HEAD, 24},   {QN_DIM_Q, 96},      {QN_DIM_KV, 48},        {QN_DIM_QKV, 192},
        {QN_DIM_ONE, 1},        {QN_DIM_EXPERTS, 6}, {QN_DIM_FF_EXP, 40}, {QN_DIM_FF_SHARED, 80},
    };
    (void)state;
    qn_hp_set(&h, QN_HP_N_EMBD, 64);
    qn_hp_set(&h, QN_HP_N_CTX, 128);
    qn_hp_set(&h, QN_HP_N_FF, 100);
    qn_hp_set(&h, QN_HP_N_HEAD, 4);
    qn_hp_set(&h, QN_HP_N_HEAD_KV, 2);
    qn_hp_set(&h, QN_HP_HEAD_DIM, 24);
    qn_hp_set(&h, QN_HP_N_EXPERT, 6);
    qn_hp_set(&h, QN_HP_N_FF_EXP, 40);
    qn_hp_set(&h, QN_HP_N_FF_SHARED, 80);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(qn_arch_dim(rows[i].dim, &h, 999), rows[i].size);
    }
}

/* Reads a config for a family, derivation included. */
static qn_status read_config(const char *arch_name, const char *members, qn_arena *arena, qn_hparams *h,
                             qn_error *err) {
    const qn_arch *arch = arch_named(arch_name);
    char text[2048];
    (void)snprintf(text, sizeof text, "{%s}", members);
    json_t *config = parse(text);
    qn_status status = qn_hparams_read("config.json", config, arch->defaults, arch->n_defaults, arch->tied_by_default,
                                       arena, h, err);
    if (status == QN_OK && arch->derive != NULL) {
        status = arch->derive("config.json", config, h, err);
    }
    json_decref(config);
    return status;
}

static const struct {
    const char *arch;
    const char *members;
    const char *key;
    double value; /* NAN: it must not be written */
} keys[] = {
    {"llama", "", "llama.block_count", 32},
    {"llama", "", "llama.vocab_size", 32000},
    {"llama", "", "llama.rope.dimension_count", 128},
    {"llama", "", "llama.rope.freq_base", 10000},
    {"llama", "", "llama.attention.key_length", NAN},
    {"llama", "", "llama.rope.scaling.factor", NAN},
    {"llama", "'head_dim':64", "llama.attention.key_length", 64},
    {"llama", "'head_dim':64", "llama.rope.dimension_count", 64},
    {"llama", "'rope_scaling':{'type':'linear','factor':4}", "llama.rope.scaling.factor", 4},
    {"llama", "'rope_scaling':{'type':'linear'}", "llama.rope.scaling.factor", NAN},
    {"llama", "'rope_scaling':{'type':'llama3','factor':8}", "llama.rope.scaling.factor", NAN},
    {"llama", "'rope_scaling':{'type':'dynamic','factor':8}", "llama.rope.scaling.factor", NAN},
    {"llama", "'rope_scaling':{'type':'yarn','factor':4,'original_max_position_embeddings':2048}",
     "llama.rope.scaling.original_context_length", 2048},
    {"llama", "'rope_scaling':{'type':'yarn','factor':4,'beta_fast':16}", "llama.rope.scaling.yarn_beta_fast", 16},
    {"llama", "'rope_scaling':{'type':'yarn','factor':4}", "llama.rope.scaling.yarn_beta_slow", NAN},
    {"llama", "'sliding_window':4096", "llama.attention.sliding_window", NAN},
    {"qwen3", "", "qwen3.attention.key_length", 128},
    {"qwen2", "'vocab_size':5", "qwen2.vocab_size", NAN},
    {"gemma", "'rope_theta':5", "gemma.rope.freq_base", NAN},
    {"gemma", "", "gemma.attention.value_length", 256},
    {"gemma2", "", "gemma2.attn_logit_softcapping", 50},
    {"gemma2", "'attn_logit_softcapping':null", "gemma2.attn_logit_softcapping", NAN},
    {"gemma2", "", "gemma2.attention.sliding_window", 4096},
    {"gemma3", "", "gemma3.rope.freq_base_swa", 10000},
    {"gemma3", "", "gemma3.rope.freq_base", 1000000},
    {"gemma3", "", "gemma3.attention.sliding_window", 4096},
    {"gemma3", "'sliding_window_pattern':1", "gemma3.attention.sliding_window", NAN},
    {"gemma3", "'rope_scaling':{'rope_type':'linear','factor':8}", "gemma3.rope.scaling.factor", 8},
    {"phi3", "", "phi3.attention.sliding_window", 0},
    {"phi3", "'sliding_window':2047", "phi3.attention.sliding_window", 2047},
    {"phi3", "", "phi3.rope.dimension_count", 96},
    {"phi3", "'partial_rotary_factor':0.75,'num_attention_heads':24,'num_key_value_heads':8",
     "phi3.rope.dimension_count", 96},
    {"phi3", "", "phi3.rope.scaling.attn_factor", NAN},
    {"qwen3moe", "'norm_topk_prob':true", "qwen3moe.expert_count", 128},
    {"qwen3moe", "'norm_topk_prob':true", "qwen3moe.expert_feed_forward_length", 768},
    {"qwen3moe", "'norm_topk_prob':true", "qwen3moe.expert_shared_feed_forward_length", NAN},
    {"qwen2moe", "", "qwen2moe.expert_shared_feed_forward_length", 5632},
    {"qwen2", "'num_experts':8", "qwen2.expert_count", NAN},
    {"granite", "", "granite.attention.scale", 1},
    {"granite", "'residual_multiplier':0.0", "granite.residual_scale", NAN},
    {"granitemoe", "'shared_intermediate_size':0", "granitemoe.expert_shared_feed_forward_length", NAN},
    {"granitemoe", "'shared_intermediate_size':64", "granitemoe.expert_shared_feed_forward_length", 64},
    {"gpt2", "", "gpt2.feed_forward_length", 3072},
    {"gpt2", "'n_inner':100", "gpt2.feed_forward_length", 100},
    {"gpt2", "'n_inner':null", "gpt2.feed_forward_length", 3072},
    {"gpt2", "", "gpt2.attention.head_count_kv", NAN},
};

static void test_keys(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        qn_arena *arena = qn_arena_new();
        qn_meta meta = qn_meta_new(arena);
        qn_hparams h;
        qn_error err;
        assert_ok(&err, read_config(keys[i].arch, keys[i].members, arena, &h, &err));
        qn_arch_write_keys(arch_named(keys[i].arch), &h, &meta);
        assert_ok(&err, qn_meta_status(&meta, &err));
        const qn_meta_value *v = qn_meta_find(&meta, keys[i].key);
        const double found = v == NULL ? NAN : v->type == QN_META_F32 ? v->as.f : (double)v->as.u;
        if (isnan(found) != isnan(keys[i].value) || (!isnan(found) && found != keys[i].value)) {
            print_error("%s {%s}: %s is %g, wanted %g\n", keys[i].arch, keys[i].members, keys[i].key, found,
                        keys[i].value);
            fail();
        }
        qn_arena_free(arena);
    }
}

static void test_derive_refuses(void **state) {
    static const struct {
        const char *arch;
        const char *members;
        qn_status status;
        const char *has;
    } rows[] = {
        {"llama", "'head_dim':7", QN_E_FORMAT, "odd size (7)"},
        {"gemma3", "'attn_logit_softcapping':50", QN_E_UNSUPPORTED, "'attn_logit_softcapping' is 50"},
        {"phi3", "'rope_scaling':{'type':'longrope','long_factor':[1],'short_factor':[1]}", QN_E_FORMAT,
         "48 are expected"},
        {"gpt2", "'n_head':5", QN_E_FORMAT, "not a multiple"},
        {"qwen3moe", "", QN_E_UNSUPPORTED, "'norm_topk_prob' is false"},
        {"qwen3moe", "'norm_topk_prob':true,'mlp_only_layers':[0]", QN_E_UNSUPPORTED, "some layers are not mixtures"},
        {"qwen3moe", "'norm_topk_prob':true,'decoder_sparse_step':2", QN_E_UNSUPPORTED, "'decoder_sparse_step'"},
        {"qwen3moe", "'norm_topk_prob':true,'num_experts_per_tok':129", QN_E_FORMAT, "of 128 experts 129 are used"},
        {"qwen3moe", "'norm_topk_prob':true,'num_experts':0", QN_E_FORMAT, "of 0 experts 8 are used"},
        {"qwen2moe", "'norm_topk_prob':true", QN_E_UNSUPPORTED, "'norm_topk_prob' is true"},
        {"qwen2moe", "'tie_word_embeddings':true", QN_E_UNSUPPORTED, "'tie_word_embeddings' is true"},
        {"olmoe", "'clip_qkv':8.0", QN_E_UNSUPPORTED, "'clip_qkv' is set"},
        {"granitemoe", "'num_experts_per_tok':9", QN_E_FORMAT, "of 8 experts 9 are used"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_arena *arena = qn_arena_new();
        qn_hparams h;
        qn_error err;
        assert_status(&err, read_config(rows[i].arch, rows[i].members, arena, &h, &err), rows[i].status);
        assert_message_has(&err, "config.json: ");
        assert_message_has(&err, rows[i].has);
        qn_arena_free(arena);
    }
}

/* Phi's attention factor is a finite number even where the logarithm of the original context is zero. */
static void test_phi_attn_factor(void **state) {
    static const char one[] = "'num_attention_heads':2,'num_key_value_heads':2,'hidden_size':4,'rope_scaling':"
                              "{'type':'longrope','long_factor':[1],'short_factor':[1]},'max_position_embeddings':%d,"
                              "'original_max_position_embeddings':%d";
    static const struct {
        int n_ctx;
        int original;
        qn_status status;
        double factor;
    } rows[] = {{8, 8, QN_OK, 1.0}, {4, 8, QN_OK, 1.0}, {64, 8, QN_OK, 1.4142135}, {8, 1, QN_E_FORMAT, 0}};
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_arena *arena = qn_arena_new();
        char members[512];
        qn_hparams h;
        qn_error err;
        (void)snprintf(members, sizeof members, one, rows[i].n_ctx, rows[i].original);
        assert_status(&err, read_config("phi3", members, arena, &h, &err), rows[i].status);
        if (rows[i].status == QN_OK) {
            assert_true(fabs(h.value[QN_HP_ROPE_ATTN_FACTOR] - rows[i].factor) < 1e-6);
        }
        qn_arena_free(arena);
    }
}

static void test_generated(void **state) {
    qn_arena *arena = qn_arena_new();
    qn_generated made[QN_MAX_GENERATED];
    qn_hparams h;
    qn_error err;
    size_t n = 9;
    (void)state;
    assert_ok(&err, read_config("llama", "", arena, &h, &err));
    assert_ok(&err, arch_named("llama")->generate(&h, arena, made, &n, &err));
    assert_int_equal(n, 0);
    assert_ok(&err,
              read_config("llama",
                          "'hidden_size':128,'num_attention_heads':2,'num_key_value_heads':1,'rope_theta':500000,"
                          "'rope_scaling':{'rope_type':'llama3','factor':32,'low_freq_factor':1,'high_freq_factor':4,"
                          "'original_max_position_embeddings':8192}",
                          arena, &h, &err));
    assert_ok(&err, arch_named("llama")->generate(&h, arena, made, &n, &err));
    assert_int_equal(n, 1);
    assert_string_equal(made[0].name, "rope_freqs.weight");
    assert_int_equal(made[0].n, 32);
    assert_true(made[0].values[0] == 1.0F);   /* short waves are kept */
    assert_true(made[0].values[31] == 32.0F); /* long ones slowed by the factor */
    for (size_t i = 1; i < 32; i++) {
        assert_true(made[0].values[i] >= made[0].values[i - 1] && isfinite(made[0].values[i]));
    }
    assert_ok(&err, read_config("phi3", "", arena, &h, &err));
    assert_ok(&err, arch_named("phi3")->generate(&h, arena, made, &n, &err));
    assert_int_equal(n, 0);
    qn_arena_free(arena);
}

/* Rows of a recipe of values, made ready. */
static void rows_of(const qn_recipe *recipe, float *dst) {
    qn_ready *ready = NULL;
    qn_scratch scratch = {0};
    qn_error err;
    assert_non_null(recipe);
    assert_ok(&err, qn_ready_open(recipe, QN_CPU_SCALAR, &ready, &err));
    assert_ok(&err, qn_ready_rows(ready, 0, qn_recipe_rows(recipe), dst, &scratch, &err));
    qn_scratch_clear(&scratch);
    qn_ready_close(ready);
}

/* Two heads of four rows, one key head: what becomes of a matrix, a bias, and the left factor of a change. */
static void test_transforms(void **state) {
    static const float column[8] = {0, 1, 2, 3, 4, 5, 6, 7};
    static const struct {
        qn_transform transform;
        float wanted[8];
    } rows[] = {
        {QN_AS_IS, {0, 1, 2, 3, 4, 5, 6, 7}},     {QN_ROPE_Q, {0, 2, 1, 3, 4, 6, 5, 7}},
        {QN_ROPE_K, {0, 4, 1, 5, 2, 6, 3, 7}},    {QN_PLUS_ONE, {1, 2, 3, 4, 5, 6, 7, 8}},
        {QN_TRANSPOSE, {0, 1, 2, 3, 4, 5, 6, 7}},
    };
    qn_hparams h = {.is_tied = false};
    qn_arena *arena = qn_arena_new();
    (void)state;
    qn_hp_set(&h, QN_HP_N_HEAD, 2);
    qn_hp_set(&h, QN_HP_N_HEAD_KV, 1);
    const qn_recipe *matrix = qn_recipe_values(arena, column, 8, 1);
    const qn_recipe *bias = qn_recipe_values(arena, column, 1, 8);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float found[8];
        float back[8];
        const qn_transform t = rows[i].transform;
        rows_of(qn_arch_transform(t, &h, arena, matrix), found);
        assert_memory_equal(found, rows[i].wanted, sizeof found);
        const qn_recipe *changed = qn_arch_transform(t, &h, arena, bias);
        rows_of(changed, found);
        assert_memory_equal(found, rows[i].wanted, sizeof found);
        assert_int_equal(qn_recipe_rows(changed), t == QN_TRANSPOSE ? 8 : 1);
        const qn_recipe *left = qn_arch_transform_left(t, &h, arena, matrix);
        if (t == QN_PLUS_ONE) {
            assert_null(left);
        } else {
            rows_of(left, found);
            assert_memory_equal(found, rows[i].wanted, sizeof found);
        }
        assert_null(qn_arch_transform(t, &h, arena, NULL));
        rows_of(qn_arch_untransform(t, &h, arena, qn_arch_transform(t, &h, arena, matrix)), found);
        rows_of(matrix, back);
        assert_memory_equal(found, back, sizeof found);
        rows_of(qn_arch_untransform(t, &h, arena, qn_arch_transform(t, &h, arena, bias)), found);
        assert_memory_equal(found, back, sizeof found);
        assert_null(qn_arch_untransform(t, &h, arena, NULL));
    }
    qn_arena_free(arena);
}

/* Whatever x was, x + 1 in float32 comes back as a float to which adding 1 gives the same sum. */
static void test_plus_one_comes_back(void **state) {
    enum { N = 1 << 16 };
    static float x[N];
    static float sums[N];
    static float again[N];
    qn_arena *arena = qn_arena_new();
    const qn_hparams h = {0};
    uint32_t random = 1;
    size_t n = 0;
    (void)state;
    while (n < N) { /* every exponent, every sign, below 2^24 */
        random = random * 1664525U + 1013904223U;
        const uint32_t bits = random ^ random >> 13;
        memcpy(&x[n], &bits, sizeof x[n]);
        n += fabsf(x[n]) < 16777215.0F ? 1 : 0;
    }
    const qn_recipe *sum = qn_arch_transform(QN_PLUS_ONE, &h, arena, qn_recipe_values(arena, x, 1, N));
    rows_of(sum, sums);
    rows_of(qn_arch_transform(QN_PLUS_ONE, &h, arena, qn_arch_untransform(QN_PLUS_ONE, &h, arena, sum)), again);
    assert_memory_equal(sums, again, sizeof sums);
    qn_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_unsupported_lists_all),
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_match_long_names),
        cmocka_unit_test(test_rules_are_their_own),
        cmocka_unit_test(test_dims),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_derive_refuses),
        cmocka_unit_test(test_phi_attn_factor),
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_transforms),
        cmocka_unit_test(test_plus_one_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
