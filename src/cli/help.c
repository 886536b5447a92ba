/* SPDX-License-Identifier: MIT */
/* help.c: help for a person at a terminal, wrapped to its width; 80 columns elsewhere. */
#include "cli/help.h"

#include "cli/terminal.h"
#include "quern/quern.h"

#include <string.h>

enum { MAX_TEXT_WIDTH = 100, OPTION_COLUMN = 30, COMMAND_COLUMN = 12 };

const char qn_purpose[] =
    "quern turns what training leaves behind (a Hugging Face folder, LoRA adapters, a Trainer run) "
    "into GGUF files, as many types as asked in one pass over the weights.";

const char qn_exit_codes[] = "  0    done\n"
                             "  1    failed\n"
                             "  2    the command line is wrong\n"
                             "  3    a model or type that quern does not support\n"
                             "  130  interrupted; the same command goes on\n";

const qn_example qn_environment[] = {
    {"HF_HOME", "where the Hugging Face cache is, to find a base model by its Hub name"},
    {"NO_COLOR", "when set, no colours"},
    {"COLUMNS", "width of the output; else the terminal's"},
    {NULL, NULL},
};

static size_t text_width(FILE *file) {
    const qn_terminal t = qn_terminal_of(file);
    const unsigned width = qn_terminal_width(&t);
    return width > MAX_TEXT_WIDTH ? MAX_TEXT_WIDTH : width;
}

static void print_heading(FILE *file, const char *text) {
    const qn_terminal t = qn_terminal_of(file);
    (void)fprintf(file, "\n%s%s%s\n", qn_terminal_style(&t, QN_STYLE_BOLD), text, qn_terminal_style(&t, QN_STYLE_NONE));
}

static void print_examples(FILE *file, const qn_example *examples, size_t n) {
    for (size_t i = 0; i < n; i++) {
        (void)fprintf(file, "  %s\n", examples[i].line);
        qn_print_wrapped(file, examples[i].what, 0, 6, text_width(file));
    }
}

void qn_print_overview(FILE *file) {
    static const qn_example first[] = {
        {"quern pack samples/miller-base --run samples/miller-sft -t Q4_K_M,Q8_0 -o out",
         "merge the best checkpoint of a run into its base and write two files"},
        {"quern pack --run ~/runs/my-sft", "find the base by itself; write the unquantised file and Q4_K_M"},
    };
    size_t n;
    const qn_command *const *commands = qn_commands(&n);
    qn_print_wrapped(file, qn_purpose, 0, 0, text_width(file));
    print_heading(file, "Usage");
    (void)fputs("  quern COMMAND [options]\n", file);
    print_heading(file, "Commands");
    for (size_t i = 0; i < n; i++) {
        if (!commands[i]->is_hidden) {
            (void)fprintf(file, "  %-*s%s\n", COMMAND_COLUMN, commands[i]->name, commands[i]->summary);
        }
    }
    print_heading(file, "To begin");
    print_examples(file, first, sizeof first / sizeof first[0]);
    print_heading(file, "Options");
    (void)fputs("  -h, --help       this text; `quern COMMAND --help` tells a command's options\n"
                "  -V, --version    the version\n",
                file);
    print_heading(file, "Exit codes");
    (void)fputs(qn_exit_codes, file);
    (void)fputs("\nThe manual: man quern, man quern-pack; docs/ in the source.\n"
                "Shell completion: quern completion bash|zsh|fish.\n",
                file);
}

static void print_option(FILE *file, const qn_option *o) {
    char left[64];
    const size_t width = text_width(file);
    const int used = snprintf(left, sizeof left, "  %c%c%c --%s%s%s", o->letter != 0 ? '-' : ' ',
                              o->letter != 0 ? o->letter : ' ', o->letter != 0 ? ',' : ' ', o->name,
                              o->argument != NULL ? " " : "", o->argument != NULL ? o->argument : "");
    (void)fputs(left, file);
    size_t column = (size_t)used;
    if (column + 2 > OPTION_COLUMN) {
        (void)fputc('\n', file);
        column = 0;
    }
    char text[512];
    (void)snprintf(text, sizeof text, "%s%s%s%s%s%s", o->help, o->words != NULL ? ": " : "",
                   o->words != NULL ? o->words : "", o->fallback != NULL ? " (default: " : "",
                   o->fallback != NULL ? o->fallback : "", o->fallback != NULL ? ")" : "");
    qn_print_wrapped(file, text, column, OPTION_COLUMN, width);
}

void qn_print_command_help(FILE *file, const qn_command *command) {
    static const qn_option help = {.name = "help", .letter = 'h', .help = "this text"};
    const qn_option_table *table = &command->options;
    const char *group = NULL;
    (void)fprintf(file, "quern %s: %s\n", command->name, command->summary);
    print_heading(file, "Usage");
    (void)fprintf(file, "  quern %s [options]%s%s\n\n", command->name, command->operands[0] != '\0' ? " " : "",
                  command->operands);
    qn_print_wrapped(file, command->about, 0, 0, text_width(file));
    for (size_t i = 0; i < table->n; i++) {
        if (group == NULL || strcmp(group, table->items[i].group) != 0) {
            group = table->items[i].group;
            print_heading(file, group);
        }
        print_option(file, &table->items[i]);
    }
    if (group == NULL) {
        print_heading(file, "Options");
    }
    print_option(file, &help);
    if (command->n_examples > 0) {
        print_heading(file, "Examples");
        print_examples(file, command->examples, command->n_examples);
    }
    if (!command->is_hidden && command != &qn_help_command) {
        (void)fprintf(file, "\nMore: man quern-%s\n", command->name);
    }
}

static qn_status run_help(const void *settings, const qn_operands *operands, qn_error *err) {
    const qn_command *command;
    (void)settings;
    if (operands->n == 0) {
        qn_print_overview(stdout);
        return QN_OK;
    }
    QN_TRY(qn_command_find(operands->items[0], &command, err));
    qn_print_command_help(stdout, command);
    return QN_OK;
}

static const qn_example help_examples[] = {{"quern help pack", "the same as quern pack --help"}};

const qn_command qn_help_command = {
    .name = "help",
    .operands = "[COMMAND]",
    .summary = "explain a command",
    .about = "Explains a command: what it does, its options and examples.",
    .examples = help_examples,
    .n_examples = 1,
    .max_operands = 1,
    .settings_size = 1,
    .run = run_help,
};
