/* SPDX-License-Identifier: MIT */
/* status.h: what every fallible function of libquern returns, and the message it fills. */
#ifndef QUERN_STATUS_H
#define QUERN_STATUS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__) || defined(__clang__)
#define QN_NODISCARD __attribute__((warn_unused_result))
#define QN_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define QN_NODISCARD
#define QN_PRINTF(fmt, args)
#endif

/** Why a call failed. QN_OK is 0; callers may rely on nothing else about the numbers. */
typedef enum qn_status {
    QN_OK = 0,
    QN_E_USAGE,       /**< the caller asked for something contradictory or unknown */
    QN_E_UNSUPPORTED, /**< a model, type or feature quern does not (yet) handle */
    QN_E_NOT_FOUND,   /**< a file, tensor or key that must exist does not */
    QN_E_EXISTS,      /**< an output's name is taken */
    QN_E_IO,          /**< the operating system refused a read, write, open, sync or rename */
    QN_E_SPACE,       /**< the disk is, or would become, full */
    QN_E_NOMEM,       /**< an allocation failed */
    QN_E_FORMAT,      /**< bytes of a file contradict its format */
    QN_E_SHAPE,       /**< a tensor's shape is not what the model or the type needs */
    QN_E_RANGE,       /**< a value out of range; NaN or infinity in a weight */
    QN_E_INTERRUPTED, /**< the job was cancelled */
    QN_E_INTERNAL     /**< a broken promise inside quern: a bug */
} qn_status;

/**
 * A failure told to a person: where (file, tensor, byte), what was found, what was expected, and the
 * remedy, in one text of one or more lines without a final newline.
 *
 * The caller owns it, on the stack as a rule; it holds no pointers and needs no clearing.
 */
typedef struct qn_error {
    qn_status status;
    char message[3072];
} qn_error;

/** The name of a status as written in this header without its prefix ("FORMAT"); never NULL. */
const char *qn_status_name(qn_status status);

#ifdef __cplusplus
}
#endif
#endif
