/* SPDX-License-Identifier: MIT */
/* test_model_mixture.c: folders with experts: stacks, fused layouts, and checkpoints that lack or repeat an expert. */
#include "model/tiny_family.h"

/* What a good checkpoint is made into. */
typedef struct bad_folder {
    const char *family;
    const char *removed; /* NULL */
    const char *added;   /* NULL */
    uint64_t dims[3];
    unsigned n_dims;
    qn_status status;
    const char *message;
} bad_folder;

#define EXPERTS "model.layers.1.mlp.experts."

static const bad_folder bad_folders[] = {
    {"qwen3moe", EXPERTS "3.up_proj.weight", NULL, {0}, 0, QN_E_NOT_FOUND, "'" EXPERTS "3.up_proj.weight'"},
    {"qwen3moe", "model.layers.1.mlp.gate.weight", NULL, {0}, 0, QN_E_NOT_FOUND, "'model.layers.1.mlp.gate.weight'"},
    {"qwen3moe", NULL, EXPERTS "5.up_proj.weight", {32, 32}, 2, QN_E_FORMAT, "of layer 1, expert 5, but"},
    {"qwen3moe", NULL, "model.layers.3.mlp.experts.0.up_proj.weight", {32, 32}, 2, QN_E_FORMAT, "of layer 3, expert 0"},
    {"qwen3moe", NULL, EXPERTS "up_proj.weight", {5, 32, 32}, 3, QN_E_FORMAT, "has no place in a qwen3moe model"},
    {"qwen3moe", NULL, EXPERTS "down_proj", {5, 32, 32}, 3, QN_E_FORMAT, "are the same part of the model"},
    {"qwen3moe", EXPERTS "0.up_proj.weight", EXPERTS "0.up_proj.weight", {32, 31}, 2, QN_E_SHAPE, "[32, 32]"},
    {"mixtral", "model.layers.0.block_sparse_moe.experts.3.w2.weight", NULL, {0}, 0, QN_E_NOT_FOUND, "experts.3.w2"},
    {"mixtral", NULL, "model.layers.0.mlp.up_proj.weight", {64, 32}, 2, QN_E_FORMAT, "has no place in a llama model"},
    {"qwen2moe",
     "model.layers.2.mlp.shared_expert_gate.weight",
     "model.layers.2.mlp.shared_expert_gate.weight",
     {32},
     1,
     QN_E_SHAPE,
     "[1, 32]"},
};

static void test_bad_folders(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof bad_folders / sizeof bad_folders[0]; i++) {
        const bad_folder *bad = &bad_folders[i];
        char *dir = make_temp_dir();
        tiny_list *list = calloc(1, sizeof *list);
        qn_model *model = NULL;
        qn_error err;
        assert_non_null(list);
        write_family(family_named(bad->family), dir, list);
        if (bad->removed != NULL) {
            tiny_remove(list, bad->removed);
        }
        if (bad->added != NULL) {
            tiny_tensor *t = tiny_add(list, bad->added, "F32", bad->n_dims, bad->dims[0], bad->dims[1]);
            t->dims[2] = bad->dims[2];
        }
        tiny_write(list, dir, "model.safetensors");
        const qn_model_request request = {.dir = dir, .without_vocab = true};
        const qn_status status = qn_model_open(&request, &model, &err);
        if (status != bad->status || strstr(err.message, bad->message) == NULL) {
            print_error("row %zu: %s, wanted %s with '%s': %s\n", i, qn_status_name(status),
                        qn_status_name(bad->status), bad->message, status == QN_OK ? "" : err.message);
            fail();
        }
        free(list);
        remove_temp_dir(dir);
    }
}

static bool is_of_layer_1(const tiny_tensor *t) {
    return strncmp(t->name, EXPERTS, sizeof EXPERTS - 1) == 0;
}

/* Experts of one layer in two tensors, of the others in many: rows are found where they are, each expert's in turn. */
static void test_fused(void **state) {
    char *dir = make_temp_dir();
    tiny_list *list = calloc(1, sizeof *list);
    tiny_list *rest = calloc(1, sizeof *rest);
    qn_model *model = NULL;
    qn_error err;
    (void)state;
    assert_non_null(list);
    assert_non_null(rest);
    write_family(family_named("qwen3moe"), dir, list);
    for (size_t i = 0; i < list->n; i++) {
        if (!is_of_layer_1(&list->tensors[i])) {
            rest->tensors[rest->n++] = list->tensors[i];
        }
    }
    tiny_tensor *both = tiny_add(rest, EXPERTS "gate_up_proj", "F32", 3, 5, 64);
    both->dims[2] = 32;
    tiny_add(rest, EXPERTS "down_proj", "F32", 3, 5, 32)->dims[2] = 32;
    tiny_write(rest, dir, "model.safetensors");
    assert_ok(&err, qn_model_open(&(qn_model_request){.dir = dir, .without_vocab = true}, &model, &err));
    qn_buffer bytes = {0};
    tiny_values(both, &bytes);
    const float *fused = (const float *)(const void *)bytes.data;
    float *gate = values_of(model, "blk.1.ffn_gate_exps.weight");
    float *up = values_of(model, "blk.1.ffn_up_exps.weight");
    for (size_t expert = 0; expert < 5; expert++) {
        const size_t n = 32 * 32;
        assert_memory_equal(gate + expert * n, fused + 2 * expert * n, n * sizeof *gate);
        assert_memory_equal(up + expert * n, fused + (2 * expert + 1) * n, n * sizeof *up);
    }
    assert_int_equal(find_tensor(model, "blk.1.ffn_up_exps.weight")->shape.n_dims, 3);
    assert_int_equal(find_tensor(model, "blk.1.ffn_up_exps.weight")->shape.dims[0], 5);
    free(gate);
    free(up);
    qn_buffer_clear(&bytes);
    qn_model_close(model);
    /* A size that is not the experts'. */
    both->dims[1] = 63;
    tiny_write(rest, dir, "model.safetensors");
    assert_status(&err, qn_model_open(&(qn_model_request){.dir = dir, .without_vocab = true}, &model, &err),
                  QN_E_SHAPE);
    assert_message_has(&err, "calls for [5, 64, 32]");
    free(list);
    free(rest);
    remove_temp_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bad_folders),
        cmocka_unit_test(test_fused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
