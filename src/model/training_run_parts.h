/* SPDX-License-Identifier: MIT */
/* training_run_parts.h: what the files of training_run share: weights, the log of losses, and the judgement. */
#ifndef QUERN_MODEL_TRAINING_RUN_PARTS_H
#define QUERN_MODEL_TRAINING_RUN_PARTS_H

#include "model/training_run.h"

/** A run with what its header does not show. The first member is the run itself. */
typedef struct qn_run_opened {
    qn_training_run run;
    json_t *evals;        /**< array that owns what qn_checkpoint.eval points to */
    const char *best_why; /**< "best eval_loss 0.0404"; NULL when the best is not known */
} qn_run_opened;

/** What a folder holds in the way of weights. */
typedef struct qn_weights_look {
    qn_run_kind kind;
    bool has_weights;   /**< a weights file is there, whole or not */
    bool is_whole;      /**< and it can be read to its last tensor */
    bool is_pointer;    /**< it is a Git-LFS pointer */
    const char *config; /**< "adapter_config.json" or "config.json" when that is there; NULL */
    const char *note;   /**< why it is not whole, or other advice; NULL. In the arena */
} qn_weights_look;

/**
 * Looks at a folder's weights: adapter_config.json makes it an adapter, config.json a model. Opening them reads
 * headers only.
 * @return QN_OK also when they are broken or missing (look->note says how); QN_E_IO; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_look_at_weights(qn_arena *arena, const char *dir, qn_weights_look *look, qn_error *err);

/** The log_history of a trainer_state.json; NULL when it is absent or not a list. state may be NULL. */
const json_t *qn_log_of(const json_t *state);
/** The last training loss logged at or before a step; NaN when there is none or it was not a number. */
double qn_log_loss(const json_t *log, uint64_t step);
/** A new object of the eval_* values logged at a step; an empty one when there are none; NULL when memory is short. */
json_t *qn_log_eval(const json_t *log, uint64_t step);
/** Whether the last logged losses are not numbers; *step is where. Source: facts/training_outputs.md 3.6. */
bool qn_log_is_diverged(const json_t *log, uint64_t *step);
/** Whether the log's last entry is the one that ends a training (train_runtime). */
bool qn_log_is_ended(const json_t *log);

/**
 * Marks the best checkpoint and fills best_why: best_model_checkpoint by its base name, else best_global_step, else the
 * best value in the log of the metric that best_metric tells, or of eval_loss.
 * @return QN_OK also when the best is not known; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_run_mark_best(qn_run_opened *opened, qn_error *err);

/** What the judgement needs beside the run. */
typedef struct qn_run_evidence {
    const char *state_file;    /**< "checkpoint-400/trainer_state.json"; NULL when there is none */
    bool is_root_state;        /**< it is the one in the run's own folder */
    bool has_old_root_state;   /**< there is one in the run's own folder, but a checkpoint's is newer */
    const char *final_weights; /**< where weights of the last step are: "checkpoint-400", "the run's folder"; NULL */
    bool is_single;            /**< the folder is itself one checkpoint, adapter or model */
    bool has_root_weights;     /**< whole weights, or a pointer to them, in the run's own folder */
} qn_run_evidence;

/** Where a progress log (trainer_log.jsonl, logging.jsonl) has come to. */
typedef struct qn_run_progress {
    const char *file; /**< its name; NULL when there is none */
    uint64_t step;
    uint64_t n_steps; /**< of how many; 0 when unknown */
} qn_run_progress;

/** Reads the last line of the run's progress log that tells a step. @return QN_OK also without one; QN_E_NOMEM */
QN_NODISCARD qn_status qn_run_read_progress(qn_arena *arena, const char *dir, qn_run_progress *out, qn_error *err);

/** A text that a *.log file in the run's folder ends in. */
typedef struct qn_run_hint {
    const char *file; /**< NULL when no log says anything */
    const char *text; /**< "CUDA out of memory" */
} qn_run_hint;

/** Looks through the ends of *.log for signs of a death. @return QN_OK also without one; QN_E_NOMEM */
QN_NODISCARD qn_status qn_run_read_hint(qn_arena *arena, const char *dir, qn_run_hint *out, qn_error *err);
/** Whether debug.log says that training was completed. */
bool qn_run_log_says_completed(qn_arena *arena, const char *dir);

/** The newest file that training writes. */
typedef struct qn_run_touch {
    const char *file; /**< relative to the run; NULL when there is none */
    int64_t time_s;   /**< seconds since 1970 */
} qn_run_touch;

/** Finds it among the run's weights, states, logs and TensorBoard events. @return QN_OK; QN_E_NOMEM */
QN_NODISCARD qn_status qn_run_find_touch(qn_arena *arena, const char *dir, qn_run_touch *out, qn_error *err);

/** Modification time of dir/name in seconds since 1970. @return false when it is not there */
bool qn_run_file_time(qn_arena *arena, const char *dir, const char *name, int64_t *time_s);

/**
 * Fills run->state, why, step and max_steps. Source: facts/training_outputs.md 3.
 * @return QN_OK; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_run_judge(qn_training_run *run, const qn_run_evidence *evidence, qn_error *err);

/**
 * Whether a failure says nothing of the checkpoint: memory was short, or the disk did not answer. Such a one must not
 * make another checkpoint the best.
 */
static inline bool qn_run_is_blameless(qn_status status) {
    return status == QN_E_NOMEM || status == QN_E_IO;
}

#endif
