/* SPDX-License-Identifier: MIT */
/* pack_report.c: tables of a plan's outputs and tensors, of results, and the commands that use them. */
#include "cli/pack_report.h"

#include "base/buffer.h"
#include "cli/document.h"

#include <inttypes.h>
#include <string.h>

enum { MAX_MATRIX_OUTPUTS = 8 };

static void add_cells(qn_table *table, const char *const *cells, size_t n) {
    for (size_t i = 0; i < n; i++) {
        qn_table_add(table, "%s", cells[i]);
    }
}

static void print_model(const qn_terminal *to, const json_t *model) {
    (void)fprintf(to->file, "%s%s%s: ", qn_terminal_style(to, QN_STYLE_BOLD), qn_field_text(model, "name"),
                  qn_terminal_style(to, QN_STYLE_NONE));
    (void)fprintf(to->file, "%s, %s parameters", qn_field_text(model, "arch"),
                  qn_human_count(qn_field_u64(model, "n_weights")).text);
    static const char *const numbers[][3] = {
        {"n_layer", "", " layers"}, {"n_ctx", "context ", ""}, {"vocab_size", "vocabulary ", ""}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const uint64_t n = qn_field_u64(model, numbers[i][0]);
        if (n > 0) {
            (void)fprintf(to->file, ", %s%s%s", numbers[i][1], qn_human_number(n).text, numbers[i][2]);
        }
    }
    (void)fputs("\n\n", to->file);
}

static void print_adapters(const qn_terminal *to, const json_t *model, const char *checkpoint_dir) {
    const json_t *adapters = json_object_get(model, "adapters");
    for (size_t i = 0; i < json_array_size(adapters); i++) {
        const json_t *adapter = json_array_get(adapters, i);
        const double scale = qn_field_f64(adapter, "scale");
        const char *dir = qn_field_text(adapter, "dir");
        char strength[48] = "";
        if (scale != 1) {
            (void)snprintf(strength, sizeof strength, " at strength %g", scale);
        }
        qn_print_fact(to, "adapter", "%s%s, %s pairs", strcmp(dir, checkpoint_dir) == 0 ? "the checkpoint's" : dir,
                      strength, qn_human_number(qn_field_u64(adapter, "n_pairs")).text);
    }
}

static void print_source(const qn_terminal *to, const json_t *model) {
    const json_t *checkpoint = json_object_get(model, "checkpoint");
    const char *dir = qn_field_text(checkpoint, "dir");
    qn_print_fact(to, "base", "%s", qn_field_text(model, "source"));
    if (json_is_object(checkpoint)) {
        qn_print_fact(to, "checkpoint", "%s (%s)", dir, qn_field_text(checkpoint, "why"));
    }
    print_adapters(to, model, dir);
}

/* "blk.12.ffn_up.weight": its layer, and the name without it. @return false outside layers */
static bool parse_layer(const char *name, unsigned *layer, const char **rest) {
    int n = 0;
    if (sscanf(name, "blk.%u.%n", layer, &n) != 1 || n == 0) {
        return false;
    }
    *rest = name + n;
    return true;
}

static void print_layers(const qn_terminal *to, bool is_later, unsigned first, unsigned last, const char *type) {
    (void)fprintf(to->file, "%s%u", is_later ? ", " : "", first);
    if (last != first) {
        (void)fprintf(to->file, "-%u", last);
    }
    (void)fprintf(to->file, " %s", type);
}

/* "ffn_up.weight   0-3 Q5_K, 4-27 Q4_K": the types of one kind of tensor over the layers. */
static void print_role(const qn_terminal *to, const json_t *tensors, const char *role) {
    const char *type = NULL;
    unsigned first = 0;
    unsigned last = 0;
    bool is_later = false;
    (void)fprintf(to->file, "  %-24s", role);
    for (size_t i = 0; i <= json_array_size(tensors); i++) {
        const json_t *t = json_array_get(tensors, i);
        const char *rest = NULL;
        unsigned layer = 0;
        const bool is_end = t == NULL;
        if (!is_end && (!parse_layer(qn_field_text(t, "name"), &layer, &rest) || strcmp(rest, role) != 0)) {
            continue;
        }
        if (!is_end && type != NULL && strcmp(type, qn_field_text(t, "type")) == 0) {
            last = layer;
            continue;
        }
        if (type != NULL) {
            print_layers(to, is_later, first, last, type);
            is_later = true;
        }
        type = is_end ? NULL : qn_field_text(t, "type");
        first = last = layer;
    }
    (void)fputc('\n', to->file);
}

/* Whether tensor i is the first of its kind. */
static bool is_first_of_role(const json_t *tensors, size_t i, const char *role) {
    for (size_t k = 0; k < i; k++) {
        const char *rest = NULL;
        unsigned layer = 0;
        if (parse_layer(qn_field_text(json_array_get(tensors, k), "name"), &layer, &rest) && strcmp(rest, role) == 0) {
            return false;
        }
    }
    return true;
}

/* The types that were chosen by measured error, one line a kind of tensor. */
static void print_chosen(const qn_terminal *to, const json_t *output) {
    const json_t *tensors = json_object_get(output, "tensors");
    (void)fprintf(to->file, "\n  chosen for %s, by layer:\n", qn_field_text(output, "type"));
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *t = json_array_get(tensors, i);
        const char *name = qn_field_text(t, "name");
        const char *rest = NULL;
        unsigned layer = 0;
        if (json_array_size(json_object_get(t, "shape")) < 2) {
            continue;
        }
        if (!parse_layer(name, &layer, &rest)) {
            (void)fprintf(to->file, "  %-24s%s\n", name, qn_field_text(t, "type"));
        } else if (is_first_of_role(tensors, i, rest)) {
            print_role(to, tensors, rest);
        }
    }
}

static void print_outputs(const qn_terminal *to, const json_t *outputs) {
    static const char *const heading[] = {"FILE", "TYPE", "SIZE", "BITS/WEIGHT"};
    qn_table *table = qn_table_new("plrr");
    add_cells(table, heading, 4);
    for (size_t i = 0; i < json_array_size(outputs); i++) {
        const json_t *output = json_array_get(outputs, i);
        const size_t n_files = json_array_size(json_object_get(output, "files"));
        char shards[32] = "";
        if (n_files > 1) {
            (void)snprintf(shards, sizeof shards, " (%zu files)", n_files);
        }
        qn_table_add(table, "%s%s", qn_field_text(output, "path"), shards);
        qn_table_add(table, "%s", qn_field_text(output, "type"));
        qn_table_add(table, "%s", qn_human_size(qn_field_u64(output, "size_bytes")).text);
        qn_table_add(table, "%s", qn_human_bits(qn_field_f64(output, "bits_per_weight")).text);
    }
    qn_table_print(table, to);
    qn_table_free(table);
}

static void print_effort(const qn_terminal *to, const json_t *plan) {
    const json_t *imatrix = json_object_get(plan, "imatrix");
    if (strcmp(qn_field_text(plan, "effort"), "normal") != 0) {
        qn_print_fact(to, "effort", "%s", qn_field_text(plan, "effort"));
    }
    if (json_is_object(imatrix)) {
        qn_print_fact(to, "importance", "%s, %s tensors covered", qn_field_text(imatrix, "path"),
                      qn_human_number(qn_field_u64(imatrix, "n_covered")).text);
    }
}

/* Of a dry run: what the importance matrix leaves open, by name. */
static void print_coverage(const qn_terminal *to, const json_t *plan) {
    const json_t *imatrix = json_object_get(plan, "imatrix");
    const json_t *open = json_object_get(imatrix, "open");
    const json_t *unseen = json_object_get(imatrix, "unseen");
    for (size_t i = 0; i < json_array_size(open); i++) {
        (void)fprintf(to->file, "  not in the importance matrix: %s\n", json_string_value(json_array_get(open, i)));
    }
    for (size_t i = 0; i < json_array_size(unseen); i++) {
        const json_t *row = json_array_get(unseen, i);
        (void)fprintf(to->file, "  never seen: expert %s of %s\n", qn_human_number(qn_field_u64(row, "expert")).text,
                      qn_field_text(row, "tensor"));
    }
}

void qn_print_plan(const qn_terminal *to, const json_t *plan, const char *check) {
    const json_t *model = json_object_get(plan, "model");
    print_model(to, model);
    print_source(to, model);
    qn_print_fact(to, "preset", "%s", qn_field_text(plan, "preset"));
    print_effort(to, plan);
    qn_print_fact(to, "reads", "%s, once", qn_human_size(qn_field_u64(plan, "read_bytes")).text);
    qn_print_fact(to, "writes", "%s of %s free", qn_human_size(qn_field_u64(plan, "disk_bytes")).text,
                  qn_human_size(qn_field_u64(plan, "disk_free_bytes")).text);
    qn_print_fact(to, "memory", "about %s, %s threads", qn_human_size(qn_field_u64(plan, "memory_bytes")).text,
                  qn_human_number(qn_field_u64(plan, "threads")).text);
    if (check != NULL) {
        qn_print_fact(to, "check", "%s", check);
    }
    if (qn_field_is(plan, "resumes")) {
        qn_print_fact(to, "goes on", "where an interrupted job stopped");
    }
    (void)fputc('\n', to->file);
    print_outputs(to, json_object_get(plan, "outputs"));
    for (size_t i = 0; i < json_array_size(json_object_get(plan, "outputs")); i++) {
        const json_t *output = json_array_get(json_object_get(plan, "outputs"), i);
        if (json_object_get(output, "tensor_types") != NULL) {
            print_chosen(to, output);
        }
    }
}

static const json_t *tensors_of(const json_t *outputs, size_t i) {
    return json_object_get(json_array_get(outputs, i), "tensors");
}

/* Whether outputs first..i can share rows: the same tensors in the same order. */
static bool has_same_tensors(const json_t *a, const json_t *b) {
    if (json_array_size(a) != json_array_size(b)) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(a); i++) {
        if (strcmp(qn_field_text(json_array_get(a, i), "name"), qn_field_text(json_array_get(b, i), "name")) != 0) {
            return false;
        }
    }
    return true;
}

static void print_matrix(const qn_terminal *to, const json_t *outputs, size_t first, size_t end) {
    char aligns[3 + 2 * MAX_MATRIX_OUTPUTS] = "pl";
    const json_t *tensors = tensors_of(outputs, first);
    for (size_t o = first; o < end; o++) {
        memcpy(aligns + 2 + 2 * (o - first), "lr", 3);
    }
    qn_table *table = qn_table_new(aligns);
    qn_table_add(table, "TENSOR");
    qn_table_add(table, "SHAPE");
    for (size_t o = first; o < end; o++) {
        qn_table_add(table, "%s", qn_field_text(json_array_get(outputs, o), "type"));
        qn_table_add(table, "%s", "");
    }
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        qn_table_add(table, "%s", qn_field_text(json_array_get(tensors, i), "name"));
        qn_table_add_shape(table, json_object_get(json_array_get(tensors, i), "shape"));
        for (size_t o = first; o < end; o++) {
            const json_t *tensor = json_array_get(tensors_of(outputs, o), i);
            qn_table_add(table, "%s", qn_field_text(tensor, "type"));
            qn_table_add(table, "%s", qn_human_size(qn_field_u64(tensor, "size_bytes")).text);
        }
    }
    qn_table_print(table, to);
    (void)fputc('\n', to->file);
    qn_table_free(table);
}

void qn_print_plan_tensors(const qn_terminal *to, const json_t *plan) {
    const json_t *outputs = json_object_get(plan, "outputs");
    const size_t n = json_array_size(outputs);
    size_t first = 0;
    while (first < n) {
        size_t end = first + 1;
        while (end < n && end - first < MAX_MATRIX_OUTPUTS &&
               has_same_tensors(tensors_of(outputs, first), tensors_of(outputs, end))) {
            end++;
        }
        print_matrix(to, outputs, first, end);
        first = end;
    }
    print_coverage(to, plan);
}

qn_table *qn_results_new(bool is_checked) {
    static const char *const heading[] = {"FILE", "TYPE", "SIZE", "BITS/WEIGHT"};
    static const char *const check[] = {"KLD", "TOP-1", "ANSWER"};
    static const char *const speed[] = {"SECONDS", "MB/S"};
    qn_table *table = qn_table_new(is_checked ? "plrrrrrrr" : "plrrrr");
    add_cells(table, heading, 4);
    if (is_checked) {
        add_cells(table, check, 3);
    }
    add_cells(table, speed, 2);
    return table;
}

static void add_verdict(qn_table *results, const qn_verdict *v) {
    if (v->is_compared) {
        qn_table_add(results, "%.5f \xc2\xb1%.5f", v->kld, v->kld_error);
        qn_table_add(results, "%.1f%%", 100 * v->same_top);
    } else {
        qn_table_add(results, "-");
        qn_table_add(results, "-");
    }
    if (v->has_answered) {
        qn_table_add(results, v->has_ended ? "ends at %" PRIu64 : "%" PRIu64 ", no end", v->n_answer);
    } else {
        qn_table_add(results, "-");
    }
}

void qn_results_add(qn_table *results, const qn_event *e) {
    qn_table_add(results, "%s", e->path == NULL ? "" : e->path);
    qn_table_add(results, "%s", e->output_type == NULL ? "" : e->output_type);
    qn_table_add(results, "%s", qn_human_size(e->bytes_done).text);
    qn_table_add(results, "%s", qn_human_bits(e->bits_per_weight).text);
    if (e->verdict != NULL) {
        add_verdict(results, e->verdict);
    }
    qn_table_add(results, "%.2f", e->seconds);
    if (e->seconds > 0) {
        qn_table_add(results, "%.1f", 1e-6 * (double)e->bytes_done / e->seconds);
    } else {
        qn_table_add(results, "-");
    }
}

/* A word as the shell reads it back. */
static void put_quoted(FILE *file, const char *text) {
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+=,-";
    if (text[0] != '\0' && text[strspn(text, plain)] == '\0') {
        (void)fputs(text, file);
        return;
    }
    (void)fputc('\'', file);
    for (; *text != '\0'; text++) {
        (void)fputs(*text == '\'' ? "'\\''" : (char[]){*text, '\0'}, file);
    }
    (void)fputc('\'', file);
}

/* The first quantised output, which is the one that people run; else the first. */
static const json_t *output_to_run(const json_t *outputs) {
    for (size_t i = 0; i < json_array_size(outputs); i++) {
        const char *type = qn_field_text(json_array_get(outputs, i), "type");
        if (type[0] == 'Q') {
            return json_array_get(outputs, i);
        }
    }
    return json_array_get(outputs, 0);
}

void qn_print_next(const qn_terminal *to, const json_t *plan) {
    const char *path = qn_field_text(output_to_run(json_object_get(plan, "outputs")), "path");
    const bool is_adapter = strcmp(qn_field_text(plan, "preset"), "lora") == 0;
    if (path[0] == '\0') {
        return;
    }
    if (qn_field_is(plan, "to_hf")) {
        (void)fputs("\nNext:\n  quern pack ", to->file);
        put_quoted(to->file, path);
        (void)fputc('\n', to->file);
        return;
    }
    (void)fprintf(to->file, "\nNext:\n  quern run %s", is_adapter ? "BASE.gguf --adapter " : "");
    put_quoted(to->file, path);
    (void)fputs("\n  quern inspect ", to->file);
    put_quoted(to->file, path);
    (void)fputc('\n', to->file);
}
