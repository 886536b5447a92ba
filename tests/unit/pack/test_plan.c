/* SPDX-License-Identifier: MIT */
/* test_plan.c: what a plan decides before a byte is written: names, folders, shards, space, and its JSON document. */
#include "pack/pack_case.h"

#include "container/gguf.h"
#include "pack/plan.h"

enum { MAX_OUTPUTS = 4 };

/* ---- names ---- */

static const struct {
    const char *preset;
    const char *types;
    const char *name;
    bool has_adapter;
    const char *files[MAX_OUTPUTS]; /* in the order of the plan */
} outputs[] = {
    {NULL, NULL, NULL, false, {"base.gguf", "base-Q4_K_M.gguf"}},
    {NULL, NULL, NULL, true, {"base.gguf", "base-Q4_K_M.gguf"}},
    {NULL, "Q8_0", NULL, true, {"base-Q8_0.gguf"}},
    {NULL, "f16,BF16,F32", NULL, false, {"base-F16.gguf", "base-BF16.gguf", "base-F32.gguf"}},
    {NULL, "Q8_0, q8_0", NULL, false, {"base-Q8_0.gguf"}},
    {"merge-quantize", "Q8_0,Q4_0", NULL, true, {"base.gguf", "base-Q8_0.gguf", "base-Q4_0.gguf"}},
    {"merge", NULL, NULL, true, {"base.gguf"}},
    {"merge", NULL, "my model", false, {"my model.gguf"}},
    {"quantize", NULL, NULL, false, {"base.gguf", "base-Q4_K_M.gguf"}},
    {"quantize", "Q8_0", "n.1", false, {"n.1.gguf", "n.1-Q8_0.gguf"}},
    {"lora", NULL, NULL, true, {"adapter-lora.gguf"}},
    {"lora", NULL, "other", true, {"adapter-lora.gguf"}},
    {"custom", "Q8_0", NULL, true, {"base-Q8_0.gguf"}},
};

static void test_names(void **state) {
    pack_case c;
    (void)state;
    begin_case(&c);
    for (size_t i = 0; i < sizeof outputs / sizeof outputs[0]; i++) {
        const qn_pack_adapter adapter = {c.adapter, 1.0};
        const qn_pack_options options = {.base = c.base,
                                         .adapters = &adapter,
                                         .n_adapters = outputs[i].has_adapter ? 1 : 0,
                                         .preset = outputs[i].preset,
                                         .types = outputs[i].types,
                                         .name = outputs[i].name,
                                         .out_dir = c.out};
        qn_plan *plan = NULL;
        qn_error err;
        uint32_t n = 0;
        assert_ok(&err, qn_plan_new(&options, c.job, &plan, &err));
        for (; n < MAX_OUTPUTS && outputs[i].files[n] != NULL; n++) {
            char *wanted = join_path(c.out, outputs[i].files[n]);
            char part[1200];
            assert_true(n < plan->n_files);
            assert_string_equal(plan->files[n].path, wanted);
            (void)snprintf(part, sizeof part, "%s.part", wanted);
            assert_string_equal(plan->files[n].part_path, part);
            free(wanted);
        }
        assert_int_equal(plan->n_files, n);
        assert_int_equal(plan->n_outputs, n);
        qn_plan_free(plan);
    }
    assert_false(path_exists(c.out)); /* a plan writes nothing */
    qn_plan_free(NULL);
    end_case(&c);
}

static void test_default_folder(void **state) {
    pack_case c;
    qn_plan *plan = NULL;
    qn_error err;
    (void)state;
    begin_case(&c);
    const qn_pack_adapter adapter = {c.adapter, 1.0};
    char *of_base = join_path(c.base, "gguf");
    char *of_adapter = join_path(c.adapter, "gguf");
    const struct {
        qn_pack_options options;
        const char *dir;
    } rows[] = {
        {{.base = c.base}, of_base},
        {{.base = c.base, .adapters = &adapter, .n_adapters = 1}, of_adapter},
        {{.adapters = &adapter, .n_adapters = 1}, of_adapter}, /* its base is found beside it */
        {{.base = c.base, .run = QN_SAMPLES_DIR "/miller-sft", .preset = "lora"}, QN_SAMPLES_DIR "/miller-sft/gguf"},
    };
    for (size_t i = 0; i < 3; i++) {
        assert_ok(&err, qn_plan_new(&rows[i].options, c.job, &plan, &err));
        assert_string_equal(plan->inputs.out_dir, rows[i].dir);
        assert_string_equal(plan->inputs.model_name, "base");
        qn_plan_free(plan);
        plan = NULL;
    }
    qn_pack_options of_run = rows[3].options;
    of_run.base = QN_SAMPLES_DIR "/miller-base";
    assert_ok(&err, qn_plan_new(&of_run, c.job, &plan, &err));
    assert_string_equal(plan->inputs.out_dir, rows[3].dir);
    assert_string_equal(plan->inputs.model_name, "miller-sft");
    assert_string_equal(plan->inputs.adapter_name, "checkpoint-400");
    qn_plan_free(plan);
    free(of_base);
    free(of_adapter);
    end_case(&c);
}

/* A folder named as BASE that is an adapter: merged into the base that it names, and said so. */
static void test_base_is_an_adapter(void **state) {
    pack_case c;
    qn_plan *plan = NULL;
    qn_error err;
    tiny_heard heard = {0};
    (void)state;
    begin_case(&c);
    qn_job *job = qn_job_new(1, tiny_listen, &heard);
    const qn_pack_options options = {.base = c.adapter, .out_dir = c.out};
    assert_ok(&err, qn_plan_new(&options, job, &plan, &err));
    assert_int_equal(plan->inputs.n_adapters, 1);
    assert_string_equal(plan->inputs.model_name, "base");
    assert_non_null(strstr(heard.notes, "is an adapter, not a model"));
    qn_plan_free(plan);
    qn_job_free(job);
    end_case(&c);
}

static void test_usage(void **state) {
    static char long_name[256];
    static const struct {
        const char *what;
        qn_pack_options options; /* base and out_dir are put in unless base is "" */
        qn_status status;
        const char *has;
    } rows[] = {
        {"checkpoint without run", {.checkpoint = "best"}, QN_E_USAGE, "--run"},
        {"nothing", {.base = ""}, QN_E_USAGE, "no model is named"},
        {"unknown preset", {.preset = "best"}, QN_E_USAGE, "'best'"},
        {"unknown type", {.types = "Q4_KM"}, QN_E_USAGE, "Q4_K_M"},
        {"unknown outtype", {.outtype = "q8_0"}, QN_E_USAGE, "--outtype 'q8_0'"},
        {"outtype in capitals", {.outtype = "F32"}, QN_E_USAGE, "--outtype 'F32'"},
        {"lora without adapter", {.preset = "lora"}, QN_E_USAGE, "adapter"},
        {"a path for a name", {.name = "a/b"}, QN_E_USAGE, "'a/b'"},
        {"no name", {.name = ""}, QN_E_USAGE, "''"},
        {"dots for a name", {.name = ".."}, QN_E_USAGE, "'..'"},
        {"a name too long", {.name = long_name}, QN_E_USAGE, "200 bytes"},
        {"no such base", {.base = "/nowhere/base"}, QN_E_NOT_FOUND, "/nowhere/base"},
        {"no such run", {.run = "/nowhere/run"}, QN_E_NOT_FOUND, "/nowhere/run"},
        {"no such step", {.run = QN_SAMPLES_DIR "/miller-sft", .checkpoint = "150"}, QN_E_NOT_FOUND, "150"},
        {"quantize with a run", {.run = QN_SAMPLES_DIR "/miller-sft", .preset = "quantize"}, QN_E_USAGE, "quantize"},
        {"a run of another base", {.run = QN_SAMPLES_DIR "/miller-sft"}, QN_E_FORMAT, "2 layers"},
    };
    pack_case c;
    (void)state;
    memset(long_name, 'n', sizeof long_name - 1);
    begin_case(&c);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qn_pack_options options = rows[i].options;
        qn_plan *plan = NULL;
        qn_error err = {QN_OK, ""};
        options.base = options.base == NULL ? c.base : options.base[0] == '\0' ? NULL : options.base;
        options.out_dir = c.out;
        const qn_status status = qn_plan_new(&options, c.job, &plan, &err);
        if (status != rows[i].status || strstr(err.message, rows[i].has) == NULL || plan != NULL) {
            print_error("%s: %s %s\n", rows[i].what, qn_status_name(status), err.message);
            fail();
        }
    }
    const qn_pack_adapter two[2] = {{c.adapter, 1.0}, {c.adapter, 1.0}};
    const qn_pack_options options = {
        .base = c.base, .adapters = two, .n_adapters = 2, .preset = "lora", .out_dir = c.out};
    qn_plan *plan = NULL;
    qn_error err;
    assert_status(&err, qn_plan_new(&options, c.job, &plan, &err), QN_E_USAGE);
    assert_message_has(&err, "2 are given");
    assert_false(path_exists(c.out));
    end_case(&c);
}

/* ---- names in the way ---- */

static void test_in_the_way(void **state) {
    pack_case c;
    qn_plan *plan = NULL;
    qn_error err;
    (void)state;
    begin_case(&c);
    assert_int_equal(mkdir(c.out, 0777), 0);
    char *path = write_text(c.out, "base-Q8_0.gguf", "mine");
    qn_pack_options options = {.base = c.base, .types = "Q8_0", .out_dir = c.out};
    assert_status(&err, qn_plan_new(&options, c.job, &plan, &err), QN_E_EXISTS);
    assert_message_has(&err, path);
    assert_message_has(&err, "--force");
    options.types = "F16"; /* another file: nothing is in the way */
    assert_ok(&err, qn_plan_new(&options, c.job, &plan, &err));
    qn_plan_free(plan);
    plan = NULL;
    options.types = "F16,Q8_0"; /* one of two is enough */
    assert_status(&err, qn_plan_new(&options, c.job, &plan, &err), QN_E_EXISTS);
    options.force = true;
    assert_ok(&err, qn_plan_new(&options, c.job, &plan, &err));
    qn_plan_free(plan);
    plan = NULL;
    options.types = "Q8_0";
    assert_ok(&err, pack_all(&options, c.job, &err));
    size_t n = 0;
    char *bytes = read_file(path, &n);
    assert_memory_equal(bytes, "GGUF", 4);
    free(bytes);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0777), 0); /* a folder is never replaced */
    assert_status(&err, qn_plan_new(&options, c.job, &plan, &err), QN_E_EXISTS);
    assert_message_has(&err, "is a folder");
    free(path);
    end_case(&c);
}

/* ---- shards ---- */

/* Tensors of the tiny model, lm_head and embedding among them. */
enum { N_TENSORS = 3 + 9 * TINY_LAYER };

static void test_shards(void **state) {
    static const struct {
        uint64_t max_bytes, max_tensors;
        uint32_t n_files;
    } rows[] = {
        {0, 0, 1},      {1 << 30, 0, 1},   {0, N_TENSORS, 1}, {0, N_TENSORS - 1, 2},
        {0, 10, 3},     {0, 1, N_TENSORS}, {1, 0, N_TENSORS}, /* a tensor larger than a shard has one to itself */
        {140000, 0, 3},                                       /* embedding; layers; output */
        {140000, 6, 4},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pack_case c;
        qn_plan *plan = NULL;
        qn_error err;
        begin_case(&c);
        const qn_pack_options options = {.base = c.base,
                                         .types = "F16",
                                         .out_dir = c.out,
                                         .split_max_bytes = rows[i].max_bytes,
                                         .split_max_tensors = rows[i].max_tensors};
        assert_ok(&err, qn_plan_new(&options, c.job, &plan, &err));
        assert_int_equal(plan->n_outputs, 1);
        assert_int_equal(plan->n_files, rows[i].n_files);
        uint64_t n_tensors = 0;
        for (uint32_t f = 0; f < plan->n_files; f++) {
            char name[64];
            char *wanted = NULL;
            (void)snprintf(name, sizeof name, rows[i].n_files == 1 ? "base-F16.gguf" : "base-F16-%05u-of-%05u.gguf",
                           f + 1, rows[i].n_files);
            wanted = join_path(c.out, name);
            assert_string_equal(plan->files[f].path, wanted);
            assert_int_equal(plan->files[f].first_tensor, n_tensors);
            assert_int_equal(plan->files[f].header.len > 20000, f == 0); /* the vocabulary stands in the first alone */
            n_tensors += plan->files[f].n_tensors;
            free(wanted);
        }
        assert_int_equal(n_tensors, N_TENSORS);
        assert_ok(&err, qn_plan_run(plan, c.job, &err));
        for (uint32_t f = 0; f < plan->n_files; f++) { /* any of a set opens the whole of it */
            qn_archive *archive = NULL;
            struct stat info;
            uint64_t count = 0;
            assert_ok(&err, qn_gguf_open(plan->files[f].path, &archive, &err));
            assert_int_equal(qn_archive_n_tensors(archive), N_TENSORS);
            assert_int_equal(qn_archive_n_files(archive), rows[i].n_files);
            assert_int_equal(qn_meta_u64(qn_archive_meta(archive), "split.count", &count), false); /* read away */
            assert_non_null(qn_meta_find(qn_archive_meta(archive), "tokenizer.ggml.tokens"));
            qn_archive_close(archive);
            assert_int_equal(stat(plan->files[f].path, &info), 0);
            assert_int_equal(info.st_size, plan->files[f].size_bytes);
        }
        assert_int_equal(count_names(c.out), rows[i].n_files);
        qn_plan_free(plan);
        end_case(&c);
    }
}

/* ---- space ---- */

/* A model of terabytes, all holes: it cannot fit, and that shows before anything is made. */
static void test_no_space(void **state) {
    pack_case c;
    tiny_list list;
    qn_plan *plan = NULL;
    qn_error err;
    (void)state;
    begin_case(&c);
    tiny_llama(&list);
    for (size_t i = 0; i < list.n; i++) { /* hidden size 32 becomes 1024, the feed-forward's 64 becomes 2^28 */
        tiny_tensor *t = &list.tensors[i];
        for (unsigned d = 0; d < t->n_dims; d++) {
            t->dims[d] = t->dims[d] == TINY_FF ? 1ULL << 28 : t->dims[d] < TINY_FF ? t->dims[d] * 32 : t->dims[d];
        }
    }
    char *model = join_path(c.base, "model.safetensors");
    assert_int_equal(unlink(model), 0);
    tiny_write_sparse(&list, c.base, "model.safetensors");
    tiny_write_json(c.base, "config.json", tiny_llama_config, "{'hidden_size':1024,'intermediate_size':268435456}");
    qn_pack_options options = {.base = c.base, .types = "F32,F16,BF16,Q8_0,Q4_0", .out_dir = c.out};
    for (uint64_t split = 0; split <= 1; split++) {
        options.split_max_tensors = split;
        const qn_status status = qn_plan_new(&options, c.job, &plan, &err);
        if (status == QN_E_IO && strstr(err.message, "cannot map") != NULL) {
            print_message("%s: this address space is too small for the test's sparse file\n", err.message);
            break; /* ThreadSanitizer's is */
        }
        if (status == QN_OK && plan->disk_bytes < plan->disk_free_bytes) {
            print_message("this disk holds %llu GB: not full\n",
                          (unsigned long long)(plan->disk_free_bytes / 1000000000));
            qn_plan_free(plan);
            plan = NULL;
            continue;
        }
        assert_int_equal(status, QN_E_SPACE);
        assert_message_has(&err, c.out);
        assert_message_has(&err, "GB");
        assert_null(plan);
    }
    assert_false(path_exists(c.out));
    free(model);
    end_case(&c);
}

/* ---- the document ---- */

static int64_t integer(const json_t *object, const char *key) {
    const json_t *value = json_object_get(object, key);
    assert_true(json_is_integer(value));
    return json_integer_value(value);
}

static json_t *document_of(const qn_plan *plan) {
    char *text = NULL;
    json_t *document = NULL;
    qn_error err;
    assert_ok(&err, qn_plan_json(plan, &text, &err));
    assert_ok(&err, qn_json_parse("plan", text, strlen(text), &document, &err));
    free(text);
    return document;
}

static void check_output(const json_t *output, const qn_plan *plan) {
    const json_t *tensors = json_object_get(output, "tensors");
    const json_t *files = json_object_get(output, "files");
    const json_t *types = json_object_get(output, "types");
    int64_t n = 0;
    int64_t bytes = 0;
    int64_t file_bytes = 0;
    const char *key = NULL;
    json_t *row = NULL;
    json_object_foreach((json_t *)(uintptr_t)types, key, row) {
        n += integer(row, "n_tensors");
        bytes += integer(row, "size_bytes");
    }
    assert_int_equal(n, plan->model->n_tensors);
    assert_int_equal(json_array_size(tensors), plan->model->n_tensors);
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *t = json_array_get(tensors, i);
        bytes -= integer(t, "size_bytes");
        assert_non_null(qn_json_string(t, "name"));
        assert_non_null(qn_json_string(t, "source"));
        assert_non_null(json_object_get(types, qn_json_string(t, "type")));
        assert_true(json_is_array(json_object_get(t, "shape")));
        const bool is_q = strstr(qn_json_string(t, "name"), "attn_q.weight") != NULL;
        const bool is_down = strstr(qn_json_string(t, "name"), "ffn_down.weight") != NULL;
        assert_int_equal(json_is_true(json_object_get(t, "is_merged")), is_q || is_down);
        /* only what is BF16 in the checkpoint and nothing else is done to it can be copied as BF16 */
        const bool is_copied = json_is_true(json_object_get(t, "is_copied"));
        assert_true(!is_copied || (strcmp(qn_json_string(t, "type"), "BF16") == 0 && !is_q && !is_down));
        if (strcmp(qn_json_string(t, "name"), "blk.0.ffn_up.weight") == 0) {
            assert_int_equal(is_copied, strcmp(qn_json_string(output, "type"), "BF16") == 0);
        }
    }
    assert_int_equal(bytes, 0);
    for (size_t i = 0; i < json_array_size(files); i++) {
        file_bytes += integer(json_array_get(files, i), "size_bytes");
    }
    assert_int_equal(file_bytes, integer(output, "size_bytes"));
    assert_string_equal(qn_json_string(output, "path"), qn_json_string(json_array_get(files, 0), "path"));
    assert_true(json_real_value(json_object_get(output, "bits_per_weight")) > 8);
}

static void test_document(void **state) {
    pack_case c;
    qn_plan *plan = NULL;
    qn_error err;
    (void)state;
    begin_case(&c);
    const qn_pack_adapter adapter = {c.adapter, 0.5};
    const qn_pack_options options = {.base = c.base,
                                     .adapters = &adapter,
                                     .n_adapters = 1,
                                     .preset = "merge-quantize",
                                     .types = "Q8_0",
                                     .out_dir = c.out,
                                     .split_max_tensors = 10};
    qn_job *job = qn_job_new(3, NULL, NULL);
    assert_ok(&err, qn_plan_new(&options, job, &plan, &err));
    json_t *o = document_of(plan);
    const json_t *model = json_object_get(o, "model");
    const json_t *first = json_array_get(json_object_get(model, "adapters"), 0);
    assert_string_equal(qn_json_string(model, "name"), "base");
    assert_string_equal(qn_json_string(model, "arch"), "llama");
    assert_string_equal(qn_json_string(model, "source"), c.base);
    assert_int_equal(integer(model, "n_tensors"), N_TENSORS);
    assert_int_equal(integer(model, "n_layer"), TINY_LAYER);
    assert_int_equal(integer(model, "n_ctx"), 64);
    assert_int_equal(integer(model, "vocab_size"), TINY_VOCAB);
    assert_string_equal(qn_json_string(first, "dir"), c.adapter);
    assert_true(json_real_value(json_object_get(first, "scale")) == 0.5);
    assert_int_equal(integer(first, "n_pairs"), 4);
    assert_true(json_is_null(json_object_get(model, "checkpoint")));
    assert_string_equal(qn_json_string(o, "preset"), "merge-quantize");
    assert_string_equal(qn_json_string(o, "out_dir"), c.out);
    assert_int_equal(integer(o, "threads"), 3);
    assert_true(integer(o, "disk_free_bytes") >= integer(o, "disk_bytes"));
    assert_true(integer(o, "memory_bytes") > 0);
    assert_true(integer(o, "read_bytes") > 0);
    assert_true(json_is_false(json_object_get(o, "resumes")));
    assert_int_equal(json_array_size(json_object_get(o, "outputs")), 2);
    int64_t disk_bytes = 0;
    for (size_t i = 0; i < 2; i++) {
        const json_t *output = json_array_get(json_object_get(o, "outputs"), i);
        assert_string_equal(qn_json_string(output, "type"), i == 0 ? "BF16" : "Q8_0");
        check_output(output, plan);
        disk_bytes += integer(output, "size_bytes");
    }
    assert_int_equal(disk_bytes, integer(o, "disk_bytes"));
    json_decref(o);
    qn_plan_free(plan);
    qn_job_free(job);
    end_case(&c);
}

static void test_document_of_a_run(void **state) {
    pack_case c;
    qn_plan *plan = NULL;
    qn_error err;
    (void)state;
    begin_case(&c);
    const qn_pack_options options = {.base = QN_SAMPLES_DIR "/miller-base",
                                     .run = QN_SAMPLES_DIR "/miller-sft",
                                     .checkpoint = "200",
                                     .preset = "lora",
                                     .out_dir = c.out};
    assert_ok(&err, qn_plan_new(&options, c.job, &plan, &err));
    json_t *o = document_of(plan);
    const json_t *checkpoint = json_object_get(json_object_get(o, "model"), "checkpoint");
    assert_int_equal(integer(checkpoint, "step"), 200);
    assert_string_equal(qn_json_string(checkpoint, "dir"), QN_SAMPLES_DIR "/miller-sft/checkpoint-200");
    assert_non_null(qn_json_string(checkpoint, "why"));
    json_decref(o);
    qn_plan_free(plan);
    end_case(&c);
}

/* A folder's name that is no UTF-8 is a name like any other: it is packed, and its document can be read. */
static void test_names_that_are_no_text(void **state) {
    pack_case c;
    qn_plan *plan = NULL;
    qn_error err;
    (void)state;
    begin_case(&c);
    char *out = join_path(c.root, "caf\xe9");
    const qn_pack_options options = {.base = c.base, .types = "Q8_0", .out_dir = out, .name = "m\xff"};
    assert_ok(&err, qn_plan_new(&options, c.job, &plan, &err));
    json_t *o = document_of(plan);
    assert_non_null(strstr(qn_json_string(o, "out_dir"), "caf\xEF\xBF\xBD"));
    json_decref(o);
    assert_ok(&err, qn_plan_run(plan, c.job, &err));
    char *path = join_path(out, "m\xff-Q8_0.gguf");
    assert_true(path_exists(path));
    qn_plan_free(plan);
    free(path);
    free(out);
    end_case(&c);
}

/* ---- types ---- */

static void test_outtypes(void **state) {
    static const struct {
        const char *outtype;
        const char *stored; /* the checkpoint's */
        const char *type;
    } rows[] = {
        {NULL, "BF16", "BF16"}, {"auto", "BF16", "BF16"}, {"auto", "F16", "F16"}, {"auto", "F32", "F32"},
        {"auto", "F64", "F32"}, {"f16", "BF16", "F16"},   {"f32", "BF16", "F32"}, {"bf16", "F32", "BF16"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        pack_case c;
        tiny_list list;
        qn_plan *plan = NULL;
        qn_error err;
        begin_case(&c);
        tiny_llama(&list);
        for (size_t k = 0; k < list.n; k++) {
            list.tensors[k].type = rows[i].stored;
        }
        tiny_write_model(&list, c.base, NULL);
        const qn_pack_options options = {
            .base = c.base, .preset = "merge", .outtype = rows[i].outtype, .out_dir = c.out};
        assert_ok(&err, qn_plan_new(&options, c.job, &plan, &err));
        for (uint64_t k = 0; k < plan->model->n_tensors; k++) {
            const qn_placed_tensor *t = &plan->outputs[0].tensors[k];
            const bool is_vector = t->shape.n_dims == 1;
            assert_string_equal(qn_dtype_get(t->type)->name, is_vector ? "F32" : rows[i].type);
        }
        assert_string_equal(plan->outputs[0].type_name, rows[i].type);
        qn_plan_free(plan);
        end_case(&c);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_default_folder),
        cmocka_unit_test(test_base_is_an_adapter),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_in_the_way),
        cmocka_unit_test(test_shards),
        cmocka_unit_test(test_no_space),
        cmocka_unit_test(test_document),
        cmocka_unit_test(test_document_of_a_run),
        cmocka_unit_test(test_names_that_are_no_text),
        cmocka_unit_test(test_outtypes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
