/* SPDX-License-Identifier: MIT */
/* inspect.h: what a file or folder is: models, adapters, training runs; and how two models differ. */
#ifndef QUERN_INSPECT_H
#define QUERN_INSPECT_H

#include "quern/job.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Describes a GGUF file (shards as one model), a safetensors file, a .bin of llama2.c, a model folder or an adapter
 * folder.
 *
 *     { "kind": "gguf" | "safetensors" | "llama2.c" | "model" | "adapter", "path",
 *       "files": [ { "path", "size_bytes" } ], "arch", "name", "n_tensors", "n_weights",
 *       "size_bytes" (of tensors), "bits_per_weight",
 *       "metadata": [ { "key", "type": "u32" | "arr[str]" | …, "value" (arrays: first 8 items), "n" (arrays) } ],
 *       "types": { "Q4_K": { "n_tensors", "size_bytes" } },
 *       "tensors": [ { "name", "shape", "type", "size_bytes" } ],
 *       "vocabulary": { "model", "pre", "n_tokens", "bos", "eos", … with ids and texts } | null,
 *       "chat_template": text | null,
 *       "hyperparameters": { "n_layer", "n_embd", "n_head", "n_head_kv", "head_dim", "n_ff", "n_ctx", … } | null,
 *       "memory": { "ctx", "weights_bytes", "kv_bytes", "compute_bytes", "total_bytes" } | null,
 *       "adapter": { "peft_type", "rank", "alpha", "variants": ["rslora", "dora"], "base", "n_pairs", "others": [] }
 *         | null,
 *       "notes": [sentences: why something could not be told] }
 *
 * Of a folder, "metadata" and what follows are what it would be packed with; files, sizes and tensors are its own.
 * Special tokens are { "id", "text" }; those a model lacks are left out.
 *
 * The memory estimate, in bytes: the tensors as stored; keys and values in float16, 2 * ctx * the sum over layers
 * of n_head_kv * (key length + value length), an upper bound where layers have sliding windows; and for a batch
 * of b = min(512, ctx) tokens in float32, 4 * b * (max(n_vocab, n_head * ctx) + 4 * n_embd + 2 * n_ff): logits or
 * attention scores, whichever is more, the states around a layer, and its feed-forward. null without those keys or
 * without weights.
 *
 * @param n_ctx context for the memory estimate; 0: the model's own, at most 8192
 * @param text  to be freed with free()
 */
QN_NODISCARD qn_status qn_inspect(const char *path, uint64_t n_ctx, char **text, qn_error *err);

/**
 * Compares two models, GGUF or Hugging Face, tensor by tensor under GGUF names, worst first (by relative RMSE).
 *
 *     { "a": path, "b": path, "n_tensors", "n_equal", "rmse", "max_abs",
 *       "only_in_a": [names], "only_in_b": [names], "shape_differs": [ { "name", "a", "b" } ],
 *       "tensors": [ { "name", "type_a", "type_b", "rmse", "relative_rmse", "max_abs", "cosine", "is_equal" } ] }
 *
 * @param job  threads, progress under the stage "Compare", cancel
 * @param text to be freed with free()
 */
QN_NODISCARD qn_status qn_compare(const char *a, const char *b, qn_job *job, char **text, qn_error *err);

/**
 * Lists a training run's checkpoints and the state of the run.
 *
 *     { "path", "state": "completed" | "stopped_early" | "stopped_by_user" | "failed" | "running" | "diverged" |
 *         "unknown", "why": sentence, "kind": "adapter" | "full" | "unknown", "base": name | null, "step",
 *       "max_steps", "epoch",
 *       "best_step" | null, "checkpoints": [ { "name", "dir", "step", "epoch", "loss", "eval": { "eval_loss": … },
 *       "is_complete", "is_best", "is_last", "note" | null } ] }
 *
 * @param text to be freed with free()
 */
QN_NODISCARD qn_status qn_list_run(const char *dir, char **text, qn_error *err);

#ifdef __cplusplus
}
#endif
#endif
