/* SPDX-License-Identifier: MIT */
/* training_run_files.c: what lies beside the checkpoints: progress logs, text logs, and when they were last written. */
#include "base/file.h"
#include "model/training_run_parts.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* A log is read from its end: that is where it says how far it came and why it stopped. */
enum { MAX_PROGRESS_TAIL = 4 << 20, MAX_TEXT_TAIL = 64 << 10, MAX_EVENT_FOLDERS = 256 };

/* The last max_bytes of a file with a NUL behind them; NULL when it is not there or cannot be read. free() it. */
static char *read_tail(qn_arena *arena, const char *dir, const char *name, size_t max_bytes, size_t *len) {
    qn_file *file = NULL;
    const char *path = qn_path_join(arena, dir, name);
    if (path == NULL || qn_file_open(path, &file, NULL) != QN_OK) {
        return NULL;
    }
    const uint64_t size = qn_file_size(file);
    const size_t n = size < max_bytes ? (size_t)size : max_bytes;
    char *text = qn_new_array(n + 1, 1);
    if (text != NULL && qn_file_read_at(file, size - n, text, n, NULL) != QN_OK) {
        free(text);
        text = NULL;
    }
    qn_file_close(file);
    *len = n;
    return text;
}

/* A decimal number of at most 18 digits; *end is behind it. */
static bool read_number(const char *text, const char **end, uint64_t *out) {
    uint64_t value = 0;
    size_t n = 0;
    while (text[n] >= '0' && text[n] <= '9' && n < 18) {
        value = value * 10 + (uint64_t)(text[n] - '0');
        n++;
    }
    *end = text + n;
    *out = value;
    return n > 0 && !(*text != '\0' && text[n] >= '0' && text[n] <= '9');
}

/* LLaMA-Factory: current_steps, total_steps. ms-swift: "global_step/max_steps": "5/94". */
static bool read_progress_line(const json_t *line, qn_run_progress *out) {
    const char *pair = qn_json_string(line, "global_step/max_steps");
    const char *end = NULL;
    if (qn_json_u64(line, "current_steps", &out->step)) {
        if (!qn_json_u64(line, "total_steps", &out->n_steps)) {
            out->n_steps = 0;
        }
        return true;
    }
    return pair != NULL && read_number(pair, &end, &out->step) && *end == '/' &&
        read_number(end + 1, &end, &out->n_steps) && *end == '\0';
}

/* Lines from the last to the first until one tells a step. */
static qn_status scan_progress(const char *name, char *text, size_t len, qn_run_progress *out, qn_error *err) {
    while (len > 0) {
        size_t start = len;
        json_t *line = NULL;
        while (start > 0 && text[start - 1] != '\n') {
            start--;
        }
        if (start < len) {
            const qn_status status = qn_json_parse(name, text + start, len - start, &line, err);
            const bool is_found = status == QN_OK && read_progress_line(line, out);
            json_decref(line);
            if (status == QN_E_NOMEM) {
                return status;
            }
            if (is_found) {
                out->file = name;
                return QN_OK;
            }
        }
        len = start > 0 ? start - 1 : 0;
    }
    return QN_OK;
}

qn_status qn_run_read_progress(qn_arena *arena, const char *dir, qn_run_progress *out, qn_error *err) {
    static const char *const names[] = {"trainer_log.jsonl", "logging.jsonl"};
    *out = (qn_run_progress){NULL, 0, 0};
    for (size_t i = 0; i < sizeof names / sizeof names[0] && out->file == NULL; i++) {
        size_t len = 0;
        char *text = read_tail(arena, dir, names[i], MAX_PROGRESS_TAIL, &len);
        qn_status status = QN_OK;
        if (text != NULL) {
            status = scan_progress(names[i], text, len, out, err);
        }
        free(text);
        QN_TRY(status);
    }
    return QN_OK;
}

/* strstr() for text that may hold NULs. */
static bool has_text(const char *text, size_t len, const char *wanted) {
    const size_t n = strlen(wanted);
    for (size_t i = 0; i + n <= len; i++) {
        if (text[i] == wanted[0] && memcmp(text + i, wanted, n) == 0) {
            return true;
        }
    }
    return false;
}

qn_status qn_run_read_hint(qn_arena *arena, const char *dir, qn_run_hint *out, qn_error *err) {
    static const char *const signs[] = {"CUDA out of memory", "Killed", "Traceback"}; /* the most telling first */
    qn_names names = {NULL, 0};
    *out = (qn_run_hint){NULL, NULL};
    QN_TRY(qn_list_dir(arena, dir, &names, err));
    for (uint64_t i = 0; i < names.n && out->file == NULL; i++) {
        size_t len = 0;
        char *text = NULL;
        if (!qn_ends_with(names.names[i], ".log") && !qn_ends_with(names.names[i], "_log.txt")) {
            continue;
        }
        text = read_tail(arena, dir, names.names[i], MAX_TEXT_TAIL, &len);
        for (size_t k = 0; text != NULL && k < sizeof signs / sizeof signs[0] && out->file == NULL; k++) {
            if (has_text(text, len, signs[k])) {
                *out = (qn_run_hint){names.names[i], signs[k]};
            }
        }
        free(text);
    }
    return QN_OK;
}

bool qn_run_log_says_completed(qn_arena *arena, const char *dir) {
    size_t len = 0;
    char *text = read_tail(arena, dir, "debug.log", MAX_TEXT_TAIL, &len);
    const bool is_said = text != NULL && has_text(text, len, "Training completed!");
    free(text);
    return is_said;
}

bool qn_run_file_time(qn_arena *arena, const char *dir, const char *name, int64_t *time_s) {
    struct stat st;
    const char *path = qn_path_join(arena, dir, name);
    if (path == NULL || stat(path, &st) != 0 || !S_ISREG(st.st_mode)) {
        return false;
    }
    *time_s = (int64_t)st.st_mtime;
    return true;
}

/* What training writes, as against what people and quern add later. */
static bool is_training_file(const char *name) {
    static const char *const ends[] = {"trainer_state.json", ".jsonl", ".log", "_log.txt",
                                       ".safetensors",       ".bin",   ".pt",  ".pth"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        if (qn_ends_with(name, ends[i])) {
            return true;
        }
    }
    return strncmp(name, "events.out.tfevents", 19) == 0;
}

/* Looks at the training files of one folder, which is run/below, or the run itself when below is "". */
static qn_status touch_folder(qn_arena *arena, const char *run, const char *below, qn_run_touch *touch, qn_error *err) {
    qn_names names = {NULL, 0};
    const char *dir = below[0] == '\0' ? run : qn_path_join(arena, run, below);
    if (dir == NULL) {
        return qn_fail_nomem(err, "training files", 0);
    }
    const qn_status status = qn_list_dir(arena, dir, &names, NULL);
    for (uint64_t i = 0; status == QN_OK && i < names.n; i++) {
        int64_t time_s = 0;
        if (!is_training_file(names.names[i]) || !qn_run_file_time(arena, dir, names.names[i], &time_s) ||
            (touch->file != NULL && time_s <= touch->time_s)) {
            continue;
        }
        touch->time_s = time_s;
        touch->file = qn_path_join(arena, below, names.names[i]);
        if (touch->file == NULL) {
            return qn_fail_nomem(err, run, strlen(run));
        }
    }
    return status == QN_E_NOMEM ? qn_fail_nomem(err, run, strlen(run)) : QN_OK;
}

/* runs/<date>_<host>/, where TensorBoard's events go. */
static qn_status touch_events(qn_arena *arena, const char *dir, qn_run_touch *out, qn_error *err) {
    qn_names names = {NULL, 0};
    const char *runs = qn_path_join(arena, dir, "runs");
    if (runs == NULL || qn_list_dir(arena, runs, &names, NULL) == QN_E_NOMEM) {
        return qn_fail_nomem(err, dir, strlen(dir));
    }
    /* Their names begin with the date: the last are the newest. */
    for (uint64_t i = names.n > MAX_EVENT_FOLDERS ? names.n - MAX_EVENT_FOLDERS : 0; i < names.n; i++) {
        const char *below = qn_path_join(arena, "runs", names.names[i]);
        if (below == NULL) {
            return qn_fail_nomem(err, dir, strlen(dir));
        }
        QN_TRY(touch_folder(arena, dir, below, out, err));
    }
    return QN_OK;
}

qn_status qn_run_find_touch(qn_arena *arena, const char *dir, qn_run_touch *out, qn_error *err) {
    qn_names names = {NULL, 0};
    *out = (qn_run_touch){NULL, 0};
    QN_TRY(qn_list_dir(arena, dir, &names, err));
    QN_TRY(touch_folder(arena, dir, "", out, err));
    for (uint64_t i = 0; i < names.n; i++) {
        if (strncmp(names.names[i], "checkpoint-", 11) == 0 || strncmp(names.names[i], "tmp-checkpoint-", 15) == 0) {
            QN_TRY(touch_folder(arena, dir, names.names[i], out, err));
        }
    }
    return touch_events(arena, dir, out, err);
}
