/* SPDX-License-Identifier: MIT */
/* types_command.c: `quern types`, the table of element types. */
#include "base/json.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/table.h"
#include "quern/quern.h"

#include <stddef.h>
#include <stdlib.h>

typedef struct types_settings {
    bool is_json;
} types_settings;

static double bits_of(const qn_dtype_info *info) {
    return 8.0 * info->block_bytes / info->block_len;
}

/* What a weight can be stored as: the ids of GGUF, without integers and types that nothing reads or writes. */
static bool is_listed(uint32_t id) {
    const qn_dtype_info *info = qn_dtype_get(id);
    return id < QN_U8 && info != NULL && (info->is_quantized || id == QN_F32 || id == QN_F16 || id == QN_BF16);
}

static int by_bits(const void *a, const void *b) {
    const uint32_t id_a = *(const uint32_t *)a;
    const uint32_t id_b = *(const uint32_t *)b;
    const double bits_a = bits_of(qn_dtype_get(id_a));
    const double bits_b = bits_of(qn_dtype_get(id_b));
    return bits_a != bits_b ? (bits_a < bits_b ? 1 : -1) : (id_a > id_b) - (id_a < id_b);
}

static size_t list_types(uint32_t ids[QN_DTYPE_LIMIT]) {
    size_t n = 0;
    for (uint32_t id = 0; id < QN_DTYPE_LIMIT; id++) {
        if (is_listed(id)) {
            ids[n++] = id;
        }
    }
    qsort(ids, n, sizeof *ids, by_bits);
    return n;
}

static void print_table(const uint32_t *ids, size_t n) {
    const qn_terminal to = qn_terminal_of(stdout);
    qn_table *table = qn_table_new("lrrrll");
    const char *const heading[] = {"TYPE", "BITS/WEIGHT", "WEIGHTS/BLOCK", "BYTES/BLOCK", "READS", "WRITES"};
    for (size_t i = 0; i < sizeof heading / sizeof heading[0]; i++) {
        qn_table_add(table, "%s", heading[i]);
    }
    for (size_t i = 0; i < n; i++) {
        const qn_dtype_info *info = qn_dtype_get(ids[i]);
        qn_table_add(table, "%s", info->name);
        qn_table_add(table, "%s", qn_human_bits(bits_of(info)).text);
        qn_table_add(table, "%u", (unsigned)info->block_len);
        qn_table_add(table, "%u", (unsigned)info->block_bytes);
        qn_table_add(table, "%s", info->has_decoder ? "yes" : "no");
        qn_table_add(table, "%s", info->has_encoder ? "yes" : "no");
    }
    qn_table_print(table, &to);
    qn_table_free(table);
}

static qn_status print_json(const uint32_t *ids, size_t n, qn_error *err) {
    json_t *list = json_array();
    bool has_failed = list == NULL;
    for (size_t i = 0; i < n; i++) {
        const qn_dtype_info *info = qn_dtype_get(ids[i]);
        json_t *row = json_pack("{s:s, s:i, s:f, s:i, s:i, s:b, s:b}", "name", info->name, "id", (int)ids[i],
                                "bits_per_weight", bits_of(info), "block_len", (int)info->block_len, "block_bytes",
                                (int)info->block_bytes, "reads", info->has_decoder, "writes", info->has_encoder);
        has_failed = json_array_append_new(list, row) != 0 || has_failed;
    }
    char *text = has_failed ? NULL : qn_json_dump(list, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(list);
    if (text == NULL) {
        return qn_fail_nomem(err, "types", n);
    }
    qn_document_print(text);
    return QN_OK;
}

static qn_status run_types(const void *settings, const qn_operands *operands, qn_error *err) {
    const types_settings *s = settings;
    uint32_t ids[QN_DTYPE_LIMIT];
    const size_t n = list_types(ids);
    (void)operands;
    if (s->is_json) {
        return print_json(ids, n, err);
    }
    print_table(ids, n);
    return QN_OK;
}

static const qn_option options[] = {
    {.name = "json",
     .kind = QN_OPTION_FLAG,
     .offset = offsetof(types_settings, is_json),
     .group = "Output",
     .help = "print a JSON document instead of a table"},
};

static const qn_example examples[] = {{"quern types", "which types there are and what a weight costs in each"}};

const qn_command qn_types_command = {
    .name = "types",
    .operands = "",
    .summary = "list the types that tensors can be stored as",
    .about =
        "Lists the element types of GGUF files, largest first: bits a weight, weights and bytes a block, and whether "
        "quern reads (decodes) and writes (encodes) them.\n\n"
        "A file type such as Q4_K_M is a mixture: most tensors as Q4_K, sensitive ones with more bits. `quern pack "
        "--dry-run` shows which tensor gets which type.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = 1,
    .settings_size = sizeof(types_settings),
    .run = run_types,
};
