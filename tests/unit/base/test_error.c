/* SPDX-License-Identifier: MIT */
/* test_error.c: messages are filled, prefixed, cut; checked arithmetic and the cursor know their ends. */
#include "support.h"

#include "base/checked.h"
#include "base/cursor.h"
#include "base/error.h"

#include <errno.h>

static void every_status_has_a_name(void **state) {
    (void)state;
    assert_string_equal(qn_status_name(QN_OK), "OK");
    assert_string_equal(qn_status_name(QN_E_INTERNAL), "INTERNAL");
    assert_string_equal(qn_status_name((qn_status)99), "UNKNOWN");
    for (int s = QN_OK; s <= QN_E_INTERNAL; s++) {
        assert_string_not_equal(qn_status_name((qn_status)s), "UNKNOWN");
    }
}

static void messages_are_built(void **state) {
    (void)state;
    qn_error err;
    assert_int_equal(qn_fail(&err, QN_E_SHAPE, "%s %d", "w", 3), QN_E_SHAPE);
    assert_int_equal(err.status, QN_E_SHAPE);
    assert_string_equal(err.message, "w 3");
    assert_int_equal(qn_fail_at(&err, QN_E_FORMAT, "%s", "model.gguf"), QN_E_FORMAT);
    assert_int_equal(err.status, QN_E_FORMAT);
    assert_string_equal(err.message, "model.gguf: w 3");
    assert_int_equal(qn_fail_errno(&err, QN_E_IO, ENOENT, "%s", "x"), QN_E_IO);
    assert_string_equal(err.message, "x: No such file or directory");
    assert_int_equal(qn_fail_errno(&err, QN_E_IO, ENOSPC, "x"), QN_E_SPACE);
    assert_int_equal(err.status, QN_E_SPACE);
    assert_int_equal(qn_fail_nomem(&err, "table", 12), QN_E_NOMEM);
    assert_string_equal(err.message, "out of memory (table, 12 bytes)");
}

static void no_error_to_fill_is_fine(void **state) {
    (void)state;
    assert_int_equal(qn_fail(NULL, QN_E_IO, "x"), QN_E_IO);
    assert_int_equal(qn_fail_at(NULL, QN_E_IO, "x"), QN_E_IO);
    assert_int_equal(qn_fail_errno(NULL, QN_E_IO, EDQUOT, "x"), QN_E_SPACE);
    assert_int_equal(qn_fail_nomem(NULL, "x", 1), QN_E_NOMEM);
}

static void long_messages_are_cut(void **state) {
    (void)state;
    qn_error err;
    char text[6000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = '\0';
    (void)qn_fail(&err, QN_E_IO, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    (void)qn_fail_at(&err, QN_E_IO, "file");
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_memory_equal(err.message, "file: xxx", 9);
    (void)qn_fail_errno(&err, QN_E_IO, EIO, "%s", text);
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
}

static void arithmetic_tells_overflow(void **state) {
    (void)state;
    uint64_t v = 0;
    assert_true(qn_add_u64(UINT64_MAX - 1, 1, &v) && v == UINT64_MAX);
    assert_false(qn_add_u64(UINT64_MAX, 1, &v));
    assert_true(qn_mul_u64(UINT64_C(1) << 32, (UINT64_C(1) << 32) - 1, &v));
    assert_false(qn_mul_u64(UINT64_C(1) << 32, UINT64_C(1) << 32, &v));
    assert_true(qn_align_u64(0, 32, &v) && v == 0);
    assert_true(qn_align_u64(1, 32, &v) && v == 32);
    assert_true(qn_align_u64(64, 32, &v) && v == 64);
    assert_false(qn_align_u64(UINT64_MAX, 32, &v));
}

static void the_cursor_never_passes_the_end(void **state) {
    (void)state;
    static const unsigned char bytes[] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
    qn_cursor c = {bytes, sizeof bytes, 0};
    uint8_t u8 = 0;
    uint16_t u16 = 0;
    uint32_t u32 = 0;
    uint64_t u64 = 0;
    assert_true(qn_cursor_u8(&c, &u8) && u8 == 1);
    assert_true(qn_cursor_u16(&c, &u16) && u16 == 0x0302);
    assert_true(qn_cursor_u32(&c, &u32) && u32 == 0x07060504);
    assert_int_equal(qn_cursor_left(&c), 2);
    assert_false(qn_cursor_u64(&c, &u64));
    assert_false(qn_cursor_u32(&c, &u32));
    assert_null(qn_cursor_bytes(&c, 3));
    assert_null(qn_cursor_bytes(&c, UINT64_MAX));
    assert_int_equal(c.pos, 7); /* not moved */
    assert_ptr_equal(qn_cursor_bytes(&c, 2), bytes + 7);
    assert_false(qn_cursor_u8(&c, &u8));
    assert_ptr_equal(qn_cursor_bytes(&c, 0), bytes + 9);
    c.pos = 1;
    assert_true(qn_cursor_u64(&c, &u64) && u64 == UINT64_C(0x0908070605040302));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name),   cmocka_unit_test(messages_are_built),
        cmocka_unit_test(no_error_to_fill_is_fine),  cmocka_unit_test(long_messages_are_cut),
        cmocka_unit_test(arithmetic_tells_overflow), cmocka_unit_test(the_cursor_never_passes_the_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
