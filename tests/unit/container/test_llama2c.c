/* SPDX-License-Identifier: MIT */
/* test_llama2c.c: where llama2.c's arrays are found, and headers that no Llama can have, one line each. */
#include "support.h"

#include "assemble.h"
#include "container/llama2c.h"

/* dim 4, hidden_dim 6, 1 layer, 2 heads, 1 key/value head, 3 tokens, context 5. Floats: 12 embedding; 4; 16 q, 8 k,
 * 8 v, 16 output; 4; 24, 24, 24; 4; 10 angles: 154, or 144 without the angles; 12 for an output matrix. */
#define NUMBERS "u:4 u:6 u:1 u:2 u:1 u:3 u:5 "
#define UNTIED "u:4 u:6 u:1 u:2 u:1 u:0xFFFFFFFD u:5 "
#define VERSION_1 "u:0x616b3432 u:1 "

static qn_status parse(const void *bytes, size_t n, qn_archive **archive, qn_llama2c_header *header, qn_error *err) {
    const qn_source source = {"model.bin", bytes, n, NULL};
    *archive = qn_archive_new("llama2.c");
    assert_non_null(*archive);
    const qn_status status = qn_llama2c_parse(*archive, &source, header, err);
    return status == QN_OK ? qn_archive_seal(*archive, err) : status;
}

static const struct {
    const char *line;
    qn_status status;
    const char *told;
} CASES[] = {
    {NUMBERS "z:616", QN_OK, ""},
    {UNTIED "z:664", QN_OK, ""},
    {VERSION_1 NUMBERS "b:1 a:256 z:576", QN_OK, ""},
    {VERSION_1 NUMBERS "b:0 a:256 z:624", QN_OK, ""},

    {NUMBERS "z:615", QN_E_FORMAT,
     "has 643 bytes; a llama2.c file of 1 layers, dim 4, hidden_dim 6 and 3 tokens has 644"},
    {NUMBERS "z:617", QN_E_FORMAT, "damaged, or of another format"},
    {UNTIED "z:616", QN_E_FORMAT, "has 692: it is cut off"},
    {VERSION_1 NUMBERS "b:1 a:256 z:575", QN_E_FORMAT, "it is cut off"},
    {VERSION_1 NUMBERS "b:2 a:256 z:576", QN_E_FORMAT, "no Llama can have"},
    {VERSION_1 UNTIED "b:0 a:256 z:624", QN_E_FORMAT, "no Llama can have"},
    {"u:0x616b3432 u:2 " NUMBERS "b:1 u:64 a:256 z:576", QN_E_UNSUPPORTED, "is of version 2"},
    {"u:0x616b3432 u:0", QN_E_UNSUPPORTED, "is of version 0"},
    {"u:0x616b3432", QN_E_FORMAT, "ends at byte 4, within the header"},
    {VERSION_1 "u:4", QN_E_FORMAT, "ends at byte 12, within the header"},
    {"", QN_E_FORMAT, "ends at byte 0"},
    {"u:4 u:6 u:1", QN_E_FORMAT, "ends at byte 12"},

    {"u:0 u:6 u:1 u:2 u:1 u:3 u:5 z:616", QN_E_FORMAT, "dim 0"},
    {"u:4 u:0 u:1 u:2 u:1 u:3 u:5 z:616", QN_E_FORMAT, "hidden_dim 0"},
    {"u:4 u:6 u:0 u:2 u:1 u:3 u:5 z:616", QN_E_FORMAT, "n_layers 0"},
    {"u:4 u:6 u:1 u:0 u:1 u:3 u:5 z:616", QN_E_FORMAT, "n_heads 0"},
    {"u:4 u:6 u:1 u:2 u:0 u:3 u:5 z:616", QN_E_FORMAT, "n_kv_heads 0"},
    {"u:4 u:6 u:1 u:2 u:1 u:0 u:5 z:616", QN_E_FORMAT, "vocab_size 0"},
    {"u:4 u:6 u:1 u:2 u:1 u:3 u:0 z:616", QN_E_FORMAT, "seq_len 0"},
    {"u:4 u:6 u:1 u:8 u:1 u:3 u:5 z:616", QN_E_FORMAT, "n_heads 8"},
    {"u:4 u:6 u:1 u:4 u:1 u:3 u:5 z:616", QN_E_FORMAT, "n_heads 4"}, /* heads of one element cannot be paired */
    {"u:4 u:6 u:1 u:2 u:3 u:3 u:5 z:616", QN_E_FORMAT, "n_kv_heads 3"},
    {"u:12 u:6 u:1 u:6 u:4 u:3 u:5 z:616", QN_E_FORMAT, "n_kv_heads 4"},
    {"u:0xFFFFFFFC u:6 u:1 u:2 u:1 u:3 u:5 z:616", QN_E_FORMAT, "no Llama can have"},
    {"u:4 u:6 u:1 u:2 u:1 u:0x80000000 u:5 z:616", QN_E_FORMAT, "vocab_size 2147483648"},
    {"u:4 u:6 u:5000 u:2 u:1 u:3 u:5 z:616", QN_E_FORMAT, "n_layers 5000"},
    {"u:1048576 u:1048576 u:4096 u:2 u:1 u:1048576 u:16777216 z:616", QN_E_FORMAT, "it is cut off"},
};

static void headers_are_held_against_the_file(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        qn_buffer b = {0};
        qn_error err = {0};
        qn_archive *archive = NULL;
        qn_llama2c_header header;
        assemble(&b, CASES[i].line);
        const qn_status status = parse(b.data, b.len, &archive, &header, &err);
        if (status != CASES[i].status || strstr(err.message, CASES[i].told) == NULL) {
            print_error("case %zu: %s\n", i, CASES[i].line);
        }
        assert_status(&err, status, CASES[i].status);
        assert_message_has(&err, CASES[i].told);
        assert_true(status == QN_OK || strncmp(err.message, "model.bin: ", 11) == 0);
        qn_archive_close(archive);
        qn_buffer_clear(&b);
    }
}

static const struct {
    const char *name;
    uint64_t rows, cols;
    uint64_t off[3]; /* in floats: of version 0, of it untied, of version 1 */
} PLACES[] = {
    {"token_embd.weight", 3, 4, {0, 0, 12}},       {"blk.0.attn_norm.weight", 1, 4, {12, 12, 0}},
    {"blk.0.attn_q.weight", 4, 4, {16, 16, 24}},   {"blk.0.attn_k.weight", 2, 4, {32, 32, 40}},
    {"blk.0.attn_v.weight", 2, 4, {40, 40, 48}},   {"blk.0.attn_output.weight", 4, 4, {48, 48, 56}},
    {"blk.0.ffn_norm.weight", 1, 4, {64, 64, 4}},  {"blk.0.ffn_gate.weight", 6, 4, {68, 68, 72}},
    {"blk.0.ffn_down.weight", 4, 6, {92, 92, 96}}, {"blk.0.ffn_up.weight", 6, 4, {116, 116, 120}},
    {"output_norm.weight", 1, 4, {140, 140, 8}},
};

static void arrays_are_found(void **state) {
    (void)state;
    static const uint64_t starts[] = {28, 28, 256};
    for (size_t f = 0; f < 3; f++) {
        qn_buffer b = {0};
        qn_error err;
        qn_archive *archive = NULL;
        qn_llama2c_header header;
        assemble(&b, CASES[f].line);
        assert_ok(&err, parse(b.data, b.len, &archive, &header, &err));
        assert_int_equal(header.version, f == 2 ? 1 : 0);
        assert_int_equal(header.is_tied, f != 1);
        assert_int_equal(header.n_vocab, 3);
        assert_int_equal(qn_archive_n_tensors(archive), f == 1 ? 12 : 11);
        for (size_t i = 0; i < sizeof PLACES / sizeof PLACES[0]; i++) {
            const qn_archive_tensor *t = qn_archive_find(archive, PLACES[i].name);
            assert_non_null(t);
            assert_int_equal(t->file_off, starts[f] + 4 * PLACES[i].off[f]);
            assert_int_equal(qn_shape_rows(&t->shape), PLACES[i].rows);
            assert_int_equal(qn_shape_cols(&t->shape), PLACES[i].cols);
        }
        const qn_archive_tensor *output = qn_archive_find(archive, "output.weight");
        assert_true((output != NULL) == (f == 1));
        assert_true(output == NULL || output->file_off == 28 + 4 * 154);
        qn_archive_close(archive);
        qn_buffer_clear(&b);
    }
}

static void files_are_recognised_by_their_beginning(void **state) {
    (void)state;
    static const struct {
        const char *line;
        bool is;
    } cases[] = {{NUMBERS, true},       {UNTIED, true},  {"u:0x616b3432", true}, {"u:4 u:6 u:1 u:2 u:1 u:3", false},
                 {"=GGUF z:60", false}, {"z:28", false}, {"=PK z:60", false},    {"", false}};
    char *dir = make_temp_dir();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_buffer b = {0};
        assemble(&b, cases[i].line);
        char *path = write_file(dir, "model.bin", b.data == NULL ? (const void *)"" : b.data, b.len);
        assert_int_equal(qn_is_llama2c(path), cases[i].is);
        free(path);
        qn_buffer_clear(&b);
    }
    assert_false(qn_is_llama2c(dir));
    remove_temp_dir(dir);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_held_against_the_file),
        cmocka_unit_test(arrays_are_found),
        cmocka_unit_test(files_are_recognised_by_their_beginning),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
