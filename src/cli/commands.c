/* SPDX-License-Identifier: MIT */
/* commands.c: which commands there are, and what a status means to the shell. */
#include "cli/commands.h"

#include "base/nearest.h"

#include <string.h>

static const qn_command *const commands[] = {
    &qn_pack_command,       &qn_quantize_command, &qn_merge_command,   &qn_export_command,     &qn_split_command,
    &qn_join_command,       &qn_run_command,      &qn_inspect_command, &qn_compare_command,    &qn_runs_command,
    &qn_perplexity_command, &qn_kld_command,      &qn_imatrix_command, &qn_tokenize_command,   &qn_detokenize_command,
    &qn_types_command,      &qn_help_command,     &qn_man_command,     &qn_completion_command,
};

enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

const qn_command *const *qn_commands(size_t *n) {
    *n = N_COMMANDS;
    return commands;
}

qn_status qn_command_find(const char *name, const qn_command **out, qn_error *err) {
    const char *names[N_COMMANDS];
    const char *nearest;
    for (size_t i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i]->name;
        if (strcmp(name, names[i]) == 0) {
            *out = commands[i];
            return QN_OK;
        }
    }
    if (qn_nearest(name, names, N_COMMANDS, &nearest, 1) == 1) {
        return qn_fail(err, QN_E_USAGE, "unknown command '%s'; did you mean '%s'?", name, nearest);
    }
    return qn_fail(err, QN_E_USAGE, "unknown command '%s'", name);
}

int qn_exit_code(qn_status status) {
    switch (status) {
    case QN_OK: return 0;
    case QN_E_USAGE: return 2;
    case QN_E_UNSUPPORTED: return 3;
    case QN_E_INTERRUPTED: return 130;
    default: return 1;
    }
}
