/* SPDX-License-Identifier: MIT */
/* fuzz_imatrix.c: any bytes as an importance matrix: refused, or sorted entries of finite values. */
#include "container/imatrix.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum { MAX_INPUT = 1 << 14 };

static void check_entry(const qn_imatrix *m, uint64_t i) {
    const qn_imatrix_entry *e = &m->entries[i];
    if (e->n_values == 0 || e->n_counts == 0 || e->n_values % e->n_counts != 0 || qn_imatrix_find(m, e->name) != e ||
        (i > 0 && strcmp(m->entries[i - 1].name, e->name) >= 0)) {
        abort();
    }
    for (uint64_t k = 0; k < e->n_values; k++) {
        if (!isfinite(e->values[k]) || e->values[k] < 0.0F) {
            abort();
        }
    }
}

typedef qn_status open_fn(const char *path, qn_imatrix **out, qn_error *err);

static qn_status open_and_check(open_fn *open_matrix, const char *path) {
    qn_imatrix *m = NULL;
    qn_error err = {0};
    const qn_status status = open_matrix(path, &m, &err);
    if (status == QN_OK) {
        for (uint64_t i = 0; i < m->n_entries; i++) {
            check_entry(m, i);
        }
    } else if (m != NULL || err.status != status || err.message[0] == '\0') {
        abort();
    }
    qn_imatrix_close(m);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
    char path[] = "/tmp/quern-fuzz-XXXXXX";
    if (size_bytes > MAX_INPUT) {
        return 0;
    }
    const int fd = mkstemp(path);
    if (fd < 0 || (size_bytes > 0 && write(fd, data, size_bytes) != (ssize_t)size_bytes) || close(fd) != 0) {
        abort();
    }
    const qn_status as_means = open_and_check(qn_imatrix_open, path);
    if (open_and_check(qn_imatrix_open_sums, path) != as_means) {
        abort();
    }
    (void)unlink(path);
    return 0;
}
