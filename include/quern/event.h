/* SPDX-License-Identifier: MIT */
/* event.h: the one way a long job speaks; a progress bar, a log file and a web page all draw from it. */
#ifndef QUERN_EVENT_H
#define QUERN_EVENT_H

#include "quern/status.h"

#include <stdbool.h>

#ifdef __cplusplus
extern "C" {
#endif

/** What trying an output found, when it was tried before it got its name. */
typedef struct qn_verdict {
    bool is_compared;    /**< against the unquantised weights, on a short text; the next four are told */
    uint64_t n_compared; /**< positions of the text */
    double kld;          /**< mean Kullback-Leibler divergence from the unquantised weights, nats */
    double kld_error;    /**< its standard error */
    double same_top;     /**< share of positions where both hold the same token for the most likely, 0 to 1 */
    bool has_answered;   /**< a trial answer was generated; the next two are told */
    uint64_t n_answer;   /**< tokens of it */
    bool has_ended;      /**< the model ended it by itself */
    char note[256];      /**< what else a person should know, why it was not tried; or "" */
} qn_verdict;

/** What an event tells. */
typedef enum qn_event_kind {
    QN_EVENT_STAGE,    /**< a stage begins: stage, bytes_total or tokens_total */
    QN_EVENT_PROGRESS, /**< work got done: stage, tensor, bytes_done, bytes_total, rate, eta_s; or, of a text that a
                            model reads, tokens_done, tokens_total, rate, eta_s, message (what is known so far) */
    QN_EVENT_WARNING,  /**< something a person should know: message */
    QN_EVENT_NOTE,     /**< something worth telling that needs no action: message */
    QN_EVENT_OUTPUT,   /**< an output has its final name: path, output_type, bytes_done (its size),
                            bits_per_weight, seconds (until it was whole), verdict */
    QN_EVENT_DONE,     /**< the job ended well: bytes_done, seconds */
    QN_EVENT_FAILED    /**< the job ended badly: message */
} qn_event_kind;

/** One event. All pointers are valid during the call only; fields an event does not tell are NULL or 0. */
typedef struct qn_event {
    qn_event_kind kind;
    double time_s;      /**< seconds since the job began */
    const char *stage;  /**< "Merge LoRA", "GGUF conversion", "Quantization", "Verify", "Check" */
    const char *tensor; /**< the GGUF name of the tensor worked on */
    const char *message;
    const char *path;
    const char *output_type; /**< "Q4_K_M" */
    uint64_t tensor_index;   /**< from 1 */
    uint64_t n_tensors;
    uint64_t bytes_done; /**< source bytes read, or bytes verified */
    uint64_t bytes_total;
    uint64_t tokens_done;
    uint64_t tokens_total; /**< 0: the stage counts bytes */
    double rate;           /**< bytes or tokens a second over the last seconds */
    double eta_s;          /**< seconds left; negative while unknown */
    double bits_per_weight;
    double seconds;
    const qn_verdict *verdict; /**< NULL: the output was not tried */
} qn_event;

/**
 * Takes events. Called from any thread of the job, never from two at once; must not call back into the job
 * except qn_job_cancel().
 */
typedef void qn_event_fn(void *user, const qn_event *event);

/** The name of a kind as JSON events spell it ("progress"); never NULL. */
const char *qn_event_kind_name(qn_event_kind kind);

/**
 * One event as one line of JSON without a newline; keys that do not apply are left out.
 * @return to be freed with free(); NULL when memory is short
 */
char *qn_event_json(const qn_event *event);

#ifdef __cplusplus
}
#endif
#endif
