/* SPDX-License-Identifier: MIT */
/* line_editor.c: libedit's readline interface, and where the history lies. */
#include "cli/line_editor.h"

#include "base/buffer.h"
#include "base/file.h"
#include "cli/interrupt.h"

#include <editline/readline.h>
#include <langinfo.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

enum { MAX_HISTORY = 1000, CTRL_C = 3 };

struct qn_line_editor {
    qn_arena *arena;
    const char *history_path; /* NULL: nowhere to keep it */
    char *line;               /* the last one given; owned */
};

/* The file of the history, its folder made; NULL where there is no home. */
static const char *find_history(qn_arena *arena, const char *name) {
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    const char *dir = NULL;
    qn_error ignored;
    if (state != NULL && state[0] == '/') {
        dir = qn_arena_printf(arena, "%s/quern", state);
    } else if (home != NULL && home[0] == '/') {
        dir = qn_arena_printf(arena, "%s/.local/state/quern", home);
    }
    if (dir == NULL || qn_make_dirs(dir, &ignored) != QN_OK) {
        return NULL;
    }
    return qn_arena_printf(arena, "%s/%s.history", dir, name);
}

/* Bound to Ctrl-C: readline() returns NULL, and rl_done tells this from the end of input. */
static int drop_line(int count, int key) {
    (void)count;
    (void)key;
    rl_done = 1;
    return 0;
}

qn_line_editor *qn_line_editor_open(const char *name) {
    qn_arena *arena = qn_arena_new();
    qn_line_editor *editor = arena == NULL ? NULL : qn_arena_array(arena, 1, sizeof *editor);
    if (editor == NULL) {
        qn_arena_free(arena);
        return NULL;
    }
    editor->arena = arena;
    editor->history_path = find_history(arena, name);
    /* Messages are UTF-8 in every locale; in "C", where containers live, the editor drops all but ASCII. */
    if (strcmp(nl_langinfo(CODESET), "UTF-8") != 0) {
        (void)setlocale(LC_CTYPE, "C.UTF-8");
    }
    rl_readline_name = "quern";
    (void)rl_initialize();
    (void)rl_add_defun("quern-drop-line", drop_line, CTRL_C);
    using_history();
    stifle_history(MAX_HISTORY);
    if (editor->history_path != NULL) {
        (void)read_history(editor->history_path); /* the first time there is none */
    }
    return editor;
}

void qn_line_editor_close(qn_line_editor *editor) {
    if (editor == NULL) {
        return;
    }
    if (editor->history_path != NULL) {
        (void)write_history(editor->history_path);
    }
    free(editor->line);
    qn_arena_free(editor->arena);
}

/*
 * A line, with Ctrl-C a key like others. After Ctrl-Z and `fg` it is a signal, since the editor then sets the terminal
 * up as it was when it was opened: that ends readline() too.
 */
static char *read_line(const char *prompt, bool *is_dropped) {
    struct termios before;
    const bool is_terminal = tcgetattr(STDIN_FILENO, &before) == 0;
    if (is_terminal) {
        struct termios now = before;
        now.c_cc[VINTR] = _POSIX_VDISABLE;
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &now);
    }
    rl_done = 0;
    char *line = readline(prompt);
    if (is_terminal) {
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &before);
    }
    *is_dropped = line == NULL && (rl_done != 0 || qn_interrupt_came());
    if (*is_dropped) {
        (void)fputc('\n', stdout);
    }
    return line;
}

/* The lines up to the closing """. */
static char *read_block(const char *first, const char *more, bool *is_dropped) {
    qn_buffer text = {0};
    const char *line = first;
    char *owned = NULL;
    for (;;) {
        const char *end = strstr(line, "\"\"\"");
        qn_buffer_append(&text, line, end == NULL ? strlen(line) : (size_t)(end - line));
        free(owned);
        owned = end == NULL ? read_line(more, is_dropped) : NULL;
        if (owned == NULL) {
            return qn_buffer_take_text(&text);
        }
        qn_buffer_u8(&text, '\n');
        line = owned;
    }
}

const char *qn_line_editor_read(qn_line_editor *editor, const char *prompt, const char *more, bool *is_block) {
    bool is_dropped = false;
    *is_block = false;
    free(editor->line);
    editor->line = read_line(prompt, &is_dropped);
    if (editor->line != NULL && strncmp(editor->line, "\"\"\"", 3) == 0) {
        char *block = read_block(editor->line + 3, more, &is_dropped);
        free(editor->line);
        editor->line = block;
        *is_block = true;
    }
    if (is_dropped) {
        return "";
    }
    if (editor->line != NULL && editor->line[0] != '\0') {
        (void)add_history(editor->line);
    }
    return editor->line;
}
