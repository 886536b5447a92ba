/* SPDX-License-Identifier: MIT */
/* error.c: messages are built in place in the caller's qn_error; nothing here allocates. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char *qn_status_name(qn_status status) {
    switch (status) {
    case QN_OK: return "OK";
    case QN_E_USAGE: return "USAGE";
    case QN_E_UNSUPPORTED: return "UNSUPPORTED";
    case QN_E_NOT_FOUND: return "NOT_FOUND";
    case QN_E_EXISTS: return "EXISTS";
    case QN_E_IO: return "IO";
    case QN_E_SPACE: return "SPACE";
    case QN_E_NOMEM: return "NOMEM";
    case QN_E_FORMAT: return "FORMAT";
    case QN_E_SHAPE: return "SHAPE";
    case QN_E_RANGE: return "RANGE";
    case QN_E_INTERRUPTED: return "INTERRUPTED";
    case QN_E_INTERNAL: return "INTERNAL";
    }
    return "UNKNOWN";
}

static void append(qn_error *err, const char *fmt, va_list args) {
    const size_t used = strlen(err->message);
    (void)vsnprintf(err->message + used, sizeof err->message - used, fmt, args);
}

static void append_text(qn_error *err, const char *fmt, ...) QN_PRINTF(2, 3);
static void append_text(qn_error *err, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    append(err, fmt, args);
    va_end(args);
}

qn_status qn_fail(qn_error *err, qn_status status, const char *fmt, ...) {
    if (err != NULL) {
        va_list args;
        err->status = status;
        err->message[0] = '\0';
        va_start(args, fmt);
        append(err, fmt, args);
        va_end(args);
    }
    return status;
}

qn_status qn_fail_errno(qn_error *err, qn_status status, int errno_value, const char *fmt, ...) {
    const bool is_full = errno_value == ENOSPC || errno_value == EDQUOT;
    const qn_status found = is_full ? QN_E_SPACE : status;
    if (err != NULL) {
        char reason[128] = "unknown error";
        va_list args;
        err->status = found;
        err->message[0] = '\0';
        va_start(args, fmt);
        append(err, fmt, args);
        va_end(args);
        (void)strerror_r(errno_value, reason, sizeof reason);
        append_text(err, ": %s", reason);
    }
    return found;
}

qn_status qn_fail_nomem(qn_error *err, const char *what, size_t n_bytes) {
    return qn_fail(err, QN_E_NOMEM, "out of memory (%s, %zu bytes)", what, n_bytes);
}

qn_status qn_fail_at(qn_error *err, qn_status status, const char *fmt, ...) {
    if (err != NULL) {
        char message[sizeof err->message];
        va_list args;
        err->status = status;
        memcpy(message, err->message, sizeof message);
        err->message[0] = '\0';
        va_start(args, fmt);
        append(err, fmt, args);
        va_end(args);
        append_text(err, ": %s", message);
    }
    return status;
}
