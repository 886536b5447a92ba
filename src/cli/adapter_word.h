/* SPDX-License-Identifier: MIT */
/* adapter_word.h: "PATH[:SCALE]", as --adapter takes it. */
#ifndef QUERN_CLI_ADAPTER_WORD_H
#define QUERN_CLI_ADAPTER_WORD_H

#include "base/memory.h"

/**
 * Parts a word at its last colon, unless the whole word is a path or what follows the colon is no number.
 * @param path  out: the word itself, or in the arena
 * @param scale out: 1 when there is none
 * @return QN_OK; QN_E_USAGE for a number that is too large; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_adapter_word_parse(qn_arena *arena, const char *word, const char **path, double *scale,
                                             qn_error *err);

#endif
