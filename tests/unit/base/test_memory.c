/* SPDX-License-Identifier: MIT */
/* test_memory.c: checked allocation, arenas, growing buffers. */
#include "support.h"

#include "base/buffer.h"

#include <stdalign.h>

static void products_that_overflow_give_null(void **state) {
    (void)state;
    qn_arena *arena = qn_arena_new();
    void *block = qn_new_array(4, 8);
    assert_non_null(block);
    assert_null(qn_new_array(UINT64_MAX, 2));
    assert_null(qn_new_array(SIZE_MAX / 2, 4));
    assert_null(qn_resize_array(block, SIZE_MAX / 2, 4));
    assert_null(qn_arena_array(arena, SIZE_MAX / 2, 4));
    assert_null(qn_arena_array(arena, SIZE_MAX, 1));
    assert_null(qn_arena_copy(arena, "", SIZE_MAX));
    free(block);
    qn_arena_free(arena);
    qn_arena_free(NULL);
}

static void empty_arrays_are_not_null(void **state) {
    (void)state;
    qn_arena *arena = qn_arena_new();
    void *block = qn_new_array(0, 8);
    assert_non_null(block);
    block = qn_resize_array(block, 0, 8);
    assert_non_null(block);
    free(block);
    assert_non_null(qn_arena_array(arena, 0, 8));
    assert_string_equal(qn_arena_copy(arena, NULL, 0), "");
    qn_arena_free(arena);
}

static void arena_blocks_are_zeroed_aligned_and_apart(void **state) {
    (void)state;
    enum { N = 3000 };
    qn_arena *arena = qn_arena_new();
    unsigned char **blocks = qn_new_array(N, sizeof *blocks);
    for (size_t i = 0; i < N; i++) {
        /* small ones, ones that need a block of their own, and ones at the border between both */
        const size_t n = i % 100 == 0 ? 70000 : i % 37 == 0 ? 16384 + i % 3 : i % 41;
        blocks[i] = qn_arena_array(arena, n, 1);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % alignof(max_align_t), 0);
        for (size_t k = 0; k < n; k++) {
            assert_true(blocks[i][k] == 0);
        }
        memset(blocks[i], (int)(i % 251), n);
    }
    for (size_t i = 0; i < N; i++) {
        const size_t n = i % 100 == 0 ? 70000 : i % 37 == 0 ? 16384 + i % 3 : i % 41;
        for (size_t k = 0; k < n; k++) {
            assert_true(blocks[i][k] == i % 251);
        }
    }
    free(blocks);
    qn_arena_free(arena);
}

static void arena_texts(void **state) {
    (void)state;
    qn_arena *arena = qn_arena_new();
    assert_string_equal(qn_arena_string(arena, "abc"), "abc");
    assert_string_equal(qn_arena_copy(arena, "abcdef", 3), "abc");
    assert_string_equal(qn_arena_printf(arena, "blk.%d.%s", 7, "w"), "blk.7.w");
    assert_string_equal(qn_arena_printf(arena, "%s", ""), "");
    qn_arena_free(arena);
}

static void buffers_grow_and_write_little_endian(void **state) {
    (void)state;
    static const unsigned char wanted[] = {1,  2,  3, 4, 5,    6,    7, 8, 9,   10,  11,  12, 13,
                                           14, 15, 0, 0, 0x80, 0xBF, 0, 0, 'a', 'b', '-', '7'};
    qn_buffer b = {0};
    qn_error err;
    qn_buffer_u8(&b, 1);
    qn_buffer_u16(&b, 0x0302);
    qn_buffer_u32(&b, 0x07060504);
    qn_buffer_u64(&b, UINT64_C(0x0F0E0D0C0B0A0908));
    qn_buffer_f32(&b, -1.0f);
    qn_buffer_zeros(&b, 2);
    qn_buffer_text(&b, "ab");
    qn_buffer_printf(&b, "-%d", 7);
    qn_buffer_append(&b, NULL, 0);
    assert_int_equal(b.len, sizeof wanted);
    assert_memory_equal(b.data, wanted, sizeof wanted);
    for (unsigned i = 0; i < 5000; i++) {
        qn_buffer_printf(&b, "%u,", i);
    }
    assert_memory_equal(b.data + b.len - 5, "4999,", 5);
    assert_ok(&err, qn_buffer_status(&b, &err));
    qn_buffer_clear(&b);
    assert_null(b.data);
    qn_buffer_clear(&b);
}

static void a_failed_append_is_remembered(void **state) {
    (void)state;
    qn_buffer b = {0};
    qn_error err;
    qn_buffer_text(&b, "abc");
    qn_buffer_zeros(&b, SIZE_MAX - 1);
    qn_buffer_text(&b, "def");
    assert_int_equal(b.len, 3);
    assert_status(&err, qn_buffer_status(&b, &err), QN_E_NOMEM);
    assert_null(qn_buffer_take_text(&b));
    assert_null(b.data);
    qn_buffer_text(&b, "again");
    char *text = qn_buffer_take_text(&b);
    assert_string_equal(text, "again");
    free(text);
    text = qn_buffer_take_text(&b);
    assert_string_equal(text, "");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_that_overflow_give_null),          cmocka_unit_test(empty_arrays_are_not_null),
        cmocka_unit_test(arena_blocks_are_zeroed_aligned_and_apart), cmocka_unit_test(arena_texts),
        cmocka_unit_test(buffers_grow_and_write_little_endian),      cmocka_unit_test(a_failed_append_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
