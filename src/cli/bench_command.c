/* SPDX-License-Identifier: MIT */
/* bench_command.c: `quern bench`: how fast a model runs here. */
#include "cli/commands.h"
#include "cli/document.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/table.h"
#include "quern/quern.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

enum { MAX_COUNTS = 32 };

typedef struct bench_settings {
    bool is_json;
    const char *prompts, *answers, *threads, *batches;
    uint64_t n_repetitions;
} bench_settings;

/* A list of counts as an option has it. */
typedef struct count_list {
    uint64_t items[MAX_COUNTS];
    size_t n;
} count_list;

/* "1,2,4" */
static qn_status read_counts(const char *name, const char *text, count_list *out, qn_error *err) {
    const char *at = text;
    while (at != NULL) {
        char *end = NULL;
        errno = 0;
        const unsigned long long count = strtoull(at, &end, 10);
        if (*at < '0' || *at > '9' || errno != 0 || (*end != ',' && *end != '\0') || out->n == MAX_COUNTS) {
            return qn_fail(err, QN_E_USAGE,
                           "option '--%s' needs counts with commas between them, at most %d, as in 1,2,4; not '%.60s'",
                           name, MAX_COUNTS, text);
        }
        out->items[out->n++] = count;
        at = *end == ',' ? end + 1 : NULL;
    }
    return QN_OK;
}

static void print_model(const qn_terminal *to, const json_t *d) {
    const char *name = qn_field_text(d, "name");
    qn_print_fact(to, "model", "%s, %s, %s parameters", name[0] == '\0' ? qn_field_text(d, "path") : name,
                  qn_field_text(d, "arch"), qn_human_count(qn_field_u64(d, "n_weights")).text);
    qn_print_fact(to, "weights", "%s, %s bits a weight", qn_human_size(qn_field_u64(d, "size_bytes")).text,
                  qn_human_bits(qn_field_f64(d, "bits_per_weight")).text);
    qn_print_fact(to, "a token reads", "%s of them", qn_human_size(qn_field_u64(d, "bytes_a_token")).text);
    (void)fputc('\n', to->file);
}

static void print_tests(const qn_terminal *to, const json_t *tests) {
    static const char *const heading[] = {"TEST", "THREADS", "BATCH", "TOKENS/S", "+-", "WEIGHTS READ"};
    qn_table *table = qn_table_new("lrrrrr");
    const json_t *row = NULL;
    size_t i = 0;
    for (size_t k = 0; k < sizeof heading / sizeof heading[0]; k++) {
        qn_table_add(table, "%s", heading[k]);
    }
    json_array_foreach(tests, i, row) {
        const json_t *speed = json_object_get(row, "tokens_a_second");
        const double bytes = qn_field_f64(row, "weights_bytes_a_second");
        qn_table_add(table, "%s", qn_field_text(row, "test"));
        qn_table_add(table, "%llu", (unsigned long long)qn_field_u64(row, "n_threads"));
        qn_table_add(table, "%llu", (unsigned long long)qn_field_u64(row, "n_batch"));
        qn_table_add(table, "%.2f", qn_field_f64(speed, "mean"));
        qn_table_add(table, "%.2f", qn_field_f64(speed, "deviation"));
        qn_table_add(table, "%s", bytes > 0 ? qn_human_rate(bytes).text : "");
    }
    qn_table_print(table, to);
    qn_table_free(table);
}

static qn_status print_answer(const char *text, qn_error *err) {
    const qn_terminal to = qn_terminal_of(stdout);
    json_t *answer = NULL;
    QN_TRY(qn_document_parse(text, &answer, err));
    print_model(&to, answer);
    print_tests(&to, json_object_get(answer, "tests"));
    json_decref(answer);
    return QN_OK;
}

static void on_event(void *user, const qn_event *event) {
    if (event->kind != QN_EVENT_FAILED && event->kind != QN_EVENT_DONE) {
        qn_progress_event(user, event);
    }
}

static qn_status measure(const qn_bench_options *options, char **text, qn_error *err) {
    qn_progress progress;
    qn_progress_init(&progress, stderr, false);
    qn_job *job = qn_job_new(0, on_event, &progress);
    if (job == NULL) {
        return qn_fail_nomem(err, "job", 1);
    }
    qn_interrupt_watch(job, "\nquern: stopping\n");
    const qn_status status = qn_bench(options, job, text, err);
    qn_interrupt_forget();
    qn_progress_clear(&progress);
    qn_job_free(job);
    return status;
}

static qn_status run_bench(const void *settings, const qn_operands *operands, qn_error *err) {
    const bench_settings *s = settings;
    count_list prompts = {.n = 0};
    count_list answers = {.n = 0};
    count_list threads = {.n = 0};
    count_list batches = {.n = 0};
    char *text = NULL;
    QN_TRY(read_counts("prompt", s->prompts, &prompts, err));
    QN_TRY(read_counts("predict", s->answers, &answers, err));
    QN_TRY(read_counts("threads", s->threads, &threads, err));
    QN_TRY(read_counts("batch", s->batches, &batches, err));
    const qn_bench_options options = {
        .path = operands->items[0],
        .prompts = {prompts.items, prompts.n},
        .answers = {answers.items, answers.n},
        .threads = {threads.items, threads.n},
        .batches = {batches.items, batches.n},
        .n_repetitions = s->n_repetitions,
    };
    QN_TRY(measure(&options, &text, err));
    if (s->is_json) {
        qn_document_print(text);
        return QN_OK;
    }
    const qn_status status = print_answer(text, err);
    free(text);
    return status;
}

static const char measuring[] = "What to measure";
static const char telling[] = "Output of the command";

static const qn_option options[] = {
    {.name = "prompt",
     .letter = 'p',
     .kind = QN_OPTION_TEXT,
     .offset = offsetof(bench_settings, prompts),
     .argument = "COUNTS",
     .group = measuring,
     .help = "tokens of a prompt, one test for each, as in 128,512; 0 for none",
     .fallback = "512, or the model's context"},
    {.name = "predict",
     .letter = 'n',
     .kind = QN_OPTION_TEXT,
     .offset = offsetof(bench_settings, answers),
     .argument = "COUNTS",
     .group = measuring,
     .help = "tokens to generate, one test for each; 0 for none",
     .fallback = "128, or the model's context"},
    {.name = "threads",
     .kind = QN_OPTION_TEXT,
     .offset = offsetof(bench_settings, threads),
     .argument = "COUNTS",
     .group = measuring,
     .help = "worker threads, one test for each number",
     .fallback = "one a core"},
    {.name = "batch",
     .letter = 'b',
     .kind = QN_OPTION_TEXT,
     .offset = offsetof(bench_settings, batches),
     .argument = "COUNTS",
     .group = measuring,
     .help = "prompt tokens computed together",
     .fallback = "512"},
    {.name = "repetitions",
     .letter = 'r',
     .kind = QN_OPTION_COUNT,
     .offset = offsetof(bench_settings, n_repetitions),
     .argument = "N",
     .group = measuring,
     .help = "how often each test is repeated, after once that does not count",
     .fallback = "5"},
    {.name = "json",
     .kind = QN_OPTION_FLAG,
     .offset = offsetof(bench_settings, is_json),
     .group = telling,
     .help = "print a JSON document, every repetition in it, instead of a table"},
};

static const qn_example examples[] = {
    {"quern bench model-Q4_K_M.gguf", "prompt and generation speed"},
    {"quern bench model-Q4_K_M.gguf --threads 1,2,4,8 -p 0 -n 64", "how generation grows with threads"},
    {"quern bench model-Q4_K_M.gguf -p 512,2048 -b 128,512 -n 0 --json", "prompts and batches, for a program"},
};

const qn_command qn_bench_command = {
    .name = "bench",
    .operands = "PATH",
    .summary = "measure how fast a model runs",
    .about = "Measures how many tokens a second a model reads (pp512: a prompt of 512 tokens) and writes (tg128: 128 "
             "tokens, one after the other, from an empty context), mean and standard deviation over the repetitions. "
             "PATH is a GGUF file or one of its shards.\n\n"
             "Generation reads all weights for each token, so that its speed is a memory bandwidth: WEIGHTS READ.",
    .options = {options, sizeof options / sizeof options[0]},
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .min_operands = 1,
    .max_operands = 1,
    .settings_size = sizeof(bench_settings),
    .run = run_bench,
};
