/* SPDX-License-Identifier: MIT */
/* thread.h: threads that leave the program's signals to the one that made them. */
#ifndef QUERN_BASE_THREAD_H
#define QUERN_BASE_THREAD_H

#include <pthread.h>
#include <stdbool.h>

/**
 * Starts a thread that takes no signal but those its own faults raise: handlers run where their program expects them,
 * in a thread of its own. (A line editor's would otherwise redraw its line in two threads at once.)
 * @return false when there can be no more threads
 */
bool qn_thread_start(pthread_t *thread, void *(*fn)(void *), void *arg);

#endif
