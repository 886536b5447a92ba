/* SPDX-License-Identifier: MIT */
/* test_training_run.c: run folders built file by file, in every state and with every kind of damage. */
#include "support.h"

#include "model/training_run.h"

#include <fcntl.h>
#include <math.h>
#include <time.h>

#define WHOLE "@whole"
#define TRUNCATED "@truncated"
#define POINTER "@pointer"
#define DIRECTORY "@dir"

enum { MAX_FILES = 16, OLD_S = 10 * 86400 };

typedef struct made_file {
    const char *path;
    const char *text; /* or one of the above */
} made_file;

typedef struct run_case {
    const char *name;
    const char *dir; /* the folder below the temporary one that is opened; NULL for "run" */
    int64_t age_s;   /* of all files */
    qn_status status;
    qn_run_state state;
    const char *message;
    const char *why;   /* a part of it */
    const char *names; /* "checkpoint-1 checkpoint-2! run": those that are there, '!' when incomplete */
    const char *last;  /* what "last" picks; NULL when that fails */
    const char *best;  /* what NULL picks, and why: "checkpoint-2|best eval_loss 0.5"; NULL when that fails */
    made_file files[MAX_FILES];
} run_case;

#define STATE(step, max) "{\"global_step\": " #step ", \"max_steps\": " #max ", \"epoch\": 1.5, \"log_history\": []}"
#define LOGGED(step, max, log) "{\"global_step\": " #step ", \"max_steps\": " #max ", \"log_history\": [" log "]}"
#define ADAPTER "{\"peft_type\": \"LORA\", \"base_model_name_or_path\": \"org/base\"}"
#define CKPT(n)                                                  \
    {"run/checkpoint-" #n "/adapter_config.json", ADAPTER}, {    \
        "run/checkpoint-" #n "/adapter_model.safetensors", WHOLE \
    }
#define CKPT_OF(n, max)                                           \
    CKPT(n), {                                                    \
        "run/checkpoint-" #n "/trainer_state.json", STATE(n, max) \
    }

/* clang-format off */
static const run_case cases[] = {
    /* States. */
    {.name = "completed by its last checkpoint", .state = QN_RUN_COMPLETED, .why = "checkpoint-20/trainer_state.json",
     .names = "checkpoint-10 checkpoint-20", .last = "checkpoint-20", .best = "checkpoint-20|last",
     .files = {CKPT_OF(10, 20), CKPT_OF(20, 20)}},
    {.name = "completed, numbers sorted as numbers", .state = QN_RUN_COMPLETED, .why = "step 1000 of 1000",
     .names = "checkpoint-99 checkpoint-500 checkpoint-1000", .last = "checkpoint-1000", .best = "checkpoint-1000|last",
     .files = {CKPT_OF(500, 1000), CKPT_OF(1000, 1000), CKPT_OF(99, 1000)}},
    {.name = "completed with weights at the root", .state = QN_RUN_COMPLETED, .why = "the run's folder",
     .names = "checkpoint-10 run", .last = "run", .best = "run|last",
     .files = {CKPT_OF(10, 15), {"run/trainer_state.json", LOGGED(15, 15, "{\"step\": 15, \"train_runtime\": 3.0}")},
               {"run/config.json", "{}"}, {"run/model.safetensors", WHOLE}}},
    {.name = "completed, the root saved after the last checkpoint and no state with it", .state = QN_RUN_COMPLETED,
     .why = "saved after checkpoint-10", .names = "checkpoint-10 run", .last = "run", .best = "run|last",
     .files = {CKPT(10), {"run/checkpoint-10/trainer_state.json",
                "{\"global_step\": 10, \"max_steps\": 15, \"save_steps\": 10, \"log_history\": []}"},
               {"run/adapter_config.json", ADAPTER}, {"run/adapter_model.safetensors", WHOLE}}},
    {.name = "completed says the results file alone", .state = QN_RUN_COMPLETED, .why = "train_results.json",
     .names = "run", .last = "run", .best = "run|last",
     .files = {{"run/config.json", "{}"}, {"run/model.safetensors", WHOLE}, {"run/train_results.json", "{}"}}},
    {.name = "completed says debug.log", .state = QN_RUN_COMPLETED, .why = "debug.log",
     .names = "checkpoint-10", .last = "checkpoint-10", .best = "checkpoint-10|last",
     .files = {CKPT_OF(10, 15), {"run/debug.log", "…\nTraining completed!\n"}}},
    {.name = "completed in ms-swift's words", .state = QN_RUN_COMPLETED, .why = "step 15 of 15",
     .names = "checkpoint-10 run", .last = "run", .best = "run|last",
     .files = {CKPT_OF(10, 15),
               {"run/logging.jsonl", "{\"loss\": 1}\n{\"global_step/max_steps\": \"15/15\"}\n{\"x\": 1}\n"},
               {"run/adapter_config.json", ADAPTER}, {"run/adapter_model.safetensors", WHOLE}}},
    {.name = "stopped early", .state = QN_RUN_STOPPED_EARLY, .why = "patience of 3",
     .names = "checkpoint-10", .last = "checkpoint-10", .best = "checkpoint-10|last",
     .files = {CKPT(10), {"run/checkpoint-10/trainer_state.json",
                "{\"global_step\": 10, \"max_steps\": 99, \"log_history\": [], \"stateful_callbacks\": "
                "{\"EarlyStoppingCallback\": {\"args\": {\"early_stopping_patience\": 3}, "
                "\"attributes\": {\"early_stopping_patience_counter\": 3}}}}"}}},
    {.name = "patience left", .state = QN_RUN_RUNNING, .why = "step 10 of 99",
     .names = "checkpoint-10", .last = "checkpoint-10", .best = "checkpoint-10|last",
     .files = {CKPT(10), {"run/checkpoint-10/trainer_state.json",
                "{\"global_step\": 10, \"max_steps\": 99, \"log_history\": [], \"stateful_callbacks\": "
                "{\"EarlyStoppingCallback\": [{\"args\": {\"early_stopping_patience\": 3}, "
                "\"attributes\": {\"early_stopping_patience_counter\": 2}}]}}"}}},
    {.name = "stopped by the user", .state = QN_RUN_STOPPED_BY_USER, .why = "train_results.json says",
     .names = "checkpoint-10 run", .last = "run", .best = "run|last",
     .files = {CKPT_OF(10, 99), {"run/trainer_state.json", STATE(12, 99)}, {"run/train_results.json", "{}"},
               {"run/adapter_config.json", ADAPTER}, {"run/adapter_model.safetensors", WHOLE}}},
    {.name = "interrupted axolotl", .state = QN_RUN_STOPPED_BY_USER, .why = "before the last step",
     .names = "checkpoint-10 run", .last = "run", .best = "run|last",
     .files = {CKPT(10), {"run/checkpoint-10/trainer_state.json",
                "{\"global_step\": 10, \"max_steps\": 15, \"save_steps\": 10, \"log_history\": []}"},
               {"run/debug.log", "step 12\n"},
               {"run/adapter_config.json", ADAPTER}, {"run/adapter_model.safetensors", WHOLE}}},
    {.name = "running", .state = QN_RUN_RUNNING, .why = "was written",
     .names = "checkpoint-10", .last = "checkpoint-10", .best = "checkpoint-10|last",
     .files = {CKPT_OF(10, 99), {"run/adapter_config.json", ADAPTER}}},
    {.name = "failed", .age_s = OLD_S, .state = QN_RUN_FAILED, .why = "nothing was written for 10 days",
     .names = "checkpoint-10", .last = "checkpoint-10", .best = "checkpoint-10|last", .files = {CKPT_OF(10, 99)}},
    {.name = "failed, and the log says why", .age_s = OLD_S, .state = QN_RUN_FAILED,
     .why = "train.log says \"CUDA out of memory\"", .names = "checkpoint-10", .last = "checkpoint-10",
     .best = "checkpoint-10|last",
     .files = {CKPT_OF(10, 99), {"run/train.log", "Traceback (most recent call last)\nCUDA out of memory. Tried"}}},
    {.name = "failed while saving", .age_s = OLD_S, .state = QN_RUN_FAILED, .why = "died while saving",
     .names = "checkpoint-10 checkpoint-20!", .last = "checkpoint-10",
     .best = "checkpoint-10|last; checkpoint-20 is incomplete: trainer_state.json is missing",
     .files = {CKPT_OF(10, 99), CKPT(20)}},
    {.name = "the last step reached, its weights cut off", .age_s = OLD_S, .state = QN_RUN_FAILED,
     .why = "step 20 of 20",
     .names = "checkpoint-20!", .files = {{"run/checkpoint-20/adapter_config.json", ADAPTER},
               {"run/checkpoint-20/adapter_model.safetensors", TRUNCATED},
               {"run/checkpoint-20/trainer_state.json", STATE(20, 20)}}},
    {.name = "diverged", .state = QN_RUN_DIVERGED, .why = "step 9",
     .names = "checkpoint-10", .last = "checkpoint-10", .best = "checkpoint-10|last",
     .files = {CKPT(10), {"run/checkpoint-10/trainer_state.json",
                LOGGED(10, 10, "{\"loss\": 2.0, \"step\": 8}, {\"loss\": NaN, \"step\": 9}, {\"eval_x\": 1, "
                "\"step\": 9}")}}},
    {.name = "diverged behind the NaN filter", .state = QN_RUN_DIVERGED, .why = "step 9",
     .names = "checkpoint-10", .last = "checkpoint-10", .best = "checkpoint-10|last",
     .files = {CKPT(10), {"run/checkpoint-10/trainer_state.json",
                LOGGED(10, 10, "{\"loss\": 0.0, \"grad_norm\": NaN, \"step\": 9}")}}},
    {.name = "a loss of 0 alone is no divergence", .state = QN_RUN_COMPLETED, .why = "step 10 of 10",
     .names = "checkpoint-10", .last = "checkpoint-10", .best = "checkpoint-10|last",
     .files = {CKPT(10), {"run/checkpoint-10/trainer_state.json",
                LOGGED(10, 10, "{\"loss\": NaN, \"step\": 8}, {\"loss\": 0.0, \"grad_norm\": 0.1, \"step\": 9}")}}},
    {.name = "taken up again after its end", .state = QN_RUN_RUNNING, .why = "checkpoint-40/trainer_state.json",
     .names = "checkpoint-40 run", .last = "checkpoint-40", .best = "checkpoint-40|last",
     .files = {CKPT_OF(40, 80), {"run/trainer_state.json", LOGGED(20, 20, "{\"step\": 20, \"train_runtime\": 3.0}")},
               {"run/train_results.json", "{}"},
               {"run/adapter_config.json", ADAPTER}, {"run/adapter_model.safetensors", WHOLE}}},

    /* A run of one. */
    {.name = "one adapter", .state = QN_RUN_UNKNOWN, .why = "downloaded or exported", .names = "run", .last = "run",
     .best = "run|last", .files = {{"run/adapter_config.json", ADAPTER}, {"run/adapter_model.safetensors", WHOLE}}},
    {.name = "one model", .state = QN_RUN_UNKNOWN, .why = "downloaded or exported", .names = "run", .last = "run",
     .best = "run|last", .files = {{"run/config.json", "{}"}, {"run/model.safetensors", WHOLE}}},
    {.name = "one model in shards of which one is missing", .state = QN_RUN_UNKNOWN, .names = "run!",
     .files = {{"run/config.json", "{}"}, {"run/model-00001-of-00002.safetensors", WHOLE},
               {"run/model.safetensors.index.json", "{\"weight_map\": {\"a\": \"model-00001-of-00002.safetensors\", "
                                                    "\"b\": \"model-00002-of-00002.safetensors\"}}"}}},
    {.name = "one checkpoint in the middle", .dir = "run/checkpoint-10", .state = QN_RUN_UNKNOWN,
     .why = "one checkpoint alone, at step 10 of 99", .names = "checkpoint-10", .last = "checkpoint-10",
     .best = "checkpoint-10|last", .files = {CKPT_OF(10, 99)}},
    {.name = "one checkpoint at the end", .dir = "run/checkpoint-99/", .state = QN_RUN_COMPLETED,
     .why = "step 99 of 99",
     .names = "checkpoint-99", .last = "checkpoint-99", .best = "checkpoint-99|last", .files = {CKPT_OF(99, 99)}},
    {.name = "one checkpoint without its state", .dir = "run/checkpoint-10", .state = QN_RUN_UNKNOWN,
     .names = "checkpoint-10", .last = "checkpoint-10", .best = "checkpoint-10|last", .files = {CKPT(10)}},
    {.name = "one checkpoint without weights", .dir = "run/checkpoint-10", .state = QN_RUN_UNKNOWN,
     .names = "checkpoint-10!",
     .files = {{"run/checkpoint-10/adapter_config.json", ADAPTER},
               {"run/checkpoint-10/trainer_state.json", STATE(10, 99)}}},
    {.name = "PyTorch's weights are taken as they are", .state = QN_RUN_UNKNOWN, .names = "run", .last = "run",
     .best = "run|last", .files = {{"run/config.json", "{}"}, {"run/pytorch_model.bin", "PK"}}},

    /* The best. */
    {.name = "best by its name on another machine", .state = QN_RUN_COMPLETED, .names = "checkpoint-10 checkpoint-20",
     .last = "checkpoint-20", .best = "checkpoint-10|best eval_loss 0.25",
     .files = {CKPT_OF(10, 20), CKPT(20), {"run/checkpoint-20/trainer_state.json",
                "{\"global_step\": 20, \"max_steps\": 20, \"best_metric\": 0.25, "
                "\"best_model_checkpoint\": \"C:\\\\out\\\\checkpoint-10\\\\\", \"log_history\": "
                "[{\"eval_loss\": 0.25, \"step\": 10}, {\"eval_loss\": 0.5, \"step\": 20}]}"}}},
    {.name = "best outside", .state = QN_RUN_COMPLETED, .names = "checkpoint-10 checkpoint-20",
     .last = "checkpoint-20", .best = "checkpoint-20|last",
     .files = {CKPT_OF(10, 20), CKPT(20), {"run/checkpoint-20/trainer_state.json",
                "{\"global_step\": 20, \"max_steps\": 20, \"best_model_checkpoint\": \"../../etc/passwd\", "
                "\"log_history\": []}"}}},
    {.name = "best was rotated away", .state = QN_RUN_COMPLETED, .names = "checkpoint-20 checkpoint-30",
     .last = "checkpoint-30", .best = "checkpoint-20|best eval_loss 0.5",
     .files = {CKPT_OF(20, 30), CKPT(30), {"run/checkpoint-30/trainer_state.json",
                "{\"global_step\": 30, \"max_steps\": 30, \"best_metric\": 0.25, "
                "\"best_model_checkpoint\": \"out/checkpoint-10\", \"log_history\": [{\"eval_loss\": 0.25, "
                "\"step\": 10}, "
                "{\"eval_loss\": 0.5, \"step\": 20}, {\"eval_loss\": 0.75, \"step\": 30}]}"}}},
    {.name = "best of an accuracy", .state = QN_RUN_COMPLETED, .names = "checkpoint-20 checkpoint-30",
     .last = "checkpoint-30", .best = "checkpoint-30|best eval_accuracy 0.75",
     .files = {CKPT_OF(20, 30), CKPT(30), {"run/checkpoint-30/trainer_state.json",
                "{\"global_step\": 30, \"max_steps\": 30, \"best_metric\": 0.95, "
                "\"best_model_checkpoint\": \"out/checkpoint-10\", "
                "\"log_history\": [{\"eval_accuracy\": 0.95, \"step\": 10}, "
                "{\"eval_accuracy\": 0.5, \"step\": 20}, {\"eval_accuracy\": 0.75, \"step\": 30}]}"}}},
    {.name = "best by the log", .state = QN_RUN_COMPLETED, .names = "checkpoint-10 checkpoint-20",
     .last = "checkpoint-20", .best = "checkpoint-10|best eval_loss 0.125",
     .files = {CKPT_OF(10, 20), CKPT(20), {"run/checkpoint-20/trainer_state.json",
                LOGGED(20, 20, "{\"eval_loss\": 0.125, \"step\": 10}, {\"eval_loss\": 0.01, \"step\": 15}, "
                               "{\"eval_loss\": NaN, \"step\": 20}")}}},
    {.name = "best by its step", .state = QN_RUN_COMPLETED, .names = "checkpoint-10 checkpoint-20",
     .last = "checkpoint-20", .best = "checkpoint-10|best by best_model_checkpoint",
     .files = {CKPT_OF(10, 20), CKPT(20), {"run/checkpoint-20/trainer_state.json",
                "{\"global_step\": 20, \"max_steps\": 20, \"best_global_step\": 10, \"log_history\": []}"}}},
    {.name = "best is incomplete", .state = QN_RUN_COMPLETED, .names = "checkpoint-10! checkpoint-20",
     .last = "checkpoint-20", .best = "checkpoint-20|last: the best, checkpoint-10, is incomplete",
     .files = {{"run/checkpoint-10/adapter_config.json", ADAPTER}, CKPT(20), {"run/checkpoint-20/trainer_state.json",
                "{\"global_step\": 20, \"max_steps\": 20, \"best_model_checkpoint\": \"checkpoint-10\", "
                "\"log_history\": []}"}}},

    /* Damage. */
    {.name = "names that are no checkpoints", .age_s = OLD_S, .state = QN_RUN_FAILED,
     .names = "checkpoint-007 checkpoint-10", .last = "checkpoint-10", .best = "checkpoint-10|last",
     .files = {CKPT_OF(10, 99), {"run/checkpoint-/x", ""}, {"run/checkpoint-99999999999999999999/x", ""},
               {"run/checkpoint-5", "a file"}, {"run/checkpoint-10-merged/x", ""}, {"run/checkpoint--5/x", ""},
               {"run/tmp-checkpoint-20/x", ""}, CKPT(007), {"run/checkpoint-007/trainer_state.json", STATE(7, 99)}}},
    {.name = "a state that is no JSON", .age_s = OLD_S, .state = QN_RUN_FAILED, .why = "step 10 of 99",
     .names = "checkpoint-10 checkpoint-20!", .last = "checkpoint-10",
     .best = "checkpoint-10|last; checkpoint-20 is incomplete: ",
     .files = {CKPT_OF(10, 99), CKPT(20), {"run/checkpoint-20/trainer_state.json", "{\"global_step\": 2"}}},
    {.name = "a state that is a list", .age_s = OLD_S, .state = QN_RUN_FAILED, .names = "checkpoint-20!",
     .why = "no trainer_state.json", .files = {CKPT(20), {"run/checkpoint-20/trainer_state.json", "[]"}}},
    {.name = "a state with numbers too large for anything", .age_s = OLD_S, .state = QN_RUN_FAILED,
     .names = "checkpoint-20!", .why = "no trainer_state.json",
     .files = {CKPT(20), {"run/checkpoint-20/trainer_state.json", "{\"global_step\": 1e999}"}}},
    {.name = "a state of wrong types", .age_s = OLD_S, .state = QN_RUN_FAILED, .why = "step 0 of 0",
     .names = "checkpoint-20", .last = "checkpoint-20", .best = "checkpoint-20|last",
     .files = {CKPT(20), {"run/checkpoint-20/trainer_state.json",
                "{\"global_step\": \"20\", \"max_steps\": -3, \"epoch\": {}, \"log_history\": {\"loss\": 1}, "
                "\"best_model_checkpoint\": 7, \"best_metric\": \"x\", \"stateful_callbacks\": [1], "
                "\"save_steps\": []}"}}},
    {.name = "a log of wrong types", .state = QN_RUN_COMPLETED, .names = "checkpoint-20", .last = "checkpoint-20",
     .best = "checkpoint-20|last",
     .files = {CKPT(20), {"run/checkpoint-20/trainer_state.json",
                LOGGED(20, 20, "1, null, [], {\"loss\": \"3\", \"step\": 1}, {\"eval_loss\": 1, \"step\": \"20\"}, "
                               "{\"eval_loss\": [], \"step\": 20}, {\"eval_loss\": 1, \"step\": -20}, {}")}}},
    {.name = "huge steps", .state = QN_RUN_COMPLETED, .names = "checkpoint-9000000000000000000",
     .last = "checkpoint-9000000000000000000", .best = "checkpoint-9000000000000000000|last",
     .files = {CKPT_OF(9000000000000000000, 9000000000000000000)}},
    {.name = "cut weights", .state = QN_RUN_RUNNING, .names = "checkpoint-10 checkpoint-20!", .last = "checkpoint-10",
     .best = "checkpoint-10|last; checkpoint-20 is incomplete: ",
     .files = {CKPT_OF(10, 99), {"run/checkpoint-20/adapter_config.json", ADAPTER},
               {"run/checkpoint-20/adapter_model.safetensors", TRUNCATED},
               {"run/checkpoint-20/trainer_state.json", STATE(20, 99)}}},
    {.name = "pointers instead of weights", .state = QN_RUN_COMPLETED, .names = "checkpoint-20!",
     .files = {{"run/checkpoint-20/adapter_config.json", ADAPTER},
               {"run/checkpoint-20/adapter_model.safetensors", POINTER},
               {"run/checkpoint-20/trainer_state.json", STATE(20, 20)}}},
    {.name = "pointers instead of PyTorch's weights", .state = QN_RUN_UNKNOWN, .names = "run!",
     .files = {{"run/adapter_config.json", ADAPTER}, {"run/adapter_model.bin", POINTER}}},
    {.name = "a broken adapter_config.json", .state = QN_RUN_RUNNING, .names = "checkpoint-10!",
     .files = {{"run/checkpoint-10/adapter_config.json", "nonsense"},
               {"run/checkpoint-10/trainer_state.json", STATE(10, 99)},
               {"run/checkpoint-10/adapter_model.safetensors", WHOLE}}},
    {.name = "weights without a configuration", .state = QN_RUN_RUNNING, .names = "checkpoint-10!",
     .files = {{"run/checkpoint-10/trainer_state.json", STATE(10, 99)},
               {"run/checkpoint-10/model.safetensors", WHOLE}}},
    {.name = "a broken state at the root", .state = QN_RUN_COMPLETED, .names = "checkpoint-20", .last = "checkpoint-20",
     .best = "checkpoint-20|last", .files = {CKPT_OF(20, 20), {"run/trainer_state.json", "{"}}},
    {.name = "a progress log of anything", .state = QN_RUN_RUNNING, .why = "trainer_log.jsonl is at step 30 of 99",
     .names = "checkpoint-20", .last = "checkpoint-20", .best = "checkpoint-20|last",
     .files = {CKPT_OF(20, 99),
               {"run/trainer_log.jsonl", "{\"current_steps\": 30, \"total_steps\": 99}\n[1]\n\n{\"curr"},
               {"run/logging.jsonl", "{\"global_step/max_steps\": \"99999999999999999999/x\"}"}}},

    /* Nothing there. */
    {.name = "no folder", .dir = "nowhere", .status = QN_E_NOT_FOUND, .message = "nowhere", .files = {{"run/x", ""}}},
    {.name = "a file", .dir = "run/x", .status = QN_E_NOT_FOUND, .message = "run/x", .files = {{"run/x", ""}}},
    {.name = "an empty folder", .status = QN_E_NOT_FOUND, .message = "no checkpoint-N folder",
     .files = {{"run", DIRECTORY}}},
    {.name = "a configuration alone", .status = QN_E_NOT_FOUND, .message = "there is config.json, but no weights",
     .files = {{"run/config.json", "{}"}}},
    {.name = "one folder too high", .dir = ".", .status = QN_E_NOT_FOUND, .message = "/run does: give that",
     .files = {CKPT_OF(10, 10)}},
};
/* clang-format on */

/* A safetensors file of one float, or the beginning of it. */
static char *write_weights(const char *dir, const char *name, bool is_whole) {
    static const char header[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}    ";
    unsigned char bytes[8 + sizeof header - 1 + 4] = {0};
    bytes[0] = (unsigned char)(sizeof header - 1);
    memcpy(bytes + 8, header, sizeof header - 1);
    return write_file(dir, name, bytes, sizeof bytes - (is_whole ? 0 : 3));
}

static void make_parents(const char *root, const char *path) {
    for (const char *slash = strchr(path, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        char name[256];
        (void)snprintf(name, sizeof name, "%.*s", (int)(slash - path), path);
        char *dir = join_path(root, name);
        (void)mkdir(dir, 0777);
        free(dir);
    }
}

static void make_file(const char *root, const made_file *file, int64_t age_s) {
    char *path = NULL;
    make_parents(root, file->path);
    if (strcmp(file->text, DIRECTORY) == 0) {
        path = join_path(root, file->path);
        assert_int_equal(mkdir(path, 0777), 0);
    } else if (strcmp(file->text, WHOLE) == 0 || strcmp(file->text, TRUNCATED) == 0) {
        path = write_weights(root, file->path, strcmp(file->text, WHOLE) == 0);
    } else if (strcmp(file->text, POINTER) == 0) {
        path = write_text(root, file->path,
                          "version https://git-lfs.github.com/spec/v1\noid sha256:"
                          "4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n");
    } else {
        path = write_text(root, file->path, file->text);
    }
    const struct timespec when = {time(NULL) - age_s, 0};
    const struct timespec times[2] = {when, when};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    free(path);
}

/* "checkpoint-1 checkpoint-2!" */
static void list_checkpoints(const qn_training_run *run, char *text, size_t size) {
    size_t n = 0;
    text[0] = '\0';
    for (uint64_t i = 0; i < run->n_checkpoints && n < size; i++) {
        const qn_checkpoint *c = &run->checkpoints[i];
        n += (size_t)snprintf(text + n, size - n, "%s%s%s", i > 0 ? " " : "", c->name, c->is_complete ? "" : "!");
        if (!c->is_complete) {
            assert_non_null(c->note);
        }
    }
}

static void check_last(const run_case *k, const qn_training_run *run) {
    const qn_checkpoint *last = NULL;
    const char *why = NULL;
    qn_error err;
    if (k->last == NULL) {
        assert_status(&err, qn_run_pick(run, "last", &last, &why, &err), QN_E_FORMAT);
        assert_message_has(&err, "is incomplete");
        return;
    }
    assert_ok(&err, qn_run_pick(run, "last", &last, &why, &err));
    assert_string_equal(last->name, k->last);
    assert_true(last->is_last);
}

static void check_best(const run_case *k, const qn_training_run *run) {
    const qn_checkpoint *best = NULL;
    const char *why = NULL;
    char found[1024];
    qn_error err;
    if (k->best == NULL) {
        assert_status(&err, qn_run_pick(run, NULL, &best, &why, &err), QN_E_FORMAT);
        return;
    }
    assert_ok(&err, qn_run_pick(run, NULL, &best, &why, &err));
    (void)snprintf(found, sizeof found, "%s|%s", best->name, why);
    if (strncmp(found, k->best, strlen(k->best)) != 0) {
        fail_msg("%s: picked %s, wanted %s", k->name, found, k->best);
    }
}

static void check_case(const run_case *k) {
    char *root = make_temp_dir();
    qn_training_run *run = NULL;
    qn_error err;
    for (size_t i = 0; i < MAX_FILES && k->files[i].path != NULL; i++) {
        make_file(root, &k->files[i], k->age_s);
    }
    char *dir = join_path(root, k->dir == NULL ? "run" : k->dir);
    const qn_status status = qn_run_open(dir, &run, &err);
    if (status != k->status) {
        fail_msg("%s: %s: %s", k->name, qn_status_name(status), status == QN_OK ? "" : err.message);
    }
    if (status != QN_OK) {
        assert_message_has(&err, k->message);
        assert_null(run);
    } else {
        char names[1024];
        list_checkpoints(run, names, sizeof names);
        if (run->state != k->state || strcmp(names, k->names) != 0 ||
            strstr(run->why, k->why == NULL ? "" : k->why) == NULL) {
            fail_msg("%s: %s, %s (%s)", k->name, qn_run_state_name(run->state), names, run->why);
        }
        check_last(k, run);
        check_best(k, run);
    }
    qn_run_close(run);
    free(dir);
    remove_temp_dir(root);
}

static void test_cases(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        check_case(&cases[i]);
    }
}

/* A gap of an hour between two saves of ten steps: ten mean steps are an hour, two saves are two. */
static void test_quiet_limit(void **state) {
    static const struct {
        int64_t age_s;
        qn_run_state state;
    } ages[] = {{3600 + 1800, QN_RUN_RUNNING}, {3 * 3600, QN_RUN_FAILED}};
    (void)state;
    for (size_t i = 0; i < sizeof ages / sizeof ages[0]; i++) {
        static const made_file older[] = {CKPT_OF(10, 99)};
        static const made_file newer[] = {CKPT_OF(20, 99)};
        char *root = make_temp_dir();
        qn_training_run *run = NULL;
        qn_error err;
        for (size_t k = 0; k < sizeof older / sizeof older[0]; k++) {
            make_file(root, &older[k], ages[i].age_s + 3600);
            make_file(root, &newer[k], ages[i].age_s);
        }
        char *dir = join_path(root, "run");
        assert_ok(&err, qn_run_open(dir, &run, &err));
        assert_int_equal(run->state, ages[i].state);
        qn_run_close(run);
        free(dir);
        remove_temp_dir(root);
    }
}

static void test_pick_by_step(void **state) {
    static const struct {
        const char *which;
        qn_status status;
        const char *found; /* name, or a part of the message */
    } picks[] = {
        {"10", QN_OK, "checkpoint-10"},
        {"checkpoint-10", QN_OK, "checkpoint-10"},
        {"20", QN_E_FORMAT, "checkpoint-20 is incomplete: trainer_state.json is missing"},
        {"15", QN_E_NOT_FOUND, "'15': give best, last or the step of one of checkpoint-10, checkpoint-20 (incomplete)"},
        {"", QN_E_NOT_FOUND, "there is no checkpoint ''"},
        {"-10", QN_E_NOT_FOUND, "there is no checkpoint '-10'"},
        {"newest", QN_E_NOT_FOUND, "there is no checkpoint 'newest'"},
        {"99999999999999999999999999999999999999999999999999999999999999999999", QN_E_NOT_FOUND, "no checkpoint"},
        {"best", QN_OK, "checkpoint-10"}};
    static const made_file files[] = {CKPT_OF(10, 99), CKPT(20)};
    char *root = make_temp_dir();
    qn_training_run *run = NULL;
    qn_error err;
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        make_file(root, &files[i], OLD_S);
    }
    char *dir = join_path(root, "run");
    assert_ok(&err, qn_run_open(dir, &run, &err));
    for (size_t i = 0; i < sizeof picks / sizeof picks[0]; i++) {
        const qn_checkpoint *c = NULL;
        const char *why = NULL;
        assert_status(&err, qn_run_pick(run, picks[i].which, &c, &why, &err), picks[i].status);
        if (picks[i].status == QN_OK) {
            assert_string_equal(c->name, picks[i].found);
            assert_non_null(why);
        } else {
            assert_message_has(&err, picks[i].found);
        }
    }
    qn_run_close(run);
    free(dir);
    remove_temp_dir(root);
}

/* The sample run: what each checkpoint says of itself. */
static void test_sample(void **state) {
    static const struct {
        uint64_t step;
        double epoch;
        double loss;
        double eval_loss;
    } wanted[] = {{100, 25.0, 0.1726, 0.19775},
                  {200, 50.0, 0.0246, 0.05768},
                  {300, 75.0, 0.0179, 0.04344},
                  {400, 100.0, 0.0616, 0.0404}};
    qn_training_run *run = NULL;
    const qn_checkpoint *best = NULL;
    const char *why = NULL;
    qn_error err;
    (void)state;
    assert_ok(&err, qn_run_open(QN_SAMPLES_DIR "/miller-sft", &run, &err));
    assert_string_equal(run->name, "miller-sft");
    assert_string_equal(run->base, "miller-base");
    assert_int_equal(run->state, QN_RUN_COMPLETED);
    assert_int_equal(run->kind, QN_RUN_KIND_ADAPTER);
    assert_int_equal(run->step, 400);
    assert_int_equal(run->max_steps, 400);
    assert_int_equal(run->n_checkpoints, 4);
    for (size_t i = 0; i < 4; i++) {
        const qn_checkpoint *c = &run->checkpoints[i];
        double eval_loss = 0.0;
        assert_int_equal(c->step, wanted[i].step);
        assert_true(c->epoch == wanted[i].epoch);
        assert_true(c->loss == wanted[i].loss);
        assert_true(qn_json_f64(c->eval, "eval_loss", &eval_loss));
        assert_true(eval_loss == wanted[i].eval_loss);
        assert_true(c->is_complete && c->note == NULL && !c->is_root);
        assert_int_equal(c->is_best, i == 3);
        assert_int_equal(c->is_last, i == 3);
    }
    assert_ok(&err, qn_run_pick(run, NULL, &best, &why, &err));
    assert_string_equal(best->name, "checkpoint-400");
    assert_string_equal(why, "best eval_loss 0.0404");
    qn_run_close(run);
}

/* What is not known is NaN or NULL, not 0. */
static void test_unknown_values(void **state) {
    static const made_file files[] = {{"run/config.json", "{}"}, {"run/model.safetensors", WHOLE}};
    char *root = make_temp_dir();
    qn_training_run *run = NULL;
    qn_error err;
    (void)state;
    make_file(root, &files[0], 0);
    make_file(root, &files[1], 0);
    char *dir = join_path(root, "run");
    assert_ok(&err, qn_run_open(dir, &run, &err));
    assert_int_equal(run->kind, QN_RUN_KIND_FULL);
    assert_true(isnan(run->epoch) && isnan(run->checkpoints[0].loss) && isnan(run->checkpoints[0].epoch));
    assert_null(run->base);
    assert_null(run->state_json);
    assert_null(run->checkpoints[0].eval);
    assert_true(run->checkpoints[0].is_root);
    qn_run_close(run);
    qn_run_close(NULL);
    free(dir);
    remove_temp_dir(root);
}

/* Real runs, where they are at hand. */
static void test_shared_runs(void **state) {
    static const struct {
        const char *dir;
        uint64_t n_checkpoints;
        const char *last; /* NULL: none is complete */
        const char *base;
    } runs[] = {{"trainer-gpt2-lora/results", 5, "checkpoint-7500", "gpt2"},
                {"trainer-gpt2-lora/lora-model", 1, "lora-model", "gpt2"},
                {"trainer-llama2-lora-noweights", 1, NULL, NULL},
                {"lfs-pointers/gpt2_lora", 1, NULL, NULL},
                {"lfs-pointers/distilgpt2_lora", 1, NULL, NULL},
                {"lfs-pointers/qwen3-lora", 1, NULL, NULL},
                {"lfs-pointers/distilbert", 1, NULL, NULL},
                {"peft-qwen2.5", 1, "peft-qwen2.5", NULL}};
    const char *shared = getenv("QUERN_SHARED");
    char data[1024];
    (void)state;
    (void)snprintf(data, sizeof data, "%s/data", shared == NULL ? QN_SAMPLES_DIR "/../../shared" : shared);
    if (!path_exists(data)) {
        skip();
    }
    for (size_t i = 0; i < sizeof runs / sizeof runs[0]; i++) {
        char *dir = join_path(data, runs[i].dir);
        qn_training_run *run = NULL;
        const qn_checkpoint *last = NULL;
        const char *why = NULL;
        qn_error err;
        assert_ok(&err, qn_run_open(dir, &run, &err));
        assert_int_equal(run->n_checkpoints, runs[i].n_checkpoints);
        assert_status(&err, qn_run_pick(run, NULL, &last, &why, &err), runs[i].last == NULL ? QN_E_FORMAT : QN_OK);
        if (runs[i].last != NULL) {
            assert_string_equal(last->name, runs[i].last);
        }
        if (runs[i].base != NULL) {
            assert_string_equal(run->base, runs[i].base);
        }
        qn_run_close(run);
        free(dir);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),  cmocka_unit_test(test_quiet_limit),    cmocka_unit_test(test_pick_by_step),
        cmocka_unit_test(test_sample), cmocka_unit_test(test_unknown_values), cmocka_unit_test(test_shared_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
