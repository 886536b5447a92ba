/* SPDX-License-Identifier: MIT */
/*
 * fuzz_adapter.c: any bytes as an adapter folder. The input is adapter_config.json, a zero byte, and tensors one a
 * line, "NAME ROWS COLS"; a line of another form is a name with a shape of its own. The adapter is refused, or opens,
 * and then can be exported for a small Llama or refused with a message.
 */
#include "base/buffer.h"
#include "base/json.h"
#include "model/model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum { MAX_INPUT = 1 << 13, MAX_PATH = 512, MAX_TENSORS = 64 };

static const char base_config[] =
    "{\"architectures\":[\"LlamaForCausalLM\"],\"hidden_size\":32,\"num_hidden_layers\":2,\"num_attention_heads\":4,"
    "\"intermediate_size\":64}";

static void write_all(const char *dir, const char *name, const void *bytes, size_t n) {
    char path[MAX_PATH];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *file = fopen(path, "wb");
    if (file == NULL || fwrite(bytes, 1, n, file) != n || fclose(file) != 0) {
        abort();
    }
}

/* One line: what it names, as a float32 tensor of at most 4096 elements. @return bytes of its data */
static size_t put_tensor(qn_buffer *header, const char *line, size_t n, size_t off, bool is_first) {
    unsigned rows = 4;
    unsigned cols = 32;
    const char *space = memchr(line, ' ', n);
    const size_t n_name = space == NULL ? n : (size_t)(space - line);
    char sizes[32] = "";
    if (space != NULL) {
        (void)snprintf(sizes, sizeof sizes, "%.*s", (int)(n - n_name < 30 ? n - n_name : 30), space);
        (void)sscanf(sizes, "%4u %4u", &rows, &cols);
    }
    rows %= 65;
    cols %= 65;
    qn_buffer_text(header, is_first ? "{" : ",");
    json_t *name = qn_json_text(line, n_name);
    char *quoted = name == NULL ? NULL : json_dumps(name, JSON_ENCODE_ANY);
    const size_t size = (size_t)rows * cols * 4;
    qn_buffer_printf(header, "%s:{\"dtype\":\"F32\",\"shape\":[%u,%u],\"data_offsets\":[%zu,%zu]}",
                     quoted == NULL ? "\"\"" : quoted, rows, cols, off, off + size);
    free(quoted);
    json_decref(name);
    return size;
}

static void write_weights(const char *dir, const char *text, size_t n) {
    qn_buffer header = {0};
    qn_buffer file = {0};
    size_t off = 0;
    unsigned n_tensors = 0;
    while (n > 0 && n_tensors < MAX_TENSORS) {
        const char *end = memchr(text, '\n', n);
        const size_t n_line = end == NULL ? n : (size_t)(end - text);
        off += put_tensor(&header, text, n_line, off, n_tensors++ == 0);
        text += n_line + (end == NULL ? 0 : 1);
        n -= n_line + (end == NULL ? 0 : 1);
    }
    qn_buffer_text(&header, n_tensors == 0 ? "{}" : "}");
    qn_buffer_u64(&file, header.len);
    qn_buffer_append(&file, header.data, header.len);
    qn_buffer_zeros(&file, off);
    if (file.has_failed || header.has_failed) {
        abort();
    }
    write_all(dir, "adapter_model.safetensors", file.data, file.len);
    qn_buffer_clear(&header);
    qn_buffer_clear(&file);
}

static void remove_all(const char *dir) {
    static const char *const names[] = {"adapter_config.json", "adapter_model.safetensors", "config.json"};
    char path[MAX_PATH];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    (void)rmdir(dir);
}

static void check_parts(const qn_adapter *adapter) {
    if (adapter->n_parts == 0) {
        abort();
    }
    for (uint64_t i = 0; i < adapter->n_parts; i++) {
        const qn_adapter_part *part = &adapter->parts[i];
        const bool is_pair = part->a != NULL && part->b != NULL && part->rank > 0;
        if (part->module[0] == '\0' || (!is_pair && part->full_weight == NULL && part->full_bias == NULL)) {
            abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
    char dir[] = "/tmp/quern-fuzz-XXXXXX";
    qn_adapter *adapter = NULL;
    qn_model *model = NULL;
    qn_error err = {QN_OK, ""};
    if (size_bytes > MAX_INPUT || mkdtemp(dir) == NULL) {
        return 0;
    }
    const uint8_t *zero = size_bytes == 0 ? NULL : memchr(data, 0, size_bytes);
    const size_t n_config = zero == NULL ? size_bytes : (size_t)(zero - data);
    write_all(dir, "adapter_config.json", data, n_config);
    write_weights(dir, (const char *)data + n_config + (zero == NULL ? 0 : 1),
                  zero == NULL ? 0 : size_bytes - n_config - 1);
    write_all(dir, "config.json", base_config, sizeof base_config - 1);
    if (qn_adapter_open(dir, 1.0, NULL, &adapter, &err) == QN_OK) {
        check_parts(adapter);
    } else if (err.message[0] == '\0') {
        abort();
    }
    qn_adapter_close(adapter);
    const qn_adapter_ref ref = {dir, 0.5};
    if (qn_model_open_adapter(dir, &ref, "fuzz", NULL, &model, &err) != QN_OK && err.message[0] == '\0') {
        abort();
    }
    qn_model_close(model);
    remove_all(dir);
    return 0;
}
