/* SPDX-License-Identifier: MIT */
/* line_editor.h: lines from a terminal, with editing and a history that is kept (libedit). */
#ifndef QUERN_CLI_LINE_EDITOR_H
#define QUERN_CLI_LINE_EDITOR_H

#include <stdbool.h>

/** An editor with its history. */
typedef struct qn_line_editor qn_line_editor;

/**
 * Opens the terminal for editing. The history is read from $XDG_STATE_HOME/quern/NAME.history (~/.local/state without
 * it), where it is kept.
 * @return NULL when memory is short
 */
qn_line_editor *qn_line_editor_open(const char *name);
/** Writes the history and frees; accepts NULL. */
void qn_line_editor_close(qn_line_editor *editor);

/**
 * Reads a line; one that begins with """ goes on until another """. Ctrl-C drops what was typed.
 * @param prompt   shown before the first line
 * @param more     shown before further lines
 * @param is_block out: whether it stood between """
 * @return without its newline, "" when it was dropped, borrowed until the next call; NULL at the end of input
 */
const char *qn_line_editor_read(qn_line_editor *editor, const char *prompt, const char *more, bool *is_block);

#endif
