/* SPDX-License-Identifier: MIT */
/* analyzer.h: tells clang's analyzer, which sees one file at a time, that qn_fail*() never return QN_OK. */
#ifndef QUERN_TESTS_ANALYZER_H
#define QUERN_TESTS_ANALYZER_H

#include "base/error.h"

/* Put in front of each file by `scripts/lint tidy`, and by nothing else. */
static inline qn_status qn_known_failure(qn_status status) {
    if (status == QN_OK) {
        __builtin_unreachable();
    }
    return status;
}

#define qn_fail(...) qn_known_failure(qn_fail(__VA_ARGS__))
#define qn_fail_errno(...) qn_known_failure(qn_fail_errno(__VA_ARGS__))
#define qn_fail_nomem(...) qn_known_failure(qn_fail_nomem(__VA_ARGS__))
#define qn_fail_at(...) qn_known_failure(qn_fail_at(__VA_ARGS__))

#endif
