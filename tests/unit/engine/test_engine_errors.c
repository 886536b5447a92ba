/* SPDX-License-Identifier: MIT */
/* test_engine_errors.c: files whose metadata and tensors contradict each other, and calls that ask for too much. */
#include "engine/engine_case.h"

/* How a good file is made a bad one. */
typedef struct bad_file {
    const char *family;
    const char *key; /* metadata that is set, or a tensor that is left out or reshaped */
    enum { SET_U32, SET_F32, SET_STRING, REMOVE_KEY, DROP_TENSOR, RESHAPE_TENSOR, RETYPE_LAYERS } how;
    double value;
    const char *text;
    qn_status status;
    const char *message;
} bad_file;

static const bad_file bad_files[] = {
    {"llama", "general.architecture", SET_STRING, 0, "mamba", QN_E_UNSUPPORTED, "architecture 'mamba' cannot be run"},
    {"llama", "general.architecture", REMOVE_KEY, 0, NULL, QN_E_FORMAT, "'general.architecture' is missing"},
    {"llama", "general.architecture", SET_STRING, 0, "qwen3", QN_E_FORMAT, "'qwen3.block_count' is missing"},
    {"llama", "llama.block_count", SET_U32, 0, NULL, QN_E_FORMAT, "'llama.block_count' is 0"},
    {"llama", "llama.block_count", SET_U32, 4, NULL, QN_E_NOT_FOUND, "'blk.3.attn_norm.weight' is missing"},
    {"llama", "llama.block_count", SET_U32, 4000000000.0, NULL, QN_E_FORMAT, "'llama.block_count' is 4000000000"},
    {"llama", "llama.block_count", SET_STRING, 0, "three", QN_E_FORMAT, "an integer from 1"},
    {"llama", "llama.embedding_length", SET_U32, 64, NULL, QN_E_SHAPE, "'token_embd.weight' has shape [2048, 32]"},
    {"llama", "llama.embedding_length", REMOVE_KEY, 0, NULL, QN_E_FORMAT, "'llama.embedding_length' is missing"},
    {"llama", "llama.feed_forward_length", SET_U32, 96, NULL, QN_E_SHAPE, "asks for [96, 32]"},
    {"llama", "llama.attention.head_count", SET_U32, 0, NULL, QN_E_FORMAT, "'llama.attention.head_count' is 0"},
    {"llama", "llama.attention.head_count", SET_U32, 3, NULL, QN_E_FORMAT, "must divide"},
    {"llama", "llama.attention.head_count", SET_U32, 8, NULL, QN_E_FORMAT, "of the 4 dimensions of a head"},
    {"llama", "llama.attention.head_count", SET_U32, 16777216, NULL, QN_E_FORMAT, "heads of 0 dimensions"},
    {"llama", "llama.attention.head_count_kv", SET_U32, 0, NULL, QN_E_FORMAT, "'llama.attention.head_count_kv' is 0"},
    {"llama", "llama.attention.head_count_kv", SET_U32, 4, NULL, QN_E_SHAPE, "'blk.0.attn_k.weight' has shape"},
    {"mistral", "llama.attention.key_length", SET_U32, 32, NULL, QN_E_UNSUPPORTED, "keys of 32 and values of 16"},
    {"llama", "llama.attention.layer_norm_rms_epsilon", REMOVE_KEY, 0, NULL, QN_E_FORMAT, "rms_epsilon' is missing"},
    {"llama", "llama.attention.layer_norm_rms_epsilon", SET_F32, -1, NULL, QN_E_FORMAT, "rms_epsilon' is -1"},
    {"llama", "llama.rope.dimension_count", SET_U32, 7, NULL, QN_E_FORMAT, "an even number within the head"},
    {"llama", "llama.rope.dimension_count", SET_U32, 4, NULL, QN_E_SHAPE, "'rope_freqs.weight' has shape [4]"},
    {"llama", "llama.rope.freq_base", SET_F32, -5, NULL, QN_E_FORMAT, "'llama.rope.freq_base' is -5"},
    {"llama", "llama.rope.scaling.type", SET_STRING, 0, "ntk", QN_E_UNSUPPORTED, "rope scaling 'ntk' is not known"},
    {"llama", "llama.expert_count", SET_U32, 8, NULL, QN_E_FORMAT, "expert_used_count' is missing"},
    {"llama", "token_embd.weight", DROP_TENSOR, 0, NULL, QN_E_NOT_FOUND, "'token_embd.weight' is missing"},
    {"llama", "output_norm.weight", DROP_TENSOR, 0, NULL, QN_E_NOT_FOUND, "'output_norm.weight' is missing"},
    {"llama", "blk.2.ffn_down.weight", DROP_TENSOR, 0, NULL, QN_E_NOT_FOUND, "'blk.2.ffn_down.weight' is missing"},
    {"llama", "blk.1.attn_output.weight", RESHAPE_TENSOR, 0, NULL, QN_E_SHAPE, "'blk.1.attn_output.weight' has shape"},
    {"llama", "output.weight", RESHAPE_TENSOR, 0, NULL, QN_E_SHAPE, "'output.weight' has shape [1024, 64]"},
    {"qwen3", "blk.0.attn_q_norm.weight", DROP_TENSOR, 0, NULL, QN_E_NOT_FOUND, "'blk.0.attn_q_norm.weight'"},
    {"gemma2", "blk.0.post_ffw_norm.weight", DROP_TENSOR, 0, NULL, QN_E_NOT_FOUND, "'blk.0.post_ffw_norm.weight'"},
    {"gemma2", "gemma2.attention.sliding_window", SET_F32, 8, NULL, QN_E_FORMAT, "no integer"},
    {"phi3", "phi3.feed_forward_length", SET_U32, 128, NULL, QN_E_SHAPE, "'blk.0.ffn_up.weight' has shape [128, 32]"},
    {"mixtral", "llama.expert_used_count", SET_U32, 5, NULL, QN_E_FORMAT, "an integer from 1 to 4 is expected"},
    {"mixtral", "llama.expert_count", SET_U32, 8, NULL, QN_E_SHAPE, "'blk.0.ffn_gate_inp.weight' has shape [4, 32]"},
    {"mixtral", "llama.expert_feed_forward_length", SET_U32, 32, NULL, QN_E_SHAPE, "asks for [4, 32, 32]"},
    {"mixtral", "llama.expert_count", REMOVE_KEY, 0, NULL, QN_E_NOT_FOUND, "'blk.0.ffn_gate.weight' is missing"},
    {"mixtral", "llama.expert_gating_func", SET_U32, 4, NULL, QN_E_UNSUPPORTED, "chosen by function 4"},
    {"mixtral", "llama.expert_group_count", SET_U32, 2, NULL, QN_E_UNSUPPORTED, "experts in 2 groups"},
    {"mixtral", "blk.2.ffn_up_exps.weight", DROP_TENSOR, 0, NULL, QN_E_NOT_FOUND, "'blk.2.ffn_up_exps.weight' is"},
    {"mixtral", "blk.2.ffn_up_exps.weight", RESHAPE_TENSOR, 0, NULL, QN_E_SHAPE, "has shape [2, 128, 32]"},
    {"qwen2moe", "blk.1.ffn_gate_inp_shexp.weight", DROP_TENSOR, 0, NULL, QN_E_NOT_FOUND, "ffn_gate_inp_shexp.weight'"},
    {"qwen2", "qwen2.expert_count", SET_U32, 8, NULL, QN_E_UNSUPPORTED, "a mixture of 8 experts, which no qwen2 is"},
    {"gpt2", "gpt2.context_length", SET_U32, 256, NULL, QN_E_SHAPE, "'position_embd.weight' has shape [128, 32]"},
    {"gpt2", "blk.0.attn_qkv.bias", DROP_TENSOR, 0, NULL, QN_E_NOT_FOUND, "'blk.0.attn_qkv.bias' is missing"},
    {"llama", "llama.feed_forward_length", RETYPE_LAYERS, 0, NULL, QN_E_UNSUPPORTED, "layers differ (64 in layer 0"},
};

static void drop_tensor(qn_model *model, const char *name) {
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        if (strcmp(model->tensors[i].name, name) == 0) {
            memmove(&model->tensors[i], &model->tensors[i + 1],
                    (size_t)(model->n_tensors - i - 1) * sizeof *model->tensors);
            model->n_tensors--;
            return;
        }
    }
    fail();
}

/* As many elements in half the rows. */
static void reshape_tensor(qn_model *model, const char *name) {
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        if (strcmp(model->tensors[i].name, name) == 0) {
            model->tensors[i].shape.dims[0] /= 2;
            model->tensors[i].shape.dims[1] *= 2;
            return;
        }
    }
    fail();
}

static void spoil(qn_model *model, void *user) {
    static const uint32_t unequal[] = {64, 64, 96};
    const bad_file *bad = user;
    switch (bad->how) {
    case SET_U32: qn_meta_set_u32(&model->meta, bad->key, (uint32_t)bad->value); break;
    case SET_F32: qn_meta_set_f32(&model->meta, bad->key, (float)bad->value); break;
    case SET_STRING: qn_meta_set_string(&model->meta, bad->key, bad->text); break;
    case REMOVE_KEY: qn_meta_remove(&model->meta, bad->key); break;
    case DROP_TENSOR: drop_tensor(model, bad->key); break;
    case RESHAPE_TENSOR: reshape_tensor(model, bad->key); break;
    case RETYPE_LAYERS: qn_meta_set_array(&model->meta, bad->key, QN_META_U32, unequal, 3); break;
    }
}

static void test_bad_files(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_files / sizeof bad_files[0]; i++) {
        bad_file bad = bad_files[i];
        engine_case c;
        qn_engine *engine = NULL;
        qn_error err;
        begin_case(&c, family_named(bad.family), QN_F32, spoil, &bad);
        const qn_status status = qn_engine_open(c.gguf, NULL, NULL, &engine, &err);
        if (status != bad.status || strstr(err.message, bad.message) == NULL || strstr(err.message, c.gguf) == NULL) {
            print_error("row %zu (%s): %s, wanted %s with '%s': %s\n", i, bad.key, qn_status_name(status),
                        qn_status_name(bad.status), bad.message, status == QN_OK ? "" : err.message);
            fail();
        }
        end_case(&c);
    }
}

static void test_options(void **state) {
    static const struct {
        qn_engine_options options;
        qn_status status;
        const char *message;
    } rows[] = {
        {{.n_ctx = 513}, QN_E_RANGE, "513 tokens is asked for; the model is made for at most 512"},
        {{.kv_type = QN_Q8_0, .is_kv_typed = true}, QN_E_UNSUPPORTED, "cannot be kept as Q8_0, whose blocks have 32"},
        {{.kv_type = QN_I32, .is_kv_typed = true}, QN_E_UNSUPPORTED, "cannot be kept as I32"},
        {{.kv_type = (qn_dtype)4, .is_kv_typed = true}, QN_E_UNSUPPORTED, "a type of that number"},
    };
    engine_case c;
    qn_engine *engine = NULL;
    qn_error err;
    (void)state;
    begin_case(&c, family_named("llama"), QN_F32, NULL, NULL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_status(&err, qn_engine_open(c.gguf, &rows[i].options, NULL, &engine, &err), rows[i].status);
        assert_message_has(&err, rows[i].message);
    }
    assert_ok(&err, qn_engine_open(c.gguf, NULL, NULL, &engine, &err));
    assert_int_equal(qn_engine_n_ctx(engine), 512);
    qn_engine_free(engine);
    qn_engine_free(NULL);
    assert_status(&err, qn_engine_open(c.root, NULL, NULL, &engine, &err), QN_E_IO);
    end_case(&c);
}

static void test_decoding(void **state) {
    static const struct {
        int32_t token;
        uint64_t n;
        qn_status status;
        const char *message;
    } rows[] = {
        {3, 0, QN_E_USAGE, "no tokens"},
        {-1, 1, QN_E_RANGE, "has id -1; the model has 2048 tokens"},
        {2048, 1, QN_E_RANGE, "has id 2048"},
        {3, 25, QN_E_RANGE, "the context is full: it holds 64 tokens, 40 are in it, and 25 more do not fit"},
    };
    const qn_engine_options exact = exact_options();
    int32_t tokens[CASE_TOKENS];
    engine_case c;
    qn_sequence *sequence = NULL;
    qn_engine *engine = NULL;
    qn_error err;
    (void)state;
    fill_tokens(tokens);
    qn_job *job = qn_job_new(1, NULL, NULL);
    begin_case(&c, family_named("llama"), QN_F32, NULL, NULL);
    assert_ok(&err, qn_engine_open(c.gguf, &exact, job, &engine, &err));
    float *wanted = prompt_logits(engine);
    float *logits = new_logits(engine, 1);
    assert_ok(&err, qn_sequence_new(engine, &sequence, &err));
    assert_ok(&err, qn_engine_decode(engine, sequence, tokens, CASE_TOKENS, false, logits, &err));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const int32_t many[25] = {rows[i].token};
        assert_status(&err, qn_engine_decode(engine, sequence, many, rows[i].n, false, logits, &err), rows[i].status);
        assert_message_has(&err, rows[i].message);
        assert_int_equal(qn_sequence_length(sequence), CASE_TOKENS);
    }
    qn_sequence_truncate(sequence, 10);
    qn_job_cancel(job);
    assert_status(&err, qn_engine_decode(engine, sequence, tokens + 10, 30, false, logits, &err), QN_E_INTERRUPTED);
    assert_int_equal(qn_sequence_length(sequence), 10);
    qn_sequence_free(sequence);
    free(logits);
    free(wanted);
    qn_engine_free(engine);
    qn_job_free(job);
    end_case(&c);
}

/* What was told of a call. */
typedef struct course {
    double last;
    int n;
    int stop_at;
} course;

static bool on_decode(void *user, double share) {
    course *c = user;
    assert_true(share < 1 && (c->n == 0 ? share == 0 : share > c->last));
    c->last = share;
    return ++c->n != c->stop_at;
}

/* A prompt of six batches is told of in each layer, and stopped within one is as if it had never been. */
static void test_watching(void **state) {
    engine_case c;
    qn_error err;
    int32_t tokens[CASE_TOKENS];
    qn_sequence *sequence = NULL;
    course seen = {0};
    begin_case(&c, family_named("llama"), QN_F32, NULL, NULL);
    const qn_engine_options options = exact_options();
    qn_engine *engine = open_engine(&c, &options);
    const int n_layer = (int)qn_engine_graph(engine)->n_layer;
    const int n_batches = (CASE_TOKENS + CASE_BATCH - 1) / CASE_BATCH;
    fill_tokens(tokens);
    (void)state;
    assert_ok(&err, qn_sequence_new(engine, &sequence, &err));
    qn_engine_watch(engine, on_decode, &seen);
    assert_ok(&err, qn_engine_decode(engine, sequence, tokens, CASE_TOKENS, true, NULL, &err));
    assert_int_equal(seen.n, n_batches * n_layer);
    assert_true(seen.last > 1 - 1.0 / (n_batches * n_layer - 1));
    seen.n = 0;
    seen.stop_at = n_layer + 2; /* in the second batch */
    qn_sequence_truncate(sequence, 3);
    assert_status(&err, qn_engine_decode(engine, sequence, tokens, 20, false, NULL, &err), QN_E_INTERRUPTED);
    assert_int_equal(seen.n, seen.stop_at);
    assert_int_equal(qn_sequence_length(sequence), 3);
    qn_engine_watch(engine, NULL, NULL);
    assert_ok(&err, qn_engine_decode(engine, sequence, tokens, 20, false, NULL, &err));
    assert_int_equal(seen.n, seen.stop_at);
    qn_sequence_free(sequence);
    qn_engine_free(engine);
    end_case(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_decoding),
        cmocka_unit_test(test_watching),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
