/* SPDX-License-Identifier: MIT */
/* commands.h: the table of commands, and what the program does with a status. */
#ifndef QUERN_CLI_COMMANDS_H
#define QUERN_CLI_COMMANDS_H

#include "cli/options.h"

/** A line to type and what it does. */
typedef struct qn_example {
    const char *line;
    const char *what;
} qn_example;

/**
 * Runs a command.
 * @param settings the command's own struct, filled by the options
 * @return QN_OK; else err is filled, and the program prints it
 */
typedef qn_status qn_command_fn(const void *settings, const qn_operands *operands, qn_error *err);

/** A command. Everything is static. */
typedef struct qn_command {
    const char *name;
    const char *operands; /**< as the usage line shows them: "[BASE]", "A B", "" */
    const char *summary;  /**< one line without a full stop */
    const char *about;    /**< paragraphs, separated by an empty line */
    qn_option_table options;
    const qn_example *examples;
    size_t n_examples;
    size_t min_operands;
    size_t max_operands;
    size_t settings_size; /**< bytes of its struct of settings */
    bool is_hidden;       /**< left out of --help, the manual and completion */
    qn_command_fn *run;
} qn_command;

extern const qn_command qn_pack_command;       /**< pack_command.c */
extern const qn_command qn_quantize_command;   /**< quantize_command.c */
extern const qn_command qn_merge_command;      /**< merge_command.c */
extern const qn_command qn_export_command;     /**< export_command.c */
extern const qn_command qn_split_command;      /**< split_command.c */
extern const qn_command qn_join_command;       /**< join_command.c */
extern const qn_command qn_run_command;        /**< run_command.c */
extern const qn_command qn_inspect_command;    /**< inspect_command.c */
extern const qn_command qn_compare_command;    /**< compare_command.c */
extern const qn_command qn_runs_command;       /**< runs_command.c */
extern const qn_command qn_perplexity_command; /**< perplexity_command.c */
extern const qn_command qn_imatrix_command;    /**< imatrix_command.c */
extern const qn_command qn_kld_command;        /**< kld_command.c */
extern const qn_command qn_tokenize_command;   /**< tokenize_command.c */
extern const qn_command qn_detokenize_command; /**< tokenize_command.c */
extern const qn_command qn_types_command;      /**< types_command.c */
extern const qn_command qn_help_command;       /**< help.c */
extern const qn_command qn_man_command;        /**< man_command.c */
extern const qn_command qn_completion_command; /**< completion_command.c */

/** All commands in the order of --help; *n of them. */
const qn_command *const *qn_commands(size_t *n);

/** Finds a command by name. @return QN_OK; QN_E_USAGE with the nearest name */
QN_NODISCARD qn_status qn_command_find(const char *name, const qn_command **out, qn_error *err);

/** The program's exit code for a status: 0, 1, 2 usage, 3 unsupported, 130 interrupted. */
int qn_exit_code(qn_status status);

#endif
