/* SPDX-License-Identifier: MIT */
/* mixtures.c: what families of experts refuse since GGUF cannot say it. Source: facts/architectures.md 11, 13, 32. */
#include "arch/families.h"
#include "arch/hparams_rows.h"

qn_status qn_arch_check_mixture(const char *where, const json_t *config, const qn_hparams *h, bool normalizes,
                                qn_error *err) {
    const json_t *step = json_object_get(config, "decoder_sparse_step");
    bool does = false; /* the classes' default */
    (void)qn_json_bool(config, "norm_topk_prob", &does);
    if (json_array_size(json_object_get(config, "mlp_only_layers")) > 0 ||
        (json_is_integer(step) && json_integer_value(step) != 1)) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: some layers are not mixtures ('mlp_only_layers', 'decoder_sparse_step'): GGUF's programs "
                       "take all for mixtures",
                       where);
    }
    if (does != normalizes) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: 'norm_topk_prob' is %s: GGUF's programs run this family as if it was %s", where,
                       does ? "true" : "false", normalizes ? "true" : "false");
    }
    return qn_hparams_check_experts(where, h, err);
}

qn_status qn_arch_check_untied(const char *where, const qn_hparams *h, qn_error *err) {
    return !h->is_tied
        ? QN_OK
        : qn_fail(err, QN_E_UNSUPPORTED,
                  "%s: 'tie_word_embeddings' is true: GGUF's programs want an output matrix for this family", where);
}
