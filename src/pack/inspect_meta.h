/* SPDX-License-Identifier: MIT */
/* inspect_meta.h: what GGUF keys tell of a model, as parts of the document that qn_inspect() returns. */
#ifndef QUERN_PACK_INSPECT_META_H
#define QUERN_PACK_INSPECT_META_H

#include "base/json.h"
#include "container/metadata.h"

/**
 * A document being built. Jansson's setters take NULL values and fail; that is remembered here and looked at once.
 */
typedef struct qn_inspection {
    bool has_failed;
} qn_inspection;

/** Sets a key; takes the value, which may be NULL when memory is short. */
void qn_inspection_put(qn_inspection *d, json_t *object, const char *key, json_t *value);
/** Appends to an array; takes the value, which may be NULL when memory is short. */
void qn_inspection_push(qn_inspection *d, json_t *array, json_t *value);
/** A count as a JSON integer; what is past 2^63 becomes a real. */
json_t *qn_inspection_count(uint64_t v);
/** A string of any bytes; JSON null for NULL. */
json_t *qn_inspection_text(const char *text);

/** "metadata": every pair with its type; of arrays the first 8 items and how many there are. */
json_t *qn_inspect_pairs(qn_inspection *d, const qn_meta *meta);
/** "vocabulary": the tokenizer.ggml.* keys, special tokens as { "id", "text" }; null without a tokenizer. */
json_t *qn_inspect_vocabulary(qn_inspection *d, const qn_meta *meta);
/** "hyperparameters": the ARCH.* keys that have names of their own; null when there is no ARCH.block_count. */
json_t *qn_inspect_hyperparameters(qn_inspection *d, const qn_meta *meta, const char *arch);
/**
 * "memory": the estimate that quern/inspect.h describes; null when keys that it needs are missing (an adapter, an
 * importance matrix, a model without attention) or absurd, or there are no weights.
 * @param n_ctx 0: the model's own context, at most 8192
 */
json_t *qn_inspect_memory(qn_inspection *d, const qn_meta *meta, const char *arch, uint64_t weights_bytes,
                          uint64_t n_ctx);

#endif
