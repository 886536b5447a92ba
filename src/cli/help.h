/* SPDX-License-Identifier: MIT */
/* help.h: --help of the program and of each command, from the tables. */
#ifndef QUERN_CLI_HELP_H
#define QUERN_CLI_HELP_H

#include "cli/commands.h"

#include <stdio.h>

/** What `quern --help` prints: purpose, commands, how to begin. */
void qn_print_overview(FILE *file);

/** What `quern COMMAND --help` prints. */
void qn_print_command_help(FILE *file, const qn_command *command);

/** One sentence that says what quern is for. */
extern const char qn_purpose[];

/** The exit codes: lines of a code and what it means, spaces before both. */
extern const char qn_exit_codes[];

/** Environment variables the program and library read, a pair each; ends with a NULL line. */
extern const qn_example qn_environment[];

#endif
