/* SPDX-License-Identifier: MIT */
/* table.c: columns are measured when the table is printed; text from files is cleaned when it comes in. */
#include "cli/table.h"

#include "base/buffer.h"

#include <stdlib.h>
#include <string.h>

enum { INDENT = 2, GAP = 2, FACT_WIDTH = 15, MIN_CLIPPED = 12 };

/* value scaled below 1000 with three significant digits, and a unit. */
static qn_human scaled(double value, const char *const *units, size_t n_units, const char *suffix) {
    qn_human out;
    size_t i = 0;
    while (value >= 999.5 && i + 1 < n_units) {
        value /= 1000;
        i++;
    }
    const int decimals = i == 0 || value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    const char *space = units[i][0] == '\0' && suffix[0] == '\0' ? "" : " ";
    (void)snprintf(out.text, sizeof out.text, "%.*f%s%s%s", decimals, value, space, units[i], suffix);
    return out;
}

static const char *const size_units[] = {"", "k", "M", "G", "T", "P", "E"};
static const char *const count_units[] = {"", "K", "M", "B", "T"};

qn_human qn_human_size(uint64_t n_bytes) {
    return scaled((double)n_bytes, size_units, 7, "B");
}

qn_human qn_human_rate(double bytes_a_second) {
    return scaled(bytes_a_second > 0 ? bytes_a_second : 0, size_units, 7, "B/s");
}

qn_human qn_human_count(uint64_t n) {
    return scaled((double)n, count_units, 5, "");
}

qn_human qn_human_number(uint64_t n) {
    char digits[24];
    qn_human out;
    const size_t len = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    size_t at = 0;
    for (size_t i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            out.text[at++] = ',';
        }
        out.text[at++] = digits[i];
    }
    out.text[at] = '\0';
    return out;
}

qn_human qn_human_seconds(double seconds) {
    qn_human out;
    if (!(seconds < 1e9)) { /* also NaN */
        (void)snprintf(out.text, sizeof out.text, "-");
    } else if (seconds < 59.95) {
        const double s = seconds > 0 ? seconds : 0;
        (void)snprintf(out.text, sizeof out.text, "%.*f s", s < 9.995 ? 2 : 1, s);
    } else {
        const unsigned long s = (unsigned long)(seconds + 0.5);
        if (s < 3600) {
            (void)snprintf(out.text, sizeof out.text, "%lu:%02lu", s / 60, s % 60);
        } else {
            (void)snprintf(out.text, sizeof out.text, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
        }
    }
    return out;
}

qn_human qn_human_bits(double bits) {
    qn_human out;
    if (bits > 0 && bits < 1000) {
        (void)snprintf(out.text, sizeof out.text, "%.2f", bits);
    } else {
        (void)snprintf(out.text, sizeof out.text, "-");
    }
    return out;
}

struct qn_table {
    qn_arena *arena;
    const char *aligns;
    size_t n_columns;
    const char **cells; /* row-major; the first n_columns are the heading */
    size_t n_cells;
    size_t cap;
};

qn_table *qn_table_new(const char *aligns) {
    qn_table *t = qn_new_array(1, sizeof *t);
    if (t == NULL) {
        return NULL;
    }
    *t = (qn_table){.arena = qn_arena_new(), .aligns = aligns, .n_columns = strlen(aligns)};
    if (t->arena == NULL) {
        qn_table_free(t);
        return NULL;
    }
    return t;
}

void qn_table_free(qn_table *table) {
    if (table != NULL) {
        qn_arena_free(table->arena);
        free((void *)table->cells);
        free(table);
    }
}

static char *clean_format(qn_arena *arena, const char *fmt, va_list args) {
    va_list again;
    va_copy(again, args);
    const int len = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    char *text = len < 0 ? NULL : qn_arena_array(arena, (uint64_t)len + 1, 1);
    if (text == NULL) {
        return NULL;
    }
    (void)vsnprintf(text, (size_t)len + 1, fmt, args);
    return qn_clean_text(arena, text);
}

void qn_table_add(qn_table *table, const char *fmt, ...) {
    if (table == NULL) {
        return;
    }
    if (table->n_cells == table->cap) {
        const size_t cap = table->cap == 0 ? 64 : table->cap * 2;
        const char **cells = qn_resize_array((void *)table->cells, cap, sizeof *cells);
        if (cells == NULL) {
            return;
        }
        table->cells = cells;
        table->cap = cap;
    }
    va_list args;
    va_start(args, fmt);
    const char *text = clean_format(table->arena, fmt, args);
    va_end(args);
    table->cells[table->n_cells++] = text == NULL ? "" : text;
}

void qn_table_add_shape(qn_table *table, const json_t *shape) {
    char text[128] = "";
    size_t len = 0;
    for (size_t i = 0; i < json_array_size(shape) && len < sizeof text - 32; i++) {
        uint64_t n = 0;
        (void)qn_json_value_u64(json_array_get(shape, i), &n);
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%llu", i > 0 ? " x " : "", (unsigned long long)n);
    }
    qn_table_add(table, "%s", text);
}

size_t qn_table_rows(const qn_table *table) {
    return table == NULL || table->n_cells < table->n_columns ? 0 : table->n_cells / table->n_columns - 1;
}

/* Measures the columns and, on a terminal, takes what is too much from the columns that may be shortened. */
static void measure(const qn_table *t, const qn_terminal *to, size_t *widths) {
    size_t total = INDENT + GAP * (t->n_columns - 1);
    for (size_t c = 0; c < t->n_columns; c++) {
        for (size_t i = c; i < t->n_cells; i += t->n_columns) {
            const size_t w = qn_text_width(t->cells[i]);
            widths[c] = w > widths[c] ? w : widths[c];
        }
        total += widths[c];
    }
    const size_t limit = to->is_tty ? qn_terminal_width(to) : SIZE_MAX;
    for (size_t c = t->n_columns; c-- > 0 && total > limit;) {
        if ((t->aligns[c] == 'p' || t->aligns[c] == 't') && widths[c] > MIN_CLIPPED) {
            const size_t most = widths[c] - MIN_CLIPPED;
            const size_t less = total - limit < most ? total - limit : most;
            widths[c] -= less;
            total -= less;
        }
    }
}

static void put_cell(const qn_table *t, const qn_terminal *to, size_t c, size_t width, const char *cell,
                     qn_buffer *row) {
    const char align = t->aligns[c];
    const char *text = cell;
    if (qn_text_width(cell) > width) {
        text = qn_clip_text(t->arena, cell, width, align == 'p' ? QN_CLIP_FRONT : QN_CLIP_END, to->is_utf8);
        text = text == NULL ? "" : text;
    }
    const int padding = (int)(width - qn_text_width(text));
    qn_buffer_printf(row, "%*s%s%*s%*s", align == 'r' ? padding : 0, "", text, align == 'r' ? 0 : padding, "", GAP, "");
}

static void print_row(const qn_table *t, const qn_terminal *to, const size_t *widths, size_t first, qn_buffer *row) {
    row->len = 0;
    qn_buffer_printf(row, "%*s", INDENT, "");
    for (size_t c = 0; c < t->n_columns; c++) {
        put_cell(t, to, c, widths[c], t->cells[first + c], row);
    }
    while (row->len > 0 && row->data[row->len - 1] == ' ') {
        row->len--;
    }
    const bool is_heading = first == 0;
    (void)fputs(is_heading ? qn_terminal_style(to, QN_STYLE_BOLD) : "", to->file);
    (void)fwrite(row->data, 1, row->len, to->file);
    (void)fprintf(to->file, "%s\n", is_heading ? qn_terminal_style(to, QN_STYLE_NONE) : "");
}

void qn_table_print(const qn_table *table, const qn_terminal *to) {
    size_t *widths = table == NULL ? NULL : qn_new_array(table->n_columns, sizeof *widths);
    if (widths == NULL) {
        return;
    }
    qn_buffer row = {0};
    measure(table, to, widths);
    for (size_t i = 0; i + table->n_columns <= table->n_cells; i += table->n_columns) {
        print_row(table, to, widths, i, &row);
    }
    qn_buffer_clear(&row);
    free(widths);
}

void qn_print_fact(const qn_terminal *to, const char *label, const char *fmt, ...) {
    qn_arena *arena = qn_arena_new();
    if (arena == NULL) {
        return;
    }
    va_list args;
    va_start(args, fmt);
    const char *text = clean_format(arena, fmt, args);
    va_end(args);
    const size_t used = INDENT + FACT_WIDTH + GAP;
    (void)fprintf(to->file, "%*s%s%-*s%s%*s", INDENT, "", qn_terminal_style(to, QN_STYLE_BOLD), FACT_WIDTH, label,
                  qn_terminal_style(to, QN_STYLE_NONE), GAP, "");
    qn_print_wrapped(to->file, text == NULL ? "" : text, used, used, to->is_tty ? qn_terminal_width(to) : SIZE_MAX);
    qn_arena_free(arena);
}
