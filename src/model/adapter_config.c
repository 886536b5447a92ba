/* SPDX-License-Identifier: MIT */
/* adapter_config.c: the few keys of adapter_config.json that change the numbers. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "model/adapter_config.h"

#include "base/worker.h"

#include <math.h>
#include <pcre2.h>
#include <stdio.h>
#include <string.h>

/* Initialisations that changed the base model's weights: an adapter saved as it is belongs to that changed base. */
static const char *const base_changing[] = {"pissa", "olora", "corda", "loftq"};

/* Keys that must be absent, null, false or empty. */
static const struct {
    const char *key;
    const char *why;
} refused[] = {
    {"layer_replication", "repeated layers change the depth of the base model"},
    {"target_parameters", "adapters on stacked expert parameters"},
    {"use_qalora", "QA-LoRA's pooled inputs"},
    {"trainable_token_indices", "single trained tokens"},
    {"megatron_config", "Megatron's split layers"},
    {"alora_invocation_tokens", "an adapter that acts from a certain token on (aLoRA)"},
};

static bool is_set(const json_t *value) {
    return value != NULL && !json_is_null(value) && !json_is_false(value) &&
        !(json_is_array(value) && json_array_size(value) == 0) &&
        !(json_is_object(value) && json_object_size(value) == 0);
}

/* Keys that the numbers depend on, and the types they have. */
typedef enum key_type { KEY_NUMBER, KEY_BOOL, KEY_OBJECT } key_type;

static const struct {
    const char *key;
    key_type type; /* all but numbers may be null */
} typed_keys[] = {
    {"r", KEY_NUMBER},      {"lora_alpha", KEY_NUMBER},   {"use_rslora", KEY_BOOL},
    {"use_dora", KEY_BOOL}, {"rank_pattern", KEY_OBJECT}, {"alpha_pattern", KEY_OBJECT},
};

static bool is_of_type(const json_t *value, key_type type) {
    switch (type) {
    case KEY_NUMBER: return json_is_number(value);
    case KEY_BOOL: return json_is_boolean(value) || json_is_null(value);
    case KEY_OBJECT: return json_is_object(value) || json_is_null(value);
    }
    return false;
}

/* A key of another type would be read as absent, and the scale computed from a default. */
static qn_status check_types(const json_t *config, const char *where, qn_error *err) {
    static const char *const names[] = {"a number", "true or false", "an object"};
    for (size_t i = 0; i < sizeof typed_keys / sizeof typed_keys[0]; i++) {
        const json_t *value = json_object_get(config, typed_keys[i].key);
        if (value != NULL && !is_of_type(value, typed_keys[i].type)) {
            return qn_fail(err, QN_E_FORMAT, "%s: '%s' is not %s", where, typed_keys[i].key, names[typed_keys[i].type]);
        }
    }
    return QN_OK;
}

qn_status qn_adapter_config_check(const json_t *config, const char *where, qn_job *job, qn_error *err) {
    const char *type = qn_json_string(config, "peft_type");
    if (type == NULL || strcmp(type, "LORA") != 0) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: peft_type is '%.60s'; quern merges LORA adapters (rsLoRA and DoRA among them)", where,
                       type == NULL ? "absent" : type);
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        if (is_set(json_object_get(config, refused[i].key))) {
            return qn_fail(err, QN_E_UNSUPPORTED,
                           "%s: '%s' is set: %s cannot be merged yet; merge with PEFT's "
                           "merge_and_unload() first",
                           where, refused[i].key, refused[i].why);
        }
    }
    QN_TRY(check_types(config, where, err));
    const char *init = qn_json_string(config, "init_lora_weights");
    for (size_t i = 0; init != NULL && i < sizeof base_changing / sizeof base_changing[0]; i++) {
        if (strncmp(init, base_changing[i], strlen(base_changing[i])) == 0) {
            qn_job_warn(job,
                        "%s: init_lora_weights is '%.40s', which changes the base model when training starts. If the "
                        "adapter was not converted when it was saved, merging it into the original base gives a wrong "
                        "model",
                        where, init);
        }
    }
    return QN_OK;
}

/* Whether a module's path is the pattern, or ends in it after a dot: the regular expression ^(.*\.)?pattern$. */
static qn_status pattern_matches(const char *where, const char *pattern, const char *module, bool *is_match,
                                 qn_error *err) {
    char regex[1024];
    int code = 0;
    PCRE2_SIZE at = 0;
    const int n = snprintf(regex, sizeof regex, "^(?:.*\\.)?(?:%s)$", pattern);
    if (n < 0 || (size_t)n >= sizeof regex) {
        return qn_fail(err, QN_E_FORMAT, "%s: a module pattern of %zu bytes is too long", where, strlen(pattern));
    }
    pcre2_code *compiled = pcre2_compile((PCRE2_SPTR)regex, (PCRE2_SIZE)n, PCRE2_UTF, &code, &at, NULL);
    if (compiled == NULL) {
        return qn_fail(err, QN_E_FORMAT, "%s: module pattern '%.200s' is not a valid regular expression", where,
                       pattern);
    }
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    int found = PCRE2_ERROR_NOMEMORY;
    if (data != NULL && limits != NULL) {
        (void)pcre2_set_match_limit(limits, 100000);
        (void)pcre2_set_depth_limit(limits, 10000);
        found = pcre2_match(compiled, (PCRE2_SPTR)module, strlen(module), 0, 0, data, limits);
    }
    pcre2_match_context_free(limits);
    pcre2_match_data_free(data);
    pcre2_code_free(compiled);
    if (found < 0 && found != PCRE2_ERROR_NOMATCH) {
        return qn_fail(err, QN_E_FORMAT, "%s: module pattern '%.200s' cannot be matched (code %d)", where, pattern,
                       found);
    }
    *is_match = found >= 0;
    return QN_OK;
}

/* The number of the first pattern that matches the module, or the general one. */
static qn_status number_for(const json_t *config, const char *where, const char *general, const char *pattern_key,
                            const char *module, double otherwise, double *out, qn_error *err) {
    const json_t *patterns = json_object_get(config, pattern_key);
    const char *pattern = NULL;
    json_t *value = NULL;
    *out = otherwise;
    (void)qn_json_f64(config, general, out);
    json_object_foreach((json_t *)(uintptr_t)patterns, pattern, value) {
        bool is_match = false;
        QN_TRY(pattern_matches(where, pattern, module, &is_match, err));
        if (is_match) {
            if (!json_is_number(value)) {
                return qn_fail(err, QN_E_FORMAT, "%s: '%s' of '%.100s' is not a number", where, pattern_key, pattern);
            }
            *out = json_number_value(value);
            return QN_OK;
        }
    }
    return QN_OK;
}

qn_status qn_adapter_config_scale(const json_t *config, const char *dir, qn_adapter_part *part, qn_error *err) {
    double rank = 8;
    bool is_rslora = false;
    QN_TRY(number_for(config, dir, "r", "rank_pattern", part->module, 8, &rank, err));
    QN_TRY(number_for(config, dir, "lora_alpha", "alpha_pattern", part->module, 8, &part->alpha, err));
    (void)qn_json_bool(config, "use_rslora", &is_rslora);
    if (rank != (double)part->rank) {
        return qn_fail(
            err, QN_E_SHAPE,
            "%s: module '%s' has rank %llu in adapter_model.safetensors and %g in adapter_config.json, which its "
            "scale is computed with: the two files do not belong together",
            dir, part->module, (unsigned long long)part->rank, rank);
    }
    part->scale = part->alpha / (is_rslora ? sqrt(rank) : rank);
    return isfinite(part->scale)
        ? QN_OK
        : qn_fail(err, QN_E_FORMAT, "%s: module '%s': alpha %g over rank %g is not a usable scale", dir, part->module,
                  part->alpha, rank);
}
