/* SPDX-License-Identifier: MIT */
/*
 * mixture.c: walks a model's tensors in the reference's order, counts them, and gives each the type that the rules
 * of mixture_rules.c name; then fits types to row lengths and refuses what cannot be written.
 */
#include "stream/mixture.h"

#include "stream/mixture_rules.h"
#include "stream/type_rules.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/** One choice under way. */
typedef struct chooser {
    const qn_target *target;
    const qn_mixture_model *model;
    const qn_mixture_options *options;
    qn_type_matcher *matcher;       /* of the options' rules */
    uint64_t n_of_role[QN_N_ROLES]; /* eligible tensors of each role */
    uint64_t n_seen[QN_N_ROLES];    /* of them, those that rules typed: the running index */
    bool is_tied;                   /* no output.weight */
    bool is_70b;
    uint32_t conditions; /* those that hold for every tensor */
} chooser;

/** A tensor in the order of the rules. */
typedef struct entry {
    qn_mixture_tensor *tensor;
    int64_t layer; /* of "blk.N."; -1 for none */
} entry;

static uint64_t row_length(const qn_mixture_tensor *t) {
    return t->shape.n_dims == 0 ? 1 : t->shape.dims[t->shape.n_dims - 1];
}

bool qn_mixture_is_eligible(const char *name, const qn_shape *shape) {
    uint32_t n_dims = shape->n_dims;
    while (n_dims > 1 && shape->dims[shape->n_dims - n_dims] == 1) {
        n_dims--;
    }
    return n_dims >= 2 && !qn_name_is_kept(name);
}

static bool is_eligible(const chooser *c, const qn_mixture_tensor *t) {
    const bool is_left = c->options->leaves_output && strcmp(t->name, "output.weight") == 0;
    return !is_left && qn_mixture_is_eligible(t->name, &t->shape);
}

static int64_t layer_of(const char *name) {
    int64_t layer = 0;
    if (strncmp(name, "blk.", 4) != 0 || !isdigit((unsigned char)name[4])) {
        return -1;
    }
    for (const char *c = name + 4; isdigit((unsigned char)*c) && layer < INT32_MAX; c++) {
        layer = layer * 10 + (*c - '0');
    }
    return layer;
}

static int compare_entries(const void *a, const void *b) {
    const entry *x = a;
    const entry *y = b;
    if (x->layer != y->layer) {
        return x->layer < y->layer ? -1 : 1;
    }
    return strcmp(x->tensor->name, y->tensor->name);
}

/** The reference's notion of a dense model of the 70B class. */
static bool is_70b(const qn_mixture_model *m) {
    static const struct {
        const char *arch;
        uint64_t n_layer;
    } sizes[] = {{"llama", 80}, {"qwen2", 80}, {"deci", 80}, {"olmo", 80}, {"jais2", 68}};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (strcmp(m->arch, sizes[i].arch) == 0) {
            return m->n_layer == sizes[i].n_layer && m->n_expert == 0 && (i != 0 || m->n_head != m->n_head_kv);
        }
    }
    return false;
}

static uint32_t model_conditions(const qn_mixture_model *m) {
    const uint64_t gqa = m->n_head_kv == 0 ? 0 : m->n_head / m->n_head_kv;
    const bool is_falcon = strcmp(m->arch, "falcon") == 0;
    uint32_t c = 0;
    c |= gqa >= 4 ? QN_IF_GQA4 : 0;
    c |= m->n_expert >= 4 ? QN_IF_EXPERTS4 : 0;
    c |= m->n_expert == 8 ? QN_IF_EXPERTS8 : QN_IF_NOT_EXPERTS8;
    c |= is_falcon ? QN_IF_FALCON : QN_IF_NOT_FALCON;
    c |= m->has_imatrix ? QN_IF_IMATRIX : QN_IF_NO_IMATRIX;
    return c;
}

/** Conditions on index i of n. */
static uint32_t index_conditions(uint64_t i, uint64_t n) {
    const bool is_middle = i >= n / 8 && i < 7 * n / 8;
    uint32_t c = 0;
    c |= i < 2 ? QN_IF_FIRST_2 : 0;
    c |= i < 4 ? QN_IF_FIRST_4 : 0;
    c |= i < n / 8 ? QN_IF_EIGHTH : 0;
    c |= i < n / 16 ? QN_IF_SIXTEENTH : 0;
    c |= is_middle ? QN_IF_MIDDLE : 0;
    c |= !is_middle || (i - n / 8) % 3 == 2 ? QN_IF_MORE : 0;
    return c;
}

static uint32_t tensor_conditions(const chooser *c, const entry *e, qn_role role) {
    const qn_dtype_info *base = qn_dtype_get((uint32_t)c->target->base);
    const uint64_t running = c->n_seen[role];
    const bool is_ffn = role == QN_ROLE_DOWN || role == QN_ROLE_GATE || role == QN_ROLE_UP;
    const bool is_by_name = is_ffn && c->model->n_expert > 1 && e->layer >= 0;
    const uint64_t limit = is_ffn ? c->model->n_layer : c->n_of_role[role];
    const qn_shape *shape = &e->tensor->shape;
    const bool has_experts = shape->n_dims >= 3 && shape->dims[shape->n_dims - 3] > 1;
    uint32_t set = c->conditions | index_conditions(is_by_name ? (uint64_t)e->layer : running, limit);
    set |= running < c->model->n_layer / 8 ? QN_IF_RUNNING_EIGHTH : 0;
    set |= row_length(e->tensor) % base->block_len != 0 ? QN_IF_UNEVEN : 0;
    set |= has_experts && (is_ffn || strcmp(c->model->arch, "bailingmoe3") != 0) ? QN_IF_STACKED : 0;
    return set;
}

static qn_dtype type_by_rules(const chooser *c, const entry *e, qn_role role) {
    const uint64_t target = 1ULL << (c->target - qn_target_at(0));
    const uint32_t holds = tensor_conditions(c, e, role);
    qn_dtype type = c->target->base;
    for (uint64_t i = 0; i < qn_n_mixture_rules; i++) {
        const qn_mixture_rule *rule = &qn_mixture_rules[i];
        if ((rule->roles >> role & 1) != 0 && (rule->targets & target) != 0 && (rule->conditions & ~holds) == 0) {
            type = rule->type;
            break;
        }
    }
    if (role == QN_ROLE_V && (qn_low_bit_targets & target) == 0 && c->target->base != QN_MXFP4) {
        type = c->is_70b && (type == QN_Q3_K || type == QN_Q4_K) ? QN_Q5_K : type;
        type = c->model->n_expert == 8 ? QN_Q8_0 : type;
    }
    return type;
}

static bool fits(qn_dtype type, uint64_t n_cols) {
    return n_cols % qn_dtype_get((uint32_t)type)->block_len == 0;
}

/** What the reference takes instead when rows are not whole blocks; F32 for a type without a substitute. */
static qn_dtype substitute(qn_dtype type) {
    switch (type) {
    case QN_IQ1_S:
    case QN_IQ1_M:
    case QN_IQ2_XXS:
    case QN_IQ2_XS:
    case QN_IQ2_S:
    case QN_IQ3_XXS:
    case QN_IQ3_S:
    case QN_IQ4_XS: return QN_IQ4_NL;
    case QN_Q2_K:
    case QN_Q3_K:
    case QN_TQ1_0:
    case QN_TQ2_0:
    case QN_Q2_0: return QN_Q4_0;
    case QN_Q4_K: return QN_Q5_0;
    case QN_Q5_K: return QN_Q5_1;
    case QN_Q6_K: return QN_Q8_0;
    case QN_Q1_0:
    case QN_NVFP4: return QN_F32;
    default: return QN_F16;
    }
}

static qn_status fit_shape(const chooser *c, qn_mixture_tensor *t, qn_error *err) {
    const uint64_t n_cols = row_length(t);
    if (fits(t->type, n_cols)) {
        return QN_OK;
    }
    const qn_dtype other = substitute(t->type);
    if (other == QN_F32) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "target %s: rows of tensor '%s' have %llu weights, not a multiple of %s's block of %u; "
                       "take Q8_0",
                       c->target->name, t->name, (unsigned long long)n_cols, qn_dtype_get((uint32_t)t->type)->name,
                       qn_dtype_get((uint32_t)t->type)->block_len);
    }
    t->type = fits(other, n_cols) ? other : QN_F16;
    return QN_OK;
}

bool qn_mixture_needs_importance(const char *name, qn_dtype type) {
    const qn_role role = qn_role_of(name);
    if (role == QN_ROLE_OUT || role == QN_ROLE_EMB) {
        return false;
    }
    switch (type) {
    case QN_IQ1_S:
    case QN_IQ1_M:
    case QN_IQ2_XXS:
    case QN_IQ2_XS:
    case QN_IQ2_S:
    case QN_IQ3_XXS: return true;
    default: return false;
    }
}

bool qn_target_needs_imatrix(const qn_target *target) {
    /* The middle layers of IQ3_XS are IQ3_XXS. */
    return qn_mixture_needs_importance("blk.0.attn_q.weight", target->base) || target == qn_target_at(QN_T_IQ3_XS);
}

bool qn_target_wants_imatrix(const qn_target *target) {
    return target == qn_target_at(QN_T_Q2_K_S);
}

/** Refuses types that cannot be written. */
static qn_status check_type(const chooser *c, const qn_mixture_tensor *t, qn_error *err) {
    const qn_dtype_info *info = qn_dtype_get((uint32_t)t->type);
    if (t->type == t->unquantized) {
        return QN_OK;
    }
    if (!info->has_encoder) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "target %s: tensor '%s' would become %s, which quern cannot write yet; take %s instead",
                       c->target->name, t->name, info->name,
                       c->target == qn_target_at(QN_T_Q4_K_M) ? "Q8_0" : "Q4_K_M");
    }
    if (t->has_importance || !qn_mixture_needs_importance(t->name, t->type)) {
        return QN_OK;
    }
    if (!c->model->has_imatrix) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "target %s needs an importance matrix: tensor '%s' would become %s, which comes out useless "
                       "without one; make one with quern imatrix and give it to quern pack or quern quantize "
                       "(--imatrix), or take Q2_K or a larger type instead",
                       c->target->name, t->name, info->name);
    }
    return qn_fail(err, QN_E_UNSUPPORTED,
                   "target %s: tensor '%s' would become %s, which comes out useless without importance, and the "
                   "importance matrix has no entry for it; make the matrix of this very model, or give the tensor "
                   "another type (--tensor-type NAME=Q2_K)",
                   c->target->name, t->name, info->name);
}

static qn_role role_in(const chooser *c, const char *name) {
    const qn_role role = qn_role_of(name);
    return role == QN_ROLE_EMB && c->is_tied ? QN_ROLE_OUT : role;
}

/** What the options ask for one tensor. @return QN_E_USAGE as qn_type_matcher_find() */
static qn_status type_by_options(const chooser *c, const qn_mixture_tensor *t, qn_role role, bool *is_found,
                                 qn_dtype *type, qn_error *err) {
    const qn_mixture_options *o = c->options;
    const qn_type_rule *rule = NULL;
    *is_found = true;
    if (o->has_embedding_type && qn_role_of(t->name) == QN_ROLE_EMB) {
        *type = o->embedding_type;
    } else if (o->has_output_type && role == QN_ROLE_OUT) {
        *type = o->output_type;
    } else {
        QN_TRY(qn_type_matcher_find(c->matcher, t->name, &rule, err));
        *is_found = rule != NULL || o->is_pure;
        *type = rule != NULL ? rule->type : c->target->base;
    }
    return QN_OK;
}

/** Types every tensor, the entries being in order; the first refusal is kept until all have their types. */
static qn_status choose_all(chooser *c, const entry *entries, uint64_t n, qn_error *err) {
    const bool is_plain = !qn_dtype_get((uint32_t)c->target->base)->is_quantized;
    qn_status status = QN_OK;
    for (uint64_t i = 0; i < n; i++) {
        qn_mixture_tensor *t = entries[i].tensor;
        const qn_role role = role_in(c, t->name);
        bool is_found = false;
        t->type = t->unquantized;
        if (!is_eligible(c, t)) {
            continue;
        }
        QN_TRY(type_by_options(c, t, role, &is_found, &t->type, err));
        if (!is_found) {
            t->type = is_plain ? c->target->base : type_by_rules(c, &entries[i], role);
            c->n_seen[role]++;
        }
        if (status == QN_OK) {
            status = fit_shape(c, t, err);
        } else {
            (void)fit_shape(c, t, NULL);
        }
        if (status == QN_OK) {
            status = check_type(c, t, err);
        }
    }
    return status;
}

qn_status qn_mixture_choose(const qn_target *target, const qn_mixture_model *model, const qn_mixture_options *options,
                            qn_mixture_tensor *tensors, uint64_t n, qn_error *err) {
    static const qn_mixture_options nothing = {0};
    chooser c = {.target = target, .model = model, .is_tied = true, .is_70b = is_70b(model)};
    c.options = options == NULL ? &nothing : options;
    QN_TRY(qn_type_matcher_new(c.options->rules, c.options->n_rules, &c.matcher, err));
    entry *entries = qn_new_array(n, sizeof *entries);
    if (entries == NULL) {
        qn_type_matcher_free(c.matcher);
        return qn_fail_nomem(err, "the order of tensors", n * sizeof *entries);
    }
    c.conditions = model_conditions(model);
    for (uint64_t i = 0; i < n; i++) {
        entries[i] = (entry){&tensors[i], layer_of(tensors[i].name)};
        c.is_tied = c.is_tied && strcmp(tensors[i].name, "output.weight") != 0;
    }
    for (uint64_t i = 0; i < n; i++) {
        c.n_of_role[role_in(&c, tensors[i].name)] += is_eligible(&c, &tensors[i]) ? 1 : 0;
    }
    qsort(entries, n, sizeof *entries, compare_entries);
    const qn_status status = choose_all(&c, entries, n, err);
    qn_type_matcher_free(c.matcher);
    free(entries);
    return status;
}
