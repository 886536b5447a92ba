/* SPDX-License-Identifier: MIT */
/* version.c: the library's version, given by the build. */
#include "quern/quern.h"

const char *qn_version(void) {
    return QN_VERSION;
}
