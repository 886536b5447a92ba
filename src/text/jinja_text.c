/* SPDX-License-Identifier: MIT */
/* jinja_text.c: strings of templates by characters: white space, search, replacement, letter case. */
#include "text/jinja_parts.h"

#include <string.h>

size_t qn_jtext_char(qn_text s, uint32_t *code) {
    uint32_t c = 0;
    if (s.len == 0) {
        return 0;
    }
    const unsigned char *b = (const unsigned char *)s.bytes;
    size_t n = b[0] < 0x80            ? 1
        : b[0] >= 0xC2 && b[0] < 0xE0 ? 2
        : (b[0] & 0xF0) == 0xE0       ? 3
        : b[0] >= 0xF0 && b[0] < 0xF5 ? 4
                                      : 1;
    n = n > s.len ? 1 : n;
    c = n == 1 ? b[0] : b[0] & (0xFFU >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if ((b[i] & 0xC0) != 0x80) {
            n = 1;
            c = b[0];
            break;
        }
        c = c << 6 | (b[i] & 0x3FU);
    }
    if (code != NULL) {
        *code = c;
    }
    return n;
}

uint64_t qn_jtext_count(qn_text s) {
    uint64_t count = 0;
    for (size_t at = 0; at < s.len; count++) {
        at += qn_jtext_char((qn_text){s.bytes + at, s.len - at}, NULL);
    }
    return count;
}

bool qn_jtext_is_space(uint32_t c) {
    return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
        (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

/* Whether a character goes: white space, or one of set. */
static bool is_stripped(qn_text c, uint32_t code, qn_text set) {
    if (set.bytes == NULL) {
        return qn_jtext_is_space(code);
    }
    for (size_t at = 0; at < set.len;) {
        const size_t n = qn_jtext_char((qn_text){set.bytes + at, set.len - at}, NULL);
        if (n == c.len && memcmp(set.bytes + at, c.bytes, n) == 0) {
            return true;
        }
        at += n;
    }
    return false;
}

/* Bytes of the last character. */
static size_t last_char(qn_text s, uint32_t *code) {
    size_t n = 1;
    while (n < 4 && n < s.len && ((unsigned char)s.bytes[s.len - n] & 0xC0) == 0x80) {
        n++;
    }
    const qn_text tail = {s.bytes + s.len - n, n};
    if (qn_jtext_char(tail, code) == n) {
        return n;
    }
    *code = (unsigned char)s.bytes[s.len - 1];
    return 1;
}

qn_text qn_jtext_strip(qn_text s, qn_text set, bool left, bool right) {
    uint32_t code = 0;
    while (left && s.len > 0) {
        const size_t n = qn_jtext_char(s, &code);
        if (!is_stripped((qn_text){s.bytes, n}, code, set)) {
            break;
        }
        s = (qn_text){s.bytes + n, s.len - n};
    }
    while (right && s.len > 0) {
        const size_t n = last_char(s, &code);
        if (!is_stripped((qn_text){s.bytes + s.len - n, n}, code, set)) {
            break;
        }
        s.len -= n;
    }
    return s;
}

qn_status qn_jtext_find(qn_jrun *run, qn_text s, qn_text needle, size_t from, size_t *out) {
    *out = SIZE_MAX;
    if (from > s.len || needle.len > s.len - from) {
        return qn_jsteps(run, 1);
    }
    if (needle.len == 0) {
        *out = from;
        return qn_jsteps(run, 1);
    }
    const size_t last = s.len - needle.len;
    size_t at = from;
    uint64_t cost = 1;
    while (at <= last) {
        const char *hit = memchr(s.bytes + at, needle.bytes[0], last - at + 1);
        if (hit == NULL) {
            break;
        }
        at = (size_t)(hit - s.bytes);
        cost += 1 + needle.len / 64;
        if (cost > run->steps_left) {
            break;
        }
        if (memcmp(hit, needle.bytes, needle.len) == 0) {
            *out = at;
            break;
        }
        at++;
    }
    return qn_jsteps(run, cost + ((*out == SIZE_MAX ? s.len : *out) - from) / 256);
}

/* Behind each character, and before the first. */
static void replace_nothing(qn_text s, qn_text by, int64_t max, qn_buffer *b) {
    while (max != 0 || s.len > 0) {
        if (max != 0) {
            qn_buffer_append(b, by.bytes, by.len);
            max -= max > 0 ? 1 : 0;
        }
        if (s.len == 0) {
            return;
        }
        const size_t n = qn_jtext_char(s, NULL);
        qn_buffer_append(b, s.bytes, n);
        s = (qn_text){s.bytes + n, s.len - n};
    }
}

static qn_status replace_all(qn_jrun *run, qn_text s, qn_text old, qn_text by, int64_t max, qn_buffer *b) {
    size_t at = 0;
    while (max != 0) {
        size_t hit = 0;
        QN_TRY(qn_jtext_find(run, s, old, at, &hit));
        if (hit == SIZE_MAX) {
            break;
        }
        QN_TRY(qn_jcharge(run, by.len)); /* before it is made, not after */
        qn_buffer_append(b, s.bytes + at, hit - at);
        qn_buffer_append(b, by.bytes, by.len);
        at = hit + old.len;
        max -= max > 0 ? 1 : 0;
    }
    if (s.len > at) {
        qn_buffer_append(b, s.bytes + at, s.len - at);
    }
    return QN_OK;
}

qn_status qn_jtext_replace(qn_jrun *run, qn_text s, qn_text old, qn_text by, int64_t max, qn_jv *out) {
    qn_buffer b = {0};
    qn_status status = QN_OK;
    if (old.len == 0) {
        QN_TRY(qn_jcharge(run, 0));
        uint64_t n = 0;
        if (__builtin_mul_overflow((uint64_t)s.len + 1, (uint64_t)by.len, &n)) {
            n = UINT64_MAX;
        }
        QN_TRY(qn_jcharge(run, n));
        replace_nothing(s, by, max, &b);
    } else {
        status = replace_all(run, s, old, by, max, &b);
    }
    if (status != QN_OK) {
        qn_buffer_clear(&b);
        return status;
    }
    return qn_jv_take(run, &b, out);
}

/* ---- letter case ---- */

/* A run of letters: apart by `step` where lower cases follow upper ones in pairs (2), or by a distance (1). */
typedef struct case_run {
    uint32_t first; /* of the upper-case letters */
    uint32_t last;
    uint32_t step;
    uint32_t distance;
} case_run;

/* The scripts with case of chat: Latin, Greek, Cyrillic, Armenian (Unicode Character Database, simple mappings). */
static const case_run runs[] = {
    {'A', 'Z', 1, 32},      {0xC0, 0xD6, 1, 32},    {0xD8, 0xDE, 1, 32},     {0x100, 0x12E, 2, 1},
    {0x132, 0x136, 2, 1},   {0x139, 0x147, 2, 1},   {0x14A, 0x176, 2, 1},    {0x179, 0x17D, 2, 1},
    {0x386, 0x386, 1, 38},  {0x388, 0x38A, 1, 37},  {0x38C, 0x38C, 1, 64},   {0x38E, 0x38F, 1, 63},
    {0x391, 0x3A1, 1, 32},  {0x3A3, 0x3AB, 1, 32},  {0x400, 0x40F, 1, 80},   {0x410, 0x42F, 1, 32},
    {0x460, 0x480, 2, 1},   {0x48A, 0x4BE, 2, 1},   {0x4D0, 0x52E, 2, 1},    {0x531, 0x556, 1, 48},
    {0x1E00, 0x1E94, 2, 1}, {0x1EA0, 0x1EFE, 2, 1}, {0xFF21, 0xFF3A, 1, 32},
};

uint32_t qn_jtext_lower(uint32_t code) {
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        const case_run *r = &runs[i];
        if (code >= r->first && code <= r->last && (code - r->first) % r->step == 0) {
            return code + r->distance;
        }
    }
    return code == 0x178 ? 0xFF : code;
}

static uint32_t upper_of(uint32_t code) {
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        const case_run *r = &runs[i];
        if (code >= r->first + r->distance && code <= r->last + r->distance &&
            (code - r->distance - r->first) % r->step == 0) {
            return code - r->distance;
        }
    }
    return code == 0xFF ? 0x178 : code == 0x3C2 ? 0x3A3 : code == 0xB5 ? 0x39C : code;
}

/* Whether title case goes on behind a character: it has two cases, or counts as a letter here. */
static bool is_letter(uint32_t code) {
    return qn_jtext_lower(code) != code || upper_of(code) != code || code == 0xDF || code > 0x2FF;
}

void qn_jtext_put(qn_buffer *b, uint32_t c) {
    if (c < 0x80) {
        qn_buffer_u8(b, (uint8_t)c);
        return;
    }
    if (c < 0x800) {
        qn_buffer_u8(b, (uint8_t)(0xC0 | c >> 6));
    } else {
        if (c < 0x10000) {
            qn_buffer_u8(b, (uint8_t)(0xE0 | c >> 12));
        } else {
            qn_buffer_u8(b, (uint8_t)(0xF0 | c >> 18));
            qn_buffer_u8(b, (uint8_t)(0x80 | (c >> 12 & 0x3F)));
        }
        qn_buffer_u8(b, (uint8_t)(0x80 | (c >> 6 & 0x3F)));
    }
    qn_buffer_u8(b, (uint8_t)(0x80 | (c & 0x3F)));
}

qn_status qn_jtext_case(qn_jrun *run, qn_text s, qn_jcase how, qn_jv *out) {
    qn_buffer b = {0};
    bool is_first = true;
    QN_TRY(qn_jcharge(run, s.len));
    while (s.len > 0) {
        uint32_t code = 0;
        const size_t n = qn_jtext_char(s, &code);
        const bool to_upper = how == QN_JCASE_UPPER || (how != QN_JCASE_LOWER && is_first);
        const uint32_t changed = to_upper ? upper_of(code) : qn_jtext_lower(code);
        if (to_upper && code == 0xDF) {
            qn_buffer_text(&b, how == QN_JCASE_UPPER ? "SS" : "Ss");
        } else if (changed == code) {
            qn_buffer_append(&b, s.bytes, n);
        } else {
            qn_jtext_put(&b, changed);
        }
        is_first = how == QN_JCASE_TITLE && !is_letter(code);
        s = (qn_text){s.bytes + n, s.len - n};
    }
    return qn_jv_take(run, &b, out);
}
