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

static void add_heading(qn_table *table, const char *const *heading, size_t n) {
    for (size_t i = 0; i < n; i++) {
        qn_table_add(table, "%s", heading[i]);
    }
}

static void print_files(void) {
    static const char *const heading[] = {"FILE TYPE", "MOST TENSORS", "IMPORTANCE MATRIX"};
    const qn_terminal to = qn_terminal_of(stdout);
    qn_table *table = qn_table_new("lll");
    qn_file_type file;
    add_heading(table, heading, 3);
    for (size_t i = 0; qn_file_type_at(i, &file); i++) {
        qn_table_add(table, "%s", file.name);
        qn_table_add(table, "%s", qn_dtype_get((uint32_t)file.base)->name);
        qn_table_add(table, "%s", file.needs_imatrix ? "needed" : "");
    }
    qn_table_print(table, &to);
    qn_table_free(table);
}

static void print_tensors(const uint32_t *ids, size_t n) {
    static const char *const heading[] = {"TENSOR TYPE", "BITS/WEIGHT", "WEIGHTS/BLOCK",
                                          "BYTES/BLOCK", "READS",       "WRITES"};
    const qn_terminal to = qn_terminal_of(stdout);
    qn_table *table = qn_table_new("lrrrll");
    add_heading(table, heading, 6);
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

static json_t *tensors_json(const uint32_t *ids, size_t n, bool *has_failed) {
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        const qn_dtype_info *info = qn_dtype_get(ids[i]);
        json_t *row = json_pack("{s:s, s:i, s:f, s:i, s:i, s:b, s:b}", "name", info->name, "id", (int)ids[i],
                                "bits_per_weight", bits_of(info), "block_len", (int)info->block_len, "block_bytes",
                                (int)info->block_bytes, "reads", info->has_decoder, "writes", info->has_encoder);
        *has_failed = json_array_append_new(list, row) != 0 || *has_failed;
    }
    return list;
}

static json_t *files_json(bool *has_failed) {
    json_t *list = json_array();
    qn_file_type file;
    for (size_t i = 0; qn_file_type_at(i, &file); i++) {
        json_t *row = json_pack("{s:s, s:s, s:b}", "name", file.name, "base", qn_dtype_get((uint32_t)file.base)->name,
                                "needs_imatrix", file.needs_imatrix);
        *has_failed = json_array_append_new(list, row) != 0 || *has_failed;
    }
    return list;
}

static qn_status print_json(const uint32_t *ids, size_t n, qn_error *err) {
    bool has_failed = false;
    json_t *files = files_json(&has_failed);
    json_t *tensors = tensors_json(ids, n, &has_failed);
    json_t *document = json_pack("{s:o, s:o}", "files", files, "tensors", tensors);
    char *text = has_failed || document == NULL ? NULL
                                                : qn_json_dump(document, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(document);
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
    print_files();
    (void)putchar('\n');
    print_tensors(ids, n);
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
    .summary = "list the types of files and tensors",
    .about =
        "Lists the file types that -t takes, and the element types of tensors, largest first: bits a weight, weights "
        "and bytes a block, and whether quern reads (decodes) and writes (encodes) them.\n\n"
        "A file type such as Q4_K_M is a mixture: most tensors as Q4_K, sensitive ones with more bits. `quern "
        "quantize --dry-run` shows which tensor gets which type.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = 1,
    .settings_size = sizeof(types_settings),
    .run = run_types,
};
