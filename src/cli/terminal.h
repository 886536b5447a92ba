/* SPDX-License-Identifier: MIT */
/* terminal.h: what the other end of stdout or stderr can show: width, colours, redrawing, UTF-8. */
#ifndef QUERN_CLI_TERMINAL_H
#define QUERN_CLI_TERMINAL_H

#include "base/memory.h"

#include <stdbool.h>
#include <stdio.h>

/** A stream and what may be sent to it. */
typedef struct qn_terminal {
    FILE *file;
    bool is_tty;
    bool can_redraw; /**< a terminal that knows how to erase a line (TERM is not dumb) */
    bool has_color;  /**< can_redraw, and NO_COLOR is not set */
    bool is_utf8;    /**< the locale's character set */
} qn_terminal;

typedef enum qn_style {
    QN_STYLE_NONE,
    QN_STYLE_BOLD,
    QN_STYLE_DIM,
    QN_STYLE_RED,
    QN_STYLE_YELLOW,
    QN_STYLE_GREEN
} qn_style;

/** Looks at a stream, at TERM and NO_COLOR and at the locale. */
qn_terminal qn_terminal_of(FILE *file);

/** Columns: COLUMNS, else the window's size now, else 80. Never under 20. */
unsigned qn_terminal_width(const qn_terminal *t);

/** The bytes that begin a style, and end any for QN_STYLE_NONE; "" where colours are off. Static storage. */
const char *qn_terminal_style(const qn_terminal *t, qn_style style);

/** Columns that text takes; a byte that is no character of the locale counts as one. */
size_t qn_text_width(const char *text);

/**
 * A copy of text that is safe to show: control characters, which could steer the terminal, become "\n", "\t" or "\xNN".
 * @return NULL when memory is short
 */
char *qn_clean_text(qn_arena *arena, const char *text);

/** Where qn_clip_text() takes away. */
typedef enum qn_clip { QN_CLIP_END, QN_CLIP_FRONT } qn_clip;

/**
 * A copy of text that takes at most width columns; what is missing is shown by an ellipsis.
 * @return NULL when memory is short
 */
char *qn_clip_text(qn_arena *arena, const char *text, size_t width, qn_clip side, bool is_utf8);

/**
 * Prints text and a newline, each line indented and wrapped at words to width columns; text may hold newlines.
 * @param column columns already used on the first line
 */
void qn_print_wrapped(FILE *file, const char *text, size_t column, size_t indent, size_t width);

/** Prints "quern: LABEL: message" in a style on one stream; control characters but newlines are made visible. */
void qn_print_message(const qn_terminal *t, qn_style style, const char *label, const char *message);

#endif
