/* SPDX-License-Identifier: MIT */
/* adapter_config.h: what adapter_config.json says: whether quern can merge it, and each module's scale. */
#ifndef QUERN_MODEL_ADAPTER_CONFIG_H
#define QUERN_MODEL_ADAPTER_CONFIG_H

#include "model/adapter.h"
#include "quern/job.h"

/**
 * Refuses what is not a LoRA adapter or has a variant that cannot be merged, and warns of what cannot be seen.
 * @param where the file's path
 * @return QN_OK; QN_E_UNSUPPORTED; QN_E_FORMAT
 */
QN_NODISCARD qn_status qn_adapter_config_check(const json_t *config, const char *where, qn_job *job, qn_error *err);

/**
 * Fills a part's alpha and scale from lora_alpha, alpha_pattern, r, rank_pattern and use_rslora.
 * @param dir  named in messages
 * @param part with module and rank filled in
 * @return QN_OK; QN_E_SHAPE when the tensors' rank is not the config's; QN_E_FORMAT
 * Source: facts/lora.md 1.1, 2.
 */
QN_NODISCARD qn_status qn_adapter_config_scale(const json_t *config, const char *dir, qn_adapter_part *part,
                                               qn_error *err);

#endif
