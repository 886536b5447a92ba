/* SPDX-License-Identifier: MIT */
/* test_residence.c: pages written to are in memory, others are not; parts of pages count as parts. */
#ifdef __linux__
#define _DEFAULT_SOURCE /* MAP_ANON */
#endif

#include "support.h"

#include "base/residence.h"

#include <sys/mman.h>

enum { N_PAGES = 5000 }; /* more than one question to the system */

static void written_pages_are_resident(void **state) {
    (void)state;
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char *bytes = mmap(NULL, N_PAGES * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    assert_true(bytes != MAP_FAILED);
    assert_int_equal(posix_madvise(bytes, N_PAGES * page, POSIX_MADV_RANDOM), 0);
    assert_int_equal(qn_resident_within(bytes, 0), 0);
    const uint64_t before = qn_resident_within(bytes, N_PAGES * page);
    if (before != 0) {
        print_message("the system gives whole huge pages: skipped\n");
        skip();
    }
    bytes[4200 * page + 7] = 1;
    assert_int_equal(qn_resident_within(bytes + 4200 * page, page), page);
    assert_int_equal(qn_resident_within(bytes + 4200 * page + 100, 50), 50);
    assert_true(qn_resident_within(bytes, N_PAGES * page) >= page);
    for (size_t i = 0; i < N_PAGES; i++) {
        bytes[i * page] = 1;
    }
    assert_int_equal(qn_resident_within(bytes + 1, N_PAGES * page - 2), N_PAGES * page - 2);
    assert_int_equal(munmap(bytes, N_PAGES * page), 0);
    assert_int_equal(qn_resident_within(bytes, page), 0); /* not mapped: nothing is known */
}

static void the_process_has_memory(void **state) {
    (void)state;
    assert_true(qn_resident_bytes() > 100000);
    assert_true(qn_available_bytes() > 1000000);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(written_pages_are_resident),
        cmocka_unit_test(the_process_has_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
