/* SPDX-License-Identifier: MIT */
/* journal.h: remembers which units of a job are written, so that an interrupted job goes on. */
#ifndef QUERN_PACK_JOURNAL_H
#define QUERN_PACK_JOURNAL_H

#include "stream/executor.h"

/** An open journal, locked against other processes. */
typedef struct qn_journal qn_journal;

/**
 * Opens or begins the journal of a job.
 * @param fingerprint of the job: a journal of another job is begun anew
 * @param state       done units and their sums are filled in
 * @param published   [n_files] set to true for files that already had their final name; the caller's
 * @return QN_OK; QN_E_EXISTS when another process works on this job; QN_E_IO; QN_E_SPACE
 */
QN_NODISCARD qn_status qn_journal_open(const char *path, uint64_t fingerprint, const qn_stream_plan *plan,
                                       qn_stream_state *state, bool *published, qn_journal **out, qn_error *err);

/** Notes a unit as written. @param hashes [n_outputs] */
QN_NODISCARD qn_status qn_journal_unit(qn_journal *journal, uint64_t unit, const uint64_t *hashes, qn_error *err);

/** Notes that a file is about to get its final name. */
QN_NODISCARD qn_status qn_journal_published(qn_journal *journal, uint32_t file, qn_error *err);

/** Closes and unlocks; the file stays. Accepts NULL. */
void qn_journal_close(qn_journal *journal);

/** Closes and removes the file: the job is done. */
void qn_journal_remove(qn_journal *journal);

#endif
