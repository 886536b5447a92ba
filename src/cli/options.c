/* SPDX-License-Identifier: MIT */
/* options.c: getopt_long() driven by a table, with messages that name what was meant. */
#include "cli/options.h"

#include "base/buffer.h"
#include "base/checked.h"
#include "base/nearest.h"

#include <ctype.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* getopt_long() returns FIRST_LONG + index for the option at an index of the table. */
enum { FIRST_LONG = 256, HELP_CODE = 'h', MAX_NEAREST = 3 };

/* What getopt_long() wants to see of a table. */
typedef struct parser {
    const qn_option_table *table;
    struct option *longs;
    qn_buffer letters;
} parser;

static qn_status parser_init(parser *p, const qn_option_table *table, qn_error *err) {
    *p = (parser){.table = table, .longs = qn_new_array(table->n + 2, sizeof *p->longs)};
    qn_buffer_text(&p->letters, ":h");
    for (size_t i = 0; i < table->n && p->longs != NULL; i++) {
        const qn_option *o = &table->items[i];
        const bool has_argument = o->kind != QN_OPTION_FLAG;
        p->longs[i] = (struct option){o->name, has_argument ? required_argument : no_argument, NULL,
                                      FIRST_LONG + (int)i};
        if (o->letter != 0) {
            qn_buffer_printf(&p->letters, "%c%s", o->letter, has_argument ? ":" : "");
        }
    }
    qn_buffer_u8(&p->letters, 0);
    if (p->longs == NULL || p->letters.has_failed) {
        return qn_fail_nomem(err, "option table", table->n);
    }
    p->longs[table->n] = (struct option){"help", no_argument, NULL, HELP_CODE};
    return QN_OK;
}

static void parser_clear(parser *p) {
    free(p->longs);
    qn_buffer_clear(&p->letters);
}

static const qn_option *option_of_code(const qn_option_table *table, int code) {
    if (code >= FIRST_LONG) {
        return &table->items[code - FIRST_LONG];
    }
    for (size_t i = 0; i < table->n; i++) {
        if (table->items[i].letter == code) {
            return &table->items[i];
        }
    }
    return NULL;
}

/* typed: the word without its dashes. */
static qn_status fail_unknown_long(const parser *p, const char *typed, qn_error *err) {
    char name[64];
    const char *names[128];
    const char *found[MAX_NEAREST];
    size_t n = 0;
    (void)snprintf(name, sizeof name, "%.*s", (int)strcspn(typed, "="), typed);
    for (size_t i = 0; i <= p->table->n && n < sizeof names / sizeof names[0]; i++) {
        names[n++] = p->longs[i].name;
        if (strcmp(name, p->longs[i].name) == 0) {
            return qn_fail(err, QN_E_USAGE, "option '--%s' takes no argument", name);
        }
    }
    qn_buffer message = {0};
    size_t n_same_start = 0;
    for (size_t i = 0; i < n; i++) {
        if (name[0] != '\0' && strncmp(names[i], name, strlen(name)) == 0) {
            qn_buffer_printf(&message, "%s--%s", n_same_start++ > 0 ? ", " : "", names[i]);
        }
    }
    const bool is_ambiguous = n_same_start > 1;
    const size_t n_found = is_ambiguous ? 0 : qn_nearest(name, names, n, found, MAX_NEAREST);
    for (size_t i = 0; i < n_found; i++) {
        qn_buffer_printf(&message, "%s--%s", i > 0 ? ", " : "; did you mean ", found[i]);
    }
    char *text = qn_buffer_take_text(&message);
    const char *shown = text == NULL ? "" : text;
    const qn_status status = is_ambiguous
        ? qn_fail(err, QN_E_USAGE, "option '--%s' could be %s", name, shown)
        : qn_fail(err, QN_E_USAGE, "unknown option '--%s'%s%s", name, shown, n_found > 0 ? "?" : "");
    free(text);
    return status;
}

/* getopt leaves the letter in optopt, or for a long name 0 (unknown) or its code (an argument where none belongs). */
static qn_status fail_unknown(const parser *p, char *const *argv, qn_error *err) {
    if (optopt == 0 || optopt >= FIRST_LONG || optopt == HELP_CODE) {
        return fail_unknown_long(p, argv[optind - 1] + strspn(argv[optind - 1], "-"), err);
    }
    return qn_fail(err, QN_E_USAGE, "unknown option '-%c'", optopt);
}

static qn_status fail_missing(const qn_option_table *table, qn_error *err) {
    const qn_option *o = option_of_code(table, optopt);
    if (o == NULL) {
        return qn_fail(err, QN_E_USAGE, "an option lacks its argument");
    }
    return qn_fail(err, QN_E_USAGE, "option '--%s' needs an argument: --%s %s", o->name, o->name, o->argument);
}

/* Decimal digits. @return how many; 0 when there are none, or too many for 64 bits */
static size_t parse_digits(const char *text, uint64_t *out) {
    uint64_t v = 0;
    size_t n = 0;
    while (text[n] >= '0' && text[n] <= '9') {
        if (!qn_mul_u64(v, 10, &v) || !qn_add_u64(v, (uint64_t)(text[n] - '0'), &v)) {
            return 0;
        }
        n++;
    }
    *out = v;
    return n;
}

static bool parse_count(const char *text, uint64_t *out) {
    const size_t n = parse_digits(text, out);
    return n > 0 && text[n] == '\0';
}

/* "500M", "4.5G": K, M, G stand for 1000, 1000² and 1000³; a fraction needs one of them. */
static bool parse_size(const char *text, uint64_t *out) {
    static const char units[] = "KMG";
    uint64_t whole = 0;
    uint64_t fraction = 0;
    uint64_t fraction_unit = 1;
    uint64_t scale = 1;
    size_t n = parse_digits(text, &whole);
    if (n == 0) {
        return false;
    }
    if (text[n] == '.') {
        const size_t n_fraction = parse_digits(text + n + 1, &fraction);
        if (n_fraction == 0 || n_fraction > 9) {
            return false;
        }
        for (size_t i = 0; i < n_fraction; i++) {
            fraction_unit *= 10;
        }
        n += 1 + n_fraction;
    }
    if (text[n] != '\0') {
        const char *unit = strchr(units, toupper((unsigned char)text[n]));
        if (unit == NULL || text[n + 1] != '\0') {
            return false;
        }
        for (const char *u = units; u <= unit; u++) {
            scale *= 1000;
        }
    }
    if (fraction_unit > 1 && scale == 1) {
        return false;
    }
    /* At most 10^9 times 10^9: the product of fraction and scale fits. */
    return qn_mul_u64(whole, scale, &whole) && qn_add_u64(whole, fraction * scale / fraction_unit, out);
}

static qn_status append_text(qn_texts *list, const char *text, qn_error *err) {
    const char **items = qn_resize_array((void *)list->items, (uint64_t)list->n + 1, sizeof *items);
    if (items == NULL) {
        return qn_fail_nomem(err, "options", list->n * sizeof *items);
    }
    list->items = items;
    list->items[list->n++] = text;
    return QN_OK;
}

static qn_status store(const qn_option *o, const char *text, void *settings, qn_error *err) {
    void *field = (char *)settings + o->offset;
    switch (o->kind) {
    case QN_OPTION_FLAG: *(bool *)field = true; return QN_OK;
    case QN_OPTION_TEXT: *(const char **)field = text; return QN_OK;
    case QN_OPTION_LIST: return append_text(field, text, err);
    case QN_OPTION_COUNT:
        return parse_count(text, field)
            ? QN_OK
            : qn_fail(err, QN_E_USAGE, "option '--%s' needs a whole number, not '%s'", o->name, text);
    case QN_OPTION_SIZE:
        return parse_size(text, field)
            ? QN_OK
            : qn_fail(err, QN_E_USAGE, "option '--%s' needs a size such as 500M or 4.5G, not '%s'", o->name, text);
    }
    return qn_fail(err, QN_E_INTERNAL, "option '--%s' has no kind", o->name);
}

static qn_status parse_all(const parser *p, int argc, char **argv, void *settings, qn_operands *operands,
                           qn_error *err) {
    optind = 1;
    opterr = 0;
    for (;;) {
        const int code = getopt_long(argc, argv, (const char *)p->letters.data, p->longs, NULL);
        if (code == -1) {
            break;
        }
        if (code == HELP_CODE) {
            operands->wants_help = true;
            return QN_OK;
        }
        if (code == '?') {
            return fail_unknown(p, argv, err);
        }
        if (code == ':') {
            return fail_missing(p->table, err);
        }
        QN_TRY(store(option_of_code(p->table, code), optarg, settings, err));
    }
    operands->items = (const char *const *)(argv + optind);
    operands->n = (size_t)(argc - optind);
    return QN_OK;
}

qn_status qn_options_parse(const qn_option_table *table, int argc, char **argv, void *settings, qn_operands *operands,
                           qn_error *err) {
    parser p;
    *operands = (qn_operands){0};
    qn_status status = parser_init(&p, table, err);
    if (status == QN_OK) {
        status = parse_all(&p, argc, argv, settings, operands, err);
    }
    parser_clear(&p);
    return status;
}

void qn_options_clear(const qn_option_table *table, void *settings) {
    for (size_t i = 0; i < table->n; i++) {
        if (table->items[i].kind == QN_OPTION_LIST) {
            qn_texts *list = (qn_texts *)(void *)((char *)settings + table->items[i].offset);
            free((void *)list->items);
            *list = (qn_texts){0};
        }
    }
}
