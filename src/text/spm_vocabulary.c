/* SPDX-License-Identifier: MIT */
/* spm_vocabulary.c: the pieces of a SentencePiece model (tokenizer.model).
 *
 * The protobuf is decoded by protobuf-c with the few fields of sentencepiece.proto, under a cap on the memory that
 * decoding may take: a piece of two bytes on disk is a structure of a hundred in memory. Unigram, word and character
 * models are refused: llama.cpp runs them as another kind of vocabulary that no family here has.
 */
#include "text/sentencepiece.pb-c.h"
#include "text/vocab_parts.h"

#include <math.h>
#include <stdlib.h>

static const size_t MAX_DECODED_BYTES = (size_t)512 << 20;

/* SentencePiece's piece types; those that GGUF keeps have the same numbers there. */
enum { PIECE_NORMAL = 1, PIECE_UNKNOWN = 2, PIECE_CONTROL = 3, PIECE_UNUSED = 5, PIECE_BYTE = 6 };
enum { MODEL_UNIGRAM = 1, MODEL_BPE = 2 };

/* Counts what decoding takes; protobuf-c checks every allocation. */
typedef struct budget {
    size_t left;
} budget;

static void *take(void *user, size_t size) {
    budget *b = user;
    if (size > b->left) {
        return NULL;
    }
    b->left -= size;
    return malloc(size == 0 ? 1 : size);
}

static void give_back(void *user, void *block) {
    (void)user;
    free(block);
}

static qn_token_type token_type(int32_t piece_type) {
    switch (piece_type) {
    case PIECE_UNKNOWN: return QN_TOKEN_UNKNOWN;
    case PIECE_CONTROL: return QN_TOKEN_CONTROL;
    case PIECE_UNUSED: return QN_TOKEN_UNUSED;
    case PIECE_BYTE: return QN_TOKEN_BYTE;
    default: return QN_TOKEN_NORMAL; /* user-defined too: llama.cpp's converter keeps that name for added tokens */
    }
}

static qn_status check_model(const char *where, const Quern__Sentencepiece__Model *model, qn_error *err) {
    static const char *const names[] = {"unknown", "Unigram", "BPE", "word", "character"};
    const int32_t type = model->trainer_spec == NULL ? MODEL_UNIGRAM : model->trainer_spec->model_type;
    if (model->n_pieces == 0) {
        return qn_fail(err, QN_E_FORMAT, "%s: holds no pieces: not a SentencePiece model", where);
    }
    if (type != MODEL_BPE) {
        return qn_fail(err, QN_E_UNSUPPORTED,
                       "%s: is a SentencePiece model of type %d (%s); the families that quern packs have BPE models "
                       "(type 2)",
                       where, (int)type, type > 0 && type < 5 ? names[type] : names[0]);
    }
    return QN_OK;
}

static qn_status put_pieces(const char *where, const Quern__Sentencepiece__Model *model, uint64_t n,
                            qn_token_list *list, qn_error *err) {
    for (uint64_t i = 0; i < n; i++) {
        const Quern__Sentencepiece__Piece *piece = model->pieces[i];
        const qn_text text = {piece->text.len == 0 ? "" : (const char *)piece->text.data, piece->text.len};
        if (piece->type < PIECE_NORMAL || piece->type > PIECE_BYTE) {
            return qn_fail(err, QN_E_FORMAT, "%s: piece %llu has type %d; 1 to 6 are expected", where,
                           (unsigned long long)i, (int)piece->type);
        }
        if (!isfinite(piece->score)) {
            return qn_fail(err, QN_E_FORMAT, "%s: the score of piece %llu is not a finite number", where,
                           (unsigned long long)i);
        }
        QN_TRY(qn_token_list_put(list, i, text, token_type(piece->type), piece->score, err));
    }
    return QN_OK;
}

qn_status qn_spm_read(const char *where, const void *bytes, size_t len, uint64_t n_max, qn_token_list *list,
                      qn_spm_facts *facts, qn_error *err) {
    budget left = {MAX_DECODED_BYTES};
    ProtobufCAllocator allocator = {.alloc = take, .free = give_back, .allocator_data = &left};
    Quern__Sentencepiece__Model *model = quern__sentencepiece__model__unpack(&allocator, len, bytes);
    if (model == NULL) {
        return qn_fail(err, QN_E_FORMAT,
                       "%s: is not a SentencePiece model, or cut off (%zu bytes): its protobuf cannot be decoded",
                       where, len);
    }
    qn_status status = check_model(where, model, err);
    if (status == QN_OK) {
        facts->n_pieces = model->n_pieces;
        facts->adds_space = model->normalizer_spec == NULL || model->normalizer_spec->add_dummy_prefix;
        status = put_pieces(where, model, n_max != 0 && n_max < model->n_pieces ? n_max : model->n_pieces, list, err);
    }
    quern__sentencepiece__model__free_unpacked(model, &allocator);
    return status;
}
