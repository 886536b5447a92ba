/* SPDX-License-Identifier: MIT */
/* quern.h: the whole public API of libquern. */
#ifndef QUERN_QUERN_H
#define QUERN_QUERN_H

#include "quern/bench.h"
#include "quern/chat.h"
#include "quern/check.h"
#include "quern/dtype.h"
#include "quern/event.h"
#include "quern/inspect.h"
#include "quern/job.h"
#include "quern/measure.h"
#include "quern/pack.h"
#include "quern/status.h"
#include "quern/tokenize.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The library's version, "0.1.0". Static storage. */
const char *qn_version(void);

#ifdef __cplusplus
}
#endif
#endif
