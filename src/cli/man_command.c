/* SPDX-License-Identifier: MIT */
/* man_command.c: `quern man [COMMAND]`, manual pages from the tables, as text for man(7). */
#include "cli/commands.h"
#include "cli/help.h"
#include "quern/quern.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Text in which groff finds nothing to act on: hyphens, backslashes, and a dot or quote at a line's start. */
static void put_span(const char *text, size_t len) {
    bool is_line_start = true;
    for (size_t i = 0; i < len; i++) {
        if (is_line_start && (text[i] == '.' || text[i] == '\'')) {
            (void)fputs("\\&", stdout);
        }
        is_line_start = text[i] == '\n';
        switch (text[i]) {
        case '-': (void)fputs("\\-", stdout); break;
        case '\\': (void)fputs("\\e", stdout); break;
        default: (void)fputc(text[i], stdout); break;
        }
    }
}

static void put_text(const char *text) {
    put_span(text, strlen(text));
}

/* Paragraphs are separated by an empty line. */
static void put_paragraphs(const char *text) {
    while (*text != '\0') {
        const char *end = strstr(text, "\n\n");
        const size_t len = end == NULL ? strlen(text) : (size_t)(end - text);
        (void)fputs(".PP\n", stdout);
        put_span(text, len);
        (void)fputc('\n', stdout);
        text += len + (end == NULL ? 0 : 2);
    }
}

static void put_upper(const char *text) {
    for (; *text != '\0'; text++) {
        (void)fputc(toupper((unsigned char)*text), stdout);
    }
}

static void put_title(const char *command, const char *summary) {
    (void)fputs(".TH QUERN", stdout);
    (void)fputs(command[0] != '\0' ? "\\-" : "", stdout);
    put_upper(command);
    (void)printf(" 1 \"\" \"quern %s\" \"quern\"\n.SH NAME\nquern%s%s \\- ", qn_version(),
                 command[0] != '\0' ? "\\-" : "", command);
    put_text(summary);
    (void)fputc('\n', stdout);
}

static void put_option(const qn_option *o) {
    (void)fputs(".TP\n", stdout);
    if (o->letter != 0) {
        (void)printf("\\fB\\-%c\\fR, ", o->letter);
    }
    (void)fputs("\\fB\\-\\-", stdout);
    put_text(o->name);
    (void)fputs("\\fR", stdout);
    if (o->argument != NULL) {
        (void)fputs(" \\fI", stdout);
        put_text(o->argument);
        (void)fputs("\\fR", stdout);
    }
    (void)fputc('\n', stdout);
    put_text(o->help);
    if (o->words != NULL) {
        (void)fputs(": ", stdout);
        put_text(o->words);
    }
    if (o->fallback != NULL) {
        (void)fputs(" (default: ", stdout);
        put_text(o->fallback);
        (void)fputc(')', stdout);
    }
    (void)fputs(".\n", stdout);
}

static void put_options(const qn_option_table *table) {
    static const qn_option help = {.name = "help", .letter = 'h', .help = "Explain the command and its options"};
    const char *group = NULL;
    (void)fputs(".SH OPTIONS\n", stdout);
    for (size_t i = 0; i < table->n; i++) {
        if (group == NULL || strcmp(group, table->items[i].group) != 0) {
            group = table->items[i].group;
            (void)printf(".SS %s\n", group);
        }
        put_option(&table->items[i]);
    }
    put_option(&help);
}

static void put_examples(const qn_example *examples, size_t n) {
    (void)fputs(n > 0 ? ".SH EXAMPLES\n" : "", stdout);
    for (size_t i = 0; i < n; i++) {
        (void)fputs(".PP\n", stdout);
        put_text(examples[i].what);
        (void)fputs(":\n.PP\n.RS 4\n.nf\n", stdout);
        put_text(examples[i].line);
        (void)fputs("\n.fi\n.RE\n", stdout);
    }
}

/* Each line holds a code and what it means, with spaces before both. */
static void put_exit_codes(void) {
    (void)fputs(".SH EXIT STATUS\n", stdout);
    for (const char *line = qn_exit_codes; *line != '\0';) {
        const char *code = line + strspn(line, " ");
        const char *meaning = code + strcspn(code, " ");
        (void)printf(".TP\n%.*s\n", (int)(meaning - code), code);
        meaning += strspn(meaning, " ");
        put_span(meaning, strcspn(meaning, "\n"));
        (void)fputs(".\n", stdout);
        line = meaning + strcspn(meaning, "\n") + 1;
    }
}

static void put_environment(void) {
    (void)fputs(".SH ENVIRONMENT\n", stdout);
    for (const qn_example *e = qn_environment; e->line != NULL; e++) {
        (void)printf(".TP\n%s\n", e->line);
        put_text(e->what);
        (void)fputs(".\n", stdout);
    }
}

static void put_see_also(const qn_command *except) {
    size_t n;
    const qn_command *const *commands = qn_commands(&n);
    (void)fputs(".SH SEE ALSO\n", stdout);
    if (except != NULL) {
        (void)fputs(".BR quern (1)\n", stdout);
    }
    for (size_t i = 0; i < n; i++) {
        if (!commands[i]->is_hidden && commands[i] != except && commands[i] != &qn_help_command) {
            (void)printf(".BR quern\\-%s (1)\n", commands[i]->name);
        }
    }
}

static void put_command_page(const qn_command *command) {
    put_title(command->name, command->summary);
    (void)printf(".SH SYNOPSIS\n.B quern %s\n[\\fIoptions\\fR] %s\n.SH DESCRIPTION\n", command->name,
                 command->operands);
    put_paragraphs(command->about);
    put_options(&command->options);
    put_examples(command->examples, command->n_examples);
    put_exit_codes();
    put_environment();
    put_see_also(command);
}

static void put_main_page(void) {
    size_t n;
    const qn_command *const *commands = qn_commands(&n);
    put_title("", "training output to GGUF files in one streaming pass");
    (void)fputs(".SH SYNOPSIS\n.B quern\n\\fICOMMAND\\fR [\\fIoptions\\fR]\n.SH DESCRIPTION\n", stdout);
    put_paragraphs(qn_purpose);
    (void)fputs(".SH COMMANDS\n", stdout);
    for (size_t i = 0; i < n; i++) {
        if (!commands[i]->is_hidden) {
            (void)printf(".TP\n\\fBquern %s\\fR\n", commands[i]->name);
            put_text(commands[i]->summary);
            (void)fputs(".\n", stdout);
        }
    }
    (void)fputs(
        ".SH OPTIONS\n.TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nExplain the program; after a command, the command.\n"
        ".TP\n\\fB\\-V\\fR, \\fB\\-\\-version\\fR\nPrint the version.\n",
        stdout);
    put_exit_codes();
    put_environment();
    put_see_also(NULL);
}

static qn_status run_man(const void *settings, const qn_operands *operands, qn_error *err) {
    const qn_command *command;
    (void)settings;
    if (operands->n == 0) {
        put_main_page();
        return QN_OK;
    }
    QN_TRY(qn_command_find(operands->items[0], &command, err));
    put_command_page(command);
    return QN_OK;
}

const qn_command qn_man_command = {
    .name = "man",
    .operands = "[COMMAND]",
    .summary = "print a manual page",
    .about = "Prints the manual page of quern, or of one command, as text for man(1). The build installs these.",
    .max_operands = 1,
    .settings_size = 1,
    .is_hidden = true,
    .run = run_man,
};
