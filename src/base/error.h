/* SPDX-License-Identifier: MIT */
/* error.h: filling a qn_error. Sets a message once, or puts a place in front of it on the way up. */
#ifndef QUERN_BASE_ERROR_H
#define QUERN_BASE_ERROR_H

#include "quern/status.h"

/**
 * Fills err with a status and a formatted message and returns the status.
 * @param err may be NULL; an overlong message is cut
 */
qn_status qn_fail(qn_error *err, qn_status status, const char *fmt, ...) QN_PRINTF(3, 4);

/** As qn_fail, with ": " and the text of errno_value behind the message; ENOSPC/EDQUOT become QN_E_SPACE. */
qn_status qn_fail_errno(qn_error *err, qn_status status, int errno_value, const char *fmt, ...) QN_PRINTF(4, 5);

/** QN_E_NOMEM with "out of memory (what, n bytes)". */
qn_status qn_fail_nomem(qn_error *err, const char *what, size_t n_bytes);

/**
 * Puts "prefix: " in front of the message already in err, sets its status and returns it; as a rule that is
 * what the failed call returned: `return qn_fail_at(err, status, "%s", path)`.
 */
qn_status qn_fail_at(qn_error *err, qn_status status, const char *fmt, ...) QN_PRINTF(3, 4);

/** Returns early with the status of a failed call; the message is already in err. */
#define QN_TRY(expr)                            \
    do {                                        \
        const qn_status qn_try_status = (expr); \
        if (qn_try_status != QN_OK) {           \
            return qn_try_status;               \
        }                                       \
    } while (0)

#endif
