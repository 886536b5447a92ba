/* SPDX-License-Identifier: MIT */
/* test_gguf_broken.c: headers that contradict themselves, one line each, and a good file cut at every byte. */
#include "support.h"

#include "assemble.h"
#include "container/gguf.h"
#include "container/source.h"

/* Parses bytes that lie in a block of exactly their size, so that a read too far is seen. */
static qn_status parse(const void *bytes, size_t n, qn_error *err) {
    unsigned char *exact = malloc(n == 0 ? 1 : n);
    qn_archive *archive = qn_archive_new("gguf");
    assert_non_null(exact);
    assert_non_null(archive);
    if (n > 0) {
        memcpy(exact, bytes, n);
    }
    const qn_source source = {"model.gguf", exact, n, NULL};
    qn_status status = qn_gguf_parse(archive, &source, qn_archive_own_meta(archive), err);
    if (status == QN_OK) {
        status = qn_archive_seal(archive, err);
    }
    qn_archive_close(archive);
    free(exact);
    return status;
}

/* One pair and no tensor; no pair and one tensor "w". */
#define PAIR(rest) "=GGUF u:3 q:0 q:1 s:key " rest
#define TENSOR(rest) "=GGUF u:3 q:1 q:0 s:w " rest
#define NAME_63 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

static const struct {
    const char *line;
    qn_status status;
    const char *told;
} CASES[] = {
    /* What is right must pass, or the rest proves nothing. */
    {"=GGUF u:3 q:0 q:0", QN_OK, ""},
    {"=GGUF u:2 q:0 q:0", QN_OK, ""},
    {PAIR("u:4 u:1"), QN_OK, ""},
    {PAIR("u:9 u:8 q:0"), QN_OK, ""},
    {PAIR("u:9 u:4 q:2 u:1 u:2"), QN_OK, ""},
    {"=GGUF u:3 q:1 q:0 s:" NAME_63 " u:1 q:1 u:0 q:0 a:32 z:4", QN_OK, ""},
    {TENSOR("u:0 u:0 q:0 a:32 z:4"), QN_OK, ""},
    {TENSOR("u:1 q:0 u:0 q:0 a:32"), QN_OK, ""},
    {TENSOR("u:4 q:32 q:1 q:2 q:1 u:8 q:0 a:32 z:68"), QN_OK, ""},
    {"=GGUF u:3 q:2 q:0 s:a u:1 q:1 u:0 q:0 s:b u:1 q:1 u:0 q:32 a:32 z:36", QN_OK, ""},
    {"=GGUF u:3 q:0 q:1 s:general.alignment u:4 u:0x80000000", QN_OK, ""},

    {"=GGUX u:3 q:0 q:0", QN_E_FORMAT, "it begins with 'GGUX'"},
    {"=GGUF u:0 q:0 q:0", QN_E_FORMAT, "version 0"},
    {"=GGUF u:1 u:0 u:0", QN_E_UNSUPPORTED, "GGUF version 1"},
    {"=GGUF u:4 q:0 q:0", QN_E_UNSUPPORTED, "GGUF version 4"},
    {"=GGUF u:0x03000000 z:16", QN_E_UNSUPPORTED, "big-endian"},
    {"=GGUF u:3 q:0x8000000000000000 q:0 z:100", QN_E_FORMAT, "9,223,372,036,854,775,808 tensors do not fit"},
    {"=GGUF u:3 q:0 q:0x8000000000000000 z:100", QN_E_FORMAT, "9,223,372,036,854,775,808 metadata keys do not fit"},
    {"=GGUF u:3 q:0 q:0xFFFFFFFFFFFFFFFF z:100", QN_E_FORMAT, "metadata keys do not fit into the 100 bytes left"},
    {"=GGUF u:3 q:5 q:0 z:100", QN_E_FORMAT, "5 tensors do not fit into the 100 bytes left"},

    {"=GGUF u:3 q:0 q:1 s: u:4 u:1", QN_E_FORMAT, "key is empty"},
    {"=GGUF u:3 q:0 q:1 s:a~b u:4 u:1", QN_E_FORMAT, "key holds a zero byte"},
    {"=GGUF u:3 q:0 q:1 q:65536 z:65600", QN_E_FORMAT, "65,536 bytes long; at most 65,535"},
    {"=GGUF u:3 q:0 q:1 q:200 z:100", QN_E_FORMAT, "a metadata key is 200 bytes long, but the file ends at byte 132"},
    {"=GGUF u:3 q:0 q:2 s:key u:4 u:1 s:key u:4 u:2", QN_E_FORMAT, "'key' occurs twice"},
    {PAIR("u:13 q:0"), QN_E_FORMAT, "model.gguf: byte 39: metadata key 'key': value type 13 is unknown"},
    {PAIR("u:0xFFFFFFFF q:0"), QN_E_FORMAT, "value type 4294967295 is unknown"},
    {PAIR("u:10 z:7"), QN_E_FORMAT, "cut off"},
    {PAIR("u:8 q:0xFFFFFFFFFFFFFFFF"), QN_E_FORMAT, "18,446,744,073,709,551,615 bytes long; at most 1,073,741,824"},
    {PAIR("u:8 q:0x40000000"), QN_E_FORMAT, "a string is 1,073,741,824 bytes long, but the file ends at byte 47"},
    {PAIR("u:9 u:9 q:1 u:4 q:0"), QN_E_FORMAT, "array of arrays"},
    {PAIR("u:9 u:13 q:0"), QN_E_FORMAT, "elements of unknown type 13"},
    {PAIR("u:9 u:0 q:0x40000001"), QN_E_FORMAT, "1,073,741,825 elements; at most"},
    {PAIR("u:9 u:0 q:0x40000000"), QN_E_FORMAT,
     "an array of 1,073,741,824 elements does not fit into the 0 bytes left"},
    {PAIR("u:9 u:10 q:0x2000000000000001 q:0"), QN_E_FORMAT, "at most 1,073,741,824"},
    {PAIR("u:9 u:12 q:2 z:15"), QN_E_FORMAT, "2 elements does not fit into the 15 bytes left"},
    {PAIR("u:9 u:8 q:3 z:23"), QN_E_FORMAT, "3 elements does not fit into the 23 bytes left"},
    {PAIR("u:9 u:8 q:2 q:9 z:8"), QN_E_FORMAT, "an array's string is 9 bytes long"},

    {"=GGUF u:3 q:0 q:1 s:general.alignment u:4 u:0", QN_E_FORMAT, "general.alignment is 0; it must be a power of two"},
    {"=GGUF u:3 q:0 q:1 s:general.alignment u:4 u:3", QN_E_FORMAT, "general.alignment is 3"},
    {"=GGUF u:3 q:0 q:1 s:general.alignment u:10 q:32", QN_E_FORMAT,
     "general.alignment is of type u64; it must be u32"},
    {"=GGUF u:3 q:1 q:1 s:general.alignment u:4 u:0x80000000 s:w u:1 q:1 u:0 q:0 z:64", QN_E_FORMAT,
     "tensor 'w' ends at byte 2,147,483,652, past the file's end"},

    {"=GGUF u:3 q:1 q:0 s: u:1 q:1 u:0 q:0 z:64", QN_E_FORMAT, "has no name"},
    {"=GGUF u:3 q:1 q:0 s:a~b u:1 q:1 u:0 q:0 z:64", QN_E_FORMAT, "name holds a zero byte"},
    {"=GGUF u:3 q:1 q:0 s:" NAME_63 "x u:1 q:1 u:0 q:0 z:64", QN_E_FORMAT, "64 bytes long; at most 63"},
    {"=GGUF u:3 q:2 q:0 s:a u:1 q:1 u:0 q:0 s:a u:1 q:1 u:0 q:32 a:32 z:64", QN_E_FORMAT, "two tensors named 'a'"},
    {TENSOR("u:5 q:1 q:1 q:1 q:1 q:1 u:0 q:0 z:64"), QN_E_FORMAT, "5 dimensions; at most 4"},
    {TENSOR("u:1 q:0x8000000000000000 u:0 q:0 z:64"), QN_E_FORMAT, "negative dimension"},
    {TENSOR("u:2 q:0x100000000 q:0x80000000 u:24 q:0 z:64"), QN_E_FORMAT, "more than 2^63 elements"},
    {TENSOR("u:1 q:0x4000000000000000 u:0 q:0 z:64"), QN_E_FORMAT, "tensor 'w'"},
    {TENSOR("u:1 q:32 u:4 q:0 z:64"), QN_E_FORMAT, "type 4, which GGUF does not have"},
    {TENSOR("u:1 q:32 u:31 q:0 z:64"), QN_E_FORMAT, "type 31, which GGUF does not have"},
    {TENSOR("u:1 q:32 u:43 q:0 z:64"), QN_E_FORMAT, "type 43, which GGUF does not have"},
    {TENSOR("u:1 q:32 u:64 q:0 z:64"), QN_E_FORMAT, "type 64, which GGUF does not have"},
    {TENSOR("u:1 q:32 u:0xFFFFFFFF q:0 z:64"), QN_E_FORMAT, "type 4294967295, which GGUF does not have"},
    {TENSOR("u:1 q:33 u:8 q:0 z:64"), QN_E_FORMAT, "tensor 'w'"},
    {TENSOR("u:1 q:128 u:12 q:0 z:640"), QN_E_FORMAT, "tensor 'w'"},
    {TENSOR("u:1 q:1 u:0 q:32 a:32 z:64"), QN_E_FORMAT, "begins at byte 32 of the data; 0 is where"},
    {"=GGUF u:3 q:2 q:0 s:a u:1 q:1 u:0 q:0 s:b u:1 q:1 u:0 q:0 a:32 z:64", QN_E_FORMAT,
     "tensor 'b' begins at byte 0 of the data; 32"},
    {"=GGUF u:3 q:2 q:0 s:a u:1 q:1 u:0 q:0 s:b u:1 q:1 u:0 q:64 a:32 z:96", QN_E_FORMAT,
     "tensor 'b' begins at byte 64"},
    {"=GGUF u:3 q:2 q:0 s:a u:1 q:1 u:0 q:32 s:b u:1 q:1 u:0 q:0 a:32 z:64", QN_E_FORMAT,
     "tensor 'a' begins at byte 32"},
    {TENSOR("u:1 q:8 u:0 q:0 a:32 z:31"), QN_E_FORMAT,
     "model.gguf: tensor 'w' ends at byte 96, past the file's end (95): the file is cut off; fetch it again"},
    {"=GGUF u:3 q:2 q:0 s:a u:1 q:0x7FFFFFFFFFFFFFC0 u:24 q:0 s:b u:1 q:0x40 u:24 q:0x7FFFFFFFFFFFFFC0", QN_E_FORMAT,
     "add up to more than 2^63"},
};

static void broken_headers_are_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        qn_buffer b = {0};
        qn_error err = {0};
        assemble(&b, CASES[i].line);
        const qn_status status = parse(b.data, b.len, &err);
        if (status != CASES[i].status || strstr(err.message, CASES[i].told) == NULL) {
            print_error("case %zu: %s\n", i, CASES[i].line);
        }
        assert_status(&err, status, CASES[i].status);
        assert_message_has(&err, CASES[i].told);
        if (status != QN_OK) {
            assert_int_equal(err.status, status);
            assert_true(strncmp(err.message, "model.gguf: ", 12) == 0 || strstr(err.message, "two tensors") != NULL);
        }
        qn_buffer_clear(&b);
    }
}

static void a_file_cut_at_any_byte_is_refused(void **state) {
    (void)state;
    static const char *const paths[] = {QN_TEST_DATA_DIR "/gguf/gguf_v3_le.gguf", QN_TEST_DATA_DIR "/gguf/lora.gguf",
                                        QN_TEST_DATA_DIR "/gguf/imatrix.gguf"};
    for (size_t p = 0; p < 3; p++) {
        size_t n = 0;
        unsigned char *bytes = read_file(paths[p], &n);
        qn_error err;
        assert_ok(&err, parse(bytes, n, &err));
        size_t end = n; /* the padding behind the last tensor may be missing */
        while (parse(bytes, end - 1, &err) == QN_OK) {
            end--;
        }
        assert_true(n - end < QN_GGUF_ALIGNMENT * 2);
        for (size_t cut = 0; cut < end; cut++) {
            assert_status(&err, parse(bytes, cut, &err), QN_E_FORMAT);
            assert_message_has(&err, "model.gguf: ");
        }
        free(bytes);
    }
}

/* No single changed byte of a header may do more than make the file be refused or read differently. */
static void a_changed_byte_does_no_harm(void **state) {
    (void)state;
    size_t n = 0;
    unsigned char *bytes = read_file(QN_TEST_DATA_DIR "/gguf/gguf_v3_le.gguf", &n);
    static const unsigned char masks[] = {0x01, 0x80, 0xFF};
    qn_error err;
    size_t n_refused = 0;
    for (size_t i = 0; i < 0x400; i++) {
        for (size_t k = 0; k < sizeof masks; k++) {
            bytes[i] ^= masks[k];
            n_refused += parse(bytes, n, &err) != QN_OK ? 1 : 0;
            bytes[i] ^= masks[k];
        }
    }
    assert_true(n_refused > 1000);
    free(bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(broken_headers_are_refused),
        cmocka_unit_test(a_file_cut_at_any_byte_is_refused),
        cmocka_unit_test(a_changed_byte_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
