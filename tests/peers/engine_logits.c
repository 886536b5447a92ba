/* SPDX-License-Identifier: MIT */
/* engine_logits.c: runs a GGUF file for the peer tests: logits of tokens into a file, or the likeliest continuation. */
/*
 * engine_logits FILE.gguf N_CTX N_BATCH N_THREADS KV_TYPE [ADAPTER SCALE]..., then a command a line on standard input:
 *   logits OUT ID...          float32 [n_tokens, n_vocab] of the prompt into OUT, decoded in batches
 *   steps OUT ID...           the same, one token a call
 *   greedy N_MAX EOG,... ID...  prints the ids that follow, up to an end-of-generation id
 *   time N_PROMPT N_STEPS     prints tokens a second for a prompt and for single tokens
 * Each begins with an empty sequence. A failure's message goes to standard error, and the exit status is 3 for what
 * quern does not run, else 1.
 */
#include "engine/engine.h"
#include "engine/lora.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_LINE = 1 << 20, MAX_TOKENS = 1 << 16, MAX_ADAPTERS = 4 };

typedef struct session {
    qn_lora *loras[MAX_ADAPTERS];
    qn_engine *engine;
    qn_sequence *sequence;
    int32_t tokens[MAX_TOKENS];
    uint64_t n;
    float *logits; /* [n_ctx, n_vocab] */
} session;

static int fail_with(const qn_error *err) {
    (void)fprintf(stderr, "%s\n", err->message);
    return err->status == QN_E_UNSUPPORTED ? 3 : 1;
}

static double now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void read_tokens(session *s, const char *text) {
    char *end = NULL;
    s->n = 0;
    for (long id = strtol(text, &end, 10); end != text && s->n < MAX_TOKENS; id = strtol(text, &end, 10)) {
        s->tokens[s->n++] = (int32_t)id;
        text = end;
    }
}

static qn_status write_logits(session *s, const char *path, bool in_steps, qn_error *err) {
    const uint64_t n_vocab = qn_engine_n_vocab(s->engine);
    qn_status status = QN_OK;
    if (s->n > qn_engine_n_ctx(s->engine) || !in_steps) {
        status = qn_engine_decode(s->engine, s->sequence, s->tokens, s->n, true, s->logits, err);
    }
    for (uint64_t i = 0; in_steps && i < s->n && status == QN_OK; i++) {
        status = qn_engine_decode(s->engine, s->sequence, &s->tokens[i], 1, false, s->logits + i * n_vocab, err);
    }
    if (status != QN_OK) {
        return status;
    }
    FILE *f = fopen(path, "wb");
    const bool is_written = f != NULL && fwrite(s->logits, sizeof(float), s->n * n_vocab, f) == s->n * n_vocab;
    if (f != NULL && fclose(f) != 0) {
        (void)fprintf(stderr, "%s: not closed\n", path);
    }
    (void)puts(is_written ? "ok" : "not written");
    return QN_OK;
}

static int32_t likeliest(const session *s) {
    int32_t best = 0;
    for (uint64_t i = 1; i < qn_engine_n_vocab(s->engine); i++) {
        best = s->logits[i] > s->logits[best] ? (int32_t)i : best;
    }
    return best;
}

static bool is_among(int32_t id, const char *list) {
    char *end = NULL;
    for (long other = strtol(list, &end, 10); end != list; other = strtol(list, &end, 10)) {
        if (other == id) {
            return true;
        }
        list = *end == ',' ? end + 1 : end;
    }
    return false;
}

static qn_status go_on(session *s, long n_max, const char *eog, qn_error *err) {
    qn_status status = qn_engine_decode(s->engine, s->sequence, s->tokens, s->n, false, s->logits, err);
    for (long i = 0; i < n_max && status == QN_OK; i++) {
        const int32_t id = likeliest(s);
        if (is_among(id, eog)) {
            break;
        }
        (void)printf("%d ", (int)id);
        status = qn_engine_decode(s->engine, s->sequence, &id, 1, false, s->logits, err);
    }
    (void)puts("");
    return status;
}

static qn_status measure(session *s, uint64_t n_prompt, uint64_t n_steps, qn_error *err) {
    for (uint64_t i = 0; i < n_prompt && i < MAX_TOKENS; i++) {
        s->tokens[i] = (int32_t)(i * 7919 % qn_engine_n_vocab(s->engine));
    }
    const double start = now();
    QN_TRY(qn_engine_decode(s->engine, s->sequence, s->tokens, n_prompt, false, s->logits, err));
    const double middle = now();
    for (uint64_t i = 0; i < n_steps; i++) {
        const int32_t id = likeliest(s);
        QN_TRY(qn_engine_decode(s->engine, s->sequence, &id, 1, false, s->logits, err));
    }
    const qn_engine_memory memory = qn_engine_memory_of(s->engine);
    (void)printf("prompt %.1f tokens/s, generation %.1f tokens/s; weights %llu, kv %llu, compute %llu bytes\n",
                 (double)n_prompt / (middle - start), (double)n_steps / (now() - middle),
                 (unsigned long long)memory.weights, (unsigned long long)memory.kv, (unsigned long long)memory.compute);
    return QN_OK;
}

static qn_status run_line(session *s, char *line, qn_error *err) {
    char word[16] = "";
    char first[4096] = "";
    char second[4096] = "";
    int used = 0;
    qn_sequence_truncate(s->sequence, 0);
    if (sscanf(line, "%15s %4095s%n", word, first, &used) != 2) {
        return qn_fail(err, QN_E_USAGE, "what is '%s'?", line);
    }
    if (strcmp(word, "logits") == 0 || strcmp(word, "steps") == 0) {
        read_tokens(s, line + used);
        return write_logits(s, first, strcmp(word, "steps") == 0, err);
    }
    if (sscanf(line + used, "%4095s", second) != 1) {
        return qn_fail(err, QN_E_USAGE, "what is '%s'?", line);
    }
    if (strcmp(word, "time") == 0) {
        return measure(s, strtoul(first, NULL, 10), strtoul(second, NULL, 10), err);
    }
    read_tokens(s, strstr(line + used, second) + strlen(second));
    return go_on(s, strtol(first, NULL, 10), second, err);
}

static qn_status run_lines(session *s, qn_error *err) {
    char *line = malloc(MAX_LINE);
    qn_status status = line == NULL ? qn_fail_nomem(err, "line", MAX_LINE) : QN_OK;
    while (status == QN_OK && fgets(line, MAX_LINE, stdin) != NULL) {
        status = run_line(s, line, err);
        (void)fflush(stdout);
    }
    free(line);
    return status;
}

static qn_status open_engine(session *s, int argc, char **argv, qn_engine_options *options, qn_error *err) {
    qn_provider provider;
    QN_TRY(qn_provider_open(argv[1], &provider, err));
    const char *arch = qn_meta_string(provider.meta, "general.architecture");
    for (int i = 6; i + 1 < argc && options->n_loras < MAX_ADAPTERS; i += 2) {
        const qn_status status = qn_lora_open(argv[i], strtod(argv[i + 1], NULL), argv[1], arch == NULL ? "" : arch,
                                              NULL, &s->loras[options->n_loras], err);
        if (status != QN_OK) {
            provider.close(provider.self);
            return status;
        }
        options->n_loras++;
    }
    options->loras = (const qn_lora *const *)s->loras;
    return qn_engine_open_provider(&provider, options, NULL, &s->engine, err);
}

int main(int argc, char **argv) {
    qn_error err;
    if (argc < 6) {
        (void)fprintf(stderr, "usage: engine_logits FILE.gguf N_CTX N_BATCH N_THREADS KV_TYPE [ADAPTER SCALE]...\n");
        return 2;
    }
    session *s = calloc(1, sizeof *s);
    qn_engine_options options = {.n_ctx = strtoul(argv[2], NULL, 10),
                                 .n_batch = strtoul(argv[3], NULL, 10),
                                 .n_threads = (unsigned)strtoul(argv[4], NULL, 10),
                                 .is_kv_typed = true};
    if (s == NULL || !qn_dtype_find(argv[5], &options.kv_type)) {
        (void)fprintf(stderr, "no type '%s'\n", argv[5]);
        free(s);
        return 2;
    }
    qn_status status = open_engine(s, argc, argv, &options, &err);
    if (status == QN_OK) {
        status = qn_sequence_new(s->engine, &s->sequence, &err);
    }
    if (status == QN_OK) {
        s->logits = malloc(qn_engine_n_ctx(s->engine) * qn_engine_n_vocab(s->engine) * sizeof *s->logits);
        status = s->logits == NULL ? qn_fail_nomem(&err, "logits", 0) : run_lines(s, &err);
    }
    const int code = status == QN_OK ? 0 : fail_with(&err);
    free(s->logits);
    qn_sequence_free(s->sequence);
    qn_engine_free(s->engine);
    for (size_t i = 0; i < MAX_ADAPTERS; i++) {
        qn_lora_close(s->loras[i]);
    }
    free(s);
    return code;
}
