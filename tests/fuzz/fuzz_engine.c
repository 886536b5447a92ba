/* SPDX-License-Identifier: MIT */
/*
 * fuzz_engine.c: any bytes as a GGUF file that is run, and from a second "GGUF" on as an adapter for it: refused with a
 * message, or some tokens can be decoded with it. What the numbers make of each other is not looked at.
 */
#include "engine/engine.h"
#include "engine/lora.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

/* Tokens of one batch and of the next. A file of few bytes has no larger matrices. */
enum { MAX_INPUT = 1 << 14, N_TOKENS = 3, N_BATCH = 2, MAX_VOCAB = MAX_INPUT, MAX_KV_BYTES = 1 << 26 };

static void check_failure(qn_status status, const qn_error *err) {
    if (err->status != status || err->message[0] == '\0') {
        abort();
    }
}

/* A file of its own; unlink() it. */
static void write_file(char *path, const uint8_t *data, size_t size_bytes) {
    const int fd = mkstemp(path);
    if (fd < 0 || (size_bytes > 0 && write(fd, data, size_bytes) != (ssize_t)size_bytes)) {
        abort();
    }
    (void)close(fd);
}

/* Where the adapter begins; the end when there is none. */
static size_t find_adapter(const uint8_t *data, size_t size_bytes) {
    for (size_t i = 4; i + 4 <= size_bytes; i++) {
        if (memcmp(data + i, "GGUF", 4) == 0) {
            return i;
        }
    }
    return size_bytes;
}

static void decode(qn_engine *engine) {
    const uint64_t n_vocab = qn_engine_n_vocab(engine);
    const int32_t tokens[N_TOKENS] = {0, (int32_t)(n_vocab - 1), 0};
    qn_sequence *sequence = NULL;
    qn_error err = {QN_OK, ""};
    if (n_vocab > MAX_VOCAB || qn_engine_kv_bytes(engine) > MAX_KV_BYTES) {
        return;
    }
    float *logits = calloc(N_TOKENS * (size_t)n_vocab, sizeof *logits);
    qn_status status = logits == NULL ? QN_E_NOMEM : qn_sequence_new(engine, &sequence, &err);
    if (status == QN_OK) {
        status = qn_engine_decode(engine, sequence, tokens, N_TOKENS, true, logits, &err);
    }
    if (status != QN_OK && logits != NULL) {
        check_failure(status, &err);
    }
    qn_sequence_free(sequence);
    free(logits);
}

static void run(const char *model, const qn_lora *const *loras, uint64_t n_loras) {
    const qn_engine_options options = {.n_batch = N_BATCH, .n_threads = 1, .loras = loras, .n_loras = n_loras};
    qn_engine *engine = NULL;
    qn_error err = {QN_OK, ""};
    const qn_status status = qn_engine_open(model, &options, NULL, &engine, &err);
    if (status != QN_OK) {
        check_failure(status, &err);
        return;
    }
    decode(engine);
    qn_engine_free(engine);
}

/* The adapter is taken to be for whatever the model is. */
static void run_with_adapter(const char *model, const char *adapter) {
    qn_provider provider;
    qn_lora *lora = NULL;
    qn_error err = {QN_OK, ""};
    if (qn_provider_open(model, &provider, &err) != QN_OK) {
        return;
    }
    const char *arch = qn_meta_string(provider.meta, "general.architecture");
    const qn_status status = qn_lora_open(adapter, 0.5, model, arch == NULL ? "llama" : arch, NULL, &lora, &err);
    if (status != QN_OK) {
        check_failure(status, &err);
    } else {
        const qn_lora *const all[] = {lora, lora};
        run(model, all, 2);
    }
    qn_lora_close(lora);
    provider.close(provider.self);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
    char model[] = "/tmp/fuzz-engine-XXXXXX";
    char adapter[] = "/tmp/fuzz-engine-XXXXXX";
    if (size_bytes > MAX_INPUT) {
        return 0;
    }
    const size_t n_model = find_adapter(data, size_bytes);
    write_file(model, data, n_model);
    if (n_model == size_bytes) {
        run(model, NULL, 0);
    } else {
        write_file(adapter, data + n_model, size_bytes - n_model);
        run_with_adapter(model, adapter);
        (void)unlink(adapter);
    }
    (void)unlink(model);
    return 0;
}
