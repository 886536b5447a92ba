/* SPDX-License-Identifier: MIT */
/* options.h: one table of options a command; parsing, --help, the manual and shell completion all read it. */
#ifndef QUERN_CLI_OPTIONS_H
#define QUERN_CLI_OPTIONS_H

#include "base/error.h"

#include <stdbool.h>

/** What an option's argument becomes, and the type of the field that it is written to. */
typedef enum qn_option_kind {
    QN_OPTION_FLAG,  /**< no argument: bool */
    QN_OPTION_TEXT,  /**< const char *, borrowed from argv; the last one given wins */
    QN_OPTION_LIST,  /**< qn_texts: every one given, in order */
    QN_OPTION_COUNT, /**< uint64_t: decimal digits */
    QN_OPTION_SIZE   /**< uint64_t: bytes, or with K, M, G behind the number 10^3, 10^6, 10^9 */
} qn_option_kind;

/** The arguments of a repeated option. */
typedef struct qn_texts {
    const char **items; /**< borrowed from argv; the array is owned */
    size_t n;
} qn_texts;

/** One option. Everything is static. */
typedef struct qn_option {
    const char *name; /**< "split-max-size" */
    char letter;      /**< 't'; 0 for none */
    qn_option_kind kind;
    size_t offset;        /**< of the field in the command's settings */
    const char *argument; /**< "SIZE"; "DIR" and "FILE" also tell the shell what to complete; NULL for a flag */
    const char *group;    /**< heading in --help */
    const char *help;     /**< what it does, without a full stop */
    const char *fallback; /**< what holds without it; NULL when that needs no telling */
    const char *words;    /**< known arguments, separated by spaces, for --help and completion; NULL */
} qn_option;

/** A command's options; --help is understood beside them. */
typedef struct qn_option_table {
    const qn_option *items;
    size_t n;
} qn_option_table;

/** What was on a command line beside options. */
typedef struct qn_operands {
    const char *const *items; /**< borrowed from argv */
    size_t n;
    bool wants_help; /**< --help was given; the rest was not looked at */
} qn_operands;

/**
 * Parses a command line; options and operands may be mixed, "--" ends the options.
 * @param argv     argv[0] is the command; reordered
 * @param settings zeroed; fields are set by the table's offsets; qn_options_clear() it, also after a failure
 * @return QN_OK; QN_E_USAGE with the nearest names for an unknown option; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_options_parse(const qn_option_table *table, int argc, char **argv, void *settings,
                                        qn_operands *operands, qn_error *err);

/** Frees what parsing allocated in settings. */
void qn_options_clear(const qn_option_table *table, void *settings);

#endif
