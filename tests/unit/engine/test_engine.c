/* SPDX-License-Identifier: MIT */
/* test_engine.c: batches, steps, sequences and prefixes give the same logits; memory and inputs are told. */
#include "engine/engine_case.h"

#include <math.h>

/* The largest difference in standard deviations of a. */
static double distance(const float *a, const float *b, uint64_t n) {
    double most = 0;
    double sum = 0;
    double squares = 0;
    for (uint64_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);
        most = d > most || isnan(d) ? d : most;
        sum += a[i];
        squares += (double)a[i] * (double)a[i];
    }
    const double mean = sum / (double)n;
    return most / sqrt(squares / (double)n - mean * mean);
}

static void test_every_family(void **state) {
    (void)state;
    for (size_t i = 0; i < N_FAMILY_CONFIGS; i++) {
        const qn_engine_options exact = exact_options();
        qn_engine_options other = exact;
        engine_case c;
        qn_sequence *sequence = NULL;
        int32_t tokens[CASE_TOKENS];
        qn_error err;
        fill_tokens(tokens);
        begin_case(&c, &family_configs[i], QN_F32, NULL, NULL);
        qn_engine *engine = open_engine(&c, &exact);
        float *whole = prompt_logits(engine);
        float *one = new_logits(engine, 1);
        const uint64_t n_vocab = qn_engine_n_vocab(engine);
        assert_int_equal(n_vocab, TINY_VOCAB);
        /* Token by token: the same bits. */
        assert_ok(&err, qn_sequence_new(engine, &sequence, &err));
        for (uint64_t t = 0; t < CASE_TOKENS; t++) {
            assert_ok(&err, qn_engine_decode(engine, sequence, &tokens[t], 1, false, one, &err));
            if (memcmp(one, whole + t * n_vocab, n_vocab * sizeof *one) != 0) {
                print_error("%s: token %llu\n", family_configs[i].name, (unsigned long long)t);
                fail();
            }
        }
        qn_sequence_free(sequence);
        qn_engine_free(engine);
        /* One batch, one thread: the same bits. F16: not the same, and near. */
        other.n_batch = 64;
        other.n_threads = 1;
        engine = open_engine(&c, &other);
        float *at_once = prompt_logits(engine);
        assert_memory_equal(at_once, whole, CASE_TOKENS * n_vocab * sizeof *whole);
        qn_engine_free(engine);
        other.kv_type = QN_F16;
        engine = open_engine(&c, &other);
        float *half = prompt_logits(engine);
        const double off = distance(whole, half, CASE_TOKENS * n_vocab);
        if (!(off > 0 && off < 0.02)) {
            print_error("%s: %g deviations off\n", family_configs[i].name, off);
            fail();
        }
        qn_engine_free(engine);
        free(half);
        free(at_once);
        free(one);
        free(whole);
        end_case(&c);
    }
}

static void test_types(void **state) {
    static const struct {
        qn_dtype type;
        double limit;
    } rows[] = {{QN_F16, 0.02}, {QN_BF16, 0.1}, {QN_Q8_0, 0.2}, {QN_Q4_0, 2}, {QN_IQ4_NL, 2}};
    const qn_engine_options exact = exact_options();
    engine_case c;
    (void)state;
    begin_case(&c, family_named("llama"), QN_F32, NULL, NULL);
    qn_engine *engine = open_engine(&c, &exact);
    float *wanted = prompt_logits(engine);
    qn_engine_free(engine);
    end_case(&c);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin_case(&c, family_named("llama"), rows[i].type, NULL, NULL);
        engine = open_engine(&c, &exact);
        float *logits = prompt_logits(engine);
        const double off = distance(wanted, logits, CASE_TOKENS * (uint64_t)TINY_VOCAB);
        if (!(off > 0 && off < rows[i].limit)) {
            print_error("%s: %g deviations off\n", qn_dtype_get(rows[i].type)->name, off);
            fail();
        }
        free(logits);
        qn_engine_free(engine);
        end_case(&c);
    }
    free(wanted);
}

/* Forgetting and copying a prefix, and several sequences in one call, change nothing. */
static void test_sequences(void **state) {
    enum { N_KEPT = 23 };
    const qn_engine_options exact = exact_options();
    const int32_t astray[] = {5, 6, 7, 8, 9};
    int32_t tokens[CASE_TOKENS];
    engine_case c;
    qn_sequence *a = NULL;
    qn_sequence *b = NULL;
    qn_error err;
    (void)state;
    fill_tokens(tokens);
    begin_case(&c, family_named("gemma3"), QN_F32, NULL, NULL);
    qn_engine *engine = open_engine(&c, &exact);
    const uint64_t n_vocab = qn_engine_n_vocab(engine);
    const size_t row_size = n_vocab * sizeof(float);
    float *wanted = prompt_logits(engine);
    float *logits = new_logits(engine, 2 * CASE_TOKENS);
    assert_ok(&err, qn_sequence_new(engine, &a, &err));
    assert_ok(&err, qn_sequence_new(engine, &b, &err));
    assert_ok(&err, qn_engine_decode(engine, a, tokens, N_KEPT, false, NULL, &err));
    assert_ok(&err, qn_engine_decode(engine, a, astray, 5, false, logits, &err));
    qn_sequence_truncate(a, N_KEPT + 100);
    assert_int_equal(qn_sequence_length(a), N_KEPT + 5);
    qn_sequence_truncate(a, N_KEPT);
    qn_sequence_copy(b, a, N_KEPT - 3);
    assert_int_equal(qn_sequence_length(b), N_KEPT - 3);
    const qn_span spans[] = {{a, tokens + N_KEPT, CASE_TOKENS - N_KEPT, true},
                             {b, tokens + N_KEPT - 3, CASE_TOKENS - N_KEPT + 3, false}};
    assert_ok(&err, qn_engine_decode_spans(engine, spans, 2, logits, &err));
    assert_memory_equal(logits, wanted + N_KEPT * n_vocab, (CASE_TOKENS - N_KEPT) * row_size);
    assert_memory_equal(logits + (CASE_TOKENS - N_KEPT) * n_vocab, wanted + (CASE_TOKENS - 1) * n_vocab, row_size);
    qn_sequence_free(a);
    qn_sequence_free(b);
    qn_sequence_free(NULL);
    free(logits);
    free(wanted);
    qn_engine_free(engine);
    end_case(&c);
}

typedef struct inputs {
    uint64_t n_calls;
    uint64_t n_rows_of_down;
    bool is_strange;
} inputs;

static void take_input(void *user, const char *name, uint64_t expert, uint64_t n_experts, const float *x,
                       uint64_t n_rows, uint64_t n_cols) {
    inputs *in = user;
    in->n_calls++;
    if (strcmp(name, "blk.1.ffn_down.weight") == 0) {
        in->n_rows_of_down += n_rows;
        in->is_strange = in->is_strange || n_cols != TINY_FF;
    }
    in->is_strange = in->is_strange || expert != 0 || n_experts != 1;
    for (uint64_t i = 0; i < n_rows * n_cols; i++) {
        in->is_strange = in->is_strange || !isfinite(x[i]);
    }
}

static void test_inputs_and_memory(void **state) {
    const qn_engine_options exact = exact_options();
    engine_case c;
    inputs in = {0};
    qn_sequence *sequence = NULL;
    qn_error err;
    (void)state;
    begin_case(&c, family_named("llama"), QN_F16, NULL, NULL);
    qn_engine *engine = open_engine(&c, &exact);
    qn_engine_observe(engine, take_input, &in);
    float *observed = prompt_logits(engine);
    qn_engine_observe(engine, NULL, NULL);
    float *plain = prompt_logits(engine);
    assert_memory_equal(observed, plain, CASE_TOKENS * TINY_VOCAB * sizeof *plain);
    assert_int_equal(in.n_rows_of_down, CASE_TOKENS);
    assert_int_equal(in.n_calls, ((CASE_TOKENS + CASE_BATCH - 1) / CASE_BATCH) * (3 * 6 + 1) + 3 * CASE_TOKENS);
    assert_false(in.is_strange);
    /* 3 layers, 2 heads of 8, 64 tokens, keys and values in float32. */
    assert_int_equal(qn_engine_memory_of(engine).kv, 0);
    assert_ok(&err, qn_sequence_new(engine, &sequence, &err));
    assert_int_equal(qn_engine_memory_of(engine).kv, 3 * 2 * 8 * 64 * 2 * 4);
    qn_sequence_free(sequence);
    assert_int_equal(qn_engine_memory_of(engine).kv, 0);
    /* Embedding, output, and in each layer q, o; k, v; gate, up, down; two bytes a weight. */
    assert_int_equal(qn_engine_memory_of(engine).weights,
                     2 * (2 * 2048 * 32 + 3 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32)));
    assert_int_equal(qn_engine_memory_of(engine).vectors, 4 * (7 * 32 + 4)); /* norms, rope factors */
    assert_in_range(qn_engine_memory_of(engine).compute, 1, 1 << 20);
    free(plain);
    free(observed);
    qn_engine_free(engine);
    end_case(&c);
}

/* YaRN's ramp and magnitude, worked out by hand from facts/architectures.md 0.7. */
typedef struct expert_inputs {
    uint64_t n_rows[8];
    bool is_strange;
} expert_inputs;

static void take_expert_input(void *user, const char *name, uint64_t expert, uint64_t n_experts, const float *x,
                              uint64_t n_rows, uint64_t n_cols) {
    expert_inputs *in = user;
    const bool is_stack = strstr(name, "_exps.weight") != NULL;
    in->is_strange = in->is_strange || n_experts != (is_stack ? 5 : 1) || expert >= n_experts;
    if (strcmp(name, "blk.2.ffn_down_exps.weight") == 0 && expert < 8) {
        in->n_rows[expert] += n_rows;
        in->is_strange = in->is_strange || n_cols != 32;
    }
    for (uint64_t i = 0; i < n_rows * n_cols; i++) {
        in->is_strange = in->is_strange || !isfinite(x[i]);
    }
}

/* Each row goes to as many experts as the model says, and who observes is told to which. */
static void test_inputs_of_experts(void **state) {
    const qn_engine_options exact = exact_options();
    engine_case c;
    expert_inputs in = {.is_strange = false};
    (void)state;
    begin_case(&c, family_named("qwen3moe"), QN_F32, NULL, NULL);
    qn_engine *engine = open_engine(&c, &exact);
    qn_engine_observe(engine, take_expert_input, &in);
    float *observed = prompt_logits(engine);
    uint64_t n = 0;
    for (size_t e = 0; e < 5; e++) {
        assert_in_range(in.n_rows[e], 1, CASE_TOKENS);
        n += in.n_rows[e];
    }
    assert_int_equal(n, 3 * CASE_TOKENS);
    assert_false(in.is_strange);
    free(observed);
    qn_engine_free(engine);
    end_case(&c);
}

static void test_yarn(void **state) {
    const qn_rope rope = {.base = 10000, .freq_scale = 0.25, .ext_factor = 1, .beta_fast = 32, .beta_slow = 1};
    const qn_graph graph = {.n_rot = 8, .n_ctx_orig = 4096};
    double found[4];
    (void)state;
    /* c(32) = 8 ln(4096 / 64 pi) / (2 ln 10000) = 1.309: low 1; c(1) = 2.814: high 3. Ramps 1, 1, 0.5, 0. */
    static const double wanted[] = {1, 0.1, 0.01 * (0.25 * 0.5 + 0.5), 0.001 * 0.25};
    qn_rope_frequencies(&graph, &rope, NULL, found);
    for (size_t i = 0; i < 4; i++) {
        assert_true(fabs(found[i] / wanted[i] - 1) < 1e-12);
    }
    const float divisors[] = {1, 2, 4, 8};
    const qn_rope linear = {.base = 10000, .freq_scale = 0.5};
    qn_rope_frequencies(&graph, &linear, divisors, found);
    for (size_t i = 0; i < 4; i++) {
        assert_true(fabs(found[i] / (pow(0.1, (double)i) / 2 / (double)divisors[i]) - 1) < 1e-12);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_family),      cmocka_unit_test(test_types),
        cmocka_unit_test(test_sequences),         cmocka_unit_test(test_inputs_and_memory),
        cmocka_unit_test(test_inputs_of_experts), cmocka_unit_test(test_yarn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
