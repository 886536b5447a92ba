/* SPDX-License-Identifier: MIT */
/* fuzz_config.c: any bytes as config.json: refused, or hyper-parameters that sizes, keys and tensors can be made of. */
#include "arch/arch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum { MAX_INPUT = 1 << 16 };

static void check_failure(qn_status status, const qn_error *err) {
    if (err->status != status || strncmp(err->message, "fuzz.json: ", 11) != 0) {
        abort();
    }
}

/* What was read can be counted, written and generated without a check at each place. */
static void use(const qn_arch *arch, const qn_hparams *h, qn_arena *arena) {
    qn_meta meta = qn_meta_new(arena);
    qn_generated made[QN_MAX_GENERATED];
    qn_error err = {QN_OK, ""};
    size_t n = 0;
    for (int dim = QN_DIM_NONE; dim <= QN_DIM_QKV; dim++) {
        if (qn_arch_dim((qn_dim)dim, h, 1000) > 1ULL << 48) {
            abort();
        }
    }
    qn_arch_write_keys(arch, h, &meta);
    for (uint64_t i = 0; i < meta.n; i++) {
        if (meta.entries[i].value.type == QN_META_F32 && !isfinite(meta.entries[i].value.as.f)) {
            abort();
        }
    }
    if (arch->generate != NULL && arch->generate(h, arena, made, &n, &err) == QN_OK && n > QN_MAX_GENERATED) {
        abort();
    }
}

/* Reads the config as the family's, whether it says so or not. */
static void read_as(const qn_arch *arch, const json_t *config) {
    qn_arena *arena = qn_arena_new();
    qn_hparams h;
    qn_error err = {QN_OK, ""};
    qn_status status = qn_hparams_read("fuzz.json", config, arch->defaults, arch->n_defaults, arch->tied_by_default,
                                       arena, &h, &err);
    if (status == QN_OK && arch->derive != NULL) {
        status = arch->derive("fuzz.json", config, &h, &err);
    }
    if (status == QN_OK) {
        use(arch, &h, arena);
    } else {
        check_failure(status, &err);
    }
    qn_arena_free(arena);
}

/* Every text of the config as the name of a tensor. */
static void match_names(const json_t *config) {
    const char *key = NULL;
    json_t *value = NULL;
    json_object_foreach((json_t *)(uintptr_t)config, key, value) {
        for (size_t i = 0; qn_arch_at(i) != NULL; i++) {
            qn_tensor_match match;
            if (qn_arch_match(qn_arch_at(i), key, &match) && match.layer > 999999999) {
                abort();
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
    json_t *config = NULL;
    const qn_arch *arch = NULL;
    const json_t *text = NULL;
    qn_error err = {QN_OK, ""};
    if (size_bytes > MAX_INPUT || qn_json_parse("fuzz.json", (const char *)data, size_bytes, &config, &err) != QN_OK) {
        return 0;
    }
    const qn_status status = qn_arch_find("fuzz.json", config, &arch, &text, &err);
    if (status == QN_OK) {
        read_as(arch, text);
    } else {
        check_failure(status, &err);
    }
    for (size_t i = 0; json_is_object(config) && qn_arch_at(i) != NULL; i++) {
        read_as(qn_arch_at(i), config);
    }
    match_names(config);
    json_decref(config);
    return 0;
}
