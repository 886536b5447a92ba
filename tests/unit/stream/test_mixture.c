/* SPDX-License-Identifier: MIT */
/* test_mixture.c: every target on the models that facts/mixes.md gives results for, and the rules' corners. */
#include "stream/mixture.h"

#include "support.h"

#include <math.h>

enum { MAX_TENSORS = 2048 };

/* A model's size; tensors are made from it. */
typedef struct sizes {
    qn_mixture_model model;
    uint64_t n_embd;
    uint64_t n_ff;
    uint64_t n_vocab;
    uint64_t head_dim;
    bool is_tied;
} sizes;

typedef struct list {
    qn_mixture_tensor tensors[MAX_TENSORS];
    char names[MAX_TENSORS][64];
    uint64_t n;
} list;

static void add(list *l, int layer, const char *name, uint64_t n_rows, uint64_t n_cols, uint64_t n_stacked) {
    qn_mixture_tensor *t = &l->tensors[l->n];
    char *full = l->names[l->n++];
    assert_true(l->n <= MAX_TENSORS);
    if (layer < 0) {
        (void)snprintf(full, 64, "%s", name);
    } else {
        (void)snprintf(full, 64, "blk.%d.%s", layer, name);
    }
    *t = (qn_mixture_tensor){.name = full, .unquantized = QN_F16};
    if (n_stacked > 0) {
        t->shape = (qn_shape){3, {n_stacked, n_rows, n_cols}};
    } else if (n_rows > 0) {
        t->shape = (qn_shape){2, {n_rows, n_cols}};
    } else {
        t->shape = (qn_shape){1, {n_cols}};
        t->unquantized = QN_F32;
    }
}

/* The tensors in an order that is not the rules' own. */
static void make_list(list *l, const sizes *s) {
    const uint64_t e = s->n_embd;
    const uint64_t n_expert = s->model.n_expert;
    const char *const tail = n_expert > 0 ? "_exps.weight" : ".weight";
    char name[64];
    l->n = 0;
    for (int i = (int)s->model.n_layer - 1; i >= 0; i--) {
        add(l, i, "ffn_norm.weight", 0, e, 0);
        add(l, i, "attn_norm.weight", 0, e, 0);
        add(l, i, "attn_q.weight", s->model.n_head * s->head_dim, e, 0);
        add(l, i, "attn_k.weight", s->model.n_head_kv * s->head_dim, e, 0);
        add(l, i, "attn_v.weight", s->model.n_head_kv * s->head_dim, e, 0);
        add(l, i, "attn_output.weight", e, s->model.n_head * s->head_dim, 0);
        (void)snprintf(name, sizeof name, "ffn_gate%s", tail);
        add(l, i, name, s->n_ff, e, n_expert);
        (void)snprintf(name, sizeof name, "ffn_up%s", tail);
        add(l, i, name, s->n_ff, e, n_expert);
        (void)snprintf(name, sizeof name, "ffn_down%s", tail);
        add(l, i, name, e, s->n_ff, n_expert);
        if (n_expert > 0) {
            add(l, i, "ffn_gate_inp.weight", n_expert, e, 0);
        }
    }
    add(l, -1, "token_embd.weight", s->n_vocab, e, 0);
    add(l, -1, "output_norm.weight", 0, e, 0);
    if (!s->is_tied) {
        add(l, -1, "output.weight", s->n_vocab, e, 0);
    }
}

static uint64_t n_elements(const qn_mixture_tensor *t) {
    uint64_t n = 1;
    for (uint32_t i = 0; i < t->shape.n_dims; i++) {
        n *= t->shape.dims[i];
    }
    return n;
}

static double bits_per_weight(const list *l) {
    double bits = 0.0;
    double n = 0.0;
    for (uint64_t i = 0; i < l->n; i++) {
        const qn_dtype_info *info = qn_dtype_get((uint32_t)l->tensors[i].type);
        const double elements = (double)n_elements(&l->tensors[i]);
        bits += elements * info->block_bytes * 8.0 / info->block_len;
        n += elements;
    }
    return bits / n;
}

/* The types in the order of their first mention in `wanted`, so that the texts can be compared. */
static void count_types(const list *l, const char *wanted, bool has_norms, char *text, size_t size) {
    unsigned counts[QN_DTYPE_LIMIT] = {0};
    text[0] = '\0';
    for (uint64_t i = 0; i < l->n; i++) {
        counts[l->tensors[i].type] += has_norms || l->tensors[i].shape.n_dims > 1 ? 1 : 0;
    }
    for (const char *at = wanted; *at != '\0';) {
        char name[16] = {0};
        int n_read = 0;
        qn_dtype type = QN_F32;
        assert_int_equal(sscanf(at, "%15[^ ] %*u%n", name, &n_read), 1);
        assert_true(qn_dtype_find(name, &type));
        const size_t len = strlen(text);
        (void)snprintf(text + len, size - len, "%s%s %u", len > 0 ? ", " : "", name, counts[type]);
        counts[type] = 0;
        at += n_read;
        at += *at == ',' ? 2 : 0;
    }
    for (size_t i = 0; i < QN_DTYPE_LIMIT; i++) {
        assert_int_equal(counts[i], 0);
    }
}

/* Whether quern can write all that was chosen. */
static bool has_encoders(const list *l) {
    for (uint64_t i = 0; i < l->n; i++) {
        const qn_mixture_tensor *t = &l->tensors[i];
        if (t->type != t->unquantized && !qn_dtype_get((uint32_t)t->type)->has_encoder) {
            return false;
        }
    }
    return true;
}

/* Chooses; the status must be what missing encoders and a missing matrix make it. */
static void choose(list *l, const char *target, const qn_mixture_model *model, bool is_refused) {
    qn_error err = {QN_OK, ""};
    const qn_target *t = qn_target_find(target);
    assert_non_null(t);
    for (uint64_t i = 0; i < l->n; i++) {
        l->tensors[i].has_importance = model->has_imatrix;
    }
    const qn_status status = qn_mixture_choose(t, model, NULL, l->tensors, l->n, &err);
    const bool is_ok = !is_refused && has_encoders(l);
    if ((status == QN_OK) != is_ok || (!is_ok && status != QN_E_UNSUPPORTED)) {
        print_error("%s: status %s: %s\n", target, qn_status_name(status), err.message);
        fail();
    }
    if (!is_ok) {
        assert_message_has(&err, t->name);
    }
}

static qn_dtype type_of(const list *l, const char *name) {
    for (uint64_t i = 0; i < l->n; i++) {
        if (strcmp(l->names[i], name) == 0) {
            return l->tensors[i].type;
        }
    }
    print_error("no tensor %s\n", name);
    fail();
    return QN_F32;
}

static void assert_type(const list *l, const char *target, const char *name, const char *wanted) {
    const char *found = qn_dtype_get((uint32_t)type_of(l, name))->name;
    if (strcmp(found, wanted) != 0) {
        print_error("%s: %s is %s, wanted %s\n", target, name, found, wanted);
        fail();
    }
}

static list *new_list(void) {
    list *l = calloc(1, sizeof *l);
    assert_non_null(l);
    return l;
}

static void test_targets(void **state) {
    static const struct {
        const char *spelled;
        const char *name;
        uint32_t file_type;
    } cases[] = {{"q4_k_m", "Q4_K_M", 15}, {"Q4_K", "Q4_K_M", 15}, {"q3_k", "Q3_K_M", 12},
                 {"Q5_K", "Q5_K_M", 17},   {"bf16", "BF16", 32},   {"Mxfp4_moe", "MXFP4_MOE", 38},
                 {"Q1_0", "Q1_0", 40}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const qn_target *t = qn_target_find(cases[i].spelled);
        assert_non_null(t);
        assert_string_equal(t->name, cases[i].name);
        assert_int_equal(t->file_type, cases[i].file_type);
    }
    uint64_t n = 0;
    while (qn_target_at(n) != NULL) {
        assert_ptr_equal(qn_target_find(qn_target_at(n)->name), qn_target_at(n));
        n++;
    }
    assert_int_equal(n, 35);
    assert_null(qn_target_find("Q4_K_X"));
    assert_null(qn_target_find("Q4"));
    assert_null(qn_target_find(""));
    assert_null(qn_target_find("NVFP4"));
}

/* facts/mixes.md 9: bits a weight and counts without a matrix, and bits with one (0: the same). */
static void test_llama_3_8b(void **state) {
    static const struct {
        const char *target;
        double bpw;
        double bpw_imatrix;
        const char *counts;
        bool needs_imatrix;
    } cases[] = {
        {"F32", 32.0, 0, "F32 226", false},
        {"F16", 16.0005, 0, "F16 226", false},
        {"BF16", 16.0005, 0, "BF16 226", false},
        {"Q1_0", 1.4817, 0, "Q1_0 225, Q6_K 1", false},
        {"Q2_0", 2.6803, 0, "Q2_0 224, Q6_K 1, Q4_K 1", false},
        {"Q4_0", 4.6358, 4.6505, "Q4_0 225, Q6_K 1", false},
        {"Q4_1", 5.1031, 0, "Q4_1 225, Q6_K 1", false},
        {"Q5_0", 5.5704, 5.5850, "Q5_0 225, Q6_K 1", false},
        {"Q5_1", 6.0377, 0, "Q5_1 225, Q6_K 1", false},
        {"Q8_0", 8.5008, 0, "Q8_0 226", false},
        {"MXFP4_MOE", 8.5008, 0, "Q8_0 226", false},
        {"Q2_K", 3.1593, 0, "Q2_K 129, Q3_K 64, Q4_K 32, Q6_K 1", false},
        {"Q2_K_S", 2.9697, 0, "Q2_K 189, Q4_K 36, Q6_K 1", false},
        {"Q3_K_S", 3.6429, 0, "Q3_K 225, Q6_K 1", false},
        {"Q3_K_M", 3.9960, 0, "Q3_K 129, Q4_K 92, Q5_K 4, Q6_K 1", false},
        {"Q3_K_L", 4.2979, 0, "Q3_K 129, Q5_K 96, Q6_K 1", false},
        {"Q4_K_S", 4.6672, 0, "Q4_K 217, Q5_K 8, Q6_K 1", false},
        {"Q4_K_M", 4.8944, 0, "Q4_K 193, Q6_K 33", false},
        {"Q5_K_S", 5.5704, 0, "Q5_K 225, Q6_K 1", false},
        {"Q5_K_M", 5.7036, 0, "Q5_K 193, Q6_K 33", false},
        {"Q6_K", 6.5633, 0, "Q6_K 226", false},
        {"TQ1_0", 2.1914, 0, "TQ1_0 224, Q6_K 1, Q4_K 1", false},
        {"TQ2_0", 2.5173, 0, "TQ2_0 224, Q6_K 1, Q4_K 1", false},
        {"IQ1_S", 2.0042, 0, "IQ1_S 156, IQ2_XXS 32, Q4_K 32, Q2_K 5, Q5_K 1", true},
        {"IQ1_M", 2.1460, 0, "IQ1_M 156, IQ2_XXS 32, Q4_K 32, Q2_K 5, Q5_K 1", true},
        {"IQ2_XXS", 2.3824, 0, "IQ2_XXS 188, Q4_K 32, Q2_K 5, Q5_K 1", true},
        {"IQ2_XS", 2.5882, 0, "IQ2_XS 188, Q4_K 32, Q2_K 5, Q5_K 1", true},
        {"IQ2_S", 2.7403, 0, "IQ2_XS 156, IQ3_S 37, Q4_K 32, Q5_K 1", true},
        {"IQ2_M", 2.9294, 0, "IQ2_S 156, IQ3_S 37, Q4_K 32, Q5_K 1", true},
        {"IQ3_XXS", 3.2548, 0, "IQ3_XXS 96, IQ2_S 64, IQ3_S 33, Q4_K 32, Q5_K 1", true},
        {"IQ3_XS", 3.4977, 0, "IQ3_XXS 112, IQ3_S 81, Q4_K 32, Q6_K 1", true},
        {"IQ3_S", 3.6606, 0, "IQ3_S 193, Q4_K 32, Q6_K 1", false},
        {"IQ3_M", 3.7628, 0, "IQ3_S 157, Q4_K 68, Q6_K 1", false},
        {"IQ4_NL", 4.6818, 4.6526, "IQ4_NL 189, Q5_K 36, Q6_K 1", false},
        {"IQ4_XS", 4.4597, 4.4231, "IQ4_XS 189, Q5_K 36, Q6_K 1", false},
    };
    sizes s = {{"llama", 32, 32, 8, 0, false}, 4096, 14336, 128256, 128, false};
    list *l = new_list();
    (void)state;
    make_list(l, &s);
    assert_int_equal(l->n, 291);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[256];
        const bool needs = cases[i].needs_imatrix;
        s.model.has_imatrix = needs;
        choose(l, cases[i].target, &s.model, false);
        count_types(l, cases[i].counts, false, text, sizeof text);
        assert_string_equal(text, cases[i].counts);
        if (fabs(bits_per_weight(l) - cases[i].bpw) > 0.00006) {
            print_error("%s: %.5f bits a weight, wanted %.4f\n", cases[i].target, bits_per_weight(l), cases[i].bpw);
            fail();
        }
        s.model.has_imatrix = !needs;
        choose(l, cases[i].target, &s.model, needs);
        if (!needs) {
            const double wanted = cases[i].bpw_imatrix > 0 ? cases[i].bpw_imatrix : cases[i].bpw;
            assert_true(fabs(bits_per_weight(l) - wanted) < 0.00006);
        }
    }
    free(l);
}

static void test_tied(void **state) {
    static const struct {
        const char *target;
        double bpw;
        const char *embedding;
    } cases[] = {{"Q4_K_M", 5.178, "Q6_K"},
                 {"IQ4_XS", 4.794, "Q6_K"},
                 {"IQ2_XXS", 2.843, "Q5_K"},
                 {"Q6_K", 6.564, "Q6_K"},
                 {"Q8_0", 8.501, "Q8_0"}};
    const sizes s = {{"llama", 16, 32, 8, 0, false}, 2048, 8192, 128256, 64, true};
    list *l = new_list();
    (void)state;
    make_list(l, &s);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        choose(l, cases[i].target, &s.model, strncmp(cases[i].target, "IQ2", 3) == 0);
        assert_type(l, cases[i].target, "token_embd.weight", cases[i].embedding);
        if (fabs(bits_per_weight(l) - cases[i].bpw) > 0.0006) {
            print_error("%s: %.5f bits a weight, wanted %.3f\n", cases[i].target, bits_per_weight(l), cases[i].bpw);
            fail();
        }
    }
    free(l);
}

/* The tensor types that the reference gave the sample (4 layers, tied, 8 heads over 4). */
static void test_sample(void **state) {
    static const struct {
        const char *name;
        const char *types[4]; /* by layer */
    } wanted[] = {
        {"attn_k.weight", {"Q4_K", "Q4_K", "Q4_K", "Q4_K"}},      {"attn_norm.weight", {"F32", "F32", "F32", "F32"}},
        {"attn_output.weight", {"Q4_K", "Q4_K", "Q4_K", "Q4_K"}}, {"attn_q.weight", {"Q4_K", "Q4_K", "Q4_K", "Q4_K"}},
        {"attn_v.weight", {"Q4_K", "Q4_K", "Q6_K", "Q6_K"}},      {"ffn_down.weight", {"Q4_K", "Q4_K", "Q6_K", "Q6_K"}},
        {"ffn_gate.weight", {"Q4_K", "Q4_K", "Q4_K", "Q4_K"}},    {"ffn_norm.weight", {"F32", "F32", "F32", "F32"}},
        {"ffn_up.weight", {"Q4_K", "Q4_K", "Q4_K", "Q4_K"}},
    };
    const sizes s = {{"llama", 4, 8, 4, 0, false}, 256, 768, 2048, 32, true};
    list *l = new_list();
    (void)state;
    make_list(l, &s);
    assert_int_equal(l->n, 38);
    choose(l, "Q4_K_M", &s.model, false);
    assert_type(l, "Q4_K_M", "token_embd.weight", "Q6_K");
    assert_type(l, "Q4_K_M", "output_norm.weight", "F32");
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        for (int layer = 0; layer < 4; layer++) {
            char name[64];
            (void)snprintf(name, sizeof name, "blk.%d.%s", layer, wanted[i].name);
            assert_type(l, "Q4_K_M", name, wanted[i].types[layer]);
        }
    }
    free(l);
}

/* One tensor of one model under one target. */
static const sizes gqa2 = {{"llama", 32, 32, 16, 0, false}, 4096, 14336, 32000, 128, false};
static const sizes mixtral = {{"llama", 32, 32, 8, 8, true}, 4096, 14336, 32000, 128, false};
static const sizes four = {{"qwen2moe", 24, 16, 16, 4, true}, 2048, 1536, 32000, 128, false};
static const sizes big = {{"llama", 80, 64, 8, 0, false}, 8192, 28672, 32000, 128, false};
static const sizes big_mha = {{"llama", 80, 64, 64, 0, false}, 8192, 28672, 32000, 128, false};
static const sizes falcon = {{"falcon", 32, 64, 64, 0, false}, 4096, 16384, 65024, 64, false};
static const sizes gpt_oss = {{"gpt-oss", 24, 64, 8, 32, false}, 2880, 2880, 201088, 64, false};
static const sizes odd = {{"llama", 8, 8, 8, 0, false}, 100, 96, 1000, 32, false};
static const struct {
    const sizes *sizes;
    const char *target;
    const char *name;
    const char *type;
} corners[] = {
    {&gqa2, "Q2_K", "blk.0.attn_v.weight", "Q3_K"},
    {&gqa2, "IQ4_XS", "blk.0.attn_v.weight", "IQ4_XS"},
    {&gqa2, "IQ3_S", "blk.0.attn_v.weight", "IQ3_S"},
    {&mixtral, "Q4_K_M", "blk.0.attn_v.weight", "Q8_0"},
    {&mixtral, "Q4_K_M", "blk.9.attn_k.weight", "Q8_0"},
    {&mixtral, "Q4_K_M", "blk.9.attn_q.weight", "Q4_K"},
    {&mixtral, "Q4_K_M", "blk.9.attn_output.weight", "Q5_K"},
    {&mixtral, "Q3_K_L", "blk.9.attn_output.weight", "Q3_K"},
    {&mixtral, "Q4_K_M", "blk.3.ffn_down_exps.weight", "Q6_K"},
    {&mixtral, "Q4_K_M", "blk.4.ffn_down_exps.weight", "Q4_K"},
    {&mixtral, "Q4_K_M", "blk.6.ffn_down_exps.weight", "Q6_K"},
    {&mixtral, "Q4_K_M", "blk.31.ffn_down_exps.weight", "Q6_K"},
    {&mixtral, "Q4_K_M", "blk.3.ffn_gate_inp.weight", "F16"},
    {&mixtral, "IQ3_M", "blk.6.ffn_down_exps.weight", "Q4_K"},
    {&mixtral, "IQ2_XS", "blk.9.attn_k.weight", "Q4_K"},
    {&mixtral, "IQ2_XS", "blk.9.attn_v.weight", "Q4_K"},
    {&mixtral, "IQ2_XS", "blk.9.attn_output.weight", "Q5_K"},
    {&mixtral, "MXFP4_MOE", "blk.9.ffn_up_exps.weight", "MXFP4"},
    {&mixtral, "MXFP4_MOE", "blk.9.attn_v.weight", "Q8_0"},
    {&mixtral, "MXFP4_MOE", "token_embd.weight", "Q8_0"},
    {&four, "IQ2_S", "blk.9.attn_v.weight", "Q4_K"},
    {&four, "IQ2_S", "blk.9.attn_k.weight", "IQ2_XS"},
    {&four, "IQ3_XS", "blk.2.ffn_gate_exps.weight", "IQ3_S"},
    {&four, "IQ3_XS", "blk.3.ffn_gate_exps.weight", "IQ3_XXS"},
    {&four, "IQ3_XS", "blk.20.ffn_up_exps.weight", "IQ3_XXS"},
    {&four, "IQ3_XS", "blk.21.ffn_up_exps.weight", "IQ3_S"},
    {&big, "Q4_K_S", "blk.40.attn_v.weight", "Q5_K"},
    {&big, "Q3_K_S", "blk.40.attn_v.weight", "Q5_K"},
    {&big, "Q4_K_M", "blk.11.attn_v.weight", "Q5_K"},
    {&big, "Q4_K_M", "blk.12.attn_v.weight", "Q6_K"},
    {&big_mha, "Q4_K_S", "blk.40.attn_v.weight", "Q4_K"},
    {&falcon, "Q4_K_M", "output.weight", "Q8_0"},
    {&falcon, "Q4_K_M", "blk.1.ffn_down.weight", "Q6_K"},
    {&falcon, "Q4_K_M", "blk.2.ffn_down.weight", "Q5_K"},
    {&falcon, "Q4_K_M", "blk.4.ffn_down.weight", "Q4_K"},
    {&falcon, "Q3_K_M", "blk.5.ffn_down.weight", "Q3_K"},
    {&falcon, "Q3_K_M", "blk.6.ffn_down.weight", "Q4_K"},
    {&falcon, "Q3_K_L", "blk.5.ffn_down.weight", "Q4_K"},
    {&falcon, "Q3_K_L", "blk.5.attn_output.weight", "Q4_K"},
    {&falcon, "Q2_K", "blk.5.attn_output.weight", "Q2_K"},
    {&falcon, "Q4_K_S", "blk.0.ffn_down.weight", "Q4_K"},
    {&gpt_oss, "Q4_K_M", "token_embd.weight", "Q5_0"},
    {&gpt_oss, "Q4_K_M", "output.weight", "Q8_0"},
    {&gpt_oss, "Q4_K_M", "blk.5.attn_q.weight", "Q5_0"},
    {&gpt_oss, "Q4_K_M", "blk.5.attn_output.weight", "Q4_K"},
    {&gpt_oss, "Q4_K_M", "blk.0.attn_v.weight", "Q8_0"},
    {&gpt_oss, "Q4_K_M", "blk.0.ffn_down_exps.weight", "Q8_0"},
    {&gpt_oss, "Q4_K_M", "blk.3.ffn_down_exps.weight", "Q5_0"},
    {&gpt_oss, "Q5_K_S", "blk.3.ffn_down_exps.weight", "Q5_1"},
    {&gpt_oss, "Q3_K_S", "blk.3.ffn_up_exps.weight", "Q4_0"},
    {&gpt_oss, "IQ4_XS", "blk.3.ffn_up_exps.weight", "IQ4_NL"},
    {&odd, "Q4_K_M", "blk.3.ffn_up.weight", "F16"},
    {&odd, "Q8_0", "blk.3.ffn_up.weight", "F16"},
    {&odd, "Q8_0", "blk.3.ffn_down.weight", "Q8_0"},
    {&odd, "F32", "blk.3.ffn_up.weight", "F32"},
};

static void test_corners(void **state) {
    list *l = new_list();
    (void)state;
    for (size_t i = 0; i < sizeof corners / sizeof corners[0]; i++) {
        qn_error err;
        make_list(l, corners[i].sizes);
        const qn_status status = qn_mixture_choose(qn_target_find(corners[i].target), &corners[i].sizes->model, NULL,
                                                   l->tensors, l->n, &err);
        assert_true(status == QN_OK || status == QN_E_UNSUPPORTED);
        assert_type(l, corners[i].target, corners[i].name, corners[i].type);
    }
    make_list(l, &odd);
    qn_error err;
    assert_status(&err, qn_mixture_choose(qn_target_find("Q1_0"), &odd.model, NULL, l->tensors, l->n, &err),
                  QN_E_UNSUPPORTED);
    assert_message_has(&err, "Q1_0");
    free(l);
}

static void test_kept(void **state) {
    static const struct {
        const char *name;
        qn_shape shape;
        bool is_kept;
    } cases[] = {
        {"blk.0.attn_norm.weight", {2, {64, 256}}, true},
        {"blk.0.attn_q_norm.weight", {2, {64, 256}}, true},
        {"blk.0.attn_q.bias", {2, {64, 256}}, true},
        {"blk.0.attn_q.weight", {1, {256}}, true},
        {"blk.0.attn_q.weight", {3, {1, 1, 256}}, true},
        {"blk.0.attn_q.weight", {3, {1, 64, 256}}, false},
        {"blk.0.attn_q.weight", {0, {0}}, true},
        {"blk.0.ffn_gate_inp.weight", {2, {64, 256}}, true},
        {"blk.0.ffn_gate_inp_shexp.weight", {2, {64, 256}}, false},
        {"blk.0.ssm_conv1d.weight", {2, {64, 256}}, true},
        {"blk.0.time_mix_w1.weight", {2, {64, 256}}, true},
        {"blk.0.time_mix_key.weight", {2, {64, 256}}, false},
        {"position_embd.weight", {2, {64, 256}}, true},
        {"v.position_embd.weight", {2, {64, 256}}, true},
        {"token_types.weight", {2, {64, 256}}, true},
        {"rope_freqs.weight", {1, {64}}, true},
        {"blk.0.ssm_in.weight", {2, {64, 256}}, false},
    };
    const qn_mixture_model model = {"llama", 4, 8, 8, 0, false};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_mixture_tensor t = {.name = cases[i].name, .shape = cases[i].shape, .unquantized = QN_BF16};
        qn_error err;
        assert_ok(&err, qn_mixture_choose(qn_target_find("Q8_0"), &model, NULL, &t, 1, &err));
        assert_int_equal(t.type, cases[i].is_kept ? QN_BF16 : QN_Q8_0);
        assert_ok(&err, qn_mixture_choose(qn_target_find("F16"), &model, NULL, &t, 1, &err));
        assert_int_equal(t.type, cases[i].is_kept ? QN_BF16 : QN_F16);
    }
}

/* What options ask for, on the sample's shape, tied and untied. */
static const sizes tied = {{"llama", 4, 8, 4, 0, false}, 256, 768, 2048, 32, true};
static const sizes untied = {{"llama", 4, 8, 4, 0, false}, 256, 768, 2048, 32, false};
static const sizes uneven = {{"llama", 4, 8, 4, 0, false}, 288, 768, 2048, 36, false};
static const qn_type_rule first_wins[] = {{"attn_v", QN_Q8_0}, {"attn", QN_Q5_K}, {"blk\\.0\\.", QN_F16}};
static const qn_type_rule upper_case[] = {{"^BLK\\.[12]\\.FFN_DOWN\\.weight$", QN_Q4_0}};
static const qn_type_rule first_value[] = {{"blk.0.attn_v", QN_Q8_0}};
static const qn_type_rule norms[] = {{"norm", QN_Q8_0}, {"token_embd|output", QN_Q5_0}};
static const struct {
    const sizes *sizes;
    const char *target;
    qn_mixture_options options;
    const char *name;
    const char *type;
} asked[] = {
    {&tied, "Q4_K_M", {.is_pure = true}, "blk.3.attn_v.weight", "Q4_K"},
    {&tied, "Q4_K_M", {.is_pure = true}, "token_embd.weight", "Q4_K"},
    {&tied, "Q4_K_M", {.is_pure = true}, "output_norm.weight", "F32"},
    {&uneven, "Q4_K_M", {.is_pure = true}, "blk.3.attn_v.weight", "Q5_0"},
    {&uneven, "Q4_K_M", {.is_pure = true}, "blk.3.ffn_down.weight", "Q4_K"},
    {&untied, "Q4_K_M", {.leaves_output = true}, "output.weight", "F16"},
    {&untied,
     "Q4_K_M",
     {.leaves_output = true, .has_output_type = true, .output_type = QN_Q8_0},
     "output.weight",
     "F16"},
    {&untied, "Q4_K_M", {.leaves_output = true}, "token_embd.weight", "Q4_K"},
    {&tied, "Q4_K_M", {.leaves_output = true}, "token_embd.weight", "Q6_K"},
    {&untied, "Q4_K_M", {.has_output_type = true, .output_type = QN_Q8_0}, "output.weight", "Q8_0"},
    {&untied, "Q4_K_M", {.has_output_type = true, .output_type = QN_Q8_0}, "token_embd.weight", "Q4_K"},
    {&tied, "Q4_K_M", {.has_output_type = true, .output_type = QN_Q8_0}, "token_embd.weight", "Q8_0"},
    {&untied, "Q4_K_M", {.has_embedding_type = true, .embedding_type = QN_Q3_K}, "token_embd.weight", "Q3_K"},
    {&untied, "Q4_K_M", {.has_embedding_type = true, .embedding_type = QN_Q3_K}, "output.weight", "Q6_K"},
    {&tied,
     "Q4_K_M",
     {.has_embedding_type = true, .embedding_type = QN_Q3_K, .has_output_type = true, .output_type = QN_Q8_0},
     "token_embd.weight",
     "Q3_K"},
    {&uneven, "Q4_K_M", {.has_output_type = true, .output_type = QN_Q6_K}, "output.weight", "Q8_0"},
    {&untied, "F16", {.has_output_type = true, .output_type = QN_Q8_0}, "output.weight", "Q8_0"},
    {&untied, "Q4_K_M", {.is_pure = true, .has_output_type = true, .output_type = QN_Q8_0}, "output.weight", "Q8_0"},
    {&untied, "Q4_K_M", {.rules = first_wins, .n_rules = 3}, "blk.0.attn_v.weight", "Q8_0"},
    {&untied, "Q4_K_M", {.rules = first_wins, .n_rules = 3}, "blk.0.attn_q.weight", "Q5_K"},
    {&untied, "Q4_K_M", {.rules = first_wins, .n_rules = 3}, "blk.0.ffn_up.weight", "F16"},
    {&untied, "Q4_K_M", {.rules = first_wins, .n_rules = 3}, "blk.1.ffn_up.weight", "Q4_K"},
    {&untied, "Q4_K_M", {.rules = first_wins, .n_rules = 3, .is_pure = true}, "blk.3.attn_v.weight", "Q8_0"},
    {&uneven, "Q4_K_M", {.rules = first_wins, .n_rules = 3}, "blk.0.attn_q.weight", "Q5_1"},
    {&untied, "Q4_K_M", {.rules = upper_case, .n_rules = 1}, "blk.2.ffn_down.weight", "Q4_0"},
    /* llama-quantize does not count what options typed: layer 3 has the second matrix, and is not one of the last */
    {&untied, "Q4_K_M", {.rules = upper_case, .n_rules = 1}, "blk.3.ffn_down.weight", "Q4_K"},
    {&tied, "Q3_K_M", {.rules = first_value, .n_rules = 1}, "blk.0.attn_v.weight", "Q8_0"},
    {&tied, "Q3_K_M", {.rules = first_value, .n_rules = 1}, "blk.2.attn_v.weight", "Q5_K"},
    {&tied, "Q3_K_M", {.rules = first_value, .n_rules = 1}, "blk.3.attn_v.weight", "Q4_K"},
    {&untied, "Q4_K_M", {.rules = upper_case, .n_rules = 1}, "blk.0.ffn_down.weight", "Q4_K"},
    {&untied, "Q4_K_M", {.rules = norms, .n_rules = 2}, "blk.0.attn_norm.weight", "F32"},
    {&untied, "Q4_K_M", {.rules = norms, .n_rules = 2}, "output.weight", "Q5_0"},
    {&untied,
     "Q4_K_M",
     {.rules = norms, .n_rules = 2, .has_output_type = true, .output_type = QN_Q8_0},
     "output.weight",
     "Q8_0"},
};

static void test_options(void **state) {
    list *l = new_list();
    (void)state;
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        qn_error err;
        make_list(l, asked[i].sizes);
        assert_ok(&err,
                  qn_mixture_choose(qn_target_find(asked[i].target), &asked[i].sizes->model, &asked[i].options,
                                    l->tensors, l->n, &err));
        if (strcmp(qn_dtype_get((uint32_t)type_of(l, asked[i].name))->name, asked[i].type) != 0) {
            print_error("case %zu:\n", i);
        }
        assert_type(l, asked[i].target, asked[i].name, asked[i].type);
    }
    static const qn_type_rule broken = {"attn_(v", QN_Q8_0};
    static const qn_type_rule slow = {"^(((.+)+)+)+[=!]$", QN_Q8_0};
    static const struct {
        const qn_type_rule *rule;
        const char *told;
    } refused[] = {{&broken, "pattern 'attn_(v' is no regular expression: "}, {&slow, "takes too many steps"}};
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        const qn_mixture_options options = {.rules = refused[i].rule, .n_rules = 1};
        qn_error err;
        assert_status(&err, qn_mixture_choose(qn_target_find("Q8_0"), &tied.model, &options, l->tensors, l->n, &err),
                      QN_E_USAGE);
        assert_message_has(&err, refused[i].told);
    }
    free(l);
}

/* Types that come out useless without importance, by target or rule, with and without a matrix and its entry. */
static void test_importance(void **state) {
    static const qn_type_rule low = {"attn_q", QN_IQ2_XXS};
    static const qn_type_rule low_embedding = {"token_embd", QN_IQ2_XXS};
    static const struct {
        const char *target;
        const qn_type_rule *rule;
        bool has_imatrix;
        const char *lacks; /* the tensor without an entry */
        const char *told;  /* NULL: fine */
    } cases[] = {
        {"Q4_0", NULL, false, NULL, NULL},
        {"Q2_K_S", NULL, false, NULL, NULL},
        {"Q4_0", &low, true, NULL, NULL},
        {"Q4_0", &low, true, "blk.2.attn_k.weight", NULL},
        {"Q4_0", &low_embedding, false, NULL, NULL},
        {"Q4_0", &low, false, NULL,
         "make one with quern imatrix and give it to quern pack or quern quantize (--imatrix)"},
        {"Q4_0", &low, true, "blk.2.attn_q.weight", "tensor 'blk.2.attn_q.weight' would become IQ2_XXS"},
        {"IQ2_XXS", NULL, true, "blk.3.ffn_up.weight", "tensor 'blk.3.ffn_up.weight' would become IQ2_XXS"},
        {"IQ2_XXS", NULL, true, "token_embd.weight", NULL},
        {"IQ3_XS", NULL, false, NULL, "target IQ3_XS needs an importance matrix"},
    };
    list *l = new_list();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_mixture_model model = tied.model;
        const qn_mixture_options options = {.rules = cases[i].rule, .n_rules = cases[i].rule == NULL ? 0 : 1};
        qn_error err = {QN_OK, ""};
        make_list(l, &tied);
        model.has_imatrix = cases[i].has_imatrix;
        for (uint64_t k = 0; k < l->n; k++) {
            l->tensors[k].has_importance = cases[i].has_imatrix &&
                (cases[i].lacks == NULL || strcmp(l->names[k], cases[i].lacks) != 0);
        }
        const qn_status status = qn_mixture_choose(qn_target_find(cases[i].target), &model, &options, l->tensors, l->n,
                                                   &err);
        if (!has_encoders(l)) {
            continue;
        }
        assert_status(&err, status, cases[i].told == NULL ? QN_OK : QN_E_UNSUPPORTED);
        if (cases[i].told != NULL) {
            assert_message_has(&err, cases[i].told);
            assert_message_has(&err, cases[i].target);
        }
    }
    free(l);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_targets), cmocka_unit_test(test_llama_3_8b), cmocka_unit_test(test_tied),
        cmocka_unit_test(test_sample),  cmocka_unit_test(test_corners),    cmocka_unit_test(test_kept),
        cmocka_unit_test(test_options), cmocka_unit_test(test_importance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
