/* SPDX-License-Identifier: MIT */
/* completion_command.c: `quern completion SHELL`, completion scripts for bash, zsh and fish from the option tables. */
#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

typedef void command_fn(const qn_command *command);

static void for_each_command(command_fn *fn) {
    size_t n;
    const qn_command *const *commands = qn_commands(&n);
    for (size_t i = 0; i < n; i++) {
        if (!commands[i]->is_hidden) {
            fn(commands[i]);
        }
    }
}

static void put_name(const qn_command *command) {
    (void)printf("%s ", command->name);
}

static bool takes_folder(const qn_option *o) {
    return o->argument != NULL && strncmp(o->argument, "DIR", 3) == 0;
}

static bool takes_file(const qn_option *o) {
    return o->argument != NULL && strcmp(o->argument, "FILE") == 0;
}

/* bash: one case a command, and within it one for the options whose arguments are known. */

static void put_bash_argument(const qn_option *o) {
    if (o->argument == NULL) {
        return;
    }
    (void)printf("            --%s", o->name);
    if (o->letter != 0) {
        (void)printf(" | -%c", o->letter);
    }
    if (o->words != NULL && o->kind == QN_OPTION_LIST) { /* only the part after the last comma is completed */
        (void)printf(") _quern_list '%s'; return ;;\n", o->words);
    } else if (o->words != NULL) {
        (void)printf(") COMPREPLY=($(compgen -W '%s' -- \"$cur\")); return ;;\n", o->words);
    } else if (takes_folder(o)) {
        (void)fputs(") COMPREPLY=($(compgen -d -- \"$cur\")); return ;;\n", stdout);
    } else if (takes_file(o)) {
        (void)fputs(") COMPREPLY=($(compgen -f -- \"$cur\")); return ;;\n", stdout);
    } else {
        (void)fputs(") return ;;\n", stdout);
    }
}

static void put_bash_command(const qn_command *command) {
    const qn_option_table *table = &command->options;
    (void)printf("    %s)\n        case $prev in\n", command->name);
    for (size_t i = 0; i < table->n; i++) {
        put_bash_argument(&table->items[i]);
    }
    (void)fputs("            *) ;;\n        esac\n        words='--help", stdout);
    for (size_t i = 0; i < table->n; i++) {
        (void)printf(" --%s", table->items[i].name);
    }
    (void)fputs("'\n        ;;\n", stdout);
}

static void put_bash(void) {
    (void)fputs("# bash completion for quern, made by `quern completion bash`\n"
                "_quern_list() {\n"
                "    local cur=${COMP_WORDS[COMP_CWORD]} head=\n"
                "    case $cur in\n"
                "    *,*) head=${cur%,*}, ;;\n"
                "    *) ;;\n"
                "    esac\n"
                "    COMPREPLY=($(compgen -P \"$head\" -W \"$1\" -- \"${cur##*,}\"))\n"
                "}\n"
                "_quern() {\n"
                "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} words=\n"
                "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
                "        COMPREPLY=($(compgen -W '",
                stdout);
    for_each_command(put_name);
    (void)fputs("--help --version' -- \"$cur\"))\n"
                "        return\n"
                "    fi\n"
                "    case ${COMP_WORDS[1]} in\n",
                stdout);
    for_each_command(put_bash_command);
    (void)fputs("    *) ;;\n"
                "    esac\n"
                "    case $cur in\n"
                "    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
                "    *) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
                "    esac\n"
                "}\n"
                "complete -o filenames -F _quern quern\n",
                stdout);
}

/* zsh: _arguments takes '(-t --types)'{-t,--types}'[help]:LIST:(words)'. Brackets, colons and quotes are escaped. */

static void put_zsh_text(const char *text) {
    for (; *text != '\0'; text++) {
        if (*text == '\'') {
            (void)fputs("'\\''", stdout);
        } else {
            (void)fputs(strchr("[]:\\", *text) != NULL ? "\\" : "", stdout);
            (void)fputc(*text, stdout);
        }
    }
}

static void put_zsh_option(const qn_option *o) {
    const bool is_list = o->kind == QN_OPTION_LIST;
    (void)fputs("            ", stdout);
    if (o->letter != 0) {
        (void)printf(is_list ? "'*'{-%c,--%s}'[" : "'(-%c --%s)'", o->letter, o->name);
        if (!is_list) {
            (void)printf("{-%c,--%s}'[", o->letter, o->name);
        }
    } else {
        (void)printf("'%s--%s[", is_list ? "*" : "", o->name);
    }
    put_zsh_text(o->help);
    (void)fputc(']', stdout);
    if (o->argument != NULL) {
        (void)fputc(':', stdout);
        put_zsh_text(o->argument);
        if (o->words != NULL) {
            (void)printf(is_list ? ":_values -s , type %s" : ":(%s)", o->words);
        } else {
            (void)fputs(takes_folder(o) ? ":_files -/" : takes_file(o) ? ":_files" : ": ", stdout);
        }
    }
    (void)fputs("' \\\n", stdout);
}

static void put_zsh_command(const qn_command *command) {
    const qn_option_table *table = &command->options;
    (void)printf("    %s)\n        _arguments \\\n", command->name);
    for (size_t i = 0; i < table->n; i++) {
        put_zsh_option(&table->items[i]);
    }
    (void)fputs(
        "            '(-h --help)'{-h,--help}'[explain the command]' \\\n            '*:file:_files'\n        ;;\n",
        stdout);
}

static void put_zsh_name(const qn_command *command) {
    (void)printf("        '%s:", command->name);
    put_zsh_text(command->summary);
    (void)fputs("'\n", stdout);
}

static void put_zsh(void) {
    (void)fputs("#compdef quern\n"
                "# zsh completion for quern, made by `quern completion zsh`\n"
                "_quern() {\n"
                "    local -a commands\n"
                "    commands=(\n",
                stdout);
    for_each_command(put_zsh_name);
    (void)fputs("    )\n"
                "    if (( CURRENT == 2 )); then\n"
                "        _describe command commands\n"
                "        return\n"
                "    fi\n"
                "    shift words\n"
                "    (( CURRENT-- ))\n"
                "    case $words[1] in\n",
                stdout);
    for_each_command(put_zsh_command);
    (void)fputs("    esac\n"
                "}\n"
                "_quern \"$@\"\n",
                stdout);
}

/* fish: one line an option. */

static void put_fish_text(const char *text) {
    for (; *text != '\0'; text++) {
        (void)fputs(*text == '\'' || *text == '\\' ? "\\" : "", stdout);
        (void)fputc(*text, stdout);
    }
}

static void put_fish_option(const qn_command *command, const qn_option *o) {
    (void)printf("complete -c quern -n '__fish_seen_subcommand_from %s' -l %s", command->name, o->name);
    if (o->letter != 0) {
        (void)printf(" -s %c", o->letter);
    }
    if (o->words != NULL) {
        (void)printf(" -x -a '%s'", o->words);
    } else if (takes_folder(o)) {
        (void)fputs(" -x -a '(__fish_complete_directories)'", stdout);
    } else if (o->argument != NULL) {
        (void)fputs(takes_file(o) ? " -r" : " -x", stdout);
    }
    (void)fputs(" -d '", stdout);
    put_fish_text(o->help);
    (void)fputs("'\n", stdout);
}

static void put_fish_command(const qn_command *command) {
    (void)printf("complete -c quern -f -n __fish_use_subcommand -a %s -d '", command->name);
    put_fish_text(command->summary);
    (void)fputs("'\n", stdout);
    for (size_t i = 0; i < command->options.n; i++) {
        put_fish_option(command, &command->options.items[i]);
    }
}

static void put_fish(void) {
    (void)fputs("# fish completion for quern, made by `quern completion fish`\n", stdout);
    for_each_command(put_fish_command);
}

static qn_status run_completion(const void *settings, const qn_operands *operands, qn_error *err) {
    static const struct {
        const char *shell;
        void (*put)(void);
    } shells[] = {{"bash", put_bash}, {"zsh", put_zsh}, {"fish", put_fish}};
    (void)settings;
    for (size_t i = 0; i < sizeof shells / sizeof shells[0]; i++) {
        if (strcmp(operands->items[0], shells[i].shell) == 0) {
            shells[i].put();
            return QN_OK;
        }
    }
    return qn_fail(err, QN_E_USAGE, "no completion for '%s': bash, zsh or fish", operands->items[0]);
}

static const qn_example examples[] = {
    {"quern completion bash > ~/.local/share/bash-completion/completions/quern", "bash"},
    {"quern completion zsh > ~/.zfunc/_quern", "zsh, when ~/.zfunc is in fpath"},
    {"quern completion fish > ~/.config/fish/completions/quern.fish", "fish"},
};

const qn_command qn_completion_command = {
    .name = "completion",
    .operands = "bash|zsh|fish",
    .summary = "print a completion script for a shell",
    .about = "Prints a script with which the shell completes quern's commands, options and their arguments.",
    .examples = examples,
    .n_examples = sizeof examples / sizeof examples[0],
    .min_operands = 1,
    .max_operands = 1,
    .settings_size = 1,
    .is_hidden = true,
    .run = run_completion,
};
