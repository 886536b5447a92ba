/* SPDX-License-Identifier: MIT */
/* fuzz_trainer_state.c: any bytes as a run's JSON files: it opens, and can be picked from and listed. */
#include "model/training_run.h"
#include "quern/inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

/* The same bytes play every part: state, adapter configuration, progress logs. */
static const char *const names[] = {"checkpoint-100/trainer_state.json", "checkpoint-100/adapter_config.json",
                                    "trainer_log.jsonl", "logging.jsonl"};
enum { N_NAMES = sizeof names / sizeof names[0], MAX_PATH = 512, MAX_INPUT = 1 << 16 };

static void write_all(const char *dir, const uint8_t *data, size_t size_bytes) {
    for (size_t i = 0; i < N_NAMES; i++) {
        char path[MAX_PATH];
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        FILE *file = fopen(path, "wb");
        if (file == NULL || fwrite(data, 1, size_bytes, file) != size_bytes || fclose(file) != 0) {
            abort();
        }
    }
}

static void remove_all(const char *dir) {
    char path[MAX_PATH];
    for (size_t i = 0; i < N_NAMES; i++) {
        (void)snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        (void)unlink(path);
    }
    (void)snprintf(path, sizeof path, "%s/checkpoint-100", dir);
    (void)rmdir(path);
    (void)rmdir(dir);
}

/* A checkpoint's folder is a run of one; the run must be there, a checkpoint-N being in it. */
static void open_run(const char *dir, bool must_open) {
    static const char *const picks[] = {NULL, "best", "last", "100"};
    qn_training_run *run = NULL;
    qn_error err = {QN_OK, ""};
    if (qn_run_open(dir, &run, &err) != QN_OK) {
        if (must_open || err.message[0] == '\0') {
            abort();
        }
        return;
    }
    for (size_t i = 0; i < sizeof picks / sizeof picks[0]; i++) {
        const qn_checkpoint *checkpoint = NULL;
        const char *why = NULL;
        const qn_status status = qn_run_pick(run, picks[i], &checkpoint, &why, &err);
        if ((status == QN_OK) != (checkpoint != NULL && why != NULL)) {
            abort();
        }
    }
    qn_run_close(run);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes) {
    char dir[MAX_PATH / 2] = "/tmp/quern-fuzz-XXXXXX";
    char checkpoint[MAX_PATH];
    char *text = NULL;
    qn_error err = {QN_OK, ""};
    if (size_bytes > MAX_INPUT || mkdtemp(dir) == NULL) {
        return 0;
    }
    (void)snprintf(checkpoint, sizeof checkpoint, "%s/checkpoint-100", dir);
    if (mkdir(checkpoint, 0777) != 0) {
        abort();
    }
    write_all(dir, data, size_bytes);
    open_run(dir, true);
    open_run(checkpoint, false);
    if (qn_list_run(dir, &text, &err) != QN_OK) {
        abort();
    }
    free(text);
    remove_all(dir);
    return 0;
}
