/* SPDX-License-Identifier: MIT */
/* main.c: finds the command, runs it, prints what went wrong and turns it into an exit code. */
#include "cli/commands.h"
#include "cli/help.h"
#include "cli/terminal.h"
#include "quern/quern.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A closed descriptor 0, 1 or 2 would be given to the next file that is opened; what is printed would land in it. */
static void hold_standard_descriptors(void) {
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) == -1 && errno == EBADF) {
            (void)open("/dev/null", O_RDONLY);
        }
    }
}

static void print_failure(const qn_command *command, const qn_error *err) {
    const qn_terminal t = qn_terminal_of(stderr);
    (void)fflush(stdout);
    if (err->status == QN_E_INTERRUPTED) {
        return; /* the signal handler has said so */
    }
    qn_print_message(&t, QN_STYLE_RED, "error", err->message);
    if (err->status == QN_E_USAGE) {
        (void)fprintf(stderr, "try 'quern %s%s--help'\n", command == NULL ? "" : command->name,
                      command == NULL ? "" : " ");
    }
}

static qn_status check_operands(const qn_command *command, const qn_operands *operands, qn_error *err) {
    if (operands->n > command->max_operands) {
        return qn_fail(err, QN_E_USAGE, "too many arguments: '%s'", operands->items[command->max_operands]);
    }
    if (operands->n < command->min_operands) {
        return qn_fail(err, QN_E_USAGE, "missing argument: quern %s [options] %s", command->name, command->operands);
    }
    return QN_OK;
}

static qn_status run_command(const qn_command *command, int argc, char **argv, qn_error *err) {
    qn_operands operands;
    void *settings = qn_new_array(1, command->settings_size);
    if (settings == NULL) {
        return qn_fail_nomem(err, "settings", command->settings_size);
    }
    qn_status status = qn_options_parse(&command->options, argc, argv, settings, &operands, err);
    if (status == QN_OK && operands.wants_help) {
        qn_print_command_help(stdout, command);
    } else if (status == QN_OK) {
        status = check_operands(command, &operands, err);
        if (status == QN_OK) {
            status = command->run(settings, &operands, err);
        }
    }
    qn_options_clear(&command->options, settings);
    free(settings);
    return status;
}

/* The first word is a command or one of the program's own options. */
static qn_status dispatch(int argc, char **argv, const qn_command **command, qn_error *err) {
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0 || strcmp(word, "-V") == 0) {
        (void)printf("quern %s\n", qn_version());
        return QN_OK;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
        qn_print_overview(stdout);
        return QN_OK;
    }
    if (word[0] == '-') {
        return qn_fail(err, QN_E_USAGE, "unknown option '%s'; a command comes first", word);
    }
    QN_TRY(qn_command_find(word, command, err));
    return run_command(*command, argc - 1, argv + 1, err);
}

/* A reader that left early (head, less) is told nothing. */
static bool has_reader_left(void) {
    struct pollfd p = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return poll(&p, 1, 0) == 1 && (p.revents & POLLERR) != 0;
}

/* Everything printed must have arrived. */
static int close_stdout(int code) {
    const bool is_quiet = has_reader_left();
    const bool has_failed = ferror(stdout) != 0;
    if (fclose(stdout) == 0 && !has_failed) {
        return code;
    }
    if (!is_quiet) {
        const qn_terminal t = qn_terminal_of(stderr);
        qn_print_message(&t, QN_STYLE_RED, "error", "standard output could not be written");
    }
    return code == 0 ? 1 : code;
}

int main(int argc, char **argv) {
    qn_error err = {.status = QN_OK};
    const qn_command *command = NULL;
    hold_standard_descriptors();
    (void)setlocale(LC_CTYPE, "");
    (void)signal(SIGPIPE, SIG_IGN);
    if (argc < 2) {
        qn_print_overview(stderr);
        return qn_exit_code(QN_E_USAGE);
    }
    const qn_status status = dispatch(argc, argv, &command, &err);
    if (status != QN_OK) {
        print_failure(command, &err);
    }
    return close_stdout(qn_exit_code(status));
}
