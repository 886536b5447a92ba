/* SPDX-License-Identifier: MIT */
/*
 * grammar_tool.c: `grammar_tool VOCAB.gguf GRAMMAR OUT`: which tokens a grammar allows along a text.
 *
 * Standard input holds the text's ids; before each, and behind the last, a byte a token (1: allowed) goes to OUT. Stops
 * at an id that is not allowed. Prints how many steps there are, and the mean time of a mask. Exit 1 with the message
 * on standard error when the grammar is refused, 3 when a mask is empty.
 */
#include "base/file.h"
#include "engine/guide.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static qn_status open_guide(const char *vocab, const char *path, qn_tokenizer **tokenizer, qn_guide **guide,
                            qn_error *err) {
    char *text = NULL;
    size_t n = 0;
    qn_grammar *grammar = NULL;
    QN_TRY(qn_tokenizer_open(vocab, NULL, tokenizer, err));
    QN_TRY(qn_read_text(path, 1 << 20, &text, &n, err));
    const qn_status status = qn_grammar_parse(text, n, &grammar, err);
    free(text);
    return status == QN_OK ? qn_guide_new(grammar, *tokenizer, qn_tokenizer_n_tokens(*tokenizer), guide, err) : status;
}

/* Writes one mask. */
static qn_status write_mask(qn_guide *guide, float *logits, size_t n, FILE *out, double *seconds, qn_error *err) {
    const double start = now();
    for (size_t i = 0; i < n; i++) {
        logits[i] = 1;
    }
    QN_TRY(qn_guide_mask(guide, logits, err));
    *seconds += now() - start;
    for (size_t i = 0; i < n; i++) {
        (void)fputc(logits[i] > 0, out);
    }
    return QN_OK;
}

static int walk(qn_guide *guide, size_t n, FILE *out) {
    float *logits = calloc(n, sizeof *logits);
    qn_error err = {QN_OK, ""};
    double seconds = 0;
    int n_steps = 0;
    long id = 0;
    qn_status status = logits == NULL ? qn_fail_nomem(&err, "logits", n) : QN_OK;
    while (status == QN_OK) {
        status = write_mask(guide, logits, n, out, &seconds, &err);
        n_steps++;
        if (status != QN_OK || scanf("%ld", &id) != 1) {
            break;
        }
        status = qn_guide_accept(guide, (int32_t)id, &err);
    }
    free(logits);
    (void)printf("%d %.6f\n", n_steps, seconds / n_steps);
    if (status != QN_OK) {
        (void)fprintf(stderr, "%s\n", err.message);
    }
    return status == QN_OK ? 0 : 3;
}

int main(int argc, char **argv) {
    qn_tokenizer *tokenizer = NULL;
    qn_guide *guide = NULL;
    qn_error err = {QN_OK, ""};
    int code = 1;
    if (argc != 4) {
        (void)fprintf(stderr, "usage: grammar_tool VOCAB.gguf GRAMMAR OUT\n");
        return 2;
    }
    FILE *out = fopen(argv[3], "wb");
    if (out == NULL || open_guide(argv[1], argv[2], &tokenizer, &guide, &err) != QN_OK) {
        (void)fprintf(stderr, "%s\n", out == NULL ? argv[3] : err.message);
    } else {
        code = walk(guide, qn_tokenizer_n_tokens(tokenizer), out);
    }
    if (out != NULL && fclose(out) != 0) {
        code = 1;
    }
    qn_guide_free(guide);
    qn_tokenizer_free(tokenizer);
    return code;
}
