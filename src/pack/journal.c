/* SPDX-License-Identifier: MIT */
/*
 * journal.c: a file of records appended while a job runs. It is never trusted alone: a resume reads the units it
 * names back and compares their sums.
 *
 *     OFFSET  SIZE          MEANING
 *     0       8             "QNJRNL1\n"
 *     8       8             fingerprint of the job
 *     16      8             number of units
 *     24      8             number of outputs
 *     32      …             records of 16 + 8 * outputs bytes, each:
 *       0     8             unit; or 2^63 + file: it was about to be renamed
 *       8     8 * outputs   sums of what was written (0 in a rename record)
 *       …     8             sum of the record so far
 *
 * All numbers little-endian. A record cut off or damaged ends the list.
 */
#include "pack/journal.h"

#include "base/buffer.h"
#include "base/cursor.h"
#include "base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[8] = {'Q', 'N', 'J', 'R', 'N', 'L', '1', '\n'};
static const uint64_t published_bit = 1ULL << 63;

enum { HEADER_BYTES = 32 };

struct qn_journal {
    int fd;
    uint32_t n_outputs;
    qn_buffer record; /* reused for each record */
    char path[];
};

static size_t record_bytes(uint32_t n_outputs) {
    return 16 + 8 * (size_t)n_outputs;
}

static qn_status append(qn_journal *j, qn_error *err) {
    QN_TRY(qn_buffer_status(&j->record, err));
    size_t done = 0;
    while (done < j->record.len) {
        const ssize_t k = write(j->fd, j->record.data + done, j->record.len - done);
        if (k < 0 && errno == EINTR) {
            continue;
        }
        if (k <= 0) {
            return qn_fail_errno(err, QN_E_IO, k == 0 ? ENOSPC : errno, "%s: cannot write the journal", j->path);
        }
        done += (size_t)k;
    }
    return QN_OK;
}

static qn_status append_record(qn_journal *j, uint64_t what, const uint64_t *hashes, qn_error *err) {
    j->record.len = 0;
    qn_buffer_u64(&j->record, what);
    for (uint32_t i = 0; i < j->n_outputs; i++) {
        qn_buffer_u64(&j->record, hashes == NULL ? 0 : hashes[i]);
    }
    QN_TRY(qn_buffer_status(&j->record, err));
    qn_buffer_u64(&j->record, qn_hash64(j->record.data, j->record.len, 0));
    return append(j, err);
}

qn_status qn_journal_unit(qn_journal *journal, uint64_t unit, const uint64_t *hashes, qn_error *err) {
    return append_record(journal, unit, hashes, err);
}

qn_status qn_journal_published(qn_journal *journal, uint32_t file, qn_error *err) {
    return append_record(journal, published_bit | file, NULL, err);
}

/* Takes one record; false when it is damaged or of something the job does not have. */
static bool take_record(qn_cursor *c, const qn_stream_plan *plan, qn_stream_state *state, bool *published) {
    const size_t n = record_bytes(plan->n_outputs);
    const unsigned char *bytes = c->bytes + c->pos;
    uint64_t what = 0;
    uint64_t sum = 0;
    if (qn_cursor_left(c) < n || !qn_cursor_u64(c, &what)) {
        return false;
    }
    qn_cursor check = {bytes, n, n - 8};
    if (!qn_cursor_u64(&check, &sum) || sum != qn_hash64(bytes, n - 8, 0)) {
        return false;
    }
    const uint64_t file = what & ~published_bit;
    if ((what & published_bit) != 0 && file < plan->n_files) {
        published[file] = true;
    }
    for (uint32_t i = 0; i < plan->n_outputs && what < plan->n_units; i++) {
        (void)qn_cursor_u64(c, &state->hashes[what * plan->n_outputs + i]);
        state->is_done[what] = 1;
    }
    c->pos = (size_t)(bytes - c->bytes) + n;
    return true;
}

/* Reads an older journal. @param used out: bytes up to the last good record; 0 when it is not of this job */
static void read_records(const unsigned char *bytes, size_t size, uint64_t fingerprint, const qn_stream_plan *plan,
                         qn_stream_state *state, bool *published, size_t *used) {
    qn_cursor c = {bytes, size, 0};
    uint64_t head[3] = {0};
    const unsigned char *found = qn_cursor_bytes(&c, sizeof magic);
    *used = 0;
    if (found == NULL || memcmp(found, magic, sizeof magic) != 0 || !qn_cursor_u64(&c, &head[0]) ||
        !qn_cursor_u64(&c, &head[1]) || !qn_cursor_u64(&c, &head[2]) || head[0] != fingerprint ||
        head[1] != plan->n_units || head[2] != plan->n_outputs) {
        return;
    }
    *used = HEADER_BYTES;
    while (take_record(&c, plan, state, published)) {
        *used = c.pos;
    }
}

/* One process a job: the lock goes with the descriptor. */
static qn_status lock(const qn_journal *j, qn_error *err) {
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    struct stat st;
    if (fcntl(j->fd, F_SETLK, &whole) == 0) {
        if (fstat(j->fd, &st) == 0 && st.st_nlink > 0) {
            return QN_OK;
        }
        return qn_fail(err, QN_E_EXISTS, "%s: another quern process has just finished these outputs", j->path);
    }
    if (errno == EACCES || errno == EAGAIN) {
        return qn_fail(err, QN_E_EXISTS, "%s: another quern process is writing these outputs", j->path);
    }
    return qn_fail_errno(err, QN_E_IO, errno, "%s: cannot lock the journal", j->path);
}

static qn_status begin(qn_journal *j, uint64_t fingerprint, const qn_stream_plan *plan, qn_error *err) {
    if (ftruncate(j->fd, 0) != 0) {
        return qn_fail_errno(err, QN_E_IO, errno, "%s: cannot begin the journal", j->path);
    }
    j->record.len = 0;
    qn_buffer_append(&j->record, magic, sizeof magic);
    qn_buffer_u64(&j->record, fingerprint);
    qn_buffer_u64(&j->record, plan->n_units);
    qn_buffer_u64(&j->record, plan->n_outputs);
    return append(j, err);
}

/*
 * Reads the whole journal through its own descriptor: closing a second one would give up the lock.
 * @param bytes to be freed with free()
 */
static qn_status slurp(const qn_journal *j, unsigned char **bytes, size_t *size, qn_error *err) {
    struct stat st;
    if (fstat(j->fd, &st) != 0) {
        return qn_fail_errno(err, QN_E_IO, errno, "%s: cannot read the journal", j->path);
    }
    *size = 0;
    *bytes = qn_new_array((uint64_t)st.st_size, 1);
    if (*bytes == NULL) {
        return qn_fail_nomem(err, j->path, (size_t)st.st_size);
    }
    while (*size < (size_t)st.st_size) {
        const ssize_t k = pread(j->fd, *bytes + *size, (size_t)st.st_size - *size, (off_t)*size);
        if (k < 0 && errno == EINTR) {
            continue;
        }
        if (k < 0) {
            const int e = errno;
            free(*bytes);
            return qn_fail_errno(err, QN_E_IO, e, "%s: cannot read the journal", j->path);
        }
        if (k == 0) {
            break;
        }
        *size += (size_t)k;
    }
    return QN_OK;
}

static qn_status load(qn_journal *j, uint64_t fingerprint, const qn_stream_plan *plan, qn_stream_state *state,
                      bool *published, qn_error *err) {
    unsigned char *bytes = NULL;
    size_t size = 0;
    size_t used = 0;
    QN_TRY(lock(j, err));
    QN_TRY(slurp(j, &bytes, &size, err));
    read_records(bytes, size, fingerprint, plan, state, published, &used);
    free(bytes);
    if (used == 0) {
        const qn_status status = begin(j, fingerprint, plan, err);
        if (status != QN_OK) {
            (void)unlink(j->path); /* it says nothing */
        }
        return status;
    }
    if (used < size && ftruncate(j->fd, (off_t)used) != 0) {
        return qn_fail_errno(err, QN_E_IO, errno, "%s: cannot cut the journal", j->path);
    }
    return QN_OK;
}

qn_status qn_journal_open(const char *path, uint64_t fingerprint, const qn_stream_plan *plan, qn_stream_state *state,
                          bool *published, qn_journal **out, qn_error *err) {
    const size_t n = strlen(path) + 1;
    qn_journal *j = qn_new_array(1, sizeof *j + n);
    if (j == NULL) {
        return qn_fail_nomem(err, path, n);
    }
    memcpy(j->path, path, n);
    j->n_outputs = plan->n_outputs;
    j->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (j->fd < 0) {
        const qn_status status = qn_fail_errno(err, QN_E_IO, errno, "%s: cannot open the journal", path);
        free(j);
        return status;
    }
    const qn_status status = load(j, fingerprint, plan, state, published, err);
    if (status != QN_OK) {
        qn_journal_close(j);
        return status;
    }
    *out = j;
    return QN_OK;
}

void qn_journal_close(qn_journal *journal) {
    if (journal != NULL) {
        (void)close(journal->fd);
        qn_buffer_clear(&journal->record);
        free(journal);
    }
}

void qn_journal_remove(qn_journal *journal) {
    if (journal != NULL) {
        (void)unlink(journal->path);
        qn_journal_close(journal);
    }
}
