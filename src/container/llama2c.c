/* SPDX-License-Identifier: MIT */
/*
 * llama2c.c: reads the .bin files of llama2.c.
 *
 *     OFFSET  SIZE  MEANING (version 0)
 *     0       28    int32: dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size, seq_len; a negative vocab_size
 *                   says that the output matrix is not the embedding
 *     28      …     float32 arrays, in the order of legacy_parts
 *
 *     OFFSET  SIZE  MEANING (version 1)
 *     0       4     magic number 0x616b3432
 *     4       4     version
 *     8       28    the seven numbers, vocab_size positive
 *     36      1     whether the output matrix is the embedding
 *     37      219   zeros
 *     256     …     float32 arrays, in the order of parts
 *
 * All little-endian; matrices are [out, in], row-major; an array that layers have is theirs one after the other. The
 * file must end where its arrays do. Source: facts/checkpoints.md 4.
 */
#include "container/llama2c.h"

#include "base/cursor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { MAGIC = 0x616b3432, HEADER_BYTES = 256, N_NUMBERS = 7, LEGACY_BYTES = 4 * N_NUMBERS };

/* What the numbers may be at most: with these no size in bytes comes near 2^63. */
enum { MAX_WIDTH = 1 << 20, MAX_LAYERS = 1 << 12, MAX_VOCAB = 1 << 20, MAX_CTX = 1 << 24 };

/* Sizes that shapes are made of. */
typedef enum width { ONE, EMBD, FF, KV, VOCAB, CTX, HEAD } width;

/* An array of the file. '%' in a name stands for the layer: there is one for each. */
typedef struct part {
    const char *name; /* NULL: passed over */
    width rows;       /* ONE: a vector */
    width cols;
} part;

static const part legacy_parts[] = {
    {"token_embd.weight", VOCAB, EMBD},   {"blk.%.attn_norm.weight", ONE, EMBD},
    {"blk.%.attn_q.weight", EMBD, EMBD},  {"blk.%.attn_k.weight", KV, EMBD},
    {"blk.%.attn_v.weight", KV, EMBD},    {"blk.%.attn_output.weight", EMBD, EMBD},
    {"blk.%.ffn_norm.weight", ONE, EMBD}, {"blk.%.ffn_gate.weight", FF, EMBD},
    {"blk.%.ffn_down.weight", EMBD, FF},  {"blk.%.ffn_up.weight", FF, EMBD},
    {"output_norm.weight", ONE, EMBD},    {NULL, CTX, HEAD}, /* cosines and sines of the rotary angles */
    {"output.weight", VOCAB, EMBD},
};

static const part parts[] = {
    {"blk.%.attn_norm.weight", ONE, EMBD}, {"blk.%.ffn_norm.weight", ONE, EMBD},
    {"output_norm.weight", ONE, EMBD},     {"token_embd.weight", VOCAB, EMBD},
    {"blk.%.attn_q.weight", EMBD, EMBD},   {"blk.%.attn_k.weight", KV, EMBD},
    {"blk.%.attn_v.weight", KV, EMBD},     {"blk.%.attn_output.weight", EMBD, EMBD},
    {"blk.%.ffn_gate.weight", FF, EMBD},   {"blk.%.ffn_down.weight", EMBD, FF},
    {"blk.%.ffn_up.weight", FF, EMBD},     {"output.weight", VOCAB, EMBD},
};

static uint64_t width_of(const qn_llama2c_header *h, width w) {
    switch (w) {
    case ONE: return 1;
    case EMBD: return h->n_embd;
    case FF: return h->n_ff;
    case KV: return h->n_embd / h->n_head * h->n_head_kv;
    case VOCAB: return h->n_vocab;
    case CTX: return h->n_ctx;
    case HEAD: return h->n_embd / h->n_head;
    }
    return 0;
}

/* ---- the header ---- */

static bool is_within(uint64_t n, uint64_t max) {
    return n >= 1 && n <= max;
}

/* Whether a Llama can have these numbers. */
static bool is_plausible(const qn_llama2c_header *h) {
    return is_within(h->n_embd, MAX_WIDTH) && is_within(h->n_ff, MAX_WIDTH) && is_within(h->n_layer, MAX_LAYERS) &&
        is_within(h->n_vocab, MAX_VOCAB) && is_within(h->n_ctx, MAX_CTX) && is_within(h->n_head, h->n_embd) &&
        is_within(h->n_head_kv, h->n_head) && h->n_embd % h->n_head == 0 && h->n_embd / h->n_head % 2 == 0 &&
        h->n_head % h->n_head_kv == 0;
}

/* Reads the seven numbers; negative ones become too large to be plausible. @return false at the end of the bytes */
static bool read_numbers(qn_cursor *c, qn_llama2c_header *h) {
    uint32_t n[N_NUMBERS] = {0};
    for (size_t i = 0; i < N_NUMBERS; i++) {
        if (!qn_cursor_u32(c, &n[i])) {
            return false;
        }
    }
    h->is_tied = n[5] <= INT32_MAX;
    h->n_embd = n[0];
    h->n_ff = n[1];
    h->n_layer = n[2];
    h->n_head = n[3];
    h->n_head_kv = n[4];
    h->n_vocab = h->is_tied ? n[5] : (uint64_t)(UINT32_MAX - n[5]) + 1;
    h->n_ctx = n[6];
    return true;
}

static bool has_magic(const unsigned char *bytes, uint64_t size) {
    qn_cursor c = {bytes, (size_t)size, 0};
    uint32_t magic = 0;
    return qn_cursor_u32(&c, &magic) && magic == MAGIC;
}

static qn_status refuse_numbers(const qn_source *source, const qn_llama2c_header *h, qn_error *err) {
    return qn_fail(err, QN_E_FORMAT,
                   "%s: is not a llama2.c file, or damaged: its header says dim %" PRIu64 ", hidden_dim %" PRIu64
                   ", n_layers %" PRIu64 ", n_heads %" PRIu64 ", n_kv_heads %" PRIu64 ", vocab_size %" PRIu64
                   ", seq_len %" PRIu64 ", which no Llama can have",
                   source->path, h->n_embd, h->n_ff, h->n_layer, h->n_head, h->n_head_kv, h->n_vocab, h->n_ctx);
}

/* @param data_off out: where the arrays begin */
static qn_status read_header(const qn_source *source, qn_llama2c_header *h, uint64_t *data_off, qn_error *err) {
    qn_cursor c = {source->bytes, (size_t)source->size, 0};
    uint8_t is_tied = 1;
    const bool is_legacy = !has_magic(source->bytes, source->size);
    bool is_whole = true;
    *h = (qn_llama2c_header){0};
    if (!is_legacy) {
        is_whole = qn_cursor_bytes(&c, 4) != NULL && qn_cursor_u32(&c, &h->version);
        if (is_whole && h->version != 1) {
            return qn_fail(err, QN_E_UNSUPPORTED,
                           "%s: is of version %" PRIu32
                           " of llama2.c's format; versions 0 and 1, in float32, are read: export it as one of these",
                           source->path, h->version);
        }
    }
    is_whole = is_whole && read_numbers(&c, h) && (is_legacy || qn_cursor_u8(&c, &is_tied));
    if (!is_whole) {
        return qn_fail(err, QN_E_FORMAT, "%s: is cut off: it ends at byte %s, within the header", source->path,
                       qn_shown_number(source->size).text);
    }
    if (!is_plausible(h) || (!is_legacy && (!h->is_tied || is_tied > 1))) {
        return refuse_numbers(source, h, err);
    }
    h->is_tied = is_legacy ? h->is_tied : is_tied == 1;
    *data_off = is_legacy ? LEGACY_BYTES : HEADER_BYTES;
    return QN_OK;
}

bool qn_is_llama2c(const char *path) {
    unsigned char head[LEGACY_BYTES] = {0};
    qn_llama2c_header h;
    qn_file *file = NULL;
    if (qn_file_open(path, &file, NULL) != QN_OK) {
        return false;
    }
    const uint64_t size = qn_file_size(file) < sizeof head ? qn_file_size(file) : sizeof head;
    const bool is_read = qn_file_read_at(file, 0, head, (size_t)size, NULL) == QN_OK;
    qn_file_close(file);
    qn_cursor c = {head, (size_t)size, 0};
    return is_read && (has_magic(head, size) || (read_numbers(&c, &h) && is_plausible(&h)));
}

/* ---- arrays ---- */

/* "blk.%.attn_q.weight" with the layer in it; NULL when memory is short. */
static const char *name_of(qn_arena *arena, const char *pattern, uint64_t layer) {
    const char *mark = strchr(pattern, '%');
    return mark == NULL ? qn_arena_string(arena, pattern)
                        : qn_arena_printf(arena, "%.*s%" PRIu64 "%s", (int)(mark - pattern), pattern, layer, mark + 1);
}

static qn_status add_tensor(qn_archive *archive, const qn_source *source, const qn_llama2c_header *h, const part *p,
                            uint64_t layer, uint64_t file_off, qn_error *err) {
    qn_archive_tensor t = {
        .name = name_of(qn_archive_arena(archive), p->name, layer),
        .type = QN_F32,
        .file = source->file,
        .file_off = file_off,
    };
    if (t.name == NULL) {
        return qn_fail_nomem(err, p->name, 0);
    }
    t.shape.n_dims = p->rows == ONE ? 1 : 2;
    t.shape.dims[0] = width_of(h, p->rows == ONE ? p->cols : p->rows);
    t.shape.dims[1] = p->rows == ONE ? 0 : width_of(h, p->cols);
    QN_TRY(qn_tensor_extent(&t, err));
    return qn_archive_add(archive, &t, err);
}

static uint64_t bytes_of(const qn_llama2c_header *h, const part *p) {
    return width_of(h, p->rows) * width_of(h, p->cols) * sizeof(float);
}

static uint64_t count_of(const qn_llama2c_header *h, const part *p) {
    return p->name != NULL && strchr(p->name, '%') != NULL ? h->n_layer : 1;
}

/* Whether the file has the part: an output matrix that is the embedding is not there twice. */
static bool has_part(const qn_llama2c_header *h, const part *p) {
    return !h->is_tied || p->name == NULL || strcmp(p->name, "output.weight") != 0;
}

static qn_status check_size(const qn_source *source, const qn_llama2c_header *h, uint64_t end, qn_error *err) {
    if (source->size == end) {
        return QN_OK;
    }
    return qn_fail(err, QN_E_FORMAT,
                   "%s: has %s bytes; a llama2.c file of %" PRIu64 " layers, dim %" PRIu64 ", hidden_dim %" PRIu64
                   " and %" PRIu64 " tokens has %s: %s",
                   source->path, qn_shown_number(source->size).text, h->n_layer, h->n_embd, h->n_ff, h->n_vocab,
                   qn_shown_number(end).text,
                   source->size < end ? "it is cut off; fetch it again" : "it is damaged, or of another format");
}

qn_status qn_llama2c_parse(qn_archive *archive, const qn_source *source, qn_llama2c_header *header, qn_error *err) {
    uint64_t off = 0;
    QN_TRY(read_header(source, header, &off, err));
    const part *list = header->version == 0 ? legacy_parts : parts;
    const size_t n = header->version == 0 ? sizeof legacy_parts / sizeof legacy_parts[0]
                                          : sizeof parts / sizeof parts[0];
    uint64_t end = off;
    for (size_t i = 0; i < n; i++) {
        end += has_part(header, &list[i]) ? count_of(header, &list[i]) * bytes_of(header, &list[i]) : 0;
    }
    QN_TRY(check_size(source, header, end, err));
    for (size_t i = 0; i < n; i++) {
        for (uint64_t layer = 0; has_part(header, &list[i]) && layer < count_of(header, &list[i]); layer++) {
            if (list[i].name != NULL) {
                QN_TRY(add_tensor(archive, source, header, &list[i], layer, off, err));
            }
            off += bytes_of(header, &list[i]);
        }
    }
    return QN_OK;
}

qn_status qn_llama2c_open(const char *path, qn_archive **out, qn_llama2c_header *header, qn_error *err) {
    qn_archive *archive = qn_archive_new("llama2.c");
    if (archive == NULL) {
        return qn_fail_nomem(err, path, 0);
    }
    qn_source source;
    qn_status status = qn_source_open(archive, path, &source, err);
    if (status == QN_OK) {
        status = qn_llama2c_parse(archive, &source, header, err);
    }
    if (status == QN_OK) {
        status = qn_archive_seal(archive, err);
    }
    return qn_archive_give(archive, status, out);
}
