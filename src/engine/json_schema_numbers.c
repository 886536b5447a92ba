/* SPDX-License-Identifier: MIT */
/*
 * json_schema_numbers.c: numbers between bounds as rules over their digits.
 *
 * The numbers a to b of equal length: where the first digits are alike, that digit and the rest; else the first digit
 * of a with what is not below its rest, the digits between with any rest, the first digit of b with what is not above.
 */
#include "engine/json_schema_parts.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_DIGITS = 16 };

/* ---- Whole numbers ---- */

static void put_any_digits(qn_buffer *out, size_t n) {
    if (n > 0) {
        qn_buffer_printf(out, " [0-9]{%zu}", n);
    }
}

static void put_digit_range(qn_buffer *out, char low, char high) {
    if (low == high) {
        qn_buffer_printf(out, "\"%c\"", low);
    } else {
        qn_buffer_printf(out, "[%c-%c]", low, high);
    }
}

/* Whether all but the first of n digits are `digit`, or nothing is said of them. */
static bool is_round(const char *digits, size_t n, char digit) {
    for (size_t i = 1; digits != NULL && i < n; i++) {
        if (digits[i] != digit) {
            return false;
        }
    }
    return true;
}

/* n digits, at least one, from low to high; NULL for low: from all zeros, for high: to all nines. */
static void put_same_length(qn_buffer *out, const char *low, const char *high, size_t n) {
    const char first = low == NULL ? '0' : low[0];
    const char last = high == NULL ? '9' : high[0];
    const bool has_low = !is_round(low, n, '0');
    const bool has_high = !is_round(high, n, '9');
    if (!has_low && !has_high) {
        put_digit_range(out, first, last);
        put_any_digits(out, n - 1);
        return;
    }
    if (first == last) {
        put_digit_range(out, first, last);
        qn_buffer_text(out, " ");
        put_same_length(out, low == NULL ? NULL : low + 1, high == NULL ? NULL : high + 1, n - 1);
        return;
    }
    const char middle_first = (char)(first + has_low);
    const char middle_last = (char)(last - has_high);
    qn_buffer_text(out, "(");
    if (has_low) {
        qn_buffer_printf(out, "\"%c\" ", first);
        put_same_length(out, low + 1, NULL, n - 1);
    }
    if (middle_first <= middle_last) {
        qn_buffer_text(out, has_low ? " | " : "");
        put_digit_range(out, middle_first, middle_last);
        put_any_digits(out, n - 1);
    }
    if (has_high) {
        qn_buffer_printf(out, "%s\"%c\" ", has_low || middle_first <= middle_last ? " | " : "", last);
        put_same_length(out, NULL, high + 1, n - 1);
    }
    qn_buffer_text(out, ")");
}

/* The numbers low to high, low <= high, in a group. */
static void put_range(qn_buffer *out, uint64_t low, uint64_t high) {
    char a[24];
    char b[24];
    const size_t n_low = (size_t)snprintf(a, sizeof a, "%" PRIu64, low);
    const size_t n_high = (size_t)snprintf(b, sizeof b, "%" PRIu64, high);
    qn_buffer_text(out, "(");
    for (size_t n = n_low; n <= n_high; n++) {
        char least[24] = "1000000000000000000000";
        qn_buffer_text(out, n == n_low ? "" : " | ");
        put_same_length(out, n == n_low ? a : least, n == n_high ? b : NULL, n);
    }
    qn_buffer_text(out, ")");
}

/** What a schema says of a number. Bounds are whole; where there is none it is far away. */
typedef struct bounds {
    bool has_low, has_high;
    int64_t low, high;
    bool excludes_low, excludes_high;
} bounds;

/* The magnitude of a negative bound. */
static uint64_t magnitude(int64_t value) {
    return value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value;
}

/* The largest number written where there is no bound: 16 digits, or as many as the other bound has. */
static uint64_t largest_like(uint64_t other) {
    uint64_t largest = 9999999999999999ULL;
    while (largest < other) {
        largest = largest > UINT64_MAX / 10 ? UINT64_MAX : largest * 10 + 9;
    }
    return largest;
}

/* A bound of an integer: rounded inwards. @param is_low which way that is */
static qn_status read_bound(const qn_schema_writer *w, const json_t *value, const char *key, bool is_low, int64_t *out,
                            bool *is_whole) {
    *is_whole = true;
    if (json_is_integer(value)) {
        *out = json_integer_value(value);
        return QN_OK;
    }
    const double number = json_real_value(value);
    if (!json_is_real(value)) {
        return qn_schema_fail(w, QN_E_FORMAT, "'%s' is no number", key);
    }
    if (!(fabs(number) < 9e15)) {
        return qn_schema_fail(w, QN_E_UNSUPPORTED, "'%s' is %g: bounds have at most 15 digits", key, number);
    }
    *out = (int64_t)(is_low ? ceil(number) : floor(number));
    *is_whole = number == (double)*out;
    return QN_OK;
}

/* Takes one side's two keywords into the bounds; the tighter one counts. */
static qn_status read_side(const qn_schema_writer *w, const json_t *schema, bool is_low, bool is_integer, bounds *b) {
    const char *const keys[2] = {is_low ? "minimum" : "maximum", is_low ? "exclusiveMinimum" : "exclusiveMaximum"};
    bool *has = is_low ? &b->has_low : &b->has_high;
    bool *excludes = is_low ? &b->excludes_low : &b->excludes_high;
    int64_t *bound = is_low ? &b->low : &b->high;
    for (int i = 0; i < 2; i++) {
        const json_t *value = json_object_get(schema, keys[i]);
        int64_t found = 0;
        bool is_whole = true;
        if (value == NULL) {
            continue;
        }
        QN_TRY(read_bound(w, value, keys[i], is_low, &found, &is_whole));
        if (!is_whole && !is_integer) {
            return qn_schema_fail(w, QN_E_UNSUPPORTED, "'%s' of a number is supported where it is whole", keys[i]);
        }
        const bool is_exclusive = i == 1 && is_whole;
        if (!*has || (is_low ? found > *bound : found < *bound) || (found == *bound && is_exclusive)) {
            *bound = found;
            *excludes = is_exclusive;
            *has = true;
        }
    }
    return QN_OK;
}

static qn_status read_bounds(const qn_schema_writer *w, const json_t *schema, bool is_integer, bounds *b) {
    *b = (bounds){0};
    QN_TRY(read_side(w, schema, true, is_integer, b));
    QN_TRY(read_side(w, schema, false, is_integer, b));
    if (is_integer && b->has_low && b->excludes_low) {
        b->has_low = b->low < INT64_MAX;
        b->low += b->has_low;
    }
    if (is_integer && b->has_high && b->excludes_high) {
        b->has_high = b->high > INT64_MIN;
        b->high -= b->has_high;
    }
    const bool is_empty = b->has_low && b->has_high &&
        (b->low > b->high || (b->low == b->high && !is_integer && (b->excludes_low || b->excludes_high)));
    return is_empty ? qn_schema_fail(w, QN_E_FORMAT, "no number is between the bounds") : QN_OK;
}

qn_status qn_schema_integer(qn_schema_writer *w, const json_t *schema, qn_buffer *out) {
    bounds b;
    QN_TRY(read_bounds(w, schema, true, &b));
    if (!b.has_low && !b.has_high) {
        qn_schema_use(w, QN_JSON_INTEGER, out);
        return QN_OK;
    }
    const bool has_negative = !b.has_low || b.low < 0;
    const bool has_positive = !b.has_high || b.high >= 0;
    qn_buffer_text(out, "(");
    if (has_negative) {
        const uint64_t least = b.has_high && b.high < 0 ? magnitude(b.high) : 1;
        qn_buffer_text(out, "\"-\" ");
        put_range(out, least, b.has_low ? magnitude(b.low) : largest_like(least));
    }
    qn_buffer_text(out, has_negative && has_positive ? " | " : "");
    if (has_positive) {
        const uint64_t least = b.has_low && b.low > 0 ? (uint64_t)b.low : 0;
        put_range(out, least, b.has_high ? (uint64_t)b.high : largest_like(least));
    }
    qn_buffer_text(out, ")");
    return QN_OK;
}

/* ---- Numbers with a fraction ---- */

/* Numbers without a sign from low to high; alternatives, each followed by " | " but for the last. */
static void put_fractions(qn_buffer *out, uint64_t low, bool excludes_low, uint64_t high, bool excludes_high) {
    const char *between = "";
    if (excludes_low && low < high) {
        qn_buffer_printf(out, "\"%" PRIu64 ".\" [0-9]{0,%d} [1-9]", low, MAX_DIGITS - 1);
        between = " | ";
    }
    const uint64_t first = low + (excludes_low ? 1 : 0);
    if (first < high) {
        qn_buffer_text(out, between);
        put_range(out, first, high - 1);
        qn_buffer_printf(out, " (\".\" [0-9]{1,%d})?", MAX_DIGITS);
        between = " | ";
    }
    if (!excludes_high && !(excludes_low && low == high)) {
        qn_buffer_printf(out, "%s\"%" PRIu64 "\" (\".\" \"0\"{1,%d})?", between, high, MAX_DIGITS);
    }
}

qn_status qn_schema_number(qn_schema_writer *w, const json_t *schema, qn_buffer *out) {
    bounds b;
    QN_TRY(read_bounds(w, schema, false, &b));
    if (!b.has_low && !b.has_high) {
        qn_schema_use(w, QN_JSON_NUMBER, out);
        return QN_OK;
    }
    const bool has_negative = !b.has_low || b.low < 0;
    const bool has_positive = !b.has_high || b.high > 0 || (b.high == 0 && !b.excludes_high);
    qn_buffer_text(out, "(");
    if (has_negative) {
        const bool is_below_zero = b.has_high && b.high < 0;
        const uint64_t least = is_below_zero ? magnitude(b.high) : 0;
        qn_buffer_text(out, "\"-\" (");
        put_fractions(out, least, is_below_zero ? b.excludes_high : true,
                      b.has_low ? magnitude(b.low) : largest_like(least), b.has_low && b.excludes_low);
        qn_buffer_text(out, ")");
    }
    qn_buffer_text(out, has_negative && has_positive ? " | " : "");
    if (has_positive) {
        const bool is_above_zero = b.has_low && b.low >= 0;
        const uint64_t least = is_above_zero ? (uint64_t)b.low : 0;
        put_fractions(out, least, is_above_zero && b.excludes_low, b.has_high ? (uint64_t)b.high : largest_like(least),
                      b.has_high && b.excludes_high);
    }
    qn_buffer_text(out, ")");
    return QN_OK;
}
