/* SPDX-License-Identifier: MIT */
/* preset.c: the table of presets, and the rules between presets, types and adapters. */
#include "pack/preset.h"

#include "base/nearest.h"
#include "quern/pack.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

const qn_target qn_copy_target = {"COPY", 0, QN_F32};
const qn_target qn_budget_target = {"budget", 0, QN_F32};

enum { MAX_TYPE_NAME = 31, N_NEAREST = 3, MAX_LIST_BYTES = 1024 };

/* What each preset does, and what it takes. */
typedef struct preset_row {
    const char *name;
    bool merges; /* when there is an adapter */
    bool exports_adapter;
    bool keeps_unquantized;
    const char *default_types; /* NULL when it does not quantise by itself */
    const char *refuses_types; /* what to say when types are given; NULL when it takes them */
    const char *refuses_adapter;
} preset_row;

static const preset_row rows[] = {
    {"merge-quantize", true, false, true, "Q4_K_M", NULL, NULL},
    {"merge", true, false, true, NULL,
     "preset merge does not quantise: leave out the types, or use preset merge-quantize or custom", NULL},
    {"quantize", false, false, true, "Q4_K_M", NULL,
     "preset quantize works on the base alone: leave out --run and --adapter, or use preset merge-quantize"},
    {"lora", false, true, false, NULL,
     "preset lora writes the adapter alone and does not quantise: leave out the types, or use preset custom", NULL},
    {"copy", true, false, true, NULL,
     "preset copy leaves every type as it is: leave out the types, or use preset custom", NULL},
    {"custom", true, false, false, NULL, NULL, NULL},
};
enum { N_ROWS = sizeof rows / sizeof rows[0] };

bool qn_file_type_at(size_t i, qn_file_type *out) {
    const qn_target *target = qn_target_at(i);
    if (target == NULL) {
        return false;
    }
    *out = (qn_file_type){target->name, target->base, qn_target_needs_imatrix(target)};
    return true;
}

static bool is_available(const qn_target *target) {
    const qn_dtype_info *info = qn_dtype_get((uint32_t)target->base);
    return info != NULL && info->has_encoder;
}

/* "F32, F16, …": the names of all targets, or of those that can be written. */
static const char *list_targets(char *text, size_t size, bool needs_encoder) {
    size_t n = 0;
    text[0] = '\0';
    for (uint64_t i = 0; qn_target_at(i) != NULL; i++) {
        const qn_target *target = qn_target_at(i);
        if ((needs_encoder && !is_available(target)) || n + strlen(target->name) + 3 > size) {
            continue;
        }
        n += (size_t)snprintf(text + n, size - n, "%s%s", n > 0 ? ", " : "", target->name);
    }
    return text;
}

/* "there is no type 'Q4_KM': did you mean Q4_K_M, Q4_K_S or Q4_1?" */
static qn_status fail_unknown_type(const char *name, qn_error *err) {
    const char *all[QN_PRESET_MAX_TARGETS];
    const char *near[N_NEAREST];
    char upper[MAX_TYPE_NAME + 1];
    char list[MAX_LIST_BYTES];
    uint64_t n_all = 0;
    size_t i = 0;
    for (; name[i] != '\0' && i < MAX_TYPE_NAME; i++) {
        upper[i] = (char)toupper((unsigned char)name[i]);
    }
    upper[i] = '\0';
    while (n_all < QN_PRESET_MAX_TARGETS && qn_target_at(n_all) != NULL) {
        all[n_all] = qn_target_at(n_all)->name;
        n_all++;
    }
    const size_t n = qn_nearest(upper, all, n_all, near, N_NEAREST);
    if (n == 0) {
        return qn_fail(err, QN_E_USAGE, "there is no type '%s': the types are %s", name,
                       list_targets(list, sizeof list, false));
    }
    return qn_fail(err, QN_E_USAGE, "there is no type '%s': did you mean %s%s%s%s%s?", name, near[0], n > 2 ? ", " : "",
                   n > 2 ? near[1] : "", n > 1 ? " or " : "", n > 1 ? near[n - 1] : "");
}

static bool is_copy(const char *name) {
    return strlen(name) == 4 && toupper((unsigned char)name[0]) == 'C' && toupper((unsigned char)name[1]) == 'O' &&
        toupper((unsigned char)name[2]) == 'P' && toupper((unsigned char)name[3]) == 'Y';
}

/* Adds one type of the list, unless it is there already. */
static qn_status add_type(const char *name, qn_preset *out, qn_error *err) {
    char list[MAX_LIST_BYTES];
    const qn_target *target = is_copy(name) ? &qn_copy_target : qn_target_find(name);
    if (target == NULL) {
        return fail_unknown_type(name, err);
    }
    if (!is_available(target)) {
        return qn_fail(err, QN_E_UNSUPPORTED, "type %s is not available yet: use one of %s", target->name,
                       list_targets(list, sizeof list, true));
    }
    for (size_t i = 0; i < out->n_targets; i++) {
        if (out->targets[i] == target) {
            return QN_OK;
        }
    }
    if (out->n_targets == QN_PRESET_MAX_TARGETS) {
        return qn_fail(err, QN_E_USAGE, "more than %d types", (int)QN_PRESET_MAX_TARGETS);
    }
    out->targets[out->n_targets++] = target;
    return QN_OK;
}

/* Reads "A, B,C" into out->targets. */
static qn_status read_types(const char *types, qn_preset *out, qn_error *err) {
    const char *at = types;
    for (;;) {
        char name[MAX_TYPE_NAME + 1];
        size_t n = strcspn(at, ",");
        const char *next = at[n] == ',' ? at + n + 1 : NULL;
        while (n > 0 && isspace((unsigned char)*at)) {
            at++;
            n--;
        }
        while (n > 0 && isspace((unsigned char)at[n - 1])) {
            n--;
        }
        if (n == 0) {
            return qn_fail(err, QN_E_USAGE, "a type's name is missing in '%.200s': name them as in Q4_K_M,Q8_0", types);
        }
        /* A longer name is none: its beginning is enough to say so. */
        n = n > MAX_TYPE_NAME ? MAX_TYPE_NAME : n;
        memcpy(name, at, n);
        name[n] = '\0';
        QN_TRY(add_type(name, out, err));
        if (next == NULL) {
            return QN_OK;
        }
        at = next;
    }
}

static const preset_row *find_row(const char *name) {
    for (size_t i = 0; i < N_ROWS; i++) {
        if (strcmp(rows[i].name, name) == 0) {
            return &rows[i];
        }
    }
    return NULL;
}

qn_status qn_preset_resolve(const char *preset, const char *types, bool has_adapter, bool has_budget, qn_preset *out,
                            qn_error *err) {
    const char *name = preset != NULL ? preset : types != NULL || has_budget ? "custom" : "merge-quantize";
    const preset_row *row = find_row(name);
    if (row == NULL) {
        return qn_fail(err, QN_E_USAGE,
                       "there is no preset '%.100s': use merge-quantize, merge, quantize, lora, copy or custom", name);
    }
    if (types != NULL && row->refuses_types != NULL) {
        return qn_fail(err, QN_E_USAGE, "%s", row->refuses_types);
    }
    if (has_adapter && row->refuses_adapter != NULL) {
        return qn_fail(err, QN_E_USAGE, "%s", row->refuses_adapter);
    }
    if (row->exports_adapter && !has_adapter) {
        return qn_fail(err, QN_E_USAGE, "preset lora writes an adapter: name one with --run or --adapter");
    }
    if (has_budget && row->refuses_types != NULL) {
        return qn_fail(err, QN_E_USAGE, "%s", row->refuses_types);
    }
    if (types == NULL && !has_budget && row->default_types == NULL && !row->exports_adapter &&
        !row->keeps_unquantized) {
        return qn_fail(err, QN_E_USAGE, "preset custom needs types: name them as in -t Q4_K_M,Q8_0");
    }
    *out = (qn_preset){.name = row->name,
                       .merges = row->merges && has_adapter,
                       .exports_adapter = row->exports_adapter,
                       .to_gguf = true,
                       .keeps_unquantized = row->keeps_unquantized,
                       .copies = strcmp(row->name, "copy") == 0};
    const char *wanted = types != NULL || has_budget ? types : row->default_types;
    if (wanted != NULL) {
        QN_TRY(read_types(wanted, out, err));
    }
    if (has_budget && out->n_targets < QN_PRESET_MAX_TARGETS) {
        out->targets[out->n_targets++] = &qn_budget_target;
    }
    return QN_OK;
}
