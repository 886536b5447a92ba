/* SPDX-License-Identifier: MIT */
/* characters.c: UTF-8 by hand, since it need not be valid; categories and mappings from utf8proc. */
#include "text/characters.h"

#include <utf8proc.h>

/* ---- UTF-8 ---- */

static bool is_tail(char c) {
    return ((unsigned char)c & 0xC0) == 0x80;
}

size_t qn_utf8_decode(const char *bytes, size_t left, uint32_t *code) {
    const unsigned char lead = (unsigned char)bytes[0];
    const size_t n = qn_utf8_promised(lead);
    *code = lead;
    if (lead < 0x80) {
        return 1;
    }
    *code = QN_REPLACEMENT;
    if (lead < 0xC0 || lead >= 0xF8 || n > left) {
        return 1;
    }
    uint32_t sum = lead & (0xFFU >> (n + 1));
    for (size_t i = 1; i < n; i++) {
        if (!is_tail(bytes[i])) {
            return 1;
        }
        sum = sum << 6 | ((unsigned char)bytes[i] & 0x3FU);
    }
    *code = sum > 0x10FFFF ? (uint32_t)QN_REPLACEMENT : sum;
    return n;
}

size_t qn_utf8_encode(uint32_t code, char *out) {
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    if (code < 0x800) {
        out[0] = (char)(0xC0 | code >> 6);
        out[1] = (char)(0x80 | (code & 0x3F));
        return 2;
    }
    if (code < 0x10000) {
        out[0] = (char)(0xE0 | code >> 12);
        out[1] = (char)(0x80 | (code >> 6 & 0x3F));
        out[2] = (char)(0x80 | (code & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | code >> 18);
    out[1] = (char)(0x80 | (code >> 12 & 0x3F));
    out[2] = (char)(0x80 | (code >> 6 & 0x3F));
    out[3] = (char)(0x80 | (code & 0x3F));
    return 4;
}

static size_t encoded_size(uint32_t code) {
    return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
}

bool qn_utf8_is_plain(const char *bytes, size_t n) {
    for (size_t i = 0; i < n;) {
        uint32_t code = 0;
        const size_t taken = qn_utf8_decode(bytes + i, n - i, &code);
        if (taken != encoded_size(code)) {
            return false;
        }
        i += taken;
    }
    return true;
}

size_t qn_utf8_whole(const char *bytes, size_t n) {
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        const unsigned char c = (unsigned char)bytes[n - back];
        if (c >= 0xC0) {
            return c < 0xF8 && qn_utf8_promised(c) > back ? n - back : n;
        }
        if (c < 0x80) {
            return n;
        }
    }
    return n;
}

/* ---- kinds ---- */

typedef struct code_range {
    uint32_t first;
    uint32_t last;
} code_range;

static bool is_within(const code_range *ranges, size_t n, uint32_t code) {
    for (size_t i = 0; i < n; i++) {
        if (code >= ranges[i].first && code <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

static bool is_han(uint32_t code) {
    static const code_range han[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                     {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B820, 0x2CEAF},
                                     {0x2CEB0, 0x2EBEF}, {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    return is_within(han, sizeof han / sizeof han[0], code);
}

bool qn_char_is_bert_ideograph(uint32_t code) {
    static const code_range ideographs[] = {{0x4E00, 0x9FFF},   {0x3400, 0x4DBF},   {0x20000, 0x2A6DF},
                                            {0x2A700, 0x2B73F}, {0x2B740, 0x2B81F}, {0x2B920, 0x2CEAF},
                                            {0xF900, 0xFAFF},   {0x2F800, 0x2FA1F}};
    return is_within(ideographs, sizeof ideographs / sizeof ideographs[0], code);
}

/* Unicode's White_Space, past ASCII. */
static bool is_wide_space(uint32_t code) {
    return code == 0x85 || code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) || code == 0x2028 ||
        code == 0x2029 || code == 0x202F || code == 0x205F || code == 0x3000;
}

static unsigned char class_of(utf8proc_category_t category) {
    switch (category) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO: return QN_CLASS_LETTER;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return QN_CLASS_MARK;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return QN_CLASS_NUMBER;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO: return QN_CLASS_PUNCTUATION;
    case UTF8PROC_CATEGORY_SM:
    case UTF8PROC_CATEGORY_SC:
    case UTF8PROC_CATEGORY_SK:
    case UTF8PROC_CATEGORY_SO: return QN_CLASS_SYMBOL;
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO: return QN_CLASS_CONTROL;
    default: return QN_CLASS_OTHER;
    }
}

unsigned char qn_char_category(uint32_t code) {
    if (is_wide_space(code) || code == ' ' || (code >= '\t' && code <= '\r')) {
        return QN_CLASS_SPACE;
    }
    if ((code >= 0x2EBF0 && code <= 0x2EE5D) || (code >= 0x2FFC && code <= 0x2FFF) || code == 0x31EF) {
        return code > 0xFFFF ? QN_CLASS_LETTER : QN_CLASS_SYMBOL; /* Unicode 15.1; utf8proc may be older */
    }
    return class_of(utf8proc_category((utf8proc_int32_t)code));
}

unsigned char qn_char_class(uint32_t code) {
    if (code < 0x80) {
        return (unsigned char)code;
    }
    const unsigned char category = qn_char_category(code);
    if (!is_han(code)) {
        return category;
    }
    return category == QN_CLASS_LETTER ? QN_CLASS_HAN : category == QN_CLASS_OTHER ? QN_CLASS_HAN_GAP : category;
}

uint32_t qn_char_lower(uint32_t code) {
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
}

uint32_t qn_char_base(uint32_t code) {
    utf8proc_int32_t parts[16];
    int last_class = 0;
    if (code < 0xC0) {
        return code;
    }
    const utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)code, parts, 16, UTF8PROC_DECOMPOSE,
                                                       &last_class);
    return n > 0 ? (uint32_t)parts[0] : code;
}
