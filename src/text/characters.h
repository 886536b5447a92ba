/* SPDX-License-Identifier: MIT */
/* characters.h: UTF-8 that may be broken, and what kind of character a code point is. */
#ifndef QUERN_TEXT_CHARACTERS_H
#define QUERN_TEXT_CHARACTERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What stands for bytes that are no character. */
enum { QN_REPLACEMENT = 0xFFFD };

/**
 * What splitting expressions know of a character: ASCII is itself, the rest one byte a class.
 * Han is a letter too.
 */
enum {
    QN_CLASS_LETTER = 0x80,
    QN_CLASS_HAN = 0x81,
    QN_CLASS_NUMBER = 0x82,
    QN_CLASS_PUNCTUATION = 0x83,
    QN_CLASS_MARK = 0x84,
    QN_CLASS_SYMBOL = 0x85,
    QN_CLASS_SPACE = 0x86,
    QN_CLASS_CONTROL = 0x87, /**< Unicode's C: control, format, surrogate, private use, unassigned */
    QN_CLASS_OTHER = 0x88,
    QN_CLASS_HAN_GAP = 0x89, /**< unassigned within the blocks of Han */
    QN_CLASS_OWN = 0x90      /**< a set that one expression spells out, and the next ones behind it */
};

/** Bytes that the lead byte promises: 1 to 4, by its high four bits alone; 1 for a byte that cannot lead. */
static inline size_t qn_utf8_promised(unsigned char lead) {
    return lead < 0xC0 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

/**
 * Decodes the character at bytes. Overlong forms and surrogates are decoded, as llama.cpp does; what is no sequence,
 * or past U+10FFFF, gives QN_REPLACEMENT.
 * @param left bytes there, at least 1
 * @return bytes taken: 1 to 4; 1 for a byte that starts no sequence
 */
size_t qn_utf8_decode(const char *bytes, size_t left, uint32_t *code);

/** Encodes a code point up to U+10FFFF. @param out room for 4 bytes @return bytes written */
size_t qn_utf8_encode(uint32_t code, char *out);

/** Whether decoding and encoding every character gives the same bytes. */
bool qn_utf8_is_plain(const char *bytes, size_t n);

/** Bytes at the front of n that end with a whole character: a sequence cut off at the end is left out. */
size_t qn_utf8_whole(const char *bytes, size_t n);

/** The class of a code point; of ASCII, the code point. */
unsigned char qn_char_class(uint32_t code);

/** As qn_char_class() for ASCII too: LETTER, NUMBER, PUNCTUATION, SYMBOL, SPACE or CONTROL; Han is LETTER. */
unsigned char qn_char_category(uint32_t code);

/** The lower-case letter by Unicode's simple mapping; code itself where there is none. */
uint32_t qn_char_lower(uint32_t code);

/** The first code point of the canonical decomposition; code itself where there is none. */
uint32_t qn_char_base(uint32_t code);

/** Whether BERT's tokenizers make the character a word of its own: the ideographs. */
bool qn_char_is_bert_ideograph(uint32_t code);

#endif
