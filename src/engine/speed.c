/* SPDX-License-Identifier: MIT */
/*
 * speed.c: measures how many tokens a second a model reads and writes.
 *
 * A prompt is decoded as a whole into an empty sequence; generation decodes one token after the other, with logits but
 * without choosing among them, as llama-bench does. One run of each test goes before those that count: it brings
 * weights and buffers into memory.
 */
#include "quern/bench.h"

#include "base/file.h"
#include "base/json.h"
#include "base/worker.h"
#include "engine/engine.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_PROMPT = 512, DEFAULT_ANSWER = 128, DEFAULT_BATCH = 512, DEFAULT_REPETITIONS = 5 };
enum { MAX_TOKENS = 1 << 24, MAX_REPETITIONS = 10000, MAX_THREADS = 1024 };

/* One row of the table. */
typedef struct test {
    bool is_prompt;
    uint64_t n_tokens;
    uint64_t n_threads;
    uint64_t n_batch;
} test;

typedef struct bench {
    qn_bench_options options; /* defaults filled in */
    qn_job *job;
    qn_provider file; /* of all engines */
    json_t *tests;
    int32_t *tokens;         /* [the longest test] */
    float *logits;           /* [n_vocab] */
    double *samples;         /* [n_repetitions] */
    uint64_t prompt, answer; /* lengths where nobody asked for others */
    uint64_t n_done;         /* tokens of all tests */
    uint64_t n_total;
} bench;

/* ---- one test ---- */

static void name_test(const test *t, char *name, size_t size) {
    (void)snprintf(name, size, "%s%" PRIu64, t->is_prompt ? "pp" : "tg", t->n_tokens);
}

/* One time through a test. */
typedef struct pass {
    bench *bench;
    char name[32];
    double start_s;
    double told_s;   /* when progress was told last */
    uint64_t n_done; /* tokens */
    uint64_t n_now;  /* of the call that is decoding */
} pass;

/* At most ten times a second: tests are not to measure this. How long others take, their speed does not tell. */
static bool on_decode(void *user, double share) {
    pass *p = user;
    const double now = qn_job_seconds(p->bench->job);
    const double n = (double)p->n_done + share * (double)p->n_now;
    if (now - p->told_s >= 0.1) {
        p->told_s = now;
        qn_job_emit(p->bench->job,
                    (qn_event){.kind = QN_EVENT_PROGRESS,
                               .stage = "Bench",
                               .tensor = p->name,
                               .tokens_done = p->bench->n_done + (uint64_t)n,
                               .tokens_total = p->bench->n_total,
                               .rate = now > p->start_s ? n / (now - p->start_s) : 0,
                               .eta_s = -1});
    }
    return true;
}

static qn_status decode_once(const bench *b, const test *t, pass *p, qn_engine *engine, qn_sequence *sequence,
                             qn_error *err) {
    qn_sequence_truncate(sequence, 0);
    p->n_now = t->is_prompt ? t->n_tokens : 1;
    for (; p->n_done < t->n_tokens; p->n_done += p->n_now) {
        QN_TRY(qn_engine_decode(engine, sequence, &b->tokens[p->n_done], p->n_now, false, b->logits, err));
    }
    return QN_OK;
}

static qn_status measure(bench *b, const test *t, qn_engine *engine, qn_sequence *sequence, qn_error *err) {
    for (uint64_t i = 0; i <= b->options.n_repetitions; i++) {
        const double start = qn_job_seconds(b->job);
        pass p = {.bench = b, .start_s = start, .told_s = start};
        name_test(t, p.name, sizeof p.name);
        qn_engine_watch(engine, on_decode, &p);
        const qn_status status = decode_once(b, t, &p, engine, sequence, err);
        const double seconds = qn_job_seconds(b->job) - start;
        qn_engine_watch(engine, NULL, NULL);
        QN_TRY(status);
        b->n_done += t->n_tokens;
        if (i > 0) { /* the first brought everything into memory */
            b->samples[i - 1] = seconds > 0 ? (double)t->n_tokens / seconds : 0;
        }
    }
    return QN_OK;
}

static qn_status report(const bench *b, const test *t, const qn_engine *engine, qn_error *err) {
    const uint64_t n = b->options.n_repetitions;
    json_t *samples = json_array();
    double mean = 0;
    double squares = 0;
    char name[32];
    int failed = 0;
    for (uint64_t i = 0; i < n; i++) {
        mean += b->samples[i] / (double)n;
        failed |= json_array_append_new(samples, json_real(b->samples[i]));
    }
    for (uint64_t i = 0; i < n; i++) {
        squares += (b->samples[i] - mean) * (b->samples[i] - mean);
    }
    name_test(t, name, sizeof name);
    json_t *row = json_pack("{s:s, s:I, s:I, s:I, s:I, s:{s:f, s:f, s:o}, s:o}", "test", name, "n_prompt",
                            (json_int_t)(t->is_prompt ? t->n_tokens : 0), "n_predict",
                            (json_int_t)(t->is_prompt ? 0 : t->n_tokens), "n_threads", (json_int_t)t->n_threads,
                            "n_batch", (json_int_t)t->n_batch, "tokens_a_second", "mean", mean, "deviation",
                            n < 2 ? 0 : sqrt(squares / (double)(n - 1)), "samples", samples, "weights_bytes_a_second",
                            t->is_prompt ? json_null() : json_real(mean * (double)qn_engine_token_bytes(engine)));
    failed |= json_array_append_new(b->tests, row);
    return failed == 0 ? QN_OK : qn_fail_nomem(err, "results", (size_t)n);
}

/* ---- all of them ---- */

static uint64_t largest(const qn_bench_counts *counts) {
    uint64_t most = 0;
    for (size_t i = 0; i < counts->n; i++) {
        most = counts->items[i] > most ? counts->items[i] : most;
    }
    return most;
}

/* Tokens that a test has at most. */
static uint64_t longest(const bench *b) {
    const uint64_t prompt = largest(&b->options.prompts);
    const uint64_t answer = largest(&b->options.answers);
    return prompt > answer ? prompt : answer;
}

static qn_status measure_list(bench *b, test t, const qn_bench_counts *counts, qn_engine *engine, qn_sequence *sequence,
                              qn_error *err) {
    for (size_t i = 0; i < counts->n; i++) {
        t.n_tokens = counts->items[i];
        if (t.n_tokens > 0) {
            QN_TRY(measure(b, &t, engine, sequence, err));
            QN_TRY(report(b, &t, engine, err));
        }
    }
    return QN_OK;
}

static void leave_open(void *self) {
    (void)self;
}

/* An engine that does not close the file. */
static qn_status open_engine(const bench *b, const qn_engine_options *options, qn_engine **out, qn_error *err) {
    qn_provider provider = b->file;
    provider.close = leave_open;
    return qn_engine_open_provider(&provider, options, b->job, out, err);
}

/* All tests of a number of threads and a batch; generation, which has a batch of one token, with the first batch. */
static qn_status measure_setting(bench *b, uint64_t n_threads, uint64_t n_batch, bool generates, qn_error *err) {
    qn_engine *engine = NULL;
    qn_sequence *sequence = NULL;
    test t = {.is_prompt = true, .n_threads = n_threads, .n_batch = n_batch};
    const qn_engine_options how = {.n_ctx = longest(b), .n_batch = n_batch, .n_threads = (unsigned)n_threads};
    QN_TRY(open_engine(b, &how, &engine, err));
    qn_status status = qn_sequence_new(engine, &sequence, err);
    if (status == QN_OK) {
        status = measure_list(b, t, &b->options.prompts, engine, sequence, err);
    }
    t.is_prompt = false;
    t.n_batch = 1;
    if (status == QN_OK && generates) {
        status = measure_list(b, t, &b->options.answers, engine, sequence, err);
    }
    qn_sequence_free(sequence);
    qn_engine_free(engine);
    return status;
}

static qn_status measure_all(bench *b, qn_error *err) {
    const qn_bench_options *o = &b->options;
    for (size_t i = 0; i < o->threads.n; i++) {
        for (size_t k = 0; k < o->batches.n; k++) {
            QN_TRY(measure_setting(b, o->threads.items[i], o->batches.items[k], k == 0, err));
        }
    }
    return QN_OK;
}

static uint64_t sum_of(const qn_bench_counts *counts) {
    uint64_t sum = 0;
    for (size_t i = 0; i < counts->n; i++) {
        sum += counts->items[i];
    }
    return sum;
}

/* Tokens of all tests. */
static uint64_t count_tokens(const qn_bench_options *o) {
    const uint64_t of_threads = sum_of(&o->prompts) * o->batches.n + sum_of(&o->answers);
    return of_threads * o->threads.n * (o->n_repetitions + 1);
}

/* ---- options ---- */

static void set_default(qn_bench_counts *counts, const uint64_t *fallback) {
    if (counts->n == 0) {
        *counts = (qn_bench_counts){fallback, 1};
    }
}

/* Lengths that nobody asked for are no longer than the model's context. */
static void set_lengths(bench *b, uint64_t n_ctx) {
    b->prompt = n_ctx < DEFAULT_PROMPT ? n_ctx : DEFAULT_PROMPT;
    b->answer = n_ctx < DEFAULT_ANSWER ? n_ctx : DEFAULT_ANSWER;
    set_default(&b->options.prompts, &b->prompt);
    set_default(&b->options.answers, &b->answer);
}

static qn_status check_counts(const char *what, const qn_bench_counts *counts, uint64_t min, uint64_t max,
                              qn_error *err) {
    for (size_t i = 0; i < counts->n; i++) {
        if (counts->items[i] < min || counts->items[i] > max) {
            return qn_fail(err, QN_E_USAGE, "%s: %" PRIu64 " is none of %" PRIu64 " to %" PRIu64, what,
                           counts->items[i], min, max);
        }
    }
    return QN_OK;
}

static qn_status check_options(const bench *b, qn_error *err) {
    const qn_bench_options *o = &b->options;
    QN_TRY(check_counts("tokens of a prompt", &o->prompts, 0, MAX_TOKENS, err));
    QN_TRY(check_counts("tokens to generate", &o->answers, 0, MAX_TOKENS, err));
    QN_TRY(check_counts("threads", &o->threads, 1, MAX_THREADS, err));
    QN_TRY(check_counts("batch", &o->batches, 1, MAX_TOKENS, err));
    QN_TRY(check_counts("repetitions", &(qn_bench_counts){&o->n_repetitions, 1}, 1, MAX_REPETITIONS, err));
    return longest(b) > 0 ? QN_OK : qn_fail(err, QN_E_USAGE, "nothing to measure: no prompt and no answer");
}

/* ---- the report ---- */

/* Ids without meaning, the same each time. */
static void draw_tokens(int32_t *tokens, uint64_t n, uint64_t n_vocab) {
    uint64_t state = 1;
    for (uint64_t i = 0; i < n; i++) {
        state = state * 6364136223846793005U + 1442695040888963407U; /* Knuth's MMIX generator */
        tokens[i] = (int32_t)((state >> 33) % n_vocab);
    }
}

static qn_status make_room(bench *b, const qn_engine *engine, qn_error *err) {
    b->tokens = qn_new_array(longest(b), sizeof *b->tokens);
    b->logits = qn_new_array(qn_engine_n_vocab(engine), sizeof *b->logits);
    b->samples = qn_new_array(b->options.n_repetitions, sizeof *b->samples);
    b->tests = json_array();
    if (b->tokens == NULL || b->logits == NULL || b->samples == NULL || b->tests == NULL) {
        return qn_fail_nomem(err, "tokens and logits", (size_t)longest(b));
    }
    draw_tokens(b->tokens, longest(b), qn_engine_n_vocab(engine));
    return QN_OK;
}

/* What the model is. @param load_seconds that opening it took */
static json_t *describe(const bench *b, const qn_engine *engine, double load_seconds) {
    const qn_engine_memory m = qn_engine_memory_of(engine);
    const uint64_t n_weights = m.as_f16 / 2 + m.vectors / sizeof(float);
    const char *name = qn_meta_string(qn_engine_meta(engine), "general.name");
    const char *path = b->options.path;
    return json_pack("{s:o?, s:o, s:s, s:I, s:I, s:f, s:I, s:f}", "path", qn_json_text(path, strlen(path)), "name",
                     name == NULL ? json_null() : qn_json_text(name, strlen(name)), "arch",
                     qn_engine_graph(engine)->arch, "n_weights", (json_int_t)n_weights, "size_bytes",
                     (json_int_t)(m.weights + m.vectors), "bits_per_weight",
                     8.0 * (double)(m.weights + m.vectors) / (double)n_weights, "bytes_a_token",
                     (json_int_t)qn_engine_token_bytes(engine), "load_seconds", load_seconds);
}

/* @param start when opening began */
static qn_status run_tests(bench *b, double start, json_t **out, qn_error *err) {
    qn_engine *engine = NULL;
    QN_TRY(open_engine(b, NULL, &engine, err));
    set_lengths(b, qn_engine_graph(engine)->n_ctx);
    qn_status status = check_options(b, err);
    if (status == QN_OK) {
        *out = describe(b, engine, qn_job_seconds(b->job) - start);
        b->n_total = count_tokens(&b->options);
        status = *out == NULL ? qn_fail_nomem(err, b->options.path, 0) : make_room(b, engine, err);
    }
    qn_engine_free(engine);
    if (status == QN_OK) {
        qn_job_emit(b->job, (qn_event){.kind = QN_EVENT_STAGE, .stage = "Bench", .tokens_total = b->n_total});
        status = measure_all(b, err);
    }
    if (status == QN_OK && json_object_set(*out, "tests", b->tests) != 0) {
        return qn_fail_nomem(err, "results", 0);
    }
    return status;
}

static qn_status run_bench(bench *b, json_t **out, qn_error *err) {
    const double start = qn_job_seconds(b->job);
    if (qn_is_dir(b->options.path)) {
        return qn_fail(err, QN_E_USAGE, "%s: is a folder; a file is measured: `quern pack` makes one of it",
                       b->options.path);
    }
    QN_TRY(qn_provider_open(b->options.path, &b->file, err));
    const qn_status status = run_tests(b, start, out, err);
    b->file.close(b->file.self);
    return status;
}

qn_status qn_bench(const qn_bench_options *options, qn_job *job, char **text, qn_error *err) {
    const uint64_t batch = DEFAULT_BATCH;
    const uint64_t n_threads = qn_job_threads(job);
    bench b = {.options = *options, .job = job};
    json_t *document = NULL;
    set_default(&b.options.threads, &n_threads);
    set_default(&b.options.batches, &batch);
    b.options.n_repetitions = options->n_repetitions == 0 ? DEFAULT_REPETITIONS : options->n_repetitions;
    qn_status status = run_bench(&b, &document, err);
    *text = status == QN_OK ? qn_json_dump(document, JSON_INDENT(2) | JSON_REAL_PRECISION(9)) : NULL;
    if (status == QN_OK && *text == NULL) {
        status = qn_fail_nomem(err, "results", 0);
    }
    json_decref(document);
    json_decref(b.tests);
    free(b.tokens);
    free(b.logits);
    free(b.samples);
    return status;
}
