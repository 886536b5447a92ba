/* SPDX-License-Identifier: MIT */
/* thread.c: a new thread inherits what signals are blocked, so that they are blocked for a moment in who makes it. */
#include "base/thread.h"

#include <signal.h>
#include <stddef.h>

bool qn_thread_start(pthread_t *thread, void *(*fn)(void *), void *arg) {
    const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};
    sigset_t blocked;
    sigset_t before;
    (void)sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        (void)sigdelset(&blocked, faults[i]);
    }
    if (pthread_sigmask(SIG_SETMASK, &blocked, &before) != 0) {
        return false;
    }
    const bool is_started = pthread_create(thread, NULL, fn, arg) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return is_started;
}
