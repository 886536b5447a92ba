/* SPDX-License-Identifier: MIT */
/* fuzz_journal.c: any bytes as a journal: what it gives back is of the job, and the file is left as a good journal. */
#include "pack/journal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

enum { N_UNITS = 4, N_OUTPUTS = 2, N_FILES = 3, HEADER = 32, RECORD = 16 + 8 * N_OUTPUTS, MAX_INPUT = 1 << 12 };

/* The corpus is of this job. */
static const uint64_t FINGERPRINT = 7;

static unsigned open_once(const char *path, const qn_stream_plan *plan, unsigned *n_published) {
    qn_stream_state state;
    bool published[N_FILES] = {false};
    qn_journal *journal = NULL;
    qn_error err = {QN_OK, ""};
    unsigned n_done = 0;
    if (qn_stream_state_new(plan, &state, &err) != QN_OK ||
        qn_journal_open(path, FINGERPRINT, plan, &state, published, &journal, &err) != QN_OK) {
        abort();
    }
    for (size_t i = 0; i < N_UNITS; i++) {
        n_done += state.is_done[i];
    }
    *n_published = 0;
    for (size_t f = 0; f < N_FILES; f++) {
        *n_published += published[f] ? 1 : 0;
    }
    qn_journal_close(journal);
    qn_stream_state_clear(&state);
    return n_done;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
    char path[] = "/tmp/quern-fuzz-XXXXXX";
    const qn_stream_plan plan = {.n_files = N_FILES, .n_outputs = N_OUTPUTS, .n_units = N_UNITS};
    struct stat info;
    unsigned n_published[2];
    if (size_bytes > MAX_INPUT) {
        return 0;
    }
    const int fd = mkstemp(path);
    if (fd < 0 || (size_bytes > 0 && write(fd, data, size_bytes) != (ssize_t)size_bytes) || close(fd) != 0) {
        abort();
    }
    const unsigned n_done = open_once(path, &plan, &n_published[0]);
    if (stat(path, &info) != 0 || info.st_size < HEADER || (info.st_size - HEADER) % RECORD != 0) {
        abort();
    }
    if (open_once(path, &plan, &n_published[1]) != n_done || n_published[0] != n_published[1]) {
        abort();
    }
    (void)unlink(path);
    return 0;
}
