/* SPDX-License-Identifier: MIT */
/* adapter_word.c: a path may hold a colon itself, so that a number alone makes what follows one a scale. */
#include "cli/adapter_word.h"

#include "base/file.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

qn_status qn_adapter_word_parse(qn_arena *arena, const char *word, const char **path, double *scale, qn_error *err) {
    const char *colon = strrchr(word, ':');
    *path = word;
    *scale = 1;
    if (colon == NULL || colon == word || colon[1] == '\0' || qn_is_dir(word) || qn_is_file(word) ||
        colon[1 + strspn(colon + 1, "0123456789.+-eE")] != '\0') {
        return QN_OK;
    }
    char *end;
    const double number = strtod(colon + 1, &end);
    if (end == colon + 1 || *end != '\0') {
        return QN_OK;
    }
    if (!isfinite(number)) {
        return qn_fail(err, QN_E_USAGE, "--adapter %s: the strength is too large", word);
    }
    *scale = number;
    *path = qn_arena_copy(arena, word, (size_t)(colon - word));
    return *path == NULL ? qn_fail_nomem(err, "adapter", strlen(word)) : QN_OK;
}
