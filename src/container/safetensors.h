/* SPDX-License-Identifier: MIT */
/* safetensors.h: reads safetensors files, and folders of shards with an index. */
#ifndef QUERN_CONTAINER_SAFETENSORS_H
#define QUERN_CONTAINER_SAFETENSORS_H

#include "base/buffer.h"
#include "container/archive.h"

/**
 * Opens one safetensors file. A Git-LFS pointer in its place is told apart (QN_E_NOT_FOUND, with the command to run).
 * @return QN_OK; QN_E_NOT_FOUND; QN_E_IO; QN_E_FORMAT; QN_E_UNSUPPORTED (an element type); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_safetensors_open(const char *path, qn_archive **out, qn_error *err);

/**
 * Opens the weights of a Hugging Face folder as one archive: model.safetensors.index.json with its shards,
 * else model*.safetensors. The index and the shards must name the same tensors, both ways; shard names
 * that climb out of the folder are refused.
 * @return as above; QN_E_NOT_FOUND when the folder holds no safetensors weights (the message says what it does
 *         hold when that is PyTorch's .bin)
 */
QN_NODISCARD qn_status qn_safetensors_open_folder(const char *dir, qn_archive **out, qn_error *err);

/**
 * Builds the bytes of a file up to the first tensor's data (8 bytes of length, JSON padded with spaces to a multiple
 * of 8, "__metadata__" {"format": "pt"} first), and says where each tensor goes. Data follow without gaps.
 * @param tensors    [n] in file order; types F32, F16, BF16; offsets and sizes are filled in
 * @param header     appended to; ends at the first tensor's offset
 * @param file_bytes out: size of the whole file
 * @return QN_OK; QN_E_RANGE; QN_E_UNSUPPORTED (a type safetensors has no name for); QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_safetensors_layout(qn_placed_tensor *tensors, uint64_t n, qn_buffer *header,
                                             uint64_t *file_bytes, qn_error *err);

/** Whether a file is a Git-LFS pointer (text, "version https://git-lfs.github.com/spec/…"). False when unreadable. */
bool qn_is_lfs_pointer(const char *path);

#endif
