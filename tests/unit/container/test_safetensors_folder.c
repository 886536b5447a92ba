/* SPDX-License-Identifier: MIT */
/* test_safetensors_folder.c: which files of a folder are its weights, and what an index must agree with. */
#include "support.h"

#include "base/buffer.h"
#include "container/safetensors.h"

enum { MAX_FILES = 4 };

/* Writes a file of the folder. "@a,b": a safetensors file of F32 scalars a and b; anything else: the text itself. */
static void put_file(const char *dir, const char *name, const char *what) {
    if (what[0] != '@') {
        free(write_text(dir, name, what));
        return;
    }
    qn_buffer json = {0};
    qn_buffer file = {0};
    unsigned n = 0;
    for (const char *at = what + 1; *at != '\0'; n++) {
        const int len = (int)strcspn(at, ",");
        qn_buffer_printf(&json, "%s\"%.*s\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[%u,%u]}",
                         n == 0 ? "{" : ",", len, at, n * 4, n * 4 + 4);
        at += len + (at[len] == ',' ? 1 : 0);
    }
    qn_buffer_text(&json, n == 0 ? "{}" : "}");
    qn_buffer_u64(&file, json.len);
    qn_buffer_append(&file, json.data, json.len);
    qn_buffer_zeros(&file, (size_t)n * 4);
    free(write_file(dir, name, file.data, file.len));
    qn_buffer_clear(&json);
    qn_buffer_clear(&file);
}

#define INDEX "model.safetensors.index.json"
#define ONE "model-00001-of-00002.safetensors"
#define TWO "model-00002-of-00002.safetensors"
#define MAP(pairs) "{\"metadata\":{\"total_size\":8},\"weight_map\":{" pairs "}}"

static const struct {
    const char *files[MAX_FILES][2]; /* name, content */
    qn_status status;
    uint64_t n_tensors;
    uint64_t n_files;
    const char *told;
} CASES[] = {
    {{{"model.safetensors", "@a,b"}}, QN_OK, 2, 1, ""},
    {{{"model.safetensors", "@a"}, {"adapter_model.safetensors", "@x"}, {"consolidated.00.safetensors", "@y"}},
     QN_OK,
     1,
     1,
     ""},
    {{{"model.safetensors", "@a"}, {"model.fp16.safetensors", "@a"}}, QN_OK, 1, 1, ""},
    {{{ONE, "@a"}, {TWO, "@b"}}, QN_OK, 2, 2, ""},
    {{{INDEX, MAP("\"a\":\"" ONE "\",\"b\":\"" TWO "\"")}, {ONE, "@a"}, {TWO, "@b"}}, QN_OK, 2, 2, ""},
    {{{INDEX, MAP("\"a\":\"x.safetensors\"")}, {"x.safetensors", "@a"}, {ONE, "@stale"}}, QN_OK, 1, 1, ""},
    {{{INDEX, MAP("")}}, QN_OK, 0, 0, ""},

    {{{"config.json", "{}"}}, QN_E_NOT_FOUND, 0, 0, "no model*.safetensors in this folder: fetch the weights"},
    {{{"pytorch_model.bin", "PK"}},
     QN_E_NOT_FOUND,
     0,
     0,
     "PyTorch weights (pytorch_model*.bin), which quern does not read"},
    {{{"pytorch_model-00001-of-00002.bin", "PK"}}, QN_E_NOT_FOUND, 0, 0, "safe_serialization=True"},
    {{{"adapter_model.safetensors", "@a"}}, QN_E_NOT_FOUND, 0, 0, "an adapter"},
    {{{"tiny.gguf", "GGUF"}}, QN_E_NOT_FOUND, 0, 0, "GGUF files"},
    {{{"model.safetensors.bak", "@a"}}, QN_E_NOT_FOUND, 0, 0, "no model*.safetensors"},
    {{{ONE, "@a"}}, QN_E_NOT_FOUND, 0, 0, "1 of 2 shards are here (" ONE " is one): fetch the others"},
    {{{ONE, "@a"}, {TWO, "@a"}}, QN_E_FORMAT, 0, 0, "tensor 'a' is in two files"},
    {{{ONE, "@a"}, {TWO, "version https://git-lfs.github.com/spec/v1\nsize 12\n"}},
     QN_E_NOT_FOUND,
     0,
     0,
     TWO ": is a Git-LFS pointer"},

    {{{INDEX, "[1,"}}, QN_E_FORMAT, 0, 0, INDEX ": not valid JSON, line 1 column 3"},
    {{{INDEX, "<!doctype html>"}}, QN_E_FORMAT, 0, 0, INDEX ": is a web page"},
    {{{INDEX, "{}"}}, QN_E_FORMAT, 0, 0, "has no \"weight_map\" object"},
    {{{INDEX, "{\"weight_map\":[]}"}}, QN_E_FORMAT, 0, 0, "has no \"weight_map\" object"},
    {{{INDEX, MAP("\"a\":\"x\",\"a\":\"y\"")}}, QN_E_FORMAT, 0, 0, "duplicate object key"},
    {{{INDEX, MAP("\"a\":1")}}, QN_E_FORMAT, 0, 0, "tensor 'a' into '(no text)'"},
    {{{INDEX, MAP("\"a\":\"../model.safetensors\"")}, {"model.safetensors", "@a"}},
     QN_E_FORMAT,
     0,
     0,
     "puts tensor 'a' into '../model.safetensors', which is not the name of a file in this folder"},
    {{{INDEX, MAP("\"a\":\"/etc/passwd\"")}}, QN_E_FORMAT, 0, 0, "'/etc/passwd'"},
    {{{INDEX, MAP("\"a\":\"sub/m.safetensors\"")}}, QN_E_FORMAT, 0, 0, "not the name of a file"},
    {{{INDEX, MAP("\"a\":\"..\"")}}, QN_E_FORMAT, 0, 0, "'..'"},
    {{{INDEX, MAP("\"a\":\"\"")}}, QN_E_FORMAT, 0, 0, "into ''"},
    {{{INDEX, MAP("\"a\":\"" ONE "\",\"b\":\"" TWO "\"")}, {ONE, "@a"}},
     QN_E_NOT_FOUND,
     0,
     0,
     TWO ": is missing: " INDEX " names it, but 1 of 2"},
    {{{INDEX, MAP("\"a\":\"" ONE "\",\"c\":\"" ONE "\"")}, {ONE, "@a,b"}},
     QN_E_FORMAT,
     0,
     0,
     "it names tensors that no shard holds: c; shards hold tensors that it does not name: b: the files"},
    {{{INDEX, MAP("\"a\":\"" ONE "\"")}, {ONE, "@a,b,c,d,e,f,g,h"}},
     QN_E_FORMAT,
     0,
     0,
     "that it does not name: b, c, d, e, f and 2 more:"},
};

static void folders_are_opened_or_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
        char *dir = make_temp_dir();
        qn_archive *a = NULL;
        qn_error err = {0};
        for (size_t k = 0; k < MAX_FILES && CASES[i].files[k][0] != NULL; k++) {
            put_file(dir, CASES[i].files[k][0], CASES[i].files[k][1]);
        }
        const qn_status status = qn_safetensors_open_folder(dir, &a, &err);
        if (status != CASES[i].status || strstr(err.message, CASES[i].told) == NULL) {
            print_error("case %zu\n", i);
        }
        assert_status(&err, status, CASES[i].status);
        assert_message_has(&err, CASES[i].told);
        if (status == QN_OK) {
            assert_int_equal(qn_archive_n_tensors(a), CASES[i].n_tensors);
            assert_int_equal(qn_archive_n_files(a), CASES[i].n_files);
            qn_archive_close(a);
        } else {
            assert_int_equal(err.status, status);
        }
        remove_temp_dir(dir);
    }
}

/* The Hugging Face cache: snapshots/REVISION/model.safetensors -> ../../blobs/HASH. */
static void symbolic_links_are_followed(void **state) {
    (void)state;
    char *dir = make_temp_dir();
    char *blobs = join_path(dir, "blobs");
    char *snapshot = join_path(dir, "snapshot");
    char *link = join_path(snapshot, "model.safetensors");
    qn_archive *a = NULL;
    qn_error err;
    assert_int_equal(mkdir(blobs, 0777), 0);
    assert_int_equal(mkdir(snapshot, 0777), 0);
    put_file(blobs, "0f3c", "@a");
    assert_int_equal(symlink("../blobs/0f3c", link), 0);
    assert_ok(&err, qn_safetensors_open_folder(snapshot, &a, &err));
    assert_int_equal(qn_archive_n_tensors(a), 1);
    qn_archive_close(a);
    put_file(snapshot, INDEX, MAP("\"a\":\"model.safetensors\""));
    char *blob = join_path(blobs, "0f3c");
    assert_int_equal(unlink(blob), 0); /* a broken link is a missing file */
    assert_status(&err, qn_safetensors_open_folder(snapshot, &a, &err), QN_E_NOT_FOUND);
    assert_message_has(&err, "model.safetensors: is missing");
    free(blob);
    free(link);
    free(snapshot);
    free(blobs);
    remove_temp_dir(dir);
}

static void a_folder_must_be_one(void **state) {
    (void)state;
    qn_archive *a = NULL;
    qn_error err;
    assert_status(&err, qn_safetensors_open_folder("/nonexistent", &a, &err), QN_E_NOT_FOUND);
    assert_ok(&err, qn_safetensors_open_folder(QN_SAMPLES_DIR "/miller-base/", &a, &err));
    assert_int_equal(qn_archive_n_files(a), 1);
    qn_archive_close(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folders_are_opened_or_refused),
        cmocka_unit_test(symbolic_links_are_followed),
        cmocka_unit_test(a_folder_must_be_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
