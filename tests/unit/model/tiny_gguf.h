/* SPDX-License-Identifier: MIT */
/* tiny_gguf.h: an opened model written as a GGUF file of one type, and tensors of models compared. */
#ifndef QUERN_TESTS_TINY_GGUF_H
#define QUERN_TESTS_TINY_GGUF_H

#include "model/tiny_model.h"

#include "container/gguf.h"
#include "dtype/codec.h"
#include "model/model.h"

static inline const qn_model_tensor *find_tensor(const qn_model *model, const char *name) {
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        if (strcmp(model->tensors[i].name, name) == 0) {
            return &model->tensors[i];
        }
    }
    return NULL;
}

/** All rows of a tensor; free them. */
static inline float *tensor_values(const qn_model_tensor *t) {
    qn_ready *ready = NULL;
    qn_scratch scratch = {0};
    qn_error err;
    assert_non_null(t);
    float *v = malloc((size_t)(qn_recipe_rows(t->recipe) * qn_recipe_cols(t->recipe)) * sizeof *v);
    assert_non_null(v);
    assert_ok(&err, qn_ready_open(t->recipe, QN_CPU_SCALAR, &ready, &err));
    assert_ok(&err, qn_ready_rows(ready, 0, qn_recipe_rows(t->recipe), v, &scratch, &err));
    qn_scratch_clear(&scratch);
    qn_ready_close(ready);
    return v;
}

static inline float *values_of(const qn_model *model, const char *name) {
    if (find_tensor(model, name) == NULL) {
        print_error("no tensor '%s'\n", name);
    }
    return tensor_values(find_tensor(model, name));
}

/** Whether two numbers have the same bits; NaN too. */
static inline bool same_bits(float a, float b) {
    uint32_t bits[2];
    memcpy(&bits[0], &a, sizeof a);
    memcpy(&bits[1], &b, sizeof b);
    return bits[0] == bits[1];
}

/** Whether two tensors have the same shape and the same bits; says where they part. */
static inline bool same_tensor(const qn_model_tensor *a, const qn_model_tensor *b) {
    char shape_a[128];
    char shape_b[128];
    (void)qn_shape_text(&a->shape, shape_a, sizeof shape_a);
    (void)qn_shape_text(&b->shape, shape_b, sizeof shape_b);
    bool same = strcmp(shape_a, shape_b) == 0;
    if (same) {
        const uint64_t n = qn_recipe_rows(a->recipe) * qn_recipe_cols(a->recipe);
        float *x = tensor_values(a);
        float *y = tensor_values(b);
        uint64_t i = 0;
        while (i < n && same_bits(x[i], y[i])) {
            i++;
        }
        same = i == n;
        if (!same) {
            print_error("'%s' and '%s' part at element %llu: %.9g and %.9g\n", a->name, b->name, (unsigned long long)i,
                        (double)x[i], (double)y[i]);
        }
        free(x);
        free(y);
    } else {
        print_error("'%s' is %s, '%s' is %s\n", a->name, shape_a, b->name, shape_b);
    }
    return same;
}

/** Whether two models have the same tensors under the same names, in any order. */
static inline bool same_tensors(const qn_model *a, const qn_model *b) {
    bool same = a->n_tensors == b->n_tensors;
    if (!same) {
        print_error("%llu and %llu tensors\n", (unsigned long long)a->n_tensors, (unsigned long long)b->n_tensors);
    }
    for (uint64_t i = 0; i < a->n_tensors; i++) {
        const qn_model_tensor *other = find_tensor(b, a->tensors[i].name);
        if (other == NULL) {
            print_error("only one has '%s'\n", a->tensors[i].name);
        }
        same = other != NULL && same_tensor(&a->tensors[i], other) && same;
    }
    return same;
}

/** Writes the model as dir/name: matrices in a type, vectors and generated tensors in float32. Free the path. */
static inline char *write_gguf(const qn_model *model, const char *dir, const char *name, qn_dtype type) {
    qn_placed_tensor *placed = calloc((size_t)model->n_tensors, sizeof *placed);
    qn_buffer file = {0};
    uint64_t size = 0;
    qn_error err;
    assert_non_null(placed);
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        const qn_model_tensor *t = &model->tensors[i];
        placed[i] = (qn_placed_tensor){.name = t->name, .shape = t->shape};
        placed[i].type = t->shape.n_dims < 2 ? QN_F32 : type;
    }
    assert_ok(&err, qn_gguf_layout(&model->meta, placed, model->n_tensors, &file, &size, &err));
    for (uint64_t i = 0; i < model->n_tensors; i++) {
        const qn_recipe *r = model->tensors[i].recipe;
        float *v = tensor_values(&model->tensors[i]);
        unsigned char *bytes = malloc((size_t)placed[i].size_bytes);
        assert_non_null(bytes);
        assert_ok(&err,
                  qn_encode_rows(QN_CPU_SCALAR, QN_EFFORT_NORMAL, placed[i].type, v, qn_recipe_rows(r),
                                 qn_recipe_cols(r), NULL, bytes, &err));
        qn_buffer_zeros(&file, (size_t)placed[i].file_off - file.len);
        qn_buffer_append(&file, bytes, (size_t)placed[i].size_bytes);
        free(bytes);
        free(v);
    }
    qn_buffer_zeros(&file, (size_t)size - file.len);
    assert_false(file.has_failed);
    char *path = write_file(dir, name, file.data, file.len);
    qn_buffer_clear(&file);
    free(placed);
    return path;
}

#endif
