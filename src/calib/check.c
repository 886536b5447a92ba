/* SPDX-License-Identifier: MIT */
/* check.c: the accept call of `pack`: an output is run, and compared with the weights it was made from. */
/*
 * The reference comes once, from the plan's own recipes in float32, one layer in memory at a time: all windows of the
 * text are one batch, so that every layer is entered once. Its logits stay as float32, for at most 4 windows of 128
 * tokens, fewer where the vocabulary is large. Outputs are mapped under their .part names and give theirs a window at a
 * time. A model that the engine cannot run at all says nothing about the outputs, and refuses none of them unless the
 * check was asked for.
 */
#include "quern/check.h"

#include "base/worker.h"
#include "calib/check_text.h"
#include "calib/divergence.h"
#include "engine/engine.h"
#include "engine/recipe_provider.h"
#include "pack/plan.h"
#include "stream/stream_progress.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WINDOW = 128, MAX_WINDOWS = 4, MAX_ANSWER = 64, MIN_CTX = 4 };

static const uint64_t MAX_BASE_BYTES = (uint64_t)256 << 20;

/*
 * What a thread does in a second, for the estimate: rounded from a measurement on two Zen 4 cores, less where the
 * processor has less.
 */
static const double FLOPS_PER_THREAD[] = {[QN_CPU_SCALAR] = 4e9, [QN_CPU_AVX2] = 3e10, [QN_CPU_AVX512] = 6e10};
static const double ENCODED_BYTES_PER_THREAD = 1e9;
static const double WEIGHT_BYTES = 1e10; /* read, by all threads together */

struct qn_check {
    const qn_plan *plan;
    bool has_max_kld;
    double max_kld;
    bool is_required;
    double seconds;
    uint64_t memory_bytes;
    qn_tokenizer *tokenizer;
    qn_windows windows;
    qn_ids prompt;
    bool has_template;
    qn_error prompt_error; /* why there is no trial turn; QN_OK: there is one */
    uint64_t n_ctx;        /* of outputs and reference alike: rope factors may depend on it */
    uint64_t n_layer;
    uint64_t n_vocab;
    float *base;         /* [windows.n * windows.length, n_vocab]; NULL: not computed */
    qn_error base_error; /* why it cannot be; QN_OK: not tried, or it is there */
    bool has_begun;
    qn_progress progress;
    uint64_t n_due; /* bytes done when the outputs so far are over */
};

/* ---- preparing ---- */

static qn_status count_vocab(const qn_model *model, uint64_t *out, qn_error *err) {
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        if (strcmp(model->tensors[i].name, "token_embd.weight") == 0) {
            *out = qn_shape_rows(&model->tensors[i].shape);
        }
    }
    return *out > 0 ? QN_OK
                    : qn_fail(err, QN_E_UNSUPPORTED, "%s: has no token_embd.weight, and cannot be run", model->path);
}

/* Why a plan's outputs are none that run. */
static qn_status check_kind(const qn_plan *plan, qn_error *err) {
    if (plan->to_hf) {
        return qn_fail(err, QN_E_UNSUPPORTED, "a Hugging Face folder is not run; pack it into GGUF to have it checked");
    }
    return plan->preset.exports_adapter ? qn_fail(err, QN_E_UNSUPPORTED, "an adapter alone cannot be run") : QN_OK;
}

static qn_status take_options(qn_check *c, const qn_check_options *options, qn_error *err) {
    if (options->has_max_kld && !(isfinite(options->max_kld) && options->max_kld >= 0)) {
        return qn_fail(err, QN_E_USAGE, "a divergence cannot be held below %g", options->max_kld);
    }
    c->has_max_kld = options->has_max_kld;
    c->max_kld = options->max_kld;
    c->is_required = options->is_required;
    return QN_OK;
}

/* A template that cannot be rendered is told with every output, and refuses none, unless the check was asked for. */
static void make_prompt(qn_check *c, const qn_meta *meta, uint64_t max_ctx) {
    const qn_status status = qn_check_prompt(meta, c->tokenizer, &c->has_template, &c->prompt, &c->prompt_error);
    if (status == QN_OK && (c->prompt.n == 0 || c->prompt.n + 1 > max_ctx)) {
        (void)qn_fail(&c->prompt_error, QN_E_RANGE, "the trial turn of %zu tokens does not fit a context of %" PRIu64,
                      c->prompt.n, max_ctx);
    }
    const uint64_t wanted = c->prompt.n + MAX_ANSWER;
    const uint64_t n_tokens = c->windows.n * c->windows.length; /* a batch is never longer than the context */
    c->n_ctx = wanted > n_tokens ? wanted : n_tokens;
    c->n_ctx = c->n_ctx < max_ctx ? c->n_ctx : max_ctx;
}

static double estimate(const qn_check *c, unsigned n_threads) {
    const qn_plan *plan = c->plan;
    const double n_weights = (double)plan->model->n_weights;
    const double n_tokens = (double)(c->windows.n * c->windows.length);
    const double flops = FLOPS_PER_THREAD[qn_cpu_detect()] * n_threads;
    double seconds = 2 * n_weights * n_tokens / flops + 4 * n_weights / (ENCODED_BYTES_PER_THREAD * n_threads);
    for (uint32_t o = 0; o < plan->n_outputs; o++) {
        seconds += 2 * n_weights * (n_tokens + (double)c->prompt.n) / flops;
        seconds += MAX_ANSWER * (double)plan->outputs[o].tensor_bytes / WEIGHT_BYTES;
    }
    return seconds;
}

/* Bytes in float32 of what the reference has in memory together: tensors named alike up to the layer's number. */
static uint64_t largest_part(const qn_model *model) {
    uint64_t most = 0;
    uint64_t bytes = 0;
    uint64_t layer = UINT64_MAX;
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        const qn_recipe *recipe = model->tensors[i].recipe;
        uint64_t own = 0;
        const bool is_in_layer = sscanf(model->tensors[i].name, "blk.%5" SCNu64 ".", &own) == 1;
        bytes = is_in_layer && own == layer ? bytes : 0;
        layer = is_in_layer ? own : UINT64_MAX;
        bytes += qn_recipe_rows(recipe) * qn_recipe_cols(recipe) * sizeof(float);
        most = bytes > most ? bytes : most;
    }
    return most;
}

static qn_status prepare(qn_check *c, const qn_check_options *options, const qn_job *job, qn_error *err) {
    const qn_model *model = c->plan->model;
    qn_graph graph;
    QN_TRY(take_options(c, options, err));
    QN_TRY(check_kind(c->plan, err));
    QN_TRY(count_vocab(model, &c->n_vocab, err));
    qn_arena *arena = qn_arena_new();
    if (arena == NULL) {
        return qn_fail_nomem(err, "check", 0);
    }
    qn_status status = qn_graph_read(model->path, &model->meta, arena, &graph, err);
    const uint64_t max_ctx = status == QN_OK ? graph.n_ctx : 0;
    c->n_layer = status == QN_OK ? graph.n_layer : 0;
    qn_arena_free(arena);
    QN_TRY(status);
    if (max_ctx < MIN_CTX) {
        return qn_fail(err, QN_E_UNSUPPORTED, "%s: a context of %" PRIu64 " tokens; a check needs %d", model->path,
                       max_ctx, (int)MIN_CTX);
    }
    status = qn_tokenizer_new(&model->meta, &c->tokenizer, err);
    if (status != QN_OK) {
        return qn_fail_at(err, status == QN_E_NOT_FOUND ? QN_E_UNSUPPORTED : status, "%s", model->path);
    }
    const uint64_t length = max_ctx < WINDOW ? max_ctx : WINDOW;
    const uint64_t n_fit = MAX_BASE_BYTES / sizeof(float) / c->n_vocab / length;
    const qn_window_limits limits = {.n = n_fit < 1 ? 1 : n_fit < MAX_WINDOWS ? n_fit : MAX_WINDOWS, .length = length};
    QN_TRY(qn_windows_cut(options->text, c->tokenizer, &limits, &c->windows, err));
    make_prompt(c, &model->meta, max_ctx);
    if (c->is_required && c->prompt_error.status != QN_OK) {
        return qn_fail(err, c->prompt_error.status, "%s: %s", model->path, c->prompt_error.message);
    }
    c->seconds = estimate(c, qn_job_threads(job));
    const uint64_t n_rows = (c->windows.n + 1) * c->windows.length; /* of the reference, and of a window of an output */
    c->memory_bytes = largest_part(model) + n_rows * c->n_vocab * sizeof(float);
    return QN_OK;
}

qn_status qn_check_new(const qn_plan *plan, const qn_check_options *options, const qn_job *job, qn_check **out,
                       qn_error *err) {
    qn_check *c = qn_new_array(1, sizeof *c);
    if (c == NULL) {
        return qn_fail_nomem(err, "check", sizeof *c);
    }
    c->plan = plan;
    const qn_status status = prepare(c, options, job, err);
    if (status != QN_OK) {
        qn_check_free(c);
        return status;
    }
    *out = c;
    return QN_OK;
}

void qn_check_free(qn_check *check) {
    if (check != NULL) {
        qn_tokenizer_free(check->tokenizer);
        qn_windows_clear(&check->windows);
        qn_ids_clear(&check->prompt);
        free(check->base);
        free(check);
    }
}

double qn_check_seconds(const qn_check *check) {
    return check->seconds;
}

uint64_t qn_check_memory(const qn_check *check) {
    return check->memory_bytes;
}

/* ---- progress, in bytes of weights run through ---- */

static uint64_t reference_bytes(const qn_check *c) {
    return c->plan->model->n_weights * sizeof(float);
}

static void begin_progress(qn_check *c, qn_job *job) {
    uint64_t total = reference_bytes(c);
    for (uint32_t o = 0; o < c->plan->n_outputs; o++) {
        total += 2 * c->plan->outputs[o].size_bytes; /* the turn, and the text */
    }
    qn_progress_begin(&c->progress, job, 0, 0, total);
    qn_progress_stage(&c->progress, "Check");
}

/* Some way towards n_due bytes, which is never passed: an answer may end early, a layer be entered twice. */
static void advance(qn_check *c, uint64_t n_bytes, uint64_t n_due) {
    const uint64_t left = n_due > c->progress.bytes_done ? n_due - c->progress.bytes_done : 0;
    qn_progress_add(&c->progress, (qn_progress_at){0}, n_bytes < left ? n_bytes : left);
}

/* ---- the reference ---- */

/* A provider that tells how far it has come. */
typedef struct counted_provider {
    qn_provider inner;
    qn_check *check;
} counted_provider;

static qn_status find_counted(void *self, const char *name, qn_shape *shape, qn_dtype *type, const void **bytes,
                              qn_error *err) {
    const counted_provider *p = self;
    return p->inner.find(p->inner.self, name, shape, type, bytes, err);
}

static qn_status enter_counted(void *self, qn_part part, uint64_t layer, qn_error *err) {
    const counted_provider *p = self;
    qn_check *c = p->check;
    if (part == QN_PART_LAYER) {
        advance(c, reference_bytes(c) / c->n_layer, reference_bytes(c));
    }
    return p->inner.enter(p->inner.self, part, layer, err);
}

static void close_counted(void *self) {
    const counted_provider *p = self;
    p->inner.close(p->inner.self);
}

/* All windows as sequences of one call. */
static qn_status decode_windows(const qn_check *c, qn_engine *engine, float *logits, qn_error *err) {
    qn_sequence *sequences[MAX_WINDOWS] = {NULL};
    qn_span spans[MAX_WINDOWS];
    qn_status status = QN_OK;
    for (uint64_t i = 0; status == QN_OK && i < c->windows.n; i++) {
        status = qn_sequence_new(engine, &sequences[i], err);
        spans[i] = (qn_span){.sequence = sequences[i],
                             .tokens = c->windows.ids.items + i * c->windows.length,
                             .n = c->windows.length,
                             .all_logits = true};
    }
    if (status == QN_OK) {
        status = qn_engine_decode_spans(engine, spans, c->windows.n, logits, err);
    }
    for (uint64_t i = 0; i < c->windows.n; i++) {
        qn_sequence_free(sequences[i]);
    }
    return status;
}

static bool all_finite(const float *x, uint64_t n) {
    bool is_finite = true;
    for (uint64_t i = 0; i < n; i++) {
        is_finite = is_finite && isfinite(x[i]);
    }
    return is_finite;
}

static qn_status fill_base(qn_check *c, qn_job *job, qn_error *err) {
    const uint64_t n_tokens = c->windows.n * c->windows.length;
    const qn_recipe_provider_options how = {.type = "F32", .by_layer = true};
    const qn_engine_options options = {.n_ctx = c->n_ctx, .n_batch = n_tokens};
    counted_provider counted = {.check = c};
    qn_engine *engine = NULL;
    QN_TRY(qn_recipe_provider_open(c->plan->model, &how, job, &counted.inner, err));
    qn_provider provider = counted.inner;
    provider.self = &counted;
    provider.find = find_counted;
    provider.enter = counted.inner.enter == NULL ? NULL : enter_counted;
    provider.close = close_counted;
    QN_TRY(qn_engine_open_provider(&provider, &options, job, &engine, err));
    c->base = qn_new_array(n_tokens * c->n_vocab, sizeof *c->base);
    qn_status status = c->base == NULL ? qn_fail_nomem(err, "logits", (size_t)(n_tokens * c->n_vocab) * sizeof *c->base)
        : qn_engine_n_vocab(engine) != c->n_vocab ? qn_fail(err, QN_E_INTERNAL, "the reference has another vocabulary")
                                                  : decode_windows(c, engine, c->base, err);
    qn_engine_free(engine);
    if (status == QN_OK && !all_finite(c->base, n_tokens * c->n_vocab)) {
        status = qn_fail(err, QN_E_RANGE, "%s: the logits of its own weights are not finite", c->plan->model->path);
    }
    return status;
}

/* Once for all outputs; what went wrong is remembered. */
static qn_status find_base(qn_check *c, qn_job *job, qn_error *err) {
    if (c->base != NULL || c->base_error.status != QN_OK) {
        return QN_OK;
    }
    const qn_status status = fill_base(c, job, err);
    if (status != QN_OK) {
        free(c->base);
        c->base = NULL;
        (void)qn_fail(&c->base_error, status, "%s", err->message);
    }
    return status == QN_E_INTERRUPTED ? status : QN_OK;
}

/* ---- one output ---- */

typedef struct trial {
    qn_check *check;
    const qn_candidate *candidate;
    qn_job *job;
    qn_verdict *verdict;
    qn_engine *engine;
    qn_sequence *sequence;
    float *logits;  /* [windows.length - windows.first, n_vocab] */
    uint64_t n_due; /* bytes done when it is over */
} trial;

static void put_note(qn_verdict *verdict, const char *what, const char *why) {
    const size_t used = strlen(verdict->note);
    (void)snprintf(verdict->note + used, sizeof verdict->note - used, "%s%s: %s", used == 0 ? "" : "; ", what, why);
}

/* What is not finite is refused, but where --allow-nan lets such weights pass. */
static qn_status judge_nonfinite(const trial *t, qn_error *err) {
    if (!t->check->plan->allow_nan) {
        return QN_E_RANGE;
    }
    put_note(t->verdict, "not finite", err->message);
    return QN_OK;
}

static int32_t most_likely(const float *logits, uint64_t n) {
    uint64_t top = 0;
    for (uint64_t i = 1; i < n; i++) {
        top = logits[i] > logits[top] ? i : top;
    }
    return (int32_t)top;
}

/* Says something, greedily, until it ends or is long enough. */
static qn_status take_turn(trial *t, qn_error *err) {
    const qn_check *c = t->check;
    const uint64_t n_max = c->n_ctx - c->prompt.n < MAX_ANSWER ? c->n_ctx - c->prompt.n : MAX_ANSWER;
    const int32_t *tokens = c->prompt.items;
    uint64_t n = c->prompt.n;
    int32_t token = 0;
    t->verdict->has_answered = true;
    while (true) {
        QN_TRY(qn_engine_decode(t->engine, t->sequence, tokens, n, false, t->logits, err));
        if (!all_finite(t->logits, c->n_vocab)) {
            (void)qn_fail(err, QN_E_RANGE,
                          "%s: after %" PRIu64 " tokens of a trial turn its logits are not finite: its weights "
                          "overflow as %s; another type may do, --no-check keeps the file",
                          t->candidate->part_paths[0], qn_sequence_length(t->sequence), t->candidate->type);
            return judge_nonfinite(t, err);
        }
        token = most_likely(t->logits, c->n_vocab);
        t->verdict->has_ended = qn_token_is_eog(c->tokenizer, token);
        if (t->verdict->has_ended || ++t->verdict->n_answer == n_max) {
            return QN_OK;
        }
        tokens = &token;
        n = 1;
        advance(t->check, t->candidate->size_bytes / MAX_ANSWER, t->n_due);
    }
}

static qn_status compare_windows(trial *t, qn_divergence *d, qn_pool *pool, qn_error *err) {
    const qn_check *c = t->check;
    const qn_windows *w = &c->windows;
    for (uint64_t i = 0; i < w->n; i++) {
        const int32_t *tokens = w->ids.items + i * w->length;
        const uint64_t first = i * w->length + w->first;
        qn_sequence_truncate(t->sequence, 0);
        QN_TRY(qn_engine_decode(t->engine, t->sequence, tokens, w->first, false, NULL, err));
        QN_TRY(qn_engine_decode(t->engine, t->sequence, tokens + w->first, w->length - w->first, true, t->logits, err));
        QN_TRY(qn_divergence_add(d, pool, c->base + first * c->n_vocab, t->logits, tokens + w->first + 1,
                                 qn_windows_counted(w), c->n_vocab, err));
        advance(t->check, t->candidate->size_bytes / w->n, t->n_due);
    }
    return QN_OK;
}

static qn_status compare(trial *t, qn_error *err) {
    qn_divergence_stats found = {0};
    qn_divergence *d = qn_divergence_new();
    qn_pool *pool = qn_pool_new(qn_job_threads(t->job));
    qn_status status = d == NULL || pool == NULL ? qn_fail_nomem(err, "check", 0) : compare_windows(t, d, pool, err);
    if (status == QN_OK) {
        status = qn_divergence_result(d, &found, err);
    } else if (status == QN_E_RANGE) {
        (void)qn_fail_at(err, status, "%s", t->candidate->part_paths[0]);
        status = judge_nonfinite(t, err);
    }
    qn_pool_free(pool);
    qn_divergence_free(d);
    QN_TRY(status);
    t->verdict->is_compared = found.n_tokens > 0;
    t->verdict->n_compared = found.n_tokens;
    t->verdict->kld = found.kld.value;
    t->verdict->kld_error = found.kld.error;
    t->verdict->same_top = found.same_top.value;
    return QN_OK;
}

static qn_status hold_to_limit(const trial *t, qn_error *err) {
    const qn_check *c = t->check;
    const qn_verdict *v = t->verdict;
    if (!c->has_max_kld || (v->is_compared && v->kld <= c->max_kld)) {
        return QN_OK;
    }
    if (!v->is_compared) {
        return qn_fail(err, QN_E_RANGE, "%s: could not be compared, and a limit was set", t->candidate->part_paths[0]);
    }
    return qn_fail(err, QN_E_RANGE,
                   "%s: %s diverges from the unquantised weights by %.6f (mean KLD, standard error %.6f, %" PRIu64
                   " positions); at most %g was asked for: take a larger type, or an importance matrix; with a higher "
                   "--check-max-kld or without it the same command goes on with the files that are there",
                   t->candidate->part_paths[0], t->candidate->type, v->kld, v->kld_error, v->n_compared, c->max_kld);
}

static qn_status run_trial(trial *t, qn_error *err) {
    qn_check *c = t->check;
    const qn_engine_options options = {.n_ctx = c->n_ctx};
    qn_provider provider;
    QN_TRY(qn_provider_open_files(t->candidate->part_paths, t->candidate->n_files, &provider, err));
    QN_TRY(qn_engine_open_provider(&provider, &options, t->job, &t->engine, err));
    if (qn_engine_n_vocab(t->engine) != c->n_vocab) {
        return qn_fail(err, QN_E_INTERNAL, "%s: the vocabulary changed", t->candidate->part_paths[0]);
    }
    QN_TRY(qn_sequence_new(t->engine, &t->sequence, err));
    const uint64_t n_rows = c->windows.length - c->windows.first;
    t->logits = qn_new_array(n_rows * c->n_vocab, sizeof *t->logits);
    if (t->logits == NULL) {
        return qn_fail_nomem(err, "logits", (size_t)(n_rows * c->n_vocab) * sizeof *t->logits);
    }
    if (c->prompt_error.status != QN_OK) {
        put_note(t->verdict, "no trial turn", c->prompt_error.message);
    } else {
        QN_TRY(take_turn(t, err));
    }
    QN_TRY(compare(t, err));
    return hold_to_limit(t, err);
}

qn_status qn_check_accept(void *user, const qn_candidate *candidate, qn_job *job, qn_verdict *verdict, qn_error *err) {
    qn_check *c = user;
    qn_error local = {QN_OK, ""};
    qn_error *found = err == NULL ? &local : err;
    trial t = {.check = c, .candidate = candidate, .job = job, .verdict = verdict};
    if (!c->has_begun) {
        begin_progress(c, job);
        c->has_begun = true;
    }
    QN_TRY(find_base(c, job, found));
    const qn_error *why = &c->base_error;
    c->n_due += (c->n_due == 0 ? reference_bytes(c) : 0) + 2 * candidate->size_bytes;
    t.n_due = c->n_due;
    qn_status status = why->status == QN_OK ? run_trial(&t, found) : qn_fail(found, why->status, "%s", why->message);
    advance(c, UINT64_MAX, t.n_due);
    free(t.logits);
    qn_sequence_free(t.sequence);
    qn_engine_free(t.engine);
    /* A model that is not run says nothing of the file, nor does a lack of memory; one that is, and does not load from
       the file, does. */
    const bool is_beside = why->status != QN_OK || status == QN_E_UNSUPPORTED || status == QN_E_NOMEM;
    if (is_beside && !c->is_required && status != QN_E_INTERRUPTED) {
        put_note(verdict, "not checked", found->message);
        status = QN_OK;
    }
    return status;
}
