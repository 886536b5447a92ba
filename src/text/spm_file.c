/* SPDX-License-Identifier: MIT */
/* spm_file.c: packs tokenizer.model, a SentencePiece model of type BPE, from a GGUF file's tokens and scores.
 *
 * Pieces are the tokens below the added ones. SentencePiece itself refuses a model without exactly one unknown piece,
 * or with byte pieces that the trainer's part does not announce; both are seen to. The normaliser is the identity
 * but for spaces, as llama.cpp treats text.
 */
#include "text/sentencepiece.pb-c.h"
#include "text/vocab_writing.h"

#include <stdlib.h>

enum { MODEL_BPE = 2 };

static int32_t piece_type(const qn_vocab *v, uint64_t id) {
    if ((int64_t)id == v->unk && v->types[id] == QN_TOKEN_CONTROL) {
        return QN_TOKEN_UNKNOWN;
    }
    /* GGUF's numbers are SentencePiece's; undefined, 0, is not among the latter. */
    return v->types[id] == QN_TOKEN_UNDEFINED ? QN_TOKEN_NORMAL : v->types[id];
}

static ProtobufCBinaryData data_of(qn_text text) {
    return (ProtobufCBinaryData){text.len, (uint8_t *)text.bytes}; /* only read while packing */
}

static void fill_pieces(const qn_vocab_layout *l, Quern__Sentencepiece__Piece *pieces,
                        Quern__Sentencepiece__Piece **list) {
    for (uint64_t id = 0; id < l->n_base; id++) {
        Quern__Sentencepiece__Piece *piece = &pieces[id];
        quern__sentencepiece__piece__init(piece);
        piece->has_text = 1;
        piece->text = data_of(l->vocab->tokens[id]);
        piece->has_score = 1;
        piece->score = l->vocab->scores[id];
        piece->type = piece_type(l->vocab, id);
        piece->has_type = piece->type != QN_TOKEN_NORMAL;
        list[id] = piece;
    }
}

/* A role's id (-1: none) and text; ids behind the pieces are not the model's own. */
static void set_role(const qn_vocab_layout *l, int64_t id, int32_t *id_field, protobuf_c_boolean *has_id,
                     ProtobufCBinaryData *text, protobuf_c_boolean *has_text) {
    const bool is_piece = id != QN_NO_TOKEN && (uint64_t)id < l->n_base;
    *has_id = 1;
    *id_field = is_piece ? (int32_t)id : -1;
    *has_text = is_piece;
    if (is_piece) {
        *text = data_of(l->vocab->tokens[id]);
    }
}

static void fill_trainer(const qn_vocab_layout *l, Quern__Sentencepiece__TrainerSpec *spec) {
    const qn_vocab *v = l->vocab;
    quern__sentencepiece__trainer_spec__init(spec);
    spec->has_model_type = 1;
    spec->model_type = MODEL_BPE;
    spec->has_vocab_size = 1;
    spec->vocab_size = (int32_t)l->n_base;
    spec->has_byte_fallback = 1;
    for (uint64_t id = 0; id < l->n_base; id++) {
        spec->byte_fallback = spec->byte_fallback || v->types[id] == QN_TOKEN_BYTE;
    }
    set_role(l, v->unk, &spec->unk_id, &spec->has_unk_id, &spec->unk_piece, &spec->has_unk_piece);
    set_role(l, v->bos, &spec->bos_id, &spec->has_bos_id, &spec->bos_piece, &spec->has_bos_piece);
    set_role(l, v->eos, &spec->eos_id, &spec->has_eos_id, &spec->eos_piece, &spec->has_eos_piece);
    set_role(l, v->pad, &spec->pad_id, &spec->has_pad_id, &spec->pad_piece, &spec->has_pad_piece);
}

static void fill_normalizer(const qn_vocab *v, Quern__Sentencepiece__NormalizerSpec *spec) {
    quern__sentencepiece__normalizer_spec__init(spec);
    spec->has_name = 1;
    spec->name = data_of(qn_text_of("identity"));
    spec->has_add_dummy_prefix = 1;
    spec->add_dummy_prefix = v->add_space_prefix != 0;
    spec->has_remove_extra_whitespaces = 1;
    spec->remove_extra_whitespaces = 0;
    spec->has_escape_whitespaces = 1;
    spec->escape_whitespaces = 1;
}

static qn_status pack_model(const qn_vocab_layout *l, Quern__Sentencepiece__Model *model, qn_arena *arena, qn_text *out,
                            qn_error *err) {
    Quern__Sentencepiece__TrainerSpec trainer;
    Quern__Sentencepiece__NormalizerSpec normalizer;
    fill_trainer(l, &trainer);
    fill_normalizer(l->vocab, &normalizer);
    model->trainer_spec = &trainer;
    model->normalizer_spec = &normalizer;
    const size_t size = quern__sentencepiece__model__get_packed_size(model);
    uint8_t *bytes = qn_arena_array(arena, size, 1);
    if (bytes == NULL) {
        return qn_fail_nomem(err, "tokenizer.model", size);
    }
    *out = (qn_text){(const char *)bytes, quern__sentencepiece__model__pack(model, bytes)};
    return QN_OK;
}

qn_status qn_spm_write(const qn_vocab_layout *layout, qn_arena *arena, qn_text *out, qn_error *err) {
    Quern__Sentencepiece__Model model;
    Quern__Sentencepiece__Piece *pieces = qn_new_array(layout->n_base, sizeof *pieces);
    Quern__Sentencepiece__Piece **list = qn_new_array(layout->n_base, sizeof *list);
    qn_status status = QN_OK;
    if (pieces == NULL || list == NULL) {
        status = qn_fail_nomem(err, "tokenizer.model", (size_t)layout->n_base * sizeof *pieces);
    } else {
        quern__sentencepiece__model__init(&model);
        fill_pieces(layout, pieces, list);
        model.n_pieces = (size_t)layout->n_base;
        model.pieces = list;
        status = pack_model(layout, &model, arena, out, err);
    }
    free(list);
    free(pieces);
    return status;
}
