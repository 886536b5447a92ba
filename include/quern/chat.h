/* SPDX-License-Identifier: MIT */
/* chat.h: a model that answers: conversation or plain completion, streamed, with honest numbers at the end. */
#ifndef QUERN_CHAT_H
#define QUERN_CHAT_H

#include "quern/job.h"

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** How the next token is chosen; the field's own names. Begin with qn_chat_sampling_default(). */
typedef struct qn_chat_sampling {
    double temperature;       /**< 0: always the most likely token; default 0.8 */
    double top_p;             /**< default 0.95 */
    double min_p;             /**< default 0.05 */
    double typical_p;         /**< default 1: off */
    double repeat_penalty;    /**< default 1: none */
    double presence_penalty;  /**< 0: none */
    double frequency_penalty; /**< 0: none */
    uint64_t top_k;           /**< default 40; 1 is greedy */
    uint64_t repeat_last_n;   /**< default 64 */
    uint64_t mirostat;        /**< 0: off; 1, 2 */
    double mirostat_tau;      /**< default 5 */
    double mirostat_eta;      /**< default 0.1 */
    uint64_t seed;
} qn_chat_sampling;

/** The defaults above, spelled out. */
qn_chat_sampling qn_chat_sampling_default(void);

/** An adapter: a PEFT folder, or a GGUF adapter file. */
typedef struct qn_chat_adapter {
    const char *path;
    double scale; /**< strength; 1 for all of it */
} qn_chat_adapter;

/** A number added to one token's logit; -INFINITY forbids it. */
typedef struct qn_chat_bias {
    uint64_t token;
    double bias;
} qn_chat_bias;

/** What to open. Zero-initialise, set sampling, then what is wanted. Everything is borrowed for the call. */
typedef struct qn_chat_options {
    const char *path; /**< GGUF file or one of its shards, or llama2.c's .bin, which is mapped; or a model folder, a
                           training run or a PEFT folder, encoded into memory. NULL: found from run or adapters */
    const char *type; /**< what a folder is encoded to, as `pack -t` has it: "Q4_K_M"; NULL: Q8_0 */
    const char *run;  /**< Trainer run folder, or one checkpoint, on top of path; NULL */
    const char *checkpoint;          /**< "best", "last" or a step; NULL: best, else last */
    const qn_chat_adapter *adapters; /**< on a file, and GGUF adapters always: added at run time; PEFT folders on a
                                          folder: merged as it is encoded */
    size_t n_adapters;
    uint64_t n_ctx;           /**< tokens of the conversation; 0: what the model is made for, at most 4096 */
    uint64_t n_batch;         /**< prompt tokens computed together; 0: 512 */
    uint64_t n_predict;       /**< tokens of an answer; 0: until it ends */
    const char *system;       /**< system message; NULL: none */
    const char *const *stops; /**< texts that end an answer; they are not part of it */
    size_t n_stops;
    qn_chat_sampling sampling;
    const qn_chat_bias *biases; /**< [n_biases] */
    size_t n_biases;
    const char *grammar;     /**< GBNF that every answer follows, until qn_chat_follow(); NULL: none. docs/grammar.md
                                  says what is read */
    const char *json_schema; /**< the same as a JSON schema; not both */
    const char *kv_type;     /**< type that keys and values are kept in: "F32", "F16", "BF16", "Q8_0"; NULL: F16 */
} qn_chat_options;

/** Why an answer ended. */
typedef enum qn_chat_end {
    QN_CHAT_END_TOKEN,   /**< the model ended it, or the grammar did */
    QN_CHAT_END_STOP,    /**< a stop text */
    QN_CHAT_END_LENGTH,  /**< n_predict tokens */
    QN_CHAT_END_CONTEXT, /**< the context is full */
    QN_CHAT_END_ASKED    /**< qn_chat_stop() */
} qn_chat_end;

/** What an answer took. */
typedef struct qn_chat_stats {
    uint64_t n_prompt; /**< prompt tokens that were computed; those kept from before are not */
    uint64_t n_reused; /**< prompt tokens kept from before */
    uint64_t n_answer; /**< tokens generated */
    double prompt_seconds;
    double answer_seconds;
    qn_chat_end end;
} qn_chat_stats;

/** Where memory went, in bytes, and how it got there. What the system does not tell is 0. */
typedef struct qn_chat_memory {
    uint64_t weights;          /**< matrices in their own types: mapped, but for those encoded */
    uint64_t weights_resident; /**< of them in memory now */
    uint64_t encoded;          /**< weights of a folder, in memory; 0 for a file */
    uint64_t adapters;         /**< factors of adapters that are added at run time, float32 */
    uint64_t vectors;          /**< norms and biases in float32 */
    uint64_t kv;               /**< keys and values of the whole context */
    uint64_t kv_resident;      /**< of them in memory now: as many as there were tokens for */
    uint64_t compute;          /**< activations */
    uint64_t resident;         /**< of the process, now; the weights it has touched are among it */
    uint64_t peak;             /**< of the process, at most so far */
    uint64_t as_f16;           /**< what the weights would take in F16 */
    uint64_t n_ctx;            /**< tokens of context they are for */
    double load_seconds;       /**< that opening took */
    uint64_t disk_bytes;       /**< read from disks since then; what was in the page cache is not */
} qn_chat_memory;

/** An open conversation. One thread at a time, but for qn_chat_stop(). */
typedef struct qn_chat qn_chat;

/** Text as it is written: whole UTF-8 characters. @return false to stop the answer */
typedef bool qn_chat_text_fn(void *user, const char *text, size_t size_bytes);

/**
 * Opens a model. A file's weights are mapped, not read; a folder's are encoded, with progress under the stage "Encode".
 * Nothing is written.
 * @param job threads, events, a way to stop; not NULL, outlives the conversation
 * @return QN_OK; as qn_tokenizer_open(); QN_E_UNSUPPORTED (architecture; an adapter that only merging can express; a
 *         keyword of the schema, by its name); QN_E_RANGE (a context beyond the model's; weights or context beyond this
 *         machine's memory: the message says how much fits); QN_E_SHAPE (an adapter of another model); QN_E_USAGE
 *         (sampling, a type); QN_E_FORMAT (the grammar, with line and column, or the JSON schema); QN_E_INTERRUPTED
 */
QN_NODISCARD qn_status qn_chat_open(const qn_chat_options *options, qn_job *job, qn_chat **out, qn_error *err);
/** Frees; accepts NULL. */
void qn_chat_free(qn_chat *chat);

/**
 * Adds a user's message, puts the conversation through the model's chat template, and writes the answer, which becomes
 * part of the conversation. What an earlier turn computed is kept. Where it fails, or is stopped before the answer
 * begins, the conversation is as it was. Reading the prompt is progress in tokens, under the stage "Prompt". A model
 * without a template is told of by an event (QN_EVENT_NOTE), once.
 * @param on_text may be NULL
 * @param stats   may be NULL
 * @return QN_OK; QN_E_RANGE when the conversation has no room for an answer, or no token meets the grammar; QN_E_FORMAT
 *         (the template); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_chat_say(qn_chat *chat, const char *message, qn_chat_text_fn *on_text, void *user,
                                   qn_chat_stats *stats, qn_error *err);

/** Continues a text as it is, without template or conversation. Otherwise as qn_chat_say(). */
QN_NODISCARD qn_status qn_chat_complete(qn_chat *chat, const char *text, qn_chat_text_fn *on_text, void *user,
                                        qn_chat_stats *stats, qn_error *err);

/** Ends the answer being written, or the prompt being read, soon. Safe in a signal handler and any thread. */
void qn_chat_stop(qn_chat *chat);

/**
 * Sets what the answers from now on follow, in place of what was set before.
 * @param grammar     GBNF; NULL
 * @param json_schema the same as a JSON schema; NULL. Where both are NULL answers are free
 * @return QN_OK; as qn_chat_open(): QN_E_USAGE (both), QN_E_FORMAT, QN_E_UNSUPPORTED; QN_E_RANGE (a grammar of too many
 *         ways to begin); and nothing has changed
 */
QN_NODISCARD qn_status qn_chat_follow(qn_chat *chat, const char *grammar, const char *json_schema, qn_error *err);

/** Forgets the conversation. @param system NULL: the system message stays */
QN_NODISCARD qn_status qn_chat_reset(qn_chat *chat, const char *system, qn_error *err);

/** Where memory went. */
qn_chat_memory qn_chat_memory_of(const qn_chat *chat);

#ifdef __cplusplus
}
#endif
#endif
