/* SPDX-License-Identifier: MIT */
/*
 * sampler.c: filters over a list of candidates sorted by logit. Only as many are sorted as a filter can need: with
 * top-k that is k, else all. Random numbers are xoshiro256++ seeded by splitmix64 (Blackman and Vigna 2019).
 * Mirostat: Basu et al., 2020.
 */
#include "engine/sampler.h"

#include "base/memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/** A token that may be picked. */
typedef struct candidate {
    int32_t token;
    float logit;
    float p;
} candidate;

struct qn_sampler {
    qn_sampling how;
    uint32_t n_vocab;
    candidate *list; /* [n_vocab] */
    int32_t *recent; /* [repeat_last_n] a ring */
    uint32_t n_recent, next_recent;
    uint16_t *counts; /* [n_vocab] occurrences among the recent */
    uint64_t random[4];
    double mu; /* mirostat's bound on surprise */
};

qn_sampling qn_sampling_default(void) {
    return (qn_sampling){
        .temperature = 0.8F,
        .top_k = 40,
        .top_p = 0.95F,
        .min_p = 0.05F,
        .typical_p = 1.0F,
        .repeat_penalty = 1.0F,
        .repeat_last_n = 64,
        .mirostat_tau = 5.0F,
        .mirostat_eta = 0.1F,
    };
}

static qn_status check_range(const char *name, float value, float low, float high, qn_error *err) {
    if (value >= low && value <= high) {
        return QN_OK;
    }
    return qn_fail(err, QN_E_USAGE, "%s is %g: %g to %g is expected", name, (double)value, (double)low, (double)high);
}

qn_status qn_sampling_check(const qn_sampling *s, qn_error *err) {
    QN_TRY(check_range("temperature", s->temperature, 0, 100, err));
    QN_TRY(check_range("top-p", s->top_p, 0, 1, err));
    QN_TRY(check_range("min-p", s->min_p, 0, 1, err));
    QN_TRY(check_range("typical", s->typical_p, 0, 1, err));
    QN_TRY(check_range("repeat penalty", s->repeat_penalty, 0.01F, 100, err));
    QN_TRY(check_range("presence penalty", s->presence_penalty, -100, 100, err));
    QN_TRY(check_range("frequency penalty", s->frequency_penalty, -100, 100, err));
    QN_TRY(check_range("mirostat's tau", s->mirostat_tau, 0, 100, err));
    QN_TRY(check_range("mirostat's eta", s->mirostat_eta, 0, 1, err));
    if (s->mirostat > 2) {
        return qn_fail(err, QN_E_USAGE, "mirostat is %u: 0, 1 or 2 is expected", (unsigned)s->mirostat);
    }
    if (s->repeat_last_n > UINT16_MAX) {
        return qn_fail(err, QN_E_USAGE, "the last %u tokens: at most 65535 can count as recent",
                       (unsigned)s->repeat_last_n);
    }
    return QN_OK;
}

static uint64_t splitmix(uint64_t *state) {
    uint64_t x = *state += 0x9E3779B97F4A7C15ULL;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
    return x ^ (x >> 31);
}

static uint64_t rotate(uint64_t x, int k) {
    return (x << k) | (x >> (64 - k));
}

/* Uniform in [0, 1). */
static double draw(qn_sampler *s) {
    uint64_t *r = s->random;
    const uint64_t result = rotate(r[0] + r[3], 23) + r[0];
    const uint64_t shifted = r[1] << 17;
    r[2] ^= r[0];
    r[3] ^= r[1];
    r[1] ^= r[2];
    r[0] ^= r[3];
    r[2] ^= shifted;
    r[3] = rotate(r[3], 45);
    return (double)(result >> 11) * 0x1p-53;
}

qn_status qn_sampler_new(const qn_sampling *sampling, uint32_t n_vocab, qn_sampler **out, qn_error *err) {
    QN_TRY(qn_sampling_check(sampling, err));
    qn_sampler *s = qn_new_array(1, sizeof *s);
    if (s == NULL) {
        return qn_fail_nomem(err, "a sampler", sizeof *s);
    }
    s->how = *sampling;
    s->n_vocab = n_vocab;
    s->list = qn_new_array(n_vocab, sizeof *s->list);
    s->recent = qn_new_array((uint64_t)sampling->repeat_last_n + 1, sizeof *s->recent);
    s->counts = qn_new_array(n_vocab, sizeof *s->counts);
    if (s->list == NULL || s->recent == NULL || s->counts == NULL) {
        qn_sampler_free(s);
        return qn_fail_nomem(err, "a sampler", n_vocab * sizeof *s->list);
    }
    uint64_t seed = sampling->seed;
    for (int i = 0; i < 4; i++) {
        s->random[i] = splitmix(&seed);
    }
    s->mu = 2.0 * (double)sampling->mirostat_tau;
    *out = s;
    return QN_OK;
}

void qn_sampler_free(qn_sampler *sampler) {
    if (sampler == NULL) {
        return;
    }
    free(sampler->list);
    free(sampler->recent);
    free(sampler->counts);
    free(sampler);
}

void qn_sampler_accept(qn_sampler *s, int32_t token) {
    if (token < 0 || (uint32_t)token >= s->n_vocab || s->how.repeat_last_n == 0) {
        return;
    }
    if (s->n_recent == s->how.repeat_last_n) {
        s->counts[s->recent[s->next_recent]]--;
    } else {
        s->n_recent++;
    }
    s->recent[s->next_recent] = token;
    s->counts[token]++;
    s->next_recent = (s->next_recent + 1) % s->how.repeat_last_n;
}

static void apply_biases(const qn_sampler *s, float *logits) {
    for (size_t i = 0; i < s->how.n_biases; i++) {
        const int32_t token = s->how.biases[i].token;
        if (token >= 0 && (uint32_t)token < s->n_vocab) {
            logits[token] += s->how.biases[i].bias;
        }
    }
}

/* Each recent token once, however often it occurred. */
static void apply_penalties(const qn_sampler *s, float *logits) {
    const qn_sampling *h = &s->how;
    if (h->repeat_penalty == 1.0F && h->presence_penalty == 0.0F && h->frequency_penalty == 0.0F) {
        return;
    }
    for (uint32_t t = 0; t < s->n_vocab; t++) {
        if (s->counts[t] > 0) {
            logits[t] = logits[t] > 0 ? logits[t] / h->repeat_penalty : logits[t] * h->repeat_penalty;
            logits[t] -= h->presence_penalty + (float)s->counts[t] * h->frequency_penalty;
        }
    }
}

/* By falling logit; equal ones by token, so that the order is one. */
static int compare(const void *a, const void *b) {
    const candidate *x = a;
    const candidate *y = b;
    if (x->logit != y->logit) {
        return x->logit > y->logit ? -1 : 1;
    }
    return (x->token > y->token) - (x->token < y->token);
}

/* Moves the k first in the order of compare() to the front (Hoare's selection). */
static void select_first(candidate *list, uint32_t n, uint32_t k) {
    uint32_t low = 0;
    uint32_t high = n;
    while (high - low > 1 && k > low && k < high) {
        const candidate pivot = list[low + (high - 1 - low) / 2];
        uint32_t i = low;
        uint32_t j = high - 1;
        for (;;) {
            while (compare(&list[i], &pivot) < 0) {
                i++;
            }
            while (compare(&list[j], &pivot) > 0) {
                j--;
            }
            if (i >= j) {
                break;
            }
            const candidate kept = list[i];
            list[i++] = list[j];
            list[j--] = kept;
        }
        if (k <= j + 1) {
            high = j + 1;
        } else {
            low = j + 1;
        }
    }
}

/* Lists what is not forbidden; the k most likely, sorted. @return how many; at least 1 */
static uint32_t list_candidates(qn_sampler *s, const float *logits, uint32_t k) {
    uint32_t n = 0;
    for (uint32_t t = 0; t < s->n_vocab; t++) {
        if (logits[t] > -HUGE_VALF) {
            s->list[n++] = (candidate){(int32_t)t, logits[t], 0};
        }
    }
    if (n == 0) { /* everything is forbidden, or NaN: something must be said */
        s->list[n++] = (candidate){0, 0, 0};
    }
    if (k > 0 && k < n) {
        select_first(s->list, n, k);
        n = k;
    }
    qsort(s->list, n, sizeof *s->list, compare);
    return n;
}

/* Probabilities of the first n at a temperature. */
static void softmax(candidate *list, uint32_t n, float temperature) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        list[i].p = expf((list[i].logit - list[0].logit) / temperature);
        sum += (double)list[i].p;
    }
    for (uint32_t i = 0; i < n; i++) {
        list[i].p = (float)((double)list[i].p / sum);
    }
}

static uint32_t keep_top_p(const candidate *list, uint32_t n, float p) {
    double sum = 0;
    for (uint32_t i = 0; i < n && p < 1.0F; i++) {
        sum += (double)list[i].p;
        if (sum >= (double)p) {
            return i + 1;
        }
    }
    return n;
}

static uint32_t keep_min_p(const candidate *list, uint32_t n, float p) {
    while (n > 1 && list[n - 1].p < p * list[0].p) {
        n--;
    }
    return n;
}

/* How far a candidate's surprise is from the expected one, kept in its logit while they are sorted by it. */
static uint32_t keep_typical(candidate *list, uint32_t n, float p) {
    double entropy = 0;
    double sum = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        entropy -= list[i].p > 0 ? (double)list[i].p * log((double)list[i].p) : 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        list[i].logit = list[i].p > 0 ? -(float)fabs(-log((double)list[i].p) - entropy) : -HUGE_VALF;
    }
    qsort(list, n, sizeof *list, compare);
    do { /* the nearest one stays even when p is 0 */
        sum += (double)list[kept++].p;
    } while (kept < n && sum < (double)p);
    for (uint32_t i = 0; i < kept; i++) {
        list[i].logit = logf(list[i].p);
    }
    qsort(list, kept, sizeof *list, compare);
    return kept;
}

static int32_t draw_from(qn_sampler *s, uint32_t n) {
    double at = draw(s);
    for (uint32_t i = 0; i + 1 < n; i++) {
        at -= (double)s->list[i].p;
        if (at < 0) {
            return s->list[i].token;
        }
    }
    return s->list[n - 1].token;
}

/* How many candidates version 1 keeps: by the exponent of the most likely hundred. */
static uint32_t mirostat_count(const qn_sampler *s, uint32_t n) {
    double products = 0;
    double squares = 0;
    for (uint32_t i = 0; i + 1 < n && i + 1 < 100; i++) {
        const double t = log((double)(i + 2) / (double)(i + 1));
        const double b = log((double)s->list[i].p / (double)s->list[i + 1].p);
        products += t * b;
        squares += t * t;
    }
    const double exponent = squares > 0 ? products / squares : 1;
    const double epsilon = exponent - 1;
    const double k = pow(epsilon * pow(2, s->mu) / (1 - pow((double)s->n_vocab, -epsilon)), 1 / exponent);
    return k >= 1 && k < (double)n ? (uint32_t)k : k >= 1 ? n : 1;
}

static uint32_t mirostat_bound(const qn_sampler *s, uint32_t n) {
    uint32_t kept = 1;
    while (kept < n && -log2((double)s->list[kept].p) <= s->mu) {
        kept++;
    }
    return kept;
}

static int32_t pick_mirostat(qn_sampler *s, uint32_t n) {
    softmax(s->list, n, s->how.temperature);
    n = s->how.mirostat == 1 ? mirostat_count(s, n) : mirostat_bound(s, n);
    softmax(s->list, n, s->how.temperature);
    const int32_t token = draw_from(s, n);
    for (uint32_t i = 0; i < n; i++) {
        if (s->list[i].token == token) {
            const double surprise = -log2((double)s->list[i].p);
            s->mu -= (double)s->how.mirostat_eta * (surprise - (double)s->how.mirostat_tau);
        }
    }
    return token;
}

/* Filters and draws; logits stay as they are. */
static int32_t choose(qn_sampler *s, const float *logits) {
    const qn_sampling *h = &s->how;
    if (h->temperature <= 0) {
        (void)list_candidates(s, logits, 1);
        return s->list[0].token;
    }
    uint32_t n = list_candidates(s, logits, h->mirostat == 0 ? h->top_k : 0);
    if (h->mirostat != 0) {
        return pick_mirostat(s, n);
    }
    softmax(s->list, n, 1.0F);
    if (h->typical_p < 1.0F) {
        n = keep_typical(s->list, n, h->typical_p);
        softmax(s->list, n, 1.0F);
    }
    n = keep_top_p(s->list, n, h->top_p);
    n = keep_min_p(s->list, n, h->min_p);
    softmax(s->list, n, h->temperature);
    return draw_from(s, n);
}

int32_t qn_sampler_pick(qn_sampler *s, float *logits) {
    apply_biases(s, logits);
    apply_penalties(s, logits);
    return choose(s, logits);
}

qn_status qn_sampler_pick_guided(qn_sampler *s, qn_guide *guide, float *logits, int32_t *token, qn_error *err) {
    const double mu = s->mu;
    bool allows = true;
    *token = qn_sampler_pick(s, logits);
    if (guide != NULL) {
        QN_TRY(qn_guide_check(guide, *token, &allows, err));
    }
    if (allows) {
        return QN_OK;
    }
    s->mu = mu; /* a token that does not come surprises nobody */
    QN_TRY(qn_guide_mask(guide, logits, err));
    *token = choose(s, logits);
    return QN_OK;
}
