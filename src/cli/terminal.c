/* SPDX-License-Identifier: MIT */
/* terminal.c: colours, widths, and text made safe to show. */
#define _XOPEN_SOURCE 700 /* wcwidth() */
#include "cli/terminal.h"

#include <langinfo.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

enum { DEFAULT_WIDTH = 80, MIN_WIDTH = 20, MAX_WIDTH = 1000 };

qn_terminal qn_terminal_of(FILE *file) {
    const char *term = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");
    qn_terminal t = {.file = file, .is_tty = isatty(fileno(file)) == 1};
    t.can_redraw = t.is_tty && term != NULL && term[0] != '\0' && strcmp(term, "dumb") != 0;
    t.has_color = t.can_redraw && (no_color == NULL || no_color[0] == '\0');
    t.is_utf8 = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    return t;
}

static unsigned plausible_width(unsigned long n) {
    return n < MIN_WIDTH ? MIN_WIDTH : n > MAX_WIDTH ? MAX_WIDTH : (unsigned)n;
}

unsigned qn_terminal_width(const qn_terminal *t) {
    const char *columns = getenv("COLUMNS");
    char *end = NULL;
    const unsigned long n = columns == NULL ? 0 : strtoul(columns, &end, 10);
    if (n > 0 && *end == '\0') {
        return plausible_width(n);
    }
    struct winsize size;
    if (t->is_tty && ioctl(fileno(t->file), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) {
        return plausible_width(size.ws_col);
    }
    return DEFAULT_WIDTH;
}

const char *qn_terminal_style(const qn_terminal *t, qn_style style) {
    if (!t->has_color) {
        return "";
    }
    switch (style) {
    case QN_STYLE_NONE: return "\033[0m";
    case QN_STYLE_BOLD: return "\033[1m";
    case QN_STYLE_DIM: return "\033[2m";
    case QN_STYLE_RED: return "\033[1;31m";
    case QN_STYLE_YELLOW: return "\033[33m";
    case QN_STYLE_GREEN: return "\033[32m";
    }
    return "";
}

/* Bytes of the character at text (at least 1 unless at the end) and the columns it takes. */
static size_t char_at(const char *text, size_t *columns) {
    mbstate_t state;
    wchar_t c;
    memset(&state, 0, sizeof state);
    const size_t n = mbrtowc(&c, text, strlen(text), &state);
    if (n == 0 || n > MB_CUR_MAX) { /* also (size_t)-1 and -2: not a character here */
        *columns = *text != '\0';
        return *text != '\0';
    }
    const int width = wcwidth(c);
    *columns = width < 0 ? 1 : (size_t)width;
    return n;
}

size_t qn_text_width(const char *text) {
    size_t total = 0;
    while (*text != '\0') {
        size_t columns;
        text += char_at(text, &columns);
        total += columns;
    }
    return total;
}

/* Writes what stands for one byte to out (room for 5) and returns its length. C1 controls in UTF-8 are C2 80..9F. */
static size_t clean_byte(const char *text, size_t i, char *out) {
    const unsigned char c = (unsigned char)text[i];
    const bool is_c1 = c >= 0x80 && c < 0xa0 && i > 0 && (unsigned char)text[i - 1] == 0xc2;
    if (c == '\n' || c == '\t') {
        out[0] = '\\';
        out[1] = c == '\n' ? 'n' : 't';
        return 2;
    }
    if (c < 0x20 || c == 0x7f || is_c1) {
        return (size_t)snprintf(out, 5, "\\x%02x", c);
    }
    out[0] = (char)c;
    return 1;
}

char *qn_clean_text(qn_arena *arena, const char *text) {
    const size_t len = strlen(text);
    char *out = qn_arena_array(arena, len + 1, 5);
    if (out == NULL) {
        return NULL;
    }
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        n += clean_byte(text, i, out + n);
    }
    out[n] = '\0';
    return out;
}

/* How many bytes of text fit in width columns. */
static size_t fitting_bytes(const char *text, size_t width) {
    size_t used = 0;
    size_t n = 0;
    while (text[n] != '\0') {
        size_t columns;
        const size_t step = char_at(text + n, &columns);
        if (used + columns > width) {
            break;
        }
        used += columns;
        n += step;
    }
    return n;
}

char *qn_clip_text(qn_arena *arena, const char *text, size_t width, qn_clip side, bool is_utf8) {
    const char *ellipsis = is_utf8 ? "\xe2\x80\xa6" : "...";
    const size_t ellipsis_width = is_utf8 ? 1 : 3;
    const size_t total = qn_text_width(text);
    if (total <= width || width <= ellipsis_width) {
        return qn_arena_copy(arena, text, total <= width ? strlen(text) : fitting_bytes(text, width));
    }
    const size_t kept = width - ellipsis_width;
    if (side == QN_CLIP_END) {
        return qn_arena_printf(arena, "%.*s%s", (int)fitting_bytes(text, kept), text, ellipsis);
    }
    while (*text != '\0' && qn_text_width(text) > kept) {
        size_t columns;
        text += char_at(text, &columns);
    }
    return qn_arena_printf(arena, "%s%s", ellipsis, text);
}

void qn_print_wrapped(FILE *file, const char *text, size_t column, size_t indent, size_t width) {
    bool is_first = true; /* of the words on this line */
    while (*text != '\0') {
        const size_t len = strcspn(text, " \n");
        if (len > 0 && !is_first && column + 1 + len > width) {
            (void)fputc('\n', file);
            column = 0;
            is_first = true;
        }
        if (len > 0) {
            const size_t gap = !is_first ? 1 : column < indent ? indent - column : 0;
            (void)fprintf(file, "%*s%.*s", (int)gap, "", (int)len, text);
            column += gap + len;
            is_first = false;
        }
        text += len;
        if (*text == '\n') {
            (void)fputc('\n', file);
            column = 0;
            is_first = true;
        }
        text += *text != '\0';
    }
    (void)fputc('\n', file);
}

void qn_print_message(const qn_terminal *t, qn_style style, const char *label, const char *message) {
    (void)fprintf(t->file, "quern: %s%s:%s ", qn_terminal_style(t, style), label, qn_terminal_style(t, QN_STYLE_NONE));
    for (size_t i = 0; message[i] != '\0'; i++) {
        char out[5];
        if (message[i] == '\n') {
            (void)fputc('\n', t->file);
        } else {
            (void)fwrite(out, 1, clean_byte(message, i, out), t->file);
        }
    }
    (void)fputc('\n', t->file);
}
