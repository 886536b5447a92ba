/* SPDX-License-Identifier: MIT */
/* test_safetensors_layout.c: headers that our reader reads back; types, names and sizes that are refused. */
#include "container/safetensors.h"

#include "support.h"

static void test_round_trip(void **state) {
    qn_placed_tensor tensors[] = {
        {.name = "model.embed_tokens.weight", .type = QN_BF16, .shape = {2, {5, 3}}},
        {.name = "b \"quoted\" \xC3\xA4", .type = QN_F32, .shape = {1, {7}}},
        {.name = "empty", .type = QN_F16, .shape = {2, {0, 4}}},
        {.name = "scalar", .type = QN_F32, .shape = {0, {0}}},
        {.name = "deep", .type = QN_F16, .shape = {4, {2, 1, 3, 2}}},
    };
    enum { N = sizeof tensors / sizeof tensors[0] };
    char *dir = make_temp_dir();
    qn_buffer file = {0};
    uint64_t size = 0;
    qn_archive *archive = NULL;
    qn_error err;
    (void)state;
    assert_ok(&err, qn_safetensors_layout(tensors, N, &file, &size, &err));
    assert_int_equal(file.len % 8, 0);
    assert_int_equal(tensors[0].file_off, file.len);
    assert_int_equal(size, file.len + 30 + 28 + 0 + 4 + 24);
    assert_memory_equal(file.data + 8, "{\"__metadata__\":{\"format\":\"pt\"}", 31);
    qn_buffer_zeros(&file, (size_t)size - file.len);
    char *path = write_file(dir, "model.safetensors", file.data, file.len);
    assert_ok(&err, qn_safetensors_open(path, &archive, &err));
    assert_int_equal(qn_archive_n_tensors(archive), N);
    for (size_t i = 0; i < N; i++) {
        const qn_archive_tensor *t = qn_archive_find(archive, tensors[i].name);
        assert_non_null(t);
        assert_int_equal(t->type, tensors[i].type);
        assert_int_equal(t->file_off, tensors[i].file_off);
        assert_int_equal(t->size_bytes, tensors[i].size_bytes);
        assert_int_equal(t->shape.n_dims, tensors[i].shape.n_dims);
        assert_memory_equal(t->shape.dims, tensors[i].shape.dims, t->shape.n_dims * sizeof t->shape.dims[0]);
    }
    assert_string_equal(qn_meta_string(qn_archive_meta(archive), "format"), "pt");
    qn_archive_close(archive);
    free(path);
    qn_buffer_clear(&file);
    remove_temp_dir(dir);
}

static const struct {
    qn_placed_tensor tensors[2];
    uint64_t n;
    qn_status status;
    const char *has;
} refusals[] = {
    {{{.name = "a", .type = QN_Q8_0, .shape = {1, {32}}}}, 1, QN_E_UNSUPPORTED, "tensor 'a': safetensors has no"},
    {{{.name = "a", .type = QN_F32, .shape = {1, {1}}}, {.name = "a", .type = QN_F32, .shape = {1, {1}}}},
     2,
     QN_E_RANGE,
     "named 'a'"},
    {{{.name = "__metadata__", .type = QN_F32, .shape = {1, {1}}}}, 1, QN_E_RANGE, "named '__metadata__'"},
    {{{.name = "\xFF", .type = QN_F32, .shape = {1, {1}}}}, 1, QN_E_RANGE, "not UTF-8"},
    {{{.name = "a", .type = QN_F32, .shape = {2, {1ULL << 40, 1ULL << 40}}}}, 1, QN_E_RANGE, "'a'"},
    {{{.name = "a", .type = QN_F16, .shape = {1, {1ULL << 61}}},
      {.name = "b", .type = QN_F16, .shape = {1, {1ULL << 61}}}},
     2,
     QN_E_RANGE,
     "tensor 'b': the file would be larger than 2^63"},
};

static void test_refusals(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        qn_placed_tensor tensors[2] = {refusals[i].tensors[0], refusals[i].tensors[1]};
        qn_buffer header = {0};
        uint64_t size = 0;
        qn_error err;
        assert_status(&err, qn_safetensors_layout(tensors, refusals[i].n, &header, &size, &err), refusals[i].status);
        assert_message_has(&err, refusals[i].has);
        qn_buffer_clear(&header);
    }
}

static void test_none(void **state) {
    qn_buffer header = {0};
    uint64_t size = 0;
    qn_error err;
    (void)state;
    assert_ok(&err, qn_safetensors_layout(NULL, 0, &header, &size, &err));
    assert_int_equal(size, header.len);
    qn_buffer_clear(&header);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
