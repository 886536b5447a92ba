/* SPDX-License-Identifier: MIT */
/* test_safetensors.c: one file: what is read from a good one, and one line for each way to be broken. */
#include "support.h"

#include "base/buffer.h"
#include "container/safetensors.h"
#include "container/source.h"

static void build(qn_buffer *b, const char *json, size_t n_data) {
    qn_buffer_u64(b, strlen(json));
    qn_buffer_text(b, json);
    for (size_t i = 0; i < n_data; i++) {
        qn_buffer_u8(b, (uint8_t)i);
    }
}

static qn_status parse(const void *bytes, size_t n, qn_error *err) {
    unsigned char *exact = malloc(n == 0 ? 1 : n);
    qn_archive *archive = qn_archive_new("safetensors");
    assert_non_null(exact);
    memcpy(exact, bytes, n);
    const qn_source source = {"model.safetensors", exact, n, NULL};
    qn_status status = qn_safetensors_parse(archive, &source, qn_archive_own_meta(archive), err);
    if (status == QN_OK) {
        status = qn_archive_seal(archive, err);
    }
    qn_archive_close(archive);
    free(exact);
    return status;
}

#define GOOD                                                                                            \
    "{\"__metadata__\":{\"format\":\"pt\",\"k\":\"\\u00e9\"},\"b\":{\"dtype\":\"F16\",\"shape\":[2,3]," \
    "\"data_offsets\":[4,16]},\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"           \
    "\"empty\":{\"dtype\":\"I64\",\"shape\":[0,7],\"data_offsets\":[16,16]},"                           \
    "\"\\u2581x\":{\"dtype\":\"BOOL\",\"shape\":[2],\"data_offsets\":[16,18]}}      "

static void reads_a_good_file(void **state) {
    (void)state;
    qn_buffer b = {0};
    qn_archive *a = NULL;
    qn_error err;
    build(&b, GOOD, 18);
    char *dir = make_temp_dir();
    char *path = write_file(dir, "model.safetensors", b.data, b.len);
    assert_ok(&err, qn_safetensors_open(path, &a, &err));
    assert_string_equal(qn_archive_format(a), "safetensors");
    assert_int_equal(qn_archive_n_tensors(a), 4);
    assert_string_equal(qn_archive_tensor_at(a, 0)->name, "a"); /* in the order of the data */
    assert_string_equal(qn_archive_tensor_at(a, 3)->name, "\xe2\x96\x81x");
    const qn_archive_tensor *t = qn_archive_find(a, "b");
    assert_int_equal(t->type, QN_F16);
    assert_int_equal(t->shape.n_dims, 2);
    assert_int_equal(t->shape.dims[0], 2);
    assert_int_equal(t->shape.dims[1], 3);
    assert_int_equal(t->size_bytes, 12);
    assert_int_equal(t->file_off, b.len - 18 + 4);
    unsigned char bytes[2];
    assert_ok(&err, qn_file_read_at(t->file, t->file_off, bytes, 2, &err));
    assert_int_equal(bytes[0], 4);
    assert_int_equal(qn_archive_find(a, "a")->shape.n_dims, 0);
    assert_int_equal(qn_archive_find(a, "a")->size_bytes, 4);
    assert_int_equal(qn_archive_find(a, "empty")->size_bytes, 0);
    assert_int_equal(qn_archive_find(a, "\xe2\x96\x81x")->type, QN_BOOL);
    assert_int_equal(qn_archive_meta(a)->n, 2);
    assert_string_equal(qn_meta_string(qn_archive_meta(a), "format"), "pt");
    assert_string_equal(qn_meta_string(qn_archive_meta(a), "k"), "\xc3\xa9");
    qn_archive_close(a);
    free(path);
    remove_temp_dir(dir);
    qn_buffer_clear(&b);
}

static void reads_the_sample_models(void **state) {
    (void)state;
    qn_archive *a = NULL;
    qn_error err;
    assert_ok(&err, qn_safetensors_open(QN_SAMPLES_DIR "/miller-base/model.safetensors", &a, &err));
    assert_true(qn_archive_n_tensors(a) > 10);
    qn_archive_close(a);
    assert_ok(&err,
              qn_safetensors_open(QN_SAMPLES_DIR "/miller-sft/checkpoint-400/adapter_model.safetensors", &a, &err));
    assert_true(qn_archive_n_tensors(a) > 10);
    qn_archive_close(a);
}

#define ONE(dtype, shape, offsets) "{\"w\":{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}}"
#define F4(name, offsets) "\"" name "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":" offsets "}"

static const struct {
    const char *json;
    size_t n_data;
    qn_status status;
    const char *told;
} CASES[] = {
    {"{}", 0, QN_OK, ""},
    {"{\"__metadata__\":{}}  ", 0, QN_OK, ""},
    {ONE("F32", "[1]", "[0,4]"), 4, QN_OK, ""},
    {ONE("U16", "[3]", "[0,6]"), 6, QN_OK, ""},
    {ONE("F64", "[1,1,1,1,1,1,1,2]", "[0,16]"), 16, QN_OK, ""},
    {"{" F4("b", "[4,8]") "," F4("a", "[0,4]") "}", 8, QN_OK, ""},

    {"[]", 0, QN_E_FORMAT, "does not begin with a header's length"},
    {" {}", 0, QN_E_FORMAT, "does not begin with a header's length"},
    {"{", 0, QN_E_FORMAT, "not a safetensors file"},
    {"{\"w\":1,", 0, QN_E_FORMAT, "byte 15: the header is not valid JSON"},
    {"{} x", 0, QN_E_FORMAT, "end of file expected"},
    {"{\"w\":1}", 0, QN_E_FORMAT, "tensor 'w': a JSON object is expected"},
    {"{\"__metadata__\":[]}", 0, QN_E_FORMAT, "__metadata__ is not a JSON object"},
    {"{\"__metadata__\":{\"k\":1}}", 0, QN_E_FORMAT, "__metadata__ 'k' is not a text"},
    {"{\"__metadata__\":{\"k\":\"a\",\"k\":\"b\"}}", 0, QN_E_FORMAT, "duplicate object key"},
    {"{" F4("w", "[0,4]") "," F4("w", "[4,8]") "}", 8, QN_E_FORMAT, "duplicate object key"},
    {"{" F4("a\\u0000b", "[0,4]") "}", 4, QN_E_FORMAT, "not valid JSON"},
    {"{" F4("a\xff", "[0,4]") "}", 4, QN_E_FORMAT, "unable to decode byte 0xff"},
    {"{" F4("a\\ud800", "[0,4]") "}", 4, QN_E_FORMAT, "not valid JSON"},

    {"{\"w\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, QN_E_FORMAT, "tensor 'w': has no \"dtype\" text"},
    {"{\"w\":{\"dtype\":7,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, QN_E_FORMAT, "has no \"dtype\" text"},
    {ONE("F33", "[1]", "[0,4]"), 4, QN_E_UNSUPPORTED, "tensor 'w' is of unknown type 'F33'"},
    {ONE("f32", "[1]", "[0,4]"), 4, QN_E_UNSUPPORTED, "unknown type 'f32'"},
    {ONE("F8_E4M3", "[4]", "[0,4]"), 4, QN_E_UNSUPPORTED,
     "tensor 'w' is of type F8_E4M3: float8 weights are not supported yet"},
    {ONE("F8_E5M2", "[4]", "[0,4]"), 4, QN_E_UNSUPPORTED, "float8"},
    {ONE("F4", "[8]", "[0,4]"), 4, QN_E_UNSUPPORTED, "not supported yet"},
    {ONE("C64", "[1]", "[0,8]"), 8, QN_E_UNSUPPORTED, "complex"},

    {"{\"w\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, QN_E_FORMAT, "has no \"shape\" list"},
    {ONE("F32", "1", "[0,4]"), 4, QN_E_FORMAT, "has no \"shape\" list"},
    {ONE("F32", "[-1]", "[0,4]"), 4, QN_E_FORMAT, "is not a count"},
    {ONE("F32", "[1.0]", "[0,4]"), 4, QN_E_FORMAT, "is not a count"},
    {ONE("F32", "[\"1\"]", "[0,4]"), 4, QN_E_FORMAT, "is not a count"},
    {ONE("F32", "[true]", "[0,4]"), 4, QN_E_FORMAT, "is not a count"},
    {ONE("F32", "[1,1,1,1,1,1,1,1,1]", "[0,4]"), 4, QN_E_UNSUPPORTED, "9 dimensions; quern reads up to 8"},
    {ONE("F32", "[4294967296,4294967296]", "[0,0]"), 0, QN_E_FORMAT, "more than 2^63 elements"},
    {ONE("F32", "[9223372036854775807]", "[0,0]"), 0, QN_E_FORMAT, "tensor 'w'"},
    {ONE("F32", "[9223372036854775808]", "[0,0]"), 0, QN_E_FORMAT, "too big integer"},
    {ONE("F32", "[4611686018427387905,4]", "[0,16]"), 16, QN_E_FORMAT, "more than 2^63 elements"},
    {ONE("F32", "[4294967296,4294967296,0]", "[0,0]"), 0, QN_E_FORMAT, "more than 2^63 elements"},

    {"{\"w\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, QN_E_FORMAT, "\"data_offsets\" is not a list of two counts"},
    {ONE("F32", "[1]", "[0]"), 4, QN_E_FORMAT, "two counts"},
    {ONE("F32", "[1]", "[0,4,8]"), 4, QN_E_FORMAT, "two counts"},
    {ONE("F32", "[1]", "[-4,0]"), 4, QN_E_FORMAT, "two counts"},
    {ONE("F32", "[1]", "[0,4.0]"), 4, QN_E_FORMAT, "two counts"},
    {ONE("F32", "[1]", "{\"0\":0,\"1\":4}"), 4, QN_E_FORMAT, "two counts"},
    {ONE("F32", "[1]", "[4,0]"), 4, QN_E_FORMAT, "its data_offsets run from 4 to 0"},
    {ONE("F32", "[2]", "[0,4]"), 4, QN_E_FORMAT,
     "of shape [2] and type F32 needs 8 bytes; its data_offsets run from 0 to 4"},
    {ONE("BF16", "[]", "[0,4]"), 4, QN_E_FORMAT, "of shape [] and type BF16 needs 2 bytes"},

    {ONE("F32", "[1]", "[4,8]"), 8, QN_E_FORMAT,
     "tensor 'w' begins at byte 4 of the data, leaving a hole after byte 0"},
    {"{" F4("a", "[0,4]") "," F4("b", "[8,12]") "}", 12, QN_E_FORMAT, "leaving a hole after byte 4 where 'a' ends"},
    {"{" F4("a", "[0,4]") "," F4("b", "[2,6]") "}", 6, QN_E_FORMAT,
     "tensor 'b' begins at byte 2 of the data, overlapping"},
    {"{" F4("a", "[0,4]") "," F4("b", "[0,4]") "}", 4, QN_E_FORMAT, "overlapping"},
    {ONE("F32", "[1]", "[0,4]"), 5, QN_E_FORMAT, "1 bytes behind the last tensor"},
    {"{}", 4, QN_E_FORMAT, "4 bytes behind the last tensor"},
    {ONE("F32", "[512]", "[0,2048]"), 1000, QN_E_FORMAT, "is cut off: it has 1,0"},
    {ONE("F32", "[512]", "[0,2048]"), 1000, QN_E_FORMAT, "1,048 are missing: the download is incomplete"},
    {ONE("I8", "[9223372036854775807]", "[0,9223372036854775807]"), 0, QN_E_FORMAT,
     "9,223,372,036,854,775,807 are missing"},
};

static void broken_headers_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        qn_buffer b = {0};
        qn_error err = {0};
        build(&b, CASES[i].json, CASES[i].n_data);
        const qn_status status = parse(b.data, b.len, &err);
        if (status != CASES[i].status || strstr(err.message, CASES[i].told) == NULL) {
            print_error("case %zu: %s\n", i, CASES[i].json);
        }
        assert_status(&err, status, CASES[i].status);
        assert_message_has(&err, CASES[i].told);
        if (status != QN_OK) {
            assert_int_equal(err.status, status);
            assert_memory_equal(err.message, "model.safetensors: ", 19);
        }
        qn_buffer_clear(&b);
    }
}

static void a_file_cut_at_any_byte_is_refused(void **state) {
    (void)state;
    qn_buffer b = {0};
    qn_error err;
    build(&b, GOOD, 18);
    assert_ok(&err, parse(b.data, b.len, &err));
    for (size_t cut = 0; cut < b.len; cut++) {
        assert_status(&err, parse(b.data, cut, &err), QN_E_FORMAT);
        if (cut > 16) {
            assert_message_has(&err, "is cut off");
        }
    }
    qn_buffer_clear(&b);
}

static void header_lengths_are_limited(void **state) {
    (void)state;
    static const struct {
        uint64_t length;
        const char *told;
    } cases[] = {
        {0, "not a safetensors file"},
        {1, "not a safetensors file"},
        {100000001, "2 to 100,000,000"},
        {UINT64_C(1) << 63, "not a safetensors file"},
        {UINT64_MAX, "not a safetensors file"},
        {100000000, "is cut off: it ends at byte 10, its header at byte 100,000,008: 99,999,998 bytes"},
        {3, "is cut off: it ends at byte 10, its header at byte 11: 1 bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_buffer b = {0};
        qn_error err;
        qn_buffer_u64(&b, cases[i].length);
        qn_buffer_text(&b, "{}");
        assert_status(&err, parse(b.data, b.len, &err), QN_E_FORMAT);
        assert_message_has(&err, cases[i].told);
        qn_buffer_clear(&b);
    }
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    enum { DEPTH = 100000 };
    qn_buffer b = {0};
    qn_error err;
    qn_buffer_u64(&b, DEPTH + 5);
    qn_buffer_text(&b, "{\"w\":");
    for (int i = 0; i < DEPTH; i++) {
        qn_buffer_u8(&b, '[');
    }
    assert_status(&err, parse(b.data, b.len, &err), QN_E_FORMAT);
    assert_message_has(&err, "maximum parsing depth");
    qn_buffer_clear(&b);
}

static void pointers_and_pages_are_told_apart(void **state) {
    (void)state;
    static const char pointer[] =
        "version https://git-lfs.github.com/spec/v1\n"
        "oid sha256:4665a39f0b7a3a1f1f2f0c7d2b5d2d7d4a4f5c2c6d6f8f1b2a3c4d5e6f708192\nsize 988097824\n";
    char *dir = make_temp_dir();
    qn_archive *a = NULL;
    qn_error err;
    char *path = write_text(dir, "model.safetensors", pointer);
    assert_true(qn_is_lfs_pointer(path));
    assert_status(&err, qn_safetensors_open(path, &a, &err), QN_E_NOT_FOUND);
    assert_message_has(&err,
                       "is a Git-LFS pointer (134 bytes), not the weights (988,097,824 bytes): run 'git lfs pull' in ");
    assert_message_has(&err, dir);
    free(path);
    path = write_text(dir, "page", "<html><head><title>404</title></head></html>");
    assert_false(qn_is_lfs_pointer(path));
    assert_status(&err, qn_safetensors_open(path, &a, &err), QN_E_FORMAT);
    assert_message_has(&err, "is a web page");
    free(path);
    path = write_text(dir, "empty", "");
    assert_false(qn_is_lfs_pointer(path));
    assert_status(&err, qn_safetensors_open(path, &a, &err), QN_E_FORMAT);
    assert_message_has(&err, "an empty file");
    free(path);
    assert_false(qn_is_lfs_pointer(dir));
    assert_false(qn_is_lfs_pointer("/nonexistent"));
    remove_temp_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_a_good_file),
        cmocka_unit_test(reads_the_sample_models),
        cmocka_unit_test(broken_headers_are_refused),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused),
        cmocka_unit_test(header_lengths_are_limited),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(pointers_and_pages_are_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
