/* SPDX-License-Identifier: MIT */
/* family_configs.h: config.json of a small model of every family, as published models write them. */
#ifndef QUERN_TESTS_FAMILY_CONFIGS_H
#define QUERN_TESTS_FAMILY_CONFIGS_H

#include "support.h"

#include "arch/arch.h"

/** A small model. Its vocabulary has 2048 tokens, as the sample's tokenizer. */
typedef struct family_config {
    const char *name;
    const char *arch; /**< general.architecture */
    const char *text; /**< JSON with ' for " */
    int has_bias;     /**< optional biases are there */
} family_config;

#define FAMILY_SIZES                                                                         \
    "'hidden_size':32,'intermediate_size':64,'num_hidden_layers':3,'num_attention_heads':4," \
    "'num_key_value_heads':2,'max_position_embeddings':512,'vocab_size':2048,'bos_token_id':1,'eos_token_id':2,"
#define GEMMA3_MEMBERS                                                                                  \
    "'head_dim':16,'rms_norm_eps':1e-6,'hidden_activation':'gelu_pytorch_tanh','rope_theta':1000000.0," \
    "'rope_local_base_freq':10000.0,'query_pre_attn_scalar':16,'attn_logit_softcapping':null,"          \
    "'tie_word_embeddings':true,"

static const family_config family_configs[] = {
    {"llama", "llama",
     "{'architectures':['LlamaForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-5,'rope_theta':500000.0,'tie_word_embeddings':false,'rope_scaling':{'rope_type':'llama3',"
     "'factor':8.0,'low_freq_factor':1.0,'high_freq_factor':4.0,'original_max_position_embeddings':8192}}",
     0},
    {"llama, other factors", "llama",
     "{'architectures':['LlamaForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-5,'rope_theta':10000.0,'head_dim':64,'tie_word_embeddings':true,'rope_scaling':{'rope_type':"
     "'llama3','factor':32.0,'low_freq_factor':1.0,'high_freq_factor':5.5,'original_max_position_embeddings':1000}}",
     0},
    {"llama, biases", "llama",
     "{'architectures':['LlamaForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-5,'attention_bias':true,'mlp_bias':true,'head_dim':24,'tie_word_embeddings':true}",
     1},
    {"llama, linear", "llama",
     "{'architectures':['LlamaForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-6,'tie_word_embeddings':false,'rope_scaling':{'type':'linear','factor':4.0}}",
     0},
    {"mistral", "llama",
     "{'architectures':['MistralForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-5,'head_dim':16,'sliding_window':null,'rope_theta':1000000.0,'tie_word_embeddings':false}",
     0},
    {"qwen2", "qwen2",
     "{'architectures':['Qwen2ForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-6,'rope_theta':1000000.0,'use_sliding_window':false,'tie_word_embeddings':false}",
     0},
    {"qwen2, yarn", "qwen2",
     "{'architectures':['Qwen2ForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-6,'rope_theta':1000000.0,'tie_word_embeddings':true,'rope_scaling':{'type':'yarn',"
     "'factor':4.0,'original_max_position_embeddings':128}}",
     0},
    {"qwen3", "qwen3",
     "{'architectures':['Qwen3ForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-6,'head_dim':16,'rope_theta':1000000.0,'tie_word_embeddings':false}",
     0},
    {"gemma", "gemma",
     "{'architectures':['GemmaForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-6,'head_dim':16,'hidden_act':'gelu_pytorch_tanh','rope_theta':10000.0,"
     "'tie_word_embeddings':true}",
     0},
    {"gemma2", "gemma2",
     "{'architectures':['Gemma2ForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-6,'head_dim':16,'hidden_activation':'gelu_pytorch_tanh','rope_theta':10000.0,"
     "'attn_logit_softcapping':50.0,'final_logit_softcapping':30.0,'sliding_window':8,'query_pre_attn_scalar':16}",
     0},
    {"gemma3", "gemma3",
     "{'architectures':['Gemma3ForCausalLM']," FAMILY_SIZES GEMMA3_MEMBERS
     "'sliding_window':8,'sliding_window_pattern':6,'rope_scaling':{'rope_type':'linear','factor':8.0}}",
     0},
    {"gemma3, full layers", "gemma3",
     "{'architectures':['Gemma3ForCausalLM']," FAMILY_SIZES GEMMA3_MEMBERS
     "'sliding_window':8,'sliding_window_pattern':1,'final_logit_softcapping':5.5}",
     0},
    {"phi3", "phi3",
     "{'architectures':['Phi3ForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-5,'rope_theta':10000.0,'sliding_window':262144,'original_max_position_embeddings':512,"
     "'tie_word_embeddings':false}",
     0},
    {"phi3, longrope", "phi3",
     "{'architectures':['Phi3ForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-5,'rope_theta':10000.0,'sliding_window':null,'partial_rotary_factor':0.75,"
     "'original_max_position_embeddings':128,'tie_word_embeddings':false,'rope_scaling':{'type':'longrope',"
     "'short_factor':[1.0,1.1,1.3],'long_factor':[1.5,2.0,3.0]}}",
     0},
    {"gpt2", "gpt2",
     "{'architectures':['GPT2LMHeadModel'],'n_embd':32,'n_head':4,'n_layer':3,'n_positions':128,'n_ctx':128,"
     "'vocab_size':2048,'layer_norm_epsilon':1e-5,'activation_function':'gelu_new','bos_token_id':1,'eos_token_id':2}",
     0},
    {"mixtral", "llama",
     "{'architectures':['MixtralForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-5,'rope_theta':1000000.0,'sliding_window':null,'num_local_experts':4,"
     "'num_experts_per_tok':2,'tie_word_embeddings':false}",
     0},
    {"qwen2moe", "qwen2moe",
     "{'architectures':['Qwen2MoeForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-6,'rope_theta':1000000.0,'tie_word_embeddings':false,'num_experts':4,"
     "'num_experts_per_tok':2,'moe_intermediate_size':32,'shared_expert_intermediate_size':96,'norm_topk_prob':false,"
     "'decoder_sparse_step':1,'mlp_only_layers':[]}",
     0},
    {"qwen3moe", "qwen3moe",
     "{'architectures':['Qwen3MoeForCausalLM']," FAMILY_SIZES
     "'rms_norm_eps':1e-6,'head_dim':16,'rope_theta':1000000.0,'tie_word_embeddings':false,'num_experts':5,"
     "'num_experts_per_tok':3,'moe_intermediate_size':32,'norm_topk_prob':true,'decoder_sparse_step':1,"
     "'mlp_only_layers':[]}",
     0},
};
enum { N_FAMILY_CONFIGS = sizeof family_configs / sizeof family_configs[0] };

static inline const family_config *family_named(const char *name) {
    for (size_t i = 0; i < N_FAMILY_CONFIGS; i++) {
        if (strcmp(family_configs[i].name, name) == 0) {
            return &family_configs[i];
        }
    }
    fail();
    return NULL;
}

/** The parsed config; json_decref() it. */
static inline json_t *family_json(const family_config *c) {
    char text[2048];
    json_t *config = NULL;
    qn_error err;
    (void)snprintf(text, sizeof text, "%s", c->text);
    (void)with_double_quotes(text);
    assert_ok(&err, qn_json_parse(c->name, text, strlen(text), &config, &err));
    return config;
}

/** Family and hyper-parameters of a whole config.json. */
static inline void read_family(const char *where, const json_t *config, qn_arena *arena, const qn_arch **arch,
                               qn_hparams *h) {
    const json_t *text = NULL;
    qn_error err;
    assert_ok(&err, qn_arch_find(where, config, arch, &text, &err));
    assert_ok(
        &err,
        qn_hparams_read(where, text, (*arch)->defaults, (*arch)->n_defaults, (*arch)->tied_by_default, arena, h, &err));
    if ((*arch)->derive != NULL) {
        assert_ok(&err, (*arch)->derive(where, text, h, &err));
    }
}

/** Whether two sets of hyper-parameters are the same. Factors that are derived are compared as GGUF keeps them. */
static inline bool same_hparams(const char *name, const qn_hparams *a, const qn_hparams *b) {
    bool same = a->rope_scaling == b->rope_scaling && a->is_tied == b->is_tied &&
        a->n_rope_factors == b->n_rope_factors;
    if (!same) {
        print_error("%s: scaling %d and %d, tied %d and %d, factors %llu and %llu\n", name, (int)a->rope_scaling,
                    (int)b->rope_scaling, a->is_tied, b->is_tied, (unsigned long long)a->n_rope_factors,
                    (unsigned long long)b->n_rope_factors);
    }
    for (int hp = 0; hp < QN_HP_COUNT; hp++) {
        const bool equal = hp == QN_HP_ROPE_ATTN_FACTOR ? (float)a->value[hp] == (float)b->value[hp]
                                                        : a->value[hp] == b->value[hp];
        if (a->has[hp] != b->has[hp] || (a->has[hp] && !equal)) {
            print_error("%s: number %d is %s%.17g and %s%.17g\n", name, hp, a->has[hp] ? "" : "absent, ", a->value[hp],
                        b->has[hp] ? "" : "absent, ", b->value[hp]);
            same = false;
        }
    }
    for (uint64_t i = 0; same && i < a->n_rope_factors; i++) {
        same = a->rope_long_factors[i] == b->rope_long_factors[i] &&
            a->rope_short_factors[i] == b->rope_short_factors[i];
    }
    return same;
}

#endif
