/* SPDX-License-Identifier: MIT */
/* test_preset.c: presets with types and adapters: what comes out, or the exact sentence that says why not. */
#include "support.h"

#include "pack/preset.h"

typedef struct preset_case {
    const char *preset;
    const char *types;
    bool has_adapter;
    qn_status status;
    const char *wanted; /* "merges gguf unquantized: Q4_K_M", or the message; its beginning when it ends in "…" */
} preset_case;

#define NO_TYPES_MERGE "preset merge does not quantise: leave out the types, or use preset merge-quantize or custom"
#define NO_TYPES_LORA \
    "preset lora writes the adapter alone and does not quantise: leave out the types, or use preset custom"
#define NO_ADAPTER \
    "preset quantize works on the base alone: leave out --run and --adapter, or use preset merge-quantize"
#define NEEDS_TYPES "preset custom needs types: name them as in -t Q4_K_M,Q8_0"
#define NO_PRESET(name) "there is no preset '" name "': use merge-quantize, merge, quantize, lora, copy or custom"

static const preset_case cases[] = {
    {NULL, NULL, true, QN_OK, "merge-quantize merges gguf unquantized: Q4_K_M"},
    {NULL, NULL, false, QN_OK, "merge-quantize gguf unquantized: Q4_K_M"},
    {NULL, "Q8_0", true, QN_OK, "custom merges gguf: Q8_0"},
    {NULL, "Q8_0", false, QN_OK, "custom gguf: Q8_0"},
    {"merge-quantize", NULL, true, QN_OK, "merge-quantize merges gguf unquantized: Q4_K_M"},
    {"merge-quantize", "Q8_0,Q6_K", true, QN_OK, "merge-quantize merges gguf unquantized: Q8_0 Q6_K"},
    {"merge", NULL, true, QN_OK, "merge merges gguf unquantized:"},
    {"merge", NULL, false, QN_OK, "merge gguf unquantized:"},
    {"merge", "Q8_0", true, QN_E_USAGE, NO_TYPES_MERGE},
    {"quantize", NULL, false, QN_OK, "quantize gguf unquantized: Q4_K_M"},
    {"quantize", "Q5_K_S", false, QN_OK, "quantize gguf unquantized: Q5_K_S"},
    {"quantize", NULL, true, QN_E_USAGE, NO_ADAPTER},
    {"quantize", "Q8_0", true, QN_E_USAGE, NO_ADAPTER},
    {"lora", NULL, true, QN_OK, "lora adapter gguf:"},
    {"lora", NULL, false, QN_E_USAGE, "preset lora writes an adapter: name one with --run or --adapter"},
    {"lora", "Q8_0", true, QN_E_USAGE, NO_TYPES_LORA},
    {"custom", "F16", true, QN_OK, "custom merges gguf: F16"},
    {"custom", NULL, true, QN_E_USAGE, NEEDS_TYPES},
    {"custom", NULL, false, QN_E_USAGE, NEEDS_TYPES},
    {"", NULL, false, QN_E_USAGE, NO_PRESET("")},
    {"Merge", NULL, false, QN_E_USAGE, NO_PRESET("Merge")},
    {"quantise", NULL, false, QN_E_USAGE, NO_PRESET("quantise")},
    /* The list of types. */
    {NULL, "q4_k_m, bf16 ,F32", false, QN_OK, "custom gguf: Q4_K_M BF16 F32"},
    {NULL, "Q4_K_M,Q8_0,q4_k_m,Q4_K,Q8_0", false, QN_OK, "custom gguf: Q4_K_M Q8_0"},
    {NULL, "Q2_K,Q2_K_S,Q3_K_S,Q3_K_M,Q3_K_L,Q4_0,Q4_1,Q5_0,Q5_1,Q4_K_S,Q5_K_M", false, QN_OK,
     "custom gguf: Q2_K Q2_K_S Q3_K_S Q3_K_M Q3_K_L Q4_0 Q4_1 Q5_0 Q5_1 Q4_K_S Q5_K_M"},
    {NULL, "", false, QN_E_USAGE, "a type's name is missing in '': name them as in Q4_K_M,Q8_0"},
    {NULL, "Q8_0,,F16", false, QN_E_USAGE, "a type's name is missing in 'Q8_0,,F16': name them as in Q4_K_M,Q8_0"},
    {NULL, "Q8_0, ", false, QN_E_USAGE, "a type's name is missing in 'Q8_0, ': name them as in Q4_K_M,Q8_0"},
    {NULL, "Q4_K_N", false, QN_E_USAGE, "there is no type 'Q4_K_N': did you mean …"},
    {"copy", NULL, false, QN_OK, "copy gguf unquantized:"},
    {"copy", NULL, true, QN_OK, "copy merges gguf unquantized:"},
    {"copy", "Q8_0", false, QN_E_USAGE, "preset copy leaves every type as it is: …"},
    {NULL, "copy,Q8_0,COPY", false, QN_OK, "custom gguf: COPY Q8_0"},
    {NULL, "q8", false, QN_E_USAGE, "there is no type 'q8': did you mean …"},
    {NULL, "Q8_0,something-else-entirely", false, QN_E_USAGE, "there is no type 'something-else-entirely': …"},
    {"merge-quantize", "Q4_K_M;Q8_0", false, QN_E_USAGE, "there is no type 'Q4_K_M;Q8_0': …"},
};

/* "custom merges gguf: F16" */
static void describe(const qn_preset *preset, char *text, size_t size) {
    size_t n = (size_t)snprintf(text, size, "%s%s%s%s%s:", preset->name, preset->merges ? " merges" : "",
                                preset->exports_adapter ? " adapter" : "", preset->to_gguf ? " gguf" : "",
                                preset->keeps_unquantized ? " unquantized" : "");
    for (size_t i = 0; i < preset->n_targets && n < size; i++) {
        n += (size_t)snprintf(text + n, size - n, " %s", preset->targets[i]->name);
    }
}

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const preset_case *k = &cases[i];
        const size_t n = strlen(k->wanted) - (strstr(k->wanted, "…") == NULL ? 0 : strlen("…"));
        qn_preset preset;
        qn_error err;
        char found[sizeof err.message];
        assert_status(&err, qn_preset_resolve(k->preset, k->types, k->has_adapter, false, &preset, &err), k->status);
        if (k->status == QN_OK) {
            describe(&preset, found, sizeof found);
        } else {
            (void)snprintf(found, sizeof found, "%s", err.message);
        }
        if (strncmp(found, k->wanted, n) != 0 || (n == strlen(k->wanted) && found[n] != '\0')) {
            fail_msg("case %zu: %s\n  wanted: %s", i, found, k->wanted);
        }
    }
}

/* A size in place of a type is one more target, and stands in for the default. */
static void test_budget(void **state) {
    qn_preset preset;
    qn_error err;
    (void)state;
    assert_ok(&err, qn_preset_resolve(NULL, NULL, false, true, &preset, &err));
    assert_int_equal(preset.n_targets, 1);
    assert_ptr_equal(preset.targets[0], &qn_budget_target);
    assert_false(preset.keeps_unquantized);
    assert_ok(&err, qn_preset_resolve(NULL, "Q8_0", false, true, &preset, &err));
    assert_int_equal(preset.n_targets, 2);
    assert_status(&err, qn_preset_resolve("merge", NULL, false, true, &preset, &err), QN_E_USAGE);
}

/* The nearest names are told, and the one that was meant is among them. */
static void test_nearest(void **state) {
    static const char *const names[][2] = {{"Q4KM", "Q4_K_M"}, {"q5_k_x", "Q5_K_"}, {"fp16", "F16"}, {"Q8", "Q8_0"}};
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        qn_preset preset;
        qn_error err;
        assert_status(&err, qn_preset_resolve(NULL, names[i][0], false, false, &preset, &err), QN_E_USAGE);
        assert_message_has(&err, names[i][1]);
    }
}

/* Every target either resolves or, its encoder missing, is told from a wrong name. */
static void test_every_target(void **state) {
    (void)state;
    for (uint64_t i = 0; qn_target_at(i) != NULL; i++) {
        const qn_target *target = qn_target_at(i);
        const qn_dtype_info *info = qn_dtype_get((uint32_t)target->base);
        qn_preset preset;
        qn_error err;
        assert_non_null(info);
        assert_status(&err, qn_preset_resolve("custom", target->name, false, false, &preset, &err),
                      info->has_encoder ? QN_OK : QN_E_UNSUPPORTED);
        if (info->has_encoder) {
            assert_ptr_equal(preset.targets[0], target);
        } else {
            assert_message_has(&err, target->name);
            assert_message_has(&err, "is not available yet: use one of F32, ");
            assert_message_has(&err, "Q4_K_M");
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_budget),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_every_target),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
