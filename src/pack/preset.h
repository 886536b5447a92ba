/* SPDX-License-Identifier: MIT */
/* preset.h: the presets of packing pages, and the types asked for, resolved into what a job is to make. */
#ifndef QUERN_PACK_PRESET_H
#define QUERN_PACK_PRESET_H

#include "stream/mixture.h"

enum { QN_PRESET_MAX_TARGETS = 64 };

/** Stands among the targets for "every tensor in the type it has": COPY. */
extern const qn_target qn_copy_target;
/** Stands among the targets for types chosen by measured error within a size. */
extern const qn_target qn_budget_target;

/** What a preset and the types beside it ask for, checked against each other. Everything is in static storage. */
typedef struct qn_preset {
    const char *name;
    bool merges;          /**< the adapters are added to the base's weights */
    bool exports_adapter; /**< the adapter alone is written: {checkpoint_name}-lora.gguf; never together with merges */
    bool to_gguf;         /**< outputs are GGUF files */
    bool keeps_unquantized;                          /**< {model_name}.gguf is written beside the targets, or alone */
    bool copies;                                     /**< and every tensor keeps the type it has in it */
    const qn_target *targets[QN_PRESET_MAX_TARGETS]; /**< {model_name}-{TYPE}.gguf each, in the order asked for */
    size_t n_targets;
} qn_preset;

/**
 * Resolves a preset:
 *
 *     merge-quantize  merged when there is an adapter; the unquantised file and Q4_K_M, or the types
 *     merge           merged when there is an adapter; the unquantised file alone
 *     quantize        the base alone; the unquantised file and Q4_K_M, or the types
 *     lora            the adapter alone
 *     copy            every tensor in the type it has, in one file or shards
 *     custom          merged when there is an adapter; the types alone, F32, F16 and BF16 among them
 *
 * @param preset      a name above; NULL for merge-quantize, or custom when types are given
 * @param types       names between commas ("Q4_K_M,Q8_0"), upper or lower case; the same twice counts once; NULL: none
 * @param has_adapter whether an adapter is given (a run, or --adapter)
 * @param has_budget  whether a size is asked for instead of a type: one more target, and no default types
 * @param out         filled on success
 * @return QN_OK; QN_E_USAGE when they contradict each other, or a name is unknown (the nearest are told);
 *         QN_E_UNSUPPORTED for a type whose encoder is missing (those there are told)
 */
QN_NODISCARD qn_status qn_preset_resolve(const char *preset, const char *types, bool has_adapter, bool has_budget,
                                         qn_preset *out, qn_error *err);

#endif
