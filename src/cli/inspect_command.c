/* SPDX-License-Identifier: MIT */
/* inspect_command.c: `quern inspect`, what a model file or folder is. */
#include "base/json.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/table.h"
#include "quern/quern.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct inspect_settings {
    uint64_t n_ctx;
    bool has_tensors;
    bool is_json;
} inspect_settings;

enum { MAX_VALUE = 160, MAX_TEMPLATE = 60 };

static const char *kind_text(const char *kind) {
    static const char *const kinds[][2] = {
        {"gguf", "GGUF model"},
        {"safetensors", "safetensors file"},
        {"model", "Hugging Face model"},
        {"adapter", "PEFT adapter"},
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(kind, kinds[i][0]) == 0) {
            return kinds[i][1];
        }
    }
    return kind;
}

static void print_headline(const qn_terminal *to, const json_t *answer) {
    const char *name = qn_field_text(answer, "name");
    const char *arch = qn_field_text(answer, "arch");
    const size_t n_files = json_array_size(json_object_get(answer, "files"));
    (void)fputs(qn_terminal_style(to, QN_STYLE_BOLD), to->file);
    (void)fprintf(to->file, "%s", name[0] != '\0' ? name : qn_field_text(answer, "path"));
    (void)fputs(qn_terminal_style(to, QN_STYLE_NONE), to->file);
    const char *kind = qn_field_text(answer, "kind");
    const bool is_gguf_adapter = strcmp(kind, "gguf") == 0 && json_is_object(json_object_get(answer, "adapter"));
    (void)fprintf(to->file, ": %s", is_gguf_adapter ? "GGUF adapter" : kind_text(kind));
    if (arch[0] != '\0') {
        (void)fprintf(to->file, ", %s", arch);
    }
    (void)fprintf(to->file, ", %s parameters", qn_human_count(qn_field_u64(answer, "n_weights")).text);
    if (n_files > 1) {
        (void)fprintf(to->file, ", %zu files", n_files);
    }
    (void)fputs("\n\n", to->file);
}

static void print_size(const qn_terminal *to, const json_t *answer) {
    qn_print_fact(to, "path", "%s", qn_field_text(answer, "path"));
    qn_print_fact(to, "tensors", "%s with %s weights", qn_human_number(qn_field_u64(answer, "n_tensors")).text,
                  qn_human_number(qn_field_u64(answer, "n_weights")).text);
    qn_print_fact(to, "size", "%s, %s bits per weight", qn_human_size(qn_field_u64(answer, "size_bytes")).text,
                  qn_human_bits(qn_field_f64(answer, "bits_per_weight")).text);
}

/* What a key of the hyper-parameters is called; NULL for one that another line tells. */
static const char *hyperparameter_label(const char *key) {
    static const char *const labels[][2] = {
        {"n_layer", "layers"},
        {"n_embd", "embedding"},
        {"n_head", "heads"},
        {"n_head_kv", "key/value heads"},
        {"head_dim", "head width"},
        {"n_ff", "feed-forward"},
        {"n_ctx", "context"},
        {"n_vocab", NULL},
        {"n_expert", "experts"},
        {"n_expert_used", "experts used"},
        {"rope_dim", "rope width"},
        {"rope_base", "rope base"},
        {"rope_scaling", "rope scaling"},
        {"rope_factor", "rope factor"},
        {"rms_eps", "norm epsilon"},
        {"norm_eps", "norm epsilon"},
        {"sliding_window", "sliding window"},
    };
    for (size_t i = 0; i < sizeof labels / sizeof labels[0]; i++) {
        if (strcmp(key, labels[i][0]) == 0) {
            return labels[i][1];
        }
    }
    return key;
}

static void print_hyperparameters(const qn_terminal *to, json_t *parameters) {
    const char *key;
    json_t *value;
    json_object_foreach(parameters, key, value) {
        const char *label = hyperparameter_label(key);
        if (json_is_null(value) || label == NULL) {
            continue;
        }
        if (json_is_integer(value) && json_integer_value(value) >= 0) {
            qn_print_fact(to, label, "%s", qn_human_number((uint64_t)json_integer_value(value)).text);
        } else if (json_is_string(value)) {
            qn_print_fact(to, label, "%s", json_string_value(value));
        } else {
            char *text = qn_json_dump(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(7));
            qn_print_fact(to, label, "%s", text == NULL ? "" : text);
            free(text);
        }
    }
}

/* Appends "bos 1 <s>" for a special token, { "id", "text" }, or for each of a list of those. */
static void add_token(qn_buffer *line, const char *name, const json_t *token) {
    uint64_t id;
    for (size_t i = 0; i < json_array_size(token); i++) {
        add_token(line, name, json_array_get(token, i));
    }
    if (qn_json_u64(token, "id", &id)) {
        qn_buffer_printf(line, "%s%s%s%llu %s", line->len > 0 ? ", " : "", name, name[0] != '\0' ? " " : "",
                         (unsigned long long)id, qn_field_text(token, "text"));
    }
}

static void print_tokens(const qn_terminal *to, const char *label, qn_buffer *line) {
    char *text = line->len > 0 ? qn_buffer_take_text(line) : NULL;
    if (text != NULL) {
        qn_print_fact(to, label, "%s", text);
        free(text);
    }
}

/* What may end an answer stands on a line of its own: it is what most often goes wrong. */
static void print_special_tokens(const qn_terminal *to, json_t *vocabulary) {
    const char *key;
    json_t *value;
    qn_buffer special = {0};
    qn_buffer ends = {0};
    json_object_foreach(vocabulary, key, value) {
        const bool is_end = strcmp(key, "eos_ids") == 0;
        add_token(is_end ? &ends : &special, is_end ? "" : key, value);
    }
    print_tokens(to, "special tokens", &special);
    print_tokens(to, "ends of turn", &ends);
}

static void print_vocabulary(const qn_terminal *to, json_t *vocabulary) {
    if (!json_is_object(vocabulary)) {
        return;
    }
    const char *pre = qn_field_text(vocabulary, "pre");
    qn_print_fact(to, "vocabulary", "%s%s%s%s, %s tokens", qn_field_text(vocabulary, "model"),
                  pre[0] != '\0' ? " (" : "", pre, pre[0] != '\0' ? ")" : "",
                  qn_human_number(qn_field_u64(vocabulary, "n_tokens")).text);
    print_special_tokens(to, vocabulary);
}

static void print_template(const qn_terminal *to, const json_t *answer) {
    const char *text = qn_json_string(answer, "chat_template");
    if (text != NULL) {
        const size_t first = strcspn(text, "\n");
        const size_t shown = first < MAX_TEMPLATE ? first : MAX_TEMPLATE;
        qn_print_fact(to, "chat template", "%s characters: %.*s%s", qn_human_number(strlen(text)).text, (int)shown,
                      text, text[shown] == '\0' ? "" : " ...");
    } else if (json_is_object(json_object_get(answer, "vocabulary"))) {
        qn_print_fact(to, "chat template", "none");
    }
}

static void print_memory(const qn_terminal *to, const json_t *memory) {
    if (json_is_object(memory)) {
        qn_print_fact(to, "memory to run", "%s with %s tokens of context: weights %s, KV cache %s, compute %s",
                      qn_human_size(qn_field_u64(memory, "total_bytes")).text,
                      qn_human_number(qn_field_u64(memory, "ctx")).text,
                      qn_human_size(qn_field_u64(memory, "weights_bytes")).text,
                      qn_human_size(qn_field_u64(memory, "kv_bytes")).text,
                      qn_human_size(qn_field_u64(memory, "compute_bytes")).text);
    }
}

static void print_adapter(const qn_terminal *to, const json_t *adapter) {
    if (!json_is_object(adapter)) {
        return;
    }
    qn_print_fact(to, "adapter", "%s, rank %s, alpha %g, pairs: %s", qn_field_text(adapter, "peft_type"),
                  qn_human_number(qn_field_u64(adapter, "rank")).text, qn_field_f64(adapter, "alpha"),
                  qn_human_number(qn_field_u64(adapter, "n_pairs")).text);
    const json_t *variants = json_object_get(adapter, "variants");
    for (size_t i = 0; i < json_array_size(variants); i++) {
        qn_print_fact(to, i == 0 ? "variants" : "", "%s", json_string_value(json_array_get(variants, i)));
    }
    if (qn_field_text(adapter, "base")[0] != '\0') {
        qn_print_fact(to, "base", "%s", qn_field_text(adapter, "base"));
    }
    const json_t *others = json_object_get(adapter, "others");
    for (size_t i = 0; i < json_array_size(others); i++) {
        qn_print_fact(to, i == 0 ? "also holds" : "", "%s", json_string_value(json_array_get(others, i)));
    }
}

static void print_notes(const qn_terminal *to, const json_t *notes) {
    for (size_t i = 0; i < json_array_size(notes); i++) {
        qn_print_fact(to, "note", "%s", json_string_value(json_array_get(notes, i)));
    }
}

static void print_types(const qn_terminal *to, const json_t *answer) {
    const char *name;
    json_t *type;
    json_t *types = json_object_get(answer, "types");
    const double total = (double)qn_field_u64(answer, "size_bytes");
    qn_table *table = qn_table_new("lrrr");
    const char *const heading[] = {"TYPE", "TENSORS", "SIZE", "SHARE"};
    for (size_t i = 0; i < 4; i++) {
        qn_table_add(table, "%s", heading[i]);
    }
    json_object_foreach(types, name, type) {
        const uint64_t size = qn_field_u64(type, "size_bytes");
        qn_table_add(table, "%s", name);
        qn_table_add(table, "%s", qn_human_number(qn_field_u64(type, "n_tensors")).text);
        qn_table_add(table, "%s", qn_human_size(size).text);
        qn_table_add(table, "%.1f%%", total > 0 ? 100 * (double)size / total : 0);
    }
    (void)fputc('\n', to->file);
    qn_table_print(table, to);
    qn_table_free(table);
}

/* Strings stand bare, arrays as JSON with "…" for what the document leaves out; both are cut at MAX_VALUE bytes. */
static void add_value(qn_table *table, const json_t *item) {
    const json_t *value = json_object_get(item, "value");
    const uint64_t n = qn_field_u64(item, "n");
    char *dumped = json_is_string(value) || value == NULL
        ? NULL
        : qn_json_dump(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
    const char *text = json_is_string(value) ? json_string_value(value) : dumped == NULL ? "" : dumped;
    const size_t shown = strlen(text) > MAX_VALUE ? MAX_VALUE : strlen(text);
    char count[48] = "";
    if (n > json_array_size(value)) {
        (void)snprintf(count, sizeof count, "%s items: ", qn_human_number(n).text);
    }
    qn_table_add(table, "%s%.*s%s", count, (int)shown, text, text[shown] == '\0' ? "" : " ...");
    free(dumped);
}

static void print_metadata(const qn_terminal *to, const json_t *list) {
    if (json_array_size(list) == 0) {
        return;
    }
    qn_table *table = qn_table_new("llt");
    qn_table_add(table, "METADATA");
    qn_table_add(table, "TYPE");
    qn_table_add(table, "VALUE");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *item = json_array_get(list, i);
        qn_table_add(table, "%s", qn_field_text(item, "key"));
        qn_table_add(table, "%s", qn_field_text(item, "type"));
        add_value(table, item);
    }
    (void)fputc('\n', to->file);
    qn_table_print(table, to);
    qn_table_free(table);
}

static void print_tensors(const qn_terminal *to, const json_t *list) {
    qn_table *table = qn_table_new("pllr");
    const char *const heading[] = {"TENSOR", "SHAPE", "TYPE", "SIZE"};
    for (size_t i = 0; i < 4; i++) {
        qn_table_add(table, "%s", heading[i]);
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *tensor = json_array_get(list, i);
        qn_table_add(table, "%s", qn_field_text(tensor, "name"));
        qn_table_add_shape(table, json_object_get(tensor, "shape"));
        qn_table_add(table, "%s", qn_field_text(tensor, "type"));
        qn_table_add(table, "%s", qn_human_size(qn_field_u64(tensor, "size_bytes")).text);
    }
    (void)fputc('\n', to->file);
    qn_table_print(table, to);
    qn_table_free(table);
}

static void print_answer(const json_t *answer, bool has_tensors) {
    const qn_terminal to = qn_terminal_of(stdout);
    print_headline(&to, answer);
    print_size(&to, answer);
    print_adapter(&to, json_object_get(answer, "adapter"));
    print_hyperparameters(&to, json_object_get(answer, "hyperparameters"));
    print_vocabulary(&to, json_object_get(answer, "vocabulary"));
    print_template(&to, answer);
    print_memory(&to, json_object_get(answer, "memory"));
    print_notes(&to, json_object_get(answer, "notes"));
    print_types(&to, answer);
    print_metadata(&to, json_object_get(answer, "metadata"));
    if (has_tensors) {
        print_tensors(&to, json_object_get(answer, "tensors"));
    }
}

static qn_status run_inspect(const void *settings, const qn_operands *operands, qn_error *err) {
    const inspect_settings *s = settings;
    char *text = NULL;
    QN_TRY(qn_inspect(operands->items[0], s->n_ctx, &text, err));
    if (s->is_json) {
        qn_document_print(text);
        return QN_OK;
    }
    json_t *answer = NULL;
    const qn_status status = qn_document_parse(text, &answer, err);
    if (status == QN_OK) {
        print_answer(answer, s->has_tensors);
        json_decref(answer);
    }
    free(text);
    return status;
}

static const qn_option options[] = {
    {.name = "tensors",
     .kind = QN_OPTION_FLAG,
     .offset = offsetof(inspect_settings, has_tensors),
     .group = "Output",
     .help = "list every tensor with shape, type and size"},
    {.name = "ctx",
     .kind = QN_OPTION_COUNT,
     .offset = offsetof(inspect_settings, n_ctx),
     .argument = "N",
     .group = "Output",
     .help = "tokens of context for the memory estimate",
     .fallback = "the model's own, at most 8192"},
    {.name = "json",
     .kind = QN_OPTION_FLAG,
     .offset = offsetof(inspect_settings, is_json),
     .group = "Output",
     .help = "print everything as a JSON document"},
};

static const qn_example examples[] = {
    {"quern inspect out/miller-sft-Q4_K_M.gguf", "what a file is and the memory it needs to run"},
    {"quern inspect ~/models/base --ctx 32768", "a Hugging Face folder, with a long context"},
    {"quern inspect model-00001-of-00004.gguf --tensors", "all shards as one model, tensor by tensor"},
};

const qn_command qn_inspect_command = {
    .name = "inspect",
    .operands = "PATH",
    .summary = "tell what a model file or folder is",
    .about =
        "Describes a GGUF file (shards count as one model), a safetensors file, a Hugging Face model folder or a PEFT "
        "adapter folder: architecture, sizes by type, bits per weight, vocabulary, chat template, the memory needed "
        "to run it, and all metadata. Only headers are read.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .min_operands = 1,
    .max_operands = 1,
    .settings_size = sizeof(inspect_settings),
    .run = run_inspect,
};
