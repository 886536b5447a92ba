/* SPDX-License-Identifier: MIT */
/* measure.h: what a model makes of a text: perplexity, divergence between two models, importance of inputs. */
#ifndef QUERN_MEASURE_H
#define QUERN_MEASURE_H

#include "quern/job.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A figure and its standard error. */
typedef struct qn_estimate {
    double value;
    double error;
} qn_estimate;

/** A model to be run. Borrowed for the call. */
typedef struct qn_measure_model {
    const char *path; /**< GGUF file, one of its shards, a model's folder, a training run or a PEFT folder */
    const char *type; /**< what a folder is encoded to in memory, as `pack -t` has it: "Q4_K_M"; NULL: F32, as exact as
                           it gets. Files stay as they are: NULL */
} qn_measure_model;

/**
 * A text, and how it is read: in chunks of n_ctx tokens that know nothing of each other, each begun with the model's
 * BOS where it has one; tokens behind the last whole chunk are left out. Zero-initialise, set text_path, then what is
 * wanted. Everything is borrowed for the call.
 */
typedef struct qn_measure_text {
    const char *text_path; /**< a file, UTF-8 as a rule */
    uint64_t n_ctx;     /**< tokens of a chunk, at least 8; 0: 512, or what the model is made for when that is less */
    uint64_t n_batch;   /**< tokens computed together, of several chunks where they are short; 0: 512 */
    uint64_t n_chunks;  /**< at most so many; 0: all */
    bool parse_special; /**< text such as "<|im_end|>" becomes the control token; else it stays text */
} qn_measure_text;

/** What was read. */
typedef struct qn_measured_text {
    uint64_t n_tokens; /**< of the whole text */
    uint64_t n_ctx;
    uint64_t n_chunks;
    double seconds; /**< from the first chunk to the last */
} qn_measured_text;

/** How well a model foretells a text. */
typedef struct qn_perplexity_result {
    qn_measured_text text;
    uint64_t n_counted; /**< tokens that were foretold: of each chunk those behind its middle */
    qn_estimate nll;    /**< mean loss, nats a token */
    qn_estimate ppl;    /**< its exponential */
} qn_perplexity_result;

/**
 * Measures perplexity as llama.cpp's llama-perplexity does: the second half of every chunk is foretold.
 * @param job events of progress tell tokens; cancelled, this returns QN_E_INTERRUPTED
 * @return QN_OK; as qn_chat_open(); QN_E_RANGE (the text has no whole chunk; logits that are not finite; a context
 *         beyond the model's); QN_E_NOT_FOUND, QN_E_IO (the text); QN_E_USAGE
 */
QN_NODISCARD qn_status qn_measure_perplexity(const qn_measure_model *model, const qn_measure_text *text, qn_job *job,
                                             qn_perplexity_result *out, qn_error *err);

/** Shares of a distribution, linear between neighbours. */
typedef struct qn_percentiles {
    double min, p1, p5, p10, median, p90, p95, p99, p999, max;
} qn_percentiles;

/** How far one model is from another on the same text, as llama.cpp's llama-perplexity --kl-divergence tells it. */
typedef struct qn_divergence_stats {
    uint64_t n_tokens;          /**< positions compared */
    qn_estimate ppl;            /**< perplexity of the model */
    qn_estimate ppl_base;       /**< perplexity of the base */
    qn_estimate ppl_ratio;      /**< of the model's to the base's */
    qn_estimate ppl_difference; /**< of the model's from the base's */
    qn_estimate ln_ppl_ratio;   /**< mean over positions of the loss added, in nats */
    double correlation;         /**< of ln perplexity; 0 where one of them does not vary */
    qn_estimate kld;            /**< mean Kullback-Leibler divergence of the model from the base, in nats, >= 0 */
    qn_percentiles klds;        /**< of single positions */
    qn_estimate p_diff;         /**< mean change of the probability of the token that followed, -1 to 1 */
    qn_estimate p_diff_rms;     /**< root of its mean square */
    qn_percentiles p_diffs;     /**< of single positions */
    qn_estimate same_top;       /**< share of positions where both hold the same token for the most likely */
} qn_divergence_stats;

/** What was lost between two models. */
typedef struct qn_kld_result {
    qn_measured_text text;
    qn_divergence_stats stats;
} qn_kld_result;

/**
 * Runs two models over the same chunks, side by side, and compares their predictions of the second half of each.
 * @param base  the model to measure against, as a rule the unquantised one
 * @param model the model to measure
 * @return as qn_measure_perplexity(); QN_E_USAGE when the two have different vocabularies
 */
QN_NODISCARD qn_status qn_measure_kld(const qn_measure_model *base, const qn_measure_model *model,
                                      const qn_measure_text *text, qn_job *job, qn_kld_result *out, qn_error *err);

/** What an importance matrix is made of. Zero-initialise. */
typedef struct qn_importance_options {
    qn_measure_model model; /**< path NULL: in_files are added up, nothing is run */
    qn_measure_text text;   /**< text_path NULL without a model; n_ctx is the chunk size that .dat files do not tell */
    const char *const *in_files; /**< [n_in_files] earlier matrices whose sums are added */
    size_t n_in_files;
    const char *out_path; /**< the .dat format when it ends so, else GGUF */
    uint64_t save_every;  /**< chunks between savings of what there is, for going on later; 0: once a minute */
    bool process_output;  /**< the output matrix too; else matrices of layers only */
    bool force;           /**< replace a file that is there */
} qn_importance_options;

/** What was made. */
typedef struct qn_importance_result {
    qn_measured_text text; /**< zeros without a model */
    uint64_t n_resumed;    /**< chunks that an interrupted run had done */
    uint64_t n_entries;    /**< weight tensors */
    uint64_t n_chunks;     /**< all together, of chunk_size tokens */
    uint64_t chunk_size;
    uint64_t n_matrices; /**< of all entries; stacked experts count each */
    uint64_t n_unseen;   /**< experts that no token reached; their columns will count alike */
} qn_importance_result;

/**
 * Makes an importance matrix as llama.cpp's llama-imatrix does: for each matrix of the layers, and each expert, the
 * sums of its squared inputs over all tokens of the text. The file gets its name when it is whole. Interrupted, or
 * killed after a saving, the work so far lies in OUT.partial; the same call goes on from there.
 * @return QN_OK; as qn_measure_perplexity(); QN_E_EXISTS; QN_E_FORMAT, QN_E_USAGE (an earlier matrix that is damaged,
 *         or of another model); QN_E_IO, QN_E_SPACE
 */
QN_NODISCARD qn_status qn_measure_importance(const qn_importance_options *options, qn_job *job,
                                             qn_importance_result *out, qn_error *err);

#ifdef __cplusplus
}
#endif
#endif
