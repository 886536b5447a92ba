/* SPDX-License-Identifier: MIT */
/* compare_command.c: `quern compare`, how two models differ, worst tensors first. */
#include "base/json.h"
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "quern/quern.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

typedef struct compare_settings {
    bool is_json;
    uint64_t n_threads;
    uint64_t rows;
} compare_settings;

enum { DEFAULT_ROWS = 20, MAX_NAMES = 5 };

static void print_names(const qn_terminal *to, const char *label, const json_t *names) {
    const size_t n = json_array_size(names);
    if (n == 0) {
        return;
    }
    qn_print_fact(to, label, "%s tensor%s", qn_human_number(n).text, n == 1 ? "" : "s");
    for (size_t i = 0; i < n && i < MAX_NAMES; i++) {
        qn_print_fact(to, "", "%s", json_string_value(json_array_get(names, i)));
    }
    if (n > MAX_NAMES) {
        qn_print_fact(to, "", "and %s more (--json lists all)", qn_human_number(n - MAX_NAMES).text);
    }
}

static char *shape_text(const json_t *shape) {
    return shape == NULL ? NULL : qn_json_dump(shape, JSON_ENCODE_ANY);
}

static void print_shapes(const qn_terminal *to, const json_t *list) {
    for (size_t i = 0; i < json_array_size(list) && i < MAX_NAMES; i++) {
        const json_t *item = json_array_get(list, i);
        char *a = shape_text(json_object_get(item, "a"));
        char *b = shape_text(json_object_get(item, "b"));
        qn_print_fact(to, i == 0 ? "shape differs" : "", "%s: %s in A, %s in B", qn_field_text(item, "name"),
                      a == NULL ? "?" : a, b == NULL ? "?" : b);
        free(a);
        free(b);
    }
    if (json_array_size(list) > MAX_NAMES) {
        qn_print_fact(to, "", "and %zu more (--json lists all)", json_array_size(list) - MAX_NAMES);
    }
}

static void print_summary(const qn_terminal *to, const json_t *answer) {
    const uint64_t n = qn_field_u64(answer, "n_tensors");
    const uint64_t n_equal = qn_field_u64(answer, "n_equal");
    qn_print_fact(to, "A", "%s", qn_field_text(answer, "a"));
    qn_print_fact(to, "B", "%s", qn_field_text(answer, "b"));
    qn_print_fact(to, "tensors", "%s in both, %s equal", qn_human_number(n).text,
                  n == n_equal && n > 0 ? "all" : qn_human_number(n_equal).text);
    if (n > n_equal) {
        qn_print_fact(to, "RMSE", "%.4g over all weights; largest difference %.4g", qn_field_f64(answer, "rmse"),
                      qn_field_f64(answer, "max_abs"));
    }
    print_names(to, "only in A", json_object_get(answer, "only_in_a"));
    print_names(to, "only in B", json_object_get(answer, "only_in_b"));
    print_shapes(to, json_object_get(answer, "shape_differs"));
}

static void add_tensor(qn_table *table, const json_t *tensor) {
    qn_table_add(table, "%s", qn_field_text(tensor, "name"));
    qn_table_add(table, "%s", qn_field_text(tensor, "type_a"));
    qn_table_add(table, "%s", qn_field_text(tensor, "type_b"));
    qn_table_add(table, "%.3g", qn_field_f64(tensor, "rmse"));
    qn_table_add(table, "%.3f%%", 100 * qn_field_f64(tensor, "relative_rmse"));
    qn_table_add(table, "%.3g", qn_field_f64(tensor, "max_abs"));
    qn_table_add(table, "%.7f", qn_field_f64(tensor, "cosine"));
}

/* The tensors that differ; the document has them worst first. */
static void print_tensors(const qn_terminal *to, const json_t *tensors, uint64_t max_rows) {
    static const char *const heading[] = {"TENSOR", "A", "B", "RMSE", "RELATIVE", "LARGEST", "COSINE"};
    qn_table *table = qn_table_new("pllrrrr");
    for (size_t i = 0; i < sizeof heading / sizeof heading[0]; i++) {
        qn_table_add(table, "%s", heading[i]);
    }
    uint64_t n_different = 0;
    for (size_t i = 0; i < json_array_size(tensors); i++) {
        const json_t *tensor = json_array_get(tensors, i);
        if (!qn_field_is(tensor, "is_equal") && n_different++ < max_rows) {
            add_tensor(table, tensor);
        }
    }
    if (qn_table_rows(table) > 0) {
        (void)fputc('\n', to->file);
        qn_table_print(table, to);
    }
    if (n_different > max_rows) {
        (void)fprintf(to->file, "  and %s more that differ less (-n %llu shows all)\n",
                      qn_human_number(n_different - max_rows).text, (unsigned long long)n_different);
    }
    qn_table_free(table);
}

static qn_status print_answer(const char *text, uint64_t max_rows, qn_error *err) {
    const qn_terminal to = qn_terminal_of(stdout);
    json_t *answer = NULL;
    QN_TRY(qn_document_parse(text, &answer, err));
    print_summary(&to, answer);
    print_tensors(&to, json_object_get(answer, "tensors"), max_rows);
    json_decref(answer);
    return QN_OK;
}

static void on_event(void *user, const qn_event *event) {
    if (event->kind != QN_EVENT_FAILED && event->kind != QN_EVENT_DONE) {
        qn_progress_event(user, event);
    }
}

static qn_status run_compare(const void *settings, const qn_operands *operands, qn_error *err) {
    const compare_settings *s = settings;
    qn_progress progress;
    char *text = NULL;
    qn_progress_init(&progress, stderr, false);
    qn_job *job = qn_job_new(s->n_threads > 1024 ? 1024 : (unsigned)s->n_threads, on_event, &progress);
    if (job == NULL) {
        return qn_fail_nomem(err, "job", 1);
    }
    qn_interrupt_watch(job, "\nquern: stopping\n");
    qn_status status = qn_compare(operands->items[0], operands->items[1], job, &text, err);
    qn_interrupt_forget();
    qn_progress_clear(&progress);
    qn_job_free(job);
    if (status != QN_OK) {
        return status;
    }
    if (s->is_json) {
        qn_document_print(text);
        return QN_OK;
    }
    status = print_answer(text, s->rows > 0 ? s->rows : DEFAULT_ROWS, err);
    free(text);
    return status;
}

static const qn_option options[] = {
    {.name = "rows",
     .letter = 'n',
     .kind = QN_OPTION_COUNT,
     .offset = offsetof(compare_settings, rows),
     .argument = "N",
     .group = "Output",
     .help = "show the N worst tensors",
     .fallback = "20"},
    {.name = "json",
     .kind = QN_OPTION_FLAG,
     .offset = offsetof(compare_settings, is_json),
     .group = "Output",
     .help = "print a JSON document with all tensors instead of a table"},
    {.name = "threads",
     .kind = QN_OPTION_COUNT,
     .offset = offsetof(compare_settings, n_threads),
     .argument = "N",
     .group = "Running",
     .help = "worker threads",
     .fallback = "one a core"},
};

static const qn_example examples[] = {
    {"quern compare model.gguf model-Q4_K_M.gguf", "what quantisation cost, tensor by tensor"},
    {"quern compare ~/models/base out/merged.gguf -n 5", "which tensors training changed most"},
};

const qn_command qn_compare_command = {
    .name = "compare",
    .operands = "A B",
    .summary = "measure how two models differ",
    .about =
        "Reads two models, GGUF files or Hugging Face folders in any combination, and compares the tensors they share, "
        "under GGUF names: root mean square error (also relative to A's own size), the largest difference and the "
        "cosine between the two. The worst come first; tensors that are equal are counted only.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .min_operands = 2,
    .max_operands = 2,
    .settings_size = sizeof(compare_settings),
    .run = run_compare,
};
