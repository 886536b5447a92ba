/* SPDX-License-Identifier: MIT */
/* training_run.h: a Trainer's output folder: its checkpoints, which is best, and how the run ended. */
#ifndef QUERN_MODEL_TRAINING_RUN_H
#define QUERN_MODEL_TRAINING_RUN_H

#include "base/json.h"
#include "base/memory.h"

/** How a run stands, judged from its files alone. Source: facts/training_outputs.md 3. */
typedef enum qn_run_state {
    QN_RUN_UNKNOWN,
    QN_RUN_COMPLETED,
    QN_RUN_STOPPED_EARLY, /**< by an early-stopping rule */
    QN_RUN_STOPPED_BY_USER,
    QN_RUN_FAILED,
    QN_RUN_RUNNING,
    QN_RUN_DIVERGED
} qn_run_state;

/** Whether a folder holds an adapter or a whole model. */
typedef enum qn_run_kind { QN_RUN_KIND_UNKNOWN, QN_RUN_KIND_ADAPTER, QN_RUN_KIND_FULL } qn_run_kind;

/** A checkpoint-N folder (or the run's root, with final weights). */
typedef struct qn_checkpoint {
    const char *name; /**< "checkpoint-400"; the run's folder name for the root */
    const char *dir;
    uint64_t step;      /**< 0 when unknown */
    double epoch;       /**< NaN when unknown */
    double loss;        /**< the last training loss logged at or before the step; NaN when unknown */
    const json_t *eval; /**< object of eval_* metrics logged at the step; NULL when none. Borrowed from the run */
    qn_run_kind kind;
    bool is_root;     /**< the run's own folder rather than a checkpoint-N in it */
    bool is_complete; /**< weights whole and, for checkpoint-N, trainer_state.json there */
    bool is_best;
    bool is_last;
    const char *note; /**< why it is not complete, or other advice; NULL */
} qn_checkpoint;

/** A run. Everything lives until qn_run_close(). */
typedef struct qn_training_run {
    qn_arena *arena;
    const char *dir;
    const char *name; /**< the folder's name */
    qn_run_state state;
    const char *why; /**< one sentence: what the state was judged from */
    qn_run_kind kind;
    const char *base; /**< base_model_name_or_path of the newest adapter; NULL */
    uint64_t step;
    uint64_t max_steps;
    double epoch;
    qn_checkpoint *checkpoints; /**< by step, ascending; the root, if it has weights, last */
    uint64_t n_checkpoints;
    json_t *state_json; /**< newest trainer_state.json; NULL */
} qn_training_run;

/**
 * Reads a run folder. A single checkpoint or adapter folder is a run of one.
 * @param out to be closed with qn_run_close()
 * @return QN_OK; QN_E_NOT_FOUND when the folder, or any checkpoint in it, is not there; QN_E_FORMAT; QN_E_NOMEM
 */
QN_NODISCARD qn_status qn_run_open(const char *dir, qn_training_run **out, qn_error *err);
/** Frees; accepts NULL. */
void qn_run_close(qn_training_run *run);

/**
 * Picks a checkpoint.
 * @param which "best", "last", a step, or NULL: best if known, else last
 * @param why   out: "best eval_loss 0.0404", "last"; lives in the run
 * @return QN_OK; QN_E_NOT_FOUND listing those that are there; QN_E_FORMAT when the one asked for is incomplete
 */
QN_NODISCARD qn_status qn_run_pick(const qn_training_run *run, const char *which, const qn_checkpoint **out,
                                   const char **why, qn_error *err);

/** "completed", "stopped_early", … ; never NULL. */
const char *qn_run_state_name(qn_run_state state);

/**
 * Finds a model by the name an adapter gives for its base: a folder (as given, beside the adapter folder, beside
 * its parents up to three levels), or a Hub name in the local cache (HF_HOME, HUGGINGFACE_HUB_CACHE,
 * ~/.cache/huggingface/hub: models--ORG--NAME/snapshots, refs/main preferred).
 * @param name   base_model_name_or_path
 * @param near_dir the adapter's folder; NULL when a person typed the name: no neighbours are looked at then
 * @param remedy last line of the message where it is not found
 * @param dir    out: in the arena
 * @return QN_OK; QN_E_NOT_FOUND naming every place looked at
 */
QN_NODISCARD qn_status qn_find_base(qn_arena *arena, const char *name, const char *near_dir, const char *remedy,
                                    const char **dir, qn_error *err);

#endif
