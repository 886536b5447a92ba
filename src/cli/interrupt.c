/* SPDX-License-Identifier: MIT */
/* interrupt.c: the only state the program keeps outside of its functions, since a signal handler gets no argument. */
#include "cli/interrupt.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static qn_job *volatile watched_job;
static qn_chat *volatile watched_chat;
static const char *volatile watched_advice;
static volatile sig_atomic_t has_come;

static void on_signal(int number) {
    const int saved_errno = errno;
    const char *advice = watched_advice;
    (void)number;
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGTERM, SIG_DFL);
    qn_job_cancel(watched_job);
    if (write(STDERR_FILENO, advice, strlen(advice)) < 0) {
        errno = 0; /* nobody reads: there is nothing to be done about it here */
    }
    errno = saved_errno;
}

static void on_answer_signal(int number) {
    (void)number;
    has_come = 1;
    qn_chat_stop(watched_chat);
}

/* A signal that the program was told to ignore (nohup, a job in the background) stays ignored. */
static void set_handler(int number, void (*handler)(int), int flags) {
    struct sigaction old;
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART | flags;
    if (sigaction(number, NULL, &old) == 0 && old.sa_handler != SIG_IGN) {
        (void)sigaction(number, &action, NULL);
    }
}

void qn_interrupt_watch(qn_job *job, const char *advice) {
    watched_job = job;
    watched_advice = advice;
    set_handler(SIGINT, on_signal, 0);
    set_handler(SIGTERM, on_signal, 0);
}

void qn_interrupt_watch_answer(qn_chat *chat, bool is_once) {
    watched_chat = chat;
    has_come = 0;
    set_handler(SIGINT, on_answer_signal, is_once ? (int)SA_RESETHAND : 0);
}

bool qn_interrupt_came(void) {
    return has_come != 0;
}

void qn_interrupt_forget(void) {
    set_handler(SIGINT, SIG_DFL, 0);
    set_handler(SIGTERM, SIG_DFL, 0);
    watched_job = NULL;
    watched_chat = NULL;
}
