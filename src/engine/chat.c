/* SPDX-License-Identifier: MIT */
/*
 * chat.c: template, tokenizer, engine and sampler put together.
 *
 * Every turn renders the whole conversation and compares its tokens with those in the sequence: what begins alike is
 * kept, the rest is computed. So an edited or shortened conversation needs no other path than a growing one.
 */
#include "quern/chat.h"

#include "base/buffer.h"
#include "base/json.h"
#include "base/residence.h"
#include "base/worker.h"
#include "engine/chat_model.h"
#include "engine/json_schema.h"
#include "engine/sampler.h"
#include "stream/stream_progress.h"
#include "text/chat_render.h"
#include "text/tokenizer.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DEFAULT_BATCH = 512 };

static const double max_bias = 1e6;

struct qn_chat {
    qn_job *job;         /* borrowed */
    qn_chat_model model; /* what the engine borrows */
    qn_engine *engine;
    qn_sequence *sequence;
    qn_tokenizer *tokenizer;
    qn_sampler *sampler;
    qn_guide *guide; /* NULL until there is a grammar */
    bool is_guided;  /* else answers are free */
    qn_arena *arena; /* stop texts, biases */
    json_t *messages;
    qn_ids in_sequence; /* tokens whose keys and values there are */
    float *logits;      /* [n_vocab] */
    const char **stops;
    size_t n_stops;
    uint64_t n_predict;
    uint64_t n_batch;
    bool has_noted; /* what the template's remark says */
    double load_seconds;
    uint64_t disk_bytes; /* that the process had read from disks before the model was opened */
    atomic_bool is_stopped;
};

/** An answer being written. */
typedef struct answer {
    qn_chat *chat;
    qn_chat_text_fn *on_text;
    void *user;
    qn_chat_stats stats;
    qn_buffer text; /* all of it */
    size_t n_told;  /* bytes of it that were given to on_text */
} answer;

static double seconds_now(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

qn_chat_sampling qn_chat_sampling_default(void) {
    const qn_sampling s = qn_sampling_default();
    return (qn_chat_sampling){
        .temperature = (double)s.temperature,
        .top_p = (double)s.top_p,
        .min_p = (double)s.min_p,
        .typical_p = (double)s.typical_p,
        .repeat_penalty = (double)s.repeat_penalty,
        .top_k = s.top_k,
        .repeat_last_n = s.repeat_last_n,
        .mirostat_tau = (double)s.mirostat_tau,
        .mirostat_eta = (double)s.mirostat_eta,
    };
}

/* Without biases: those live in the arena. */
static qn_sampling sampling_of(const qn_chat_sampling *s) {
    return (qn_sampling){
        .temperature = (float)s->temperature,
        .top_k = s->top_k > UINT32_MAX ? 0 : (uint32_t)s->top_k,
        .top_p = (float)s->top_p,
        .min_p = (float)s->min_p,
        .typical_p = (float)s->typical_p,
        .repeat_penalty = (float)s->repeat_penalty,
        .presence_penalty = (float)s->presence_penalty,
        .frequency_penalty = (float)s->frequency_penalty,
        .repeat_last_n = s->repeat_last_n > UINT32_MAX ? UINT32_MAX : (uint32_t)s->repeat_last_n,
        .mirostat = s->mirostat > UINT32_MAX ? UINT32_MAX : (uint32_t)s->mirostat,
        .mirostat_tau = (float)s->mirostat_tau,
        .mirostat_eta = (float)s->mirostat_eta,
        .seed = s->seed,
    };
}

/* ---- Opening ---- */

/* Keys and values are written to sooner or later, so they must have room; mapped weights can be read again. */
static qn_status check_memory(const qn_chat *chat, qn_error *err) {
    const uint64_t kv = qn_engine_kv_bytes(chat->engine);
    const uint64_t n_ctx = qn_engine_n_ctx(chat->engine);
    const uint64_t available = qn_available_bytes();
    if (available == 0 || kv <= available) {
        return QN_OK;
    }
    return qn_fail(
        err, QN_E_RANGE,
        "a context of %llu tokens takes %.2f GB for keys and values, and %.2f GB of memory are free: at most "
        "%llu tokens fit (--ctx)",
        (unsigned long long)n_ctx, (double)kv / 1e9, (double)available / 1e9,
        (unsigned long long)((double)available / ((double)kv / (double)n_ctx)));
}

static qn_status keep_stops(qn_chat *chat, const qn_chat_options *options, qn_error *err) {
    chat->n_stops = options->n_stops;
    chat->stops = qn_arena_array(chat->arena, options->n_stops, sizeof *chat->stops);
    for (size_t i = 0; chat->stops != NULL && i < options->n_stops; i++) {
        chat->stops[i] = qn_arena_string(chat->arena, options->stops[i]);
        if (chat->stops[i] == NULL || options->stops[i][0] == '\0') {
            return chat->stops[i] == NULL ? qn_fail_nomem(err, "stop texts", 0)
                                          : qn_fail(err, QN_E_USAGE, "a stop text is empty");
        }
    }
    return chat->stops == NULL ? qn_fail_nomem(err, "stop texts", 0) : QN_OK;
}

static qn_status open_sampler(qn_chat *chat, const qn_chat_options *options, qn_error *err) {
    const uint64_t n_vocab = qn_engine_n_vocab(chat->engine);
    qn_sampling sampling = sampling_of(&options->sampling);
    qn_logit_bias *biases = qn_arena_array(chat->arena, options->n_biases, sizeof *biases);
    if (biases == NULL) {
        return qn_fail_nomem(err, "logit biases", options->n_biases * sizeof *biases);
    }
    for (size_t i = 0; i < options->n_biases; i++) {
        const qn_chat_bias *bias = &options->biases[i];
        /* A huge one would make a logit infinite, which has no share of a probability. */
        if (bias->token >= n_vocab || !(bias->bias <= max_bias) || (bias->bias < -max_bias && !isinf(bias->bias))) {
            return qn_fail(err, QN_E_USAGE,
                           "a logit bias of %g for token %llu: -1e6 to 1e6, or -inf, and an id below %llu are expected",
                           bias->bias, (unsigned long long)bias->token, (unsigned long long)n_vocab);
        }
        biases[i] = (qn_logit_bias){(int32_t)bias->token, (float)bias->bias};
    }
    sampling.biases = biases;
    sampling.n_biases = options->n_biases;
    return qn_sampler_new(&sampling, (uint32_t)n_vocab, &chat->sampler, err);
}

/* @param out NULL where there is neither text */
static qn_status read_grammar(const char *text_of_grammar, const char *json_schema, qn_grammar **out, qn_error *err) {
    char *text = NULL;
    *out = NULL;
    if (text_of_grammar != NULL && json_schema != NULL) {
        return qn_fail(err, QN_E_USAGE, "a grammar and a JSON schema: an answer follows one of them");
    }
    if (text_of_grammar != NULL) {
        return qn_grammar_parse(text_of_grammar, strlen(text_of_grammar), out, err);
    }
    if (json_schema == NULL) {
        return QN_OK;
    }
    QN_TRY(qn_json_schema_to_grammar(json_schema, strlen(json_schema), &text, err));
    qn_status status = qn_grammar_parse(text, strlen(text), out, err);
    if (status == QN_E_FORMAT) { /* all that can be wrong with what is written by program */
        status = qn_fail(err, status,
                         "JSON schema: a '$ref' leads back to itself with no property or item between, so that no "
                         "value can be written");
    } else if (status != QN_OK) {
        status = qn_fail_at(err, status, "the JSON schema, written as a grammar");
    }
    free(text);
    return status;
}

/* @param grammar taken; NULL: answers are free */
static qn_status set_grammar(qn_chat *chat, qn_grammar *grammar, qn_error *err) {
    if (grammar != NULL && chat->guide != NULL) {
        QN_TRY(qn_guide_change(chat->guide, grammar, err));
    } else if (grammar != NULL) {
        QN_TRY(qn_guide_new(grammar, chat->tokenizer, qn_engine_n_vocab(chat->engine), &chat->guide, err));
    }
    chat->is_guided = grammar != NULL;
    return QN_OK;
}

qn_status qn_chat_follow(qn_chat *chat, const char *grammar, const char *json_schema, qn_error *err) {
    qn_grammar *parsed = NULL;
    QN_TRY(read_grammar(grammar, json_schema, &parsed, err));
    return set_grammar(chat, parsed, err);
}

static qn_status add_message(qn_chat *chat, const char *role, const char *content, size_t n, qn_error *err) {
    json_t *message = json_pack("{s:s, s:o}", "role", role, "content", qn_json_text(content, n));
    if (message == NULL || json_array_append_new(chat->messages, message) != 0) {
        return qn_fail_nomem(err, "the conversation", n);
    }
    return QN_OK;
}

/* Texts of the caller's that can be wrong are looked at before a large file is. @param grammar out: or NULL */
static qn_status check_options(const qn_chat_options *options, qn_grammar **grammar, qn_error *err) {
    const qn_sampling sampling = sampling_of(&options->sampling);
    QN_TRY(qn_sampling_check(&sampling, err));
    return read_grammar(options->grammar, options->json_schema, grammar, err);
}

static qn_status open_model(qn_chat *chat, const qn_chat_options *options, qn_job *job, qn_error *err) {
    QN_TRY(qn_chat_model_open(options, NULL, job, &chat->model, &chat->engine, err));
    QN_TRY(check_memory(chat, err));
    const qn_status status = qn_tokenizer_new(qn_engine_meta(chat->engine), &chat->tokenizer, err);
    return status == QN_OK ? QN_OK : qn_fail_at(err, status, "%s", chat->model.inputs.base_dir);
}

static qn_status open_chat(qn_chat *chat, const qn_chat_options *options, qn_job *job, qn_error *err) {
    qn_grammar *grammar = NULL;
    chat->arena = qn_arena_new();
    chat->messages = json_array();
    chat->job = job;
    chat->n_predict = options->n_predict;
    chat->n_batch = options->n_batch == 0 ? DEFAULT_BATCH : options->n_batch;
    if (chat->arena == NULL || chat->messages == NULL) {
        return qn_fail_nomem(err, "a conversation", 0);
    }
    QN_TRY(keep_stops(chat, options, err));
    QN_TRY(check_options(options, &grammar, err));
    const qn_status status = open_model(chat, options, job, err);
    if (status != QN_OK) {
        qn_grammar_free(grammar);
        return status;
    }
    QN_TRY(set_grammar(chat, grammar, err));
    QN_TRY(open_sampler(chat, options, err));
    QN_TRY(qn_sequence_new(chat->engine, &chat->sequence, err));
    chat->logits = qn_new_array(qn_engine_n_vocab(chat->engine), sizeof *chat->logits);
    if (chat->logits == NULL) {
        return qn_fail_nomem(err, "logits", qn_engine_n_vocab(chat->engine) * sizeof *chat->logits);
    }
    return options->system == NULL ? QN_OK : add_message(chat, "system", options->system, strlen(options->system), err);
}

qn_status qn_chat_open(const qn_chat_options *options, qn_job *job, qn_chat **out, qn_error *err) {
    qn_chat *chat = qn_new_array(1, sizeof *chat);
    if (chat == NULL) {
        return qn_fail_nomem(err, "a conversation", sizeof *chat);
    }
    atomic_init(&chat->is_stopped, false);
    const double start = seconds_now();
    chat->disk_bytes = qn_disk_bytes();
    const qn_status status = open_chat(chat, options, job, err);
    chat->load_seconds = seconds_now() - start;
    if (status != QN_OK) {
        qn_chat_free(chat);
        return status;
    }
    *out = chat;
    return QN_OK;
}

void qn_chat_free(qn_chat *chat) {
    if (chat == NULL) {
        return;
    }
    qn_sequence_free(chat->sequence);
    qn_sampler_free(chat->sampler);
    qn_guide_free(chat->guide);
    qn_tokenizer_free(chat->tokenizer);
    qn_engine_free(chat->engine);
    qn_chat_model_clear(&chat->model);
    qn_ids_clear(&chat->in_sequence);
    json_decref(chat->messages);
    free(chat->logits);
    qn_arena_free(chat->arena);
    free(chat);
}

/* ---- Prompts ---- */

/* A template that writes the BOS itself must not get a second one. */
static bool begins_with_bos(const qn_chat *chat, const qn_buffer *text) {
    size_t n = 0;
    const int32_t bos = qn_tokenizer_role(chat->tokenizer, QN_TOKEN_ROLE_BOS);
    const char *bos_text = qn_tokenizer_text(chat->tokenizer, bos, &n);
    return bos_text != NULL && text->data != NULL && n > 0 && n <= text->len && memcmp(text->data, bos_text, n) == 0;
}

static qn_status tokens_of(const qn_chat *chat, const qn_buffer *text, qn_ids *ids, qn_error *err) {
    QN_TRY(qn_buffer_status(text, err));
    return qn_tokenize(chat->tokenizer, text->data == NULL ? "" : (const char *)text->data, text->len,
                       !begins_with_bos(chat, text), true, ids, err);
}

/** A prompt that is being read. */
typedef struct reading {
    const qn_chat *chat;
    qn_progress progress;
    uint64_t n_read; /* tokens in the sequence */
    uint64_t n_now;  /* of the batch that is computed */
} reading;

static void tell_read(reading *r, uint64_t n_tokens) {
    qn_progress_add(&r->progress, (qn_progress_at){0}, n_tokens - r->progress.bytes_done);
}

static bool on_decode(void *user, double share) {
    reading *r = user;
    tell_read(r, r->n_read + (uint64_t)(share * (double)r->n_now));
    return !atomic_load(&r->chat->is_stopped);
}

/* Appends tokens to the sequence, a batch at a time: where it is stopped, what whole batches computed is kept. */
static qn_status read_batches(qn_chat *chat, reading *r, const int32_t *tokens, size_t n, qn_error *err) {
    while (r->n_read < n && !atomic_load(&chat->is_stopped)) {
        r->n_now = n - r->n_read < chat->n_batch ? n - r->n_read : chat->n_batch;
        const size_t end = r->n_read + r->n_now;
        const qn_status status = qn_engine_decode(chat->engine, chat->sequence, tokens + r->n_read, r->n_now, false,
                                                  end == n ? chat->logits : NULL, err);
        if (status == QN_E_INTERRUPTED && atomic_load(&chat->is_stopped)) {
            return QN_OK;
        }
        QN_TRY(status);
        for (; r->n_read < end; r->n_read++) {
            qn_ids_push(&chat->in_sequence, tokens[r->n_read]);
            qn_sampler_accept(chat->sampler, tokens[r->n_read]);
        }
        QN_TRY(qn_ids_status(&chat->in_sequence, err));
        tell_read(r, r->n_read);
    }
    return QN_OK;
}

static qn_status read_tokens(qn_chat *chat, const int32_t *tokens, size_t n, qn_error *err) {
    reading r = {.chat = chat};
    qn_progress_begin(&r.progress, chat->job, 0, 0, n);
    r.progress.counts_tokens = true;
    qn_progress_stage(&r.progress, "Prompt");
    qn_engine_watch(chat->engine, on_decode, &r);
    const qn_status status = read_batches(chat, &r, tokens, n, err);
    qn_engine_watch(chat->engine, NULL, NULL);
    return status;
}

/* Brings the sequence to hold the prompt; its last token is always computed, for the logits. */
static qn_status read_prompt(answer *a, const qn_ids *prompt, qn_error *err) {
    qn_chat *chat = a->chat;
    const uint64_t n_ctx = qn_engine_n_ctx(chat->engine);
    const double start = seconds_now();
    size_t n_same = 0;
    if (prompt->n == 0) {
        return qn_fail(err, QN_E_USAGE, "the prompt is empty");
    }
    if (prompt->n >= n_ctx) {
        return qn_fail(err, QN_E_RANGE,
                       "the prompt has %zu tokens, and the context of %llu has no room for an answer: shorten the "
                       "conversation, or pass a larger --ctx",
                       prompt->n, (unsigned long long)n_ctx);
    }
    while (n_same + 1 < prompt->n && n_same < chat->in_sequence.n &&
           prompt->items[n_same] == chat->in_sequence.items[n_same]) {
        n_same++;
    }
    qn_sequence_truncate(chat->sequence, n_same);
    chat->in_sequence.n = n_same;
    const qn_status status = read_tokens(chat, prompt->items + n_same, prompt->n - n_same, err);
    a->stats.n_prompt = chat->in_sequence.n - n_same;
    a->stats.n_reused = n_same;
    a->stats.prompt_seconds = seconds_now() - start;
    return status;
}

/* ---- Answers ---- */

/* Where a stop text begins at or behind from, or where one may be beginning; the end of the text when nowhere. */
static size_t find_stop(const answer *a, size_t from, bool *is_whole) {
    const char *text = (const char *)a->text.data;
    size_t found = a->text.len;
    *is_whole = false;
    for (size_t i = 0; i < a->chat->n_stops; i++) {
        const char *stop = a->chat->stops[i];
        const size_t n = strlen(stop);
        for (size_t at = from; at < found; at++) {
            const size_t left = a->text.len - at < n ? a->text.len - at : n;
            if (memcmp(text + at, stop, left) == 0) {
                found = at;
                *is_whole = left == n;
                break;
            }
        }
    }
    return found;
}

/* Bytes of text that end with a whole character. */
static size_t whole_characters(const unsigned char *text, size_t n) {
    size_t back = 1;
    while (back <= 4 && back <= n && (text[n - back] & 0xC0U) == 0x80U) {
        back++;
    }
    if (back > n || back > 4) {
        return n;
    }
    const unsigned char lead = text[n - back];
    const size_t wanted = lead >= 0xF0U ? 4 : lead >= 0xE0U ? 3 : lead >= 0xC0U ? 2 : 1;
    return wanted > back ? n - back : n;
}

/* Gives on_text what is certain. @return whether the answer goes on */
static bool tell(answer *a, bool is_end) {
    bool is_stop = false;
    size_t end = find_stop(a, a->n_told, &is_stop);
    if (is_end && !is_stop) {
        end = a->text.len; /* what looked like the beginning of a stop text was none */
    } else {
        end = a->n_told + whole_characters(a->text.data + a->n_told, end - a->n_told);
    }
    bool goes_on = true;
    if (end > a->n_told && a->on_text != NULL) {
        goes_on = a->on_text(a->user, (const char *)a->text.data + a->n_told, end - a->n_told);
    }
    a->n_told = end;
    if (is_stop) {
        a->stats.end = QN_CHAT_END_STOP;
        a->text.len = end;
        return false;
    }
    if (!goes_on) {
        a->stats.end = QN_CHAT_END_ASKED;
    }
    return goes_on;
}

/* One token. @param goes_on out */
static qn_status write_token(answer *a, bool *goes_on, qn_error *err) {
    qn_chat *chat = a->chat;
    qn_guide *guide = chat->is_guided ? chat->guide : NULL;
    int32_t token = 0;
    *goes_on = false;
    if (guide != NULL && qn_guide_is_done(guide)) {
        a->stats.end = QN_CHAT_END_TOKEN;
        return QN_OK;
    }
    QN_TRY(qn_sampler_pick_guided(chat->sampler, guide, chat->logits, &token, err));
    qn_sampler_accept(chat->sampler, token);
    if (guide != NULL) {
        QN_TRY(qn_guide_accept(guide, token, err));
    }
    if (qn_token_is_eog(chat->tokenizer, token)) {
        a->stats.end = QN_CHAT_END_TOKEN;
        return QN_OK;
    }
    a->stats.n_answer++;
    QN_TRY(qn_token_piece(chat->tokenizer, token, false, &a->text, err));
    QN_TRY(qn_buffer_status(&a->text, err));
    if (!tell(a, false)) {
        return QN_OK;
    }
    if (a->stats.n_answer == chat->n_predict) {
        a->stats.end = QN_CHAT_END_LENGTH;
        return QN_OK;
    }
    if (qn_sequence_length(chat->sequence) + 1 >= qn_engine_n_ctx(chat->engine)) {
        a->stats.end = QN_CHAT_END_CONTEXT;
        return QN_OK;
    }
    QN_TRY(qn_engine_decode(chat->engine, chat->sequence, &token, 1, false, chat->logits, err));
    qn_ids_push(&chat->in_sequence, token);
    *goes_on = true;
    return qn_ids_status(&chat->in_sequence, err);
}

static qn_status write_answer(answer *a, qn_error *err) {
    const double start = seconds_now();
    bool goes_on = true;
    if (a->chat->is_guided) {
        QN_TRY(qn_guide_reset(a->chat->guide, err));
    }
    while (goes_on) {
        if (atomic_load(&a->chat->is_stopped)) {
            a->stats.end = QN_CHAT_END_ASKED;
            break;
        }
        QN_TRY(write_token(a, &goes_on, err));
    }
    if (a->stats.end != QN_CHAT_END_STOP) {
        (void)tell(a, true);
    }
    a->stats.answer_seconds = seconds_now() - start;
    return QN_OK;
}

static qn_status answer_prompt(answer *a, const qn_buffer *text, qn_error *err) {
    qn_ids prompt = {0};
    atomic_store(&a->chat->is_stopped, false);
    qn_status status = tokens_of(a->chat, text, &prompt, err);
    if (status == QN_OK) {
        status = read_prompt(a, &prompt, err);
    }
    qn_ids_clear(&prompt);
    return status == QN_OK ? write_answer(a, err) : status;
}

static qn_status render(qn_chat *chat, qn_buffer *text, qn_error *err) {
    const char *note = NULL;
    const qn_chat_request request = {
        .meta = qn_engine_meta(chat->engine),
        .messages = chat->messages,
        .add_generation_prompt = true,
    };
    QN_TRY(qn_chat_render(&request, text, &note, err));
    if (note != NULL && !chat->has_noted) {
        char message[200];
        (void)snprintf(message, sizeof message,
                       "%s: a model that was not trained on it may ramble (--raw continues a text as it is)", note);
        qn_job_emit(chat->job, (qn_event){.kind = QN_EVENT_NOTE, .message = message});
        chat->has_noted = true;
    }
    return qn_buffer_status(text, err);
}

qn_status qn_chat_say(qn_chat *chat, const char *message, qn_chat_text_fn *on_text, void *user, qn_chat_stats *stats,
                      qn_error *err) {
    answer a = {.chat = chat, .on_text = on_text, .user = user};
    qn_buffer prompt = {0};
    QN_TRY(add_message(chat, "user", message, strlen(message), err));
    qn_status status = render(chat, &prompt, err);
    if (status == QN_OK) {
        status = answer_prompt(&a, &prompt, err);
    }
    qn_buffer_clear(&prompt);
    if (status == QN_OK && (a.stats.n_answer > 0 || a.stats.end != QN_CHAT_END_ASKED)) {
        status = add_message(chat, "assistant", a.text.data == NULL ? "" : (const char *)a.text.data, a.text.len, err);
    } else { /* nothing was said to it: the conversation is as it was */
        (void)json_array_remove(chat->messages, json_array_size(chat->messages) - 1);
    }
    qn_buffer_clear(&a.text);
    if (stats != NULL) {
        *stats = a.stats;
    }
    return status;
}

qn_status qn_chat_complete(qn_chat *chat, const char *text, qn_chat_text_fn *on_text, void *user, qn_chat_stats *stats,
                           qn_error *err) {
    answer a = {.chat = chat, .on_text = on_text, .user = user};
    qn_buffer prompt = {0};
    qn_buffer_text(&prompt, text);
    const qn_status status = answer_prompt(&a, &prompt, err);
    qn_buffer_clear(&prompt);
    qn_buffer_clear(&a.text);
    if (stats != NULL) {
        *stats = a.stats;
    }
    return status;
}

void qn_chat_stop(qn_chat *chat) {
    atomic_store(&chat->is_stopped, true);
}

qn_status qn_chat_reset(qn_chat *chat, const char *system, qn_error *err) {
    const json_t *first = json_array_get(chat->messages, 0);
    const char *role = first == NULL ? NULL : qn_json_string(first, "role");
    json_t *kept = system == NULL && role != NULL && strcmp(role, "system") == 0 ? json_deep_copy(first) : NULL;
    if (json_array_clear(chat->messages) != 0 || (kept != NULL && json_array_append_new(chat->messages, kept) != 0)) {
        return qn_fail_nomem(err, "the conversation", 0);
    }
    return system == NULL ? QN_OK : add_message(chat, "system", system, strlen(system), err);
}

qn_chat_memory qn_chat_memory_of(const qn_chat *chat) {
    const qn_engine_memory m = qn_engine_memory_of(chat->engine);
    const uint64_t resident = qn_resident_bytes();
    const uint64_t peak = qn_memory_peak(); /* which the system brings up to date less often */
    return (qn_chat_memory){
        .weights = m.weights,
        .weights_resident = m.weights_resident,
        .encoded = m.encoded,
        .adapters = m.adapters,
        .vectors = m.vectors,
        .kv = m.kv,
        .kv_resident = qn_sequence_resident(chat->sequence),
        .compute = m.compute,
        .resident = resident,
        .peak = peak > resident ? peak : resident,
        .as_f16 = m.as_f16,
        .n_ctx = qn_engine_n_ctx(chat->engine),
        .load_seconds = chat->load_seconds,
        .disk_bytes = qn_disk_bytes() - chat->disk_bytes,
    };
}
