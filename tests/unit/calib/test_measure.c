/* SPDX-License-Identifier: MIT */
/* test_measure.c: perplexity, divergence and importance of small models against the plain way to compute them. */
#include "support.h"

#include "engine/engine_case.h"

#include "calib/divergence.h"
#include "calib/text_chunks.h"
#include "container/imatrix.h"
#include "quern/measure.h"

#include <math.h>
#include <time.h>

#define TEXT QN_TEST_DATA_DIR "/text/mill.txt"

enum { CTX = 32, MAX_TOKENS = 4096 };

static engine_case model;
static engine_case quantised;

static qn_job *new_job(void) {
    qn_job *job = qn_job_new(2, NULL, NULL);
    assert_non_null(job);
    return job;
}

static qn_measure_text text_of(uint64_t n_batch) {
    return (qn_measure_text){.text_path = TEXT, .n_ctx = CTX, .n_batch = n_batch};
}

/* ---- pieces ---- */

static void pieces_cover_what_is_wanted(void **state) {
    static const struct {
        uint64_t n_together, first, end, max_rows, n_pieces, n_logits;
    } cases[] = {
        {1, 4, 7, 100, 10, 15}, /* 5 chunks of 8: first half, second half but one */
        {2, 4, 7, 100, 6, 15},  /* 2 + 2 + 1 chunks */
        {2, 4, 7, 2, 11, 15},   /* a position of two chunks at a time, then two of the last */
        {5, 8, 8, 0, 1, 0},     /* no logits */
        {2, 0, 8, 100, 3, 40},  /* all of them */
        {3, 0, 8, 1, 16, 40},   /* fewer rows than chunks: one position at a time */
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const qn_chunks c = {.n_ctx = 8,
                             .n = 5,
                             .n_together = cases[i].n_together,
                             .first = cases[i].first,
                             .end = cases[i].end,
                             .max_rows = cases[i].max_rows};
        qn_piece p = {0};
        uint64_t n_pieces = 0;
        uint64_t n_logits = 0;
        uint64_t n_run = 0;
        while (qn_chunks_next(&c, &p)) {
            n_pieces++;
            n_run += p.n * p.n_chunks;
            n_logits += p.has_logits ? p.n * p.n_chunks : 0;
            assert_true(p.n > 0 && p.first + p.n <= c.end && p.chunk + p.n_chunks <= c.n);
        }
        assert_int_equal(n_pieces, cases[i].n_pieces);
        assert_int_equal(n_logits, cases[i].n_logits);
        assert_int_equal(n_run, 5 * c.end);
    }
}

/* ---- perplexity ---- */

/* The plain way: each chunk by itself, all logits, in batches of 7. */
static qn_nll_sum plain_losses(const char *path, uint64_t *n_tokens) {
    const qn_engine_options options = {.n_ctx = CTX, .n_batch = 7};
    qn_engine *engine = NULL;
    qn_tokenizer *tokenizer = NULL;
    qn_sequence *sequence = NULL;
    qn_ids ids = {0};
    qn_nll_sum sum = {0};
    size_t n = 0;
    qn_error err;
    char *text = read_file(TEXT, &n);
    assert_ok(&err, qn_engine_open(path, &options, NULL, &engine, &err));
    assert_ok(&err, qn_tokenizer_new(qn_engine_meta(engine), &tokenizer, &err));
    assert_ok(&err, qn_sequence_new(engine, &sequence, &err));
    assert_ok(&err, qn_tokenize(tokenizer, text, n, true, false, &ids, &err));
    float *logits = new_logits(engine, CTX);
    for (size_t first = 0; first + CTX <= ids.n; first += CTX) {
        ids.items[first] = ids.items[0];
        qn_sequence_truncate(sequence, 0);
        assert_ok(&err, qn_engine_decode(engine, sequence, ids.items + first, CTX, true, logits, &err));
        assert_ok(&err,
                  qn_nll_add(&sum, NULL, logits + CTX / 2 * TINY_VOCAB, ids.items + first + CTX / 2 + 1, CTX / 2 - 1,
                             TINY_VOCAB, &err));
    }
    *n_tokens = ids.n;
    free(logits);
    free(text);
    qn_ids_clear(&ids);
    qn_sequence_free(sequence);
    qn_tokenizer_free(tokenizer);
    qn_engine_free(engine);
    return sum;
}

static void perplexity_is_that_of_single_chunks(void **state) {
    static const uint64_t batches[] = {0, 16, 100};
    uint64_t n_tokens = 0;
    const qn_nll_sum plain = plain_losses(model.gguf, &n_tokens);
    qn_job *job = new_job();
    (void)state;
    for (size_t i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        qn_measure_text text = text_of(batches[i]);
        qn_perplexity_result r;
        qn_error err;
        assert_ok(&err, qn_measure_perplexity(&(qn_measure_model){.path = model.gguf}, &text, job, &r, &err));
        assert_int_equal(r.text.n_tokens, n_tokens);
        assert_int_equal(r.text.n_chunks, n_tokens / CTX);
        assert_int_equal(r.text.n_ctx, CTX);
        assert_int_equal(r.n_counted, plain.n);
        assert_true(fabs(r.nll.value - qn_nll_mean(&plain).value) < 1e-5);
        assert_true(fabs(r.nll.error - qn_nll_mean(&plain).error) < 1e-5);
        text.n_chunks = 2;
        assert_ok(&err, qn_measure_perplexity(&(qn_measure_model){.path = model.gguf}, &text, job, &r, &err));
        assert_int_equal(r.text.n_chunks, 2);
    }
    qn_job_free(job);
}

/* The embedding keeps as many rows as there are lower ids. */
static void cut_embedding(qn_model *m, void *user) {
    const uint64_t n_rows = *(const uint64_t *)user;
    for (uint64_t i = 0; i < m->n_tensors; i++) {
        qn_model_tensor *t = &m->tensors[i];
        if (strcmp(t->name, "token_embd.weight") == 0 || strcmp(t->name, "output.weight") == 0) {
            t->recipe = qn_recipe_slice(m->arena, t->recipe, 0, n_rows);
            t->shape.dims[0] = n_rows;
        }
    }
}

/* Also the last token of a chunk, which is only looked up in logits, must be one of the embedding's. */
static void tokens_beyond_the_embedding_are_refused(void **state) {
    uint64_t n_rows = 300;
    const qn_measure_text text = text_of(0);
    engine_case cut;
    qn_job *job = new_job();
    qn_perplexity_result r;
    qn_error err;
    (void)state;
    begin_case(&cut, family_named("llama"), QN_F32, cut_embedding, &n_rows);
    assert_status(&err, qn_measure_perplexity(&(qn_measure_model){.path = cut.gguf}, &text, job, &r, &err), QN_E_SHAPE);
    assert_message_has(&err, "its weights are for 300 tokens");
    end_case(&cut);
    qn_job_free(job);
}

static void divergence_has_both_perplexities(void **state) {
    const qn_measure_text text = text_of(0);
    qn_job *job = new_job();
    qn_perplexity_result a;
    qn_perplexity_result b;
    qn_kld_result r;
    qn_error err;
    (void)state;
    assert_ok(&err, qn_measure_perplexity(&(qn_measure_model){.path = model.gguf}, &text, job, &a, &err));
    assert_ok(&err, qn_measure_perplexity(&(qn_measure_model){.path = quantised.gguf}, &text, job, &b, &err));
    assert_ok(&err,
              qn_measure_kld(&(qn_measure_model){.path = model.gguf}, &(qn_measure_model){.path = quantised.gguf},
                             &text, job, &r, &err));
    assert_true(fabs(r.stats.ppl_base.value - a.ppl.value) < 1e-9 * a.ppl.value);
    assert_true(fabs(r.stats.ppl.value - b.ppl.value) < 1e-9 * b.ppl.value);
    assert_int_equal(r.stats.n_tokens, a.n_counted);
    assert_true(r.stats.kld.value > 1e-9 && r.stats.kld.value < 0.1);
    assert_ok(&err,
              qn_measure_kld(&(qn_measure_model){.path = model.gguf}, &(qn_measure_model){.path = model.gguf}, &text,
                             job, &r, &err));
    assert_true(r.stats.klds.max < 1e-12);
    qn_job_free(job);
}

/* ---- importance ---- */

static char *out_path(const char *name) {
    return join_path(model.root, name);
}

static qn_importance_options importance_of(const char *out) {
    return (qn_importance_options){
        .model = {.path = model.gguf}, .text = text_of(2 * CTX), .out_path = out, .force = true};
}

static void every_token_counts(void **state) {
    char *out = out_path("all.gguf");
    qn_importance_options options = importance_of(out);
    qn_job *job = new_job();
    qn_importance_result r;
    qn_imatrix *m = NULL;
    qn_error err;
    (void)state;
    assert_ok(&err, qn_measure_importance(&options, job, &r, &err));
    assert_ok(&err, qn_imatrix_open(out, &m, &err));
    assert_int_equal(m->n_entries, r.n_entries);
    assert_int_equal(m->n_entries % 7, 0); /* q, k, v, output, gate, up, down */
    assert_int_equal(m->n_chunks, r.text.n_chunks);
    assert_int_equal(m->chunk_size, CTX);
    assert_null(m->state.job);
    for (uint64_t i = 0; i < m->n_entries; i++) {
        assert_true(m->entries[i].counts[0] == (float)(r.text.n_chunks * CTX));
    }
    const qn_imatrix_entry *q = qn_imatrix_find(m, "blk.0.attn_q.weight");
    const qn_imatrix_entry *k = qn_imatrix_find(m, "blk.0.attn_k.weight");
    assert_memory_equal(q->values, k->values, q->n_values * sizeof(float)); /* they meet the same */
    qn_imatrix_close(m);
    assert_status(&err, (options.force = false, qn_measure_importance(&options, job, &r, &err)), QN_E_EXISTS);
    options.force = options.process_output = true;
    assert_ok(&err, qn_measure_importance(&options, job, &r, &err));
    assert_ok(&err, qn_imatrix_open(out, &m, &err));
    assert_non_null(qn_imatrix_find(m, "output.weight"));
    qn_imatrix_close(m);
    qn_job_free(job);
    free(out);
}

/* Each expert counts its own tokens: all together, those that are used for each token. */
static void experts_count_their_own_tokens(void **state) {
    enum { N_EXPERTS = 4, N_USED = 2 };
    engine_case mixture;
    qn_importance_result r;
    qn_imatrix *m = NULL;
    qn_job *job = new_job();
    qn_error err;
    (void)state;
    begin_case(&mixture, family_named("mixtral"), QN_F32, NULL, NULL);
    char *out = join_path(mixture.root, "experts.gguf");
    const qn_importance_options options = {.model = {.path = mixture.gguf}, .text = text_of(0), .out_path = out};
    assert_ok(&err, qn_measure_importance(&options, job, &r, &err));
    assert_ok(&err, qn_imatrix_open(out, &m, &err));
    const float n_tokens = (float)(r.text.n_chunks * CTX);
    static const char *const stacked[] = {"blk.0.ffn_gate_exps.weight", "blk.1.ffn_up_exps.weight",
                                          "blk.1.ffn_down_exps.weight"};
    for (size_t i = 0; i < sizeof stacked / sizeof stacked[0]; i++) {
        const qn_imatrix_entry *e = qn_imatrix_find(m, stacked[i]);
        float sum = 0;
        assert_non_null(e);
        assert_int_equal(e->n_counts, N_EXPERTS);
        for (uint64_t k = 0; k < e->n_counts; k++) {
            sum += e->counts[k];
        }
        assert_true(sum == N_USED * n_tokens);
    }
    const qn_imatrix_entry *router = qn_imatrix_find(m, "blk.0.ffn_gate_inp.weight");
    assert_non_null(router);
    assert_true(router->n_counts == 1 && router->counts[0] == n_tokens);
    qn_imatrix_close(m);
    qn_job_free(job);
    free(out);
    end_case(&mixture);
}

/* Cancels the job at its first sign of progress. Events come ten times a second: waiting makes the first one due. */
static void stop_at_once(void *user, const qn_event *event) {
    if (event->kind == QN_EVENT_STAGE) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 150000000}, NULL);
    } else if (event->kind == QN_EVENT_PROGRESS) {
        qn_job_cancel(*(qn_job **)user);
    }
}

static qn_status run_and_stop(const qn_importance_options *options, qn_error *err) {
    qn_importance_result r;
    qn_job *job = NULL;
    job = qn_job_new(1, stop_at_once, &job);
    assert_non_null(job);
    const qn_status status = qn_measure_importance(options, job, &r, err);
    qn_job_free(job);
    return status;
}

static void assert_same_file(const char *a, const char *b) {
    size_t n_a = 0;
    size_t n_b = 0;
    char *bytes_a = read_file(a, &n_a);
    char *bytes_b = read_file(b, &n_b);
    assert_int_equal(n_a, n_b);
    assert_memory_equal(bytes_a, bytes_b, n_a);
    free(bytes_a);
    free(bytes_b);
}

static void an_interrupted_job_goes_on(void **state) {
    char *whole = out_path("whole.gguf");
    char *out = out_path("resumed.gguf");
    char *partial = out_path("resumed.gguf.partial");
    qn_importance_options options = importance_of(whole);
    qn_importance_result r;
    qn_job *job = new_job();
    qn_error err;
    (void)state;
    assert_ok(&err, qn_measure_importance(&options, job, &r, &err));
    options.out_path = out;
    options.save_every = 1;
    assert_status(&err, run_and_stop(&options, &err), QN_E_INTERRUPTED);
    assert_false(path_exists(out));
    assert_true(path_exists(partial));
    assert_ok(&err, qn_measure_importance(&options, job, &r, &err));
    assert_int_equal(r.n_resumed, 2);
    assert_false(path_exists(partial));
    assert_same_file(whole, out);
    /* A partial file of another job, or of none, is begun anew. */
    free(write_text(model.root, "resumed.gguf.partial", "no importance matrix"));
    assert_ok(&err, qn_measure_importance(&options, job, &r, &err));
    assert_int_equal(r.n_resumed, 0);
    assert_same_file(whole, out);
    qn_job_free(job);
    free(whole);
    free(out);
    free(partial);
}

/* ---- refusals ---- */

static void bad_input_is_named(void **state) {
    char *empty = write_text(model.root, "short.txt", "Good morrow.");
    qn_job *job = new_job();
    qn_measure_text text = {.text_path = empty, .n_ctx = CTX};
    qn_perplexity_result p;
    qn_error err;
    (void)state;
    assert_status(&err, qn_measure_perplexity(&(qn_measure_model){.path = model.gguf}, &text, job, &p, &err),
                  QN_E_RANGE);
    assert_message_has(&err, "short.txt");
    assert_message_has(&err, "less than one chunk of 32");
    text = (qn_measure_text){.text_path = TEXT, .n_ctx = 4};
    assert_status(&err, qn_measure_perplexity(&(qn_measure_model){.path = model.gguf}, &text, job, &p, &err),
                  QN_E_USAGE);
    text.n_ctx = 1 << 20;
    assert_status(&err, qn_measure_perplexity(&(qn_measure_model){.path = model.gguf}, &text, job, &p, &err),
                  QN_E_RANGE);
    text = (qn_measure_text){.text_path = "nowhere.txt", .n_ctx = CTX};
    assert_status(&err, qn_measure_perplexity(&(qn_measure_model){.path = model.gguf}, &text, job, &p, &err),
                  QN_E_NOT_FOUND);
    text = (qn_measure_text){0};
    assert_status(&err, qn_measure_perplexity(&(qn_measure_model){.path = model.gguf}, &text, job, &p, &err),
                  QN_E_USAGE);
    qn_job_free(job);
    free(empty);
}

static void importance_is_refused_early(void **state) {
    static const char legacy[] = QN_TEST_DATA_DIR "/gguf/imatrix_legacy.dat";
    static const char other[] = QN_TEST_DATA_DIR "/gguf/imatrix.gguf";
    const char *const others[] = {other};
    char *out = out_path("refused.gguf");
    const struct {
        qn_importance_options options;
        qn_status status;
        const char *message;
    } cases[] = {
        {{.out_path = out}, QN_E_USAGE, "--in-file"},
        {{.model = {.path = model.gguf}, .out_path = out}, QN_E_USAGE, "--text"},
        {{.model = {.path = model.gguf}, .text = text_of(0)}, QN_E_USAGE, "-o FILE"},
        {{.model = {.path = model.gguf}, .text = text_of(0), .out_path = legacy}, QN_E_EXISTS, "--force"},
        {{.model = {.path = model.gguf}, .text = text_of(0), .out_path = "/proc/none/x.gguf"},
         QN_E_IO,
         "/proc/none/x.gguf"},
        {{.model = {.path = model.gguf}, .text = text_of(0), .out_path = out, .in_files = others, .n_in_files = 1},
         QN_E_USAGE,
         "another model"},
        {{.in_files = (const char *const[]){"nowhere.dat"}, .n_in_files = 1, .out_path = out},
         QN_E_NOT_FOUND,
         "nowhere.dat"},
    };
    qn_job *job = new_job();
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        qn_importance_result r;
        qn_error err;
        assert_status(&err, qn_measure_importance(&cases[i].options, job, &r, &err), cases[i].status);
        assert_message_has(&err, cases[i].message);
        assert_false(path_exists(out));
    }
    qn_job_free(job);
    free(out);
}

static int begin_all(void **state) {
    (void)state;
    begin_case(&model, family_named("llama"), QN_F32, NULL, NULL);
    begin_case(&quantised, family_named("llama"), QN_Q8_0, NULL, NULL);
    return 0;
}

static int end_all(void **state) {
    (void)state;
    end_case(&model);
    end_case(&quantised);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_cover_what_is_wanted),
        cmocka_unit_test(perplexity_is_that_of_single_chunks),
        cmocka_unit_test(tokens_beyond_the_embedding_are_refused),
        cmocka_unit_test(divergence_has_both_perplexities),
        cmocka_unit_test(every_token_counts),
        cmocka_unit_test(experts_count_their_own_tokens),
        cmocka_unit_test(an_interrupted_job_goes_on),
        cmocka_unit_test(bad_input_is_named),
        cmocka_unit_test(importance_is_refused_early),
    };
    return cmocka_run_group_tests(tests, begin_all, end_all);
}
